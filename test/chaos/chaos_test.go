//go:build chaos

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
	seed   uint64
	rnd    *rand.Rand
	id     string
	redis  *testenv.Server
	broker *broker
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
}

func TestRedisStreams(t *testing.T) {
	r := newChaos(t)
	r.broker = redisBroker(r.redis.URL(), streams)
	r.run(redisSource)
}

func TestRedisGroup(t *testing.T) {
	r := newChaos(t)
	r.broker = redisBroker(r.redis.URL(), streams)
	r.delay = groupDelay
	r.run(groupSource)
}

func TestMQTT(t *testing.T) {
	r := newChaos(t)
	// Killed, a broker would lose what it had said to have; ended in good order it must not.
	r.mosquitto = testenv.Mosquitto(t, testenv.Persistent(), testenv.Config("max_queued_messages 0", "max_inflight_messages 0"))
	if err := subscribe(r.mosquitto.URL(), clientID); err != nil {
		t.Fatal(err)
	}
	r.broker = mqttBroker(r.mosquitto.URL())
	r.run(mqttSource, "-D", "MQTT_URL="+r.mosquitto.URL())
}

func newChaos(t *testing.T) *chaos {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	logs, err := os.MkdirTemp("", "bramble-chaos-")
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
	return &chaos{
		cluster: startCluster(t, logs, taskmanagers), seed: seed, rnd: rand.New(rand.NewPCG(seed, 0)),
		redis: testenv.Redis(t, testenv.Persistent()), out: filepath.Join(logs, "copies"), totals: map[string]int64{}, delay: "INTERVAL '1' SECOND",
	}
}

// logf notes what happens, with the time since the run began.
func (r *chaos) logf(format string, args ...any) {
	r.t.Helper()
	r.t.Logf("%7.1fs %s", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// run submits the job, lets the faults happen and compares.
func (r *chaos) run(source string, defs ...string) {
	args := append([]string{"-D", "REDIS_URL=" + r.redis.URL(), "-D", "OUT=" + r.out}, defs...)
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
	kinds := r.kinds()
	for i := range *faultsFlag {
		if r.rnd.IntN(10) < 7 {
			r.recover()
		} else { // while the job recovers from the one before
			r.pause(r.upTo(2 * time.Second))
		}
		r.pause(r.upTo(700 * time.Millisecond)) // anywhere in a checkpoint
		r.neverBack()
		k := kinds[r.rnd.IntN(len(kinds))]
		r.logf("fault %d: %s%s", i+1, k.name, k.happen())
	}
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
	r.logf("%d rows, %d faults, %.0f restarts, %.0f checkpoints", f.m.rows, *faultsFlag, r.metric("bramble_job_restarts_total"), r.metric("bramble_checkpoints_total"))
	r.compare(f.m)
	if out, err := r.bramble("cancel", r.id); err != nil {
		r.t.Errorf("cancel: %v\n%s", err, out)
	}
}

// recover waits until all taskmanagers are there and the job takes checkpoints again.
func (r *chaos) recover() {
	r.t.Helper()
	r.await("faults to end", func() bool { return len(r.due) == 0 })
	before := r.metric("bramble_checkpoints_total")
	r.await("the job to take checkpoints", func() bool { return r.metric("bramble_checkpoints_total") >= max(before, 0)+2 })
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
func (r *chaos) compare(m *model) {
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
	for _, p := range append(files.wrong(m, "files"), entries.wrong(m, "stream")...) {
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
		if times != 1 {
			r.t.Errorf("the window that begins with row %d has fired %d times", n, times)
		}
	}
	if r.t.Failed() {
		out, _ := r.bramble("status", r.id)
		r.t.Log(out)
	}
}
