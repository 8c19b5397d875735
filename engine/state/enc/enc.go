// Package enc encodes column values as bytes for state: keys, accumulators, distinct sets. The encoding is the same on every
// architecture and self-delimiting; it does not keep order. It knows no stores.
package enc

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/bramble-stream/bramble/engine/vec"
)

// ErrCorrupt says that bytes are not what this package writes for the type.
var ErrCorrupt = errors.New("state: corrupt encoded value")

// Append appends row i of c: a presence byte, 0 for NULL, else 1 and the value.
func Append(dst []byte, c *vec.Col, i int) []byte {
	if c.IsNull(i) {
		return append(dst, 0)
	}
	return AppendValue(append(dst, 1), c, i)
}

// AppendValue appends row i of c, which is not NULL, without a presence byte. The two zeros of floats, and all NaNs, are
// encoded alike, so that equal keys have equal bytes.
func AppendValue(dst []byte, c *vec.Col, i int) []byte {
	switch k := c.Kind(); k {
	case vec.Bool:
		if c.Bools().Get(i) {
			return append(dst, 1)
		}
		return append(dst, 0)
	case vec.String, vec.Bytes:
		return AppendBytes(dst, c.Bytes(i))
	case vec.Decimal:
		d := vec.Values[vec.Num](c)[i]
		dst = binary.LittleEndian.AppendUint64(dst, d.LowBits())
		return binary.LittleEndian.AppendUint64(dst, uint64(d.HighBits()))
	case vec.Row:
		for f := range c.Type().Fields {
			dst = Append(dst, c.Kid(f), i)
		}
		return dst
	case vec.Array, vec.Map:
		lo, hi := c.Range(i)
		dst = binary.AppendUvarint(dst, uint64(hi-lo))
		for e := lo; e < hi; e++ {
			for f := range c.Type().Fields {
				dst = Append(dst, c.Kid(f), e)
			}
		}
		return dst
	default:
		w := Word(c, i)
		switch k.Width() {
		case 1:
			return append(dst, byte(w))
		case 2:
			return binary.LittleEndian.AppendUint16(dst, uint16(w))
		case 4:
			return binary.LittleEndian.AppendUint32(dst, uint32(w))
		case 8:
			return binary.LittleEndian.AppendUint64(dst, w)
		}
		return dst // Null
	}
}

// IsWord reports whether Word holds all of a value of the kind.
func IsWord(k vec.Kind) bool { return k == vec.Bool || k.Width() > 0 && k.Width() <= 8 }

// Word returns row i, not NULL, of a column for which IsWord holds, as bits: integers sign-extended, floats by their own
// width with one zero and one NaN.
func Word(c *vec.Col, i int) uint64 {
	switch c.Kind() {
	case vec.Bool:
		if c.Bools().Get(i) {
			return 1
		}
		return 0
	case vec.Int8:
		return uint64(int64(vec.Values[int8](c)[i]))
	case vec.Int16:
		return uint64(int64(vec.Values[int16](c)[i]))
	case vec.Int32, vec.Date, vec.Time, vec.IntervalYM:
		return uint64(int64(vec.Values[int32](c)[i]))
	case vec.Int64, vec.Timestamp, vec.TimestampLTZ, vec.IntervalDT:
		return uint64(vec.Values[int64](c)[i])
	case vec.Float32:
		f := vec.Values[float32](c)[i]
		switch {
		case f == 0:
			return 0
		case f != f:
			return 0x7fc00000
		}
		return uint64(math.Float32bits(f))
	case vec.Float64:
		return FloatBits(vec.Values[float64](c)[i])
	}
	return 0
}

// FloatBits returns f's bits, with one zero and one NaN.
func FloatBits(f float64) uint64 {
	switch {
	case f == 0:
		return 0
	case f != f:
		return 0x7ff8000000000001
	}
	return math.Float64bits(f)
}

// AppendWord appends to c the value that Word returned as w.
func AppendWord(c *vec.Col, w uint64) {
	switch c.Kind() {
	case vec.Bool:
		c.AppendBool(w != 0)
	case vec.Int8:
		vec.AppendValue(c, int8(w))
	case vec.Int16:
		vec.AppendValue(c, int16(w))
	case vec.Int32, vec.Date, vec.Time, vec.IntervalYM:
		vec.AppendValue(c, int32(w))
	case vec.Int64, vec.Timestamp, vec.TimestampLTZ, vec.IntervalDT:
		vec.AppendValue(c, int64(w))
	case vec.Float32:
		vec.AppendValue(c, math.Float32frombits(uint32(w)))
	case vec.Float64:
		vec.AppendValue(c, math.Float64frombits(w))
	}
}

// AppendBytes appends b with its length before it.
func AppendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// Bytes reads what AppendBytes wrote; b aliases src.
func Bytes(src []byte) (b, rest []byte, err error) {
	n, k := binary.Uvarint(src)
	if k <= 0 || n > uint64(len(src)-k) {
		return nil, nil, ErrCorrupt
	}
	end := k + int(n)
	return src[k:end:end], src[end:], nil
}

// Decode appends to c the value that Append wrote, and returns what follows it in src.
func Decode(src []byte, c *vec.Col) ([]byte, error) {
	if len(src) == 0 || src[0] > 1 {
		return nil, ErrCorrupt
	}
	if src[0] == 0 {
		c.AppendNull()
		return src[1:], nil
	}
	return DecodeValue(src[1:], c)
}

// DecodeValue appends to c the value that AppendValue wrote, and returns what follows it in src. After an error in a nested
// column c is unusable until its Reset.
func DecodeValue(src []byte, c *vec.Col) ([]byte, error) {
	switch k := c.Kind(); k {
	case vec.Bool:
		if len(src) < 1 || src[0] > 1 {
			return nil, ErrCorrupt
		}
		c.AppendBool(src[0] == 1)
		return src[1:], nil
	case vec.String, vec.Bytes:
		b, rest, err := Bytes(src)
		if err != nil {
			return nil, err
		}
		c.AppendBytes(b)
		return rest, nil
	case vec.Decimal:
		if len(src) < 16 {
			return nil, ErrCorrupt
		}
		lo, hi := binary.LittleEndian.Uint64(src), binary.LittleEndian.Uint64(src[8:])
		vec.AppendValue(c, decimal128.New(int64(hi), lo))
		return src[16:], nil
	case vec.Row:
		var err error
		for f := range c.Type().Fields {
			if src, err = Decode(src, c.Kid(f)); err != nil {
				return nil, err
			}
		}
		c.EndRow()
		return src, nil
	case vec.Array, vec.Map:
		return decodeList(src, c)
	default:
		w := k.Width()
		if len(src) < w {
			return nil, ErrCorrupt
		}
		AppendWord(c, loadWord(src, c.Kind()))
		if k == vec.Null {
			c.AppendNull()
		}
		return src[w:], nil
	}
}

// loadWord reads a fixed-width value; integers come sign-extended from AppendWord's truncation, so no extension is needed here.
func loadWord(src []byte, k vec.Kind) uint64 {
	switch k.Width() {
	case 1:
		return uint64(src[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(src))
	case 4:
		return uint64(binary.LittleEndian.Uint32(src))
	case 8:
		return binary.LittleEndian.Uint64(src)
	}
	return 0
}

func decodeList(src []byte, c *vec.Col) ([]byte, error) {
	n, k := binary.Uvarint(src)
	// Every element has at least its presence byte, so a longer list than that cannot be real.
	if k <= 0 || n > uint64(len(src)-k) {
		return nil, ErrCorrupt
	}
	src = src[k:]
	var err error
	for range n {
		for f := range c.Type().Fields {
			if src, err = Decode(src, c.Kid(f)); err != nil {
				return nil, err
			}
		}
	}
	c.EndList()
	return src, nil
}
