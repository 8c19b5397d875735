package format

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/civil"
)

// AppendText parses text as a value of the column's type and appends it. The column is unchanged on an error.
// TIMESTAMP and TIMESTAMP_LTZ take a date, or date and time with a space or T; without an offset, TIMESTAMP_LTZ is UTC.
func AppendText(c *vec.Col, text []byte) error {
	switch k := c.Kind(); k {
	case vec.String:
		if !utf8.Valid(text) {
			return errUTF8
		}
		c.AppendBytes(text)
	case vec.Int8:
		return appendInt[int8](c, text, math.MinInt8, math.MaxInt8)
	case vec.Int16:
		return appendInt[int16](c, text, math.MinInt16, math.MaxInt16)
	case vec.Int32:
		return appendInt[int32](c, text, math.MinInt32, math.MaxInt32)
	case vec.Int64:
		return appendInt[int64](c, text, math.MinInt64, math.MaxInt64)
	case vec.Float64, vec.Float32:
		f, err := float(trim(text))
		if err != nil {
			return fmt.Errorf("%q is no number that fits %s", clip(text), k)
		}
		if k == vec.Float64 {
			vec.AppendValue(c, f)
			return nil
		}
		// The largest FLOAT's shortest text is above it as a DOUBLE: what counts is where it is rounded to.
		if math.IsInf(float64(float32(f)), 0) && !math.IsInf(f, 0) {
			return fmt.Errorf("%s is out of range for FLOAT", clip(text))
		}
		vec.AppendValue(c, float32(f))
	case vec.Bool:
		switch {
		case foldEqual(text, "true") || str(text) == "1":
			c.AppendBool(true)
		case foldEqual(text, "false") || str(text) == "0":
			c.AppendBool(false)
		default:
			return fmt.Errorf("%q is no BOOLEAN", clip(text))
		}
	case vec.Decimal:
		n, err := parseDecimal(str(trim(text)), int(c.Type().Precision), int(c.Type().Scale))
		if err != nil {
			return err
		}
		vec.AppendValue(c, n)
	case vec.Bytes:
		b, err := base64.StdEncoding.DecodeString(str(text))
		if err != nil {
			return fmt.Errorf("is not base64: %w", err)
		}
		c.AppendBytes(b)
	default:
		return appendTemporal(c, text)
	}
	return nil
}

func appendTemporal(c *vec.Col, text []byte) error {
	t := trim(text)
	switch c.Kind() {
	case vec.Date:
		if d, ok := civil.ParseDate(t); ok {
			vec.AppendValue(c, int32(d))
			return nil
		}
	case vec.Time:
		if ms, ok := civil.ParseTime(t); ok {
			vec.AppendValue(c, int32(ms))
			return nil
		}
	case vec.Timestamp, vec.TimestampLTZ:
		if ms, _, ok := civil.ParseTimestamp(t); ok {
			return appendTimestamp(c, ms, t)
		}
	case vec.IntervalYM:
		return appendInt[int32](c, t, math.MinInt32, math.MaxInt32)
	case vec.IntervalDT:
		return appendInt[int64](c, t, math.MinInt64, math.MaxInt64)
	default:
		return fmt.Errorf("%s cannot be read from text", c.Type())
	}
	return fmt.Errorf("%q is no %s", clip(text), c.Kind())
}

func appendInt[T int8 | int16 | int32 | int64](c *vec.Col, text []byte, lo, hi int64) error {
	t := trim(text)
	v, exact := integer(t)
	if !exact {
		f, err := float(t)
		if err != nil || f != f {
			return fmt.Errorf("%q is no %s", clip(text), c.Kind())
		}
		// 2^63 itself is the first float64 above the range.
		if f < float64(lo) || f >= float64(hi)+1 {
			return fmt.Errorf("%s is out of range for %s", clip(text), c.Kind())
		}
		v = int64(f) // cut towards zero, as Flink's reader does
	}
	if v < lo || v > hi {
		return fmt.Errorf("%s is out of range for %s", clip(text), c.Kind())
	}
	vec.AppendValue(c, T(v))
	return nil
}

// maxExponent keeps a hostile 1e999999999 from being written out.
const maxExponent = 100

// parseDecimal reads a decimal number, rounded half up to the scale.
func parseDecimal(s string, precision, scale int) (vec.Num, error) {
	bad := fmt.Errorf("%q is no DECIMAL(%d, %d)", clip([]byte(s)), precision, scale)
	mantissa, exp := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		e, err := strconv.Atoi(s[i+1:])
		if err != nil || e > maxExponent || e < -maxExponent {
			return vec.Num{}, bad
		}
		mantissa, exp = s[:i], e
	}
	if i := strings.IndexByte(mantissa, '.'); i >= 0 {
		exp -= len(mantissa) - i - 1
		mantissa = mantissa[:i] + mantissa[i+1:]
	}
	if len(mantissa) > 2*maxExponent || strings.ContainsAny(mantissa, "_xXoObB") {
		return vec.Num{}, bad
	}
	n, ok := new(big.Int).SetString(mantissa, 10)
	if !ok {
		return vec.Num{}, bad
	}
	ten := big.NewInt(10)
	if shift := exp + scale; shift >= 0 {
		n.Mul(n, new(big.Int).Exp(ten, big.NewInt(int64(shift)), nil))
	} else {
		div := new(big.Int).Exp(ten, big.NewInt(int64(-shift)), nil)
		half := new(big.Int).Rsh(div, 1)
		if n.Sign() < 0 {
			half.Neg(half)
		}
		n.Quo(n.Add(n, half), div)
	}
	if n.CmpAbs(new(big.Int).Exp(ten, big.NewInt(int64(precision)), nil)) >= 0 {
		return vec.Num{}, fmt.Errorf("%s is out of range for DECIMAL(%d, %d)", clip([]byte(s)), precision, scale)
	}
	out, _ := vec.NumFromBig(n) // it fits: the precision is at most 38
	return out, nil
}

func trim(b []byte) []byte {
	for len(b) > 0 && b[0] <= ' ' {
		b = b[1:]
	}
	for len(b) > 0 && b[len(b)-1] <= ' ' {
		b = b[:len(b)-1]
	}
	return b
}

// clip shortens what is quoted in an error.
func clip(b []byte) string { return clipTo(b, 40) }

func clipTo(b []byte, most int) string {
	if len(b) > most {
		return strings.ToValidUTF8(string(b[:most]), "?") + "…"
	}
	return strings.ToValidUTF8(string(b), "?")
}

// TextStyle says how AppendValueText writes times.
type TextStyle struct {
	// Sep stands between date and time: ' ' for SQL, 'T' for ISO-8601.
	Sep byte
}

// AppendValueText appends the text of physical row i, which is not NULL and not nested. TIMESTAMP_LTZ is written in UTC with a Z.
func AppendValueText(dst []byte, c *vec.Col, i int, style TextStyle) []byte {
	t := c.Type()
	switch t.Kind {
	case vec.String:
		return append(dst, c.Bytes(i)...)
	case vec.Bytes:
		return base64.StdEncoding.AppendEncode(dst, c.Bytes(i))
	case vec.Bool:
		return strconv.AppendBool(dst, c.Bools().Get(i))
	case vec.Int8:
		return strconv.AppendInt(dst, int64(vec.Values[int8](c)[i]), 10)
	case vec.Int16:
		return strconv.AppendInt(dst, int64(vec.Values[int16](c)[i]), 10)
	case vec.Int32, vec.IntervalYM:
		return strconv.AppendInt(dst, int64(vec.Values[int32](c)[i]), 10)
	case vec.Int64, vec.IntervalDT:
		return strconv.AppendInt(dst, vec.Values[int64](c)[i], 10)
	case vec.Float32:
		return appendFloat(dst, float64(vec.Values[float32](c)[i]), 32)
	case vec.Float64:
		return appendFloat(dst, vec.Values[float64](c)[i], 64)
	case vec.Decimal:
		return appendDecimal(dst, vec.Values[vec.Num](c)[i], int(t.Scale))
	case vec.Date:
		return civil.AppendDate(dst, int64(vec.Values[int32](c)[i]))
	case vec.Time:
		return civil.AppendTime(dst, int64(vec.Values[int32](c)[i]), int(min(t.Precision, 3)))
	case vec.Timestamp:
		return civil.AppendTimestamp(dst, vec.Values[int64](c)[i], style.Sep, int(min(t.Precision, 3)))
	case vec.TimestampLTZ:
		return append(civil.AppendTimestamp(dst, vec.Values[int64](c)[i], style.Sep, int(min(t.Precision, 3))), 'Z')
	default:
		return dst
	}
}

// appendDecimal writes all digits of the scale: 1.50 for 150 at scale 2.
func appendDecimal(dst []byte, n vec.Num, scale int) []byte {
	var scratch [48]byte
	var digits []byte
	if v := int64(n.LowBits()); n.HighBits() == v>>63 { // it fits 64 bits
		digits = strconv.AppendInt(scratch[:0], v, 10)
	} else {
		digits = vec.NumToBig(new(big.Int), n).Append(scratch[:0], 10)
	}
	if digits[0] == '-' {
		dst, digits = append(dst, '-'), digits[1:]
	}
	if scale == 0 {
		return append(dst, digits...)
	}
	if whole := len(digits) - scale; whole > 0 {
		dst, digits = append(dst, digits[:whole]...), digits[whole:]
	} else {
		dst = append(dst, '0')
	}
	dst = append(dst, '.')
	for range scale - len(digits) {
		dst = append(dst, '0')
	}
	return append(dst, digits...)
}

// appendFloat writes the shortest text that reads back the same, as Java and CAST do: with a point ("21.0"), an exponent only outside
// 1e-3 to 1e7 ("1.0E10"), and Infinity and NaN in words.
func appendFloat(dst []byte, f float64, bits int) []byte {
	a := math.Abs(f)
	switch {
	case f != f:
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	case a != 0 && (a < 1e-3 || a >= 1e7):
		return appendExponent(dst, f, bits)
	}
	at := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, bits)
	if !strings.Contains(str(dst[at:]), ".") {
		dst = append(dst, ".0"...)
	}
	return dst
}

func appendExponent(dst []byte, f float64, bits int) []byte {
	var buf [32]byte
	mantissa, exponent, _ := strings.Cut(str(strconv.AppendFloat(buf[:0], f, 'E', -1, bits)), "E")
	dst = append(dst, mantissa...)
	if !strings.Contains(mantissa, ".") {
		dst = append(dst, ".0"...)
	}
	dst = append(dst, 'E')
	if exponent[0] == '-' {
		dst = append(dst, '-')
	}
	return append(dst, strings.TrimLeft(exponent, "+-0")...)
}
