package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/internal/child"
)

// build builds the programs as they are released, and the one that profiles if it is asked for.
func build(ctx context.Context, c config) error {
	args := []string{"build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", c.bin + "/", "./cmd/..."}
	if c.profile != "" {
		if err := os.MkdirAll(c.profile, 0o755); err != nil { //nolint:gosec // nothing secret
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

// process is a program of a run; stop ends it and waits.
type process struct {
	*child.Process
	log string
}

func startProcess(dir, name string, args ...string) (*process, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("%w: run scripts/test-deps", err)
	}
	log := filepath.Join(dir, fmt.Sprintf("%s-%d.log", filepath.Base(name), time.Now().UnixNano()))
	p, err := child.StartInto(log, exec.Command(path, args...))
	if err != nil {
		return nil, err
	}
	return &process{p, log}, nil
}

func (p *process) stop() { p.End(os.Interrupt, 10*time.Second) }

// freePort returns a port that was free a moment ago.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()                          //nolint:errcheck // nothing was sent
	return l.Addr().(*net.TCPAddr).Port, nil //nolint:forcetypeassert // it is one
}

// awaitPort waits until something listens.
func awaitPort(ctx context.Context, port int) error {
	return await(ctx, fmt.Sprintf("port %d", port), func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// patience bounds every wait; lookEvery is the time between two looks. A look at metrics costs the engine about a millisecond: at every 5 ms that was a third of what a
// message seemed to cost.
const (
	patience  = 3 * time.Minute
	lookEvery = 25 * time.Millisecond
)

func await(ctx context.Context, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for !ok() {
		select {
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		}
	}
	return nil
}

// usage is what a process has taken so far.
type usage struct {
	cpu time.Duration
	// rssBytes is now, peakBytes the most.
	rssBytes, peakBytes int64
}

// hertz is the kernel's USER_HZ on every architecture that Linux' /proc serves to programs.
const hertz = 100

func usageOf(pid int) (usage, error) {
	var u usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(f) < 13 {
		return u, errors.New("unexpected /proc/PID/stat")
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	status, err3 := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err := errors.Join(err1, err2, err3); err != nil {
		return u, err
	}
	u.cpu = time.Duration(user+system) * time.Second / hertz
	for line := range strings.Lines(string(status)) {
		kb := func(key string, into *int64) {
			if rest, ok := strings.CutPrefix(line, key); ok {
				n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64) // the kernel writes it
				*into = n << 10
			}
		}
		kb("VmRSS:", &u.rssBytes)
		kb("VmHWM:", &u.peakBytes)
	}
	return u, nil
}

// cluster is a jobmanager and one taskmanager.
type cluster struct {
	jm, tm  *process
	addr    string
	metrics string
	bin     string
	client  http.Client
}

func startCluster(ctx context.Context, c config, dir, memory string) (*cluster, error) {
	rpc, err1 := freePort()
	metrics, err2 := freePort()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	// what the engine spends on compressing its metrics is not what is measured
	plain := http.Client{Transport: &http.Transport{DisableCompression: true}}
	cl := &cluster{client: plain, addr: fmt.Sprintf("127.0.0.1:%d", rpc), metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics), bin: c.bin}
	var err error
	if cl.jm, err = startProcess(dir, c.bin+"/jobmanager", "--bind-host", "127.0.0.1", "--rpc-port", strconv.Itoa(rpc), "--http-port", "0", "--metrics-port", "0"); err != nil {
		return nil, err
	}
	tm := c.bin + "/taskmanager"
	if c.profile != "" {
		tm = c.bin + "/profiled"
		file := filepath.Join(c.profile, fmt.Sprintf("taskmanager-%d.pprof", time.Now().UnixNano()))
		if err := os.Setenv("BRAMBLE_E2E_PROFILE", file); err != nil {
			return nil, err
		}
	}
	cl.tm, err = startProcess(dir, tm, "--jobmanager", cl.addr, "--bind-host", "127.0.0.1", "--data-port", "0",
		"--metrics-port", strconv.Itoa(metrics), "--slots", "2", "--memory", memory)
	if err != nil {
		cl.jm.stop()
		return nil, err
	}
	if err := errors.Join(awaitPort(ctx, rpc), awaitPort(ctx, metrics)); err != nil {
		cl.stop()
		return nil, err
	}
	return cl, nil
}

func (cl *cluster) stop() {
	cl.tm.stop()
	cl.jm.stop()
}

// submit submits a script and waits until the job runs.
func (cl *cluster) submit(ctx context.Context, dir, script string, args ...string) error {
	file := filepath.Join(dir, "job.sql")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, cl.bin+"/bramble", append([]string{"--jobmanager", cl.addr, "submit", file}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("submit: %w\n%s", err, out)
	}
	return nil
}

// metric adds the series of a name whose labels hold a text.
func (cl *cluster) metric(ctx context.Context, name, label string) float64 {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, cl.metrics, nil)
	if err != nil {
		return 0
	}
	resp, err := cl.client.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	s := 0.0
	for sc := bufio.NewScanner(resp.Body); sc.Scan(); {
		line := sc.Text()
		if strings.HasPrefix(line, name+"{") && strings.Contains(line, label) {
			v, _ := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64) // Prometheus' own format
			s += v
		}
	}
	return s
}
