// Package blobtest is the suite that every kind of checkpoint storage passes. It tests what blob.Store promises and nothing that only
// one kind can do.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bramble-stream/bramble/engine/blob"
)

// Run tests the stores that open makes: an empty one each call.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s blob.Store)
	}{
		{"put and read", putAndRead},
		{"ranges", ranges},
		{"replace", replace},
		{"list", list},
		{"delete", deletes},
		{"wrong content", wrongContent},
		{"bad names", badNames},
		{"create", create},
		{"create at once", createAtOnce},
		{"whole or absent", wholeOrAbsent},
		{"ended context", endedContext},
		{"sub", subStore},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// Pattern is n bytes that are different everywhere.
func Pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8*13 + i>>16*31)
	}
	return b
}

func mustPut(t *testing.T, s blob.Store, name string, b []byte) {
	t.Helper()
	if err := s.Put(t.Context(), name, blob.Bytes(b)); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, s blob.Store, name string, offset, length int64) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), name, offset, length)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

func putAndRead(t *testing.T, s blob.Store) {
	// 5 MiB + 1 is more than one part, where there are parts.
	for i, n := range []int{0, 1, 4096, 5<<20 + 1} {
		name := fmt.Sprintf("dir-%d/object_%d.sst", i, n)
		mustPut(t, s, name, Pattern(n))
		if got := mustRead(t, s, name, 0, -1); !bytes.Equal(got, Pattern(n)) {
			t.Errorf("%s: %d bytes came back, not %d, or others", name, len(got), n)
		}
	}
	if _, err := s.Open(t.Context(), "dir-0/nothing", 0, -1); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("open what is not there: %v", err)
	}
	if _, err := s.Open(t.Context(), "dir-0", 0, -1); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("open a directory: %v", err)
	}
	if _, err := blob.ReadAll(t.Context(), s, "dir-2/object_4096.sst", 4095); !errors.Is(err, blob.ErrPermanent) {
		t.Errorf("read more than allowed: %v", err)
	}
}

func ranges(t *testing.T, s blob.Store) {
	p := Pattern(1000)
	mustPut(t, s, "r", p)
	for _, c := range []struct{ offset, length, from, to int64 }{
		{0, 0, 0, 0},
		{0, 1, 0, 1},
		{0, 1000, 0, 1000},
		{10, 20, 10, 30},
		{999, 1, 999, 1000},
		{990, 100, 990, 1000},
		{1000, 5, 1000, 1000},
		{2000, -1, 1000, 1000},
		{500, -1, 500, 1000},
		{5, 1 << 62, 5, 1000},
	} {
		if got := mustRead(t, s, "r", c.offset, c.length); !bytes.Equal(got, p[c.from:c.to]) {
			t.Errorf("[%d, +%d): %d bytes, want %d", c.offset, c.length, len(got), c.to-c.from)
		}
	}
	if _, err := s.Open(t.Context(), "r", -1, 5); !errors.Is(err, blob.ErrPermanent) {
		t.Errorf("negative offset: %v", err)
	}
	if _, err := s.Open(t.Context(), "absent", 5, 0); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("nothing of what is not there: %v", err)
	}
}

func replace(t *testing.T, s blob.Store) {
	mustPut(t, s, "a/b", Pattern(5000))
	r, err := s.Open(t.Context(), "a/b", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, "a/b", []byte("new"))
	// A reader that was there before gives the old content, or fails: never a mixture.
	if b, err := io.ReadAll(r); err == nil && !bytes.Equal(b, Pattern(5000)) && string(b) != "new" {
		t.Errorf("an open reader gave %d bytes of neither version", len(b))
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if got := mustRead(t, s, "a/b", 0, -1); string(got) != "new" {
		t.Errorf("got %q", got)
	}
}

func list(t *testing.T, s blob.Store) {
	if infos, err := s.List(t.Context(), ""); err != nil || len(infos) != 0 {
		t.Fatalf("a new store has %v, %v", infos, err)
	}
	for i, name := range []string{"b/2", "b/10", "a", "b/c/1", "bb", "b-/x"} {
		mustPut(t, s, name, Pattern(i))
	}
	for prefix, want := range map[string]string{
		"":      "a:2 b-/x:5 b/10:1 b/2:0 b/c/1:3 bb:4",
		"b":     "b-/x:5 b/10:1 b/2:0 b/c/1:3 bb:4",
		"b/":    "b/10:1 b/2:0 b/c/1:3",
		"b/c":   "b/c/1:3",
		"b/c/1": "b/c/1:3",
		"b/1":   "b/10:1",
		"x":     "",
		"a/":    "",
	} {
		infos, err := s.List(t.Context(), prefix)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range infos {
			got = append(got, fmt.Sprintf("%s:%d", i.Name, i.SizeBytes))
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("list %q: %q, want %q", prefix, g, want)
		}
	}
}

func deletes(t *testing.T, s blob.Store) {
	mustPut(t, s, "d/e/f", []byte("1"))
	mustPut(t, s, "d/g", []byte("2"))
	for range 2 { // the second time there is nothing
		if err := s.Delete(t.Context(), "d/e/f"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Delete(t.Context(), "never/was"); err != nil {
		t.Error(err)
	}
	if infos, err := s.List(t.Context(), ""); err != nil || len(infos) != 1 || infos[0].Name != "d/g" {
		t.Errorf("left: %v, %v", infos, err)
	}
	mustPut(t, s, "d/e/f", []byte("3"))
	if got := mustRead(t, s, "d/e/f", 0, -1); string(got) != "3" {
		t.Errorf("written again: %q", got)
	}
}

func wrongContent(t *testing.T, s blob.Store) {
	mustPut(t, s, "w", []byte("old"))
	boom := errors.New("boom")
	for name, c := range map[string]blob.Content{
		"short": {SizeBytes: 10, Open: blob.Bytes([]byte("123")).Open},
		"long":  {SizeBytes: 2, Open: blob.Bytes([]byte("123")).Open},
		"error": {SizeBytes: 2, Open: func() (io.ReadCloser, error) { return nil, boom }},
		"break": {SizeBytes: 10, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader("12"), failing{boom})), nil
		}},
	} {
		if err := s.Put(t.Context(), "n-"+name, c); err == nil {
			t.Errorf("%s content was taken", name)
		}
		if name == "long" { // where the size is declared first, an object of that size is whole
			continue
		}
		if err := s.Put(t.Context(), "w", c); err == nil {
			t.Errorf("%s content was taken", name)
		}
		if got := mustRead(t, s, "w", 0, -1); string(got) != "old" {
			t.Errorf("%s content left %q", name, got)
		}
		if _, err := s.Open(t.Context(), "n-"+name, 0, -1); !errors.Is(err, blob.ErrNotExist) {
			t.Errorf("%s content left an object: %v", name, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func badNames(t *testing.T, s blob.Store) {
	ctx := t.Context()
	for _, name := range []string{
		"", "/", "/a", "a/", "a//b", "..", "a/../b", ".tmp", "a/.b", "a b", "a\\b", "a:b", "ä", "a\x00", "a.", strings.Repeat("x", 201),
	} {
		for op, err := range map[string]error{
			"put": s.Put(ctx, name, blob.Bytes(nil)), "create": s.CreateExclusive(ctx, name, nil), "delete": s.Delete(ctx, name),
		} {
			if !errors.Is(err, blob.ErrPermanent) {
				t.Errorf("%s %q: %v", op, name, err)
			}
		}
		if _, err := s.Open(ctx, name, 0, -1); !errors.Is(err, blob.ErrPermanent) {
			t.Errorf("open %q: %v", name, err)
		}
	}
	for _, prefix := range []string{"/", "../", "a/../b", "a//", "*"} {
		if _, err := s.List(ctx, prefix); !errors.Is(err, blob.ErrPermanent) {
			t.Errorf("list %q: %v", prefix, err)
		}
	}
}

func create(t *testing.T, s blob.Store) {
	if err := s.CreateExclusive(t.Context(), "l/1", []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateExclusive(t.Context(), "l/1", []byte("two")); !errors.Is(err, blob.ErrExists) {
		t.Errorf("second: %v", err)
	}
	if got := mustRead(t, s, "l/1", 0, -1); string(got) != "one" {
		t.Errorf("got %q", got)
	}
	mustPut(t, s, "l/2", []byte("put"))
	if err := s.CreateExclusive(t.Context(), "l/2", []byte("x")); !errors.Is(err, blob.ErrExists) {
		t.Errorf("over a put: %v", err)
	}
	if err := s.Delete(t.Context(), "l/1"); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateExclusive(t.Context(), "l/1", []byte("three")); err != nil {
		t.Errorf("after a delete: %v", err)
	}
	infos, err := s.List(t.Context(), "")
	if err != nil || len(infos) != 2 {
		t.Errorf("left: %v, %v", infos, err)
	}
}

// createAtOnce: of many at the same name at most one wins; of many who go on to the next name each gets one of its own.
func createAtOnce(t *testing.T, s blob.Store) {
	const callers = 8
	won := make([][]string, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := range 20 {
				name := fmt.Sprintf("leader/%02d", n)
				err := s.CreateExclusive(t.Context(), name, fmt.Appendf(nil, "caller %d", c))
				if err == nil {
					won[c] = append(won[c], name)
				} else if !errors.Is(err, blob.ErrExists) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var all []string
	for c, names := range won {
		for _, name := range names {
			if got := string(mustRead(t, s, name, 0, -1)); got != fmt.Sprintf("caller %d", c) {
				t.Errorf("%s: caller %d won, but it holds %q", name, c, got)
			}
		}
		all = append(all, names...)
	}
	slices.Sort(all)
	if len(all) == 0 || len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("won: %v", all)
	}
}

// wholeOrAbsent reads an object while it is replaced again and again.
func wholeOrAbsent(t *testing.T, s blob.Store) {
	const writes = 20
	versions := [][]byte{bytes.Repeat([]byte("a"), 1<<16), bytes.Repeat([]byte("b"), 1<<17)}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		defer cancel()
		for i := range writes {
			if err := s.Put(t.Context(), "v/x", blob.Bytes(versions[i%2])); err != nil {
				t.Error(err)
			}
		}
	})
	for ctx.Err() == nil {
		b, err := blob.ReadAll(t.Context(), s, "v/x", 1<<20)
		if errors.Is(err, blob.ErrNotExist) {
			continue
		}
		// A read that breaks because the object is replaced is no fault; half an object is.
		if err == nil && !bytes.Equal(b, versions[0]) && !bytes.Equal(b, versions[1]) {
			t.Errorf("read %d bytes of neither version", len(b))
		}
	}
	wg.Wait()
	infos, err := s.List(t.Context(), "")
	if err != nil || len(infos) != 1 {
		t.Errorf("left: %v, %v", infos, err)
	}
}

func endedContext(t *testing.T, s blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, openErr := s.Open(ctx, "c", 0, -1)
	_, listErr := s.List(ctx, "")
	for op, err := range map[string]error{
		"put": s.Put(ctx, "c", blob.Bytes([]byte("x"))), "create": s.CreateExclusive(ctx, "c", nil), "delete": s.Delete(ctx, "c"),
		"open": openErr, "list": listErr,
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", op, err)
		}
	}
}

func subStore(t *testing.T, s blob.Store) {
	a, err := blob.Sub(s, "job/a")
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, "job/ab", nil)
	mustPut(t, a, "x/1", []byte("sub"))
	if err := a.CreateExclusive(t.Context(), "x/1", nil); !errors.Is(err, blob.ErrExists) {
		t.Error(err)
	}
	if got := mustRead(t, s, "job/a/x/1", 0, -1); string(got) != "sub" {
		t.Errorf("got %q", got)
	}
	if infos, err := a.List(t.Context(), ""); err != nil || len(infos) != 1 || infos[0].Name != "x/1" {
		t.Errorf("list: %v, %v", infos, err)
	}
	if err := a.Delete(t.Context(), "x/1"); err != nil {
		t.Error(err)
	}
	if _, err := blob.Sub(s, "../x"); err == nil {
		t.Error("a bad directory was taken")
	}
}
