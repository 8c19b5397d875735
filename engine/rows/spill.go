package rows

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/enc"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/table"
	"github.com/bramble-stream/bramble/engine/vec"
)

const (
	// prefixBytes is the key group and the namespace before side and key in the store, seqBytes the number behind them.
	prefixBytes = 10
	seqBytes    = 8
	// applyBytes is how large a batch of writes gets before it is applied.
	applyBytes = 256 << 10
	// maxFree is how many emptied namespaces are kept for reuse.
	maxFree = 4
	// filterBytesMin is how much may be spent at least on knowing which keys are in the store; otherwise a quarter of the budget. scanRowsMax is how many
	// rows are read at a restore to learn it.
	filterBytesMin = 1 << 20
	scanRowsMax    = 2 << 20
	// compactRows is how many removed rows are left lying at least.
	compactRows = 1024
)

// spacePrefix appends the key group and the namespace. Flipping the sign bit makes byte order the order of the times.
func spacePrefix(dst []byte, kg stream.KeyGroup, ns int64) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(kg))
	return binary.BigEndian.AppendUint64(dst, uint64(ns)^1<<63)
}

// after returns the first key after all keys with the prefix.
func after(prefix []byte) []byte {
	end := slices.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end
		}
	}
	return append(end, 0xff) // all ones: no key group is that high
}

func (sp *Space) keyGroup(g int32) stream.KeyGroup {
	return sp.tab.KeyGroup(g, sp.st.o.MaxParallelism)
}

// groupKey is the key of a group's rows up to their number, in the Store's buffer.
func (sp *Space) groupKey(in int, g int32) []byte {
	s := sp.st
	s.kbuf = append(spacePrefix(s.kbuf[:0], sp.keyGroup(g), sp.ns), byte(in))
	s.kbuf = sp.tab.EncodeKey(s.kbuf, g)
	return s.kbuf
}

func (sp *Space) rowKey(in int, row int32) []byte {
	d := &sp.sides[in]
	s := sp.st
	s.kbuf = binary.BigEndian.AppendUint64(sp.groupKey(in, d.group[row]), d.seq[row])
	return s.kbuf
}

func (s *Store) open() error {
	if s.store != nil {
		return nil
	}
	if s.o.Open == nil {
		return fmt.Errorf("rows have no state store")
	}
	st, err := s.o.Open(func(dst, _, _, newer []byte) ([]byte, error) { return append(dst, newer...), nil })
	if err != nil {
		return fmt.Errorf("open state: %w", err)
	}
	s.store = st
	return nil
}

// flush applies what was written so far; it comes before every read.
func (s *Store) flush() error {
	if s.writes.Len() == 0 {
		return nil
	}
	if err := s.open(); err != nil {
		return err
	}
	err := s.store.Apply(&s.writes)
	s.writes.Reset()
	return err
}

// write tells the store of all rows of the space that it does not know.
func (sp *Space) write() error {
	if sp.st.o.Chunks {
		return sp.writeChunks()
	}
	s := sp.st
	for in := range sp.sides {
		d := &sp.sides[in]
		for row, f := range d.flags {
			if f&(flagDirty|flagDead) != flagDirty {
				continue
			}
			d.flags[row] = flagStored
			sp.kgs[sp.keyGroup(d.group[row])] = true
			s.vbuf = d.encode(binary.AppendUvarint(s.vbuf[:0], uint64(uint32(d.count[row]))), row)
			if err := s.put(sp.rowKey(in, int32(row))); err != nil {
				return err
			}
		}
	}
	return s.flush()
}

// put writes vbuf under a key.
func (s *Store) put(key []byte) error {
	s.writes.Add(state.OpSet, key, s.vbuf)
	if s.writes.SizeBytes() >= applyBytes {
		return s.flush()
	}
	return nil
}

// encode appends a row's stamp and columns.
func (d *side) encode(dst []byte, row int) []byte {
	dst = binary.AppendVarint(dst, d.stamp[row])
	for _, c := range d.cols {
		dst = enc.Append(dst, c, row)
	}
	return dst
}

// add appends what is kept beside the columns of a stored row, which have been appended.
func (sp *Space) add(in int, g int32, seq uint64, count int32, stamp int64) int32 {
	d := &sp.sides[in]
	row := int32(len(d.seq))
	d.group, d.seq = append(d.group, g), append(d.seq, seq)
	d.count, d.stamp = append(d.count, count), append(d.stamp, stamp)
	d.flags, d.chain = append(d.flags, flagStored), append(d.chain, 0)
	if sp.st.o.Hashed {
		d.back = append(d.back, 0)
	}
	return row
}

// hashStored hashes the rows from base on, once they are all there.
func (sp *Space) hashStored(in int, base int32) {
	s, d := sp.st, &sp.sides[in]
	if !s.o.Hashed {
		return
	}
	var one [1]uint64
	var sel [1]int
	for row := int(base); row < len(d.seq); row++ {
		sel[0] = row
		vec.Hash(d.cols, sel[:], one[:])
		d.hash = append(d.hash, uint32(one[0]>>32))
	}
	d.index.add(d, base)
}

// Load sees to it that all rows of the groups on a side are in memory. It costs nothing while the space has not spilled.
func (sp *Space) Load(in int, groups []int32) error {
	if !sp.spilled {
		return nil
	}
	bit := uint8(1) << in
	for _, g := range groups {
		if g < 0 || sp.loaded[g]&bit != 0 || sp.born[g] == 0 {
			continue
		}
		if err := sp.load(in, g); err != nil {
			return fmt.Errorf("load rows: %w", err)
		}
		sp.loaded[g] |= bit
	}
	return nil
}

// load puts a group's stored rows before those that are in memory.
func (sp *Space) load(in int, g int32) (err error) {
	s, d := sp.st, &sp.sides[in]
	if !sp.kgs[sp.keyGroup(g)] || !sp.stored.mayHave(sp.groupKey(in, g)[prefixBytes:]) {
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	lo := slices.Clone(sp.groupKey(in, g))
	n := len(lo)
	hi := binary.BigEndian.AppendUint64(slices.Clone(lo), sp.born[g])
	it, err := s.store.Iter(lo, hi)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := it.Close(); err == nil {
			err = cerr
		}
	}()
	base, last := int32(len(d.seq)), int32(-1)
	head, tail := d.head[g], d.tail[g]
	d.head[g], d.tail[g] = 0, 0
	for it.Next() {
		key := it.Key()
		if len(key) != n+seqBytes {
			return fmt.Errorf("key %x of the state store: %w", key, enc.ErrCorrupt)
		}
		before := int32(len(d.seq))
		if err := sp.addStored(in, g, binary.BigEndian.Uint64(key[n:]), it.Value()); err != nil {
			return fmt.Errorf("value of key %x of the state store: %w", key, err)
		}
		last = int32(len(d.seq)) - 1
		if last > before && !s.o.Chunks { // more than one row
			sp.unchunk(in, before, key)
		}
	}
	if head != 0 {
		if last >= 0 {
			d.chain[last] = head
			if d.back != nil {
				d.back[head-1] = last + 1
			}
		} else {
			d.head[g] = head
		}
		d.tail[g] = tail
	}
	sp.hashStored(in, base)
	sp.arrange(in, g)
	return it.Err()
}

// arrange puts a group's list, which is in order of arrival, into the order that Options ask for.
func (sp *Space) arrange(in int, g int32) {
	order := sp.st.o.Order
	if order == nil || in != 0 {
		return
	}
	d := &sp.sides[in]
	var list []int32
	for r := d.head[g] - 1; r >= 0; r = d.chain[r] - 1 {
		list = append(list, r)
	}
	if sp.st.o.LastFirst {
		slices.Reverse(list)
	}
	slices.SortStableFunc(list, func(i, j int32) int { return order(d.cols, int(i), int(j)) })
	sp.Relink(g, list)
	sp.lead[g] = int32(min(len(list), sp.st.o.Lead))
}

// Trim brings the Store back into its budget, if it is beyond, and makes good for removed rows. Groups and rows are void afterwards.
func (s *Store) Trim() error {
	mem := int64(0)
	for _, sp := range s.spaces {
		if sp.full() && s.o.Open != nil {
			if err := sp.spill(); err != nil {
				return err
			}
		}
		sp.compact()
		mem += sp.mem
	}
	if s.writes.SizeBytes() >= applyBytes {
		if err := s.flush(); err != nil {
			return err
		}
	}
	for s.o.BudgetBytes > 0 && s.o.Open != nil && mem > s.o.BudgetBytes {
		var victim *Space
		for _, sp := range s.spaces {
			if victim == nil || sp.mem > victim.mem || sp.mem == victim.mem && sp.ns < victim.ns {
				victim = sp
			}
		}
		if victim == nil || victim.tab.Len() == 0 {
			return nil
		}
		s.free = nil
		mem -= victim.mem
		if err := victim.spill(); err != nil {
			return err
		}
		mem += victim.mem
	}
	return nil
}

// spill writes the space to the store and empties it, but for up to half of the rows: those of keys that have come since the last time. The others are
// read back when they come.
func (sp *Space) spill() error {
	sp.st.spills++
	if err := sp.write(); err != nil {
		return fmt.Errorf("spill namespace %d: %w", sp.ns, err)
	}
	sp.spilled = true
	for g := range int32(sp.tab.Len()) {
		for in := range sp.sides {
			if sp.sides[in].head[g] != 0 {
				sp.stored.add(sp.groupKey(in, g)[prefixBytes:])
			}
		}
	}
	sp.stored.limit(max(filterBytesMin, sp.st.o.BudgetBytes/4))
	sp.rebuild(sp.recent())
	return nil
}

// recent lists the groups to keep, ascending: the newest ones of those that were used.
func (sp *Space) recent() []int {
	room := 0
	for i := range sp.sides {
		room += len(sp.sides[i].seq)
	}
	room /= 2
	var keep []int
	for g := sp.tab.Len() - 1; g >= 0 && len(keep) < sp.tab.Len()/2; g-- {
		if sp.loaded[g]&usedBit == 0 {
			continue
		}
		sp.loaded[g] &^= usedBit
		n := 1
		for in := range sp.sides {
			for r := sp.sides[in].head[g] - 1; r >= 0; r = sp.sides[in].chain[r] - 1 {
				n++
			}
		}
		if room -= n; room < 0 {
			break
		}
		keep = append(keep, g)
	}
	slices.Reverse(keep)
	return keep
}

// compact drops removed rows, and keys without rows, once they are more than what is left.
func (sp *Space) compact() {
	dead, rows := 0, 0
	for i := range sp.sides {
		dead, rows = dead+sp.sides[i].dead, rows+len(sp.sides[i].seq)
	}
	if dead <= compactRows || 2*dead <= rows {
		return
	}
	var sel []int
	for g := range int32(sp.tab.Len()) {
		if slices.ContainsFunc(sp.sides, func(d side) bool { return d.head[g] != 0 }) {
			sel = append(sel, int(g))
		}
	}
	sp.rebuild(sel)
}

// rebuild gives the space new memory with the listed groups, ascending, and their rows.
func (sp *Space) rebuild(sel []int) {
	old := *sp
	sp.clear()
	groups := make([]int32, vec.MaxRows)
	for at := 0; at < len(sel); at += vec.MaxRows {
		part := sel[at:min(at+vec.MaxRows, len(sel))]
		sp.tab.Groups(old.tab.Keys(), part, nil, groups[:len(part)])
		sp.grow()
		for k, g := range part {
			sp.born[groups[k]], sp.loaded[groups[k]], sp.lead[groups[k]] = old.born[g], old.loaded[g], old.lead[g]
		}
	}
	for in := range old.sides {
		sp.sides[in].take(&old.sides[in], sel)
	}
	sp.Account()
}

// take copies the rows of the groups listed from another side, which become groups 0, 1, … here.
func (d *side) take(from *side, groups []int) {
	var rows []int
	for to, g := range groups {
		for r := from.head[g] - 1; r >= 0; r = from.chain[r] - 1 {
			row := int32(len(rows))
			rows = append(rows, int(r))
			d.group, d.seq = append(d.group, int32(to)), append(d.seq, from.seq[r])
			d.count, d.stamp = append(d.count, from.count[r]), append(d.stamp, from.stamp[r])
			d.flags, d.chain = append(d.flags, from.flags[r]), append(d.chain, 0)
			if from.hash != nil {
				d.hash, d.back = append(d.hash, from.hash[r]), append(d.back, 0)
			}
			d.link(int32(to), row)
		}
	}
	if len(rows) == 0 {
		return
	}
	if d.hash != nil {
		d.index.add(d, 0)
	}
	for i, c := range d.cols {
		c.AppendSel(from.cols[i], rows)
	}
}

// Drop forgets a namespace, in memory and in the store.
func (s *Store) Drop(ns int64) error {
	sp := s.spaces[ns]
	if sp == nil {
		return nil
	}
	delete(s.spaces, ns)
	if at, ok := slices.BinarySearch(s.order, ns); ok {
		s.order = slices.Delete(s.order, at, at+1)
	}
	if len(sp.kgs) > 0 {
		if err := s.flush(); err != nil {
			return err
		}
		if err := s.open(); err != nil {
			return err
		}
	}
	for kg := range sp.kgs {
		lo := spacePrefix(nil, kg, ns)
		if err := s.store.DeleteRange(lo, after(lo)); err != nil {
			return fmt.Errorf("drop namespace %d: %w", ns, err)
		}
	}
	clear(sp.kgs)
	sp.stored = filters{}
	small := len(s.free) < maxFree && (s.o.BudgetBytes <= 0 || sp.mem < s.o.BudgetBytes/(4*maxFree)) && !sp.spilled
	sp.spilled = false
	if small {
		sp.reset()
		s.free = append(s.free, sp)
	}
	return nil
}

// reset empties the space and keeps its memory.
func (sp *Space) reset() {
	sp.tab.Reset()
	sp.born, sp.loaded, sp.lead = sp.born[:0], sp.loaded[:0], sp.lead[:0]
	for i := range sp.sides {
		d := &sp.sides[i]
		for _, c := range d.cols {
			c.Reset()
		}
		d.head, d.tail, d.chain = d.head[:0], d.tail[:0], d.chain[:0]
		d.group, d.seq, d.hash, d.back = d.group[:0], d.seq[:0], d.hash[:0], d.back[:0]
		d.index.reset()
		d.count, d.stamp, d.flags, d.dead = d.count[:0], d.stamp[:0], d.flags[:0], 0
	}
}

// Each hands all rows of a namespace to f, in one part while they are in memory, else a key group at a time; each key is in one part only. The
// part is f's until it returns. The namespace has no rows left in memory afterwards if it had spilled.
func (s *Store) Each(ns int64, f func(part *Space) error) error {
	sp := s.spaces[ns]
	if sp == nil {
		return nil
	}
	if !sp.spilled {
		return f(sp)
	}
	if err := sp.write(); err != nil {
		return fmt.Errorf("complete namespace %d: %w", ns, err)
	}
	sp.clear()
	sp.stored = filters{blind: true}
	for kg := s.o.KeyRange.First; kg < s.o.KeyRange.Limit; kg++ {
		if !sp.kgs[kg] {
			continue
		}
		part := s.newSpace(ns)
		if err := part.loadKeyGroup(kg); err != nil {
			return fmt.Errorf("load namespace %d: %w", ns, err)
		}
		if err := f(part); err != nil {
			return err
		}
	}
	return nil
}

// loadKeyGroup reads all rows of a key group of the namespace.
func (sp *Space) loadKeyGroup(kg stream.KeyGroup) (err error) {
	s := sp.st
	lo := spacePrefix(nil, kg, sp.ns)
	it, err := s.store.Iter(lo, after(lo))
	if err != nil {
		return err
	}
	defer func() {
		if cerr := it.Close(); err == nil {
			err = cerr
		}
	}()
	key := make([]*vec.Col, len(s.o.Keys))
	for i, t := range s.o.Keys {
		key[i] = vec.NewCol(t)
	}
	for it.Next() {
		k := it.Key()
		if len(k) < prefixBytes+1+seqBytes || int(k[prefixBytes]) >= len(sp.sides) {
			return fmt.Errorf("key %x of the state store: %w", k, enc.ErrCorrupt)
		}
		for _, c := range key {
			c.Reset()
		}
		rest, err := table.DecodeKey(k[prefixBytes+1:], key)
		if err != nil || len(rest) != seqBytes {
			return fmt.Errorf("key %x of the state store: %w", k, enc.ErrCorrupt)
		}
		in := int(k[prefixBytes])
		g := sp.Groups(key, nil, 1, nil)[0]
		if err := sp.addStored(in, g, binary.BigEndian.Uint64(rest), it.Value()); err != nil {
			return fmt.Errorf("value of key %x of the state store: %w", k, err)
		}
	}
	for in := range sp.sides {
		sp.hashStored(in, 0)
	}
	for g := range int32(sp.tab.Len()) {
		sp.arrange(0, g)
	}
	return it.Err()
}

// Snapshot writes everything that has changed to the state store, and keeps it in memory. The bytes it returns belong into the operator's own
// snapshot.
func (s *Store) Snapshot() ([]byte, error) {
	own := binary.BigEndian.AppendUint64(nil, s.next)
	if s.o.Open == nil {
		return own, nil
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	if err := s.refill(); err != nil {
		return nil, err
	}
	for _, ns := range s.order {
		if err := s.spaces[ns].write(); err != nil {
			return nil, fmt.Errorf("snapshot namespace %d: %w", ns, err)
		}
	}
	return own, s.flush()
}

// refill has everything written while memory has everything, when the store wants that.
func (s *Store) refill() error {
	r, ok := s.store.(state.Refiller)
	if !ok {
		return nil
	}
	changed, all := s.writes.Len(), 0
	for _, sp := range s.spaces {
		if sp.spilled {
			return nil
		}
		for in := range sp.sides {
			d := &sp.sides[in]
			all += len(d.flags) - d.dead
			for _, f := range d.flags {
				if f&(flagDirty|flagDead) == flagDirty {
					changed++
				}
			}
		}
	}
	whole, err := r.Refill(changed, all)
	if err != nil || !whole {
		return err
	}
	s.writes.Reset()
	for _, sp := range s.spaces {
		clear(sp.kgs)
		for in := range sp.sides {
			for row, f := range sp.sides[in].flags {
				if f&flagDead == 0 {
					sp.sides[in].flags[row] = flagDirty
				}
			}
		}
	}
	return nil
}

// Restore takes up what is in the state store, after the runtime has put a checkpoint there, with what Snapshot returned in each former task.
func (s *Store) Restore(parts [][]byte) error {
	for _, p := range parts {
		if len(p) != 8 {
			return fmt.Errorf("restore rows: %x is no snapshot", p)
		}
		s.next = max(s.next, binary.BigEndian.Uint64(p))
	}
	if s.o.Open == nil {
		return nil
	}
	if err := s.open(); err != nil {
		return err
	}
	for kg := s.o.KeyRange.First; kg < s.o.KeyRange.Limit; kg++ {
		lo := binary.BigEndian.AppendUint16(nil, uint16(kg))
		for hi := after(lo); ; {
			key, err := s.firstKey(lo, hi)
			if err != nil {
				return fmt.Errorf("restore key group %d: %w", kg, err)
			}
			if key == nil {
				break
			}
			if len(key) < prefixBytes {
				return fmt.Errorf("restore key group %d: key of %d bytes", kg, len(key))
			}
			sp := s.Space(int64(binary.BigEndian.Uint64(key[2:]) ^ 1<<63))
			sp.spilled, sp.kgs[kg] = true, true
			lo = after(key[:prefixBytes])
		}
	}
	return s.learn()
}

// learn reads which keys are in the store, unless they are many.
func (s *Store) learn() (err error) {
	left := scanRowsMax
	for kg := s.o.KeyRange.First; kg < s.o.KeyRange.Limit && left > 0; kg++ {
		if left, err = s.learnKeyGroup(kg, left); err != nil {
			return fmt.Errorf("restore key group %d: %w", kg, err)
		}
	}
	for _, sp := range s.spaces {
		if left == 0 {
			sp.stored = filters{blind: true}
		}
		sp.stored.limit(max(filterBytesMin, s.o.BudgetBytes/4))
	}
	return nil
}

func (s *Store) learnKeyGroup(kg stream.KeyGroup, left int) (int, error) {
	lo := binary.BigEndian.AppendUint16(nil, uint16(kg))
	it, err := s.store.Iter(lo, after(lo))
	if err != nil {
		return 0, err
	}
	for left > 0 && it.Next() {
		left--
		if k := it.Key(); len(k) > prefixBytes+seqBytes {
			s.Space(int64(binary.BigEndian.Uint64(k[2:]) ^ 1<<63)).stored.add(k[prefixBytes : len(k)-seqBytes])
		}
	}
	err = it.Err()
	if cerr := it.Close(); err == nil {
		err = cerr
	}
	return left, err
}

// firstKey returns a copy of the first key in [lo, hi), or nil.
func (s *Store) firstKey(lo, hi []byte) ([]byte, error) {
	it, err := s.store.Iter(lo, hi)
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

// Sweep removes the rows of a key group whose stamp is before the limit, in memory and in the store, of namespace ns. It reads the key group's
// entries, so do it now and then, one key group at a time. In the store a chunk goes when its newest row may.
func (s *Store) Sweep(ns int64, kg stream.KeyGroup, before int64) error {
	sp := s.spaces[ns]
	if sp == nil {
		return nil
	}
	for g := range int32(sp.tab.Len()) {
		if sp.keyGroup(g) != kg {
			continue
		}
		for in := range sp.sides {
			sp.expire(in, g, before)
		}
	}
	if !sp.kgs[kg] {
		return nil
	}
	// What is in memory may have a newer stamp than the store says.
	if err := sp.write(); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return s.sweepStored(kg, ns, before)
}

// expire removes a group's rows in memory whose stamp is before the limit.
func (sp *Space) expire(in int, g int32, before int64) {
	d := &sp.sides[in]
	prev := int32(-1)
	for row := d.head[g] - 1; row >= 0; {
		next := d.chain[row] - 1
		if d.stamp[row] < before {
			sp.Remove(in, row, prev)
		} else {
			prev = row
		}
		row = next
	}
}

func (s *Store) sweepStored(kg stream.KeyGroup, ns, before int64) error {
	lo := spacePrefix(nil, kg, ns)
	it, err := s.store.Iter(lo, after(lo))
	if err != nil {
		return fmt.Errorf("sweep key group %d: %w", kg, err)
	}
	for it.Next() {
		v := it.Value()
		_, k := binary.Uvarint(v)
		if k <= 0 {
			continue
		}
		if stamp, m := binary.Varint(v[k:]); m > 0 && stamp < before {
			s.writes.Add(state.OpDelete, it.Key(), nil)
		}
		if s.writes.SizeBytes() > vec.TargetBytes {
			break // the next sweep goes on
		}
	}
	err = it.Err()
	if cerr := it.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("sweep key group %d: %w", kg, err)
	}
	return s.flush()
}
