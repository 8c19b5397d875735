package vec

// Mangle fills b with garbage: it is called, under the invariants tag, on a batch whose lending has ended, so that whoever kept
// it, or a column of it, is found by a test that then sees nonsense. The batch stays well-formed (lengths, offsets and codes are
// in range) and holds as many rows as before. Nobody may be reading b, and its memory must be b's own: a view made with ViewOf would
// deface the batch that it shows.
func Mangle(b *Batch) {
	for _, c := range b.cols {
		mangleCol(c)
	}
	for i := range b.kinds {
		b.kinds[i] = Delete
	}
	if b.hasSel {
		for i := range b.sel {
			b.sel[i] = min(i, max(b.n-1, 0))
		}
	}
}

// mangleByte gives values that no test data has: text of unit separators, and huge numbers.
const mangleByte = 0x1f

func mangleCol(c *Col) {
	if c.borrowed {
		return
	}
	switch {
	case c.dict != nil:
		// All rows become the last string of the dictionary, and the dictionary is not c's to change.
		last := int32(max(c.dict.Len()-1, 0))
		for i, codes := 0, c.Codes(); i < len(codes); i++ {
			codes[i] = last
		}
	case c.typ.Kind == Array || c.typ.Kind == Map:
		// All elements move to the last row.
		for i := 1; i < len(c.offsets)-1; i++ {
			c.offsets[i] = c.offsets[0]
		}
	default:
		for i := range c.data {
			c.data[i] = mangleByte
		}
	}
	for i := range c.valid {
		c.valid[i] = ^c.valid[i]
	}
	for _, k := range c.kids {
		mangleCol(k)
	}
}
