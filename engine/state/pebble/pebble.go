// Package pebble is the state store on disk: Pebble without a write-ahead log, since what makes state durable is the checkpoint, not the
// local disk. It knows nothing of what keys and values mean beyond the key group that a key begins with.
package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	cpebble "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
)

// Options say where a store is and what it may use.
type Options struct {
	// Dir is the store's own directory, made if missing. When it holds the files of a snapshot, under the names that the snapshot
	// listed, the store opens with that content.
	Dir string
	// Instance distinguishes this store from all others, earlier attempts included, whose snapshots go to the same place: files of different
	// content then never share a name. It must not hold a slash.
	Instance string
	// Merge is for OpMerge, or nil. It may be called on other goroutines, several at a time.
	Merge state.MergeFunc
	// MemoryBytes bounds memtables and block cache together; 0 means DefaultMemoryBytes. Compactions take about 2 MiB beside.
	MemoryBytes int64
	// Keep leaves Dir in place at Close.
	Keep bool
	Log  *slog.Logger
	// FS is for tests; nil means the system's. Links of incremental snapshots go past it.
	FS vfs.FS
}

// DefaultMemoryBytes is for a task of a 256 MiB taskmanager with a few stateful tasks.
const DefaultMemoryBytes = 16 << 20

// MinMemoryBytes is the least that Pebble works well with.
const MinMemoryBytes = 2 << 20

// Store is a state.Store over one Pebble database.
type Store struct {
	o  Options
	db *cpebble.DB
	// names maps a table file that came with a restored snapshot to the name that the snapshot listed it under.
	names map[string]string
	h     *health
	chain *chain
	// rebase has the next incremental snapshot begin with a base: much of the present one is not wanted any more.
	rebase bool
	// written are the bytes of keys and values since the present base.
	written int64
	// direct is what nobody has read yet, nil once somebody has; see direct.go.
	direct *direct
	// opts are the database's, memTable is how large its memtable gets. reopened counts the databases before this one.
	opts     *cpebble.Options
	memTable int64
	reopened int
	// order and spare are scratch of sorted.
	order, spare []order
}

var (
	_ state.Store       = (*Store)(nil)
	_ state.Importer    = (*Store)(nil)
	_ state.Incremental = (*Store)(nil)
	_ state.Iterator    = (*iterator)(nil)
	_ state.Snapshot    = (*snapshot)(nil)
)

// Open opens the store in o.Dir.
func Open(o Options) (*Store, error) {
	if strings.ContainsAny(o.Instance, `/\`) {
		return nil, fmt.Errorf("open state: instance %q holds a slash", o.Instance)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	s := &Store{o: o, h: &health{}, chain: newChain(o.Dir, o.Instance)}
	before, err := os.ReadDir(o.Dir)
	var runs []string
	if err == nil {
		runs, s.names, err = s.chain.takeUp(o.Dir, before)
	}
	if err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	if err := s.openDB(); err != nil {
		return nil, errors.Join(fmt.Errorf("open state in %s: %w", o.Dir, err), s.chain.close())
	}
	if len(before) == 0 && !o.Keep {
		s.direct = newDirect()
		return s, nil
	}
	s.written = s.chain.mu.cur.bytesOfRuns() // about
	if err = s.mergeRuns(runs, s.opts); err == nil {
		err = s.h.failed()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open state in %s: %w", o.Dir, err), s.Close())
	}
	return s, nil
}

func (s *Store) openDB() (err error) {
	opts, cache := s.pebble()
	defer cache.Unref()                                 // the database keeps its own reference
	s.opts, s.memTable = opts, int64(opts.MemTableSize) //nolint:gosec // at most 64 MiB
	s.db, err = cpebble.Open(s.o.Dir, opts)
	return err
}

// pebble sizes Pebble's options from the budget: a quarter each for the active memtable and one being flushed, the rest for blocks. Pebble takes memtables
// out of the cache's size, so the cache is given all of it.
func (s *Store) pebble() (*cpebble.Options, *cpebble.Cache) {
	o := s.o
	mem := o.MemoryBytes
	if mem <= 0 {
		mem = DefaultMemoryBytes
	}
	mem = max(mem, MinMemoryBytes)
	cache := cpebble.NewCache(mem)
	opts := &cpebble.Options{
		FS:         stateFS{o.FS, s.h},
		Cache:      cache,
		DisableWAL: true,
		// 64 MiB is where larger memtables stop paying on an SD card.
		MemTableSize:                uint64(min(mem/4, 64<<20)),
		MemTableStopWritesThreshold: 2,
		// Fewer, larger runs in L0: state is written in bursts and mostly read in ranges. Eight instead of four: benchmarks/README.md.
		L0CompactionThreshold:      8,
		L0StopWritesThreshold:      24,
		LBaseMaxBytes:              16 << 20,
		MaxOpenFiles:               256,
		FormatMajorVersion:         formatVersion,
		Logger:                     logger{o.Log, s.h},
		EventListener:              s.chain.listener(s.h),
		Merger:                     merger(o.Merge),
		DisableTableStats:          true,
		NoSyncOnClose:              true,
		CompactionConcurrencyRange: func() (int, int) { return 1, 1 },
	}
	opts.Experimental.CompactionScheduler = newScheduler(s.h)
	for i := range opts.Levels {
		l := &opts.Levels[i]
		// Small blocks, of the index too: a cold key costs one of each, and 4 KiB of both were 1.6 times as fast as 8 and 16.
		l.BlockSize = 4 << 10
		l.IndexBlockSize = 4 << 10
		l.FilterPolicy = bloom.FilterPolicy(10)
		l.FilterType = cpebble.TableFilter
	}
	// Small tables at every level: a table's filter is one block, which has to fit into a part of the cache.
	for i := range opts.TargetFileSizes {
		opts.TargetFileSizes[i] = 2 << 20
	}
	opts.EnsureDefaults()
	return opts, cache
}

// formatVersion is fixed, so that snapshots taken by this version are read by the next.
const formatVersion = cpebble.FormatFlushableIngest

// sep ends the prefix that makes a file's name unique in a snapshot. Pebble's own names have none, so the last one is ours.
const sep = "_"

func isTable(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

// Get implements state.Store.
func (s *Store) Get(key []byte) ([]byte, io.Closer, error) {
	if err := s.h.failed(); err != nil {
		return nil, nil, fmt.Errorf("read state: %w", err)
	}
	if err := s.attach(); err != nil {
		return nil, nil, err
	}
	v, closer, err := s.db.Get(key)
	if errors.Is(err, cpebble.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read state key %x: %w", key, err)
	}
	return v, closer, nil
}

// Apply implements state.Store.
func (s *Store) Apply(w *state.Writes) error {
	if w.Len() == 0 {
		return nil
	}
	s.written += int64(w.SizeBytes())
	if s.direct != nil {
		if !hasMerge(w) {
			if err := s.applyDirect(w); err != nil {
				return fmt.Errorf("write state: %w", err)
			}
			return nil
		}
		if err := s.attach(); err != nil {
			return err
		}
	}
	b := s.db.NewBatchWithSize(w.SizeBytes() + 16*w.Len())
	for _, o := range s.sorted(w) {
		var err error
		switch op, key, value := w.At(int(o.at)); op {
		case state.OpSet:
			err = b.Set(key, value, nil)
		case state.OpDelete:
			err = b.Delete(key, nil)
		case state.OpMerge:
			if s.o.Merge == nil {
				err = errNoMerge
			} else {
				err = b.Merge(key, value, nil)
			}
		}
		if err != nil {
			return errors.Join(fmt.Errorf("write state: %w", err), b.Close())
		}
	}
	err := s.db.Apply(b, cpebble.NoSync)
	if err = errors.Join(err, b.Close(), s.h.failed()); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

// sorted returns the writes in the order of their keys, those of one key as they came: hot tables are in the order of hashes, and sorted the memtable
// takes them in half the time and is written out in half (100,000 keys in batches of 256 KiB: 36 % less CPU a checkpoint, compactions included).
func (s *Store) sorted(w *state.Writes) []order {
	n := w.Len()
	s.order = slices.Grow(s.order[:0], n)[:n]
	for i := range s.order {
		_, key, _ := w.At(i)
		var p [8]byte
		copy(p[:], key)
		s.order[i] = order{binary.BigEndian.Uint64(p[:]), int32(i)} //nolint:gosec // a batch is well below 1 GiB
	}
	sorted := s.byKeyGroup(s.order)
	slices.SortFunc(sorted, func(a, b order) int { return a.compare(b, w) })
	return sorted
}

var errNoMerge = errors.New("merge in a store without a merge function")

type iterator struct {
	it      *cpebble.Iterator
	value   []byte
	err     error
	started bool
}

// Iter implements state.Store.
func (s *Store) Iter(lower, upper []byte) (state.Iterator, error) {
	if len(lower) == 0 {
		lower = nil // Pebble takes an empty bound for a key to seek to
	}
	if err := s.h.failed(); err != nil {
		return nil, fmt.Errorf("iterate state: %w", err)
	}
	if err := s.attach(); err != nil {
		return nil, err
	}
	it, err := s.db.NewIter(&cpebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, fmt.Errorf("iterate state: %w", err)
	}
	return &iterator{it: it}, nil
}

// Next implements state.Iterator.
func (i *iterator) Next() bool {
	if i.err != nil {
		return false
	}
	var ok bool
	if i.started {
		ok = i.it.Next()
	} else {
		i.started = true
		ok = i.it.First()
	}
	if !ok {
		i.err = i.it.Error()
		return false
	}
	i.value, i.err = i.it.ValueAndErr()
	return i.err == nil
}

func (i *iterator) Key() []byte   { return i.it.Key() }
func (i *iterator) Value() []byte { return i.value }

// Err implements state.Iterator.
func (i *iterator) Err() error {
	if i.err != nil {
		return fmt.Errorf("iterate state: %w", i.err)
	}
	return nil
}

// Close implements state.Iterator.
func (i *iterator) Close() error {
	// Pebble repeats the iterator's error here; Err has said it.
	if err := i.it.Close(); err != nil && i.err == nil {
		return fmt.Errorf("close state iterator: %w", err)
	}
	return nil
}

// DeleteRange implements state.Store.
func (s *Store) DeleteRange(lower, upper []byte) error {
	if len(lower) == 0 {
		// In a table file Pebble takes a range deletion that begins with the empty key for none at all, and a Get finds a wrong one. All keys begin
		// with two bytes of a key group.
		lower = []byte{0, 0}
	}
	if string(lower) >= string(upper) {
		return nil
	}
	if s.direct != nil {
		if err := s.deleteDirect(lower, upper); err != nil {
			return fmt.Errorf("delete state range: %w", err)
		}
		return nil
	}
	if err := s.db.DeleteRange(lower, upper, cpebble.NoSync); err != nil {
		return fmt.Errorf("delete state range: %w", err)
	}
	return nil
}

// SizeBytes implements state.Store.
func (s *Store) SizeBytes() int64 {
	m := s.db.Metrics()
	total := m.Total()
	size := int64(m.MemTable.Size) + total.TablesSize //nolint:gosec // below 2^63
	if s.direct != nil {
		size += s.chain.bytes() + int64(s.direct.w.SizeBytes())
	}
	return size
}

// Close implements state.Store. Snapshots that are still open keep their files.
func (s *Store) Close() error {
	var err error
	if s.db != nil { // nil: it could not be opened again
		err = s.db.Close()
	}
	if s.direct != nil {
		err = errors.Join(err, s.chain.release(s.direct.base))
	}
	err = errors.Join(err, s.chain.close())
	if !s.o.Keep {
		err = errors.Join(err, os.RemoveAll(s.o.Dir))
	}
	if err != nil {
		return fmt.Errorf("close state: %w", err)
	}
	return nil
}

// Retain implements state.Importer.
func (s *Store) Retain(r stream.KeyRange) error {
	if err := s.attach(); err != nil {
		return err
	}
	s.rebase = true
	lo := binary.BigEndian.AppendUint16(nil, uint16(r.First))
	hi := binary.BigEndian.AppendUint16(nil, uint16(r.Limit))
	if err := s.DeleteRange(nil, lo); err != nil {
		return err
	}
	return s.DeleteRange(hi, []byte{0xff, 0xff, 0xff})
}

// Import implements state.Importer. It reads and writes everything: where one snapshot has all that the store needs, open
// the store on its files and Retain.
func (s *Store) Import(dir string, r stream.KeyRange) (err error) {
	src, err := Open(Options{Dir: dir, Instance: s.o.Instance, Merge: s.o.Merge, MemoryBytes: MinMemoryBytes, Log: s.o.Log})
	if err != nil {
		return fmt.Errorf("import state: %w", err)
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	if err := s.attach(); err != nil {
		return err
	}
	s.rebase = true
	lo := binary.BigEndian.AppendUint16(nil, uint16(r.First))
	hi := binary.BigEndian.AppendUint16(nil, uint16(r.Limit))
	it, err := src.Iter(lo, hi)
	if err != nil {
		return fmt.Errorf("import state: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var w state.Writes
	for it.Next() {
		w.Add(state.OpSet, it.Key(), it.Value())
		if w.SizeBytes() >= importBytes {
			if err := s.Apply(&w); err != nil {
				return err
			}
			w.Reset()
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("import state: %w", err)
	}
	return s.Apply(&w)
}

// importBytes is how much Import writes at a time.
const importBytes = 256 << 10
