package parse

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// printer writes normalised SQL: keywords and functions in upper case, names in
// back-ticks only where they need them, parentheses only where the tree does.
// Secrets among options are masked; Script.Text shows them.
type printer struct {
	strings.Builder
}

func (w *printer) puts(parts ...string) {
	for _, s := range parts {
		w.WriteString(s)
	}
}

// putIf writes s if cond holds.
func (w *printer) putIf(cond bool, s string) {
	if cond {
		w.WriteString(s)
	}
}

// quotedWords need back-ticks as names though Flink does not reserve them:
// before certain characters they mean something else here.
var quotedWords = words("MAP DESCRIPTOR CURRENT_DATABASE ABSENT")

func (w *printer) ident(id Ident) { w.puts(QuoteIdent(id.Name)) }

// QuoteIdent returns name as SQL writes it: in back-ticks if it is a reserved
// word or holds other characters than letters, digits, _ and $.
func QuoteIdent(name string) string {
	up := strings.ToUpper(name)
	if name != "" && wordLen(name) == len(name) && !hardReserved[up] && !noAlias[up] && !flinkReserved[up] &&
		!quotedWords[up] {
		return name
	}
	return "`" + strings.ReplaceAll(name, "`", "``") + "`"
}

// QuoteString returns s as a string literal.
func QuoteString(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func (w *printer) str(s string) { w.puts(QuoteString(s)) }

// list calls f for 0 to n-1 with commas between.
func (w *printer) list(n int, f func(i int)) {
	for i := range n {
		w.putIf(i > 0, ", ")
		f(i)
	}
}

func (w *printer) idents(ids []Ident) { w.list(len(ids), func(i int) { w.ident(ids[i]) }) }

func (w *printer) name(n Name) {
	for i, id := range n.Parts {
		w.putIf(i > 0, ".")
		w.ident(id)
	}
}

func (w *printer) exprs(list []Expr) { w.list(len(list), func(i int) { w.expr(list[i], precLowest) }) }

// String prints the name with its dots.
func (n Name) String() string {
	var w printer
	w.name(n)
	return w.Builder.String()
}

// Last is the last part: the table's or function's own name.
func (n Name) Last() string {
	if len(n.Parts) == 0 {
		return ""
	}
	return n.Parts[len(n.Parts)-1].Name
}

// FuncName is the function's name in upper case, which is how functions are looked up.
func (c *Call) FuncName() string { return strings.ToUpper(c.Name.Last()) }

func (w *printer) options(list []Option) {
	w.list(len(list), func(i int) {
		w.str(list[i].Key.Value)
		w.puts(" = ")
		w.str(MaskValue(list[i].Key.Value, list[i].Value.Value))
	})
}

func (w *printer) hints(list []Hint) {
	if len(list) == 0 {
		return
	}
	w.puts(" /*+ ")
	w.list(len(list), func(i int) {
		h := list[i]
		w.puts(QuoteIdent(h.Name), "(")
		w.list(len(h.Args), func(j int) { w.str(h.Args[j].Value) })
		w.putIf(len(h.Args) > 0 && len(h.Options) > 0, ", ")
		w.options(h.Options)
		w.puts(")")
	})
	w.puts(" */")
}

var typeNames = [...]string{
	TypeInvalid: "INVALID", TypeBoolean: "BOOLEAN", TypeTinyInt: "TINYINT", TypeSmallInt: "SMALLINT", TypeInt: "INT",
	TypeBigInt: "BIGINT", TypeFloat: "FLOAT", TypeDouble: "DOUBLE", TypeDecimal: "DECIMAL", TypeChar: "CHAR",
	TypeVarChar: "VARCHAR", TypeBinary: "BINARY", TypeVarBinary: "VARBINARY", TypeDate: "DATE", TypeTime: "TIME",
	TypeTimestamp: "TIMESTAMP", TypeTimestampLTZ: "TIMESTAMP_LTZ", TypeInterval: "INTERVAL", TypeRow: "ROW",
	TypeArray: "ARRAY", TypeMap: "MAP", TypeMultiset: "MULTISET",
}

// String is the type's root word.
func (k TypeKind) String() string { return typeNames[k] }

// String prints the type as Flink's SQL writes it, defaults spelt out.
func (t *Type) String() string {
	var w printer
	w.dataType(t)
	return w.Builder.String()
}

func (w *printer) dataType(t *Type) {
	switch t.Kind {
	case TypeVarChar, TypeVarBinary, TypeChar, TypeBinary:
		switch {
		case t.Precision == MaxLength && t.Kind == TypeVarChar:
			w.puts("STRING")
		case t.Precision == MaxLength && t.Kind == TypeVarBinary:
			w.puts("BYTES")
		default:
			w.puts(t.Kind.String(), "(", strconv.Itoa(t.Precision), ")")
		}
	case TypeTime, TypeTimestamp, TypeTimestampLTZ:
		w.puts(t.Kind.String(), "(", strconv.Itoa(t.Precision), ")")
	case TypeDecimal:
		w.puts("DECIMAL(", strconv.Itoa(t.Precision), ", ", strconv.Itoa(t.Scale), ")")
	case TypeInterval:
		w.puts("INTERVAL ", t.Interval.String())
	case TypeArray, TypeMultiset:
		w.puts(t.Kind.String(), "<")
		w.dataType(t.Elem)
		w.puts(">")
	case TypeMap:
		w.puts("MAP<")
		w.dataType(t.Key)
		w.puts(", ")
		w.dataType(t.Elem)
		w.puts(">")
	case TypeRow:
		w.puts("ROW<")
		w.list(len(t.Fields), func(i int) {
			w.ident(t.Fields[i].Name)
			w.puts(" ")
			w.dataType(t.Fields[i].Type)
			if c := t.Fields[i].Comment; c != nil {
				w.puts(" ")
				w.str(c.Value)
			}
		})
		w.puts(">")
	default:
		w.puts(t.Kind.String())
	}
	w.putIf(t.NotNull, " NOT NULL")
}

// String prints the qualifier: DAY, DAY(3) TO SECOND(6).
func (q *IntervalQualifier) String() string {
	var w printer
	w.puts(q.From.String())
	switch {
	case q.Precision >= 0 && q.FracPrecision >= 0 && q.To == UnitNone:
		w.puts("(", strconv.Itoa(q.Precision), ", ", strconv.Itoa(q.FracPrecision), ")")
	case q.Precision >= 0:
		w.puts("(", strconv.Itoa(q.Precision), ")")
	}
	if q.To != UnitNone {
		w.puts(" TO ", q.To.String())
		if q.FracPrecision >= 0 {
			w.puts("(", strconv.Itoa(q.FracPrecision), ")")
		}
	}
	return w.Builder.String()
}

func hexLiteral(b []byte) string { return "X'" + hex.EncodeToString(b) + "'" }
