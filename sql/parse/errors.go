package parse

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error is one positioned problem in a source.
type Error struct {
	File string // "" prints as <input>
	Line int    // 1-based; 0 for what has no place in a file
	Col  int    // 1-based, in runes
	Msg  string
	Hint string // what was probably meant; "" if nothing comes to mind
}

// Error prints file:line:col: message; hint, or file: message; hint without a place.
func (e *Error) Error() string {
	file := e.File
	if file == "" {
		file = "<input>"
	}
	s := fmt.Sprintf("%s:%d:%d: %s", file, e.Line, e.Col, e.Msg)
	if e.Line == 0 {
		s = file + ": " + e.Msg
	}
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Errorf makes an Error at n's position, for those who find a problem in a
// tree after it was parsed. file and hint may be empty.
func Errorf(file string, n Node, hint, format string, args ...any) *Error {
	p := n.Pos()
	return &Error{File: file, Line: p.Line, Col: p.Col, Msg: fmt.Sprintf(format, args...), Hint: hint}
}

// MaxErrors bounds an ErrorList: past twenty the rest is mostly noise.
const MaxErrors = 20

// ErrorList is what Parse returns when something is wrong: at least one error,
// in source order, at most MaxErrors. errors.As finds the first *Error in it.
type ErrorList []*Error

// Error prints one error a line.
func (l ErrorList) Error() string {
	lines := make([]string, len(l))
	for i, e := range l {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.Is and errors.As look at each error.
func (l ErrorList) Unwrap() []error {
	errs := make([]error, len(l))
	for i, e := range l {
		errs[i] = e
	}
	return errs
}

// Err returns the list as an error, nil if it is empty.
func (l ErrorList) Err() error {
	if len(l) == 0 {
		return nil
	}
	return l
}

// InFile sets the file of the *Error or ErrorList in err where none is set, in
// place, and returns err.
func InFile(err error, file string) error {
	var list ErrorList
	var one *Error
	if errors.As(err, &list) {
		for _, e := range list {
			if e.File == "" {
				e.File = file
			}
		}
	} else if errors.As(err, &one) && one.File == "" {
		one.File = file
	}
	return err
}

// DidYouMean is the hint `did you mean "x"?` for the candidate nearest to
// word, "" if none is near.
func DidYouMean(word string, candidates []string) string {
	if c, ok := Nearest(word, candidates); ok {
		return fmt.Sprintf("did you mean %q?", c)
	}
	return ""
}

// nearestRunesMax bounds the cost of Nearest: the distance is quadratic and no
// name that people type is longer.
const nearestRunesMax = 128

// Nearest returns the candidate with the smallest edit distance to word,
// ignoring case, if one is near enough to have been meant: about one edit in
// three letters. A swap of neighbours is one edit. The first of equals wins.
func Nearest(word string, candidates []string) (string, bool) {
	w := foldRunes(word)
	if len(w) == 0 || len(w) > nearestRunesMax {
		return "", false
	}
	limit := min((len(w)+2)/3, 4)
	best, bestDist := "", limit+1
	for _, c := range candidates {
		if utf8.RuneCountInString(c) > nearestRunesMax {
			continue
		}
		r := foldRunes(c)
		diff := len(r) - len(w)
		if max(diff, -diff) >= bestDist {
			continue
		}
		// A distance as long as the word means that nothing of it is left.
		if d := editDistance(w, r); d < bestDist && d < max(len(w), len(r)) {
			best, bestDist = c, d
		}
	}
	return best, bestDist <= limit
}

func foldRunes(s string) []rune {
	r := []rune(s)
	for i := range r {
		r[i] = unicode.ToLower(r[i])
	}
	return r
}

// editDistance counts insertions, deletions, substitutions and swaps of
// neighbours (optimal string alignment).
func editDistance(a, b []rune) int {
	prev2 := make([]int, len(b)+1)
	prev := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, prev2[j-2]+1)
			}
			cur[j] = d
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
