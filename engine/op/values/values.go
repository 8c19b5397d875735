// Package values is a bounded source of constant rows: VALUES, and SELECT without FROM. It reads nothing from outside.
package values

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// SplitID names the one split that there is.
const SplitID = "values"

// Source emits the rows of a ValuesSpec once, in order, then ends. It belongs into one task; opened without splits it reads all rows from the beginning.
type Source struct {
	spec graph.ValuesSpec
	out  *vec.Schema
	rows *vec.Batch
	next int
	sel  []int
}

var _ op.Source = (*Source)(nil)

// New makes the source; each row has an expression for each column of out.
func New(spec graph.ValuesSpec, out *vec.Schema) (op.Source, error) {
	for i, r := range spec.Rows {
		if len(r) != out.Len() {
			return nil, fmt.Errorf("values: row %d has %d columns, want %d", i+1, len(r), out.Len())
		}
	}
	return &Source{spec: spec, out: out}, nil
}

// Splits is what there is to read: one split.
func Splits() []op.Split { return []op.Split{{ID: SplitID}} }

// Open evaluates the rows. They are constants, but may call functions such as NOW().
func (s *Source) Open(ctx *op.Context, splits []op.Split) error {
	env := &expr.Env{Now: ctx.Clock.Now, Location: ctx.Location, Watermark: ctx.Watermark, Rand: ctx.Rand}
	unit := vec.NewBatch(vec.NewSchema())
	unit.SetRows(1)
	s.rows = vec.NewBatch(s.out)
	for i, r := range s.spec.Rows {
		program, err := expr.Compile(r, env)
		if err != nil {
			return fmt.Errorf("compile row %d of VALUES: %w", i+1, err)
		}
		cols, err := program.Eval(unit)
		if err != nil {
			return fmt.Errorf("row %d of VALUES: %w", i+1, err)
		}
		for c, col := range cols {
			s.rows.Col(c).AppendFrom(col, 0)
		}
	}
	s.rows.SetRows(len(s.spec.Rows))
	if len(splits) == 0 {
		return nil
	}
	if len(splits) > 1 {
		return fmt.Errorf("values: %d splits, want 1", len(splits))
	}
	return s.seek(splits[0].Pos)
}

// seek goes on from a position: the number of rows emitted.
func (s *Source) seek(pos []byte) error {
	if len(pos) == 0 {
		return nil
	}
	n, k := binary.Uvarint(pos)
	if k != len(pos) || n > uint64(s.rows.Rows()) {
		return fmt.Errorf("values: position %x is none of %d rows", pos, s.rows.Rows())
	}
	s.next = int(n)
	return nil
}

// Poll appends the next rows; it never waits.
func (s *Source) Poll(_ context.Context, b *vec.Batch, _ time.Duration) (op.Polled, error) {
	n := min(s.rows.Rows()-s.next, vec.MaxRows)
	s.sel = s.sel[:0]
	for i := range n {
		s.sel = append(s.sel, s.next+i)
	}
	if n > 0 {
		b.AppendRows(s.rows, s.sel)
	}
	s.next += n
	if s.next == s.rows.Rows() {
		return op.Polled{Status: op.End, SplitEnded: true}, nil
	}
	return op.Polled{Status: op.More}, nil
}

// Snapshot returns how far reading has come.
func (s *Source) Snapshot(stream.Epoch) ([]op.Split, error) {
	return []op.Split{{ID: SplitID, Pos: binary.AppendUvarint(nil, uint64(s.next))}}, nil
}

// Commit has nothing to acknowledge.
func (s *Source) Commit(context.Context, stream.Epoch) error { return nil }

// Close has nothing to release.
func (s *Source) Close() error { return nil }
