package pebble_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/pebble"
	"github.com/bramble-stream/bramble/engine/state/statetest"
	"github.com/bramble-stream/bramble/engine/stream"
)

func TestStore(t *testing.T) {
	instance := 0
	open := func(t testing.TB, dir string, merge state.MergeFunc) state.Store {
		if dir == "" {
			dir = filepath.Join(t.TempDir(), "state")
		}
		instance++
		s, err := pebble.Open(pebble.Options{
			Dir: dir, Instance: fmt.Sprintf("i_%d", instance), Merge: merge, MemoryBytes: pebble.MinMemoryBytes,
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	statetest.Run(t, open)
}

// TestSnapshotIsIncremental: a table file that an earlier snapshot listed keeps its name.
func TestSnapshotIsIncremental(t *testing.T) {
	s, err := pebble.Open(pebble.Options{Dir: filepath.Join(t.TempDir(), "s"), Instance: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	seen := map[string]bool{}
	shared := 0
	for epoch := stream.Epoch(1); epoch <= 3; epoch++ {
		var w state.Writes
		for i := range 1000 {
			w.Add(state.OpSet, statetest.Key(int(epoch), fmt.Sprint(i)), []byte("value"))
		}
		if err := s.Apply(&w); err != nil {
			t.Fatal(err)
		}
		snap, err := s.Snapshot(epoch)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range snap.Files() {
			if seen[f.Name] {
				shared++
			}
			seen[f.Name] = true
		}
		if err := snap.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if shared < 2 {
		t.Errorf("%d files shared: %v", shared, seen)
	}
}

func TestOpenErrors(t *testing.T) {
	if _, err := pebble.Open(pebble.Options{Dir: t.TempDir(), Instance: "a/b"}); err == nil {
		t.Error("accepted an instance with a slash")
	}
	if _, err := pebble.Open(pebble.Options{Dir: "/dev/null/x", Instance: "a"}); err == nil {
		t.Error("opened a directory in a file")
	}
}

// TestCloseKeeps: with Keep the directory stays, without it goes; content that was not snapshotted is not promised.
func TestCloseKeeps(t *testing.T) {
	for _, keep := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "s")
		s, err := pebble.Open(pebble.Options{Dir: dir, Instance: "a", Keep: keep})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if m, _ := filepath.Glob(dir); (len(m) == 1) != keep {
			t.Errorf("keep %t: %v", keep, m)
		}
	}
}

// TestRetainedAreFound: what was deleted from the first key on stays deleted, and the rest is found, once all is in table files.
func TestRetainedAreFound(t *testing.T) {
	for _, r := range []stream.KeyRange{{First: 0, Limit: 4}, {First: 3, Limit: 7}, {First: 4, Limit: 10}, {First: 0, Limit: 10}} {
		s, err := pebble.Open(pebble.Options{Dir: filepath.Join(t.TempDir(), "s"), Instance: "a"})
		if err != nil {
			t.Fatal(err)
		}
		write := func(epoch stream.Epoch, key string) {
			t.Helper()
			var w state.Writes
			for g := r.First; g < r.Limit || epoch == 1 && g < 10; g++ {
				w.Add(state.OpSet, statetest.Key(int(g), key), []byte("v"))
			}
			if err := s.Apply(&w); err != nil {
				t.Fatal(err)
			}
			snap, err := s.Snapshot(epoch)
			if err != nil {
				t.Fatal(err)
			}
			if err := snap.Close(); err != nil {
				t.Fatal(err)
			}
		}
		write(1, "k")
		if err := s.Retain(r); err != nil {
			t.Fatal(err)
		}
		write(2, "l")
		for i := range 20 {
			g := stream.KeyGroup(i / 2)
			_, closer, err := s.Get(statetest.Key(int(g), string(rune('k'+i%2))))
			if found := closer != nil; err != nil || found != r.Contains(g) {
				t.Errorf("%v: key %d: found %v, %v", r, i, found, err)
			}
			if closer != nil {
				if err := closer.Close(); err != nil {
					t.Error(err)
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
