package agg

import (
	"bytes"
	"encoding/binary"

	"github.com/zeebo/xxh3"

	"github.com/bramble-stream/bramble/engine/state/enc"
)

// blobs holds one changing byte string a group in one arena, so that the garbage collector sees two objects, not one a group.
type blobs struct {
	at []slot
	// buf is the arena; wasted bytes of it belong to no slot.
	buf, spare []byte
	wasted     int
}

// slot is where a group's bytes are: buf[off : off+n]. n is -1 + set, so that the zero slot is "unset".
type slot struct {
	off    int
	n, cap int32
}

func (b *blobs) resize(groups int) { b.at = grow(b.at, groups) }

// get returns the bytes of g and whether they are set; they alias the arena until the next change.
func (b *blobs) get(g int32) ([]byte, bool) {
	s := b.at[g]
	if s.n == 0 {
		return nil, false
	}
	return b.buf[s.off : s.off+int(s.n)-1], true
}

// set replaces the bytes of g by a copy of v, which does not alias the arena.
func (b *blobs) set(g int32, v []byte) {
	b.reserve(g, len(v), false)
	s := &b.at[g]
	copy(b.buf[s.off:], v)
	s.n = int32(len(v)) + 1
}

// add appends v to the bytes of g, with sep before it if g was set.
func (b *blobs) add(g int32, sep string, v []byte) {
	old, ok := b.get(g)
	if !ok {
		b.set(g, v)
		return
	}
	n := len(old)
	b.reserve(g, n+len(sep)+len(v), true)
	s := &b.at[g]
	n += copy(b.buf[s.off+n:], sep)
	n += copy(b.buf[s.off+n:], v)
	s.n = int32(n) + 1
}

// reserve makes room for n bytes at g; keep says that the present bytes move along.
func (b *blobs) reserve(g int32, n int, keep bool) {
	s := b.at[g]
	if n <= int(s.cap) {
		return
	}
	want := n
	if s.n > 0 {
		want = n + n/2 // it has changed before: it will again
	}
	if len(b.buf)+want > cap(b.buf) && b.wasted > len(b.buf)/2 {
		b.compact()
		s = b.at[g]
	}
	off := len(b.buf)
	b.buf = grow(b.buf, off+want)
	if keep && s.n > 0 {
		copy(b.buf[off:], b.buf[s.off:s.off+int(s.n)-1])
	}
	b.wasted += int(s.cap)
	b.at[g] = slot{off, s.n, int32(want)}
}

func (b *blobs) compact() {
	b.spare = b.spare[:0]
	for g := range b.at {
		s := &b.at[g]
		if s.n == 0 {
			*s = slot{}
			continue
		}
		off := len(b.spare)
		b.spare = append(b.spare, b.buf[s.off:s.off+int(s.n)-1]...)
		s.off, s.cap = off, s.n-1
	}
	b.buf, b.spare, b.wasted = b.spare, nil, 0
}

func (b *blobs) clear(g int32) { b.at[g].n = 0 }
func (b *blobs) memBytes() int64 {
	return 16*int64(cap(b.at)) + int64(cap(b.buf)) + int64(cap(b.spare))
}
func (b *blobs) reset() { b.at, b.buf, b.wasted = b.at[:0], b.buf[:0], 0 }

// chains holds a list of values with counts for each group, without a pointer: entries are linked by index.
type chains struct {
	// wide says that values are bytes, kept in buf with their length before them, and word is where; else word is the value.
	wide  bool
	head  []int32 // a group's first entry + 1, or 0
	tail  []int32
	cells []cell
	buf   []byte
	dead  int
}

// cell is an entry of a list, in one place so that a look at it is one miss of the cache.
type cell struct {
	// count is how often the value is there; below 0 after taking back what was not there. 0 is a dead entry.
	count int64
	word  uint64
	next  int32 // the entry's successor + 1, or 0
	group int32
}

const cellBytes = 24

func (c *chains) resize(groups int) {
	c.head, c.tail = grow(c.head, groups), grow(c.tail, groups)
}

// push appends an entry to g's list and returns its index. For wide chains, b is the value, else w.
func (c *chains) push(g int32, w uint64, b []byte, n int64) int32 {
	if c.wide {
		w = uint64(len(c.buf))
		c.buf = enc.AppendBytes(c.buf, b)
	}
	e := int32(len(c.cells))
	c.cells = append(c.cells, cell{count: n, word: w, group: g})
	if t := c.tail[g]; t > 0 {
		c.cells[t-1].next = e + 1
	} else {
		c.head[g] = e + 1
	}
	c.tail[g] = e + 1
	return e
}

// bytes is the value of an entry of wide chains; it aliases buf.
func (c *chains) bytes(e int32) []byte {
	b, _, err := enc.Bytes(c.buf[c.cells[e].word:])
	if err != nil {
		return nil
	}
	return b
}

// is reports whether entry e has the value.
func (c *chains) is(e int32, w uint64, b []byte) bool {
	if c.wide {
		return bytes.Equal(c.bytes(e), b)
	}
	return c.cells[e].word == w
}

// drop makes all entries of g dead.
func (c *chains) drop(g int32) {
	for e := c.head[g]; e > 0; e = c.cells[e-1].next {
		if c.cells[e-1].count != 0 {
			c.cells[e-1].count = 0
			c.dead++
		}
	}
}

// crowded reports whether dead entries have come to be so many that compact pays.
func (c *chains) crowded() bool { return c.dead > 64 && c.dead > len(c.cells)/2 }

// compact drops dead entries; indexes change, and a group's entries come to lie together.
func (c *chains) compact() {
	old := *c
	c.cells, c.buf, c.dead = make([]cell, 0, len(old.cells)-old.dead), nil, 0
	for g := range c.head {
		e := old.head[g]
		c.head[g], c.tail[g] = 0, 0
		for ; e > 0; e = old.cells[e-1].next {
			if n := old.cells[e-1].count; n != 0 {
				var b []byte
				if c.wide {
					b = old.bytes(e - 1)
				}
				c.push(int32(g), old.cells[e-1].word, b, n)
			}
		}
	}
}

// encode appends g's live entries: how many, then count and value of each.
func (c *chains) encode(dst []byte, g int32) []byte {
	n := 0
	for e := c.head[g]; e > 0; e = c.cells[e-1].next {
		if c.cells[e-1].count != 0 {
			n++
		}
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	for e := c.head[g]; e > 0; e = c.cells[e-1].next {
		k := c.cells[e-1].count
		if k == 0 {
			continue
		}
		dst = binary.AppendVarint(dst, k)
		if c.wide {
			dst = enc.AppendBytes(dst, c.bytes(e-1))
		} else {
			dst = binary.LittleEndian.AppendUint64(dst, c.cells[e-1].word)
		}
	}
	return dst
}

// entry is one decoded value with its count; b aliases the source.
type entry struct {
	count int64
	w     uint64
	b     []byte
}

// decodeEntries reads what encode wrote into buf, and returns what follows.
func decodeEntries(src []byte, wide bool, buf []entry) ([]entry, []byte, error) {
	n, k := binary.Uvarint(src)
	if k <= 0 || n > uint64(len(src)) {
		return buf, nil, enc.ErrCorrupt
	}
	src = src[k:]
	for range n {
		var e entry
		if e.count, k = binary.Varint(src); k <= 0 {
			return buf, nil, enc.ErrCorrupt
		}
		src = src[k:]
		if wide {
			var err error
			if e.b, src, err = enc.Bytes(src); err != nil {
				return buf, nil, err
			}
		} else {
			if len(src) < 8 {
				return buf, nil, enc.ErrCorrupt
			}
			e.w, src = binary.LittleEndian.Uint64(src), src[8:]
		}
		buf = append(buf, e)
	}
	return buf, src, nil
}

func (c *chains) memBytes() int64 {
	return 4*int64(cap(c.head)+cap(c.tail)) + cellBytes*int64(cap(c.cells)) + int64(cap(c.buf))
}

func (c *chains) reset() {
	c.head, c.tail, c.cells = c.head[:0], c.tail[:0], c.cells[:0]
	c.buf, c.dead = c.buf[:0], 0
}

// multiset is chains with an index: the entry of a value of a group is found in constant time.
type multiset struct {
	chains
	// slots is an open-addressing table; its length is a power of two. 0 is free, else the low half is an entry + 1 and the high half that of its hash: what is looked
	// for is nearly always told from what is not without a look at the entry.
	slots []uint64
	// moved counts compactions: entry indexes kept elsewhere are void after one.
	moved int
}

func (m *multiset) hash(g int32, w uint64, b []byte) uint64 {
	if m.wide {
		w = xxh3.Hash(b)
	}
	h := (w ^ uint64(uint32(g))*0x9e3779b97f4a7c15) * 0xff51afd7ed558ccd
	return h ^ h>>32
}

// tagged is the half of a hash that a slot keeps.
const tagged = uint64(1<<32-1) << 32

// entry returns the entry of a value of g; a new one is dead until it has a count.
func (m *multiset) entry(g int32, w uint64, b []byte) int32 {
	if 4*(len(m.cells)+1) > 3*len(m.slots) {
		m.rehash()
	}
	mask, h := uint64(len(m.slots)-1), m.hash(g, w, b)
	i := h & mask
	for ; m.slots[i] != 0; i = (i + 1) & mask {
		if m.slots[i]&tagged != h&tagged {
			continue
		}
		if e := int32(uint32(m.slots[i])) - 1; m.cells[e].group == g && m.is(e, w, b) {
			return e
		}
	}
	e := m.push(g, w, b, 0)
	m.dead++
	m.slots[i] = h&tagged | uint64(e+1)
	return e
}

// change adds n to the count of a value of g and returns the entry and its count before.
func (m *multiset) change(g int32, w uint64, b []byte, n int64) (e int32, before int64) {
	e = m.entry(g, w, b)
	c := &m.cells[e]
	before = c.count
	c.count += n
	m.tally(before, c.count)
	return e, before
}

// mark sets bits of the count of a value of g and returns those that were not set.
func (m *multiset) mark(g int32, w uint64, b []byte, bits int64) (fresh int64) {
	c := &m.cells[m.entry(g, w, b)]
	fresh = bits &^ c.count
	m.tally(c.count, c.count|bits)
	c.count |= bits
	return fresh
}

func (m *multiset) tally(before, after int64) {
	if before != 0 && after == 0 {
		m.dead++
	} else if before == 0 && after != 0 {
		m.dead--
	}
}

// rehash compacts if that pays, and grows the table if it must.
func (m *multiset) rehash() {
	if m.crowded() {
		m.compact()
		m.moved++
	}
	size := max(len(m.slots), 64)
	for 4*(len(m.cells)+1) > 2*size {
		size *= 2
	}
	if size == len(m.slots) {
		clear(m.slots)
	} else {
		m.slots = make([]uint64, size)
	}
	mask := uint64(size - 1)
	for e := range m.cells {
		var b []byte
		if m.wide {
			b = m.bytes(int32(e))
		}
		h := m.hash(m.cells[e].group, m.cells[e].word, b)
		i := h & mask
		for m.slots[i] != 0 {
			i = (i + 1) & mask
		}
		m.slots[i] = h&tagged | uint64(e+1)
	}
}

func (m *multiset) memBytes() int64 { return m.chains.memBytes() + 8*int64(cap(m.slots)) }

func (m *multiset) reset() {
	m.chains.reset()
	clear(m.slots)
}
