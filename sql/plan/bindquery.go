package plan

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/sql/parse"
)

// env holds the CTEs that a query sees.
type env struct {
	up   *env
	name string
	rel  *rel
}

func (e *env) find(name string) *rel {
	for ; e != nil; e = e.up {
		if e.name == name {
			return e.rel
		}
	}
	return nil
}

func (e *env) names() (out []string) {
	for ; e != nil; e = e.up {
		out = append(out, e.name)
	}
	return out
}

var hintText = regexp.MustCompile(`(?s)/\*\+.*?\*/`)

// textMax bounds the SQL fragments in plans.
const textMax = 200

// text is the SQL of n on one line. Hints are left out: their options may hold secrets.
func (p *planner) text(n parse.Node) string {
	if n == nil {
		return ""
	}
	return shorten(strings.Join(strings.Fields(hintText.ReplaceAllString(p.ast.Text(n), " ")), " "), textMax)
}

// shorten cuts s to about n bytes, at a rune's start.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "..."
}

func sorted(s []string) []string { slices.Sort(s); return s }

// bindQuery binds a query with its CTEs.
func (p *planner) bindQuery(q *parse.Query, e *env) (*rel, error) {
	for _, c := range q.With {
		r, err := p.bindQuery(c.Query, e)
		if err != nil {
			return nil, err
		}
		if r, err = p.renamed(r, c.Columns, c.Name, c.Name.Name); err != nil {
			return nil, err
		}
		e = &env{up: e, name: c.Name.Name, rel: r}
	}
	r, err := p.bindBody(q.Body, e)
	var errs parse.ErrorList
	errs = appendErr(errs, err)
	if len(q.OrderBy) > 0 {
		errs = append(errs, p.errorf(q.OrderBy[0], "leave it out and sort where the result is read",
			"ORDER BY is not supported yet: a stream has no end to wait for"))
	}
	if l := q.Limit; l != nil || q.Offset != nil {
		if l == nil {
			l = q.Offset
		}
		errs = append(errs, p.errorf(l, "leave it out, or filter with WHERE", "LIMIT is not supported yet"))
	}
	return r, errs.Err()
}

func (p *planner) bindBody(body parse.QueryBody, e *env) (*rel, error) {
	switch body := body.(type) {
	case *parse.Select:
		return p.bindSelect(body, e)
	case *parse.SetOp:
		return p.bindSetOp(body, e)
	case *parse.Values:
		return p.bindValues(body)
	case *parse.Query:
		return p.bindQuery(body, e)
	default:
		return nil, p.errorf(startOf(p.ast), "", "this query is not supported")
	}
}

// bindFrom binds FROM; without one the input is a single row without columns.
func (p *planner) bindFrom(s *parse.Select, e *env) (*scope, error) {
	if s.From == nil {
		return newScope(&rel{kind: relValues, rows: [][]*expr.Expr{{}}, where: s, text: p.text(s)}, ""), nil
	}
	return p.bindFromItem(s.From, e)
}

// bindWhere binds WHERE and what of it belongs into the joins of FROM.
func (p *planner) bindWhere(s *parse.Select, sc *scope, e *env) (*scope, error) {
	var f *expr.Expr
	var subs []*subquery
	if s.Where != nil {
		rest := []parse.Expr{s.Where}
		if r, some := splitWhere(s.Where); len(some) > 0 {
			rest, subs = r, some
		}
		b := p.exprBinder(sc)
		b.clause = "WHERE"
		var errs parse.ErrorList
		for _, w := range rest {
			x, err := b.bindBool(w, "WHERE")
			if err != nil {
				errs = appendErr(errs, err)
				continue
			}
			f = and(f, x)
		}
		if len(errs) > 0 {
			return sc, errs
		}
	}
	r, err := p.narrow(s, sc, f, subs, e)
	if err != nil {
		return sc, err
	}
	return sc.over(r), nil
}

// bindSelect binds SELECT ... FROM ... WHERE ... GROUP BY ... HAVING.
func (p *planner) bindSelect(s *parse.Select, e *env) (*rel, error) {
	if err := p.refuseClauses(s); err != nil {
		return nil, err
	}
	sc, err := p.bindFrom(s, e)
	if err != nil {
		return nil, err
	}
	var errs parse.ErrorList
	sc, err = p.bindWhere(s, sc, e)
	errs = appendErr(errs, err)
	a := &aggregation{p: p, in: sc.rel, name: sc.name, ctx: &aggContext{}}
	errs = appendErr(errs, p.bindGroupBy(s, sc, a))
	exprs, cols, err := p.bindItems(s, sc, a.ctx)
	errs = appendErr(errs, err)
	having, err := p.bindHaving(s, sc, a.ctx)
	errs = appendErr(errs, err)
	if s.Qualify != nil {
		q, err := p.bindQualify(s, sc, a.ctx)
		errs = appendErr(errs, err)
		exprs = append(exprs, q) // a column more, on which the last filter is
	}
	if len(errs) > 0 {
		return nil, errs
	}
	r := sc.rel
	if s.GroupBy != nil || having != nil || len(a.ctx.calls) > 0 {
		if r, having, err = p.overAggregation(s, a, exprs, cols, having); err != nil {
			return nil, err
		}
	}
	if len(a.ctx.overs) > 0 {
		if having != nil {
			r, having = calcOver(r, having, nil, nil, s, p.text(s)), nil
		}
		if r, err = p.rank(s, a.ctx.overs, r, exprs); err != nil {
			return nil, err
		}
	}
	if s.Qualify != nil {
		n := len(exprs) - 1
		r, exprs = calcOver(r, and(having, exprs[n]), nil, nil, s.Qualify, p.text(s.Qualify)), exprs[:n]
		having = nil
	}
	for i := range cols {
		c := derive(r, exprs[i], cols[i].name)
		c.implicit = cols[i].implicit
		cols[i] = c
	}
	r = calcOver(r, having, exprs, cols, s, p.text(s))
	if s.Distinct {
		return p.distinct(r, s)
	}
	return r, nil
}

// refuseClauses reports what SELECT can hold but the engine cannot run.
func (p *planner) refuseClauses(s *parse.Select) error {
	if len(s.Windows) > 0 {
		w := s.Windows[0]
		return p.errorf(w, "group by TUMBLE, HOP, CUMULATE or SESSION windows", "OVER windows are not supported yet")
	}
	return nil
}

// overAggregation plans the aggregation and rewrites what stands above it, exprs in place.
func (p *planner) overAggregation(s *parse.Select, a *aggregation, exprs []*expr.Expr, cols []column, having *expr.Expr) (*rel, *expr.Expr, error) {
	if err := a.plan(p.groupNode(s), p.text(s)); err != nil {
		return nil, nil, err
	}
	var errs parse.ErrorList
	for i, e := range exprs {
		x, err := a.over(e)
		errs = appendErr(errs, err)
		exprs[i] = x
	}
	if having != nil {
		h, err := a.over(having)
		errs = appendErr(errs, err)
		having = h
	}
	for _, c := range a.ctx.overs {
		for i, e := range c.partition {
			x, err := a.over(e)
			errs = appendErr(errs, err)
			c.partition[i] = x
		}
		for i, o := range c.order {
			x, err := a.over(o.e)
			errs = appendErr(errs, err)
			c.order[i].e = x
		}
	}
	return a.out, having, errs.Err()
}

func (p *planner) groupNode(s *parse.Select) parse.Node {
	if s.GroupBy != nil {
		return s.GroupBy
	}
	return s
}

func (p *planner) bindHaving(s *parse.Select, sc *scope, ctx *aggContext) (*expr.Expr, error) {
	if s.Having == nil {
		return nil, nil
	}
	b := p.exprBinder(sc)
	b.agg, b.clause = ctx, "HAVING"
	return b.bindBool(s.Having, "HAVING")
}

// bindQualify binds QUALIFY, a condition on the rank of rows.
func (p *planner) bindQualify(s *parse.Select, sc *scope, ctx *aggContext) (*expr.Expr, error) {
	b := p.exprBinder(sc)
	b.agg = ctx
	e, err := b.bindBool(s.Qualify, "QUALIFY")
	if err == nil && len(ctx.overs) == 0 {
		err = p.errorf(s.Qualify, "use WHERE or HAVING", "QUALIFY needs a ROW_NUMBER")
	}
	return e, err
}

// bindItems binds the select list; stars are expanded.
func (p *planner) bindItems(s *parse.Select, sc *scope, ctx *aggContext) ([]*expr.Expr, []column, error) {
	b := p.exprBinder(sc)
	b.agg = ctx
	var exprs []*expr.Expr
	var cols []column
	var errs parse.ErrorList
	for _, it := range s.Items {
		if st, ok := it.Expr.(*parse.Star); ok {
			which, err := b.star(st)
			if err != nil {
				errs = appendErr(errs, err)
				continue
			}
			if s.From == nil {
				errs = append(errs, p.errorf(st, "", "* needs a FROM"))
			}
			for _, i := range which {
				e := sc.rel.colExpr(i)
				e.Line, e.Column = st.Pos().Line, st.Pos().Col
				exprs, cols = append(exprs, e), append(cols, sc.rel.cols[i])
			}
			continue
		}
		ctx.alias = ""
		if _, call := it.Expr.(*parse.Call); call && it.Alias != nil {
			ctx.alias = it.Alias.Name
		}
		x, err := b.bind(it.Expr)
		ctx.alias = ""
		if err != nil {
			errs = appendErr(errs, err)
			continue
		}
		name, implicit := itemName(it, len(cols))
		exprs, cols = append(exprs, x), append(cols, column{name: name, implicit: implicit})
	}
	return exprs, cols, errs.Err()
}

// star lists the columns of * or t.*.
func (b *exprBinder) star(st *parse.Star) ([]int, error) {
	if len(st.Qualifier) == 0 {
		return b.sc.expand(), nil
	}
	t, n := b.qualifier(append(slices.Clone(st.Qualifier), parse.Ident{}))
	if n != len(st.Qualifier) {
		return nil, b.p.errorf(st, parse.DidYouMean(dotted(st.Qualifier), b.sc.names()), "there is no table %q here", dotted(st.Qualifier))
	}
	var out []int
	for i := t.from; i < t.to; i++ {
		out = append(out, i)
	}
	return out, nil
}

// itemName is the alias, the column's own name, or Flink's EXPR$n.
func itemName(it *parse.SelectItem, i int) (name string, implicit bool) {
	if it.Alias != nil {
		return it.Alias.Name, false
	}
	switch e := it.Expr.(type) {
	case *parse.ColumnRef:
		return e.Parts[len(e.Parts)-1].Name, false
	case *parse.FieldAccess:
		return e.Field.Name, false
	}
	return fmt.Sprintf("EXPR$%d", i), true
}

// bindGroupBy binds the keys of GROUP BY.
func (p *planner) bindGroupBy(s *parse.Select, sc *scope, a *aggregation) error {
	if s.GroupBy == nil {
		return nil
	}
	var errs parse.ErrorList
	for _, it := range s.GroupBy.Items {
		if it.Kind != parse.GroupExpr && it.Kind != parse.GroupTuple {
			errs = append(errs, p.errorf(it, "write one INSERT a grouping, in a statement set", "GROUPING SETS, ROLLUP and CUBE are not supported yet"))
			continue
		}
		for _, e := range it.Exprs {
			errs = appendErr(errs, p.bindGroupKey(s, sc, a, e))
		}
	}
	return errs.Err()
}

func (p *planner) bindGroupKey(s *parse.Select, sc *scope, a *aggregation, e parse.Expr) error {
	b := p.exprBinder(sc)
	b.clause = "GROUP BY"
	if c, ok := e.(*parse.Call); ok && isGroupWindow(c.FuncName()) {
		g, err := b.bindGroupWindow(c)
		if err != nil {
			return err
		}
		if a.ctx.group != nil {
			return p.errorf(c, "", "GROUP BY has more than one window")
		}
		a.ctx.group = g
		return nil
	}
	if n, ok := e.(*parse.Number); ok {
		return p.errorf(n, "repeat the expression of the select list", "GROUP BY %s groups by a constant, not by a column's position", n.Text)
	}
	x, err := b.bind(e)
	if err != nil {
		if ref, ok := e.(*parse.ColumnRef); ok && len(ref.Parts) == 1 && indexOf(sc.rel.cols, ref.Parts[0].Name) < 0 {
			for _, it := range s.Items {
				if it.Alias != nil && it.Alias.Name == ref.Parts[0].Name {
					return p.errorf(e, "repeat its expression, "+shorten(p.text(it.Expr), 80), "GROUP BY cannot use the alias %q", it.Alias.Name)
				}
			}
		}
		return err
	}
	k := groupKey{e: x, node: e}
	if x.Op == expr.OpCol {
		k.role = sc.rel.cols[x.Col].role
	}
	if err := p.checkKeyType(x.Type, e); err != nil {
		return err
	}
	a.keys = append(a.keys, k)
	return nil
}

func (p *planner) checkKeyType(t vec.Type, n parse.Node) error {
	if t.Kind == vec.Map || t.Kind == vec.Null {
		return p.errorf(n, "", "%s cannot be a key", t.Nullable())
	}
	return nil
}

// distinct groups by all columns.
func (p *planner) distinct(r *rel, where parse.Node) (*rel, error) {
	a := &aggregation{p: p, in: r, ctx: &aggContext{}}
	for i, c := range r.cols {
		if err := p.checkKeyType(c.typ, where); err != nil {
			return nil, err
		}
		a.keys = append(a.keys, groupKey{e: r.colExpr(i), role: c.role, node: &parse.ColumnRef{Span: where.Pos(), Parts: []parse.Ident{{Name: c.name}}}})
	}
	if err := a.plan(where, p.text(where)); err != nil {
		return nil, err
	}
	exprs := make([]*expr.Expr, len(r.cols))
	cols := make([]column, len(r.cols))
	for i, c := range r.cols {
		exprs[i] = a.out.colExpr(a.keyCol[exprKey(r.colExpr(i))])
		cols[i] = derive(a.out, exprs[i], c.name)
	}
	return calcOver(a.out, nil, exprs, cols, where, p.text(where)), nil
}

func (p *planner) bindSetOp(s *parse.SetOp, e *env) (*rel, error) {
	if s.Op != parse.SetUnion {
		name := map[parse.SetOpKind]string{parse.SetIntersect: "INTERSECT", parse.SetExcept: "EXCEPT"}[s.Op]
		return nil, p.errorf(s.Right, "filter with WHERE", "%s is not supported yet", name)
	}
	var errs parse.ErrorList
	l, err := p.bindBody(s.Left, e)
	errs = appendErr(errs, err)
	r, err := p.bindBody(s.Right, e)
	errs = appendErr(errs, err)
	if len(errs) > 0 {
		return nil, errs
	}
	u, err := p.union(s, l, r)
	if err != nil || s.All {
		return u, err
	}
	return p.distinct(u, s)
}

// unionInputsMax bounds nested unions of the same views, whose inputs multiply.
const unionInputsMax = 1000

// union makes UNION ALL of rels, casting columns to their common types.
func (p *planner) union(where parse.Node, in ...*rel) (*rel, error) {
	n := len(in[0].cols)
	u := &rel{kind: relUnion, where: where, text: p.text(where)}
	for _, r := range in {
		if len(r.cols) != n {
			return nil, p.errorf(where, "", "UNION needs as many columns on both sides, not %d and %d", n, len(r.cols))
		}
	}
	for i := range n {
		types := make([]vec.Type, len(in))
		for j, r := range in {
			types[j] = r.cols[i].typ
		}
		t, err := expr.CommonType(types...)
		if err != nil {
			return nil, p.errorf(where, "cast one of them", "column %d (%q) of UNION: %v", i+1, in[0].cols[i].name, err)
		}
		c := column{name: in[0].cols[i].name, typ: t, attr: in[0].cols[i].attr}
		for _, r := range in {
			if r.cols[i].attr != c.attr || !r.cols[i].typ.Equal(t) {
				c.attr = attrNone
			}
		}
		u.cols = append(u.cols, c)
	}
	for _, r := range in {
		cast, err := p.castTo(r, u.cols, where)
		if err != nil {
			return nil, err
		}
		if cast.kind == relUnion {
			u.ins = append(u.ins, cast.ins...)
		} else {
			u.ins = append(u.ins, cast)
		}
	}
	if len(u.ins) > unionInputsMax {
		return nil, p.errorf(where, "", "UNION ALL of more than %d inputs", unionInputsMax)
	}
	return u, nil
}

// castTo returns r with columns of the types of cols; r itself when they are.
func (p *planner) castTo(r *rel, cols []column, where parse.Node) (*rel, error) {
	same := true
	exprs := make([]*expr.Expr, len(cols))
	out := make([]column, len(cols))
	for i := range cols {
		e, err := expr.ImplicitCast(r.colExpr(i), cols[i].typ.Nullable())
		if err != nil {
			return nil, p.errorf(where, "", "column %d (%q): %v", i+1, r.cols[i].name, err)
		}
		same = same && e.Op == expr.OpCol
		exprs[i], out[i] = e, derive(r, e, r.cols[i].name)
	}
	if same {
		return r, nil
	}
	return calcOver(r, nil, exprs, out, where, r.text), nil
}

func (p *planner) bindValues(v *parse.Values) (*rel, error) {
	b := p.exprBinder(newScope(&rel{kind: relValues}, ""))
	r := &rel{kind: relValues, where: v, text: p.text(v)}
	var errs parse.ErrorList
	for _, row := range v.Rows {
		if len(row.Elems) != len(v.Rows[0].Elems) {
			errs = append(errs, p.errorf(row, "", "this row has %d values, the first has %d", len(row.Elems), len(v.Rows[0].Elems)))
			continue
		}
		xs, err := b.bindAll(row.Elems...)
		errs = appendErr(errs, err)
		r.rows = append(r.rows, xs)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	for i := range v.Rows[0].Elems {
		types := make([]vec.Type, len(r.rows))
		for j, row := range r.rows {
			types[j] = row[i].Type
		}
		t, err := expr.CommonType(types...)
		if err != nil {
			return nil, p.errorf(v.Rows[0].Elems[i], "cast them", "column %d of VALUES: %v", i+1, err)
		}
		for j, row := range r.rows {
			if row[i], err = expr.ImplicitCast(row[i], t.Nullable()); err != nil {
				return nil, p.errorf(v.Rows[j].Elems[i], "", "%v", err)
			}
		}
		r.cols = append(r.cols, column{name: fmt.Sprintf("EXPR$%d", i), typ: t, implicit: true})
	}
	return r, nil
}

// bindTableRef binds an item of FROM; the name is what its columns can be qualified with.
func (p *planner) bindTableRef(t parse.TableRef, e *env) (*rel, string, error) {
	var r *rel
	var name string
	var alias *parse.Alias
	var err error
	switch t := t.(type) {
	case *parse.Table:
		if t.AsOf != nil {
			return nil, "", p.errorf(t.AsOf, "join a table that is read as a stream", "FOR SYSTEM_TIME AS OF is not supported yet")
		}
		alias = t.Alias
		r, name, err = p.bindTable(t, e)
	case *parse.Subquery:
		if t.Lateral {
			return nil, "", p.errorf(t, "join on the columns that the query would use", "LATERAL is not supported yet")
		}
		alias = t.Alias
		r, err = p.bindQuery(t.Query, e)
	case *parse.TableFunc:
		if t.Lateral {
			return nil, "", p.errorf(t, "", "LATERAL TABLE functions are not supported yet")
		}
		alias = t.Alias
		r, name, err = p.bindWindowFunction(t, e)
	case *parse.Unnest:
		return nil, "", p.errorf(t, "access elements by their index, as in a[1]", "UNNEST is not supported yet")
	case *parse.MatchRecognize:
		return nil, "", p.errorf(t.KindPos, "", "MATCH_RECOGNIZE is not supported yet")
	default:
		return nil, "", p.errorf(t, "", "this is not supported in FROM")
	}
	if err != nil || alias == nil {
		return r, name, err
	}
	r, err = p.renamed(r, alias.Columns, alias, alias.Name.Name)
	return r, alias.Name.Name, err
}

// bindTable finds a CTE, a view or a table.
func (p *planner) bindTable(t *parse.Table, e *env) (*rel, string, error) {
	name, ok := tableName(t.Name)
	if len(t.Name.Parts) == 1 {
		if r := e.find(name); r != nil {
			return r, name, nil
		}
	}
	if !ok || !p.cat.has(name) {
		return nil, "", p.noTable(t.Name, e.names()...)
	}
	if v := p.cat.views[name]; v != nil {
		for _, h := range t.Hints {
			if h.Name == "OPTIONS" {
				return nil, "", p.errorf(h, "", "OPTIONS has no use on a view")
			}
		}
		if v.rel == nil {
			return nil, "", errReported
		}
		return v.rel, name, nil
	}
	r, err := p.scan(p.cat.tables[name], t)
	return r, name, err
}
