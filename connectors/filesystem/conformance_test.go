package filesystem

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/bramble-stream/bramble/connectors/conformance"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

func table(path string, schema *vec.Schema, options ...string) *graph.TableSpec {
	t := &graph.TableSpec{Name: "files", Connector: "filesystem", Options: map[string]string{"path": path, "format": "json"}, Schema: schema}
	for i := 0; i < len(options); i += 2 {
		t.Options[options[i]] = options[i+1]
	}
	return t
}

var numbers = vec.NewSchema(vec.Field{Name: "n", Type: vec.TypeInt64}, vec.Field{Name: "s", Type: vec.TypeString})

func write(t testing.TB, path, content string) {
	t.Helper()
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(tmp, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		t.Fatal(err)
	}
}

func TestSourceConformance(t *testing.T) {
	for _, monitor := range []bool{false, true} {
		t.Run(fmt.Sprintf("monitor=%v", monitor), func(t *testing.T) {
			conformance.Source(t, conformance.SourceConfig{Connector: Connector(), Replays: true, New: func(t *testing.T) conformance.SourceTable {
				dir := t.TempDir()
				spec := table(dir, numbers)
				if monitor {
					spec.Options["source.monitor-interval"] = "20 ms"
				}
				files := 0
				add := func(content string) {
					write(t, filepath.Join(dir, fmt.Sprintf("f%03d", files)), content)
					files++
				}
				return conformance.SourceTable{
					Table: spec,
					Produce: func(from, to int) {
						for from < to {
							content := ""
							for n := from; n < min(from+1300, to); n++ {
								content += fmt.Sprintf("{\"n\":%d,\"s\":\"x\"}\n", n)
							}
							add(content)
							from = min(from+1300, to)
						}
					},
					ProduceBad: func() string {
						add("{\"n\":\n")
						return "{\"n\":"
					},
				}
			}})
		})
	}
}

func TestSinkConformance(t *testing.T) {
	for _, format := range []string{"json", "csv"} {
		for _, partitioned := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,partitioned=%v", format, partitioned), func(t *testing.T) {
				conformance.Sink(t, conformance.SinkConfig{Connector: Connector(), TwoPhase: true, New: func(t *testing.T) conformance.SinkTable {
					dir := filepath.Join(t.TempDir(), "not", "there", "yet")
					spec := table(dir, conformance.Scalars(), "format", format, "csv.null-literal", "NULL")
					if partitioned {
						spec.PartitionKeys = []int{1} // BOOLEAN
					}
					return conformance.SinkTable{Table: spec, Read: func(int) []string {
						return conformance.ReadTable(t, Connector(), spec, 1<<30)
					}, Leftovers: func() []string {
						return hidden(t, dir)
					}}
				}})
			})
		}
	}
}

// hidden lists the files that have not appeared.
func hidden(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name()[0] == '.' {
			out = append(out, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestFilesOfTasksThatAreNoMore: after rescaling from 3 tasks to 2, task 0 has what task 2 left: it commits what the checkpoint holds and
// removes the rest.
func TestFilesOfTasksThatAreNoMore(t *testing.T) {
	dir := t.TempDir()
	open := func(index, parallelism int) *sink {
		t.Helper()
		s, err := newSink(table(dir, numbers))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Open(conformance.NewEnv(t, index, parallelism, false).Context); err != nil {
			t.Fatal(err)
		}
		return s
	}
	prepare := func(s *sink, epoch stream.Epoch, rows int) []byte {
		t.Helper()
		if err := s.Write(t.Context(), someRows(rows)); err != nil {
			t.Fatal(err)
		}
		c, err := s.Prepare(t.Context(), epoch)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	old := open(2, 3)
	held := prepare(old, 1, 3)
	prepare(old, 2, 5) // never complete
	if err := old.Write(t.Context(), someRows(1)); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	other := open(1, 2)
	if n := len(hidden(t, dir)); n != 3 {
		t.Fatalf("task 1 left %d of the 3 files that are not its own", n)
	}
	s := open(0, 2)
	if err := s.Commit(t.Context(), 1, held); err != nil {
		t.Fatal(err)
	}
	c, err := s.Prepare(t.Context(), 3) // nothing written
	if err != nil || c == nil {
		t.Fatalf("prepared %q, error %v: nobody would remove what is left", c, err)
	}
	if err := s.Commit(t.Context(), 3, c); err != nil {
		t.Fatal(err)
	}
	if left := hidden(t, dir); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	if rows := conformance.ReadTable(t, Connector(), table(dir, numbers), 1<<30); len(rows) != 3 {
		t.Errorf("%d rows, want 3", len(rows))
	}
	if err := errors.Join(s.Close(), other.Close()); err != nil {
		t.Fatal(err)
	}
}
