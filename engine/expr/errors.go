package expr

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bramble-stream/bramble/engine/vec"
)

// errArgs is what Bind returns when the argument types do not fit; Call makes a TypeError of it.
var errArgs = errors.New("argument types do not fit")

// errHint is errArgs with what to do instead.
type errHint string

func (h errHint) Error() string { return string(h) }

// Is makes errors.Is(err, errArgs) true.
func (h errHint) Is(target error) bool { return target == errArgs }

// UnknownFunctionError says that no function has the name.
type UnknownFunctionError struct {
	Name string
	// Nearest is the most similar known name, "" when none is similar.
	Nearest string
}

// Error names the function and the likely meaning.
func (e *UnknownFunctionError) Error() string {
	s := fmt.Sprintf("unknown function %q", e.Name)
	if e.Nearest != "" {
		s += fmt.Sprintf("; did you mean %q?", e.Nearest)
	}
	return s
}

// TypeError says that a function does not take arguments of these types.
type TypeError struct {
	Func  string
	Types []vec.Type
	// Usage is how the function is called, "" for operators.
	Usage string
	// Hint says what to do instead, or is "".
	Hint string
}

// written are functions whose names no script has, as they are written.
var written = map[string]string{"NEG": "-", "ITEM": "[]", "JSON_VALUE DEFAULT": "JSON_VALUE"}

// Error is "cannot apply 'F' to arguments of type (A, B)" with the usage.
func (e *TypeError) Error() string {
	parts := make([]string, len(e.Types))
	for i, t := range e.Types {
		parts[i] = t.Nullable().String()
	}
	name := e.Func
	if w, ok := written[name]; ok {
		name = w
	}
	s := fmt.Sprintf("cannot apply '%s' to arguments of type (%s)", name, strings.Join(parts, ", "))
	if e.Usage != "" {
		s += "; expected " + e.Usage
	}
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// ArgCountError says that a function was called with too few or too many arguments.
type ArgCountError struct {
	Func     string
	Got      int
	Min, Max int
	Usage    string
}

// Error says how many arguments are expected.
func (e *ArgCountError) Error() string {
	var want string
	switch {
	case e.Max < 0:
		want = fmt.Sprintf("at least %d", e.Min)
	case e.Min == e.Max:
		want = fmt.Sprint(e.Min)
	default:
		want = fmt.Sprintf("%d to %d", e.Min, e.Max)
	}
	noun := "arguments"
	if want == "1" || want == "at least 1" {
		noun = "argument"
	}
	s := fmt.Sprintf("function %s takes %s %s, got %d", e.Func, want, noun, e.Got)
	if e.Usage != "" {
		s += ": " + e.Usage
	}
	return s
}

// EvalError is the failure of an expression at a row, at run time.
type EvalError struct {
	// Row is the physical row in the batch.
	Row int
	// Line and Column are where the expression began in the script; 0 when unknown.
	Line, Column int
	// Expr is the part of the expression that failed.
	Expr string
	Err  error
}

// Error is "line:column: reason in expression".
func (e *EvalError) Error() string {
	var pos string
	if e.Line > 0 {
		pos = fmt.Sprintf("%d:%d: ", e.Line, e.Column)
	}
	return fmt.Sprintf("%s%v in %s", pos, e.Err, e.Expr)
}

// Unwrap returns the reason.
func (e *EvalError) Unwrap() error { return e.Err }

// nearest returns the candidate with the smallest edit distance to name, or "" when none is close.
func nearest(name string, candidates []string) string {
	best, bestDist := "", max(2, len(name)/3)+1
	for _, c := range candidates {
		if d := editDistance(name, c); d < bestDist {
			best, bestDist = c, d
		}
	}
	return best
}

// editDistance is Levenshtein's over bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diag, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diag+cost)
		}
	}
	return row[len(b)]
}
