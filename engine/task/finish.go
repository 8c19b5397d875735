package task

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
)

// emptyEnds says whether a source without splits has nothing to do: there are fewer splits than tasks. Constant rows have none.
func (t *Task) emptyEnds() bool { return t.nodes[0].spec.Kind == graph.KindSource }

// finish does what comes after the last row: the final watermark, then operator by operator what is held back and what is due at
// the end, then the last part of each sink, then the end of the outputs.
func (t *Task) finish() error {
	head := t.nodes[0]
	var err error
	if head.source != nil {
		err = head.main.EmitWatermark(stream.MaxTime)
	} else {
		err = head.watermark(stream.MaxTime)
	}
	if err != nil {
		return err
	}
	for _, n := range t.nodes {
		if err := n.flush(); err != nil {
			return err
		}
		if n.onEnd == nil {
			continue
		}
		t.current = n
		if err := n.onEnd.OnEnd(n.main); err != nil {
			return n.fail(err)
		}
		t.current = nil
	}
	if err := t.commitLast(); err != nil {
		return err
	}
	for _, e := range t.edges {
		if err := e.writer.End(); err != nil {
			return err
		}
	}
	return nil
}

// commitLast publishes what sinks have got since the last barrier, and what was prepared before and not committed yet.
func (t *Task) commitLast() error {
	epoch := t.lastEpoch + 1
	for _, n := range t.nodes {
		if n.sink == nil {
			continue
		}
		t.current = n
		if err := t.prepare(n, epoch); err != nil {
			return err
		}
	}
	return t.commit(epoch)
}

// prepare makes a sink's part ready, and remembers it until it is committed.
func (t *Task) prepare(n *node, epoch stream.Epoch) error {
	c, err := n.sink.Prepare(t.ctx, epoch)
	if err != nil {
		return n.fail(fmt.Errorf("prepare epoch %d: %w", epoch, err))
	}
	if c != nil {
		t.uncommitted = append(t.uncommitted, prepared{epoch: epoch, node: n, committable: c})
	}
	return nil
}

// commit publishes all parts up to the epoch and lets the source acknowledge it.
func (t *Task) commit(epoch stream.Epoch) error {
	for len(t.uncommitted) > 0 && t.uncommitted[0].epoch <= epoch {
		p := t.uncommitted[0]
		t.current = p.node
		if err := p.node.sink.Commit(t.ctx, p.epoch, p.committable); err != nil {
			return p.node.fail(fmt.Errorf("commit epoch %d: %w", p.epoch, err))
		}
		t.uncommitted = t.uncommitted[1:]
	}
	if n := t.nodes[0]; n.source != nil && epoch <= t.lastEpoch {
		t.current = n
		if err := n.source.Commit(t.ctx, epoch); err != nil {
			return n.fail(fmt.Errorf("commit epoch %d: %w", epoch, err))
		}
	}
	t.current = nil
	return nil
}

// snapshot is a checkpoint's part in this task: everything held back goes out, every operator says what it knows, and the barrier
// is passed on.
func (t *Task) snapshot(b stream.Barrier) error {
	if b.Epoch <= t.lastEpoch {
		return nil
	}
	if err := t.flush(true); err != nil {
		return err
	}
	t.lastEpoch = b.Epoch
	s := Snapshot{
		Epoch: b.Epoch, Splits: map[string][]op.Split{}, States: map[string][]byte{}, Committables: map[string][]byte{},
	}
	for _, n := range t.nodes {
		t.current = n
		if err := t.snapshotNode(n, b.Epoch, &s); err != nil {
			return err
		}
	}
	t.current = nil
	for _, e := range t.edges {
		if err := e.writer.Barrier(b); err != nil {
			return err
		}
	}
	if t.cfg.OnSnapshot != nil {
		t.cfg.OnSnapshot(s)
	}
	return nil
}

func (t *Task) snapshotNode(n *node, epoch stream.Epoch, s *Snapshot) error {
	switch {
	case n.source != nil:
		splits, err := n.source.Snapshot(epoch)
		if err != nil {
			return n.fail(fmt.Errorf("snapshot epoch %d: %w", epoch, err))
		}
		s.Splits[n.spec.ID] = splits
	case n.sink != nil:
		before := len(t.uncommitted)
		if err := t.prepare(n, epoch); err != nil {
			return err
		}
		if len(t.uncommitted) > before {
			s.Committables[n.spec.ID] = t.uncommitted[before].committable
		}
	case n.snapshotter != nil:
		st, err := n.snapshotter.Snapshot(epoch)
		if err != nil {
			return n.fail(fmt.Errorf("snapshot epoch %d: %w", epoch, err))
		}
		s.States[n.spec.ID] = st
	}
	return nil
}
