// Package parse turns text in Flink's SQL dialect into a syntax tree.
//
// It knows grammar only: it resolves no name, infers no type and reads nothing
// but the string it is given. Errors carry line and column. What is syntax in
// Flink but not run by the engine (joins, MATCH_RECOGNIZE, ...) is parsed all
// the same, so that the planner can refuse it at its position.
package parse

// Span says where a node stands in the source. Line and Col are 1-based, Col
// counts runes. Start and End are byte offsets, half-open: src[Start:End] is
// the node's text. The zero Span means "made by a program, not read".
type Span struct {
	Line, Col  int
	Start, End int
}

// Pos returns the span itself, so that every node that embeds one is a Node.
func (s Span) Pos() Span { return s }

// Known reports whether the span points into a source.
func (s Span) Known() bool { return s.Line > 0 }

// Node is anything with a position.
type Node interface {
	Pos() Span
}

// Ident is one identifier. Identifiers are case-sensitive, as in Flink.
type Ident struct {
	Span
	Name   string // without back-ticks, `` undoubled
	Quoted bool   // written in back-ticks
}

// Name is a possibly qualified name: table, db.table or catalog.db.table.
// Invariant: len(Parts) >= 1.
type Name struct {
	Span
	Parts []Ident
}

// Text is a positioned string: an option's key or value, a comment.
type Text struct {
	Span
	Value string
}

// Option is 'key' = 'value' of WITH, OPTIONS and SET.
type Option struct {
	Span
	Key, Value Text
}

// Hint is one entry of /*+ ... */: OPTIONS('k'='v'), LOOKUP(...), STATE_TTL(...),
// BROADCAST(a, b). Options holds the k=v entries, Args the bare ones.
type Hint struct {
	Span
	Name    string // upper-cased
	Options []Option
	Args    []Text
}

// Script is a parsed source: the statements in their order.
type Script struct {
	File  string // as given to Parse; "" if none
	Src   string
	Stmts []Stmt
	// Warnings are what parsed but would not on Flink; at most MaxErrors.
	Warnings []*Error
}

// Text returns the source of n, for plans and messages; "" for a node that
// does not come from this script. Of a statement with options it shows secrets
// too; its String does not.
func (s *Script) Text(n Node) string {
	p := n.Pos()
	if !p.Known() || p.Start < 0 || p.End > len(s.Src) || p.Start > p.End {
		return ""
	}
	return s.Src[p.Start:p.End]
}

// Stmt is one statement: *Set, *Reset, *CreateTable, *CreateView,
// *CreateFunction, *Drop, *Insert, *StatementSet, *Explain or *QueryStmt.
type Stmt interface {
	Node
	String() string
	stmtNode()
}

// Set is SET 'key' = 'value'; bare SET (list all) has a zero Key and Value.
type Set struct {
	Span
	Key, Value Text
}

// Reset is RESET 'key'; bare RESET has Key.Value == "".
type Reset struct {
	Span
	Key Text
}

// CreateTable is CREATE [TEMPORARY] TABLE. Elements keep their order within
// their kind; Columns hold physical, computed and metadata columns in order.
type CreateTable struct {
	Span
	Temporary   bool
	IfNotExists bool
	Name        Name
	Columns     []*Column
	Watermarks  []*Watermark // the planner refuses more than one
	PrimaryKeys []*PrimaryKey
	Comment     *Text
	PartitionBy []Ident
	Options     []Option
	Like        *Like  // nil without LIKE
	As          *Query // CREATE TABLE ... AS query; nil without
}

// ColumnKind says how a column gets its value.
type ColumnKind uint8

// The kinds of column.
const (
	ColumnPhysical ColumnKind = iota // name TYPE
	ColumnComputed                   // name AS expr
	ColumnMetadata                   // name TYPE METADATA [FROM 'key'] [VIRTUAL]
)

// Column is one column of CREATE TABLE.
type Column struct {
	Span
	Kind        ColumnKind
	Name        Ident
	Type        *Type // nil for a computed column
	Expr        Expr  // computed columns only
	MetadataKey *Text // METADATA FROM 'key'; nil: the column's own name
	Virtual     bool  // METADATA ... VIRTUAL
	Comment     *Text
	PrimaryKey  bool // inline PRIMARY KEY NOT ENFORCED; also in CreateTable.PrimaryKeys
}

// Watermark is WATERMARK FOR column AS expr. Column is a path for nested
// rowtime columns.
type Watermark struct {
	Span
	Column Name
	Expr   Expr
}

// PrimaryKey is [CONSTRAINT name] PRIMARY KEY (cols) NOT ENFORCED.
type PrimaryKey struct {
	Span
	Constraint *Ident
	Columns    []Ident
}

// Like is LIKE table [(options)].
type Like struct {
	Span
	Table   Name
	Options []LikeOption
}

// LikeOption is INCLUDING|EXCLUDING|OVERWRITING ALL|CONSTRAINTS|..., upper-cased.
type LikeOption struct {
	Span
	Strategy string // INCLUDING, EXCLUDING, OVERWRITING
	Feature  string // ALL, CONSTRAINTS, DISTRIBUTION, GENERATED, METADATA, OPTIONS, PARTITIONS, WATERMARKS
}

// CreateView is CREATE [TEMPORARY] VIEW.
type CreateView struct {
	Span
	Temporary   bool
	IfNotExists bool
	Name        Name
	Columns     []Ident
	Comment     *Text
	Query       *Query
}

// CreateFunction is CREATE [TEMPORARY] [SYSTEM] FUNCTION name AS 'class'
// [LANGUAGE x] [USING ...].
type CreateFunction struct {
	Span
	Temporary   bool
	System      bool
	IfNotExists bool
	Name        Name
	Class       Text
	Language    string // upper-cased; "" if not given
	Using       []Text // URIs of USING JAR '...', WASM '...'
	Options     []Option
}

// Drop is DROP [TEMPORARY] TABLE|VIEW|FUNCTION [IF EXISTS] name.
type Drop struct {
	Span
	Object    string // TABLE, VIEW, FUNCTION
	Temporary bool
	IfExists  bool
	Name      Name
}

// Insert is INSERT INTO|OVERWRITE table [PARTITION (...)] [(cols)] query.
// INSERT ... VALUES has a *Values as the query's body.
type Insert struct {
	Span
	Overwrite bool
	Table     Name
	Hints     []Hint
	Partition []PartitionValue
	Columns   []Ident
	Query     *Query
}

// PartitionValue is col = literal of a static partition.
type PartitionValue struct {
	Span
	Column Ident
	Value  Expr // nil for a dynamic partition
}

// StatementSet is EXECUTE STATEMENT SET BEGIN ... END, or the older BEGIN
// STATEMENT SET; ... END;.
type StatementSet struct {
	Span
	Inserts []*Insert
}

// Explain is EXPLAIN [details] query | insert | statement set.
type Explain struct {
	Span
	Details []string // ESTIMATED_COST, CHANGELOG_MODE, JSON_EXECUTION_PLAN, PLAN_ADVICE
	Stmt    Stmt     // *QueryStmt, *Insert or *StatementSet
}

// QueryStmt is a bare query, for previews.
type QueryStmt struct {
	Span
	Query *Query
}

func (*Set) stmtNode()            {}
func (*Reset) stmtNode()          {}
func (*CreateTable) stmtNode()    {}
func (*CreateView) stmtNode()     {}
func (*CreateFunction) stmtNode() {}
func (*Drop) stmtNode()           {}
func (*Insert) stmtNode()         {}
func (*StatementSet) stmtNode()   {}
func (*Explain) stmtNode()        {}
func (*QueryStmt) stmtNode()      {}

// TypeKind is the root of a data type.
type TypeKind uint8

// The kinds of type. Synonyms are folded: INTEGER is TypeInt, DEC is TypeDecimal,
// STRING stays apart from VARCHAR only in its spelling (Precision MaxLength).
const (
	TypeInvalid TypeKind = iota
	TypeBoolean
	TypeTinyInt
	TypeSmallInt
	TypeInt
	TypeBigInt
	TypeFloat
	TypeDouble
	TypeDecimal      // Precision (default 10), Scale (default 0)
	TypeChar         // Precision = length (default 1)
	TypeVarChar      // Precision = length (default 1; STRING: MaxLength)
	TypeBinary       // Precision = length (default 1)
	TypeVarBinary    // Precision = length (default 1; BYTES: MaxLength)
	TypeDate         //
	TypeTime         // Precision (default 0)
	TypeTimestamp    // Precision (default 6)
	TypeTimestampLTZ // Precision (default 6)
	TypeInterval     // Interval
	TypeRow          // Fields
	TypeArray        // Elem
	TypeMap          // Key, Elem
	TypeMultiset     // Elem
)

// MaxLength is the length of STRING and BYTES, as in Flink.
const MaxLength = 1<<31 - 1

// Type is a data type as written. Defaults are filled in: Precision and Scale
// always hold the value that applies, HasPrecision and HasScale say whether it was written.
type Type struct {
	Span
	Kind         TypeKind
	Precision    int
	Scale        int
	HasPrecision bool
	HasScale     bool
	NotNull      bool
	Interval     *IntervalQualifier
	Key          *Type // MAP
	Elem         *Type // ARRAY, MULTISET; MAP's value
	Fields       []RowField
}

// RowField is one field of a ROW type.
type RowField struct {
	Span
	Name    Ident
	Type    *Type
	Comment *Text
}

// Unit is a time unit, in the singular: SECONDS is UnitSecond.
type Unit uint8

// The time units of EXTRACT, FLOOR TO, TIMESTAMPADD and INTERVAL.
const (
	UnitNone Unit = iota
	UnitMillennium
	UnitCentury
	UnitDecade
	UnitYear
	UnitISOYear
	UnitQuarter
	UnitMonth
	UnitWeek
	UnitDay
	UnitDOW
	UnitISODOW
	UnitDOY
	UnitHour
	UnitMinute
	UnitSecond
	UnitMillisecond
	UnitMicrosecond
	UnitNanosecond
	UnitEpoch
)

// IntervalQualifier is DAY, DAY TO SECOND(3), YEAR TO MONTH, ...
type IntervalQualifier struct {
	Span
	From          Unit
	To            Unit // UnitNone without TO
	Precision     int  // leading precision; -1 if not written
	FracPrecision int  // of SECOND; -1 if not written
}

// YearMonth reports whether the interval counts months; else it counts milliseconds.
func (q *IntervalQualifier) YearMonth() bool {
	return q.From == UnitYear || q.From == UnitMonth || q.From == UnitQuarter
}
