// Package table holds hot keyed state: a hash table from key columns to dense group numbers, and tables of aggregates that
// write to a state store what does not fit their memory. It knows no operators and no windows' arithmetic.
package table

import (
	"bytes"
	"math"

	"github.com/bramble-stream/bramble/engine/state/enc"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Table maps keys of one or more columns to group numbers 0, 1, 2, … in order of first appearance. NULL is a key value of its own;
// the two zeros of a float are one key, and so are all NaNs. It is used by one goroutine, and has no pointer per key.
type Table struct {
	types []vec.Type
	// keys has a row for each group; strings are plain.
	keys []*vec.Col
	// hashes are vec.Hash of each group's key.
	hashes []uint64
	// slots is open addressing with linear probing: the hash's upper half, then group + 1; 0 is free. Length a power of two.
	slots []uint64
	mode  mode
	// nullGroup is the group + 1 of the NULL key in the single-column modes.
	nullGroup int32
	// caches hold group + 1 by code for the dictionaries seen last.
	caches  [4]codeCache
	caching int

	// Scratch of one call.
	hbuf []uint64
	cand []uint64
	miss []int
}

type codeCache struct {
	id     uint64
	groups []int32
}

// mode is how keys are compared.
type mode uint8

const (
	generic mode = iota
	oneWord      // a single int64-like column
	oneText      // a single STRING or BYTES column
)

// minSlots: a table of a few keys fits a kilobyte, as there may be one for every open window.
const minSlots = 64

// New returns an empty table for keys of the types.
func New(types []vec.Type) *Table {
	t := &Table{types: types, keys: make([]*vec.Col, len(types))}
	for i, kt := range types {
		t.keys[i] = vec.NewCol(kt)
	}
	if len(types) == 1 {
		switch k := types[0].Kind; {
		case k.IsBinaryLike():
			t.mode = oneText
		case k == vec.Int64, k.IsTimestamp(), k == vec.IntervalDT:
			t.mode = oneWord
		}
	}
	return t
}

// Len is the number of groups.
func (t *Table) Len() int { return len(t.hashes) }

// Types are the types of the key columns.
func (t *Table) Types() []vec.Type { return t.types }

// Groups finds the group of the key of each listed row, making new ones (numbered from Len on) for keys that are not there: out[k] is for row
// sel[k] of the key columns (sel nil: row k). hashes[k], when hashes is not nil, is vec.Hash of the row; without it the
// table hashes what it must. len(out) rows are done.
func (t *Table) Groups(keys []*vec.Col, sel []int, hashes []uint64, out []int32) {
	n := len(out)
	if n == 0 {
		return
	}
	if len(t.keys) == 0 {
		t.groupsOfNothing(out)
		return
	}
	mode := t.mode
	if d := keys[0].Dict(); d != nil && mode == oneText {
		if d.ID != 0 { // codes of dictionary 0 mean nothing in the next batch
			t.groupsByCode(keys, sel, hashes, out)
			return
		}
		mode = generic
	}
	if hashes == nil {
		hashes = t.hash(keys, sel, n)
	}
	t.candidates(hashes[:n])
	switch mode {
	case oneWord:
		t.groupsOfWords(keys, sel, hashes, out)
	case oneText:
		t.groupsOfTexts(keys, sel, hashes, out)
	case generic:
		t.groupsOfMany(keys, sel, hashes, out)
	}
}

// Find is Groups that makes no groups: out[k] is -1 for a key that is not there.
func (t *Table) Find(keys []*vec.Col, sel []int, hashes []uint64, out []int32) {
	if len(t.hashes) == 0 {
		for k := range out {
			out[k] = -1
		}
		return
	}
	if len(t.keys) == 0 {
		clear(out)
		return
	}
	if hashes == nil {
		hashes = t.hash(keys, sel, len(out))
	}
	mask := uint64(len(t.slots) - 1)
	for k := range out {
		i, h := k, hashes[k]
		if sel != nil {
			i = sel[k]
		}
		out[k] = -1
		if t.mode != generic && keys[0].IsNull(i) {
			out[k] = t.nullGroup - 1
			continue
		}
		for at := h & mask; len(t.slots) > 0 && t.slots[at] != 0; at = (at + 1) & mask {
			if s := t.slots[at]; s>>32 == h>>32 {
				if g := int32(uint32(s)) - 1; t.equal(int(g), keys, i) {
					out[k] = g
					break
				}
			}
		}
	}
}

// groupsOfNothing is for aggregation without keys: there is one group.
func (t *Table) groupsOfNothing(out []int32) {
	if len(t.hashes) == 0 {
		t.hashes = append(t.hashes, hashOfNothing())
	}
	clear(out)
}

func hashOfNothing() uint64 {
	var h [1]uint64
	vec.Hash(nil, nil, h[:])
	return h[0]
}

func (t *Table) hash(keys []*vec.Col, sel []int, n int) []uint64 {
	if cap(t.hbuf) < n {
		t.hbuf = make([]uint64, n)
	}
	h := t.hbuf[:n]
	vec.Hash(keys, sel, h)
	return h
}

// candidates loads the first slot of each hash: a loop without branches, so that the processor overlaps the cache misses.
func (t *Table) candidates(hashes []uint64) {
	if len(t.slots) == 0 {
		t.slots = make([]uint64, minSlots)
	}
	if cap(t.cand) < len(hashes) {
		t.cand = make([]uint64, len(hashes))
	}
	t.cand = t.cand[:len(hashes)]
	slots := t.slots
	mask := uint64(len(slots) - 1)
	for k, h := range hashes {
		t.cand[k] = slots[h&mask]
	}
}

func (t *Table) groupsOfWords(keys []*vec.Col, sel []int, hashes []uint64, out []int32) {
	v, nulls := vec.Values[int64](keys[0]), keys[0].HasNulls()
	have := vec.Values[int64](t.keys[0])
	for k := range out {
		i := k
		if sel != nil {
			i = sel[k]
		}
		h, s := hashes[k], t.cand[k]
		if s != 0 && s>>32 == h>>32 && !nulls {
			if g := int32(uint32(s)) - 1; g != t.nullGroup-1 && have[g] == v[i] {
				out[k] = g
				continue
			}
		}
		out[k] = t.one(keys, i, h)
		have = vec.Values[int64](t.keys[0])
	}
}

func (t *Table) groupsOfTexts(keys []*vec.Col, sel []int, hashes []uint64, out []int32) {
	src, nulls := keys[0], keys[0].HasNulls()
	off, data := src.Offsets(), src.Data()
	for k := range out {
		i := k
		if sel != nil {
			i = sel[k]
		}
		h, s := hashes[k], t.cand[k]
		if s != 0 && s>>32 == h>>32 && !nulls {
			g := int32(uint32(s)) - 1
			ho, hd := t.keys[0].Offsets(), t.keys[0].Data()
			if g != t.nullGroup-1 && string(hd[ho[g]:ho[g+1]]) == string(data[off[i]:off[i+1]]) {
				out[k] = g
				continue
			}
		}
		out[k] = t.one(keys, i, h)
	}
}

// groupsByCode is for a dictionary-encoded column: a known code costs one look into an array.
func (t *Table) groupsByCode(keys []*vec.Col, sel []int, hashes []uint64, out []int32) {
	c := keys[0]
	codes, cache := c.Codes(), t.cache(c.Dict())
	t.miss = t.miss[:0]
	if c.HasNulls() {
		for k := range out {
			i := k
			if sel != nil {
				i = sel[k]
			}
			g := t.nullGroup
			if !c.IsNull(i) {
				g = cache[codes[i]]
			}
			if out[k] = g - 1; g == 0 {
				t.miss = append(t.miss, k)
			}
		}
	} else if sel == nil {
		for k, code := range codes[:len(out)] {
			g := cache[code]
			if out[k] = g - 1; g == 0 {
				t.miss = append(t.miss, k)
			}
		}
	} else {
		for k, i := range sel[:len(out)] {
			g := cache[codes[i]]
			if out[k] = g - 1; g == 0 {
				t.miss = append(t.miss, k)
			}
		}
	}
	for _, k := range t.miss {
		i := k
		if sel != nil {
			i = sel[k]
		}
		out[k] = t.missed(keys, i, k, hashes, codes, cache)
	}
}

// missed finds the group of a row whose code is not in the cache yet.
func (t *Table) missed(keys []*vec.Col, i, k int, hashes []uint64, codes, cache []int32) int32 {
	null := keys[0].IsNull(i)
	if !null && cache[codes[i]] > 0 { // an earlier row of the batch has brought it in
		return cache[codes[i]] - 1
	}
	var h uint64
	if hashes != nil {
		h = hashes[k]
	} else {
		var one [1]uint64
		sel := [1]int{i}
		vec.Hash(keys, sel[:], one[:])
		h = one[0]
	}
	if len(t.slots) == 0 {
		t.slots = make([]uint64, minSlots)
	}
	g := t.one(keys, i, h)
	if !null {
		cache[codes[i]] = g + 1
	}
	return g
}

// cache returns the groups by code of a dictionary, long enough for all its codes.
func (t *Table) cache(d *vec.Dict) []int32 {
	for i := range t.caches {
		c := &t.caches[i]
		if c.id == d.ID && c.groups != nil {
			if n := d.Len(); n > len(c.groups) {
				c.groups = growInts(c.groups, n)
			}
			return c.groups
		}
	}
	c := &t.caches[t.caching]
	t.caching = (t.caching + 1) % len(t.caches)
	c.id = d.ID
	clear(c.groups)
	c.groups = growInts(c.groups[:0], max(d.Len(), 1))
	return c.groups
}

// growInts returns s with length n; entries past the old length are zero.
func growInts(s []int32, n int) []int32 {
	if n <= cap(s) {
		old := len(s)
		s = s[:n]
		if n > old {
			clear(s[old:])
		}
		return s
	}
	ns := make([]int32, n, n+n/2)
	copy(ns, s)
	return ns
}

// one finds or makes the group of one row.
func (t *Table) one(keys []*vec.Col, i int, h uint64) int32 {
	null := t.mode != generic && keys[0].IsNull(i)
	if null && t.nullGroup > 0 {
		return t.nullGroup - 1
	}
	mask := uint64(len(t.slots) - 1)
	at := h & mask
	for !null && t.slots[at] != 0 {
		if s := t.slots[at]; s>>32 == h>>32 {
			if g := int32(uint32(s)) - 1; t.equal(int(g), keys, i) {
				return g
			}
		}
		at = (at + 1) & mask
	}
	g := t.insert(keys, i, h)
	if null {
		t.nullGroup = g + 1
	}
	return g
}

// insert appends a group with the key of row i.
func (t *Table) insert(keys []*vec.Col, i int, h uint64) int32 {
	for c, k := range t.keys {
		k.AppendFrom(keys[c], i)
	}
	t.hashes = append(t.hashes, h)
	g := int32(len(t.hashes))
	if t.mode != generic && keys[0].IsNull(i) {
		return g - 1 // not in slots: nullGroup finds it
	}
	if 4*len(t.hashes) > 3*len(t.slots) {
		t.rehash(2 * len(t.slots))
		return g - 1
	}
	t.place(h, g)
	return g - 1
}

func (t *Table) place(h uint64, group1 int32) {
	mask := uint64(len(t.slots) - 1)
	at := h & mask
	for t.slots[at] != 0 {
		at = (at + 1) & mask
	}
	t.slots[at] = h>>32<<32 | uint64(uint32(group1))
}

// rehash gives the table n slots.
func (t *Table) rehash(n int) {
	if cap(t.slots) >= n {
		t.slots = t.slots[:n]
		clear(t.slots)
	} else {
		t.slots = make([]uint64, n)
	}
	for g, h := range t.hashes {
		if int32(g) != t.nullGroup-1 {
			t.place(h, int32(g)+1)
		}
	}
}

func (t *Table) equal(g int, keys []*vec.Col, i int) bool {
	for c, k := range t.keys {
		if !equalAt(k, g, keys[c], i) {
			return false
		}
	}
	return true
}

// equalAt compares two values of one type as keys.
func equalAt(a *vec.Col, i int, b *vec.Col, j int) bool {
	if an, bn := a.IsNull(i), b.IsNull(j); an || bn {
		return an && bn
	}
	switch k := a.Kind(); k {
	case vec.String, vec.Bytes:
		return bytes.Equal(a.Bytes(i), b.Bytes(j))
	case vec.Decimal:
		return vec.Values[vec.Num](a)[i] == vec.Values[vec.Num](b)[j]
	case vec.Row:
		for f := range a.Type().Fields {
			if !equalAt(a.Kid(f), i, b.Kid(f), j) {
				return false
			}
		}
		return true
	case vec.Array, vec.Map:
		al, ah := a.Range(i)
		bl, bh := b.Range(j)
		if ah-al != bh-bl {
			return false
		}
		for e := range ah - al {
			for f := range a.Type().Fields {
				if !equalAt(a.Kid(f), al+e, b.Kid(f), bl+e) {
					return false
				}
			}
		}
		return true
	default:
		return enc.Word(a, i) == enc.Word(b, j)
	}
}

// AppendKeys appends the keys of the groups to dst, one column a key column.
func (t *Table) AppendKeys(dst []*vec.Col, groups []int32) {
	for c, k := range t.keys {
		for _, g := range groups {
			dst[c].AppendFrom(k, int(g))
		}
	}
}

// Keys returns the key columns, one row a group; they are the table's own: do not change or keep them.
func (t *Table) Keys() []*vec.Col { return t.keys }

// Hash returns vec.Hash of a group's key.
func (t *Table) Hash(group int32) uint64 { return t.hashes[group] }

// Hashes returns vec.Hash of each group's key; the slice is the table's own.
func (t *Table) Hashes() []uint64 { return t.hashes }

// KeyGroup returns the key group of a group's key.
func (t *Table) KeyGroup(group int32, maxParallelism int) stream.KeyGroup {
	return stream.KeyGroupOf(t.hashes[group], maxParallelism)
}

// EncodeKey appends the group's key in a form that DecodeKey reads, equal for equal keys on every architecture; it does not keep order.
func (t *Table) EncodeKey(dst []byte, group int32) []byte {
	for _, k := range t.keys {
		dst = enc.Append(dst, k, int(group))
	}
	return dst
}

// EncodeKey appends the key of row i of key columns as Table.EncodeKey does.
func EncodeKey(dst []byte, keys []*vec.Col, i int) []byte {
	for _, k := range keys {
		dst = enc.Append(dst, k, i)
	}
	return dst
}

// DecodeKey appends a key that EncodeKey wrote to key columns, and returns what follows it in src. On an error the
// columns may have different lengths.
func DecodeKey(src []byte, dst []*vec.Col) ([]byte, error) {
	var err error
	for _, c := range dst {
		if src, err = enc.Decode(src, c); err != nil {
			return nil, err
		}
	}
	return src, nil
}

// MemBytes is the memory that the table holds, by capacity.
func (t *Table) MemBytes() int64 {
	b := 8 * int64(cap(t.hashes)+cap(t.slots)+cap(t.hbuf)+cap(t.cand))
	for _, k := range t.keys {
		b += k.MemSize()
	}
	for i := range t.caches {
		b += 4 * int64(cap(t.caches[i].groups))
	}
	return b
}

// Reset drops all groups and keeps the memory.
func (t *Table) Reset() {
	clear(t.slots)
	t.hashes = t.hashes[:0]
	for _, k := range t.keys {
		k.Reset()
	}
	t.nullGroup = 0
	for i := range t.caches {
		clear(t.caches[i].groups)
	}
}

// Full reports whether the table must be emptied before more keys come: a column's offsets or the group numbers would pass their 31 bits.
func (t *Table) Full() bool {
	if len(t.hashes) > math.MaxInt32-2*vec.MaxRows {
		return true
	}
	for _, k := range t.keys {
		if k.Kind().IsBinaryLike() && len(k.Data()) > math.MaxInt32-2*vec.TargetBytes {
			return true
		}
	}
	return false
}
