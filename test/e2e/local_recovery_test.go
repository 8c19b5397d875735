//go:build integration

package e2e

import (
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/bramble-stream/bramble/internal/testenv"
)

// TestLocalRecovery kills a taskmanager, and starts it again with its data directory: neither its tasks nor those of the other one download their
// state again, unless the job says so. When the job has ended nothing of it is left.
func TestLocalRecovery(t *testing.T) {
	rds := testenv.Redis(t)
	db := redisClient(t, rds.URL())
	c := startCheckpointed(t, 1, 1)
	dir, port := t.TempDir(), strconv.Itoa(testenv.FreePort(t))
	again := func() *process { return c.addTaskManager(1, "--data-dir", dir, "--data-port", port) }
	again()
	// What the one that is killed has restored is not counted any more.
	restored := func(from string) float64 {
		t.Helper()
		sum := 0.0
		for _, url := range []string{c.tmMetrics[0], c.tmMetrics[len(c.tmMetrics)-1]} {
			page, _ := get(t, url)
			for line := range strings.Lines(page) {
				if strings.HasPrefix(line, `bramble_restored_bytes_total{from="`+from+`"`) {
					v, err := strconv.ParseFloat(strings.Fields(line)[1], 64)
					if err != nil {
						t.Fatal(err)
					}
					sum += v
				}
			}
		}
		return sum
	}
	killed := 1
	for i, local := range []string{"true", "false"} {
		stop := make(chan struct{})
		done := make(chan *numbersModel, 1)
		go func() {
			m, err := feed(t.Context(), db, 20_000, stop)
			if err != nil {
				t.Error(err)
			}
			done <- m
		}()
		id := c.submit(recoveryJob, "-p", "2", "-D", "REDIS_URL="+rds.URL(), "-D", "OUT="+t.TempDir(), "-D", "execution.state-recovery.from-local="+local)
		before := c.newest(id, "chk-*")
		await(t, "checkpoints", func() bool { return c.newest(id, "chk-*") >= before+4 })
		l, r := restored("local"), restored("remote")
		c.managers[killed].Signal(syscall.SIGKILL)
		<-c.managers[killed].Done()
		again()
		killed = len(c.managers) - 1
		await(t, "the job to go on", func() bool {
			return strings.Contains(c.status(id), "restored from") && strings.Contains(c.status(id), "State      RUNNING")
		})
		l, r = restored("local")-l, restored("remote")-r
		if (l > 0) != (i == 0) || (r > 0) != (i == 1) {
			t.Errorf("from-local %s: %g bytes were here, %g were downloaded", local, l, r)
		}
		close(stop)
		m := <-done
		await(t, "all results", func() bool { return m.wrong(t.Context(), db) == "" || t.Context().Err() != nil })
		if msg := m.wrong(t.Context(), db); msg != "" {
			t.Error(msg)
		}
		c.mustBramble("cancel", id)
		await(t, "the taskmanager to forget the job", func() bool {
			left, err := filepath.Glob(filepath.Join(dir, "jobs", id, "*"))
			return err == nil && len(left) == 0
		})
		if err := db.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}
