package ckptstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/zeebo/xxh3"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/checkpoint/ckptstore"
	"github.com/bramble-stream/bramble/engine/stream"
)

// newerVersion is a manifest with the next version in its header.
func newerVersion(t *testing.T) []byte {
	t.Helper()
	b, err := checkpoint.Encode(&checkpoint.Manifest{JobID: "job", Epoch: 2})
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.Clone(b)
	binary.LittleEndian.PutUint32(b[8:], checkpoint.Version+1)
	binary.LittleEndian.PutUint64(b[32:], xxh3.Hash(b[:32]))
	return b
}

// life is a jobmanager that takes over, cleans up, completes three checkpoints that share files, with a retention of one, and dies at
// any operation. completed is what it believes to be complete, first what it found.
func life(ctx context.Context, root blob.Store, nonce string) (found, completed stream.Epoch, err error) {
	l, err := ckptstore.Lead(ctx, root, "h", nonce)
	if err != nil {
		return 0, 0, err
	}
	s, err := ckptstore.New(root, "job")
	if err != nil {
		return 0, 0, err
	}
	f, err := s.Find(ctx)
	if err != nil {
		return 0, 0, err
	}
	var before *checkpoint.Manifest
	if len(f.Manifests) > 0 {
		before = f.Manifests[0]
		found, completed = before.Epoch, before.Epoch
	}
	if _, err := s.GC(ctx, l, all); err != nil {
		return found, completed, err
	}
	older := f.Manifests
	for i := range 3 {
		e := f.Used + 1 + stream.Epoch(i)
		var files []checkpoint.File
		if before != nil { // the newest file stays, the others go
			before.Files(func(f *checkpoint.File) { files = append(files[:0], *f) })
		}
		for n := range 2 {
			file, err := put(ctx, s, e, fmt.Sprintf("%s-%d-%d", nonce, e, n))
			if err != nil {
				return found, completed, err
			}
			files = append(files, file)
		}
		m := manifest(l, e, files...)
		if _, err := s.WriteManifest(ctx, l, m); err != nil {
			return found, completed, err
		}
		completed = e
		if err := s.Delete(ctx, l, needless(older, m)); err != nil {
			return found, completed, err
		}
		before, older = m, []*checkpoint.Manifest{m}
	}
	_, err = s.GC(ctx, l, completed)
	return found, completed, err
}

// needless is what the coordinator would delete.
func needless(older []*checkpoint.Manifest, m *checkpoint.Manifest) (d checkpoint.Delete) {
	kept := map[string]bool{}
	m.Files(func(f *checkpoint.File) { kept[f.Path] = true })
	for _, o := range older {
		d.Epochs = append(d.Epochs, o.Epoch)
		o.Files(func(f *checkpoint.File) {
			if !kept[f.Path] {
				d.Files = append(d.Files, f.Path)
			}
		})
	}
	return d
}

// TestCrashAnywhere kills a jobmanager at each of its operations, twice in a row, and looks at what is left.
func TestCrashAnywhere(t *testing.T) {
	probe := blob.NewFaulty(blob.NewMem(), blob.Faults{})
	if _, _, err := life(t.Context(), probe, "probe"); err != nil {
		t.Fatal(err)
	}
	orphans := 0
	for seed := range uint64(6) {
		for k := int64(1); k <= probe.Ops(); k++ {
			mem := blob.NewMem()
			var believed stream.Epoch
			for n, at := range []int64{k, 1 + (k*7+int64(seed))%probe.Ops()} {
				_, completed, err := life(t.Context(), blob.NewFaulty(mem, blob.Faults{Seed: seed, CrashAt: at}), fmt.Sprint("life", n))
				if err == nil && at < probe.Ops() {
					t.Fatalf("seed %d: survived its crash at %d", seed, at)
				}
				believed = max(believed, completed)
				orphans += inspect(t, mem, believed)
			}
			// Who comes next, and lives, leaves exactly one checkpoint.
			if _, completed, err := life(t.Context(), mem, "last"); err != nil || completed <= believed {
				t.Fatalf("seed %d, crash at %d: %d after %d, %v", seed, k, completed, believed, err)
			}
			if got := strings.Count(names(t, mem, "job/"), "manifest"); got != 1 {
				t.Fatalf("%d manifests: %s", got, names(t, mem, "job/"))
			}
			if n := inspect(t, mem, believed); n != 0 {
				t.Fatalf("%d orphans are left: %s", n, names(t, mem, "job/"))
			}
		}
	}
	if orphans == 0 {
		t.Error("no crash left anything: the test tests nothing")
	}
}

// inspect checks that what was believed complete, or something newer, can be restored, that every manifest is whole, and counts orphans.
func inspect(t *testing.T, mem blob.Store, believed stream.Epoch) int {
	t.Helper()
	s := newStore(t, mem)
	f, err := s.Find(t.Context())
	if err != nil || len(f.Skipped) > 0 {
		t.Fatalf("%+v, %v", f, err)
	}
	used := []string{}
	for _, m := range f.Manifests {
		restorable(t, s, m)
		m.Files(func(f *checkpoint.File) { used = append(used, "job/"+f.Path) })
	}
	if believed > 0 && (len(f.Manifests) == 0 || f.Manifests[0].Epoch < believed) {
		t.Fatalf("epoch %d was complete; left are %s", believed, names(t, mem, "job/"))
	}
	orphans := 0
	for name := range strings.FieldsSeq(names(t, mem, "job/shared/")) {
		if !slices.Contains(used, name) {
			orphans++
		}
	}
	return orphans
}
