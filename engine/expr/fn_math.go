package expr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/bramble-stream/bramble/engine/vec"
)

// double registers a function from DOUBLE to DOUBLE.
func double(name string, fn func(float64) float64) struct{} {
	return register(Func{
		Name: name, Usage: name + "(number)", Min: 1, Max: 1, Bind: Types(vec.TypeFloat64, vec.TypeFloat64),
		Build: Always(FixedRows(func(args []Arg, i int) (float64, bool, error) { return fn(At[float64](args[0], i)), true, nil })),
	})
}

var (
	_ = double("SQRT", math.Sqrt)
	_ = double("EXP", math.Exp)
	_ = double("LN", math.Log)
	_ = double("LOG10", math.Log10)
	_ = double("LOG2", func(x float64) float64 { return math.Log(x) / math.Ln2 })
	_ = double("SIN", math.Sin)
	_ = double("COS", math.Cos)
	_ = double("TAN", math.Tan)
	_ = double("ASIN", math.Asin)
	_ = double("ACOS", math.Acos)
	_ = double("ATAN", math.Atan)
	_ = double("SINH", math.Sinh)
	_ = double("COSH", math.Cosh)
	_ = double("TANH", math.Tanh)
	_ = double("COT", func(x float64) float64 { return 1 / math.Tan(x) })
	_ = double("DEGREES", func(x float64) float64 { return x * (180 / math.Pi) })
	_ = double("RADIANS", func(x float64) float64 { return x / 180 * math.Pi })

	_ = register(Func{
		Name: "POWER", Usage: "POWER(base, exponent)", Min: 2, Max: 2, Bind: Types(vec.TypeFloat64, vec.TypeFloat64),
		Build: Always(FixedRows(func(args []Arg, i int) (float64, bool, error) {
			return math.Pow(At[float64](args[0], i), At[float64](args[1], i)), true, nil
		})),
	})
	_ = register(Func{
		Name: "ATAN2", Usage: "ATAN2(y, x)", Min: 2, Max: 2, Bind: Types(vec.TypeFloat64, vec.TypeFloat64),
		Build: Always(FixedRows(func(args []Arg, i int) (float64, bool, error) {
			return math.Atan2(At[float64](args[0], i), At[float64](args[1], i)), true, nil
		})),
	})
	// LOG(x) is LN(x); LOG(base, x) has the base first.
	_ = register(Func{
		Name: "LOG", Usage: "LOG([base, ]number)", Min: 1, Max: 2, Bind: Types(vec.TypeFloat64, vec.TypeFloat64),
		Build: Always(FixedRows(func(args []Arg, i int) (float64, bool, error) {
			if len(args) == 1 {
				return math.Log(At[float64](args[0], i)), true, nil
			}
			return math.Log(At[float64](args[1], i)) / math.Log(At[float64](args[0], i)), true, nil
		})),
	})
	_ = constant("PI", math.Pi)
	_ = constant("E", math.E)

	_ = register(Func{Name: "ABS", Usage: "ABS(number)", Min: 1, Max: 1, Bind: bindNumber, Build: buildAbs})
	_ = register(Func{Name: "SIGN", Usage: "SIGN(number)", Min: 1, Max: 1, Bind: bindNumber, Build: buildSign})
	_ = register(Func{Name: "FLOOR", Usage: "FLOOR(number)", Min: 1, Max: 2, Rewrite: toUnit("FLOOR"), Bind: bindWhole, Build: buildWhole(math.Floor, -1)})
	_ = register(Func{Name: "CEIL", Aliases: []string{"CEILING"}, Usage: "CEIL(number)", Min: 1, Max: 2, Rewrite: toUnit("CEIL"), Bind: bindWhole, Build: buildWhole(math.Ceil, 1)})
	_ = register(Func{Name: "ROUND", Usage: "ROUND(number[, places])", Min: 1, Max: 2, Bind: bindRound, Build: buildRound(true)})
	_ = register(Func{Name: "TRUNCATE", Usage: "TRUNCATE(number[, places])", Min: 1, Max: 2, Bind: bindTruncate, Build: buildRound(false)})

	_ = register(Func{
		Name: "RAND", Usage: "RAND()", Flags: Volatile, Min: 0, Max: 0,
		Bind: func([]*Expr) (vec.Type, error) { return vec.TypeFloat64, nil }, Build: buildRand,
	})
	_ = register(Func{Name: "RAND_INTEGER", Usage: "RAND_INTEGER(bound)", Flags: Volatile, Min: 1, Max: 1, Bind: Types(vec.TypeInt32, vec.TypeInt32), Build: buildRandInteger})
	_ = register(Func{Name: "TYPEOF", Usage: "TYPEOF(value)", Min: 1, Max: 1, Rewrite: func(args []*Expr) (*Expr, error) {
		return Lit(vec.TypeString, args[0].Type.String()), nil
	}})
)

// constant registers a function without arguments.
func constant(name string, v float64) struct{} {
	return register(Func{Name: name, Usage: name + "()", Rewrite: func([]*Expr) (*Expr, error) {
		return Lit(vec.TypeFloat64, strconv.FormatFloat(v, 'g', -1, 64)), nil
	}})
}

// toUnit hands FLOOR(time TO unit), which arrives as two arguments, to the function for times.
func toUnit(name string) func([]*Expr) (*Expr, error) {
	return func(args []*Expr) (*Expr, error) {
		if len(args) == 2 {
			return Call(name+" TO", args...)
		}
		return nil, nil
	}
}

// bindNumber takes any number and gives its type.
func bindNumber(args []*Expr) (vec.Type, error) {
	t := args[0].Type
	if t.Kind == vec.Null {
		t = vec.TypeInt32
		return t, coerce(args, 0, t)
	}
	if !t.Kind.IsNumeric() {
		return t, errArgs
	}
	return t.Nullable(), nil
}

func buildAbs(s *Site) (Kernel, error) {
	s.Dense = true
	switch s.Call.Type.Kind {
	case vec.Int8:
		return convertAll(absInts[int8]), nil
	case vec.Int16:
		return convertAll(absInts[int16]), nil
	case vec.Int32:
		return convertAll(absInts[int32]), nil
	case vec.Int64:
		return convertAll(absInts[int64]), nil
	case vec.Float32:
		return convertAll(func(dst, src []float32) {
			for i := range dst {
				dst[i] = float32(math.Abs(float64(src[i])))
			}
		}), nil
	case vec.Float64:
		return convertAll(func(dst, src []float64) {
			for i := range dst {
				dst[i] = math.Abs(src[i])
			}
		}), nil
	}
	return convertAll(func(dst, src []vec.Num) {
		for i := range dst {
			_, m := magnitude(src[i])
			dst[i] = signed(false, m)
		}
	}), nil
}

// absInts keeps the smallest value as it is: it has no opposite.
func absInts[T integer](dst, src []T) {
	for i := range dst {
		v := src[i]
		if v < 0 {
			v = -v
		}
		dst[i] = v
	}
}

func buildSign(s *Site) (Kernel, error) {
	s.Dense = true
	t := s.Call.Type
	switch t.Kind {
	case vec.Int8:
		return convertAll(signs[int8]), nil
	case vec.Int16:
		return convertAll(signs[int16]), nil
	case vec.Int32:
		return convertAll(signs[int32]), nil
	case vec.Int64:
		return convertAll(signs[int64]), nil
	case vec.Float32:
		return convertAll(signs[float32]), nil
	case vec.Float64:
		return convertAll(signs[float64]), nil
	}
	one, _ := intToDecimal(1, int(t.Precision), int(t.Scale))
	return convertAll(func(dst, src []vec.Num) {
		for i := range dst {
			switch src[i].Sign() {
			case 1:
				dst[i] = one
			case -1:
				dst[i] = one.Negate()
			default:
				dst[i] = vec.Num{}
			}
		}
	}), nil
}

// signs gives 1, -1, or the value itself: 0 and NaN.
func signs[T number](dst, src []T) {
	for i := range dst {
		switch v := src[i]; {
		case v > 0:
			dst[i] = 1
		case v < 0:
			minus := T(1)
			dst[i] = -minus
		default:
			dst[i] = v
		}
	}
}

// bindWhole types FLOOR and CEIL: a DECIMAL loses its scale.
func bindWhole(args []*Expr) (vec.Type, error) {
	t, err := bindNumber(args)
	if t.Kind == vec.Decimal {
		t = vec.DecimalOf(t.Precision, 0)
	}
	return t, err
}

// buildWhole rounds to a whole number; away is the sign of numbers that move away from zero.
func buildWhole(fn func(float64) float64, away int) func(*Site) (Kernel, error) {
	return func(s *Site) (Kernel, error) {
		s.Dense = true
		switch from := s.Call.Args[0].Type; from.Kind {
		case vec.Float32:
			return convertAll(func(dst, src []float32) {
				for i := range dst {
					dst[i] = float32(fn(float64(src[i])))
				}
			}), nil
		case vec.Float64:
			return convertAll(func(dst, src []float64) {
				for i := range dst {
					dst[i] = fn(src[i])
				}
			}), nil
		case vec.Decimal:
			scale := int(from.Scale)
			return convertAll(func(dst, src []vec.Num) {
				for i := range dst {
					neg, m := magnitude(src[i])
					q := m.divPow10(scale, false)
					if back, _ := q.mulPow10(scale); back != m && neg == (away < 0) {
						q = q.inc()
					}
					dst[i] = signed(neg, q)
				}
			}), nil
		default:
			return intCastSame(from.Kind), nil
		}
	}
}

// intCastSame copies integers.
func intCastSame(k vec.Kind) Kernel {
	switch k {
	case vec.Int8:
		return convertAll(convertInts[int8, int8])
	case vec.Int16:
		return convertAll(convertInts[int16, int16])
	case vec.Int32:
		return convertAll(convertInts[int32, int32])
	default:
		return convertAll(convertInts[int64, int64])
	}
}

// bindTruncate takes a number and an INT.
func bindTruncate(args []*Expr) (vec.Type, error) {
	t, err := bindNumber(args)
	if err == nil && len(args) == 2 {
		err = coerce(args, 1, vec.TypeInt32)
	}
	return t, err
}

// bindRound derives DECIMAL's type from the places where they are constant, as Flink does.
func bindRound(args []*Expr) (vec.Type, error) {
	t, err := bindTruncate(args)
	if err != nil || t.Kind != vec.Decimal {
		return t, err
	}
	places := 0
	if len(args) == 2 {
		v, ok := Literal(args[1])
		n, isInt := v.(int64)
		if !ok || !isInt {
			return t, nil
		}
		places = int(n)
	}
	p, s := int(t.Precision), int(t.Scale)
	switch {
	case places >= s:
		return t, nil
	case places < 0:
		return vec.DecimalOf(uint8(min(maxPrecision, 1+p-s)), 0), nil
	default:
		return vec.DecimalOf(uint8(min(maxPrecision, 1+p-s+places)), uint8(places)), nil
	}
}

// buildRound rounds half up, or towards zero.
func buildRound(half bool) func(*Site) (Kernel, error) {
	return func(s *Site) (Kernel, error) {
		places := func(args []Arg, i int) int {
			if len(args) == 1 {
				return 0
			}
			return int(At[int32](args[1], i))
		}
		switch from, to := s.Call.Args[0].Type, s.Call.Type; from.Kind {
		case vec.Int8:
			return roundInts[int8](places, half), nil
		case vec.Int16:
			return roundInts[int16](places, half), nil
		case vec.Int32:
			return roundInts[int32](places, half), nil
		case vec.Int64:
			return roundInts[int64](places, half), nil
		case vec.Float32:
			return FixedRows(func(args []Arg, i int) (float32, bool, error) {
				return float32(roundFloat(float64(At[float32](args[0], i)), 32, places(args, i), half)), true, nil
			}), nil
		case vec.Float64:
			return FixedRows(func(args []Arg, i int) (float64, bool, error) {
				return roundFloat(At[float64](args[0], i), 64, places(args, i), half), true, nil
			}), nil
		default:
			return FixedRows(func(args []Arg, i int) (vec.Num, bool, error) {
				v, ok := roundDecimal(At[vec.Num](args[0], i), int(from.Scale), places(args, i), half, to)
				return v, ok, nil
			}), nil
		}
	}
}

func roundInts[T integer](places func([]Arg, int) int, half bool) Kernel {
	return FixedRows(func(args []Arg, i int) (T, bool, error) {
		v, n := int64(At[T](args[0], i)), places(args, i)
		if n >= 0 {
			return T(v), true, nil
		}
		if n < -18 {
			return 0, true, nil
		}
		unit := int64(pow10U64[-n])
		rem := v % unit
		r := v - rem
		if half && rem >= unit-rem && v > 0 {
			r += unit
		} else if half && -rem >= unit+rem && v < 0 {
			r -= unit
		}
		return T(r), true, nil
	})
}

// roundDecimal rounds at places after the point and brings the result to type to.
func roundDecimal(n vec.Num, scale, places int, half bool, to vec.Type) (vec.Num, bool) {
	if places < scale {
		neg, m := magnitude(n)
		cut := scale - max(places, -maxPrecision)
		if cut > 2*maxPrecision {
			return vec.Num{}, true
		}
		m = m.divPow10(cut, half)
		back, ok := m.mulPow10(cut)
		if !ok {
			return vec.Num{}, false
		}
		n = signed(neg, back)
	}
	return rescale(n, scale, int(to.Scale), int(to.Precision))
}

// roundFloat rounds the shortest decimal text of f, as Java's BigDecimal.valueOf(f).setScale does.
func roundFloat(f float64, bits, places int, half bool) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) || f == 0 {
		return f
	}
	if places < 0 {
		unit := math.Pow(10, float64(min(-places, 400)))
		if math.IsInf(unit, 0) {
			return 0
		}
		if half {
			return math.Round(f/unit) * unit
		}
		return math.Trunc(f/unit) * unit
	}
	const enough = 20
	if places > enough || math.Abs(f) >= 1e15 {
		return f
	}
	n, ok := floatToDecimal(f, bits, maxPrecision, enough)
	if !ok {
		return f
	}
	neg, m := magnitude(n)
	return decimalToFloat(signed(neg, m.divPow10(enough-places, half)), places)
}

var errNoRand = errors.New("no source of randomness in this place")

// randomWords returns a reader of random 64-bit words that asks r for many at a time.
func randomWords(s *Site) (func() (uint64, error), error) {
	if s.Env.Rand == nil {
		return nil, fmt.Errorf("%s: %w", s.Call.Func, errNoRand)
	}
	buf, at, r := make([]byte, 512), 512, s.Env.Rand
	return func() (uint64, error) {
		if at == len(buf) {
			if _, err := io.ReadFull(r, buf); err != nil {
				return 0, err
			}
			at = 0
		}
		at += 8
		return binary.LittleEndian.Uint64(buf[at-8:]), nil
	}, nil
}

func buildRand(s *Site) (Kernel, error) {
	next, err := randomWords(s)
	if err != nil {
		return nil, err
	}
	return FixedRows(func([]Arg, int) (float64, bool, error) {
		w, err := next()
		return float64(w>>11) / (1 << 53), true, err
	}), nil
}

func buildRandInteger(s *Site) (Kernel, error) {
	next, err := randomWords(s)
	if err != nil {
		return nil, err
	}
	return FixedRows(func(args []Arg, i int) (int32, bool, error) {
		bound := At[int32](args[0], i)
		if bound <= 0 {
			return 0, false, errors.New("the bound must be positive")
		}
		w, err := next()
		return int32(w >> 1 % uint64(bound)), true, err
	}), nil
}
