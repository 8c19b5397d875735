package expr

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/engine/vec"
	cal "github.com/bramble-stream/bramble/internal/civil"
)

// Times of day and timestamps in ms.
const (
	msPerSecond = 1000
	msPerMinute = 60 * msPerSecond
	msPerHour   = 60 * msPerMinute
	msPerDay    = 24 * msPerHour
)

// AppendText appends row i of c as Flink's CAST to STRING prints it: TRUE, 1.0E10, 2020-01-01 00:00:00.000, (1, a), [1, 2], {k=v}.
// TIMESTAMP_LTZ is shown in loc; nil is UTC. A NULL is NULL.
func AppendText(dst []byte, c *vec.Col, i int, loc *time.Location) []byte {
	if c.IsNull(i) {
		return append(dst, "NULL"...)
	}
	switch t := c.Type(); t.Kind {
	case vec.Bool:
		if c.Bools().Get(i) {
			return append(dst, "TRUE"...)
		}
		return append(dst, "FALSE"...)
	case vec.Int8:
		return strconv.AppendInt(dst, int64(vec.Values[int8](c)[i]), 10)
	case vec.Int16:
		return strconv.AppendInt(dst, int64(vec.Values[int16](c)[i]), 10)
	case vec.Int32:
		return strconv.AppendInt(dst, int64(vec.Values[int32](c)[i]), 10)
	case vec.Int64:
		return strconv.AppendInt(dst, vec.Values[int64](c)[i], 10)
	case vec.Float32:
		return AppendFloat(dst, float64(vec.Values[float32](c)[i]), 32)
	case vec.Float64:
		return AppendFloat(dst, vec.Values[float64](c)[i], 64)
	case vec.Decimal:
		return AppendDecimal(dst, vec.Values[vec.Num](c)[i], int(t.Scale))
	case vec.String, vec.Bytes:
		return append(dst, c.Bytes(i)...)
	case vec.Date:
		return AppendDate(dst, vec.Values[int32](c)[i])
	case vec.Time:
		return AppendTime(dst, int64(vec.Values[int32](c)[i]), int(t.Precision))
	case vec.Timestamp:
		return AppendTimestamp(dst, vec.Values[int64](c)[i], int(t.Precision))
	case vec.TimestampLTZ:
		return AppendTimestamp(dst, ToLocal(vec.Values[int64](c)[i], loc), int(t.Precision))
	case vec.IntervalYM:
		return appendMonths(dst, vec.Values[int32](c)[i])
	case vec.IntervalDT:
		return appendMillis(dst, vec.Values[int64](c)[i])
	default:
		return appendNested(dst, c, i, loc)
	}
}

func appendNested(dst []byte, c *vec.Col, i int, loc *time.Location) []byte {
	t := c.Type()
	switch t.Kind {
	case vec.Row:
		dst = append(dst, '(')
		for f := range t.Fields {
			if f > 0 {
				dst = append(dst, ", "...)
			}
			dst = AppendText(dst, c.Kid(f), i, loc)
		}
		return append(dst, ')')
	case vec.Array:
		lo, hi := c.Range(i)
		dst = append(dst, '[')
		for e := lo; e < hi; e++ {
			if e > lo {
				dst = append(dst, ", "...)
			}
			dst = AppendText(dst, c.Kid(0), e, loc)
		}
		return append(dst, ']')
	case vec.Map:
		lo, hi := c.Range(i)
		dst = append(dst, '{')
		for e := lo; e < hi; e++ {
			if e > lo {
				dst = append(dst, ", "...)
			}
			dst = AppendText(dst, c.Kid(0), e, loc)
			dst = append(dst, '=')
			dst = AppendText(dst, c.Kid(1), e, loc)
		}
		return append(dst, '}')
	}
	return dst
}

// AppendFloat appends a FLOAT (bits 32) or DOUBLE (64) as Java prints it: plain digits from 0.001 to below 10,000,000, else 1.0E7; always with a
// point; NaN, Infinity.
func AppendFloat(dst []byte, f float64, bits int) []byte {
	switch abs := math.Abs(f); {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	case f == 0 || abs >= 1e-3 && abs < 1e7:
		at := len(dst)
		dst = strconv.AppendFloat(dst, f, 'f', -1, bits)
		if bytes.IndexByte(dst[at:], '.') < 0 {
			dst = append(dst, ".0"...)
		}
		return dst
	}
	var buf [32]byte
	e := strconv.AppendFloat(buf[:0], f, 'E', -1, bits)
	at := bytes.IndexByte(e, 'E')
	dst = append(dst, e[:at]...)
	if bytes.IndexByte(e[:at], '.') < 0 {
		dst = append(dst, ".0"...)
	}
	exp, err := strconv.Atoi(string(e[at+1:]))
	if err != nil {
		return dst
	}
	dst = append(dst, 'E')
	return strconv.AppendInt(dst, int64(exp), 10)
}

// pad appends v with at least width digits.
func pad(dst []byte, v int64, width int) []byte {
	if v < 0 {
		dst, v = append(dst, '-'), -v
	}
	n := 1
	for x := v; x >= 10; x /= 10 {
		n++
	}
	for ; n < width; n++ {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, v, 10)
}

// AppendDate appends days since 1970-01-01 as 2020-01-31.
func AppendDate(dst []byte, days int32) []byte {
	y, m, d := civil(int64(days))
	dst = pad(dst, y, 4)
	dst = append(dst, '-')
	dst = pad(dst, m, 2)
	dst = append(dst, '-')
	return pad(dst, d, 2)
}

// AppendTime appends ms since midnight as 12:34:56, with as many fractional digits as precision says.
func AppendTime(dst []byte, ms int64, precision int) []byte {
	dst = pad(dst, ms/msPerHour, 2)
	dst = append(dst, ':')
	dst = pad(dst, ms/msPerMinute%60, 2)
	dst = append(dst, ':')
	dst = pad(dst, ms/msPerSecond%60, 2)
	if precision <= 0 {
		return dst
	}
	dst = append(dst, '.')
	dst = pad(dst, ms%msPerSecond, 3)
	for ; precision < 3; precision++ {
		dst = dst[:len(dst)-1]
	}
	for ; precision > 3; precision-- {
		dst = append(dst, '0')
	}
	return dst
}

// AppendTimestamp appends local ms since 1970-01-01 00:00:00 as 2020-01-31 12:34:56.789, with as many fractional digits as precision says.
func AppendTimestamp(dst []byte, ms int64, precision int) []byte {
	days := floorDiv(ms, msPerDay)
	dst = AppendDate(dst, int32(days))
	dst = append(dst, ' ')
	return AppendTime(dst, ms-days*msPerDay, precision)
}

// appendMonths prints an INTERVAL YEAR TO MONTH: +1-03.
func appendMonths(dst []byte, months int32) []byte {
	m, sign := int64(months), byte('+')
	if m < 0 {
		m, sign = -m, '-'
	}
	dst = append(dst, sign)
	dst = strconv.AppendInt(dst, m/12, 10)
	dst = append(dst, '-')
	return pad(dst, m%12, 2)
}

// appendMillis prints an INTERVAL DAY TO SECOND: +1 02:03:04.005.
func appendMillis(dst []byte, ms int64) []byte {
	sign := byte('+')
	if ms < 0 {
		ms, sign = -ms, '-'
	}
	dst = append(dst, sign)
	dst = strconv.AppendInt(dst, ms/msPerDay, 10)
	dst = append(dst, ' ')
	return AppendTime(dst, ms%msPerDay, 3)
}

// floorDiv is a / b rounded down, b > 0.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// civil turns days since 1970-01-01 into year, month and day of the proleptic Gregorian calendar.
func civil(days int64) (y, m, d int64) {
	year, month, day := cal.Date(days)
	return int64(year), int64(month), int64(day)
}

// daysOf is the reverse of civil.
func daysOf(y, m, d int64) int64 { return cal.Days(int(y), int(m), int(d)) }

// ToLocal turns ms since the epoch into ms of local wall-clock time in loc (nil: UTC).
func ToLocal(ms int64, loc *time.Location) int64 {
	if loc == nil || loc == time.UTC {
		return ms
	}
	_, off := time.UnixMilli(ms).In(loc).Zone()
	return ms + int64(off)*msPerSecond
}

// FromLocal turns ms of local wall-clock time in loc into ms since the epoch. A time that the clock skips or shows twice is taken with the offset
// before the change, as java.time does.
func FromLocal(ms int64, loc *time.Location) int64 {
	if loc == nil || loc == time.UTC {
		return ms
	}
	_, before := time.UnixMilli(ms - msPerDay).In(loc).Zone()
	t := ms - int64(before)*msPerSecond
	if ToLocal(t, loc) == ms {
		return t
	}
	_, after := time.UnixMilli(ms + msPerDay).In(loc).Zone()
	if u := ms - int64(after)*msPerSecond; ToLocal(u, loc) == ms {
		return u
	}
	return t
}

var errNotTime = errors.New("expected yyyy-MM-dd HH:mm:ss[.fff]")

// digits reads between lo and hi decimal digits at the start of s.
func digits(s string, lo, hi int) (v int64, rest string, ok bool) {
	n := 0
	for n < len(s) && n < hi && s[n] >= '0' && s[n] <= '9' {
		v = v*10 + int64(s[n]-'0')
		n++
	}
	return v, s[n:], n >= lo
}

// ParseDate reads 2020-01-31 (month and day may have one digit, and may be missing as in Flink) as days since 1970-01-01.
func ParseDate(s string) (days int32, err error) {
	d, rest, ok := parseDate(strings.TrimSpace(s))
	if ok && rest != "" && (rest[0] == ' ' || rest[0] == 'T') {
		_, rest, ok = parseTime(rest[1:])
	}
	if !ok || rest != "" {
		return 0, errors.New("expected yyyy-MM-dd")
	}
	return d, nil
}

func parseDate(s string) (days int32, rest string, ok bool) {
	y, s, ok := digits(s, 1, 4)
	m, d := int64(1), int64(1)
	if ok && s != "" && s[0] == '-' {
		if m, s, ok = digits(s[1:], 1, 2); ok && s != "" && s[0] == '-' {
			d, s, ok = digits(s[1:], 1, 2)
		}
	}
	if !ok || m < 1 || m > 12 || d < 1 || d > daysIn(y, m) {
		return 0, s, false
	}
	return int32(daysOf(y, m, d)), s, true
}

func daysIn(y, m int64) int64 { return int64(cal.DaysIn(int(y), int(m))) }

// ParseTime reads 12:34[:56[.789]] as ms since midnight.
func ParseTime(s string) (ms int32, err error) {
	v, rest, ok := parseTime(strings.TrimSpace(s))
	if !ok || rest != "" {
		return 0, errors.New("expected HH:mm:ss[.fff]")
	}
	return v, nil
}

func parseTime(s string) (ms int32, rest string, ok bool) {
	h, s, ok := digits(s, 1, 2)
	var m, sec, frac int64
	if ok && s != "" && s[0] == ':' {
		if m, s, ok = digits(s[1:], 1, 2); ok && s != "" && s[0] == ':' {
			sec, s, ok = digits(s[1:], 1, 2)
			if ok && s != "" && s[0] == '.' {
				s, frac, ok = fraction(s[1:])
			}
		}
	}
	if !ok || h > 23 || m > 59 || sec > 59 {
		return 0, s, false
	}
	return int32(h*msPerHour + m*msPerMinute + sec*msPerSecond + frac), s, true
}

// fraction reads up to nine digits after a point as ms; finer ones are cut.
func fraction(s string) (rest string, ms int64, ok bool) {
	n, unit := 0, int64(100)
	for n < len(s) && n < 9 && s[n] >= '0' && s[n] <= '9' {
		ms += int64(s[n]-'0') * unit
		unit /= 10
		n++
	}
	return s[n:], ms, n > 0
}

// ParseTimestamp reads 2020-01-31[ |T]12:34:56[.789] or a date alone as ms of local time since 1970-01-01 00:00:00. When the text ends in a zone
// (Z, +01:00) zoned is true and ms is since the epoch.
func ParseTimestamp(s string) (ms int64, zoned bool, err error) {
	d, rest, ok := parseDate(strings.TrimSpace(s))
	ms = int64(d) * msPerDay
	if ok && rest != "" && (rest[0] == ' ' || rest[0] == 'T') {
		var t int32
		t, rest, ok = parseTime(rest[1:])
		ms += int64(t)
		if ok && rest != "" {
			var off int64
			off, ok = parseZone(rest)
			return ms - off, true, boolErr(ok, errNotTime)
		}
	}
	return ms, false, boolErr(ok && rest == "", errNotTime)
}

func boolErr(ok bool, err error) error {
	if ok {
		return nil
	}
	return err
}

// parseZone reads Z, +hh, +hhmm or +hh:mm as ms.
func parseZone(s string) (ms int64, ok bool) {
	s = strings.TrimSpace(s)
	if s == "Z" || s == "z" || s == "UTC" {
		return 0, true
	}
	if s == "" || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	h, rest, ok := digits(s[1:], 2, 2)
	rest = strings.TrimPrefix(rest, ":")
	var m int64
	if rest != "" {
		m, rest, ok = digits(rest, 2, 2)
	}
	if !ok || rest != "" || h > 18 || m > 59 {
		return 0, false
	}
	ms = h*msPerHour + m*msPerMinute
	if s[0] == '-' {
		ms = -ms
	}
	return ms, true
}

// ParseBool reads what CAST of a string to BOOLEAN takes: true, t, yes, y, 1 and their opposites, in any case.
func ParseBool(s string) (v bool, err error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "t", "yes", "y", "1":
		return true, nil
	case "false", "f", "no", "n", "0":
		return false, nil
	}
	return false, errors.New("expected true or false")
}

// ParseInt reads what CAST of a string to an integer of so many bits takes: surrounding space is cut; a fraction is cut off, as in Flink.
func ParseInt(s string, bits int) (int64, error) {
	s = strings.TrimSpace(s)
	if at := strings.IndexByte(s, '.'); at > 0 {
		for _, c := range []byte(s[at+1:]) {
			if c < '0' || c > '9' {
				return 0, errDecimal
			}
		}
		s = s[:at]
	}
	v, err := strconv.ParseInt(s, 10, bits)
	if errors.Is(err, strconv.ErrRange) {
		return 0, errors.New("out of range")
	}
	if err != nil {
		return 0, errDecimal
	}
	return v, nil
}

// ParseFloat reads what CAST of a string to FLOAT (bits 32) or DOUBLE (64) takes: surrounding space is cut; numbers beyond the range are infinite.
func ParseFloat(s string, bits int) (float64, error) {
	s = strings.TrimSpace(s)
	f, err := strconv.ParseFloat(s, bits)
	if err != nil && !errors.Is(err, strconv.ErrRange) || strings.ContainsAny(s, "_xXpP") {
		return 0, errDecimal
	}
	return f, nil
}

// ParseLiteral reads a value of the type from SQL text, as CAST of a string does (timestamps with a zone are converted to loc), and appends it to c.
func ParseLiteral(c *vec.Col, text string, loc *time.Location) error {
	if err := appendParsed(c, text, loc); err != nil {
		return castError(text, c.Type(), err)
	}
	return nil
}

// castError says which text could not be read as which type.
func castError(text string, t vec.Type, err error) error {
	const most = 64
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return fmt.Errorf("cannot cast '%s' to %s: %w", text, t.Nullable(), err)
}

func appendParsed(c *vec.Col, text string, loc *time.Location) (err error) {
	var n int64
	switch t := c.Type(); t.Kind {
	case vec.Bool:
		v, err := ParseBool(text)
		if err == nil {
			c.AppendBool(v)
		}
		return err
	case vec.Int8:
		if n, err = ParseInt(text, 8); err == nil {
			vec.AppendValue(c, int8(n))
		}
	case vec.Int16:
		if n, err = ParseInt(text, 16); err == nil {
			vec.AppendValue(c, int16(n))
		}
	case vec.Int32:
		if n, err = ParseInt(text, 32); err == nil {
			vec.AppendValue(c, int32(n))
		}
	case vec.Int64:
		if n, err = ParseInt(text, 64); err == nil {
			vec.AppendValue(c, n)
		}
	case vec.Float32:
		f, err := ParseFloat(text, 32)
		if err == nil {
			vec.AppendValue(c, float32(f))
		}
		return err
	case vec.Float64:
		f, err := ParseFloat(text, 64)
		if err == nil {
			vec.AppendValue(c, f)
		}
		return err
	case vec.Decimal:
		d, ok, err := ParseDecimal(strings.TrimSpace(text), int(t.Precision), int(t.Scale))
		switch {
		case err != nil:
			return err
		case !ok:
			c.AppendNull()
		default:
			vec.AppendValue(c, d)
		}
	case vec.String, vec.Bytes:
		c.AppendString(text)
	default:
		return appendParsedTime(c, text, loc)
	}
	return err
}

func appendParsedTime(c *vec.Col, text string, loc *time.Location) error {
	switch t := c.Type(); t.Kind {
	case vec.Date:
		d, err := ParseDate(text)
		if err != nil {
			return err
		}
		vec.AppendValue(c, d)
	case vec.Time:
		v, err := ParseTime(text)
		if err != nil {
			return err
		}
		vec.AppendValue(c, v)
	case vec.Timestamp, vec.TimestampLTZ:
		ms, zoned, err := ParseTimestamp(text)
		if err != nil {
			return err
		}
		if zoned && t.Kind == vec.Timestamp {
			return errors.New("a time with a zone is a TIMESTAMP_LTZ")
		}
		if !zoned && t.Kind == vec.TimestampLTZ {
			ms = FromLocal(ms, loc)
		}
		vec.AppendValue(c, cutTime(ms, int(t.Precision)))
	default:
		return errors.New("there is no text form")
	}
	return nil
}

// cutTime drops digits of a ms time that the precision does not keep.
func cutTime(ms int64, precision int) int64 {
	unit := int64(1)
	for p := precision; p < 3; p++ {
		unit *= 10
	}
	return floorDiv(ms, unit) * unit
}

// literalCol returns a constant as a column of one row.
func literalCol(e *Expr) (*vec.Col, error) {
	c := vec.NewCol(e.Type.Nullable())
	if e.Null || e.Type.Kind == vec.Null {
		c.AppendNull()
		return c, nil
	}
	var err error
	switch k := e.Type.Kind; k {
	case vec.Date, vec.Time, vec.IntervalYM:
		var v int64
		v, err = strconv.ParseInt(e.Lit, 10, 32)
		vec.AppendValue(c, int32(v))
	case vec.Timestamp, vec.TimestampLTZ, vec.IntervalDT:
		var v int64
		v, err = strconv.ParseInt(e.Lit, 10, 64)
		vec.AppendValue(c, v)
	case vec.Bytes:
		var b []byte
		b, err = base64.StdEncoding.DecodeString(e.Lit)
		c.AppendBytes(b)
	default:
		err = appendParsed(c, e.Lit, nil)
	}
	if err == nil && c.Len() != 1 {
		err = errors.New("no value")
	}
	if err != nil {
		return nil, fmt.Errorf("bad constant %q of type %s: %w", e.Lit, e.Type.Nullable(), err)
	}
	return c, nil
}

// literalOf is the reverse of literalCol for row i of c; ok is false for nested types.
func literalOf(c *vec.Col, i int, t vec.Type) (e *Expr, ok bool) {
	if c.IsNull(i) {
		return NullOf(t.Nullable()), true
	}
	var text []byte
	switch t.Kind {
	case vec.Row, vec.Array, vec.Map:
		return nil, false
	case vec.Bool:
		text = strconv.AppendBool(nil, c.Bools().Get(i))
	case vec.Float32:
		text = strconv.AppendFloat(nil, float64(vec.Values[float32](c)[i]), 'g', -1, 32)
	case vec.Float64:
		text = strconv.AppendFloat(nil, vec.Values[float64](c)[i], 'g', -1, 64)
	case vec.Date, vec.Time, vec.IntervalYM:
		text = strconv.AppendInt(nil, int64(vec.Values[int32](c)[i]), 10)
	case vec.Timestamp, vec.TimestampLTZ, vec.IntervalDT:
		text = strconv.AppendInt(nil, vec.Values[int64](c)[i], 10)
	case vec.Bytes:
		text = base64.StdEncoding.AppendEncode(nil, c.Bytes(i))
	default:
		text = AppendText(nil, c, i, nil)
	}
	if t.Kind == vec.Float32 || t.Kind == vec.Float64 {
		// strconv's forms, which ParseFloat reads back: NaN, +Inf, -Inf.
		return Lit(t, string(text)), true
	}
	return Lit(t, string(text)), true
}
