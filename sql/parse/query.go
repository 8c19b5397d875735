package parse

func startsQuery(t *token) bool {
	return t.isKw("SELECT") || t.isKw("WITH") || t.isKw("VALUES")
}

// isQueryStart reports whether a query without parentheses comes next.
func (p *parser) isQueryStart() bool {
	return startsQuery(p.cur()) || p.isKw("TABLE") && isName(p.peek(1))
}

// queryAhead reports whether the parentheses at the current token, as many as
// there are, hold a query.
func (p *parser) queryAhead() bool {
	n := 0
	for n < MaxDepth && p.peek(n).isOp("(") {
		n++
	}
	return n > 0 && startsQuery(p.peek(n))
}

// query reads [WITH ..] body [ORDER BY ..] [LIMIT ..] [OFFSET ..].
func (p *parser) query() *Query {
	from := p.i
	if !p.enter() {
		p.leave()
		return nil
	}
	defer p.leave()
	q := &Query{}
	if p.accept("WITH") {
		q.With = p.ctes()
	}
	q.Body = p.setOps(p.queryTerm())
	p.queryTail(q)
	q.Span = p.span(from)
	return q
}

// queryFrom goes on with a query whose first part, beginning at token from, was
// read as something in parentheses.
func (p *parser) queryFrom(from int, first QueryBody) *Query {
	q := &Query{Body: p.setOpsFrom(from, first)}
	p.queryTail(q)
	q.Span = p.span(from)
	return q
}

// isQueryTail reports whether what comes next can only continue a query.
func (p *parser) isQueryTail() bool {
	t := p.cur()
	return t.isKw("UNION") || t.isKw("INTERSECT") || t.isKw("EXCEPT") || t.isKw("MINUS") ||
		t.isKw("ORDER") || t.isKw("LIMIT") || t.isKw("OFFSET") || t.isKw("FETCH")
}

func (p *parser) queryTail(q *Query) {
	if p.accept("ORDER") {
		p.expect("BY")
		q.OrderBy = p.orderItems()
	}
	if p.accept("LIMIT") {
		if !p.accept("ALL") {
			q.Limit = p.expr()
			if p.acceptOp(",") { // LIMIT offset, count
				q.Offset, q.Limit = q.Limit, p.expr()
			}
		}
	}
	if p.accept("OFFSET") {
		q.Offset = p.expr()
		p.acceptAny("ROW", "ROWS")
	}
	if p.isKw("FETCH") {
		at := p.next()
		if p.acceptAny("FIRST", "NEXT") == "" {
			p.unexpected("FIRST", "NEXT")
		}
		if q.Limit != nil {
			p.fail(at, "", "LIMIT and FETCH exclude each other")
		}
		if !p.isKw("ROW") && !p.isKw("ROWS") {
			q.Limit = p.expr()
		} else {
			q.Limit = &Number{Span: p.cur().span(), Text: "1"}
		}
		if p.acceptAny("ROW", "ROWS") == "" {
			p.unexpected("ROWS", "ROW")
		}
		p.expect("ONLY")
	}
}

func (p *parser) ctes() []*CTE {
	if t := p.cur(); t.isKw("RECURSIVE") && !p.peek(1).isKw("AS") {
		p.fail(t, "", "WITH RECURSIVE is not supported")
	}
	var list []*CTE
	for {
		from := p.i
		c := &CTE{Name: p.ident("a name")}
		if p.isOp("(") {
			c.Columns = p.idents("a column")
		}
		p.expect("AS")
		p.expectOp("(")
		c.Query = p.query()
		p.expectOp(")")
		c.Span = p.span(from)
		list = append(list, c)
		if !p.acceptOp(",") {
			return list
		}
	}
}

// queryTerm reads SELECT, VALUES, TABLE t or (query).
func (p *parser) queryTerm() QueryBody {
	from := p.i
	switch {
	case p.isKw("SELECT"):
		return p.selectCore()
	case p.isKw("VALUES"):
		return p.values()
	case p.accept("TABLE"): // TABLE t is SELECT * FROM t
		t := p.table()
		star := &Star{Span: t.Span}
		return &Select{Span: p.span(from), Items: []*SelectItem{{Span: t.Span, Expr: star}}, From: t}
	case p.acceptOp("("):
		q := p.query()
		p.expectOp(")")
		if q != nil {
			q.Span = p.span(from)
		}
		return q
	}
	p.unexpected("SELECT", "VALUES", "WITH")
	return nil
}

// setOps reads the set operations behind a first term that was just read.
func (p *parser) setOps(first QueryBody) QueryBody {
	from := p.i
	if first != nil && p.err == nil {
		from = p.tokenAt(first.Pos().Start)
	}
	return p.setOpsFrom(from, first)
}

// tokenAt finds the token at a byte offset, looking backwards.
func (p *parser) tokenAt(start int) int {
	i := p.i
	for i > 0 && p.toks[i].start > start {
		i--
	}
	return i
}

func (p *parser) setOpsFrom(from int, first QueryBody) QueryBody {
	left := p.intersects(from, first)
	for chain := 0; p.isKw("UNION") || p.isKw("EXCEPT") || p.isKw("MINUS"); {
		if !p.link(&chain) {
			break
		}
		op := SetUnion
		if p.next().kw != "UNION" {
			op = SetExcept
		}
		all := p.all()
		start := p.i
		right := p.intersects(start, p.queryTerm())
		left = &SetOp{Span: p.span(from), Op: op, All: all, Left: left, Right: right}
	}
	return left
}

func (p *parser) intersects(from int, left QueryBody) QueryBody {
	for chain := 0; p.isKw("INTERSECT") && p.link(&chain); {
		p.next()
		all := p.all()
		right := p.queryTerm()
		left = &SetOp{Span: p.span(from), Op: SetIntersect, All: all, Left: left, Right: right}
	}
	return left
}

func (p *parser) all() bool {
	if p.accept("ALL") {
		return true
	}
	p.accept("DISTINCT")
	return false
}

func (p *parser) selectCore() *Select {
	from := p.i
	p.expect("SELECT")
	s := &Select{Hints: p.hints()}
	if s.Distinct = p.accept("DISTINCT"); !s.Distinct {
		p.accept("ALL")
	}
	for {
		if p.isKw("FROM") && len(s.Items) > 0 {
			p.fail(p.cur(), "remove the comma before it", "expected another column, found %s", p.show(p.cur()))
		}
		s.Items = append(s.Items, p.selectItem())
		if !p.acceptOp(",") {
			break
		}
	}
	if p.accept("FROM") {
		s.From = p.fromClause()
	}
	if p.accept("WHERE") {
		s.Where = p.expr()
	}
	if p.isKw("GROUP") {
		s.GroupBy = p.groupBy()
	}
	if p.accept("HAVING") {
		s.Having = p.expr()
	}
	if p.isKw("WINDOW") && p.peek(2).isKw("AS") {
		s.Windows = p.namedWindows()
	}
	if p.accept("QUALIFY") {
		s.Qualify = p.expr()
	}
	s.Span = p.span(from)
	return s
}

func (p *parser) selectItem() *SelectItem {
	from := p.i
	it := &SelectItem{}
	if q, ok := p.star(); ok {
		it.Expr = q
		it.Span = q.Span
		return it
	}
	it.Expr = p.expr()
	it.Alias = p.columnAlias()
	it.Span = p.span(from)
	return it
}

// star reads * or t.*, if that is what comes next.
func (p *parser) star() (*Star, bool) {
	n := 0
	for (p.peek(n).kind == tokQuoted || p.peek(n).kind == tokWord) && p.peek(n+1).isOp(".") {
		n += 2
		if n > 2*MaxDepth {
			return nil, false
		}
	}
	if !p.peek(n).isOp("*") {
		return nil, false
	}
	from := p.i
	s := &Star{}
	for ; n > 0; n -= 2 {
		s.Qualifier = append(s.Qualifier, p.ident("a table"))
		p.expectOp(".")
	}
	p.expectOp("*")
	s.Span = p.span(from)
	return s, true
}

// bareAlias reports whether the current token is an alias without AS.
func (p *parser) bareAlias() bool {
	t := p.cur()
	return isName(t) && (t.kind == tokQuoted || !noAlias[t.kw])
}

func (p *parser) columnAlias() *Ident {
	if p.accept("AS") {
		id := p.ident("an alias")
		return &id
	}
	if !p.bareAlias() {
		return nil
	}
	p.aliasAt = p.i
	id := p.ident("an alias")
	return &id
}

func (p *parser) orderItems() []*OrderItem {
	list := []*OrderItem{p.orderItem()}
	for p.acceptOp(",") {
		list = append(list, p.orderItem())
	}
	return list
}

func (p *parser) orderItem() *OrderItem {
	from := p.i
	o := &OrderItem{Expr: p.expr()}
	if p.accept("DESC") {
		o.Desc = true
	} else {
		p.accept("ASC")
	}
	if p.accept("NULLS") {
		w := p.acceptAny("FIRST", "LAST")
		if w == "" {
			p.unexpected("FIRST", "LAST")
		}
		first := w == "FIRST"
		o.NullsFirst = &first
	}
	o.Span = p.span(from)
	return o
}

func (p *parser) groupBy() *GroupBy {
	from := p.i
	p.expect("GROUP", "BY")
	g := &GroupBy{Items: p.groupItems()}
	g.Span = p.span(from)
	return g
}

func (p *parser) groupItems() []*GroupItem {
	var list []*GroupItem
	for {
		list = append(list, p.groupItem())
		if !p.acceptOp(",") {
			return list
		}
	}
}

func (p *parser) groupItem() *GroupItem {
	from := p.i
	g := &GroupItem{}
	if !p.enter() {
		p.leave()
		return g
	}
	defer p.leave()
	kind := GroupExpr
	switch {
	case p.accept("GROUPING", "SETS"):
		kind = GroupSets
	case p.isKw("ROLLUP") && p.peek(1).isOp("("):
		kind = GroupRollup
		p.next()
	case p.isKw("CUBE") && p.peek(1).isOp("("):
		kind = GroupCube
		p.next()
	}
	if kind != GroupExpr {
		g.Kind = kind
		p.expectOp("(")
		g.Items = p.groupItems()
		p.expectOp(")")
	} else if p.isOp("(") && p.peek(1).isOp(")") {
		g.Kind = GroupTuple
		p.next()
		p.next()
	} else if e := p.expr(); e != nil {
		g.Exprs = []Expr{e}
		if r, ok := e.(*Row); ok && !r.Explicit {
			g.Kind, g.Exprs = GroupTuple, r.Elems
		}
	}
	g.Span = p.span(from)
	return g
}

func (p *parser) namedWindows() []*NamedWindow {
	p.expect("WINDOW")
	var list []*NamedWindow
	for {
		from := p.i
		w := &NamedWindow{Name: p.ident("a window's name")}
		p.expect("AS")
		w.Spec = p.windowSpec()
		w.Span = p.span(from)
		list = append(list, w)
		if !p.acceptOp(",") {
			return list
		}
	}
}

// windowSpec reads ([name] [PARTITION BY ..] [ORDER BY ..] [frame]).
func (p *parser) windowSpec() *WindowSpec {
	from := p.i
	w := &WindowSpec{}
	p.expectOp("(")
	if t := p.cur(); isName(t) && !t.isKw("ROWS") && !t.isKw("RANGE") {
		id := p.ident("a window's name")
		w.Ref = &id
	}
	if p.accept("PARTITION") {
		p.expect("BY")
		w.PartitionBy = p.exprs()
	}
	if p.accept("ORDER") {
		p.expect("BY")
		w.OrderBy = p.orderItems()
	}
	if p.isKw("ROWS") || p.isKw("RANGE") {
		w.Frame = p.frame()
	}
	p.expectOp(")")
	w.Span = p.span(from)
	return w
}

func (p *parser) frame() *Frame {
	from := p.i
	f := &Frame{Rows: p.next().kw == "ROWS"}
	if p.accept("BETWEEN") {
		f.Lo = p.frameBound()
		p.expect("AND")
		hi := p.frameBound()
		f.Hi = &hi
	} else {
		f.Lo = p.frameBound()
	}
	f.Span = p.span(from)
	return f
}

func (p *parser) frameBound() FrameBound {
	from := p.i
	b := FrameBound{}
	switch {
	case p.accept("CURRENT", "ROW"):
		b.Kind = BoundCurrentRow
	case p.accept("UNBOUNDED", "PRECEDING"):
		b.Kind = BoundUnboundedPreceding
	case p.accept("UNBOUNDED", "FOLLOWING"):
		b.Kind = BoundUnboundedFollowing
	default:
		b.Expr = p.additive()
		switch p.acceptAny("PRECEDING", "FOLLOWING") {
		case "PRECEDING":
			b.Kind = BoundPreceding
		case "FOLLOWING":
			b.Kind = BoundFollowing
		default:
			p.unexpected("PRECEDING", "FOLLOWING")
		}
	}
	b.Span = p.span(from)
	return b
}

func (p *parser) values() *Values {
	from := p.i
	p.expect("VALUES")
	v := &Values{}
	for {
		start := p.i
		e := p.expr()
		r, ok := e.(*Row)
		if !ok {
			r = &Row{Span: p.span(start), Elems: []Expr{e}}
		}
		v.Rows = append(v.Rows, r)
		if !p.acceptOp(",") {
			break
		}
	}
	v.Span = p.span(from)
	return v
}
