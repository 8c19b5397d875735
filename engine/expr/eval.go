package expr

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"unsafe"

	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/invariants"
)

// evaluator runs nodes over one batch after another.
type evaluator struct {
	b     *vec.Batch
	epoch uint64
	// width is the number of columns that a batch must have.
	width int
}

// begin starts on a batch: everything computed before is stale.
func (ev *evaluator) begin(b *vec.Batch) error {
	if b.Width() < ev.width {
		return fmt.Errorf("expressions over %d columns met a batch of %d", ev.width, b.Width())
	}
	ev.b = b
	ev.epoch++
	return nil
}

// eval returns n's values for the rows of sel (nil: all).
func (ev *evaluator) eval(n *node, sel []int) (Arg, error) {
	if n.epoch == ev.epoch || n.kind == nodeLit {
		return n.res, nil
	}
	var err error
	switch n.kind {
	case nodeCol:
		n.res = Arg{Col: ev.b.Col(n.expr.Col), mask: -1}
		if invariants.Enabled && (n.res.Kind() != n.expr.Type.Kind || n.res.Len() < ev.b.Rows()) {
			invariants.Failf("column %d is %s of %d rows, the expression takes %s of %d", n.expr.Col, n.res.Type(), n.res.Len(), n.expr.Type, ev.b.Rows())
		}
	case nodeCall:
		err = ev.call(n, sel)
	case nodeField:
		err = ev.field(n, sel)
	case nodeAnd, nodeOr:
		err = ev.logic(n, sel)
	case nodeChoose:
		err = ev.choice(n, sel)
	case nodeLit:
	}
	if err != nil {
		return Arg{}, err
	}
	n.epoch = ev.epoch
	return n.res, nil
}

// exprTextMax bounds the part of an expression that an error shows, in bytes: a line in a terminal or two.
const exprTextMax = 200

// fail gives a kernel's error its place.
func (n *node) fail(err error) error {
	var re *rowError
	if !errors.As(err, &re) {
		return err
	}
	text := n.expr.String()
	if len(text) > exprTextMax {
		text = strings.ToValidUTF8(text[:exprTextMax], "") + "…"
	}
	return &EvalError{Row: re.row, Line: n.line, Column: n.column, Expr: text, Err: re.err}
}

func (ev *evaluator) call(n *node, sel []int) error {
	f := &n.frame
	for i, a := range n.args {
		r, err := ev.eval(a, sel)
		if err != nil {
			return err
		}
		f.Args[i] = r
	}
	n.res = Arg{Col: &n.out, mask: -1}
	if n.memo != nil && f.Args[n.memo.arg].Dict() != nil {
		return ev.callMemo(n, sel)
	}
	f.Rows, f.Sel = ev.b.Rows(), sel
	if n.denseKernel {
		f.Sel = nil
	} else if n.strict {
		n.dropNulls(f)
	}
	n.out.Reset()
	if err := n.kernel(f); err != nil {
		return n.fail(err)
	}
	if n.strict {
		maskValid(&n.out, f.Args)
	}
	return nil
}

// dropNulls narrows the frame's selection to rows where no argument is NULL.
func (n *node) dropNulls(f *Frame) {
	for _, a := range f.Args {
		if a.Const() || !a.HasNulls() {
			continue
		}
		valid := a.Valid()
		if f.Sel == nil {
			f.Sel = appendBits(n.sel[:0], valid, f.Rows)
			n.sel = f.Sel
			continue
		}
		// An empty selection must not become nil, which is all rows.
		buf := n.sel[:0]
		if buf == nil || cap(buf) < len(f.Sel) {
			buf = make([]int, 0, max(len(f.Sel), vec.MaxRows))
		}
		buf = buf[:len(f.Sel)]
		k := 0
		for _, i := range f.Sel {
			buf[k] = i
			k += int(valid[i>>6] >> (uint(i) & 63) & 1)
		}
		n.sel = buf[:k]
		f.Sel = n.sel
	}
}

// appendBits appends the positions of the set bits among the first rows bits.
func appendBits(dst []int, b vec.Bitmap, rows int) []int {
	if cap(dst)-len(dst) < rows {
		dst = append(make([]int, 0, len(dst)+max(rows, vec.MaxRows)), dst...)
	}
	if dst == nil {
		dst = []int{}
	}
	for w := 0; w*64 < rows; w++ {
		word := b[w]
		if left := rows - w*64; left < 64 {
			word &= 1<<uint(left) - 1
		}
		if word == ^uint64(0) {
			for j := range 64 {
				dst = append(dst, w*64+j)
			}
			continue
		}
		for ; word != 0; word &= word - 1 {
			dst = append(dst, w*64+bits.TrailingZeros64(word))
		}
	}
	return dst
}

// maskValid makes out NULL where an argument is.
func maskValid(out *vec.Col, args []Arg) {
	for _, a := range args {
		if a.Const() || !a.HasNulls() || a.Col == out {
			continue
		}
		if !out.HasNulls() {
			out.CopyValidFrom(a.Col)
			continue
		}
		v, w := out.Valid(), a.Valid()
		for i := range v {
			v[i] &= w[i]
		}
	}
}

// field gives a ROW's child without copying it.
func (ev *evaluator) field(n *node, sel []int) error {
	row, err := ev.eval(n.args[0], sel)
	if err != nil {
		return err
	}
	kid := row.Kid(fieldIndex(n.expr))
	n.out.Alias(kid)
	n.res = Arg{Col: &n.out, mask: -1}
	if !row.HasNulls() {
		return nil
	}
	n.valid = append(n.valid[:0], row.Valid()...)
	if kid.HasNulls() && kid.Kind() != vec.Null {
		for i, w := range kid.Valid()[:len(n.valid)] {
			n.valid[i] &= w
		}
	}
	n.out.AliasValid(kid, n.valid)
	return nil
}

// truth returns word w of a BOOLEAN argument as two words: where it is TRUE and where it is FALSE. Bits past the last row are arbitrary.
func truth(a Arg, w int) (isTrue, isFalse uint64) {
	if a.Const() {
		switch {
		case a.Col.IsNull(0):
			return 0, 0
		case a.Bools().Get(0):
			return ^uint64(0), 0
		default:
			return 0, ^uint64(0)
		}
	}
	v := a.Bools()[w]
	if m := a.Valid(); m != nil {
		return v & m[w], ^v & m[w]
	}
	return v, ^v
}

// logic evaluates AND and OR with three values. What is dense is combined word by word; the other arguments are then
// evaluated for rows that are still undecided only.
func (ev *evaluator) logic(n *node, sel []int) error {
	rows := ev.b.Rows()
	words := (rows + 63) / 64
	n.out.Reset()
	n.out.Resize(rows)
	n.res = Arg{Col: &n.out, mask: -1}
	val := n.out.Bools()
	valid := n.out.EnsureValid()
	unit := n.kind == nodeAnd
	val.Fill(rows, unit)
	for _, a := range n.args {
		if !a.dense {
			continue
		}
		r, err := ev.eval(a, sel)
		if err != nil {
			return err
		}
		for w := range words {
			t, f := truth(r, w)
			combine(n.kind, val, valid, w, t, f)
		}
	}
	if n.dense {
		dropFull(&n.out, rows)
		return nil
	}
	if cap(n.sel) < rows {
		n.sel = make([]int, 0, max(rows, vec.MaxRows))
	}
	cur := n.undecided(n.sel[:0], sel, rows, unit)
	for _, a := range n.args {
		if a.dense || len(cur) == 0 {
			continue
		}
		r, err := ev.eval(a, cur)
		if err != nil {
			return err
		}
		for _, i := range cur {
			t, f := truth(r, i>>6)
			bit := uint64(1) << (uint(i) & 63)
			combine(n.kind, val, valid, i>>6, t&bit|identity(unit, bit), f&bit|identity(!unit, bit))
		}
		cur = n.undecided(cur[:0], cur, rows, unit)
	}
	return nil
}

// identity is what combine must see at bits other than bit to leave them: TRUE in an AND, FALSE in an OR.
func identity(here bool, bit uint64) uint64 {
	if here {
		return ^bit
	}
	return 0
}

// combine folds an argument's word into the result: val and valid hold TRUE as 1,1, FALSE as 0,1 and NULL as 0,0 (AND) or 0,0 (OR).
func combine(k nodeKind, val, valid vec.Bitmap, w int, t, f uint64) {
	rt, rf := val[w]&valid[w], ^val[w]&valid[w]
	if k == nodeAnd {
		rt, rf = rt&t, rf|f
	} else {
		rt, rf = rt|t, rf&f
	}
	val[w], valid[w] = rt, rt|rf
}

// undecided appends the rows of sel (nil: all) that a further argument can change: not FALSE in an AND, not TRUE in an OR.
func (n *node) undecided(dst, sel []int, rows int, and bool) []int {
	val, valid := n.out.Bools(), n.out.Valid()
	count := rows
	if sel != nil {
		count = len(sel)
	}
	for k := range count {
		i := k
		if sel != nil {
			i = sel[k]
		}
		if !valid.Get(i) || val.Get(i) == and {
			dst = append(dst, i)
		}
	}
	return dst
}

// dropFull drops a validity bitmap that has no bit clear.
func dropFull(c *vec.Col, rows int) {
	v := c.Valid()
	for w := range v {
		m := ^uint64(0)
		if left := rows - w*64; left < 64 {
			m = 1<<uint(left) - 1
		}
		if v[w]&m != m {
			return
		}
	}
	c.ClearValid()
}

// bitWord turns a condition into 0 or 1 without a branch.
func bitWord(b bool) uint64 { return uint64(*(*uint8)(unsafe.Pointer(&b))) }
