package expr

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/bits"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/bramble-stream/bramble/engine/vec"
)

var (
	_ = register(Func{
		Name: "ASCII", Usage: "ASCII(string)", Min: 1, Max: 1, Bind: Types(vec.TypeInt32, vec.TypeString),
		Build: Always(FixedRows(func(args []Arg, i int) (int32, bool, error) {
			s := args[0].Bytes(i)
			if len(s) == 0 {
				return 0, true, nil
			}
			r, _ := utf8.DecodeRune(s)
			return r, true, nil
		})),
	})
	_ = register(Func{
		Name: "CHR", Usage: "CHR(integer)", Min: 1, Max: 1, Bind: Types(vec.TypeString, vec.TypeInt64),
		Build: Always(StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
			if c := At[int64](args[0], i); c >= 0 {
				dst = utf8.AppendRune(dst, rune(c&0xFF))
			}
			return dst, true, nil
		})),
	})
	_ = register(Func{
		Name: "BIN", Usage: "BIN(integer)", Min: 1, Max: 1, Bind: Types(vec.TypeString, vec.TypeInt64),
		Build: Always(StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
			return strconv.AppendUint(dst, uint64(At[int64](args[0], i)), 2), true, nil
		})),
	})
	_ = register(Func{Name: "HEX", Usage: "HEX(integer, string or bytes)", Min: 1, Max: 1, Bind: bindHex, Build: buildHex})
	_ = register(Func{
		Name: "UNHEX", Usage: "UNHEX(string)", Flags: MayNull, Min: 1, Max: 1, Bind: Types(vec.TypeBytes, vec.TypeString),
		Build: Always(StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
			res, ok := appendUnhex(dst, args[0].Bytes(i))
			return res, ok, nil
		})),
	})
	_ = register(Func{
		Name: "TO_BASE64", Usage: "TO_BASE64(string or bytes)", Min: 1, Max: 1, Bind: bindBinary(vec.TypeString),
		Build: Always(StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
			return base64.StdEncoding.AppendEncode(dst, args[0].Bytes(i)), true, nil
		})),
	})
	_ = textFunc("FROM_BASE64", MayNull, func(dst, s []byte) ([]byte, bool) {
		res, err := base64.StdEncoding.AppendDecode(dst, s)
		return res, err == nil
	})
	_ = textFunc("URL_ENCODE", 0, always(urlEncode))
	_ = textFunc("URL_DECODE", MayNull, urlDecode)

	_ = register(Func{Name: "ENCODE", Usage: "ENCODE(string, charset)", Min: 2, Max: 2, Bind: bindCharset(vec.TypeBytes, vec.TypeString), Build: buildCharset(encode)})
	_ = register(Func{Name: "DECODE", Usage: "DECODE(bytes, charset)", Min: 2, Max: 2, Bind: bindCharset(vec.TypeString, vec.TypeBytes), Build: buildCharset(decode)})
	_ = register(Func{
		Name: "PARSE_URL", Usage: "PARSE_URL(url, part[, key])", Flags: MayNull, Min: 2, Max: 3, Bind: Types(vec.TypeString, vec.TypeString),
		Build: Always(StringRows(parseURL)),
	})
	_ = register(Func{
		Name: "STR_TO_MAP", Usage: "STR_TO_MAP(string[, pair delimiter, key delimiter])", Min: 1, Max: 3,
		Bind: Types(vec.MapOf(vec.TypeString, vec.TypeString), vec.TypeString), Build: buildStrToMap,
	})
)

// bindHex takes integers as BIGINT and otherwise text or bytes.
func bindHex(args []*Expr) (vec.Type, error) {
	if args[0].Type.Kind.IsInteger() {
		return vec.TypeString, coerce(args, 0, vec.TypeInt64)
	}
	return bindBinary(vec.TypeString)(args)
}

const hexDigits = "0123456789ABCDEF"

func buildHex(s *Site) (Kernel, error) {
	if s.Call.Args[0].Type.Kind == vec.Int64 {
		return StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
			v := uint64(At[int64](args[0], i))
			for shift := max(bits.Len64(v)-1, 0) / 4 * 4; shift >= 0; shift -= 4 {
				dst = append(dst, hexDigits[v>>uint(shift)&15])
			}
			return dst, true, nil
		}), nil
	}
	return StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
		for _, b := range args[0].Bytes(i) {
			dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
		}
		return dst, true, nil
	}), nil
}

// unhexDigit returns the value of a hexadecimal digit, 16 for another character.
func unhexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 16
}

// appendUnhex reads pairs of digits; the first may stand alone.
func appendUnhex(dst, s []byte) ([]byte, bool) {
	var v byte
	odd := len(s)%2 == 1
	for i, c := range s {
		d := unhexDigit(c)
		if d > 15 {
			return dst, false
		}
		if v = v<<4 | d; i%2 == 1 != odd {
			dst = append(dst, v)
			v = 0
		}
	}
	return dst, true
}

// urlEncode writes application/x-www-form-urlencoded as Java does.
func urlEncode(dst, s []byte) []byte {
	for _, b := range s {
		switch {
		case b == ' ':
			dst = append(dst, '+')
		case b >= '0' && b <= '9', b >= 'A' && b <= 'Z', b >= 'a' && b <= 'z', b == '.', b == '-', b == '*', b == '_':
			dst = append(dst, b)
		default:
			dst = append(dst, '%', hexDigits[b>>4], hexDigits[b&15])
		}
	}
	return dst
}

func urlDecode(dst, s []byte) ([]byte, bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '+':
			dst = append(dst, ' ')
		case '%':
			if i+2 >= len(s) {
				return dst, false
			}
			hi, lo := unhexDigit(s[i+1]), unhexDigit(s[i+2])
			if hi|lo > 15 {
				return dst, false
			}
			dst = append(dst, hi<<4|lo)
			i += 2
		default:
			dst = append(dst, s[i])
		}
	}
	return dst, true
}

var charsets = []string{"US-ASCII", "ISO-8859-1", "UTF-8", "UTF-16BE", "UTF-16LE", "UTF-16"}

func bindCharset(result, arg vec.Type) func([]*Expr) (vec.Type, error) {
	return func(args []*Expr) (vec.Type, error) {
		t, err := Types(result, arg, vec.TypeString)(args)
		if name, ok := constText(args[1]); ok && err == nil {
			err = oneOf(Lit(vec.TypeString, strings.ToUpper(name)), "the character set", charsets...)
		}
		return t, err
	}
}

func buildCharset(fn func(dst, s []byte, charset string) ([]byte, bool)) func(*Site) (Kernel, error) {
	return Always(StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
		res, ok := fn(dst, args[0].Bytes(i), args[1].Str(i))
		if !ok {
			return nil, false, fmt.Errorf("unknown character set '%s'", args[1].Str(i))
		}
		return res, true, nil
	}))
}

// encode writes ? for characters that the set does not have.
func encode(dst, s []byte, charset string) ([]byte, bool) {
	limit := rune(0)
	big := true
	switch {
	case strings.EqualFold(charset, "UTF-8"):
		return append(dst, s...), true
	case strings.EqualFold(charset, "US-ASCII"):
		limit = 0x7F
	case strings.EqualFold(charset, "ISO-8859-1"):
		limit = 0xFF
	case strings.EqualFold(charset, "UTF-16"):
		dst = append(dst, 0xFE, 0xFF)
	case strings.EqualFold(charset, "UTF-16LE"):
		big = false
	case !strings.EqualFold(charset, "UTF-16BE"):
		return dst, false
	}
	put := func(u rune) {
		if big {
			dst = append(dst, byte(u>>8), byte(u))
		} else {
			dst = append(dst, byte(u), byte(u>>8))
		}
	}
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		s = s[n:]
		switch {
		case limit > 0 && r > limit:
			dst = append(dst, '?')
		case limit > 0:
			dst = append(dst, byte(r))
		case utf16.RuneLen(r) == 2:
			hi, lo := utf16.EncodeRune(r)
			put(hi)
			put(lo)
		default:
			put(r)
		}
	}
	return dst, true
}

func decode(dst, s []byte, charset string) ([]byte, bool) {
	big := true
	switch {
	case strings.EqualFold(charset, "UTF-8"):
		return append(dst, bytes.ToValidUTF8(s, []byte("\uFFFD"))...), true
	case strings.EqualFold(charset, "US-ASCII"):
		for _, b := range s {
			if b >= utf8.RuneSelf {
				dst = utf8.AppendRune(dst, utf8.RuneError)
			} else {
				dst = append(dst, b)
			}
		}
		return dst, true
	case strings.EqualFold(charset, "ISO-8859-1"):
		for _, b := range s {
			dst = utf8.AppendRune(dst, rune(b))
		}
		return dst, true
	case strings.EqualFold(charset, "UTF-16"):
		if bytes.HasPrefix(s, []byte{0xFF, 0xFE}) {
			big = false
		}
		if bytes.HasPrefix(s, []byte{0xFF, 0xFE}) || bytes.HasPrefix(s, []byte{0xFE, 0xFF}) {
			s = s[2:]
		}
	case strings.EqualFold(charset, "UTF-16LE"):
		big = false
	case !strings.EqualFold(charset, "UTF-16BE"):
		return dst, false
	}
	unit := func() rune {
		if big {
			return rune(s[0])<<8 | rune(s[1])
		}
		return rune(s[1])<<8 | rune(s[0])
	}
	for len(s) >= 2 {
		r := unit()
		s = s[2:]
		if utf16.IsSurrogate(r) {
			if len(s) >= 2 && utf16.DecodeRune(r, unit()) != utf8.RuneError {
				r = utf16.DecodeRune(r, unit())
				s = s[2:]
			} else {
				r = utf8.RuneError
			}
		}
		dst = utf8.AppendRune(dst, r)
	}
	if len(s) > 0 {
		dst = utf8.AppendRune(dst, utf8.RuneError)
	}
	return dst, true
}

// parseURL gives NULL for what is no URL and for parts that it does not have.
func parseURL(args []Arg, i int, dst []byte) ([]byte, bool, error) {
	u, err := url.Parse(args[0].Str(i))
	if err != nil || u.Scheme == "" {
		return dst, false, nil //nolint:nilerr // NULL, as in Flink
	}
	opt := func(s string) ([]byte, bool, error) { return append(dst, s...), s != "", nil }
	part := args[1].Str(i)
	if len(args) > 2 {
		if part != "QUERY" {
			return dst, false, nil
		}
		for rest := u.RawQuery; rest != ""; {
			var pair string
			pair, rest, _ = strings.Cut(rest, "&")
			if k, v, ok := strings.Cut(pair, "="); ok && k == args[2].Str(i) {
				return append(dst, v...), true, nil
			}
		}
		return dst, false, nil
	}
	switch part {
	case "HOST":
		return opt(u.Hostname())
	case "PATH":
		return append(dst, u.EscapedPath()...), true, nil
	case "QUERY":
		return opt(u.RawQuery)
	case "REF":
		return opt(u.EscapedFragment())
	case "PROTOCOL":
		return opt(u.Scheme)
	case "FILE":
		dst = append(dst, u.EscapedPath()...)
		if u.RawQuery != "" {
			dst = append(append(dst, '?'), u.RawQuery...)
		}
		return dst, true, nil
	case "AUTHORITY":
		if u.User != nil {
			dst = append(append(dst, u.User.String()...), '@')
		}
		return append(dst, u.Host...), u.Host != "", nil
	case "USERINFO":
		if u.User == nil {
			return dst, false, nil
		}
		return opt(u.User.String())
	}
	return dst, false, nil
}

// splitter cuts text at a delimiter that is a regular expression; one that is plain text is searched as such.
type splitter struct {
	text string
	re   *regexp.Regexp
	set  bool
}

func (d *splitter) use(text string) error {
	if d.set && text == d.text {
		return nil
	}
	*d = splitter{text: strings.Clone(text), set: true}
	if regexp.QuoteMeta(text) == text && text != "" {
		return nil
	}
	re, err := compileJavaRegexp(text)
	d.re = re
	return err
}

// next finds the first delimiter: at -1 when there is none.
func (d *splitter) next(s []byte) (at, end int) {
	if d.re == nil {
		at = bytes.Index(s, []byte(d.text))
		return at, at + len(d.text)
	}
	m := d.re.FindIndex(s)
	if m == nil || m[1] == 0 {
		return -1, 0
	}
	return m[0], m[1]
}

func buildStrToMap(s *Site) (Kernel, error) {
	var pairs, keys splitter
	for i, d := range []*splitter{&pairs, &keys} {
		text, ok := []string{",", "="}[i], true
		if len(s.Call.Args) > i+1 {
			text, ok = s.ConstString(i + 1)
		}
		if ok {
			if err := d.use(text); err != nil {
				return nil, err
			}
		}
	}
	type entry struct {
		key, value []byte
		null       bool
	}
	var entries []entry
	return AppendRows(func(f *Frame, i int) error {
		if len(f.Args) > 1 {
			if err := pairs.use(f.Args[1].Str(i)); err != nil {
				return err
			}
		}
		if len(f.Args) > 2 {
			if err := keys.use(f.Args[2].Str(i)); err != nil {
				return err
			}
		}
		entries = entries[:0]
		for text := f.Args[0].Bytes(i); len(text) > 0; {
			pair, rest := text, []byte(nil)
			if at, end := pairs.next(text); at >= 0 {
				pair, rest = text[:at], text[end:]
			}
			text = rest
			e := entry{key: pair, null: true}
			if at, end := keys.next(pair); at >= 0 {
				e = entry{key: pair[:at], value: pair[end:]}
			}
			// A key that comes again replaces the value.
			known := false
			for k := range entries {
				if bytes.Equal(entries[k].key, e.key) {
					entries[k], known = e, true
				}
			}
			if !known {
				entries = append(entries, e)
			}
		}
		for _, e := range entries {
			f.Out.Kid(0).AppendBytes(e.key)
			if e.null {
				f.Out.Kid(1).AppendNull()
			} else {
				f.Out.Kid(1).AppendBytes(e.value)
			}
		}
		f.Out.EndList()
		return nil
	}), nil
}
