package expr

import (
	"strconv"

	"github.com/bramble-stream/bramble/engine/vec"
)

// Fold replaces deterministic calls of constants by their value, and AND, OR and CASE whose outcome is known by it. A constant
// expression that fails is left for run time: it may never be evaluated.
func Fold(e *Expr, env *Env) (*Expr, error) {
	if e.Op != OpCall {
		return e, nil
	}
	f, err := lookup(e.Func)
	if err != nil {
		return nil, err
	}
	if err := f.checkCount(len(e.Args)); err != nil {
		return nil, err
	}
	c := *e
	c.Args = make([]*Expr, len(e.Args))
	allConst, anyNull, changed := true, false, false
	for i, a := range e.Args {
		if c.Args[i], err = Fold(a, env); err != nil {
			return nil, err
		}
		lit := c.Args[i].Op == OpLit
		changed = changed || c.Args[i] != a
		allConst = allConst && lit
		anyNull = anyNull || lit && c.Args[i].Null
	}
	switch {
	case f.Name == "AND" || f.Name == "OR":
		return foldLogic(&c), nil
	case f.Name == "CASE":
		return foldCase(&c), nil
	case f.Flags&(NullCall|lazy) == 0 && anyNull, f.Name == "FIELD" && c.Args[0].Op == OpLit:
		return at(NullOf(e.Type.Nullable()), e), nil
	case allConst && f.Flags&Volatile == 0:
		if v, err := foldCall(&c, env); err == nil {
			return at(v, e), nil
		}
	}
	if !changed {
		// The node stays the same one: a volatile call that is used twice is evaluated once.
		return e, nil
	}
	return &c, nil
}

// at gives a folded expression the place of the one that it stands for.
func at(v, e *Expr) *Expr {
	if v.Line > 0 || e.Line == 0 {
		return v
	}
	c := *v
	c.Line, c.Column = e.Line, e.Column
	return &c
}

// foldCall evaluates a call of constants. Nested results stay calls.
func foldCall(e *Expr, env *Env) (*Expr, error) {
	if e.Type.Kind.IsNested() {
		return e, nil
	}
	c := newCompiler(env)
	n, err := c.compile(e, c.root, 0, 0)
	if err != nil {
		return nil, err
	}
	var ev evaluator
	if err := ev.begin(vec.NewBatchOf(vec.NewSchema(), 1)); err != nil {
		return nil, err
	}
	r, err := ev.eval(n, nil)
	if err != nil {
		return nil, err
	}
	v, ok := literalOf(r.Col, 0, e.Type)
	if !ok {
		return e, nil
	}
	return v, nil
}

// foldLogic drops constants that do not matter from AND and OR.
func foldLogic(e *Expr) *Expr {
	unit := strconv.FormatBool(e.Func == "AND")
	var left []*Expr
	for _, a := range e.Args {
		switch {
		case a.Op != OpLit || a.Null:
			left = append(left, a)
		case a.Lit != unit:
			return at(Lit(vec.TypeBool, a.Lit), e)
		}
	}
	switch {
	case len(left) == 0:
		return at(Lit(vec.TypeBool, unit), e)
	case len(left) == 1:
		return left[0]
	}
	e.Args = left
	return e
}

// foldCase drops branches that never match, and ends at the first that always does.
func foldCase(e *Expr) *Expr {
	var left []*Expr
	for i := 0; i+1 < len(e.Args); i += 2 {
		cond := e.Args[i]
		switch {
		case cond.Op != OpLit:
			left = append(left, cond, e.Args[i+1])
		case !cond.Null && cond.Lit == "true":
			left = append(left, e.Args[i+1])
			if len(left) == 1 {
				return left[0]
			}
			e.Args = left
			return e
		}
	}
	if len(left) == 0 {
		return e.Args[len(e.Args)-1]
	}
	e.Args = append(left, e.Args[len(e.Args)-1])
	return e
}

// Literal returns a constant's value: nil for NULL; bool, int64 (integers, dates, times, intervals), float64, string, []byte, or
// vec.Num for DECIMAL. ok is false when e is not a constant.
func Literal(e *Expr) (value any, ok bool) {
	if e.Op != OpLit {
		return nil, false
	}
	c, err := literalCol(e)
	if err != nil {
		return nil, false
	}
	if c.IsNull(0) {
		return nil, true
	}
	switch c.Kind() {
	case vec.Bool:
		return c.Bools().Get(0), true
	case vec.Int8:
		return int64(vec.Values[int8](c)[0]), true
	case vec.Int16:
		return int64(vec.Values[int16](c)[0]), true
	case vec.Int32, vec.Date, vec.Time, vec.IntervalYM:
		return int64(vec.Values[int32](c)[0]), true
	case vec.Int64, vec.Timestamp, vec.TimestampLTZ, vec.IntervalDT:
		return vec.Values[int64](c)[0], true
	case vec.Float32:
		return float64(vec.Values[float32](c)[0]), true
	case vec.Float64:
		return vec.Values[float64](c)[0], true
	case vec.Decimal:
		return vec.Values[vec.Num](c)[0], true
	case vec.String:
		return string(c.Bytes(0)), true
	case vec.Bytes:
		return append([]byte(nil), c.Bytes(0)...), true
	}
	return nil, false
}
