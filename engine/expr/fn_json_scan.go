package expr

import (
	"unicode/utf16"
	"unicode/utf8"
)

// jsonDepthMax bounds how deep values may be nested: deeper text counts as invalid.
const jsonDepthMax = 512

// jsonSpace skips white space from i.
func jsonSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// jsonText finds the only value of a text; ok is false when it is not valid JSON.
func jsonText(b []byte) (v []byte, ok bool) {
	i := jsonSpace(b, 0)
	end := jsonSkip(b, i, 0)
	if end < 0 || jsonSpace(b, end) != len(b) {
		return nil, false
	}
	return b[i:end], true
}

// jsonSkip returns the end of the value that begins at i, -1 when it is not valid.
func jsonSkip(b []byte, i, depth int) int {
	if i >= len(b) || depth > jsonDepthMax {
		return -1
	}
	switch c := b[i]; {
	case c == '"':
		end, _ := jsonString(b, i)
		return end
	case c == '{':
		return jsonSkipObject(b, i, depth)
	case c == '[':
		return jsonSkipArray(b, i, depth)
	case c == 't':
		return jsonWord(b, i, "true")
	case c == 'f':
		return jsonWord(b, i, "false")
	case c == 'n':
		return jsonWord(b, i, "null")
	default:
		return jsonNumber(b, i)
	}
}

func jsonWord(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

func jsonNumber(b []byte, i int) int {
	digits := func() bool {
		from := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	first := i
	if !digits() || b[first] == '0' && i > first+1 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		i++
		if !digits() {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return -1
		}
	}
	return i
}

// jsonString returns the end of the string at i, -1 when it is not valid, and whether it has escapes.
func jsonString(b []byte, i int) (end int, escaped bool) {
	if i >= len(b) || b[i] != '"' {
		return -1, false
	}
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1, escaped
		case c < ' ':
			return -1, false
		case c != '\\':
			continue
		}
		escaped = true
		if i++; i >= len(b) {
			return -1, false
		}
		switch b[i] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		case 'u':
			if hex4(b[i+1:]) < 0 {
				return -1, false
			}
			i += 4
		default:
			return -1, false
		}
	}
	return -1, false
}

// hex4 reads four hexadecimal digits, -1 when there are none.
func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	var r rune
	for _, c := range b[:4] {
		d := unhexDigit(c)
		if d > 15 {
			return -1
		}
		r = r<<4 | rune(d)
	}
	return r
}

func jsonSkipObject(b []byte, i, depth int) int {
	it := jsonMembers(b, i, depth)
	for it.next() {
	}
	return it.end
}

func jsonSkipArray(b []byte, i, depth int) int {
	it := jsonElements(b, i, depth)
	for it.next() {
	}
	return it.end
}

// jsonIter goes over the children of an object or array, and checks them on its way.
type jsonIter struct {
	b     []byte
	pos   int
	depth int
	close byte
	first bool
	// key is the member's key without quotes, still escaped if escaped is set.
	key     []byte
	escaped bool
	// value is the child.
	value []byte
	// end is where the container ends once next has returned false, -1 when it is not valid.
	end int
}

// jsonMembers is for the object that begins at i, jsonElements for the array.
func jsonMembers(b []byte, i, depth int) jsonIter {
	return jsonIter{b: b, pos: i + 1, depth: depth, close: '}', first: true, end: -1}
}

func jsonElements(b []byte, i, depth int) jsonIter {
	return jsonIter{b: b, pos: i + 1, depth: depth, close: ']', first: true, end: -1}
}

func (it *jsonIter) next() bool {
	b := it.b
	i := jsonSpace(b, it.pos)
	switch {
	case i >= len(b):
		return false
	case b[i] == it.close:
		it.end = i + 1
		return false
	case it.first:
		it.first = false
	case b[i] != ',':
		return false
	default:
		// A comma before the end is not valid: a value must follow.
		if i = jsonSpace(b, i+1); i >= len(b) || b[i] == it.close {
			return false
		}
	}
	if it.close == '}' {
		end, escaped := jsonString(b, i)
		if end < 0 {
			return false
		}
		it.key, it.escaped = b[i+1:end-1], escaped
		if i = jsonSpace(b, end); i >= len(b) || b[i] != ':' {
			return false
		}
		i = jsonSpace(b, i+1)
	}
	end := jsonSkip(b, i, it.depth+1)
	if end < 0 {
		return false
	}
	it.value, it.pos = b[i:end], end
	return true
}

// jsonUnescape appends the characters of a string without its quotes. A lone surrogate becomes U+FFFD.
func jsonUnescape(dst, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			dst = append(dst, s[i])
			continue
		}
		i++
		switch c := s[i]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(s[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if i+2 < len(s) && s[i+1] == '\\' && s[i+2] == 'u' {
					low = hex4(s[i+3:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// jsonCompact appends a valid value without white space between its parts.
func jsonCompact(dst, v []byte) []byte {
	for i := 0; i < len(v); {
		switch c := v[i]; c {
		case ' ', '\n', '\t', '\r':
			i++
		case '"':
			end, _ := jsonString(v, i)
			if end < 0 {
				end = len(v)
			}
			dst = append(dst, v[i:end]...)
			i = end
		default:
			dst = append(dst, c)
			i++
		}
	}
	return dst
}

// jsonQuote appends a string with its quotes. Bytes that are not UTF-8 become U+FFFD.
func jsonQuote(dst, s []byte) []byte {
	dst = append(dst, '"')
	for len(s) > 0 {
		c := s[0]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(s)
			dst = utf8.AppendRune(dst, r)
			s = s[n:]
			continue
		}
		s = s[1:]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c == '\b':
			dst = append(dst, `\b`...)
		case c == '\f':
			dst = append(dst, `\f`...)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
