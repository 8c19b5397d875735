package exchange

import "github.com/bramble-stream/bramble/engine/stream"

// Merger combines the watermarks of a task's channels: the minimum over those that are neither idle nor finished. It is a pure
// state machine.
//
// A channel that comes back from idleness with a watermark behind what was emitted does not count until it has caught up, since a
// watermark never goes back. When all channels have become idle the largest of their watermarks is emitted, as though the laggards
// had gone idle first. A channel whose watermark is stream.MaxTime, or which has ended, is finished: it never holds anybody back,
// nor does it let a final watermark out while others are merely idle.
type Merger struct {
	channels []mergeChannel
	out      stream.Time
	idle     bool
}

type mergeChannel struct {
	wm   stream.Time
	idle bool
	// behind: back from idleness with wm < Merger.out; it does not count yet.
	behind bool
}

// Change is what a Merger's step came to.
type Change struct {
	// Watermark is to be emitted if Advanced; it is larger than all before.
	Watermark stream.Time
	Advanced  bool
	// IdleChanged says that all inputs are idle now (Idle), or no longer. The end of idleness comes before the watermark, its
	// beginning after.
	IdleChanged, Idle bool
}

// NewMerger returns a merger of n channels, active and without watermark.
func NewMerger(n int) *Merger {
	m := &Merger{channels: make([]mergeChannel, n), out: stream.MinTime}
	for i := range m.channels {
		m.channels[i].wm = stream.MinTime
	}
	return m
}

// Watermark is the last one emitted, stream.MinTime before the first.
func (m *Merger) Watermark() stream.Time { return m.out }

// IsIdle reports whether the channel is idle: Active must be called before its next batch is used.
func (m *Merger) IsIdle(ch int) bool { return m.channels[ch].idle }

// OnWatermark takes a watermark of a channel, which ends its idleness. One that goes back is ignored.
func (m *Merger) OnWatermark(ch int, wm stream.Time) Change {
	c := &m.channels[ch]
	if wm > c.wm {
		c.wm = wm
	}
	c.idle = false
	c.behind = c.wm < m.out
	return m.merge()
}

// OnBatch says that a channel has delivered rows, which ends its idleness.
func (m *Merger) OnBatch(ch int) Change {
	c := &m.channels[ch]
	if !c.idle {
		return Change{}
	}
	c.idle = false
	c.behind = c.wm < m.out
	return m.merge()
}

// OnIdle says that a channel has nothing for now.
func (m *Merger) OnIdle(ch int) Change {
	m.channels[ch].idle = true
	return m.merge()
}

// OnEnd says that nothing follows on the channel.
func (m *Merger) OnEnd(ch int) Change { return m.OnWatermark(ch, stream.MaxTime) }

func (m *Merger) merge() Change {
	least, most := stream.MaxTime, stream.MinTime
	var counting, idle, open int
	for i := range m.channels {
		c := &m.channels[i]
		if c.wm == stream.MaxTime {
			continue
		}
		open++
		if c.idle {
			idle++
		} else if !c.behind {
			counting++
			least = min(least, c.wm)
		}
		most = max(most, c.wm)
	}
	var ch Change
	nowIdle := open > 0 && idle == open
	if nowIdle != m.idle {
		m.idle, ch.IdleChanged, ch.Idle = nowIdle, true, nowIdle
	}
	wm := m.out
	switch {
	case open == 0:
		wm = stream.MaxTime
	case nowIdle:
		wm = most
	case counting > 0:
		wm = least
	}
	if wm > m.out {
		m.out, ch.Watermark, ch.Advanced = wm, wm, true
	}
	return ch
}
