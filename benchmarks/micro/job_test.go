package micro

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/mem"
	"github.com/bramble-stream/bramble/engine/task"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/app"
)

// BenchmarkJob runs queries as jobs in this process: tasks, channels between them, timers, flushes. Each row is copied once by the source. An
// operation is a batch.
func BenchmarkJob(b *testing.B) {
	for _, c := range []struct{ name, query string }{
		{"calc", calcSQL}, {"tumble", tumble("'10' SECOND")}, {"hop-60", hop("'10' SECOND", "'10' MINUTE")}, {"group", groupSQL},
	} {
		b.Run(c.name, func(b *testing.B) {
			encodings(b, func(b *testing.B, dict bool) { runJob(b, newLoad(1000, dict), c.query, 1) })
		})
	}
}

// BenchmarkSpread has one source task that sends rows to four by key: the batches that arrive must not be small ones.
func BenchmarkSpread(b *testing.B) {
	for _, c := range []struct{ name, query string }{{"group", groupSQL}, {"session", session("'10' SECOND")}} {
		b.Run(c.name, func(b *testing.B) { runJob(b, newLoad(1000, false), c.query, 4) })
	}
}

func runJob(b *testing.B, l *load, query string, parallelism int) {
	b.Helper()
	rows := int64(b.N) * vec.MaxRows
	conns := connectors(l, rows)
	g := planned(b, conns, query, parallelism)
	b.ReportAllocs()
	b.ResetTimer()
	m := start()
	err := task.RunLocal(b.Context(), task.LocalConfig{
		JobID: "00000000000000000000000000000001", Graph: g, Builders: app.Builders(conns), Location: time.UTC,
		Log: slog.New(slog.DiscardHandler), MemoryBytes: 64 << 20,
		Splits: func(ctx context.Context, n *graph.Node, parallelism int) ([]op.Split, error) {
			var spec graph.SourceSpec
			if err := json.Unmarshal(n.Spec, &spec); err != nil {
				return nil, err
			}
			return conns[spec.Table.Connector].Splits(ctx, &spec.Table, parallelism)
		},
		OpenState: func(_ op.TaskInfo, m state.MergeFunc) (state.Store, error) { return mem.New(m), nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	m.report(b, rows)
}
