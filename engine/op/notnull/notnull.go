// Package notnull keeps NULL out of columns of a sink's table that are declared NOT NULL: a sink around the connector's.
package notnull

import (
	"context"
	"fmt"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
)

// sink checks rows before the sink in it gets them.
type sink struct {
	op.Sink
	spec graph.SinkSpec
	ctx  *op.Context
	view *vec.Batch
	// refused are rows of a batch to show to people.
	refused [16]int
	dropped int64
}

// New returns s with the spec's NotNull columns checked: a row with NULL in one fails the task, or is left out, counted and logged with
// DropNulls. Without such columns it is s.
func New(s op.Sink, spec graph.SinkSpec) (op.Sink, error) {
	if len(spec.NotNull) == 0 {
		return s, nil
	}
	for _, c := range spec.NotNull {
		if c < 0 || c >= spec.Table.Schema.Len() {
			return nil, fmt.Errorf("table %q: column %d is to be NOT NULL, and there are %d", spec.Table.Name, c, spec.Table.Schema.Len())
		}
	}
	return &sink{Sink: s, spec: spec, view: vec.NewBatch(spec.Table.Schema)}, nil
}

// Open implements op.Sink.
func (s *sink) Open(ctx *op.Context) error {
	s.ctx = ctx
	return s.Sink.Open(ctx)
}

// Write implements op.Sink.
func (s *sink) Write(ctx context.Context, b *vec.Batch) error {
	for _, c := range s.spec.NotNull {
		if b.Col(c).HasNulls() {
			return s.checked(ctx, b)
		}
	}
	return s.Sink.Write(ctx, b)
}

// checked writes the rows of b that have no NULL where there must be none.
func (s *sink) checked(ctx context.Context, b *vec.Batch) error {
	s.view.ViewOf(b)
	sel := s.view.SelBuf()
	n, first := 0, -1
	each := func(i int) error {
		col := s.nullAt(b, i)
		if col < 0 {
			sel = append(sel, i)
			return nil
		}
		if !s.spec.DropNulls {
			return s.failure(col)
		}
		if n < len(s.refused) {
			s.refused[n] = i
		}
		if n++; first < 0 {
			first = col
		}
		return nil
	}
	if err := eachRow(b, each); err != nil {
		return err
	}
	if n == 0 {
		return s.Sink.Write(ctx, b)
	}
	s.note(n, first, b)
	if s.view.UseSel(sel); len(sel) == 0 {
		return nil
	}
	return s.Sink.Write(ctx, s.view)
}

// eachRow calls f for the selected rows.
func eachRow(b *vec.Batch, f func(i int) error) error {
	if sel := b.Sel(); sel != nil {
		for _, i := range sel {
			if err := f(i); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range b.Rows() {
		if err := f(i); err != nil {
			return err
		}
	}
	return nil
}

// nullAt is the first column with a NULL in row i that must not have one, -1 for none.
func (s *sink) nullAt(b *vec.Batch, i int) int {
	for _, c := range s.spec.NotNull {
		if b.Col(c).IsNull(i) {
			return c
		}
	}
	return -1
}

func (s *sink) failure(col int) error {
	where := ""
	if s.spec.Line > 0 {
		where = fmt.Sprintf(" by the INSERT at %d:%d", s.spec.Line, s.spec.Column)
	}
	return fmt.Errorf("column %q of table %q is NOT NULL, and NULL is written into it%s; write COALESCE or a filter, declare the column without NOT NULL, "+
		"or leave such rows out with SET 'table.exec.sink.not-null-enforcer' = 'DROP'", s.spec.Table.Schema.Fields[col].Name, s.spec.Table.Name, where)
}

// note counts n dropped rows of b, and logs now and then.
func (s *sink) note(n, col int, b *vec.Batch) {
	before := s.dropped
	s.dropped += int64(n)
	s.ctx.Metrics.Bad.Add(int64(n))
	name := s.spec.Table.Schema.Fields[col].Name
	s.ctx.Rejected.Rows(b, s.refused[:min(n, len(s.refused))], n, fmt.Sprintf("NULL in column %q, which is NOT NULL", name))
	if before == 0 || before/1000 != s.dropped/1000 {
		s.ctx.Log.Warn("rows with NULL in a NOT NULL column dropped", "table", s.spec.Table.Name, "column", name, "dropped_so_far", s.dropped)
	}
}
