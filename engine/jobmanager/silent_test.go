package jobmanager_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/serve"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// puppet is a taskmanager that says only what a test makes it say.
func (c *cluster) puppet(info *pb.TaskManagerInfo) pb.TaskManagerService_ConnectClient {
	c.t.Helper()
	if _, err := c.client.TaskManagers(c.context()); err != nil { // which waits for the jobmanager to lead
		c.t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+c.jm.Address(), serve.DialOptions()...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() }) //nolint:errcheck // a test's end
	stream, err := pb.NewTaskManagerServiceClient(conn).Connect(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	if err := stream.Send(&pb.ConnectRequest{Message: &pb.ConnectRequest_Register{Register: &pb.Register{Info: info}}}); err != nil {
		c.t.Fatal(err)
	}
	return stream
}

func TestSilentTaskManagerIsLost(t *testing.T) {
	c := newCluster(t)
	stream := c.puppet(&pb.TaskManagerInfo{TaskmanagerId: "mute", DataAddress: "127.0.0.1:1", SlotsTotal: 1})
	c.untilMembers(1)
	id := c.submit(script{Source: 1, Sink: 1, Rows: 1, Partition: graph.Forward})
	u := c.untilState(id, failed)
	if !strings.HasPrefix(u.RootCause.Message, "taskmanager mute lost: no heartbeat for ") {
		t.Errorf("root cause %v", u.RootCause)
	}
	for {
		if _, err := stream.Recv(); err != nil {
			if status.Code(err) != codes.Aborted {
				t.Errorf("the stream ended with %v", err)
			}
			break
		}
	}
}

func TestStrangeRegistrationsAreRefused(t *testing.T) {
	c := newCluster(t)
	for _, info := range []*pb.TaskManagerInfo{
		nil,
		{DataAddress: "127.0.0.1:1", SlotsTotal: 1},
		{TaskmanagerId: "x", SlotsTotal: 1},
		{TaskmanagerId: "x", DataAddress: "127.0.0.1:1"},
		{TaskmanagerId: "x", DataAddress: "127.0.0.1:1", SlotsTotal: 1 << 30},
	} {
		if _, err := c.puppet(info).Recv(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", info, err)
		}
	}
}

// TestStrayMessagesAreIgnored sends reports of tasks that nobody has deployed.
func TestStrayMessagesAreIgnored(t *testing.T) {
	c := newCluster(t)
	stream := c.puppet(&pb.TaskManagerInfo{TaskmanagerId: "confused", DataAddress: "127.0.0.1:1", SlotsTotal: 1})
	c.untilMembers(1)
	id := c.submit(script{Source: 2, Sink: 1, Rows: 1, Partition: graph.Rebalance}) // waits for a second slot
	c.untilState(id, pb.JobState_JOB_STATE_CREATED)
	task := &pb.TaskID{VertexId: "00000000000000a1", Index: 1}
	for _, msg := range []*pb.ConnectRequest{
		{},
		{Message: &pb.ConnectRequest_Register{}},
		{Message: &pb.ConnectRequest_TaskState{TaskState: &pb.TaskStateChange{JobId: id, Attempt: 1, Task: task, State: pb.TaskState_TASK_STATE_FAILED}}},
		{Message: &pb.ConnectRequest_TaskState{TaskState: &pb.TaskStateChange{JobId: id, Attempt: 9, Task: task, State: pb.TaskState_TASK_STATE_FAILED}}},
		{Message: &pb.ConnectRequest_DeployResult{DeployResult: &pb.DeployResult{JobId: id, Attempt: 1}}},
		{Message: &pb.ConnectRequest_DeployResult{DeployResult: &pb.DeployResult{JobId: "none", Attempt: 1, Failure: &pb.TaskFailure{}}}},
		{Message: &pb.ConnectRequest_Metrics{Metrics: &pb.MetricsReport{Tasks: []*pb.TaskReport{{JobId: id, Attempt: 1, Task: &pb.TaskID{Index: -4}}}}}},
		{Message: &pb.ConnectRequest_Health{Health: &pb.HealthChange{JobId: id, Attempt: 1, Task: &pb.TaskID{VertexId: "none"}}}},
		// An outside system that is there: the one message that is taken.
		{Message: &pb.ConnectRequest_Health{Health: &pb.HealthChange{JobId: id, Attempt: 1, Task: task, Component: "last"}}},
	} {
		if err := stream.Send(msg); err != nil {
			t.Fatal(err)
		}
	}
	u := c.until(id, "healthy", func(u *pb.WatchJobResponse) bool { return len(u.Health) == 1 })
	if u.Summary.State != pb.JobState_JOB_STATE_CREATED || u.Health[0].Component != "last" {
		t.Errorf("the job is %s, %v", u.Summary.State, u.Health)
	}
}
