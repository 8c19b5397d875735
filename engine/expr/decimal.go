package expr

import (
	"errors"
	"math"
	"math/big"
	"math/bits"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/bramble-stream/bramble/engine/vec"
)

var errDivZero = errors.New("division by zero")

// u128 is an unsigned magnitude of a DECIMAL.
type u128 struct{ hi, lo uint64 }

// pow10U64 holds 10^0 to 10^19.
var pow10U64 = func() (p [20]uint64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()

// pow10U128 holds 10^0 to 10^38.
var pow10U128 = func() (p [39]u128) {
	p[0] = u128{lo: 1}
	for i := 1; i < len(p); i++ {
		p[i], _ = p[i-1].mul(10)
	}
	return p
}()

// magnitude splits a DECIMAL into sign and magnitude.
func magnitude(n vec.Num) (neg bool, m u128) {
	hi, lo := uint64(n.HighBits()), n.LowBits()
	if n.HighBits() >= 0 {
		return false, u128{hi, lo}
	}
	var borrow uint64
	lo, borrow = bits.Sub64(0, lo, 0)
	hi, _ = bits.Sub64(0, hi, borrow)
	return true, u128{hi, lo}
}

// signed is the reverse of magnitude.
func signed(neg bool, m u128) vec.Num {
	if !neg {
		return decimal128.New(int64(m.hi), m.lo)
	}
	lo, borrow := bits.Sub64(0, m.lo, 0)
	hi, _ := bits.Sub64(0, m.hi, borrow)
	return decimal128.New(int64(hi), lo)
}

func (a u128) less(b u128) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

// mul multiplies by k; ok is false when the product does not fit.
func (a u128) mul(k uint64) (r u128, ok bool) {
	h1, l1 := bits.Mul64(a.hi, k)
	h0, l0 := bits.Mul64(a.lo, k)
	hi, carry := bits.Add64(l1, h0, 0)
	return u128{hi, l0}, h1 == 0 && carry == 0
}

// mulPow10 multiplies by 10^d.
func (a u128) mulPow10(d int) (u128, bool) {
	ok := true
	for ; d > 19 && ok; d -= 19 {
		a, ok = a.mul(pow10U64[19])
	}
	if !ok {
		return a, false
	}
	return a.mul(pow10U64[d])
}

func (a u128) div(k uint64) (q u128, r uint64) {
	q.hi, r = a.hi/k, a.hi%k
	q.lo, r = bits.Div64(r, a.lo, k)
	return q, r
}

func (a u128) inc() u128 {
	lo, carry := bits.Add64(a.lo, 1, 0)
	return u128{a.hi + carry, lo}
}

// divPow10 divides by 10^d, rounding half up, or towards zero.
func (a u128) divPow10(d int, round bool) u128 {
	for ; d > 19; d -= 19 {
		a, _ = a.div(pow10U64[19])
	}
	if d == 0 {
		return a
	}
	// Digits cut before are below half of the last one: they cannot decide, because 10^d is even.
	q, r := a.div(pow10U64[d])
	if round && r >= pow10U64[d]/2 {
		q = q.inc()
	}
	return q
}

// fits reports whether a has at most p digits.
func (a u128) fits(p int) bool { return p >= maxPrecision+1 || a.less(pow10U128[p]) }

// rescale converts a DECIMAL to another scale, rounding half up; ok is false when it has more than p digits then.
func rescale(n vec.Num, from, to, p int) (vec.Num, bool) {
	neg, m := magnitude(n)
	ok := true
	if to >= from {
		m, ok = m.mulPow10(to - from)
	} else {
		m = m.divPow10(from-to, true)
	}
	return signed(neg, m), ok && m.fits(p)
}

// cmpDecimal compares two DECIMALs of different scales exactly.
func cmpDecimal(a vec.Num, sa int, b vec.Num, sb int) int {
	if sa == sb {
		return a.Cmp(b)
	}
	if sa > sb {
		return -cmpDecimal(b, sb, a, sa)
	}
	neg, m := magnitude(a)
	m, ok := m.mulPow10(sb - sa)
	if !ok || m.hi>>63 != 0 {
		// Beyond 38 digits: further from zero than any b.
		if neg {
			return -1
		}
		return 1
	}
	return signed(neg, m).Cmp(b)
}

// decimalOp computes an operator over DECIMALs of scales sa and sb to scale s and at most p digits; ok is false on overflow.
type decimalOp struct {
	sa, sb, s, p int
	// x, y, z and scale are scratch for values beyond 128 bits.
	x, y, z, scale big.Int
}

func newDecimalOp(a, b, t vec.Type) *decimalOp {
	return &decimalOp{sa: int(a.Scale), sb: int(b.Scale), s: int(t.Scale), p: int(t.Precision)}
}

// add computes a + b.
func (d *decimalOp) add(a, b vec.Num) (vec.Num, bool) {
	top := max(d.sa, d.sb)
	x, okX := rescale(a, d.sa, top, maxPrecision)
	y, okY := rescale(b, d.sb, top, maxPrecision)
	if okX && okY {
		return rescale(x.Add(y), top, d.s, d.p)
	}
	d.load(&d.x, a)
	d.load(&d.y, b)
	d.x.Mul(&d.x, d.pow(top-d.sa))
	d.y.Mul(&d.y, d.pow(top-d.sb))
	return d.round(d.x.Add(&d.x, &d.y), top)
}

// mul computes a * b.
func (d *decimalOp) mul(a, b vec.Num) (vec.Num, bool) {
	na, x := magnitude(a)
	nb, y := magnitude(b)
	if x.hi == 0 && y.hi == 0 {
		hi, lo := bits.Mul64(x.lo, y.lo)
		return rescaleMag(na != nb, u128{hi, lo}, d.sa+d.sb, d.s, d.p)
	}
	d.load(&d.x, a)
	d.load(&d.y, b)
	return d.round(d.x.Mul(&d.x, &d.y), d.sa+d.sb)
}

func rescaleMag(neg bool, m u128, from, to, p int) (vec.Num, bool) {
	ok := true
	if to >= from {
		m, ok = m.mulPow10(to - from)
	} else {
		m = m.divPow10(from-to, true)
	}
	return signed(neg, m), ok && m.fits(p)
}

// div computes a / b, b not zero, rounded half up.
func (d *decimalOp) div(a, b vec.Num) (vec.Num, bool) {
	na, x := magnitude(a)
	nb, y := magnitude(b)
	up := d.s - d.sa + d.sb
	if up >= 0 && up <= maxPrecision && y.hi == 0 {
		if num, ok := x.mulPow10(up); ok {
			q, r := num.div(y.lo)
			if r >= y.lo-r {
				q = q.inc()
			}
			return signed(na != nb, q), q.fits(d.p)
		}
	}
	d.load(&d.x, a)
	d.load(&d.y, b)
	neg := na != nb
	d.x.Abs(&d.x)
	d.y.Abs(&d.y)
	if up >= 0 {
		d.x.Mul(&d.x, d.pow(up))
	} else {
		d.y.Mul(&d.y, d.pow(-up))
	}
	d.x.QuoRem(&d.x, &d.y, &d.z)
	if d.z.Lsh(&d.z, 1).Cmp(&d.y) >= 0 {
		d.x.Add(&d.x, bigOne)
	}
	if neg {
		d.x.Neg(&d.x)
	}
	return d.round(&d.x, d.s)
}

// mod computes the remainder of a / b, b not zero, with the sign of a.
func (d *decimalOp) mod(a, b vec.Num) (vec.Num, bool) {
	d.load(&d.x, a)
	d.load(&d.y, b)
	top := max(d.sa, d.sb)
	d.x.Mul(&d.x, d.pow(top-d.sa))
	d.y.Mul(&d.y, d.pow(top-d.sb))
	return d.round(d.x.Rem(&d.x, &d.y), top)
}

var (
	bigOne = big.NewInt(1)
	bigTen = big.NewInt(10)
)

func (d *decimalOp) pow(n int) *big.Int {
	d.scale.SetInt64(int64(n))
	return d.scale.Exp(bigTen, &d.scale, nil)
}

// load sets x to n.
func (d *decimalOp) load(x *big.Int, n vec.Num) { vec.NumToBig(x, n) }

// round brings x from scale from to the result's.
func (d *decimalOp) round(x *big.Int, from int) (vec.Num, bool) {
	neg := x.Sign() < 0
	x.Abs(x)
	if from < d.s {
		x.Mul(x, d.pow(d.s-from))
	} else if from > d.s {
		p := d.pow(from - d.s)
		d.z.Rsh(p, 1)
		x.Add(x, &d.z)
		x.Quo(x, p)
	}
	if neg {
		x.Neg(x)
	}
	n, ok := vec.NumFromBig(x)
	_, m := magnitude(n)
	return n, ok && m.fits(d.p)
}

// AppendDecimal appends an unscaled value with its scale as plain digits: 12.30.
func AppendDecimal(dst []byte, n vec.Num, scale int) []byte {
	neg, m := magnitude(n)
	if neg {
		dst = append(dst, '-')
	}
	var buf [40]byte
	at := len(buf)
	for digits := 0; m != (u128{}) || digits <= scale; digits++ {
		if digits == scale && scale > 0 {
			at--
			buf[at] = '.'
		}
		var r uint64
		m, r = m.div(10)
		at--
		buf[at] = byte('0' + r)
	}
	return append(dst, buf[at:]...)
}

// errDecimal says that a text is not a number.
var errDecimal = errors.New("not a number")

// expMax bounds the exponent of a number in text: more than any text has digits.
const expMax = 1 << 30

// ParseDecimal reads a number like -12.5 or 1.5E3 as DECIMAL(p, s), rounding half up. ok is false when it has too many digits for that; err
// says that it is not a number.
func ParseDecimal(text string, p, s int) (n vec.Num, ok bool, err error) {
	rest, neg := text, false
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		neg, rest = rest[0] == '-', rest[1:]
	}
	exp := 0
	for i := range len(rest) {
		if rest[i] == 'e' || rest[i] == 'E' {
			e, err := strconv.ParseInt(rest[i+1:], 10, 64)
			if err != nil && !errors.Is(err, strconv.ErrRange) {
				return vec.Num{}, false, errDecimal
			}
			// Beyond this every number is 0 or too large; the sums below stay far from overflow.
			exp = int(max(-expMax, min(expMax, e)))
			rest = rest[:i]
			break
		}
	}
	var m u128
	// frac is the power of ten that the digits of m stand for, negated. Digits past 38 only count as places.
	frac, digits, point, dropped := -exp, 0, false, byte('0')
	cut := 0
	for i := range len(rest) {
		c := rest[i]
		switch {
		case c == '.' && !point:
			point = true
			continue
		case c < '0' || c > '9':
			return vec.Num{}, false, errDecimal
		}
		digits++
		if cut == 0 && m.fits(maxPrecision-1) {
			m, _ = m.mul(10)
			m = m.add(uint64(c - '0'))
		} else {
			if cut == 0 {
				dropped = c
			}
			cut++
		}
		if point {
			frac++
		}
	}
	if digits == 0 {
		return vec.Num{}, false, errDecimal
	}
	n, ok = finishDecimal(neg, m, frac-cut, cut, dropped, p, s)
	return n, ok, nil
}

func (a u128) add(k uint64) u128 {
	lo, carry := bits.Add64(a.lo, k, 0)
	return u128{a.hi + carry, lo}
}

// finishDecimal brings m, whose last digit is at place frac after the point, to scale s; cut digits after it were dropped, the first is dropped.
func finishDecimal(neg bool, m u128, frac, cut int, dropped byte, p, s int) (vec.Num, bool) {
	switch {
	case m == u128{}:
		return vec.Num{}, true
	case frac > s+maxPrecision+1:
		return vec.Num{}, true
	case s-frac > maxPrecision:
		return vec.Num{}, false
	case frac == s && cut > 0 && dropped >= '5':
		m = m.inc()
	case frac < s && cut > 0:
		// More digits than fit are significant at this scale.
		return vec.Num{}, false
	}
	return rescaleMag(neg, m, frac, s, p)
}

// decimalToFloat is the DOUBLE nearest to n.
func decimalToFloat(n vec.Num, scale int) float64 {
	neg, m := magnitude(n)
	if m.hi == 0 && m.lo < 1<<53 && scale <= 22 {
		f := float64(m.lo) / pow10Float[scale]
		if neg {
			return -f
		}
		return f
	}
	var buf [48]byte
	text := AppendDecimal(buf[:0], n, scale)
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return math.NaN()
	}
	return f
}

// pow10Float holds the powers of ten that are exact as DOUBLE.
var pow10Float = func() (p [23]float64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()

// floatToDecimal converts through the shortest decimal text, as Java's BigDecimal.valueOf does.
func floatToDecimal(f float64, bitSize, p, s int) (vec.Num, bool) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return vec.Num{}, false
	}
	var buf [32]byte
	n, ok, err := ParseDecimal(string(strconv.AppendFloat(buf[:0], f, 'e', -1, bitSize)), p, s)
	return n, ok && err == nil
}

// intToDecimal converts an integer.
func intToDecimal(v int64, p, s int) (vec.Num, bool) {
	m := uint64(v)
	if v < 0 {
		m = -m
	}
	return rescaleMag(v < 0, u128{lo: m}, 0, s, p)
}

// decimalToInt cuts the fraction off and wraps to 64 bits, as Java's BigDecimal.longValue does.
func decimalToInt(n vec.Num, s int) int64 {
	neg, m := magnitude(n)
	v := int64(m.divPow10(s, false).lo)
	if neg {
		return -v
	}
	return v
}
