package expr

import (
	"slices"

	"github.com/bramble-stream/bramble/engine/vec"
)

// A memo keeps at most so many results and dictionaries; beyond that it starts afresh. 1<<16 results of a few bytes stay below a MiB a
// call site, and a source rarely has more than a few dictionaries at a time (one a split).
const (
	memoValuesMax = 1 << 16
	memoBytesMax  = 4 << 20
	memoDictsMax  = 4
)

// memo remembers a function's results by dictionary code, for calls with one STRING argument that is not constant.
type memo struct {
	// arg is the argument that varies.
	arg     int
	entries []*memoDict
	next    int
	frame   Frame
	fresh   *vec.Col
	out     *vec.Col
}

// memoDict is what is known for one dictionary.
type memoDict struct {
	id uint64
	// pos[code] is one more than the row of vals with the result, 0 when it has not been computed.
	pos  []int32
	vals *vec.Col
	// dict shows vals as a dictionary, for STRING results.
	dict *vec.Dict
}

// newMemo returns a memo when n has exactly one varying argument, of type STRING, and a result that can be gathered.
func newMemo(n *node) *memo {
	m := &memo{arg: -1}
	for i, a := range n.args {
		if a.kind == nodeLit {
			continue
		}
		if m.arg >= 0 || a.expr.Type.Kind != vec.String {
			return nil
		}
		m.arg = i
	}
	t := n.expr.Type.Nullable()
	if m.arg < 0 || t.Kind.IsNested() || t.Kind == vec.Bytes || t.Kind == vec.Null {
		return nil
	}
	m.fresh, m.out = vec.NewCol(vec.TypeString), vec.NewCol(t)
	m.frame.Args = make([]Arg, len(n.args))
	m.frame.Out = m.out
	return m
}

// entry returns what is known for the dictionary, ready to be asked for any of its codes. Dictionaries without an ID are not remembered.
func (m *memo) entry(d *vec.Dict) *memoDict {
	var e *memoDict
	for _, x := range m.entries {
		if x.id == d.ID {
			e = x
		}
	}
	switch {
	case e == nil && len(m.entries) < memoDictsMax:
		e = &memoDict{id: d.ID, vals: vec.NewCol(m.out.Type())}
		m.entries = append(m.entries, e)
	case e == nil:
		e = m.entries[m.next%memoDictsMax]
		m.next++
		e.forget(d.ID)
	case d.ID == 0 || e.vals.Len() > memoValuesMax || e.vals.MemSize() > memoBytesMax:
		e.forget(d.ID)
	}
	if n := d.Len(); n > len(e.pos) {
		old := len(e.pos)
		e.pos = slices.Grow(e.pos, n-old)[:n]
		clear(e.pos[old:])
	}
	return e
}

// forget empties e. Its values may be lent out as a dictionary, so they get new memory.
func (e *memoDict) forget(id uint64) {
	e.id, e.dict = id, nil
	e.vals = vec.NewCol(e.vals.Type())
	clear(e.pos)
}

// callMemo evaluates a call whose varying argument is dictionary-encoded.
func (ev *evaluator) callMemo(n *node, sel []int) error {
	m, f := n.memo, &n.frame
	f.Rows, f.Sel = ev.b.Rows(), sel
	src := f.Args[m.arg]
	n.dropNulls(f)
	codes := src.Codes()
	e := m.entry(src.Dict())
	m.fresh.Reset()
	known := e.vals.Len()
	for k := range f.count() {
		c := codes[f.row(k)]
		if e.pos[c] == 0 {
			m.fresh.AppendBytes(src.Dict().Value(c))
			e.pos[c] = int32(known + m.fresh.Len())
		}
	}
	if m.fresh.Len() > 0 {
		if row, err := m.compute(n, e); err != nil {
			m.undo(e, known)
			for k := range f.count() {
				if i := f.row(k); string(src.Bytes(i)) == m.fresh.Str(row) {
					return n.fail(f.Fail(i, err))
				}
			}
			return err
		}
	}
	n.out.Reset()
	gatherMemo(&n.out, e, codes, f)
	maskValid(&n.out, f.Args[m.arg:m.arg+1])
	return nil
}

// compute runs the kernel over the new values and appends the results; an error comes with the row among the new values.
func (m *memo) compute(n *node, e *memoDict) (int, error) {
	copy(m.frame.Args, n.frame.Args)
	m.frame.Args[m.arg] = Arg{Col: m.fresh, mask: -1}
	m.frame.Rows, m.frame.Sel = m.fresh.Len(), nil
	m.out.Reset()
	if err := n.kernel(&m.frame); err != nil {
		if re, ok := err.(*rowError); ok { //nolint:errorlint // kernels return it as it is
			return re.row, re.err
		}
		return 0, err
	}
	e.vals.AppendSel(m.out, nil)
	if e.vals.Kind() == vec.String {
		id := vec.NewDictID()
		if e.dict != nil {
			id = e.dict.ID
		}
		e.dict = &vec.Dict{ID: id, Offsets: e.vals.Offsets(), Data: e.vals.Data()}
	}
	return 0, nil
}

// undo marks values as unknown again that were to follow the first known ones.
func (m *memo) undo(e *memoDict, known int) {
	for c, p := range e.pos {
		if int(p) > known {
			e.pos[c] = 0
		}
	}
}

// gatherMemo writes the results for the frame's rows.
func gatherMemo(out *vec.Col, e *memoDict, codes []int32, f *Frame) {
	if e.vals.Kind() == vec.String {
		if e.dict == nil {
			e.dict = &vec.Dict{ID: vec.NewDictID(), Offsets: []int32{0}}
		}
		out.SetDict(e.dict)
		out.Resize(f.Rows)
		dst := out.Codes()
		clear(dst)
		for k := range f.count() {
			i := f.row(k)
			dst[i] = e.pos[codes[i]] - 1
		}
	} else {
		out.Resize(f.Rows)
		switch out.Kind().Width() {
		case 0:
			dst, src := out.Bools(), e.vals.Bools()
			clear(dst)
			for k := range f.count() {
				i := f.row(k)
				at := e.pos[codes[i]] - 1
				dst[i>>6] |= src[at>>6] >> (uint(at) & 63) & 1 << (uint(i) & 63)
			}
		case 1:
			gatherFixed[int8](out, e, codes, f)
		case 2:
			gatherFixed[int16](out, e, codes, f)
		case 4:
			gatherFixed[int32](out, e, codes, f)
		case 8:
			gatherFixed[int64](out, e, codes, f)
		default:
			gatherFixed[vec.Num](out, e, codes, f)
		}
	}
	if !e.vals.HasNulls() {
		return
	}
	for k := range f.count() {
		if i := f.row(k); e.vals.IsNull(int(e.pos[codes[i]]) - 1) {
			out.SetNull(i)
		}
	}
}

func gatherFixed[T vec.Fixed](out *vec.Col, e *memoDict, codes []int32, f *Frame) {
	dst, src := vec.Values[T](out), vec.Values[T](e.vals)
	for k := range f.count() {
		i := f.row(k)
		dst[i] = src[e.pos[codes[i]]-1]
	}
}
