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
}

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
