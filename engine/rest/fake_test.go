package rest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

const (
	jobID  = "0123456789abcdef0123456789abcdef"
	doneID = "fedcba9876543210fedcba9876543210"
)

// fakeCluster is a jobmanager with a job that runs and one that failed.
type fakeCluster struct {
	mu sync.Mutex
	// asked counts documents, done what was asked for.
	asked int
	done  []string
	// hold, unless nil, is what actions wait for.
	hold chan struct{}
	fail error
}

func (f *fakeCluster) did(what string) error {
	f.mu.Lock()
	f.done = append(f.done, what)
	hold, err := f.hold, f.fail
	f.mu.Unlock()
	if hold != nil {
		<-hold
	}
	return err
}

func (f *fakeCluster) calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.done...)
}

func (f *fakeCluster) Cluster(context.Context) (*Cluster, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	running, failed := fakeJob(), fakeFailed()
	return &Cluster{
		Version: "1.2.3", StartedAt: 1000, LeaderEpoch: 7, Address: "127.0.0.1:6123", CheckpointDir: "file:///state", SlotsTotal: 4, SlotsAvailable: 2,
		TaskManagers: []*TaskManager{{
			ID: "10.0.0.2:6124-abc", Address: "10.0.0.2", DataAddress: "10.0.0.2:6124", HostName: "pi", OS: "linux", Arch: "arm", Cores: 4,
			MemoryBudgetBytes: new(int64(256 << 20)), MemoryUsedBytes: 30 << 20, RSSBytes: new(int64(50 << 20)), TemperatureCelsius: new(48.3), Slots: 4,
			SlotsFree: 2, TasksRunning: 3, RegisteredAt: 1500, LastHeartbeatAt: 9500, Version: "1.2.3", Goroutines: new(80),
		}},
		Jobs: []*JobSummary{&running.JobSummary, &failed.JobSummary},
	}, nil
}

func (f *fakeCluster) Job(_ context.Context, id string) (*Job, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	switch {
	case id == "":
		return nil, status.Error(codes.InvalidArgument, "no job ID given")
	case strings.HasPrefix(jobID, id):
		return fakeJob(), nil
	case strings.HasPrefix(doneID, id):
		return fakeFailed(), nil
	}
	return nil, status.Errorf(codes.NotFound, "no job %s", id)
}

func (f *fakeCluster) Series(ctx context.Context, id string) (*Series, error) {
	if _, err := f.Job(ctx, id); err != nil {
		return nil, err
	}
	nan := float32(0)
	nan /= nan
	return &Series{StepMS: 10_000, Times: []int64{0, 10_000}, Values: map[string][]float32{"recordsIn": {nan, 12.3456}}}, nil
}

func (f *fakeCluster) Inspect(_ context.Context, id, what string, amount int) ([]byte, error) {
	if id != "jobmanager" && id != "10.0.0.2:6124-abc" {
		return nil, status.Errorf(codes.NotFound, "no taskmanager %s", id)
	}
	return fmt.Appendf(nil, "%s %d of %s\nurl=tcp://me:hush@host", what, amount, id), nil
}

func (f *fakeCluster) Rejected(ctx context.Context, id string) (*Rejected, error) {
	if _, err := f.Job(ctx, id); err != nil {
		return nil, err
	}
	return &Rejected{
		Late:      []LateRow{{At: 5, Operator: "b1", Row: json.RawMessage(`{"sensor":"a<b","wifi_password":"hush","at":1.50,"o":{"token":"hush"}}`), Reason: "too late"}},
		Bad:       []BadRecord{{At: 4, Operator: "b1", Payload: `{"url":"tcp://me:hush@host","Password" : "hu\"sh","n":1,"secret":"hus`, Reason: "from tcp://me:hush@host: no JSON"}},
		LateTotal: 7, BadTotal: 8,
	}, nil
}

func (f *fakeCluster) Tail(ctx context.Context, job, vertex, operator string, send func(*TailRows) error) (string, error) {
	if vertex != "v" {
		return "", status.Errorf(codes.NotFound, "the job has no vertex %q", vertex)
	}
	rows := &TailRows{Columns: []PreviewColumn{{"n", "BIGINT"}}, Rows: []json.RawMessage{}, Kinds: []string{}}
	for i := range 3 {
		if i == 1 {
			rows.Rows, rows.Kinds, rows.Seen, rows.Sampled = []json.RawMessage{[]byte(`["<a>"]`)}, []string{"+I"}, 9, true
		}
		if i == 2 {
			rows.Rows, rows.Kinds = []json.RawMessage{}, []string{}
		}
		if err := send(rows); err != nil {
			return "", err
		}
	}
	if operator == "waits" {
		<-ctx.Done()
		return "", status.FromContextError(ctx.Err()).Err()
	}
	return "the job has ended", f.fail
}

func (f *fakeCluster) SubmitJob(_ context.Context, r *pb.SubmitJobRequest) (*pb.SubmitJobResponse, error) {
	if strings.Contains(r.Script.Text, "tmep") {
		return nil, status.Error(codes.InvalidArgument, errScript.Error())
	}
	data, _ := json.Marshal(r.Script.Config)
	return &pb.SubmitJobResponse{JobId: jobID, Warnings: []string{"careful"}},
		f.did(strings.Join([]string{"submit", r.Script.Text, r.JobName, r.FromSavepoint, string(data)}, " | "))
}

func (f *fakeCluster) CancelJob(_ context.Context, r *pb.CancelJobRequest) (*pb.CancelJobResponse, error) {
	return &pb.CancelJobResponse{JobId: r.JobId}, f.did("cancel " + r.JobId)
}

func (f *fakeCluster) StopJob(_ context.Context, r *pb.StopJobRequest) (*pb.StopJobResponse, error) {
	what := "stop "
	if r.Drain {
		what = "drain "
	}
	return &pb.StopJobResponse{JobId: r.JobId, Path: "file:///sp/stop"}, f.did(what + r.JobId + " " + r.Directory)
}

func (f *fakeCluster) TriggerSavepoint(_ context.Context, r *pb.TriggerSavepointRequest) (*pb.TriggerSavepointResponse, error) {
	return &pb.TriggerSavepointResponse{JobId: r.JobId, Path: "s3://key:hush@host/sp/1"}, f.did("savepoint " + r.JobId + " " + r.Directory)
}

func (f *fakeCluster) RescaleJob(_ context.Context, r *pb.RescaleJobRequest) (*pb.RescaleJobResponse, error) {
	return &pb.RescaleJobResponse{JobId: r.JobId}, f.did("rescale " + r.JobId + " " + fmt.Sprint(r.Parallelism))
}

func (f *fakeCluster) DisposeSavepoint(_ context.Context, r *pb.DisposeSavepointRequest) (*pb.DisposeSavepointResponse, error) {
	return &pb.DisposeSavepointResponse{}, f.did("dispose " + r.Path)
}

func (f *fakeCluster) TriggerCheckpoint(_ context.Context, job string) (uint64, error) {
	return 8, f.did("checkpoint " + job)
}

func fakeJob() *Job {
	flow := Flow{
		BusyRatio: new(0.25), BackpressuredRatio: new(0.5), IdleRatio: new(0.25), RecordsIn: 100, RecordsOut: 90, RecordsInPerSecond: new(10.0),
		RecordsOutPerSecond: new(9.0), BytesIn: 1000, BytesOut: 900, Watermark: new(int64(9000)), WatermarkLagMS: new(int64(1000)), Late: 1, Bad: 2,
		StateBytes: 64, StateKeys: 4,
	}
	task := func(index int) *Task {
		return &Task{Index: index, Attempt: 2, State: "RUNNING", TaskManager: "10.0.0.2:6124-abc", StartedAt: new(int64(2000)), Flow: flow}
	}
	checkpointTask := CheckpointTask{Vertex: "00000000000000a1", DurationMS: 40, SizeBytes: 10, IncrementBytes: 5, AlignmentMS: 3, SnapshotMS: 1, UploadMS: 20}
	return &Job{
		JobSummary: JobSummary{
			ID: jobID, Name: "sensors", State: "RUNNING", StartedAt: 1800, DurationMS: 8200, Restarts: 1, Parallelism: 2,
			Tasks:              TaskCount{Running: 3, Total: 3, ByState: map[string]int{"RUNNING": 3}},
			RecordsInPerSecond: new(10.0), RecordsOutPerSecond: new(9.0), BusyRatio: new(0.25), BackpressuredRatio: new(0.5),
			WatermarkLagMS: new(int64(1000)), Late: 3, Bad: 6, LastCheckpointAt: new(int64(9000)), CheckpointsFailed: new(int64(1)), ChangedAt: 2100,
		},
		Script: new("INSERT INTO t SELECT 1"), Warnings: []string{}, Config: map[string]string{"mqtt.password": Masked, "pipeline.name": "sensors"},
		Plan: "physical\n", MaxParallelism: 128, Attempt: 2, StateTimes: map[string]int64{"CREATED": 1900, "RUNNING": 2100}, Health: []Health{},
		Vertices: []*Vertex{
			{
				ID: "00000000000000a1", Name: "Source: readings", Parallelism: 2, State: "RUNNING", Flow: flow, Latency: &Latency{1, 2, 3},
				Operators:       []Operator{{ID: "00000000000000b1", Name: "Source: readings", Kind: "source", SQLLine: new(3), SQLColumn: new(1), SQLText: "readings"}},
				OperatorMetrics: []OperatorMetric{{ID: "00000000000000b1", Name: "Source: readings", RecordsIn: 200, RecordsOut: 180}},
				Tasks:           []*Task{task(0), task(1)},
			},
			{
				ID: "00000000000000a2", Name: "Sink: out", Parallelism: 1, State: "RUNNING", Depth: 1, Flow: flow,
				Operators:       []Operator{{ID: "00000000000000b2", Name: "Sink: out", Kind: "sink"}},
				OperatorMetrics: []OperatorMetric{{ID: "00000000000000b2", Name: "Sink: out"}}, Tasks: []*Task{task(0)},
			},
		},
		Edges: []Edge{{Source: "00000000000000a1", Target: "00000000000000a2", Kind: "hash", RecordsPerSecond: new(9.0)}},
		Checkpoints: &Checkpoints{
			Interval: 10_000, Counts: CheckpointCounts{Completed: 4, Failed: 1, InProgress: 1, Restored: 1}, RestoredID: new(uint64(2)),
			Config: CheckpointConfig{TimeoutMS: 600_000, MaxConcurrent: 1, Storage: "file:///state", RestoredAt: 2000},
			History: []*Checkpoint{
				{ID: 7, Kind: "checkpoint", State: "in_progress", TriggeredAt: 9900, TasksTotal: 3, Tasks: []CheckpointTask{checkpointTask}},
				{ID: 6, Kind: "savepoint", State: "completed", TriggeredAt: 8000, EndedAt: new(int64(8100)), DurationMS: new(int64(100)), SizeBytes: 30, IncrementBytes: 30, Path: "file:///sp", TasksTotal: 3, Tasks: []CheckpointTask{checkpointTask}},
				{ID: 5, Kind: "checkpoint", State: "failed", TriggeredAt: 7000, EndedAt: new(int64(7100)), DurationMS: new(int64(100)), Error: new("storage is away"), TasksTotal: 3, Tasks: []CheckpointTask{}},
				{ID: 4, Kind: "checkpoint", State: "completed", TriggeredAt: 6000, EndedAt: new(int64(6050)), DurationMS: new(int64(50)), SizeBytes: 20, IncrementBytes: 5, AlignmentMS: 3, Path: "file:///state/4", TasksTotal: 3, Tasks: []CheckpointTask{checkpointTask}},
			},
		},
		Exceptions: []Exception{{
			At: 1950, Task: "Sink: out (1/1)", Vertex: "00000000000000a2", TaskManager: "10.0.0.2:6124-abc", Operator: "Sink: out", Attempt: 1,
			Message: "connection refused\nwhile writing", Root: "connection refused",
		}},
		RestartHistory: []Restart{{At: 1950, Cause: "connection refused\nwhile writing", Attempt: 1}},
	}
}

func fakeFailed() *Job {
	return &Job{
		JobSummary: JobSummary{
			ID: doneID, Name: "broken", State: "FAILED", StartedAt: 1100, EndedAt: new(int64(1200)), DurationMS: 100, Parallelism: 1,
			Tasks: TaskCount{Total: 1, ByState: map[string]int{"FAILED": 1}}, ChangedAt: 1200,
		},
		Cause: new("no such table"), Warnings: []string{}, Config: map[string]string{}, StateTimes: map[string]int64{"FAILED": 1200}, Health: []Health{},
		Vertices: []*Vertex{}, Edges: []Edge{}, Exceptions: []Exception{{At: 1200, Message: "no such table", Root: "no such table", Attempt: 1}},
		RestartHistory: []Restart{}, MaxParallelism: 128, Attempt: 1,
	}
}

var errScript = errors.New(`script.sql:2:8: column "tmep" does not exist`)

func fakeLanguage() Language {
	return Language{
		Substitute: func(script string, settings map[string]string) (string, error) {
			for k, v := range settings {
				script = strings.ReplaceAll(script, "${"+k+"}", v)
			}
			return script, nil
		},
		Plan: func(_ context.Context, script string, _ map[string]string) (*ScriptPlan, error) {
			if strings.Contains(script, "tmep") {
				return nil, errScript
			}
			return &ScriptPlan{Vertices: []PlanVertex{{ID: "a", Name: "v", Parallelism: 1, Operators: []Operator{}}}, Edges: []Edge{}, Explain: "plan"}, nil
		},
		Complete: func(script string, line, column int) Completion {
			return Completion{Position{line, column - 1}, []CompletionItem{{"SELECT", "keyword", "", script}}}
		},
		Diagnose: func(err error) []Diagnostic {
			if errors.Is(err, errScript) {
				return []Diagnostic{{Line: 2, Column: 8, Message: `column "tmep" does not exist`}}
			}
			return nil
		},
	}
}

// newFake returns a server with a fake cluster. It ends with the test.
func newFake(t *testing.T, access Access) (*Server, *fakeCluster) {
	t.Helper()
	f := &fakeCluster{}
	s := New(Config{
		Context: t.Context(), Views: f, Actions: f, Language: fakeLanguage(), Version: "1.2.3", Access: access, Now: time.Now,
		Examples: []Example{{"e", "An example", "SELECT 1"}}, Settings: map[string]string{"rest.port": "8081", "s3.secret-key": "hush"},
		Log: slog.New(slog.DiscardHandler), Random: func(b []byte) error { _, err := rand.Read(b); return err },
	})
	t.Cleanup(s.Wait)
	return s, f
}

// call makes a request. headers are "Name: value".
func call(t *testing.T, s *Server, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://pi:8081"+path, strings.NewReader(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
		}
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

// get decodes a document, and fails unless it comes.
func get(t *testing.T, s *Server, path string) map[string]any {
	t.Helper()
	w := call(t, s, http.MethodGet, path, "")
	if w.Code != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, w.Code, w.Body)
	}
	var v map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return v
}
