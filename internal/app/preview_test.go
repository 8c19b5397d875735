package app

import (
	"strings"
	"testing"

	"github.com/bramble-stream/bramble/engine/jobmanager"
)

const previewTables = `CREATE TABLE a (x INT, y STRING) WITH ('connector' = 'datagen', 'number-of-rows' = '3');
CREATE TABLE b (x INT) WITH ('connector' = 'blackhole');
`

func TestPreviewedKeepsTheLastQuery(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"select", "SELECT 1;\nINSERT INTO b SELECT x FROM a /* é */;\nSELECT x FROM a;", "        ;\n" + strings.Repeat(" ", 30) + "/* é */;\nSELECT x FROM a;"},
		{"insert", "INSERT INTO b SELECT x FROM a", "              SELECT x FROM a"},
		{"insert with columns", "INSERT INTO b (x) SELECT x FROM a", "                  SELECT x FROM a"},
		{"view", "CREATE VIEW v AS SELECT x FROM a; -- done", "CREATE VIEW v AS SELECT x FROM a; -- done\n;\nSELECT * FROM v"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := previewed("s.sql", c.script)
			if err != nil || strings.TrimRight(got, " ") != c.want {
				t.Errorf("got %q, %v\nwant %q", got, err, c.want)
			}
			p, err := Planner(nil)(jobmanager.PlanRequest{File: "s.sql", Script: previewTables + c.script, Preview: true, Name: "preview"})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(p.Physical, "preview") || p.Graph.Name != "preview" {
				t.Errorf("planned %s:\n%s", p.Graph.Name, p.Physical)
			}
		})
	}
}

func TestPreviewedRefuses(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{"", "1:1: the script is empty"},
		{"SET 'a' = 'b';", "1:1: there is no query at the end"},
		{"SELECT 1;\nEXECUTE STATEMENT SET BEGIN INSERT INTO b SELECT x FROM a; END", "2:1: there is no query at the end"},
		{"SELECT 1;\n SELECT z FROM a", `4:9: column "z" does not exist`},
	} {
		_, err := Planner(nil)(jobmanager.PlanRequest{File: "s.sql", Script: previewTables + c.script, Preview: true})
		if c.script == "" {
			_, err = Planner(nil)(jobmanager.PlanRequest{File: "s.sql", Preview: true})
		} else if !strings.HasPrefix(c.want, "4") {
			_, err = previewed("s.sql", c.script)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.script, err, c.want)
		}
	}
}
