package format

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// durationUnits are Flink's spellings.
var durationUnits = map[string]time.Duration{
	"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour,
	"h": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"s": time.Second, "sec": time.Second, "second": time.Second, "seconds": time.Second,
	"ms": time.Millisecond, "milli": time.Millisecond, "millisecond": time.Millisecond, "milliseconds": time.Millisecond, "": time.Millisecond,
	"us": time.Microsecond, "µs": time.Microsecond, "micro": time.Microsecond, "microsecond": time.Microsecond, "microseconds": time.Microsecond,
	"ns": time.Nanosecond, "nano": time.Nanosecond, "nanosecond": time.Nanosecond, "nanoseconds": time.Nanosecond,
}

// ParseDuration reads a duration as Flink's options write it: "10 s", "500ms", "1 min"; a bare number is milliseconds. Go's
// "1m30s" is read too.
func ParseDuration(s string) (time.Duration, error) {
	t := strings.ToLower(strings.TrimSpace(s))
	i := 0
	for i < len(t) && t[i] >= '0' && t[i] <= '9' {
		i++
	}
	if unit, ok := durationUnits[strings.TrimSpace(t[i:])]; ok && i > 0 {
		if n, err := strconv.ParseInt(t[:i], 10, 64); err == nil && n <= int64((1<<63-1)/unit) {
			return time.Duration(n) * unit, nil
		}
	} else if d, err := time.ParseDuration(t); err == nil && d >= 0 {
		return d, nil
	}
	return 0, fmt.Errorf("%q is no duration; expected a number and a unit, such as '10 s' or '500 ms'", s)
}
