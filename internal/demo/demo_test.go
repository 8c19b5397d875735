package demo

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestHouseSpeaksAsPromised(t *testing.T) {
	start := time.UnixMilli(1_795_289_579_000)
	h := NewHouse(7, start)
	sensors := map[string]int{}
	last := map[string]time.Time{}
	garbage, late, disorder := 0, 0, 0
	newest := map[string]int64{}
	for now := start; now.Before(start.Add(time.Minute)); now = now.Add(tick) {
		for _, m := range h.Until(now) {
			var r struct {
				Sensor string
				TS     int64
			}
			if err := json.Unmarshal([]byte(m.Payload), &r); err != nil {
				garbage++
				continue
			}
			sensors[r.Sensor]++
			last[r.Sensor] = now
			switch behind := now.UnixMilli() - r.TS; {
			case behind > 30_000:
				late++
			case r.TS < newest[r.Sensor]:
				disorder++
			default:
				newest[r.Sensor] = r.TS
			}
		}
	}
	if len(sensors) != 17 || garbage == 0 || late == 0 || disorder == 0 {
		t.Errorf("%d sensors, %d broken, %d late, %d out of order: each should be there", len(sensors), garbage, late, disorder)
	}
	if quiet := last["cellar-temperature"].Sub(start); quiet > 21*time.Second {
		t.Errorf("the cellar spoke until %s", quiet)
	}
}

func TestHouseIsDeterministic(t *testing.T) {
	start := time.UnixMilli(0)
	run := func() string {
		h := NewHouse(3, start)
		var b strings.Builder
		for i := range 500 {
			for _, m := range h.Until(start.Add(time.Duration(i) * tick)) {
				b.WriteString(m.Topic + m.Payload + "\n")
			}
		}
		return b.String()
	}
	if first, second := run(), run(); first != second {
		t.Error("two houses with one seed differ")
	}
}

func TestView(t *testing.T) {
	var b strings.Builder
	v := NewView(&b, false)
	row := map[string]any{"sensor": "attic-humidity", "window_start": "2026-11-21 20:00:00.000", "window_end": "2026-11-21 20:00:02.000", "readings": "4", "average": "48.5", "lowest": "47.0", "highest": "50.25"}
	v.window(row)
	v.window(row)
	if got := b.String(); strings.Count(got, "window 20:00:00 to 20:00:02") != 1 || strings.Count(got, "attic-humidity") != 2 || !strings.Contains(got, "48.50") {
		t.Errorf("view printed:\n%s", got)
	}
}

func TestRedisHoldsWhatTheDemoWrites(t *testing.T) {
	r, err := StartRedis()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	o, err := redis.ParseURL(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, ctx := redis.NewClient(o), t.Context()
	defer c.Close()
	got := make(chan []redis.XStream, 1)
	go func() {
		res, _ := c.XRead(ctx, &redis.XReadArgs{Streams: []string{"s", "$"}, Block: 5 * time.Second}).Result()
		got <- res
	}()
	add := func() bool {
		return c.XAdd(ctx, &redis.XAddArgs{Stream: "s", MaxLen: 10, Approx: true, Values: []string{"a", "1", "b", "2"}}).Err() == nil
	}
	// The reader may begin to block before or after an entry comes: one of several reaches it.
	for len(got) == 0 {
		if !add() {
			t.Fatal("XADD failed")
		}
	}
	if res := <-got; len(res) != 1 || len(res[0].Messages) == 0 || res[0].Messages[0].Values["b"] != "2" {
		t.Errorf("XREAD gave %v", res)
	}
	last, err := c.XRevRangeN(ctx, "s", "+", "-", 1).Result()
	if err != nil || len(last) != 1 {
		t.Fatalf("XREVRANGE gave %v, %v", last, err)
	}
	all, err := c.XRange(ctx, "s", "-", "+").Result()
	if n := c.XLen(ctx, "s").Val(); err != nil || int64(len(all)) != n || all[n-1].ID != last[0].ID {
		t.Errorf("XRANGE gave %d of %d entries, %v", len(all), n, err)
	}
	if err := c.HSet(ctx, "h", "x", "1", "y", "2").Err(); err != nil {
		t.Fatal(err)
	}
	c.HDel(ctx, "h", "x")
	if h := c.HGetAll(ctx, "h").Val(); len(h) != 1 || h["y"] != "2" {
		t.Errorf("HGETALL gave %v", h)
	}
	if c.Del(ctx, "h").Val() != 1 || len(c.HGetAll(ctx, "h").Val()) != 0 {
		t.Error("DEL left the hash")
	}
	if err := c.Get(ctx, "k").Err(); err == nil || !strings.Contains(err.Error(), "unknown command") {
		t.Errorf("GET gave %v", err)
	}
}
