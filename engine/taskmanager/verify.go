package taskmanager

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/task"
)

// Checkpoints share files of state, so that one damaged file in storage would spoil all that are there, and nobody would notice while tasks restart
// from the files that they have themselves. So what running tasks share is looked at: sizes before the first checkpoint of an attempt, contents now and then.
// The task has each file still, since its next checkpoint would list it: what storage has lost it uploads again, under the epoch of that checkpoint.

// componentStorage is under what name `bramble status` shows files that are damaged.
const componentStorage = "checkpoint storage"

// present is the listing that tasks of an attempt share.
type present struct {
	// turn is taken by who asks storage; the others wait, until it has answered or their job has ended: a mutex would have them wait beyond that.
	turn  chan struct{}
	sizes map[string]int64
}

func newPresent() present { return present{turn: make(chan struct{}, 1)} }

// list asks storage once; a failure is not remembered.
func (p *present) list(ctx context.Context, list func(context.Context) (map[string]int64, error)) (map[string]int64, error) {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-p.turn }()
	if p.sizes == nil {
		sizes, err := list(ctx)
		if err != nil {
			return nil, err
		}
		p.sizes = sizes
	}
	return p.sizes, nil
}

// sized compares the sizes of what is restored with what storage has, before a checkpoint of the attempt shares it: a restart may have done without
// what is missing. It runs on the lane of uploads.
func (t *taskRun) sized(x *executor) error {
	if t.listed = t.listed || len(t.known) == 0; t.listed {
		return nil
	}
	sizes, err := t.job.durables.present.list(t.job.ctx, t.job.durables.store.Sizes)
	if err != nil {
		return err
	}
	t.listed = true
	t.compare(x, slices.Collect(maps.Values(t.known)), sizes)
	return nil
}

// compare distrusts those of files that a listing does not have, or has with another size. It runs on the lane of uploads.
func (t *taskRun) compare(x *executor, files []checkpoint.File, sizes map[string]int64) {
	for _, f := range files {
		switch size, ok := sizes[f.Path]; {
		case !ok:
			t.distrust(x, f, fmt.Errorf("%s is missing", f.Path))
		case size != f.SizeBytes:
			t.distrust(x, f, fmt.Errorf("%s has %d bytes, not %d", f.Path, size, f.SizeBytes))
		}
	}
}

// distrust has the next checkpoint upload a file again. It runs on the lane of uploads, and knows whether the file is shared still: what is not may be gone.
func (t *taskRun) distrust(x *executor, f checkpoint.File, why error) {
	if t.known[f.Name] != f {
		return
	}
	delete(t.known, f.Name)
	t.again[f.Name] = f
	x.tm.damagedFiles.Add(1)
	x.tm.cfg.Log.Error("state in checkpoint storage is damaged: the next checkpoint uploads it again from this taskmanager's own copy",
		"job_id", t.job.key.id, "task", t.vertex.Name, "index", t.id.Index, "error", why)
	x.onHealth(t, task.Health{Component: componentStorage, Err: fmt.Errorf("damaged, and to be uploaded again with the next checkpoint: %w", why)})
}

// unchanged checks a file that has been uploaded again: the copy that is here may be no better.
func (t *taskRun) unchanged(f checkpoint.File) error {
	if was, ok := t.again[f.Name]; ok && (was.Checksum != f.Checksum || was.SizeBytes != f.SizeBytes) {
		return fmt.Errorf("%w: file %s of state is damaged in checkpoint storage and on this taskmanager, which should have repaired it", checkpoint.ErrCorrupt, f.Name)
	}
	return nil
}

// mended forgets what the checkpoint that was just saved has uploaded again, or does not list any more. It runs on the lane of uploads.
func (t *taskRun) mended(x *executor) {
	if len(t.again) == 0 {
		return
	}
	clear(t.again)
	x.onHealth(t, task.Health{Component: componentStorage})
}

// verifying looks at the shared files of a job until its tasks end. A pass begins at once, since tasks may have been restored from their own files, and then
// at most once in an interval.
func (x *executor) verifying(j *jobRun) {
	for {
		began := x.tm.cfg.Clock.Now()
		if err := x.verifyAll(j); err != nil && j.ctx.Err() == nil {
			x.tm.cfg.Log.Warn("state in checkpoint storage not read back", "job_id", j.key.id, "error", err)
		}
		if blob.Sleep(j.ctx, max(j.verifyEvery-x.tm.cfg.Clock.Now().Sub(began), verifyPauseLeast)) != nil {
			return
		}
	}
}

// verifyPauseLeast is between two passes however long they take.
const verifyPauseLeast = 100 * time.Millisecond

// verifyAll is a pass: sizes of all by one listing, then contents, one file after the other.
func (x *executor) verifyAll(j *jobRun) error {
	shared := map[*taskRun][]checkpoint.File{}
	empty := true
	for _, t := range j.tasks {
		shared[t] = t.shared(j.ctx)
		empty = empty && len(shared[t]) == 0
	}
	if empty {
		return context.Cause(j.ctx)
	}
	sizes, err := j.durables.store.Sizes(j.ctx)
	if err != nil {
		return err
	}
	for _, t := range j.tasks {
		t.uploads.put(func() { t.compare(x, shared[t], sizes) })
	}
	// Tasks that were one before may share a file.
	read := map[string]error{}
	for _, t := range j.tasks {
		for _, f := range shared[t] {
			if sizes[f.Path] != f.SizeBytes {
				continue
			}
			err, known := read[f.Path]
			if !known {
				if err = x.readBack(j, f); err != nil && !damaged(err) {
					return err
				}
				read[f.Path] = err
			}
			if err != nil {
				t.uploads.put(func() { t.distrust(x, f, err) })
			}
		}
	}
	return nil
}

// shared are the files that the task's next checkpoint would not upload.
func (t *taskRun) shared(ctx context.Context) []checkpoint.File {
	out := make(chan []checkpoint.File, 1)
	t.uploads.put(func() { out <- slices.Collect(maps.Values(t.known)) })
	select {
	case files := <-out:
		return files
	case <-ctx.Done():
		return nil
	}
}

func damaged(err error) bool {
	return errors.Is(err, checkpoint.ErrCorrupt) || errors.Is(err, blob.ErrNotExist)
}

// readBack reads a file at the rate that the job allows, and a second time if it is not what was written, in case it was the way that is bad.
func (x *executor) readBack(j *jobRun, f checkpoint.File) (err error) {
	pace := func(ctx context.Context, n int64) error {
		x.tm.verifiedBytes.Add(n)
		return blob.Sleep(ctx, time.Duration(float64(n)/float64(j.verifyRate)*float64(time.Second)))
	}
	for range 2 {
		if err = j.durables.store.VerifyState(j.ctx, f, pace); !errors.Is(err, checkpoint.ErrCorrupt) {
			break
		}
	}
	return err
}
