package expr

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/bramble-stream/bramble/engine/vec"
)

var (
	_ = register(Func{Name: "REGEXP", Usage: "REGEXP(string, pattern)", Min: 2, Max: 2, Bind: bindRegexp(vec.TypeBool, vec.TypeString), Build: buildRegexp})
	_ = register(Func{Name: "REGEXP_COUNT", Usage: "REGEXP_COUNT(string, pattern)", Flags: MayNull, Min: 2, Max: 2, Bind: bindRegexp(vec.TypeInt32, vec.TypeString), Build: buildRegexpCount})
	_ = register(Func{Name: "REGEXP_SUBSTR", Usage: "REGEXP_SUBSTR(string, pattern)", Flags: MayNull, Min: 2, Max: 2, Bind: bindRegexp(vec.TypeString, vec.TypeString), Build: buildRegexpExtract})
	_ = register(Func{
		Name: "REGEXP_EXTRACT", Usage: "REGEXP_EXTRACT(string, pattern[, group])", Flags: MayNull, Min: 2, Max: 3,
		Bind: bindRegexp(vec.TypeString, vec.TypeString, vec.TypeString, vec.TypeInt64), Build: buildRegexpExtract,
	})
	_ = register(Func{
		Name: "REGEXP_REPLACE", Usage: "REGEXP_REPLACE(string, pattern, replacement)", Flags: MayNull, Min: 3, Max: 3,
		Bind: bindRegexp(vec.TypeString, vec.TypeString), Build: buildRegexpReplace,
	})
	_ = register(Func{
		Name: "SIMILAR TO", Aliases: []string{"SIMILAR"}, Usage: "string SIMILAR TO pattern [ESCAPE character]", Flags: hidden, Min: 2, Max: 3,
		Bind: bindSimilar, Build: buildSimilar,
	})
)

// bindRegexp checks a constant pattern in the planner, where the script's author sees the error.
func bindRegexp(result vec.Type, params ...vec.Type) func([]*Expr) (vec.Type, error) {
	types := Types(result, params...)
	return func(args []*Expr) (vec.Type, error) {
		t, err := types(args)
		if err != nil {
			return t, err
		}
		if p, ok := constText(args[1]); ok {
			re, err := compileJavaRegexp(p)
			if err != nil {
				return t, err
			}
			if len(params) == 3 && len(args) == 3 {
				if g, ok := Literal(args[2]); ok && g != nil {
					if n, isInt := g.(int64); isInt && n > int64(re.NumSubexp()) {
						return t, fmt.Errorf("group %d does not exist: the pattern '%s' has %d", n, p, re.NumSubexp())
					}
				}
			}
		}
		return t, nil
	}
}

// buildRegexp reports whether the pattern is found anywhere; an empty pattern is not, as in Flink.
func buildRegexp(s *Site) (Kernel, error) {
	p, err := newCompiledArg(s, 1, compileJavaRegexp)
	if err != nil {
		return nil, err
	}
	return BoolRows(func(args []Arg, i int) (bool, bool, error) {
		re, err := p.at(args, i)
		if err != nil {
			return false, false, err
		}
		return len(args[1].Bytes(i)) > 0 && re.Match(args[0].Bytes(i)), true, nil
	}), nil
}

func buildRegexpCount(s *Site) (Kernel, error) {
	p, err := newCompiledArg(s, 1, compileJavaRegexp)
	if err != nil {
		return nil, err
	}
	return FixedRows(func(args []Arg, i int) (int32, bool, error) {
		re, err := p.at(args, i)
		if err != nil {
			return 0, false, nil //nolint:nilerr // a bad pattern in data gives NULL, as in Flink
		}
		return int32(len(re.FindAllIndex(args[0].Bytes(i), -1))), true, nil
	}), nil
}

// buildRegexpExtract gives NULL where nothing matches, and where the group does not exist or took no part.
func buildRegexpExtract(s *Site) (Kernel, error) {
	p, err := newCompiledArg(s, 1, compileJavaRegexp)
	if err != nil {
		return nil, err
	}
	return SliceRows(func(args []Arg, i int) ([]byte, bool, error) {
		re, err := p.at(args, i)
		if err != nil {
			return nil, false, nil //nolint:nilerr // a bad pattern in data gives NULL, as in Flink
		}
		text, group := args[0].Bytes(i), int64(0)
		if len(args) > 2 {
			group = At[int64](args[2], i)
		}
		if group < 0 || group > int64(re.NumSubexp()) {
			return nil, false, nil
		}
		if group == 0 {
			at := re.FindIndex(text)
			if at == nil {
				return nil, false, nil
			}
			return text[at[0]:at[1]], true, nil
		}
		at := re.FindSubmatchIndex(text)
		if at == nil || at[2*group] < 0 {
			return nil, false, nil
		}
		return text[at[2*group]:at[2*group+1]], true, nil
	}), nil
}

// buildRegexpReplace takes the replacement as it is: $1 has no meaning, as in Flink.
func buildRegexpReplace(s *Site) (Kernel, error) {
	p, err := newCompiledArg(s, 1, compileJavaRegexp)
	if err != nil {
		return nil, err
	}
	return StringRows(func(args []Arg, i int, dst []byte) ([]byte, bool, error) {
		re, err := p.at(args, i)
		if err != nil {
			return dst, false, nil //nolint:nilerr // a bad pattern in data gives NULL, as in Flink
		}
		text, with := args[0].Bytes(i), args[2].Bytes(i)
		if !re.Match(text) {
			return append(dst, text...), true, nil
		}
		from := 0
		for _, m := range re.FindAllIndex(text, -1) {
			dst = append(append(dst, text[from:m[0]]...), with...)
			from = m[1]
		}
		return append(dst, text[from:]...), true, nil
	}), nil
}

// regexpMax bounds a pattern's length: patterns may come from data.
const regexpMax = 64 << 10

// compileJavaRegexp compiles a pattern in Java's syntax. What RE2 cannot do (look-around, back-references, …) is an error that says so.
func compileJavaRegexp(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > regexpMax {
		return nil, fmt.Errorf("a regular expression of %d bytes is too long", len(pattern))
	}
	t := javaRegexp{in: pattern}
	if err := t.translate(); err != nil {
		return nil, fmt.Errorf("regular expression '%s': %w", pattern, err)
	}
	re, err := regexp.Compile(t.out.String())
	if err != nil {
		return nil, fmt.Errorf("regular expression '%s': %s", pattern, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return re, nil
}

// javaRegexp rewrites Java's syntax to Go's.
type javaRegexp struct {
	in  string
	pos int
	out strings.Builder
	// inClass is set between [ and ].
	inClass bool
	// quantified is set after a quantifier, where + would make it possessive.
	quantified bool
}

func unsupported(what string) error { return fmt.Errorf("%s is not supported", what) }

func (t *javaRegexp) translate() error {
	for t.pos < len(t.in) {
		c := t.in[t.pos]
		wasQuantified := t.quantified
		t.quantified = false
		var err error
		switch {
		case c == '\\':
			err = t.escape()
		case t.inClass:
			err = t.class(c)
		case c == '(':
			err = t.group()
		case c == '[':
			t.inClass = true
			t.take(1)
			if t.more("^") {
				t.take(1)
			}
			if t.more("]") {
				// Java has no ] at the start of a class, Go takes it as a character there.
				err = fmt.Errorf("an empty class")
			}
		case c == '+' && wasQuantified:
			err = unsupported("a possessive quantifier (++, *+, ?+)")
		case c == '*' || c == '+' || c == '?':
			t.take(1)
			t.quantified = !wasQuantified
		case c == '}':
			t.take(1)
			t.quantified = true
		default:
			t.take(1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// more reports whether the rest begins with s.
func (t *javaRegexp) more(s string) bool { return strings.HasPrefix(t.in[t.pos:], s) }

// take copies n bytes.
func (t *javaRegexp) take(n int) {
	t.out.WriteString(t.in[t.pos : t.pos+n])
	t.pos += n
}

// put writes s in place of n bytes.
func (t *javaRegexp) put(s string, n int) error {
	t.out.WriteString(s)
	t.pos += n
	return nil
}

func (t *javaRegexp) class(c byte) error {
	switch {
	case c == ']':
		t.inClass = false
	case c == '[':
		return unsupported("a class in a class ([a[b]]); write \\[ for a bracket")
	case t.more("&&"):
		return unsupported("an intersection of classes (&&)")
	}
	t.take(1)
	return nil
}

func (t *javaRegexp) group() error {
	for _, g := range []struct{ open, what string }{
		{"(?=", "look-ahead (?=…)"},
		{"(?!", "look-ahead (?!…)"},
		{"(?<=", "look-behind (?<=…)"},
		{"(?<!", "look-behind (?<!…)"},
		{"(?>", "an atomic group (?>…)"},
	} {
		if t.more(g.open) {
			return unsupported(g.what)
		}
	}
	if t.more("(?") {
		t.take(2)
		for t.pos < len(t.in) && t.in[t.pos] != ')' && t.in[t.pos] != ':' && t.in[t.pos] != '<' {
			switch c := t.in[t.pos]; c {
			case 'i', 's', 'm', '-':
				t.take(1)
			case 'u', 'U', 'd':
				t.pos++
			default:
				return unsupported("the flag (?" + string(c) + ")")
			}
		}
		return nil
	}
	t.take(1)
	return nil
}

// posix are Java's \p{…} names of ASCII classes.
var posix = map[string]string{
	"Lower": "a-z", "Upper": "A-Z", "ASCII": `\x00-\x7F`, "Alpha": "a-zA-Z", "Digit": "0-9", "Alnum": "a-zA-Z0-9", "Punct": `!-/:-@\[-` + "`" + `{-~`,
	"Graph": "!-~", "Print": " -~", "Blank": ` \t`, "Cntrl": `\x00-\x1F\x7F`, "XDigit": "0-9a-fA-F", "Space": `\t-\r `,
	"IsAlphabetic": `\p{L}\p{Nl}`, "IsLetter": `\p{L}`, "IsDigit": `\p{Nd}`, "IsUppercase": `\p{Lu}`, "IsLowercase": `\p{Ll}`, "IsPunctuation": `\p{P}`,
}

const horizontalSpace = ` \t\x{A0}\x{1680}\x{180e}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}`

// escape rewrites what stands after a backslash.
func (t *javaRegexp) escape() error {
	if t.pos+1 >= len(t.in) {
		return fmt.Errorf("a backslash at the end")
	}
	set := func(s string) error {
		if t.inClass {
			return t.put(s, 2)
		}
		return t.put("["+s+"]", 2)
	}
	switch c := t.in[t.pos+1]; {
	case c >= '1' && c <= '9':
		return unsupported(fmt.Sprintf("the back-reference \\%c", c))
	case c == 'k':
		return unsupported("the back-reference \\k")
	case c == '0':
		return t.octal()
	case c == 'u':
		if t.pos+6 > len(t.in) {
			return fmt.Errorf("\\u needs four hexadecimal digits")
		}
		return t.put(`\x{`+t.in[t.pos+2:t.pos+6]+"}", 6)
	case c == 'p' || c == 'P':
		return t.property(c == 'P')
	case c == 'Z':
		return t.put(`\n?\z`, 2)
	case c == 'e':
		return t.put(`\x1B`, 2)
	case c == 'h':
		return set(horizontalSpace)
	case c == 'v':
		return set(`\n-\r\x{85}\x{2028}\x{2029}`)
	case c == 'R' && !t.inClass:
		return t.put(`(?:\r\n|[\n-\r\x{85}\x{2028}\x{2029}])`, 2)
	case c == 's':
		return set(`\t-\r `)
	case c == 'c' || c == 'G' || c == 'X' || c == 'N' || c == 'H' || c == 'V':
		return unsupported("\\" + string(c))
	case c >= utf8.RuneSelf:
		// An escaped character that is no letter stands for itself.
		t.pos++
		return nil
	default:
		t.take(2)
		return nil
	}
}

// octal rewrites \0n, \0nn and \0mnn.
func (t *javaRegexp) octal() error {
	n, v := 2, 0
	for n < 5 && t.pos+n < len(t.in) && t.in[t.pos+n] >= '0' && t.in[t.pos+n] <= '7' && v*8 < 256 {
		v = v*8 + int(t.in[t.pos+n]-'0')
		n++
	}
	if n == 2 {
		return fmt.Errorf("\\0 needs octal digits")
	}
	return t.put(fmt.Sprintf(`\x{%X}`, v), n)
}

func (t *javaRegexp) property(negated bool) error {
	end := strings.IndexByte(t.in[t.pos:], '}')
	if !t.more(`\p{`) && !t.more(`\P{`) || end < 0 {
		t.take(min(3, len(t.in)-t.pos))
		return nil
	}
	name := t.in[t.pos+3 : t.pos+end]
	set, ok := posix[name]
	switch {
	case ok && negated && t.inClass:
		return unsupported(`\P{` + name + "} in a class")
	case ok && negated:
		return t.put("[^"+set+"]", end+1)
	case ok && t.inClass:
		return t.put(set, end+1)
	case ok:
		return t.put("["+set+"]", end+1)
	}
	// Java writes scripts as IsGreek, Go as Greek.
	return t.put(t.in[t.pos:t.pos+3]+strings.TrimPrefix(name, "Is")+"}", end+1)
}

func bindSimilar(args []*Expr) (vec.Type, error) {
	t, err := Types(vec.TypeBool, vec.TypeString)(args)
	if err != nil {
		return t, err
	}
	p, ok := constText(args[1])
	escape := ""
	if len(args) > 2 {
		escape, ok = constText(args[2])
		if !ok {
			return t, fmt.Errorf("the ESCAPE of SIMILAR TO must be a constant")
		}
		p, ok = constText(args[1])
	}
	if ok {
		_, err = compileSimilar(p, escape)
	}
	return t, err
}

func buildSimilar(s *Site) (Kernel, error) {
	escape := ""
	if len(s.Call.Args) > 2 {
		escape, _ = s.ConstString(2)
	}
	p, err := newCompiledArg(s, 1, func(text string) (*regexp.Regexp, error) { return compileSimilar(text, escape) })
	if err != nil {
		return nil, err
	}
	return BoolRows(func(args []Arg, i int) (bool, bool, error) {
		re, err := p.at(args, i)
		if err != nil {
			return false, false, err
		}
		return re.Match(args[0].Bytes(i)), true, nil
	}), nil
}

// similarClasses are the named classes of SQL's regular expressions, [:NAME:] inside brackets.
var similarClasses = map[string]string{
	"ALPHA": "[:alpha:]", "alpha": "[:alpha:]", "UPPER": "[:upper:]", "upper": "[:upper:]", "LOWER": "[:lower:]", "lower": "[:lower:]",
	"DIGIT": `\d`, "digit": `\d`, "ALNUM": "[:alnum:]", "alnum": "[:alnum:]", "SPACE": " ", "space": " ", "WHITESPACE": `\s`, "whitespace": `\s`,
}

// compileSimilar turns a pattern of SIMILAR TO into a regular expression for the whole string: % is any text, _ any character; | * + ? {m,n}
// ( ) [ ] are as in regular expressions; all others stand for themselves.
func compileSimilar(pattern, escape string) (*regexp.Regexp, error) {
	fail := func(err any) (*regexp.Regexp, error) {
		return nil, fmt.Errorf("SIMILAR TO pattern '%s': %v", pattern, err)
	}
	if len(pattern) > regexpMax {
		return nil, fmt.Errorf("a SIMILAR TO pattern of %d bytes is too long", len(pattern))
	}
	if utf8.RuneCountInString(escape) > 1 {
		return fail("the ESCAPE must be one character")
	}
	var out strings.Builder
	out.WriteString(`(?s)\A(?:`)
	inClass := false
	for i := 0; i < len(pattern); {
		r, n := utf8.DecodeRuneInString(pattern[i:])
		c := pattern[i : i+n]
		i += n
		switch {
		case escape != "" && c == escape:
			if i == len(pattern) {
				return fail("it ends in its ESCAPE")
			}
			_, n := utf8.DecodeRuneInString(pattern[i:])
			out.WriteString(regexp.QuoteMeta(pattern[i : i+n]))
			i += n
		case inClass && c == "[" && strings.HasPrefix(pattern[i:], ":"):
			end := strings.Index(pattern[i:], ":]")
			class, ok := "", false
			if end > 0 {
				class, ok = similarClasses[pattern[i+1:i+end]]
			}
			if !ok {
				return fail("unknown class")
			}
			out.WriteString(class)
			i += end + 2
		case inClass:
			inClass = c != "]"
			if strings.ContainsRune(`[\&~`, r) {
				out.WriteByte('\\')
			}
			out.WriteString(c)
		case c == "%":
			out.WriteString(".*")
		case c == "_":
			out.WriteByte('.')
		case c == "[":
			inClass = true
			out.WriteByte('[')
		case strings.Contains("|*+?{},()", c):
			out.WriteString(c)
		case strings.Contains(`.^$\]`, c):
			out.WriteString(`\` + c)
		default:
			out.WriteString(c)
		}
	}
	out.WriteString(`)\z`)
	re, err := regexp.Compile(out.String())
	if err != nil {
		return fail(strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return re, nil
}
