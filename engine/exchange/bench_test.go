package exchange

import (
	"fmt"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// sensorSchema is a row of 8 + 4 + 8 bytes, as most jobs have: time, dictionary-encoded key, value.
var sensorSchema = vec.NewSchema(
	vec.Field{Name: "ts", Type: vec.TypeTimestampLTZ}, vec.Field{Name: "id", Type: vec.TypeString}, vec.Field{Name: "v", Type: vec.TypeFloat64})

// plainBatch is a sensorBatch without a dictionary.
func plainBatch() *vec.Batch {
	b := sensorBatch()
	b.Col(1).Plain()
	return b
}

func sensorBatch() *vec.Batch {
	d := newTestDict()
	for i := range 1000 {
		d.add(fmt.Sprintf("sensor-%d", i))
	}
	b := vec.NewBatch(sensorSchema)
	b.Col(1).SetDict(d.dict())
	for i := range vec.MaxRows {
		vec.AppendValue(b.Col(0), int64(i))
		b.Col(1).AppendCode(int32(i % 1000))
		vec.AppendValue(b.Col(2), float64(i))
	}
	b.SetRows(vec.MaxRows)
	return b
}

// exchangeLoop sends n batches to targets and receives them, on one goroutine: what the exchange itself costs.
func exchangeLoop(tb testing.TB, p graph.Partition, targets int, b *vec.Batch) func() {
	var gates []*Gate
	var chans []Channel
	for range targets {
		g := NewGate()
		gates = append(gates, g)
		chans = append(chans, NewLocal(tb.Context(), g.AddInput(sensorSchema), &Stopwatch{}, time.Now))
	}
	w, err := NewWriter(WriterConfig{Partition: p, Keys: []int{1}, MaxParallelism: 128, Channels: chans, Stats: &Stats{}})
	if err != nil {
		tb.Fatal(err)
	}
	return func() {
		if err := w.Emit(b); err != nil {
			tb.Fatal(err)
		}
		for _, g := range gates {
			for {
				in, e, ok, _ := g.TryRecv()
				if !ok {
					break
				}
				g.Release(in, e.Batch)
			}
		}
	}
}

func TestExchangeDoesNotAllocate(t *testing.T) {
	for _, p := range []graph.Partition{graph.Hash, graph.Rebalance, graph.Broadcast} {
		step := exchangeLoop(t, p, 4, sensorBatch())
		for range 100 {
			step()
		}
		if n := testing.AllocsPerRun(200, step); n > 0 {
			t.Errorf("%s: %v allocations a batch", p, n)
		}
	}
}

func BenchmarkInProcess(b *testing.B) {
	for _, c := range []struct {
		p       graph.Partition
		targets int
		keys    string
		batch   *vec.Batch
	}{
		{graph.Forward, 1, "dict", sensorBatch()},
		{graph.Hash, 1, "dict", sensorBatch()},
		{graph.Hash, 4, "dict", sensorBatch()},
		{graph.Hash, 1, "plain", plainBatch()},
		{graph.Hash, 4, "plain", plainBatch()},
		{graph.Rebalance, 4, "dict", sensorBatch()},
		{graph.Broadcast, 4, "dict", sensorBatch()},
	} {
		b.Run(fmt.Sprintf("%s-%d-%s", c.p, c.targets, c.keys), func(b *testing.B) {
			step := exchangeLoop(b, c.p, c.targets, c.batch)
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/vec.MaxRows, "ns/row")
		})
	}
}

func BenchmarkCodec(b *testing.B) {
	enc, dec := NewEncoder(sensorSchema), NewDecoder(sensorSchema)
	batch, got := sensorBatch(), vec.NewBatch(sensorSchema)
	buf := make([]byte, 0, 1<<17)
	newBatch := func() *vec.Batch { return got }
	segs := make([][]byte, 1)
	b.ReportAllocs()
	for b.Loop() {
		frame, err := enc.Append(BeginFrame(buf), stream.Element{Kind: stream.KindBatch, Batch: batch})
		if err != nil {
			b.Fatal(err)
		}
		EndFrame(frame)
		segs[0] = frame
		if err := dec.Begin(segs); err != nil {
			b.Fatal(err)
		}
		if _, _, err := dec.Next(newBatch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/vec.MaxRows, "ns/row")
}
