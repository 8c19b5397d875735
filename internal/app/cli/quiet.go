package cli

import (
	"context"
	"log/slog"
	"slices"
)

// saidByCommand are log messages that `bramble run` leaves out: it says itself how its one job ended, and why.
var saidByCommand = []string{"job state", "task failed"}

// quiet is a log handler without saidByCommand.
type quiet struct{ slog.Handler }

var _ slog.Handler = quiet{}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	if slices.Contains(saidByCommand, r.Message) {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }
