package table

import "github.com/bramble-stream/bramble/engine/agg"

// MergeTo merges what a namespace holds into the groups of its keys in another table and set, as newer. It does nothing and reports false when a part of
// the namespace is in the store: Emit puts that together.
func (w *Windowed) MergeTo(ns int64, keys *Table, set *agg.Set) bool {
	s := w.spaces[ns]
	if s == nil {
		return true
	}
	if s.spilled {
		return false
	}
	w.mergeMemory(&space{tab: keys, set: set}, s, nil)
	return true
}
