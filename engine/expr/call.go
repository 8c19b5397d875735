package expr

import (
	"errors"
	"strings"

	"github.com/bramble-stream/bramble/engine/vec"
)

// Call applies the function with the upper-case SQL name or operator symbol to args: it checks their number and types, inserts implicit
// casts, and sets the result's type and nullability. Some functions are rewritten into others (BETWEEN into comparisons). args are
// not modified. Errors are *UnknownFunctionError, *ArgCountError, *TypeError, or say plainly what is wrong.
func Call(name string, args ...*Expr) (*Expr, error) {
	f := registry[name]
	if f == nil {
		f = registry[strings.ToUpper(name)]
	}
	if f == nil {
		return nil, &UnknownFunctionError{Name: name, Nearest: nearest(strings.ToUpper(name), Functions())}
	}
	if err := f.checkCount(len(args)); err != nil {
		return nil, err
	}
	args = append([]*Expr(nil), args...)
	types := make([]vec.Type, len(args))
	for i, a := range args {
		types[i] = a.Type
	}
	if f.Rewrite != nil {
		e, err := f.Rewrite(args)
		if errors.Is(err, errArgs) {
			err = &TypeError{Func: f.Name, Types: types, Usage: f.Usage}
		}
		if e != nil || err != nil {
			return e, err
		}
	}
	t, err := f.Bind(args)
	if errors.Is(err, errArgs) {
		te := &TypeError{Func: f.Name, Types: types, Usage: f.Usage}
		var hint errHint
		if errors.As(err, &hint) {
			te.Hint = string(hint)
		}
		return nil, te
	}
	if err != nil {
		return nil, err
	}
	if f.Flags&NullCall == 0 && f.Flags&lazy == 0 {
		t.NotNull = f.Flags&MayNull == 0
		for _, a := range args {
			t.NotNull = t.NotNull && a.Type.NotNull
		}
	}
	return &Expr{Op: OpCall, Type: t, Func: f.Name, Args: args}, nil
}

// checkCount says whether the function takes n arguments.
func (f *Func) checkCount(n int) error {
	if n < f.Min || f.Max >= 0 && n > f.Max {
		return &ArgCountError{Func: f.Name, Got: n, Min: f.Min, Max: f.Max, Usage: f.Usage}
	}
	return nil
}

// IsDeterministic reports whether e gives the same value for the same input row, always.
func IsDeterministic(e *Expr) bool {
	ok := true
	e.Walk(func(x *Expr) {
		if x.Op == OpCall {
			f := registry[x.Func]
			ok = ok && f != nil && f.Flags&Volatile == 0
		}
	})
	return ok
}
