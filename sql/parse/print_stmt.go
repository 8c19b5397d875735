package parse

func stmtString(s Stmt) string {
	var w printer
	w.stmt(s)
	return w.Builder.String()
}

func (w *printer) stmt(s Stmt) {
	switch s := s.(type) {
	case *Set:
		w.puts("SET")
		if s.Key.Known() {
			w.puts(" ", QuoteString(s.Key.Value), " = ", QuoteString(MaskValue(s.Key.Value, s.Value.Value)))
		}
	case *Reset:
		w.puts("RESET")
		if s.Key.Known() {
			w.puts(" ", QuoteString(s.Key.Value))
		}
	case *CreateTable:
		w.createTable(s)
	case *CreateView:
		w.puts("CREATE ", choose(s.Temporary, "TEMPORARY ", ""), "VIEW ", choose(s.IfNotExists, "IF NOT EXISTS ", ""))
		w.name(s.Name)
		w.columns(s.Columns)
		w.comment(s.Comment)
		w.puts(" AS ")
		w.query(s.Query)
	case *CreateFunction:
		w.createFunction(s)
	case *Drop:
		w.puts("DROP ", choose(s.Temporary, "TEMPORARY ", ""), s.Object, " ", choose(s.IfExists, "IF EXISTS ", ""))
		w.name(s.Name)
	case *Insert:
		w.insert(s)
	case *StatementSet:
		w.puts("EXECUTE STATEMENT SET BEGIN ")
		for _, ins := range s.Inserts {
			w.insert(ins)
			w.puts("; ")
		}
		w.puts("END")
	case *Explain:
		w.puts("EXPLAIN ")
		w.list(len(s.Details), func(i int) { w.puts(s.Details[i]) })
		w.putIf(len(s.Details) > 0, " ")
		w.stmt(s.Stmt)
	case *QueryStmt:
		w.query(s.Query)
	}
}

func (w *printer) comment(c *Text) {
	if c != nil {
		w.puts(" COMMENT ", QuoteString(c.Value))
	}
}

func (w *printer) createTable(t *CreateTable) {
	w.puts("CREATE ", choose(t.Temporary, "TEMPORARY ", ""), "TABLE ", choose(t.IfNotExists, "IF NOT EXISTS ", ""))
	w.name(t.Name)
	if len(t.Columns)+len(t.Watermarks)+len(t.PrimaryKeys) > 0 {
		w.puts(" (")
		w.tableElements(t)
		w.puts(")")
	}
	w.comment(t.Comment)
	if len(t.PartitionBy) > 0 {
		w.puts(" PARTITIONED BY")
		w.columns(t.PartitionBy)
	}
	if len(t.Options) > 0 {
		w.puts(" WITH (")
		w.options(t.Options)
		w.puts(")")
	}
	if l := t.Like; l != nil {
		w.puts(" LIKE ")
		w.name(l.Table)
		for i, o := range l.Options {
			w.puts(choose(i == 0, " (", " "), o.Strategy, " ", o.Feature)
		}
		w.putIf(len(l.Options) > 0, ")")
	}
	if t.As != nil {
		w.puts(" AS ")
		w.query(t.As)
	}
}

func (w *printer) tableElements(t *CreateTable) {
	sep := ""
	next := func() {
		w.puts(sep)
		sep = ", "
	}
	for _, c := range t.Columns {
		next()
		w.column(c)
	}
	for _, m := range t.Watermarks {
		next()
		w.puts("WATERMARK FOR ")
		w.name(m.Column)
		w.puts(" AS ")
		w.expr(m.Expr, precLowest)
	}
	for _, pk := range t.PrimaryKeys {
		next()
		if pk.Constraint != nil {
			w.puts("CONSTRAINT ")
			w.ident(*pk.Constraint)
			w.puts(" ")
		}
		w.puts("PRIMARY KEY")
		w.columns(pk.Columns)
		w.puts(" NOT ENFORCED")
	}
}

func (w *printer) column(c *Column) {
	w.ident(c.Name)
	if c.Kind == ColumnComputed {
		w.puts(" AS ")
		w.expr(c.Expr, precLowest)
	} else {
		w.puts(" ")
		w.dataType(c.Type)
	}
	if c.Kind == ColumnMetadata {
		w.puts(" METADATA")
		if c.MetadataKey != nil {
			w.puts(" FROM ", QuoteString(c.MetadataKey.Value))
		}
		w.putIf(c.Virtual, " VIRTUAL")
	}
	w.comment(c.Comment)
}

func (w *printer) createFunction(f *CreateFunction) {
	w.puts("CREATE ", choose(f.Temporary, "TEMPORARY ", ""), choose(f.System, "SYSTEM ", ""), "FUNCTION ",
		choose(f.IfNotExists, "IF NOT EXISTS ", ""))
	w.name(f.Name)
	w.puts(" AS ", QuoteString(f.Class.Value))
	w.putIf(f.Language != "", " LANGUAGE "+f.Language)
	for i, u := range f.Using {
		w.puts(choose(i == 0, " USING ", ", "), choose(f.Language == "WASM", "WASM ", "JAR "), QuoteString(u.Value))
	}
	if len(f.Options) > 0 {
		w.puts(" WITH (")
		w.options(f.Options)
		w.puts(")")
	}
}

func (w *printer) insert(s *Insert) {
	w.puts("INSERT ", choose(s.Overwrite, "OVERWRITE ", "INTO "))
	w.name(s.Table)
	w.hints(s.Hints)
	if len(s.Partition) > 0 {
		w.puts(" PARTITION (")
		w.list(len(s.Partition), func(i int) {
			w.ident(s.Partition[i].Column)
			w.clause(" = ", s.Partition[i].Value)
		})
		w.puts(")")
	}
	w.columns(s.Columns)
	w.puts(" ")
	w.query(s.Query)
}
