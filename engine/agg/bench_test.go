package agg

import (
	"fmt"
	"testing"

	"github.com/bramble-stream/bramble/engine/vec"
)

// BenchmarkAdd adds batches of vec.MaxRows rows to 1,000 groups, one aggregate at a time.
func BenchmarkAdd(b *testing.B) {
	ints, texts, bools := vec.NewCol(vec.TypeInt64), vec.NewCol(vec.TypeString), vec.NewCol(vec.TypeBool)
	groups := make([]int32, vec.MaxRows)
	for i := range vec.MaxRows {
		vec.AppendValue(ints, int64(i%64))
		texts.AppendString(fmt.Sprint("value ", i%50))
		bools.AppendBool(i%3 != 0)
		groups[i] = int32(i * 7919 % 1000)
	}
	cols := []*vec.Col{ints, texts, bools}
	in := []vec.Type{vec.TypeInt64, vec.TypeString, vec.TypeBool}
	for _, c := range []struct {
		fn               string
		arg, filter      int
		distinct, takeBk bool
	}{
		{"COUNT", -1, -1, false, false},
		{"SUM", 0, -1, false, false},
		{"SUM", 0, 2, false, false},
		{"AVG", 0, -1, false, false},
		{"MAX", 0, -1, false, false},
		{"MAX", 1, -1, false, false},
		{"LAST_VALUE", 1, -1, false, false},
		{"STDDEV_POP", 0, -1, false, false},
		{"COUNT", 0, -1, true, false},
		{"COUNT", 1, -1, true, false},
		{"MAX", 0, -1, false, true},
	} {
		s := Spec{Func: c.fn, Filter: c.filter, Distinct: c.distinct}
		if c.arg >= 0 {
			s.Args, s.ArgTypes = []int{c.arg}, []vec.Type{in[c.arg]}
		}
		var err error
		if s.Type, err = ResultType(s.Func, s.Distinct, s.ArgTypes); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%s/distinct=%t/retract=%t", s, c.distinct, c.takeBk), func(b *testing.B) {
			set, err := New([]Spec{s}, c.takeBk)
			if err != nil {
				b.Fatal(err)
			}
			set.Resize(1000)
			set.Add(cols, nil, groups)
			b.ReportAllocs()
			for b.Loop() {
				set.Add(cols, nil, groups)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/vec.MaxRows, "ns/row")
		})
	}
}
