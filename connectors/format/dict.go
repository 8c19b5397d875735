package format

import (
	"github.com/zeebo/xxh3"

	"github.com/bramble-stream/bramble/engine/vec"
)

// Bounds of a source's dictionary: sensors have few names. Past either bound the column is written plain, since then codes
// no longer pay: each value is new, and every task keeps what it cached by code.
const (
	maxDictValues = 16384
	maxDictBytes  = 1 << 20
	// maxDictValue keeps free text out: a long string is rarely a key.
	maxDictValue = 128
)

// dictBuilder gives strings codes in order of appearance. The zero value is ready.
type dictBuilder struct {
	id      uint64
	offsets []int32
	data    []byte
	// slots is an open-addressing table of code+1, 0 when free; its length is a power of two at least twice the values.
	slots  []int32
	hashes []uint64
	off    bool
	// shared is the last state handed out; it is replaced when there are more values.
	shared *vec.Dict
}

func (d *dictBuilder) len() int { return len(d.hashes) }

// code returns the code of s, adding it if new; ok is false when the dictionary is full: the column must be plain from now on.
func (d *dictBuilder) code(s []byte) (code int32, ok bool) {
	if d.off {
		return 0, false
	}
	if d.slots == nil {
		d.id = vec.NewDictID()
		d.slots = make([]int32, 256)
		d.offsets = append(d.offsets, 0)
	}
	h := xxh3.Hash(s)
	mask := uint64(len(d.slots) - 1)
	at := h & mask
	for ; d.slots[at] != 0; at = (at + 1) & mask {
		c := d.slots[at] - 1
		if d.hashes[c] == h && string(d.data[d.offsets[c]:d.offsets[c+1]]) == string(s) {
			return c, true
		}
	}
	if d.len() == maxDictValues || len(d.data)+len(s) > maxDictBytes || len(s) > maxDictValue {
		d.off = true
		return 0, false
	}
	c := int32(d.len())
	d.data = append(d.data, s...)
	d.offsets = append(d.offsets, int32(len(d.data)))
	d.hashes = append(d.hashes, h)
	d.slots[at] = c + 1
	if 2*d.len() > len(d.slots) {
		d.grow()
	}
	return c, true
}

func (d *dictBuilder) grow() {
	d.slots = make([]int32, 2*len(d.slots))
	mask := uint64(len(d.slots) - 1)
	for c, h := range d.hashes {
		at := h & mask
		for d.slots[at] != 0 {
			at = (at + 1) & mask
		}
		d.slots[at] = int32(c) + 1
	}
}

// dict returns the present state: immutable for readers, since later values are only ever added behind it.
func (d *dictBuilder) dict() *vec.Dict {
	if d.shared == nil || d.shared.Len() != d.len() {
		d.shared = &vec.Dict{ID: d.id, Offsets: d.offsets[:len(d.offsets):len(d.offsets)], Data: d.data[:len(d.data):len(d.data)]}
	}
	return d.shared
}

// StringColumn appends strings to a STRING column, dictionary-encoded as long as that pays. It is used between
// Begin and Finish of one batch at a time.
type StringColumn struct {
	dict dictBuilder
	col  *vec.Col
}

// Begin takes the column of the next batch.
func (s *StringColumn) Begin(c *vec.Col) {
	s.col = c
	if c.Len() == 0 && !s.dict.off {
		c.SetDict(s.dict.dict())
	}
}

// Append appends a copy of v, which must be valid UTF-8.
func (s *StringColumn) Append(v []byte) {
	c := s.col
	if c.Dict() == nil {
		c.AppendBytes(v)
		return
	}
	code, ok := s.dict.code(v)
	if !ok {
		c.ExtendDict(s.dict.dict())
		c.Plain()
		c.AppendBytes(v)
		return
	}
	c.AppendCode(code)
}

// Finish makes the column consistent with the dictionary.
func (s *StringColumn) Finish() {
	if s.col != nil && s.col.Dict() != nil {
		s.col.ExtendDict(s.dict.dict())
	}
	s.col = nil
}
