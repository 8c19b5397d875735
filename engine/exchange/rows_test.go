package exchange

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/bramble-stream/bramble/engine/vec"
)

// wideSchema has a column of every layout.
var wideSchema = vec.NewSchema(
	vec.Field{Name: "b", Type: vec.TypeBool},
	vec.Field{Name: "i8", Type: vec.TypeInt8},
	vec.Field{Name: "i16", Type: vec.TypeInt16},
	vec.Field{Name: "i", Type: vec.TypeInt32},
	vec.Field{Name: "l", Type: vec.TypeInt64},
	vec.Field{Name: "d", Type: vec.TypeFloat64},
	vec.Field{Name: "dec", Type: vec.DecimalOf(20, 2)},
	vec.Field{Name: "s", Type: vec.TypeString},
	vec.Field{Name: "dict", Type: vec.TypeString},
	vec.Field{Name: "bin", Type: vec.TypeBytes},
	vec.Field{Name: "row", Type: vec.RowOf(vec.Field{Name: "x", Type: vec.TypeInt32}, vec.Field{Name: "y", Type: vec.TypeString})},
	vec.Field{Name: "arr", Type: vec.ArrayOf(vec.TypeString)},
	vec.Field{Name: "map", Type: vec.MapOf(vec.TypeString, vec.ArrayOf(vec.TypeInt64))},
	vec.Field{Name: "nil", Type: vec.TypeNull},
)

// testDict is a dictionary that grows.
type testDict struct {
	id      uint64
	offsets []int32
	data    []byte
}

func newTestDict() *testDict { return &testDict{id: vec.NewDictID(), offsets: []int32{0}} }

func (d *testDict) add(s string) int32 {
	d.data = append(d.data, s...)
	d.offsets = append(d.offsets, int32(len(d.data)))
	return int32(len(d.offsets) - 2)
}

func (d *testDict) dict() *vec.Dict { return &vec.Dict{ID: d.id, Offsets: d.offsets, Data: d.data} }

// fill appends n random rows, with NULLs if asked for.
func fill(b *vec.Batch, n int, rng *rand.Rand, nulls bool, d *testDict) {
	for i := range b.Width() {
		c := b.Col(i)
		if b.Schema().Fields[i].Name == "dict" && d != nil {
			for range 1 + rng.IntN(3) {
				d.add(fmt.Sprintf("key-%d", rng.IntN(1000)))
			}
			c.SetDict(d.dict())
			for range n {
				if nulls && rng.IntN(4) == 0 {
					c.AppendNull()
				} else {
					c.AppendCode(int32(rng.IntN(d.dict().Len())))
				}
			}
			continue
		}
		for range n {
			appendRandom(c, rng, nulls)
		}
	}
	b.SetRows(n)
}

func appendRandom(c *vec.Col, rng *rand.Rand, nulls bool) {
	if nulls && rng.IntN(4) == 0 {
		c.AppendNull()
		return
	}
	switch k := c.Kind(); k {
	case vec.Bool:
		c.AppendBool(rng.IntN(2) == 0)
	case vec.String, vec.Bytes:
		c.AppendString(fmt.Sprintf("%x", rng.Uint64())[:rng.IntN(12)])
	case vec.Row:
		for i := range c.Type().Fields {
			appendRandom(c.Kid(i), rng, nulls)
		}
		c.EndRow()
	case vec.Array, vec.Map:
		for range rng.IntN(3) {
			for i := range c.Type().Fields {
				appendRandom(c.Kid(i), rng, nulls)
			}
		}
		c.EndList()
	case vec.Null:
		c.AppendNull()
	case vec.Decimal:
		vec.AppendValue(c, vec.Num{})
	default:
		switch k.Width() {
		case 1:
			vec.AppendValue(c, int8(rng.Int()))
		case 2:
			vec.AppendValue(c, int16(rng.Int()))
		case 4:
			vec.AppendValue(c, int32(rng.Int()))
		case 8:
			vec.AppendValue(c, rng.Int64())
		}
	}
}

// rowText prints row i.
func rowText(b *vec.Batch, i int) string {
	s := b.Kind(i).String()
	for _, c := range b.Cols() {
		s += "|" + valueText(c, i)
	}
	return s
}

func valueText(c *vec.Col, i int) string {
	if c.IsNull(i) {
		return "NULL"
	}
	switch k := c.Kind(); k {
	case vec.Bool:
		return fmt.Sprint(c.Bools().Get(i))
	case vec.String, vec.Bytes:
		return string(c.Bytes(i))
	case vec.Row:
		s := "("
		for f := range c.Type().Fields {
			s += valueText(c.Kid(f), i) + ","
		}
		return s + ")"
	case vec.Array, vec.Map:
		s := "["
		lo, hi := c.Range(i)
		for e := lo; e < hi; e++ {
			for f := range c.Type().Fields {
				s += valueText(c.Kid(f), e) + ","
			}
		}
		return s + "]"
	default:
		switch k.Width() {
		case 1:
			return fmt.Sprint(vec.Values[int8](c)[i])
		case 2:
			return fmt.Sprint(vec.Values[int16](c)[i])
		case 4:
			return fmt.Sprint(vec.Values[int32](c)[i])
		case 8:
			return fmt.Sprint(vec.Values[int64](c)[i])
		}
		return fmt.Sprint(vec.Values[vec.Num](c)[i])
	}
}

// texts prints the selected rows.
func texts(b *vec.Batch) []string {
	var out []string
	if sel := b.Sel(); sel != nil {
		for _, i := range sel {
			out = append(out, rowText(b, i))
		}
		return out
	}
	for i := range b.Rows() {
		out = append(out, rowText(b, i))
	}
	return out
}

func newRand(t testing.TB) *rand.Rand {
	const seed = 1594395154492165000
	t.Logf("seed=%d", int64(seed))
	return rand.New(rand.NewPCG(seed, 1))
}
