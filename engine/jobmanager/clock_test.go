package jobmanager_test

import (
	"context"
	"crypto/rand"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/client"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/jobmanager"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/engine/task"
	"github.com/bramble-stream/bramble/engine/taskmanager"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// setClock is a time of day that somebody sets. Its times have no monotonic reading, as those of a clock that was set do not help.
type setClock struct{ off atomic.Int64 }

func (c *setClock) Now() time.Time { return time.Now().Round(0).Add(time.Duration(c.off.Load())) }

const year = 365 * 24 * time.Hour

// TestClockThatIsSet: a jobmanager whose clock jumps by decades, both ways, loses no taskmanager, lets no deadline pass early or never, and
// shows what happened before by the time of day as it is now known to be.
func TestClockThatIsSet(t *testing.T) {
	clock := &setClock{}
	clock.off.Store(int64(-50 * year)) // a Pi after a start without a network
	jm, err := jobmanager.New(jobmanager.Config{
		BindHost: "127.0.0.1", Plan: planFake, Connectors: connectors(), Version: "test", Clock: clock, Rand: rand.Reader,
		HTTPPort: serve.Off, MetricsPort: serve.Off, HeartbeatInterval: beat, HeartbeatTimeout: 50 * beat, MetricsInterval: beat,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, jm: jm}
	c.connect()
	c.with(jm.Run)
	tm, err := taskmanager.New(taskmanager.Config{
		JobManager: jm.Address(), BindHost: "127.0.0.1", Slots: 2, Builders: builders(&c.taken), Version: "test", MetricsPort: serve.Off,
		Clock: task.SystemClock{}, Rand: rand.Reader, DataDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	c.with(tm.Run)
	id, _, err := c.client.Submit(t.Context(), client.Script{File: "a", Text: script{Source: 1, Sink: 1, Rows: -1, Partition: graph.Rebalance}.text()}, "")
	if err != nil {
		t.Fatal(err)
	}
	state := func() *pb.JobSummary {
		d, err := c.client.Job(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return d.Summary
	}
	until(t, "it runs", func() bool { return state().State == pb.JobState_JOB_STATE_RUNNING })
	registered := func() *pb.TaskManagerInfo {
		all, err := c.client.TaskManagers(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		return all[0]
	}
	before := registered().RegisteredAtMs
	for _, to := range []time.Duration{0, -20 * year, 30 * year, 0} {
		clock.off.Store(int64(to))
		// Several times the interval in which silence is looked for.
		last := registered().LastHeartbeatMs
		for range 5 {
			until(t, "a heartbeat", func() bool { now := registered().LastHeartbeatMs; ok := now != last; last = now; return ok })
		}
		if s := state(); s.State != pb.JobState_JOB_STATE_RUNNING || s.Restarts != 0 {
			t.Fatalf("the clock is set to %s: the job is %s, %d restarts", to, s.State, s.Restarts)
		}
	}
	if registered().RegisteredAtMs != before {
		t.Error("the taskmanager was lost")
	}
	if age := time.Since(time.UnixMilli(state().RunningAtMs)); age < -time.Second || age > time.Hour {
		t.Errorf("the job is shown to run since %s ago", age)
	}
	// What waits for a deadline gets it: the cancellation of a job on a taskmanager that is gone ends.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, st, err := c.client.Cancel(ctx, id); err != nil || st != pb.JobState_JOB_STATE_CANCELED {
		t.Errorf("%v, %v", st, err)
	}
}
