package expr

import (
	"bytes"
	"cmp"

	"github.com/bramble-stream/bramble/engine/vec"
)

// CompareValues orders row i of a and row j of b, which have the same type (DECIMALs may differ in scale): -1, 0 or 1. NULL is equal to NULL and
// below all else; NaN is equal to itself and above all numbers; nested values compare element by element, and the shorter list is below.
func CompareValues(a *vec.Col, i int, b *vec.Col, j int) int {
	an, bn := a.IsNull(i), b.IsNull(j)
	if an || bn {
		return cmp.Compare(bitWord(!an), bitWord(!bn))
	}
	switch t := a.Type(); t.Kind {
	case vec.Bool:
		return cmp.Compare(bitWord(a.Bools().Get(i)), bitWord(b.Bools().Get(j)))
	case vec.Int8:
		return cmp.Compare(vec.Values[int8](a)[i], vec.Values[int8](b)[j])
	case vec.Int16:
		return cmp.Compare(vec.Values[int16](a)[i], vec.Values[int16](b)[j])
	case vec.Int32, vec.Date, vec.Time, vec.IntervalYM:
		return cmp.Compare(vec.Values[int32](a)[i], vec.Values[int32](b)[j])
	case vec.Int64, vec.Timestamp, vec.TimestampLTZ, vec.IntervalDT:
		return cmp.Compare(vec.Values[int64](a)[i], vec.Values[int64](b)[j])
	case vec.Float32:
		return compareFloats(float64(vec.Values[float32](a)[i]), float64(vec.Values[float32](b)[j]))
	case vec.Float64:
		return compareFloats(vec.Values[float64](a)[i], vec.Values[float64](b)[j])
	case vec.Decimal:
		return cmpDecimal(vec.Values[vec.Num](a)[i], int(t.Scale), vec.Values[vec.Num](b)[j], int(b.Type().Scale))
	case vec.String, vec.Bytes:
		return bytes.Compare(a.Bytes(i), b.Bytes(j))
	case vec.Row:
		for k := range t.Fields {
			if c := CompareValues(a.Kid(k), i, b.Kid(k), j); c != 0 {
				return c
			}
		}
		return 0
	case vec.Array, vec.Map:
		return compareLists(a, i, b, j)
	}
	return 0
}

// compareFloats puts NaN above all else; -0 equals 0.
func compareFloats(x, y float64) int {
	switch {
	case x < y, x == x && y != y:
		return -1
	case x > y, x != x && y == y:
		return 1
	}
	return 0
}

func compareLists(a *vec.Col, i int, b *vec.Col, j int) int {
	alo, ahi := a.Range(i)
	blo, bhi := b.Range(j)
	for k := 0; alo+k < ahi && blo+k < bhi; k++ {
		for f := range a.Type().Fields {
			if c := CompareValues(a.Kid(f), alo+k, b.Kid(f), blo+k); c != 0 {
				return c
			}
		}
	}
	return cmp.Compare(ahi-alo, bhi-blo)
}
