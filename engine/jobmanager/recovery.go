package jobmanager

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/checkpoint/ckptstore"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/job"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// recoveredReason is the end of a job's former attempt as its user sees it.
const recoveredReason = "the jobmanager was lost or stopped: recovered from checkpoint storage"

// entry is what storage is to know of the job at an attempt.
func (r *running) entry(attempt int32) ckptstore.Entry {
	q := r.request
	return ckptstore.Entry{
		JobID: r.id, Attempt: attempt, File: q.File, Script: q.Script, Name: q.Name, Config: q.Config, Parallelism: q.Parallelism,
		Savepoint: r.savepoint, SubmittedMS: r.submittedAt,
	}
}

// remember writes the job's entry into storage, if there is any. It gives the leadership up when another one has it.
func (jm *JobManager) remember(ctx context.Context, e ckptstore.Entry) error {
	if jm.storage == nil {
		return nil
	}
	return jm.fence(ckptstore.WriteEntry(ctx, jm.storage, jm.leader, e))
}

// forget has a job that has ended not come back.
func (jm *JobManager) forget(ctx context.Context, id string) error {
	if jm.storage == nil {
		return nil
	}
	return jm.fence(ckptstore.RemoveEntry(ctx, jm.storage, jm.leader, id))
}

func (jm *JobManager) fence(err error) error {
	if errors.Is(err, ckptstore.ErrFenced) {
		jm.abdicate()
	}
	return err
}

// recoverJobs takes in the jobs that storage knows of. The loop does not run yet.
func (jm *JobManager) recoverJobs(ctx context.Context, c *cluster) error {
	if jm.storage == nil {
		return nil
	}
	entries, skipped, err := ckptstore.Entries(ctx, jm.storage)
	if err != nil {
		return fmt.Errorf("checkpoint storage %s: %w", jm.cfg.CheckpointDir, err)
	}
	for _, s := range skipped {
		jm.cfg.Log.Error("what storage knows of a job cannot be used", "object", s.Name, "error", s.Err)
	}
	for _, e := range entries {
		r, err := jm.recovered(ctx, e)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			jm.lostJob(ctx, c, e, err)
			continue
		}
		c.jobs[r.id] = r
		c.order = append(c.order, r.id)
		jm.cfg.Log.Info("job recovered", "job_id", r.id, "job_name", r.name(), "attempt", e.Attempt+1, "checkpoints", len(r.ckpt.coord.Completed()))
		c.apply(r, job.Tick{}) // begins the next attempt
	}
	return nil
}

// unplannable is an error that the next jobmanager would have, too.
type unplannable struct{ error }

func (e unplannable) Unwrap() error { return e.error }

// recovered makes a job of its entry and what it has in storage.
func (jm *JobManager) recovered(ctx context.Context, e ckptstore.Entry) (*running, error) {
	req := PlanRequest{File: e.File, Script: e.Script, Name: e.Name, Config: e.Config, Parallelism: e.Parallelism}
	p, err := (&jobService{jm: jm}).planRequest(req)
	if err != nil {
		return nil, unplannable{fmt.Errorf("the script is not planned any more: %w", err)}
	}
	limited, cancel := context.WithTimeout(ctx, prepareMax)
	defer cancel()
	store, err := ckptstore.New(jm.storage, e.JobID)
	if err != nil {
		return nil, unplannable{err}
	}
	found, err := store.Find(limited)
	if err != nil {
		return nil, err
	}
	m, err := found.Latest()
	if err != nil && !errors.Is(err, ckptstore.ErrNone) {
		return nil, unplannable{err}
	}
	var base *restorePlan
	switch {
	case m != nil:
		if lost := unmatched(m, p.Graph); len(lost) > 0 {
			return nil, unplannable{fmt.Errorf("the script is planned with other operators than before: the state of %s would be lost", lost)}
		}
	case e.Savepoint != "":
		// Whether to leave state behind was decided at the submission.
		if base, err = (&jobService{jm: jm}).loadSavepoint(limited, e.Savepoint, p.Graph, true); err != nil {
			return nil, err
		}
	}
	r, err := jm.newRunning(e.JobID, req, p, base)
	if err != nil {
		return nil, unplannable{err}
	}
	used := found.Used
	if base != nil {
		used = max(used, base.epoch)
	}
	k := r.ckpt
	k.coord, k.restore = checkpoint.NewCoordinator(k.cfg, found.Manifests, used), nil
	for _, s := range found.Skipped {
		jm.cfg.Log.Warn("checkpoint cannot be used", "job_id", e.JobID, "epoch", s.Epoch, "error", s.Err)
		k.damaged[s.Epoch] = true
	}
	r.savepoint, r.submittedAt, r.unlisted = e.Savepoint, e.SubmittedMS, true
	r.machine.Recover(jm.now().UnixMilli(), int(e.Attempt), recoveredReason)
	return r, nil
}

// lostJob shows a job that cannot be recovered as FAILED, with the reason. Its checkpoints stay. So does its entry when it is storage
// that cannot be read: the next jobmanager tries again.
func (jm *JobManager) lostJob(ctx context.Context, c *cluster, e ckptstore.Entry, why error) {
	name := e.Name
	if name == "" {
		name = e.File
	}
	r := &running{
		id: e.JobID, request: PlanRequest{File: e.File, Script: e.Script, Name: e.Name}, submittedAt: e.SubmittedMS,
		wall: jm.wall, watchers: map[chan struct{}]struct{}{},
	}
	parallelism := r.adopt(&Planned{Graph: &graph.JobGraph{Name: name, Config: map[string]string{}}})
	r.machine = job.New(c.even(), parallelism, jm.cfg.Limits, job.Strategy{})
	c.jobs[r.id] = r
	c.order = append(c.order, r.id)
	c.apply(r, job.Prepared{Failure: &job.Failure{Message: "not recovered: " + why.Error()}})
	if errors.As(why, new(unplannable)) {
		if err := jm.forget(ctx, e.JobID); err != nil {
			jm.cfg.Log.Warn("a failed job's entry in storage not removed", "job_id", e.JobID, "error", err)
		}
	}
}

// prepareAttempt finds the newest checkpoint that is whole, cleans up, and has storage know of the attempt before anything of it runs,
// outside the loop. The coordinator has said which checkpoint it should be.
func (c *cluster) prepareAttempt(r *running, want *checkpoint.Manifest) {
	jm, k, attempt, g := c.jm, r.ckpt, r.attempt(), r.nextGraph()
	entry, list := r.entry(attempt), r.unlisted && want == nil
	k.io++ // what has ended removes its entry and its checkpoints after this
	jm.work.Go(func() {
		plan, splits, err := jm.findAttempt(c.ctx, k, want, g, entry, list)
		jm.post(c.ctx, func(c *cluster) { //nolint:errcheck // fails only when the jobmanager stops
			k.io--
			defer c.removeCheckpoints(r)
			if c.current(r.id, attempt) == nil || r.machine.State() != job.Restarting {
				return
			}
			e := job.Prepared{}
			if err != nil {
				e.Failure = &job.Failure{Message: "restore: " + err.Error()}
			} else {
				c.passedOver(r, want, plan)
				r.ckpt.restore = plan
				e.Parallelism = r.replan()
				if splits != nil {
					r.splits, r.unlisted = splits, false
				}
			}
			if plan != nil {
				e.ExtraMS = plan.bytes / restoreBytesPerMS
				jm.cfg.Log.Info("restoring", "job_id", r.id, "epoch", plan.epoch, "attempt", attempt, "bytes", plan.bytes)
			}
			c.apply(r, e)
		})
	})
}

// distrust has the next attempt begin with the checkpoint before, when a task says that a file of the one that it was to go on from is missing or not
// what was written. It comes before the failure has its effect.
func (c *cluster) distrust(r *running, f *pb.TaskFailure) {
	k := r.ckpt
	e := stream.Epoch(f.GetDamagedEpoch())
	if k == nil || e == 0 || k.restore == nil || k.restore.savepoint != "" || k.restore.epoch != e || k.damaged[e] {
		return
	}
	k.damaged[e] = true
	only := "the one before is used"
	if len(k.coord.Completed()) < 2 {
		only = "there is none before it: it is tried again"
	}
	c.jm.cfg.Log.Error("checkpoint is damaged", "job_id", r.id, "epoch", e, "error", f.GetMessage(), "then", only)
	c.coordinate(r, checkpoint.Damaged{Epoch: e})
}

// passedOver counts the checkpoints between the wanted one and the one that was found instead: their manifests are damaged, or files are missing.
func (c *cluster) passedOver(r *running, want *checkpoint.Manifest, plan *restorePlan) {
	if want == nil || plan == nil || plan.epoch == want.Epoch {
		return
	}
	for _, m := range slices.Backward(r.ckpt.coord.Completed()) {
		if m.Epoch == plan.epoch {
			return
		}
		r.ckpt.damaged[m.Epoch] = true
		c.coordinate(r, checkpoint.Damaged{Epoch: m.Epoch})
	}
}

// findAttempt returns what an attempt goes on from and, if it is to list it, what there is to read.
func (jm *JobManager) findAttempt(ctx context.Context, k *checkpoints, want *checkpoint.Manifest, g *graph.JobGraph, entry ckptstore.Entry,
	list bool,
) (plan *restorePlan, splits [][][]op.Split, err error) {
	ctx, cancel := context.WithTimeout(ctx, prepareMax)
	defer cancel()
	plan = k.base // does not change
	if want != nil {
		if plan, err = jm.findRestore(ctx, k.store, want, g); err != nil {
			return nil, nil, err
		}
	}
	// Nothing of the job runs now: whatever no manifest lists is of attempts that were cut short.
	if _, gcErr := k.store.GC(ctx, jm.leader, stream.Epoch(math.MaxUint64)); gcErr != nil {
		jm.cfg.Log.Warn("orphans in checkpoint storage not removed", "job_id", entry.JobID, "error", gcErr)
	}
	if err = jm.remember(ctx, entry); err != nil {
		return nil, nil, err
	}
	if list {
		splits, failure := jm.listSplits(ctx, g)
		if failure != nil {
			return nil, nil, errors.New(failure.Message)
		}
		return plan, splits, nil
	}
	return plan, nil, nil
}
