// Package mem is a state store in memory, for tests and for jobs that need no more. It keeps nothing on disk by itself; its
// snapshots are single files.
package mem

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"github.com/zeebo/xxh3"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
)

// blockEntries is how many entries a block holds at most: an insert moves half of them on average.
const blockEntries = 256

type entry struct{ key, value []byte }

// Store is an ordered map in sorted blocks. Keys and values, once in, are never changed in place, so that snapshots share them.
type Store struct {
	merge  state.MergeFunc
	blocks [][]entry
	bytes  int64
	// writes counts changes, so that an iterator notices that it is stale.
	writes uint64
}

var (
	_ state.Store    = (*Store)(nil)
	_ state.Importer = (*Store)(nil)
	_ state.Iterator = (*iterator)(nil)
	_ state.Snapshot = (*snapshot)(nil)
)

// New returns an empty store; merge (or nil) is for OpMerge.
func New(merge state.MergeFunc) *Store { return &Store{merge: merge} }

// find returns the position of the first entry with a key >= key: a block and an index in it; block == len(blocks) at the end.
func (s *Store) find(key []byte) (b, i int) {
	b = sort.Search(len(s.blocks), func(b int) bool {
		block := s.blocks[b]
		return bytes.Compare(block[len(block)-1].key, key) >= 0
	})
	if b == len(s.blocks) {
		return b, 0
	}
	block := s.blocks[b]
	return b, sort.Search(len(block), func(i int) bool { return bytes.Compare(block[i].key, key) >= 0 })
}

// at returns the entry with exactly the key, or nil.
func (s *Store) at(key []byte) *entry {
	b, i := s.find(key)
	if b == len(s.blocks) || !bytes.Equal(s.blocks[b][i].key, key) {
		return nil
	}
	return &s.blocks[b][i]
}

type noCloser struct{}

func (noCloser) Close() error { return nil }

// Get implements state.Store.
func (s *Store) Get(key []byte) ([]byte, io.Closer, error) {
	if e := s.at(key); e != nil {
		return e.value, noCloser{}, nil
	}
	return nil, nil, nil
}

// Apply implements state.Store. Merges are computed at once; when one fails nothing of w has been written.
func (s *Store) Apply(w *state.Writes) error {
	// Merges may depend on earlier writes of w, so results are staged in order first.
	type result struct {
		value []byte
		del   bool
	}
	staged := make(map[string]result, w.Len())
	for i := range w.Len() {
		op, key, value := w.At(i)
		r := result{del: op == state.OpDelete}
		switch op {
		case state.OpSet:
			r.value = append([]byte{}, value...)
		case state.OpDelete:
		case state.OpMerge:
			older, ok := staged[string(key)]
			if !ok {
				if e := s.at(key); e != nil {
					older.value = e.value
				} else {
					older.del = true
				}
			}
			var err error
			if r.value, err = s.combine(key, older.value, !older.del, value); err != nil {
				return err
			}
		}
		staged[string(key)] = r
	}
	for key, r := range staged {
		if r.del {
			s.remove([]byte(key))
		} else {
			s.put([]byte(key), r.value)
		}
	}
	s.writes++
	return nil
}

func (s *Store) combine(key, older []byte, have bool, newer []byte) ([]byte, error) {
	if !have {
		return append([]byte{}, newer...), nil
	}
	if s.merge == nil {
		return nil, errors.New("state: merge in a store without a merge function")
	}
	v, err := s.merge([]byte{}, key, older, newer)
	if err != nil {
		return nil, fmt.Errorf("merge key %x: %w", key, err)
	}
	return v, nil
}

func (s *Store) put(key, value []byte) {
	b, i := s.find(key)
	if b == len(s.blocks) {
		if b == 0 {
			s.blocks = append(s.blocks, nil)
			b = 1
		}
		b--
		i = len(s.blocks[b])
	}
	block := s.blocks[b]
	if i < len(block) && bytes.Equal(block[i].key, key) {
		s.bytes += int64(len(value)) - int64(len(block[i].value))
		block[i].value = value
		return
	}
	s.bytes += int64(len(key)) + int64(len(value))
	block = slices.Insert(block, i, entry{key, value})
	s.blocks[b] = block
	if len(block) > blockEntries {
		half := len(block) / 2
		s.blocks[b] = slices.Clone(block[:half])
		s.blocks = slices.Insert(s.blocks, b+1, slices.Clone(block[half:]))
	}
}

func (s *Store) remove(key []byte) {
	b, i := s.find(key)
	if b == len(s.blocks) || !bytes.Equal(s.blocks[b][i].key, key) {
		return
	}
	s.cut(b, i, i+1)
	if len(s.blocks[b]) == 0 {
		s.blocks = slices.Delete(s.blocks, b, b+1)
	}
}

// cut removes entries [i, j) of block b, which may become empty.
func (s *Store) cut(b, i, j int) {
	for _, e := range s.blocks[b][i:j] {
		s.bytes -= int64(len(e.key)) + int64(len(e.value))
	}
	s.blocks[b] = slices.Delete(s.blocks[b], i, j)
}

// DeleteRange implements state.Store.
func (s *Store) DeleteRange(lower, upper []byte) error {
	if bytes.Compare(lower, upper) >= 0 {
		return nil
	}
	b, i := s.find(lower)
	for c := b; c < len(s.blocks); c++ {
		block := s.blocks[c]
		j := sort.Search(len(block), func(j int) bool { return bytes.Compare(block[j].key, upper) >= 0 })
		done := j < len(block)
		if i < j {
			s.cut(c, i, j)
		}
		if i = 0; done {
			break
		}
	}
	s.blocks = slices.DeleteFunc(s.blocks, func(b []entry) bool { return len(b) == 0 })
	s.writes++
	return nil
}

type iterator struct {
	s      *Store
	upper  []byte
	b, i   int
	cur    entry
	writes uint64
	err    error
}

// errStale says that the store was written to under an open iterator.
var errStale = errors.New("state: store changed under an iterator")

// Iter implements state.Store.
func (s *Store) Iter(lower, upper []byte) (state.Iterator, error) {
	b, i := s.find(lower)
	return &iterator{s: s, upper: append([]byte(nil), upper...), b: b, i: i, writes: s.writes}, nil
}

// Next implements state.Iterator.
func (it *iterator) Next() bool {
	if it.writes != it.s.writes {
		it.err = errStale
		return false
	}
	for it.b < len(it.s.blocks) && it.i == len(it.s.blocks[it.b]) {
		it.b, it.i = it.b+1, 0
	}
	if it.b == len(it.s.blocks) {
		return false
	}
	it.cur = it.s.blocks[it.b][it.i]
	if bytes.Compare(it.cur.key, it.upper) >= 0 {
		return false
	}
	it.i++
	return true
}

func (it *iterator) Key() []byte   { return it.cur.key }
func (it *iterator) Value() []byte { return it.cur.value }
func (it *iterator) Err() error    { return it.err }
func (it *iterator) Close() error  { return nil }

// SizeBytes implements state.Store.
func (s *Store) SizeBytes() int64 { return s.bytes }

// Close implements state.Store.
func (s *Store) Close() error {
	s.blocks, s.bytes = nil, 0
	s.writes++
	return nil
}

// fileMagic begins a snapshot file: key length, value length (uvarints), key and value of each entry follow, then
// xxh3 of all before it, 8 bytes little-endian.
const fileMagic = "BRMBKV1\n"

type snapshot struct {
	name string
	data []byte
}

// Snapshot implements state.Store.
func (s *Store) Snapshot(epoch stream.Epoch) (state.Snapshot, error) {
	data := make([]byte, 0, s.bytes+int64(len(fileMagic))+64)
	data = append(data, fileMagic...)
	for _, b := range s.blocks {
		for _, e := range b {
			data = binary.AppendUvarint(data, uint64(len(e.key)))
			data = binary.AppendUvarint(data, uint64(len(e.value)))
			data = append(append(data, e.key...), e.value...)
		}
	}
	sum := xxh3.Hash(data)
	data = binary.LittleEndian.AppendUint64(data, sum)
	return &snapshot{fmt.Sprintf("%d-%016x.kv", epoch, sum), data}, nil
}

func (s *snapshot) Files() []state.SnapshotFile {
	return []state.SnapshotFile{{Name: s.name, SizeBytes: int64(len(s.data))}}
}

func (s *snapshot) Open(name string) (io.ReadCloser, error) {
	if name != s.name {
		return nil, fmt.Errorf("open %s of a snapshot: %w", name, os.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(s.data)), nil
}

func (s *snapshot) Close() error { return nil }

// Retain implements state.Importer.
func (s *Store) Retain(r stream.KeyRange) error {
	lo := binary.BigEndian.AppendUint16(nil, uint16(r.First))
	hi := binary.BigEndian.AppendUint16(nil, uint16(r.Limit))
	if err := s.DeleteRange(nil, lo); err != nil {
		return err
	}
	return s.DeleteRange(hi, []byte{0xff, 0xff, 0xff})
}

// Import implements state.Importer; the directory stays as it is.
func (s *Store) Import(dir string, r stream.KeyRange) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.kv"))
	if err != nil {
		return fmt.Errorf("import state: %w", err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return fmt.Errorf("import state: %w", err)
		}
		if err := s.load(data, r); err != nil {
			return fmt.Errorf("import state from %s: %w", f, err)
		}
	}
	s.writes++
	return nil
}

var errCorrupt = errors.New("corrupt snapshot file")

func (s *Store) load(data []byte, r stream.KeyRange) error {
	body := len(data) - 8
	if body < len(fileMagic) || string(data[:len(fileMagic)]) != fileMagic ||
		xxh3.Hash(data[:body]) != binary.LittleEndian.Uint64(data[body:]) {
		return errCorrupt
	}
	data = data[len(fileMagic):body]
	for len(data) > 0 {
		k, n := binary.Uvarint(data)
		if n <= 0 {
			return errCorrupt
		}
		data = data[n:]
		v, n := binary.Uvarint(data)
		if n <= 0 || k < 2 || k > uint64(len(data)-n) || v > uint64(len(data)-n)-k {
			return errCorrupt
		}
		data = data[n:]
		key, value := data[:k:k], data[k:k+v:k+v]
		data = data[k+v:]
		if r.Contains(stream.KeyGroup(binary.BigEndian.Uint16(key))) {
			s.put(bytes.Clone(key), append([]byte{}, value...))
		}
	}
	return nil
}
