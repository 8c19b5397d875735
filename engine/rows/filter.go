package rows

import "github.com/zeebo/xxh3"

// filters know which keys may be in the store, so that those that never were need not be looked for there. They are Bloom filters, each twice as large as
// the one before, whose bits of a key are in one cache line.
type filters struct {
	list []filter
	// blind says that nothing is known: every key may be there.
	blind bool
}

type filter struct {
	blocks [][8]uint64
	room   int
}

const (
	// filterKeys is how many keys the first filter takes; keyBits are the bits for each: about 1 of 100 keys that are not there are taken to be.
	filterKeys = 4096
	keyBits    = 12
	blockBits  = 512
)

// add notes a key.
func (f *filters) add(key []byte) {
	if f.blind {
		return
	}
	h := xxh3.Hash128(key)
	if f.has(h) {
		return
	}
	n := len(f.list)
	if n == 0 || f.list[n-1].room == 0 {
		keys := filterKeys << n
		f.list = append(f.list, filter{make([][8]uint64, keys*keyBits/blockBits), keys})
		n++
	}
	last := &f.list[n-1]
	last.room--
	b, bits := last.block(h), h.Hi
	for range 6 {
		b[bits>>6&7] |= 1 << (bits & 63)
		bits >>= 9
	}
}

func (f *filter) block(h xxh3.Uint128) *[8]uint64 { return &f.blocks[h.Lo%uint64(len(f.blocks))] }

// mayHave reports whether a key may be in the store.
func (f *filters) mayHave(key []byte) bool { return f.blind || f.has(xxh3.Hash128(key)) }

func (f *filters) has(h xxh3.Uint128) bool {
	for i := len(f.list) - 1; i >= 0; i-- {
		b, bits, all := f.list[i].block(h), h.Hi, true
		for range 6 {
			all = all && b[bits>>6&7]&(1<<(bits&63)) != 0
			bits >>= 9
		}
		if all {
			return true
		}
	}
	return false
}

// limit gives up knowing when that takes more than bytes.
func (f *filters) limit(bytes int64) {
	var n int64
	for i := range f.list {
		n += blockBits / 8 * int64(len(f.list[i].blocks))
	}
	if n > bytes {
		*f = filters{blind: true}
	}
}
