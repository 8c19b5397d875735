package window

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// sessionOp is what session aggregation and the session table function share: rows find their sessions, and sessions fire.
type sessionOp struct {
	windowing graph.Windowing
	keyAt     []int
	keyTypes  []vec.Type
	in, out   *vec.Schema
	ctx       *op.Context
	timing    timing
	sessions  *sessions
	late      lateRows
	latest    stream.Time
	keys      []*vec.Col
	// rows and slots are the rows of the batch that wait to be added, with their sessions.
	rows     []int
	slots    []int32
	lateSel  []int
	ripe     []int32
	cur      *vec.Batch
	addRows  func(b *vec.Batch, rows []int, slots []int32)
	emitRipe func(slots []int32, out op.Output) error
}

// open prepares for a payload.
func (o *sessionOp) open(ctx *op.Context, p payload) {
	o.ctx = ctx
	o.timing.open(o.windowing, ctx)
	o.latest = stream.MinTime
	s := newSessions(o.windowing.GapMS, o.keyTypes, p)
	s.open, s.keyRange, s.maxPar = ctx.OpenState, keyRange(ctx), max(ctx.Task.MaxParallelism, 1)
	if ctx.MemoryBytes > 0 {
		s.budget = ctx.MemoryBytes
	}
	s.beforeMerge = func() error {
		o.flushRows()
		return nil
	}
	o.sessions = s
	o.late.open(ctx, o.in)
}

// flushRows adds the waiting rows to their sessions.
func (o *sessionOp) flushRows() {
	if len(o.rows) > 0 {
		o.addRows(o.cur, o.rows, o.slots)
		o.rows, o.slots = o.rows[:0], o.slots[:0]
	}
}

// Process puts the rows of b into their sessions; late ones go aside.
func (o *sessionOp) Process(_ int, b *vec.Batch, _ op.Output) error {
	if bad := o.timing.load(b); bad > 0 {
		o.ctx.Metrics.Bad.Add(int64(bad))
		o.ctx.Rejected.Nulls(b, b.Col(o.windowing.TimeCol), nullTime)
	}
	n := len(o.timing.rows)
	if n == 0 {
		return nil
	}
	o.keys = pick(o.keys[:0], b, o.keyAt)
	kids, err := o.sessions.lookup(o.keys, o.timing.rows, n)
	if err != nil {
		return err
	}
	o.cur, o.lateSel = b, o.lateSel[:0]
	for k, kid := range kids {
		slot, ok, err := o.sessions.place(kid, o.time(k))
		if err != nil {
			return err
		}
		if !ok {
			o.lateSel = append(o.lateSel, o.timing.rows[k])
			continue
		}
		o.rows, o.slots = append(o.rows, o.timing.rows[k]), append(o.slots, slot)
	}
	o.flushRows()
	o.cur = nil
	if len(o.lateSel) > 0 {
		if err := o.late.add(b, o.lateSel, len(o.lateSel), nil); err != nil {
			return err
		}
	}
	if err := o.sessions.trim(); err != nil {
		return err
	}
	o.account()
	return nil
}

// time is the time of loaded row k; processing time does not go back when the clock is set back.
func (o *sessionOp) time(k int) int64 {
	t := o.timing.times[k]
	if o.timing.proc() {
		o.latest = max(o.latest, t)
		return o.latest
	}
	return t
}

func (o *sessionOp) account() {
	o.ctx.Metrics.StateBytes.Store(o.sessions.memBytes())
	o.ctx.Metrics.StateKeys.Store(int64(o.sessions.live))
}

// advance fires the sessions that end at or before closed, those in memory earliest first.
func (o *sessionOp) advance(closed int64, out op.Output) error {
	if closed <= o.sessions.closed {
		return nil
	}
	for {
		more, err := o.sessions.thaw(closed)
		if err != nil {
			return err
		}
		for {
			o.ripe = o.sessions.ripe(o.ripe[:0], closed, vec.MaxRows)
			if len(o.ripe) == 0 {
				break
			}
			if err := o.emitRipe(o.ripe, out); err != nil {
				return fmt.Errorf("fire sessions: %w", err)
			}
			o.sessions.remove(o.ripe)
		}
		if err := o.sessions.trim(); err != nil {
			return err
		}
		if !more {
			break
		}
	}
	o.sessions.closed = closed
	o.account()
	return nil
}

// OnWatermark fires what the watermark completes, then passes it on.
func (o *sessionOp) OnWatermark(wm stream.Time, out op.Output) error {
	if !o.timing.proc() || wm == stream.MaxTime {
		if err := o.advance(closedBy(o.timing.zone.progress(wm)), out); err != nil {
			return err
		}
	}
	return out.EmitWatermark(wm)
}

// NextTimer is when the next session over processing time ends.
func (o *sessionOp) NextTimer() stream.Time {
	if !o.timing.proc() {
		return stream.MaxTime
	}
	end := o.sessions.bound()
	if o.sessions.backed {
		end = min(end, o.sessions.cold)
	}
	if end == stream.MaxTime {
		return end
	}
	end = max(end, -timeMax) // a bound of the store's ends may be "unknown"
	return o.timing.zone.instant(end-1) + 1
}

// OnTimer fires the sessions over processing time that have ended.
func (o *sessionOp) OnTimer(now stream.Time, out op.Output) error {
	if !o.timing.proc() {
		return nil
	}
	return o.advance(closedBy(o.timing.zone.progress(now-1)), out)
}

// Snapshot writes the sessions to the store and returns up to when they have fired.
func (o *sessionOp) Snapshot(stream.Epoch) ([]byte, error) {
	if err := o.sessions.write(); err != nil {
		return nil, err
	}
	return appendClosed(o.sessions.closed), nil
}

// Restore takes up the sessions from the store.
func (o *sessionOp) Restore(parts [][]byte) error {
	closed, err := restoreClosed(parts)
	if err != nil {
		return err
	}
	if o.timing.proc() {
		o.latest = closed // this machine's clock may be behind the former one's
	}
	return o.sessions.restore(closed)
}

// Close does nothing: the store belongs to the task.
func (o *sessionOp) Close() error { return nil }

// appendBounds appends the bounds of sessions to columns at, at+1, at+2 of b.
func (o *sessionOp) appendBounds(w *bounds, slots []int32) {
	for _, x := range slots {
		w.append(o.sessions.start[x], o.sessions.end[x])
	}
}

// sessionAgg aggregates by key and session.
type sessionAgg struct {
	sessionOp
	spec  graph.WindowSpec
	set   *accumulators
	batch *vec.Batch
	kids  []int32
}

var (
	_ op.Operator         = (*sessionAgg)(nil)
	_ op.WatermarkHandler = (*sessionAgg)(nil)
	_ op.Timer            = (*sessionAgg)(nil)
	_ op.Snapshotter      = (*sessionAgg)(nil)
)

func newSessionAgg(spec graph.WindowSpec, in, out *vec.Schema) (op.Operator, error) {
	if err := checkGap(spec.Windowing.GapMS); err != nil {
		return nil, err
	}
	o := &sessionAgg{spec: spec}
	o.windowing, o.keyAt, o.keyTypes, o.in, o.out = spec.Windowing, spec.Keys, spec.InputKeyTypes, in, out
	return o, nil
}

// Open makes the accumulators.
func (o *sessionAgg) Open(ctx *op.Context) error {
	set, err := newAccumulators(o.spec.Aggs)
	if err != nil {
		return err
	}
	o.set, o.batch = set, vec.NewBatch(o.out)
	o.open(ctx, set)
	o.addRows = func(b *vec.Batch, rows []int, slots []int32) { o.set.set.Add(b.Cols(), rows, slots) }
	o.emitRipe = o.fire
	return nil
}

// Process refuses retractions, then does what all session operators do.
func (o *sessionAgg) Process(in int, b *vec.Batch, out op.Output) error {
	if err := refuseRetractions(b); err != nil {
		return err
	}
	return o.sessionOp.Process(in, b, out)
}

// fire emits one row a session.
func (o *sessionAgg) fire(slots []int32, out op.Output) error {
	b, n := o.batch, len(o.keyTypes)
	b.Reset()
	o.kids = o.kids[:0]
	for _, x := range slots {
		o.kids = append(o.kids, o.sessions.kid[x])
	}
	o.sessions.keys.AppendKeys(b.Cols()[:n], o.kids)
	o.set.set.AppendResult(b.Cols()[n:b.Width()-3], slots)
	o.appendBounds(newBounds(b, b.Width()-3, &o.timing.zone), slots)
	b.SetRows(len(slots))
	return out.Emit(b)
}

// accumulators is the payload of aggregation.
type accumulators struct {
	specs []agg.Spec
	set   *agg.Set
	buf   []byte
}

var _ payload = (*accumulators)(nil)

func newAccumulators(specs []agg.Spec) (*accumulators, error) {
	a := &accumulators{specs: specs}
	return a, a.reset()
}

func (a *accumulators) resize(n int) { a.set.Resize(n) }

func (a *accumulators) merge(dst, src int32) error {
	a.buf = a.set.Encode(a.buf[:0], src)
	a.set.Clear(src)
	_, err := a.set.DecodeMerge(a.buf, dst)
	return err
}

func (a *accumulators) clear(x int32)                            { a.set.Clear(x) }
func (a *accumulators) encode(dst []byte, x int32) []byte        { return a.set.Encode(dst, x) }
func (a *accumulators) decode(b []byte, x int32) ([]byte, error) { return a.set.Decode(b, x) }
func (a *accumulators) memBytes() int64                          { return a.set.MemBytes() }

func (a *accumulators) reset() error {
	set, err := agg.New(a.specs, false)
	a.set = set
	return err
}
