package demo

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
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
