package plan_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/sql/plan"
)

// TestPlans runs testdata. Commands: plan prints the physical plan, logical the logical one, graph the graph's specs. Arguments:
// p=N, D=(key,value), name=..., with=FILE puts testdata/FILE.sql before the script.
func TestPlans(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.HasSuffix(path, ".sql") {
			return
		}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return runCase(t, d) })
	})
}

func runCase(t *testing.T, d *datadriven.TestData) string {
	o := plan.Options{File: "job.sql", Connectors: connectors(), Config: map[string]string{}}
	script := d.Input
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "p":
			o.Parallelism, _ = strconv.Atoi(a.Vals[0])
		case "D":
			o.Config[a.Vals[0]] = a.Vals[1]
		case "name":
			o.Name = a.Vals[0]
		case "with":
			pre, err := os.ReadFile(filepath.Join("testdata", a.Vals[0]+".sql"))
			if err != nil {
				t.Fatal(err)
			}
			// On one line, so that the positions in the case are those in its text, one line further down.
			script = strings.Join(strings.Fields(string(pre)), " ") + "\n" + script
		default:
			t.Fatalf("%s: unknown argument %q", d.Pos, a.Key)
		}
	}
	res, err := plan.Plan(script, o)
	if err != nil {
		return "error:\n" + err.Error() + "\n"
	}
	checkGraph(t, d, res.Graph)
	out := ""
	switch d.Cmd {
	case "plan":
		out = res.Physical
	case "logical":
		out = res.Logical
	case "graph":
		out = specs(res.Graph)
	case "ok":
	default:
		t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	}
	for _, w := range res.Warnings {
		out += "warning: " + w + "\n"
	}
	return out
}

func specs(j *graph.JobGraph) string {
	var b strings.Builder
	for i, v := range j.Vertices {
		for k, n := range v.Ops {
			b.WriteString(strconv.Itoa(i) + "." + strconv.Itoa(k) + " " + n.Name + " in=" + strconv.Itoa(n.In) + " tag=" + n.Tag + "\n  " + string(n.Spec) + "\n")
			if n.Out != nil {
				b.WriteString("  out " + n.Out.String() + "\n")
			}
		}
	}
	return b.String()
}

// checkGraph checks what must hold of every graph.
func checkGraph(t *testing.T, d *datadriven.TestData, j *graph.JobGraph) {
	t.Helper()
	raw, err := json.Marshal(j)
	if err != nil {
		t.Fatalf("%s: %v", d.Pos, err)
	}
	var back graph.JobGraph
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatalf("%s: %v", d.Pos, err)
	}
	if again, _ := json.Marshal(&back); string(again) != string(raw) {
		t.Errorf("%s: the graph changes on its way through JSON", d.Pos)
	}
	if err := validate(j); err != nil {
		t.Errorf("%s: %v", d.Pos, err)
	}
}
