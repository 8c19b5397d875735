package pebble

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	cpebble "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/internal/sorting"
)

// While all state is in its operator's memory nobody reads a store: it is there for checkpoints only. Such a store keeps its database empty and makes
// what it is told runs of the chain at once: there is no memtable, and no compaction, which together are two thirds of what a checkpoint costs otherwise.
// The first read puts the runs into the database, see attach, and from then on the store is an ordinary one, until its operator says in Refill that it has
// everything in memory again.
//
// The base of such a chain is an empty database, the same one each time; then come a run with everything, and runs with what has changed.

// direct is what has been written since the last run.
type direct struct {
	w state.Writes
	// dead are the ranges deleted.
	dead []deletion
	// base is the empty database, made with the first chain.
	base *generation
	// anew: the next run begins a chain.
	anew bool
	// whole: what is written until the next snapshot is everything there is.
	whole bool
}

// deletion deletes [start, end) in older runs, and in the first at writes of its own.
type deletion struct {
	start, end []byte
	at         int
}

// wholeSuffix ends the names of runs that have everything.
const wholeSuffix = ".all" + runSuffix

// writeBytes is what a write takes beside its key and value, until it is in a run.
const writeBytes = 48

var _ state.Refiller = (*Store)(nil)

// newDirect is of a store that has nothing yet.
func newDirect() *direct { return &direct{anew: true, whole: true} }

// Refill implements state.Refiller.
func (s *Store) Refill(changed, all int) (bool, error) {
	const entryBytes = 32 // as long as nothing is known
	next := s.chain.estimate(int64(all), entryBytes)
	if 3*int64(changed) < 2*int64(all) && !s.rebase && !s.chain.full(s.written, next) {
		return false, nil
	}
	if s.direct == nil {
		if err := s.detach(); err != nil {
			return false, fmt.Errorf("empty state: %w", err)
		}
	}
	d := s.direct
	d.w.Reset()
	d.dead = d.dead[:0]
	d.anew, d.whole = true, true
	return true, nil
}

// detach replaces the database by an empty one. Snapshots have links of their own.
func (s *Store) detach() error {
	if err := s.db.Close(); err != nil {
		return err
	}
	s.db = nil
	if err := os.RemoveAll(s.o.Dir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.o.Dir, 0o755); err != nil {
		return err
	}
	s.reopened++
	s.names, s.rebase = nil, false
	if err := s.openDB(); err != nil {
		return err
	}
	s.direct = newDirect()
	return nil
}

// attach puts what was written into the database, for a read. It does nothing when that is done.
func (s *Store) attach() error {
	if s.direct == nil {
		return nil
	}
	var err error
	if s.direct.anew && s.chain.bytes() > 0 { // what is in the chain has been given up
		err = s.beginDirect()
	}
	if err == nil {
		err = s.cut()
	}
	if err == nil {
		err = s.mergeRuns(s.chain.runs(), s.opts)
	}
	if err == nil {
		err = s.h.failed()
	}
	if err != nil {
		return fmt.Errorf("gather state: %w", err)
	}
	base := s.direct.base
	s.direct = nil
	return s.chain.release(base)
}

// applyDirect takes writes that are no merges.
func (s *Store) applyDirect(w *state.Writes) error {
	d := s.direct
	for i := range w.Len() {
		d.w.Add(w.At(i))
	}
	if int64(d.w.SizeBytes())+writeBytes*int64(d.w.Len()) >= s.memTable {
		if err := s.cut(); err != nil {
			return err
		}
	}
	return s.h.failed()
}

func hasMerge(w *state.Writes) bool {
	for i := range w.Len() {
		if op, _, _ := w.At(i); op == state.OpMerge {
			return true
		}
	}
	return false
}

// deleteDirect deletes [lower, upper).
func (s *Store) deleteDirect(lower, upper []byte) error {
	d := s.direct
	d.dead = append(d.dead, deletion{bytes.Clone(lower), bytes.Clone(upper), d.w.Len()})
	if int64(len(d.dead))*writeBytes >= s.memTable {
		return s.cut()
	}
	return nil
}

// snapshotDirect makes the last run, and says that what comes now comes on top.
func (s *Store) snapshotDirect() error {
	d := s.direct
	if d.anew {
		if err := s.beginDirect(); err != nil {
			return err
		}
	}
	if err := s.cut(); err != nil {
		return err
	}
	if d.whole {
		s.written, d.whole = 0, false
	}
	return nil
}

// beginDirect begins a chain on the empty database.
func (s *Store) beginDirect() error {
	d := s.direct
	if d.base == nil {
		g, err := s.makeBase("empty")
		if err != nil {
			return err
		}
		d.base = g
	}
	g, err := s.chain.begin()
	if err == nil {
		err = g.share(d.base)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(g.dir))
	}
	d.anew = false
	return s.chain.adopt(g)
}

// cut makes a run of what is there.
func (s *Store) cut() error {
	d := s.direct
	if d.w.Len() == 0 && len(d.dead) == 0 {
		return nil
	}
	if d.anew {
		if err := s.beginDirect(); err != nil {
			return err
		}
	}
	dir, name := s.chain.next(d.whole)
	size, err := s.writeRun(filepath.Join(dir, name))
	if err == nil {
		err = s.h.failed()
	}
	if err != nil {
		return fmt.Errorf("write run: %w", err)
	}
	s.chain.add(state.SnapshotFile{Name: name, SizeBytes: size}, d.whole, d.w.Len())
	d.w.Reset()
	d.dead = d.dead[:0]
	return nil
}

// runBlockBytes: runs are read from end to end only.
const runBlockBytes = 32 << 10

// writeRun writes a table of the last write of each key, and of the deletions, and returns its size.
func (s *Store) writeRun(path string) (size int64, err error) {
	f, err := s.opts.FS.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return 0, err
	}
	o := s.opts.MakeWriterOptions(0, s.db.TableFormat())
	o.FilterPolicy = cpebble.NoFilterPolicy
	o.BlockSize, o.IndexBlockSize = runBlockBytes, runBlockBytes
	t := sstable.NewWriter(objstorageprovider.NewFileWritable(f), o)
	if err := s.direct.writeTo(t, s.sorted(&s.direct.w)); err != nil {
		return 0, errors.Join(err, t.Close())
	}
	if err := t.Close(); err != nil {
		return 0, err
	}
	m, err := t.Metadata()
	if err != nil {
		return 0, err
	}
	return int64(m.Size), nil //nolint:gosec // below 2^63
}

func (d *direct) writeTo(t *sstable.Writer, sorted []order) error {
	sorting.StableBy(d.dead, func(a, b deletion) int { return bytes.Compare(a.start, b.start) })
	var active []deletion
	rest := d.dead
	for n, o := range sorted {
		op, key, value := d.w.At(int(o.at))
		if n+1 < len(sorted) && sorted[n+1].prefix == o.prefix {
			if _, next, _ := d.w.At(int(sorted[n+1].at)); bytes.Equal(key, next) {
				continue // there is a later write
			}
		}
		if len(d.dead) > 0 {
			for len(rest) > 0 && bytes.Compare(rest[0].start, key) <= 0 {
				active = append(active, rest[0])
				rest = rest[1:]
			}
			active = slices.DeleteFunc(active, func(x deletion) bool { return bytes.Compare(x.end, key) <= 0 })
			if slices.ContainsFunc(active, func(x deletion) bool { return x.at > int(o.at) }) {
				continue
			}
		}
		var err error
		if op == state.OpDelete {
			err = t.Delete(key)
		} else {
			err = t.Set(key, value)
		}
		if err != nil {
			return err
		}
	}
	return d.deletions(t)
}

// deletions writes what was deleted as ranges that do not overlap.
func (d *direct) deletions(t *sstable.Writer) error {
	for i := 0; i < len(d.dead); {
		start, end := d.dead[i].start, d.dead[i].end
		for i++; i < len(d.dead) && bytes.Compare(d.dead[i].start, end) <= 0; i++ {
			end = slices.MaxFunc([][]byte{end, d.dead[i].end}, bytes.Compare)
		}
		if err := t.DeleteRange(start, end); err != nil {
			return err
		}
	}
	return nil
}

// order is a write of a batch, by the beginning of its key.
type order struct {
	prefix uint64
	at     int32
}

func (a order) compare(b order, w *state.Writes) int {
	if a.prefix != b.prefix {
		return cmp.Compare(a.prefix, b.prefix)
	}
	_, x, _ := w.At(int(a.at))
	_, y, _ := w.At(int(b.at))
	return cmp.Or(bytes.Compare(x, y), cmp.Compare(a.at, b.at))
}

// radixLeast is from how many writes on a pass over the key groups pays.
const radixLeast = 4096

// byKeyGroup puts writes into the order of their key groups, each after those that came before it. Then what is left to sort is in short stretches.
func (s *Store) byKeyGroup(in []order) []order {
	if len(in) < radixLeast {
		return in
	}
	const shift = 64 - 16
	first, last := in[0].prefix>>shift, in[0].prefix>>shift
	for _, o := range in {
		first, last = min(first, o.prefix>>shift), max(last, o.prefix>>shift)
	}
	places := make([]int32, last-first+2)
	for _, o := range in {
		places[o.prefix>>shift-first+1]++
	}
	for i := 1; i < len(places); i++ {
		places[i] += places[i-1]
	}
	s.spare = slices.Grow(s.spare[:0], len(in))[:len(in)]
	for _, o := range in {
		at := &places[o.prefix>>shift-first]
		s.spare[*at] = o
		*at++
	}
	return s.spare
}
