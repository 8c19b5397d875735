package plan

import (
	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/sql/parse"
)

// outerBase is where the columns begin that a subquery takes from the query around it.
const outerBase = 1 << 23

// subquery is a condition of WHERE that asks whether a query has rows: IN and EXISTS.
type subquery struct {
	query *parse.Query
	// args are what IN compares with the query's columns; nil for EXISTS.
	args []parse.Expr
	not  bool
	node parse.Expr
}

// asSubquery recognises a condition of WHERE.
func asSubquery(e parse.Expr) *subquery {
	switch e := e.(type) {
	case *parse.In:
		if e.Query == nil {
			return nil
		}
		args := []parse.Expr{e.X}
		if row, ok := e.X.(*parse.Row); ok && !row.Explicit {
			args = row.Elems
		}
		return &subquery{query: e.Query, args: args, not: e.Not, node: e}
	case *parse.Exists:
		return &subquery{query: e.Query, node: e}
	case *parse.Unary:
		if s := asSubquery(e.X); e.Op == parse.OpNot && s != nil {
			s.not = !s.not
			return s
		}
	}
	return nil
}

// splitWhere takes the subqueries out of a condition: those that are joined to the rest by AND.
func splitWhere(e parse.Expr) (rest []parse.Expr, subs []*subquery) {
	if b, ok := e.(*parse.Binary); ok && b.Op == parse.OpAnd {
		rest, subs = splitWhere(b.L)
		r, s := splitWhere(b.R)
		return append(rest, r...), append(subs, s...)
	}
	if s := asSubquery(e); s != nil {
		return nil, []*subquery{s}
	}
	return []parse.Expr{e}, nil
}

// bindSubquery joins r, the rows of sc, with a subquery: a semi join keeps those for which it has rows, an anti join the others.
func (p *planner) bindSubquery(s *subquery, sc *scope, e *env) (*rel, error) {
	if s.not && s.args != nil {
		return nil, p.errorf(s.node, "write NOT EXISTS (SELECT ... WHERE ... = ...), which says what NULL means", "NOT IN with a query is not supported yet")
	}
	in, eqs, cond, err := p.subqueryRows(s, sc, e)
	if err != nil {
		return nil, err
	}
	n := len(sc.rel.cols)
	moved := func(i int) int {
		if i >= outerBase {
			return i - outerBase
		}
		return i + n
	}
	if cond != nil {
		cond = cond.MapColumns(moved)
	}
	b := p.exprBinder(sc)
	b.clause = "WHERE"
	for i, a := range s.args {
		x, err := b.bind(a)
		if err != nil {
			return nil, err
		}
		eq, err := expr.Call("=", x, eqs[i].MapColumns(moved))
		if err != nil {
			return nil, p.at(a, err)
		}
		cond = and(cond, eq)
	}
	typ := graph.SemiJoin
	if s.not {
		typ = graph.AntiJoin
	}
	j := p.leftOnly(p.newJoin(typ, sc.rel, in, s.node))
	j.join.cond = cond
	out, _, err := p.settle(j, nil)
	return out, err
}

// subqueryRows binds the query of a subquery: its rows, the expressions over them that IN compares with, and its conditions that are about rows of the
// query around it, whose columns are outerBase and up.
func (p *planner) subqueryRows(s *subquery, outer *scope, e *env) (in *rel, eqs []*expr.Expr, cond *expr.Expr, err error) {
	sel, ok := s.query.Body.(*parse.Select)
	plain := ok && len(s.query.With) == 0 && sel.GroupBy == nil && sel.Having == nil && sel.Qualify == nil && sel.From != nil && len(s.query.OrderBy) == 0 && s.query.Limit == nil && s.query.Offset == nil
	if plain && p.refuseClauses(sel) == nil {
		in, eqs, cond, plain, err = p.plainSubquery(s, sel, outer, e)
		if plain {
			return in, eqs, cond, err
		}
	}
	if in, err = p.bindQuery(s.query, e); err != nil {
		return nil, nil, nil, err
	}
	for i := range in.cols {
		eqs = append(eqs, in.colExpr(i))
	}
	return in, eqs, nil, p.checkArgs(s, len(eqs))
}

func (p *planner) checkArgs(s *subquery, n int) error {
	if s.args != nil && len(s.args) != n {
		return p.errorf(s.node, "", "IN compares %d columns with a query of %d", len(s.args), n)
	}
	return nil
}

// plainSubquery binds a SELECT without aggregates, whose WHERE may be about the query around it; plain is false when it has aggregates.
func (p *planner) plainSubquery(s *subquery, sel *parse.Select, outer *scope, e *env) (in *rel, eqs []*expr.Expr, cond *expr.Expr, plain bool, err error) {
	sc, err := p.bindFrom(sel, e)
	if err != nil {
		return nil, nil, nil, true, err
	}
	ctx := &aggContext{}
	if s.args != nil {
		if eqs, _, err = p.bindItems(sel, sc, ctx); err != nil {
			return nil, nil, nil, true, err
		}
		if len(ctx.calls)+len(ctx.overs) > 0 {
			return nil, nil, nil, false, nil
		}
		if err := p.checkArgs(s, len(eqs)); err != nil {
			return nil, nil, nil, true, err
		}
	} else if hasAggregates(sel) {
		return nil, nil, nil, false, nil
	}
	var rest []parse.Expr
	var subs []*subquery
	if sel.Where != nil {
		rest, subs = splitWhere(sel.Where)
	}
	var filter *expr.Expr
	for _, w := range rest {
		b := p.exprBinder(sc)
		b.clause, b.outer = "WHERE", outer
		x, err := b.bindBool(w, "WHERE")
		if err != nil {
			return nil, nil, nil, true, err
		}
		around := false
		x.Walk(func(c *expr.Expr) { around = around || c.Op == expr.OpCol && c.Col >= outerBase })
		if around {
			cond = and(cond, x)
		} else {
			filter = and(filter, x)
		}
	}
	if in, err = p.narrow(sel, sc, filter, subs, e); err != nil {
		return nil, nil, nil, true, err
	}
	return in, eqs, cond, true, nil
}

// hasAggregates reports a select list that makes one row of many: EXISTS of it always holds, which a semi join would not say.
func hasAggregates(sel *parse.Select) bool {
	found := false
	for _, it := range sel.Items {
		if c, ok := it.Expr.(*parse.Call); ok {
			_, agg := aggregateName(c.FuncName())
			found = found || agg || c.Over != nil
		}
	}
	return found
}

// narrow applies WHERE to a scope: filter, then the subqueries.
func (p *planner) narrow(s *parse.Select, sc *scope, filter *expr.Expr, subs []*subquery, e *env) (*rel, error) {
	r, f, err := p.settle(sc.rel, filter)
	if err != nil {
		return nil, err
	}
	if f != nil {
		r = calcOver(r, f, nil, nil, s.Where, p.text(s.Where))
	}
	for _, q := range subs {
		if r, err = p.bindSubquery(q, sc.over(r), e); err != nil {
			return nil, err
		}
	}
	return r, nil
}
