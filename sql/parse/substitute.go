package parse

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Substitute replaces ${NAME} and ${NAME:-default} in a script before it is
// parsed. lookup gives the value of a name; one that is set but empty counts as
// missing if there is a default, as in a shell. $${ stands for a literal ${, and
// ${file:/path} stays, to be read late, where an option's value is used.
// Comments are left alone. Inside '..' and `..` a value's quotes are doubled, so
// that a password with a quote stays one string. The error is an ErrorList with
// positions in script and an empty file; see InFile.
func Substitute(script string, lookup func(name string) (string, bool)) (string, error) {
	s := substituter{src: script, lookup: lookup, line: 1, col: 1}
	for s.off < len(s.src) && len(s.errs) < MaxErrors {
		s.step()
	}
	return s.out.String(), s.errs.Err()
}

type substituter struct {
	src       string
	lookup    func(string) (string, bool)
	out       strings.Builder
	errs      ErrorList
	off       int
	line, col int  // of off
	quote     byte // ' or ` inside a literal, else 0
}

// skip moves over n bytes without copying them.
func (s *substituter) skip(n int) {
	for _, r := range s.src[s.off : s.off+n] {
		s.col++
		if r == '\n' {
			s.line, s.col = s.line+1, 1
		}
	}
	s.off += n
}

func (s *substituter) copy(n int) {
	s.out.WriteString(s.src[s.off : s.off+n])
	s.skip(n)
}

func (s *substituter) step() {
	rest := s.src[s.off:]
	switch {
	case strings.HasPrefix(rest, "$${"):
		s.skip(3)
		s.out.WriteString("${")
	case strings.HasPrefix(rest, "${"):
		s.variable(rest)
	case s.quote == 0 && strings.HasPrefix(rest, "--"):
		s.copy(lengthTo(rest, 0, "\n"))
	case s.quote == 0 && strings.HasPrefix(rest, "/*") && !strings.HasPrefix(rest, "/*+"):
		s.copy(lengthTo(rest, 2, "*/"))
	default:
		if c := rest[0]; c == s.quote {
			s.quote = 0 // a doubled quote closes and opens again
		} else if s.quote == 0 && (c == '\'' || c == '`') {
			s.quote = c
		}
		_, n := utf8.DecodeRuneInString(rest)
		s.copy(n)
	}
}

// lengthTo is the length of s through the first end at or behind from.
func lengthTo(s string, from int, end string) int {
	if i := strings.Index(s[from:], end); i >= 0 {
		return from + i + len(end)
	}
	return len(s)
}

func (s *substituter) fail(hint, format string, args ...any) {
	s.errs = append(s.errs, &Error{Line: s.line, Col: s.col, Msg: fmt.Sprintf(format, args...), Hint: hint})
}

// variable handles the ${..} that rest begins with.
func (s *substituter) variable(rest string) {
	end := strings.IndexAny(rest, "}\n")
	if end < 0 || rest[end] == '\n' {
		s.fail("close it with }; a literal ${ is written $${", "this ${ is never closed")
		s.copy(2)
		return
	}
	body := rest[2:end]
	if strings.HasPrefix(body, "file:") {
		s.copy(end + 1)
		return
	}
	name, def, hasDefault := strings.Cut(body, ":-")
	if !validVariable(name) {
		s.fail("names hold letters, digits and _, as in ${HOST} or ${HOST:-localhost}", "malformed variable %q", clip(rest[:end+1]))
		s.skip(end + 1)
		return
	}
	value, ok := s.lookup(name)
	switch {
	case ok && (value != "" || !hasDefault):
		if s.quote != 0 {
			q := string(s.quote)
			value = strings.ReplaceAll(value, q, q+q)
		}
		s.out.WriteString(value)
	case hasDefault: // it stands in the script, so its quotes are as they should be
		s.out.WriteString(def)
	default:
		s.fail(fmt.Sprintf("set it in the environment or with -D %s=..., or give a default: ${%s:-...}", name, name),
			"variable %q is not set", name)
	}
	s.skip(end + 1)
}

func validVariable(name string) bool {
	for i, r := range name {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || !('0' <= r && r <= '9' || r == '.' || r == '-')) {
			return false
		}
	}
	return name != ""
}
