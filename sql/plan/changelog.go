package plan

import (
	"slices"
	"strings"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/sql/parse"
)

// updating reports whether r changes rows that it has given out (-U, +U, -D) rather than only adding rows.
func updating(r *rel) bool {
	if r.changes == 0 {
		r.changes = 1
		if updatingNow(r) {
			r.changes = 2
		}
	}
	return r.changes == 2
}

func updatingNow(r *rel) bool {
	if r.kind == relJoin && r.join.mode == graph.Regular && r.join.typ != graph.InnerJoin && r.join.typ != graph.SemiJoin {
		return true // a row without a partner may still get one
	}
	if r.kind == relRank && !r.rank.window && !keepsFirst(r) {
		return true
	}
	// A group without aggregates is the set of its keys: over rows that are only added it only grows.
	return slices.ContainsFunc(r.ins, updating) || r.kind == relGroup && len(r.aggs) > 0
}

// changelog decides how each sink is written, and which aggregations must emit -U rows. It reports sinks that
// cannot take what their query gives.
func (p *planner) changelog() error {
	var errs parse.ErrorList
	for _, r := range p.order() {
		r.changes = 0 // how many rows a rank gives is known only now
	}
	// need says of whom -U rows are read.
	need := map[*rel]bool{}
	for _, s := range p.sinks {
		b, err := p.sinkMode(s)
		errs = appendErr(errs, err)
		need[s] = b
	}
	for _, r := range slices.Backward(p.order()) {
		if r.kind == relGroup || r.kind == relRank {
			r.before = need[r]
		}
		for _, in := range r.ins {
			switch {
			case r.kind == relGroup, r.kind == relJoin, r.kind == relRank, r.kind == relCalc && r.filter != nil:
				// An aggregation, a join and a rank take the old row back; a filter lets the -U of a row pass whose +U no longer does.
				need[in] = need[in] || updating(in)
			default:
				need[in] = need[in] || need[r]
			}
		}
	}
	return errs.Err()
}

// sinkMode chooses a sink's mode; before says that it must get -U rows.
func (p *planner) sinkMode(s *rel) (before bool, err error) {
	modes := s.sink.modes
	pk := s.sink.spec.PrimaryKey
	if !updating(s.ins[0]) {
		s.mode = appendMode(modes, len(pk) > 0)
		return false, nil
	}
	upsert := slices.Contains(modes, graph.Upsert) && len(pk) > 0
	retract := slices.Contains(modes, graph.Retract)
	if len(modes) > 0 && modes[0] == graph.Upsert && retract {
		s.mode = graph.Upsert // it takes all kinds, and rows by no key or another one, but is better off without -U
		return false, nil
	}
	key, has := uniqueKey(s.ins[0])
	switch {
	case !upsert && !retract:
		hint := "declare a PRIMARY KEY (...) NOT ENFORCED in it, or aggregate by windows"
		if !slices.Contains(modes, graph.Upsert) {
			hint = "write to an upsert sink such as redis with a PRIMARY KEY, or aggregate by windows"
		}
		return false, p.errorf(s.where, hint, "table %q takes only rows that stay, but the query changes rows that it has given out (%s)", s.sink.name, changer(s.ins[0]))
	case upsert && has && samePositions(key, pk) && !filtered(s.ins[0]):
		s.mode = graph.Upsert
		return false, nil
	case retract:
		s.mode = graph.Retract
		return true, nil
	}
	s.mode = graph.Upsert
	if !has || !containsAll(pk, key) {
		what := "is not known"
		if has {
			what = "is (" + strings.Join(schemaNames(s, key), ", ") + ")"
		}
		p.warnf(s.where, "of several rows with one primary key the one that came last is kept, at the cost of more state",
			"the primary key of %q is (%s), but the key of the query %s", s.sink.name, strings.Join(schemaNames(s, pk), ", "), what)
	}
	return false, p.materialize(s)
}

// changer names what makes r change rows that it has given out.
func changer(r *rel) string {
	for _, in := range r.ins {
		if updating(in) {
			return changer(in)
		}
	}
	switch r.kind {
	case relJoin:
		return "a " + string(r.join.typ) + " JOIN without windows"
	case relRank:
		return "ROW_NUMBER without windows"
	default:
		return "GROUP BY without windows"
	}
}

// filtered reports whether rows that r changes may pass a filter before and not after, so that only their -U arrives.
func filtered(r *rel) bool {
	if r.kind == relGroup || r.kind == relRank || !updating(r) {
		return false
	}
	if r.kind == relCalc && r.filter != nil {
		return true
	}
	return slices.ContainsFunc(r.ins, filtered)
}

// materialize puts a table of the last rows by primary key before an upsert sink. It turns a changelog with -U rows, by whatever key, into one
// that has +I, +U and -D by the sink's key only.
func (p *planner) materialize(s *rel) error {
	in, spec := s.ins[0], &s.sink.spec
	g := &rel{kind: relGroup, ins: []*rel{in}, keys: spec.PrimaryKey, materializer: true, where: s.where, text: s.text}
	at := make([]int, len(in.cols))
	for i, k := range spec.PrimaryKey {
		at[k] = i
		g.cols = append(g.cols, column{name: in.cols[k].name, typ: in.cols[k].typ})
	}
	for i, c := range in.cols {
		if slices.Contains(spec.PrimaryKey, i) {
			continue
		}
		t, err := agg.ResultType("LAST_VALUE", false, []vec.Type{c.typ})
		if err != nil {
			return p.errorf(s.where, "group by the primary key", "column %q cannot be kept by primary key: %v", c.name, err)
		}
		at[i] = len(g.cols)
		g.cols = append(g.cols, column{name: c.name, typ: t})
		g.aggs = append(g.aggs, agg.Spec{Func: "LAST_VALUE", Args: []int{i}, ArgTypes: []vec.Type{c.typ}, Filter: -1, Type: t, Name: c.name})
	}
	exprs := make([]*expr.Expr, len(at))
	cols := make([]column, len(at))
	for i, j := range at {
		exprs[i] = g.colExpr(j)
		cols[i] = derive(g, exprs[i], in.cols[i].name)
	}
	s.ins[0] = g
	if c := calcOver(g, nil, exprs, cols, s.where, s.text); !identity(c, g) {
		s.ins[0] = c
	}
	return nil
}

func schemaNames(s *rel, cols []int) []string {
	out := make([]string, len(cols))
	for i, c := range cols {
		out[i] = s.sink.spec.Schema.Fields[c].Name
	}
	return out
}

// appendMode is the mode for rows that are only added: by primary key where there is one, else the best that the sink has.
func appendMode(modes []graph.ChangelogMode, keyed bool) graph.ChangelogMode {
	switch {
	case keyed && slices.Contains(modes, graph.Upsert):
		return graph.Upsert
	case slices.Contains(modes, graph.Append) || len(modes) == 0:
		return graph.Append
	default:
		return modes[0]
	}
}

// uniqueKey finds columns of r that identify its rows.
func uniqueKey(r *rel) ([]int, bool) {
	switch r.kind {
	case relGroup:
		key := make([]int, len(r.keys))
		for i := range key {
			key[i] = i
		}
		return key, true
	case relRank:
		key := slices.Clone(r.keys)
		if r.rank.limit-r.rank.offset == 1 {
			return key, true
		}
		return append(key, len(r.cols)-1), r.rank.number
	case relCalc:
		key, ok := uniqueKey(r.ins[0])
		if !ok || r.exprs == nil {
			return key, ok
		}
		for i, k := range key {
			key[i] = slices.IndexFunc(r.exprs, func(e *expr.Expr) bool { return e.Op == expr.OpCol && e.Col == k })
			if key[i] < 0 {
				return nil, false
			}
		}
		return key, true
	default:
		return nil, false
	}
}

func samePositions(a, b []int) bool { return containsAll(a, b) && containsAll(b, a) }

func containsAll(all, part []int) bool {
	for _, x := range part {
		if !slices.Contains(all, x) {
			return false
		}
	}
	return true
}

// changelogMode prints what row kinds a rel gives, for plans.
func changelogMode(r *rel, before bool) string {
	switch {
	case !updating(r):
		return "[I]"
	case before:
		return "[I,UB,UA,D]"
	default:
		return "[I,UA,D]"
	}
}
