package blob_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/blob"
)

// TestReplaceOnShare replaces an object on a share whose server refuses things while somebody has the file open, as CIFS does.
func TestReplaceOnShare(t *testing.T) {
	for _, c := range []struct {
		name string
		// over, away and gone are how many renames over the file, renames of it and removals are refused.
		over, away, gone int
		with             error
		waits            int
		fails            bool
	}{
		{"nobody has it open", 0, 0, 0, nil, 0, false},
		{"it can be moved aside", 1, 0, 0, syscall.EACCES, 0, false},
		{"it can be removed", 1, 1, 0, syscall.EBUSY, 0, false},
		{"for a while nothing can be done", 4, 4, 4, syscall.ETXTBSY, 4, false},
		{"for ever nothing can be done", 100, 100, 100, syscall.EACCES, 7, true},
		{"another error is no reason to wait", 1, 0, 0, syscall.EIO, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			f, err := blob.NewFile(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Put(t.Context(), "leader/lease", blob.Bytes([]byte("old"))); err != nil {
				t.Fatal(err)
			}
			final := filepath.Join(dir, "leader", "lease")
			refuse := func(left *int) error {
				if *left--; *left >= 0 {
					return &os.PathError{Op: "rename", Path: final, Err: c.with}
				}
				return nil
			}
			var waited time.Duration
			waits := 0
			blob.SetSystem(f, func(from, to string) error {
				left := &c.away
				if to == final {
					left = &c.over
				}
				if err := refuse(left); err != nil {
					return err
				}
				return os.Rename(from, to)
			}, func(name string) error {
				if name == final {
					if err := refuse(&c.gone); err != nil {
						return err
					}
				}
				return os.Remove(name)
			}, func(_ context.Context, d time.Duration) error {
				waits++
				waited += d
				return nil
			})
			err = f.Put(t.Context(), "leader/lease", blob.Bytes([]byte("new")))
			if (err != nil) != c.fails || c.fails && !errors.Is(err, c.with) || waits != c.waits || waited > 2*time.Second {
				t.Errorf("%v after %d waits, %s in all", err, waits, waited)
			}
			want := "new"
			if c.fails {
				want = "old"
			}
			if b, err := blob.ReadAll(t.Context(), f, "leader/lease", 10); err != nil || string(b) != want {
				t.Errorf("there is %q, %v", b, err)
			}
			if left, err := os.ReadDir(filepath.Join(dir, "leader")); err != nil || len(left) != 1 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// TestReplaceEndsWithContext: who is told to stop does not wait for others.
func TestReplaceEndsWithContext(t *testing.T) {
	f, err := blob.NewFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	refuse := func(string, string) error { return syscall.EACCES }
	blob.SetSystem(f, refuse, func(name string) error {
		if strings.Contains(name, ".tmp-") {
			return os.Remove(name)
		}
		return syscall.EACCES
	}, func(context.Context, time.Duration) error { return context.Canceled })
	if err := f.Put(t.Context(), "x", blob.Bytes(nil)); !errors.Is(err, syscall.EACCES) || !strings.Contains(err.Error(), "somebody has it open") {
		t.Error(err)
	}
}
