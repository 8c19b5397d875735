package plan

import (
	"strconv"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/vec"
)

var infix = map[string]bool{
	"+": true, "-": true, "*": true, "/": true, "%": true, "=": true, "<>": true, "<": true, "<=": true, ">": true, ">=": true,
	"AND": true, "OR": true, "||": true, "LIKE": true, "IS DISTINCT FROM": true,
}

// exprText prints an expression as SQL, for plans.
func exprText(e *expr.Expr) string {
	switch e.Op {
	case expr.OpCol:
		return e.String()
	case expr.OpLit:
		return literalText(e)
	case expr.OpCall:
	}
	args := make([]string, len(e.Args))
	for i, a := range e.Args {
		args[i] = exprText(a)
	}
	switch {
	case e.Func == "LIKE" && len(args) == 3:
		return within(e, 0, args) + " LIKE " + within(e, 1, args) + " ESCAPE " + within(e, 2, args)
	case infix[e.Func] && len(args) >= 2:
		for i := range args {
			args[i] = within(e, i, args)
		}
		return strings.Join(args, " "+e.Func+" ")
	case strings.HasPrefix(e.Func, "IS ") && len(args) == 1:
		return within(e, 0, args) + " " + e.Func
	case e.Func == "IN" && len(args) > 1:
		return within(e, 0, args) + " IN (" + strings.Join(args[1:], ", ") + ")"
	case e.Func == "NOT" && len(args) == 1:
		return "NOT " + within(e, 0, args)
	case e.Func == "NEG" && len(args) == 1:
		return "-" + within(e, 0, args)
	case e.Func == "FIELD" && len(e.Args) == 2:
		return args[0] + "." + fieldName(e)
	case e.Func == "ITEM" && len(args) == 2:
		return args[0] + "[" + args[1] + "]"
	case e.Func == "CASE":
		return caseText(args)
	case (e.Func == "CAST" || e.Func == "TRY_CAST") && len(args) > 0:
		return e.Func + "(" + args[0] + " AS " + e.Type.Nullable().String() + ")"
	default:
		return e.Func + "(" + strings.Join(args, ", ") + ")"
	}
}

// within is argument i as it stands inside e: in parentheses where the text would read otherwise.
func within(e *expr.Expr, i int, args []string) string {
	a := e.Args[i]
	if a.Op != expr.OpCall || a.Func == e.Func && (a.Func == "AND" || a.Func == "OR") {
		return args[i]
	}
	if infix[a.Func] && len(a.Args) >= 2 || strings.HasPrefix(a.Func, "IS ") && len(a.Args) == 1 && e.Func != "AND" && e.Func != "OR" || a.Func == "IN" && e.Func == "NOT" {
		return "(" + args[i] + ")"
	}
	return args[i]
}

func caseText(args []string) string {
	var b strings.Builder
	b.WriteString("CASE")
	i := 0
	for ; i+1 < len(args); i += 2 {
		b.WriteString(" WHEN " + args[i] + " THEN " + args[i+1])
	}
	if i < len(args) && args[i] != "NULL" {
		b.WriteString(" ELSE " + args[i])
	}
	return b.String() + " END"
}

// literalText prints a constant; times, which are stored as numbers, as people write them.
func literalText(e *expr.Expr) string {
	if e.Null {
		return "NULL"
	}
	n, err := strconv.ParseInt(e.Lit, 10, 64)
	if err != nil {
		return e.String()
	}
	switch e.Type.Kind {
	case vec.IntervalDT:
		return "INTERVAL " + ms(n)
	case vec.IntervalYM:
		return "INTERVAL " + e.Lit + " month"
	case vec.Timestamp:
		return "TIMESTAMP '" + time.UnixMilli(n).UTC().Format("2006-01-02 15:04:05.999") + "'"
	case vec.Date:
		return "DATE '" + time.Unix(n*86400, 0).UTC().Format("2006-01-02") + "'"
	default:
		return e.String()
	}
}

// fieldName is the field that FIELD takes, which it names or numbers.
func fieldName(e *expr.Expr) string {
	lit := e.Args[1].Lit
	fields := e.Args[0].Type.Fields
	if i, err := strconv.Atoi(lit); err == nil && i >= 0 && i < len(fields) && e.Args[1].Type.Kind != vec.String {
		return fields[i].Name
	}
	return lit
}
