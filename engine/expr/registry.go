package expr

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bramble-stream/bramble/engine/vec"
)

// Flags say how a function behaves, so that the compiler may evaluate it dense, share it, or fold it.
type Flags uint16

const (
	// Volatile functions give different values for equal arguments (RAND, UUID, NOW): never folded, never shared.
	Volatile Flags = 1 << iota
	// NullCall functions see rows with NULL arguments. Without it a function is strict: a NULL argument gives NULL, the row is not
	// among those that the kernel is asked for, and the engine writes the validity.
	NullCall
	// MayNull functions may return NULL for arguments that are not (the kernel calls Frame.Out.SetNull).
	MayNull
	// lazy functions are compiled to nodes of their own: they evaluate arguments for a part of the rows only.
	lazy
	// hidden functions are not listed by Functions: operators with symbols or inner helpers.
	hidden
)

// Func is a function in the registry. To add one, call register from a file-level `var _ = register(Func{…})`.
//
// Bind and Build are the two halves: Bind runs in the planner, on types; Build runs once for each compiled call site and
// returns the kernel, which then runs once a batch. Examples of each style are in fn_math.go (dense and fixed-width), fn_like.go (BOOLEAN), cast.go (STRING) and fn_nested.go (nested).
type Func struct {
	// Name is the upper-case SQL name, or the operator's symbol.
	Name string
	// Aliases are other names for the same function.
	Aliases []string
	// Usage is shown when the call does not fit: "SUBSTRING(string, start[, length])".
	Usage string
	// Min and Max bound the number of arguments; Max < 0 means any number.
	Min, Max int
	Flags    Flags
	// Bind checks the types of args, replaces elements of args by casts where needed (see coerce), and returns the result type.
	// For strict functions the engine sets NotNull of the result by itself (from the arguments and MayNull). An error that is errArgs is
	// reported as "cannot apply 'F' to arguments of type (…)".
	Bind func(args []*Expr) (vec.Type, error)
	// Rewrite, when set, replaces the call by another expression after the arguments have been counted. When it returns nil without
	// an error, Bind goes on.
	Rewrite func(args []*Expr) (*Expr, error)
	// Build makes the kernel of a call site: compile patterns of constant arguments here.
	Build func(s *Site) (Kernel, error)
}

// Kernel computes a function for one batch: it fills f.Out, which is empty, with f.Rows rows. Only rows in f.Sel need
// values, unless the site is Dense. It must not allocate in steady state. A row's failure is returned by f.Fail.
type Kernel func(f *Frame) error

// Site is a call being compiled.
type Site struct {
	// Call is the bound call: Call.Type is the result type, Call.Args carry the argument types.
	Call *Expr
	// Env is never nil, and its Location is set.
	Env *Env
	// Dense is set by Build for kernels that cannot fail, give a fixed-width or BOOLEAN result, and compute all Frame.Rows rows whatever
	// Sel says (which is nil then): values at NULL or unselected rows are arbitrary and must do no harm. Not for kernels where a
	// row costs more than a few ns.
	Dense bool
}

// Const returns constant argument i as a column of one row, or nil when it is not constant. A NULL constant is one with IsNull(0).
func (s *Site) Const(i int) *vec.Col {
	if s.Call.Args[i].Op != OpLit {
		return nil
	}
	c, err := literalCol(s.Call.Args[i])
	if err != nil {
		return nil
	}
	return c
}

// ConstString returns constant STRING argument i; ok is false when it is not constant or NULL.
func (s *Site) ConstString(i int) (v string, ok bool) {
	c := s.Const(i)
	if c == nil || c.Kind() != vec.String || c.IsNull(0) {
		return "", false
	}
	return string(c.Bytes(0)), true
}

// Frame is what a kernel works on during one call.
type Frame struct {
	// Rows is the number of physical rows.
	Rows int
	// Sel lists the rows to compute in ascending order; nil means all. For strict functions rows with a NULL argument are left out.
	Sel []int
	// Args are the evaluated arguments. They are lent: do not write to them.
	Args []Arg
	// Out is the result, empty and of the call's type.
	Out *vec.Col
	// Buf is scratch that the kernel may use and grow; it is kept for the next call.
	Buf []byte
}

// Arg is an evaluated argument: a column of Frame.Rows rows, or a constant of one row that stands for all.
type Arg struct {
	*vec.Col
	// mask is 0 for a constant and -1 for a column, so that row&mask is the physical row.
	mask int
}

// Const reports whether the argument is a constant: a column with a single row.
func (a Arg) Const() bool { return a.mask == 0 }

// Row maps a row of the frame to the row in the argument's column.
func (a Arg) Row(i int) int { return i & a.mask }

// Bytes is the STRING or BYTES value for row i of the frame, aliasing the argument's memory.
func (a Arg) Bytes(i int) []byte { return a.Col.Bytes(i & a.mask) }

// Str is Bytes as a string over the same memory.
func (a Arg) Str(i int) string { return a.Col.Str(i & a.mask) }

// IsNull reports whether the argument is NULL at row i of the frame.
func (a Arg) IsNull(i int) bool { return a.Col.IsNull(i & a.mask) }

// Bool is the BOOLEAN value at row i of the frame.
func (a Arg) Bool(i int) bool { return a.Bools().Get(i & a.mask) }

// At is the fixed-width value of a at row i of the frame. T must be the layout of the argument's kind.
func At[T vec.Fixed](a Arg, i int) T { return vec.Values[T](a.Col)[i&a.mask] }

// Fail wraps the reason why row i has no value.
func (f *Frame) Fail(i int, err error) error { return &rowError{row: i, err: err} }

// rowError is a kernel's failure at a row; the node that ran the kernel turns it into an EvalError.
type rowError struct {
	row int
	err error
}

func (e *rowError) Error() string { return fmt.Sprintf("row %d: %v", e.row, e.err) }
func (e *rowError) Unwrap() error { return e.err }

// len is the number of rows to compute.
func (f *Frame) count() int {
	if f.Sel != nil {
		return len(f.Sel)
	}
	return f.Rows
}

// row is the k-th row to compute.
func (f *Frame) row(k int) int {
	if f.Sel != nil {
		return f.Sel[k]
	}
	return k
}

// StringRows makes a kernel for a STRING or BYTES result from a function over one row: it appends its result to dst (empty, with
// room) and returns it. ok false means NULL (set MayNull).
func StringRows(fn func(args []Arg, i int, dst []byte) (res []byte, ok bool, err error)) Kernel {
	return func(f *Frame) error {
		next := 0
		for k := range f.count() {
			i := f.row(k)
			for ; next < i; next++ {
				f.Out.AppendBytes(nil)
			}
			res, ok, err := fn(f.Args, i, f.Buf[:0])
			if err != nil {
				return f.Fail(i, err)
			}
			f.Out.AppendBytes(res)
			if !ok {
				f.Out.SetNull(i)
			}
			if cap(res) > cap(f.Buf) && cap(res) <= maxScratch {
				f.Buf = res
			}
			next = i + 1
		}
		for ; next < f.Rows; next++ {
			f.Out.AppendBytes(nil)
		}
		return nil
	}
}

// maxScratch bounds what a kernel keeps between batches: one huge value must not stay for ever.
const maxScratch = 1 << 20

// SliceRows is StringRows for functions whose result is a part of an argument, or a constant: nothing is copied but into Out.
func SliceRows(fn func(args []Arg, i int) (res []byte, ok bool, err error)) Kernel {
	return StringRows(func(args []Arg, i int, _ []byte) ([]byte, bool, error) {
		res, ok, err := fn(args, i)
		// The capacity is cut so that Buf never aliases an argument.
		return res[:len(res):len(res)], ok, err
	})
}

// FixedRows makes a kernel for a fixed-width result from a function over one row. T must be the layout of the result's kind.
func FixedRows[T vec.Fixed](fn func(args []Arg, i int) (v T, ok bool, err error)) Kernel {
	return func(f *Frame) error {
		f.Out.Resize(f.Rows)
		out := vec.Values[T](f.Out)
		for k := range f.count() {
			i := f.row(k)
			v, ok, err := fn(f.Args, i)
			if err != nil {
				return f.Fail(i, err)
			}
			out[i] = v
			if !ok {
				f.Out.SetNull(i)
			}
		}
		return nil
	}
}

// BoolRows makes a kernel for a BOOLEAN result from a function over one row.
func BoolRows(fn func(args []Arg, i int) (v, ok bool, err error)) Kernel {
	return func(f *Frame) error {
		f.Out.Resize(f.Rows)
		out := f.Out.Bools()
		for k := range f.count() {
			i := f.row(k)
			v, ok, err := fn(f.Args, i)
			if err != nil {
				return f.Fail(i, err)
			}
			out.Put(i, v)
			if !ok {
				f.Out.SetNull(i)
			}
		}
		return nil
	}
}

// AppendRows makes a kernel for any result, nested ones too: fn appends exactly one row to f.Out. Rows that are not wanted become NULL.
func AppendRows(fn func(f *Frame, i int) error) Kernel {
	return func(f *Frame) error {
		next := 0
		for k := range f.count() {
			i := f.row(k)
			for ; next < i; next++ {
				f.Out.AppendNull()
			}
			if err := fn(f, i); err != nil {
				return f.Fail(i, err)
			}
			next = i + 1
		}
		for ; next < f.Rows; next++ {
			f.Out.AppendNull()
		}
		return nil
	}
}

// Always returns a Build for a kernel that needs nothing from its call site.
func Always(k Kernel) func(*Site) (Kernel, error) {
	return func(*Site) (Kernel, error) { return k, nil }
}

// Types returns a Bind that casts each argument to the type at its place (the last one also stands for all further arguments), and
// gives the result type. A parameter of kind Invalid takes any type as it is.
func Types(result vec.Type, params ...vec.Type) func([]*Expr) (vec.Type, error) {
	return func(args []*Expr) (vec.Type, error) {
		for i := range args {
			p := params[min(i, len(params)-1)]
			if p.Kind == vec.Invalid {
				continue
			}
			if err := coerce(args, i, p); err != nil {
				return vec.Type{}, err
			}
		}
		return result, nil
	}
}

// Any stands for a parameter of any type in Types.
var Any = vec.Type{}

// coerce replaces args[i] by an implicit cast to t; its error is errArgs.
func coerce(args []*Expr, i int, t vec.Type) error {
	e, err := ImplicitCast(args[i], t)
	if err != nil {
		return errArgs
	}
	args[i] = e
	return nil
}

// registry is filled by package initialisation and read-only afterwards.
var registry = map[string]*Func{}

// register adds a function under its name and aliases. A name that is taken is a bug.
func register(f Func) struct{} {
	fn := &f
	for _, n := range append([]string{f.Name}, f.Aliases...) {
		if _, dup := registry[n]; dup {
			panic("expr: function " + n + " registered twice")
		}
		registry[n] = fn
	}
	return struct{}{}
}

// Functions returns the names that a script can call as NAME(args), sorted.
func Functions() []string {
	names := make([]string, 0, len(registry))
	for n, f := range registry {
		if f.Flags&hidden == 0 && n[0] >= 'A' && n[0] <= 'Z' && !strings.Contains(n, " ") {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

// lookup finds the function that a bound call names; bound calls in a job graph may come from another version, so it may be missing.
func lookup(name string) (*Func, error) {
	f := registry[name]
	if f == nil {
		return nil, &UnknownFunctionError{Name: name, Nearest: nearest(name, Functions())}
	}
	return f, nil
}
