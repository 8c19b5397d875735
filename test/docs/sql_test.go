package docs

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/connectors/all"
	"github.com/bramble-stream/bramble/connectors/print"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/task"
	"github.com/bramble-stream/bramble/internal/app"
	"github.com/bramble-stream/bramble/sql/parse"
	"github.com/bramble-stream/bramble/sql/plan"
)

var rewrite = flag.Bool("rewrite", false, "write the samples of the pages as they come out")

// fileName is what samples call the script in errors.
const fileName = "job.sql"

// script puts the preludes before the text. An error's lines count from the text's first one.
func script(t *testing.T, b *block) (text string, before int) {
	t.Helper()
	preludes, ok := b.notes["prelude"]
	if !ok && b.page.path == "README.md" && strings.HasPrefix(b.text, "INSERT") {
		preludes = "sensors"
	}
	for name := range strings.SplitSeq(preludes, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if name == "sensors" { // the tables of the main example
			tables, _, _ := strings.Cut(readText(t, filepath.Join(root, "examples/sensors.sql")), "EXECUTE STATEMENT SET")
			text += tables
			continue
		}
		text += readText(t, filepath.Join(root, "test/docs/testdata", name+".sql"))
	}
	return text + b.text, strings.Count(text, "\n")
}

// substituted replaces ${NAME:-default} by the values, else by the defaults.
func substituted(t *testing.T, text string, values map[string]string) string {
	t.Helper()
	out, err := parse.Substitute(text, func(name string) (string, bool) { v, ok := values[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func planned(text string, connectors map[string]*op.Connector) (*plan.Result, error) {
	return plan.Plan(text, plan.Options{File: fileName, Connectors: connectors})
}

// TestSQL plans, runs and refuses the blocks of all pages as their comments say.
func TestSQL(t *testing.T) {
	for _, p := range pages(t, "README.md", "docs", "CONTRIBUTING.md") {
		blocks := p.blocks(t)
		for i, b := range blocks {
			if _, ok := b.notes["fragment"]; ok || b.lang != "sql" {
				continue
			}
			t.Run(fmt.Sprintf("%s:%d", p.path, b.line), func(t *testing.T) {
				var sample *block
				if i+1 < len(blocks) && blocks[i+1].lang == "" {
					sample = blocks[i+1]
				}
				check(t, b, sample)
			})
		}
	}
}

func check(t *testing.T, b, sample *block) {
	text, before := script(t, b)
	text = substituted(t, text, nil)
	_, runs := b.notes["run"]
	_, refused := b.notes["refused"]
	if (runs || refused) && sample == nil {
		t.Fatal("what it yields is to follow in a block without a language")
	}
	if runs {
		compare(t, sample, run(t, text))
		return
	}
	_, err := planned(text, all.Connectors())
	if refused {
		if err == nil {
			t.Fatal("it is not refused")
		}
		compare(t, sample, messages(t, err, before))
		return
	}
	if err != nil && onlyTables(text, err) {
		err = nil
	}
	if err != nil {
		t.Error(err)
	}
}

// onlyTables reports a script of declarations, which need no INSERT to be shown.
func onlyTables(text string, err error) bool {
	var list parse.ErrorList
	return errors.As(err, &list) && len(list) == 1 && strings.HasPrefix(list[0].Msg, "nothing to run") && !strings.Contains(text, "INSERT INTO")
}

// messages are errors as `bramble run` prints them, with lines of the block.
func messages(t *testing.T, err error, before int) string {
	t.Helper()
	var list parse.ErrorList
	if !errors.As(err, &list) {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, e := range list {
		shown := *e
		shown.Line -= before
		fmt.Fprintln(&out, shown.Error())
	}
	return out.String()
}

// compare compares a sample with what came out; with -rewrite the page gets it.
func compare(t *testing.T, sample *block, got string) {
	t.Helper()
	if got == sample.text {
		return
	}
	if !*rewrite {
		t.Errorf("%s:%d says\n%sbut it is\n%s", sample.page.path, sample.line, sample.text, got)
		return
	}
	path := filepath.Join(root, sample.page.path)
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fence := "```\n"
	// The first block with that text behind an opening fence; samples that differ are looked at one by one.
	out := strings.Replace(string(page), "\n"+fence+sample.text+fence, "\n"+fence+got+fence, 1)
	if err := os.WriteFile(path, []byte(out), 0o644); err != nil { //nolint:gosec // a page for all to read
		t.Fatal(err)
	}
}

// run runs a script that ends by itself and returns what it prints.
func run(t *testing.T, text string) string {
	t.Helper()
	t.Chdir(root)
	var out bytes.Buffer
	connectors := all.Connectors()
	connectors["print"] = print.ConnectorTo(&locked{w: &out})
	p, err := planned(text, connectors)
	if err != nil {
		t.Fatal(err)
	}
	if printing(p.Graph) > 1 {
		t.Fatal("several statements print in any order: show one a block")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = task.RunLocal(ctx, task.LocalConfig{
		JobID: "00000000000000000000000000000001", Graph: p.Graph, Builders: app.Builders(connectors), Location: time.UTC, Rand: rand.Reader,
		Log: slog.New(slog.DiscardHandler), MemoryBytes: 64 << 20,
		Splits: func(ctx context.Context, n *graph.Node, parallelism int) ([]op.Split, error) {
			var spec graph.SourceSpec
			if err := json.Unmarshal(n.Spec, &spec); err != nil {
				return nil, err
			}
			return connectors[spec.Table.Connector].Splits(ctx, &spec.Table, parallelism)
		},
		OpenState: func(info op.TaskInfo, merge state.MergeFunc) (state.Store, error) {
			return app.OpenState(t.TempDir(), info, 8<<20, merge)
		},
	})
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	return out.String()
}

// locked is a writer for several tasks.
type locked struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// printing counts the sinks whose rows are shown.
func printing(g *graph.JobGraph) int {
	n := 0
	for _, v := range g.Vertices {
		for _, o := range v.Ops {
			var spec graph.SinkSpec
			if o.Kind == graph.KindSink && json.Unmarshal(o.Spec, &spec) == nil && spec.Table.Connector == "print" {
				n++
			}
		}
	}
	return n
}
