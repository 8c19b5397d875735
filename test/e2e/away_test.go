//go:build integration

package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bramble-stream/bramble/internal/testenv"
)

// awaySQL counts messages in windows of a second. Time follows the clock when none come for a second.
const awaySQL = `
SET 'execution.checkpointing.interval' = '500 ms';
CREATE TABLE messages (n BIGINT, at BIGINT, ts AS TO_TIMESTAMP_LTZ(at, 3), WATERMARK FOR ts AS ts) WITH ('connector' = 'mqtt', 'url' = '${MQTT_URL}',
  'topic' = 'in/#', 'qos' = '1', 'format' = 'json', 'client-id' = 'away', 'clean-session' = 'false', 'scan.watermark.fallback' = '1 s');
CREATE TABLE counts (w BIGINT, c BIGINT, PRIMARY KEY (w) NOT ENFORCED) WITH ('connector' = 'redis', 'url' = '${REDIS_URL}', 'key' = 'w:{w}');
INSERT INTO counts SELECT MIN(n), COUNT(*) FROM TABLE(TUMBLE(TABLE messages, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY window_start, window_end;
`

// TestWhatABrokerQueuesIsNotLate: the connection to the broker is down for longer than time waits for silent sensors. They have not been silent: the broker has
// queued what they sent, and it counts when the connection is back.
func TestWhatABrokerQueuesIsNotLate(t *testing.T) {
	mqtt, rds := testenv.Mosquitto(t, testenv.Config("max_queued_messages 0", "max_inflight_messages 0")), testenv.Redis(t)
	proxy := testenv.Proxy(t, mqtt.Addr())
	c := startCheckpointedIn(t, t.TempDir(), 1, 2)
	id := c.submit(awaySQL, "-D", "MQTT_URL=tcp://"+proxy.Addr(), "-D", "REDIS_URL="+rds.URL())
	opts, err := redis.ParseURL(rds.URL())
	if err != nil {
		t.Fatal(err)
	}
	db := redis.NewClient(opts)
	defer db.Close()
	await(t, "the session", func() bool {
		return strings.Contains(c.mustBramble("status", id), "mqtt "+proxy.Addr()) && proxy.Open() > 0
	})

	sent := 0
	send := func(d time.Duration) {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
			publishTo(t, mqtt.URL(), "in/kitchen", fmt.Appendf(nil, `{"n":%d,"at":%d}`, sent, time.Now().UnixMilli()))
			sent++
		}
	}
	counted := func() int {
		keys, err := db.Keys(t.Context(), "w:*").Result()
		if err != nil {
			t.Fatal(err)
		}
		sum := 0
		for _, k := range keys {
			n, err := strconv.Atoi(db.HGet(t.Context(), k, "c").Val())
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
		return sum
	}
	send(2 * time.Second)
	await(t, "the first windows", func() bool { return counted() > 0 })
	send(time.Second)
	proxy.Refuse()
	send(2 * time.Second)
	back := time.After(4 * time.Second)
	<-back
	proxy.Accept()
	await(t, "all messages to be counted, or to be late", func() bool { return counted()+int(c.sum("bramble_task_late_records_total")) >= sent })
	if late := c.sum("bramble_task_late_records_total"); late > 0 {
		t.Errorf("%v of %d messages were late", late, sent)
	}
	if n := counted(); n != sent {
		t.Errorf("%d of %d messages were counted", n, sent)
	}
}
