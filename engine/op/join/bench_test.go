package join

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

// sink drops rows.
type sink struct{ rows int }

func (s *sink) Emit(b *vec.Batch) error         { s.rows += b.Len(); return nil }
func (s *sink) EmitWatermark(stream.Time) error { return nil }

// bench feeds batches of keys, one of each eight to the left side, as bids follow auctions; time advances by a millisecond a row.
func bench(b *testing.B, spec graph.JoinSpec) {
	in := optest.Schema("k BIGINT, v STRING, t TIMESTAMP")
	out := optest.Schema("k BIGINT, v STRING, v2 STRING, t TIMESTAMP")
	spec.LeftKeys, spec.RightKeys, spec.KeyTypes, spec.Out = []int{0}, []int{0}, []vec.Type{vec.TypeInt64}, []int{0, 1, 4, 5}
	if spec.Mode == graph.WindowJoin {
		spec.LeftKeys, spec.RightKeys, spec.KeyTypes = []int{0, 2}, []int{0, 2}, []vec.Type{vec.TypeInt64, vec.TypeTimestamp}
	}
	spec.LeftTime, spec.RightTime = 2, 2
	o, err := New(spec, in, in, out)
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
	var batches [8]*vec.Batch
	for i := range batches {
		batches[i] = vec.NewBatch(in)
		for r := range vec.MaxRows {
			vec.AppendValue(batches[i].Col(0), int64(r*7919%1024+1024*(i%2)))
			batches[i].Col(1).AppendString(fmt.Sprintf("value %d", r%100))
			vec.AppendValue(batches[i].Col(2), int64(0))
		}
		batches[i].SetRows(vec.MaxRows)
	}
	s := &sink{}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		in := 1
		if i%8 == 0 {
			in = 0
		}
		batch := batches[i%8]
		times, keys := vec.Values[int64](batch.Col(2)), vec.Values[int64](batch.Col(0))
		now := int64(i) * vec.MaxRows
		for r := range times {
			keys[r] = keys[r]%2048 + 2048*int64(i/8)
			if times[r] = now + int64(r); spec.Mode == graph.WindowJoin {
				times[r] = now/10000*10000 + 10000
			}
		}
		if err := o.Process(in, batch, s); err != nil {
			b.Fatal(err)
		}
		if w, ok := o.(op.WatermarkHandler); ok {
			if err := w.OnWatermark(now-2000, s); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/vec.MaxRows, "ns/row")
	b.ReportMetric(float64(s.rows)/float64(b.N)/vec.MaxRows, "pairs/row")
}

func BenchmarkRegular(b *testing.B) {
	bench(b, graph.JoinSpec{Mode: graph.Regular, Type: graph.InnerJoin})
}

func BenchmarkWindow(b *testing.B) {
	bench(b, graph.JoinSpec{Mode: graph.WindowJoin, Type: graph.InnerJoin})
}

func BenchmarkInterval(b *testing.B) {
	bench(b, graph.JoinSpec{Mode: graph.IntervalJoin, Type: graph.InnerJoin, LowerMS: -10000})
}
