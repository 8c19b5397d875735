package task_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/mem"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/task"
	"github.com/bramble-stream/bramble/engine/vec"
)

// bench is the counting task of countJob with two inputs, fed by hand.
type bench struct {
	t     *testing.T
	w     *world
	task  *task.Task
	snaps []task.Snapshot
	ended int
	done  chan error
}

func newBench(t *testing.T, restore *task.Restore) *bench {
	b := &bench{t: t, w: newWorld(), done: make(chan error, 1)}
	g := countJob(1, "{}", "{}", "{}")
	g.Vertices[0].Parallelism = 2
	var err error
	b.task, err = task.New(task.Config{
		JobID: "j", Graph: g, Vertex: 1, Builders: b.w.builders(), Checkpointing: true, Restore: restore,
		OnSnapshot:   func(s task.Snapshot) { b.snaps = append(b.snaps, s) },
		OnEndOfInput: func() { b.ended++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { b.done <- b.task.Run(t.Context()) }()
	return b
}

// put hands the input an element and lets the task work.
func (b *bench) put(in int, e stream.Element) {
	b.t.Helper()
	if ok, err := b.task.Inputs()[in].In.TryPut(e); !ok || err != nil {
		b.t.Fatal(ok, err)
	}
	synctest.Wait()
}

// row is a batch of one row.
func row(k int64) stream.Element {
	b := vec.NewBatch(schema)
	vec.AppendValue(b.Col(0), k)
	vec.AppendValue(b.Col(1), k)
	b.SetRows(1)
	return stream.Element{Kind: stream.KindBatch, Batch: b}
}

func barrier(e stream.Epoch) stream.Element {
	return stream.Element{Kind: stream.KindBarrier, Barrier: stream.Barrier{Epoch: e}}
}

var end = stream.Element{Kind: stream.KindEnd}

func (b *bench) command(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

// state checks the last snapshot.
func (b *bench) state(n int, epoch stream.Epoch, want string) {
	b.t.Helper()
	if len(b.snaps) != n {
		b.t.Fatalf("%d snapshots, want %d", len(b.snaps), n)
	}
	if s := b.snaps[n-1]; s.Epoch != epoch || string(s.States["group-id"]) != want {
		b.t.Fatalf("epoch %d: %s, want %d: %s", s.Epoch, s.States["group-id"], epoch, want)
	}
}

func TestAlignmentOverTwoInputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.put(0, row(1))
		b.put(0, barrier(1))
		b.put(0, row(2)) // behind the barrier: it waits
		b.put(1, row(3))
		time.Sleep(time.Second)
		if len(b.snaps) != 0 {
			t.Fatal("a snapshot before all barriers")
		}
		b.put(1, barrier(1))
		b.state(1, 1, `{"1":1,"3":1}`)
		if a := b.snaps[0].Alignment; a != time.Second {
			t.Errorf("aligned for %s", a)
		}
		b.put(1, barrier(2))
		b.put(0, end) // an input that has ended counts as aligned
		b.state(2, 2, `{"1":1,"2":1,"3":1}`)
		b.put(1, row(4))
		b.put(1, barrier(3))
		b.state(3, 3, `{"1":1,"2":1,"3":1,"4":1}`)
		b.put(1, end)
		b.command(b.task.Trigger(t.Context(), stream.Barrier{Epoch: 4}))
		b.command(b.task.Commit(t.Context(), 4))
		if err := <-b.done; err != nil || len(b.w.published["sink"]) != 4 {
			t.Errorf("%v %v", err, b.w.published)
		}
	})
}

func TestAbortedAlignmentGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.put(0, barrier(1))
		b.put(0, row(1))
		b.command(b.task.Abort(t.Context(), 1))
		b.put(1, barrier(1)) // too late
		b.put(1, row(2))
		b.put(0, barrier(2))
		b.put(0, barrier(3)) // waits, as its input does
		b.put(1, barrier(3)) // gives 2 up
		b.state(1, 3, `{"1":1,"2":1}`)
		b.command(b.task.Trigger(t.Context(), stream.Barrier{Epoch: 4}))
		b.command(b.task.Abort(t.Context(), 4))
		b.put(0, end)
		b.put(1, end)
		if len(b.snaps) != 1 || b.ended != 1 {
			t.Fatalf("%d snapshots, ended %d", len(b.snaps), b.ended)
		}
		b.command(b.task.Trigger(t.Context(), stream.Barrier{Epoch: 5}))
		b.command(b.task.Commit(t.Context(), 5))
		if err := <-b.done; err != nil {
			t.Error(err)
		}
	})
}

// TestEndWaitsForTheLastCheckpoint: what was prepared for checkpoints that never completed is in the next snapshot, and comes out with it.
func TestEndWaitsForTheLastCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.put(0, row(1))
		b.put(0, end)
		b.command(b.task.Trigger(t.Context(), stream.Barrier{Epoch: 1})) // a barrier may still come
		if len(b.snaps) != 0 {
			t.Fatal("snapshot without barrier")
		}
		b.put(1, end) // none will
		if len(b.snaps) != 1 || !b.snaps[0].Final || len(b.snaps[0].Committables["sink-id"]) != 1 || b.ended != 1 {
			t.Fatalf("%+v", b.snaps)
		}
		b.command(b.task.Abort(t.Context(), 1))
		b.command(b.task.Trigger(t.Context(), stream.Barrier{Epoch: 2}))
		if s := b.snaps[1]; !s.Final || len(s.Committables["sink-id"]) != 1 || s.Committables["sink-id"][0].Epoch != 1 {
			t.Fatalf("%+v", s)
		}
		if len(b.w.published["sink"]) != 0 || b.task.State() != task.Running {
			t.Fatal("it did not wait")
		}
		b.command(b.task.Commit(t.Context(), 2))
		if err := <-b.done; err != nil || len(b.w.published["sink"]) != 1 {
			t.Errorf("%v %v", err, b.w.published)
		}
		// Restored from that checkpoint, what comes at the end does not come twice.
		from := b.snaps[1]
		again := newBench(t, &task.Restore{Epoch: 2, Finished: true, Operators: map[string]task.OperatorRestore{
			"group-id": {Parts: [][]byte{from.States["group-id"]}}, "sink-id": {Committables: from.Committables["sink-id"]},
		}})
		again.put(0, end)
		again.put(1, end)
		if n := len(again.w.published["sink"]); n != 1 {
			t.Errorf("%d rows committed again", n)
		}
		again.command(again.task.Trigger(t.Context(), stream.Barrier{Epoch: 3}))
		again.command(again.task.Commit(t.Context(), 3))
		if err := <-again.done; err != nil || len(again.w.published["sink"]) != 1 {
			t.Errorf("%v %v", err, again.w.published)
		}
	})
}

func TestStopWithSavepointThatIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		stop := func(e stream.Epoch) stream.Element {
			return stream.Element{Kind: stream.KindBarrier, Barrier: stream.Barrier{Epoch: e, Savepoint: true, Stop: true}}
		}
		b.put(0, row(1))
		b.put(0, stop(1))
		b.put(1, stop(1))
		b.put(0, row(2)) // of a source that has heard of the abort already
		b.command(b.task.Abort(t.Context(), 1))
		b.put(0, stop(2))
		b.put(1, stop(2))
		b.state(2, 2, `{"1":1,"2":1}`)
		b.command(b.task.Commit(t.Context(), 2))
		b.put(0, end)
		b.put(1, end)
		if err := <-b.done; err != nil || len(b.w.published["sink"]) != 0 || b.ended != 0 || b.task.State() != task.Finished {
			t.Errorf("%v %v %d", err, b.w.published, b.ended)
		}
	})
}

// counts sums up what was published by key.
func (w *world) counts() map[int64]int64 {
	m := map[int64]int64{}
	for _, r := range w.published["sink"] {
		m[r[0]] += r[1]
	}
	return m
}

// memStores are stores in memory; they are restored by import.
func memStores(_ op.TaskInfo, merge state.MergeFunc) (state.Store, error) { return mem.New(merge), nil }

var errPlug = errors.New("the plug was pulled")

// TestKillAndRestore: counts are right whatever happens between checkpoints, with state in snapshots, and in stores, which rescale.
func TestKillAndRestore(t *testing.T) {
	for group, parallelisms := range map[string][]int{"{}": {2, 2, 2, 2}, `{"Store":true}`: {1, 3, 2, 4}} {
		w := newWorld()
		dir := t.TempDir()
		var last *task.LocalSnapshot
		for attempt, p := range parallelisms {
			taken := 0
			err := task.RunLocal(t.Context(), task.LocalConfig{
				Graph: countJob(p, `{"Rows":2000,"Keys":37,"Batch":50}`, group, "{}"), Builders: w.builders(), Splits: nSplits(3),
				OpenState: memStores, RestoreFrom: last,
				Checkpoint: &task.LocalCheckpoint{EveryBatches: 7, Dir: dir, OnComplete: func(s *task.LocalSnapshot) error {
					last = s
					if taken++; taken == 3 && attempt < 3 {
						return errPlug
					}
					return nil
				}},
			})
			if attempt < 3 && !errors.Is(err, errPlug) || attempt == 3 && err != nil {
				t.Fatalf("%s, attempt %d: %v", group, attempt, err)
			}
		}
		want := map[int64]int64{}
		for v := range int64(2000) {
			want[v%37] += 3
		}
		if got := w.counts(); !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", group, got, want)
		}
	}
}

func TestStopWithSavepointAndGoOn(t *testing.T) {
	w := newWorld()
	dir := t.TempDir()
	var last *task.LocalSnapshot
	run := func(p, stop int) error {
		return task.RunLocal(t.Context(), task.LocalConfig{
			Graph: countJob(p, `{"Rows":2000,"Keys":37,"Batch":50}`, `{"Store":true}`, "{}"), Builders: w.builders(), Splits: nSplits(2),
			OpenState: memStores, RestoreFrom: last,
			Checkpoint: &task.LocalCheckpoint{EveryBatches: 5, StopAfter: stop, Dir: dir, OnComplete: func(s *task.LocalSnapshot) error {
				last = s
				return nil
			}},
		})
	}
	if err := run(2, 3); err != nil {
		t.Fatal(err)
	}
	if last.Epoch != 3 || len(w.published["sink"]) != 0 {
		t.Fatalf("epoch %d, %d rows came of the stop", last.Epoch, len(w.published["sink"]))
	}
	if err := run(3, 0); err != nil {
		t.Fatal(err)
	}
	for k, n := range w.counts() {
		if want := 2 * ((2000 + 36 - k) / 37); n != want {
			t.Errorf("key %d: %d, want %d", k, n, want)
		}
	}
}

// TestDrain: what operators hold for the end comes out before the savepoint, and is published with it.
func TestDrain(t *testing.T) {
	for _, p := range []int{1, 3} {
		w := newWorld()
		dir := t.TempDir()
		if err := task.RunLocal(t.Context(), task.LocalConfig{
			Graph: countJob(p, `{"Rows":2000,"Keys":37,"Batch":50}`, `{"Store":true}`, "{}"), Builders: w.builders(), Splits: nSplits(1), OpenState: memStores,
			Checkpoint: &task.LocalCheckpoint{EveryBatches: 5, StopAfter: 3, Drain: true, Dir: dir},
		}); err != nil {
			t.Fatal(err)
		}
		var rows int64
		for _, n := range w.counts() {
			rows += n
		}
		if rows != 3*5*50 {
			t.Errorf("%d tasks: %d rows are counted in what came out, want %d", p, rows, 3*5*50)
		}
	}
}

// TestDrainInVain: without the savepoint the job must not go on, as all rows would be late; it has to go back.
func TestDrainInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		err := task.RunLocal(ctx, task.LocalConfig{
			Graph: countJob(2, `{"Rows":-1,"Keys":5,"Batch":10,"Pause":5}`, "{}", "{}"), Builders: w.builders(), Splits: nSplits(2),
			Checkpoint: &task.LocalCheckpoint{Dir: t.TempDir()},
			OnStart: func(tasks []*task.Task) {
				go func() {
					time.Sleep(time.Second) // of the bubble's clock
					for _, k := range tasks {
						if err := k.Trigger(ctx, stream.Barrier{Epoch: 100, Savepoint: true, Stop: true, Drain: true}); err != nil {
							t.Error(err)
						}
					}
					synctest.Wait()
					for _, k := range tasks {
						_ = k.Abort(ctx, 100) // the first to fail ends the others
					}
				}()
			},
		})
		if err == nil || !strings.Contains(err.Error(), "drain") || len(w.published["sink"]) > 0 {
			t.Errorf("%v, %d rows published", err, len(w.published["sink"]))
		}
	})
}

// TestFinishedTasksDoNotStopCheckpoints: a task that has nothing to read finishes with the first checkpoint, and is in all that follow.
func TestFinishedTasksDoNotStopCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ctx, cancel := context.WithCancelCause(t.Context())
		var tasks []*task.Task
		var mu sync.Mutex
		var states, finals []string
		err := task.RunLocal(ctx, task.LocalConfig{
			Graph: countJob(2, `{"Rows":-1,"Keys":5,"Batch":10,"Pause":5}`, "{}", "{}"), Builders: w.builders(), Splits: nSplits(1),
			OnStart: func(ts []*task.Task) { tasks = ts },
			Checkpoint: &task.LocalCheckpoint{Interval: time.Second, Dir: t.TempDir(), OnComplete: func(s *task.LocalSnapshot) error {
				mu.Lock()
				defer mu.Unlock()
				states = append(states, tasks[1].State().String())
				var f []string
				for i, p := range s.Tasks {
					if p.Snapshot.Final {
						f = append(f, fmt.Sprint(i))
					}
				}
				finals = append(finals, strings.Join(f, ","))
				if s.Epoch == 4 {
					cancel(errPlug)
				}
				return nil
			}},
		})
		if !errors.Is(err, errPlug) {
			t.Fatal(err)
		}
		if !slices.Equal(states, []string{"RUNNING", "FINISHED", "FINISHED", "FINISHED"}) || !slices.Equal(finals, []string{"1", "1", "1", "1"}) {
			t.Errorf("%v %v", states, finals)
		}
	})
}

// TestEndedSplitsAreNotReadAgain: they are kept in the snapshots of tasks that are restored.
func TestEndedSplitsAreNotReadAgain(t *testing.T) {
	w := newWorld()
	dir := t.TempDir()
	var all []*task.LocalSnapshot
	run := func(p int, from *task.LocalSnapshot) {
		t.Helper()
		if err := task.RunLocal(t.Context(), task.LocalConfig{
			Graph: countJob(p, `{"Rows":100,"Keys":5}`, `{"Store":true}`, "{}"), Builders: w.builders(), Splits: nSplits(2),
			OpenState: memStores, RestoreFrom: from,
			Checkpoint: &task.LocalCheckpoint{Dir: dir, OnComplete: func(s *task.LocalSnapshot) error { all = append(all, s); return nil }},
		}); err != nil {
			t.Fatal(err)
		}
	}
	run(1, nil)
	before := w.produced.value()
	run(2, all[len(all)-1])
	var ids []string
	for _, f := range all[len(all)-1].Tasks {
		for _, sp := range f.Snapshot.Splits["source-id"] {
			if !sp.Ended || !f.Snapshot.Final {
				t.Errorf("%+v", f)
			}
			ids = append(ids, sp.ID)
		}
	}
	if slices.Sort(ids); !slices.Equal(ids, []string{"0", "1"}) || w.produced.value() != before {
		t.Errorf("%v, %d rows read again", ids, w.produced.value()-before)
	}
	if c := w.counts(); len(c) != 5 || c[0] != 40 {
		t.Errorf("%v", c)
	}
}
