package plan

import (
	"sort"
	"strings"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/sql/parse"
)

// The one catalog and database that a script has, under Flink's names.
const (
	defaultCatalog  = "default_catalog"
	defaultDatabase = "default_database"
)

// catalog holds the tables and views of a script.
type catalog struct {
	tables map[string]*table
	views  map[string]*view
}

func newCatalog() *catalog {
	return &catalog{tables: map[string]*table{}, views: map[string]*view{}}
}

// table is a bound CREATE TABLE.
type table struct {
	name      string
	def       *parse.CreateTable // with what LIKE brought in
	connector *op.Connector
	options   map[string]string // connector key left out
	// physical are the columns that the connector reads or writes, in declared order: physical and metadata columns.
	physical []tableColumn
	// columns are all columns, in declared order.
	columns []tableColumn
	// rowtime is the index in columns of the watermarked column, -1 without.
	rowtime    int
	watermark  *expr.Expr // over columns
	primaryKey []int      // in columns
	partition  []int      // in columns
	// refused says that the declaration has mistakes, which are reported: what uses the table adds nothing to that.
	refused bool
	// read and written say how the script uses the table.
	read, written bool
}

// tableColumn is one column of a table.
type tableColumn struct {
	name string
	typ  vec.Type
	kind parse.ColumnKind
	// expr is over the table's physical columns, for computed columns.
	expr *expr.Expr
	// physical is the index in table.physical, -1 for computed columns.
	physical int
	metadata string // metadata key, "" if none
	virtual  bool   // metadata that is not written
	def      *parse.Column
}

// written reports whether a sink takes the column.
func (c *tableColumn) written() bool { return c.kind != parse.ColumnComputed && !c.virtual }

// view is a bound CREATE VIEW.
type view struct {
	name string
	rel  *rel // nil when its declaration was refused
}

// tableName returns the table's name, whatever catalog it is qualified with. ok is false when the qualification is unknown.
func tableName(n parse.Name) (name string, ok bool) {
	parts := n.Parts
	switch {
	case len(parts) == 1:
		return parts[0].Name, true
	case len(parts) == 2 && parts[0].Name == defaultDatabase:
		return parts[1].Name, true
	case len(parts) == 3 && parts[0].Name == defaultCatalog && parts[1].Name == defaultDatabase:
		return parts[2].Name, true
	default:
		return dotted(parts), false
	}
}

func dotted(parts []parse.Ident) string {
	s := make([]string, len(parts))
	for i, p := range parts {
		s[i] = p.Name
	}
	return strings.Join(s, ".")
}

// names lists tables and views, sorted.
func (c *catalog) names() []string {
	var names []string
	for n := range c.tables {
		names = append(names, n)
	}
	for n := range c.views {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

func (c *catalog) has(name string) bool { return c.tables[name] != nil || c.views[name] != nil }

// noTable is the error for an unknown table.
func (p *planner) noTable(n parse.Name, more ...string) error {
	name, ok := tableName(n)
	if !ok {
		return p.errorf(n, "", "there is no %q: a script has the one database %s.%s", name, defaultCatalog, defaultDatabase)
	}
	names := append(p.cat.names(), more...)
	hint := parse.DidYouMean(name, names)
	if hint == "" && len(names) == 0 {
		hint = "declare it with CREATE TABLE"
	}
	return p.errorf(n, hint, "table %q does not exist", name)
}

func (p *planner) drop(d *parse.Drop) error {
	name, ok := tableName(d.Name)
	switch {
	case d.Object == "TABLE" && ok && p.cat.tables[name] != nil:
		delete(p.cat.tables, name)
	case d.Object == "VIEW" && ok && p.cat.views[name] != nil:
		delete(p.cat.views, name)
	case d.IfExists:
	case d.Object == "TABLE" && p.cat.views[name] != nil:
		return p.errorf(d.Name, "write DROP VIEW", "%q is a view", name)
	case d.Object == "VIEW" && p.cat.tables[name] != nil:
		return p.errorf(d.Name, "write DROP TABLE", "%q is a table", name)
	default:
		return p.errorf(d.Name, parse.DidYouMean(name, p.cat.names()), "%s %q does not exist", strings.ToLower(d.Object), name)
	}
	return nil
}

// claim checks that name may be created. skip is true when it exists and IF NOT EXISTS was said.
func (p *planner) claim(n parse.Name, ifNotExists bool) (name string, skip bool, err error) {
	name, ok := tableName(n)
	if !ok {
		return "", false, p.errorf(n, "", "cannot create %q: a script has the one database %s.%s", name, defaultCatalog, defaultDatabase)
	}
	if !p.cat.has(name) {
		return name, false, nil
	}
	if ifNotExists {
		return name, true, nil
	}
	return "", false, p.errorf(n, "", "%q exists already", name)
}

func (p *planner) createView(v *parse.CreateView) error {
	name, skip, err := p.claim(v.Name, v.IfNotExists)
	if err != nil || skip {
		return err
	}
	r, err := p.bindQuery(v.Query, nil)
	if err == nil {
		r, err = p.renamed(r, v.Columns, v.Name, "view "+name)
	}
	if err != nil {
		// A view with mistakes is kept, so that what uses it does not add "does not exist".
		r = nil
	}
	p.cat.views[name] = &view{name: name, rel: r}
	return err
}

// renamed gives the columns of r other names, for v(a, b) and t AS v(a, b).
func (p *planner) renamed(r *rel, names []parse.Ident, where parse.Node, what string) (*rel, error) {
	if len(names) == 0 {
		return r, nil
	}
	if len(names) != len(r.cols) {
		return nil, p.errorf(where, "", "%s names %s, its query has %d", what, count(len(names), "column"), len(r.cols))
	}
	exprs := make([]*expr.Expr, len(r.cols))
	cols := make([]column, len(r.cols))
	for i := range r.cols {
		exprs[i], cols[i] = r.colExpr(i), r.cols[i]
		cols[i].name, cols[i].implicit = names[i].Name, false
	}
	return calcOver(r, nil, exprs, cols, r.where, r.text), nil
}
