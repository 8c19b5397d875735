package taskmanager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/checkpoint/ckptstore"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/task"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

const (
	// transfersMax is how many files of a task go to storage, or come from it, at a time.
	transfersMax = 4
	// partsBytesMax bounds what a task says of itself at a checkpoint: a message, less room for the rest.
	partsBytesMax = serve.MessageBytesMax - 1<<20
	// triggersKept is how many checkpoints a job remembers to have been told of: far more than can be in flight.
	triggersKept = 64
)

// openStorage opens a location of checkpoints. It does not wait for an outside system.
func (tm *TaskManager) openStorage(ctx context.Context, uri string) (blob.Store, error) {
	s, err := blob.Open(ctx, uri, blob.Options{}, tm.cfg.Storage)
	if err != nil {
		return nil, fmt.Errorf("checkpoint storage: %w", err)
	}
	return blob.Retry(s, blob.RetryOptions{}), nil
}

// durables are where the state of a job's tasks goes and comes from.
type durables struct {
	tm *TaskManager
	// store is nil without checkpoints.
	store *ckptstore.Store
	// open reads a file of what is restored.
	open func(ctx context.Context, f checkpoint.File) (io.ReadCloser, error)
	// own says that these files are the job's: they need not be uploaded again.
	own     bool
	epoch   stream.Epoch
	aborted atomic.Uint64
	// present is what storage had when the tasks of the attempt began to share files.
	present present
	mu      struct {
		sync.Mutex
		triggers map[stream.Epoch]*pb.TriggerCheckpoint
		// changed is closed, and replaced, when a trigger is added.
		changed chan struct{}
	}
}

func (x *executor) durablesOf(d *pb.Deploy) (*durables, error) {
	s := &durables{tm: x.tm, present: newPresent()}
	s.mu.triggers, s.mu.changed = map[stream.Epoch]*pb.TriggerCheckpoint{}, make(chan struct{})
	if d.CheckpointDir == "" {
		return s, nil
	}
	root, err := x.tm.openStorage(x.ctx, d.CheckpointDir)
	if err != nil {
		return nil, err
	}
	if s.store, err = ckptstore.New(root, d.JobId); err != nil {
		return nil, err
	}
	s.open, s.own = s.store.OpenState, true
	if d.Restore != nil {
		s.epoch = stream.Epoch(d.Restore.Epoch)
	}
	if dir := d.Restore.GetSavepointDir(); dir != "" {
		from, err := x.tm.openStorage(x.ctx, dir)
		if err != nil {
			return nil, err
		}
		s.open, s.own = ckptstore.NewSavepoint(from).OpenState, false
	}
	return s, nil
}

// restoreOf makes what a task goes on from. The directories of stores are filled when they are opened, on the task's own goroutine.
func (t *taskRun) restoreOf(d *pb.Deploy, dt *pb.DeployTask, dir string) (*task.Restore, error) {
	if d.Restore == nil {
		return nil, nil
	}
	r := &task.Restore{Epoch: stream.Epoch(d.Restore.Epoch), Finished: dt.Finished, Operators: map[string]task.OperatorRestore{}}
	for _, o := range dt.Operators {
		var a checkpoint.Assignment
		if err := json.Unmarshal(o.AssignmentJson, &a); err != nil {
			return nil, fmt.Errorf("decode what operator %s restores: %w", o.OperatorId, err)
		}
		or := task.OperatorRestore{Parts: a.States}
		for _, c := range a.Committables {
			or.Committables = append(or.Committables, task.Committable{Epoch: c.Epoch, Data: c.Data})
		}
		for i, p := range a.Parts {
			at := filepath.Join(dir, "restore", o.OperatorId+"-"+strconv.Itoa(a.Index), strconv.Itoa(i))
			or.Stores = append(or.Stores, task.StorePart{Dir: at, Range: p.Range})
			t.downloads[o.OperatorId] = append(t.downloads[o.OperatorId], download{at, p.Files})
			for _, f := range p.Files {
				if t.job.durables.own {
					t.known[f.Name] = f
				}
			}
		}
		r.Operators[o.OperatorId] = or
		for _, s := range a.Ended {
			r.EndedSplits = append(r.EndedSplits, opSplit(s))
		}
	}
	return r, nil
}

// download is a former task's files and the directory that they go to.
type download struct {
	dir   string
	files []checkpoint.File
}

// fetch brings the files of an operator's keyed state here.
func (t *taskRun) fetch(ctx context.Context, operator string) error {
	tm := t.job.durables.tm
	began := tm.cfg.Clock.Now()
	var local, remote atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(transfersMax)
	for _, d := range t.downloads[operator] {
		if err := os.MkdirAll(d.dir, 0o750); err != nil {
			return fmt.Errorf("state directory: %w", err)
		}
		for _, f := range d.files {
			g.Go(func() error {
				if f.Name == filepath.Base(f.Name) && t.job.fromLocal && t.job.durables.own && tm.local.fetch(t.job.key.id, f, filepath.Join(d.dir, f.Name)) {
					local.Add(f.SizeBytes)
					return nil
				}
				remote.Add(f.SizeBytes)
				return t.fetchFile(ctx, f, d.dir)
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	tm.restoredLocal.Add(local.Load())
	tm.restoredRemote.Add(remote.Load())
	tm.cfg.Log.Info("state restored", "job_id", t.job.key.id, "task", t.vertex.Name, "index", t.id.Index, "operator", operator,
		"epoch", uint64(t.job.durables.epoch), "local_bytes", local.Load(), "remote_bytes", remote.Load(), "ms", tm.cfg.Clock.Now().Sub(began).Milliseconds())
	return nil
}

// damagedError says that a checkpoint cannot be restored from.
type damagedError struct {
	epoch stream.Epoch
	err   error
}

// Error names the epoch.
func (e *damagedError) Error() string {
	return fmt.Sprintf("checkpoint %d is damaged: %v", e.epoch, e.err)
}

// Unwrap returns the cause.
func (e *damagedError) Unwrap() error { return e.err }

// fetchFile downloads a file. What is not what was written is read a second time, in case it was the way that is bad.
func (t *taskRun) fetchFile(ctx context.Context, f checkpoint.File, dir string) (err error) {
	if f.Name != filepath.Base(f.Name) {
		return fmt.Errorf("restore state: file name %q", f.Name)
	}
	for range 2 {
		if err = t.download(ctx, f, filepath.Join(dir, f.Name)); !errors.Is(err, checkpoint.ErrCorrupt) {
			break
		}
	}
	if d := t.job.durables; d.own && (errors.Is(err, checkpoint.ErrCorrupt) || errors.Is(err, blob.ErrNotExist)) {
		return &damagedError{d.epoch, err}
	}
	return err
}

func (t *taskRun) download(ctx context.Context, f checkpoint.File, to string) (err error) {
	r, err := t.job.durables.open(ctx, f)
	if err != nil {
		return fmt.Errorf("restore state: %w", err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	w, err := os.Create(to)
	if err != nil {
		return fmt.Errorf("restore state: %w", err)
	}
	if _, err = io.Copy(w, r); err != nil {
		err = fmt.Errorf("restore state: %w", err)
	}
	return errors.Join(err, w.Close())
}

// trigger begins a checkpoint in all tasks of the job.
func (x *executor) trigger(m *pb.TriggerCheckpoint) {
	j := x.jobs[jobKey{m.JobId, m.Attempt}]
	if j == nil || !j.started {
		return
	}
	e := stream.Epoch(m.Epoch)
	j.durables.told(e, m)
	b := stream.Barrier{Epoch: e, Savepoint: m.Savepoint, Stop: m.Stop, Drain: m.Drain}
	for _, t := range j.tasks {
		t.commands.put(func() { _ = t.task.Trigger(j.ctx, b) }) // fails only when the job ends
	}
}

func (d *durables) told(e stream.Epoch, m *pb.TriggerCheckpoint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.triggers[e] = m
	for old := range d.mu.triggers {
		if old+triggersKept < e {
			delete(d.mu.triggers, old)
		}
	}
	close(d.mu.changed)
	d.mu.changed = make(chan struct{})
}

// await waits for the jobmanager's word on a checkpoint: a barrier from another taskmanager may be faster.
func (d *durables) await(ctx context.Context, e stream.Epoch) (*pb.TriggerCheckpoint, error) {
	for {
		d.mu.Lock()
		m, changed := d.mu.triggers[e], d.mu.changed
		d.mu.Unlock()
		if m != nil {
			return m, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (x *executor) abortCheckpoint(m *pb.AbortCheckpoint) {
	j := x.jobs[jobKey{m.JobId, m.Attempt}]
	if j == nil || !j.started {
		return
	}
	j.durables.aborted.Store(max(j.durables.aborted.Load(), m.Epoch))
	for _, t := range j.tasks {
		t.commands.put(func() { _ = t.task.Abort(j.ctx, stream.Epoch(m.Epoch)) }) // fails only when the job ends
		t.uploads.put(func() { t.warnLocal(x, x.tm.local.abort(j.key.id, localKey(t.id), stream.Epoch(m.Epoch))) })
	}
}

func (x *executor) commitCheckpoint(m *pb.CommitCheckpoint) {
	j := x.jobs[jobKey{m.JobId, m.Attempt}]
	if j == nil || !j.started {
		return
	}
	live := map[string]bool{}
	for _, t := range j.tasks {
		live[localKey(t.id)] = true
	}
	for _, t := range j.tasks {
		t.commands.put(func() { _ = t.task.Commit(j.ctx, stream.Epoch(m.Epoch)) }) // fails only when the job ends
		t.uploads.put(func() {
			t.warnLocal(x, x.tm.local.complete(j.key.id, localKey(t.id), stream.Epoch(m.Epoch), live))
		})
	}
}

// onSnapshot makes a snapshot durable and tells. It is called on the task's goroutine and does not keep it.
func (x *executor) onSnapshot(t *taskRun, s task.Snapshot) {
	t.uploads.put(func() {
		ack, err := x.save(t, &s)
		if err == nil && !ack.Savepoint && t.job.fromLocal && len(s.Stores) > 0 {
			t.holdLocal(x, &s)
		}
		if closeErr := s.Close(); closeErr != nil {
			x.tm.cfg.Log.Warn("snapshot not removed", "job_id", t.job.key.id, "task", t.task.Name(), "error", closeErr)
		}
		switch {
		case t.job.ctx.Err() != nil:
		case err != nil:
			x.box.put(&pb.ConnectRequest{Message: &pb.ConnectRequest_CheckpointDecline{CheckpointDecline: &pb.CheckpointDecline{
				JobId: t.job.key.id, Attempt: t.job.key.attempt, Task: t.id, Epoch: uint64(s.Epoch), Reason: err.Error(),
			}}})
		default:
			x.box.put(&pb.ConnectRequest{Message: &pb.ConnectRequest_CheckpointAck{CheckpointAck: ack}})
		}
	})
}

// save uploads what storage does not have yet.
func (x *executor) save(t *taskRun, s *task.Snapshot) (*pb.CheckpointAck, error) {
	j, d := t.job, t.job.durables
	m, err := d.await(j.ctx, s.Epoch)
	if err != nil {
		return nil, err
	}
	if uint64(s.Epoch) <= d.aborted.Load() {
		return nil, errors.New("it was given up")
	}
	began := x.tm.cfg.Clock.Now()
	if err := t.sized(x); err != nil && j.ctx.Err() == nil {
		x.tm.cfg.Log.Warn("checkpoint storage is not asked what it has of the restored state", "job_id", j.key.id, "task", t.task.Name(), "error", err)
	}
	parts := t.parts(s)
	used := map[string]checkpoint.File{}
	for i := range parts {
		st := s.Stores[parts[i].Operator]
		if st == nil {
			continue
		}
		if parts[i].State.Files, parts[i].NewBytes, err = t.saveStore(s.Epoch, m, st); err != nil {
			return nil, fmt.Errorf("operator %q: %w", parts[i].Name, err)
		}
		for _, f := range parts[i].State.Files {
			used[f.Name] = f
		}
	}
	if !m.Savepoint { // its files are its own
		t.known = used
		t.mended(x)
	}
	data, err := json.Marshal(parts)
	if err != nil {
		return nil, err
	}
	if len(data) > partsBytesMax {
		return nil, fmt.Errorf("its own state, positions and what its sinks have prepared take %d bytes: %d are possible", len(data), partsBytesMax)
	}
	return &pb.CheckpointAck{
		JobId: j.key.id, Attempt: j.key.attempt, Task: t.id, Epoch: uint64(s.Epoch), Savepoint: m.Savepoint, PartsJson: data, Final: s.Final,
		AlignMs: s.Alignment.Milliseconds(), SnapshotMs: s.Sync.Milliseconds(), UploadMs: x.tm.cfg.Clock.Now().Sub(began).Milliseconds(),
	}, nil
}

// parts are what a snapshot says, but for the files: an entry for each operator, so that the checkpoint knows that none is missing.
func (t *taskRun) parts(s *task.Snapshot) []checkpoint.TaskPart {
	groups := maxParallelism(t.job.graph)
	index, parallelism := int(t.id.Index), t.vertex.Parallelism
	parts := make([]checkpoint.TaskPart, len(t.vertex.Ops))
	for i, n := range t.vertex.Ops {
		p := &parts[i]
		p.Operator, p.Name, p.Parallelism, p.MaxParallelism = n.ID, n.Name, parallelism, groups
		p.State = checkpoint.TaskState{
			Index: index, Range: stream.RangeOf(index, groups, parallelism), Finished: s.Final, State: s.States[n.ID],
		}
		for _, sp := range s.Splits[n.ID] {
			p.State.Splits = append(p.State.Splits, checkpoint.Split{ID: sp.ID, Pos: sp.Pos, Ended: sp.Ended})
		}
		for _, c := range s.Committables[n.ID] {
			p.State.Committables = append(p.State.Committables, checkpoint.Committable{Epoch: c.Epoch, Data: c.Data})
		}
	}
	return parts
}

func maxParallelism(g *graph.JobGraph) int {
	if g.MaxParallelism > 0 {
		return g.MaxParallelism
	}
	return stream.DefaultMaxParallelism
}

func (t *taskRun) saveStore(e stream.Epoch, m *pb.TriggerCheckpoint, st state.Snapshot) (files []checkpoint.File, newBytes int64, err error) {
	d := t.job.durables
	put := func(ctx context.Context, f state.SnapshotFile) (checkpoint.File, error) {
		return d.store.PutState(ctx, e, f.Name, f.Name, f.SizeBytes, func() (io.ReadCloser, error) { return st.Open(f.Name) })
	}
	if m.Savepoint {
		to, err := d.tm.openStorage(t.job.ctx, m.SavepointDir)
		if err != nil {
			return nil, 0, err
		}
		sp := ckptstore.NewSavepoint(to)
		put = func(ctx context.Context, f state.SnapshotFile) (checkpoint.File, error) {
			return sp.PutState(ctx, f.Name, f.Name, f.SizeBytes, func() (io.ReadCloser, error) { return st.Open(f.Name) })
		}
	} else if d.store == nil {
		return nil, 0, errors.New("there is no checkpoint storage")
	}
	list := st.Files()
	files = make([]checkpoint.File, len(list))
	g, ctx := errgroup.WithContext(t.job.ctx)
	g.SetLimit(transfersMax)
	for i, f := range list {
		if known, ok := t.known[f.Name]; ok && !m.Savepoint && known.SizeBytes == f.SizeBytes {
			files[i] = known
			continue
		}
		newBytes += f.SizeBytes
		g.Go(func() (err error) {
			if files[i], err = put(ctx, f); err == nil {
				err = t.unchanged(files[i])
			}
			return err
		})
	}
	return files, newBytes, g.Wait()
}

// onEndOfInput tells that a task waits for its last checkpoint.
func (x *executor) onEndOfInput(t *taskRun) {
	x.box.put(&pb.ConnectRequest{Message: &pb.ConnectRequest_EndOfInput{EndOfInput: &pb.EndOfInput{
		JobId: t.job.key.id, Attempt: t.job.key.attempt, Task: t.id,
	}}})
}

// lanesWait bounds how long the end of a taskmanager waits for transfers that do not end with their context, as on a share that hangs.
const lanesWait = 5 * time.Second

// joinLanes waits for transfers and commands on their way.
func (tm *TaskManager) joinLanes() {
	done := make(chan struct{})
	go func() { defer close(done); tm.lanes.Wait() }()
	timer := time.NewTimer(lanesWait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		tm.cfg.Log.Warn("a transfer to or from checkpoint storage does not end")
	}
}
