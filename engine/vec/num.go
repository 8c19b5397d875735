package vec

import (
	"math/big"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// NumToBig sets z to the unscaled value of n and returns z. Use it, and NumFromBig, instead of decimal128's BigInt and FromBigInt, and of all
// that rests on those (ToString, FromString, Div, Rescale): they take a big.Word for 64 bits, which it is not on 32-bit ARM.
func NumToBig(z *big.Int, n Num) *big.Int {
	hi, lo := uint64(n.HighBits()), n.LowBits()
	neg := n.HighBits() < 0
	if neg {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	var b [16]byte
	for i := range 8 {
		b[7-i] = byte(hi >> (8 * i))
		b[15-i] = byte(lo >> (8 * i))
	}
	z.SetBytes(b[:])
	if neg {
		z.Neg(z)
	}
	return z
}

// NumFromBig returns x as an unscaled DECIMAL value; ok is false when it does not fit into 127 bits.
func NumFromBig(x *big.Int) (n Num, ok bool) {
	if x.BitLen() > 127 {
		return Num{}, false
	}
	var b [16]byte
	x.FillBytes(b[:])
	var hi, lo uint64
	for i := range 8 {
		hi = hi<<8 | uint64(b[i])
		lo = lo<<8 | uint64(b[8+i])
	}
	if x.Sign() < 0 {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	return decimal128.New(int64(hi), lo), true
}
