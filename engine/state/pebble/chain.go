package pebble

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	cpebble "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/internal/sorting"
)

// Incremental snapshots list a base and the runs since: the base is all files of the database at one snapshot, a run is what one flush of
// the memtable wrote afterwards, sorted. Pebble's compactions, which rewrite all state again and again, stay at home: they change neither.
// What a snapshot adds is the flushes since the one before, which hold what has changed and nothing else.
//
// When is the next snapshot to begin a new chain, with a base of its own? The earlier, the less there is in storage and to restore; but a base is written
// whole. So: when everything written since the present base began, the next base included, comes to no more than incrementMax of what has changed. Where
// files are no smaller than what is in them that is when the runs are twice the base. In between an increment is a run.
const (
	// incrementTenths is 1.5, as tenths.
	incrementTenths = 15
	// runsPerBase bounds the runs where that does not come to pass, as with values of a few bytes, to which a file adds more than half: storage holds
	// at most 1+runsPerBase times the database, and so does the local disk beside it.
	runsPerBase = 3
	// runsBytesLeast is how much runs may come to however small the base is.
	runsBytesLeast = 1 << 20
	// runsMax bounds the files that a checkpoint lists. Where less than 1 % of the keys change between two checkpoints it makes bases more
	// frequent than the bytes do: a checkpoint then costs up to 1/runsMax of the state beyond what has changed.
	runsMax = 256
)

// runSuffix ends the names of runs: <instance>_<place in the chain, 8 digits>.run, or .all.run
const runSuffix = ".run"

// chain keeps the files that incremental snapshots consist of as hard links beside the database, since Pebble deletes its own when it has
// compacted them. Pebble's goroutines tell it of flushes, and snapshots let go of it after the store has been closed.
type chain struct {
	dir      string
	instance string
	// least is runsBytesLeast, or less in tests.
	least int64
	mu    struct {
		sync.Mutex
		// cur is the chain that the next snapshot goes on with, nil to begin another.
		cur *generation
		// made counts generations, seq runs: both are in names. place is the highest of a restored chain's runs.
		made, seq int
		// written are links to what a flush is writing.
		written map[string]string
		// broken: a run could not be kept.
		broken error
	}
}

// generation is a base and the runs since, in a directory of their own, under the names that snapshots list. It goes when neither the store nor
// a snapshot wants it.
type generation struct {
	dir        string
	refs       int
	base, runs []state.SnapshotFile
	// baseBytes are of base and of runs that have everything, runBytes of the others. entries are the writes in runs that direct has made.
	baseBytes, runBytes int64
	entries             int64
}

// add adds a run.
func (g *generation) add(f state.SnapshotFile, whole bool, entries int) {
	g.runs = append(g.runs, f)
	g.entries += int64(entries)
	if whole {
		g.baseBytes += f.SizeBytes
	} else {
		g.runBytes += f.SizeBytes
	}
}

// share makes base the base of g.
func (g *generation) share(base *generation) error {
	if err := os.MkdirAll(g.dir, 0o755); err != nil {
		return err
	}
	for _, f := range base.base {
		if err := vfs.LinkOrCopy(vfs.Default, filepath.Join(base.dir, f.Name), filepath.Join(g.dir, f.Name)); err != nil {
			return err
		}
	}
	g.base, g.baseBytes = base.base, base.baseBytes
	return nil
}

// next makes the name of a run that the present generation gets.
func (c *chain) next(whole bool) (dir, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.seq++
	suffix := runSuffix
	if whole {
		suffix = wholeSuffix
	}
	return c.mu.cur.dir, fmt.Sprintf("%s%s%08d%s", c.instance, sep, c.mu.seq, suffix)
}

// add adds a run of so many writes that is in the present generation's directory.
func (c *chain) add(f state.SnapshotFile, whole bool, entries int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.cur.add(f, whole, entries)
}

// runs are the paths of the present generation's runs, oldest first.
func (c *chain) runs() (paths []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := c.mu.cur; g != nil {
		for _, f := range g.runs {
			paths = append(paths, filepath.Join(g.dir, f.Name))
		}
	}
	return paths
}

// bytes is what the present generation comes to.
func (c *chain) bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.cur == nil {
		return 0
	}
	return c.mu.cur.baseBytes + c.mu.cur.runBytes
}

// estimate is about how large a run of the number of entries gets, by those there are, or with the given size of one.
func (c *chain) estimate(entries, each int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := c.mu.cur; g != nil && g.entries > 0 {
		each = (g.baseBytes + g.runBytes) / g.entries
	}
	return entries * each
}

// release lets go of a generation that is not the present one.
func (c *chain) release(g *generation) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return g.releaseLocked()
}

func newChain(dir, instance string) *chain {
	c := &chain{dir: dir, instance: instance, least: runsBytesLeast}
	c.mu.written = map[string]string{}
	return c
}

// begin makes an empty generation the present one.
func (c *chain) begin() (*generation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := &generation{dir: c.dir + ".chain-" + strconv.Itoa(c.mu.made), refs: 1}
	c.mu.made++
	return g, os.RemoveAll(g.dir)
}

// adopt makes g, which begin made, the present generation.
func (c *chain) adopt(g *generation) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.mu.cur
	c.mu.cur, c.mu.broken = g, nil
	return old.releaseLocked()
}

// releaseLocked lets go of g; the lock is its chain's.
func (g *generation) releaseLocked() error {
	if g == nil {
		return nil
	}
	if g.refs--; g.refs > 0 {
		return nil
	}
	return os.RemoveAll(g.dir)
}

// bytesOfRuns is 0 of nil.
func (g *generation) bytesOfRuns() int64 {
	if g == nil {
		return 0
	}
	return g.runBytes
}

// close ends the store's own interest.
func (c *chain) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.mu.cur.releaseLocked()
	c.mu.cur = nil
	return err
}

// full reports whether the next snapshot should begin another chain: written is the size of the keys and values that the runs were made of, next of
// the base that there would be.
func (c *chain) full(written, next int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.mu.cur
	if g == nil || c.mu.broken != nil || len(g.runs) > runsMax {
		return true
	}
	return g.runBytes > max(c.least, g.baseBytes*runsPerBase) ||
		g.runBytes > c.least && g.runBytes+next <= written/10*incrementTenths
}

// listener has the chain keep what flushes write. A table is linked when its file is made: once it is in use, a compaction may delete it
// at any moment.
func (c *chain) listener(h *health) *cpebble.EventListener {
	return &cpebble.EventListener{
		TableCreated: func(i cpebble.TableCreateInfo) {
			if i.Reason == "flushing" {
				c.flushing(i.Path)
			}
		},
		FlushEnd: func(i cpebble.FlushInfo) {
			if !i.Ingest {
				c.flushed(i)
			}
		},
		BackgroundError: func(err error) {
			if cpebble.IsCorruptionError(err) {
				err = fmt.Errorf("damaged file of state in %s: %w", c.dir, err)
			}
			h.fail(err)
		},
		// Without this Pebble would end the process. What it finds may be a table that it believes to have written, see stateFS; if it is damage
		// of the disk, a restart takes the files from the checkpoint.
		DataCorruption: func(i cpebble.DataCorruptionInfo) {
			h.fail(fmt.Errorf("damaged file of state %s: %w", i.Path, i.Details))
		},
	}
}

func (c *chain) flushing(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.mu.cur
	if g == nil || c.mu.broken != nil {
		return
	}
	base := filepath.Base(path)
	link := filepath.Join(g.dir, "flushing-"+base)
	// A copy would be one of an empty file: where there are no links every snapshot has a base of its own.
	if err := os.Link(path, link); err != nil {
		c.mu.broken = err
		return
	}
	c.mu.written[base] = link
}

// flushed takes the tables of a flush into the chain. Those of a flush that failed are not in it: it is repeated.
func (c *chain) flushed(info cpebble.FlushInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.mu.cur
	if g != nil && c.mu.broken == nil {
		for _, t := range info.Output {
			plain := fmt.Sprintf("%06d.sst", uint64(t.FileNum))
			link, ok := c.mu.written[plain]
			if !ok {
				c.mu.broken = fmt.Errorf("flushed table %s was not kept", plain)
				break
			}
			c.mu.seq++
			f := state.SnapshotFile{Name: fmt.Sprintf("%s%s%08d%s", c.instance, sep, c.mu.seq, runSuffix), SizeBytes: int64(t.Size)} //nolint:gosec // below 2^63
			if c.mu.broken = os.Rename(link, filepath.Join(g.dir, f.Name)); c.mu.broken != nil {
				break
			}
			delete(c.mu.written, plain)
			g.add(f, false, 0)
		}
	}
	for plain, link := range c.mu.written {
		_ = os.Remove(link) // goes with the directory at the latest
		delete(c.mu.written, plain)
	}
}

// snapshot lists the present generation.
func (c *chain) snapshot() *increment {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.mu.cur
	g.refs++
	return &increment{c: c, g: g, files: slices.Concat(g.base, g.runs)}
}

// increment is a snapshot that shares a generation.
type increment struct {
	c     *chain
	g     *generation
	files []state.SnapshotFile
}

var (
	_ state.Snapshot = (*increment)(nil)
	_ state.Linker   = (*increment)(nil)
)

// Files implements state.Snapshot.
func (s *increment) Files() []state.SnapshotFile { return s.files }

// Open implements state.Snapshot.
func (s *increment) Open(name string) (io.ReadCloser, error) {
	if !slices.ContainsFunc(s.files, func(f state.SnapshotFile) bool { return f.Name == name }) {
		return nil, fmt.Errorf("open %s of a snapshot: %w", name, os.ErrNotExist)
	}
	f, err := os.Open(filepath.Join(s.g.dir, name))
	if err != nil {
		return nil, fmt.Errorf("open file of a snapshot: %w", err)
	}
	return f, nil
}

// Link implements state.Linker.
func (s *increment) Link(name, to string) error {
	if err := vfs.LinkOrCopy(vfs.Default, filepath.Join(s.g.dir, name), to); err != nil {
		return fmt.Errorf("link file of a snapshot: %w", err)
	}
	return nil
}

// Close implements state.Snapshot.
func (s *increment) Close() error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.g == nil {
		return nil
	}
	err := s.g.releaseLocked()
	s.g = nil
	if err != nil {
		return fmt.Errorf("close snapshot: %w", err)
	}
	return nil
}

// SnapshotIncrement implements state.Incremental.
func (s *Store) SnapshotIncrement(epoch stream.Epoch) (state.Snapshot, error) {
	if err := s.extend(epoch); err != nil {
		return nil, fmt.Errorf("snapshot state at epoch %d: %w", epoch, err)
	}
	snap := s.chain.snapshot()
	if err := s.h.failed(); err != nil {
		return nil, errors.Join(fmt.Errorf("snapshot state at epoch %d: %w", epoch, err), snap.Close())
	}
	return snap, nil
}

// extend brings the chain up to date, or begins another one.
func (s *Store) extend(epoch stream.Epoch) error {
	if s.direct != nil {
		if err := s.snapshotDirect(); err != nil {
			return err
		}
		if !s.chain.full(s.written, s.chain.bytes()) {
			return nil
		}
		// Whoever writes this store does not refill it.
		if err := s.attach(); err != nil {
			return err
		}
	}
	if err := s.flush(); err != nil {
		return err
	}
	total := s.db.Metrics().Total()
	if !s.rebase && !s.chain.full(s.written, total.TablesSize) {
		return nil
	}
	g, err := s.makeBase(strconv.FormatUint(uint64(epoch), 10))
	if err != nil {
		return err
	}
	s.rebase, s.written = false, 0
	return s.chain.adopt(g)
}

// makeBase makes a generation of what the database holds; epoch is in the names of what is no table. The memtable is empty.
func (s *Store) makeBase(epoch string) (*generation, error) {
	g, err := s.chain.begin()
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*generation, error) { return nil, errors.Join(err, os.RemoveAll(g.dir)) }
	if err := s.db.Checkpoint(g.dir); err != nil {
		return fail(err)
	}
	list, err := os.ReadDir(g.dir)
	if err != nil {
		return fail(err)
	}
	for _, f := range list {
		info, err := f.Info()
		if err != nil {
			return fail(err)
		}
		name := s.listed(f.Name(), epoch)
		if err := os.Rename(filepath.Join(g.dir, f.Name()), filepath.Join(g.dir, name)); err != nil {
			return fail(err)
		}
		g.base = append(g.base, state.SnapshotFile{Name: name, SizeBytes: info.Size()})
		g.baseBytes += info.Size()
	}
	return g, nil
}

// takeUp makes the files of a snapshot in dir, of which list are all, the present chain, leaves the base under Pebble's own names and returns the paths of the runs, oldest
// first, and what the base's tables are listed as.
func (c *chain) takeUp(dir string, list []os.DirEntry) (runs []string, names map[string]string, err error) {
	g, err := c.begin()
	if err != nil {
		return nil, nil, err
	}
	names = map[string]string{}
	for _, e := range list {
		at := strings.LastIndex(e.Name(), sep)
		if at < 0 || e.IsDir() {
			continue
		}
		if err := g.take(dir, e, e.Name()[at+1:]); err != nil {
			return nil, nil, errors.Join(err, os.RemoveAll(g.dir))
		}
		if plain := e.Name()[at+1:]; isTable(plain) {
			names[plain] = e.Name()
		}
	}
	if len(g.base) == 0 {
		return nil, names, os.RemoveAll(g.dir)
	}
	sorting.By(g.runs, func(a, b state.SnapshotFile) int { return cmp.Compare(place(a.Name), place(b.Name)) })
	for _, r := range g.runs {
		runs = append(runs, filepath.Join(g.dir, r.Name))
		c.mu.seq = max(c.mu.seq, place(r.Name))
	}
	return runs, names, c.adopt(g)
}

// take takes a file of a snapshot into g, and gives one of the base its own name.
func (g *generation) take(dir string, e os.DirEntry, plain string) error {
	if err := os.MkdirAll(g.dir, 0o755); err != nil {
		return err
	}
	info, err := e.Info()
	if err != nil {
		return err
	}
	from := filepath.Join(dir, e.Name())
	f := state.SnapshotFile{Name: e.Name(), SizeBytes: info.Size()}
	if strings.HasSuffix(plain, runSuffix) {
		g.add(f, strings.HasSuffix(plain, wholeSuffix), 0)
		return os.Rename(from, filepath.Join(g.dir, f.Name))
	}
	g.base = append(g.base, f)
	g.baseBytes += f.SizeBytes
	if err := vfs.LinkOrCopy(vfs.Default, from, filepath.Join(g.dir, f.Name)); err != nil {
		return err
	}
	return os.Rename(from, filepath.Join(dir, plain))
}

// place is a run's place in its chain.
func place(name string) int {
	digits, _, _ := strings.Cut(name[strings.LastIndex(name, sep)+1:], ".")
	n, _ := strconv.ParseUint(digits, 10, 31) // who wrote it wrote digits; others come first, and are then refused as no tables
	return int(n)
}
