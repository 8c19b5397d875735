package taskmanager

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bramble-stream/bramble/engine/locate"
	"github.com/bramble-stream/bramble/engine/serve"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

const (
	// backoffFirst and backoffMax bound the pause between attempts to register; half of each is random, so that a whole cluster
	// does not come at once.
	backoffFirst = 100 * time.Millisecond
	backoffMax   = 5 * time.Second
	// backoffStandby bounds it while a jobmanager answers that it stands by.
	backoffStandby = 500 * time.Millisecond
	// acceptMax is how long the jobmanager may take to answer a registration.
	acceptMax = 5 * time.Second
	// goodbyeMax is how long an end waits for the jobmanager to take note.
	goodbyeMax = 500 * time.Millisecond
	// waitingLogEvery is how often a taskmanager without jobmanager says so.
	waitingLogEvery = 30 * time.Second
)

// errSessionOver is the cause of the end of tasks whose jobmanager is gone.
var errSessionOver = errors.New("the jobmanager is gone")

// register keeps the taskmanager in the cluster until ctx ends.
func (tm *TaskManager) register(ctx context.Context) error {
	backoff := backoffFirst
	var lastLog time.Time
	hint := ""
	for {
		registered, err := tm.sessionWithLeader(ctx, hint)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // told to stop: whatever ended the session, this is no failure
		}
		if status.Code(err) == codes.InvalidArgument {
			return fmt.Errorf("the jobmanager at %s refused this taskmanager: %s", tm.cfg.JobManager, status.Convert(err).Message())
		}
		now := tm.cfg.Clock.Now()
		if registered {
			backoff, lastLog = backoffFirst, now
			tm.cfg.Log.Warn("jobmanager lost, registering again", "jobmanager", tm.cfg.JobManager, "reason", reasonOf(err))
		} else if lastLog.IsZero() || now.Sub(lastLog) >= waitingLogEvery {
			lastLog = now
			tm.cfg.Log.Info("waiting for the jobmanager", "jobmanager", tm.cfg.JobManager, "reason", reasonOf(err))
		}
		timer := time.NewTimer(tm.jitter(backoff))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		// One that stands by has answered: there will be a leader soon.
		var no *locate.NoLeaderError
		named, refused := locate.Refused(err)
		hint = named
		if refused || errors.As(err, &no) && no.Waiting {
			backoff = min(2*backoff, backoffStandby)
			continue
		}
		backoff = min(2*backoff, backoffMax)
	}
}

// sessionWithLeader finds who leads and is in its service until the connection ends.
func (tm *TaskManager) sessionWithLeader(ctx context.Context, hint string) (registered bool, err error) {
	address, err := locate.Leader(ctx, tm.cfg.Network, tm.jobManagers, hint)
	if err != nil {
		return false, err
	}
	return tm.session(ctx, address)
}

func reasonOf(err error) string {
	if err == nil {
		return "connection closed"
	}
	if s, ok := status.FromError(err); ok {
		return s.Message()
	}
	return err.Error()
}

// jitter is between d/2 and d.
func (tm *TaskManager) jitter(d time.Duration) time.Duration {
	var b [1]byte
	if _, err := tm.cfg.Rand.Read(b[:]); err != nil {
		return d
	}
	return d/2 + d/2*time.Duration(b[0])/255
}

// session registers and does what the jobmanager says until the connection ends; then all tasks of it have ended. registered says
// whether it came as far as being accepted.
func (tm *TaskManager) session(parent context.Context, address string) (registered bool, err error) {
	// The stream outlives parent by a moment: whoever is told to stop says goodbye.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	defer cancel(nil)
	abort := context.AfterFunc(parent, func() { cancel(context.Cause(parent)) })
	defer abort()
	var local atomic.Pointer[net.TCPAddr]
	conn, err := tm.dial(address, &local)
	if err != nil {
		return false, err
	}
	defer conn.Close() //nolint:errcheck // whatever it says, it is over
	// Until Accepted has come, the whole attempt is bounded.
	accept := time.AfterFunc(acceptMax, func() { cancel(errors.New("no answer to the registration")) })
	defer accept.Stop()
	stream, err := pb.NewTaskManagerServiceClient(conn).Connect(ctx)
	if err != nil {
		return false, causeOr(ctx, err)
	}
	info := tm.info(local.Load(), address)
	if err := stream.Send(&pb.ConnectRequest{Message: &pb.ConnectRequest_Register{Register: &pb.Register{Info: info}}}); err != nil {
		_, err = stream.Recv() // Send says EOF only
		return false, causeOr(ctx, err)
	}
	first, err := stream.Recv()
	if err != nil {
		return false, causeOr(ctx, err)
	}
	accepted := first.GetAccepted()
	if accepted == nil || !accept.Stop() || !abort() {
		return false, errors.New("the jobmanager did not accept the registration")
	}
	tm.cfg.Log.Info("registered", "jobmanager", address, "taskmanager", info.TaskmanagerId, "address", info.DataAddress,
		"slots", info.SlotsTotal, "leader_epoch", accepted.LeaderEpoch)
	tm.noteAddress(info.DataAddress)
	tm.ready.Store(true)
	defer tm.ready.Store(false)
	tm.cfg.Uplink.set(conn)
	defer tm.cfg.Uplink.set(nil)
	return true, tm.serve(parent, ctx, cancel, stream, accepted)
}

// noteAddress tells when this machine has another address than at the last registration: that is why the connections were lost.
func (tm *TaskManager) noteAddress(address string) {
	if former := tm.address; former != "" && former != address {
		tm.cfg.Log.Warn("the address of this taskmanager has changed", "was", former, "is", address, "effect", "others are told the new one, and jobs begin again there")
	}
	tm.address = address
}

func causeOr(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// dial connects without TLS, and notes the local address: it is what peers can reach unless the user names another.
func (tm *TaskManager) dial(address string, local *atomic.Pointer[net.TCPAddr]) (*grpc.ClientConn, error) {
	opts := append(serve.DialOptions(), grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		c, err := tm.cfg.Network.Dial(ctx, addr, acceptMax)
		if err != nil {
			return nil, err
		}
		if a, ok := c.LocalAddr().(*net.TCPAddr); ok {
			local.Store(a)
		}
		return c, nil
	}))
	// passthrough: the dialer above resolves the name, anew each time, since a jobmanager may move.
	return grpc.NewClient("passthrough:///"+address, opts...)
}

// serve is the life of a session: another goroutine receives, this one sends and acts. The error is what ended it.
func (tm *TaskManager) serve(parent, sessionCtx context.Context, endSession context.CancelCauseFunc,
	stream pb.TaskManagerService_ConnectClient, accepted *pb.Accepted,
) error {
	ctx, received := context.WithCancelCause(sessionCtx)
	in := make(chan *pb.ConnectResponse)
	var wg sync.WaitGroup
	wg.Go(func() { received(receive(ctx, stream, in)) })
	err := tm.act(parent, ctx, stream, in, accepted)
	endSession(err) // ends Recv
	wg.Wait()
	return err
}

// receive passes on what the jobmanager says, until the stream or ctx ends.
func receive(ctx context.Context, stream pb.TaskManagerService_ConnectClient, in chan<- *pb.ConnectResponse) error {
	for {
		msg, err := stream.Recv()
		if err != nil {
			return err
		}
		select {
		case in <- msg:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// act sends and obeys until something ends the session, and leaves no task behind.
func (tm *TaskManager) act(parent, ctx context.Context, stream pb.TaskManagerService_ConnectClient, in <-chan *pb.ConnectResponse,
	accepted *pb.Accepted,
) error {
	tasksCtx, stopTasks := context.WithCancelCause(ctx)
	x := newExecutor(tasksCtx, tm, accepted.LeaderEpoch)
	defer func() {
		stopTasks(errSessionOver)
		if n := x.wait(); n > 0 && parent.Err() == nil {
			tm.cfg.Log.Warn("tasks cancelled: they do not carry on without their jobmanager", "tasks", n)
		}
	}()
	heartbeat := time.NewTicker(max(time.Duration(accepted.HeartbeatIntervalMs)*time.Millisecond, time.Millisecond))
	defer heartbeat.Stop()
	report := time.NewTicker(max(time.Duration(accepted.MetricsIntervalMs)*time.Millisecond, time.Millisecond))
	defer report.Stop()
	timeout := time.Duration(accepted.HeartbeatTimeoutMs) * time.Millisecond
	pulse := serve.Pulse{Timeout: timeout}
	seen := tm.cfg.Clock.Now()
	for {
		var send []*pb.ConnectRequest
		select {
		case msg := <-in:
			seen = tm.cfg.Clock.Now()
			x.obey(msg)
		case <-x.box.ready:
			send = x.box.take()
			x.reap()
		case <-heartbeat.C:
			now := tm.cfg.Clock.Now()
			if pulse.Stood(now) {
				seen = now
			}
			if silence := now.Sub(seen); silence > timeout {
				return fmt.Errorf("no heartbeat for %s", silence.Round(time.Millisecond))
			}
			send = []*pb.ConnectRequest{{Message: &pb.ConnectRequest_Heartbeat{Heartbeat: vitals()}}}
		case <-report.C:
			if r := x.report(); r != nil {
				send = []*pb.ConnectRequest{r}
			}
		case <-parent.Done():
			goodbye(ctx, stream, in)
			return context.Cause(parent)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for _, msg := range send {
			if err := stream.Send(msg); err != nil {
				return err
			}
		}
	}
}

// goodbye ends the stream in order, so that the jobmanager knows at once that this taskmanager stops and is not merely out of reach.
func goodbye(ctx context.Context, stream pb.TaskManagerService_ConnectClient, in <-chan *pb.ConnectResponse) {
	if stream.CloseSend() != nil {
		return
	}
	timer := time.NewTimer(goodbyeMax)
	defer timer.Stop()
	for {
		select {
		case <-in: // what it says now is too late
		case <-ctx.Done(): // the jobmanager has closed its side
			return
		case <-timer.C:
			return
		}
	}
}
