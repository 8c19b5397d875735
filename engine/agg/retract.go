package agg

import (
	"cmp"
	"math"

	"github.com/bramble-stream/bramble/engine/state/enc"
	"github.com/bramble-stream/bramble/engine/vec"
)

// value reads row i, not NULL, as a word or, for wide kinds, as bytes.
func value(c *vec.Col, i int, wide bool, buf *[]byte) (w uint64, b []byte) {
	if wide {
		return 0, loadBlob(c, i, buf)
	}
	return enc.Word(c, i), nil
}

// appendEntry appends the value of entry e to dst.
func (c *chains) appendEntry(dst *vec.Col, e int32) {
	if c.wide {
		appendBlob(dst, c.bytes(e))
	} else {
		enc.AppendWord(dst, c.cells[e].word)
	}
}

// compareWord orders values of enc.Word.
func compareWord(k vec.Kind, x, y uint64) int {
	switch k {
	case vec.Float64:
		return cmp.Compare(math.Float64frombits(x), math.Float64frombits(y))
	case vec.Float32:
		return cmp.Compare(math.Float32frombits(uint32(x)), math.Float32frombits(uint32(y)))
	default:
		return cmp.Compare(int64(x), int64(y))
	}
}

// best is the cached answer of a group: an entry + 1, valid while round is the multiset's moved.
type best struct {
	entry int32
	round int32
}

// extremes is MIN and MAX where rows can be taken back: all values of a group with their counts.
type extremes struct {
	arg  int
	max  bool
	kind vec.Kind
	ms   multiset
	// best[g].entry is 0 where the answer must be looked for again.
	best []best
	buf  []byte
	ents []entry
}

var _ acc = (*extremes)(nil)

func newExtremes(sp Spec) acc {
	k := sp.ArgTypes[0].Kind
	return &extremes{
		arg: sp.Args[0], max: sp.Func == "MAX", kind: k,
		ms: multiset{chains: chains{wide: !enc.IsWord(k)}},
	}
}

func (a *extremes) resize(groups int) {
	a.ms.resize(groups)
	a.best = grow(a.best, groups)
}

func (a *extremes) add(cols []*vec.Col, sel []int, groups []int32) {
	a.fold(cols[a.arg], sel, groups, 1)
}

func (a *extremes) retract(cols []*vec.Col, sel []int, groups []int32) {
	a.fold(cols[a.arg], sel, groups, -1)
}

func (a *extremes) fold(c *vec.Col, sel []int, groups []int32, n int64) {
	for k, g := range groups {
		if i := sel[k]; !c.IsNull(i) {
			w, b := value(c, i, a.ms.wide, &a.buf)
			a.change(g, w, b, n)
		}
	}
}

func (a *extremes) change(g int32, w uint64, b []byte, n int64) {
	e, before := a.ms.change(g, w, b, n)
	after := a.ms.cells[e].count
	p := &a.best[g]
	known := p.entry > 0 && int(p.round) == a.ms.moved
	switch {
	case before <= 0 && after > 0:
		if known && a.better(e, p.entry-1) {
			p.entry = e + 1
		}
	case before > 0 && after <= 0:
		if known && p.entry == e+1 {
			p.entry = 0
		}
	}
}

// better reports whether entry x answers rather than y.
func (a *extremes) better(x, y int32) bool {
	var o int
	switch {
	case a.ms.wide:
		o = compareBlob(a.kind, a.ms.bytes(x), a.ms.bytes(y))
	default:
		o = compareWord(a.kind, a.ms.cells[x].word, a.ms.cells[y].word)
	}
	return a.max && o > 0 || !a.max && o < 0
}

// find returns the answer's entry + 1, or 0 when the group has no value.
func (a *extremes) find(g int32) int32 {
	p := &a.best[g]
	if p.entry > 0 && int(p.round) == a.ms.moved {
		return p.entry
	}
	found := int32(0)
	for e := a.ms.head[g]; e > 0; e = a.ms.cells[e-1].next {
		if a.ms.cells[e-1].count > 0 && (found == 0 || a.better(e-1, found-1)) {
			found = e
		}
	}
	*p = best{found, int32(a.ms.moved)}
	return found
}

func (a *extremes) merge(dst []int32, other acc, src []int32) {
	o := other.(*extremes)
	for k, g := range dst {
		for e := o.ms.head[src[k]]; e > 0; e = o.ms.cells[e-1].next {
			if n := o.ms.cells[e-1].count; n != 0 {
				var b []byte
				if a.ms.wide {
					b = o.ms.bytes(e - 1)
				}
				a.change(g, o.ms.cells[e-1].word, b, n)
			}
		}
	}
}

func (a *extremes) partials(cols []*vec.Col, sel []int, groups []int32) {
	a.fold(cols[0], sel, groups, 1)
}

func (a *extremes) appendPartial(dst []*vec.Col, groups []int32) { a.result(dst, groups) }

func (a *extremes) result(dst []*vec.Col, groups []int32) {
	for _, c := range dst {
		for _, g := range groups {
			if e := a.find(g); e > 0 {
				a.ms.appendEntry(c, e-1)
			} else {
				c.AppendNull()
			}
		}
	}
}

func (a *extremes) encode(dst []byte, g int32) []byte { return a.ms.encode(dst, g) }

func (a *extremes) decode(src []byte, g int32) ([]byte, error) {
	a.clear(g)
	var err error
	if a.ents, src, err = decodeEntries(src, a.ms.wide, a.ents[:0]); err != nil {
		return nil, err
	}
	for _, e := range a.ents {
		a.change(g, e.w, e.b, e.count)
	}
	return src, nil
}

func (a *extremes) clear(g int32) {
	a.ms.drop(g)
	a.best[g] = best{}
}

func (a *extremes) memBytes() int64 { return a.ms.memBytes() + 8*int64(cap(a.best)) }

func (a *extremes) reset() {
	a.ms.reset()
	a.best = a.best[:0]
}

// list is FIRST_VALUE, LAST_VALUE and LISTAGG where rows can be taken back: all values of a group in order. Taking one back
// removes the oldest equal one; one that is not there (yet, or here) is noted with a negative count and cancels out when merged.
type list struct {
	arg int
	fn  string
	sep string
	c   chains
	// owed is how many entries have a negative count.
	owed int
	buf  []byte
	ents []entry
}

var _ acc = (*list)(nil)

func newList(sp Spec) acc {
	return &list{arg: sp.Args[0], fn: sp.Func, sep: sp.Separator, c: chains{wide: !enc.IsWord(sp.ArgTypes[0].Kind)}}
}

func (a *list) resize(groups int) { a.c.resize(groups) }

func (a *list) add(cols []*vec.Col, sel []int, groups []int32) { a.fold(cols[a.arg], sel, groups, 1) }

func (a *list) retract(cols []*vec.Col, sel []int, groups []int32) {
	a.fold(cols[a.arg], sel, groups, -1)
}

func (a *list) fold(c *vec.Col, sel []int, groups []int32, n int64) {
	for k, g := range groups {
		if i := sel[k]; !c.IsNull(i) {
			w, b := value(c, i, a.c.wide, &a.buf)
			a.change(g, w, b, n)
		}
	}
}

// change puts a value (n > 0) or takes one back (n < 0), |n| times: a list's entries have counts 1 and -1 only, so n is one of them.
func (a *list) change(g int32, w uint64, b []byte, n int64) {
	for e := a.c.head[g]; n < 0 && e > 0; e = a.c.cells[e-1].next {
		if a.c.cells[e-1].count > 0 && a.c.is(e-1, w, b) {
			a.kill(e - 1)
			return
		}
	}
	if n > 0 && a.owes(g, w, b) {
		return
	}
	a.push(g, w, b, n)
}

func (a *list) push(g int32, w uint64, b []byte, n int64) {
	if n < 0 {
		a.owed++
	}
	a.c.push(g, w, b, n)
}

// owes cancels a noted removal of the value, if there is one.
func (a *list) owes(g int32, w uint64, b []byte) bool {
	for e := a.c.head[g]; a.owed > 0 && e > 0; e = a.c.cells[e-1].next {
		if a.c.cells[e-1].count < 0 && a.c.is(e-1, w, b) {
			a.owed--
			a.kill(e - 1)
			return true
		}
	}
	return false
}

func (a *list) kill(e int32) {
	a.c.cells[e].count = 0
	a.c.dead++
	a.tidy()
}

func (a *list) tidy() {
	if a.c.crowded() {
		a.c.compact()
	}
}

func (a *list) merge(dst []int32, other acc, src []int32) {
	o := other.(*list)
	for k, g := range dst {
		for e := o.c.head[src[k]]; e > 0; e = o.c.cells[e-1].next {
			if n := o.c.cells[e-1].count; n != 0 {
				var b []byte
				if a.c.wide {
					b = o.c.bytes(e - 1)
				}
				a.change(g, o.c.cells[e-1].word, b, n)
			}
		}
	}
}

func (a *list) partials(cols []*vec.Col, sel []int, groups []int32) { a.fold(cols[0], sel, groups, 1) }

func (a *list) appendPartial(dst []*vec.Col, groups []int32) { a.result(dst, groups) }

func (a *list) result(dst []*vec.Col, groups []int32) {
	for _, c := range dst {
		for _, g := range groups {
			if a.fn == "LISTAGG" {
				a.concat(c, g)
			} else {
				a.edge(c, g)
			}
		}
	}
}

func (a *list) edge(dst *vec.Col, g int32) {
	found := int32(0)
	for e := a.c.head[g]; e > 0; e = a.c.cells[e-1].next {
		if a.c.cells[e-1].count > 0 {
			found = e
			if a.fn == "FIRST_VALUE" {
				break
			}
		}
	}
	if found == 0 {
		dst.AppendNull()
		return
	}
	a.c.appendEntry(dst, found-1)
}

func (a *list) concat(dst *vec.Col, g int32) {
	a.buf = a.buf[:0]
	some := false
	for e := a.c.head[g]; e > 0; e = a.c.cells[e-1].next {
		if a.c.cells[e-1].count > 0 {
			if some {
				a.buf = append(a.buf, a.sep...)
			}
			some = true
			a.buf = append(a.buf, a.c.bytes(e-1)...)
		}
	}
	if !some {
		dst.AppendNull()
		return
	}
	dst.AppendBytes(a.buf)
}

func (a *list) encode(dst []byte, g int32) []byte { return a.c.encode(dst, g) }

func (a *list) decode(src []byte, g int32) ([]byte, error) {
	a.clear(g)
	var err error
	if a.ents, src, err = decodeEntries(src, a.c.wide, a.ents[:0]); err != nil {
		return nil, err
	}
	for _, e := range a.ents {
		if e.count != 1 && e.count != -1 {
			return nil, enc.ErrCorrupt
		}
		a.push(g, e.w, e.b, e.count)
	}
	return src, nil
}

func (a *list) clear(g int32) {
	for e := a.c.head[g]; a.owed > 0 && e > 0; e = a.c.cells[e-1].next {
		if a.c.cells[e-1].count < 0 {
			a.owed--
		}
	}
	a.c.drop(g)
	a.c.head[g], a.c.tail[g] = 0, 0
	a.tidy()
}

func (a *list) memBytes() int64 { return a.c.memBytes() }

func (a *list) reset() {
	a.c.reset()
	a.owed = 0
}
