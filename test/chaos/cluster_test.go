//go:build chaos

package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/internal/testenv"
)

const (
	// patience bounds every wait: far above what is usual, since machines are shared.
	patience = 90 * time.Second
	poll     = 50 * time.Millisecond
	slots    = 2
	// dataHost is where taskmanagers listen; what they are known under leads through a proxy on loopback.
	dataHost, loopback = "127.0.0.2", "127.0.0.1"
)

// process is a running program of ours. Its output goes to a file.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	done chan struct{}
}

func start(t *testing.T, dir, name, bin string, args ...string) *process {
	t.Helper()
	out, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := &process{t: t, name: name, cmd: exec.Command(testenv.Bin(t, bin), args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended is in ProcessState
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGCONT)
		p.signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(20 * time.Second):
			t.Errorf("%s did not stop on SIGTERM within 20s", name)
			p.signal(syscall.SIGKILL)
			<-p.done
		}
	})
	return p
}

func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = p.cmd.Process.Signal(s) // it may have ended just now
	}
}

// ended says whether the process is no more.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// manager is a taskmanager; what its peers send it comes through the proxy.
type manager struct {
	*process
	proxy *testenv.CuttableProxy
}

// cluster is a jobmanager and taskmanagers as processes.
type cluster struct {
	t       *testing.T
	logs    string
	addr    string
	metrics string
	// checkpoints is a directory that all share.
	checkpoints string
	jobmanager  *process
	managers    []*manager
	started     int
	// began is when the run began, for its log.
	began time.Time
	// due are things to do later, in no order.
	due []dueAction
}

type dueAction struct {
	at time.Time
	do func()
}

func startCluster(t *testing.T, logs string, taskmanagers int) *cluster {
	t.Helper()
	rpc, metrics := testenv.FreePort(t), testenv.FreePort(t)
	c := &cluster{
		t: t, logs: logs, addr: fmt.Sprintf("%s:%d", loopback, rpc), metrics: fmt.Sprintf("http://%s:%d/metrics", loopback, metrics), began: time.Now(),
		checkpoints: filepath.Join(t.TempDir(), "checkpoints"),
	}
	c.jobmanager = start(t, logs, "jobmanager", "jobmanager", "--bind-host", loopback, "--rpc-port", strconv.Itoa(rpc), "--http-port", "0",
		"--metrics-port", strconv.Itoa(metrics), "--checkpoint-dir", "file://"+c.checkpoints)
	for range taskmanagers {
		c.addManager()
	}
	c.await("all taskmanagers to register", func() bool { return c.metric("bramble_jobmanager_taskmanagers") == float64(taskmanagers) })
	return c
}

func (c *cluster) addManager() {
	c.t.Helper()
	c.started++
	port := testenv.FreePort(c.t)
	m := &manager{proxy: testenv.ProxyAt(c.t, fmt.Sprintf("%s:%d", loopback, port), fmt.Sprintf("%s:%d", dataHost, port))}
	m.process = start(c.t, c.logs, fmt.Sprintf("taskmanager%03d", c.started), "taskmanager", "--jobmanager", c.addr, "--bind-host", dataHost,
		"--advertise-host", loopback, "--data-port", strconv.Itoa(port), "--slots", strconv.Itoa(slots), "--metrics-port", "-1", "--data-dir", c.t.TempDir())
	c.managers = append(c.managers, m)
}

// kill ends the i-th taskmanager without a word.
func (c *cluster) kill(i int) string {
	m := c.managers[i]
	m.signal(syscall.SIGKILL)
	<-m.done
	c.managers = append(c.managers[:i:i], c.managers[i+1:]...)
	return m.name
}

// later does something once d has passed, while the test waits.
func (c *cluster) later(d time.Duration, do func()) {
	c.due = append(c.due, dueAction{time.Now().Add(d), do})
}

// runDue does what is due.
func (c *cluster) runDue() {
	now := time.Now()
	rest := c.due
	c.due = nil
	for _, a := range rest {
		if now.Before(a.at) {
			c.due = append(c.due, a)
			continue
		}
		a.do()
	}
}

// pause lets d pass.
func (c *cluster) pause(d time.Duration) {
	end := time.Now().Add(d)
	c.await("time to pass", func() bool { return !time.Now().Before(end) })
}

// await polls until ok, does what is due meanwhile, and fails the test after patience.
func (c *cluster) await(what string, ok func() bool) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		c.runDue()
		if ok() {
			return
		}
		if time.Now().After(deadline) {
			out, _ := c.bramble("list", "-a")
			c.t.Fatalf("waited %s for %s\n%s", patience, what, out)
		}
		if c.jobmanager != nil && c.jobmanager.ended() {
			c.t.Fatalf("the jobmanager ended while waiting for %s", what)
		}
		for _, m := range c.managers {
			if m.ended() {
				c.t.Fatalf("%s ended by itself: %s", m.name, m.cmd.ProcessState)
			}
		}
		<-tick.C
	}
}

// bramble runs the CLI against the cluster and returns what it printed.
func (c *cluster) bramble(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience*2/3)
	defer cancel()
	cmd := exec.CommandContext(ctx, testenv.Bin(c.t, "bramble"), args...)
	cmd.Env = append(os.Environ(), "BRAMBLE_JOBMANAGER="+c.addr)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// during is bramble while the test goes on with what is due.
func (c *cluster) during(args ...string) (out string, err error) {
	c.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		out, err = c.bramble(args...)
	}()
	c.await("bramble "+strings.Join(args, " "), func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
	return out, err
}

// submit submits a script and returns the job's id.
func (c *cluster) submit(script string, args ...string) string {
	c.t.Helper()
	file := filepath.Join(c.logs, "job.sql")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		c.t.Fatal(err)
	}
	out, err := c.during(append([]string{"submit", file}, args...)...)
	_, id, ok := strings.Cut(out, "Job has been submitted with JobID ")
	if err != nil || !ok || len(id) < 32 {
		c.t.Fatalf("submit: %v\n%s", err, out)
	}
	return id[:32]
}

// metric adds all series of a name of the jobmanager; -1 if it cannot be asked.
func (c *cluster) metric(name string) float64 {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
	defer cancel()
	v, err := metric(ctx, c.metrics, name)
	if err != nil {
		return -1
	}
	return v
}

func metric(ctx context.Context, url, name string) (sum float64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() {
		_, drained := io.Copy(io.Discard, resp.Body) // so that the connection is used again
		err = errors.Join(err, drained, resp.Body.Close())
	}()
	for sc := bufio.NewScanner(resp.Body); sc.Scan(); {
		line := sc.Text()
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == ' ' || rest[0] == '{') {
			v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
			if err != nil {
				return 0, fmt.Errorf("metric %q: %w", line, err)
			}
			sum += v
		}
	}
	return sum, nil
}
