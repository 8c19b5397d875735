package conformance

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
)

// checkpoint takes a snapshot.
func (r *Reader) checkpoint(epoch stream.Epoch) []op.Split {
	r.t.Helper()
	at, err := r.Source.Snapshot(epoch)
	if err != nil {
		r.t.Fatalf("Snapshot: %v", err)
	}
	return at
}

func (r *Reader) commit(epoch stream.Epoch) {
	r.t.Helper()
	if err := r.Source.Commit(r.Env.Ctx, epoch); err != nil {
		r.t.Fatalf("Commit: %v", err)
	}
}

// kill ends the task without a further checkpoint.
func (r *Reader) kill() {
	r.t.Helper()
	r.Env.Cancel()
	r.Close()
}

// nothing polls for a while and fails if rows come.
func (r *Reader) nothing() {
	r.t.Helper()
	r.waitConnected()
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
		rows, err := r.Poll()
		if err != nil || len(rows) > 0 {
			r.t.Fatalf("%d rows came that had come before, such as %v (error %v)", len(rows), rows, err)
		}
	}
}

// waitConnected polls until the outside system is there, keeping nothing: there is nothing to come.
func (r *Reader) waitConnected() {
	r.t.Helper()
	rows, err := r.Until(func([]Row) bool { return r.Env.Reported() && r.Env.Healthy() })
	if err != nil || len(rows) > 0 {
		r.t.Fatalf("%d rows came that had come before, such as %v (error %v)", len(rows), rows, err)
	}
}

// acknowledged: what no committed epoch contains comes again, and what one contains does not.
func (s sourceSuite) acknowledged(t *testing.T) {
	if !s.Acks {
		t.Skip("the position is in the checkpoint only")
	}
	x := s.New(t)
	open := func(at []op.Split) *Reader { return OpenCheckpointed(t, s.Connector, x.Table, at) }
	ns := func(r *Reader, n int) []int64 {
		var out []int64
		for _, row := range r.Rows(n) {
			out = append(out, row.N)
		}
		slices.Sort(out)
		return out
	}
	expect := func(got []int64, from, to int64) {
		t.Helper()
		var want []int64
		for n := from; n < to; n++ {
			want = append(want, n)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("rows %v, want %v", got, want)
		}
	}
	r := open(nil)
	r.waitConnected()
	x.Produce(0, 10)
	expect(ns(r, 10), 0, 10)
	r.checkpoint(1)
	r.Poll() //nolint:errcheck // a source that acknowledged by polling would do it here
	r.kill()

	r = open(nil) // no checkpoint is complete
	expect(ns(r, 10), 0, 10)
	contained := r.checkpoint(1)
	r.kill()

	r = open(contained) // it was, but nobody told the source: it recognises what comes again
	x.Produce(10, 15)
	expect(ns(r, 5), 10, 15)
	r.nothing()
	r.kill()

	r = open(nil) // and has acknowledged that
	expect(ns(r, 5), 10, 15)
	r.checkpoint(2)
	x.Produce(15, 20)
	expect(ns(r, 5), 15, 20)
	r.checkpoint(3) // 2 has failed; 3 contains it
	r.commit(3)
	r.commit(3)
	x.Produce(20, 22)
	expect(ns(r, 2), 20, 22)
	r.nothing() // a broker that a connection is taken from forgets what it has not read of it: let it read the acknowledgements
	r.kill()

	r = open(nil)
	expect(ns(r, 2), 20, 22)
	last := r.checkpoint(4)
	r.commit(4)
	r.nothing()
	r.kill()
	r = open(last)
	x.Produce(22, 23)
	expect(ns(r, 1), 22, 23)
	last = r.checkpoint(5)
	r.commit(5)
	r.kill()
	r = open(last)
	r.nothing()
	r.kill()
}

// life reads with checkpoints that succeed or fail, kills at any time and disturbances, each restart going on from the last
// checkpoint that was complete: every row is counted once.
func (s sourceSuite) life(t *testing.T) {
	switch {
	case !s.Acks && !s.Replays:
		t.Skip("the source does not promise it")
	case s.Lossy:
		t.Skip("the server loses records")
	case s.Makes:
		t.Skip("the source makes its rows")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	x := s.New(t)
	l := &life{t: t, s: s, x: x, rng: rng}
	if s.Connector.Bounded != nil && s.Connector.Bounded(x.Table) { // it ends with what is there
		x.Produce(0, lifeRows)
		l.made = lifeRows
	}
	l.r = OpenCheckpointed(t, s.Connector, x.Table, nil)
	if s.LiveOnly {
		l.r.waitConnected()
	}
	for steps := 0; l.made < lifeRows || steps < lifeSteps; steps++ {
		l.step()
	}
	deadline := time.Now().Add(patience)
	for len(l.counted)+len(l.since) < lifeRows {
		if time.Now().After(deadline) {
			t.Fatalf("%d rows have come, not %d", len(l.counted)+len(l.since), lifeRows)
		}
		l.poll()
		l.checkpoint(true)
	}
	l.checkpoint(true)
	checkOnce(t, l.counted, lifeRows, false)
	l.r.kill()
	l.r = OpenCheckpointed(t, s.Connector, x.Table, l.at)
	rows, err := l.r.Until(func(rows []Row) bool { return l.r.Env.Reported() && l.r.Env.Healthy() || !s.Acks || len(rows) > 0 })
	if err != nil || len(rows) > 0 {
		t.Fatalf("%d rows come after the last, error %v", len(rows), err)
	}
	l.r.kill()
}

// lifeRows are enough for some kills, and few enough for a broker that has 20 messages in flight.
const (
	lifeRows  = 4000
	lifeSteps = 200
)

type life struct {
	t   *testing.T
	s   sourceSuite
	x   SourceTable
	rng *rand.Rand
	r   *Reader

	made  int
	epoch stream.Epoch
	// counted are the rows that the last complete checkpoint holds, since those after it, at where it stands.
	counted, since []Row
	at             []op.Split
	disturbed      int
}

func (l *life) step() {
	switch k := l.rng.IntN(20); {
	case k < 3 && l.made < lifeRows:
		n := min(1+l.rng.IntN(200), lifeRows-l.made)
		l.x.Produce(l.made, l.made+n)
		l.made += n
	case k < 6:
		l.checkpoint(l.rng.IntN(3) > 0)
	case k == 6:
		l.r.kill()
		l.since = nil
		l.r = OpenCheckpointed(l.t, l.s.Connector, l.x.Table, l.at)
	case k == 7 && l.disturbed < 8 && l.x.Cut != nil:
		l.disturbed++
		l.x.Cut()
	case k == 8 && l.disturbed < 2 && l.x.Restart != nil:
		l.disturbed++
		l.x.Restart()
	default:
		l.poll()
	}
}

func (l *life) poll() {
	if l.r.Ended {
		return
	}
	rows, err := l.r.Poll()
	if err != nil {
		l.t.Fatalf("Poll: %v", err)
	}
	l.since = append(l.since, rows...)
}

// checkpoint takes a snapshot; unless it is complete nothing comes of it. Sometimes the task dies before it is told.
func (l *life) checkpoint(complete bool) {
	l.epoch++
	at := l.r.checkpoint(l.epoch)
	if !complete {
		return
	}
	if l.rng.IntN(4) == 0 { // it is complete when the job has gone on
		before := len(l.since)
		l.poll()
		l.counted, l.since = append(l.counted, l.since[:before]...), slices.Clone(l.since[before:])
	} else {
		l.counted, l.since = append(l.counted, l.since...), nil
	}
	l.at = at
	if l.rng.IntN(5) > 0 {
		l.r.commit(l.epoch)
	}
}
