package expr

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/bramble-stream/bramble/engine/vec"
)

// testScanner reads types and s-expressions of the test files.
type testScanner struct {
	s    string
	cols []vec.Field
}

func (p *testScanner) space() { p.s = strings.TrimLeft(p.s, " \t") }

// take removes prefix from the input if it is there.
func (p *testScanner) take(prefix string) bool {
	p.space()
	if !strings.HasPrefix(p.s, prefix) {
		return false
	}
	p.s = p.s[len(prefix):]
	return true
}

// word reads up to a space or one of stop.
func (p *testScanner) word(stop string) string {
	p.space()
	i := strings.IndexAny(p.s, " \t"+stop)
	if i < 0 {
		i = len(p.s)
	}
	w := p.s[:i]
	p.s = p.s[i:]
	return w
}

func (p *testScanner) params() (a, b uint8) {
	if !p.take("(") {
		return 0, 0
	}
	_, _ = fmt.Sscan(p.word(",)"), &a) // a test that has no number there shows it
	if p.take(",") {
		_, _ = fmt.Sscan(p.word(",)"), &b)
	}
	p.take(")")
	return a, b
}

// typ reads a type: DECIMAL(5,2), ROW<a INT, b STRING>, INTERVALDT, …
func (p *testScanner) typ() vec.Type {
	var t vec.Type
	switch w := p.word("(<>,:)"); w {
	case "DECIMAL":
		t.Kind = vec.Decimal
		t.Precision, t.Scale = p.params()
	case "TIMESTAMP", "TIMESTAMP_LTZ", "TIME":
		t.Kind = map[string]vec.Kind{"TIMESTAMP": vec.Timestamp, "TIMESTAMP_LTZ": vec.TimestampLTZ, "TIME": vec.Time}[w]
		t.Precision = 3
		if strings.HasPrefix(p.s, "(") {
			t.Precision, _ = p.params()
		}
	case "ARRAY":
		p.take("<")
		t = vec.ArrayOf(p.typ())
		p.take(">")
	case "MAP":
		p.take("<")
		k := p.typ()
		p.take(",")
		t = vec.MapOf(k, p.typ())
		p.take(">")
	case "ROW":
		p.take("<")
		var fs []vec.Field
		for !p.take(">") {
			name := p.word("<>,")
			fs = append(fs, vec.Field{Name: name, Type: p.typ()})
			p.take(",")
		}
		t = vec.RowOf(fs...)
	case "INTERVALYM":
		t = vec.TypeIntervalYM
	case "INTERVALDT":
		t = vec.TypeIntervalDT
	default:
		for k := vec.Null; k <= vec.Map; k++ {
			if k.String() == w {
				t.Kind = k
			}
		}
		if t.Kind == vec.Invalid {
			panic("test: unknown type " + w)
		}
	}
	if p.take("NOT NULL") {
		t.NotNull = true
	}
	return t
}

// quoted reads 'text'.
func (p *testScanner) quoted() (string, bool) {
	if !p.take("'") {
		return "", false
	}
	i := strings.IndexByte(p.s, '\'')
	text := p.s[:i]
	p.s = p.s[i+1:]
	return text, true
}

// expr reads (F arg …), a column, or a constant: 1, 1.5 (DECIMAL), 1e0 (DOUBLE), 'x', TRUE, NULL, DATE'…', TIMESTAMP'…', ms:5, months:3.
func (p *testScanner) expr() (*Expr, error) {
	if text, ok := p.quoted(); ok {
		return Lit(vec.TypeString, text), nil
	}
	if p.take("(") {
		return p.call()
	}
	w := p.word("()'")
	if strings.HasPrefix(p.s, "'") {
		text, _ := p.quoted()
		return Cast(Lit(vec.TypeString, text), (&testScanner{s: w}).typ())
	}
	for i, f := range p.cols {
		if f.Name == w {
			return Column(i, w, f.Type), nil
		}
	}
	switch {
	case w == "NULL":
		return NullOf(vec.TypeNull), nil
	case w == "TRUE" || w == "FALSE":
		return Lit(vec.TypeBool, strings.ToLower(w)), nil
	case strings.HasPrefix(w, "ms:"):
		return Lit(vec.TypeIntervalDT, w[3:]), nil
	case strings.HasPrefix(w, "months:"):
		return Lit(vec.TypeIntervalYM, w[7:]), nil
	case strings.ContainsAny(w, "eE") || w == "NaN" || w == "+Inf":
		return Lit(vec.TypeFloat64, w), nil
	case strings.Contains(w, "."):
		digits := strings.TrimLeft(strings.ReplaceAll(w, ".", ""), "-0")
		scale := len(w) - strings.IndexByte(w, '.') - 1
		return Lit(vec.DecimalOf(uint8(max(len(digits), scale, 1)), uint8(scale)), w), nil
	}
	n, err := strconv.ParseInt(w, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("test: what is %q?", w)
	}
	return Int(n), nil
}

func (p *testScanner) call() (*Expr, error) {
	name := p.word("()")
	if strings.HasPrefix(name, "IS_") && registry[name] == nil {
		name = strings.ReplaceAll(name, "_", " ")
	}
	if name == "CAST" || name == "TRY_CAST" || name == "IMPLICIT" {
		arg, err := p.expr()
		if err != nil {
			return nil, err
		}
		t := p.typ()
		p.take(")")
		switch name {
		case "CAST":
			return Cast(arg, t)
		case "TRY_CAST":
			return TryCast(arg, t)
		default:
			return ImplicitCast(arg, t)
		}
	}
	var args []*Expr
	for !p.take(")") {
		if p.s == "" {
			return nil, fmt.Errorf("test: missing )")
		}
		a, err := p.expr()
		if err != nil {
			return nil, err
		}
		args = append(args, a)
	}
	return Call(name, args...)
}

// testInput is a batch with the session that a test file describes.
type testInput struct {
	b     *vec.Batch
	exprs []string
	env   *Env
}

func parseInput(t testing.TB, input string) *testInput {
	in := &testInput{env: &Env{Now: func() time.Time { return time.UnixMilli(1_600_000_000_123) }}}
	var fields []vec.Field
	var cols []*vec.Col
	var sel []int
	rows := 1
	for _, line := range strings.Split(input, "\n") {
		if e, ok := strings.CutPrefix(line, "> "); ok {
			in.exprs = append(in.exprs, e)
			continue
		}
		p := &testScanner{s: line}
		name := p.word(":")
		switch {
		case name == "":
			continue
		case name == "sel" && p.take(":"):
			sel = []int{}
			for p.space(); p.s != ""; p.space() {
				i, err := strconv.Atoi(p.word(""))
				if err != nil {
					t.Fatal(err)
				}
				sel = append(sel, i)
			}
			continue
		case name == "zone" && p.take(":"):
			loc, err := time.LoadLocation(p.word(""))
			if err != nil {
				t.Fatal(err)
			}
			in.env.Location = loc
			continue
		}
		f := vec.Field{Name: name, Type: p.typ()}
		c := vec.NewCol(f.Type)
		p.take(":")
		for _, v := range strings.Split(p.s, ",") {
			v = strings.TrimSpace(v)
			if v == "NULL" {
				c.AppendNull()
			} else if err := ParseLiteral(c, strings.Trim(v, "'"), in.env.Location); err != nil {
				t.Fatal(err)
			}
		}
		rows = c.Len()
		fields, cols = append(fields, f), append(cols, c)
	}
	in.b = vec.NewBatchOf(vec.NewSchema(fields...), rows, cols...)
	in.b.SetSel(sel)
	return in
}

// rowsOf lists the selected rows.
func rowsOf(b *vec.Batch) []int {
	if b.Sel() != nil {
		return b.Sel()
	}
	rows := make([]int, b.Rows())
	for i := range rows {
		rows[i] = i
	}
	return rows
}

// show evaluates e and prints the selected rows.
func show(e *Expr, b *vec.Batch, env *Env) string {
	p, err := Compile([]*Expr{e}, env)
	if err != nil {
		return "compile: " + err.Error()
	}
	return showProgram(p, b, env)
}

func showProgram(p *Program, b *vec.Batch, env *Env) string {
	out, err := p.Eval(b)
	if err != nil {
		return "error: " + err.Error()
	}
	var parts []string
	for _, i := range rowsOf(b) {
		parts = append(parts, string(AppendText(nil, out[0], i, env.Location)))
	}
	return strings.Join(parts, " | ")
}

// encoded returns b with its STRING columns as dictionaries.
func encoded(b *vec.Batch) *vec.Batch {
	cols := make([]*vec.Col, b.Width())
	for i, c := range b.Cols() {
		cols[i] = c
		if c.Kind() != vec.String || c.Dict() != nil {
			continue
		}
		d := &vec.Dict{ID: vec.NewDictID(), Offsets: []int32{0}}
		codes := map[string]int32{}
		dc := vec.NewCol(c.Type())
		dc.SetDict(d)
		for r := range c.Len() {
			if c.IsNull(r) {
				dc.AppendNull()
				continue
			}
			code, ok := codes[c.Str(r)]
			if !ok {
				code = int32(d.Len())
				codes[string(c.Bytes(r))] = code
				d.Data = append(d.Data, c.Bytes(r)...)
				d.Offsets = append(d.Offsets, int32(len(d.Data)))
			}
			dc.AppendCode(code)
		}
		cols[i] = dc
	}
	nb := vec.NewBatchOf(b.Schema(), b.Rows(), cols...)
	nb.SetSel(b.Sel())
	return nb
}

// oneByOne evaluates e a row at a time and must come to the same.
func oneByOne(e *Expr, b *vec.Batch, env *Env) string {
	p, err := Compile([]*Expr{e}, env)
	if err != nil {
		return "compile: " + err.Error()
	}
	one := vec.NewBatch(b.Schema())
	var parts []string
	for _, i := range rowsOf(b) {
		one.Reset()
		one.AppendRows(b, []int{i})
		r := showProgram(p, one, env)
		if strings.HasPrefix(r, "error: ") {
			return r
		}
		parts = append(parts, r)
	}
	return strings.Join(parts, " | ")
}

func TestData(t *testing.T) {
	datadriven.Walk(t, "testdata/calls", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			if d.Cmd == "functions" {
				return strings.Join(Functions(), " ") + "\n"
			}
			in := parseInput(t, d.Input)
			for _, text := range in.exprs {
				e, err := (&testScanner{s: text, cols: in.b.Schema().Fields}).expr()
				if err != nil {
					fmt.Fprintf(&out, "! %v\n", err)
					continue
				}
				if d.HasArg("plan") {
					f, err := Fold(e, in.env)
					fmt.Fprintf(&out, "%s %s %v\n", f, f.Type, err)
					continue
				}
				got := show(e, in.b, in.env)
				if again := show(e, encoded(in.b), in.env); again != got {
					t.Errorf("%s: %s\nwith dictionaries: %s\nplain: %s", d.Pos, text, again, got)
				}
				if again := oneByOne(e, in.b, in.env); again != got {
					t.Errorf("%s: %s\nrow by row: %s\ntogether: %s", d.Pos, text, again, got)
				}
				fmt.Fprintf(&out, "%s: %s\n", e.Type, got)
			}
			return out.String()
		})
	})
}
