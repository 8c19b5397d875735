package rows

import (
	"encoding/binary"
	"slices"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/enc"
	"github.com/bramble-stream/bramble/engine/vec"
)

// A stored entry is a row: count, stamp, columns. Or, in stores whose rows do not change, a chunk: the rows of one key that came from one writing to the
// next, under the number of the first. An entry costs Pebble most of what it costs by being one, again in each compaction: a join that keeps all bids of an auction
// writes a tenth of the entries so. The first number of a chunk is how many rows there are, above 32 bits, where rows have their count below; the stamp
// behind it is the newest row's. Then come, each for all rows: how much its number is above that of the one before; count; how much older than the newest stamp;
// and each column, words as differences from row to row where there is no NULL. So that a chunk of numbers is a third of its rows.
const (
	chunkBit = 1 << 32
	// chunkRows and chunkBytes are the most of a chunk: whoever reads a key reads all of it anyway.
	chunkRows  = 256
	chunkBytes = 8 << 10
)

// writeChunks is write for rows that do not change.
func (sp *Space) writeChunks() error {
	for in := range sp.sides {
		d := &sp.sides[in]
		for g := range int32(sp.tab.Len()) {
			for r := d.head[g] - 1; r >= 0; {
				if d.flags[r]&flagDirty == 0 {
					r = d.chain[r] - 1
					continue
				}
				next, err := sp.writeChunk(in, g, r)
				if err != nil {
					return err
				}
				r = next
			}
		}
	}
	return sp.st.flush()
}

// writeChunk writes a chunk that begins with a row, and returns the row behind it.
func (sp *Space) writeChunk(in int, g, first int32) (next int32, err error) {
	s, d := sp.st, &sp.sides[in]
	sp.kgs[sp.keyGroup(g)] = true
	s.chunk = s.chunk[:0]
	newest, seq, size := d.stamp[first], d.seq[first], 0
	for next = first; next >= 0 && len(s.chunk) < chunkRows && size < chunkBytes; next = d.chain[next] - 1 {
		if d.flags[next]&flagDirty == 0 || d.seq[next] < seq {
			break
		}
		d.flags[next] = flagStored
		newest, seq = max(newest, d.stamp[next]), d.seq[next]
		for _, c := range d.cols {
			if c.Kind().IsBinaryLike() {
				size += len(c.Bytes(int(next)))
			}
		}
		s.chunk = append(s.chunk, next)
	}
	v := binary.AppendVarint(binary.AppendUvarint(s.vbuf[:0], chunkBit|uint64(len(s.chunk))), newest)
	seq = d.seq[first]
	for _, r := range s.chunk {
		v = binary.AppendUvarint(v, d.seq[r]-seq)
		seq = d.seq[r]
	}
	for _, r := range s.chunk {
		v = binary.AppendUvarint(v, uint64(uint32(d.count[r])))
	}
	for _, r := range s.chunk {
		v = binary.AppendUvarint(v, uint64(newest)-uint64(d.stamp[r]))
	}
	for _, c := range d.cols {
		v = appendColumn(v, c, s.chunk)
	}
	s.vbuf = v
	return next, s.put(sp.rowKey(in, first))
}

// The forms of a column in a chunk.
const (
	formValues byte = iota // enc.Append of each
	formSteps              // words, each as a signed varint from the one before; the first from 0
)

func appendColumn(v []byte, c *vec.Col, rows []int32) []byte {
	if k := c.Kind(); !enc.IsWord(k) || k == vec.Float32 || k == vec.Float64 || slices.ContainsFunc(rows, func(r int32) bool { return c.IsNull(int(r)) }) {
		v = append(v, formValues)
		for _, r := range rows {
			v = enc.Append(v, c, int(r))
		}
		return v
	}
	v = append(v, formSteps)
	before := uint64(0)
	for _, r := range rows {
		w := enc.Word(c, int(r))
		v = binary.AppendVarint(v, int64(w-before))
		before = w
	}
	return v
}

// decodeColumn appends n values that appendColumn wrote, and returns what follows them.
func decodeColumn(v []byte, c *vec.Col, n int) (rest []byte, err error) {
	if len(v) == 0 || v[0] > formSteps || v[0] == formSteps && !enc.IsWord(c.Kind()) {
		return nil, enc.ErrCorrupt
	}
	form := v[0]
	v = v[1:]
	word := uint64(0)
	for range n {
		if form == formValues {
			if v, err = enc.Decode(v, c); err != nil {
				return nil, err
			}
			continue
		}
		step, k := binary.Varint(v)
		if k <= 0 {
			return nil, enc.ErrCorrupt
		}
		word += uint64(step)
		enc.AppendWord(c, word)
		v = v[k:]
	}
	return v, nil
}

// addStored appends what an entry has to a group's list: a row, or a chunk of them.
func (sp *Space) addStored(in int, g int32, seq uint64, v []byte) error {
	d := &sp.sides[in]
	head, k := binary.Uvarint(v)
	if k <= 0 {
		return enc.ErrCorrupt
	}
	if head < chunkBit {
		stamp, rest, err := d.decode(v[k:])
		if err == nil && len(rest) > 0 {
			err = enc.ErrCorrupt
		}
		if err == nil {
			d.link(g, sp.add(in, g, seq, int32(uint32(head)), stamp))
		}
		return err
	}
	return sp.addChunk(in, g, seq, head-chunkBit, v[k:])
}

func (sp *Space) addChunk(in int, g int32, seq, n uint64, v []byte) error {
	s, d := sp.st, &sp.sides[in]
	newest, m := binary.Varint(v)
	if m <= 0 || n > uint64(len(v)) {
		return enc.ErrCorrupt
	}
	v = v[m:]
	base, numbers := len(d.seq), s.numbers[:0]
	for range 3 * n {
		x, k := binary.Uvarint(v)
		if k <= 0 {
			return enc.ErrCorrupt
		}
		numbers, v = append(numbers, x), v[k:]
	}
	s.numbers = numbers
	for i := range n {
		seq += numbers[i]
		d.link(g, sp.add(in, g, seq, int32(uint32(numbers[n+i])), newest-int64(numbers[2*n+i]))) //nolint:gosec // as they were written
	}
	var err error
	for _, c := range d.cols {
		if v, err = decodeColumn(v, c, len(d.seq)-base); err != nil {
			return err
		}
	}
	if len(v) > 0 {
		return enc.ErrCorrupt
	}
	return nil
}

// unchunk makes rows from base on, which came from an entry with the key, single ones, which may be changed.
func (sp *Space) unchunk(in int, base int32, key []byte) {
	d := &sp.sides[in]
	for row := int(base); row < len(d.flags); row++ {
		d.flags[row] = flagDirty
	}
	sp.st.writes.Add(state.OpDelete, key, nil)
}

// decode appends a stored row's columns and returns its stamp and what is behind it.
func (d *side) decode(v []byte) (stamp int64, rest []byte, err error) {
	stamp, m := binary.Varint(v)
	if m <= 0 {
		return 0, nil, enc.ErrCorrupt
	}
	v = v[m:]
	for _, c := range d.cols {
		if v, err = enc.Decode(v, c); err != nil {
			return 0, nil, err
		}
	}
	return stamp, v, nil
}
