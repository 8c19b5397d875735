package pebble_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/mem"
	"github.com/bramble-stream/bramble/engine/state/pebble"
	"github.com/bramble-stream/bramble/engine/state/statetest"
	"github.com/bramble-stream/bramble/engine/stream"
)

var seed = flag.Uint64("seed", 0, "seed of random tests; 0 draws one")

func random(t *testing.T) *rand.Rand {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed=%d", s)
	return rand.New(rand.NewPCG(s, 0))
}

func appendMerge(dst, _, older, newer []byte) ([]byte, error) {
	return append(append(dst, older...), newer...), nil
}

// storage is what checkpoints have uploaded, by name.
type storage map[string][]byte

// save uploads what is not there, and checks that what is there is what the snapshot has. It returns the names.
func (s storage) save(t *testing.T, snap state.Snapshot) (names []string) {
	t.Helper()
	for _, f := range snap.Files() {
		r, err := snap.Open(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if int64(len(b)) != f.SizeBytes {
			t.Fatalf("%s has %d bytes, %d are listed", f.Name, len(b), f.SizeBytes)
		}
		if old, ok := s[f.Name]; ok && !bytes.Equal(old, b) {
			t.Fatalf("%s has changed", f.Name)
		}
		s[f.Name] = b
		names = append(names, f.Name)
	}
	return names
}

func (s storage) load(t *testing.T, names []string, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if err := os.WriteFile(filepath.Join(dir, n), s[n], 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func contents(t *testing.T, s state.Store) []string {
	t.Helper()
	it, err := s.Iter(nil, []byte{0xff, 0xff, 0xff})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for it.Next() {
		out = append(out, fmt.Sprintf("%x=%s", it.Key(), it.Value()))
	}
	if err := errors.Join(it.Err(), it.Close()); err != nil {
		t.Fatal(err)
	}
	return out
}

// refill says that some of the content has changed, and writes all of it when the store wants that.
func refill(t *testing.T, r *rand.Rand, s *pebble.Store, model state.Store) {
	t.Helper()
	it, err := model.Iter(nil, []byte{0xff, 0xff, 0xff})
	if err != nil {
		t.Fatal(err)
	}
	var w state.Writes
	for it.Next() {
		w.Add(state.OpSet, it.Key(), it.Value())
	}
	if err := errors.Join(it.Err(), it.Close()); err != nil {
		t.Fatal(err)
	}
	if r.IntN(2) == 0 {
		return
	}
	all, err := s.Refill(r.IntN(1+w.Len()), w.Len())
	if err != nil {
		t.Fatal(err)
	}
	if !all {
		return
	}
	if err := s.Apply(&w); err != nil {
		t.Fatal(err)
	}
}

// chaos applies random writes to both.
func chaos(t *testing.T, r *rand.Rand, stores ...state.Store) {
	t.Helper()
	merge := r.IntN(2) // a merge needs what there is
	for range 1 + r.IntN(6) {
		if r.IntN(3) == 0 {
			a := statetest.Key(r.IntN(8), fmt.Sprint(r.IntN(30)))
			b := statetest.Key(r.IntN(9), fmt.Sprint(r.IntN(30)))
			if r.IntN(2) == 0 { // a window's keys
				b = append(bytes.Clone(a), 0xff)
			}
			for _, s := range stores {
				if err := s.DeleteRange(a, b); err != nil {
					t.Fatal(err)
				}
			}
		}
		var w state.Writes
		for range r.IntN(20) {
			op := []state.Op{state.OpSet, state.OpDelete, state.OpMerge, state.OpMerge}[r.IntN(2+2*merge)]
			v := []byte(fmt.Sprint(r.IntN(100), ","))
			if op == state.OpDelete {
				v = nil
			}
			w.Add(op, statetest.Key(r.IntN(8), fmt.Sprint(r.IntN(30))), v)
		}
		for _, s := range stores {
			if err := s.Apply(&w); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestIncrements: whatever is written, a store that is restored from any increment has what it had, and goes on.
func TestIncrements(t *testing.T) {
	r := random(t)
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	for round := range rounds {
		dir, at := t.TempDir(), storage{}
		model := mem.New(appendMerge)
		attempt := 0
		open := func() *pebble.Store {
			s, err := pebble.Open(pebble.Options{
				Dir: filepath.Join(dir, fmt.Sprint(attempt)), Instance: fmt.Sprintf("r%d-%d", round, attempt), Merge: appendMerge, MemoryBytes: pebble.MinMemoryBytes,
			})
			if err != nil {
				t.Fatal(err)
			}
			s.SetRunsLeast(int64(r.IntN(1 << 15)))
			attempt++
			return s
		}
		s := open()
		for epoch := stream.Epoch(1); epoch < 30; epoch++ {
			chaos(t, r, s, model)
			refill(t, r, s, model)
			take := s.SnapshotIncrement
			if r.IntN(5) == 0 {
				take = s.Snapshot
			}
			snap, err := take(epoch)
			if err != nil {
				t.Fatal(err)
			}
			if r.IntN(2) == 0 { // what comes later is not in it
				if err := s.Apply(one("later")); err != nil {
					t.Fatal(err)
				}
				if err := model.Apply(one("later")); err != nil {
					t.Fatal(err)
				}
			}
			want := contents(t, model)
			if r.IntN(6) == 0 { // a store that has been read is another kind of store
				if got := contents(t, s); !slices.Equal(got, want) {
					t.Fatalf("round %d, epoch %d: the store has %d entries, the model %d", round, epoch, len(got), len(want))
				}
			}
			names := at.save(t, snap)
			if err := snap.Close(); err != nil {
				t.Fatal(err)
			}
			if r.IntN(4) != 0 {
				continue
			}
			at.load(t, names, filepath.Join(dir, fmt.Sprint(attempt)))
			next := open()
			if slices.Equal(contents(t, next), want) {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = next
				continue
			}
			// Then it is what came later that makes the difference.
			if err := next.Apply(one("later")); err != nil {
				t.Fatal(err)
			}
			if got := contents(t, next); len(got) != len(want) {
				t.Fatalf("round %d, epoch %d: restored %d entries, not %d", round, epoch, len(got), len(want))
			}
			if err := errors.Join(next.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(left) > 0 {
			t.Fatalf("left behind: %v, %v", left, err)
		}
	}
}

func one(key string) *state.Writes {
	w := &state.Writes{}
	w.Add(state.OpSet, statetest.Key(9, key), []byte("v"))
	return w
}

// TestIncrementIsWhatChanged: a base when it pays, and else what has changed since the snapshot before.
func TestIncrementIsWhatChanged(t *testing.T) {
	s, err := pebble.Open(pebble.Options{Dir: filepath.Join(t.TempDir(), "s"), Instance: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.SetRunsLeast(0)
	r := rand.New(rand.NewPCG(1, 1))
	write := func(n int) (changed int64) {
		var w state.Writes
		value, at := make([]byte, 100), r.IntN(20_000)
		for i := range n {
			for j := range value {
				value[j] = byte(r.Uint32())
			}
			k := (at + i*7919) % 20_000
			w.Add(state.OpSet, statetest.Key(k%10, fmt.Sprint(k)), value)
		}
		if err := s.Apply(&w); err != nil {
			t.Fatal(err)
		}
		return int64(w.SizeBytes())
	}
	write(20_000)
	known, bases := map[string]bool{}, 0
	var changed, uploaded int64
	for epoch := stream.Epoch(1); epoch < 100; epoch++ {
		snap, err := s.SnapshotIncrement(epoch)
		if err != nil {
			t.Fatal(err)
		}
		next := map[string]bool{}
		var base, runs int64
		for _, f := range snap.Files() {
			next[f.Name] = true
			if strings.HasSuffix(f.Name, ".run") && !strings.HasSuffix(f.Name, ".all.run") {
				runs += f.SizeBytes
			} else {
				base += f.SizeBytes
			}
			if known[f.Name] || epoch == 1 {
				continue
			}
			uploaded += f.SizeBytes
			if strings.Contains(f.Name, "MANIFEST") {
				bases++
			}
		}
		known = next
		if runs > 3*base {
			t.Fatalf("runs of %d bytes to a base of %d", runs, base)
		}
		if err := snap.Close(); err != nil {
			t.Fatal(err)
		}
		changed += write(2000)
	}
	if ratio := float64(uploaded) / float64(changed); ratio > 1.6 || bases < 2 {
		t.Errorf("%.2f bytes uploaded for each that changed, %d bases", ratio, bases)
	}
}

// TestSnapshotOutlivesStore: its files stay until it is closed, whatever the store does.
func TestSnapshotOutlivesStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	s, err := pebble.Open(pebble.Options{Dir: dir, Instance: "a"})
	if err != nil {
		t.Fatal(err)
	}
	s.SetRunsLeast(0)
	if err := s.Apply(one("a")); err != nil {
		t.Fatal(err)
	}
	first, err := s.SnapshotIncrement(1)
	if err != nil {
		t.Fatal(err)
	}
	for e := stream.Epoch(2); e < 10; e++ {
		if err := s.Apply(one(fmt.Sprint(e))); err != nil {
			t.Fatal(err)
		}
		snap, err := s.SnapshotIncrement(e)
		if err != nil {
			t.Fatal(err)
		}
		if err := snap.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	storage{}.save(t, first)
	if err := errors.Join(first.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(dir + "*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestDiskFull: neither Pebble's retries nor its end of the process, but an error of what the task does next; the disk may even be whole again by then.
func TestDiskFull(t *testing.T) {
	for _, where := range []string{".sst", "MANIFEST", "create"} {
		t.Run(where, func(t *testing.T) {
			var full atomic.Bool
			fs := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
				hit := op.Kind == errorfs.OpFileWrite && strings.Contains(op.Path, where) || where == "create" && op.Kind == errorfs.OpCreate
				if hit && full.Load() {
					return syscall.ENOSPC
				}
				return nil
			}))
			s, err := pebble.Open(pebble.Options{Dir: filepath.Join(t.TempDir(), "s"), Instance: "a", FS: fs})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Apply(one("a")); err != nil {
				t.Fatal(err)
			}
			before, err := s.SnapshotIncrement(1)
			if err == nil {
				err = before.Close()
			}
			if err := errors.Join(err, s.Apply(one("a"))); err != nil {
				t.Fatal(err)
			}
			full.Store(true)
			if _, err := s.SnapshotIncrement(2); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("snapshot: %v", err)
			}
			full.Store(false)
			// Pebble may read what it believes to have written before the task asks for anything.
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := s.Compact(ctx); err != nil {
				t.Logf("compaction: %v", err)
			}
			if err := s.Apply(one("b")); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("write: %v", err)
			}
			if _, _, err := s.Get(statetest.Key(9, "a")); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("read: %v", err)
			}
			if _, err := s.Snapshot(3); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("savepoint: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}
