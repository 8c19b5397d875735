package task

import (
	"fmt"
	"sync/atomic"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/sample"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// node is an operator in the chain, with its capabilities resolved once.
type node struct {
	task *Task
	spec *graph.Node
	// One of these is set.
	source op.Source
	oper   op.Operator
	sink   op.Sink

	onWatermark op.WatermarkHandler
	onIdle      op.IdleHandler
	timer       op.Timer
	flusher     op.Flusher
	snapshotter op.Snapshotter
	onEnd       op.EndHandler

	main  *output
	sides []*output
	// store is nil until the operator asks for it.
	store state.Store
	// wm is the watermark of the input.
	wm     stream.Time
	idle   bool
	opened bool
	// fed: the operator may hold something back, having been called since its last Flush.
	fed     bool
	metrics op.Metrics
	latency Latency
	// rejected is made with the node; it holds nothing until something is rejected.
	rejected *sample.Rejected
}

// output is where an operator's rows go: the main one, or one aside.
type output struct {
	node     *node
	tag      string
	children []*node
	edges    []*edgeOut
	wm       stream.Time
	idle     bool
	// tap is nil unless somebody looks at the rows.
	tap atomic.Pointer[sample.Tap]
}

var _ op.IdleOutput = (*output)(nil)

func newNode(t *Task, spec *graph.Node, b Built) (*node, error) {
	n := &node{task: t, spec: spec, source: b.Source, oper: b.Operator, sink: b.Sink, wm: stream.MinTime}
	n.metrics.Watermark.Store(stream.MinTime)
	n.main = &output{node: n, wm: stream.MinTime}
	n.rejected = sample.NewRejected(spec.ID, t.cfg.Cell, t.clock.Now, func() stream.Time { return n.wm })
	var set int
	for _, is := range []bool{b.Source != nil, b.Operator != nil, b.Sink != nil} {
		if is {
			set++
		}
	}
	if set != 1 {
		return nil, fmt.Errorf("operator %q: the builder of %q made %d things instead of one", spec.Name, spec.Kind, set)
	}
	if b.Operator != nil {
		n.onWatermark, _ = b.Operator.(op.WatermarkHandler)
		n.onIdle, _ = b.Operator.(op.IdleHandler)
		n.timer, _ = b.Operator.(op.Timer)
		n.flusher, _ = b.Operator.(op.Flusher)
		n.snapshotter, _ = b.Operator.(op.Snapshotter)
		n.onEnd, _ = b.Operator.(op.EndHandler)
	}
	return n, nil
}

// out returns the output of the tag, made if need be.
func (n *node) out(tag string) *output {
	if tag == "" {
		return n.main
	}
	for _, o := range n.sides {
		if o.tag == tag {
			return o
		}
	}
	o := &output{node: n, tag: tag, wm: stream.MinTime}
	n.sides = append(n.sides, o)
	return o
}

// side returns the output of a tag for the operator: nil when nobody takes the rows.
func (n *node) side(tag string) op.Output {
	for _, o := range n.sides {
		if o.tag == tag {
			return o
		}
	}
	return nil
}

// process lets the operator work on a batch.
func (n *node) process(in int, b *vec.Batch) error {
	t := n.task
	before := t.current
	t.current, n.fed = n, true
	rows := int64(b.Len())
	n.metrics.RecordsIn.Add(rows)
	var err error
	if n.sink != nil {
		if err = n.sink.Write(t.ctx, b); err == nil {
			n.metrics.RecordsOut.Add(rows)
			n.main.look(b)
		}
	} else {
		err = n.oper.Process(in, b, n.main)
	}
	if err != nil {
		return n.fail(err)
	}
	t.current = before
	return nil
}

// fail attributes an error to the operator, unless it comes from further down, or from the end of the task.
func (n *node) fail(err error) error {
	if n.task.stopped(err) {
		return err
	}
	return n.task.failure(n, err)
}

// watermark advances the operator's event time.
func (n *node) watermark(wm stream.Time) error {
	if wm <= n.wm {
		return nil
	}
	n.wm = wm
	if n.sink != nil {
		n.metrics.Watermark.Store(wm)
		return nil
	}
	if n.onWatermark == nil {
		return n.main.EmitWatermark(wm)
	}
	before := n.task.current
	n.task.current, n.fed = n, true
	if err := n.onWatermark.OnWatermark(wm, n.main); err != nil {
		return n.fail(err)
	}
	n.task.current = before
	return nil
}

// setIdle tells the operator that its input pauses, or no longer does, and passes it on.
func (n *node) setIdle(idle bool) error {
	if n.idle == idle {
		return nil
	}
	n.idle = idle
	if n.onIdle != nil {
		before := n.task.current
		n.task.current, n.fed = n, true
		if err := n.onIdle.OnIdle(idle, n.main); err != nil {
			return n.fail(err)
		}
		n.task.current = before
	}
	return n.main.EmitIdle(idle)
}

// mark records a latency marker and passes it on.
func (n *node) mark(origin, now stream.Time) error {
	n.latency.observe(now - origin)
	return n.main.mark(origin, now)
}

// holds reports whether Flush may have something to hand on.
func (n *node) holds() bool { return n.fed && (n.sink != nil || n.flusher != nil) }

// flush lets the operator hand on what it holds back.
func (n *node) flush() error {
	n.fed = false
	var err error
	switch {
	case n.sink != nil:
		n.task.current = n
		err = n.sink.Flush(n.task.ctx)
	case n.flusher != nil:
		n.task.current = n
		err = n.flusher.Flush(n.main)
	default:
		return nil
	}
	if err != nil {
		return n.fail(err)
	}
	n.task.current = nil
	return nil
}

// Emit implements op.Output.
func (o *output) Emit(b *vec.Batch) error {
	rows := b.Len()
	if rows == 0 {
		return nil
	}
	if o.tag == "" {
		o.node.metrics.RecordsOut.Add(int64(rows))
	}
	if o.idle {
		if err := o.EmitIdle(false); err != nil {
			return err
		}
	}
	o.look(b)
	for _, c := range o.children {
		if err := c.process(0, b); err != nil {
			return err
		}
	}
	for _, e := range o.edges {
		if err := e.writer.Emit(b); err != nil {
			return o.sendError(err)
		}
	}
	return nil
}

// EmitWatermark implements op.Output. What goes aside has the same watermark as the main output.
func (o *output) EmitWatermark(wm stream.Time) error {
	if wm <= o.wm {
		return nil
	}
	if o.idle {
		if err := o.EmitIdle(false); err != nil {
			return err
		}
	}
	o.wm = wm
	if o.tag == "" {
		o.node.metrics.Watermark.Store(wm)
		for _, s := range o.node.sides {
			if err := s.EmitWatermark(wm); err != nil {
				return err
			}
		}
	}
	for _, c := range o.children {
		if err := c.watermark(wm); err != nil {
			return err
		}
	}
	for _, e := range o.edges {
		if err := e.writer.Watermark(wm); err != nil {
			return o.sendError(err)
		}
	}
	return nil
}

// EmitIdle implements op.IdleOutput.
func (o *output) EmitIdle(idle bool) error {
	if o.idle == idle {
		return nil
	}
	o.idle = idle
	if o.tag == "" {
		for _, s := range o.node.sides {
			if err := s.EmitIdle(idle); err != nil {
				return err
			}
		}
	}
	for _, c := range o.children {
		if err := c.setIdle(idle); err != nil {
			return err
		}
	}
	if !idle {
		return nil // the next batch or watermark says so
	}
	for _, e := range o.edges {
		if err := e.writer.Idle(); err != nil {
			return o.sendError(err)
		}
	}
	return nil
}

func (o *output) mark(origin, now stream.Time) error {
	for _, c := range o.children {
		if err := c.mark(origin, now); err != nil {
			return err
		}
	}
	for _, e := range o.edges {
		if err := e.writer.Latency(origin); err != nil {
			return o.sendError(err)
		}
	}
	return nil
}

// sendError makes an edge's error the task's, so that the operators it passes through are not blamed.
func (o *output) sendError(err error) error {
	if o.node.task.stopped(err) {
		return err
	}
	return o.node.task.failure(nil, err)
}

// context is what the operator is lent.
func (n *node) context(memory int64) *op.Context {
	t := n.task
	c := &op.Context{
		Ctx: t.ctx, Task: t.info(n.spec), Log: t.log.With("operator", n.spec.Name), Metrics: &n.metrics, Rejected: n.rejected, Clock: t.clock, ClockFloor: t.cfg.ClockFloor,
		Location: t.cfg.Location, Rand: t.cfg.Rand, MemoryBytes: memory, Side: n.side,
		Watermark:     func() stream.Time { return n.wm },
		Health:        func(component string, err error) { t.reportHealth(n, component, err) },
		Checkpointing: t.cfg.Checkpointing,
	}
	if t.nodes[0].source != nil {
		c.Source = &t.sourceInfo
	}
	if t.cfg.OpenState != nil && t.nodes[0].source == nil {
		c.OpenState = func(merge state.MergeFunc) (state.Store, error) { return n.openState(c.Task, merge) }
	}
	return c
}

func (t *Task) info(n *graph.Node) op.TaskInfo {
	return op.TaskInfo{
		JobID: t.cfg.JobID, JobName: t.cfg.Graph.Name, VertexID: t.vertex.ID, VertexName: t.vertex.Name,
		OperatorID: n.ID, Operator: n.Name, Attempt: t.cfg.Attempt, Index: t.cfg.Index, Parallelism: t.vertex.Parallelism,
		MaxParallelism: t.maxParallelism(),
		KeyRange:       stream.RangeOf(t.cfg.Index, t.maxParallelism(), t.vertex.Parallelism), TaskManager: t.cfg.TaskManager,
	}
}

func (t *Task) maxParallelism() int {
	if m := t.cfg.Graph.MaxParallelism; m > 0 {
		return m
	}
	return stream.DefaultMaxParallelism
}
