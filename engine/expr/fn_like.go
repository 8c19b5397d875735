package expr

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/bramble-stream/bramble/engine/vec"
)

var _ = register(Func{
	Name: "LIKE", Usage: "string LIKE pattern [ESCAPE character]", Flags: hidden, Min: 2, Max: 3,
	Bind: Types(vec.TypeBool, vec.TypeString), Build: buildLike,
})

func buildLike(s *Site) (Kernel, error) {
	escape := ""
	constEscape := len(s.Call.Args) < 3
	if !constEscape {
		escape, constEscape = s.ConstString(2)
	}
	if pattern, ok := s.ConstString(1); ok && constEscape {
		p, err := parseLike(pattern, escape)
		if err != nil {
			return nil, err
		}
		return BoolRows(func(args []Arg, i int) (bool, bool, error) { return p.match(args[0].Str(i)), true, nil }), nil
	}
	// The pattern of the last row is kept: patterns that come from a column are often the same for many rows.
	var last likePattern
	var lastText, lastEscape string
	valid := false
	return BoolRows(func(args []Arg, i int) (bool, bool, error) {
		esc := ""
		if len(args) > 2 {
			esc = args[2].Str(i)
		}
		if text := args[1].Str(i); !valid || text != lastText || esc != lastEscape {
			p, err := parseLike(text, esc)
			if err != nil {
				return false, false, err
			}
			last, lastText, lastEscape, valid = p, strings.Clone(text), strings.Clone(esc), true
		}
		return last.match(args[0].Str(i)), true, nil
	}), nil
}

// likePattern is a LIKE pattern: pieces of text with % between them. In a piece, wild positions match any one character.
type likePattern struct {
	pieces []likePiece
	// open says that the pattern begins or ends with %.
	openStart, openEnd bool
}

// likePiece is text without %. When wild is set, runes holds its characters, -1 for _.
type likePiece struct {
	text  string
	wild  bool
	runes []rune
}

func parseLike(pattern, escape string) (likePattern, error) {
	esc := rune(-1)
	if escape != "" {
		r, n := utf8.DecodeRuneInString(escape)
		if n != len(escape) {
			return likePattern{}, errors.New("the ESCAPE of LIKE must be one character")
		}
		esc = r
	}
	var p likePattern
	var piece likePiece
	var text strings.Builder
	flush := func() {
		piece.text = text.String()
		if len(piece.runes) > 0 {
			p.pieces = append(p.pieces, piece)
		}
		piece = likePiece{}
		text.Reset()
	}
	wild, escaped := false, false
	for i, r := range pattern {
		switch {
		case escaped:
			if r != '%' && r != '_' && r != esc {
				return p, errors.New("after its ESCAPE a LIKE pattern needs %, _ or the escape itself")
			}
			escaped = false
		case r == esc:
			escaped = true
			continue
		case r == '%':
			p.openStart = p.openStart || i == 0
			flush()
			wild = true
			continue
		case r == '_':
			piece.wild = true
			piece.runes = append(piece.runes, -1)
			wild = false
			continue
		}
		wild = false
		piece.runes = append(piece.runes, r)
		text.WriteRune(r)
	}
	if escaped {
		return p, errors.New("a LIKE pattern cannot end in its ESCAPE")
	}
	p.openEnd = wild
	flush()
	return p, nil
}

// prefix returns how many bytes of s the piece covers at its start, -1 when it does not match there.
func (l *likePiece) prefix(s string) int {
	if !l.wild {
		if strings.HasPrefix(s, l.text) {
			return len(l.text)
		}
		return -1
	}
	at := 0
	for _, want := range l.runes {
		if at >= len(s) {
			return -1
		}
		r, n := utf8.DecodeRuneInString(s[at:])
		if want >= 0 && r != want {
			return -1
		}
		at += n
	}
	return at
}

// index finds the first place where the piece matches: its start and end, -1 when there is none.
func (l *likePiece) index(s string) (start, end int) {
	if !l.wild {
		i := strings.Index(s, l.text)
		return i, i + len(l.text)
	}
	for i := 0; i <= len(s); {
		if n := l.prefix(s[i:]); n >= 0 {
			return i, i + n
		}
		if i == len(s) {
			break
		}
		_, n := utf8.DecodeRuneInString(s[i:])
		i += n
	}
	return -1, -1
}

// match finds each piece at its leftmost place; the last one must reach the end unless the pattern is open there.
func (p *likePattern) match(s string) bool {
	if len(p.pieces) == 0 {
		return p.openStart || s == ""
	}
	last := len(p.pieces) - 1
	for i := range p.pieces {
		l := &p.pieces[i]
		switch {
		case i == 0 && !p.openStart:
			n := l.prefix(s)
			if n < 0 || i == last && !p.openEnd && n != len(s) {
				return false
			}
			s = s[n:]
		case i == last && !p.openEnd:
			return l.suffix(s)
		default:
			start, end := l.index(s)
			if start < 0 {
				return false
			}
			s = s[end:]
		}
	}
	return true
}

// suffix reports whether the piece matches at the end of s.
func (l *likePiece) suffix(s string) bool {
	if !l.wild {
		return strings.HasSuffix(s, l.text)
	}
	at := len(s)
	for range l.runes {
		if at == 0 {
			return false
		}
		_, n := utf8.DecodeLastRuneInString(s[:at])
		at -= n
	}
	return l.prefix(s[at:]) == len(s)-at
}
