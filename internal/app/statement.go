package app

import (
	"slices"
	"strings"

	"github.com/bramble-stream/bramble/connectors/all"
	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/jobmanager"
	"github.com/bramble-stream/bramble/engine/rest"
	"github.com/bramble-stream/bramble/sql/parse"
	"github.com/bramble-stream/bramble/sql/plan"
)

// statementFile names scripts of sessions over HTTP.
const statementFile = "statement"

// The one catalog and database of a session, under Flink's names.
const (
	defaultCatalog  = "default_catalog"
	defaultDatabase = "default_database"
)

// readStatement says what a statement of a session does; those of the session that are kept precede it. Positions in errors count from the statement's
// beginning.
func readStatement(kept []string, statement string) (rest.Statement, error) {
	st, ok, err := Command(kept, statementFile, statement)
	if ok {
		return st, err
	}
	prefix := keptScript(kept)
	statement = strings.TrimRight(strings.TrimSpace(statement), "; \t\r\n")
	script := prefix + statement
	before := strings.Count(prefix, "\n")
	ast, err := parse.Parse(statementFile, script)
	if err != nil {
		return rest.Statement{}, moved(err, before)
	}
	if len(ast.Stmts) != len(kept)+1 {
		return rest.Statement{}, parse.ErrorList{parse.Errorf(statementFile, parse.Span{Line: 1, Col: 1}, "", "send one statement at a time")}
	}
	plan := func(script string, preview bool) (*jobmanager.Planned, error) {
		p, err := Planner(nil)(jobmanager.PlanRequest{File: statementFile, Script: script, Preview: preview})
		return p, moved(err, before)
	}
	out := rest.Statement{Text: statement, Script: script}
	switch s := ast.Stmts[len(kept)].(type) {
	case *parse.QueryStmt:
		out.Does = rest.StatementQuery
		_, err = plan(script, true)
	case *parse.Insert, *parse.StatementSet:
		out.Does = rest.StatementJob
		_, err = plan(script, false)
	case *parse.Explain:
		_, query := s.Stmt.(*parse.QueryStmt)
		var p *jobmanager.Planned
		if p, err = plan(prefix+strings.Repeat("\n", s.Stmt.Pos().Line-s.Pos().Line)+ast.Text(s.Stmt), query); err == nil {
			out.Does, out.Columns, out.Rows = rest.StatementAnswer, textColumns("result"), [][]any{{p.Logical + "\n" + p.Physical}}
		}
	case *parse.Set:
		out.Does, out.Key, out.Value = rest.StatementSet, s.Key.Value, s.Value.Value
		if s.Key.Value == "" {
			out.Does = rest.StatementSettings
			break
		}
		_, err = plan(script+"\n;\nSELECT 1", true)
	case *parse.Reset:
		out.Does, out.Key = rest.StatementReset, s.Key.Value
	default:
		out.Does = rest.StatementKeep
		_, err = plan(script+"\n;\nSELECT 1", true)
	}
	return out, err
}

func keptScript(kept []string) string {
	var text strings.Builder
	for _, k := range kept {
		text.WriteString(k + "\n;\n")
	}
	return text.String()
}

// moved takes lines off the positions of a script's mistakes.
func moved(err error, lines int) error {
	list, ok := err.(parse.ErrorList) //nolint:errorlint // the planner's own, as it is
	if !ok {
		return err
	}
	out := make(parse.ErrorList, len(list))
	for i, e := range list {
		c := *e
		if c.Line > lines {
			c.Line -= lines
		}
		out[i] = &c
	}
	return out
}

// Command reads SHOW, DESCRIBE, USE and STOP JOB; ok is false for all else. kept are the statements that the session has had, and file names the statement in
// errors.
func Command(kept []string, file, statement string) (st rest.Statement, ok bool, err error) {
	c, ok, err := parse.ParseCommand(file, statement)
	if !ok || err != nil {
		return st, ok, err
	}
	s := commandSession{c: c, file: file, kept: kept}
	st, err = s.answer()
	return st, true, err
}

// commandSession answers a command.
type commandSession struct {
	c    *parse.Command
	file string
	kept []string
}

func (s *commandSession) errorf(format string, args ...any) error {
	where := parse.Node(s.c)
	if len(s.c.Name.Parts) > 0 {
		where = s.c.Name
	}
	return parse.Errorf(s.file, where, "", format, args...)
}

// textColumns are columns of text.
func textColumns(names ...string) []rest.PreviewColumn {
	var columns []rest.PreviewColumn
	for _, n := range names {
		columns = append(columns, rest.PreviewColumn{Name: n, Type: "STRING"})
	}
	return columns
}

// list is the answer of names that fit the command's pattern.
func (s *commandSession) list(column string, names ...string) rest.Statement {
	st := rest.Statement{Does: rest.StatementAnswer, Columns: textColumns(column), Rows: [][]any{}}
	for _, n := range names {
		if s.fits(n) {
			st.Rows = append(st.Rows, []any{n})
		}
	}
	return st
}

// fits reports whether a name is like the command's pattern: % is any text, _ any character, \ takes the next one as it is.
func (s *commandSession) fits(name string) bool {
	if s.c.Like == nil {
		return true
	}
	pattern := s.c.Like.Value
	if s.c.AnyCase {
		pattern, name = strings.ToLower(pattern), strings.ToLower(name)
	}
	return like([]rune(name), []rune(pattern)) != s.c.NotLike
}

// like matches in time that grows with both lengths.
func like(name, pattern []rune) bool {
	reach := make([]bool, len(name)+1) // of which beginnings of the name the pattern's beginning is like
	reach[0] = true
	for i := 0; i < len(pattern); i++ {
		p, many, one := pattern[i], pattern[i] == '%', pattern[i] == '_'
		if p == '\\' && i+1 < len(pattern) {
			i++
			p, many, one = pattern[i], false, false
		}
		next := make([]bool, len(name)+1)
		for n := range next {
			switch {
			case many:
				next[n] = reach[n] || n > 0 && next[n-1]
			case n > 0:
				next[n] = reach[n-1] && (one || name[n-1] == p)
			}
		}
		reach = next
	}
	return reach[len(name)]
}

func (s *commandSession) answer() (rest.Statement, error) {
	c := s.c
	switch c.Kind {
	case parse.ShowCatalogs:
		return s.list("catalog name", defaultCatalog), nil
	case parse.ShowCurrentCatalog:
		return s.list("current catalog name", defaultCatalog), nil
	case parse.ShowDatabases:
		return s.list("database name", defaultDatabase), s.catalog()
	case parse.ShowCurrentDatabase:
		return s.list("current database name", defaultDatabase), nil
	case parse.ShowTables, parse.ShowViews, parse.ShowColumns, parse.ShowCreateTable, parse.ShowCreateView, parse.DescribeTable:
		return s.tables()
	case parse.ShowFunctions:
		var names []string
		if !c.User {
			for _, n := range append(expr.Functions(), agg.Functions()...) {
				names = append(names, strings.ToLower(n))
			}
		}
		slices.Sort(names)
		return s.list("function name", slices.Compact(names)...), s.database()
	case parse.ShowModules:
		st := s.list("module name", "core")
		if c.Full {
			st.Columns, st.Rows = append(st.Columns, rest.PreviewColumn{Name: "used", Type: "BOOLEAN"}), [][]any{{"core", true}}
		}
		return st, nil
	case parse.ShowJars:
		return s.list("jars"), nil
	case parse.ShowJobs:
		return rest.Statement{Does: rest.StatementShowJobs}, nil
	case parse.DescribeJob:
		return rest.Statement{Does: rest.StatementDescribeJob, Job: c.Job.Value}, nil
	case parse.StopJob:
		if c.Drain && !c.Savepoint {
			return rest.Statement{}, s.errorf("WITH DRAIN needs WITH SAVEPOINT")
		}
		return rest.Statement{Does: rest.StatementStopJob, Job: c.Job.Value, Savepoint: c.Savepoint, Drain: c.Drain}, nil
	case parse.UseCatalog:
		return rest.Statement{Does: rest.StatementNothing}, s.catalog()
	case parse.UseDatabase:
		return rest.Statement{Does: rest.StatementNothing}, s.database()
	}
	return rest.Statement{}, s.errorf("this statement is not known")
}

// catalog checks that the command's name, if it has one, is the catalog.
func (s *commandSession) catalog() error {
	if p := s.c.Name.Parts; len(p) == 0 || len(p) == 1 && p[0].Name == defaultCatalog {
		return nil
	}
	return s.errorf("there is no catalog %s: a session has the one catalog %s", s.c.Name, defaultCatalog)
}

// database checks that the command's name, if it has one, is the database.
func (s *commandSession) database() error {
	p := s.c.Name.Parts
	if len(p) == 0 || p[len(p)-1].Name == defaultDatabase && (len(p) == 1 || len(p) == 2 && p[0].Name == defaultCatalog) {
		return nil
	}
	return s.errorf("there is no database %s: a session has the one database %s.%s", s.c.Name, defaultCatalog, defaultDatabase)
}

// tables answers what is about tables and views.
func (s *commandSession) tables() (rest.Statement, error) {
	infos, err := plan.Tables(keptScript(s.kept), plan.Options{File: s.file, Connectors: all.Connectors()})
	if err != nil {
		return rest.Statement{}, err
	}
	if k := s.c.Kind; k == parse.ShowTables || k == parse.ShowViews {
		var names []string
		for _, t := range infos {
			if t.View || k == parse.ShowTables {
				names = append(names, t.Name)
			}
		}
		return s.list(map[bool]string{true: "view name", false: "table name"}[k == parse.ShowViews], names...), s.database()
	}
	parts := s.c.Name.Parts
	name := parts[len(parts)-1].Name
	var known []string
	for i := range infos {
		t := &infos[i]
		known = append(known, t.Name)
		if t.Name != name || len(parts) > 3 || len(parts) > 1 && parts[len(parts)-2].Name != defaultDatabase || len(parts) > 2 && parts[0].Name != defaultCatalog {
			continue
		}
		switch {
		case s.c.Kind == parse.ShowCreateTable && t.View:
			return rest.Statement{}, s.errorf("%s is a view: SHOW CREATE VIEW shows it", name)
		case s.c.Kind == parse.ShowCreateView && !t.View:
			return rest.Statement{}, s.errorf("%s is a table: SHOW CREATE TABLE shows it", name)
		case s.c.Kind == parse.ShowCreateTable || s.c.Kind == parse.ShowCreateView:
			return s.list("result", t.Create), nil
		}
		return s.describe(t), nil
	}
	e := parse.Errorf(s.file, s.c.Name, parse.DidYouMean(name, known), "there is no table or view %s", s.c.Name)
	return rest.Statement{}, e
}

// describe is a line a column, in Flink's form.
func (s *commandSession) describe(t *plan.TableInfo) rest.Statement {
	st := rest.Statement{Does: rest.StatementAnswer, Columns: textColumns("name", "type", "null", "key", "extras", "watermark"), Rows: [][]any{}}
	st.Columns[2].Type = "BOOLEAN"
	comments := slices.ContainsFunc(t.Columns, func(c plan.ColumnInfo) bool { return c.Comment != "" })
	if comments {
		st.Columns = append(st.Columns, textColumns("comment")...)
	}
	text := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	for _, c := range t.Columns {
		if !s.fits(c.Name) {
			continue
		}
		kind, key := c.Type.Nullable().String(), ""
		switch {
		case c.Rowtime:
			kind += " *ROWTIME*"
		case c.Proctime:
			kind += " *PROCTIME*"
		}
		if c.Key {
			key = "PRI(" + strings.Join(t.PrimaryKey, ", ") + ")"
		}
		row := []any{c.Name, kind, !c.Type.NotNull, text(key), text(c.Extras), text(c.Watermark)}
		if comments {
			row = append(row, text(c.Comment))
		}
		st.Rows = append(st.Rows, row)
	}
	return st
}
