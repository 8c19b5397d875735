package table

import (
	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/vec"
)

// MergeTo merges what a namespace holds into the groups of its keys in another table and set, as newer, and tells merged which groups these are (several
// calls, each group once). It does nothing and reports false when a part of the namespace is in the store: Emit puts that together.
func (w *Windowed) MergeTo(ns int64, keys *Table, set *agg.Set, merged func(groups []int32)) bool {
	s := w.spaces[ns]
	if s == nil {
		return true
	}
	if s.spilled {
		return false
	}
	for at, n := 0, s.tab.Len(); at < n; at += vec.MaxRows {
		k := min(vec.MaxRows, n-at)
		w.sel = w.sel[:0]
		for i := range k {
			w.sel = append(w.sel, at+i)
		}
		w.groups = growInts(w.groups, k)
		groups := w.groups[:k]
		keys.Groups(s.tab.keys, w.sel, s.tab.hashes[at:at+k], groups)
		set.Resize(keys.Len())
		set.Merge(groups, s.set, w.rows(at, k))
		merged(groups)
	}
	return true
}
