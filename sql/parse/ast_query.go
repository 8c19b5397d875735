package parse

// Query is [WITH ctes] body [ORDER BY] [LIMIT] [OFFSET]. FETCH FIRST n ROWS
// is Limit.
type Query struct {
	Span
	With    []*CTE
	Body    QueryBody
	OrderBy []*OrderItem
	Limit   Expr // nil without; LIMIT ALL is nil too
	Offset  Expr // nil without
}

// CTE is name [(cols)] AS (query).
type CTE struct {
	Span
	Name    Ident
	Columns []Ident
	Query   *Query
}

// QueryBody is *Select, *SetOp, *Values, or *Query when parenthesised.
type QueryBody interface {
	Node
	String() string
	queryBody()
}

// Select is SELECT ... FROM ... WHERE ... GROUP BY ... HAVING ... WINDOW ... QUALIFY.
type Select struct {
	Span
	Hints    []Hint // /*+ ... */ after SELECT
	Distinct bool
	Items    []*SelectItem
	From     TableRef // nil without FROM; commas are *Join with JoinComma
	Where    Expr
	GroupBy  *GroupBy
	Having   Expr
	Windows  []*NamedWindow
	Qualify  Expr
}

// SelectItem is expr [AS alias]; * and t.* are a *Star without alias.
type SelectItem struct {
	Span
	Expr  Expr
	Alias *Ident
}

// SetOpKind is UNION, INTERSECT or EXCEPT.
type SetOpKind uint8

// The set operations. MINUS is SetExcept.
const (
	SetUnion SetOpKind = iota
	SetIntersect
	SetExcept
)

// SetOp is left UNION|INTERSECT|EXCEPT [ALL] right, left-associative,
// INTERSECT binding tighter.
type SetOp struct {
	Span
	Op          SetOpKind
	All         bool
	Left, Right QueryBody
}

// Values is VALUES (..), (..). A row without parentheses has one element.
type Values struct {
	Span
	Rows []*Row
}

func (*Select) queryBody() {}
func (*SetOp) queryBody()  {}
func (*Values) queryBody() {}
func (*Query) queryBody()  {}

// OrderItem is expr [ASC|DESC] [NULLS FIRST|LAST].
type OrderItem struct {
	Span
	Expr       Expr
	Desc       bool
	NullsFirst *bool // nil if not written
}

// GroupKind says what an item of GROUP BY is.
type GroupKind uint8

// The kinds of GROUP BY item.
const (
	GroupExpr   GroupKind = iota // one expression: Exprs[0]
	GroupTuple                   // (a, b) or (): Exprs
	GroupSets                    // GROUPING SETS (...): Items
	GroupRollup                  // ROLLUP (...): Items
	GroupCube                    // CUBE (...): Items
)

// GroupBy is GROUP BY items.
type GroupBy struct {
	Span
	Items []*GroupItem
}

// GroupItem is one item of GROUP BY, or one inside GROUPING SETS, ROLLUP, CUBE.
type GroupItem struct {
	Span
	Kind  GroupKind
	Exprs []Expr
	Items []*GroupItem
}

// NamedWindow is name AS (spec) of the WINDOW clause.
type NamedWindow struct {
	Span
	Name Ident
	Spec *WindowSpec
}

// WindowSpec is what stands in OVER (...). OVER w alone has only Ref, and Bare set.
type WindowSpec struct {
	Span
	Ref         *Ident
	Bare        bool
	PartitionBy []Expr
	OrderBy     []*OrderItem
	Frame       *Frame
}

// BoundKind is one end of a window frame.
type BoundKind uint8

// The frame bounds.
const (
	BoundUnboundedPreceding BoundKind = iota
	BoundPreceding                    // Expr PRECEDING
	BoundCurrentRow
	BoundFollowing // Expr FOLLOWING
	BoundUnboundedFollowing
)

// FrameBound is one end of a frame; Expr only for BoundPreceding and BoundFollowing.
type FrameBound struct {
	Span
	Kind BoundKind
	Expr Expr
}

// Frame is ROWS|RANGE BETWEEN lo AND hi. ROWS lo alone has Hi nil.
type Frame struct {
	Span
	Rows bool // false: RANGE
	Lo   FrameBound
	Hi   *FrameBound
}

// TableRef is an item of FROM: *Table, *Subquery, *TableFunc, *Unnest, *Join
// or *MatchRecognize.
type TableRef interface {
	Node
	String() string
	tableRef()
}

// Alias is [AS] name [(cols)].
type Alias struct {
	Span
	Name    Ident
	Columns []Ident
}

// Table is a named table or view.
type Table struct {
	Span
	Name  Name
	Hints []Hint
	AsOf  Expr // FOR SYSTEM_TIME AS OF expr; nil without
	Alias *Alias
}

// Subquery is (query) [AS] alias, also ((VALUES ...)).
type Subquery struct {
	Span
	Lateral bool
	Query   *Query
	Alias   *Alias
}

// TableFunc is a table function in FROM: TABLE(TUMBLE(...)), TUMBLE(...)
// without the wrapper, LATERAL TABLE(f(x)). For the window functions the
// table is a *TableArg, the time column a *Descriptor.
type TableFunc struct {
	Span
	Lateral bool
	Call    *Call
	Alias   *Alias
}

// Unnest is UNNEST(expr) [WITH ORDINALITY].
type Unnest struct {
	Span
	Exprs      []Expr
	Ordinality bool
	Alias      *Alias
}

// JoinKind is the kind of a join.
type JoinKind uint8

// The kinds of join.
const (
	JoinInner JoinKind = iota
	JoinLeft
	JoinRight
	JoinFull
	JoinCross
	JoinComma // FROM a, b
	JoinSemi
	JoinAnti
)

// Join is left kind JOIN right [ON cond | USING (cols)]. KindPos is where
// the joining words (or the comma) stand: the place to report it at.
type Join struct {
	Span
	Kind        JoinKind
	KindPos     Span
	Natural     bool
	Left, Right TableRef
	On          Expr
	Using       []Ident
}

// MatchRecognize is table MATCH_RECOGNIZE (...). Its inside is balanced but
// not parsed: Body is the text between the parentheses. KindPos is where the
// keyword stands.
type MatchRecognize struct {
	Span
	Input   TableRef
	KindPos Span
	Body    string
	Alias   *Alias
}

func (*Table) tableRef()          {}
func (*Subquery) tableRef()       {}
func (*TableFunc) tableRef()      {}
func (*Unnest) tableRef()         {}
func (*Join) tableRef()           {}
func (*MatchRecognize) tableRef() {}
