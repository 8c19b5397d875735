package expr

import (
	"slices"

	"github.com/bramble-stream/bramble/engine/vec"
)

// chooser evaluates CASE and COALESCE: it gives each row the first value whose turn it is.
type chooser struct {
	// conds[i] decides about vals[i] in a CASE, whose last value is the ELSE; COALESCE has no conds.
	conds, vals []*node
	match, rest []int
	// from is the index of the value that each row takes, and res the values, for results that must be appended in order.
	from []int32
	res  []Arg
	// consts is set when all values are STRING constants: the result is encoded with it, value i as code i, NULLs by isNull.
	consts *vec.Dict
	isNull []bool
}

// init decides how results are put together.
func (ch *chooser) init(n *node) {
	ch.res = make([]Arg, len(ch.vals))
	if n.expr.Type.Kind != vec.String {
		return
	}
	d := &vec.Dict{ID: vec.NewDictID(), Offsets: []int32{0}}
	for _, v := range ch.vals {
		if v.kind != nodeLit {
			return
		}
		if v.res.Col.IsNull(0) {
			ch.isNull = append(ch.isNull, true)
		} else {
			ch.isNull = append(ch.isNull, false)
			d.Data = append(d.Data, v.res.Col.Bytes(0)...)
		}
		d.Offsets = append(d.Offsets, int32(len(d.Data)))
	}
	ch.consts = d
}

func (ev *evaluator) choice(n *node, sel []int) error {
	ch, rows := n.choose, ev.b.Rows()
	n.out.Reset()
	n.res = Arg{Col: &n.out, mask: -1}
	if ch.consts != nil {
		n.out.SetDict(ch.consts)
	}
	if rows == 0 {
		return nil
	}
	kind := n.expr.Type.Kind
	inPlace := ch.consts != nil || kind.Width() > 0 || kind == vec.Bool
	if inPlace {
		n.out.Resize(rows)
	} else {
		ch.from = slices.Grow(ch.from[:0], rows)[:rows]
		for i := range ch.from {
			ch.from[i] = -1
		}
	}
	if cap(ch.rest) < rows {
		ch.rest = make([]int, 0, max(rows, vec.MaxRows))
		ch.match = make([]int, 0, max(rows, vec.MaxRows))
	}
	cur := sel
	for i := range ch.vals {
		if cur != nil && len(cur) == 0 {
			break
		}
		match, rest, err := ev.turn(ch, i, cur)
		if err != nil {
			return err
		}
		switch {
		case match != nil && len(match) == 0:
		case ch.consts != nil:
			ch.putCode(n, int32(i), match)
		case inPlace:
			putRows(&n.out, ch.res[i], match)
		default:
			for k := range rowCount(match, rows) {
				ch.from[rowAt(match, k)] = int32(i)
			}
		}
		cur = rest
	}
	if !inPlace {
		for i, from := range ch.from {
			if from < 0 {
				n.out.AppendNull()
				continue
			}
			r := ch.res[from]
			n.out.AppendFrom(r.Col, r.Row(i))
		}
	}
	return nil
}

// turn finds the rows of cur that take value i, evaluates it for them, and returns them with those that are left. nil means all rows.
func (ev *evaluator) turn(ch *chooser, i int, cur []int) (match, rest []int, err error) {
	rows := ev.b.Rows()
	if i < len(ch.conds) {
		cond, err := ev.eval(ch.conds[i], cur)
		if err != nil {
			return nil, nil, err
		}
		match, rest = ch.split(cond, cur, rows)
		if len(match) > 0 {
			ch.res[i], err = ev.eval(ch.vals[i], match)
		}
		return match, rest, err
	}
	r, err := ev.eval(ch.vals[i], cur)
	if err != nil {
		return nil, nil, err
	}
	ch.res[i] = r
	if i == len(ch.vals)-1 || !r.HasNulls() {
		return cur, ch.rest[:0], nil
	}
	match, rest = ch.match[:0], ch.rest[:0]
	for k := range rowCount(cur, rows) {
		if row := rowAt(cur, k); r.IsNull(row) {
			rest = append(rest, row)
		} else {
			match = append(match, row)
		}
	}
	return match, rest, nil
}

// split divides cur (nil: all rows) by where cond is TRUE. rest may be the memory of cur.
func (ch *chooser) split(cond Arg, cur []int, rows int) (match, rest []int) {
	count := rowCount(cur, rows)
	match, rest = ch.match[:count], ch.rest[:count]
	m, r := 0, 0
	for k := range count {
		row := rowAt(cur, k)
		t, _ := truth(cond, row>>6)
		bit := int(t >> (uint(row) & 63) & 1)
		match[m], rest[r] = row, row
		m += bit
		r += 1 - bit
	}
	return match[:m], rest[:r]
}

func rowCount(sel []int, rows int) int {
	if sel != nil {
		return len(sel)
	}
	return rows
}

func rowAt(sel []int, k int) int {
	if sel != nil {
		return sel[k]
	}
	return k
}

func (ch *chooser) putCode(n *node, code int32, sel []int) {
	codes := n.out.Codes()
	for k := range rowCount(sel, len(codes)) {
		i := rowAt(sel, k)
		codes[i] = code
		if ch.isNull[code] {
			n.out.SetNull(i)
		}
	}
}

// putRows writes the rows of sel from r into out, which has been resized.
func putRows(out *vec.Col, r Arg, sel []int) {
	switch out.Kind().Width() {
	case 0:
		dst, src := out.Bools(), r.Bools()
		for k := range rowCount(sel, out.Len()) {
			i := rowAt(sel, k)
			dst.Put(i, src.Get(r.Row(i)))
		}
	case 1:
		putFixed[int8](out, r, sel)
	case 2:
		putFixed[int16](out, r, sel)
	case 4:
		putFixed[int32](out, r, sel)
	case 8:
		putFixed[int64](out, r, sel)
	default:
		putFixed[vec.Num](out, r, sel)
	}
	if !r.HasNulls() {
		return
	}
	for k := range rowCount(sel, out.Len()) {
		if i := rowAt(sel, k); r.IsNull(i) {
			out.SetNull(i)
		}
	}
}

func putFixed[T vec.Fixed](out *vec.Col, r Arg, sel []int) {
	dst, src := vec.Values[T](out), vec.Values[T](r.Col)
	if sel == nil && r.mask != 0 {
		copy(dst, src)
		return
	}
	for k := range rowCount(sel, out.Len()) {
		i := rowAt(sel, k)
		dst[i] = src[i&r.mask]
	}
}
