package window

import (
	"fmt"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/op/optest"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/mem"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/invariants"
)

// The benchmarks aggregate COUNT(*), SUM(v), MAX(v) of 1,000 string keys; perMS rows come in a millisecond of event time, and the watermark follows each batch. In
// hop60-slow a window fires with each batch.

var (
	benchIn   = optest.Schema("k STRING, v DOUBLE, ts TIMESTAMP")
	benchOut  = optest.Schema("k STRING, n BIGINT, s DOUBLE, m DOUBLE, window_start TIMESTAMP, window_end TIMESTAMP, window_time TIMESTAMP")
	benchMid  = optest.Schema("k STRING, slice_end BIGINT, n BIGINT, s DOUBLE, m DOUBLE")
	benchAggs = []agg.Spec{
		{Func: "COUNT", Filter: -1, Type: vec.TypeInt64, Name: "n"},
		{Func: "SUM", Args: []int{1}, ArgTypes: []vec.Type{vec.TypeFloat64}, Filter: -1, Type: vec.TypeFloat64, Name: "s"},
		{Func: "MAX", Args: []int{1}, ArgTypes: []vec.Type{vec.TypeFloat64}, Filter: -1, Type: vec.TypeFloat64, Name: "m"},
	}
)

const benchKeys = 1000

// load is a ring of batches whose times move on each time around.
type load struct {
	batches []*vec.Batch
	at      int
	perMS   int64
	rows    int64
}

func newLoad(dict bool, perMS int64) *load {
	l := &load{perMS: perMS}
	var d *vec.Dict
	for i := range 64 {
		b := vec.NewBatch(benchIn)
		for r := range vec.MaxRows {
			b.Col(0).AppendString(fmt.Sprintf("sensor-%04d", (i*vec.MaxRows+r)*7919%benchKeys))
			vec.AppendValue(b.Col(1), float64(r%97))
			vec.AppendValue(b.Col(2), int64(0))
		}
		b.SetRows(vec.MaxRows)
		if dict {
			d = share(b, d)
		}
		l.batches = append(l.batches, b)
	}
	return l
}

// share encodes the key column with one dictionary for all batches, as a source does.
func share(b *vec.Batch, d *vec.Dict) *vec.Dict {
	if d == nil {
		d = &vec.Dict{ID: vec.NewDictID(), Offsets: []int32{0}}
		for k := range benchKeys {
			d.Data = append(d.Data, fmt.Sprintf("sensor-%04d", k)...)
			d.Offsets = append(d.Offsets, int32(len(d.Data)))
		}
	}
	c := vec.NewCol(vec.TypeString)
	c.SetDict(d)
	for i := range b.Rows() {
		var k int32
		if _, err := fmt.Sscanf(b.Col(0).Str(i), "sensor-%04d", &k); err != nil {
			panic(err)
		}
		c.AppendCode(k)
	}
	b.SetCol(0, c)
	return d
}

// next returns the next batch, with its times set, and the watermark after it.
func (l *load) next() (*vec.Batch, stream.Time) {
	b := l.batches[l.at]
	l.at = (l.at + 1) % len(l.batches)
	ts := vec.Values[int64](b.Col(2))
	for i := range ts {
		ts[i] = l.rows / l.perMS
		l.rows++
	}
	return b, ts[len(ts)-1]
}

// null swallows output.
type null struct{ rows int }

func (n *null) Emit(b *vec.Batch) error         { n.rows += b.Len(); return nil }
func (n *null) EmitWatermark(stream.Time) error { return nil }

func benchOp(tb testing.TB, w graph.Windowing, stage graph.Stage, out *vec.Schema) op.Operator {
	w.TimeCol = 2
	o, err := New(graph.WindowSpec{
		Windowing: w, Stage: stage, Keys: []int{0}, Aggs: benchAggs, InputKeyTypes: []vec.Type{vec.TypeString},
	}, benchIn, out)
	must(tb, err)
	must(tb, o.Open(&op.Context{
		Clock: &optest.FakeClock{}, Metrics: &op.Metrics{}, MemoryBytes: 64 << 20, Location: time.UTC,
		Task:      op.TaskInfo{MaxParallelism: 128, KeyRange: stream.KeyRange{Limit: 128}},
		OpenState: func(m state.MergeFunc) (state.Store, error) { return mem.New(m), nil },
	}))
	return o
}

func step(tb testing.TB, o op.Operator, l *load, out op.Output) int {
	b, wm := l.next()
	must(tb, o.Process(0, b, out))
	must(tb, o.(op.WatermarkHandler).OnWatermark(wm, out))
	return b.Rows()
}

func BenchmarkWindow(b *testing.B) {
	for _, c := range []struct {
		name  string
		w     graph.Windowing
		stage graph.Stage
		out   *vec.Schema
		perMS int64
	}{
		{"tumble", graph.Windowing{Kind: graph.Tumble, SizeMS: 10_000}, graph.Single, benchOut, 100},
		{"tumble-local", graph.Windowing{Kind: graph.Tumble, SizeMS: 10_000}, graph.Local, benchMid, 100},
		{"hop60", graph.Windowing{Kind: graph.Hop, SizeMS: 60_000, SlideMS: 1000}, graph.Single, benchOut, 100},
		{"hop60-slow", graph.Windowing{Kind: graph.Hop, SizeMS: 60_000, SlideMS: 1000}, graph.Single, benchOut, 1},
		{"cumulate60", graph.Windowing{Kind: graph.Cumulate, SizeMS: 60_000, SlideMS: 1000}, graph.Single, benchOut, 100},
		{"session", graph.Windowing{Kind: graph.Session, GapMS: 10_000}, graph.Single, benchOut, 100},
	} {
		for _, dict := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/dict=%v", c.name, dict), func(b *testing.B) {
				o, l, out := benchOp(b, c.w, c.stage, c.out), newLoad(dict, c.perMS), &null{}
				b.ReportAllocs()
				rows := 0
				for b.Loop() {
					rows += step(b, o, l, out)
				}
				b.ReportMetric(float64(rows)/b.Elapsed().Seconds()/1e6, "Mrows/s")
			})
		}
	}
}

// TestNoAllocations: once warm, a tumbling aggregation allocates nothing, firing included.
func TestNoAllocations(t *testing.T) {
	if invariants.Enabled {
		t.Skip("checks allocate")
	}
	for _, stage := range []graph.Stage{graph.Single, graph.Local} {
		for _, dict := range []bool{false, true} {
			mid := benchOut
			if stage == graph.Local {
				mid = benchMid
			}
			o, l, out := benchOp(t, graph.Windowing{Kind: graph.Tumble, SizeMS: 100}, stage, mid), newLoad(dict, 100), &null{}
			for range 200 {
				step(t, o, l, out)
			}
			if n := testing.AllocsPerRun(200, func() { step(t, o, l, out) }); n != 0 {
				t.Errorf("stage %s, dict %v: %v allocations a batch", stage, dict, n)
			}
		}
	}
}
