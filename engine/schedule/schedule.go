// Package schedule decides which taskmanager runs which task. It is pure: it knows slots and parallelism, and neither talks to
// taskmanagers nor keeps anything between calls.
//
// Slots are shared as in Flink: one slot holds at most one task of each vertex, so a job takes as many slots as its widest vertex has
// tasks, and tasks that forward to each other meet in one slot.
package schedule

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/bramble-stream/bramble/internal/sorting"
)

// Vertex is a vertex to place.
type Vertex struct {
	Parallelism int
	// Group names vertices that are connected by forward edges: they are placed alike, so that rows stay in the process.
	Group int
}

// TaskManager is somewhere to place tasks.
type TaskManager struct {
	ID string
	// Slots is how many it offers, Free how many are not taken. 0 <= Free <= Slots.
	Slots, Free int
}

// Placement says where every task of a job runs.
type Placement struct {
	// Slots[s] is the ID of the taskmanager that gives slot s of the job. An ID is there as often as it gives slots.
	Slots []string
	// Tasks[v][i] is the slot of task i of vertex v.
	Tasks [][]int
}

// Shortage says that a job does not fit now. It is an error for people to read as the reason why a job waits.
type Shortage struct {
	// Needs is what the job takes, Available what is free.
	Needs, Available int
}

// Error is "needs 3 slots, 2 available".
func (s *Shortage) Error() string {
	unit := "slots"
	if s.Needs == 1 {
		unit = "slot"
	}
	return fmt.Sprintf("needs %d %s, %d available", s.Needs, unit, s.Available)
}

// Slots returns how many slots a job of these vertices takes.
func Slots(vertices []Vertex) int {
	n := 0
	for _, v := range vertices {
		n = max(n, v.Parallelism)
	}
	return n
}

// Place spreads a job evenly: each next slot comes from the taskmanager that is used least, and narrow vertices begin where the
// fewest tasks are. former[s], if given, is the taskmanager that gave slot s before: where the spread stays as even, it does so again, as what the
// tasks need may still be there. The error is a *Shortage when there are not enough free slots. Equal input gives equal output.
func Place(vertices []Vertex, tms []TaskManager, former ...string) (Placement, error) {
	need, free := Slots(vertices), 0
	for _, tm := range tms {
		free += tm.Free
	}
	if need > free {
		return Placement{}, &Shortage{Needs: need, Available: free}
	}
	p := Placement{Slots: keepSlots(takeSlots(need, tms), former), Tasks: make([][]int, len(vertices))}
	placeTasks(&p, vertices)
	return p, nil
}

// takeSlots picks n slots. The caller has made sure that there are as many.
func takeSlots(n int, tms []TaskManager) []string {
	left := slices.Clone(tms)
	sorting.By(left, func(a, b TaskManager) int { return cmp.Compare(a.ID, b.ID) })
	given := make([]int, len(left))
	slots := make([]string, 0, n)
	for range n {
		best := -1
		for i, tm := range left {
			if tm.Free == 0 {
				continue
			}
			if best < 0 || lessUsed(tm, given[i], left[best], given[best]) {
				best = i
			}
		}
		left[best].Free--
		given[best]++
		slots = append(slots, left[best].ID)
	}
	return slots
}

// keepSlots puts slots in the order in which each taskmanager gives those again that it gave before, as far as it gives as many.
func keepSlots(slots, former []string) []string {
	left := map[string]int{}
	for _, id := range slots {
		left[id]++
	}
	out := make([]string, len(slots))
	for s := range min(len(out), len(former)) {
		if id := former[s]; left[id] > 0 {
			out[s] = id
			left[id]--
		}
	}
	for s, id := range slots {
		if out[s] == "" && left[id] > 0 {
			out[s] = id
			left[id]--
		}
	}
	at := 0
	for _, id := range slots {
		for ; left[id] > 0; left[id]-- {
			at += slices.Index(out[at:], "")
			out[at] = id
		}
	}
	return out
}

// lessUsed prefers the smaller used share of slots, then the one that gives this job fewer. Shares are compared as products: exact.
func lessUsed(a TaskManager, givenA int, b TaskManager, givenB int) bool {
	usedA, usedB := (a.Slots-a.Free)*b.Slots, (b.Slots-b.Free)*a.Slots
	if usedA != usedB {
		return usedA < usedB
	}
	return givenA < givenB
}

// placeTasks gives each group of vertices a first slot. Vertices as wide as the job have no choice; narrower ones begin where the slots they
// would use carry the fewest tasks.
func placeTasks(p *Placement, vertices []Vertex) {
	load := make([]int, len(p.Slots))
	type key struct{ group, parallelism int }
	first := map[key]int{}
	for v, vertex := range vertices {
		k := key{vertex.Group, vertex.Parallelism}
		at, ok := first[k]
		if !ok {
			at = leastLoaded(load, vertex.Parallelism)
			first[k] = at
		}
		tasks := make([]int, vertex.Parallelism)
		for i := range tasks {
			tasks[i] = (at + i) % len(load)
			load[tasks[i]]++
		}
		p.Tasks[v] = tasks
	}
}

// leastLoaded returns where a run of width slots, going round, carries the fewest tasks; the lowest such.
func leastLoaded(load []int, width int) int {
	if width >= len(load) {
		return 0
	}
	best, bestSum := 0, -1
	for at := range load {
		sum := 0
		for i := range width {
			sum += load[(at+i)%len(load)]
		}
		if bestSum < 0 || sum < bestSum {
			best, bestSum = at, sum
		}
	}
	return best
}
