package app

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestClockWatch plays a Pi whose clock starts at the epoch, is set by NTP and then set back by an hour, with steps too small to tell before and after.
func TestClockWatch(t *testing.T) {
	var out bytes.Buffer
	built := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	w := &clockWatch{log: slog.New(slog.NewTextHandler(&out, nil)), built: built}
	wall, even := time.Unix(0, 0), time.Duration(0)
	w.start(wall, even)
	if got := out.String(); !strings.Contains(got, "the clock of this machine is wrong") || !strings.Contains(got, "clock=\"1970-01-01 00:00:00Z\" made=\"2026-11-01 00:00:00Z\"") {
		t.Errorf("start before the program was made: %q", got)
	}
	for _, step := range []struct {
		passes, set time.Duration
		want        string
	}{
		{time.Second, 0, ""},
		{time.Second, 900 * time.Millisecond, ""},
		{time.Minute, 0, ""}, // the process stood still
		{time.Second, 20_000 * day, `set forward by 20000 days" was="1970-01-01 00:01:0`},
		{time.Second, 0, ""},
		{time.Second, -time.Hour, `set back by 1h0m0s" was="2024-10-04 00:01:0`},
		{time.Second, -time.Second, `set back by 1s"`},
	} {
		out.Reset()
		wall, even = wall.Add(step.passes+step.set), even+step.passes
		w.look(wall, even)
		if got := out.String(); step.want == "" && got != "" || !strings.Contains(got, step.want) {
			t.Errorf("%s pass and it is set by %s: %q, want %q", step.passes, step.set, got, step.want)
		}
	}
	out.Reset()
	w.start(built.Add(time.Hour), 0)
	if out.Len() > 0 {
		t.Errorf("start with a clock that may be right: %q", out.String())
	}
}
