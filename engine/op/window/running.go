package window

import (
	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/table"
	"github.com/bramble-stream/bramble/engine/vec"
)

// running keeps windows that overlap put together as they slide, so that firing one costs a few merges a key, however many slices it has. It is a
// queue of two stacks: for each of the older slices, front holds that slice and all that follow up to base, put together; back holds the slices after base.
// A window is then one entry of front and back. When a window begins after base, front is made anew from the slices of the window.
//
// It is a cache beside the slices, in memory only: a late row into a slice that is in it makes it void, and it is not used while slices are in the store.
type running struct {
	tab   *table.Windowed
	specs []agg.Spec
	// cumulative windows keep their start: they need no front.
	cumulative bool
	// keys numbers the keys of all parts below: what is put together needs no look-up.
	keys  *table.Table
	front []suffix // ascending by slice
	at    int      // those before are not needed any more
	back  *pile
	both  *pile
	free  []*pile
	// base and merged: front covers the slices up to base, back those in (base, merged]. Both are MinTime while void.
	base, merged int64
	// skip is for how many windows the cache is left alone after a row has made it void, and penalty how many that will be the next time: making it costs as much
	// as two windows without it, which is lost where rows are late all the time.
	skip, penalty int

	bytes    int64
	into     *pile
	note     func(groups []int32)
	sel      []int
	outKeys  []*vec.Col
	outCells []*vec.Col
}

// suffix is the slices from one up to base, put together.
type suffix struct {
	slice int64
	pile  *pile
}

// pile is accumulators of some of the keys.
type pile struct {
	set    *agg.Set
	groups []int32
	has    []bool
}

// runningMin is from how many slices a window on the cache pays, penaltyMax the most windows that it is left alone for.
const (
	runningMin = 4
	penaltyMax = 64
)

func newRunning(tab *table.Windowed, types []vec.Type, specs []agg.Spec, cumulative bool) *running {
	r := &running{tab: tab, specs: specs, cumulative: cumulative, keys: table.New(types), base: stream.MinTime, merged: stream.MinTime, penalty: 1}
	for _, t := range types {
		r.outKeys = append(r.outKeys, vec.NewCol(t))
	}
	for _, a := range specs {
		r.outCells = append(r.outCells, vec.NewCol(a.Type))
	}
	r.note = func(groups []int32) { r.into.add(groups, r.keys.Len()) }
	return r
}

// add notes that groups are in the pile, of n that there are.
func (p *pile) add(groups []int32, n int) {
	for len(p.has) < n {
		p.has = append(p.has, false)
	}
	for _, g := range groups {
		if !p.has[g] {
			p.has[g] = true
			p.groups = append(p.groups, g)
		}
	}
}

func (r *running) newPile() (*pile, error) {
	if n := len(r.free); n > 0 {
		p := r.free[n-1]
		r.free = r.free[:n-1]
		return p, nil
	}
	set, err := agg.New(r.specs, false)
	return &pile{set: set}, err
}

// release empties a pile for reuse.
func (r *running) release(p *pile) {
	if p == nil {
		return
	}
	p.set.Reset()
	p.groups, p.has = p.groups[:0], p.has[:0]
	r.free = append(r.free, p)
}

// changed is told of rows that go into a slice.
func (r *running) changed(slice int64) {
	if slice <= r.merged {
		r.void()
		r.skip = r.penalty
		r.penalty = min(2*r.penalty, penaltyMax)
	}
}

// void empties the cache.
func (r *running) void() {
	for _, s := range r.front[r.at:] {
		r.release(s.pile)
	}
	r.front, r.at = r.front[:0], 0
	r.release(r.back)
	r.release(r.both)
	r.back, r.both = nil, nil
	r.keys.Reset()
	r.base, r.merged = stream.MinTime, stream.MinTime
}

// drop gives the memory up as well.
func (r *running) drop() {
	r.void()
	r.free = nil
	r.bytes = 0
}

// fire emits the window (start, end] of the slices ns, ascending, which are all in it. It reports false, having emitted nothing, when the window is to be put
// together from its slices.
func (r *running) fire(start, end int64, ns []int64, emit table.Emitter) (bool, error) {
	if r.skip > 0 {
		r.skip--
		return false, nil
	}
	ok, err := r.slide(start, end, ns)
	if err != nil || !ok {
		r.drop()
		return false, err
	}
	r.measure()
	var f *pile
	for r.at < len(r.front) && r.front[r.at].slice <= start {
		r.release(r.front[r.at].pile)
		r.at++
	}
	if r.at < len(r.front) {
		f = r.front[r.at].pile
	}
	switch {
	case f == nil:
		return true, r.emit(r.back, emit)
	case len(r.back.groups) == 0:
		return true, r.emit(f, emit)
	}
	r.release(r.both)
	if r.both, err = r.newPile(); err != nil {
		return false, err
	}
	r.pour(r.both, f)
	r.pour(r.both, r.back)
	return true, r.emit(r.both, emit)
}

// slide makes the cache cover (start, end]. It reports false when a slice is in the store.
func (r *running) slide(start, end int64, ns []int64) (bool, error) {
	if r.merged == stream.MinTime || r.base < start {
		return r.rebuild(start, end, ns)
	}
	for _, s := range ns {
		if s > r.merged && !r.take(r.back, s) {
			return false, nil
		}
	}
	r.merged = end
	return true, nil
}

// rebuild makes the cache from the slices of a window.
func (r *running) rebuild(start, end int64, ns []int64) (bool, error) {
	if r.merged != stream.MinTime {
		r.penalty = 1 // it has lived to its end
	}
	r.void()
	var err error
	if r.back, err = r.newPile(); err != nil {
		return false, err
	}
	r.base, r.merged = end, end
	if r.cumulative {
		r.base = start
		for _, s := range ns {
			if !r.take(r.back, s) {
				return false, nil
			}
		}
		return true, nil
	}
	for range ns {
		r.front = append(r.front, suffix{})
	}
	for i := len(ns) - 1; i >= 0; i-- {
		p, err := r.newPile()
		if err != nil {
			return false, err
		}
		r.front[i] = suffix{ns[i], p}
		if !r.take(p, ns[i]) {
			return false, nil
		}
		if i+1 < len(ns) {
			r.pour(p, r.front[i+1].pile)
		}
	}
	return true, nil
}

// take merges a slice into a pile.
func (r *running) take(p *pile, slice int64) bool {
	r.into = p
	return r.tab.MergeTo(slice, r.keys, p.set, r.note)
}

// pour merges src, newer, into dst.
func (r *running) pour(dst, src *pile) {
	dst.set.Resize(r.keys.Len())
	src.set.Resize(r.keys.Len())
	dst.set.Merge(src.groups, src.set, src.groups)
	dst.add(src.groups, r.keys.Len())
}

// emit emits what a pile holds.
func (r *running) emit(p *pile, emit table.Emitter) error {
	p.set.Resize(r.keys.Len())
	for at := 0; at < len(p.groups); at += vec.MaxRows {
		part := p.groups[at:min(at+vec.MaxRows, len(p.groups))]
		r.sel = r.sel[:0]
		for _, g := range part {
			r.sel = append(r.sel, int(g))
		}
		for i, k := range r.keys.Keys() {
			r.outKeys[i].Reset()
			r.outKeys[i].AppendSel(k, r.sel)
		}
		for _, c := range r.outCells {
			c.Reset()
		}
		p.set.AppendResult(r.outCells, part)
		if err := emit(r.outKeys, r.outCells, len(part)); err != nil {
			return err
		}
	}
	return nil
}

// measure estimates the memory: piles are much alike.
func (r *running) measure() {
	r.bytes = r.keys.MemBytes()
	if r.back != nil {
		r.bytes += r.back.set.MemBytes()
	}
	if n := int64(len(r.front) - r.at + len(r.free)); n > 0 {
		p := r.back
		if r.at < len(r.front) {
			p = r.front[r.at].pile
		}
		r.bytes += n * (p.set.MemBytes() + 5*int64(cap(p.groups)))
	}
}
