package app

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"time"
)

const (
	// clockEvery is how often the clock is looked at, clockLeast by how much it has to have been set to be told: NTP moves it by less without a jump.
	clockEvery = time.Second
	clockLeast = time.Second
	day        = 24 * time.Hour
)

// built is set by the linker, as version is: when the source was committed, seconds since the epoch.
var built string

// Built is when the source of this program was committed, as far as the build knows; else zero. No clock is right that is before it.
func Built() time.Time {
	if s, err := strconv.ParseInt(built, 10, 64); err == nil {
		return time.Unix(s, 0)
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
				return t
			}
		}
	}
	return time.Time{}
}

// clockFloor is Built as a time of the engine, ms since the epoch; 0 when nothing is known.
func clockFloor() int64 {
	if t := Built(); !t.IsZero() {
		return t.UnixMilli()
	}
	return 0
}

// clockWatch notices that the time of day is set: a Pi has no clock that runs without power, and learns the time from the network some time after its start.
type clockWatch struct {
	log   *slog.Logger
	built time.Time
	// wall and even are what the time of day and a clock that nobody sets said at the last look.
	wall time.Time
	even time.Duration
}

// start looks for the first time.
func (w *clockWatch) start(wall time.Time, even time.Duration) {
	w.wall, w.even = wall.Round(0), even
	if w.wall.Before(w.built) {
		w.log.Warn("the clock of this machine is wrong: it is before this program was made", "clock", showTime(w.wall), "made", showTime(w.built),
			"remedy", "let something set it: systemd-timesyncd, chrony, or a clock with a battery; until then rows are not refused for being ahead of it")
	}
}

// look tells by how much the clock was set since the last look, if it was.
func (w *clockWatch) look(wall time.Time, even time.Duration) {
	wall = wall.Round(0) // what it says, not what has passed
	by := wall.Sub(w.wall) - (even - w.even)
	was := w.wall.Add(even - w.even)
	w.wall, w.even = wall, even
	if by.Abs() < clockLeast {
		return
	}
	direction := "forward"
	if by < 0 {
		direction = "back"
	}
	w.log.Warn("the clock of this machine was set "+direction+" by "+showSpan(by.Abs()), "was", showTime(was), "is", showTime(wall),
		"effect", "heartbeats, leases, pauses and checkpoints go by another clock; PROCTIME(), windows of processing time and table.exec.state.ttl go by this one")
}

func showTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// showSpan is a duration of at least a second for people: days when it is several.
func showSpan(d time.Duration) string {
	if d >= 2*day {
		return fmt.Sprintf("%d days", d/day)
	}
	return d.Round(time.Second).String()
}

// watchClock looks at the clock until ctx ends.
func watchClock(ctx context.Context, log *slog.Logger) {
	began := time.Now()
	w := &clockWatch{log: log, built: Built()}
	w.start(began, 0)
	t := time.NewTicker(clockEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			now := time.Now()
			w.look(now, now.Sub(began))
		case <-ctx.Done():
			return
		}
	}
}
