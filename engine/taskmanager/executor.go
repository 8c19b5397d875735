package taskmanager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/exchange"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/inspect"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/task"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// stuckLogEvery is how often a taskmanager whose tasks do not end says so.
const stuckLogEvery = 10 * time.Second

// executor runs the tasks of a session. Its methods belong to the session's goroutine.
type executor struct {
	tm    *TaskManager
	ctx   context.Context
	epoch int64
	box   *outbox
	jobs  map[jobKey]*jobRun
	// looks counts those into this process that are under way.
	looks atomic.Int32
}

// jobKey names an attempt of a job.
type jobKey struct {
	id      string
	attempt int32
}

// jobRun is the part of a job that runs here.
type jobRun struct {
	key    jobKey
	name   string
	graph  *graph.JobGraph
	labels map[string]string
	tasks  []*taskRun
	// inputs are those of the tasks, by channel; they do not change once deployed.
	inputs map[exchange.ChannelID]*exchange.Input
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	// live counts tasks that have not ended.
	live     atomic.Int32
	started  bool
	durables *durables
	// fromLocal: files of checkpoints are kept here, and used at a restart.
	fromLocal bool
	// verifyEvery and verifyRate are settings'.
	verifyEvery time.Duration
	verifyRate  int64
}

// taskRun is a task of it.
type taskRun struct {
	job    *jobRun
	id     *pb.TaskID
	vertex *graph.Vertex
	task   *task.Task
	// reports is set before Run: what New tells is not passed on.
	reports bool
	rates   rates
	// latencies are for Flink's quantiles.
	latencies latencies
	// commands and uploads are what the task is told, and what it says at checkpoints.
	commands, uploads lane
	// downloads are the files of keyed state to begin with, by operator.
	downloads map[string][]download
	// known are files that storage has, by the name that snapshots list. Uploads own it.
	known map[string]checkpoint.File
	// again are files that storage has lost or damaged, as they should be: the next snapshot that has them uploads them once more. Uploads own it.
	again map[string]checkpoint.File
	// listed: the sizes of what is restored have been compared. Uploads own it.
	listed bool
}

// errCancelled is the cause of the end of tasks that were told to stop.
var errCancelled = errors.New("the job was cancelled")

func newExecutor(ctx context.Context, tm *TaskManager, epoch int64) *executor {
	return &executor{tm: tm, ctx: ctx, epoch: epoch, box: newOutbox(), jobs: map[jobKey]*jobRun{}}
}

// obey does what the jobmanager says, if it is still the leader that accepted this taskmanager.
func (x *executor) obey(msg *pb.ConnectResponse) {
	switch m := msg.Message.(type) {
	case *pb.ConnectResponse_Deploy:
		if x.leads(m.Deploy.LeaderEpoch) {
			x.deploy(m.Deploy)
		}
	case *pb.ConnectResponse_Start:
		if x.leads(m.Start.LeaderEpoch) {
			x.start(jobKey{m.Start.JobId, m.Start.Attempt})
		}
	case *pb.ConnectResponse_Cancel:
		if x.leads(m.Cancel.LeaderEpoch) {
			x.cancel(m.Cancel)
		}
	case *pb.ConnectResponse_TriggerCheckpoint:
		if x.leads(m.TriggerCheckpoint.LeaderEpoch) {
			x.trigger(m.TriggerCheckpoint)
		}
	case *pb.ConnectResponse_AbortCheckpoint:
		if x.leads(m.AbortCheckpoint.LeaderEpoch) {
			x.abortCheckpoint(m.AbortCheckpoint)
		}
	case *pb.ConnectResponse_CommitCheckpoint:
		if x.leads(m.CommitCheckpoint.LeaderEpoch) {
			x.commitCheckpoint(m.CommitCheckpoint)
		}
	case *pb.ConnectResponse_ForgetJob:
		if x.leads(m.ForgetJob.LeaderEpoch) {
			x.forget(m.ForgetJob.JobId)
		}
	case *pb.ConnectResponse_Inspect:
		x.inspect(m.Inspect)
	case *pb.ConnectResponse_Accepted, *pb.ConnectResponse_Heartbeat:
	}
	x.reap()
}

func (x *executor) leads(epoch int64) bool {
	if epoch != x.epoch {
		x.tm.cfg.Log.Warn("command of another leader ignored", "leader_epoch", epoch, "accepted_by", x.epoch)
	}
	return epoch == x.epoch
}

// deploy builds the tasks, all or none, and answers.
func (x *executor) deploy(d *pb.Deploy) {
	j, failure := x.build(d)
	if failure == nil {
		x.jobs[j.key] = j
		x.tm.track(j.tasks)
		x.tm.cfg.Log.Info("tasks deployed", "job_id", j.key.id, "job_name", j.name, "tasks", len(j.tasks))
	}
	x.box.put(&pb.ConnectRequest{Message: &pb.ConnectRequest_DeployResult{DeployResult: &pb.DeployResult{
		JobId: d.JobId, Attempt: d.Attempt, Failure: failure,
	}}})
}

func (x *executor) build(d *pb.Deploy) (*jobRun, *pb.TaskFailure) {
	j := &jobRun{key: jobKey{d.JobId, d.Attempt}, name: d.JobName, graph: &graph.JobGraph{}}
	if x.jobs[j.key] != nil {
		return nil, &pb.TaskFailure{Message: "the job is deployed here already"}
	}
	if err := json.Unmarshal(d.GraphJson, j.graph); err != nil {
		return nil, &pb.TaskFailure{Message: fmt.Sprintf("decode the job graph: %v", err)}
	}
	j.labels = operatorLabels(j.graph)
	settings, err := settingsOf(j.graph)
	if err != nil {
		return nil, &pb.TaskFailure{Message: err.Error()}
	}
	if j.durables, err = x.durablesOf(d); err != nil {
		return nil, &pb.TaskFailure{Message: err.Error()}
	}
	j.verifyEvery, j.verifyRate = settings.verifyEvery, settings.verifyRate
	if j.fromLocal = settings.fromLocal && d.CheckpointDir != ""; j.fromLocal {
		x.tm.local.open(j.key.id)
	}
	j.ctx, j.cancel = context.WithCancelCause(x.ctx)
	peers := newPeers(j.graph, d.Locations)
	for _, dt := range d.Tasks {
		t, err := x.buildTask(j, d, dt, settings, peers)
		if err != nil {
			for _, built := range j.tasks {
				built.task.Close()
			}
			j.cancel(err)
			return nil, failureOf(err, dt.Task)
		}
		j.tasks = append(j.tasks, t)
	}
	j.inputs = inputsOf(j)
	if err := x.tm.net.offer(j); err != nil {
		for _, built := range j.tasks {
			built.task.Close()
		}
		j.cancel(err)
		return nil, &pb.TaskFailure{Message: err.Error()}
	}
	return j, nil
}

func (x *executor) buildTask(j *jobRun, d *pb.Deploy, dt *pb.DeployTask, s settings, peers *peers) (*taskRun, error) {
	vertex, ok := peers.vertexOf[dt.GetTask().GetVertexId()]
	if !ok || int(dt.Task.Index) >= j.graph.Vertices[vertex].Parallelism {
		return nil, fmt.Errorf("the job graph has no task %s/%d", dt.GetTask().GetVertexId(), dt.GetTask().GetIndex())
	}
	tm := x.tm
	t := &taskRun{
		job: j, id: dt.Task, vertex: j.graph.Vertices[vertex], downloads: map[string][]download{}, known: map[string]checkpoint.File{}, again: map[string]checkpoint.File{},
		commands: lane{wg: &tm.lanes}, uploads: lane{wg: &tm.lanes},
	}
	var splits []op.Split
	for _, sp := range dt.Splits {
		splits = append(splits, op.Split{ID: sp.SplitId, Pos: sp.Position})
	}
	restore, err := t.restoreOf(d, dt, tm.jobDir(j.key))
	if err != nil {
		return nil, err
	}
	cfg := task.Config{
		JobID: j.key.id, Graph: j.graph, Vertex: vertex, Index: int(dt.Task.Index), Attempt: int(j.key.attempt), TaskManager: tm.ID(),
		Builders: tm.cfg.Builders, Splits: splits, Clock: tm.cfg.Clock, ClockFloor: tm.cfg.ClockFloor, Log: tm.cfg.Log, Location: s.location, Rand: tm.cfg.Rand,
		MemoryBytes: tm.budget.StateBytes / int64(tm.cfg.Slots) / int64(statefulVertices(j.graph)), BufferTimeout: s.bufferTimeout,
		Connect:  tm.net.connectFunc(j, peers),
		OnState:  func(c task.StateChange) { x.onState(t, c) },
		OnHealth: func(h task.Health) { x.onHealth(t, h) },
		Restore:  restore, Checkpointing: d.Checkpointing, Cell: tm.cfg.Cell,
	}
	if d.CheckpointDir != "" {
		cfg.OnSnapshot = func(s task.Snapshot) { x.onSnapshot(t, s) }
		cfg.OnEndOfInput = func() { x.onEndOfInput(t) }
	}
	storeBytes := tm.budget.StoreBytes / int64(tm.cfg.Slots) / int64(statefulVertices(j.graph))
	cfg.OpenState = func(info op.TaskInfo, merge state.MergeFunc) (state.Store, error) {
		dir := filepath.Join(tm.jobDir(j.key), info.OperatorID+"-"+strconv.Itoa(info.Index))
		if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
			return nil, fmt.Errorf("state directory: %w", err)
		}
		return tm.cfg.OpenState(dir, info, storeBytes, merge)
	}
	cfg.OpenStateOn = func(info op.TaskInfo, merge state.MergeFunc, dir string) (state.Store, error) {
		if err := t.fetch(j.ctx, info.OperatorID); err != nil {
			return nil, err
		}
		return tm.cfg.OpenState(dir, info, storeBytes, merge)
	}
	t.task, err = task.New(cfg)
	return t, err
}

func (tm *TaskManager) jobDir(k jobKey) string {
	return filepath.Join(tm.jobsDir(), k.id, strconv.Itoa(int(k.attempt)))
}

// stateful are the kinds of operators that keep keyed state.
var stateful = map[graph.Kind]bool{
	graph.KindWindow: true, graph.KindGroup: true, graph.KindAssign: true, graph.KindJoin: true, graph.KindRank: true,
}

// statefulVertices is how many tasks of a job share the memory of a slot, at least 1.
func statefulVertices(g *graph.JobGraph) int {
	n := 0
	for _, v := range g.Vertices {
		for _, o := range v.Ops {
			if stateful[o.Kind] {
				n++
				break
			}
		}
	}
	return max(n, 1)
}

// start runs what was built.
func (x *executor) start(k jobKey) {
	j := x.jobs[k]
	if j == nil || j.started {
		return
	}
	j.started = true
	j.live.Store(int32(len(j.tasks))) //nolint:gosec // small
	for _, t := range j.tasks {
		t.reports = true
		j.wg.Go(func() {
			labels := pprof.Labels(inspect.LabelJob, k.id, inspect.LabelVertex, t.vertex.ID, inspect.LabelTask, strconv.Itoa(int(t.id.Index)))
			pprof.Do(j.ctx, labels, func(ctx context.Context) { t.task.Run(ctx) }) //nolint:errcheck // onState has told
			j.live.Add(-1)
			x.box.wake()
		})
	}
	if j.durables.store != nil && j.verifyEvery > 0 {
		x.tm.lanes.Go(func() { x.verifying(j) })
	}
}

// cancel stops a job; what is not there has ended.
func (x *executor) cancel(m *pb.Cancel) {
	k := jobKey{m.JobId, m.Attempt}
	j := x.jobs[k]
	switch {
	case j == nil:
		for _, id := range m.Tasks {
			x.putState(k, id, pb.TaskState_TASK_STATE_CANCELED, &pb.TaskStateChange{})
		}
	case !j.started:
		j.started = true // with no task live: reap removes it
		for _, t := range j.tasks {
			t.task.Close()
			x.putState(k, t.id, pb.TaskState_TASK_STATE_CANCELED, &pb.TaskStateChange{})
		}
		j.cancel(errCancelled)
	default:
		j.cancel(errCancelled)
	}
}

// reap forgets jobs whose tasks have all ended.
func (x *executor) reap() {
	for k, j := range x.jobs {
		if !j.started || j.live.Load() > 0 {
			continue
		}
		j.wg.Wait()
		x.drop(j)
		delete(x.jobs, k)
	}
	live := func(job string) bool {
		for k := range x.jobs {
			if k.id == job {
				return true
			}
		}
		return false
	}
	for _, id := range x.tm.local.idle(x.tm.cfg.Clock.Now(), live) {
		x.forget(id)
	}
}

// forget removes what is kept of a job.
func (x *executor) forget(job string) {
	if err := x.tm.local.forget(job); err != nil {
		x.tm.cfg.Log.Warn("state of a job not removed", "job_id", job, "error", err)
	}
}

func (x *executor) drop(j *jobRun) {
	j.cancel(nil)
	x.tm.net.withdraw(j)
	x.tm.untrack(j.tasks)
	dir := x.tm.jobDir(j.key)
	if err := os.RemoveAll(dir); err != nil {
		x.tm.cfg.Log.Warn("state not removed", "job_id", j.key.id, "error", err)
	}
	_ = os.Remove(filepath.Dir(dir)) // stays while the next attempt is in it
}

// wait lets all tasks end, after their context has, and returns how many there were.
func (x *executor) wait() int {
	stuck := time.NewTicker(stuckLogEvery)
	defer stuck.Stop()
	n := 0
	for _, j := range x.jobs {
		if !j.started {
			for _, t := range j.tasks {
				t.task.Close()
			}
		}
		n += int(j.live.Load())
		done := make(chan struct{})
		go func() { defer close(done); j.wg.Wait() }()
		for waiting := true; waiting; {
			select {
			case <-done:
				waiting = false
			case <-stuck.C:
				x.tm.cfg.Log.Warn("tasks do not end", "job_id", j.key.id, "tasks", j.live.Load())
			}
		}
		x.drop(j)
	}
	return n
}

func opSplit(s checkpoint.Split) op.Split { return op.Split{ID: s.ID, Pos: s.Pos} }

// onState passes a task's state on. It runs on the task's goroutine.
func (x *executor) onState(t *taskRun, c task.StateChange) {
	if !t.reports {
		return
	}
	s, ok := taskStates[c.State]
	if !ok {
		return
	}
	var metrics *pb.TaskMetrics
	var rejected []byte
	if c.State.Terminal() {
		metrics, rejected = t.metrics(), t.lastRejected()
	}
	var failure *pb.TaskFailure
	if c.Failure != nil {
		failure = failureOf(c.Failure, t.id)
		level := slog.LevelWarn
		if c.Failure.Secondary {
			level = slog.LevelInfo // it only follows
		}
		x.tm.cfg.Log.Log(x.ctx, level, "task failed", "job_id", t.job.key.id, "task", t.task.Name(), "operator", c.Failure.Operator,
			"error", c.Failure.Err, "secondary", c.Failure.Secondary)
	}
	x.putState(t.job.key, t.id, s, &pb.TaskStateChange{Failure: failure, Metrics: metrics, RejectedJson: rejected})
}

// putState says that a task has come to a state; more is what else there is to say.
func (x *executor) putState(k jobKey, id *pb.TaskID, s pb.TaskState, more *pb.TaskStateChange) {
	more.JobId, more.Attempt, more.Task, more.State = k.id, k.attempt, id, s
	x.box.put(&pb.ConnectRequest{Message: &pb.ConnectRequest_TaskState{TaskState: more}})
}

func (x *executor) onHealth(t *taskRun, h task.Health) {
	msg := &pb.HealthChange{JobId: t.job.key.id, Attempt: t.job.key.attempt, Task: t.id, Component: h.Component}
	if h.Err != nil {
		msg.Error = h.Err.Error()
	}
	x.box.putHealth(msg)
}

// taskStates are those that the jobmanager wants to know; what comes before it knows by itself.
var taskStates = map[task.State]pb.TaskState{
	task.Running:   pb.TaskState_TASK_STATE_RUNNING,
	task.Finished:  pb.TaskState_TASK_STATE_FINISHED,
	task.Canceling: pb.TaskState_TASK_STATE_CANCELING,
	task.Canceled:  pb.TaskState_TASK_STATE_CANCELED,
	task.Failed:    pb.TaskState_TASK_STATE_FAILED,
}

func failureOf(err error, id *pb.TaskID) *pb.TaskFailure {
	out := &pb.TaskFailure{Message: err.Error(), Task: id}
	if f, ok := errors.AsType[*task.Failure](err); ok {
		out.Message, out.Operator, out.Secondary = f.Err.Error(), f.Operator, f.Secondary
		out.Line, out.Column = int32(f.Line), int32(f.Column) //nolint:gosec // of a script
	}
	if d, ok := errors.AsType[*damagedError](err); ok {
		out.DamagedEpoch = uint64(d.epoch)
	}
	return out
}
