package vec

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"pgregory.net/rapid"
)

// leafTypes are all types without children.
var leafTypes = []Type{
	TypeBool, TypeInt8, TypeInt16, TypeInt32, TypeInt64, TypeFloat32, TypeFloat64, DecimalOf(38, 5), TypeString, TypeBytes,
	TypeDate,
	{Kind: Time, Precision: 3},
	{Kind: Timestamp, Precision: 0},
	TypeTimestampLTZ, TypeIntervalYM, TypeIntervalDT, TypeNull,
}

func drawType(t *rapid.T, depth int) Type {
	if depth > 0 {
		switch rapid.IntRange(0, 5).Draw(t, "nested") {
		case 0:
			return ArrayOf(drawType(t, depth-1))
		case 1:
			key := TypeString
			key.NotNull = true
			return MapOf(key, drawType(t, depth-1))
		case 2:
			return RowOf(Field{"a", drawType(t, depth-1)}, Field{"b", drawType(t, depth-1)})
		}
	}
	return rapid.SampledFrom(leafTypes).Draw(t, "type")
}

// appendDrawn appends a random value.
func appendDrawn(t *rapid.T, c *Col, nullable bool) {
	if nullable && rapid.IntRange(0, 4).Draw(t, "null") == 0 {
		c.AppendNull()
		return
	}
	v := rapid.Int64().Draw(t, "v")
	switch c.Kind() {
	case Null:
		c.AppendNull()
	case Bool:
		c.AppendBool(v&1 != 0)
	case Int8:
		AppendValue(c, int8(v))
	case Int16:
		AppendValue(c, int16(v))
	case Int32, Date, Time, IntervalYM:
		AppendValue(c, int32(v))
	case Int64, Timestamp, TimestampLTZ, IntervalDT:
		AppendValue(c, v)
	case Float32:
		AppendValue(c, float32(v))
	case Float64:
		AppendValue(c, math.Float64frombits(uint64(v)))
	case Decimal:
		AppendValue(c, decimal128.FromI64(v))
	case String, Bytes:
		appendText(t, c)
	case Row:
		for i := range c.Type().Fields {
			appendDrawn(t, c.Kid(i), true)
		}
		c.EndRow()
	case Array, Map:
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			for i, f := range c.Type().Fields {
				appendDrawn(t, c.Kid(i), !f.Type.NotNull)
			}
		}
		c.EndList()
	}
}

func appendText(t *rapid.T, c *Col) {
	s := rapid.SampledFrom([]string{"", "a", "bb", "ccc", "é", strings.Repeat("long ", 20)}).Draw(t, "s")
	if c.Dict() == nil {
		c.AppendString(s)
		return
	}
	for code := range int32(c.Dict().Len()) {
		if string(c.Dict().Value(code)) == s {
			c.AppendCode(code)
			return
		}
	}
	c.AppendCode(0)
}

var testDict = &Dict{ID: NewDictID(), Offsets: []int32{0, 0, 1, 3}, Data: []byte("abb")}

func drawCol(t *rapid.T, typ Type, rows int) *Col {
	c := NewCol(typ)
	if typ.Kind == String && rapid.Bool().Draw(t, "dictionary") {
		c.SetDict(testDict)
	}
	nullable := rapid.Bool().Draw(t, "nullable")
	for range rows {
		appendDrawn(t, c, nullable)
	}
	return c
}

// drawBatchOf makes a batch of random columns, with kinds and a selection at times.
func drawBatchOf(t *rapid.T, depth int) *Batch {
	rows := rapid.IntRange(0, 150).Draw(t, "rows")
	s := &Schema{}
	var cols []*Col
	for i := range rapid.IntRange(1, 4).Draw(t, "width") {
		f := Field{fmt.Sprint("c", i), drawType(t, depth)}
		s.Fields = append(s.Fields, f)
		cols = append(cols, drawCol(t, f.Type, rows))
	}
	b := NewBatchOf(s, rows, cols...)
	if rapid.Bool().Draw(t, "kinds") {
		for i, k := 0, b.EnsureKinds(rows); i < rows; i++ {
			k[i] = RowKind(i % 4)
		}
	}
	if rapid.Bool().Draw(t, "select") {
		b.SetSel(drawSel(t, rows))
	}
	return b
}

func drawSel(t *rapid.T, rows int) []int {
	sel := []int{}
	for i := range rows {
		if rapid.Bool().Draw(t, "in") {
			sel = append(sel, i)
		}
	}
	return sel
}

// text prints row i of a column, for comparison.
func text(c *Col, i int) string {
	if c.IsNull(i) {
		return "NULL"
	}
	switch c.Kind() {
	case Bool:
		return fmt.Sprint(c.Bools().Get(i))
	case Int8:
		return fmt.Sprint(Values[int8](c)[i])
	case Int16:
		return fmt.Sprint(Values[int16](c)[i])
	case Int32, Date, Time, IntervalYM:
		return fmt.Sprint(Values[int32](c)[i])
	case Int64, Timestamp, TimestampLTZ, IntervalDT:
		return fmt.Sprint(Values[int64](c)[i])
	case Float32:
		return fmt.Sprint(Values[float32](c)[i])
	case Float64:
		return fmt.Sprint(Values[float64](c)[i])
	case Decimal:
		return NumToBig(new(big.Int), Values[Num](c)[i]).String()
	case String, Bytes:
		return fmt.Sprintf("%q", c.Bytes(i))
	case Row:
		var parts []string
		for k := range c.Type().Fields {
			parts = append(parts, text(c.Kid(k), i))
		}
		return "(" + strings.Join(parts, " ") + ")"
	default:
		lo, hi := c.Range(i)
		var parts []string
		for e := lo; e < hi; e++ {
			for k := range c.Type().Fields {
				parts = append(parts, text(c.Kid(k), e))
			}
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
}

// rowsText prints the selected rows of a batch with their kinds.
func rowsText(b *Batch) []string {
	sel := b.Sel()
	if sel == nil {
		sel = make([]int, b.Rows())
		for i := range sel {
			sel[i] = i
		}
	}
	out := make([]string, len(sel))
	for k, i := range sel {
		parts := []string{b.Kind(i).String()}
		for _, c := range b.Cols() {
			parts = append(parts, text(c, i))
		}
		out[k] = strings.Join(parts, " ")
	}
	return out
}

func mustEqual(t interface{ Fatalf(string, ...any) }, what string, got, want []string) {
	if h, ok := t.(testing.TB); ok {
		h.Helper()
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d rows, want %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: row %d is %s, want %s", what, i, got[i], want[i])
		}
	}
}
