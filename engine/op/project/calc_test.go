package project

import (
	"testing"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/op/optest"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/invariants"
)

func call(t testing.TB, name string, args ...*expr.Expr) *expr.Expr {
	t.Helper()
	e, err := expr.Call(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var in = optest.Schema("id STRING, n BIGINT, x DOUBLE")

func cols() (id, n, x *expr.Expr) {
	return expr.Column(0, "id", vec.TypeString), expr.Column(1, "n", vec.TypeInt64), expr.Column(2, "x", vec.TypeFloat64)
}

const script = `
	a, 1, 1.5
	b, NULL, 2.5
	wm 10
	-U c, 30, NULL
	+U c, 31, 4
	d, 4, -1
	barrier
	NULL, 50, 6
	end`

func TestFilterAndProject(t *testing.T) {
	id, n, x := cols()
	out := optest.Schema("m BIGINT, id STRING, y DOUBLE, one INT")
	spec := graph.CalcSpec{
		Filter: call(t, ">", n, expr.Int(3)),
		Exprs:  []*expr.Expr{call(t, "+", n, expr.Lit(vec.TypeInt64, "1")), id, call(t, "*", x, expr.Lit(vec.TypeFloat64, "2")), expr.Int(1)},
	}
	optest.Run(t, optest.Case{
		Name: "calc", In: in, Out: out, Script: script,
		New: func() (op.Operator, error) { return New(spec, in, out) },
		Want: `
			wm 10
			-U 31, c, NULL, 1
			+U 32, c, 8, 1
			5, d, -2, 1
			51, NULL, 12, 1
			wm max`,
	})
}

func TestFilterOnly(t *testing.T) {
	id, _, _ := cols()
	out := optest.Schema("i STRING, m BIGINT, y DOUBLE")
	optest.Run(t, optest.Case{
		Name: "filter", In: in, Out: out, Script: script,
		New: func() (op.Operator, error) {
			return New(graph.CalcSpec{Filter: call(t, "IS NOT NULL", id)}, in, out)
		},
		Want: `
			a, 1, 1.5
			b, NULL, 2.5
			wm 10
			-U c, 30, NULL
			+U c, 31, 4
			d, 4, -1
			wm max`,
	})
}

func TestNothingPasses(t *testing.T) {
	_, n, _ := cols()
	optest.Run(t, optest.Case{
		Name: "nothing", In: in, Out: in, Script: script,
		New: func() (op.Operator, error) {
			return New(graph.CalcSpec{Filter: call(t, ">", n, expr.Int(1000))}, in, in)
		},
		Want: "wm 10\nwm max",
	})
}

func TestNewRefuses(t *testing.T) {
	id, _, _ := cols()
	if _, err := New(graph.CalcSpec{Exprs: []*expr.Expr{id}}, in, in); err == nil {
		t.Error("one expression for three columns: no error")
	}
	if _, err := New(graph.CalcSpec{}, in, optest.Schema("a INT")); err == nil {
		t.Error("three columns as one: no error")
	}
}

// sink swallows what is emitted.
type sink struct{ rows int }

func (s *sink) Emit(b *vec.Batch) error            { s.rows += b.Len(); return nil }
func (s *sink) EmitWatermark(wm stream.Time) error { return nil }

func batch(t testing.TB) *vec.Batch {
	b := vec.NewBatch(in)
	for i := range vec.MaxRows {
		b.Col(0).AppendString("sensor")
		vec.AppendValue(b.Col(1), int64(i))
		vec.AppendValue(b.Col(2), float64(i))
	}
	b.SetRows(vec.MaxRows)
	return b
}

func open(t testing.TB) op.Operator {
	id, n, x := cols()
	o, err := New(graph.CalcSpec{
		Filter: call(t, ">=", n, expr.Lit(vec.TypeInt64, "512")),
		Exprs:  []*expr.Expr{id, n, call(t, "*", x, expr.Lit(vec.TypeFloat64, "2"))},
	}, in, in)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Open(&op.Context{Clock: &optest.FakeClock{}}); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestNoAllocations(t *testing.T) {
	if invariants.Enabled {
		t.Skip("checks allocate")
	}
	o, b, out := open(t), batch(t), &sink{}
	if n := testing.AllocsPerRun(100, func() {
		if err := o.Process(0, b, out); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
	if out.rows == 0 || out.rows%512 != 0 {
		t.Errorf("%d rows passed", out.rows)
	}
}

func BenchmarkCalc(b *testing.B) {
	o, in, out := open(b), batch(b), &sink{}
	b.ReportAllocs()
	rows := 0
	for b.Loop() {
		if err := o.Process(0, in, out); err != nil {
			b.Fatal(err)
		}
		rows += in.Rows()
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}
