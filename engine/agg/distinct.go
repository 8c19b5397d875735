package agg

import (
	"github.com/bramble-stream/bramble/engine/state/enc"
	"github.com/bramble-stream/bramble/engine/vec"
)

// distinct is the set of different values of each group, with how often each has come, and the aggregates over that set: they
// are told of a value when it appears, and when it is gone.
type distinct struct {
	args  []int
	ms    multiset
	inner []acc

	// Scratch: rows that changed the set; values decoded from other sets, as columns where inner expects its arguments.
	add1, sub1 picked
	cols       []*vec.Col

	buf  []byte
	ents []entry
}

// picked is rows with their groups.
type picked struct {
	sel    []int
	groups []int32
}

func (p *picked) reset()             { p.sel, p.groups = p.sel[:0], p.groups[:0] }
func (p *picked) put(i int, g int32) { p.sel, p.groups = append(p.sel, i), append(p.groups, g) }

var _ acc = (*distinct)(nil)

// newDistinct makes the set of sp's arguments, without any aggregate over it yet.
func newDistinct(sp Spec) *distinct {
	d := &distinct{}
	for k, a := range sp.Args {
		for len(d.cols) <= a {
			d.cols = append(d.cols, nil)
		}
		if d.cols[a] == nil { // else the same column twice
			d.args = append(d.args, a)
			d.cols[a] = vec.NewCol(sp.ArgTypes[k])
		}
	}
	d.ms.wide = len(d.args) != 1 || !enc.IsWord(sp.ArgTypes[0].Kind)
	return d
}

func (a *distinct) addInner(sp Spec, retract bool) {
	sp.Distinct = false
	a.inner = append(a.inner, newAcc(sp, retract))
}

func (a *distinct) resize(groups int) {
	a.ms.resize(groups)
	for _, in := range a.inner {
		in.resize(groups)
	}
}

func (a *distinct) add(cols []*vec.Col, sel []int, groups []int32) { a.step(cols, sel, groups, 1) }

func (a *distinct) retract(cols []*vec.Col, sel []int, groups []int32) { a.step(cols, sel, groups, -1) }

func (a *distinct) step(cols []*vec.Col, sel []int, groups []int32, n int64) {
	a.add1.reset()
	a.sub1.reset()
	for k, g := range groups {
		i := sel[k]
		if anyNull(cols, a.args, i) {
			continue
		}
		w, b := valueOf(cols, a.args, i, a.ms.wide, &a.buf)
		a.note(g, w, b, n, i)
	}
	a.tell(cols)
}

// valueOf reads the arguments of row i, none NULL, as a set has them.
func valueOf(cols []*vec.Col, args []int, i int, wide bool, buf *[]byte) (uint64, []byte) {
	if len(args) == 1 {
		return value(cols[args[0]], i, wide, buf)
	}
	*buf = (*buf)[:0]
	for _, c := range args {
		*buf = enc.AppendValue(*buf, cols[c], i)
	}
	return 0, *buf
}

// note changes a value's count, and picks row i if the value has appeared or gone by it.
func (a *distinct) note(g int32, w uint64, b []byte, n int64, i int) {
	e, before := a.ms.change(g, w, b, n)
	switch after := a.ms.cells[e].count; {
	case before <= 0 && after > 0:
		a.add1.put(i, g)
	case before > 0 && after <= 0:
		a.sub1.put(i, g)
	}
}

// tell hands the picked rows of cols to the aggregates. A value that appears and goes within one call is in both.
func (a *distinct) tell(cols []*vec.Col) {
	for _, in := range a.inner {
		if len(a.add1.sel) > 0 {
			in.add(cols, a.add1.sel, a.add1.groups)
		}
		if len(a.sub1.sel) > 0 {
			in.retract(cols, a.sub1.sel, a.sub1.groups)
		}
	}
}

// begin and end enclose calls of load, which changes counts by values that are not in columns yet.
func (a *distinct) begin() {
	a.add1.reset()
	a.sub1.reset()
	for _, c := range a.args {
		a.cols[c].Reset()
	}
}

func (a *distinct) load(g int32, w uint64, b []byte, n int64) {
	row := a.cols[a.args[0]].Len()
	picks := len(a.add1.sel) + len(a.sub1.sel)
	a.note(g, w, b, n, row)
	if len(a.add1.sel)+len(a.sub1.sel) == picks {
		return
	}
	switch {
	case !a.ms.wide:
		enc.AppendWord(a.cols[a.args[0]], w)
	case len(a.args) == 1:
		appendBlob(a.cols[a.args[0]], b)
	default:
		a.loadMany(b, row)
	}
}

// loadMany appends a value of several arguments; bytes that do not decode, which only corrupt state can hold, become NULLs.
func (a *distinct) loadMany(b []byte, row int) {
	var err error
	for _, c := range a.args {
		if err == nil {
			b, err = enc.DecodeValue(b, a.cols[c])
		}
		if a.cols[c].Len() == row {
			a.cols[c].AppendNull()
		}
	}
}

func (a *distinct) end() { a.tell(a.cols) }

func (a *distinct) merge(dst []int32, other acc, src []int32) {
	o := other.(*distinct)
	a.begin()
	for k, g := range dst {
		for e := o.ms.head[src[k]]; e > 0; e = o.ms.cells[e-1].next {
			if n := o.ms.cells[e-1].count; n != 0 {
				var b []byte
				if a.ms.wide {
					b = o.ms.bytes(e - 1)
				}
				a.load(g, o.ms.cells[e-1].word, b, n)
			}
		}
	}
	a.end()
}

// partials: the set is in one of the columns of the aggregates that share it, NULL in the others. One that does not decode is left out.
func (a *distinct) partials(cols []*vec.Col, sel []int, groups []int32) {
	a.begin()
	for k, g := range groups {
		for _, c := range cols {
			i := sel[k]
			if c.IsNull(i) {
				continue
			}
			var err error
			if a.ents, _, err = decodeEntries(c.Bytes(i), a.ms.wide, a.ents[:0]); err != nil {
				continue
			}
			for _, e := range a.ents {
				a.load(g, e.w, e.b, e.count)
			}
		}
	}
	a.end()
}

func (a *distinct) appendPartial(dst []*vec.Col, groups []int32) {
	appendSets(dst, groups, &a.ms, &a.buf)
}

// appendSets appends the sets of groups to the first column, and NULL to the others that share them.
func appendSets(dst []*vec.Col, groups []int32, ms *multiset, buf *[]byte) {
	for _, g := range groups {
		*buf = ms.encode((*buf)[:0], g)
		dst[0].AppendBytes(*buf)
		for _, c := range dst[1:] {
			c.AppendNull()
		}
	}
}

func (a *distinct) result(dst []*vec.Col, groups []int32) {
	for k, in := range a.inner {
		in.result(dst[k:k+1], groups)
	}
}

func (a *distinct) encode(dst []byte, g int32) []byte { return a.ms.encode(dst, g) }

func (a *distinct) decode(src []byte, g int32) ([]byte, error) {
	a.clear(g)
	ents, rest, err := decodeEntries(src, a.ms.wide, a.ents[:0])
	a.ents = ents
	if err != nil {
		return nil, err
	}
	a.begin()
	for _, e := range ents {
		a.load(g, e.w, e.b, e.count)
	}
	a.end()
	return rest, nil
}

func (a *distinct) clear(g int32) {
	a.ms.drop(g)
	for _, in := range a.inner {
		in.clear(g)
	}
}

func (a *distinct) memBytes() int64 {
	b := a.ms.memBytes()
	for _, in := range a.inner {
		b += in.memBytes()
	}
	return b
}

func (a *distinct) reset() {
	a.ms.reset()
	for _, in := range a.inner {
		in.reset()
	}
}
