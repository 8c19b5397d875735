package parse

// specialCalls are the functions whose arguments have their own grammar. Each
// rule starts at the function's name, which a parenthesis follows.
var specialCalls map[string]func(*parser) Expr

func init() { // breaks the initialisation cycle between the table and its rules
	specialCalls = map[string]func(*parser) Expr{
		"CAST":          func(p *parser) Expr { return p.cast(false) },
		"TRY_CAST":      func(p *parser) Expr { return p.cast(true) },
		"EXTRACT":       (*parser).extract,
		"FLOOR":         (*parser).floorTo,
		"CEIL":          (*parser).floorTo,
		"CEILING":       (*parser).floorTo,
		"TIMESTAMPADD":  (*parser).timestampAdd,
		"TIMESTAMPDIFF": (*parser).timestampDiff,
		"POSITION":      (*parser).position,
		"TRIM":          (*parser).trim,
		"SUBSTRING":     (*parser).substring,
		"OVERLAY":       (*parser).overlay,
		"ROW":           (*parser).row,
		"JSON_VALUE":    (*parser).jsonValue,
		"JSON_QUERY":    (*parser).jsonQuery,
		"JSON_EXISTS":   (*parser).jsonExists,
		"JSON_OBJECT":   (*parser).jsonObject,
		"JSON_ARRAY":    (*parser).jsonArray,
		// The aggregates: KEY k VALUE v, and NULL|ABSENT ON NULL.
		"JSON_OBJECTAGG": (*parser).jsonObject,
		"JSON_ARRAYAGG":  (*parser).jsonArray,
	}
}

// call reads f(args) and what may follow: WITHIN GROUP, FILTER, IGNORE NULLS, OVER.
func (p *parser) call() *Call {
	from := p.i
	if !p.enter() {
		p.leave()
		return &Call{}
	}
	defer p.leave()
	c := &Call{Name: p.callName()}
	p.expectOp("(")
	p.callArgs(c)
	p.expectOp(")")
	p.callSuffix(c)
	c.Span = p.span(from)
	return c
}

// callName reads the function's name. No warning for reserved words: built-in
// functions are among them.
func (p *parser) callName() Name {
	from := p.i
	var n Name
	for {
		t := p.next()
		if t.kind != tokWord && t.kind != tokQuoted {
			p.fail(t, "", "expected a function, found %s", p.show(t))
			return n
		}
		n.Parts = append(n.Parts, Ident{Span: t.span(), Name: t.val, Quoted: t.kind == tokQuoted})
		if !p.acceptOp(".") {
			break
		}
	}
	n.Span = p.span(from)
	return n
}

func (p *parser) callArgs(c *Call) {
	if p.isOp(")") {
		return
	}
	if p.acceptOp("*") {
		c.Star = true
		return
	}
	if c.Distinct = p.accept("DISTINCT"); !c.Distinct {
		p.accept("ALL")
	}
	for {
		c.Args = append(c.Args, p.arg())
		if !p.acceptOp(",") {
			break
		}
	}
	if p.accept("ORDER") {
		p.expect("BY")
		c.OrderBy = p.orderItems()
	}
	if p.err == nil && !p.isOp(")") {
		p.unexpected(`","`, `")"`)
	}
}

func (p *parser) callSuffix(c *Call) {
	if p.accept("WITHIN", "GROUP") {
		p.expectOp("(")
		p.expect("ORDER", "BY")
		c.OrderBy = p.orderItems()
		p.expectOp(")")
	}
	if p.isKw("FILTER") && p.peek(1).isOp("(") {
		p.next()
		p.expectOp("(")
		p.expect("WHERE")
		c.Filter = p.expr()
		p.expectOp(")")
	}
	if ignore := p.isKws("IGNORE", "NULLS"); ignore || p.isKws("RESPECT", "NULLS") {
		p.next()
		p.next()
		c.IgnoreNulls = &ignore
	}
	if p.accept("OVER") {
		if p.isOp("(") {
			c.Over = p.windowSpec()
			return
		}
		id := p.ident("a window")
		c.Over = &WindowSpec{Span: id.Span, Ref: &id, Bare: true}
	}
}

// arg reads [name =>] value, where value may be a table or a descriptor.
func (p *parser) arg() *Arg {
	from := p.i
	a := &Arg{}
	if (p.cur().kind == tokWord || p.cur().kind == tokQuoted) && p.peek(1).isOp("=>") {
		t := p.next()
		a.Name = &Ident{Span: t.span(), Name: t.val, Quoted: t.kind == tokQuoted}
		p.next()
	}
	switch {
	case p.isKw("TABLE"):
		a.Value = p.tableArg()
	case p.isKw("DESCRIPTOR") && p.peek(1).isOp("("):
		start := p.i
		p.next()
		cols := p.idents("a column")
		a.Value = &Descriptor{Span: p.span(start), Columns: cols}
	default:
		a.Value = p.expr()
	}
	a.Span = p.span(from)
	return a
}

// tableArg reads TABLE t or TABLE (query), with PARTITION BY and ORDER BY.
func (p *parser) tableArg() Expr {
	from := p.i
	p.expect("TABLE")
	t := &TableArg{}
	if p.isOp("(") && p.queryAhead() {
		t.Query = p.parenQuery()
	} else {
		paren := p.acceptOp("(")
		t.Table = p.table()
		if paren {
			p.expectOp(")")
		}
	}
	if p.accept("PARTITION") {
		p.expect("BY")
		t.PartitionBy = p.keys()
	}
	if p.accept("ORDER") {
		p.expect("BY")
		if p.acceptOp("(") {
			t.OrderBy = p.orderItems()
			p.expectOp(")")
		} else { // one only: what follows a comma is the next argument
			t.OrderBy = []*OrderItem{p.orderItem()}
		}
	}
	t.Span = p.span(from)
	return t
}

// keys reads the keys of a table argument: k, (a, b), or a, b without
// parentheses as long as plain names follow, since those are no argument.
func (p *parser) keys() []Expr {
	if p.acceptOp("(") {
		list := p.exprs()
		p.expectOp(")")
		return list
	}
	list := []Expr{p.expr()}
	for p.isOp(",") && isName(p.peek(1)) && (p.peek(2).isOp(",") || p.peek(2).isOp(")")) {
		p.next()
		list = append(list, p.expr())
	}
	return list
}

// open takes the function's name and its parenthesis.
func (p *parser) open() int {
	from := p.i
	p.next()
	p.expectOp("(")
	return from
}

func (p *parser) cast(try bool) Expr {
	from := p.open()
	c := &Cast{Try: try, X: p.expr()}
	p.expect("AS")
	c.Type = p.dataType()
	p.expectOp(")")
	c.Span = p.span(from)
	return c
}

// unit reads a time unit of a function.
func (p *parser) unit() Unit {
	t := p.cur()
	if u, ok := units[t.kw]; ok && t.kind == tokWord {
		p.next()
		return u
	}
	if t.kind == tokWord {
		p.fail(t, DidYouMean(t.val, unitWords), "%s is no time unit", quote(t.val))
	} else {
		p.unexpected("a time unit such as DAY or HOUR")
	}
	return UnitNone
}

func (p *parser) extract() Expr {
	from := p.open()
	e := &Extract{Unit: p.unit()}
	p.expect("FROM")
	e.X = p.expr()
	p.expectOp(")")
	e.Span = p.span(from)
	return e
}

// floorTo reads FLOOR(x TO unit), and FLOOR(x) as a call.
func (p *parser) floorTo() Expr {
	from := p.i
	fn := p.cur()
	name := p.fnName()
	p.open()
	outer := p.inFloor
	p.inFloor = true
	x := p.expr()
	p.inFloor = outer
	if p.accept("TO") {
		f := &FloorTo{Ceil: fn.kw != "FLOOR", X: x, Unit: p.unit()}
		p.expectOp(")")
		f.Span = p.span(from)
		return f
	}
	return p.plainCall(from, name, x)
}

// fnName is the current token as a function's name.
func (p *parser) fnName() Name {
	t := p.cur()
	return Name{Span: t.span(), Parts: []Ident{{Span: t.span(), Name: t.val}}}
}

// plainCall ends a call whose first arguments were read: [, args] ).
func (p *parser) plainCall(from int, name Name, args ...Expr) Expr {
	c := &Call{Name: name}
	for _, a := range args {
		if a == nil {
			return nil // only after a failure
		}
		c.Args = append(c.Args, &Arg{Span: a.Pos(), Value: a})
	}
	for p.acceptOp(",") {
		c.Args = append(c.Args, p.arg())
	}
	p.expectOp(")")
	c.Span = p.span(from)
	return c
}

func (p *parser) timestampAdd() Expr {
	from := p.open()
	t := &TimestampAdd{Unit: p.unit()}
	p.expectOp(",")
	t.N = p.expr()
	p.expectOp(",")
	t.X = p.expr()
	p.expectOp(")")
	t.Span = p.span(from)
	return t
}

func (p *parser) timestampDiff() Expr {
	from := p.open()
	t := &TimestampDiff{Unit: p.unit()}
	p.expectOp(",")
	t.From = p.expr()
	p.expectOp(",")
	t.To = p.expr()
	p.expectOp(")")
	t.Span = p.span(from)
	return t
}

// position reads POSITION(a IN b [FROM i]). a is read without IN predicates.
func (p *parser) position() Expr {
	name := p.fnName()
	from := p.open()
	args := []Expr{p.additive()}
	if !p.acceptOp(",") {
		p.expect("IN")
	}
	args = append(args, p.additive())
	if p.accept("FROM") {
		args = append(args, p.expr())
	}
	return p.plainCall(from, name, args...)
}

func (p *parser) trim() Expr {
	from := p.open()
	t := &Trim{}
	where := ""
	if !p.peek(1).isOp(")") && !p.peek(1).isOp(",") && !p.peek(1).isOp(".") {
		where = p.acceptAny("BOTH", "LEADING", "TRAILING")
	}
	switch where {
	case "LEADING":
		t.Where = TrimLeading
	case "TRAILING":
		t.Where = TrimTrailing
	}
	if where == "" || !p.isKw("FROM") {
		t.X = p.expr()
	}
	switch {
	case p.accept("FROM"):
		t.Chars, t.X = t.X, p.expr()
	case where != "":
		p.unexpected("FROM")
	}
	p.expectOp(")")
	t.Span = p.span(from)
	return t
}

func (p *parser) substring() Expr {
	name := p.fnName()
	from := p.open()
	args := []Expr{p.expr()}
	if p.accept("FROM") {
		args = append(args, p.expr())
		if p.accept("FOR") {
			args = append(args, p.expr())
		}
	}
	return p.plainCall(from, name, args...)
}

func (p *parser) overlay() Expr {
	name := p.fnName()
	from := p.open()
	args := []Expr{p.expr()}
	if p.accept("PLACING") {
		args = append(args, p.expr())
		p.expect("FROM")
		args = append(args, p.expr())
		if p.accept("FOR") {
			args = append(args, p.expr())
		}
	}
	return p.plainCall(from, name, args...)
}

func (p *parser) row() Expr {
	from := p.open()
	r := &Row{Explicit: true}
	if !p.isOp(")") {
		r.Elems = p.exprs()
	}
	p.expectOp(")")
	r.Span = p.span(from)
	return r
}
