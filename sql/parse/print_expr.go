package parse

import "strings"

// Precedences, loosest first; they mirror the rules in expr.go.
const (
	precLowest = iota
	precOr
	precAnd
	precNot
	precIs
	precCompare
	precPredicate
	precAdd
	precMul
	precSign
	precPostfix
)

var binaryOps = [...]struct {
	text string
	prec int
}{
	OpOr: {"OR", precOr}, OpAnd: {"AND", precAnd}, OpEq: {"=", precCompare}, OpNe: {"<>", precCompare},
	OpLt: {"<", precCompare}, OpLe: {"<=", precCompare}, OpGt: {">", precCompare}, OpGe: {">=", precCompare},
	OpOverlaps: {"OVERLAPS", precCompare}, OpAdd: {"+", precAdd}, OpSub: {"-", precAdd}, OpConcat: {"||", precMul},
	OpMul: {"*", precMul}, OpDiv: {"/", precMul}, OpMod: {"%", precMul},
}

// String is the operator as SQL writes it.
func (op BinaryOp) String() string { return binaryOps[op].text }

// String is the operator as SQL writes it.
func (op UnaryOp) String() string { return [...]string{OpNot: "NOT", OpNeg: "-", OpPlus: "+"}[op] }

var isNames = [...]string{
	IsNull: "NULL", IsTrue: "TRUE", IsFalse: "FALSE", IsUnknown: "UNKNOWN", IsJSON: "JSON",
	IsJSONObject: "JSON OBJECT", IsJSONArray: "JSON ARRAY", IsJSONScalar: "JSON SCALAR",
}

// prec is how tightly e holds together.
func prec(e Expr) int {
	switch e := e.(type) {
	case *Binary:
		return binaryOps[e.Op].prec
	case *Unary:
		if e.Op == OpNot {
			return precNot
		}
		return precSign
	case *Is:
		return precIs
	case *IsDistinct, *Quantified:
		return precCompare
	case *Between, *In, *LikeExpr:
		return precPredicate
	}
	return precPostfix
}

// expr writes e, in parentheses if it holds less tightly than least.
func (w *printer) expr(e Expr, least int) {
	if e == nil {
		return
	}
	if prec(e) < least {
		w.puts("(")
		w.bare(e)
		w.puts(")")
		return
	}
	w.bare(e)
}

func (w *printer) bare(e Expr) {
	switch e := e.(type) {
	case *Binary:
		p := binaryOps[e.Op].prec
		w.expr(e.L, p)
		w.puts(" ", binaryOps[e.Op].text, " ")
		w.expr(e.R, p+1)
	case *Unary:
		w.unary(e)
	case *Is:
		w.expr(e.X, precIs)
		w.puts(" IS ")
		w.putIf(e.Not, "NOT ")
		w.puts(isNames[e.Kind])
	case *IsDistinct:
		w.expr(e.L, precCompare)
		w.puts(" IS ")
		w.putIf(e.Not, "NOT ")
		w.puts("DISTINCT FROM ")
		w.expr(e.R, precPredicate)
	case *Quantified:
		w.expr(e.L, precCompare)
		w.puts(" ", e.Op.String(), " ")
		w.puts(choose(e.All, "ALL", "ANY"))
		w.paren(e.Query)
	case *Between, *In, *LikeExpr:
		w.predicate(e)
	case *ColumnRef:
		w.name(Name{Parts: e.Parts})
	case *FieldAccess:
		w.postfixed(e.X, false)
		w.puts(".")
		w.ident(e.Field)
	case *Index:
		w.postfixed(e.X, true)
		w.puts("[")
		w.expr(e.I, precLowest)
		w.puts("]")
	case *Star:
		for _, id := range e.Qualifier {
			w.ident(id)
			w.puts(".")
		}
		w.puts("*")
	case *Number, *StringLit, *BytesLit, *BoolLit, *NullLit, *TemporalLit, *IntervalLit:
		w.literal(e)
	case *Exists:
		w.puts("EXISTS ")
		w.paren(e.Query)
	case *ScalarSubquery:
		w.paren(e.Query)
	case *Row:
		w.putIf(e.Explicit, "ROW")
		w.puts("(")
		w.exprs(e.Elems)
		w.puts(")")
	case *ArrayExpr:
		w.array(e)
	case *MapExpr:
		w.puts("MAP[")
		w.list(len(e.Keys), func(i int) {
			w.expr(e.Keys[i], precLowest)
			w.puts(", ")
			w.expr(e.Values[i], precLowest)
		})
		w.puts("]")
	default:
		w.callLike(e)
	}
}

func choose(cond bool, yes, no string) string {
	if cond {
		return yes
	}
	return no
}

func (w *printer) unary(e *Unary) {
	w.puts(e.Op.String())
	if e.Op == OpNot {
		w.puts(" ")
		w.expr(e.X, precNot)
		return
	}
	// Two minus signs without a blank would begin a comment.
	if u, ok := e.X.(*Unary); ok && u.Op != OpNot {
		w.puts(" ")
	}
	w.expr(e.X, precSign)
}

func (w *printer) array(e *ArrayExpr) {
	w.puts("ARRAY")
	if e.Query != nil {
		w.paren(e.Query)
		return
	}
	w.puts("[")
	w.exprs(e.Elems)
	w.puts("]")
}

// postfixed writes x in front of [i] or .field.
func (w *printer) postfixed(x Expr, index bool) {
	ok := false
	switch x := x.(type) {
	case *Index, *FieldAccess, *ArrayExpr, *MapExpr:
		ok = true
	case *ColumnRef:
		ok = index // a.b would be another name
	case *Call:
		ok = !x.Niladic && x.Filter == nil && x.Over == nil && x.IgnoreNulls == nil
	}
	if ok {
		w.bare(x)
		return
	}
	w.puts("(")
	w.bare(x)
	w.puts(")")
}

func (w *printer) literal(e Expr) {
	switch e := e.(type) {
	case *Number:
		w.puts(e.Text)
	case *StringLit:
		w.str(e.Value)
	case *BytesLit:
		w.puts(hexLiteral(e.Value))
	case *BoolLit:
		w.puts(choose(e.Value, "TRUE", "FALSE"))
	case *NullLit:
		w.puts("NULL")
	case *TemporalLit:
		w.puts(e.Kind.String(), " ")
		w.str(e.Text)
	case *IntervalLit:
		w.puts("INTERVAL ")
		w.putIf(e.Negative, "-")
		w.str(e.Text)
		w.puts(" ", e.Qualifier.String())
	}
}

func (w *printer) predicate(e Expr) {
	switch e := e.(type) {
	case *Between:
		w.expr(e.X, precPredicate)
		w.putIf(e.Not, " NOT")
		w.puts(" BETWEEN ")
		w.putIf(e.Symmetric, "SYMMETRIC ")
		w.expr(e.Lo, precAdd)
		w.puts(" AND ")
		w.expr(e.Hi, precAdd)
	case *In:
		w.expr(e.X, precPredicate)
		w.putIf(e.Not, " NOT")
		w.puts(" IN ")
		if e.Query != nil {
			w.paren(e.Query)
			return
		}
		w.puts("(")
		w.exprs(e.List)
		w.puts(")")
	case *LikeExpr:
		w.expr(e.X, precPredicate)
		w.putIf(e.Not, " NOT")
		w.puts(choose(e.Similar, " SIMILAR TO ", " LIKE "))
		w.expr(e.Pattern, precAdd)
		if e.Escape != nil {
			w.puts(" ESCAPE ")
			w.expr(e.Escape, precAdd)
		}
	}
}

// callLike writes what looks like a function.
func (w *printer) callLike(e Expr) {
	switch e := e.(type) {
	case *Call:
		w.call(e)
	case *Case:
		w.caseExpr(e)
	case *Cast:
		w.puts(choose(e.Try, "TRY_CAST(", "CAST("))
		w.expr(e.X, precLowest)
		w.puts(" AS ")
		w.dataType(e.Type)
		w.puts(")")
	case *Extract:
		w.puts("EXTRACT(", e.Unit.String(), " FROM ")
		w.expr(e.X, precLowest)
		w.puts(")")
	case *FloorTo:
		w.puts(choose(e.Ceil, "CEIL(", "FLOOR("))
		// INTERVAL '1' DAY TO HOUR would swallow the word.
		_, interval := rightmost(e.X).(*IntervalLit)
		w.putIf(interval, "(")
		w.expr(e.X, precLowest)
		w.putIf(interval, ")")
		w.puts(" TO ", e.Unit.String(), ")")
	case *TimestampAdd:
		w.puts("TIMESTAMPADD(", e.Unit.String(), ", ")
		w.exprs([]Expr{e.N, e.X})
		w.puts(")")
	case *TimestampDiff:
		w.puts("TIMESTAMPDIFF(", e.Unit.String(), ", ")
		w.exprs([]Expr{e.From, e.To})
		w.puts(")")
	case *Trim:
		w.trim(e)
	case *Descriptor:
		w.puts("DESCRIPTOR(")
		w.idents(e.Columns)
		w.puts(")")
	case *TableArg:
		w.tableArg(e)
	default:
		w.json(e)
	}
}

// rightmost is the operand that e's text ends with, e itself if it has none.
func rightmost(e Expr) Expr {
	for {
		switch x := e.(type) {
		case *Binary:
			e = x.R
		case *Unary:
			e = x.X
		case *IsDistinct:
			e = x.R
		case *Between:
			e = x.Hi
		case *LikeExpr:
			e = x.Pattern
			if x.Escape != nil {
				e = x.Escape
			}
		default:
			return e
		}
	}
}

func (w *printer) caseExpr(e *Case) {
	w.puts("CASE")
	if e.Operand != nil {
		w.puts(" ")
		w.expr(e.Operand, precLowest)
	}
	for _, when := range e.Whens {
		w.puts(" WHEN ")
		w.expr(when.Cond, precLowest)
		w.puts(" THEN ")
		w.expr(when.Result, precLowest)
	}
	if e.Else != nil {
		w.puts(" ELSE ")
		w.expr(e.Else, precLowest)
	}
	w.puts(" END")
}

func (w *printer) trim(e *Trim) {
	w.puts("TRIM(")
	if e.Where != TrimBoth || e.Chars != nil {
		w.puts([...]string{TrimBoth: "BOTH", TrimLeading: "LEADING", TrimTrailing: "TRAILING"}[e.Where])
		w.putIf(e.Chars != nil, " ")
		w.expr(e.Chars, precLowest)
		w.puts(" FROM ")
	}
	w.expr(e.X, precLowest)
	w.puts(")")
}

func (w *printer) funcName(c *Call) {
	if len(c.Name.Parts) == 1 && !c.Name.Parts[0].Quoted {
		w.puts(c.FuncName())
		return
	}
	for i, id := range c.Name.Parts {
		w.putIf(i > 0, ".")
		if id.Quoted && len(c.Name.Parts) == 1 {
			// Always in back-ticks: without them CAST and its like are grammar.
			w.puts("`", strings.ReplaceAll(id.Name, "`", "``"), "`")
			continue
		}
		w.ident(id)
	}
}

func (w *printer) call(c *Call) {
	w.funcName(c)
	if c.Niladic {
		return
	}
	w.puts("(")
	switch {
	case c.Star:
		w.puts("*")
	case !w.specialArgs(c):
		w.putIf(c.Distinct, "DISTINCT ")
		w.list(len(c.Args), func(i int) { w.arg(c.Args[i], precLowest) })
	}
	w.puts(")")
	if len(c.OrderBy) > 0 {
		w.puts(" WITHIN GROUP (ORDER BY ")
		w.orderItems(c.OrderBy)
		w.puts(")")
	}
	if c.Filter != nil {
		w.puts(" FILTER (WHERE ")
		w.expr(c.Filter, precLowest)
		w.puts(")")
	}
	if c.IgnoreNulls != nil {
		w.puts(choose(*c.IgnoreNulls, " IGNORE NULLS", " RESPECT NULLS"))
	}
	if c.Over != nil {
		w.puts(" OVER ")
		if c.Over.Bare {
			w.ident(*c.Over.Ref)
			return
		}
		w.windowSpec(c.Over)
	}
}

// specialArgs writes the arguments of POSITION and OVERLAY with their words.
func (w *printer) specialArgs(c *Call) bool {
	name := ""
	if len(c.Name.Parts) == 1 && !c.Name.Parts[0].Quoted {
		name = c.FuncName()
	}
	var seps []string
	least := precLowest
	switch {
	case name == "POSITION" && len(c.Args) <= 3:
		seps, least = []string{"", " IN ", " FROM "}, precAdd
	case name == "OVERLAY" && (len(c.Args) == 3 || len(c.Args) == 4):
		seps = []string{"", " PLACING ", " FROM ", " FOR "}
	case name == "POSITION":
		seps, least = []string{"", ", "}, precAdd
	default:
		return false
	}
	for _, a := range c.Args {
		if a.Name != nil {
			seps = []string{"", ", "}
		}
		switch a.Value.(type) {
		case *TableArg, *Descriptor:
			seps = []string{"", ", "}
		}
	}
	for i, a := range c.Args {
		w.puts(seps[min(i, len(seps)-1)])
		w.arg(a, least)
	}
	return true
}

func (w *printer) arg(a *Arg, least int) {
	if a.Name != nil {
		w.ident(*a.Name)
		w.puts(" => ")
	}
	w.expr(a.Value, least)
}

func (w *printer) tableArg(e *TableArg) {
	w.puts("TABLE ")
	if e.Query != nil {
		w.paren(e.Query)
	} else {
		w.table(e.Table)
	}
	if len(e.PartitionBy) > 0 {
		w.puts(" PARTITION BY (")
		w.exprs(e.PartitionBy)
		w.puts(")")
	}
	if len(e.OrderBy) > 0 {
		w.puts(" ORDER BY (")
		w.orderItems(e.OrderBy)
		w.puts(")")
	}
}

var jsonBehaviors = [...]string{
	JSONNull: "NULL", JSONError: "ERROR", JSONDefault: "DEFAULT ", JSONEmptyArray: "EMPTY ARRAY",
	JSONEmptyObject: "EMPTY OBJECT", JSONTrue: "TRUE", JSONFalse: "FALSE", JSONUnknown: "UNKNOWN",
}

func (w *printer) jsonBehavior(b *JSONBehavior, on string) {
	if b == nil {
		return
	}
	w.puts(" ", jsonBehaviors[b.Kind])
	w.expr(b.Default, precLowest)
	w.puts(" ON ", on)
}

func (w *printer) jsonReturning(t *Type) {
	if t != nil {
		w.puts(" RETURNING ")
		w.dataType(t)
	}
}

func (w *printer) json(e Expr) {
	switch e := e.(type) {
	case *JSONValue:
		w.puts("JSON_VALUE(")
		w.exprs([]Expr{e.X, e.Path})
		w.jsonReturning(e.Returning)
		w.jsonBehavior(e.OnEmpty, "EMPTY")
		w.jsonBehavior(e.OnError, "ERROR")
	case *JSONQuery:
		w.puts("JSON_QUERY(")
		w.exprs([]Expr{e.X, e.Path})
		w.jsonReturning(e.Returning)
		w.puts([...]string{
			WrapperNone: "", WrapperConditional: " WITH CONDITIONAL ARRAY WRAPPER",
			WrapperUnconditional: " WITH UNCONDITIONAL ARRAY WRAPPER",
		}[e.Wrapper])
		w.jsonBehavior(e.OnEmpty, "EMPTY")
		w.jsonBehavior(e.OnError, "ERROR")
	case *JSONExists:
		w.puts("JSON_EXISTS(")
		w.exprs([]Expr{e.X, e.Path})
		w.jsonBehavior(e.OnError, "ERROR")
	case *JSONConstructor:
		w.puts(e.Name, "(")
		w.list(len(e.Values), func(i int) {
			if e.Keys != nil {
				w.puts("KEY ")
				w.expr(e.Keys[i], precLowest)
				w.puts(" VALUE ")
			}
			w.expr(e.Values[i], precLowest)
		})
		if e.AbsentOnNull != nil {
			w.putIf(len(e.Values) > 0, " ")
			w.puts(choose(*e.AbsentOnNull, "ABSENT ON NULL", "NULL ON NULL"))
		}
	}
	w.puts(")")
}

func exprString(e Expr) string {
	var w printer
	w.bare(e)
	return w.Builder.String()
}
