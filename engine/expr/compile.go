package expr

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/bramble-stream/bramble/engine/vec"
)

// nodeKind says how a node is evaluated.
type nodeKind uint8

const (
	nodeCol nodeKind = iota
	nodeLit
	nodeCall
	nodeField
	nodeAnd
	nodeOr
	nodeChoose // CASE and COALESCE
)

// node is one compiled expression. A node belongs to a scope: it is evaluated at most once a batch, for the rows that its scope selects.
// Nodes that are dense hold values for all physical rows and belong to the outermost scope.
type node struct {
	expr *Expr
	kind nodeKind
	args []*node
	// line and column are the node's place in the script or that of the nearest expression around it that has one.
	line, column int
	// dense: res holds for all physical rows; denseKernel: the kernel computes all rows that its arguments hold.
	dense, denseKernel bool
	// strict: NULL arguments give NULL, without the kernel.
	strict bool
	kernel Kernel
	frame  Frame
	// memo is set for functions of one STRING argument: they run once a dictionary entry.
	memo   *memo
	choose *chooser

	// epoch is the evaluation that res belongs to.
	epoch uint64
	res   Arg
	out   vec.Col
	// sel is scratch for a selection; left is the selection of rows still undecided in AND and OR.
	sel   []int
	valid vec.Bitmap
}

// scope is a region of an expression that is evaluated for a selection of its own. Invariant: a scope's rows are a subset of its parent's, and
// the parent's nodes that it shares were compiled, and so are evaluated, before it.
type scope struct {
	parent *scope
	nodes  map[string]*node
}

func (s *scope) child() *scope { return &scope{parent: s, nodes: map[string]*node{}} }

// compiler turns expressions into nodes, each subexpression once.
type compiler struct {
	env  *Env
	root *scope
	ids  map[*node]int
	// width is how many input columns the expressions reach for.
	width int
}

func newCompiler(env *Env) *compiler {
	c := &compiler{env: env.complete(), root: (&scope{}).child(), ids: map[*node]int{}}
	c.root.parent = nil
	return c
}

// key identifies a node among those with the same meaning.
func (c *compiler) key(e *Expr, args []*node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s|%s|%d|%s|%v|%q", e.Op, e.Type, e.Col, e.Func, e.Null, e.Lit)
	for _, a := range args {
		b.WriteString("|" + strconv.Itoa(c.ids[a]))
	}
	return b.String()
}

// intern returns the node equal to n that is visible in the scope, or enters n.
func (c *compiler) intern(s *scope, n *node) *node {
	if n.dense {
		s = c.root
	}
	var k string
	if n.kind == nodeCall && registry[n.expr.Func].Flags&Volatile != 0 {
		// Two calls of RAND() differ; one that is used twice, as by BETWEEN, does not.
		k = fmt.Sprintf("volatile|%p", n.expr)
	} else {
		k = c.key(n.expr, n.args)
	}
	for p := s; p != nil; p = p.parent {
		if old := p.nodes[k]; old != nil {
			return old
		}
	}
	s.nodes[k] = n
	c.ids[n] = len(c.ids)
	return n
}

// compile returns the node for e in scope s; line and column are those of the expression around it.
func (c *compiler) compile(e *Expr, s *scope, line, column int) (*node, error) {
	if e.Line > 0 {
		line, column = e.Line, e.Column
	}
	n := &node{expr: e, line: line, column: column}
	switch e.Op {
	case OpCol:
		if e.Col < 0 {
			return nil, fmt.Errorf("column %d does not exist", e.Col)
		}
		n.kind, n.dense = nodeCol, true
		c.width = max(c.width, e.Col+1)
		return c.intern(s, n), nil
	case OpLit:
		n.kind, n.dense = nodeLit, true
		col, err := literalCol(e)
		if err != nil {
			return nil, err
		}
		n.res = Arg{Col: col}
		return c.intern(s, n), nil
	case OpCall:
		return c.call(n, s)
	}
	return nil, fmt.Errorf("expression of unknown kind %q", e.Op)
}

func (c *compiler) call(n *node, s *scope) (*node, error) {
	f, err := lookup(n.expr.Func)
	if err != nil {
		return nil, err
	}
	if err := f.checkCount(len(n.expr.Args)); err != nil {
		return nil, positioned(n, err)
	}
	switch f.Name {
	case "AND", "OR":
		return c.logic(n, s)
	case "CASE", "COALESCE":
		return c.choice(n, s)
	}
	n.dense = true
	for _, a := range n.expr.Args {
		an, err := c.compile(a, s, n.line, n.column)
		if err != nil {
			return nil, err
		}
		n.args = append(n.args, an)
		n.dense = n.dense && an.dense
	}
	if f.Name == "FIELD" {
		if i := fieldIndex(n.expr); i < 0 || i >= len(n.expr.Args[0].Type.Fields) {
			return nil, positioned(n, fmt.Errorf("no field %s in %s", n.expr.Args[1].Lit, n.expr.Args[0].Type))
		}
		n.kind = nodeField
		return c.intern(s, n), nil
	}
	if f.Build == nil {
		return nil, positioned(n, fmt.Errorf("%s is no function that runs; build calls with Call", f.Name))
	}
	n.kind = nodeCall
	n.strict = f.Flags&NullCall == 0
	site := &Site{Call: n.expr, Env: c.env}
	if n.kernel, err = f.Build(site); err != nil {
		return nil, positioned(n, err)
	}
	n.denseKernel = site.Dense
	n.dense = n.dense && site.Dense && f.Flags&Volatile == 0
	n.out.Init(n.expr.Type.Nullable())
	n.frame.Out = &n.out
	n.frame.Args = make([]Arg, len(n.args))
	if n.strict && f.Flags&Volatile == 0 {
		n.memo = newMemo(n)
	}
	return c.intern(s, n), nil
}

// logic compiles AND and OR: nested ones of the same kind become one node. Each argument has a scope inside the one before.
func (c *compiler) logic(n *node, s *scope) (*node, error) {
	n.kind, n.dense = nodeAnd, true
	if n.expr.Func == "OR" {
		n.kind = nodeOr
	}
	var add func(e *Expr) error
	add = func(e *Expr) error {
		if e.Op == OpCall && e.Func == n.expr.Func {
			for _, a := range e.Args {
				if err := add(a); err != nil {
					return err
				}
			}
			return nil
		}
		s = s.child()
		an, err := c.compile(e, s, n.line, n.column)
		if err != nil {
			return err
		}
		n.args = append(n.args, an)
		n.dense = n.dense && an.dense
		return nil
	}
	outer := s
	if err := add(n.expr); err != nil {
		return nil, err
	}
	n.out.Init(vec.TypeBool)
	return c.intern(outer, n), nil
}

// choice compiles CASE and COALESCE: the first condition sees all rows, each later one those that are left, each value those it is for.
func (c *compiler) choice(n *node, s *scope) (*node, error) {
	n.kind = nodeChoose
	ch := &chooser{}
	n.choose = ch
	outer, args := s, n.expr.Args
	for i := 0; i < len(args); i++ {
		if n.expr.Func == "CASE" && i+1 < len(args) {
			cond, err := c.compile(args[i], s, n.line, n.column)
			if err != nil {
				return nil, err
			}
			ch.conds = append(ch.conds, cond)
			n.args = append(n.args, cond)
			i++
			val, err := c.compile(args[i], s.child(), n.line, n.column)
			if err != nil {
				return nil, err
			}
			ch.vals = append(ch.vals, val)
		} else {
			val, err := c.compile(args[i], s, n.line, n.column)
			if err != nil {
				return nil, err
			}
			ch.vals = append(ch.vals, val)
		}
		n.args = append(n.args, ch.vals[len(ch.vals)-1])
		s = s.child()
	}
	n.out.Init(n.expr.Type.Nullable())
	ch.init(n)
	return c.intern(outer, n), nil
}

// positioned adds where n stands to an error of compiling it.
func positioned(n *node, err error) error {
	if n.line > 0 {
		return fmt.Errorf("%d:%d: %w", n.line, n.column, err)
	}
	return err
}
