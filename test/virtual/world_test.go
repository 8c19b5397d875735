//go:build integration

package virtual

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/client"
	"github.com/bramble-stream/bramble/engine/jobmanager"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/engine/taskmanager"
	"github.com/bramble-stream/bramble/internal/app"
	"github.com/bramble-stream/bramble/internal/memnet"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// world is a cluster and what it stands on, in one bubble.
type world struct {
	seed    uint64
	rng     *rand.Rand
	rand    *random
	net     *memnet.Net
	mem     *blob.Mem
	outside *outside
	log     logBuffer
	bug     bug
	// dir holds data directories, of which there were dirs.
	dir  string
	dirs int
	// slots is how many a taskmanager has; jobManagers are the addresses that are looked at.
	slots       int
	jobManagers string
	// memoryBytes is what a taskmanager has; with little of it state is in Pebble rather than in tables.
	memoryBytes int64
	openState   taskmanager.OpenStateFunc
	// tune changes a jobmanager's configuration; it may be nil.
	tune func(*jobmanager.Config)
	// nodes are the machines, jobmanagers first.
	nodes []*node
	admin *process
	cl    *client.Client
	job   string
	// wrong is what is wrong beside what outside sees.
	wrong []string
	mu    struct {
		sync.Mutex
		faults   blob.Faults
		storages []*storage
		// hangs are closed when storage answers again, by the machine that it does not answer, "" for all.
		hangs map[string]chan struct{}
	}
}

// node is a machine on which one process runs after the other.
type node struct {
	w        *world
	ip       string
	isJM     bool
	p        *process
	starts   int
	endedErr error
	// busy: something is being done to it.
	busy bool
	// keep is the data directory for the next process, "" for a new one.
	keep string
}

// logBuffer takes what all processes log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(seed uint64, dir string, rows int64, b bug) *world {
	w := &world{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 0xfa)), rand: newRandom(seed), bug: b, dir: dir, mem: blob.NewMem(),
		net: memnet.New(seed, good), outside: newOutside(seed, rows, b), slots: 2, memoryBytes: 64 << 20, openState: app.OpenState,
	}
	w.net.SetLostAfter(serve.LostAfter)
	w.mu.hangs = map[string]chan struct{}{}
	if b == bugState {
		w.openState = forgetful
	}
	return w
}

// good is a house's Ethernet.
var good = memnet.Quality{DelayMin: 100 * time.Microsecond, DelayMax: 2 * time.Millisecond}

func (w *world) newDir() string {
	w.dirs++
	return filepath.Join(w.dir, strconv.Itoa(w.dirs))
}

func (w *world) store() blob.Store {
	switch w.bug {
	case bugUpload:
		return &careless{Store: w.mem}
	case bugFence:
		return &blind{Store: w.mem}
	}
	return w.mem
}

func (w *world) hanging(ip string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, of := range []string{ip, ""} {
		if ch := w.mu.hangs[of]; ch != nil {
			return ch
		}
	}
	return nil
}

// setFaults makes them those of all ways to the storage.
func (w *world) setFaults(f blob.Faults) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.faults = f
	for i, s := range w.mu.storages {
		f.Seed = w.seed + uint64(i)
		s.Set(f)
	}
}

// setHang has the storage answer a machine no more, or again; "" is all.
func (w *world) setHang(ip string, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ch := w.mu.hangs[ip]
	switch {
	case on && ch == nil:
		w.mu.hangs[ip] = make(chan struct{})
	case !on && ch != nil:
		close(ch)
		delete(w.mu.hangs, ip)
	}
}

// note puts a line into the log.
func (w *world) note(format string, args ...any) {
	fmt.Fprintf(&w.log, "time=%s ======== %s\n", time.Now().Format("2006-01-02T15:04:05.000Z"), fmt.Sprintf(format, args...))
}

func (w *world) fail(format string, args ...any) {
	w.wrong = append(w.wrong, fmt.Sprintf("%s: ", time.Since(w.outside.began))+fmt.Sprintf(format, args...))
}

// start begins with so many machines of each kind.
func (w *world) start(jobManagers, taskManagers int) error {
	var addresses []string
	for i := range jobManagers {
		ip := fmt.Sprintf("10.0.0.%d", i+1)
		addresses = append(addresses, fmt.Sprint(ip, ":", rpcPort))
		w.nodes = append(w.nodes, &node{w: w, ip: ip, isJM: true})
	}
	w.jobManagers = strings.Join(addresses, ",")
	for i := range taskManagers {
		w.nodes = append(w.nodes, &node{w: w, ip: fmt.Sprintf("10.0.0.%d", 11+i)})
	}
	for _, n := range w.nodes {
		if err := n.start(); err != nil {
			return err
		}
	}
	w.admin = &process{host: w.net.Host("10.0.0.100")}
	var err error
	w.cl, err = client.NewOn(w.admin.network(), w.jobManagers)
	return err
}

func (n *node) start() (err error) {
	n.starts++
	if n.isJM {
		n.p, err = n.w.jobManager(n.ip)
	} else {
		n.p, err = n.w.taskManager(n.ip, n.keep)
		n.keep = ""
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", n.ip, err)
	}
	return nil
}

// tend starts jobmanagers again that have ended by themselves, as systemd would. A taskmanager does not do that.
func (w *world) tend() {
	for _, n := range w.nodes {
		if n.busy || n.p.dead.Load() {
			continue
		}
		select {
		case <-n.p.done:
		default:
			continue
		}
		w.note("%s has ended: %v", n.ip, n.p.err)
		if !n.isJM || n.p.err == nil {
			w.fail("%s ended by itself: %v", n.ip, n.p.err)
		}
		n.endedErr = n.p.err
		if err := n.start(); err != nil {
			w.fail("%v", err)
		}
	}
}

// stop ends all in order.
func (w *world) stop() {
	if w.cl != nil {
		if err := w.cl.Close(); err != nil {
			w.fail("close the client: %v", err)
		}
	}
	for _, n := range slices.Backward(w.nodes) {
		if n.p != nil {
			// One jobmanager may just have learned that the other leads.
			if err := n.p.stop(); err != nil && !n.p.dead.Load() && !n.isJM {
				w.fail("%s stopped with %v", n.ip, err)
			}
		}
	}
}

// submit submits the job; nothing is wrong yet.
func (w *world) submit(ctx context.Context, script string, parallelism int) error {
	id, _, err := w.cl.Submit(ctx, client.Script{File: "job.sql", Text: script, Parallelism: parallelism}, "job")
	w.job = id
	return err
}

const (
	// pollEvery is how often the driver looks at the job; patience for how long, when nothing is wrong any more and all input is there, it may take to end:
	// the longest pause of a client that looks for its server, of storage that is tried again, and of the restart strategy come together.
	pollEvery = 500 * time.Millisecond
	patience  = 3 * time.Minute
	askMax    = 5 * time.Second
	// patienceWithBugs is shorter: what is caught by it may as well be caught by mistake, at once.
	patienceWithBugs = 30 * time.Second
)

// await waits until the job has ended.
func (w *world) await(ctx context.Context) {
	last := "nobody answers"
	patience := patience
	if w.bug != noBug {
		patience = patienceWithBugs
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(pollEvery) {
		w.tend()
		limited, cancel := context.WithTimeout(ctx, askMax)
		d, err := w.cl.Job(limited, w.job)
		cancel()
		switch {
		case errors.Is(err, client.ErrNotFound):
			w.note("the job is forgotten")
			return // it ended under a jobmanager that is gone
		case err != nil:
			last = err.Error()
			continue
		}
		last = fmt.Sprint(d.Summary.State, " ", d.Summary.WaitingReason)
		switch d.Summary.State {
		case pb.JobState_JOB_STATE_FINISHED:
			w.note("the job has finished")
			return
		case pb.JobState_JOB_STATE_FAILED, pb.JobState_JOB_STATE_CANCELED:
			w.fail("the job is %s: %v", d.Summary.State, d.Exceptions)
			return
		}
	}
	w.fail("the job does not come to its end: %s", last)
}

// goOn stops the job with a savepoint when nothing happens any more, and has another one go on from there.
func (w *world) goOn(ctx context.Context, script string, parallelism int) {
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(pollEvery) {
		w.tend()
		var d *pb.JobDetail
		switch d, err = w.cl.Job(ctx, w.job); {
		case errors.Is(err, client.ErrNotFound) || err == nil && d.Summary.EndedAtMs != 0:
			return // faults were undone so late that it has come to its end
		case err != nil || d.Summary.State != pb.JobState_JOB_STATE_RUNNING:
			continue
		}
		var s *pb.StopJobResponse
		if s, err = w.cl.Stop(ctx, w.job, "", false); err != nil {
			w.note("not stopped: %v", err)
			continue
		}
		id, _, err := w.cl.SubmitFrom(ctx, client.Script{File: "job.sql", Text: script, Parallelism: parallelism}, "job", s.Path, false)
		if err != nil {
			w.fail("go on from a savepoint: %v", err)
			return
		}
		w.note("job %s goes on from %s as %s, parallelism %d", w.job, s.Path, id, parallelism)
		w.job = id
		return
	}
	w.fail("the job cannot be stopped: %v", err)
}

// verdict is what was wrong, nil if nothing was.
func (w *world) verdict() error {
	wrong := append(w.wrong, w.outside.wrong()...)
	if whole, text := w.outside.whole(); !whole {
		wrong = append(wrong, "not all is there: "+text)
	}
	if n := w.net.Open(); n > 0 {
		wrong = append(wrong, fmt.Sprintf("%d ends of connections are still open", n))
	}
	if len(wrong) == 0 {
		return nil
	}
	return errors.New(strings.Join(wrong, "\n"))
}

// script is the job: every row passes, is counted for ever, and in its window. Rows are repartitioned by key.
const script = `
CREATE TABLE feed (k STRING, n BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('connector' = 'feed');
CREATE TABLE windows (at TIMESTAMP(3), k STRING, c BIGINT, s BIGINT) WITH ('connector' = 'vault');
CREATE TABLE totals (k STRING, c BIGINT, s BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'vault');
CREATE TABLE entries (n BIGINT) WITH ('connector' = 'vault');
EXECUTE STATEMENT SET BEGIN
INSERT INTO windows SELECT window_start, k, COUNT(*), SUM(n)
  FROM TABLE(TUMBLE(TABLE feed, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY k, window_start, window_end;
INSERT INTO totals SELECT k, COUNT(*), SUM(n) FROM feed GROUP BY k;
INSERT INTO entries SELECT n FROM feed;
END;
`

func settings(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&b, "SET '%s' = '%s';\n", pairs[i], pairs[i+1])
	}
	return b.String()
}

// TestNothingHappens: without faults the job comes to what the model says, and all ends.
func TestNothingHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1, t.TempDir(), splitRows, noBug)
		defer func() {
			if t.Failed() {
				t.Log(w.log.String())
			}
		}()
		if err := w.start(1, 3); err != nil {
			t.Fatal(err)
		}
		if err := w.submit(t.Context(), settings("execution.checkpointing.interval", "500 ms")+script, 3); err != nil {
			t.Fatal(err)
		}
		w.await(t.Context())
		w.stop()
		if err := w.verdict(); err != nil {
			t.Error(err)
		}
	})
}
