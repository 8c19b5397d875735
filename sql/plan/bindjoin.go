package plan

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/sql/parse"
)

// joinSpec is what a relJoin does. While mode is "", ON and WHERE are still being told apart: cond is all of ON, and there are no keys.
type joinSpec struct {
	typ  graph.JoinType
	mode graph.JoinMode
	// keys are columns of the inputs that must be equal.
	keys [2][]int
	// cond is over the left columns followed by the right ones, nil for none.
	cond *expr.Expr
	// pick lists the output's columns, likewise.
	pick []int
	// time are window_end (window) or the time attributes (interval) of the inputs.
	time         [2]int
	lower, upper int64
	ltz          bool
}

var joinTypes = map[parse.JoinKind]graph.JoinType{
	parse.JoinInner: graph.InnerJoin, parse.JoinLeft: graph.LeftJoin, parse.JoinRight: graph.RightJoin, parse.JoinFull: graph.FullJoin,
	parse.JoinCross: graph.InnerJoin, parse.JoinComma: graph.InnerJoin, parse.JoinSemi: graph.SemiJoin, parse.JoinAnti: graph.AntiJoin,
}

// padsRight and padsLeft report that rows of the other side are given with NULLs in place of this one's.
func padsRight(t graph.JoinType) bool { return t == graph.LeftJoin || t == graph.FullJoin }

func padsLeft(t graph.JoinType) bool { return t == graph.RightJoin || t == graph.FullJoin }

// oneSided reports a join that gives left rows alone.
func oneSided(t graph.JoinType) bool { return t == graph.SemiJoin || t == graph.AntiJoin }

// bindFromItem binds an item of FROM with the names that it brings.
func (p *planner) bindFromItem(t parse.TableRef, e *env) (*scope, error) {
	j, ok := t.(*parse.Join)
	if !ok {
		r, name, err := p.bindTableRef(t, e)
		if err != nil {
			return nil, err
		}
		return newScope(r, name), nil
	}
	var errs parse.ErrorList
	l, err := p.bindFromItem(j.Left, e)
	errs = appendErr(errs, err)
	r, err := p.bindFromItem(j.Right, e)
	errs = appendErr(errs, err)
	if len(errs) > 0 {
		return nil, errs
	}
	for _, a := range l.tables() {
		for _, b := range r.tables() {
			if a.name == b.name && a.name != "" {
				return nil, p.errorf(j.Right, "give one of them an alias: "+a.name+" AS a", "FROM names %q twice", a.name)
			}
		}
	}
	return p.bindJoin(j, l, r)
}

// bindJoin makes the join of two scopes; settle completes it.
func (p *planner) bindJoin(j *parse.Join, l, r *scope) (*scope, error) {
	typ := joinTypes[j.Kind]
	sc := l.join(r, p.newJoin(typ, l.rel, r.rel, j))
	cond, err := p.joinColumns(j, l, r, sc)
	if err != nil {
		return nil, err
	}
	if j.On != nil {
		b := p.exprBinder(sc)
		b.clause = "ON"
		on, err := b.bindBool(j.On, "ON")
		if err != nil {
			return nil, err
		}
		cond = and(cond, on)
	}
	sc.rel.join.cond = cond
	if oneSided(typ) {
		sc.rel = p.leftOnly(sc.rel)
		sc.parts = l.tables()
	}
	return sc, nil
}

// newJoin is a join before settle, with the columns of both sides.
func (p *planner) newJoin(typ graph.JoinType, l, r *rel, where parse.Node) *rel {
	out := &rel{kind: relJoin, ins: []*rel{l, r}, join: &joinSpec{typ: typ}, where: where, text: p.text(where)}
	for side, in := range out.ins {
		padded := side == 0 && padsLeft(typ) || side == 1 && padsRight(typ)
		for _, c := range in.cols {
			if padded {
				c.typ = c.typ.Nullable()
			}
			out.join.pick = append(out.join.pick, len(out.cols))
			out.cols = append(out.cols, c)
		}
	}
	return out
}

// leftOnly is a semi or anti join without the right columns.
func (p *planner) leftOnly(r *rel) *rel {
	n := len(r.ins[0].cols)
	r.cols, r.join.pick = slices.Clip(r.cols[:n]), slices.Clip(r.join.pick[:n])
	return r
}

// joinColumns makes the condition of USING or NATURAL, and hides one of each two columns that they name.
func (p *planner) joinColumns(j *parse.Join, l, r, sc *scope) (*expr.Expr, error) {
	using := j.Using
	if j.Natural {
		for i, c := range l.rel.cols {
			if !l.hidden[i] && indexOf(r.rel.cols, c.name) >= 0 {
				using = append(using, parse.Ident{Span: j.KindPos, Name: c.name})
			}
		}
	}
	if len(using) > 0 && j.Kind == parse.JoinFull {
		return nil, p.errorf(j.KindPos, "write ON, and COALESCE of the two columns", "USING and NATURAL are not supported in a FULL JOIN yet")
	}
	var cond *expr.Expr
	for _, id := range using {
		ref := &parse.ColumnRef{Span: id.Span, Parts: []parse.Ident{id}}
		a, err := p.exprBinder(l).column(ref)
		if err != nil {
			return nil, err
		}
		b, err := p.exprBinder(r).column(ref)
		if err != nil {
			return nil, err
		}
		n := len(l.rel.cols)
		eq, err := expr.Call("=", a, b.MapColumns(func(i int) int { return i + n }))
		if err != nil {
			return nil, p.at(id, err)
		}
		cond = and(cond, eq)
		hide, show := b.Col+n, a.Col
		if j.Kind == parse.JoinRight {
			hide, show = show, hide
		}
		if sc.hidden == nil {
			sc.hidden = map[int]bool{}
		}
		sc.hidden[hide] = true
		sc.first = append(sc.first, show)
	}
	return cond, nil
}

// sideOf says which inputs' columns e reads; the left one has n columns.
func sideOf(e *expr.Expr, n int) (l, r bool) {
	e.Walk(func(x *expr.Expr) {
		if x.Op == expr.OpCol {
			l, r = l || x.Col < n, r || x.Col >= n
		}
	})
	return l, r
}

func shifted(e *expr.Expr, n int) *expr.Expr {
	return e.MapColumns(func(i int) int { return i - n })
}

// settle completes the joins of a FROM: WHERE's conditions go into the join, or to the input that they are about, and what is left of the join's
// condition decides how it is done. It returns what must be filtered above.
func (p *planner) settle(r *rel, filter *expr.Expr) (*rel, *expr.Expr, error) {
	if r.kind != relJoin || r.join.mode != "" {
		return r, filter, nil
	}
	j := *r.join
	n := len(r.ins[0].cols)
	var down [2]*expr.Expr
	var on, above *expr.Expr
	if filter != nil {
		for _, c := range conjuncts(filter) {
			j.typ = strengthened(j.typ, c, n)
		}
		for _, c := range conjuncts(filter) {
			l, rt := sideOf(c, n)
			pure := expr.IsDeterministic(c)
			switch {
			case pure && l && !rt && !padsLeft(j.typ):
				down[0] = and(down[0], c)
			case pure && rt && !l && !padsRight(j.typ) && !oneSided(j.typ):
				down[1] = and(down[1], shifted(c, n))
			case pure && j.typ == graph.InnerJoin:
				on = and(on, c)
			default:
				above = and(above, c)
			}
		}
	}
	if j.cond != nil {
		for _, c := range conjuncts(j.cond) {
			l, rt := sideOf(c, n)
			pure := expr.IsDeterministic(c)
			// A left row that ON refuses is still given by a LEFT join, but a right one is not missed.
			switch {
			case pure && l && !rt && (j.typ == graph.InnerJoin || j.typ == graph.RightJoin || j.typ == graph.SemiJoin):
				down[0] = and(down[0], c)
			case pure && rt && !l && (j.typ == graph.InnerJoin || j.typ == graph.LeftJoin || oneSided(j.typ)):
				down[1] = and(down[1], shifted(c, n))
			default:
				on = and(on, c)
			}
		}
	}
	out := *r
	out.ins, out.join = slices.Clone(r.ins), &j
	for i, in := range r.ins {
		in, rest, err := p.settle(in, down[i])
		if err != nil {
			return nil, nil, err
		}
		if rest != nil {
			in = calcOver(in, rest, nil, nil, r.where, r.text)
		}
		out.ins[i] = in
	}
	j.cond = on
	if err := p.classify(&out); err != nil {
		return nil, nil, err
	}
	return &out, above, nil
}

// strengthened is the type of a join below a condition that no row padded with NULLs passes.
func strengthened(t graph.JoinType, c *expr.Expr, n int) graph.JoinType {
	refuses := func(left bool) bool {
		if c.Op != expr.OpCall || !slices.Contains([]string{"=", "<>", "<", "<=", ">", ">=", "BETWEEN", "IS NOT NULL", "IN", "LIKE"}, c.Func) {
			return false
		}
		a := c.Args[0]
		if c.Func != "IN" && c.Func != "LIKE" && c.Func != "BETWEEN" && len(c.Args) == 2 && a.Op != expr.OpCol {
			a = c.Args[1]
		}
		return a.Op == expr.OpCol && (a.Col < n) == left
	}
	if padsRight(t) && refuses(false) {
		t = map[graph.JoinType]graph.JoinType{graph.LeftJoin: graph.InnerJoin, graph.FullJoin: graph.RightJoin}[t]
	}
	if padsLeft(t) && refuses(true) {
		t = map[graph.JoinType]graph.JoinType{graph.RightJoin: graph.InnerJoin, graph.FullJoin: graph.LeftJoin}[t]
	}
	return t
}

// equality is two columns that must be equal.
type equality struct{ l, r *expr.Expr }

// classify finds the keys of a join, and whether it is one of windows or of an interval of time.
func (p *planner) classify(r *rel) error {
	j := r.join
	n := len(r.ins[0].cols)
	var eqs []equality
	var rest []*expr.Expr
	if j.cond != nil {
		for _, c := range conjuncts(j.cond) {
			if e, ok := equalityOf(c, n); ok {
				eqs = append(eqs, e)
			} else {
				rest = append(rest, c)
			}
		}
	}
	stays := !updating(r.ins[0]) && !updating(r.ins[1])
	mode := graph.Regular
	switch {
	case stays && p.windowed(r, eqs):
		mode = graph.WindowJoin
	case stays && !oneSided(j.typ):
		var err error
		var ok bool
		if rest, ok, err = p.interval(r, eqs, rest); err != nil {
			return err
		} else if ok {
			mode = graph.IntervalJoin
		}
	}
	if mode == graph.Regular && p.namesWindows(r, eqs) {
		p.warnf(r.where, "set table.exec.state.ttl, or use windows of event time over rows that stay",
			"this join keeps its rows for ever: its windows are of processing time, or an input changes rows that it has given out")
	}
	j.mode, j.cond = mode, nil
	for _, c := range rest {
		j.cond = and(j.cond, c)
	}
	p.joinKeys(r, eqs)
	settleColumns(r)
	return nil
}

// equalityOf takes a = b apart where one side is of the left input and the other of the right one.
func equalityOf(c *expr.Expr, n int) (equality, bool) {
	if c.Op != expr.OpCall || c.Func != "=" || len(c.Args) != 2 || !expr.IsDeterministic(c) {
		return equality{}, false
	}
	a, b := c.Args[0], c.Args[1]
	al, ar := sideOf(a, n)
	if ar {
		a, b = b, a
		al, ar = sideOf(a, n)
	}
	bl, br := sideOf(b, n)
	if !al || ar || bl || !br || a.Type.Kind == vec.Map || a.Type.Kind == vec.Null {
		return equality{}, false
	}
	if !a.Type.Equal(b.Type) {
		t, err := expr.CommonType(a.Type, b.Type)
		if err != nil {
			return equality{}, false
		}
		if a, err = expr.ImplicitCast(a, t.Nullable()); err != nil {
			return equality{}, false
		}
		if b, err = expr.ImplicitCast(b, t.Nullable()); err != nil {
			return equality{}, false
		}
	}
	return equality{a, shifted(b, n)}, a.Type.Equal(b.Type)
}

// windowed finds the bounds of windows among the equal columns: those of both sides must be event time's.
func (p *planner) windowed(r *rel, eqs []equality) bool {
	var have [3]bool
	for _, e := range eqs {
		if e.l.Op != expr.OpCol || e.r.Op != expr.OpCol {
			continue
		}
		l, rt := r.ins[0].cols[e.l.Col], r.ins[1].cols[e.r.Col]
		if l.role == roleNone || l.role != rt.role || l.win == nil || rt.win == nil || l.win.proc || rt.win.proc || l.win.ltz != rt.win.ltz {
			continue
		}
		have[l.role-roleStart] = true
		if l.role == roleEnd {
			r.join.time, r.join.ltz = [2]int{e.l.Col, e.r.Col}, l.win.ltz
		}
	}
	return have[0] && have[1]
}

// namesWindows reports whether bounds of windows are among the equal columns.
func (p *planner) namesWindows(r *rel, eqs []equality) bool {
	return slices.ContainsFunc(eqs, func(e equality) bool {
		return e.l.Op == expr.OpCol && e.r.Op == expr.OpCol && r.ins[0].cols[e.l.Col].role == roleEnd && r.ins[1].cols[e.r.Col].role == roleEnd
	}) && p.conf.durationMS("table.exec.state.ttl") == 0
}

// moment is a time attribute plus a constant.
type moment struct {
	side, col int
	plus      int64
}

// momentOf reads ts, ts + INTERVAL or ts - INTERVAL. The end of a window serves as a time attribute: its rows come when time has come to it.
func (p *planner) momentOf(r *rel, e *expr.Expr) (m moment, proc, ok bool) {
	n := len(r.ins[0].cols)
	if e.Op == expr.OpCol {
		m.col = e.Col
		if e.Col >= n {
			m.side, m.col = 1, e.Col-n
		}
		c := r.ins[m.side].cols[m.col]
		end := c.role == roleEnd && c.win != nil && !c.win.proc && !c.win.ltz
		return m, c.attr == attrProc, c.attr != attrNone || end
	}
	if e.Op != expr.OpCall || len(e.Args) != 2 || e.Func != "+" && e.Func != "-" {
		return m, false, false
	}
	a, b := e.Args[0], e.Args[1]
	if e.Func == "+" && a.Type.Kind == vec.IntervalDT {
		a, b = b, a
	}
	lit, constantly := constant(b)
	if !constantly || lit.Null || lit.Type.Kind != vec.IntervalDT {
		return m, false, false
	}
	ms, err := strconv.ParseInt(lit.Lit, 10, 64)
	if err != nil {
		return m, false, false
	}
	if e.Func == "-" {
		ms = -ms
	}
	m, proc, ok = p.momentOf(r, a)
	m.plus += ms
	return m, proc, ok
}

// bounds are what conditions say about left time - right time.
type bounds struct {
	lower, upper       int64
	hasLower, hasUpper bool
	time               [2]int
	proc               bool
}

// take notes a <op> b, if it is about the times of both sides.
func (p *planner) take(r *rel, t *bounds, op string, a, b *expr.Expr) bool {
	x, px, ok := p.momentOf(r, a)
	if !ok {
		return false
	}
	y, py, ok := p.momentOf(r, b)
	if !ok || x.side == y.side {
		return false
	}
	if px || py {
		t.proc = true
		return false
	}
	if x.side == 1 {
		x, y = y, x
		op = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}[op]
	}
	if (t.hasLower || t.hasUpper) && t.time != [2]int{x.col, y.col} {
		return false
	}
	// l + x.plus <op> r + y.plus, so l - r <op> y.plus - x.plus
	d := y.plus - x.plus
	lower, upper := func(v int64) {
		if !t.hasLower || v > t.lower {
			t.lower, t.hasLower = v, true
		}
	}, func(v int64) {
		if !t.hasUpper || v < t.upper {
			t.upper, t.hasUpper = v, true
		}
	}
	switch op {
	case "<":
		upper(d - 1)
	case "<=":
		upper(d)
	case ">":
		lower(d + 1)
	case ">=":
		lower(d)
	case "=":
		lower(d)
		upper(d)
	default:
		return false
	}
	t.time = [2]int{x.col, y.col}
	return true
}

// interval finds bounds of the difference of the sides' times; rest comes back without them. It needs both bounds.
func (p *planner) interval(r *rel, eqs []equality, rest []*expr.Expr) ([]*expr.Expr, bool, error) {
	n := len(r.ins[0].cols)
	t := &bounds{}
	for _, e := range eqs {
		p.take(r, t, "=", e.l, e.r.MapColumns(func(i int) int { return i + n }))
	}
	var other []*expr.Expr
	for _, c := range rest {
		took := false
		switch {
		case c.Op != expr.OpCall:
		case c.Func == "BETWEEN" && len(c.Args) == 3:
			lo := p.take(r, t, ">=", c.Args[0], c.Args[1])
			hi := p.take(r, t, "<=", c.Args[0], c.Args[2])
			took = lo && hi
		case len(c.Args) == 2:
			took = p.take(r, t, c.Func, c.Args[0], c.Args[1])
		}
		if !took {
			other = append(other, c)
		}
	}
	if t.proc {
		return nil, false, p.errorf(r.where, "join on event time, declared with WATERMARK",
			"a join on an interval of processing time is not supported yet")
	}
	if !t.hasLower || !t.hasUpper {
		return rest, false, nil
	}
	if t.lower > t.upper {
		return nil, false, p.errorf(r.where, "", "no row can match: the times of the two sides would have to differ by at least %d ms and at most %d ms", t.lower, t.upper)
	}
	j := r.join
	j.time, j.lower, j.upper = t.time, t.lower, t.upper
	return other, true, nil
}

// joinKeys makes columns of the expressions that must be equal.
func (p *planner) joinKeys(r *rel, eqs []equality) {
	j := r.join
	var added [2][]*expr.Expr
	for _, e := range eqs {
		for side, x := range [2]*expr.Expr{e.l, e.r} {
			col := x.Col
			if x.Op != expr.OpCol {
				col = len(r.ins[side].cols) + len(added[side])
				added[side] = append(added[side], x)
			}
			j.keys[side] = append(j.keys[side], col)
		}
	}
	n := len(r.ins[0].cols)
	for side, xs := range added {
		if len(xs) == 0 {
			continue
		}
		in := r.ins[side]
		exprs, cols := make([]*expr.Expr, 0, len(in.cols)+len(xs)), slices.Clone(in.cols)
		for i := range in.cols {
			exprs = append(exprs, in.colExpr(i))
		}
		for i, x := range xs {
			exprs, cols = append(exprs, x), append(cols, derive(in, x, fmt.Sprintf("key%d$", i)))
		}
		r.ins[side] = calcOver(in, nil, exprs, cols, r.where, r.text)
	}
	if by := len(added[0]); by > 0 {
		moved := func(i int) int {
			if i >= n {
				return i + by
			}
			return i
		}
		j.pick = mapInts(j.pick, moved)
		if j.cond != nil {
			j.cond = j.cond.MapColumns(moved)
		}
	}
}

// settleColumns says what the output's columns are: only joins of windows and intervals keep time attributes, on the sides that are never padded,
// and only those of windows keep windows.
func settleColumns(r *rel) {
	j := r.join
	n := len(r.ins[0].cols)
	var shared *winInfo
	cols := slices.Clone(r.cols)
	for i, at := range j.pick {
		c := &cols[i]
		side, padded := 0, padsLeft(j.typ)
		if at >= n {
			side, padded = 1, padsRight(j.typ)
		}
		if padded {
			c.typ = c.typ.Nullable()
		} else {
			in := r.ins[side].cols
			if side == 1 {
				at -= n
			}
			c.typ = in[at].typ
		}
		if j.mode == graph.Regular || padded {
			c.attr = attrNone
		}
		if j.mode != graph.WindowJoin || padded {
			c.role, c.win = roleNone, nil
			continue
		}
		if end := r.ins[side].cols[j.time[side]]; c.win == nil || c.win != end.win {
			c.role, c.win = roleNone, nil
			continue
		}
		if shared == nil {
			shared = &winInfo{ltz: j.ltz}
		}
		c.win = shared
	}
	r.cols = cols
}

// spec is the join as the engine takes it.
func (r *rel) joinOf(ttlMS int64) graph.JoinSpec {
	j := r.join
	s := graph.JoinSpec{
		Type: j.typ, Mode: j.mode, LeftKeys: j.keys[0], RightKeys: j.keys[1], Condition: j.cond, Out: j.pick, LeftTime: j.time[0], RightTime: j.time[1],
		LowerMS: j.lower, UpperMS: j.upper, LTZ: j.ltz,
	}
	for _, k := range j.keys[0] {
		s.KeyTypes = append(s.KeyTypes, r.ins[0].cols[k].typ)
	}
	if j.mode == graph.Regular {
		s.TTLMS = ttlMS
		s.Retracts = updating(r.ins[0]) || updating(r.ins[1])
	}
	return s
}
