package serve

import "time"

// Pulse notices that this process itself stood still: swapped out, suspended, or starved of CPU on a busy Pi. What a peer sent meanwhile
// waits in the socket, so its silence proves nothing until it has had another chance. It is not safe for concurrent use.
type Pulse struct {
	// Timeout is after how long a silence a peer is lost; a standstill is half of it.
	Timeout time.Duration
	last    time.Time
}

// Stood is called with each tick and reports whether the process stood still since the one before.
func (p *Pulse) Stood(now time.Time) bool {
	gap := now.Sub(p.last)
	first := p.last.IsZero()
	p.last = now
	return !first && gap > p.Timeout/2
}
