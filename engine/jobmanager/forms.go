package jobmanager

import (
	"fmt"
	"strings"

	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/graph"
)

// stateForms are the forms of all operators' state, by their IDs.
func stateForms(g *graph.JobGraph) (map[string]string, error) {
	forms := map[string]string{}
	for _, v := range g.Vertices {
		for _, n := range v.Ops {
			form, err := graph.StateForm(n)
			if err != nil {
				return nil, err
			}
			forms[n.ID] = form
		}
	}
	return forms, nil
}

// holdsState says that there is something of an operator to restore.
func holdsState(o *checkpoint.OperatorState) bool {
	for i := range o.Tasks {
		t := &o.Tasks[i]
		if len(t.Files)+len(t.State)+len(t.Splits)+len(t.Committables) > 0 {
			return true
		}
	}
	return false
}

// unmatched names the operators with state that a graph does not have, and says what took their place.
func unmatched(m *checkpoint.Manifest, g *graph.JobGraph) []string {
	known := map[string]bool{}
	begins := map[string][]*graph.Node{} // operators of the job without state, by name
	for _, v := range g.Vertices {
		for _, n := range v.Ops {
			known[n.ID] = true
			if m.Operator(n.ID) == nil {
				begins[n.Name] = append(begins[n.Name], n)
			}
		}
	}
	var lost []string
	for i := range m.Operators {
		if o := &m.Operators[i]; holdsState(o) && !known[o.ID] {
			lost = append(lost, fmt.Sprintf("%q", o.Name)+difference(o, begins[o.Name]))
		}
	}
	return lost
}

// difference says how the state of an operator differs from that of the one that may have taken its place: the only one of its name. It is empty
// where there is none, or several.
func difference(o *checkpoint.OperatorState, others []*graph.Node) string {
	if len(others) != 1 || o.Form == "" {
		return ""
	}
	form, err := graph.StateForm(others[0])
	if err != nil || form == "" {
		return ""
	}
	where := ""
	if others[0].Line > 0 {
		where = fmt.Sprintf(" of line %d", others[0].Line)
	}
	if form == o.Form {
		return fmt.Sprintf(" (its state is [%s]; that%s is of the same form, but of other columns, input or settings)", form, where)
	}
	return fmt.Sprintf(" (its state is [%s]; that%s has [%s], which cannot be made of it)", o.Form, where, form)
}

// checkForm refuses state that an operator would read as something else.
func checkForm(o *checkpoint.OperatorState, n *graph.Node) error {
	form, err := graph.StateForm(n)
	if err != nil || form == o.Form || form == "" || !holdsState(o) {
		return err
	}
	if o.Form == "" {
		return fmt.Errorf("operator %q: its state was written by an earlier Bramble, which did not say in what form; "+
			"let that one run the job, or submit it without the savepoint, from empty state", o.Name)
	}
	what := "the script has other types now"
	if number(o.Form) != number(form) {
		what = "another version of Bramble wrote it; let that one run the job"
	}
	return fmt.Errorf("operator %q: its state was written as [%s], and would be read as [%s]: %s, or submit it without the savepoint, from empty state",
		o.Name, o.Form, form, what)
}

// number is the beginning of a form: the operator's kind and the number of what it writes.
func number(form string) string {
	before, _, _ := strings.Cut(form, ",")
	return before
}

// checkForms is checkForm for all operators.
func checkForms(m *checkpoint.Manifest, g *graph.JobGraph) error {
	for _, v := range g.Vertices {
		for _, n := range v.Ops {
			if o := m.Operator(n.ID); o != nil {
				if err := checkForm(o, n); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
