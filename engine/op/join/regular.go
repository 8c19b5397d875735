package join

import (
	"fmt"
	"slices"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/rows"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Regular keeps all rows of both sides, or those of the time to live, and joins each row that comes with those that are there. Kinds are Flink's: an
// inner join gives a pair the kind of the row that has come; the other types give +I and -D only, and take back a row padded with NULLs before its
// first pair, and give it again after its last. A row that takes back one that is not there (its time to live is over) still takes back its pairs.
type Regular struct {
	base
	// steps are the candidates in order, and the ends of the rows that came; joins that pad only.
	steps   []step
	matched []int32
	sweep   sweeper
}

// step is a candidate pair, or, pair -1, the end of the k-th row of the batch.
type step struct{ k, pair int32 }

var (
	_ op.Operator    = (*Regular)(nil)
	_ op.Snapshotter = (*Regular)(nil)
	_ op.Timer       = (*Regular)(nil)
)

// Open makes the state.
func (o *Regular) Open(ctx *op.Context) error {
	stay := o.spec.Type == graph.InnerJoin && !o.spec.Retracts && o.spec.TTLMS <= 0
	if err := o.open(ctx, o.spec.Retracts, stay); err != nil {
		return err
	}
	keys := ctx.Task.KeyRange
	if keys.Limit <= keys.First {
		keys = stream.KeyRange{Limit: stream.KeyGroup(max(ctx.Task.MaxParallelism, 1))}
	}
	o.sweep.open(keys, o.spec.TTLMS, ctx.Clock.Now().UnixMilli())
	return nil
}

// Process joins the rows of b with those of the other input, and keeps them.
func (o *Regular) Process(in int, b *vec.Batch, out op.Output) error {
	if b.Len() == 0 {
		return nil
	}
	if !o.spec.Retracts && slices.ContainsFunc(b.Kinds(), vec.RowKind.Retracts) {
		return fmt.Errorf("join of inserts only got rows that take others back, on input %d", in)
	}
	now := o.ctx.Clock.Now().UnixMilli()
	o.split(in, b)
	if err := o.unkeyed(in, b, out); err != nil {
		return err
	}
	if len(o.sel) == 0 {
		return nil
	}
	sp := o.st.Space(0)
	groups := o.groupsOf(sp)
	if err := sp.Load(1-in, groups); err != nil {
		return err
	}
	if b.Kinds() != nil {
		if err := sp.Load(in, groups); err != nil {
			return err
		}
	}
	o.begin(in, b, sp)
	var err error
	if o.spec.Type == graph.InnerJoin {
		err = o.inner(in, b, sp, groups, now-o.spec.TTLMS, out)
	} else {
		err = o.outer(in, b, sp, groups, now-o.spec.TTLMS, out)
	}
	if err != nil {
		return err
	}
	o.keep(in, b, sp, groups, now)
	sp.Account()
	return o.account()
}

// begin lets pairs read the batch on one side and the kept rows on the other.
func (o *Regular) begin(in int, b *vec.Batch, sp *rows.Space) {
	if in == left {
		o.pair.begin(b.Cols(), sp.Cols(right))
	} else {
		o.pair.begin(sp.Cols(left), b.Cols())
	}
}

// unkeyed sees to the rows with a NULL among their keys: they never have a partner.
func (o *Regular) unkeyed(in int, b *vec.Batch, out op.Output) error {
	if len(o.nulls) == 0 || !o.pads[in] || o.spec.Type == graph.SemiJoin {
		return nil
	}
	o.pair.beginOne(in, b.Cols())
	for _, i := range o.nulls {
		o.pad(in, o.padKind(b.Kind(i)), int32(i))
	}
	return o.pair.emitEvents(out)
}

// padKind is the kind of a row without a partner: that of the row where it is given alone, else +I or -D.
func (o *Regular) padKind(k vec.RowKind) vec.RowKind {
	switch {
	case o.single():
		return k
	case k.Retracts():
		return vec.Delete
	default:
		return vec.Insert
	}
}

// pad notes a row of one side without a partner.
func (o *Regular) pad(in int, kind vec.RowKind, row int32) {
	if in == left {
		o.pair.add(kind, row, -1)
	} else {
		o.pair.add(kind, -1, row)
	}
}

// expired reports a kept row whose time to live is over.
func (o *Regular) expired(sp *rows.Space, in int, row int32, before int64) bool {
	return o.spec.TTLMS > 0 && sp.Stamp(in, row) <= before
}

// inner gives the pairs, with the kinds of the rows that came.
func (o *Regular) inner(in int, b *vec.Batch, sp *rows.Space, groups []int32, before int64, out op.Output) error {
	p, other, changes := &o.pair, 1-in, b.Kinds() != nil
	for k, g := range groups {
		i := o.sel[k]
		for r := sp.Head(other, g); r >= 0; r = sp.Next(other, r) {
			if o.expired(sp, other, r, before) {
				continue
			}
			p.rows[in], p.rows[other] = append(p.rows[in], i), append(p.rows[other], int(r))
			if changes {
				p.kinds = append(p.kinds, b.Kind(i))
			}
			if p.full() {
				if err := o.flushInner(out); err != nil {
					return err
				}
			}
		}
	}
	return o.flushInner(out)
}

func (o *Regular) flushInner(out op.Output) error {
	if o.pair.len() == 0 {
		return nil
	}
	if _, err := o.pair.test(); err != nil {
		return err
	}
	err := o.pair.emit(out)
	o.pair.clear()
	return err
}

// outer gives pairs and rows without partners, one row that came after the other.
func (o *Regular) outer(in int, b *vec.Batch, sp *rows.Space, groups []int32, before int64, out op.Output) error {
	p, other := &o.pair, 1-in
	o.matched = append(o.matched[:0], make([]int32, len(groups))...)
	o.steps = o.steps[:0]
	for k, g := range groups {
		for r := sp.Head(other, g); r >= 0; r = sp.Next(other, r) {
			if o.expired(sp, other, r, before) {
				continue
			}
			o.steps = append(o.steps, step{int32(k), int32(p.len())})
			p.rows[in], p.rows[other] = append(p.rows[in], o.sel[k]), append(p.rows[other], int(r))
			if p.full() {
				if err := o.flushOuter(in, b, sp, out); err != nil {
					return err
				}
			}
		}
		o.steps = append(o.steps, step{int32(k), -1})
	}
	return o.flushOuter(in, b, sp, out)
}

func (o *Regular) flushOuter(in int, b *vec.Batch, sp *rows.Space, out op.Output) error {
	pass, err := o.pair.test()
	if err != nil {
		return err
	}
	all, at := pass == nil, 0
	for _, s := range o.steps {
		kind := b.Kind(o.sel[s.k])
		if s.pair < 0 {
			o.end(in, int(s.k), kind)
			continue
		}
		if !all {
			for at < len(pass) && pass[at] < int(s.pair) {
				at++
			}
			if at == len(pass) || pass[at] != int(s.pair) {
				continue
			}
		}
		o.matched[s.k]++
		o.partner(in, sp, s, kind)
	}
	o.steps = o.steps[:0]
	o.pair.clear()
	return o.pair.emitEvents(out)
}

// end gives a row that came without a partner.
func (o *Regular) end(in, k int, kind vec.RowKind) {
	none := o.matched[k] == 0
	switch {
	case !o.pads[in]:
	case o.spec.Type == graph.SemiJoin && !none, o.spec.Type != graph.SemiJoin && none:
		o.pad(in, o.padKind(kind), int32(o.sel[k]))
	}
}

// partner gives a pair, and what it changes about the row that was there.
func (o *Regular) partner(in int, sp *rows.Space, s step, kind vec.RowKind) {
	p, other := &o.pair, 1-in
	i, r := int32(p.rows[in][s.pair]), int32(p.rows[other][s.pair])
	back := kind.Retracts()
	n := int32(0)
	if o.pads[other] {
		n = sp.Count(other, r)
		if back {
			sp.SetCount(other, r, max(n-1, 0))
		} else {
			sp.SetCount(other, r, n+1)
		}
	}
	give, take := vec.Insert, vec.Delete
	if o.single() {
		if other == left {
			o.single1(r, n, back)
		}
		return
	}
	if !back && o.pads[other] && n == 0 {
		o.pad(other, take, r)
	}
	if back {
		give = take
	}
	if in == left {
		p.add(give, i, r)
	} else {
		p.add(give, r, i)
	}
	if back && o.pads[other] && n == 1 {
		o.pad(other, vec.Insert, r)
	}
}

// single1 gives or takes back left row r, which had n partners and gets one more, or (back) one less.
func (o *Regular) single1(r, n int32, back bool) {
	first, last := !back && n == 0, back && n == 1
	give := first
	if o.spec.Type == graph.AntiJoin {
		give = last
	}
	switch {
	case give:
		o.pair.add(vec.Insert, r, -1)
	case first || last:
		o.pair.add(vec.Delete, r, -1)
	}
}

// keep adds the rows that came, or takes back those that they name.
func (o *Regular) keep(in int, b *vec.Batch, sp *rows.Space, groups []int32, now int64) {
	if b.Kinds() == nil {
		base := sp.Append(in, b.Cols(), o.sel, groups, now)
		o.count(in, sp, base, 0, len(groups))
		return
	}
	from := 0
	for k := range groups {
		i := o.sel[k]
		if !b.Kind(i).Retracts() {
			continue
		}
		o.keepRun(in, b, sp, groups, from, k, now)
		from = k + 1
		if row, prev := sp.Match(in, groups[k], b.Cols(), i, o.rowHash(b, i)); row >= 0 {
			sp.Remove(in, row, prev)
		}
	}
	o.keepRun(in, b, sp, groups, from, len(groups), now)
}

func (o *Regular) keepRun(in int, b *vec.Batch, sp *rows.Space, groups []int32, from, to int, now int64) {
	if from < to {
		base := sp.Append(in, b.Cols(), o.sel[from:to], groups[from:to], now)
		o.count(in, sp, base, from, to)
	}
}

// count notes how many partners the rows have that were appended from base on.
func (o *Regular) count(in int, sp *rows.Space, base int32, from, to int) {
	if !o.pads[in] {
		return
	}
	for k := from; k < to; k++ {
		if n := o.matched[k]; n > 0 {
			sp.SetCount(in, base+int32(k-from), n)
		}
	}
}

func (o *Regular) rowHash(b *vec.Batch, i int) uint64 {
	var one [1]uint64
	sel := [1]int{i}
	vec.Hash(b.Cols(), sel[:], one[:])
	return one[0]
}

// NextTimer is when expired rows are looked for next.
func (o *Regular) NextTimer() stream.Time { return o.sweep.next }

// OnTimer drops the expired rows of one key group; nothing is emitted for them, as in Flink.
func (o *Regular) OnTimer(now stream.Time, _ op.Output) error {
	if kg, ok := o.sweep.due(now); ok {
		if err := o.st.Sweep(0, kg, now-o.spec.TTLMS+1); err != nil {
			return err
		}
	}
	return nil
}

// Snapshot writes the rows to the store.
func (o *Regular) Snapshot(stream.Epoch) ([]byte, error) { return o.snapshot(stream.MinTime) }

// Restore takes up the rows from the store.
func (o *Regular) Restore(parts [][]byte) error {
	_, err := o.restore(parts)
	return err
}

// sweeper says when which key group is searched for expired rows: each about twice in a time to live.
type sweeper struct {
	keys  stream.KeyRange
	at    stream.KeyGroup
	every int64
	next  stream.Time
}

func (s *sweeper) open(keys stream.KeyRange, ttlMS int64, now stream.Time) {
	s.next = stream.MaxTime
	s.keys, s.at = keys, keys.First
	if ttlMS <= 0 {
		return
	}
	s.every = max(ttlMS/(2*(int64(keys.Limit)-int64(keys.First))), 100)
	s.next = now + s.every
}

// due returns the key group to search now.
func (s *sweeper) due(now stream.Time) (stream.KeyGroup, bool) {
	if s.every == 0 || now < s.next && s.next-now <= s.every { // further away: the clock was set back
		return 0, false
	}
	kg := s.at
	if s.at++; s.at >= s.keys.Limit {
		s.at = s.keys.First
	}
	s.next = now + s.every
	return kg, true
}
