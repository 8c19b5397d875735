package table

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/pebble"
	"github.com/bramble-stream/bramble/engine/vec"
)

// benchBatches makes batches of n keys: their key column as the maker wants it, and a BIGINT.
func benchBatches(keys int, kind string) (batches [][]*vec.Col) {
	d := &vec.Dict{ID: 99, Offsets: []int32{0}}
	for i := range keys {
		d.Data = append(d.Data, fmt.Sprintf("sensor-%06d", i)...)
		d.Offsets = append(d.Offsets, int32(len(d.Data)))
	}
	x := uint64(1)
	for range 64 {
		var k *vec.Col
		v := vec.NewCol(vec.TypeInt64)
		if kind == "int" {
			k = vec.NewCol(vec.TypeInt64)
		} else {
			k = vec.NewCol(vec.TypeString)
		}
		if kind == "dict" {
			k.SetDict(d)
		}
		for range vec.MaxRows {
			x = x*6364136223846793005 + 1442695040888963407
			key := int32((x >> 33) % uint64(keys))
			switch kind {
			case "dict":
				k.AppendCode(key)
			case "int":
				vec.AppendValue(k, int64(key))
			default:
				k.AppendBytes(d.Value(key))
			}
			vec.AppendValue(v, int64(x>>40))
		}
		batches = append(batches, []*vec.Col{k, v})
	}
	return batches
}

// BenchmarkGroups is the table alone, per batch of vec.MaxRows rows.
func BenchmarkGroups(b *testing.B) {
	for _, keys := range []int{1000, 100_000} {
		for _, kind := range []string{"dict", "plain", "int"} {
			b.Run(fmt.Sprintf("%s/keys=%d", kind, keys), func(b *testing.B) {
				batches := benchBatches(keys, kind)
				t := New([]vec.Type{batches[0][0].Type()})
				out := make([]int32, vec.MaxRows)
				for _, c := range batches {
					t.Groups(c[:1], nil, nil, out)
				}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					t.Groups(batches[i&63][:1], nil, nil, out)
					i++
				}
				b.ReportMetric(float64(b.N)*vec.MaxRows/b.Elapsed().Seconds()/1e6, "Mrows/s")
			})
		}
	}
}

// BenchmarkTumble is a tumbling window's Add: COUNT, SUM and MAX by key, per batch of vec.MaxRows rows.
func BenchmarkTumble(b *testing.B) {
	for _, kind := range []string{"dict", "plain", "int"} {
		b.Run(kind, func(b *testing.B) {
			batches := benchBatches(1000, kind)
			w, err := NewWindowed(Options{
				Keys: []vec.Type{batches[0][0].Type()}, Aggs: testAggs[:3], BudgetBytes: 64 << 20,
				Open: func(state.MergeFunc) (state.Store, error) { return nil, fmt.Errorf("no store") },
			})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				c := batches[i&63]
				if err := w.Add(7, c[:1], c, nil, vec.MaxRows, nil); err != nil {
					b.Fatal(err)
				}
				i++
			}
			b.ReportMetric(float64(b.N)*vec.MaxRows/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

// BenchmarkFire emits and drops a window of 1,000 keys.
func BenchmarkFire(b *testing.B) {
	batches := benchBatches(1000, "dict")
	w, err := NewWindowed(Options{Keys: []vec.Type{vec.TypeString}, Aggs: testAggs[:3]})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var ns int64
	for b.Loop() {
		for _, c := range batches[:4] {
			if err := w.Add(ns, c[:1], c, nil, vec.MaxRows, nil); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Emit([]int64{ns}, func(_, _ []*vec.Col, _ int) error { return nil }); err != nil {
			b.Fatal(err)
		}
		if err := w.Drop(ns); err != nil {
			b.Fatal(err)
		}
		ns++
	}
}

// TestSpillMillions, opt-in by BRAMBLE_SPILL_KEYS=5000000, runs one window of that many string keys through a small budget and says what it
// took. Run it under GOMEMLIMIT to see that it lives there.
func TestSpillMillions(t *testing.T) {
	var keys int
	if _, err := fmt.Sscan(os.Getenv("BRAMBLE_SPILL_KEYS"), &keys); err != nil {
		t.Skip("set BRAMBLE_SPILL_KEYS to run")
	}
	w, err := NewWindowed(Options{
		Keys: []vec.Type{vec.TypeString}, Aggs: testAggs[:3], BudgetBytes: 48 << 20,
		Open: func(m state.MergeFunc) (state.Store, error) {
			return pebble.Open(pebble.Options{Dir: filepath.Join(t.TempDir(), "s"), Instance: "a", Merge: m, MemoryBytes: 32 << 20})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 2 // every key comes twice, far apart
	start := time.Now()
	k, v := vec.NewCol(vec.TypeString), vec.NewCol(vec.TypeInt64)
	var buf []byte
	for i := range keys * rounds {
		buf = fmt.Appendf(buf[:0], "user-%09d", uint64(i%keys)*2654435761%uint64(keys))
		k.AppendBytes(buf)
		vec.AppendValue(v, int64(1))
		if k.Len() == vec.MaxRows || i == keys*rounds-1 {
			if err := w.Add(0, []*vec.Col{k}, []*vec.Col{k, v}, nil, k.Len(), nil); err != nil {
				t.Fatal(err)
			}
			k.Reset()
			v.Reset()
		}
	}
	added := time.Now()
	t.Logf("added %d rows in %v, %d spills, %s", keys*rounds, added.Sub(start), w.Spills(), rss())
	var rows, sum int64
	err = w.Emit([]int64{0}, func(_, values []*vec.Col, n int) error {
		rows += int64(n)
		for _, s := range vec.Values[int64](values[1]) {
			sum += s
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("emitted %d keys in %v, %s", rows, time.Since(added), rss())
	if err := w.Drop(0); err != nil {
		t.Fatal(err)
	}
	if sum != int64(keys*rounds) {
		t.Errorf("sum %d, want %d", sum, keys*rounds)
	}
	if err := w.store.Close(); err != nil {
		t.Error(err)
	}
}

// rss is the process's resident memory, now and at most.
func rss() string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return runtime.GOOS
	}
	var out []string
	for l := range strings.Lines(string(status)) {
		if strings.HasPrefix(l, "VmHWM") || strings.HasPrefix(l, "VmRSS") {
			out = append(out, strings.Join(strings.Fields(l), " "))
		}
	}
	return strings.Join(out, ", ")
}

// BenchmarkKeyed is group aggregation: Groups, Add, Touch and Trim per batch of vec.MaxRows rows; the second kind has far more keys than
// memory, drawn so that a tenth of them takes nine tenths of the rows.
func BenchmarkKeyed(b *testing.B) {
	for _, c := range []struct {
		name   string
		keys   uint64
		budget int64
	}{{"hot/keys=1000", 1000, 64 << 20}, {"cold/keys=1000000", 1_000_000, 16 << 20}} {
		b.Run(c.name, func(b *testing.B) { benchKeyed(b, c.keys, c.budget) })
	}
}

func benchKeyed(b *testing.B, keys uint64, budget int64) {
	var store state.Store
	k, err := NewKeyed(Options{
		Keys: []vec.Type{vec.TypeInt64}, Aggs: testAggs[:3], BudgetBytes: budget,
		Open: func(m state.MergeFunc) (state.Store, error) {
			var err error
			store, err = pebble.Open(pebble.Options{Dir: filepath.Join(b.TempDir(), "s"), Instance: "a", Merge: m})
			return store, err
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	x := uint64(1)
	c := vec.NewCol(vec.TypeInt64)
	cols := []*vec.Col{c, c}
	step := func() {
		c.Reset()
		for range vec.MaxRows {
			x = x*6364136223846793005 + 1442695040888963407
			key := (x >> 33) % keys
			if x>>20&7 != 0 {
				key /= 10
			}
			vec.AppendValue(c, int64(key))
		}
		groups, err := k.Groups(cols[:1], nil, vec.MaxRows, nil, nil)
		if err != nil {
			b.Fatal(err)
		}
		k.Set().Add(cols, nil, groups)
		k.Touch(groups)
		if _, err := k.Trim(); err != nil {
			b.Fatal(err)
		}
	}
	for range 2000 {
		step()
	}
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
	b.ReportMetric(float64(b.N)*vec.MaxRows/b.Elapsed().Seconds()/1e6, "Mrows/s")
	b.ReportMetric(float64(k.Reads())/float64(b.N+2000), "reads/batch")
	if store != nil {
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkHop emits 60 slices of 1,000 keys put together.
func BenchmarkHop(b *testing.B) {
	batches := benchBatches(1000, "dict")
	w, err := NewWindowed(Options{Keys: []vec.Type{vec.TypeString}, Aggs: testAggs[:3]})
	if err != nil {
		b.Fatal(err)
	}
	for ns := range int64(60) {
		for _, c := range batches[:4] {
			if err := w.Add(ns, c[:1], c, nil, vec.MaxRows, nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Emit(w.Namespaces(), func(_, _ []*vec.Col, _ int) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGroupsTwo is two key columns: a string, in a dictionary or not, and an INT with ten values.
func BenchmarkGroupsTwo(b *testing.B) {
	for _, kind := range []string{"dict", "plain"} {
		b.Run(kind, func(b *testing.B) {
			batches := benchBatches(100, kind)
			for i, c := range batches {
				second := vec.NewCol(vec.TypeInt32)
				for r := range vec.MaxRows {
					vec.AppendValue(second, int32((r*7+i)%10))
				}
				c[1] = second
			}
			t := New([]vec.Type{vec.TypeString, vec.TypeInt32})
			out := make([]int32, vec.MaxRows)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				t.Groups(batches[i&63], nil, nil, out)
				i++
			}
			b.ReportMetric(float64(b.N)*vec.MaxRows/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}
