package task

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
)

// Snapshot is what a task says at a barrier, all by operator ID.
//
// Who gets it, from Config.OnSnapshot, owns it: it reads the files of Stores out, on any goroutine but the task's, and calls Close, whether
// the checkpoint comes to be or not. A snapshot outlives its task.
type Snapshot struct {
	Epoch stream.Epoch
	// Final says that the task's input had ended and was worked off. When the checkpoint of a final snapshot is complete the task finishes; later
	// checkpoints of the job contain the same snapshot again in place of the task.
	Final bool
	// Splits are a source's positions, States what op.Snapshotter returned, Stores the keyed state, under the task's key range.
	Splits map[string][]Split
	States map[string][]byte
	Stores map[string]state.Snapshot
	// Committables are all parts that have been prepared and not been committed, oldest first: those of checkpoints that were given up too.
	Committables map[string][]Committable
	// Alignment is the time from the first barrier to the last, Sync that of the snapshot on the task's goroutine.
	Alignment, Sync time.Duration
}

// Split is a split at a barrier.
type Split struct {
	op.Split
	// Ended says that it has no more rows. It is in snapshots so that it is not taken for a new one, but goes to no source again.
	Ended bool
}

// Committable is a part that a sink has prepared.
type Committable struct {
	Epoch stream.Epoch
	Data  []byte
}

// Close lets go of the stores' files.
func (s *Snapshot) Close() error {
	var errs []error
	for _, st := range s.Stores {
		errs = append(errs, st.Close())
	}
	s.Stores = nil
	return errors.Join(errs...)
}

// progress is what a task knows of checkpoints beside Task.lastEpoch.
type progress struct {
	// triggered is the newest checkpoint that a task with inputs has been told of: it takes part by itself when no barrier can come.
	triggered stream.Barrier
	// aborted is the newest epoch given up.
	aborted stream.Epoch
	// alignSince is when the first barrier came that waits for others.
	alignSince time.Time
	// exhausted: the source has no more rows. worked: the input has ended and has been worked off.
	exhausted, worked bool
	// final is the epoch of the first snapshot after that, 0 for none yet; committed the newest complete epoch.
	final, committed stream.Epoch
	// stopping is the epoch of a savepoint that ends the task once it is complete, 0 for none.
	stopping stream.Epoch
	// drained: event time has ended before that savepoint, and rows that came after it would be late.
	drained bool
}

// errDrained fails a task whose windows have fired for a savepoint that did not come to be: nothing of that has been published, and the job
// goes on from its last checkpoint.
var errDrained = errors.New("the savepoint to drain the job into has failed, and the job goes back to before it")

// errSavepointTaken ends a task's work without what comes at the end of input: the rows go on from the savepoint some other time.
var errSavepointTaken = errors.New("task: stopped with a savepoint")

// Trigger tells the task of a checkpoint. All tasks of a job are told, in any order: a source snapshots and sends the barrier; so does a task
// whose input has ended; one with inputs waits for their barriers. It waits while the task has too many commands before it, and returns
// the context's cause when that ends first. A task that has ended ignores commands.
func (t *Task) Trigger(ctx context.Context, b stream.Barrier) error {
	return t.post(ctx, func() error {
		if t.nodes[0].source != nil || t.ckpt.worked {
			return t.snapshot(b)
		}
		if b.Epoch > t.ckpt.triggered.Epoch {
			t.ckpt.triggered = b
		}
		return nil
	})
}

// Abort says that the checkpoint has been given up. What sinks have prepared for it stays, to be published with the next.
func (t *Task) Abort(ctx context.Context, epoch stream.Epoch) error {
	return t.post(ctx, func() error {
		c := &t.ckpt
		c.aborted = max(c.aborted, epoch)
		if c.stopping == epoch {
			if c.drained {
				return errDrained
			}
			c.stopping = 0 // and the task goes on
		}
		if t.aligner.OnAbort(epoch).Aborted != 0 {
			c.alignSince = time.Time{}
			t.gate.UnblockAll()
		}
		return nil
	})
}

// Commit says that the checkpoint is complete: sources acknowledge, sinks publish, and a task that has waited for it ends.
func (t *Task) Commit(ctx context.Context, epoch stream.Epoch) error {
	return t.post(ctx, func() error {
		t.ckpt.committed = max(t.ckpt.committed, epoch)
		return t.commit(epoch)
	})
}

// barrier takes part in the alignment of an input's barrier.
func (t *Task) barrier(in int, b stream.Barrier) error {
	before := t.aligner.Pending()
	s := t.aligner.OnBarrier(in, b)
	if s.Aborted != 0 {
		t.gate.UnblockAll()
	}
	if p := t.aligner.Pending(); p != before && p != 0 {
		t.ckpt.alignSince = t.clock.Now()
	}
	if s.Block {
		t.gate.Block(in)
	}
	if !s.Snapshot {
		return nil
	}
	err := t.snapshot(s.Barrier)
	t.gate.UnblockAll()
	return err
}

// snapshot is a checkpoint's part in this task: everything held back goes out, the barrier after it, and every operator says what it knows.
func (t *Task) snapshot(b stream.Barrier) error {
	if b.Epoch <= t.lastEpoch || b.Epoch <= t.ckpt.aborted {
		return nil
	}
	began := t.clock.Now()
	if b.Drain && !t.ckpt.worked {
		t.ckpt.drained = true
		if err := t.endTime(); err != nil {
			return err
		}
	}
	if err := t.flush(true); err != nil {
		return err
	}
	t.lastEpoch = b.Epoch
	if !t.ckpt.worked { // outputs have ended otherwise
		for _, e := range t.edges {
			if err := e.writer.Barrier(b); err != nil {
				return err
			}
		}
	}
	s := Snapshot{
		Epoch: b.Epoch, Final: t.ckpt.worked, Splits: map[string][]Split{}, States: map[string][]byte{},
		Stores: map[string]state.Snapshot{}, Committables: map[string][]Committable{},
	}
	if since := t.ckpt.alignSince; !since.IsZero() {
		s.Alignment = began.Sub(since)
		t.ckpt.alignSince = time.Time{}
	}
	for _, n := range t.nodes {
		t.current = n
		if err := t.snapshotNode(n, &s, b.Savepoint); err != nil {
			return errors.Join(err, s.Close())
		}
	}
	t.current = nil
	for _, p := range t.uncommitted {
		id := p.node.spec.ID
		s.Committables[id] = append(s.Committables[id], p.Committable)
	}
	if t.ckpt.worked && t.ckpt.final == 0 {
		t.ckpt.final = b.Epoch
	}
	if b.Stop {
		t.ckpt.stopping = b.Epoch
	}
	s.Sync = t.clock.Now().Sub(began)
	if t.cfg.OnSnapshot != nil {
		t.cfg.OnSnapshot(s)
	}
	if b.Stop && !t.ckpt.worked {
		return t.awaitStop()
	}
	return nil
}

// snapshotNode adds an operator's part.
func (t *Task) snapshotNode(n *node, s *Snapshot, savepoint bool) error {
	id := n.spec.ID
	var err error
	switch {
	case n.source != nil:
		s.Splits[id], err = t.splits(n, s.Epoch)
	case n.sink != nil:
		return t.prepare(n, s.Epoch)
	case n.snapshotter != nil:
		s.States[id], err = n.snapshotter.Snapshot(s.Epoch)
	}
	if err == nil && n.store != nil && t.cfg.OnSnapshot != nil {
		take := n.store.Snapshot
		if i, ok := n.store.(state.Incremental); ok && !savepoint {
			take = i.SnapshotIncrement
		}
		var st state.Snapshot
		if st, err = take(s.Epoch); err == nil {
			s.Stores[id] = st
		}
	}
	if err != nil {
		return n.fail(fmt.Errorf("snapshot epoch %d: %w", s.Epoch, err))
	}
	return nil
}

// splits returns the source's positions, and the splits that have ended before the task began.
func (t *Task) splits(n *node, epoch stream.Epoch) ([]Split, error) {
	at, err := n.source.Snapshot(epoch)
	if err != nil {
		return nil, err
	}
	var out []Split
	if t.cfg.Restore != nil {
		for _, sp := range t.cfg.Restore.EndedSplits {
			out = append(out, Split{sp, true})
		}
	}
	if len(t.cfg.Splits) == 0 && t.cfg.Restore != nil {
		return out, nil // what the source says is of no split of its own
	}
	ended := map[string]bool{}
	for i, sp := range t.cfg.Splits {
		ended[sp.ID] = t.sourceInfo.Ended[i]
	}
	for _, sp := range at {
		out = append(out, Split{sp, t.ckpt.exhausted || ended[sp.ID]})
	}
	return out, nil
}

// awaitStop waits until the savepoint that ends the task is complete, or has been given up.
func (t *Task) awaitStop() error {
	c := &t.ckpt
	if err := t.await(func() bool { return c.stopping == 0 || c.committed >= c.stopping }); err != nil {
		return err
	}
	if c.stopping == 0 {
		return nil
	}
	return errSavepointTaken
}

// stop ends the task after its savepoint: nothing more is emitted or published, and its inputs have nothing more to say but that they end.
func (t *Task) stop() error {
	t.gate.UnblockAll()
	for t.openInputs > 0 {
		in, e, ok, err := t.gate.TryRecv()
		switch {
		case err != nil:
			return err
		case ok && e.Kind == stream.KindEnd:
			t.openInputs--
		case ok && e.Kind == stream.KindBatch:
			t.gate.Release(in, e.Batch)
		case !ok:
			if err := t.awaitInput(); err != nil {
				return err
			}
		}
	}
	return t.endOutputs()
}

// awaitInput waits for input; commands come too late.
func (t *Task) awaitInput() error {
	select {
	case <-t.gate.Ready():
	case <-t.mail:
	case <-t.ctx.Done():
		return context.Cause(t.ctx)
	}
	return nil
}

// awaitLast waits, at the end of input, until a checkpoint that holds the end is complete: it publishes what sinks have got last. A checkpoint
// that was on its way when the inputs ended may be it.
func (t *Task) awaitLast() error {
	c := &t.ckpt
	c.worked = true
	if err := t.snapshot(c.triggered); err != nil {
		return err
	}
	if t.cfg.OnEndOfInput != nil {
		t.cfg.OnEndOfInput()
	}
	return t.await(func() bool { return c.final != 0 && c.committed >= c.final })
}

// await obeys commands until done says so.
func (t *Task) await(done func() bool) error {
	for !done() {
		t.idle.Start(t.clock.Now())
		select {
		case f := <-t.mail:
			t.idle.Stop(t.clock.Now())
			if err := f(); err != nil {
				return err
			}
		case <-t.ctx.Done():
			t.idle.Stop(t.clock.Now())
			return context.Cause(t.ctx)
		}
	}
	return nil
}
