package jobmanager

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bramble-stream/bramble/engine/job"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

const (
	// sendQueueMax is how many messages wait for a taskmanager before it counts as lost: far more than the jobs of a house send.
	sendQueueMax = 4096
	// slotsMax bounds what a taskmanager may offer.
	slotsMax = 1024
)

// sessions serves the streams of taskmanagers.
type sessions struct {
	pb.UnimplementedTaskManagerServiceServer
	jm *JobManager
	// ctx ends with the jobmanager.
	ctx context.Context
}

// Connect implements pb.TaskManagerServiceServer: this goroutine sends, another receives.
func (s *sessions) Connect(stream pb.TaskManagerService_ConnectServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	info := first.GetRegister().GetInfo()
	if err := checkInfo(info); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	var m *member
	if err := s.jm.do(stream.Context(), func(c *cluster) { m = c.register(info) }); err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	received := make(chan error, 1)
	// Recv returns when this handler does, so the reader ends soon after; the jobmanager waits for it.
	s.jm.work.Go(func() { received <- s.receive(stream, m) })
	for {
		select {
		case msg := <-m.out:
			if err := stream.Send(msg); err != nil {
				s.lost(m, "connection lost")
				return err
			}
		case err := <-received:
			s.lost(m, reasonOf(err))
			return nil
		case <-m.quit:
			return status.Error(codes.Aborted, "the jobmanager gave up on this connection")
		case <-s.ctx.Done():
			return status.Error(codes.Unavailable, errStopped.Error())
		}
	}
}

func checkInfo(info *pb.TaskManagerInfo) error {
	switch {
	case info == nil:
		return errors.New("the first message must be Register, with info")
	case info.TaskmanagerId == "" || info.DataAddress == "":
		return errors.New("Register needs taskmanager_id and data_address")
	case info.SlotsTotal < 1 || info.SlotsTotal > slotsMax:
		return fmt.Errorf("Register offers %d slots: 1 to %d are possible", info.SlotsTotal, slotsMax)
	}
	return nil
}

func reasonOf(err error) string {
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return "it stopped"
	default:
		return "connection lost"
	}
}

func (s *sessions) lost(m *member, reason string) {
	s.jm.post(s.ctx, func(c *cluster) { c.lose(m, reason) }) //nolint:errcheck // fails only when the jobmanager stops
}

// receive passes messages on to the loop until the stream ends.
func (s *sessions) receive(stream pb.TaskManagerService_ConnectServer, m *member) error {
	for {
		msg, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := s.jm.post(stream.Context(), func(c *cluster) { c.receive(m, msg) }); err != nil {
			return err
		}
	}
}

// receive takes in what a taskmanager says.
func (c *cluster) receive(m *member, msg *pb.ConnectRequest) {
	if c.members[m.info.TaskmanagerId] != m {
		return // it was replaced or given up
	}
	m.seen = c.jm.now()
	m.info.LastHeartbeatMs = c.now()
	switch msg := msg.Message.(type) {
	case *pb.ConnectRequest_Heartbeat:
		m.info.MemoryUsedBytes, m.info.RssBytes = msg.Heartbeat.MemoryUsedBytes, msg.Heartbeat.RssBytes
		m.info.TemperatureMillicelsius, m.info.Goroutines = msg.Heartbeat.TemperatureMillicelsius, msg.Heartbeat.Goroutines
	case *pb.ConnectRequest_DeployResult:
		c.onDeployed(m, msg.DeployResult)
	case *pb.ConnectRequest_TaskState:
		c.onTaskState(m, msg.TaskState)
	case *pb.ConnectRequest_Metrics:
		for _, t := range msg.Metrics.Tasks {
			if r := c.current(t.JobId, t.Attempt); r != nil {
				if ref, ok := r.ref(t.Task); ok {
					r.report(ref, t.Metrics, c.jm.now().UnixMilli())
				}
			}
		}
	case *pb.ConnectRequest_Health:
		c.onHealth(msg.Health)
	case *pb.ConnectRequest_CheckpointAck:
		c.onAck(msg.CheckpointAck)
	case *pb.ConnectRequest_CheckpointDecline:
		c.onDecline(msg.CheckpointDecline)
	case *pb.ConnectRequest_EndOfInput:
		c.onEndOfInput(msg.EndOfInput)
	case *pb.ConnectRequest_Inspected:
		c.onInspected(msg.Inspected)
	case *pb.ConnectRequest_Register: // only as the first message
	}
}

// current is the job that a message is about, nil when it is about the past.
func (c *cluster) current(id string, messageAttempt int32) *running {
	r := c.jobs[id]
	if r == nil || messageAttempt != r.attempt() {
		return nil
	}
	return r
}

func (c *cluster) onDeployed(m *member, msg *pb.DeployResult) {
	r := c.current(msg.JobId, msg.Attempt)
	if r == nil {
		return
	}
	e := job.Deployed{TaskManager: m.info.TaskmanagerId}
	if msg.Failure != nil {
		e.Failure = r.failureOf(msg.Failure, msg.Failure.Task, m)
	}
	c.apply(r, e)
}

func (c *cluster) onTaskState(m *member, msg *pb.TaskStateChange) {
	r := c.current(msg.JobId, msg.Attempt)
	if r == nil {
		return
	}
	ref, ok := r.ref(msg.Task)
	if !ok || r.machine.Tasks()[ref.Vertex][ref.Index].TaskManager != m.info.TaskmanagerId {
		return
	}
	if msg.Metrics != nil {
		r.report(ref, msg.Metrics, c.jm.now().UnixMilli())
	}
	r.keepRejected(msg.RejectedJson)
	state, ok := taskStates[msg.State]
	if !ok {
		return
	}
	e := job.TaskChanged{Task: ref, State: state}
	if state == job.TaskFailed {
		e.Failure = r.failureOf(msg.Failure, msg.Task, m)
		c.distrust(r, msg.Failure)
	}
	if state == job.TaskFinished && !r.machine.Tasks()[ref.Vertex][ref.Index].State.Ended() {
		c.taskFinished(r, ref)
	}
	c.apply(r, e)
}

// failureOf never returns nil: a failure without words is one, too.
func (r *running) failureOf(f *pb.TaskFailure, task *pb.TaskID, m *member) *job.Failure {
	out := &job.Failure{
		Message: f.GetMessage(), TaskManager: m.info.TaskmanagerId, Operator: f.GetOperator(),
		Line: int(f.GetLine()), Column: int(f.GetColumn()), Secondary: f.GetSecondary(),
	}
	if out.Message == "" {
		out.Message = "it failed without saying why"
	}
	out.Task, out.HasTask = r.ref(task)
	return out
}

func (c *cluster) onHealth(msg *pb.HealthChange) {
	r := c.current(msg.JobId, msg.Attempt)
	if r == nil {
		return
	}
	ref, ok := r.ref(msg.Task)
	if !ok {
		return
	}
	r.setHealth(&pb.Health{
		Component: msg.Component, Error: msg.Error, SinceMs: c.now(), Task: msg.Task,
		VertexName: r.planned.Graph.Vertices[ref.Vertex].Name,
	})
}
