// Package project is the stateless operator Calc: a filter and a projection. It evaluates expressions; what they are is engine/expr's business.
package project

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Calc leaves out the rows where the filter is not TRUE and computes the output columns of the others. Columns that are only passed on are shared
// with the input, not copied; row kinds stay.
type Calc struct {
	spec    graph.CalcSpec
	in, out *vec.Schema
	// One of these is set, or none when rows pass as they are: both is a filter and a projection, which share what they compute.
	filter  *expr.Filter
	program *expr.Program
	both    *expr.Calc
	// view is the input batch narrowed by the filter; result shows the projected columns over the same rows.
	view, result *vec.Batch
}

var _ op.Operator = (*Calc)(nil)

// New makes a Calc from input schema in to output schema out. Expressions are compiled in Open.
func New(spec graph.CalcSpec, in, out *vec.Schema) (op.Operator, error) {
	if spec.Exprs == nil && in.Len() != out.Len() {
		return nil, fmt.Errorf("calc: no expressions, and %d columns become %d", in.Len(), out.Len())
	}
	if spec.Exprs != nil && len(spec.Exprs) != out.Len() {
		return nil, fmt.Errorf("calc: %d expressions for %d columns", len(spec.Exprs), out.Len())
	}
	return &Calc{spec: spec, in: in, out: out}, nil
}

// Open compiles the expressions.
func (c *Calc) Open(ctx *op.Context) error {
	env := &expr.Env{Now: ctx.Clock.Now, Location: ctx.Location, Watermark: ctx.Watermark, Rand: ctx.Rand}
	var err error
	switch {
	case c.spec.Filter != nil && c.spec.Exprs != nil:
		if c.both, err = expr.CompileCalc(c.spec.Filter, c.spec.Exprs, env); err != nil {
			return fmt.Errorf("compile calc: %w", err)
		}
	case c.spec.Filter != nil:
		if c.filter, err = expr.CompileFilter(c.spec.Filter, env); err != nil {
			return fmt.Errorf("compile filter: %w", err)
		}
	case c.spec.Exprs != nil:
		if c.program, err = expr.Compile(c.spec.Exprs, env); err != nil {
			return fmt.Errorf("compile projection: %w", err)
		}
	}
	c.view, c.result = vec.NewBatch(c.in), vec.NewBatch(c.out)
	return nil
}

// Process emits a view of b with the rows that pass and the columns computed; nothing when no row passes.
func (c *Calc) Process(_ int, b *vec.Batch, out op.Output) error {
	c.view.ViewOf(b)
	cols, err := c.eval()
	switch {
	case err != nil:
		return err
	case c.view.Len() == 0:
		return nil
	case cols == nil:
		c.view.SetSchema(c.out)
		return out.Emit(c.view)
	}
	for i, col := range cols {
		c.result.SetCol(i, col)
	}
	c.result.SetRows(c.view.Rows())
	c.result.SetSel(c.view.Sel())
	c.result.SetKinds(c.view.Kinds())
	return out.Emit(c.result)
}

// eval narrows the view and returns the columns, nil when there is nothing to compute.
func (c *Calc) eval() ([]*vec.Col, error) {
	switch {
	case c.both != nil:
		return c.both.Eval(c.view)
	case c.filter != nil:
		return nil, c.filter.Apply(c.view)
	case c.program != nil:
		return c.program.Eval(c.view)
	}
	return nil, nil
}

// Close does nothing: a Calc holds no resources.
func (c *Calc) Close() error { return nil }
