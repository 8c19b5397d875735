package table

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/enc"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// prefixBytes is the key group and the namespace before a key in the store.
const prefixBytes = 10

// applyBytes is how large a batch of writes gets before it is applied.
const applyBytes = 256 << 10

// stateKey appends the prefix of a store key. Flipping the sign bit makes byte order the order of the times.
func stateKey(dst []byte, kg stream.KeyGroup, ns int64) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(kg))
	return binary.BigEndian.AppendUint64(dst, uint64(ns)^1<<63)
}

// nsEnd returns the first key after all keys with the prefix.
func nsEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end
		}
	}
	return append(end, 0xff) // all ones: no key group is that high
}

// merge is the store's merge function.
func (w *Windowed) merge(dst, _, older, newer []byte) ([]byte, error) {
	return w.merger.MergeEncoded(dst, older, newer)
}

func (w *Windowed) open() error {
	if w.store != nil {
		return nil
	}
	if w.o.Open == nil {
		return fmt.Errorf("state table has no store")
	}
	s, err := w.o.Open(w.merge)
	if err != nil {
		return fmt.Errorf("open state: %w", err)
	}
	w.store = s
	return nil
}

// relieve writes namespaces out, the largest first, until the budget holds. active, which has just grown, keeps its
// buffers when it is by far the largest: it will fill them again at once.
func (w *Windowed) relieve(active *space) error {
	if active.tab.Full() {
		if err := w.spill(active, false); err != nil {
			return err
		}
	}
	w.free = nil
	for w.o.BudgetBytes > 0 && w.mem > w.o.BudgetBytes {
		var victim *space
		for _, s := range w.spaces {
			if victim == nil || s.mem > victim.mem || s.mem == victim.mem && s.ns < victim.ns {
				victim = s
			}
		}
		if victim.mem <= minSpaceBytes {
			return nil // many small namespaces: writing them out frees nothing
		}
		keep := victim == active && victim.mem > w.mem/4*3 && w.mem < w.o.BudgetBytes/4*5
		if err := w.spill(victim, keep); err != nil || keep {
			return err
		}
	}
	return nil
}

// minSpaceBytes is about what an empty namespace takes.
const minSpaceBytes = 8 << 10

// spill writes a namespace to the store and empties it.
func (w *Windowed) spill(s *space, keep bool) error {
	w.spills++
	if err := w.write(s); err != nil {
		return fmt.Errorf("spill namespace %d: %w", s.ns, err)
	}
	s.spilled = true
	if keep {
		s.reset()
		return nil
	}
	set, err := agg.New(w.o.Aggs, w.o.Retract)
	if err != nil {
		return err
	}
	s.tab, s.set, s.dirty = New(w.o.Keys), set, nil
	w.account(s)
	return nil
}

// write tells the store of all dirty groups of s, as merges if it has spilled, else as their whole values.
func (w *Windowed) write(s *space) error {
	if err := w.open(); err != nil {
		return err
	}
	op := state.OpSet
	if s.spilled {
		op = state.OpMerge
	}
	for g, d := range s.dirty {
		if d == 0 {
			continue
		}
		s.dirty[g] = 0
		kg := s.tab.KeyGroup(int32(g), w.o.MaxParallelism)
		s.kgs[kg] = true
		w.kbuf = s.tab.EncodeKey(stateKey(w.kbuf[:0], kg, s.ns), int32(g))
		w.vbuf = s.set.Encode(w.vbuf[:0], int32(g))
		w.writes.Add(op, w.kbuf, w.vbuf)
		if s.spilled {
			s.set.Clear(int32(g)) // the store has it now: memory starts again from nothing
		}
		if w.writes.SizeBytes() >= applyBytes {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return w.flush()
}

func (w *Windowed) flush() error {
	if w.writes.Len() == 0 {
		return nil
	}
	err := w.store.Apply(&w.writes)
	w.writes.Reset()
	return err
}

// Snapshot writes everything that has changed to the store, and keeps it hot. The caller then snapshots the store.
func (w *Windowed) Snapshot() error {
	if w.o.Open == nil {
		return nil
	}
	if len(w.order) > 0 {
		if err := w.open(); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
		if err := w.refill(); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
	}
	for _, ns := range w.order {
		if err := w.write(w.spaces[ns]); err != nil {
			return fmt.Errorf("snapshot namespace %d: %w", ns, err)
		}
	}
	return nil
}

// refill has everything written while memory has everything, when the store wants that.
func (w *Windowed) refill() error {
	r, ok := w.store.(state.Refiller)
	if !ok {
		return nil
	}
	changed, all := 0, 0
	for _, s := range w.spaces {
		if s.spilled {
			return nil
		}
		all += len(s.dirty)
		for _, d := range s.dirty {
			changed += int(d)
		}
	}
	whole, err := r.Refill(changed, all)
	if err != nil || !whole {
		return err
	}
	for _, s := range w.spaces {
		clear(s.kgs)
		for g := range s.dirty {
			s.dirty[g] = 1
		}
	}
	return nil
}

// Restore finds the namespaces in the store, after the runtime has put a checkpoint there. The table is empty before.
func (w *Windowed) Restore() error {
	if err := w.open(); err != nil {
		return err
	}
	for kg := w.o.KeyRange.First; kg < w.o.KeyRange.Limit; kg++ {
		lo := binary.BigEndian.AppendUint16(nil, uint16(kg))
		hi := nsEnd(lo)
		for {
			key, err := firstKey(w.store, lo, hi)
			if err != nil {
				return fmt.Errorf("restore key group %d: %w", kg, err)
			}
			if key == nil {
				break
			}
			if len(key) < prefixBytes {
				return fmt.Errorf("restore key group %d: key of %d bytes", kg, len(key))
			}
			s, err := w.space(int64(binary.BigEndian.Uint64(key[2:]) ^ 1<<63))
			if err != nil {
				return err
			}
			s.spilled, s.kgs[kg] = true, true
			lo = nsEnd(key[:prefixBytes])
		}
	}
	return nil
}

// firstKey returns a copy of the first key in [lo, hi), or nil.
func firstKey(s state.Store, lo, hi []byte) ([]byte, error) {
	it, err := s.Iter(lo, hi)
	if err != nil {
		return nil, err
	}
	var key []byte
	if it.Next() {
		key = append(key, it.Key()...)
	}
	err = it.Err()
	if cerr := it.Close(); err == nil {
		err = cerr
	}
	return key, err
}

// scan reads up to vec.MaxRows entries of [lo, hi) into outKeys and chunk, whose groups are the rows. It returns the rows, and where to go
// on, nil at the end. No iterator stays open, so that whoever gets the rows may write to the store.
func (w *Windowed) scan(lo, hi []byte) (n int, next []byte, err error) {
	for _, c := range w.outKeys {
		c.Reset()
	}
	w.chunk.Reset()
	w.chunk.Resize(vec.MaxRows)
	it, err := w.store.Iter(lo, hi)
	if err != nil {
		return 0, nil, err
	}
	defer func() {
		if cerr := it.Close(); err == nil {
			err = cerr
		}
	}()
	size := 0
	for it.Next() {
		key := it.Key()
		if n == vec.MaxRows || size > vec.TargetBytes {
			return n, append([]byte(nil), key...), nil
		}
		size += len(key)
		rest, err := DecodeKey(key[prefixBytes:], w.outKeys)
		if err != nil || len(rest) > 0 {
			return 0, nil, fmt.Errorf("key %x of the state store: %w", key, errCorrupt(err))
		}
		if rest, err = w.chunk.Decode(it.Value(), int32(n)); err != nil || len(rest) > 0 {
			return 0, nil, fmt.Errorf("value of key %x of the state store: %w", key, errCorrupt(err))
		}
		n++
	}
	return n, nil, it.Err()
}

// emitStored emits a spilled namespace: the rest goes to the store too, and all comes from there in key order, a part at a time.
func (w *Windowed) emitStored(s *space, values []*vec.Col, emit Emitter) error {
	if err := w.write(s); err != nil {
		return fmt.Errorf("complete namespace %d: %w", s.ns, err)
	}
	for _, kg := range slices.Sorted(maps.Keys(s.kgs)) {
		lo := stateKey(nil, kg, s.ns)
		for hi := nsEnd(lo); lo != nil; {
			n, next, err := w.scan(lo, hi)
			if err != nil {
				return err
			}
			if n > 0 {
				if err := w.hand(w.chunk, w.rows(0, n), values, emit); err != nil {
					return err
				}
			}
			lo = next
		}
	}
	return nil
}

// emitByKeyGroup puts several namespaces together, one key group after the other, so that only one key group's keys are in memory beside
// what is hot.
func (w *Windowed) emitByKeyGroup(spaces []*space, values []*vec.Col, emit Emitter) error {
	hot := make([]buckets, len(spaces))
	for i, s := range spaces {
		hot[i] = w.bucket(s)
	}
	for kg := range stream.KeyGroup(w.o.MaxParallelism) {
		if !slices.ContainsFunc(spaces, func(s *space) bool { return s.kgs[kg] }) && !hotIn(hot, kg) {
			continue
		}
		tmp, err := w.temp()
		if err != nil {
			return err
		}
		for i, s := range spaces {
			if s.spilled && s.kgs[kg] {
				if err := w.mergeStored(tmp, s, kg); err != nil {
					return err
				}
			}
			if list := hot[i].of(kg); len(list) > 0 {
				w.mergeMemory(tmp, s, list)
			}
		}
		if err := w.emitSpace(tmp, values, emit); err != nil {
			return err
		}
	}
	if b := tmpKeepBytes; w.tmp.tab.MemBytes()+w.tmp.set.MemBytes() > int64(b) {
		w.tmp = nil
	}
	return nil
}

// tmpKeepBytes is how large the space for merging may be to be kept for the next time.
const tmpKeepBytes = 1 << 20

func (w *Windowed) mergeStored(dst, s *space, kg stream.KeyGroup) error {
	lo := stateKey(nil, kg, s.ns)
	for hi := nsEnd(lo); lo != nil; {
		n, next, err := w.scan(lo, hi)
		if err != nil {
			return err
		}
		w.groups = growInts(w.groups, n)
		groups := w.groups[:n]
		dst.tab.Groups(w.outKeys, nil, nil, groups)
		dst.set.Resize(dst.tab.Len())
		dst.set.Merge(groups, w.chunk, w.rows(0, n))
		w.changed(dst, groups)
		if dst != w.tmp {
			if err := w.grown(dst); err != nil {
				return err
			}
		}
		lo = next
	}
	return nil
}

// buckets are a namespace's groups ordered by key group: those of kg are groups[at[kg]:at[kg+1]].
type buckets struct {
	groups, at []int32
}

func (b buckets) of(kg stream.KeyGroup) []int32 { return b.groups[b.at[kg]:b.at[kg+1]] }

// hotIn reports whether one of the namespaces has a hot key in the key group.
func hotIn(hot []buckets, kg stream.KeyGroup) bool {
	return slices.ContainsFunc(hot, func(b buckets) bool { return len(b.of(kg)) > 0 })
}

// bucket sorts the groups of s by key group.
func (w *Windowed) bucket(s *space) buckets {
	b := buckets{make([]int32, s.tab.Len()), make([]int32, w.o.MaxParallelism+2)}
	for _, h := range s.tab.hashes {
		b.at[int(stream.KeyGroupOf(h, w.o.MaxParallelism))+2]++
	}
	for i := 2; i < len(b.at); i++ {
		b.at[i] += b.at[i-1]
	}
	for g, h := range s.tab.hashes {
		i := int(stream.KeyGroupOf(h, w.o.MaxParallelism)) + 1
		b.groups[b.at[i]] = int32(g)
		b.at[i]++
	}
	return b
}

// errCorrupt is err, or what to say when there is none but bytes were left over.
func errCorrupt(err error) error {
	if err != nil {
		return err
	}
	return enc.ErrCorrupt
}
