package job

import (
	"fmt"
	"slices"

	"github.com/bramble-stream/bramble/engine/stream"
)

// Event is something that happened to a job. The set is closed.
type Event interface{ event() }

// The events.
type (
	// Prepared says that it is known what there is to read, or to go on from, or why not. Parallelism is set when it has changed.
	// ExtraMS is granted to the deployment, beyond its limit, for state that has to be brought there.
	Prepared struct {
		Failure     *Failure
		Parallelism []int
		ExtraMS     int64
	}
	// Short says that the job could not be placed now.
	Short struct{ Reason string }
	// Placed says which taskmanager has each task: TaskManagers[vertex][index].
	Placed struct{ TaskManagers [][]string }
	// Deployed says that a taskmanager has built its tasks, or why not.
	Deployed struct {
		TaskManager string
		Failure     *Failure
	}
	// TaskChanged reports a task's new state. Failure comes with TaskFailed.
	TaskChanged struct {
		Task    Ref
		State   TaskState
		Failure *Failure
	}
	// Lost says that a taskmanager is gone.
	Lost struct{ TaskManager, Reason string }
	// Cancel is the user's wish.
	Cancel struct{}
	// Replan asks a running job to be stopped and, without a pause, prepared and placed again: its user wants it another way.
	Replan struct{}
	// Fault is a failure of the job as a whole.
	Fault struct{ Failure Failure }
	// Tick tells the time; it is due at Deadline.
	Tick struct{}
)

func (Prepared) event()    {}
func (Short) event()       {}
func (Placed) event()      {}
func (Deployed) event()    {}
func (TaskChanged) event() {}
func (Lost) event()        {}
func (Cancel) event()      {}
func (Replan) event()      {}
func (Fault) event()       {}
func (Tick) event()        {}

// Command is something to do for a job. The set is closed.
type Command interface{ command() }

// The commands.
type (
	// Place asks for Placed or Short, now and whenever slots become free until it is Placed.
	Place struct{}
	// Deploy tells a taskmanager to build its tasks.
	Deploy struct {
		TaskManager string
		Tasks       []Ref
	}
	// Start tells a taskmanager to run what it has built.
	Start struct{ TaskManager string }
	// Stop tells a taskmanager to cancel the job's tasks.
	Stop struct{ TaskManager string }
	// Restart says that an attempt is over, and its slots are free; Prepared is to say what the next one begins with.
	Restart struct{ Attempt int }
	// End says that the job has ended: its slots are free.
	End struct{ State State }
)

func (Place) command()   {}
func (Deploy) command()  {}
func (Start) command()   {}
func (Stop) command()    {}
func (Restart) command() {}
func (End) command()     {}

// Step takes in an event and returns what is to be done, in this order. Events that come too late are ignored.
func (j *Job) Step(now stream.Time, e Event) []Command {
	if j.state.Ended() {
		return nil
	}
	switch e := e.(type) {
	case Prepared:
		return j.prepared(now, e)
	case Short:
		if j.state == Created {
			j.waiting = e.Reason
		}
		return nil
	case Placed:
		return j.placed(now, e)
	case Deployed:
		return j.deployed(now, e)
	case TaskChanged:
		return j.taskChanged(now, e)
	case Lost:
		return j.lost(now, e)
	case Cancel:
		return j.cancel(now)
	case Replan:
		return j.replan(now)
	case Fault:
		return j.fail(now, e.Failure)
	case Tick:
		return j.tick(now)
	}
	panic(fmt.Sprintf("job: unknown event %T", e)) // a bug: the set is closed
}

func (j *Job) enter(now stream.Time, s State) {
	j.state = s
	j.since[s] = now
	j.waiting = ""
}

func (j *Job) prepared(now stream.Time, e Prepared) []Command {
	if j.state != Initializing && !j.preparing {
		return nil
	}
	j.preparing = false
	if e.Failure != nil {
		if j.state == Restarting {
			j.enter(now, Created) // from where it fails, and perhaps is started again
		}
		return j.fail(now, *e.Failure)
	}
	if e.Parallelism != nil {
		j.resize(e.Parallelism)
	}
	j.extraMS = e.ExtraMS
	j.enter(now, Created)
	return []Command{Place{}}
}

func (j *Job) placed(now stream.Time, e Placed) []Command {
	if j.state != Created {
		return nil
	}
	byTM := map[string][]Ref{}
	j.each(func(r Ref, t *Task) {
		t.TaskManager = e.TaskManagers[r.Vertex][r.Index]
		t.State = TaskDeploying
		byTM[t.TaskManager] = append(byTM[t.TaskManager], r)
	})
	j.waiting = "deploying"
	j.deadline = now + j.limits.DeployMS + j.extraMS
	var cmds []Command
	for _, id := range j.taskManagers(func(*Task) bool { return true }) {
		cmds = append(cmds, Deploy{TaskManager: id, Tasks: byTM[id]})
	}
	return cmds
}

func (j *Job) deployed(now stream.Time, e Deployed) []Command {
	if e.Failure != nil {
		// Nothing of the job was built there, so nothing there needs to end.
		j.each(func(_ Ref, t *Task) {
			if t.TaskManager == e.TaskManager && !t.State.Ended() {
				t.end(now, TaskCanceled)
			}
		})
		if e.Failure.HasTask {
			j.task(e.Failure.Task).State = TaskFailed
		}
		return j.fail(now, *e.Failure)
	}
	if j.state != Created {
		return nil
	}
	j.each(func(_ Ref, t *Task) {
		if t.TaskManager == e.TaskManager && t.State == TaskDeploying {
			t.State = TaskInitializing
		}
	})
	if j.started || !j.all(TaskInitializing) {
		return nil
	}
	j.started = true
	j.waiting = "starting"
	var cmds []Command
	for _, id := range j.taskManagers(func(*Task) bool { return true }) {
		cmds = append(cmds, Start{TaskManager: id})
	}
	return cmds
}

func (j *Job) task(r Ref) *Task { return &j.tasks[r.Vertex][r.Index] }

func (t *Task) end(now stream.Time, s TaskState) {
	t.State = s
	t.EndedAt = now
}

func (j *Job) taskChanged(now stream.Time, e TaskChanged) []Command {
	t := j.task(e.Task)
	if t.State.Ended() || t.TaskManager == "" {
		return nil
	}
	switch e.State {
	case TaskFailed:
		if (j.state == Failing || j.state == Cancelling || j.state == Restarting) && e.Failure != nil && e.Failure.Secondary {
			t.end(now, TaskCanceled) // its peers were cancelled a moment before it was
			return j.settle(now)
		}
		t.end(now, TaskFailed)
		if e.Failure != nil {
			return j.fail(now, *e.Failure)
		}
		return j.fail(now, Failure{Message: "the task failed without saying why", Task: e.Task, HasTask: true})
	case TaskFinished, TaskCanceled:
		t.end(now, e.State)
		if e.State == TaskCanceled && (j.state == Created || j.state == Running) {
			return j.fail(now, Failure{Message: "the task was cancelled, and not by its job", Task: e.Task, HasTask: true, Secondary: true})
		}
	case TaskCreated, TaskScheduled, TaskDeploying, TaskInitializing, TaskRunning, TaskCanceling:
		if e.State < t.State { // messages of one taskmanager arrive in order; what steps back is a repetition
			return nil
		}
		t.State = e.State
		if e.State == TaskRunning {
			t.StartedAt = now
		}
	}
	return j.settle(now)
}

// settle moves on when the tasks' states allow it.
func (j *Job) settle(now stream.Time) []Command {
	switch j.state {
	case Created:
		if j.started && j.all(TaskRunning, TaskFinished) {
			j.enter(now, Running)
			j.deadline = stream.MaxTime
			return j.settle(now)
		}
	case Running:
		if j.all(TaskFinished) {
			return j.endIn(now, Finished)
		}
	case Failing:
		if j.all(TaskFinished, TaskCanceled, TaskFailed) {
			return j.endIn(now, Failed)
		}
	case Cancelling:
		if j.all(TaskFinished, TaskCanceled, TaskFailed) {
			return j.endIn(now, Canceled)
		}
	case Restarting:
		if !j.preparing && j.all(TaskCreated, TaskFinished, TaskCanceled, TaskFailed) {
			return j.restart(now)
		}
	case Initializing, Failed, Canceled, Finished, Suspended:
	}
	return nil
}

// restart begins the next attempt, once the pause is over.
func (j *Job) restart(now stream.Time) []Command {
	if now < j.resumeAt {
		j.deadline = j.resumeAt
		return nil
	}
	if len(j.failures) > 0 && !j.replanned {
		j.past = append([]Failure{j.failures[0]}, j.past...)
		j.past = j.past[:min(len(j.past), failuresMax)]
	}
	j.attempt++
	j.failures, j.started, j.replanned, j.preparing = nil, false, false, true
	j.deadline = stream.MaxTime
	j.waiting = "restarting"
	for _, tasks := range j.tasks {
		clear(tasks)
	}
	return []Command{Restart{j.attempt}}
}

func (j *Job) endIn(now stream.Time, s State) []Command {
	j.enter(now, s)
	j.deadline = stream.MaxTime
	return []Command{End{State: s}}
}

func (j *Job) lost(now stream.Time, e Lost) []Command {
	affected := false
	j.each(func(_ Ref, t *Task) {
		if t.TaskManager == e.TaskManager && !t.State.Ended() {
			affected = true
			t.end(now, TaskFailed)
		}
	})
	if !affected {
		return nil
	}
	msg := fmt.Sprintf("taskmanager %s lost", e.TaskManager)
	if e.Reason != "" {
		msg += ": " + e.Reason
	}
	return j.fail(now, Failure{Message: msg, TaskManager: e.TaskManager})
}

// fail records why, and sets about ending the job.
func (j *Job) fail(now stream.Time, f Failure) []Command {
	if f.At == 0 {
		f.At = now
	}
	if f.HasTask && f.TaskManager == "" {
		f.TaskManager = j.task(f.Task).TaskManager
	}
	f.Attempt = j.attempt
	if j.state == Restarting && j.preparing {
		return nil // of an attempt that is over
	}
	if j.state != Cancelling { // what breaks while everything is being torn down tells nobody anything
		j.record(f)
	}
	if j.state == Failing || j.state == Cancelling || j.state == Restarting {
		return j.settle(now)
	}
	// What fails before the job has ever run is most likely wrong for good, unless somebody else is to blame.
	final := j.state == Initializing || !j.recovered && j.since[Running] == 0 && f.HasTask && !f.Secondary
	if j.final != "" {
		j.failures[0].Message += "; not started again: " + j.final
		final = true
	}
	if !final {
		delay, again, why := j.restarts.next(now)
		if again {
			return j.pause(now, delay)
		}
		if why != "" {
			j.failures[0].Message += "; not started again: " + why
		}
	}
	j.enter(now, Failing)
	return j.stopTasks(now)
}

// pause stops what runs, to start again after the delay.
func (j *Job) pause(now stream.Time, delayMS int64) []Command {
	j.enter(now, Restarting)
	j.resumeAt = now + delayMS
	if delayMS > 0 {
		j.waiting = fmt.Sprintf("restarting in %.1f s", float64(delayMS)/1000)
	}
	return j.stopTasks(now)
}

func (j *Job) replan(now stream.Time) []Command {
	if j.state != Running {
		return nil
	}
	j.replanned = true
	return j.pause(now, 0)
}

// record keeps the root cause first: the first failure that does not merely follow from another.
func (j *Job) record(f Failure) {
	if !f.Secondary && len(j.failures) > 0 && j.failures[0].Secondary {
		j.failures = slices.Insert(j.failures, 0, f)
	} else {
		j.failures = append(j.failures, f)
	}
	if len(j.failures) > failuresMax {
		j.failures = j.failures[:failuresMax]
	}
}

func (j *Job) cancel(now stream.Time) []Command {
	if j.state == Cancelling {
		return nil
	}
	j.preparing = false
	j.enter(now, Cancelling)
	return j.stopTasks(now)
}

// stopTasks cancels what has not ended. Tasks that no taskmanager knows of end at once.
func (j *Job) stopTasks(now stream.Time) []Command {
	var cmds []Command
	for _, id := range j.taskManagers(func(t *Task) bool { return !t.State.Ended() }) {
		cmds = append(cmds, Stop{TaskManager: id})
	}
	j.each(func(_ Ref, t *Task) {
		switch {
		case t.State.Ended():
		case t.TaskManager == "":
			t.end(now, TaskCanceled)
		default:
			t.State = TaskCanceling
		}
	})
	j.deadline = now + j.limits.CancelMS
	return append(cmds, j.settle(now)...)
}

func (j *Job) tick(now stream.Time) []Command {
	if now < j.deadline {
		return nil
	}
	j.deadline = stream.MaxTime
	if j.state == Restarting && j.all(TaskCreated, TaskFinished, TaskCanceled, TaskFailed) {
		return j.settle(now)
	}
	if j.state == Created {
		var late Ref
		found := false
		j.each(func(r Ref, t *Task) {
			if !found && (t.State == TaskDeploying || t.State == TaskInitializing) {
				late, found = r, true
			}
		})
		return j.fail(now, Failure{
			Message: fmt.Sprintf("the task was not running %d s after its deployment", (j.limits.DeployMS+j.extraMS)/1000),
			Task:    late, HasTask: found,
			Secondary: true, // of a slow disk, a slow network, a clock that was set: it does not say that the job is wrong
		})
	}
	j.each(func(r Ref, t *Task) {
		if !t.State.Ended() {
			t.end(now, TaskFailed)
			if j.state != Cancelling {
				j.record(Failure{
					At: now, Message: fmt.Sprintf("the task did not end within %d s of being cancelled", j.limits.CancelMS/1000),
					Task: r, HasTask: true, TaskManager: t.TaskManager, Secondary: true, Attempt: j.attempt,
				})
			}
		}
	})
	return j.settle(now)
}
