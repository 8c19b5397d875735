package pebble

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	cpebble "github.com/cockroachdb/pebble/v2"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
)

// snapshot is a directory of hard links.
type snapshot struct {
	dir   string
	files []state.SnapshotFile
	// plain maps a listed name to the file's own.
	plain map[string]string
}

// Snapshot implements state.Store: it flushes the memtable, as there is no log to hold it, and links the table files into a directory
// beside the store's. A table file is listed under the same name in every snapshot of its life, other files under names of the epoch's own.
// Nothing but the database's own files is in it, so that it is the form of savepoints; see SnapshotIncrement for what checkpoints take.
func (s *Store) Snapshot(epoch stream.Epoch) (state.Snapshot, error) {
	if err := errors.Join(s.attach(), s.flush()); err != nil {
		return nil, fmt.Errorf("snapshot state at epoch %d: %w", epoch, err)
	}
	e := strconv.FormatUint(uint64(epoch), 10)
	dir := s.o.Dir + ".epoch-" + e
	if err := os.RemoveAll(dir); err != nil { // of an attempt that was cut short
		return nil, fmt.Errorf("snapshot state at epoch %d: %w", epoch, err)
	}
	if err := s.db.Checkpoint(dir); err != nil {
		return nil, fmt.Errorf("snapshot state at epoch %d: %w", epoch, err)
	}
	snap := &snapshot{dir: dir, plain: map[string]string{}}
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("snapshot state at epoch %d: %w", epoch, err), snap.Close())
	}
	for _, f := range list {
		info, err := f.Info()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("snapshot state at epoch %d: %w", epoch, err), snap.Close())
		}
		name := s.listed(f.Name(), e)
		snap.plain[name] = f.Name()
		snap.files = append(snap.files, state.SnapshotFile{Name: name, SizeBytes: info.Size()})
	}
	if err := s.h.failed(); err != nil {
		return nil, errors.Join(fmt.Errorf("snapshot state at epoch %d: %w", epoch, err), snap.Close())
	}
	return snap, nil
}

// listed is the name under which a snapshot lists a file.
func (s *Store) listed(plain, epoch string) string {
	instance := s.o.Instance
	if s.reopened > 0 { // the numbers of tables have begun anew
		instance += "-db" + strconv.Itoa(s.reopened)
	}
	if !isTable(plain) {
		return instance + "-" + epoch + sep + plain
	}
	if n, ok := s.names[plain]; ok {
		return n
	}
	return instance + sep + plain
}

func (s *snapshot) Files() []state.SnapshotFile { return s.files }

// Open implements state.Snapshot.
func (s *snapshot) Open(name string) (io.ReadCloser, error) {
	plain, ok := s.plain[name]
	if !ok {
		return nil, fmt.Errorf("open %s of a snapshot: %w", name, os.ErrNotExist)
	}
	f, err := os.Open(filepath.Join(s.dir, plain))
	if err != nil {
		return nil, fmt.Errorf("open file of a snapshot: %w", err)
	}
	return f, nil
}

// Close implements state.Snapshot.
func (s *snapshot) Close() error {
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("close snapshot: %w", err)
	}
	return nil
}

// flush writes the memtable out: there is no log to hold it.
func (s *Store) flush() error {
	if err := s.db.Flush(); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return s.h.failed()
}

// mergeFunc is the store's, or one that fails.
func (s *Store) mergeFunc() state.MergeFunc { return orNoMerge(s.o.Merge) }

func orNoMerge(f state.MergeFunc) state.MergeFunc {
	if f == nil {
		return func([]byte, []byte, []byte, []byte) ([]byte, error) { return nil, errNoMerge }
	}
	return f
}

// merger wraps a merge function. Its name is in the files: it stays the same with and without one.
func merger(f state.MergeFunc) *cpebble.Merger {
	f = orNoMerge(f)
	return &cpebble.Merger{
		Name: "bramble",
		Merge: func(key, value []byte) (cpebble.ValueMerger, error) {
			return &valueMerger{f: f, key: append([]byte(nil), key...), acc: append([]byte(nil), value...)}, nil
		},
	}
}

// valueMerger folds the operands of one key.
type valueMerger struct {
	f               state.MergeFunc
	key, acc, spare []byte
}

func (m *valueMerger) MergeNewer(value []byte) error { return m.fold(m.acc, value) }
func (m *valueMerger) MergeOlder(value []byte) error { return m.fold(value, m.acc) }

func (m *valueMerger) fold(older, newer []byte) error {
	v, err := m.f(m.spare[:0], m.key, older, newer)
	if err != nil {
		return fmt.Errorf("merge key %x: %w", m.key, err)
	}
	m.spare, m.acc = m.acc, v
	return nil
}

func (m *valueMerger) Finish(bool) ([]byte, io.Closer, error) { return m.acc, nil, nil }
