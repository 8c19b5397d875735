package expr

import (
	"fmt"
	"testing"

	"github.com/bramble-stream/bramble/engine/vec"
)

// benchBatch is a full batch of readings: id STRING (dictionary), temp DOUBLE, power BIGINT, ok BOOLEAN, name STRING (plain).
func benchBatch() *vec.Batch {
	s := vec.NewSchema(vec.Field{Name: "id", Type: vec.TypeString}, vec.Field{Name: "temp", Type: vec.TypeFloat64},
		vec.Field{Name: "power", Type: vec.TypeInt64}, vec.Field{Name: "ok", Type: vec.TypeBool}, vec.Field{Name: "name", Type: vec.TypeString})
	b := vec.NewBatch(s)
	for i := range vec.MaxRows {
		b.Col(0).AppendString(fmt.Sprintf("sensor-%d", i%100))
		vec.AppendValue(b.Col(1), float64(i*7919%400)/10)
		vec.AppendValue(b.Col(2), int64(i*31%1000))
		b.Col(3).AppendBool(i%3 == 0)
		b.Col(4).AppendString(fmt.Sprintf("name-%d", i%100))
	}
	b.SetRows(vec.MaxRows)
	e := encoded(b)
	e.SetCol(4, b.Col(4))
	return e
}

var benchExprs = []struct{ name, filter, project string }{
	{"filter compare, project arithmetic", "(> temp 20e0)", "(+ (* temp 1.8e0) 32e0)"},
	{"filter 3 conditions", "(AND (> temp 10e0) (< power 800) ok)", "power"},
	{"dictionary equality", "(= id 'sensor-7')", "temp"},
	{"dictionary IN and CASE", "(IN id 'sensor-7' 'sensor-8' 'sensor-9')", "(CASE (> temp 30e0) 'hot' (> temp 10e0) 'warm' 'cold')"},
	{"dictionary LIKE", "(LIKE id '%-7%')", "temp"},
	{"plain LIKE", "(LIKE name '%-7%')", "temp"},
	{"guarded division", "(> power 10)", "(CASE (<> power 0) (/ 100000 power) 0)"},
	{"decimal", "(> power 10)", "(* (CAST power DECIMAL(10,2)) 1.19)"},
}

func benchCompile(tb testing.TB, filter, project string) (*vec.Batch, *Filter, *Program) {
	b := benchBatch()
	parse := func(text string) *Expr {
		e, err := (&testScanner{s: text, cols: b.Schema().Fields}).expr()
		if err != nil {
			tb.Fatal(err)
		}
		return e
	}
	f, err := CompileFilter(parse(filter), nil)
	if err != nil {
		tb.Fatal(err)
	}
	p, err := Compile([]*Expr{parse(project)}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return b, f, p
}

func BenchmarkCalc(bm *testing.B) {
	for _, x := range benchExprs {
		bm.Run(x.name, func(bm *testing.B) {
			b, f, p := benchCompile(bm, x.filter, x.project)
			var view vec.Batch
			bm.ReportAllocs()
			for bm.Loop() {
				view.ViewOf(b)
				if err := f.Apply(&view); err != nil {
					bm.Fatal(err)
				}
				if _, err := p.Eval(&view); err != nil {
					bm.Fatal(err)
				}
			}
			bm.ReportMetric(float64(bm.N)*vec.MaxRows/bm.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

// TestSteadyStateDoesNotAllocate runs each benchmark's expressions over the same batch again.
func TestSteadyStateDoesNotAllocate(t *testing.T) {
	for _, x := range benchExprs {
		b, f, p := benchCompile(t, x.filter, x.project)
		var view vec.Batch
		run := func() {
			view.ViewOf(b)
			if err := f.Apply(&view); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Eval(&view); err != nil {
				t.Fatal(err)
			}
		}
		run()
		if n := testing.AllocsPerRun(20, run); n != 0 {
			t.Errorf("%s: %v allocations", x.name, n)
		}
	}
}
