package expr

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/vec"
)

// maxPrecision is the most digits of a DECIMAL.
const maxPrecision = 38

// minScaleKept is how many fractional digits survive when a derived precision is cut down to maxPrecision, as in Flink.
const minScaleKept = 6

// decimalLimits returns the DECIMAL that holds every value of an integer or decimal type.
func decimalLimits(t vec.Type) (p, s int) {
	switch t.Kind {
	case vec.Int8:
		return 3, 0
	case vec.Int16:
		return 5, 0
	case vec.Int32:
		return 10, 0
	case vec.Int64:
		return 19, 0
	default:
		return int(t.Precision), int(t.Scale)
	}
}

// cutDecimal makes p and s fit: integer digits are kept before fractional ones beyond minScaleKept.
func cutDecimal(p, s int) vec.Type {
	if p > maxPrecision {
		s = max(maxPrecision-(p-s), min(s, minScaleKept))
		p = maxPrecision
	}
	return vec.DecimalOf(uint8(p), uint8(s))
}

// decimalResult is the type of an arithmetic operator over exact numbers of which at least one is a DECIMAL, as Flink derives it.
func decimalResult(op string, a, b vec.Type) vec.Type {
	p1, s1 := decimalLimits(a)
	p2, s2 := decimalLimits(b)
	switch op {
	case "*":
		return cutDecimal(p1+p2+1, s1+s2)
	case "/":
		s := max(6, s1+p2+1)
		return cutDecimal(p1-s1+s2+s, s)
	case "%":
		s := max(s1, s2)
		return cutDecimal(min(p1-s1, p2-s2)+s, s)
	default:
		s := max(s1, s2)
		return cutDecimal(max(p1-s1, p2-s2)+s+1, s)
	}
}

// CommonType returns the least restrictive type that all given types can be cast to implicitly, as for CASE, COALESCE and UNION. NULL fits
// any type; the result is NOT NULL when all are.
func CommonType(types ...vec.Type) (vec.Type, error) {
	out := vec.TypeNull
	notNull := len(types) > 0
	for _, t := range types {
		notNull = notNull && t.NotNull
		u, ok := commonOf(out, t)
		if !ok {
			return vec.Type{}, fmt.Errorf("no common type for %s and %s", out.Nullable(), t.Nullable())
		}
		out = u
	}
	out.NotNull = notNull
	return out, nil
}

func commonOf(a, b vec.Type) (vec.Type, bool) {
	switch {
	case a.Kind == vec.Null:
		return b, true
	case b.Kind == vec.Null:
		return a, true
	case a.Kind.IsNumeric() && b.Kind.IsNumeric():
		return commonNumeric(a, b), true
	case a.Kind == vec.Date && b.Kind.IsTimestamp():
		return b, true
	case b.Kind == vec.Date && a.Kind.IsTimestamp():
		return a, true
	case a.Kind.IsTimestamp() && b.Kind.IsTimestamp():
		t := vec.Type{Kind: a.Kind, Precision: max(a.Precision, b.Precision)}
		if a.Kind != b.Kind {
			t.Kind = vec.TimestampLTZ
		}
		return t, true
	case a.Kind != b.Kind || len(a.Fields) != len(b.Fields):
		return vec.Type{}, false
	case a.Kind.IsNested():
		return commonNested(a, b)
	default:
		a.Precision = max(a.Precision, b.Precision)
		return a, true
	}
}

// commonNested unites children one by one; names are a's.
func commonNested(a, b vec.Type) (vec.Type, bool) {
	fields := make([]vec.Field, len(a.Fields))
	for i := range fields {
		t, ok := commonOf(a.Fields[i].Type, b.Fields[i].Type)
		if !ok {
			return vec.Type{}, false
		}
		t.NotNull = a.Fields[i].Type.NotNull && b.Fields[i].Type.NotNull
		fields[i] = vec.Field{Name: a.Fields[i].Name, Type: t}
	}
	a.Fields = fields
	return a, true
}

func commonNumeric(a, b vec.Type) vec.Type {
	isFloat := func(k vec.Kind) bool { return k == vec.Float32 || k == vec.Float64 }
	switch {
	case isFloat(a.Kind) || isFloat(b.Kind):
		if a.Kind == vec.Float64 || b.Kind == vec.Float64 || a.Kind == vec.Decimal || b.Kind == vec.Decimal {
			return vec.TypeFloat64
		}
		return vec.TypeFloat32
	case a.Kind == vec.Decimal || b.Kind == vec.Decimal:
		p1, s1 := decimalLimits(a)
		p2, s2 := decimalLimits(b)
		s := max(s1, s2)
		p := max(p1-s1, p2-s2) + s
		if p > maxPrecision {
			s = max(0, maxPrecision-(p-s))
			p = maxPrecision
		}
		return vec.DecimalOf(uint8(p), uint8(s))
	default:
		return vec.Type{Kind: max(a.Kind, b.Kind)}
	}
}

// ImplicitCast casts e to a type that SQL converts to by itself: wider numbers, any number to DECIMAL or DOUBLE, between DATE and the
// timestamps, NULL to anything, and children of nested types likewise (fields by position); a constant string becomes a date, time or
// timestamp. It fails where a script must say CAST. NOT NULL of to is ignored.
func ImplicitCast(e *Expr, to vec.Type) (*Expr, error) {
	from := e.Type
	switch {
	case from.Equal(to):
		return e, nil
	case e.Op == OpLit && from.Kind == vec.String && isTimeKind(to.Kind):
		return Cast(e, to)
	case !implicitOK(from, to):
		return nil, fmt.Errorf("cannot convert %s to %s implicitly; use CAST", from.Nullable(), to.Nullable())
	default:
		return Cast(e, to)
	}
}

func isTimeKind(k vec.Kind) bool { return k == vec.Date || k == vec.Time || k.IsTimestamp() }

// implicitOK says whether every value of from has a counterpart in to.
func implicitOK(from, to vec.Type) bool {
	switch {
	case from.Kind == vec.Null:
		return true
	case from.Kind.IsInteger() && to.Kind.IsInteger():
		return from.Kind <= to.Kind
	case from.Kind.IsNumeric() && to.Kind == vec.Float32:
		return from.Kind != vec.Float64
	case from.Kind.IsNumeric() && (to.Kind == vec.Float64 || to.Kind == vec.Decimal):
		// To DECIMAL, digits may be cut as in Flink; a value that does not fit becomes NULL.
		return true
	case from.Kind == vec.Date && to.Kind.IsTimestamp():
		return true
	case from.Kind == vec.Timestamp && (to.Kind == vec.Date || to.Kind == vec.Time):
		return true
	case from.Kind.IsTimestamp() && to.Kind.IsTimestamp():
		return true
	case from.Kind != to.Kind || len(from.Fields) != len(to.Fields):
		return false
	}
	for i := range from.Fields {
		if !implicitOK(from.Fields[i].Type, to.Fields[i].Type) {
			return false
		}
	}
	return true
}
