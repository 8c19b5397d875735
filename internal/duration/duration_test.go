package duration

import (
	"strconv"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5": 5 * time.Millisecond, "10 ms": 10 * time.Millisecond, "500 ms": 500 * time.Millisecond, "10 s": 10 * time.Second, "10s": 10 * time.Second,
		" 1min ": time.Minute, "1 MIN": time.Minute, "2  minutes": 2 * time.Minute, "3 h": 3 * time.Hour, "1 D": 24 * time.Hour, "0 ms": 0, "7 µs": 7 * time.Microsecond,
		"8 nanos": 8, "1m30s": 90 * time.Second, "1 h 30 min": 90 * time.Minute, "1d1ms": 24*time.Hour + time.Millisecond,
		"PT10S": 10 * time.Second, "pt1h30m": 90 * time.Minute, "P1D": 24 * time.Hour, "P1DT0.5S": 24*time.Hour + 500*time.Millisecond, "PT0.000000001S": 1,
		"9223372036854775807 ns": 1<<63 - 1,
	} {
		if d, err := Parse(text); err != nil || d != want {
			t.Errorf("%q is %s, %v; want %s", text, d, err, want)
		}
	}
	for _, text := range []string{
		"", " ", "ms", "-5 ms", "+5 ms", "5 parsecs", "99999999999999 d", "9223372036854775808 ns", "1.5 s", "1s 1h", "1s1s", "1 2", "1s 5", "5 5s", "s5",
		"P", "PT", "P1DT", "PT1", "P1Y", "P1W", "P10S", "PT-1S", "-PT1S", "PT1S1S", "PT1M1H", "PT0.5M", "PT.5S", "PT1.S", "PT0.0000000001S", "PT106751991167300DT", "0x1 s", "1_0 s",
	} {
		if d, err := Parse(text); err == nil {
			t.Errorf("%q is %s", text, d)
		}
	}
}

// FuzzParse: nothing panics or is below zero, and what Go prints of a duration in whole seconds is read again.
func FuzzParse(f *testing.F) {
	f.Add("1 h 30 min", int64(5))
	f.Add("P1DT0.5S", int64(1))
	f.Fuzz(func(t *testing.T, text string, n int64) {
		if d, err := Parse(text); err == nil && d < 0 {
			t.Fatalf("%q is %s", text, d)
		}
		if n < 0 || n > 1<<32 {
			return
		}
		want := time.Duration(n) * time.Second
		if d, err := Parse(want.String()); err != nil || d != want {
			t.Fatalf("%s is %s, %v", want, d, err)
		}
		if d, err := Parse("PT" + strconv.FormatInt(n, 10) + "S"); err != nil || d != want {
			t.Fatalf("PT%dS is %s, %v", n, d, err)
		}
	})
}
