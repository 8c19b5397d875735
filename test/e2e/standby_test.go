//go:build integration

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/internal/testenv"
)

// standbyMax is how long a standby may take to lead when the leader is gone: the lease's 6 s, and what a busy machine adds.
const standbyMax = 20 * time.Second

// pair is a cluster with two jobmanagers over one checkpoint storage.
type pair struct {
	*checkpointed
	jms   [2]*process
	args  [2][]string
	rpc   [2]string
	http  [2]string
	stats [2]string
}

// startPair starts the first jobmanager, then the second, which stands by, and taskmanagers that know both.
func startPair(t *testing.T, taskmanagers, slots int) *pair {
	t.Helper()
	p := &pair{}
	dir := t.TempDir()
	for i := range p.jms {
		rpc, page, metrics := testenv.FreePort(t), testenv.FreePort(t), testenv.FreePort(t)
		p.rpc[i], p.http[i] = fmt.Sprintf("127.0.0.1:%d", rpc), fmt.Sprintf("http://127.0.0.1:%d", page)
		p.stats[i] = fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics)
		p.args[i] = []string{
			"--bind-host", "127.0.0.1", "--rpc-port", strconv.Itoa(rpc), "--http-port", strconv.Itoa(page),
			"--metrics-port", strconv.Itoa(metrics), "--checkpoint-dir", "file://" + dir,
		}
	}
	c := &cluster{t: t, addr: p.rpc[0] + "," + p.rpc[1], jmMetrics: p.stats[0]}
	p.checkpointed = &checkpointed{c, dir, nil}
	p.startOne(0)
	p.leads(0)
	p.startOne(1)
	await(t, "the second to stand by", func() bool { return strings.Contains(p.jms[1].out.String(), "standing by") })
	for range taskmanagers {
		c.addTaskManager(slots)
	}
	p.registered(taskmanagers)
	return p
}

func (p *pair) startOne(i int) { p.jms[i] = start(p.t, "jobmanager", p.args[i]...) }

// leads waits until jobmanager i leads, and returns how long that took.
func (p *pair) leads(i int) time.Duration {
	p.t.Helper()
	began := time.Now()
	await(p.t, "the jobmanager to lead", func() bool { return metric(p.t, p.stats[i], "bramble_jobmanager_leading") == 1 })
	p.jmMetrics = p.stats[i]
	return time.Since(began)
}

func (p *pair) registered(n int) {
	p.t.Helper()
	await(p.t, "all taskmanagers to register", func() bool {
		return metric(p.t, p.jmMetrics, "bramble_jobmanager_taskmanagers") == float64(n)
	})
}

func (p *pair) completed(n float64) {
	p.t.Helper()
	await(p.t, "checkpoints", func() bool { return metric(p.t, p.jmMetrics, "bramble_checkpoints_total") >= n })
}

// ended waits until a superseded jobmanager has ended by itself.
func (p *pair) ended(i int) {
	p.t.Helper()
	select {
	case <-p.jms[i].Done():
	case <-time.After(patience):
		p.t.Fatal("the superseded jobmanager goes on")
	}
	if code := p.jms[i].Cmd.ProcessState.ExitCode(); code != 1 {
		p.t.Errorf("the superseded jobmanager ended with %d, want 1", code)
	}
	contains(p.t, p.jms[i].out.String(), "another jobmanager leads")
}

// page gets a page of a jobmanager.
func (p *pair) page(i int, path string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.http[i]+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestStandbyTakesOver has a job live through the loss of its jobmanager by kill -9, by SIGTERM, and by a freeze from which the former leader wakes.
// Each time the other one takes over by itself, and the results are those of one run.
func TestStandbyTakesOver(t *testing.T) {
	rds := testenv.Redis(t)
	db := redisClient(t, rds.URL())
	out := t.TempDir()
	p := startPair(t, 3, 2)
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/": 503} {
		code, text := p.page(1, path)
		if code != want || path != "/healthz" && !strings.Contains(text, p.rpc[0]) {
			t.Errorf("%s of the standby is %d %s", path, code, text)
		}
	}
	stop := make(chan struct{})
	type fed struct {
		m   *numbersModel
		err error
	}
	done := make(chan fed, 1)
	go func() {
		m, err := feed(t.Context(), db, 30_000, stop)
		done <- fed{m, err}
	}()
	// A standby is as good to ask as the leader.
	id := jobID(t, p.mustBramble("submit", p.script(recoveryJob), "--jobmanager", p.rpc[1], "-p", "2", "-D", "REDIS_URL="+rds.URL(), "-D", "OUT="+out))
	p.completed(3)

	p.jms[0].Signal(syscall.SIGKILL)
	took := p.leads(1)
	if took > standbyMax {
		t.Errorf("the standby took %s", took)
	}
	p.registered(3)
	p.completed(3)
	contains(t, p.status(id), id, "State      RUNNING")
	t.Logf("kill -9: the standby leads after %s", took)

	p.startOne(0)
	await(t, "the first to stand by", func() bool { return strings.Contains(p.jms[0].out.String(), "standing by") })
	p.jms[1].Signal(syscall.SIGTERM)
	quick := p.leads(0)
	if quick > 5*time.Second {
		t.Errorf("after SIGTERM the standby took %s", quick)
	}
	p.registered(3)
	p.completed(3)
	t.Logf("SIGTERM: the standby leads after %s", quick)

	p.startOne(1)
	await(t, "the second to stand by", func() bool { return strings.Contains(p.jms[1].out.String(), "standing by") })
	p.jms[0].Signal(syscall.SIGSTOP)
	t.Cleanup(func() { p.jms[0].Signal(syscall.SIGCONT) })
	if took := p.leads(1); took > standbyMax {
		t.Errorf("the standby of a frozen leader took %s", took)
	}
	p.registered(3)
	p.completed(2)
	p.jms[0].Signal(syscall.SIGCONT)
	p.ended(0)
	p.completed(4)
	close(stop)
	f := <-done
	if f.err != nil {
		t.Fatal(f.err)
	}
	await(t, "all results", func() bool { return f.m.wrong(t.Context(), db) == "" || t.Context().Err() != nil })
	var rows map[string]int
	await(t, "all rows in files", func() bool { rows = committed(t, out); return len(rows) >= f.m.rows-3 }) // the last ones are alike
	for row, n := range rows {
		if n != 1 && row != "end,0" {
			t.Errorf("row %s is in files %d times", row, n)
		}
	}
	t.Logf("%d rows", f.m.rows)
	p.mustBramble("cancel", id)
}

// TestKilledJobManagerDoesNotWaitForItself: one that is started where the leader was knows that it is gone.
func TestKilledJobManagerDoesNotWaitForItself(t *testing.T) {
	c := startCheckpointed(t, 1, 1)
	began := time.Now()
	c.restartJobManager()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if strings.Contains(c.jobmanager.out.String(), "standing by") {
		t.Error("it stood by")
	}
}
