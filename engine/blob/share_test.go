package blob_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/bramble-stream/bramble/engine/blob"
)

// TestFileShowsWhatOthersDo: what one machine has made, or deleted, another one sees at once, also when it looked just before. The two are the directories of
// BRAMBLE_TEST_SHARE_A and BRAMBLE_TEST_SHARE_B, two mounts of one share that have no memory in common; else they are one directory.
func TestFileShowsWhatOthersDo(t *testing.T) {
	local := t.TempDir()
	open := func(env string) *blob.File {
		dir := local
		if d := os.Getenv(env); d != "" {
			dir = filepath.Join(d, "fresh")
		}
		f, err := blob.NewFile(dir)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	ctx, here, there := t.Context(), open("BRAMBLE_TEST_SHARE_A"), open("BRAMBLE_TEST_SHARE_B")
	if err := here.Put(ctx, "leader/0", blob.Bytes([]byte("x"))); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 5; i++ {
		name := fmt.Sprint("leader/", i)
		if _, err := blob.ReadAll(ctx, here, name, 10); !errors.Is(err, blob.ErrNotExist) {
			t.Fatalf("%s: %v", name, err)
		}
		if infos, err := here.List(ctx, "leader/"); err != nil || len(infos) != i {
			t.Fatalf("there are %v, %v; want %d", infos, err, i)
		}
		if err := there.CreateExclusive(ctx, name, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := blob.ReadAll(ctx, here, name, 10); err != nil {
			t.Errorf("what another has made: %v", err)
		}
		if infos, err := here.List(ctx, "leader/"); err != nil || len(infos) != i+1 {
			t.Errorf("after another has made %s there are %v, %v", name, infos, err)
		}
	}
	// On CIFS what this one has read stays until its client has closed it; so it is one that nobody has read.
	if err := there.Delete(ctx, "leader/0"); err != nil {
		t.Fatal(err)
	}
	if infos, err := here.List(ctx, "leader/"); err != nil || len(infos) != 5 {
		t.Errorf("after another has deleted one there are %v, %v", infos, err)
	}
}
