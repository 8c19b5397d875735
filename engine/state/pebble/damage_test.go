package pebble_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/pebble"
	"github.com/bramble-stream/bramble/engine/state/statetest"
)

// TestDamagedTable: a table that the disk has damaged fails what the task does next, and says which file it is. A compaction over it is not begun again and again.
func TestDamagedTable(t *testing.T) {
	var looks atomic.Int64
	fs := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".sst") {
			looks.Add(1)
		}
		return nil
	}))
	dir := filepath.Join(t.TempDir(), "s")
	s, err := pebble.Open(pebble.Options{Dir: dir, Instance: "a", FS: fs, Merge: appendMerge})
	if err != nil {
		t.Fatal(err)
	}
	table := func() error { // one that overlaps the others
		var w state.Writes
		for i := range 2000 {
			w.Add(state.OpMerge, statetest.Key(i%16, strings.Repeat("k", i%7)+"x"), []byte("some value"))
		}
		if err := s.Apply(&w); err != nil {
			return err
		}
		snap, err := s.Snapshot(1)
		if err != nil {
			return err
		}
		return snap.Close()
	}
	if err := table(); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) != 1 {
		t.Fatal(tables, err)
	}
	b, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	b[10] ^= 0xff // of its first block
	if err := os.WriteFile(tables[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	for n := 0; err == nil; n++ { // enough tables to be merged
		if err = table(); n > 100 {
			t.Fatal("nobody has noticed the damage")
		}
	}
	before := looks.Load()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	<-ctx.Done() // the task does nothing meanwhile
	if n := looks.Load() - before; n > 100 {
		t.Errorf("tables were looked at %d times more: the compaction was repeated", n)
	}
	for what, err := range map[string]error{"write": s.Apply(one("b")), "snapshot": func() error { _, err := s.Snapshot(2); return err }()} {
		if err == nil || !strings.Contains(err.Error(), "damaged file of state "+dir) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
