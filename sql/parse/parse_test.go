package parse

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestData runs the files of testdata. Commands:
//
//	parse   a script: each statement as normalised SQL, then errors and warnings
//	tree    the same with every node and its position
//	expr    one expression: its SQL, fully parenthesised by re-parsing
//	type    one data type
//	subst   Substitute with the variables HOST, PW and EMPTY
func TestData(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.Contains(path, "/fuzz/") {
			t.Skip("the fuzzer's corpus")
		}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "parse":
				return runParse(t, d.Input)
			case "tree":
				s, err := Parse("", d.Input)
				if err != nil {
					return err.Error() + "\n"
				}
				var b strings.Builder
				for _, st := range s.Stmts {
					b.WriteString(dump(st))
				}
				return b.String()
			case "expr":
				return runLines(d.Input, func(line string) (string, error) {
					e, err := ParseExpr("", line)
					if err != nil {
						return "", err
					}
					checkExpr(t, line, e)
					return grouped(e), nil
				})
			case "type":
				return runLines(d.Input, func(line string) (string, error) {
					ty, err := ParseType("", line)
					if err != nil {
						return "", err
					}
					return ty.String(), nil
				})
			case "subst":
				return runSubst(d.Input)
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

func runLines(input string, f func(string) (string, error)) string {
	var b strings.Builder
	for line := range strings.SplitSeq(input, "\n") {
		out, err := f(line)
		if err != nil {
			out = "error: " + strings.TrimPrefix(err.Error(), "<input>:")
		}
		b.WriteString(out + "\n")
	}
	return b.String()
}

func runParse(t *testing.T, src string) string {
	s, err := Parse("job.sql", src)
	var b strings.Builder
	for _, st := range s.Stmts {
		out := st.String()
		b.WriteString(out + "\n")
		again, err := Parse("", out)
		if err != nil || len(again.Stmts) != 1 {
			t.Errorf("printed statement does not parse: %v\n%s", err, out)
		} else if again.Stmts[0].String() != out {
			t.Errorf("printed statement changes:\n%s\n%s", out, again.Stmts[0])
		}
	}
	for _, w := range s.Warnings {
		fmt.Fprintf(&b, "warning: %v\n", w)
	}
	if err != nil {
		b.WriteString(err.Error() + "\n")
	}
	return b.String()
}

func runSubst(src string) string {
	vars := map[string]string{"HOST": "pi1", "PW": "it's`me", "EMPTY": ""}
	out, err := Substitute(src, func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	})
	if err != nil {
		return InFile(err, "job.sql").Error() + "\n"
	}
	return out + "\n"
}

// grouped prints e with parentheses around every operator.
func grouped(e Expr) string {
	switch e := e.(type) {
	case *Binary:
		return "(" + grouped(e.L) + " " + e.Op.String() + " " + grouped(e.R) + ")"
	case *Unary:
		return "(" + e.Op.String() + " " + grouped(e.X) + ")"
	case *Is:
		return "(" + strings.Replace(e.String(), e.X.String(), grouped(e.X), 1) + ")"
	case *Between, *In, *LikeExpr, *IsDistinct:
		return "(" + e.String() + ")"
	}
	return e.String()
}

// checkExpr holds e's printed form against what it parses to.
func checkExpr(t *testing.T, src string, e Expr) {
	t.Helper()
	out := e.String()
	again, err := ParseExpr("", out)
	if err != nil {
		t.Errorf("%q printed as %q does not parse: %v", src, out, err)
		return
	}
	if got := again.String(); got != out {
		t.Errorf("%q printed as %q, then as %q", src, out, got)
	}
}
