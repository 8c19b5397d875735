package ckptstore_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/checkpoint/ckptstore"
)

// between calls f before the first deletion.
type between struct {
	blob.Store
	once sync.Once
	f    func()
}

func (b *between) Delete(ctx context.Context, name string) error {
	b.once.Do(b.f)
	return b.Store.Delete(ctx, name)
}

// TestCleanUpOfAFencedLeaderTakesNothingAway: the second leader is cleaning up what the first did not complete when that appears as
// complete after all, and a third takes over. What the third goes on from stays whole, and the late one is void for good.
func TestCleanUpOfAFencedLeaderTakesNothingAway(t *testing.T) {
	ctx := t.Context()
	mem := blob.NewMem()
	s := newStore(t, mem)
	first := lead(t, mem, "a")
	mustWrite(t, s, first, 1, "a")
	// Its tasks have uploaded epoch 2, and its manifest is on the way.
	file, err := put(ctx, s, 2, "b")
	if err != nil {
		t.Fatal(err)
	}
	text, err := checkpoint.Encode(manifest(first, 2, file))
	if err != nil {
		t.Fatal(err)
	}

	second := lead(t, mem, "b")
	base := checkpoint.Base{Leader: 1, Epoch: 1, Used: 2}
	if err := ckptstore.WriteEntry(ctx, mem, second, ckptstore.Entry{JobID: "job", Attempt: 1, Base: &base}); err != nil {
		t.Fatal(err)
	}
	var third *ckptstore.Leader
	var chosen *checkpoint.Manifest
	restore := func() *checkpoint.Manifest {
		entries, _, err := ckptstore.Entries(ctx, mem)
		if err != nil || len(entries) != 1 {
			t.Fatal(entries, err)
		}
		f, err := s.Find(ctx)
		if err != nil {
			t.Fatal(err)
		}
		m, err := f.Without(&entries[0]).Latest()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	slow := &between{Store: mem, f: func() {
		if err := mem.Put(ctx, "job/chk-2/manifest", blob.Bytes(text)); err != nil {
			t.Error(err)
		}
		third = lead(t, mem, "c")
		chosen = restore()
	}}
	slowly, err := ckptstore.New(slow, "job")
	if err != nil {
		t.Fatal(err)
	}
	removed, err := slowly.Clean(ctx, second, base)
	if err != nil && !strings.Contains(err.Error(), "newer") || len(removed) == 0 {
		t.Fatalf("the second leader removes %v, %v", removed, err)
	}
	if chosen == nil || chosen.Epoch != 1 {
		t.Fatalf("the third leader goes on from %+v", chosen)
	}
	// The torn rest goes with the third's own clean-up, also when it is whole.
	base = checkpoint.Base{Leader: 1, Epoch: 1, Used: 2}
	if err := ckptstore.WriteEntry(ctx, mem, third, ckptstore.Entry{JobID: "job", Attempt: 1, Base: &base}); err != nil {
		t.Fatal(err)
	}
	if _, err := put(ctx, s, 2, "b"); err != nil {
		t.Fatal(err)
	}
	if m := restore(); m.Epoch != 1 {
		t.Errorf("the late one counts: %d", m.Epoch)
	}
	if _, err := s.Clean(ctx, third, base); err != nil {
		t.Fatal(err)
	}
	if left := names(t, mem, "job/"); strings.Contains(left, "chk-2") || strings.Contains(left, "00000002") {
		t.Errorf("it stayed: %s", left)
	}
}
