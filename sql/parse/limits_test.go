package parse

import (
	"errors"
	"strings"
	"testing"
)

// TestLimits feeds what is too large, too deep or too long: each gets an error,
// none a panic or an exhausted stack.
func TestLimits(t *testing.T) {
	const n = 100_000
	for name, src := range map[string]string{
		"size":      "SELECT 1 -- " + strings.Repeat("x", MaxScriptBytes),
		"parens":    "SELECT " + strings.Repeat("(", n) + "1" + strings.Repeat(")", n),
		"unclosed":  "SELECT " + strings.Repeat("(", n),
		"not":       "SELECT " + strings.Repeat("NOT ", n) + "TRUE",
		"sign":      "SELECT " + strings.Repeat("- ", n) + "1",
		"case":      "SELECT " + strings.Repeat("CASE WHEN ", n),
		"call":      "SELECT " + strings.Repeat("f(", n),
		"trim":      "SELECT " + strings.Repeat("TRIM(", n),
		"or":        "SELECT a" + strings.Repeat(" OR a", n),
		"add":       "SELECT a" + strings.Repeat("+a", n),
		"is":        "SELECT a" + strings.Repeat(" IS NULL", n),
		"in":        "SELECT a" + strings.Repeat(" IN (1)", n),
		"index":     "SELECT a" + strings.Repeat("[1]", n),
		"field":     "SELECT f(a)" + strings.Repeat(".a", n),
		"name":      "SELECT a" + strings.Repeat(".a", n),
		"subquery":  strings.Repeat("SELECT * FROM (", n/2),
		"with":      strings.Repeat("WITH a AS (", n/2),
		"union":     "SELECT 1" + strings.Repeat(" UNION SELECT 1", n/4),
		"intersect": "SELECT 1" + strings.Repeat(" INTERSECT SELECT 1", n/4),
		"join":      "SELECT * FROM a" + strings.Repeat(" CROSS JOIN a", n/4),
		"comma":     "SELECT * FROM a" + strings.Repeat(", a", n),
		"tables":    "SELECT * FROM " + strings.Repeat("(", n),
		"type":      "SELECT CAST(a AS " + strings.Repeat("ARRAY<", n),
		"arrays":    "SELECT CAST(a AS INT" + strings.Repeat(" ARRAY", n) + ")",
		"cube":      "SELECT a FROM t GROUP BY " + strings.Repeat("CUBE (", n),
		"star":      "SELECT " + strings.Repeat("a.", n) + "*",
		"function":  "SELECT " + strings.Repeat("a.", n) + "f(x)",
		"explain":   strings.Repeat("EXPLAIN ", n),
		"errors":    strings.Repeat("x;", n),
		"set":       "EXECUTE STATEMENT SET BEGIN " + strings.Repeat("x;", n),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Parse("", src)
			var list ErrorList
			if !errors.As(err, &list) {
				t.Fatalf("no error; %d statements", len(s.Stmts))
			}
			if len(list) > MaxErrors {
				t.Errorf("%d errors", len(list))
			}
			if len(err.Error()) > 8<<10 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
		})
	}
}

// TestLong feeds what is long but sound.
func TestLong(t *testing.T) {
	for name, src := range map[string]string{
		"in":      "SELECT a IN (1" + strings.Repeat(", 1", 100_000) + ")",
		"values":  "VALUES (1)" + strings.Repeat(", (1)", 50_000),
		"columns": "SELECT a" + strings.Repeat(", a", 100_000) + " FROM t",
		"case":    "SELECT CASE" + strings.Repeat(" WHEN a THEN b", 10_000) + " END",
		"or":      "SELECT a" + strings.Repeat(" OR a", MaxChain) + " FROM t",
		"parens":  "SELECT " + strings.Repeat("(", 150) + "1" + strings.Repeat(")", 150),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Parse("", src)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Parse("", s.Stmts[0].String()); err != nil {
				t.Errorf("printed: %v", err)
			}
		})
	}
}

func TestInvalidUTF8(t *testing.T) {
	_, err := Parse("j.sql", "SELECT é,\n  '\xff'")
	if err == nil || !strings.HasPrefix(err.Error(), "j.sql:2:4: ") {
		t.Errorf("got %v", err)
	}
}

func TestNearest(t *testing.T) {
	cols := []string{"temp", "humidity", "sensor_id", "ts"}
	for word, want := range map[string]string{
		"tmep": "temp", "TEMP": "temp", "humidty": "humidity", "sensorid": "sensor_id", "st": "ts",
		"pressure": "", "x": "", "": "", "sensors": "sensor_id", "device": "", strings.Repeat("t", 1000): "",
	} {
		if got, _ := Nearest(word, cols); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestScriptText(t *testing.T) {
	s, err := Parse("", "SELECT é + 1, SUM(x ) FROM t;\nINSERT INTO u SELECT a FROM t")
	if err != nil {
		t.Fatal(err)
	}
	items := s.Stmts[0].(*QueryStmt).Query.Body.(*Select).Items
	for i, want := range []string{"é + 1", "SUM(x )"} {
		if got := s.Text(items[i]); got != want {
			t.Errorf("item %d: %q, want %q", i, got, want)
		}
	}
	if got := s.Text(s.Stmts[1]); got != "INSERT INTO u SELECT a FROM t" {
		t.Errorf("statement: %q", got)
	}
	if got := s.Text(&Number{}); got != "" {
		t.Errorf("a made node: %q", got)
	}
}
