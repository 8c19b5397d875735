package watermark

import (
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
)

// trackerOf has had a row of each split at 0, with watermarks 100, 200, ….
func trackerOf(cfg config, splits int) *tracker {
	tr := newTracker(cfg, splits, 0)
	for i := range splits {
		tr.rows(i, 0)
		tr.raise(i, stream.Time(100*(i+1)))
	}
	tr.release(nil)
	tr.tick(0, 0)
	return tr
}

// away is a split that could not be heard for so many ms, lastly at until.
func away(forMS, until int64) op.Away {
	return op.Away{For: time.Duration(forMS) * time.Millisecond, Until: time.Duration(until) * time.Millisecond}
}

// TestAwayIsNotIdle: split 0 is away from 0 to 4,000; its silence counts from then on.
func TestAwayIsNotIdle(t *testing.T) {
	tr := trackerOf(config{idleMS: 1000, awayMS: 60_000}, 2)
	for _, at := range []int64{500, 1000, 3000, 4000, 4999} {
		tr.rows(1, at)
		tr.setAway([]op.Away{away(min(at, 4000), min(at, 4000)), {}})
		if a := tr.tick(at, at); a.emitWM || a.becomeIdle {
			t.Fatalf("at %d, %d after the connection is back: %+v", at, at-4000, a)
		}
		if next := tr.next(); next > 5000 {
			t.Fatalf("at %d the next look is at %d", at, next)
		}
	}
	tr.setAway([]op.Away{away(4000, 4000), {}})
	if a := tr.tick(5000, 5000); !a.emitWM || a.wm != 200 {
		t.Errorf("a second after the connection is back: %+v, want the other split's watermark", a)
	}
	tr.setAway([]op.Away{away(6000, 6000), {}})
	tr.rows(1, 6000)
	tr.raise(1, 300)
	tr.release(nil)
	if a := tr.tick(6000, 6000); a.wm != 300 {
		t.Errorf("a split that is idle is away again: %+v, want the other split's watermark", a)
	}
}

// TestAwayForTooLong: nobody waits for longer than awayMS, and then for idleMS.
func TestAwayForTooLong(t *testing.T) {
	tr := trackerOf(config{idleMS: 1000, awayMS: 10_000}, 2)
	for at := int64(100); at < 20_000; at += 100 {
		tr.rows(1, at)
		tr.setAway([]op.Away{away(at, at), {}})
		a := tr.tick(at, at)
		if a.emitWM != (at == 11_000) {
			t.Fatalf("at %d: %+v", at, a)
		}
	}
}

// TestAwayDoesNotFollow: time does not follow the clock while the connection is down, or rows that the broker has queued would be late.
func TestAwayDoesNotFollow(t *testing.T) {
	tr := trackerOf(config{fallbackMS: 1000, awayMS: 60_000}, 1)
	tr.setAway([]op.Away{away(5000, 5000)})
	if a := tr.tick(5999, 5999); a.emitWM {
		t.Errorf("%+v, a second before", a)
	}
	if a := tr.tick(6000, 6000); a.wm != 5000 {
		t.Errorf("%+v, want the clock less a second", a)
	}
	tr.setAway([]op.Away{away(5100, 6100)})
	if a := tr.tick(6200, 6200); a.emitWM {
		t.Errorf("%+v, and time stands still again", a)
	}
	if a := tr.tick(7100, 7100); a.wm != 6100 {
		t.Errorf("%+v, want the clock less a second", a)
	}
}

// TestContinues: what rows make is held until what came with them is there.
func TestContinues(t *testing.T) {
	tr := trackerOf(config{}, 2)
	tr.rows(0, 10)
	tr.raise(0, 1000)
	tr.release([]bool{true, false})
	if a := tr.tick(10, 10); a.emitWM {
		t.Errorf("%+v before the rows that came with it", a)
	}
	tr.rows(0, 10)
	tr.raise(0, 150)
	tr.release([]bool{false, false})
	if a := tr.tick(10, 10); a.wm != 200 {
		t.Errorf("%+v, want the other split's watermark", a)
	}
	if got := tr.splits[0].wm; got != 1000 {
		t.Errorf("watermark %d of the split", got)
	}
}
