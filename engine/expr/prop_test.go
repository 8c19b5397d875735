package expr

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/bramble-stream/bramble/engine/vec"
)

// propSchema is the input of random expressions.
var propSchema = vec.NewSchema(
	vec.Field{Name: "b", Type: vec.TypeBool}, vec.Field{Name: "c", Type: vec.TypeBool},
	vec.Field{Name: "i", Type: vec.TypeInt32}, vec.Field{Name: "j", Type: vec.TypeInt32},
	vec.Field{Name: "k", Type: vec.TypeInt64}, vec.Field{Name: "l", Type: vec.TypeInt64},
	vec.Field{Name: "f", Type: vec.TypeFloat64}, vec.Field{Name: "g", Type: vec.TypeFloat64},
	vec.Field{Name: "s", Type: vec.TypeString}, vec.Field{Name: "u", Type: vec.TypeString},
)

var (
	propInts    = []int64{0, 1, -1, 2, 3, 7, 10, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64}
	propFloats  = []float64{0, math.Copysign(0, -1), 1, -1.5, 2.5, 1e10, math.NaN(), math.Inf(1), math.Inf(-1)}
	propStrings = []string{"", "0", "1", "-7", "12345678901", "a", "b", "abc", "é", "true"}
)

// drawBatch makes random rows; rows that are NULL or not selected hold garbage like all others.
func drawBatch(t *rapid.T) *vec.Batch {
	n := rapid.IntRange(0, 140).Draw(t, "rows")
	b := vec.NewBatch(propSchema)
	for i, f := range propSchema.Fields {
		c := b.Col(i)
		for range n {
			switch f.Type.Kind {
			case vec.Bool:
				c.AppendBool(rapid.Bool().Draw(t, f.Name))
			case vec.Int32:
				vec.AppendValue(c, int32(rapid.SampledFrom(propInts).Draw(t, f.Name)))
			case vec.Int64:
				vec.AppendValue(c, rapid.SampledFrom(propInts).Draw(t, f.Name))
			case vec.Float64:
				vec.AppendValue(c, rapid.SampledFrom(propFloats).Draw(t, f.Name))
			default:
				c.AppendString(rapid.SampledFrom(propStrings).Draw(t, f.Name))
			}
		}
		if rapid.Bool().Draw(t, f.Name+" nulls") {
			for r := range n {
				if rapid.IntRange(0, 3).Draw(t, "null") == 0 {
					c.SetNull(r)
				}
			}
		}
	}
	b.SetRows(n)
	if rapid.Bool().Draw(t, "selection") {
		sel := []int{}
		for r := range n {
			if rapid.Bool().Draw(t, "selected") {
				sel = append(sel, r)
			}
		}
		b.SetSel(sel)
	}
	if rapid.Bool().Draw(t, "dictionary") {
		return encoded(b)
	}
	return b
}

// drawExpr makes a random expression of the kind.
func drawExpr(t *rapid.T, k vec.Kind, depth int) *Expr {
	if depth == 0 || rapid.IntRange(0, 4).Draw(t, "leaf") == 0 {
		return drawLeaf(t, k)
	}
	sub := func(k vec.Kind) *Expr { return drawExpr(t, k, depth-1) }
	call := func(name string, args ...*Expr) *Expr {
		e, err := Call(name, args...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return e
	}
	castTo := func(e *Expr, try bool) *Expr {
		f := Cast
		if try {
			f = TryCast
		}
		c, err := f(e, vec.Type{Kind: k})
		if err != nil {
			return drawLeaf(t, k)
		}
		return c
	}
	switch rapid.IntRange(0, 3).Draw(t, "any") {
	case 0:
		return call("CASE", sub(vec.Bool), sub(k), sub(vec.Bool), sub(k), sub(k))
	case 1:
		return call(rapid.SampledFrom([]string{"COALESCE", "GREATEST", "LEAST", "NULLIF"}).Draw(t, "f"), sub(k), sub(k))
	}
	other := rapid.SampledFrom([]vec.Kind{vec.Int32, vec.Int64, vec.Float64, vec.String}).Draw(t, "other")
	switch k {
	case vec.Bool:
		switch rapid.IntRange(0, 5).Draw(t, "bool") {
		case 0:
			return call(rapid.SampledFrom([]string{"=", "<>", "<", "<=", ">", ">="}).Draw(t, "cmp"), sub(other), sub(other))
		case 1:
			return call(rapid.SampledFrom([]string{"AND", "OR"}).Draw(t, "logic"), sub(k), sub(k), sub(k))
		case 2:
			return call(rapid.SampledFrom([]string{"NOT", "IS TRUE", "IS NOT TRUE", "IS FALSE", "IS NOT FALSE", "IS UNKNOWN"}).Draw(t, "test"), sub(k))
		case 3:
			return call(rapid.SampledFrom([]string{"IS NULL", "IS NOT NULL"}).Draw(t, "null"), sub(other))
		case 4:
			return call("BETWEEN", sub(other), sub(other), sub(other))
		default:
			return call("IN", sub(other), drawLit(t, other), drawLit(t, other), sub(other))
		}
	case vec.String:
		return castTo(sub(rapid.SampledFrom([]vec.Kind{vec.Int32, vec.Int64, vec.Bool}).Draw(t, "from")), false)
	}
	switch rapid.IntRange(0, 3).Draw(t, "number") {
	case 0:
		return castTo(sub(other), other == vec.String && rapid.Bool().Draw(t, "try"))
	case 1:
		return call(rapid.SampledFrom([]string{"NEG", "ABS"}).Draw(t, "unary"), sub(k))
	default:
		return call(rapid.SampledFrom([]string{"+", "-", "*", "/", "%"}).Draw(t, "op"), sub(k), sub(k))
	}
}

func drawLeaf(t *rapid.T, k vec.Kind) *Expr {
	if rapid.IntRange(0, 3).Draw(t, "const") == 0 {
		return drawLit(t, k)
	}
	var cols []int
	for i, f := range propSchema.Fields {
		if f.Type.Kind == k {
			cols = append(cols, i)
		}
	}
	i := rapid.SampledFrom(cols).Draw(t, "col")
	return Column(i, propSchema.Fields[i].Name, propSchema.Fields[i].Type)
}

func drawLit(t *rapid.T, k vec.Kind) *Expr {
	if rapid.IntRange(0, 5).Draw(t, "nil") == 0 {
		return NullOf(vec.Type{Kind: k})
	}
	switch k {
	case vec.Bool:
		return Lit(vec.TypeBool, strconv.FormatBool(rapid.Bool().Draw(t, "lit")))
	case vec.Int32:
		return Lit(vec.TypeInt32, strconv.Itoa(int(int32(rapid.SampledFrom(propInts).Draw(t, "lit")))))
	case vec.Int64:
		return Lit(vec.TypeInt64, strconv.FormatInt(rapid.SampledFrom(propInts).Draw(t, "lit"), 10))
	case vec.Float64:
		return Lit(vec.TypeFloat64, strconv.FormatFloat(rapid.SampledFrom(propFloats).Draw(t, "lit"), 'g', -1, 64))
	default:
		return Lit(vec.TypeString, rapid.SampledFrom(propStrings).Draw(t, "lit"))
	}
}

var errNaive = errors.New("row fails")

// naive evaluates e for one row with values in an any: nil, bool, int64, float64 or string. It knows nothing of columns.
func naive(e *Expr, b *vec.Batch, row int) (any, error) {
	switch e.Op {
	case OpLit:
		if e.Null {
			return nil, nil
		}
		v, _ := Literal(e)
		return v, nil
	case OpCol:
		return cell(b.Col(e.Col), row), nil
	}
	switch e.Func {
	case "AND", "OR":
		stop := e.Func == "OR"
		var out any = !stop
		for _, a := range e.Args {
			v, err := naive(a, b, row)
			switch {
			case err != nil:
				return nil, err
			case v == stop:
				return stop, nil
			case v == nil:
				out = nil
			}
		}
		return out, nil
	case "CASE":
		for i := 0; i+1 < len(e.Args); i += 2 {
			v, err := naive(e.Args[i], b, row)
			if err != nil {
				return nil, err
			}
			if v == true {
				return naive(e.Args[i+1], b, row)
			}
		}
		return naive(e.Args[len(e.Args)-1], b, row)
	case "COALESCE":
		for _, a := range e.Args {
			if v, err := naive(a, b, row); err != nil || v != nil {
				return v, err
			}
		}
		return nil, nil
	}
	args := make([]any, len(e.Args))
	for i, a := range e.Args {
		v, err := naive(a, b, row)
		if err != nil {
			return nil, err
		}
		args[i] = v
	}
	return naiveCall(e, args)
}

func cell(c *vec.Col, i int) any {
	if c.IsNull(i) {
		return nil
	}
	switch c.Kind() {
	case vec.Bool:
		return c.Bools().Get(i)
	case vec.Int32:
		return int64(vec.Values[int32](c)[i])
	case vec.Int64:
		return vec.Values[int64](c)[i]
	case vec.Float64:
		return vec.Values[float64](c)[i]
	default:
		return string(c.Bytes(i))
	}
}

func naiveCall(e *Expr, args []any) (any, error) {
	switch e.Func {
	case "IS NULL", "IS UNKNOWN":
		return args[0] == nil, nil
	case "IS NOT NULL":
		return args[0] != nil, nil
	case "IS TRUE":
		return args[0] == true, nil
	case "IS FALSE":
		return args[0] == false, nil
	case "IS NOT TRUE":
		return args[0] != true, nil
	case "IS NOT FALSE":
		return args[0] != false, nil
	}
	for _, a := range args {
		if a == nil {
			return nil, nil
		}
	}
	switch e.Func {
	case "NOT":
		return !args[0].(bool), nil
	case "=", "<>", "<", "<=", ">", ">=":
		return naiveCompare(e.Func, args[0], args[1]), nil
	case "IN":
		for _, a := range args[1:] {
			if order(args[0], a) == 0 {
				return true, nil
			}
		}
		return false, nil
	case "GREATEST", "LEAST":
		if c := order(args[1], args[0]); c > 0 && e.Func == "GREATEST" || c < 0 && e.Func == "LEAST" {
			return args[1], nil
		}
		return args[0], nil
	case "CAST", "TRY_CAST":
		return naiveCast(e, args[0])
	}
	return naiveArith(e, args)
}

func naiveCompare(op string, x, y any) bool {
	if f, ok := x.(float64); ok {
		g := y.(float64)
		return map[string]bool{"=": f == g, "<>": f != g, "<": f < g, "<=": f <= g, ">": f > g, ">=": f >= g}[op]
	}
	c := order(x, y)
	return map[string]bool{"=": c == 0, "<>": c != 0, "<": c < 0, "<=": c <= 0, ">": c > 0, ">=": c >= 0}[op]
}

func order(x, y any) int {
	switch a := x.(type) {
	case bool:
		return order(strconv.FormatBool(a), strconv.FormatBool(y.(bool)))
	case int64:
		if b := y.(int64); a < b {
			return -1
		} else if a > b {
			return 1
		}
		return 0
	case float64:
		return compareFloats(a, y.(float64))
	default:
		return strings.Compare(x.(string), y.(string))
	}
}

func naiveArith(e *Expr, args []any) (any, error) {
	if x, ok := args[0].(float64); ok {
		switch e.Func {
		case "NEG":
			return -x, nil
		case "ABS":
			return math.Abs(x), nil
		}
		y := args[1].(float64)
		switch e.Func {
		case "+":
			return x + y, nil
		case "-":
			return x - y, nil
		case "*":
			return x * y, nil
		case "/":
			return x / y, nil
		default:
			return math.Mod(x, y), nil
		}
	}
	wrap := func(v int64) any {
		if e.Type.Kind == vec.Int32 {
			return int64(int32(v))
		}
		return v
	}
	x := args[0].(int64)
	switch e.Func {
	case "NEG":
		return wrap(-x), nil
	case "ABS":
		return wrap(max(x, -x)), nil
	}
	y := args[1].(int64)
	switch e.Func {
	case "+":
		return wrap(x + y), nil
	case "-":
		return wrap(x - y), nil
	case "*":
		return wrap(x * y), nil
	}
	switch {
	case y == 0:
		return nil, errNaive
	case e.Func == "/":
		return wrap(x / y), nil
	default:
		return wrap(x % y), nil
	}
}

func naiveCast(e *Expr, v any) (any, error) {
	if s, ok := v.(string); ok && e.Type.Kind != vec.String {
		c := vec.NewCol(e.Type)
		if err := ParseLiteral(c, s, nil); err != nil {
			if e.Func == "TRY_CAST" {
				return nil, nil
			}
			return nil, errNaive
		}
		return cell(c, 0), nil
	}
	if f, ok := v.(float64); ok && e.Type.Kind != vec.Float64 && e.Type.Kind != vec.String && e.Type.Kind != vec.Bool {
		switch {
		case f != f:
			return int64(0), nil
		case e.Type.Kind == vec.Int32:
			return int64(max(math.MinInt32, min(math.MaxInt32, f))), nil
		case f >= math.MaxInt64:
			return int64(math.MaxInt64), nil
		default:
			return int64(max(math.MinInt64, f)), nil
		}
	}
	switch e.Type.Kind {
	case vec.Int32:
		return int64(int32(v.(int64))), nil
	case vec.Float64:
		if i, ok := v.(int64); ok {
			return float64(i), nil
		}
	case vec.String:
		switch x := v.(type) {
		case bool:
			return strings.ToUpper(strconv.FormatBool(x)), nil
		case int64:
			return strconv.FormatInt(x, 10), nil
		}
	}
	return v, nil
}

func same(x, y any) bool {
	f, ok1 := x.(float64)
	g, ok2 := y.(float64)
	if ok1 && ok2 {
		return f == g && math.Signbit(f) == math.Signbit(g) || f != f && g != g
	}
	return x == y
}

// without returns rows less one.
func without(rows []int, row int) []int {
	out := []int{}
	for _, r := range rows {
		if r != row {
			out = append(out, r)
		}
	}
	return out
}

// maySkip says that the compiler may leave out a part of e which the naive evaluator sees fail: an argument of AND or OR that does not
// decide, or the other argument of a strict function of NULL.
func maySkip(e *Expr) bool {
	found := false
	e.Walk(func(x *Expr) { found = found || x.Func == "AND" || x.Func == "OR" || x.Null })
	return found
}

// TestProgramIsNaive compares programs of two expressions, which share parts, with the row-at-a-time evaluator.
func TestProgramIsNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t)
		kinds := []vec.Kind{vec.Bool, vec.Int32, vec.Int64, vec.Float64, vec.String}
		e := drawExpr(t, rapid.SampledFrom(kinds).Draw(t, "kind"), 3)
		e2, err := Call("CASE", drawExpr(t, vec.Bool, 2), e, e)
		if err != nil {
			t.Fatal(err)
		}
		exprs := []*Expr{e2, e, Column(0, "b", vec.TypeBool)}
		p, err := Compile(exprs, nil)
		if err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		var out []*vec.Col
		for {
			out, err = p.Eval(b)
			if err == nil {
				break
			}
			var ee *EvalError
			if !errors.As(err, &ee) {
				t.Fatalf("%s: error of no row: %v", e, err)
			}
			_, err1 := naive(exprs[0], b, ee.Row)
			_, err2 := naive(exprs[1], b, ee.Row)
			if err1 == nil && err2 == nil {
				t.Fatalf("%s: row %d failed with %v, the naive one did not", e2, ee.Row, err)
			}
			rows := rowsOf(b)
			left := without(rows, ee.Row)
			if len(left) == len(rows) {
				t.Fatalf("%s: row %d failed but is not selected", e, ee.Row)
			}
			b.SetSel(left)
		}
		for x, c := range out {
			for _, r := range rowsOf(b) {
				want, err := naive(exprs[x], b, r)
				if err != nil {
					if !maySkip(exprs[x]) {
						t.Fatalf("%s row %d: no error", exprs[x], r)
					}
					continue
				}
				if got := cell(c, r); !same(got, want) {
					t.Fatalf("%s row %d: got %v, want %v", exprs[x], r, got, want)
				}
			}
		}
	})
}

// TestFilterIsNaive compares filters with the row-at-a-time evaluator.
func TestFilterIsNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t)
		e, err := Call("AND", drawExpr(t, vec.Bool, 2), drawExpr(t, vec.Bool, 2))
		if err != nil {
			t.Fatal(err)
		}
		f, err := CompileFilter(e, nil)
		if err != nil {
			t.Fatal(err)
		}
		before := append([]int{}, rowsOf(b)...)
		for {
			var view vec.Batch
			view.ViewOf(b)
			view.SetSel(before)
			err = f.Apply(&view)
			var ee *EvalError
			if errors.As(err, &ee) {
				if _, nerr := naive(e, b, ee.Row); nerr == nil {
					t.Fatalf("%s: row %d failed with %v, the naive one did not", e, ee.Row, err)
				}
				before = without(before, ee.Row)
				continue
			}
			calcIsFilterAndProgram(t, e, b, before, rowsOf(&view))
			kept := map[int]bool{}
			for _, r := range rowsOf(&view) {
				kept[r] = true
			}
			for _, r := range before {
				want, err := naive(e, b, r)
				if err == nil && kept[r] != (want == true) {
					t.Fatalf("%s row %d: kept %v, want %v", e, r, kept[r], want)
				}
			}
			return
		}
	})
}

// calcIsFilterAndProgram evaluates e as a filter and, again, as a column for the rows that are left.
func calcIsFilterAndProgram(t *rapid.T, e *Expr, b *vec.Batch, before, after []int) {
	c, err := CompileCalc(e, []*Expr{e, e.Args[0]}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var view vec.Batch
	view.ViewOf(b)
	view.SetSel(before)
	out, err := c.Eval(&view)
	if err != nil {
		t.Fatalf("%s: the filter alone does not fail: %v", e, err)
	}
	rows := rowsOf(&view)
	if len(rows) != len(after) {
		t.Fatalf("%s: kept %d rows, the filter alone %d", e, len(rows), len(after))
	}
	for _, r := range rows {
		if cell(out[0], r) != true || cell(out[1], r) != true {
			t.Fatalf("%s row %d: got %v and %v", e, r, cell(out[0], r), cell(out[1], r))
		}
	}
}

// TestTextRoundTrip parses what AppendText prints.
func TestTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scale := rapid.IntRange(0, 20).Draw(t, "scale")
		types := []vec.Type{
			vec.TypeInt64, vec.TypeFloat64, vec.TypeFloat32, vec.TypeDate, vec.TypeTimestamp, vec.TypeTimestampLTZ,
			{Kind: vec.Time, Precision: 3},
			vec.DecimalOf(38, uint8(scale)), vec.TypeBool,
		}
		typ := rapid.SampledFrom(types).Draw(t, "type")
		c, back := vec.NewCol(typ), vec.NewCol(typ)
		day := rapid.Int64Range(-700000, 2932896).Draw(t, "day")
		ms := rapid.Int64Range(0, msPerDay-1).Draw(t, "ms")
		switch typ.Kind {
		case vec.Int64:
			vec.AppendValue(c, rapid.Int64().Draw(t, "v"))
		case vec.Float64:
			vec.AppendValue(c, rapid.Float64().Draw(t, "v"))
		case vec.Float32:
			vec.AppendValue(c, rapid.Float32().Draw(t, "v"))
		case vec.Date:
			vec.AppendValue(c, int32(day))
		case vec.Time:
			vec.AppendValue(c, int32(ms))
		case vec.Decimal:
			n, ok := intToDecimal(rapid.Int64().Draw(t, "v"), 38, 0)
			if !ok {
				t.Fatal("does not fit")
			}
			vec.AppendValue(c, n)
		case vec.Bool:
			c.AppendBool(rapid.Bool().Draw(t, "v"))
		default:
			vec.AppendValue(c, day*msPerDay+ms)
		}
		text := AppendText(nil, c, 0, nil)
		if err := ParseLiteral(back, string(text), nil); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if again := AppendText(nil, back, 0, nil); !bytes.Equal(text, again) || CompareValues(c, 0, back, 0) != 0 {
			t.Fatalf("%s became %s", text, again)
		}
	})
}
