// Package print is a sink that writes rows as text, a line each, as Flink's print connector does: +I[a, 1, 2020-01-01T00:00]. It is
// for looking at, not for reading back.
package print

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// lines is a writer that whole lines go to; all tasks of a process share one, so that lines never mix.
type lines struct {
	mu sync.Mutex
	to func() io.Writer
}

// write hands p, which ends with a line end, on in one call.
func (l *lines) write(p []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.to().Write(p)
	return err
}

// The process's own outputs; looked up at each write, so that whoever replaces them is heeded.
var (
	stdout = &lines{to: func() io.Writer { return os.Stdout }}
	stderr = &lines{to: func() io.Writer { return os.Stderr }}
)

// Connector returns the description of 'connector' = 'print', which writes to the standard output.
func Connector() *op.Connector { return connector(stdout, stderr) }

// ConnectorTo is Connector writing to w, whatever 'standard-error' says. All its sinks share w: each Write has whole lines, and
// there is one at a time.
func ConnectorTo(w io.Writer) *op.Connector {
	l := &lines{to: func() io.Writer { return w }}
	return connector(l, l)
}

func connector(out, errs *lines) *op.Connector {
	return &op.Connector{
		Name: "print",
		Options: []op.Option{
			{Key: "print-identifier", Only: "sink", Doc: "text before each row, such as the name of what is printed"},
			{Key: "standard-error", Kind: op.OptionBool, Default: "false", Only: "sink", Doc: "print to the standard error instead of the standard output"},
		},
		// All four kinds of row are shown when there are any.
		Modes: func(t *graph.TableSpec) []graph.ChangelogMode {
			if len(t.PrimaryKey) > 0 {
				return []graph.ChangelogMode{graph.Retract, graph.Upsert, graph.Append}
			}
			return []graph.ChangelogMode{graph.Retract, graph.Append}
		},
		NewSink: func(t *graph.TableSpec) (op.Sink, error) {
			s := &sink{identifier: t.Options["print-identifier"], out: out}
			if t.Options["standard-error"] == "true" {
				s.out = errs
			}
			return s, nil
		},
	}
}

type sink struct {
	identifier string
	out        *lines
	ctx        *op.Context
	prefix     []byte
	buf        []byte
}

var _ op.Sink = (*sink)(nil)

// Open makes the prefix as Flink does: identifier, task number from 1 when there are several, "> ".
func (s *sink) Open(ctx *op.Context) error {
	s.ctx = ctx
	p := s.identifier
	if ctx.Task.Parallelism > 1 {
		if p != "" {
			p += ":"
		}
		p += strconv.Itoa(ctx.Task.Index + 1)
	}
	if p != "" {
		s.prefix = []byte(p + "> ")
	}
	return nil
}

// flushBytes is how much text is collected before it is written.
const flushBytes = 64 << 10

// Write prints the rows at once: who looks wants to see them.
func (s *sink) Write(_ context.Context, b *vec.Batch) error {
	sel := b.Sel()
	buf := s.buf[:0]
	for k := range b.Len() {
		i := k
		if sel != nil {
			i = sel[k]
		}
		buf = append(buf, s.prefix...)
		buf = AppendRow(buf, b, i)
		buf = append(buf, '\n')
		if len(buf) >= flushBytes {
			if err := s.print(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	s.buf = buf
	return s.print(buf)
}

func (s *sink) print(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	if err := s.out.write(text); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	s.ctx.Metrics.BytesOut.Add(int64(len(text)))
	return nil
}

func (s *sink) Flush(context.Context) error { return nil }

func (s *sink) Prepare(context.Context, stream.Epoch) ([]byte, error) { return nil, nil }

func (s *sink) Commit(context.Context, stream.Epoch, []byte) error { return nil }

func (s *sink) Close() error { return nil }
