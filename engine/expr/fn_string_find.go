package expr

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"github.com/bramble-stream/bramble/engine/vec"
)

var (
	// POSITION and LOCATE have the text to find first, INSTR has it second.
	_ = register(Func{
		Name: "POSITION", Aliases: []string{"LOCATE"}, Usage: "POSITION(search IN string), LOCATE(search, string[, start])", Min: 2, Max: 3,
		Bind: Types(vec.TypeInt32, vec.TypeString, vec.TypeString, vec.TypeInt64),
		Build: Always(FixedRows(func(args []Arg, i int) (int32, bool, error) {
			start := int64(1)
			if len(args) > 2 {
				start = At[int64](args[2], i)
			}
			return position(args[1].Bytes(i), args[0].Bytes(i), start), true, nil
		})),
	})
	_ = register(Func{
		Name: "INSTR", Usage: "INSTR(string, search)", Min: 2, Max: 2, Bind: Types(vec.TypeInt32, vec.TypeString),
		Build: Always(FixedRows(func(args []Arg, i int) (int32, bool, error) {
			return position(args[0].Bytes(i), args[1].Bytes(i), 1), true, nil
		})),
	})
	_ = register(Func{
		Name: "STARTSWITH", Usage: "STARTSWITH(string, prefix)", Min: 2, Max: 2, Bind: bindAffix,
		Build: Always(BoolRows(func(args []Arg, i int) (bool, bool, error) {
			return bytes.HasPrefix(args[0].Bytes(i), args[1].Bytes(i)), true, nil
		})),
	})
	_ = register(Func{
		Name: "ENDSWITH", Usage: "ENDSWITH(string, suffix)", Min: 2, Max: 2, Bind: bindAffix,
		Build: Always(BoolRows(func(args []Arg, i int) (bool, bool, error) {
			return bytes.HasSuffix(args[0].Bytes(i), args[1].Bytes(i)), true, nil
		})),
	})
	_ = register(Func{Name: "SPLIT_INDEX", Usage: "SPLIT_INDEX(string, delimiter, index from 0)", Flags: MayNull, Min: 3, Max: 3, Bind: bindSplitIndex, Build: buildSplitIndex})
	_ = register(Func{
		Name: "SPLIT", Usage: "SPLIT(string, delimiter)", Min: 2, Max: 2, Bind: Types(vec.ArrayOf(vec.TypeString), vec.TypeString),
		Build: Always(AppendRows(splitRow)),
	})

	_ = charTest("IS_ALPHA", unicode.IsLetter)
	_ = charTest("IS_DIGIT", unicode.IsDigit)
	_ = register(Func{
		Name: "IS_DECIMAL", Usage: "IS_DECIMAL(string)", Flags: NullCall, Min: 1, Max: 1, Bind: bindTest,
		Build: Always(BoolRows(func(args []Arg, i int) (bool, bool, error) {
			return !args[0].IsNull(i) && isDecimal(args[0].Str(i)), true, nil
		})),
	})
)

func bindTest(args []*Expr) (vec.Type, error) {
	t, err := Types(vec.TypeBool, vec.TypeString)(args)
	t.NotNull = true
	return t, err
}

// charTest registers a test of all characters of a string; it is FALSE for NULL and for the empty string.
func charTest(name string, is func(rune) bool) struct{} {
	return register(Func{
		Name: name, Usage: name + "(string)", Flags: NullCall, Min: 1, Max: 1, Bind: bindTest,
		Build: Always(BoolRows(func(args []Arg, i int) (bool, bool, error) {
			if args[0].IsNull(i) || len(args[0].Bytes(i)) == 0 {
				return false, true, nil
			}
			for _, r := range args[0].Str(i) {
				if !is(r) {
					return false, true, nil
				}
			}
			return true, true, nil
		})),
	})
}

// isDecimal accepts an optional sign, digits with an optional point, and an optional exponent.
func isDecimal(s string) bool {
	i, count := 0, 0
	sign := func() {
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
	}
	run := func() {
		for count = 0; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
			count++
		}
	}
	sign()
	run()
	total := count
	if i < len(s) && s[i] == '.' {
		i++
		run()
		total += count
	}
	if total == 0 {
		return false
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		sign()
		run()
		if count == 0 {
			return false
		}
	}
	return i == len(s)
}

// position is the place of find in s, counted in characters from 1, at or after character start; 0 when it is not there.
func position(s, find []byte, start int64) int32 {
	if start < 1 || start > int64(chars(s))+1 {
		return 0
	}
	from := charAt(s, start-1)
	at := bytes.Index(s[from:], find)
	if at < 0 {
		return 0
	}
	return int32(chars(s[:from+at])) + 1
}

// bindAffix takes two STRINGs or two BYTES.
func bindAffix(args []*Expr) (vec.Type, error) {
	if args[0].Type.Kind == vec.Bytes {
		return Types(vec.TypeBool, vec.TypeBytes)(args)
	}
	return Types(vec.TypeBool, vec.TypeString)(args)
}

// bindSplitIndex takes a delimiter in text or as a character's code.
func bindSplitIndex(args []*Expr) (vec.Type, error) {
	delimiter := vec.TypeString
	if args[1].Type.Kind.IsInteger() {
		delimiter = vec.TypeInt64
	}
	return Types(vec.TypeString, vec.TypeString, delimiter, vec.TypeInt64)(args)
}

func buildSplitIndex(s *Site) (Kernel, error) {
	byCode := s.Call.Args[1].Type.Kind == vec.Int64
	var code [1]byte
	var wide [utf8.UTFMax]byte
	return SliceRows(func(args []Arg, i int) ([]byte, bool, error) {
		index := At[int64](args[2], i)
		if !byCode {
			part, ok := splitIndex(args[0].Bytes(i), args[1].Bytes(i), index)
			return part, ok, nil
		}
		c := At[int64](args[1], i)
		if c < 1 || c > 255 {
			return nil, false, nil
		}
		code[0] = byte(c)
		delimiter := code[:]
		if c >= utf8.RuneSelf {
			delimiter = utf8.AppendRune(wide[:0], rune(c))
		}
		part, ok := splitIndex(args[0].Bytes(i), delimiter, index)
		return part, ok, nil
	}), nil
}

// splitIndex is the part of s with the index, counted from 0. Empty parts count; an empty string has no parts; an empty delimiter stands for
// runs of white space.
func splitIndex(s, delimiter []byte, index int64) ([]byte, bool) {
	if index < 0 || len(s) == 0 {
		return nil, false
	}
	for ; ; index-- {
		at, n := bytes.Index(s, delimiter), len(delimiter)
		if n == 0 {
			at, n = whitespace(s)
		}
		switch {
		case index == 0 && at < 0:
			return s, true
		case index == 0:
			return s[:at], true
		case at < 0:
			return nil, false
		}
		s = s[at+n:]
	}
}

// whitespace finds the first white space: where it is, -1 for nowhere, and how many bytes.
func whitespace(s []byte) (at, n int) {
	for i := 0; i < len(s); {
		r, w := utf8.DecodeRune(s[i:])
		if unicode.IsSpace(r) {
			return i, w
		}
		i += w
	}
	return -1, 0
}

// splitRow appends all parts; an empty delimiter splits into characters.
func splitRow(f *Frame, i int) error {
	s, delimiter := f.Args[0].Bytes(i), f.Args[1].Bytes(i)
	out := f.Out.Kid(0)
	for len(delimiter) == 0 {
		_, n := utf8.DecodeRune(s)
		out.AppendBytes(s[:n])
		if s = s[n:]; len(s) == 0 {
			f.Out.EndList()
			return nil
		}
	}
	for {
		at := bytes.Index(s, delimiter)
		if at < 0 {
			break
		}
		out.AppendBytes(s[:at])
		s = s[at+len(delimiter):]
	}
	out.AppendBytes(s)
	f.Out.EndList()
	return nil
}
