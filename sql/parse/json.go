package parse

// jsonInput reads x, path of the JSON functions.
func (p *parser) jsonInput() (x, path Expr) {
	x = p.expr()
	p.expectOp(",")
	return x, p.expr()
}

func (p *parser) returning() *Type {
	if p.accept("RETURNING") {
		return p.dataType()
	}
	return nil
}

func (p *parser) jsonValue() Expr {
	from := p.open()
	j := &JSONValue{}
	j.X, j.Path = p.jsonInput()
	j.Returning = p.returning()
	for p.isKw("NULL") || p.isKw("ERROR") || p.isKw("DEFAULT") {
		start := p.i
		b := &JSONBehavior{}
		switch p.next().kw {
		case "ERROR":
			b.Kind = JSONError
		case "DEFAULT":
			b.Kind = JSONDefault
			b.Default = p.expr()
		}
		p.onWhat(start, b, &j.OnEmpty, &j.OnError)
	}
	p.expectOp(")")
	j.Span = p.span(from)
	return j
}

// onWhat reads ON EMPTY or ON ERROR and puts b, which began at token start,
// where it belongs. ON EMPTY comes first, each once.
func (p *parser) onWhat(start int, b *JSONBehavior, onEmpty, onError **JSONBehavior) {
	p.expect("ON")
	b.Span = p.span(start)
	at := p.cur()
	switch p.acceptAny("EMPTY", "ERROR") {
	case "EMPTY":
		if onEmpty == nil || *onEmpty != nil || *onError != nil {
			p.fail(at, "ON EMPTY stands once, before ON ERROR", "unexpected ON EMPTY")
			return
		}
		*onEmpty = b
	case "ERROR":
		if *onError != nil {
			p.fail(at, "ON ERROR stands once", "unexpected ON ERROR")
		}
		*onError = b
	default:
		p.unexpected("EMPTY", "ERROR")
	}
}

func (p *parser) jsonQuery() Expr {
	from := p.open()
	j := &JSONQuery{}
	j.X, j.Path = p.jsonInput()
	j.Returning = p.returning()
	switch {
	case p.accept("WITHOUT"):
		p.accept("ARRAY")
		p.expect("WRAPPER")
	case p.accept("WITH"):
		j.Wrapper = WrapperUnconditional
		if p.accept("CONDITIONAL") {
			j.Wrapper = WrapperConditional
		} else {
			p.accept("UNCONDITIONAL")
		}
		p.accept("ARRAY")
		p.expect("WRAPPER")
	}
	for p.isKw("NULL") || p.isKw("ERROR") || p.isKw("EMPTY") {
		start := p.i
		b := &JSONBehavior{}
		switch p.next().kw {
		case "ERROR":
			b.Kind = JSONError
		case "EMPTY":
			switch p.acceptAny("ARRAY", "OBJECT") {
			case "ARRAY":
				b.Kind = JSONEmptyArray
			case "OBJECT":
				b.Kind = JSONEmptyObject
			default:
				p.unexpected("ARRAY", "OBJECT")
			}
		}
		p.onWhat(start, b, &j.OnEmpty, &j.OnError)
	}
	p.expectOp(")")
	j.Span = p.span(from)
	return j
}

func (p *parser) jsonExists() Expr {
	from := p.open()
	j := &JSONExists{}
	j.X, j.Path = p.jsonInput()
	start := p.i
	kinds := map[string]JSONBehaviorKind{"TRUE": JSONTrue, "FALSE": JSONFalse, "UNKNOWN": JSONUnknown, "ERROR": JSONError}
	if w := p.acceptAny("TRUE", "FALSE", "UNKNOWN", "ERROR"); w != "" {
		p.expect("ON", "ERROR")
		j.OnError = &JSONBehavior{Span: p.span(start), Kind: kinds[w]}
	}
	p.expectOp(")")
	j.Span = p.span(from)
	return j
}

// jsonObject reads JSON_OBJECT([[KEY] k VALUE v, ..] [NULL|ABSENT ON NULL]) and JSON_OBJECTAGG.
func (p *parser) jsonObject() Expr {
	name := p.cur().kw
	from := p.open()
	j := &JSONConstructor{Name: name}
	for !p.isOp(")") && !p.onNullAhead() {
		if p.isKw("KEY") && !p.peek(1).isKw("VALUE") && !p.peek(1).isOp(".") && !p.peek(1).isOp(":") {
			p.next()
		}
		j.Keys = append(j.Keys, p.expr())
		if !p.acceptOp(":") {
			p.expect("VALUE")
		}
		j.Values = append(j.Values, p.expr())
		if !p.acceptOp(",") {
			break
		}
	}
	return p.jsonEnd(from, j)
}

func (p *parser) jsonArray() Expr {
	name := p.cur().kw
	from := p.open()
	j := &JSONConstructor{Name: name}
	if !p.isOp(")") && !p.onNullAhead() {
		j.Values = p.exprs()
	}
	return p.jsonEnd(from, j)
}

func (p *parser) onNullAhead() bool { return p.isKws("NULL", "ON") || p.isKws("ABSENT", "ON") }

func (p *parser) jsonEnd(from int, j *JSONConstructor) Expr {
	if p.onNullAhead() {
		absent := p.next().kw == "ABSENT"
		j.AbsentOnNull = &absent
		p.expect("ON", "NULL")
	}
	p.expectOp(")")
	j.Span = p.span(from)
	return j
}
