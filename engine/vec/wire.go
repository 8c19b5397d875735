package vec

import (
	"sync/atomic"
	"unsafe"
)

// Buffers are the parts of a column's memory, for codecs; they alias the column.
type Buffers struct {
	// Data holds Len values (dictionary codes count as 4-byte values), the words of Bool, or what Offsets point into.
	Data []byte
	// Offsets has Len+1 entries for plain String, Bytes, Array and Map; the first may be above 0. Else nil.
	Offsets []int32
	// Valid is nil when no row is NULL.
	Valid Bitmap
}

// Buffers returns the column's memory for reading.
func (c *Col) Buffers() Buffers {
	b := Buffers{Data: c.data, Valid: c.Valid()}
	if c.dict == nil && c.hasOffsets() {
		b.Offsets = c.offsets
	}
	return b
}

// Load makes c a column of n rows whose buffers the caller fills before anybody reads it: dictionary-encoded when d is set,
// with dataBytes bytes of data when it is a plain String or Bytes column, with a validity bitmap when nullable. Memory is
// reused and holds arbitrary bytes. The children of a nested column are loaded by themselves.
func (c *Col) Load(n, dataBytes int, nullable bool, d *Dict) Buffers {
	c.Reset()
	c.dict = d
	switch w := c.width(); {
	case w > 0:
		c.growData(n * w)
	case c.typ.Kind == Bool:
		c.growData(bitmapWords(n) * 8)
	case c.typ.Kind.IsBinaryLike():
		c.growData(dataBytes)
	}
	if d == nil && c.hasOffsets() {
		if cap(c.offsets) < n+1 {
			c.offsets = make([]int32, n+1, max(n+1, 2*cap(c.offsets)))
		}
		c.offsets = c.offsets[:n+1]
		c.offsets[0] = 0
	}
	if nullable {
		c.valid = c.valid.grow(n)
	}
	c.n = n
	return c.Buffers()
}

// BytesOf returns the memory of a slice of fixed-size values as bytes, little-endian on every machine Bramble runs on.
func BytesOf[T int32 | uint32 | int64 | uint64 | RowKind](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(s[0])))
}

var lastDictID atomic.Uint64

// NewDictID returns an ID that no other dictionary of this process has.
func NewDictID() uint64 { return 1<<63 | lastDictID.Add(1) }

// Borrow returns a column over memory that belongs to someone else, such as an Arrow record: it is read as any other, Reset lets go of the memory, and
// before that nothing may be appended to it or written. Data must be aligned for its values; kids are the children of a nested type.
func Borrow(t Type, n int, b Buffers, d *Dict, kids []*Col) *Col {
	return &Col{typ: t, n: n, data: b.Data, offsets: b.Offsets, valid: b.Valid, dict: d, kids: kids, borrowed: true}
}

// Aligned returns n bytes that are aligned for values of 8 bytes on every architecture.
func Aligned(n int) []byte {
	c := &Col{}
	c.growData(n)
	return c.data
}

// BitmapWords is how many words hold n bits.
func BitmapWords(n int) int { return bitmapWords(n) }
