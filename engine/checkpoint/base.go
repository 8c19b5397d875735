package checkpoint

import "github.com/bramble-stream/bramble/engine/stream"

// Base is what an attempt of a job went on from. It is written down before the attempt runs, and before anything is cleaned up for it: from then on
// what others complete late has no effect, though its manifest may appear at any time.
type Base struct {
	// Leader and Epoch are of the checkpoint, 0 for none.
	Leader uint64       `json:"leader"`
	Epoch  stream.Epoch `json:"epoch"`
	// Used is the highest epoch that any attempt before may have taken.
	Used stream.Epoch `json:"used"`
}

// Void reports whether m, which a leader before the given one or an attempt before the one with this base completed, came too late: the job has
// gone on without it, and what it lists may be gone.
func (b Base) Void(leader uint64, m *Manifest) bool {
	newer := m.Leader > b.Leader || m.Leader == b.Leader && m.Epoch > b.Epoch
	return newer && (m.Leader < leader || m.Leader == leader && m.Epoch <= b.Used)
}

// Used is the highest epoch that was taken.
func (c *Coordinator) Used() stream.Epoch { return c.next - 1 }
