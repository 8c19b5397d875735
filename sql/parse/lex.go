package parse

import (
	"encoding/hex"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokKind uint8

const (
	tokEOF tokKind = iota
	tokWord
	tokQuoted // `name`; val is unescaped
	tokString // '..'; val is unescaped
	tokUString
	tokBytes // X'..'; val is the bytes
	tokNumber
	tokOp
	tokHint    // /*+
	tokHintEnd // its */
	tokBad     // val is what is wrong, kw the hint
)

// token is one lexeme. Its text is src[start:end].
type token struct {
	kind       tokKind
	line, col  int
	start, end int
	val        string
	kw         string // tokWord: val in upper case
}

// lexer cuts a source into tokens. It never fails: what is wrong becomes a
// tokBad, which the parser reports if it gets there.
type lexer struct {
	src    string
	off    int
	line   int
	col    int
	inHint bool
	toks   []token
}

// lex returns the tokens of src, the last one tokEOF.
func lex(src string) []token {
	l := &lexer{src: src, line: 1, col: 1}
	// About five bytes a token in usual SQL.
	l.toks = make([]token, 0, len(src)/5+8)
	l.off = len(src) - len(strings.TrimPrefix(src, "\ufeff"))
	for l.scan() {
	}
	return l.toks
}

// advance moves over n bytes, keeping line and column.
func (l *lexer) advance(n int) {
	for _, r := range l.src[l.off : l.off+n] {
		if r == '\n' {
			l.line++
			l.col = 1
		} else {
			l.col++
		}
	}
	l.off += n
}

func (l *lexer) peek(i int) byte {
	if l.off+i < len(l.src) {
		return l.src[l.off+i]
	}
	return 0
}

func (l *lexer) has(prefix string) bool { return strings.HasPrefix(l.src[l.off:], prefix) }

// emit appends a token of n bytes and moves over it.
func (l *lexer) emit(kind tokKind, n int, val string) {
	t := token{kind: kind, line: l.line, col: l.col, start: l.off, end: l.off + n, val: val}
	if kind == tokWord {
		t.kw = strings.ToUpper(val)
	}
	l.toks = append(l.toks, t)
	l.advance(n)
}

func (l *lexer) bad(n int, msg, hint string) {
	l.emit(tokBad, n, msg)
	l.toks[len(l.toks)-1].kw = hint
}

// scan appends the next token; false after the last.
func (l *lexer) scan() bool {
	if !l.skipBlank() {
		return true // an unclosed comment was emitted; EOF comes next
	}
	if l.off >= len(l.src) {
		l.emit(tokEOF, 0, "")
		return false
	}
	c := l.src[l.off]
	r, size := utf8.DecodeRuneInString(l.src[l.off:])
	switch {
	case c == '\'':
		l.scanString(tokString, 0)
	case (c == 'U' || c == 'u') && l.peek(1) == '&' && l.peek(2) == '\'':
		l.scanString(tokUString, 2)
	case (c == 'X' || c == 'x') && l.peek(1) == '\'':
		l.scanBytes()
	case c == '`':
		l.scanQuoted()
	case c == '"':
		l.scanDoubleQuoted()
	case isDigit(c) || c == '.' && isDigit(l.peek(1)):
		l.scanNumber()
	case isWordStart(r):
		n := wordLen(l.src[l.off:])
		l.emit(tokWord, n, l.src[l.off:l.off+n])
	default:
		l.scanOp(r, size)
	}
	return true
}

// skipBlank moves over white space and comments. It returns false after
// emitting a tokBad for a comment without end.
func (l *lexer) skipBlank() bool {
	for l.off < len(l.src) {
		r, size := utf8.DecodeRuneInString(l.src[l.off:])
		switch {
		case unicode.IsSpace(r):
			l.advance(size)
		case l.has("--"):
			n := strings.IndexByte(l.src[l.off:], '\n')
			if n < 0 {
				n = len(l.src) - l.off
			}
			l.advance(n)
		case l.has("/*+"):
			return true
		case l.has("/*"):
			n := strings.Index(l.src[l.off+2:], "*/")
			if n < 0 {
				l.bad(len(l.src)-l.off, "this comment is never closed", "close it with */")
				return false
			}
			l.advance(n + 4)
		default:
			return true
		}
	}
	return true
}

// closing returns the length of the literal that starts at from with quote q,
// through its closing quote, and its unescaped value; ok is false without one.
func (l *lexer) closing(from int, q byte) (n int, val string, ok bool) {
	s := l.src[l.off:]
	for i := from + 1; i < len(s); i++ {
		if s[i] != q {
			continue
		}
		if i+1 < len(s) && s[i+1] == q {
			i++
			continue
		}
		val = s[from+1 : i]
		if strings.IndexByte(val, q) >= 0 {
			val = strings.ReplaceAll(val, string([]byte{q, q}), string([]byte{q}))
		}
		return i + 1, val, true
	}
	return len(s), "", false
}

func (l *lexer) scanString(kind tokKind, prefix int) {
	n, val, ok := l.closing(prefix, '\'')
	if !ok {
		l.bad(n, "this string is never closed", "close it with '; a quote inside is written ''")
		return
	}
	l.emit(kind, n, val)
}

func (l *lexer) scanBytes() {
	n, val, ok := l.closing(1, '\'')
	if !ok {
		l.bad(n, "this string is never closed", "close it with '")
		return
	}
	b, err := hex.DecodeString(val)
	if err != nil {
		l.bad(n, "a binary literal needs an even number of hexadecimal digits", "as in X'0aff'")
		return
	}
	l.emit(tokBytes, n, string(b))
}

func (l *lexer) scanQuoted() {
	n, val, ok := l.closing(0, '`')
	switch {
	case !ok:
		l.bad(n, "this quoted name is never closed", "close it with a back-tick")
	case val == "":
		l.bad(n, "a quoted name cannot be empty", "")
	default:
		l.emit(tokQuoted, n, val)
	}
}

func (l *lexer) scanDoubleQuoted() {
	n, val, ok := l.closing(0, '"')
	if !ok || strings.Contains(val, "\n") {
		l.bad(1, "double quotes mean nothing in Flink's SQL", "names are quoted with back-ticks, strings with '")
		return
	}
	val = clip(val)
	l.bad(n, "double quotes mean nothing in Flink's SQL", "write `"+val+"` for a name, '"+val+"' for a string")
}

func (l *lexer) scanNumber() {
	s := l.src[l.off:]
	n := digits(s)
	if n < len(s) && s[n] == '.' {
		n++
		n += digits(s[n:])
	}
	if n < len(s) && (s[n] == 'e' || s[n] == 'E') {
		m := n + 1
		if m < len(s) && (s[m] == '+' || s[m] == '-') {
			m++
		}
		if d := digits(s[m:]); d > 0 {
			n = m + d
		}
	}
	if w := wordLen(s[n:]); w > 0 {
		l.bad(n+w, "malformed number "+quote(s[:n+w]), "a name that starts with a digit is written in back-ticks")
		return
	}
	l.emit(tokNumber, n, s[:n])
}

// ops lists the operators of two characters; those of one follow.
var ops = []string{"<>", "!=", "<=", ">=", "||", "=>"}

const singleOps = "()[]{},;.=<>+-*/%?|^$:"

func (l *lexer) scanOp(r rune, size int) {
	if l.has("/*+") {
		l.inHint = true
		l.emit(tokHint, 3, "/*+")
		return
	}
	if l.inHint && l.has("*/") {
		l.inHint = false
		l.emit(tokHintEnd, 2, "*/")
		return
	}
	for _, op := range ops {
		if l.has(op) {
			l.emit(tokOp, 2, op)
			return
		}
	}
	switch {
	case strings.ContainsRune(singleOps, r):
		l.emit(tokOp, size, l.src[l.off:l.off+size])
	case strings.ContainsRune("\u201c\u201d\u2018\u2019\u201e", r):
		l.bad(size, "typographic quote "+quote(string(r)), "strings are written with a straight '")
	default:
		l.bad(size, "unexpected character "+strconv.Quote(string(r)), "")
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

func isWordStart(r rune) bool { return r == '_' || unicode.IsLetter(r) }

// wordLen is the length of the name that s starts with, in bytes.
func wordLen(s string) int {
	for i, r := range s {
		if i == 0 && !isWordStart(r) {
			return 0
		}
		if !isWordStart(r) && r != '$' && !unicode.IsDigit(r) && !unicode.IsMark(r) {
			return i
		}
	}
	return len(s)
}

// clipRunes is how much of a token a message shows.
const clipRunes = 40

func clip(s string) string {
	n := 0
	for i := range s {
		if n == clipRunes {
			return s[:i] + "..."
		}
		n++
	}
	return s
}

// quote shows a piece of source in a message.
func quote(s string) string { return `"` + clip(s) + `"` }
