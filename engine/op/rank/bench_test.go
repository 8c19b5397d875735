package rank

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/op/optest"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

type sink struct{}

func (sink) Emit(*vec.Batch) error           { return nil }
func (sink) EmitWatermark(stream.Time) error { return nil }

// BenchmarkChanging ranks 50,000 counters that change: 512 of them a batch, by -U and +U.
func BenchmarkChanging(b *testing.B) {
	s := optest.Schema("k STRING, v BIGINT, n STRING, t TIMESTAMP")
	o, err := New(graph.RankSpec{Limit: 10, InputRetracts: true, EmitUpdateBefore: true, Order: []graph.RankKey{{Col: 1, Desc: true}}}, s, s)
	if err != nil {
		b.Fatal(err)
	}
	ctx := &op.Context{
		Ctx: b.Context(), Log: slog.New(slog.DiscardHandler), Metrics: &op.Metrics{}, Clock: &optest.FakeClock{},
		Task: op.TaskInfo{MaxParallelism: stream.DefaultMaxParallelism},
	}
	if err := o.Open(ctx); err != nil {
		b.Fatal(err)
	}
	const keys = 50_000
	counts := make([]int64, keys)
	batch := vec.NewBatch(s)
	add := func(kind vec.RowKind, k int) {
		n := batch.Rows()
		batch.Col(0).AppendString("all")
		vec.AppendValue(batch.Col(1), counts[k])
		batch.Col(2).AppendString(fmt.Sprint("sensor ", k))
		vec.AppendValue(batch.Col(3), int64(0))
		batch.EnsureKinds(n + 1)[n] = kind
		batch.SetRows(n + 1)
	}
	flush := func() {
		if err := o.Process(0, batch, sink{}); err != nil {
			b.Fatal(err)
		}
		batch.Reset()
	}
	for k := range keys {
		counts[k] = int64(k * 7919 % keys)
		if add(vec.Insert, k); batch.Rows() == vec.MaxRows {
			flush()
		}
	}
	flush()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		for j := range vec.MaxRows / 2 {
			k := (i*7 + j*j*13) % keys
			add(vec.UpdateBefore, k)
			counts[k]++
			add(vec.UpdateAfter, k)
		}
		flush()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/vec.MaxRows, "ns/row")
}
