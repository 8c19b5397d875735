package agg

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"pgregory.net/rapid"

	"github.com/bramble-stream/bramble/engine/vec"
)

// The input of the property tests: an INT, a DOUBLE, a STRING, a DECIMAL(10, 2), a BOOLEAN, a DATE, a FLOAT, a filter.
var inTypes = []vec.Type{
	vec.TypeInt32, vec.TypeFloat64, vec.TypeString, vec.DecimalOf(10, 2), vec.TypeBool, vec.TypeDate, vec.TypeFloat32, vec.TypeBool,
}

const filterCol = 7

// datum is one value as the model sees it; nil is NULL. Ints and dates are int64, decimals int64 (unscaled).
type datum any

type row struct {
	vals  []datum
	group int32
}

func genRow(t *rapid.T, groups int) row {
	r := row{group: int32(rapid.IntRange(0, groups-1).Draw(t, "group"))}
	for _, ty := range inTypes {
		if rapid.IntRange(0, 5).Draw(t, "null") == 0 {
			r.vals = append(r.vals, nil)
			continue
		}
		var v datum
		n := rapid.IntRange(-5, 5).Draw(t, "v")
		switch ty.Kind {
		case vec.Int32, vec.Decimal, vec.Date:
			v = int64(n)
		case vec.Float64, vec.Float32:
			v = float64(n) / 2
		case vec.String:
			v = strings.Repeat("ab", n+5) // "" too
		case vec.Bool:
			v = n%2 == 0
		}
		r.vals = append(r.vals, v)
	}
	return r
}

func appendDatum(c *vec.Col, v datum) {
	if v == nil {
		c.AppendNull()
		return
	}
	switch c.Kind() {
	case vec.Int32, vec.Date:
		vec.AppendValue(c, int32(v.(int64)))
	case vec.Decimal:
		vec.AppendValue(c, decimal128.FromI64(v.(int64)))
	case vec.Float64:
		vec.AppendValue(c, v.(float64))
	case vec.Float32:
		vec.AppendValue(c, float32(v.(float64)))
	case vec.String:
		c.AppendString(v.(string))
	case vec.Bool:
		c.AppendBool(v.(bool))
	}
}

// columns lays rows out with junk rows between, which sel leaves out, and strings in a dictionary when dict.
func columns(rows []row, dict bool) (cols []*vec.Col, sel []int, groups []int32) {
	for c, ty := range inTypes {
		col := vec.NewCol(ty)
		if dict && ty.Kind == vec.String {
			d := &vec.Dict{ID: 1, Offsets: []int32{0}}
			codes := map[string]int32{}
			col.SetDict(d)
			for _, r := range rows {
				s, ok := r.vals[c].(string)
				if ok {
					if _, ok := codes[s]; !ok {
						codes[s] = int32(d.Len())
						d.Data = append(d.Data, s...)
						d.Offsets = append(d.Offsets, int32(len(d.Data)))
					}
				}
			}
			if d.Len() == 0 {
				d.Offsets = append(d.Offsets, 0)
			}
			for _, r := range rows {
				if s, ok := r.vals[c].(string); ok {
					col.AppendCode(codes[s])
				} else {
					col.AppendNull()
				}
				col.AppendCode(0)
			}
		} else {
			for _, r := range rows {
				appendDatum(col, r.vals[c])
				appendDatum(col, nil)
			}
		}
		cols = append(cols, col)
	}
	for i, r := range rows {
		sel = append(sel, 2*i)
		groups = append(groups, r.group)
	}
	return cols, sel, groups
}

func spec(fn string, distinct bool, filter int, args ...int) Spec {
	s := Spec{Func: fn, Distinct: distinct, Filter: filter, Args: args, Name: fn}
	for _, a := range args {
		s.ArgTypes = append(s.ArgTypes, inTypes[a])
	}
	if fn == "LISTAGG" {
		s.Separator = "|"
	}
	t, err := ResultType(fn, distinct, s.ArgTypes)
	if err != nil {
		panic(err)
	}
	s.Type = t
	return s
}

func allSpecs() []Spec {
	specs := []Spec{spec("COUNT", false, -1), spec("COUNT", false, filterCol), spec("COUNT", true, -1, 0, 2), spec("COUNT", false, -1, 0, 2)}
	for _, fn := range functions {
		for a := range filterCol {
			if _, err := ResultType(fn, false, []vec.Type{inTypes[a]}); err != nil {
				continue
			}
			specs = append(specs, spec(fn, false, -1, a), spec(fn, true, -1, a))
			if a < 3 {
				specs = append(specs, spec(fn, false, filterCol, a), spec(fn, true, filterCol, a))
			}
		}
	}
	return specs
}

// expect is the naive aggregate over the rows of one group, in order, as text.
func expect(s Spec, rows []row) string {
	var in [][]datum
	seen := map[string]bool{}
	for _, r := range rows {
		if s.Filter >= 0 && r.vals[s.Filter] != datum(true) {
			continue
		}
		var args []datum
		for _, a := range s.Args {
			args = append(args, r.vals[a])
		}
		if slices.Contains(args, nil) {
			continue
		}
		if key := fmt.Sprint(args); s.Distinct && seen[key] {
			continue
		} else {
			seen[key] = true
		}
		in = append(in, args)
	}
	if s.Func == "COUNT" {
		return fmt.Sprint(len(in))
	}
	if len(in) == 0 {
		return "NULL"
	}
	switch s.Func {
	case "FIRST_VALUE":
		return text(in[0][0])
	case "LAST_VALUE":
		return text(in[len(in)-1][0])
	case "MIN", "MAX":
		best := in[0][0]
		for _, v := range in {
			if o := compareDatum(v[0], best); s.Func == "MAX" && o > 0 || s.Func == "MIN" && o < 0 {
				best = v[0]
			}
		}
		return text(best)
	case "LISTAGG":
		var parts []string
		for _, v := range in {
			parts = append(parts, v[0].(string))
		}
		return strings.Join(parts, s.Separator)
	}
	return expectNumber(s, in)
}

func expectNumber(s Spec, in [][]datum) string {
	var sum, n float64
	for _, v := range in {
		sum += number(v[0])
		n++
	}
	isInt := s.Type.Kind.IsInteger()
	div := math.Pow(10, float64(s.ArgTypes[0].Scale))
	var out float64
	switch s.Func {
	case "SUM":
		out = sum
	case "AVG":
		out = sum / n
	default:
		var m2 float64
		for _, v := range in {
			d := number(v[0]) - sum/n
			m2 += d * d
		}
		if strings.HasSuffix(s.Func, "SAMP") {
			n--
		}
		if n == 0 {
			return "NULL"
		}
		if out = m2 / n; strings.HasPrefix(s.Func, "STDDEV") {
			out = math.Sqrt(out)
		} else {
			out /= div // the square of an unscaled decimal
		}
	}
	switch {
	case isInt:
		return fmt.Sprint(int64(out + 1e-9*math.Copysign(1, out)))
	case s.Type.Kind == vec.Decimal:
		return fmt.Sprintf("%.5f", out/div)
	default:
		return fmt.Sprintf("%.5f", out)
	}
}

func number(v datum) float64 {
	if i, ok := v.(int64); ok {
		return float64(i)
	}
	return v.(float64)
}

func compareDatum(x, y datum) int {
	switch x := x.(type) {
	case int64:
		return cmp.Compare(x, y.(int64))
	case float64:
		return cmp.Compare(x, y.(float64))
	case string:
		return cmp.Compare(x, y.(string))
	default:
		return cmp.Compare(fmt.Sprint(x), fmt.Sprint(y)) // false < true
	}
}

func text(v datum) string {
	if f, ok := v.(float64); ok {
		return fmt.Sprintf("%.5f", f)
	}
	return fmt.Sprint(v)
}

// show is row i of a result column in the model's text.
func show(s Spec, c *vec.Col, i int) string {
	if c.IsNull(i) {
		return "NULL"
	}
	switch c.Kind() {
	case vec.Int32, vec.Date:
		return fmt.Sprint(vec.Values[int32](c)[i])
	case vec.Int64:
		return fmt.Sprint(vec.Values[int64](c)[i])
	case vec.Float64:
		return zero(vec.Values[float64](c)[i])
	case vec.Float32:
		return zero(float64(vec.Values[float32](c)[i]))
	case vec.Decimal:
		v := vec.Values[vec.Num](c)[i]
		if s.Func == "MIN" || s.Func == "MAX" || strings.HasSuffix(s.Func, "_VALUE") {
			return fmt.Sprint(int64(v.LowBits()))
		}
		return zero(v.ToFloat64(int32(c.Type().Scale)))
	case vec.Bool:
		return fmt.Sprint(c.Bools().Get(i))
	default:
		return string(c.Bytes(i))
	}
}

func zero(f float64) string { return fmt.Sprintf("%.5f", f) }

// near compares two texts, numbers within rounding.
func near(a, b string) bool {
	if a == b {
		return true
	}
	var x, y float64
	if _, err := fmt.Sscan(a, &x); err != nil {
		return false
	}
	if _, err := fmt.Sscan(b, &y); err != nil {
		return false
	}
	return strings.Contains(a, ".") && math.Abs(x-y) < 2e-5
}

func check(t *rapid.T, s *Set, rows []row, groups int, how string) {
	t.Helper()
	dst := s.NewResultCols()
	var all []int32
	for g := range int32(groups) {
		all = append(all, g)
	}
	s.AppendResult(dst, all)
	for i, sp := range s.Specs() {
		for g := range groups {
			var own []row
			for _, r := range rows {
				if r.group == int32(g) {
					own = append(own, r)
				}
			}
			want, got := expect(sp, own), show(sp, dst[i], g)
			if !near(got, want) {
				t.Fatalf("%s: %s(%v distinct %t filter %d) of group %d: %s, want %s", how, sp, sp.ArgTypes, sp.Distinct, sp.Filter, g, got, want)
			}
		}
	}
}

func mustNew(t testing.TB, specs []Spec, retract bool) *Set {
	s, err := New(specs, retract)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestProperties: adding in parts, merging, travelling as partials and as bytes all come to what a naive loop does.
func TestProperties(t *testing.T) {
	t.Run("all", func(t *testing.T) { testProperties(t, allSpecs()) })
	// Without others over the same values, counts share a set whatever their filters.
	t.Run("counts", func(t *testing.T) { testProperties(t, distinctCounts()) })
}

// distinctCounts has more aggregates over one column than a shared set takes.
func distinctCounts() []Spec {
	var specs []Spec
	for a := range filterCol {
		specs = append(specs, spec("COUNT", true, filterCol, a), spec("COUNT", true, -1, a), spec("COUNT", false, -1, a))
	}
	specs = append(specs, spec("COUNT", true, -1, 0, 2), spec("COUNT", true, filterCol, 0, 2), spec("COUNT", true, -1, 0, 0))
	for i := range countedMax {
		specs = append(specs, spec("COUNT", true, []int{-1, filterCol}[i%2], 1))
	}
	return specs
}

func testProperties(t *testing.T, specs []Spec) {
	rapid.Check(t, func(rt *rapid.T) {
		const groups = 3
		a, b := mustNew(t, specs, false), mustNew(t, specs, false)
		var rows, late []row
		for part := range 2 {
			set, to := a, &rows
			if part == 1 {
				set, to = b, &late
			}
			for range rapid.IntRange(0, 2).Draw(rt, "batches") {
				var batch []row
				for range rapid.IntRange(1, 12).Draw(rt, "rows") {
					batch = append(batch, genRow(rt, groups))
				}
				cols, sel, gs := columns(batch, rapid.Bool().Draw(rt, "dict"))
				set.Resize(groups)
				set.Add(cols, sel, gs)
				*to = append(*to, batch...)
			}
			set.Resize(groups)
		}
		check(rt, a, rows, groups, "add")
		checkMoves(t, rt, a, b, rows, late)
	})
}

func checkMoves(t *testing.T, rt *rapid.T, a, b *Set, rows, late []row) {
	const groups = 3
	both := append(slices.Clone(rows), late...)
	all := []int32{0, 1, 2}
	m, err := NewMerger(a.Specs(), false)
	if err != nil {
		t.Fatal(err)
	}
	c, d, e := mustNew(t, a.Specs(), false), mustNew(t, a.Specs(), false), mustNew(t, a.Specs(), false)
	c.Resize(groups)
	d.Resize(groups)
	e.Resize(groups)
	for g := range int32(groups) {
		enc, err := m.MergeEncoded(nil, a.Encode(nil, g), b.Encode(nil, g))
		if err != nil {
			t.Fatal(err)
		}
		if rest, err := d.Decode(enc, g); err != nil || len(rest) != 0 {
			t.Fatal(err, rest)
		}
		for i := 0; i < len(enc); i += 1 + len(enc)/8 {
			// Cut bytes are an error or a shorter reading, never a panic.
			if _, err := e.Decode(enc[:i], g); err == nil {
				t.Fatalf("decoded %d of %d bytes", i, len(enc))
			}
		}
	}
	check(rt, e, nil, groups, "after failed decoding")
	check(rt, d, both, groups, "merge encoded")
	for _, s := range []*Set{a, b} {
		p := s.NewPartialCols()
		s.AppendPartial(p, all)
		c.AddPartial(p, nil, all)
	}
	check(rt, c, both, groups, "partials")
	a.Merge(all, b, all)
	check(rt, a, both, groups, "merge")
	// Group 2 into group 0 of the same set.
	a.Merge([]int32{0}, a, []int32{2})
	a.Clear(2)
	var moved []row
	for _, g := range all {
		for _, r := range both {
			if r.group == g {
				moved = append(moved, row{r.vals, g % 2})
			}
		}
	}
	check(rt, a, moved, groups, "merge within")
	both = moved
	a.Clear(1)
	check(rt, a, slices.DeleteFunc(slices.Clone(both), func(r row) bool { return r.group == 1 }), groups, "clear")
	a.Reset()
	a.Resize(groups)
	check(rt, a, nil, groups, "reset")
}

// TestRetract: taking rows back leaves what was never taken back, also when the retraction is in another part than the row.
func TestRetract(t *testing.T) {
	ordered := func(s Spec) bool { return s.Func == "LISTAGG" || strings.HasSuffix(s.Func, "_VALUE") }
	rapid.Check(t, func(rt *rapid.T) {
		const groups = 2
		parts := rapid.IntRange(1, 2).Draw(rt, "parts")
		specs := slices.DeleteFunc(allSpecs(), func(s Spec) bool {
			// Which of several equal values a part takes back, its own or an earlier part's, is not said; nor where in the order a value
			// stands that was gone and has come again.
			return ordered(s) && (s.Distinct || parts == 2)
		})
		a, b := mustNew(t, specs, true), mustNew(t, specs, true)
		a.Resize(groups)
		b.Resize(groups)
		var live []row
		for step := range rapid.IntRange(1, 6).Draw(rt, "steps") {
			set := a
			if step > 3 && parts == 2 {
				set = b
			}
			var batch []row
			for range rapid.IntRange(1, 6).Draw(rt, "rows") {
				batch = append(batch, genRow(rt, groups))
			}
			cols, sel, gs := columns(batch, false)
			set.Add(cols, sel, gs)
			live = append(live, batch...)
			// Rows go oldest first, as equal values do in a list.
			n := rapid.IntRange(0, len(live)).Draw(rt, "back")
			cols, sel, gs = columns(live[:n], true)
			set.Retract(cols, sel, gs)
			live = live[n:]
		}
		all := []int32{0, 1}
		c := mustNew(t, specs, true)
		c.Resize(groups)
		for g := range int32(groups) {
			if _, err := c.Decode(a.Encode(nil, g), g); err != nil {
				t.Fatal(err)
			}
			if _, err := c.DecodeMerge(b.Encode(nil, g), g); err != nil {
				t.Fatal(err)
			}
		}
		a.Merge(all, b, all)
		check(rt, a, live, groups, "retract and merge")
		check(rt, c, live, groups, "retract, encode and merge")
	})
}

func TestResultTypes(t *testing.T) {
	notNull := vec.Type{Kind: vec.Int32, NotNull: true}
	for _, c := range []struct {
		fn   string
		args []vec.Type
		want string
	}{
		{"COUNT", nil, "BIGINT NOT NULL"},
		{"COUNT", []vec.Type{vec.TypeString}, "BIGINT NOT NULL"},
		{"SUM", []vec.Type{notNull}, "INT"},
		{"SUM", []vec.Type{vec.TypeInt64}, "BIGINT"},
		{"SUM", []vec.Type{vec.TypeFloat32}, "FLOAT"},
		{"SUM", []vec.Type{vec.DecimalOf(10, 2)}, "DECIMAL(38, 2)"},
		{"AVG", []vec.Type{notNull}, "INT"},
		{"AVG", []vec.Type{vec.DecimalOf(10, 2)}, "DECIMAL(38, 6)"},
		{"AVG", []vec.Type{vec.DecimalOf(20, 8)}, "DECIMAL(38, 8)"},
		{"MAX", []vec.Type{vec.TypeTimestampLTZ}, "TIMESTAMP_LTZ(3)"},
		{"MIN", []vec.Type{vec.TypeString}, "STRING"},
		{"STDDEV_POP", []vec.Type{vec.TypeFloat64}, "DOUBLE"},
		{"VAR_SAMP", []vec.Type{vec.TypeInt64}, "BIGINT"},
		{"LAST_VALUE", []vec.Type{vec.ArrayOf(vec.TypeInt32)}, "ARRAY<INT>"},
		{"LISTAGG", []vec.Type{vec.TypeString}, "STRING"},
		{"SUM", []vec.Type{vec.TypeString}, "error: SUM takes TINYINT, SMALLINT, INT, BIGINT, FLOAT, DOUBLE or DECIMAL, not STRING"},
		{"MAX", []vec.Type{vec.TypeBytes}, "error: MAX takes a number, STRING, BOOLEAN, or a date, time or interval, not BYTES"},
		{"AVG", nil, "error: AVG takes 1 argument, not 0"},
		{"LISTAGG", []vec.Type{vec.TypeInt32}, "error: LISTAGG takes STRING, not INT"},
		{"MEDIAN", nil, "error: MEDIAN is not an aggregate function; there are " + strings.Join(Functions(), ", ")},
	} {
		got, err := ResultType(c.fn, false, c.args)
		text := got.String()
		if err != nil {
			text = "error: " + err.Error()
		}
		if text != c.want {
			t.Errorf("%s%v: %s, want %s", c.fn, c.args, text, c.want)
		}
	}
	if _, err := ResultType("COUNT", true, nil); err == nil {
		t.Error("COUNT(DISTINCT *) was accepted")
	}
}

// TestDecimalOverflow: a sum beyond 38 digits is NULL and stays so, in every way that it travels.
func TestDecimalOverflow(t *testing.T) {
	big := decimal128.GetScaleMultiplier(38).Sub(decimal128.FromI64(1))
	ty := vec.DecimalOf(38, 0)
	var specs []Spec
	for _, fn := range []string{"SUM", "AVG"} {
		rt, err := ResultType(fn, false, []vec.Type{ty})
		if err != nil {
			t.Fatal(err)
		}
		specs = append(specs, Spec{Func: fn, Args: []int{0}, ArgTypes: []vec.Type{ty}, Filter: -1, Type: rt})
	}
	a, b := mustNew(t, specs, false), mustNew(t, specs, false)
	a.Resize(2)
	b.Resize(2)
	c := vec.NewCol(ty)
	for range 3 {
		vec.AppendValue(c, big)
	}
	vec.AppendValue(c, decimal128.FromI64(7))
	a.Add([]*vec.Col{c}, nil, []int32{0, 0, 0, 1})
	p := a.NewPartialCols()
	a.AppendPartial(p, []int32{0, 1})
	b.AddPartial(p, nil, []int32{0, 1})
	for _, s := range []*Set{a, b} {
		dst := s.NewResultCols()
		s.AppendResult(dst, []int32{0, 1})
		for i, d := range dst {
			if !d.IsNull(0) || d.IsNull(1) {
				t.Errorf("%s: overflow null %t, 7 null %t", specs[i], d.IsNull(0), d.IsNull(1))
			}
		}
	}
}

func TestNewRefusesBadSpecs(t *testing.T) {
	for _, s := range []Spec{
		{Func: "SUM", Args: []int{0}, Filter: -1},
		{Func: "SUM", Args: []int{-1}, ArgTypes: []vec.Type{vec.TypeInt64}, Type: vec.TypeInt64, Filter: -1},
		{Func: "COUNT", Type: vec.TypeInt32, Filter: -1},
		{Func: "NOPE", Type: vec.TypeInt32, Filter: -1},
	} {
		if _, err := New([]Spec{s}, false); err == nil {
			t.Errorf("%v was accepted", s)
		}
	}
}

// FuzzDecode: whatever the bytes, decoding, merging and reading results do not panic.
func FuzzDecode(f *testing.F) {
	arr := vec.ArrayOf(vec.RowOf(vec.Field{Name: "a", Type: vec.TypeString}, vec.Field{Name: "b", Type: vec.TypeInt32}))
	nested := Spec{Func: "FIRST_VALUE", Args: []int{0}, ArgTypes: []vec.Type{arr}, Type: arr, Filter: -1}
	specs := append(append(allSpecs(), distinctCounts()...), nested)
	for _, retract := range []bool{false, true} {
		s := mustNew(f, specs, retract)
		s.Resize(1)
		f.Add(s.Encode(nil, 0), uint8(0), retract)
	}
	f.Fuzz(func(t *testing.T, data []byte, which uint8, retract bool) {
		spec := specs[int(which)%len(specs)]
		s := mustNew(t, []Spec{spec}, retract)
		s.Resize(2)
		if _, err := s.DecodeMerge(data, 0); err != nil {
			return
		}
		if _, err := s.DecodeMerge(data, 0); err != nil {
			t.Fatalf("the second time: %v", err)
		}
		dst := s.NewResultCols()
		s.AppendResult(dst, []int32{0, 1, 0})
		if dst[0].Len() != 3 || spec.Func != "COUNT" && !dst[0].IsNull(1) {
			t.Fatalf("%d rows", dst[0].Len())
		}
	})
}
