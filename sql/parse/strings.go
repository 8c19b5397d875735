package parse

// Every node prints itself as normalised SQL; see printer.

// String prints SQL.
func (e *ColumnRef) String() string { return exprString(e) }

// String prints SQL.
func (e *FieldAccess) String() string { return exprString(e) }

// String prints SQL.
func (e *Index) String() string { return exprString(e) }

// String prints SQL.
func (e *Star) String() string { return exprString(e) }

// String prints SQL.
func (e *Number) String() string { return exprString(e) }

// String prints SQL.
func (e *StringLit) String() string { return exprString(e) }

// String prints SQL.
func (e *BytesLit) String() string { return exprString(e) }

// String prints SQL.
func (e *BoolLit) String() string { return exprString(e) }

// String prints SQL.
func (e *NullLit) String() string { return exprString(e) }

// String prints SQL.
func (e *TemporalLit) String() string { return exprString(e) }

// String prints SQL.
func (e *IntervalLit) String() string { return exprString(e) }

// String prints SQL.
func (e *Unary) String() string { return exprString(e) }

// String prints SQL.
func (e *Binary) String() string { return exprString(e) }

// String prints SQL.
func (e *Is) String() string { return exprString(e) }

// String prints SQL.
func (e *IsDistinct) String() string { return exprString(e) }

// String prints SQL.
func (e *Between) String() string { return exprString(e) }

// String prints SQL.
func (e *In) String() string { return exprString(e) }

// String prints SQL.
func (e *LikeExpr) String() string { return exprString(e) }

// String prints SQL.
func (e *Exists) String() string { return exprString(e) }

// String prints SQL.
func (e *ScalarSubquery) String() string { return exprString(e) }

// String prints SQL.
func (e *Quantified) String() string { return exprString(e) }

// String prints SQL.
func (e *Case) String() string { return exprString(e) }

// String prints SQL.
func (e *Cast) String() string { return exprString(e) }

// String prints SQL.
func (e *Extract) String() string { return exprString(e) }

// String prints SQL.
func (e *FloorTo) String() string { return exprString(e) }

// String prints SQL.
func (e *TimestampAdd) String() string { return exprString(e) }

// String prints SQL.
func (e *TimestampDiff) String() string { return exprString(e) }

// String prints SQL.
func (e *Trim) String() string { return exprString(e) }

// String prints SQL.
func (e *JSONValue) String() string { return exprString(e) }

// String prints SQL.
func (e *JSONQuery) String() string { return exprString(e) }

// String prints SQL.
func (e *JSONExists) String() string { return exprString(e) }

// String prints SQL.
func (e *JSONConstructor) String() string { return exprString(e) }

// String prints SQL.
func (e *Call) String() string { return exprString(e) }

// String prints SQL.
func (e *Row) String() string { return exprString(e) }

// String prints SQL.
func (e *ArrayExpr) String() string { return exprString(e) }

// String prints SQL.
func (e *MapExpr) String() string { return exprString(e) }

// String prints SQL.
func (e *Descriptor) String() string { return exprString(e) }

// String prints SQL.
func (e *TableArg) String() string { return exprString(e) }

// String prints SQL.
func (s *Set) String() string { return stmtString(s) }

// String prints SQL.
func (s *Reset) String() string { return stmtString(s) }

// String prints SQL.
func (s *CreateTable) String() string { return stmtString(s) }

// String prints SQL.
func (s *CreateView) String() string { return stmtString(s) }

// String prints SQL.
func (s *CreateFunction) String() string { return stmtString(s) }

// String prints SQL.
func (s *Drop) String() string { return stmtString(s) }

// String prints SQL.
func (s *Insert) String() string { return stmtString(s) }

// String prints SQL.
func (s *StatementSet) String() string { return stmtString(s) }

// String prints SQL.
func (s *Explain) String() string { return stmtString(s) }

// String prints SQL.
func (s *QueryStmt) String() string { return stmtString(s) }

// String prints SQL.
func (b *Select) String() string { return bodyString(b) }

// String prints SQL.
func (b *SetOp) String() string { return bodyString(b) }

// String prints SQL.
func (b *Values) String() string { return bodyString(b) }

// String prints SQL.
func (q *Query) String() string { return queryString(q) }

// String prints SQL.
func (t *Table) String() string { return tableString(t) }

// String prints SQL.
func (t *Subquery) String() string { return tableString(t) }

// String prints SQL.
func (t *TableFunc) String() string { return tableString(t) }

// String prints SQL.
func (t *Unnest) String() string { return tableString(t) }

// String prints SQL.
func (t *Join) String() string { return tableString(t) }

// String prints SQL.
func (t *MatchRecognize) String() string { return tableString(t) }
