package task_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/task"
	"github.com/bramble-stream/bramble/engine/vec"
)

// discard is a sink that keeps nothing.
type discard struct{}

func (discard) Open(*op.Context) error                                { return nil }
func (discard) Write(context.Context, *vec.Batch) error               { return nil }
func (discard) Flush(context.Context) error                           { return nil }
func (discard) Prepare(context.Context, stream.Epoch) ([]byte, error) { return nil, nil }
func (discard) Commit(context.Context, stream.Epoch, []byte) error    { return nil }
func (discard) Close() error                                          { return nil }

// runRows runs source, watermark | hash | sink over so many batches in each of p source tasks.
func runRows(tb testing.TB, p int, batches int64) {
	w := newWorld()
	builders := w.builders()
	builders[graph.KindSink] = func(*graph.Node, []*vec.Schema) (task.Built, error) { return task.Built{Sink: discard{}}, nil }
	g := countJob(p, fmt.Sprintf(`{"Rows":%d,"Keys":1000}`, batches*vec.MaxRows), "{}", "{}")
	g.Vertices[1].Ops = []*graph.Node{node(graph.KindSink, -1, "{}")}
	err := task.RunLocal(tb.Context(), task.LocalConfig{Graph: g, Builders: builders, Splits: nSplits(p), LatencyInterval: -1})
	if err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkJob is the runtime's own cost: a batch is polled, hashed, sent to one of p tasks, received and dropped.
func BenchmarkJob(b *testing.B) {
	for _, p := range []int{1, 2} {
		b.Run(fmt.Sprintf("parallelism-%d", p), func(b *testing.B) {
			b.ReportAllocs()
			runRows(b, p, int64(b.N))
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*p)/vec.MaxRows, "ns/row")
		})
	}
}

func TestJobDoesNotAllocatePerBatch(t *testing.T) {
	mallocs := func(batches int64) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		runRows(t, 1, batches)
		runtime.ReadMemStats(&after)
		return after.Mallocs - before.Mallocs
	}
	mallocs(100)
	few, many := mallocs(1000), mallocs(11000)
	if per := (float64(many) - float64(few)) / 10000; per > 0.01 {
		t.Errorf("%.3f allocations a batch", per)
	}
}

// TestManyTasksCancelAtOnce cancels a job in which everything waits for everything.
func TestManyTasksCancelAtOnce(t *testing.T) {
	w := newWorld()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	g := countJob(4, `{"Rows":-1,"Keys":1000}`, "{}", `{}`)
	g.Vertices[1].Ops = []*graph.Node{node(graph.KindSink, -1, `{"Block":true}`)}
	err := task.RunLocal(ctx, task.LocalConfig{
		Graph: g, Builders: w.builders(), Splits: nSplits(4),
		OnState: func(tk *task.Task, s task.StateChange) {
			if s.State == task.Running && w.flushes.value() == 0 {
				w.flushes.add(1)
				cancel(cause)
			}
		},
	})
	if !errors.Is(err, cause) {
		t.Fatal(err)
	}
}
