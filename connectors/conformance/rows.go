package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/bramble-stream/bramble/engine/vec"
)

// Scalars returns the schema of the tables that the suites write: column n, then one of each scalar type.
func Scalars() *vec.Schema {
	fields := []vec.Field{{Name: "n", Type: vec.TypeInt64}}
	time3 := vec.TypeTime
	time3.Precision = 3
	for i, t := range []vec.Type{
		vec.TypeBool, vec.TypeInt8, vec.TypeInt16, vec.TypeInt32, vec.TypeInt64, vec.TypeFloat32, vec.TypeFloat64, vec.DecimalOf(10, 2),
		vec.DecimalOf(38, 10), vec.TypeString, vec.TypeBytes, vec.TypeDate, time3, vec.TypeTimestamp, vec.TypeTimestampLTZ,
	} {
		fields = append(fields, vec.Field{Name: fmt.Sprintf("c%d", i), Type: t})
	}
	return vec.NewSchema(fields...)
}

// texts are strings that formats have to quote or escape.
var texts = []string{"a", "kitchen", "", "a,b;c\td", `say "no"`, `back\slash`, "line\nend\r\n", "ünï→😀", "null", " padded ", "{\"a\":1}", "\u0001\u007f", "=%:/?#[]"}

// Fill appends row n of a table of Scalars: values depend on n only, one in eight is NULL.
func Fill(b *vec.Batch, n int64) {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	vec.AppendValue(b.Col(0), n)
	for _, c := range b.Cols()[1:] {
		if rng.IntN(8) == 0 {
			c.AppendNull()
		} else {
			appendRandom(c, rng)
		}
	}
	b.SetRows(b.Rows() + 1)
}

func appendRandom(c *vec.Col, rng *rand.Rand) {
	t := c.Type()
	switch t.Kind {
	case vec.Bool:
		c.AppendBool(rng.IntN(2) == 0)
	case vec.Int8:
		vec.AppendValue(c, int8(rng.Uint64()))
	case vec.Int16:
		vec.AppendValue(c, int16(rng.Uint64()))
	case vec.Int32:
		vec.AppendValue(c, int32(rng.Uint64()))
	case vec.Int64:
		vec.AppendValue(c, []int64{math.MinInt64, math.MaxInt64, int64(rng.Uint64()), int64(rng.IntN(100))}[rng.IntN(4)])
	case vec.Float32:
		vec.AppendValue(c, []float32{math.MaxFloat32, math.SmallestNonzeroFloat32, rng.Float32(), -21}[rng.IntN(4)])
	case vec.Float64:
		vec.AppendValue(c, []float64{math.MaxFloat64, math.SmallestNonzeroFloat64, rng.NormFloat64() * 1e9, 1e21, 0.1, -3}[rng.IntN(6)])
	case vec.Decimal:
		vec.AppendValue(c, decimal(rng, int(t.Precision)))
	case vec.String:
		c.AppendString(texts[rng.IntN(len(texts))])
	case vec.Bytes:
		raw := make([]byte, rng.IntN(20))
		for i := range raw {
			raw[i] = byte(rng.Uint64())
		}
		c.AppendBytes(raw)
	case vec.Date:
		vec.AppendValue(c, int32(rng.IntN(80000)-30000))
	case vec.Time:
		vec.AppendValue(c, int32(rng.IntN(24*60*60*1000)))
	default: // TIMESTAMP and TIMESTAMP_LTZ
		vec.AppendValue(c, rng.Int64N(8e12)-2e12)
	}
}

func decimal(rng *rand.Rand, precision int) vec.Num {
	n := vec.Num{}
	ten := numOf(10)
	for range rng.IntN(precision + 1) {
		n = n.Mul(ten).Add(numOf(int64(rng.IntN(10))))
	}
	if rng.IntN(2) == 0 {
		n = n.Negate()
	}
	return n
}
