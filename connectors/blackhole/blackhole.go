// Package blackhole is a sink that takes every row and keeps none: for measuring what comes before it. It has no source.
package blackhole

import (
	"context"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Connector returns the description of 'connector' = 'blackhole'. It has no options.
func Connector() *op.Connector {
	return &op.Connector{
		Name:    "blackhole",
		Modes:   modes,
		NewSink: func(*graph.TableSpec) (op.Sink, error) { return &sink{}, nil },
	}
}

// modes takes whatever comes, by whatever key; the rows before an update need not be made.
func modes(*graph.TableSpec) []graph.ChangelogMode {
	return []graph.ChangelogMode{graph.Upsert, graph.Append, graph.Retract}
}

type sink struct {
	ctx  *op.Context
	rows int64
}

var _ op.Sink = (*sink)(nil)

func (s *sink) Open(ctx *op.Context) error {
	s.ctx = ctx
	return nil
}

func (s *sink) Write(_ context.Context, b *vec.Batch) error {
	s.rows += int64(b.Len())
	return nil
}

func (s *sink) Flush(context.Context) error { return nil }

func (s *sink) Prepare(context.Context, stream.Epoch) ([]byte, error) { return nil, nil }

func (s *sink) Commit(context.Context, stream.Epoch, []byte) error { return nil }

func (s *sink) Close() error {
	if s.ctx != nil {
		s.ctx.Log.Debug("rows dropped", "count", s.rows)
	}
	return nil
}
