package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
)

// flinkDir is the project with Flink, below the root.
var flinkDir = filepath.Join("benchmarks", "peers", "flink")

// buildFlink compiles our source for Flink and fetches Flink itself, when that is not done yet.
func (s *settings) buildFlink(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "compile", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=target/lib")
	cmd.Dir = filepath.Join(s.root, flinkDir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("build %s with Maven and a JDK 17: %w\n%s", flinkDir, err, out)
	}
	return nil
}

// opened are the packages that Flink's serializers reach into.
var opened = strings.Fields("java.util java.util.concurrent java.util.concurrent.atomic java.util.concurrent.locks java.lang java.lang.reflect java.lang.invoke " +
	"java.math java.net java.io java.nio sun.nio.ch java.text java.time")

// flinkCommand is the command line of a script on Flink: one process with jobmanager and taskmanager in it.
func (s *settings) flinkCommand(script string, options ...string) []string {
	args := []string{"java", "-Xms2g", "-Xmx2g"}
	for _, p := range opened {
		args = append(args, "--add-opens=java.base/"+p+"=ALL-UNNAMED")
	}
	target := filepath.Join(s.root, flinkDir, "target")
	args = append(args, "-cp", filepath.Join(target, "classes")+":"+filepath.Join(target, "lib", "*"), "bramble.peers.Main", script)
	return append(args, options...)
}

// flinkOptions are how its users set it up for speed.
func (s *settings) flinkOptions(checkpoints string) []string {
	return []string{
		fmt.Sprintf("parallelism.default=%d", s.parallelism),
		fmt.Sprintf("taskmanager.numberOfTaskSlots=%d", s.parallelism),
		"taskmanager.memory.managed.size=1gb",
		"pipeline.object-reuse=true",
		"state.backend.type=rocksdb",
		"execution.checkpointing.incremental=true",
		"execution.checkpointing.storage=filesystem",
		fmt.Sprintf("execution.checkpointing.interval=%dms", s.checkpoint.Milliseconds()),
		"execution.checkpointing.dir=file://" + checkpoints,
		"io.tmp.dirs=" + s.dir,
		"table.exec.mini-batch.enabled=true",
		"table.exec.mini-batch.allow-latency=2s",
		"table.exec.mini-batch.size=50000",
		"table.optimizer.distinct-agg.split.enabled=true",
	}
}

// flinkProcess is Flink at work.
type flinkProcess struct {
	*process
	made atomic.Int64
	// checkpoints is where they are.
	checkpoints string
}

func (s *settings) startFlink(script string) (running, error) {
	dir, err := os.MkdirTemp(s.dir, "flink-")
	if err != nil {
		return nil, err
	}
	p := &flinkProcess{checkpoints: dir}
	args := s.flinkCommand(script, append(s.flinkOptions(dir), "EVENTS=0", "SINK=blackhole", "RATE="+strconv.FormatInt(s.rate, 10))...)
	r, w := io.Pipe()
	if p.process, err = start(s.cores, io.Discard, w, args...); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	p.log = log.Name()
	go p.follow(r, log)
	return p, nil
}

// follow takes the counts out of what the process writes; the rest is the log.
func (p *flinkProcess) follow(r io.Reader, log *os.File) {
	defer log.Close() //nolint:errcheck // for people to read
	b := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := b.ReadString('\n')
		if n, ok := strings.CutPrefix(line, "@events "); ok {
			v, _ := strconv.ParseInt(strings.TrimSpace(n), 10, 64) // our own program writes it
			p.made.Store(v)
		} else {
			_, _ = log.WriteString(line) // for people to read
		}
		if err != nil {
			return
		}
	}
}

func (p *flinkProcess) pids() []int { return []int{p.Cmd.Process.Pid} }

func (p *flinkProcess) events(context.Context) (int64, error) { return p.made.Load(), p.failed() }

func (p *flinkProcess) look(context.Context) (look, error) {
	// Completed ones have this file; their numbers go up, and only the last one is kept.
	files, err := filepath.Glob(filepath.Join(p.checkpoints, "*", "chk-*", "_metadata"))
	latest := int64(0)
	for _, f := range files {
		n, _ := strconv.ParseInt(strings.TrimPrefix(filepath.Base(filepath.Dir(f)), "chk-"), 10, 64) // Flink made the name
		latest = max(latest, n)
	}
	return look{events: p.made.Load(), checkpoints: latest}, errors.Join(err, p.failed())
}
