package task

import (
	"slices"

	"github.com/bramble-stream/bramble/engine/sample"
	"github.com/bramble-stream/bramble/engine/vec"
)

// look shows a batch to whoever looks. It is small enough to be inlined: all it costs while nobody does is a load.
func (o *output) look(b *vec.Batch) {
	if tap := o.tap.Load(); tap != nil {
		o.show(tap, b)
	}
}

func (o *output) show(tap *sample.Tap, b *vec.Batch) {
	if !tap.Take(o.node.task.clock.Now(), b) {
		o.tap.CompareAndSwap(tap, nil)
	}
}

// Tail returns rows that leave an operator, or that a sink has taken, with numbers above after, and has the operator show more for a while; it is
// called again and again. ok is false when the task has no such operator, or cannot show rows. Any goroutine may call it.
func (t *Task) Tail(operator string, after int64) (rows sample.Rows, ok bool) {
	if t.cfg.Cell == nil {
		return rows, false
	}
	i := slices.IndexFunc(t.nodes, func(n *node) bool { return n.spec.ID == operator })
	if i < 0 {
		return rows, false
	}
	o, now := t.nodes[i].main, t.clock.Now()
	tap := o.tap.Load()
	for tap == nil {
		if fresh := sample.NewTap(t.cfg.Cell, now); o.tap.CompareAndSwap(nil, fresh) {
			tap = fresh
			break
		}
		tap = o.tap.Load()
	}
	rows = tap.Read(now, after)
	rows.Vertex, rows.Index, rows.Attempt = t.vertex.ID, t.cfg.Index, t.cfg.Attempt
	return rows, true
}

// Rejected are the newest records that the task's operators have rejected. Any goroutine may call it.
func (t *Task) Rejected() sample.Report {
	var all sample.Report
	for _, n := range t.nodes {
		late, bad := n.rejected.Newest()
		if len(late) > 0 || len(bad) > 0 {
			all.Add(sample.Report{Late: late, Bad: bad}, sample.RejectedMax)
		}
	}
	return all
}
