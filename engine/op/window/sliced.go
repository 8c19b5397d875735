package window

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/table"
	"github.com/bramble-stream/bramble/engine/vec"
)

// sliced aggregates aligned and attached windows: the Single and the Global stage.
type sliced struct {
	spec    graph.WindowSpec
	in, out *vec.Schema
	shape   shape
	ctx     *op.Context
	zone    zone
	tab     *table.Windowed
	// running is nil where windows do not overlap; budget is what it and the slices together may take.
	running *running
	budget  int64
	batches uint32
	divider divider
	late    lateRows
	// countAt is the partial column that says how many records a partial row stands for, -1 for none: then a late one counts as one.
	countAt int
	// closed: windows with ends at or below it have fired. Local time.
	closed int64
	// latest is the processing time of the last row; it does not go back when the clock is set back.
	latest stream.Time
	keys   []*vec.Col
	keyAt  []int
	hashes []uint64
	ns     []int64
	result result
}

var (
	_ op.Operator         = (*sliced)(nil)
	_ op.WatermarkHandler = (*sliced)(nil)
	_ op.Timer            = (*sliced)(nil)
	_ op.Snapshotter      = (*sliced)(nil)
)

func newSliced(spec graph.WindowSpec, in, out *vec.Schema) (op.Operator, error) {
	o := &sliced{spec: spec, in: in, out: out, closed: stream.MinTime, latest: stream.MinTime, countAt: countAt(spec.Aggs)}
	if spec.Windowing.Kind != graph.Attached {
		var err error
		if o.shape, err = newShape(spec.Windowing); err != nil {
			return nil, err
		}
	}
	o.keyAt = append(o.keyAt, spec.Keys...)
	if spec.Stage == graph.Global {
		if err := checkGlobalInput(spec, in); err != nil {
			return nil, err
		}
	} else if spec.Windowing.Kind == graph.Attached {
		// The start is one more key: windows that end together may begin apart.
		o.keyAt = append(o.keyAt, spec.Windowing.StartCol)
	}
	return o, nil
}

// proc reports windows over processing time: they fire by the clock.
func (o *sliced) proc() bool { return o.spec.Windowing.TimeCol < 0 }

// graceMS is how long after their end attached windows over processing time stay open: their rows come from windows that fire when they end, in tasks that are
// not of one mind to the millisecond.
const graceMS = 1000

// grace is how much later than a window's end the clock closes it.
func (o *sliced) grace() int64 {
	if o.spec.Windowing.Kind == graph.Attached {
		return graceMS
	}
	return 0
}

// attachedStart reports that the window's start is the last key.
func (o *sliced) attachedStart() bool { return len(o.keyAt) > len(o.spec.Keys) }

// Open makes the table.
func (o *sliced) Open(ctx *op.Context) error {
	o.ctx = ctx
	o.zone = newZone(ctx.Location, o.spec.Windowing.LTZ || o.proc())
	types := append([]vec.Type(nil), o.spec.InputKeyTypes...)
	if o.attachedStart() {
		types = append(types, vec.TypeTimestamp)
	}
	var err error
	opt := options(ctx, types, o.spec.Aggs)
	if o.tab, err = table.NewWindowed(opt); err != nil {
		return err
	}
	o.budget = opt.BudgetBytes
	if s := o.shape; s.kind == graph.Cumulate || s.kind == graph.Hop && s.size >= runningMin*s.slice && s.slide < s.size {
		o.running = newRunning(o.tab, types, o.spec.Aggs, s.kind == graph.Cumulate)
	}
	o.late.open(ctx, o.in)
	o.result = result{batch: vec.NewBatch(o.out), width: len(o.spec.Keys), zone: &o.zone}
	o.result.emit = o.result.take
	return nil
}

// Process aggregates the rows of b into their slices; late ones go aside.
func (o *sliced) Process(_ int, b *vec.Batch, _ op.Output) error {
	if err := refuseRetractions(b); err != nil {
		return err
	}
	parts, bad := o.divide(b)
	if bad > 0 {
		o.ctx.Metrics.Bad.Add(int64(bad))
		o.ctx.Rejected.Nulls(b, b.Col(o.slicedBy()), nullTime)
	}
	o.keys = pick(o.keys[:0], b, o.keyAt)
	cols := b.Cols()
	var counts *vec.Col
	global := o.spec.Stage == graph.Global
	if global {
		cols = cols[partialsAt(o.spec):]
		if o.countAt >= 0 {
			counts = cols[o.countAt]
		}
	}
	for _, p := range parts {
		next, ok := o.nextEnd(p.slice)
		if ok && o.running != nil {
			o.running.changed(p.slice)
		}
		switch {
		case !ok && next == inGap:
		case !ok:
			if err := o.late.add(b, p.sel, p.n, counts); err != nil {
				return err
			}
		case global:
			if err := o.tab.AddPartial(p.slice, o.keys, cols, p.sel, p.n, nil); err != nil {
				return err
			}
		default:
			if err := o.tab.Add(p.slice, o.keys, cols, p.sel, p.n, o.hash(p)); err != nil {
				return err
			}
		}
	}
	o.account()
	return nil
}

// hash returns the hashes of the rows' keys without an attached start, which the rows are not partitioned by: they must say the same key group as the
// exchange does. Where there is no such start the table hashes what it needs.
func (o *sliced) hash(p part) []uint64 {
	if !o.attachedStart() {
		return nil
	}
	o.hashes = slices.Grow(o.hashes[:0], p.n)[:p.n]
	vec.Hash(o.keys[:len(o.spec.Keys)], p.sel, o.hashes)
	return o.hashes
}

func (o *sliced) account() {
	bytes := o.tab.MemBytes()
	if o.running != nil {
		bytes += o.running.bytes
	}
	o.ctx.Metrics.StateBytes.Store(bytes)
	// counting keys walks the slices, so it is not done with each batch
	if o.batches++; o.batches%64 == 1 || bytes == 0 {
		o.ctx.Metrics.StateKeys.Store(o.tab.HotKeys())
	}
}

// divide cuts b by slice; attached windows are named by their ends.
func (o *sliced) divide(b *vec.Batch) (parts []part, bad int) {
	at := o.slicedBy()
	switch {
	case o.spec.Stage == graph.Global, o.spec.Windowing.Kind == graph.Attached:
		return o.divider.bySlice(b, b.Col(at))
	case at < 0:
		o.latest = max(o.latest, o.ctx.Clock.Now().UnixMilli())
		return o.divider.single(b, o.shape.sliceEnd(o.zone.local(o.latest))), 0
	default:
		return o.divider.byTime(b, b.Col(at), &o.shape, &o.zone)
	}
}

// slicedBy is the column that says which slice a row belongs to, below 0 when the clock does.
func (o *sliced) slicedBy() int {
	switch w := o.spec.Windowing; {
	case o.spec.Stage == graph.Global:
		return len(o.spec.Keys)
	case w.Kind == graph.Attached:
		return w.EndCol
	default:
		return w.TimeCol
	}
}

// inGap is what nextEnd returns for a slice that is in no window.
const inGap = -1

// nextEnd returns the end of the first window of a slice that is still to fire.
func (o *sliced) nextEnd(slice int64) (end int64, ok bool) {
	if o.spec.Windowing.Kind == graph.Attached {
		return slice, slice > o.closed
	}
	if _, _, in := o.shape.ends(slice); !in {
		return inGap, false
	}
	return o.shape.nextEnd(slice, o.closed)
}

// next is the end of the first window to fire, MaxTime when nothing waits. The oldest slice decides: the windows of later slices end later.
func (o *sliced) next() int64 {
	ns := o.tab.Namespaces()
	if len(ns) == 0 {
		return stream.MaxTime
	}
	if end, ok := o.nextEnd(ns[0]); ok {
		return end
	}
	return ns[0] // nothing waits for it: it is dropped with the next call
}

// advance fires all windows with ends up to closed, in order, and drops the slices that nothing waits for.
func (o *sliced) advance(closed int64, out op.Output) error {
	for {
		ns := o.tab.Namespaces()
		if len(ns) == 0 {
			break
		}
		end, ok := o.nextEnd(ns[0])
		if !ok {
			if err := o.tab.Drop(ns[0]); err != nil {
				return err
			}
			continue
		}
		if end > closed {
			break
		}
		if err := o.fire(end, out); err != nil {
			return err
		}
		o.closed = end
	}
	o.closed = max(o.closed, closed)
	o.account()
	return nil
}

// fire emits the window that ends at end.
func (o *sliced) fire(end int64, out op.Output) error {
	w := o.spec.Windowing
	var start int64
	o.ns = o.ns[:0]
	if w.Kind == graph.Attached { // each is a slice by itself; its start is a key, or follows from its size
		start = end - w.SizeMS
		o.ns = append(o.ns, end)
	} else {
		start = o.shape.start(end)
		for _, s := range o.tab.Namespaces() {
			if s > end {
				break
			}
			if s > start {
				o.ns = append(o.ns, s)
			}
		}
	}
	o.result.begin(start, end, o.attachedStart(), out)
	if o.running != nil {
		// the cache takes about as much as the slices
		if o.tab.MemBytes()+max(o.tab.MemBytes(), o.running.bytes) > o.budget {
			o.running.drop()
		} else if done, err := o.running.fire(start, end, o.ns, o.result.emit); done || err != nil {
			return err
		}
	}
	if err := o.tab.Emit(o.ns, o.result.emit); err != nil {
		return fmt.Errorf("fire window ending at %d: %w", end, err)
	}
	return nil
}

// OnWatermark fires what the watermark completes, then passes it on.
func (o *sliced) OnWatermark(wm stream.Time, out op.Output) error {
	if !o.proc() || wm == stream.MaxTime {
		if err := o.advance(closedBy(o.zone.progress(wm)), out); err != nil {
			return err
		}
	}
	return out.EmitWatermark(wm)
}

// NextTimer is when the next window over processing time ends.
func (o *sliced) NextTimer() stream.Time {
	if !o.proc() {
		return stream.MaxTime
	}
	end := o.next()
	if end == stream.MaxTime {
		return end
	}
	return o.zone.instant(end-1) + 1 + o.grace()
}

// OnTimer fires the windows over processing time that have ended.
func (o *sliced) OnTimer(now stream.Time, out op.Output) error {
	if !o.proc() {
		return nil
	}
	return o.advance(closedBy(o.zone.progress(now-1-o.grace())), out)
}

// snapshotVersion begins Snapshot's bytes.
const snapshotVersion = 1

// Snapshot writes the table to the store and returns up to when windows have fired.
func (o *sliced) Snapshot(stream.Epoch) ([]byte, error) {
	if err := o.tab.Snapshot(); err != nil {
		return nil, err
	}
	return appendClosed(o.closed), nil
}

func appendClosed(closed int64) []byte {
	return binary.LittleEndian.AppendUint64([]byte{snapshotVersion}, uint64(closed))
}

// Restore takes up the table from the store. Former tasks have seen the same watermarks before the same barrier; should they differ, the lowest counts, so that no
// window is lost.
func (o *sliced) Restore(parts [][]byte) error {
	closed, err := restoreClosed(parts)
	if err != nil {
		return err
	}
	o.closed = closed
	if o.proc() && closed != stream.MinTime {
		o.latest = o.zone.instant(closed-1) + 1 // this machine's clock may be behind the former one's
	}
	if o.ctx.OpenState == nil {
		return nil
	}
	return o.tab.Restore()
}

func restoreClosed(parts [][]byte) (int64, error) {
	if len(parts) == 0 {
		return stream.MinTime, nil
	}
	closed := stream.MaxTime
	for _, p := range parts {
		if len(p) != 9 || p[0] != snapshotVersion {
			return 0, fmt.Errorf("restore window operator: %x is no snapshot of version %d", p, snapshotVersion)
		}
		closed = min(closed, int64(binary.LittleEndian.Uint64(p[1:])))
	}
	return closed, nil
}

// Close does nothing: the store belongs to the task.
func (o *sliced) Close() error { return nil }

// result turns what a table emits into output batches.
type result struct {
	batch      *vec.Batch
	width      int // keys, without an attached start
	zone       *zone
	start, end int64
	fromKey    bool
	out        op.Output
	// emit is take, bound once.
	emit table.Emitter
}

// begin sets the window that follows; fromKey says that its start is the last key.
func (r *result) begin(start, end int64, fromKey bool, out op.Output) {
	r.start, r.end, r.fromKey, r.out = start, end, fromKey, out
}

// take emits n rows of keys and values with the window's bounds. The columns are shared: they are lent until Emit returns.
func (r *result) take(keys, values []*vec.Col, n int) error {
	at := 0
	for _, k := range keys[:r.width] {
		r.batch.SetCol(at, k)
		at++
	}
	for _, v := range values {
		r.batch.SetCol(at, v)
		at++
	}
	b := r.batch
	for i := at; i < at+3; i++ {
		b.Col(i).Reset()
	}
	w := newBounds(b, at, r.zone)
	if r.fromKey {
		for _, start := range vec.Values[int64](keys[r.width])[:n] {
			w.append(start, r.end)
		}
	} else {
		w.fill(r.start, r.end, n)
	}
	b.SetRows(n)
	return r.out.Emit(b)
}
