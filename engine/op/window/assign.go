package window

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// assign is a window table function without aggregation over aligned windows: it appends the bounds to each row, once for each window that the row is in.
// It holds no state; rows are passed on at once, late or not. Rows without a time are left out and counted.
type assign struct {
	shape   shape
	in, out *vec.Schema
	spec    graph.AssignSpec
	ctx     *op.Context
	timing  timing
	// view shares the input's columns (TUMBLE); copied holds rows, several times where windows overlap.
	view, copied *vec.Batch
	src          []int
	starts, ends []int64
}

var _ op.Operator = (*assign)(nil)

// NewAssign makes the operator of an AssignSpec.
func NewAssign(spec graph.AssignSpec, in, out *vec.Schema) (op.Operator, error) {
	if err := checkTiming(spec.Windowing, in); err != nil {
		return nil, err
	}
	if err := checkBounds(out, in.Len()); err != nil {
		return nil, err
	}
	if spec.Windowing.Kind == graph.Session {
		return newSessionAssign(spec, in, out)
	}
	s, err := newShape(spec.Windowing)
	if err != nil {
		return nil, err
	}
	return &assign{shape: s, in: in, out: out, spec: spec}, nil
}

// Open prepares the buffers.
func (a *assign) Open(ctx *op.Context) error {
	a.ctx = ctx
	a.timing.open(a.spec.Windowing, ctx)
	a.view, a.copied = vec.NewBatch(a.out), vec.NewBatch(a.out)
	for i := range 3 {
		a.view.SetCol(a.in.Len()+i, a.copied.Col(a.in.Len()+i))
	}
	return nil
}

// Process emits b's rows with their windows.
func (a *assign) Process(_ int, b *vec.Batch, out op.Output) error {
	if bad := a.timing.load(b); bad > 0 {
		a.ctx.Metrics.Bad.Add(int64(bad))
		a.ctx.Rejected.Nulls(b, b.Col(a.spec.Windowing.TimeCol), nullTime)
	}
	if len(a.timing.rows) == 0 {
		return nil
	}
	if a.shape.kind == graph.Tumble {
		return a.tumble(b, out)
	}
	a.src, a.starts, a.ends = a.src[:0], a.starts[:0], a.ends[:0]
	for k, i := range a.timing.rows {
		slice := a.shape.sliceEnd(a.timing.times[k])
		for end, ok := a.shape.nextEnd(slice, stream.MinTime); ok; end, ok = a.shape.nextEnd(slice, end) {
			a.src = append(a.src, i)
			a.starts, a.ends = append(a.starts, a.shape.start(end)), append(a.ends, end)
			if len(a.src) == vec.MaxRows {
				if err := a.emitCopied(b, out); err != nil {
					return err
				}
			}
		}
	}
	return a.emitCopied(b, out)
}

// tumble emits the input's columns as they are with three of its own beside them.
func (a *assign) tumble(b *vec.Batch, out op.Output) error {
	n := a.in.Len()
	for i := range n {
		a.view.SetCol(i, b.Col(i))
	}
	a.view.SetRows(b.Rows())
	a.view.SetSel(a.timing.rows)
	a.view.SetKinds(b.Kinds())
	w := newBounds(a.view, n, &a.timing.zone)
	for i := n; i < n+3; i++ {
		a.view.Col(i).Reset()
		a.view.Col(i).Resize(b.Rows())
	}
	starts, ends, times := vec.Values[int64](w.start), vec.Values[int64](w.end), vec.Values[int64](w.rowtime)
	for k, i := range a.timing.rows {
		end := a.shape.sliceEnd(a.timing.times[k])
		if !w.warm || end != w.lastEnd {
			w.lastEnd, w.lastTime, w.warm = end, w.zone.instant(end-1), true
		}
		starts[i], ends[i], times[i] = end-a.shape.size, end, w.lastTime
	}
	if len(a.timing.rows) == b.Rows() {
		a.view.SetSel(nil)
	}
	return out.Emit(a.view)
}

// emitCopied emits the rows collected in src with their bounds.
func (a *assign) emitCopied(b *vec.Batch, out op.Output) error {
	if len(a.src) == 0 {
		return nil
	}
	n := a.in.Len()
	a.copied.Reset()
	for i := range n {
		a.copied.Col(i).AppendSel(b.Col(i), a.src)
	}
	if b.Kinds() != nil {
		kinds := a.copied.EnsureKinds(len(a.src))
		for k, i := range a.src {
			kinds[k] = b.Kind(i)
		}
	}
	w := newBounds(a.copied, n, &a.timing.zone)
	for k := range a.src {
		w.append(a.starts[k], a.ends[k])
	}
	a.copied.SetRows(len(a.src))
	a.src, a.starts, a.ends = a.src[:0], a.starts[:0], a.ends[:0]
	if err := out.Emit(a.copied); err != nil {
		return fmt.Errorf("emit windows: %w", err)
	}
	return nil
}

// Close does nothing: the operator holds no resources.
func (a *assign) Close() error { return nil }
