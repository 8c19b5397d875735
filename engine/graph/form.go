package graph

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/vec"
)

// stateForms number how each kind of operator writes its state: its own, its rows and its accumulators. A number goes up when bytes that were
// written before would be read as something else, in the operator or in what it keeps its state with; checkpoints then tell the two apart.
// Kinds that are not in it have no state, or that of a connector, which numbers it itself.
var stateForms = map[Kind]int{
	KindWatermark: 1,
	KindAssign:    1,
	KindWindow:    2, // 2: COUNT(DISTINCT) of one column under several filters shares a set
	KindGroup:     2, // 2: as for windows
	KindJoin:      1,
	KindRank:      1,
}

// StateForm says in what form an operator keeps its state, for people and programs: its kind and number, and the types that its bytes depend on,
// beyond what its ID says. State is read by an operator of an equal ID and an equal form only. It is "" for an operator without state of its own.
func StateForm(n *Node) (string, error) {
	number, ok := stateForms[n.Kind]
	if !ok {
		return "", nil
	}
	parts := []string{fmt.Sprintf("%s %d", n.Kind, number)}
	var spec struct {
		InputKeyTypes []vec.Type `json:"keyTypes"` // of all kinds with keys
		Aggs          []agg.Spec `json:"aggs"`
		Windowing     Windowing  `json:"windowing"`
		Retracts      bool       `json:"retracts"`
		InputRetracts bool       `json:"inputRetracts"`
	}
	if err := json.Unmarshal(n.Spec, &spec); err != nil {
		return "", fmt.Errorf("operator %q: %w", n.Name, err)
	}
	if len(spec.InputKeyTypes) > 0 {
		parts = append(parts, "by "+typeList(spec.InputKeyTypes))
	}
	if n.Kind == KindAssign && spec.Windowing.Kind == Session && n.Out != nil { // rows wait for their session to close
		fields := make([]string, len(n.Out.Fields))
		for i, f := range n.Out.Fields {
			fields[i] = f.Name + " " + f.Type.Nullable().String()
		}
		parts = append(parts, "rows of "+strings.Join(fields, ", "))
	}
	for i := range spec.Aggs {
		parts = append(parts, aggForm(&spec.Aggs[i]))
	}
	if spec.Retracts || spec.InputRetracts {
		parts = append(parts, "of changes")
	}
	return strings.Join(parts, ", "), nil
}

// aggForm is an aggregate call with its types in place of columns.
func aggForm(a *agg.Spec) string {
	args := typeList(a.ArgTypes)
	switch {
	case len(a.Args) == 0:
		args = "*"
	case a.Distinct:
		args = "DISTINCT " + args
	}
	s := fmt.Sprintf("%s(%s)", a.Func, args)
	if a.Filter >= 0 {
		s += " FILTER"
	}
	return s + " " + a.Type.Nullable().String()
}

func typeList(types []vec.Type) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.Nullable().String()
	}
	return strings.Join(names, ", ")
}
