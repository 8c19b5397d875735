package plan_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/bramble-stream/bramble/sql/parse"
	"github.com/bramble-stream/bramble/sql/plan"
)

const fuzzDDL = `CREATE TABLE t (a STRING, b BIGINT, c DOUBLE, r ROW<x INT, y STRING>, ts TIMESTAMP(3), arr ARRAY<INT>, m MAP<STRING, INT>,
  d AS b * 2, p AS b + 1, WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('connector' = 'datagen', 'late-records' = 'late');
CREATE TABLE u (a STRING, b BIGINT, lt TIMESTAMP_LTZ(3), WATERMARK FOR lt AS lt) WITH ('connector' = 'filesystem', 'path' = 'x');
CREATE TABLE late (b BIGINT) WITH ('connector' = 'print');
CREATE TABLE s1 (a STRING) WITH ('connector' = 'print');
CREATE TABLE s2 (a STRING, b BIGINT, PRIMARY KEY (a) NOT ENFORCED) WITH ('connector' = 'redis', 'url' = 'u');
CREATE TABLE s3 (a STRING, b BIGINT, c DOUBLE) WITH ('connector' = 'filesystem', 'path' = 'x');
`

// gen makes SQL that is mostly sound: enough of it passes the binder to reach the rules.
type gen struct {
	t     *rapid.T
	depth int
}

func (g *gen) pick(label string, from ...string) string {
	return rapid.SampledFrom(from).Draw(g.t, label)
}

func (g *gen) n(most int) int { return rapid.IntRange(0, most).Draw(g.t, "n") }

func (g *gen) expr() string {
	g.depth++
	defer func() { g.depth-- }()
	if g.depth > 4 || g.n(2) == 0 {
		return g.pick("leaf", "a", "b", "c", "a", "b", "ts", "r.x", "r", "d", "1", "'x'", "1.5", "NULL", "TRUE", "arr[1]", "m['k']", "lt", "window_start",
			"window_end", "window_time", "INTERVAL '1' SECOND", "TIMESTAMP '2024-01-01 00:00:00'", "t.a", "nosuch", "*", "r.y.z")
	}
	switch g.n(9) {
	case 0:
		return "(" + g.expr() + g.pick("op", " + ", " - ", " * ", " / ", " = ", " < ", " AND ", " OR ", " || ") + g.expr() + ")"
	case 1:
		return "CAST(" + g.expr() + " AS " + g.pick("type", "STRING", "BIGINT", "DOUBLE", "DECIMAL(10, 2)", "TIMESTAMP(3)", "ROW<x INT>") + ")"
	case 2:
		return "CASE WHEN " + g.expr() + " THEN " + g.expr() + " ELSE " + g.expr() + " END"
	case 3:
		return g.expr() + g.pick("is", " IS NULL", " IS NOT TRUE", " BETWEEN 1 AND 2", " IN (1, 2)", " LIKE 'x%'")
	case 4:
		return g.pick("fn", "ABS", "COALESCE", "UPPER", "PROCTIME", "EXTRACT", "NOSUCH", "TUMBLE_START") + "(" + g.expr() + ")"
	default:
		return g.aggregate()
	}
}

func (g *gen) aggregate() string {
	s := g.pick("agg", "COUNT(*)", "COUNT(DISTINCT a)", "SUM(b)", "MAX(c)", "AVG(b)", "LAST_VALUE(a)", "LISTAGG(a, ';')", "MIN("+g.simple()+")")
	if g.n(4) == 0 {
		s += " FILTER (WHERE b > 1)"
	}
	return s
}

func (g *gen) simple() string {
	return g.pick("simple", "a", "b", "c", "b + 1", "r.x", "d", "window_start", "window_end", "window_time", "ts", "lt", "CAST(b AS STRING)", "n", "1")
}

func (g *gen) from() string {
	g.depth++
	defer func() { g.depth-- }()
	table := g.pick("table", "t", "t", "u", "v0", "v1", "nosuch")
	if g.depth > 3 {
		return table
	}
	in := "TABLE " + table
	if g.n(3) == 0 {
		in = "TABLE (" + g.query() + ")"
	}
	ts := "DESCRIPTOR(" + g.pick("ts", "ts", "ts", "lt", "window_time", "b") + ")"
	switch g.n(8) {
	case 0:
		return "(" + g.query() + ")"
	case 1:
		return "TABLE(TUMBLE(" + in + ", " + ts + ", INTERVAL '10' SECOND))"
	case 2:
		return "TABLE(HOP(" + in + ", " + ts + ", INTERVAL '5' SECOND, INTERVAL '10' SECOND)) AS w"
	case 3:
		return "TABLE(CUMULATE(" + in + ", " + ts + ", INTERVAL '5' SECOND, INTERVAL '10' SECOND))"
	case 4:
		return "TABLE(SESSION(" + in + " PARTITION BY " + g.pick("part", "a", "b", "a, b") + ", " + ts + ", INTERVAL '10' SECOND))"
	default:
		return table
	}
}

func (g *gen) query() string {
	g.depth++
	defer func() { g.depth-- }()
	if g.depth > 6 {
		return "SELECT a, b FROM t"
	}
	switch g.n(9) {
	case 0:
		return g.query() + g.pick("setop", " UNION ALL ", " UNION ") + g.query()
	case 1:
		return "VALUES ('a', 1), ('b', 2)"
	}
	var b strings.Builder
	b.WriteString("SELECT ")
	if g.n(6) == 0 {
		b.WriteString("DISTINCT ")
	}
	group := g.n(1) == 0
	keys := g.pick("keys", "a", "a", "b", "a, b", "window_start, window_end", "a, window_start, window_end", "a, window_start, window_end, window_time", "TUMBLE(ts, INTERVAL '1' MINUTE), a", "r.x, a")
	switch {
	case group && !strings.Contains(keys, "TUMBLE"):
		b.WriteString(keys)
		if g.n(3) > 0 {
			b.WriteString(", " + g.aggregate() + " AS n")
		}
	case group:
		b.WriteString("a, SUM(b) AS b, TUMBLE_ROWTIME(ts, INTERVAL '1' MINUTE) AS ts")
	case g.n(2) == 0:
		b.WriteString("*")
	default:
		b.WriteString("a, " + g.pick("b", "b", g.expr()+" AS b"))
		if g.n(1) == 0 {
			b.WriteString(", " + g.pick("more", "ts", "c", "window_start, window_end", "window_time", "lt", g.expr()))
		}
	}
	b.WriteString(" FROM " + g.from())
	if g.n(2) == 0 {
		b.WriteString(" WHERE " + g.pick("where", "a = 'x'", "b > 1 AND a <> 'y'", "c IS NOT NULL OR TRUE", "window_end > TIMESTAMP '2024-01-01 00:00:00' AND a = 'x'", g.expr()))
	}
	if group {
		b.WriteString(" GROUP BY " + keys)
		if g.n(3) == 0 {
			b.WriteString(" HAVING " + g.pick("having", "COUNT(*) > 1", "a = 'x'", "MAX(b) > 1 AND a = 'y'"))
		}
	}
	return b.String()
}

// sound makes a query that binds, unless it aggregates windows over updates. It gives a, b and, if ts is not empty, the time attribute ts; with
// win also the bounds of windows.
func (g *gen) sound(depth int) (sql, ts string, win bool) {
	if depth == 0 {
		if g.n(4) == 0 {
			return "SELECT a, b, lt FROM u", "lt", false
		}
		return "SELECT a, " + g.pick("b", "b", "b", "d AS b", "p AS b", "CAST(r.x AS BIGINT) AS b") + ", ts FROM t" + g.where(), "ts", false
	}
	in, ts, win := g.sound(depth - 1)
	bounds, attr := "", ""
	if ts != "" {
		attr = ", " + ts
	}
	if win {
		bounds = ", window_start, window_end"
	}
	window := g.pick("tvf", "TUMBLE(TABLE (%s), DESCRIPTOR(%s), INTERVAL '10' SECOND)", "HOP(TABLE (%s), DESCRIPTOR(%s), INTERVAL '5' SECOND, INTERVAL '10' SECOND)",
		"CUMULATE(TABLE (%s), DESCRIPTOR(%s), INTERVAL '5' SECOND, INTERVAL '10' SECOND)", "SESSION(TABLE (%s) PARTITION BY a, DESCRIPTOR(%s), INTERVAL '10' SECOND)")
	switch k := g.n(7); {
	case k == 0 && ts != "" && !win:
		return "SELECT a, b, window_start, window_end, window_time FROM TABLE(" + fmt.Sprintf(window, in, ts) + ")" + g.where(), "window_time", true
	case k == 1 && ts != "" && !win:
		return "SELECT a, " + g.agg() + " AS b, TUMBLE_ROWTIME(" + ts + ", INTERVAL '1' MINUTE) AS rt FROM (" + in + ")" + g.where() + " GROUP BY a, TUMBLE(" + ts + ", INTERVAL '1' MINUTE)", "rt", false
	case k <= 3 && win:
		return "SELECT " + g.pick("key", "a", "'k' AS a") + ", " + g.agg() + " AS b" + bounds + ", window_time FROM (" + in + ")" + g.where() + " GROUP BY a" + bounds + ", window_time" + g.pick("having", "", " HAVING COUNT(*) > 1 AND a <> ''"), "window_time", true
	case k == 4 && !win:
		return "SELECT a, " + g.agg() + " AS b FROM (" + in + ")" + g.where() + " GROUP BY a", "", false
	case k == 5:
		other, _, _ := g.sound(g.n(depth - 1))
		return "SELECT a, b FROM (" + in + ") UNION ALL SELECT a, b FROM (" + other + ")" + g.where(), "", false
	case k == 6 && !win:
		return "SELECT DISTINCT a, b FROM (" + in + ")", "", false
	default:
		return "SELECT a, b + " + g.pick("plus", "0", "1") + " AS b" + attr + bounds + " FROM (" + in + ")" + g.where(), ts, win
	}
}

func (g *gen) where() string {
	return g.pick("cond", "", "", " WHERE a = 'x'", " WHERE b > 1 AND a <> 'y'", " WHERE b IS NULL OR FALSE", " WHERE b + b > 3")
}

func (g *gen) agg() string {
	return g.pick("a", "SUM(b)", "COUNT(DISTINCT a)", "MAX(b + 1) + MIN(b)", "COUNT(*) FILTER (WHERE b > 3)", "AVG(b)", "COUNT(*)")
}

// soundScript makes a script of sound queries, with views that several INSERTs read.
func (g *gen) soundScript() string {
	var b strings.Builder
	b.WriteString(fuzzDDL)
	q, _, _ := g.sound(g.n(4))
	fmt.Fprintf(&b, "CREATE VIEW v AS %s;\n", q)
	b.WriteString("INSERT INTO s2 SELECT a, b FROM v" + g.where() + ";\n")
	for range g.n(2) {
		q, _, _ := g.sound(g.n(4))
		fmt.Fprintf(&b, "SELECT a, b FROM (%s);\n", g.pick("what", q, "SELECT a, b FROM v"+g.where()))
	}
	return b.String()
}

func (g *gen) script() string {
	var b strings.Builder
	b.WriteString(fuzzDDL)
	for i := range g.n(2) {
		fmt.Fprintf(&b, "CREATE VIEW v%d AS %s;\n", i, g.query())
	}
	for range 1 + g.n(2) {
		switch q := g.query(); g.n(3) {
		case 0:
			fmt.Fprintf(&b, "INSERT INTO s2 SELECT a, b FROM (%s);\n", q)
		case 1:
			fmt.Fprintf(&b, "INSERT INTO s1 SELECT a FROM (%s);\n", q)
		case 2:
			fmt.Fprintf(&b, "INSERT INTO s3 (a) SELECT a FROM (%s);\n", q)
		default:
			fmt.Fprintf(&b, "%s;\n", q)
		}
	}
	return b.String()
}

func tryPlan(script string) (planned bool, err error) {
	res, err := plan.Plan(script, plan.Options{File: "f.sql", Parallelism: 2, Connectors: connectors()})
	if err != nil {
		var list parse.ErrorList
		if !errors.As(err, &list) || len(list) == 0 {
			return false, fmt.Errorf("an error without a list: %w", err)
		}
		for _, e := range list {
			if e.Line == 0 || e.Msg == "" {
				return false, fmt.Errorf("an error without a position: %w", e)
			}
		}
		return false, nil
	}
	return true, validate(res.Graph)
}

// TestRandomScripts plans random scripts: no panic, errors have positions, and what is planned is a sound graph.
func TestRandomScripts(t *testing.T) {
	planned, all := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		g := &gen{t: rt}
		script := g.soundScript()
		if g.n(2) == 0 {
			script = g.script()
		}
		all++
		ok, err := tryPlan(script)
		if err != nil {
			rt.Fatalf("%v\n%s", err, script)
		}
		if ok {
			planned++
		}
	})
	t.Logf("%d of %d scripts were planned", planned, all)
}

// FuzzPlan plans any text.
func FuzzPlan(f *testing.F) {
	f.Add("INSERT INTO s1 SELECT a FROM t WHERE b > 1")
	f.Add("INSERT INTO s2 SELECT a, COUNT(*) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY a, window_start, window_end")
	f.Add("CREATE TABLE x (LIKE t); SET 'a'='b'; SELECT 1; DROP TABLE t; EXPLAIN SELECT 1; INSERT INTO s1 VALUES (NULL)")
	f.Add("INSERT INTO s1 SELECT JSON_VALUE(a, '$.x' RETURNING INT DEFAULT 1 ON EMPTY ERROR ON ERROR) FROM t")
	f.Fuzz(func(t *testing.T, script string) {
		if _, err := tryPlan(fuzzDDL + script); err != nil {
			t.Fatal(err)
		}
	})
}
