// Package job is the life of a job as a pure state machine: events in, commands out. It places nothing, sends nothing and reads no clock;
// engine/jobmanager does what the commands say.
//
// The words and the states are Flink's. A job that loses a task is started again as its Strategy says: RESTARTING is from the failure until
// it wants slots again. SUSPENDED is never entered.
package job

import (
	"slices"

	"github.com/bramble-stream/bramble/engine/stream"
)

// State is where a job stands.
type State uint8

// The states of a job.
const (
	// Initializing: what there is to read is being listed.
	Initializing State = iota
	// Created: waiting for slots, or being deployed.
	Created
	// Running: every task runs or has finished.
	Running
	// Failing: a task failed, the others are being cancelled.
	Failing
	Failed
	Cancelling
	Canceled
	Finished
	Restarting
	Suspended
)

var stateNames = [...]string{
	"INITIALIZING", "CREATED", "RUNNING", "FAILING", "FAILED", "CANCELLING", "CANCELED", "FINISHED", "RESTARTING", "SUSPENDED",
}

// States lists every state, in the order of the constants.
func States() []State {
	all := make([]State, len(stateNames))
	for i := range all {
		all[i] = State(i)
	}
	return all
}

func (s State) String() string { return stateNames[s] }

// Ended reports whether nothing follows.
func (s State) Ended() bool { return s == Failed || s == Canceled || s == Finished }

// TaskState is where a task stands.
type TaskState uint8

// The states of a task.
const (
	TaskCreated TaskState = iota
	TaskScheduled
	TaskDeploying
	// TaskInitializing: built and connected, waits for its peers.
	TaskInitializing
	TaskRunning
	TaskFinished
	TaskCanceling
	TaskCanceled
	TaskFailed
)

var taskStateNames = [...]string{
	"CREATED", "SCHEDULED", "DEPLOYING", "INITIALIZING", "RUNNING", "FINISHED", "CANCELING", "CANCELED", "FAILED",
}

func (s TaskState) String() string { return taskStateNames[s] }

// Ended reports whether nothing follows.
func (s TaskState) Ended() bool { return s == TaskFinished || s == TaskCanceled || s == TaskFailed }

// Ref names a task: indexes into the graph's vertices and the vertex's tasks.
type Ref struct{ Vertex, Index int }

// Failure is why something failed.
type Failure struct {
	At      stream.Time
	Message string
	// Task is meaningful when HasTask is set, else no task is to blame.
	Task    Ref
	HasTask bool
	// TaskManager is where it happened, when known.
	TaskManager string
	// Operator, Line and Column are what it happened to, when known.
	Operator     string
	Line, Column int
	// Secondary says that it only follows from another failure, such as a cut connection to a peer.
	Secondary bool
	// Attempt is the one that failed.
	Attempt int
}

// Task is one task of the job.
type Task struct {
	State TaskState
	// TaskManager runs it; empty before it is placed.
	TaskManager string
	StartedAt   stream.Time
	EndedAt     stream.Time
}

// Limits are how long things may take.
type Limits struct {
	// DeployMS is from placement until every task runs, CancelMS from the wish to stop until every task has ended.
	DeployMS, CancelMS int64
}

// DefaultLimits suit a Raspberry Pi that builds its tasks while an SD card is busy.
var DefaultLimits = Limits{DeployMS: 60_000, CancelMS: 30_000}

// failuresMax bounds what is kept; the root cause is never dropped.
const failuresMax = 32

// Job is the machine. The zero value is not usable; see New. Only one goroutine may use it.
type Job struct {
	limits Limits
	state  State
	// since[s] is when state s was last entered, 0 never.
	since [len(stateNames)]stream.Time
	// Invariant: tasks[v] has as many entries as vertex v has tasks.
	tasks [][]Task
	// waiting is why the job is not running yet.
	waiting string
	// attempt counts starts, from 1.
	attempt  int
	restarts restarts
	// failures are of this attempt and have the root cause first; past are the root causes of those before, newest first.
	failures, past []Failure
	// started says that Start went out.
	started bool
	// deadline is when the present phase is given up; stream.MaxTime for never.
	deadline stream.Time
	// resumeAt is, in RESTARTING, when the pause is over; preparing says that it is, and that Restart went out.
	resumeAt  stream.Time
	preparing bool
	// final, unless empty, says why there is no further attempt.
	final string
	// extraMS is added to the limit of the next deployment.
	extraMS int64
	// recovered: it may have run under another jobmanager.
	recovered bool
	// replanned: the job is restarting because its user wants it another way, not for a failure.
	replanned bool
}

// New makes a job whose vertices have the given parallelism, in INITIALIZING.
func New(now stream.Time, parallelism []int, limits Limits, strategy Strategy) *Job {
	j := &Job{limits: limits, attempt: 1, restarts: restarts{strategy: strategy}, deadline: stream.MaxTime}
	j.resize(parallelism)
	j.since[Initializing] = now
	return j
}

// Recover makes a new job one that had come to an attempt when its jobmanager was lost: it is in RESTARTING, and the next Tick begins the
// attempt after that one. Numbers of attempts are in names of files and of consumers, and must not come again.
func (j *Job) Recover(now stream.Time, attempt int, reason string) {
	j.attempt, j.recovered = attempt, true
	j.failures = []Failure{{At: now, Message: reason, Attempt: attempt}}
	j.enter(now, Restarting)
	j.resumeAt, j.deadline = now, now
}

// resize makes fresh tasks.
func (j *Job) resize(parallelism []int) {
	j.tasks = make([][]Task, len(parallelism))
	for v, p := range parallelism {
		j.tasks[v] = make([]Task, p)
	}
}

// State is where the job stands.
func (j *Job) State() State { return j.state }

// Since returns when the state was last entered, 0 for never.
func (j *Job) Since(s State) stream.Time { return j.since[s] }

// Waiting is why a job that does not run yet waits, else "".
func (j *Job) Waiting() string { return j.waiting }

// Attempt counts the starts of the job, from 1: it is that of the tasks there are.
func (j *Job) Attempt() int { return j.attempt }

// Final says that this attempt is the last, and why, for a failure that comes nevertheless.
func (j *Job) Final(why string) { j.final = why }

// Failures are those of this attempt, the root cause first. It belongs to j.
func (j *Job) Failures() []Failure { return j.failures }

// Past are the root causes of earlier attempts' ends, newest first. It belongs to j.
func (j *Job) Past() []Failure { return j.past }

// Tasks has the tasks of each vertex. It belongs to j.
func (j *Job) Tasks() [][]Task { return j.tasks }

// Deadline is when to send a Tick at the latest, stream.MaxTime for not needed.
func (j *Job) Deadline() stream.Time { return j.deadline }

// Count returns how many tasks there are, and how many are in the state.
func (j *Job) Count(s TaskState) (total, in int) {
	for _, tasks := range j.tasks {
		total += len(tasks)
		for _, t := range tasks {
			if t.State == s {
				in++
			}
		}
	}
	return total, in
}

// all reports whether every task is in one of the states.
func (j *Job) all(states ...TaskState) bool {
	for _, tasks := range j.tasks {
		for _, t := range tasks {
			if !slices.Contains(states, t.State) {
				return false
			}
		}
	}
	return true
}

// each calls f for every task, in the order of the graph.
func (j *Job) each(f func(Ref, *Task)) {
	for v, tasks := range j.tasks {
		for i := range tasks {
			f(Ref{v, i}, &tasks[i])
		}
	}
}

// taskManagers returns, sorted, who has tasks that match.
func (j *Job) taskManagers(match func(*Task) bool) []string {
	var ids []string
	j.each(func(_ Ref, t *Task) {
		if t.TaskManager != "" && match(t) && !slices.Contains(ids, t.TaskManager) {
			ids = append(ids, t.TaskManager)
		}
	})
	slices.Sort(ids)
	return ids
}
