package mem_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/mem"
	"github.com/bramble-stream/bramble/engine/state/statetest"
	"github.com/bramble-stream/bramble/engine/stream"
)

var everything = stream.KeyRange{Limit: 65535}

func TestStore(t *testing.T) {
	statetest.Run(t, func(t testing.TB, dir string, merge state.MergeFunc) state.Store {
		s := mem.New(merge)
		if dir != "" {
			if err := s.Import(dir, everything); err != nil {
				t.Fatal(err)
			}
		}
		return s
	})
}

func TestImportRefusesCorruptFiles(t *testing.T) {
	s := mem.New(nil)
	var w state.Writes
	w.Add(state.OpSet, statetest.Key(1, "a"), []byte("value"))
	if err := s.Apply(&w); err != nil {
		t.Fatal(err)
	}
	snap, err := s.Snapshot(1)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	statetest.Download(t, snap, files)
	for name, data := range files {
		for i := range data {
			bad := append([]byte(nil), data...)
			bad[i] ^= 0x10
			for _, b := range [][]byte{bad, data[:i]} {
				dir := t.TempDir()
				if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
					t.Fatal(err)
				}
				if mem.New(nil).Import(dir, everything) == nil {
					t.Fatalf("accepted a file damaged at byte %d", i)
				}
			}
		}
	}
}

func TestIteratorNoticesWrites(t *testing.T) {
	s := mem.New(nil)
	it, err := s.Iter(nil, []byte{0xff})
	if err != nil {
		t.Fatal(err)
	}
	var w state.Writes
	w.Add(state.OpSet, []byte("kk"), nil)
	if err := s.Apply(&w); err != nil {
		t.Fatal(err)
	}
	if it.Next() || it.Err() == nil {
		t.Error("a stale iterator went on")
	}
}
