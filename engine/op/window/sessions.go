package window

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/table"
	"github.com/bramble-stream/bramble/engine/vec"
)

// payload is what a session holds: accumulators, or rows. Sessions are numbered by slot; slots are reused.
type payload interface {
	resize(slots int)
	// merge combines src, newer, into dst, and empties src.
	merge(dst, src int32) error
	clear(slot int32)
	encode(dst []byte, slot int32) []byte
	// decode fills an empty slot from what encode wrote, and returns what follows it.
	decode(src []byte, slot int32) ([]byte, error)
	memBytes() int64
	// reset drops all slots and their memory.
	reset() error
}

// sessions are the open sessions of all keys. A session is [start, end) where end is its last time plus the gap; sessions of a key that
// touch or overlap are one.
//
// Memory is bounded by a budget: beyond it everything goes to the store, and a key's sessions are read back when it comes again or when one of them ends.
// See sessions_store.go for how they are kept there.
type sessions struct {
	gap     int64
	payload payload
	keys    *table.Table
	types   []vec.Type
	// closed: sessions with ends at or below it have fired. Invariant: all sessions held have later ends.
	closed int64

	// Per key number. head is the first session's slot + 1, 0 for none.
	head    []int32
	dirty   []bool
	stored  []bool
	indexed []int64 // the end under which the store's index has the key, MaxTime for none
	empty   int     // keys without sessions

	// Per slot. next is the next session of the key, slot + 1.
	start, end []int64
	next, kid  []int32
	free       []int32
	live       int
	due        dueHeap

	// beforeMerge is called before payloads are merged: rows that wait to be added to a slot must go there first.
	beforeMerge func() error

	budget   int64
	store    state.Store
	open     func(state.MergeFunc) (state.Store, error)
	keyRange stream.KeyRange
	maxPar   int
	// backed says that the store may know keys that memory does not; cold is a lower bound of the ends in its index.
	backed  bool
	cold    int64
	thawing thawing
	writes  state.Writes
	kids    []int32
	buf     []byte
	val     []byte
}

// due is a session's end at the time when it was entered; it may have moved on since, or the slot may be another session's.
type due struct {
	end  int64
	slot int32
}

// dueHeap is a heap by end with four children a node: half as deep as with two, and no entry is boxed on its way, which container/heap does twice a session.
type dueHeap []due

// dueChildren are next to each other: 64 bytes, a cache line.
const dueChildren = 4

func (d due) before(e due) bool { return d.end < e.end || d.end == e.end && d.slot < e.slot }

func (h *dueHeap) push(d due) {
	*h = append(*h, d)
	q := *h
	i := len(q) - 1
	for i > 0 {
		up := (i - 1) / dueChildren
		if !d.before(q[up]) {
			break
		}
		q[i] = q[up]
		i = up
	}
	q[i] = d
}

// pop removes the first.
func (h *dueHeap) pop() due {
	q := *h
	first, last := q[0], q[len(q)-1]
	q = q[:len(q)-1]
	*h = q
	if len(q) > 0 {
		q[0] = last
		q.sink()
	}
	return first
}

// sink moves the first down to where it belongs.
func (h dueHeap) sink() {
	d, i := h[0], 0
	for {
		least := i*dueChildren + 1
		if least >= len(h) {
			break
		}
		for c := least + 1; c < min(i*dueChildren+1+dueChildren, len(h)); c++ {
			if h[c].before(h[least]) {
				least = c
			}
		}
		if !h[least].before(d) {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = d
}

func newSessions(gap int64, types []vec.Type, p payload) *sessions {
	return &sessions{
		gap: gap, payload: p, types: types, keys: table.New(types), closed: stream.MinTime, cold: stream.MaxTime,
		budget: defaultMemory, beforeMerge: func() error { return nil },
	}
}

// checkGap checks a SESSION windowing.
func checkGap(gap int64) error {
	if gap <= 0 || gap > sizeMax {
		return fmt.Errorf("SESSION: gap of %d ms", gap)
	}
	return nil
}

// lookup returns the number of each row's key, with its sessions read back from the store where they are there. Valid until the next call.
func (s *sessions) lookup(keys []*vec.Col, sel []int, n int) ([]int32, error) {
	for len(s.kids) < n {
		s.kids = append(s.kids, 0)
	}
	kids := s.kids[:n]
	old := s.keys.Len()
	s.keys.Groups(keys, sel, nil, kids)
	for k := old; k < s.keys.Len(); k++ {
		s.head, s.dirty, s.stored = append(s.head, 0), append(s.dirty, false), append(s.stored, false)
		s.indexed = append(s.indexed, stream.MaxTime)
		s.empty++
		if s.backed {
			if err := s.load(int32(k)); err != nil {
				return nil, err
			}
		}
	}
	return kids, nil
}

// place returns the session that a row of a key at time t belongs to, extended, merged or made as need be; ok is false when the row is late: alone it would be
// a session that is closed, and there is no open one that it touches.
func (s *sessions) place(kid int32, t int64) (slot int32, ok bool, err error) {
	lo, hi := t, t+s.gap
	found := int32(-1)
	for link := &s.head[kid]; *link != 0; {
		x := *link - 1
		if lo > s.end[x] || hi < s.start[x] {
			link = &s.next[x]
			continue
		}
		if found < 0 {
			found = x
			link = &s.next[x]
			continue
		}
		if err := s.beforeMerge(); err != nil {
			return 0, false, err
		}
		if err := s.payload.merge(found, x); err != nil {
			return 0, false, fmt.Errorf("merge sessions: %w", err)
		}
		s.start[found], s.end[found] = min(s.start[found], s.start[x]), max(s.end[found], s.end[x])
		*link = s.next[x]
		s.recycle(x)
	}
	if found < 0 {
		if hi <= s.closed {
			return 0, false, nil
		}
		found = s.add(kid, lo, hi)
	} else {
		s.start[found], s.end[found] = min(s.start[found], lo), max(s.end[found], hi)
	}
	s.dirty[kid] = true
	return found, true, nil
}

// add makes a session, the key's last.
func (s *sessions) add(kid int32, lo, hi int64) int32 {
	var x int32
	if n := len(s.free); n > 0 {
		x, s.free = s.free[n-1], s.free[:n-1]
	} else {
		x = int32(len(s.start))
		s.start, s.end = append(s.start, 0), append(s.end, 0)
		s.next, s.kid = append(s.next, 0), append(s.kid, 0)
		s.payload.resize(int(x) + 1)
	}
	s.start[x], s.end[x], s.next[x], s.kid[x] = lo, hi, 0, kid
	link := &s.head[kid]
	if *link == 0 {
		s.empty--
	}
	for *link != 0 {
		link = &s.next[*link-1]
	}
	*link = x + 1
	s.live++
	s.due.push(due{hi, x})
	return x
}

// recycle frees a slot that is out of its key's list.
func (s *sessions) recycle(x int32) {
	s.end[x] = stream.MinTime // what the heap holds of it is void
	s.free = append(s.free, x)
	s.live--
}

// bound is a time before which no session in memory ends, MaxTime when there is none.
func (s *sessions) bound() int64 {
	if len(s.due) == 0 {
		return stream.MaxTime
	}
	return s.due[0].end
}

// settle makes the top of the heap true, and reports whether a session ends at or before limit. Entries beyond it are left as they are: sessions only move on.
func (s *sessions) settle(limit int64) bool {
	for len(s.due) > 0 && s.due[0].end <= limit {
		d := s.due[0]
		switch end := s.end[d.slot]; {
		case end == d.end:
			return true
		case end < d.end: // gone, or another session that has an entry of its own
			s.due.pop()
		default:
			// it has moved on: so does its entry; an entry of a former session in the slot becomes a double, which is harmless
			s.due[0].end = end
			s.due.sink()
		}
	}
	return false
}

// ripe appends to slots up to n sessions in memory that end at or before limit, earliest first. They stay until remove.
func (s *sessions) ripe(slots []int32, limit int64, n int) []int32 {
	limit = min(limit, stream.MaxTime-1) // MaxTime is "none"
	for len(slots) < n && s.settle(limit) {
		d := s.due.pop()
		if k := len(slots); k > 0 && contains(slots, d.slot, s, d.end) {
			continue // a double
		}
		slots = append(slots, d.slot)
	}
	return slots
}

// contains reports whether a slot is among those that end when it does: the last ones.
func contains(slots []int32, slot int32, s *sessions, end int64) bool {
	for i := len(slots) - 1; i >= 0 && s.end[slots[i]] == end; i-- {
		if slots[i] == slot {
			return true
		}
	}
	return false
}

// remove forgets sessions that have fired.
func (s *sessions) remove(slots []int32) {
	for _, x := range slots {
		kid := s.kid[x]
		link := &s.head[kid]
		for *link != x+1 {
			link = &s.next[*link-1]
		}
		*link = s.next[x]
		if s.head[kid] == 0 {
			s.empty++
		}
		s.dirty[kid] = true
		s.payload.clear(x)
		s.recycle(x)
	}
}

// minEnd is the end of the key's session that ends first, MaxTime when it has none.
func (s *sessions) minEnd(kid int32) int64 {
	low := stream.MaxTime
	for x := s.head[kid]; x != 0; x = s.next[x-1] {
		low = min(low, s.end[x-1])
	}
	return low
}

// memBytes is the memory that the sessions hold, by capacity.
func (s *sessions) memBytes() int64 {
	return s.keys.MemBytes() + s.payload.memBytes() + 14*int64(cap(s.head)) + 28*int64(cap(s.start)) + 16*int64(cap(s.due))
}

// crowdedMin is from how many keys without sessions on it pays to forget them.
const crowdedMin = 4096

// trim bounds memory: keys without sessions are forgotten when they are the most, and everything goes to the store when the budget is exceeded.
func (s *sessions) trim() error {
	if n := s.keys.Len(); s.empty > crowdedMin && s.empty > n/2 {
		if err := s.write(); err != nil { // the store must not keep what is forgotten here
			return err
		}
		s.forget()
	}
	if s.open != nil && (s.memBytes() > s.budget || s.keys.Full()) {
		return s.evict()
	}
	return nil
}

// forget drops the keys without sessions from memory.
func (s *sessions) forget() {
	old := *s
	s.keys = table.New(s.types)
	s.head, s.dirty, s.stored, s.indexed = nil, nil, nil, nil
	s.empty = 0
	sel, to := make([]int, 1), make([]int32, 1)
	for k := range old.head {
		if old.head[k] == 0 {
			continue
		}
		sel[0] = k
		s.keys.Groups(old.keys.Keys(), sel, old.keys.Hashes()[k:k+1], to)
		s.head, s.dirty = append(s.head, old.head[k]), append(s.dirty, old.dirty[k])
		s.stored, s.indexed = append(s.stored, old.stored[k]), append(s.indexed, old.indexed[k])
		for x := old.head[k]; x != 0; x = s.next[x-1] {
			s.kid[x-1] = to[0]
		}
	}
}
