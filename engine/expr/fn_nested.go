package expr

import (
	"fmt"
	"strconv"

	"github.com/bramble-stream/bramble/engine/vec"
)

var (
	// FIELD(row, i) is field i (from 0), FIELD(row, 'name') the one of that name; it costs nothing per row.
	_ = register(Func{Name: "FIELD", Flags: hidden | NullCall, Min: 2, Max: 2, Bind: bindField})
	// ITEM is array[i] (from 1) and map[key]; NULL where there is none.
	_ = register(Func{Name: "ITEM", Flags: hidden | MayNull, Min: 2, Max: 2, Bind: bindItem, Build: buildItem})
	_ = register(Func{Name: "ROW", Usage: "ROW(value, …)", Flags: NullCall, Min: 1, Max: -1, Bind: bindRow, Build: Always(AppendRows(appendRow))})
	_ = register(Func{Name: "ARRAY", Usage: "ARRAY[value, …]", Flags: NullCall, Min: 1, Max: -1, Bind: bindArray, Build: Always(AppendRows(appendList))})
	_ = register(Func{Name: "MAP", Usage: "MAP[key, value, …]", Flags: NullCall, Min: 2, Max: -1, Bind: bindMap, Build: Always(AppendRows(appendList))})
	_ = register(Func{
		Name: "CARDINALITY", Usage: "CARDINALITY(array or map)", Min: 1, Max: 1, Bind: bindCardinality,
		Build: Always(FixedRows(func(args []Arg, i int) (int32, bool, error) {
			lo, hi := args[0].Range(args[0].Row(i))
			return int32(hi - lo), true, nil
		})),
	})
)

// bindField turns a name into an index.
func bindField(args []*Expr) (vec.Type, error) {
	row, key := args[0].Type, args[1]
	if row.Kind != vec.Row || key.Op != OpLit || key.Null {
		return vec.Type{}, errArgs
	}
	at := -1
	names := make([]string, len(row.Fields))
	for i, f := range row.Fields {
		names[i] = f.Name
		if key.Type.Kind == vec.String && f.Name == key.Lit {
			at = i
		}
	}
	if key.Type.Kind.IsInteger() {
		if i, err := strconv.Atoi(key.Lit); err == nil && i >= 0 && i < len(names) {
			at = i
		}
	}
	if at < 0 {
		err := fmt.Errorf("field %q does not exist in %s", key.Lit, row.Nullable())
		if n := nearest(key.Lit, names); n != "" {
			err = fmt.Errorf("%w; did you mean %q?", err, n)
		}
		return vec.Type{}, err
	}
	args[1] = Int(int64(at))
	t := row.Fields[at].Type
	t.NotNull = t.NotNull && row.NotNull
	return t, nil
}

// fieldIndex is the index in a bound FIELD.
func fieldIndex(e *Expr) int {
	i, err := strconv.Atoi(e.Args[1].Lit)
	if err != nil {
		return 0
	}
	return i
}

func bindItem(args []*Expr) (vec.Type, error) {
	switch t := args[0].Type; t.Kind {
	case vec.Array:
		if !args[1].Type.Kind.IsInteger() {
			return t, errArgs
		}
		if v, ok := Literal(args[1]); ok && v != nil && v.(int64) < 1 {
			return t, fmt.Errorf("elements of an ARRAY are counted from 1, got index %d", v)
		}
		return t.Fields[0].Type.Nullable(), coerce(args, 1, vec.TypeInt64)
	case vec.Map:
		return t.Fields[1].Type.Nullable(), coerce(args, 1, t.Fields[0].Type)
	default:
		return t, errArgs
	}
}

func buildItem(s *Site) (Kernel, error) {
	if s.Call.Args[0].Type.Kind == vec.Array {
		return AppendRows(func(f *Frame, i int) error {
			lo, hi := f.Args[0].Range(f.Args[0].Row(i))
			at := At[int64](f.Args[1], i)
			if at < 1 || at > int64(hi-lo) {
				f.Out.AppendNull()
				return nil
			}
			f.Out.AppendFrom(f.Args[0].Kid(0), lo+int(at)-1)
			return nil
		}), nil
	}
	return AppendRows(func(f *Frame, i int) error {
		m, key := f.Args[0], f.Args[1]
		lo, hi := m.Range(m.Row(i))
		for e := lo; e < hi; e++ {
			if CompareValues(m.Kid(0), e, key.Col, key.Row(i)) == 0 {
				f.Out.AppendFrom(m.Kid(1), e)
				return nil
			}
		}
		f.Out.AppendNull()
		return nil
	}), nil
}

func bindRow(args []*Expr) (vec.Type, error) {
	fields := make([]vec.Field, len(args))
	for i, a := range args {
		fields[i] = vec.Field{Name: "EXPR$" + strconv.Itoa(i), Type: a.Type}
	}
	t := vec.RowOf(fields...)
	t.NotNull = true
	return t, nil
}

func appendRow(f *Frame, i int) error {
	for k, a := range f.Args {
		f.Out.Kid(k).AppendFrom(a.Col, a.Row(i))
	}
	f.Out.EndRow()
	return nil
}

func bindArray(args []*Expr) (vec.Type, error) {
	elem, err := bindSame(args)
	t := vec.ArrayOf(elem)
	t.NotNull = true
	return t, err
}

func bindMap(args []*Expr) (vec.Type, error) {
	if len(args)%2 != 0 {
		return vec.Type{}, fmt.Errorf("MAP takes pairs of key and value, got %d arguments", len(args))
	}
	var keys, values []int
	for i := range args {
		if i%2 == 0 {
			keys = append(keys, i)
		} else {
			values = append(values, i)
		}
	}
	k, err := castAll(args, keys)
	if err != nil {
		return k, err
	}
	v, err := castAll(args, values)
	t := vec.MapOf(k, v)
	t.NotNull = true
	return t, err
}

// appendList spreads the arguments over the children in turn: one for ARRAY, key and value for MAP.
func appendList(f *Frame, i int) error {
	kids := len(f.Out.Type().Fields)
	for k, a := range f.Args {
		f.Out.Kid(k%kids).AppendFrom(a.Col, a.Row(i))
	}
	f.Out.EndList()
	return nil
}

func bindCardinality(args []*Expr) (vec.Type, error) {
	if k := args[0].Type.Kind; k != vec.Array && k != vec.Map {
		return vec.Type{}, errArgs
	}
	return vec.TypeInt32, nil
}
