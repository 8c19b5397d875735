package plan

import (
	"errors"
	"slices"
	"strings"

	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/sorting"
	"github.com/bramble-stream/bramble/sql/parse"
)

// TableInfo is a table or view of a script, for who asks what there is.
type TableInfo struct {
	Name    string
	View    bool
	Comment string
	Columns []ColumnInfo
	// PrimaryKey are the names of its columns, as declared.
	PrimaryKey []string
	// Create is the statement that makes it, over several lines, with secrets masked and with what LIKE brought in.
	Create string
}

// ColumnInfo is a column of a table or view.
type ColumnInfo struct {
	Name string
	Type vec.Type
	// Rowtime and Proctime say that it is a time attribute, Key that it is of the primary key.
	Rowtime, Proctime, Key bool
	// Extras is how a column that is not physical is made: AS …, METADATA …
	Extras string
	// Watermark is the expression of its watermark, "" without one.
	Watermark string
	Comment   string
}

// Tables are the tables and views that a script has at its end, by name. The script need not run anything. An error is a parse.ErrorList.
func Tables(script string, o Options) ([]TableInfo, error) {
	ast, err := parse.Parse(o.File, script)
	if err != nil {
		var list parse.ErrorList
		if !errors.As(err, &list) {
			return nil, err
		}
		return nil, list
	}
	p := &planner{o: o, ast: ast, cat: newCatalog(), conf: newConfig(), sharedScans: map[string]*rel{}}
	p.script()
	if err := p.errs.Err(); err != nil {
		return nil, err
	}
	var all []TableInfo
	for _, t := range p.cat.tables {
		all = append(all, t.info())
	}
	for name, v := range p.cat.views {
		if v.rel == nil {
			continue
		}
		info := TableInfo{Name: name, View: true}
		for _, c := range v.rel.cols {
			info.Columns = append(info.Columns, ColumnInfo{Name: c.name, Type: c.typ, Rowtime: c.attr == attrRow, Proctime: c.attr == attrProc})
		}
		for _, s := range ast.Stmts {
			if cv, ok := s.(*parse.CreateView); ok && cv.Name.Last() == name {
				info.Create = createView(cv, &info)
				if cv.Comment != nil {
					info.Comment = cv.Comment.Value
				}
			}
		}
		all = append(all, info)
	}
	sorting.By(all, func(a, b TableInfo) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// info describes a table that has no mistakes.
func (t *table) info() TableInfo {
	info := TableInfo{Name: t.name}
	if t.def.Comment != nil {
		info.Comment = t.def.Comment.Value
	}
	attrs := t.columnsRel()
	for i := range t.columns {
		c := &t.columns[i]
		d := ColumnInfo{Name: c.name, Type: c.typ, Key: slices.Contains(t.primaryKey, i), Rowtime: i == t.rowtime, Proctime: attrs.cols[i].attr == attrProc}
		switch c.kind {
		case parse.ColumnComputed:
			d.Extras = "AS " + c.def.Expr.String()
		case parse.ColumnMetadata:
			d.Extras = "METADATA"
			if c.def.MetadataKey != nil {
				d.Extras += " FROM " + parse.QuoteString(c.def.MetadataKey.Value)
			}
			if c.def.Virtual {
				d.Extras += " VIRTUAL"
			}
		case parse.ColumnPhysical:
		}
		if d.Rowtime {
			d.Watermark = t.def.Watermarks[0].Expr.String()
		}
		if c.def.Comment != nil {
			d.Comment = c.def.Comment.Value
		}
		info.Columns = append(info.Columns, d)
	}
	for _, i := range t.primaryKey {
		info.PrimaryKey = append(info.PrimaryKey, t.columns[i].name)
	}
	info.Create = createTable(t.def, &info)
	return info
}

func qualified(name string) string {
	return parse.QuoteIdent(defaultCatalog) + "." + parse.QuoteIdent(defaultDatabase) + "." + parse.QuoteIdent(name)
}

// createTable writes CREATE TABLE with a line a column and option.
func createTable(def *parse.CreateTable, info *TableInfo) string {
	var lines []string
	for i, c := range info.Columns {
		line := parse.QuoteIdent(c.Name) + " "
		if d := def.Columns[i]; d.Kind != parse.ColumnComputed {
			line += d.Type.String()
			if c.Extras != "" {
				line += " "
			}
		}
		line += c.Extras
		if c.Comment != "" {
			line += " COMMENT " + parse.QuoteString(c.Comment)
		}
		lines = append(lines, line)
	}
	for _, w := range def.Watermarks {
		var path []string
		for _, part := range w.Column.Parts {
			path = append(path, parse.QuoteIdent(part.Name))
		}
		lines = append(lines, "WATERMARK FOR "+strings.Join(path, ".")+" AS "+w.Expr.String())
	}
	if key := info.PrimaryKey; len(key) > 0 {
		lines = append(lines, "CONSTRAINT "+parse.QuoteIdent("PK_"+strings.Join(key, "_"))+" PRIMARY KEY ("+quotedList(key)+") NOT ENFORCED")
	}
	s := "CREATE "
	if def.Temporary {
		s += "TEMPORARY "
	}
	s += "TABLE " + qualified(info.Name) + " (\n  " + strings.Join(lines, ",\n  ") + "\n)\n"
	if info.Comment != "" {
		s += "COMMENT " + parse.QuoteString(info.Comment) + "\n"
	}
	if len(def.PartitionBy) > 0 {
		var by []string
		for _, c := range def.PartitionBy {
			by = append(by, c.Name)
		}
		s += "PARTITIONED BY (" + quotedList(by) + ")\n"
	}
	var options []string
	for _, o := range def.Options {
		options = append(options, parse.QuoteString(o.Key.Value)+" = "+parse.QuoteString(parse.MaskValue(o.Key.Value, o.Value.Value)))
	}
	return s + "WITH (\n  " + strings.Join(options, ",\n  ") + "\n)\n"
}

// createView writes CREATE VIEW with its columns.
func createView(v *parse.CreateView, info *TableInfo) string {
	s := "CREATE "
	if v.Temporary {
		s += "TEMPORARY "
	}
	names := make([]string, len(info.Columns))
	for i, c := range info.Columns {
		names[i] = parse.QuoteIdent(c.Name)
	}
	s += "VIEW " + qualified(info.Name) + " (\n  " + strings.Join(names, ",\n  ") + "\n)\n"
	if v.Comment != nil {
		s += "COMMENT " + parse.QuoteString(v.Comment.Value) + "\n"
	}
	return s + "AS " + v.Query.String() + "\n"
}

func quotedList(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = parse.QuoteIdent(n)
	}
	return strings.Join(quoted, ", ")
}
