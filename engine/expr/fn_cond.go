package expr

import (
	"slices"

	"github.com/bramble-stream/bramble/engine/vec"
)

var (
	_ = register(Func{Name: "CASE", Usage: "CASE WHEN condition THEN value … ELSE value END", Min: 2, Max: -1, Flags: lazy | hidden, Bind: bindCase})
	_ = register(Func{Name: "IFNULL", Usage: "IFNULL(value, otherwise)", Min: 2, Max: 2, Rewrite: func(args []*Expr) (*Expr, error) {
		return Call("COALESCE", args...)
	}})
	_ = register(Func{Name: "COALESCE", Usage: "COALESCE(value, …)", Min: 1, Max: -1, Flags: lazy, Bind: bindCoalesce})
	_ = register(Func{Name: "IF", Usage: "IF(condition, value, otherwise)", Min: 3, Max: 3, Rewrite: func(args []*Expr) (*Expr, error) {
		return Call("CASE", args...)
	}})
	_ = register(Func{Name: "NULLIF", Usage: "NULLIF(value, value)", Min: 2, Max: 2, Rewrite: func(args []*Expr) (*Expr, error) {
		same, err := Call("=", args...)
		if err != nil {
			return nil, errArgs
		}
		return Call("CASE", same, NullOf(args[0].Type.Nullable()), args[0])
	}})
	_ = register(Func{Name: "BETWEEN", Flags: hidden, Min: 3, Max: 3, Rewrite: func(args []*Expr) (*Expr, error) {
		lo, err := Call(">=", args[0], args[1])
		if err != nil {
			return nil, errArgs
		}
		hi, err := Call("<=", args[0], args[2])
		if err != nil {
			return nil, errArgs
		}
		return Call("AND", lo, hi)
	}})
	_ = register(Func{Name: "IN", Flags: hidden, Min: 2, Max: -1, Rewrite: rewriteIn, Build: buildIn})
	_ = register(Func{Name: "IS DISTINCT FROM", Flags: NullCall | hidden, Min: 2, Max: 2, Bind: bindDistinct, Build: buildDistinct(true)})
	_ = register(Func{Name: "IS NOT DISTINCT FROM", Flags: NullCall | hidden, Min: 2, Max: 2, Bind: bindDistinct, Build: buildDistinct(false)})
	_ = register(Func{Name: "GREATEST", Usage: "GREATEST(value, …)", Min: 1, Max: -1, Bind: bindSame, Build: buildExtreme(1)})
	_ = register(Func{Name: "LEAST", Usage: "LEAST(value, …)", Min: 1, Max: -1, Bind: bindSame, Build: buildExtreme(-1)})
)

// castAll casts the listed arguments to their common type and returns it.
func castAll(args []*Expr, which []int) (vec.Type, error) {
	types := make([]vec.Type, len(which))
	for k, i := range which {
		types[k] = args[i].Type
	}
	t, err := CommonType(types...)
	if err != nil {
		return t, errArgs
	}
	for _, i := range which {
		if err := coerce(args, i, t); err != nil {
			return t, err
		}
	}
	return t, nil
}

// bindCase takes condition, value, …, and an ELSE; without it, a NULL is added by the caller of Call.
func bindCase(args []*Expr) (vec.Type, error) {
	var values []int
	for i := range args {
		if i%2 == 1 || i == len(args)-1 {
			values = append(values, i)
		} else if err := coerce(args, i, vec.TypeBool); err != nil {
			return vec.Type{}, err
		}
	}
	t, err := castAll(args, values)
	if len(args)%2 == 0 {
		t.NotNull = false
	}
	return t, err
}

// bindCoalesce is NOT NULL when any argument is.
func bindCoalesce(args []*Expr) (vec.Type, error) {
	t, err := bindSame(args)
	t.NotNull = slices.ContainsFunc(args, func(a *Expr) bool { return a.Type.NotNull })
	return t, err
}

// bindSame casts all arguments to one type, which is the result's.
func bindSame(args []*Expr) (vec.Type, error) {
	which := make([]int, len(args))
	for i := range which {
		which[i] = i
	}
	return castAll(args, which)
}

func bindDistinct(args []*Expr) (vec.Type, error) {
	t, err := bindCmp(args)
	t.NotNull = true
	return t, err
}

func buildDistinct(distinct bool) func(*Site) (Kernel, error) {
	return Always(BoolRows(func(args []Arg, i int) (bool, bool, error) {
		same := CompareValues(args[0].Col, args[0].Row(i), args[1].Col, args[1].Row(i)) == 0
		return same != distinct, true, nil
	}))
}

// buildExtreme picks the largest (sign 1) or smallest (-1) argument.
func buildExtreme(sign int) func(*Site) (Kernel, error) {
	general := extremeRows(sign)
	return func(s *Site) (Kernel, error) {
		switch s.Call.Type.Kind {
		case vec.Int32, vec.Date, vec.Time, vec.IntervalYM:
			s.Dense = true
			return extremeInts[int32](sign), nil
		case vec.Int64, vec.Timestamp, vec.TimestampLTZ, vec.IntervalDT:
			s.Dense = true
			return extremeInts[int64](sign), nil
		case vec.Float64:
			return FixedRows(func(args []Arg, i int) (float64, bool, error) {
				best := At[float64](args[0], i)
				for _, a := range args[1:] {
					if v := At[float64](a, i); compareFloats(v, best)*sign > 0 {
						best = v
					}
				}
				return best, true, nil
			}), nil
		}
		return general, nil
	}
}

// extremeInts is the dense form for integers.
func extremeInts[T int32 | int64](sign int) Kernel {
	return func(f *Frame) error {
		f.Out.Resize(f.Rows)
		out := vec.Values[T](f.Out)
		for k, a := range f.Args {
			v := vec.Values[T](a.Col)
			for i := range out {
				x := v[i&a.mask]
				if k == 0 || sign > 0 && x > out[i] || sign < 0 && x < out[i] {
					out[i] = x
				}
			}
		}
		return nil
	}
}

// extremeRows is for values of any type.
func extremeRows(sign int) Kernel {
	return AppendRows(func(f *Frame, i int) error {
		best := f.Args[0]
		for _, a := range f.Args[1:] {
			if CompareValues(a.Col, a.Row(i), best.Col, best.Row(i))*sign > 0 {
				best = a
			}
		}
		f.Out.AppendFrom(best.Col, best.Row(i))
		return nil
	})
}

// rewriteIn makes a set of constants where the list has only those, else a chain of comparisons. NULLs in the list turn FALSE into NULL.
func rewriteIn(args []*Expr) (*Expr, error) {
	x, list := args[0], args[1:]
	values := []*Expr{x}
	var rest []*Expr
	for _, v := range list {
		if v.Op == OpLit && v.Null {
			rest = append(rest, NullOf(vec.TypeBool))
			continue
		}
		if v.Op == OpLit && v.Type.Kind == vec.String && isTimeKind(x.Type.Kind) {
			c, err := Cast(v, x.Type)
			if err != nil {
				return nil, err
			}
			v = c
		}
		if v.Op == OpLit {
			values = append(values, v)
			continue
		}
		eq, err := Call("=", x, v)
		if err != nil {
			return nil, errArgs
		}
		rest = append(rest, eq)
	}
	if len(values) > 2 {
		if _, err := bindSame(values); err != nil {
			return nil, err
		}
		t := vec.TypeBool
		t.NotNull = x.Type.NotNull
		rest = append([]*Expr{{Op: OpCall, Type: t, Func: "IN", Args: values}}, rest...)
	} else if len(values) == 2 {
		eq, err := Call("=", x, values[1])
		if err != nil {
			return nil, errArgs
		}
		rest = append([]*Expr{eq}, rest...)
	}
	if len(rest) == 1 {
		return rest[0], nil
	}
	return Call("OR", rest...)
}

// linearIn is the longest list of integers that is searched one by one: a few comparisons beat a hash.
const linearIn = 8

func buildIn(s *Site) (Kernel, error) {
	consts := make([]*vec.Col, len(s.Call.Args)-1)
	for i := range consts {
		c, err := literalCol(s.Call.Args[i+1])
		if err != nil {
			return nil, err
		}
		consts[i] = c
	}
	switch s.Call.Args[0].Type.Kind {
	case vec.Int8:
		return inInts[int8](consts), nil
	case vec.Int16:
		return inInts[int16](consts), nil
	case vec.Int32, vec.Date, vec.Time, vec.IntervalYM:
		return inInts[int32](consts), nil
	case vec.Int64, vec.Timestamp, vec.TimestampLTZ, vec.IntervalDT:
		return inInts[int64](consts), nil
	case vec.String, vec.Bytes:
		set := make(map[string]struct{}, len(consts))
		for _, c := range consts {
			set[string(c.Bytes(0))] = struct{}{}
		}
		return BoolRows(func(args []Arg, i int) (bool, bool, error) {
			_, ok := set[args[0].Str(i)]
			return ok, true, nil
		}), nil
	}
	return BoolRows(func(args []Arg, i int) (bool, bool, error) {
		for _, c := range consts {
			if CompareValues(args[0].Col, args[0].Row(i), c, 0) == 0 {
				return true, true, nil
			}
		}
		return false, true, nil
	}), nil
}

func inInts[T integer](consts []*vec.Col) Kernel {
	list := make([]T, len(consts))
	set := make(map[T]struct{}, len(consts))
	for i, c := range consts {
		list[i] = vec.Values[T](c)[0]
		set[list[i]] = struct{}{}
	}
	if len(list) > linearIn {
		return BoolRows(func(args []Arg, i int) (bool, bool, error) {
			_, ok := set[At[T](args[0], i)]
			return ok, true, nil
		})
	}
	return BoolRows(func(args []Arg, i int) (bool, bool, error) {
		return slices.Contains(list, At[T](args[0], i)), true, nil
	})
}
