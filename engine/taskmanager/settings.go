package taskmanager

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/internal/duration"
)

// settings are what tasks take from SET and -D.
type settings struct {
	location      *time.Location
	bufferTimeout time.Duration
	// fromLocal: what is still here of the last checkpoint is not downloaded.
	fromLocal bool
	// verifyEvery is how often what storage holds of running tasks is read back, 0 for never; verifyRate is how fast, in bytes a second.
	verifyEvery time.Duration
	verifyRate  int64
}

// Keys and defaults of reading back. An hour of 1 MiB/s is 3.6 GB: a network or a disk that state of that size is on bears it.
const (
	keyVerifyEvery     = "execution.checkpointing.verification.interval"
	keyVerifyRate      = "execution.checkpointing.verification.bytes-per-second"
	defaultVerifyEvery = time.Hour
	defaultVerifyRate  = 1 << 20
	// verifyRateLeast keeps a part of a file from taking longer than anybody waits.
	verifyRateLeast = 1 << 10
)

func settingsOf(g *graph.JobGraph) (settings, error) {
	s := settings{location: time.UTC} // not the machine's: tasks of one job run on several
	if zone := g.Config["table.local-time-zone"]; zone != "" && zone != "default" {
		l, err := time.LoadLocation(zone)
		if err != nil {
			return s, fmt.Errorf("table.local-time-zone: %w", err)
		}
		s.location = l
	}
	s.fromLocal = true
	if text := g.Config["execution.state-recovery.from-local"]; text != "" {
		v, err := strconv.ParseBool(strings.ToLower(text))
		if err != nil {
			return s, fmt.Errorf("execution.state-recovery.from-local: %q is neither true nor false", text)
		}
		s.fromLocal = v
	}
	if err := s.verification(g.Config); err != nil {
		return s, err
	}
	for _, key := range []string{"execution.buffer-timeout.interval", "execution.buffer-timeout"} {
		text := g.Config[key]
		if text == "" {
			continue
		}
		d, err := duration.Parse(text)
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

func (s *settings) verification(config map[string]string) error {
	s.verifyEvery, s.verifyRate = defaultVerifyEvery, defaultVerifyRate
	if text := config[keyVerifyEvery]; text != "" {
		d, err := duration.Parse(text)
		if err != nil {
			return fmt.Errorf("%s: %w", keyVerifyEvery, err)
		}
		s.verifyEvery = d
	}
	if text := strings.TrimSpace(config[keyVerifyRate]); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < verifyRateLeast {
			return fmt.Errorf("%s: %q is not a number from %d on", keyVerifyRate, text, verifyRateLeast)
		}
		s.verifyRate = n
	}
	return nil
}
