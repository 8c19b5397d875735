package expr

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// jsonPath is a compiled SQL/JSON path.
type jsonPath struct {
	strict bool
	steps  []jsonStep
	// many says that the path has a wildcard: its result is the list of all values that it leads to.
	many bool
	// buf is for keys with escapes.
	buf []byte
}

// jsonStep leads from a value to a child: the member name, the element index (from the end when negative), or all of them.
type jsonStep struct {
	name  string
	index int
	kind  jsonStepKind
}

type jsonStepKind uint8

const (
	jsonMember jsonStepKind = iota
	jsonElement
	jsonAny        // .* and [*]
	jsonAnyElement // [*]
)

// compileJSONPath reads [lax|strict] $ followed by .name, ['name'], [index], [*] and .*; without a mode a path is strict, as in Flink.
func compileJSONPath(text string) (*jsonPath, error) {
	fail := func(format string, args ...any) (*jsonPath, error) {
		return nil, fmt.Errorf("JSON path '%s': %s", text, fmt.Sprintf(format, args...))
	}
	p := &jsonPath{strict: true}
	s := strings.TrimSpace(text)
	if mode, rest, ok := strings.Cut(s, " "); ok && !strings.HasPrefix(mode, "$") {
		switch strings.ToLower(mode) {
		case "lax":
			p.strict = false
		case "strict":
		default:
			return fail("the mode is lax or strict, not %s", mode)
		}
		s = strings.TrimSpace(rest)
	}
	if !strings.HasPrefix(s, "$") {
		return fail("it must begin with $")
	}
	for s = s[1:]; s != ""; {
		step, n, err := jsonStepOf(s)
		if err != nil {
			return fail("%v", err)
		}
		p.many = p.many || step.kind >= jsonAny
		p.steps = append(p.steps, step)
		s = s[n:]
	}
	return p, nil
}

// jsonStepOf reads the step that s begins with, n bytes of it.
func jsonStepOf(s string) (step jsonStep, n int, err error) {
	switch {
	case strings.HasPrefix(s, ".."):
		return step, 0, unsupported("the descent to all levels (..)")
	case strings.HasPrefix(s, ".["):
		// As Flink's documentation writes it: $.['name'].
		step, n, err = jsonStepOf(s[1:])
		return step, n + 1, err
	case strings.HasPrefix(s, ".*"):
		return jsonStep{kind: jsonAny}, 2, nil
	case s[0] == '.':
		return jsonNameStep(s)
	case s[0] != '[':
		return step, 0, fmt.Errorf("expected . or [ at %s", strconv.Quote(s))
	}
	inner := strings.TrimLeft(s[1:], " ")
	if inner != "" && (inner[0] == '\'' || inner[0] == '"') {
		name, n, err := jsonQuotedName(inner)
		if err != nil {
			return step, 0, err
		}
		rest := strings.TrimLeft(inner[n:], " ")
		if strings.HasPrefix(rest, ",") {
			return step, 0, unsupported("a list of names")
		}
		if !strings.HasPrefix(rest, "]") {
			return step, 0, fmt.Errorf("] is missing at %s", strconv.Quote(rest))
		}
		return jsonStep{kind: jsonMember, name: name}, len(s) - len(rest) + 1, nil
	}
	end := strings.IndexByte(s, ']')
	if end < 0 {
		return step, 0, fmt.Errorf("[ is not closed")
	}
	switch what := strings.TrimSpace(s[1:end]); {
	case what == "*":
		return jsonStep{kind: jsonAnyElement}, end + 1, nil
	case strings.HasPrefix(what, "?"):
		return step, 0, unsupported("a filter [?(…)]")
	case strings.Contains(what, ":") || strings.Contains(what, " to "):
		return step, 0, unsupported("a range of elements [from:to]")
	case strings.Contains(what, ","):
		return step, 0, unsupported("a list of elements [a,b]")
	case strings.HasPrefix(what, "("):
		return step, 0, unsupported("a computed element [(…)]")
	default:
		i, err := strconv.ParseInt(what, 10, 32)
		if err != nil {
			return step, 0, fmt.Errorf("[%s] is neither an index, a name in quotes nor *", what)
		}
		return jsonStep{kind: jsonElement, index: int(i)}, end + 1, nil
	}
}

// jsonNameStep reads .name.
func jsonNameStep(s string) (step jsonStep, n int, err error) {
	n = 1
	if n < len(s) && (s[n] == '"' || s[n] == '\'') {
		name, m, err := jsonQuotedName(s[n:])
		return jsonStep{name: name}, n + m, err
	}
	for n < len(s) && s[n] != '.' && s[n] != '[' && s[n] != ' ' {
		if strings.IndexByte("()?@*,]'\"", s[n]) >= 0 {
			if s[n] == '(' {
				return step, 0, unsupported("the function " + s[1:n] + "()")
			}
			return step, 0, fmt.Errorf("%q in a name; write ['…']", s[n])
		}
		n++
	}
	if n == 1 {
		return step, 0, fmt.Errorf("a name is missing after the point")
	}
	return jsonStep{name: s[1:n]}, n, nil
}

// jsonQuotedName reads 'name' or "name" with backslashes before quotes and backslashes.
func jsonQuotedName(s string) (name string, n int, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			return b.String(), i + 1, nil
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return "", 0, fmt.Errorf("a quote is not closed")
}

// jsonState is how a path ended.
type jsonState uint8

const (
	jsonFound jsonState = iota
	// jsonMissing: a member or element is not there, or the value is of another kind.
	jsonMissing
	// jsonInvalid: the text is not JSON.
	jsonInvalid
)

// lookup follows a path without wildcards; v aliases doc. A missing value of a text that is not valid is jsonInvalid.
func (p *jsonPath) lookup(doc []byte) (v []byte, state jsonState) {
	if len(p.steps) == 0 {
		v, ok := jsonText(doc)
		if !ok {
			return nil, jsonInvalid
		}
		return v, jsonFound
	}
	i := jsonSpace(doc, 0)
	v, end, found := p.child(doc, i, &p.steps[0])
	if end < 0 || jsonSpace(doc, end) != len(doc) {
		return nil, jsonInvalid
	}
	for k := 1; found && k < len(p.steps); k++ {
		v, _, found = p.child(v, 0, &p.steps[k])
	}
	if !found {
		return nil, jsonMissing
	}
	return v, jsonFound
}

// child looks a step up in the value at i, which it checks as a whole: end is -1 when it is not valid. Of members of one name the last counts.
func (p *jsonPath) child(b []byte, i int, step *jsonStep) (v []byte, end int, found bool) {
	switch {
	case i < len(b) && b[i] == '{' && step.kind == jsonMember:
		it := jsonMembers(b, i, 0)
		for it.next() {
			if p.isKey(&it, step.name) {
				v, found = it.value, true
			}
		}
		return v, it.end, found
	case i < len(b) && b[i] == '[' && step.kind == jsonElement:
		at := step.index
		if at < 0 {
			count := 0
			it := jsonElements(b, i, 0)
			for it.next() {
				count++
			}
			at += count
		}
		it := jsonElements(b, i, 0)
		for k := 0; it.next(); k++ {
			if k == at {
				v, found = it.value, true
			}
		}
		return v, it.end, found
	}
	return nil, jsonSkip(b, i, 0), false
}

func (p *jsonPath) isKey(it *jsonIter, name string) bool {
	if !it.escaped {
		return string(it.key) == name
	}
	p.buf = jsonUnescape(p.buf[:0], it.key)
	return string(p.buf) == name
}

// list appends all values that a path with wildcards leads to as a JSON array, and counts them.
func (p *jsonPath) list(dst, doc []byte) (res []byte, count int, state jsonState) {
	v, ok := jsonText(doc)
	if !ok {
		return dst, 0, jsonInvalid
	}
	c := jsonCollector{path: p, dst: append(dst, '[')}
	if !c.walk(v, 0, false) {
		return dst, 0, jsonMissing
	}
	return append(c.dst, ']'), c.count, jsonFound
}

type jsonCollector struct {
	path  *jsonPath
	dst   []byte
	count int
}

// walk follows the steps from step on; it is false when a strict path misses something before its first wildcard (behind one, what is missing is
// left out).
func (c *jsonCollector) walk(v []byte, step int, behind bool) bool {
	if step == len(c.path.steps) {
		if c.count > 0 {
			c.dst = append(c.dst, ',')
		}
		c.dst = jsonCompact(c.dst, v)
		c.count++
		return true
	}
	st := &c.path.steps[step]
	if st.kind < jsonAny {
		child, _, found := c.path.child(v, 0, st)
		if !found {
			return behind
		}
		return c.walk(child, step+1, behind)
	}
	var it jsonIter
	switch {
	case v[0] == '[':
		it = jsonElements(v, 0, 0)
	case v[0] == '{':
		it = jsonMembers(v, 0, 0)
	default:
		return true
	}
	for it.next() {
		c.walk(it.value, step+1, true)
	}
	return true
}

// isScalar reports whether a valid value is neither object nor array.
func isScalar(v []byte) bool { return v[0] != '{' && v[0] != '[' }

func isNull(v []byte) bool { return v[0] == 'n' }

// jsonScalar appends a scalar as text: a string's characters, other values as they are written.
func jsonScalar(dst, v []byte) []byte {
	if v[0] != '"' {
		return append(dst, v...)
	}
	v = v[1 : len(v)-1]
	if bytes.IndexByte(v, '\\') < 0 {
		return append(dst, v...)
	}
	return jsonUnescape(dst, v)
}
