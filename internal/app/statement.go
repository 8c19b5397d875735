package app

import (
	"strings"

	"github.com/bramble-stream/bramble/engine/jobmanager"
	"github.com/bramble-stream/bramble/engine/rest"
	"github.com/bramble-stream/bramble/sql/parse"
)

// statementFile names scripts of sessions over HTTP.
const statementFile = "statement"

// readStatement says what a statement of a session does; those of the session that are kept precede it. Positions in errors count from the statement's
// beginning.
func readStatement(kept []string, statement string) (rest.Statement, error) {
	var text strings.Builder
	for _, k := range kept {
		text.WriteString(k + "\n;\n")
	}
	prefix := text.String()
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
			out.Does, out.Answer = rest.StatementAnswer, p.Logical+"\n"+p.Physical
		}
	default:
		out.Does = rest.StatementKeep
		_, err = plan(script+"\n;\nSELECT 1", true)
	}
	return out, err
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
