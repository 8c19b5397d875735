package jobmanager_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/bramble-stream/bramble/engine/client"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/jobmanager"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/task"
	"github.com/bramble-stream/bramble/engine/taskmanager"
	"github.com/bramble-stream/bramble/engine/vec"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A job of these tests is a source that counts and a sink that takes. The script is JSON of script.
type script struct {
	// Source and Sink are parallelisms. Rows are for each source task; below 0 it never ends.
	Source, Sink, Rows int
	// FailAt makes sink task 0 fail at this row; FailBuild makes a sink fail to be built; FailSplits the listing of splits.
	FailAt                int
	Panic                 string // "plan", "splits", "build"
	FailBuild, FailSplits bool
	Partition             graph.Partition
	Unhealthy             string
	// Drip has an endless source go on with a row now and then. Reject is a record that each source task rejects.
	Drip   bool
	Reject string
}

func (s script) text() string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(data)
}

var schema = vec.NewSchema(vec.Field{Name: "n", Type: vec.TypeInt64})

func planFake(req jobmanager.PlanRequest) (*jobmanager.Planned, error) {
	s := script{Source: 1, Sink: 1, Partition: graph.Rebalance}
	if err := json.Unmarshal([]byte(req.Script), &s); err != nil {
		return nil, fmt.Errorf("%s:1:1: %w", req.File, err)
	}
	if s.Panic == "plan" {
		panic("boom")
	}
	spec, err := json.Marshal(graph.SourceSpec{Table: graph.TableSpec{Name: "numbers", Connector: "fake", Schema: schema, Options: map[string]string{"script": req.Script}}})
	if err != nil {
		return nil, err
	}
	name := req.Name
	if name == "" {
		name = "fake"
	}
	g := &graph.JobGraph{
		Name: name, MaxParallelism: 128, Config: map[string]string{"mqtt.password": "hush", "pipeline.name": name},
		Vertices: []*graph.Vertex{
			{ID: "00000000000000a1", Name: "source", Parallelism: s.Source, Ops: []*graph.Node{
				{ID: "00000000000000b1", Name: "numbers", In: -1, Kind: graph.KindSource, Spec: spec, Out: schema},
			}},
			{ID: "00000000000000a2", Name: "sink", Parallelism: s.Sink, Ops: []*graph.Node{
				{ID: "00000000000000b2", Name: "taker", In: -1, Kind: graph.KindSink, Spec: json.RawMessage(req.Script), Line: 3, Column: 7},
			}},
		},
		Edges: []*graph.Edge{{From: 0, FromOp: 0, To: 1, Partition: s.Partition, Keys: []int{0}, Schema: schema}},
	}
	return &jobmanager.Planned{Graph: g, Logical: "logical\n", Physical: "physical\n", Warnings: []string{"careful"}}, nil
}

func connectors() map[string]*op.Connector {
	return map[string]*op.Connector{"fake": {Name: "fake", Splits: func(_ context.Context, t *graph.TableSpec, p int) ([]op.Split, error) {
		var s script
		if err := json.Unmarshal([]byte(t.Options["script"]), &s); err != nil {
			return nil, err
		}
		if s.FailSplits {
			return nil, errors.New("nothing there")
		}
		if s.Panic == "splits" {
			panic("boom")
		}
		var splits []op.Split
		for i := range p {
			splits = append(splits, op.Split{ID: fmt.Sprint(i)})
		}
		return splits, nil
	}}}
}

type source struct {
	script script
	sent   int
}

func (s *source) Open(ctx *op.Context, _ []op.Split) error {
	if s.script.Unhealthy != "" {
		ctx.Health("broker", errors.New(s.script.Unhealthy))
	}
	if s.script.Reject != "" {
		ctx.Metrics.Bad.Add(1)
		ctx.Rejected.Record("drawer 7", []byte(s.script.Reject), errors.New("illegible"))
	}
	return nil
}

func (s *source) Poll(ctx context.Context, b *vec.Batch, wait time.Duration) (op.Polled, error) {
	if s.sent == s.script.Rows {
		return op.Polled{Status: op.End}, nil
	}
	if s.script.Rows < 0 && s.sent >= 10 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		if !s.script.Drip {
			return op.Polled{Status: op.Idle}, nil
		}
	}
	vec.AppendValue(b.Col(0), int64(s.sent))
	b.SetRows(1)
	s.sent++
	return op.Polled{Status: op.More}, nil
}

func (s *source) Snapshot(stream.Epoch) ([]op.Split, error)  { return nil, nil }
func (s *source) Commit(context.Context, stream.Epoch) error { return nil }
func (s *source) Close() error                               { return nil }

type taken struct {
	sync.Mutex
	rows int
}

type sink struct {
	script script
	index  int
	rows   int
	taken  *taken
}

func (s *sink) Open(ctx *op.Context) error {
	s.index = ctx.Task.Index
	return nil
}

func (s *sink) Write(_ context.Context, b *vec.Batch) error {
	for range b.Len() {
		s.rows++
		if s.script.FailAt > 0 && s.index == 0 && s.rows >= s.script.FailAt {
			return errors.New("disk is full")
		}
	}
	s.taken.Lock()
	defer s.taken.Unlock()
	s.taken.rows += b.Len()
	return nil
}

func (s *sink) Flush(context.Context) error                           { return nil }
func (s *sink) Prepare(context.Context, stream.Epoch) ([]byte, error) { return nil, nil }
func (s *sink) Commit(context.Context, stream.Epoch, []byte) error    { return nil }
func (s *sink) Close() error                                          { return nil }

func builders(t *taken) task.Builders {
	return task.Builders{
		graph.KindSource: func(n *graph.Node, _ []*vec.Schema) (task.Built, error) {
			var spec graph.SourceSpec
			var s script
			if err := errors.Join(json.Unmarshal(n.Spec, &spec), json.Unmarshal([]byte(spec.Table.Options["script"]), &s)); err != nil {
				return task.Built{}, err
			}
			return task.Built{Source: &source{script: s}}, nil
		},
		graph.KindSink: func(n *graph.Node, _ []*vec.Schema) (task.Built, error) {
			var s script
			if err := json.Unmarshal(n.Spec, &s); err != nil {
				return task.Built{}, err
			}
			if s.FailBuild {
				return task.Built{}, errors.New("no such option")
			}
			if s.Panic == "build" {
				panic("boom")
			}
			return task.Built{Sink: &sink{script: s, taken: t}}, nil
		},
	}
}

// cluster is a jobmanager with taskmanagers on loopback, stopped at the test's end.
type cluster struct {
	t      *testing.T
	jm     *jobmanager.JobManager
	client *client.Client
	taken  taken
}

// with runs f until the test ends, or until the returned function is called; then it must return nil.
func (c *cluster) with(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Errorf("run: %v", err)
		}
	})
	c.t.Cleanup(stop)
	return stop
}

const beat = 20 * time.Millisecond

func (c *cluster) config(port int) jobmanager.Config {
	return jobmanager.Config{
		BindHost: "127.0.0.1", RPCPort: port, Plan: planFake, Connectors: connectors(), Version: "test", Clock: task.SystemClock{}, Rand: rand.Reader,
		HeartbeatInterval: beat, HeartbeatTimeout: 50 * beat, MetricsInterval: beat, HistoryMax: 3, FlinkNames: true,
	}
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t}
	jm, err := jobmanager.New(c.config(0))
	if err != nil {
		t.Fatal(err)
	}
	c.jm = jm
	c.connect()
	c.with(jm.Run)
	return c
}

// connect makes a client of c.jm the one that is used.
func (c *cluster) connect() {
	c.t.Helper()
	cl, err := client.New(c.jm.Address())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { cl.Close() }) //nolint:errcheck // a test's end
	c.client = cl
}

func (c *cluster) taskManager(slots, port int) (*taskmanager.TaskManager, func()) {
	c.t.Helper()
	tm, err := taskmanager.New(taskmanager.Config{
		JobManager: c.jm.Address(), BindHost: "127.0.0.1", DataPort: port, Slots: slots, Builders: builders(&c.taken), Version: "test",
		Clock: task.SystemClock{}, Rand: rand.Reader, FlinkNames: true, MetricsPort: 0, DataDir: c.t.TempDir(),
		Cell: func(dst []byte, col *vec.Col, i int) []byte { return fmt.Append(dst, vec.Values[int64](col)[i]) },
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return tm, c.with(tm.Run)
}

func (c *cluster) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	c.t.Cleanup(cancel)
	return ctx
}

func (c *cluster) submit(s script) string {
	c.t.Helper()
	id, warnings, err := c.client.Submit(c.context(), client.Script{File: "job.sql", Text: s.text()}, "")
	if err != nil {
		c.t.Fatal(err)
	}
	if len(id) != 32 || len(warnings) != 1 {
		c.t.Fatalf("id %q, warnings %q", id, warnings)
	}
	return id
}

// until watches the job until f is satisfied.
func (c *cluster) until(id string, what string, f func(*pb.WatchJobResponse) bool) *pb.WatchJobResponse {
	c.t.Helper()
	var last *pb.WatchJobResponse
	ok := false
	err := c.client.Watch(c.context(), id, func(u *pb.WatchJobResponse) bool {
		last, ok = u, f(u)
		return !ok
	})
	if err != nil || !ok {
		c.t.Fatalf("job never %s: %v; last %v", what, err, last)
	}
	return last
}

func (c *cluster) untilState(id string, s pb.JobState) *pb.WatchJobResponse {
	c.t.Helper()
	return c.until(id, s.String(), func(u *pb.WatchJobResponse) bool { return u.Summary.State == s })
}

// untilMembers waits until so many taskmanagers are registered.
func (c *cluster) untilMembers(n int) []*pb.TaskManagerInfo {
	c.t.Helper()
	ctx := c.context()
	for {
		tms, err := c.client.TaskManagers(ctx)
		if err != nil {
			c.t.Fatalf("waiting for %d taskmanagers: %v", n, err)
		}
		if len(tms) == n {
			return tms
		}
	}
}

const (
	running  = pb.JobState_JOB_STATE_RUNNING
	finished = pb.JobState_JOB_STATE_FINISHED
	failed   = pb.JobState_JOB_STATE_FAILED
	canceled = pb.JobState_JOB_STATE_CANCELED
)

func TestBoundedJobFinishes(t *testing.T) {
	c := newCluster(t)
	for range 3 {
		c.taskManager(2, 0)
	}
	c.untilMembers(3)
	id := c.submit(script{Source: 3, Sink: 5, Rows: 1000, Partition: graph.Hash})
	c.untilState(id, finished)
	if c.taken.rows != 3000 {
		t.Fatalf("%d rows taken", c.taken.rows)
	}
	d, err := c.client.Job(c.context(), id[:6])
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Vertices[0].Totals.RecordsOut; got != 3000 {
		t.Errorf("%d records out of the sources", got)
	}
	if got := d.Vertices[1].Totals.RecordsIn; got != 3000 {
		t.Errorf("%d records into the sinks", got)
	}
	where := map[string]bool{}
	for _, v := range d.Vertices {
		for _, k := range v.Tasks {
			where[k.TaskmanagerId] = true
			if k.State != pb.TaskState_TASK_STATE_FINISHED {
				t.Errorf("task %s/%d is %s", v.Name, k.Index, k.State)
			}
		}
	}
	if len(where) != 3 || d.Config["mqtt.password"] == "hush" || d.Plan != "physical\n" {
		t.Errorf("ran on %v, config %v, plan %q", where, d.Config, d.Plan)
	}
	for _, tm := range c.untilMembers(3) {
		if tm.SlotsFree != 2 {
			t.Errorf("%s has %d slots free", tm.TaskmanagerId, tm.SlotsFree)
		}
	}
}

func TestJobWaitsForSlotsAndIsCancelled(t *testing.T) {
	c := newCluster(t)
	id := c.submit(script{Source: 3, Sink: 1, Rows: -1, Partition: graph.Rebalance})
	c.until(id, "waits", func(u *pb.WatchJobResponse) bool {
		return u.Summary.WaitingReason == "needs 3 slots, 0 available, no taskmanager is registered"
	})
	c.taskManager(2, 0)
	c.until(id, "waits", func(u *pb.WatchJobResponse) bool {
		return u.Summary.WaitingReason == "needs 3 slots, 2 available" && u.Summary.State == pb.JobState_JOB_STATE_CREATED
	})
	c.taskManager(2, 0)
	c.untilState(id, running)
	got, state, err := c.client.Cancel(c.context(), id[:8])
	if err != nil || got != id || state != canceled {
		t.Fatalf("cancel: %s %s %v", got, state, err)
	}
	if _, _, err := c.client.Cancel(c.context(), id); !errors.Is(err, client.ErrState) {
		t.Fatalf("cancelled twice: %v", err)
	}
	d, err := c.client.Job(c.context(), id)
	if err != nil || len(d.Exceptions) != 0 {
		t.Fatalf("%v, exceptions %v", err, d.GetExceptions())
	}
}

func TestRootCauseComesFirst(t *testing.T) {
	c := newCluster(t)
	c.taskManager(2, 0)
	c.taskManager(2, 0)
	c.untilMembers(2)
	for name, test := range map[string]struct {
		script script
		cause  string
		vertex string
		line   int32
	}{
		"write":  {script{Source: 2, Sink: 4, Rows: -1, FailAt: 1, Partition: graph.Broadcast}, "disk is full", "sink", 3},
		"build":  {script{Source: 2, Sink: 4, FailBuild: true, Partition: graph.Rebalance}, "no such option", "sink", 3},
		"splits": {script{Source: 2, Sink: 4, FailSplits: true, Partition: graph.Rebalance}, `table "numbers": nothing there`, "source", 0},
	} {
		t.Run(name, func(t *testing.T) {
			id := c.submit(test.script)
			c.untilState(id, failed)
			d, err := c.client.Job(c.context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if len(d.Exceptions) == 0 || !strings.Contains(d.Exceptions[0].Message, test.cause) || d.Exceptions[0].VertexName != test.vertex ||
				d.Exceptions[0].Line != test.line {
				t.Fatalf("exceptions %v", d.Exceptions)
			}
		})
	}
}

func TestLostTaskManagerFailsItsJobs(t *testing.T) {
	c := newCluster(t)
	_, stop := c.taskManager(1, 0)
	c.taskManager(1, 0)
	c.untilMembers(2)
	id := c.submit(script{Source: 2, Sink: 2, Rows: -1, Partition: graph.Rebalance})
	c.untilState(id, running)
	stop()
	u := c.untilState(id, failed)
	if !strings.Contains(u.RootCause.Message, "taskmanager 127.0.0.1:") || !strings.Contains(u.RootCause.Message, " lost") {
		t.Fatalf("root cause %v", u.RootCause)
	}
	c.untilMembers(1)
	// The rest of the cluster goes on working.
	c.untilState(c.submit(script{Source: 1, Sink: 1, Rows: 10, Partition: graph.Forward}), finished)
}

func TestRestartedTaskManagerReplacesTheOld(t *testing.T) {
	c := newCluster(t)
	tm, stop := c.taskManager(1, 0)
	old := c.untilMembers(1)[0]
	stop()
	c.taskManager(1, tm.DataPort())
	ctx := c.context()
	for {
		tms, err := c.client.TaskManagers(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(tms) > 1 {
			t.Fatalf("both are there: %v", tms)
		}
		if len(tms) == 1 && tms[0].TaskmanagerId != old.TaskmanagerId {
			break
		}
	}
	c.untilState(c.submit(script{Source: 1, Sink: 1, Rows: 10, Partition: graph.Forward}), finished)
}

func TestTaskManagerRegistersWithTheNextJobManager(t *testing.T) {
	c := newCluster(t)
	first := c.config(0)
	jm, err := jobmanager.New(first)
	if err != nil {
		t.Fatal(err)
	}
	stop := c.with(jm.Run)
	c.jm = jm
	c.connect()
	c.taskManager(1, 0)
	c.untilMembers(1)
	c.untilState(c.submit(script{Source: 1, Sink: 1, Rows: -1, Partition: graph.Forward}), running)
	stop()
	next, err := jobmanager.New(c.config(jm.RPCPort()))
	if err != nil {
		t.Fatal(err)
	}
	c.with(next.Run)
	c.jm = next
	c.connect()
	for c.untilMembers(1)[0].SlotsFree != 1 {
		t.Fatal("the slot of the former jobmanager's job is taken")
	}
	c.untilState(c.submit(script{Source: 1, Sink: 1, Rows: 10, Partition: graph.Forward}), finished)
}

func TestHistoryIsBounded(t *testing.T) {
	c := newCluster(t)
	c.taskManager(1, 0)
	var last string
	for range 5 {
		last = c.submit(script{Source: 1, Sink: 1, Rows: 1, Partition: graph.Forward})
		c.untilState(last, finished)
	}
	jobs, err := c.client.Jobs(c.context())
	if err != nil || len(jobs) != 3 || jobs[0].JobId != last {
		t.Fatalf("%d jobs, %v", len(jobs), err)
	}
}

func TestHealthAndErrors(t *testing.T) {
	c := newCluster(t)
	c.taskManager(1, 0)
	id := c.submit(script{Source: 1, Sink: 1, Rows: -1, Partition: graph.Forward, Unhealthy: "connection refused"})
	c.until(id, "unhealthy", func(u *pb.WatchJobResponse) bool {
		return len(u.Health) == 1 && u.Health[0].Component == "broker" && u.Health[0].Error == "connection refused"
	})
	if _, err := c.client.Job(c.context(), "ffffffff"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("unknown job: %v", err)
	}
	if _, _, err := c.client.Submit(c.context(), client.Script{File: "job.sql", Text: "SELEKT"}, ""); !errors.Is(err, client.ErrInvalid) ||
		!strings.HasPrefix(err.Error(), "job.sql:1:1: ") {
		t.Errorf("bad script: %v", err)
	}
	nobody, err := client.New("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	if _, err := nobody.Jobs(c.context()); !errors.Is(err, client.ErrUnreachable) ||
		err.Error() != "no jobmanager at 127.0.0.1:1 (connection refused); start one with `jobmanager` or name it with --jobmanager" {
		t.Errorf("nobody there: %v", err)
	}
}

func TestPages(t *testing.T) {
	c := newCluster(t)
	tm, _ := c.taskManager(2, 0)
	c.untilMembers(1)
	id := c.submit(script{Source: 2, Sink: 1, Rows: -1, Partition: graph.Rebalance})
	c.untilState(id, running)
	get := func(port int, path string) string {
		req, err := http.NewRequestWithContext(c.context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v %s", path, resp.Status, err, body)
		}
		return string(body)
	}
	for _, test := range []struct {
		port int
		path string
		want []string
	}{
		{c.jm.HTTPPort(), "/", []string{id, "RUNNING"}},
		{c.jm.HTTPPort(), "/healthz", []string{"ok"}},
		{c.jm.MetricsPort(), "/readyz", []string{"ok"}},
		{tm.MetricsPort(), "/readyz", []string{"ok"}},
		{c.jm.MetricsPort(), "/metrics", []string{
			"bramble_jobmanager_taskmanagers 1\n", "bramble_jobmanager_slots_total 2\n", "bramble_jobmanager_slots_available 0\n",
			`bramble_jobmanager_jobs{state="RUNNING"} 1`, `bramble_job_uptime_seconds{job_id="` + id + `",job_name="fake"}`,
			"flink_jobmanager_numRunningJobs 1\n", "go_goroutines", "process_resident_memory_bytes",
		}},
		{tm.MetricsPort(), "/metrics", []string{
			`bramble_task_records_out_total{job_id="` + id + `",job_name="fake",operator="numbers",task="0",taskmanager="` + tm.ID() + `"}`,
			`bramble_task_busy_seconds_total{job_id="` + id + `",job_name="fake",operator="source",task="1"`,
			"flink_taskmanager_job_task_numRecordsIn{", "go_goroutines",
		}},
	} {
		body := get(test.port, test.path)
		for _, want := range test.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s has no %q:\n%s", test.path, want, body)
			}
		}
	}
}

// TestBugsStayTheirJobs lets the planner, a connector and an operator panic: the cluster goes on.
func TestBugsStayTheirJobs(t *testing.T) {
	c := newCluster(t)
	c.taskManager(1, 0)
	_, _, err := c.client.Submit(c.context(), client.Script{Text: script{Source: 1, Sink: 1, Panic: "plan"}.text()}, "")
	if err == nil || err.Error() != "a bug in the planner: boom" {
		t.Errorf("planner: %v", err)
	}
	for stage, want := range map[string]string{"splits": `table "numbers": a bug in connector fake: boom`, "build": "panic: boom"} {
		u := c.untilState(c.submit(script{Source: 1, Sink: 1, Rows: 1, Partition: graph.Forward, Panic: stage}), failed)
		if u.RootCause.Message != want {
			t.Errorf("%s: %v", stage, u.RootCause)
		}
	}
	c.untilState(c.submit(script{Source: 1, Sink: 1, Rows: 1, Partition: graph.Forward}), finished)
}

func TestHealthService(t *testing.T) {
	c := newCluster(t)
	tm, _ := c.taskManager(1, 0)
	for _, test := range []struct{ address, service string }{
		{c.jm.Address(), ""},
		{c.jm.Address(), "bramble.v1.JobService"},
		{c.jm.Address(), "bramble.v1.TaskManagerService"},
		{fmt.Sprintf("127.0.0.1:%d", tm.DataPort()), ""},
		{fmt.Sprintf("127.0.0.1:%d", tm.DataPort()), "bramble.v1.ExchangeService"},
	} {
		conn, err := grpc.NewClient("passthrough:///"+test.address, serve.DialOptions()...)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := healthpb.NewHealthClient(conn).Check(c.context(), &healthpb.HealthCheckRequest{Service: test.service}, grpc.WaitForReady(true))
		if err != nil || resp.Status != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("%v: %v %v", test, resp, err)
		}
		conn.Close() //nolint:errcheck // a test's end
	}
}

func TestPortsInUse(t *testing.T) {
	c := newCluster(t)
	cfg := c.config(c.jm.RPCPort())
	if _, err := jobmanager.New(cfg); err == nil || !strings.Contains(err.Error(), "--rpc-port") {
		t.Fatalf("second jobmanager on the port: %v", err)
	}
	cfg = c.config(0)
	cfg.HTTPPort, cfg.MetricsPort = serve.Off, serve.Off
	jm, err := jobmanager.New(cfg)
	if err != nil || jm.HTTPPort() != 0 {
		t.Fatalf("%v", err)
	}
	c.with(jm.Run)
}
