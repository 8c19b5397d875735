package pebble

import (
	"errors"
	"fmt"
	"log/slog"
)

// logger hands what Pebble says to slog: its chatter at debug level, since nobody needs to act on it.
type logger struct {
	log *slog.Logger
	h   *health
}

func (l logger) Infof(format string, args ...any) {
	l.log.Debug("pebble", "text", fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any) {
	l.log.Error("state store", "text", fmt.Sprintf(format, args...))
}

// Fatalf is called where Pebble cannot go on, and must not return. Errors of writing do not come here, see stateFS, nor does
// damage, see chain.listener: what is left are Pebble's own assertions.
func (l logger) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.log.Error("state store cannot go on", "text", text)
	l.h.fail(errors.New(text))
	panic("pebble: " + text)
}
