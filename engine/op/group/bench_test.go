package group

import (
	"fmt"
	"testing"
	"time"

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

func benchOp(tb testing.TB) op.Operator {
	o, err := New(spec(), in, out)
	if err != nil {
		tb.Fatal(err)
	}
	if err := o.Open(&op.Context{
		Clock: &optest.FakeClock{}, Metrics: &op.Metrics{}, Location: time.UTC,
		Task: op.TaskInfo{MaxParallelism: 128, KeyRange: stream.KeyRange{Limit: 128}},
	}); err != nil {
		tb.Fatal(err)
	}
	return o
}

func benchBatches(keys int) []*vec.Batch {
	var bs []*vec.Batch
	for i := range 64 {
		b := vec.NewBatch(in)
		for r := range vec.MaxRows {
			b.Col(0).AppendString(fmt.Sprintf("sensor-%04d", (i*vec.MaxRows+r)*7919%keys))
			vec.AppendValue(b.Col(1), int64(r%97))
		}
		b.SetRows(vec.MaxRows)
		bs = append(bs, b)
	}
	return bs
}

// BenchmarkGroup has 1,000 keys, nearly all of which change in each batch, or 10, of which each changes once a batch.
func BenchmarkGroup(b *testing.B) {
	for _, keys := range []int{10, 1000} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			o, bs, rows := benchOp(b), benchBatches(keys), 0
			b.ReportAllocs()
			for b.Loop() {
				batch := bs[rows/vec.MaxRows%len(bs)]
				if err := o.Process(0, batch, null{}); err != nil {
					b.Fatal(err)
				}
				rows += vec.MaxRows
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

func TestNoAllocations(t *testing.T) {
	if invariants.Enabled {
		t.Skip("checks allocate")
	}
	o, bs, i := benchOp(t), benchBatches(1000), 0
	step := func() {
		if err := o.Process(0, bs[i%len(bs)], null{}); err != nil {
			t.Fatal(err)
		}
		i++
	}
	for range 128 {
		step()
	}
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}
