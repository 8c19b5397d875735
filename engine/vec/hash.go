package vec

import (
	"math"
	"math/bits"

	"github.com/zeebo/xxh3"
)

// Hash computes a hash for each listed row over the key columns: out[k] is for row sel[k] (sel nil: rows 0..n-1), and
// len(out) rows are done. Equal keys hash equal on every architecture and in every encoding (dictionary or plain);
// NULL is a value of its own. Partitioning, key groups and state depend on it: it never changes.
func Hash(cols []*Col, sel []int, out []uint64) {
	for i := range out {
		out[i] = hashSeed
	}
	for _, c := range cols {
		hashCol(c, sel, out)
	}
}

const (
	hashSeed = 0x9e3779b97f4a7c15
	hashNull = 0xd6e8feb86659fd93
	hashMul  = 0xff51afd7ed558ccd
)

// mix folds value v into h (the finaliser of MurmurHash3, Appleby 2011).
func mix(h, v uint64) uint64 {
	h = (bits.RotateLeft64(h, 23) ^ v) * hashMul
	return h ^ h>>32
}

func hashCol(c *Col, sel []int, out []uint64) {
	switch k := c.typ.Kind; k {
	case Int64, Timestamp, TimestampLTZ, IntervalDT:
		hashInts(c, Values[int64](c), sel, out)
	case Int32, Date, Time, IntervalYM:
		hashInts(c, Values[int32](c), sel, out)
	case Int16:
		hashInts(c, Values[int16](c), sel, out)
	case Int8:
		hashInts(c, Values[int8](c), sel, out)
	case String, Bytes:
		hashStrings(c, sel, out)
	default:
		for j := range out {
			i := j
			if sel != nil {
				i = sel[j]
			}
			out[j] = mix(out[j], hashOne(c, i))
		}
	}
}

func hashInts[T int8 | int16 | int32 | int64](c *Col, v []T, sel []int, out []uint64) {
	if sel == nil && !c.HasNulls() {
		for j, x := range v[:len(out)] {
			out[j] = mix(out[j], uint64(int64(x)))
		}
		return
	}
	for j := range out {
		i := j
		if sel != nil {
			i = sel[j]
		}
		if c.IsNull(i) {
			out[j] = mix(out[j], hashNull)
		} else {
			out[j] = mix(out[j], uint64(int64(v[i])))
		}
	}
}

func hashStrings(c *Col, sel []int, out []uint64) {
	for j := range out {
		i := j
		if sel != nil {
			i = sel[j]
		}
		if c.IsNull(i) {
			out[j] = mix(out[j], hashNull)
		} else {
			out[j] = mix(out[j], xxh3.Hash(c.Bytes(i)))
		}
	}
}

// hashOne hashes one value of any kind.
func hashOne(c *Col, i int) uint64 {
	if c.IsNull(i) {
		return hashNull
	}
	switch c.typ.Kind {
	case Bool:
		if c.Bools().Get(i) {
			return 1
		}
		return 2
	case Float32:
		return hashFloat(float64(Values[float32](c)[i]))
	case Float64:
		return hashFloat(Values[float64](c)[i])
	case Decimal:
		d := Values[Num](c)[i]
		return mix(d.LowBits(), uint64(d.HighBits()))
	case Row:
		h := uint64(hashSeed)
		for _, k := range c.kids {
			h = mix(h, hashOne(k, i))
		}
		return h
	case Array, Map:
		h := uint64(hashSeed)
		lo, hi := c.Range(i)
		for _, k := range c.kids {
			for e := lo; e < hi; e++ {
				h = mix(h, hashOne(k, e))
			}
		}
		return h
	case String, Bytes:
		return xxh3.Hash(c.Bytes(i))
	default:
		var h [1]uint64
		hashCol(c, []int{i}, h[:])
		return h[0]
	}
}

// hashFloat gives the two zeros, and all NaNs, one hash each.
func hashFloat(f float64) uint64 {
	switch {
	case f == 0:
		return 0
	case f != f:
		return hashNull ^ 1
	default:
		return math.Float64bits(f)
	}
}
