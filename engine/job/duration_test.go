package job

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5": 5 * time.Millisecond, "10 ms": 10 * time.Millisecond, "2min": 2 * time.Minute, "1 D": 24 * time.Hour, "0 ms": 0,
		"": -1, "ms": -1, "-5 ms": -1, "5 parsecs": -1, "99999999999999 d": -1,
	} {
		d, err := ParseDuration(text)
		if (err != nil) != (want < 0) || err == nil && d != want {
			t.Errorf("%q is %s, %v", text, d, err)
		}
	}
}
