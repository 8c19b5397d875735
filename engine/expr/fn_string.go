package expr

import (
	"bytes"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/bramble-stream/bramble/engine/vec"
)

// textMax bounds what REPEAT, LPAD and RPAD make from a short argument: a number in a message must not exhaust the memory.
const textMax = 16 << 20

var errTextMax = errors.New("the result would be longer than 16 MiB")

// text registers a strict function of a STRING that appends its STRING result.
func textFunc(name string, flags Flags, fn func(dst, s []byte) ([]byte, bool)) struct{} {
	return register(Func{
		Name: name, Usage: name + "(string)", Flags: flags, Min: 1, Max: 1, Bind: Types(vec.TypeString, vec.TypeString),
		Build: Always(StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
			res, ok := fn(dst, args[0].Bytes(i))
			return res, ok, nil
		})),
	})
}

// always makes a function of a STRING that has a result for every argument.
func always(fn func(dst, s []byte) []byte) func(dst, s []byte) ([]byte, bool) {
	return func(dst, s []byte) ([]byte, bool) { return fn(dst, s), true }
}

var (
	_ = textFunc("UPPER", 0, always(func(dst, s []byte) []byte { return mapRunes(dst, s, 'a', 'z', unicode.ToUpper) }))
	_ = textFunc("LOWER", 0, always(func(dst, s []byte) []byte { return mapRunes(dst, s, 'A', 'Z', unicode.ToLower) }))
	_ = textFunc("INITCAP", 0, always(initCap))
	_ = textFunc("REVERSE", 0, always(reverse))

	_ = register(Func{Name: "TRIM", Usage: "TRIM(string[, characters[, 'BOTH'|'LEADING'|'TRAILING']])", Min: 1, Max: 3, Bind: bindTrim, Build: buildTrim("")})
	_ = register(Func{Name: "BTRIM", Usage: "BTRIM(string[, characters])", Min: 1, Max: 2, Bind: Types(vec.TypeString, vec.TypeString), Build: buildTrim("BOTH")})
	_ = register(Func{Name: "LTRIM", Usage: "LTRIM(string[, characters])", Min: 1, Max: 2, Bind: Types(vec.TypeString, vec.TypeString), Build: buildTrim("LEADING")})
	_ = register(Func{Name: "RTRIM", Usage: "RTRIM(string[, characters])", Min: 1, Max: 2, Bind: Types(vec.TypeString, vec.TypeString), Build: buildTrim("TRAILING")})

	_ = register(Func{Name: "||", Usage: "string || string", Min: 2, Max: 2, Bind: bindConcat, Build: Always(StringRows(concatRow))})
	_ = register(Func{Name: "CONCAT", Usage: "CONCAT(string, …)", Min: 1, Max: -1, Bind: bindConcat, Build: Always(StringRows(concatRow))})
	_ = register(Func{Name: "CONCAT_WS", Usage: "CONCAT_WS(separator, string, …)", Flags: NullCall, Min: 1, Max: -1, Bind: bindConcatWS, Build: Always(StringRows(concatWS))})

	_ = register(Func{
		Name: "CHAR_LENGTH", Aliases: []string{"CHARACTER_LENGTH"}, Usage: "CHAR_LENGTH(string)", Min: 1, Max: 1, Bind: Types(vec.TypeInt32, vec.TypeString),
		Build: Always(FixedRows(func(args []Arg, i int) (int32, bool, error) { return int32(chars(args[0].Bytes(i))), true, nil })),
	})
	_ = register(Func{
		Name: "OCTET_LENGTH", Usage: "OCTET_LENGTH(string or bytes)", Min: 1, Max: 1, Bind: bindBinary(vec.TypeInt32),
		Build: Always(FixedRows(func(args []Arg, i int) (int32, bool, error) { return int32(len(args[0].Bytes(i))), true, nil })),
	})

	_ = register(Func{Name: "REPLACE", Usage: "REPLACE(string, search, replacement)", Min: 3, Max: 3, Bind: Types(vec.TypeString, vec.TypeString), Build: Always(StringRows(replaceRow))})
	_ = register(Func{Name: "TRANSLATE", Aliases: []string{"TRANSLATE3"}, Usage: "TRANSLATE(string, from, to)", Min: 3, Max: 3, Bind: Types(vec.TypeString, vec.TypeString), Build: Always(StringRows(translateRow))})
	_ = register(Func{Name: "REPEAT", Usage: "REPEAT(string, count)", Min: 2, Max: 2, Bind: Types(vec.TypeString, vec.TypeString, vec.TypeInt64), Build: Always(StringRows(repeatRow))})
	_ = register(Func{Name: "LPAD", Usage: "LPAD(string, length, pad)", Flags: MayNull, Min: 3, Max: 3, Bind: Types(vec.TypeString, vec.TypeString, vec.TypeInt64, vec.TypeString), Build: Always(padRows(true))})
	_ = register(Func{Name: "RPAD", Usage: "RPAD(string, length, pad)", Flags: MayNull, Min: 3, Max: 3, Bind: Types(vec.TypeString, vec.TypeString, vec.TypeInt64, vec.TypeString), Build: Always(padRows(false))})
	_ = register(Func{
		Name: "LEFT", Usage: "LEFT(string, length)", Min: 2, Max: 2, Bind: Types(vec.TypeString, vec.TypeString, vec.TypeInt64),
		Build: Always(SliceRows(func(args []Arg, i int) ([]byte, bool, error) {
			s := args[0].Bytes(i)
			return s[:charAt(s, At[int64](args[1], i))], true, nil
		})),
	})
	_ = register(Func{
		Name: "RIGHT", Usage: "RIGHT(string, length)", Min: 2, Max: 2, Bind: Types(vec.TypeString, vec.TypeString, vec.TypeInt64),
		Build: Always(SliceRows(func(args []Arg, i int) ([]byte, bool, error) {
			s, n := args[0].Bytes(i), max(At[int64](args[1], i), 0)
			return s[charAt(s, int64(chars(s))-n):], true, nil
		})),
	})
	_ = register(Func{
		Name: "SUBSTRING", Aliases: []string{"SUBSTR"}, Usage: "SUBSTRING(string, start[, length])", Flags: MayNull, Min: 2, Max: 3,
		Bind: Types(vec.TypeString, vec.TypeString, vec.TypeInt64), Build: Always(SliceRows(substringRow)),
	})
	_ = register(Func{
		Name: "OVERLAY", Usage: "OVERLAY(string, replacement, start[, length])", Min: 3, Max: 4,
		Bind: Types(vec.TypeString, vec.TypeString, vec.TypeString, vec.TypeInt64), Build: Always(StringRows(overlayRow)),
	})
)

// mapRunes maps each character; lo to hi are the ASCII letters that change, by flipping bit 5. Bytes that are not UTF-8 are kept.
func mapRunes(dst, s []byte, lo, hi byte, fn func(rune) rune) []byte {
	for i := 0; i < len(s); {
		b := s[i]
		if b < utf8.RuneSelf {
			if lo <= b && b <= hi {
				b ^= 0x20
			}
			dst = append(dst, b)
			i++
			continue
		}
		r, n := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, b)
		} else {
			dst = utf8.AppendRune(dst, fn(r))
		}
		i += n
	}
	return dst
}

// initCap makes the first character of each word upper case; a word is a run of letters and digits.
func initCap(dst, s []byte) []byte {
	inside := false
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		switch word := unicode.IsLetter(r) || unicode.IsDigit(r); {
		case r == utf8.RuneError && n == 1:
			dst = append(dst, s[0])
			inside = false
		case word && inside:
			dst = utf8.AppendRune(dst, unicode.ToLower(r))
		case word:
			dst = utf8.AppendRune(dst, unicode.ToUpper(r))
			inside = true
		default:
			dst = append(dst, s[:n]...)
			inside = false
		}
		s = s[n:]
	}
	return dst
}

func reverse(dst, s []byte) []byte {
	for len(s) > 0 {
		_, n := utf8.DecodeLastRune(s)
		dst = append(dst, s[len(s)-n:]...)
		s = s[:len(s)-n]
	}
	return dst
}

// chars counts the characters (code points) of s: bytes that do not continue one.
func chars(s []byte) int {
	n := 0
	for _, b := range s {
		if b&0xC0 != 0x80 {
			n++
		}
	}
	return n
}

// charAt is the byte offset of character n, counted from 0; len(s) when s is shorter, 0 when n is negative.
func charAt(s []byte, n int64) int {
	if n <= 0 {
		return 0
	}
	for i, b := range s {
		if b&0xC0 != 0x80 {
			if n == 0 {
				return i
			}
			n--
		}
	}
	return len(s)
}

// constText returns a STRING constant at planning time; ok is false for anything else.
func constText(e *Expr) (string, bool) {
	return e.Lit, e.Op == OpLit && !e.Null && e.Type.Kind == vec.String
}

// oneOf checks that a constant argument is one of the words, and that it is constant at all.
func oneOf(e *Expr, what string, words ...string) error {
	s, ok := constText(e)
	for _, w := range words {
		if ok && s == w {
			return nil
		}
	}
	if !ok {
		return fmt.Errorf("%s must be a constant, one of %v", what, words)
	}
	if n := nearest(s, words); n != "" {
		return fmt.Errorf("%s cannot be '%s'; did you mean '%s'?", what, s, n)
	}
	return fmt.Errorf("%s cannot be '%s'; it is one of %v", what, s, words)
}

// bindBinary takes one STRING or BYTES argument.
func bindBinary(result vec.Type) func([]*Expr) (vec.Type, error) {
	return func(args []*Expr) (vec.Type, error) {
		if args[0].Type.Kind == vec.Bytes {
			return result, nil
		}
		return result, coerce(args, 0, vec.TypeString)
	}
}

func bindTrim(args []*Expr) (vec.Type, error) {
	t, err := Types(vec.TypeString, vec.TypeString)(args)
	if err == nil && len(args) == 3 {
		err = oneOf(args[2], "the side of TRIM", "BOTH", "LEADING", "TRAILING")
	}
	return t, err
}

// buildTrim cuts characters of a set from the ends; without a set it cuts spaces. side "" is what argument 2 says.
func buildTrim(side string) func(*Site) (Kernel, error) {
	return func(s *Site) (Kernel, error) {
		side := side
		if side == "" {
			side = "BOTH"
			if len(s.Call.Args) == 3 {
				side, _ = s.ConstString(2)
			}
		}
		left, right := side != "TRAILING", side != "LEADING"
		return SliceRows(func(args []Arg, i int) ([]byte, bool, error) {
			set := " "
			if len(args) > 1 {
				set = args[1].Str(i)
			}
			v := args[0].Bytes(i)
			if left {
				v = trimLeft(v, set)
			}
			if right {
				v = trimRight(v, set)
			}
			return v, true, nil
		}), nil
	}
}

func trimLeft(v []byte, set string) []byte {
	for len(v) > 0 {
		_, n := utf8.DecodeRune(v)
		if !contains(set, v[:n]) {
			break
		}
		v = v[n:]
	}
	return v
}

func trimRight(v []byte, set string) []byte {
	for len(v) > 0 {
		_, n := utf8.DecodeLastRune(v)
		if !contains(set, v[len(v)-n:]) {
			break
		}
		v = v[:len(v)-n]
	}
	return v
}

// contains reports whether the character c is among those of set.
func contains(set string, c []byte) bool {
	for i := 0; i+len(c) <= len(set); {
		if set[i:i+len(c)] == string(c) {
			return true
		}
		_, n := utf8.DecodeRuneInString(set[i:])
		i += n
	}
	return false
}

// bindConcat takes STRINGs, or BYTES only.
func bindConcat(args []*Expr) (vec.Type, error) {
	t := vec.TypeString
	if args[0].Type.Kind == vec.Bytes {
		t = vec.TypeBytes
	}
	return Types(t, t)(args)
}

func concatRow(args []Arg, i int, dst []byte) ([]byte, bool, error) {
	for _, a := range args {
		dst = append(dst, a.Bytes(i)...)
	}
	return dst, true, nil
}

// bindConcatWS is NULL only where the separator is.
func bindConcatWS(args []*Expr) (vec.Type, error) {
	t, err := Types(vec.TypeString, vec.TypeString)(args)
	t.NotNull = args[0].Type.NotNull
	return t, err
}

func concatWS(args []Arg, i int, dst []byte) ([]byte, bool, error) {
	if args[0].IsNull(i) {
		return dst, false, nil
	}
	first := true
	for _, a := range args[1:] {
		if a.IsNull(i) {
			continue
		}
		if !first {
			dst = append(dst, args[0].Bytes(i)...)
		}
		dst = append(dst, a.Bytes(i)...)
		first = false
	}
	return dst, true, nil
}

// replaceRow leaves s as it is when the text to search for is empty.
func replaceRow(args []Arg, i int, dst []byte) ([]byte, bool, error) {
	s, old, with := args[0].Bytes(i), args[1].Bytes(i), args[2].Bytes(i)
	if len(old) == 0 {
		return append(dst, s...), true, nil
	}
	for {
		at := bytes.Index(s, old)
		if at < 0 {
			return append(dst, s...), true, nil
		}
		dst = append(append(dst, s[:at]...), with...)
		s = s[at+len(old):]
	}
}

// translateRow maps characters of from to those of to at the same place; those without a counterpart are dropped.
func translateRow(args []Arg, i int, dst []byte) ([]byte, bool, error) {
	s, from, to := args[0].Bytes(i), args[1].Bytes(i), args[2].Bytes(i)
	for len(s) > 0 {
		_, n := utf8.DecodeRune(s)
		c := s[:n]
		s = s[n:]
		at, rest := int64(0), from
		for len(rest) > 0 {
			_, m := utf8.DecodeRune(rest)
			if bytes.Equal(rest[:m], c) {
				break
			}
			rest = rest[m:]
			at++
		}
		if len(rest) == 0 {
			dst = append(dst, c...)
			continue
		}
		dst = append(dst, to[charAt(to, at):charAt(to, at+1)]...)
	}
	return dst, true, nil
}

func repeatRow(args []Arg, i int, dst []byte) ([]byte, bool, error) {
	s, n := args[0].Bytes(i), At[int64](args[1], i)
	if len(s) == 0 || n <= 0 {
		return dst, true, nil
	}
	if n > int64(textMax/len(s)) {
		return nil, false, errTextMax
	}
	for range n {
		dst = append(dst, s...)
	}
	return dst, true, nil
}

// padRows gives NULL for a negative length or an empty pad, as Flink does; a string that is too long is cut.
func padRows(left bool) Kernel {
	return StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
		s, n, pad := args[0].Bytes(i), At[int64](args[1], i), args[2].Bytes(i)
		if n < 0 || len(pad) == 0 {
			return dst, false, nil
		}
		if n > textMax {
			return nil, false, errTextMax
		}
		missing := n - int64(chars(s))
		if missing <= 0 {
			return append(dst, s[:charAt(s, n)]...), true, nil
		}
		if !left {
			dst = append(dst, s...)
		}
		whole, part := missing/int64(chars(pad)), missing%int64(chars(pad))
		if whole*int64(len(pad)) > textMax {
			return nil, false, errTextMax
		}
		for range whole {
			dst = append(dst, pad...)
		}
		dst = append(dst, pad[:charAt(pad, part)]...)
		if left {
			dst = append(dst, s...)
		}
		return dst, true, nil
	})
}

// substringRow counts from 1; 0 is the first character too; a negative start counts from the end and gives nothing when it lies before the
// start. A negative length is NULL.
func substringRow(args []Arg, i int) ([]byte, bool, error) {
	s, start := args[0].Bytes(i), At[int64](args[1], i)
	if len(args) > 2 && At[int64](args[2], i) < 0 {
		return nil, false, nil
	}
	switch {
	case start > 0:
		start--
	case start < 0:
		if start += int64(chars(s)); start < 0 {
			return nil, true, nil
		}
	}
	s = s[charAt(s, start):]
	if len(args) > 2 {
		s = s[:charAt(s, At[int64](args[2], i))]
	}
	return s, true, nil
}

// overlayRow follows Flink where the position lies outside the string (it is left as it is) and where the part replaced reaches past its end.
func overlayRow(args []Arg, i int, dst []byte) ([]byte, bool, error) {
	s, with, start := args[0].Bytes(i), args[1].Bytes(i), At[int64](args[2], i)
	count := int64(chars(s))
	if start <= 0 || start > count {
		return append(dst, s...), true, nil
	}
	length := int64(chars(with))
	if len(args) > 3 {
		length = At[int64](args[3], i)
	}
	dst = append(append(dst, s[:charAt(s, start-1)]...), with...)
	if length > 0 && length <= count-start {
		dst = append(dst, s[charAt(s, start-1+length):]...)
	}
	return dst, true, nil
}
