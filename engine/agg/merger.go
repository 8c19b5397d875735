package agg

import (
	"fmt"
	"sync"

	"github.com/bramble-stream/bramble/engine/vec"
)

// Merger combines encoded accumulators without a Set around them, for a store's merge function. It is safe for concurrent use: stores
// merge in the background.
type Merger struct {
	specs   []Spec
	retract bool
	pool    sync.Pool
}

// NewMerger returns the Merger for what sets of the same specs and retract encode.
func NewMerger(specs []Spec, retract bool) (*Merger, error) {
	s, err := New(specs, retract)
	if err != nil {
		return nil, err
	}
	m := &Merger{specs: specs, retract: retract}
	m.pool.Put(s)
	return m, nil
}

// MergeEncoded appends the combination of older and newer, both made by Set.Encode, to dst.
func (m *Merger) MergeEncoded(dst, older, newer []byte) ([]byte, error) {
	s, _ := m.pool.Get().(*Set)
	if s == nil {
		var err error
		if s, err = New(m.specs, m.retract); err != nil {
			return nil, err
		}
	}
	defer m.pool.Put(s)
	s.Reset()
	s.Resize(1)
	for _, src := range [2][]byte{older, newer} {
		rest, err := s.DecodeMerge(src, 0)
		if err != nil {
			return nil, err
		}
		if len(rest) > 0 {
			return nil, fmt.Errorf("decode accumulators: %d bytes left over", len(rest))
		}
	}
	return s.Encode(dst, 0), nil
}

// DecodeMerge combines what Encode wrote, as newer, into group g, and returns what follows it in src. After an error the
// group is unchanged or, when the error came late, holds part of src.
func (s *Set) DecodeMerge(src []byte, g int32) ([]byte, error) {
	if s.spare == nil {
		s.spare = s.like()
	}
	s.spare.Reset()
	s.spare.Resize(1)
	rest, err := s.spare.Decode(src, 0)
	if err != nil {
		return nil, err
	}
	s.Merge([]int32{g}, s.spare, []int32{0})
	return rest, nil
}

// NewResultCols returns empty columns for AppendResult.
func (s *Set) NewResultCols() []*vec.Col {
	cols := make([]*vec.Col, len(s.specs))
	for i, sp := range s.specs {
		cols[i] = vec.NewCol(sp.Type)
	}
	return cols
}

// NewPartialCols returns empty columns for AppendPartial.
func (s *Set) NewPartialCols() []*vec.Col {
	var cols []*vec.Col
	for _, t := range s.PartialTypes() {
		cols = append(cols, vec.NewCol(t))
	}
	return cols
}
