// Package window holds the window operators: table functions that assign windows, and aggregation by key and window in one stage or two. How keys and
// accumulators are kept is engine/table's business, what the functions compute engine/agg's.
//
// Windows are sliced: a row is aggregated once, into the slice that its time is in, and a window is put together from its slices when it fires. A window fires
// when the watermark reaches its end less one millisecond; then it is closed for good, and rows all of whose windows are closed are late.
package window

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/table"
	"github.com/bramble-stream/bramble/engine/vec"
)

// New makes the operator of a WindowSpec's stage.
func New(spec graph.WindowSpec, in, out *vec.Schema) (op.Operator, error) {
	if err := check(spec, in, out); err != nil {
		return nil, err
	}
	switch {
	case spec.Stage == graph.Local:
		return newLocal(spec, in, out)
	case spec.Windowing.Kind == graph.Session:
		return newSessionAgg(spec, in, out)
	}
	return newSliced(spec, in, out)
}

// check validates what all stages have in common.
func check(spec graph.WindowSpec, in, out *vec.Schema) error {
	w := spec.Windowing
	switch spec.Stage {
	case graph.Single, graph.Local, graph.Global:
	default:
		return fmt.Errorf("window: stage %q", spec.Stage)
	}
	if len(spec.InputKeyTypes) != len(spec.Keys) {
		return fmt.Errorf("window: %d keys with %d types", len(spec.Keys), len(spec.InputKeyTypes))
	}
	for i, k := range spec.Keys {
		if k < 0 || k >= in.Len() || !in.Fields[k].Type.Equal(spec.InputKeyTypes[i]) {
			return fmt.Errorf("window: key %d is not a column of %s of type %s", k, in, spec.InputKeyTypes[i])
		}
	}
	if spec.Stage != graph.Global {
		if err := checkTiming(w, in); err != nil {
			return err
		}
		if w.Kind == graph.Attached {
			if err := checkAttached(w, in); err != nil {
				return err
			}
		}
	}
	if spec.Stage != graph.Single {
		switch {
		case w.Kind == graph.Session:
			return fmt.Errorf("window: SESSION aggregates in one stage")
		case w.Kind == graph.Attached && w.SizeMS <= 0:
			return fmt.Errorf("window: attached windows of unknown size aggregate in one stage")
		case w.TimeCol < 0:
			return fmt.Errorf("window: processing time aggregates in one stage")
		}
	}
	if spec.Stage == graph.Local {
		return nil
	}
	if err := checkBounds(out, len(spec.Keys)+len(spec.Aggs)); err != nil {
		return err
	}
	return nil
}

func checkAttached(w graph.Windowing, in *vec.Schema) error {
	for _, c := range []int{w.StartCol, w.EndCol} {
		if c < 0 || c >= in.Len() || !in.Fields[c].Type.Kind.IsTimestamp() {
			return fmt.Errorf("window: column %d of %s is not the bound of a window", c, in)
		}
	}
	return nil
}

// partialsAt is where in the input of Global the partial columns begin: after the keys and slice_end.
func partialsAt(spec graph.WindowSpec) int { return len(spec.Keys) + 1 }

// checkGlobalInput checks the layout that Local emits.
func checkGlobalInput(spec graph.WindowSpec, in *vec.Schema) error {
	at := partialsAt(spec)
	var types []vec.Type
	for _, a := range spec.Aggs {
		types = append(types, agg.PartialTypes(a)...)
	}
	if in.Len() != at+len(types) || in.Fields[at-1].Type.Kind != vec.Int64 {
		return fmt.Errorf("window: %s is not keys, slice_end BIGINT and %d partial columns", in, len(types))
	}
	for i, t := range types {
		if !in.Fields[at+i].Type.Equal(t) {
			return fmt.Errorf("window: partial column %s is %s, want %s", in.Fields[at+i].Name, in.Fields[at+i].Type, t)
		}
	}
	return nil
}

// countAt is which partial column counts all records of a row, -1 when none does.
func countAt(specs []agg.Spec) int {
	at := 0
	for _, a := range specs {
		if a.Func == "COUNT" && len(a.Args) == 0 && a.Filter < 0 && !a.Distinct {
			return at
		}
		at += len(agg.PartialTypes(a))
	}
	return -1
}

// defaultMemory is the budget of an operator that the runtime gives none.
const defaultMemory = 32 << 20

// nullTime is why a row is bad that belongs to no window.
const nullTime = "its time is NULL"

// lateRows routes and counts rows whose windows are all closed.
type lateRows struct {
	ctx  *op.Context
	side op.Output
	view *vec.Batch
}

func (l *lateRows) open(ctx *op.Context, in *vec.Schema) {
	l.ctx = ctx
	if ctx.Side != nil {
		l.side = ctx.Side(graph.TagLate)
	}
	l.view = vec.NewBatch(in)
}

// add takes rows of b: sel lists them, nil all n. counts, where it is not nil, says how many records a row stands for.
func (l *lateRows) add(b *vec.Batch, sel []int, n int, counts *vec.Col) error {
	records := int64(n)
	if counts != nil {
		records = 0
		v := vec.Values[int64](counts)
		for k := range n {
			i := k
			if sel != nil {
				i = sel[k]
			}
			records += v[i]
		}
	}
	l.ctx.Metrics.Late.Add(records)
	l.ctx.Rejected.Late(b, sel, n, "all windows of the row had been given")
	if l.side == nil {
		return nil
	}
	l.view.ViewOf(b)
	if sel != nil {
		l.view.SetSel(sel)
	}
	return l.side.Emit(l.view)
}

// refuseRetractions says no to rows that take others back: a window's result is final.
func refuseRetractions(b *vec.Batch) error {
	kinds := b.Kinds()
	if kinds == nil {
		return nil
	}
	sel := b.Sel()
	for k := range b.Len() {
		i := k
		if sel != nil {
			i = sel[k]
		}
		if kinds[i].Retracts() {
			return fmt.Errorf("window aggregation takes inserts only, not %s rows", kinds[i])
		}
	}
	return nil
}

// pick appends the columns at the positions to dst.
func pick(dst []*vec.Col, b *vec.Batch, at []int) []*vec.Col {
	for _, i := range at {
		dst = append(dst, b.Col(i))
	}
	return dst
}

// options are what a table of the task takes.
func options(ctx *op.Context, keys []vec.Type, aggs []agg.Spec) table.Options {
	budget := ctx.MemoryBytes
	if budget <= 0 {
		budget = defaultMemory
	}
	return table.Options{
		Keys: keys, Aggs: aggs, BudgetBytes: budget, Open: ctx.OpenState,
		MaxParallelism: max(ctx.Task.MaxParallelism, 1), KeyRange: keyRange(ctx),
	}
}

// keyRange is the task's, all key groups for an operator outside keyed vertices.
func keyRange(ctx *op.Context) stream.KeyRange {
	if r := ctx.Task.KeyRange; r.Limit > r.First {
		return r
	}
	return stream.KeyRange{Limit: stream.KeyGroup(max(ctx.Task.MaxParallelism, 1))}
}
