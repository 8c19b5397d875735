package parse

import "time"

// Expr is an expression. String prints it as normalised SQL that parses to
// the same tree: two expressions are the same syntax if their Strings are equal.
type Expr interface {
	Node
	String() string
	exprNode()
}

// ColumnRef is a name in an expression: a, t.a, t.a.b. Which part is a
// table and which a nested field is for the binder to say.
type ColumnRef struct {
	Span
	Parts []Ident
}

// FieldAccess is x.field where x is not a plain name: f(x).a, a[1].b, (row).c.
type FieldAccess struct {
	Span
	X     Expr
	Field Ident
}

// Index is x[i]: an array's element (from 1) or a map's value.
type Index struct {
	Span
	X, I Expr
}

// Star is * or t.*, in a select list.
type Star struct {
	Span
	Qualifier []Ident
}

// NumberKind tells number literals apart.
type NumberKind uint8

// The number literals.
const (
	NumberInt     NumberKind = iota // 12
	NumberDecimal                   // 1.5
	NumberDouble                    // 1e3
)

// Number is an unsigned number literal; a sign is a *Unary.
type Number struct {
	Span
	Kind NumberKind
	Text string // digits as written, fit for strconv
}

// StringLit is '..' or U&'..', unescaped.
type StringLit struct {
	Span
	Value string
}

// BytesLit is X'0AFF'.
type BytesLit struct {
	Span
	Value []byte
}

// BoolLit is TRUE or FALSE. UNKNOWN is a NullLit.
type BoolLit struct {
	Span
	Value bool
}

// NullLit is NULL, or UNKNOWN.
type NullLit struct {
	Span
}

// TemporalLit is DATE '..', TIME '..' or TIMESTAMP '..'.
type TemporalLit struct {
	Span
	Kind      TypeKind  // TypeDate, TypeTime, TypeTimestamp
	Text      string    // as written between the quotes
	Time      time.Time // wall-clock value, in UTC; TIME is on 1970-01-01
	Precision int       // digits of fractional seconds written, 0 to 9
}

// IntervalLit is INTERVAL [-] '..' qualifier. Exactly one of Months (year-month
// intervals) and Millis (day-time intervals; digits below a millisecond are
// cut off, as Flink does) holds the signed value.
type IntervalLit struct {
	Span
	Negative  bool // a minus before the quoted text
	Text      string
	Qualifier *IntervalQualifier
	Months    int64
	Millis    int64
}

// UnaryOp is a prefix operator.
type UnaryOp uint8

// The prefix operators.
const (
	OpNot UnaryOp = iota
	OpNeg
	OpPlus
)

// Unary is NOT x, -x, +x.
type Unary struct {
	Span
	Op UnaryOp
	X  Expr
}

// BinaryOp is an infix operator.
type BinaryOp uint8

// The infix operators, loosest first. != is OpNe.
const (
	OpOr BinaryOp = iota
	OpAnd
	OpEq
	OpNe
	OpLt
	OpLe
	OpGt
	OpGe
	OpOverlaps
	OpAdd
	OpSub
	OpConcat
	OpMul
	OpDiv
	OpMod
)

// Binary is l op r. OpPos is the operator's own position.
type Binary struct {
	Span
	Op    BinaryOp
	OpPos Span
	L, R  Expr
}

// IsKind is what IS tests for.
type IsKind uint8

// The IS tests.
const (
	IsNull IsKind = iota
	IsTrue
	IsFalse
	IsUnknown
	IsJSON // IS JSON, IS JSON VALUE
	IsJSONObject
	IsJSONArray
	IsJSONScalar
)

// Is is x IS [NOT] NULL|TRUE|FALSE|UNKNOWN|JSON ...
type Is struct {
	Span
	X    Expr
	Not  bool
	Kind IsKind
}

// IsDistinct is l IS [NOT] DISTINCT FROM r.
type IsDistinct struct {
	Span
	L, R Expr
	Not  bool
}

// Between is x [NOT] BETWEEN [SYMMETRIC] lo AND hi.
type Between struct {
	Span
	X, Lo, Hi Expr
	Not       bool
	Symmetric bool
}

// In is x [NOT] IN (list) or x [NOT] IN (query): one of List and Query is set.
type In struct {
	Span
	X     Expr
	Not   bool
	List  []Expr
	Query *Query
}

// LikeExpr is x [NOT] LIKE|SIMILAR TO pattern [ESCAPE e].
type LikeExpr struct {
	Span
	X, Pattern Expr
	Escape     Expr // nil without
	Not        bool
	Similar    bool
}

// Exists is EXISTS (query).
type Exists struct {
	Span
	Query *Query
}

// ScalarSubquery is (query) used as a value.
type ScalarSubquery struct {
	Span
	Query *Query
}

// Quantified is l op ANY|SOME|ALL (query).
type Quantified struct {
	Span
	Op    BinaryOp
	L     Expr
	All   bool // false: ANY, SOME
	Query *Query
}

// When is WHEN cond THEN result of CASE.
type When struct {
	Span
	Cond, Result Expr
}

// Case is CASE [operand] WHEN .. THEN .. [ELSE ..] END.
type Case struct {
	Span
	Operand Expr // nil for the searched form
	Whens   []*When
	Else    Expr // nil without
}

// Cast is CAST(x AS t) or TRY_CAST(x AS t).
type Cast struct {
	Span
	X    Expr
	Type *Type
	Try  bool
}

// Extract is EXTRACT(unit FROM x).
type Extract struct {
	Span
	Unit Unit
	X    Expr
}

// FloorTo is FLOOR(x TO unit) or CEIL(x TO unit). FLOOR(x) alone is a *Call.
type FloorTo struct {
	Span
	Ceil bool
	X    Expr
	Unit Unit
}

// TimestampAdd is TIMESTAMPADD(unit, n, x).
type TimestampAdd struct {
	Span
	Unit Unit
	N, X Expr
}

// TimestampDiff is TIMESTAMPDIFF(unit, from, to): to minus from.
type TimestampDiff struct {
	Span
	Unit     Unit
	From, To Expr
}

// TrimWhere is the side TRIM works on.
type TrimWhere uint8

// The sides of TRIM.
const (
	TrimBoth TrimWhere = iota
	TrimLeading
	TrimTrailing
)

// Trim is TRIM([BOTH|LEADING|TRAILING] [chars] FROM x) and TRIM(x).
type Trim struct {
	Span
	Where TrimWhere
	Chars Expr // nil: blanks
	X     Expr
}

// JSONBehaviorKind is what a JSON function does ON EMPTY or ON ERROR.
type JSONBehaviorKind uint8

// The JSON behaviours. The last three are JSON_EXISTS's.
const (
	JSONNull JSONBehaviorKind = iota
	JSONError
	JSONDefault // DEFAULT expr
	JSONEmptyArray
	JSONEmptyObject
	JSONTrue
	JSONFalse
	JSONUnknown
)

// JSONBehavior is NULL|ERROR|DEFAULT v|EMPTY ARRAY|... ON EMPTY|ERROR.
type JSONBehavior struct {
	Span
	Kind    JSONBehaviorKind
	Default Expr // JSONDefault only
}

// JSONValue is JSON_VALUE(x, path [RETURNING t] [.. ON EMPTY] [.. ON ERROR]).
// A nil behaviour is NULL.
type JSONValue struct {
	Span
	X, Path          Expr
	Returning        *Type
	OnEmpty, OnError *JSONBehavior
}

// JSONWrapper is how JSON_QUERY wraps its result.
type JSONWrapper uint8

// The wrappers of JSON_QUERY.
const (
	WrapperNone JSONWrapper = iota // WITHOUT [ARRAY] WRAPPER, the default
	WrapperConditional
	WrapperUnconditional // WITH [UNCONDITIONAL] [ARRAY] WRAPPER
)

// JSONQuery is JSON_QUERY(x, path [RETURNING t] [wrapper] [.. ON EMPTY] [.. ON ERROR]).
type JSONQuery struct {
	Span
	X, Path          Expr
	Returning        *Type
	Wrapper          JSONWrapper
	OnEmpty, OnError *JSONBehavior
}

// JSONExists is JSON_EXISTS(x, path [.. ON ERROR]).
type JSONExists struct {
	Span
	X, Path Expr
	OnError *JSONBehavior // nil: FALSE
}

// JSONConstructor is JSON_OBJECT, JSON_ARRAY, JSON_OBJECTAGG or JSON_ARRAYAGG.
type JSONConstructor struct {
	Span
	Name         string // upper-cased function name
	Keys         []Expr // as long as Values for objects, nil for arrays
	Values       []Expr
	AbsentOnNull *bool // nil if not written
}

// Arg is one argument of a call: value, or name => value.
type Arg struct {
	Span
	Name  *Ident
	Value Expr
}

// Call is a function call. Special syntaxes with plain arguments are folded
// into it: SUBSTRING(s FROM i FOR n) is SUBSTRING(s, i, n), POSITION(a IN b) is
// POSITION with [a, b], OVERLAY(s PLACING r FROM i FOR n) is OVERLAY with
// [s, r, i, n].
type Call struct {
	Span
	Name        Name // FuncName gives it upper-cased
	Args        []*Arg
	Star        bool // COUNT(*)
	Niladic     bool // CURRENT_TIMESTAMP and its like, written without ()
	Distinct    bool
	OrderBy     []*OrderItem // f(x ORDER BY y), or WITHIN GROUP (ORDER BY y)
	IgnoreNulls *bool        // IGNORE NULLS true, RESPECT NULLS false, nil if not written
	Filter      Expr         // FILTER (WHERE ..)
	Over        *WindowSpec
}

// Row is ROW(a, b) or (a, b); an element of VALUES too.
type Row struct {
	Span
	Elems    []Expr
	Explicit bool // written with the word ROW
}

// ArrayExpr is ARRAY[a, b], or ARRAY(query).
type ArrayExpr struct {
	Span
	Elems []Expr
	Query *Query
}

// MapExpr is MAP['k', v, ...]. Invariant: len(Keys) == len(Values).
type MapExpr struct {
	Span
	Keys, Values []Expr
}

// Descriptor is DESCRIPTOR(cols), an argument of window functions.
type Descriptor struct {
	Span
	Columns []Ident
}

// TableArg is a table as a function's argument: TABLE t [PARTITION BY ..]
// [ORDER BY ..], TABLE (SELECT ..), (SELECT ..). One of Table and Query is set.
type TableArg struct {
	Span
	Table       *Table
	Query       *Query
	PartitionBy []Expr
	OrderBy     []*OrderItem
}

func (*ColumnRef) exprNode()       {}
func (*FieldAccess) exprNode()     {}
func (*Index) exprNode()           {}
func (*Star) exprNode()            {}
func (*Number) exprNode()          {}
func (*StringLit) exprNode()       {}
func (*BytesLit) exprNode()        {}
func (*BoolLit) exprNode()         {}
func (*NullLit) exprNode()         {}
func (*TemporalLit) exprNode()     {}
func (*IntervalLit) exprNode()     {}
func (*Unary) exprNode()           {}
func (*Binary) exprNode()          {}
func (*Is) exprNode()              {}
func (*IsDistinct) exprNode()      {}
func (*Between) exprNode()         {}
func (*In) exprNode()              {}
func (*LikeExpr) exprNode()        {}
func (*Exists) exprNode()          {}
func (*ScalarSubquery) exprNode()  {}
func (*Quantified) exprNode()      {}
func (*Case) exprNode()            {}
func (*Cast) exprNode()            {}
func (*Extract) exprNode()         {}
func (*FloorTo) exprNode()         {}
func (*TimestampAdd) exprNode()    {}
func (*TimestampDiff) exprNode()   {}
func (*Trim) exprNode()            {}
func (*JSONValue) exprNode()       {}
func (*JSONQuery) exprNode()       {}
func (*JSONExists) exprNode()      {}
func (*JSONConstructor) exprNode() {}
func (*Call) exprNode()            {}
func (*Row) exprNode()             {}
func (*ArrayExpr) exprNode()       {}
func (*MapExpr) exprNode()         {}
func (*Descriptor) exprNode()      {}
func (*TableArg) exprNode()        {}
