//go:build integration

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/bramble-stream/bramble/internal/testenv"
)

const countsSQL = `
CREATE TABLE entries (k STRING, v BIGINT)
WITH ('connector' = 'redis-stream', 'url' = '${REDIS_URL}', 'stream' = 'entries');
CREATE TABLE counts (k STRING, c BIGINT, total BIGINT, texts BIGINT, PRIMARY KEY (k) NOT ENFORCED)
WITH ('connector' = 'redis', 'url' = '${REDIS_URL}', 'key' = 'count:{k}');
INSERT INTO counts SELECT k, COUNT(*), SUM(v), COUNT(DISTINCT v) FROM entries GROUP BY k;`

// armPrograms builds the programs for a 32-bit Pi.
func armPrograms(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/", "../../cmd/jobmanager", "../../cmd/taskmanager")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm", "GOARM=7", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build for armv7: %v\n%s", err, out)
	}
	return dir
}

// startOn starts a cluster with checkpoints, of the machine's own programs or, when dir is set, of those in dir under qemu.
func startOn(t *testing.T, dir, checkpoints string) *cluster {
	t.Helper()
	program := func(bin string, args ...string) *process {
		if dir == "" {
			return start(t, bin, args...)
		}
		qemu, err := exec.LookPath("qemu-arm-static")
		if err != nil {
			t.Fatal("qemu-arm-static is missing: run scripts/test-deps")
		}
		return startAs(t, bin, append([]string{qemu, filepath.Join(dir, bin)}, args...)...)
	}
	rpc, metrics := testenv.FreePort(t), testenv.FreePort(t)
	c := &cluster{t: t, addr: fmt.Sprintf("127.0.0.1:%d", rpc), jmMetrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics)}
	c.jobmanager = program("jobmanager", "--bind-host", "127.0.0.1", "--rpc-port", strconv.Itoa(rpc), "--http-port", "0",
		"--metrics-port", strconv.Itoa(metrics), "--checkpoint-dir", "file://"+checkpoints)
	c.managers = append(c.managers, program("taskmanager", "--jobmanager", c.addr, "--bind-host", "127.0.0.1", "--data-port", "0", "--slots", "2",
		"--metrics-port", "0", "--data-dir", t.TempDir()))
	await(t, "the taskmanager to register", func() bool { return metric(t, c.jmMetrics, "bramble_jobmanager_taskmanagers") == 1 })
	return c
}

// TestSavepointsCrossArchitectures takes a job from this machine's architecture to a 32-bit Pi's and back, at another parallelism each time.
func TestSavepointsCrossArchitectures(t *testing.T) {
	rds := testenv.Redis(t)
	db := redisClient(t, rds.URL())
	arm := armPrograms(t)
	savepoint, written := "", 0
	for leg, dir := range []string{"", arm, ""} {
		c := startOn(t, dir, t.TempDir())
		args := []string{"-p", strconv.Itoa(1 + leg%2), "-D", "REDIS_URL=" + rds.URL()}
		if savepoint != "" {
			args = append(args, "--from-savepoint", savepoint)
		}
		id := c.submit(countsSQL, args...)
		written = addEntries(t, db, written, 3000)
		await(t, fmt.Sprintf("the counts of leg %d", leg), func() bool { return countsAre(t, db, written) })
		out := c.mustBramble("stop", id, "--savepoint-path", "file://"+t.TempDir())
		_, path, ok := strings.Cut(out, "Savepoint completed. Path: ")
		if !ok {
			t.Fatalf("stop printed %q", out)
		}
		savepoint = strings.TrimSpace(path)
	}
}

const entryKeys = 50

// addEntries adds n entries to the stream: number i has key i modulo entryKeys and value i modulo 7.
func addEntries(t *testing.T, db *redis.Client, from, n int) int {
	t.Helper()
	pipe := db.Pipeline()
	for i := from; i < from+n; i++ {
		pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: "entries", Values: []any{"k", fmt.Sprintf("k%d", i%entryKeys), "v", i % 7}})
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	return from + n
}

// countsAre compares the counts with those of all entries below n.
func countsAre(t *testing.T, db *redis.Client, n int) bool {
	t.Helper()
	count, total := map[int]int{}, map[int]int{}
	for i := range n {
		count[i%entryKeys]++
		total[i%entryKeys] += i % 7
	}
	for k, c := range count {
		h := db.HGetAll(t.Context(), fmt.Sprintf("count:k%d", k)).Val()
		if h["c"] != strconv.Itoa(c) || h["total"] != strconv.Itoa(total[k]) || h["texts"] != "7" {
			return false
		}
	}
	return true
}
