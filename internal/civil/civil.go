// Package civil converts between instants and calendar text without allocating. It knows no time zones: a local
// time is milliseconds since 1970-01-01 00:00 on the local clock.
package civil

// Milliseconds of the fixed units.
const (
	Second int64 = 1000
	Minute       = 60 * Second
	Hour         = 60 * Minute
	Day          = 24 * Hour
)

// MaxYear bounds what is parsed and formatted, as SQL's DATE and TIMESTAMP do.
const MaxYear = 9999

// Days returns the days from 1970-01-01 to the date in the proleptic Gregorian calendar. month is 1 to 12; day may lie outside
// its month and then counts on. The algorithm is Howard Hinnant's days_from_civil.
func Days(year, month, day int) int64 {
	y, m := int64(year), int64(month)
	if m <= 2 {
		y--
	}
	era := floorDiv(y, 400)
	yoe := y - era*400
	mp := (m + 9) % 12
	doy := (153*mp+2)/5 + int64(day) - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return era*146097 + doe - 719468
}

// Date is the inverse of Days.
func Date(days int64) (year, month, day int) {
	z := days + 719468
	era := floorDiv(z, 146097)
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = int(doy - (153*mp+2)/5 + 1)
	month = int(mp + 3)
	if mp >= 10 {
		month = int(mp - 9)
	}
	year = int(yoe + era*400)
	if month <= 2 {
		year++
	}
	return year, month, day
}

// DaysIn is the number of days of a month, 1 to 12.
func DaysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	default:
		return 31
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// FloorDiv and FloorMod divide towards minus infinity; b > 0.
func FloorDiv(a, b int64) int64 { return floorDiv(a, b) }

// FloorMod is a - b*FloorDiv(a, b), in [0, b).
func FloorMod(a, b int64) int64 { return a - b*floorDiv(a, b) }

// AppendDate appends yyyy-MM-dd.
func AppendDate(dst []byte, days int64) []byte {
	y, m, d := Date(days)
	return append2(append(append2(append(appendYear(dst, y), '-'), m), '-'), d)
}

func appendYear(dst []byte, y int) []byte {
	if y < 0 {
		dst, y = append(dst, '-'), -y
	}
	if y > MaxYear {
		return appendInt(dst, y)
	}
	return append2(append2(dst, y/100), y%100)
}

func appendInt(dst []byte, v int) []byte {
	if v >= 10 {
		dst = appendInt(dst, v/10)
	}
	return append(dst, byte('0'+v%10))
}

func append2(dst []byte, v int) []byte { return append(dst, byte('0'+v/10), byte('0'+v%10)) }

// AppendTime appends HH:mm:ss and, for precision 1 to 3, a point and so many digits of the milliseconds.
func AppendTime(dst []byte, ms int64, precision int) []byte {
	dst = append(append2(dst, int(ms/Hour)), ':')
	dst = append(append2(dst, int(ms/Minute%60)), ':')
	dst = append2(dst, int(ms/Second%60))
	if precision <= 0 {
		return dst
	}
	frac := int(ms % Second)
	dst = append(dst, '.', byte('0'+frac/100))
	if precision >= 2 {
		dst = append(dst, byte('0'+frac/10%10))
	}
	if precision >= 3 {
		dst = append(dst, byte('0'+frac%10))
	}
	return dst
}

// AppendTimestamp appends yyyy-MM-dd, sep, HH:mm:ss and the fraction as AppendTime does.
func AppendTimestamp(dst []byte, ms int64, sep byte, precision int) []byte {
	days := floorDiv(ms, Day)
	dst = append(AppendDate(dst, days), sep)
	return AppendTime(dst, ms-days*Day, precision)
}

// Zone says what followed the time in a parsed timestamp.
type Zone uint8

// NoZone: no offset was written. UTCOffset: 'Z' or ±HH:mm was, and the parsed time is in UTC.
const (
	NoZone Zone = iota
	UTCOffset
)

// ParseDate reads yyyy-MM-dd (month and day may have one digit). ok is false for anything else, also trailing text.
func ParseDate(s []byte) (days int64, ok bool) {
	days, rest, ok := dateIn(s)
	return days, ok && len(rest) == 0
}

func dateIn(s []byte) (days int64, rest []byte, ok bool) {
	y, s, ok := digits(s, 4, 4)
	if !ok || len(s) == 0 || s[0] != '-' {
		return 0, nil, false
	}
	m, s, ok := digits(s[1:], 1, 2)
	if !ok || len(s) == 0 || s[0] != '-' {
		return 0, nil, false
	}
	d, s, ok := digits(s[1:], 1, 2)
	if !ok || m < 1 || m > 12 || d < 1 || d > DaysIn(y, m) {
		return 0, nil, false
	}
	return Days(y, m, d), s, true
}

// digits reads between lo and hi decimal digits.
func digits(s []byte, lo, hi int) (v int, rest []byte, ok bool) {
	n := 0
	for n < len(s) && n < hi && s[n] >= '0' && s[n] <= '9' {
		v = v*10 + int(s[n]-'0')
		n++
	}
	return v, s[n:], n >= lo
}

// ParseTime reads HH:mm[:ss[.fraction]] as milliseconds since midnight; digits after the third are cut.
func ParseTime(s []byte) (ms int64, ok bool) {
	ms, rest, ok := timeIn(s)
	return ms, ok && len(rest) == 0
}

func timeIn(s []byte) (ms int64, rest []byte, ok bool) {
	h, s, ok := digits(s, 1, 2)
	if !ok || h > 23 || len(s) == 0 || s[0] != ':' {
		return 0, nil, false
	}
	m, s, ok := digits(s[1:], 1, 2)
	if !ok || m > 59 {
		return 0, nil, false
	}
	ms = int64(h)*Hour + int64(m)*Minute
	if len(s) == 0 || s[0] != ':' {
		return ms, s, true
	}
	sec, s, ok := digits(s[1:], 1, 2)
	if !ok || sec > 59 {
		return 0, nil, false
	}
	ms += int64(sec) * Second
	if len(s) == 0 || s[0] != '.' {
		return ms, s, true
	}
	s = s[1:]
	unit := int64(100)
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		ms += int64(s[n]-'0') * unit
		unit /= 10
		n++
	}
	return ms, s[n:], n > 0
}

// ParseTimestamp reads a date, optionally followed by a space or T and a time, optionally followed by Z or ±HH[:]mm. With an
// offset the result is in UTC, else it is the local time as written.
func ParseTimestamp(s []byte) (ms int64, zone Zone, ok bool) {
	days, s, ok := dateIn(s)
	if !ok {
		return 0, NoZone, false
	}
	ms = days * Day
	if len(s) == 0 {
		return ms, NoZone, true
	}
	if s[0] != ' ' && s[0] != 'T' && s[0] != 't' {
		return 0, NoZone, false
	}
	t, s, ok := timeIn(s[1:])
	if !ok {
		return 0, NoZone, false
	}
	ms += t
	if len(s) == 0 {
		return ms, NoZone, true
	}
	off, ok := offset(s)
	return ms - off, UTCOffset, ok
}

func offset(s []byte) (ms int64, ok bool) {
	if len(s) == 1 && (s[0] == 'Z' || s[0] == 'z') {
		return 0, true
	}
	sign := int64(1)
	switch s[0] {
	case '+':
	case '-':
		sign = -1
	default:
		return 0, false
	}
	h, s, ok := digits(s[1:], 2, 2)
	if !ok || h > 18 {
		return 0, false
	}
	ms = sign * int64(h) * Hour
	if len(s) == 0 {
		return ms, true
	}
	if s[0] == ':' {
		s = s[1:]
	}
	m, s, ok := digits(s, 2, 2)
	return ms + sign*int64(m)*Minute, ok && m < 60 && len(s) == 0
}
