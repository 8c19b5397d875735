package rank

import (
	"bytes"
	"cmp"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/vec"
)

// order compares rows by several columns. Rows may be of different batches with the same columns.
type order struct {
	keys []graph.RankKey
	// word says that the only key is an int64-like column.
	word bool
}

func newOrder(keys []graph.RankKey, s *vec.Schema) order {
	o := order{keys: keys}
	if len(keys) == 1 {
		k := s.Fields[keys[0].Col].Type.Kind
		o.word = k == vec.Int64 || k.IsTimestamp()
	}
	return o
}

// compare is negative when row i of a is before row j of b.
func (o *order) compare(a []*vec.Col, i int, b []*vec.Col, j int) int {
	if o.word {
		k := o.keys[0]
		x, y := a[k.Col], b[k.Col]
		if !x.HasNulls() && !y.HasNulls() {
			c := cmp.Compare(vec.Values[int64](x)[i], vec.Values[int64](y)[j])
			if k.Desc {
				return -c
			}
			return c
		}
	}
	for _, k := range o.keys {
		if c := compareKey(k, a[k.Col], i, b[k.Col], j); c != 0 {
			return c
		}
	}
	return 0
}

func compareKey(k graph.RankKey, a *vec.Col, i int, b *vec.Col, j int) int {
	an, bn := a.IsNull(i), b.IsNull(j)
	switch {
	case an && bn:
		return 0
	case an != bn:
		if an == k.NullsLast {
			return 1
		}
		return -1
	}
	c := compareValue(a, i, b, j)
	if k.Desc {
		return -c
	}
	return c
}

// compareValue compares two values that are not NULL as SQL orders them.
func compareValue(a *vec.Col, i int, b *vec.Col, j int) int {
	switch a.Kind() {
	case vec.Int64, vec.Timestamp, vec.TimestampLTZ, vec.IntervalDT:
		return cmp.Compare(vec.Values[int64](a)[i], vec.Values[int64](b)[j])
	case vec.Int32, vec.Date, vec.Time, vec.IntervalYM:
		return cmp.Compare(vec.Values[int32](a)[i], vec.Values[int32](b)[j])
	case vec.Int16:
		return cmp.Compare(vec.Values[int16](a)[i], vec.Values[int16](b)[j])
	case vec.Int8:
		return cmp.Compare(vec.Values[int8](a)[i], vec.Values[int8](b)[j])
	case vec.Float64:
		return cmp.Compare(vec.Values[float64](a)[i], vec.Values[float64](b)[j])
	case vec.Float32:
		return cmp.Compare(vec.Values[float32](a)[i], vec.Values[float32](b)[j])
	case vec.Decimal:
		return vec.Values[vec.Num](a)[i].Cmp(vec.Values[vec.Num](b)[j])
	case vec.Bool:
		x, y := a.Bools().Get(i), b.Bools().Get(j)
		switch {
		case x == y:
			return 0
		case y:
			return -1
		}
		return 1
	case vec.String, vec.Bytes:
		return bytes.Compare(a.Bytes(i), b.Bytes(j))
	default:
		return 0 // New refuses other types
	}
}

// ordered reports whether rows can be ordered by a column of the kind.
func ordered(k vec.Kind) bool { return !k.IsNested() && k != vec.Null }
