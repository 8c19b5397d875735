// Command recovery measures what fault tolerance costs, on this machine, with processes:
//
//		go run ./benchmarks/recovery            # all, about four minutes
//		go run ./benchmarks/recovery -short     # that it runs, a minute
//
//	  - restart: from kill -9 of a taskmanager to the first new result of a job with a million keys, with and without local recovery;
//	  - overhead: rows a second with a checkpoint each second, next to none, in turn in one run;
//	  - increment: bytes that a checkpoint uploads for each byte of state that has changed.
//
// Ratios within a run count, not rates.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

type config struct {
	suite   string
	keys    int
	rounds  int
	measure time.Duration
	// checkpoints is how many the increment suite takes, memory a taskmanager's.
	checkpoints int
	memory      string
	strict      bool
	// short: that it runs.
	short bool
	// profile is a directory for CPU profiles of the taskmanagers, or empty.
	profile  string
	bin, dir string
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "recovery:", err)
		os.Exit(1)
	}
}

func run() error {
	var c config
	flag.StringVar(&c.suite, "suite", "increment,restart,overhead", "what to measure, comma-separated")
	flag.IntVar(&c.keys, "keys", 1_000_000, "keys of the state")
	flag.IntVar(&c.rounds, "rounds", 3, "rounds of restart and overhead")
	flag.DurationVar(&c.measure, "measure", 10*time.Second, "how long a rate is measured")
	flag.IntVar(&c.checkpoints, "checkpoints", 150, "checkpoints of an increment")
	flag.StringVar(&c.memory, "memory", "512m", "memory of a taskmanager")
	flag.BoolVar(&c.strict, "strict", false, "fail when an aim is missed; on a machine with other work it may be by chance")
	flag.BoolVar(&c.short, "short", false, "small and quick: that it runs, no figures to keep")
	flag.StringVar(&c.profile, "profile", "", "write a CPU profile of each taskmanager that ends by itself to this directory; none of those killed")
	flag.Parse()
	if c.short {
		c.keys, c.rounds, c.measure, c.checkpoints = c.keys/20, 1, 2*time.Second, 30
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if c.dir, err = os.MkdirTemp("", "bramble-recovery-"); err != nil {
		return err
	}
	defer os.RemoveAll(c.dir) //nolint:errcheck // a temporary directory
	fmt.Printf("%s/%s, %d cores, %s, %d keys\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), c.keys)
	suites := map[string]func(context.Context, config) ([]result, error){"increment": incrementSuite, "restart": restartSuite, "overhead": overheadSuite}
	missed := 0
	for name := range strings.SplitSeq(c.suite, ",") {
		f := suites[name]
		if f == nil {
			return fmt.Errorf("unknown suite %q; there are increment, restart and overhead", name)
		}
		if name != "increment" && c.bin == "" {
			c.bin = filepath.Join(c.dir, "bin")
			if err := build(ctx, c); err != nil {
				return err
			}
		}
		rs, err := f(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, r := range rs {
			missed += r.print()
		}
	}
	if missed > 0 && c.strict {
		return fmt.Errorf("%d aims missed", missed)
	}
	return nil
}

// result is a line of the table; aim is what it should not be above, 0 for none.
type result struct {
	name   string
	value  float64
	unit   string
	aim    float64
	remark string
}

// print returns 1 when the aim is missed.
func (r result) print() int {
	verdict, missed := "", 0
	if r.aim > 0 {
		verdict = fmt.Sprintf("at most %g: met", r.aim)
		if r.value > r.aim {
			verdict, missed = fmt.Sprintf("at most %g: MISSED", r.aim), 1
		}
	}
	fmt.Printf("%-70s %10.2f %-10s %-22s %s\n", r.name, r.value, r.unit, verdict, r.remark)
	return missed
}

// build builds the programs as they are released, and the one that profiles if it is asked for.
func build(ctx context.Context, c config) error {
	args := []string{"build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", c.bin + "/", "./cmd/..."}
	if c.profile != "" {
		if err := os.MkdirAll(c.profile, 0o750); err != nil {
			return err
		}
		args = append(args, "./benchmarks/e2e/profiled")
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build the programs (run this from the project's directory): %w", err)
	}
	return nil
}

func incrementSuite(_ context.Context, c config) ([]result, error) {
	var out []result
	for _, change := range []float64{0.5, 0.1, 0.01} {
		n := c.checkpoints
		if !c.short {
			n = max(n, int(3/change)) // long enough for a base to be among them
		}
		r, err := increments(c.dir, c.keys, valueBytes, change, n)
		if err != nil {
			return nil, err
		}
		out = append(out, result{
			fmt.Sprintf("increment: %g %% of the keys change, %d checkpoints", change*100, n), float64(r.uploaded) / float64(r.changed), "bytes/byte", 1.5,
			fmt.Sprintf("the largest %.1f; a checkpoint is %.1f times the state, %d files; opened in %v",
				float64(r.worst)/float64(r.changed)*float64(n), float64(r.stored)/float64(r.state), r.files, r.restore.Round(time.Millisecond)),
		})
	}
	return out, nil
}

// valueBytes is a row of state, with its key.
const valueBytes = 90
