package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/sql/parse"
)

// Aggregates and window bounds stand for columns past any input's until the aggregation's output is known.
const (
	aggBase = 1 << 20
	winBase = 1 << 21
)

// Offsets of the window columns behind an aggregation's keys and aggregates.
const (
	winStart = iota
	winEnd
	winTime
	winCols
)

// aggContext gathers the aggregates of a SELECT.
type aggContext struct {
	calls []*aggCall
	// group is the group window of GROUP BY TUMBLE(...), nil without.
	group *groupWindow
	// overs are the calls of ROW_NUMBER.
	overs []*overCall
	// names are the columns' names by aggregate: the alias where the call is all of a select item.
	alias string
}

// aggCall is one aggregate, with arguments over the SELECT's input.
type aggCall struct {
	fn       string
	args     []*expr.Expr
	filter   *expr.Expr
	distinct bool
	sep      string
	typ      vec.Type
	name     string
}

func (c *aggCall) key() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %t %q", c.fn, c.distinct, c.sep)
	for _, a := range c.args {
		b.WriteString("," + exprKey(a))
	}
	if c.filter != nil {
		b.WriteString("|" + exprKey(c.filter))
	}
	return b.String()
}

// otherAggregates are Flink's that we do not have: they get a clearer error than an unknown function.
var otherAggregates = []string{
	"COLLECT", "ARRAY_AGG", "ROW_NUMBER", "RANK", "DENSE_RANK", "PERCENT_RANK", "CUME_DIST", "NTILE", "LAG", "LEAD", "PERCENTILE",
	"JSON_OBJECTAGG", "JSON_ARRAYAGG", "GROUPING", "GROUPING_ID", "APPROX_COUNT_DISTINCT",
}

var aggAliases = map[string]string{
	"STDDEV": "STDDEV_SAMP", "VARIANCE": "VAR_SAMP", "STRING_AGG": "LISTAGG",
}

func aggregateName(name string) (string, bool) {
	if a := aggAliases[name]; a != "" {
		return a, true
	}
	return name, slices.Contains(agg.Functions(), name)
}

// function binds a call: scalar, aggregate, or the bounds of a group window.
func (b *exprBinder) function(e *parse.Call) (*expr.Expr, error) {
	name := e.FuncName()
	if e.Over != nil {
		return b.over(e)
	}
	if fn, ok := aggregateName(name); ok {
		return b.aggregate(e, fn)
	}
	if slices.Contains(otherAggregates, name) {
		return nil, b.p.errorf(e, "supported are "+strings.Join(agg.Functions(), ", "), "the function %s is not supported yet", name)
	}
	if isGroupWindowFunction(name) {
		return b.groupWindowColumn(e, name)
	}
	switch {
	case e.Filter != nil || e.Distinct || e.OrderBy != nil || e.IgnoreNulls != nil:
		return nil, b.p.errorf(e, "", "%s is not an aggregate function: DISTINCT, FILTER, ORDER BY and NULLS mean nothing to it", name)
	case e.Star:
		return nil, b.p.errorf(e, "", "only COUNT takes *")
	}
	args := make([]parse.Expr, len(e.Args))
	for i, a := range e.Args {
		if a.Name != nil {
			return nil, b.p.errorf(a, "give the arguments in their order", "%s takes no named arguments", name)
		}
		args[i] = a.Value
	}
	xs, err := b.bindAll(args...)
	if err != nil {
		return nil, err
	}
	if name == "CURRENT_WATERMARK" && len(xs) == 1 && b.attrOf(xs[0]) != attrRow {
		return nil, b.p.errorf(e.Args[0], "", "CURRENT_WATERMARK takes a column with a watermark")
	}
	out, err := expr.Call(name, xs...)
	return out, b.unknownFunction(e, name, err)
}

func (b *exprBinder) unknownFunction(e *parse.Call, name string, err error) error {
	var unknown *expr.UnknownFunctionError
	if !errors.As(err, &unknown) {
		return err
	}
	names := append(expr.Functions(), agg.Functions()...)
	return b.p.errorf(e, parse.DidYouMean(name, names), "function %q does not exist", e.Name.Last())
}

// attrOf returns the time attribute that e is.
func (b *exprBinder) attrOf(e *expr.Expr) timeAttr {
	return derive(b.sc.rel, e, "").attr
}

// aggregate binds a call of an aggregate function; the result stands for its column.
func (b *exprBinder) aggregate(e *parse.Call, fn string) (*expr.Expr, error) {
	if b.agg == nil {
		hint := ""
		if b.clause == "WHERE" {
			hint = "use HAVING"
		}
		where := b.clause
		if where == "" {
			where = "this place"
		}
		return nil, b.p.errorf(e, hint, "the aggregate %s cannot stand in %s", fn, where)
	}
	if e.OrderBy != nil {
		return nil, b.p.errorf(e, "leave it out: values come in the order of arrival", "ORDER BY in %s is not supported yet", fn)
	}
	if e.IgnoreNulls != nil {
		return nil, b.p.errorf(e, "use FILTER (WHERE x IS NOT NULL)", "IGNORE NULLS and RESPECT NULLS are not supported")
	}
	if e.Star && fn != "COUNT" {
		return nil, b.p.errorf(e, "", "only COUNT takes *")
	}
	inner := &exprBinder{p: b.p, sc: b.sc, clause: "the argument of another aggregate"}
	c := &aggCall{fn: fn, distinct: e.Distinct}
	var errs parse.ErrorList
	for _, a := range e.Args {
		x, err := inner.bind(a.Value)
		errs = appendErr(errs, err)
		c.args = append(c.args, x)
	}
	if e.Filter != nil {
		f, err := inner.bindBool(e.Filter, "FILTER (WHERE ...)")
		errs = appendErr(errs, err)
		c.filter = f
	}
	if len(errs) > 0 {
		return nil, errs
	}
	if fn == "LISTAGG" {
		if err := b.listagg(e, c); err != nil {
			return nil, err
		}
	}
	if fn == "COUNT" && len(c.args) == 0 && !e.Star {
		return nil, b.p.errorf(e, "write COUNT(*)", "COUNT lacks its argument")
	}
	types := make([]vec.Type, len(c.args))
	for i, a := range c.args {
		types[i] = a.Type
	}
	t, err := agg.ResultType(fn, c.distinct, types)
	if err != nil {
		return nil, b.p.errorf(e, "", "%v", err)
	}
	c.typ, c.name = t, b.agg.alias
	return b.agg.add(c), nil
}

// listagg takes the separator out of the arguments.
func (b *exprBinder) listagg(e *parse.Call, c *aggCall) error {
	c.sep = ","
	if len(c.args) == 2 {
		sep, ok := constant(c.args[1])
		if !ok || sep.Type.Kind != vec.String || sep.Null {
			return b.p.errorf(e.Args[1], "", "the separator of LISTAGG must be a constant string")
		}
		c.sep, c.args = sep.Lit, c.args[:1]
	}
	return nil
}

// add registers an aggregate, once for equal ones.
func (a *aggContext) add(c *aggCall) *expr.Expr {
	for i, have := range a.calls {
		if have.key() == c.key() {
			return expr.Column(aggBase+i, have.fn, have.typ)
		}
	}
	a.calls = append(a.calls, c)
	return expr.Column(aggBase+len(a.calls)-1, c.fn, c.typ)
}

// groupKey is one expression of GROUP BY.
type groupKey struct {
	e    *expr.Expr
	role winRole
	node parse.Expr
}

// aggregation is a GROUP BY being bound: where its expressions over the input go in its output.
type aggregation struct {
	p    *planner
	in   *rel
	name string // of the input, for errors
	keys []groupKey
	ctx  *aggContext
	// set by plan
	out    *rel
	keyCol map[string]int // by exprKey
	nKeys  int
}

// plan builds the aggregation over a pre-projection.
func (a *aggregation) plan(where parse.Node, text string) error {
	win, err := a.window(where)
	if err != nil {
		return err
	}
	pre := &projection{in: a.in}
	var keys []int
	var keyCols []column
	for i, k := range a.keys {
		if k.role != roleNone && win != nil {
			continue
		}
		name := k.e.Name
		if k.e.Op != expr.OpCol {
			name = fmt.Sprintf("key%d", i)
		}
		c := derive(a.in, k.e, name)
		c.attr, c.role, c.win = attrNone, roleNone, nil
		keys, keyCols = append(keys, pre.add(k.e, name)), append(keyCols, c)
	}
	specs := a.specs(pre)
	a.nKeys = len(keys)
	if win != nil {
		a.placeWindow(win, pre)
		if err := a.p.routeLate(win, a.in, pre, where); err != nil {
			return err
		}
	}
	a.out = &rel{kind: relGroup, keys: keys, aggs: specs, cols: keyCols, where: where, text: text, windows: win}
	for _, s := range specs {
		a.out.cols = append(a.out.cols, column{name: s.Name, typ: s.Type})
	}
	if win != nil {
		a.out.kind = relWindow
		a.out.cols = append(a.out.cols, windowColumns(win)...)
	}
	a.out.ins = []*rel{pre.rel(where, text)}
	a.mapKeys(win != nil)
	return nil
}

// specs turns the calls into columns of the pre-projection.
func (a *aggregation) specs(pre *projection) []agg.Spec {
	specs := make([]agg.Spec, 0, len(a.ctx.calls))
	used := map[string]bool{}
	for i, c := range a.ctx.calls {
		s := agg.Spec{Func: c.fn, Distinct: c.distinct, Filter: -1, Separator: c.sep, Type: c.typ, Name: c.name}
		for _, x := range c.args {
			s.Args = append(s.Args, pre.add(x, fmt.Sprintf("arg%d", i)))
			s.ArgTypes = append(s.ArgTypes, x.Type)
		}
		if c.filter != nil {
			s.Filter = pre.add(c.filter, fmt.Sprintf("filter%d", i))
		}
		if s.Name == "" || used[s.Name] {
			s.Name = fmt.Sprintf("%s%d", strings.ToLower(c.fn), i)
		}
		used[s.Name] = true
		specs = append(specs, s)
	}
	return specs
}

// placeWindow gives the windowing its columns in the pre-projection.
func (a *aggregation) placeWindow(w *windowSpec, pre *projection) {
	if w.Kind == graph.Attached {
		w.StartCol = pre.add(a.in.colExpr(w.StartCol), "")
		w.EndCol = pre.add(a.in.colExpr(w.EndCol), "")
		if !w.proc {
			w.TimeCol = w.EndCol
		}
		return
	}
	if !w.proc {
		w.TimeCol = pre.add(a.in.colExpr(w.TimeCol), "")
	}
}

// window finds out over which windows the keys aggregate; nil means over none.
func (a *aggregation) window(where parse.Node) (*windowSpec, error) {
	if g := a.ctx.group; g != nil {
		// The bounds of older windows are plain keys here.
		for i := range a.keys {
			a.keys[i].role = roleNone
		}
		if updating(a.in) {
			return nil, a.p.windowOverUpdates(g.node, a.name)
		}
		w := g.spec
		return &w, nil
	}
	cols := [3]int{-1, -1, -1}
	var win *winInfo
	for _, k := range a.keys {
		if k.role == roleNone {
			continue
		}
		info := a.in.cols[k.e.Col].win
		if win != nil && info != win {
			return nil, a.p.errorf(k.node, "", "GROUP BY mixes the bounds of different windows")
		}
		win = info
		cols[k.role-roleStart] = k.e.Col
	}
	if win == nil {
		if info := directWindow(a.in); info != nil {
			return nil, a.p.errorf(where, "add window_start, window_end to GROUP BY", "the rows have windows, but GROUP BY does not name them")
		}
		return nil, nil
	}
	if cols[0] < 0 || cols[1] < 0 {
		if cols[0] < 0 && cols[1] < 0 || win.direct {
			return nil, a.p.errorf(a.windowKey().node, "group by both window_start and window_end", "GROUP BY names only a part of the window")
		}
		return nil, a.p.errorf(a.windowKey().node, "group by both window_start and window_end", "GROUP BY names only one bound of the window")
	}
	if updating(a.in) {
		return nil, a.p.windowOverUpdates(where, a.name)
	}
	w := &windowSpec{proc: win.proc}
	w.Windowing = graph.Windowing{Kind: graph.Attached, StartCol: cols[0], EndCol: cols[1], TimeCol: cols[1], LTZ: win.ltz}
	if win.proc {
		w.TimeCol = -1
	}
	return w, nil
}

func (a *aggregation) windowKey() groupKey {
	for _, k := range a.keys {
		if k.role != roleNone {
			return k
		}
	}
	return a.keys[0]
}

// directWindow returns the windows that a window function gave to the rows of r, if it is still to be aggregated.
func directWindow(r *rel) *winInfo {
	for _, c := range r.cols {
		if c.win != nil && c.win.direct {
			return c.win
		}
	}
	return nil
}

// windowColumns describes what a window aggregation or a window function appends.
func windowColumns(w *windowSpec) []column {
	info := &winInfo{proc: w.proc, ltz: w.LTZ}
	bound := vec.TypeTimestamp
	bound.NotNull = true
	at := bound
	attr := attrRow
	if w.LTZ || w.proc {
		at = vec.TypeTimestampLTZ
		at.NotNull = true
	}
	if w.proc {
		attr = attrProc
	}
	return []column{
		{name: "window_start", typ: bound, role: roleStart, win: info},
		{name: "window_end", typ: bound, role: roleEnd, win: info},
		{name: "window_time", typ: at, attr: attr, role: roleTime, win: info},
	}
}

// mapKeys notes where each key is in the output.
func (a *aggregation) mapKeys(windowed bool) {
	a.keyCol = map[string]int{}
	next := 0
	for _, k := range a.keys {
		col := next
		if windowed && k.role != roleNone {
			col = a.nKeys + len(a.ctx.calls) + int(k.role-roleStart)
		} else {
			next++
		}
		if _, dup := a.keyCol[exprKey(k.e)]; !dup {
			a.keyCol[exprKey(k.e)] = col
		}
	}
}

// over rewrites an expression of the select list or HAVING to one over the aggregation's output.
func (a *aggregation) over(e *expr.Expr) (*expr.Expr, error) {
	if i, ok := a.keyCol[exprKey(e)]; ok {
		return a.out.colExpr(i), nil
	}
	if e.Op == expr.OpCol {
		switch {
		case e.Col >= overBase:
			return e, nil
		case e.Col >= winBase:
			return a.out.colExpr(a.nKeys + len(a.ctx.calls) + e.Col - winBase), nil
		case e.Col >= aggBase:
			return a.out.colExpr(a.nKeys + e.Col - aggBase), nil
		}
		at := parse.Span{Line: e.Line, Col: e.Column}
		hint := "group by it, or aggregate it"
		if a.in.cols[e.Col].role != roleNone {
			hint = "add it to GROUP BY"
		}
		return nil, a.p.errorf(at, hint, "column %q is neither in GROUP BY nor inside an aggregate", a.in.cols[e.Col].name)
	}
	if len(e.Args) == 0 {
		return e, nil
	}
	c := *e
	c.Args = make([]*expr.Expr, len(e.Args))
	for i, x := range e.Args {
		y, err := a.over(x)
		if err != nil {
			return nil, err
		}
		c.Args[i] = y
	}
	return &c, nil
}

// projection gathers the expressions that an operator needs as columns.
type projection struct {
	in    *rel
	exprs []*expr.Expr
	names []string
	index map[string]int
}

// add returns the output column of e, the same for equal expressions.
func (p *projection) add(e *expr.Expr, name string) int {
	if p.index == nil {
		p.index = map[string]int{}
	}
	k := exprKey(e)
	if i, ok := p.index[k]; ok {
		return i
	}
	if e.Op == expr.OpCol {
		name = p.in.cols[e.Col].name
	}
	p.index[k] = len(p.exprs)
	p.exprs, p.names = append(p.exprs, e), append(p.names, name)
	return len(p.exprs) - 1
}

// rel returns the calc that computes the projection. Without expressions (COUNT(*) alone) it is the input itself.
func (p *projection) rel(where parse.Node, text string) *rel {
	if len(p.exprs) == 0 {
		return p.in
	}
	cols := make([]column, len(p.exprs))
	for i, e := range p.exprs {
		cols[i] = derive(p.in, e, p.names[i])
	}
	return calcOver(p.in, nil, p.exprs, cols, where, text)
}
