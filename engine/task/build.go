package task

import (
	"context"
	"fmt"
	"slices"

	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/exchange"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
)

// build makes inputs, operators and outputs. It connects to nothing and opens nothing.
func (t *Task) build() error {
	ins, err := t.buildInputs()
	if err != nil {
		return err
	}
	if err := t.buildNodes(ins); err != nil {
		return err
	}
	head := t.nodes[0]
	switch {
	case head.source != nil && len(t.inputs) > 0:
		return fmt.Errorf("source %q has input edges", head.spec.Name)
	case head.source == nil && len(t.inputs) == 0:
		return fmt.Errorf("operator %q has no input edges and is no source", head.spec.Name)
	case head.source != nil && head.spec.Out == nil:
		return fmt.Errorf("source %q has no schema", head.spec.Name)
	}
	if head.source != nil {
		t.pollBatch = vec.NewBatch(head.spec.Out)
		t.sourceInfo.Splits = len(t.cfg.Splits)
		t.sourceInfo.Ended = make([]bool, len(t.cfg.Splits))
		t.sourceInfo.Continues = make([]bool, len(t.cfg.Splits))
		if r, ok := head.source.(op.Reacher); ok {
			t.reacher, t.sourceInfo.Away = r, make([]op.Away, len(t.cfg.Splits))
		}
	}
	t.merger = exchange.NewMerger(len(t.inputs))
	t.aligner = checkpoint.NewAligner(len(t.inputs))
	t.openInputs = len(t.inputs)
	return t.buildOutputs()
}

// buildInputs makes a channel from each task that sends here, and returns the schema of each input.
func (t *Task) buildInputs() ([]*vec.Schema, error) {
	var ins []*vec.Schema
	for i, e := range t.cfg.Graph.Edges {
		if e.To != t.cfg.Vertex {
			continue
		}
		if e.Schema == nil || e.ToInput < 0 || e.From < 0 || e.From >= len(t.cfg.Graph.Vertices) {
			return nil, fmt.Errorf("edge %d is incomplete", i)
		}
		for len(ins) <= e.ToInput {
			ins = append(ins, nil)
		}
		ins[e.ToInput] = e.Schema
		from := t.cfg.Graph.Vertices[e.From].Parallelism
		for f := range from {
			if e.Partition == graph.Forward {
				if from != t.vertex.Parallelism {
					return nil, fmt.Errorf("edge %d is forward between %d and %d tasks", i, from, t.vertex.Parallelism)
				}
				if f != t.cfg.Index {
					continue
				}
			}
			id := exchange.ChannelID{Edge: i, From: f, To: t.cfg.Index}
			t.inputs = append(t.inputs, taskInput{id: id, toInput: e.ToInput, in: t.gate.AddInput(e.Schema)})
		}
	}
	if i := slices.Index(ins, nil); i >= 0 {
		return nil, fmt.Errorf("nothing feeds input %d", i)
	}
	return ins, nil
}

func (t *Task) buildNodes(ins []*vec.Schema) error {
	if len(t.vertex.Ops) == 0 {
		return fmt.Errorf("vertex %s has no operators", t.vertex.ID)
	}
	for i, spec := range t.vertex.Ops {
		switch {
		case i == 0 && spec.In != -1, i > 0 && (spec.In < 0 || spec.In >= i):
			return fmt.Errorf("operator %q is fed by operator %d", spec.Name, spec.In)
		case i > 0:
			var err error
			if ins, err = t.inputOf(spec); err != nil {
				return err
			}
		}
		n, err := t.buildNode(spec, ins)
		if err != nil {
			return err
		}
		t.nodes = append(t.nodes, n)
		if n.timer != nil {
			t.timers = append(t.timers, n)
		}
		if i > 0 {
			if n.source != nil {
				return fmt.Errorf("source %q is fed by another operator", spec.Name)
			}
			o := t.nodes[spec.In].out(spec.Tag)
			o.children = append(o.children, n)
		}
	}
	return nil
}

// buildNode makes an operator. A builder that panics fails the task, not the taskmanager.
func (t *Task) buildNode(spec *graph.Node, ins []*vec.Schema) (n *node, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = t.failure(&node{spec: spec}, t.panicked(v))
		}
	}()
	build := t.cfg.Builders[spec.Kind]
	if build == nil {
		return nil, fmt.Errorf("operator %q: this taskmanager knows no operator of kind %q", spec.Name, spec.Kind)
	}
	b, err := build(spec, ins)
	if err != nil {
		return nil, t.failure(&node{spec: spec}, fmt.Errorf("build: %w", err))
	}
	return newNode(t, spec, b)
}

// inputOf returns the schema that a chained operator is fed.
func (t *Task) inputOf(spec *graph.Node) ([]*vec.Schema, error) {
	from := t.vertex.Ops[spec.In]
	var s *vec.Schema
	switch spec.Tag {
	case "":
		s = from.Out
	case graph.TagBad:
		s = graph.BadSchema
	case graph.TagLate:
		s = t.inputSchema(spec.In)
	}
	if s == nil {
		return nil, fmt.Errorf("operator %q is fed by %q, whose output %q has no schema", spec.Name, from.Name, spec.Tag)
	}
	return []*vec.Schema{s}, nil
}

// inputSchema returns what an operator's first input carries.
func (t *Task) inputSchema(i int) *vec.Schema {
	if i == 0 {
		if len(t.inputs) == 0 {
			return nil
		}
		return t.inputs[0].in.Schema()
	}
	ins, err := t.inputOf(t.vertex.Ops[i])
	if err != nil {
		return nil
	}
	return ins[0]
}

func (t *Task) buildOutputs() error {
	for i, e := range t.cfg.Graph.Edges {
		if e.From != t.cfg.Vertex {
			continue
		}
		if e.FromOp < 0 || e.FromOp >= len(t.nodes) || e.Schema == nil || e.To < 0 || e.To >= len(t.cfg.Graph.Vertices) {
			return fmt.Errorf("edge %d is incomplete", i)
		}
		if t.cfg.Connect == nil {
			return fmt.Errorf("edge %d: nothing to connect with", i)
		}
		out := &edgeOut{index: i, edge: e}
		t.edges = append(t.edges, out)
		o := t.nodes[e.FromOp].out(e.Tag)
		o.edges = append(o.edges, out)
	}
	return nil
}

// connect opens the channels of all edges.
func (t *Task) connect(ctx context.Context) error {
	for _, e := range t.edges {
		var chans []exchange.Channel
		for _, id := range t.channels(e) {
			ch, err := t.cfg.Connect(ctx, id, e.edge.Schema, &e.stats.Blocked)
			if err != nil {
				abort(chans)
				return fmt.Errorf("connect %s: %w", id, err)
			}
			chans = append(chans, ch)
		}
		w, err := exchange.NewWriter(exchange.WriterConfig{
			Partition: e.edge.Partition, Keys: e.edge.Keys, MaxParallelism: t.maxParallelism(), Channels: chans, Stats: &e.stats,
		})
		if err != nil {
			abort(chans)
			return fmt.Errorf("edge %d: %w", e.index, err)
		}
		e.writer = w
	}
	return nil
}

// abort closes channels of a task that fails already.
func abort(chans []exchange.Channel) {
	for _, ch := range chans {
		_ = ch.Close()
	}
}

// open opens the operators, those that are fed before those that feed them, and restores their state.
func (t *Task) open() error {
	// Those with state share the memory; the others do not ask for any.
	var stateful int64
	for _, n := range t.nodes {
		if n.snapshotter != nil {
			stateful++
		}
	}
	memory := t.cfg.MemoryBytes / max(stateful, 1)
	for _, n := range slices.Backward(t.nodes) {
		t.current, n.opened = n, true
		c := n.context(memory)
		var err error
		switch {
		case n.source != nil:
			err = n.source.Open(c, t.cfg.Splits)
		case n.sink != nil:
			err = n.sink.Open(c)
		default:
			err = n.oper.Open(c)
		}
		if err != nil {
			return n.fail(fmt.Errorf("open: %w", err))
		}
		if err := t.restore(n); err != nil {
			return err
		}
	}
	t.current = nil
	return t.recommit()
}

// closeAll closes what open opened, in the order of the chain, then the state and the channels, and returns the first error.
func (t *Task) closeAll() error {
	var first error
	keep := func(n *node, err error) {
		if err == nil {
			return
		}
		f := t.failure(n, fmt.Errorf("close: %w", err))
		if first == nil {
			first = f
		} else {
			t.log.Warn("close failed", "error", f)
		}
	}
	for _, n := range t.nodes {
		if n.opened {
			n.opened = false
			keep(n, t.closeNode(n))
		}
		if n.store != nil {
			keep(n, n.store.Close())
			n.store = nil
		}
	}
	t.gate.Close()
	for _, e := range t.edges {
		if e.writer != nil {
			keep(nil, e.writer.Close())
		}
	}
	return first
}

// closeNode closes an operator; one that panics must not keep the others open.
func (t *Task) closeNode(n *node) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = t.panicked(v)
		}
	}()
	switch {
	case n.source != nil:
		return n.source.Close()
	case n.sink != nil:
		return n.sink.Close()
	default:
		return n.oper.Close()
	}
}
