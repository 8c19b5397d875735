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
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Op is the operator. It is chained to a source, or to a stateless operator after one.
type Op struct {
	spec    graph.WatermarkSpec
	in      *vec.Schema
	ctx     *op.Context
	program *expr.Program
	track   *tracker
	// zone is the offset of table.local-time-zone at [zoneFrom, zoneTo).
	zoneFrom, zoneTo, zoneOffset stream.Time
	view                         *vec.Batch
	bad                          *badRows
}

var (
	_ op.Operator         = (*Op)(nil)
	_ op.WatermarkHandler = (*Op)(nil)
	_ op.Timer            = (*Op)(nil)
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
	return &Op{spec: spec, in: in}, nil
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
	o.track = newTracker(config{o.spec.IdleMS, o.spec.FallbackMS}, splits, o.now())
	o.view = vec.NewBatch(o.in)
	if ctx.Side != nil {
		if side := ctx.Side(graph.TagBad); side != nil {
			o.bad = newBadRows(side, ctx.Task.VertexName)
		}
	}
	return nil
}

func (o *Op) now() stream.Time { return o.ctx.Clock.Now().UnixMilli() }

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

// Process refuses rows without a usable time, emits the others and then the watermark that they raise.
func (o *Op) Process(_ int, b *vec.Batch, out op.Output) error {
	now := o.now()
	s := 0
	if o.ctx.Source != nil {
		s = o.ctx.Source.Split
	}
	o.track.grow(o.splits(), now)
	o.view.ViewOf(b)
	if err := o.refuse(now); err != nil {
		return err
	}
	if o.view.Len() > 0 {
		high, err := o.highest()
		if err != nil {
			return err
		}
		if o.track.rows(s, now) {
			if err := emitIdle(out, false); err != nil {
				return err
			}
		}
		if err := out.Emit(o.view); err != nil {
			return err
		}
		o.track.raise(s, high)
	}
	return o.tick(now, out)
}

// refuse takes rows whose time is NULL or too far ahead out of the view.
func (o *Op) refuse(now stream.Time) error {
	col := o.view.Col(o.spec.TimeCol)
	limit := stream.MaxTime
	if o.spec.MaxFutureMS > 0 {
		limit = o.wall(now) + o.spec.MaxFutureMS
	}
	before := o.view.Len()
	times, valid := vec.Values[int64](col), col.Valid()
	if valid == nil && limit == stream.MaxTime {
		return nil
	}
	if allGood(times, valid, o.view.Sel(), limit) {
		return nil
	}
	all := o.view.Sel() // may share memory with sel: it is read ahead of what is written
	sel := o.view.SelBuf()
	for k := range before {
		i := k
		if all != nil {
			i = all[k]
		}
		isNull := valid != nil && !valid.Get(i)
		if !isNull && times[i] <= limit {
			sel = append(sel, i)
		} else if o.bad != nil {
			if err := o.bad.add(o.view, i, isNull, now); err != nil {
				return err
			}
		}
	}
	o.view.UseSel(sel)
	o.ctx.Metrics.Bad.Add(int64(before - len(sel)))
	if o.bad != nil {
		return o.bad.flush()
	}
	return nil
}

// allGood is the check of a batch in which nothing is refused, which is nearly every one.
func allGood(times []int64, valid vec.Bitmap, sel []int, limit int64) bool {
	if sel != nil {
		for _, i := range sel {
			if valid != nil && !valid.Get(i) || times[i] > limit {
				return false
			}
		}
		return true
	}
	if valid != nil && valid.Count(len(times)) != len(times) {
		return false
	}
	high := stream.MinTime
	for _, t := range times {
		high = max(high, t)
	}
	return high <= limit
}

// highest evaluates the watermark expression over the view and returns its maximum, MinTime when it is NULL everywhere.
func (o *Op) highest() (stream.Time, error) {
	cols, err := o.program.Eval(o.view)
	if err != nil {
		return 0, err
	}
	col := cols[0]
	times, valid := vec.Values[int64](col), col.Valid()
	high := stream.MinTime
	if sel := o.view.Sel(); sel != nil {
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

// tick merges the splits and emits what follows.
func (o *Op) tick(now stream.Time, out op.Output) error {
	if o.ctx.Source != nil {
		o.track.setEnded(o.ctx.Source.Ended)
	}
	a := o.track.tick(now, o.wall(now))
	if a.active {
		if err := emitIdle(out, false); err != nil {
			return err
		}
	}
	if a.emitWM {
		o.ctx.Metrics.Watermark.Store(a.wm)
		if err := out.EmitWatermark(a.wm); err != nil {
			return err
		}
	}
	if a.becomeIdle {
		return emitIdle(out, true)
	}
	return nil
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
	o.track.merged = wm
	o.ctx.Metrics.Watermark.Store(wm)
	return out.EmitWatermark(wm)
}

// NextTimer is when a split becomes idle or begins to follow the clock.
func (o *Op) NextTimer() stream.Time {
	if o.track.merged == stream.MaxTime {
		return stream.MaxTime
	}
	if o.ctx.Source != nil {
		for i, e := range o.ctx.Source.Ended {
			if i < len(o.track.splits) && e != o.track.splits[i].ended {
				return o.track.ticked // a split has ended: merge at once
			}
		}
	}
	return o.track.next()
}

// OnTimer merges the splits anew.
func (o *Op) OnTimer(now stream.Time, out op.Output) error {
	if o.track.merged == stream.MaxTime {
		return nil
	}
	return o.tick(now, out)
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
