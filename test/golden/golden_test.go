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
}

func (v variant) String() string {
	return fmt.Sprintf("p=%d,batch=%d,memory=%dk", v.parallelism, v.batch, v.memory>>10)
}

// variants returns what to try; the first one writes the golden files.
func variants() []variant {
	const roomy, tight = 64 << 20, 64 << 10
	if testing.Short() {
		return []variant{{1, vec.MaxRows, roomy}, {3, 7, roomy}, {2, 100, tight}}
	}
	return []variant{
		{1, vec.MaxRows, roomy}, {2, vec.MaxRows, roomy}, {3, vec.MaxRows, roomy}, {4, vec.MaxRows, roomy},
		{1, 1, roomy}, {3, 7, roomy}, {4, 100, tight}, {1, vec.MaxRows, tight}, {2, 1, tight},
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
	results := &tables{rows: map[string]map[string]int{}}
	connectors := all.Connectors()
	for _, c := range connectors {
		if open := c.NewSource; open != nil {
			c.NewSource = func(spec *graph.TableSpec) (op.Source, error) {
				s, err := open(spec)
				return &smallBatches{Source: s, max: v.batch}, err
			}
		}
	}
	connectors["result"] = results.connector()
	planned, err := plan.Plan(string(script), plan.Options{File: filepath.Base(file), Parallelism: v.parallelism, Connectors: connectors})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	err = task.RunLocal(ctx, task.LocalConfig{
		JobID: "00000000000000000000000000000001", Graph: planned.Graph, Builders: app.Builders(connectors), Location: time.UTC, Rand: rand.Reader,
		Log: slog.New(slog.DiscardHandler), MemoryBytes: v.memory,
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
		t.Fatalf("%s: %v", v, err)
	}
	return results.String()
}

// smallBatches hands a source's batches on in pieces.
type smallBatches struct {
	op.Source
	max  int
	held *vec.Batch
	at   int
	last op.Polled
}

func (s *smallBatches) Poll(ctx context.Context, b *vec.Batch, wait time.Duration) (op.Polled, error) {
	if s.held == nil {
		s.held = vec.NewBatch(b.Schema())
	}
	if s.at == s.held.Rows() {
		s.held.Reset()
		s.at = 0
		p, err := s.Source.Poll(ctx, s.held, wait)
		if s.last = p; err != nil || s.held.Rows() == 0 {
			return p, err
		}
	}
	var sel []int
	for ; s.at < s.held.Rows() && len(sel) < s.max; s.at++ {
		sel = append(sel, s.at)
	}
	b.AppendRows(s.held, sel)
	if s.at == s.held.Rows() {
		return s.last, nil
	}
	return op.Polled{Status: op.More, Split: s.last.Split}, nil
}

// tables collects what sinks write. Changes are applied, so that what is compared is the table that they amount to.
type tables struct {
	mu   sync.Mutex
	rows map[string]map[string]int
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
			return &resultSink{r, t.Name, enc}, err
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

type resultSink struct {
	to    *tables
	table string
	enc   format.Encoder
}

func (s *resultSink) Open(*op.Context) error { return nil }

func (s *resultSink) Write(_ context.Context, b *vec.Batch) error {
	s.to.mu.Lock()
	defer s.to.mu.Unlock()
	rows := s.to.rows[s.table]
	if rows == nil {
		rows = map[string]int{}
		s.to.rows[s.table] = rows
	}
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
		if rows[string(line)] += n; rows[string(line)] == 0 {
			delete(rows, string(line))
		}
	}
	return nil
}

func (s *resultSink) Flush(context.Context) error { return nil }

func (s *resultSink) Prepare(context.Context, stream.Epoch) ([]byte, error) { return nil, nil }

func (s *resultSink) Commit(context.Context, stream.Epoch, []byte) error { return nil }

func (s *resultSink) Close() error { return nil }
