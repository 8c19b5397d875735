package parse

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// sqlGen draws random SQL from the grammar.
type sqlGen struct {
	*rapid.T
}

func (g sqlGen) pick(list ...string) string { return rapid.SampledFrom(list).Draw(g.T, "pick") }

func (g sqlGen) leaf() string {
	return g.pick("a", "t.b", "`select`", "value", "r.f.g", "1", "2.50", ".5", "1e-3", "'x''y'", "TRUE", "NULL", "UNKNOWN",
		"DATE '2024-01-01'", "TIME '1:02:03.4'", "TIMESTAMP '2024-01-01 00:00:00'", "INTERVAL '1' DAY", "INTERVAL -'1-2' YEAR TO MONTH",
		"X'00ff'", "CURRENT_TIMESTAMP", "COUNT(*)", "U&'\\00e9'", "ARRAY[]", "interval", "date", "`map`", "ROW()")
}

// template replaces each @ by an expression, # by a query, ~ by a table.
func (g sqlGen) template(s string, depth int) string {
	var b strings.Builder
	for i := range len(s) {
		switch s[i] {
		case '@':
			b.WriteString(g.expr(depth - 1))
		case '#':
			b.WriteString(g.query(depth - 1))
		case '~':
			b.WriteString(g.table(depth - 1))
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func (g sqlGen) expr(depth int) string {
	if depth <= 0 {
		return g.leaf()
	}
	return g.template(g.pick("@", "(@)", "@ OR @", "@ AND @", "NOT @", "-@", "+ @", "- -@", "@ IS NULL", "@ IS NOT TRUE",
		"@ IS JSON ARRAY", "(@) IS DISTINCT FROM (@)", "@ = @", "(@) <> (@)", "@ < @", "(@, @) OVERLAPS (@, @)", "(@) BETWEEN (@) AND (@)",
		"@ NOT IN (@, @)", "@ IN (#)", "(@) LIKE (@) ESCAPE '!'", "(@) NOT SIMILAR TO (@)", "@ + @", "(@) - (@)", "@ || @",
		"(@) * (@)", "@ / @", "(@) % (@)", "(@)[@]", "(@).f", "F(@).g", "F(@)[1]", "a[@].b", "EXISTS (#)", "(#)", "@ > ANY (#)",
		"CASE WHEN @ THEN @ ELSE @ END", "CASE @ WHEN @ THEN @ END", "CAST(@ AS ROW<a INT, b ARRAY<STRING>>)",
		"TRY_CAST(@ AS DECIMAL(5, 2) ARRAY NOT NULL)", "EXTRACT(HOUR FROM @)", "FLOOR(@ TO DAY)", "CEIL(@)", "TIMESTAMPADD(DAY, @, @)",
		"TIMESTAMPDIFF(WEEK, @, @)", "POSITION((@) IN (@))", "POSITION((@), (@), @)", "TRIM(LEADING @ FROM @)", "TRIM(@)",
		"SUBSTRING(@ FROM @ FOR @)", "OVERLAY(@ PLACING @ FROM @)", "JSON_VALUE(@, @ RETURNING INT DEFAULT @ ON EMPTY NULL ON ERROR)",
		"JSON_QUERY(@, @ WITH WRAPPER EMPTY OBJECT ON ERROR)", "JSON_EXISTS(@, @ ERROR ON ERROR)", "JSON_OBJECT(KEY @ VALUE @ NULL ON NULL)",
		"JSON_ARRAY(@, @)", "SUM(DISTINCT @) FILTER (WHERE @)", "F(x => @, y => @)", "LISTAGG(@ ORDER BY @ DESC)",
		"LAG(@) RESPECT NULLS OVER w", "SUM(@) OVER (PARTITION BY @ ORDER BY @ NULLS LAST ROWS BETWEEN (@) PRECEDING AND CURRENT ROW)",
		"ROW(@, @)", "(@, @)", "ARRAY[@, @]", "MAP[@, @]", "ARRAY(#)", "`cast`(@)", "LEFT(@, @)", "cat.f(@)"), depth)
}

func (g sqlGen) query(depth int) string {
	if depth <= 0 {
		return g.pick("SELECT 1", "SELECT * FROM t", "VALUES (1, 'a'), (2, 'b')", "VALUES 1")
	}
	return g.template(g.pick("SELECT @", "SELECT DISTINCT @ AS x, t.*, @ y FROM ~", "SELECT @ FROM ~ WHERE @ GROUP BY @, (@, @), () HAVING @",
		"SELECT @ FROM ~ GROUP BY GROUPING SETS ((a), (), ROLLUP (@, (b, c)), CUBE (@))", "# UNION ALL #", "(#) EXCEPT (#)",
		"(#) INTERSECT (#) ORDER BY @ DESC LIMIT 3 OFFSET 1", "WITH c (x) AS (#), d AS (#) SELECT * FROM ~", "(#)", "((#) LIMIT 1)",
		"SELECT @ FROM ~ WINDOW w AS (ORDER BY @) QUALIFY @", "VALUES (@), (@, @)", "SELECT * FROM ~ FETCH NEXT 2 ROWS ONLY"), depth)
}

func (g sqlGen) table(depth int) string {
	if depth <= 0 {
		return g.pick("t", "c.d.t AS u", "t /*+ OPTIONS('a'='b', c) */ x", "t AS u (a, b)", "t FOR SYSTEM_TIME AS OF x.p AS y")
	}
	return g.template(g.pick("~", "(#)", "(#) AS s (a, b)", "((#) UNION (#)) s", "~, ~", "~ JOIN (~) ON @", "(~) LEFT JOIN t USING (a, b)",
		"~ CROSS JOIN t", "(~ NATURAL FULL JOIN t)", "(~, ~) JOIN t ON @", "t, LATERAL TABLE(F(@)) AS l (x)", "LATERAL (#) l",
		"t CROSS JOIN UNNEST(@) WITH ORDINALITY AS u (x, i)", "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) w",
		"HOP(DATA => TABLE (#), TIMECOL => DESCRIPTOR(ts), SLIDE => @, SIZE => @)",
		"TABLE(SESSION(TABLE t PARTITION BY a, b, DESCRIPTOR(ts), @))", "TABLE(F(TABLE t PARTITION BY (a, b) ORDER BY c DESC, @))"), depth)
}

// shape is the tree without its positions.
func shape(n any) string {
	lines := strings.Split(dump(n), "\n")
	for i, line := range lines {
		lines[i] = position.ReplaceAllString(line, "")
	}
	return strings.Join(lines, "\n")
}

// TestRandom prints what random SQL parses to and parses that: the two trees
// must be the same up to positions and to how things were written.
func TestRandom(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := sqlGen{rt}
		src := g.query(rapid.IntRange(1, 6).Draw(rt, "depth"))
		q, err := ParseQuery("", src)
		if err != nil {
			rt.Skip() // the templates do not mind precedence: -NOT a
		}
		out := q.String()
		again, err := ParseQuery("", out)
		if err != nil {
			rt.Fatalf("%s\nprinted as\n%s\n%v", src, out, err)
		}
		if got := again.String(); got != out {
			rt.Fatalf("%s\nprinted as\n%s\nthen as\n%s", src, out, got)
		}
		if a, b := shape(q), shape(again); a != b {
			rt.Fatalf("%s\nprinted as\n%s\nis another tree:\n%s\n---\n%s", src, out, a, b)
		}
	})
}

// position matches what differs between a source and its printed form though
// the trees are the same.
var position = regexp.MustCompile(` \d+:\d+ \[\d+,\d+\)|: \d+:\d+ \[\d+,\d+\)| (Quoted|HasPrecision|HasScale)=true`)
