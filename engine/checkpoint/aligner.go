// Package checkpoint holds the barrier protocol as pure state machines. It performs no I/O, keeps no time and starts no goroutines.
package checkpoint

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/stream"
)

// Aligner decides what a task does about barriers on its input channels: the records before a barrier on any channel are in the
// snapshot, those after it are not. A channel whose barrier has come is not read until those of all others have.
//
// A newer epoch's barrier cancels the alignment of an older one (its checkpoint has been given up elsewhere); older barriers are
// ignored. Channels that have ended count as aligned with every epoch.
type Aligner struct {
	channels []alignChannel
	// last is the newest epoch that was snapshot or given up; barriers up to it are ignored.
	last stream.Epoch
	// pending is the barrier being aligned; Epoch 0 means none. Invariant: pending.Epoch == 0 or pending.Epoch > last.
	pending stream.Barrier
	have    int
	open    int
}

type alignChannel struct{ arrived, ended bool }

// Step is what the task has to do, in the order of the fields.
type Step struct {
	// Aborted is an epoch whose alignment is given up, 0 for none: unblock all.
	Aborted stream.Epoch
	// Block says not to read the channel any more.
	Block bool
	// Snapshot says to snapshot Barrier, forward it, and unblock all.
	Snapshot bool
	Barrier  stream.Barrier
}

// NewAligner returns an aligner for n open channels.
func NewAligner(n int) *Aligner {
	return &Aligner{channels: make([]alignChannel, n), open: n}
}

// Pending is the epoch being aligned, 0 for none.
func (a *Aligner) Pending() stream.Epoch { return a.pending.Epoch }

// OnBarrier takes a barrier that arrived on an open channel.
func (a *Aligner) OnBarrier(ch int, b stream.Barrier) Step {
	var s Step
	if b.Epoch <= a.last || b.Epoch < a.pending.Epoch || a.channels[ch].ended {
		return s
	}
	if b.Epoch > a.pending.Epoch {
		s.Aborted = a.giveUp()
		a.pending = b
	}
	if !a.channels[ch].arrived {
		a.channels[ch].arrived = true
		a.have++
	}
	if a.finish(&s) {
		return s
	}
	s.Block = true
	return s
}

// OnEnd says that nothing follows on the channel.
func (a *Aligner) OnEnd(ch int) Step {
	var s Step
	c := &a.channels[ch]
	if c.ended {
		return s
	}
	if c.arrived {
		a.have--
	}
	*c = alignChannel{ended: true}
	a.open--
	if a.pending.Epoch != 0 {
		a.finish(&s)
	}
	return s
}

// OnAbort says that the epoch has been given up.
func (a *Aligner) OnAbort(epoch stream.Epoch) Step {
	var s Step
	if epoch == a.pending.Epoch && epoch != 0 {
		s.Aborted = a.giveUp()
	}
	a.last = max(a.last, epoch)
	return s
}

// finish completes the alignment if every open channel's barrier has come.
func (a *Aligner) finish(s *Step) bool {
	if a.have < a.open {
		return false
	}
	s.Snapshot, s.Barrier = true, a.pending
	a.giveUp()
	return true
}

// giveUp forgets the pending epoch, and returns it.
func (a *Aligner) giveUp() stream.Epoch {
	e := a.pending.Epoch
	if e != 0 {
		a.last = max(a.last, e)
	}
	a.pending, a.have = stream.Barrier{}, 0
	for i := range a.channels {
		a.channels[i].arrived = false
	}
	return e
}

// String describes the state: "aligning epoch=2 have=[0] want=[0 1]".
func (a *Aligner) String() string {
	if a.pending.Epoch == 0 {
		return fmt.Sprintf("last=%d open=%d", a.last, a.open)
	}
	have, want := []int{}, []int{}
	for i, c := range a.channels {
		if c.arrived {
			have = append(have, i)
		}
		if !c.ended {
			want = append(want, i)
		}
	}
	return fmt.Sprintf("aligning epoch=%d have=%v want=%v", a.pending.Epoch, have, want)
}
