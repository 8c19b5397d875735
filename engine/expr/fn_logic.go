package expr

import "github.com/bramble-stream/bramble/engine/vec"

// bindLogic takes BOOLEAN arguments.
func bindLogic(args []*Expr) (vec.Type, error) {
	t := vec.TypeBool
	t.NotNull = true
	for i := range args {
		t.NotNull = t.NotNull && args[i].Type.NotNull
		if err := coerce(args, i, vec.TypeBool); err != nil {
			return t, err
		}
	}
	return t, nil
}

var (
	_ = register(Func{Name: "AND", Min: 2, Max: -1, Flags: lazy | NullCall | hidden, Bind: bindLogic})
	_ = register(Func{Name: "OR", Min: 2, Max: -1, Flags: lazy | NullCall | hidden, Bind: bindLogic})
	_ = register(Func{Name: "NOT", Min: 1, Max: 1, Flags: hidden, Bind: Types(vec.TypeBool, vec.TypeBool), Build: func(s *Site) (Kernel, error) {
		s.Dense = true
		return func(f *Frame) error {
			f.Out.Resize(f.Rows)
			out := f.Out.Bools()
			for w := range out {
				_, out[w] = truth(f.Args[0], w)
			}
			return nil
		}, nil
	}})

	_ = register(isTest("IS NULL", false, func(a Arg, w int) uint64 { return ^known(a, w) }))
	_ = register(isTest("IS NOT NULL", false, known))
	_ = register(isTest("IS TRUE", true, func(a Arg, w int) uint64 { t, _ := truth(a, w); return t }))
	_ = register(isTest("IS FALSE", true, func(a Arg, w int) uint64 { _, f := truth(a, w); return f }))
	_ = register(isTest("IS NOT TRUE", true, func(a Arg, w int) uint64 { t, _ := truth(a, w); return ^t }))
	_ = register(isTest("IS NOT FALSE", true, func(a Arg, w int) uint64 { _, f := truth(a, w); return ^f }))
	_ = register(isTest("IS UNKNOWN", true, func(a Arg, w int) uint64 { return ^known(a, w) }))
	_ = register(isTest("IS NOT UNKNOWN", true, known))
)

// known returns word w of where a is not NULL.
func known(a Arg, w int) uint64 {
	switch {
	case a.Kind() == vec.Null:
		return 0
	case a.Const():
		if a.Col.IsNull(0) {
			return 0
		}
		return ^uint64(0)
	case a.Valid() == nil:
		return ^uint64(0)
	default:
		return a.Valid()[w]
	}
}

// isTest is a test that is never NULL, computed word by word.
func isTest(name string, boolArg bool, word func(a Arg, w int) uint64) Func {
	return Func{
		Name: name, Min: 1, Max: 1, Flags: NullCall | hidden,
		Bind: func(args []*Expr) (vec.Type, error) {
			t := vec.TypeBool
			t.NotNull = true
			if boolArg {
				return t, coerce(args, 0, vec.TypeBool)
			}
			return t, nil
		},
		Build: func(s *Site) (Kernel, error) {
			s.Dense = true
			return func(f *Frame) error {
				f.Out.Resize(f.Rows)
				out := f.Out.Bools()
				for w := range out {
					out[w] = word(f.Args[0], w)
				}
				return nil
			}, nil
		},
	}
}
