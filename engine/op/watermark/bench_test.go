package watermark

import (
	"testing"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/op/optest"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/invariants"
)

// null swallows output.
type null struct{}

func (null) Emit(*vec.Batch) error           { return nil }
func (null) EmitWatermark(stream.Time) error { return nil }

func benchOp(tb testing.TB) (op.Operator, *vec.Batch) {
	o, err := New(graph.WatermarkSpec{TimeCol: 1, Expr: column(), MaxFutureMS: 1000, IdleMS: 1000, FallbackMS: 1000}, schema, schema)
	if err != nil {
		tb.Fatal(err)
	}
	if err := o.Open(&op.Context{Clock: &optest.FakeClock{MS: 5000}, Metrics: &op.Metrics{}}); err != nil {
		tb.Fatal(err)
	}
	b := vec.NewBatch(schema)
	for i := range vec.MaxRows {
		b.Col(0).AppendString("sensor")
		vec.AppendValue(b.Col(1), int64(i))
	}
	b.SetRows(vec.MaxRows)
	return o, b
}

func BenchmarkWatermark(b *testing.B) {
	o, batch := benchOp(b)
	b.ReportAllocs()
	rows := 0
	for b.Loop() {
		if err := o.Process(0, batch, null{}); err != nil {
			b.Fatal(err)
		}
		rows += vec.MaxRows
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func TestNoAllocations(t *testing.T) {
	if invariants.Enabled {
		t.Skip("checks allocate")
	}
	o, batch := benchOp(t)
	// rows that are refused too
	vec.Values[int64](batch.Col(1))[7] = 1 << 40
	if n := testing.AllocsPerRun(100, func() {
		if err := o.Process(0, batch, null{}); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}
