package pebble

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
)

// BenchmarkCheckpoint changes every key between two checkpoints, in the order of hashes as hot tables do, and takes one. What counts is cpu-us/key: CPU time
// of the process, compactions and garbage collection included, for each key that has changed.
func BenchmarkCheckpoint(b *testing.B) {
	for _, c := range []struct{ keys, value int }{{10_000, 24}, {100_000, 24}, {100_000, 90}} {
		b.Run(fmt.Sprintf("keys=%d/value=%d", c.keys, c.value), func(b *testing.B) {
			s, err := Open(Options{Dir: filepath.Join(b.TempDir(), "s"), Instance: "b"})
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := s.Close(); err != nil {
					b.Error(err)
				}
			}()
			rng := rand.New(rand.NewPCG(1, 2))
			var w state.Writes
			began, epoch := processCPU(b), stream.Epoch(0)
			for b.Loop() {
				epoch++
				if _, err := s.Refill(c.keys, c.keys); err != nil {
					b.Fatal(err)
				}
				writeAll(b, s, &w, rng, c.keys, c.value)
				snap, err := s.SnapshotIncrement(epoch)
				if err != nil {
					b.Fatal(err)
				}
				if err := snap.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((processCPU(b)-began).Nanoseconds())/1e3/float64(b.N)/float64(c.keys), "cpu-us/key")
		})
	}
}

func writeAll(b *testing.B, s *Store, w *state.Writes, rng *rand.Rand, keys, valueBytes int) {
	key, value := make([]byte, 11), make([]byte, valueBytes)
	for i := range uint64(keys) {
		h := i * 0x9e3779b97f4a7c15
		binary.BigEndian.PutUint16(key, uint16(h>>57))
		binary.LittleEndian.PutUint64(key[3:], i)
		for at := 0; at+8 <= valueBytes/2; at += 8 {
			binary.LittleEndian.PutUint64(value[at:], rng.Uint64())
		}
		w.Add(state.OpSet, key, value)
		if w.SizeBytes() >= 256<<10 {
			if err := s.Apply(w); err != nil {
				b.Fatal(err)
			}
			w.Reset()
		}
	}
	if err := s.Apply(w); err != nil {
		b.Fatal(err)
	}
	w.Reset()
}

// processCPU is the CPU time that the process has used.
func processCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
