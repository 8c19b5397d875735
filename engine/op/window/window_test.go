package window

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/op/optest"
	"github.com/bramble-stream/bramble/engine/vec"
)

// runSingle runs COUNT, SUM and MAX by key k over the windowing.
func runSingle(t *testing.T, w graph.Windowing, c optest.Case) {
	t.Helper()
	spec := modelSpec(w, graph.Single)
	c.In, c.Out, c.Keys = modelIn, modelOut, []int{0}
	c.New = func() (op.Operator, error) { return New(spec, modelIn, modelOut) }
	optest.Run(t, c)
}

func TestTumbleScript(t *testing.T) {
	runSingle(t, graph.Windowing{Kind: graph.Tumble, SizeMS: 10}, optest.Case{
		Name: "tumble", Late: 1, Bad: 1, SideTags: []string{"late"},
		Script: `
			a, 1, 3
			b, 2, 12
			a, 3, 9
			NULL, 4, 5
			x, 1, NULL
			wm 8
			a, 5, 0
			barrier
			wm 9
			a, 6, 9
			a, 7, 10
			wm 18
			end`,
		Want: `
			wm 8
			a, 3, 9, 5, 0, 10, 9
			NULL, 1, 4, 4, 0, 10, 9
			wm 9
			wm 18
			b, 1, 2, 2, 10, 20, 19
			a, 1, 7, 7, 10, 20, 19
			wm max`,
		Side: "late: a, 6, 9",
	})
}

func TestHopLateSlice(t *testing.T) {
	// The row at 3 is behind the first window that holds it, and counts for the second.
	runSingle(t, graph.Windowing{Kind: graph.Hop, SizeMS: 20, SlideMS: 10}, optest.Case{
		Name: "hop", Late: 1,
		Script: `
			a, 1, 15
			wm 10
			a, 2, 3
			wm 19
			a, 4, 9
			end`,
		Want: `
			wm 10
			a, 2, 3, 2, 0, 20, 19
			wm 19
			a, 1, 1, 1, 10, 30, 29
			wm max`,
	})
}

func TestCumulateScript(t *testing.T) {
	runSingle(t, graph.Windowing{Kind: graph.Cumulate, SizeMS: 30, SlideMS: 10, OffsetMS: 5}, optest.Case{
		Name: "cumulate",
		Script: `
			a, 1, 7
			b, 2, 26
			barrier
			wm 13
			wm 14
			wm 40
			end`,
		Want: `
			wm 13
			a, 1, 1, 1, 5, 15, 14
			wm 14
			a, 1, 1, 1, 5, 25, 24
			a, 1, 1, 1, 5, 35, 34
			b, 1, 2, 2, 5, 35, 34
			wm 40
			wm max`,
	})
}

func TestNoKeys(t *testing.T) {
	out := optest.Schema("n BIGINT, window_start TIMESTAMP, window_end TIMESTAMP, window_time TIMESTAMP")
	spec := graph.WindowSpec{Windowing: graph.Windowing{Kind: graph.Tumble, SizeMS: 10, TimeCol: 2}, Stage: graph.Single, Aggs: modelAggs[:1]}
	optest.Run(t, optest.Case{
		Name: "no keys", In: modelIn, Out: out, New: func() (op.Operator, error) { return New(spec, modelIn, out) },
		Script: "a, 1, 1\nb, 2, 2\nc, 1, 35\nend", Want: "2, 0, 10, 9\n1, 30, 40, 39\nwm max",
	})
}

// TestLocalDays has windows of a local day over the night in which clocks go forward, and back: days of 23 and 25 hours.
func TestLocalDays(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	in := optest.Schema("k STRING, v BIGINT, ts TIMESTAMP_LTZ")
	out := optest.Schema("k STRING, n BIGINT, s BIGINT, m BIGINT, window_start TIMESTAMP, window_end TIMESTAMP, window_time TIMESTAMP_LTZ")
	ms := func(s string) int64 {
		at, err := time.Parse("2006-01-02T15:04:05.000", s)
		if err != nil {
			t.Fatal(err)
		}
		return at.UnixMilli()
	}
	spec := modelSpec(graph.Windowing{Kind: graph.Tumble, SizeMS: 24 * 3600 * 1000, LTZ: true}, graph.Single)
	optest.Run(t, optest.Case{
		Name: "local days", In: in, Out: out, Keys: []int{0}, Location: berlin,
		New: func() (op.Operator, error) { return New(spec, in, out) },
		// 2021-03-28 begins at 23:00 UTC and ends at 22:00 UTC
		Script: fmt.Sprintf("a, 1, %d\na, 2, %d\na, 4, %d\nwm %d\nwm %d\na, 8, %d\nwm %d\nend",
			ms("2021-03-27T22:59:59.999"), ms("2021-03-27T23:00:00.000"), ms("2021-03-28T21:59:59.999"),
			ms("2021-03-28T21:59:59.998"), ms("2021-03-28T21:59:59.999"), ms("2021-10-31T22:59:59.999"), ms("2021-10-31T22:59:59.998")),
		Want: fmt.Sprintf("a, 1, 1, 1, %d, %d, %d\nwm %d\na, 2, 6, 4, %d, %d, %d\nwm %d\nwm %d\na, 1, 8, 8, %d, %d, %d\nwm max",
			ms("2021-03-27T00:00:00.000"), ms("2021-03-28T00:00:00.000"), ms("2021-03-27T22:59:59.999"), ms("2021-03-28T21:59:59.998"),
			ms("2021-03-28T00:00:00.000"), ms("2021-03-29T00:00:00.000"), ms("2021-03-28T21:59:59.999"), ms("2021-03-28T21:59:59.999"),
			ms("2021-10-31T22:59:59.998"),
			ms("2021-10-31T00:00:00.000"), ms("2021-11-01T00:00:00.000"), ms("2021-10-31T22:59:59.999")),
	})
}

func TestProcessingTime(t *testing.T) {
	out := optest.Schema("k STRING, n BIGINT, s BIGINT, m BIGINT, window_start TIMESTAMP, window_end TIMESTAMP, window_time TIMESTAMP_LTZ")
	spec := modelSpec(graph.Windowing{Kind: graph.Tumble, SizeMS: 1000}, graph.Single)
	spec.Windowing.TimeCol = -1
	optest.Run(t, optest.Case{
		Name: "processing time", In: modelIn, Out: out, Keys: []int{0}, Start: 500,
		New: func() (op.Operator, error) { return New(spec, modelIn, out) },
		Script: `
			a, 1, NULL
			wm 5000
			clock 999
			a, 2, 0
			clock 1000
			a, 3, 0
			barrier
			clock 5300
			a, 4, 0
			end`,
		Want: `
			wm 5000
			a, 2, 3, 2, 0, 1000, 999
			a, 1, 3, 3, 1000, 2000, 1999
			a, 1, 4, 4, 5000, 6000, 5999
			wm max`,
	})
}

func TestProcessingTimeSession(t *testing.T) {
	out := optest.Schema("k STRING, n BIGINT, s BIGINT, m BIGINT, window_start TIMESTAMP, window_end TIMESTAMP, window_time TIMESTAMP_LTZ")
	spec := modelSpec(graph.Windowing{Kind: graph.Session, GapMS: 100}, graph.Single)
	spec.Windowing.TimeCol = -1
	optest.Run(t, optest.Case{
		Name: "processing time session", In: modelIn, Out: out, Keys: []int{0}, Start: 500,
		New: func() (op.Operator, error) { return New(spec, modelIn, out) },
		Script: `
			a, 1, NULL
			clock 599
			a, 2, 0
			b, 1, 0
			clock 698
			barrier
			clock 699
			a, 3, 0
			end`,
		Want: `
			a, 2, 3, 2, 500, 699, 698
			b, 1, 1, 1, 599, 699, 698
			a, 1, 3, 3, 699, 799, 798
			wm max`,
	})
}

func TestSessionScript(t *testing.T) {
	runSingle(t, graph.Windowing{Kind: graph.Session, GapMS: 10}, optest.Case{
		Name: "session", Late: 1, Bad: 1, SideTags: []string{"late"},
		Script: `
			a, 1, 0
			a, 2, 30
			b, 9, 5
			c, 1, NULL
			# joins both
			a, 4, 20
			a, 8, 10
			barrier
			wm 14
			# late alone, and so for b; for a there is an open session
			b, 5, 2
			a, 16, 3
			wm 39
			end`,
		Want: `
			b, 1, 9, 9, 5, 15, 14
			wm 14
			a, 5, 31, 16, 0, 40, 39
			wm 39
			wm max`,
		Side: "late: b, 5, 2",
	})
}

var (
	attachedIn  = optest.Schema("k STRING, v BIGINT, window_start TIMESTAMP, window_end TIMESTAMP")
	attachedOut = optest.Schema("k STRING, n BIGINT, window_start TIMESTAMP, window_end TIMESTAMP, window_time TIMESTAMP")
)

func TestAttached(t *testing.T) {
	spec := graph.WindowSpec{
		Windowing: graph.Windowing{Kind: graph.Attached, StartCol: 2, EndCol: 3, TimeCol: 3}, Stage: graph.Single,
		Keys: []int{0}, Aggs: modelAggs[:1], InputKeyTypes: []vec.Type{vec.TypeString},
	}
	optest.Run(t, optest.Case{
		Name: "attached", In: attachedIn, Out: attachedOut, Keys: []int{0}, Late: 1, Bad: 1,
		New: func() (op.Operator, error) { return New(spec, attachedIn, attachedOut) },
		Script: `
			a, 1, 0, 10
			a, 2, 0, 10
			a, 3, 5, 10
			b, 4, 10, 20
			b, 4, 10, NULL
			barrier
			wm 9
			a, 5, 0, 10
			end`,
		Want: `
			a, 2, 0, 10, 9
			a, 1, 5, 10, 9
			wm 9
			b, 1, 10, 20, 19
			wm max`,
	})
}

// TestAttachedProcessingTime: rows come when their windows have just ended.
func TestAttachedProcessingTime(t *testing.T) {
	spec := graph.WindowSpec{
		Windowing: graph.Windowing{Kind: graph.Attached, StartCol: 2, EndCol: 3, TimeCol: -1}, Stage: graph.Single,
		Keys: []int{0}, Aggs: modelAggs[:1], InputKeyTypes: []vec.Type{vec.TypeString},
	}
	optest.Run(t, optest.Case{
		Name: "attached processing time", In: attachedIn, Out: attachedOut, Keys: []int{0}, Late: 1, Start: 100,
		New: func() (op.Operator, error) { return New(spec, attachedIn, attachedOut) },
		Script: `
			a, 1, 0, 100
			barrier
			clock 1099
			a, 2, 0, 100
			clock 1100
			wm 5000
			a, 3, 0, 100
			b, 4, 1000, 1200
			end`,
		Want: `
			a, 2, 0, 100, 99
			wm 5000
			b, 1, 1000, 1200, 1199
			wm max`,
	})
}

// TestAttachedTwoStages: windows of a known size are aggregated in two stages, and stay apart although they overlap.
func TestAttachedTwoStages(t *testing.T) {
	w := graph.Windowing{Kind: graph.Attached, StartCol: 2, EndCol: 3, TimeCol: 3, SizeMS: 20}
	local := graph.WindowSpec{Windowing: w, Stage: graph.Local, Keys: []int{0}, Aggs: modelAggs[:1], InputKeyTypes: []vec.Type{vec.TypeString}}
	global := local
	global.Stage, global.Windowing.TimeCol = graph.Global, 1
	middle := optest.Schema("k STRING, slice_end BIGINT, n BIGINT")
	optest.Run(t, optest.Case{
		Name: "attached two stages", In: attachedIn, Out: attachedOut, Keys: []int{0}, Late: 1,
		New: func() (op.Operator, error) {
			l, err := New(local, attachedIn, middle)
			if err != nil {
				return nil, err
			}
			g, err := New(global, middle, attachedOut)
			return &twoStages{l, g}, err
		},
		Script: `
			a, 1, 0, 20
			a, 1, 10, 30
			a, 2, 10, 30
			barrier
			wm 19
			a, 3, 0, 20
			end`,
		Want: `
			a, 1, 0, 20, 19
			wm 19
			a, 2, 10, 30, 29
			wm max`,
	})
}

// TestLatePartials: a partial row counts as the records that it stands for.
func TestLatePartials(t *testing.T) {
	spec := modelSpec(graph.Windowing{Kind: graph.Tumble, SizeMS: 10}, graph.Global)
	optest.Run(t, optest.Case{
		Name: "late partials", In: modelMid, Out: modelOut, Keys: []int{0}, Late: 5,
		New: func() (op.Operator, error) { return New(spec, modelMid, modelOut) },
		Script: `
			a, 10, 2, 5, 4
			a, 10, 1, 1, 1
			wm 9
			a, 10, 4, 5, 4
			b, 10, 1, 5, 4
			end`,
		Want: `
			a, 3, 6, 4, 0, 10, 9
			wm 9
			wm max`,
	})
}

// TestKeysOfManyTypes has NULLs in keys, FILTER and DISTINCT, over slices that are merged.
func TestKeysOfManyTypes(t *testing.T) {
	in := optest.Schema("a INT, d DECIMAL:10:2, f DOUBLE, s STRING, v BIGINT, p BOOLEAN, ts TIMESTAMP")
	out := optest.Schema("s STRING, d DECIMAL:10:2, a INT, f DOUBLE, n BIGINT, u BIGINT, l STRING, " +
		"window_start TIMESTAMP, window_end TIMESTAMP, window_time TIMESTAMP")
	spec := graph.WindowSpec{
		Windowing: graph.Windowing{Kind: graph.Hop, SizeMS: 20, SlideMS: 10, TimeCol: 6}, Stage: graph.Single, Keys: []int{3, 1, 0, 2},
		InputKeyTypes: []vec.Type{vec.TypeString, vec.DecimalOf(10, 2), vec.TypeInt32, vec.TypeFloat64},
		Aggs: []agg.Spec{
			{Func: "COUNT", Filter: 5, Type: vec.TypeInt64, Name: "n"},
			{Func: "COUNT", Args: []int{4}, ArgTypes: []vec.Type{vec.TypeInt64}, Distinct: true, Filter: -1, Type: vec.TypeInt64, Name: "u"},
			{Func: "LISTAGG", Args: []int{3}, ArgTypes: []vec.Type{vec.TypeString}, Filter: -1, Separator: "+", Type: vec.TypeString, Name: "l"},
		},
	}
	optest.Run(t, optest.Case{
		Name: "keys of many types", In: in, Out: out, Keys: []int{3, 1, 0, 2}, New: func() (op.Operator, error) { return New(spec, in, out) },
		Script: `
			1, 0.50, 1.5, x, 7, true, 1
			1, 0.50, 1.5, x, 7, false, 2
			1, NULL, 1.5, x, 7, NULL, 3
			barrier
			1, 0.50, 1.5, x, 8, true, 11
			NULL, NULL, NULL, NULL, NULL, true, 12
			NULL, NULL, NULL, NULL, 1, true, 13
			end`,
		Want: `
			x, 0.50, 1, 1.5, 1, 1, x+x, -10, 10, 9
			x, NULL, 1, 1.5, 0, 1, x, -10, 10, 9
			x, 0.50, 1, 1.5, 2, 2, x+x+x, 0, 20, 19
			x, NULL, 1, 1.5, 0, 1, x, 0, 20, 19
			NULL, NULL, NULL, NULL, 2, 1, NULL, 0, 20, 19
			x, 0.50, 1, 1.5, 1, 1, x, 10, 30, 29
			NULL, NULL, NULL, NULL, 2, 1, NULL, 10, 30, 29
			wm max`,
	})
}

// TestLocalFlushesByMemory: without watermarks or pauses a Local stage still holds a bounded number of keys, and goes on aggregating afterwards.
func TestLocalFlushesByMemory(t *testing.T) {
	o, err := New(modelSpec(graph.Windowing{Kind: graph.Tumble, SizeMS: 1000}, graph.Local), modelIn, modelMid)
	open(t, o, err, optest.Plenty)
	var rows []string
	sink := &collector{&rows}
	const n = 40
	for i := range n {
		b := vec.NewBatch(modelIn)
		for r := range vec.MaxRows {
			// each key four times in a row of batches
			must(t, optest.AppendRow(b, fmt.Sprintf("k%d-%d, 1, 0", i/4, r)))
		}
		must(t, o.Process(0, b, sink))
		if held := o.(*local).tab.HotKeys(); held > localKeys {
			t.Fatalf("%d keys are held", held)
		}
	}
	must(t, o.(op.Flusher).Flush(sink))
	// one flush came between the first and the second time of a thousand keys
	if want := (n/4 + 1) * vec.MaxRows; len(rows) != want || o.(*local).pass != 0 {
		t.Errorf("%d partials, want %d; %d rows are passed on", len(rows), want, o.(*local).pass)
	}
}

// TestSpill has more keys than memory, in overlapping windows and in sessions.
func TestSpill(t *testing.T) {
	const keys = 6000
	var events []optest.Event
	for round := range int64(3) {
		for k := range keys {
			events = append(events, optest.Row("key-%d, %d, %d", k, round, round*10))
		}
	}
	events = append(events, optest.Watermark(9), optest.Event{Kind: optest.BarrierEvent}, optest.Event{Kind: optest.EndEvent})
	for name, c := range map[string]struct {
		w    graph.Windowing
		want []string
	}{
		"hop": {graph.Windowing{Kind: graph.Hop, SizeMS: 20, SlideMS: 10}, []string{
			"1, 0, 0, -10, 10, 9", "2, 1, 1, 0, 20, 19", "2, 3, 2, 10, 30, 29", "1, 2, 2, 20, 40, 39",
		}},
		"tumble":  {graph.Windowing{Kind: graph.Tumble, SizeMS: 100}, []string{"3, 3, 2, 0, 100, 99"}},
		"session": {graph.Windowing{Kind: graph.Session, GapMS: 10}, []string{"3, 3, 2, 0, 30, 29"}},
		"sessions": {graph.Windowing{Kind: graph.Session, GapMS: 9}, []string{
			"1, 0, 0, 0, 9, 8", "1, 1, 1, 10, 19, 18", "1, 2, 2, 20, 29, 28",
		}},
	} {
		var want []string
		for k := range keys {
			for _, w := range c.want {
				want = append(want, fmt.Sprintf("key-%d, %s", k, w))
			}
		}
		slices.Sort(want)
		for _, cfg := range []optest.Config{
			{Batch: 1000, Tasks: 1, MemoryBytes: 100 << 10},
			{Batch: 1000, Tasks: 2, MemoryBytes: 100 << 10, Restore: optest.AtBarriers, Rescale: true, Pebble: true},
		} {
			var made []op.Operator
			res, err := optest.Execute(t, optest.Case{
				Name: name, In: modelIn, Out: modelOut, Keys: []int{0}, Events: events,
				New: func() (op.Operator, error) {
					o, err := New(modelSpec(c.w, graph.Single), modelIn, modelOut)
					made = append(made, o)
					return o, err
				},
			}, cfg)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !spilled(made[0]) {
				t.Errorf("%s [%s]: nothing was spilled", name, cfg)
			}
			if got := res.RowsOf(); !slices.Equal(got, want) {
				t.Errorf("%s [%s]: %d rows, want %d; first %q, want %q", name, cfg, len(got), len(want), got[0], want[0])
			}
		}
	}
}

func spilled(o op.Operator) bool {
	switch o := o.(type) {
	case *sliced:
		return o.tab.Spills() > 0
	case *sessionAgg:
		return o.sessions.backed
	}
	return false
}

// TestLocalPassesOn: keys that do not repeat are not aggregated after a while, and the partials add up all the same.
func TestLocalPassesOn(t *testing.T) {
	o, err := New(modelSpec(graph.Windowing{Kind: graph.Tumble, SizeMS: 1000}, graph.Local), modelIn, modelMid)
	open(t, o, err, optest.Plenty)
	var rows []string
	sink := &collector{&rows}
	const n = 40
	for i := range n {
		b := vec.NewBatch(modelIn)
		for r := range vec.MaxRows {
			must(t, optest.AppendRow(b, fmt.Sprintf("k%d-%d, 1, %d", i, r, i)))
		}
		must(t, o.Process(0, b, sink))
		if i%4 == 3 {
			must(t, o.(op.Flusher).Flush(sink))
		}
	}
	must(t, o.(op.Flusher).Flush(sink))
	if o.(*local).pass == 0 {
		t.Error("rows are aggregated although keys do not repeat")
	}
	seen := map[string]bool{}
	for _, r := range rows {
		key, rest, _ := strings.Cut(r, ",")
		if seen[key] || rest != " 1000, 1, 1, 1" {
			t.Fatalf("partial %q", r)
		}
		seen[key] = true
	}
	if len(seen) != n*vec.MaxRows {
		t.Errorf("%d partials, want %d", len(seen), n*vec.MaxRows)
	}
}

func TestAssign(t *testing.T) {
	out := optest.Schema("k STRING, v BIGINT, ts TIMESTAMP, window_start TIMESTAMP, window_end TIMESTAMP, window_time TIMESTAMP")
	script := "+U a, 1, 13\nb, NULL, -1\nx, 5, NULL\nwm 100\nbarrier\nc, 3, 20\nend"
	for _, c := range []struct {
		w    graph.Windowing
		want string
	}{
		{
			graph.Windowing{Kind: graph.Tumble, SizeMS: 10},
			"+U a, 1, 13, 10, 20, 19\nb, NULL, -1, -10, 0, -1\nwm 100\nc, 3, 20, 20, 30, 29\nwm max",
		},
		{graph.Windowing{Kind: graph.Hop, SizeMS: 20, SlideMS: 10}, `
			+U a, 1, 13, 0, 20, 19
			+U a, 1, 13, 10, 30, 29
			b, NULL, -1, -20, 0, -1
			b, NULL, -1, -10, 10, 9
			wm 100
			c, 3, 20, 10, 30, 29
			c, 3, 20, 20, 40, 39
			wm max`},
		{
			graph.Windowing{Kind: graph.Hop, SizeMS: 5, SlideMS: 10},
			"+U a, 1, 13, 10, 15, 14\nwm 100\nc, 3, 20, 20, 25, 24\nwm max",
		},
		{graph.Windowing{Kind: graph.Cumulate, SizeMS: 20, SlideMS: 10}, `
			+U a, 1, 13, 0, 20, 19
			b, NULL, -1, -20, 0, -1
			wm 100
			c, 3, 20, 20, 30, 29
			c, 3, 20, 20, 40, 39
			wm max`},
	} {
		c.w.TimeCol = 2
		optest.Run(t, optest.Case{
			Name: "assign " + string(c.w.Kind), In: modelIn, Out: out, Script: script, Want: c.want, Bad: 1,
			New: func() (op.Operator, error) { return NewAssign(graph.AssignSpec{Windowing: c.w}, modelIn, out) },
		})
	}
}

func TestAssignManyWindows(t *testing.T) {
	out := optest.Schema("k STRING, v BIGINT, ts TIMESTAMP, window_start TIMESTAMP, window_end TIMESTAMP, window_time TIMESTAMP")
	o, err := NewAssign(graph.AssignSpec{Windowing: graph.Windowing{Kind: graph.Hop, SizeMS: 600, SlideMS: 1, TimeCol: 2}}, modelIn, out)
	open(t, o, err, 0)
	var rows []string
	must(t, o.Process(0, optest.Batch(modelIn, "a, 1, 5", "b, 2, 6", "c, 3, 7"), &collector{&rows}))
	if len(rows) != 1800 || rows[0] != "a, 1, 5, -594, 6, 5" || rows[1799] != "c, 3, 7, 7, 607, 606" {
		t.Errorf("%d rows from %s to %s", len(rows), rows[0], rows[len(rows)-1])
	}
}

func TestAssignSession(t *testing.T) {
	out := optest.Schema("k STRING, v BIGINT, ts TIMESTAMP, window_start TIMESTAMP, window_end TIMESTAMP, window_time TIMESTAMP")
	spec := graph.AssignSpec{Windowing: graph.Windowing{Kind: graph.Session, GapMS: 10, TimeCol: 2}, Keys: []int{0}}
	optest.Run(t, optest.Case{
		Name: "assign session", In: modelIn, Out: out, Keys: []int{0}, Late: 1,
		New: func() (op.Operator, error) { return NewAssign(spec, modelIn, out) },
		Script: `
			a, 1, 0
			+U a, NULL, 15
			b, 2, 3
			NULL, 7, 100
			a, 3, 9
			barrier
			wm 12
			b, 4, 1
			wm 24
			end`,
		Want: `
			b, 2, 3, 3, 13, 12
			wm 12
			a, 1, 0, 0, 25, 24
			a, 3, 9, 0, 25, 24
			+U a, NULL, 15, 0, 25, 24
			wm 24
			NULL, 7, 100, 100, 110, 109
			wm max`,
	})
}

// TestOrderedFunctions: FIRST_VALUE and LAST_VALUE see rows in order, through slices and restores.
func TestOrderedFunctions(t *testing.T) {
	out := optest.Schema("k STRING, f BIGINT, l BIGINT, window_start TIMESTAMP, window_end TIMESTAMP, window_time TIMESTAMP")
	spec := modelSpec(graph.Windowing{Kind: graph.Hop, SizeMS: 20, SlideMS: 10}, graph.Single)
	spec.Aggs = []agg.Spec{
		{Func: "FIRST_VALUE", Args: []int{1}, ArgTypes: []vec.Type{vec.TypeInt64}, Filter: -1, Type: vec.TypeInt64, Name: "f"},
		{Func: "LAST_VALUE", Args: []int{1}, ArgTypes: []vec.Type{vec.TypeInt64}, Filter: -1, Type: vec.TypeInt64, Name: "l"},
	}
	optest.Run(t, optest.Case{
		Name: "ordered", In: modelIn, Out: out, Keys: []int{0}, New: func() (op.Operator, error) { return New(spec, modelIn, out) },
		Script: "a, 1, 0\na, 2, 1\nbarrier\na, 3, 11\na, 4, 12\nend",
		Want:   "a, 1, 2, -10, 10, 9\na, 1, 4, 0, 20, 19\na, 3, 4, 10, 30, 29\nwm max",
	})
}

func TestRetractionsAreRefused(t *testing.T) {
	for _, w := range []graph.Windowing{{Kind: graph.Tumble, SizeMS: 10}, {Kind: graph.Session, GapMS: 10}} {
		o, err := New(modelSpec(w, graph.Single), modelIn, modelOut)
		open(t, o, err, 0)
		if err := o.Process(0, optest.Batch(modelIn, "-D a, 1, 1"), &collector{}); err == nil {
			t.Errorf("%s: no error", w.Kind)
		}
	}
}

func TestRestoreRefusesGarbage(t *testing.T) {
	o, err := New(modelSpec(graph.Windowing{Kind: graph.Tumble, SizeMS: 10}, graph.Single), modelIn, modelOut)
	open(t, o, err, 0)
	for _, p := range [][]byte{nil, {1}, {2, 0, 0, 0, 0, 0, 0, 0, 0}} {
		if err := o.(op.Snapshotter).Restore([][]byte{p}); err == nil {
			t.Errorf("%x: no error", p)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	good := modelSpec(graph.Windowing{Kind: graph.Tumble, SizeMS: 10}, graph.Single)
	for name, change := range map[string]func(*graph.WindowSpec){
		"no size":                func(s *graph.WindowSpec) { s.Windowing.SizeMS = 0 },
		"stage":                  func(s *graph.WindowSpec) { s.Stage = "half" },
		"key column":             func(s *graph.WindowSpec) { s.Keys = []int{7} },
		"key type":               func(s *graph.WindowSpec) { s.Keys = []int{1} },
		"key types":              func(s *graph.WindowSpec) { s.InputKeyTypes = nil },
		"time column":            func(s *graph.WindowSpec) { s.Windowing.TimeCol = 1 },
		"time column's position": func(s *graph.WindowSpec) { s.Windowing.TimeCol = 3 },
		"output":                 func(s *graph.WindowSpec) { s.Aggs = s.Aggs[:1] },
		"session gap":            func(s *graph.WindowSpec) { s.Windowing.Kind = graph.Session },
		"session in two stages":  func(s *graph.WindowSpec) { s.Windowing.Kind, s.Stage = graph.Session, graph.Global },
		"clock in two stages":    func(s *graph.WindowSpec) { s.Windowing.TimeCol, s.Stage = -1, graph.Local },
		"attached columns":       func(s *graph.WindowSpec) { s.Windowing.Kind = graph.Attached },
		"global input":           func(s *graph.WindowSpec) { s.Stage = graph.Global },
		"local output":           func(s *graph.WindowSpec) { s.Stage = graph.Local },
		"kind":                   func(s *graph.WindowSpec) { s.Windowing.Kind = "ROUND" },
	} {
		s := good
		change(&s)
		if _, err := New(s, modelIn, modelOut); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(good, modelIn, modelOut); err != nil {
		t.Error(err)
	}
}
