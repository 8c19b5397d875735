package expr

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/bramble-stream/bramble/engine/vec"
)

// Cast converts e to a type as SQL's CAST does; a value that cannot be converted fails its row. It is an error when no value of
// e's type can be. The nullability of to is ignored: the result's follows e.
func Cast(e *Expr, to vec.Type) (*Expr, error) { return cast("CAST", e, to) }

// TryCast is Cast with NULL instead of a failure.
func TryCast(e *Expr, to vec.Type) (*Expr, error) { return cast("TRY_CAST", e, to) }

func cast(fn string, e *Expr, to vec.Type) (*Expr, error) {
	from := e.Type
	to.NotNull = from.NotNull && fn == "CAST" && to.Kind != vec.Decimal
	switch {
	case e.Op == OpLit && (e.Null || from.Kind == vec.Null):
		return &Expr{Op: OpLit, Type: to.Nullable(), Null: true, Line: e.Line, Column: e.Column}, nil
	case from.Equal(to) && from.Precision == to.Precision:
		return e, nil
	case !castable(from, to):
		hint := ""
		if from.Kind.IsNumeric() && to.Kind.IsTimestamp() {
			hint = "; use TO_TIMESTAMP_LTZ"
		} else if to.Kind.IsNumeric() && from.Kind.IsTimestamp() {
			hint = "; use UNIX_TIMESTAMP or EXTRACT"
		}
		return nil, fmt.Errorf("cannot cast %s to %s%s", from.Nullable(), to.Nullable(), hint)
	}
	c := &Expr{Op: OpCall, Type: to, Func: fn, Args: []*Expr{e}, Line: e.Line, Column: e.Column}
	if e.Op == OpLit && from.Kind != vec.TimestampLTZ && to.Kind != vec.TimestampLTZ {
		// Constants that do not depend on the session's zone are converted now; one that is wrong is wrong for certain.
		v, err := foldCall(c, &Env{Location: time.UTC})
		var ee *EvalError
		if errors.As(err, &ee) {
			err = ee.Err
		}
		if err != nil {
			return nil, err
		}
		v.Line, v.Column = e.Line, e.Column
		return v, nil
	}
	return c, nil
}

// castable says whether CAST knows the pair of types.
func castable(from, to vec.Type) bool {
	f, t := from.Kind, to.Kind
	switch {
	case f == vec.Null, t == vec.String:
		return t != vec.Null
	case t.IsNested():
		if f != t || len(from.Fields) != len(to.Fields) {
			return false
		}
		for i := range from.Fields {
			if !castable(from.Fields[i].Type, to.Fields[i].Type) {
				return false
			}
		}
		return true
	case f == t:
		return true
	case f == vec.String:
		return t <= vec.TimestampLTZ && t != vec.Null
	case f == vec.Bytes:
		return false
	case f.IsNumeric() || f == vec.Bool:
		return t.IsNumeric() || t == vec.Bool || f.IsInteger() && (t == vec.IntervalYM || t == vec.IntervalDT)
	case f == vec.IntervalYM || f == vec.IntervalDT:
		return t.IsInteger()
	case f == vec.Date:
		return t.IsTimestamp()
	case f == vec.Time:
		return t.IsTimestamp()
	case f.IsTimestamp():
		return t.IsTimestamp() || t == vec.Date || t == vec.Time
	}
	return false
}

var (
	_ = register(Func{Name: "CAST", Min: 1, Max: 1, Flags: hidden | MayNull, Bind: bindNoCall, Build: buildCast})
	_ = register(Func{Name: "TRY_CAST", Min: 1, Max: 1, Flags: hidden | MayNull, Bind: bindNoCall, Build: buildCast})
)

// bindNoCall refuses CAST without a type.
func bindNoCall([]*Expr) (vec.Type, error) {
	return vec.Type{}, fmt.Errorf("CAST needs a type: CAST(value AS type)")
}

// buildCast picks the kernel for the pair of types.
func buildCast(s *Site) (Kernel, error) {
	from, to := s.Call.Args[0].Type, s.Call.Type
	try := s.Call.Func == "TRY_CAST"
	loc := s.Env.Location
	if !castable(from, to) {
		return nil, fmt.Errorf("cannot cast %s to %s", from.Nullable(), to.Nullable())
	}
	if k := denseCast(from, to); k != nil {
		s.Dense = true
		return k, nil
	}
	var k Kernel
	switch {
	case from.Kind == vec.Null:
		k = func(f *Frame) error {
			for range f.Rows {
				f.Out.AppendNull()
			}
			return nil
		}
	case to.Kind.IsNested():
		// A nested value with an element that cannot be converted fails as a whole.
		conv, err := nestedConverter(s, from, to)
		if err != nil {
			return nil, err
		}
		k = conv
	case to.Kind.IsBinaryLike():
		k = StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
			return AppendText(dst, args[0].Col, args[0].Row(i), loc), true, nil
		})
	case from.Kind == vec.String:
		k = AppendRows(func(f *Frame, i int) error {
			text := f.Args[0].Str(i)
			if err := appendParsed(f.Out, text, loc); err != nil {
				if try {
					f.Out.AppendNull()
					return nil
				}
				return castError(text, to, err)
			}
			return nil
		})
	case to.Kind == vec.Decimal:
		k = toDecimal(from, to)
	case from.Kind == vec.Decimal:
		k = fromDecimal(from, to)
	case from.Kind.IsTimestamp() || from.Kind == vec.Date || from.Kind == vec.Time:
		k = castTime(from, to, loc)
	}
	if k == nil {
		return nil, fmt.Errorf("cannot cast %s to %s", from.Nullable(), to.Nullable())
	}
	return k, nil
}

// toDecimal gives NULL where a value does not fit.
func toDecimal(from, to vec.Type) Kernel {
	p, s := int(to.Precision), int(to.Scale)
	switch from.Kind {
	case vec.Decimal:
		fs := int(from.Scale)
		return decimalRows(func(a Arg, i int) (vec.Num, bool) { return rescale(At[vec.Num](a, i), fs, s, p) })
	case vec.Bool:
		return decimalRows(func(a Arg, i int) (vec.Num, bool) { return intToDecimal(int64(bitWord(a.Bool(i))), p, s) })
	case vec.Float32:
		return decimalRows(func(a Arg, i int) (vec.Num, bool) { return floatToDecimal(float64(At[float32](a, i)), 32, p, s) })
	case vec.Float64:
		return decimalRows(func(a Arg, i int) (vec.Num, bool) { return floatToDecimal(At[float64](a, i), 64, p, s) })
	case vec.Int8:
		return decimalRows(func(a Arg, i int) (vec.Num, bool) { return intToDecimal(int64(At[int8](a, i)), p, s) })
	case vec.Int16:
		return decimalRows(func(a Arg, i int) (vec.Num, bool) { return intToDecimal(int64(At[int16](a, i)), p, s) })
	case vec.Int32:
		return decimalRows(func(a Arg, i int) (vec.Num, bool) { return intToDecimal(int64(At[int32](a, i)), p, s) })
	case vec.Int64:
		return decimalRows(func(a Arg, i int) (vec.Num, bool) { return intToDecimal(At[int64](a, i), p, s) })
	}
	return nil
}

func decimalRows(fn func(a Arg, i int) (vec.Num, bool)) Kernel {
	return FixedRows(func(args []Arg, i int) (vec.Num, bool, error) {
		v, ok := fn(args[0], i)
		return v, ok, nil
	})
}

func fromDecimal(from, to vec.Type) Kernel {
	s := int(from.Scale)
	whole := func(args []Arg, i int) int64 { return decimalToInt(At[vec.Num](args[0], i), s) }
	switch to.Kind {
	case vec.Bool:
		return BoolRows(func(args []Arg, i int) (bool, bool, error) { return At[vec.Num](args[0], i) != vec.Num{}, true, nil })
	case vec.Int8:
		return FixedRows(func(args []Arg, i int) (int8, bool, error) { return int8(whole(args, i)), true, nil })
	case vec.Int16:
		return FixedRows(func(args []Arg, i int) (int16, bool, error) { return int16(whole(args, i)), true, nil })
	case vec.Int32:
		return FixedRows(func(args []Arg, i int) (int32, bool, error) { return int32(whole(args, i)), true, nil })
	case vec.Int64:
		return FixedRows(func(args []Arg, i int) (int64, bool, error) { return whole(args, i), true, nil })
	case vec.Float32:
		return FixedRows(func(args []Arg, i int) (float32, bool, error) {
			return float32(decimalToFloat(At[vec.Num](args[0], i), s)), true, nil
		})
	case vec.Float64:
		return FixedRows(func(args []Arg, i int) (float64, bool, error) {
			return decimalToFloat(At[vec.Num](args[0], i), s), true, nil
		})
	}
	return nil
}

// denseCast returns the kernel of a cast between numbers that cannot fail, or nil.
func denseCast(from, to vec.Type) Kernel {
	switch from.Kind {
	case vec.Int8:
		return intCast[int8](to)
	case vec.Int16:
		return intCast[int16](to)
	case vec.Int32, vec.IntervalYM:
		return intCast[int32](to)
	case vec.Int64, vec.IntervalDT:
		return intCast[int64](to)
	case vec.Float32:
		return floatCast[float32](to)
	case vec.Float64:
		return floatCast[float64](to)
	case vec.Bool:
		return boolCast(to)
	}
	return nil
}

// convertAll applies a conversion to all rows.
func convertAll[F, T vec.Fixed](fn func(dst []T, src []F)) Kernel {
	return func(f *Frame) error {
		f.Out.Resize(f.Rows)
		dst, a := vec.Values[T](f.Out), f.Args[0]
		if !a.Const() {
			fn(dst, vec.Values[F](a.Col))
			return nil
		}
		for i := range dst {
			fn(dst[i:i+1], vec.Values[F](a.Col))
		}
		return nil
	}
}

type integer interface {
	int8 | int16 | int32 | int64
}

type number interface {
	integer | float32 | float64
}

func convertInts[F integer, T number](dst []T, src []F) {
	for i := range dst {
		dst[i] = T(src[i])
	}
}

// intCast wraps like Java's narrowing.
func intCast[F integer](to vec.Type) Kernel {
	switch to.Kind {
	case vec.Int8:
		return convertAll(convertInts[F, int8])
	case vec.Int16:
		return convertAll(convertInts[F, int16])
	case vec.Int32, vec.IntervalYM:
		return convertAll(convertInts[F, int32])
	case vec.Int64, vec.IntervalDT:
		return convertAll(convertInts[F, int64])
	case vec.Float32:
		return convertAll(convertInts[F, float32])
	case vec.Float64:
		return convertAll(convertInts[F, float64])
	case vec.Bool:
		return nonZero[F]()
	}
	return nil
}

// nonZero converts a number to BOOLEAN.
func nonZero[F ordered]() Kernel {
	return func(f *Frame) error {
		f.Out.Resize(f.Rows)
		if a := f.Args[0]; !a.Const() {
			cmpConst(cmpNE, vec.Values[F](a.Col), 0, f.Out.Bools())
		} else if f.Rows > 0 {
			f.Out.Bools().Fill(f.Rows, vec.Values[F](a.Col)[0] != 0)
		}
		return nil
	}
}

// floatToInt converts as Java does: NaN is 0, the fraction is cut, what is out of range becomes the nearest end of it.
func floatToInt[F float32 | float64](f F, lo, hi int64) int64 {
	v := float64(f)
	switch {
	case v != v:
		return 0
	case v <= float64(lo):
		return lo
	case v >= float64(hi):
		return hi
	}
	return int64(v)
}

func floatCast[F float32 | float64](to vec.Type) Kernel {
	switch to.Kind {
	case vec.Int8:
		// Java narrows a DOUBLE to int first, then wraps.
		return convertAll(func(dst []int8, src []F) {
			for i := range dst {
				dst[i] = int8(floatToInt(src[i], math.MinInt32, math.MaxInt32))
			}
		})
	case vec.Int16:
		return convertAll(func(dst []int16, src []F) {
			for i := range dst {
				dst[i] = int16(floatToInt(src[i], math.MinInt32, math.MaxInt32))
			}
		})
	case vec.Int32:
		return convertAll(func(dst []int32, src []F) {
			for i := range dst {
				dst[i] = int32(floatToInt(src[i], math.MinInt32, math.MaxInt32))
			}
		})
	case vec.Int64:
		return convertAll(func(dst []int64, src []F) {
			for i := range dst {
				dst[i] = floatToInt(src[i], math.MinInt64, math.MaxInt64)
			}
		})
	case vec.Float32:
		return convertAll(func(dst []float32, src []F) {
			for i := range dst {
				dst[i] = float32(src[i])
			}
		})
	case vec.Float64:
		return convertAll(func(dst []float64, src []F) {
			for i := range dst {
				dst[i] = float64(src[i])
			}
		})
	case vec.Bool:
		return nonZero[F]()
	}
	return nil
}

func boolCast(to vec.Type) Kernel {
	switch to.Kind {
	case vec.Int8:
		return boolTo[int8]()
	case vec.Int16:
		return boolTo[int16]()
	case vec.Int32:
		return boolTo[int32]()
	case vec.Int64:
		return boolTo[int64]()
	case vec.Float32:
		return boolTo[float32]()
	case vec.Float64:
		return boolTo[float64]()
	}
	return nil
}

func boolTo[T number]() Kernel {
	return func(f *Frame) error {
		f.Out.Resize(f.Rows)
		dst, a := vec.Values[T](f.Out), f.Args[0]
		for i := range dst {
			dst[i] = T(bitWord(a.Bool(i)))
		}
		return nil
	}
}

// castTime converts between DATE, TIME and the timestamps.
func castTime(from, to vec.Type, loc *time.Location) Kernel {
	// local reads the argument as local wall-clock ms; timestamps with a zone go by way of it.
	local := func(a Arg, i int) int64 {
		switch from.Kind {
		case vec.Date:
			return int64(At[int32](a, i)) * msPerDay
		case vec.Time:
			return int64(At[int32](a, i))
		case vec.TimestampLTZ:
			return ToLocal(At[int64](a, i), loc)
		default:
			return At[int64](a, i)
		}
	}
	switch to.Kind {
	case vec.Date:
		return FixedRows(func(args []Arg, i int) (int32, bool, error) {
			return int32(floorDiv(local(args[0], i), msPerDay)), true, nil
		})
	case vec.Time:
		return FixedRows(func(args []Arg, i int) (int32, bool, error) {
			ms := local(args[0], i)
			return int32(cutTime(ms-floorDiv(ms, msPerDay)*msPerDay, max(int(to.Precision), int(from.Precision)))), true, nil
		})
	case vec.Timestamp:
		return FixedRows(func(args []Arg, i int) (int64, bool, error) {
			return cutTime(local(args[0], i), int(to.Precision)), true, nil
		})
	case vec.TimestampLTZ:
		return FixedRows(func(args []Arg, i int) (int64, bool, error) {
			if from.Kind == vec.TimestampLTZ {
				return cutTime(At[int64](args[0], i), int(to.Precision)), true, nil
			}
			return cutTime(FromLocal(local(args[0], i), loc), int(to.Precision)), true, nil
		})
	}
	return nil
}

// nestedConverter casts children column by column, then puts them together again.
func nestedConverter(s *Site, from, to vec.Type) (Kernel, error) {
	kids := make([]*Program, len(to.Fields))
	batches := make([]*vec.Batch, len(to.Fields))
	for i := range kids {
		e := &Expr{Op: OpCall, Type: to.Fields[i].Type, Func: s.Call.Func, Args: []*Expr{Column(0, "", from.Fields[i].Type)}}
		if from.Fields[i].Type.Equal(to.Fields[i].Type) {
			e = e.Args[0]
		}
		p, err := Compile([]*Expr{e}, s.Env)
		if err != nil {
			return nil, err
		}
		kids[i] = p
		batches[i] = vec.NewBatchOf(vec.NewSchema(from.Fields[i]), 0, nil)
	}
	return func(f *Frame) error {
		a := f.Args[0]
		cols := make([]*vec.Col, len(kids))
		for k, p := range kids {
			batches[k].SetCol(0, a.Kid(k))
			batches[k].SetRows(a.Kid(k).Len())
			batches[k].SetSel(childRows(f, a, from.Kind))
			out, err := p.Eval(batches[k])
			if err != nil {
				return childError(f, a, from.Kind, err)
			}
			cols[k] = out[0]
		}
		return AppendRows(func(f *Frame, i int) error {
			row := a.Row(i)
			if from.Kind == vec.Row {
				for k := range cols {
					f.Out.Kid(k).AppendFrom(cols[k], row)
				}
				f.Out.EndRow()
				return nil
			}
			lo, hi := a.Range(row)
			for k := range cols {
				for e := lo; e < hi; e++ {
					f.Out.Kid(k).AppendFrom(cols[k], e)
				}
			}
			f.Out.EndList()
			return nil
		})(f)
	}, nil
}

// childRows lists the rows of a nested argument's children that belong to rows of the frame.
func childRows(f *Frame, a Arg, kind vec.Kind) []int {
	rows := []int{}
	for k := range f.count() {
		i := a.Row(f.row(k))
		if kind == vec.Row {
			rows = append(rows, i)
			continue
		}
		lo, hi := a.Range(i)
		for e := lo; e < hi; e++ {
			rows = append(rows, e)
		}
	}
	return rows
}

// childError turns the failure of an element into that of the row that it belongs to.
func childError(f *Frame, a Arg, kind vec.Kind, err error) error {
	var ee *EvalError
	if !errors.As(err, &ee) {
		return err
	}
	for k := range f.count() {
		i := f.row(k)
		lo, hi := a.Row(i), a.Row(i)+1
		if kind != vec.Row {
			lo, hi = a.Range(a.Row(i))
		}
		if ee.Row >= lo && ee.Row < hi {
			return f.Fail(i, ee.Err)
		}
	}
	return ee.Err
}
