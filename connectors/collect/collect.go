// Package collect is the sink of previews: rows go, as JSON, to whoever looks at them. It is no connector that a table can name; the planner puts it
// behind a query that has no sink. How rows travel is given to it.
package collect

import (
	"context"
	"errors"
	"fmt"

	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Name is the connector's.
const Name = "collect"

// Stream takes rows of one task, in order.
type Stream interface {
	// Send blocks while the reader is slow. rows is a JSON array of arrays; kinds has a vec.RowKind a row, or is empty when all are inserts. Both are
	// lent until it returns.
	Send(rows, kinds []byte) error
	// Close returns when all was taken.
	Close() error
}

// Open begins a stream for the rows of a job, which lasts until ctx ends.
type Open func(ctx context.Context, job string) (Stream, error)

const (
	// sendRows and sendBytes bound what is sent at a time: a reader gets rows soon, and a message stays small.
	sendRows  = 256
	sendBytes = 64 << 10
	// rowBytesMax bounds a row: beyond it a message could not be sent.
	rowBytesMax = 2 << 20
)

// Connector returns the description of it. open nil is for planning only.
func Connector(open Open) *op.Connector {
	return &op.Connector{
		Name: Name,
		Modes: func(*graph.TableSpec) []graph.ChangelogMode {
			return []graph.ChangelogMode{graph.Retract, graph.Append}
		},
		NewSink: func(*graph.TableSpec) (op.Sink, error) {
			if open == nil {
				return nil, errors.New("collect: previews cannot run here")
			}
			return &sink{open: open}, nil
		},
	}
}

type sink struct {
	open   Open
	ctx    *op.Context
	stream Stream
	rows   []byte
	kinds  []byte
	// changed says that kinds holds others than inserts.
	changed bool
}

var _ op.Sink = (*sink)(nil)

func (s *sink) Open(ctx *op.Context) (err error) {
	s.ctx = ctx
	s.stream, err = s.open(ctx.Ctx, ctx.Task.JobID)
	return err
}

// Write sends at once: somebody waits for the rows.
func (s *sink) Write(_ context.Context, b *vec.Batch) error {
	sel := b.Sel()
	for k := range b.Len() {
		i := k
		if sel != nil {
			i = sel[k]
		}
		if err := s.add(b, i); err != nil {
			return err
		}
	}
	return s.send()
}

func (s *sink) add(b *vec.Batch, i int) error {
	start := len(s.rows)
	s.rows = append(s.rows, ',')
	if start == 0 {
		s.rows[0] = '['
	}
	s.rows = append(s.rows, '[')
	for c := range b.Width() {
		if c > 0 {
			s.rows = append(s.rows, ',')
		}
		s.rows = format.AppendJSON(s.rows, b.Col(c), i, format.TextStyle{Sep: ' '})
	}
	s.rows = append(s.rows, ']')
	if n := len(s.rows) - start; n > rowBytesMax {
		return fmt.Errorf("a row of %d bytes is too long to be shown: at most %d", n, rowBytesMax)
	}
	kind := b.Kind(i)
	s.kinds = append(s.kinds, byte(kind))
	s.changed = s.changed || kind != vec.Insert
	if len(s.kinds) >= sendRows || len(s.rows) >= sendBytes {
		return s.send()
	}
	return nil
}

func (s *sink) send() error {
	if len(s.kinds) == 0 {
		return nil
	}
	s.rows = append(s.rows, ']')
	kinds := s.kinds
	if !s.changed {
		kinds = nil
	}
	err := s.stream.Send(s.rows, kinds)
	s.ctx.Metrics.BytesOut.Add(int64(len(s.rows)))
	s.rows, s.kinds, s.changed = s.rows[:0], s.kinds[:0], false
	return err
}

func (s *sink) Flush(context.Context) error { return nil }

func (s *sink) Prepare(context.Context, stream.Epoch) ([]byte, error) { return nil, nil }

func (s *sink) Commit(context.Context, stream.Epoch, []byte) error { return nil }

// Close waits until all was taken: a task that has finished has delivered.
func (s *sink) Close() error {
	if s.stream == nil {
		return nil
	}
	return s.stream.Close()
}
