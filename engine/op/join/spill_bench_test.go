package join

import (
	"log/slog"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/op/optest"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/pebble"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// BenchmarkSpilledJoin joins auctions with bids as Nexmark's q4 does: 46 bids for each three auctions, half of them for one of the last hundred, the rest for any of
// these. All rows are kept; "memory" has room for all, "disk" for a tenth. What counts is cpu-ns/row, compactions included.
func BenchmarkSpilledJoin(b *testing.B) {
	for _, c := range []struct {
		name   string
		budget int64
	}{{"memory", 1 << 30}, {"disk", 8 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				spilledJoin(b, c.budget)
			}
		})
	}
}

func spilledJoin(b *testing.B, budget int64) {
	rows := 1_500_000
	if testing.Short() {
		rows = 50_000
	}
	in := optest.Schema("k BIGINT, v BIGINT, t TIMESTAMP")
	spec := graph.JoinSpec{
		Mode: graph.Regular, Type: graph.InnerJoin, LeftKeys: []int{0}, RightKeys: []int{0}, KeyTypes: []vec.Type{vec.TypeInt64}, Out: []int{0, 1, 4, 5},
	}
	o, err := New(spec, in, in, optest.Schema("k BIGINT, v BIGINT, v2 BIGINT, t TIMESTAMP"))
	if err != nil {
		b.Fatal(err)
	}
	var store *pebble.Store
	ctx := &op.Context{
		Ctx: b.Context(), Log: slog.New(slog.DiscardHandler), Metrics: &op.Metrics{}, Clock: &optest.FakeClock{}, MemoryBytes: budget,
		Task: op.TaskInfo{MaxParallelism: stream.DefaultMaxParallelism},
		OpenState: func(m state.MergeFunc) (state.Store, error) {
			s, err := pebble.Open(pebble.Options{Dir: filepath.Join(b.TempDir(), "s"), Instance: "b", Merge: m, MemoryBytes: 8 << 20})
			store = s
			return s, err
		},
	}
	if err := o.Open(ctx); err != nil {
		b.Fatal(err)
	}
	out, batches := &sink{}, [2]*vec.Batch{vec.NewBatch(in), vec.NewBatch(in)}
	began := cpuTime(b)
	seed := uint64(1)
	for n := range int64(rows) {
		seed = seed*6364136223846793005 + 1442695040888963407
		auction := n * 3 / 49
		side, key := 1, auction
		switch {
		case n%49 < 3:
			side = 0
		case seed>>33&1 == 0:
			key = auction / 100 * 100
		default:
			key -= int64(seed >> 33 % 100)
		}
		batch := batches[side]
		for c, v := range []int64{key, n, n} {
			vec.AppendValue(batch.Col(c), v)
		}
		if n%vec.MaxRows == vec.MaxRows-1 {
			for side, batch := range batches {
				batch.SetRows(batch.Col(0).Len())
				if err := o.Process(side, batch, out); err != nil {
					b.Fatal(err)
				}
				batch.Reset()
			}
		}
	}
	if store != nil {
		if err := store.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpuTime(b)-began).Nanoseconds())/float64(rows), "cpu-ns/row")
	b.ReportMetric(float64(out.rows)/float64(rows), "pairs/row")
}

// cpuTime is what the process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
