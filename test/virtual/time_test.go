//go:build integration

package virtual

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/jobmanager"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/internal/memnet"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// beat is how often the jobmanager of these tests looks at its deadlines: nothing happens later than that.
const beat = 10 * time.Millisecond

// calm runs f in a cluster whose network takes no time, over so many rows a split. What f starts with is a running job.
func calm(t *testing.T, rows int64, jobManagers, taskManagers, parallelism int, f func(t *testing.T, w *world), options ...string) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1, dir, rows, noBug)
		w.net.SetQuality(memnet.Quality{})
		w.tune = func(c *jobmanager.Config) { c.HeartbeatInterval = beat }
		defer func() {
			w.stop()
			if len(w.wrong) > 0 {
				t.Error(w.wrong)
			}
			if t.Failed() {
				t.Log(w.log.String())
			}
		}()
		if err := w.start(jobManagers, taskManagers); err != nil {
			t.Fatal(err)
		}
		if err := w.submit(t.Context(), settings(options...)+script, parallelism); err != nil {
			t.Fatal(err)
		}
		w.until(t, "the job runs", func() bool { return w.detail(t).Summary.State == pb.JobState_JOB_STATE_RUNNING })
		f(t, w)
	})
}

func (w *world) detail(t *testing.T) *pb.JobDetail {
	t.Helper()
	d, err := w.cl.Job(t.Context(), w.job)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// until looks every now and then, and returns how long it took.
func (w *world) until(t *testing.T, what string, f func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for ; !f(); time.Sleep(10 * beat) {
		if time.Since(began) > patience {
			t.Fatalf("never: %s", what)
		}
	}
	return time.Since(began)
}

// logged are the times of lines with all the parts, since the beginning.
func (w *world) logged(parts ...string) []time.Duration {
	var all []time.Duration
lines:
	for line := range strings.Lines(w.log.String()) {
		for _, p := range parts {
			if !strings.Contains(line, p) {
				continue lines
			}
		}
		text, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			panic(err)
		}
		all = append(all, at.Sub(w.outside.began))
	}
	return all
}

// wait lets time pass.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// within checks that something took as long as it should, and at most one beat longer.
func within(t *testing.T, what string, took, want time.Duration) {
	t.Helper()
	if took < want || took > want+beat {
		t.Errorf("%s took %s, want %s to a beat of %s more", what, took, want, beat)
	}
}

// TestSilenceIsNoticedAfterTheTimeout: both sides of a connection that has fallen silent give it up after 3 s, and not before; one of which the other side says
// that it is gone is lost at once.
func TestSilenceIsNoticedAfterTheTimeout(t *testing.T) {
	calm(t, 10*splitRows, 1, 1, 1, func(t *testing.T, w *world) {
		jm, tm := w.nodes[0].ip, w.nodes[1].ip
		wait(time.Second/2 - time.Since(w.outside.began)%time.Second)
		cut := time.Since(w.outside.began)
		w.net.Block(tm, jm, true)
		wait(2900 * time.Millisecond)
		if lost := w.logged("taskmanager lost"); len(lost) > 0 {
			t.Errorf("lost after %s", lost[0]-cut)
		}
		wait(200 * time.Millisecond)
		// It said something last within the beat before it was cut off.
		lost := w.logged("taskmanager lost", "no heartbeat for 3s")
		if len(lost) != 1 || lost[0]-cut < 3*time.Second-beat || lost[0]-cut > 3*time.Second+beat {
			t.Errorf("cut at %s, lost at %s", cut, lost)
		}
		w.net.Block(tm, jm, false)
		w.until(t, "it is back", func() bool { return len(w.logged("msg=registered")) == 2 })
		w.until(t, "the job runs", func() bool { return w.detail(t).Summary.State == pb.JobState_JOB_STATE_RUNNING })

		// The other way: it hears nothing, and its tasks end, before anybody else can begin to run them... as far as it knows.
		cut = time.Since(w.outside.began)
		w.net.Block(jm, tm, true)
		wait(2900 * time.Millisecond)
		if time.Since(w.outside.lastPoll()) > time.Second {
			t.Error("its tasks have ended too early")
		}
		wait(200 * time.Millisecond)
		gone := w.logged("jobmanager lost, registering again", "no heartbeat for 3")
		if len(gone) != 1 || gone[0]-cut < 3*time.Second-beat || gone[0]-cut > 3*time.Second+2*beat {
			t.Errorf("cut at %s, given up at %s", cut, gone)
		}
		if at := w.outside.lastPoll().Sub(w.outside.began); len(gone) == 1 && at > gone[0] {
			t.Errorf("its tasks read at %s", at)
		}
		w.net.Block(jm, tm, false)
		w.until(t, "it is back", func() bool { return len(w.logged("msg=registered")) == 3 })

		at := time.Since(w.outside.began)
		w.nodes[1].p.kill(false, "")
		synctest.Wait()
		if lost := w.logged("taskmanager lost", "connection lost"); len(lost) == 0 || lost[len(lost)-1] != at.Truncate(time.Millisecond) {
			t.Errorf("killed at %s, lost at %s", at, lost)
		}
	}, "restart-strategy.exponential-delay.initial-backoff", "100 ms")
}

func (o *outside) lastPoll() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mu.polled
}

func (o *outside) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.failing = err
}

// TestRestartDelaysGrow: 1, 2, 4, 8, 10, 10, … s, and 1 s again after the job has run well for a while.
func TestRestartDelaysGrow(t *testing.T) {
	const p = "restart-strategy.exponential-delay."
	calm(t, 10*splitRows, 1, 2, 2, func(t *testing.T, w *world) {
		w.outside.fail(errors.New("the outside is broken"))
		wait(40 * time.Second)
		w.outside.fail(nil)
		w.until(t, "it runs", func() bool { return w.detail(t).Summary.State == pb.JobState_JOB_STATE_RUNNING })
		wait(61 * time.Second)
		w.outside.fail(errors.New("broken again"))
		wait(2 * time.Second)
		w.outside.fail(nil)
		failed, placed := w.logged("job state", "state=RESTARTING"), w.logged("job state", "state=CREATED")[1:]
		wants := []int{1, 2, 4, 8, 10, 10, 10, 1}
		if len(failed) < len(wants) || len(placed) < len(wants) {
			t.Fatalf("%d failures, %d restarts", len(failed), len(placed))
		}
		for i, want := range wants {
			within(t, "restart", placed[i]-failed[i], time.Duration(want)*time.Second)
		}
	}, "execution.checkpointing.interval", "500 ms", p+"initial-backoff", "1 s", p+"max-backoff", "10 s", p+"backoff-multiplier", "2", p+"jitter-factor", "0",
		p+"reset-backoff-threshold", "1 min")
}

// checkpoints are those that the job tells of and that have ended, oldest first.
func (w *world) checkpoints(t *testing.T, status string) []*pb.Checkpoint {
	t.Helper()
	var all []*pb.Checkpoint
	for _, c := range w.detail(t).Checkpoints.History {
		if c.Status == status {
			all = append([]*pb.Checkpoint{c}, all...)
		}
	}
	return all
}

func ms(from, to int64) time.Duration { return time.Duration(to-from) * time.Millisecond }

// TestCheckpointsKeepTheirTimes: one begins when the interval has passed, and the pause since the one before; what takes longer than the timeout is given up.
func TestCheckpointsKeepTheirTimes(t *testing.T) {
	calm(t, 10*splitRows, 1, 2, 2, func(t *testing.T, w *world) {
		wait(3 * time.Second)
		quick := w.checkpoints(t, "COMPLETED")
		if len(quick) < 4 {
			t.Fatal(quick)
		}
		for i, c := range quick[1:] {
			within(t, "interval", ms(quick[i].TriggeredAtMs, c.TriggeredAtMs), 500*time.Millisecond)
		}
		// Slow storage: the pause counts.
		w.setFaults(blob.Faults{DelayRate: 1, DelayMax: 600 * time.Millisecond})
		wait(10 * time.Second)
		w.setFaults(blob.Faults{})
		slow := w.checkpoints(t, "COMPLETED")
		pauses := 0
		for i, c := range slow[1:] {
			before := slow[i]
			want := max(500*time.Millisecond, ms(before.TriggeredAtMs, before.EndedAtMs)+300*time.Millisecond)
			if want > 500*time.Millisecond {
				pauses++
			}
			within(t, "interval and pause", ms(before.TriggeredAtMs, c.TriggeredAtMs), want)
		}
		if pauses < 3 {
			t.Errorf("%d pauses", pauses)
		}
		// Storage that hangs for the tasks; a manifest that is on its way to it is waited for.
		for _, n := range w.nodes[1:] {
			w.setHang(n.ip, true)
		}
		wait(10 * time.Second)
		for _, n := range w.nodes[1:] {
			w.setHang(n.ip, false)
		}
		late := w.checkpoints(t, "FAILED")
		if len(late) < 2 {
			t.Fatal(late)
		}
		for _, c := range late {
			within(t, "timeout", ms(c.TriggeredAtMs, c.EndedAtMs), 2*time.Second)
		}
	}, "execution.checkpointing.interval", "500 ms", "execution.checkpointing.min-pause", "300 ms", "execution.checkpointing.timeout", "2 s",
		"execution.checkpointing.tolerable-failed-checkpoints", "100")
}

// TestStandbyTakesOverInTime: a leader that is gone without a word is followed when its lease has stood still for 6 s, one that stops in order at the next look.
func TestStandbyTakesOverInTime(t *testing.T) {
	const lease, look = 6 * time.Second, time.Second
	calm(t, 10*splitRows, 2, 2, 2, func(t *testing.T, w *world) {
		led := func() []time.Duration { return w.logged("msg=leading") }
		first := w.leader(t)
		wait(3 * time.Second)
		gone := time.Since(w.outside.began)
		first.p.kill(true, "")
		w.until(t, "the other leads", func() bool { return len(led()) == 2 })
		// The lease was renewed last within an interval before, and is looked at once in a while.
		if took := led()[1] - gone; took < lease-1500*time.Millisecond || took > lease+look {
			t.Errorf("taken over %s after a power cut", took)
		}
		w.until(t, "the job runs", func() bool { return w.detail(t).Summary.State == pb.JobState_JOB_STATE_RUNNING })
		<-first.p.done
		if err := first.start(); err != nil {
			t.Fatal(err)
		}
		wait(3 * time.Second)
		second := w.leader(t)
		if second == first {
			t.Fatal("the first leads")
		}
		gone = time.Since(w.outside.began)
		if err := second.p.stop(); err != nil {
			t.Fatal(err)
		}
		w.until(t, "the first leads again", func() bool { return len(led()) == 3 })
		if took := led()[2] - gone; took > look {
			t.Errorf("taken over %s after an end in order", took)
		}
		if err := second.start(); err != nil {
			t.Fatal(err)
		}
	})
}

// leader is the machine whose jobmanager began to lead last.
func (w *world) leader(t *testing.T) *node {
	t.Helper()
	var last *node
	var at time.Duration = -1
	for _, n := range w.nodes {
		if times := w.logged("msg=leading", "at="+n.ip+" "); n.isJM && len(times) > 0 && times[len(times)-1] > at {
			last, at = n, times[len(times)-1]
		}
	}
	if last == nil {
		t.Fatal("nobody leads")
	}
	return last
}

// TestPeersThatDoNotReachEachOtherAreNoticed: between two taskmanagers there are no heartbeats; that a channel is dead shows when TCP gives up, after 10 s, and
// the job begins anew as soon as they reach each other.
func TestPeersThatDoNotReachEachOtherAreNoticed(t *testing.T) {
	calm(t, splitRows, 1, 2, 2, func(t *testing.T, w *world) {
		wait(time.Second)
		a, b := w.nodes[1].ip, w.nodes[2].ip
		cut := time.Since(w.outside.began)
		w.net.Block(a, b, true)
		w.net.Block(b, a, true)
		w.until(t, "it is noticed", func() bool { return len(w.logged("state=RESTARTING")) > 0 })
		if took := w.logged("state=RESTARTING")[0] - cut; took < serve.LostAfter-beat || took > serve.LostAfter+beat {
			t.Errorf("noticed after %s", took)
		}
		w.net.Block(a, b, false)
		w.net.Block(b, a, false)
		w.await(t.Context())
		if whole, text := w.outside.whole(); !whole || len(w.outside.wrong()) > 0 {
			t.Error(text, w.outside.wrong())
		}
	}, "execution.checkpointing.interval", "500 ms")
}
