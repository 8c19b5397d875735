package conformance

import (
	"math/rand/v2"
	"testing"

	"github.com/bramble-stream/bramble/engine/stream"
)

// aborted: what was prepared for a checkpoint that was never complete is not seen, and does not stay either.
func (s sinkSuite) aborted(t *testing.T) {
	if !s.TwoPhase {
		t.Skip("rows are visible at once")
	}
	x := s.New(t)
	w := s.open(t, x)
	b, want := batchOf(0, 1000)
	w.write(b)
	c := w.prepare()
	w.commit(c)
	lost, _ := batchOf(1000, 2000)
	w.write(lost)
	w.prepare()
	w.write(lost)
	w.prepare()
	w.write(lost)
	w.env.Cancel()
	w.close()
	w = s.open(t, x)
	w.epoch = 1
	w.commit(c)
	s.expect(t, x, want, false)
	w.epoch = 3
	b, rows := batchOf(2000, 3000)
	w.write(b)
	w.commit(w.prepare())
	s.expect(t, x, append(want, rows...), false)
	if x.Leftovers != nil {
		if left := x.Leftovers(); len(left) > 0 {
			t.Errorf("%d parts of checkpoints that have failed are left, such as %s", len(left), left[0])
		}
	}
	w.env.Cancel()
	w.close()
}

// part is what a sink has prepared for an epoch.
type part struct {
	epoch stream.Epoch
	c     []byte
}

// life writes with checkpoints that succeed or fail, kills at any time and disturbances; each restart goes on from the last checkpoint that
// was complete. What these hold is visible once.
func (s sinkSuite) life(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	x := s.New(t)
	w := s.open(t, x)
	var next, durable int64 // rows written, and those that the last complete checkpoint holds
	reached := next
	var parts, held []part // prepared and not committed: by the task, and as the last complete checkpoint has them
	for range 120 {
		switch k := rng.IntN(20); {
		case k < 10:
			to := next + int64(1+rng.IntN(400))
			b, _ := batchOf(next, to)
			w.write(b)
			next, reached = to, max(reached, to)
		case k < 16:
			if c := w.prepare(); c != nil {
				parts = append(parts, part{w.epoch, c})
			}
			if rng.IntN(3) == 0 {
				continue // it fails; the next one holds the part, too
			}
			durable, held = next, append([]part(nil), parts...)
			for len(parts) > 0 && rng.IntN(8) > 0 { // or it dies in between
				w.commitPart(parts[0])
				parts = parts[1:]
			}
		case k < 18:
			w.env.Cancel()
			w.close()
			epoch := w.epoch
			w = s.open(t, x)
			w.epoch = epoch
			for _, p := range held {
				w.commitPart(p)
			}
			next, parts = durable, nil
		case k == 18 && x.Cut != nil:
			x.Cut()
		case k == 19 && x.Restart != nil && rng.IntN(4) == 0:
			x.Restart()
		}
	}
	for next < reached { // what was read before the last kill comes again
		to := min(next+500, reached)
		b, _ := batchOf(next, to)
		w.write(b)
		next = to
	}
	if c := w.prepare(); c != nil {
		parts = append(parts, part{w.epoch, c})
	}
	for _, p := range parts {
		w.commitPart(p)
	}
	_, want := batchOf(0, next)
	s.expect(t, x, want, !s.TwoPhase)
	if x.Leftovers != nil {
		if left := x.Leftovers(); len(left) > 0 {
			t.Errorf("%d parts are left, such as %s", len(left), left[0])
		}
	}
	w.env.Cancel()
	w.close()
}

func (w *writer) commitPart(p part) {
	w.t.Helper()
	if err := w.sink.Commit(w.env.Ctx, p.epoch, p.c); err != nil {
		w.t.Fatalf("Commit: %v", err)
	}
}
