//go:build integration

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/checkpoint/ckptstore"
	"github.com/bramble-stream/bramble/internal/testenv"
)

// whole says whether all that the newest checkpoint of a job lists is what was written. epoch is its number, 0 for none.
func (c *checkpointed) whole(job string) (epoch int, ok bool) {
	c.t.Helper()
	root, err := blob.NewFile(c.checkpoints)
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := ckptstore.New(root, job)
	if err != nil {
		c.t.Fatal(err)
	}
	f, err := s.Find(c.t.Context())
	if err != nil || len(f.Manifests) == 0 || f.LastResort {
		return 0, false
	}
	ok = true
	f.Manifests[0].Files(func(f *checkpoint.File) {
		ok = ok && s.VerifyState(c.t.Context(), *f, func(context.Context, int64) error { return nil }) == nil
	})
	return int(f.Manifests[0].Epoch), ok //nolint:gosec // small
}

// state are the files of state that storage has of a job, but for empty ones.
func (c *checkpointed) state(job string) []string {
	c.t.Helper()
	files, err := filepath.Glob(filepath.Join(c.checkpoints, job, "shared", "*", "*"))
	if err != nil || len(files) == 0 {
		c.t.Fatalf("no state: %v", err)
	}
	return slices.DeleteFunc(files, func(f string) bool {
		info, err := os.Stat(f)
		return err != nil || info.Size() == 0
	})
}

// TestSharedStateIsRepaired damages all state in storage while the tasks have theirs: without a restart the checkpoints are whole again soon, and all
// taskmanagers may be lost with what they have. Then all state goes while there is no jobmanager: the job is restored from what taskmanagers have kept, and the
// next checkpoint is whole.
func TestSharedStateIsRepaired(t *testing.T) {
	rds := testenv.Redis(t)
	db := redisClient(t, rds.URL())
	c := startCheckpointed(t, 2, 1)
	stop, done := make(chan struct{}), make(chan numbersFed, 1)
	go func() {
		m, err := feed(t.Context(), db, 20_000, stop)
		done <- numbersFed{m, err}
	}()
	id := c.submit(recoveryJob, "-p", "2", "-D", "REDIS_URL="+rds.URL(), "-D", "OUT="+t.TempDir(),
		"-D", "execution.checkpointing.verification.interval=200 ms", "-D", "execution.checkpointing.verification.bytes-per-second=100000000")
	c.more(id, 4)
	spoilt := c.state(id)
	for _, f := range spoilt {
		flip(t, f)
	}
	before := c.newest(id, "chk-*")
	await(t, "a later checkpoint that is whole", func() bool {
		epoch, ok := c.whole(id)
		return ok && epoch > before+1
	})
	if n := c.sum("bramble_state_damaged_files_total"); n < 2 {
		t.Errorf("of %d damaged files %g were found", len(spoilt), n)
	}
	contains(t, c.managers[0].out.String()+c.managers[1].out.String(), "state in checkpoint storage is damaged")
	await(t, "the status to be well", func() bool { return !strings.Contains(c.status(id), "checkpoint storage: damaged") })

	for _, m := range c.managers[:2] {
		m.Signal(syscall.SIGKILL)
		<-m.Done()
	}
	c.addTaskManager(1)
	c.addTaskManager(1)
	await(t, "the job to go on", func() bool {
		s := c.status(id)
		return strings.Contains(s, "restored from") && strings.Contains(s, "State      RUNNING")
	})
	if s := c.status(id); strings.Contains(s, "damaged") {
		t.Error("a damaged checkpoint was met:\n", s)
	}
	c.more(id, 2)

	c.jobmanager.Signal(syscall.SIGKILL)
	<-c.jobmanager.Done()
	for _, f := range c.state(id) {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	c.restartJobManager()
	await(t, "the job to go on from what taskmanagers have", func() bool { return strings.Contains(c.status(id), "State      RUNNING") })
	contains(t, c.jobmanager.out.String(), "no checkpoint in storage is whole")
	c.more(id, 1)
	if _, ok := c.whole(id); !ok {
		t.Error("the first checkpoint after that is not whole")
	}
	close(stop)
	f := <-done
	if f.err != nil {
		t.Fatal(f.err)
	}
	await(t, "all results", func() bool { return f.m.wrong(t.Context(), db) == "" || t.Context().Err() != nil })
	if msg := f.m.wrong(t.Context(), db); msg != "" {
		t.Error(msg)
	}
	c.mustBramble("cancel", id)
}
