package optest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/sample"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// FakeClock is a clock that a test sets.
type FakeClock struct{ MS stream.Time }

// Now is the time set.
func (c *FakeClock) Now() time.Time { return time.UnixMilli(c.MS).UTC() }

// entry is a key and a value of a store, copied out.
type entry struct{ key, value []byte }

// task is one instance of the operator with what the runtime would lend it.
type task struct {
	run      *runner
	op       op.Operator
	ctx      *op.Context
	keys     stream.KeyRange
	store    state.Store
	restored []entry
	out      *output
	wmIn     stream.Time
}

// output collects what a task emits and checks the contract of Output.
type output struct {
	run  *runner
	tag  string
	wm   stream.Time
	idle bool
	log  []string
}

var _ op.IdleOutput = (*output)(nil)

// Emit records the rows and checks the batch.
func (o *output) Emit(b *vec.Batch) error {
	if b.Len() == 0 {
		o.run.failf("emitted an empty batch")
	}
	if b.Rows() > vec.MaxRows {
		o.run.failf("emitted %d rows, more than %d", b.Rows(), vec.MaxRows)
	}
	if o.tag == "" && o.run.c.Out != nil {
		o.checkTypes(b)
	}
	for i, c := range b.Cols() {
		if c.Len() != b.Rows() {
			o.run.failf("emitted column %d with %d rows in a batch of %d", i, c.Len(), b.Rows())
		}
	}
	o.log = append(o.log, FormatBatch(b)...)
	return nil
}

func (o *output) checkTypes(b *vec.Batch) {
	want := o.run.c.Out.Fields
	if b.Width() != len(want) || !b.Schema().Equal(o.run.c.Out) {
		o.run.failf("emitted %s, want %s", b.Schema(), o.run.c.Out)
		return
	}
	for i, c := range b.Cols() {
		if !c.Type().Equal(want[i].Type) {
			o.run.failf("emitted column %s as %s", want[i], c.Type())
		}
	}
}

// EmitWatermark records the watermark, which must ascend.
func (o *output) EmitWatermark(wm stream.Time) error {
	if wm <= o.wm {
		o.run.failf("emitted watermark %d after %d", wm, o.wm)
	}
	o.wm = wm
	if wm == stream.MaxTime {
		o.log = append(o.log, "wm max")
	} else {
		o.log = append(o.log, fmt.Sprintf("wm %d", wm))
	}
	return nil
}

// EmitIdle records idleness, which must change each time.
func (o *output) EmitIdle(idle bool) error {
	if idle == o.idle {
		o.run.failf("emitted idle=%v twice", idle)
	}
	o.idle = idle
	o.log = append(o.log, map[bool]string{true: "idle", false: "active"}[idle])
	return nil
}

// newTask opens an instance for a key range, with restored state.
func (r *runner) newTask(index, parallelism int, restored []entry, out *output) (*task, error) {
	o, err := r.c.New()
	if err != nil {
		return nil, fmt.Errorf("new: %w", err)
	}
	t := &task{
		run: r, op: o, out: out, wmIn: stream.MinTime, restored: restored,
		keys: stream.RangeOf(index, stream.DefaultMaxParallelism, parallelism),
	}
	t.ctx = &op.Context{
		Ctx: context.Background(),
		Task: op.TaskInfo{
			JobName: "test", VertexName: "test", Operator: r.c.Name, OperatorID: "0123456789abcdef", Index: index, Parallelism: parallelism,
			MaxParallelism: stream.DefaultMaxParallelism, KeyRange: t.keys,
		},
		Log: slog.New(slog.DiscardHandler), Metrics: &op.Metrics{}, Clock: &r.clock, ClockFloor: r.c.ClockFloor, Location: r.c.Location,
		Rand: rand.NewChaCha8([32]byte{1}), MemoryBytes: r.cfg.MemoryBytes, OpenState: t.openState, Side: r.side,
		Source: &r.source, Watermark: func() stream.Time { return t.wmIn }, Health: func(string, error) {}, Checkpointing: true,
	}
	t.ctx.Rejected = sample.NewRejected(t.ctx.Task.OperatorID, r.cell, r.clock.Now, t.ctx.Watermark)
	if t.ctx.Location == nil {
		t.ctx.Location = time.UTC
	}
	return t, o.Open(t.ctx)
}

// openState makes the task's store and fills it with what was restored.
func (t *task) openState(merge state.MergeFunc) (state.Store, error) {
	if t.store != nil {
		return t.store, nil
	}
	s, err := t.run.newStore(merge)
	if err != nil {
		return nil, err
	}
	t.store = s
	var w state.Writes
	for _, e := range t.restored {
		w.Add(state.OpSet, e.key, e.value)
	}
	return s, s.Apply(&w)
}

// content copies everything out of the store.
func (t *task) content() ([]entry, error) {
	if t.store == nil {
		return nil, nil
	}
	it, err := t.store.Iter(nil, []byte{0xff, 0xff, 0xff, 0xff})
	if err != nil {
		return nil, err
	}
	var all []entry
	for it.Next() {
		all = append(all, entry{slices.Clone(it.Key()), slices.Clone(it.Value())})
	}
	if err := it.Err(); err != nil {
		return nil, err
	}
	return all, it.Close()
}

func (t *task) close() error {
	err := t.op.Close()
	if t.store != nil {
		if e := t.store.Close(); err == nil {
			err = e
		}
	}
	t.run.late += t.ctx.Metrics.Late.Load()
	t.run.bad += t.ctx.Metrics.Bad.Load()
	late, bad := t.ctx.Rejected.Newest()
	if (len(late) > 0) != (t.ctx.Metrics.Late.Load() > 0) || (len(bad) > 0) != (t.ctx.Metrics.Bad.Load() > 0) {
		t.run.failf("%d late and %d bad rows kept to be shown, of %d and %d", len(late), len(bad), t.ctx.Metrics.Late.Load(), t.ctx.Metrics.Bad.Load())
	}
	return err
}

// cell sees that rejected rows are rows of the batch.
func (r *runner) cell(dst []byte, c *vec.Col, i int) []byte {
	if i < 0 || i >= c.Len() {
		r.failf("rejected row %d of %d", i, c.Len())
	}
	return append(dst, "null"...)
}

// process hands b to the operator, sees that it is left alone, and defaces it.
func (t *task) process(b *vec.Batch) error {
	before := b.Clone()
	sel := slices.Clone(b.Sel())
	if err := t.op.Process(0, b, t.out); err != nil {
		return fmt.Errorf("process: %w", err)
	}
	if !slices.Equal(sel, b.Sel()) || !slices.Equal(FormatBatch(before), FormatBatch(b)) {
		t.run.failf("Process changed its input:\n%v\nis now\n%v", FormatBatch(before), FormatBatch(b))
	}
	Deface(b)
	return t.fire(t.run.clock.MS)
}

func (t *task) watermark(wm stream.Time) error {
	t.wmIn = wm
	if h, ok := t.op.(op.WatermarkHandler); ok {
		if err := h.OnWatermark(wm, t.out); err != nil {
			return fmt.Errorf("watermark %d: %w", wm, err)
		}
		return t.fire(t.run.clock.MS)
	}
	return t.out.EmitWatermark(wm)
}

// setClock lets time pass, during which the task listens to its source.
func (r *runner) setClock(to stream.Time) {
	r.source.Listened += time.Duration(to-r.clock.MS) * time.Millisecond
	r.clock.MS = to
}

// fire calls OnTimer until no timer is due at or before until; the clock follows the timers.
func (t *task) fire(until stream.Time) error {
	h, ok := t.op.(op.Timer)
	if !ok {
		return nil
	}
	for range 10_000 {
		at := h.NextTimer()
		if at > until {
			return nil
		}
		t.run.setClock(max(t.run.clock.MS, at))
		if err := h.OnTimer(t.run.clock.MS, t.out); err != nil {
			return fmt.Errorf("timer: %w", err)
		}
	}
	return fmt.Errorf("timers did not come to an end at %d: next is %d", until, h.NextTimer())
}

func (t *task) flush() error {
	if h, ok := t.op.(op.Flusher); ok {
		if err := h.Flush(t.out); err != nil {
			return fmt.Errorf("flush: %w", err)
		}
	}
	return nil
}

func (t *task) end() error {
	if err := t.watermark(stream.MaxTime); err != nil {
		return err
	}
	if err := t.flush(); err != nil {
		return err
	}
	if h, ok := t.op.(op.EndHandler); ok {
		if err := h.OnEnd(t.out); err != nil {
			return fmt.Errorf("end: %w", err)
		}
	}
	return nil
}
