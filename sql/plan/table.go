package plan

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/sql/parse"
)

func (p *planner) createTable(ct *parse.CreateTable) error {
	name, skip, err := p.claim(ct.Name, ct.IfNotExists)
	if err != nil || skip {
		return err
	}
	if ct.As != nil {
		return p.errorf(ct, "write CREATE TABLE with columns, then INSERT INTO", "CREATE TABLE AS is not supported yet")
	}
	def, err := p.applyLike(ct)
	if err != nil {
		p.cat.tables[name] = &table{name: name, def: ct, refused: true}
		return err
	}
	t := &table{name: name, def: def, rowtime: -1}
	var errs parse.ErrorList
	errs = append(errs, p.bindConnector(t)...)
	errs = append(errs, p.bindColumns(t)...)
	if len(errs) == 0 {
		errs = appendErr(errs, p.bindWatermark(t))
		errs = appendErr(errs, p.bindKeys(t))
	}
	// A table with mistakes is kept, so that what uses it does not add "does not exist".
	t.refused = len(errs) > 0
	p.cat.tables[name] = t
	return errs.Err()
}

// bindConnector finds the connector and checks the options.
func (p *planner) bindConnector(t *table) parse.ErrorList {
	t.options = map[string]string{}
	seen := map[string]bool{}
	var con *parse.Option
	var errs parse.ErrorList
	for i := range t.def.Options {
		o := &t.def.Options[i]
		if seen[o.Key.Value] {
			errs = append(errs, p.errorf(o.Key, "", "option %q is given twice", o.Key.Value))
		}
		seen[o.Key.Value] = true
		if o.Key.Value == optConnector {
			con = o
			continue
		}
		t.options[o.Key.Value] = o.Value.Value
	}
	names := make([]string, 0, len(p.o.Connectors))
	for n := range p.o.Connectors {
		names = append(names, n)
	}
	names = sorted(names)
	if con == nil {
		return append(errs, p.errorf(t.def.Name, "known are "+strings.Join(names, ", "),
			"table %q lacks the option 'connector' in WITH (...)", t.name))
	}
	t.connector = p.o.Connectors[con.Value.Value]
	if t.connector == nil {
		hint := parse.DidYouMean(con.Value.Value, names)
		if hint == "" {
			hint = "known are " + strings.Join(names, ", ")
		}
		return append(errs, p.errorf(con.Value, hint, "unknown connector %q", con.Value.Value))
	}
	errs = append(errs, p.checkOptions(t.connector, t.def.Options)...)
	for k, v := range t.options {
		t.options[k] = canonical(t.connector, k, v)
	}
	if strings.EqualFold(t.options[optBad], "dead-letter") && t.options[optBadTable] == "" {
		errs = append(errs, p.errorf(p.optionNode(t, errors.New("'bad-records'")), "add 'bad-records.table' = '<table>'", "'bad-records' = 'dead-letter' needs a table to write to"))
	}
	return errs
}

// bindColumns binds types first, then computed columns, which may use any physical column.
func (p *planner) bindColumns(t *table) parse.ErrorList {
	var errs parse.ErrorList
	seen := map[string]bool{}
	for _, c := range t.def.Columns {
		if seen[c.Name.Name] {
			errs = append(errs, p.errorf(c.Name, "", "column %q is declared twice", c.Name.Name))
			continue
		}
		seen[c.Name.Name] = true
		tc := tableColumn{name: c.Name.Name, kind: c.Kind, def: c, physical: -1, virtual: c.Virtual}
		if c.Kind != parse.ColumnComputed {
			typ, err := vecType(c.Type)
			if err != nil {
				errs = append(errs, p.errorf(c.Type, "", "column %q: %v", c.Name.Name, err))
			}
			tc.typ = typ
			if c.Kind == parse.ColumnMetadata {
				errs = appendErr(errs, p.bindMetadata(t, &tc))
			}
			tc.physical = len(t.physical)
			t.physical = append(t.physical, tc)
		}
		t.columns = append(t.columns, tc)
	}
	if len(t.def.Columns) == 0 {
		errs = append(errs, p.errorf(t.def.Name, "", "table %q has no columns", t.name))
	}
	in := t.physicalRel()
	for i := range t.columns {
		c := &t.columns[i]
		if c.kind != parse.ColumnComputed {
			continue
		}
		e, err := p.bindComputed(t, in, c)
		if err != nil {
			errs = appendErr(errs, err)
			e = expr.NullOf(vec.TypeNull)
		}
		c.expr, c.typ = e, e.Type
	}
	return errs
}

func (p *planner) bindComputed(t *table, in *rel, c *tableColumn) (*expr.Expr, error) {
	b := p.exprBinder(newScope(in, t.name))
	b.computed = t
	return b.bind(c.def.Expr)
}

// physicalRel is a stand-in with the columns that the connector delivers.
func (t *table) physicalRel() *rel {
	r := &rel{kind: relScan}
	for _, c := range t.physical {
		r.cols = append(r.cols, column{name: c.name, typ: c.typ})
	}
	return r
}

// bindMetadata checks a METADATA column against what the connector offers.
func (p *planner) bindMetadata(t *table, c *tableColumn) error {
	key, where := c.name, parse.Node(c.def.Name)
	if c.def.MetadataKey != nil {
		key, where = c.def.MetadataKey.Value, c.def.MetadataKey
	}
	c.metadata = key
	if t.connector == nil {
		return nil
	}
	var keys []string
	for i := range t.connector.Metadata {
		m := &t.connector.Metadata[i]
		keys = append(keys, m.Key)
		if m.Key != key {
			continue
		}
		if !m.Writable {
			// As Flink says VIRTUAL must be written for it; reading works without, and only a sink cares.
			c.virtual = true
		}
		probe := expr.Column(0, key, m.Type)
		if _, err := expr.Cast(probe, c.typ); err != nil {
			return p.errorf(c.def.Type, "", "metadata %q of connector %q is %s, which does not convert to %s", key, t.connector.Name, m.Type, c.typ)
		}
		return nil
	}
	if len(keys) == 0 {
		return p.errorf(where, "", "connector %q has no metadata columns", t.connector.Name)
	}
	hint := parse.DidYouMean(key, keys)
	if hint == "" {
		hint = "known are " + strings.Join(keys, ", ")
	}
	return p.errorf(where, hint, "connector %q has no metadata %q", t.connector.Name, key)
}

// metadataType is the type in which the connector delivers a metadata key.
func metadataType(c *op.Connector, key string) (vec.Type, bool) {
	for i := range c.Metadata {
		if c.Metadata[i].Key == key {
			return c.Metadata[i].Type, true
		}
	}
	return vec.Type{}, false
}

// columnsRel is a stand-in with all columns of the table, as the watermark sees them.
func (t *table) columnsRel() *rel {
	r := &rel{kind: relScan}
	for i := range t.columns {
		c := &t.columns[i]
		col := column{name: c.name, typ: c.typ}
		if c.expr != nil && isProctime(c.expr) {
			col.attr = attrProc
		}
		r.cols = append(r.cols, col)
	}
	return r
}

func (p *planner) bindWatermark(t *table) error {
	if len(t.def.Watermarks) == 0 {
		return nil
	}
	w := t.def.Watermarks[0]
	if len(t.def.Watermarks) > 1 {
		return p.errorf(t.def.Watermarks[1], "", "table %q has more than one WATERMARK", t.name)
	}
	if len(w.Column.Parts) > 1 {
		return p.errorf(w.Column, "declare a computed column, such as ts AS "+dotted(w.Column.Parts),
			"the watermark's column %q is nested, which is not supported", dotted(w.Column.Parts))
	}
	in := t.columnsRel()
	name := w.Column.Parts[0].Name
	i := indexOf(in.cols, name)
	if i < 0 {
		return p.errorf(w.Column, parse.DidYouMean(name, columnNames(in.cols)), "column %q does not exist in %q", name, t.name)
	}
	if k := in.cols[i].typ.Kind; !k.IsTimestamp() {
		hint := "make a computed column of it, such as ts AS TO_TIMESTAMP_LTZ(" + name + ", 3)"
		if k == vec.String {
			hint = "make a computed column of it, such as ts AS TO_TIMESTAMP(" + name + ")"
		}
		return p.errorf(w.Column, hint, "the watermark's column %q is %s; it must be TIMESTAMP or TIMESTAMP_LTZ", name, in.cols[i].typ)
	}
	if in.cols[i].attr == attrProc {
		return p.errorf(w.Column, "", "%q is processing time, which has no watermark", name)
	}
	b := p.exprBinder(newScope(in, t.name))
	e, err := b.bind(w.Expr)
	if err != nil {
		return err
	}
	if e.Type.Kind != in.cols[i].typ.Kind {
		return p.errorf(w.Expr, "", "the watermark is %s, its column %q is %s", e.Type.Nullable(), name, in.cols[i].typ.Nullable())
	}
	if !expr.IsDeterministic(e) {
		return p.errorf(w.Expr, "", "a watermark must follow from the row alone")
	}
	t.rowtime, t.watermark = i, e
	return nil
}

func (p *planner) bindKeys(t *table) error {
	var errs parse.ErrorList
	if len(t.def.PrimaryKeys) > 1 {
		errs = append(errs, p.errorf(t.def.PrimaryKeys[1], "", "table %q has more than one PRIMARY KEY", t.name))
	}
	resolve := func(ids []parse.Ident, what string) (out []int) {
		for _, id := range ids {
			i := t.index(id.Name)
			switch {
			case i < 0:
				errs = append(errs, p.errorf(id, parse.DidYouMean(id.Name, columnNames(t.columnsRel().cols)),
					"column %q does not exist in %q", id.Name, t.name))
			case t.columns[i].kind != parse.ColumnPhysical:
				errs = append(errs, p.errorf(id, "", "column %q of the %s must be a physical column", id.Name, what))
			default:
				out = append(out, i)
			}
		}
		return out
	}
	if len(t.def.PrimaryKeys) > 0 {
		t.primaryKey = resolve(t.def.PrimaryKeys[0].Columns, "primary key")
		for _, i := range t.primaryKey {
			t.columns[i].typ.NotNull = true
			t.physical[t.columns[i].physical].typ.NotNull = true
		}
	}
	t.partition = resolve(t.def.PartitionBy, "partition")
	return errs.Err()
}

// index finds a column by name, -1 if there is none.
func (t *table) index(name string) int {
	for i := range t.columns {
		if t.columns[i].name == name {
			return i
		}
	}
	return -1
}

// likeDefaults are what LIKE takes over when nothing else is said.
var likeDefaults = map[string]string{
	"CONSTRAINTS": "INCLUDING", "DISTRIBUTION": "INCLUDING", "PARTITIONS": "INCLUDING", "GENERATED": "INCLUDING",
	"METADATA": "INCLUDING", "WATERMARKS": "INCLUDING", "OPTIONS": "OVERWRITING",
}

// applyLike returns ct with what LIKE takes over from its table.
func (p *planner) applyLike(ct *parse.CreateTable) (*parse.CreateTable, error) {
	if ct.Like == nil {
		return ct, nil
	}
	name, _ := tableName(ct.Like.Table)
	base := p.cat.tables[name]
	if base != nil && base.refused {
		return nil, errReported
	}
	if base == nil {
		if p.cat.views[name] != nil {
			return nil, p.errorf(ct.Like.Table, "", "LIKE takes a table; %q is a view", name)
		}
		return nil, p.noTable(ct.Like.Table)
	}
	how := maps.Clone(likeDefaults)
	for _, o := range ct.Like.Options {
		if o.Feature == "ALL" {
			for f := range how {
				how[f] = o.Strategy
			}
		}
	}
	for _, o := range ct.Like.Options {
		if o.Feature != "ALL" {
			how[o.Feature] = o.Strategy
		}
	}
	return p.mergeLike(ct, base.def, how)
}

func (p *planner) mergeLike(ct, base *parse.CreateTable, how map[string]string) (*parse.CreateTable, error) {
	out := *ct
	out.Like = nil
	var errs parse.ErrorList
	own := map[string]*parse.Column{}
	for _, c := range ct.Columns {
		own[c.Name.Name] = c
	}
	var cols []*parse.Column
	for _, c := range base.Columns {
		feature := map[parse.ColumnKind]string{parse.ColumnComputed: "GENERATED", parse.ColumnMetadata: "METADATA"}[c.Kind]
		if feature != "" && how[feature] == "EXCLUDING" {
			continue
		}
		if mine := own[c.Name.Name]; mine != nil {
			if feature == "" || how[feature] != "OVERWRITING" {
				errs = append(errs, p.errorf(mine.Name, "", "column %q is already in the table of LIKE", c.Name.Name))
			}
			continue
		}
		cols = append(cols, c)
	}
	out.Columns = append(cols, ct.Columns...)
	if how["WATERMARKS"] != "EXCLUDING" && (len(ct.Watermarks) == 0 || how["WATERMARKS"] == "INCLUDING") {
		out.Watermarks = append(append([]*parse.Watermark(nil), base.Watermarks...), ct.Watermarks...)
	}
	if how["CONSTRAINTS"] != "EXCLUDING" {
		out.PrimaryKeys = append(append([]*parse.PrimaryKey(nil), base.PrimaryKeys...), ct.PrimaryKeys...)
	}
	if how["PARTITIONS"] != "EXCLUDING" && len(ct.PartitionBy) == 0 {
		out.PartitionBy = base.PartitionBy
	}
	if how["OPTIONS"] == "EXCLUDING" {
		return &out, errs.Err()
	}
	mine := map[string]bool{}
	for _, o := range ct.Options {
		mine[o.Key.Value] = true
	}
	var opts []parse.Option
	for _, o := range base.Options {
		if !mine[o.Key.Value] {
			opts = append(opts, o)
		} else if how["OPTIONS"] == "INCLUDING" {
			errs = append(errs, p.errorf(ct.Like, "say OVERWRITING OPTIONS", "option %q is already in the table of LIKE", o.Key.Value))
		}
	}
	out.Options = append(opts, ct.Options...)
	return &out, errs.Err()
}

func indexOf(cols []column, name string) int {
	for i := range cols {
		if cols[i].name == name {
			return i
		}
	}
	return -1
}

func columnNames(cols []column) []string {
	out := make([]string, len(cols))
	for i := range cols {
		out[i] = cols[i].name
	}
	return out
}

// typed prints columns with their types, for errors.
func typed(names []string, types []vec.Type) string {
	parts := make([]string, len(names))
	for i := range names {
		parts[i] = fmt.Sprintf("%s %s", names[i], types[i].Nullable())
	}
	return strings.Join(parts, ", ")
}
