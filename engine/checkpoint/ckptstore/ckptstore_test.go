package ckptstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/checkpoint/ckptstore"
	"github.com/bramble-stream/bramble/engine/stream"
)

const all = stream.Epoch(math.MaxUint64)

func open(b []byte) func() (io.ReadCloser, error) { return blob.Bytes(b).Open }

func lead(t *testing.T, root blob.Store, nonce string) *ckptstore.Leader {
	t.Helper()
	l, err := ckptstore.Lead(t.Context(), root, "host:1", nonce)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newStore(t *testing.T, root blob.Store) *ckptstore.Store {
	t.Helper()
	s, err := ckptstore.New(root, "job")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func manifest(l *ckptstore.Leader, e stream.Epoch, files ...checkpoint.File) *checkpoint.Manifest {
	return &checkpoint.Manifest{JobID: "job", Epoch: e, Leader: l.Epoch(), Operators: []checkpoint.OperatorState{{
		ID: "op", Parallelism: 1, MaxParallelism: 1, Tasks: []checkpoint.TaskState{{Range: stream.KeyRange{Limit: 1}, Files: files}},
	}}}
}

// put uploads a file whose content is its name, and names it for a snapshot.
func put(ctx context.Context, s *ckptstore.Store, e stream.Epoch, name string) (checkpoint.File, error) {
	return s.PutState(ctx, e, "op-0-"+name, name, int64(len(name)), open([]byte(name)))
}

func mustWrite(t *testing.T, s *ckptstore.Store, l *ckptstore.Leader, e stream.Epoch, names ...string) []checkpoint.File {
	t.Helper()
	var files []checkpoint.File
	for _, n := range names {
		f, err := put(t.Context(), s, e, n)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	if _, err := s.WriteManifest(t.Context(), l, manifest(l, e, files...)); err != nil {
		t.Fatal(err)
	}
	return files
}

func names(t *testing.T, b blob.Store, prefix string) string {
	t.Helper()
	infos, err := b.List(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range infos {
		out = append(out, i.Name)
	}
	return strings.Join(out, " ")
}

func latest(t *testing.T, s *ckptstore.Store) stream.Epoch {
	t.Helper()
	f, err := s.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, err := f.Latest()
	if errors.Is(err, ckptstore.ErrNone) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return m.Epoch
}

// restorable reads all of a checkpoint.
func restorable(t *testing.T, s *ckptstore.Store, m *checkpoint.Manifest) {
	t.Helper()
	m.Files(func(f *checkpoint.File) {
		r, err := s.OpenState(t.Context(), *f)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil || string(b) != f.Name {
			t.Fatalf("%s holds %q: %v", f.Path, b, err)
		}
	})
}

func TestWriteFindDelete(t *testing.T) {
	mem := blob.NewMem()
	s := newStore(t, mem)
	if latest(t, s) != 0 {
		t.Fatal("a new job has a checkpoint")
	}
	l := lead(t, mem, "a")
	f1 := mustWrite(t, s, l, 1, "a", "b")
	mustWrite(t, s, l, 10, "c")
	if e := latest(t, s); e != 10 {
		t.Errorf("latest %d", e)
	}
	if got, want := names(t, mem, ""), "job/chk-1/manifest job/chk-10/manifest job/shared/00000000000000000001/op-0-a "+
		"job/shared/00000000000000000001/op-0-b job/shared/00000000000000000010/op-0-c leader/00000000000000000001"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if err := s.Delete(t.Context(), l, checkpoint.Delete{Epochs: []stream.Epoch{1}, Files: []string{f1[0].Path}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), l, checkpoint.Delete{Files: []string{"chk-10/manifest"}}); err == nil {
		t.Error("deleted what is no file of state")
	}
	removed, err := s.GC(t.Context(), l, 10)
	if err != nil || len(removed) != 1 || removed[0] != f1[1].Path {
		t.Errorf("removed %v, %v", removed, err)
	}
	if err := s.RemoveAll(t.Context(), l); err != nil || names(t, mem, "job/") != "" {
		t.Error(err, names(t, mem, ""))
	}
	for _, id := range []string{"", "a/b", "../x"} {
		if _, err := ckptstore.New(mem, id); err == nil {
			t.Errorf("job %q was taken", id)
		}
	}
}

// TestDamage: what is torn, damaged or incomplete is passed over, and said; the next GC removes it.
func TestDamage(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(b []byte) []byte
		path  string
	}{
		"torn manifest":    {func(b []byte) []byte { return b[:len(b)/2] }, "job/chk-2/manifest"},
		"empty manifest":   {func([]byte) []byte { return nil }, "job/chk-2/manifest"},
		"flipped manifest": {func(b []byte) []byte { b[len(b)-5] ^= 1; return b }, "job/chk-2/manifest"},
		"foreign manifest": {nil, "job/chk-2/manifest"},
		"short file":       {func(b []byte) []byte { return b[1:] }, "job/shared/00000000000000000002/op-0-bb"},
		"missing file":     {nil, "job/shared/00000000000000000002/op-0-bb"},
	} {
		t.Run(name, func(t *testing.T) {
			mem := blob.NewMem()
			s, l := newStore(t, mem), lead(t, mem, "a")
			mustWrite(t, s, l, 1, "aa")
			mustWrite(t, s, l, 2, "bb")
			b, err := blob.ReadAll(t.Context(), mem, c.path, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case c.spoil != nil:
				err = mem.Put(t.Context(), c.path, blob.Bytes(c.spoil(bytes.Clone(b))))
			case strings.HasSuffix(c.path, "manifest"):
				other, e := checkpoint.Encode(manifest(l, 7))
				err = errors.Join(e, mem.Put(t.Context(), c.path, blob.Bytes(other)))
			default:
				err = mem.Delete(t.Context(), c.path)
			}
			if err != nil {
				t.Fatal(err)
			}
			f, err := s.Find(t.Context())
			if err != nil || len(f.Manifests) != 1 || f.Manifests[0].Epoch != 1 || len(f.Skipped) != 1 || f.Skipped[0].Epoch != 2 || f.Used != 2 {
				t.Fatalf("%+v, %v", f, err)
			}
			if _, err := s.GC(t.Context(), l, all); err != nil {
				t.Fatal(err)
			}
			if got := names(t, mem, "job/"); got != "job/chk-1/manifest job/shared/00000000000000000001/op-0-aa" {
				t.Error("left:", got)
			}
		})
	}
}

func TestFileChecksum(t *testing.T) {
	mem := blob.NewMem()
	s, l := newStore(t, mem), lead(t, mem, "a")
	f := mustWrite(t, s, l, 1, "content")[0]
	if err := mem.Put(t.Context(), "job/"+f.Path, blob.Bytes([]byte("contend"))); err != nil {
		t.Fatal(err)
	}
	r, err := s.OpenState(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !errors.Is(err, checkpoint.ErrCorrupt) {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.PutState(t.Context(), 1, "x", "x", 5, open([]byte("1234"))); err == nil {
		t.Error("a file shorter than its snapshot said was taken")
	}
}

// TestUnknownVersion: a newer program's checkpoint is not used, and nothing that it may have is deleted.
func TestUnknownVersion(t *testing.T) {
	mem := blob.NewMem()
	s, l := newStore(t, mem), lead(t, mem, "a")
	mustWrite(t, s, l, 1, "a")
	if _, err := put(t.Context(), s, 2, "b"); err != nil {
		t.Fatal(err)
	}
	if err := mem.Put(t.Context(), "job/chk-2/manifest", blob.Bytes(newerVersion(t))); err != nil {
		t.Fatal(err)
	}
	before := names(t, mem, "")
	if f, err := s.Find(t.Context()); err != nil || len(f.Skipped) != 1 || !errors.Is(f.Skipped[0].Err, checkpoint.ErrVersion) {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := s.GC(t.Context(), l, all); !errors.Is(err, checkpoint.ErrVersion) || names(t, mem, "") != before {
		t.Error(err, names(t, mem, ""))
	}
}

// TestUnreadableNow: an outage is no reason to go back to an older checkpoint, nor to delete anything.
func TestUnreadableNow(t *testing.T) {
	mem := blob.NewMem()
	s, l := newStore(t, mem), lead(t, mem, "a")
	mustWrite(t, s, l, 1, "a")
	mustWrite(t, s, l, 2, "b")
	before := names(t, mem, "")
	for seed := range uint64(200) {
		broken := newStore(t, blob.NewFaulty(mem, blob.Faults{Seed: seed, ErrorRate: 0.2, ShortReadRate: 0.2}))
		if f, err := broken.Find(t.Context()); err == nil && f.Manifests[0].Epoch != 2 {
			t.Fatalf("seed %d: found %+v", seed, f)
		}
		if removed, err := broken.GC(t.Context(), l, all); len(removed) > 0 || names(t, mem, "") != before {
			t.Fatalf("seed %d: removed %v, %v", seed, removed, err)
		}
	}
}

func TestFencing(t *testing.T) {
	mem := blob.NewMem()
	s := newStore(t, mem)
	old := lead(t, mem, "a")
	f := mustWrite(t, s, old, 1, "a")
	if err := old.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := lead(t, mem, "b")
	for what, err := range map[string]error{
		"check":  old.Check(t.Context()),
		"delete": s.Delete(t.Context(), old, checkpoint.Delete{Epochs: []stream.Epoch{1}, Files: []string{f[0].Path}}),
		"remove": s.RemoveAll(t.Context(), old),
	} {
		if !errors.Is(err, ckptstore.ErrFenced) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.WriteManifest(t.Context(), old, manifest(old, 2)); !errors.Is(err, ckptstore.ErrFenced) {
		t.Error(err)
	}
	if _, err := s.GC(t.Context(), old, all); !errors.Is(err, ckptstore.ErrFenced) {
		t.Error(err)
	}
	if _, err := s.WriteManifest(t.Context(), now, manifest(old, 2)); err == nil {
		t.Error("a manifest in another's name was taken")
	}
	if info, err := ckptstore.CurrentLeader(t.Context(), mem); err != nil || info.Epoch != 2 || info.Holder != "host:1" || info.Nonce != "b" {
		t.Error(info, err)
	}
}

// TestLateOldLeader: a manifest that an old leader got in just so, with a higher epoch, does not count once the new one has completed any.
func TestLateOldLeader(t *testing.T) {
	mem := blob.NewMem()
	s := newStore(t, mem)
	old := lead(t, mem, "a")
	mustWrite(t, s, old, 1, "a")
	late, err := checkpoint.Encode(manifest(old, 9))
	if err != nil {
		t.Fatal(err)
	}
	now := lead(t, mem, "b")
	if err := mem.Put(t.Context(), "job/chk-9/manifest", blob.Bytes(late)); err != nil {
		t.Fatal(err)
	}
	if e := latest(t, s); e != 9 {
		t.Errorf("latest %d", e)
	}
	mustWrite(t, s, now, 2, "b")
	if e := latest(t, s); e != 2 {
		t.Errorf("latest %d", e)
	}
	if _, err := s.WriteManifest(t.Context(), now, manifest(now, 9)); !errors.Is(err, blob.ErrExists) {
		t.Error(err)
	}
}

func TestLeadAtOnce(t *testing.T) {
	mem := blob.NewMem()
	var mu sync.Mutex
	var epochs []uint64
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			l, err := ckptstore.Lead(t.Context(), mem, "h", fmt.Sprint(i))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			epochs = append(epochs, l.Epoch())
		})
	}
	wg.Wait()
	slices.Sort(epochs)
	if len(epochs) != 16 || len(slices.Compact(slices.Clone(epochs))) != 16 {
		t.Error(epochs)
	}
}

func TestSavepoint(t *testing.T) {
	mem := blob.NewMem()
	l := lead(t, mem, "a")
	dir, err := blob.Sub(mem, "savepoints/s1")
	if err != nil {
		t.Fatal(err)
	}
	s := ckptstore.NewSavepoint(dir)
	if _, err := s.Load(t.Context()); !errors.Is(err, blob.ErrNotExist) {
		t.Error(err)
	}
	f, err := s.PutState(t.Context(), "op-0-x", "x", 3, open([]byte("abc")))
	if err != nil {
		t.Fatal(err)
	}
	m := manifest(l, 5, f)
	m.Savepoint = true
	if err := s.WriteManifest(t.Context(), l, m); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteManifest(t.Context(), l, m); !errors.Is(err, blob.ErrExists) {
		t.Error(err)
	}
	got, err := s.Load(t.Context())
	if err != nil || got.Epoch != 5 {
		t.Fatal(got, err)
	}
	if err := s.Dispose(t.Context(), false); err != nil || names(t, mem, "savepoints/") != "" {
		t.Error(err, names(t, mem, ""))
	}
	if err := s.Dispose(t.Context(), false); err == nil {
		t.Error("disposed of nothing")
	}
	if _, err := s.PutState(t.Context(), "op-0-y", "y", 3, open([]byte("abc"))); err != nil {
		t.Fatal(err)
	}
	if err := s.Dispose(t.Context(), true); err != nil || names(t, mem, "savepoints/") != "" {
		t.Error(err)
	}
}
