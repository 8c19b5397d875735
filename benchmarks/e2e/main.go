// Command e2e measures the programs as a whole, on this machine, against real servers: what the engine takes and gives between
// Mosquitto or Redis and a windowed average, next to a bare reader of the same stream in the same run.
//
//	go run ./benchmarks/e2e            # all, about two minutes
//	go run ./benchmarks/e2e -suite mqtt -messages 1000000
//
// Publisher, server, and reader or engine share the machine; ratios within a run count, not rates.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

type config struct {
	suite    string
	messages int64
	keys     int
	rounds   int
	json     bool
	bin      string
	// profile is a directory for a CPU profile of each taskmanager, "" for none.
	profile string
}

// result is one line of the table.
type result struct {
	Suite  string  `json:"suite"`
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Remark string  `json:"remark,omitempty"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
}

func run() error {
	var c config
	flag.StringVar(&c.suite, "suite", "mqtt,redis,idle,keys", "what to measure, comma-separated: mqtt, redis, idle, keys")
	flag.Int64Var(&c.messages, "messages", 1_000_000, "messages or entries a round")
	flag.IntVar(&c.keys, "keys", 1000, "sensors")
	flag.IntVar(&c.rounds, "rounds", 3, "rounds; the best one is printed, since the machine may be shared")
	flag.BoolVar(&c.json, "json", false, "print JSON lines instead of a table")
	flag.StringVar(&c.profile, "profile", "", "write a CPU profile of each taskmanager to this directory; look at them with go tool pprof")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "bramble-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	c.bin = filepath.Join(dir, "bin")
	if err := build(ctx, c); err != nil {
		return err
	}
	suites := map[string]func(context.Context, config, string) ([]result, error){"mqtt": mqttSuite, "redis": redisSuite, "idle": idleSuite, "keys": keysSuite}
	if !c.json {
		fmt.Printf("%s/%s, %d cores, %s\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	}
	for name := range strings.SplitSeq(c.suite, ",") {
		f := suites[name]
		if f == nil {
			return fmt.Errorf("unknown suite %q; there are mqtt, redis, idle and keys", name)
		}
		rs, err := f(ctx, c, dir)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, r := range rs {
			printResult(c, r)
		}
	}
	return nil
}

func printResult(c config, r result) {
	if c.json {
		_ = json.NewEncoder(os.Stdout).Encode(r) // to a terminal or a pipe that is being read
		return
	}
	fmt.Printf("%-6s %-44s %12.2f %-14s %s\n", r.Suite, r.Name, r.Value, r.Unit, r.Remark)
}
