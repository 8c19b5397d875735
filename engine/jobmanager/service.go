package jobmanager

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bramble-stream/bramble/engine/job"
	"github.com/bramble-stream/bramble/engine/serve"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// jobService answers clients.
type jobService struct {
	pb.UnimplementedJobServiceServer
	jm *JobManager
}

// do runs f in the loop; its error becomes a status, unless it is one.
func (s *jobService) do(ctx context.Context, f func(*cluster) error) error {
	var err error
	if doErr := s.jm.do(ctx, func(c *cluster) { err = f(c) }); doErr != nil {
		if ctx.Err() != nil {
			return status.FromContextError(ctx.Err()).Err()
		}
		if err := s.jm.refusal(); err != nil {
			return err // since a moment ago
		}
		return status.Error(codes.Unavailable, doErr.Error())
	}
	return err
}

func (s *jobService) plan(script *pb.Script, name string) (PlanRequest, *Planned, error) {
	req := PlanRequest{
		File: script.GetName(), Script: script.GetText(), Name: name, Config: script.GetConfig(), Parallelism: int(script.GetParallelism()),
	}
	if script == nil {
		return req, nil, status.Error(codes.InvalidArgument, "no script given")
	}
	p, err := s.planRequest(req)
	return req, p, err
}

func (s *jobService) planRequest(req PlanRequest) (*Planned, error) {
	var p *Planned
	err := serve.Guard(s.jm.cfg.Log, "the planner", func() (err error) {
		p, err = s.jm.cfg.Plan(req)
		return err
	})
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if len(p.Graph.Vertices) == 0 {
		return nil, status.Error(codes.InvalidArgument, "the script has nothing to run")
	}
	return p, nil
}

// SubmitJob implements pb.JobServiceServer.
func (s *jobService) SubmitJob(ctx context.Context, req *pb.SubmitJobRequest) (*pb.SubmitJobResponse, error) {
	plan, p, err := s.plan(req.Script, req.JobName)
	if err != nil {
		return nil, err
	}
	var base *restorePlan
	if req.FromSavepoint != "" {
		if base, err = s.loadSavepoint(ctx, req.FromSavepoint, p.Graph, req.AllowNonRestoredState); err != nil {
			return nil, err
		}
	}
	var raw [16]byte
	if _, err := io.ReadFull(s.jm.cfg.Rand, raw[:]); err != nil {
		return nil, status.Errorf(codes.Internal, "make a job ID: %v", err)
	}
	r, err := s.jm.newRunning(hex.EncodeToString(raw[:]), plan, p, base)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	r.savepoint = req.FromSavepoint
	// Storage knows of the job before its user does: what was accepted comes back.
	if err := s.jm.remember(ctx, r.entry(r.attempt())); err != nil {
		_ = s.jm.forget(context.WithoutCancel(ctx), r.id) // it may have been written nevertheless
		return nil, status.Errorf(codes.Unavailable, "checkpoint storage: %v", err)
	}
	err = s.do(ctx, func(c *cluster) error {
		if err := c.submit(r); err != nil {
			return status.Error(codes.ResourceExhausted, err.Error())
		}
		return nil
	})
	if err != nil {
		if forgetErr := s.jm.forget(context.WithoutCancel(ctx), r.id); forgetErr != nil {
			s.jm.cfg.Log.Warn("a refused job's entry in storage not removed", "job_id", r.id, "error", forgetErr)
		}
		return nil, err
	}
	return &pb.SubmitJobResponse{JobId: r.id, Warnings: p.Warnings}, nil
}

// Explain implements pb.JobServiceServer.
func (s *jobService) Explain(_ context.Context, req *pb.ExplainRequest) (*pb.ExplainResponse, error) {
	_, p, err := s.plan(req.Script, "")
	if err != nil {
		return nil, err
	}
	return &pb.ExplainResponse{LogicalPlan: p.Logical, PhysicalPlan: p.Physical, Warnings: p.Warnings}, nil
}

// ListJobs implements pb.JobServiceServer.
func (s *jobService) ListJobs(ctx context.Context, req *pb.ListJobsRequest) (*pb.ListJobsResponse, error) {
	resp := &pb.ListJobsResponse{}
	err := s.do(ctx, func(c *cluster) error {
		for _, id := range slices.Backward(c.order) {
			sum := c.jobs[id].summary()
			if len(req.States) == 0 || slices.Contains(req.States, sum.State) {
				resp.Jobs = append(resp.Jobs, sum)
			}
		}
		return nil
	})
	return resp, err
}

// GetJob implements pb.JobServiceServer.
func (s *jobService) GetJob(ctx context.Context, req *pb.GetJobRequest) (*pb.GetJobResponse, error) {
	resp := &pb.GetJobResponse{}
	err := s.do(ctx, func(c *cluster) error {
		r, err := c.find(req.JobId)
		if err != nil {
			return err
		}
		resp.Job = r.detail()
		return nil
	})
	return resp, err
}

// errEnded ends a watch: not a failure.
var errEnded = errors.New("the job has ended")

// watch calls f, in the loop, now and after each change, until f fails.
func (s *jobService) watch(ctx context.Context, id string, f func(*running) error) error {
	wake := make(chan struct{}, 1)
	var r *running
	if err := s.do(ctx, func(c *cluster) (err error) {
		if r, err = c.find(id); err == nil {
			r.watchers[wake] = struct{}{}
		}
		return err
	}); err != nil {
		return err
	}
	defer s.jm.post(context.WithoutCancel(ctx), func(*cluster) { delete(r.watchers, wake) }) //nolint:errcheck // fails only at the end
	for {
		if err := s.do(ctx, func(*cluster) error { return f(r) }); err != nil {
			return err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// WatchJob implements pb.JobServiceServer.
func (s *jobService) WatchJob(req *pb.WatchJobRequest, stream pb.JobService_WatchJobServer) error {
	// What is sent is made in the loop and sent outside it, so that a slow client holds nobody up.
	updates := make(chan *pb.WatchJobResponse, 1)
	ctx, cancel := context.WithCancelCause(stream.Context())
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for u := range updates {
			if err := stream.Send(u); err != nil {
				cancel(err)
				return
			}
		}
	}()
	err := s.watch(ctx, req.JobId, func(r *running) error {
		u := &pb.WatchJobResponse{Summary: r.summary(), Health: r.sortedHealth()}
		if f := r.machine.Failures(); len(f) > 0 {
			u.RootCause = r.exception(f[0])
		}
		select {
		case updates <- u:
		default: // the one that waits is out of date; only this goroutine, the loop, puts
			select {
			case <-updates:
			default:
			}
			updates <- u
		}
		if r.machine.State().Ended() {
			return errEnded
		}
		return nil
	})
	close(updates)
	<-sent
	cancel(nil)
	if errors.Is(err, errEnded) {
		return nil
	}
	return err
}

// CancelJob implements pb.JobServiceServer.
func (s *jobService) CancelJob(ctx context.Context, req *pb.CancelJobRequest) (*pb.CancelJobResponse, error) {
	resp := &pb.CancelJobResponse{}
	err := s.do(ctx, func(c *cluster) error {
		r, err := c.find(req.JobId)
		if err != nil {
			return err
		}
		resp.JobId = r.id
		if st := r.machine.State(); st.Ended() {
			return status.Errorf(codes.FailedPrecondition, "job %s has ended already: %s", r.id, st)
		}
		c.apply(r, job.Cancel{})
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = s.watch(ctx, resp.JobId, func(r *running) error {
		return r.untilGone(&resp.State)
	})
	if !errors.Is(err, errEnded) {
		return nil, err
	}
	return resp, nil
}

// untilGone ends a watch when the job has ended for good, and says how.
func (r *running) untilGone(state *pb.JobState) error {
	gone, err := r.gone()
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	if gone {
		*state = jobStates[r.machine.State()]
		return errEnded
	}
	return nil
}

// ListTaskManagers implements pb.JobServiceServer.
func (s *jobService) ListTaskManagers(ctx context.Context, _ *pb.ListTaskManagersRequest) (*pb.ListTaskManagersResponse, error) {
	resp := &pb.ListTaskManagersResponse{}
	err := s.do(ctx, func(c *cluster) error {
		for _, m := range c.sortedMembers() {
			resp.Taskmanagers = append(resp.Taskmanagers, c.info(m))
		}
		return nil
	})
	return resp, err
}

// GetCluster implements pb.JobServiceServer.
func (s *jobService) GetCluster(ctx context.Context, _ *pb.GetClusterRequest) (*pb.GetClusterResponse, error) {
	resp := &pb.GetClusterResponse{Version: s.jm.cfg.Version}
	err := s.do(ctx, func(c *cluster) error {
		total, free := c.slotCounts()
		resp.LeaderEpoch, resp.StartedAtMs = c.epoch, c.jm.wall(c.startedAt)
		resp.Taskmanagers, resp.SlotsTotal, resp.SlotsFree = int32(len(c.members)), int32(total), int32(free) //nolint:gosec // small
		return nil
	})
	return resp, err
}

// find returns the job with the ID, or the only one whose ID begins so. Its error is a status.
func (c *cluster) find(id string) (*running, error) {
	id = strings.ToLower(strings.TrimSpace(id))
	if r := c.jobs[id]; r != nil {
		return r, nil
	}
	if id == "" {
		return nil, status.Error(codes.InvalidArgument, "no job ID given")
	}
	var found []string
	for _, known := range c.order {
		if strings.HasPrefix(known, id) {
			found = append(found, known)
		}
	}
	switch len(found) {
	case 0:
		return nil, status.Errorf(codes.NotFound, "no job %s; `bramble list -a` shows those that are known", id)
	case 1:
		return c.jobs[found[0]], nil
	}
	return nil, status.Error(codes.InvalidArgument, fmt.Sprintf("%s is the beginning of %d job IDs: %s", id, len(found), strings.Join(found, ", ")))
}
