// Package statetest is the suite that every state store passes.
package statetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
)

// Opener makes an empty store, or one with the content of the snapshot files in dir when that is not "".
type Opener func(t testing.TB, dir string, merge state.MergeFunc) state.Store

// Join is a merge function that shows the order of its operands.
func Join(dst, _, older, newer []byte) ([]byte, error) {
	return append(append(append(dst, older...), '+'), newer...), nil
}

// Run runs the suite.
func Run(t *testing.T, open Opener) {
	t.Run("model", func(t *testing.T) { testModel(t, open) })
	t.Run("merge", func(t *testing.T) { testMerge(t, open) })
	t.Run("mergeErrors", func(t *testing.T) { testMergeErrors(t, open) })
	t.Run("ranges", func(t *testing.T) { testRanges(t, open) })
	t.Run("snapshot", func(t *testing.T) { testSnapshot(t, open) })
	t.Run("import", func(t *testing.T) { testImport(t, open) })
	t.Run("retain", func(t *testing.T) { testRetain(t, open) })
}

// Key makes a key in a key group.
func Key(kg int, text string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(kg)), text...)
}

func write(t testing.TB, s state.Store, ops ...any) {
	t.Helper()
	var w state.Writes
	for i := 0; i < len(ops); i += 3 {
		w.Add(ops[i].(state.Op), []byte(ops[i+1].(string)), []byte(ops[i+2].(string)))
	}
	if err := s.Apply(&w); err != nil {
		t.Fatal(err)
	}
}

// Dump reads a range of a store.
func Dump(t testing.TB, s state.Store, lower, upper string) map[string]string {
	t.Helper()
	it, err := s.Iter([]byte(lower), []byte(upper))
	if err != nil {
		t.Fatal(err)
	}
	got, last := map[string]string{}, ""
	for it.Next() {
		k := string(it.Key())
		if len(got) > 0 && k <= last {
			t.Fatalf("key %q after %q", k, last)
		}
		got[k], last = string(it.Value()), k
	}
	if err := errors.Join(it.Err(), it.Close()); err != nil {
		t.Fatal(err)
	}
	return got
}

const all = "\xff\xff\xff"

func get(t testing.TB, s state.Store, key string) (string, bool) {
	t.Helper()
	v, closer, err := s.Get([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	if closer == nil {
		return "", false
	}
	defer closer.Close() //nolint:errcheck // it releases the value, and cannot fail in a way that matters here
	return string(v), true
}

// testModel compares random writes with a map.
func testModel(t *testing.T, open Opener) {
	r := rand.New(rand.NewPCG(1, 2))
	s := open(t, "", Join)
	defer closed(t, s)
	model := map[string]string{}
	for range 60 {
		var w state.Writes
		for range r.IntN(40) {
			k := fmt.Sprintf("k%03d", r.IntN(300))
			v := fmt.Sprint(r.IntN(1000))
			op := state.Op(r.IntN(3))
			w.Add(op, []byte(k), []byte(v))
			old, ok := model[k]
			switch {
			case op == state.OpDelete:
				delete(model, k)
			case op == state.OpMerge && ok:
				model[k] = old + "+" + v
			default:
				model[k] = v
			}
		}
		if err := s.Apply(&w); err != nil {
			t.Fatal(err)
		}
		if r.IntN(4) == 0 {
			lo, hi := fmt.Sprintf("k%03d", r.IntN(300)), fmt.Sprintf("k%03d", r.IntN(300))
			if err := s.DeleteRange([]byte(lo), []byte(hi)); err != nil {
				t.Fatal(err)
			}
			maps.DeleteFunc(model, func(k, _ string) bool { return k >= lo && k < hi })
		}
		k := fmt.Sprintf("k%03d", r.IntN(300))
		got, ok := get(t, s, k)
		if want, wok := model[k]; got != want || ok != wok {
			t.Fatalf("get %s: %q %t, want %q %t", k, got, ok, want, wok)
		}
	}
	if got := Dump(t, s, "", all); !maps.Equal(got, model) {
		t.Fatalf("got %v\nwant %v", got, model)
	}
}

func closed(t testing.TB, s state.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func testMerge(t *testing.T, open Opener) {
	s := open(t, "", Join)
	defer closed(t, s)
	write(t, s, state.OpMerge, "a", "1", state.OpMerge, "a", "2", state.OpSet, "b", "x")
	write(t, s, state.OpMerge, "a", "3", state.OpMerge, "b", "y", state.OpDelete, "c", "")
	write(t, s, state.OpMerge, "c", "only")
	want := map[string]string{"a": "1+2+3", "b": "x+y", "c": "only"}
	if got := Dump(t, s, "", all); !maps.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if v, _ := get(t, s, "a"); v != "1+2+3" {
		t.Fatalf("get: %q", v)
	}
}

func testMergeErrors(t *testing.T, open Opener) {
	s := open(t, "", nil)
	defer closed(t, s)
	var w state.Writes
	w.Add(state.OpSet, []byte("a"), []byte("1"))
	w.Add(state.OpMerge, []byte("a"), []byte("2"))
	if s.Apply(&w) == nil {
		t.Error("a merge without a function was accepted")
	}
}

func testRanges(t *testing.T, open Opener) {
	s := open(t, "", nil)
	defer closed(t, s)
	for i := range 2000 {
		write(t, s, state.OpSet, fmt.Sprintf("%04d", i), "v")
	}
	if err := s.DeleteRange([]byte("0500"), []byte("1500")); err != nil {
		t.Fatal(err)
	}
	if n := len(Dump(t, s, "0400", "1600")); n != 200 {
		t.Errorf("%d keys, want 200", n)
	}
	if n := len(Dump(t, s, "0500", "1500")); n != 0 {
		t.Errorf("%d keys in the deleted range", n)
	}
	if err := s.DeleteRange([]byte("9"), []byte("1")); err != nil {
		t.Error(err)
	}
	if n := len(Dump(t, s, "", all)); n != 1000 {
		t.Errorf("%d keys, want 1000", n)
	}
	if s.SizeBytes() <= 0 {
		t.Error("no size")
	}
}

// Download copies a snapshot's files into a new directory, skipping what have holds, and checks their names and sizes.
func Download(t testing.TB, snap state.Snapshot, have map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range snap.Files() {
		data, ok := have[f.Name]
		if !ok {
			r, err := snap.Open(f.Name)
			if err != nil {
				t.Fatal(err)
			}
			if data, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			have[f.Name] = data
		}
		if int64(len(data)) != f.SizeBytes {
			t.Fatalf("%s has %d bytes, %d listed", f.Name, len(data), f.SizeBytes)
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := snap.Open("no such file"); err == nil {
		t.Error("opened a file that is not there")
	}
	return dir
}

// testSnapshot takes several snapshots, each into the same storage by file name, reads one off the task's goroutine while the store
// goes on, and restores each.
func testSnapshot(t *testing.T, open Opener) {
	s := open(t, "", Join)
	storage := map[string][]byte{}
	var wants []map[string]string
	var dirs []string
	for epoch := stream.Epoch(1); epoch <= 4; epoch++ {
		for i := range 500 {
			write(t, s, state.OpMerge, string(Key(i%128, fmt.Sprint(i%(200*int(epoch))))), fmt.Sprint(epoch))
		}
		snap, err := s.Snapshot(epoch)
		if err != nil {
			t.Fatal(err)
		}
		wants = append(wants, Dump(t, s, "", all))
		var wg sync.WaitGroup
		wg.Go(func() { dirs = append(dirs, Download(t, snap, storage)) })
		write(t, s, state.OpSet, "after", "the snapshot")
		wg.Wait()
		if err := snap.Close(); err != nil {
			t.Fatal(err)
		}
		write(t, s, state.OpDelete, "after", "")
	}
	closed(t, s)
	for i, dir := range dirs {
		r := open(t, dir, Join)
		if got := Dump(t, r, "", all); !maps.Equal(got, wants[i]) {
			t.Errorf("epoch %d: %d keys restored, want %d", i+1, len(got), len(wants[i]))
		}
		// A restored store can be written to and snapshotted again, and its files do not clash with others in storage.
		write(t, r, state.OpMerge, string(Key(3, "new")), "x")
		want := Dump(t, r, "", all)
		snap, err := r.Snapshot(9)
		if err != nil {
			t.Fatal(err)
		}
		again := map[string][]byte{}
		dir := Download(t, snap, again)
		for name, data := range again {
			if old, ok := storage[name]; ok && !bytes.Equal(old, data) {
				t.Errorf("%s has two contents", name)
			}
		}
		closed(t, r)
		if err := snap.Close(); err != nil {
			t.Error(err)
		}
		r2 := open(t, dir, Join)
		if got := Dump(t, r2, "", all); !maps.Equal(got, want) {
			t.Errorf("epoch %d: second restore differs", i+1)
		}
		closed(t, r2)
	}
}

// testImport puts parts of two stores' snapshots together.
func testImport(t *testing.T, open Opener) {
	want := map[string]string{}
	dst := open(t, "", Join)
	defer closed(t, dst)
	r := stream.KeyRange{First: 10, Limit: 30}
	for part := range 2 {
		s := open(t, "", Join)
		for kg := part * 20; kg < part*20+20; kg++ {
			k := string(Key(kg, "k"))
			write(t, s, state.OpMerge, k, "a")
			write(t, s, state.OpMerge, k, "b")
			if r.Contains(stream.KeyGroup(kg)) {
				want[k] = "a+b"
			}
		}
		snap, err := s.Snapshot(1)
		if err != nil {
			t.Fatal(err)
		}
		dir := Download(t, snap, map[string][]byte{})
		if err := errors.Join(snap.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
		if err := dst.(state.Importer).Import(dir, r); err != nil {
			t.Fatal(err)
		}
	}
	if got := Dump(t, dst, "", all); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

func testRetain(t *testing.T, open Opener) {
	s := open(t, "", nil)
	defer closed(t, s)
	for kg := range 128 {
		write(t, s, state.OpSet, string(Key(kg, "k")), "v")
	}
	if err := s.(state.Importer).Retain(stream.KeyRange{First: 5, Limit: 9}); err != nil {
		t.Fatal(err)
	}
	if got := Dump(t, s, "", all); len(got) != 4 || got[string(Key(5, "k"))] != "v" || got[string(Key(8, "k"))] != "v" {
		t.Errorf("%q left", got)
	}
}
