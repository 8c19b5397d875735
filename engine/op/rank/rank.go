// Package rank keeps the first rows of each partition in an order: Top-N, deduplication (the first one), and both for each window. How rows are kept is
// engine/rows' business.
package rank

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/rows"
	"github.com/bramble-stream/bramble/engine/sample"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Op is the operator. Without windows a batch is the unit of change: what a partition gives is compared before and after it. With Number, each rank whose row is
// another now gets -U and +U, +I or -D. Without, rows that are no longer among the first get -D and those that now are +I; where there is only one, -U and +U.
// With windows, the rows of a window are given once, as inserts, when the watermark passes its end.
type Op struct {
	spec    graph.RankSpec
	in, out *vec.Schema
	ctx     *op.Context
	st      *rows.Store
	order   order
	keys    []*vec.Col
	hashes  []uint64
	groups  []int32
	result  result

	// touched are the partitions of a batch, in order of first appearance, with what they gave before it: rows[was[k].from:was[k].to].
	touched []int32
	was     []span
	before  []int32
	after   []int32
	// mark[g] == round for each of them.
	mark  []uint32
	round uint32

	zone zone
	wm   stream.Time
	// over is the local time up to which windows have been given.
	over  stream.Time
	sel   []int
	sweep sweeper
}

type span struct{ from, to int }

var (
	_ op.Operator         = (*Op)(nil)
	_ op.Snapshotter      = (*Op)(nil)
	_ op.Timer            = (*Op)(nil)
	_ op.WatermarkHandler = (*Op)(nil)
)

// defaultMemory is the budget of an operator that the runtime gives none.
const defaultMemory = 32 << 20

// New makes the operator.
func New(spec graph.RankSpec, in, out *vec.Schema) (op.Operator, error) {
	width := in.Len()
	if spec.Number {
		width++
	}
	if out.Len() != width {
		return nil, fmt.Errorf("rank: output %s for input %s", out, in)
	}
	if len(spec.Keys) != len(spec.KeyTypes) || spec.Offset < 0 || spec.Limit <= spec.Offset {
		return nil, fmt.Errorf("rank: %d keys with %d types, ranks behind %d up to %d", len(spec.Keys), len(spec.KeyTypes), spec.Offset, spec.Limit)
	}
	for i, k := range spec.Keys {
		if k < 0 || k >= in.Len() || !in.Fields[k].Type.Equal(spec.KeyTypes[i]) {
			return nil, fmt.Errorf("rank: key %d is not a column of %s of type %s", k, in, spec.KeyTypes[i])
		}
	}
	for _, k := range spec.Order {
		if k.Col < 0 || k.Col >= in.Len() || !ordered(in.Fields[k.Col].Type.Kind) {
			return nil, fmt.Errorf("rank: rows cannot be ordered by column %d of %s", k.Col, in)
		}
	}
	if spec.Window {
		if spec.EndCol < 0 || spec.EndCol >= in.Len() || !in.Fields[spec.EndCol].Type.Kind.IsTimestamp() || spec.InputRetracts {
			return nil, fmt.Errorf("rank: column %d of %s is no end of a window, or rows are taken back", spec.EndCol, in)
		}
	}
	return &Op{spec: spec, in: in, out: out, order: newOrder(spec.Order, in)}, nil
}

// Open makes the state.
func (o *Op) Open(ctx *op.Context) error {
	o.ctx = ctx
	opt := rows.Options{
		Keys: o.spec.KeyTypes, Sides: []*vec.Schema{o.in}, Hashed: o.spec.InputRetracts, BudgetBytes: ctx.MemoryBytes, Open: ctx.OpenState,
		MaxParallelism: max(ctx.Task.MaxParallelism, 1), KeyRange: ctx.Task.KeyRange, LastFirst: o.spec.LastFirst,
		Order: func(cols []*vec.Col, i, j int) int { return o.order.compare(cols, i, cols, j) }, Lead: o.leadMax(),
	}
	if opt.BudgetBytes <= 0 {
		opt.BudgetBytes = defaultMemory
	}
	o.st = rows.New(opt)
	o.result = result{o: o, batch: vec.NewBatch(o.out)}
	o.zone = newZone(ctx.Location, o.spec.LTZ)
	o.wm, o.over = stream.MinTime, stream.MinTime
	keys := ctx.Task.KeyRange
	if keys.Limit <= keys.First {
		keys = stream.KeyRange{Limit: stream.KeyGroup(max(ctx.Task.MaxParallelism, 1))}
	}
	ttl := o.spec.TTLMS
	if o.spec.Window {
		ttl = 0
	}
	o.sweep.open(keys, ttl, ctx.Clock.Now().UnixMilli())
	return nil
}

// Process takes in the rows of b.
func (o *Op) Process(_ int, b *vec.Batch, out op.Output) error {
	if b.Len() == 0 {
		return nil
	}
	o.keys = o.keys[:0]
	for _, k := range o.spec.Keys {
		o.keys = append(o.keys, b.Col(k))
	}
	o.sel = append(o.sel[:0], b.Sel()...)
	if b.Sel() == nil {
		for i := range b.Rows() {
			o.sel = append(o.sel, i)
		}
	}
	var err error
	if o.spec.Window {
		err = o.windows(b)
	} else {
		err = o.changes(b, out)
	}
	if err != nil {
		return err
	}
	return o.account()
}

func (o *Op) account() error {
	if err := o.st.Trim(); err != nil {
		return err
	}
	o.ctx.Metrics.StateBytes.Store(o.st.MemBytes())
	o.ctx.Metrics.StateKeys.Store(o.st.Keys())
	return nil
}

// groupsOf returns the partitions of the rows in sel, with all their rows in memory.
func (o *Op) groupsOf(sp *rows.Space, sel []int) ([]int32, error) {
	if cap(o.hashes) < len(sel) {
		o.hashes = make([]uint64, vec.MaxRows)
	}
	h := o.hashes[:len(sel)]
	vec.Hash(o.keys, sel, h)
	o.groups = append(o.groups[:0], sp.Groups(o.keys, sel, len(sel), h)...)
	return o.groups, sp.Load(0, o.groups)
}

// changes applies a batch and gives what it changes.
func (o *Op) changes(b *vec.Batch, out op.Output) error {
	now := o.ctx.Clock.Now().UnixMilli()
	sp := o.st.Space(0)
	groups, err := o.groupsOf(sp, o.sel)
	if err != nil {
		return err
	}
	o.note(sp, groups)
	for k, g := range groups {
		i := o.sel[k]
		if b.Kind(i).Retracts() {
			if !o.spec.InputRetracts {
				return fmt.Errorf("ranking of inserts only got a %s row", b.Kind(i))
			}
			var one [1]uint64
			sel := [1]int{i}
			vec.Hash(b.Cols(), sel[:], one[:])
			if row, prev := sp.Match(0, g, b.Cols(), i, one[0]); row >= 0 {
				o.remove(sp, g, row, prev)
			}
			continue
		}
		o.insert(sp, b, i, g, now)
	}
	if err := o.compare(sp, out); err != nil {
		return err
	}
	sp.Account()
	return nil
}

// note remembers what the partitions of a batch give before it.
func (o *Op) note(sp *rows.Space, groups []int32) {
	o.touched, o.was, o.before = o.touched[:0], o.was[:0], o.before[:0]
	if o.round++; o.round == 0 { // the numbers have been used up: start again
		clear(o.mark)
		o.round = 1
	}
	for len(o.mark) < sp.Len() {
		o.mark = append(o.mark, 0)
	}
	for _, g := range groups {
		if o.mark[g] == o.round {
			continue
		}
		o.mark[g] = o.round
		o.refill(sp, g)
		from := len(o.before)
		o.before = o.given(o.before, sp, g)
		o.touched, o.was = append(o.touched, g), append(o.was, span{from, len(o.before)})
	}
}

// given appends the rows that a partition gives, in order.
func (o *Op) given(dst []int32, sp *rows.Space, g int32) []int32 {
	n := int64(0)
	for r := sp.Head(0, g); r >= 0 && n < o.spec.Limit; r = sp.Next(0, r) {
		if n++; n > o.spec.Offset {
			dst = append(dst, r)
		}
	}
	return dst
}

// insert puts a row into its place, unless there are enough before it and none is ever taken back. What it pushes out goes.
func (o *Op) insert(sp *rows.Space, b *vec.Batch, i int, g int32, now int64) {
	if o.spec.InputRetracts {
		o.insertKept(sp, b, i, g, now)
		return
	}
	cols, kept := b.Cols(), sp.Cols(0)
	prev, n := int32(-1), int64(0)
	r := sp.Head(0, g)
	for r >= 0 {
		c := o.order.compare(kept, int(r), cols, i)
		if c > 0 || c == 0 && o.spec.LastFirst {
			break
		}
		prev, r = r, sp.Next(0, r)
		n++
		if n >= o.spec.Limit {
			return
		}
	}
	row := sp.Insert(0, cols, i, g, prev, now)
	// The list had Limit rows at most; the one behind them goes.
	prev = row
	for n++; r >= 0; prev, r = r, sp.Next(0, r) {
		if n++; n > o.spec.Limit {
			sp.Remove(0, r, prev)
			return
		}
	}
}

// compare gives the changes of the partitions that the batch has touched.
func (o *Op) compare(sp *rows.Space, out op.Output) error {
	for k, g := range o.touched {
		was := o.before[o.was[k].from:o.was[k].to]
		o.refill(sp, g)
		o.after = o.given(o.after[:0], sp, g)
		if o.spec.Number || o.spec.Limit-o.spec.Offset == 1 {
			o.byRank(was)
		} else {
			o.bySet(was)
		}
		if len(o.result.picks) >= vec.MaxRows-2 {
			if err := o.result.flush(sp.Cols(0), out); err != nil {
				return err
			}
		}
	}
	return o.result.flush(sp.Cols(0), out)
}

// byRank gives the ranks whose row is another now. A batch of picks may pass MaxRows; flush cuts it.
func (o *Op) byRank(was []int32) {
	r := &o.result
	for i := range max(len(was), len(o.after)) {
		rank := o.spec.Offset + int64(i) + 1
		switch {
		case i >= len(was):
			r.add(vec.Insert, o.after[i], rank)
		case i >= len(o.after):
			r.add(vec.Delete, was[i], rank)
		case was[i] != o.after[i]:
			if o.spec.EmitUpdateBefore {
				r.add(vec.UpdateBefore, was[i], rank)
			}
			r.add(vec.UpdateAfter, o.after[i], rank)
		}
	}
}

// bySet gives the rows that are no longer given, then those that are now.
func (o *Op) bySet(was []int32) {
	for _, row := range was {
		if !slices.Contains(o.after, row) {
			o.result.add(vec.Delete, row, 0)
		}
	}
	for _, row := range o.after {
		if !slices.Contains(was, row) {
			o.result.add(vec.Insert, row, 0)
		}
	}
}

// windows takes in rows of windows. Those of windows that have been given are late.
func (o *Op) windows(b *vec.Batch) error {
	col := b.Col(o.spec.EndCol)
	ends := vec.Values[int64](col)
	late := 0
	var some [sample.RowsMax]int
	if o.over != stream.MinTime || col.HasNulls() {
		o.sel = slices.DeleteFunc(o.sel, func(i int) bool {
			if !col.IsNull(i) && ends[i]-1 > o.over {
				return false
			}
			if late < len(some) {
				some[late] = i
			}
			late++
			return true
		})
	}
	if late > 0 {
		o.ctx.Metrics.Late.Add(int64(late))
		o.ctx.Rejected.Late(b, some[:], min(late, len(some)), "its window had been given")
	}
	if len(o.sel) > 0 && slices.ContainsFunc(o.sel, func(i int) bool { return ends[i] != ends[o.sel[0]] }) {
		slices.SortStableFunc(o.sel, func(i, j int) int {
			switch {
			case ends[i] < ends[j]:
				return -1
			case ends[i] > ends[j]:
				return 1
			}
			return 0
		})
	}
	for from := 0; from < len(o.sel); {
		to := from + 1
		for to < len(o.sel) && ends[o.sel[to]] == ends[o.sel[from]] {
			to++
		}
		sp := o.st.Space(ends[o.sel[from]])
		groups, err := o.groupsOf(sp, o.sel[from:to])
		if err != nil {
			return err
		}
		for k, g := range groups {
			o.insert(sp, b, o.sel[from+k], g, 0)
		}
		sp.Account()
		from = to
	}
	return nil
}

// OnWatermark gives the windows that are over.
func (o *Op) OnWatermark(wm stream.Time, out op.Output) error {
	if !o.spec.Window {
		return out.EmitWatermark(wm)
	}
	o.wm = max(o.wm, wm) // a restored task may be told of watermarks that it has had
	o.over = o.zone.progress(o.wm)
	for {
		open := o.st.Namespaces()
		if len(open) == 0 || open[0]-1 > o.over {
			break
		}
		end := open[0]
		if err := o.st.Each(end, func(part *rows.Space) error { return o.window(part, out) }); err != nil {
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

// window gives the rows of a part of a window.
func (o *Op) window(sp *rows.Space, out op.Output) error {
	for g := range int32(sp.Len()) {
		o.after = o.given(o.after[:0], sp, g)
		for i, row := range o.after {
			o.result.add(vec.Insert, row, o.spec.Offset+int64(i)+1)
		}
		if len(o.result.picks) >= vec.MaxRows {
			if err := o.result.flush(sp.Cols(0), out); err != nil {
				return err
			}
		}
	}
	return o.result.flush(sp.Cols(0), out)
}

// NextTimer is when expired rows are looked for next.
func (o *Op) NextTimer() stream.Time { return o.sweep.next }

// OnTimer drops the expired rows of one key group; nothing is emitted for them, as in Flink.
func (o *Op) OnTimer(now stream.Time, _ op.Output) error {
	if kg, ok := o.sweep.due(now); ok {
		return o.st.Sweep(0, kg, now-o.spec.TTLMS+1)
	}
	return nil
}

// snapshotVersion begins Snapshot's bytes; the last watermark and what rows.Store says follow.
const snapshotVersion = 1

// Snapshot writes the rows to the store.
func (o *Op) Snapshot(stream.Epoch) ([]byte, error) {
	own, err := o.st.Snapshot()
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint64([]byte{snapshotVersion}, uint64(o.wm)), own...), nil
}

// Restore takes up the rows from the store. Windows that a former task had given are late for the new one too.
func (o *Op) Restore(parts [][]byte) error {
	wm := stream.MaxTime
	own := make([][]byte, len(parts))
	for i, p := range parts {
		if len(p) < 9 || p[0] != snapshotVersion {
			return fmt.Errorf("restore rank: %x is no snapshot of version %d", p, snapshotVersion)
		}
		wm = min(wm, int64(binary.BigEndian.Uint64(p[1:])))
		own[i] = p[9:]
	}
	if len(parts) > 0 {
		o.wm, o.over = wm, o.zone.progress(wm)
	}
	return o.st.Restore(own)
}

// Close does nothing: the store belongs to the task.
func (o *Op) Close() error { return nil }

// result gathers rows to give.
type result struct {
	o     *Op
	batch *vec.Batch
	picks []pick
	sel   []int
}

type pick struct {
	kind vec.RowKind
	row  int32
	rank int64
}

func (r *result) add(kind vec.RowKind, row int32, rank int64) {
	r.picks = append(r.picks, pick{kind, row, rank})
}

// flush gives the picked rows.
func (r *result) flush(cols []*vec.Col, out op.Output) error {
	for at := 0; at < len(r.picks); at += vec.MaxRows {
		if err := r.some(cols, r.picks[at:min(at+vec.MaxRows, len(r.picks))], out); err != nil {
			return err
		}
	}
	r.picks = r.picks[:0]
	return nil
}

func (r *result) some(cols []*vec.Col, picks []pick, out op.Output) error {
	b := r.batch
	b.Reset()
	r.sel = r.sel[:0]
	changes := false
	for _, p := range picks {
		r.sel = append(r.sel, int(p.row))
		changes = changes || p.kind != vec.Insert
	}
	for i, c := range cols {
		b.Col(i).AppendSel(c, r.sel)
	}
	if r.o.spec.Number {
		c := b.Col(len(cols))
		for _, p := range picks {
			vec.AppendValue(c, p.rank)
		}
	}
	if changes {
		kinds := b.EnsureKinds(len(picks))
		for k, p := range picks {
			kinds[k] = p.kind
		}
	}
	b.SetRows(len(picks))
	return out.Emit(b)
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
