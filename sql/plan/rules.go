package plan

import (
	"slices"
	"time"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
)

// optimize applies the rules to the plan: equal parts become one, constants are folded, calcs merged, filters moved down,
// window functions fused with the aggregation over them, and columns that nobody reads left out.
func (p *planner) optimize() {
	p.foldZone = p.zone()
	p.idleDefault()
	p.share()
	// Each round may make room for the next; plans settle after two or three.
	for range roundsMax {
		if !p.rewrite() {
			break
		}
		p.share()
	}
	p.dropLateOverSessions()
	p.prune()
	p.pruneFields()
	p.narrowShuffles()
	for range roundsMax {
		if !p.rewrite() {
			break
		}
	}
	p.share()
}

// roundsMax bounds the rewriting: deep chains of views settle one level a round.
const roundsMax = 64

// idleDefault fills in table.exec.source.idle-timeout where a table says nothing.
func (p *planner) idleDefault() {
	def := p.conf.durationMS("table.exec.source.idle-timeout")
	for _, r := range p.order() {
		if r.kind == relWatermark && r.wm.IdleMS < 0 {
			r.wm.IdleMS = def
		}
	}
}

// order lists all rels, inputs before consumers, in a stable order.
func (p *planner) order() []*rel {
	var out []*rel
	seen := map[*rel]bool{}
	var walk func(*rel)
	walk = func(r *rel) {
		if seen[r] {
			return
		}
		seen[r] = true
		for _, in := range r.ins {
			walk(in)
		}
		out = append(out, r)
	}
	for _, s := range p.sinks {
		walk(s)
	}
	return out
}

// consumers counts how often each rel is an input.
func (p *planner) consumers() map[*rel]int {
	n := map[*rel]int{}
	for _, r := range p.order() {
		for _, in := range r.ins {
			n[in]++
		}
	}
	return n
}

// share makes equal rels one.
func (p *planner) share() {
	byKey := map[string]*rel{}
	same := map[*rel]*rel{}
	ids := map[*rel]int{}
	for _, r := range p.order() {
		for i, in := range r.ins {
			r.ins[i] = same[in]
		}
		k := r.key(func(in *rel) int { return ids[in] })
		first := byKey[k]
		if first == nil {
			first = r
			byKey[k] = r
			ids[r] = len(ids)
		}
		same[r] = first
	}
}

// rewrite applies the local rules once, bottom-up, and reports whether anything changed.
func (p *planner) rewrite() bool {
	consumers := p.consumers()
	done := map[*rel]*rel{}
	changed := false
	for _, r := range p.order() {
		for i, in := range r.ins {
			r.ins[i] = done[in]
			if done[in] != in {
				consumers[done[in]] = max(consumers[in], consumers[done[in]])
			}
		}
		n := p.rule(r, consumers)
		if n != r {
			changed = true
			consumers[n] = consumers[r]
		}
		done[r] = n
	}
	return changed
}

// rule returns what r becomes; r itself when no rule applies.
func (p *planner) rule(r *rel, consumers map[*rel]int) *rel {
	switch r.kind {
	case relCalc:
		return p.calcRule(r, consumers)
	case relWindow:
		if f := fuseWindow(r); f != nil {
			return f
		}
	case relValues:
		return foldValues(r, p.foldZone)
	case relScan, relWatermark, relAssign, relGroup, relUnion, relSink, relJoin, relRank:
	}
	return r
}

func foldValues(r *rel, zone *time.Location) *rel {
	for _, row := range r.rows {
		for i, e := range row {
			row[i] = foldIn(e, zone)
		}
	}
	return r
}

func (p *planner) calcRule(r *rel, consumers map[*rel]int) *rel {
	foldCalc(r, p.foldZone)
	in := r.ins[0]
	if r.filter == nil && identity(r, in) {
		return in
	}
	alone := consumers[in] <= 1
	switch in.kind {
	case relCalc:
		if (alone || trivial(in)) && mergeable(r, in) {
			return mergeCalc(r, in)
		}
		if alone {
			return pushCalc(r, in)
		}
	case relValues:
		if alone && r.filter == nil && (r.exprs != nil) {
			return calcValues(r, in, p.foldZone)
		}
	case relUnion:
		if alone {
			return pushUnion(r, in)
		}
	case relAssign:
		if alone {
			return pushAssign(r, in)
		}
	case relWindow, relGroup:
		if alone {
			return pushKeyed(r, in)
		}
	case relJoin:
		if alone {
			return pushJoin(r, in)
		}
	case relRank:
		return pushRank(r, in)
	case relScan, relWatermark, relSink:
	}
	return r
}

// foldCalc folds constants, in place, and drops a filter that is always TRUE.
func foldCalc(r *rel, zone *time.Location) {
	for i, e := range r.exprs {
		r.exprs[i] = foldIn(e, zone)
	}
	if r.filter != nil {
		r.filter = foldIn(r.filter, zone)
		if f := r.filter; f.Op == expr.OpLit && !f.Null && f.Lit == "true" {
			r.filter = nil
		}
	}
}

// identity reports whether r hands on its input as it is, names and all.
func identity(r, in *rel) bool {
	if r.exprs == nil {
		return true
	}
	if len(r.exprs) != len(in.cols) {
		return false
	}
	for i, e := range r.exprs {
		if e.Op != expr.OpCol || e.Col != i || r.cols[i].name != in.cols[i].name {
			return false
		}
	}
	return true
}

// mergeable reports whether r over calc in can become one calc without computing anything twice, and without
// computing volatile functions for other rows than before.
func mergeable(r, in *rel) bool {
	if in.exprs == nil {
		return true
	}
	uses := make([]int, len(in.exprs))
	count := func(e *expr.Expr) {
		e.Walk(func(x *expr.Expr) {
			if x.Op == expr.OpCol {
				uses[x.Col]++
			}
		})
	}
	if r.filter != nil {
		count(r.filter)
	}
	if r.exprs == nil {
		for i := range uses {
			uses[i]++
		}
	}
	for _, e := range r.exprs {
		count(e)
	}
	for i, e := range in.exprs {
		if uses[i] > 1 && e.Op == expr.OpCall && !cheap(e) || uses[i] > 0 && !expr.IsDeterministic(e) && !isProctime(e) {
			return false
		}
	}
	return true
}

// trivial reports calcs that only pick columns: sharing one saves nothing.
func trivial(r *rel) bool {
	return r.filter == nil && !slices.ContainsFunc(r.exprs, func(e *expr.Expr) bool { return e.Op == expr.OpCall })
}

// cheap reports expressions that may be computed twice: field access.
func cheap(e *expr.Expr) bool {
	for e.Op == expr.OpCall && e.Func == "FIELD" {
		e = e.Args[0]
	}
	return e.Op == expr.OpCol || isProctime(e)
}

func mergeCalc(r, in *rel) *rel {
	n := *r
	n.ins = in.ins
	if in.exprs == nil {
		n.filter = and(in.filter, r.filter)
		return &n
	}
	n.filter = in.filter
	if r.filter != nil {
		n.filter = and(in.filter, substitute(r.filter, in.exprs))
	}
	if r.exprs == nil {
		n.exprs, n.cols = slices.Clone(in.exprs), in.cols
		return &n
	}
	n.exprs = make([]*expr.Expr, len(r.exprs))
	for i, e := range r.exprs {
		n.exprs[i] = substitute(e, in.exprs)
	}
	return &n
}

// pushCalc moves conditions that need nothing of what the calc below computes into its filter, so that it computes fewer rows.
func pushCalc(r, in *rel) *rel {
	if r.filter == nil || in.exprs == nil {
		return r
	}
	var below, above *expr.Expr
	for _, c := range conjuncts(r.filter) {
		free := expr.IsDeterministic(c)
		c.Walk(func(x *expr.Expr) {
			free = free && (x.Op != expr.OpCol || in.exprs[x.Col].Op != expr.OpCall || cheap(in.exprs[x.Col]))
		})
		if free {
			below = and(below, substitute(c, in.exprs))
		} else {
			above = and(above, c)
		}
	}
	if below == nil {
		return r
	}
	l := *in
	l.filter = and(in.filter, below)
	n := *r
	n.ins, n.filter = []*rel{&l}, above
	return &n
}

// and joins conditions, either of which may be nil.
func and(a, b *expr.Expr) *expr.Expr {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	e, err := expr.Call("AND", a, b)
	if err != nil {
		panic("plan: AND of conditions: " + err.Error()) // both were bound as BOOLEAN
	}
	return e
}

// calcValues computes a projection of constants.
func calcValues(r, in *rel, zone *time.Location) *rel {
	n := *in
	n.cols, n.where, n.text = r.cols, r.where, r.text
	n.rows = make([][]*expr.Expr, len(in.rows))
	for i, row := range in.rows {
		for _, e := range r.exprs {
			n.rows[i] = append(n.rows[i], foldIn(substitute(e, row), zone))
		}
	}
	return &n
}

// pushUnion moves a calc to each input of a union.
func pushUnion(r, in *rel) *rel {
	n := *in
	n.cols, n.where, n.text = r.cols, r.where, r.text
	n.ins = make([]*rel, len(in.ins))
	for i, u := range in.ins {
		c := *r
		c.ins = []*rel{u}
		c.exprs = slices.Clone(r.exprs)
		if r.exprs == nil {
			c.cols = u.cols
		}
		n.ins[i] = &c
	}
	return &n
}

// pushAssign moves those conditions that do not look at the windows below a window function. Sessions stay as they are: a row
// that is filtered out afterwards has held its session together.
func pushAssign(r, in *rel) *rel {
	if r.filter == nil || in.windows.Kind == graph.Session {
		return r
	}
	width := len(in.ins[0].cols)
	var below, above *expr.Expr
	for _, c := range conjuncts(r.filter) {
		if columnsBelow(c, width) && expr.IsDeterministic(c) {
			below = and(below, c)
		} else {
			above = and(above, c)
		}
	}
	if below == nil {
		return r
	}
	a := *in
	a.ins = []*rel{calcOver(in.ins[0], below, nil, nil, r.where, r.text)}
	n := *r
	n.ins, n.filter = []*rel{&a}, above
	return &n
}

// pushKeyed moves conditions on the keys alone below an aggregation: what does not pass would only be aggregated to be thrown away. Where
// late rows go to a table they stay, since that table gets all of them.
func pushKeyed(r, in *rel) *rel {
	if r.filter == nil || len(in.keys) == 0 || in.windows != nil && in.windows.late != nil {
		return r
	}
	var below, above *expr.Expr
	for _, c := range conjuncts(r.filter) {
		if columnsBelow(c, len(in.keys)) && expr.IsDeterministic(c) {
			below = and(below, c.MapColumns(func(i int) int { return in.keys[i] }))
		} else {
			above = and(above, c)
		}
	}
	if below == nil {
		return r
	}
	a := *in
	a.ins = []*rel{calcOver(in.ins[0], below, nil, nil, r.where, r.text)}
	n := *r
	n.ins, n.filter = []*rel{&a}, above
	return &n
}

// pushJoin moves conditions on one side below a join, and projections that only leave out columns into it.
func pushJoin(r, in *rel) *rel {
	if r.filter == nil {
		return r
	}
	j := in.join
	n := len(in.ins[0].cols)
	var below [2]*expr.Expr
	var above *expr.Expr
	for _, c := range conjuncts(r.filter) {
		x := c.MapColumns(func(i int) int { return j.pick[i] })
		l, rt := sideOf(x, n)
		switch {
		case !expr.IsDeterministic(c):
			above = and(above, c)
		case l && !rt && !padsLeft(j.typ):
			below[0] = and(below[0], x)
		case rt && !l && !padsRight(j.typ):
			below[1] = and(below[1], shifted(x, n))
		default:
			above = and(above, c)
		}
	}
	if below[0] == nil && below[1] == nil {
		return r
	}
	a := *in
	a.ins = slices.Clone(in.ins)
	for side, f := range below {
		if f != nil {
			a.ins[side] = calcOver(in.ins[side], f, nil, nil, r.where, r.text)
		}
	}
	o := *r
	o.ins, o.filter = []*rel{&a}, above
	return &o
}

func conjuncts(e *expr.Expr) []*expr.Expr {
	if e.Op == expr.OpCall && e.Func == "AND" {
		var out []*expr.Expr
		for _, a := range e.Args {
			out = append(out, conjuncts(a)...)
		}
		return out
	}
	return []*expr.Expr{e}
}

// columnsBelow reports whether e uses columns under n only.
func columnsBelow(e *expr.Expr, n int) bool {
	ok := true
	e.Walk(func(x *expr.Expr) { ok = ok && (x.Op != expr.OpCol || x.Col < n) })
	return ok
}

// fuseWindow turns an aggregation over rows that a window function has given windows into one that assigns the windows itself,
// so that rows are not multiplied. It gives nil where something between the two looks at the windows.
func fuseWindow(r *rel) *rel {
	if r.windows.Kind != graph.Attached {
		return nil
	}
	filter, exprs, assign := composeCalcs(r.ins[0])
	if assign == nil || assign.kind != relAssign {
		return nil
	}
	width := len(assign.ins[0].cols)
	at := func(i int) *expr.Expr { return exprs[i] }
	start, end := at(r.windows.StartCol), at(r.windows.EndCol)
	if start.Op != expr.OpCol || end.Op != expr.OpCol || start.Col != width || end.Col != width+1 {
		return nil
	}
	if filter != nil && (!columnsBelow(filter, width) || assign.windows.Kind == graph.Session) {
		return nil
	}
	pre := &projection{in: assign.ins[0]}
	ok := true
	use := func(i int) int {
		e := at(i)
		if !columnsBelow(e, width) {
			ok = false
			return 0
		}
		return pre.add(e, r.ins[0].cols[i].name)
	}
	n := *r
	w := *assign.windows
	w.late = nil
	n.windows = &w
	n.keys = mapInts(r.keys, use)
	n.aggs = mapAggs(r.aggs, use)
	if l := r.windows.late; l != nil {
		w.late = &lateRoute{table: l.table, cols: mapInts(l.cols, use)}
	}
	if w.Kind == graph.Session && !sameKeys(n.keys, mapInts(assign.keys, func(i int) int { return pre.add(assign.ins[0].colExpr(i), "") })) {
		return nil
	}
	if !ok {
		return nil
	}
	if !w.proc {
		w.TimeCol = pre.add(assign.ins[0].colExpr(w.TimeCol), "")
	}
	in := assign.ins[0]
	if filter != nil {
		in = calcOver(in, filter, nil, nil, r.ins[0].where, r.ins[0].text)
		pre.in = in
	}
	n.ins = []*rel{pre.rel(r.ins[0].where, r.ins[0].text)}
	return &n
}

// composeCalcs looks through calcs: it returns the rel below them, and their filter and columns over it.
func composeCalcs(r *rel) (filter *expr.Expr, exprs []*expr.Expr, below *rel) {
	exprs = make([]*expr.Expr, len(r.cols))
	for i := range r.cols {
		exprs[i] = r.colExpr(i)
	}
	for r.kind == relCalc {
		if r.exprs != nil {
			if tooLarge(exprs, filter, r.exprs) {
				return nil, nil, nil
			}
			for i, e := range exprs {
				exprs[i] = substitute(e, r.exprs)
			}
			if filter != nil {
				filter = substitute(filter, r.exprs)
			}
		}
		filter = and(r.filter, filter)
		r = r.ins[0]
	}
	return filter, exprs, r
}

func mapInts(in []int, f func(int) int) []int {
	out := make([]int, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}

func mapAggs(in []agg.Spec, f func(int) int) []agg.Spec {
	out := slices.Clone(in)
	for i := range out {
		out[i].Args = mapInts(in[i].Args, f)
		if in[i].Filter >= 0 {
			out[i].Filter = f(in[i].Filter)
		}
	}
	return out
}

func sameKeys(a, b []int) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// composedMax bounds what composing calcs may make: expressions that use a column twice double at each level.
const composedMax = 10000

// tooLarge reports whether exprs and filter would become too large with their columns replaced by cols.
func tooLarge(exprs []*expr.Expr, filter *expr.Expr, cols []*expr.Expr) bool {
	sizes := make([]int, len(cols))
	for i, c := range cols {
		c.Walk(func(*expr.Expr) { sizes[i]++ })
	}
	total := 0
	count := func(x *expr.Expr) {
		total++
		if x.Op == expr.OpCol {
			total += sizes[x.Col]
		}
	}
	for _, e := range exprs {
		e.Walk(count)
	}
	if filter != nil {
		filter.Walk(count)
	}
	return total > composedMax
}

// dropLateOverSessions leaves the late rows of sessions to the window function where that is an operator of its own: it has refused them before
// the aggregation sees anything.
func (p *planner) dropLateOverSessions() {
	for _, r := range p.order() {
		if r.kind == relWindow && r.windows.late != nil && overSessions(r) {
			w := *r.windows
			w.late = nil
			r.windows = &w
		}
	}
}

// overSessions reports an aggregation over rows to which a SESSION function has given windows.
func overSessions(r *rel) bool {
	if r.windows.Kind != graph.Attached {
		return false
	}
	in := r.ins[0]
	for in.kind == relCalc {
		in = in.ins[0]
	}
	return in.kind == relAssign && in.windows.Kind == graph.Session
}
