package vec

import (
	"slices"
	"unsafe"
)

// AppendNull appends a NULL row.
func (c *Col) AppendNull() {
	if c.n == 0 {
		c.valid = c.valid[:0]
	}
	c.appendZero()
	if c.typ.Kind != Null {
		c.SetNull(c.n - 1)
	}
}

// appendZero appends a valid row with the zero value (empty string, empty array, a ROW of NULLs).
func (c *Col) appendZero() {
	switch {
	case c.dict != nil, c.typ.Kind.Width() > 0:
		w := c.width()
		c.Resize(c.n + 1)
		clear(c.data[len(c.data)-w:])
	case c.typ.Kind == Bool:
		c.Resize(c.n + 1)
		c.Bools().Clear(c.n - 1)
	case c.typ.Kind == Null:
		c.n++
	case c.typ.Kind == Row:
		for _, k := range c.kids {
			k.AppendNull()
		}
		c.endRow()
	default:
		c.offsets = append(c.offsets, c.offsets[c.n])
		c.endRow()
	}
}

// endRow counts one more valid row.
func (c *Col) endRow() {
	c.n++
	if len(c.valid) > 0 {
		c.valid = c.valid.grow(c.n)
		c.valid.Set(c.n - 1)
	}
}

// AppendValue appends a fixed-width value.
func AppendValue[T Fixed](c *Col, v T) {
	w := int(unsafe.Sizeof(v))
	at := len(c.data)
	c.growData(at + w)
	*(*T)(unsafe.Pointer(&c.data[at])) = v
	c.endRow()
}

// AppendBool appends to a Bool column.
func (c *Col) AppendBool(v bool) {
	c.Resize(c.n + 1)
	c.Bools().Put(c.n-1, v)
}

// AppendBytes appends a copy of b to a plain String or Bytes column.
func (c *Col) AppendBytes(b []byte) {
	at := len(c.data)
	c.growData(at + len(b))
	copy(c.data[at:], b)
	c.offsets = append(c.offsets, int32(len(c.data)))
	c.endRow()
}

// AppendString appends a copy of s to a plain String or Bytes column.
func (c *Col) AppendString(s string) {
	at := len(c.data)
	c.growData(at + len(s))
	copy(c.data[at:], s)
	c.offsets = append(c.offsets, int32(len(c.data)))
	c.endRow()
}

// EndList ends row Len() of an ARRAY or MAP: its elements are what was appended to the children since the last row.
func (c *Col) EndList() {
	c.offsets = append(c.offsets, int32(c.kids[0].n))
	c.endRow()
}

// EndRow ends a row of a ROW column: each child has got exactly one more row.
func (c *Col) EndRow() { c.endRow() }

// AppendFrom appends row i of src, which has the same type. A dictionary-encoded row is appended as a plain string,
// unless c is encoded with the same dictionary.
func (c *Col) AppendFrom(src *Col, i int) {
	if src.IsNull(i) {
		c.AppendNull()
		return
	}
	switch k := c.typ.Kind; {
	case k.IsBinaryLike():
		if c.dict != nil && src.dict != nil && c.dict.ID == src.dict.ID {
			if src.dict.Len() > c.dict.Len() {
				c.dict = src.dict
			}
			c.AppendCode(src.Codes()[i])
			return
		}
		c.Plain()
		c.AppendBytes(src.Bytes(i))
	case k.Width() > 0:
		w := k.Width()
		at := len(c.data)
		c.growData(at + w)
		copy(c.data[at:], src.data[i*w:i*w+w])
		c.endRow()
	case k == Bool:
		c.AppendBool(src.Bools().Get(i))
	case k == Row:
		for f, kid := range c.kids {
			kid.AppendFrom(src.kids[f], i)
		}
		c.endRow()
	case k == Array || k == Map:
		lo, hi := src.Range(i)
		for f, kid := range c.kids {
			for e := lo; e < hi; e++ {
				kid.AppendFrom(src.kids[f], e)
			}
		}
		c.EndList()
	default: // Null
		c.n++
	}
}

// AppendSel appends the rows of src that sel lists (nil: all). When c is empty and src is dictionary-encoded, c becomes so too.
func (c *Col) AppendSel(src *Col, sel []int) {
	if c.n == 0 && src.dict != nil {
		c.SetDict(src.dict)
	}
	n := len(sel)
	if sel == nil {
		n = src.n
	}
	if c.dict == nil && src.dict == nil && c.typ.Kind.IsBinaryLike() {
		c.appendStrings(src, sel, n)
		return
	}
	w := c.width()
	sameLayout := (c.dict == nil) == (src.dict == nil) && (c.dict == nil || c.dict.ID == src.dict.ID)
	if w == 0 || !sameLayout {
		for j := range n {
			i := j
			if sel != nil {
				i = sel[j]
			}
			c.AppendFrom(src, i)
		}
		return
	}
	if c.dict != nil && src.dict.Len() > c.dict.Len() {
		c.dict = src.dict
	}
	at := c.n
	c.Resize(at + n)
	if len(src.valid) > 0 {
		c.appendValid(src.valid, sel, at)
	}
	if sel == nil {
		copy(c.data[at*w:], src.data[:n*w])
		return
	}
	switch w {
	case 4:
		gather[int32](c, src, at, sel)
	case 8:
		gather[int64](c, src, at, sel)
	default:
		for j, i := range sel {
			copy(c.data[(at+j)*w:(at+j+1)*w], src.data[i*w:(i+1)*w])
		}
	}
}

// appendStrings appends n rows of a plain String or Bytes column to another one: those that sel lists, or the first.
func (c *Col) appendStrings(src *Col, sel []int, n int) {
	if n == 0 {
		return
	}
	at, end := c.n, len(c.data)
	c.offsets = slices.Grow(c.offsets, n)[:at+n+1]
	off := c.offsets[at+1:]
	if sel == nil {
		lo, hi := src.offsets[0], src.offsets[n]
		c.growData(end + int(hi-lo))
		copy(c.data[end:], src.data[lo:hi])
		for j := range off {
			off[j] = int32(end) + src.offsets[j+1] - lo
		}
	} else {
		size := end
		for j, i := range sel {
			size += int(src.offsets[i+1] - src.offsets[i])
			off[j] = int32(size)
		}
		c.growData(size)
		for _, i := range sel {
			end += copy(c.data[end:], src.data[src.offsets[i]:src.offsets[i+1]])
		}
	}
	c.n = at + n
	if len(c.valid) > 0 {
		c.valid = c.valid.grow(c.n)
		for r := at; r < c.n; r++ {
			c.valid.Set(r)
		}
	}
	if len(src.valid) > 0 {
		c.appendValid(src.valid, sel, at)
	}
}

// appendValid clears the bits of rows from at on where the rows of src that they came from are NULL.
func (c *Col) appendValid(src Bitmap, sel []int, at int) {
	valid := c.EnsureValid()
	for r := at; r < c.n; r++ {
		i := r - at
		if sel != nil {
			i = sel[i]
		}
		if !src.Get(i) {
			valid.Clear(r)
		}
	}
}

func gather[T int32 | int64](dst, src *Col, at int, sel []int) {
	d := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(dst.data))), dst.n)[at:]
	s := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(src.data))), src.n)
	for j, i := range sel {
		d[j] = s[i]
	}
}

// Plain turns a dictionary-encoded column into a plain one with the same rows.
func (c *Col) Plain() {
	if c.dict == nil {
		return
	}
	d, n, codes := c.dict, c.n, append([]int32(nil), c.Codes()...)
	valid := append(Bitmap(nil), c.valid...)
	c.Reset()
	for i := range n {
		if len(valid) > 0 && !valid.Get(i) {
			c.AppendNull()
		} else {
			c.AppendBytes(d.Value(codes[i]))
		}
	}
}

// Alias makes c share src's memory: same type and rows, until either is changed. A lent batch's columns are projected this way
// without a copy. Reset of c lets go of the shared memory and leaves src as it is.
func (c *Col) Alias(src *Col) {
	*c = *src
	c.borrowed = true
}

// CopyFrom makes c a deep copy of src, reusing c's memory; a Dict is shared.
func (c *Col) CopyFrom(src *Col) {
	if c.borrowed || !c.typ.Equal(src.typ) || len(c.kids) != len(src.kids) {
		c.Init(src.typ)
	}
	c.typ, c.n, c.dict = src.typ, src.n, src.dict
	c.growData(len(src.data))
	copy(c.data, src.data)
	c.offsets = append(c.offsets[:0], src.offsets...)
	c.valid = append(c.valid[:0], src.valid...)
	for i, k := range src.kids {
		c.kids[i].CopyFrom(k)
	}
}

// Truncate cuts the column to its first n rows, and a nested one's children to what those rows hold, even when n is Len: what a
// decoder does to the fields of a record that turns out bad.
func (c *Col) Truncate(n int) {
	if n > c.n {
		return
	}
	switch w := c.width(); {
	case w > 0:
		c.data = c.data[:n*w]
	case c.typ.Kind == Bool:
		c.data = c.data[:bitmapWords(n)*8]
	case c.typ.Kind.IsBinaryLike():
		c.offsets = c.offsets[:n+1]
		c.data = c.data[:c.offsets[n]]
	case c.typ.Kind == Row:
		for _, k := range c.kids {
			k.Truncate(min(n, k.n))
		}
	case c.hasOffsets():
		c.offsets = c.offsets[:n+1]
		for _, k := range c.kids {
			k.Truncate(min(int(c.offsets[n]), k.n))
		}
	}
	if len(c.valid) > 0 {
		c.valid = c.valid[:bitmapWords(n)]
	}
	c.n = n
}

// ExtendDict replaces the dictionary of a dictionary-encoded column by a longer state of the same one.
func (c *Col) ExtendDict(d *Dict) { c.dict = d }

// AliasValid is Alias with NULLs of its own: c shares src's values and has the bitmap valid, which is lent likewise.
func (c *Col) AliasValid(src *Col, valid Bitmap) {
	c.Alias(src)
	c.valid = valid
}
