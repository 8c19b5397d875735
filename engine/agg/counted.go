package agg

import (
	"math/bits"

	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/invariants"
)

// counted is COUNT(DISTINCT …) of the same arguments, with and without filters, of rows that are only added: one set for all of them, in which a value has a bit for each
// aggregate that has met it. The count of a cell is these bits.
type counted struct {
	args []int
	// filters are the filter columns of the aggregates, -1 for none; n is their counts by group.
	filters []int
	n       [][]int64
	ms      multiset

	buf  []byte
	ents []entry
}

var _ acc = (*counted)(nil)

// countedMax is how many aggregates fit into the bits of a cell that stays above 0.
const countedMax = 63

func newCounted(sp Spec) *counted {
	like := newDistinct(sp) // knows which arguments are the same column, and how wide they are
	return &counted{args: like.args, ms: multiset{chains: chains{wide: like.ms.wide}}}
}

func (a *counted) addSpec(sp Spec) {
	a.filters = append(a.filters, sp.Filter)
	a.n = append(a.n, nil)
}

func (a *counted) resize(groups int) {
	a.ms.resize(groups)
	for k := range a.n {
		a.n[k] = grow(a.n[k], groups)
	}
}

func (a *counted) add(cols []*vec.Col, sel []int, groups []int32) {
	for k, g := range groups {
		i := sel[k]
		met := a.met(cols, i)
		if met == 0 || anyNull(cols, a.args, i) {
			continue
		}
		w, b := valueOf(cols, a.args, i, a.ms.wide, &a.buf)
		a.note(g, w, b, met)
	}
}

// met is a bit for each aggregate whose filter lets row i through.
func (a *counted) met(cols []*vec.Col, i int) int64 {
	met := int64(0)
	for k, f := range a.filters {
		if f < 0 || passes(cols[f], i) {
			met |= 1 << k
		}
	}
	return met
}

// passes says whether a filter is true of row i; one without rows is never.
func passes(c *vec.Col, i int) bool {
	return c.Kind() == vec.Bool && c.Len() > 0 && c.Bools().Get(i) && !c.IsNull(i)
}

func (a *counted) retract([]*vec.Col, []int, []int32) {
	invariants.Failf("rows taken back from a set that only grows") // New makes none of those for what retracts
}

func (a *counted) note(g int32, w uint64, b []byte, met int64) {
	fresh := a.ms.mark(g, w, b, met)
	for fresh != 0 {
		k := bits.TrailingZeros64(uint64(fresh))
		a.n[k][g]++
		fresh &= fresh - 1
	}
}

func (a *counted) merge(dst []int32, other acc, src []int32) {
	o := other.(*counted)
	for k, g := range dst {
		for e := o.ms.head[src[k]]; e > 0; e = o.ms.cells[e-1].next {
			c := o.ms.cells[e-1]
			if c.count == 0 {
				continue
			}
			var b []byte
			if a.ms.wide {
				b = o.ms.bytes(e - 1)
			}
			a.note(g, c.word, b, c.count)
		}
	}
}

// load notes entries, whose bits may be any if they come from corrupt state.
func (a *counted) load(g int32) {
	all := int64(1)<<len(a.filters) - 1
	for _, e := range a.ents {
		if met := e.count & all; met != 0 {
			a.note(g, e.w, e.b, met)
		}
	}
}

// partials: the set is in one of the columns of the aggregates that share it, NULL in the others. One that does not decode is left out.
func (a *counted) partials(cols []*vec.Col, sel []int, groups []int32) {
	for k, g := range groups {
		for _, c := range cols {
			i := sel[k]
			if c.IsNull(i) {
				continue
			}
			var err error
			if a.ents, _, err = decodeEntries(c.Bytes(i), a.ms.wide, a.ents[:0]); err == nil {
				a.load(g)
			}
		}
	}
}

func (a *counted) appendPartial(dst []*vec.Col, groups []int32) {
	appendSets(dst, groups, &a.ms, &a.buf)
}

func (a *counted) result(dst []*vec.Col, groups []int32) {
	for k, c := range dst {
		at := c.Len()
		c.Resize(at + len(groups))
		v, n := vec.Values[int64](c)[at:], a.n[k]
		for j, g := range groups {
			v[j] = n[g]
		}
	}
}

func (a *counted) encode(dst []byte, g int32) []byte { return a.ms.encode(dst, g) }

func (a *counted) decode(src []byte, g int32) ([]byte, error) {
	a.clear(g)
	ents, rest, err := decodeEntries(src, a.ms.wide, a.ents[:0])
	a.ents = ents
	if err != nil {
		return nil, err
	}
	a.load(g)
	return rest, nil
}

func (a *counted) clear(g int32) {
	a.ms.drop(g)
	for k := range a.n {
		a.n[k][g] = 0
	}
}

func (a *counted) memBytes() int64 {
	b := a.ms.memBytes()
	for k := range a.n {
		b += 8 * int64(cap(a.n[k]))
	}
	return b
}

func (a *counted) reset() {
	a.ms.reset()
	for k := range a.n {
		a.n[k] = a.n[k][:0]
	}
}
