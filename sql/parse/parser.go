package parse

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds on what a script may be; past them parsing ends with an error.
const (
	// MaxScriptBytes: scripts are written by people; a megabyte is a mistake or an attack.
	MaxScriptBytes = 1 << 20
	// MaxDepth bounds nesting, and with it the stack of whoever walks the tree.
	MaxDepth = 200
	// MaxChain bounds a OR b OR c ..., whose tree is as deep as it is long.
	MaxChain = 1000
)

// Parse parses a script. file names it in errors and may be empty. After an
// error it goes on behind the next semicolon, so the ErrorList it returns
// can hold several; the script then holds the statements that were sound.
func Parse(file, src string) (*Script, error) {
	s := &Script{File: file, Src: src}
	p, err := newParser(file, src)
	if err != nil {
		return s, ErrorList{err}
	}
	p.script(s)
	s.Warnings = p.warnings
	return s, p.errs.Err()
}

// ParseExpr parses one expression. The error is an *Error.
func ParseExpr(file, src string) (Expr, error) {
	p, err := newParser(file, src)
	if err != nil {
		return nil, err
	}
	e := p.expr()
	if err := p.finish("expression"); err != nil {
		return nil, err
	}
	return e, nil
}

// ParseQuery parses one query without its semicolon. The error is an *Error.
func ParseQuery(file, src string) (*Query, error) {
	p, err := newParser(file, src)
	if err != nil {
		return nil, err
	}
	q := p.query()
	if err := p.finish("query"); err != nil {
		return nil, err
	}
	return q, nil
}

// ParseType parses one data type, such as ROW<a INT NOT NULL>. The error is an *Error.
func ParseType(file, src string) (*Type, error) {
	p, err := newParser(file, src)
	if err != nil {
		return nil, err
	}
	t := p.dataType()
	if err := p.finish("type"); err != nil {
		return nil, err
	}
	return t, nil
}

// parser reads tokens by recursive descent. A failure is sticky: fail moves to
// the end of the tokens, where nothing matches any more, so every rule unwinds
// by itself and returns a node that nobody looks at.
type parser struct {
	file     string
	src      string
	toks     []token // ends with tokEOF
	i        int     // the current token
	depth    int
	err      *Error // of the current statement
	errAt    int    // token at which it was found
	errs     ErrorList
	warnings []*Error
	warned   map[string]bool // words in warnings
	aliasAt  int             // the last token taken as an alias without AS; -1
	inFloor  bool            // inside FLOOR(x TO unit): TO may belong to it
}

func newParser(file, src string) (*parser, *Error) {
	if len(src) > MaxScriptBytes {
		return nil, &Error{
			File: file, Line: 1, Col: 1,
			Msg: fmt.Sprintf("the script has %d bytes; at most %d are allowed", len(src), MaxScriptBytes),
		}
	}
	if !utf8.ValidString(src) {
		return nil, invalidUTF8(file, src)
	}
	return &parser{file: file, src: src, toks: lex(src), aliasAt: -1, warned: make(map[string]bool)}, nil
}

// invalidUTF8 points at the first byte of src that is no UTF-8.
func invalidUTF8(file, src string) *Error {
	line, col := 1, 1
	for i, r := range src {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(src[i:]); size == 1 {
				break
			}
		}
		col++
		if r == '\n' {
			line, col = line+1, 1
		}
	}
	return &Error{File: file, Line: line, Col: col, Msg: "the source is not valid UTF-8 here", Hint: "save it as UTF-8"}
}

// finish ends the parse of a lone construct.
func (p *parser) finish(what string) error {
	if p.err == nil && p.cur().kind != tokEOF {
		p.unexpected("the end of the " + what)
	}
	if p.err != nil {
		return p.err
	}
	return nil
}

func (p *parser) cur() *token { return &p.toks[p.i] }

// peek returns the token n ahead.
func (p *parser) peek(n int) *token { return &p.toks[min(p.i+n, len(p.toks)-1)] }

func (p *parser) next() *token {
	t := p.cur()
	if p.i < len(p.toks)-1 {
		p.i++
	}
	return t
}

// span covers the tokens from index from to the one before the current.
func (p *parser) span(from int) Span {
	a := &p.toks[from]
	s := Span{Line: a.line, Col: a.col, Start: a.start, End: a.start}
	if p.i > from {
		s.End = p.toks[p.i-1].end
	}
	return s
}

func (t *token) span() Span { return Span{Line: t.line, Col: t.col, Start: t.start, End: t.end} }

func (t *token) isKw(kw string) bool { return t.kind == tokWord && t.kw == kw }

func (t *token) isOp(op string) bool { return t.kind == tokOp && t.val == op }

func (p *parser) isKw(kw string) bool { return p.cur().isKw(kw) }

func (p *parser) isOp(op string) bool { return p.cur().isOp(op) }

// isKws reports whether the next words are kws.
func (p *parser) isKws(kws ...string) bool {
	for i, kw := range kws {
		if !p.peek(i).isKw(kw) {
			return false
		}
	}
	return true
}

// accept takes the words if all of them come next.
func (p *parser) accept(kws ...string) bool {
	if !p.isKws(kws...) {
		return false
	}
	for range kws {
		p.next()
	}
	return true
}

// acceptAny takes one of the words and returns it, "" if none comes.
func (p *parser) acceptAny(kws ...string) string {
	for _, kw := range kws {
		if p.accept(kw) {
			return kw
		}
	}
	return ""
}

func (p *parser) acceptOp(op string) bool {
	if p.isOp(op) {
		p.next()
		return true
	}
	return false
}

func (p *parser) expect(kws ...string) {
	for _, kw := range kws {
		if !p.accept(kw) {
			p.unexpected(kw)
			return
		}
	}
}

func (p *parser) expectOp(op string) {
	if !p.acceptOp(op) {
		p.unexpected(`"` + op + `"`)
	}
}

// fail records the statement's error, the first one only, and makes the rest
// of it unreachable.
func (p *parser) fail(at *token, hint, format string, args ...any) {
	p.failSpan(at.span(), hint, format, args...)
}

func (p *parser) failSpan(s Span, hint, format string, args ...any) {
	if p.err != nil {
		return
	}
	p.errAt = p.i
	p.err = Errorf(p.file, s, hint, format, args...)
	p.i = len(p.toks) - 1
}

// unexpected fails at the current token, which is none of want. Words in want
// are offered as corrections.
func (p *parser) unexpected(want ...string) {
	t := p.cur()
	if t.kind == tokBad {
		p.fail(t, t.kw, "%s", t.val)
		return
	}
	// SELECT a FORM t: the misspelt word went through as an alias.
	if p.i > 0 && p.aliasAt == p.i-1 {
		alias := &p.toks[p.aliasAt]
		if hint := DidYouMean(alias.val, clauseWords); hint != "" {
			p.fail(alias, hint, "unexpected %s", quote(alias.val))
			return
		}
	}
	hint := ""
	if t.kind == tokWord {
		hint = DidYouMean(t.val, want)
	}
	list := strings.Join(want, ", ")
	if n := len(want); n > 1 {
		list = strings.Join(want[:n-1], ", ") + " or " + want[n-1]
	}
	p.fail(t, hint, "expected %s, found %s", list, p.show(t))
}

// show names a token in a message.
func (p *parser) show(t *token) string {
	switch t.kind {
	case tokEOF:
		return "the end of the input"
	case tokString, tokUString, tokBytes:
		return clip(p.src[t.start:t.end])
	default:
		return quote(p.src[t.start:t.end])
	}
}

// enter counts one level of nesting; leave must follow, also if it fails.
func (p *parser) enter() bool {
	p.depth++
	if p.depth > MaxDepth {
		p.fail(p.cur(), "", "nested too deeply: more than %d levels", MaxDepth)
		return false
	}
	return true
}

func (p *parser) leave() { p.depth-- }

// link counts one more link of a chain of n.
func (p *parser) link(n *int) bool {
	*n++
	if *n > MaxChain {
		p.fail(p.cur(), "", "more than %d operators in a row", MaxChain)
		return false
	}
	return true
}

// isName reports whether t can be a name.
func isName(t *token) bool {
	return t.kind == tokQuoted || t.kind == tokWord && !hardReserved[t.kw]
}

// ident reads a name; what says which, for the error.
func (p *parser) ident(what string) Ident {
	t := p.cur()
	switch {
	case t.kind == tokQuoted:
		p.next()
		return Ident{Span: t.span(), Name: t.val, Quoted: true}
	case t.kind == tokWord && hardReserved[t.kw]:
		p.fail(t, "as a name it is written `"+t.val+"`", "expected %s, found the reserved word %s", what, quote(t.val))
	case t.kind == tokWord:
		p.next()
		p.warnReserved(t)
		return Ident{Span: t.span(), Name: t.val}
	default:
		p.unexpected(what)
	}
	return Ident{}
}

// warnReserved notes a bare name that Flink would refuse, once for each word.
func (p *parser) warnReserved(t *token) {
	if !flinkReserved[t.kw] && !hardReserved[t.kw] || p.warned[t.kw] || len(p.warnings) >= MaxErrors {
		return
	}
	p.warned[t.kw] = true
	p.warnings = append(p.warnings, Errorf(p.file, t.span(), "write `"+t.val+"` to keep the script portable",
		"%s is a reserved word in Flink", quote(t.val)))
}

// fieldIdent reads the name after a dot, where reserved words are unambiguous.
func (p *parser) fieldIdent() Ident {
	t := p.cur()
	if t.kind == tokWord {
		p.next()
		p.warnReserved(t)
		return Ident{Span: t.span(), Name: t.val}
	}
	return p.ident("a name after the dot")
}

// name reads a dotted name.
func (p *parser) name(what string) Name {
	from := p.i
	n := Name{Parts: []Ident{p.ident(what)}}
	for chain := 0; p.acceptOp(".") && p.link(&chain); {
		n.Parts = append(n.Parts, p.fieldIdent())
	}
	n.Span = p.span(from)
	return n
}

// idents reads (a, b, c).
func (p *parser) idents(what string) []Ident {
	p.expectOp("(")
	list := []Ident{p.ident(what)}
	for p.acceptOp(",") {
		list = append(list, p.ident(what))
	}
	p.expectOp(")")
	return list
}

// text reads a string literal.
func (p *parser) text(what string) Text {
	t := p.cur()
	switch {
	case t.kind == tokString:
		p.next()
		return Text{Span: t.span(), Value: t.val}
	case t.kind == tokUString:
		from := p.i
		v := p.unicodeString()
		return Text{Span: p.span(from), Value: v}
	case t.kind == tokWord || t.kind == tokNumber:
		p.fail(t, "write it as a string: '"+p.src[t.start:t.end]+"'", "expected %s, found %s", what, p.show(t))
	default:
		p.unexpected(what)
	}
	return Text{}
}

// optText reads COMMENT '..' and the like: a string if kws come next.
func (p *parser) optText(what string, kws ...string) *Text {
	if !p.accept(kws...) {
		return nil
	}
	t := p.text(what)
	return &t
}

// options reads ('k' = 'v', ...).
func (p *parser) options() []Option {
	p.expectOp("(")
	var list []Option
	for {
		if len(list) > 0 && p.isOp(")") {
			p.fail(p.cur(), "remove the comma before it", "expected another option, found \")\"")
		}
		from := p.i
		o := Option{Key: p.text("an option such as 'key' = 'value'")}
		if p.cur().kind == tokString { // not shown: it may be a password
			p.fail(p.cur(), "", "expected \"=\" after the option '%s'", clip(o.Key.Value))
		}
		p.expectOp("=")
		if k := p.cur().kind; k != tokString && k != tokEOF && MaskValue(o.Key.Value, "") == Masked {
			p.fail(p.cur(), "", "expected the value of '%s' as a string in single quotes", clip(o.Key.Value))
		}
		o.Value = p.text("the option's value as a string")
		o.Span = p.span(from)
		list = append(list, o)
		if !p.acceptOp(",") {
			break
		}
	}
	if p.cur().kind == tokString {
		p.fail(p.cur(), "separate options by a comma", "expected \",\" or \")\", found %s", p.show(p.cur()))
	}
	p.expectOp(")")
	return list
}

// hints reads /*+ NAME(args), ... */ if it comes next.
func (p *parser) hints() []Hint {
	var list []Hint
	for p.cur().kind == tokHint {
		p.next()
		for p.cur().kind != tokHintEnd && p.err == nil {
			list = append(list, p.hint())
			p.acceptOp(",")
		}
		p.next()
	}
	return list
}

func (p *parser) hint() Hint {
	from := p.i
	h := Hint{Name: strings.ToUpper(p.ident("a hint's name").Name)}
	if p.acceptOp("(") && !p.acceptOp(")") {
		for {
			p.hintArg(&h)
			if !p.acceptOp(",") {
				break
			}
		}
		p.expectOp(")")
	}
	h.Span = p.span(from)
	return h
}

// hintArg reads 'k' = 'v', or a bare string, name or number.
func (p *parser) hintArg(h *Hint) {
	from := p.i
	var key Text
	if t := p.cur(); t.kind == tokWord || t.kind == tokNumber {
		p.next()
		for t.kind == tokWord && p.acceptOp(".") {
			p.fieldIdent()
		}
		key = Text{Span: p.span(from)}
		if p.err == nil {
			key.Value = p.src[key.Start:key.End]
		}
	} else if t.kind == tokQuoted {
		key = Text{Span: t.span(), Value: t.val}
		p.next()
	} else {
		key = p.text("a hint's option such as 'key' = 'value'")
	}
	if !p.acceptOp("=") {
		h.Args = append(h.Args, key)
		return
	}
	o := Option{Key: key, Value: p.text("the option's value as a string")}
	o.Span = p.span(from)
	h.Options = append(h.Options, o)
}

// unicodeString reads U&'..' [UESCAPE 'c'].
func (p *parser) unicodeString() string {
	t := p.next()
	esc := '\\'
	if p.accept("UESCAPE") {
		at := p.cur()
		s := p.text("the escape character as a string")
		r, size := utf8.DecodeRuneInString(s.Value)
		if size != len(s.Value) || size == 0 || strings.ContainsRune("+'\" 0123456789abcdefABCDEF", r) {
			p.fail(at, "", "UESCAPE takes one character that is no hexadecimal digit, sign, quote or blank")
		}
		esc = r
	}
	v, ok := decodeUnicode(t.val, esc)
	if !ok {
		p.fail(t, "write U&'\\00e9', or \\+01f600 with six digits", "malformed Unicode escape")
	}
	return v
}

// decodeUnicode resolves \xxxx, \+xxxxxx and \\ for the escape character esc.
func decodeUnicode(s string, esc rune) (string, bool) {
	var b strings.Builder
	e := string(esc)
	for {
		i := strings.Index(s, e)
		if i < 0 {
			b.WriteString(s)
			return b.String(), true
		}
		b.WriteString(s[:i])
		s = s[i+len(e):]
		if strings.HasPrefix(s, e) {
			b.WriteString(e)
			s = s[len(e):]
			continue
		}
		n := 4
		if strings.HasPrefix(s, "+") {
			s, n = s[1:], 6
		}
		if len(s) < n {
			return "", false
		}
		var r rune
		for _, c := range []byte(s[:n]) {
			d := strings.IndexByte("0123456789abcdef", c|0x20)
			if d < 0 || c < '0' {
				return "", false
			}
			r = r<<4 | rune(d)
		}
		if !utf8.ValidRune(r) {
			return "", false
		}
		b.WriteRune(r)
		s = s[n:]
	}
}
