package window

import (
	"encoding/binary"
	"fmt"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/enc"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/table"
	"github.com/bramble-stream/bramble/engine/vec"
)

// In the store a key's sessions are one entry, and an index has the key once, under the end of its session that ends first:
//
//	key group (2 bytes) | 0 | key                          -> sessions
//	key group (2 bytes) | 1 | end (8 bytes, ordered) | key -> nothing
//
// What memory knows of a key holds before what the store says.
const (
	spaceSessions = 0
	spaceIndex    = 1
)

func (s *sessions) keyGroup(kid int32) stream.KeyGroup { return s.keys.KeyGroup(kid, s.maxPar) }

// sessionsKey appends the key of a key's entry.
func (s *sessions) sessionsKey(dst []byte, kid int32) []byte {
	dst = append(binary.BigEndian.AppendUint16(dst, uint16(s.keyGroup(kid))), spaceSessions)
	return s.keys.EncodeKey(dst, kid)
}

func appendIndex(dst []byte, g stream.KeyGroup, end int64) []byte {
	dst = append(binary.BigEndian.AppendUint16(dst, uint16(g)), spaceIndex)
	return binary.BigEndian.AppendUint64(dst, uint64(end)^1<<63)
}

const indexPrefix = 11

func (s *sessions) opened() error {
	if s.store != nil {
		return nil
	}
	st, err := s.open(nil)
	if err != nil {
		return fmt.Errorf("open state: %w", err)
	}
	s.store = st
	return nil
}

// load reads the sessions of a key that has just come into memory.
func (s *sessions) load(kid int32) error {
	if err := s.opened(); err != nil {
		return err
	}
	s.buf = s.sessionsKey(s.buf[:0], kid)
	v, closer, err := s.store.Get(s.buf)
	if err != nil {
		return fmt.Errorf("read sessions: %w", err)
	}
	if closer == nil && v == nil {
		return nil
	}
	err = s.decode(kid, v)
	if closer != nil {
		if e := closer.Close(); err == nil {
			err = e
		}
	}
	if err != nil {
		return fmt.Errorf("read sessions of key %x: %w", s.buf, err)
	}
	s.stored[kid] = true
	s.indexed[kid] = s.minEnd(kid)
	return nil
}

// decode makes the sessions of an entry.
func (s *sessions) decode(kid int32, v []byte) error {
	n, k := binary.Uvarint(v)
	if k <= 0 || n > uint64(len(v)) {
		return enc.ErrCorrupt
	}
	v = v[k:]
	for range n {
		lo, k := binary.Varint(v)
		if k <= 0 {
			return enc.ErrCorrupt
		}
		hi, m := binary.Varint(v[k:])
		if m <= 0 || hi < lo {
			return enc.ErrCorrupt
		}
		x := s.add(kid, lo, hi)
		var err error
		if v, err = s.payload.decode(v[k+m:], x); err != nil {
			return err
		}
	}
	if len(v) > 0 {
		return enc.ErrCorrupt
	}
	return nil
}

// write brings the store up to date with memory.
func (s *sessions) write() error {
	if s.open == nil {
		return nil
	}
	if err := s.opened(); err != nil {
		return err
	}
	s.writes.Reset()
	for k := range s.head {
		s.writeKey(int32(k))
		if s.writes.SizeBytes() > writeBytes {
			if err := s.apply(); err != nil {
				return err
			}
		}
	}
	return s.apply()
}

// writeBytes is how much is written to the store at once.
const writeBytes = 256 << 10

func (s *sessions) writeKey(kid int32) {
	if s.dirty[kid] {
		s.dirty[kid] = false
		s.buf = s.sessionsKey(s.buf[:0], kid)
		switch {
		case s.head[kid] != 0:
			s.stored[kid] = true
			s.writes.Add(state.OpSet, s.buf, s.encode(kid))
		case s.stored[kid]:
			s.stored[kid] = false
			s.writes.Add(state.OpDelete, s.buf, nil)
		}
	}
	end := s.minEnd(kid)
	if end == s.indexed[kid] {
		return
	}
	if old := s.indexed[kid]; old != stream.MaxTime {
		s.buf = s.keys.EncodeKey(appendIndex(s.buf[:0], s.keyGroup(kid), old), kid)
		s.writes.Add(state.OpDelete, s.buf, nil)
	}
	if end != stream.MaxTime {
		s.buf = s.keys.EncodeKey(appendIndex(s.buf[:0], s.keyGroup(kid), end), kid)
		s.writes.Add(state.OpSet, s.buf, nil)
	}
	s.indexed[kid] = end
}

func (s *sessions) encode(kid int32) []byte {
	n := 0
	for x := s.head[kid]; x != 0; x = s.next[x-1] {
		n++
	}
	v := binary.AppendUvarint(s.val[:0], uint64(n))
	for x := s.head[kid]; x != 0; x = s.next[x-1] {
		v = binary.AppendVarint(v, s.start[x-1])
		v = binary.AppendVarint(v, s.end[x-1])
		v = s.payload.encode(v, x-1)
	}
	s.val = v
	return v
}

func (s *sessions) apply() error {
	if s.writes.Len() == 0 {
		return nil
	}
	err := s.store.Apply(&s.writes)
	s.writes.Reset()
	if err != nil {
		return fmt.Errorf("write sessions: %w", err)
	}
	return nil
}

// evict writes everything to the store and empties memory.
func (s *sessions) evict() error {
	if err := s.write(); err != nil {
		return err
	}
	for k := range s.indexed {
		s.cold = min(s.cold, s.indexed[k])
	}
	s.backed = true
	s.keys = table.New(s.types)
	s.head, s.dirty, s.stored, s.indexed, s.empty = nil, nil, nil, nil, 0
	s.start, s.end, s.next, s.kid, s.free, s.due, s.live = nil, nil, nil, nil, nil, nil, 0
	return s.payload.reset()
}

// restore takes up what is in the store: keys are read when they come, or when a session of theirs ends.
func (s *sessions) restore(closed int64) error {
	s.closed = closed
	if s.open == nil {
		return nil
	}
	if err := s.opened(); err != nil {
		return err
	}
	s.backed = true
	s.cold = stream.MinTime
	_, err := s.thaw(closed) // finds out when the first session ends
	return err
}

// thawing is how far a pass over the store's index has come.
type thawing struct {
	on bool
	at stream.KeyGroup
	// from is where the index of the key group goes on: what lies before has been deleted, and is slow to step over.
	from []byte
	low  int64
}

// thaw brings keys with a session that ends at or before limit from the store into memory, up to vec.MaxRows of them; more says that it must be called again,
// after what is ripe has been removed.
func (s *sessions) thaw(limit int64) (more bool, err error) {
	limit = min(limit, stream.MaxTime-1) // MaxTime is "none"
	if !s.thawing.on {
		if !s.backed || s.cold > limit {
			return false, nil
		}
		s.thawing = thawing{on: true, at: s.keyRange.First, low: stream.MaxTime}
		s.cold = stream.MaxTime // what is evicted during the pass lowers it
	}
	for p := &s.thawing; p.at < s.keyRange.Limit; p.at++ {
		first, err := s.thawGroup(p, limit)
		if err != nil {
			return false, err
		}
		if first <= limit {
			return true, nil
		}
		p.low = min(p.low, first)
		p.from = nil
	}
	s.cold = min(s.cold, s.thawing.low)
	s.thawing = thawing{}
	return false, nil
}

// thawGroup brings in keys of the key group, and returns where its index goes on: at or below the limit when there is more to do.
func (s *sessions) thawGroup(p *thawing, limit int64) (first int64, err error) {
	lower := p.from
	if lower == nil {
		lower = append(binary.BigEndian.AppendUint16(nil, uint16(p.at)), spaceIndex)
	}
	upper := append(binary.BigEndian.AppendUint16(nil, uint16(p.at)), spaceIndex+1)
	it, err := s.store.Iter(lower, upper)
	if err != nil {
		return 0, fmt.Errorf("read session ends: %w", err)
	}
	var cols []*vec.Col
	for _, t := range s.types {
		cols = append(cols, vec.NewCol(t))
	}
	first = stream.MaxTime
	n := 0
	s.writes.Reset()
	for it.Next() {
		k := it.Key()
		if len(k) < indexPrefix {
			err = enc.ErrCorrupt
			break
		}
		if end := int64(binary.BigEndian.Uint64(k[3:]) ^ 1<<63); end > limit || n == vec.MaxRows {
			first = end
			p.from = append(p.from[:0:0], k...)
			break
		}
		if _, err = table.DecodeKey(k[indexPrefix:], cols); err != nil {
			break
		}
		s.writes.Add(state.OpDelete, k, nil)
		n++
	}
	if e := it.Err(); err == nil {
		err = e
	}
	if e := it.Close(); err == nil {
		err = e
	}
	if err != nil {
		return 0, fmt.Errorf("read session ends: %w", err)
	}
	if n == 0 {
		return first, nil
	}
	if err := s.apply(); err != nil {
		return 0, err
	}
	kids, err := s.lookup(cols, nil, n)
	if err != nil {
		return 0, err
	}
	for _, k := range kids {
		s.indexed[k] = stream.MaxTime
	}
	return first, nil
}
