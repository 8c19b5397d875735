package serve

import (
	"errors"
	"log/slog"
	"testing"
	"time"
)

func TestPulse(t *testing.T) {
	p := Pulse{Timeout: 3 * time.Second}
	now := time.Unix(100, 0)
	for _, test := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {time.Second, false}, {1500 * time.Millisecond, false}, {1501 * time.Millisecond, true}, {time.Second, false}, {time.Hour, true}} {
		now = now.Add(test.after)
		if got := p.Stood(now); got != test.want {
			t.Errorf("%s after the last tick: %v", test.after, got)
		}
	}
}

func TestGuard(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	if err := Guard(log, "x", func() error { panic("boom") }); err == nil || err.Error() != "a bug in x: boom" {
		t.Errorf("panic: %v", err)
	}
	want := errors.New("no")
	if err := Guard(log, "x", func() error { return want }); !errors.Is(err, want) {
		t.Errorf("error: %v", err)
	}
}
