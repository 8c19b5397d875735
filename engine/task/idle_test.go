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

// paced waits before each batch, which is full, and says so.
type paced struct{ fakeSource }

func (p *paced) Poll(ctx context.Context, b *vec.Batch, wait time.Duration) (op.Polled, error) {
	began := time.Now()
	out, err := p.fakeSource.Poll(ctx, b, wait)
	out.Waited = time.Since(began)
	return out, err
}

// TestPausesBeforeFullBatchesAreIdle: a source that keeps to a rate is not busy while it waits for the next batch, however large that is.
func TestPausesBeforeFullBatchesAreIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		b := w.builders()
		b[graph.KindSource] = func(*graph.Node, []*vec.Schema) (task.Built, error) {
			return task.Built{Source: &paced{fakeSource{Rows: 100 * vec.MaxRows, Keys: 1, Pause: 5, world: w}}}, nil
		}
		b[graph.KindSink] = func(*graph.Node, []*vec.Schema) (task.Built, error) { return task.Built{Sink: discard{}}, nil }
		g := countJob(1, "{}", "{}", "{}")
		g.Vertices[1].Ops = []*graph.Node{node(graph.KindSink, -1, "{}")}
		var source *task.Task
		err := task.RunLocal(t.Context(), task.LocalConfig{
			Graph: g, Builders: b, Splits: nSplits(1), LatencyInterval: -1,
			OnState: func(tk *task.Task, s task.StateChange) {
				if s.State == task.Running && tk.Report().Operators[0].Name == g.Vertices[0].Ops[0].Name {
					source = tk
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if r := source.Report(); r.Idle < 400*time.Millisecond || r.Busy > 100*time.Millisecond {
			t.Errorf("idle %s, busy %s of half a second", r.Idle, r.Busy)
		}
	})
}
