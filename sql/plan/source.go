package plan

import (
	"fmt"
	"maps"
	"strings"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/sql/parse"
)

// hinted returns the table's options with those of OPTIONS hints over them, where it is used as a source or a sink.
func (p *planner) hinted(t *table, hints []parse.Hint, use string) (map[string]string, error) {
	options := t.options
	for i := range hints {
		h := &hints[i]
		if h.Name != "OPTIONS" {
			p.warnf(h, "", "the hint %s is not known and is ignored", h.Name)
			continue
		}
		if errs := p.checkOptions(t.connector, h.Options); len(errs) > 0 {
			return nil, errs
		}
		options = maps.Clone(options)
		for _, o := range h.Options {
			if o.Key.Value == optConnector {
				return nil, p.errorf(o.Key, "", "OPTIONS cannot change the connector")
			}
			if only := onlyFor(findOption(t.connector, o.Key.Value), o.Value.Value); only != "" && only != use {
				return nil, p.errorf(o.Key, "", "option '%s' = '%s' is for a %s, and here %q is a %s", o.Key.Value, shownOption(t, &o), only, t.name, use)
			}
			options[o.Key.Value] = canonical(t.connector, o.Key.Value, o.Value.Value)
		}
	}
	return options, nil
}

// errReported stands for an error that is in the list already: planner.fail leaves it out.
var errReported = &parse.Error{Msg: "a table that this uses has been refused"}

// scan returns the rows of a table as queries see them: with computed columns and the watermark. The same table with
// the same options is the same rel, so that it is read once.
func (p *planner) scan(t *table, ref *parse.Table) (*rel, error) {
	if t.refused {
		return nil, errReported
	}
	if t.connector.NewSource == nil {
		return nil, p.errorf(ref, "", "table %q cannot be read: connector %q is a sink only", t.name, t.connector.Name)
	}
	options, err := p.hinted(t, ref.Hints, asSource)
	if err != nil {
		return nil, err
	}
	key := fmt.Sprintf("%p %v", t, options)
	if r := p.sharedScans[key]; r != nil {
		return r, nil
	}
	s := &scanSpec{table: t, options: options}
	for i := range t.physical {
		s.fields = append(s.fields, i)
	}
	spec := s.spec()
	if err := p.checkUse(t, &spec, false); err != nil {
		return nil, err
	}
	s.bounded = t.connector.Bounded != nil && t.connector.Bounded(&spec)
	s.common = readCommon(t.connector.Name, s.bounded, options)
	r := p.scanRel(s, ref)
	p.sharedScans[key] = r
	return r, nil
}

// scanRel is scan, then the computed columns, then the watermark.
func (p *planner) scanRel(s *scanSpec, ref *parse.Table) *rel {
	t := s.table
	text := p.text(ref)
	r := &rel{kind: relScan, scan: s, where: ref, text: text}
	phys := make([]*expr.Expr, len(t.physical))
	for i := range t.physical {
		c := &t.physical[i]
		r.cols = append(r.cols, column{name: c.name, typ: t.scanType(i)})
		phys[i] = castQuiet(r.colExpr(i), c.typ)
	}
	exprs := make([]*expr.Expr, len(t.columns))
	cols := make([]column, len(t.columns))
	plain := len(t.columns) == len(t.physical)
	for i := range t.columns {
		c := &t.columns[i]
		if c.physical >= 0 {
			exprs[i] = phys[c.physical]
		} else {
			exprs[i] = substitute(c.expr, phys)
		}
		plain = plain && exprs[i].Op == expr.OpCol && exprs[i].Col == i
		cols[i] = column{name: c.name, typ: c.typ}
		if isProctime(exprs[i]) {
			cols[i].attr = attrProc
		}
	}
	if !plain {
		r = calcOver(r, nil, exprs, cols, ref, text)
	}
	if t.rowtime < 0 {
		return r
	}
	cols[t.rowtime].attr = attrRow
	return &rel{
		kind: relWatermark, ins: []*rel{r}, cols: cols, where: ref, text: text,
		wm: &graph.WatermarkSpec{
			TimeCol: t.rowtime, Expr: t.watermark, IdleMS: s.common.idleMS, MaxFutureMS: s.common.maxFutureMS,
			FallbackMS: s.common.fallbackMS, AwayMS: s.common.awayMS, LocalZone: cols[t.rowtime].typ.Kind == vec.Timestamp,
		},
	}
}

// scanType is the type in which the connector delivers physical column i: metadata come as the connector has them.
func (t *table) scanType(i int) vec.Type {
	c := &t.physical[i]
	if c.metadata != "" {
		if m, ok := metadataType(t.connector, c.metadata); ok {
			return m
		}
	}
	return c.typ
}

// castQuiet casts where the types differ; that the cast exists has been checked.
func castQuiet(e *expr.Expr, t vec.Type) *expr.Expr {
	if e.Type.Equal(t) {
		return e
	}
	c, err := expr.Cast(e, t.Nullable())
	if err != nil {
		return e
	}
	return c
}

// substitute replaces the columns of e by expressions.
func substitute(e *expr.Expr, cols []*expr.Expr) *expr.Expr {
	if e.Op == expr.OpCol {
		return cols[e.Col]
	}
	if len(e.Args) == 0 {
		return e
	}
	c := *e
	c.Args = make([]*expr.Expr, len(e.Args))
	for i, a := range e.Args {
		c.Args[i] = substitute(a, cols)
	}
	return &c
}

// spec is the table as the connector reads it.
func (s *scanSpec) spec() graph.TableSpec {
	t := s.table
	spec := graph.TableSpec{Name: t.name, Connector: t.connector.Name, Options: s.options, Schema: &vec.Schema{}}
	at := map[int]int{} // physical column to position
	for i, f := range s.fields {
		c := &t.physical[f]
		at[f] = i
		typ := t.scanType(f)
		if n, ok := s.narrow[f]; ok {
			typ = n
		}
		spec.Schema.Fields = append(spec.Schema.Fields, vec.Field{Name: c.name, Type: typ})
		spec.Metadata = append(spec.Metadata, c.metadata)
	}
	trimMetadata(&spec)
	spec.PrimaryKey = t.positions(t.primaryKey, at)
	spec.PartitionKeys = t.positions(t.partition, at)
	return spec
}

// trimMetadata leaves Metadata out when no column is one.
func trimMetadata(spec *graph.TableSpec) {
	for _, m := range spec.Metadata {
		if m != "" {
			return
		}
	}
	spec.Metadata = nil
}

// positions maps columns of the table to where they are in a spec; nil when one is missing.
func (t *table) positions(cols []int, at map[int]int) []int {
	var out []int
	for _, c := range cols {
		i, ok := at[t.columns[c].physical]
		if !ok {
			return nil
		}
		out = append(out, i)
	}
	return out
}

// sinkSpecOf is the table as the connector writes it, and the table's columns that are written.
func (t *table) sinkSpecOf(options map[string]string) (graph.TableSpec, []int) {
	spec := graph.TableSpec{Name: t.name, Connector: t.connector.Name, Options: options, Schema: &vec.Schema{}}
	at := map[int]int{}
	var written []int
	for i := range t.columns {
		c := &t.columns[i]
		if !c.written() {
			continue
		}
		at[c.physical] = len(written)
		written = append(written, i)
		spec.Schema.Fields = append(spec.Schema.Fields, vec.Field{Name: c.name, Type: t.scanType(c.physical)})
		spec.Metadata = append(spec.Metadata, c.metadata)
	}
	trimMetadata(&spec)
	spec.PrimaryKey = t.positions(t.primaryKey, at)
	spec.PartitionKeys = t.positions(t.partition, at)
	return spec, written
}

// lateTarget finds the table to which late rows of what r reads go; nil when they are only counted.
func (p *planner) lateTarget(r *rel, where parse.Node) (*table, error) {
	found := map[string]*scanSpec{}
	seen := map[*rel]bool{}
	var walk func(*rel)
	walk = func(r *rel) {
		if seen[r] || r.kind == relWindow || r.kind == relGroup {
			return
		}
		seen[r] = true
		if r.kind == relScan {
			found[r.scan.common.lateTable] = r.scan
		}
		for _, in := range r.ins {
			walk(in)
		}
	}
	walk(r)
	delete(found, "")
	if len(found) == 0 {
		return nil, nil
	}
	if len(found) > 1 {
		return nil, p.errorf(where, "give them the same 'late-records'", "the tables of this window send late rows to different tables")
	}
	for name, s := range found {
		return p.sideTarget(s.table, optLate, name)
	}
	return nil, nil
}

// sideTarget finds the table that an option names, and checks that it can be written.
func (p *planner) sideTarget(of *table, key, name string) (*table, error) {
	var node parse.Node = of.def
	for i := range of.def.Options {
		if of.def.Options[i].Key.Value == key {
			node = of.def.Options[i].Value
		}
	}
	t := p.cat.tables[name]
	switch {
	case t == nil:
		return nil, p.errorf(node, parse.DidYouMean(name, p.cat.names()), "option %q names table %q, which does not exist", key, name)
	case t.refused:
		return nil, errReported
	case t.connector.NewSink == nil:
		return nil, p.errorf(node, "", "option %q names table %q, which cannot be written: connector %q is a source only", key, name, t.connector.Name)
	}
	return t, nil
}

// routeLate sends late rows of a window to the table that 'late-records' names; its columns are found by name in the window's input.
func (p *planner) routeLate(w *windowSpec, in *rel, pre *projection, where parse.Node) error {
	if w.proc {
		return nil
	}
	t, err := p.lateTarget(in, where)
	if err != nil || t == nil {
		return err
	}
	_, written := t.sinkSpecOf(t.options)
	route := &lateRoute{table: t}
	var missing []string
	for _, i := range written {
		c := &t.columns[i]
		j := indexOf(in.cols, c.name)
		if j < 0 || in.cols[j].role != roleNone {
			missing = append(missing, c.name)
			continue
		}
		if _, err := expr.ImplicitCast(in.colExpr(j), c.typ.Nullable()); err != nil {
			return p.errorf(where, "", "late rows go to table %q, but its column %q is %s and the window's is %s",
				t.name, c.name, c.typ.Nullable(), in.cols[j].typ.Nullable())
		}
		route.cols = append(route.cols, pre.add(in.colExpr(j), ""))
	}
	if len(missing) > 0 {
		return p.errorf(where, "its columns are taken by name from the rows that the window groups",
			"late rows go to table %q, whose column %s is not in the window's input (%s)",
			t.name, strings.Join(missing, ", "), shorten(strings.Join(columnNames(in.cols), ", "), 200))
	}
	w.late = route
	return nil
}
