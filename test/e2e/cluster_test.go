//go:build integration

// Package e2e runs the programs as users do: real processes, a real Mosquitto and a real Redis.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/internal/child"
	"github.com/bramble-stream/bramble/internal/testenv"
)

// patience bounds every wait of these tests: far above what is usual, since the machines are shared.
const patience = 60 * time.Second

// process is a running program of ours.
type process struct {
	*child.Process
	t    *testing.T
	name string
	out  *tail
}

// tail keeps what a process printed, for when a test fails.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func start(t *testing.T, bin string, args ...string) *process {
	t.Helper()
	return startAs(t, bin, append([]string{testenv.Bin(t, bin)}, args...)...)
}

// startAs starts a program of ours by a command line, such as one through qemu.
func startAs(t *testing.T, bin string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: bin, out: &tail{}}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = p.out, p.out
	var err error
	if p.Process, err = child.Start(cmd); err != nil {
		t.Fatalf("start %s: %v", bin, err)
	}
	t.Cleanup(func() {
		if !p.End(syscall.SIGTERM, 20*time.Second) {
			t.Errorf("%s did not stop on SIGTERM within 20s", bin)
		}
		if t.Failed() {
			t.Logf("--- %s\n%s", strings.Join(args, " "), p.out)
		}
	})
	return p
}

// cluster is a jobmanager and taskmanagers as processes.
type cluster struct {
	t          *testing.T
	addr       string
	jmMetrics  string
	tmMetrics  []string
	jobmanager *process
	managers   []*process
}

func startCluster(t *testing.T, taskmanagers, slots int, more ...string) *cluster {
	t.Helper()
	rpc, metrics := testenv.FreePort(t), testenv.FreePort(t)
	c := &cluster{t: t, addr: fmt.Sprintf("127.0.0.1:%d", rpc), jmMetrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics)}
	c.jobmanager = start(t, "jobmanager", "--bind-host", "127.0.0.1", "--rpc-port", strconv.Itoa(rpc), "--http-port", "0",
		"--metrics-port", strconv.Itoa(metrics), "--data-dir", t.TempDir())
	for range taskmanagers {
		c.addTaskManager(slots, more...)
	}
	await(t, "all taskmanagers to register", func() bool {
		return metric(t, c.jmMetrics, "bramble_jobmanager_taskmanagers") == float64(taskmanagers)
	})
	return c
}

func (c *cluster) addTaskManager(slots int, more ...string) *process {
	m := testenv.FreePort(c.t)
	args := append([]string{
		"--jobmanager", c.addr, "--bind-host", "127.0.0.1", "--data-port", "0", "--slots", strconv.Itoa(slots),
		"--metrics-port", strconv.Itoa(m), "--data-dir", c.t.TempDir(),
	}, more...)
	p := start(c.t, "taskmanager", args...)
	c.managers = append(c.managers, p)
	c.tmMetrics = append(c.tmMetrics, fmt.Sprintf("http://127.0.0.1:%d/metrics", m))
	return p
}

// bramble runs the CLI against the cluster and returns what it printed.
func (c *cluster) bramble(args ...string) (string, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, testenv.Bin(c.t, "bramble"), args...)
	cmd.Env = append(os.Environ(), "BRAMBLE_JOBMANAGER="+c.addr)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c *cluster) mustBramble(args ...string) string {
	c.t.Helper()
	out, err := c.bramble(args...)
	if err != nil {
		c.t.Fatalf("bramble %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// script writes a script to a file.
func (c *cluster) script(text string) string {
	c.t.Helper()
	file := filepath.Join(c.t.TempDir(), "job.sql")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return file
}

// submit submits a script and returns the job's id.
func (c *cluster) submit(script string, args ...string) string {
	c.t.Helper()
	return jobID(c.t, c.mustBramble(append([]string{"submit", c.script(script)}, args...)...))
}

// jobID finds the id in what submit printed.
func jobID(t *testing.T, printed string) string {
	t.Helper()
	_, id, ok := strings.Cut(printed, "Job has been submitted with JobID ")
	if !ok || len(id) < 32 {
		t.Fatalf("submit printed %q", printed)
	}
	return id[:32]
}

// sum adds a metric over all taskmanagers.
func (c *cluster) sum(name string) float64 {
	s := 0.0
	for _, u := range c.tmMetrics {
		s += metric(c.t, u, name)
	}
	return s
}

// metric adds all series of a name on a metrics page; an unreachable page counts as nothing.
func metric(t *testing.T, url, name string) float64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	s := 0.0
	for sc := bufio.NewScanner(resp.Body); sc.Scan(); {
		line := sc.Text()
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == ' ' || rest[0] == '{') {
			v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
			if err != nil {
				t.Fatalf("metric %q: %v", line, err)
			}
			s += v
		}
	}
	_, _ = io.Copy(io.Discard, resp.Body) // so that the connection is used again
	return s
}

// await polls until ok, failing after patience.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %s for %s", patience, what)
		}
	}
}
