package checkpoint

import (
	"cmp"
	"fmt"

	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/internal/sorting"
)

// Part is the keyed state of a former task that a new one needs.
type Part struct {
	// Task is the former task's index.
	Task int
	// Range are the key groups that are wanted of it. Whole says that these are all of them: nothing has to be left out.
	Range stream.KeyRange
	Whole bool
	Files []File
}

// Assignment is what a task begins with.
type Assignment struct {
	Index int
	Range stream.KeyRange
	// Parts are in the order of their ranges, which do not overlap and lie in Range.
	Parts []Part
	// States are the operator's own, of each former task whose key range overlaps this one's.
	States [][]byte
	// Splits are to be read on; Ended are not, and go into the next checkpoint again. A split is one task's.
	Splits, Ended []Split
	// Committables are to be committed before anything is written, in this order. Each is one task's.
	Committables []Committable
	// Finished says that all the former tasks in Parts' places had come to their end.
	Finished bool
}

// Redistribute says what each of parallelism tasks takes over. A split stays with its task while that is there and has no more than its
// share. At the same parallelism everything stays where it was.
func Redistribute(o *OperatorState, parallelism int) ([]Assignment, error) {
	if parallelism < 1 || parallelism > o.MaxParallelism {
		return nil, fmt.Errorf("operator %s (%s) cannot run in %d tasks: its state has %d key groups", o.ID, o.Name, parallelism, o.MaxParallelism)
	}
	out := make([]Assignment, parallelism)
	for i := range out {
		a := &out[i]
		a.Index, a.Range, a.Finished = i, stream.RangeOf(i, o.MaxParallelism, parallelism), true
		for j := range o.Tasks {
			a.take(&o.Tasks[j])
		}
	}
	for _, t := range o.Tasks {
		to := &out[t.Index%parallelism]
		to.Committables = append(to.Committables, t.Committables...)
	}
	for i := range out {
		sorting.StableBy(out[i].Committables, func(a, b Committable) int { return cmp.Compare(a.Epoch, b.Epoch) })
	}
	assignSplits(o, out)
	return out, nil
}

// take adds what a has to have of t.
func (a *Assignment) take(t *TaskState) {
	r := stream.KeyRange{First: max(a.Range.First, t.Range.First), Limit: min(a.Range.Limit, t.Range.Limit)}
	if r.First >= r.Limit {
		return
	}
	a.Finished = a.Finished && t.Finished
	if t.State != nil {
		a.States = append(a.States, t.State)
	}
	if len(t.Files) > 0 {
		a.Parts = append(a.Parts, Part{Task: t.Index, Range: r, Whole: r == t.Range, Files: t.Files})
	}
}

func assignSplits(o *OperatorState, out []Assignment) {
	same := len(out) == len(o.Tasks)
	total := 0
	for _, t := range o.Tasks {
		for _, s := range t.Splits {
			if !s.Ended {
				total++
			}
		}
	}
	// The first total%n tasks may have one more than the others.
	share := func(i int) int { return (total + len(out) - 1 - i) / len(out) }
	var rest []Split
	for _, t := range o.Tasks {
		for _, s := range t.Splits {
			to := &out[t.Index%len(out)]
			switch {
			case s.Ended:
				to.Ended = append(to.Ended, s)
			case same, t.Index < len(out) && len(to.Splits) < share(t.Index):
				to.Splits = append(to.Splits, s)
			default:
				rest = append(rest, s)
			}
		}
	}
	sorting.By(rest, func(a, b Split) int { return cmp.Compare(a.ID, b.ID) })
	for i := range out {
		for len(rest) > 0 && len(out[i].Splits) < share(i) {
			out[i].Splits = append(out[i].Splits, rest[0])
			rest = rest[1:]
		}
	}
}
