package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/engine/client"
	"github.com/bramble-stream/bramble/engine/jobmanager"
	"github.com/bramble-stream/bramble/internal/app"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
	"github.com/bramble-stream/bramble/sql/parse"
)

// sqlCluster is what a session asks of a jobmanager.
type sqlCluster interface {
	Preview(ctx context.Context, s client.Script, rowsMax int64, timeout time.Duration, f func(*pb.PreviewResponse) error) error
	Submit(ctx context.Context, s client.Script, name string) (id string, warnings []string, err error)
	Jobs(ctx context.Context, states ...pb.JobState) ([]*pb.JobSummary, error)
	Cancel(ctx context.Context, id string) (string, pb.JobState, error)
	Stop(ctx context.Context, id, dir string, drain bool) (*pb.StopJobResponse, error)
}

var _ sqlCluster = (*client.Client)(nil)

// sqlSession is what statements have said so far: a script without anything to run, which each query and each job begins with.
type sqlSession struct {
	cluster     sqlCluster
	config      map[string]string
	defines     map[string]string
	parallelism int
	kept        []string
}

// scriptFile names scripts of sessions to the planner; people do not see it.
const scriptFile = "session.sql"

// script is the session's script with a statement behind it, which begins at line before+1.
func (s *sqlSession) script(stmt string) (text string, before int) {
	for _, k := range s.kept {
		text += k + "\n;\n"
	}
	return text + stmt, strings.Count(text, "\n")
}

func (s *sqlSession) clientScript(stmt string) (client.Script, int) {
	text, before := s.script(stmt)
	return client.Script{File: scriptFile, Text: text, Config: s.config, Parallelism: s.parallelism}, before
}

// plan plans a statement here, to know whether it is right.
func (s *sqlSession) plan(stmt string, preview bool) (*jobmanager.Planned, error) {
	script, before := s.clientScript(stmt)
	p, err := app.Planner(nil)(jobmanager.PlanRequest{
		File: script.File, Script: script.Text, Config: script.Config, Parallelism: script.Parallelism, Preview: preview,
	})
	return p, s.placed(err, before)
}

// place finds positions in errors: FILE:LINE:COLUMN, or LINE:COLUMN of what failed while it ran.
var place = regexp.MustCompile(`(?m)^(?:` + regexp.QuoteMeta(scriptFile) + `:)?(\d{1,9}):(\d{1,9}): `)

// placedError is an error whose positions are in the statement.
type placedError struct {
	message      string
	line, column int
}

func (e *placedError) Error() string { return e.message }

// placed moves an error's positions to where the statement is alone.
func (s *sqlSession) placed(err error, before int) error {
	if err == nil || interrupted(err) {
		return err
	}
	out := &placedError{}
	out.message = place.ReplaceAllStringFunc(err.Error(), func(m string) string {
		at := place.FindStringSubmatch(m)
		line, _ := strconv.Atoi(at[1])
		column, _ := strconv.Atoi(at[2])
		if line <= before {
			return "in an earlier statement: "
		}
		if out.line == 0 {
			out.line, out.column = line-before, column
		}
		return fmt.Sprintf("%d:%d: ", line-before, column)
	})
	if out.line == 0 {
		return err
	}
	return out
}

// sqlVerb says what a statement does.
type sqlVerb int

const (
	verbKeep sqlVerb = iota
	verbQuery
	verbJob
	verbExplain
	verbCommand
	verbSet
	verbHelp
	verbClear
	verbQuit
)

// verbOf reads a statement's first words.
func verbOf(stmt string) sqlVerb {
	w := words(stmt, 2)
	is := func(first string) bool { return len(w) > 0 && w[0] == first }
	switch {
	case is("HELP"), is("?"):
		return verbHelp
	case is("QUIT"), is("EXIT"):
		return verbQuit
	case is("CLEAR"):
		return verbClear
	case is("SHOW"), is("DESCRIBE"), is("DESC"), is("USE"), is("STOP"):
		return verbCommand
	case is("SET") && len(w) == 1:
		return verbSet
	case is("EXPLAIN"):
		return verbExplain
	case is("INSERT"), is("EXECUTE"), is("BEGIN"):
		return verbJob
	case is("SELECT"), is("WITH"), is("VALUES"), is("("), is("TABLE"):
		return verbQuery
	}
	return verbKeep
}

// keep takes a statement into the session, if it is right.
func (s *sqlSession) keep(stmt string) error {
	text, before := s.script(stmt)
	if len(text) > scriptMax {
		return fmt.Errorf("the session's statements have more than %d bytes", scriptMax)
	}
	ast, err := parse.Parse(scriptFile, text)
	if err != nil {
		return s.placed(err, before)
	}
	if len(ast.Stmts) == 0 {
		return errors.New("this statement is not known; HELP lists those that are")
	}
	if _, err := s.plan(stmt+"\n;\nSELECT 1", true); err != nil {
		return err
	}
	s.kept = append(s.kept, stmt)
	return nil
}

// substituted has the values of ${NAME} in a statement.
func (s *sqlSession) substituted(stmt string) (string, error) {
	text, err := parse.Substitute(stmt, func(name string) (string, bool) {
		if v, ok := s.defines[name]; ok {
			return v, true
		}
		return os.LookupEnv(name)
	})
	return text, err
}

// explain are both plans of what EXPLAIN is about.
func (s *sqlSession) explain(stmt string) (string, error) {
	text, before := s.script(stmt)
	ast, err := parse.Parse(scriptFile, text)
	if err != nil {
		return "", s.placed(err, before)
	}
	e, ok := ast.Stmts[len(ast.Stmts)-1].(*parse.Explain)
	if !ok {
		return "", errors.New("EXPLAIN explains a SELECT, an INSERT or a statement set")
	}
	_, query := e.Stmt.(*parse.QueryStmt)
	// Blank lines keep positions what they are.
	inner := strings.Repeat("\n", e.Stmt.Pos().Line-e.Pos().Line) + ast.Text(e.Stmt)
	p, err := s.plan(inner, query)
	if err != nil {
		return "", err
	}
	return p.Logical + "\n" + p.Physical, nil
}
