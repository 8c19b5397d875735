package parse

// The rules, loosest first, with Calcite's precedences: OR, AND, NOT, IS
// NULL.., comparison and IS DISTINCT FROM, BETWEEN IN LIKE, + -, * / % ||, sign,
// [] and field access.

// expr reads an expression; nil only after a failure.
func (p *parser) expr() Expr {
	if !p.enter() {
		p.leave()
		return nil
	}
	defer p.leave()
	from := p.i
	l := p.and()
	for chain := 0; p.isKw("OR") && p.link(&chain); {
		op := p.next().span()
		r := p.and()
		l = &Binary{Span: p.span(from), Op: OpOr, OpPos: op, L: l, R: r}
	}
	return l
}

// exprs reads expressions with commas.
func (p *parser) exprs() []Expr {
	list := []Expr{p.expr()}
	for p.acceptOp(",") {
		list = append(list, p.expr())
	}
	return list
}

func (p *parser) and() Expr {
	from := p.i
	l := p.not()
	for chain := 0; p.isKw("AND") && p.link(&chain); {
		op := p.next().span()
		r := p.not()
		l = &Binary{Span: p.span(from), Op: OpAnd, OpPos: op, L: l, R: r}
	}
	return l
}

func (p *parser) not() Expr {
	if !p.isKw("NOT") {
		return p.comparison()
	}
	from := p.i
	if !p.enter() {
		p.leave()
		return nil
	}
	defer p.leave()
	p.next()
	x := p.not()
	return &Unary{Span: p.span(from), Op: OpNot, X: x}
}

// isTest reads IS [NOT] NULL|TRUE|..., x being its operand.
func (p *parser) isTest(from int, x Expr) Expr {
	p.next()
	n := &Is{X: x, Not: p.accept("NOT")}
	switch p.acceptAny("NULL", "TRUE", "FALSE", "UNKNOWN", "JSON") {
	case "NULL":
		n.Kind = IsNull
	case "TRUE":
		n.Kind = IsTrue
	case "FALSE":
		n.Kind = IsFalse
	case "UNKNOWN":
		n.Kind = IsUnknown
	case "JSON":
		n.Kind = p.isJSON()
	default:
		p.unexpected("NULL", "TRUE", "FALSE", "UNKNOWN", "DISTINCT FROM", "JSON")
	}
	n.Span = p.span(from)
	return n
}

func (p *parser) isJSON() IsKind {
	switch p.acceptAny("VALUE", "OBJECT", "ARRAY", "SCALAR") {
	case "OBJECT":
		return IsJSONObject
	case "ARRAY":
		return IsJSONArray
	case "SCALAR":
		return IsJSONScalar
	}
	return IsJSON
}

var comparisons = map[string]BinaryOp{
	"=": OpEq, "<>": OpNe, "!=": OpNe, "<": OpLt, "<=": OpLe, ">": OpGt, ">=": OpGe,
}

// comparison reads comparisons and the IS tests. An IS test binds looser than a
// comparison on its left: a = b IS NULL is (a = b) IS NULL.
func (p *parser) comparison() Expr {
	from := p.i
	l := p.predicate()
	for chain := 0; ; {
		t := p.cur()
		op, isCmp := comparisons[t.val]
		switch {
		case t.kind == tokOp && isCmp:
			p.next()
			if p.isOp("=") && op == OpEq {
				p.fail(p.cur(), "equality is a single =", "expected an expression, found \"=\"")
			}
			l = p.compare(from, l, op, t.span())
		case t.isKw("OVERLAPS"):
			p.next()
			r := p.predicate()
			l = &Binary{Span: p.span(from), Op: OpOverlaps, OpPos: t.span(), L: l, R: r}
		case p.isKws("IS", "DISTINCT", "FROM"), p.isKws("IS", "NOT", "DISTINCT", "FROM"):
			p.next()
			d := &IsDistinct{L: l, Not: p.accept("NOT")}
			p.expect("DISTINCT", "FROM")
			d.R = p.predicate()
			d.Span = p.span(from)
			l = d
		case t.isKw("IS"):
			l = p.isTest(from, l)
		default:
			return l
		}
		if !p.link(&chain) {
			return l
		}
	}
}

// compare reads the right side of a comparison: a value, or ANY|ALL (query).
func (p *parser) compare(from int, l Expr, op BinaryOp, opPos Span) Expr {
	if t := p.cur(); (t.isKw("ANY") || t.isKw("SOME") || t.isKw("ALL")) && p.peek(1).isOp("(") {
		p.next()
		q := &Quantified{Op: op, L: l, All: t.kw == "ALL"}
		if !p.queryAhead() {
			p.fail(p.peek(1), "", "%s takes a query", t.kw)
		}
		q.Query = p.parenQuery()
		q.Span = p.span(from)
		return q
	}
	r := p.predicate()
	return &Binary{Span: p.span(from), Op: op, OpPos: opPos, L: l, R: r}
}

func (p *parser) parenQuery() *Query {
	p.expectOp("(")
	q := p.query()
	p.expectOp(")")
	return q
}

// predicate reads BETWEEN, IN, LIKE and SIMILAR TO.
func (p *parser) predicate() Expr {
	from := p.i
	x := p.additive()
	for chain := 0; ; {
		not := false
		t := p.cur()
		if t.isKw("NOT") {
			not = true
			t = p.peek(1)
		}
		if !t.isKw("BETWEEN") && !t.isKw("IN") && !t.isKw("LIKE") && !t.isKw("SIMILAR") || !p.link(&chain) {
			return x
		}
		if not {
			p.next()
		}
		switch p.next().kw {
		case "BETWEEN":
			b := &Between{X: x, Not: not, Symmetric: p.accept("SYMMETRIC")}
			if !b.Symmetric {
				p.accept("ASYMMETRIC")
			}
			b.Lo = p.additive()
			p.expect("AND")
			b.Hi = p.additive()
			b.Span = p.span(from)
			x = b
		case "IN":
			x = p.in(from, x, not)
		case "SIMILAR":
			p.expect("TO")
			x = p.likeTail(from, x, not, true)
		default:
			x = p.likeTail(from, x, not, false)
		}
	}
}

func (p *parser) in(from int, x Expr, not bool) Expr {
	n := &In{X: x, Not: not}
	p.expectOp("(")
	if p.isQueryStart() {
		n.Query = p.query()
	} else {
		start := p.i
		n.List = p.exprs()
		if sub, ok := n.List[0].(*ScalarSubquery); ok && len(n.List) == 1 && p.isQueryTail() {
			n.List, n.Query = nil, p.queryFrom(start, sub.Query)
		}
	}
	p.expectOp(")")
	n.Span = p.span(from)
	return n
}

func (p *parser) likeTail(from int, x Expr, not, similar bool) Expr {
	n := &LikeExpr{X: x, Not: not, Similar: similar, Pattern: p.additive()}
	if p.accept("ESCAPE") {
		n.Escape = p.additive()
	}
	n.Span = p.span(from)
	return n
}

var (
	additiveOps       = map[string]BinaryOp{"+": OpAdd, "-": OpSub}
	multiplicativeOps = map[string]BinaryOp{"*": OpMul, "/": OpDiv, "%": OpMod, "||": OpConcat}
)

func (p *parser) additive() Expr { return p.infix(additiveOps, p.multiplicative) }

func (p *parser) multiplicative() Expr { return p.infix(multiplicativeOps, p.sign) }

// infix reads operand (op operand)*, left-associative.
func (p *parser) infix(ops map[string]BinaryOp, operand func() Expr) Expr {
	from := p.i
	l := operand()
	for chain := 0; p.cur().kind == tokOp; {
		op, ok := ops[p.cur().val]
		if !ok || !p.link(&chain) {
			break
		}
		at := p.next().span()
		r := operand()
		l = &Binary{Span: p.span(from), Op: op, OpPos: at, L: l, R: r}
	}
	return l
}

func (p *parser) sign() Expr {
	if !p.isOp("-") && !p.isOp("+") {
		return p.postfix()
	}
	from := p.i
	if !p.enter() {
		p.leave()
		return nil
	}
	defer p.leave()
	op := OpNeg
	if p.next().val == "+" {
		op = OpPlus
	}
	x := p.sign()
	return &Unary{Span: p.span(from), Op: op, X: x}
}

// postfix reads x[i] and x.field.
func (p *parser) postfix() Expr {
	from := p.i
	x := p.primary()
	for chain := 0; ; {
		switch {
		case p.isOp("["):
			p.next()
			i := p.expr()
			p.expectOp("]")
			x = &Index{Span: p.span(from), X: x, I: i}
		case p.isOp("."):
			p.next()
			f := p.fieldIdent()
			x = &FieldAccess{Span: p.span(from), X: x, Field: f}
		default:
			return x
		}
		if !p.link(&chain) {
			return x
		}
	}
}

func (p *parser) primary() Expr {
	t := p.cur()
	switch t.kind {
	case tokNumber:
		p.next()
		return number(t)
	case tokString:
		p.next()
		return &StringLit{Span: t.span(), Value: t.val}
	case tokUString:
		from := p.i
		v := p.unicodeString()
		return &StringLit{Span: p.span(from), Value: v}
	case tokBytes:
		p.next()
		return &BytesLit{Span: t.span(), Value: []byte(t.val)}
	case tokQuoted:
		return p.nameOrCall()
	case tokWord:
		return p.wordPrimary(t)
	case tokOp:
		if t.val == "(" {
			return p.paren()
		}
	default: // the end, a hint, what the lexer has complained about
	}
	p.unexpected("an expression")
	return nil
}

func number(t *token) *Number {
	n := &Number{Span: t.span(), Text: t.val}
	for _, c := range []byte(t.val) {
		switch c {
		case '.':
			n.Kind = max(n.Kind, NumberDecimal)
		case 'e', 'E':
			n.Kind = NumberDouble
		}
	}
	return n
}

// wordPrimary reads what begins with a word.
func (p *parser) wordPrimary(t *token) Expr {
	after := p.peek(1)
	switch t.kw {
	case "NULL":
		p.next()
		return &NullLit{Span: t.span()}
	case "TRUE", "FALSE":
		p.next()
		return &BoolLit{Span: t.span(), Value: t.kw == "TRUE"}
	case "UNKNOWN":
		if !after.isOp(".") && !after.isOp("(") {
			p.next()
			return &NullLit{Span: t.span()}
		}
	case "CASE":
		return p.caseExpr()
	case "EXISTS":
		from := p.i
		p.next()
		if !p.queryAhead() {
			p.unexpected("a query in parentheses")
		}
		q := p.parenQuery()
		return &Exists{Span: p.span(from), Query: q}
	case "DATE", "TIME", "TIMESTAMP":
		if after.kind == tokString {
			return p.temporal()
		}
	case "INTERVAL":
		if e, ok := p.interval(); ok {
			return e
		}
	case "ARRAY", "MAP":
		if e, ok := p.collection(t); ok {
			return e
		}
	case "TABLE":
		p.fail(t, "", "TABLE is only allowed as an argument of a table function")
		return nil
	}
	if niladic[t.kw] && !after.isOp("(") && !after.isOp(".") {
		p.next()
		n := Name{Span: t.span(), Parts: []Ident{{Span: t.span(), Name: t.val}}}
		return &Call{Span: t.span(), Name: n, Niladic: true}
	}
	if after.isOp("(") {
		if rule, ok := specialCalls[t.kw]; ok {
			return rule(p)
		}
		if t.kw == "LEFT" || t.kw == "RIGHT" {
			return p.call()
		}
	}
	return p.nameOrCall()
}

// nameOrCall reads a.b.c or f(..).
func (p *parser) nameOrCall() Expr {
	if p.callAhead() {
		return p.call()
	}
	t := p.cur()
	if t.kind == tokWord && hardReserved[t.kw] {
		hint := ""
		if a := p.peek(1); a.isKw("FROM") || a.isKw("AS") || a.kind == tokOp && !a.isOp("(") && !a.isOp(";") {
			hint = "as a name it is written `" + t.val + "`"
		}
		p.fail(t, hint, "expected an expression, found %s", quote(t.val))
		return nil
	}
	from := p.i
	n := p.name("an expression")
	if p.isOp("(") && p.err == nil {
		// The last part is a reserved word, such as db.left(x).
		p.fail(&p.toks[from], "", "%s is no function", quote(p.src[n.Start:n.End]))
	}
	return &ColumnRef{Span: n.Span, Parts: n.Parts}
}

// paren reads (x), (a, b) and (query).
func (p *parser) paren() Expr {
	from := p.i
	p.expectOp("(")
	if p.isQueryStart() {
		q := p.query()
		p.expectOp(")")
		return &ScalarSubquery{Span: p.span(from), Query: q}
	}
	inner := p.i
	list := p.exprs()
	x := list[0]
	if sub, ok := x.(*ScalarSubquery); ok && len(list) == 1 && p.isQueryTail() {
		q := p.queryFrom(inner, sub.Query)
		p.expectOp(")")
		return &ScalarSubquery{Span: p.span(from), Query: q}
	}
	p.expectOp(")")
	if len(list) > 1 {
		return &Row{Span: p.span(from), Elems: list}
	}
	return x
}

func (p *parser) caseExpr() Expr {
	from := p.i
	p.next()
	c := &Case{}
	if !p.isKw("WHEN") {
		c.Operand = p.expr()
	}
	if !p.isKw("WHEN") {
		p.unexpected("WHEN")
	}
	for p.isKw("WHEN") {
		start := p.i
		p.next()
		w := &When{Cond: p.expr()}
		for c.Operand != nil && p.isOp(",") { // WHEN 1, 2 THEN
			p.fail(p.cur(), "write a WHEN for each value", "expected THEN, found \",\"")
		}
		p.expect("THEN")
		w.Result = p.expr()
		w.Span = p.span(start)
		c.Whens = append(c.Whens, w)
	}
	if p.accept("ELSE") {
		c.Else = p.expr()
	}
	if !p.accept("END") {
		p.unexpected("WHEN", "ELSE", "END")
	}
	c.Span = p.span(from)
	return c
}

// collection reads ARRAY[..], ARRAY(query), MAP[..]; false if t is a plain name.
func (p *parser) collection(t *token) (Expr, bool) {
	from := p.i
	after := p.peek(1)
	if t.kw == "ARRAY" && after.isOp("(") && (startsQuery(p.peek(2)) || p.peek(2).isOp("(")) {
		p.next()
		if !p.queryAhead() {
			p.fail(after, "arrays are written ARRAY[1, 2]", "ARRAY(...) takes a query")
		}
		q := p.parenQuery()
		return &ArrayExpr{Span: p.span(from), Query: q}, true
	}
	if !after.isOp("[") {
		return nil, false
	}
	p.next()
	p.next()
	var list []Expr
	if !p.isOp("]") {
		list = p.exprs()
	}
	p.expectOp("]")
	sp := p.span(from)
	if t.kw == "ARRAY" {
		return &ArrayExpr{Span: sp, Elems: list}, true
	}
	if len(list)%2 != 0 {
		p.failSpan(sp, "", "MAP[...] needs keys and values in pairs")
	}
	m := &MapExpr{Span: sp}
	for i := 0; i+1 < len(list); i += 2 {
		m.Keys = append(m.Keys, list[i])
		m.Values = append(m.Values, list[i+1])
	}
	return m, true
}
