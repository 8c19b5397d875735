package agg_test

import (
	"encoding/hex"
	"testing"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/vec"
)

// TestForm pins how accumulators are written. Checkpoints have these bytes: if one of them changes, so must the numbers of aggregations in
// graph.stateForms, or old state is read as something else.
func TestForm(t *testing.T) {
	ints, strs, flag := vec.NewCol(vec.TypeInt32), vec.NewCol(vec.TypeString), vec.NewCol(vec.TypeBool)
	for i, s := range []string{"b", "a", "b"} {
		vec.AppendValue(ints, int32(3-2*i))
		strs.AppendString(s)
		flag.AppendBool(i > 0)
	}
	spec := func(fn string, arg int, distinct bool, filter int) agg.Spec {
		s := agg.Spec{Func: fn, Args: []int{arg}, ArgTypes: []vec.Type{ints.Type()}, Distinct: distinct, Filter: filter, Separator: ","}
		if arg == 1 {
			s.ArgTypes[0] = strs.Type()
		}
		var err error
		if s.Type, err = agg.ResultType(fn, distinct, s.ArgTypes); err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, c := range []struct {
		name        string
		want, taken string // hex, without and with retractions
		specs       []agg.Spec
	}{
		{"COUNT", "06", "06", []agg.Spec{spec("COUNT", 0, false, -1)}},
		{"SUM", "0606", "0606", []agg.Spec{spec("SUM", 0, false, -1)}},
		{"AVG", "0400", "0400", []agg.Spec{spec("AVG", 0, false, 2)}},
		{"MIN", "01ffffffffffffffff", "0302030000000000000002010000000000000002ffffffffffffffff", []agg.Spec{spec("MIN", 0, false, -1)}},
		{"MAX", "010162", "02040162020161", []agg.Spec{spec("MAX", 1, false, -1)}},
		{"FIRST_VALUE", "010162", "03020162020161020162", []agg.Spec{spec("FIRST_VALUE", 1, false, -1)}},
		{"LAST_VALUE", "01ffffffffffffffff", "0302030000000000000002010000000000000002ffffffffffffffff", []agg.Spec{spec("LAST_VALUE", 0, false, -1)}},
		{"STDDEV_POP", "06000000000000f03f0000000000002040", "0600000000000008400000000000002640", []agg.Spec{spec("STDDEV_POP", 0, false, -1)}},
		{"LISTAGG", "0105622c612c62", "03020162020161020162", []agg.Spec{spec("LISTAGG", 1, false, -1)}},
		{"COUNT DISTINCT", "02020162020161", "02040162020161", []agg.Spec{spec("COUNT", 1, true, -1)}},
		{"COUNT DISTINCT, shared", "02060162060161", "0204016202016102020161020162", []agg.Spec{spec("COUNT", 1, true, -1), spec("COUNT", 1, true, 2)}},
		{"SUM DISTINCT", "0302030000000000000002010000000000000002ffffffffffffffff", "0302030000000000000002010000000000000002ffffffffffffffff", []agg.Spec{spec("SUM", 0, true, -1)}},
	} {
		for retract, want := range map[bool]string{false: c.want, true: c.taken} {
			s, err := agg.New(c.specs, retract)
			if err != nil {
				t.Fatal(c.name, err)
			}
			s.Resize(1)
			s.Add([]*vec.Col{ints, strs, flag}, nil, []int32{0, 0, 0})
			if got := hex.EncodeToString(s.Encode(nil, 0)); got != want {
				t.Errorf("%s, retract %t, is written as\n%s, not\n%s", c.name, retract, got, want)
			}
		}
	}
}
