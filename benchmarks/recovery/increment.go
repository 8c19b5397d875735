package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/pebble"
	"github.com/bramble-stream/bramble/engine/stream"
)

// incrementResult is what a store's checkpoints came to.
type incrementResult struct {
	// changed and uploaded are bytes: of keys and values that changed, each once a checkpoint, and of the files that storage did not have.
	changed, uploaded, worst, stored, state int64
	files                                   int
	restore                                 time.Duration
	reads                                   time.Duration
}

// increments changes a share of the keys between checkpoints, at random, and counts what would be uploaded, as a taskmanager does.
func increments(dir string, keys, valueBytes int, change float64, checkpoints int) (r incrementResult, err error) {
	dir, err = os.MkdirTemp(dir, "increment-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // temporary
	open := func(name string) (*pebble.Store, error) {
		return pebble.Open(pebble.Options{Dir: filepath.Join(dir, name), Instance: name})
	}
	s, err := open("before")
	if err != nil {
		return r, err
	}
	rng := rand.New(rand.NewPCG(1, 2))
	if err := writeKeys(s, rng, keys, keys, valueBytes); err != nil {
		return r, err
	}
	known := map[string]bool{}
	take := func(e int) (int64, error) {
		snap, err := s.SnapshotIncrement(stream.Epoch(e)) //nolint:gosec // small
		if err != nil {
			return 0, err
		}
		var n int64
		next := map[string]bool{}
		r.stored, r.files = 0, 0
		for _, f := range snap.Files() {
			next[f.Name] = true
			r.files++
			r.stored += f.SizeBytes
			if !known[f.Name] {
				n += f.SizeBytes
			}
		}
		known = next
		return n, snap.Close()
	}
	if r.state, err = take(1); err != nil { // the first has all of it
		return r, err
	}
	per := max(int(float64(keys)*change), 1)
	one := int64(per) * int64(keyBytes+valueBytes)
	for e := range checkpoints {
		if err := writeKeys(s, rng, keys, per, valueBytes); err != nil {
			return r, err
		}
		n, err := take(e + 2)
		if err != nil {
			return r, err
		}
		r.changed += one
		r.uploaded += n
		r.worst = max(r.worst, n)
	}
	if r.restore, r.reads, err = restoreInto(s, open, filepath.Join(dir, "after"), rng, keys, checkpoints+2); err != nil {
		return r, err
	}
	return r, s.Close()
}

// keyBytes is a key group, and a key of 8 bytes.
const keyBytes = 10

// writeKeys sets n of the keys, each once, in no order, to values that compress by about half.
func writeKeys(s state.Store, rng *rand.Rand, keys, n, valueBytes int) error {
	var w state.Writes
	key, value := make([]byte, keyBytes), make([]byte, valueBytes)
	const step = 7919 // a prime: n steps meet n keys
	at := rng.Uint64N(uint64(keys))
	for range n {
		makeKey(key, at%uint64(keys))
		for i := 0; i < valueBytes/2; i += 8 {
			binary.LittleEndian.PutUint64(value[i:], rng.Uint64())
		}
		w.Add(state.OpSet, key, value)
		if w.SizeBytes() > 256<<10 {
			if err := s.Apply(&w); err != nil {
				return err
			}
			w.Reset()
		}
		at += step
	}
	return s.Apply(&w)
}

func makeKey(key []byte, i uint64) {
	binary.BigEndian.PutUint16(key, uint16(i%128))
	binary.BigEndian.PutUint64(key[2:], i*0x9e3779b97f4a7c15)
}

// restoreInto times opening a store on a snapshot's files, and a read of a key there afterwards.
func restoreInto(s *pebble.Store, open func(string) (*pebble.Store, error), dir string, rng *rand.Rand, keys, epoch int) (took, read time.Duration, err error) {
	snap, err := s.SnapshotIncrement(stream.Epoch(epoch)) //nolint:gosec // small
	if err != nil {
		return 0, 0, err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return 0, 0, err
	}
	for _, f := range snap.Files() {
		if err := copyOut(snap, f.Name, filepath.Join(dir, f.Name)); err != nil {
			return 0, 0, err
		}
	}
	if err := snap.Close(); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	after, err := open(filepath.Base(dir))
	if err != nil {
		return 0, 0, err
	}
	took = time.Since(began)
	key := make([]byte, keyBytes)
	const reads = 2000
	began = time.Now()
	for range reads {
		makeKey(key, rng.Uint64N(uint64(keys))) //nolint:gosec // positive
		v, closer, err := after.Get(key)
		if err != nil || v == nil {
			return 0, 0, fmt.Errorf("key %x is not there after the restore: %w", key, err)
		}
		if err := closer.Close(); err != nil {
			return 0, 0, err
		}
	}
	return took, time.Since(began) / reads, after.Close()
}

func copyOut(snap state.Snapshot, name, to string) error {
	r, err := snap.Open(name)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // only read
	w, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	return w.Close()
}
