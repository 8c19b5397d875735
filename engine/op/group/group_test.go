package group

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/op/optest"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

var (
	in   = optest.Schema("k STRING, v BIGINT")
	out  = optest.Schema("k STRING, n BIGINT, s BIGINT, m BIGINT")
	aggs = []agg.Spec{
		{Func: "COUNT", Filter: -1, Type: vec.TypeInt64, Name: "n"},
		{Func: "SUM", Args: []int{1}, ArgTypes: []vec.Type{vec.TypeInt64}, Filter: -1, Type: vec.TypeInt64, Name: "s"},
		{Func: "MAX", Args: []int{1}, ArgTypes: []vec.Type{vec.TypeInt64}, Filter: -1, Type: vec.TypeInt64, Name: "m"},
	}
)

func spec() graph.GroupSpec {
	return graph.GroupSpec{Keys: []int{0}, KeyTypes: []vec.Type{vec.TypeString}, Aggs: aggs}
}

func maxOnly() graph.GroupSpec {
	s := spec()
	s.Aggs = aggs[2:]
	return s
}

// oneRow are the configs in which each row is a batch: the changes are those of each row.
func oneRow() []optest.Config {
	return slices.DeleteFunc(optest.Configs(), func(c optest.Config) bool { return c.Batch != 1 })
}

func run(t *testing.T, s graph.GroupSpec, c optest.Case) {
	t.Helper()
	if c.In == nil {
		c.In = in
	}
	if c.Out == nil {
		c.Out = out
	}
	if c.Configs == nil {
		c.Configs = oneRow()
	}
	if c.Keys == nil {
		c.Keys = s.Keys
	}
	c.New = func() (op.Operator, error) { return New(s, c.In, c.Out) }
	c.Compare = optest.Sequence
	optest.Run(t, c)
}

const script = `
	a, 1
	b, 5
	a, 3
	barrier
	NULL, 7
	a, 2
	NULL, NULL
	end`

func TestUpserts(t *testing.T) {
	run(t, spec(), optest.Case{Name: "upserts", Script: script, Want: `
		a, 1, 1, 1
		b, 1, 5, 5
		+U a, 2, 4, 3
		NULL, 1, 7, 7
		+U a, 3, 6, 3
		+U NULL, 2, 7, 7
		wm max`})
}

func TestUpdateBefore(t *testing.T) {
	s := spec()
	s.EmitUpdateBefore = true
	run(t, s, optest.Case{Name: "update before", Script: script, Want: `
		a, 1, 1, 1
		b, 1, 5, 5
		-U a, 1, 1, 1
		+U a, 2, 4, 3
		NULL, 1, 7, 7
		-U a, 2, 4, 3
		+U a, 3, 6, 3
		-U NULL, 1, 7, 7
		+U NULL, 2, 7, 7
		wm max`})
}

func TestUnchangedIsNotEmitted(t *testing.T) {
	o := optest.Schema("k STRING, m BIGINT")
	run(t, maxOnly(), optest.Case{Name: "unchanged", Out: o, Script: script, Want: `
		a, 1
		b, 5
		+U a, 3
		NULL, 7
		wm max`})
}

func TestOncePerBatch(t *testing.T) {
	run(t, spec(), optest.Case{
		Name: "once a batch", Configs: []optest.Config{optest.Default()},
		Script: "a, 1\nb, 5\na, 3\nflush\na, 2\na, 9", Want: `
		a, 2, 4, 3
		b, 1, 5, 5
		+U a, 4, 15, 9`,
	})
}

func TestRetractions(t *testing.T) {
	s := spec()
	s.InputRetracts, s.EmitUpdateBefore = true, true
	run(t, s, optest.Case{Name: "retractions", Script: `
		-D a, 99
		a, 1
		+I a, 5
		-U a, 5
		barrier
		+U a, 4
		-D a, 4
		-D a, 1
		-D a, 1
		+U a, 8
		end`, Want: `
		a, 1, 1, 1
		-U a, 1, 1, 1
		+U a, 2, 6, 5
		-U a, 2, 6, 5
		+U a, 1, 1, 1
		-U a, 1, 1, 1
		+U a, 2, 5, 4
		-U a, 2, 5, 4
		+U a, 1, 1, 1
		-D a, 1, 1, 1
		a, 1, 8, 8
		wm max`})
}

func TestRetractionsWithinABatch(t *testing.T) {
	s := spec()
	s.InputRetracts, s.EmitUpdateBefore = true, true
	run(t, s, optest.Case{Name: "within a batch", Configs: []optest.Config{optest.Default()}, Script: `
		-D a, 99
		a, 1
		-D a, 1
		b, 2
		-U b, 2
		+U b, 3
		flush
		-D b, 3
		b, 3
		-D c, 1
		c, 2
		flush
		-D b, 3
		end`, Want: `
		b, 1, 3, 3
		c, 1, 2, 2
		-D b, 1, 3, 3
		wm max`})
}

func TestNoKeys(t *testing.T) {
	s := spec()
	s.Keys, s.KeyTypes = nil, nil
	run(t, s, optest.Case{
		Name: "no keys", Out: optest.Schema("n BIGINT, s BIGINT, m BIGINT"), Script: "a, 1\nbarrier\nb, 5\nend",
		Want: "1, 1, 1\n+U 2, 6, 5\nwm max",
	})
}

func TestTTL(t *testing.T) {
	s := maxOnly()
	s.TTLMS = 1000
	run(t, s, optest.Case{
		Name: "ttl", Out: optest.Schema("k STRING, m BIGINT"), Script: `
		a, 5
		clock 999
		# the same result is emitted all the same: downstream state lives longer by it
		a, 4
		b, 1
		clock 1998
		a, 3
		clock 2998
		a, 2
		b, 0
		end`, Want: `
		a, 5
		+U a, 5
		b, 1
		+U a, 5
		a, 2
		b, 0
		wm max`,
	})
}

func TestSeveralKeys(t *testing.T) {
	i := optest.Schema("a INT, b BOOLEAN, v BIGINT, d DECIMAL:10:2")
	o := optest.Schema("d DECIMAL:10:2, b BOOLEAN, a INT, s BIGINT")
	s := graph.GroupSpec{
		Keys: []int{3, 1, 0}, KeyTypes: []vec.Type{vec.DecimalOf(10, 2), vec.TypeBool, vec.TypeInt32},
		Aggs: []agg.Spec{{Func: "SUM", Args: []int{2}, ArgTypes: []vec.Type{vec.TypeInt64}, Filter: -1, Type: vec.TypeInt64, Name: "s"}},
	}
	run(t, s, optest.Case{
		Name: "several keys", In: i, Out: o, Script: `
		1, true, 10, 0.50
		1, NULL, 20, 0.50
		1, true, 30, 0.50
		1, NULL, 40, 0.51
		barrier
		1, NULL, 50, 0.50`, Want: `
		0.50, true, 1, 10
		0.50, NULL, 1, 20
		+U 0.50, true, 1, 40
		0.51, NULL, 1, 40
		+U 0.50, NULL, 1, 70`,
	})
}

func TestNewRefuses(t *testing.T) {
	bad := spec()
	bad.KeyTypes = nil
	if _, err := New(bad, in, out); err == nil {
		t.Error("key without a type: no error")
	}
	bad = spec()
	bad.Keys = []int{1}
	if _, err := New(bad, in, out); err == nil {
		t.Error("key of another type: no error")
	}
	if _, err := New(spec(), in, in); err == nil {
		t.Error("too few output columns: no error")
	}
	bad = spec()
	bad.Aggs = append(slices.Clone(aggs[:2]), agg.Spec{Func: "NOPE", Filter: -1})
	if _, err := New(bad, in, out); err == nil {
		t.Error("unknown aggregate: no error")
	}
}

// row is a generated row: value v of a key.
type row struct {
	key string
	v   int64
}

// TestChangelogEqualsModel applies the changelog to an empty table and compares what is there in the end with an aggregation of the rows that are left,
// for many keys and a small memory.
func TestChangelogEqualsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := spec()
		s.InputRetracts, s.EmitUpdateBefore = rapid.Bool().Draw(t, "retracts"), rapid.Bool().Draw(t, "before")
		all := optest.Configs()
		cfg := all[rapid.IntRange(0, len(all)-1).Draw(t, "config")]
		cfg.Pebble = false
		var have []row
		var events []optest.Event
		for i := range rapid.IntRange(1, 80).Draw(t, "n") {
			r := row{key: fmt.Sprint("k", rapid.IntRange(0, 6).Draw(t, "key")), v: rapid.Int64Range(-9, 9).Draw(t, "v")}
			if s.InputRetracts && len(have) > 0 && rapid.IntRange(0, 2).Draw(t, "back") == 0 {
				at := rapid.IntRange(0, len(have)-1).Draw(t, "at")
				r = have[at]
				have = slices.Delete(have, at, at+1)
				events = append(events, optest.Row("-D %s, %d", r.key, r.v))
			} else {
				have = append(have, r)
				events = append(events, optest.Row("%s, %d", r.key, r.v))
			}
			if i%9 == 8 {
				events = append(events, optest.Event{Kind: optest.BarrierEvent})
			}
		}
		res, err := optest.Execute(t, optest.Case{
			Name: "changelog", In: in, Out: out, Keys: []int{0}, Events: events,
			New: func() (op.Operator, error) { return New(s, in, out) },
		}, cfg)
		if err != nil {
			t.Fatal(err)
		}
		got, want := applyChangelog(t, res.Log, s.EmitUpdateBefore), aggregate(have)
		if !slices.Equal(got, want) {
			t.Fatalf("%s: result\n  %s\nwant\n  %s", cfg, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	})
}

// applyChangelog plays a changelog and returns the rows that are left; each change must fit what is there.
func applyChangelog(t *rapid.T, log []string, before bool) []string {
	table := map[string]string{}
	for _, l := range log {
		kind, text := "+I", l
		if len(l) > 3 && (l[0] == '+' || l[0] == '-') {
			kind, text = l[:2], l[3:]
		}
		key, _, _ := strings.Cut(text, ",")
		was, there := table[key]
		switch kind {
		case "+I":
			if there {
				t.Fatalf("%q inserted over %q", text, was)
			}
			table[key] = text
		case "-U", "-D":
			if was != text {
				t.Fatalf("%q taken back, there is %q", text, was)
			}
			delete(table, key)
		case "+U":
			if there == before {
				t.Fatalf("%q updates %q", text, was)
			}
			table[key] = text
		}
	}
	var rows []string
	for _, r := range table {
		rows = append(rows, r)
	}
	slices.Sort(rows)
	return rows
}

func aggregate(have []row) []string {
	type acc struct{ n, s, m int64 }
	groups := map[string]*acc{}
	for _, r := range have {
		a := groups[r.key]
		if a == nil {
			a = &acc{m: r.v}
			groups[r.key] = a
		}
		a.n, a.s, a.m = a.n+1, a.s+r.v, max(a.m, r.v)
	}
	var rows []string
	for k, a := range groups {
		rows = append(rows, fmt.Sprintf("%s, %d, %d, %d", k, a.n, a.s, a.m))
	}
	slices.Sort(rows)
	return rows
}

// TestSpill has more keys than memory.
func TestSpill(t *testing.T) {
	const keys = 5000
	var events []optest.Event
	want := map[string]bool{}
	for round := range 3 {
		for k := range keys {
			events = append(events, optest.Row("key-%d, %d", k, round))
		}
	}
	for k := range keys {
		want[fmt.Sprintf("+U key-%d, 3, 3, 2", k)] = true
	}
	for _, onDisk := range []bool{false, true} {
		cfg := optest.Default()
		cfg.MemoryBytes, cfg.Pebble = 64<<10, onDisk
		res, err := optest.Execute(t, optest.Case{
			Name: "spill", In: in, Out: out, Keys: []int{0}, Events: events, New: func() (op.Operator, error) { return New(spec(), in, out) },
		}, cfg)
		if err != nil {
			t.Fatal(err)
		}
		last := 0
		for _, l := range res.Log {
			if want[l] {
				last++
			}
		}
		if len(res.Log) != 3*keys || last != keys {
			t.Errorf("%d changes, %d final results; want %d, %d", len(res.Log), last, 3*keys, keys)
		}
	}
}

// TestSweeperWhenTheClockIsSetBack: it goes on at its pace, and does not wait for the clock to catch up.
func TestSweeperWhenTheClockIsSetBack(t *testing.T) {
	var s sweeper
	s.open(stream.KeyRange{First: 0, Limit: 4}, 8000, 1_000_000)
	for _, step := range []struct {
		now  stream.Time
		want bool
	}{{1_000_999, false}, {1_001_000, true}, {5_000, true}, {5_999, false}, {6_000, true}} {
		if _, got := s.due(step.now); got != step.want {
			t.Errorf("at %d: due %v", step.now, got)
		}
	}
}
