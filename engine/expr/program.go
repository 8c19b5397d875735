package expr

import (
	"cmp"

	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/sorting"
)

// Program is a list of compiled expressions over one input schema. It is not safe for concurrent use.
type Program struct {
	ev    *evaluator
	roots []*node
	outs  []*vec.Col
	// wide[i] is the full column of roots[i] when it is a constant.
	wide []*vec.Col
}

// Compile prepares expressions; what they have in common is computed once. Its errors are about functions that this version does not
// know, and about constants that are wrong for certain (a bad pattern, say).
func Compile(exprs []*Expr, env *Env) (*Program, error) {
	c := newCompiler(env)
	return c.program(exprs, c.root)
}

// program compiles expressions in a scope.
func (c *compiler) program(exprs []*Expr, s *scope) (*Program, error) {
	p := &Program{ev: &evaluator{}, outs: make([]*vec.Col, len(exprs)), wide: make([]*vec.Col, len(exprs))}
	for i, e := range exprs {
		e, err := Fold(e, c.env)
		if err != nil {
			return nil, err
		}
		n, err := c.compile(e, s, 0, 0)
		if err != nil {
			return nil, err
		}
		if n.kind == nodeLit {
			p.wide[i] = vec.NewCol(e.Type.Nullable())
		}
		p.roots = append(p.roots, n)
	}
	p.ev.width = c.width
	return p, nil
}

// Eval computes one column an expression with b.Rows() rows; values at rows that b does not select are arbitrary. The columns belong
// to the program, or are b's own, and are valid until the next Eval. An error is an *EvalError where a row is to blame.
func (p *Program) Eval(b *vec.Batch) ([]*vec.Col, error) {
	if err := p.ev.begin(b); err != nil {
		return nil, err
	}
	return p.eval(b)
}

// eval computes the columns; what the evaluator knows about b already is used.
func (p *Program) eval(b *vec.Batch) ([]*vec.Col, error) {
	sel := b.Sel()
	for i, n := range p.roots {
		r, err := p.ev.eval(n, sel)
		if err != nil {
			return nil, err
		}
		if p.wide[i] != nil {
			broadcast(p.wide[i], r.Col, b.Rows())
			r.Col = p.wide[i]
		}
		p.outs[i] = r.Col
	}
	return p.outs, nil
}

// broadcast makes wide n rows of the only value of one. Strings become a dictionary of one entry.
func broadcast(wide, one *vec.Col, n int) {
	if wide.Len() == n {
		return
	}
	kind, null := wide.Kind(), one.IsNull(0)
	switch {
	case kind.IsNested():
		wide.Reset()
		for range n {
			wide.AppendFrom(one, 0)
		}
		return
	case kind == vec.Bytes:
		wide.Reset()
		for range n {
			wide.AppendFrom(one, 0)
		}
		return
	case kind == vec.String:
		if wide.Dict() == nil {
			d := &vec.Dict{ID: vec.NewDictID(), Offsets: []int32{0, 0}}
			if !null {
				d.Data = append(d.Data, one.Bytes(0)...)
				d.Offsets[1] = int32(len(d.Data))
			}
			wide.SetDict(d)
		}
		wide.Resize(n)
		clear(wide.Codes())
	case kind == vec.Null:
		wide.Resize(n)
		return
	default:
		wide.Resize(n)
		if !null {
			putRows(wide, Arg{Col: one}, nil)
		}
	}
	if null && n > 0 {
		wide.EnsureValid().Fill(n, false)
	}
}

// Filter is a compiled predicate. It is not safe for concurrent use.
type Filter struct {
	ev    *evaluator
	conds []filterCond
	// never is set when the predicate is constant and not TRUE.
	never bool
}

// filterCond is one of the predicates that must all be TRUE.
type filterCond struct {
	n *node
	// cmp is set for a comparison of a fixed-width value with a constant: it selects from the value without a bitmap.
	value *node
	cmp   func(a Arg, rows int, sel, dst []int) []int
}

// CompileFilter prepares a BOOLEAN predicate. Arguments of AND are applied one after the other, each to the rows that are left.
func CompileFilter(e *Expr, env *Env) (*Filter, error) {
	f, _, err := newCompiler(env).filter(e)
	return f, err
}

// filter compiles a predicate and returns the scope of the rows that it lets through.
func (c *compiler) filter(e *Expr) (*Filter, *scope, error) {
	e, err := Fold(e, c.env)
	if err != nil {
		return nil, nil, err
	}
	f := &Filter{ev: &evaluator{}}
	s := c.root
	var add func(e *Expr) error
	add = func(e *Expr) error {
		if e.Op == OpCall && e.Func == "AND" {
			for _, a := range e.Args {
				if err := add(a); err != nil {
					return err
				}
			}
			return nil
		}
		if e.Op == OpLit {
			f.never = f.never || e.Null || e.Lit != "true"
			return nil
		}
		n, err := c.compile(e, s, 0, 0)
		if err != nil {
			return err
		}
		f.conds = append(f.conds, fuse(n))
		s = s.child()
		return nil
	}
	if err := add(e); err != nil {
		return nil, nil, err
	}
	// What is dense costs little and cannot fail, so it goes first.
	sorting.StableBy(f.conds, func(a, b filterCond) int { return cmp.Compare(bitWord(!a.n.dense), bitWord(!b.n.dense)) })
	f.ev.width = c.width
	return f, s, nil
}

// Apply narrows b's selection to the rows where the predicate is TRUE. b is a view that the caller owns: only its selection changes.
func (f *Filter) Apply(b *vec.Batch) error {
	if err := f.ev.begin(b); err != nil {
		return err
	}
	if f.never {
		b.UseSel(b.SelBuf())
		return nil
	}
	for _, c := range f.conds {
		sel := b.Sel()
		if sel != nil && len(sel) == 0 {
			return nil
		}
		n := c.n
		if c.cmp != nil {
			n = c.value
		}
		r, err := f.ev.eval(n, sel)
		if err != nil {
			return err
		}
		dst := b.SelBuf()
		if c.cmp != nil {
			dst = c.cmp(r, b.Rows(), sel, dst)
		} else {
			dst = selectTrue(r, b.Rows(), sel, dst)
		}
		b.UseSel(dst)
	}
	return nil
}

// selectTrue appends the rows of sel (nil: all) where r is TRUE; dst may be the memory of sel.
func selectTrue(r Arg, rows int, sel, dst []int) []int {
	if sel == nil {
		for w := 0; w*64 < rows; w++ {
			t, _ := truth(r, w)
			dst = appendWord(dst, t, w*64, rows)
		}
		return dst
	}
	dst = dst[:len(sel)]
	k := 0
	for _, i := range sel {
		t, _ := truth(r, i>>6)
		dst[k] = i
		k += int(t >> (uint(i) & 63) & 1)
	}
	return dst[:k]
}

// Calc is a filter and a projection compiled as one: what the predicate has computed is not computed again for the columns. It is not
// safe for concurrent use.
type Calc struct {
	filter  *Filter
	program *Program
}

// CompileCalc prepares exprs over the rows where filter is TRUE.
func CompileCalc(filter *Expr, exprs []*Expr, env *Env) (*Calc, error) {
	c := newCompiler(env)
	f, s, err := c.filter(filter)
	if err != nil {
		return nil, err
	}
	p, err := c.program(exprs, s)
	if err != nil {
		return nil, err
	}
	p.ev = f.ev
	p.ev.width = c.width
	return &Calc{filter: f, program: p}, nil
}

// Eval narrows b's selection as Filter.Apply does, then computes the columns as Program.Eval does; none when no row passes.
func (c *Calc) Eval(b *vec.Batch) ([]*vec.Col, error) {
	if err := c.filter.Apply(b); err != nil || b.Len() == 0 {
		return nil, err
	}
	return c.program.eval(b)
}
