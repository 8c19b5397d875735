// Package sorting sorts slices by a comparison, as package slices does, in a tenth of the machine code.
//
// slices.SortFunc is compiled again for each type of element, to 18 kB; a program with forty of them carries half a megabyte to every Pi. Here each type costs
// three methods, and a call of a method for each comparison: a few nanoseconds. Where rows are sorted, it is package slices.
package sorting

import "sort"

// By sorts s in place, ascending as compare tells: negative if a comes before b. Elements that are equal may change places.
func By[E any](s []E, compare func(a, b E) int) { sort.Sort(by[E]{s, compare}) }

// StableBy is By that leaves equal elements in their order.
func StableBy[E any](s []E, compare func(a, b E) int) { sort.Stable(by[E]{s, compare}) }

type by[E any] struct {
	s       []E
	compare func(a, b E) int
}

func (b by[E]) Len() int           { return len(b.s) }
func (b by[E]) Less(i, j int) bool { return b.compare(b.s[i], b.s[j]) < 0 }
func (b by[E]) Swap(i, j int)      { b.s[i], b.s[j] = b.s[j], b.s[i] }
