//go:build integration

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bramble-stream/bramble/internal/testenv"
)

// restartJobManager kills the jobmanager and starts one that has nothing of it but the checkpoint directory.
func (c *checkpointed) restartJobManager() {
	c.t.Helper()
	c.jobmanager.Signal(syscall.SIGKILL)
	<-c.jobmanager.Done()
	c.jobmanager = start(c.t, "jobmanager", c.jmArgs...)
	await(c.t, "the new jobmanager to answer", func() bool { _, err := c.bramble("list"); return err == nil })
}

// TestKilledJobManagerFindsItsJobs kills the jobmanager while rows are written: the next one goes on with the job under its ID, also after
// it was rescaled, and the results are those of one run. What has ended does not come back.
func TestKilledJobManagerFindsItsJobs(t *testing.T) {
	const kills = 3
	rds := testenv.Redis(t)
	db := redisClient(t, rds.URL())
	out := t.TempDir()
	c := startCheckpointed(t, 2, 2)
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
	id := c.submit(recoveryJob, "-p", "2", "-D", "REDIS_URL="+rds.URL(), "-D", "OUT="+out)
	completed := func(n float64) {
		t.Helper()
		await(t, "checkpoints", func() bool { return metric(t, c.jmMetrics, "bramble_checkpoints_total") >= n })
	}
	completed(3)
	for i := range kills {
		switch i {
		case 1:
			contains(t, c.mustBramble("rescale", id, "-p", "4"), "RUNNING at parallelism 4")
		case 2: // before the first checkpoint of this jobmanager
			await(t, "the job to run", func() bool { return strings.Contains(c.status(id), "State      RUNNING") })
		}
		c.restartJobManager()
		contains(t, c.mustBramble("list"), id[:8])
		if i < kills-2 {
			completed(3)
		}
	}
	completed(3)
	contains(t, c.status(id), id, "State      RUNNING", "4/4", "restored from", "recovered from checkpoint storage")
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
	t.Logf("%d rows\n%s", f.m.rows, c.status(id))
	c.mustBramble("cancel", id)
	await(t, "storage to forget the job", func() bool {
		left, err := os.ReadDir(filepath.Join(c.checkpoints, "jobs", id))
		return os.IsNotExist(err) || err == nil && len(left) == 0
	})
	c.restartJobManager()
	if listed := c.mustBramble("list", "-a"); strings.Contains(listed, id[:8]) {
		t.Errorf("a cancelled job came back:\n%s", listed)
	}
}
