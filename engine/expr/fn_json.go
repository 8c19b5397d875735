package expr

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/engine/vec"
)

var (
	// JSON_VALUE(json, path), JSON_VALUE(json, path, on empty, on error), or with six arguments: (json, path, on empty, its default, on error, its default).
	_ = register(Func{
		Name: "JSON_VALUE", Usage: "JSON_VALUE(string, path [RETURNING type] [… ON EMPTY] [… ON ERROR])", Flags: MayNull, Min: 2, Max: 6,
		Rewrite: rewriteJSONValue, Bind: bindJSONValue, Build: buildJSONValue,
	})
	_ = register(Func{Name: "JSON_VALUE DEFAULT", Flags: hidden | MayNull | NullCall, Min: 6, Max: 6, Bind: bindJSONDefault, Build: buildJSONValue})
	_ = register(Func{
		Name: "JSON_QUERY", Usage: "JSON_QUERY(string, path [… WRAPPER] [… ON EMPTY] [… ON ERROR])", Flags: MayNull, Min: 2, Max: 5,
		Bind: bindJSONQuery, Build: buildJSONQuery,
	})
	_ = register(Func{Name: "JSON_EXISTS", Usage: "JSON_EXISTS(string, path [… ON ERROR])", Flags: MayNull, Min: 2, Max: 3, Bind: bindJSONExists, Build: buildJSONExists})
	_ = register(Func{Name: "IS JSON", Usage: "string IS JSON [VALUE|OBJECT|ARRAY|SCALAR]", Flags: hidden | NullCall, Min: 1, Max: 2, Bind: bindIsJSON, Build: buildIsJSON})
	_ = register(Func{
		Name: "JSON_STRING", Usage: "JSON_STRING(value)", Min: 1, Max: 1,
		Bind: func([]*Expr) (vec.Type, error) { return vec.TypeString, nil }, Build: buildJSONString,
	})
	// JSON_OBJECT('NULL'|'ABSENT', key, value, …) and JSON_ARRAY('NULL'|'ABSENT', value, …).
	_ = register(Func{
		Name: "JSON_OBJECT", Usage: "JSON_OBJECT(KEY key VALUE value, … [NULL|ABSENT ON NULL])", Flags: NullCall, Min: 1, Max: -1,
		Bind: bindJSONBuild(2), Build: buildJSONBuild(2),
	})
	_ = register(Func{
		Name: "JSON_ARRAY", Usage: "JSON_ARRAY(value, … [NULL|ABSENT ON NULL])", Flags: NullCall, Min: 1, Max: -1,
		Bind: bindJSONBuild(1), Build: buildJSONBuild(1),
	})
)

var (
	errJSONEmpty  = errors.New("the JSON path leads to nothing, or to a value of another kind")
	errJSONError  = errors.New("the text is not valid JSON, or a strict path does not fit it")
	onValueWords  = []string{"NULL", "ERROR", "DEFAULT"}
	onQueryWords  = []string{"NULL", "ERROR", "EMPTY ARRAY", "EMPTY OBJECT"}
	onExistsWords = []string{"FALSE", "TRUE", "UNKNOWN", "ERROR"}
	wrapperWords  = []string{"WITHOUT", "CONDITIONAL", "UNCONDITIONAL"}
)

// checkJSON takes a STRING and checks a constant path.
func checkJSON(args []*Expr) error {
	for i := range 2 {
		if err := coerce(args, i, vec.TypeString); err != nil {
			return err
		}
	}
	if text, ok := constText(args[1]); ok {
		_, err := compileJSONPath(text)
		return err
	}
	return nil
}

// rewriteJSONValue leaves the defaults out where they are not used: such a call is strict, and evaluated once a dictionary entry.
func rewriteJSONValue(args []*Expr) (*Expr, error) {
	if len(args) != 6 {
		return nil, nil
	}
	for _, i := range []int{2, 4} {
		if err := oneOf(args[i], "what JSON_VALUE gives", onValueWords...); err != nil {
			return nil, err
		}
	}
	if args[2].Lit == "DEFAULT" || args[4].Lit == "DEFAULT" {
		return Call("JSON_VALUE DEFAULT", args...)
	}
	if args[2].Lit == "NULL" && args[4].Lit == "NULL" {
		return Call("JSON_VALUE", args[:2]...)
	}
	return Call("JSON_VALUE", args[0], args[1], args[2], args[4])
}

func bindJSONValue(args []*Expr) (vec.Type, error) {
	if len(args) != 2 && len(args) != 4 {
		return vec.Type{}, errArgs
	}
	for _, a := range args[2:] {
		if err := oneOf(a, "what JSON_VALUE gives", onValueWords[:2]...); err != nil {
			return vec.Type{}, err
		}
	}
	return vec.TypeString, checkJSON(args)
}

func bindJSONDefault(args []*Expr) (vec.Type, error) {
	for _, i := range []int{3, 5} {
		e, err := Cast(args[i], vec.TypeString)
		if err != nil {
			return vec.Type{}, errArgs
		}
		args[i] = e
	}
	return vec.TypeString, checkJSON(args)
}

// buildJSONValue gives a scalar as text. As in Flink a JSON null counts as empty, and so does an object or array in lax mode; in strict mode
// those, and a missing member, are errors.
func buildJSONValue(s *Site) (Kernel, error) {
	paths, err := newCompiledArg(s, 1, compileJSONPath)
	if err != nil {
		return nil, err
	}
	onEmpty, onError := "NULL", "NULL"
	defEmpty, defError := 3, 5
	switch len(s.Call.Args) {
	case 4:
		onEmpty, onError = constWord(s, 2, onEmpty), constWord(s, 3, onError)
	case 6:
		onEmpty, onError = constWord(s, 2, onEmpty), constWord(s, 4, onError)
	}
	act := func(what string, def int, err error, args []Arg, i int, dst []byte) ([]byte, bool, error) {
		switch {
		case what == "ERROR":
			return nil, false, err
		case what == "DEFAULT" && !args[def].IsNull(i):
			return append(dst, args[def].Bytes(i)...), true, nil
		}
		return dst, false, nil
	}
	return StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
		if args[0].IsNull(i) || args[1].IsNull(i) {
			return dst, false, nil
		}
		p, err := paths.at(args, i)
		if err != nil {
			return nil, false, err
		}
		var v []byte
		state := jsonFound
		if p.many {
			// A list is no scalar, whatever is in it.
			if _, ok := jsonText(args[0].Bytes(i)); !ok {
				state = jsonInvalid
			}
		} else {
			v, state = p.lookup(args[0].Bytes(i))
		}
		switch {
		case state == jsonFound && !p.many && isScalar(v) && !isNull(v):
			return jsonScalar(dst, v), true, nil
		case state == jsonInvalid, p.strict && (state == jsonMissing || p.many || !isScalar(v)):
			return act(onError, defError, errJSONError, args, i, dst)
		}
		return act(onEmpty, defEmpty, errJSONEmpty, args, i, dst)
	}), nil
}

func bindJSONQuery(args []*Expr) (vec.Type, error) {
	if len(args) > 2 {
		if err := oneOf(args[2], "the wrapper of JSON_QUERY", wrapperWords...); err != nil {
			return vec.Type{}, err
		}
	}
	for _, a := range args[min(3, len(args)):] {
		if err := oneOf(a, "what JSON_QUERY gives", onQueryWords...); err != nil {
			return vec.Type{}, err
		}
	}
	return vec.TypeString, checkJSON(args)
}

// constWord is a constant argument that Bind has checked, def when it is not there.
func constWord(s *Site, i int, def string) string {
	if i >= len(s.Call.Args) {
		return def
	}
	w, _ := s.ConstString(i)
	return w
}

func buildJSONQuery(s *Site) (Kernel, error) {
	paths, err := newCompiledArg(s, 1, compileJSONPath)
	if err != nil {
		return nil, err
	}
	wrapper, onEmpty, onError := constWord(s, 2, "WITHOUT"), constWord(s, 3, "NULL"), constWord(s, 4, "NULL")
	act := func(what string, err error, dst []byte) ([]byte, bool, error) {
		switch what {
		case "ERROR":
			return nil, false, err
		case "EMPTY ARRAY":
			return append(dst, "[]"...), true, nil
		case "EMPTY OBJECT":
			return append(dst, "{}"...), true, nil
		}
		return dst, false, nil
	}
	return StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
		p, err := paths.at(args, i)
		if err != nil {
			return nil, false, err
		}
		doc := args[0].Bytes(i)
		var v []byte
		var state jsonState
		res := dst
		if p.many {
			if wrapper == "UNCONDITIONAL" {
				res = append(res, '[')
			}
			if res, _, state = p.list(res, doc); wrapper == "UNCONDITIONAL" {
				res = append(res, ']')
			}
		} else {
			v, state = p.lookup(doc)
		}
		wrap := wrapper == "UNCONDITIONAL" || wrapper == "CONDITIONAL" && len(v) > 0 && v[0] != '['
		switch {
		case state == jsonInvalid, state == jsonMissing && p.strict:
			return act(onError, errJSONError, dst)
		case state == jsonFound && p.many:
			return res, true, nil
		case state == jsonMissing || isNull(v):
			return act(onEmpty, errJSONEmpty, dst)
		case wrap:
			return append(jsonCompact(append(dst, '['), v), ']'), true, nil
		case !isScalar(v):
			return jsonCompact(dst, v), true, nil
		case p.strict:
			return act(onError, errJSONError, dst)
		}
		return act(onEmpty, errJSONEmpty, dst)
	}), nil
}

func bindJSONExists(args []*Expr) (vec.Type, error) {
	if len(args) > 2 {
		if err := oneOf(args[2], "what JSON_EXISTS gives", onExistsWords...); err != nil {
			return vec.Type{}, err
		}
	}
	return vec.TypeBool, checkJSON(args)
}

// buildJSONExists takes a JSON null as missing, as Flink does.
func buildJSONExists(s *Site) (Kernel, error) {
	paths, err := newCompiledArg(s, 1, compileJSONPath)
	if err != nil {
		return nil, err
	}
	onError := constWord(s, 2, "FALSE")
	var buf []byte
	return BoolRows(func(args []Arg, i int) (bool, bool, error) {
		p, err := paths.at(args, i)
		if err != nil {
			return false, false, err
		}
		var v []byte
		var state jsonState
		count := 1
		if p.many {
			if buf, count, state = p.list(buf[:0], args[0].Bytes(i)); cap(buf) > maxScratch {
				buf = nil
			}
		} else {
			v, state = p.lookup(args[0].Bytes(i))
		}
		if state == jsonInvalid || state == jsonMissing && p.strict {
			if onError == "ERROR" {
				return false, false, errJSONError
			}
			return onError == "TRUE", onError != "UNKNOWN", nil
		}
		return state == jsonFound && count > 0 && (p.many || !isNull(v)), true, nil
	}), nil
}

func bindIsJSON(args []*Expr) (vec.Type, error) {
	t := vec.TypeBool
	t.NotNull = true
	if len(args) > 1 {
		if err := oneOf(args[1], "the kind of IS JSON", "VALUE", "OBJECT", "ARRAY", "SCALAR"); err != nil {
			return t, err
		}
	}
	return t, coerce(args, 0, vec.TypeString)
}

func buildIsJSON(s *Site) (Kernel, error) {
	kind := constWord(s, 1, "VALUE")
	return BoolRows(func(args []Arg, i int) (bool, bool, error) {
		if args[0].IsNull(i) {
			return false, true, nil
		}
		v, ok := jsonText(args[0].Bytes(i))
		switch {
		case !ok:
			return false, true, nil
		case kind == "OBJECT":
			return v[0] == '{', true, nil
		case kind == "ARRAY":
			return v[0] == '[', true, nil
		case kind == "SCALAR":
			return isScalar(v), true, nil
		}
		return true, true, nil
	}), nil
}

func buildJSONString(s *Site) (Kernel, error) {
	loc := s.Env.Location
	return StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
		return appendJSON(dst, args[0].Col, args[0].Row(i), loc), true, nil
	}), nil
}

// appendJSON appends a value as JSON: times as ISO 8601 text, BYTES in base64, floats that JSON does not have as text.
func appendJSON(dst []byte, c *vec.Col, i int, loc *time.Location) []byte {
	if c.IsNull(i) {
		return append(dst, "null"...)
	}
	switch c.Kind() {
	case vec.Bool:
		return strconv.AppendBool(dst, c.Bools().Get(i))
	case vec.String:
		return jsonQuote(dst, c.Bytes(i))
	case vec.Bytes:
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), c.Bytes(i)), '"')
	case vec.Int8, vec.Int16, vec.Int32, vec.Int64, vec.Decimal:
		return AppendText(dst, c, i, loc)
	case vec.Float32:
		return appendJSONFloat(dst, c, i, float64(vec.Values[float32](c)[i]))
	case vec.Float64:
		return appendJSONFloat(dst, c, i, vec.Values[float64](c)[i])
	case vec.Timestamp, vec.TimestampLTZ:
		at := len(dst) + 1
		dst = AppendText(append(dst, '"'), c, i, time.UTC)
		if sp := strings.IndexByte(string(dst[at:]), ' '); sp >= 0 {
			dst[at+sp] = 'T'
		}
		if c.Kind() == vec.TimestampLTZ {
			dst = append(dst, 'Z')
		}
		return append(dst, '"')
	case vec.Row:
		for k, f := range c.Type().Fields {
			dst = append(dst, "{,"[min(k, 1)])
			dst = append(jsonQuote(dst, []byte(f.Name)), ':')
			dst = appendJSON(dst, c.Kid(k), i, loc)
		}
		return append(dst, '}')
	case vec.Array:
		lo, hi := c.Range(i)
		dst = append(dst, '[')
		for e := lo; e < hi; e++ {
			if e > lo {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, c.Kid(0), e, loc)
		}
		return append(dst, ']')
	case vec.Map:
		lo, hi := c.Range(i)
		dst = append(dst, '{')
		for e := lo; e < hi; e++ {
			if e > lo {
				dst = append(dst, ',')
			}
			dst = append(jsonQuote(dst, AppendText(nil, c.Kid(0), e, loc)), ':')
			dst = appendJSON(dst, c.Kid(1), e, loc)
		}
		return append(dst, '}')
	default:
		return append(AppendText(append(dst, '"'), c, i, loc), '"')
	}
}

func appendJSONFloat(dst []byte, c *vec.Col, i int, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(AppendText(append(dst, '"'), c, i, nil), '"')
	}
	return AppendText(dst, c, i, nil)
}

// bindJSONBuild replaces the first argument by "NULL:vj…": what becomes of NULL, and a letter for each value, j for one that is JSON already and
// goes in as it is. The letters outlive the folding of constants, which hides where a value came from.
func bindJSONBuild(width int) func([]*Expr) (vec.Type, error) {
	return func(args []*Expr) (vec.Type, error) {
		t := vec.TypeString
		t.NotNull = true
		if err := oneOf(args[0], "what becomes of NULL", "NULL", "ABSENT"); err != nil {
			return t, err
		}
		if (len(args)-1)%width != 0 {
			return t, fmt.Errorf("JSON_OBJECT takes pairs of key and value")
		}
		marks := []byte(args[0].Lit + ":")
		for i := width; i < len(args); i += width {
			if width == 2 {
				if _, ok := constText(args[i-1]); !ok {
					return t, errors.New("a key of JSON_OBJECT must be a constant string")
				}
			}
			mark := byte('v')
			if a := args[i]; a.Op == OpCall && (a.Func == "JSON_OBJECT" || a.Func == "JSON_ARRAY") {
				mark = 'j'
			}
			marks = append(marks, mark)
		}
		args[0] = Lit(vec.TypeString, string(marks))
		return t, nil
	}
}

func buildJSONBuild(width int) func(*Site) (Kernel, error) {
	return func(s *Site) (Kernel, error) {
		spec, _ := s.ConstString(0)
		onNull, marks, _ := strings.Cut(spec, ":")
		if len(marks) != (len(s.Call.Args)-1)/width {
			return nil, fmt.Errorf("%s was not bound", s.Call.Func)
		}
		loc := s.Env.Location
		brackets := "[]"
		if width == 2 {
			brackets = "{}"
		}
		return StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
			dst = append(dst, brackets[0])
			first := true
			for k := range marks {
				at := 1 + k*width
				v := args[at+width-1]
				if onNull == "ABSENT" && v.IsNull(i) {
					continue
				}
				if !first {
					dst = append(dst, ',')
				}
				first = false
				if width == 2 {
					dst = append(jsonQuote(dst, args[at].Bytes(i)), ':')
				}
				if marks[k] == 'j' && !v.IsNull(i) {
					dst = append(dst, v.Bytes(i)...)
				} else {
					dst = appendJSON(dst, v.Col, v.Row(i), loc)
				}
			}
			return append(dst, brackets[1]), true, nil
		}), nil
	}
}
