package rank

import (
	"slices"

	"github.com/bramble-stream/bramble/engine/rows"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Where rows may be taken back, all rows of a partition are kept, which may be many more than are given. Only the first ones are in order: as many as
// Space.Lead says. The others lie behind them as they come, so that most changes look at a few rows only. When rows that were among the first are
// taken back until too few are left, the best of the others are searched.

// leadMax is how many rows are kept in order: some more than are given, so that a search serves for many rows that are taken back.
func (o *Op) leadMax() int { return int(min(2*o.spec.Limit+8, 1<<20)) }

// insertKept puts a row into its place among the first ones, or behind them.
func (o *Op) insertKept(sp *rows.Space, b *vec.Batch, i int, g int32, now int64) {
	lead := sp.Lead(g)
	prev, r := int32(-1), sp.Head(0, g)
	n := int32(0)
	for ; n < lead; n++ {
		c := o.order.compare(sp.Cols(0), int(r), b.Cols(), i)
		if c > 0 || c == 0 && o.spec.LastFirst {
			break
		}
		prev, r = r, sp.Next(0, r)
	}
	if n == lead && r >= 0 {
		// It is behind the first ones, and whether it is before the others matters only when they are searched.
		sp.AppendOne(0, b.Cols(), i, g, now)
		return
	}
	sp.Insert(0, b.Cols(), i, g, prev, now)
	sp.SetLead(g, min(lead+1, int32(o.leadMax())))
}

// remove takes a row back.
func (o *Op) remove(sp *rows.Space, g, row, prev int32) {
	lead := sp.Lead(g)
	for r, n := sp.Head(0, g), int32(0); n < lead; r, n = sp.Next(0, r), n+1 {
		if r == row {
			sp.SetLead(g, lead-1)
			break
		}
	}
	sp.Remove(0, row, prev)
}

// refill sees to it that the rows that are given are in order.
func (o *Op) refill(sp *rows.Space, g int32) {
	if !o.spec.InputRetracts || int64(sp.Lead(g)) >= o.spec.Limit {
		return
	}
	lead := int(sp.Lead(g))
	var list []int32
	for r := sp.Head(0, g); r >= 0; r = sp.Next(0, r) {
		list = append(list, r)
	}
	rest := list[lead:]
	if len(rest) == 0 {
		return
	}
	want := min(o.leadMax()-lead, len(rest))
	best := make([]int32, 0, want+1)
	before := func(x, y int32) int {
		if sp.Before(x, y) {
			return -1
		}
		return 1
	}
	for _, r := range rest {
		if len(best) == want && !sp.Before(r, best[want-1]) {
			continue
		}
		at, _ := slices.BinarySearchFunc(best, r, before)
		best = slices.Insert(best, at, r)
		best = best[:min(len(best), want)]
	}
	chosen := make(map[int32]struct{}, want)
	for _, r := range best {
		chosen[r] = struct{}{}
	}
	relinked := append(slices.Clone(list[:lead]), best...)
	for _, r := range rest {
		if _, ok := chosen[r]; !ok {
			relinked = append(relinked, r)
		}
	}
	sp.Relink(g, relinked)
	sp.SetLead(g, int32(lead+want))
}
