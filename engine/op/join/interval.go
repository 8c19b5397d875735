package join

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/rows"
	"github.com/bramble-stream/bramble/engine/sample"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Interval joins rows of which the left one's time less the right one's is in [LowerMS, UpperMS]. A pair is given when the second of them comes; a
// row without a partner when the watermark says that none will come any more. Rows are kept in buckets by time, which are forgotten whole. A row
// that the watermark has passed, and whose partners it has passed too, is late. Its watermark stays behind by as much as a row may wait, so
// that both times stay time attributes.
type Interval struct {
	base
	// width is the length of a bucket, delay how far the watermark stays behind; milliseconds.
	width, delay int64
	wm           stream.Time
	// given is the watermark that has been passed on.
	given   stream.Time
	matched []int32
	order   []int
	part    []int
	hpart   []uint64
	found   []int32
}

var (
	_ op.Operator         = (*Interval)(nil)
	_ op.WatermarkHandler = (*Interval)(nil)
	_ op.Snapshotter      = (*Interval)(nil)
)

const (
	// bucketsMin is into how many buckets the interval is divided, at least: each row is looked for in one more than that, and what is kept too long is one
	// bucket.
	bucketsMin = 4
	// bucketMinMS keeps the buckets of short intervals from being many.
	bucketMinMS = 1000
	// timeEnd keeps sums of times from overflowing.
	timeEnd = math.MaxInt64 / 4
)

// Open makes the state.
func (o *Interval) Open(ctx *op.Context) error {
	o.width = max((o.spec.UpperMS-o.spec.LowerMS)/bucketsMin, bucketMinMS)
	o.delay = max(0, o.waits(left), o.waits(right))
	if o.pads[left] || o.pads[right] {
		o.delay += o.width
	}
	o.wm, o.given = stream.MinTime, stream.MinTime
	return o.open(ctx, false, false)
}

// waits is how far the watermark must be past a row's time for it to get no partner any more.
func (o *Interval) waits(in int) int64 {
	if in == left {
		return -o.spec.LowerMS
	}
	return o.spec.UpperMS
}

// bucket is the namespace of a side's rows of a time: two for each bucket of time.
func (o *Interval) bucket(in int, t int64) int64 {
	t = min(max(t, -timeEnd), timeEnd)
	b := t / o.width
	if t%o.width < 0 {
		b--
	}
	return 2*b + int64(in)
}

// over reports whether the rows of a namespace get no partners any more.
func (o *Interval) over(ns int64) bool {
	in := int(ns & 1)
	last := (ns>>1)*o.width + o.width - 1
	return o.done(in, last)
}

// done reports whether a row of the time gets no partners any more.
func (o *Interval) done(in int, t int64) bool {
	return o.wm != stream.MinTime && min(max(t, -timeEnd), timeEnd)+o.waits(in) <= o.wm
}

func (o *Interval) times(in int, b *vec.Batch) (*vec.Col, []int64) {
	c := b.Col(o.timeCol(in))
	return c, vec.Values[int64](c)
}

// Process joins the rows of b with those of the other input, and keeps them.
func (o *Interval) Process(in int, b *vec.Batch, out op.Output) error {
	if b.Len() == 0 {
		return nil
	}
	o.split(in, b)
	col, times := o.times(in, b)
	o.refuse(in, b, col, times)
	if err := o.unkeyed(in, b, out); err != nil {
		return err
	}
	if len(o.sel) == 0 {
		return nil
	}
	o.matched = append(o.matched[:0], make([]int32, b.Rows())...)
	if err := o.probe(in, b, times, out); err != nil {
		return err
	}
	if err := o.keep(in, b, times, out); err != nil {
		return err
	}
	return o.account()
}

// refuse drops late rows, and those without a time, which match nothing: they count as rows without keys.
func (o *Interval) refuse(in int, b *vec.Batch, col *vec.Col, times []int64) {
	kept, late := o.sel[:0], int64(0)
	var some [sample.RowsMax]int
	for k, i := range o.sel {
		switch {
		case col.IsNull(i):
			o.nulls = append(o.nulls, i)
		case times[i] <= o.wm && o.done(in, times[i]):
			if late < int64(len(some)) {
				some[late] = i
			}
			late++
		default:
			o.hashes[len(kept)] = o.hashes[k]
			kept = append(kept, i)
		}
	}
	o.sel, o.hashes = kept, o.hashes[:len(kept)]
	if late > 0 {
		o.ctx.Metrics.Late.Add(late)
		o.ctx.Rejected.Late(b, some[:], int(min(late, int64(len(some)))), "nothing that may still come would be within the join's interval")
	}
}

// unkeyed gives the rows that never have a partner where they are wanted.
func (o *Interval) unkeyed(in int, b *vec.Batch, out op.Output) error {
	if len(o.nulls) == 0 || !o.pads[in] {
		return nil
	}
	o.pair.beginOne(in, b.Cols())
	for _, i := range o.nulls {
		o.pad(in, int32(i))
	}
	return o.pair.emitEvents(out)
}

func (o *Interval) pad(in int, row int32) {
	if in == left {
		o.pair.add(vec.Insert, row, -1)
	} else {
		o.pair.add(vec.Insert, -1, row)
	}
}

// partners are the times, both included, that partners of a row have.
func (o *Interval) partners(in int, t int64) (lo, hi int64) {
	if in == left {
		return t - o.spec.UpperMS, t - o.spec.LowerMS
	}
	return t + o.spec.LowerMS, t + o.spec.UpperMS
}

// probe gives the pairs of the batch's rows with kept ones, a bucket of the other side after the other.
func (o *Interval) probe(in int, b *vec.Batch, times []int64, out op.Output) error {
	first, last := times[o.sel[0]], times[o.sel[0]]
	for _, i := range o.sel {
		first, last = min(first, times[i]), max(last, times[i])
	}
	lo, _ := o.partners(in, first)
	_, hi := o.partners(in, last)
	spaces := o.st.Namespaces()
	at, _ := slices.BinarySearch(spaces, o.bucket(1-in, lo))
	for ; at < len(spaces) && spaces[at] <= o.bucket(1-in, hi); at++ {
		if int(spaces[at]&1) == 1-in {
			if err := o.probeBucket(in, b, times, o.st.Lookup(spaces[at]), spaces[at]>>1, out); err != nil {
				return err
			}
		}
	}
	return nil
}

// probeBucket gives the pairs with the rows of one bucket.
func (o *Interval) probeBucket(in int, b *vec.Batch, times []int64, sp *rows.Space, bucket int64, out op.Output) error {
	from, to := bucket*o.width, bucket*o.width+o.width-1
	o.part, o.hpart = o.part[:0], o.hpart[:0]
	for k, i := range o.sel {
		if lo, hi := o.partners(in, times[i]); lo <= to && hi >= from {
			o.part, o.hpart = append(o.part, i), append(o.hpart, o.hashes[k])
		}
	}
	if len(o.part) == 0 {
		return nil
	}
	groups, err := o.find(in, sp)
	if err != nil {
		return err
	}
	p, other := &o.pair, 1-in
	if in == left {
		p.begin(b.Cols(), sp.Cols(right))
	} else {
		p.begin(sp.Cols(left), b.Cols())
	}
	kept := vec.Values[int64](sp.Cols(other)[o.timeCol(other)])
	for k, g := range groups {
		if g < 0 {
			continue
		}
		i := o.part[k]
		lo, hi := o.partners(in, times[i])
		for r := sp.Head(other, g); r >= 0; r = sp.Next(other, r) {
			if t := kept[r]; t < lo || t > hi {
				continue
			}
			p.rows[in], p.rows[other] = append(p.rows[in], i), append(p.rows[other], int(r))
			if p.full() {
				if err := o.flush(in, sp, out); err != nil {
					return err
				}
			}
		}
	}
	return o.flush(in, sp, out)
}

func (o *Interval) timeCol(in int) int {
	if in == left {
		return o.spec.LeftTime
	}
	return o.spec.RightTime
}

// find returns the groups of the rows in part, -1 for keys that are not there.
func (o *Interval) find(in int, sp *rows.Space) ([]int32, error) {
	if cap(o.found) < len(o.part) {
		o.found = make([]int32, vec.MaxRows)
	}
	found := o.found[:len(o.part)]
	if !sp.Spilled() {
		sp.Find(o.cols, o.part, o.hpart, found)
		return found, nil
	}
	copy(found, sp.Groups(o.cols, o.part, len(o.part), o.hpart))
	err := sp.Load(1-in, found)
	sp.Account()
	return found, err
}

// flush tests the candidates, notes who has a partner, and gives the pairs.
func (o *Interval) flush(in int, sp *rows.Space, out op.Output) error {
	p, other := &o.pair, 1-in
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
	for _, k := range pass {
		o.matched[p.rows[in][k]] = 1
		if r := int32(p.rows[other][k]); o.pads[other] && sp.Count(other, r) == 0 {
			sp.SetCount(other, r, 1)
		}
	}
	err = p.emit(out)
	p.clear()
	return err
}

// keep adds the rows to their buckets, save those that get no more partners.
func (o *Interval) keep(in int, b *vec.Batch, times []int64, out op.Output) error {
	o.order = o.order[:0]
	sorted := true
	last := int64(math.MinInt64)
	o.pair.beginOne(in, b.Cols())
	for k, i := range o.sel {
		if o.done(in, times[i]) {
			if o.pads[in] && o.matched[i] == 0 {
				o.pad(in, int32(i))
			}
			continue
		}
		o.order = append(o.order, k)
		ns := o.bucket(in, times[i])
		sorted = sorted && ns >= last
		last = ns
	}
	if err := o.pair.emitEvents(out); err != nil {
		return err
	}
	if !sorted {
		slices.SortStableFunc(o.order, func(x, y int) int {
			return int(min(max(o.bucket(in, times[o.sel[x]])-o.bucket(in, times[o.sel[y]]), -1), 1))
		})
	}
	for from := 0; from < len(o.order); {
		ns := o.bucket(in, times[o.sel[o.order[from]]])
		o.part, o.hpart = o.part[:0], o.hpart[:0]
		for from < len(o.order) && o.bucket(in, times[o.sel[o.order[from]]]) == ns {
			k := o.order[from]
			o.part, o.hpart = append(o.part, o.sel[k]), append(o.hpart, o.hashes[k])
			from++
		}
		sp := o.st.Space(ns)
		row := sp.Append(in, b.Cols(), o.part, sp.Groups(o.cols, o.part, len(o.part), o.hpart), 0)
		for k, i := range o.part {
			if o.pads[in] && o.matched[i] != 0 {
				sp.SetCount(in, row+int32(k), 1)
			}
		}
		sp.Account()
	}
	return nil
}

// OnWatermark forgets the buckets that get no more partners, and gives their rows that had none.
func (o *Interval) OnWatermark(wm stream.Time, out op.Output) error {
	o.wm = max(o.wm, wm) // a restored task may be told of watermarks that it has had
	for at := 0; at < len(o.st.Namespaces()); {
		ns := o.st.Namespaces()[at]
		if !o.over(ns) {
			at++
			continue
		}
		if in := int(ns & 1); o.pads[in] {
			if err := o.st.Each(ns, func(part *rows.Space) error { return o.alone(in, part, out) }); err != nil {
				return err
			}
		}
		if err := o.st.Drop(ns); err != nil {
			return err
		}
	}
	if err := o.account(); err != nil {
		return err
	}
	return o.pass(out)
}

// pass hands the watermark on, less the delay.
func (o *Interval) pass(out op.Output) error {
	wm := o.wm
	if wm != stream.MaxTime {
		if wm < stream.MinTime+o.delay {
			return nil
		}
		wm -= o.delay
	}
	if wm <= o.given {
		return nil
	}
	o.given = wm
	return out.EmitWatermark(wm)
}

// alone gives the rows of a part of a bucket that have had no partner.
func (o *Interval) alone(in int, sp *rows.Space, out op.Output) error {
	o.pair.begin(sp.Cols(left), sp.Cols(right))
	for g := range int32(sp.Len()) {
		for r := sp.Head(in, g); r >= 0; r = sp.Next(in, r) {
			if sp.Count(in, r) == 0 {
				o.pad(in, r)
			}
		}
	}
	return o.pair.emitEvents(out)
}

// Snapshot writes the rows to the store.
func (o *Interval) Snapshot(stream.Epoch) ([]byte, error) {
	own, err := o.snapshot(o.wm)
	if err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint64(own, uint64(o.given)), nil
}

// Restore takes up the rows from the store.
func (o *Interval) Restore(parts [][]byte) error {
	own := make([][]byte, len(parts))
	given := stream.MaxTime
	for i, p := range parts {
		if n := len(p) - 8; n >= 0 {
			own[i] = p[:n]
			given = min(given, int64(binary.BigEndian.Uint64(p[n:])))
		}
	}
	if len(parts) > 0 {
		o.given = given
	}
	var err error
	o.wm, err = o.restore(own)
	return err
}
