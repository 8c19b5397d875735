package jobmanager

import (
	"math"
	"testing"

	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/job"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/task"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// runningJob is a source in two tasks that feeds a sink, RUNNING since 1000.
func runningJob(t *testing.T) *running {
	t.Helper()
	g := &graph.JobGraph{
		Name: "j",
		Vertices: []*graph.Vertex{
			{ID: "a", Name: "source", Parallelism: 2, Ops: []*graph.Node{{ID: "a1", Name: "source", In: -1, Kind: graph.KindSource}}},
			{ID: "b", Name: "sink", Parallelism: 1, Ops: []*graph.Node{{ID: "b1", Name: "calc", In: -1, Kind: graph.KindCalc}, {ID: "b2", Name: "sink", Kind: graph.KindSink}}},
		},
		Edges: []*graph.Edge{{From: 0, To: 1, Partition: graph.Rebalance}},
	}
	r := &running{id: "j", watchers: map[chan struct{}]struct{}{}, wall: func(t stream.Time) stream.Time { return t }}
	r.machine = job.New(900, r.adopt(&Planned{Graph: g}), job.DefaultLimits, job.Strategy{})
	r.machine.Step(900, job.Prepared{})
	r.machine.Step(900, job.Placed{TaskManagers: [][]string{{"tm", "tm"}, {"tm"}}})
	r.machine.Step(900, job.Deployed{TaskManager: "tm"})
	for _, ref := range []job.Ref{{}, {Index: 1}, {Vertex: 1}} {
		r.machine.Step(1000, job.TaskChanged{Task: ref, State: job.TaskRunning})
	}
	if s := r.machine.State(); s != job.Running {
		t.Fatalf("the job is %s", s)
	}
	return r
}

// counts makes a report of a task that has taken in and handed on n rows, and worked a quarter of the time.
func counts(n int64, at, watermark stream.Time, ops int) *pb.TaskMetrics {
	m := &pb.TaskMetrics{RecordsIn: n, RecordsOut: n, BusyNs: at * 1e6 / 4, IdleNs: at * 1e6 / 2, BackpressuredNs: at * 1e6 / 4, WatermarkMs: &watermark, LateRecords: n / 10}
	for range ops {
		m.Operators = append(m.Operators, &pb.OperatorMetrics{RecordsIn: n, RecordsOut: n})
	}
	return m
}

func TestRates(t *testing.T) {
	r := runningJob(t)
	if p := r.pace(1000); p.known || p.lag != -1 {
		t.Errorf("before the first report: %+v", p)
	}
	for s := range stream.Time(10) {
		at := 1000 + 1000*s
		r.report(job.Ref{}, counts(100*s, at, at-500, 1), at)
		r.report(job.Ref{Index: 1}, counts(50*s, at, at-700, 1), at)
		r.report(job.Ref{Vertex: 1}, counts(150*s, at, at-900, 2), at)
	}
	p := r.pace(10_000)
	if !p.known || p.in != 150 || p.out != 150 || p.busy != 0.25 || p.blocked != 0.25 || p.lag != 900 || p.late != 90+45+135 {
		t.Errorf("pace: %+v", p)
	}
	if n := len(r.observed.tasks[job.Ref{}].at); n != reportsKept {
		t.Errorf("%d reports are kept", n)
	}
	d := r.vertexDocument(0, r.planned.Graph.Vertices[0], 0, 10_000)
	if *d.RecordsInPerSecond != 150 || *d.Watermark != 10_000-700 || *d.WatermarkLagMS != 700 || *d.BusyRatio != 0.25 || *d.IdleRatio != 0.5 || len(d.Tasks) != 2 {
		t.Errorf("vertex: %+v", d)
	}
	if rate := r.edgeRate(r.planned.Graph.Edges[0]); *rate != 150 {
		t.Errorf("edge: %v", *rate)
	}
	// A task that begins anew counts from 0: no rate below 0, and none at all of a job that does not run.
	r.report(job.Ref{}, counts(0, 0, 0, 1), 11_000)
	if s, ok := r.span(job.Ref{}); !ok || s.rate((*pb.TaskMetrics).GetRecordsIn) != 0 {
		t.Errorf("after a reset: %+v", s)
	}
	r.machine.Step(12_000, job.Cancel{})
	if p := r.pace(12_000); p.known || p.lag != -1 {
		t.Errorf("while it is cancelled: %+v", p)
	}
}

func TestFinalWatermarkIsNotShown(t *testing.T) {
	r := runningJob(t)
	r.report(job.Ref{Vertex: 1}, counts(1, 1, stream.MaxTime, 2), 2000)
	if d := r.vertexDocument(1, r.planned.Graph.Vertices[1], 1, 2000); d.Watermark != nil || d.WatermarkLagMS != nil || d.Tasks[0].Watermark != nil {
		t.Errorf("watermark %v", d.Watermark)
	}
}

func TestSeriesAreBounded(t *testing.T) {
	r := runningJob(t)
	for i := range stream.Time(seriesPoints + 50) {
		now := i * seriesStepMS
		r.report(job.Ref{}, counts(100*i, now, now, 1), now+1)
		r.sample(now, now)
	}
	d := r.seriesDocument()
	if len(d.Times) != seriesPoints || d.Times[seriesPoints-1] != (seriesPoints+49)*seriesStepMS || len(d.Values) != len(seriesNames) {
		t.Errorf("%d points of %d series", len(d.Times), len(d.Values))
	}
	for name, v := range d.Values {
		if len(v) != len(d.Times) {
			t.Errorf("%s has %d points", name, len(v))
		}
	}
	last := seriesPoints - 1
	if v := d.Values["recordsIn"][last]; v != 10 {
		t.Errorf("10 records a second are %v", v)
	}
	if v := d.Values["late"][last]; v != 10 {
		t.Errorf("10 late records a step are %v", v)
	}
	if v := d.Values["checkpointMs"][last]; !math.IsNaN(float64(v)) {
		t.Errorf("a checkpoint out of nothing took %v", v)
	}
	r.sample(5*seriesStepMS, 5*seriesStepMS)
	if d := r.seriesDocument(); len(d.Times) != 1 {
		t.Errorf("after the clock was set back: %d points", len(d.Times))
	}
}

func TestQuantiles(t *testing.T) {
	counts := make([]int64, len(task.LatencyBucketsMS)+1)
	if quantiles(counts) != nil {
		t.Error("quantiles of nothing")
	}
	counts[3] = 100 // from 5 to 10 ms
	if q := quantiles(counts); q.P50 != 7.5 || q.P99 != 9.95 {
		t.Errorf("%+v", q)
	}
	counts[len(counts)-1] = 900
	if q := quantiles(counts); q.P99 != 10_000 {
		t.Errorf("beyond the last bound: %+v", q)
	}
}

// TestFailureOfAnotherPlan: a job that was rescaled may have failed in a vertex that it does not have any more.
func TestFailureOfAnotherPlan(t *testing.T) {
	r := runningJob(t)
	f := job.Failure{Message: "gone", HasTask: true, Task: job.Ref{Vertex: 7, Index: 1}}
	if e, d := r.exception(f), r.exceptionDocument(f); e.VertexId != "" || d.Vertex != "" || d.Message != "gone" {
		t.Errorf("%v, %+v", e, d)
	}
}

// TestCheckpointOfAnotherPlan: a job that was rescaled may have checkpoints of vertices that it does not have any more.
func TestCheckpointOfAnotherPlan(t *testing.T) {
	r := runningJob(t)
	cfg := checkpoint.Config{IntervalMS: 1000}
	k := &checkpoints{coord: checkpoint.NewCoordinator(cfg, nil, 0), cfg: cfg}
	tasks := []checkpoint.Task{{}, {Vertex: 7}}
	k.coord.Step(1000, checkpoint.Started{Tasks: tasks, Upstream: map[checkpoint.Task][]checkpoint.Task{{Vertex: 7}: {{}}}})
	k.coord.Step(2000, checkpoint.Tick{})
	for _, task := range tasks {
		k.coord.Step(2001, checkpoint.Acked{Epoch: 1, Task: task})
	}
	history := k.coord.History()
	if len(history) != 1 || len(history[0].Tasks) != 2 {
		t.Fatalf("the history is %+v", history)
	}
	if c := k.view(r).History[0]; len(c.Tasks) != 1 || c.Tasks[0].Task.VertexId != "a" || c.TasksTotal != 2 {
		t.Errorf("%v", c)
	}
}

func TestDepths(t *testing.T) {
	g := &graph.JobGraph{Vertices: make([]*graph.Vertex, 4), Edges: []*graph.Edge{{From: 0, To: 1}, {From: 1, To: 3}, {From: 2, To: 3}}}
	if d := depthsOf(g); d[0] != 0 || d[1] != 1 || d[2] != 0 || d[3] != 2 {
		t.Errorf("depths %v", d)
	}
}
