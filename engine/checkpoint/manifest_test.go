package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/bramble-stream/bramble/engine/stream"
)

func genManifest(t *rapid.T) *Manifest {
	m := &Manifest{
		JobID: "5f3c", Epoch: stream.Epoch(rapid.Uint64Min(1).Draw(t, "epoch")), Leader: rapid.Uint64().Draw(t, "leader"),
		GraphDigest: rapid.String().Draw(t, "digest"), Savepoint: rapid.Bool().Draw(t, "savepoint"),
		TriggeredMS: rapid.Int64().Draw(t, "triggered"), CompletedMS: 7, Operators: []OperatorState{},
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "operators") {
		m.Operators = append(m.Operators, genOperator(t, fmt.Sprintf("op%d", i)))
	}
	return m
}

func genOperator(t *rapid.T, id string) OperatorState {
	o := OperatorState{ID: id, Name: "name", MaxParallelism: rapid.IntRange(1, 64).Draw(t, "max")}
	o.Parallelism = rapid.IntRange(1, o.MaxParallelism).Draw(t, "parallelism")
	for i := range o.Parallelism {
		s := TaskState{Index: i, Range: stream.RangeOf(i, o.MaxParallelism, o.Parallelism), Finished: rapid.Bool().Draw(t, "finished")}
		for j := range rapid.IntRange(0, 2).Draw(t, "files") {
			s.Files = append(s.Files, File{fmt.Sprintf("shared/%s-%d-%d", id, i, j), fmt.Sprint(j), 5, Checksum(rapid.Uint64().Draw(t, "sum"))})
		}
		for j := range rapid.IntRange(0, 4).Draw(t, "splits") {
			s.Splits = append(s.Splits, Split{ID: fmt.Sprintf("%d/%d", i, j), Pos: []byte{byte(j)}, Ended: rapid.Bool().Draw(t, "ended")})
		}
		for j := range rapid.IntRange(0, 2).Draw(t, "committables") {
			s.Committables = append(s.Committables, Committable{stream.Epoch(j + 1), []byte{byte(i), byte(j)}})
		}
		if rapid.Bool().Draw(t, "state") {
			s.State = []byte{byte(i)}
		}
		o.Tasks = append(o.Tasks, s)
	}
	return o
}

func TestManifestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := genManifest(t)
		b, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		// A digest that is no UTF-8 comes back as JSON makes it.
		got.GraphDigest = m.GraphDigest
		if !reflect.DeepEqual(got, m) {
			t.Fatalf("got %+v, want %+v", got, m)
		}
		i := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if _, err := Decode(b[:i]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%d of %d bytes: %v", i, len(b), err)
		}
		if _, err := Decode(append(slices.Clone(b), 0)); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("a byte more: %v", err)
		}
		b[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		if _, err := Decode(b); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	})
}

// golden is a manifest as version 2 writes it. That it stays readable is a promise; see docs/checkpoint-format.md.
const golden = "BRMBLCP\n\x02\x00\x00\x00\x00\x00\x00\x00"

func TestManifestGolden(t *testing.T) {
	m := &Manifest{
		JobID: "j", Epoch: 3, Leader: 2, GraphDigest: "g", TriggeredMS: 5, CompletedMS: 6,
		Operators: []OperatorState{{ID: "b", Name: "n", Parallelism: 1, MaxParallelism: 2, Form: "group 2", Tasks: []TaskState{{
			Range: stream.KeyRange{First: 0, Limit: 2}, Files: []File{{"shared/3/x", "x", 9, 0xabc}}, State: []byte("s"),
			Splits: []Split{{ID: "i", Pos: []byte("p")}}, Committables: []Committable{{3, []byte("c")}},
		}}}},
	}
	b, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	const body = `{"jobID":"j","epoch":3,"leader":2,"graphDigest":"g","triggeredMS":5,"completedMS":6,"operators":[{"id":"b","name":"n",` +
		`"parallelism":1,"maxParallelism":2,"form":"group 2","tasks":[{"index":0,"range":{"First":0,"Limit":2},"files":[{"path":"shared/3/x","name":"x",` +
		`"sizeBytes":9,"checksum":"0000000000000abc"}],"state":"cw==","splits":[{"id":"i","pos":"cA=="}],"committables":[{"epoch":3,"data":"Yw=="}]}]}]}`
	if string(b[headerBytes:]) != body {
		t.Errorf("body:\n%s\nwant:\n%s", b[headerBytes:], body)
	}
	// Version 1 had no forms; what it wrote stays readable, also for those who clean up.
	old, err := Decode(encodeRaw(1, []byte(strings.Replace(body, `"form":"group 2",`, "", 1))))
	if m.Operators[0].Form = ""; err != nil || !reflect.DeepEqual(old, m) {
		t.Errorf("version 1 is %+v, %v", old, err)
	}
	if string(b[:len(golden)]) != golden || m.SizeBytes() != 12 || m.Operator("b") == nil || m.Operator("a") != nil {
		t.Errorf("header %q, %d bytes", b[:headerBytes], m.SizeBytes())
	}
}

func TestManifestVersion(t *testing.T) {
	for _, version := range []uint32{0, Version + 1} {
		b := encodeRaw(version, []byte("whatever comes"))
		if _, err := Decode(b); !errors.Is(err, ErrVersion) {
			t.Error(version, err)
		}
	}
}

func TestManifestInvalid(t *testing.T) {
	for name, spoil := range map[string]func(m *Manifest){
		"no job":          func(m *Manifest) { m.JobID = "" },
		"no epoch":        func(m *Manifest) { m.Epoch = 0 },
		"task missing":    func(m *Manifest) { m.Operators[0].Tasks = m.Operators[0].Tasks[:1] },
		"task twice":      func(m *Manifest) { m.Operators[0].Tasks[1].Index = 0 },
		"range":           func(m *Manifest) { m.Operators[0].Tasks[1].Range.First-- },
		"parallelism":     func(m *Manifest) { m.Operators[0].MaxParallelism = 1 },
		"too parallel":    func(m *Manifest) { m.Operators[0].MaxParallelism = 1 << 20 },
		"operator twice":  func(m *Manifest) { m.Operators = append(m.Operators, m.Operators[0]) },
		"file twice":      func(m *Manifest) { f := &m.Operators[0].Tasks[0].Files; *f = append(*f, (*f)[0]) },
		"sizes disagree":  func(m *Manifest) { m.Operators[0].Tasks[1].Files[0].SizeBytes = 4 },
		"negative size":   func(m *Manifest) { m.Operators[0].Tasks[0].Files[0].SizeBytes = -1 },
		"split twice":     func(m *Manifest) { m.Operators[0].Tasks[1].Splits = []Split{{ID: "s"}} },
		"split of no one": func(m *Manifest) { m.Operators[0].Tasks[1].Splits = []Split{{}} },
	} {
		m := &Manifest{JobID: "j", Epoch: 1, Operators: []OperatorState{{ID: "o", Parallelism: 2, MaxParallelism: 4}}}
		for i := range 2 {
			m.Operators[0].Tasks = append(m.Operators[0].Tasks, TaskState{
				Index: i, Range: stream.RangeOf(i, 4, 2), Files: []File{{"f", "n", 3, 1}},
			})
		}
		m.Operators[0].Tasks[0].Splits = []Split{{ID: "s"}}
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
		spoil(m)
		if _, err := Encode(m); !errors.Is(err, errInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	b, err := Encode(&Manifest{JobID: "j", Epoch: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, []byte(`{"jobID":"j","epoch":1,"operators":[{"id":"o","parallelism":1,"maxParallelism":1,"tasks":[{"range":{"Limit":1}}]}]}`))
	f.Fuzz(func(t *testing.T, raw, body []byte) {
		_, _ = Decode(raw) // must not panic
		m, err := Decode(encodeRaw(Version, body))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		m2, err := Decode(again)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := Encode(m2); err != nil || !bytes.Equal(b, again) {
			t.Fatal("not the same again", err)
		}
		for i := range m.Operators {
			if _, err := Redistribute(&m.Operators[i], 1); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestRedistribute(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := genOperator(t, "op")
		q := rapid.IntRange(1, o.MaxParallelism).Draw(t, "q")
		out, err := Redistribute(&o, q)
		if err != nil || len(out) != q {
			t.Fatal(len(out), err)
		}
		checkKeyed(t, &o, out)
		checkMoved(t, &o, out)
		if q != o.Parallelism {
			return
		}
		for i, a := range out {
			s := o.Tasks[i]
			if len(s.Files) > 0 && (len(a.Parts) != 1 || !a.Parts[0].Whole || a.Parts[0].Task != i) || a.Finished != s.Finished || len(a.Splits)+len(a.Ended) != len(s.Splits) {
				t.Fatalf("task %d became %+v at the same parallelism", i, a)
			}
		}
	})
	o := OperatorState{ID: "o", Name: "n", Parallelism: 1, MaxParallelism: 4, Tasks: []TaskState{{Range: stream.KeyRange{Limit: 4}}}}
	for _, q := range []int{0, 5} {
		if _, err := Redistribute(&o, q); err == nil {
			t.Errorf("parallelism %d was taken", q)
		}
	}
}

// checkKeyed: each key group of each former task with files is one new task's, whose range has it.
func checkKeyed(t *rapid.T, o *OperatorState, out []Assignment) {
	got := map[stream.KeyGroup]int{}
	for i, a := range out {
		if a.Index != i || a.Range != stream.RangeOf(i, o.MaxParallelism, len(out)) {
			t.Fatalf("task %d: %+v", i, a)
		}
		for _, p := range a.Parts {
			former := o.Tasks[p.Task].Range
			if p.Whole != (p.Range == former) || p.Range.First < former.First || p.Range.Limit > former.Limit {
				t.Fatalf("part %+v of %+v", p, former)
			}
			for g := p.Range.First; g < p.Range.Limit; g++ {
				if !a.Range.Contains(g) {
					t.Fatalf("group %d is not in %+v", g, a.Range)
				}
				got[g]++
			}
		}
	}
	for _, s := range o.Tasks {
		for g := s.Range.First; g < s.Range.Limit; g++ {
			want := min(len(s.Files), 1)
			if got[g] != want {
				t.Fatalf("group %d is given out %d times, not %d", g, got[g], want)
			}
		}
	}
}

// checkMoved: splits and committables are one task's each, splits evenly; states are with all who overlap.
func checkMoved(t *rapid.T, o *OperatorState, out []Assignment) {
	splits, committables, live := map[string]int{}, map[string]int{}, 0
	for _, s := range o.Tasks {
		for _, x := range s.Splits {
			splits[x.ID]--
			if !x.Ended {
				live++
			}
		}
		for _, x := range s.Committables {
			committables[string(x.Data)]--
		}
	}
	for i, a := range out {
		if len(out) != len(o.Tasks) && (len(a.Splits) < live/len(out) || len(a.Splits) > (live+len(out)-1)/len(out)) {
			t.Fatalf("task %d has %d of %d splits", i, len(a.Splits), live)
		}
		for _, x := range a.Splits {
			splits[x.ID]++
			if x.Ended {
				t.Fatal("an ended split is read")
			}
		}
		for _, x := range a.Ended {
			splits[x.ID]++
		}
		for _, x := range a.Committables {
			committables[string(x.Data)]++
		}
		states := 0
		for _, s := range o.Tasks {
			if s.State != nil && s.Range.First < a.Range.Limit && a.Range.First < s.Range.Limit {
				states++
			}
		}
		if states != len(a.States) {
			t.Fatalf("task %d has %d states, not %d", i, len(a.States), states)
		}
	}
	for k, n := range splits {
		if n != 0 {
			t.Fatalf("split %s: %+d", k, n)
		}
	}
	for k, n := range committables {
		if n != 0 {
			t.Fatalf("committable %x: %+d", k, n)
		}
	}
}
