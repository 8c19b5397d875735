package vec

import "math/bits"

// Bitmap is a sequence of bits, bit i in word i/64 at position i%64. On the little-endian
// machines that Bramble runs on, its bytes are exactly Arrow's bitmap.
type Bitmap []uint64

// bitmapWords is how many words hold n bits.
func bitmapWords(n int) int { return (n + 63) >> 6 }

// Get returns bit i.
func (b Bitmap) Get(i int) bool { return b[i>>6]>>(uint(i)&63)&1 != 0 }

// Set sets bit i.
func (b Bitmap) Set(i int) { b[i>>6] |= 1 << (uint(i) & 63) }

// Clear clears bit i.
func (b Bitmap) Clear(i int) { b[i>>6] &^= 1 << (uint(i) & 63) }

// Put sets bit i to v.
func (b Bitmap) Put(i int, v bool) {
	if v {
		b.Set(i)
	} else {
		b.Clear(i)
	}
}

// Fill sets the first n bits to v; bits past n in the last word become v too.
func (b Bitmap) Fill(n int, v bool) {
	var w uint64
	if v {
		w = ^uint64(0)
	}
	for i := range b[:bitmapWords(n)] {
		b[i] = w
	}
}

// Count returns how many of the first n bits are set.
func (b Bitmap) Count(n int) int {
	c, full := 0, n>>6
	for _, w := range b[:full] {
		c += bits.OnesCount64(w)
	}
	if r := uint(n) & 63; r != 0 {
		c += bits.OnesCount64(b[full] & (1<<r - 1))
	}
	return c
}

// grow returns b with room for n bits, keeping what it holds; new words are zero.
func (b Bitmap) grow(n int) Bitmap {
	w := bitmapWords(n)
	if w <= cap(b) {
		old := len(b)
		b = b[:w]
		if w > old {
			clear(b[old:])
		}
		return b
	}
	nb := make(Bitmap, w, max(w, 2*cap(b)))
	copy(nb, b)
	return nb
}
