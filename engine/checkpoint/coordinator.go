package checkpoint

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/internal/sorting"
)

// Config says when checkpoints are taken and kept.
type Config struct {
	JobID, GraphDigest string
	// Forms are the forms of the operators' state, by their IDs; see OperatorState.Form.
	Forms map[string]string
	// Leader is this jobmanager's leader epoch.
	Leader uint64
	// IntervalMS is from one trigger to the next; 0: only on request.
	IntervalMS int64
	// MinPauseMS is from the end of one to the trigger of the next, savepoints excepted.
	MinPauseMS int64
	// TimeoutMS is how long the tasks' parts may take; 0 means DefaultTimeoutMS.
	TimeoutMS int64
	// MaxConcurrent is how many may be in flight; 0 means 1.
	MaxConcurrent int
	// TolerableFailures is how many may fail in a row without failing the job; below 0 any number.
	TolerableFailures int
	// Retained is how many completed checkpoints are kept; 0 means 1.
	Retained int
}

// DefaultTimeoutMS is ten minutes, as in Flink.
const DefaultTimeoutMS = 600_000

// requestsMax bounds the queue of requests, historyMax what History tells of those that have ended, and savepointsMax the older savepoints beside them.
const (
	requestsMax   = 16
	historyMax    = 10
	savepointsMax = 5
)

// Coordinator decides about a job's checkpoints, over all its attempts under one leader. It is not safe for concurrent use.
//
// Files: a file of state is known by its path. It may go when no retained checkpoint has it and its task has left it out of a
// checkpoint that completed: a store's file that is dead stays dead, so that no part in flight has it either.
type Coordinator struct {
	cfg Config
	now stream.Time
	// next is the epoch that the next trigger gets. Epochs are never used twice.
	next stream.Epoch
	// fenced: another leads, and nothing happens any more.
	fenced bool
	// running: there is an attempt, with tasks.
	running  bool
	tasks    map[Task]*task
	stopping bool // a stop was committed: no more checkpoints
	// pending are in flight, by ascending epoch; all are above the last that completed.
	pending  []*pending
	requests []Request
	// nextTriggerMS is when the interval has passed, lastEndMS when one ended last. Both only count while running.
	nextTriggerMS, lastEndMS stream.Time
	failures                 int
	// restartWanted waits until no manifest is being written.
	restartWanted bool
	// completed are retained, by ascending age of Newer: the last is restored from.
	completed []*Manifest
	// final is the savepoint that the job was stopped with, nil for none, and finalPath where it is.
	final     *Manifest
	finalPath string
	// lastRef is the newest epoch with which a file was acknowledged, for all that are not known to be deleted.
	lastRef map[string]stream.Epoch
	// doubtful are epochs whose manifest may be there though it does not count: deleted before any more files are.
	doubtful map[stream.Epoch]bool
	history  []Record
}

type task struct {
	upstream []Task
	finished bool
	// parts are what it left at its end.
	parts []TaskPart
}

// pending is a checkpoint in flight.
type pending struct {
	Record
	request  *Request
	barrier  stream.Barrier
	deadline stream.Time
	// parts are what has been acknowledged; complete when every task is in it.
	parts     map[Task][]TaskPart
	triggered map[Task]bool
	// writing: all is there, and the manifest is on its way. It is not given up any more, as nobody could tell whether it is there.
	writing  bool
	manifest *Manifest
	// orphaned: the attempt that it was taken of has stopped.
	orphaned bool
}

// NewCoordinator returns the coordinator of a job that has the completed checkpoints (no savepoints), in any order, and has used
// epochs up to used.
func NewCoordinator(cfg Config, completed []*Manifest, used stream.Epoch) *Coordinator {
	if cfg.TimeoutMS <= 0 {
		cfg.TimeoutMS = DefaultTimeoutMS
	}
	cfg.MaxConcurrent, cfg.Retained = max(cfg.MaxConcurrent, 1), max(cfg.Retained, 1)
	c := &Coordinator{cfg: cfg, lastRef: map[string]stream.Epoch{}, doubtful: map[stream.Epoch]bool{}, tasks: map[Task]*task{}}
	c.completed = slices.Clone(completed)
	sorting.By(c.completed, func(a, b *Manifest) int {
		return cmp.Or(cmp.Compare(a.Leader, b.Leader), cmp.Compare(a.Epoch, b.Epoch))
	})
	for _, m := range c.completed {
		used = max(used, m.Epoch)
		m.Files(func(f *File) { c.lastRef[f.Path] = max(c.lastRef[f.Path], m.Epoch) })
	}
	c.next = used + 1
	return c
}

// Step takes in an event and returns what is to be done, in this order. A clock that goes backwards stands still.
func (c *Coordinator) Step(now stream.Time, e Event) []Command {
	if c.fenced {
		return nil
	}
	c.now = max(c.now, now)
	cmds := c.take(e)
	if c.fenced {
		return cmds
	}
	if cmds = append(cmds, c.expire()...); c.restartWanted && !c.writing() {
		c.restartWanted = false
		r := Restore{Manifest: c.Latest()}
		if c.final != nil {
			r.Path = c.finalPath
		}
		cmds = append(cmds, r)
	}
	return append(cmds, c.trigger()...)
}

func (c *Coordinator) take(e Event) []Command {
	switch e := e.(type) {
	case Started:
		return c.started(e)
	case Stopped:
		return c.stopped(e.Reason)
	case Restart:
		c.restartWanted = !c.running
		return nil
	case Tick:
		return nil
	case Request:
		return c.requested(e)
	case Acked:
		return c.acked(e)
	case Declined:
		return c.declined(e)
	case Finished:
		return c.finished(e)
	case Written:
		return c.written(e)
	case WriteFailed:
		return c.writeFailed(e)
	case Deleted:
		c.deleted(e)
		return nil
	case Damaged:
		c.damaged(e.Epoch)
		return nil
	case Fenced:
		cmds := c.stopped("another jobmanager leads")
		for _, p := range slices.Clone(c.pending) {
			cmds = append(cmds, c.giveUp(p, "another jobmanager leads", false)...)
		}
		c.fenced = true
		return cmds
	}
	panic(fmt.Sprintf("checkpoint: unknown event %T", e)) // a bug: the set is closed
}

// Deadline is when a Tick is due, stream.MaxTime for never.
func (c *Coordinator) Deadline() stream.Time {
	at := stream.MaxTime
	for _, p := range c.pending {
		if !p.writing {
			at = min(at, p.deadline)
		}
	}
	if due, ok := c.periodic(); ok {
		at = min(at, due)
	}
	return at
}

// Latest is what a restart begins with, nil for nothing: the last checkpoint, or the savepoint that the job was being stopped with. The
// manifest is shared: do not modify it.
func (c *Coordinator) Latest() *Manifest {
	if c.final != nil {
		return c.final
	}
	return c.newest()
}

// newest is the last completed checkpoint.
func (c *Coordinator) newest() *Manifest {
	if len(c.completed) == 0 {
		return nil
	}
	return c.completed[len(c.completed)-1]
}

// Completed are the retained checkpoints, oldest first.
func (c *Coordinator) Completed() []*Manifest { return slices.Clone(c.completed) }

// periodic is when the next checkpoint by interval may begin; ok is false while none may.
func (c *Coordinator) periodic() (due stream.Time, ok bool) {
	if c.cfg.IntervalMS <= 0 || !c.mayBegin() {
		return 0, false
	}
	return max(c.nextTriggerMS, c.lastEndMS+c.cfg.MinPauseMS), true
}

// mayBegin says that there is an attempt with tasks that run, and room in flight.
func (c *Coordinator) mayBegin() bool {
	return c.running && !c.stopping && len(c.pending) < c.cfg.MaxConcurrent && !c.allFinished()
}

func (c *Coordinator) allFinished() bool {
	for _, t := range c.tasks {
		if !t.finished {
			return false
		}
	}
	return true
}

func (c *Coordinator) writing() bool {
	return slices.ContainsFunc(c.pending, func(p *pending) bool { return p.writing })
}

func (c *Coordinator) started(e Started) []Command {
	cmds := c.stopped("a new attempt has begun")
	c.running, c.stopping, c.restartWanted, c.failures = true, false, false, 0
	c.tasks = make(map[Task]*task, len(e.Tasks))
	for _, t := range e.Tasks {
		c.tasks[t] = &task{upstream: e.Upstream[t]}
	}
	c.nextTriggerMS, c.lastEndMS = c.now+c.cfg.IntervalMS, c.now
	return cmds
}

// stopped gives up what is in flight, but for manifests that are being written, and all requests.
func (c *Coordinator) stopped(reason string) []Command {
	var cmds []Command
	for _, p := range slices.Clone(c.pending) {
		if p.writing {
			p.orphaned = true
			continue
		}
		// The tasks end anyway: nobody is left to be told.
		cmds = append(cmds, c.giveUp(p, reason, false)...)
	}
	for _, r := range c.requests {
		cmds = append(cmds, RequestFailed{r.ID, reason})
	}
	c.running, c.requests, c.tasks = false, nil, map[Task]*task{}
	return cmds
}

func (c *Coordinator) requested(r Request) []Command {
	var why string
	switch {
	case !c.running:
		why = "the job is not running"
	case c.stopping:
		why = "the job is stopping"
	case c.allFinished():
		why = "all tasks have finished"
	case len(c.requests) >= requestsMax:
		why = fmt.Sprintf("%d requests are waiting already", requestsMax)
	default:
		c.requests = append(c.requests, r)
		return nil
	}
	return []Command{RequestFailed{r.ID, why}}
}

// expire gives up what has taken too long.
func (c *Coordinator) expire() []Command {
	var cmds []Command
	for _, p := range slices.Clone(c.pending) {
		if p.writing || p.deadline > c.now {
			continue
		}
		cmds = append(cmds, c.fail(p, fmt.Sprintf("not complete after %d ms: %d of %d tasks acknowledged", c.cfg.TimeoutMS, len(p.Tasks), p.TaskCount))...)
	}
	return cmds
}

// trigger begins what is due: requests first.
func (c *Coordinator) trigger() []Command {
	var cmds []Command
	for len(c.requests) > 0 {
		if c.allFinished() || c.stopping || !c.running {
			for _, r := range c.requests {
				cmds = append(cmds, RequestFailed{r.ID, "the job has come to its end"})
			}
			c.requests = nil
			break
		}
		if !c.mayBegin() {
			return cmds
		}
		r := c.requests[0]
		c.requests = c.requests[1:]
		cmds = append(cmds, c.begin(&r)...)
	}
	if due, ok := c.periodic(); ok && due <= c.now {
		c.nextTriggerMS = c.now + c.cfg.IntervalMS
		cmds = append(cmds, c.begin(nil)...)
	}
	return cmds
}

func (c *Coordinator) begin(r *Request) []Command {
	p := &pending{
		Record:  Record{Epoch: c.next, Status: InProgress, TriggeredMS: c.now},
		barrier: stream.Barrier{Epoch: c.next}, request: r, deadline: c.now + c.cfg.TimeoutMS,
		parts: map[Task][]TaskPart{}, triggered: map[Task]bool{},
	}
	c.next++
	if r != nil {
		p.Savepoint, p.barrier.Savepoint, p.barrier.Stop, p.Path = r.Savepoint, r.Savepoint, r.Stop, r.Path
		p.barrier.Drain = r.Stop && r.Drain
		c.stopping = r.Stop
	}
	for id, t := range c.tasks {
		p.TaskCount++
		if t.finished {
			p.parts[id] = t.parts
			p.TaskCount-- // it has nothing more to say
		}
	}
	c.pending = append(c.pending, p)
	return c.triggerRoots(p)
}

// triggerRoots tells those tasks to begin that nobody will send a barrier to, each once.
func (c *Coordinator) triggerRoots(p *pending) []Command {
	var roots []Task
	for id, t := range c.tasks {
		if _, acked := p.parts[id]; acked || t.finished || p.triggered[id] {
			continue
		}
		fed := slices.ContainsFunc(t.upstream, func(u Task) bool { return c.tasks[u] != nil && !c.tasks[u].finished })
		if !fed {
			roots = append(roots, id)
			p.triggered[id] = true
		}
	}
	if len(roots) == 0 {
		return nil
	}
	sorting.By(roots, compareTasks)
	path := ""
	if p.request != nil {
		path = p.request.Path
	}
	return []Command{Trigger{p.barrier, roots, path}}
}

func compareTasks(a, b Task) int {
	return cmp.Or(cmp.Compare(a.Vertex, b.Vertex), cmp.Compare(a.Index, b.Index))
}

// find returns the checkpoint in flight, nil for none.
func (c *Coordinator) find(e stream.Epoch) *pending {
	i := slices.IndexFunc(c.pending, func(p *pending) bool { return p.Epoch == e })
	if i < 0 {
		return nil
	}
	return c.pending[i]
}

func (c *Coordinator) acked(e Acked) []Command {
	if e.Epoch >= c.next {
		return nil // of no trigger of ours
	}
	// Also of those that have been given up: they are in storage, and the task may have them again.
	for i := range e.Parts {
		for _, f := range e.Parts[i].State.Files {
			if !e.Savepoint {
				c.lastRef[f.Path] = max(c.lastRef[f.Path], e.Epoch)
			}
		}
	}
	p := c.find(e.Epoch)
	if p == nil || p.writing || c.tasks[e.Task] == nil {
		return nil
	}
	if _, again := p.parts[e.Task]; again {
		return nil
	}
	p.parts[e.Task] = e.Parts
	p.add(c.now, e)
	return c.complete(p)
}

// complete writes the manifest once every task's part is there.
func (c *Coordinator) complete(p *pending) []Command {
	for id := range c.tasks {
		if _, ok := p.parts[id]; !ok {
			return nil
		}
	}
	m, err := c.assemble(p)
	if err != nil {
		// A task reported what cannot be: no repetition mends it.
		return c.fail(p, err.Error())
	}
	p.manifest, p.writing, p.SizeBytes = m, true, m.SizeBytes()
	return []Command{WriteManifest{m, p.path(), p.barrier.Stop}}
}

func (p *pending) path() string {
	if p.request == nil {
		return ""
	}
	return p.request.Path
}

// assemble puts the parts together.
func (c *Coordinator) assemble(p *pending) (*Manifest, error) {
	m := &Manifest{
		JobID: c.cfg.JobID, Epoch: p.Epoch, Leader: c.cfg.Leader, Savepoint: p.Savepoint, GraphDigest: c.cfg.GraphDigest,
		TriggeredMS: p.TriggeredMS, CompletedMS: c.now,
	}
	at := map[string]int{}
	for _, id := range slices.SortedFunc(maps.Keys(p.parts), compareTasks) {
		for _, part := range p.parts[id] {
			i, ok := at[part.Operator]
			if !ok {
				i = len(m.Operators)
				at[part.Operator] = i
				m.Operators = append(m.Operators, OperatorState{
					ID: part.Operator, Name: part.Name, Parallelism: part.Parallelism, MaxParallelism: part.MaxParallelism,
					Form: c.cfg.Forms[part.Operator],
				})
			}
			o := &m.Operators[i]
			if o.Parallelism != part.Parallelism || o.MaxParallelism != part.MaxParallelism {
				return nil, fmt.Errorf("task %v reports operator %s at parallelism %d, another at %d", id, part.Operator, part.Parallelism, o.Parallelism)
			}
			s := part.State
			s.Finished = s.Finished || c.tasks[id].finished
			o.Tasks = append(o.Tasks, s)
		}
	}
	m.sort()
	return m, m.Validate()
}

func (c *Coordinator) declined(e Declined) []Command {
	p := c.find(e.Epoch)
	if p == nil || p.writing || c.tasks[e.Task] == nil {
		return nil
	}
	return c.fail(p, fmt.Sprintf("task %s declined: %s", cmp.Or(e.Name, e.Task.String()), e.Reason))
}

func (c *Coordinator) finished(e Finished) []Command {
	t := c.tasks[e.Task]
	if t == nil || t.finished {
		return nil
	}
	t.finished, t.parts = true, slices.Clone(e.Parts)
	for i := range t.parts {
		t.parts[i].State.Files = nil
	}
	var cmds []Command
	for _, p := range slices.Clone(c.pending) {
		if p.writing {
			continue
		}
		if _, ok := p.parts[e.Task]; !ok {
			p.parts[e.Task] = t.parts
			p.TaskCount--
		}
		// Its end may have been what another one's barrier would have been.
		cmds = append(cmds, c.triggerRoots(p)...)
		cmds = append(cmds, c.complete(p)...)
	}
	return cmds
}

// runningTasks are those to be told something.
func (c *Coordinator) runningTasks() []Task {
	var out []Task
	for id, t := range c.tasks {
		if !t.finished {
			out = append(out, id)
		}
	}
	sorting.By(out, compareTasks)
	return out
}
