package parse

// fromClause reads the tables of FROM, commas included.
func (p *parser) fromClause() TableRef {
	from := p.i
	left := p.joined()
	for chain := 0; p.isOp(",") && p.link(&chain); {
		at := p.next()
		right := p.joined()
		left = &Join{Span: p.span(from), Kind: JoinComma, KindPos: at.span(), Left: left, Right: right}
	}
	return left
}

// joined reads a table and the joins behind it.
func (p *parser) joined() TableRef {
	from := p.i
	left := p.tableFactor()
	for chain := 0; ; {
		at := p.i
		kind, natural, ok := p.joinKind()
		if !ok || !p.link(&chain) {
			return left
		}
		j := &Join{Kind: kind, Natural: natural, KindPos: p.span(at), Left: left}
		j.Right = p.tableFactor()
		switch {
		case p.accept("ON"):
			j.On = p.expr()
		case p.accept("USING"):
			j.Using = p.idents("a column")
		case kind != JoinCross && !natural && !unconditional(j.Right):
			p.unexpected("ON", "USING")
		}
		j.Span = p.span(from)
		left = j
	}
}

// unconditional reports whether a join with t needs no condition.
func unconditional(t TableRef) bool {
	switch t := t.(type) {
	case *Unnest:
		return true
	case *TableFunc:
		return t.Lateral
	}
	return false
}

// joinKind reads the words up to and with JOIN.
func (p *parser) joinKind() (kind JoinKind, natural, ok bool) {
	if p.isKw("NATURAL") {
		p.next()
		natural = true
	}
	switch {
	case p.accept("JOIN"):
		return JoinInner, natural, true
	case p.accept("INNER"):
		kind = JoinInner
	case p.accept("LEFT"):
		kind = JoinLeft
		switch {
		case p.accept("SEMI"):
			kind = JoinSemi
		case p.accept("ANTI"):
			kind = JoinAnti
		default:
			p.accept("OUTER")
		}
	case p.accept("RIGHT"):
		kind = JoinRight
		p.accept("OUTER")
	case p.accept("FULL"):
		kind = JoinFull
		p.accept("OUTER")
	case p.accept("CROSS"):
		kind = JoinCross
	default:
		if natural {
			p.unexpected("JOIN")
		}
		return 0, false, false
	}
	p.expect("JOIN")
	return kind, natural, true
}

// tableFactor reads one table of FROM with its alias.
func (p *parser) tableFactor() TableRef {
	from := p.i
	if !p.enter() {
		p.leave()
		return nil
	}
	defer p.leave()
	t := p.tablePrimary()
	if !p.isKw("MATCH_RECOGNIZE") {
		return t
	}
	at := p.next().span()
	m := &MatchRecognize{Input: t, KindPos: at, Body: p.balanced()}
	m.Alias = p.tableAlias()
	m.Span = p.span(from)
	return m
}

// balanced skips ( ... ) and returns the text inside.
func (p *parser) balanced() string {
	p.expectOp("(")
	start := p.cur().start
	for depth := 1; p.err == nil; {
		t := p.cur()
		switch {
		case t.kind == tokEOF || t.kind == tokBad:
			p.unexpected(`")"`)
			return ""
		case t.isOp("("):
			depth++
		case t.isOp(")"):
			depth--
		}
		p.next()
		if depth == 0 {
			return p.src[start:t.start]
		}
	}
	return ""
}

func (p *parser) tablePrimary() TableRef {
	from := p.i
	switch {
	case p.isOp("("):
		return p.parenTable()
	case p.isKw("LATERAL"):
		return p.lateral()
	case p.isKw("UNNEST"):
		return p.unnest()
	case p.isKw("TABLE") && p.peek(1).isOp("("):
		return p.tableFunc(from, false)
	case p.isKw("TABLE"):
		p.fail(p.cur(), "leave TABLE out, or write TABLE(f(...)) for a table function", "expected a table, found \"TABLE\"")
		return nil
	case p.callAhead():
		f := &TableFunc{Call: p.call()}
		f.Alias = p.tableAlias()
		f.Span = p.span(from)
		return f
	}
	return p.tableWithAlias()
}

// callAhead reports whether name( comes next.
func (p *parser) callAhead() bool {
	n := 0
	for isName(p.peek(n)) && p.peek(n+1).isOp(".") && n < MaxDepth {
		n += 2
	}
	return isName(p.peek(n)) && p.peek(n+1).isOp("(")
}

// table reads a table's name with hints and AS OF, without alias.
func (p *parser) table() *Table {
	from := p.i
	t := &Table{Name: p.name("a table")}
	t.Hints = p.hints()
	if p.isKws("FOR", "SYSTEM_TIME") {
		p.expect("FOR", "SYSTEM_TIME", "AS", "OF")
		t.AsOf = p.additive()
		t.Hints = append(t.Hints, p.hints()...)
	}
	t.Span = p.span(from)
	return t
}

func (p *parser) tableWithAlias() TableRef {
	from := p.i
	t := p.table()
	if p.isKw("MATCH_RECOGNIZE") {
		return t
	}
	t.Alias = p.tableAlias()
	t.Hints = append(t.Hints, p.hints()...)
	t.Span = p.span(from)
	return t
}

// tableAlias reads [AS] name [(cols)], nil if there is none.
func (p *parser) tableAlias() *Alias {
	from := p.i
	if !p.accept("AS") {
		if !p.bareAlias() {
			return nil
		}
		p.aliasAt = p.i
	}
	a := &Alias{Name: p.ident("an alias")}
	if p.isOp("(") {
		a.Columns = p.idents("a column")
	}
	a.Span = p.span(from)
	return a
}

// parenTable reads (query) [alias] or a parenthesised join.
func (p *parser) parenTable() TableRef {
	from := p.i
	p.expectOp("(")
	var q *Query
	if p.isQueryStart() {
		q = p.query()
	} else {
		inner := p.fromClauseNested()
		sub, ok := inner.(*Subquery)
		if !ok || sub.Lateral || sub.Alias != nil {
			p.expectOp(")")
			return inner
		}
		// ((SELECT ..) UNION ..): what looked like a table is a query's first term.
		q = sub.Query
		if p.isQueryTail() {
			q = p.queryFrom(from+1, sub.Query)
		}
	}
	p.expectOp(")")
	s := &Subquery{Query: q, Alias: p.tableAlias()}
	s.Span = p.span(from)
	return s
}

func (p *parser) fromClauseNested() TableRef {
	if !p.enter() {
		p.leave()
		return nil
	}
	defer p.leave()
	return p.fromClause()
}

func (p *parser) lateral() TableRef {
	from := p.i
	p.expect("LATERAL")
	switch {
	case p.isKw("TABLE"):
		return p.tableFunc(from, true)
	case p.acceptOp("("):
		s := &Subquery{Lateral: true, Query: p.query()}
		p.expectOp(")")
		s.Alias = p.tableAlias()
		s.Span = p.span(from)
		return s
	case p.callAhead():
		f := &TableFunc{Lateral: true, Call: p.call()}
		f.Alias = p.tableAlias()
		f.Span = p.span(from)
		return f
	}
	p.unexpected("TABLE", `"("`)
	return nil
}

// tableFunc reads TABLE(f(..)) [alias], beginning at token from.
func (p *parser) tableFunc(from int, lateral bool) TableRef {
	p.expect("TABLE")
	p.expectOp("(")
	f := &TableFunc{Lateral: lateral}
	if !p.callAhead() {
		p.unexpected("a table function such as TUMBLE(...)")
	}
	f.Call = p.call()
	p.expectOp(")")
	f.Alias = p.tableAlias()
	f.Span = p.span(from)
	return f
}

func (p *parser) unnest() TableRef {
	from := p.i
	p.expect("UNNEST")
	p.expectOp("(")
	u := &Unnest{Exprs: p.exprs()}
	p.expectOp(")")
	if p.accept("WITH", "ORDINALITY") {
		u.Ordinality = true
	}
	u.Alias = p.tableAlias()
	u.Span = p.span(from)
	return u
}
