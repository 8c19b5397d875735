package expr

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bramble-stream/bramble/engine/vec"
)

// matrixTypes are all types without children, with values that each of them can read.
var matrixTypes = []struct {
	t      vec.Type
	values string
}{
	{vec.TypeBool, "true,NULL,false,true"},
	{vec.TypeInt8, "1,-128,NULL,127"},
	{vec.TypeInt16, "-7,NULL,300,32767"},
	{vec.TypeInt32, "3,2147483647,-300,NULL"},
	{vec.TypeInt64, "NULL,9223372036854775807,-5,70000"},
	{vec.TypeFloat32, "1.5,-2.25,NULL,3e30"},
	{vec.TypeFloat64, "-0.5,NULL,7,1e100"},
	{vec.DecimalOf(5, 2), "1.25,-99.99,NULL,7"},
	{vec.DecimalOf(38, 10), "3.3333333333,NULL,-1234567890123456789012345678.5,0.0000000001"},
	{vec.TypeString, "7,NULL,-3,12"},
	{vec.TypeDate, "2020-02-29,1969-12-31,NULL,2038-01-19"},
	{vec.Type{Kind: vec.Time, Precision: 3}, "12:34:56.789,NULL,00:00,23:59:59"},
	{vec.TypeTimestamp, "2020-02-29 12:34:56.789,NULL,1969-12-31 23:59:59,2021-03-28 02:30:00"},
	{vec.TypeTimestampLTZ, "NULL,2020-02-29 12:34:56.789,1969-12-31 23:59:59,2021-10-31 02:30:00"},
	{vec.TypeBytes, "7,NULL,a,"},
	{vec.TypeIntervalYM, "13,-2,NULL,0"},
	{vec.TypeIntervalDT, "86400000,NULL,-5,90061001"},
}

// matrixBatch has a column of each type.
func matrixBatch(t *testing.T) *vec.Batch {
	s := &vec.Schema{}
	var cols []*vec.Col
	for i, m := range matrixTypes {
		c := vec.NewCol(m.t)
		for _, v := range strings.Split(m.values, ",") {
			switch {
			case v == "NULL":
				c.AppendNull()
			case m.t.Kind == vec.IntervalYM || m.t.Kind == vec.IntervalDT:
				lit, err := literalCol(Lit(m.t, v))
				if err != nil {
					t.Fatal(err)
				}
				c.AppendFrom(lit, 0)
			default:
				if err := ParseLiteral(c, v, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.Fields = append(s.Fields, vec.Field{Name: fmt.Sprintf("c%d", i), Type: m.t})
		cols = append(cols, c)
	}
	return vec.NewBatchOf(s, 4, cols...)
}

// constants replaces the columns that which says by their values in row i.
func constants(e *Expr, b *vec.Batch, i, which int) (*Expr, bool) {
	if e.Op == OpCol {
		if which&1 == 0 {
			return e, true
		}
		return literalOf(b.Col(e.Col), i, e.Type)
	}
	c := *e
	c.Args = make([]*Expr, len(e.Args))
	for k, a := range e.Args {
		x, ok := constants(a, b, i, which>>k)
		if !ok {
			return nil, false
		}
		c.Args[k] = x
	}
	return &c, true
}

// consistent evaluates e over columns, and again a row at a time with each choice of arguments as constants: all must agree.
func consistent(t *testing.T, e *Expr, b *vec.Batch) {
	t.Helper()
	env := &Env{}
	for i := range b.Rows() {
		one := vec.NewBatch(b.Schema())
		one.AppendRows(b, []int{i})
		want := show(e, one, env)
		if len(want) > 7 && want[:7] == "error: " {
			want = "error"
		}
		for which := 1; which < 4; which++ {
			c, ok := constants(e, b, i, which)
			if !ok {
				t.Fatalf("%s: no constant", e)
			}
			got := show(c, one, env)
			if len(got) > 7 && got[:7] == "error: " {
				got = "error"
			}
			// A failure beside a NULL constant is folded away.
			if got != want && !(want == "error" && got == "NULL") {
				t.Errorf("%s row %d (%s): got %s, want %s", e, i, c, got, want)
			}
		}
	}
	if got, want := show(e, b, env), oneByOne(e, b, env); got != want {
		t.Errorf("%s: together %s, row by row %s", e, got, want)
	}
}

// TestEveryCast tries CAST and TRY_CAST between all pairs of types, once as written and once back to STRING.
func TestEveryCast(t *testing.T) {
	b := matrixBatch(t)
	tried := 0
	for i, from := range b.Schema().Fields {
		for _, to := range matrixTypes {
			for _, f := range []func(*Expr, vec.Type) (*Expr, error){Cast, TryCast} {
				e, err := f(Column(i, from.Name, from.Type), to.t)
				if err != nil {
					continue
				}
				tried++
				consistent(t, e, b)
			}
		}
	}
	if tried < 200 {
		t.Errorf("only %d casts are known", tried)
	}
}

// TestEveryOperator tries the operators and the polymorphic functions over all pairs of types that they take.
func TestEveryOperator(t *testing.T) {
	b := matrixBatch(t)
	tried := 0
	for _, name := range []string{
		"+", "-", "*", "/", "%", "=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM",
		"GREATEST", "LEAST", "COALESCE", "NULLIF", "POWER", "ROUND", "TRUNCATE",
	} {
		for i, x := range b.Schema().Fields {
			for j, y := range b.Schema().Fields {
				e, err := Call(name, Column(i, x.Name, x.Type), Column(j, y.Name, y.Type))
				if err != nil {
					continue
				}
				tried++
				consistent(t, e, b)
			}
		}
	}
	for _, name := range []string{"NEG", "ABS", "SIGN", "FLOOR", "CEIL", "ROUND", "TRUNCATE", "NOT", "IS NULL", "IS NOT NULL", "IS TRUE", "SQRT"} {
		for i, x := range b.Schema().Fields {
			e, err := Call(name, Column(i, x.Name, x.Type))
			if err != nil {
				continue
			}
			tried++
			consistent(t, e, b)
		}
	}
	if tried < 900 {
		t.Errorf("only %d calls are known", tried)
	}
}

// TestEveryFilter compares each comparison with a constant, which selects by itself, with the same as a column.
func TestEveryFilter(t *testing.T) {
	b := matrixBatch(t)
	for name := range cmpOps {
		for i, x := range b.Schema().Fields {
			for r := range b.Rows() {
				lit, _ := literalOf(b.Col(i), r, x.Type)
				for _, args := range [][]*Expr{{Column(i, x.Name, x.Type), lit}, {lit, Column(i, x.Name, x.Type)}} {
					e, err := Call(name, args...)
					if err != nil {
						t.Fatal(err)
					}
					f, err := CompileFilter(e, nil)
					if err != nil {
						t.Fatal(err)
					}
					for _, sel := range [][]int{nil, {}, {1, 2}, {0, 3}} {
						var view vec.Batch
						view.ViewOf(b)
						view.SetSel(sel)
						want := fmt.Sprint(trueRows(e, &view))
						if err := f.Apply(&view); err != nil {
							t.Fatal(err)
						}
						if got := fmt.Sprint(view.Sel()); got != want {
							t.Errorf("%s over %v: got %s, want %s", e, sel, got, want)
						}
					}
				}
			}
		}
	}
}

// trueRows lists the selected rows where e is TRUE.
func trueRows(e *Expr, b *vec.Batch) []int {
	out := []int{}
	for k, v := range strings.Split(show(e, b, &Env{}), " | ") {
		if v == "TRUE" {
			out = append(out, rowsOf(b)[k])
		}
	}
	return out
}
