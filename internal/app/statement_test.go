package app

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bramble-stream/bramble/engine/rest"
)

func TestReadStatement(t *testing.T) {
	kept := []string{
		"CREATE TABLE a (x INT COMMENT 'it', ts TIMESTAMP(3), y AS x + 1, WATERMARK FOR ts AS ts, PRIMARY KEY (x) NOT ENFORCED)\n WITH ('connector' = 'datagen')",
		"CREATE TABLE b (x INT) WITH ('connector' = 'blackhole')", "CREATE VIEW v AS SELECT x FROM a",
	}
	for _, c := range []struct {
		text string
		does rest.StatementDoes
		// rows are those of an answer, or fails is in the error.
		rows, fails string
	}{
		{"SELECT x FROM a;", rest.StatementQuery, "", ""},
		{"INSERT INTO b SELECT x FROM a", rest.StatementJob, "", ""},
		{"CREATE VIEW w AS SELECT x FROM a", rest.StatementKeep, "", ""},
		{"SET 'parallelism.default' = '2'", rest.StatementSet, "", ""},
		{"SET 'sql-client.execution.result-mode' = 'tableau'", rest.StatementSet, "", ""},
		{"SET 'paralelism.default' = '2'", 0, "", "statement:1:5:"},
		{"SET;", rest.StatementSettings, "", ""},
		{"RESET", rest.StatementReset, "", ""},
		{"EXPLAIN SELECT x FROM a", rest.StatementAnswer, "*", ""},
		{"SELECT\n y2 FROM a", 0, "", `statement:2:2: column "y2" does not exist`},
		{"SELEC 1", 0, "", "statement:1:1: unknown statement"},
		{"SELECT 1; SELECT 2", 0, "", "one statement at a time"},
		{"", 0, "", "one statement at a time"},
		{"EXPLAIN\nSELECT z FROM a", 0, "", "statement:2:8:"},
		{"SHOW TABLES", rest.StatementAnswer, "[table name STRING] [[a] [b] [v]]", ""},
		{"SHOW TABLES FROM default_catalog.default_database NOT LIKE '_'", rest.StatementAnswer, "[table name STRING] []", ""},
		{"SHOW TABLES FROM nix", 0, "", "statement:1:18: there is no database nix: a session has the one database default_catalog.default_database"},
		{"SHOW VIEWS", rest.StatementAnswer, "[view name STRING] [[v]]", ""},
		{"SHOW CATALOGS", rest.StatementAnswer, "[catalog name STRING] [[default_catalog]]", ""},
		{"SHOW DATABASES", rest.StatementAnswer, "[database name STRING] [[default_database]]", ""},
		{"SHOW CURRENT CATALOG", rest.StatementAnswer, "[current catalog name STRING] [[default_catalog]]", ""},
		{"SHOW CURRENT DATABASE", rest.StatementAnswer, "[current database name STRING] [[default_database]]", ""},
		{"SHOW FUNCTIONS ILIKE 'AB_'", rest.StatementAnswer, "[function name STRING] [[abs]]", ""},
		{"SHOW FUNCTIONS LIKE 'cou%t'", rest.StatementAnswer, "[function name STRING] [[count]]", ""},
		{"SHOW USER FUNCTIONS", rest.StatementAnswer, "[function name STRING] []", ""},
		{"SHOW FULL MODULES", rest.StatementAnswer, "[module name STRING used BOOLEAN] [[core true]]", ""},
		{"SHOW JARS", rest.StatementAnswer, "[jars STRING] []", ""},
		{"SHOW JOBS", rest.StatementShowJobs, "", ""},
		{
			"DESCRIBE a", rest.StatementAnswer, "[name STRING type STRING null BOOLEAN key STRING extras STRING watermark STRING comment STRING] " +
				"[[x INT false PRI(x) <nil> <nil> it] [ts TIMESTAMP(3) *ROWTIME* true <nil> <nil> ts <nil>] [y INT true <nil> AS x + 1 <nil> <nil>]]", "",
		},
		{"DESC default_database.v", rest.StatementAnswer, "[name STRING type STRING null BOOLEAN key STRING extras STRING watermark STRING] [[x INT false <nil> <nil> <nil>]]", ""},
		{"SHOW COLUMNS FROM a LIKE 't%'", rest.StatementAnswer, "[name STRING type STRING null BOOLEAN key STRING extras STRING watermark STRING comment STRING] [[ts TIMESTAMP(3) *ROWTIME* true <nil> <nil> ts <nil>]]", ""},
		{"DESCRIBE other.a", 0, "", "statement:1:10: there is no table or view other.a"},
		{"DESCRIBE JOB 'ab'", rest.StatementDescribeJob, "", ""},
		{"SHOW CREATE TABLE b", rest.StatementAnswer, "[result STRING] [[CREATE TABLE default_catalog.default_database.b (\n  x INT\n)\nWITH (\n  'connector' = 'blackhole'\n)\n]]", ""},
		{"SHOW CREATE VIEW v", rest.StatementAnswer, "[result STRING] [[CREATE VIEW default_catalog.default_database.v (\n  x\n)\nAS SELECT x FROM a\n]]", ""},
		{"SHOW CREATE VIEW b", 0, "", "b is a table: SHOW CREATE TABLE shows it"},
		{"SHOW CREATE TABLE v", 0, "", "v is a view: SHOW CREATE VIEW shows it"},
		{"USE CATALOG default_catalog", rest.StatementNothing, "", ""},
		{"USE default_database;", rest.StatementNothing, "", ""},
		{"USE default_catalog.default_database", rest.StatementNothing, "", ""},
		{"USE CATALOG nix", 0, "", "there is no catalog nix"},
		{"USE nix", 0, "", "there is no database nix"},
		{"STOP JOB 'ab' WITH SAVEPOINT", rest.StatementStopJob, "", ""},
		{"STOP JOB 'ab' WITH DRAIN", 0, "", "WITH DRAIN needs WITH SAVEPOINT"},
	} {
		s, err := readStatement(kept, c.text)
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%q: got %v, want %s", c.text, err, c.fails)
			}
			continue
		}
		if err != nil || s.Does != c.does {
			t.Errorf("%q: got %+v, %v", c.text, s, err)
			continue
		}
		if does := s.Does; (does == rest.StatementQuery || does == rest.StatementJob || does == rest.StatementKeep) && !strings.HasPrefix(s.Script, kept[0]) {
			t.Errorf("%q: script %q", c.text, s.Script)
		}
		var columns []string
		for _, k := range s.Columns {
			columns = append(columns, k.Name+" "+k.Type)
		}
		if got := fmt.Sprint(columns, " ", s.Rows); c.rows != "*" && c.rows != "" && got != c.rows || c.rows == "*" && len(s.Rows) == 0 {
			t.Errorf("%q:\ngot  %s\nwant %s", c.text, got, c.rows)
		}
	}
}

func TestLike(t *testing.T) {
	for _, c := range []struct {
		name, pattern string
		want          bool
	}{
		{"", "", true},
		{"", "%", true},
		{"a", "", false},
		{"abc", "a%", true},
		{"abc", "%c", true},
		{"abc", "%b%", true},
		{"abc", "a_c", true},
		{"abc", "ab", false},
		{"a%c", `a\%c`, true},
		{"abc", `a\%c`, false},
		{"äöü", "_ö_", true},
		{strings.Repeat("a", 100), strings.Repeat("%a", 60) + "b", false},
	} {
		if got := like([]rune(c.name), []rune(c.pattern)); got != c.want {
			t.Errorf("%q like %q: %t", c.name, c.pattern, got)
		}
	}
}
