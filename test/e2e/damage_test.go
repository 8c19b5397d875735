//go:build integration

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/bramble-stream/bramble/internal/testenv"
)

// newest is the highest number in the names of what matches a pattern below the job's directory of checkpoints.
func (c *checkpointed) newest(job, pattern string) int {
	c.t.Helper()
	found, err := filepath.Glob(filepath.Join(c.checkpoints, job, pattern))
	if err != nil {
		c.t.Fatal(err)
	}
	n := 0
	for _, f := range found {
		digits := strings.TrimPrefix(filepath.Base(f), "chk-")
		e, err := strconv.Atoi(digits)
		if err != nil {
			c.t.Fatal(err)
		}
		n = max(n, e)
	}
	return n
}

// flip changes a byte in the middle of each file that matches.
func flip(t *testing.T, pattern string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing to damage at %s: %v", pattern, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 0xff
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDamagedCheckpointIsPassedOver damages the newest checkpoint, once in its state and once in its manifest, and kills a taskmanager: the job goes
// on from the one before, and the results are those of a run without faults.
func TestDamagedCheckpointIsPassedOver(t *testing.T) {
	rds := testenv.Redis(t)
	db := redisClient(t, rds.URL())
	c := startCheckpointed(t, 1, 2)
	stop := make(chan struct{})
	type fed struct {
		m   *numbersModel
		err error
	}
	done := make(chan fed, 1)
	go func() {
		m, err := feed(t.Context(), db, 20_000, stop)
		done <- fed{m, err}
	}()
	// Long enough for the damage to be done and the process to be killed between two of them.
	job := strings.Replace(recoveryJob, "'500 ms'", "'4 s'", 1)
	id := c.submit(job, "-p", "2", "-D", "REDIS_URL="+rds.URL(), "-D", "OUT="+t.TempDir())
	damaged := 0
	for i, damage := range []func(dir string, epoch int){
		func(dir string, epoch int) { flip(t, filepath.Join(dir, "shared", fmt.Sprintf("%020d", epoch), "*")) },
		func(dir string, epoch int) { flip(t, filepath.Join(dir, fmt.Sprintf("chk-%d", epoch), "manifest")) },
	} {
		before := max(c.newest(id, "chk-*"), damaged) // it is removed, and its number used up
		await(t, "two more checkpoints", func() bool { return c.newest(id, "chk-*") >= before+2 })
		epoch := c.newest(id, "chk-*")
		damage(filepath.Join(c.checkpoints, id), epoch)
		damaged = epoch
		c.managers[i].Signal(syscall.SIGKILL)
		<-c.managers[i].Done()
		c.addTaskManager(2)
		await(t, "the job to go on", func() bool {
			return strings.Contains(c.status(id), fmt.Sprintf("; %d damaged", i+1)) && strings.Contains(c.status(id), "State      RUNNING")
		})
		contains(t, c.status(id), fmt.Sprintf("restored from %d", epoch-1))
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
	if n := metric(t, c.jmMetrics, `bramble_checkpoints_total`); n == 0 {
		t.Error("no checkpoints in the metrics")
	}
	if logged := c.jobmanager.out.String(); !strings.Contains(logged, "checkpoint is damaged") || !strings.Contains(logged, "checkpoint cannot be used") {
		t.Error("the log does not say it:\n", strings.Join(slices.Collect(strings.Lines(logged)), ""))
	}
	c.mustBramble("cancel", id)
}
