package window

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/op/optest"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// The model aggregates COUNT(*), SUM(v), MAX(v) by key and window, with a map and a scan of all rows, a row at a time.

var (
	modelIn   = optest.Schema("k STRING, v BIGINT, ts TIMESTAMP")
	modelOut  = optest.Schema("k STRING, n BIGINT, s BIGINT, m BIGINT, window_start TIMESTAMP, window_end TIMESTAMP, window_time TIMESTAMP")
	modelMid  = optest.Schema("k STRING, slice_end BIGINT, n BIGINT, s BIGINT, m BIGINT")
	modelAggs = []agg.Spec{
		{Func: "COUNT", Filter: -1, Type: vec.TypeInt64, Name: "n"},
		{Func: "SUM", Args: []int{1}, ArgTypes: []vec.Type{vec.TypeInt64}, Filter: -1, Type: vec.TypeInt64, Name: "s"},
		{Func: "MAX", Args: []int{1}, ArgTypes: []vec.Type{vec.TypeInt64}, Filter: -1, Type: vec.TypeInt64, Name: "m"},
	}
)

func modelSpec(w graph.Windowing, stage graph.Stage) graph.WindowSpec {
	w.TimeCol = 2
	return graph.WindowSpec{Windowing: w, Stage: stage, Keys: []int{0}, Aggs: modelAggs, InputKeyTypes: []vec.Type{vec.TypeString}}
}

// reading is a generated row, or a watermark.
type reading struct {
	key   string
	v, ts int64
	wm    bool
}

// drawReadings generates rows in rough order with disorder and stragglers, and watermarks between them.
func drawReadings(t *rapid.T) []reading {
	n := rapid.IntRange(1, 60).Draw(t, "n")
	keys := rapid.IntRange(1, 5).Draw(t, "keys")
	disorder := rapid.Int64Range(0, 60).Draw(t, "disorder")
	var out []reading
	now, wm := rapid.Int64Range(-100, 100).Draw(t, "from"), stream.MinTime
	for range n {
		now += rapid.Int64Range(0, 12).Draw(t, "step")
		if rapid.IntRange(0, 5).Draw(t, "what") == 0 {
			if w := now - rapid.Int64Range(0, 40).Draw(t, "lag"); w > wm {
				wm = w
				out = append(out, reading{wm: true, ts: w})
			}
			continue
		}
		out = append(out, reading{
			key: fmt.Sprintf("k%d", rapid.IntRange(1, keys).Draw(t, "key")), v: rapid.Int64Range(-5, 100).Draw(t, "v"),
			ts: now - rapid.Int64Range(0, disorder).Draw(t, "behind"),
		})
	}
	return out
}

// events turns readings into what the harness feeds, ending with the end of input.
func events(rs []reading, barrierEvery int) []optest.Event {
	var out []optest.Event
	for i, r := range rs {
		if r.wm {
			out = append(out, optest.Watermark(r.ts))
		} else {
			out = append(out, optest.Row("%s, %d, %d", r.key, r.v, r.ts))
		}
		if barrierEvery > 0 && i%barrierEvery == barrierEvery-1 {
			out = append(out, optest.Event{Kind: optest.BarrierEvent})
		}
	}
	return append(out, optest.Event{Kind: optest.EndEvent})
}

// model returns the result rows, sorted, and how many rows are late. A row is in each window that holds its time and has not fired yet.
func model(w graph.Windowing, rs []reading) (rows []string, late int64) {
	type id struct {
		key        string
		start, end int64
	}
	type acc struct{ n, s, m int64 }
	open := map[id]*acc{}
	fire := func(wm int64) {
		for k, a := range open {
			if k.end-1 <= wm {
				rows = append(rows, fmt.Sprintf("%s, %d, %d, %d, %d, %d, %d", k.key, a.n, a.s, a.m, k.start, k.end, k.end-1))
				delete(open, k)
			}
		}
	}
	wm := stream.MinTime
	for _, r := range rs {
		if r.wm {
			wm = r.ts
			fire(wm)
			continue
		}
		windows := naive(w, r.ts)
		fired := 0
		for _, x := range windows {
			if x[1]-1 <= wm {
				fired++
				continue
			}
			k := id{r.key, x[0], x[1]}
			if open[k] == nil {
				open[k] = &acc{m: r.v}
			}
			a := open[k]
			a.n, a.s, a.m = a.n+1, a.s+r.v, max(a.m, r.v)
		}
		if len(windows) > 0 && fired == len(windows) {
			late++
		}
	}
	fire(stream.MaxTime)
	slices.Sort(rows)
	return rows, late
}

// sessionModel is model for SESSION: the sessions of a key are kept as lists of rows.
func sessionModel(gap int64, rs []reading) (rows []string, late int64) {
	type session struct{ start, end, n, s, m int64 }
	open := map[string][]session{}
	fire := func(wm int64) {
		for k, list := range open {
			var left []session
			for _, x := range list {
				if x.end-1 <= wm {
					rows = append(rows, fmt.Sprintf("%s, %d, %d, %d, %d, %d, %d", k, x.n, x.s, x.m, x.start, x.end, x.end-1))
				} else {
					left = append(left, x)
				}
			}
			open[k] = left
		}
	}
	wm := stream.MinTime
	for _, r := range rs {
		if r.wm {
			wm = r.ts
			fire(wm)
			continue
		}
		merged := session{r.ts, r.ts + gap, 1, r.v, r.v}
		var left []session
		for _, x := range open[r.key] {
			if x.start <= r.ts+gap && x.end >= r.ts {
				merged = session{
					min(merged.start, x.start), max(merged.end, x.end), merged.n + x.n, merged.s + x.s, max(merged.m, x.m),
				}
			} else {
				left = append(left, x)
			}
		}
		if merged.end-1 <= wm {
			late++
			continue
		}
		open[r.key] = append(left, merged)
	}
	fire(stream.MaxTime)
	slices.Sort(rows)
	return rows, late
}

func drawConfig(t *rapid.T) optest.Config {
	all := optest.Configs()
	c := all[rapid.IntRange(0, len(all)-1).Draw(t, "config")]
	c.Pebble = false // its start takes longer than the test
	return c
}

func checkRows(t *rapid.T, c optest.Case, cfg optest.Config, want []string, late int64) {
	t.Helper()
	res, err := optest.Execute(t, c, cfg)
	if err != nil {
		t.Fatalf("%s: %v", cfg, err)
	}
	if got := res.RowsOf(); !slices.Equal(got, want) {
		t.Fatalf("%s:\n  %s\nwant\n  %s", cfg, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	if res.Late != late {
		t.Fatalf("%s: %d late, want %d", cfg, res.Late, late)
	}
}

func TestSingleEqualsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, rs, cfg := drawWindowing(t), drawReadings(t), drawConfig(t)
		want, late := model(w, rs)
		checkRows(t, optest.Case{
			Name: "single", In: modelIn, Out: modelOut, Keys: []int{0}, Events: events(rs, 5),
			New: func() (op.Operator, error) { return New(modelSpec(w, graph.Single), modelIn, modelOut) },
		}, cfg, want, late)
	})
}

func TestSessionEqualsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := graph.Windowing{Kind: graph.Session, GapMS: rapid.Int64Range(1, 40).Draw(t, "gap")}
		rs, cfg := drawReadings(t), drawConfig(t)
		want, late := sessionModel(w.GapMS, rs)
		checkRows(t, optest.Case{
			Name: "session", In: modelIn, Out: modelOut, Keys: []int{0}, Events: events(rs, 5),
			New: func() (op.Operator, error) { return New(modelSpec(w, graph.Single), modelIn, modelOut) },
		}, cfg, want, late)
	})
}

// TestTwoStagesEqualModel runs Local and Global as one operator: what the first emits goes into the second. The first aggregates or passes rows on.
func TestTwoStagesEqualModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, rs, cfg, pass := drawWindowing(t), drawReadings(t), drawConfig(t), rapid.Bool().Draw(t, "pass")
		want, late := model(w, rs)
		checkRows(t, optest.Case{
			Name: "two stages", In: modelIn, Out: modelOut, Keys: []int{0}, Events: events(rs, 5),
			New: func() (op.Operator, error) {
				o, err := newTwoStages(w)
				if err == nil && pass {
					o.(*twoStages).local.(*local).pass = 1 << 40
				}
				return o, err
			},
		}, cfg, want, late)
	})
}

// twoStages chains a Local stage before a Global one. It snapshots both; the store is the Global stage's.
type twoStages struct {
	local, global op.Operator
}

func newTwoStages(w graph.Windowing) (op.Operator, error) {
	l, err := New(modelSpec(w, graph.Local), modelIn, modelMid)
	if err != nil {
		return nil, err
	}
	g, err := New(modelSpec(w, graph.Global), modelMid, modelOut)
	return &twoStages{l, g}, err
}

// mid is the output of the Local stage.
type mid struct {
	global op.Operator
	out    op.Output
}

func (m mid) Emit(b *vec.Batch) error { return m.global.Process(0, b, m.out) }
func (m mid) EmitWatermark(wm stream.Time) error {
	return m.global.(op.WatermarkHandler).OnWatermark(wm, m.out)
}

func (o *twoStages) Open(ctx *op.Context) error {
	if err := o.local.Open(ctx); err != nil {
		return err
	}
	return o.global.Open(ctx)
}

func (o *twoStages) Process(in int, b *vec.Batch, out op.Output) error {
	return o.local.Process(in, b, mid{o.global, out})
}

func (o *twoStages) OnWatermark(wm stream.Time, out op.Output) error {
	return o.local.(op.WatermarkHandler).OnWatermark(wm, mid{o.global, out})
}

func (o *twoStages) Flush(out op.Output) error { return o.local.(op.Flusher).Flush(mid{o.global, out}) }

func (o *twoStages) Snapshot(e stream.Epoch) ([]byte, error) {
	return o.global.(op.Snapshotter).Snapshot(e)
}

func (o *twoStages) Restore(parts [][]byte) error {
	if err := o.local.(op.Snapshotter).Restore(parts); err != nil {
		return err
	}
	return o.global.(op.Snapshotter).Restore(parts)
}

func (o *twoStages) Close() error { return nil }

// TestParallelLocals feeds rows to two Local stages with watermarks of their own before one Global stage: the result is that of one stage
// behind the lower watermark, as long as no row is late for its own Local stage.
func TestParallelLocals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWindowing(t)
		var all []reading
		var got []string
		sink := collector{rows: &got}
		g, err := New(modelSpec(w, graph.Global), modelMid, modelOut)
		open(t, g, err, 1)
		wms := [2]int64{stream.MinTime, stream.MinTime}
		merged := stream.MinTime
		var ls [2]op.Operator
		for i := range ls {
			ls[i], err = New(modelSpec(w, graph.Local), modelIn, modelMid)
			open(t, ls[i], err, optest.Plenty)
		}
		for range rapid.IntRange(1, 60).Draw(t, "n") {
			i := rapid.IntRange(0, 1).Draw(t, "task")
			at := rapid.Int64Range(0, 200).Draw(t, "at")
			if wms[i] != stream.MinTime {
				at += wms[i] + 1
			}
			if rapid.IntRange(0, 4).Draw(t, "what") > 0 {
				r := reading{key: fmt.Sprint("k", rapid.IntRange(1, 3).Draw(t, "key")), v: at % 7, ts: at}
				all = append(all, r)
				b := optest.Batch(modelIn, fmt.Sprintf("%s, %d, %d", r.key, r.v, r.ts))
				must(t, ls[i].Process(0, b, relay{g, &sink, nil}))
				continue
			}
			wms[i] = at
			must(t, ls[i].(op.WatermarkHandler).OnWatermark(at, relay{g, &sink, func(int64) error {
				if low := min(wms[0], wms[1]); low > merged {
					merged = low
					return g.(op.WatermarkHandler).OnWatermark(low, &sink)
				}
				return nil
			}}))
		}
		for i := range ls {
			must(t, ls[i].(op.Flusher).Flush(relay{g, &sink, nil}))
		}
		must(t, g.(op.WatermarkHandler).OnWatermark(stream.MaxTime, &sink))
		want, _ := model(w, all)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	})
}

func must(t interface{ Fatal(...any) }, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

// open opens an operator without a store.
func open(t interface{ Fatal(...any) }, o op.Operator, err error, memory int64) {
	must(t, err)
	must(t, o.Open(&op.Context{
		Clock: &optest.FakeClock{}, Metrics: &op.Metrics{}, MemoryBytes: memory, Location: time.UTC, Task: op.TaskInfo{MaxParallelism: 128},
	}))
}

// collector keeps the rows that it is given.
type collector struct{ rows *[]string }

func (c *collector) Emit(b *vec.Batch) error {
	*c.rows = append(*c.rows, optest.FormatBatch(b)...)
	return nil
}
func (c *collector) EmitWatermark(stream.Time) error { return nil }

// relay hands batches to an operator and watermarks to a function.
type relay struct {
	to  op.Operator
	out op.Output
	wm  func(int64) error
}

func (r relay) Emit(b *vec.Batch) error { return r.to.Process(0, b, r.out) }
func (r relay) EmitWatermark(wm stream.Time) error {
	if r.wm == nil {
		return nil
	}
	return r.wm(wm)
}
