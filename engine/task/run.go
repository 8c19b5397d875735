package task

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/bramble-stream/bramble/engine/exchange"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// pollWaitMax bounds the wait of a source that has been idle for a while: commands wait as long, and so may the first row after
// a pause, when the source gathers rows.
const pollWaitMax = 20 * time.Millisecond

// lookMax bounds the wait for a timer: when the clock is set forward meanwhile, it is due earlier than was thought.
const lookMax = 10 * time.Second

// Run opens the task, works until its input ends, ctx ends or something fails, and closes it. It returns nil for Finished, the
// context's cause for Canceled, and a *Failure for Failed. It is called once.
func (t *Task) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer close(t.done)
	t.ctx = ctx
	t.wake = time.NewTimer(time.Hour)
	defer t.wake.Stop()
	// Whoever asks for the state sees CANCELING while operators still come to their end.
	stop := context.AfterFunc(ctx, func() { t.setState(Canceling, nil) })
	err := t.protect(t.work)
	stopped := err != nil && ctx.Err() != nil
	if err != nil && !stopped {
		t.gate.Close() // senders need not wait until everything is closed
	}
	closeErr := t.closeAll()
	t.ended.Store(new(t.clock.Now()))
	stop()
	switch {
	case stopped:
		t.setState(Canceled, nil)
		return context.Cause(ctx)
	case err == nil:
		err = closeErr
	case closeErr != nil:
		t.log.Warn("close failed", "error", closeErr)
	}
	if err != nil {
		f := t.failure(nil, err)
		t.setState(Failed, f)
		return f
	}
	t.setState(Finished, nil)
	return nil
}

// protect runs f and turns a panic into a failure of the operator that ran.
func (t *Task) protect(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = t.failure(t.current, t.panicked(v))
		}
	}()
	return f()
}

// panicked logs a panic with its stack, which is a bug of the operator, and returns it as an error.
func (t *Task) panicked(v any) error {
	name := ""
	if t.current != nil {
		name = t.current.spec.Name
	}
	t.log.Error("operator panicked", "operator", name, "panic", v, "stack", string(debug.Stack()))
	if err, ok := v.(error); ok {
		return fmt.Errorf("panic: %w", err)
	}
	return fmt.Errorf("panic: %v", v)
}

func (t *Task) work() error {
	t.started.Store(new(t.clock.Now()))
	t.setState(Initializing, nil)
	if err := t.connect(t.ctx); err != nil {
		return err
	}
	if err := t.open(); err != nil {
		return err
	}
	t.setState(Running, nil)
	t.askTimers()
	var err error
	if t.nodes[0].source != nil {
		err = t.runSource()
	} else {
		err = t.runInputs()
	}
	switch {
	case errors.Is(err, errSavepointTaken):
		return t.stop()
	case err != nil:
		return err
	}
	return t.finish()
}

// between does what comes between two elements: it sees to cancellation and commands.
func (t *Task) between() error {
	select {
	case <-t.ctx.Done():
		return context.Cause(t.ctx)
	default:
	}
	for len(t.mail) > 0 {
		if err := (<-t.mail)(); err != nil {
			return err
		}
	}
	return nil
}

// runInputs works until all inputs have ended.
func (t *Task) runInputs() error {
	for t.openInputs > 0 {
		if err := t.between(); err != nil {
			return err
		}
		in, e, ok, err := t.gate.TryRecv()
		switch {
		case err != nil:
			return err
		case ok:
			if err := t.receive(in, e); err != nil {
				return err
			}
			err = t.tend(t.clock.Now())
		default:
			err = t.pause()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// receive works on one element of an input.
func (t *Task) receive(in int, e stream.Element) error {
	head := t.nodes[0]
	switch e.Kind {
	case stream.KindBatch:
		if t.merger.IsIdle(in) {
			if err := t.advance(t.merger.OnBatch(in)); err != nil {
				return err
			}
		}
		head.metrics.BytesIn.Add(exchange.DataBytes(e.Batch))
		if err := head.process(t.inputs[in].toInput, e.Batch); err != nil {
			return err
		}
		t.gate.Release(in, e.Batch)
		return nil
	case stream.KindWatermark:
		return t.advance(t.merger.OnWatermark(in, e.Time))
	case stream.KindIdle:
		return t.advance(t.merger.OnIdle(in))
	case stream.KindBarrier:
		return t.barrier(in, e.Barrier)
	case stream.KindLatency:
		return head.mark(e.Time, t.clock.Now().UnixMilli())
	case stream.KindEnd:
		return t.endInput(in)
	}
	return fmt.Errorf("element of unknown kind %d", e.Kind)
}

func (t *Task) endInput(in int) error {
	t.openInputs--
	if err := t.advance(t.merger.OnEnd(in)); err != nil {
		return err
	}
	if s := t.aligner.OnEnd(in); s.Snapshot {
		err := t.snapshot(s.Barrier)
		t.gate.UnblockAll()
		return err
	}
	return nil
}

// advance passes on what the merger says.
func (t *Task) advance(c exchange.Change) error {
	head := t.nodes[0]
	if c.IdleChanged && !c.Idle {
		if err := head.setIdle(false); err != nil {
			return err
		}
	}
	if c.Advanced {
		if err := head.watermark(c.Watermark); err != nil {
			return err
		}
	}
	if c.IdleChanged && c.Idle {
		return head.setIdle(true)
	}
	return nil
}

// tend sees to timers and to rows that have waited for long enough.
func (t *Task) tend(now time.Time) error {
	if len(t.timers) > 0 {
		ms := now.UnixMilli()
		setBack := ms < t.lookedMS
		t.lookedMS = ms
		t.askTimers()
		if t.nextTimer <= ms || setBack {
			if err := t.fireTimers(ms, setBack); err != nil {
				return err
			}
		}
	}
	switch {
	case !t.dirty:
		if t.holds() {
			t.dirty, t.dirtySince = true, now
		}
	case now.Sub(t.dirtySince) >= t.bufferTimeout && t.bufferTimeout > 0:
		return t.flush(false)
	}
	return nil
}

// holds reports whether anything may be held back. A window that swallows rows holds nothing back: it does not wake the task.
func (t *Task) holds() bool {
	for _, e := range t.edges {
		if e.writer.Held() {
			return true
		}
	}
	for _, n := range t.nodes {
		if n.holds() {
			return true
		}
	}
	return false
}

func (t *Task) askTimers() {
	t.nextTimer = stream.MaxTime
	for _, n := range t.timers {
		t.nextTimer = min(t.nextTimer, n.timer.NextTimer())
	}
}

// fireTimers calls the operators whose timers are due; all of them when the clock was set back, since theirs are made of what it said before.
func (t *Task) fireTimers(now stream.Time, all bool) error {
	for _, n := range t.timers {
		if !all && n.timer.NextTimer() > now {
			continue
		}
		t.current, n.fed = n, true
		if err := n.timer.OnTimer(now, n.main); err != nil {
			return n.fail(err)
		}
		t.current = nil
	}
	t.askTimers()
	return nil
}

// flush hands on everything that is held back. all calls every operator, even those that have nothing new.
func (t *Task) flush(all bool) error {
	t.dirty = false
	for _, n := range t.nodes {
		if !all && !n.holds() {
			continue
		}
		if err := n.flush(); err != nil {
			return err
		}
	}
	for _, e := range t.edges {
		if err := e.writer.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// until returns how long the task may wait at now before it has something to do, and false when that is for ever.
func (t *Task) until(now time.Time) (time.Duration, bool) {
	var wait time.Duration
	bounded := false
	if t.nextTimer != stream.MaxTime {
		wait, bounded = time.Duration(max(t.nextTimer-now.UnixMilli(), 0))*time.Millisecond, true
		// A timer far away must not overflow, and is nearer when the clock has been set meanwhile.
		if wait < 0 || wait > lookMax {
			wait = lookMax
		}
	}
	if t.dirty {
		left := max(t.bufferTimeout-now.Sub(t.dirtySince), 0)
		if !bounded || left < wait {
			wait, bounded = left, true
		}
	}
	return wait, bounded
}

// pause waits for input, a command, a timer, or until what is held back has to go.
func (t *Task) pause() error {
	now := t.clock.Now()
	wait, bounded := t.until(now)
	if bounded && wait <= 0 {
		if t.dirty && now.Sub(t.dirtySince) >= t.bufferTimeout {
			if err := t.flush(false); err != nil {
				return err
			}
		}
		return t.tend(now)
	}
	var due <-chan time.Time
	if bounded {
		t.wake.Reset(wait)
		due = t.wake.C
	}
	t.idle.Start(now)
	var err error
	select {
	case <-t.gate.Ready():
	case f := <-t.mail:
		t.idle.Stop(t.clock.Now())
		return f()
	case <-due:
	case <-t.ctx.Done():
		err = context.Cause(t.ctx)
	}
	now = t.clock.Now()
	t.idle.Stop(now)
	if err != nil {
		return err
	}
	return t.tend(now)
}

// runSource polls until the source ends.
func (t *Task) runSource() error {
	n := t.nodes[0]
	if len(t.cfg.Splits) == 0 && t.emptyEnds() {
		return nil
	}
	now := t.clock.Now()
	if t.cfg.LatencyInterval > 0 {
		t.nextLatency = now
	}
	for {
		if err := t.between(); err != nil {
			return err
		}
		t.pollBatch.Reset()
		t.current = n
		before := now // of the last poll: what it brought has been worked on since
		now = t.clock.Now()
		asked := now
		p, err := n.source.Poll(t.ctx, t.pollBatch, t.pollWait(now))
		if err != nil {
			return n.fail(err)
		}
		t.current = nil
		now = t.clock.Now()
		t.countIdle(p, now.Sub(asked), t.pollBatch.Len())
		t.listen(p, now.Sub(before), t.pollBatch.Len())
		if err := t.polled(p); err != nil {
			return err
		}
		if p.Status == op.End {
			t.ckpt.exhausted = true
			return nil
		}
		if t.cfg.LatencyInterval > 0 && !now.Before(t.nextLatency) {
			t.nextLatency = now.Add(t.cfg.LatencyInterval)
			ms := now.UnixMilli()
			if err := n.mark(ms, ms); err != nil {
				return err
			}
		}
		if p.Status == op.Idle && t.holds() {
			// It has waited for more already.
			if err := t.flush(false); err != nil {
				return err
			}
		}
		if err := t.tend(now); err != nil {
			return err
		}
	}
}

// listenMax is how much of the time from one poll to the next counts as time in which rows would have been heard. Usually it is a few milliseconds; more
// passes when somebody ahead takes nothing, or when the process was stopped: rows may be there, and were not asked for.
const listenMax = 100 * time.Millisecond

// listen counts the time to a poll, and for which splits it was in vain.
func (t *Task) listen(p op.Polled, took time.Duration, rows int) {
	took = min(took, listenMax)
	t.sourceInfo.Listened += took
	for i := range t.sourceInfo.Away {
		a := &t.sourceInfo.Away[i]
		if rows > 0 && i == p.Split {
			a.For = 0
		}
		if !t.reacher.Reaches(i) {
			a.For += took
			a.Until = t.sourceInfo.Listened
		}
	}
}

// polled passes on what a poll has brought.
func (t *Task) polled(p op.Polled) error {
	n := t.nodes[0]
	if len(t.sourceInfo.Ended) > 0 {
		if p.Split < 0 || p.Split >= len(t.sourceInfo.Ended) {
			return t.failure(n, fmt.Errorf("rows of split %d of %d", p.Split, len(t.sourceInfo.Ended)))
		}
		t.sourceInfo.Split = p.Split
		t.sourceInfo.Ended[p.Split] = t.sourceInfo.Ended[p.Split] || p.SplitEnded
		if p.Status != op.Idle {
			t.sourceInfo.Continues[p.Split] = p.Continues
		}
	}
	rows := t.pollBatch.Len()
	if rows == 0 {
		return nil
	}
	n.metrics.RecordsIn.Add(int64(rows))
	return n.main.Emit(t.pollBatch)
}

// pollWait is how long a source may wait and gather.
func (t *Task) pollWait(now time.Time) time.Duration {
	wait := pollWaitMax
	if base := max(t.bufferTimeout, time.Millisecond); t.idleStreak < 8 {
		wait = min(base<<t.idleStreak, pollWaitMax)
	}
	if left, bounded := t.until(now); bounded {
		wait = min(wait, left)
	}
	return wait
}

// countIdle counts the time of a poll that has waited. Where the source does not say for how long, time spent on few rows is mostly waiting too:
// decoding half a batch takes well below a millisecond.
func (t *Task) countIdle(p op.Polled, took time.Duration, rows int) {
	if p.Status == op.Idle {
		t.idleStreak++
	} else {
		t.idleStreak = 0
	}
	switch {
	case p.Status == op.Idle:
		t.idle.Add(took)
	case p.Waited > 0:
		t.idle.Add(min(p.Waited, took))
	case rows < vec.MaxRows/2 && took > time.Millisecond:
		t.idle.Add(took)
	}
}
