// Command suite measures what `bramble bench` leaves out: questions of one answer each, on rows that are made in the process.
//
//	go run ./benchmarks/suite                      # all, some minutes
//	go run ./benchmarks/suite -run overlap,latency
//	go run ./benchmarks/suite -short               # that they run, some seconds
//
// Ratios within a run count, not rates; benchmarks/README.md says what each is for.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/bramble-stream/bramble/internal/bench"
)

// config is what the flags say.
type config struct {
	run     string
	short   bool
	scale   int64
	json    bool
	profile string
	url     string
	dir     string
}

// line is one line of the output.
type line struct {
	Suite  string  `json:"suite"`
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Remark string  `json:"remark,omitempty"`
}

// suite is one question.
type suite struct {
	name string
	run  func(ctx context.Context, c *config, out func(name string, value float64, unit, remark string)) error
}

var suites = []suite{
	{"overlap", overlap}, {"checkpoint", checkpoints}, {"latency", latency}, {"allocs", allocs}, {"start", start}, {"state", bigState}, {"manyjobs", manyJobs}, {"socket", socket},
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "worker" {
		if err := bench.RunWorker(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "suite:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "suite:", err)
		os.Exit(1)
	}
}

func run() error {
	var c config
	flag.StringVar(&c.run, "run", "", "what to measure, comma-separated (default all)")
	flag.BoolVar(&c.short, "short", false, "measure for a moment only, to see that everything runs")
	flag.Int64Var(&c.scale, "scale", 1, "so many times the rows: for a profile with more samples")
	flag.BoolVar(&c.json, "json", false, "print JSON lines instead of a table")
	flag.StringVar(&c.profile, "profile", "", "write CPU and allocation profiles into this directory")
	flag.StringVar(&c.url, "url", "", "MQTT broker for manyjobs, such as mqtt://localhost:1883 (default an embedded one)")
	flag.StringVar(&c.dir, "data-dir", "", "where state and checkpoints go, in a directory that is removed")
	flag.Parse()
	if c.scale < 1 || c.scale > 1000 {
		return fmt.Errorf("-scale %d: from 1 to 1000", c.scale)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp(c.dir, "bramble-suite-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	c.dir = dir
	if c.profile != "" {
		if err := os.MkdirAll(c.profile, 0o755); err != nil { //nolint:gosec // nothing secret
			return err
		}
	}
	if !c.json {
		m := bench.Describe(os.DirFS("/"), dir)
		fmt.Println(strings.Join(m.Lines(), "\n"))
	}
	for _, s := range suites {
		if c.run != "" && !slices.Contains(strings.Split(c.run, ","), s.name) {
			continue
		}
		err := s.run(ctx, &c, func(name string, value float64, unit, remark string) {
			l := line{s.name, name, value, unit, remark}
			if c.json {
				_ = json.NewEncoder(os.Stdout).Encode(l) // to a terminal or a pipe that is being read
				return
			}
			fmt.Printf("%-10s %-44s %10.3f %-14s %s\n", l.Suite, l.Name, l.Value, l.Unit, l.Remark)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// cluster starts one of a taskmanager with a slot a core.
func cluster(ctx context.Context, c *config, memoryBytes int64, slots int) (*bench.Runner, error) {
	return bench.StartRunner(ctx, bench.ClusterSize{TaskManagers: 1, Slots: max(slots, runtime.NumCPU()), MemoryBytes: memoryBytes, Dir: c.dir}, load())
}

// rows is a number of rows, a fiftieth of it in a short run.
func (c *config) rows(n int64) int64 {
	if c.short {
		return n / 50
	}
	return n * c.scale
}

// profileOf is where the profile of a measurement goes.
func (c *config) profileOf(name string) string {
	if c.profile == "" {
		return ""
	}
	return c.profile + "/" + name
}

// millions of events a second of CPU time.
func perCPU(m *bench.Measured) float64 {
	if m.CPU <= 0 {
		return 0
	}
	return float64(m.Events) / m.CPU.Seconds() / 1e6
}

// buildBramble builds the program as it is released.
func buildBramble(ctx context.Context, c *config) (string, error) {
	path := c.dir + "/bramble"
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", path, "./cmd/bramble")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build bramble (run this from the project's directory): %w", err)
	}
	return path, nil
}
