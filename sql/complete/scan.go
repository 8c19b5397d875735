package complete

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind is what a token is.
type kind uint8

const (
	word kind = iota
	quoted
	text
	number
	mark
	comment
)

// token is a lexeme: src[start:end]. open says that a string, a quoted name or a comment has no end.
type token struct {
	kind       kind
	start, end int
	src        string
	open       bool
}

// raw is the token as written; name a name without its quotes; upper a word in upper case, else "".
func (t token) raw() string { return t.src[t.start:t.end] }

func (t token) name() string {
	if t.kind == quoted || t.kind == text {
		s := t.src[t.start+1 : t.end]
		if !t.open {
			s = s[:len(s)-1]
		}
		q := t.src[t.start : t.start+1]
		return strings.ReplaceAll(s, q+q, q)
	}
	return t.raw()
}

func (t token) upper() string {
	if t.kind == word {
		return strings.ToUpper(t.raw())
	}
	return ""
}

func (t token) is(s string) bool { return t.kind == mark && t.raw() == s }

// scan cuts a script into tokens. Nothing is wrong with it: it may end anywhere.
func scan(src string) []token {
	var out []token
	for i := 0; i < len(src); {
		r, size := utf8.DecodeRuneInString(src[i:])
		t := token{start: i, end: i + size, src: src, kind: mark}
		switch {
		case unicode.IsSpace(r) || r == '\ufeff':
			i += size
			continue
		case strings.HasPrefix(src[i:], "--"):
			t.kind, t.end = comment, i+lineLen(src[i:])
			t.open = true // what is written at its end belongs to it
		case strings.HasPrefix(src[i:], "/*") && !strings.HasPrefix(src[i:], "/*+"):
			n := strings.Index(src[i:], "*/")
			t.kind, t.open, t.end = comment, n < 0, len(src)
			if n >= 0 {
				t.end = i + n + 2
			}
		case r == '\'' || r == '`':
			t.kind = text
			if r == '`' {
				t.kind = quoted
			}
			t.end, t.open = closing(src, i)
		case isWord(r) && !unicode.IsDigit(r):
			t.kind, t.end = word, i+wordLen(src[i:])
		case unicode.IsDigit(r):
			t.kind, t.end = number, i+wordLen(src[i:])
		}
		out = append(out, t)
		i = t.end
	}
	return out
}

func lineLen(s string) int {
	if n := strings.IndexByte(s, '\n'); n >= 0 {
		return n
	}
	return len(s)
}

// closing finds the end of what is quoted from i on; two quotes are one within.
func closing(src string, i int) (end int, open bool) {
	q := src[i]
	for k := i + 1; k < len(src); k++ {
		if src[k] != q {
			continue
		}
		if k+1 < len(src) && src[k+1] == q {
			k++
			continue
		}
		return k + 1, false
	}
	return len(src), true
}

func isWord(r rune) bool { return r == '_' || r == '$' || unicode.IsLetter(r) || unicode.IsDigit(r) }

func wordLen(s string) int {
	for i, r := range s {
		if !isWord(r) {
			return i
		}
	}
	return len(s)
}

// offset is that of a line and a column, which count from 1, columns in characters; one beyond a line's end is at its end.
func offset(script string, line, column int) int {
	at := 0
	for ; line > 1; line-- {
		n := strings.IndexByte(script[at:], '\n')
		if n < 0 {
			return len(script)
		}
		at += n + 1
	}
	rest := script[at : at+lineLen(script[at:])]
	for i := range rest {
		if column <= 1 {
			return at + i
		}
		column--
	}
	return at + len(rest)
}

// columnOf is the column of an offset in its line.
func columnOf(script string, at int) int {
	return utf8.RuneCountInString(script[strings.LastIndexByte(script[:at], '\n')+1:at]) + 1
}
