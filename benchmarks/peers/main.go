// Command peers runs the same work on Bramble and on others, in turn, in one run: the queries of the Nexmark benchmark on Apache Flink, MQTT jobs on LF Edge eKuiper.
//
//	go run ./benchmarks/peers conformance   # do both give the same rows?
//	go run ./benchmarks/peers speed         # events a second of CPU time, and ratios
//	go run ./benchmarks/peers mqtt          # messages of Mosquitto
//
// Flink comes by its Maven coordinates and needs a JDK 17 and Maven. It is no part of Bramble.
package main

import (
	"context"
	"errors"
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

// settings are what the flags say.
type settings struct {
	queries     []string
	parallelism int
	bin         string
	root        string
	// dir is for what a run writes; it is removed at the end.
	dir string
	// cores are those that the engines run on, as taskset takes them; "" for all.
	cores string
	out   string

	// of conformance
	events   int64
	rate     int64
	record   bool
	recorded bool

	// of speed
	warm, measure, least      time.Duration
	checkpoint, ourCheckpoint time.Duration
	rounds                    int
	memory                    string

	mqtt mqttSettings
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

var commands = map[string]func(context.Context, *settings) error{"conformance": conformance, "speed": speed, "mqtt": mqtt, "publish": publish}

func run() error {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		return errors.New("usage: peers conformance | speed | mqtt, each with -h")
	}
	s, err := parse(os.Args[1], os.Args[2:])
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if s.dir, err = os.MkdirTemp("", "bramble-peers-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)                      //nolint:errcheck // a temporary directory
	if err := os.Chmod(s.dir, 0o755); err != nil { //nolint:gosec // mosquitto gives up root before it reads its configuration
		return err
	}
	return commands[os.Args[1]](ctx, s)
}

func parse(command string, args []string) (*settings, error) {
	s := &settings{}
	f := flag.NewFlagSet("peers "+command, flag.ContinueOnError)
	f.StringVar(&s.bin, "bin", "", "a directory with Bramble's programs; without it they are built")
	queries := ""
	switch command {
	case "conformance", "speed":
		f.StringVar(&queries, "queries", "", "only these, such as q0,q5")
		f.Int64Var(&s.rate, "rate", 0, "events a second of event time (conformance: 10000, speed: 100000)")
	case "mqtt":
		s.mqtt.flags(f)
	case "publish":
		s.mqtt.publishFlags(f)
	}
	switch command {
	case "conformance":
		f.Int64Var(&s.events, "events", 1_000_000, "events")
		f.IntVar(&s.parallelism, "parallelism", 1, "tasks of each step of Bramble's jobs; Flink has one")
		f.BoolVar(&s.record, "record", false, "write Flink's results, as digests, to benchmarks/nexmark/expected.json")
		f.BoolVar(&s.recorded, "recorded", false, "compare with what was recorded of Flink instead of running it; for -events 1000000 or 50000 and the default rate")
	case "speed":
		f.IntVar(&s.parallelism, "parallelism", runtime.NumCPU(), "tasks of each step")
		f.StringVar(&s.cores, "cores", "", "the cores that each engine runs on, as taskset takes them; without it all")
		f.DurationVar(&s.warm, "warm", 5*time.Second, "how long Flink runs before it is measured")
		f.DurationVar(&s.measure, "measure", 10*time.Second, "how long Flink is measured; Bramble is over the same events")
		f.DurationVar(&s.least, "least", 3*time.Second, "how long Bramble is measured at least, when it is done with these events before")
		f.DurationVar(&s.checkpoint, "checkpoint", 10*time.Second, "interval of Flink's checkpoints")
		f.DurationVar(&s.ourCheckpoint, "our-checkpoint", time.Second, "interval of Bramble's checkpoints: it takes less time for the same events, in which one of ten seconds would not come")
		f.IntVar(&s.rounds, "rounds", 1, "how often; the median counts")
		f.StringVar(&s.memory, "memory", "2GiB", "memory of Bramble's taskmanager; Flink has 2 GB of heap, 1 GB for RocksDB, and what else it takes")
		f.StringVar(&s.out, "out", "", "a directory for the table, the plot and the figures; without it only the table is printed")
	case "mqtt":
		f.StringVar(&s.out, "out", "", "a directory for the table and the figures; without it only the table is printed")
	}
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	var err error
	if s.queries, err = chosen(queries); err != nil {
		return nil, err
	}
	if s.root, err = os.Getwd(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(s.root, "benchmarks", "nexmark", "prelude.sql")); err != nil {
		return nil, errors.New("run this from the project's directory")
	}
	return s, nil
}

// allQueries are those of benchmarks/nexmark, in their order.
var allQueries = strings.Fields("q0 q1 q2 q3 q4 q5 q7 q8 q9 q11 q12 q14 q15 q16 q17 q18 q19 q20 q21 q22")

func chosen(list string) ([]string, error) {
	if list == "" {
		return allQueries, nil
	}
	var out []string
	for q := range strings.SplitSeq(list, ",") {
		known := false
		for _, k := range allQueries {
			known = known || k == q
		}
		if !known {
			return nil, fmt.Errorf("there is no query %q; there are %s", q, strings.Join(allQueries, " "))
		}
		out = append(out, q)
	}
	return out, nil
}

// buildBramble builds the programs as they are released, unless there are some.
func (s *settings) buildBramble(ctx context.Context) error {
	if s.bin != "" {
		return nil
	}
	s.bin = filepath.Join(s.dir, "bin")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", s.bin+"/", "./cmd/...")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build Bramble's programs: %w", err)
	}
	return nil
}

// script writes the prelude and a query to a file.
func (s *settings) script(query string) (string, error) {
	prelude, err := os.ReadFile(filepath.Join(s.root, "benchmarks", "nexmark", "prelude.sql"))
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(s.root, "benchmarks", "nexmark", query+".sql"))
	if err != nil {
		return "", err
	}
	file := filepath.Join(s.dir, query+".sql")
	return file, os.WriteFile(file, append(append(prelude, '\n'), text...), 0o600)
}

// refused returns why Bramble does not plan a script, "" if it does.
func (s *settings) refused(ctx context.Context, script string) string {
	out, err := exec.CommandContext(ctx, s.bin+"/bramble", "explain", script).CombinedOutput()
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if i := strings.Index(line, ": "); i >= 0 && strings.HasPrefix(line, "error: ") {
		line = line[i+2:]
	}
	if _, reason, ok := strings.Cut(line, ": "); ok {
		line = reason
	}
	line, _, _ = strings.Cut(line, ";")
	return line
}
