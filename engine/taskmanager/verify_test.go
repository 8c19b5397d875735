package taskmanager

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/checkpoint/ckptstore"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/task"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// saved is a task that takes checkpoints of some files, and the storage that they are in.
type saved struct {
	t   *testing.T
	x   *executor
	run *taskRun
	mem *blob.Mem
	// local is what the task has of its files; log what has been said.
	local map[string]string
	log   *syncBuffer
}

func newSaved(t *testing.T, local map[string]string) *saved {
	t.Helper()
	mem := blob.NewMem()
	store, err := ckptstore.New(mem, "job")
	if err != nil {
		t.Fatal(err)
	}
	log := &syncBuffer{}
	tm := &TaskManager{cfg: Config{Log: slog.New(slog.NewTextHandler(log, nil)), Clock: task.SystemClock{}}}
	d := &durables{tm: tm, store: store, own: true, present: newPresent()}
	d.mu.triggers, d.mu.changed = map[stream.Epoch]*pb.TriggerCheckpoint{}, make(chan struct{})
	ctx, cancel := context.WithCancelCause(t.Context())
	j := &jobRun{
		key: jobKey{"job", 1}, graph: &graph.JobGraph{}, ctx: ctx, cancel: cancel, durables: d, verifyEvery: time.Hour, verifyRate: 1 << 20,
	}
	run := &taskRun{
		job: j, id: &pb.TaskID{VertexId: "v"}, vertex: &graph.Vertex{Name: "count", Parallelism: 1, Ops: []*graph.Node{{ID: "op"}}},
		known: map[string]checkpoint.File{}, again: map[string]checkpoint.File{}, uploads: lane{wg: &tm.lanes},
	}
	j.tasks = []*taskRun{run}
	return &saved{t, newExecutor(ctx, tm, 1), run, mem, local, log}
}

// Files implements state.Snapshot.
func (s *saved) Files() (files []state.SnapshotFile) {
	for _, name := range slices.Sorted(maps.Keys(s.local)) {
		files = append(files, state.SnapshotFile{Name: name, SizeBytes: int64(len(s.local[name]))})
	}
	return files
}

// Open implements state.Snapshot.
func (s *saved) Open(name string) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(s.local[name])), nil
}

// Close implements state.Snapshot.
func (s *saved) Close() error { return nil }

// checkpoint saves the files for an epoch and returns their paths and what was uploaded.
func (s *saved) checkpoint(e stream.Epoch) (paths string, newBytes int64, err error) {
	s.t.Helper()
	s.run.job.durables.told(e, &pb.TriggerCheckpoint{})
	type result struct {
		files    []checkpoint.File
		newBytes int64
		err      error
	}
	done := make(chan result, 1)
	s.run.uploads.put(func() {
		ack, err := s.x.save(s.run, &task.Snapshot{Epoch: e, Stores: map[string]state.Snapshot{"op": s}})
		r := result{err: err}
		if err == nil {
			for _, f := range s.run.known {
				r.files = append(r.files, f)
			}
			var parts []checkpoint.TaskPart
			r.err = json.Unmarshal(ack.PartsJson, &parts)
			r.newBytes = parts[0].NewBytes
		}
		done <- r
	})
	r := <-done
	list := []string{}
	for _, f := range r.files {
		list = append(list, strings.TrimPrefix(f.Path, "shared/0000000000000000000"))
	}
	slices.Sort(list)
	return strings.Join(list, " "), r.newBytes, r.err
}

// spoil changes what storage has of a file: nil removes it.
func (s *saved) spoil(path string, change func([]byte) []byte) {
	s.t.Helper()
	path = "job/shared/0000000000000000000" + path
	b, err := blob.ReadAll(s.t.Context(), s.mem, path, 1<<20)
	if err != nil {
		s.t.Fatal(err)
	}
	if change == nil {
		err = s.mem.Delete(s.t.Context(), path)
	} else {
		err = s.mem.Put(s.t.Context(), path, blob.Bytes(change(bytes.Clone(b))))
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func flip(b []byte) []byte { b[len(b)/2] ^= 1; return b }

// TestDamagedStateIsUploadedAgain: what storage has lost of the files that checkpoints share is in the next one anew, and the rest is not.
func TestDamagedStateIsUploadedAgain(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"bit":     flip,
		"short":   func(b []byte) []byte { return b[1:] },
		"long":    func(b []byte) []byte { return append(b, 0) },
		"missing": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSaved(t, map[string]string{"a": strings.Repeat("a", 1000), "b": strings.Repeat("b", 300)})
				if paths, n, err := s.checkpoint(1); paths != "1/a 1/b" || n != 1300 || err != nil {
					t.Fatal(paths, n, err)
				}
				s.spoil("1/a", change)
				if paths, n, err := s.checkpoint(2); paths != "1/a 1/b" || n != 0 || err != nil {
					t.Fatal("nobody can know yet:", paths, n, err)
				}
				s.x.tm.lanes.Go(func() { s.x.verifying(s.run.job) })
				synctest.Wait()
				time.Sleep(time.Second) // the clock of the bubble: files are read back slowly
				synctest.Wait()
				if paths, n, err := s.checkpoint(3); paths != "1/b 3/a" || n != 1000 || err != nil {
					t.Error(paths, n, err)
				}
				if got := s.x.tm.damagedFiles.Load(); got != 1 {
					t.Errorf("%d files were damaged", got)
				}
				// An hour later all is well, and is read again.
				before := s.x.tm.verifiedBytes.Load()
				time.Sleep(time.Hour)
				synctest.Wait()
				if paths, n, err := s.checkpoint(4); paths != "1/b 3/a" || n != 0 || err != nil || s.x.tm.verifiedBytes.Load() != before+1300 {
					t.Error(paths, n, err, s.x.tm.verifiedBytes.Load()-before)
				}
				s.run.job.cancel(nil)
				s.x.tm.lanes.Wait()
			})
		})
	}
}

// TestRestoredStateIsSized: an attempt that was restored from its own files shares nothing that storage does not have, from its first checkpoint on.
func TestRestoredStateIsSized(t *testing.T) {
	s := newSaved(t, map[string]string{"a": "aaaa", "b": "bb"})
	if _, _, err := s.checkpoint(1); err != nil {
		t.Fatal(err)
	}
	s.spoil("1/b", nil)
	restored := newSaved(t, s.local)
	restored.run.known, restored.run.job.durables.store = s.run.known, s.run.job.durables.store
	if paths, n, err := restored.checkpoint(2); paths != "1/a 2/b" || n != 2 || err != nil {
		t.Error(paths, n, err)
	}
	restored.x.tm.lanes.Wait()
	s.x.tm.lanes.Wait()
}

// TestDamagedHereAndThere: a copy that is no better does not get into a checkpoint.
func TestDamagedHereAndThere(t *testing.T) {
	s := newSaved(t, map[string]string{"a": "aaaa"})
	if _, _, err := s.checkpoint(1); err != nil {
		t.Fatal(err)
	}
	s.spoil("1/a", flip)
	if err := s.x.verifyAll(s.run.job); err != nil {
		t.Fatal(err)
	}
	s.local["a"] = "aaba"
	if _, _, err := s.checkpoint(2); !errors.Is(err, checkpoint.ErrCorrupt) {
		t.Error(err)
	}
	s.local["a"] = "aaaa"
	if paths, _, err := s.checkpoint(3); paths != "3/a" || err != nil {
		t.Error(paths, err)
	}
	s.x.tm.lanes.Wait()
}

// TestVerificationIsPaced: a pass takes as long as its bytes at the rate that the job allows.
func TestVerificationIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSaved(t, map[string]string{"a": strings.Repeat("x", 3<<20)})
		if _, _, err := s.checkpoint(1); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := s.x.verifyAll(s.run.job); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("3 MiB at 1 MiB/s took %s", d)
		}
		s.x.tm.lanes.Wait()
	})
}
