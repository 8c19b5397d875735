package sim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/checkpoint/ckptstore"
	"github.com/bramble-stream/bramble/engine/job"
	"github.com/bramble-stream/bramble/engine/schedule"
	"github.com/bramble-stream/bramble/engine/stream"
)

// jobmanager follows engine/jobmanager: what that does between the machines, storage and taskmanagers, without its goroutines.
type jobmanager struct {
	*process
	tries  int
	leader *ckptstore.Leader
	ckpt   *ckptstore.Store
	coord  *checkpoint.Coordinator
	job    *job.Job
	sess   map[string]*session
	// watching is what it knows while it stands by, beat counts its leases.
	watching checkpoint.Standby
	beat     uint64
	// entered is the number of the attempts that the catalogue has; base is what the last of them goes on from.
	attempts int32
	base     checkpoint.Base
	// offset is what its clock is off: that which shows the time of day, and nothing else goes by.
	offset, began int64
	placing       bool
	plan          *plan
	placed        [][]string
	finals        map[checkpoint.Task][]checkpoint.TaskPart
	ended         map[checkpoint.Task]bool
	// triggered are the epochs that it triggered, last the newest.
	triggered map[stream.Epoch]bool
	last      stream.Epoch
	// io is how much is on its way to storage.
	io int
}

// plan is what an attempt begins with; epoch 0: from the beginning.
type plan struct {
	epoch     stream.Epoch
	leader    uint64
	par       []int
	operators [][]checkpoint.Assignment
}

func (w *world) startJobManager() {
	j := &jobmanager{process: w.newProcess(fmt.Sprintf("jm%d", len(w.jms))), sess: map[string]*session{}, triggered: map[stream.Epoch]bool{}}
	j.watching.LapseMS, j.began = lapseMS, w.between(0, 50)*yearMS
	w.jms = append(w.jms, j)
	if w.oneIn(3) {
		// Without manners: as when a living leader was taken for dead. It has to be as safe.
		j.after(1, "lead", j.lead)
		return
	}
	j.after(1, "stand by", j.standBy)
}

// standBy watches the lease until it stands still, and leads.
func (j *jobmanager) standBy() {
	if j.dead {
		return
	}
	began := j.w.now
	lease, known, err := ckptstore.Look(context.Background(), j.store, j.id)
	if j.dead {
		return
	}
	j.after(j.w.between(200, 500), "stand by", func() {
		if j.leader == nil {
			j.standBy()
		}
	})
	if err != nil {
		return
	}
	epoch := j.watching.See(began, j.w.now, checkpoint.Sight{Epoch: lease.Epoch, Beat: lease.Beat, Released: lease.Released})
	if epoch == 0 {
		if !known {
			_ = ckptstore.Announce(context.Background(), j.store, j.id) // again next time
		}
		return
	}
	j.tries++
	l, err := ckptstore.Take(context.Background(), j.store, epoch, j.id, fmt.Sprintf("%s-%d", j.id, j.tries))
	if j.dead {
		return
	}
	if err != nil {
		j.watching.Taken(epoch)
		return
	}
	j.w.TakenOver++
	j.leads(l)
}

// startIfNone starts a jobmanager where none is left.
func (w *world) startIfNone() {
	if !slices.ContainsFunc(w.jms, (*jobmanager).alive) {
		w.startJobManager()
	}
}

// now is by the even clock: that of the machine may be set, and began anywhere.
func (j *jobmanager) now() stream.Time {
	if j.w.bug == WallClock {
		return j.w.now + j.offset
	}
	return j.w.now + j.began
}

// Why a jobmanager ends, where that matters.
const fenced, closing = "fenced", "closing"

func (j *jobmanager) calm() { j.setFaults() }

func (j *jobmanager) crash(why string) {
	if j.dead {
		return
	}
	j.w.note("%s ends: %s", j.id, why)
	j.dead = true
	for _, id := range slices.Sorted(maps.Keys(j.sess)) {
		j.sess[id].cut()
	}
	if why != closing {
		j.w.closed = false // others go on
	}
	if why == fenced { // and somebody starts it again
		j.w.after(j.w.between(500, 3000), "start jobmanager", j.w.startIfNone)
	}
}

// lead takes leadership and finds what there is.
func (j *jobmanager) lead() {
	if j.dead {
		return
	}
	j.tries++
	l, err := ckptstore.Lead(context.Background(), j.store, j.id, fmt.Sprintf("%s-%d", j.id, j.tries))
	if j.dead {
		return
	}
	if err != nil {
		j.after(j.w.between(100, 500), "lead", j.lead)
		return
	}
	j.leads(l)
}

func (j *jobmanager) leads(l *ckptstore.Leader) {
	j.w.model.leads(l.Epoch(), j.id)
	j.leader, j.epoch = l, l.Epoch()
	j.renew()
	j.recover()
}

// renew shows that it lives, and finds out whether it still leads: one that has no taskmanagers, and so writes nothing, would never know.
func (j *jobmanager) renew() {
	if j.dead {
		return
	}
	j.beat++
	_, err := j.leader.Renew(context.Background(), ckptstore.Lease{Beat: j.beat, Holder: j.id})
	if j.dead {
		return
	}
	if errors.Is(err, ckptstore.ErrFenced) {
		j.w.Fenced++
		j.crash(fenced)
		return
	}
	j.after(j.w.between(200, 600), "renew", j.renew)
}

// stop ends in order: whoever stands by need not wait.
func (j *jobmanager) stop() {
	if j.dead {
		return
	}
	if j.leader != nil {
		_, _ = j.leader.Renew(context.Background(), ckptstore.Lease{Beat: j.beat, Holder: j.id, Released: true})
	}
	j.crash("stopped")
}

func (j *jobmanager) recover() {
	if j.dead {
		return
	}
	var err error
	j.ckpt, err = ckptstore.New(j.store, jobID)
	var found *ckptstore.Found
	var entries []ckptstore.Entry
	if err == nil {
		entries, _, err = ckptstore.Entries(context.Background(), j.store)
	}
	if err == nil {
		found, err = j.ckpt.Find(context.Background())
	}
	if err == nil && len(entries) > 0 {
		found = found.Without(&entries[0])
	}
	if err != nil {
		j.after(j.w.between(100, 500), "find", j.recover)
		return
	}
	if j.dead {
		return
	}
	cfg := j.w.cfg
	cfg.Leader = j.epoch
	manifests, used := found.Manifests, found.Used
	if j.w.bug == ReuseEpochs {
		manifests, used = nil, 0
	}
	j.w.note("%s leads as %d, %d checkpoints, epochs up to %d used, %d skipped", j.id, j.epoch, len(found.Manifests), found.Used, len(found.Skipped))
	j.coord = checkpoint.NewCoordinator(cfg, manifests, used)
	j.job = job.New(j.now(), []int{sourceTasks, 1, 1}, job.Limits{DeployMS: 10_000, CancelMS: 3000}, job.Strategy{
		Kind: job.ExponentialDelay, InitialMS: 100, MaxMS: 1000, ResetMS: 10_000, Multiplier: 1.5, Attempts: -1,
	})
	j.prepare(1, j.coord.Latest())
	j.tick()
}

func (j *jobmanager) tick() {
	if j.dead || j.job.State().Ended() {
		return
	}
	j.after(j.w.between(30, 90), "tick", j.tick)
	if j.job.Deadline() <= j.now() {
		j.apply(job.Tick{})
	}
	if j.coord.Deadline() <= j.now() {
		j.coordinate(checkpoint.Tick{})
	}
}

func (j *jobmanager) key() key           { return key{j.epoch, j.job.Attempt()} }
func (j *jobmanager) current(k key) bool { return j.key() == k }

func (j *jobmanager) ordered() []*session {
	var out []*session
	for _, id := range slices.Sorted(maps.Keys(j.sess)) {
		out = append(out, j.sess[id])
	}
	return out
}

func (j *jobmanager) register(s *session) {
	if old := j.sess[s.tm.id]; old != nil {
		old.open = false
		j.lost(old)
	}
	j.sess[s.tm.id] = s
	j.place()
}

func (j *jobmanager) lost(s *session) {
	if j.dead || j.sess[s.tm.id] != s {
		return
	}
	delete(j.sess, s.tm.id)
	j.apply(job.Lost{TaskManager: s.tm.id, Reason: "connection"})
}

// prepare finds out what an attempt begins with, outside the loop.
func (j *jobmanager) prepare(attempt int, want *checkpoint.Manifest) {
	par := []int{sourceTasks, j.w.rng.IntN(3) + 1, 1}
	j.after(j.w.delay(), "prepare", func() {
		if j.dead {
			return
		}
		p, err := j.findRestore(par, want)
		if err == nil && !j.dead {
			err = j.remember(p)
		}
		if err == nil && !j.dead {
			// That orphans stay is no harm.
			_, _ = j.ckpt.Clean(context.Background(), j.leader, j.base)
		}
		if j.dead || j.job.Attempt() != attempt {
			return
		}
		if err != nil && attempt == 1 { // nothing runs yet: patience
			j.prepare(attempt, want)
			return
		}
		e := job.Prepared{Parallelism: par}
		if err != nil {
			e.Failure = &job.Failure{Message: "restore: " + err.Error()}
		} else {
			j.plan = p
			j.w.note("%s attempt %d goes on from epoch %d with %v", j.id, attempt, p.epoch, par)
		}
		j.apply(e)
	})
}

// remember writes down what the attempt goes on from, before anything is cleaned up for it.
func (j *jobmanager) remember(p *plan) error {
	j.attempts++
	base := checkpoint.Base{Leader: p.leader, Epoch: p.epoch, Used: j.coord.Used()}
	err := ckptstore.WriteEntry(context.Background(), j.store, j.leader, ckptstore.Entry{JobID: jobID, Attempt: j.attempts, Base: &base})
	if err == nil {
		j.base = base
	}
	return err
}

func (j *jobmanager) findRestore(par []int, want *checkpoint.Manifest) (*plan, error) {
	p := &plan{par: par}
	if want == nil {
		j.w.model.checkRestore(j, nil)
		return p, nil
	}
	found, err := j.ckpt.Find(context.Background())
	if err != nil {
		return nil, err
	}
	found.Manifests = slices.DeleteFunc(found.Manifests, func(m *checkpoint.Manifest) bool { return m.Newer(want) })
	m, err := found.Latest()
	if err != nil {
		if j.w.disk.leader() == j.epoch && !j.dead {
			j.w.violate("%s leads, and its checkpoints are gone: %v", j.id, err)
		}
		return nil, err
	}
	if j.w.bug == RestoreOldest {
		m = found.Manifests[len(found.Manifests)-1]
	}
	j.w.Restores++
	j.w.model.checkRestore(j, m)
	p.epoch, p.leader = m.Epoch, m.Leader
	for v, id := range operators {
		all, err := checkpoint.Redistribute(m.Operator(id), par[v])
		if err != nil {
			return nil, err
		}
		p.operators = append(p.operators, all)
	}
	return p, nil
}

func (j *jobmanager) apply(e job.Event) {
	before := j.job.State()
	cmds := j.job.Step(j.now(), e)
	if after := j.job.State(); after != before {
		j.entered(after)
	}
	for _, cmd := range cmds {
		if j.dead {
			return
		}
		switch cmd := cmd.(type) {
		case job.Place:
			j.placing = true
			j.place()
		case job.Deploy:
			if s := j.sess[cmd.TaskManager]; s != nil {
				k, p, placed := j.key(), j.plan, j.placed
				s.down("deploy", func() { s.tm.deploy(s, k, cmd.Tasks, p, placed) })
			}
		case job.Start:
			j.tell(cmd.TaskManager, "start", (*exec).start)
		case job.Stop:
			j.tell(cmd.TaskManager, "stop", (*exec).cancel)
		case job.Restart:
			j.placing = false
			clear(j.ended)
			clear(j.finals)
			j.coordinate(checkpoint.Restart{})
		case job.End:
		}
	}
}

func (j *jobmanager) tell(tm, name string, f func(*exec)) {
	s, k := j.sess[tm], j.key()
	if s == nil {
		return
	}
	s.down(name, func() {
		if x := s.tm.exec(k); x != nil {
			f(x)
		}
	})
}

func (j *jobmanager) tellAll(name string, f func(*exec)) {
	told := map[string]bool{}
	for _, tasks := range j.job.Tasks() {
		for _, t := range tasks {
			if t.TaskManager != "" && !t.State.Ended() && !told[t.TaskManager] {
				told[t.TaskManager] = true
				j.tell(t.TaskManager, name, f)
			}
		}
	}
}

func (j *jobmanager) place() {
	if !j.placing {
		return
	}
	var vertices []schedule.Vertex
	for v, p := range j.plan.par {
		vertices = append(vertices, schedule.Vertex{Parallelism: p, Group: v})
	}
	var tms []schedule.TaskManager
	for _, s := range j.ordered() {
		tms = append(tms, schedule.TaskManager{ID: s.tm.id, Slots: slotsEach, Free: slotsEach})
	}
	p, err := schedule.Place(vertices, tms)
	if err != nil {
		j.apply(job.Short{Reason: err.Error()})
		return
	}
	j.placing = false
	j.placed = nil
	for _, tasks := range p.Tasks {
		var ids []string
		for _, slot := range tasks {
			ids = append(ids, p.Slots[slot])
		}
		j.placed = append(j.placed, ids)
	}
	j.apply(job.Placed{TaskManagers: j.placed})
}

func (j *jobmanager) entered(s job.State) {
	j.w.note("%s: job %v", j.id, s)
	switch s {
	case job.Running:
		e := checkpoint.Started{Upstream: map[checkpoint.Task][]checkpoint.Task{}}
		for v, tasks := range j.job.Tasks() {
			for i := range tasks {
				t := checkpoint.Task{Vertex: v, Index: i}
				e.Tasks = append(e.Tasks, t)
				for u := 0; v > 0 && u < j.plan.par[v-1]; u++ {
					e.Upstream[t] = append(e.Upstream[t], checkpoint.Task{Vertex: v - 1, Index: u})
				}
			}
		}
		j.ended, j.finals = map[checkpoint.Task]bool{}, map[checkpoint.Task][]checkpoint.TaskPart{}
		j.coordinate(e)
		for v, tasks := range j.job.Tasks() {
			for i, t := range tasks {
				if t.State == job.TaskFinished {
					j.taskFinished(checkpoint.Task{Vertex: v, Index: i})
				}
			}
		}
	case job.Restarting, job.Failing, job.Cancelling, job.Failed, job.Canceled, job.Finished:
		j.coordinate(checkpoint.Stopped{Reason: s.String()})
		if s == job.Finished {
			j.after(1, "clean up", j.finished)
		}
		if s == job.Failed {
			j.w.violate("%s: the job failed for good: %v", j.id, j.job.Failures())
		}
	case job.Initializing, job.Created, job.Suspended:
	}
}

// finished ends everything else, cleans up after the job and ends the simulation, unless others lead now.
func (j *jobmanager) finished() {
	w := j.w
	if j.dead {
		return
	}
	if j.io > 0 || !w.calm {
		j.after(100, "clean up", j.finished)
		return
	}
	closed := w.closed
	_, err := j.ckpt.Clean(context.Background(), j.leader, j.base)
	switch {
	case j.dead:
	case errors.Is(err, ckptstore.ErrFenced):
		j.crash(fenced)
	case err != nil:
		j.after(500, "clean up", j.finished)
	case w.disk.leader() != j.epoch: // overtaken meanwhile: the next attempt will tell
		j.after(100, "clean up", j.finished)
	case !closed:
		// What others have on its way to storage comes to its end first.
		w.closed = true
		for _, other := range w.jms {
			if other != j {
				other.crash(closing)
			}
		}
		for _, t := range w.tms {
			if t.sess != nil {
				t.sess.cut()
			}
		}
		j.after(closingMS, "clean up", j.finished)
	default:
		w.stopped = true
	}
}

func (j *jobmanager) taskFinished(t checkpoint.Task) {
	if j.job.State() != job.Running {
		return
	}
	parts := j.finals[t]
	if parts == nil {
		par := j.plan.par[t.Vertex]
		parts = []checkpoint.TaskPart{{Operator: operators[t.Vertex], Parallelism: par, MaxParallelism: keyGroups, State: checkpoint.TaskState{
			Index: t.Index, Range: stream.RangeOf(t.Index, keyGroups, par), Finished: true,
		}}}
	}
	j.coordinate(checkpoint.Finished{Task: t, Parts: parts})
}

func (j *jobmanager) taskChanged(e job.TaskChanged) {
	j.apply(e)
	if e.State == job.TaskFinished {
		j.taskFinished(checkpoint.Task(e.Task))
	}
}

func (j *jobmanager) onAttempt(k key, e checkpoint.Event) {
	if j.current(k) {
		j.coordinate(e)
	}
}

func (j *jobmanager) onAck(k key, e checkpoint.Acked, final bool) {
	if !j.current(k) {
		return
	}
	if final && j.finals != nil {
		j.finals[e.Task] = e.Parts
	}
	j.coordinate(e)
}

func (j *jobmanager) onEndOfInput(k key, t checkpoint.Task) {
	if !j.current(k) || j.ended == nil {
		return
	}
	j.ended[t] = true
	total, done := j.job.Count(job.TaskFinished)
	if len(j.ended)+done >= total {
		j.coordinate(checkpoint.Request{ID: "end of input"})
	}
}

func (j *jobmanager) coordinate(e checkpoint.Event) {
	for _, cmd := range j.coord.Step(j.now(), e) {
		if j.dead {
			return
		}
		j.coordinated(cmd)
	}
}

func (j *jobmanager) coordinated(cmd checkpoint.Command) {
	switch cmd := cmd.(type) {
	case checkpoint.Trigger:
		j.w.model.triggers(j, cmd.Barrier.Epoch)
		f := func(x *exec) { x.trigger(cmd.Barrier) }
		j.tellAll("trigger", f)
		if j.w.oneIn(5) {
			j.tellAll("trigger again", f)
		}
	case checkpoint.Abort:
		j.w.note("%s aborts epoch %d: %s", j.id, cmd.Epoch, cmd.Reason)
		j.tellAll("abort", func(x *exec) { x.abort(cmd.Epoch) })
	case checkpoint.Commit:
		j.tellAll("commit", func(x *exec) { x.commit(cmd.Epoch) })
	case checkpoint.WriteManifest:
		j.onStorage("write manifest", func() checkpoint.Event { return j.writeManifest(cmd.Manifest) })
	case checkpoint.Delete:
		j.onStorage("delete", func() checkpoint.Event {
			done := checkpoint.Deleted{Epochs: cmd.Epochs, Files: cmd.Files}
			if err := j.ckpt.Delete(context.Background(), j.leader, cmd); err != nil {
				done.Failure = err.Error()
			}
			if j.w.bug == DeleteByAge {
				j.w.disk.deleteBelow(j.last - 3)
			}
			return done
		})
	case checkpoint.Restore:
		j.prepare(j.job.Attempt(), cmd.Manifest)
	case checkpoint.FailJob:
		j.apply(job.Fault{Failure: job.Failure{Message: cmd.Reason}})
	case checkpoint.RequestDone, checkpoint.RequestFailed:
	}
}

// onStorage does something outside the loop and tells the coordinator.
func (j *jobmanager) onStorage(name string, f func() checkpoint.Event) {
	j.io++
	j.after(j.w.delay(), name, func() {
		if j.dead {
			return
		}
		e := f()
		if j.dead {
			return
		}
		j.after(j.w.delay(), name+" done", func() {
			if j.dead {
				return
			}
			j.io--
			j.coordinate(e)
			switch e.(type) {
			case checkpoint.Fenced:
				j.w.Fenced++
				j.crash(fenced)
			case checkpoint.Written:
				if j.w.oneIn(4) {
					j.after(1, "collect garbage", j.collect)
				}
			}
		})
	})
}

// collect removes orphans while tasks run.
func (j *jobmanager) collect() {
	if m := j.coord.Latest(); m != nil && !j.dead {
		_, _ = j.ckpt.GC(context.Background(), j.leader, m.Epoch) // they may stay
	}
}

func (j *jobmanager) writeManifest(m *checkpoint.Manifest) checkpoint.Event {
	path, err := j.ckpt.WriteManifest(context.Background(), j.leader, m)
	switch {
	case j.dead:
	case errors.Is(err, ckptstore.ErrFenced):
		return checkpoint.Fenced{}
	case err != nil:
		return checkpoint.WriteFailed{Epoch: m.Epoch, Reason: err.Error()}
	default:
		j.w.note("%s completes epoch %d", j.id, m.Epoch)
		j.w.model.completed(j, m)
	}
	return checkpoint.Written{Epoch: m.Epoch, Path: path}
}
