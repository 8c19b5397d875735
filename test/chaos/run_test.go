//go:build chaos || integration

// Package chaos lets faults happen to real processes while a job runs, and compares what comes out with what would have come out without
// them: nothing may be lost, nothing may be there twice.
package chaos

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bramble-stream/bramble/internal/testenv"
)

var (
	faultsFlag = flag.Int("faults", 30, "how many faults happen")
	seedFlag   = flag.Uint64("seed", 0, "seed of the faults and the input; 0 takes one from the clock")
	onlyFlag   = flag.String("only", "", "the kinds of faults to choose from, separated by commas; all by default")
	everyFlag  = flag.Duration("every", 50*time.Millisecond, "time between batches of input")
)

// taskmanagers, and how many tasks each part of the job has.
const (
	taskmanagers = 3
	parallelism  = 3
	streams      = 4
	clientID     = "chaos"
)

const redisSource = `'connector' = 'redis-stream', 'url' = '${REDIS_URL}', 'stream' = 'in0;in1;in2;in3', 'scan.startup.mode' = 'earliest-offset'`

// A consumer of a group gets what others leave, in an order of its own, and none may get the last rows: event time may go back by an hour, and who
// gets nothing holds nobody back.
const (
	groupSource = `'connector' = 'redis-stream', 'url' = '${REDIS_URL}', 'stream' = 'in0;in1;in2;in3', 'group' = 'chaos',
    'scan.watermark.idle-timeout' = '5 s'`
	groupDelay = "INTERVAL '1' HOUR"
)

const mqttSource = `'connector' = 'mqtt', 'url' = '${MQTT_URL}', 'topic' = 'in/#', 'qos' = '1', 'client-id' = '` + clientID + `', 'clean-session' = 'false', 'format' = 'json'`

// job keeps state in windows and in an aggregate that never ends, and passes all rows on, into every kind of sink that is exactly-once.
const job = `
SET 'execution.checkpointing.interval' = '500 ms';
SET 'restart-strategy.type' = 'fixed-delay';
SET 'restart-strategy.fixed-delay.attempts' = '1000000';
SET 'restart-strategy.fixed-delay.delay' = '200 ms';
CREATE TABLE numbers (k STRING, n BIGINT, at BIGINT, ts AS TO_TIMESTAMP_LTZ(at, 3), WATERMARK FOR ts AS ts - DELAY)
  WITH (SOURCE);
CREATE TABLE windows (k STRING, w BIGINT, c BIGINT, s BIGINT, PRIMARY KEY (k, w) NOT ENFORCED)
  WITH ('connector' = 'redis', 'url' = '${REDIS_URL}', 'key' = 'w:{k}:{w}');
CREATE TABLE totals (k STRING, c BIGINT, s BIGINT, PRIMARY KEY (k) NOT ENFORCED)
  WITH ('connector' = 'redis', 'url' = '${REDIS_URL}', 'key' = 't:{k}', 'sink.delivery-guarantee' = 'exactly-once');
CREATE TABLE entries (k STRING, n BIGINT)
  WITH ('connector' = 'redis-stream', 'url' = '${REDIS_URL}', 'stream' = 'out', 'sink.delivery-guarantee' = 'exactly-once');
CREATE TABLE fired (k STRING, n BIGINT, c BIGINT)
  WITH ('connector' = 'redis-stream', 'url' = '${REDIS_URL}', 'stream' = 'fired', 'sink.delivery-guarantee' = 'exactly-once');
CREATE TABLE copies (k STRING, n BIGINT) WITH ('connector' = 'filesystem', 'path' = '${OUT}', 'format' = 'csv');
EXECUTE STATEMENT SET BEGIN
INSERT INTO windows SELECT k, MIN(at) / 1000, COUNT(*), SUM(n)
  FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY k, window_start, window_end;
INSERT INTO totals SELECT k, COUNT(*), SUM(n) FROM numbers GROUP BY k;
INSERT INTO entries SELECT k, n FROM numbers;
INSERT INTO fired SELECT k, MIN(n), COUNT(*)
  FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY k, window_start, window_end;
INSERT INTO copies SELECT k, n FROM numbers;
END;
`

// chaos is a run.
type chaos struct {
	*cluster
	seed  uint64
	rnd   *rand.Rand
	id    string
	redis *testenv.Server
	// redisURL is where the job finds Redis.
	redisURL string
	broker   *broker
	// mosquitto is nil if Redis is the source.
	mosquitto *testenv.Server
	out       string
	// delay is how far event time may go back.
	delay string
	// submitAt submits the job.
	submitAt func(parallelism int, more ...string) string
	saved    int
	// totals are the counts seen so far, which never go back.
	totals map[string]int64
	faults int
}

func newChaos(t *testing.T, l layout) *chaos {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	logs, err := os.MkdirTemp("", "bramble-chaos-") //nolint:usetesting // it stays when the test fails
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logs and files are in %s; again with: make chaos RUN=%s SEED=%d FAULTS=%d", logs, t.Name(), seed, *faultsFlag)
			return
		}
		if err := os.RemoveAll(logs); err != nil {
			t.Error(err)
		}
	})
	t.Logf("seed %d", seed)
	r := &chaos{
		cluster: startCluster(t, logs, taskmanagers, l), seed: seed, rnd: rand.New(rand.NewPCG(seed, 0)),
		redis: testenv.Redis(t, testenv.Persistent()), out: filepath.Join(logs, "copies"), totals: map[string]int64{}, delay: "INTERVAL '1' SECOND",
	}
	r.broker, r.redisURL = redisBroker(r.redis.URL(), streams), r.redis.URL()
	if r.net != nil {
		r.redisURL = "redis://" + testenv.ProxyAt(t, fmt.Sprintf("%s:%d", r.host, testenv.FreePort(t)), r.redis.Addr()).Addr()
	}
	return r
}

// run submits the job, lets the faults happen and compares.
func (r *chaos) run(source string, defs ...string) {
	r.t.Helper()
	finish := r.begin(source, defs...)
	for i := range *faultsFlag {
		r.between()
		r.neverBack()
		r.fault(i+1, r.kinds())
	}
	r.end(finish(), false)
}

// between waits until the job has got over the fault before, or not.
func (r *chaos) between() {
	r.t.Helper()
	if r.rnd.IntN(10) < 7 {
		r.recover()
	} else { // while the job recovers from the one before
		r.pause(r.upTo(2 * time.Second))
	}
	r.pause(r.upTo(700 * time.Millisecond)) // anywhere in a checkpoint
}

// fault is one of the kinds.
func (r *chaos) fault(n int, kinds []kind) {
	r.t.Helper()
	r.faults++
	k := kinds[r.rnd.IntN(len(kinds))]
	r.logf("fault %d: %s%s", n, k.name, k.happen())
}

// begin starts the producer and the job. finish, which waits until the job goes well and then for the end of the input, returns what the job has to
// come to.
func (r *chaos) begin(source string, defs ...string) (finish func() *model) {
	r.t.Helper()
	args := append([]string{"-D", "REDIS_URL=" + r.redisURL, "-D", "OUT=" + r.out}, defs...)
	type fed struct {
		m   *model
		err error
	}
	stop, done := make(chan struct{}), make(chan fed, 1)
	go func() {
		m, err := r.broker.feed(r.t.Context(), r.seed, *everyFlag, stop)
		done <- fed{m, err}
	}()
	r.submitAt = func(p int, more ...string) string {
		return r.submit(strings.NewReplacer("SOURCE", source, "DELAY", r.delay).Replace(job), append(append([]string{"-p", strconv.Itoa(p)}, args...), more...)...)
	}
	r.id = r.submitAt(parallelism)
	return func() *model {
		r.t.Helper()
		r.recover()
		close(stop)
		var f fed
		r.await("the producer to end", func() bool {
			select {
			case f = <-done:
				return true
			default:
				return false
			}
		})
		if f.err != nil {
			r.t.Fatalf("producer: %v", f.err)
		}
		return f.m
	}
}

// end compares what has come out, and ends the job. again says that rows may have been published more than once.
func (r *chaos) end(m *model, again bool) {
	r.t.Helper()
	r.compare(m, again)
	r.logf("%d rows, %d faults, %.0f restarts and %.0f checkpoints under the last jobmanager", m.rows, r.faults, r.metric("bramble_job_restarts_total"),
		r.metric("bramble_checkpoints_total", `status="completed"`))
	if out, err := r.during("cancel", r.id); err != nil {
		r.t.Errorf("cancel: %v\n%s", err, out)
	}
}

// recover waits until all processes are there and the job takes checkpoints again.
func (r *chaos) recover() {
	r.t.Helper()
	r.await("faults to end", func() bool { return len(r.due) == 0 })
	who, before := -1, 0.0
	r.await("the job to take checkpoints", func() bool {
		leads := r.leader()
		n := r.metric("bramble_checkpoints_total", `status="completed"`, r.id)
		if leads < 0 || n < 0 || leads != who || n < before {
			who, before = leads, max(n, 0) // another jobmanager counts anew
			return false
		}
		return n >= before+2
	})
}

// client connects to Redis; the caller closes it.
func (r *chaos) client() *redis.Client {
	opts, err := redis.ParseURL(r.redis.URL())
	if err != nil {
		r.t.Fatal(err)
	}
	return redis.NewClient(opts)
}

// neverBack checks that totals, which are written exactly once, do not go back.
func (r *chaos) neverBack() {
	r.t.Helper()
	db := r.client()
	defer db.Close()
	for i := range keys {
		k := fmt.Sprint("t:k", i)
		c, err := db.HGet(r.t.Context(), k, "c").Int64()
		if err != nil {
			continue // not there yet
		}
		if c < r.totals[k] {
			r.t.Errorf("%s was %d and is %d", k, r.totals[k], c)
		}
		r.totals[k] = c
	}
}

// compare waits for the last results and then looks for what is lost or there twice.
func (r *chaos) compare(m *model, again bool) {
	r.t.Helper()
	ctx, db := r.t.Context(), r.client()
	defer db.Close()
	deadline := time.Now().Add(patience)
	var wrong string
	r.await("the last results", func() bool {
		if wrong = m.missing(ctx, db); wrong != "" && time.Now().Before(deadline) {
			return false
		}
		files, err := inFiles(r.out)
		if err == nil && int64(len(files)) < m.rows && time.Now().Before(deadline.Add(-patience/3)) {
			return false
		}
		entries, _ := db.XLen(ctx, "out").Result()
		return entries >= m.rows || time.Now().After(deadline.Add(-patience/3))
	})
	r.recover() // what is written twice would come with a checkpoint
	if wrong = m.missing(ctx, db); wrong != "" {
		r.t.Error(wrong)
	}
	files, err := inFiles(r.out)
	if err != nil {
		r.t.Error(err)
	}
	entries, err := inStream(ctx, db, "out")
	if err != nil {
		r.t.Error(err)
	}
	for _, p := range append(files.wrong(m, "files", again), entries.wrong(m, "stream", again)...) {
		r.t.Error(p)
	}
	fired, err := inStream(ctx, db, "fired")
	if err != nil {
		r.t.Error(err)
	}
	if len(fired) != len(m.windows) {
		r.t.Errorf("%d windows have fired, want %d", len(fired), len(m.windows))
	}
	for n, times := range fired {
		if times != 1 && !again {
			r.t.Errorf("the window that begins with row %d has fired %d times", n, times)
		}
	}
	if r.t.Failed() {
		out, _ := r.bramble("status", r.id)
		r.t.Log(out)
	}
}
