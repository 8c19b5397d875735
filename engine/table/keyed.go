package table

import (
	"encoding/binary"
	"fmt"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/enc"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Keyed is aggregates by key without an end in time. Hot keys are in memory; when the budget is exceeded, keys that
// have not been used lately are written to the store, and read back when they come again. In the store a key is
//
//	key group (2 bytes, big-endian) | key
//
// and its value a time stamp of the operator's, then the accumulators. It is used by the task's goroutine alone.
//
// The order of calls for a batch: Groups, then reads and writes of Set and Stamps at the groups it returned, Touch or Remove for what
// changed, and Trim at the end, after which the group numbers mean nothing any more.
type Keyed struct {
	o      Options
	store  state.Store
	tab    *Table
	set    *agg.Set
	stamps []int64
	flags  []uint8
	// backed says that the store may know keys that memory does not.
	backed           bool
	evictions, reads int64

	groups     []int32
	writes     state.Writes
	kbuf, vbuf []byte
}

// The flags of a group.
const (
	// flagDirty: memory differs from what the store has been told.
	flagDirty uint8 = 1 << iota
	// flagDead: removed; the store is told by a delete.
	flagDead
	// flagUsed: looked up since the last eviction.
	flagUsed
	// flagStored: the store has an entry for the key.
	flagStored
)

// NewKeyed returns an empty table.
func NewKeyed(o Options) (*Keyed, error) {
	o = o.withDefaults()
	k := &Keyed{o: o, tab: New(o.Keys)}
	var err error
	if k.set, err = agg.New(o.Aggs, o.Retract); err != nil {
		return nil, err
	}
	return k, nil
}

// Set is the accumulators, by group. Table is the keys.
func (k *Keyed) Set() *agg.Set { return k.set }

// Table maps keys to groups; use Groups of Keyed to add keys.
func (k *Keyed) Table() *Table { return k.tab }

// Stamps is a time for each group, the operator's to use (last update, for a time to live); 0 for a new key.
func (k *Keyed) Stamps() []int64 { return k.stamps }

// Live reports whether the group has not been removed since it was made.
func (k *Keyed) Live(g int32) bool { return k.flags[g]&flagDead == 0 }

// Groups returns the group of each of n rows (sel nil: 0..n-1) of key columns, with state read back from the store where it is
// there; hashes, or nil, is vec.Hash of each row. isNew is told of each group that holds no state yet (a new key, or a removed one that comes
// again), once; it may be nil. The slice is valid until the next call.
func (k *Keyed) Groups(keys []*vec.Col, sel []int, n int, hashes []uint64, isNew func(g int32)) ([]int32, error) {
	k.groups = growInts(k.groups, n)
	out := k.groups[:n]
	old := k.tab.Len()
	k.tab.Groups(keys, sel, hashes, out)
	if n := k.tab.Len(); n > old {
		k.set.Resize(n)
		k.flags = growBytes(k.flags, n)
		for len(k.stamps) < n {
			k.stamps = append(k.stamps, 0)
		}
		if err := k.load(old, isNew); err != nil {
			return nil, err
		}
	}
	for _, g := range out {
		f := k.flags[g]
		if f&flagDead != 0 {
			k.flags[g] = f &^ flagDead
			if isNew != nil {
				isNew(g)
			}
		}
		k.flags[g] |= flagUsed
	}
	return out, nil
}

// load reads the groups from first on from the store.
func (k *Keyed) load(first int, isNew func(g int32)) error {
	for g := int32(first); int(g) < k.tab.Len(); g++ {
		found := false
		if k.backed {
			var err error
			if found, err = k.read(g); err != nil {
				return err
			}
		}
		if !found && isNew != nil {
			isNew(g)
		}
	}
	return nil
}

func (k *Keyed) key(g int32) []byte {
	kg := k.tab.KeyGroup(g, k.o.MaxParallelism)
	k.kbuf = binary.BigEndian.AppendUint16(k.kbuf[:0], uint16(kg))
	k.kbuf = k.tab.EncodeKey(k.kbuf, g)
	return k.kbuf
}

func (k *Keyed) read(g int32) (found bool, err error) {
	k.reads++
	key := k.key(g)
	v, closer, err := k.store.Get(key)
	if err != nil {
		return false, fmt.Errorf("read key %x: %w", key, err)
	}
	if closer == nil && v == nil {
		return false, nil
	}
	if closer != nil {
		defer func() {
			if cerr := closer.Close(); err == nil {
				err = cerr
			}
		}()
	}
	if len(v) < 8 {
		return false, fmt.Errorf("value of key %x of the state store: %w", key, enc.ErrCorrupt)
	}
	k.stamps[g] = int64(binary.LittleEndian.Uint64(v))
	rest, err := k.set.Decode(v[8:], g)
	if err != nil || len(rest) > 0 {
		return false, fmt.Errorf("value of key %x of the state store: %w", key, errCorrupt(err))
	}
	k.flags[g] |= flagStored
	return true, nil
}

// Touch says that the groups' accumulators or stamps have changed.
func (k *Keyed) Touch(groups []int32) {
	for _, g := range groups {
		k.flags[g] |= flagDirty
	}
}

// Remove forgets a group's state. Its number stays valid until Trim; the key, when it comes again, is new.
func (k *Keyed) Remove(g int32) {
	k.set.Clear(g)
	k.stamps[g] = 0
	k.flags[g] |= flagDead | flagDirty
}

// Hot is the number of keys in memory, removed ones included until the next eviction.
func (k *Keyed) Hot() int { return k.tab.Len() }

// Evictions and Reads count evictions, and look-ups in the store.
func (k *Keyed) Evictions() int64 { return k.evictions }

// Reads counts look-ups in the store.
func (k *Keyed) Reads() int64 { return k.reads }

// MemBytes is the memory of the hot keys.
func (k *Keyed) MemBytes() int64 {
	return k.tab.MemBytes() + k.set.MemBytes() + 8*int64(cap(k.stamps)) + int64(cap(k.flags))
}

// Trim brings the table back into its budget, if it is beyond: keys not used since the last eviction go to the store, and if
// these are fewer than a half, older ones too. Group numbers are void afterwards when it returns true.
func (k *Keyed) Trim() (evicted bool, err error) { return k.trim(vec.MaxRows) }

// trim is Trim that keeps tables of up to least keys whatever they take.
func (k *Keyed) trim(least int) (evicted bool, err error) {
	over := k.o.BudgetBytes > 0 && k.MemBytes() > k.o.BudgetBytes && k.tab.Len() > least
	if k.o.Open == nil || !over && !k.tab.Full() {
		return false, nil
	}
	if err := k.write(); err != nil {
		return false, fmt.Errorf("evict: %w", err)
	}
	k.evictions++
	k.backed = true
	room := k.tab.Len() / 2
	var keep []int
	for g := k.tab.Len() - 1; g >= 0 && len(keep) < room; g-- {
		if k.flags[g]&(flagUsed|flagDead) == flagUsed {
			keep = append(keep, g)
		}
	}
	return true, k.retain(keep)
}

// retain keeps the listed groups, descending, and drops the others, which have been written. Kept ones are not "used" any more: who is not
// looked up until the next eviction goes then.
func (k *Keyed) retain(keep []int) error {
	for i, j := 0, len(keep)-1; i < j; i, j = i+1, j-1 {
		keep[i], keep[j] = keep[j], keep[i]
	}
	set, err := agg.New(k.o.Aggs, k.o.Retract)
	if err != nil {
		return err
	}
	tab := New(k.o.Keys)
	stamps, flags := make([]int64, 0, len(keep)), make([]uint8, 0, len(keep))
	groups, src := make([]int32, vec.MaxRows), make([]int32, vec.MaxRows)
	hashes := make([]uint64, vec.MaxRows)
	for at := 0; at < len(keep); at += vec.MaxRows {
		part := keep[at:min(at+vec.MaxRows, len(keep))]
		for i, g := range part {
			src[i], hashes[i] = int32(g), k.tab.hashes[g]
			stamps = append(stamps, k.stamps[g])
			flags = append(flags, k.flags[g]&flagStored)
		}
		n := len(part)
		tab.Groups(k.tab.keys, part, hashes[:n], groups[:n])
		set.Resize(tab.Len())
		set.Merge(groups[:n], k.set, src[:n])
	}
	k.tab, k.set, k.stamps, k.flags = tab, set, stamps, flags
	return nil
}

// merge is the store's merge function; Keyed writes whole values, so the newer one holds.
func (k *Keyed) merge(dst, _, _, newer []byte) ([]byte, error) { return append(dst, newer...), nil }

func (k *Keyed) open() error {
	if k.store != nil {
		return nil
	}
	s, err := k.o.Open(k.merge)
	if err != nil {
		return fmt.Errorf("open state: %w", err)
	}
	k.store = s
	return nil
}

// write tells the store of all dirty groups.
func (k *Keyed) write() error {
	if err := k.open(); err != nil {
		return err
	}
	for g := range int32(k.tab.Len()) {
		f := k.flags[g]
		if f&flagDirty == 0 {
			continue
		}
		k.flags[g] = f &^ flagDirty
		switch {
		case f&flagDead == 0:
			k.flags[g] |= flagStored
			k.vbuf = binary.LittleEndian.AppendUint64(k.vbuf[:0], uint64(k.stamps[g]))
			k.vbuf = k.set.Encode(k.vbuf, g)
			k.writes.Add(state.OpSet, k.key(g), k.vbuf)
		case f&flagStored != 0:
			k.flags[g] &^= flagStored
			k.writes.Add(state.OpDelete, k.key(g), nil)
		}
		if k.writes.SizeBytes() >= applyBytes {
			if err := k.flush(); err != nil {
				return err
			}
		}
	}
	return k.flush()
}

func (k *Keyed) flush() error {
	if k.writes.Len() == 0 {
		return nil
	}
	err := k.store.Apply(&k.writes)
	k.writes.Reset()
	return err
}

// Snapshot writes everything that has changed to the store, and keeps it hot. The caller then snapshots the store.
func (k *Keyed) Snapshot() error {
	if k.o.Open == nil {
		return nil
	}
	err := k.open()
	if err == nil {
		err = k.refill()
	}
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if err := k.write(); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

// refill has everything written while memory has everything, when the store wants that.
func (k *Keyed) refill() error {
	r, ok := k.store.(state.Refiller)
	if !ok || k.backed {
		return nil
	}
	changed, all := 0, 0
	for _, f := range k.flags {
		if f&flagDead == 0 {
			all++
		}
		if f&flagDirty != 0 {
			changed++
		}
	}
	whole, err := r.Refill(changed, all)
	if err != nil || !whole {
		return err
	}
	for g, f := range k.flags {
		if f&flagDead == 0 {
			k.flags[g] |= flagDirty
		}
		k.flags[g] &^= flagStored
	}
	return nil
}

// Restore takes up what is in the store, after the runtime has put a checkpoint there: keys are read when they come.
func (k *Keyed) Restore() error {
	if err := k.open(); err != nil {
		return err
	}
	lo := binary.BigEndian.AppendUint16(nil, uint16(k.o.KeyRange.First))
	hi := binary.BigEndian.AppendUint16(nil, uint16(k.o.KeyRange.Limit))
	key, err := firstKey(k.store, lo, hi)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	k.backed = key != nil
	return nil
}

// Sweep deletes keys of a key group whose stamp is before the limit: the hot ones are marked removed, those in the store deleted.
// It reads the key group's entries, so do it now and then, one key group at a time. It returns how many it has deleted from the store.
func (k *Keyed) Sweep(kg stream.KeyGroup, before int64) (int, error) {
	for g := range int32(k.tab.Len()) {
		if k.flags[g]&flagDead == 0 && k.stamps[g] < before && k.tab.KeyGroup(g, k.o.MaxParallelism) == kg {
			k.Remove(g)
		}
	}
	if k.store == nil || !k.backed {
		return 0, nil
	}
	if err := k.write(); err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	lo := binary.BigEndian.AppendUint16(nil, uint16(kg))
	it, err := k.store.Iter(lo, nsEnd(lo))
	if err != nil {
		return 0, fmt.Errorf("sweep key group %d: %w", kg, err)
	}
	for it.Next() {
		if v := it.Value(); len(v) >= 8 && int64(binary.LittleEndian.Uint64(v)) < before {
			k.writes.Add(state.OpDelete, it.Key(), nil)
		}
		if k.writes.SizeBytes() > vec.TargetBytes {
			break // the next sweep goes on
		}
	}
	err = it.Err()
	if cerr := it.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return 0, fmt.Errorf("sweep key group %d: %w", kg, err)
	}
	n := k.writes.Len()
	return n, k.flush()
}
