package parse

import (
	"slices"
	"strings"
)

// stmtWords begin a statement; recovery also resumes at one of the first ones
// when it opens a line.
var stmtWords = strings.Fields("CREATE DROP INSERT EXECUTE EXPLAIN SET RESET SELECT WITH VALUES BEGIN")

var resumeWords = words("CREATE DROP INSERT EXECUTE EXPLAIN")

// foreignWords begin statements that a script cannot hold.
var foreignWords = words(`ALTER SHOW USE DESCRIBE DESC LOAD UNLOAD ADD REMOVE DELETE UPDATE TRUNCATE CALL ANALYZE
	STOP COMPILE MERGE UPSERT QUIT EXIT CLEAR HELP`)

// script parses statements up to the end of input into s.
func (p *parser) script(s *Script) {
	for {
		for p.acceptOp(";") {
		}
		if p.cur().kind == tokEOF {
			return
		}
		from, before := p.i, len(p.errs)
		st := p.statement()
		if p.err == nil && !p.isOp(";") && p.cur().kind != tokEOF {
			p.trailing()
		}
		if p.err != nil && !p.record() {
			return
		}
		if len(p.errs) == before {
			s.Stmts = append(s.Stmts, st)
			continue
		}
		p.resync(from)
	}
}

// record moves the statement's error to the list and goes back to where it
// happened. It returns false when the list is full.
func (p *parser) record() bool {
	p.errs = append(p.errs, p.err)
	p.err, p.i, p.depth, p.aliasAt = nil, p.errAt, 0, -1
	return len(p.errs) < MaxErrors
}

// resync skips to the semicolon behind a statement that began at token from, or
// to a line that opens like a new statement.
func (p *parser) resync(from int) {
	for ; p.cur().kind != tokEOF && !p.isOp(";"); p.next() {
		if t := p.cur(); p.i > from && t.col == 1 && t.kind == tokWord && resumeWords[t.kw] {
			return
		}
	}
}

// trailing reports what stands behind a complete statement.
func (p *parser) trailing() {
	t := p.cur()
	if t.kind == tokWord && p.aliasAt != p.i-1 {
		if slices.Contains(stmtWords, t.kw) {
			p.fail(t, "separate statements by \";\"", "unexpected %s", quote(t.val))
			return
		}
		if hint := DidYouMean(t.val, clauseWords); hint != "" && !strings.HasSuffix(hint, `"`+t.kw+`"?`) {
			p.fail(t, hint, "unexpected %s", quote(t.val))
			return
		}
	}
	p.unexpected("\";\"", "the end of the input")
}

func (p *parser) statement() Stmt {
	t := p.cur()
	if t.isOp("(") {
		return p.queryStmt()
	}
	if t.kind != tokWord {
		p.unexpected("a statement")
		return nil
	}
	switch t.kw {
	case "SELECT", "WITH", "VALUES", "TABLE":
		return p.queryStmt()
	case "SET":
		return p.set()
	case "RESET":
		return p.reset()
	case "CREATE":
		return p.create()
	case "DROP":
		return p.drop()
	case "INSERT":
		return p.insert()
	case "EXECUTE", "BEGIN":
		return p.execute()
	case "EXPLAIN":
		return p.explain()
	}
	switch {
	case foreignWords[t.kw]:
		p.fail(t, "", "%s statements are not supported in a job", t.kw)
	case t.kw == "END":
		p.fail(t, "", "END without BEGIN")
	default:
		p.fail(t, DidYouMean(t.val, stmtWords), "unknown statement %s", quote(t.val))
	}
	return nil
}

func (p *parser) queryStmt() Stmt {
	from := p.i
	q := p.query()
	return &QueryStmt{Span: p.span(from), Query: q}
}

// set reads SET 'k' = 'v', or SET k = v with raw text on both sides.
func (p *parser) set() Stmt {
	from := p.i
	p.next()
	s := &Set{}
	if !p.isOp(";") && p.cur().kind != tokEOF {
		s.Key = p.rawText("=", "an option's key")
		p.expectOp("=")
		s.Value = p.rawText(";", "an option's value")
	}
	s.Span = p.span(from)
	return s
}

func (p *parser) reset() Stmt {
	from := p.i
	p.next()
	s := &Reset{}
	if !p.isOp(";") && p.cur().kind != tokEOF {
		s.Key = p.rawText(";", "an option's key")
	}
	s.Span = p.span(from)
	return s
}

// rawText reads a string, or everything before op as it is written: keys such
// as pipeline.max-parallelism and values such as 10 s are no SQL tokens.
func (p *parser) rawText(op, what string) Text {
	if t := p.cur(); t.kind == tokString && (p.peek(1).isOp(op) || p.peek(1).isOp(";") || p.peek(1).kind == tokEOF) {
		return p.text(what)
	}
	from := p.i
	for !p.isOp(op) && !p.isOp(";") && p.cur().kind != tokEOF {
		if t := p.cur(); t.kind == tokString || t.kind == tokBad && strings.Contains(t.val, "never closed") {
			p.unexpected(`"` + op + `"`)
			break
		}
		p.next()
	}
	if p.i == from {
		p.unexpected(what)
	}
	sp := p.span(from)
	if p.err != nil {
		return Text{}
	}
	return Text{Span: sp, Value: p.src[sp.Start:sp.End]}
}

func (p *parser) drop() Stmt {
	from := p.i
	p.next()
	d := &Drop{Temporary: p.accept("TEMPORARY")}
	if d.Temporary {
		p.accept("SYSTEM")
	}
	d.Object = p.acceptAny("TABLE", "VIEW", "FUNCTION")
	if d.Object == "" {
		p.notAnObject("DROP")
	}
	d.IfExists = p.accept("IF", "EXISTS")
	d.Name = p.name("a name")
	d.Span = p.span(from)
	return d
}

// notAnObject reports CREATE or DROP of something else than tables, views, functions.
func (p *parser) notAnObject(verb string) {
	if t := p.cur(); t.isKw("CATALOG") || t.isKw("DATABASE") || t.isKw("MODEL") || t.isKw("MATERIALIZED") || t.isKw("OR") {
		p.fail(t, "", "%s %s is not supported", verb, t.kw)
		return
	}
	p.unexpected("TABLE", "VIEW", "FUNCTION")
}

func (p *parser) insert() Stmt { return p.insertInto() }

func (p *parser) insertInto() *Insert {
	from := p.i
	p.expect("INSERT")
	ins := &Insert{Overwrite: p.accept("OVERWRITE")}
	if !ins.Overwrite {
		p.expect("INTO")
	}
	p.accept("TABLE")
	ins.Table = p.name("a table")
	ins.Hints = p.hints()
	if p.accept("PARTITION") {
		ins.Partition = p.partition()
	}
	if p.isOp("(") && !p.queryAhead() {
		ins.Columns = p.idents("a column")
	}
	if !p.isQueryStart() && !p.isOp("(") {
		p.unexpected("SELECT", "VALUES", "WITH")
	}
	ins.Query = p.query()
	ins.Span = p.span(from)
	return ins
}

func (p *parser) partition() []PartitionValue {
	p.expectOp("(")
	var list []PartitionValue
	for {
		from := p.i
		v := PartitionValue{Column: p.ident("a partition column")}
		if p.acceptOp("=") {
			v.Value = p.expr()
		}
		v.Span = p.span(from)
		list = append(list, v)
		if !p.acceptOp(",") {
			break
		}
	}
	p.expectOp(")")
	return list
}

// execute reads EXECUTE [STATEMENT SET BEGIN .. END | insert | query] and BEGIN
// STATEMENT SET; .. END.
func (p *parser) execute() Stmt {
	from := p.i
	if p.accept("BEGIN") {
		p.expect("STATEMENT", "SET")
		p.expectOp(";")
		return p.statementSet(from)
	}
	p.next()
	switch {
	case p.isKw("STATEMENT"):
		p.expect("STATEMENT", "SET")
		p.expect("BEGIN")
		return p.statementSet(from)
	case p.isKw("INSERT"):
		ins := p.insertInto()
		ins.Span = p.span(from)
		return ins
	case p.isQueryStart():
		q := p.query()
		return &QueryStmt{Span: p.span(from), Query: q}
	default:
		p.unexpected("STATEMENT", "INSERT", "SELECT")
		return nil
	}
}

// statementSet reads the INSERTs up to END. An error in one of them is recorded
// here, so that the next ones are looked at too.
func (p *parser) statementSet(from int) *StatementSet {
	set := &StatementSet{}
	for !p.isKw("END") && p.err == nil {
		if p.acceptOp(";") {
			continue
		}
		start := p.i
		if p.isKw("INSERT") {
			set.Inserts = append(set.Inserts, p.insertInto())
			if p.err == nil && !p.isOp(";") {
				p.trailing()
			}
		} else if p.cur().kind == tokEOF {
			p.fail(p.cur(), "", "expected END of the statement set, found the end of the input")
			break
		} else {
			p.unexpected("INSERT", "END")
		}
		if p.err != nil {
			if len(p.errs)+1 >= MaxErrors || !p.record() {
				break
			}
			p.resyncInSet(start)
		}
	}
	p.expect("END")
	set.Span = p.span(from)
	return set
}

// resyncInSet is resync that also stops at the END of the set.
func (p *parser) resyncInSet(from int) {
	for ; p.cur().kind != tokEOF && !p.isOp(";"); p.next() {
		t := p.cur()
		if t.isKw("END") && (p.peek(1).isOp(";") || p.peek(1).kind == tokEOF) {
			return
		}
		if p.i > from && t.isKw("INSERT") && (p.peek(1).isKw("INTO") || p.peek(1).isKw("OVERWRITE")) {
			return
		}
	}
}

// explainDetails may follow EXPLAIN, several with commas.
var explainDetails = []string{"ESTIMATED_COST", "CHANGELOG_MODE", "JSON_EXECUTION_PLAN", "PLAN_ADVICE"}

func (p *parser) explain() Stmt {
	from := p.i
	p.next()
	e := &Explain{}
	if p.accept("PLAN") {
		p.expect("FOR")
	} else if d := p.acceptAny(explainDetails...); d != "" {
		e.Details = append(e.Details, d)
		for p.acceptOp(",") {
			d := p.acceptAny(explainDetails...)
			if d == "" {
				p.unexpected(explainDetails...)
			}
			e.Details = append(e.Details, d)
		}
	}
	inner := p.i
	switch {
	case p.isKw("INSERT"):
		e.Stmt = p.insertInto()
	case p.isKw("EXECUTE"), p.isKw("BEGIN"):
		e.Stmt = p.execute()
	case p.accept("STATEMENT", "SET"):
		p.expect("BEGIN")
		e.Stmt = p.statementSet(inner)
	case p.isQueryStart() || p.isOp("("):
		e.Stmt = p.queryStmt()
	default:
		p.unexpected(append([]string{"SELECT", "INSERT", "EXECUTE"}, explainDetails...)...)
	}
	e.Span = p.span(from)
	return e
}
