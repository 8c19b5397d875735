package ckptstore_test

import (
	"errors"
	"testing"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/checkpoint/ckptstore"
)

// TestCatalogue: the newest entry of each job counts, one that cannot be read falls back to the one before, and a leader that was
// replaced writes none that counts.
func TestCatalogue(t *testing.T) {
	ctx, root := t.Context(), blob.NewMem()
	first, err := ckptstore.Lead(ctx, root, "a", "1")
	if err != nil {
		t.Fatal(err)
	}
	e := ckptstore.Entry{JobID: "b0b", Attempt: 1, Script: "INSERT", Config: map[string]string{"k": "v"}, SubmittedMS: 7}
	write := func(l *ckptstore.Leader, e ckptstore.Entry) {
		t.Helper()
		if err := ckptstore.WriteEntry(ctx, root, l, e); err != nil {
			t.Fatal(err)
		}
	}
	write(first, e)
	write(first, e) // a repetition
	write(first, ckptstore.Entry{JobID: "a0a", Attempt: 3, SubmittedMS: 8})
	second, err := ckptstore.Lead(ctx, root, "b", "2")
	if err != nil {
		t.Fatal(err)
	}
	e.Attempt, e.Parallelism = 2, 4
	if err := ckptstore.WriteEntry(ctx, root, first, e); !errors.Is(err, ckptstore.ErrFenced) {
		t.Errorf("a former leader wrote: %v", err)
	}
	write(second, e)
	// A torn one, of an attempt that was cut short.
	const torn = "jobs/b0b/00000000000000000002-0000000003"
	if err := root.CreateExclusive(ctx, torn, []byte("BRMBLJOB 1 0123")); err != nil {
		t.Fatal(err)
	}
	all, skipped, err := ckptstore.Entries(ctx, root)
	if err != nil || len(all) != 2 || len(skipped) != 1 {
		t.Fatalf("%+v, skipped %v, %v", all, skipped, err)
	}
	if got := all[0]; got.JobID != "b0b" || got.Attempt != 2 || got.Leader != 2 || got.Parallelism != 4 || got.Config["k"] != "v" || all[1].JobID != "a0a" {
		t.Errorf("%+v", all)
	}
	if skipped[0].Name != torn || !errors.Is(skipped[0].Err, checkpoint.ErrCorrupt) {
		t.Errorf("skipped %v", skipped)
	}
	if err := ckptstore.RemoveEntry(ctx, root, first, "b0b"); !errors.Is(err, ckptstore.ErrFenced) {
		t.Errorf("a former leader removed: %v", err)
	}
	if err := ckptstore.RemoveEntry(ctx, root, second, "b0b"); err != nil {
		t.Fatal(err)
	}
	if all, skipped, err = ckptstore.Entries(ctx, root); err != nil || len(all) != 1 || len(skipped) != 0 {
		t.Errorf("%+v, skipped %v, %v", all, skipped, err)
	}
}
