package optest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/bramble-stream/bramble/engine/stream"
)

// EventKind says what an Event is.
type EventKind uint8

// The events.
const (
	// RowEvent is a row in text, on input Input.
	RowEvent EventKind = iota
	// WatermarkEvent raises the input watermark to Time.
	WatermarkEvent
	// IdleEvent and ActiveEvent tell the operator about its inputs.
	IdleEvent
	ActiveEvent
	// ClockEvent sets the clock to Time and fires the timers that are due on the way.
	ClockEvent
	// BarrierEvent is a checkpoint; the operator goes on as a restored one where the Config says so.
	BarrierEvent
	// FlushEvent is a pause of the input.
	FlushEvent
	// SplitEvent says that the rows that follow come from split Split; EndSplitEvent that it has ended.
	SplitEvent
	EndSplitEvent
	// EndEvent is the end of input: the last watermark, Flush, OnEnd.
	EndEvent
)

// Event is one thing that happens to an operator.
type Event struct {
	Kind  EventKind
	Row   string
	Time  stream.Time
	Split int
}

// Row makes a RowEvent, for generated tests.
func Row(format string, args ...any) Event { return Event{Row: fmt.Sprintf(format, args...)} }

// Watermark makes a WatermarkEvent.
func Watermark(t stream.Time) Event { return Event{Kind: WatermarkEvent, Time: t} }

// Clock makes a ClockEvent.
func Clock(t stream.Time) Event { return Event{Kind: ClockEvent, Time: t} }

// Parse reads a script: one event a line, "#" begins a comment line. A line that is none of
//
//	wm T    idle    active    clock T    barrier    flush    split N    endsplit N    end
//
// is a row. It panics on a mistake.
func Parse(script string) []Event {
	var events []Event
	for line := range strings.SplitSeq(script, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		events = append(events, parseLine(line))
	}
	return events
}

func parseLine(line string) Event {
	words := strings.Fields(line)
	plain := map[string]EventKind{"idle": IdleEvent, "active": ActiveEvent, "barrier": BarrierEvent, "flush": FlushEvent, "end": EndEvent}
	withArg := map[string]EventKind{"wm": WatermarkEvent, "clock": ClockEvent, "split": SplitEvent, "endsplit": EndSplitEvent}
	if k, ok := plain[words[0]]; ok && len(words) == 1 {
		return Event{Kind: k}
	}
	if k, ok := withArg[words[0]]; ok && len(words) == 2 {
		n, err := strconv.ParseInt(words[1], 10, 64)
		if words[1] == "max" {
			n, err = stream.MaxTime, nil
		}
		if err != nil {
			panic(fmt.Sprintf("optest: script line %q: %v", line, err))
		}
		return Event{Kind: k, Time: n, Split: int(n)}
	}
	return Event{Row: line}
}
