// Package client talks to a jobmanager: what the CLI does, a Go program can do with it. It plans and runs nothing itself.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bramble-stream/bramble/engine/serve"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// Sentinels for errors.Is. The errors themselves are made to be shown to people.
var (
	// ErrUnreachable says that no jobmanager answers.
	ErrUnreachable = errors.New("client: no jobmanager")
	// ErrInvalid says that what was asked for makes no sense, such as a script with a mistake.
	ErrInvalid = errors.New("client: invalid request")
	// ErrNotFound says that there is no such job.
	ErrNotFound = errors.New("client: no such job")
	// ErrState says that the state of the job does not allow it.
	ErrState = errors.New("client: wrong state")
)

// Error is what the calls of a Client return.
type Error struct {
	kind error
	msg  string
}

func (e *Error) Error() string { return e.msg }

// Unwrap returns one of the sentinels, or nil.
func (e *Error) Unwrap() error { return e.kind }

// Client is a connection to a jobmanager. It is safe for concurrent use.
type Client struct {
	address string
	conn    *grpc.ClientConn
	jobs    pb.JobServiceClient
}

// New returns a client of the jobmanager at HOST:PORT. It connects with the first call.
func New(address string) (*Client, error) {
	conn, err := grpc.NewClient("passthrough:///"+address, serve.DialOptions()...)
	if err != nil {
		return nil, fmt.Errorf("jobmanager address %q: %w", address, err)
	}
	return &Client{address: address, conn: conn, jobs: pb.NewJobServiceClient(conn)}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Script is a job as written.
type Script struct {
	// File names it in errors. Text has no ${NAME} left.
	File, Text string
	// Config overrides SET; Parallelism 0 leaves it to the script.
	Config      map[string]string
	Parallelism int
}

func (s Script) message() *pb.Script {
	return &pb.Script{Name: s.File, Text: s.Text, Config: s.Config, Parallelism: int32(s.Parallelism)} //nolint:gosec // the planner bounds it
}

// Submit starts a job; name "" leaves it to the script. It returns once the job is accepted, with its ID and the planner's remarks.
func (c *Client) Submit(ctx context.Context, s Script, name string) (id string, warnings []string, err error) {
	return c.SubmitFrom(ctx, s, name, "", false)
}

// SubmitFrom starts a job that goes on from a savepoint, "" for none. State that no operator takes over is an error unless allowLoss is set.
func (c *Client) SubmitFrom(ctx context.Context, s Script, name, savepoint string, allowLoss bool) (id string, warnings []string, err error) {
	resp, err := c.jobs.SubmitJob(ctx, &pb.SubmitJobRequest{
		Script: s.message(), JobName: name, FromSavepoint: savepoint, AllowNonRestoredState: allowLoss,
	})
	if err != nil {
		return "", nil, c.wrap(ctx, err)
	}
	return resp.JobId, resp.Warnings, nil
}

// Watch calls f with what becomes of the job until it has ended, f returns false, or ctx ends.
func (c *Client) Watch(ctx context.Context, id string, f func(*pb.WatchJobResponse) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.jobs.WatchJob(ctx, &pb.WatchJobRequest{JobId: id})
	if err != nil {
		return c.wrap(ctx, err)
	}
	for {
		update, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return c.wrap(ctx, err)
		}
		if !f(update) {
			return nil
		}
	}
}

// Jobs lists jobs in the states, all when there are none, the newest first.
func (c *Client) Jobs(ctx context.Context, states ...pb.JobState) ([]*pb.JobSummary, error) {
	resp, err := c.jobs.ListJobs(ctx, &pb.ListJobsRequest{States: states})
	if err != nil {
		return nil, c.wrap(ctx, err)
	}
	return resp.Jobs, nil
}

// Job tells everything about a job; a unique beginning of its ID does.
func (c *Client) Job(ctx context.Context, id string) (*pb.JobDetail, error) {
	resp, err := c.jobs.GetJob(ctx, &pb.GetJobRequest{JobId: id})
	if err != nil {
		return nil, c.wrap(ctx, err)
	}
	return resp.Job, nil
}

// Cancel stops a job and waits until it has ended. It returns the full ID.
func (c *Client) Cancel(ctx context.Context, id string) (string, pb.JobState, error) {
	resp, err := c.jobs.CancelJob(ctx, &pb.CancelJobRequest{JobId: id})
	if err != nil {
		return "", pb.JobState_JOB_STATE_UNSPECIFIED, c.wrap(ctx, err)
	}
	return resp.JobId, resp.State, nil
}

// Savepoint takes a savepoint in a directory of its own below dir, "" for the default, and returns the job's full ID and the savepoint's path.
func (c *Client) Savepoint(ctx context.Context, id, dir string) (fullID, path string, err error) {
	resp, err := c.jobs.TriggerSavepoint(ctx, &pb.TriggerSavepointRequest{JobId: id, Directory: dir})
	if err != nil {
		return "", "", c.wrap(ctx, err)
	}
	return resp.JobId, resp.Path, nil
}

// DisposeSavepoint deletes a savepoint.
func (c *Client) DisposeSavepoint(ctx context.Context, path string) error {
	if _, err := c.jobs.DisposeSavepoint(ctx, &pb.DisposeSavepointRequest{Path: path}); err != nil {
		return c.wrap(ctx, err)
	}
	return nil
}

// Stop ends a job with a savepoint, and waits until it has ended.
func (c *Client) Stop(ctx context.Context, id, dir string) (*pb.StopJobResponse, error) {
	resp, err := c.jobs.StopJob(ctx, &pb.StopJobRequest{JobId: id, Directory: dir})
	if err != nil {
		return nil, c.wrap(ctx, err)
	}
	return resp, nil
}

// Rescale changes the parallelism of a running job, and waits until it runs again.
func (c *Client) Rescale(ctx context.Context, id string, parallelism int) (*pb.RescaleJobResponse, error) {
	resp, err := c.jobs.RescaleJob(ctx, &pb.RescaleJobRequest{JobId: id, Parallelism: int32(parallelism)}) //nolint:gosec // checked there
	if err != nil {
		return nil, c.wrap(ctx, err)
	}
	return resp, nil
}

// Explain plans the script on the jobmanager.
func (c *Client) Explain(ctx context.Context, s Script) (*pb.ExplainResponse, error) {
	resp, err := c.jobs.Explain(ctx, &pb.ExplainRequest{Script: s.message()})
	if err != nil {
		return nil, c.wrap(ctx, err)
	}
	return resp, nil
}

// TaskManagers lists who is registered.
func (c *Client) TaskManagers(ctx context.Context) ([]*pb.TaskManagerInfo, error) {
	resp, err := c.jobs.ListTaskManagers(ctx, &pb.ListTaskManagersRequest{})
	if err != nil {
		return nil, c.wrap(ctx, err)
	}
	return resp.Taskmanagers, nil
}

// Cluster tells about the jobmanager itself.
func (c *Client) Cluster(ctx context.Context) (*pb.GetClusterResponse, error) {
	resp, err := c.jobs.GetCluster(ctx, &pb.GetClusterRequest{})
	if err != nil {
		return nil, c.wrap(ctx, err)
	}
	return resp, nil
}

// wrap turns a status into words for people.
func (c *Client) wrap(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s := status.Convert(err)
	kinds := map[codes.Code]error{
		codes.InvalidArgument: ErrInvalid, codes.NotFound: ErrNotFound, codes.FailedPrecondition: ErrState,
	}
	if kind, ok := kinds[s.Code()]; ok {
		return &Error{kind, s.Message()}
	}
	switch s.Code() {
	case codes.Canceled: // the server may see that ctx has ended before ctx itself does
		return context.Canceled
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	case codes.Unavailable:
		why := s.Message()
		// gRPC wraps what the operating system said into layers of its own words; the last is the one that tells.
		if i := strings.LastIndex(why, "connect: "); i >= 0 {
			why = strings.Trim(why[i+len("connect: "):], `"`)
		} else if i := strings.LastIndex(why, "lookup "); i >= 0 {
			why = strings.Trim(why[i:], `"`)
		}
		return &Error{ErrUnreachable, fmt.Sprintf("no jobmanager at %s (%s); start one with `jobmanager` or name it with --jobmanager",
			c.address, why)}
	case codes.Unimplemented:
		return &Error{nil, fmt.Sprintf("what answers at %s is no jobmanager of this version: %s", c.address, s.Message())}
	default:
		return &Error{nil, fmt.Sprintf("the jobmanager at %s: %s", c.address, s.Message())}
	}
}
