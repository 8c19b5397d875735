package join

import (
	"slices"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/rows"
	"github.com/bramble-stream/bramble/engine/sample"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Window keeps the rows of each window until the watermark passes its end, gives all pairs then, and rows without a partner, and forgets the
// window. Its output has inserts only. A row of a window that has been given is late.
type Window struct {
	base
	zone zone
	wm   stream.Time
	// over is the local time up to which windows have been given.
	over stream.Time
}

var (
	_ op.Operator         = (*Window)(nil)
	_ op.WatermarkHandler = (*Window)(nil)
	_ op.Snapshotter      = (*Window)(nil)
)

// Open makes the state.
func (o *Window) Open(ctx *op.Context) error {
	o.zone = newZone(ctx.Location, o.spec.LTZ)
	o.wm, o.over = stream.MinTime, stream.MinTime
	return o.open(ctx, false, false)
}

func (o *Window) timeCol(in int) int {
	if in == left {
		return o.spec.LeftTime
	}
	return o.spec.RightTime
}

// Process keeps the rows of b.
func (o *Window) Process(in int, b *vec.Batch, out op.Output) error {
	if b.Len() == 0 {
		return nil
	}
	col := b.Col(o.timeCol(in))
	ends := vec.Values[int64](col)
	o.split(in, b)
	o.dropLate(b, ends)
	if err := o.unkeyed(in, b, out); err != nil {
		return err
	}
	if len(o.sel) == 0 {
		return nil
	}
	if slices.ContainsFunc(o.sel, func(i int) bool { return ends[i] != ends[o.sel[0]] }) {
		slices.SortStableFunc(o.sel, func(i, j int) int {
			if ends[i] < ends[j] {
				return -1
			}
			if ends[i] > ends[j] {
				return 1
			}
			return 0
		})
		vec.Hash(o.cols, o.sel, o.hashes[:len(o.sel)])
	}
	for from := 0; from < len(o.sel); {
		to := from + 1
		for to < len(o.sel) && ends[o.sel[to]] == ends[o.sel[from]] {
			to++
		}
		sp := o.st.Space(ends[o.sel[from]])
		sel := o.sel[from:to]
		groups := sp.Groups(o.cols, sel, len(sel), o.hashes[from:to])
		sp.Append(in, b.Cols(), sel, groups, 0)
		sp.Account()
		from = to
	}
	return o.account()
}

// dropLate takes the rows of windows that have been given out of the rows of the batch. Keys include the window's end, so that rows with keys have one;
// the others are late when they have one that is over.
func (o *Window) dropLate(b *vec.Batch, ends []int64) {
	if o.over == stream.MinTime {
		return
	}
	var some [sample.RowsMax]int
	found := 0
	late := func(i int) bool {
		if ends[i]-1 > o.over {
			return false
		}
		if found < len(some) {
			some[found] = i
			found++
		}
		return true
	}
	before := len(o.sel) + len(o.nulls)
	kept := o.sel[:0]
	for k, i := range o.sel {
		if !late(i) {
			o.hashes[len(kept)] = o.hashes[k]
			kept = append(kept, i)
		}
	}
	o.sel, o.hashes = kept, o.hashes[:len(kept)]
	o.nulls = slices.DeleteFunc(o.nulls, late)
	if n := before - len(o.sel) - len(o.nulls); n > 0 {
		o.ctx.Metrics.Late.Add(int64(n))
		o.ctx.Rejected.Late(b, some[:], min(n, len(some)), "its window had been given")
	}
}

// unkeyed gives the rows with a NULL among their keys where they are wanted: they never have a partner.
func (o *Window) unkeyed(in int, b *vec.Batch, out op.Output) error {
	if len(o.nulls) == 0 || !o.pads[in] || o.spec.Type == graph.SemiJoin {
		return nil
	}
	o.pair.beginOne(in, b.Cols())
	for _, i := range o.nulls {
		o.pad(in, int32(i))
	}
	return o.pair.emitEvents(out)
}

func (o *Window) pad(in int, row int32) {
	if in == left {
		o.pair.add(vec.Insert, row, -1)
	} else {
		o.pair.add(vec.Insert, -1, row)
	}
}

// OnWatermark gives the windows that are over.
func (o *Window) OnWatermark(wm stream.Time, out op.Output) error {
	o.wm = max(o.wm, wm) // a restored task may be told of watermarks that it has had
	o.over = o.zone.progress(o.wm)
	for {
		open := o.st.Namespaces()
		if len(open) == 0 || open[0]-1 > o.over {
			break
		}
		end := open[0]
		if err := o.st.Each(end, func(part *rows.Space) error { return o.join(part, out) }); err != nil {
			return err
		}
		if err := o.st.Drop(end); err != nil {
			return err
		}
	}
	if err := o.account(); err != nil {
		return err
	}
	return out.EmitWatermark(wm)
}

// join gives what the rows of a part of a window come to. The counts kept with rows say whether they have partners.
func (o *Window) join(sp *rows.Space, out op.Output) error {
	p := &o.pair
	p.begin(sp.Cols(left), sp.Cols(right))
	quick := o.single() && p.filter == nil // whether there is a partner is plain
	for g := range int32(sp.Len()) {
		if quick {
			continue
		}
		for l := sp.Head(left, g); l >= 0; l = sp.Next(left, l) {
			for r := sp.Head(right, g); r >= 0; r = sp.Next(right, r) {
				p.rows[left], p.rows[right] = append(p.rows[left], int(l)), append(p.rows[right], int(r))
				if p.full() {
					if err := o.flush(sp, out); err != nil {
						return err
					}
				}
			}
		}
	}
	if err := o.flush(sp, out); err != nil {
		return err
	}
	for in, wanted := range o.pads {
		if !wanted {
			continue
		}
		for g := range int32(sp.Len()) {
			for r := sp.Head(in, g); r >= 0; r = sp.Next(in, r) {
				partner := sp.Count(in, r) > 0 || quick && sp.Head(right, g) >= 0
				if partner == (o.spec.Type == graph.SemiJoin) {
					o.pad(in, r)
				}
			}
		}
		if err := p.emitEvents(out); err != nil {
			return err
		}
	}
	return nil
}

// flush tests the candidates, notes who has a partner, and gives the pairs.
func (o *Window) flush(sp *rows.Space, out op.Output) error {
	p := &o.pair
	if p.len() == 0 {
		return nil
	}
	pass, err := p.test()
	if err != nil {
		return err
	}
	if pass == nil {
		pass = p.identity(p.len())
	}
	for in, wanted := range o.pads {
		if wanted {
			for _, k := range pass {
				sp.SetCount(in, int32(p.rows[in][k]), 1)
			}
		}
	}
	if !o.single() {
		err = p.emit(out)
	}
	p.clear()
	return err
}

// Snapshot writes the rows to the store.
func (o *Window) Snapshot(stream.Epoch) ([]byte, error) { return o.snapshot(o.wm) }

// Restore takes up the rows from the store. Windows that a former task had given are late for the new one too.
func (o *Window) Restore(parts [][]byte) error {
	wm, err := o.restore(parts)
	o.wm, o.over = wm, o.zone.progress(wm)
	return err
}
