// Package rows holds whole rows by key: what joins and rankings keep. Rows are in columns in memory and go to a state store when the budget is
// exceeded. It knows no operators; what is aggregated is in engine/table.
package rows

import (
	"bytes"
	"math"
	"slices"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/enc"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/table"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Options say what a Store holds and how much of it in memory.
type Options struct {
	// Keys are the types of the key columns.
	Keys []vec.Type
	// Sides are the columns of each kind of row: two for a join, one otherwise.
	Sides []*vec.Schema
	// Hashed keeps an index of the rows, for Match.
	Hashed bool
	// Chunks says that rows, once appended, are neither changed nor removed one by one: several of a key then share an entry of the state store. It is no
	// part of the format: what is in a store is read either way.
	Chunks bool
	// Order, when set, keeps the lists of a side 0 in its order where they come from the store: negative when row i of the columns is before row j. Rows that
	// are equal come in order of arrival, or with LastFirst the other way round.
	Order     func(cols []*vec.Col, i, j int) int
	LastFirst bool
	// Lead is how many rows of a list the operator needs in order: see Space.Lead.
	Lead int
	// BudgetBytes is how much memory rows may take before they go to the store; 0: no limit. A batch may take more for a moment.
	BudgetBytes int64
	// Open opens the store when it is first needed: op.Context.OpenState. nil: nothing is ever spilled or snapshotted.
	Open func(merge state.MergeFunc) (state.Store, error)
	// MaxParallelism and KeyRange are the task's; left zero: all of stream.DefaultMaxParallelism key groups.
	MaxParallelism int
	KeyRange       stream.KeyRange
}

// Store is rows by namespace (a window's or bucket's time; 0 where there is only one), key and side, each list in order of arrival. It
// is used by the task's goroutine alone.
//
// In the state store a row is under
//
//	key group (2 bytes, big-endian) | namespace (8 bytes, order-preserving) | side (1 byte) | key | number (8 bytes, big-endian)
//
// with its count, its stamp, and its columns as the value; chunk.go says how several rows share an entry. Numbers ascend with arrival over all rows of a task and its successors.
type Store struct {
	o      Options
	store  state.Store
	spaces map[int64]*Space
	// order is the namespaces, ascending.
	order []int64
	free  []*Space
	// next is the number of the next row.
	next   uint64
	spills int64

	groups     []int32
	hashes     []uint64
	writes     state.Writes
	kbuf, vbuf []byte
	cmp        []byte
	// chunk and numbers are scratch of one chunk.
	chunk   []int32
	numbers []uint64
}

// Space is the rows of one namespace. While it has not spilled, memory is all there is to know, and the store, if kgs is not empty, a copy as
// of the last Snapshot. Afterwards a key's older rows are in the store until Load brings them.
type Space struct {
	st    *Store
	ns    int64
	tab   *table.Table
	sides []side
	// born[g] is the number that the next row had when the group came into memory: rows with lower ones may be in the store only, as long as
	// the side's bit in loaded[g] is not set. It is 0 when there can be none. usedBit of loaded says that the key came since the last spill.
	born   []uint64
	loaded []uint8
	// lead is how many rows of each group's list on side 0 are known to be its first ones, in order; those behind are in none.
	lead    []int32
	spilled bool
	// kgs are the key groups with entries in the store.
	kgs map[stream.KeyGroup]bool
	mem int64
	// stored are the keys with entries in the store that memory may not have.
	stored filters
	// one is for appending single rows.
	one struct {
		sel   [1]int
		group [1]int32
	}
}

// side is the rows of one side. Row numbers in here are positions in cols.
type side struct {
	// head and tail are the first and last row of each group + 1, 0 for none; chain is each row's successor + 1.
	head, tail, chain []int32
	cols              []*vec.Col
	group             []int32
	seq               []uint64
	hash              []uint32
	// back is each row's predecessor + 1, and index finds rows by hash, where Options.Hashed asks for them.
	back  []int32
	index index
	count []int32
	stamp []int64
	flags []uint8
	dead  int
}

// usedBit is beside the bits of two sides.
const usedBit = 0x80

// The flags of a row.
const (
	// flagDirty: the store does not have the row, or not as it is.
	flagDirty uint8 = 1 << iota
	// flagStored: the store has an entry for the row.
	flagStored
	// flagDead: removed; its place is free at the next compaction.
	flagDead
)

// New returns an empty Store.
func New(o Options) *Store {
	if o.MaxParallelism == 0 {
		o.MaxParallelism = stream.DefaultMaxParallelism
	}
	if o.KeyRange.Limit <= o.KeyRange.First {
		o.KeyRange = stream.KeyRange{Limit: stream.KeyGroup(o.MaxParallelism)}
	}
	return &Store{o: o, spaces: map[int64]*Space{}, next: 1}
}

func (s *Store) newSpace(ns int64) *Space {
	if n := len(s.free); n > 0 {
		sp := s.free[n-1]
		s.free = s.free[:n-1]
		sp.ns = ns
		return sp
	}
	sp := &Space{st: s, ns: ns, kgs: map[stream.KeyGroup]bool{}}
	sp.clear()
	return sp
}

// clear gives the space new, empty memory.
func (sp *Space) clear() {
	sp.tab = table.New(sp.st.o.Keys)
	sp.born, sp.loaded, sp.lead = nil, nil, nil
	sp.sides = make([]side, len(sp.st.o.Sides))
	for i, schema := range sp.st.o.Sides {
		for _, f := range schema.Fields {
			sp.sides[i].cols = append(sp.sides[i].cols, vec.NewCol(f.Type))
		}
	}
	sp.mem = 0
}

// Space returns the namespace, making it if need be.
func (s *Store) Space(ns int64) *Space {
	if sp := s.spaces[ns]; sp != nil {
		return sp
	}
	sp := s.newSpace(ns)
	s.spaces[ns] = sp
	at, _ := slices.BinarySearch(s.order, ns)
	s.order = slices.Insert(s.order, at, ns)
	return sp
}

// Lookup returns the namespace, or nil when it holds nothing.
func (s *Store) Lookup(ns int64) *Space { return s.spaces[ns] }

// Namespaces are the namespaces that hold something, ascending; the slice is the Store's own.
func (s *Store) Namespaces() []int64 { return s.order }

// MemBytes is the memory of all rows and keys, as of the last Account of each space.
func (s *Store) MemBytes() int64 {
	var n int64
	for _, sp := range s.spaces {
		n += sp.mem
	}
	return n
}

// Keys is the number of keys in memory.
func (s *Store) Keys() int64 {
	var n int64
	for _, sp := range s.spaces {
		n += int64(sp.tab.Len())
	}
	return n
}

// Spills counts namespaces written out for want of memory.
func (s *Store) Spills() int64 { return s.spills }

// Spilled reports whether there may be rows that only the state store has.
func (sp *Space) Spilled() bool { return sp.spilled }

// Len is the number of keys in memory.
func (sp *Space) Len() int { return sp.tab.Len() }

// Keys are the key columns, a row a group; they are the space's own.
func (sp *Space) Keys() []*vec.Col { return sp.tab.Keys() }

// Groups returns the group of each of n rows (sel nil: 0..n-1) of key columns, making new ones; hashes, or nil, is vec.Hash of each row.
// Groups are good until Trim. The slice is valid until the next call.
func (sp *Space) Groups(keys []*vec.Col, sel []int, n int, hashes []uint64) []int32 {
	s := sp.st
	if cap(s.groups) < n {
		s.groups = make([]int32, n)
	}
	out := s.groups[:n]
	sp.tab.Groups(keys, sel, hashes, out)
	sp.grow()
	for _, g := range out {
		sp.loaded[g] |= usedBit
	}
	return out
}

// Find is Groups that makes no groups: out[k] is -1 for a key that is not in memory.
func (sp *Space) Find(keys []*vec.Col, sel []int, hashes []uint64, out []int32) {
	sp.tab.Find(keys, sel, hashes, out)
}

// grow makes room for what is kept of the groups.
func (sp *Space) grow() {
	n := sp.tab.Len()
	var born uint64
	if sp.spilled {
		born = sp.st.next
	}
	for len(sp.born) < n {
		sp.born, sp.loaded, sp.lead = append(sp.born, born), append(sp.loaded, 0), append(sp.lead, 0)
	}
	for i := range sp.sides {
		d := &sp.sides[i]
		for len(d.head) < n {
			d.head, d.tail = append(d.head, 0), append(d.tail, 0)
		}
	}
}

// Head returns the first row of a group, -1 for none; Next the one behind a row. Where the space has spilled, Load comes before.
func (sp *Space) Head(in int, group int32) int32 { return sp.sides[in].head[group] - 1 }

// Next returns the row behind a row of the same key, -1 for none.
func (sp *Space) Next(in int, row int32) int32 { return sp.sides[in].chain[row] - 1 }

// Cols are the columns of a side, indexed by row; they are the space's own and may hold rows that have been removed.
func (sp *Space) Cols(in int) []*vec.Col { return sp.sides[in].cols }

// Rows is how many rows the columns of a side have.
func (sp *Space) Rows(in int) int { return len(sp.sides[in].seq) }

// Count is a number that the operator keeps with a row.
func (sp *Space) Count(in int, row int32) int32 { return sp.sides[in].count[row] }

// SetCount changes the number kept with a row.
func (sp *Space) SetCount(in int, row, n int32) {
	d := &sp.sides[in]
	d.count[row] = n
	d.flags[row] |= flagDirty
}

// Stamp is a time that the operator keeps with a row: given to Append.
func (sp *Space) Stamp(in int, row int32) int64 { return sp.sides[in].stamp[row] }

// Live reports whether a row has not been removed.
func (sp *Space) Live(in int, row int32) bool { return sp.sides[in].flags[row]&flagDead == 0 }

// Append appends rows of the columns at the ends of their groups' lists: n of them, those that sel lists (nil: 0..n-1), groups[k] for the k-th, with a
// count of 0. It returns the first one's row; the others follow it.
func (sp *Space) Append(in int, cols []*vec.Col, sel []int, groups []int32, stamp int64) int32 {
	d := &sp.sides[in]
	base := int32(len(d.seq))
	for i, c := range d.cols {
		appendCol(c, cols[i], sel, len(groups))
	}
	if sp.st.o.Hashed {
		sp.st.appendHashes(d, cols, sel, len(groups))
		for range groups {
			d.back = append(d.back, 0)
		}
	}
	for k, g := range groups {
		row := base + int32(k)
		d.group = append(d.group, g)
		d.seq = append(d.seq, sp.st.next)
		sp.st.next++
		d.count = append(d.count, 0)
		d.stamp = append(d.stamp, stamp)
		d.flags = append(d.flags, flagDirty)
		d.chain = append(d.chain, 0)
		d.link(g, row)
	}
	if sp.st.o.Hashed {
		d.index.add(d, base)
	}
	return base
}

// link puts a row at the end of its group's list.
func (d *side) link(g, row int32) {
	t := d.tail[g]
	if t != 0 {
		d.chain[t-1] = row + 1
	} else {
		d.head[g] = row + 1
	}
	if d.back != nil {
		d.back[row] = t
	}
	d.tail[g] = row + 1
}

// AppendOne is Append for row i of cols.
func (sp *Space) AppendOne(in int, cols []*vec.Col, i int, group int32, stamp int64) int32 {
	sp.one.sel[0], sp.one.group[0] = i, group
	return sp.Append(in, cols, sp.one.sel[:], sp.one.group[:], stamp)
}

// Lead is how many rows of a group's list on side 0 are known to be its first ones, in the order of Options; what follows is behind them, in no order.
func (sp *Space) Lead(group int32) int32 { return sp.lead[group] }

// SetLead changes Lead.
func (sp *Space) SetLead(group, n int32) { sp.lead[group] = n }

// Before reports whether row i comes before row j of side 0 in the order of Options.
func (sp *Space) Before(i, j int32) bool {
	d := &sp.sides[0]
	if c := sp.st.o.Order(d.cols, int(i), int(j)); c != 0 {
		return c < 0
	}
	return d.seq[i] < d.seq[j] != sp.st.o.LastFirst
}

// Relink makes list the list of a group on side 0, of which it has all rows.
func (sp *Space) Relink(group int32, list []int32) {
	d := &sp.sides[0]
	d.head[group], d.tail[group] = 0, 0
	for _, r := range list {
		d.chain[r] = 0
		d.link(group, r)
	}
}

// appendCol appends n rows as plain ones: a dictionary is the sender's.
func appendCol(dst, src *vec.Col, sel []int, n int) {
	if sel == nil && src.Len() == n && src.Dict() == nil {
		dst.AppendSel(src, nil)
		return
	}
	if src.Dict() == nil && sel != nil {
		dst.AppendSel(src, sel[:n])
		return
	}
	for k := range n {
		i := k
		if sel != nil {
			i = sel[k]
		}
		dst.AppendFrom(src, i)
	}
}

func (s *Store) appendHashes(d *side, cols []*vec.Col, sel []int, n int) {
	if cap(s.hashes) < n {
		s.hashes = make([]uint64, n)
	}
	h := s.hashes[:n]
	vec.Hash(cols, sel, h)
	for _, x := range h {
		d.hash = append(d.hash, uint32(x>>32))
	}
}

// Match finds the oldest row of a group that equals row i of cols, whose vec.Hash is hash; prev is the one before it in the list. It gives -1 for none.
func (sp *Space) Match(in int, group int32, cols []*vec.Col, i int, hash uint64) (row, prev int32) {
	d := &sp.sides[in]
	row = -1
	h := uint32(hash >> 32)
	for r := range d.index.find(group, h) {
		if d.group[r] == group && d.hash[r] == h && (row < 0 || d.seq[r] < d.seq[row]) && sp.st.same(d.cols, int(r), cols, i) {
			row = r
		}
	}
	if row < 0 {
		return -1, -1
	}
	return row, d.back[row] - 1
}

// same compares two rows as SQL's keys are compared: NULL equals NULL.
func (s *Store) same(a []*vec.Col, i int, b []*vec.Col, j int) bool {
	for c := range a {
		s.cmp = enc.Append(s.cmp[:0], a[c], i)
		n := len(s.cmp)
		s.cmp = enc.Append(s.cmp, b[c], j)
		if !bytes.Equal(s.cmp[:n], s.cmp[n:]) {
			return false
		}
	}
	return true
}

// Remove takes a row out of its group's list; prev is the one before it, -1 for none. Its columns stay readable until Trim.
func (sp *Space) Remove(in int, row, prev int32) {
	d := &sp.sides[in]
	g := d.group[row]
	if prev < 0 {
		d.head[g] = d.chain[row]
	} else {
		d.chain[prev] = d.chain[row]
	}
	if d.tail[g] == row+1 {
		d.tail[g] = prev + 1
	}
	if d.back != nil {
		if next := d.chain[row]; next != 0 {
			d.back[next-1] = prev + 1
		}
		d.index.remove(d, row)
	}
	if d.flags[row]&flagStored != 0 {
		sp.st.writes.Add(state.OpDelete, sp.rowKey(in, row), nil)
	}
	d.flags[row] = flagDead
	d.dead++
}

// Insert appends row i of cols to a group's list behind the row prev (-1: at the front), for lists that are kept in an order. It returns the row.
func (sp *Space) Insert(in int, cols []*vec.Col, i int, group, prev int32, stamp int64) int32 {
	d := &sp.sides[in]
	head, tail := d.head[group], d.tail[group]
	d.head[group], d.tail[group] = 0, 0
	row := sp.AppendOne(in, cols, i, group, stamp)
	next := head
	if prev >= 0 {
		d.head[group], next = head, d.chain[prev]
		d.chain[prev] = row + 1
	}
	d.chain[row] = next
	if next != 0 {
		d.tail[group] = tail
	}
	if d.back != nil {
		d.back[row] = prev + 1
		if next != 0 {
			d.back[next-1] = row + 1
		}
	}
	return row
}

// Account updates the memory that the space is held to take; call it after appending.
func (sp *Space) Account() {
	sp.mem = sp.tab.MemBytes() + 8*int64(cap(sp.born)) + 4*int64(cap(sp.lead)) + int64(cap(sp.loaded))
	for i := range sp.sides {
		d := &sp.sides[i]
		for _, c := range d.cols {
			sp.mem += c.MemSize()
		}
		sp.mem += 4*int64(cap(d.head)+cap(d.tail)+cap(d.chain)+cap(d.group)+cap(d.hash)+cap(d.back)+cap(d.index.slots)+cap(d.count)) +
			8*int64(cap(d.seq)+cap(d.stamp)) + int64(cap(d.flags))
	}
}

// full reports whether a column's offsets or row numbers would pass their 31 bits.
func (sp *Space) full() bool {
	if sp.tab.Full() {
		return true
	}
	for i := range sp.sides {
		d := &sp.sides[i]
		if len(d.seq) > math.MaxInt32-2*vec.MaxRows {
			return true
		}
		for _, c := range d.cols {
			if c.Kind().IsBinaryLike() && len(c.Data()) > math.MaxInt32-2*vec.TargetBytes {
				return true
			}
		}
	}
	return false
}
