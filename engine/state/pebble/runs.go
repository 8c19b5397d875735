package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	cpebble "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sync/errgroup"

	"github.com/bramble-stream/bramble/internal/sorting"
)

const (
	// mergedBytes is about how large a table of merged runs gets.
	mergedBytes = 8 << 20
	// mergersMax is how many goroutines merge, each its part of the keys.
	mergersMax = 4
)

// tombstone deletes [start, end) in what is older than its run.
type tombstone struct {
	start, end []byte
	run        int
}

// mergeRuns puts the runs of a chain, oldest first, together and adds them to the database, which holds the base and nothing since. Taken in
// one by one they would be as many layers, to be looked through at every read.
func (s *Store) mergeRuns(runs []string, opts *cpebble.Options) error {
	if len(runs) == 0 {
		return nil
	}
	m := &merge{s: s, opts: opts}
	defer m.close()
	for i, path := range runs {
		if err := m.open(i, path); err != nil {
			return fmt.Errorf("open run %s: %w", filepath.Base(path), err)
		}
	}
	sorting.By(m.dead, func(a, b tombstone) int { return bytes.Compare(a.start, b.start) })
	bounds := m.bounds(min(mergersMax, max(len(runs)/2, 1)))
	outs := make([][]string, len(bounds)-1)
	var g errgroup.Group
	for i := range outs {
		g.Go(func() (err error) {
			outs[i], err = m.part(i, bounds[i], bounds[i+1])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("merge runs: %w", err)
	}
	if paths := slices.Concat(outs...); len(paths) > 0 {
		if err := s.db.Ingest(context.Background(), paths); err != nil {
			return fmt.Errorf("take in merged runs: %w", err)
		}
	}
	return nil
}

// merge is the runs being put together.
type merge struct {
	s       *Store
	opts    *cpebble.Options
	readers []*sstable.Reader
	// dead are the tombstones of all runs, by start.
	dead []tombstone
	// lo and hi are the key groups that the runs have, hi inclusive.
	lo, hi uint16
	any    bool
}

func (m *merge) close() {
	for _, r := range m.readers {
		_ = r.Close() // only read
	}
}

func (m *merge) open(run int, path string) error {
	f, err := vfs.Default.Open(path)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r, err := sstable.NewReader(context.Background(), readable, m.opts.MakeReaderOptions())
	if err != nil {
		return err // NewReader has closed it
	}
	m.readers = append(m.readers, r)
	return errors.Join(m.tombstones(run, r), m.groups(r))
}

func (m *merge) tombstones(run int, r *sstable.Reader) error {
	it, err := r.NewRawRangeDelIter(context.Background(), sstable.NoFragmentTransforms, sstable.NoReadEnv)
	if err != nil || it == nil {
		return err
	}
	defer it.Close()
	span, err := it.First()
	for ; span != nil && err == nil; span, err = it.Next() {
		m.dead = append(m.dead, tombstone{bytes.Clone(span.Start), bytes.Clone(span.End), run})
		m.meet(span.Start)
		m.meet(span.End)
	}
	return err
}

// groups finds the range of key groups of a run.
func (m *merge) groups(r *sstable.Reader) (err error) {
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if kv := it.First(); kv != nil {
		m.meet(kv.K.UserKey)
	}
	if kv := it.Last(); kv != nil {
		m.meet(kv.K.UserKey)
	}
	return it.Error()
}

func (m *merge) meet(key []byte) {
	var g [2]byte
	copy(g[:], key)
	n := binary.BigEndian.Uint16(g[:])
	if !m.any {
		m.lo, m.hi, m.any = n, n, true
	}
	m.lo, m.hi = min(m.lo, n), max(m.hi, n)
}

// bounds divides the key groups into up to n parts: the first and the last of what it returns are open, nil.
func (m *merge) bounds(n int) [][]byte {
	out := [][]byte{nil}
	width := int(m.hi) - int(m.lo) + 1
	for i := 1; i < n; i++ {
		at := uint16(int(m.lo) + width*i/n) //nolint:gosec // at most hi
		if b := binary.BigEndian.AppendUint16(nil, at); at > m.lo && !bytes.Equal(b, out[len(out)-1]) {
			out = append(out, b)
		}
	}
	return append(out, nil)
}

// source is a run at its next key, valid until the next step.
type source struct {
	run        int
	it         sstable.Iterator
	key, value []byte
	kind       cpebble.InternalKeyKind
}

// seek goes to the first key from lower on, next to the one after. ok is false at the end.
func (s *source) seek(lower []byte) (ok bool, err error) {
	kv := s.it.SeekGE(lower, 0)
	if kv == nil {
		return false, s.it.Error()
	}
	s.key, s.kind = kv.K.UserKey, kv.Kind()
	s.value, _, err = kv.Value(nil)
	return err == nil, err
}

func (s *source) next() (ok bool, err error) {
	kv := s.it.Next()
	if kv == nil {
		return false, s.it.Error()
	}
	s.key, s.kind = kv.K.UserKey, kv.Kind()
	s.value, _, err = kv.Value(nil)
	return err == nil, err
}

// before: by key, and of one key the newest first.
func (s *source) before(o *source) bool {
	if c := bytes.Compare(s.key, o.key); c != 0 {
		return c < 0
	}
	return s.run > o.run
}

// sources is a heap.
type sources []*source

// down restores the order after element i has moved on.
func (h sources) down(i int) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(h); c++ {
			if h[c].before(h[least]) {
				least = c
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

// step moves the first source on.
func (h *sources) step() error {
	ok, err := (*h)[0].next()
	if err != nil {
		return err
	}
	if !ok {
		last := len(*h) - 1
		if err := (*h)[0].it.Close(); err != nil {
			return err
		}
		(*h)[0] = (*h)[last]
		*h = (*h)[:last]
	}
	h.down(0)
	return nil
}

// sources opens those that have keys in [lower, upper).
func (m *merge) sources(lower, upper []byte) (h sources, err error) {
	for run, r := range m.readers {
		it, err := r.NewIter(sstable.NoTransforms, lower, upper, sstable.AssertNoBlobHandles)
		if err != nil {
			return h, err
		}
		s := &source{run: run, it: it}
		ok, err := s.seek(lower)
		if err != nil || !ok {
			if err = errors.Join(err, it.Close()); err != nil {
				return h, err
			}
			continue
		}
		h = append(h, s)
	}
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
	return h, nil
}

// part merges the keys of [lower, upper) and returns the tables that it has written, in order.
func (m *merge) part(n int, lower, upper []byte) (paths []string, err error) {
	h, err := m.sources(lower, upper)
	defer func() {
		for _, s := range h {
			err = errors.Join(err, s.it.Close())
		}
	}()
	if err != nil {
		return nil, err
	}
	w := &merged{m: m, prefix: filepath.Join(m.s.o.Dir, "merged-"+strconv.Itoa(n)+"-"), dead: clip(m.dead, lower, upper)}
	cover := covers{rest: m.dead}
	var key []byte
	for len(h) > 0 {
		key = append(key[:0], h[0].key...)
		kind, value, err := m.fold(&h, key, &cover)
		if err == nil {
			err = w.add(kind, key, value)
		}
		if err != nil {
			return nil, errors.Join(err, w.abandon())
		}
	}
	return w.finish()
}

// fold steps over all that the runs have of a key and returns what it comes to, with kind InternalKeyKindInvalid for nothing.
func (m *merge) fold(h *sources, key []byte, cover *covers) (kind cpebble.InternalKeyKind, value []byte, err error) {
	kind = cpebble.InternalKeyKindInvalid
	var operands *valueMerger
	newest := cover.newest(key)
	for done := false; len(*h) > 0 && bytes.Equal((*h)[0].key, key); {
		s := (*h)[0]
		done = done || s.run < newest
		switch {
		case done:
		case s.kind == cpebble.InternalKeyKindMerge && operands == nil:
			operands = &valueMerger{f: m.s.mergeFunc(), key: key, acc: bytes.Clone(s.value)}
			kind = cpebble.InternalKeyKindMerge
		case s.kind == cpebble.InternalKeyKindMerge:
			err = operands.MergeOlder(s.value)
		case s.kind == cpebble.InternalKeyKindSet || s.kind == cpebble.InternalKeyKindSetWithDelete:
			kind, done = cpebble.InternalKeyKindSet, true
			if operands == nil {
				value = append(value[:0], s.value...)
			} else {
				err = operands.MergeOlder(s.value)
			}
		case s.kind == cpebble.InternalKeyKindDelete || s.kind == cpebble.InternalKeyKindDeleteSized || s.kind == cpebble.InternalKeyKindSingleDelete:
			done = true
			if kind = cpebble.InternalKeyKindDelete; operands != nil {
				kind = cpebble.InternalKeyKindSet
			}
		default:
			err = fmt.Errorf("key %x of kind %v", key, s.kind)
		}
		if err == nil {
			err = h.step()
		}
		if err != nil {
			return kind, nil, err
		}
	}
	if operands != nil {
		value = operands.acc
	}
	return kind, value, nil
}

// covers are the tombstones over a key that moves up.
type covers struct {
	rest, active []tombstone
}

// newest is the newest run with a tombstone over key, -1 for none.
func (c *covers) newest(key []byte) int {
	for len(c.rest) > 0 && bytes.Compare(c.rest[0].start, key) <= 0 {
		c.active = append(c.active, c.rest[0])
		c.rest = c.rest[1:]
	}
	c.active = slices.DeleteFunc(c.active, func(t tombstone) bool { return bytes.Compare(t.end, key) <= 0 })
	n := -1
	for _, t := range c.active {
		n = max(n, t.run)
	}
	return n
}

// clip returns what sorted tombstones cover of [lower, upper), as ranges that do not overlap.
func clip(dead []tombstone, lower, upper []byte) (out []tombstone) {
	for _, t := range dead {
		if bytes.Compare(t.start, lower) < 0 {
			t.start = lower
		}
		if upper != nil && bytes.Compare(t.end, upper) > 0 {
			t.end = upper
		}
		if n := len(out); n > 0 && bytes.Compare(t.start, out[n-1].end) <= 0 {
			if bytes.Compare(t.end, out[n-1].end) > 0 {
				out[n-1].end = t.end
			}
			continue
		}
		if bytes.Compare(t.start, t.end) < 0 {
			out = append(out, t)
		}
	}
	return out
}

// merged writes tables that the database can take in.
type merged struct {
	m      *merge
	prefix string
	paths  []string
	w      *sstable.Writer
	bytes  int
	// dead is what has still to be deleted.
	dead []tombstone
}

func (w *merged) open() error {
	if w.w != nil {
		return nil
	}
	path := w.prefix + strconv.Itoa(len(w.paths))
	f, err := w.m.opts.FS.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	w.paths = append(w.paths, path)
	w.w, w.bytes = sstable.NewWriter(objstorageprovider.NewFileWritable(f), w.m.opts.MakeWriterOptions(0, w.m.s.db.TableFormat())), 0
	return nil
}

func (w *merged) add(kind cpebble.InternalKeyKind, key, value []byte) error {
	if kind == cpebble.InternalKeyKindInvalid {
		return nil
	}
	if w.bytes >= mergedBytes {
		if err := w.cut(key); err != nil {
			return err
		}
	}
	if err := w.open(); err != nil {
		return err
	}
	w.bytes += len(key) + len(value)
	if kind == cpebble.InternalKeyKindSet {
		return w.w.Set(key, value)
	}
	if kind == cpebble.InternalKeyKindMerge {
		return w.w.Merge(key, value)
	}
	return w.w.Delete(key)
}

// cut ends a table with what is to be deleted before key.
func (w *merged) cut(key []byte) error {
	for len(w.dead) > 0 && (key == nil || bytes.Compare(w.dead[0].start, key) < 0) {
		t := w.dead[0]
		if key != nil && bytes.Compare(t.end, key) > 0 {
			w.dead[0].start = bytes.Clone(key)
			t.end = w.dead[0].start
		} else {
			w.dead = w.dead[1:]
		}
		if err := w.w.DeleteRange(t.start, t.end); err != nil {
			return err
		}
	}
	err := w.w.Close()
	w.w = nil
	return err
}

func (w *merged) finish() ([]string, error) {
	if len(w.dead) > 0 {
		if err := w.open(); err != nil {
			return nil, err
		}
	}
	if w.w == nil {
		return w.paths, nil
	}
	return w.paths, w.cut(nil)
}

// abandon closes what is open; the directory goes with the store.
func (w *merged) abandon() error {
	if w.w == nil {
		return nil
	}
	return w.w.Close()
}
