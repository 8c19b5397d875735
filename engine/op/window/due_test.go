package window

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestDueHeap compares the heap with a sorted list: entries come out by end, then by slot, also when the first one moves on.
func TestDueHeap(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var h dueHeap
	var want []due
	order := func(a, b due) int {
		if a.before(b) {
			return -1
		}
		return 1
	}
	for range 5_000 {
		switch k := rng.IntN(5); {
		case k < 2 || len(h) == 0:
			d := due{rng.Int64N(100), int32(rng.IntN(1000))}
			h.push(d)
			want = append(want, d)
		case k < 4:
			slices.SortFunc(want, order)
			if got := h.pop(); got != want[0] {
				t.Fatalf("%v came out before %v", got, want[0])
			}
			want = want[1:]
		default:
			slices.SortFunc(want, order)
			want[0].end += rng.Int64N(50)
			h[0].end = want[0].end
			h.sink()
		}
	}
}
