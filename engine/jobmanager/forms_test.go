package jobmanager

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// grouping is a job of one aggregation, and a savepoint of it.
func grouping(t *testing.T, id string, key vec.Type, retracts bool, fns ...string) (*graph.JobGraph, *checkpoint.Manifest) {
	t.Helper()
	spec := graph.GroupSpec{Keys: []int{0}, KeyTypes: []vec.Type{key}, InputRetracts: retracts}
	for _, fn := range fns {
		spec.Aggs = append(spec.Aggs, agg.Spec{Func: fn, Args: []int{1}, ArgTypes: []vec.Type{vec.TypeInt32}, Filter: -1, Type: vec.TypeInt32})
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	n := &graph.Node{ID: id, Name: "GroupAggregate", Kind: graph.KindGroup, Spec: raw, Line: 7}
	g := &graph.JobGraph{MaxParallelism: 8, Vertices: []*graph.Vertex{{Parallelism: 1, Ops: []*graph.Node{n}}}}
	forms, err := stateForms(g)
	if err != nil {
		t.Fatal(err)
	}
	return g, &checkpoint.Manifest{JobID: "j", Epoch: 1, Operators: []checkpoint.OperatorState{{
		ID: id, Name: n.Name, Parallelism: 1, MaxParallelism: 8, Form: forms[id],
		Tasks: []checkpoint.TaskState{{Range: stream.RangeOf(0, 8, 1), State: []byte{1}}},
	}}}
}

// State is restored into an operator that reads it as it was written, and otherwise refused with what differs.
func TestStateForms(t *testing.T) {
	_, saved := grouping(t, "a", vec.TypeInt32, false, "SUM")
	notNull := vec.TypeInt32
	notNull.NotNull = true
	refuse := func(what string, m *checkpoint.Manifest, g *graph.JobGraph, words ...string) {
		t.Helper()
		_, err := planRestore(m, g)
		if all := checkForms(m, g); (err == nil) != (all == nil) {
			t.Errorf("%s: %v, %v", what, err, all)
		}
		if (err != nil) != (len(words) > 0) {
			t.Errorf("%s: %v", what, err)
		}
		for _, w := range words {
			if err != nil && !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v lacks %q", what, err, w)
			}
		}
	}
	same, _ := grouping(t, "a", notNull, false, "SUM")
	refuse("the same", saved, same)
	wider, _ := grouping(t, "a", vec.TypeInt64, false, "SUM")
	refuse("another type", saved, wider, "[group 2, by INT, SUM(INT) INT]", "[group 2, by BIGINT, SUM(INT) INT]", "other types", "empty state")
	changes, _ := grouping(t, "a", vec.TypeInt32, true, "SUM")
	refuse("changes", saved, changes, "of changes]")

	_, old := grouping(t, "a", vec.TypeInt32, false, "SUM")
	old.Operators[0].Form = "group 1" + strings.TrimPrefix(old.Operators[0].Form, "group 2")
	refuse("another number", old, same, "another version of Bramble wrote it", "[group 1, by INT, SUM(INT) INT]")
	old.Operators[0].Form = ""
	refuse("version 1", old, same, "an earlier Bramble")
	old.Operators[0].Tasks[0].State = nil
	refuse("version 1 without state", old, same)

	more, _ := grouping(t, "b", vec.TypeInt32, false, "SUM", "MAX")
	if lost := unmatched(saved, more); len(lost) != 1 || !strings.Contains(lost[0], `"GroupAggregate" (its state is [group 2, by INT, SUM(INT) INT]; `+
		`that of line 7 has [group 2, by INT, SUM(INT) INT, MAX(INT) INT], which cannot be made of it)`) {
		t.Errorf("an aggregate more: %q", lost)
	}
	other, _ := grouping(t, "b", vec.TypeInt32, false, "SUM")
	if lost := unmatched(saved, other); len(lost) != 1 || !strings.Contains(lost[0], "that of line 7 is of the same form, but of other columns") {
		t.Errorf("another column: %q", lost)
	}
	if lost := unmatched(saved, same); lost != nil {
		t.Errorf("the same: %q", lost)
	}
}
