package table

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"pgregory.net/rapid"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/mem"
	"github.com/bramble-stream/bramble/engine/state/pebble"
	"github.com/bramble-stream/bramble/engine/state/statetest"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

var keyTypes = []vec.Type{
	vec.TypeInt64, vec.TypeString, vec.TypeInt32, vec.TypeFloat64, vec.DecimalOf(10, 2), vec.TypeBool, vec.TypeTimestamp, vec.TypeBytes,
	vec.ArrayOf(vec.TypeString), vec.RowOf(vec.Field{Name: "a", Type: vec.TypeInt32}, vec.Field{Name: "b", Type: vec.TypeString}),
}

// genKey appends a random key value and returns it as text.
func genKey(t *rapid.T, c *vec.Col) string {
	n := rapid.IntRange(-1, 40).Draw(t, "key")
	if n < 0 {
		c.AppendNull()
		return "NULL"
	}
	appendKey(c, n)
	return fmt.Sprint(n)
}

func appendKey(c *vec.Col, n int) {
	switch c.Kind() {
	case vec.Int64, vec.Timestamp:
		vec.AppendValue(c, int64(n))
	case vec.Int32:
		vec.AppendValue(c, int32(n))
	case vec.Float64:
		vec.AppendValue(c, float64(n))
	case vec.Decimal:
		vec.AppendValue(c, vec.Num{}.Add(decOf(n)))
	case vec.Bool:
		c.AppendBool(n%2 == 0)
	case vec.String, vec.Bytes:
		c.AppendString(fmt.Sprintf("key-%d", n))
	case vec.Array:
		for i := range n % 3 {
			c.Kid(0).AppendString(fmt.Sprint(n, i))
		}
		c.Kid(0).AppendString(fmt.Sprint(n))
		c.EndList()
	case vec.Row:
		vec.AppendValue(c.Kid(0), int32(n))
		c.Kid(1).AppendNull()
		c.EndRow()
	}
}

func TestTableAgainstMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var types []vec.Type
		for range rapid.IntRange(0, 3).Draw(rt, "columns") {
			types = append(types, rapid.SampledFrom(keyTypes).Draw(rt, "type"))
		}
		tab := New(types)
		model := map[string]int32{}
		for range rapid.IntRange(1, 5).Draw(rt, "batches") {
			n := rapid.IntRange(1, 60).Draw(rt, "rows")
			keys := make([]*vec.Col, len(types))
			texts := make([]string, n)
			for c, ty := range types {
				keys[c] = vec.NewCol(ty)
				for i := range n {
					if k := genKey(rt, keys[c]); ty.Kind == vec.Bool && k != "NULL" {
						texts[i] += fmt.Sprint(keys[c].Bools().Get(i)) + ";"
					} else {
						texts[i] += k + ";"
					}
				}
				if ty.Kind == vec.String && rapid.Bool().Draw(rt, "dict") {
					keys[c] = encode(keys[c], uint64(rapid.IntRange(0, 6).Draw(rt, "id")))
				}
			}
			var sel []int
			if rapid.Bool().Draw(rt, "sel") {
				for i := 0; i < n; i += 2 {
					sel = append(sel, i)
				}
				n = len(sel)
			}
			var hashes []uint64
			if rapid.Bool().Draw(rt, "hashed") {
				hashes = make([]uint64, n)
				vec.Hash(keys, sel, hashes)
			}
			out := make([]int32, n)
			tab.Groups(keys, sel, hashes, out)
			for k, g := range out {
				i := k
				if sel != nil {
					i = sel[k]
				}
				want, ok := model[texts[i]]
				if !ok {
					want = int32(len(model))
					model[texts[i]] = want
				}
				if g != want {
					rt.Fatalf("row %d (%s): group %d, want %d", i, texts[i], g, want)
				}
				checkKey(rt, tab, keys, i, g)
			}
		}
		if tab.Len() != len(model) {
			rt.Fatalf("%d groups, want %d", tab.Len(), len(model))
		}
		tab.Reset()
		if tab.Len() != 0 {
			rt.Fatal("not empty after Reset")
		}
	})
}

// checkKey reads a key back, as columns and as bytes, and compares hashes.
func checkKey(rt *rapid.T, tab *Table, keys []*vec.Col, i int, g int32) {
	dst := make([]*vec.Col, len(keys))
	for c := range keys {
		dst[c] = vec.NewCol(keys[c].Type())
	}
	tab.AppendKeys(dst, []int32{g})
	b := tab.EncodeKey(nil, g)
	if string(b) != string(EncodeKey(nil, keys, i)) {
		rt.Fatalf("row %d: encoded differently", i)
	}
	if rest, err := DecodeKey(b, dst); err != nil || len(rest) > 0 {
		rt.Fatal(err, rest)
	}
	for c := range keys {
		if !equalAt(dst[c], 0, keys[c], i) || !equalAt(dst[c], 1, keys[c], i) {
			rt.Fatalf("column %d of row %d differs", c, i)
		}
	}
	var h [1]uint64
	vec.Hash(keys, []int{i}, h[:])
	if tab.Hash(g) != h[0] {
		rt.Fatalf("hash %x, want %x", tab.Hash(g), h[0])
	}
	for cut := range b {
		for _, c := range dst {
			c.Reset()
		}
		if _, err := DecodeKey(b[:cut], dst); err == nil {
			rt.Fatalf("decoded %d of %d bytes", cut, len(b))
		}
	}
}

// dicts are the dictionaries by id, only ever extended.
var dicts = map[uint64]*vec.Dict{}

func encode(c *vec.Col, id uint64) *vec.Col {
	d := dicts[id]
	if d == nil || id == 0 {
		d = &vec.Dict{ID: id, Offsets: []int32{0}}
	}
	nd := *d
	dicts[id] = &nd
	out := vec.NewCol(c.Type())
	out.SetDict(&nd)
	for i := range c.Len() {
		if c.IsNull(i) {
			out.AppendNull()
			continue
		}
		code := int32(-1)
		for k := range nd.Len() {
			if string(nd.Value(int32(k))) == c.Str(i) {
				code = int32(k)
			}
		}
		if code < 0 {
			code = int32(nd.Len())
			nd.Data = append(nd.Data, c.Bytes(i)...)
			nd.Offsets = append(nd.Offsets, int32(len(nd.Data)))
		}
		out.AppendCode(code)
	}
	return out
}

func TestFloatKeys(t *testing.T) {
	c := vec.NewCol(vec.TypeFloat64)
	for _, f := range []float64{0, math.Copysign(0, -1), math.NaN(), -math.NaN(), 1} {
		vec.AppendValue(c, f)
	}
	out := make([]int32, 5)
	New([]vec.Type{vec.TypeFloat64}).Groups([]*vec.Col{c}, nil, nil, out)
	if fmt.Sprint(out) != "[0 0 1 1 2]" {
		t.Errorf("groups %v", out)
	}
}

var testAggs = []agg.Spec{
	{Func: "COUNT", Filter: -1, Type: vec.TypeInt64, Name: "n"},
	{Func: "SUM", Args: []int{1}, ArgTypes: []vec.Type{vec.TypeInt64}, Filter: -1, Type: vec.TypeInt64, Name: "s"},
	{Func: "MAX", Args: []int{1}, ArgTypes: []vec.Type{vec.TypeInt64}, Filter: -1, Type: vec.TypeInt64, Name: "m"},
	{Func: "COUNT", Args: []int{1}, ArgTypes: []vec.Type{vec.TypeInt64}, Distinct: true, Filter: -1, Type: vec.TypeInt64, Name: "d"},
}

// input is rows of a STRING key and a BIGINT value, and what they come to by key.
type input struct {
	cols []*vec.Col
	n    int
}

func genInput(rt *rapid.T, model map[string][]int64, maxKey int) input {
	in := input{cols: []*vec.Col{vec.NewCol(vec.TypeString), vec.NewCol(vec.TypeInt64)}, n: rapid.IntRange(1, 80).Draw(rt, "rows")}
	for range in.n {
		k := fmt.Sprintf("k%d", rapid.IntRange(0, maxKey).Draw(rt, "key"))
		v := int64(rapid.IntRange(0, 5).Draw(rt, "value"))
		in.cols[0].AppendString(k)
		vec.AppendValue(in.cols[1], v)
		model[k] = append(model[k], v)
	}
	return in
}

// outcome is what testAggs come to.
func outcome(model map[string][]int64) map[string]string {
	out := map[string]string{}
	for k, vs := range model {
		var sum, most int64
		seen := map[int64]bool{}
		for _, v := range vs {
			sum += v
			most = max(most, v)
			seen[v] = true
		}
		out[k] = fmt.Sprint(len(vs), sum, most, len(seen))
	}
	return out
}

// collector gathers what is emitted, and refuses a key that comes twice.
func collector(t *rapid.T, into map[string]string) Emitter {
	return func(keys, values []*vec.Col, n int) error {
		for i := range n {
			k, s := keys[0].Str(i), ""
			for c, v := range values {
				if c > 0 {
					s += " "
				}
				s += fmt.Sprint(vec.Values[int64](v)[i])
			}
			if _, ok := into[k]; ok {
				t.Fatalf("key %s emitted twice", k)
			}
			into[string(append([]byte(nil), k...))] = s
		}
		return nil
	}
}

// TestWindowedAgainstMap runs windows under budgets that make them spill all the time, never, or in between, with snapshots
// and restores into a new table.
func TestWindowedAgainstMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		store := state.Store(nil)
		o := Options{
			Keys: []vec.Type{vec.TypeString}, Aggs: testAggs,
			BudgetBytes: rapid.SampledFrom([]int64{1, 40 << 10, 200 << 10, 0}).Draw(rt, "budget"),
		}
		o.Open = func(m state.MergeFunc) (state.Store, error) {
			if store == nil {
				store = mem.New(m)
			}
			return store, nil
		}
		w := mustWindowed(rt, o)
		models := map[int64]map[string][]int64{}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			ns := int64(rapid.IntRange(-2, 3).Draw(rt, "namespace"))
			switch rapid.IntRange(0, 10).Draw(rt, "step") {
			case 10:
				mergeSpaces(rt, w, models, ns, ns+1)
			case 0:
				if err := w.Drop(ns); err != nil {
					rt.Fatal(err)
				}
				delete(models, ns)
			case 1:
				if err := w.Snapshot(); err != nil {
					rt.Fatal(err)
				}
			case 2:
				if err := w.Snapshot(); err != nil {
					rt.Fatal(err)
				}
				w = mustWindowed(rt, o)
				if err := w.Restore(); err != nil {
					rt.Fatal(err)
				}
			case 3:
				checkEmit(rt, w, models, []int64{ns, ns + 1, ns + 2})
			case 4:
				checkEmit(rt, w, models, []int64{ns})
			default:
				if models[ns] == nil {
					models[ns] = map[string][]int64{}
				}
				in := genInput(rt, models[ns], 300)
				addInput(rt, w, ns, in, o)
			}
		}
		for ns := int64(-2); ns < 5; ns++ {
			checkEmit(rt, w, models, []int64{ns})
		}
		if o.BudgetBytes == 0 && w.Spills() > 0 {
			rt.Error("spilled without a budget")
		}
	})
}

func mergeSpaces(rt *rapid.T, w *Windowed, models map[int64]map[string][]int64, dst, src int64) {
	if err := w.Merge(dst, src); err != nil {
		rt.Fatal(err)
	}
	for k, v := range models[src] {
		if models[dst] == nil {
			models[dst] = map[string][]int64{}
		}
		models[dst][k] = append(models[dst][k], v...)
	}
	delete(models, src)
}

// addInput adds rows, at random as they are or as another table's partials.
func addInput(rt *rapid.T, w *Windowed, ns int64, in input, o Options) {
	if rapid.Bool().Draw(rt, "direct") {
		if err := w.Add(ns, in.cols[:1], in.cols, nil, in.n, nil); err != nil {
			rt.Fatal(err)
		}
		return
	}
	o.Open = nil
	local := mustWindowed(rt, o)
	if err := local.Add(ns, in.cols[:1], in.cols, nil, in.n, nil); err != nil {
		rt.Fatal(err)
	}
	err := local.EmitPartial([]int64{ns}, func(keys, values []*vec.Col, n int) error {
		return w.AddPartial(ns, keys, values, nil, n, nil)
	})
	if err != nil {
		rt.Fatal(err)
	}
}

func mustWindowed(rt *rapid.T, o Options) *Windowed {
	w, err := NewWindowed(o)
	if err != nil {
		rt.Fatal(err)
	}
	return w
}

func checkEmit(rt *rapid.T, w *Windowed, models map[int64]map[string][]int64, nss []int64) {
	got, sum := map[string]string{}, map[string][]int64{}
	if err := w.Emit(nss, collector(rt, got)); err != nil {
		rt.Fatal(err)
	}
	for _, ns := range nss {
		for k, v := range models[ns] {
			sum[k] = append(sum[k], v...)
		}
	}
	if want := outcome(sum); !maps.Equal(got, want) {
		rt.Fatalf("namespaces %v: %d keys, want %d\ngot  %v\nwant %v", nss, len(got), len(want), got, want)
	}
}

func TestWindowedWithoutSpillOpensNoStore(t *testing.T) {
	w, err := NewWindowed(Options{
		Keys: []vec.Type{vec.TypeInt64}, Aggs: testAggs, BudgetBytes: 1 << 20,
		Open: func(state.MergeFunc) (state.Store, error) { t.Error("opened"); return nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	k := vec.NewCol(vec.TypeInt64)
	for i := range int64(1000) {
		vec.AppendValue(k, i%10)
	}
	for ns := range int64(20) {
		if err := w.Add(ns, []*vec.Col{k}, []*vec.Col{nil, k}, nil, 1000, nil); err != nil {
			t.Fatal(err)
		}
		if err := w.Emit([]int64{ns}, func(_, _ []*vec.Col, n int) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if err := w.Drop(ns); err != nil {
			t.Fatal(err)
		}
	}
	if w.MemBytes() != 0 || len(w.Namespaces()) != 0 {
		t.Errorf("%d bytes, namespaces %v left", w.MemBytes(), w.Namespaces())
	}
}

// TestKeyedAgainstMap runs group aggregation with evictions, removals, snapshots and restores.
func TestKeyedAgainstMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		store := state.Store(nil)
		o := Options{
			Keys: []vec.Type{vec.TypeString}, Aggs: testAggs, BudgetBytes: rapid.SampledFrom([]int64{1, 0}).Draw(rt, "budget"),
		}
		o.Open = func(m state.MergeFunc) (state.Store, error) {
			if store == nil {
				store = mem.New(m)
			}
			return store, nil
		}
		k := mustKeyed(rt, o)
		model := map[string][]int64{}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 7).Draw(rt, "step") {
			case 0:
				if err := k.Snapshot(); err != nil {
					rt.Fatal(err)
				}
				k = mustKeyed(rt, o)
				if err := k.Restore(); err != nil {
					rt.Fatal(err)
				}
			case 1:
				checkKeyed(rt, k, model, true)
			default:
				stepKeyed(rt, k, model)
			}
			if _, err := k.trim(8); err != nil {
				rt.Fatal(err)
			}
		}
		checkKeyed(rt, k, model, false)
	})
}

func mustKeyed(rt *rapid.T, o Options) *Keyed {
	k, err := NewKeyed(o)
	if err != nil {
		rt.Fatal(err)
	}
	return k
}

func stepKeyed(rt *rapid.T, k *Keyed, model map[string][]int64) {
	before := maps.Clone(model)
	in := genInput(rt, model, 40)
	fresh := map[int32]bool{}
	groups, err := k.Groups(in.cols[:1], nil, in.n, nil, func(g int32) {
		if fresh[g] {
			rt.Fatalf("group %d new twice", g)
		}
		fresh[g] = true
	})
	if err != nil {
		rt.Fatal(err)
	}
	for i, g := range groups {
		if _, ok := before[in.cols[0].Str(i)]; ok == fresh[g] {
			rt.Fatalf("key %s new: %t", in.cols[0].Str(i), fresh[g])
		}
	}
	k.Set().Add(in.cols, nil, groups)
	k.Touch(groups)
}

// checkKeyed reads all keys of the model and some that are not there, and with remove forgets a few.
func checkKeyed(rt *rapid.T, k *Keyed, model map[string][]int64, remove bool) {
	c := vec.NewCol(vec.TypeString)
	for i := range 60 {
		c.AppendString(fmt.Sprintf("k%d", i))
	}
	fresh := map[int32]bool{}
	groups, err := k.Groups([]*vec.Col{c}, nil, 60, nil, func(g int32) { fresh[g] = true })
	if err != nil {
		rt.Fatal(err)
	}
	dst := k.Set().NewResultCols()
	k.Set().AppendResult(dst, groups)
	want := outcome(model)
	for i, g := range groups {
		key := c.Str(i)
		_, ok := model[key]
		if ok == fresh[g] {
			rt.Fatalf("key %s new: %t", key, fresh[g])
		}
		got := fmt.Sprint(vec.Values[int64](dst[0])[i], vec.Values[int64](dst[1])[max(i, 0)], vec.Values[int64](dst[2])[i], vec.Values[int64](dst[3])[i])
		if ok && got != want[key] {
			rt.Fatalf("key %s: %s, want %s", key, got, want[key])
		}
		if !ok || remove && i%3 == 0 {
			k.Remove(g)
			delete(model, key)
		}
	}
}

func TestKeyedSweep(t *testing.T) {
	store := state.Store(nil)
	k, err := NewKeyed(Options{Keys: []vec.Type{vec.TypeInt64}, Aggs: testAggs[:1], BudgetBytes: 1, Open: func(m state.MergeFunc) (state.Store, error) {
		store = mem.New(m)
		return store, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := vec.NewCol(vec.TypeInt64)
	for i := range int64(2000) {
		vec.AppendValue(c, i)
	}
	groups, err := k.Groups([]*vec.Col{c}, nil, 2000, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range groups {
		k.Stamps()[g] = int64(i)
	}
	k.Touch(groups)
	if out, err := k.Trim(); !out || err != nil {
		t.Fatal(out, err)
	}
	for kg := range stream.KeyGroup(128) {
		if _, err := k.Sweep(kg, 1500); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(statetest.Dump(t, store, "", "\xff\xff\xff")); n != 500 {
		t.Errorf("%d keys left in the store, want 500", n)
	}
}

func decOf(n int) vec.Num { return decimal128.FromI64(int64(n)) }

const pebbleKeys = 20_000

// fillSpaces adds pebbleKeys keys once to namespaces 0 and 1.
func fillSpaces(t *testing.T, w *Windowed) {
	t.Helper()
	c := vec.NewCol(vec.TypeInt64)
	for i := range int64(pebbleKeys) {
		vec.AppendValue(c, i)
		if c.Len() == vec.MaxRows || i == pebbleKeys-1 {
			for ns := range int64(2) {
				if err := w.Add(ns, []*vec.Col{c}, []*vec.Col{nil, c}, nil, c.Len(), nil); err != nil {
					t.Fatal(err)
				}
			}
			c.Reset()
		}
	}
}

// checkCounts checks that every key has come each times.
func checkCounts(t *testing.T, w *Windowed, nss []int64, each int64) {
	t.Helper()
	n := 0
	err := w.Emit(nss, func(_, values []*vec.Col, rows int) error {
		for _, v := range vec.Values[int64](values[0]) {
			if v != each {
				return fmt.Errorf("a key came %d times, want %d", v, each)
			}
		}
		n += rows
		return nil
	})
	if err != nil || n != pebbleKeys {
		t.Fatal(n, err)
	}
}

// overPebble is a table over a store in dir, small enough to spill.
func overPebble(t *testing.T, dir, instance string, s *state.Store) *Windowed {
	t.Helper()
	w, err := NewWindowed(Options{
		Keys: []vec.Type{vec.TypeInt64}, Aggs: testAggs, BudgetBytes: 256 << 10,
		Open: func(m state.MergeFunc) (state.Store, error) {
			var err error
			*s, err = pebble.Open(pebble.Options{Dir: dir, Instance: instance, Merge: m, MemoryBytes: pebble.MinMemoryBytes})
			return *s, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestWindowedOverPebble spills to a real store, restores from its snapshot into another, and goes on there.
func TestWindowedOverPebble(t *testing.T) {
	var first, second state.Store
	w := overPebble(t, filepath.Join(t.TempDir(), "a"), "a", &first)
	fillSpaces(t, w)
	if err := w.Snapshot(); err != nil {
		t.Fatal(err)
	}
	snap, err := first.Snapshot(1)
	if err != nil {
		t.Fatal(err)
	}
	dir := statetest.Download(t, snap, map[string][]byte{})
	fillSpaces(t, w)
	checkCounts(t, w, []int64{0, 1}, 4)
	checkCounts(t, w, []int64{1}, 2)
	r := overPebble(t, dir, "b", &second)
	if err := r.Restore(); err != nil {
		t.Fatal(err)
	}
	checkCounts(t, r, []int64{0}, 1)
	fillSpaces(t, r)
	checkCounts(t, r, []int64{0, 1}, 4)
	if err := r.Drop(0); err != nil {
		t.Fatal(err)
	}
	checkCounts(t, r, []int64{0, 1}, 2)
	if w.Spills() == 0 || r.Spills() == 0 {
		t.Errorf("%d and %d spills", w.Spills(), r.Spills())
	}
	if err := errors.Join(snap.Close(), first.Close(), second.Close()); err != nil {
		t.Error(err)
	}
}

// TestWindowedWithoutKeysOrAggregates: a window without GROUP BY keys, and one that only lists its keys, spill like others.
func TestWindowedWithoutKeysOrAggregates(t *testing.T) {
	c := vec.NewCol(vec.TypeInt64)
	for i := range int64(1000) {
		vec.AppendValue(c, i%700)
	}
	for _, o := range []Options{{Aggs: testAggs}, {Keys: []vec.Type{vec.TypeInt64}}, {}} {
		var store state.Store
		o.BudgetBytes = 1
		o.Open = func(m state.MergeFunc) (state.Store, error) {
			store = mem.New(m)
			return store, nil
		}
		w, err := NewWindowed(o)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := w.Add(5, []*vec.Col{c}[:len(o.Keys)], []*vec.Col{nil, c}, nil, 1000, nil); err != nil {
				t.Fatal(err)
			}
			if err := w.Snapshot(); err != nil {
				t.Fatal(err)
			}
		}
		rows, want := 0, 1
		if len(o.Keys) > 0 {
			want = 700
		}
		err = w.Emit([]int64{5}, func(_, values []*vec.Col, n int) error {
			rows += n
			if len(values) > 0 && fmt.Sprint(vec.Values[int64](values[0]), vec.Values[int64](values[3])) != "[3000] [700]" {
				return fmt.Errorf("got %v", vec.Values[int64](values[0]))
			}
			return nil
		})
		if err != nil || rows != want {
			t.Errorf("%d keys, %d aggregates: %d rows, %v", len(o.Keys), len(o.Aggs), rows, err)
		}
		if err := w.Drop(5); err != nil || store.SizeBytes() != 0 {
			t.Errorf("%d bytes left, %v", store.SizeBytes(), err)
		}
	}
}
