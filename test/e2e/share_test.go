//go:build integration

package e2e

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/bramble-stream/bramble/internal/testenv"
)

// TestJobOnShare is TestJobOverS3 on a directory: that of BRAMBLE_TEST_SHARE, which may be a mounted share, or a temporary one. The command
// BRAMBLE_TEST_SHARE_OUTAGE, if it is set, takes the share's server away and returns when it is back.
func TestJobOnShare(t *testing.T) {
	dir := t.TempDir()
	if share := os.Getenv("BRAMBLE_TEST_SHARE"); share != "" {
		d, err := os.MkdirTemp(share, "bramble-") //nolint:usetesting // on the share
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.RemoveAll(d); err != nil {
				t.Error(err)
			}
		})
		dir = d
	}
	c := startCheckpointedIn(t, dir, 2, 2)
	c.livesThrough(func() {
		if command := os.Getenv("BRAMBLE_TEST_SHARE_OUTAGE"); command != "" {
			if out, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", command).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
		}
	}, func(prefixes ...string) []string { return filesBesides(t, dir, prefixes...) })
}

// filesBesides waits until only leader records and what has one of the prefixes is in dir, and returns the latter.
func filesBesides(t *testing.T, dir string, prefixes ...string) []string {
	t.Helper()
	var kept, left []string
	await(t, "the directory to be tidy", func() bool {
		kept, left = nil, nil
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil // deleted just now
			}
			if err != nil || d.IsDir() {
				return err
			}
			name := strings.TrimPrefix(path, dir+"/")
			switch {
			case slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }):
				kept = append(kept, name)
			case !strings.HasPrefix(name, "leader/"):
				left = append(left, name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(left) > 0 {
			t.Logf("left: %q", left)
		}
		return len(left) == 0
	})
	return kept
}

// startCheckpointedIn is startCheckpointed with checkpoints in dir.
func startCheckpointedIn(t *testing.T, dir string, taskmanagers, slots int) *checkpointed {
	t.Helper()
	c := startWithStorage(t, "file://"+dir, func() {}, taskmanagers, slots)
	c.checkpoints = dir
	return c
}

// startWithStorage starts a jobmanager, calls between, and starts taskmanagers.
func startWithStorage(t *testing.T, location string, between func(), taskmanagers, slots int) *checkpointed {
	t.Helper()
	rpc, metrics := testenv.FreePort(t), testenv.FreePort(t)
	c := &cluster{t: t, addr: "127.0.0.1:" + strconv.Itoa(rpc), jmMetrics: "http://127.0.0.1:" + strconv.Itoa(metrics) + "/metrics"}
	args := []string{
		"--bind-host", "127.0.0.1", "--rpc-port", strconv.Itoa(rpc), "--http-port", "0",
		"--metrics-port", strconv.Itoa(metrics), "--checkpoint-dir", location,
	}
	c.jobmanager = start(t, "jobmanager", args...)
	between()
	for range taskmanagers {
		c.addTaskManager(slots)
	}
	await(t, "all taskmanagers to register", func() bool {
		return metric(t, c.jmMetrics, "bramble_jobmanager_taskmanagers") == float64(taskmanagers)
	})
	return &checkpointed{c, "", args}
}

// numbersFed is what feed came to.
type numbersFed struct {
	m   *numbersModel
	err error
}

// livesThrough has recoveryJob live through the loss of a taskmanager, of the jobmanager, and of storage, and checks what comes out; besides waits until
// storage holds nothing but what has a prefix, and leader records.
func (c *checkpointed) livesThrough(outage func(), besides func(prefixes ...string) []string) {
	t := c.t
	t.Helper()
	rds := testenv.Redis(t)
	db, out := redisClient(t, rds.URL()), t.TempDir()
	stop, done := make(chan struct{}), make(chan numbersFed, 1)
	go func() {
		m, err := feed(t.Context(), db, 20_000, stop)
		done <- numbersFed{m, err}
	}()
	id := c.submit(recoveryJob, "-p", "2", "-D", "REDIS_URL="+rds.URL(), "-D", "OUT="+out)
	c.more(id, 3)
	c.managers[0].Signal(syscall.SIGKILL)
	<-c.managers[0].Done()
	c.addTaskManager(2)
	await(t, "the job to restart", func() bool {
		return metric(t, c.jmMetrics, "bramble_job_restarts_total") >= 1 && strings.Contains(c.status(id), "State      RUNNING")
	})
	c.more(id, 2)
	c.restartJobManager() // with an empty disk
	c.more(id, 2)
	contains(t, c.status(id), id, "State      RUNNING", "recovered from checkpoint storage")
	outage()
	await(t, "the job to run after the outage", func() bool { return strings.Contains(c.status(id), "State      RUNNING") })
	c.more(id, 2)

	close(stop)
	f := <-done
	if f.err != nil {
		t.Fatal(f.err)
	}
	checkNumbers(t, f.m, rds.URL(), out)
	saved := pathOf(t, c.mustBramble("savepoint", id))
	t.Logf("%d rows\n%s", f.m.rows, c.status(id))
	c.mustBramble("cancel", id)
	if len(besides("savepoints/")) == 0 {
		t.Error("the savepoint went with the job")
	}

	// What is left is a savepoint: a job goes on from it, and there is nothing that it would have to do again.
	again := c.submit(recoveryJob, "-p", "1", "--from-savepoint", saved, "-D", "REDIS_URL="+rds.URL(), "-D", "OUT="+out)
	c.more(again, 2)
	checkNumbers(t, f.m, rds.URL(), out)
	c.mustBramble("cancel", again)
	contains(t, c.mustBramble("savepoint", "--dispose", saved), "disposed")
	if left := besides(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// more waits until n more checkpoints of a job have completed.
func (c *checkpointed) more(id string, n int) {
	c.t.Helper()
	before := c.completedBy(id)
	await(c.t, "checkpoints", func() bool { return c.completedBy(id) >= before+n })
}

// completedBy is how many checkpoints of a job have completed under this jobmanager.
func (c *checkpointed) completedBy(id string) int {
	c.t.Helper()
	m := regexp.MustCompile(`Checkpoints, every [^:]*: (\d+) completed`).FindStringSubmatch(c.status(id))
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// checkNumbers waits for what recoveryJob has to come to, in Redis and in files.
func checkNumbers(t *testing.T, m *numbersModel, redisURL, out string) {
	t.Helper()
	db := redisClient(t, redisURL)
	await(t, "all results", func() bool { return m.wrong(t.Context(), db) == "" })
	var rows map[string]int
	await(t, "all rows in files", func() bool { rows = committed(t, out); return len(rows) >= m.rows-3 }) // the last ones are alike
	for row, n := range rows {
		if n != 1 && row != "end,0" {
			t.Errorf("row %s is in files %d times", row, n)
		}
	}
}
