//go:build integration

package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bramble-stream/bramble/internal/testenv"
)

// recoveryJob reads streams and keeps state in windows and in an aggregate that never ends.
const recoveryJob = `
SET 'execution.checkpointing.interval' = '500 ms';
SET 'restart-strategy.type' = 'fixed-delay';
SET 'restart-strategy.fixed-delay.attempts' = '100';
SET 'restart-strategy.fixed-delay.delay' = '200 ms';
CREATE TABLE numbers (k STRING, n BIGINT, at BIGINT, ts AS TO_TIMESTAMP_LTZ(at, 3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
  WITH ('connector' = 'redis-stream', 'url' = '${REDIS_URL}', 'stream' = 'in0;in1;in2;in3', 'scan.startup.mode' = 'earliest-offset');
CREATE TABLE windows (k STRING, w BIGINT, c BIGINT, s BIGINT, PRIMARY KEY (k, w) NOT ENFORCED)
  WITH ('connector' = 'redis', 'url' = '${REDIS_URL}', 'key' = 'w:{k}:{w}');
CREATE TABLE totals (k STRING, c BIGINT, s BIGINT, PRIMARY KEY (k) NOT ENFORCED)
  WITH ('connector' = 'redis', 'url' = '${REDIS_URL}', 'key' = 't:{k}');
CREATE TABLE copies (k STRING, n BIGINT) WITH ('connector' = 'filesystem', 'path' = '${OUT}', 'format' = 'csv');
EXECUTE STATEMENT SET BEGIN
INSERT INTO windows SELECT k, MIN(at) / 1000, COUNT(*), SUM(n)
  FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY k, window_start, window_end;
INSERT INTO totals SELECT k, COUNT(*), SUM(n) FROM numbers GROUP BY k;
INSERT INTO copies SELECT k, n FROM numbers;
END;
`

// numbersModel is what recoveryJob has to come to.
type numbersModel struct {
	windows, totals map[string][2]int64
	rows            int
}

// checkpointed is a cluster with a directory of checkpoints.
type checkpointed struct {
	*cluster
	checkpoints string
	// jmArgs start the jobmanager.
	jmArgs []string
}

// startCheckpointed starts a cluster that takes checkpoints.
func startCheckpointed(t *testing.T, taskmanagers, slots int) *checkpointed {
	t.Helper()
	rpc, metrics := testenv.FreePort(t), testenv.FreePort(t)
	c := &cluster{t: t, addr: fmt.Sprintf("127.0.0.1:%d", rpc), jmMetrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics)}
	dir := t.TempDir()
	args := []string{
		"--bind-host", "127.0.0.1", "--rpc-port", strconv.Itoa(rpc), "--http-port", "0",
		"--metrics-port", strconv.Itoa(metrics), "--checkpoint-dir", "file://" + dir,
	}
	c.jobmanager = start(t, "jobmanager", args...)
	for range taskmanagers {
		c.addTaskManager(slots)
	}
	await(t, "all taskmanagers to register", func() bool {
		return metric(t, c.jmMetrics, "bramble_jobmanager_taskmanagers") == float64(taskmanagers)
	})
	return &checkpointed{c, dir, args}
}

// feed adds rows to the streams, a thousandth of a second of event time each, until stop is closed and at least least are there, and then one
// that closes all windows.
func feed(ctx context.Context, db *redis.Client, least int, stop <-chan struct{}) (*numbersModel, error) {
	const batch = 500
	m := &numbersModel{windows: map[string][2]int64{}, totals: map[string][2]int64{}}
	add := func(m map[string][2]int64, k string, n int64) {
		v := m[k]
		m[k] = [2]int64{v[0] + 1, v[1] + n}
	}
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for stopped := false; !stopped || m.rows < least; {
		select {
		case <-stop:
			stopped = true
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
		p := db.Pipeline()
		for range batch {
			i := int64(m.rows)
			k := fmt.Sprint("k", i*7919%97)
			p.XAdd(ctx, &redis.XAddArgs{Stream: fmt.Sprint("in", i%4), Values: []any{"k", k, "n", i, "at", i}})
			add(m.totals, k, i)
			add(m.windows, fmt.Sprint(k, ":", i/1000), i)
			m.rows++
		}
		if _, err := p.Exec(ctx); err != nil {
			return nil, err
		}
	}
	// Each split has to say that time has passed.
	for i := range 4 {
		far := int64(m.rows + 1_000_000)
		if err := db.XAdd(ctx, &redis.XAddArgs{Stream: fmt.Sprint("in", i), Values: []any{"k", "end", "n", 0, "at", far}}).Err(); err != nil {
			return nil, err
		}
		add(m.totals, "end", 0)
		m.rows++
	}
	return m, nil
}

// wrong compares what is in Redis with the model.
func (m *numbersModel) wrong(ctx context.Context, db *redis.Client) string {
	for _, part := range []struct {
		prefix string
		want   map[string][2]int64
	}{{"t:", m.totals}, {"w:", m.windows}} {
		for _, k := range slices.Sorted(maps.Keys(part.want)) {
			have := db.HGetAll(ctx, part.prefix+k).Val()
			if w := part.want[k]; have["c"] != fmt.Sprint(w[0]) || have["s"] != fmt.Sprint(w[1]) {
				return fmt.Sprintf("%s%s is %v, want c=%d s=%d", part.prefix, k, have, w[0], w[1])
			}
		}
		if keys := db.Keys(ctx, part.prefix+"*").Val(); len(keys) != len(part.want) {
			return fmt.Sprintf("%d keys %s*, want %d", len(keys), part.prefix, len(part.want))
		}
	}
	return ""
}

// committed counts the rows in files that are complete, by row.
func committed(t *testing.T, dir string) map[string]int {
	t.Helper()
	rows := map[string]int{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") {
			return nil
		}
		data, err := os.ReadFile(path)
		for line := range strings.Lines(string(data)) {
			rows[strings.TrimSpace(line)]++
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return rows
}

func TestKilledTaskManagersLoseNothing(t *testing.T) {
	const kills = 5 // and the last is only frozen
	rds := testenv.Redis(t)
	db := redisClient(t, rds.URL())
	out := t.TempDir()
	c := startCheckpointed(t, 3, 2)
	stop := make(chan struct{})
	type fed struct {
		m   *numbersModel
		err error
	}
	done := make(chan fed, 1)
	go func() {
		m, err := feed(t.Context(), db, 50_000, stop)
		done <- fed{m, err}
	}()
	id := c.submit(recoveryJob, "-p", "4", "-D", "REDIS_URL="+rds.URL(), "-D", "OUT="+out)
	for i := range kills {
		before := metric(t, c.jmMetrics, "bramble_checkpoints_total")
		await(t, "checkpoints after a restart", func() bool {
			return metric(t, c.jmMetrics, "bramble_checkpoints_total") >= before+2 && metric(t, c.jmMetrics, "bramble_job_restarts_total") >= float64(i)
		})
		frozen := i == kills-1
		switch {
		case frozen: // for longer than the heartbeat: it wakes up as one who is no longer wanted
			c.managers[i].Signal(syscall.SIGSTOP)
		default:
			c.managers[i].Signal(syscall.SIGKILL)
			<-c.managers[i].Done()
		}
		if i != 1 { // once the job has to do with fewer
			c.addTaskManager(2)
		}
		await(t, "the job to restart", func() bool {
			return metric(t, c.jmMetrics, "bramble_job_restarts_total") > float64(i) && strings.Contains(c.status(id), "State      RUNNING")
		})
		if frozen {
			c.managers[i].Signal(syscall.SIGCONT)
		}
	}
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
	t.Logf("%d rows, %d faults\n%s", f.m.rows, kills, c.status(id))
	if msg := f.m.wrong(t.Context(), db); msg != "" {
		t.Error(msg)
	}
	contains(t, c.status(id), "Restarts   "+strconv.Itoa(kills), "COMPLETED", "restored from", "lost: connection lost")
	c.mustBramble("cancel", id)
}

// TestSavepointsMoveAJob takes a job through a savepoint, another parallelism while it runs, a stop, and a new submission at a third
// parallelism: the results are those of one run.
func TestSavepointsMoveAJob(t *testing.T) {
	rds := testenv.Redis(t)
	db := redisClient(t, rds.URL())
	out, saves := t.TempDir(), t.TempDir()
	c := startCheckpointed(t, 2, 2)
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
	args := []string{"-D", "REDIS_URL=" + rds.URL(), "-D", "OUT=" + out}
	id := c.submit(recoveryJob, append(args, "-p", "2")...)
	completed := func(n float64) {
		t.Helper()
		await(t, "checkpoints", func() bool { return metric(t, c.jmMetrics, "bramble_checkpoints_total") >= n })
	}
	completed(2)
	kept := pathOf(t, c.mustBramble("savepoint", id[:8], saves))
	contains(t, c.mustBramble("rescale", id, "-p", "4"), "RUNNING at parallelism 4")
	contains(t, c.status(id), "4/4", "Restarts   1")
	completed(6)
	contains(t, c.mustBramble("rescale", id, "-p", "3"), "RUNNING at parallelism 3")
	completed(9)
	last := pathOf(t, c.mustBramble("stop", id, "--savepoint-path", saves))
	contains(t, c.mustBramble("list", "-a"), "FINISHED")

	// A job without the aggregate would lose its state.
	less := strings.Replace(recoveryJob, "INSERT INTO totals SELECT k, COUNT(*), SUM(n) FROM numbers GROUP BY k;", "", 1)
	msg, err := c.bramble(append([]string{"submit", c.script(less), "--from-savepoint", last}, args...)...)
	if err == nil {
		t.Error("state was left behind without a word")
	}
	contains(t, msg, "GroupAggregate", "--allow-non-restored-state")

	id = c.submit(recoveryJob, append(args, "-p", "1", "--from-savepoint", last)...)
	close(stop)
	f := <-done
	if f.err != nil {
		t.Fatal(f.err)
	}
	await(t, "all results", func() bool { return f.m.wrong(t.Context(), db) == "" })
	var rows map[string]int
	await(t, "all rows in files", func() bool { rows = committed(t, out); return len(rows) >= f.m.rows-3 })
	for row, n := range rows {
		if n != 1 && row != "end,0" {
			t.Errorf("row %s is in files %d times", row, n)
		}
	}
	c.mustBramble("cancel", id)
	contains(t, c.mustBramble("savepoint", "--dispose", kept), "disposed")
	if msg, err := c.bramble("savepoint", "--dispose", kept); err == nil || !strings.Contains(msg, "no savepoint") {
		t.Errorf("disposed twice: %s", msg)
	}
}

// pathOf finds the path in what a command printed.
func pathOf(t *testing.T, printed string) string {
	t.Helper()
	_, path, ok := strings.Cut(printed, "Savepoint completed. Path: ")
	if !ok {
		t.Fatalf("printed %q", printed)
	}
	return strings.TrimSpace(path)
}

// TestBoundedJobEndsWithALastCheckpoint: nobody waits for the interval, the files are whole, and storage is clean afterwards.
func TestBoundedJobEndsWithALastCheckpoint(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	const rows = 20_000
	for f := range 3 {
		var b strings.Builder
		for i := f; i < rows; i += 3 {
			fmt.Fprintf(&b, "k%d,%d\n", i%7, i)
		}
		if err := os.WriteFile(filepath.Join(in, fmt.Sprint(f, ".csv")), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := startCheckpointed(t, 2, 1)
	began := time.Now()
	printed := c.mustBramble("submit", c.script(`
SET 'execution.checkpointing.interval' = '1 min';
CREATE TABLE numbers (k STRING, n BIGINT) WITH ('connector' = 'filesystem', 'path' = '`+in+`', 'format' = 'csv');
CREATE TABLE copies (k STRING, n BIGINT) WITH ('connector' = 'filesystem', 'path' = '`+out+`', 'format' = 'csv');
INSERT INTO copies SELECT k, n FROM numbers;`), "-p", "2", "--wait")
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s: it waited for the clock", took)
	}
	if got := committed(t, out); len(got) != rows {
		t.Errorf("%d rows in files, want %d", len(got), rows)
	}
	id := jobID(t, printed)
	contains(t, c.status(id), "State      FINISHED", "Checkpoints, every 1m0s: 1 completed, 0 failed")
	await(t, "checkpoint storage to be clean", func() bool {
		left, err := os.ReadDir(filepath.Join(c.checkpoints, id))
		return os.IsNotExist(err) || err == nil && len(left) == 0
	})
}

// TestTaskFailureUsesUpRestarts: a row that fails the job each time fails it for good after the restarts that are allowed.
func TestTaskFailureUsesUpRestarts(t *testing.T) {
	rds := testenv.Redis(t)
	db := redisClient(t, rds.URL())
	c := startCheckpointed(t, 1, 1)
	id := c.submit(`
SET 'restart-strategy.type' = 'fixed-delay';
SET 'restart-strategy.fixed-delay.attempts' = '2';
SET 'restart-strategy.fixed-delay.delay' = '50 ms';
CREATE TABLE numbers (k STRING, n BIGINT) WITH ('connector' = 'redis-stream', 'url' = '${REDIS_URL}', 'stream' = 'in', 'scan.startup.mode' = 'earliest-offset', 'bad-records' = 'fail');
CREATE TABLE latest (k STRING, n BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'redis', 'url' = '${REDIS_URL}', 'key' = 'n:{k}');
INSERT INTO latest SELECT k, n FROM numbers;`, "-D", "REDIS_URL="+rds.URL())
	if err := db.XAdd(t.Context(), &redis.XAddArgs{Stream: "in", Values: []any{"k", "a", "n", "many"}}).Err(); err != nil {
		t.Fatal(err)
	}
	out := c.awaitStatus(id, "State      FAILED")
	contains(t, out, "Restarts   2", "not started again: 2 restarts were allowed", "attempt 3")
}
