package sorting_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bramble-stream/bramble/internal/sorting"
)

func TestAgreesWithSlices(t *testing.T) {
	type pair struct{ key, at int }
	r := rand.New(rand.NewPCG(1, 2))
	compare := func(a, b pair) int { return cmp.Compare(a.key, b.key) }
	for n := range 200 {
		list := make([]pair, n)
		for i := range list {
			list[i] = pair{r.IntN(n), i}
		}
		want := slices.Clone(list)
		slices.SortStableFunc(want, compare)
		stable, some := slices.Clone(list), list
		sorting.StableBy(stable, compare)
		sorting.By(some, compare)
		if !slices.Equal(stable, want) {
			t.Fatalf("%d elements: %v, want %v", n, stable, want)
		}
		if !slices.IsSortedFunc(some, compare) {
			t.Fatalf("%d elements are not sorted: %v", n, some)
		}
	}
}
