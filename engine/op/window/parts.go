package window

import (
	"slices"

	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// part is the rows of a batch that are in one slice.
type part struct {
	slice int64
	// sel lists the rows, nil for all physical rows of the batch.
	sel []int
	n   int
}

// divider cuts batches into the parts of their slices. Rows mostly come in order of time, so that nearly all batches are one part or two: it first asks
// whether the earliest and the latest row are in the same slice.
type divider struct {
	parts []part
	times []int64
	rows  []int
	// arena holds the selections of all parts, one after the other.
	arena []int
	index []int32
	count []int
}

// single makes one part of the whole batch.
func (d *divider) single(b *vec.Batch, slice int64) []part {
	d.parts = append(d.parts[:0], part{slice, b.Sel(), b.Len()})
	return d.parts
}

// bySlice cuts by an INT64-like column that names slices itself; rows where it is NULL are counted as bad.
func (d *divider) bySlice(b *vec.Batch, col *vec.Col) (parts []part, bad int) {
	lo, hi, bad := d.extent(b, col)
	if lo == hi && bad == 0 {
		return d.single(b, lo), 0
	}
	d.load(b, col)
	return d.cut(func(t int64) int64 { return t }), bad
}

// byTime cuts by a time attribute.
func (d *divider) byTime(b *vec.Batch, col *vec.Col, s *shape, z *zone) (parts []part, bad int) {
	lo, hi, bad := d.extent(b, col)
	if bad == 0 && lo <= hi && z.steady(lo, hi) {
		if first := s.sliceEnd(z.local(lo)); z.local(hi) < first {
			return d.single(b, first), 0
		}
	}
	d.load(b, col)
	return d.cut(func(t int64) int64 { return s.sliceEnd(z.local(t)) }), bad
}

// extent returns the least and the greatest value of the selected rows, and how many are NULL; lo > hi when there are none.
func (d *divider) extent(b *vec.Batch, col *vec.Col) (lo, hi int64, bad int) {
	lo, hi = stream.MaxTime, stream.MinTime
	v, valid := vec.Values[int64](col), col.Valid()
	switch sel := b.Sel(); {
	case sel == nil && valid == nil:
		for _, t := range v {
			lo, hi = min(lo, t), max(hi, t)
		}
	case valid == nil:
		for _, i := range sel {
			lo, hi = min(lo, v[i]), max(hi, v[i])
		}
	default:
		n := b.Len()
		for k := range n {
			i := k
			if sel != nil {
				i = sel[k]
			}
			if !valid.Get(i) {
				bad++
				continue
			}
			lo, hi = min(lo, v[i]), max(hi, v[i])
		}
	}
	return lo, hi, bad
}

// load lists the rows that are not NULL with their values.
func (d *divider) load(b *vec.Batch, col *vec.Col) {
	d.times, d.rows = d.times[:0], d.rows[:0]
	v, valid, sel := vec.Values[int64](col), col.Valid(), b.Sel()
	for k := range b.Len() {
		i := k
		if sel != nil {
			i = sel[k]
		}
		if valid == nil || valid.Get(i) {
			d.times, d.rows = append(d.times, v[i]), append(d.rows, i)
		}
	}
}

// cut sorts the loaded rows into parts, in order of the slices.
func (d *divider) cut(sliceOf func(int64) int64) []part {
	d.parts, d.index, d.count = d.parts[:0], d.index[:0], d.count[:0]
	last := int32(-1)
	for _, t := range d.times {
		s := sliceOf(t)
		if last < 0 || d.parts[last].slice != s {
			last = d.find(s)
		}
		d.index = append(d.index, last)
		d.parts[last].n++
	}
	at := 0
	for i := range d.parts {
		d.count = append(d.count, at)
		at += d.parts[i].n
	}
	d.arena = slices.Grow(d.arena[:0], at)[:at]
	for k, p := range d.index {
		d.arena[d.count[p]] = d.rows[k]
		d.count[p]++
	}
	for i := range d.parts {
		p := &d.parts[i]
		p.sel = d.arena[d.count[i]-p.n : d.count[i]]
	}
	slices.SortFunc(d.parts, func(a, b part) int { return compare(a.slice, b.slice) })
	return d.parts
}

// find returns the index of the part of a slice. The parts of a batch are few; when they are not, the newest are the likeliest.
func (d *divider) find(slice int64) int32 {
	for i, p := range slices.Backward(d.parts) {
		if p.slice == slice {
			return int32(i)
		}
	}
	d.parts = append(d.parts, part{slice: slice})
	return int32(len(d.parts) - 1)
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
