package jobmanager

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/job"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/sample"
	"github.com/bramble-stream/bramble/engine/schedule"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/engine/stream"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// running is a job, also one that has ended. It belongs to the loop.
type running struct {
	id        string
	planned   *Planned
	graphJSON []byte
	// request is what the plan was made from; next, if set, is the plan of the next attempt.
	request PlanRequest
	next    *Planned
	// savepoint is where the job began, "" for nowhere. unlisted: nobody has asked yet what there is to read.
	savepoint string
	unlisted  bool
	// preview: the job is forgotten when it has ended.
	preview bool
	// lost: it stands for a job that could not be recovered yet.
	lost    bool
	machine *job.Job
	// ckpt is nil without checkpoint storage.
	ckpt *checkpoints
	// submittedAt is the time of day; all else goes by the even clock, and wall makes it the time of day.
	submittedAt stream.Time
	wall        func(stream.Time) stream.Time
	// placing says that the job wants slots.
	placing bool
	// slots are the ones it holds or held; tasks[v][i] is the one of a task.
	slots []slot
	tasks [][]int
	// splits[v][i] is what a source task reads.
	splits [][][]op.Split
	// metrics[v][i] is the latest report of a task, nil before the first.
	metrics [][]*pb.TaskMetrics
	// health is by task and component, in the order of first appearance.
	health []*pb.Health
	// vertexOf finds a vertex by ID.
	vertexOf map[string]int
	// observed is what rates and series are made of.
	observed observed
	// rejected are the newest records that tasks which have ended had rejected.
	rejected sample.Report
	// watchers receive after a change.
	watchers map[chan struct{}]struct{}
}

type slot struct {
	taskManager string
	index       int
}

// healthMax bounds the components that a job reports on.
const healthMax = 256

func (jm *JobManager) newRunning(id string, req PlanRequest, p *Planned, base *restorePlan) (*running, error) {
	data, err := json.Marshal(p.Graph)
	if err != nil {
		return nil, fmt.Errorf("encode the job graph: %w", err)
	}
	r := &running{
		id: id, request: req, graphJSON: data, submittedAt: jm.cfg.Clock.Now().UnixMilli(), wall: jm.wall, watchers: map[chan struct{}]struct{}{},
	}
	parallelism := r.adopt(p)
	strategy, ckpt, err := jm.faultTolerance(id, p.Graph, data, base)
	if err != nil {
		return nil, err
	}
	r.machine, r.ckpt = job.New(jm.now().UnixMilli(), parallelism, jm.cfg.Limits, strategy), ckpt
	return r, nil
}

// adopt makes a plan the job's, and returns the parallelism of its vertices.
func (r *running) adopt(p *Planned) []int {
	r.planned, r.vertexOf, r.metrics, r.splits = p, map[string]int{}, nil, nil
	parallelism := make([]int, len(p.Graph.Vertices))
	for i, v := range p.Graph.Vertices {
		parallelism[i] = v.Parallelism
		r.vertexOf[v.ID] = i
		r.metrics = append(r.metrics, make([]*pb.TaskMetrics, v.Parallelism))
		r.splits = append(r.splits, make([][]op.Split, v.Parallelism))
	}
	return parallelism
}

// nextGraph is that of the next attempt.
func (r *running) nextGraph() *graph.JobGraph {
	if r.next != nil {
		return r.next.Graph
	}
	return r.planned.Graph
}

// replan makes the next plan, if there is one, the present one, and returns the parallelism of its vertices, else nil. It is called between two
// attempts; every source of it has its splits in the checkpoint.
func (r *running) replan() []int {
	if r.next == nil {
		return nil
	}
	data, err := json.Marshal(r.next.Graph)
	if err != nil {
		return nil // it could be encoded when it was planned
	}
	p := r.next
	r.next, r.graphJSON = nil, data
	return r.adopt(p)
}

// attempt is the present one, as messages have it.
func (r *running) attempt() int32 { return int32(r.machine.Attempt()) } //nolint:gosec // small

func (r *running) name() string { return r.planned.Graph.Name }

// widths is the job as the scheduler sees it: vertices that forward to each other form a group.
func (r *running) widths() []schedule.Vertex {
	g := r.planned.Graph
	group := make([]int, len(g.Vertices))
	for i := range group {
		group[i] = i
	}
	for _, e := range g.Edges {
		if e.Partition == graph.Forward {
			from, to := group[e.From], group[e.To]
			for i, k := range group {
				if k == to {
					group[i] = from
				}
			}
		}
	}
	vertices := make([]schedule.Vertex, len(g.Vertices))
	for i, v := range g.Vertices {
		vertices[i] = schedule.Vertex{Parallelism: v.Parallelism, Group: group[i]}
	}
	return vertices
}

// ref finds the task that a message names.
func (r *running) ref(id *pb.TaskID) (job.Ref, bool) {
	v, ok := r.vertexOf[id.GetVertexId()]
	if !ok || id.GetIndex() < 0 || int(id.GetIndex()) >= len(r.metrics[v]) {
		return job.Ref{}, false
	}
	return job.Ref{Vertex: v, Index: int(id.GetIndex())}, true
}

func (r *running) taskID(ref job.Ref) *pb.TaskID {
	return &pb.TaskID{VertexId: r.planned.Graph.Vertices[ref.Vertex].ID, Index: int32(ref.Index)} //nolint:gosec // parallelism is small
}

// notify wakes the watchers; one that is awake already sees this change, too.
func (r *running) notify() {
	for w := range r.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// submit takes in a job and begins to prepare it.
func (c *cluster) submit(r *running) error {
	live := 0
	for _, other := range c.jobs {
		if !other.machine.State().Ended() {
			live++
		}
	}
	if live >= jobsMax {
		return fmt.Errorf("%d jobs are running or waiting already, which is the maximum: cancel one first", live)
	}
	c.jobs[r.id] = r
	c.order = append(c.order, r.id)
	c.jm.cfg.Log.Info("job submitted", "job_id", r.id, "job_name", r.name())
	c.jm.work.Go(func() { c.jm.prepare(c.ctx, r.id, r.planned.Graph) })
	return nil
}

// prepare lists what there is to read, outside the loop.
func (jm *JobManager) prepare(ctx context.Context, id string, g *graph.JobGraph) {
	limited, cancel := context.WithTimeout(ctx, prepareMax)
	defer cancel()
	splits, failure := jm.listSplits(limited, g)
	jm.post(ctx, func(c *cluster) { //nolint:errcheck // fails only when the jobmanager stops
		if r := c.jobs[id]; r != nil {
			r.splits = splits
			c.apply(r, job.Prepared{Failure: failure})
		}
	})
}

// listSplits lists what there is to read, by vertex and task.
func (jm *JobManager) listSplits(ctx context.Context, g *graph.JobGraph) ([][][]op.Split, *job.Failure) {
	splits := make([][][]op.Split, len(g.Vertices))
	for i, v := range g.Vertices {
		var err error
		if splits[i], err = jm.splitsOf(ctx, v); err != nil {
			return splits, &job.Failure{
				Message: err.Error(), Task: job.Ref{Vertex: i}, HasTask: true,
				Operator: v.Ops[0].Name, Line: v.Ops[0].Line, Column: v.Ops[0].Column,
			}
		}
	}
	return splits, nil
}

// splitsOf deals the splits of a source vertex out to its tasks.
func (jm *JobManager) splitsOf(ctx context.Context, v *graph.Vertex) ([][]op.Split, error) {
	tasks := make([][]op.Split, v.Parallelism)
	if len(v.Ops) == 0 || v.Ops[0].Kind != graph.KindSource {
		return tasks, nil
	}
	var spec graph.SourceSpec
	if err := json.Unmarshal(v.Ops[0].Spec, &spec); err != nil {
		return nil, fmt.Errorf("source %s: %w", v.Ops[0].Name, err)
	}
	connector := jm.cfg.Connectors[spec.Table.Connector]
	if connector == nil || connector.Splits == nil {
		return nil, fmt.Errorf("table %q: this jobmanager has no connector %q to read with", spec.Table.Name, spec.Table.Connector)
	}
	var splits []op.Split
	err := serve.Guard(jm.cfg.Log, "connector "+spec.Table.Connector, func() (err error) {
		splits, err = connector.Splits(ctx, &spec.Table, v.Parallelism)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("table %q: %w", spec.Table.Name, err)
	}
	for i, s := range splits {
		tasks[i%v.Parallelism] = append(tasks[i%v.Parallelism], s)
	}
	return tasks, nil
}

// apply lets an event happen to a job and does what follows.
func (c *cluster) apply(r *running, e job.Event) {
	before := r.machine.State()
	cmds := r.machine.Step(c.even(), e)
	if after := r.machine.State(); after != before {
		c.logState(r, after)
		c.jobEntered(r, after)
	}
	r.notify()
	for _, cmd := range cmds {
		switch cmd := cmd.(type) {
		case job.Place:
			r.placing = true
			c.place(r)
		case job.Deploy:
			c.deploy(r, cmd)
		case job.Start:
			c.command(cmd.TaskManager, &pb.ConnectResponse{Message: &pb.ConnectResponse_Start{
				Start: &pb.Start{LeaderEpoch: c.epoch, JobId: r.id, Attempt: r.attempt()},
			}})
		case job.Stop:
			c.stopTasks(r, cmd.TaskManager)
		case job.Restart:
			c.restart(r)
		case job.End:
			c.ended(r)
		}
	}
}

func (c *cluster) logState(r *running, s job.State) {
	log := c.jm.cfg.Log.With("job_id", r.id, "job_name", r.name(), "state", s.String())
	if failures := r.machine.Failures(); len(failures) > 0 && s == job.Restarting {
		log.Warn("job state", "cause", failures[0].Message, "operator", failures[0].Operator, "taskmanager", failures[0].TaskManager)
		return
	} else if len(failures) > 0 && (s == job.Failing || s == job.Failed) {
		log.Error("job state", "cause", failures[0].Message, "operator", failures[0].Operator, "taskmanager", failures[0].TaskManager)
		return
	}
	log.Info("job state")
}

// command sends to a taskmanager, if it is still there: when it is not, its loss has been told to the job already.
func (c *cluster) command(taskManager string, msg *pb.ConnectResponse) {
	if m := c.members[taskManager]; m != nil {
		c.send(m, msg)
	}
}

// restart gives the slots back and finds out what the next attempt goes on from.
func (c *cluster) restart(r *running) {
	r.placing = false
	c.release(r)
	for i := range r.metrics {
		clear(r.metrics[i])
	}
	r.health = nil
	c.placeWaiting()
	if r.ckpt == nil {
		c.apply(r, job.Prepared{})
		return
	}
	clear(r.ckpt.ended)
	clear(r.ckpt.finals)
	c.coordinate(r, checkpoint.Restart{})
}

func (c *cluster) deploy(r *running, cmd job.Deploy) {
	d := &pb.Deploy{LeaderEpoch: c.epoch, JobId: r.id, JobName: r.name(), Attempt: r.attempt(), GraphJson: r.graphJSON}
	if r.ckpt != nil {
		d.CheckpointDir, d.Checkpointing = c.jm.cfg.CheckpointDir, r.ckpt.cfg.IntervalMS > 0
		if p := r.ckpt.restore; p != nil {
			d.Restore = &pb.Restore{Epoch: uint64(p.epoch), SavepointDir: p.savepoint}
		}
	}
	for _, ref := range cmd.Tasks {
		t := &pb.DeployTask{Task: r.taskID(ref), Slot: int32(r.slots[r.tasks[ref.Vertex][ref.Index]].index)} //nolint:gosec // small
		for _, s := range r.splits[ref.Vertex][ref.Index] {
			t.Splits = append(t.Splits, &pb.Split{SplitId: s.ID, Position: s.Pos})
		}
		if d.Restore != nil {
			if err := r.ckpt.restore.fill(t, r.planned.Graph.Vertices[ref.Vertex]); err != nil {
				c.apply(r, job.Deployed{TaskManager: cmd.TaskManager, Failure: &job.Failure{Message: err.Error()}})
				return
			}
		}
		d.Tasks = append(d.Tasks, t)
	}
	for v, tasks := range r.tasks {
		for i, s := range tasks {
			l := &pb.TaskLocation{Task: r.taskID(job.Ref{Vertex: v, Index: i}), TaskmanagerId: r.slots[s].taskManager}
			if m := c.members[l.TaskmanagerId]; m != nil {
				l.DataAddress = m.info.DataAddress
			}
			d.Locations = append(d.Locations, l)
		}
	}
	if n := proto.Size(d); n > serve.MessageBytesMax-1<<20 {
		msg := fmt.Sprintf("what taskmanager %s would have to be told to build takes %d bytes, too many for a message", cmd.TaskManager, n)
		c.apply(r, job.Deployed{TaskManager: cmd.TaskManager, Failure: &job.Failure{Message: msg}})
		return
	}
	c.command(cmd.TaskManager, &pb.ConnectResponse{Message: &pb.ConnectResponse_Deploy{Deploy: d}})
}

func (c *cluster) stopTasks(r *running, taskManager string) {
	msg := &pb.Cancel{LeaderEpoch: c.epoch, JobId: r.id, Attempt: r.attempt()}
	for v, tasks := range r.machine.Tasks() {
		for i, t := range tasks {
			if t.TaskManager == taskManager && !t.State.Ended() {
				msg.Tasks = append(msg.Tasks, r.taskID(job.Ref{Vertex: v, Index: i}))
			}
		}
	}
	c.command(taskManager, &pb.ConnectResponse{Message: &pb.ConnectResponse_Cancel{Cancel: msg}})
}

// ended frees what the job held and forgets the oldest ended jobs beyond the history.
func (c *cluster) ended(r *running) {
	r.placing = false
	c.release(r)
	for id := range c.members {
		c.command(id, &pb.ConnectResponse{Message: &pb.ConnectResponse_ForgetJob{ForgetJob: &pb.ForgetJob{LeaderEpoch: c.epoch, JobId: r.id}}})
	}
	r.graphJSON, r.splits = nil, nil
	if r.machine.State() != job.Failed {
		r.health = nil // of no use any more; to a failure it may be the explanation
	}
	if r.preview {
		delete(c.jobs, r.id)
		c.order = slices.DeleteFunc(c.order, func(id string) bool { return id == r.id })
	}
	over := -c.jm.cfg.HistoryMax
	for _, id := range c.order {
		if c.jobs[id].machine.State().Ended() {
			over++
		}
	}
	c.order = slices.DeleteFunc(c.order, func(id string) bool {
		if over <= 0 || !c.jobs[id].machine.State().Ended() {
			return false
		}
		over--
		delete(c.jobs, id)
		return true
	})
	c.placeWaiting()
}

// setHealth keeps the latest word on each component of each task.
func (r *running) setHealth(h *pb.Health) {
	for i, old := range r.health {
		if old.Component == h.Component && old.Task.GetVertexId() == h.Task.GetVertexId() && old.Task.GetIndex() == h.Task.GetIndex() {
			if old.Error == h.Error {
				return
			}
			r.health[i] = h
			r.notify()
			return
		}
	}
	if len(r.health) < healthMax {
		r.health = append(r.health, h)
		r.notify()
	}
}
