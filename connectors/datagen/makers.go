package datagen

import (
	"math"
	"math/big"
	"math/bits"
	"strconv"

	"github.com/zeebo/xxh3"

	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/civil"
	"github.com/bramble-stream/bramble/internal/duration"
)

const (
	sequenceKind, randomKind = "sequence", "random"

	defaultLength, defaultElements = 100, 3
	// lengthMax and elementsMax keep a row within reason.
	lengthMax, elementsMax = 1 << 20, 10000
	dayMS                  = 24 * 60 * 60 * 1000
)

// instant is the time of a batch: utc ms since the epoch, local the same moment on the wall clock of table.local-time-zone.
type instant struct{ utc, local int64 }

// maker fills a column.
type maker interface {
	// fill appends a value for each row: nums are the rows' numbers, seeds what their random values come from.
	fill(c *vec.Col, nums []int64, seeds []uint64, at instant)
	// width is the most bytes that a value takes, about.
	width() int64
}

// mix is the finalizer of splitmix64: a bijection whose output looks random.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

const golden = 0x9e3779b97f4a7c15

// below maps random bits to [0, n); n 0 stands for 2^64.
func below(r, n uint64) uint64 {
	if n == 0 {
		return r
	}
	hi, _ := bits.Mul64(r, n)
	return hi
}

// unit maps random bits to [0, 1).
func unit(r uint64) float64 { return float64(r>>11) / (1 << 53) }

// common is what every column has.
type common struct {
	// salt tells the draws of one column from those of another: a hash of its name.
	salt     uint64
	nullRate float64
}

func (m *common) draw(seed uint64) uint64 { return mix(seed ^ m.salt) }

func (m *common) null(seed uint64) bool {
	return m.nullRate > 0 && unit(mix(seed^m.salt+golden)) < m.nullRate
}

func (m *common) width() int64 { return 16 }

// maker returns the maker of the column, field or element at path.
func (r *reader) maker(path string, t vec.Type) maker {
	kind, _ := r.get(path + ".kind")
	c := common{salt: xxh3.HashString(path), nullRate: r.float(path+".null-rate", 0)}
	if c.nullRate < 0 || c.nullRate > 1 {
		r.fail(path+".null-rate", r.options[path+".null-rate"], "rate from 0 to 1")
	}
	switch {
	case kind == sequenceKind:
		return r.sequence(path, t, c)
	case kind != "" && kind != randomKind:
		r.fail(path+".kind", kind, "kind; 'random' and 'sequence' are")
	}
	switch k := t.Kind; {
	case k.IsInteger(), k == vec.IntervalYM, k == vec.IntervalDT:
		return r.integers(path, t, c)
	case k == vec.Float32, k == vec.Float64:
		return r.floats(path, t, c)
	case k == vec.Decimal:
		return r.decimals(path, t, c)
	case k == vec.String, k == vec.Bytes:
		n, varies := r.length(path, defaultLength, lengthMax)
		return &texts{common: c, length: n, varies: varies}
	case k == vec.Bool:
		return &bools{c}
	case k == vec.Date, k == vec.Time, k.IsTimestamp():
		return r.times(path, t, c)
	case k == vec.Row:
		m := &rowMaker{common: c}
		for _, f := range t.Fields {
			m.fields = append(m.fields, r.maker(path+"."+f.Name, f.Type))
		}
		return m
	case k == vec.Array:
		return r.list(path, c, r.maker(path+".element", t.Fields[0].Type))
	case k == vec.Map:
		return r.list(path, c, r.maker(path+".key", t.Fields[0].Type), r.maker(path+".value", t.Fields[1].Type))
	default:
		r.fail(path, t.String(), "type that datagen makes")
		return &bools{c}
	}
}

func (r *reader) length(path string, otherwise, most int64) (n int64, varies bool) {
	n = otherwise
	if v, ok := r.integer(path + ".length"); ok {
		n = v
	}
	if n < 0 || n > most {
		r.fail(path+".length", strconv.FormatInt(n, 10), "length from 0 to "+strconv.FormatInt(most, 10))
	}
	v, _ := r.get(path + ".var-len")
	return n, v == "true"
}

func (r *reader) list(path string, c common, kids ...maker) maker {
	n, varies := r.length(path, defaultElements, elementsMax)
	return &lists{common: c, kids: kids, elements: n, varies: varies}
}

// rangeOf is what a type of whole numbers holds.
func rangeOf(k vec.Kind) (lo, hi int64) {
	switch k {
	case vec.Int8:
		return math.MinInt8, math.MaxInt8
	case vec.Int16:
		return math.MinInt16, math.MaxInt16
	case vec.Int32:
		return math.MinInt32, math.MaxInt32
	case vec.IntervalYM:
		return 0, 120000 // Flink's: up to ten thousand years
	case vec.IntervalDT:
		return 0, math.MaxInt64
	default:
		return math.MinInt64, math.MaxInt64
	}
}

func (r *reader) sequence(path string, t vec.Type, c common) maker {
	start, end, _ := r.bounds(path)
	lo, hi := rangeOf(t.Kind)
	switch {
	case r.err != nil:
	case !canCount(t.Kind):
		r.fail(path+".kind", sequenceKind, "kind for "+t.String()+": only numbers and strings have sequences")
	case start < lo || end > hi:
		r.fail(path+".end", strconv.FormatInt(end, 10), "end of a sequence of "+t.String()+" from "+strconv.FormatInt(start, 10))
	}
	return &sequence{common: c, start: start, scale: pow10(int(t.Scale))}
}

func (r *reader) integers(path string, t vec.Type, c common) maker {
	lo, hi := rangeOf(t.Kind)
	m := &integers{common: c, lo: lo, hi: hi}
	if v, ok := r.integer(path + ".min"); ok {
		m.lo = v
	}
	if v, ok := r.integer(path + ".max"); ok {
		m.hi = v
	}
	if r.err == nil && (m.lo < lo || m.hi > hi || m.lo > m.hi) {
		r.fail(path+".min", strconv.FormatInt(m.lo, 10), "lower bound of a range of "+t.String()+" up to "+strconv.FormatInt(m.hi, 10))
	}
	return m
}

func (r *reader) floats(path string, t vec.Type, c common) maker {
	least := math.MaxFloat64
	if t.Kind == vec.Float32 {
		least = math.MaxFloat32
	}
	m := &floats{common: c, lo: r.float(path+".min", -least), hi: r.float(path+".max", least)}
	if r.err == nil && (m.lo > m.hi || m.lo < -least || m.hi > least) {
		r.fail(path+".min", r.options[path+".min"], "lower bound of a range of "+t.String())
	}
	return m
}

func (r *reader) decimals(path string, t vec.Type, c common) maker {
	most := math.Pow10(int(t.Precision)-int(t.Scale)) - math.Pow10(-int(t.Scale))
	m := &decimals{floats: floats{common: c, lo: r.float(path+".min", -most), hi: r.float(path+".max", most)}, limit: pow10(int(t.Precision)), scale: math.Pow10(int(t.Scale))}
	if r.err == nil && (m.lo > m.hi || m.lo < -most-1 || m.hi > most+1) {
		r.fail(path+".min", r.options[path+".min"], "lower bound of a range of "+t.String())
	}
	return m
}

func (r *reader) times(path string, t vec.Type, c common) maker {
	m := &times{common: c, kind: t.Kind}
	if !t.Kind.IsTimestamp() {
		return m
	}
	if v, ok := r.get(path + ".max-past"); ok {
		d, err := duration.Parse(v)
		if err != nil {
			r.fail(path+".max-past", v, "duration")
		}
		m.maxPast = d.Milliseconds()
	}
	return m
}

// pow10 is 10^n for n in [0, 38].
func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// sequence counts from start.
type sequence struct {
	common
	start   int64
	scale   *big.Int
	scratch []byte
}

func (m *sequence) fill(c *vec.Col, nums []int64, seeds []uint64, _ instant) {
	for i, n := range nums {
		v := m.start + n
		if m.null(seeds[i]) {
			c.AppendNull()
			continue
		}
		switch c.Kind() {
		case vec.String:
			m.scratch = strconv.AppendInt(m.scratch[:0], v, 10)
			c.AppendBytes(m.scratch)
		case vec.Float32:
			vec.AppendValue(c, float32(v))
		case vec.Float64:
			vec.AppendValue(c, float64(v))
		case vec.Decimal:
			appendDecimal(c, new(big.Int).Mul(big.NewInt(v), m.scale))
		default:
			appendInt(c, v)
		}
	}
}

// appendInt appends to a column of whole numbers of any width.
func appendInt(c *vec.Col, v int64) {
	switch c.Kind() {
	case vec.Int8:
		vec.AppendValue(c, int8(v))
	case vec.Int16:
		vec.AppendValue(c, int16(v))
	case vec.Int32, vec.Date, vec.Time, vec.IntervalYM:
		vec.AppendValue(c, int32(v))
	default:
		vec.AppendValue(c, v)
	}
}

// integers are uniform in [lo, hi].
type integers struct {
	common
	lo, hi int64
}

func (m *integers) fill(c *vec.Col, _ []int64, seeds []uint64, _ instant) {
	span := uint64(m.hi-m.lo) + 1
	for _, seed := range seeds {
		if m.null(seed) {
			c.AppendNull()
			continue
		}
		appendInt(c, m.lo+int64(below(m.draw(seed), span)))
	}
}

// floats are uniform in [lo, hi).
type floats struct {
	common
	lo, hi float64
}

// value weighs the bounds: their difference may be out of range.
func (m *floats) value(seed uint64) float64 {
	u := unit(m.draw(seed))
	return m.lo*(1-u) + m.hi*u
}

func (m *floats) fill(c *vec.Col, _ []int64, seeds []uint64, _ instant) {
	for _, seed := range seeds {
		switch {
		case m.null(seed):
			c.AppendNull()
		case c.Kind() == vec.Float32:
			vec.AppendValue(c, float32(m.value(seed)))
		default:
			vec.AppendValue(c, m.value(seed))
		}
	}
}

type decimals struct {
	floats
	limit *big.Int
	scale float64
}

func (m *decimals) fill(c *vec.Col, _ []int64, seeds []uint64, _ instant) {
	for _, seed := range seeds {
		if m.null(seed) {
			c.AppendNull()
			continue
		}
		n, _ := big.NewFloat(m.value(seed) * m.scale).Int(nil)
		if n.CmpAbs(m.limit) >= 0 { // rounding at the very edge of what fits
			n.Sub(m.limit, big.NewInt(1))
		}
		appendDecimal(c, n)
	}
}

// appendDecimal appends an unscaled value; one that is out of range, as of a sequence in too short a type, is NULL.
func appendDecimal(c *vec.Col, n *big.Int) {
	if v, ok := vec.NumFromBig(n); ok {
		vec.AppendValue(c, v)
		return
	}
	c.AppendNull()
}

type bools struct{ common }

func (m *bools) fill(c *vec.Col, _ []int64, seeds []uint64, _ instant) {
	for _, seed := range seeds {
		if m.null(seed) {
			c.AppendNull()
			continue
		}
		c.AppendBool(m.draw(seed)&1 != 0)
	}
}

// texts are hexadecimal digits, or any bytes for BYTES, of a fixed or varying length.
type texts struct {
	common
	length  int64
	varies  bool
	scratch []byte
}

func (m *texts) width() int64 { return m.length + 16 }

func (m *texts) fill(c *vec.Col, _ []int64, seeds []uint64, _ instant) {
	const digits = "0123456789abcdef"
	for _, seed := range seeds {
		if m.null(seed) {
			c.AppendNull()
			continue
		}
		r := m.draw(seed)
		n := lengthOf(r, m.length, m.varies)
		out := m.scratch[:0]
		for int64(len(out)) < n {
			r = mix(r + golden)
			for k := 0; k < 8 && int64(len(out)) < n; k++ {
				v := byte(r >> (8 * k))
				if c.Kind() == vec.String {
					v = digits[v&15]
				}
				out = append(out, v)
			}
		}
		m.scratch = out
		c.AppendBytes(out)
	}
}

// lengthOf is length, or when it varies one from 1 to length.
func lengthOf(r uint64, length int64, varies bool) int64 {
	if !varies || length == 0 {
		return length
	}
	return 1 + int64(below(mix(r), uint64(length)))
}

// times are now; a timestamp may be up to maxPast ms before.
type times struct {
	common
	kind    vec.Kind
	maxPast int64
}

func (m *times) fill(c *vec.Col, _ []int64, seeds []uint64, at instant) {
	now := at.local
	if m.kind == vec.TimestampLTZ {
		now = at.utc
	}
	for _, seed := range seeds {
		switch {
		case m.null(seed):
			c.AppendNull()
		case m.kind == vec.Date:
			vec.AppendValue(c, int32(civil.FloorDiv(now, dayMS)))
		case m.kind == vec.Time:
			vec.AppendValue(c, int32(civil.FloorMod(now, dayMS)))
		case m.maxPast > 0:
			vec.AppendValue(c, now-int64(below(m.draw(seed), uint64(m.maxPast))))
		default:
			vec.AppendValue(c, now)
		}
	}
}

// rowMaker makes the fields of a ROW.
type rowMaker struct {
	common
	fields []maker
}

func (m *rowMaker) width() int64 {
	n := int64(0)
	for _, f := range m.fields {
		n += f.width()
	}
	return n
}

func (m *rowMaker) fill(c *vec.Col, nums []int64, seeds []uint64, at instant) {
	from := c.Len()
	for i, f := range m.fields {
		f.fill(c.Kid(i), nums, seeds, at)
	}
	for range nums {
		c.EndRow()
	}
	for i, seed := range seeds {
		if m.null(seed) {
			c.SetNull(from + i)
			for k := range m.fields {
				c.Kid(k).SetNull(from + i)
			}
		}
	}
}

// lists makes the elements of an ARRAY, or the keys and values of a MAP.
type lists struct {
	common
	kids     []maker
	elements int64
	varies   bool
	nums     []int64
	seeds    []uint64
}

func (m *lists) width() int64 {
	n := int64(0)
	for _, k := range m.kids {
		n += k.width()
	}
	return n * m.elements
}

func (m *lists) fill(c *vec.Col, nums []int64, seeds []uint64, at instant) {
	for i, seed := range seeds {
		if m.null(seed) {
			c.AppendNull()
			continue
		}
		m.nums, m.seeds = m.nums[:0], m.seeds[:0]
		r := m.draw(seed)
		for e := range lengthOf(r, m.elements, m.varies) {
			m.nums, m.seeds = append(m.nums, nums[i]), append(m.seeds, mix(r+uint64(e)*golden))
		}
		for k, kid := range m.kids {
			kid.fill(c.Kid(k), m.nums, m.seeds, at)
		}
		c.EndList()
	}
}
