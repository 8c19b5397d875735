package jobmanager

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/checkpoint/ckptstore"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/job"
	"github.com/bramble-stream/bramble/engine/stream"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// requested is the answer to a checkpoint.Request.
type requested struct {
	epoch         stream.Epoch
	path, failure string
}

// answer wakes who asked.
func (k *checkpoints) answer(id string, a requested) {
	if w := k.waiting[id]; w != nil {
		delete(k.waiting, id)
		w <- a // there is room for the one answer
	}
}

// openAt opens a location that a user named.
func (jm *JobManager) openAt(uri string) (blob.Store, error) {
	if !filepath.IsAbs(uri) && !strings.Contains(uri, ":") {
		return nil, fmt.Errorf("location %q is relative: write an absolute path, file:///path or s3://bucket/path, as the jobmanager and the taskmanagers see it", uri)
	}
	s, err := blob.Open(context.Background(), uri, blob.Options{}, jm.cfg.Storage)
	if err != nil {
		return nil, err
	}
	return blob.Retry(s, blob.RetryOptions{Random: jm.random}), nil
}

// below is the location of a directory in another one. A URI may have parameters.
func below(uri, dir string) string {
	path, query, has := strings.Cut(uri, "?")
	path = strings.TrimRight(path, "/") + "/" + dir
	if has {
		path += "?" + query
	}
	return path
}

// ask has the coordinator take a checkpoint or savepoint of a running job, and waits for it. It returns the job's full ID.
func (s *jobService) ask(ctx context.Context, id string, req checkpoint.Request, dir string) (fullID string, a requested, err error) {
	answered := make(chan requested, 1)
	err = s.do(ctx, func(c *cluster) error {
		r, err := c.find(id)
		if err != nil {
			return err
		}
		fullID = r.id
		switch {
		case r.ckpt == nil:
			return status.Error(codes.FailedPrecondition, "the jobmanager has no place for state: start it with --checkpoint-dir")
		case r.machine.State() != job.Running:
			return status.Errorf(codes.FailedPrecondition, "job %s is %s, not RUNNING", r.id, r.machine.State())
		}
		r.ckpt.requests++
		req.ID = strconv.Itoa(r.ckpt.requests)
		if req.Savepoint {
			req.Path = r.savepointDir(c.jm.cfg.CheckpointDir, dir, req.ID)
			if _, err := c.jm.openAt(req.Path); err != nil {
				return status.Error(codes.InvalidArgument, err.Error())
			}
		}
		r.ckpt.waiting[req.ID] = answered
		c.coordinate(r, req)
		return nil
	})
	if err != nil {
		return fullID, a, err
	}
	select {
	case a = <-answered:
		if a.failure != "" {
			return fullID, a, status.Error(codes.FailedPrecondition, "it failed: "+a.failure)
		}
		return fullID, a, nil
	case <-ctx.Done():
		return fullID, a, status.FromContextError(ctx.Err()).Err()
	case <-s.jm.stopped:
		return fullID, a, status.Error(codes.Unavailable, errStopped.Error())
	}
}

// savepointDir is a savepoint's own directory.
func (r *running) savepointDir(checkpointDir, dir, request string) string {
	if dir == "" {
		dir = r.planned.Graph.Config[keyCheckpointing+"savepoint-dir"]
	}
	if dir == "" {
		dir = below(checkpointDir, "savepoints")
	}
	return below(dir, fmt.Sprintf("savepoint-%s-%d-%s", r.id[:8], r.machine.Attempt(), request))
}

// TriggerSavepoint implements pb.JobServiceServer.
func (s *jobService) TriggerSavepoint(ctx context.Context, req *pb.TriggerSavepointRequest) (*pb.TriggerSavepointResponse, error) {
	id, a, err := s.ask(ctx, req.JobId, checkpoint.Request{Savepoint: true}, req.Directory)
	if err != nil {
		return nil, err
	}
	return &pb.TriggerSavepointResponse{JobId: id, Path: a.path}, nil
}

// TriggerCheckpoint implements rest.Actions: the job's next checkpoint is taken now.
func (s *jobService) TriggerCheckpoint(ctx context.Context, job string) (id uint64, err error) {
	_, a, err := s.ask(ctx, job, checkpoint.Request{}, "")
	return uint64(a.epoch), err
}

// StopJob implements pb.JobServiceServer.
func (s *jobService) StopJob(ctx context.Context, req *pb.StopJobRequest) (*pb.StopJobResponse, error) {
	id, a, err := s.ask(ctx, req.JobId, checkpoint.Request{Savepoint: true, Stop: true, Drain: req.Drain}, req.Directory)
	if err != nil {
		return nil, err
	}
	resp := &pb.StopJobResponse{JobId: id, Path: a.path}
	err = s.watch(ctx, id, func(r *running) error {
		return r.untilGone(&resp.State)
	})
	if !errors.Is(err, errEnded) {
		return nil, err
	}
	return resp, nil
}

// loadSavepoint reads what a job is to go on from, and checks that nothing of it is lost.
func (s *jobService) loadSavepoint(ctx context.Context, path string, g *graph.JobGraph, allowLoss bool) (*restorePlan, error) {
	if s.jm.storage == nil {
		return nil, status.Error(codes.FailedPrecondition, "the jobmanager has no place for state: start it with --checkpoint-dir")
	}
	from, err := s.jm.openAt(path)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	m, err := ckptstore.NewSavepoint(from).Load(ctx)
	if errors.Is(err, blob.ErrNotExist) {
		return nil, status.Errorf(codes.InvalidArgument, "there is no savepoint at %s", path)
	} else if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "savepoint %s: %v", path, err)
	}
	if lost := unmatched(m, g); len(lost) > 0 && !allowLoss {
		return nil, status.Errorf(codes.InvalidArgument,
			"savepoint %s has state that no operator of the job takes over: %s; --allow-non-restored-state leaves it behind: what takes its place begins empty", path, strings.Join(lost, ", "))
	}
	p, err := planRestore(m, g)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "savepoint %s: %v", path, err)
	}
	p.savepoint = path
	return p, nil
}

// DisposeSavepoint implements pb.JobServiceServer.
func (s *jobService) DisposeSavepoint(ctx context.Context, req *pb.DisposeSavepointRequest) (*pb.DisposeSavepointResponse, error) {
	at, err := s.jm.openAt(req.Path)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if err := ckptstore.NewSavepoint(at).Dispose(ctx, false); err != nil {
		if errors.Is(err, blob.ErrNotExist) {
			return nil, status.Errorf(codes.NotFound, "there is no savepoint at %s", req.Path)
		}
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	return &pb.DisposeSavepointResponse{}, nil
}

// RescaleJob implements pb.JobServiceServer.
func (s *jobService) RescaleJob(ctx context.Context, req *pb.RescaleJobRequest) (*pb.RescaleJobResponse, error) {
	if req.Parallelism < 1 {
		return nil, status.Errorf(codes.InvalidArgument, "parallelism %d: at least 1", req.Parallelism)
	}
	var plan PlanRequest
	var now *graph.JobGraph
	slots := 0
	err := s.do(ctx, func(c *cluster) error {
		r, err := c.find(req.JobId)
		if err == nil {
			plan, now = r.request, r.planned.Graph
			slots, _ = c.slotCounts()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if int(req.Parallelism) > slots {
		return nil, status.Errorf(codes.FailedPrecondition, "parallelism %d needs as many slots: the cluster has %d", req.Parallelism, slots)
	}
	plan.Parallelism = int(req.Parallelism)
	plan.Config = maps.Clone(plan.Config)
	if plan.Config == nil {
		plan.Config = map[string]string{}
	}
	plan.Config["parallelism.default"] = strconv.Itoa(plan.Parallelism)
	p, err := s.planRequest(plan)
	if err != nil {
		return nil, err
	}
	if !sameOperators(now, p.Graph) {
		return nil, status.Errorf(codes.FailedPrecondition,
			"at parallelism %d the job is planned with other operators, which would lose state: stop it and submit it anew", plan.Parallelism)
	}
	id, _, err := s.ask(ctx, req.JobId, checkpoint.Request{}, "")
	if err != nil {
		return nil, err
	}
	return s.replan(ctx, id, plan, p)
}

// replan has a job restart with another plan, and waits until it runs.
func (s *jobService) replan(ctx context.Context, id string, req PlanRequest, p *Planned) (*pb.RescaleJobResponse, error) {
	before := 0
	err := s.do(ctx, func(c *cluster) error {
		r, err := c.find(id)
		if err != nil {
			return err
		}
		if r.machine.State() != job.Running {
			return status.Errorf(codes.FailedPrecondition, "job %s is %s, not RUNNING", r.id, r.machine.State())
		}
		before = r.machine.Attempt()
		r.request, r.next = req, p
		c.apply(r, job.Replan{})
		return nil
	})
	if err != nil {
		return nil, err
	}
	resp := &pb.RescaleJobResponse{JobId: id}
	err = s.watch(ctx, id, func(r *running) error {
		resp.State = jobStates[r.machine.State()]
		if st := r.machine.State(); st.Ended() || st == job.Running && r.machine.Attempt() > before {
			return errEnded
		}
		return nil
	})
	if !errors.Is(err, errEnded) {
		return nil, err
	}
	return resp, nil
}

// sameOperators says that all operators of a have their like in b.
func sameOperators(a, b *graph.JobGraph) bool {
	known := map[string]bool{}
	for _, v := range b.Vertices {
		for _, n := range v.Ops {
			known[n.ID] = true
		}
	}
	for _, v := range a.Vertices {
		for _, n := range v.Ops {
			if !known[n.ID] {
				return false
			}
		}
	}
	return true
}
