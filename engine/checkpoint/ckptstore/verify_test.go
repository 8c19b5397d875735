package ckptstore_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint"
)

// TestVerifyState reads files back in parts, and tells damage from storage that does not answer.
func TestVerifyState(t *testing.T) {
	mem := blob.NewMem()
	s := newStore(t, mem)
	for _, size := range []int{0, 1, 256<<10 - 1, 256 << 10, 256<<10 + 1, 700_000} {
		content := bytes.Repeat([]byte("abcdefg"), size/7+1)[:size]
		f, err := s.PutState(t.Context(), 1, "f", "f", int64(size), open(content))
		if err != nil {
			t.Fatal(err)
		}
		var paced int64
		pace := func(_ context.Context, n int64) error { paced += n; return nil }
		if err := s.VerifyState(t.Context(), f, pace); err != nil || paced != int64(size) {
			t.Errorf("%d bytes: %v, %d paced", size, err, paced)
		}
		spoilt := map[string][]byte{"longer": append(bytes.Clone(content), 'x')}
		if size > 0 {
			flipped := bytes.Clone(content)
			flipped[size-1] ^= 1
			spoilt["flipped"], spoilt["shorter"], spoilt["empty"] = flipped, content[:size-1], nil
		}
		for how, b := range spoilt {
			if err := mem.Put(t.Context(), "job/"+f.Path, blob.Bytes(b)); err != nil {
				t.Fatal(err)
			}
			if err := s.VerifyState(t.Context(), f, pace); !errors.Is(err, checkpoint.ErrCorrupt) {
				t.Errorf("%d bytes, %s: %v", size, how, err)
			}
		}
		if err := mem.Delete(t.Context(), "job/"+f.Path); err != nil {
			t.Fatal(err)
		}
		if err := s.VerifyState(t.Context(), f, pace); !errors.Is(err, blob.ErrNotExist) {
			t.Errorf("%d bytes, gone: %v", size, err)
		}
	}
	f, err := s.PutState(t.Context(), 1, "g", "g", 4, open([]byte("1234")))
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	if err := s.VerifyState(t.Context(), f, func(context.Context, int64) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	away := newStore(t, blob.NewFaulty(mem, blob.Faults{ErrorRate: 1}))
	if err := away.VerifyState(t.Context(), f, nil); !errors.Is(err, blob.ErrInjected) || errors.Is(err, checkpoint.ErrCorrupt) {
		t.Error(err)
	}
}

// TestLastResort: where no checkpoint is whole, those count that only lack files; one that is whole goes before any that is not.
func TestLastResort(t *testing.T) {
	mem := blob.NewMem()
	s, l := newStore(t, mem), lead(t, mem, "a")
	mustWrite(t, s, l, 1, "aa")
	mustWrite(t, s, l, 2, "bb")
	mustWrite(t, s, l, 3, "cc")
	remove := func(name string) {
		t.Helper()
		if err := mem.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	remove("job/shared/00000000000000000003/op-0-cc")
	remove("job/shared/00000000000000000002/op-0-bb")
	if f, err := s.Find(t.Context()); err != nil || f.LastResort || len(f.Manifests) != 1 || f.Manifests[0].Epoch != 1 || len(f.Skipped) != 2 {
		t.Fatalf("%+v, %v", f, err)
	}
	remove("job/shared/00000000000000000001/op-0-aa")
	if err := mem.Put(t.Context(), "job/chk-3/manifest", blob.Bytes([]byte("torn"))); err != nil {
		t.Fatal(err)
	}
	f, err := s.Find(t.Context())
	if err != nil || !f.LastResort || len(f.Manifests) != 2 || f.Manifests[0].Epoch != 2 || len(f.Skipped) != 3 {
		t.Fatalf("%+v, %v", f, err)
	}
	if m, err := f.Latest(); err != nil || m.Epoch != 2 {
		t.Error(m, err)
	}
	remove("job/chk-1/manifest")
	remove("job/chk-2/manifest")
	if f, err = s.Find(t.Context()); err != nil || f.LastResort {
		t.Fatalf("%+v, %v", f, err)
	}
	if _, err := f.Latest(); err == nil || !strings.Contains(err.Error(), "no checkpoint is usable") {
		t.Error(err)
	}
}
