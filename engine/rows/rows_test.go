package rows

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/mem"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

var schema = vec.NewSchema(vec.Field{Name: "k", Type: vec.TypeInt64}, vec.Field{Name: "v", Type: vec.TypeString})

// world is a Store beside a plain model of it: by namespace, side and key the rows in order.
type world struct {
	t     *testing.T
	o     Options
	s     *Store
	store *mem.Store
	model map[[3]int64][]string
}

func newWorld(t *testing.T, budget int64, order bool) *world {
	w := &world{t: t, model: map[[3]int64][]string{}}
	w.o = Options{Keys: []vec.Type{vec.TypeInt64}, Sides: []*vec.Schema{schema, schema}, Hashed: true, BudgetBytes: budget}
	if order {
		w.o.Order = func(cols []*vec.Col, i, j int) int { return cmp.Compare(cols[1].Str(i), cols[1].Str(j)) }
	}
	w.o.Open = func(merge state.MergeFunc) (state.Store, error) {
		if w.store == nil {
			w.store = mem.New(merge)
		}
		return w.store, nil
	}
	w.s = New(w.o)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// row is a batch of one row.
func row(k int64, v string) *vec.Batch {
	b := vec.NewBatch(schema)
	vec.AppendValue(b.Col(0), k)
	b.Col(1).AppendString(v)
	b.SetRows(1)
	return b
}

func (w *world) group(sp *Space, in int, k int64) int32 {
	w.t.Helper()
	g := sp.Groups(row(k, "").Cols()[:1], nil, 1, nil)[0]
	w.must(sp.Load(in, []int32{g}))
	return g
}

func (w *world) add(ns int64, in int, k int64, v string, stamp int64) {
	sp := w.s.Space(ns)
	b := row(k, v)
	id := [3]int64{ns, int64(in), k}
	if w.o.Order != nil && in == 0 {
		g := w.group(sp, in, k)
		prev := int32(-1)
		for r := sp.Head(in, g); r >= 0 && sp.Cols(in)[1].Str(int(r)) <= v; r = sp.Next(in, r) {
			prev = r
		}
		sp.Insert(in, b.Cols(), 0, g, prev, stamp)
		w.model[id] = append(w.model[id], v)
		slices.Sort(w.model[id])
		return
	}
	// Without Load: rows that are only added do not ask for those before them.
	sp.Append(in, b.Cols(), nil, sp.Groups(b.Cols()[:1], nil, 1, nil), stamp)
	w.model[id] = append(w.model[id], v)
}

func (w *world) remove(ns int64, in int, k int64, v string) {
	w.t.Helper()
	sp := w.s.Space(ns)
	g := w.group(sp, in, k)
	b := row(k, v)
	var h [1]uint64
	vec.Hash(b.Cols(), nil, h[:])
	r, prev := sp.Match(in, g, b.Cols(), 0, h[0])
	id := [3]int64{ns, int64(in), k}
	at := slices.Index(w.model[id], v)
	if (r < 0) != (at < 0) {
		w.t.Fatalf("row %s of %v: found %d, model %d", v, id, r, at)
	}
	if r >= 0 {
		sp.Remove(in, r, prev)
		w.model[id] = slices.Delete(w.model[id], at, at+1)
	}
}

func (w *world) check(ns int64, in int, k int64) {
	w.t.Helper()
	sp := w.s.Space(ns)
	g := w.group(sp, in, k)
	var got []string
	for r := sp.Head(in, g); r >= 0; r = sp.Next(in, r) {
		got = append(got, sp.Cols(in)[1].Str(int(r)))
	}
	if want := w.model[[3]int64{ns, int64(in), k}]; !slices.Equal(got, want) {
		w.t.Fatalf("rows of %d/%d/%d: %v, want %v", ns, in, k, got, want)
	}
}

func (w *world) trim() {
	w.t.Helper()
	for _, ns := range w.s.Namespaces() {
		w.s.Lookup(ns).Account()
	}
	w.must(w.s.Trim())
}

func (w *world) restore() {
	w.t.Helper()
	w.restoreAs(w.o.Chunks)
}

// restoreAs goes on from a snapshot, with chunks or without.
func (w *world) restoreAs(chunks bool) {
	w.t.Helper()
	own, err := w.s.Snapshot()
	w.must(err)
	w.o.Chunks = chunks
	w.s = New(w.o)
	w.must(w.s.Restore([][]byte{own}))
}

// drop forgets a namespace after reading all of it.
func (w *world) drop(ns int64) {
	w.t.Helper()
	got := map[[3]int64][]string{}
	w.must(w.s.Each(ns, func(part *Space) error {
		for in := range 2 {
			for g := range int32(part.Len()) {
				k := vec.Values[int64](part.Keys()[0])[g]
				for r := part.Head(in, g); r >= 0; r = part.Next(in, r) {
					id := [3]int64{ns, int64(in), k}
					got[id] = append(got[id], part.Cols(in)[1].Str(int(r)))
				}
			}
		}
		return nil
	}))
	w.must(w.s.Drop(ns))
	for id, want := range w.model {
		if id[0] != ns {
			continue
		}
		if !slices.Equal(want, got[id]) {
			w.t.Fatalf("all rows of %v: %v, want %v", id, got[id], want)
		}
		delete(w.model, id)
	}
}

// TestAgainstModel adds, removes, reads, spills, restores and drops at random. There are enough removals for compactions.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(12) {
		w := newWorld(t, []int64{1, 256 << 10, 0}[seed%3], seed%2 == 0)
		rng := rand.New(rand.NewPCG(seed, 5))
		keys, values := 40, 30
		if seed%4 == 3 {
			keys, values = 6, 4
		}
		for i := range 6000 {
			ns, in, k, v := int64(rng.IntN(2)), rng.IntN(2), int64(rng.IntN(keys)), fmt.Sprintf("v%02d", rng.IntN(values))
			if seed%3 != 0 {
				ns = 0
			}
			switch n := rng.IntN(100); {
			case n < 45:
				w.add(ns, in, k, v, 0)
			case n < 90 && w.o.Chunks: // rows stay
			case n < 90:
				w.remove(ns, in, k, v)
			case n < 97:
				w.check(ns, in, k)
			case seed%4 == 3: // nothing but removals makes room
			case i%101 == 0:
				w.restoreAs(w.o.Order == nil && rng.IntN(2) == 0)
			case i%211 == 0:
				w.drop(ns)
			}
			if i%16 == 0 {
				w.trim()
			}
		}
		for id := range w.model {
			w.check(id[0], int(id[1]), id[2])
		}
		for _, ns := range slices.Clone(w.s.Namespaces()) {
			w.drop(ns)
		}
		if w.store != nil && w.store.SizeBytes() != 0 {
			t.Errorf("seed %d: %d bytes are left in the store", seed, w.store.SizeBytes())
		}
	}
}

func TestSweep(t *testing.T) {
	for _, budget := range []int64{0, 1} {
		w := newWorld(t, budget, false)
		w.o.Chunks = true // until the restore
		w.s = New(w.o)
		for i := range 200 {
			w.add(0, i%2, int64(i%10), fmt.Sprint(i), int64(i))
			if i%7 == 0 {
				w.trim()
			}
			if i == 90 {
				w.restoreAs(false)
			}
		}
		for kg := range stream.KeyGroup(stream.DefaultMaxParallelism) {
			w.must(w.s.Sweep(0, kg, 100))
		}
		for id, rows := range w.model {
			w.model[id] = slices.DeleteFunc(rows, func(v string) bool { return len(v) < 3 })
			w.check(id[0], int(id[1]), id[2])
		}
	}
}

func TestCountsStay(t *testing.T) {
	w := newWorld(t, 1, false)
	w.add(7, 1, 3, "a", 42)
	sp := w.s.Space(7)
	sp.SetCount(1, sp.Head(1, w.group(sp, 1, 3)), 5)
	w.trim()
	w.restore()
	sp = w.s.Space(7)
	r := sp.Head(1, w.group(sp, 1, 3))
	if sp.Count(1, r) != 5 || sp.Stamp(1, r) != 42 {
		t.Errorf("count %d, stamp %d after a restore", sp.Count(1, r), sp.Stamp(1, r))
	}
	if w.s.Spills() != 0 || w.s.Keys() != 1 {
		t.Errorf("%d spills, %d keys", w.s.Spills(), w.s.Keys())
	}
}

// TestChunkValues: what a chunk has of each kind of column comes back, and a chunk that is cut short is refused.
func TestChunkValues(t *testing.T) {
	types := []vec.Type{vec.TypeInt64, vec.TypeFloat64, vec.TypeString, vec.TypeBool, vec.TypeInt32.Nullable(), vec.TypeTimestamp}
	s := &vec.Schema{}
	for i, typ := range types {
		s.Fields = append(s.Fields, vec.Field{Name: fmt.Sprint("c", i), Type: typ})
	}
	st := New(Options{Keys: types[:1], Sides: []*vec.Schema{s}, Chunks: true})
	sp := st.Space(0)
	b := vec.NewBatch(s)
	for i := range int64(1000) {
		vec.AppendValue(b.Col(0), []int64{0, math.MinInt64, math.MaxInt64, -i}[i%4])
		vec.AppendValue(b.Col(1), 1/float64(i))
		b.Col(2).AppendString(fmt.Sprint(i))
		b.Col(3).AppendBool(i%3 == 0)
		if i < 300 && i%5 == 0 {
			b.Col(4).AppendNull()
		} else {
			vec.AppendValue(b.Col(4), int32(-i))
		}
		vec.AppendValue(b.Col(5), i*i)
	}
	b.SetRows(1000)
	key := []*vec.Col{vec.NewCol(types[0])}
	vec.AppendValue(key[0], int64(1))
	sp.Groups(key, nil, 1, nil)
	sp.Append(0, b.Cols(), nil, make([]int32, 1000), 7) // one group, whatever the first column says
	st.o.Open = func(merge state.MergeFunc) (state.Store, error) { return mem.New(merge), nil }
	back := New(Options{Keys: types[:1], Sides: []*vec.Schema{s}}).Space(0)
	back.Groups(key, nil, 1, nil)
	for r := int32(0); r >= 0; {
		seq := sp.sides[0].seq[r]
		next, err := sp.writeChunk(0, 0, r)
		if err != nil {
			t.Fatal(err)
		}
		for n := range len(st.vbuf) {
			if cut := New(Options{Keys: types[:1], Sides: []*vec.Schema{s}}).Space(0); n%97 == 0 {
				cut.Groups(key, nil, 1, nil)
				if err := cut.addStored(0, 0, seq, st.vbuf[:n]); err == nil {
					t.Fatalf("%d of %d bytes were taken", n, len(st.vbuf))
				}
			}
		}
		if err := back.addStored(0, 0, seq, st.vbuf); err != nil {
			t.Fatal(err)
		}
		r = next
	}
	if back.Rows(0) != 1000 {
		t.Fatalf("%d rows came back", back.Rows(0))
	}
	for i := range 1000 {
		if !st.same(b.Cols(), i, back.Cols(0), i) || back.Stamp(0, int32(i)) != 7 || back.sides[0].seq[i] != sp.sides[0].seq[i] {
			t.Fatalf("row %d is another one", i)
		}
	}
}

func TestRestoreRefusesCorruption(t *testing.T) {
	if err := New(Options{}).Restore([][]byte{{1, 2}}); err == nil {
		t.Error("a snapshot of two bytes was taken")
	}
}
