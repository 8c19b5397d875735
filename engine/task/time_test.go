package task_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/task"
	"github.com/bramble-stream/bramble/engine/vec"
)

// quiet is a source whose split 1 falls silent: its task polls and finds nothing.
type quiet struct {
	fakeSource
	silent bool
}

func (q *quiet) Open(ctx *op.Context, splits []op.Split) error {
	q.silent = splits[0].ID == "1"
	return q.fakeSource.Open(ctx, splits)
}

func (q *quiet) Poll(ctx context.Context, b *vec.Batch, wait time.Duration) (op.Polled, error) {
	if !q.silent || q.at[0] < 10 {
		return q.fakeSource.Poll(ctx, b, wait)
	}
	select {
	case <-ctx.Done():
		return op.Polled{}, context.Cause(ctx)
	case <-time.After(wait):
		return op.Polled{Status: op.Idle}, nil
	}
}

// idler makes watermarks and says that it is idle when no row has come for a second.
type idler struct {
	marker
	clock op.Clock
	next  stream.Time
}

func (i *idler) Open(ctx *op.Context) error {
	i.clock = ctx.Clock
	i.next = i.clock.Now().UnixMilli() + 1000
	return nil
}

func (i *idler) Process(in int, b *vec.Batch, out op.Output) error {
	i.next = i.clock.Now().UnixMilli() + 1000
	return i.marker.Process(in, b, out)
}
func (i *idler) NextTimer() stream.Time { return i.next }
func (i *idler) OnTimer(now stream.Time, out op.Output) error {
	if now < i.next {
		return fmt.Errorf("timer of %d at %d", i.next, now)
	}
	i.next = stream.MaxTime
	return out.(op.IdleOutput).EmitIdle(true)
}

// listener notes watermarks and idleness, and fires a timer every minute.
type listener struct {
	w     *world
	clock op.Clock
	at    stream.Time
	begin stream.Time
}

func (l *listener) Open(ctx *op.Context) error {
	l.clock, l.begin = ctx.Clock, ctx.Clock.Now().UnixMilli()
	l.at = l.begin + 60_000
	return nil
}
func (l *listener) Process(_ int, b *vec.Batch, out op.Output) error { return out.Emit(b) }
func (l *listener) Close() error                                     { return nil }
func (l *listener) OnWatermark(wm stream.Time, out op.Output) error {
	l.w.note("watermark %d", wm)
	return out.EmitWatermark(wm)
}
func (l *listener) OnIdle(idle bool, _ op.Output) error { l.w.note("idle %v", idle); return nil }
func (l *listener) NextTimer() stream.Time              { return l.at }
func (l *listener) OnTimer(now stream.Time, _ op.Output) error {
	l.w.note("timer at %d", now-l.begin)
	l.at += 60_000
	return nil
}

func TestIdlenessAndTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		b := w.builders()
		b[graph.KindSource] = func(*graph.Node, []*vec.Schema) (task.Built, error) {
			return task.Built{Source: &quiet{fakeSource: fakeSource{Rows: -1, Keys: 1, Batch: 10, Pause: 100, world: w}}}, nil
		}
		b[graph.KindWatermark] = func(*graph.Node, []*vec.Schema) (task.Built, error) {
			return task.Built{Operator: &idler{}}, nil
		}
		b[graph.KindGroup] = func(*graph.Node, []*vec.Schema) (task.Built, error) {
			return task.Built{Operator: &listener{w: w}}, nil
		}
		b[graph.KindSink] = func(*graph.Node, []*vec.Schema) (task.Built, error) { return task.Built{Sink: discard{}}, nil }
		g := countJob(2, "{}", "{}", "{}")
		g.Vertices[1].Parallelism = 1
		ctx, cancel := context.WithTimeout(t.Context(), 130*time.Second)
		defer cancel()
		_ = task.RunLocal(ctx, task.LocalConfig{Graph: g, Builders: b, Splits: nSplits(2), LatencyInterval: -1})
		w.mu.Lock()
		defer w.mu.Unlock()
		wms := slices.DeleteFunc(slices.Clone(w.notes), func(s string) bool { return s[0] != 'w' })
		// Split 1 has said 9; split 0 goes on, and counts alone once the other is idle.
		if len(wms) < 100 || wms[0] != "watermark 9" || wms[1] == "watermark 19" {
			t.Errorf("%d watermarks: %q …", len(wms), wms[:min(len(wms), 5)])
		}
		if !slices.Contains(w.notes, "timer at 60000") || !slices.Contains(w.notes, "timer at 120000") {
			t.Errorf("timers: %q", slices.DeleteFunc(w.notes, func(s string) bool { return s[0] != 't' }))
		}
	})
}

// TestAllIdleReachesTheOperator: when every input pauses the operator hears of it, and of the end of the pause.
func TestAllIdleReachesTheOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		b := w.builders()
		b[graph.KindSource] = func(*graph.Node, []*vec.Schema) (task.Built, error) {
			return task.Built{Source: &slow{w: w}}, nil
		}
		b[graph.KindWatermark] = func(*graph.Node, []*vec.Schema) (task.Built, error) {
			return task.Built{Operator: &idler{}}, nil
		}
		b[graph.KindGroup] = func(*graph.Node, []*vec.Schema) (task.Built, error) {
			return task.Built{Operator: &listener{w: w}}, nil
		}
		g := countJob(1, "{}", "{}", "{}")
		if err := task.RunLocal(t.Context(), task.LocalConfig{Graph: g, Builders: b, Splits: nSplits(1), LatencyInterval: -1}); err != nil {
			t.Fatal(err)
		}
		got := slices.DeleteFunc(w.notes, func(s string) bool { return s[0] != 'w' && s[0] != 'i' })
		want := []string{
			"watermark 0", "idle true", "idle false", "watermark 1", "idle true", "idle false", "watermark 2", "idle true", "idle false",
			fmt.Sprint("watermark ", stream.MaxTime),
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
}

// slow is a source of three rows, five seconds apart.
type slow struct {
	w    *world
	rows int64
	next time.Time
}

func (s *slow) Open(*op.Context, []op.Split) error { s.next = time.Now(); return nil }
func (s *slow) Poll(_ context.Context, b *vec.Batch, wait time.Duration) (op.Polled, error) {
	if left := time.Until(s.next); left > 0 {
		<-time.After(min(left, wait))
		return op.Polled{Status: op.Idle}, nil
	}
	if s.rows == 3 {
		return op.Polled{Status: op.End, SplitEnded: true}, nil
	}
	vec.AppendValue(b.Col(0), int64(0))
	vec.AppendValue(b.Col(1), s.rows)
	b.SetRows(1)
	s.rows++
	s.next = s.next.Add(5 * time.Second)
	return op.Polled{}, nil
}
func (s *slow) Snapshot(stream.Epoch) ([]op.Split, error)  { return nil, nil }
func (s *slow) Commit(context.Context, stream.Epoch) error { return nil }
func (s *slow) Close() error                               { return nil }
