package plan

import (
	"slices"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/sql/parse"
)

// colSet says which columns of a rel are read.
type colSet []bool

func (s colSet) add(i int) { s[i] = true }

func (s colSet) addExpr(e *expr.Expr) {
	if e == nil {
		return
	}
	e.Walk(func(x *expr.Expr) {
		if x.Op == expr.OpCol {
			s[x.Col] = true
		}
	})
}

// kept numbers the columns that are read; others get -1.
func (s colSet) kept() []int {
	out := make([]int, len(s))
	n := 0
	for i, ok := range s {
		out[i] = -1
		if ok {
			out[i] = n
			n++
		}
	}
	return out
}

// prune leaves out the columns that no consumer reads. What is shared keeps what any of its consumers reads.
func (p *planner) prune() {
	order := p.order()
	need := map[*rel]colSet{}
	for _, r := range order {
		need[r] = make(colSet, len(r.cols))
	}
	for _, r := range slices.Backward(order) {
		p.require(r, need)
	}
	moved := map[*rel][]int{}
	for _, r := range order {
		moved[r] = p.drop1(r, need[r], func(in *rel) []int { return moved[in] })
	}
}

// require adds to the inputs' sets what r reads of them, given what is read of r.
func (p *planner) require(r *rel, need map[*rel]colSet) {
	out := need[r]
	switch r.kind {
	case relScan:
		keepPositional(r.scan, out)
		keepOne(r, out)
	case relValues:
		keepOne(r, out)
	case relCalc:
		in := need[r.ins[0]]
		in.addExpr(r.filter)
		if r.exprs == nil {
			for i, ok := range out {
				in[i] = in[i] || ok
			}
			return
		}
		keepOne(r, out)
		for i, e := range r.exprs {
			if out[i] {
				in.addExpr(e)
			}
		}
	case relWatermark:
		in := need[r.ins[0]]
		out.add(r.wm.TimeCol)
		out.addExpr(r.wm.Expr)
		for i, ok := range out {
			in[i] = in[i] || ok
		}
	case relUnion:
		keepOne(r, out)
		for _, in := range r.ins {
			for i, ok := range out {
				need[in][i] = need[in][i] || ok
			}
		}
	case relSink:
		for i := range need[r.ins[0]] {
			need[r.ins[0]].add(i)
		}
	case relAssign, relWindow, relGroup:
		p.requireKeyed(r, out, need[r.ins[0]])
	case relRank:
		keepOne(r, out)
		requireRank(r, out, need[r.ins[0]])
	case relJoin:
		keepOne(r, out)
		requireJoin(r, out, func(side, col int) { need[r.ins[side]].add(col) })
	}
}

// requireJoin calls add for the columns that a join reads of its inputs.
func requireJoin(r *rel, out colSet, add func(side, col int)) {
	j := r.join
	n := len(r.ins[0].cols)
	both := make(colSet, n+len(r.ins[1].cols))
	for i, ok := range out {
		if ok {
			both.add(j.pick[i])
		}
	}
	both.addExpr(j.cond)
	for side, keys := range j.keys {
		for _, k := range keys {
			both.add(side*n + k)
		}
		if j.mode != graph.Regular {
			both.add(side*n + j.time[side])
		}
	}
	for i, ok := range both {
		switch {
		case !ok:
		case i < n:
			add(0, i)
		default:
			add(1, i-n)
		}
	}
}

// movedJoin is a join over inputs whose columns have gone where at says.
func movedJoin(j *joinSpec, n, newN int, at [2]func(int) int) *joinSpec {
	out := *j
	both := func(i int) int {
		if i < n {
			return at[0](i)
		}
		return newN + at[1](i-n)
	}
	out.pick = mapInts(j.pick, both)
	if j.cond != nil {
		out.cond = j.cond.MapColumns(both)
	}
	for side := range out.keys {
		out.keys[side] = mapInts(j.keys[side], at[side])
		if j.mode != graph.Regular {
			out.time[side] = at[side](j.time[side])
		}
	}
	return &out
}

// narrowed puts a calc over in that keeps the columns of need, and says where they are; in itself where all are kept.
func narrowed(in *rel, need colSet, where parse.Node, text string) (*rel, func(int) int) {
	keepOne(in, need)
	at := need.kept()
	var exprs []*expr.Expr
	var cols []column
	for i, ok := range need {
		if ok {
			e := in.colExpr(i)
			exprs, cols = append(exprs, e), append(cols, derive(in, e, in.cols[i].name))
		}
	}
	colAt := func(i int) int { return at[i] }
	if len(exprs) == len(in.cols) {
		return in, colAt
	}
	return calcOver(in, nil, exprs, cols, where, text), colAt
}

func (p *planner) requireKeyed(r *rel, out, in colSet) {
	if w := r.windows; w != nil {
		switch {
		case w.Kind == "ATTACHED":
			in.add(w.StartCol)
			in.add(w.EndCol)
		case !w.proc:
			in.add(w.TimeCol)
		}
		if w.late != nil {
			for _, c := range w.late.cols {
				in.add(c)
			}
		}
	}
	for _, k := range r.keys {
		in.add(k)
	}
	if r.kind == relAssign {
		for i := range in {
			in[i] = in[i] || out[i]
		}
		return
	}
	if r.kind == relGroup && len(r.keys) == 0 {
		keepOne(r, out)
	}
	for i, a := range r.aggs {
		if !out[len(r.keys)+i] {
			continue
		}
		for _, c := range a.Args {
			in.add(c)
		}
		if a.Filter >= 0 {
			in.add(a.Filter)
		}
	}
}

// namedFormats find a record's fields by name; a connector without formats does too. In others (csv, raw) a field is known by its place, so that
// all of them must be there.
var namedFormats = []string{"", "json", "fields", "hash", "parquet", "avro"}

// byName reports whether the source may leave out columns of its records.
func (s *scanSpec) byName() bool {
	format := s.options["format"]
	if o := findOption(s.table.connector, "format"); format == "" && o != nil {
		format = o.Default
	}
	return slices.Contains(namedFormats, format)
}

// keepPositional keeps all columns of a record where the format needs them; metadata is not in the record.
func keepPositional(s *scanSpec, out colSet) {
	if s.byName() {
		return
	}
	for i, f := range s.fields {
		if s.table.physical[f].metadata == "" {
			out.add(i)
		}
	}
}

// keepOne makes sure that batches have a column, which counts their rows: the narrowest one.
func keepOne(r *rel, out colSet) {
	best, width := -1, 0
	for i, ok := range out {
		if ok {
			return
		}
		w := r.cols[i].typ.Kind.Width()
		if w == 0 {
			w = 100
		}
		if best < 0 || w < width {
			best, width = i, w
		}
	}
	if best >= 0 {
		out.add(best)
	}
}

// drop1 rebuilds r, in place, without the columns that are not in out; it returns where its columns went, -1 for those dropped.
func (p *planner) drop1(r *rel, out colSet, moved func(*rel) []int) []int {
	for i := range out {
		switch r.kind {
		case relGroup:
			out[i] = out[i] || i < len(r.keys)
		case relWindow:
			out[i] = out[i] || i < len(r.keys) || i >= len(r.keys)+len(r.aggs)
		case relAssign:
			width := len(r.ins[0].cols)
			out[i] = i >= len(r.cols)-winCols || i < width && out[i]
		case relScan, relValues, relCalc, relWatermark, relUnion, relSink, relJoin, relRank:
		}
	}
	var at []int
	if len(r.ins) > 0 {
		at = moved(r.ins[0])
	}
	colAt := func(i int) int { return at[i] }
	switch r.kind {
	case relScan:
		s := *r.scan
		s.fields = keep(s.fields, out)
		r.scan = &s
	case relValues:
		for i := range r.rows {
			r.rows[i] = keep(r.rows[i], out)
		}
	case relCalc:
		if r.filter != nil {
			r.filter = r.filter.MapColumns(colAt)
		}
		if r.exprs == nil {
			r.cols = r.ins[0].cols
			return at
		}
		r.exprs = keep(r.exprs, out)
		for i, e := range r.exprs {
			r.exprs[i] = e.MapColumns(colAt)
		}
	case relWatermark:
		w := *r.wm
		w.TimeCol, w.Expr = at[w.TimeCol], w.Expr.MapColumns(colAt)
		r.wm = &w
		// The input may keep columns for other consumers.
		r.cols = r.ins[0].colsLike(r.cols, at)
		return at
	case relUnion:
		p.alignUnion(r, out, moved)
	case relJoin:
		l, rt := at, moved(r.ins[1])
		j := *r.join
		j.pick = keep(j.pick, out)
		r.join = movedJoin(&j, len(l), len(r.ins[0].cols), [2]func(int) int{func(i int) int { return l[i] }, func(i int) int { return rt[i] }})
	case relRank:
		return dropRank(r, out, at)
	case relAssign:
		return p.dropAssign(r, at)
	case relWindow, relGroup:
		r.keys = mapInts(r.keys, colAt)
		r.aggs = mapAggs(keep(r.aggs, out[len(r.keys):len(r.keys)+len(r.aggs)]), colAt)
		r.windows = r.windows.mapped(colAt)
	case relSink:
	}
	r.cols = keep(r.cols, out)
	return out.kept()
}

func keep[T any](in []T, out colSet) []T {
	var kept []T
	for i, v := range in {
		if out[i] {
			kept = append(kept, v)
		}
	}
	return kept
}

// colsLike is r's columns under the attributes of cols, which says what they are above r; at maps cols to r's columns.
func (r *rel) colsLike(cols []column, at []int) []column {
	out := slices.Clone(r.cols)
	for i, to := range at {
		if to >= 0 {
			out[to] = cols[i]
		}
	}
	return out
}

// alignUnion puts a calc over inputs that keep other columns than the union does.
func (p *planner) alignUnion(r *rel, out colSet, moved func(*rel) []int) {
	for j, in := range r.ins {
		at := moved(in)
		var exprs []*expr.Expr
		var cols []column
		same := true
		for i, ok := range out {
			if !ok {
				continue
			}
			same = same && at[i] == len(exprs)
			e := in.colExpr(at[i])
			exprs, cols = append(exprs, e), append(cols, derive(in, e, in.cols[at[i]].name))
		}
		if !same || len(exprs) != len(in.cols) {
			r.ins[j] = calcOver(in, nil, exprs, cols, in.where, in.text)
		}
	}
}

// dropAssign follows the columns of a window function's input, all of which it hands on.
func (p *planner) dropAssign(r *rel, at []int) []int {
	in := r.ins[0]
	colAt := func(i int) int { return at[i] }
	r.keys = mapInts(r.keys, colAt)
	r.windows = r.windows.mapped(colAt)
	width := len(at)
	moved := slices.Clone(at)
	for i := range winCols {
		moved = append(moved, len(in.cols)+i)
	}
	cols := in.colsLike(r.cols[:width], at)
	r.cols = append(cols, r.cols[width:]...)
	return moved
}

// mapped is w with its input columns renumbered.
func (w *windowSpec) mapped(f func(int) int) *windowSpec {
	if w == nil {
		return nil
	}
	c := *w
	switch {
	case w.Kind == "ATTACHED":
		c.StartCol, c.EndCol = f(w.StartCol), f(w.EndCol)
		if !w.proc {
			c.TimeCol = c.EndCol
		}
	case !w.proc:
		c.TimeCol = f(w.TimeCol)
	}
	if w.late != nil {
		c.late = &lateRoute{table: w.late.table, cols: mapInts(w.late.cols, f)}
	}
	return &c
}

// narrowShuffles puts a calc before aggregations whose input has columns for other consumers, so that only what they read is sent to them.
func (p *planner) narrowShuffles() {
	for _, r := range p.order() {
		if r.kind == relJoin {
			narrowJoin(r)
			continue
		}
		if r.kind != relGroup && r.kind != relWindow {
			continue
		}
		need := make(colSet, len(r.ins[0].cols))
		p.requireKeyed(r, allOf(len(r.cols)), need)
		in, colAt := narrowed(r.ins[0], need, r.where, r.text)
		if in == r.ins[0] {
			continue
		}
		r.ins = []*rel{in}
		r.keys, r.aggs, r.windows = mapInts(r.keys, colAt), mapAggs(r.aggs, colAt), r.windows.mapped(colAt)
	}
}

// narrowJoin is narrowShuffles for a join: what it keeps is in its state besides.
func narrowJoin(r *rel) {
	var need [2]colSet
	for side, in := range r.ins {
		need[side] = make(colSet, len(in.cols))
	}
	requireJoin(r, allOf(len(r.cols)), func(side, col int) { need[side].add(col) })
	n := len(r.ins[0].cols)
	var at [2]func(int) int
	ins := make([]*rel, len(r.ins))
	for side, in := range r.ins {
		ins[side], at[side] = narrowed(in, need[side], r.where, r.text)
	}
	r.ins, r.join = ins, movedJoin(r.join, n, len(ins[0].cols), at)
}

func allOf(n int) colSet {
	s := make(colSet, n)
	for i := range s {
		s[i] = true
	}
	return s
}
