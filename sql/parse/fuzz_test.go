package parse

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// seeds are the inputs of the data-driven tests.
func seeds(f *testing.F) []string {
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		f.Fatal(err)
	}
	var list []string
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // testdata/fuzz is a directory
		}
		for block := range strings.SplitSeq(string(b), "\n\n") {
			_, input, _ := strings.Cut(block, "\n")
			input, _, _ = strings.Cut(input, "\n----")
			list = append(list, input)
		}
	}
	return list
}

// tooBig reports an error that the printed form may meet where the source did
// not: it can be longer and have more parentheses.
func tooBig(err error) bool {
	var e *Error
	return errors.As(err, &e) && (strings.Contains(e.Msg, "nested too deeply") || strings.Contains(e.Msg, "bytes; at most"))
}

func FuzzParse(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		script, err := Parse("", src)
		var list ErrorList
		if errors.As(err, &list) && (len(list) == 0 || len(list) > MaxErrors) {
			t.Fatalf("%d errors", len(list))
		}
		for _, e := range list {
			if e.Line < 1 || e.Col < 1 {
				t.Fatalf("error without position: %v", e)
			}
		}
		for _, st := range script.Stmts {
			checkSpans(t, script, st)
			if hasRawText(st) {
				continue
			}
			out := st.String()
			again, err := Parse("", out)
			if err != nil {
				if tooBig(err) {
					continue
				}
				t.Fatalf("%q printed as %q does not parse: %v", src, out, err)
			}
			if len(again.Stmts) != 1 || again.Stmts[0].String() != out {
				t.Fatalf("%q printed as %q, then as %q", src, out, again.Stmts)
			}
		}
	})
}

// hasRawText finds MATCH_RECOGNIZE, whose inside is printed as it stood.
func hasRawText(st Stmt) bool {
	found := false
	Walk(st, func(n Node) bool {
		_, ok := n.(*MatchRecognize)
		found = found || ok
		return !found
	})
	return found
}

// checkSpans holds every node's span against its parent's.
func checkSpans(t *testing.T, s *Script, st Stmt) {
	Walk(st, func(n Node) bool {
		p := n.Pos()
		if p.Line < 1 || p.Col < 1 || p.Start < 0 || p.End < p.Start || p.End > len(s.Src) {
			t.Fatalf("%q: %T has span %+v", s.Src, n, p)
		}
		return true
	})
}

func FuzzExpr(f *testing.F) {
	for _, s := range seeds(f) {
		for line := range strings.SplitSeq(s, "\n") {
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, src string) {
		e, err := ParseExpr("", src)
		if err != nil {
			return
		}
		out := e.String()
		again, err := ParseExpr("", out)
		if err != nil {
			if tooBig(err) {
				return
			}
			t.Fatalf("%q printed as %q does not parse: %v", src, out, err)
		}
		if got := again.String(); got != out {
			t.Fatalf("%q printed as %q, then as %q", src, out, got)
		}
	})
}

func FuzzSubstitute(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		out, err := Substitute(src, func(name string) (string, bool) { return "v", true })
		if err == nil && !strings.Contains(src, "${") && out != src {
			t.Fatalf("%q became %q", src, out)
		}
	})
}
