package expr

import "strings"

// compiledMax bounds what is kept of patterns that come from data; beyond it the site starts afresh.
const compiledMax = 64

// compiledArg is what an argument's text is compiled to: a pattern, a path, a zone. A constant is compiled once, others when they are new.
type compiledArg[T any] struct {
	compile func(string) (T, error)
	arg     int
	fixed   bool
	last    compiledText[T]
	valid   bool
	known   map[string]compiledText[T]
}

type compiledText[T any] struct {
	// text is a copy: the argument's memory changes with the next batch.
	text string
	v    T
	err  error
}

// newCompiledArg prepares argument arg of the site. Its error is that of a constant.
func newCompiledArg[T any](s *Site, arg int, compile func(string) (T, error)) (*compiledArg[T], error) {
	c := &compiledArg[T]{compile: compile, arg: arg}
	if text, ok := s.ConstString(arg); ok {
		return fixedArg(text, compile)
	}
	return c, nil
}

// fixedArg stands for an argument that is not there.
func fixedArg[T any](text string, compile func(string) (T, error)) (*compiledArg[T], error) {
	c := &compiledArg[T]{compile: compile, fixed: true}
	c.last.text = text
	c.last.v, c.last.err = compile(text)
	return c, c.last.err
}

// at is the value for row i of the frame.
func (c *compiledArg[T]) at(args []Arg, i int) (T, error) {
	if c.fixed {
		return c.last.v, c.last.err
	}
	text := args[c.arg].Str(i)
	if c.valid && text == c.last.text {
		return c.last.v, c.last.err
	}
	res, ok := c.known[text]
	if !ok {
		if c.known == nil || len(c.known) >= compiledMax {
			c.known = make(map[string]compiledText[T], compiledMax)
		}
		res.text = strings.Clone(text)
		res.v, res.err = c.compile(res.text)
		c.known[res.text] = res
	}
	c.last, c.valid = res, true
	return res.v, res.err
}
