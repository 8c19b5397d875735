package expr

import (
	"math"

	"github.com/bramble-stream/bramble/engine/vec"
)

// bindArith types + - * / %: numbers become the least restrictive type, DECIMALs derive theirs, and times take intervals.
func bindArith(op string) func([]*Expr) (vec.Type, error) {
	return func(args []*Expr) (vec.Type, error) {
		a, b := args[0].Type, args[1].Type
		if a.Kind == vec.Null && b.Kind == vec.Null {
			a, b = vec.TypeInt32, vec.TypeInt32
		}
		if a.Kind == vec.Null {
			a = b
		}
		if b.Kind == vec.Null {
			b = a
			if isTimeKind(a.Kind) {
				b = vec.TypeIntervalDT
			}
		}
		if !a.Kind.IsNumeric() || !b.Kind.IsNumeric() {
			return bindTimeArith(op, args, a, b)
		}
		t := commonNumeric(a, b)
		if t.Kind != vec.Decimal {
			args[0], args[1] = mustCast(args[0], t), mustCast(args[1], t)
			if op == "%" && t.Kind.IsInteger() {
				// MOD has the type of the divisor; its result always fits.
				return b.Nullable(), nil
			}
			return t, nil
		}
		for i, u := range []vec.Type{a, b} {
			p, s := decimalLimits(u)
			args[i] = mustCast(args[i], vec.DecimalOf(uint8(p), uint8(s)))
		}
		return decimalResult(op, a, b), nil
	}
}

// mustCast is Cast for pairs of types that castable has.
func mustCast(e *Expr, t vec.Type) *Expr {
	c, err := Cast(e, t)
	if err != nil {
		return e
	}
	return c
}

// bindTimeArith types arithmetic with times and intervals: time ± interval, interval ± interval, interval * and / integer.
func bindTimeArith(op string, args []*Expr, a, b vec.Type) (vec.Type, error) {
	isInterval := func(k vec.Kind) bool { return k == vec.IntervalYM || k == vec.IntervalDT }
	switch {
	case op == "+" && isInterval(a.Kind) && isTimeKind(b.Kind):
		args[0], args[1] = args[1], args[0]
		return bindTimeArith(op, args, b, a)
	case (op == "+" || op == "-") && isTimeKind(a.Kind) && isInterval(b.Kind):
		args[0], args[1] = mustCast(args[0], a), mustCast(args[1], b)
		if a.Kind == vec.Time && b.Kind == vec.IntervalYM {
			return vec.Type{}, errArgs
		}
		return a.Nullable(), nil
	case (op == "+" || op == "-") && isInterval(a.Kind) && a.Kind == b.Kind:
		args[0], args[1] = mustCast(args[0], a), mustCast(args[1], b)
		return a.Nullable(), nil
	case op == "*" && a.Kind.IsInteger() && isInterval(b.Kind):
		args[0], args[1] = args[1], args[0]
		return bindTimeArith(op, args, b, a)
	case (op == "*" || op == "/") && isInterval(a.Kind) && b.Kind.IsInteger():
		args[1] = mustCast(args[1], vec.TypeInt64)
		return a.Nullable(), nil
	case op == "-" && isTimeKind(a.Kind) && isTimeKind(b.Kind):
		return vec.Type{}, errHint("use TIMESTAMPDIFF")
	case (op == "+" || op == "-") && isTimeKind(a.Kind):
		return vec.Type{}, errHint("add or subtract an INTERVAL")
	case op == "+" && a.Kind == vec.String && b.Kind == vec.String:
		return vec.Type{}, errHint("use || to join strings")
	}
	return vec.Type{}, errArgs
}

var (
	_ = register(Func{Name: "+", Min: 2, Max: 2, Bind: bindArith("+"), Build: buildArith("+")})
	_ = register(Func{Name: "-", Min: 2, Max: 2, Bind: bindArith("-"), Build: buildArith("-")})
	_ = register(Func{Name: "*", Min: 2, Max: 2, Bind: bindArith("*"), Build: buildArith("*")})
	_ = register(Func{Name: "/", Min: 2, Max: 2, Bind: bindArith("/"), Build: buildArith("/")})
	_ = register(Func{Name: "%", Aliases: []string{"MOD"}, Usage: "MOD(dividend, divisor)", Min: 2, Max: 2, Bind: bindArith("%"), Build: buildArith("%")})
	_ = register(Func{Name: "NEG", Flags: hidden, Min: 1, Max: 1, Bind: bindNeg, Build: buildNeg})
)

func buildArith(op string) func(*Site) (Kernel, error) {
	return func(s *Site) (Kernel, error) {
		t, a, b := s.Call.Type, s.Call.Args[0].Type, s.Call.Args[1].Type
		if isTimeKind(a.Kind) {
			return buildTimeArith(s, op, a, b), nil
		}
		if a.Kind == vec.Decimal {
			return buildDecimal(op, a, b, t), nil
		}
		if a.Kind == vec.IntervalYM && b.Kind == vec.Int64 {
			return intervalScale[int32](s, op), nil
		}
		switch a.Kind {
		case vec.Int8:
			return intArith[int8](s, op, t), nil
		case vec.Int16:
			return intArith[int16](s, op, t), nil
		case vec.Int32, vec.IntervalYM:
			return intArith[int32](s, op, t), nil
		case vec.Int64, vec.IntervalDT:
			return intArith[int64](s, op, t), nil
		case vec.Float32:
			s.Dense = true
			return floatArith[float32](op), nil
		default:
			s.Dense = true
			return floatArith[float64](op), nil
		}
	}
}

// binaryKernel applies loops for two columns, a column and a constant, and a constant and a column.
func binaryKernel[T number](vv func(dst, a, b []T), vc func(dst, a []T, b T), cv func(dst []T, a T, b []T)) Kernel {
	return func(f *Frame) error {
		f.Out.Resize(f.Rows)
		dst, a, b := vec.Values[T](f.Out), f.Args[0], f.Args[1]
		if f.Rows == 0 {
			return nil
		}
		switch {
		case a.Const() && b.Const():
			cv(dst[:1], vec.Values[T](a.Col)[0], vec.Values[T](b.Col))
			for i := range dst {
				dst[i] = dst[0]
			}
		case a.Const():
			cv(dst, vec.Values[T](a.Col)[0], vec.Values[T](b.Col)[:len(dst)])
		case b.Const():
			vc(dst, vec.Values[T](a.Col)[:len(dst)], vec.Values[T](b.Col)[0])
		default:
			vv(dst, vec.Values[T](a.Col)[:len(dst)], vec.Values[T](b.Col)[:len(dst)])
		}
		return nil
	}
}

func addKernel[T number]() Kernel {
	return binaryKernel(
		func(dst, a, b []T) {
			for i := range dst {
				dst[i] = a[i] + b[i]
			}
		},
		func(dst, a []T, b T) {
			for i := range dst {
				dst[i] = a[i] + b
			}
		},
		func(dst []T, a T, b []T) {
			for i := range dst {
				dst[i] = a + b[i]
			}
		})
}

func subKernel[T number]() Kernel {
	return binaryKernel(
		func(dst, a, b []T) {
			for i := range dst {
				dst[i] = a[i] - b[i]
			}
		},
		func(dst, a []T, b T) {
			for i := range dst {
				dst[i] = a[i] - b
			}
		},
		func(dst []T, a T, b []T) {
			for i := range dst {
				dst[i] = a - b[i]
			}
		})
}

func mulKernel[T number]() Kernel {
	return binaryKernel(
		func(dst, a, b []T) {
			for i := range dst {
				dst[i] = a[i] * b[i]
			}
		},
		func(dst, a []T, b T) {
			for i := range dst {
				dst[i] = a[i] * b
			}
		},
		func(dst []T, a T, b []T) {
			for i := range dst {
				dst[i] = a * b[i]
			}
		})
}

// intArith wraps on overflow; a division by zero fails its row.
func intArith[T integer](s *Site, op string, t vec.Type) Kernel {
	s.Dense = true
	switch op {
	case "+":
		return addKernel[T]()
	case "-":
		return subKernel[T]()
	case "*":
		return mulKernel[T]()
	}
	if c := s.Const(1); c != nil && !c.IsNull(0) && s.Call.Args[1].Type.Kind == t.Kind {
		if by := vec.Values[T](c)[0]; by != 0 {
			return divConst(op, by)
		}
	}
	s.Dense = false
	if op == "/" {
		return divKernel[T]
	}
	switch t.Kind {
	case vec.Int8:
		return modKernel[T, int8]()
	case vec.Int16:
		return modKernel[T, int16]()
	case vec.Int32:
		return modKernel[T, int32]()
	default:
		return modKernel[T, int64]()
	}
}

// divKernel divides the rows that are wanted.
func divKernel[T integer](f *Frame) error {
	f.Out.Resize(f.Rows)
	a, b, out := f.Args[0], f.Args[1], vec.Values[T](f.Out)
	x, y := vec.Values[T](a.Col), vec.Values[T](b.Col)
	for k := range f.count() {
		i := f.row(k)
		by := y[i&b.mask]
		if by == 0 {
			return f.Fail(i, errDivZero)
		}
		out[i] = x[i&a.mask] / by
	}
	return nil
}

func modKernel[T, R integer]() Kernel {
	return func(f *Frame) error {
		f.Out.Resize(f.Rows)
		a, b, out := f.Args[0], f.Args[1], vec.Values[R](f.Out)
		x, y := vec.Values[T](a.Col), vec.Values[T](b.Col)
		for k := range f.count() {
			i := f.row(k)
			by := y[i&b.mask]
			if by == 0 {
				return f.Fail(i, errDivZero)
			}
			out[i] = R(x[i&a.mask] % by)
		}
		return nil
	}
}

// divConst is dense / or % by a constant that is not zero.
func divConst[T integer](op string, by T) Kernel {
	return convertAll(func(dst, src []T) {
		if op == "/" {
			for i := range dst {
				dst[i] = src[i] / by
			}
			return
		}
		for i := range dst {
			dst[i] = src[i] % by
		}
	})
}

func floatArith[T float32 | float64](op string) Kernel {
	switch op {
	case "+":
		return addKernel[T]()
	case "-":
		return subKernel[T]()
	case "*":
		return mulKernel[T]()
	case "/":
		return binaryKernel(
			func(dst, a, b []T) {
				for i := range dst {
					dst[i] = a[i] / b[i]
				}
			},
			func(dst, a []T, b T) {
				for i := range dst {
					dst[i] = a[i] / b
				}
			},
			func(dst []T, a T, b []T) {
				for i := range dst {
					dst[i] = a / b[i]
				}
			})
	}
	mod := func(a, b T) T { return T(math.Mod(float64(a), float64(b))) }
	return binaryKernel(
		func(dst, a, b []T) {
			for i := range dst {
				dst[i] = mod(a[i], b[i])
			}
		},
		func(dst, a []T, b T) {
			for i := range dst {
				dst[i] = mod(a[i], b)
			}
		},
		func(dst []T, a T, b []T) {
			for i := range dst {
				dst[i] = mod(a, b[i])
			}
		})
}

// buildDecimal gives NULL on overflow, as Flink does.
func buildDecimal(op string, a, b, t vec.Type) Kernel {
	d := newDecimalOp(a, b, t)
	row := func(fn func(x, y vec.Num) (vec.Num, bool), checkZero bool) Kernel {
		return FixedRows(func(args []Arg, i int) (vec.Num, bool, error) {
			y := At[vec.Num](args[1], i)
			if checkZero && y == (vec.Num{}) {
				return y, false, errDivZero
			}
			v, ok := fn(At[vec.Num](args[0], i), y)
			return v, ok, nil
		})
	}
	switch op {
	case "+":
		return row(d.add, false)
	case "-":
		return row(func(x, y vec.Num) (vec.Num, bool) { return d.add(x, y.Negate()) }, false)
	case "*":
		return row(d.mul, false)
	case "/":
		return row(d.div, true)
	default:
		return row(d.mod, true)
	}
}

// intervalScale multiplies or divides months, which are INT, by a BIGINT.
func intervalScale[T integer](s *Site, op string) Kernel {
	if op == "*" {
		return FixedRows(func(args []Arg, i int) (T, bool, error) {
			return T(int64(At[T](args[0], i)) * At[int64](args[1], i)), true, nil
		})
	}
	return FixedRows(func(args []Arg, i int) (T, bool, error) {
		by := At[int64](args[1], i)
		if by == 0 {
			return 0, false, errDivZero
		}
		return T(int64(At[T](args[0], i)) / by), true, nil
	})
}

// buildTimeArith adds an interval to a date, a time of day or a timestamp.
func buildTimeArith(s *Site, op string, a, b vec.Type) Kernel {
	sign := int64(1)
	if op == "-" {
		sign = -1
	}
	loc := s.Env.Location
	switch {
	case a.Kind.IsTimestamp() && b.Kind == vec.IntervalDT:
		s.Dense = true
		if op == "+" {
			return addKernel[int64]()
		}
		return subKernel[int64]()
	case a.Kind == vec.TimestampLTZ:
		return FixedRows(func(args []Arg, i int) (int64, bool, error) {
			return FromLocal(AddMonths(ToLocal(At[int64](args[0], i), loc), sign*int64(At[int32](args[1], i))), loc), true, nil
		})
	case a.Kind == vec.Timestamp:
		return FixedRows(func(args []Arg, i int) (int64, bool, error) {
			return AddMonths(At[int64](args[0], i), sign*int64(At[int32](args[1], i))), true, nil
		})
	case a.Kind == vec.Date && b.Kind == vec.IntervalYM:
		return FixedRows(func(args []Arg, i int) (int32, bool, error) {
			ms := AddMonths(int64(At[int32](args[0], i))*msPerDay, sign*int64(At[int32](args[1], i)))
			return int32(floorDiv(ms, msPerDay)), true, nil
		})
	case a.Kind == vec.Date:
		return FixedRows(func(args []Arg, i int) (int32, bool, error) {
			return At[int32](args[0], i) + int32(sign*At[int64](args[1], i)/msPerDay), true, nil
		})
	default: // TIME wraps at midnight.
		return FixedRows(func(args []Arg, i int) (int32, bool, error) {
			ms := int64(At[int32](args[0], i)) + sign*At[int64](args[1], i)
			return int32(ms - floorDiv(ms, msPerDay)*msPerDay), true, nil
		})
	}
}

// AddMonths adds months to a local time in ms; a day that the month does not have becomes its last.
func AddMonths(ms, months int64) int64 {
	days := floorDiv(ms, msPerDay)
	y, m, d := civil(days)
	total := y*12 + m - 1 + months
	y = floorDiv(total, 12)
	m = total - y*12 + 1
	return daysOf(y, m, min(d, daysIn(y, m)))*msPerDay + ms - days*msPerDay
}

func bindNeg(args []*Expr) (vec.Type, error) {
	t := args[0].Type
	switch {
	case t.Kind == vec.Null:
		return vec.TypeInt32, coerce(args, 0, vec.TypeInt32)
	case t.Kind.IsNumeric(), t.Kind == vec.IntervalYM, t.Kind == vec.IntervalDT:
		return t.Nullable(), nil
	}
	return t, errArgs
}

func buildNeg(s *Site) (Kernel, error) {
	s.Dense = true
	switch s.Call.Type.Kind {
	case vec.Int8:
		return convertAll(negate[int8]), nil
	case vec.Int16:
		return convertAll(negate[int16]), nil
	case vec.Int32, vec.IntervalYM:
		return convertAll(negate[int32]), nil
	case vec.Int64, vec.IntervalDT:
		return convertAll(negate[int64]), nil
	case vec.Float32:
		return convertAll(negate[float32]), nil
	case vec.Float64:
		return convertAll(negate[float64]), nil
	}
	return convertAll(func(dst, src []vec.Num) {
		for i := range dst {
			dst[i] = src[i].Negate()
		}
	}), nil
}

func negate[T number](dst, src []T) {
	for i := range dst {
		dst[i] = -src[i]
	}
}
