package join

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
)

// pairs gathers candidate pairs of rows, applies the condition to them, and makes output batches. Rows come from two sets of columns, one a side.
type pairs struct {
	b *base
	// from are the columns that rows are numbers in.
	from [2][]*vec.Col
	// rows are the candidates, one of each side; kinds what they are given as, or empty: all inserts.
	rows  [2][]int
	kinds []vec.RowKind
	// cand has the left columns, then the right ones; only needed ones are filled.
	cand   *vec.Batch
	needed []bool
	// tested are the columns that the condition reads.
	tested []bool
	filter *expr.Filter
	result *vec.Batch
	// padded is the batch for rows that are not pairs.
	padded *vec.Batch
	events []event
	index  []int
}

// event is a row of the output that may lack a side: a number in from, or -1.
type event struct {
	kind vec.RowKind
	row  [2]int32
}

func (p *pairs) open(b *base, env *expr.Env) error {
	p.b = b
	s := &vec.Schema{}
	for i := range b.in[left].Len() + b.in[right].Len() {
		f := b.field(i)
		f.Type = f.Type.Nullable()
		s.Fields = append(s.Fields, f)
	}
	p.cand, p.result, p.padded = vec.NewBatch(s), vec.NewBatch(b.out), vec.NewBatch(b.out)
	p.needed, p.tested = make([]bool, s.Len()), make([]bool, s.Len())
	for _, c := range b.spec.Out {
		p.needed[c] = true
	}
	if b.spec.Condition == nil {
		return nil
	}
	b.spec.Condition.Walk(func(e *expr.Expr) {
		if e.Op == expr.OpCol {
			p.needed[e.Col], p.tested[e.Col] = true, true
		}
	})
	var err error
	if p.filter, err = expr.CompileFilter(b.spec.Condition, env); err != nil {
		return fmt.Errorf("compile join condition: %w", err)
	}
	return nil
}

// begin says where rows come from; columns are nil for a side that all events lack.
func (p *pairs) begin(l, r []*vec.Col) {
	p.from = [2][]*vec.Col{l, r}
	p.clear()
}

func (p *pairs) clear() {
	p.rows[left], p.rows[right], p.kinds = p.rows[left][:0], p.rows[right][:0], p.kinds[:0]
}

// full reports that the candidates make a batch.
func (p *pairs) full() bool { return len(p.rows[left]) >= vec.MaxRows }

// len is the number of candidates.
func (p *pairs) len() int { return len(p.rows[left]) }

// test applies the condition. It returns the candidates that pass, ascending, nil for all.
func (p *pairs) test() ([]int, error) {
	p.cand.SetSel(nil)
	p.cand.SetRows(p.len())
	if p.filter == nil {
		return nil, nil
	}
	p.gather(p.tested, nil)
	if err := p.filter.Apply(p.cand); err != nil {
		return nil, err
	}
	return p.cand.Sel(), nil
}

// gather fills columns of cand, those of which but not of not.
func (p *pairs) gather(which, not []bool) {
	n := p.b.in[left].Len()
	for c, ok := range which {
		if !ok || not != nil && not[c] {
			continue
		}
		dst := p.cand.Col(c)
		dst.Reset()
		if c < n {
			dst.AppendSel(p.from[left][c], p.rows[left])
		} else {
			dst.AppendSel(p.from[right][c-n], p.rows[right])
		}
	}
}

// emit gives the pairs that test found.
func (p *pairs) emit(out op.Output) error {
	if p.cand.Len() == 0 {
		return nil
	}
	p.gather(p.needed, p.tested)
	for i, c := range p.b.spec.Out {
		p.result.SetCol(i, p.cand.Col(c))
	}
	p.result.SetRows(p.cand.Rows())
	p.result.SetSel(p.cand.Sel())
	p.result.SetKinds(p.kinds)
	return out.Emit(p.result)
}

// add notes a row that may lack a side; the events are given when there are many of them, or by emitEvents.
func (p *pairs) add(kind vec.RowKind, l, r int32) {
	p.events = append(p.events, event{kind, [2]int32{l, r}})
}

// emitEvents gives the noted rows.
func (p *pairs) emitEvents(out op.Output) error {
	for at := 0; at < len(p.events); at += vec.MaxRows {
		if err := p.emitSome(p.events[at:min(at+vec.MaxRows, len(p.events))], out); err != nil {
			return err
		}
	}
	p.events = p.events[:0]
	return nil
}

func (p *pairs) emitSome(events []event, out op.Output) error {
	b := p.padded
	b.Reset()
	n := p.b.in[left].Len()
	changes := false
	for _, e := range events {
		changes = changes || e.kind != vec.Insert
	}
	for i, c := range p.b.spec.Out {
		side := left
		if c >= n {
			side, c = right, c-n
		}
		var src *vec.Col
		if p.from[side] != nil {
			src = p.from[side][c]
		}
		appendOrNull(b.Col(i), src, events, side)
	}
	if changes {
		kinds := b.EnsureKinds(len(events))
		for k, e := range events {
			kinds[k] = e.kind
		}
	}
	b.SetRows(len(events))
	return out.Emit(b)
}

// appendOrNull appends a column's rows of one side, NULL where the side is lacking.
func appendOrNull(dst, src *vec.Col, events []event, side int) {
	for _, e := range events {
		if r := e.row[side]; r >= 0 {
			dst.AppendFrom(src, int(r))
		} else {
			dst.AppendNull()
		}
	}
}

// beginOne is begin for events of one side.
func (p *pairs) beginOne(in int, cols []*vec.Col) {
	p.clear()
	p.from = [2][]*vec.Col{}
	p.from[in] = cols
}

// identity returns 0, 1, … n-1.
func (p *pairs) identity(n int) []int {
	for len(p.index) < n {
		p.index = append(p.index, len(p.index))
	}
	return p.index[:n]
}
