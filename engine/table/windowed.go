package table

import (
	"fmt"
	"slices"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Options say what a table of aggregates holds and how much of it in memory.
type Options struct {
	Keys []vec.Type
	Aggs []agg.Spec
	// Retract says that rows may be taken back.
	Retract bool
	// BudgetBytes is how much memory hot state may take before it goes to the store; 0: no limit. Growing tables and evicting may
	// take half as much again for a moment.
	BudgetBytes int64
	// Open opens the store when it is first needed: op.Context.OpenState. nil: nothing is ever spilled or snapshotted, and the owner
	// watches MemBytes.
	Open func(merge state.MergeFunc) (state.Store, error)
	// MaxParallelism and KeyRange are the task's; left zero: all of stream.DefaultMaxParallelism key groups.
	MaxParallelism int
	KeyRange       stream.KeyRange
}

// withDefaults fills in the key range of a task that has all key groups.
func (o Options) withDefaults() Options {
	if o.MaxParallelism == 0 {
		o.MaxParallelism = stream.DefaultMaxParallelism
	}
	if o.KeyRange == (stream.KeyRange{}) {
		o.KeyRange.Limit = stream.KeyGroup(o.MaxParallelism)
	}
	return o
}

// Emitter is told a part of a result: n rows of keys and of values (results or partials). The columns are lent until it returns.
type Emitter func(keys, values []*vec.Col, n int) error

// Windowed is aggregates by namespace (a window's or slice's time) and key. While all fits the budget it is one hash table a
// namespace and no store is opened. Beyond, the largest namespaces are written to the store under
//
//	key group (2 bytes, big-endian) | namespace (8 bytes, order-preserving) | key
//
// as merges, and start again empty; Emit puts memory and store together. It is used by the task's goroutine alone.
type Windowed struct {
	o      Options
	merger *agg.Merger
	store  state.Store
	spaces map[int64]*space
	// order is the namespaces, ascending.
	order []int64
	free  []*space
	mem   int64
	// tmp is where Emit puts several namespaces together.
	tmp *space

	// Scratch.
	groups, iota []int32
	hashes       []uint64
	sel          []int
	writes       state.Writes
	kbuf, vbuf   []byte
	outKeys      []*vec.Col
	outResults   []*vec.Col
	outPartials  []*vec.Col
	chunk        *agg.Set
	// Spills counts namespaces written out for want of memory.
	spills int64
}

// space is one namespace. While !spilled, memory is all there is to know, and the store, if kgs is not empty, a copy as of the last
// Snapshot. Once spilled, memory is what has come since: it adds to the store.
type space struct {
	ns  int64
	tab *Table
	set *agg.Set
	// dirty has a byte a group: 1 when memory differs from what the store has been told.
	dirty   []uint8
	spilled bool
	// kgs are the key groups with entries in the store.
	kgs map[stream.KeyGroup]bool
	mem int64
}

// NewWindowed returns an empty table.
func NewWindowed(o Options) (*Windowed, error) {
	o = o.withDefaults()
	w := &Windowed{o: o, spaces: map[int64]*space{}}
	var err error
	if w.merger, err = agg.NewMerger(o.Aggs, o.Retract); err != nil {
		return nil, err
	}
	if w.chunk, err = agg.New(o.Aggs, o.Retract); err != nil {
		return nil, err
	}
	for _, t := range o.Keys {
		w.outKeys = append(w.outKeys, vec.NewCol(t))
	}
	w.outResults, w.outPartials = w.chunk.NewResultCols(), w.chunk.NewPartialCols()
	return w, nil
}

func (w *Windowed) newSpace() (*space, error) {
	if n := len(w.free); n > 0 {
		s := w.free[n-1]
		w.free = w.free[:n-1]
		return s, nil
	}
	set, err := agg.New(w.o.Aggs, w.o.Retract)
	if err != nil {
		return nil, err
	}
	return &space{tab: New(w.o.Keys), set: set, kgs: map[stream.KeyGroup]bool{}}, nil
}

// space returns the namespace, making it if need be.
func (w *Windowed) space(ns int64) (*space, error) {
	if s := w.spaces[ns]; s != nil {
		return s, nil
	}
	s, err := w.newSpace()
	if err != nil {
		return nil, err
	}
	s.ns = ns
	w.spaces[ns] = s
	at, _ := slices.BinarySearch(w.order, ns)
	w.order = slices.Insert(w.order, at, ns)
	w.mem += s.mem
	return s, nil
}

// what is how rows are applied.
type what uint8

const (
	adding what = iota
	retracting
	merging
)

// Add adds rows to a namespace: keys are the key columns, cols what the aggregates' Args index, sel the rows (nil: 0..n-1), n how many, and
// hashes (or nil) vec.Hash of each. An error comes from the store.
func (w *Windowed) Add(ns int64, keys, cols []*vec.Col, sel []int, n int, hashes []uint64) error {
	return w.apply(adding, ns, keys, cols, sel, n, hashes)
}

// Retract takes rows back.
func (w *Windowed) Retract(ns int64, keys, cols []*vec.Col, sel []int, n int, hashes []uint64) error {
	return w.apply(retracting, ns, keys, cols, sel, n, hashes)
}

// AddPartial merges rows that EmitPartial made, of agg.PartialTypes.
func (w *Windowed) AddPartial(ns int64, keys, partials []*vec.Col, sel []int, n int, hashes []uint64) error {
	return w.apply(merging, ns, keys, partials, sel, n, hashes)
}

func (w *Windowed) apply(how what, ns int64, keys, cols []*vec.Col, sel []int, n int, hashes []uint64) error {
	if n == 0 {
		return nil
	}
	s, err := w.space(ns)
	if err != nil {
		return err
	}
	w.groups = growInts(w.groups, n)
	groups := w.groups[:n]
	s.tab.Groups(keys, sel, hashes, groups)
	s.set.Resize(s.tab.Len())
	switch how {
	case adding:
		s.set.Add(cols, sel, groups)
	case retracting:
		s.set.Retract(cols, sel, groups)
	case merging:
		s.set.AddPartial(cols, sel, groups)
	}
	w.changed(s, groups)
	return w.grown(s)
}

// grown accounts for a change of s and keeps the budget, where there is a store to keep it with.
func (w *Windowed) grown(s *space) error {
	before := w.mem
	w.account(s)
	if w.o.Open == nil {
		return nil
	}
	if s.tab.Full() || w.o.BudgetBytes > 0 && w.mem > w.o.BudgetBytes && w.mem > before {
		return w.relieve(s)
	}
	return nil
}

// changed marks groups after a merge into a namespace of the table's.
func (w *Windowed) changed(s *space, groups []int32) {
	if s != w.tmp && w.o.Open != nil {
		s.mark(groups)
	}
}

// mark makes groups dirty.
func (s *space) mark(groups []int32) {
	if n := s.tab.Len(); n > len(s.dirty) {
		s.dirty = growBytes(s.dirty, n)
	}
	d := s.dirty
	for _, g := range groups {
		d[g] = 1
	}
}

func growBytes(b []uint8, n int) []uint8 {
	old := len(b)
	b = slices.Grow(b, n-old)[:n]
	clear(b[old:])
	return b
}

// account brings the memory count up to date after a change of s.
func (w *Windowed) account(s *space) {
	m := s.tab.MemBytes() + s.set.MemBytes() + int64(cap(s.dirty))
	w.mem += m - s.mem
	s.mem = m
}

// Namespaces lists the namespaces that hold anything, ascending. The slice is the table's own until the next change.
func (w *Windowed) Namespaces() []int64 { return w.order }

// Has reports whether a namespace holds anything.
func (w *Windowed) Has(ns int64) bool { return w.spaces[ns] != nil }

// MemBytes is the memory of all hot state.
func (w *Windowed) MemBytes() int64 { return w.mem }

// Spills counts how often a namespace was written out for want of memory.
func (w *Windowed) Spills() int64 { return w.spills }

// HotKeys is the number of keys in memory, over all namespaces.
func (w *Windowed) HotKeys() int64 {
	var n int64
	for _, s := range w.spaces {
		n += int64(s.tab.Len())
	}
	return n
}

// Emit hands the results of the namespaces put together, oldest first, to emit in parts of up to vec.MaxRows rows, each key
// once, in no particular order. Nothing is dropped: see Drop. emit must not use the table.
func (w *Windowed) Emit(namespaces []int64, emit Emitter) error {
	return w.emit(namespaces, w.outResults, emit)
}

// EmitPartial is Emit with partial columns for a Global stage; the table was made without Retract.
func (w *Windowed) EmitPartial(namespaces []int64, emit Emitter) error {
	return w.emit(namespaces, w.outPartials, emit)
}

func (w *Windowed) emit(namespaces []int64, values []*vec.Col, emit Emitter) error {
	var spaces []*space
	spilled := false
	for _, ns := range namespaces {
		if s := w.spaces[ns]; s != nil {
			spaces = append(spaces, s)
			spilled = spilled || s.spilled
		}
	}
	switch {
	case len(spaces) == 0:
		return nil
	case spilled && len(spaces) == 1:
		return w.emitStored(spaces[0], values, emit)
	case spilled:
		return w.emitByKeyGroup(spaces, values, emit)
	case len(spaces) == 1:
		return w.emitSpace(spaces[0], values, emit)
	}
	tmp, err := w.temp()
	if err != nil {
		return err
	}
	for _, s := range spaces {
		w.mergeMemory(tmp, s, nil)
	}
	return w.emitSpace(tmp, values, emit)
}

// temp returns the empty space for putting others together.
func (w *Windowed) temp() (*space, error) {
	if w.tmp == nil {
		s, err := w.newSpace()
		if err != nil {
			return nil, err
		}
		w.tmp = s
	}
	w.tmp.reset()
	return w.tmp, nil
}

func (s *space) reset() {
	s.tab.Reset()
	s.set.Reset()
	s.dirty = s.dirty[:0]
}

// mergeMemory merges the listed groups of s (nil: all) into dst.
func (w *Windowed) mergeMemory(dst, s *space, list []int32) {
	n := len(list)
	if list == nil {
		n = s.tab.Len()
	}
	for at := 0; at < n; at += vec.MaxRows {
		k := min(vec.MaxRows, n-at)
		src := w.rows(at, k)
		if list != nil {
			src = list[at : at+k]
		}
		w.sel = w.sel[:0]
		w.hashes = w.hashes[:0]
		for _, g := range src {
			w.sel = append(w.sel, int(g))
			w.hashes = append(w.hashes, s.tab.hashes[g])
		}
		w.groups = growInts(w.groups, k)
		groups := w.groups[:k]
		dst.tab.Groups(s.tab.keys, w.sel, w.hashes, groups)
		dst.set.Resize(dst.tab.Len())
		dst.set.Merge(groups, s.set, src)
		w.changed(dst, groups)
	}
}

// rows returns at, at+1, … at+n-1.
func (w *Windowed) rows(at, n int) []int32 {
	w.iota = w.iota[:0]
	for i := range n {
		w.iota = append(w.iota, int32(at+i))
	}
	return w.iota
}

// emitSpace emits what is in memory.
func (w *Windowed) emitSpace(s *space, values []*vec.Col, emit Emitter) error {
	for at, n := 0, s.tab.Len(); at < n; at += vec.MaxRows {
		k := min(vec.MaxRows, n-at)
		rows := w.rows(at, k)
		w.sel = w.sel[:0]
		for _, g := range rows {
			w.sel = append(w.sel, int(g))
		}
		for c, key := range w.outKeys {
			key.Reset()
			key.AppendSel(s.tab.keys[c], w.sel)
		}
		if err := w.hand(s.set, rows, values, emit); err != nil {
			return err
		}
	}
	return nil
}

// hand fills the value columns for groups of set and calls emit; outKeys are filled.
func (w *Windowed) hand(set *agg.Set, groups []int32, values []*vec.Col, emit Emitter) error {
	for _, c := range values {
		c.Reset()
	}
	if len(values) > 0 && &values[0] == &w.outPartials[0] {
		set.AppendPartial(values, groups)
	} else {
		set.AppendResult(values, groups)
	}
	return emit(w.outKeys, values, len(groups))
}

// Drop forgets a namespace, in memory and in the store.
func (w *Windowed) Drop(ns int64) error {
	s := w.spaces[ns]
	if s == nil {
		return nil
	}
	delete(w.spaces, ns)
	if at, ok := slices.BinarySearch(w.order, ns); ok {
		w.order = slices.Delete(w.order, at, at+1)
	}
	w.mem -= s.mem
	for kg := range s.kgs {
		lo := stateKey(nil, kg, ns)
		if err := w.store.DeleteRange(lo, nsEnd(lo)); err != nil {
			return fmt.Errorf("drop namespace %d: %w", ns, err)
		}
	}
	s.reset()
	s.spilled = false
	clear(s.kgs)
	// A large one's memory goes back to the garbage collector, small ones serve the next namespaces.
	if len(w.free) < maxFree && (w.o.BudgetBytes <= 0 || s.mem < w.o.BudgetBytes/(4*maxFree)) {
		w.free = append(w.free, s)
	}
	return nil
}

// Merge moves everything of namespace src, as newer, into dst and drops src.
func (w *Windowed) Merge(dst, src int64) error {
	from := w.spaces[src]
	if from == nil || dst == src {
		return nil
	}
	to, err := w.space(dst)
	if err != nil {
		return err
	}
	if from.spilled {
		// Complete it in the store first, so that making room for dst on the way cannot change what is still to be read.
		if err := w.write(from); err != nil {
			return fmt.Errorf("merge namespace %d: %w", src, err)
		}
		for kg := range from.kgs {
			if err := w.mergeStored(to, from, kg); err != nil {
				return err
			}
		}
	} else {
		w.mergeMemory(to, from, nil)
	}
	if err := w.Drop(src); err != nil {
		return err
	}
	return w.grown(to)
}

// maxFree is how many emptied namespaces are kept for reuse.
const maxFree = 4
