package plan

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/sql/parse"
)

// scope is what names in an expression can mean: the columns of one relation, or of several that are joined.
type scope struct {
	rel  *rel
	name string // alias or table name; "" when it has none, or several
	// parts are the joined relations, in order; nil for one.
	parts []scopePart
	// hidden columns have another's name by USING; first are the others, which come first in *.
	hidden map[int]bool
	first  []int
}

// scopePart is the columns [from, to) that came from one relation.
type scopePart struct {
	name     string
	from, to int
}

func newScope(r *rel, name string) *scope { return &scope{rel: r, name: name} }

// over is the scope after a step that keeps the columns.
func (sc *scope) over(r *rel) *scope {
	out := *sc
	out.rel = r
	return &out
}

// tables are the relations of the scope.
func (sc *scope) tables() []scopePart {
	if sc.parts != nil {
		return sc.parts
	}
	return []scopePart{{sc.name, 0, len(sc.rel.cols)}}
}

// join is the scope of r, whose columns are those of sc and then those of other.
func (sc *scope) join(other *scope, r *rel) *scope {
	n := len(sc.rel.cols)
	out := &scope{rel: r, parts: slices.Clone(sc.tables()), first: slices.Clone(sc.first)}
	for _, p := range other.tables() {
		out.parts = append(out.parts, scopePart{p.name, p.from + n, p.to + n})
	}
	for i := range sc.hidden {
		out.hide(i)
	}
	for i := range other.hidden {
		out.hide(i + n)
	}
	return out
}

func (sc *scope) hide(i int) {
	if sc.hidden == nil {
		sc.hidden = map[int]bool{}
	}
	sc.hidden[i] = true
}

// names are the relations' names.
func (sc *scope) names() []string {
	var out []string
	for _, p := range sc.tables() {
		if p.name != "" {
			out = append(out, p.name)
		}
	}
	return out
}

// expand lists the columns that * stands for.
func (sc *scope) expand() []int {
	out := slices.Clone(sc.first)
	for i := range sc.rel.cols {
		if !sc.hidden[i] && !slices.Contains(sc.first, i) {
			out = append(out, i)
		}
	}
	return out
}

// exprBinder turns syntax into typed expressions over its scope's columns.
type exprBinder struct {
	p  *planner
	sc *scope
	// computed is the table whose computed column is bound, nil otherwise.
	computed *table
	// outer is the scope of the query around a subquery, nil where it cannot be meant.
	outer *scope
	// agg collects aggregates; nil where none may stand.
	agg *aggContext
	// clause names where the expression stands, for errors about aggregates.
	clause string
}

func (p *planner) exprBinder(sc *scope) *exprBinder { return &exprBinder{p: p, sc: sc} }

// bind binds e. Errors carry positions.
func (b *exprBinder) bind(e parse.Expr) (*expr.Expr, error) {
	out, err := b.bindAny(e)
	if err != nil {
		return nil, b.p.at(e, err)
	}
	if out.Op == expr.OpCall && out.Line == 0 {
		c := *out
		c.Line, c.Column = e.Pos().Line, e.Pos().Col
		out = &c
	} else if out.Op == expr.OpCol {
		// Positions of columns serve the errors about ungrouped columns.
		c := *out
		c.Line, c.Column = e.Pos().Line, e.Pos().Col
		out = &c
	}
	return out, nil
}

// bindBool binds a condition.
func (b *exprBinder) bindBool(e parse.Expr, what string) (*expr.Expr, error) {
	out, err := b.bind(e)
	if err != nil {
		return nil, err
	}
	if out.Type.Kind == vec.Null {
		return expr.NullOf(vec.TypeBool), nil
	}
	if out.Type.Kind != vec.Bool {
		return nil, b.p.errorf(e, "", "%s must be BOOLEAN, not %s", what, out.Type.Nullable())
	}
	return out, nil
}

func (b *exprBinder) bindAll(es ...parse.Expr) ([]*expr.Expr, error) {
	out := make([]*expr.Expr, len(es))
	var errs parse.ErrorList
	for i, e := range es {
		x, err := b.bind(e)
		if err != nil {
			errs = appendErr(errs, err)
			continue
		}
		out[i] = x
	}
	return out, errs.Err()
}

// call binds args and applies a function to them.
func (b *exprBinder) call(name string, args ...parse.Expr) (*expr.Expr, error) {
	xs, err := b.bindAll(args...)
	if err != nil {
		return nil, err
	}
	return expr.Call(name, xs...)
}

func text(s string) *expr.Expr { return expr.Lit(vec.TypeString, s) }

func (b *exprBinder) bindAny(e parse.Expr) (*expr.Expr, error) {
	switch e := e.(type) {
	case *parse.ColumnRef:
		return b.column(e)
	case *parse.FieldAccess:
		return b.field(e.X, e.Field)
	case *parse.Index:
		return b.call("ITEM", e.X, e.I)
	case *parse.Star:
		return nil, b.p.errorf(e, "", "* cannot stand here")
	case *parse.Number, *parse.StringLit, *parse.BytesLit, *parse.BoolLit, *parse.NullLit, *parse.TemporalLit, *parse.IntervalLit:
		return b.literal(e, false)
	case *parse.Unary:
		return b.unary(e)
	case *parse.Binary:
		return b.binary(e)
	case *parse.Is:
		return b.is(e)
	case *parse.IsDistinct:
		return b.negate(e.Not)(b.call("IS DISTINCT FROM", e.L, e.R))
	case *parse.Between:
		return b.between(e)
	case *parse.In:
		if e.Query != nil {
			return nil, b.subquery(e, "IN with a query")
		}
		return b.negate(e.Not)(b.call("IN", append([]parse.Expr{e.X}, e.List...)...))
	case *parse.LikeExpr:
		return b.like(e)
	case *parse.Exists:
		return nil, b.subquery(e, "EXISTS")
	case *parse.ScalarSubquery:
		return nil, b.subquery(e, "a query as a value")
	case *parse.Quantified:
		return nil, b.subquery(e, "ANY or ALL with a query")
	case *parse.Case:
		return b.caseExpr(e)
	case *parse.Cast:
		return b.cast(e)
	case *parse.Row:
		return b.call("ROW", e.Elems...)
	case *parse.ArrayExpr:
		if e.Query != nil {
			return nil, b.subquery(e, "ARRAY with a query")
		}
		return b.call("ARRAY", e.Elems...)
	case *parse.MapExpr:
		var args []parse.Expr
		for i := range e.Keys {
			args = append(args, e.Keys[i], e.Values[i])
		}
		return b.call("MAP", args...)
	case *parse.Call:
		return b.function(e)
	case *parse.Descriptor, *parse.TableArg:
		return nil, b.p.errorf(e, "", "this can only be an argument of a window function in FROM")
	default:
		return b.special(e)
	}
}

// special binds the functions with a grammar of their own.
func (b *exprBinder) special(e parse.Expr) (*expr.Expr, error) {
	unit := func(u parse.Unit) *expr.Expr { return text(unitName(u)) }
	switch e := e.(type) {
	case *parse.Extract:
		return b.mixed("EXTRACT", unit(e.Unit), e.X)
	case *parse.FloorTo:
		name := "FLOOR"
		if e.Ceil {
			name = "CEIL"
		}
		return b.mixed(name, e.X, unit(e.Unit))
	case *parse.TimestampAdd:
		return b.mixed("TIMESTAMPADD", unit(e.Unit), e.N, e.X)
	case *parse.TimestampDiff:
		return b.mixed("TIMESTAMPDIFF", unit(e.Unit), e.From, e.To)
	case *parse.Trim:
		where := map[parse.TrimWhere]string{parse.TrimBoth: "BOTH", parse.TrimLeading: "LEADING", parse.TrimTrailing: "TRAILING"}[e.Where]
		if e.Chars == nil {
			return b.mixed("TRIM", e.X, text(" "), text(where))
		}
		return b.mixed("TRIM", e.X, e.Chars, text(where))
	case *parse.JSONValue:
		return b.jsonValue(e)
	case *parse.JSONQuery:
		return b.jsonQuery(e)
	case *parse.JSONExists:
		return b.mixed("JSON_EXISTS", e.X, e.Path, text(jsonBehavior(e.OnError, "FALSE")))
	case *parse.JSONConstructor:
		return b.jsonConstructor(e)
	default:
		return nil, b.p.errorf(e, "", "this expression is not supported")
	}
}

// mixed calls a function with arguments of which some are bound already (*expr.Expr) and some are syntax.
func (b *exprBinder) mixed(name string, args ...any) (*expr.Expr, error) {
	xs := make([]*expr.Expr, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case *expr.Expr:
			xs[i] = a
		case parse.Expr:
			x, err := b.bind(a)
			if err != nil {
				return nil, err
			}
			xs[i] = x
		}
	}
	return expr.Call(name, xs...)
}

var unitNames = map[parse.Unit]string{
	parse.UnitMillennium: "MILLENNIUM", parse.UnitCentury: "CENTURY", parse.UnitDecade: "DECADE", parse.UnitYear: "YEAR",
	parse.UnitISOYear: "ISOYEAR", parse.UnitQuarter: "QUARTER", parse.UnitMonth: "MONTH", parse.UnitWeek: "WEEK",
	parse.UnitDay: "DAY", parse.UnitDOW: "DOW", parse.UnitISODOW: "ISODOW", parse.UnitDOY: "DOY", parse.UnitHour: "HOUR",
	parse.UnitMinute: "MINUTE", parse.UnitSecond: "SECOND", parse.UnitMillisecond: "MILLISECOND",
	parse.UnitMicrosecond: "MICROSECOND", parse.UnitNanosecond: "NANOSECOND", parse.UnitEpoch: "EPOCH",
}

func unitName(u parse.Unit) string { return unitNames[u] }

func (b *exprBinder) subquery(n parse.Node, what string) error {
	if strings.HasPrefix(what, "IN ") || what == "EXISTS" {
		return b.p.errorf(n, "or join with the query in FROM", "%s can only be a condition of WHERE, joined to others by AND", what)
	}
	return b.p.errorf(n, "join with the query in FROM", "%s is not supported yet", what)
}

func (b *exprBinder) negate(not bool) func(*expr.Expr, error) (*expr.Expr, error) {
	return func(e *expr.Expr, err error) (*expr.Expr, error) {
		if err != nil || !not {
			return e, err
		}
		return expr.Call("NOT", e)
	}
}

// column resolves a, t.a, a.b.c and t.a.b: a table's name goes before a column's when both fit.
func (b *exprBinder) column(ref *parse.ColumnRef) (*expr.Expr, error) {
	parts := ref.Parts
	in, qualified := scopePart{to: len(b.sc.rel.cols)}, false
	if t, n := b.qualifier(parts); n > 0 && n < len(parts) {
		if indexOf(b.sc.rel.cols[t.from:t.to], parts[n].Name) >= 0 || indexOf(b.sc.rel.cols, parts[0].Name) < 0 {
			parts, in, qualified = parts[n:], t, true
		}
	}
	i := -1
	for j := in.from; j < in.to; j++ {
		if b.sc.rel.cols[j].name != parts[0].Name || !qualified && b.sc.hidden[j] {
			continue
		}
		if i >= 0 {
			hint := "give the columns different aliases"
			if names := b.sc.names(); len(names) > 1 {
				hint = fmt.Sprintf("write which table it is of, as in %s.%s", names[0], parts[0].Name)
			}
			return nil, b.p.errorf(ref, hint, "column %q is ambiguous", parts[0].Name)
		}
		i = j
	}
	if i < 0 {
		if b.outer != nil {
			around := exprBinder{p: b.p, sc: b.outer}
			if e, err := around.column(ref); err == nil {
				return e.MapColumns(func(i int) int { return outerBase + i }), nil
			}
		}
		return nil, b.noColumn(ref, parts)
	}
	e := b.sc.rel.colExpr(i)
	return b.fields(e, parts[1:])
}

// qualifier returns which table of the scope a name begins with, and with how many of its parts.
func (b *exprBinder) qualifier(parts []parse.Ident) (scopePart, int) {
	for _, t := range b.sc.tables() {
		switch {
		case t.name == "":
		case parts[0].Name == t.name:
			return t, 1
		case len(parts) > 3 && parts[0].Name == defaultCatalog && parts[1].Name == defaultDatabase && parts[2].Name == t.name:
			return t, 3
		case len(parts) > 2 && parts[0].Name == defaultDatabase && parts[1].Name == t.name:
			return t, 2
		}
	}
	return scopePart{}, 0
}

func (b *exprBinder) noColumn(ref *parse.ColumnRef, parts []parse.Ident) error {
	name := parts[0].Name
	if b.computed != nil {
		if i := b.computed.index(name); i >= 0 {
			return b.p.errorf(ref, "repeat its expression", "%q is a computed column; a computed column cannot use another", name)
		}
	}
	names := columnNames(b.sc.rel.cols)
	if len(names) == 0 {
		return b.p.errorf(ref, "", "column %q does not exist: there is no table here", name)
	}
	hint := parse.DidYouMean(name, names)
	tables := b.sc.names()
	if len(parts) > 1 && len(tables) == 1 && indexOf(b.sc.rel.cols, parts[1].Name) >= 0 {
		return b.p.errorf(ref, fmt.Sprintf("the table here is %q", tables[0]), "there is no table %q here", name)
	}
	if len(parts) > 1 && len(tables) > 1 && indexOf(b.sc.rel.cols, parts[1].Name) >= 0 {
		return b.p.errorf(ref, fmt.Sprintf("the tables here are %s", strings.Join(tables, ", ")), "there is no table %q here", name)
	}
	if hint == "" {
		hint = "its columns are " + shorten(strings.Join(names, ", "), 200)
	}
	if b.sc.name == "" {
		return b.p.errorf(ref, hint, "column %q does not exist", name)
	}
	return b.p.errorf(ref, hint, "column %q does not exist in %q", name, b.sc.name)
}

func (b *exprBinder) fields(e *expr.Expr, path []parse.Ident) (*expr.Expr, error) {
	for _, f := range path {
		if e.Type.Kind != vec.Row {
			return nil, b.p.errorf(f, "", "%q is not a ROW but %s: it has no field %q", e.String(), e.Type.Nullable(), f.Name)
		}
		var names []string
		found := false
		for _, have := range e.Type.Fields {
			names = append(names, have.Name)
			found = found || have.Name == f.Name
		}
		if !found {
			return nil, b.p.errorf(f, parse.DidYouMean(f.Name, names), "field %q does not exist in %s", f.Name, e.Type.Nullable())
		}
		x, err := expr.Call("FIELD", e, text(f.Name))
		if err != nil {
			return nil, b.p.at(f, err)
		}
		e = x
	}
	return e, nil
}

func (b *exprBinder) field(x parse.Expr, f parse.Ident) (*expr.Expr, error) {
	e, err := b.bind(x)
	if err != nil {
		return nil, err
	}
	return b.fields(e, []parse.Ident{f})
}

// literal binds a constant; neg negates a number.
func (b *exprBinder) literal(e parse.Expr, neg bool) (*expr.Expr, error) {
	switch e := e.(type) {
	case *parse.Number:
		return b.number(e, neg)
	case *parse.StringLit:
		return text(e.Value), nil
	case *parse.BytesLit:
		return expr.Lit(vec.TypeBytes, base64.StdEncoding.EncodeToString(e.Value)), nil
	case *parse.BoolLit:
		return expr.Lit(vec.TypeBool, strconv.FormatBool(e.Value)), nil
	case *parse.NullLit:
		return expr.NullOf(vec.TypeNull), nil
	case *parse.IntervalLit:
		if e.Qualifier != nil && e.Qualifier.YearMonth() {
			if e.Months != int64(int32(e.Months)) {
				return nil, b.p.errorf(e, "", "the interval is too long")
			}
			return expr.Lit(vec.TypeIntervalYM, strconv.FormatInt(e.Months, 10)), nil
		}
		return expr.Lit(vec.TypeIntervalDT, strconv.FormatInt(e.Millis, 10)), nil
	case *parse.TemporalLit:
		return temporal(e), nil
	default:
		return nil, b.p.errorf(e, "", "this is not a constant")
	}
}

func temporal(e *parse.TemporalLit) *expr.Expr {
	switch e.Kind {
	case parse.TypeDate:
		days := e.Time.Unix() / 86400
		if e.Time.Unix() < 0 && e.Time.Unix()%86400 != 0 {
			days--
		}
		return expr.Lit(vec.TypeDate, strconv.FormatInt(days, 10))
	case parse.TypeTime:
		midnight := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
		t := vec.TypeTime
		t.Precision = uint8(e.Precision)
		return expr.Lit(t, strconv.FormatInt(e.Time.Sub(midnight).Milliseconds(), 10))
	default:
		t := vec.TypeTimestamp
		t.Precision = uint8(e.Precision)
		return expr.Lit(t, strconv.FormatInt(e.Time.UnixMilli(), 10))
	}
}

// number types a literal as Flink does: INT, BIGINT when it does not fit, DECIMAL with a point, DOUBLE with an exponent.
func (b *exprBinder) number(e *parse.Number, neg bool) (*expr.Expr, error) {
	digits := e.Text
	sign := ""
	if neg {
		sign = "-"
	}
	switch e.Kind {
	case parse.NumberDouble:
		f, err := strconv.ParseFloat(sign+digits, 64)
		if err != nil {
			return nil, b.p.errorf(e, "", "%s is out of range for DOUBLE", digits)
		}
		return expr.Lit(vec.TypeFloat64, strconv.FormatFloat(f, 'g', -1, 64)), nil
	case parse.NumberInt:
		if v, err := strconv.ParseInt(sign+digits, 10, 64); err == nil {
			return expr.Int(v), nil
		} else if !errors.Is(err, strconv.ErrRange) {
			return nil, b.p.errorf(e, "", "%q is not a number", digits)
		}
	case parse.NumberDecimal:
	}
	whole, frac, _ := strings.Cut(digits, ".")
	whole = strings.TrimLeft(whole, "0")
	if len(whole)+len(frac) > 38 {
		return nil, b.p.errorf(e, "write it with an exponent to have a DOUBLE", "%s has more than 38 digits", digits)
	}
	if _, ok := new(big.Int).SetString(whole+frac, 10); !ok && whole+frac != "" {
		return nil, b.p.errorf(e, "", "%q is not a number", digits)
	}
	t := vec.DecimalOf(uint8(max(len(whole)+len(frac), 1)), uint8(len(frac)))
	lit := sign
	if whole == "" {
		whole = "0"
	}
	lit += whole
	if frac != "" {
		lit += "." + frac
	}
	return expr.Lit(t, lit), nil
}

func (b *exprBinder) unary(e *parse.Unary) (*expr.Expr, error) {
	switch e.Op {
	case parse.OpNot:
		return b.call("NOT", e.X)
	case parse.OpPlus:
		return b.bind(e.X)
	case parse.OpNeg:
		if n, ok := e.X.(*parse.Number); ok {
			return b.literal(n, true)
		}
		return b.call("NEG", e.X)
	default:
		return nil, b.p.errorf(e, "", "this operator is not supported")
	}
}

var binaryNames = map[parse.BinaryOp]string{
	parse.OpOr: "OR", parse.OpAnd: "AND", parse.OpEq: "=", parse.OpNe: "<>", parse.OpLt: "<", parse.OpLe: "<=", parse.OpGt: ">",
	parse.OpGe: ">=", parse.OpAdd: "+", parse.OpSub: "-", parse.OpConcat: "||", parse.OpMul: "*", parse.OpDiv: "/", parse.OpMod: "%",
}

func (b *exprBinder) binary(e *parse.Binary) (*expr.Expr, error) {
	name, ok := binaryNames[e.Op]
	if !ok {
		return nil, b.p.errorf(e.OpPos, "compare the bounds with < and >", "OVERLAPS is not supported yet")
	}
	xs, err := b.bindAll(e.L, e.R)
	if err != nil {
		return nil, err
	}
	out, err := expr.Call(name, xs...)
	if err != nil {
		return nil, b.p.at(e.OpPos, err)
	}
	return out, nil
}

func (b *exprBinder) is(e *parse.Is) (*expr.Expr, error) {
	not := ""
	if e.Not {
		not = "NOT "
	}
	switch e.Kind {
	case parse.IsNull:
		return b.call("IS "+not+"NULL", e.X)
	case parse.IsTrue:
		return b.call("IS "+not+"TRUE", e.X)
	case parse.IsFalse:
		return b.call("IS "+not+"FALSE", e.X)
	case parse.IsUnknown:
		x, err := b.bindBool(e.X, "what IS UNKNOWN tests")
		if err != nil {
			return nil, err
		}
		return expr.Call("IS "+not+"NULL", x)
	case parse.IsJSON:
		return b.negate(e.Not)(b.call("IS JSON", e.X))
	case parse.IsJSONObject:
		return b.negate(e.Not)(b.mixed("IS JSON", e.X, text("OBJECT")))
	case parse.IsJSONArray:
		return b.negate(e.Not)(b.mixed("IS JSON", e.X, text("ARRAY")))
	case parse.IsJSONScalar:
		return b.negate(e.Not)(b.mixed("IS JSON", e.X, text("SCALAR")))
	default:
		return nil, b.p.errorf(e, "", "this test is not supported")
	}
}

func (b *exprBinder) between(e *parse.Between) (*expr.Expr, error) {
	xs, err := b.bindAll(e.X, e.Lo, e.Hi)
	if err != nil {
		return nil, err
	}
	out, err := expr.Call("BETWEEN", xs...)
	if err == nil && e.Symmetric {
		var other *expr.Expr
		if other, err = expr.Call("BETWEEN", xs[0], xs[2], xs[1]); err == nil {
			out, err = expr.Call("OR", out, other)
		}
	}
	return b.negate(e.Not)(out, err)
}

func (b *exprBinder) like(e *parse.LikeExpr) (*expr.Expr, error) {
	name := "LIKE"
	if e.Similar {
		name = "SIMILAR TO"
	}
	args := []parse.Expr{e.X, e.Pattern}
	if e.Escape != nil {
		args = append(args, e.Escape)
	}
	return b.negate(e.Not)(b.call(name, args...))
}

// caseExpr binds CASE as (cond, result, ..., else).
func (b *exprBinder) caseExpr(e *parse.Case) (*expr.Expr, error) {
	var args []*expr.Expr
	var operand *expr.Expr
	var errs parse.ErrorList
	var err error
	if e.Operand != nil {
		if operand, err = b.bind(e.Operand); err != nil {
			return nil, err
		}
	}
	for _, w := range e.Whens {
		cond, err := b.bind(w.Cond)
		if err == nil && operand != nil {
			cond, err = expr.Call("=", operand, cond)
			err = b.p.at(w.Cond, err)
		} else if err == nil && cond.Type.Kind != vec.Bool && cond.Type.Kind != vec.Null {
			err = b.p.errorf(w.Cond, "", "a condition of CASE must be BOOLEAN, not %s", cond.Type.Nullable())
		}
		errs = appendErr(errs, err)
		res, err := b.bind(w.Result)
		errs = appendErr(errs, err)
		args = append(args, cond, res)
	}
	last := expr.NullOf(vec.TypeNull)
	if e.Else != nil {
		last, err = b.bind(e.Else)
		errs = appendErr(errs, err)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return expr.Call("CASE", append(args, last)...)
}

func (b *exprBinder) cast(e *parse.Cast) (*expr.Expr, error) {
	x, err := b.bind(e.X)
	if err != nil {
		return nil, err
	}
	t, err := vecType(e.Type)
	if err != nil {
		return nil, b.p.at(e.Type, err)
	}
	t = t.Nullable()
	if e.Try {
		return expr.TryCast(x, t)
	}
	return expr.Cast(x, t)
}

func jsonBehavior(j *parse.JSONBehavior, def string) string {
	if j == nil {
		return def
	}
	switch j.Kind {
	case parse.JSONNull:
		return "NULL"
	case parse.JSONError:
		return "ERROR"
	case parse.JSONDefault:
		return "DEFAULT"
	case parse.JSONEmptyArray:
		return "EMPTY ARRAY"
	case parse.JSONEmptyObject:
		return "EMPTY OBJECT"
	case parse.JSONTrue:
		return "TRUE"
	case parse.JSONFalse:
		return "FALSE"
	case parse.JSONUnknown:
		return "UNKNOWN"
	default:
		return def
	}
}

// jsonValue binds JSON_VALUE as text, then casts it to what RETURNING says.
func (b *exprBinder) jsonValue(e *parse.JSONValue) (*expr.Expr, error) {
	def := func(j *parse.JSONBehavior) (*expr.Expr, error) {
		if j == nil || j.Kind != parse.JSONDefault || j.Default == nil {
			return expr.NullOf(vec.TypeString), nil
		}
		x, err := b.bind(j.Default)
		if err != nil {
			return nil, err
		}
		if x.Type.Kind == vec.String {
			return x, nil
		}
		return expr.Cast(x, vec.TypeString)
	}
	onEmpty, err := def(e.OnEmpty)
	if err != nil {
		return nil, err
	}
	onError, err := def(e.OnError)
	if err != nil {
		return nil, err
	}
	out, err := b.mixed("JSON_VALUE", e.X, e.Path, text(jsonBehavior(e.OnEmpty, "NULL")), onEmpty,
		text(jsonBehavior(e.OnError, "NULL")), onError)
	if err != nil || e.Returning == nil {
		return out, err
	}
	t, err := vecType(e.Returning)
	if err != nil {
		return nil, b.p.at(e.Returning, err)
	}
	if t.Kind == vec.String {
		return out, nil
	}
	// A value that is not of the type is an error of the path, which ON ERROR governs: only ERROR may fail.
	if e.OnError != nil && e.OnError.Kind == parse.JSONError {
		return expr.Cast(out, t.Nullable())
	}
	return expr.TryCast(out, t.Nullable())
}

func (b *exprBinder) jsonQuery(e *parse.JSONQuery) (*expr.Expr, error) {
	wrapper := map[parse.JSONWrapper]string{
		parse.WrapperNone: "WITHOUT", parse.WrapperConditional: "CONDITIONAL", parse.WrapperUnconditional: "UNCONDITIONAL",
	}[e.Wrapper]
	if e.Returning != nil {
		if t, err := vecType(e.Returning); err != nil || t.Kind != vec.String {
			return nil, b.p.errorf(e.Returning, "cast its parts", "JSON_QUERY returns STRING only")
		}
	}
	return b.mixed("JSON_QUERY", e.X, e.Path, text(wrapper), text(jsonBehavior(e.OnEmpty, "NULL")), text(jsonBehavior(e.OnError, "NULL")))
}

// jsonConstructor binds JSON_OBJECT, which keeps NULLs unless the script says otherwise, and JSON_ARRAY, which drops them.
func (b *exprBinder) jsonConstructor(e *parse.JSONConstructor) (*expr.Expr, error) {
	onNull := "NULL"
	switch e.Name {
	case "JSON_OBJECT":
	case "JSON_ARRAY":
		onNull = "ABSENT"
	default:
		return nil, b.p.errorf(e, "", "%s is not supported yet", e.Name)
	}
	if e.AbsentOnNull != nil {
		onNull = map[bool]string{true: "ABSENT", false: "NULL"}[*e.AbsentOnNull]
	}
	args := []any{text(onNull)}
	for i, v := range e.Values {
		if e.Keys != nil {
			args = append(args, e.Keys[i])
		}
		args = append(args, v)
	}
	return b.mixed(e.Name, args...)
}

// constant folds e to a literal; ok is false when it is none.
func constant(e *expr.Expr) (*expr.Expr, bool) {
	if e.Op == expr.OpLit {
		return e, true
	}
	f := fold(e)
	return f, f.Op == expr.OpLit
}

// intervalMS returns the milliseconds of a constant day-time interval.
func (b *exprBinder) intervalMS(e parse.Expr, what string) (int64, error) {
	x, err := b.bind(e)
	if err != nil {
		return 0, err
	}
	if x.Type.Kind == vec.IntervalYM {
		return 0, b.p.errorf(e, "use days", "%s counts months, which vary in length", what)
	}
	lit, ok := constant(x)
	if !ok || lit.Type.Kind != vec.IntervalDT || lit.Null {
		return 0, b.p.errorf(e, "write it as INTERVAL '10' SECOND", "%s must be a constant interval", what)
	}
	return strconv.ParseInt(lit.Lit, 10, 64)
}
