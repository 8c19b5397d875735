package task_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/task"
	"github.com/bramble-stream/bramble/engine/vec"
)

func TestJobCountsEveryRowOnce(t *testing.T) {
	for _, p := range []int{1, 2, 3, 4} {
		for _, batch := range []string{"1", "7", "1024"} {
			w := newWorld()
			g := countJob(p, `{"Rows":3000,"Keys":37,"Batch":`+batch+`}`, "{}", "{}")
			if err := task.RunLocal(t.Context(), task.LocalConfig{Graph: g, Builders: w.builders(), Splits: nSplits(3)}); err != nil {
				t.Fatal(err)
			}
			got := w.published["sink"]
			slices.SortFunc(got, func(a, b [2]int64) int { return int(a[0] - b[0]) })
			if len(got) != 37 {
				t.Fatalf("parallelism %d: %d keys: %v", p, len(got), got)
			}
			for k, r := range got {
				want := 3 * (3000/37 + 0)
				if int64(k) < 3000%37 {
					want += 3
				}
				if r[0] != int64(k) || r[1] != int64(want) {
					t.Fatalf("parallelism %d: key %d counted %d times, want %d", p, r[0], r[1], want)
				}
			}
		}
	}
}

func TestSideOutputsAndFanOut(t *testing.T) {
	w := newWorld()
	late := node(graph.KindSink, 1, "{}")
	late.Tag, late.Name = graph.TagLate, "late"
	g := &graph.JobGraph{
		Vertices: []*graph.Vertex{
			{ID: "a", Name: "a", Parallelism: 2, Ops: []*graph.Node{
				node(graph.KindSource, -1, `{"Rows":300,"Keys":10,"Batch":3}`), node(graph.KindCalc, 0, "{}"), late,
			}},
			{ID: "b", Name: "b", Parallelism: 2, Ops: []*graph.Node{node(graph.KindSink, -1, "{}")}},
			{ID: "c", Name: "c", Parallelism: 3, Ops: []*graph.Node{
				node(graph.KindCalc, -1, "{}"), node(graph.KindSink, 0, "{}"), late,
			}},
		},
		Edges: []*graph.Edge{
			{From: 0, FromOp: 1, To: 1, Partition: graph.Forward, Schema: schema},
			{From: 0, FromOp: 1, To: 2, Partition: graph.Rebalance, Schema: schema},
		},
	}
	g.Vertices[2].Ops[2] = node(graph.KindSink, 0, "{}")
	g.Vertices[2].Ops[2].Name = "second"
	late.In = 1
	if err := task.RunLocal(t.Context(), task.LocalConfig{Graph: g, Builders: w.builders(), Splits: nSplits(2)}); err != nil {
		t.Fatal(err)
	}
	// 600 rows; a third is late; b's sink gets 400, c's a part of 400 in both its sinks.
	if n := len(w.published["late"]); n != 200 {
		t.Errorf("%d late rows", n)
	}
	if n := len(w.published["sink"]) - len(w.published["second"]); n != 400 {
		t.Errorf("%d rows at b's sink", n)
	}
}

func TestFailureNamesTaskOperatorAndCause(t *testing.T) {
	for name, c := range map[string]struct{ source, group, want string }{
		"error": {
			`{"Rows":100000,"Keys":5,"Fail":2000}`, "{}",
			`task "source: fake (1/1)", operator "source" at 3:8: the sensor is on fire`,
		},
		"panic": {
			`{"Rows":-1,"Keys":5}`, `{"PanicAt":5000}`,
			`task "count (1/1)", operator "group" at 3:8: panic: counted too far`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			var mu sync.Mutex
			states := map[task.State]int{}
			err := task.RunLocal(t.Context(), task.LocalConfig{
				JobID: "j", Graph: countJob(1, c.source, c.group, "{}"), Builders: w.builders(), Splits: nSplits(1),
				OnState: func(_ *task.Task, s task.StateChange) {
					mu.Lock()
					defer mu.Unlock()
					states[s.State]++
				},
			})
			f, ok := errors.AsType[*task.Failure](err)
			if !ok || f.Error() != c.want || f.JobID != "j" || f.Secondary {
				t.Fatalf("%v", err)
			}
			if states[task.Failed] < 1 || len(w.published["sink"]) != 0 {
				t.Errorf("states %v, published %v", states, w.published)
			}
			slices.Sort(w.notes)
			if !slices.Equal(w.notes, []string{"close counter", "close sink", "close source"}) {
				t.Errorf("%v", w.notes)
			}
		})
	}
}

func TestBackPressureHoldsTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ctx, cancel := context.WithCancelCause(t.Context())
		var tasks []*task.Task
		done := make(chan error)
		g := countJob(2, `{"Rows":-1,"Keys":100}`, "{}", "{}")
		g.Vertices[1].Ops = []*graph.Node{node(graph.KindSink, -1, `{"Block":true}`)}
		go func() {
			done <- task.RunLocal(ctx, task.LocalConfig{
				Graph: g, Builders: w.builders(), Splits: nSplits(2), OnStart: func(ts []*task.Task) { tasks = ts },
			})
		}()
		synctest.Wait()
		time.Sleep(time.Minute) // fake time: only what waits lets it pass
		synctest.Wait()
		before := w.produced.value()
		// 2 sources x 2 channels x (queued + being written + pending) batches at most, and what each source has just read.
		if most := int64(2*(2*6+1)) * 1024; before > most {
			t.Errorf("%d rows are on their way, at most %d may", before, most)
		}
		for _, task := range tasks[:2] {
			if r := task.Report(); r.BackPressured < 59*time.Second || r.Busy > time.Second {
				t.Errorf("%+v", r)
			}
		}
		w.gate <- struct{}{}
		synctest.Wait()
		time.Sleep(time.Second)
		if w.written.value() == 0 {
			t.Error("nothing moves on")
		}
		cause := errors.New("the user said so")
		cancel(cause)
		if err := <-done; !errors.Is(err, cause) {
			t.Errorf("%v", err)
		}
		for _, tk := range tasks {
			if tk.State() != task.Canceled {
				t.Errorf("%s is %s", tk.Name(), tk.State())
			}
		}
		if len(w.published["sink"]) != 0 {
			t.Error("a cancelled sink was committed")
		}
	})
}

func TestLowRateFlushesWithinTheBufferTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		g := countJob(1, `{"Rows":50,"Keys":5,"Batch":1,"Pause":1000}`, "{}", "{}")
		g.Vertices[1].Ops = []*graph.Node{node(graph.KindSink, -1, `{}`)}
		done := make(chan error)
		var tasks []*task.Task
		go func() {
			done <- task.RunLocal(t.Context(), task.LocalConfig{
				Graph: g, Builders: w.builders(), Splits: nSplits(1), OnStart: func(ts []*task.Task) { tasks = ts },
			})
		}()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n := w.written.value(); n != 50 {
			t.Errorf("%d rows", n)
		}
		if n := w.flushes.value(); n < 50 || n > 52 {
			t.Errorf("%d flushes of the sink for 50 rows", n)
		}
		for _, tk := range tasks {
			r := tk.Report()
			if r.Idle == 0 || r.Busy+r.Idle+r.BackPressured == 0 || r.State != task.Finished {
				t.Errorf("%+v", r)
			}
		}
		if c, _ := tasks[1].Report().Operators[0].Latency.Counts(); c[0]+c[1]+c[2] == 0 {
			t.Errorf("no latency markers: %v", c)
		}
	})
}

func TestBarriersSnapshotAndCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ctx, cancel := context.WithCancel(t.Context())
		var tasks []*task.Task
		snaps := make(chan string, 100)
		done := make(chan error)
		go func() {
			done <- task.RunLocal(ctx, task.LocalConfig{
				Graph:    countJob(2, `{"Rows":-1,"Keys":10,"Batch":10,"Pause":5}`, "{}", "{}"),
				Builders: w.builders(), Splits: nSplits(2), Checkpointing: true,
				OnStart: func(ts []*task.Task) { tasks = ts },
				OnSnapshot: func(tk *task.Task, s task.Snapshot) {
					snaps <- tk.Name() + " " + string(s.States["group-id"])
				},
			})
		}()
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		for epoch := range 2 {
			for _, tk := range tasks[:2] {
				if err := tk.Trigger(ctx, stream.Barrier{Epoch: stream.Epoch(epoch + 1)}); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for range tasks {
				got = append(got, <-snaps)
			}
			slices.Sort(got)
			if !strings.HasPrefix(got[0], "count (1/2) {") || !strings.HasPrefix(got[2], "source: fake (1/2)") {
				t.Fatalf("%q", got)
			}
		}
		for _, tk := range tasks {
			if err := tk.Commit(ctx, 2); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if n := len(slices.DeleteFunc(w.notes, func(s string) bool { return s != "source commit 2" })); n != 2 {
			t.Errorf("%q", w.notes)
		}
		if err := tasks[0].Trigger(t.Context(), stream.Barrier{Epoch: 9}); err != nil {
			t.Errorf("a command after the end: %v", err)
		}
	})
}

func TestBuildErrors(t *testing.T) {
	w := newWorld()
	for name, c := range map[string]struct {
		change func(g *graph.JobGraph, b task.Builders)
		want   string
	}{
		"kind":    {func(g *graph.JobGraph, b task.Builders) { delete(b, graph.KindGroup) }, `no operator of kind "group"`},
		"spec":    {func(g *graph.JobGraph, b task.Builders) { g.Vertices[1].Ops[0].Spec = []byte("[]") }, `operator "group" at 3:8: build:`},
		"no edge": {func(g *graph.JobGraph, b task.Builders) { g.Edges, g.Vertices[1].Ops[0].Kind = nil, graph.KindCalc }, `no input edges and is no source`},
		"panic": {func(g *graph.JobGraph, b task.Builders) {
			b[graph.KindGroup] = func(*graph.Node, []*vec.Schema) (task.Built, error) { panic("no such luck") }
		}, `operator "group" at 3:8: panic: no such luck`},
	} {
		t.Run(name, func(t *testing.T) {
			g, b := countJob(1, `{"Rows":1,"Keys":1}`, "{}", "{}"), w.builders()
			c.change(g, b)
			err := task.RunLocal(t.Context(), task.LocalConfig{Graph: g, Builders: b, Splits: nSplits(1)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v", err)
			}
		})
	}
}
