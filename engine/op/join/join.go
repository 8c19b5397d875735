// Package join joins two inputs on equal keys: rows of the same windows, rows near each other in time, or all rows. How rows are kept is engine/rows'
// business.
package join

import (
	"encoding/binary"
	"fmt"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/rows"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// The inputs.
const (
	left = iota
	right
)

// base is what all joins have in common. Rows with a NULL among their keys match nothing and are never kept.
type base struct {
	spec graph.JoinSpec
	in   [2]*vec.Schema
	out  *vec.Schema
	ctx  *op.Context
	st   *rows.Store
	keys [2][]int
	// pads says of whose side rows without a partner are given: with NULLs in place of the other side, or alone (semi, anti).
	pads [2]bool
	pair pairs

	// Scratch of one batch: the rows with keys, those without, and their hashes.
	cols   []*vec.Col
	sel    []int
	nulls  []int
	hashes []uint64
	groups []int32
}

// defaultMemory is the budget of an operator that the runtime gives none.
const defaultMemory = 32 << 20

// New makes the operator.
func New(spec graph.JoinSpec, l, r, out *vec.Schema) (op.Operator, error) {
	b := base{spec: spec, in: [2]*vec.Schema{l, r}, out: out, keys: [2][]int{spec.LeftKeys, spec.RightKeys}}
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	switch spec.Type {
	case graph.InnerJoin:
	case graph.LeftJoin, graph.SemiJoin, graph.AntiJoin:
		b.pads[left] = true
	case graph.RightJoin:
		b.pads[right] = true
	case graph.FullJoin:
		b.pads = [2]bool{true, true}
	default:
		return nil, fmt.Errorf("join: unknown type %q", spec.Type)
	}
	switch spec.Mode {
	case graph.Regular:
		return &Regular{base: b}, nil
	case graph.WindowJoin:
		return &Window{base: b}, nil
	case graph.IntervalJoin:
		if spec.UpperMS < spec.LowerMS || b.single() {
			return nil, fmt.Errorf("join: interval from %d to %d ms, type %s", spec.LowerMS, spec.UpperMS, spec.Type)
		}
		return &Interval{base: b}, nil
	default:
		return nil, fmt.Errorf("join: unknown mode %q", spec.Mode)
	}
}

// single reports a join that gives left rows alone.
func (b *base) single() bool { return b.spec.Type == graph.SemiJoin || b.spec.Type == graph.AntiJoin }

// check looks for specs that would run past the columns.
func (b *base) check() error {
	for in, keys := range b.keys {
		if len(keys) != len(b.spec.KeyTypes) {
			return fmt.Errorf("%d keys of input %d with %d types", len(keys), in, len(b.spec.KeyTypes))
		}
		for i, k := range keys {
			if k < 0 || k >= b.in[in].Len() || !b.in[in].Fields[k].Type.Equal(b.spec.KeyTypes[i]) {
				return fmt.Errorf("key %d is not a column of %s of type %s", k, b.in[in], b.spec.KeyTypes[i])
			}
		}
	}
	width := b.in[left].Len() + b.in[right].Len()
	if len(b.spec.Out) != b.out.Len() {
		return fmt.Errorf("%d columns for %s", len(b.spec.Out), b.out)
	}
	for i, c := range b.spec.Out {
		if c < 0 || c >= width || !b.field(c).Type.Equal(b.out.Fields[i].Type) {
			return fmt.Errorf("output column %d of %s is not column %d of the inputs", i, b.out, c)
		}
		if b.single() && c >= b.in[left].Len() {
			return fmt.Errorf("a %s join has no columns of its right input", b.spec.Type)
		}
	}
	if b.spec.Mode == graph.Regular {
		return nil
	}
	for in, c := range []int{b.spec.LeftTime, b.spec.RightTime} {
		if c < 0 || c >= b.in[in].Len() || !b.in[in].Fields[c].Type.Kind.IsTimestamp() {
			return fmt.Errorf("column %d of %s is no time", c, b.in[in])
		}
	}
	return nil
}

// field is column i of the left columns followed by the right ones.
func (b *base) field(i int) vec.Field {
	if n := b.in[left].Len(); i >= n {
		return b.in[right].Fields[i-n]
	}
	return b.in[left].Fields[i]
}

// open makes the rows' store and compiles the condition. hashed is for rows that others take back, chunks for rows that stay as they came.
func (b *base) open(ctx *op.Context, hashed, chunks bool) error {
	b.ctx = ctx
	o := rows.Options{
		Keys: b.spec.KeyTypes, Sides: b.in[:], Hashed: hashed, Chunks: chunks, BudgetBytes: ctx.MemoryBytes, Open: ctx.OpenState,
		MaxParallelism: max(ctx.Task.MaxParallelism, 1), KeyRange: ctx.Task.KeyRange,
	}
	if o.BudgetBytes <= 0 {
		o.BudgetBytes = defaultMemory
	}
	b.st = rows.New(o)
	return b.pair.open(b, &expr.Env{Now: ctx.Clock.Now, Location: ctx.Location, Watermark: ctx.Watermark, Rand: ctx.Rand})
}

// split finds the rows of a batch with keys, in sel with their hashes, and those that have a NULL among them.
func (b *base) split(in int, batch *vec.Batch) {
	b.cols = b.cols[:0]
	nullable := false
	for _, k := range b.keys[in] {
		c := batch.Col(k)
		b.cols = append(b.cols, c)
		nullable = nullable || c.HasNulls()
	}
	b.sel, b.nulls = b.sel[:0], b.nulls[:0]
	sel, n := batch.Sel(), batch.Len()
	for k := range n {
		i := k
		if sel != nil {
			i = sel[k]
		}
		if nullable && b.hasNull(i) {
			b.nulls = append(b.nulls, i)
		} else {
			b.sel = append(b.sel, i)
		}
	}
	if cap(b.hashes) < n {
		b.hashes = make([]uint64, n)
	}
	b.hashes = b.hashes[:len(b.sel)]
	vec.Hash(b.cols, b.sel, b.hashes)
}

func (b *base) hasNull(i int) bool {
	for _, c := range b.cols {
		if c.IsNull(i) {
			return true
		}
	}
	return false
}

// groupsOf returns the groups of the rows in sel; the slice is the operator's until the next call.
func (b *base) groupsOf(sp *rows.Space) []int32 {
	b.groups = append(b.groups[:0], sp.Groups(b.cols, b.sel, len(b.sel), b.hashes)...)
	return b.groups
}

// account brings metrics and memory up to date at the end of a batch.
func (b *base) account() error {
	if err := b.st.Trim(); err != nil {
		return err
	}
	b.ctx.Metrics.StateBytes.Store(b.st.MemBytes())
	b.ctx.Metrics.StateKeys.Store(b.st.Keys())
	return nil
}

// snapshotVersion begins Snapshot's bytes; the last watermark and what rows.Store says follow.
const snapshotVersion = 1

// snapshot writes the rows to the store.
func (b *base) snapshot(wm stream.Time) ([]byte, error) {
	own, err := b.st.Snapshot()
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint64([]byte{snapshotVersion}, uint64(wm)), own...), nil
}

// restore takes up the rows from the store and returns the lowest watermark of the former tasks.
func (b *base) restore(parts [][]byte) (stream.Time, error) {
	wm := stream.MaxTime
	own := make([][]byte, len(parts))
	for i, p := range parts {
		if len(p) < 9 || p[0] != snapshotVersion {
			return 0, fmt.Errorf("restore join: %x is no snapshot of version %d", p, snapshotVersion)
		}
		wm = min(wm, int64(binary.BigEndian.Uint64(p[1:])))
		own[i] = p[9:]
	}
	if len(parts) == 0 {
		wm = stream.MinTime
	}
	return wm, b.st.Restore(own)
}

// Close does nothing: the store belongs to the task.
func (b *base) Close() error { return nil }
