//go:build integration

package e2e

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/internal/testenv"
)

// endless never ends by itself, and needs no server. Its two vertices make every task talk to every other.
const endless = `
CREATE TABLE bids (bid ROW<auction BIGINT, price BIGINT>) WITH ('connector' = 'nexmark', 'events.num' = '0', 'first-event.rate' = '200');
CREATE TABLE nowhere (auction BIGINT, n BIGINT, PRIMARY KEY (auction) NOT ENFORCED) WITH ('connector' = 'blackhole');
INSERT INTO nowhere SELECT bid.auction, COUNT(*) FROM bids GROUP BY bid.auction;
`

// ended waits for a process and returns its exit code; -1 for one that a signal has ended.
func (p *process) ended() int {
	p.t.Helper()
	select {
	case <-p.Done():
	case <-time.After(patience):
		p.t.Fatalf("%s did not end within %s:\n%s", p.name, patience, p.out)
	}
	return p.Cmd.ProcessState.ExitCode()
}

func (c *cluster) awaitMetric(name string, want float64) {
	c.t.Helper()
	await(c.t, name, func() bool { return metric(c.t, c.jmMetrics, name) == want })
}

func TestLostTaskManager(t *testing.T) {
	c := startCluster(t, 2, 1)
	id := c.submit(endless, "-p", "2")
	c.awaitMetric("bramble_jobmanager_slots_available", 0)
	c.managers[0].Signal(syscall.SIGKILL)
	out := c.awaitStatus(id, `State +FAILED`)
	contains(t, out, "Exceptions, the root cause first")
	_, exceptions, _ := strings.Cut(out, "the root cause first\n")
	first, _, _ := strings.Cut(exceptions, "\n")
	contains(t, first, "taskmanager 127.0.0.1:", " lost")
	c.awaitMetric("bramble_jobmanager_slots_total", 1)
	c.awaitMetric("bramble_jobmanager_slots_available", 1)
	c.awaitMetric("bramble_jobmanager_taskmanagers", 1)
	if n := strings.Count(c.mustBramble("taskmanagers"), "127.0.0.1:"); n != 2 { // its name and its address
		t.Errorf("taskmanagers:\n%s", c.mustBramble("taskmanagers"))
	}

	// One that is started in its place takes its part.
	c.addTaskManager(1)
	c.awaitMetric("bramble_jobmanager_slots_total", 2)
	again := c.submit(endless, "-p", "2")
	contains(t, c.status(again), "State      RUNNING")
	// One that leaves in order says so.
	c.managers[1].Signal(syscall.SIGTERM)
	if code := c.managers[1].ended(); code != 0 {
		t.Errorf("a taskmanager ended by SIGTERM with %d", code)
	}
	contains(t, c.awaitStatus(again, `State +FAILED`), "taskmanager 127.0.0.1:")
}

func TestJobManagerRestarts(t *testing.T) {
	c := startCluster(t, 2, 1)
	id := c.submit(endless, "-p", "2")
	for _, how := range []struct {
		signal syscall.Signal
		code   int
	}{{syscall.SIGTERM, 0}, {syscall.SIGKILL, -1}} {
		c.jobmanager.Signal(how.signal)
		if code := c.jobmanager.ended(); code != how.code {
			t.Errorf("signal %s: exit code %d, want %d", how.signal, code, how.code)
		}
		if out, err := c.bramble("list"); err == nil || !strings.Contains(out, "no jobmanager at "+c.addr) {
			t.Errorf("list without a jobmanager: %v\n%s", err, out)
		}
		c.jobmanager = start(t, "jobmanager", c.jobmanager.Cmd.Args[1:]...)
		c.awaitMetric("bramble_jobmanager_slots_available", 2)
		// Jobs are not kept yet: it is not there, and it holds no slot.
		if out, err := c.bramble("status", id); err == nil || !strings.Contains(out, "no job "+id) {
			t.Errorf("status of a job of the last jobmanager: %v\n%s", err, out)
		}
		id = c.submit(endless, "-p", "2")
		contains(t, c.status(id), "State      RUNNING")
	}
	for _, m := range c.managers {
		m.Signal(syscall.SIGTERM)
		if code := m.ended(); code != 0 {
			t.Errorf("a taskmanager ended with %d", code)
		}
	}
}

func TestSubmitWaitsForSlots(t *testing.T) {
	c := startCluster(t, 1, 1)
	submit := start(t, "bramble", "submit", c.script(endless), "-p", "2", "--name", "wide", "--jobmanager", c.addr)
	await(t, "submit to say what it waits for", func() bool { return strings.Contains(submit.out.String(), "waiting: needs 2 slots, 1 available") })
	id := jobID(t, submit.out.String())
	contains(t, c.mustBramble("list"), id, "wide", "CREATED", "needs 2 slots, 1 available")
	contains(t, c.mustBramble("list", "-r"), "No running jobs.")
	contains(t, c.status(id[:6]), "State      CREATED", "Waiting    needs 2 slots, 1 available")

	c.addTaskManager(1)
	if code := submit.ended(); code != 0 {
		t.Fatalf("submit ended with %d:\n%s", code, submit.out)
	}
	contains(t, c.mustBramble("list", "-r"), id, "RUNNING")
	contains(t, c.mustBramble("taskmanagers"), "127.0.0.1:", "linux/")
	c.awaitMetric("bramble_jobmanager_slots_available", 0)
	var managers []struct {
		Total int `json:"slots_total"`
		Free  int `json:"slots_free"`
	}
	if err := json.Unmarshal([]byte(c.mustBramble("taskmanagers", "-o", "json")), &managers); err != nil || len(managers) != 2 || managers[0].Total != 1 || managers[0].Free != 0 {
		t.Errorf("taskmanagers: %v, %v", managers, err)
	}

	contains(t, c.mustBramble("cancel", id[:6]), "Cancelled job "+id)
	c.awaitMetric("bramble_jobmanager_slots_available", 2)
	contains(t, c.mustBramble("list"), "No running jobs.")
	contains(t, c.mustBramble("list", "-a"), id, "CANCELED")
	if out, err := c.bramble("cancel", id); err == nil || !strings.Contains(out, "has ended already: CANCELED") {
		t.Errorf("cancelled twice: %v\n%s", err, out)
	}

	// A job that waits for slots can be cancelled, too.
	wider := start(t, "bramble", "submit", c.script(endless), "-p", "3", "--wait", "--jobmanager", c.addr)
	await(t, "submit to wait", func() bool { return strings.Contains(wider.out.String(), "needs 3 slots, 2 available") })
	c.mustBramble("cancel", jobID(t, wider.out.String()))
	if code := wider.ended(); code != 1 {
		t.Errorf("submit --wait of a cancelled job ended with %d:\n%s", code, wider.out)
	}
}

func TestSignalsEndProgramsCleanly(t *testing.T) {
	c := startCluster(t, 1, 1)
	// submit --wait that is interrupted leaves the job alone, and says how to go on.
	wait := start(t, "bramble", "submit", "--wait", c.script(endless), "--jobmanager", c.addr)
	c.awaitMetric("bramble_jobmanager_slots_available", 0)
	await(t, "the ID", func() bool { return strings.Contains(wait.out.String(), "JobID") })
	wait.Signal(syscall.SIGINT)
	if code := wait.ended(); code != 1 {
		t.Errorf("submit --wait ended with %d", code)
	}
	id := jobID(t, wait.out.String())
	contains(t, wait.out.String(), "the job goes on: `bramble status "+id[:8]+"`")
	contains(t, c.status(id), "State      RUNNING")

	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		run := start(t, "bramble", "run", c.script(strings.Replace(endless, "blackhole", "print", 1)), "-p", "2")
		await(t, "rows of bramble run", func() bool { return strings.Contains(run.out.String(), "+I[") })
		run.Signal(s)
		if code := run.ended(); code != 0 {
			t.Errorf("bramble run ended by %s with %d:\n%s", s, code, run.out)
		}
	}
	demo := start(t, "bramble", "demo", "--http-port", "0", "--metrics-port", "0")
	await(t, "the demo's first rows", func() bool { return strings.Count(demo.out.String(), "\n") > 20 })
	demo.Signal(syscall.SIGINT)
	if code := demo.ended(); code != 0 {
		t.Errorf("the demo ended by SIGINT with %d:\n%s", code, demo.out)
	}

	// The servers end with 0 while a job runs; the job ends with its taskmanager.
	for _, p := range []*process{c.managers[0], c.jobmanager} {
		p.Signal(syscall.SIGTERM)
		if code := p.ended(); code != 0 {
			t.Errorf("%s ended by SIGTERM with %d:\n%s", p.name, code, p.out)
		}
		if strings.Contains(p.out.String(), "panic") {
			t.Errorf("%s:\n%s", p.name, p.out)
		}
	}

	// A port that is taken is a failure that names the port and the flag.
	first := start(t, "jobmanager", "--bind-host", "127.0.0.1", "--rpc-port", "0", "--http-port", "-1", "--metrics-port", "-1")
	port := first.logged("rpc_port")
	out, err := exec.CommandContext(t.Context(), testenv.Bin(t, "jobmanager"), "--bind-host", "127.0.0.1", "--rpc-port", port, "--http-port", "-1", "--metrics-port", "-1").CombinedOutput()
	var failed *exec.ExitError
	if !errors.As(err, &failed) || failed.ExitCode() != 1 {
		t.Errorf("a taken port: %v, want exit code 1", err)
	}
	contains(t, string(out), "error: ", port, "--rpc-port")
}
