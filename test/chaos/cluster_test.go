//go:build chaos || integration

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
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/internal/child"
	"github.com/bramble-stream/bramble/internal/testenv"
)

const (
	// patience bounds every wait: far above what is usual, since machines are shared.
	patience = 150 * time.Second
	poll     = 50 * time.Millisecond
	slots    = 2
	// dataHost is where taskmanagers listen; what they are known under leads through a proxy on loopback.
	dataHost, loopback = "127.0.0.2", "127.0.0.1"
)

// process is a running program of ours. Its output goes to a file.
type process struct {
	*child.Process
	t    *testing.T
	name string
}

func start(t *testing.T, dir, name, bin string, args ...string) *process {
	t.Helper()
	return startIn(t, nil, dir, name, bin, args...)
}

// startIn starts a program by a command that leads into some other surroundings, and becomes it.
func startIn(t *testing.T, enter []string, dir, name, bin string, args ...string) *process {
	t.Helper()
	args = append(append(slices.Clone(enter), testenv.Bin(t, bin)), args...)
	started, err := child.StartInto(filepath.Join(dir, name+".log"), exec.Command(args[0], args[1:]...))
	if err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	p := &process{Process: started, t: t, name: name}
	t.Cleanup(func() {
		p.Signal(syscall.SIGCONT)
		if !p.End(syscall.SIGTERM, 20*time.Second) {
			t.Errorf("%s did not stop on SIGTERM within 20s", name)
		}
	})
	return p
}

// manager is a taskmanager; what its peers send it comes through the proxy, unless it has a machine of its own.
type manager struct {
	*process
	proxy   *testenv.CuttableProxy
	machine *machine
	disk    *disk
}

// layout is what a cluster consists of beside its taskmanagers.
type layout struct {
	// jobmanagers is how many there are: one leads.
	jobmanagers int
	// network gives each taskmanager a network namespace of its own.
	network bool
	// apart gives each jobmanager one, too, and has checkpoints on an S3 server that the network leads to.
	apart bool
}

// cluster is jobmanagers and taskmanagers as processes.
type cluster struct {
	t    *testing.T
	logs string
	// host is where jobmanagers listen; addr are their addresses, as clients take them.
	host, addr  string
	jobmanagers []*jobManager
	managers    []*manager
	started     int
	// storage is where checkpoints go. It is the directory checkpoints, on disk; or s3, which is all that is not nil then.
	storage     string
	checkpoints string
	disk        *disk
	s3          *s3
	// net is nil if all is on loopback.
	net *network
	// began is when the run began, for its log.
	began time.Time
	// due are things to do later, in no order.
	due []dueAction
}

type dueAction struct {
	at time.Time
	do func()
}

func startCluster(t *testing.T, logs string, taskmanagers int, l layout) *cluster {
	t.Helper()
	c := &cluster{t: t, logs: logs, host: loopback, began: time.Now()}
	if l.network {
		machines := taskmanagers
		if l.apart {
			machines += l.jobmanagers
		}
		c.net = newNetwork(t, machines)
		c.host = c.net.host()
	}
	if l.apart {
		c.s3 = newS3(t, c.host)
		c.storage = c.s3.location
	} else {
		c.disk = newDisk(t, filepath.Join(t.TempDir(), "storage"), storageBytes)
		c.checkpoints = filepath.Join(c.disk.dir, "checkpoints")
		c.storage = "file://" + c.checkpoints
	}
	for i := range l.jobmanagers {
		var m *machine
		if l.apart {
			m = c.net.claim()
		}
		c.jobmanagers = append(c.jobmanagers, newJobManager(t, c.host, m, i))
	}
	var addrs []string
	for _, jm := range c.jobmanagers {
		addrs = append(addrs, jm.addr)
	}
	c.addr = strings.Join(addrs, ",")
	for i := range c.jobmanagers {
		c.startJobManager(i)
	}
	for range taskmanagers {
		c.addManager()
	}
	c.await("all taskmanagers to register", func() bool { return c.metric("bramble_jobmanager_taskmanagers") == float64(taskmanagers) })
	return c
}

func (c *cluster) addManager() {
	c.t.Helper()
	c.started++
	m := &manager{disk: newDisk(c.t, filepath.Join(c.t.TempDir(), "data"), dataBytes)}
	args := []string{"--jobmanager", c.addr, "--slots", strconv.Itoa(slots), "--metrics-port", "-1", "--data-dir", filepath.Join(m.disk.dir, "taskmanager")}
	name := fmt.Sprintf("taskmanager%03d", c.started)
	if c.net != nil {
		m.machine = c.net.claim()
		m.process = startIn(c.t, m.machine.enter(), c.logs, name, "taskmanager", append(args, "--bind-host", m.machine.addr, "--data-port", "6124")...)
	} else {
		port := testenv.FreePort(c.t)
		m.proxy = testenv.ProxyAt(c.t, fmt.Sprintf("%s:%d", loopback, port), fmt.Sprintf("%s:%d", dataHost, port))
		m.process = start(c.t, c.logs, name, "taskmanager", append(args, "--bind-host", dataHost, "--advertise-host", loopback, "--data-port", strconv.Itoa(port))...)
	}
	c.managers = append(c.managers, m)
}

// kill ends the i-th taskmanager without a word.
func (c *cluster) kill(i int) string {
	m := c.managers[i]
	m.Signal(syscall.SIGKILL)
	<-m.Done()
	c.managers = append(c.managers[:i:i], c.managers[i+1:]...)
	if m.machine != nil {
		m.machine.used = false
	}
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
		c.watchJobManagers(what)
		for _, m := range c.managers {
			if m.Ended() {
				c.t.Fatalf("%s ended by itself: %s", m.name, m.Cmd.ProcessState)
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
func (c *cluster) during(args ...string) (string, error) {
	c.t.Helper()
	type printed struct {
		out string
		err error
	}
	done := make(chan printed, 1)
	go func() {
		out, err := c.bramble(args...)
		done <- printed{out, err}
	}()
	var p printed
	c.await("bramble "+strings.Join(args, " "), func() bool {
		select {
		case p = <-done:
			return true
		default:
			return false
		}
	})
	return p.out, p.err
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

// metric adds all series of a name that have all of some labels, of the jobmanager that leads; -1 if none does or it cannot be asked.
func (c *cluster) metric(name string, labels ...string) float64 {
	i := c.leader()
	if i < 0 {
		return -1
	}
	v, err := c.jobmanagers[i].metric(c.t.Context(), name, labels...)
	if err != nil {
		return -1
	}
	return v
}

func metric(ctx context.Context, url, name string, labels ...string) (sum float64, err error) {
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
			if slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(rest, l) }) {
				continue
			}
			v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
			if err != nil {
				return 0, fmt.Errorf("metric %q: %w", line, err)
			}
			sum += v
		}
	}
	return sum, nil
}
