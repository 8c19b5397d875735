package exchange

import (
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// dictRoutes remembers, for a key that is one dictionary-encoded column, which task each code goes to: hashing a string once instead
// of at every row is most of what hash partitioning costs.
type dictRoutes struct {
	taskOf []uint16 // of key groups
	slots  [dictSlots]dictRoute
	next   int
	null   uint16
	col    *vec.Col
	hashes []uint64
}

type dictRoute struct {
	id    uint64
	tasks []uint16
}

// routesMax is the largest dictionary that is remembered; beyond it rows are hashed.
const routesMax = 1 << 16

func newDictRoutes(taskOf []uint16) *dictRoutes {
	r := &dictRoutes{taskOf: taskOf, col: vec.NewCol(vec.TypeString)}
	r.col.AppendNull()
	var h [1]uint64
	vec.Hash([]*vec.Col{r.col}, nil, h[:])
	r.null = r.task(h[0])
	return r
}

func (r *dictRoutes) task(hash uint64) uint16 {
	return r.taskOf[stream.KeyGroupOf(hash, len(r.taskOf))]
}

// of returns the task of each code of the dictionary.
func (r *dictRoutes) of(d *vec.Dict) []uint16 {
	var s *dictRoute
	for i := range r.slots {
		if r.slots[i].id == d.ID && r.slots[i].tasks != nil {
			s = &r.slots[i]
		}
	}
	if s == nil {
		s = &r.slots[r.next]
		r.next = (r.next + 1) % dictSlots
		s.id, s.tasks = d.ID, s.tasks[:0]
	}
	for len(s.tasks) < d.Len() {
		first := len(s.tasks)
		n := min(d.Len()-first, vec.MaxRows)
		r.col.Reset()
		r.col.SetDict(d)
		r.col.Resize(n)
		for i := range n {
			r.col.Codes()[i] = int32(first + i)
		}
		if r.hashes == nil {
			r.hashes = make([]uint64, vec.MaxRows)
		}
		vec.Hash([]*vec.Col{r.col}, nil, r.hashes[:n])
		for _, h := range r.hashes[:n] {
			s.tasks = append(s.tasks, r.task(h))
		}
	}
	return s.tasks
}

// route appends each selected row of the column to its task's list.
func (r *dictRoutes) route(c *vec.Col, sel []int, sels [][]int) {
	tasks, codes := r.of(c.Dict()), c.Codes()
	switch {
	case c.HasNulls():
		n := len(codes)
		if sel != nil {
			n = len(sel)
		}
		for j := range n {
			i := j
			if sel != nil {
				i = sel[j]
			}
			t := r.null
			if !c.IsNull(i) {
				t = tasks[codes[i]]
			}
			sels[t] = append(sels[t], i)
		}
	case sel == nil:
		for i, code := range codes {
			t := tasks[code]
			sels[t] = append(sels[t], i)
		}
	default:
		for _, i := range sel {
			t := tasks[codes[i]]
			sels[t] = append(sels[t], i)
		}
	}
}
