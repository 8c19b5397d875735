package agg

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/bramble-stream/bramble/engine/state/enc"
	"github.com/bramble-stream/bramble/engine/vec"
)

// extState is the least or greatest value so far.
type extState[A int64 | float64] struct {
	v   A
	set bool
}

// extreme is MIN and MAX over kinds that fit an int64 or a float64.
type extreme[A int64 | float64] struct {
	arg int
	max bool
	st  []extState[A]
}

var (
	_ acc = (*extreme[int64])(nil)
	_ acc = (*extreme[float64])(nil)
)

func newExtreme(sp Spec) acc {
	k, isMax := sp.ArgTypes[0].Kind, sp.Func == "MAX"
	switch {
	case k == vec.Float32 || k == vec.Float64:
		return &extreme[float64]{arg: sp.Args[0], max: isMax}
	case enc.IsWord(k):
		return &extreme[int64]{arg: sp.Args[0], max: isMax}
	default:
		return &extremeBlob{arg: sp.Args[0], max: isMax, kind: k}
	}
}

func (a *extreme[A]) resize(groups int) { a.st = grow(a.st, groups) }

func (a *extreme[A]) add(cols []*vec.Col, sel []int, groups []int32) {
	a.fold(cols[a.arg], sel, groups)
}

// retract does nothing: newAcc makes an extremes where rows can be taken back.
func (a *extreme[A]) retract([]*vec.Col, []int, []int32) {}

func (a *extreme[A]) fold(c *vec.Col, sel []int, groups []int32) {
	switch c.Kind() {
	case vec.Int8:
		extremeInto(a.st, c, vec.Values[int8](c), sel, groups, a.max)
	case vec.Int16:
		extremeInto(a.st, c, vec.Values[int16](c), sel, groups, a.max)
	case vec.Int32, vec.Date, vec.Time, vec.IntervalYM:
		extremeInto(a.st, c, vec.Values[int32](c), sel, groups, a.max)
	case vec.Int64, vec.Timestamp, vec.TimestampLTZ, vec.IntervalDT:
		extremeInto(a.st, c, vec.Values[int64](c), sel, groups, a.max)
	case vec.Float32:
		extremeInto(a.st, c, vec.Values[float32](c), sel, groups, a.max)
	case vec.Float64:
		extremeInto(a.st, c, vec.Values[float64](c), sel, groups, a.max)
	case vec.Bool:
		for k, g := range groups {
			if i := sel[k]; !c.IsNull(i) {
				a.put(g, A(int64(enc.Word(c, i))))
			}
		}
	}
}

func extremeInto[A int64 | float64, S int8 | int16 | int32 | int64 | float32 | float64](
	st []extState[A], c *vec.Col, v []S, sel []int, groups []int32, isMax bool,
) {
	valid := c.Valid()
	sel = sel[:len(groups)]
	if isMax {
		for k, g := range groups {
			i := sel[k]
			if valid != nil && !valid.Get(i) {
				continue
			}
			if s, x := &st[g], A(v[i]); !s.set || x > s.v {
				*s = extState[A]{x, true}
			}
		}
		return
	}
	for k, g := range groups {
		i := sel[k]
		if valid != nil && !valid.Get(i) {
			continue
		}
		if s, x := &st[g], A(v[i]); !s.set || x < s.v {
			*s = extState[A]{x, true}
		}
	}
}

func (a *extreme[A]) put(g int32, x A) {
	if s := &a.st[g]; !s.set || a.max && x > s.v || !a.max && x < s.v {
		*s = extState[A]{x, true}
	}
}

func (a *extreme[A]) merge(dst []int32, other acc, src []int32) {
	o := other.(*extreme[A])
	for k, g := range dst {
		if s := o.st[src[k]]; s.set {
			a.put(g, s.v)
		}
	}
}

func (a *extreme[A]) partials(cols []*vec.Col, sel []int, groups []int32) {
	a.fold(cols[0], sel, groups)
}

func (a *extreme[A]) appendPartial(dst []*vec.Col, groups []int32) { a.result(dst, groups) }

func (a *extreme[A]) result(dst []*vec.Col, groups []int32) {
	for _, c := range dst {
		for _, g := range groups {
			if s := a.st[g]; s.set {
				appendNumber(c, s.v)
			} else {
				c.AppendNull()
			}
		}
	}
}

func (a *extreme[A]) encode(dst []byte, g int32) []byte {
	s := a.st[g]
	if !s.set {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	if f, ok := any(s.v).(float64); ok {
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
	}
	return binary.LittleEndian.AppendUint64(dst, uint64(int64(s.v)))
}

func (a *extreme[A]) decode(src []byte, g int32) ([]byte, error) {
	a.st[g] = extState[A]{}
	if len(src) < 1 || src[0] > 1 || src[0] == 1 && len(src) < 9 {
		return nil, enc.ErrCorrupt
	}
	if src[0] == 0 {
		return src[1:], nil
	}
	w := binary.LittleEndian.Uint64(src[1:])
	s := &a.st[g]
	s.set = true
	switch p := any(&s.v).(type) {
	case *float64:
		*p = math.Float64frombits(w)
	case *int64:
		*p = int64(w)
	}
	return src[9:], nil
}

func (a *extreme[A]) clear(g int32)   { a.st[g] = extState[A]{} }
func (a *extreme[A]) memBytes() int64 { return 16 * int64(cap(a.st)) }
func (a *extreme[A]) reset()          { a.st = a.st[:0] }

// loadBlob returns row i, not NULL, of a STRING, BYTES, DECIMAL or nested column as bytes: strings as they are, others encoded into buf.
func loadBlob(c *vec.Col, i int, buf *[]byte) []byte {
	if c.Kind().IsBinaryLike() {
		return c.Bytes(i)
	}
	*buf = enc.AppendValue((*buf)[:0], c, i)
	return *buf
}

// appendBlob appends to c what loadBlob returned. Bytes that do not decode, which only corrupt state can hold, become NULL.
func appendBlob(c *vec.Col, b []byte) {
	if c.Kind().IsBinaryLike() {
		c.AppendBytes(b)
		return
	}
	n := c.Len()
	if _, err := enc.DecodeValue(b, c); err != nil && c.Len() == n {
		c.AppendNull()
	}
}

// compareBlob orders values of loadBlob.
func compareBlob(k vec.Kind, x, y []byte) int {
	if k == vec.Decimal && len(x) == 16 && len(y) == 16 {
		return decOf(x).Cmp(decOf(y))
	}
	return bytes.Compare(x, y)
}

func decOf(b []byte) vec.Num {
	return decimal128.New(int64(binary.LittleEndian.Uint64(b[8:])), binary.LittleEndian.Uint64(b))
}

// extremeBlob is MIN and MAX over STRING and DECIMAL.
type extremeBlob struct {
	arg  int
	max  bool
	v    blobs
	buf  []byte
	kind vec.Kind
}

var _ acc = (*extremeBlob)(nil)

func (a *extremeBlob) resize(groups int) { a.v.resize(groups) }

func (a *extremeBlob) add(cols []*vec.Col, sel []int, groups []int32) {
	a.fold(cols[a.arg], sel, groups)
}

// retract does nothing: newAcc makes an extremes where rows can be taken back.
func (a *extremeBlob) retract([]*vec.Col, []int, []int32) {}

func (a *extremeBlob) fold(c *vec.Col, sel []int, groups []int32) {
	for k, g := range groups {
		if i := sel[k]; !c.IsNull(i) {
			a.put(g, loadBlob(c, i, &a.buf))
		}
	}
}

func (a *extremeBlob) put(g int32, x []byte) {
	old, ok := a.v.get(g)
	if ok {
		if o := compareBlob(a.kind, x, old); a.max && o <= 0 || !a.max && o >= 0 {
			return
		}
	}
	a.v.set(g, x)
}

func (a *extremeBlob) merge(dst []int32, other acc, src []int32) {
	o := other.(*extremeBlob)
	for k, g := range dst {
		if x, ok := o.v.get(src[k]); ok {
			a.put(g, x)
		}
	}
}

func (a *extremeBlob) partials(cols []*vec.Col, sel []int, groups []int32) {
	a.fold(cols[0], sel, groups)
}

func (a *extremeBlob) appendPartial(dst []*vec.Col, groups []int32) { a.result(dst, groups) }

func (a *extremeBlob) result(dst []*vec.Col, groups []int32) { blobResult(&a.v, dst, groups) }

func blobResult(v *blobs, dst []*vec.Col, groups []int32) {
	for _, c := range dst {
		for _, g := range groups {
			if b, ok := v.get(g); ok {
				appendBlob(c, b)
			} else {
				c.AppendNull()
			}
		}
	}
}

func (a *extremeBlob) encode(dst []byte, g int32) []byte { return blobEncode(&a.v, dst, g) }

func blobEncode(v *blobs, dst []byte, g int32) []byte {
	b, ok := v.get(g)
	if !ok {
		return append(dst, 0)
	}
	return enc.AppendBytes(append(dst, 1), b)
}

func (a *extremeBlob) decode(src []byte, g int32) ([]byte, error) { return blobDecode(&a.v, src, g) }

func blobDecode(v *blobs, src []byte, g int32) ([]byte, error) {
	v.clear(g)
	if len(src) < 1 || src[0] > 1 {
		return nil, enc.ErrCorrupt
	}
	if src[0] == 0 {
		return src[1:], nil
	}
	b, rest, err := enc.Bytes(src[1:])
	if err != nil {
		return nil, err
	}
	v.set(g, b)
	return rest, nil
}

func (a *extremeBlob) clear(g int32)   { a.v.clear(g) }
func (a *extremeBlob) memBytes() int64 { return a.v.memBytes() }
func (a *extremeBlob) reset()          { a.v.reset() }
