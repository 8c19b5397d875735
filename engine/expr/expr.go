// Package expr holds typed expressions as data, and compiles them to kernels over columns. It knows no SQL text and no streams.
package expr

import (
	"strconv"
	"strings"

	"github.com/bramble-stream/bramble/engine/vec"
)

// Op says what an expression node is.
type Op string

// The node kinds.
const (
	OpCol  Op = "col"  // input column Col
	OpLit  Op = "lit"  // constant Lit (or NULL)
	OpCall Op = "call" // function Func of Args; casts, CASE, AND, field access are functions too
)

// Expr is a typed expression tree. It is plain data: it travels in the job graph as JSON. Build calls with Call so that types are
// resolved and casts inserted; nodes are immutable once built.
type Expr struct {
	Op   Op       `json:"op"`
	Type vec.Type `json:"type"`
	Col  int      `json:"col,omitempty"`
	// Name is the column's name, for printing only.
	Name string  `json:"name,omitempty"`
	Func string  `json:"fn,omitempty"`
	Args []*Expr `json:"args,omitempty"`
	// Lit is a constant in text: integers, DATE (days), TIME, timestamps and intervals (their stored integer) in decimal; floats as
	// strconv 'g'; DECIMAL as digits with a point; BOOLEAN true or false; STRING as it is; BYTES in base64.
	Lit  string `json:"lit,omitempty"`
	Null bool   `json:"null,omitempty"`
	// Pos is where the expression began in the script, for errors at run time: line and column, 0 when unknown.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
}

// Column returns a reference to input column i.
func Column(i int, name string, t vec.Type) *Expr {
	return &Expr{Op: OpCol, Type: t, Col: i, Name: name}
}

// NullOf returns a NULL of the type.
func NullOf(t vec.Type) *Expr { return &Expr{Op: OpLit, Type: t, Null: true} }

// Int returns an INT or, when it does not fit, BIGINT constant.
func Int(v int64) *Expr {
	t := vec.TypeInt32
	if v != int64(int32(v)) {
		t = vec.TypeInt64
	}
	t.NotNull = true
	return &Expr{Op: OpLit, Type: t, Lit: strconv.FormatInt(v, 10)}
}

// Lit returns a constant of the type from its text (see Expr.Lit).
func Lit(t vec.Type, text string) *Expr {
	t.NotNull = true
	return &Expr{Op: OpLit, Type: t, Lit: text}
}

// String prints the expression in SQL-like form with stable output, for plans and tests.
func (e *Expr) String() string {
	switch e.Op {
	case OpCol:
		if e.Name != "" {
			return e.Name
		}
		return "$" + strconv.Itoa(e.Col)
	case OpLit:
		switch {
		case e.Null:
			return "NULL"
		case e.Type.Kind == vec.String:
			return "'" + strings.ReplaceAll(e.Lit, "'", "''") + "'"
		default:
			return e.Lit
		}
	default:
		parts := make([]string, len(e.Args))
		for i, a := range e.Args {
			parts[i] = a.String()
		}
		if e.Func == "CAST" || e.Func == "TRY_CAST" {
			return e.Func + "(" + parts[0] + " AS " + e.Type.Nullable().String() + ")"
		}
		return e.Func + "(" + strings.Join(parts, ", ") + ")"
	}
}

// Walk calls f for e and everything below it, parents first.
func (e *Expr) Walk(f func(*Expr)) {
	f(e)
	for _, a := range e.Args {
		a.Walk(f)
	}
}

// MapColumns returns a copy of e with each column reference renumbered by f.
func (e *Expr) MapColumns(f func(col int) int) *Expr {
	c := *e
	if e.Op == OpCol {
		c.Col = f(e.Col)
	}
	if len(e.Args) > 0 {
		c.Args = make([]*Expr, len(e.Args))
		for i, a := range e.Args {
			c.Args[i] = a.MapColumns(f)
		}
	}
	return &c
}
