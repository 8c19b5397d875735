//go:build integration

package mqtt

import (
	"fmt"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/connectors/conformance"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/testenv"
)

// unlimited keeps the broker from dropping what a slow test has not read yet.
var unlimited = testenv.Config("max_queued_messages 0")

func TestSourceConformance(t *testing.T) {
	schema := vec.NewSchema(vec.Field{Name: "id", Type: vec.TypeString}, vec.Field{Name: "n", Type: vec.TypeInt64})
	for _, c := range []struct {
		name          string
		qos           byte
		options       []string
		restart, cut  bool
		lossy, repeat bool
		acks          bool
	}{
		// A broker that is killed keeps no messages of QoS 0, and may lose those that it has not saved.
		{name: "qos0", qos: 0, restart: true, cut: true, lossy: true},
		{name: "qos1", qos: 1, options: []string{"client-id", "me", "clean-session", "false"}, restart: true, cut: true, repeat: true, acks: true},
		{name: "qos1 killed", qos: 1, options: []string{"client-id", "me", "clean-session", "false"}, restart: true, lossy: true},
		{name: "qos2", qos: 2, options: []string{"client-id", "me", "clean-session", "false"}, cut: true, repeat: true, acks: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			conformance.Source(t, conformance.SourceConfig{Connector: Connector(), LiveOnly: true, Lossy: c.lossy, Duplicates: c.repeat, Acks: c.acks, New: func(t *testing.T) conformance.SourceTable {
				srv := testenv.Mosquitto(t, testenv.Persistent(), unlimited)
				proxy := testenv.Proxy(t, srv.Addr())
				spec := sensors("tcp://"+proxy.Addr(), append([]string{"qos", fmt.Sprint(c.qos)}, c.options...)...)
				away := sensors(fmt.Sprintf("tcp://127.0.0.1:%d", testenv.FreePort(t)))
				for _, s := range []*graph.TableSpec{spec, away} {
					s.Schema, s.Metadata = schema, nil
				}
				pub := publisher(t, srv.URL())
				x := conformance.SourceTable{
					Table: spec, Away: away,
					// At least QoS 1, so that the publisher loses nothing of its own over a reconnection.
					Produce: func(from, to int) { publishN(t, pub, max(c.qos, 1), from, to) },
					ProduceBad: func() string {
						if tok := pub.Publish("s/1", c.qos, false, "{"); !tok.WaitTimeout(10 * time.Second) {
							t.Fatal("publish timed out")
						}
						return "{"
					},
				}
				if c.restart {
					x.Restart = func() {
						if c.lossy {
							srv.Kill()
						}
						srv.Restart()
					}
				}
				if c.cut {
					x.Cut = proxy.Cut
				}
				return x
			}})
		})
	}
}

func TestSinkConformance(t *testing.T) {
	for _, format := range []string{"json", "csv"} {
		t.Run(format, func(t *testing.T) {
			conformance.Sink(t, conformance.SinkConfig{Connector: Connector(), Duplicates: true, New: func(t *testing.T) conformance.SinkTable {
				srv := testenv.Mosquitto(t, testenv.Persistent(), unlimited)
				proxy := testenv.Proxy(t, srv.Addr())
				tableAt := func(url, topic string, options ...string) *graph.TableSpec {
					s := sensors(url, append([]string{"topic", topic, "format", format, "csv.null-literal", "NULL"}, options...)...)
					s.Schema, s.Metadata = conformance.Scalars(), nil
					return s
				}
				r := conformance.Open(t, Connector(), tableAt(srv.URL(), "out/#", "client-id", "reader", "clean-session", "false"), nil)
				t.Cleanup(r.Close)
				r.Connected()
				return conformance.SinkTable{
					Table: tableAt("tcp://"+proxy.Addr(), "out/x"), Restart: srv.Restart, Cut: proxy.Cut, Stop: srv.Stop,
					Read: func(want int) []string { return distinct(t, r, want) },
				}
			}})
		})
	}
}

// distinct reads until there are so many different rows, and then what comes at once.
func distinct(t *testing.T, r *conformance.Reader, want int) []string {
	t.Helper()
	seen := map[string]bool{}
	var out []string
	rows, err := r.Until(func(rows []conformance.Row) bool {
		for _, row := range rows {
			seen[row.Text] = true
		}
		return len(seen) >= want
	})
	if err != nil {
		t.Fatal(err)
	}
	more, err := r.Poll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range append(rows, more...) {
		out = append(out, row.Text)
	}
	return out
}
