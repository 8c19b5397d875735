package parse

func queryString(q *Query) string {
	var w printer
	w.query(q)
	return w.Builder.String()
}

func bodyString(b QueryBody) string {
	var w printer
	w.body(b)
	return w.Builder.String()
}

func tableString(t TableRef) string {
	var w printer
	w.tableRef(t)
	return w.Builder.String()
}

// paren writes (query).
func (w *printer) paren(q *Query) {
	w.puts("(")
	w.query(q)
	w.puts(")")
}

func (w *printer) query(q *Query) {
	if len(q.With) > 0 {
		w.puts("WITH ")
		w.list(len(q.With), func(i int) {
			c := q.With[i]
			w.ident(c.Name)
			w.columns(c.Columns)
			w.puts(" AS ")
			w.paren(c.Query)
		})
		w.puts(" ")
	}
	w.body(q.Body)
	if len(q.OrderBy) > 0 {
		w.puts(" ORDER BY ")
		w.orderItems(q.OrderBy)
	}
	if q.Limit != nil {
		w.puts(" LIMIT ")
		w.expr(q.Limit, precLowest)
	}
	if q.Offset != nil {
		w.puts(" OFFSET ")
		w.expr(q.Offset, precLowest)
	}
}

// columns writes a column list in parentheses, nothing if it is empty.
func (w *printer) columns(ids []Ident) {
	if len(ids) > 0 {
		w.puts(" (")
		w.idents(ids)
		w.puts(")")
	}
}

func (w *printer) body(b QueryBody) {
	switch b := b.(type) {
	case *Query:
		w.paren(b)
	case *Select:
		w.selectCore(b)
	case *SetOp:
		w.body(b.Left)
		w.puts([...]string{SetUnion: " UNION ", SetIntersect: " INTERSECT ", SetExcept: " EXCEPT "}[b.Op])
		w.putIf(b.All, "ALL ")
		w.body(b.Right)
	case *Values:
		w.puts("VALUES ")
		w.list(len(b.Rows), func(i int) { w.bare(b.Rows[i]) })
	}
}

func (w *printer) selectCore(s *Select) {
	w.puts("SELECT")
	w.hints(s.Hints)
	w.putIf(s.Distinct, " DISTINCT")
	w.puts(" ")
	w.list(len(s.Items), func(i int) {
		w.expr(s.Items[i].Expr, precLowest)
		if a := s.Items[i].Alias; a != nil {
			w.puts(" AS ")
			w.ident(*a)
		}
	})
	if s.From != nil {
		w.puts(" FROM ")
		w.tableRef(s.From)
	}
	w.clause(" WHERE ", s.Where)
	if s.GroupBy != nil {
		w.puts(" GROUP BY ")
		w.groupItems(s.GroupBy.Items)
	}
	w.clause(" HAVING ", s.Having)
	if len(s.Windows) > 0 {
		w.puts(" WINDOW ")
		w.list(len(s.Windows), func(i int) {
			w.ident(s.Windows[i].Name)
			w.puts(" AS ")
			w.windowSpec(s.Windows[i].Spec)
		})
	}
	w.clause(" QUALIFY ", s.Qualify)
}

func (w *printer) clause(word string, e Expr) {
	if e != nil {
		w.puts(word)
		w.expr(e, precLowest)
	}
}

func (w *printer) groupItems(items []*GroupItem) {
	w.list(len(items), func(i int) {
		g := items[i]
		switch g.Kind {
		case GroupExpr:
			w.exprs(g.Exprs)
		case GroupTuple:
			w.puts("(")
			w.exprs(g.Exprs)
			w.puts(")")
		case GroupSets, GroupRollup, GroupCube:
			w.puts([...]string{GroupSets: "GROUPING SETS", GroupRollup: "ROLLUP", GroupCube: "CUBE"}[g.Kind], " (")
			w.groupItems(g.Items)
			w.puts(")")
		}
	})
}

func (w *printer) orderItems(items []*OrderItem) {
	w.list(len(items), func(i int) {
		o := items[i]
		w.expr(o.Expr, precLowest)
		w.putIf(o.Desc, " DESC")
		if o.NullsFirst != nil {
			w.puts(choose(*o.NullsFirst, " NULLS FIRST", " NULLS LAST"))
		}
	})
}

// windowSpec writes ( ... ), its parts separated by blanks.
func (w *printer) windowSpec(s *WindowSpec) {
	w.puts("(")
	sep := ""
	part := func(word string) {
		w.puts(sep, word)
		sep = " "
	}
	if s.Ref != nil {
		part("")
		w.ident(*s.Ref)
	}
	if len(s.PartitionBy) > 0 {
		part("PARTITION BY ")
		w.exprs(s.PartitionBy)
	}
	if len(s.OrderBy) > 0 {
		part("ORDER BY ")
		w.orderItems(s.OrderBy)
	}
	if f := s.Frame; f != nil {
		part(choose(f.Rows, "ROWS ", "RANGE "))
		w.putIf(f.Hi != nil, "BETWEEN ")
		w.frameBound(f.Lo)
		if f.Hi != nil {
			w.puts(" AND ")
			w.frameBound(*f.Hi)
		}
	}
	w.puts(")")
}

func (w *printer) frameBound(b FrameBound) {
	switch b.Kind {
	case BoundUnboundedPreceding:
		w.puts("UNBOUNDED PRECEDING")
	case BoundUnboundedFollowing:
		w.puts("UNBOUNDED FOLLOWING")
	case BoundCurrentRow:
		w.puts("CURRENT ROW")
	case BoundPreceding, BoundFollowing:
		w.expr(b.Expr, precAdd)
		w.puts(choose(b.Kind == BoundPreceding, " PRECEDING", " FOLLOWING"))
	}
}

func (w *printer) tableRef(t TableRef) {
	switch t := t.(type) {
	case *Table:
		w.table(t)
		w.alias(t.Alias)
	case *Subquery:
		w.putIf(t.Lateral, "LATERAL ")
		w.paren(t.Query)
		w.alias(t.Alias)
	case *TableFunc:
		w.putIf(t.Lateral, "LATERAL ")
		w.puts("TABLE(")
		w.bare(t.Call)
		w.puts(")")
		w.alias(t.Alias)
	case *Unnest:
		w.puts("UNNEST(")
		w.exprs(t.Exprs)
		w.puts(")")
		w.putIf(t.Ordinality, " WITH ORDINALITY")
		w.alias(t.Alias)
	case *Join:
		w.join(t)
	case *MatchRecognize:
		_, nested := t.Input.(*Join)
		w.operand(t.Input, nested)
		w.puts(" MATCH_RECOGNIZE (", t.Body, ")")
		w.alias(t.Alias)
	}
}

func (w *printer) alias(a *Alias) {
	if a != nil {
		w.puts(" AS ")
		w.ident(a.Name)
		w.columns(a.Columns)
	}
}

func (w *printer) table(t *Table) {
	w.name(t.Name)
	w.hints(t.Hints)
	if t.AsOf != nil {
		w.puts(" FOR SYSTEM_TIME AS OF ")
		w.expr(t.AsOf, precAdd)
	}
}

// joinWords are the words between the tables, without NATURAL.
var joinWords = [...]string{
	JoinInner: "JOIN", JoinLeft: "LEFT JOIN", JoinRight: "RIGHT JOIN", JoinFull: "FULL JOIN",
	JoinCross: "CROSS JOIN", JoinComma: ",", JoinSemi: "LEFT SEMI JOIN", JoinAnti: "LEFT ANTI JOIN",
}

// String is the kind as SQL writes it.
func (k JoinKind) String() string { return joinWords[k] }

func (w *printer) operand(t TableRef, nested bool) {
	w.putIf(nested, "(")
	w.tableRef(t)
	w.putIf(nested, ")")
}

func (w *printer) join(j *Join) {
	comma := j.Kind == JoinComma
	l, ok := j.Left.(*Join)
	w.operand(j.Left, ok && l.Kind == JoinComma && !comma)
	w.putIf(!comma, " ")
	w.putIf(j.Natural, "NATURAL ")
	w.puts(joinWords[j.Kind], " ")
	r, ok := j.Right.(*Join)
	w.operand(j.Right, ok && (r.Kind == JoinComma || !comma))
	w.clause(" ON ", j.On)
	if len(j.Using) > 0 {
		w.puts(" USING")
		w.columns(j.Using)
	}
}
