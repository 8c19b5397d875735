package expr

import (
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/bramble-stream/bramble/engine/vec"
)

// drawDecimal makes a value of a random DECIMAL type.
func drawDecimal(t *rapid.T) (vec.Num, vec.Type, *big.Rat) {
	p := rapid.IntRange(1, 38).Draw(t, "p")
	s := rapid.IntRange(0, p).Draw(t, "s")
	digits := rapid.StringMatching(`-?[0-9]{1,38}`).Draw(t, "digits")
	x, ok := new(big.Int).SetString(digits, 10)
	if !ok {
		t.Fatalf("no number: %s", digits)
	}
	x.Rem(x, pow(p))
	n, ok := vec.NumFromBig(x)
	if !ok {
		t.Fatalf("%s does not fit", x)
	}
	return n, vec.DecimalOf(uint8(p), uint8(s)), new(big.Rat).SetFrac(x, pow(s))
}

func pow(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// halfUp rounds r to a scale, half away from zero; ok is false when it has more than p digits.
func halfUp(r *big.Rat, p, s int) (*big.Int, bool) {
	n := new(big.Int).Mul(r.Num(), pow(s))
	n.Mul(n, big.NewInt(2))
	d := new(big.Int).Mul(r.Denom(), big.NewInt(2))
	half := new(big.Int).Set(r.Denom())
	if n.Sign() < 0 {
		half.Neg(half)
	}
	q := new(big.Int).Quo(n.Add(n, half), d)
	return q, new(big.Int).Abs(q).Cmp(pow(p)) < 0
}

// TestDecimalsAreExact compares DECIMAL arithmetic with rational numbers.
func TestDecimalsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, at, ar := drawDecimal(t)
		b, bt, br := drawDecimal(t)
		op := rapid.SampledFrom([]string{"+", "-", "*", "/", "%"}).Draw(t, "op")
		typ := decimalResult(op, at, bt)
		d := newDecimalOp(at, bt, typ)
		want := new(big.Rat)
		var got vec.Num
		var ok bool
		switch op {
		case "+":
			got, ok = d.add(a, b)
			want.Add(ar, br)
		case "-":
			got, ok = d.add(a, b.Negate())
			want.Sub(ar, br)
		case "*":
			got, ok = d.mul(a, b)
			want.Mul(ar, br)
		default:
			if br.Sign() == 0 {
				return
			}
			want.Quo(ar, br)
			if op == "/" {
				got, ok = d.div(a, b)
				break
			}
			got, ok = d.mod(a, b)
			whole := new(big.Int).Quo(want.Num(), want.Denom())
			want.Sub(ar, new(big.Rat).Mul(br, new(big.Rat).SetInt(whole)))
		}
		exact, fits := halfUp(want, int(typ.Precision), int(typ.Scale))
		if ok != fits || ok && vec.NumToBig(new(big.Int), got).Cmp(exact) != 0 {
			t.Fatalf("%s %s %s as %s: got %s %v, want %s %v", AppendDecimal(nil, a, int(at.Scale)), op, AppendDecimal(nil, b, int(bt.Scale)), typ, vec.NumToBig(new(big.Int), got), ok, exact, fits)
		}
		if c := cmpDecimal(a, int(at.Scale), b, int(bt.Scale)); c != ar.Cmp(br) {
			t.Fatalf("compares as %d, want %d", c, ar.Cmp(br))
		}
		p := rapid.IntRange(1, 38).Draw(t, "to p")
		s := rapid.IntRange(0, p).Draw(t, "to s")
		exact, fits = halfUp(ar, p, s)
		if got, ok := rescale(a, int(at.Scale), s, p); ok != fits || ok && vec.NumToBig(new(big.Int), got).Cmp(exact) != 0 {
			t.Fatalf("rescale to (%d, %d): got %s %v, want %s %v", p, s, vec.NumToBig(new(big.Int), got), ok, exact, fits)
		}
		text := string(AppendDecimal(nil, a, int(at.Scale)))
		if want := ar.FloatString(int(at.Scale)); text != want && strings.TrimLeft(text, "-0.") != "" {
			t.Fatalf("prints as %s, want %s", text, want)
		}
		back, ok, err := ParseDecimal(text, p, s)
		if err != nil || ok != fits || ok && vec.NumToBig(new(big.Int), back).Cmp(exact) != 0 {
			t.Fatalf("%s as (%d, %d): got %s %v %v, want %s %v", text, p, s, vec.NumToBig(new(big.Int), back), ok, err, exact, fits)
		}
	})
}

// FuzzParse reads any text as any type: it must not panic, and what it reads must print and read back the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "1", "-1.5e3", "1e400", "1e-400", "0.00000000000000000000000000000000000000001", "99999999999999999999999999999999999999.5",
		"2020-02-29 12:34:56.789Z", "2020-1", "12:00", "true", " 7 ", "NaN", "Infinity", "+", ".", "e", "1e99999999999",
	} {
		f.Add(s, uint8(10), uint8(3))
	}
	f.Fuzz(func(t *testing.T, text string, p, s uint8) {
		p = p%38 + 1
		for _, typ := range []vec.Type{
			vec.TypeBool, vec.TypeInt8, vec.TypeInt64, vec.TypeFloat32, vec.TypeFloat64, vec.DecimalOf(p, s%(p+1)),
			vec.TypeDate,
			{Kind: vec.Time, Precision: 3},
			vec.TypeTimestamp, vec.TypeTimestampLTZ,
		} {
			c, back := vec.NewCol(typ), vec.NewCol(typ)
			if err := ParseLiteral(c, text, nil); err != nil {
				continue
			}
			if c.Len() != 1 {
				t.Fatalf("%q as %s: %d rows", text, typ, c.Len())
			}
			if c.IsNull(0) {
				continue
			}
			printed := string(AppendText(nil, c, 0, nil))
			if err := ParseLiteral(back, printed, nil); err != nil || CompareValues(c, 0, back, 0) != 0 {
				t.Fatalf("%q as %s prints as %q, which reads differently: %v", text, typ, printed, err)
			}
		}
	})
}
