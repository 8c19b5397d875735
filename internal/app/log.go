package app

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/pflag"

	"github.com/bramble-stream/bramble/engine/inspect"
)

// LogFlags are --log-format and --log-level.
type LogFlags struct{ Format, Level string }

// Add defines the flags with this default level.
func (l *LogFlags) Add(fs *pflag.FlagSet, level string) {
	fs.StringVar(&l.Format, "log-format", "text", "how log lines look: text or json")
	fs.StringVar(&l.Level, "log-level", level, "the least important lines to log: debug, info, warn or error")
}

// Logger makes the logger, onto w.
func (l *LogFlags) Logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		return nil, Usagef("--log-level %q: want debug, info, warn or error", l.Level)
	}
	opts := &slog.HandlerOptions{Level: level}
	w = inspect.Writer(w)
	switch strings.ToLower(l.Format) {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, &UsageError{fmt.Errorf("--log-format %q: want text or json", l.Format)}
}
