package complete

import (
	"slices"
	"strings"
)

// The words that may come next, by where.
var (
	statements = []string{
		"CREATE TABLE", "CREATE TEMPORARY TABLE", "CREATE VIEW", "CREATE TEMPORARY VIEW", "INSERT INTO", "SELECT", "SET", "EXECUTE STATEMENT SET", "BEGIN", "END", "WITH", "EXPLAIN",
	}
	clauses = []string{
		"FROM", "WHERE", "GROUP BY", "HAVING", "ORDER BY", "LIMIT", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "INNER JOIN", "CROSS JOIN", "ON", "AS", "AND", "OR", "NOT",
		"CASE", "WHEN", "THEN", "ELSE", "END", "IN", "BETWEEN", "LIKE", "IS NULL", "IS NOT NULL", "DISTINCT", "UNION ALL", "FILTER", "OVER", "PARTITION BY", "INTERVAL",
		"CAST", "TRUE", "FALSE", "NULL", "TABLE", "DESCRIPTOR", "FOR SYSTEM_TIME AS OF", "ASC", "DESC", "SELECT", "VALUES", "SECOND", "MINUTE", "HOUR", "DAY",
	}
	types = []string{
		"STRING", "BIGINT", "INT", "DOUBLE", "FLOAT", "BOOLEAN", "DECIMAL", "TIMESTAMP(3)", "TIMESTAMP_LTZ(3)", "DATE", "TIME", "SMALLINT", "TINYINT", "BYTES", "VARCHAR",
		"ARRAY", "MAP", "ROW",
	}
	columnWords = []string{"NOT NULL", "PRIMARY KEY", "NOT ENFORCED", "METADATA", "FROM", "VIRTUAL", "WATERMARK FOR", "AS", "INTERVAL", "COMMENT"}
	windows     = []string{"TUMBLE", "HOP", "CUMULATE", "SESSION"}
)

func keywords(lists ...[]string) []Item {
	var items []Item
	for _, l := range lists {
		for _, k := range l {
			items = append(items, Item{k, Keyword, "", k})
		}
	}
	return items
}

func calls(names []string, detail string) []Item {
	var items []Item
	for _, n := range names {
		items = append(items, Item{n, Function, detail, n + "("})
	}
	return items
}

// code proposes for a place outside strings.
func (s *site) code() []Item {
	if s.last(1).is(".") {
		return s.columnsOf(s.last(2).name())
	}
	if len(s.before) == 0 {
		return keywords(statements)
	}
	if items, ok := s.afterWord(s.last(1).upper()); ok {
		return items
	}
	opener, from := s.within()
	switch {
	case opener == "WITH" || opener == "OPTIONS":
		if s.last(1).is("=") {
			return nil
		}
		return s.options(from, func(key string) string { return "'" + key + "' = '" })
	case opener == "TABLE" && s.last(1).is("("):
		return calls(windows, "windows")
	case opener == "DESCRIPTOR":
		return s.columns()
	case slices.Contains(windows, opener) && s.last(1).is("("):
		return keywords([]string{"TABLE", "DATA =>"})
	}
	if s.first() == "CREATE" && !s.has("SELECT") {
		return s.createTable(from)
	}
	return slices.Concat(s.columns(), calls(s.catalog.Aggregates, "aggregate"), calls(s.catalog.Functions, ""), s.tableItems(), keywords(clauses))
}

// afterWord proposes where a word leaves no doubt.
func (s *site) afterWord(w string) ([]Item, bool) {
	switch w {
	case "FROM", "JOIN":
		return append(s.tableItems(), append(keywords([]string{"TABLE", "UNNEST", "LATERAL TABLE"}), calls(windows, "windows")...)...), true
	case "INTO":
		return s.tableItems(), true
	case "TABLE":
		if s.first() == "CREATE" && !s.has("SELECT") {
			return keywords([]string{"IF NOT EXISTS"}), true
		}
		return append(s.tableItems(), calls(windows, "windows")...), true
	case "BEGIN":
		return keywords([]string{"INSERT INTO"}), true
	case "CREATE":
		return keywords([]string{"TABLE", "TEMPORARY TABLE", "VIEW", "TEMPORARY VIEW", "FUNCTION"}), true
	case "INSERT":
		return keywords([]string{"INTO"}), true
	case "SET":
		if s.first() == "SET" {
			var items []Item
			for _, i := range settings(s.catalog.Settings) {
				i.Insert = "'" + i.Label + "' = '"
				items = append(items, i)
			}
			return items, true
		}
		return keywords([]string{"BEGIN"}), true
	case "GROUP", "ORDER", "PARTITION":
		return keywords([]string{"BY"}), true
	case "AS":
		if s.first() == "CREATE" && s.has("VIEW") && !s.has("SELECT") {
			return keywords([]string{"SELECT", "WITH"}), true
		}
	}
	return nil, false
}

// createTable proposes within and behind the columns of CREATE TABLE. from is the token that opens them, -1 behind them.
func (s *site) createTable(from int) []Item {
	if from < 0 {
		if s.last(1).is(")") {
			return keywords([]string{"WITH (", "PARTITIONED BY", "COMMENT", "LIKE"})
		}
		return nil
	}
	if before := s.last(1); before.is("(") || before.is(",") {
		return keywords([]string{"WATERMARK FOR", "PRIMARY KEY"})
	} else if prev := s.last(2); (before.kind == word || before.kind == quoted) && (prev.is("(") || prev.is(",")) && before.upper() != "WATERMARK" {
		return keywords(types, []string{"AS"})
	}
	return slices.Concat(keywords(columnWords), s.ownColumns(), calls(s.catalog.Functions, ""))
}

// ownColumns are those of the table that is being made.
func (s *site) ownColumns() []Item {
	var items []Item
	for _, t := range tablesOf(s.before) {
		items = append(items, t.items()...)
	}
	return items
}

func (s *site) has(w string) bool {
	return slices.ContainsFunc(s.before, func(t token) bool { return t.upper() == w })
}

func (s *site) tableItems() []Item {
	var items []Item
	for _, t := range s.tables {
		items = append(items, Item{t.name, Table, t.what, t.written})
	}
	return items
}

// names proposes within back-ticks.
func (s *site) names() []Item {
	items := append(s.columns(), s.tableItems()...)
	for i := range items {
		items[i].Insert = items[i].Label
	}
	return items
}

// columns are those of the tables that the statement names, of all tables while it names none.
func (s *site) columns() []Item {
	var items []Item
	for _, t := range s.tables {
		if slices.ContainsFunc(s.words, func(w token) bool { return w.kind <= quoted && strings.EqualFold(w.name(), t.name) }) {
			items = append(items, t.items()...)
		}
	}
	if items == nil {
		for _, t := range s.tables {
			items = append(items, t.items()...)
		}
	}
	if s.hasWindow() {
		for _, c := range []string{"window_start", "window_end", "window_time"} {
			items = append(items, Item{c, Column, "of the window", c})
		}
	}
	return items
}

func (s *site) hasWindow() bool {
	return slices.ContainsFunc(s.words, func(t token) bool { return slices.Contains(windows, t.upper()) })
}

// columnsOf are those of a table or of what the statement calls so.
func (s *site) columnsOf(name string) []Item {
	for _, t := range s.tables {
		if strings.EqualFold(t.name, name) {
			return t.items()
		}
	}
	// "table AS name" or "table name".
	for i, w := range s.words {
		if w.kind > quoted || !strings.EqualFold(w.name(), name) || i == 0 {
			continue
		}
		k := i - 1
		if s.words[k].upper() == "AS" && k > 0 {
			k--
		}
		for _, t := range s.tables {
			if strings.EqualFold(t.name, s.words[k].name()) {
				return t.items()
			}
		}
	}
	return s.columns()
}
