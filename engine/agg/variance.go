package agg

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/bramble-stream/bramble/engine/state/enc"
	"github.com/bramble-stream/bramble/engine/vec"
)

// moments are the count, the mean and the sum of squared deviations (Welford 1962; merged as Chan et al. 1979).
type moments struct {
	n        int64
	mean, m2 float64
}

// plus merges two moments with counts >= 0.
func (a moments) plus(b moments) moments {
	switch {
	case a.n == 0:
		return b
	case b.n == 0:
		return a
	}
	n := a.n + b.n
	d := b.mean - a.mean
	return moments{
		n:    n,
		mean: a.mean + d*float64(b.n)/float64(n),
		m2:   a.m2 + b.m2 + d*d*float64(a.n)*float64(b.n)/float64(n),
	}
}

// variance is VAR_POP, VAR_SAMP, STDDEV_POP and STDDEV_SAMP.
type variance struct {
	arg          int
	scale        int32
	samp, stddev bool
	// plain says that rows can be taken back: moments then are the count, the sum and the sum of squares, as Flink keeps them, since a mean of
	// as many rows taken back as added could not say which.
	plain bool
	st    []moments
}

var _ acc = (*variance)(nil)

func newVariance(sp Spec, retract bool) acc {
	return &variance{
		plain: retract,
		arg:   sp.Args[0], scale: int32(sp.ArgTypes[0].Scale),
		samp:   sp.Func == "VAR_SAMP" || sp.Func == "STDDEV_SAMP",
		stddev: sp.Func == "STDDEV_POP" || sp.Func == "STDDEV_SAMP",
	}
}

func (a *variance) resize(groups int) { a.st = grow(a.st, groups) }

func (a *variance) add(cols []*vec.Col, sel []int, groups []int32) {
	c := cols[a.arg]
	for k, g := range groups {
		if i := sel[k]; !c.IsNull(i) {
			a.put(g, a.one(a.float(c, i)))
		}
	}
}

func (a *variance) retract(cols []*vec.Col, sel []int, groups []int32) {
	c := cols[a.arg]
	for k, g := range groups {
		if i := sel[k]; !c.IsNull(i) {
			x := a.float(c, i)
			a.put(g, moments{-1, -x, -x * x})
		}
	}
}

// one is the moments of a single value.
func (a *variance) one(x float64) moments {
	if a.plain {
		return moments{1, x, x * x}
	}
	return moments{n: 1, mean: x}
}

func (a *variance) put(g int32, m moments) {
	s := &a.st[g]
	if a.plain {
		*s = moments{s.n + m.n, s.mean + m.mean, s.m2 + m.m2}
		return
	}
	*s = s.plus(m)
}

func (a *variance) float(c *vec.Col, i int) float64 {
	switch c.Kind() {
	case vec.Float32:
		return float64(vec.Values[float32](c)[i])
	case vec.Float64:
		return vec.Values[float64](c)[i]
	case vec.Decimal:
		return vec.Values[vec.Num](c)[i].ToFloat64(a.scale)
	default:
		return float64(int64(enc.Word(c, i)))
	}
}

func (a *variance) merge(dst []int32, other acc, src []int32) {
	o := other.(*variance)
	for k, g := range dst {
		a.put(g, o.st[src[k]])
	}
}

func (a *variance) partials(cols []*vec.Col, sel []int, groups []int32) {
	n, mean, m2 := vec.Values[int64](cols[0]), vec.Values[float64](cols[1]), vec.Values[float64](cols[2])
	for k, g := range groups {
		i := sel[k]
		a.put(g, moments{n[i], mean[i], m2[i]})
	}
}

func (a *variance) appendPartial(dst []*vec.Col, groups []int32) {
	for _, g := range groups {
		s := a.st[g]
		vec.AppendValue(dst[0], s.n)
		vec.AppendValue(dst[1], s.mean)
		vec.AppendValue(dst[2], s.m2)
	}
}

func (a *variance) result(dst []*vec.Col, groups []int32) {
	for _, c := range dst {
		for _, g := range groups {
			a.appendResult(c, a.st[g])
		}
	}
}

func (a *variance) appendResult(c *vec.Col, s moments) {
	n := s.n
	if a.samp {
		n--
	}
	if n <= 0 {
		c.AppendNull()
		return
	}
	m2 := s.m2
	if a.plain {
		m2 -= s.mean * s.mean / float64(s.n)
	}
	v := max(m2, 0) / float64(n)
	if a.stddev {
		v = math.Sqrt(v)
	}
	if c.Kind().IsInteger() {
		v += v*1e-12 + 1e-9 // an exact integer must not be cut to the one below for rounding
	}
	if c.Kind() != vec.Decimal {
		appendNumber(c, v)
		return
	}
	d, err := decimal128.FromFloat64(v, 38, int32(c.Type().Scale))
	if err != nil {
		c.AppendNull()
		return
	}
	vec.AppendValue(c, d)
}

func (a *variance) encode(dst []byte, g int32) []byte {
	s := a.st[g]
	dst = binary.AppendVarint(dst, s.n)
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(s.mean))
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(s.m2))
}

func (a *variance) decode(src []byte, g int32) ([]byte, error) {
	n, k := binary.Varint(src)
	if k <= 0 || len(src) < k+16 {
		return nil, enc.ErrCorrupt
	}
	src = src[k:]
	a.st[g] = moments{
		n, math.Float64frombits(binary.LittleEndian.Uint64(src)), math.Float64frombits(binary.LittleEndian.Uint64(src[8:])),
	}
	return src[16:], nil
}

func (a *variance) clear(g int32)   { a.st[g] = moments{} }
func (a *variance) memBytes() int64 { return 24 * int64(cap(a.st)) }
func (a *variance) reset()          { a.st = a.st[:0] }
