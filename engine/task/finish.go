package task

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/stream"
)

// emptyEnds says whether a source without splits has nothing to do: there are fewer splits than tasks, or all have ended before the checkpoint
// that is restored. Constant rows have none at first.
func (t *Task) emptyEnds() bool {
	return t.nodes[0].spec.Kind == graph.KindSource || t.cfg.Restore != nil
}

// finish does what comes after the last row: the final watermark, then operator by operator what is held back and what is due at
// the end, then the last part of each sink, then the end of the outputs. With checkpoints it is the last one that publishes: the outputs end
// first, so that all tasks come to wait for it together.
func (t *Task) finish() error {
	if err := t.endTime(); err != nil {
		return err
	}
	if !t.cfg.Checkpointing {
		if err := t.commitLast(); err != nil {
			return err
		}
	}
	if err := t.endOutputs(); err != nil || !t.cfg.Checkpointing {
		return err
	}
	return t.awaitLast()
}

// endTime emits the final watermark and then, operator by operator, what is held back and what is due at the end.
func (t *Task) endTime() error {
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
		if n.onEnd == nil || t.cfg.Restore != nil && t.cfg.Restore.Finished {
			continue
		}
		t.current = n
		if err := n.onEnd.OnEnd(n.main); err != nil {
			return n.fail(err)
		}
		t.current = nil
	}
	return nil
}

func (t *Task) endOutputs() error {
	for _, e := range t.edges {
		if err := e.writer.End(); err != nil {
			return err
		}
	}
	return nil
}

// commitLast publishes, without checkpoints, what sinks have got.
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
		t.uncommitted = append(t.uncommitted, prepared{n, Committable{epoch, c}})
	}
	return nil
}

// commit publishes all parts up to the epoch and lets the source acknowledge it.
func (t *Task) commit(epoch stream.Epoch) error {
	for len(t.uncommitted) > 0 && t.uncommitted[0].Epoch <= epoch {
		p := t.uncommitted[0]
		t.current = p.node
		if err := p.node.sink.Commit(t.ctx, p.Epoch, p.Data); err != nil {
			return p.node.fail(fmt.Errorf("commit epoch %d: %w", p.Epoch, err))
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
