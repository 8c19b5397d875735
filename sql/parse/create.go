package parse

import "slices"

func (p *parser) create() Stmt {
	from := p.i
	p.next()
	temporary := p.accept("TEMPORARY")
	switch {
	case temporary && p.accept("SYSTEM"):
		p.expect("FUNCTION")
		return p.createFunction(from, true, true)
	case p.accept("TABLE"):
		return p.createTable(from, temporary)
	case p.accept("VIEW"):
		return p.createView(from, temporary)
	case p.accept("FUNCTION"):
		return p.createFunction(from, temporary, false)
	}
	p.notAnObject("CREATE")
	return nil
}

func (p *parser) createTable(from int, temporary bool) Stmt {
	t := &CreateTable{Temporary: temporary}
	t.IfNotExists = p.accept("IF", "NOT", "EXISTS")
	t.Name = p.name("the table's name")
	if p.acceptOp("(") {
		p.tableElements(t)
	}
	t.Comment = p.optText("the comment as a string", "COMMENT")
	if p.accept("PARTITIONED") {
		p.expect("BY")
		t.PartitionBy = p.idents("a column")
	}
	if p.accept("WITH") {
		t.Options = p.options()
	}
	if p.isKw("LIKE") {
		t.Like = p.like()
	}
	if p.accept("AS") {
		t.As = p.query()
	}
	if p.err == nil && !p.isOp(";") && p.cur().kind != tokEOF {
		p.afterTable(t)
	}
	t.Span = p.span(from)
	return t
}

// afterTable reports what cannot follow a table's clauses. A next statement
// without semicolon before it is left to the caller, who knows better.
func (p *parser) afterTable(t *CreateTable) {
	cur := p.cur()
	if cur.kind == tokWord && slices.Contains(stmtWords, cur.kw) && cur.kw != "WITH" {
		return
	}
	if t.As != nil || t.Like != nil {
		return
	}
	p.unexpected("WITH", "COMMENT", "PARTITIONED", "LIKE", "AS", `";"`)
}

func (p *parser) tableElements(t *CreateTable) {
	for {
		if p.isOp(")") && len(t.Columns) > 0 {
			p.fail(p.cur(), "remove the comma before it", "expected another column, found \")\"")
		}
		p.tableElement(t)
		if !p.acceptOp(",") {
			break
		}
	}
	if !p.isOp(")") {
		p.unexpected(`","`, `")"`)
	}
	p.next()
}

func (p *parser) tableElement(t *CreateTable) {
	from := p.i
	switch {
	case p.isKws("WATERMARK", "FOR"):
		p.expect("WATERMARK", "FOR")
		w := &Watermark{Column: p.name("a column")}
		p.expect("AS")
		w.Expr = p.expr()
		w.Span = p.span(from)
		t.Watermarks = append(t.Watermarks, w)
	case p.isKw("CONSTRAINT") && p.peek(2).isKw("PRIMARY"):
		p.next()
		name := p.ident("the constraint's name")
		pk := p.primaryKey(from)
		pk.Constraint = &name
		t.PrimaryKeys = append(t.PrimaryKeys, pk)
	case p.isKws("PRIMARY", "KEY"):
		t.PrimaryKeys = append(t.PrimaryKeys, p.primaryKey(from))
	case p.isKw("UNIQUE") && p.peek(1).isOp("("):
		p.fail(p.cur(), "use PRIMARY KEY (...) NOT ENFORCED", "UNIQUE constraints are not supported")
	default:
		c := p.column()
		t.Columns = append(t.Columns, c)
		if c.PrimaryKey {
			t.PrimaryKeys = append(t.PrimaryKeys, &PrimaryKey{Span: c.Span, Columns: []Ident{c.Name}})
		}
	}
}

func (p *parser) primaryKey(from int) *PrimaryKey {
	p.expect("PRIMARY", "KEY")
	pk := &PrimaryKey{Columns: p.idents("a column")}
	p.notEnforced()
	pk.Span = p.span(from)
	return pk
}

// notEnforced reads NOT ENFORCED, which Flink demands: a stream's key is a promise.
func (p *parser) notEnforced() {
	if !p.accept("NOT", "ENFORCED") {
		t := p.cur()
		p.fail(t, "write PRIMARY KEY (...) NOT ENFORCED", "expected NOT ENFORCED after the primary key, found %s", p.show(t))
	}
}

func (p *parser) column() *Column {
	from := p.i
	c := &Column{Name: p.ident("a column")}
	if p.accept("AS") {
		c.Kind = ColumnComputed
		c.Expr = p.expr()
	} else {
		c.Type = p.dataType()
		p.columnRest(c)
	}
	c.Comment = p.optText("the comment as a string", "COMMENT")
	c.Span = p.span(from)
	return c
}

func (p *parser) columnRest(c *Column) {
	switch {
	case p.accept("METADATA"):
		c.Kind = ColumnMetadata
		c.MetadataKey = p.optText("the metadata key as a string", "FROM")
		c.Virtual = p.accept("VIRTUAL")
	case p.isKws("PRIMARY", "KEY"):
		p.expect("PRIMARY", "KEY")
		p.notEnforced()
		c.PrimaryKey = true
		if p.accept("NOT", "NULL") {
			c.Type.NotNull = true
		}
	}
}

var (
	likeFeatures = []string{"ALL", "CONSTRAINTS", "DISTRIBUTION", "GENERATED", "METADATA", "OPTIONS", "PARTITIONS", "WATERMARKS"}
	likeModes    = []string{"INCLUDING", "EXCLUDING", "OVERWRITING"}
)

func (p *parser) like() *Like {
	from := p.i
	p.expect("LIKE")
	l := &Like{Table: p.name("a table")}
	if p.acceptOp("(") {
		for !p.isOp(")") && p.err == nil {
			start := p.i
			o := LikeOption{Strategy: p.acceptAny(likeModes...)}
			if o.Strategy == "" {
				p.unexpected(likeModes...)
			}
			if o.Feature = p.acceptAny(likeFeatures...); o.Feature == "" {
				p.unexpected(likeFeatures...)
			}
			o.Span = p.span(start)
			l.Options = append(l.Options, o)
		}
		p.expectOp(")")
	}
	l.Span = p.span(from)
	return l
}

func (p *parser) createView(from int, temporary bool) Stmt {
	v := &CreateView{Temporary: temporary}
	v.IfNotExists = p.accept("IF", "NOT", "EXISTS")
	v.Name = p.name("the view's name")
	if p.isOp("(") {
		v.Columns = p.idents("a column")
	}
	v.Comment = p.optText("the comment as a string", "COMMENT")
	p.expect("AS")
	v.Query = p.query()
	v.Span = p.span(from)
	return v
}

func (p *parser) createFunction(from int, temporary, system bool) Stmt {
	f := &CreateFunction{Temporary: temporary, System: system}
	f.IfNotExists = p.accept("IF", "NOT", "EXISTS")
	f.Name = p.name("the function's name")
	p.expect("AS")
	f.Class = p.text("the function's class or module as a string")
	if p.accept("LANGUAGE") {
		if f.Language = p.acceptAny("JAVA", "SCALA", "PYTHON", "WASM", "SQL"); f.Language == "" {
			p.unexpected("JAVA", "SCALA", "PYTHON", "WASM")
		}
	}
	if p.accept("USING") {
		for {
			if p.acceptAny("JAR", "WASM", "FILE", "ARTIFACT") == "" {
				p.unexpected("JAR", "WASM")
			}
			f.Using = append(f.Using, p.text("a path as a string"))
			if !p.acceptOp(",") {
				break
			}
		}
	}
	if p.accept("WITH") {
		f.Options = p.options()
	}
	f.Span = p.span(from)
	return f
}
