package expr

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/bramble-stream/bramble/engine/vec"
)

// counted is the number of rows that TEST_COUNTED has computed; volatile that of TEST_VOLATILE.
var counted, volatile int

func countingFunc(name string, flags Flags, n *int) struct{} {
	return register(Func{
		Name: name, Flags: flags | hidden, Min: 1, Max: 1, Bind: Types(vec.TypeInt64, vec.TypeInt64),
		Build: Always(FixedRows(func(args []Arg, i int) (int64, bool, error) {
			*n++
			return At[int64](args[0], i), true, nil
		})),
	})
}

var (
	_ = countingFunc("TEST_COUNTED", 0, &counted)
	_ = countingFunc("TEST_VOLATILE", Volatile, &volatile)
)

func must(t *testing.T) func(e *Expr, err error) *Expr {
	return func(e *Expr, err error) *Expr {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
}

func ints(values ...int64) *vec.Batch {
	b := vec.NewBatch(vec.NewSchema(vec.Field{Name: "x", Type: vec.TypeInt64}))
	for _, v := range values {
		vec.AppendValue(b.Col(0), v)
	}
	b.SetRows(len(values))
	return b
}

func TestCommonPartsAreComputedOnce(t *testing.T) {
	ok := must(t)
	x := Column(0, "x", vec.TypeInt64)
	f := ok(Call("TEST_COUNTED", x))
	sum := ok(Call("+", f, Int(1)))
	guarded := ok(Call("CASE", ok(Call(">", x, Int(2))), ok(Call("*", f, ok(Call("TEST_COUNTED", ok(Call("NEG", x)))))), Int(0)))
	p, err := Compile([]*Expr{sum, guarded, f}, nil)
	if err != nil {
		t.Fatal(err)
	}
	counted = 0
	out, err := p.Eval(ints(1, 2, 3, 4))
	if err != nil {
		t.Fatal(err)
	}
	// x for all four rows, -x for the two that the CASE lets through.
	if counted != 6 {
		t.Errorf("computed %d rows, want 6", counted)
	}
	if got := vec.Values[int64](out[1]); !reflect.DeepEqual(got, []int64{0, 0, -9, -16}) {
		t.Errorf("got %v", got)
	}
}

func TestVolatileCalls(t *testing.T) {
	ok := must(t)
	x := Column(0, "x", vec.TypeInt64)
	v := ok(Call("TEST_VOLATILE", x))
	between := ok(Call("BETWEEN", v, Int(0), Int(9)))
	other := ok(Call("TEST_VOLATILE", x))
	if IsDeterministic(between) || !IsDeterministic(x) {
		t.Error("IsDeterministic")
	}
	p, err := Compile([]*Expr{between, other}, nil)
	if err != nil {
		t.Fatal(err)
	}
	volatile = 0
	if _, err := p.Eval(ints(1, 2, 3)); err != nil {
		t.Fatal(err)
	}
	if volatile != 6 {
		t.Errorf("computed %d rows, want 3 for each of two calls", volatile)
	}
}

func TestEvalErrorSaysWhere(t *testing.T) {
	ok := must(t)
	div := ok(Call("/", Int(1), Column(0, "x", vec.TypeInt64)))
	outer := ok(Call("+", div, Int(1)))
	outer.Line, outer.Column = 3, 14
	p, err := Compile([]*Expr{outer}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := ints(0, 5, 0, 7)
	b.SetSel([]int{1, 2, 3})
	_, err = p.Eval(b)
	var ee *EvalError
	if !errors.As(err, &ee) || ee.Row != 2 || ee.Line != 3 || ee.Column != 14 || !errors.Is(err, errDivZero) {
		t.Fatalf("got %#v", err)
	}
	if want := "3:14: division by zero in /(1, x)"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	b.SetSel([]int{1, 3})
	if _, err := p.Eval(b); err != nil {
		t.Errorf("rows that are not selected fail: %v", err)
	}
}

func dictBatch(d *vec.Dict, codes ...int32) *vec.Batch {
	b := vec.NewBatch(vec.NewSchema(vec.Field{Name: "s", Type: vec.TypeString}))
	b.Col(0).SetDict(d)
	for _, c := range codes {
		b.Col(0).AppendCode(c)
	}
	b.SetRows(len(codes))
	return b
}

func TestDictionaries(t *testing.T) {
	ok := must(t)
	s := Column(0, "s", vec.TypeString)
	num := ok(Cast(s, vec.TypeInt32))
	again := ok(Cast(num, vec.TypeString))
	p, err := Compile([]*Expr{s, num, again}, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &vec.Dict{ID: vec.NewDictID(), Offsets: []int32{0, 2, 5, 6}, Data: []byte("12bad7")}
	check := func(b *vec.Batch, want string) {
		t.Helper()
		out, err := p.Eval(b)
		if err != nil {
			t.Fatal(err)
		}
		if out[0] != b.Col(0) {
			t.Error("a column was copied")
		}
		var got []byte
		for _, i := range rowsOf(b) {
			got = AppendText(append(got, ' '), out[2], i, nil)
		}
		if string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	check(dictBatch(d, 0, 2, 0), " 12 7 12")
	// The value that cannot be cast fails only where a selected row has it, and again each time.
	for range 2 {
		var ee *EvalError
		if _, err := p.Eval(dictBatch(d, 0, 1)); !errors.As(err, &ee) || ee.Row != 1 {
			t.Fatalf("got %v", err)
		}
	}
	b := dictBatch(d, 1, 2)
	b.SetSel([]int{1})
	check(b, " 7")
	// The same dictionary, grown by its source; another one; and ones without an ID.
	grown := &vec.Dict{ID: d.ID, Offsets: append(d.Offsets, 8), Data: append(d.Data, "99"...)}
	check(dictBatch(grown, 3, 0), " 99 12")
	check(dictBatch(&vec.Dict{ID: vec.NewDictID(), Offsets: []int32{0, 1}, Data: []byte("5")}, 0), " 5")
	check(dictBatch(&vec.Dict{Offsets: []int32{0, 1}, Data: []byte("6")}, 0), " 6")
	check(dictBatch(&vec.Dict{Offsets: []int32{0, 1}, Data: []byte("8")}, 0), " 8")
	for i := range 10 {
		check(dictBatch(&vec.Dict{ID: vec.NewDictID(), Offsets: []int32{0, 1}, Data: []byte{byte('0' + i)}}, 0), " "+string(rune('0'+i)))
	}
}

func TestConstantsFillBatchesOfAnySize(t *testing.T) {
	types := map[string]*Expr{
		"TRUE": Lit(vec.TypeBool, "true"), "5": Int(5), "x": Lit(vec.TypeString, "x"), "NULL": NullOf(vec.TypeString),
		"1.50": Lit(vec.DecimalOf(3, 2), "1.50"), "hi": Lit(vec.TypeBytes, "aGk="),
	}
	for want, e := range types {
		p, err := Compile([]*Expr{e}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{3, 0, 200, 70, 1000} {
			out, err := p.Eval(vec.NewBatchOf(vec.NewSchema(), n))
			if err != nil || out[0].Len() != n {
				t.Fatalf("%s: %d rows, want %d: %v", want, out[0].Len(), n, err)
			}
			for i := range n {
				if got := string(AppendText(nil, out[0], i, nil)); got != want {
					t.Fatalf("row %d of %d is %s, want %s", i, n, got, want)
				}
			}
		}
	}
}

// TestExpressionsTravel sends an expression through JSON, as the job graph does.
func TestExpressionsTravel(t *testing.T) {
	ok := must(t)
	e := ok(Call("CASE", ok(Call("IN", Column(0, "x", vec.TypeInt64), Int(1), Int(2))), Lit(vec.TypeString, "é"), NullOf(vec.TypeNull)))
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var back *Expr
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	b := ints(1, 3)
	if got, want := show(back, b, &Env{}), show(e, b, &Env{}); got != want || got != "é | NULL" {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestBrokenExpressionsAreErrors compiles what no planner makes, but a job graph may hold.
func TestBrokenExpressionsAreErrors(t *testing.T) {
	x := Column(0, "x", vec.TypeInt64)
	row := Column(0, "r", vec.RowOf(vec.Field{Name: "a", Type: vec.TypeInt32}))
	for want, e := range map[string]*Expr{
		`unknown function "NO_SUCH"`:             {Op: OpCall, Type: vec.TypeInt64, Func: "NO_SUCH", Args: []*Expr{x}},
		"no function that runs":                  {Op: OpCall, Type: vec.TypeInt64, Func: "IF", Args: []*Expr{x, x, x}},
		"function + takes 2 arguments, got 1":    {Op: OpCall, Type: vec.TypeInt64, Func: "+", Args: []*Expr{x}},
		"function CASE takes at least 2":         {Op: OpCall, Type: vec.TypeInt64, Func: "CASE"},
		"column -1 does not exist":               Column(-1, "x", vec.TypeInt64),
		`bad constant "abc" of type INT`:         Lit(vec.TypeInt32, "abc"),
		`unknown kind "what"`:                    {Op: "what", Type: vec.TypeInt64},
		"no field 7 in ROW<`a` INT>":             {Op: OpCall, Type: vec.TypeInt32, Func: "FIELD", Args: []*Expr{row, Int(7)}},
		"over 5 columns met a batch of 1":        Column(4, "x", vec.TypeInt64),
		"cannot cast STRING to ARRAY<INT>":       {Op: OpCall, Type: vec.ArrayOf(vec.TypeInt32), Func: "TRY_CAST", Args: []*Expr{Column(0, "s", vec.TypeString)}},
		"RAND: no source of randomness in this":  {Op: OpCall, Type: vec.TypeFloat64, Func: "RAND"},
		"function AND takes at least 2 argument": {Op: OpCall, Type: vec.TypeBool, Func: "AND"},
	} {
		p, err := Compile([]*Expr{e}, nil)
		if err == nil {
			_, err = p.Eval(ints(1))
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestRand(t *testing.T) {
	ok := must(t)
	exprs := []*Expr{ok(Call("RAND")), ok(Call("RAND_INTEGER", Int(10)))}
	p, err := Compile(exprs, &Env{Rand: bytes.NewReader(bytes.Repeat([]byte{0xff, 0x80, 1, 2, 3, 4, 5, 6, 7}, 300))})
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Eval(ints(make([]int64, 100)...))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if f := vec.Values[float64](out[0])[i]; f < 0 || f >= 1 {
			t.Errorf("RAND gave %v", f)
		}
		if n := vec.Values[int32](out[1])[i]; n < 0 || n >= 10 {
			t.Errorf("RAND_INTEGER(10) gave %v", n)
		}
	}
	for range 10 {
		_, err = p.Eval(ints(make([]int64, 100)...))
	}
	if err == nil {
		t.Error("the end of randomness went unnoticed")
	}
}

func TestLiteral(t *testing.T) {
	for _, x := range []struct {
		e    *Expr
		want any
	}{
		{Int(5), int64(5)},
		{Lit(vec.TypeFloat64, "1.5"), 1.5},
		{Lit(vec.TypeBool, "true"), true},
		{Lit(vec.TypeString, "a"), "a"},
		{NullOf(vec.TypeInt32), nil},
		{Lit(vec.TypeDate, "18262"), int64(18262)},
		{Lit(vec.TypeIntervalDT, "-5"), int64(-5)},
		{Lit(vec.TypeBytes, "aGk="), []byte("hi")},
	} {
		if got, ok := Literal(x.e); !ok || !reflect.DeepEqual(got, x.want) {
			t.Errorf("%s: got %v, want %v", x.e, got, x.want)
		}
	}
	if _, ok := Literal(Column(0, "x", vec.TypeInt64)); ok {
		t.Error("a column is no constant")
	}
}

// TestDecimalTypes has the examples of Flink's derivation of precision and scale.
func TestDecimalTypes(t *testing.T) {
	for _, x := range []struct {
		op   string
		a, b vec.Type
		want string
	}{
		{"+", vec.DecimalOf(10, 2), vec.DecimalOf(5, 4), "DECIMAL(13, 4)"},
		{"+", vec.DecimalOf(38, 10), vec.DecimalOf(38, 2), "DECIMAL(38, 6)"},
		{"*", vec.DecimalOf(10, 2), vec.TypeInt32, "DECIMAL(21, 2)"},
		{"*", vec.DecimalOf(38, 18), vec.DecimalOf(38, 18), "DECIMAL(38, 6)"},
		{"/", vec.DecimalOf(10, 2), vec.DecimalOf(10, 2), "DECIMAL(23, 13)"},
		{"/", vec.DecimalOf(23, 3), vec.TypeInt64, "DECIMAL(38, 18)"},
		{"%", vec.DecimalOf(10, 2), vec.TypeInt32, "DECIMAL(10, 2)"},
	} {
		if got := decimalResult(x.op, x.a, x.b).String(); got != x.want {
			t.Errorf("%s %s %s: got %s, want %s", x.a, x.op, x.b, got, x.want)
		}
	}
	common, err := CommonType(vec.TypeInt32, vec.DecimalOf(5, 3), vec.TypeNull)
	if err != nil || common.String() != "DECIMAL(13, 3)" {
		t.Errorf("got %s, %v", common, err)
	}
	if _, err := CommonType(vec.TypeInt32, vec.TypeString); err == nil {
		t.Error("INT and STRING have no common type")
	}
}
