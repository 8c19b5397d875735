// Package client talks to a jobmanager: what the CLI does, a Go program can do with it. It plans and runs nothing itself.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bramble-stream/bramble/engine/locate"
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

// Client talks to the jobmanager that leads, among those that there may be. It is safe for concurrent use.
type Client struct {
	addresses []string
	network   *serve.Network
	mu        struct {
		sync.Mutex
		// leader is who answered last as one, nil before the first call and after a disappointment; hint is who was named then.
		leader *connection
		hint   string
	}
}

// connection is to one jobmanager.
type connection struct {
	address string
	conn    *grpc.ClientConn
	jobs    pb.JobServiceClient
}

const (
	// leaderWaitMax is how long a call waits while jobmanagers only stand by: somewhat longer than it takes one to take over.
	leaderWaitMax = 20 * time.Second
	// leaderPause is between two looks for a leader.
	leaderPause = 500 * time.Millisecond
)

// New returns a client of the jobmanager at HOST:PORT. Several may be given, with commas between them, and a name may have several addresses: the
// one that leads is looked for. It connects with the first call.
func New(addresses string) (*Client, error) { return NewOn(nil, addresses) }

// NewOn is New by way of a network other than TCP.
func NewOn(n *serve.Network, addresses string) (*Client, error) {
	list, err := locate.Parse(addresses)
	if err != nil {
		return nil, fmt.Errorf("jobmanager address %w", err)
	}
	return &Client{addresses: list, network: n}, nil
}

// Close ends the connection.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.leader == nil {
		return nil
	}
	err := c.mu.leader.conn.Close()
	c.mu.leader = nil
	return err
}

// leader returns a connection to who leads.
func (c *Client) leader(ctx context.Context) (*connection, error) {
	c.mu.Lock()
	known, hint := c.mu.leader, c.mu.hint
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	address, err := locate.Leader(ctx, c.network, c.addresses, hint)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("passthrough:///"+address, c.network.DialOptions()...)
	if err != nil {
		return nil, fmt.Errorf("jobmanager address %q: %w", address, err)
	}
	found := &connection{address: address, conn: conn, jobs: pb.NewJobServiceClient(conn)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.leader != nil { // another call was quicker
		return c.mu.leader, conn.Close()
	}
	c.mu.leader = found
	return found, nil
}

// leave forgets a connection to one that does not lead any more, if it ever did, or does not answer.
func (c *Client) leave(k *connection, hint string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.hint = hint
	if c.mu.leader == k {
		c.mu.leader = nil
		k.conn.Close() //nolint:errcheck // nothing is expected of it any more
	}
}

// call makes a call to who leads. It is made again when a jobmanager refuses it, which has done nothing then; one that may be repeated also when the
// connection was lost, if there are others to ask.
func call[R any](ctx context.Context, c *Client, repeat bool, f func(pb.JobServiceClient) (R, error)) (R, error) {
	var none R
	limited, cancel := context.WithTimeout(ctx, leaderWaitMax)
	defer cancel()
	for {
		k, err := c.leader(limited)
		if err == nil {
			var r R
			if r, err = f(k.jobs); err == nil {
				return r, nil
			}
			hint, refused := locate.Refused(err)
			lost := status.Code(err) == codes.Unavailable
			if lost {
				c.leave(k, hint)
			}
			err = wrap(ctx, k.address, err)
			if !refused && (!lost || !repeat || !locate.Several(ctx, c.addresses)) {
				return none, err
			}
		} else {
			var no *locate.NoLeaderError
			waiting := errors.As(err, &no) && no.Waiting
			if err = c.unreachable(ctx, err); !waiting {
				return none, err
			}
		}
		timer := time.NewTimer(leaderPause)
		select {
		case <-timer.C:
		case <-limited.Done():
			timer.Stop()
			if ctx.Err() != nil {
				return none, ctx.Err()
			}
			return none, err
		}
	}
}

// unreachable is the error of a search for a leader.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &Error{ErrUnreachable, fmt.Sprintf("no jobmanager leads at %s (%v); start one with `jobmanager` or name it with --jobmanager",
		strings.Join(c.addresses, ","), err)}
}

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
	resp, err := call(ctx, c, false, func(jobs pb.JobServiceClient) (*pb.SubmitJobResponse, error) {
		return jobs.SubmitJob(ctx, &pb.SubmitJobRequest{
			Script: s.message(), JobName: name, FromSavepoint: savepoint, AllowNonRestoredState: allowLoss,
		})
	})
	if err != nil {
		return "", nil, err
	}
	return resp.JobId, resp.Warnings, nil
}

// Watch calls f with what becomes of the job until it has ended, f returns false, or ctx ends. Where there are several jobmanagers it goes on with the
// one that takes over.
func (c *Client) Watch(ctx context.Context, id string, f func(*pb.WatchJobResponse) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		said, err := c.watch(ctx, id, f)
		if !said || !errors.Is(err, ErrUnreachable) || !locate.Several(ctx, c.addresses) {
			return err
		}
	}
}

// watch is one stream. said: something came over it.
func (c *Client) watch(ctx context.Context, id string, f func(*pb.WatchJobResponse) bool) (said bool, err error) {
	// A refusal comes with the first message.
	type opened struct {
		stream pb.JobService_WatchJobClient
		first  *pb.WatchJobResponse
	}
	o, err := call(ctx, c, true, func(jobs pb.JobServiceClient) (opened, error) {
		stream, err := jobs.WatchJob(ctx, &pb.WatchJobRequest{JobId: id})
		if err != nil {
			return opened{}, err
		}
		first, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return opened{stream, first}, err
	})
	if err != nil || o.first == nil {
		return false, err
	}
	for update := o.first; f(update); {
		if update, err = o.stream.Recv(); errors.Is(err, io.EOF) {
			return true, nil
		} else if err != nil {
			c.mu.Lock()
			k := c.mu.leader
			c.mu.Unlock()
			address := strings.Join(c.addresses, ",")
			if k != nil {
				address = k.address
				if status.Code(err) == codes.Unavailable {
					c.leave(k, "")
				}
			}
			return true, wrap(ctx, address, err)
		}
	}
	return true, nil
}

// Jobs lists jobs in the states, all when there are none, the newest first.
func (c *Client) Jobs(ctx context.Context, states ...pb.JobState) ([]*pb.JobSummary, error) {
	resp, err := call(ctx, c, true, func(jobs pb.JobServiceClient) (*pb.ListJobsResponse, error) {
		return jobs.ListJobs(ctx, &pb.ListJobsRequest{States: states})
	})
	if err != nil {
		return nil, err
	}
	return resp.Jobs, nil
}

// Job tells everything about a job; a unique beginning of its ID does.
func (c *Client) Job(ctx context.Context, id string) (*pb.JobDetail, error) {
	resp, err := call(ctx, c, true, func(jobs pb.JobServiceClient) (*pb.GetJobResponse, error) {
		return jobs.GetJob(ctx, &pb.GetJobRequest{JobId: id})
	})
	if err != nil {
		return nil, err
	}
	return resp.Job, nil
}

// Cancel stops a job and waits until it has ended. It returns the full ID.
func (c *Client) Cancel(ctx context.Context, id string) (string, pb.JobState, error) {
	resp, err := call(ctx, c, false, func(jobs pb.JobServiceClient) (*pb.CancelJobResponse, error) {
		return jobs.CancelJob(ctx, &pb.CancelJobRequest{JobId: id})
	})
	if err != nil {
		return "", pb.JobState_JOB_STATE_UNSPECIFIED, err
	}
	return resp.JobId, resp.State, nil
}

// Savepoint takes a savepoint in a directory of its own below dir, "" for the default, and returns the job's full ID and the savepoint's path.
func (c *Client) Savepoint(ctx context.Context, id, dir string) (fullID, path string, err error) {
	resp, err := call(ctx, c, false, func(jobs pb.JobServiceClient) (*pb.TriggerSavepointResponse, error) {
		return jobs.TriggerSavepoint(ctx, &pb.TriggerSavepointRequest{JobId: id, Directory: dir})
	})
	if err != nil {
		return "", "", err
	}
	return resp.JobId, resp.Path, nil
}

// DisposeSavepoint deletes a savepoint.
func (c *Client) DisposeSavepoint(ctx context.Context, path string) error {
	if _, err := call(ctx, c, false, func(jobs pb.JobServiceClient) (*pb.DisposeSavepointResponse, error) {
		return jobs.DisposeSavepoint(ctx, &pb.DisposeSavepointRequest{Path: path})
	}); err != nil {
		return err
	}
	return nil
}

// Stop ends a job with a savepoint, and waits until it has ended. With drain all windows fire before.
func (c *Client) Stop(ctx context.Context, id, dir string, drain bool) (*pb.StopJobResponse, error) {
	resp, err := call(ctx, c, false, func(jobs pb.JobServiceClient) (*pb.StopJobResponse, error) {
		return jobs.StopJob(ctx, &pb.StopJobRequest{JobId: id, Directory: dir, Drain: drain})
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// Rescale changes the parallelism of a running job, and waits until it runs again.
func (c *Client) Rescale(ctx context.Context, id string, parallelism int) (*pb.RescaleJobResponse, error) {
	resp, err := call(ctx, c, false, func(jobs pb.JobServiceClient) (*pb.RescaleJobResponse, error) {
		return jobs.RescaleJob(ctx, &pb.RescaleJobRequest{JobId: id, Parallelism: int32(parallelism)}) //nolint:gosec // checked there
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// Explain plans the script on the jobmanager.
func (c *Client) Explain(ctx context.Context, s Script) (*pb.ExplainResponse, error) {
	resp, err := call(ctx, c, true, func(jobs pb.JobServiceClient) (*pb.ExplainResponse, error) {
		return jobs.Explain(ctx, &pb.ExplainRequest{Script: s.message()})
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// TaskManagers lists who is registered.
func (c *Client) TaskManagers(ctx context.Context) ([]*pb.TaskManagerInfo, error) {
	resp, err := call(ctx, c, true, func(jobs pb.JobServiceClient) (*pb.ListTaskManagersResponse, error) {
		return jobs.ListTaskManagers(ctx, &pb.ListTaskManagersRequest{})
	})
	if err != nil {
		return nil, err
	}
	return resp.Taskmanagers, nil
}

// Cluster tells about the jobmanager itself.
func (c *Client) Cluster(ctx context.Context) (*pb.GetClusterResponse, error) {
	resp, err := call(ctx, c, true, func(jobs pb.JobServiceClient) (*pb.GetClusterResponse, error) {
		return jobs.GetCluster(ctx, &pb.GetClusterRequest{})
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// wrap turns a status of the jobmanager at address into words for people.
func wrap(ctx context.Context, address string, err error) error {
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
			address, why)}
	case codes.Unimplemented:
		return &Error{nil, fmt.Sprintf("what answers at %s is no jobmanager of this version: %s", address, s.Message())}
	default:
		return &Error{nil, fmt.Sprintf("the jobmanager at %s: %s", address, s.Message())}
	}
}
