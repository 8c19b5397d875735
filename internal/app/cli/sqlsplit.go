package cli

import (
	"strings"
	"unicode/utf8"
)

// statement is one of a text: without the semicolon that ends it.
type statement struct {
	text string
	// line and column are where it begins, from 1, columns in characters; whole says that a semicolon ended it.
	line, column int
	whole        bool
}

// splitStatements cuts a text at its semicolons, but for those in strings, quoted names, comments and statement sets. What has comments and space only
// is left out. The last one need not be whole.
func splitStatements(text string) []statement {
	var all []statement
	line, startLine, start := 1, 0, -1
	for i := 0; i < len(text); {
		n, kind := lexeme(text[i:])
		switch {
		case kind == lexSpace:
		case kind == lexSemicolon && start >= 0 && !openSet(text[start:i]):
			all = append(all, statement{text[start:i], startLine, columnAt(text, start), true})
			start = -1
		case kind == lexSemicolon && start < 0:
		case start < 0:
			start, startLine = i, line
		}
		line += strings.Count(text[i:i+n], "\n")
		i += n
	}
	if start >= 0 {
		all = append(all, statement{strings.TrimRight(text[start:], " \t\r\n"), startLine, columnAt(text, start), false})
	}
	return all
}

func columnAt(text string, at int) int {
	return utf8.RuneCountInString(text[strings.LastIndexByte(text[:at], '\n')+1:at]) + 1
}

const (
	lexSpace = iota
	lexSemicolon
	lexOther
)

// lexeme is the length and kind of what a text begins with.
func lexeme(s string) (n, kind int) {
	until := func(end string, from int) int {
		if i := strings.Index(s[from:], end); i >= 0 {
			return from + i + len(end)
		}
		return len(s)
	}
	switch {
	case strings.HasPrefix(s, "--"):
		return until("\n", 2), lexSpace
	case strings.HasPrefix(s, "/*") && !strings.HasPrefix(s, "/*+"):
		return until("*/", 2), lexSpace
	case s[0] == '\'' || s[0] == '`' || s[0] == '"': // a doubled quote is two of them, side by side
		return until(s[:1], 1), lexOther
	case s[0] == ';':
		return 1, lexSemicolon
	case strings.IndexByte(" \t\r\n", s[0]) >= 0:
		return 1, lexSpace
	}
	i := 1
	for i < len(s) && (s[i] == '_' || s[i] >= '0' && s[i] <= '9' || s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z') {
		i++
	}
	return i, lexOther
}

// words are the first words of a text, in capitals, without comments.
func words(text string, most int) []string {
	var all []string
	for i := 0; i < len(text) && len(all) < most; {
		n, kind := lexeme(text[i:])
		if kind == lexOther {
			all = append(all, strings.ToUpper(text[i:i+n]))
		}
		i += n
	}
	return all
}

// openSet reports whether a text is a statement set whose END has not come.
func openSet(text string) bool {
	all := words(text, 1<<20)
	switch {
	case len(all) >= 3 && all[0] == "EXECUTE" && all[1] == "STATEMENT" && all[2] == "SET":
	case len(all) >= 3 && all[0] == "BEGIN" && all[1] == "STATEMENT" && all[2] == "SET":
	default:
		return false
	}
	depth := 0 // CASE has an END of its own
	for _, w := range all[3:] {
		switch {
		case w == "CASE":
			depth++
		case w == "END" && depth > 0:
			depth--
		case w == "END":
			return false
		}
	}
	return true
}
