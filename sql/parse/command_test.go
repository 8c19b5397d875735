package parse

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseCommand(t *testing.T) {
	for src, want := range map[string]string{
		"SHOW CATALOGS":                            "kind 0",
		"show current catalog;":                    "kind 1",
		"SHOW DATABASES":                           "kind 2",
		"SHOW CURRENT DATABASE":                    "kind 3",
		"SHOW TABLES":                              "kind 4",
		"SHOW TABLES FROM `a b`.c NOT LIKE 't%'":   "kind 4 name `a b`.`c` not like t%",
		"SHOW VIEWS ILIKE 'V_'":                    "kind 5 ilike V_",
		"SHOW COLUMNS IN t":                        "kind 6 name `t`",
		"SHOW CREATE TABLE a.b.c":                  "kind 7 name `a`.`b`.`c`",
		"SHOW CREATE VIEW v":                       "kind 8 name `v`",
		"SHOW USER FUNCTIONS":                      "kind 9 user",
		"SHOW FULL MODULES":                        "kind 10 full",
		"SHOW JARS":                                "kind 11",
		"-- what runs?\nSHOW JOBS":                 "kind 12",
		"DESC EXTENDED t":                          "kind 13 name `t`",
		"DESCRIBE job":                             "kind 13 name `job`",
		"DESCRIBE JOB 'x'":                         "kind 14 job x",
		"USE CATALOG c":                            "kind 15 name `c`",
		"USE d":                                    "kind 16 name `d`",
		"STOP JOB 'x' WITH SAVEPOINT WITH DRAIN;;": "kind 17 job x savepoint drain",
		"SELECT 1":                                 "none",
		"":                                         "none",
		"SHOW TABELS":                              `<input>:1:6: there is no SHOW TABELS; did you mean "TABLES"?`,
		"SHOW":                                     "<input>:1:5: ",
		"SHOW TABLES x":                            `<input>:1:13: expected the end of the statement, found "x"`,
		"USE":                                      "<input>:1:4: expected a name",
		"STOP JOB x":                               "<input>:1:10: expected the job's ID in quotes",
		"STOP JOB 'x' WITH\n WATER":                "<input>:2:2: expected SAVEPOINT or DRAIN",
		"SHOW TABLES NOT 'x'":                      "<input>:1:17: expected LIKE",
		"SHOW CREATE FUNCTION f":                   "<input>:1:13: expected TABLE or VIEW",
		"DESCRIBE t; SELECT 1":                     "<input>:1:13: expected the end of the statement",
		"SHOW TABLES LIKE " + strings.Repeat("'x", 3) + "' -- '": "",
	} {
		c, ok, err := ParseCommand("", src)
		got := "none"
		if ok && err == nil {
			got = fmt.Sprint("kind ", c.Kind)
			if len(c.Name.Parts) > 0 {
				got += " name"
				for i, p := range c.Name.Parts {
					got += []string{" ", ".", "."}[i] + "`" + p.Name + "`"
				}
			}
			if c.Like != nil {
				got += choose(c.NotLike, " not", "") + choose(c.AnyCase, " ilike ", " like ") + c.Like.Value
			}
			got += choose(c.User, " user", "") + choose(c.Full, " full", "")
			if c.Job.Value != "" {
				got += " job " + c.Job.Value + choose(c.Savepoint, " savepoint", "") + choose(c.Drain, " drain", "")
			}
		} else if err != nil {
			got = err.Error()
		}
		if got != want && (err == nil || !strings.HasPrefix(got, want)) {
			t.Errorf("%s: got %s, want %s", src, got, want)
		}
	}
}
