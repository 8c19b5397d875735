package taskmanager

import "sync"

// lane runs functions one after the other, on a goroutine that lives while there are any: what may block must not do so on the session's
// goroutine, nor on a task's. It is bounded by nature: the jobmanager has a few checkpoints in flight.
type lane struct {
	wg *sync.WaitGroup
	mu struct {
		sync.Mutex
		queue   []func()
		running bool
	}
}

// put has f run after all that was put before it.
func (l *lane) put(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.queue = append(l.mu.queue, f)
	if !l.mu.running {
		l.mu.running = true
		l.wg.Go(l.run)
	}
}

func (l *lane) run() {
	for {
		l.mu.Lock()
		if len(l.mu.queue) == 0 {
			l.mu.running = false
			l.mu.Unlock()
			return
		}
		f := l.mu.queue[0]
		l.mu.queue = l.mu.queue[1:]
		l.mu.Unlock()
		f()
	}
}
