package format

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// maxDepth bounds nesting, so that hostile input cannot exhaust the stack.
const maxDepth = 64

var (
	errTruncated = errors.New("JSON ends too early")
	errUTF8      = errors.New("text is not valid UTF-8")
	errDepth     = fmt.Errorf("JSON is nested deeper than %d", maxDepth)
)

// scanner walks one JSON text. The methods return positions rather than values so that callers decode in place.
type scanner struct {
	s []byte
	i int
	// scratch holds an unescaped string until the next one.
	scratch []byte
}

func (z *scanner) space() {
	for z.i < len(z.s) {
		switch z.s[z.i] {
		case ' ', '\t', '\n', '\r':
			z.i++
		default:
			return
		}
	}
}

// peek skips white space and returns the next byte, 0 at the end.
func (z *scanner) peek() byte {
	if z.i < len(z.s) && z.s[z.i] > ' ' {
		return z.s[z.i]
	}
	z.space()
	if z.i < len(z.s) {
		return z.s[z.i]
	}
	return 0
}

func (z *scanner) expect(c byte) error {
	if z.peek() != c {
		return z.unexpected(string(rune(c)))
	}
	z.i++
	return nil
}

func (z *scanner) unexpected(want string) error {
	if z.i >= len(z.s) {
		return errTruncated
	}
	return fmt.Errorf("malformed JSON at byte %d: %q where %s was expected", z.i, z.s[z.i], want)
}

// str reads a string and returns its unescaped bytes: a part of the input, or of scratch. The result is valid UTF-8.
func (z *scanner) str() ([]byte, error) {
	if z.peek() != '"' {
		return nil, z.unexpected("a string")
	}
	start := z.i + 1
	ascii := true
	for i := start; i < len(z.s); i++ {
		switch c := z.s[i]; {
		case c == '"':
			z.i = i + 1
			if !ascii && !utf8.Valid(z.s[start:i]) {
				return nil, errUTF8
			}
			return z.s[start:i], nil
		case c == '\\':
			return z.escaped(start, i)
		case c < ' ':
			return nil, fmt.Errorf("malformed JSON at byte %d: control character in a string", i)
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, errTruncated
}

// escaped goes on with a string that began at start and has its first backslash at i.
func (z *scanner) escaped(start, i int) ([]byte, error) {
	out := append(z.scratch[:0], z.s[start:i]...)
	for i < len(z.s) {
		c := z.s[i]
		switch {
		case c == '"':
			z.i, z.scratch = i+1, out
			if !utf8.Valid(out) {
				return nil, errUTF8
			}
			return out, nil
		case c < ' ':
			return nil, fmt.Errorf("malformed JSON at byte %d: control character in a string", i)
		case c != '\\':
			out = append(out, c)
			i++
			continue
		}
		if i+1 >= len(z.s) {
			return nil, errTruncated
		}
		if z.s[i+1] == 'u' {
			r, n := unicodeEscape(z.s[i:])
			if n == 0 {
				return nil, fmt.Errorf("malformed JSON at byte %d: bad \\u escape", i)
			}
			out = utf8.AppendRune(out, r)
			i += n
			continue
		}
		e := unescape(z.s[i+1])
		if e == 0 {
			return nil, fmt.Errorf("malformed JSON at byte %d: bad escape \\%c", i, z.s[i+1])
		}
		out = append(out, e)
		i += 2
	}
	return nil, errTruncated
}

func unescape(c byte) byte {
	switch c {
	case '"', '\\', '/':
		return c
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	default:
		return 0
	}
}

// unicodeEscape reads \uXXXX, or a surrogate pair of them; n is 0 when it is malformed. A lone surrogate becomes U+FFFD.
func unicodeEscape(s []byte) (r rune, n int) {
	r, ok := hex4(s)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(s) >= 12 && s[6] == '\\' {
		if low, ok := hex4(s[6:]); ok {
			if full := utf16.DecodeRune(r, low); full != utf8.RuneError {
				return full, 12
			}
		}
	}
	return utf8.RuneError, 6
}

func hex4(s []byte) (rune, bool) {
	if len(s) < 6 || s[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range s[2:6] {
		r <<= 4
		switch {
		case c >= '0' && c <= '9':
			r |= rune(c - '0')
		case c >= 'a' && c <= 'f':
			r |= rune(c-'a') + 10
		case c >= 'A' && c <= 'F':
			r |= rune(c-'A') + 10
		default:
			return 0, false
		}
	}
	return r, true
}

// number returns the text of a number, checked against JSON's grammar.
func (z *scanner) number() ([]byte, error) {
	start := z.i
	i := start
	if i < len(z.s) && z.s[i] == '-' {
		i++
	}
	digits := func() bool {
		from := i
		for i < len(z.s) && z.s[i] >= '0' && z.s[i] <= '9' {
			i++
		}
		return i > from
	}
	first := i
	if !digits() || i > first+1 && z.s[first] == '0' {
		z.i = first
		return nil, z.unexpected("a number")
	}
	if i < len(z.s) && z.s[i] == '.' {
		i++
		if !digits() {
			z.i = i
			return nil, z.unexpected("a digit")
		}
	}
	if i < len(z.s) && (z.s[i] == 'e' || z.s[i] == 'E') {
		i++
		if i < len(z.s) && (z.s[i] == '+' || z.s[i] == '-') {
			i++
		}
		if !digits() {
			z.i = i
			return nil, z.unexpected("a digit")
		}
	}
	z.i = i
	return z.s[start:i], nil
}

// word reads one of the literals true, false, null.
func (z *scanner) word(w string) error {
	if len(z.s)-z.i < len(w) || string(z.s[z.i:z.i+len(w)]) != w {
		return z.unexpected("a value")
	}
	z.i += len(w)
	return nil
}

// skip reads over any value and returns its text.
func (z *scanner) skip(depth int) ([]byte, error) {
	c := z.peek()
	start := z.i
	var err error
	switch {
	case c == '"':
		_, err = z.str()
	case c == '{':
		err = z.skipObject(depth)
	case c == '[':
		err = z.skipArray(depth)
	case c == 't':
		err = z.word("true")
	case c == 'f':
		err = z.word("false")
	case c == 'n':
		err = z.word("null")
	default:
		_, err = z.number()
	}
	return z.s[start:z.i], err
}

func (z *scanner) skipObject(depth int) error {
	if depth >= maxDepth {
		return errDepth
	}
	z.i++
	if z.peek() == '}' {
		z.i++
		return nil
	}
	for {
		if _, err := z.str(); err != nil {
			return err
		}
		if err := z.expect(':'); err != nil {
			return err
		}
		if _, err := z.skip(depth + 1); err != nil {
			return err
		}
		if done, err := z.next('}'); done || err != nil {
			return err
		}
	}
}

func (z *scanner) skipArray(depth int) error {
	if depth >= maxDepth {
		return errDepth
	}
	z.i++
	if z.peek() == ']' {
		z.i++
		return nil
	}
	for {
		if _, err := z.skip(depth + 1); err != nil {
			return err
		}
		if done, err := z.next(']'); done || err != nil {
			return err
		}
	}
}

// next reads a comma (done false) or the closing character (done true).
func (z *scanner) next(closing byte) (done bool, err error) {
	switch z.peek() {
	case ',':
		z.i++
		return false, nil
	case closing:
		z.i++
		return true, nil
	default:
		return false, z.unexpected("',' or '" + string(rune(closing)) + "'")
	}
}

// integer parses a decimal integer; exact is false when it has a fraction, an exponent or does not fit.
func integer(s []byte) (v int64, exact bool) {
	neg := len(s) > 0 && s[0] == '-'
	if neg || len(s) > 0 && s[0] == '+' {
		s = s[1:]
	}
	if len(s) == 0 || len(s) > 19 {
		return 0, false
	}
	var u uint64
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		u = u*10 + uint64(c-'0')
	}
	if neg {
		return -int64(u), u <= 1<<63
	}
	return int64(u), u <= math.MaxInt64
}

// pow10 are the powers of ten that a float64 holds exactly.
var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// float parses a number. Up to 15 digits with a plain point it divides two exact values, which rounds correctly
// (Clinger 1990); anything else goes to strconv.
func float(s []byte) (float64, error) {
	i, neg := 0, false
	if len(s) > 0 && s[0] == '-' {
		i, neg = 1, true
	}
	var m uint64
	digits, frac, point := 0, 0, false
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			m = m*10 + uint64(c-'0')
			digits++
			if point {
				frac++
			}
			continue
		case c == '.' && !point:
			point = true
			continue
		}
		break
	}
	if i == len(s) && digits > 0 && digits <= 15 {
		f := float64(m) / pow10[frac]
		if neg {
			f = -f
		}
		return f, nil
	}
	return strconv.ParseFloat(unsafe.String(unsafe.SliceData(s), len(s)), 64)
}

func checkUTF8(b []byte) error {
	if !utf8.Valid(b) {
		return errUTF8
	}
	return nil
}
