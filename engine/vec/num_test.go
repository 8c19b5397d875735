package vec

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestNumBig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?[1-9][0-9]{0,40}`).Draw(t, "digits")
		x, ok := new(big.Int).SetString(text, 10)
		if !ok {
			t.Fatal(text)
		}
		n, ok := NumFromBig(x)
		if ok != (x.BitLen() <= 127) {
			t.Fatalf("%s fits: %v", text, ok)
		}
		if ok && NumToBig(new(big.Int), n).String() != text {
			t.Fatalf("%s became %s", text, NumToBig(new(big.Int), n))
		}
	})
}
