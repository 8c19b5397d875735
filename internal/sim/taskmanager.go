package sim

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/checkpoint/ckptstore"
	"github.com/bramble-stream/bramble/engine/job"
	"github.com/bramble-stream/bramble/engine/stream"
)

const slotsEach = 2

// session is a connection between a taskmanager and a jobmanager. What is in flight when it is cut is lost, and either side takes its time to
// notice.
type session struct {
	w            *world
	tm           *taskmanager
	jm           *jobmanager
	open         bool
	upAt, downAt stream.Time
}

func (s *session) up(name string, f func(*jobmanager)) {
	s.upAt = max(s.upAt, s.w.now+s.w.delay())
	s.w.after(s.upAt-s.w.now, name, func() {
		if !s.open {
			return
		}
		// What has arrived at one who is frozen is read when it wakes, before it hears that the connection is gone.
		s.jm.awake(name, func() {
			if s.jm.alive() && (s.open || s.jm.sess[s.tm.id] == s) {
				f(s.jm)
			}
		})
	})
}

func (s *session) down(name string, f func()) {
	s.downAt = max(s.downAt, s.w.now+s.w.delay())
	s.w.after(s.downAt-s.w.now, name, func() {
		if s.open && s.tm.proc.alive() && s.tm.sess == s {
			f()
		}
	})
}

func (s *session) cut() {
	if !s.open {
		return
	}
	s.open = false
	s.w.after(s.w.between(0, 1000), "jobmanager notices", func() {
		s.jm.awake("jobmanager notices", func() { s.jm.lost(s) })
	})
	s.w.after(s.w.between(0, 1500), "taskmanager notices", func() { s.tm.left(s) })
}

// key names an attempt.
type key struct {
	leader  uint64
	attempt int
}

type taskmanager struct {
	w    *world
	id   string
	proc *process
	sess *session
	// seen is the newest leader that it has heard of: older ones have nothing to say.
	seen  uint64
	execs []*exec
}

// exec are the tasks of an attempt on a taskmanager.
type exec struct {
	tm        *taskmanager
	sess      *session
	key       key
	par       []int
	placement [][]string
	tasks     []*task
	store     *ckptstore.Store
	started   bool
	dead      bool
	told      map[stream.Epoch]bool
	aborted   stream.Epoch
}

func newTaskManager(w *world, id string) *taskmanager {
	t := &taskmanager{w: w, id: id, proc: w.newProcess(id)}
	w.after(w.between(0, 300), "connect", t.connect)
	return t
}

// connect looks for a leader, again and again.
func (t *taskmanager) connect() {
	t.w.after(t.w.between(100, 400), "connect", t.connect)
	if !t.proc.alive() || t.w.closed {
		return
	}
	var known []*jobmanager
	for _, j := range t.w.jms {
		if j.alive() && j.frozenUntil <= t.w.now && j.coord != nil && j.epoch >= t.seen && !t.w.apart(t.id, j.id) {
			known = append(known, j)
		}
	}
	if len(known) == 0 {
		return
	}
	j := known[t.w.rng.IntN(len(known))]
	switch {
	case t.sess == nil:
		t.seen = j.epoch
		t.sess = &session{w: t.w, tm: t, jm: j, open: true}
		j.register(t.sess)
	case j.epoch > t.sess.jm.epoch && t.w.oneIn(4):
		t.sess.cut()
	}
}

// left ends what came over a session.
func (t *taskmanager) left(s *session) {
	if t.sess != s {
		return
	}
	t.sess = nil
	for _, x := range t.execs {
		x.dead = true
	}
	t.execs = nil
}

func (t *taskmanager) crash() {
	if !t.proc.alive() {
		return
	}
	t.w.note("%s is killed", t.id)
	t.proc.dead = true
	if t.sess != nil {
		t.sess.cut()
		t.left(t.sess)
	}
	t.w.after(t.w.between(10, 4000), "start taskmanager", func() { t.proc = t.w.newProcess(t.id) })
}

func (t *taskmanager) failSome() {
	if len(t.execs) > 0 {
		x := t.execs[t.w.rng.IntN(len(t.execs))]
		x.tasks[t.w.rng.IntN(len(x.tasks))].fail("by itself")
	}
}

func (t *taskmanager) calm() { t.proc.setFaults() }

// find returns a task that can take data, nil if it is gone.
func (w *world) find(tm string, k key, ref checkpoint.Task) *task {
	for _, t := range w.tms {
		if t.id != tm || !t.proc.alive() {
			continue
		}
		for _, x := range t.execs {
			if x.key != k {
				continue
			}
			for _, task := range x.tasks {
				if task.ref == ref {
					return task
				}
			}
		}
	}
	return nil
}

func (t *taskmanager) exec(k key) *exec {
	i := slices.IndexFunc(t.execs, func(x *exec) bool { return x.key == k })
	if i < 0 {
		return nil
	}
	return t.execs[i]
}

// deploy builds tasks, which brings their state here.
func (t *taskmanager) deploy(s *session, k key, refs []job.Ref, p *plan, placement [][]string) {
	store, err := ckptstore.New(t.proc.store, jobID)
	if err != nil {
		t.w.violate("%v", err)
		return
	}
	x := &exec{tm: t, sess: s, key: k, par: p.par, placement: placement, store: store, told: map[stream.Epoch]bool{}}
	for _, r := range refs {
		x.tasks = append(x.tasks, newTask(x, checkpoint.Task(r)))
	}
	t.execs = append(t.execs, x)
	t.w.after(t.w.delay(), "restore", func() { x.restore(p) })
}

func (x *exec) restore(p *plan) {
	proc := x.tm.proc
	read := func(f checkpoint.File) ([]byte, error) {
		r, err := x.store.OpenState(context.Background(), f)
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(r)
		return b, err
	}
	var failure *job.Failure
	for _, t := range x.tasks {
		if p.epoch == 0 || failure != nil || x.dead {
			break
		}
		a := p.operators[t.ref.Vertex][t.ref.Index]
		if err := t.restore(p.epoch, a, read); err != nil {
			failure = &job.Failure{Message: fmt.Sprintf("restore epoch %d: %v", p.epoch, err), TaskManager: x.tm.id}
		}
	}
	if x.dead || !proc.alive() {
		return
	}
	if failure != nil {
		x.tm.w.note("%s: %s", x.tm.id, failure.Message)
		x.end()
	}
	x.sess.up("deployed", func(j *jobmanager) {
		if j.current(x.key) {
			j.apply(job.Deployed{TaskManager: x.tm.id, Failure: failure})
		}
	})
}

func (x *exec) end() {
	x.dead = true
	x.tm.execs = slices.DeleteFunc(x.tm.execs, func(y *exec) bool { return y == x })
}

func (x *exec) start() {
	if x.started {
		return
	}
	x.started = true
	for _, t := range x.tasks {
		x.report(t.ref, job.TaskRunning, nil)
		t.start()
	}
}

func (x *exec) cancel() {
	for _, t := range x.tasks {
		if !t.done {
			x.report(t.ref, job.TaskCanceled, nil)
		}
	}
	x.end()
}

func (x *exec) report(ref checkpoint.Task, s job.TaskState, f *job.Failure) {
	x.sess.up("task "+s.String(), func(j *jobmanager) {
		if j.current(x.key) {
			j.taskChanged(job.TaskChanged{Task: job.Ref(ref), State: s, Failure: f})
		}
	})
}

func (x *exec) ack(ref checkpoint.Task, e stream.Epoch, part checkpoint.TaskPart, final bool) {
	parts := []checkpoint.TaskPart{part}
	x.sess.up("ack", func(j *jobmanager) { j.onAck(x.key, checkpoint.Acked{Epoch: e, Task: ref, Parts: parts}, final) })
}

func (x *exec) trigger(b stream.Barrier) {
	x.told[b.Epoch] = true
	for _, t := range x.tasks {
		t.trigger(b)
		t.upload()
	}
}

func (x *exec) abort(e stream.Epoch) {
	x.aborted = max(x.aborted, e)
	for _, t := range x.tasks {
		t.abort(e)
	}
}

func (x *exec) commit(e stream.Epoch) {
	for _, t := range x.tasks {
		t.commit(e)
	}
}
