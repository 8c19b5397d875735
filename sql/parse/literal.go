package parse

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// temporal reads DATE '..', TIME '..', TIMESTAMP '..'.
func (p *parser) temporal() Expr {
	from := p.i
	word := p.next()
	t := p.next()
	l := &TemporalLit{Text: t.val}
	var ok bool
	switch word.kw {
	case "DATE":
		l.Kind = TypeDate
		l.Time, ok = parseDate(strings.TrimSpace(t.val))
		if !ok {
			p.fail(t, "write it as DATE '2024-02-29'", "malformed date '%s'", clip(t.val))
		}
	case "TIME":
		l.Kind = TypeTime
		l.Time, l.Precision, ok = parseClock(strings.TrimSpace(t.val))
		if !ok {
			p.fail(t, "write it as TIME '13:05:00'", "malformed time '%s'", clip(t.val))
		}
	default:
		l.Kind = TypeTimestamp
		l.Time, l.Precision, ok = parseTimestamp(strings.TrimSpace(t.val))
		if !ok {
			p.fail(t, "write it as TIMESTAMP '2024-02-29 13:05:00.123'", "malformed timestamp '%s'", clip(t.val))
		}
	}
	l.Span = p.span(from)
	return l
}

func parseDate(s string) (time.Time, bool) {
	parts := strings.Split(s, "-")
	if len(parts) != 3 || len(parts[0]) != 4 {
		return time.Time{}, false
	}
	y, ok1 := fieldValue(parts[0], 9999)
	m, ok2 := fieldValue(parts[1], 12)
	d, ok3 := fieldValue(parts[2], 31)
	t := time.Date(int(y), time.Month(m), int(d), 0, 0, 0, 0, time.UTC)
	// time.Date carries 30 February over into March: then the day was none.
	return t, ok1 && ok2 && ok3 && len(parts[1]) <= 2 && len(parts[2]) <= 2 && t.Day() == int(d) && t.Month() == time.Month(m)
}

// parseClock reads h:m[:s[.fff]]; precision is the number of digits in fff.
func parseClock(s string) (t time.Time, precision int, ok bool) {
	s, frac, hasFrac := strings.Cut(s, ".")
	parts := strings.Split(s, ":")
	if len(parts) < 2 || len(parts) > 3 || hasFrac && len(parts) != 3 {
		return t, 0, false
	}
	limits := [3]int64{23, 59, 59}
	var v [3]int64
	for i, part := range parts {
		if v[i], ok = fieldValue(part, limits[i]); !ok || len(part) > 2 {
			return t, 0, false
		}
	}
	nanos, ok := fraction(frac)
	if !ok || hasFrac && frac == "" {
		return t, 0, false
	}
	return time.Date(1970, 1, 1, int(v[0]), int(v[1]), int(v[2]), int(nanos), time.UTC), len(frac), true
}

func parseTimestamp(s string) (t time.Time, precision int, ok bool) {
	day, clock, both := strings.Cut(s, " ")
	if !both {
		day, clock, both = strings.Cut(s, "T")
	}
	t, ok = parseDate(day)
	if !ok || !both {
		return t, 0, ok
	}
	c, precision, ok := parseClock(strings.TrimSpace(clock))
	return t.Add(c.Sub(time.Unix(0, 0))), precision, ok
}

// fieldValue parses digits no greater than hi.
func fieldValue(s string, hi int64) (int64, bool) {
	if s == "" || digits(s) != len(s) {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n <= hi
}

// fraction is the nanoseconds that the digits behind a point stand for.
func fraction(s string) (int64, bool) {
	if len(s) > 9 || digits(s) != len(s) {
		return 0, false
	}
	n, err := strconv.ParseInt((s + "000000000")[:9], 10, 64)
	return n, err == nil
}

// interval reads INTERVAL [sign] '..' qualifier; false if INTERVAL is a plain name here.
func (p *parser) interval() (Expr, bool) {
	from := p.i
	n := 1
	signed := p.peek(1).isOp("-") || p.peek(1).isOp("+")
	if signed {
		n = 2
	}
	t := p.peek(n)
	if t.kind == tokNumber && !signed {
		unit := "DAY"
		if u := p.peek(2); u.kind == tokWord && units[u.kw] != UnitNone {
			unit = u.kw
		}
		p.fail(t, "write INTERVAL '"+t.val+"' "+unit, "the number of an interval is quoted")
		return nil, true
	}
	if t.kind != tokString {
		return nil, false
	}
	p.next()
	l := &IntervalLit{Text: t.val, Negative: p.isOp("-")}
	for ; n > 0; n-- {
		p.next()
	}
	l.Qualifier = p.qualifier()
	l.Span = p.span(from)
	if p.err == nil && !l.evaluate() {
		p.fail(t, "such as "+intervalExample(l.Qualifier), "'%s' is no interval in %s", clip(t.val), l.Qualifier)
	}
	return l, true
}

func intervalExample(q *IntervalQualifier) string {
	examples := map[Unit]string{UnitMonth: "1-6", UnitHour: "2 12", UnitMinute: "1:30", UnitSecond: "1:30"}
	text := examples[q.To]
	switch {
	case q.To == UnitNone:
		text = "5"
	case q.From == UnitDay && q.To == UnitMinute:
		text = "2 12:30"
	case q.From == UnitDay && q.To == UnitSecond:
		text = "2 12:30:00"
	case q.From == UnitHour && q.To == UnitSecond:
		text = "1:30:00"
	}
	return "INTERVAL '" + text + "' " + q.String()
}

// unitMillis and unitMonths are what a unit counts.
var (
	unitMillis = map[Unit]int64{UnitWeek: 7 * 86400e3, UnitDay: 86400e3, UnitHour: 3600e3, UnitMinute: 60e3, UnitSecond: 1e3}
	unitMonths = map[Unit]int64{UnitYear: 12, UnitQuarter: 3, UnitMonth: 1}
	// unitHighest is the greatest value of a field that is not the leading one.
	unitHighest = map[Unit]int64{UnitMonth: 11, UnitHour: 23, UnitMinute: 59, UnitSecond: 59}
)

// evaluate sets Months or Millis from Text; false if Text does not fit the
// qualifier or the value does not fit 64 bits.
func (l *IntervalLit) evaluate() bool {
	s := strings.TrimSpace(l.Text)
	negative := l.Negative
	if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") {
		negative = negative != (s[0] == '-')
		s = strings.TrimSpace(s[1:])
	}
	fields, seps := intervalFields(l.Qualifier)
	var total, millis int64
	for i, u := range fields {
		text := s
		if i < len(seps) {
			var ok bool
			if text, s, ok = strings.Cut(s, seps[i]); !ok {
				return false
			}
			s = strings.TrimLeft(s, " ")
		}
		if u == UnitSecond {
			var frac string
			var hasFrac bool
			text, frac, hasFrac = strings.Cut(text, ".")
			nanos, ok := fraction(frac)
			if !ok || hasFrac && frac == "" {
				return false
			}
			millis = nanos / 1e6
		}
		hi, scale := int64(math.MaxInt32)*1000, unitMillis[u]
		if i > 0 {
			hi = unitHighest[u]
		}
		if l.Qualifier.YearMonth() {
			hi, scale = min(hi, math.MaxInt32/12), unitMonths[u]
		}
		n, ok := fieldValue(text, hi)
		if !ok || n > (math.MaxInt64-total)/scale {
			return false
		}
		total += n * scale
	}
	if total > math.MaxInt64-millis {
		return false
	}
	total += millis
	if negative {
		total = -total
	}
	if l.Qualifier.YearMonth() {
		l.Months = total
	} else {
		l.Millis = total
	}
	return true
}

// intervalFields lists the fields of a qualifier and what separates them.
func intervalFields(q *IntervalQualifier) (fields []Unit, seps []string) {
	if q.To == UnitNone {
		return []Unit{q.From}, nil
	}
	if q.From == UnitYear {
		return []Unit{UnitYear, UnitMonth}, []string{"-"}
	}
	sep := map[Unit]string{UnitDay: " ", UnitHour: ":", UnitMinute: ":"}
	for _, u := range []Unit{UnitDay, UnitHour, UnitMinute, UnitSecond} {
		if u >= q.From && u <= q.To {
			fields = append(fields, u)
			if u < q.To {
				seps = append(seps, sep[u])
			}
		}
	}
	return fields, seps
}
