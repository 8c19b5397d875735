//go:build integration

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/benchmarks/nexmark"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/internal/app"
)

var update = flag.Bool("update", false, "print what facts.go is to have")

// workerEnv makes the test program a worker.
const workerEnv = "BRAMBLE_BENCH_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) != "" {
		if err := RunWorker(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	if err := os.Setenv(workerEnv, "1"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func small(t *testing.T, suites ...string) Config {
	return Config{
		Suites: suites, Queries: []string{"q0", "q12", "q17"}, Events: 60_000, Duration: 200 * time.Millisecond, Parallelism: 2, TaskManagers: 1, MemoryBytes: 256 << 20,
		Checkpoint: 50 * time.Millisecond, Dir: t.TempDir(), Worker: []string{os.Args[0]},
	}
}

// TestSuites runs each suite for a moment: all that it says must be there, and right.
func TestSuites(t *testing.T) {
	for _, suite := range Suites {
		t.Run(suite, func(t *testing.T) {
			c := small(t, suite)
			c.Profile = filepath.Join(t.TempDir(), "profiles")
			steps := 0
			c.Progress = func(step, _ int, _ string, _ int64) { steps = max(steps, step) }
			r, err := Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Results) != 3 || steps != 3 || r.Bad() || r.Interrupted {
				text, _ := json.MarshalIndent(r, "", " ")
				t.Fatalf("after %d steps: %s", steps, text)
			}
			for _, x := range r.Results {
				if x.Status != StatusOK || x.EventsPerSecond <= 0 || x.CPUNanosPerEvent <= 0 || x.PeakBytes <= 0 || x.Events < 60_000 {
					t.Errorf("%+v", x)
				}
				if (suite != "nexmark" || x.Name == "q0") && x.LatencySamples == 0 {
					t.Errorf("%s %s has no latency", suite, x.Name)
				}
			}
			profiles, err := filepath.Glob(c.Profile + "/*.cpu.pprof")
			if err != nil || len(profiles) < 3 {
				t.Errorf("profiles: %q, %v", profiles, err)
			}
			left, err := os.ReadDir(c.Dir)
			if err != nil || len(left) > 0 {
				t.Errorf("%v is left in the directory, %v", left, err)
			}
		})
	}
}

// TestInterrupted ends a run in the middle: what was done is there.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := small(t, "nexmark")
	c.OnResult = func(Result) { cancel() }
	r, err := Run(ctx, c)
	if err != nil || !r.Interrupted || len(r.Results) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestNexmarkFacts checks that every query that is planned gives the known rows, whatever the parallelism.
func TestNexmarkFacts(t *testing.T) {
	r, err := StartRunner(t.Context(), ClusterSize{TaskManagers: 1, Slots: 2, MemoryBytes: 512 << 20, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, q := range nexmark.Queries() {
		for _, parallelism := range []int{1, 2} {
			script, err := nexmark.Script(q, VerifiedEvents, nexmarkRate, "")
			if err != nil {
				t.Fatal(err)
			}
			m, err := r.Run(t.Context(), &Phase{File: q, Script: script, Parallelism: parallelism, Events: VerifiedEvents, Sums: true}, nil, nil, nil)
			var refused *RefusedError
			if errors.As(err, &refused) {
				t.Logf("%s is not supported: %s", q, firstWords(refused.Reason))
				break
			}
			if err != nil {
				t.Errorf("%s: %v", q, err)
				break
			}
			if f := facts[q]; f.bids != "" {
				if got := m.Sums.Columns[f.bids]; got != VerifiedEvents/50*46 {
					t.Errorf("%s: %s adds up to %d", q, f.bids, got)
				}
			} else if sum := fmt.Sprintf("%016x", m.Sums.Checksum); m.Sums.Rows != f.rows || sum != f.checksum && (f.checksum != "" || f.rows == 0) {
				if *update {
					fmt.Printf("\t%q: {due: %q, rows: %d, checksum: %q},\n", q, f.due, m.Sums.Rows, sum)
				} else {
					t.Errorf("%s with parallelism %d gives %d rows with checksum %s, want %d with %s", q, parallelism, m.Sums.Rows, sum, f.rows, f.checksum)
				}
			}
		}
	}
}

func firstWords(s string) string {
	line, _, _ := strings.Cut(s, ";")
	return line
}

// TestRemote runs a query on a cluster that is there already, by its address alone.
func TestRemote(t *testing.T) {
	cluster, err := app.NewCluster(app.ClusterConfig{
		TaskManagers: 1, Slots: 2, MemoryBytes: 256 << 20, HTTPPort: serve.Off, MetricsPort: serve.Off, DataDir: t.TempDir(), CheckpointDir: "file://" + t.TempDir(),
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- cluster.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	c := small(t, "nexmark")
	c.Queries, c.JobManager, c.Events = []string{"q2"}, cluster.JobManager.Address(), 300_000
	r, err := Run(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if x := r.Results[0]; r.Bad() || x.Events != 300_000 || x.Rows == 0 || x.EventsPerSecond <= 0 || r.Remote == "" {
		t.Errorf("%+v", x)
	}
}
