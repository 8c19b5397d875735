package plan

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/sql/parse"
)

// insert binds INSERT INTO and adds its sink to the plan.
func (p *planner) insert(ins *parse.Insert) error {
	if ins.Overwrite {
		return p.errorf(ins, "use INSERT INTO", "INSERT OVERWRITE is not supported yet")
	}
	name, ok := tableName(ins.Table)
	if p.cat.views[name] != nil {
		return p.errorf(ins.Table, "", "%q is a view: INSERT needs a table", name)
	}
	t := p.cat.tables[name]
	if !ok || t == nil {
		return p.noTable(ins.Table)
	}
	q, err := p.bindQuery(ins.Query, nil)
	if err != nil {
		return err
	}
	if t.refused {
		return errReported
	}
	if t.connector.NewSink == nil {
		return p.errorf(ins.Table, "", "table %q cannot be written: connector %q is a source only", t.name, t.connector.Name)
	}
	options, err := p.hinted(t, ins.Hints, asSink)
	if err != nil {
		return err
	}
	spec, written := t.sinkSpecOf(options)
	if err := p.checkUse(t, &spec, true); err != nil {
		return err
	}
	in, err := p.sinkInput(ins, t, q, &spec, written)
	if err != nil {
		return err
	}
	s := p.sinkRel(in, t, spec, ins, p.text(ins))
	for i, w := range written {
		if c := t.columns[w].def; c.Type.NotNull {
			s.sink.notNull = append(s.sink.notNull, i)
		}
	}
	p.sinks = append(p.sinks, s)
	return nil
}

func (p *planner) sinkRel(in *rel, t *table, spec graph.TableSpec, where parse.Node, text string) *rel {
	modes := []graph.ChangelogMode{graph.Append}
	if t.connector.Modes != nil {
		modes = t.connector.Modes(&spec)
	}
	return &rel{
		kind: relSink, ins: []*rel{in}, where: where, text: text,
		sink: &sinkSpec{spec: spec, modes: modes, name: t.name},
	}
}

// sinkInput puts the query's columns in the order and into the types of the sink.
func (p *planner) sinkInput(ins *parse.Insert, t *table, q *rel, spec *graph.TableSpec, written []int) (*rel, error) {
	source, err := p.insertColumns(ins, t, len(q.cols), written)
	if err != nil {
		return nil, err
	}
	var errs parse.ErrorList
	exprs := make([]*expr.Expr, len(written))
	cols := make([]column, len(written))
	for i, w := range written {
		c := &t.columns[w]
		want := spec.Schema.Fields[i].Type
		switch s := source[i]; {
		case s.value != nil:
			exprs[i], err = p.storable(s.value, c, s.node, "the value of the partition")
		case s.col >= 0:
			what := fmt.Sprintf("column %d of the query", s.col+1)
			if !q.cols[s.col].implicit {
				what += fmt.Sprintf(" (%q)", q.cols[s.col].name)
			}
			if constantsFit(q, s.col, c.typ) {
				exprs[i] = castQuiet(q.colExpr(s.col), c.typ)
				break
			}
			exprs[i], err = p.storable(q.colExpr(s.col), c, p.itemNode(ins.Query, s.col), what)
		default:
			exprs[i] = expr.NullOf(c.typ.Nullable())
			if c.typ.NotNull {
				err = p.errorf(ins.Table, "", "column %q of %q is NOT NULL, but INSERT does not give it a value", c.name, t.name)
			}
		}
		if err != nil {
			errs, err = appendErr(errs, err), nil
			continue
		}
		exprs[i] = castQuiet(exprs[i], want)
		cols[i] = derive(q, exprs[i], c.name)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return calcOver(q, nil, exprs, cols, ins, p.text(ins)), nil
}

// storable casts a value to a sink's column where SQL does it implicitly.
func (p *planner) storable(e *expr.Expr, c *tableColumn, node parse.Node, what string) (*expr.Expr, error) {
	out, err := expr.ImplicitCast(e, c.typ.Nullable())
	if err != nil {
		hint := fmt.Sprintf("write CAST(... AS %s)", c.typ.Nullable())
		if e.Type.Kind.IsNested() != c.typ.Kind.IsNested() {
			hint = ""
		}
		return nil, p.errorf(node, hint, "%s is %s, but the sink's column %q is %s", what, e.Type.Nullable(), c.name, c.typ.Nullable())
	}
	return out, nil
}

// constantsFit reports whether column i of q holds constants only, all of which the type can hold: 1 may be stored as a SMALLINT and
// '2024-01-01' as a DATE, as if they had been written so.
func constantsFit(q *rel, i int, want vec.Type) bool {
	var lits []*expr.Expr
	switch q.kind {
	case relValues:
		for _, row := range q.rows {
			lits = append(lits, row[i])
		}
	case relCalc:
		if q.exprs == nil {
			return constantsFit(q.ins[0], i, want)
		}
		if q.exprs[i].Op == expr.OpCol {
			return constantsFit(q.ins[0], q.exprs[i].Col, want)
		}
		lits = q.exprs[i : i+1]
	default:
		return false
	}
	for _, e := range lits {
		if lit, ok := constant(e); !ok || !fits(lit, want) {
			return false
		}
	}
	return true
}

func fits(lit *expr.Expr, want vec.Type) bool {
	if lit.Null {
		return true
	}
	from := lit.Type.Kind
	number := (from.IsInteger() || from == vec.Decimal) && want.Kind.IsNumeric() && (from != vec.Decimal || !want.Kind.IsInteger())
	text := from == vec.String && (want.Kind == vec.Date || want.Kind == vec.Time || want.Kind.IsTimestamp())
	if !number && !text {
		return false
	}
	cast, err := expr.Cast(lit, want.Nullable())
	if err != nil {
		return false
	}
	out := fold(cast)
	if out.Op != expr.OpLit || out.Null {
		return false
	}
	return !want.Kind.IsInteger() || out.Lit == lit.Lit
}

// sinkValue says where a sink's column comes from: a column of the query, a constant, or (col -1) nowhere.
type sinkValue struct {
	col   int
	value *expr.Expr
	node  parse.Node
}

// insertColumns matches the sink's written columns with the query's n columns and the static partition.
func (p *planner) insertColumns(ins *parse.Insert, t *table, n int, written []int) ([]sinkValue, error) {
	out := make([]sinkValue, len(written))
	byName := map[string]int{}
	for i, w := range written {
		out[i] = sinkValue{col: -1}
		byName[t.columns[w].name] = i
	}
	fixed := 0
	for i := range ins.Partition {
		pv := &ins.Partition[i]
		at, ok := byName[pv.Column.Name]
		if !ok {
			return nil, p.noSinkColumn(t, pv.Column, byName)
		}
		if pv.Value == nil {
			continue
		}
		e, err := p.exprBinder(newScope(&rel{kind: relValues}, "")).bind(pv.Value)
		if err != nil {
			return nil, err
		}
		out[at].value, out[at].node = e, pv.Value
		fixed++
	}
	targets := make([]int, 0, len(written))
	if len(ins.Columns) == 0 {
		for i := range written {
			if out[i].value == nil {
				targets = append(targets, i)
			}
		}
	}
	seen := map[int]bool{}
	for _, id := range ins.Columns {
		at, ok := byName[id.Name]
		if !ok {
			return nil, p.noSinkColumn(t, id, byName)
		}
		if seen[at] {
			return nil, p.errorf(id, "", "column %q is named twice", id.Name)
		}
		seen[at] = true
		targets = append(targets, at)
	}
	if len(targets) != n {
		return nil, p.columnCount(ins, t, targets, written, n)
	}
	for i, at := range targets {
		out[at].col = i
	}
	return out, nil
}

func (p *planner) columnCount(ins *parse.Insert, t *table, targets, written []int, n int) error {
	names, types := make([]string, len(targets)), make([]vec.Type, len(targets))
	for i, at := range targets {
		names[i], types[i] = t.columns[written[at]].name, t.columns[written[at]].typ
	}
	return p.errorf(ins.Table, "the sink's columns are "+shorten(typed(names, types), 300),
		"the query has %s, but %q takes %d", count(n, "column"), t.name, len(targets))
}

func (p *planner) noSinkColumn(t *table, id parse.Ident, byName map[string]int) error {
	names := make([]string, 0, len(byName))
	for n := range byName {
		names = append(names, n)
	}
	if t.index(id.Name) >= 0 {
		return p.errorf(id, "", "column %q of %q cannot be written: it is computed, virtual, or the connector gives it", id.Name, t.name)
	}
	return p.errorf(id, parse.DidYouMean(id.Name, sorted(names)), "column %q does not exist in %q", id.Name, t.name)
}

// itemNode is the select item that makes column i, or the query where that is not plain to see.
func (p *planner) itemNode(q *parse.Query, i int) parse.Node {
	body := q.Body
	for {
		inner, ok := body.(*parse.Query)
		if !ok {
			break
		}
		body = inner.Body
	}
	switch b := body.(type) {
	case *parse.Select:
		for _, it := range b.Items {
			if _, star := it.Expr.(*parse.Star); star {
				return b
			}
		}
		if i < len(b.Items) {
			return b.Items[i]
		}
	case *parse.Values:
		if len(b.Rows) > 0 && i < len(b.Rows[0].Elems) {
			return b.Rows[0].Elems[i]
		}
	}
	return q
}

// preview runs a bare SELECT into Options.PreviewSink.
func (p *planner) preview(s *parse.QueryStmt) error {
	q, err := p.bindQuery(s.Query, nil)
	if err != nil {
		return err
	}
	spec := graph.TableSpec{Name: "preview", Connector: "print"}
	if p.o.PreviewSink != nil {
		spec = *p.o.PreviewSink
	}
	con := p.o.Connectors[spec.Connector]
	if con == nil || con.NewSink == nil {
		return p.errorf(s, "write INSERT INTO a table", "a SELECT alone has nowhere to go")
	}
	p.previews++
	if p.previews > 1 {
		spec.Name = fmt.Sprintf("%s%d", spec.Name, p.previews)
	}
	spec.Schema = q.schema()
	for i, f := range spec.Schema.Fields {
		if f.Type.Kind == vec.Null {
			spec.Schema.Fields[i].Type = vec.TypeString
		}
	}
	if spec.Options == nil {
		spec.Options = map[string]string{}
	}
	t := &table{name: spec.Name, connector: con, options: spec.Options}
	exprs := make([]*expr.Expr, len(q.cols))
	cols := make([]column, len(q.cols))
	for i := range q.cols {
		exprs[i] = castQuiet(q.colExpr(i), spec.Schema.Fields[i].Type)
		cols[i] = derive(q, exprs[i], q.cols[i].name)
	}
	in := calcOver(q, nil, exprs, cols, s, p.text(s))
	p.sinks = append(p.sinks, p.sinkRel(in, t, spec, s, p.text(s)))
	return nil
}

// count prints a number of things.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
