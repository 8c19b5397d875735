// Package plan turns a SQL script into a job graph: it binds names and types, applies the rules that make a plan fast, and
// chains operators into vertices. It reads no data and opens no connection; connectors are known by their descriptors only.
//
// A script goes through it in this order:
//
//	catalog, table, source   CREATE TABLE and its LIKE, scans with their computed columns and watermark
//	bindquery, -expr, -agg,  the syntax tree becomes rels, a DAG of typed relational operators; each view and each
//	-window, insert          scan is bound once, so that what is shared is one rel from the start
//	rules, prune, fields     equal rels become one; constants, calcs, windows and columns are rewritten
//	changelog                which aggregations emit -U rows, how each sink is written
//	build, ids               rels become nodes, vertices and edges with ids that outlive edits of the script
//	explain                  both plans as text
package plan

import (
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/sql/parse"
)

// Options say how a script is planned.
type Options struct {
	// File names the script in errors; "" prints as <input>.
	File string
	// Config wins over the script's SET: what -D and the command line say. Keys without a dot are variables of the script
	// and are not looked at.
	Config map[string]string
	// Parallelism is -p; 0 leaves it to parallelism.default.
	Parallelism int
	// Name is the job's name; "" leaves it to pipeline.name, then to the sinks' names.
	Name string
	// Connectors are the known connectors by name.
	Connectors map[string]*op.Connector
	// PreviewSink takes the rows of a bare SELECT; its Schema is filled in. nil means a table "preview" of connector print.
	PreviewSink *graph.TableSpec
}

// Result is a planned script.
type Result struct {
	Graph *graph.JobGraph
	// Logical is the plan as bound, Physical the vertices with their operators and edges. Both end with a newline and hold no
	// secrets.
	Logical, Physical string
	// Warnings are complete lines, positioned like errors, in source order.
	Warnings []string
	// Sources and Sinks name the tables that the job reads and writes, sorted.
	Sources, Sinks []string
}

// Plan plans a script. An error is a parse.ErrorList, with the positions of all that was found.
func Plan(script string, o Options) (*Result, error) {
	ast, err := parse.Parse(o.File, script)
	if err != nil {
		var list parse.ErrorList
		if !errors.As(err, &list) {
			return nil, err
		}
		return nil, list
	}
	p := &planner{o: o, ast: ast, cat: newCatalog(), conf: newConfig(), sharedScans: map[string]*rel{}}
	p.warnings = append(p.warnings, ast.Warnings...)
	p.script()
	if err := p.errs.Err(); err != nil {
		return nil, err
	}
	if len(p.sinks) == 0 {
		return nil, parse.ErrorList{parse.Errorf(o.File, startOf(ast), "", "nothing to run: the script has no INSERT INTO")}
	}
	return p.build()
}

// planner holds what planning one script gathers.
type planner struct {
	o        Options
	ast      *parse.Script
	cat      *catalog
	conf     *config
	errs     parse.ErrorList
	warnings []*parse.Error
	// sinks are the roots of the plan, in script order.
	sinks []*rel
	// sharedScans are the table scans by table and options.
	sharedScans map[string]*rel
	previews    int
	// deferred are errors found while building the graph.
	deferred parse.ErrorList
	// foldZone is the time zone in which constants are folded.
	foldZone *time.Location
}

func startOf(s *parse.Script) parse.Span {
	if len(s.Stmts) > 0 {
		return s.Stmts[0].Pos()
	}
	return parse.Span{Line: 1, Col: 1}
}

// errorf makes a positioned error.
func (p *planner) errorf(n parse.Node, hint, format string, args ...any) *parse.Error {
	return parse.Errorf(p.o.File, n, hint, format, args...)
}

// at gives err the position of n, unless it has one.
func (p *planner) at(n parse.Node, err error) error {
	var pe *parse.Error
	var list parse.ErrorList
	if err == nil || errors.As(err, &pe) || errors.As(err, &list) {
		return err
	}
	return p.errorf(n, "", "%v", err)
}

func (p *planner) warnf(n parse.Node, hint, format string, args ...any) {
	w := p.errorf(n, hint, format, args...)
	for _, have := range p.warnings {
		if *have == *w {
			return
		}
	}
	p.warnings = append(p.warnings, w)
}

// fail records err; several per statement may be.
func (p *planner) fail(err error) {
	var list parse.ErrorList
	var pe *parse.Error
	switch {
	case err == nil:
		return
	case errors.As(err, &list):
	case errors.As(err, &pe):
		list = parse.ErrorList{pe}
	default:
		list = parse.ErrorList{p.errorf(startOf(p.ast), "", "%v", err)}
	}
	for _, e := range list {
		if e != errReported && len(p.errs) < parse.MaxErrors && !containsError(p.errs, e) {
			p.errs = append(p.errs, e)
		}
	}
}

func containsError(l parse.ErrorList, e *parse.Error) bool {
	for _, have := range l {
		if *have == *e {
			return true
		}
	}
	return false
}

// script runs the statements in order.
func (p *planner) script() {
	for _, s := range p.ast.Stmts {
		p.fail(p.stmt(s))
	}
	p.fail(p.conf.merge(p))
	sort.SliceStable(p.errs, func(i, j int) bool {
		a, b := p.errs[i], p.errs[j]
		return a.Line < b.Line || a.Line == b.Line && a.Col < b.Col
	})
}

func (p *planner) stmt(s parse.Stmt) error {
	switch s := s.(type) {
	case *parse.Set:
		return p.conf.set(p, s)
	case *parse.Reset:
		p.conf.reset(s.Key.Value)
		return nil
	case *parse.CreateTable:
		return p.createTable(s)
	case *parse.CreateView:
		return p.createView(s)
	case *parse.CreateFunction:
		return p.errorf(s, "the built-in functions are listed in the SQL reference", "CREATE FUNCTION is not supported yet")
	case *parse.Drop:
		return p.drop(s)
	case *parse.Insert:
		return p.insert(s)
	case *parse.StatementSet:
		var all parse.ErrorList
		for _, ins := range s.Inserts {
			all = appendErr(all, p.insert(ins))
		}
		return all.Err()
	case *parse.Explain:
		return p.errorf(s, "run \"bramble explain\" on the script", "EXPLAIN is not a statement of a job")
	case *parse.QueryStmt:
		return p.preview(s)
	default:
		return p.errorf(s, "", "this statement is not supported")
	}
}

// appendErr adds err's errors to the list.
func appendErr(l parse.ErrorList, err error) parse.ErrorList {
	var more parse.ErrorList
	var one *parse.Error
	if errors.As(err, &more) {
		return append(l, more...)
	}
	if errors.As(err, &one) {
		for _, had := range l {
			if *had == *one { // of a table that is read in several places
				return l
			}
		}
		return append(l, one)
	}
	return l
}

// build optimises the plan and makes the graph of it.
func (p *planner) build() (*Result, error) {
	res := &Result{Logical: p.explainLogical()}
	p.optimize()
	if err := p.checkRanks(); err != nil {
		return nil, err
	}
	if err := p.changelog(); err != nil {
		return nil, err
	}
	b := newBuilder(p)
	if err := b.build(); err != nil {
		return nil, err
	}
	if len(p.deferred) > 0 {
		return nil, p.deferred
	}
	if err := p.checkDirections(); err != nil {
		return nil, err
	}
	res.Graph = b.job
	res.Physical = b.explain()
	res.Sources, res.Sinks = b.sources(), b.sinkNames()
	sort.SliceStable(p.warnings, func(i, j int) bool { return p.warnings[i].Line < p.warnings[j].Line })
	for _, w := range p.warnings {
		res.Warnings = append(res.Warnings, w.Error())
	}
	return res, nil
}

// jobName is -name, pipeline.name, or made of the sinks.
func (p *planner) jobName() string {
	if p.o.Name != "" {
		return p.o.Name
	}
	if n := p.conf.value("pipeline.name"); n != "" {
		return n
	}
	name := "insert-into_"
	for i, s := range p.sinks {
		if i == 3 {
			return fmt.Sprintf("%s,...%d more", name, len(p.sinks)-i)
		}
		if i > 0 {
			name += ","
		}
		name += s.sink.name
	}
	return name
}
