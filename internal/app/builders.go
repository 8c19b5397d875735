package app

import (
	"encoding/json"
	"fmt"
	_ "time/tzdata" // a Pi's image, or a container, may have no time zones

	"github.com/zeebo/xxh3"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/op/group"
	"github.com/bramble-stream/bramble/engine/op/join"
	"github.com/bramble-stream/bramble/engine/op/notnull"
	"github.com/bramble-stream/bramble/engine/op/project"
	"github.com/bramble-stream/bramble/engine/op/rank"
	"github.com/bramble-stream/bramble/engine/op/values"
	"github.com/bramble-stream/bramble/engine/op/watermark"
	"github.com/bramble-stream/bramble/engine/op/window"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/pebble"
	"github.com/bramble-stream/bramble/engine/task"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Builders makes every kind of operator, with sources and sinks of the connectors.
func Builders(connectors map[string]*op.Connector) task.Builders {
	return task.Builders{
		graph.KindSource:    sources(connectors),
		graph.KindSink:      sinks(connectors),
		graph.KindValues:    valuesBuilder,
		graph.KindCalc:      operator(project.New),
		graph.KindWatermark: operator(watermark.New),
		graph.KindAssign:    operator(window.NewAssign),
		graph.KindWindow:    operator(window.New),
		graph.KindGroup:     operator(group.New),
		graph.KindJoin:      joinBuilder,
		graph.KindRank:      operator(rank.New),
	}
}

func decode[S any](n *graph.Node) (S, error) {
	var spec S
	if err := json.Unmarshal(n.Spec, &spec); err != nil {
		return spec, fmt.Errorf("operator %q: decode its spec: %w", n.Name, err)
	}
	return spec, nil
}

// operator adapts a family's constructor, which has one input.
func operator[S any](build func(spec S, in, out *vec.Schema) (op.Operator, error)) task.Builder {
	return func(n *graph.Node, ins []*vec.Schema) (task.Built, error) {
		spec, err := decode[S](n)
		if err != nil {
			return task.Built{}, err
		}
		if len(ins) != 1 {
			return task.Built{}, fmt.Errorf("operator %q has %d inputs instead of one", n.Name, len(ins))
		}
		o, err := build(spec, ins[0], n.Out)
		return task.Built{Operator: o}, err
	}
}

func joinBuilder(n *graph.Node, ins []*vec.Schema) (task.Built, error) {
	spec, err := decode[graph.JoinSpec](n)
	if err != nil {
		return task.Built{}, err
	}
	if len(ins) != 2 {
		return task.Built{}, fmt.Errorf("operator %q has %d inputs instead of two", n.Name, len(ins))
	}
	o, err := join.New(spec, ins[0], ins[1], n.Out)
	return task.Built{Operator: o}, err
}

func valuesBuilder(n *graph.Node, _ []*vec.Schema) (task.Built, error) {
	spec, err := decode[graph.ValuesSpec](n)
	if err != nil {
		return task.Built{}, err
	}
	s, err := values.New(spec, n.Out)
	return task.Built{Source: s}, err
}

func sources(connectors map[string]*op.Connector) task.Builder {
	return func(n *graph.Node, _ []*vec.Schema) (task.Built, error) {
		spec, err := decode[graph.SourceSpec](n)
		if err != nil {
			return task.Built{}, err
		}
		c := connectors[spec.Table.Connector]
		if c == nil || c.NewSource == nil {
			return task.Built{}, fmt.Errorf("table %q: this taskmanager has no connector %q to read with", spec.Table.Name, spec.Table.Connector)
		}
		s, err := c.NewSource(&spec.Table)
		return task.Built{Source: s}, err
	}
}

func sinks(connectors map[string]*op.Connector) task.Builder {
	return func(n *graph.Node, _ []*vec.Schema) (task.Built, error) {
		spec, err := decode[graph.SinkSpec](n)
		if err != nil {
			return task.Built{}, err
		}
		c := connectors[spec.Table.Connector]
		if c == nil || c.NewSink == nil {
			return task.Built{}, fmt.Errorf("table %q: this taskmanager has no connector %q to write with", spec.Table.Name, spec.Table.Connector)
		}
		s, err := c.NewSink(&spec.Table)
		if err != nil {
			return task.Built{}, err
		}
		s, err = notnull.New(s, spec)
		return task.Built{Sink: s}, err
	}
}

// OpenState opens the store of an operator in a task: Pebble, in a directory that goes when the task has ended. Snapshots of two stores have
// no file name in common: attempt and taskmanager are in it.
func OpenState(dir string, info op.TaskInfo, memoryBytes int64, merge state.MergeFunc) (state.Store, error) {
	instance := fmt.Sprintf("%s-%d-%d", info.OperatorID, info.Index, info.Attempt)
	if info.TaskManager != "" {
		instance += fmt.Sprintf("-%016x", xxh3.HashString(info.TaskManager))
	}
	s, err := pebble.Open(pebble.Options{
		Dir: dir, Instance: instance, Merge: merge,
		MemoryBytes: max(memoryBytes, pebble.MinMemoryBytes),
	})
	if err != nil {
		return nil, err // not a nil *pebble.Store, which is no nil state.Store
	}
	return s, nil
}
