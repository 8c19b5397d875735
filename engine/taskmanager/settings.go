package taskmanager

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/engine/graph"
)

// settings are what tasks take from SET and -D.
type settings struct {
	location      *time.Location
	bufferTimeout time.Duration
}

func settingsOf(g *graph.JobGraph) (settings, error) {
	s := settings{location: time.Local}
	if zone := g.Config["table.local-time-zone"]; zone != "" && zone != "default" {
		l, err := time.LoadLocation(zone)
		if err != nil {
			return s, fmt.Errorf("table.local-time-zone: %w", err)
		}
		s.location = l
	}
	for _, key := range []string{"execution.buffer-timeout.interval", "execution.buffer-timeout"} {
		text := g.Config[key]
		if text == "" {
			continue
		}
		d, err := parseDuration(text)
		if err != nil {
			return s, fmt.Errorf("%s: %w", key, err)
		}
		if s.bufferTimeout = d; d == 0 {
			s.bufferTimeout = -1 // 0 means the default to a task
		}
		break
	}
	return s, nil
}

// units are Flink's words for time.
var units = map[string]time.Duration{
	"": time.Millisecond, "ms": time.Millisecond, "milli": time.Millisecond, "millis": time.Millisecond,
	"millisecond": time.Millisecond, "milliseconds": time.Millisecond,
	"s": time.Second, "sec": time.Second, "secs": time.Second, "second": time.Second, "seconds": time.Second,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"h": time.Hour, "hour": time.Hour, "hours": time.Hour, "d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour,
	"us": time.Microsecond, "µs": time.Microsecond, "micro": time.Microsecond, "micros": time.Microsecond,
	"ns": time.Nanosecond, "nano": time.Nanosecond, "nanos": time.Nanosecond,
}

// parseDuration reads a duration as Flink writes it: "5 ms", "1min"; a bare number is milliseconds.
func parseDuration(text string) (time.Duration, error) {
	t := strings.ToLower(strings.TrimSpace(text))
	digits := strings.TrimRight(t, "abcdefghijklmnopqrstuvwxyzµ ")
	unit, ok := units[strings.TrimSpace(t[len(digits):])]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !ok || n < 0 || n > int64(1<<62)/int64(unit) {
		return 0, fmt.Errorf("%q is not a duration such as '10 ms'", text)
	}
	return time.Duration(n) * unit, nil
}
