package taskmanager

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/engine/task"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// leader is a jobmanager that does as it is told by a test: connect is called for each stream, after its registration.
type leader struct {
	pb.UnimplementedTaskManagerServiceServer
	connect func(info *pb.TaskManagerInfo, stream pb.TaskManagerService_ConnectServer) error
}

func (l *leader) Connect(stream pb.TaskManagerService_ConnectServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	return l.connect(first.GetRegister().GetInfo(), stream)
}

// syncBuffer is a log that a test reads while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start runs a taskmanager under the leader. The returned function stops it and returns what Run did.
func start(t *testing.T, l *leader) (stop func() error, log *syncBuffer) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(serve.ServerOptions()...)
	pb.RegisterTaskManagerServiceServer(s, l)
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	log = &syncBuffer{}
	tm, err := New(Config{
		JobManager: listener.Addr().String(), BindHost: "127.0.0.1", MetricsPort: serve.Off, Slots: 2, Builders: task.Builders{},
		Clock: task.SystemClock{}, Rand: rand.Reader, Log: slog.New(slog.NewTextHandler(log, nil)), Version: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tm.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { stop() }) //nolint:errcheck // the test has looked, if it wants to
	return stop, log
}

func accept(stream pb.TaskManagerService_ConnectServer, timeout time.Duration) error {
	return stream.Send(&pb.ConnectResponse{Message: &pb.ConnectResponse_Accepted{Accepted: &pb.Accepted{
		LeaderEpoch: 7, HeartbeatIntervalMs: 5, HeartbeatTimeoutMs: timeout.Milliseconds(), MetricsIntervalMs: 5,
	}}})
}

func await(t *testing.T, c <-chan string) string {
	t.Helper()
	select {
	case s := <-c:
		return s
	case <-t.Context().Done():
	case <-time.After(20 * time.Second):
	}
	t.Fatal("nothing came")
	return ""
}

func TestSilentLeaderIsLeft(t *testing.T) {
	ids := make(chan string, 16)
	stop, log := start(t, &leader{connect: func(info *pb.TaskManagerInfo, stream pb.TaskManagerService_ConnectServer) error {
		ids <- info.TaskmanagerId
		if err := accept(stream, 30*time.Millisecond); err != nil {
			return err
		}
		<-stream.Context().Done()
		return nil
	}})
	first, second := await(t, ids), await(t, ids)
	if first != second {
		t.Errorf("it is %s, then %s", first, second)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "no heartbeat for") {
		t.Errorf("the log does not say why:\n%s", log)
	}
}

func TestRefusalIsFinal(t *testing.T) {
	refused := make(chan string, 16)
	stop, _ := start(t, &leader{connect: func(info *pb.TaskManagerInfo, _ pb.TaskManagerService_ConnectServer) error {
		refused <- info.TaskmanagerId
		return status.Error(codes.InvalidArgument, "too many slots")
	}})
	await(t, refused)
	if err := stop(); err != nil && !strings.Contains(err.Error(), "too many slots") {
		t.Errorf("run: %v", err)
	}
}

func TestStopSaysGoodbye(t *testing.T) {
	events := make(chan string, 16)
	stop, _ := start(t, &leader{connect: func(_ *pb.TaskManagerInfo, stream pb.TaskManagerService_ConnectServer) error {
		if err := accept(stream, time.Minute); err != nil {
			return err
		}
		if _, err := stream.Recv(); err != nil { // a heartbeat: it knows that it is accepted
			return err
		}
		events <- "accepted"
		for {
			if _, err := stream.Recv(); err != nil {
				events <- err.Error()
				return err
			}
		}
	}})
	await(t, events)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if got := await(t, events); got != "EOF" {
		t.Errorf("the stream ended with %s", got)
	}
}

// TestCommandsThatMakeNoSense sends what only a confused leader would; each is answered, none does harm.
func TestCommandsThatMakeNoSense(t *testing.T) {
	answers := make(chan string, 16)
	start(t, &leader{connect: func(_ *pb.TaskManagerInfo, stream pb.TaskManagerService_ConnectServer) error {
		if err := accept(stream, time.Minute); err != nil {
			return err
		}
		id := &pb.TaskID{VertexId: "v", Index: 3}
		for _, msg := range []*pb.ConnectResponse{
			{Message: &pb.ConnectResponse_Deploy{Deploy: &pb.Deploy{LeaderEpoch: 6, JobId: "old leader"}}},
			{Message: &pb.ConnectResponse_Start{Start: &pb.Start{LeaderEpoch: 7, JobId: "unknown"}}},
			{Message: &pb.ConnectResponse_Cancel{Cancel: &pb.Cancel{LeaderEpoch: 7, JobId: "unknown", Tasks: []*pb.TaskID{id}}}},
			{Message: &pb.ConnectResponse_Deploy{Deploy: &pb.Deploy{LeaderEpoch: 7, JobId: "garbage", GraphJson: []byte("{")}}},
			{Message: &pb.ConnectResponse_Deploy{Deploy: &pb.Deploy{
				LeaderEpoch: 7, JobId: "stranger", GraphJson: []byte("{}"), Tasks: []*pb.DeployTask{{Task: id}},
			}}},
			{},
		} {
			if err := stream.Send(msg); err != nil {
				return err
			}
		}
		for {
			msg, err := stream.Recv()
			if err != nil {
				return err // the test is over
			}
			switch m := msg.Message.(type) {
			case *pb.ConnectRequest_DeployResult:
				answers <- m.DeployResult.JobId + ": " + m.DeployResult.Failure.GetMessage()
			case *pb.ConnectRequest_TaskState:
				answers <- m.TaskState.JobId + ": " + m.TaskState.State.String()
			}
		}
	}})
	for _, want := range []string{"unknown: TASK_STATE_CANCELED", "garbage: decode the job graph: ", "stranger: the job graph has no task v/3"} {
		if got := await(t, answers); !strings.HasPrefix(got, want) {
			t.Errorf("answer %q, want %q", got, want)
		}
	}
}

func TestSettings(t *testing.T) {
	s, err := settingsOf(&graph.JobGraph{Config: map[string]string{
		"table.local-time-zone": "Europe/Berlin", "execution.buffer-timeout": "0 ms",
	}})
	if err != nil || s.location.String() != "Europe/Berlin" || s.bufferTimeout != -1 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := settingsOf(&graph.JobGraph{Config: map[string]string{"table.local-time-zone": "Mars/Olympus"}}); err == nil {
		t.Error("there is no time on Mars")
	}
}

func TestOperatorLabelsAreUnique(t *testing.T) {
	labels := operatorLabels(&graph.JobGraph{Vertices: []*graph.Vertex{
		{ID: "v1", Name: "calc", Ops: []*graph.Node{{ID: "aaaaaaaa1", Name: "calc"}}},
		{ID: "v2", Name: "two", Ops: []*graph.Node{{ID: "bbbbbbbb2", Name: "calc"}, {ID: "c", Name: "sink"}}},
	}})
	if labels["aaaaaaaa1"] != "calc #aaaaaa" || labels["bbbbbbbb2"] != "calc #bbbbbb" || labels["c"] != "sink" {
		t.Errorf("%v", labels)
	}
}

func TestOutboxKeepsTheLatestHealth(t *testing.T) {
	b := newOutbox()
	id := &pb.TaskID{VertexId: "v"}
	for _, e := range []string{"refused", "", "refused"} {
		b.putHealth(&pb.HealthChange{JobId: "j", Task: id, Component: "broker", Error: e})
	}
	b.put(&pb.ConnectRequest{Message: &pb.ConnectRequest_Heartbeat{}})
	all := b.take()
	if len(all) != 2 || all[1].GetHealth().GetError() != "refused" || len(b.take()) != 0 {
		t.Errorf("%v", all)
	}
}

func TestBudgetAddsUp(t *testing.T) {
	b := BudgetOf(256 << 20)
	if sum := b.ExchangeBytes + b.StateBytes + b.StoreBytes; sum >= b.LimitBytes || b.LimitBytes >= 256<<20 {
		t.Errorf("%+v", b)
	}
}
