//go:build integration

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bramble-stream/bramble/internal/testenv"
)

// passOn takes messages from MQTT to a Redis stream.
const passOn = `
CREATE TABLE messages (id STRING, n INT) WITH ('connector' = 'mqtt', 'url' = '${MQTT_URL}', 'topic' = 'in/#', 'qos' = '1', 'format' = 'json',
  'bad-records' = '${BAD:-drop}', ${MQTT_OPTIONS:-'clean-session' = 'true'});
CREATE TABLE results (id STRING, n INT) WITH ('connector' = 'redis-stream', 'url' = '${REDIS_URL}', 'stream' = 'results', ${REDIS_OPTIONS:-'maxlen' = '1000000'});
INSERT INTO results SELECT id, n FROM messages;
`

// in is the cluster as a subtest sees it: what fails there, fails there.
func (c *cluster) in(t *testing.T) *cluster {
	sub := *c
	sub.t = t
	return &sub
}

func (c *cluster) status(id string) string {
	c.t.Helper()
	return c.mustBramble("status", id)
}

// awaitStatus polls status until it holds what is wanted, and returns it.
func (c *cluster) awaitStatus(id, want string) string {
	c.t.Helper()
	re, last := regexp.MustCompile(want), ""
	defer func() {
		if c.t.Failed() {
			c.t.Logf("last status:\n%s", last)
		}
	}()
	await(c.t, "status to show "+want, func() bool {
		last = c.status(id)
		return re.MatchString(last)
	})
	return last
}

// contains fails the test for each part that text lacks.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("no %q in:\n%s", p, text)
		}
	}
}

func TestServersAwayAtSubmission(t *testing.T) {
	c := startCluster(t, 1, 1)
	mqttPort, redisPort := testenv.FreePort(t), testenv.FreePort(t)
	mqtt, rds := fmt.Sprintf("tcp://127.0.0.1:%d", mqttPort), fmt.Sprintf("redis://127.0.0.1:%d", redisPort)
	out := c.mustBramble("submit", c.script(passOn), "-D", "MQTT_URL="+mqtt, "-D", "REDIS_URL="+rds)
	id := jobID(t, out)
	contains(t, out, "waiting: mqtt "+strings.TrimPrefix(mqtt, "tcp://"), "waiting: redis "+strings.TrimPrefix(rds, "redis://"), "connection refused")
	out = c.status(id)
	contains(t, out, "State      RUNNING", "Outside systems", "waiting since", "connection refused")

	broker, db := testenv.Mosquitto(t, testenv.Port(mqttPort)), testenv.Redis(t, testenv.Port(redisPort))
	await(t, "the job to find its servers", func() bool { return !strings.Contains(c.status(id), "waiting since") })
	publishTo(t, broker.URL(), "in/a", []byte(`{"id":"a","n":1}`))
	client := redisClient(t, db.URL())
	await(t, "the message to arrive", func() bool { return client.XLen(t.Context(), "results").Val() == 1 })

	// Redis goes away and comes back: the job waits for it, and nothing is lost.
	db.Kill()
	publishTo(t, broker.URL(), "in/a", []byte(`{"id":"b","n":2}`))
	c.awaitStatus(id, `redis .*: waiting since .*: `)
	db.Restart()
	await(t, "the message after Redis was away", func() bool {
		last := client.XRevRangeN(t.Context(), "results", "+", "-", 1).Val()
		return len(last) == 1 && last[0].Values["id"] == "b"
	})
	contains(t, c.mustBramble("cancel", id), "Cancelled job "+id)
}

func TestWrongPassword(t *testing.T) {
	const wrong = "wr0ng-pa55"
	c := startCluster(t, 1, 1)
	mqtt, rds := testenv.Mosquitto(t, testenv.Login("me", "right")), testenv.Redis(t, testenv.Login("me", "right"))
	open, openRedis := testenv.Mosquitto(t), testenv.Redis(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(wrong+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"mqtt": {
			[]string{"MQTT_URL=" + mqtt.URL(), "REDIS_URL=" + openRedis.URL(), "MQTT_OPTIONS='username' = 'me', 'password' = '" + wrong + "'"},
			[]string{"'username'", "'password'", "operator Source: messages", "task 1 of ", "script line "},
		},
		"mqtt, from a file": {
			[]string{"MQTT_URL=" + mqtt.URL(), "REDIS_URL=" + openRedis.URL(), "MQTT_OPTIONS='username' = 'me', 'password' = '${file:" + secret + "}'"},
			[]string{"'password'", "operator Source: messages"},
		},
		"redis": {
			[]string{"MQTT_URL=" + open.URL(), "REDIS_URL=" + rds.URL(), "REDIS_OPTIONS='username' = 'me', 'password' = '" + wrong + "'"},
			[]string{"'username'", "'password'", "operator Sink: results", "task 1 of ", "script line "},
		},
		"redis, in the URL": {
			[]string{"MQTT_URL=" + open.URL(), "REDIS_URL=" + strings.Replace(rds.URL(), "://", "://me:"+wrong+"@", 1)},
			[]string{"operator Sink: results"},
		},
		"none at all": {
			[]string{"MQTT_URL=" + open.URL(), "REDIS_URL=" + rds.URL()},
			[]string{"'password'", "operator Sink: results"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := c.in(t)
			args := []string{"submit", c.script(passOn)}
			for _, a := range test.args {
				args = append(args, "-D", a)
			}
			out, _ := c.bramble(args...) // it may have failed before submit returned, or just after
			id := jobID(t, out)
			status := c.awaitStatus(id, `State +FAILED`)
			contains(t, status, test.want...)
			asJSON := c.mustBramble("status", id, "-o", "json")
			for where, text := range map[string]string{"submit": out, "status": status, "JSON": asJSON, "the jobmanager's log": c.jobmanager.out.String(), "the taskmanager's log": c.managers[0].out.String()} {
				if strings.Contains(text, wrong) {
					t.Errorf("the password is shown by %s:\n%s", where, text)
				}
			}
		})
	}
}

func TestBadRecordFailsTheJob(t *testing.T) {
	c, mqtt, rds := startCluster(t, 1, 1), testenv.Mosquitto(t), testenv.Redis(t)
	id := c.submit(passOn, "-D", "MQTT_URL="+mqtt.URL(), "-D", "REDIS_URL="+rds.URL(), "-D", "BAD=fail")
	publishTo(t, mqtt.URL(), "in/kitchen", []byte(`{"id":"a","n":"many"}`))
	status := c.awaitStatus(id, `State +FAILED`)
	contains(t, status, "Exceptions, the root cause first", "in/kitchen", `field "n"`, "task 1 of Source: messages", "operator Source: messages", "script line 5:", "on 127.0.0.1:")
	await(t, "its slot to be free", func() bool { return metric(t, c.jmMetrics, "bramble_jobmanager_slots_available") == 1 })
}

func TestDuplicateClientIDs(t *testing.T) {
	c, mqtt, rds := startCluster(t, 1, 2), testenv.Mosquitto(t), testenv.Redis(t)
	args := []string{"-D", "MQTT_URL=" + mqtt.URL(), "-D", "REDIS_URL=" + rds.URL(), "-D", "MQTT_OPTIONS='client-id' = 'pi-kitchen'"}
	first := c.submit(passOn, args...)
	second := c.submit(passOn, args...)
	await(t, "one of the two to say that the other is there", func() bool {
		return strings.Contains(c.status(first)+c.status(second), `is another client using the client-id "pi-kitchen"?`)
	})
	// With the other one gone it recovers by itself.
	c.mustBramble("cancel", second)
	await(t, "the first to be alone", func() bool { return !strings.Contains(c.status(first), "waiting since") })
	contains(t, c.status(first), "State      RUNNING")
}

// A message of 10 MB goes all the way: through the broker, a hash edge between two processes, and into Redis. A broken one of that
// size is refused and counted, and in the logs only its beginning is shown.
func TestTenMegabyteMessage(t *testing.T) {
	const size = 10 << 20
	c, mqtt, rds := startCluster(t, 2, 1), testenv.Mosquitto(t), testenv.Redis(t)
	id := c.submit(`
CREATE TABLE messages (id STRING, body STRING) WITH ('connector' = 'mqtt', 'url' = '${MQTT_URL}', 'topic' = 'in/#', 'qos' = '1', 'format' = 'json');
CREATE TABLE longest (id STRING, body STRING, n INT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'redis', 'url' = '${REDIS_URL}', 'key' = 'longest:{id}');
INSERT INTO longest SELECT id, MAX(body), MAX(CHAR_LENGTH(body)) FROM messages GROUP BY id;
`, "-p", "2", "-D", "MQTT_URL="+mqtt.URL(), "-D", "REDIS_URL="+rds.URL())
	body := strings.Repeat("bramble ", size/8)
	db := redisClient(t, rds.URL())
	ids := []string{"a", "b", "c", "d"} // of both tasks
	for _, key := range ids {
		publishTo(t, mqtt.URL(), "in/"+key, []byte(`{"id":"`+key+`","body":"`+body+`"}`))
		publishTo(t, mqtt.URL(), "in/"+key, []byte(`{"id":"`+key+`","body":"`+body))
		publishTo(t, mqtt.URL(), "in/"+key, []byte(`{"id":"small","body":"`+key+`"}`))
	}
	for _, key := range ids {
		await(t, "the message of "+key, func() bool { return db.HGet(t.Context(), "longest:"+key, "n").Val() == fmt.Sprint(size) })
		if got := db.HGet(t.Context(), "longest:"+key, "body").Val(); got != body {
			t.Errorf("%s: %d bytes came, and not those that were sent", key, len(got))
		}
	}
	await(t, "the broken ones to be counted", func() bool { return c.sum("bramble_task_bad_records_total") == float64(len(ids)) })
	await(t, "the small ones", func() bool { return db.HGet(t.Context(), "longest:small", "body").Val() == "d" })
	contains(t, c.status(id), "State      RUNNING")
	for _, m := range c.managers {
		if n := len(m.out.String()); n > 1<<20 {
			t.Errorf("a taskmanager logged %d bytes", n)
		}
	}
}
