package enc_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/bramble-stream/bramble/engine/state/enc"
	"github.com/bramble-stream/bramble/engine/vec"
)

// samples has a column of each kind with a few values and a NULL.
func samples() []*vec.Col {
	var cols []*vec.Col
	add := func(t vec.Type, fill func(c *vec.Col)) {
		c := vec.NewCol(t)
		fill(c)
		c.AppendNull()
		cols = append(cols, c)
	}
	add(vec.TypeBool, func(c *vec.Col) { c.AppendBool(true); c.AppendBool(false) })
	add(vec.TypeInt8, func(c *vec.Col) { vec.AppendValue(c, int8(-7)) })
	add(vec.TypeInt16, func(c *vec.Col) { vec.AppendValue(c, int16(math.MinInt16)) })
	for _, t := range []vec.Type{vec.TypeInt32, vec.TypeDate, vec.TypeTime, vec.TypeIntervalYM} {
		add(t, func(c *vec.Col) { vec.AppendValue(c, int32(-1)); vec.AppendValue(c, int32(math.MaxInt32)) })
	}
	for _, t := range []vec.Type{vec.TypeInt64, vec.TypeTimestamp, vec.TypeTimestampLTZ, vec.TypeIntervalDT} {
		add(t, func(c *vec.Col) { vec.AppendValue(c, int64(math.MinInt64)) })
	}
	add(vec.TypeFloat32, func(c *vec.Col) { vec.AppendValue(c, float32(-1.5)) })
	add(vec.TypeFloat64, func(c *vec.Col) { vec.AppendValue(c, math.Inf(-1)) })
	add(vec.DecimalOf(38, 2), func(c *vec.Col) { vec.AppendValue(c, decimal128.New(-5, 9)) })
	add(vec.TypeString, func(c *vec.Col) { c.AppendString(""); c.AppendString("ä") })
	add(vec.TypeBytes, func(c *vec.Col) { c.AppendBytes(make([]byte, 300)) })
	add(vec.ArrayOf(vec.TypeString), func(c *vec.Col) {
		c.EndList()
		c.Kid(0).AppendString("x")
		c.Kid(0).AppendNull()
		c.EndList()
	})
	add(vec.MapOf(vec.TypeString, vec.TypeInt32), func(c *vec.Col) {
		c.Kid(0).AppendString("k")
		vec.AppendValue(c.Kid(1), int32(4))
		c.EndList()
	})
	add(vec.RowOf(vec.Field{Name: "a", Type: vec.TypeInt32}), func(c *vec.Col) { c.Kid(0).AppendNull(); c.EndRow() })
	return cols
}

func TestRoundTrip(t *testing.T) {
	for _, c := range samples() {
		for i := range c.Len() {
			b := enc.Append(nil, c, i)
			got := vec.NewCol(c.Type())
			rest, err := enc.Decode(append(b[:len(b):len(b)], 0xee), got)
			if err != nil || !bytes.Equal(rest, []byte{0xee}) {
				t.Fatalf("%s row %d: %v, rest %x", c.Type(), i, err, rest)
			}
			if again := enc.Append(nil, got, 0); !bytes.Equal(again, b) || got.IsNull(0) != c.IsNull(i) {
				t.Errorf("%s row %d: %x, then %x", c.Type(), i, b, again)
			}
			for cut := range b {
				if _, err := enc.Decode(b[:cut], vec.NewCol(c.Type())); err == nil {
					t.Errorf("%s row %d: decoded %d of %d bytes", c.Type(), i, cut, len(b))
				}
			}
			if enc.IsWord(c.Kind()) && !c.IsNull(i) {
				got.Reset()
				enc.AppendWord(got, enc.Word(c, i))
				if again := enc.Append(nil, got, 0); !bytes.Equal(again, b) {
					t.Errorf("%s row %d: as a word %x, want %x", c.Type(), i, again, b)
				}
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	cols := samples()
	for k, c := range cols {
		f.Add(uint8(k), enc.Append(nil, c, 0))
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		c := vec.NewCol(cols[int(kind)%len(cols)].Type())
		rest, err := enc.Decode(data, c)
		if err == nil && (c.Len() != 1 || len(rest) >= len(data)) {
			t.Fatalf("%d rows from %d bytes, %d left", c.Len(), len(data), len(rest))
		}
	})
}
