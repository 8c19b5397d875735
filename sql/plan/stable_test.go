package plan_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/sql/plan"
)

func sensorsSQL(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/sensors.sql")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func mustPlan(t *testing.T, script string) *plan.Result {
	t.Helper()
	res, err := plan.Plan(script, plan.Options{File: "job.sql", Connectors: connectors()})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// idsOf lists the ids of stateful operators and sources, by name.
func idsOf(j *graph.JobGraph) []string {
	var out []string
	for _, v := range j.Vertices {
		for _, n := range v.Ops {
			switch n.Kind {
			case graph.KindSource, graph.KindWindow, graph.KindGroup:
				out = append(out, n.Name+" "+n.ID)
			default:
			}
		}
	}
	slices.Sort(out)
	return out
}

const stableInsert = `INSERT INTO averages SELECT sensor, window_start, window_end, AVG(temp), COUNT(*)
FROM TABLE(TUMBLE(TABLE sensors, DESCRIPTOR(ts), INTERVAL '10' SECOND)) WHERE hum > 3 GROUP BY sensor, window_start, window_end;`

// TestIDsAreStable edits a script in ways that do not concern an operator: its id must stay, since its state is found by it.
func TestIDsAreStable(t *testing.T) {
	base := sensorsSQL(t)
	want := idsOf(mustPlan(t, base+stableInsert).Graph)
	for name, script := range map[string]string{
		"comments and lines": "-- a comment\n\n" + base + "\n\n/* more */" + strings.ReplaceAll(stableInsert, " ", "\n "),
		"through a view": base + `CREATE VIEW v AS SELECT temp AS t, sensor AS s, ts, hum + 0 AS unused, hum FROM sensors WHERE hum > 3;
			INSERT INTO averages SELECT s, window_start, window_end, AVG(t), COUNT(*) FROM TABLE(TUMBLE(TABLE v, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY s, window_start, window_end;`,
		"other output": base + strings.Replace(stableInsert, "AVG(temp), COUNT(*)", "AVG(temp) * 2, COUNT(*) + 1", 1),
		"watermark":    strings.Replace(base, "INTERVAL '5' SECOND", "INTERVAL '6' SECOND", 1) + stableInsert,
		"password":     strings.Replace(base, "hunter2", "hunter3", 1) + stableInsert,
	} {
		if got := idsOf(mustPlan(t, script).Graph); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, want)
		}
	}
	// Another INSERT over the same source adds operators and changes none.
	more := idsOf(mustPlan(t, base+"INSERT INTO alerts SELECT room, MAX(hum) FROM sensors GROUP BY room, TUMBLE(ts, INTERVAL '1' DAY);"+stableInsert).Graph)
	for _, id := range want {
		if !slices.Contains(more, id) {
			t.Errorf("%s is lost by another INSERT: %q", id, more)
		}
	}
	for name, script := range map[string]string{
		"size":   strings.Replace(stableInsert, "'10' SECOND", "'20' SECOND", 1),
		"filter": strings.Replace(stableInsert, "hum > 3", "hum > 4", 1),
		"agg":    strings.Replace(stableInsert, "AVG(temp)", "MAX(temp)", 1),
	} {
		got := idsOf(mustPlan(t, base+script).Graph)
		same := 0
		for _, id := range got {
			if slices.Contains(want, id) {
				same++
			}
		}
		if same != 1 { // the source
			t.Errorf("%s: %d operators kept their id: %q, before %q", name, same, got, want)
		}
	}
}

// TestPlansAreDeterministic plans the same script again: maps must not show.
func TestPlansAreDeterministic(t *testing.T) {
	script := sensorsSQL(t) + stableInsert + "INSERT INTO latest SELECT sensor, MAX(temp), COUNT(*) FROM sensors GROUP BY sensor;"
	want := mustPlan(t, script)
	for range 20 {
		got := mustPlan(t, script)
		if got.Physical != want.Physical || got.Logical != want.Logical {
			t.Fatalf("got\n%s\nwant\n%s", got.Physical, want.Physical)
		}
	}
}

// TestPlansHoldNoSecrets looks for the passwords of the script.
func TestPlansHoldNoSecrets(t *testing.T) {
	script := sensorsSQL(t) + `INSERT INTO alerts /*+ OPTIONS('password' = 'hunter2') */ SELECT sensor, MAX(temp) FROM sensors /*+ OPTIONS('url' = 'tcp://u:hunter2@h/x') */
		GROUP BY sensor, TUMBLE(ts, INTERVAL '1' MINUTE); INSERT INTO latest SELECT sensor, MAX(temp), COUNT(*) FROM sensors GROUP BY sensor;`
	res := mustPlan(t, script)
	for _, s := range []string{res.Logical, res.Physical, strings.Join(res.Warnings, "\n")} {
		if strings.Contains(s, "hunter2") {
			t.Errorf("the password shows in\n%s", s)
		}
	}
	for _, v := range res.Graph.Vertices {
		for _, n := range v.Ops {
			if strings.Contains(n.SQL, "hunter2") || strings.Contains(n.Name, "hunter2") {
				t.Errorf("the password shows in %s: %s", n.Name, n.SQL)
			}
		}
	}
}
