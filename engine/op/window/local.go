package window

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/table"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Numbers of the Local stage.
const (
	// localKeys bounds how many keys a Local stage holds: with a few numbers each, what a Pi 4's second cache of 1 MiB takes. localMemory is the bound for keys
	// and accumulators that are larger.
	localKeys   = 8192
	localMemory = 4 << 20
	// sampleRows is over how many rows it is judged whether aggregating pays, passRows for how many rows it is then left alone.
	sampleRows = 16 << 10
	passRows   = 512 << 10
	// passRatio: with more groups than 1/passRatio of the rows, a table costs more than the smaller exchange saves.
	passRatio = 2
)

// local is the Local stage: it aggregates by key and slice what arrives between two watermarks, and hands partial results to the Global stage. It keeps nothing
// beyond a flush, so it needs no store. When keys do not repeat, rows are passed on as partials one by one.
//
// Rows whose windows are all closed by this task's watermark are late: the Global stage cannot have a lower one, as long as the input is not idle.
type local struct {
	spec    graph.WindowSpec
	in, out *vec.Schema
	shape   shape
	ctx     *op.Context
	zone    zone
	tab     *table.Windowed
	divider divider
	late    lateRows
	closed  int64
	keys    []*vec.Col

	// rows and groups are what went in and came out since the last judgement; pass is how many rows are still passed on unaggregated.
	rows, groups, pass int64
	scratch            *agg.Set
	iota               []int32
	batch              *vec.Batch
	passKeys           []*vec.Col
	partials           []*vec.Col
	slice              int64
	to                 op.Output
	emit               table.Emitter
	one                []int64
}

var (
	_ op.Operator         = (*local)(nil)
	_ op.WatermarkHandler = (*local)(nil)
	_ op.Flusher          = (*local)(nil)
	_ op.Snapshotter      = (*local)(nil)
)

func newLocal(spec graph.WindowSpec, in, out *vec.Schema) (op.Operator, error) {
	o := &local{spec: spec, in: in, out: out, closed: stream.MinTime}
	if spec.Windowing.Kind != graph.Attached {
		var err error
		if o.shape, err = newShape(spec.Windowing); err != nil {
			return nil, err
		}
	}
	if err := checkGlobalInput(spec, out); err != nil {
		return nil, err
	}
	return o, nil
}

// Open makes the table.
func (o *local) Open(ctx *op.Context) error {
	o.ctx = ctx
	o.zone = newZone(ctx.Location, o.spec.Windowing.LTZ)
	if err := o.newTable(); err != nil {
		return err
	}
	var err error
	if o.scratch, err = agg.New(o.spec.Aggs, false); err != nil {
		return err
	}
	o.late.open(ctx, o.in)
	o.batch = vec.NewBatch(o.out)
	o.partials = o.scratch.NewPartialCols()
	for _, t := range o.spec.InputKeyTypes {
		o.passKeys = append(o.passKeys, vec.NewCol(t))
	}
	o.emit = o.take
	return nil
}

func (o *local) newTable() (err error) {
	opt := options(o.ctx, o.spec.InputKeyTypes, o.spec.Aggs)
	opt.Open, opt.BudgetBytes = nil, 0 // memory is bounded here, by flushing
	o.tab, err = table.NewWindowed(opt)
	return err
}

// Process aggregates the rows of b, or passes them on as partials.
func (o *local) Process(_ int, b *vec.Batch, out op.Output) error {
	if err := refuseRetractions(b); err != nil {
		return err
	}
	var parts []part
	var bad int
	var at *vec.Col
	if w := o.spec.Windowing; w.Kind == graph.Attached {
		at = b.Col(w.EndCol)
		parts, bad = o.divider.bySlice(b, at)
	} else {
		at = b.Col(w.TimeCol)
		parts, bad = o.divider.byTime(b, at, &o.shape, &o.zone)
	}
	if bad > 0 {
		o.ctx.Metrics.Bad.Add(int64(bad))
		o.ctx.Rejected.Nulls(b, at, nullTime)
	}
	o.keys = pick(o.keys[:0], b, o.spec.Keys)
	for _, p := range parts {
		if err := o.part(b, p, out); err != nil {
			return err
		}
	}
	switch {
	case o.tab.MemBytes() > o.budget():
		// A new table: an emptied one would hold on to the memory that is too much.
		if err := o.Flush(out); err != nil {
			return err
		}
		return o.newTable()
	case o.tab.HotKeys() > localKeys:
		return o.Flush(out)
	}
	return nil
}

func (o *local) budget() int64 {
	if b := o.ctx.MemoryBytes; b > 0 && b < localMemory {
		return b
	}
	return localMemory
}

func (o *local) part(b *vec.Batch, p part, out op.Output) error {
	var late, gap bool
	if o.spec.Windowing.Kind == graph.Attached {
		late = p.slice <= o.closed
	} else {
		_, last, in := o.shape.ends(p.slice)
		late, gap = last <= o.closed, !in
	}
	switch {
	case gap:
		return nil
	case late:
		return o.late.add(b, p.sel, p.n, nil)
	case o.pass > 0:
		o.pass -= int64(p.n)
		return o.passOn(b, p, out)
	}
	o.rows += int64(p.n)
	return o.tab.Add(p.slice, o.keys, b.Cols(), p.sel, p.n, nil)
}

// passOn emits each row as a partial of its own.
func (o *local) passOn(b *vec.Batch, p part, out op.Output) error {
	for len(o.iota) < p.n {
		o.iota = append(o.iota, int32(len(o.iota)))
	}
	o.scratch.Reset()
	o.scratch.Resize(p.n)
	o.scratch.Add(b.Cols(), p.sel, o.iota[:p.n])
	for _, c := range o.partials {
		c.Reset()
	}
	o.scratch.AppendPartial(o.partials, o.iota[:p.n])
	for i, k := range o.keys {
		own := o.passKeys[i]
		own.Reset()
		own.AppendSel(k, p.sel)
		o.batch.SetCol(i, own)
	}
	return o.emitPartials(p.slice, o.partials, p.n, out)
}

// emitPartials emits the batch, whose keys are set, with n rows of partial columns.
func (o *local) emitPartials(slice int64, partials []*vec.Col, n int, out op.Output) error {
	at := len(o.spec.Keys)
	ends := o.batch.Col(at)
	ends.Reset()
	ends.Resize(n)
	for i := range vec.Values[int64](ends) {
		vec.Values[int64](ends)[i] = slice
	}
	for i, c := range partials {
		o.batch.SetCol(at+1+i, c)
	}
	o.batch.SetRows(n)
	return out.Emit(o.batch)
}

// take is what the table emits to.
func (o *local) take(keys, values []*vec.Col, n int) error {
	o.groups += int64(n)
	for i, k := range keys {
		o.batch.SetCol(i, k)
	}
	return o.emitPartials(o.slice, values, n, o.to)
}

// flush emits the slices with ends up to limit.
func (o *local) flush(limit int64, out op.Output) error {
	for {
		ns := o.tab.Namespaces()
		if len(ns) == 0 || ns[0] > limit {
			return nil
		}
		o.one = append(o.one[:0], ns[0])
		o.slice, o.to = ns[0], out
		if err := o.tab.EmitPartial(o.one, o.emit); err != nil {
			return fmt.Errorf("flush slice ending at %d: %w", o.slice, err)
		}
		if err := o.tab.Drop(o.slice); err != nil {
			return err
		}
	}
}

// judge decides whether aggregating pays. If not, everything held is emitted, so that what is passed on from now on stays behind it.
func (o *local) judge(out op.Output) error {
	if o.rows < sampleRows {
		return nil
	}
	if o.groups*passRatio > o.rows {
		o.pass = passRows
	}
	o.rows, o.groups = 0, 0
	if o.pass > 0 {
		return o.flush(stream.MaxTime, out)
	}
	return nil
}

// OnWatermark emits the slices that the watermark completes, then passes it on.
func (o *local) OnWatermark(wm stream.Time, out op.Output) error {
	o.closed = max(o.closed, closedBy(o.zone.progress(wm)))
	if err := o.flush(o.closed, out); err != nil {
		return err
	}
	if err := o.judge(out); err != nil {
		return err
	}
	return out.EmitWatermark(wm)
}

// Flush emits everything that is held; it costs nothing when nothing is.
func (o *local) Flush(out op.Output) error {
	if err := o.flush(stream.MaxTime, out); err != nil {
		return err
	}
	return o.judge(out)
}

// Snapshot returns up to when windows are closed here, in the form of the other stages.
func (o *local) Snapshot(stream.Epoch) ([]byte, error) {
	return appendClosed(o.closed), nil
}

// Restore checks what Snapshot returned and begins anew. A Local stage runs with its source, whose splits may have been another task's: how far that one
// was says nothing about their rows. What is late all the same is refused by the Global stage.
func (o *local) Restore(parts [][]byte) error {
	_, err := restoreClosed(parts)
	return err
}

// Close does nothing: a Local stage holds no resources.
func (o *local) Close() error { return nil }
