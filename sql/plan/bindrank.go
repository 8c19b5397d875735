package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/sql/parse"
)

// overBase is where the columns begin that stand for ROW_NUMBER() until its operator is known.
const overBase = 1 << 22

// overCall is ROW_NUMBER() OVER (PARTITION BY ... ORDER BY ...), over the SELECT's input, or what its aggregation gives.
type overCall struct {
	partition []*expr.Expr
	order     []orderKey
	node      *parse.Call
}

type orderKey struct {
	e               *expr.Expr
	desc, nullsLast bool
}

// rankSpec is what a relRank does.
type rankSpec struct {
	order []graph.RankKey
	// limit is the last rank that is given, offset the one before the first; limit 0 is not known yet: the filter above says it.
	offset, limit int64
	// number says that the last column is the rank.
	number bool
	// window says that the partitions are of windows, whose end is endCol.
	window bool
	endCol int
	ltz    bool
}

// over binds a call with OVER.
func (b *exprBinder) over(e *parse.Call) (*expr.Expr, error) {
	name := e.FuncName()
	switch {
	case name == "RANK" || name == "DENSE_RANK":
		return nil, b.p.errorf(e, "use ROW_NUMBER", "%s is not supported yet", name)
	case name != "ROW_NUMBER":
		return nil, b.p.errorf(e, "aggregate over a window: GROUP BY window_start, window_end with TUMBLE, HOP, CUMULATE or SESSION",
			"OVER is supported for ROW_NUMBER only")
	case b.agg == nil || b.clause != "":
		return nil, b.p.errorf(e, "select it in a subquery, and filter around it", "ROW_NUMBER can only stand in a select list")
	case len(e.Args) > 0 || e.Star:
		return nil, b.p.errorf(e, "", "ROW_NUMBER takes no arguments")
	case e.Over.Ref != nil:
		return nil, b.p.errorf(e, "write PARTITION BY and ORDER BY into OVER", "named windows are not supported yet")
	case e.Over.Frame != nil:
		return nil, b.p.errorf(e.Over.Frame, "", "ROW_NUMBER takes no frame")
	case len(e.Over.OrderBy) == 0:
		return nil, b.p.errorf(e.Over, "", "ROW_NUMBER needs an ORDER BY")
	}
	c := &overCall{node: e}
	var errs parse.ErrorList
	for _, x := range e.Over.PartitionBy {
		k, err := b.bind(x)
		if err == nil {
			err = b.p.checkKeyType(k.Type, x)
		}
		errs = appendErr(errs, err)
		c.partition = append(c.partition, k)
	}
	for _, it := range e.Over.OrderBy {
		k, err := b.bind(it.Expr)
		if err == nil && (k.Type.Kind.IsNested() || k.Type.Kind == vec.Null) {
			err = b.p.errorf(it, "", "rows cannot be ordered by %s", k.Type.Nullable())
		}
		errs = appendErr(errs, err)
		o := orderKey{e: k, desc: it.Desc, nullsLast: it.Desc} // NULL is below all values, as in Flink
		if it.NullsFirst != nil {
			o.nullsLast = !*it.NullsFirst
		}
		c.order = append(c.order, o)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	b.agg.overs = append(b.agg.overs, c)
	t := vec.TypeInt64
	t.NotNull = true
	return expr.Column(overBase+len(b.agg.overs)-1, "ROW_NUMBER", t), nil
}

// key is equal for equal windows.
func (c *overCall) key() string {
	var s strings.Builder
	for _, x := range c.partition {
		s.WriteString(exprKey(x) + ",")
	}
	for _, o := range c.order {
		fmt.Fprintf(&s, "|%s %t %t", exprKey(o.e), o.desc, o.nullsLast)
	}
	return s.String()
}

// rank puts the operator that numbers rows over r, and replaces in exprs, in place, what stands for the number.
func (p *planner) rank(s *parse.Select, calls []*overCall, r *rel, exprs []*expr.Expr) (*rel, error) {
	c := calls[0]
	for _, other := range calls[1:] {
		if other.key() != c.key() {
			return nil, p.errorf(other.node, "number the rows in a query around this one", "one SELECT numbers rows in one order only")
		}
	}
	pre := &projection{in: r}
	for i := range r.cols {
		pre.add(r.colExpr(i), "")
	}
	spec := &rankSpec{number: true}
	var keys []int
	var bounds [3]int
	var win *winInfo
	for i, x := range c.partition {
		k := pre.add(x, "partition"+strconv.Itoa(i)+"$")
		keys = append(keys, k)
		if x.Op == expr.OpCol && x.Col < len(r.cols) {
			if col := r.cols[x.Col]; col.role != roleNone && col.win != nil && !col.win.proc && (win == nil || win == col.win) {
				win = col.win
				bounds[col.role-roleStart] = k + 1
			}
		}
	}
	for i, o := range c.order {
		spec.order = append(spec.order, graph.RankKey{Col: pre.add(o.e, "order"+strconv.Itoa(i)+"$"), Desc: o.desc, NullsLast: o.nullsLast})
	}
	if win != nil && bounds[0] > 0 && bounds[1] > 0 && !updating(r) {
		spec.window, spec.endCol, spec.ltz = true, bounds[1]-1, win.ltz
	}
	in := pre.rel(c.node, p.text(c.node))
	out := &rel{kind: relRank, ins: []*rel{in}, keys: keys, rank: spec, where: c.node, text: p.text(c.node)}
	for _, col := range in.cols {
		if !spec.window || col.role == roleNone || col.win != win {
			// Rows that are given and taken back later have no time that watermarks speak of.
			col.attr, col.role, col.win = attrNone, roleNone, nil
		}
		out.cols = append(out.cols, col)
	}
	if spec.window {
		info := &winInfo{ltz: win.ltz}
		for i := range out.cols {
			if out.cols[i].win != nil {
				out.cols[i].win = info
			}
		}
	}
	t := vec.TypeInt64
	t.NotNull = true
	out.cols = append(out.cols, column{name: "row_number$", typ: t})
	number := out.colExpr(len(out.cols) - 1)
	for i, e := range exprs {
		exprs[i] = mapOver(e, number)
	}
	return out, nil
}

// mapOver replaces what stands for the number of a row.
func mapOver(e, number *expr.Expr) *expr.Expr {
	if e.Op == expr.OpCol && e.Col >= overBase {
		return number
	}
	if len(e.Args) == 0 {
		return e
	}
	c := *e
	c.Args = make([]*expr.Expr, len(e.Args))
	for i, a := range e.Args {
		c.Args[i] = mapOver(a, number)
	}
	return &c
}

// pushRank moves conditions on the rank into a rank below a filter, and those on the partition below it.
func pushRank(r, in *rel) *rel {
	if r.filter == nil {
		return r
	}
	spec := *in.rank
	var below, above *expr.Expr
	changed := false
	for _, c := range conjuncts(r.filter) {
		if spec.number && spec.bound(c, len(in.cols)-1) {
			changed = true
			continue
		}
		keys := expr.IsDeterministic(c)
		c.Walk(func(x *expr.Expr) { keys = keys && (x.Op != expr.OpCol || slices.Contains(in.keys, x.Col)) })
		if keys && len(in.keys) > 0 {
			below, changed = and(below, c), true
		} else {
			above = and(above, c)
		}
	}
	if !changed {
		return r
	}
	a := *in
	a.rank = &spec
	if below != nil {
		a.ins = []*rel{calcOver(in.ins[0], below, nil, nil, r.where, r.text)}
	}
	n := *r
	n.ins, n.filter = []*rel{&a}, above
	return &n
}

// bound takes a condition that bounds column rank by constants.
func (s *rankSpec) bound(c *expr.Expr, rank int) bool {
	if c.Op != expr.OpCall {
		return false
	}
	op, args := c.Func, c.Args
	lower, upper := s.offset+1, s.limit
	if op == "BETWEEN" && len(args) == 3 {
		lo, ok1 := wholeNumber(args[1])
		hi, ok2 := wholeNumber(args[2])
		if !ok1 || !ok2 || args[0].Op != expr.OpCol || args[0].Col != rank {
			return false
		}
		return s.within(max(lower, lo), least(upper, hi))
	}
	if len(args) != 2 {
		return false
	}
	x, y := args[0], args[1]
	if x.Op != expr.OpCol {
		x, y = y, x
		op = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}[op]
	}
	v, ok := wholeNumber(y)
	if !ok || x.Op != expr.OpCol || x.Col != rank {
		return false
	}
	switch op {
	case "<":
		upper = least(upper, v-1)
	case "<=":
		upper = least(upper, v)
	case ">":
		lower = max(lower, v+1)
	case ">=":
		lower = max(lower, v)
	case "=":
		lower, upper = max(lower, v), least(upper, v)
	default:
		return false
	}
	return s.within(lower, upper)
}

// least is the smaller one of an upper bound, 0 for none, and v.
func least(upper, v int64) int64 {
	if upper == 0 {
		return v
	}
	return min(upper, v)
}

// within sets the ranks that are given; it leaves alone conditions that no rank meets.
func (s *rankSpec) within(lower, upper int64) bool {
	if upper < 0 || upper != 0 && upper < lower || lower > 1<<31 {
		return false
	}
	s.offset, s.limit = lower-1, upper
	return true
}

func wholeNumber(e *expr.Expr) (int64, bool) {
	lit, ok := constant(e)
	if !ok || lit.Null || !lit.Type.Kind.IsInteger() {
		return 0, false
	}
	v, err := strconv.ParseInt(lit.Lit, 10, 64)
	return v, err == nil
}

// checkRanks reports ranks without an upper bound: all rows would have to be kept, and given anew when one comes before them.
func (p *planner) checkRanks() error {
	var errs parse.ErrorList
	for _, r := range p.order() {
		if r.kind == relRank && r.rank.limit == 0 {
			errs = appendErr(errs, p.errorf(r.where, "filter in the query around it, as in WHERE rn <= 10", "ROW_NUMBER needs a condition that says how many rows are wanted"))
		}
	}
	return errs.Err()
}

// keepsFirst reports a deduplication that never changes what it has given: the first row by processing time.
func keepsFirst(r *rel) bool {
	s := r.rank
	return s.limit == 1 && len(s.order) == 1 && !s.order[0].Desc && r.ins[0].cols[s.order[0].Col].attr == attrProc
}

// spec is the rank as the engine takes it.
func (r *rel) rankOf(ttlMS int64) graph.RankSpec {
	s := r.rank
	in := r.ins[0]
	out := graph.RankSpec{
		Keys: r.keys, Order: s.order, Offset: s.offset, Limit: s.limit, Number: s.number, InputRetracts: updating(in), EmitUpdateBefore: r.before,
		Window: s.window, EndCol: s.endCol, LTZ: s.ltz,
	}
	for _, k := range r.keys {
		out.KeyTypes = append(out.KeyTypes, in.cols[k].typ)
	}
	if !s.window {
		out.TTLMS = ttlMS
	}
	// The last row by time: of rows of the same time the one that came last, as in Flink.
	if s.limit == 1 && len(s.order) == 1 && s.order[0].Desc && in.cols[s.order[0].Col].attr != attrNone && !out.InputRetracts {
		out.LastFirst = true
	}
	return out
}

// requireRank adds the columns that a rank reads of its input, given what is read of it.
func requireRank(r *rel, out, in colSet) {
	for i := range in {
		in[i] = in[i] || out[i]
	}
	for _, k := range r.keys {
		in.add(k)
	}
	for _, o := range r.rank.order {
		in.add(o.Col)
	}
	if r.rank.window {
		in.add(r.rank.endCol)
	}
}

// dropRank rebuilds a rank without the columns that are not in out; at says where those of its input went.
func dropRank(r *rel, out colSet, at []int) []int {
	width := len(at)
	need := make(colSet, len(r.ins[0].cols))
	old := make(colSet, width)
	requireRank(r, out, old)
	for i, ok := range old {
		if ok {
			need.add(at[i])
		}
	}
	in, colAt := narrowed(r.ins[0], need, r.where, r.text)
	r.ins = []*rel{in}
	moved := make([]int, width, width+1)
	cols := slices.Clone(in.cols)
	for i := range moved {
		if moved[i] = -1; old[i] {
			moved[i] = colAt(at[i])
			cols[moved[i]] = r.cols[i]
		}
	}
	f := func(i int) int { return moved[i] }
	s := *r.rank
	s.order = slices.Clone(s.order)
	for i := range s.order {
		s.order[i].Col = f(s.order[i].Col)
	}
	if s.window {
		s.endCol = f(s.endCol)
	}
	r.keys = mapInts(r.keys, f)
	if s.number {
		if s.number = out[width]; s.number {
			moved, cols = append(moved, len(cols)), append(cols, r.cols[width])
		} else {
			moved = append(moved, -1)
		}
	}
	r.rank, r.cols = &s, cols
	return moved
}
