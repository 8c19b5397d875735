package expr

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// datePattern is a pattern of Java's DateTimeFormatter, compiled. It serves SimpleDateFormat too: the letters in use mean the same.
type datePattern struct {
	items []dateItem
	// zoned says that the pattern has an offset or a zone.
	zoned bool
}

// dateItem is a field (kind is its letter, n how often it is repeated), literal text (kind '\”), or the start or end of an optional
// section (kind '[' or ']').
type dateItem struct {
	kind byte
	n    int
	text string
	// end is the place of the ']' that belongs to a '['.
	end int
	// adjacent: the next item is a number without anything between, so that this one reads its own digits only.
	adjacent bool
}

// dateLetters are the letters that are understood, with the most repetitions.
var dateLetters = map[byte]int{
	'y': 9, 'u': 9, 'M': 4, 'L': 4, 'd': 2, 'D': 3, 'Q': 4, 'q': 4, 'E': 4, 'a': 1, 'H': 2, 'k': 2, 'K': 2, 'h': 2, 'm': 2, 's': 2, 'S': 9,
	'X': 3, 'x': 3, 'Z': 5, 'z': 4, 'V': 2, 'G': 3,
}

// compileDatePattern reads a pattern; a letter that is not understood is an error that names it.
func compileDatePattern(pattern string) (*datePattern, error) {
	fail := func(format string, args ...any) (*datePattern, error) {
		return nil, fmt.Errorf("date pattern '%s': %s", pattern, fmt.Sprintf(format, args...))
	}
	p := &datePattern{}
	var open []int
	for i := 0; i < len(pattern); {
		switch c := pattern[i]; {
		case c == '\'':
			text, n := quotedText(pattern[i:])
			if n == 0 {
				return fail("a quote is not closed")
			}
			p.items = append(p.items, dateItem{kind: '\'', text: text})
			i += n
		case c == '[':
			open = append(open, len(p.items))
			p.items = append(p.items, dateItem{kind: '['})
			i++
		case c == ']':
			if len(open) == 0 {
				return fail("] without [")
			}
			p.items[open[len(open)-1]].end = len(p.items)
			open = open[:len(open)-1]
			p.items = append(p.items, dateItem{kind: ']'})
			i++
		case c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z':
			n := 1
			for i+n < len(pattern) && pattern[i+n] == c {
				n++
			}
			most, ok := dateLetters[c]
			switch {
			case c == 'Y':
				return fail("Y is the year of a week; write y for the year")
			case !ok:
				return fail("the letter %c is not supported", c)
			case n > most:
				return fail("%s is too long", pattern[i:i+n])
			}
			p.items = append(p.items, dateItem{kind: c, n: n})
			p.zoned = p.zoned || strings.IndexByte("XxZzV", c) >= 0
			i += n
		case c == '{' || c == '}' || c == '#':
			return fail("%c must be in quotes", c)
		default:
			_, n := utf8.DecodeRuneInString(pattern[i:])
			p.items = append(p.items, dateItem{kind: '\'', text: pattern[i : i+n]})
			i += n
		}
	}
	if len(open) > 0 {
		return fail("[ is not closed")
	}
	for i := range p.items[:max(len(p.items)-1, 0)] {
		p.items[i].adjacent = p.items[i].number() && p.items[i+1].number()
	}
	return p, nil
}

// quotedText reads 'text' at the start of s, ” being a quote; n is 0 when it does not end.
func quotedText(s string) (text string, n int) {
	if strings.HasPrefix(s, "''") {
		return "'", 2
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), i + 1
	}
	return "", 0
}

// number says that the item is written in digits.
func (t dateItem) number() bool {
	switch t.kind {
	case 'M', 'L', 'Q', 'q':
		return t.n <= 2
	}
	return strings.IndexByte("yudDHkKhmsS", t.kind) >= 0
}

// format appends a local time in ms. off is its distance from UTC in ms and loc its zone, which patterns with a zone need.
func (p *datePattern) format(dst []byte, local, off int64, loc *time.Location) []byte {
	days := floorDiv(local, msPerDay)
	ms := local - days*msPerDay
	y, m, d := civil(days)
	hour := ms / msPerHour
	for i := range p.items {
		t := &p.items[i]
		switch t.kind {
		case '\'':
			dst = append(dst, t.text...)
		case 'y', 'u':
			switch {
			case t.n == 2:
				dst = pad(dst, y-floorDiv(y, 100)*100, 2)
			default:
				dst = pad(dst, y, t.n)
			}
		case 'M', 'L':
			dst = appendName(dst, t.n, m, time.Month(m).String())
		case 'Q', 'q':
			dst = appendQuarter(dst, t.n, (m-1)/3+1)
		case 'd':
			dst = pad(dst, d, t.n)
		case 'D':
			dst = pad(dst, days-daysOf(y, 1, 1)+1, t.n)
		case 'E':
			dst = appendName(dst, max(t.n, 3), 0, time.Weekday(isoWeekday(days)%7).String())
		case 'G':
			dst = append(dst, "AD"...)
		case 'a':
			dst = append(dst, "AP"[hour/12], 'M')
		case 'H':
			dst = pad(dst, hour, t.n)
		case 'k':
			dst = pad(dst, (hour+23)%24+1, t.n)
		case 'K':
			dst = pad(dst, hour%12, t.n)
		case 'h':
			dst = pad(dst, (hour+11)%12+1, t.n)
		case 'm':
			dst = pad(dst, ms/msPerMinute%60, t.n)
		case 's':
			dst = pad(dst, ms/msPerSecond%60, t.n)
		case 'S':
			dst = appendFraction(dst, ms%msPerSecond, t.n)
		case 'X', 'x', 'Z':
			dst = appendOffset(dst, t.kind, t.n, off)
		case 'V':
			dst = append(dst, loc.String()...)
		case 'z':
			name, _ := time.UnixMilli(local - off).In(loc).Zone()
			dst = append(dst, name...)
		}
	}
	return dst
}

// appendName appends v in digits (n 1 or 2), the first three letters of name (3), or name.
func appendName(dst []byte, n int, v int64, name string) []byte {
	switch {
	case n <= 2:
		return pad(dst, v, n)
	case n == 3:
		return append(dst, name[:3]...)
	default:
		return append(dst, name...)
	}
}

func appendQuarter(dst []byte, n int, q int64) []byte {
	switch {
	case n <= 2:
		return pad(dst, q, n)
	case n == 3:
		return append(dst, 'Q', byte('0'+q))
	}
	return append(append(append(dst, byte('0'+q)), [...]string{"st", "nd", "rd", "th"}[q-1]...), " quarter"...)
}

func appendFraction(dst []byte, ms int64, digits int) []byte {
	for unit := int64(100); digits > 0; digits-- {
		v := byte('0')
		if unit > 0 {
			v += byte(ms / unit % 10)
		}
		dst = append(dst, v)
		unit /= 10
	}
	return dst
}

// appendOffset appends +01 (X and x once), +0100 (twice, and Z) or +01:00 (three times, and Z five times); X shows no offset as Z.
func appendOffset(dst []byte, letter byte, n int, off int64) []byte {
	if off == 0 && (letter == 'X' || letter == 'Z' && n == 5) {
		return append(dst, 'Z')
	}
	if letter == 'Z' {
		if n == 4 {
			dst = append(dst, "GMT"...)
			if off == 0 {
				return dst
			}
		}
		n = 2 + n/4
	}
	sign := byte('+')
	if off < 0 {
		sign, off = '-', -off
	}
	minutes := off / msPerMinute
	dst = pad(append(dst, sign), minutes/60, 2)
	if n == 1 && minutes%60 == 0 {
		return dst
	}
	if n == 3 {
		dst = append(dst, ':')
	}
	return pad(dst, minutes%60, 2)
}

// parsed is what a text said.
type parsed struct {
	year, month, day, doy            int64
	hour, half, minute, second, frac int64
	off                              int64
	hasOff                           bool
}

// parse reads a text: local time in ms and, where the pattern has an offset and the text too, its distance from UTC. lenient reads as SimpleDateFormat does:
// fields may have fewer digits than letters, and text behind the end of the pattern is ignored.
func (p *datePattern) parse(s string, lenient bool) (local, off int64, hasOff, ok bool) {
	v := parsed{year: 1970, month: 1, day: 1, doy: -1, half: -1}
	rest, ok := p.section(s, 0, len(p.items), &v, lenient)
	if !ok || rest != "" && !lenient {
		return 0, 0, false, false
	}
	if v.half >= 0 {
		v.hour = v.hour%12 + v.half*12
	}
	if v.month < 1 || v.month > 12 || v.day < 1 || v.day > daysIn(v.year, v.month) || v.hour > 23 || v.minute > 59 || v.second > 59 {
		return 0, 0, false, false
	}
	days := daysOf(v.year, v.month, v.day)
	if v.doy >= 0 {
		first := daysOf(v.year, 1, 1)
		if v.doy < 1 || v.doy > daysOf(v.year+1, 1, 1)-first {
			return 0, 0, false, false
		}
		days = first + v.doy - 1
	}
	local = days*msPerDay + v.hour*msPerHour + v.minute*msPerMinute + v.second*msPerSecond + v.frac
	return local, v.off, v.hasOff, true
}

// section reads items [from, to); an optional section that does not fit is skipped.
func (p *datePattern) section(s string, from, to int, v *parsed, lenient bool) (rest string, ok bool) {
	for i := from; i < to; i++ {
		t := &p.items[i]
		switch t.kind {
		case '[':
			saved := *v
			if r, ok := p.section(s, i+1, t.end, v, lenient); ok {
				s = r
			} else {
				*v = saved
			}
			i = t.end
		case '\'':
			if !strings.HasPrefix(s, t.text) {
				return s, false
			}
			s = s[len(t.text):]
		default:
			if s, ok = t.read(s, v, lenient); !ok {
				return s, false
			}
		}
	}
	return s, true
}

// read reads one field.
func (t *dateItem) read(s string, v *parsed, lenient bool) (rest string, ok bool) {
	if !t.number() {
		return t.readText(s, v)
	}
	lo, hi := t.n, t.n
	switch {
	case t.adjacent:
	case lenient:
		lo, hi = 1, 9
	case t.n == 1:
		hi = 2
		switch t.kind {
		case 'y', 'u':
			hi = 9
		case 'D':
			hi = 3
		}
	}
	if t.kind == 'S' && !lenient {
		hi = t.n
	}
	n, rest, ok := digits(s, lo, hi)
	if !ok {
		return s, false
	}
	switch t.kind {
	case 'y', 'u':
		v.year = n
		if t.n == 2 && len(s)-len(rest) == 2 {
			v.year += 2000
		}
		ok = v.year <= 9999
	case 'M', 'L':
		v.month = n
	case 'd':
		v.day = n
	case 'D':
		v.doy = n
	case 'H':
		v.hour = n
	case 'k':
		v.hour, ok = n%24, n >= 1 && n <= 24
	case 'K':
		v.hour, ok = n, n < 12
	case 'h':
		v.hour, ok = n%12, n >= 1 && n <= 12
	case 'm':
		v.minute = n
	case 's':
		v.second = n
	case 'S':
		v.frac = millis(s[:len(s)-len(rest)])
	case 'Q', 'q':
		ok = n >= 1 && n <= 4
	}
	return rest, ok
}

// millis reads the digits of a fraction of a second as ms.
func millis(digits string) (ms int64) {
	for i, unit := 0, int64(100); i < len(digits) && unit > 0; i, unit = i+1, unit/10 {
		ms += int64(digits[i]-'0') * unit
	}
	return ms
}

// readText reads a field that is not a number.
func (t *dateItem) readText(s string, v *parsed) (rest string, ok bool) {
	switch t.kind {
	case 'a':
		if len(s) < 2 || s[1]|0x20 != 'm' || s[0]|0x20 != 'a' && s[0]|0x20 != 'p' {
			return s, false
		}
		v.half = 0
		if s[0]|0x20 == 'p' {
			v.half = 1
		}
		return s[2:], true
	case 'G':
		if hasFold(s, "AD") {
			return s[2:], true
		}
		return s, false
	case 'M', 'L':
		for m := time.January; m <= time.December; m++ {
			if n := nameLength(s, m.String(), t.n); n > 0 {
				v.month = int64(m)
				return s[n:], true
			}
		}
		return s, false
	case 'E':
		for d := time.Sunday; d <= time.Saturday; d++ {
			if n := nameLength(s, d.String(), max(t.n, 3)); n > 0 {
				return s[n:], true
			}
		}
		return s, false
	case 'Q', 'q':
		if len(s) >= 2 && s[0]|0x20 == 'q' && s[1] >= '1' && s[1] <= '4' && t.n == 3 {
			return s[2:], true
		}
		return s, false
	default:
		return readOffset(s, v)
	}
}

func hasFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// nameLength is how many bytes of s the name takes, in three letters or in full.
func nameLength(s, name string, n int) int {
	if n == 3 {
		name = name[:3]
	}
	if !hasFold(s, name) {
		return 0
	}
	return len(name)
}

// readOffset reads Z, UTC, GMT, +hh, +hhmm or +hh:mm.
func readOffset(s string, v *parsed) (rest string, ok bool) {
	v.hasOff = true
	named := false
	if hasFold(s, "UTC") || hasFold(s, "GMT") {
		s, named = s[3:], true
	}
	if s == "" || s[0] != '+' && s[0] != '-' {
		if !named && s != "" && s[0]|0x20 == 'z' {
			s, named = s[1:], true
		}
		v.off = 0
		return s, named
	}
	negative := s[0] == '-'
	h, rest, ok := digits(s[1:], 2, 2)
	if !ok || h > 18 {
		return s, false
	}
	var m int64
	if v, r, ok := digits(strings.TrimPrefix(rest, ":"), 2, 2); ok && v < 60 {
		m, rest = v, r
	}
	v.off = h*msPerHour + m*msPerMinute
	if negative {
		v.off = -v.off
	}
	return rest, true
}

// newDatePatterns prepares argument arg; a call without it uses the pattern def.
func newDatePatterns(s *Site, arg int, def string) (*compiledArg[*datePattern], error) {
	if arg >= len(s.Call.Args) {
		return fixedArg(def, compileDatePattern)
	}
	return newCompiledArg(s, arg, compileDatePattern)
}

// checkPattern checks a constant pattern in the planner. without says what the value has no zone of, "" when it has one.
func checkPattern(args []*Expr, arg int, without string) error {
	if arg >= len(args) {
		return nil
	}
	text, ok := constText(args[arg])
	if !ok {
		return nil
	}
	p, err := compileDatePattern(text)
	if err != nil {
		return err
	}
	if p.zoned && without != "" {
		return fmt.Errorf("date pattern %s has a zone, but %s has none; cast it to TIMESTAMP_LTZ", strconv.Quote(text), without)
	}
	return nil
}
