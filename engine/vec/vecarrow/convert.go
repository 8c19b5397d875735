package vecarrow

import (
	"fmt"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/bramble-stream/bramble/engine/vec"
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

// convert fills p from an array whose physical layout is not ours; done is false when it is.
func (p *parts) convert(d arrow.ArrayData) (done bool, err error) {
	a := array.MakeFromData(d)
	defer a.Release()
	switch a := a.(type) {
	case *array.Uint8:
		fill(p, a.Uint8Values(), func(v uint8) int16 { return int16(v) })
	case *array.Uint16:
		fill(p, a.Uint16Values(), func(v uint16) int32 { return int32(v) })
	case *array.Uint32:
		fill(p, a.Uint32Values(), func(v uint32) int64 { return int64(v) })
	case *array.Date64:
		fill(p, a.Date64Values(), func(v arrow.Date64) int32 { return int32(toMS(int64(v), msPerDay, 1)) })
	case *array.Time32:
		div, mul := unitMS(a.DataType().(*arrow.Time32Type).Unit)
		if div == mul {
			return false, nil
		}
		fill(p, a.Time32Values(), func(v arrow.Time32) int32 { return int32(toMS(int64(v), div, mul)) })
	case *array.Time64:
		div, mul := unitMS(a.DataType().(*arrow.Time64Type).Unit)
		fill(p, a.Time64Values(), func(v arrow.Time64) int32 { return int32(toMS(int64(v), div, mul)) })
	case *array.Timestamp:
		div, mul := unitMS(a.DataType().(*arrow.TimestampType).Unit)
		if div == mul {
			return false, nil
		}
		fill(p, a.TimestampValues(), func(v arrow.Timestamp) int64 { return toMS(int64(v), div, mul) })
	case *array.Duration:
		div, mul := unitMS(a.DataType().(*arrow.DurationType).Unit)
		if div == mul {
			return false, nil
		}
		fill(p, a.DurationValues(), func(v arrow.Duration) int64 { return toMS(int64(v), div, mul) })
	case *array.LargeString:
		fillBytes(p, a.Len(), func(i int) []byte { return []byte(a.Value(i)) })
	case *array.LargeBinary:
		fillBytes(p, a.Len(), a.Value)
	case *array.FixedSizeBinary:
		fillBytes(p, a.Len(), a.Value)
	case *array.Dictionary:
		return true, fillDict(p, a)
	default:
		return false, nil
	}
	return true, nil
}

// fill converts fixed-width values.
func fill[S any, T vec.Fixed](p *parts, src []S, fn func(S) T) {
	n := p.n
	p.Data = vec.Aligned(n * p.typ.Kind.Width())
	if n == 0 {
		return
	}
	dst := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(p.Data))), n)
	for i := range n {
		dst[i] = fn(src[i])
	}
}

// fillBytes copies STRING or BYTES values.
func fillBytes(p *parts, n int, value func(i int) []byte) {
	p.Offsets = append(make([]int32, 0, n+1), 0)
	for i := range n {
		if len(p.Valid) == 0 || p.Valid.Get(i) {
			p.Data = append(p.Data, value(i)...)
		}
		p.Offsets = append(p.Offsets, int32(len(p.Data)))
	}
}

// fillDict takes over a dictionary of strings. One that holds NULLs itself is decoded.
func fillDict(p *parts, a *array.Dictionary) error {
	values, ok := a.Dictionary().(*array.String)
	if !ok {
		return fmt.Errorf("Arrow dictionary of %s is not supported", a.Dictionary().DataType())
	}
	if values.NullN() > 0 {
		plain := vec.NewCol(p.typ)
		for i := range p.n {
			if a.IsNull(i) || values.IsNull(a.GetValueIndex(i)) {
				plain.AppendNull()
			} else {
				plain.AppendString(values.Value(a.GetValueIndex(i)))
			}
		}
		p.whole = plain
		return nil
	}
	dc, err := colFromArrow(values.Data(), vec.TypeString)
	if err != nil {
		return err
	}
	p.dict = &vec.Dict{ID: vec.NewDictID(), Offsets: dc.Buffers().Offsets, Data: dc.Buffers().Data}
	if codes, ok := a.Indices().(*array.Int32); ok {
		p.Data = bytesFromArrow(codes.Data().Buffers()[1], codes.Data().Offset(), p.n, 4)
		return checkCodes(p)
	}
	p.Data = vec.Aligned(p.n * 4)
	codes := codesOf(p)
	for i := range codes {
		if !p.isNull(i) {
			codes[i] = int32(a.GetValueIndex(i))
		}
	}
	return checkCodes(p)
}

// checkCodes refuses codes outside the dictionary: they come from outside, and everything after relies on them.
func checkCodes(p *parts) error {
	n := uint32(p.dict.Len())
	for i, code := range codesOf(p) {
		if uint32(code) >= n && !p.isNull(i) {
			return fmt.Errorf("row %d: dictionary index %d of %d values", i, code, n)
		}
	}
	return nil
}

func codesOf(p *parts) []int32 {
	if p.n == 0 {
		return nil
	}
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(p.Data))), p.n)
}
