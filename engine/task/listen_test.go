package task_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/task"
	"github.com/bramble-stream/bramble/engine/vec"
)

// distant has no rows, and cannot be reached in its third second.
type distant struct {
	fakeSource
	began time.Time
}

var _ op.Reacher = (*distant)(nil)

func (r *distant) Open(ctx *op.Context, splits []op.Split) error {
	r.began = ctx.Clock.Now()
	return r.fakeSource.Open(ctx, splits)
}

func (r *distant) Poll(ctx context.Context, b *vec.Batch, wait time.Duration) (op.Polled, error) {
	select {
	case <-ctx.Done():
		return op.Polled{}, context.Cause(ctx)
	case <-time.After(wait):
	}
	if len(r.at) > 0 && r.at[0] == 0 {
		r.at[0] = 1
		vec.AppendValue(b.Col(0), int64(0))
		vec.AppendValue(b.Col(1), int64(0))
		b.SetRows(1)
		return op.Polled{Status: op.More}, nil
	}
	return op.Polled{Status: op.Idle}, nil
}

func (r *distant) Reaches(int) bool {
	s := r.ctx.Clock.Now().Sub(r.began) / time.Second
	return s != 2
}

// peeker stalls its task for a minute with the first row, and keeps what the source says.
type peeker struct {
	ctx  *op.Context
	seen []op.SourceInfo
	at   []time.Duration
	from time.Time
}

func (p *peeker) Open(ctx *op.Context) error {
	p.ctx, p.from = ctx, ctx.Clock.Now()
	return nil
}

func (p *peeker) Process(_ int, b *vec.Batch, out op.Output) error {
	<-time.After(time.Minute)
	return out.Emit(b)
}
func (p *peeker) Close() error { return nil }

func (p *peeker) NextTimer() int64 { return p.from.UnixMilli() + int64(len(p.seen)+1)*1000 }

func (p *peeker) OnTimer(int64, op.Output) error {
	s := *p.ctx.Source
	s.Away = append([]op.Away(nil), s.Away...)
	p.seen = append(p.seen, s)
	p.at = append(p.at, p.ctx.Clock.Now().Sub(p.from))
	return nil
}

// TestListens: while the task is held up it does not listen, and a split counts as away for as long as its source says so.
func TestListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		b := w.builders()
		p := &peeker{}
		b[graph.KindSource] = func(*graph.Node, []*vec.Schema) (task.Built, error) {
			return task.Built{Source: &distant{fakeSource: fakeSource{world: w}}}, nil
		}
		b[graph.KindWatermark] = func(*graph.Node, []*vec.Schema) (task.Built, error) { return task.Built{Operator: p}, nil }
		b[graph.KindSink] = func(*graph.Node, []*vec.Schema) (task.Built, error) { return task.Built{Sink: discard{}}, nil }
		g := countJob(1, "{}", "{}", "{}")
		g.Vertices[1].Ops = []*graph.Node{node(graph.KindSink, -1, "{}")}
		ctx, cancel := context.WithTimeout(t.Context(), 70*time.Second)
		defer cancel()
		_ = task.RunLocal(ctx, task.LocalConfig{Graph: g, Builders: b, Splits: nSplits(1), LatencyInterval: -1})
		if len(p.seen) < 65 {
			t.Fatalf("%d looks", len(p.seen))
		}
		last := p.seen[len(p.seen)-1]
		if took := p.at[len(p.at)-1]; last.Listened > took-time.Minute+time.Second || last.Listened < took-time.Minute-time.Second {
			t.Errorf("in %s the task has listened for %s, and was held up for a minute", took, last.Listened)
		}
	})
}

// TestAwayIsCounted: the third second of a source is one in which it could not be reached.
func TestAwayIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		b := w.builders()
		p := &peeker{}
		b[graph.KindSource] = func(*graph.Node, []*vec.Schema) (task.Built, error) {
			r := &distant{fakeSource: fakeSource{world: w}}
			return task.Built{Source: &silent{r}}, nil
		}
		b[graph.KindWatermark] = func(*graph.Node, []*vec.Schema) (task.Built, error) { return task.Built{Operator: p}, nil }
		b[graph.KindSink] = func(*graph.Node, []*vec.Schema) (task.Built, error) { return task.Built{Sink: discard{}}, nil }
		g := countJob(1, "{}", "{}", "{}")
		g.Vertices[1].Ops = []*graph.Node{node(graph.KindSink, -1, "{}")}
		ctx, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer cancel()
		_ = task.RunLocal(ctx, task.LocalConfig{Graph: g, Builders: b, Splits: nSplits(1), LatencyInterval: -1})
		if len(p.seen) != 5 {
			t.Fatalf("%d looks", len(p.seen))
		}
		near := func(d, want time.Duration) bool { return (d - want).Abs() < 100*time.Millisecond }
		if a := p.seen[1].Away[0]; !near(a.For, 0) {
			t.Errorf("after two seconds: %+v", a)
		}
		if a := p.seen[2].Away[0]; !near(a.For, time.Second) || !near(a.Until, 3*time.Second) {
			t.Errorf("after three seconds: %+v", a)
		}
		if a := p.seen[4].Away[0]; !near(a.For, time.Second) || !near(a.Until, 3*time.Second) {
			t.Errorf("after five seconds: %+v", a)
		}
	})
}

// silent has no row at all.
type silent struct{ *distant }

func (s *silent) Open(ctx *op.Context, splits []op.Split) error {
	err := s.distant.Open(ctx, splits)
	s.at[0] = 1
	return err
}
