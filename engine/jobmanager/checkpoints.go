package jobmanager

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/checkpoint/ckptstore"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/job"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/internal/duration"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

const (
	// defaultIntervalMS is how often checkpoints are taken where there is somewhere to put them.
	defaultIntervalMS = 10_000
	// defaultRetained is one more than Flink keeps: should the newest be damaged, there is one before it.
	defaultRetained = 2
	// keyCheckpointing begins the options about checkpoints; the keys are Flink's.
	keyCheckpointing = "execution.checkpointing."
	// endRequest asks for the checkpoint that all tasks wait for at the end of their input.
	endRequest = "end of input"
	// collectFirst and collectEvery are after how many checkpoints orphans are looked for: soon after a start, when others may just have
	// stopped, then rarely.
	collectFirst, collectEvery = 3, 100
	// restoreBytesPerMS is what a restoring job is trusted to read at least, beyond the time for its deployment: 1 MB/s, a slow Wi-Fi.
	restoreBytesPerMS = 1000
)

// checkpoints is what the loop knows of a job's checkpoints.
type checkpoints struct {
	coord *checkpoint.Coordinator
	store *ckptstore.Store
	cfg   checkpoint.Config
	// finals are the last parts of tasks that wait for their last checkpoint; ended are the tasks that do.
	finals map[job.Ref][]checkpoint.TaskPart
	ended  map[job.Ref]bool
	// restore is what the present attempt goes on from, nil for the beginning.
	restore *restorePlan
	// base is the savepoint that the job was submitted from: what counts until there is a checkpoint.
	base *restorePlan
	// waiting are those who asked for something, by the request's ID.
	waiting  map[string]chan requested
	requests int
	// counted are the epochs of the history that are in the counters.
	counted           map[stream.Epoch]bool
	completed, failed int64
	last              checkpoint.Record
	// damaged are completed ones that could not be restored from.
	damaged map[stream.Epoch]bool
	// io counts what runs on storage. Removal waits until it has ended.
	io int
	// removal is of the checkpoints, forget of the job's entry in storage: it is not to come back.
	removal, forget bool
	// forgotten: the entry is gone; unforgotten is why it is not.
	forgotten   bool
	unforgotten error
	// collectIn counts completed checkpoints down to the next look for orphans.
	collectIn int
}

// restorePlan is what an attempt goes on from.
type restorePlan struct {
	epoch  stream.Epoch
	leader uint64
	// savepoint is where it is, "" for a checkpoint of the job.
	savepoint string
	// operators has an assignment for each task, by operator.
	operators map[string][]checkpoint.Assignment
	bytes     int64
	// incomplete: storage lacks some of its files, and had nothing better.
	incomplete bool
}

// checkpointConfig reads a job's options.
func checkpointConfig(config map[string]string) (checkpoint.Config, error) {
	c := checkpoint.Config{IntervalMS: defaultIntervalMS, Retained: defaultRetained}
	for _, d := range []struct {
		key string
		to  *int64
	}{{"interval", &c.IntervalMS}, {"timeout", &c.TimeoutMS}, {"min-pause", &c.MinPauseMS}} {
		if text := config[keyCheckpointing+d.key]; text != "" {
			v, err := duration.Parse(text)
			if err != nil {
				return c, fmt.Errorf("%s%s: %w", keyCheckpointing, d.key, err)
			}
			*d.to = v.Milliseconds()
		}
	}
	for _, n := range []struct {
		key   string
		to    *int
		least int
	}{{"max-concurrent-checkpoints", &c.MaxConcurrent, 1}, {"tolerable-failed-checkpoints", &c.TolerableFailures, 0}, {"num-retained", &c.Retained, 1}} {
		if text := strings.TrimSpace(config[keyCheckpointing+n.key]); text != "" {
			v, err := strconv.ParseInt(text, 10, 32)
			if err != nil || int(v) < n.least {
				return c, fmt.Errorf("%s%s: %q is not a number from %d on", keyCheckpointing, n.key, text, n.least)
			}
			*n.to = int(v)
		}
	}
	return c, nil
}

// faultTolerance sets up what a job needs to be started again: its strategy and, where there is storage, its checkpoints.
func (jm *JobManager) faultTolerance(id string, g *graph.JobGraph, graphJSON []byte, base *restorePlan) (job.Strategy, *checkpoints, error) {
	cfg, err := checkpointConfig(g.Config)
	if err != nil {
		return job.Strategy{}, nil, err
	}
	strategy, err := job.ParseStrategy(g.Config, jm.storage != nil && cfg.IntervalMS > 0)
	if err != nil || jm.storage == nil {
		return strategy, nil, err
	}
	strategy.Random = jm.random
	store, err := ckptstore.New(jm.storage, id)
	if err != nil {
		return strategy, nil, err
	}
	if cfg.Forms, err = stateForms(g); err != nil {
		return strategy, nil, err
	}
	digest := sha256.Sum256(graphJSON)
	cfg.JobID, cfg.Leader, cfg.GraphDigest = id, jm.leader.Epoch(), hex.EncodeToString(digest[:8])
	var used stream.Epoch
	if base != nil {
		used = base.epoch // tasks take no epoch twice
	}
	return strategy, &checkpoints{
		coord: checkpoint.NewCoordinator(cfg, nil, used), store: store, cfg: cfg, finals: map[job.Ref][]checkpoint.TaskPart{},
		ended: map[job.Ref]bool{}, counted: map[stream.Epoch]bool{}, base: base, restore: base, waiting: map[string]chan requested{},
		damaged: map[stream.Epoch]bool{},
	}, nil
}

// random is in [0, 1).
func (jm *JobManager) random() float64 {
	var b [4]byte
	if _, err := jm.cfg.Rand.Read(b[:]); err != nil {
		return 0.5
	}
	return float64(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3])) / (1 << 32)
}

// coordinate lets an event happen to a job's checkpoints and does what follows.
func (c *cluster) coordinate(r *running, e checkpoint.Event) {
	if r.ckpt == nil {
		return
	}
	for _, cmd := range r.ckpt.coord.Step(c.even(), e) {
		c.coordinated(r, cmd)
	}
	r.ckpt.count()
	r.notify()
}

func (c *cluster) coordinated(r *running, cmd checkpoint.Command) {
	attempt := r.attempt()
	switch cmd := cmd.(type) {
	case checkpoint.Trigger:
		// All tasks, not only those that it names: one whose input has ended gets no barrier, and has to begin by itself.
		c.tellAll(r, &pb.ConnectResponse{Message: &pb.ConnectResponse_TriggerCheckpoint{TriggerCheckpoint: &pb.TriggerCheckpoint{
			LeaderEpoch: c.epoch, JobId: r.id, Attempt: attempt, Epoch: uint64(cmd.Barrier.Epoch), Savepoint: cmd.Barrier.Savepoint,
			SavepointDir: cmd.Path, Stop: cmd.Barrier.Stop, Drain: cmd.Barrier.Drain,
		}}})
	case checkpoint.Abort:
		c.jm.cfg.Log.Warn("checkpoint failed", "job_id", r.id, "epoch", cmd.Epoch, "reason", cmd.Reason)
		c.tellAll(r, &pb.ConnectResponse{Message: &pb.ConnectResponse_AbortCheckpoint{AbortCheckpoint: &pb.AbortCheckpoint{
			LeaderEpoch: c.epoch, JobId: r.id, Attempt: attempt, Epoch: uint64(cmd.Epoch),
		}}})
	case checkpoint.Commit:
		if cmd.Savepoint && !cmd.Stop {
			// A restart would begin before it: what it contains is published with the next checkpoint.
			return
		}
		if cmd.Stop {
			r.machine.Final("it had stopped with a savepoint, which is complete and holds all: submit it with --from-savepoint")
		}
		c.tellAll(r, &pb.ConnectResponse{Message: &pb.ConnectResponse_CommitCheckpoint{CommitCheckpoint: &pb.CommitCheckpoint{
			LeaderEpoch: c.epoch, JobId: r.id, Attempt: attempt, Epoch: uint64(cmd.Epoch),
		}}})
	case checkpoint.WriteManifest:
		c.onStorage(r, func(ctx context.Context) checkpoint.Event { return c.jm.writeManifest(ctx, r.ckpt.store, cmd) })
	case checkpoint.Delete:
		c.onStorage(r, func(ctx context.Context) checkpoint.Event {
			done := checkpoint.Deleted{Epochs: cmd.Epochs, Files: cmd.Files}
			if err := r.ckpt.store.Delete(ctx, c.jm.leader, cmd); err != nil {
				done.Failure = err.Error()
				c.jm.cfg.Log.Warn("old checkpoints not deleted", "job_id", r.id, "error", err)
			}
			return done
		})
	case checkpoint.Restore:
		c.prepareAttempt(r, cmd.Manifest)
	case checkpoint.FailJob:
		c.apply(r, job.Fault{Failure: job.Failure{Message: cmd.Reason}})
	case checkpoint.RequestDone:
		r.ckpt.answer(cmd.ID, requested{epoch: cmd.Epoch, path: cmd.Path})
	case checkpoint.RequestFailed:
		r.ckpt.answer(cmd.ID, requested{failure: cmd.Reason})
	}
}

// tellAll sends to every taskmanager that runs tasks of the job.
func (c *cluster) tellAll(r *running, msg *pb.ConnectResponse) {
	told := map[string]bool{}
	for _, tasks := range r.machine.Tasks() {
		for _, t := range tasks {
			if t.TaskManager != "" && !t.State.Ended() && !told[t.TaskManager] {
				told[t.TaskManager] = true
				c.command(t.TaskManager, msg)
			}
		}
	}
}

// onStorage runs f outside the loop and gives what it returns to the coordinator.
func (c *cluster) onStorage(r *running, f func(context.Context) checkpoint.Event) {
	r.ckpt.io++
	c.jm.work.Go(func() {
		e := f(c.ctx)
		c.jm.post(c.ctx, func(c *cluster) { //nolint:errcheck // fails only when the jobmanager stops
			r.ckpt.io--
			c.coordinate(r, e)
			if _, fenced := e.(checkpoint.Fenced); fenced {
				c.jm.abdicate()
			}
			c.collect(r, e)
			c.removeCheckpoints(r)
		})
	})
}

func (jm *JobManager) writeManifest(ctx context.Context, s *ckptstore.Store, cmd checkpoint.WriteManifest) checkpoint.Event {
	path, err := jm.putManifest(ctx, s, cmd)
	switch {
	case errors.Is(err, ckptstore.ErrFenced):
		return checkpoint.Fenced{}
	case err != nil:
		return checkpoint.WriteFailed{Epoch: cmd.Manifest.Epoch, Reason: err.Error()}
	}
	return checkpoint.Written{Epoch: cmd.Manifest.Epoch, Path: path}
}

// putManifest returns the path of the manifest.
func (jm *JobManager) putManifest(ctx context.Context, s *ckptstore.Store, cmd checkpoint.WriteManifest) (string, error) {
	// Storage outlives this process: the time of day is for it.
	m := *cmd.Manifest
	m.TriggeredMS, m.CompletedMS = jm.wall(m.TriggeredMS), jm.wall(m.CompletedMS)
	if cmd.Path == "" {
		return s.WriteManifest(ctx, jm.leader, &m)
	}
	to, err := jm.openAt(cmd.Path)
	if err != nil {
		return "", err
	}
	if err := ckptstore.NewSavepoint(to).WriteManifest(ctx, jm.leader, &m); err != nil || !cmd.Stop {
		return cmd.Path, err
	}
	// What the job stops with is committed next: a jobmanager that brought the job back would publish it a second time.
	return cmd.Path, ckptstore.RemoveEntry(ctx, jm.storage, jm.leader, cmd.Manifest.JobID)
}

// abdicate ends the jobmanager: another one leads.
func (jm *JobManager) abdicate() {
	select {
	case jm.fenced <- struct{}{}:
	default:
	}
}

func (jm *JobManager) findRestore(ctx context.Context, s *ckptstore.Store, want *checkpoint.Manifest, g *graph.JobGraph) (*restorePlan, error) {
	found, err := s.Find(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range found.Skipped {
		jm.cfg.Log.Warn("checkpoint cannot be used", "epoch", k.Epoch, "error", k.Err)
	}
	// A newer one is of a write that failed though it had its effect: it may be being deleted.
	found.Manifests = slices.DeleteFunc(found.Manifests, func(m *checkpoint.Manifest) bool { return m.Newer(want) })
	m, err := found.Latest()
	if err != nil {
		return nil, err
	}
	p, err := planRestore(m, g)
	if err != nil {
		return nil, err
	}
	if p.incomplete = found.LastResort; p.incomplete {
		jm.cfg.Log.Error("no checkpoint in storage is whole: the newest is tried, as taskmanagers may still have the files that it lacks", "epoch", m.Epoch)
	}
	return p, nil
}

// planRestore deals what a checkpoint holds out to the tasks of a job.
func planRestore(m *checkpoint.Manifest, g *graph.JobGraph) (*restorePlan, error) {
	p := &restorePlan{epoch: m.Epoch, leader: m.Leader, operators: map[string][]checkpoint.Assignment{}, bytes: m.SizeBytes()}
	for _, v := range g.Vertices {
		for _, n := range v.Ops {
			o := m.Operator(n.ID)
			if o == nil {
				continue
			}
			if err := checkForm(o, n); err != nil {
				return nil, err
			}
			if groups := maxParallelism(g); o.MaxParallelism != groups {
				return nil, fmt.Errorf("operator %q: its state was written with pipeline.max-parallelism %d, now it is %d", o.Name, o.MaxParallelism, groups)
			}
			all, err := checkpoint.Redistribute(o, v.Parallelism)
			if err != nil {
				return nil, err
			}
			for i := range all {
				for k := range all[i].Parts {
					// The files hold the former task's whole range: the new one has to know what to leave out.
					part := &all[i].Parts[k]
					part.Range = stream.RangeOf(part.Task, o.MaxParallelism, o.Parallelism)
				}
			}
			p.operators[n.ID] = all
		}
	}
	return p, nil
}

// fill adds to a task what it goes on from.
func (p *restorePlan) fill(t *pb.DeployTask, v *graph.Vertex) error {
	index := int(t.Task.Index)
	t.Finished = true
	for i, n := range v.Ops {
		all := p.operators[n.ID]
		if all == nil {
			t.Finished = false
			continue
		}
		a := all[index]
		t.Finished = t.Finished && a.Finished
		if i == 0 && n.Kind == graph.KindSource || len(a.Splits) > 0 {
			t.Splits = nil
			for _, s := range a.Splits {
				t.Splits = append(t.Splits, &pb.Split{SplitId: s.ID, Position: s.Pos})
			}
		}
		data, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("operator %q: %w", n.Name, err)
		}
		t.Operators = append(t.Operators, &pb.OperatorRestore{OperatorId: n.ID, AssignmentJson: data})
	}
	return nil
}

// jobEntered tells the coordinator what became of the job.
func (c *cluster) jobEntered(r *running, s job.State) {
	if r.ckpt == nil {
		return
	}
	switch s {
	case job.Running:
		r.ckpt.collectIn = collectFirst
		e := checkpoint.Started{Upstream: map[checkpoint.Task][]checkpoint.Task{}}
		for v, tasks := range r.machine.Tasks() {
			for i := range tasks {
				t := checkpoint.Task{Vertex: v, Index: i}
				e.Tasks = append(e.Tasks, t)
				e.Upstream[t] = r.upstream(t)
			}
		}
		c.coordinate(r, e)
		for v, tasks := range r.machine.Tasks() {
			for i, t := range tasks {
				if t.State == job.TaskFinished {
					c.taskFinished(r, job.Ref{Vertex: v, Index: i})
				}
			}
		}
	case job.Restarting, job.Failing, job.Cancelling, job.Failed, job.Canceled, job.Finished:
		reason := "the job is " + s.String()
		if f := r.machine.Failures(); len(f) > 0 {
			reason = f[0].Message
		}
		c.coordinate(r, checkpoint.Stopped{Reason: reason})
		if s == job.Finished || s == job.Canceled && r.planned.Graph.Config[keyCheckpointing+"externalized-checkpoint-retention"] != "RETAIN_ON_CANCELLATION" {
			r.ckpt.removal = true
		}
		if s.Ended() {
			r.ckpt.forget = true
			c.removeCheckpoints(r)
		}
	case job.Initializing, job.Created, job.Suspended:
	}
}

// removeCheckpoints deletes what a job that has ended is not to leave in storage, once nothing of it is on its way there.
func (c *cluster) removeCheckpoints(r *running) {
	if !r.ckpt.forget || r.ckpt.io > 0 {
		return
	}
	removal := r.ckpt.removal
	r.ckpt.removal, r.ckpt.forget = false, false
	store := r.ckpt.store
	c.jm.work.Go(func() { c.jm.forgetEnded(c.ctx, r, store, removal) })
}

// collect now and then removes files that no checkpoint lists: what failed, or what tasks of a former leader uploaded after it was superseded.
func (c *cluster) collect(r *running, e checkpoint.Event) {
	if _, ok := e.(checkpoint.Written); !ok {
		return
	}
	k := r.ckpt
	latest := k.coord.Latest()
	if k.collectIn--; k.collectIn > 0 || latest == nil || r.machine.State() != job.Running {
		return
	}
	k.collectIn = collectEvery
	k.io++
	c.jm.work.Go(func() {
		if _, err := k.store.GC(c.ctx, c.jm.leader, latest.Epoch); err != nil && c.ctx.Err() == nil {
			c.jm.cfg.Log.Warn("orphans in checkpoint storage not removed", "job_id", r.id, "error", c.jm.fence(err))
		}
		c.jm.post(c.ctx, func(c *cluster) { //nolint:errcheck // fails only when the jobmanager stops
			k.io--
			c.removeCheckpoints(r)
		})
	})
}

// upstream are the tasks that send to a task.
func (r *running) upstream(t checkpoint.Task) []checkpoint.Task {
	var from []checkpoint.Task
	for _, e := range r.planned.Graph.Edges {
		if e.To != t.Vertex {
			continue
		}
		for i := range r.planned.Graph.Vertices[e.From].Parallelism {
			if e.Partition != graph.Forward || i == t.Index {
				from = append(from, checkpoint.Task{Vertex: e.From, Index: i})
			}
		}
	}
	return from
}

// taskFinished tells the coordinator what a task leaves.
func (c *cluster) taskFinished(r *running, ref job.Ref) {
	if r.ckpt == nil || r.machine.State() != job.Running {
		return
	}
	parts := r.ckpt.finals[ref]
	if parts == nil {
		parts = r.emptyParts(ref)
	}
	c.coordinate(r, checkpoint.Finished{Task: checkpoint.Task(ref), Parts: parts})
}

// emptyParts are those of a task that ended without a checkpoint: it has read all it had to read.
func (r *running) emptyParts(ref job.Ref) []checkpoint.TaskPart {
	g := r.planned.Graph
	v := g.Vertices[ref.Vertex]
	groups := maxParallelism(g)
	parts := make([]checkpoint.TaskPart, len(v.Ops))
	for i, n := range v.Ops {
		parts[i] = checkpoint.TaskPart{
			Operator: n.ID, Name: n.Name, Parallelism: v.Parallelism, MaxParallelism: groups,
			State: checkpoint.TaskState{Index: ref.Index, Range: stream.RangeOf(ref.Index, groups, v.Parallelism), Finished: true},
		}
	}
	for _, s := range r.splits[ref.Vertex][ref.Index] {
		parts[0].State.Splits = append(parts[0].State.Splits, checkpoint.Split{ID: s.ID, Pos: s.Pos, Ended: true})
	}
	return parts
}

func maxParallelism(g *graph.JobGraph) int {
	if g.MaxParallelism > 0 {
		return g.MaxParallelism
	}
	return stream.DefaultMaxParallelism
}

func (c *cluster) onAck(msg *pb.CheckpointAck) {
	r := c.current(msg.JobId, msg.Attempt)
	if r == nil || r.ckpt == nil {
		return
	}
	ref, ok := r.ref(msg.Task)
	if !ok {
		return
	}
	e := checkpoint.Acked{
		Epoch: stream.Epoch(msg.Epoch), Task: checkpoint.Task(ref), Savepoint: msg.Savepoint,
		AlignMS: msg.AlignMs, SnapshotMS: msg.SnapshotMs, UploadMS: msg.UploadMs,
	}
	if err := json.Unmarshal(msg.PartsJson, &e.Parts); err != nil {
		c.coordinate(r, checkpoint.Declined{Epoch: e.Epoch, Task: e.Task, Reason: "what it says cannot be read: " + err.Error(), Name: r.taskName(ref)})
		return
	}
	if msg.Final {
		r.ckpt.finals[ref] = e.Parts
	}
	c.coordinate(r, e)
}

func (c *cluster) onDecline(msg *pb.CheckpointDecline) {
	r := c.current(msg.JobId, msg.Attempt)
	if r == nil {
		return
	}
	if ref, ok := r.ref(msg.Task); ok {
		c.coordinate(r, checkpoint.Declined{Epoch: stream.Epoch(msg.Epoch), Task: checkpoint.Task(ref), Reason: msg.Reason, Name: r.taskName(ref)})
	}
}

// onEndOfInput asks for a last checkpoint when all tasks wait for it: nobody need wait for the clock.
func (c *cluster) onEndOfInput(msg *pb.EndOfInput) {
	r := c.current(msg.JobId, msg.Attempt)
	if r == nil || r.ckpt == nil {
		return
	}
	ref, ok := r.ref(msg.Task)
	if !ok {
		return
	}
	r.ckpt.ended[ref] = true
	total, done := r.machine.Count(job.TaskFinished)
	if len(r.ckpt.ended)+done >= total {
		c.coordinate(r, checkpoint.Request{ID: endRequest})
	}
}

// taskName is what people call a task, and where it runs.
func (r *running) taskName(ref job.Ref) string {
	v := r.planned.Graph.Vertices[ref.Vertex]
	return fmt.Sprintf("%s %d/%d on %s", v.Name, ref.Index+1, v.Parallelism, r.machine.Tasks()[ref.Vertex][ref.Index].TaskManager)
}

// count takes what has ended since the last call into the counters.
func (k *checkpoints) count() {
	seen := map[stream.Epoch]bool{}
	for _, rec := range k.coord.History() {
		if rec.Status == checkpoint.InProgress {
			continue
		}
		seen[rec.Epoch] = true
		switch {
		case k.counted[rec.Epoch]:
		case rec.Status == checkpoint.Completed:
			k.completed++
			if rec.Epoch > k.last.Epoch {
				k.last = rec
			}
		default:
			k.failed++
		}
	}
	k.counted = seen
}

// view is what clients see.
func (k *checkpoints) view(r *running) *pb.Checkpoints {
	if k == nil {
		return nil
	}
	v := &pb.Checkpoints{IntervalMs: k.cfg.IntervalMS, Completed: k.completed, Failed: k.failed, Damaged: int64(len(k.damaged))}
	if k.restore != nil {
		v.RestoredEpoch = uint64(k.restore.epoch)
	}
	for _, rec := range k.coord.History() {
		p := &pb.Checkpoint{
			Epoch: uint64(rec.Epoch), Savepoint: rec.Savepoint, Status: string(rec.Status), TriggeredAtMs: r.wall(rec.TriggeredMS), EndedAtMs: r.wall(rec.EndedMS),
			SizeBytes: rec.SizeBytes, NewBytes: rec.NewBytes, Path: rec.Path, Reason: rec.Reason, TasksTotal: int32(rec.TaskCount), //nolint:gosec // small
		}
		for _, t := range rec.Tasks {
			if t.Task.Vertex >= len(r.planned.Graph.Vertices) {
				continue // of a plan that was replaced
			}
			p.Tasks = append(p.Tasks, &pb.CheckpointTask{
				Task: r.taskID(job.Ref(t.Task)), AckMs: t.AckMS, AlignMs: t.AlignMS, SnapshotMs: t.SnapshotMS, UploadMs: t.UploadMS,
				SizeBytes: t.SizeBytes, NewBytes: t.NewBytes,
			})
		}
		v.History = append(v.History, p)
	}
	return v
}
