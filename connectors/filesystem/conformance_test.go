package filesystem

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/bramble-stream/bramble/connectors/conformance"
	"github.com/bramble-stream/bramble/engine/graph"
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
					}}
				}})
			})
		}
	}
}
