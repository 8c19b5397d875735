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
	filter  *expr.Filter
	program *expr.Program
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
	if c.spec.Filter != nil {
		if c.filter, err = expr.CompileFilter(c.spec.Filter, env); err != nil {
			return fmt.Errorf("compile filter: %w", err)
		}
	}
	if c.spec.Exprs != nil {
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
	if c.filter != nil {
		if err := c.filter.Apply(c.view); err != nil {
			return err
		}
	}
	if c.view.Len() == 0 {
		return nil
	}
	if c.program == nil {
		c.view.SetSchema(c.out)
		return out.Emit(c.view)
	}
	cols, err := c.program.Eval(c.view)
	if err != nil {
		return err
	}
	for i, col := range cols {
		c.result.SetCol(i, col)
	}
	c.result.SetRows(c.view.Rows())
	c.result.SetSel(c.view.Sel())
	c.result.SetKinds(c.view.Kinds())
	return out.Emit(c.result)
}

// Close does nothing: a Calc holds no resources.
func (c *Calc) Close() error { return nil }
