package jobmanager

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/bramble-stream/bramble/engine/job"
	"github.com/bramble-stream/bramble/internal/sorting"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// What clients see of the loop's state. These run in the loop, and what they return shares nothing with it that changes.

var jobStates = map[job.State]pb.JobState{
	job.Initializing: pb.JobState_JOB_STATE_INITIALIZING,
	job.Created:      pb.JobState_JOB_STATE_CREATED,
	job.Running:      pb.JobState_JOB_STATE_RUNNING,
	job.Failing:      pb.JobState_JOB_STATE_FAILING,
	job.Failed:       pb.JobState_JOB_STATE_FAILED,
	job.Cancelling:   pb.JobState_JOB_STATE_CANCELLING,
	job.Canceled:     pb.JobState_JOB_STATE_CANCELED,
	job.Finished:     pb.JobState_JOB_STATE_FINISHED,
	job.Restarting:   pb.JobState_JOB_STATE_RESTARTING,
	job.Suspended:    pb.JobState_JOB_STATE_SUSPENDED,
}

var taskStates = map[pb.TaskState]job.TaskState{
	pb.TaskState_TASK_STATE_CREATED:      job.TaskCreated,
	pb.TaskState_TASK_STATE_SCHEDULED:    job.TaskScheduled,
	pb.TaskState_TASK_STATE_DEPLOYING:    job.TaskDeploying,
	pb.TaskState_TASK_STATE_INITIALIZING: job.TaskInitializing,
	pb.TaskState_TASK_STATE_RUNNING:      job.TaskRunning,
	pb.TaskState_TASK_STATE_FINISHED:     job.TaskFinished,
	pb.TaskState_TASK_STATE_CANCELING:    job.TaskCanceling,
	pb.TaskState_TASK_STATE_CANCELED:     job.TaskCanceled,
	pb.TaskState_TASK_STATE_FAILED:       job.TaskFailed,
}

var taskStatesBack = func() map[job.TaskState]pb.TaskState {
	back := map[job.TaskState]pb.TaskState{}
	for k, v := range taskStates {
		back[v] = k
	}
	return back
}()

func (r *running) summary() *pb.JobSummary {
	m := r.machine
	total, running := m.Count(job.TaskRunning)
	_, finished := m.Count(job.TaskFinished)
	s := &pb.JobSummary{
		Restarts: r.attempt() - 1,
		JobId:    r.id, Name: r.name(), State: jobStates[m.State()], WaitingReason: m.Waiting(),
		SubmittedAtMs: r.submittedAt, RunningAtMs: r.wall(m.Since(job.Running)),
		TasksTotal: int32(total), TasksRunning: int32(running), TasksFinished: int32(finished), //nolint:gosec // small
	}
	if m.State().Ended() {
		s.EndedAtMs = r.wall(m.Since(m.State()))
	}
	for _, v := range r.planned.Graph.Vertices {
		s.Slots = max(s.Slots, int32(v.Parallelism)) //nolint:gosec // small
	}
	return s
}

func (r *running) detail() *pb.JobDetail {
	d := &pb.JobDetail{
		Summary: r.summary(), Health: r.sortedHealth(), Config: map[string]string{},
		Warnings: r.planned.Warnings, Plan: r.planned.Physical, Checkpoints: r.ckpt.view(r),
	}
	for k, v := range r.planned.Graph.Config {
		d.Config[k] = v
		if isSecret(k) {
			d.Config[k] = "******"
		}
	}
	tasks := r.machine.Tasks()
	for i, v := range r.planned.Graph.Vertices {
		vd := &pb.VertexDetail{VertexId: v.ID, Name: v.Name, Parallelism: int32(v.Parallelism), Totals: sum(r.metrics[i])} //nolint:gosec // small
		for k, t := range tasks[i] {
			vd.Tasks = append(vd.Tasks, &pb.TaskDetail{
				Index: int32(k), Attempt: r.attempt(), State: taskStatesBack[t.State], TaskmanagerId: t.TaskManager, //nolint:gosec // small
				StartedAtMs: r.wall(t.StartedAt), EndedAtMs: r.wall(t.EndedAt), Metrics: r.metrics[i][k],
			})
		}
		d.Vertices = append(d.Vertices, vd)
	}
	for _, f := range r.machine.Failures() {
		d.Exceptions = append(d.Exceptions, r.exception(f))
	}
	for _, f := range r.machine.Past() {
		d.Exceptions = append(d.Exceptions, r.exception(f))
	}
	return d
}

// isSecret errs on the side of hiding.
func isSecret(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc([]string{"password", "secret", "token", "access-key", "credential"}, func(s string) bool {
		return strings.Contains(key, s)
	})
}

func (r *running) exception(f job.Failure) *pb.JobException {
	e := &pb.JobException{
		AtMs: r.wall(f.At), Message: f.Message, TaskmanagerId: f.TaskManager, Operator: f.Operator,
		Line: int32(f.Line), Column: int32(f.Column), Attempt: int32(f.Attempt), //nolint:gosec // of a script
	}
	if r.hasTask(f) {
		v := r.planned.Graph.Vertices[f.Task.Vertex]
		e.VertexId, e.VertexName, e.Index = v.ID, v.Name, int32(f.Task.Index) //nolint:gosec // small
	}
	return e
}

// hasTask reports whether a failure names a task of the present plan: another parallelism may have had more vertices.
func (r *running) hasTask(f job.Failure) bool {
	return f.HasTask && f.Task.Vertex < len(r.planned.Graph.Vertices)
}

// sortedHealth has those with an error first.
func (r *running) sortedHealth() []*pb.Health {
	all := slices.Clone(r.health)
	sorting.StableBy(all, func(a, b *pb.Health) int {
		switch {
		case a.Error != "" && b.Error == "":
			return -1
		case a.Error == "" && b.Error != "":
			return 1
		}
		return 0
	})
	return all
}

// sum adds up the tasks of a vertex; the watermark is the lowest, and there is none until all have one.
func sum(tasks []*pb.TaskMetrics) *pb.TaskMetrics {
	s := &pb.TaskMetrics{}
	known := true
	for _, t := range tasks {
		if t == nil {
			known = false
			continue
		}
		s.RecordsIn += t.RecordsIn
		s.RecordsOut += t.RecordsOut
		s.BytesIn += t.BytesIn
		s.BytesOut += t.BytesOut
		s.LateRecords += t.LateRecords
		s.BadRecords += t.BadRecords
		s.StateBytes += t.StateBytes
		s.StateKeys += t.StateKeys
		s.BusyNs += t.BusyNs
		s.IdleNs += t.IdleNs
		s.BackpressuredNs += t.BackpressuredNs
		switch {
		case t.WatermarkMs == nil:
			known = false
		case s.WatermarkMs == nil || *t.WatermarkMs < *s.WatermarkMs:
			s.WatermarkMs = new(*t.WatermarkMs)
		}
	}
	if !known {
		s.WatermarkMs = nil
	}
	return s
}

// info is a copy of what is known of a taskmanager, with what it is doing.
func (c *cluster) info(m *member) *pb.TaskManagerInfo {
	info, ok := proto.Clone(m.info).(*pb.TaskManagerInfo)
	if !ok {
		return nil
	}
	info.SlotsFree = int32(m.free()) //nolint:gosec // small
	info.TasksRunning = 0
	for _, r := range c.jobs {
		for _, tasks := range r.machine.Tasks() {
			for _, t := range tasks {
				if t.TaskManager == info.TaskmanagerId && t.State == job.TaskRunning {
					info.TasksRunning++
				}
			}
		}
	}
	return info
}

func (c *cluster) slotCounts() (total, free int) {
	for _, m := range c.members {
		total += len(m.slots)
		free += m.free()
	}
	return total, free
}
