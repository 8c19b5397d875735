//go:build chaos || integration

package chaos

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/internal/testenv"
)

// jobManager is a place where a jobmanager runs, with an address of its own: what is started there again is the same one to all others.
type jobManager struct {
	*process
	index int
	// machine is nil if it is where the test is.
	machine       *machine
	host          string
	rpc, metrics  int
	addr, scrapes string
	dataDir       string
	// away: it has been killed, and is started again later. frozen: it answers nobody.
	away, frozen bool
	starts       int
}

func newJobManager(t *testing.T, host string, m *machine, index int) *jobManager {
	t.Helper()
	if m != nil {
		host = m.addr
	}
	jm := &jobManager{index: index, machine: m, host: host, rpc: testenv.FreePort(t), metrics: testenv.FreePort(t), dataDir: t.TempDir()}
	jm.addr = fmt.Sprintf("%s:%d", host, jm.rpc)
	jm.scrapes = fmt.Sprintf("http://%s:%d/metrics", host, jm.metrics)
	return jm
}

// metric adds series of this jobmanager.
func (jm *jobManager) metric(ctx context.Context, name string, labels ...string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return metric(ctx, jm.scrapes, name, labels...)
}

// startJobManager starts the i-th jobmanager, for the first time or again.
func (c *cluster) startJobManager(i int) {
	c.t.Helper()
	jm := c.jobmanagers[i]
	jm.starts++
	jm.away, jm.frozen = false, false
	var enter []string
	if jm.machine != nil {
		enter = jm.machine.enter()
	}
	jm.process = startIn(c.t, enter, c.logs, fmt.Sprintf("jobmanager%d-%02d", i, jm.starts), "jobmanager", "--bind-host", jm.host, "--rpc-port", strconv.Itoa(jm.rpc),
		"--http-port", "0", "--metrics-port", strconv.Itoa(jm.metrics), "--data-dir", jm.dataDir, "--checkpoint-dir", c.storage)
}

// leader is the jobmanager that leads, -1 if none does, or if it is not clear which: one that wakes up after another has taken over may think so
// for a moment.
func (c *cluster) leader() int {
	leads := -1
	for i, jm := range c.jobmanagers {
		if jm.away || jm.frozen {
			continue
		}
		v, err := jm.metric(c.t.Context(), "bramble_jobmanager_leading")
		if err != nil {
			return -1 // it is starting
		}
		if v == 1 {
			if leads >= 0 {
				return -1
			}
			leads = i
		}
	}
	return leads
}

// watchJobManagers starts one that has ended because another leads, as systemd would. None may end otherwise.
func (c *cluster) watchJobManagers(what string) {
	c.t.Helper()
	for i, jm := range c.jobmanagers {
		if jm.process == nil || jm.away || !jm.Ended() {
			continue
		}
		if len(c.jobmanagers) == 1 || jm.Cmd.ProcessState.ExitCode() != 1 {
			c.t.Fatalf("%s ended while waiting for %s: %s", jm.name, what, jm.Cmd.ProcessState)
		}
		c.logf("%s has been superseded", jm.name)
		jm.away = true
		c.later(time.Second, func() { c.startJobManager(i) })
	}
}

// logf notes what happens, with the time since the run began.
func (c *cluster) logf(format string, args ...any) {
	c.t.Helper()
	c.t.Logf("%7.1fs %s", time.Since(c.began).Seconds(), fmt.Sprintf(format, args...))
}

// pickJobManager is mostly the one that leads, -1 if all are away.
func (r *chaos) pickJobManager() int {
	i := r.leader()
	if i < 0 || r.rnd.IntN(5) == 0 {
		i = r.rnd.IntN(len(r.jobmanagers))
	}
	for range r.jobmanagers {
		if !r.jobmanagers[i].away {
			return i
		}
		i = (i + 1) % len(r.jobmanagers)
	}
	return -1
}

// role says what a jobmanager is, for the log.
func (r *chaos) role(i int) string {
	if r.leader() == i {
		return " (leads)"
	}
	return ""
}

// killJobManager ends a jobmanager without a word, and starts it again later: on its own, or as a standby of the one that has taken over.
func (r *chaos) killJobManager() string {
	i := r.pickJobManager()
	if i < 0 {
		return " nobody"
	}
	jm, role := r.jobmanagers[i], r.role(i)
	d := r.upTo(5 * time.Second)
	if len(r.jobmanagers) > 1 && r.rnd.IntN(2) == 0 {
		d += 10 * time.Second // long enough for the standby to notice
	}
	jm.away = true
	jm.Signal(syscall.SIGKILL)
	<-jm.Done()
	r.later(d, func() { r.startJobManager(i) })
	return fmt.Sprintf(" %s%s, again in %s", jm.name, role, d)
}

// freezeJobManager stops a jobmanager for longer than its heartbeat may be late, where there is another one for longer than its lease lasts, and lets
// it wake up.
func (r *chaos) freezeJobManager() string {
	i := r.pickJobManager()
	if i < 0 || r.jobmanagers[i].frozen {
		return " nobody"
	}
	jm, role := r.jobmanagers[i], r.role(i)
	d := 3500*time.Millisecond + r.upTo(3*time.Second)
	if len(r.jobmanagers) > 1 {
		d += r.upTo(12 * time.Second)
	}
	p := jm.process
	jm.frozen = true
	p.Signal(syscall.SIGSTOP)
	r.later(d, func() {
		p.Signal(syscall.SIGCONT)
		if jm.process == p {
			jm.frozen = false
		}
	})
	return fmt.Sprintf(" %s%s for %s", jm.name, role, d)
}
