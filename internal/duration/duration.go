// Package duration reads durations as Flink's options write them, the same wherever a script or an option has one.
package duration

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// units are Flink's words.
var units = map[string]time.Duration{
	"":  time.Millisecond,
	"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour,
	"h": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"s": time.Second, "sec": time.Second, "secs": time.Second, "second": time.Second, "seconds": time.Second,
	"ms": time.Millisecond, "milli": time.Millisecond, "millis": time.Millisecond, "millisecond": time.Millisecond, "milliseconds": time.Millisecond,
	"us": time.Microsecond, "µs": time.Microsecond, "μs": time.Microsecond, "micro": time.Microsecond, "micros": time.Microsecond,
	"microsecond": time.Microsecond, "microseconds": time.Microsecond,
	"ns": time.Nanosecond, "nano": time.Nanosecond, "nanos": time.Nanosecond, "nanosecond": time.Nanosecond, "nanoseconds": time.Nanosecond,
}

// Parse reads a whole number and a unit, "10 s", "500ms", "1 min", of which none is milliseconds; several in a row from large to small, "1h 30min",
// "1m30s"; or ISO 8601, "PT1H30M", "P1DT0.5S", without years, months and weeks, whose length is not known or not Flink's. Case does not matter, and a
// duration is never below zero. The longest is 292 years.
func Parse(text string) (time.Duration, error) {
	t := strings.ToLower(strings.TrimSpace(text))
	var d time.Duration
	var ok bool
	if rest, iso := strings.CutPrefix(t, "p"); iso {
		d, ok = parseISO(rest)
	} else {
		d, ok = parseWords(t)
	}
	if !ok {
		return 0, fmt.Errorf("%q is not a duration such as '10 s', '500 ms' or '1 min'", text)
	}
	return d, nil
}

// parseWords reads numbers with units, each smaller than the one before it.
func parseWords(t string) (sum time.Duration, ok bool) {
	last := time.Duration(math.MaxInt64)
	for first := true; first || t != ""; first = false {
		n, rest := digits(t)
		end := strings.IndexAny(rest, "0123456789")
		if end < 0 {
			end = len(rest)
		}
		word := strings.TrimSpace(rest[:end])
		unit, known := units[word]
		// A number alone is milliseconds only where nothing is beside it.
		if !known || unit >= last || word == "" && (!first || end < len(rest)) {
			return 0, false
		}
		if sum, ok = add(sum, n, unit); !ok {
			return 0, false
		}
		t, last = rest[end:], unit
	}
	return sum, true
}

// parseISO reads what follows the P of ISO 8601.
func parseISO(t string) (sum time.Duration, ok bool) {
	date, clock, timed := strings.Cut(t, "t")
	if date == "" && clock == "" || timed && clock == "" {
		return 0, false
	}
	part := func(t *string, suffix string, unit time.Duration) bool {
		before, rest, found := strings.Cut(*t, suffix)
		if !found {
			return true
		}
		*t = rest
		whole, fraction, _ := strings.Cut(before, ".")
		if sum, ok = add(sum, whole, unit); !ok || whole == before {
			return ok
		}
		if unit != time.Second || len(fraction) == 0 || len(fraction) > 9 {
			return false
		}
		sum, ok = add(sum, (fraction + "00000000")[:9], 1)
		return ok
	}
	ok = part(&date, "d", 24*time.Hour) && part(&clock, "h", time.Hour) && part(&clock, "m", time.Minute) && part(&clock, "s", time.Second)
	return sum, ok && date == "" && clock == ""
}

// add is sum + n * unit, unless that is too much or n is no whole number.
func add(sum time.Duration, n string, unit time.Duration) (time.Duration, bool) {
	i, err := strconv.ParseUint(n, 10, 63)
	if err != nil || i > uint64((math.MaxInt64-sum)/unit) {
		return 0, false
	}
	return sum + time.Duration(i)*unit, true
}

// digits cuts the digits off the beginning of t.
func digits(t string) (n, rest string) {
	i := 0
	for i < len(t) && t[i] >= '0' && t[i] <= '9' {
		i++
	}
	return t[:i], strings.TrimLeft(t[i:], " ")
}
