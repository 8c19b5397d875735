// Package state is the contract of keyed state: ordered bytes under key groups, bounded in memory, larger on disk.
// The stores are in its sub-packages; the typed hot tables over them are in engine/table. It does no I/O itself.
package state

import (
	"errors"
	"io"

	"github.com/bramble-stream/bramble/engine/stream"
)

// ErrFenced says that a newer attempt owns the state.
var ErrFenced = errors.New("state: fenced by a newer attempt")

// Store is an ordered map of bytes that belongs to one operator in one task. Methods run on the task's goroutine, never concurrently.
// Keys begin with the key group, two bytes big-endian, so that a key group is a range.
type Store interface {
	// Get returns the value, valid until closer is closed; a nil closer and nil error mean that there is none.
	Get(key []byte) (value []byte, closer io.Closer, err error)
	// Apply writes all of w atomically.
	Apply(w *Writes) error
	// Iter walks [lower, upper) in key order. Close it before the next Apply.
	Iter(lower, upper []byte) (Iterator, error)
	// DeleteRange removes [lower, upper).
	DeleteRange(lower, upper []byte) error
	// Snapshot fixes the present content under the epoch, cheaply; reading it out may happen off the task's goroutine.
	Snapshot(epoch stream.Epoch) (Snapshot, error)
	// SizeBytes is an estimate of what the store holds.
	SizeBytes() int64
	Close() error
}

// Importer is what stores offer for restoring from several snapshots, or from a part of one, as after rescaling.
type Importer interface {
	// Import adds what the snapshot files in dir, under the names that the snapshot listed, hold of the key groups of r. Keys that are in the
	// store already are replaced. dir may be used up by it.
	Import(dir string, r stream.KeyRange) error
	// Retain deletes everything outside the key groups of r.
	Retain(r stream.KeyRange) error
}

// Incremental is what stores offer whose checkpoints can build on earlier ones.
type Incremental interface {
	// SnapshotIncrement is Snapshot in the form that adds least to what earlier snapshots have listed. Store.Snapshot is the form that keeps
	// best, for savepoints. A store opens on either.
	SnapshotIncrement(epoch stream.Epoch) (Snapshot, error)
}

// Refiller is what stores offer that cost less when their owner, who has all of the content in memory, writes it all now and then.
type Refiller interface {
	// Refill is called before what has changed is written for the next snapshot: changed of all entries. When it returns true the store is empty and
	// the owner writes all of them.
	Refill(changed, all int) (bool, error)
}

// Iterator walks a range of a Store: for it.Next() { it.Key(); it.Value() }. Slices are valid until the next call.
type Iterator interface {
	Next() bool
	Key() []byte
	Value() []byte
	Err() error
	Close() error
}

// Snapshot is the content of a store at an epoch, as files that never change once made.
type Snapshot interface {
	// Files lists the files with sizes; a name that an earlier snapshot listed has the same content.
	Files() []SnapshotFile
	// Open reads a file. It may be called on any goroutine.
	Open(name string) (io.ReadCloser, error)
	// Close releases what only this snapshot holds.
	Close() error
}

// Linker is what snapshots offer whose files need not be copied to be kept.
type Linker interface {
	// Link gives a file a further name on the same file system, or copies it there. It stays when the snapshot is closed.
	Link(name, to string) error
}

// SnapshotFile names one immutable file of a snapshot.
type SnapshotFile struct {
	Name      string
	SizeBytes int64
}

// Op is what a write does.
type Op uint8

// The write operations. OpMerge combines with the present value by the store's merge function, without reading it now.
const (
	OpSet Op = iota
	OpDelete
	OpMerge
)

// MergeFunc combines two values of a key, older first, into dst (appending); it must be associative.
type MergeFunc func(dst, key, older, newer []byte) ([]byte, error)

// Writes is a batch of writes in the order given. It is reusable: Reset keeps its memory.
type Writes struct {
	ops []write
	buf []byte
}

type write struct {
	op         Op
	key, value int32 // lengths
	at         int32 // where key, then value, begin in buf
}

// Add appends a write; key and value are copied.
func (w *Writes) Add(op Op, key, value []byte) {
	w.ops = append(w.ops, write{op, int32(len(key)), int32(len(value)), int32(len(w.buf))})
	w.buf = append(append(w.buf, key...), value...)
}

// Len is the number of writes, SizeBytes their keys and values. Keep a batch well below 1 GiB.
func (w *Writes) Len() int { return len(w.ops) }

// SizeBytes is the bytes of all keys and values.
func (w *Writes) SizeBytes() int { return len(w.buf) }

// At returns write i; the slices alias w.
func (w *Writes) At(i int) (op Op, key, value []byte) {
	o := w.ops[i]
	k := w.buf[o.at : o.at+o.key]
	return o.op, k, w.buf[o.at+o.key : o.at+o.key+o.value]
}

// Reset empties w.
func (w *Writes) Reset() { w.ops, w.buf = w.ops[:0], w.buf[:0] }
