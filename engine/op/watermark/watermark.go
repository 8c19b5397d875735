// Package watermark makes watermarks from rows, per split, and refuses rows whose time is missing or too far ahead. It does not order or
// delay rows.
package watermark

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/sample"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// deferMax is for how many batches a watermark may be deferred when the runtime does not flush: 64 full ones are 64 k rows, some ten milliseconds at full speed.
const deferMax = 64

// Op is the operator. It is chained to a source, or to a stateless operator after one.
//
// A watermark that rows make is deferred until the runtime flushes (the input pauses, or the buffer timeout has passed), so that a fast input does not break up the
// batches of a hash edge with a watermark after each of its own. That changes no result: a row that the deferred watermark might make late, or might keep from a
// window that it closes, lets it out first.
type Op struct {
	spec    graph.WatermarkSpec
	in      *vec.Schema
	ctx     *op.Context
	program *expr.Program
	track   *tracker
	// tickedAt is the time of day at the last tick.
	tickedAt stream.Time
	// zone is the offset of table.local-time-zone at [zoneFrom, zoneTo).
	zoneFrom, zoneTo, zoneOffset stream.Time
	view                         *vec.Batch
	bad                          *badRows
	// deferred is the watermark that has been merged but not emitted, MinTime for none; batches is for how many it has been.
	deferred stream.Time
	batches  int
	// low and high are the bounds of the times of the view's rows.
	low, high stream.Time
	// last is a row for the highest time when the watermark rises with the time and depends on nothing else, as it nearly always does: it is evaluated there only.
	last *vec.Batch
}

var (
	_ op.Operator         = (*Op)(nil)
	_ op.WatermarkHandler = (*Op)(nil)
	_ op.Timer            = (*Op)(nil)
	_ op.Flusher          = (*Op)(nil)
	_ op.Snapshotter      = (*Op)(nil)
)

// New makes the operator; rows pass unchanged, so out has in's types.
func New(spec graph.WatermarkSpec, in, out *vec.Schema) (op.Operator, error) {
	if spec.TimeCol < 0 || spec.TimeCol >= in.Len() {
		return nil, fmt.Errorf("watermark: time column %d of %d", spec.TimeCol, in.Len())
	}
	if k := in.Fields[spec.TimeCol].Type.Kind; !k.IsTimestamp() {
		return nil, fmt.Errorf("watermark: column %s is %s, want TIMESTAMP or TIMESTAMP_LTZ", in.Fields[spec.TimeCol].Name, k)
	}
	if spec.Expr == nil || !spec.Expr.Type.Kind.IsTimestamp() {
		return nil, fmt.Errorf("watermark: the expression is not a TIMESTAMP or TIMESTAMP_LTZ")
	}
	if in.Len() != out.Len() {
		return nil, fmt.Errorf("watermark: %d columns in, %d out", in.Len(), out.Len())
	}
	return &Op{spec: spec, in: in, deferred: stream.MinTime}, nil
}

// Open compiles the watermark expression.
func (o *Op) Open(ctx *op.Context) error {
	o.ctx = ctx
	env := &expr.Env{Now: ctx.Clock.Now, Location: ctx.Location, Watermark: ctx.Watermark, Rand: ctx.Rand}
	var err error
	if o.program, err = expr.Compile([]*expr.Expr{o.spec.Expr}, env); err != nil {
		return fmt.Errorf("compile watermark: %w", err)
	}
	splits := 1
	if ctx.Source != nil {
		splits = ctx.Source.Splits
	}
	o.tickedAt = o.now()
	o.track = newTracker(config{o.spec.IdleMS, o.spec.FallbackMS, o.spec.AwayMS}, splits, o.listened(o.tickedAt))
	o.view = vec.NewBatch(o.in)
	if rises(o.spec.Expr, o.spec.TimeCol) {
		o.last = vec.NewBatch(o.in)
		for i := range o.in.Fields {
			if i == o.spec.TimeCol {
				vec.AppendValue(o.last.Col(i), int64(0))
			} else {
				o.last.Col(i).AppendNull()
			}
		}
		o.last.SetRows(1)
	}
	if ctx.Side != nil {
		if side := ctx.Side(graph.TagBad); side != nil {
			o.bad = newBadRows(side, ctx.Task.VertexName)
		}
	}
	return nil
}

func (o *Op) now() stream.Time { return o.ctx.Clock.Now().UnixMilli() }

// listened is the time by which silence is measured, in ms.
func (o *Op) listened(now stream.Time) stream.Time {
	if o.ctx.Source == nil {
		return now
	}
	return o.ctx.Source.Listened.Milliseconds()
}

// splits is how many splits there are when rows have come.
func (o *Op) splits() int {
	if o.ctx.Source == nil {
		return 1
	}
	return max(o.ctx.Source.Splits, o.ctx.Source.Split+1, 1)
}

// wall is an instant in the time of the rows: itself, or with LocalZone the wall-clock time in table.local-time-zone.
func (o *Op) wall(now stream.Time) stream.Time {
	if !o.spec.LocalZone || o.ctx.Location == nil {
		return now
	}
	if now < o.zoneFrom || now >= o.zoneTo {
		t := time.UnixMilli(now).In(o.ctx.Location)
		_, seconds := t.Zone()
		from, to := t.ZoneBounds()
		o.zoneFrom, o.zoneTo, o.zoneOffset = stream.MinTime, stream.MaxTime, int64(seconds)*1000
		if !from.IsZero() {
			o.zoneFrom = from.UnixMilli()
		}
		if !to.IsZero() {
			o.zoneTo = to.UnixMilli()
		}
	}
	return now + o.zoneOffset
}

// Process refuses rows without a usable time and emits the others. The watermark that they raise follows at the next Flush, or before.
func (o *Op) Process(_ int, b *vec.Batch, out op.Output) error {
	now := o.now()
	s := 0
	if o.ctx.Source != nil {
		s = o.ctx.Source.Split
	}
	listened := o.listened(now)
	o.track.grow(o.splits(), listened)
	o.view.ViewOf(b)
	if err := o.refuse(now); err != nil {
		return err
	}
	if o.view.Len() > 0 {
		high, err := o.highest()
		if err != nil {
			return err
		}
		if o.track.rows(s, listened) {
			if err := emitIdle(out, false); err != nil {
				return err
			}
		}
		// Rows from two milliseconds after a watermark on belong to what it does not close, even where a session's end touches the next one's start.
		if o.deferred != stream.MinTime && o.low <= o.deferred+1 {
			if err := o.Flush(out); err != nil {
				return err
			}
		}
		if err := out.Emit(o.view); err != nil {
			return err
		}
		o.track.raise(s, high)
	}
	if err := o.tick(now, out); err != nil {
		return err
	}
	if o.batches++; o.batches >= deferMax {
		return o.Flush(out)
	}
	return nil
}

// refuse takes rows whose time is NULL or too far ahead out of the view.
func (o *Op) refuse(now stream.Time) error {
	col := o.view.Col(o.spec.TimeCol)
	limit := stream.MaxTime
	if o.spec.MaxFutureMS > 0 && now >= o.ctx.ClockFloor { // else it is the clock that is wrong, not the row
		limit = o.wall(now) + o.spec.MaxFutureMS
	}
	before := o.view.Len()
	times, valid := vec.Values[int64](col), col.Valid()
	var ok bool
	if o.low, o.high, ok = bounds(times, valid, o.view.Sel()); ok && o.high <= limit {
		return nil
	}
	all := o.view.Sel() // may share memory with sel: it is read ahead of what is written
	sel := o.view.SelBuf()
	var refused [sample.RowsMax]int
	for k := range before {
		i := k
		if all != nil {
			i = all[k]
		}
		isNull := valid != nil && !valid.Get(i)
		if !isNull && times[i] <= limit {
			sel = append(sel, i)
			continue
		}
		if n := k - len(sel); n < len(refused) {
			refused[n] = i
		}
		if o.bad != nil {
			if err := o.bad.add(o.view, i, isNull, now); err != nil {
				return err
			}
		}
	}
	o.view.UseSel(sel)
	o.low, o.high, _ = bounds(times, nil, sel)
	o.ctx.Metrics.Bad.Add(int64(before - len(sel)))
	n := min(before-len(sel), len(refused))
	o.ctx.Rejected.Rows(o.view, refused[:n], n, "its time is NULL, or too far ahead of the clock")
	if o.bad != nil {
		return o.bad.flush()
	}
	return nil
}

// bounds returns the lowest and the highest of the selected times, and whether none is NULL, without which they mean nothing.
func bounds(times []int64, valid vec.Bitmap, sel []int) (low, high stream.Time, ok bool) {
	low, high = stream.MaxTime, stream.MinTime
	if sel != nil {
		for _, i := range sel {
			if valid != nil && !valid.Get(i) {
				return 0, 0, false
			}
			low, high = min(low, times[i]), max(high, times[i])
		}
		return low, high, true
	}
	if valid != nil && valid.Count(len(times)) != len(times) {
		return 0, 0, false
	}
	for _, t := range times {
		low, high = min(low, t), max(high, t)
	}
	return low, high, true
}

// rises reports whether the expression is the column, or the column and an interval of fixed length: it is highest where the column is.
func rises(e *expr.Expr, col int) bool {
	if e.Op == expr.OpCall && (e.Func == "-" || e.Func == "+") && len(e.Args) == 2 {
		by := e.Args[1]
		if by.Op != expr.OpLit || by.Null || by.Type.Kind != vec.IntervalDT {
			return false
		}
		e = e.Args[0]
	}
	return e.Op == expr.OpCol && e.Col == col
}

// highest evaluates the watermark expression over the view and returns its maximum, MinTime when it is NULL everywhere.
func (o *Op) highest() (stream.Time, error) {
	b := o.view
	if o.last != nil {
		b = o.last
		vec.Values[int64](b.Col(o.spec.TimeCol))[0] = o.high
	}
	cols, err := o.program.Eval(b)
	if err != nil {
		return 0, err
	}
	col := cols[0]
	times, valid := vec.Values[int64](col), col.Valid()
	high := stream.MinTime
	if sel := b.Sel(); sel != nil {
		for _, i := range sel {
			if valid == nil || valid.Get(i) {
				high = max(high, times[i])
			}
		}
		return high, nil
	}
	for i, t := range times {
		if valid == nil || valid.Get(i) {
			high = max(high, t)
		}
	}
	return high, nil
}

// Flush emits the watermark that is deferred.
func (o *Op) Flush(out op.Output) error {
	wm := o.deferred
	o.deferred, o.batches = stream.MinTime, 0
	if wm == stream.MinTime {
		return nil
	}
	o.ctx.Metrics.Watermark.Store(wm)
	return out.EmitWatermark(wm)
}

// tick merges the splits and emits what follows, but for the watermark, which it defers.
func (o *Op) tick(now stream.Time, out op.Output) error {
	if o.ctx.Source != nil {
		o.track.setEnded(o.ctx.Source.Ended)
		o.track.setAway(o.ctx.Source.Away)
		o.track.release(o.ctx.Source.Continues)
	} else {
		o.track.release(nil)
	}
	o.tickedAt = now
	a := o.track.tick(o.listened(now), o.wall(now))
	if a.active {
		if err := emitIdle(out, false); err != nil {
			return err
		}
	}
	if a.emitWM {
		o.deferred = a.wm
	}
	if !a.becomeIdle {
		return nil
	}
	if err := o.Flush(out); err != nil {
		return err
	}
	return emitIdle(out, true)
}

func emitIdle(out op.Output, idle bool) error {
	if e, ok := out.(op.IdleOutput); ok {
		return e.EmitIdle(idle)
	}
	return nil
}

// OnWatermark passes on only the last one, which says that the input has ended: all others are made here.
func (o *Op) OnWatermark(wm stream.Time, out op.Output) error {
	if wm != stream.MaxTime || o.track.merged == stream.MaxTime {
		return nil
	}
	o.track.merged, o.deferred = wm, wm
	return o.Flush(out)
}

// NextTimer is when a split becomes idle or begins to follow the clock.
func (o *Op) NextTimer() stream.Time {
	if o.track.merged == stream.MaxTime {
		return stream.MaxTime
	}
	if o.ctx.Source != nil {
		for i, e := range o.ctx.Source.Ended {
			if i < len(o.track.splits) && e != o.track.splits[i].ended {
				return o.tickedAt // a split has ended: merge at once
			}
		}
		for i, c := range o.ctx.Source.Continues {
			if i < len(o.track.splits) && !c && o.track.splits[i].held != stream.MinTime {
				return o.tickedAt // what followed had no rows
			}
		}
	}
	next := o.track.next()
	if next == stream.MaxTime {
		return next
	}
	return o.tickedAt + next - o.track.ticked // or later, if the task listens less
}

// OnTimer merges the splits anew.
func (o *Op) OnTimer(now stream.Time, out op.Output) error {
	if o.track.merged == stream.MaxTime {
		return nil
	}
	if err := o.tick(now, out); err != nil {
		return err
	}
	return o.Flush(out)
}

// Snapshot holds whether a row has been seen, so that windows restored from the same checkpoint close although their source stays silent.
// Watermarks themselves start anew: the rows after the position that is restored make them.
func (o *Op) Snapshot(stream.Epoch) ([]byte, error) {
	var saw byte
	if o.track.sawRow {
		saw = 1
	}
	return binary.LittleEndian.AppendUint64([]byte{saw}, uint64(o.track.merged)), nil
}

// Restore takes what Snapshot returned. The watermark goes on from the lowest of the former tasks', so that it does not fall back behind what
// windows have already fired for.
func (o *Op) Restore(parts [][]byte) error {
	low := stream.MaxTime
	for _, p := range parts {
		if len(p) != 9 {
			return fmt.Errorf("restore watermark: %d bytes, want 9", len(p))
		}
		o.track.sawRow = o.track.sawRow || p[0] == 1
		low = min(low, int64(binary.LittleEndian.Uint64(p[1:])))
	}
	if len(parts) > 0 && low != stream.MaxTime {
		o.track.merged = low
	}
	return nil
}

// Close does nothing: the operator holds no resources.
func (o *Op) Close() error { return nil }
