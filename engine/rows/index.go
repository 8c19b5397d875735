package rows

import "iter"

// index finds the rows of a side by group and hash: open addressing with linear probing over row + 1, 0 for free and -1 for a row that has been removed.
type index struct {
	slots []int32
	// used are the slots that are not free.
	used int
}

// indexSlots is how many slots the smallest index has: a power of two, as all have.
const indexSlots = 16

func slotOf(group int32, hash uint32) uint32 {
	x := (hash ^ uint32(group)*0x9e3779b1) * 0x85ebca6b
	return x ^ x>>15
}

// add notes the rows from base on that have not been removed.
func (x *index) add(d *side, base int32) {
	if need := x.used + len(d.seq) - int(base); 4*need > 3*len(x.slots) {
		x.grow(d)
		return
	}
	for row := base; int(row) < len(d.seq); row++ {
		if d.flags[row]&flagDead == 0 {
			x.place(d, row)
		}
	}
}

// grow makes an index of all rows with room for as many again.
func (x *index) grow(d *side) {
	n := indexSlots
	for live := len(d.seq) - d.dead; n < 3*live; {
		n *= 2
	}
	if cap(x.slots) >= n {
		x.slots = x.slots[:n]
		clear(x.slots)
	} else {
		x.slots = make([]int32, n)
	}
	x.used = 0
	for row := range int32(len(d.seq)) {
		if d.flags[row]&flagDead == 0 {
			x.place(d, row)
		}
	}
}

func (x *index) place(d *side, row int32) {
	mask := uint32(len(x.slots) - 1)
	at := slotOf(d.group[row], d.hash[row]) & mask
	for x.slots[at] != 0 {
		at = (at + 1) & mask
	}
	x.slots[at] = row + 1
	x.used++
}

// find gives the rows that may have the group and the hash.
func (x *index) find(group int32, hash uint32) iter.Seq[int32] {
	return func(yield func(int32) bool) {
		if len(x.slots) == 0 {
			return
		}
		mask := uint32(len(x.slots) - 1)
		for at := slotOf(group, hash) & mask; x.slots[at] != 0; at = (at + 1) & mask {
			if r := x.slots[at]; r > 0 && !yield(r-1) {
				return
			}
		}
	}
}

// remove takes a row out.
func (x *index) remove(d *side, row int32) {
	if len(x.slots) == 0 {
		return
	}
	mask := uint32(len(x.slots) - 1)
	for at := slotOf(d.group[row], d.hash[row]) & mask; x.slots[at] != 0; at = (at + 1) & mask {
		if x.slots[at] == row+1 {
			x.slots[at] = -1
			return
		}
	}
}

func (x *index) reset() {
	clear(x.slots)
	x.used = 0
}
