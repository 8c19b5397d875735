package vec

import (
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// Num is an unscaled DECIMAL value, 128 bits, as Arrow stores it.
type Num = decimal128.Num

// Fixed is a value type of fixed width that a column can hold.
type Fixed interface {
	int8 | int16 | int32 | int64 | float32 | float64 | Num
}

// Col is one column: typed values in Arrow's layout. It is mutable and reused: Reset keeps its memory.
//
// A column is written either by appending (Append…, the only way for variable-length kinds), or by
// Resize followed by writes into the slices that Values, Bools or Valid return.
// A column is not safe for concurrent use.
type Col struct {
	typ Type
	n   int
	// words backs data so that it is aligned for 8-byte values on every architecture.
	words []uint64
	// data holds fixed-width values (n * width bytes), the bits of Bool, dictionary codes (n * 4 bytes),
	// or the bytes that offsets point into.
	data []byte
	// offsets has n+1 entries for String, Bytes, Array and Map; offsets[0] may be above 0 in a borrowed column.
	offsets []int32
	// valid has a bit a row, set where the value is not NULL. Invariant: len(valid) == 0 means no row is NULL.
	valid Bitmap
	// dict, when set on a String column, makes data a sequence of int32 codes into it.
	dict *Dict
	kids []*Col
	// borrowed: the buffers and children belong to another column or to Arrow; Reset drops them instead of reusing them.
	borrowed bool
}

// Dict is the values of a dictionary-encoded string column. It is immutable from the reader's side: a
// source may extend the backing arrays beyond the lengths seen here, never change what is seen.
type Dict struct {
	// ID identifies the dictionary across batches of one source: the same ID and a code below
	// Len always mean the same string, so that a consumer can cache by code.
	ID      uint64
	Offsets []int32
	Data    []byte
}

// Len is the number of distinct values.
func (d *Dict) Len() int { return max(len(d.Offsets)-1, 0) }

// Value returns the bytes of a code; do not modify them.
func (d *Dict) Value(code int32) []byte { return d.Data[d.Offsets[code]:d.Offsets[code+1]] }

// NewCol returns an empty column of the type.
func NewCol(t Type) *Col {
	c := &Col{}
	c.Init(t)
	return c
}

// Init makes c an empty column of the type, reusing memory where the kind allows.
func (c *Col) Init(t Type) {
	c.release()
	c.typ = t
	if len(c.kids) != len(t.Fields) {
		c.kids = make([]*Col, len(t.Fields))
	}
	for i := range c.kids {
		if c.kids[i] == nil {
			c.kids[i] = &Col{}
		}
		c.kids[i].Init(t.Fields[i].Type)
	}
	c.Reset()
}

// release lets go of borrowed memory.
func (c *Col) release() {
	if !c.borrowed {
		return
	}
	*c = Col{typ: c.typ}
	if len(c.typ.Fields) > 0 {
		c.kids = make([]*Col, len(c.typ.Fields))
		for i, f := range c.typ.Fields {
			c.kids[i] = NewCol(f.Type)
		}
	}
}

// Reset empties the column and keeps its memory and type; memory that it shares through Alias or Arrow is let go instead.
func (c *Col) Reset() {
	c.release()
	c.n = 0
	c.data = c.data[:0]
	c.valid = c.valid[:0]
	c.dict = nil
	c.offsets = c.offsets[:0]
	if c.hasOffsets() {
		c.offsets = append(c.offsets, 0)
	}
	for _, k := range c.kids {
		k.Reset()
	}
}

func (c *Col) hasOffsets() bool {
	return c.typ.Kind.IsBinaryLike() || c.typ.Kind == Array || c.typ.Kind == Map
}

// Type, Kind and Len describe the column; Len is in rows.
func (c *Col) Type() Type { return c.typ }

// Kind is the kind of the column's type.
func (c *Col) Kind() Kind { return c.typ.Kind }

// Len is the number of rows.
func (c *Col) Len() int { return c.n }

// width is the bytes of a row in data: dictionary codes count as fixed-width.
func (c *Col) width() int {
	if c.dict != nil {
		return 4
	}
	return c.typ.Kind.Width()
}

// growData makes data n bytes long, 8-byte aligned, keeping its content.
func (c *Col) growData(n int) {
	if n <= cap(c.data) {
		c.data = c.data[:n]
		return
	}
	words := make([]uint64, (max(n, 2*cap(c.data))+7)/8)
	nd := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(words)*8)
	copy(nd, c.data)
	c.words, c.data = words, nd[:n]
}

// Resize sets the number of rows of a fixed-width, Bool or Null column. New rows hold arbitrary values and are
// valid (all rows, if no row was NULL before). Variable-length and nested columns grow by appending only.
func (c *Col) Resize(n int) {
	switch w := c.width(); {
	case w > 0:
		c.growData(n * w)
	case c.typ.Kind == Bool:
		c.growData(bitmapWords(n) * 8)
	}
	if len(c.valid) > 0 {
		old := c.n
		c.valid = c.valid.grow(n)
		for i := old; i < n; i++ {
			c.valid.Set(i)
		}
	}
	c.n = n
}

// Values returns the values of a fixed-width column as a slice over its memory, len = rows. T must be the Go type
// of the column's layout (see Kind); values at NULL rows are arbitrary.
func Values[T Fixed](c *Col) []T {
	if c.n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(c.data))), c.n)
}

// Bools returns the bits of a Bool column; bits at NULL rows and past Len are arbitrary.
func (c *Col) Bools() Bitmap {
	if c.n == 0 {
		return nil
	}
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(c.data))), bitmapWords(c.n))
}

// Codes returns the dictionary codes of a dictionary-encoded column (Dict() != nil).
func (c *Col) Codes() []int32 {
	if c.n == 0 {
		return nil
	}
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(c.data))), c.n)
}

// Dict returns the dictionary of a dictionary-encoded String column, or nil.
func (c *Col) Dict() *Dict { return c.dict }

// SetDict makes an empty String column dictionary-encoded; write with AppendCode, or Resize and Codes.
func (c *Col) SetDict(d *Dict) {
	c.dict = d
	c.data = c.data[:0]
	c.n = 0
}

// AppendCode appends a row of a dictionary-encoded column.
func (c *Col) AppendCode(code int32) {
	c.Resize(c.n + 1)
	c.Codes()[c.n-1] = code
}

// Offsets returns the n+1 offsets of a plain String, Bytes, Array or Map column.
func (c *Col) Offsets() []int32 { return c.offsets }

// Data returns the bytes that a plain String or Bytes column's offsets point into.
func (c *Col) Data() []byte { return c.data }

// Bytes returns row i of a String or Bytes column, decoded if dictionary-encoded. It aliases the
// column's memory: do not modify or keep it.
func (c *Col) Bytes(i int) []byte {
	if c.dict != nil {
		return c.dict.Value(c.Codes()[i])
	}
	return c.data[c.offsets[i]:c.offsets[i+1]]
}

// Str is Bytes as a string over the same memory: valid as long as the column is unchanged.
func (c *Col) Str(i int) string {
	b := c.Bytes(i)
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// Kid returns child i: a ROW's field, an ARRAY's elements (0), a MAP's keys (0) and values (1).
func (c *Col) Kid(i int) *Col { return c.kids[i] }

// Range returns the half-open range of row i's elements in the children of an ARRAY or MAP.
func (c *Col) Range(i int) (lo, hi int) { return int(c.offsets[i]), int(c.offsets[i+1]) }

// Valid returns the validity bitmap, or nil when no row is NULL.
func (c *Col) Valid() Bitmap {
	if len(c.valid) == 0 {
		return nil
	}
	return c.valid
}

// HasNulls reports whether a validity bitmap is present; every bit of it may still be set.
func (c *Col) HasNulls() bool { return len(c.valid) > 0 || c.typ.Kind == Null }

// IsNull reports whether row i is NULL.
func (c *Col) IsNull(i int) bool {
	return c.typ.Kind == Null || len(c.valid) > 0 && !c.valid.Get(i)
}

// EnsureValid materialises the validity bitmap (all rows valid if there was none) and returns it for writing.
func (c *Col) EnsureValid() Bitmap {
	if len(c.valid) == 0 && c.n > 0 {
		c.valid = c.valid.grow(c.n)
		c.valid.Fill(c.n, true)
	}
	return c.valid
}

// ClearValid drops the bitmap: no row is NULL.
func (c *Col) ClearValid() { c.valid = c.valid[:0] }

// SetNull makes row i NULL.
func (c *Col) SetNull(i int) { c.EnsureValid().Clear(i) }

// CopyValidFrom gives c the same NULLs as src, which must have the same number of rows.
func (c *Col) CopyValidFrom(src *Col) {
	if len(src.valid) == 0 {
		c.ClearValid()
		return
	}
	c.valid = append(c.valid[:0], src.valid[:bitmapWords(c.n)]...)
}

// MemSize is the bytes of memory that the column's buffers hold, by capacity; a Dict is not counted.
func (c *Col) MemSize() int64 {
	s := int64(cap(c.data)) + 4*int64(cap(c.offsets)) + 8*int64(cap(c.valid))
	for _, k := range c.kids {
		s += k.MemSize()
	}
	return s
}
