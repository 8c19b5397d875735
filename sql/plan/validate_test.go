package plan_test

import (
	"encoding/json"
	"fmt"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/op/group"
	"github.com/bramble-stream/bramble/engine/op/project"
	"github.com/bramble-stream/bramble/engine/op/watermark"
	"github.com/bramble-stream/bramble/engine/op/window"
	"github.com/bramble-stream/bramble/engine/vec"
)

// validate checks the invariants that the runtime relies on.
func validate(j *graph.JobGraph) error {
	ids := map[string]bool{}
	ins := make([][]*graph.Edge, len(j.Vertices))
	for _, e := range j.Edges {
		if e.From >= e.To {
			return fmt.Errorf("edge %d -> %d: vertices are not in topological order", e.From, e.To)
		}
		from := j.Vertices[e.From]
		if e.Partition == graph.Forward && from.Parallelism != j.Vertices[e.To].Parallelism {
			return fmt.Errorf("edge %d -> %d: forward between different parallelisms", e.From, e.To)
		}
		want := from.Ops[e.FromOp].Out
		if e.Tag == graph.TagBad {
			want = graph.BadSchema
		}
		if e.Tag == "" && !want.Equal(e.Schema) {
			return fmt.Errorf("edge %d -> %d: schema %s, the operator emits %s", e.From, e.To, e.Schema, want)
		}
		ins[e.To] = append(ins[e.To], e)
	}
	for i, v := range j.Vertices {
		for k, n := range v.Ops {
			if ids[n.ID] || len(n.ID) != 16 {
				return fmt.Errorf("vertex %d: id %q of %s is not unique", i, n.ID, n.Name)
			}
			ids[n.ID] = true
			var in []*vec.Schema
			switch {
			case k == 0 && n.In != -1 || k > 0 && (n.In < 0 || n.In >= k):
				return fmt.Errorf("vertex %d: %s has input %d", i, n.Name, n.In)
			case k == 0:
				for _, e := range ins[i] {
					in = append(in, e.Schema)
				}
			case n.Tag == graph.TagBad:
				in = []*vec.Schema{graph.BadSchema}
			case n.Tag == graph.TagLate:
				in = inputOf(v, n.In, ins[i])
			default:
				in = []*vec.Schema{v.Ops[n.In].Out}
			}
			for _, s := range in {
				if err := checkNode(n, s); err != nil {
					return fmt.Errorf("vertex %d, %s: %w", i, n.Name, err)
				}
			}
			if len(in) == 0 && n.Kind != graph.KindSource && n.Kind != graph.KindValues {
				return fmt.Errorf("vertex %d: %s has no input", i, n.Name)
			}
		}
	}
	return nil
}

func inputOf(v *graph.Vertex, op int, ins []*graph.Edge) []*vec.Schema {
	if op == 0 {
		return []*vec.Schema{ins[0].Schema}
	}
	return []*vec.Schema{v.Ops[v.Ops[op].In].Out}
}

func sameTypes(a, b *vec.Schema) error {
	if len(a.Fields) != len(b.Fields) {
		return fmt.Errorf("%s against %s", a, b)
	}
	for i := range a.Fields {
		if !a.Fields[i].Type.Equal(b.Fields[i].Type) {
			return fmt.Errorf("column %d: %s against %s", i, a, b)
		}
	}
	return nil
}

func checkExpr(e *expr.Expr, in *vec.Schema) error {
	var err error
	if e == nil {
		return nil
	}
	e.Walk(func(x *expr.Expr) {
		switch {
		case x.Op != expr.OpCol || err != nil:
		case x.Col < 0 || x.Col >= in.Len():
			err = fmt.Errorf("%s: column %d of %s", e, x.Col, in)
		case !x.Type.Equal(in.Fields[x.Col].Type):
			err = fmt.Errorf("%s: column %d is %s, not %s", e, x.Col, in.Fields[x.Col].Type, x.Type)
		}
	})
	return err
}

// construct makes the real operator of a node: it refuses what it could not run.
func construct(n *graph.Node, in *vec.Schema) error {
	var err error
	switch n.Kind {
	case graph.KindCalc:
		_, err = construct1(n, func(s graph.CalcSpec) (op.Operator, error) { return project.New(s, in, n.Out) })
	case graph.KindWatermark:
		_, err = construct1(n, func(s graph.WatermarkSpec) (op.Operator, error) { return watermark.New(s, in, n.Out) })
	case graph.KindAssign:
		_, err = construct1(n, func(s graph.AssignSpec) (op.Operator, error) { return window.NewAssign(s, in, n.Out) })
	case graph.KindWindow:
		_, err = construct1(n, func(s graph.WindowSpec) (op.Operator, error) { return window.New(s, in, n.Out) })
	case graph.KindGroup:
		_, err = construct1(n, func(s graph.GroupSpec) (op.Operator, error) { return group.New(s, in, n.Out) })
	case graph.KindSource, graph.KindValues, graph.KindSink:
	}
	return err
}

func construct1[S any](n *graph.Node, f func(S) (op.Operator, error)) (op.Operator, error) {
	var s S
	if err := json.Unmarshal(n.Spec, &s); err != nil {
		return nil, err
	}
	return f(s)
}

// checkNode checks a spec against the node's input.
func checkNode(n *graph.Node, in *vec.Schema) error {
	if err := construct(n, in); err != nil {
		return err
	}
	switch n.Kind {
	case graph.KindCalc:
		var s graph.CalcSpec
		if err := json.Unmarshal(n.Spec, &s); err != nil {
			return err
		}
		if s.Exprs == nil {
			if err := sameTypes(in, n.Out); err != nil {
				return err
			}
		} else if len(s.Exprs) != n.Out.Len() {
			return fmt.Errorf("%d expressions for %s", len(s.Exprs), n.Out)
		}
		for i, e := range s.Exprs {
			if err := checkExpr(e, in); err != nil {
				return err
			}
			if !e.Type.Equal(n.Out.Fields[i].Type) {
				return fmt.Errorf("%s is %s, the column %s", e, e.Type, n.Out.Fields[i].Type)
			}
		}
		return checkExpr(s.Filter, in)
	case graph.KindWatermark:
		var s graph.WatermarkSpec
		if err := json.Unmarshal(n.Spec, &s); err != nil {
			return err
		}
		if !in.Fields[s.TimeCol].Type.Kind.IsTimestamp() {
			return fmt.Errorf("time column %d of %s", s.TimeCol, in)
		}
		if err := sameTypes(in, n.Out); err != nil {
			return err
		}
		return checkExpr(s.Expr, in)
	case graph.KindWindow:
		return checkWindow(n, in)
	case graph.KindGroup:
		var s graph.GroupSpec
		if err := json.Unmarshal(n.Spec, &s); err != nil {
			return err
		}
		return checkAggs(in, s.Keys, s.KeyTypes, s.Aggs, n.Out)
	case graph.KindAssign:
		var s graph.AssignSpec
		if err := json.Unmarshal(n.Spec, &s); err != nil {
			return err
		}
		if n.Out.Len() != in.Len()+3 {
			return fmt.Errorf("%s gives %s", in, n.Out)
		}
		return checkTimeCol(s.Windowing, in)
	case graph.KindSink:
		var s graph.SinkSpec
		if err := json.Unmarshal(n.Spec, &s); err != nil {
			return err
		}
		return sameTypes(in, s.Table.Schema)
	case graph.KindSource, graph.KindValues:
	}
	return nil
}

func checkTimeCol(w graph.Windowing, in *vec.Schema) error {
	if w.TimeCol >= 0 && !in.Fields[w.TimeCol].Type.Kind.IsTimestamp() {
		return fmt.Errorf("time column %d of %s", w.TimeCol, in)
	}
	return nil
}

func checkAggs(in *vec.Schema, keys []int, types []vec.Type, aggs []agg.Spec, out *vec.Schema) error {
	for i, k := range keys {
		if !in.Fields[k].Type.Equal(types[i]) || !in.Fields[k].Type.Equal(out.Fields[i].Type) {
			return fmt.Errorf("key %d: %s, %s, %s", i, in.Fields[k].Type, types[i], out.Fields[i].Type)
		}
	}
	for i, a := range aggs {
		if err := agg.Check(a); err != nil {
			return err
		}
		for j, c := range a.Args {
			if !in.Fields[c].Type.Equal(a.ArgTypes[j]) {
				return fmt.Errorf("%s: argument %d is %s, not %s", a, j, in.Fields[c].Type, a.ArgTypes[j])
			}
		}
		if a.Filter >= 0 && in.Fields[a.Filter].Type.Kind != vec.Bool {
			return fmt.Errorf("%s: filter is %s", a, in.Fields[a.Filter].Type)
		}
		if !out.Fields[len(keys)+i].Type.Equal(a.Type) {
			return fmt.Errorf("%s: output %s", a, out)
		}
	}
	return nil
}

func checkWindow(n *graph.Node, in *vec.Schema) error {
	var s graph.WindowSpec
	if err := json.Unmarshal(n.Spec, &s); err != nil {
		return err
	}
	if s.Stage == graph.Global {
		// The input is what Local emits.
		i := len(s.Keys) + 1
		for _, a := range s.Aggs {
			for _, t := range agg.PartialTypes(a) {
				if !in.Fields[i].Type.Equal(t) {
					return fmt.Errorf("partial %d of %s", i, in)
				}
				i++
			}
		}
		if i != in.Len() {
			return fmt.Errorf("%d columns expected of %s", i, in)
		}
		return nil
	}
	if s.Windowing.Kind != graph.Attached {
		if err := checkTimeCol(s.Windowing, in); err != nil {
			return err
		}
	} else if in.Fields[s.Windowing.StartCol].Type.Kind != vec.Timestamp || in.Fields[s.Windowing.EndCol].Type.Kind != vec.Timestamp {
		return fmt.Errorf("attached columns of %s", in)
	}
	if s.Stage == graph.Local {
		return nil
	}
	return checkAggs(in, s.Keys, s.InputKeyTypes, s.Aggs, n.Out)
}
