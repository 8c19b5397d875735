package agg

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bramble-stream/bramble/engine/vec"
)

var functions = []string{
	"COUNT", "SUM", "AVG", "MIN", "MAX", "FIRST_VALUE", "LAST_VALUE",
	"STDDEV_POP", "STDDEV_SAMP", "VAR_POP", "VAR_SAMP", "LISTAGG",
}

// Functions lists the upper-case names of all aggregate functions.
func Functions() []string { return slices.Clone(functions) }

// ResultType returns the type of fn(args) with Flink's rules: COUNT is BIGINT NOT NULL; SUM, AVG, STDDEV and VAR keep the
// argument's type, save DECIMAL(p, s), which becomes DECIMAL(38, s) in SUM and DECIMAL(38, max(6, s)) in the others; MIN,
// MAX, FIRST_VALUE and LAST_VALUE keep it; LISTAGG is STRING. LISTAGG's separator, a constant, is not among args.
func ResultType(fn string, distinct bool, args []vec.Type) (vec.Type, error) {
	if !slices.Contains(functions, fn) {
		return vec.Type{}, fmt.Errorf("%s is not an aggregate function; there are %s", fn, strings.Join(functions, ", "))
	}
	if fn == "COUNT" {
		if len(args) == 0 && distinct {
			return vec.Type{}, fmt.Errorf("COUNT(DISTINCT *) is not possible: name the columns")
		}
		return vec.Type{Kind: vec.Int64, NotNull: true}, nil
	}
	if len(args) != 1 {
		return vec.Type{}, fmt.Errorf("%s takes 1 argument, not %d", fn, len(args))
	}
	t := args[0].Nullable()
	switch fn {
	case "MIN", "MAX":
		if !ordered(t.Kind) {
			return vec.Type{}, refuse(fn, "a number, STRING, BOOLEAN, or a date, time or interval", args[0])
		}
		return t, nil
	case "FIRST_VALUE", "LAST_VALUE":
		if t.Kind == vec.Null || t.Kind == vec.Invalid {
			return vec.Type{}, refuse(fn, "a typed value", args[0])
		}
		return t, nil
	case "LISTAGG":
		if t.Kind != vec.String {
			return vec.Type{}, refuse(fn, "STRING", args[0])
		}
		return t, nil
	}
	if !t.Kind.IsNumeric() {
		return vec.Type{}, refuse(fn, "TINYINT, SMALLINT, INT, BIGINT, FLOAT, DOUBLE or DECIMAL", args[0])
	}
	if t.Kind == vec.Decimal {
		if fn == "SUM" {
			return vec.DecimalOf(38, t.Scale), nil
		}
		return vec.DecimalOf(38, max(6, t.Scale)), nil
	}
	return t, nil
}

func refuse(fn, takes string, t vec.Type) error {
	return fmt.Errorf("%s takes %s, not %s", fn, takes, t)
}

func ordered(k vec.Kind) bool {
	return k >= vec.Bool && k <= vec.String || k >= vec.Date && k <= vec.IntervalDT
}

// PartialTypes are the columns in which a Local stage hands the accumulator of s to a Global one; s is insert-only.
// A DISTINCT aggregate travels as one BYTES column (NULL where an aggregate before it carries the shared set).
func PartialTypes(s Spec) []vec.Type {
	if isDistinct(s) {
		return []vec.Type{vec.TypeBytes}
	}
	switch s.Func {
	case "COUNT":
		return []vec.Type{{Kind: vec.Int64, NotNull: true}}
	case "SUM":
		return []vec.Type{sumType(s)}
	case "AVG":
		return []vec.Type{sumType(s), {Kind: vec.Int64, NotNull: true}}
	case "STDDEV_POP", "STDDEV_SAMP", "VAR_POP", "VAR_SAMP":
		return []vec.Type{{Kind: vec.Int64, NotNull: true}, vec.TypeFloat64, vec.TypeFloat64}
	case "LISTAGG":
		return []vec.Type{vec.TypeString}
	default:
		if len(s.ArgTypes) == 0 {
			return nil
		}
		return []vec.Type{s.ArgTypes[0].Nullable()}
	}
}

// sumType is what sums are kept in: wide enough not to lose anything before the result.
func sumType(s Spec) vec.Type {
	if len(s.ArgTypes) == 0 {
		return vec.TypeInt64
	}
	switch t := s.ArgTypes[0]; t.Kind {
	case vec.Float32, vec.Float64:
		return vec.TypeFloat64
	case vec.Decimal:
		return vec.DecimalOf(38, t.Scale)
	default:
		return vec.TypeInt64
	}
}

// Mergeable reports whether accumulators of s can be combined, as two-stage aggregation, sliced windows and spilling need:
// true of all functions there are.
func Mergeable(s Spec) bool { return slices.Contains(functions, s.Func) }

// Retractable reports whether s can take rows back: true of all functions there are. MIN and MAX, FIRST_VALUE, LAST_VALUE and
// LISTAGG then keep every value of a group.
func Retractable(s Spec) bool { return slices.Contains(functions, s.Func) }

// isDistinct reports whether DISTINCT changes s: to MIN and MAX a repeated value makes no difference.
func isDistinct(s Spec) bool { return s.Distinct && s.Func != "MIN" && s.Func != "MAX" }

// Check reports whether a spec can be run: its function and types fit.
func Check(s Spec) error {
	if len(s.Args) != len(s.ArgTypes) {
		return fmt.Errorf("%s: %d arguments with %d types", s, len(s.Args), len(s.ArgTypes))
	}
	for _, a := range s.Args {
		if a < 0 {
			return fmt.Errorf("%s: negative column", s)
		}
	}
	t, err := ResultType(s.Func, s.Distinct, s.ArgTypes)
	if err != nil {
		return err
	}
	if !t.Equal(s.Type) {
		return fmt.Errorf("%s: result is %s, not %s", s, t, s.Type)
	}
	return nil
}
