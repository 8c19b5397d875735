package join

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/op/optest"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// The harness has one input: rows of both sides come through it, told apart by their first column.
var (
	bothIn = optest.Schema("side INT, k BIGINT, v STRING, t TIMESTAMP")
	oneIn  = optest.Schema("k BIGINT, v STRING, t TIMESTAMP")
	moreIn = optest.Schema("k BIGINT, v STRING, t TIMESTAMP, again BIGINT")
)

// merged hands the rows of side 0 and 1 to a join's inputs, in runs.
type merged struct {
	op.Operator
}

type mergedFull struct {
	*merged
	op.Snapshotter
	op.WatermarkHandler
}

type mergedTimer struct {
	*merged
	op.Snapshotter
	op.Timer
}

func (m *merged) Process(_ int, b *vec.Batch, out op.Output) error {
	sides := vec.Values[int32](b.Col(0))
	sel := b.Sel()
	if sel == nil {
		for i := range b.Rows() {
			sel = append(sel, i)
		}
	}
	for from := 0; from < len(sel); {
		to := from
		for to < len(sel) && sides[sel[to]] == sides[sel[from]] {
			to++
		}
		v := vec.NewBatchOf(oneIn, b.Rows(), b.Cols()[1:]...)
		if sides[sel[from]] == 1 {
			v = vec.NewBatchOf(moreIn, b.Rows(), append(slices.Clone(b.Cols()[1:]), b.Col(1))...)
		}
		v.SetKinds(b.Kinds())
		v.SetSel(sel[from:to])
		if err := m.Operator.Process(int(sides[sel[from]]), v, out); err != nil {
			return err
		}
		from = to
	}
	return nil
}

func outOf(spec graph.JoinSpec) *vec.Schema {
	if spec.Type == graph.SemiJoin || spec.Type == graph.AntiJoin {
		return oneIn
	}
	return optest.Schema("k BIGINT, v STRING, t TIMESTAMP, k2 BIGINT, v2 STRING, t2 TIMESTAMP")
}

func newMerged(spec graph.JoinSpec) func() (op.Operator, error) {
	spec.LeftKeys, spec.RightKeys, spec.KeyTypes = []int{0}, []int{0}, []vec.Type{vec.TypeInt64}
	if spec.Mode == graph.WindowJoin {
		spec.LeftKeys, spec.RightKeys, spec.KeyTypes = []int{0, 2}, []int{0, 2}, []vec.Type{vec.TypeInt64, vec.TypeTimestamp}
	}
	spec.LeftTime, spec.RightTime = 2, 2
	out := outOf(spec)
	for i := range out.Fields {
		spec.Out = append(spec.Out, i)
	}
	return func() (op.Operator, error) {
		o, err := New(spec, oneIn, moreIn, out)
		if err != nil {
			return nil, err
		}
		m := &merged{Operator: o}
		if w, ok := o.(op.WatermarkHandler); ok {
			return mergedFull{m, o.(op.Snapshotter), w}, nil
		}
		return mergedTimer{m, o.(op.Snapshotter), o.(op.Timer)}, nil
	}
}

// less is left.v <= right.v.
func less(t testing.TB) *expr.Expr {
	e, err := expr.Call("<=", expr.Column(1, "v", vec.TypeString), expr.Column(4, "v2", vec.TypeString))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func run(t *testing.T, name string, spec graph.JoinSpec, script, want string, compare optest.Compare, late int64) {
	t.Helper()
	keys := []int{1}
	if spec.Mode == graph.WindowJoin {
		keys = []int{1, 3}
	}
	optest.Run(t, optest.Case{
		Name: name, New: newMerged(spec), In: bothIn, Out: outOf(spec), Script: script, Want: want, Compare: compare, Keys: keys, Late: late,
	})
}

func TestRegularKinds(t *testing.T) {
	script := `
		0, 1, a, 0
		1, 1, x, 0
		barrier
		1, 1, y, 0
		-U 1, 1, x, 0
		+U 1, 1, z, 0
		0, NULL, n, 0
		1, NULL, m, 0
		barrier
		-D 1, 1, y, 0
		-D 1, 1, z, 0
		0, 2, b, 0
		-D 0, 2, b, 0
		-D 0, 1, a, 0
		wm 5
		end`
	for _, c := range []struct {
		typ  graph.JoinType
		want string
	}{
		{graph.InnerJoin, `
			1, a, 0, 1, x, 0
			1, a, 0, 1, y, 0
			-U 1, a, 0, 1, x, 0
			+U 1, a, 0, 1, z, 0
			-D 1, a, 0, 1, y, 0
			-D 1, a, 0, 1, z, 0`},
		{graph.LeftJoin, `
			1, a, 0, NULL, NULL, NULL
			-D 1, a, 0, NULL, NULL, NULL
			1, a, 0, 1, x, 0
			1, a, 0, 1, y, 0
			-D 1, a, 0, 1, x, 0
			1, a, 0, 1, z, 0
			NULL, n, 0, NULL, NULL, NULL
			-D 1, a, 0, 1, y, 0
			-D 1, a, 0, 1, z, 0
			1, a, 0, NULL, NULL, NULL
			2, b, 0, NULL, NULL, NULL
			-D 2, b, 0, NULL, NULL, NULL
			-D 1, a, 0, NULL, NULL, NULL`},
		{graph.RightJoin, `
			1, a, 0, 1, x, 0
			1, a, 0, 1, y, 0
			-D 1, a, 0, 1, x, 0
			1, a, 0, 1, z, 0
			NULL, NULL, NULL, NULL, m, 0
			-D 1, a, 0, 1, y, 0
			-D 1, a, 0, 1, z, 0`},
		{graph.SemiJoin, `
			1, a, 0
			-D 1, a, 0`},
		{graph.AntiJoin, `
			1, a, 0
			-D 1, a, 0
			NULL, n, 0
			1, a, 0
			2, b, 0
			-D 2, b, 0
			-D 1, a, 0`},
	} {
		spec := graph.JoinSpec{Mode: graph.Regular, Type: c.typ, Retracts: true}
		run(t, string(c.typ), spec, script, c.want, optest.Rows, 0)
	}
}

func TestRegularTTL(t *testing.T) {
	run(t, "ttl", graph.JoinSpec{Mode: graph.Regular, Type: graph.InnerJoin, TTLMS: 1000}, `
		0, 1, a, 0
		clock 900
		1, 1, x, 0
		clock 1000
		1, 1, y, 0
		0, 1, b, 0
		clock 5000
		1, 1, z, 0
		end`, `
		1, a, 0, 1, x, 0
		1, b, 0, 1, x, 0
		1, b, 0, 1, y, 0`, optest.Rows, 0)
}

func TestWindowJoin(t *testing.T) {
	script := `
		0, 1, a, 100
		1, 1, x, 100
		1, 1, y, 200
		0, 2, b, 100
		1, 3, z, 100
		0, NULL, n, 100
		barrier
		wm 98
		0, 1, c, 100
		wm 99
		0, 1, late, 100
		0, 1, d, 200
		barrier
		end`
	run(t, "inner", graph.JoinSpec{Mode: graph.WindowJoin, Type: graph.InnerJoin}, script, `
		wm 98
		1, a, 100, 1, x, 100
		1, c, 100, 1, x, 100
		wm 99
		1, d, 200, 1, y, 200
		wm max`, optest.Segments, 1)
	run(t, "full", graph.JoinSpec{Mode: graph.WindowJoin, Type: graph.FullJoin}, script, `
		NULL, n, 100, NULL, NULL, NULL
		wm 98
		1, a, 100, 1, x, 100
		1, c, 100, 1, x, 100
		2, b, 100, NULL, NULL, NULL
		NULL, NULL, NULL, 3, z, 100
		wm 99
		1, d, 200, 1, y, 200
		wm max`, optest.Segments, 1)
	run(t, "anti", graph.JoinSpec{Mode: graph.WindowJoin, Type: graph.AntiJoin}, script, `
		NULL, n, 100
		wm 98
		2, b, 100
		wm 99
		wm max`, optest.Segments, 1)
	run(t, "semi", graph.JoinSpec{Mode: graph.WindowJoin, Type: graph.SemiJoin}, script, `
		wm 98
		1, a, 100
		1, c, 100
		wm 99
		1, d, 200
		wm max`, optest.Segments, 1)
}

func TestIntervalJoin(t *testing.T) {
	// left - right in [-10 s, 0]
	spec := graph.JoinSpec{Mode: graph.IntervalJoin, Type: graph.InnerJoin, LowerMS: -10000, UpperMS: 0}
	script := `
		0, 1, a, 1000
		1, 1, x, 11000
		1, 1, y, 11001
		1, 1, w, 999
		0, 2, b, 1000
		barrier
		wm 12000
		0, 1, late, 1000
		0, 1, c, 2001
		1, 1, late, 12000
		barrier
		1, 1, z, 12001
		wm 40000
		end`
	run(t, "inner", spec, script, `
		1, a, 1000, 1, x, 11000
		wm 2000
		1, c, 2001, 1, x, 11000
		1, c, 2001, 1, y, 11001
		1, c, 2001, 1, z, 12001
		wm 30000
		wm max`, optest.Segments, 2)
	spec.Type = graph.LeftJoin
	run(t, "left", spec, script, `
		1, a, 1000, 1, x, 11000
		1, c, 2001, 1, x, 11000
		1, c, 2001, 1, y, 11001
		1, c, 2001, 1, z, 12001
		2, b, 1000, NULL, NULL, NULL`, optest.Rows, 2)
	spec.Type = graph.RightJoin
	run(t, "right", spec, script, `
		1, a, 1000, 1, x, 11000
		1, c, 2001, 1, x, 11000
		1, c, 2001, 1, y, 11001
		1, c, 2001, 1, z, 12001
		NULL, NULL, NULL, 1, w, 999`, optest.Rows, 2)
}

// row is a row of the model.
type row struct {
	side int
	key  string
	v    string
	t    int64
}

func (r row) String() string { return fmt.Sprintf("%s, %s, %d", r.key, r.v, r.t) }

// model joins row by row.
func model(spec graph.JoinSpec, all []row, cond bool) []string {
	match := func(l, r row) bool {
		if l.key == "NULL" || l.key != r.key || cond && l.v > r.v {
			return false
		}
		switch spec.Mode {
		case graph.WindowJoin:
			return l.t == r.t
		case graph.IntervalJoin:
			return l.t-r.t >= spec.LowerMS && l.t-r.t <= spec.UpperMS
		case graph.Regular:
		}
		return true
	}
	var out []string
	const none = "NULL, NULL, NULL"
	for _, a := range all {
		partners := 0
		for _, b := range all {
			l, r := a, b
			if a.side == 1 {
				l, r = b, a
			}
			if a.side == b.side || !match(l, r) {
				continue
			}
			partners++
			if a.side == 0 && spec.Type != graph.SemiJoin && spec.Type != graph.AntiJoin {
				out = append(out, l.String()+", "+r.String())
			}
		}
		switch {
		case spec.Type == graph.SemiJoin && a.side == 0 && partners > 0, spec.Type == graph.AntiJoin && a.side == 0 && partners == 0:
			out = append(out, a.String())
		case partners > 0:
		case a.side == 0 && (spec.Type == graph.LeftJoin || spec.Type == graph.FullJoin):
			out = append(out, a.String()+", "+none)
		case a.side == 1 && (spec.Type == graph.RightJoin || spec.Type == graph.FullJoin):
			out = append(out, none+", "+a.String())
		}
	}
	slices.Sort(out)
	return out
}

// history makes random events and the rows that remain.
func history(rng *rand.Rand, mode graph.JoinMode, n int) (events []optest.Event, remain []row) {
	wm := int64(0)
	for i := range n {
		r := row{side: rng.IntN(2), key: strconv.Itoa(rng.IntN(6)), v: fmt.Sprintf("v%d", rng.IntN(20))}
		if rng.IntN(12) == 0 {
			r.key = "NULL"
		}
		switch mode {
		case graph.WindowJoin:
			r.t = ((wm+1)/100 + 1 + int64(rng.IntN(4))) * 100
		case graph.IntervalJoin:
			r.t = wm + 1 + int64(rng.IntN(9000))
		case graph.Regular:
		}
		if mode == graph.Regular && rng.IntN(3) == 0 && len(remain) > 0 {
			at := rng.IntN(len(remain))
			r = remain[at]
			remain = slices.Delete(remain, at, at+1)
			events = append(events, optest.Row("%s %d, %s", []string{"-D", "-U"}[rng.IntN(2)], r.side, r))
		} else {
			remain = append(remain, r)
			kind := ""
			if mode == graph.Regular && rng.IntN(4) == 0 {
				kind = "+U "
			}
			events = append(events, optest.Row("%s%d, %s", kind, r.side, r))
		}
		switch {
		case mode != graph.Regular && rng.IntN(9) == 0:
			wm += int64(rng.IntN(map[graph.JoinMode]int{graph.WindowJoin: 150, graph.IntervalJoin: 5000}[mode])) + 1
			events = append(events, optest.Watermark(wm))
		case i%17 == 16:
			events = append(events, optest.Event{Kind: optest.BarrierEvent})
		}
	}
	return append(events, optest.Event{Kind: optest.EndEvent}), remain
}

// net is what changes amount to.
func net(log []string) []string {
	count := map[string]int{}
	for _, l := range log {
		n := 1
		for _, k := range []string{"-U ", "-D "} {
			if rest, ok := strings.CutPrefix(l, k); ok {
				l, n = rest, -1
			}
		}
		count[strings.TrimPrefix(l, "+U ")] += n
	}
	var out []string
	for l, n := range count {
		for range n {
			out = append(out, l)
		}
		if n < 0 {
			out = append(out, fmt.Sprintf("%s taken back %d times too often", l, -n))
		}
	}
	slices.Sort(out)
	return out
}

func TestAgainstModel(t *testing.T) {
	types := []graph.JoinType{graph.InnerJoin, graph.LeftJoin, graph.RightJoin, graph.FullJoin, graph.SemiJoin, graph.AntiJoin}
	for _, mode := range []graph.JoinMode{graph.Regular, graph.WindowJoin, graph.IntervalJoin} {
		for _, typ := range types {
			if mode == graph.IntervalJoin && (typ == graph.SemiJoin || typ == graph.AntiJoin) {
				continue
			}
			for _, cond := range []bool{false, true} {
				spec := graph.JoinSpec{Mode: mode, Type: typ, Retracts: true, LowerMS: -1500, UpperMS: 2500}
				if cond {
					spec.Condition = less(t)
				}
				t.Run(fmt.Sprintf("%s-%s-%v", mode, typ, cond), func(t *testing.T) { againstModel(t, spec, cond) })
			}
		}
	}
}

func againstModel(t *testing.T, spec graph.JoinSpec, cond bool) {
	for i, cfg := range optest.Configs() {
		if (i+len(spec.Type)+len(spec.Mode))%6 != 0 {
			continue // they are spread over types and modes
		}
		seed := uint64(i)
		events, remain := history(rand.New(rand.NewPCG(seed, 7)), spec.Mode, 120)
		keys := []int{1}
		if spec.Mode == graph.WindowJoin {
			keys = []int{1, 3}
		}
		c := optest.Case{Name: "model", New: newMerged(spec), In: bothIn, Out: outOf(spec), Events: events, Keys: keys}
		res, err := optest.Execute(t, c, cfg)
		if err != nil {
			t.Fatalf("seed %d [%s]: %v", seed, cfg, err)
		}
		if res.Late != 0 {
			t.Fatalf("seed %d [%s]: %d late", seed, cfg, res.Late)
		}
		want, got := model(spec, remain, cond), net(res.RowsOf())
		if !slices.Equal(want, got) {
			t.Fatalf("seed %d [%s]: %s", seed, cfg, difference(want, got))
		}
	}
}

func difference(want, got []string) string {
	left := map[string]int{}
	for _, l := range want {
		left[l]++
	}
	for _, l := range got {
		left[l]--
	}
	var b strings.Builder
	for l, n := range left {
		if n != 0 {
			fmt.Fprintf(&b, "\n%+d %s", n, l)
		}
	}
	return b.String()
}

// TestLocalWindows: the ends of windows over instants are local times, 12:00 in Berlin in summer is 10:00 UTC.
func TestLocalWindows(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	end := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC).UnixMilli()
	at := time.Date(2026, 6, 1, 10, 0, 0, 0, time.UTC).UnixMilli()
	optest.Run(t, optest.Case{
		Name: "local", New: newMerged(graph.JoinSpec{Mode: graph.WindowJoin, Type: graph.InnerJoin, LTZ: true}), In: bothIn, Keys: []int{1, 3}, Location: berlin,
		Script: fmt.Sprintf("0, 1, a, %d\n1, 1, x, %d\nbarrier\nwm %d\nwm %d\n0, 1, late, %d\nend", end, end, at-2, at-1, end),
		Want:   fmt.Sprintf("wm %d\n1, a, %d, 1, x, %d\nwm %d\nwm max", at-2, end, end, at-1), Late: 1,
	})
}

// TestProgress: when clocks go back, local time comes to some hours twice; they are over after the second time.
func TestProgress(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	z := newZone(berlin, true)
	local := func(h, m int) int64 { return time.Date(2026, 10, 25, h, m, 0, 0, time.UTC).UnixMilli() }
	for _, c := range []struct {
		utc  time.Time
		want int64
	}{
		{time.Date(2026, 10, 24, 20, 0, 0, 0, time.UTC), local(-2, 0)},
		{time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC), local(2, 0)}, // 02:30 comes again
		{time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC), local(2, 30)},
	} {
		if got := z.progress(c.utc.UnixMilli() - 1); got != c.want-1 {
			t.Errorf("progress at %v: %v, want %v", c.utc, time.UnixMilli(got).UTC(), time.UnixMilli(c.want-1).UTC())
		}
	}
	if newZone(nil, true).progress(5) != 5 || z.progress(stream.MaxTime) != stream.MaxTime {
		t.Error("no zone, or the end of time, is moved")
	}
}
