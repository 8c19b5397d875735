package expr

import (
	"bytes"
	"math/bits"

	"github.com/bramble-stream/bramble/engine/vec"
)

// ordered are the layouts whose order and equality are Go's (and Java's: NaN equals nothing).
type ordered interface {
	int8 | int16 | int32 | int64 | float32 | float64
}

// cmpOp is a comparison operator.
type cmpOp uint8

const (
	cmpEQ cmpOp = iota
	cmpNE
	cmpLT
	cmpLE
	cmpGT
	cmpGE
)

var cmpOps = map[string]cmpOp{"=": cmpEQ, "<>": cmpNE, "<": cmpLT, "<=": cmpLE, ">": cmpGT, ">=": cmpGE}

// mirrored is the operator with its arguments exchanged.
func (op cmpOp) mirrored() cmpOp { return [...]cmpOp{cmpEQ, cmpNE, cmpGT, cmpGE, cmpLT, cmpLE}[op] }

// holds says whether the operator holds for a three-way comparison.
func (op cmpOp) holds(c int) bool {
	switch op {
	case cmpEQ:
		return c == 0
	case cmpNE:
		return c != 0
	case cmpLT:
		return c < 0
	case cmpLE:
		return c <= 0
	case cmpGT:
		return c > 0
	case cmpGE:
		return c >= 0
	}
	return false
}

// appendWord appends the positions of word's set bits, counted from base, that are below rows.
func appendWord(dst []int, word uint64, base, rows int) []int {
	if left := rows - base; left < 64 {
		word &= 1<<uint(left) - 1
	}
	for ; word != 0; word &= word - 1 {
		dst = append(dst, base+bits.TrailingZeros64(word))
	}
	return dst
}

// cmpConst compares each value with c and writes the bits of out, which has a word for every 64 values begun.
func cmpConst[T ordered](op cmpOp, v []T, c T, out vec.Bitmap) {
	for w := 0; len(v) > 0; w++ {
		block := v[:min(64, len(v))]
		v = v[len(block):]
		var m uint64
		switch op {
		case cmpEQ:
			for j, x := range block {
				m |= bitWord(x == c) << uint(j&63)
			}
		case cmpNE:
			for j, x := range block {
				m |= bitWord(x != c) << uint(j&63)
			}
		case cmpLT:
			for j, x := range block {
				m |= bitWord(x < c) << uint(j&63)
			}
		case cmpLE:
			for j, x := range block {
				m |= bitWord(x <= c) << uint(j&63)
			}
		case cmpGT:
			for j, x := range block {
				m |= bitWord(x > c) << uint(j&63)
			}
		case cmpGE:
			for j, x := range block {
				m |= bitWord(x >= c) << uint(j&63)
			}
		}
		out[w] = m
	}
}

// cmpCols compares two columns value by value.
func cmpCols[T ordered](op cmpOp, a, b []T, out vec.Bitmap) {
	for w := 0; len(a) > 0; w++ {
		x := a[:min(64, len(a))]
		y := b[:len(x)]
		a, b = a[len(x):], b[len(x):]
		var m uint64
		switch op {
		case cmpEQ:
			for j := range x {
				m |= bitWord(x[j] == y[j]) << uint(j&63)
			}
		case cmpNE:
			for j := range x {
				m |= bitWord(x[j] != y[j]) << uint(j&63)
			}
		case cmpLT, cmpGT:
			for j := range x {
				m |= bitWord(x[j] < y[j]) << uint(j&63)
			}
		case cmpLE, cmpGE:
			for j := range x {
				m |= bitWord(x[j] <= y[j]) << uint(j&63)
			}
		}
		out[w] = m
	}
}

// cmpKernel is the dense comparison of a fixed-width layout.
func cmpKernel[T ordered](op cmpOp) Kernel {
	return func(f *Frame) error {
		f.Out.Resize(f.Rows)
		a, b, op, out := f.Args[0], f.Args[1], op, f.Out.Bools()
		if f.Rows == 0 {
			return nil
		}
		if a.Const() && !b.Const() {
			a, b, op = b, a, op.mirrored()
		}
		switch {
		case a.Const():
			one := vec.Bitmap{0}
			cmpConst(op, vec.Values[T](a.Col), vec.Values[T](b.Col)[0], one)
			out.Fill(f.Rows, one[0]&1 != 0)
		case b.Const():
			cmpConst(op, vec.Values[T](a.Col), vec.Values[T](b.Col)[0], out)
		case op == cmpGT || op == cmpGE:
			cmpCols(op.mirrored(), vec.Values[T](b.Col), vec.Values[T](a.Col), out)
		default:
			cmpCols(op, vec.Values[T](a.Col), vec.Values[T](b.Col), out)
		}
		return nil
	}
}

// cmpBytes compares STRING or BYTES bytewise.
func cmpBytes(op cmpOp) Kernel {
	if op == cmpEQ || op == cmpNE {
		return equalBytes(op == cmpNE)
	}
	return BoolRows(func(args []Arg, i int) (bool, bool, error) {
		return op.holds(bytes.Compare(args[0].Bytes(i), args[1].Bytes(i))), true, nil
	})
}

// equalBytes is = and <> of STRING or BYTES.
func equalBytes(negate bool) Kernel {
	return func(f *Frame) error {
		f.Out.Resize(f.Rows)
		out, a, b := f.Out.Bools(), f.Args[0], f.Args[1]
		if a.Const() {
			a, b = b, a
		}
		out.Fill(f.Rows, negate)
		flip := func(i int) { out[i>>6] ^= 1 << (uint(i) & 63) }
		if b.Const() && !a.Const() && a.Dict() == nil {
			want, data, offsets := b.Str(0), a.Data(), a.Offsets()
			for k := range f.count() {
				i := f.row(k)
				if v := data[offsets[i]:offsets[i+1]]; len(v) == len(want) && string(v) == want {
					flip(i)
				}
			}
			return nil
		}
		for k := range f.count() {
			if i := f.row(k); a.Str(i) == b.Str(i) {
				flip(i)
			}
		}
		return nil
	}
}

// cmpBools compares BOOLEAN word by word; FALSE is below TRUE.
func cmpBools(op cmpOp) Kernel {
	word := func(a Arg, w int) uint64 {
		if !a.Const() {
			return a.Bools()[w]
		}
		if a.Bools().Get(0) {
			return ^uint64(0)
		}
		return 0
	}
	return func(f *Frame) error {
		f.Out.Resize(f.Rows)
		out := f.Out.Bools()
		for w := range out {
			x, y := word(f.Args[0], w), word(f.Args[1], w)
			switch op {
			case cmpEQ:
				out[w] = ^(x ^ y)
			case cmpNE:
				out[w] = x ^ y
			case cmpLT:
				out[w] = ^x & y
			case cmpLE:
				out[w] = ^x | y
			case cmpGT:
				out[w] = x &^ y
			case cmpGE:
				out[w] = x | ^y
			}
		}
		return nil
	}
}

// buildCmp makes the kernel for arguments of one type (DECIMALs may differ in scale).
func buildCmp(op cmpOp) func(*Site) (Kernel, error) {
	return func(s *Site) (Kernel, error) {
		a, b := s.Call.Args[0].Type, s.Call.Args[1].Type
		s.Dense = true
		switch a.Kind {
		case vec.Int8:
			return cmpKernel[int8](op), nil
		case vec.Int16:
			return cmpKernel[int16](op), nil
		case vec.Int32, vec.Date, vec.Time, vec.IntervalYM:
			return cmpKernel[int32](op), nil
		case vec.Int64, vec.Timestamp, vec.TimestampLTZ, vec.IntervalDT:
			return cmpKernel[int64](op), nil
		case vec.Float32:
			return cmpKernel[float32](op), nil
		case vec.Float64:
			return cmpKernel[float64](op), nil
		case vec.Bool:
			return cmpBools(op), nil
		}
		s.Dense = false
		switch a.Kind {
		case vec.Decimal:
			return BoolRows(func(args []Arg, i int) (bool, bool, error) {
				return op.holds(cmpDecimal(At[vec.Num](args[0], i), int(a.Scale), At[vec.Num](args[1], i), int(b.Scale))), true, nil
			}), nil
		case vec.String, vec.Bytes:
			return cmpBytes(op), nil
		default:
			return BoolRows(func(args []Arg, i int) (bool, bool, error) {
				return op.holds(CompareValues(args[0].Col, args[0].Row(i), args[1].Col, args[1].Row(i))), true, nil
			}), nil
		}
	}
}

// bindCmp gives both arguments one comparable type.
func bindCmp(args []*Expr) (vec.Type, error) {
	a, b := args[0], args[1]
	switch {
	case a.Type.Kind == vec.String && isTimeKind(b.Type.Kind) && a.Op == OpLit:
		e, err := Cast(a, b.Type)
		args[0] = e
		return vec.TypeBool, err
	case b.Type.Kind == vec.String && isTimeKind(a.Type.Kind) && b.Op == OpLit:
		e, err := Cast(b, a.Type)
		args[1] = e
		return vec.TypeBool, err
	}
	t, ok := commonOf(a.Type, b.Type)
	if !ok && (a.Type.Kind == vec.String || b.Type.Kind == vec.String) {
		return vec.Type{}, errHint("use CAST")
	}
	if !ok {
		return vec.Type{}, errArgs
	}
	for i, e := range args {
		u := t
		if t.Kind == vec.Decimal && e.Type.Kind != vec.Null {
			// Decimals are compared exactly at their own scale.
			p, s := decimalLimits(e.Type)
			u = vec.DecimalOf(uint8(p), uint8(s))
		}
		if t.Kind == vec.Null {
			u = vec.TypeBool
		}
		if err := coerce(args, i, u); err != nil {
			return vec.Type{}, err
		}
	}
	return vec.TypeBool, nil
}

var _ = func() struct{} {
	for name, op := range cmpOps {
		register(Func{Name: name, Min: 2, Max: 2, Bind: bindCmp, Build: buildCmp(op)})
	}
	registry["!="] = registry["<>"]
	return struct{}{}
}()

// fuse recognises a comparison with a constant that can select rows at once.
func fuse(n *node) filterCond {
	c := filterCond{n: n}
	if n.kind != nodeCall || len(n.args) != 2 {
		return c
	}
	op, ok := cmpOps[n.expr.Func]
	if !ok {
		return c
	}
	value, constant := n.args[0], n.args[1]
	if value.kind == nodeLit {
		value, constant, op = constant, value, op.mirrored()
	}
	if constant.kind != nodeLit || value.kind == nodeLit || constant.res.Col.IsNull(0) {
		return c
	}
	c.value = value
	k := constant.res.Col
	switch k.Kind() {
	case vec.Int8:
		c.cmp = selectConst(op, vec.Values[int8](k)[0])
	case vec.Int16:
		c.cmp = selectConst(op, vec.Values[int16](k)[0])
	case vec.Int32, vec.Date, vec.Time, vec.IntervalYM:
		c.cmp = selectConst(op, vec.Values[int32](k)[0])
	case vec.Int64, vec.Timestamp, vec.TimestampLTZ, vec.IntervalDT:
		c.cmp = selectConst(op, vec.Values[int64](k)[0])
	case vec.Float32:
		c.cmp = selectConst(op, vec.Values[float32](k)[0])
	case vec.Float64:
		c.cmp = selectConst(op, vec.Values[float64](k)[0])
	}
	return c
}

// selectConst returns a function that appends the rows where the comparison with c is TRUE; dst may be the memory of sel.
func selectConst[T ordered](op cmpOp, c T) func(a Arg, rows int, sel, dst []int) []int {
	return func(a Arg, rows int, sel, dst []int) []int {
		v, valid := vec.Values[T](a.Col), a.Valid()
		switch {
		case sel != nil:
			dst = dst[:len(sel)]
		case rows <= len(identityRows):
			sel, dst = identityRows[:rows], dst[:rows]
		default:
			dst = dst[:rows]
			for i := range dst {
				dst[i] = i
			}
			sel = dst
		}
		k := selectLoop(op, v, c, sel, dst)
		if valid == nil {
			return dst[:k]
		}
		sel, k = dst[:k], 0
		for _, i := range sel {
			dst[k] = i
			k += int(valid[i>>6] >> (uint(i) & 63) & 1)
		}
		return dst[:k]
	}
}

// selectLoop writes the rows of sel that match to dst and returns how many there are.
func selectLoop[T ordered](op cmpOp, v []T, c T, sel, dst []int) int {
	k := 0
	switch op {
	case cmpEQ:
		for _, i := range sel {
			dst[k] = i
			k += int(bitWord(v[i] == c))
		}
	case cmpNE:
		for _, i := range sel {
			dst[k] = i
			k += int(bitWord(v[i] != c))
		}
	case cmpLT:
		for _, i := range sel {
			dst[k] = i
			k += int(bitWord(v[i] < c))
		}
	case cmpLE:
		for _, i := range sel {
			dst[k] = i
			k += int(bitWord(v[i] <= c))
		}
	case cmpGT:
		for _, i := range sel {
			dst[k] = i
			k += int(bitWord(v[i] > c))
		}
	case cmpGE:
		for _, i := range sel {
			dst[k] = i
			k += int(bitWord(v[i] >= c))
		}
	}
	return k
}

// identityRows is 0, 1, 2, …; read-only, so that batches of usual size share it.
var identityRows = func() []int {
	s := make([]int, vec.MaxRows)
	for i := range s {
		s[i] = i
	}
	return s
}()
