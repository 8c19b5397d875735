//go:build integration

package e2e

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/redis/go-redis/v9"

	"github.com/bramble-stream/bramble/internal/testenv"
)

//go:embed testdata/windows.sql
var windowsSQL string

// The size of the run: what the project promises to get right.
const (
	readings = 200_000
	sensors  = 300
	seed     = 20261121
)

// reading is a good record.
type reading struct {
	sensor string
	n      int64
	temp   float64 // a multiple of 0.25, so that sums are exact in any order
	ts     int64
}

func (r reading) json() string {
	return fmt.Sprintf(`{"sensor":"%s","n":%d,"temp":%g,"ts":%d}`, r.sensor, r.n, r.temp, r.ts)
}

// window is the model's row, and the one read back.
type window struct {
	count, different int64
	total            float64
	lowest, highest  float64
}

// model computes windows the plain way: a map of everything.
type model struct {
	windows map[string]*window
	seen    map[string]bool
	count   map[string]int64
}

func (m *model) add(r reading) {
	m.count[r.sensor]++
	start := time.UnixMilli(r.ts - r.ts%10_000).UTC().Format("2006-01-02 15:04:05.000")
	key := r.sensor + " " + start
	w := m.windows[key]
	if w == nil {
		w = &window{lowest: r.temp, highest: r.temp}
		m.windows[key] = w
	}
	w.count++
	w.total += r.temp
	w.lowest, w.highest = min(w.lowest, r.temp), max(w.highest, r.temp)
	if id := fmt.Sprint(key, r.n); !m.seen[id] {
		m.seen[id] = true
		w.different++
	}
}

// input is everything that is published, in order.
type input struct {
	first, late []string
	bad         int
	model       model
}

// makeInput makes readings over two hours before now, up to 4 s out of order (the watermark allows 5), with duplicates and broken
// records among them, and late ones to be sent when their windows have fired.
func makeInput(now time.Time) *input {
	in := &input{model: model{map[string]*window{}, map[string]bool{}, map[string]int64{}}}
	rng := rand.New(rand.NewPCG(seed, 1))
	base := now.Add(-2*time.Hour).UnixMilli() / 10_000 * 10_000
	for n := range int64(readings) {
		r := reading{fmt.Sprintf("s%03d", rng.IntN(sensors)), n, float64(rng.IntN(400)-100) / 4, base + n*36 - rng.Int64N(4000)}
		in.first = append(in.first, r.json())
		in.model.add(r)
		switch rng.IntN(100) {
		case 0: // delivered twice
			in.first = append(in.first, r.json())
			in.model.add(r)
		case 1:
			in.first = append(in.first, broken(rng, r, now))
			in.bad++
		}
	}
	for n := range int64(1000) {
		r := reading{fmt.Sprintf("s%03d", rng.IntN(sensors)), n, 1, base + rng.Int64N(600_000)}
		in.late = append(in.late, r.json())
		in.model.count[r.sensor]++ // the unbounded aggregate takes it all the same
	}
	return in
}

// broken returns one of the records that must be refused.
func broken(rng *rand.Rand, r reading, now time.Time) string {
	switch rng.IntN(7) {
	case 0:
		return r.json()[:20]
	case 1:
		return "{\"sensor\":\"\xff\xfe\",\"n\":1}"
	case 2:
		return fmt.Sprintf(`{"sensor":"%s","n":99999999999999999999,"temp":1,"ts":%d}`, r.sensor, r.ts)
	case 3:
		return fmt.Sprintf(`{"sensor":"%s","n":1,"temp":"warm","ts":%d}`, r.sensor, r.ts)
	case 4: // from the far future: would close all windows
		return fmt.Sprintf(`{"sensor":"%s","n":1,"temp":1,"ts":%d}`, r.sensor, now.Add(90*24*time.Hour).UnixMilli())
	case 5: // no time at all
		return fmt.Sprintf(`{"sensor":"%s","n":1,"temp":1}`, r.sensor)
	default:
		return "hello"
	}
}

// broker drops nothing: a queue without bounds, so that what arrives is what was sent.
func broker(t *testing.T) *testenv.Server {
	return testenv.Mosquitto(t, testenv.Config("max_queued_messages 0", "max_inflight_messages 0", "allow_zero_length_clientid true"))
}

func publish(t *testing.T, url string, payloads []string) {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker(url).SetClientID(fmt.Sprint("e2e-", time.Now().UnixNano())).SetMessageChannelDepth(1000))
	if tok := c.Connect(); !tok.WaitTimeout(patience) || tok.Error() != nil {
		t.Fatalf("connect: %v", tok.Error())
	}
	defer c.Disconnect(1000)
	const window = 500
	var tokens []paho.Token
	for i, p := range payloads {
		tokens = append(tokens, c.Publish(fmt.Sprintf("readings/%d", i%8), 1, false, p))
		if len(tokens) == window || i == len(payloads)-1 {
			for _, tok := range tokens {
				if !tok.WaitTimeout(patience) || tok.Error() != nil {
					t.Fatalf("publish: %v", tok.Error())
				}
			}
			tokens = tokens[:0]
		}
	}
}

// publishTo publishes one message, and returns when the broker has it.
func publishTo(t *testing.T, url, topic string, payload []byte) {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker(url).SetClientID(fmt.Sprint("e2e-", time.Now().UnixNano())))
	if tok := c.Connect(); !tok.WaitTimeout(patience) || tok.Error() != nil {
		t.Fatalf("connect: %v", tok.Error())
	}
	defer c.Disconnect(1000)
	if tok := c.Publish(topic, 1, false, payload); !tok.WaitTimeout(patience) || tok.Error() != nil {
		t.Fatalf("publish: %v", tok.Error())
	}
}

func redisClient(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// closing are records an hour ahead that move every task's watermark past all windows; their own window stays open.
func closing(now time.Time) []string {
	out := make([]string, 60)
	for i := range out {
		out[i] = reading{"closing", int64(i), 0, now.Add(time.Hour).UnixMilli()}.json()
	}
	return out
}

func TestMainJobEqualsTheModel(t *testing.T) {
	mqtt, rds := broker(t), testenv.Redis(t)
	c := startCluster(t, 3, 1)
	id := c.submit(windowsSQL, "-p", "3", "--name", "windows", "-D", "MQTT_URL="+mqtt.URL(), "-D", "REDIS_URL="+rds.URL())
	db := redisClient(t, rds.URL())
	now := time.Now()
	in := makeInput(now)

	publish(t, mqtt.URL(), in.first)
	await(t, "all readings to be taken", func() bool {
		return db.HGet(t.Context(), "sensor:s000", "c").Val() == fmt.Sprint(in.model.count["s000"]-countOf(in.late, `"s000"`)) &&
			c.sum("bramble_task_bad_records_total") == float64(in.bad)
	})
	publish(t, mqtt.URL(), closing(now))
	await(t, "all windows to fire", func() bool { return db.XLen(t.Context(), "windows").Val() >= int64(len(in.model.windows)) })
	publish(t, mqtt.URL(), in.late)
	await(t, "late records to be counted", func() bool { return c.sum("bramble_task_late_records_total") >= float64(len(in.late)) })

	compareWindows(t, db, &in.model)
	compareLatest(t, db, &in.model)
	if got := c.sum("bramble_task_late_records_total"); got != float64(len(in.late)) {
		t.Errorf("%v records were counted late, want %d", got, len(in.late))
	}
	if got := c.sum("bramble_task_bad_records_total"); got != float64(in.bad) {
		t.Errorf("%v records were counted bad, want %d", got, in.bad)
	}
	if out := c.mustBramble("status", id); !strings.Contains(out, "RUNNING") {
		t.Errorf("status of a running job:\n%s", out)
	}
	if out := c.mustBramble("cancel", id); !strings.Contains(out, "Cancelled job "+id) {
		t.Errorf("cancel printed %q", out)
	}
	if out := c.mustBramble("list", "-a"); !strings.Contains(out, "CANCELED") {
		t.Errorf("list -a after cancel:\n%s", out)
	}
}

func countOf(lines []string, part string) int64 {
	var n int64
	for _, l := range lines {
		if strings.Contains(l, part) {
			n++
		}
	}
	return n
}

func compareWindows(t *testing.T, db *redis.Client, m *model) {
	t.Helper()
	got := map[string]int{}
	wrong := 0
	for _, e := range db.XRange(t.Context(), "windows", "-", "+").Val() {
		key := fmt.Sprint(e.Values["sensor"], " ", e.Values["window_start"])
		got[key]++
		w := m.windows[key]
		if w == nil {
			t.Errorf("window %s is not in the model", key)
			continue
		}
		want := fmt.Sprintf("%d %g %g %g %d", w.count, w.total, w.lowest, w.highest, w.different)
		have := fmt.Sprintf("%v %v %v %v %v", e.Values["c"], trimZero(e.Values["total"]), trimZero(e.Values["lowest"]), trimZero(e.Values["highest"]), e.Values["different"])
		if have != want {
			if wrong++; wrong <= 10 {
				t.Errorf("window %s is %s, want %s", key, have, want)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m.windows)) {
		if got[key] != 1 {
			if wrong++; wrong <= 20 {
				t.Errorf("window %s came %d times", key, got[key])
			}
		}
	}
	t.Logf("%d windows compared, %d wrong", len(m.windows), wrong)
}

// trimZero turns "21.0" into what %g prints.
func trimZero(v any) string { return strings.TrimSuffix(fmt.Sprint(v), ".0") }

func compareLatest(t *testing.T, db *redis.Client, m *model) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for sensor, want := range m.count {
		if got := db.HGet(ctx, "sensor:"+sensor, "c").Val(); got != fmt.Sprint(want) {
			t.Errorf("latest count of %s is %q, want %d", sensor, got, want)
		}
	}
}
