package app

import (
	"context"
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

// hinting adds to warnings what a person can do about the error in them.
type hinting struct{ slog.Handler }

// Handle implements slog.Handler.
func (h hinting) Handle(ctx context.Context, r slog.Record) error {
	text := ""
	if r.Level >= slog.LevelWarn {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "hint" { // whoever wrote it knows more
				text = ""
				return false
			}
			if err, ok := a.Value.Any().(error); ok && text == "" {
				text = hint(err)
			}
			return true
		})
	}
	if text != "" {
		r = r.Clone()
		r.AddAttrs(slog.String("hint", text))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h hinting) WithAttrs(attrs []slog.Attr) slog.Handler {
	return hinting{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h hinting) WithGroup(name string) slog.Handler { return hinting{h.Handler.WithGroup(name)} }

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
		return slog.New(hinting{slog.NewTextHandler(w, opts)}), nil
	case "json":
		return slog.New(hinting{slog.NewJSONHandler(w, opts)}), nil
	}
	return nil, &UsageError{fmt.Errorf("--log-format %q: want text or json", l.Format)}
}
