package vec

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// msPerDay is a day in ms.
const msPerDay = 24 * 60 * 60 * 1000

// unitMS is how many of an Arrow unit make a ms, or how many ms make one of it (times).
func unitMS(u arrow.TimeUnit) (div, mul int64) {
	switch u {
	case arrow.Second:
		return 1, 1000
	case arrow.Microsecond:
		return 1000, 1
	case arrow.Nanosecond:
		return 1_000_000, 1
	default:
		return 1, 1
	}
}

// toMS converts rounding down.
func toMS(v, div, mul int64) int64 {
	q := v / div
	if v%div < 0 {
		q--
	}
	return q * mul
}

// convertArrow fills c from an array whose physical layout is not ours; done is false when it is.
func convertArrow(c *Col, d arrow.ArrayData) (done bool, err error) {
	a := array.MakeFromData(d)
	defer a.Release()
	switch a := a.(type) {
	case *array.Uint8:
		fill(c, a.Uint8Values(), func(v uint8) int16 { return int16(v) })
	case *array.Uint16:
		fill(c, a.Uint16Values(), func(v uint16) int32 { return int32(v) })
	case *array.Uint32:
		fill(c, a.Uint32Values(), func(v uint32) int64 { return int64(v) })
	case *array.Date64:
		fill(c, a.Date64Values(), func(v arrow.Date64) int32 { return int32(toMS(int64(v), msPerDay, 1)) })
	case *array.Time32:
		div, mul := unitMS(a.DataType().(*arrow.Time32Type).Unit)
		if div == mul {
			return false, nil
		}
		fill(c, a.Time32Values(), func(v arrow.Time32) int32 { return int32(toMS(int64(v), div, mul)) })
	case *array.Time64:
		div, mul := unitMS(a.DataType().(*arrow.Time64Type).Unit)
		fill(c, a.Time64Values(), func(v arrow.Time64) int32 { return int32(toMS(int64(v), div, mul)) })
	case *array.Timestamp:
		div, mul := unitMS(a.DataType().(*arrow.TimestampType).Unit)
		if div == mul {
			return false, nil
		}
		fill(c, a.TimestampValues(), func(v arrow.Timestamp) int64 { return toMS(int64(v), div, mul) })
	case *array.Duration:
		div, mul := unitMS(a.DataType().(*arrow.DurationType).Unit)
		if div == mul {
			return false, nil
		}
		fill(c, a.DurationValues(), func(v arrow.Duration) int64 { return toMS(int64(v), div, mul) })
	case *array.LargeString:
		fillBytes(c, a.Len(), func(i int) []byte { return []byte(a.Value(i)) })
	case *array.LargeBinary:
		fillBytes(c, a.Len(), a.Value)
	case *array.FixedSizeBinary:
		fillBytes(c, a.Len(), a.Value)
	case *array.Dictionary:
		return true, fillDict(c, a)
	default:
		return false, nil
	}
	return true, nil
}

// fill converts fixed-width values.
func fill[S any, T Fixed](c *Col, src []S, fn func(S) T) {
	n := c.n
	c.growData(n * c.typ.Kind.Width())
	dst := Values[T](c)
	for i := range n {
		dst[i] = fn(src[i])
	}
}

// fillBytes copies STRING or BYTES values.
func fillBytes(c *Col, n int, value func(i int) []byte) {
	c.offsets = append(make([]int32, 0, n+1), 0)
	for i := range n {
		if len(c.valid) == 0 || c.valid.Get(i) {
			c.data = append(c.data, value(i)...)
		}
		c.offsets = append(c.offsets, int32(len(c.data)))
	}
}

// fillDict takes over a dictionary of strings. One that holds NULLs itself is decoded.
func fillDict(c *Col, a *array.Dictionary) error {
	values, ok := a.Dictionary().(*array.String)
	if !ok {
		return fmt.Errorf("Arrow dictionary of %s is not supported", a.Dictionary().DataType())
	}
	if values.NullN() > 0 {
		c.offsets = []int32{0}
		plain := NewCol(c.typ)
		for i := range c.n {
			if a.IsNull(i) || values.IsNull(a.GetValueIndex(i)) {
				plain.AppendNull()
			} else {
				plain.AppendString(values.Value(a.GetValueIndex(i)))
			}
		}
		*c = *plain
		return nil
	}
	dc, err := colFromArrow(values.Data(), TypeString)
	if err != nil {
		return err
	}
	c.dict = &Dict{ID: NewDictID(), Offsets: dc.offsets, Data: dc.data}
	c.offsets = []int32{0}
	if codes, ok := a.Indices().(*array.Int32); ok {
		c.data = bytesFromArrow(codes.Data().Buffers()[1], codes.Data().Offset(), c.n, 4)
		return checkCodes(c)
	}
	c.growData(c.n * 4)
	codes := c.Codes()
	for i := range codes {
		if !c.IsNull(i) {
			codes[i] = int32(a.GetValueIndex(i))
		}
	}
	return checkCodes(c)
}

// checkCodes refuses codes outside the dictionary: they come from outside, and everything after relies on them.
func checkCodes(c *Col) error {
	n := uint32(c.dict.Len())
	for i, code := range c.Codes() {
		if uint32(code) >= n && !c.IsNull(i) {
			return fmt.Errorf("row %d: dictionary index %d of %d values", i, code, n)
		}
	}
	return nil
}
