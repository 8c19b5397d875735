package jobmanager

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/checkpoint/ckptstore"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/job"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

const (
	// forgetPause and forgetPauseMax are between attempts to tell storage that a job has ended.
	forgetPause    = time.Second
	forgetPauseMax = time.Minute
)

// recoveredReason is the end of a job's former attempt as its user sees it.
const recoveredReason = "the jobmanager was lost or stopped: recovered from checkpoint storage"

// entry is what storage is to know of the job at an attempt.
func (r *running) entry(attempt int32) ckptstore.Entry {
	q := r.request
	return ckptstore.Entry{
		JobID: r.id, Attempt: attempt, Base: &checkpoint.Base{}, File: q.File, Script: q.Script, Name: q.Name, Config: q.Config, Parallelism: q.Parallelism,
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
		jm.cfg.Log.Error("what storage knows of a job cannot be used", "job_id", s.JobID, "object", s.Name, "error", s.Err)
		known := func(e ckptstore.Entry) bool { return e.JobID == s.JobID }
		if c.jobs[s.JobID] == nil && !slices.ContainsFunc(entries, known) {
			// Its user is to see that there is such a job, and the others are to run.
			c.lostJob(ckptstore.Entry{JobID: s.JobID, Name: "unreadable"}, fmt.Errorf("%s: %w", s.Name, s.Err))
		}
	}
	for _, e := range entries {
		r, err := jm.recovered(ctx, e)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			c.lostJob(e, err)
			jm.forgetLost(ctx, e.JobID, err)
			continue
		}
		c.takeIn(r, e)
	}
	return nil
}

// takeIn has a recovered job begin its next attempt.
func (c *cluster) takeIn(r *running, e ckptstore.Entry) {
	if c.jobs[r.id] == nil {
		c.order = append(c.order, r.id)
	}
	c.jobs[r.id] = r
	c.jm.cfg.Log.Info("job recovered", "job_id", r.id, "job_name", r.name(), "attempt", e.Attempt+1, "checkpoints", len(r.ckpt.coord.Completed()))
	c.apply(r, job.Tick{})
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
	all, err := store.Find(limited)
	if err != nil {
		return nil, err
	}
	found := all.Without(&e)
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
		if err := checkForms(m, p.Graph); err != nil {
			return nil, unplannable{err}
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
		// What is tried all the same has not failed yet.
		if !slices.ContainsFunc(found.Manifests, func(m *checkpoint.Manifest) bool { return m.Epoch == s.Epoch }) {
			k.damaged[s.Epoch] = true
		}
	}
	r.savepoint, r.submittedAt, r.unlisted = e.Savepoint, e.SubmittedMS, true
	r.machine.Recover(jm.now().UnixMilli(), int(e.Attempt), recoveredReason)
	return r, nil
}

// lostJob shows a job that cannot be recovered as FAILED, with the reason. Its checkpoints stay.
func (c *cluster) lostJob(e ckptstore.Entry, why error) {
	jm := c.jm
	name := e.Name
	if name == "" {
		name = e.File
	}
	r := &running{
		id: e.JobID, request: PlanRequest{File: e.File, Script: e.Script, Name: e.Name}, submittedAt: e.SubmittedMS,
		wall: jm.wall, watchers: map[chan struct{}]struct{}{}, lost: mayPass(why),
	}
	message := "not recovered: " + why.Error()
	if r.lost {
		message = "not recovered yet, which is tried again: " + why.Error()
	}
	parallelism := r.adopt(&Planned{Graph: &graph.JobGraph{Name: name, Config: map[string]string{}}})
	r.machine = job.New(c.even(), parallelism, jm.cfg.Limits, job.Strategy{})
	if c.jobs[r.id] == nil {
		c.order = append(c.order, r.id)
	}
	c.jobs[r.id] = r
	c.apply(r, job.Prepared{Failure: &job.Failure{Message: message}})
}

// forgetLost has a job not come back that the next jobmanager would not recover either.
func (jm *JobManager) forgetLost(ctx context.Context, id string, why error) {
	if !errors.As(why, new(unplannable)) {
		return
	}
	if err := jm.forget(ctx, id); err != nil {
		jm.cfg.Log.Warn("a failed job's entry in storage not removed", "job_id", id, "error", err)
	}
}

// prepareAttempt finds the newest checkpoint that is whole, cleans up, and has storage know of the attempt before anything of it runs,
// outside the loop. The coordinator has said which checkpoint it should be.
func (c *cluster) prepareAttempt(r *running, want *checkpoint.Manifest) {
	jm, k, attempt, g := c.jm, r.ckpt, r.attempt(), r.nextGraph()
	entry, list := r.entry(attempt), r.unlisted && want == nil
	entry.Base.Used = k.coord.Used()
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
	if want != nil {
		entry.Base.Leader, entry.Base.Epoch = plan.leader, plan.epoch
	}
	if err = jm.remember(ctx, entry); err != nil {
		return nil, nil, err
	}
	// Nothing of the job runs now: whatever no manifest lists is of attempts that were cut short. And whoever leads next knows what this attempt
	// goes on from, so that nothing of a former leader that appears only now will be missed. Beside what is not whole nothing is removed: it may be all there is.
	if plan == nil || !plan.incomplete {
		if _, gcErr := k.store.Clean(ctx, jm.leader, *entry.Base); gcErr != nil {
			jm.cfg.Log.Warn("orphans in checkpoint storage not removed", "job_id", entry.JobID, "error", jm.fence(gcErr))
		}
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

// isJobID tells the directories of jobs from others, such as those of savepoints.
func isJobID(id string) bool {
	b, err := hex.DecodeString(id)
	return err == nil && len(b) == 16
}

// sweep removes what tasks of former leaders uploaded for jobs that had ended: nobody else will look there. Checkpoints that are to be kept stay.
func (jm *JobManager) sweep(ctx context.Context) {
	ids, err := ckptstore.Jobs(ctx, jm.storage, isJobID)
	if err == nil {
		err = jm.do(ctx, func(c *cluster) {
			// What has no entry and is unknown here had ended before this jobmanager led.
			ids = slices.DeleteFunc(ids, func(id string) bool { return c.jobs[id] != nil })
		})
	}
	for i := 0; i < len(ids) && err == nil && ctx.Err() == nil; i++ {
		var store *ckptstore.Store
		if store, err = ckptstore.New(jm.storage, ids[i]); err != nil {
			break
		}
		removed, gcErr := store.GC(ctx, jm.leader, stream.Epoch(math.MaxUint64))
		if len(removed) > 0 {
			jm.cfg.Log.Info("leftovers of an ended job removed", "job_id", ids[i], "objects", len(removed))
		}
		err = jm.fence(gcErr)
	}
	if err != nil && ctx.Err() == nil {
		jm.cfg.Log.Warn("leftovers of ended jobs not removed", "error", err)
	}
}

// forgetEnded has a job that has ended not come back, trying again for as long as that takes, and removes its checkpoints if they are to go.
func (jm *JobManager) forgetEnded(ctx context.Context, r *running, store *ckptstore.Store, removal bool) {
	for pause := forgetPause; ; pause = min(2*pause, forgetPauseMax) {
		// The entry first: a job that has one and no checkpoints would begin anew.
		err := jm.forget(ctx, r.id)
		jm.post(ctx, func(*cluster) { //nolint:errcheck // fails only when the jobmanager stops
			r.ckpt.forgotten, r.ckpt.unforgotten = err == nil, err
			r.notify()
		})
		if err == nil || ctx.Err() != nil || errors.Is(err, ckptstore.ErrFenced) {
			break
		}
		jm.cfg.Log.Warn("an ended job's entry in storage not removed: it would come back", "job_id", r.id, "error", err)
		if blob.Sleep(ctx, pause) != nil {
			return
		}
	}
	if !removal || ctx.Err() != nil {
		return
	}
	if err := store.RemoveAll(ctx, jm.leader); err != nil && ctx.Err() == nil {
		jm.cfg.Log.Warn("an ended job's checkpoints not removed", "job_id", r.id, "error", err)
	}
}

// gone says whether a job that has ended is out of storage, too. The error says that it is not, yet.
func (r *running) gone() (bool, error) {
	k := r.ckpt
	switch {
	case !r.machine.State().Ended():
		return false, nil
	case k == nil || k.forgotten:
		return true, nil
	case k.unforgotten != nil:
		return false, fmt.Errorf("job %s has ended, but checkpoint storage does not take note, and until it does the job would come back with the next jobmanager: %w",
			r.id, k.unforgotten)
	}
	return false, nil
}
