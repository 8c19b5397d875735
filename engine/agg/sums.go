package agg

import (
	"encoding/binary"
	"math"
	"math/big"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/bramble-stream/bramble/engine/state/enc"
	"github.com/bramble-stream/bramble/engine/vec"
)

// grow returns s with length n; entries past the old length are zero.
func grow[T any](s []T, n int) []T {
	old := len(s)
	if n <= old {
		return s
	}
	s = slices.Grow(s, n-old)[:n]
	clear(s[old:])
	return s
}

// anyNull reports whether row i is NULL in one of the columns.
func anyNull(cols []*vec.Col, args []int, i int) bool {
	for _, a := range args {
		if cols[a].IsNull(i) {
			return true
		}
	}
	return false
}

func hasNulls(cols []*vec.Col, args []int) bool {
	for _, a := range args {
		if cols[a].HasNulls() {
			return true
		}
	}
	return false
}

// count is COUNT(*) and COUNT(a, …).
type count struct {
	args []int
	n    []int64
}

var _ acc = (*count)(nil)

func (a *count) resize(groups int) { a.n = grow(a.n, groups) }

func (a *count) add(cols []*vec.Col, sel []int, groups []int32)     { a.step(cols, sel, groups, 1) }
func (a *count) retract(cols []*vec.Col, sel []int, groups []int32) { a.step(cols, sel, groups, -1) }

func (a *count) step(cols []*vec.Col, sel []int, groups []int32, by int64) {
	n := a.n
	if !hasNulls(cols, a.args) {
		for _, g := range groups {
			n[g] += by
		}
		return
	}
	for k, g := range groups {
		if !anyNull(cols, a.args, sel[k]) {
			n[g] += by
		}
	}
}

func (a *count) merge(dst []int32, other acc, src []int32) {
	o := other.(*count)
	for k, g := range dst {
		a.n[g] += o.n[src[k]]
	}
}

func (a *count) partials(cols []*vec.Col, sel []int, groups []int32) {
	v := vec.Values[int64](cols[0])
	for k, g := range groups {
		a.n[g] += v[sel[k]]
	}
}

func (a *count) appendPartial(dst []*vec.Col, groups []int32) { a.result(dst, groups) }

func (a *count) result(dst []*vec.Col, groups []int32) {
	for _, c := range dst {
		at := c.Len()
		c.Resize(at + len(groups))
		v := vec.Values[int64](c)[at:]
		for k, g := range groups {
			v[k] = a.n[g]
		}
	}
}

func (a *count) encode(dst []byte, g int32) []byte { return binary.AppendVarint(dst, a.n[g]) }

func (a *count) decode(src []byte, g int32) ([]byte, error) {
	n, k := binary.Varint(src)
	if k <= 0 {
		return nil, enc.ErrCorrupt
	}
	a.n[g] = n
	return src[k:], nil
}

func (a *count) clear(g int32)   { a.n[g] = 0 }
func (a *count) memBytes() int64 { return 8 * int64(cap(a.n)) }
func (a *count) reset()          { a.n = a.n[:0] }

// sumState is a sum and how many values are in it.
type sumState[A int64 | float64] struct {
	sum A
	n   int64
}

// sum is SUM and AVG of integers (in int64, wrapping) and floats (in float64).
type sum[A int64 | float64] struct {
	arg  int
	kind vec.Kind
	avg  bool
	st   []sumState[A]
}

var (
	_ acc = (*sum[int64])(nil)
	_ acc = (*sum[float64])(nil)
)

func newSum(sp Spec) acc {
	k, avg := sp.ArgTypes[0].Kind, sp.Func == "AVG"
	switch k {
	case vec.Float32, vec.Float64:
		return &sum[float64]{arg: sp.Args[0], kind: k, avg: avg}
	case vec.Decimal:
		return &sumDec{arg: sp.Args[0], scale: sp.ArgTypes[0].Scale, avg: avg}
	default:
		return &sum[int64]{arg: sp.Args[0], kind: k, avg: avg}
	}
}

func (a *sum[A]) resize(groups int) { a.st = grow(a.st, groups) }

func (a *sum[A]) add(cols []*vec.Col, sel []int, groups []int32) {
	a.step(cols[a.arg], a.kind, sel, groups, 1)
}

func (a *sum[A]) retract(cols []*vec.Col, sel []int, groups []int32) {
	a.step(cols[a.arg], a.kind, sel, groups, -1)
}

func (a *sum[A]) step(c *vec.Col, k vec.Kind, sel []int, groups []int32, sign int64) {
	switch k {
	case vec.Int8:
		sumInto(a.st, c, vec.Values[int8](c), sel, groups, sign)
	case vec.Int16:
		sumInto(a.st, c, vec.Values[int16](c), sel, groups, sign)
	case vec.Int32:
		sumInto(a.st, c, vec.Values[int32](c), sel, groups, sign)
	case vec.Int64:
		sumInto(a.st, c, vec.Values[int64](c), sel, groups, sign)
	case vec.Float32:
		sumInto(a.st, c, vec.Values[float32](c), sel, groups, sign)
	case vec.Float64:
		sumInto(a.st, c, vec.Values[float64](c), sel, groups, sign)
	}
}

func sumInto[A int64 | float64, S int8 | int16 | int32 | int64 | float32 | float64](
	st []sumState[A], c *vec.Col, v []S, sel []int, groups []int32, sign int64,
) {
	if valid := c.Valid(); valid != nil {
		for k, g := range groups {
			if i := sel[k]; valid.Get(i) {
				s := &st[g]
				s.sum += A(sign) * A(v[i])
				s.n += sign
			}
		}
		return
	}
	if sign < 0 {
		for k, g := range groups {
			s := &st[g]
			s.sum -= A(v[sel[k]])
			s.n--
		}
		return
	}
	sel = sel[:len(groups)]
	for k, g := range groups {
		s := &st[g]
		s.sum += A(v[sel[k]])
		s.n++
	}
}

func (a *sum[A]) merge(dst []int32, other acc, src []int32) {
	o := other.(*sum[A])
	for k, g := range dst {
		s := o.st[src[k]]
		a.st[g].sum += s.sum
		a.st[g].n += s.n
	}
}

// wide is the kind that partial sums travel in.
func (a *sum[A]) wide() vec.Kind {
	var one A = 1
	if one/2 == 0 {
		return vec.Int64
	}
	return vec.Float64
}

func (a *sum[A]) partials(cols []*vec.Col, sel []int, groups []int32) {
	if !a.avg {
		a.step(cols[0], a.wide(), sel, groups, 1)
		return
	}
	n, c := vec.Values[int64](cols[1]), cols[0]
	before := a.st
	a.step(c, a.wide(), sel, groups, 1)
	for k, g := range groups {
		if !c.IsNull(sel[k]) {
			before[g].n += n[sel[k]] - 1
		}
	}
}

func (a *sum[A]) appendPartial(dst []*vec.Col, groups []int32) {
	for _, g := range groups {
		s := a.st[g]
		if s.n == 0 {
			dst[0].AppendNull()
		} else {
			appendWide(dst[0], s.sum)
		}
		if a.avg {
			vec.AppendValue(dst[1], s.n)
		}
	}
}

func appendWide[A int64 | float64](c *vec.Col, v A) {
	if c.Kind() == vec.Float64 {
		vec.AppendValue(c, float64(v))
	} else {
		vec.AppendValue(c, int64(v))
	}
}

func (a *sum[A]) result(dst []*vec.Col, groups []int32) {
	for _, c := range dst {
		for _, g := range groups {
			s := a.st[g]
			if s.n == 0 {
				c.AppendNull()
				continue
			}
			v := s.sum
			if a.avg {
				v /= A(s.n)
			}
			appendNumber(c, v)
		}
	}
}

// appendNumber appends v in the column's own width; integers wrap, as Java's do.
func appendNumber[A int64 | float64](c *vec.Col, v A) {
	switch c.Kind() {
	case vec.Float32:
		vec.AppendValue(c, float32(v))
	case vec.Float64:
		vec.AppendValue(c, float64(v))
	default:
		enc.AppendWord(c, uint64(int64(v)))
	}
}

func (a *sum[A]) encode(dst []byte, g int32) []byte {
	s := a.st[g]
	dst = binary.AppendVarint(dst, s.n)
	if a.wide() == vec.Int64 {
		return binary.AppendVarint(dst, int64(s.sum))
	}
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(float64(s.sum)))
}

func (a *sum[A]) decode(src []byte, g int32) ([]byte, error) {
	n, k := binary.Varint(src)
	if k <= 0 {
		return nil, enc.ErrCorrupt
	}
	src = src[k:]
	if a.wide() == vec.Int64 {
		v, k := binary.Varint(src)
		if k <= 0 {
			return nil, enc.ErrCorrupt
		}
		a.st[g] = sumState[A]{A(v), n}
		return src[k:], nil
	}
	if len(src) < 8 {
		return nil, enc.ErrCorrupt
	}
	a.st[g] = sumState[A]{A(math.Float64frombits(binary.LittleEndian.Uint64(src))), n}
	return src[8:], nil
}

func (a *sum[A]) clear(g int32)   { a.st[g] = sumState[A]{} }
func (a *sum[A]) memBytes() int64 { return 16 * int64(cap(a.st)) }
func (a *sum[A]) reset()          { a.st = a.st[:0] }

// overflow marks a decimal sum that has left 38 digits: it stays so, and its result is NULL, as in Flink.
var overflow = decimal128.New(math.MinInt64, 0)

// maxDec is 10^38, the first value that DECIMAL(38, s) cannot hold.
var maxDec = decimal128.GetScaleMultiplier(38)

type decState struct {
	sum vec.Num
	n   int64
}

// sumDec is SUM and AVG of DECIMAL.
type sumDec struct {
	arg   int
	scale uint8
	avg   bool
	st    []decState
}

var _ acc = (*sumDec)(nil)

func (a *sumDec) resize(groups int) { a.st = grow(a.st, groups) }

func addDec(x, y vec.Num) vec.Num {
	if x == overflow || y == overflow {
		return overflow
	}
	z := x.Add(y)
	if !z.Less(maxDec) || !maxDec.Negate().Less(z) || x.Sign() == y.Sign() && x.Sign() != z.Sign() && z.Sign() != 0 {
		return overflow
	}
	return z
}

func (a *sumDec) add(cols []*vec.Col, sel []int, groups []int32) {
	c := cols[a.arg]
	v, valid := vec.Values[vec.Num](c), c.Valid()
	for k, g := range groups {
		if i := sel[k]; valid == nil || valid.Get(i) {
			a.st[g] = decState{addDec(a.st[g].sum, v[i]), a.st[g].n + 1}
		}
	}
}

func (a *sumDec) retract(cols []*vec.Col, sel []int, groups []int32) {
	c := cols[a.arg]
	v, valid := vec.Values[vec.Num](c), c.Valid()
	for k, g := range groups {
		if i := sel[k]; valid == nil || valid.Get(i) {
			a.st[g] = decState{addDec(a.st[g].sum, v[i].Negate()), a.st[g].n - 1}
		}
	}
}

func (a *sumDec) merge(dst []int32, other acc, src []int32) {
	o := other.(*sumDec)
	for k, g := range dst {
		s := o.st[src[k]]
		a.st[g] = decState{addDec(a.st[g].sum, s.sum), a.st[g].n + s.n}
	}
}

// partials: a NULL sum with a count is one that has overflowed.
func (a *sumDec) partials(cols []*vec.Col, sel []int, groups []int32) {
	v := vec.Values[vec.Num](cols[0])
	for k, g := range groups {
		i, n := sel[k], int64(1)
		if a.avg {
			n = vec.Values[int64](cols[1])[i]
		}
		switch {
		case !cols[0].IsNull(i):
			a.st[g] = decState{addDec(a.st[g].sum, v[i]), a.st[g].n + n}
		case a.avg && n != 0:
			a.st[g] = decState{overflow, a.st[g].n + n}
		}
	}
}

func (a *sumDec) appendPartial(dst []*vec.Col, groups []int32) {
	for _, g := range groups {
		s := a.st[g]
		if s.n == 0 || s.sum == overflow && a.avg {
			dst[0].AppendNull()
		} else {
			// An overflowed SUM travels as the marker itself, which is no valid decimal.
			vec.AppendValue(dst[0], s.sum)
		}
		if a.avg {
			vec.AppendValue(dst[1], s.n)
		}
	}
}

func (a *sumDec) result(dst []*vec.Col, groups []int32) {
	for _, c := range dst {
		for _, g := range groups {
			s := a.st[g]
			if s.n == 0 || s.sum == overflow {
				c.AppendNull()
				continue
			}
			v, ok := s.sum, true
			if a.avg {
				v, ok = divDec(s.sum, s.n, int(c.Type().Scale)-int(a.scale))
			}
			if !ok {
				c.AppendNull()
				continue
			}
			vec.AppendValue(c, v)
		}
	}
}

// divDec returns x * 10^up / n, half rounded away from zero, and whether it fits 38 digits.
func divDec(x vec.Num, n int64, up int) (vec.Num, bool) {
	if up < 0 {
		up = 0
	}
	b := vec.NumToBig(new(big.Int), x)
	b.Mul(b, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(up)), nil))
	d := big.NewInt(n)
	q, r := new(big.Int).QuoRem(b, d, new(big.Int))
	if r.Abs(r).Lsh(r, 1).CmpAbs(d) >= 0 {
		if (b.Sign() < 0) != (n < 0) {
			q.Sub(q, big.NewInt(1))
		} else {
			q.Add(q, big.NewInt(1))
		}
	}
	if q.CmpAbs(vec.NumToBig(new(big.Int), maxDec)) >= 0 {
		return vec.Num{}, false
	}
	return vec.NumFromBig(q)
}

func (a *sumDec) encode(dst []byte, g int32) []byte {
	s := a.st[g]
	dst = binary.AppendVarint(dst, s.n)
	dst = binary.LittleEndian.AppendUint64(dst, s.sum.LowBits())
	return binary.LittleEndian.AppendUint64(dst, uint64(s.sum.HighBits()))
}

func (a *sumDec) decode(src []byte, g int32) ([]byte, error) {
	n, k := binary.Varint(src)
	if k <= 0 || len(src) < k+16 {
		return nil, enc.ErrCorrupt
	}
	src = src[k:]
	lo, hi := binary.LittleEndian.Uint64(src), binary.LittleEndian.Uint64(src[8:])
	a.st[g] = decState{decimal128.New(int64(hi), lo), n}
	return src[16:], nil
}

func (a *sumDec) clear(g int32)   { a.st[g] = decState{} }
func (a *sumDec) memBytes() int64 { return 24 * int64(cap(a.st)) }
func (a *sumDec) reset()          { a.st = a.st[:0] }
