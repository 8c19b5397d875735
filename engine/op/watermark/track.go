package watermark

import (
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
)

// config is what the tracker needs of graph.WatermarkSpec, in ms; 0 turns a feature off.
type config struct {
	idleMS, fallbackMS, awayMS int64
}

// split is what is known about one split.
type split struct {
	// wm is the largest watermark that its rows have made.
	wm stream.Time
	// held is what rows have made that may be older than others which are about to come; MinTime for none.
	held stream.Time
	// silent is since when its silence counts towards idleness, still since when towards the fallback: its last accepted row, or a later moment at which
	// it could not be heard. Before the first row, when the watch over it began.
	silent, still stream.Time
	// idle is what the last tick made of it.
	idle, ended bool
}

// tracker merges the watermarks of a task's splits: the minimum over those that are neither idle nor ended. It is a pure state machine: times come in
// as arguments, and what to emit is returned. They are those of op.SourceInfo.Listened, in ms: silence is what a task that listened has not heard.
type tracker struct {
	cfg    config
	splits []split
	// merged is the last watermark given out, idle the last idleness. Invariant: merged never falls.
	merged stream.Time
	idle   bool
	// sawRow says that a row has come since the job began: before that there are no windows that wait, and fallback must not make the first rows late.
	sawRow bool
	// ticked is when tick ran last.
	ticked stream.Time
}

// action is what the tracker wants emitted, in this order: activity, the watermark, idleness.
type action struct {
	active     bool
	wm         stream.Time
	emitWM     bool
	becomeIdle bool
}

func newTracker(cfg config, splits int, now stream.Time) *tracker {
	t := &tracker{cfg: cfg, merged: stream.MinTime}
	t.grow(splits, now)
	t.ticked = now
	return t
}

// grow makes room for splits that were not known at Open.
func (t *tracker) grow(n int, now stream.Time) {
	for len(t.splits) < n {
		t.splits = append(t.splits, split{wm: stream.MinTime, held: stream.MinTime, silent: now, still: now})
	}
}

// rows notes that accepted rows of a split have come. It reports whether the tracker was idle until now: then activity is to be emitted before the rows.
func (t *tracker) rows(s int, now stream.Time) (wasIdle bool) {
	if !t.sawRow {
		t.sawRow = true
		// silence is measured from the first row on, for all splits: none is behind yet
		for i := range t.splits {
			t.splits[i].heard(now)
		}
	}
	t.splits[s].heard(now)
	wasIdle = t.idle
	t.idle = false
	return wasIdle
}

func (s *split) heard(now stream.Time) {
	s.silent, s.still, s.idle = now, now, false
}

// setAway notes when splits could not be heard. Their silence counts anew from then on: what has collected meanwhile is still to come. What was idle before
// stays so, since others have gone on without it; but time that follows the clock stops, or what has collected would be late. Nobody waits for ever.
func (t *tracker) setAway(away []op.Away) {
	for i := range min(len(away), len(t.splits)) {
		a, s := &away[i], &t.splits[i]
		if a.For.Milliseconds() > t.cfg.awayMS {
			continue
		}
		until := a.Until.Milliseconds()
		if !s.idle {
			s.silent = max(s.silent, until)
		}
		s.still = max(s.still, until)
	}
}

// raise notes a watermark that rows of a split have made. It is held until release.
func (t *tracker) raise(s int, wm stream.Time) {
	t.splits[s].held = max(t.splits[s].held, wm)
}

// release lets watermarks count of splits that do not continue.
func (t *tracker) release(continues []bool) {
	for i := range t.splits {
		if s := &t.splits[i]; i >= len(continues) || !continues[i] {
			s.wm, s.held = max(s.wm, s.held), stream.MinTime
		}
	}
}

// setEnded notes which splits have ended.
func (t *tracker) setEnded(ended []bool) {
	for i := range min(len(ended), len(t.splits)) {
		t.splits[i].ended = ended[i]
	}
}

// idleAt and fallbackAt are when a split becomes idle, and when it begins to follow the clock; MaxTime for never.
func (t *tracker) idleAt(s *split) stream.Time {
	if t.cfg.idleMS <= 0 {
		return stream.MaxTime
	}
	return s.silent + t.cfg.idleMS
}

func (t *tracker) fallbackAt(s *split) stream.Time {
	if t.cfg.fallbackMS <= 0 || !t.sawRow {
		return stream.MaxTime
	}
	return s.still + t.cfg.fallbackMS
}

// tick merges the splits as of now. wallNow is the time of day in the time of the rows: since the epoch, or local wall-clock time.
func (t *tracker) tick(now, wallNow stream.Time) action {
	t.ticked = now
	low, live, active := stream.MaxTime, 0, 0
	follows := false
	lowIdle := stream.MaxTime
	for i := range t.splits {
		s := &t.splits[i]
		if s.ended {
			continue
		}
		live++
		wm := s.wm
		s.idle = now >= t.idleAt(s)
		if now >= t.fallbackAt(s) {
			wm = max(wm, wallNow-t.cfg.fallbackMS)
			follows = true
		}
		if !s.idle {
			active++
			low = min(low, wm)
		} else {
			lowIdle = min(lowIdle, wm)
		}
	}
	if live == 0 && len(t.splits) > 0 {
		return action{} // all have ended: the runtime sends the last watermark
	}
	var a action
	allIdle := active == 0
	if allIdle && follows {
		// nothing else moves time on here, so the clock does; an input that makes watermarks is not idle
		allIdle, low = false, lowIdle
	}
	if t.idle && !allIdle {
		a.active = true
	}
	if !allIdle && low > t.merged {
		t.merged = low
		a.wm, a.emitWM = low, true
	}
	a.becomeIdle = allIdle && !t.idle
	t.idle = allIdle
	return a
}

// next is when tick has to be called again although nothing comes in.
func (t *tracker) next() stream.Time {
	at, now := stream.MaxTime, t.ticked
	if len(t.splits) == 0 && !t.idle {
		return now // there are more tasks than splits: this one holds back nobody
	}
	for i := range t.splits {
		s := &t.splits[i]
		if s.ended {
			continue
		}
		if idle := t.idleAt(s); idle > now {
			at = min(at, idle)
		}
		switch fb := t.fallbackAt(s); {
		case fb > now:
			at = min(at, fb)
		default: // it follows the clock
			at = min(at, now+t.step())
		}
	}
	return at
}

// step is how often a watermark that follows the clock is renewed: fine against the fallback itself, and rare enough to cost nothing.
func (t *tracker) step() int64 { return min(max(t.cfg.fallbackMS/10, 50), 1000) }
