// Package group aggregates by key without windows; its output is a changelog. How keys and accumulators are kept is engine/table's business, what the
// functions compute engine/agg's.
package group

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/table"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Op is the operator. A batch is the unit of change: each key that a batch touches gets one change, from its result before the batch to
// that after it, in order of the keys' first rows:
//
//   - a key seen first: +I,
//   - a key whose result changed: -U (with EmitUpdateBefore) and +U; nothing when the result is the same, unless there is a time to live, which downstream
//     state shares,
//   - a key of which no rows are left (retracting input only): -D with the former result.
//
// A retraction of a key that holds nothing is ignored: its rows have expired, or never came.
type Op struct {
	spec    graph.GroupSpec
	in, out *vec.Schema
	ctx     *op.Context
	aggs    []agg.Spec
	tab     *table.Keyed
	keys    []*vec.Col
	// touched are the groups of the batch in order of first appearance, mark[g] == round for each of them.
	touched []int32
	mark    []uint32
	round   uint32
	// fresh[g] says that the group held nothing before the batch.
	fresh []bool
	note  func(g int32)
	// before and after are results, a row for each touched group that was not fresh, and for each touched group.
	existing      []int32
	before, after []*vec.Col
	rows          []int
	groups        []int32
	output        changes
	sweep         sweeper
}

var (
	_ op.Operator    = (*Op)(nil)
	_ op.Timer       = (*Op)(nil)
	_ op.Snapshotter = (*Op)(nil)
)

// defaultMemory is the budget of an operator that the runtime gives none.
const defaultMemory = 32 << 20

// New makes the operator; out is the keys' columns, then one column an aggregate.
func New(spec graph.GroupSpec, in, out *vec.Schema) (op.Operator, error) {
	if len(spec.KeyTypes) != len(spec.Keys) {
		return nil, fmt.Errorf("group: %d keys with %d types", len(spec.Keys), len(spec.KeyTypes))
	}
	if out.Len() != len(spec.Keys)+len(spec.Aggs) {
		return nil, fmt.Errorf("group: %d output columns for %d keys and %d aggregates", out.Len(), len(spec.Keys), len(spec.Aggs))
	}
	for i, k := range spec.Keys {
		if k < 0 || k >= in.Len() || !in.Fields[k].Type.Equal(spec.KeyTypes[i]) {
			return nil, fmt.Errorf("group: key %d is not a column of %s of type %s", k, in, spec.KeyTypes[i])
		}
	}
	o := &Op{spec: spec, in: in, out: out, aggs: append([]agg.Spec(nil), spec.Aggs...)}
	if spec.InputRetracts {
		// how many rows a key has left
		o.aggs = append(o.aggs, agg.Spec{Func: "COUNT", Filter: -1, Type: vec.TypeInt64, Name: "rows"})
	}
	if _, err := agg.New(o.aggs, spec.InputRetracts); err != nil {
		return nil, fmt.Errorf("group: %w", err)
	}
	return o, nil
}

// Open makes the table.
func (o *Op) Open(ctx *op.Context) error {
	o.ctx = ctx
	opt := table.Options{
		Keys: o.spec.KeyTypes, Aggs: o.aggs, Retract: o.spec.InputRetracts, BudgetBytes: ctx.MemoryBytes, Open: ctx.OpenState,
		MaxParallelism: max(ctx.Task.MaxParallelism, 1), KeyRange: ctx.Task.KeyRange,
	}
	if opt.KeyRange.Limit <= opt.KeyRange.First { // outside keyed vertices
		opt.KeyRange = stream.KeyRange{Limit: stream.KeyGroup(opt.MaxParallelism)}
	}
	if opt.BudgetBytes <= 0 {
		opt.BudgetBytes = defaultMemory
	}
	var err error
	if o.tab, err = table.NewKeyed(opt); err != nil {
		return err
	}
	for _, a := range o.aggs {
		o.before, o.after = append(o.before, vec.NewCol(a.Type)), append(o.after, vec.NewCol(a.Type))
	}
	o.note = func(g int32) {
		o.grow(g)
		o.fresh[g] = true
	}
	o.output.open(o)
	o.sweep.open(opt.KeyRange, o.spec.TTLMS, ctx.Clock.Now().UnixMilli())
	return nil
}

// grow makes room for the notes about group g.
func (o *Op) grow(g int32) {
	for int(g) >= len(o.mark) {
		o.mark, o.fresh = append(o.mark, 0), append(o.fresh, false)
	}
}

// Process applies b and emits the changes that it makes.
func (o *Op) Process(_ int, b *vec.Batch, out op.Output) error {
	n := b.Len()
	if n == 0 {
		return nil
	}
	o.keys = o.keys[:0]
	for _, k := range o.spec.Keys {
		o.keys = append(o.keys, b.Col(k))
	}
	groups, err := o.tab.Groups(o.keys, b.Sel(), n, nil, o.note)
	if err != nil {
		return err
	}
	now := o.ctx.Clock.Now().UnixMilli()
	o.touch(groups, now)
	resetAll(o.before)
	o.tab.Set().AppendResult(o.before, o.existing)
	if err := o.apply(b, groups); err != nil {
		return err
	}
	resetAll(o.after)
	o.tab.Set().AppendResult(o.after, o.touched)
	if err := o.output.emit(out); err != nil {
		return err
	}
	return o.finish()
}

func resetAll(cols []*vec.Col) {
	for _, c := range cols {
		c.Reset()
	}
}

// touch lists the groups of a batch, and those of them that hold something. Expired ones hold nothing.
func (o *Op) touch(groups []int32, now stream.Time) {
	o.round++
	if o.round == 0 { // the numbers have been used up: start again
		clear(o.mark)
		o.round = 1
	}
	o.touched, o.existing = o.touched[:0], o.existing[:0]
	stamps := o.tab.Stamps()
	for _, g := range groups {
		o.grow(g)
		if o.mark[g] == o.round {
			continue
		}
		o.mark[g] = o.round
		o.touched = append(o.touched, g)
		if !o.fresh[g] && o.spec.TTLMS > 0 && stamps[g] <= now-o.spec.TTLMS {
			o.tab.Set().Clear(g)
			o.fresh[g] = true
		}
		if !o.fresh[g] {
			o.existing = append(o.existing, g)
		}
		stamps[g] = now
	}
}

// apply adds the rows of b to their groups, or takes them back.
func (o *Op) apply(b *vec.Batch, groups []int32) error {
	set, kinds := o.tab.Set(), b.Kinds()
	if kinds == nil {
		set.Add(b.Cols(), b.Sel(), groups)
		return nil
	}
	if !o.spec.InputRetracts {
		// -U is superfluous to an aggregation over rows that are only added, and +U would count a row twice
		for k, g := range groups {
			if i := at(b.Sel(), k); kinds[i] != vec.Insert {
				return fmt.Errorf("aggregation over inserts only got a %s row of group %d", kinds[i], g)
			}
		}
		set.Add(b.Cols(), b.Sel(), groups)
		return nil
	}
	o.applyChanges(b, groups)
	return nil
}

func at(sel []int, k int) int {
	if sel != nil {
		return sel[k]
	}
	return k
}

// applyChanges applies runs of rows that are added, and of rows that are taken back, in turn.
func (o *Op) applyChanges(b *vec.Batch, groups []int32) {
	sel := b.Sel()
	started := o.output.started(len(o.mark)) // groups that hold something by now
	for _, g := range o.existing {
		started[g] = true
	}
	back := false
	o.rows, o.groups = o.rows[:0], o.groups[:0]
	flush := func() {
		if back {
			o.tab.Set().Retract(b.Cols(), o.rows, o.groups)
		} else {
			o.tab.Set().Add(b.Cols(), o.rows, o.groups)
		}
		o.rows, o.groups = o.rows[:0], o.groups[:0]
	}
	for k, g := range groups {
		i := at(sel, k)
		r := b.Kind(i).Retracts()
		if r && !started[g] {
			continue
		}
		started[g] = true
		if r != back {
			flush()
			back = r
		}
		o.rows, o.groups = append(o.rows, i), append(o.groups, g)
	}
	flush()
	for _, g := range o.touched {
		started[g] = false
	}
}

// finish leaves the table in order for the next batch.
func (o *Op) finish() error {
	o.tab.Touch(o.touched)
	for _, g := range o.output.emptied {
		o.tab.Remove(g)
	}
	for _, g := range o.touched {
		o.fresh[g] = false
	}
	if _, err := o.tab.Trim(); err != nil {
		return err
	}
	o.ctx.Metrics.StateBytes.Store(o.tab.MemBytes())
	o.ctx.Metrics.StateKeys.Store(int64(o.tab.Hot()))
	return nil
}

// NextTimer is when expired keys are looked for next.
func (o *Op) NextTimer() stream.Time { return o.sweep.next }

// OnTimer drops the expired keys of one key group; nothing is emitted for them, as in Flink.
func (o *Op) OnTimer(now stream.Time, _ op.Output) error {
	if kg, ok := o.sweep.due(now); ok {
		if _, err := o.tab.Sweep(kg, now-o.spec.TTLMS+1); err != nil {
			return err
		}
	}
	return nil
}

// snapshotVersion is Snapshot's bytes: all state is in the store.
const snapshotVersion = 1

// Snapshot writes the table to the store.
func (o *Op) Snapshot(stream.Epoch) ([]byte, error) {
	return []byte{snapshotVersion}, o.tab.Snapshot()
}

// Restore takes up the table from the store.
func (o *Op) Restore(parts [][]byte) error {
	for _, p := range parts {
		if len(p) != 1 || p[0] != snapshotVersion {
			return fmt.Errorf("restore group operator: %x is no snapshot of version %d", p, snapshotVersion)
		}
	}
	if o.ctx.OpenState == nil {
		return nil
	}
	return o.tab.Restore()
}

// Close does nothing: the store belongs to the task.
func (o *Op) Close() error { return nil }
