// Package golden runs SQL files over bounded inputs and compares what they yield with golden files: at several parallelisms, batch
// sizes and state budgets, the result must be the same. Run with -rewrite to write the golden files, then read the difference.
package golden

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/connectors/all"
	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/task"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/app"
	"github.com/bramble-stream/bramble/sql/plan"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files")

// variant is one way of running a job.
type variant struct {
	parallelism, batch int
	memory             int64
	// faults are for runs with checkpoints.
	faults *faults
}

func (v variant) String() string {
	s := fmt.Sprintf("p=%d,batch=%d,memory=%dk", v.parallelism, v.batch, v.memory>>10)
	if v.faults != nil {
		s += v.faults.String()
	}
	return s
}

// variants returns what to try; the first one writes the golden files.
func variants() []variant {
	const roomy, tight = 64 << 20, 64 << 10
	if testing.Short() {
		return []variant{
			{1, vec.MaxRows, roomy, nil},
			{3, 7, roomy, nil},
			{2, 100, tight, nil},
			{1, 20, roomy, &faults{every: 3, kill: atCompletion, restoreAt: 3}},
			{3, 50, tight, &faults{every: 2, kill: later, restoreAt: 2}},
		}
	}
	return []variant{
		{1, vec.MaxRows, roomy, nil},
		{2, vec.MaxRows, roomy, nil},
		{3, vec.MaxRows, roomy, nil},
		{4, vec.MaxRows, roomy, nil},
		{1, 1, roomy, nil},
		{3, 7, roomy, nil},
		{4, 100, tight, nil},
		{1, vec.MaxRows, tight, nil},
		{2, 1, tight, nil},
		// Checkpoints alone; killed before anyone hears that a checkpoint is complete, killed later; stopped with a savepoint.
		{2, 10, roomy, &faults{every: 2}},
		{1, 20, roomy, &faults{every: 3, kill: atCompletion, restoreAt: 1}},
		{1, 20, tight, &faults{every: 3, kill: atCompletion, restoreAt: 3}},
		{2, 20, roomy, &faults{every: 2, kill: later, restoreAt: 2}},
		{3, 50, tight, &faults{every: 2, kill: later, restoreAt: 2}},
		{3, 10, roomy, &faults{every: 5, kill: atCompletion, restoreAt: 2}},
		{1, 30, roomy, &faults{every: 2, kill: bySavepoint, restoreAt: 3}},
		{3, 30, tight, &faults{every: 2, kill: bySavepoint, restoreAt: 2}},
	}
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no SQL files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".sql"), func(t *testing.T) {
			golden := strings.TrimSuffix(file, ".sql") + ".golden"
			for i, v := range variants() {
				got := run(t, file, v)
				if *rewrite && i == 0 {
					if err := os.WriteFile(golden, []byte(got), 0o644); err != nil { //nolint:gosec // a test's data, for all to read
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("%s yields something else:\n%s", v, difference(string(want), got))
				}
			}
		})
	}
}

// difference lists lines that only one side has.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var b strings.Builder
	only := func(sign string, lines, other []string) {
		left := map[string]int{}
		for _, l := range other {
			left[l]++
		}
		for _, l := range lines {
			if left[l]--; left[l] < 0 && b.Len() < 4000 {
				b.WriteString(sign + l + "\n")
			}
		}
	}
	only("- ", w, g)
	only("+ ", g, w)
	return b.String()
}

// run runs the script in this process and returns the content of its result tables, sorted.
func run(t *testing.T, file string, v variant) string {
	t.Helper()
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	j := &job{t: t, file: file, script: string(script), v: v, results: newTables()}
	if v.faults == nil {
		if err := j.attempt(v.parallelism, nil, nil); err != nil {
			t.Fatalf("%s: %v", v, err)
		}
	} else {
		j.survive()
	}
	return j.results.String()
}

// job is a script that is run once or, with faults, several times.
type job struct {
	t       *testing.T
	file    string
	script  string
	v       variant
	results *tables
}

// attempt runs the job to its end.
func (j *job) attempt(parallelism int, checkpoint *task.LocalCheckpoint, from *task.LocalSnapshot) error {
	connectors := all.Connectors()
	for _, c := range connectors {
		if open := c.NewSource; open != nil {
			c.NewSource = func(spec *graph.TableSpec) (op.Source, error) {
				s, err := open(spec)
				return &smallBatches{Source: s, max: j.v.batch, faults: j.v.faults}, err
			}
		}
	}
	connectors["result"] = j.results.connector()
	planned, err := plan.Plan(j.script, plan.Options{File: filepath.Base(j.file), Parallelism: parallelism, Connectors: connectors})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(j.t.Context(), 2*time.Minute)
	defer cancel()
	dir := j.t.TempDir()
	return task.RunLocal(ctx, task.LocalConfig{
		JobID: "00000000000000000000000000000001", Graph: planned.Graph, Builders: app.Builders(connectors), Location: time.UTC, Rand: rand.Reader,
		Log: slog.New(slog.DiscardHandler), MemoryBytes: j.v.memory, Checkpoint: checkpoint, RestoreFrom: from,
		Splits: func(ctx context.Context, n *graph.Node, parallelism int) ([]op.Split, error) {
			var spec graph.SourceSpec
			if err := json.Unmarshal(n.Spec, &spec); err != nil {
				return nil, err
			}
			return connectors[spec.Table.Connector].Splits(ctx, &spec.Table, parallelism)
		},
		OpenState: func(info op.TaskInfo, merge state.MergeFunc) (state.Store, error) {
			return app.OpenState(filepath.Join(dir, info.OperatorID+"-"+strconv.Itoa(info.Index)), info, 8<<20, merge)
		},
		OpenStateOn: func(info op.TaskInfo, merge state.MergeFunc, dir string) (state.Store, error) {
			return app.OpenState(dir, info, 8<<20, merge)
		},
	})
}

// tables collects what sinks write. Changes are applied, so that what is compared is the table that they amount to.
type tables struct {
	mu   sync.Mutex
	rows map[string]map[string]int
	// committed are the parts that have been added.
	committed map[string]bool
}

// add publishes a part, unless it has been before.
func (r *tables) add(p part) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.committed[p.By] {
		return
	}
	r.committed[p.By] = true
	rows := r.rows[p.Table]
	if rows == nil {
		rows = map[string]int{}
		r.rows[p.Table] = rows
	}
	for row, n := range p.Rows {
		if rows[row] += n; rows[row] == 0 {
			delete(rows, row)
		}
	}
}

func newTables() *tables {
	return &tables{rows: map[string]map[string]int{}, committed: map[string]bool{}}
}

func (r *tables) connector() *op.Connector {
	return &op.Connector{
		Name: "result",
		Modes: func(*graph.TableSpec) []graph.ChangelogMode {
			return []graph.ChangelogMode{graph.Retract, graph.Append}
		},
		NewSink: func(t *graph.TableSpec) (op.Sink, error) {
			spec := *t
			spec.Options = map[string]string{"format": "csv", "csv.null-literal": "NULL"}
			for _, f := range t.Schema.Fields {
				if f.Type.Kind.IsNested() {
					spec.Options = map[string]string{"format": "json"}
				}
			}
			enc, err := format.NewEncoder(&spec)
			return &resultSink{to: r, table: t.Name, enc: enc}, err
		},
	}
}

func (r *tables) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for table, rows := range r.rows {
		for row, n := range rows {
			for range n {
				lines = append(lines, table+": "+row)
			}
			if n < 0 {
				lines = append(lines, fmt.Sprintf("%s: %s taken back %d times too often", table, row, -n))
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// resultSink publishes rows when their checkpoint is complete, each part once. Without checkpoints its task does so at the end.
type resultSink struct {
	to    *tables
	table string
	enc   format.Encoder
	ctx   *op.Context
	part  part
}

// part is what a checkpoint publishes of a task: how often each row is added, or taken back.
type part struct {
	Table string
	// By names whoever prepared it.
	By   string
	Rows map[string]int
}

func (s *resultSink) Open(ctx *op.Context) error {
	s.ctx = ctx
	s.part.Rows = map[string]int{}
	return nil
}

func (s *resultSink) Write(_ context.Context, b *vec.Batch) error {
	c := b.Clone()
	for i := range c.Rows() {
		line, err := s.enc.Encode(nil, c, i)
		if err != nil {
			return err
		}
		n := 1
		if c.Kind(i).Retracts() {
			n = -1
		}
		s.part.Rows[string(line)] += n
	}
	return nil
}

func (s *resultSink) Flush(context.Context) error { return nil }

func (s *resultSink) Prepare(_ context.Context, epoch stream.Epoch) ([]byte, error) {
	if len(s.part.Rows) == 0 {
		return nil, nil
	}
	i := s.ctx.Task
	s.part.Table, s.part.By = s.table, fmt.Sprint(i.OperatorID, "/", i.Index, "/", i.Attempt, "/", epoch)
	data, err := json.Marshal(s.part)
	clear(s.part.Rows)
	return data, err
}

func (s *resultSink) Commit(_ context.Context, _ stream.Epoch, data []byte) error {
	var p part
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	s.to.add(p)
	return nil
}

func (s *resultSink) Close() error { return nil }
