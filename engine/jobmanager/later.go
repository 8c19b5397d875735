package jobmanager

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/checkpoint/ckptstore"
)

// Jobs that storage did not give out when this jobmanager began to lead are asked for again: a hiccup of a NAS that has just started is no reason for a job to stand
// still until somebody starts the jobmanager again.
const (
	laterPause    = time.Second
	laterPauseMax = time.Minute
)

// mayPass says that a job is not recovered for a reason that may pass: storage could not be read. Damage, and scripts that are not planned any more, stay.
func mayPass(err error) bool {
	return !errors.As(err, new(unplannable)) && !errors.Is(err, checkpoint.ErrCorrupt) && !errors.Is(err, checkpoint.ErrVersion)
}

// lostJobs are those that may yet be recovered.
func (c *cluster) lostJobs() (ids []string) {
	for _, id := range c.order {
		if r := c.jobs[id]; r != nil && r.lost {
			ids = append(ids, id)
		}
	}
	return ids
}

// recoverLater tries again until no job is left to be recovered, or ctx ends.
func (jm *JobManager) recoverLater(ctx context.Context, ids []string) {
	for pause := laterPause; len(ids) > 0; pause = min(2*pause, laterPauseMax) {
		if blob.Sleep(ctx, pause) != nil {
			return
		}
		if entries, skipped, err := ckptstore.Entries(ctx, jm.storage); err == nil {
			ids = slices.DeleteFunc(ids, func(id string) bool { return jm.recoverAgain(ctx, id, entries, skipped) })
		}
	}
}

// recoverAgain reports whether a job's case is closed.
func (jm *JobManager) recoverAgain(ctx context.Context, id string, entries []ckptstore.Entry, skipped []ckptstore.SkippedEntry) (closed bool) {
	at := slices.IndexFunc(entries, func(e ckptstore.Entry) bool { return e.JobID == id })
	if at < 0 {
		hidden := slices.ContainsFunc(skipped, func(s ckptstore.SkippedEntry) bool { return s.JobID == id && mayPass(s.Err) })
		return !hidden
	}
	e := entries[at]
	r, err := jm.recovered(ctx, e)
	if ctx.Err() != nil || err != nil && mayPass(err) {
		return false
	}
	stands := false
	postErr := jm.do(ctx, func(c *cluster) {
		if stands = c.jobs[id] != nil && c.jobs[id].lost; !stands {
			return // somebody has dealt with it
		}
		if err != nil {
			c.lostJob(e, err)
			return
		}
		c.takeIn(r, e)
	})
	if postErr == nil && stands && err != nil {
		jm.forgetLost(ctx, id, err)
	}
	return postErr == nil
}
