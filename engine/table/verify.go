package table

import (
	"github.com/bramble-stream/bramble/engine/vec"
)

// groupsOfMany is for several key columns, and kinds without a path of their own: the candidates are verified a column at a time, in
// loops that know the kind; rows that fail, as new keys do, are looked up one by one.
func (t *Table) groupsOfMany(keys []*vec.Col, sel []int, hashes []uint64, out []int32) {
	for k, s := range t.cand {
		out[k] = -1
		if s != 0 && s>>32 == hashes[k]>>32 {
			out[k] = int32(uint32(s)) - 1
		}
	}
	for c, have := range t.keys {
		verify(have, keys[c], sel, out)
	}
	for k, g := range out {
		if g >= 0 {
			continue
		}
		i := k
		if sel != nil {
			i = sel[k]
		}
		out[k] = t.one(keys, i, hashes[k])
	}
}

// verify sets out[k] to -1 where group out[k]'s key in the column differs from row sel[k] of src.
func verify(have, src *vec.Col, sel []int, out []int32) {
	if !have.HasNulls() && !src.HasNulls() {
		switch have.Kind() {
		case vec.Int64, vec.Timestamp, vec.TimestampLTZ, vec.IntervalDT:
			verifyFixed(vec.Values[int64](have), vec.Values[int64](src), sel, out)
			return
		case vec.Int32, vec.Date, vec.Time, vec.IntervalYM:
			verifyFixed(vec.Values[int32](have), vec.Values[int32](src), sel, out)
			return
		case vec.Int16:
			verifyFixed(vec.Values[int16](have), vec.Values[int16](src), sel, out)
			return
		case vec.Int8:
			verifyFixed(vec.Values[int8](have), vec.Values[int8](src), sel, out)
			return
		case vec.String, vec.Bytes:
			verifyText(have, src, sel, out)
			return
		}
	}
	for k, g := range out {
		i := k
		if sel != nil {
			i = sel[k]
		}
		if g >= 0 && !equalAt(have, int(g), src, i) {
			out[k] = -1
		}
	}
}

func verifyFixed[T int8 | int16 | int32 | int64](have, src []T, sel []int, out []int32) {
	if sel == nil {
		for k, g := range out {
			if g >= 0 && have[g] != src[k] {
				out[k] = -1
			}
		}
		return
	}
	for k, g := range out {
		if g >= 0 && have[g] != src[sel[k]] {
			out[k] = -1
		}
	}
}

func verifyText(have, src *vec.Col, sel []int, out []int32) {
	ho, hd := have.Offsets(), have.Data()
	so, sd := src.Offsets(), src.Data()
	var codes []int32
	if d := src.Dict(); d != nil {
		so, sd, codes = d.Offsets, d.Data, src.Codes()
	}
	for k, g := range out {
		if g < 0 {
			continue
		}
		i := k
		if sel != nil {
			i = sel[k]
		}
		if codes != nil {
			i = int(codes[i])
		}
		if string(hd[ho[g]:ho[g+1]]) != string(sd[so[i]:so[i+1]]) {
			out[k] = -1
		}
	}
}
