package jobmanager

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/job"
	"github.com/bramble-stream/bramble/engine/schedule"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/internal/sorting"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// cluster is all the state of a jobmanager. Only the loop's goroutine touches it.
type cluster struct {
	jm *JobManager
	// epoch identifies this run of the jobmanager.
	epoch     int64
	startedAt stream.Time
	members   map[string]*member
	jobs      map[string]*running
	// order has the IDs of jobs, oldest first: those that wait get slots in this order.
	order []string
	pulse serve.Pulse
	// beatAt is when taskmanagers were last told that the jobmanager lives.
	beatAt time.Time
	// sampledAt is when series were last sampled.
	sampledAt stream.Time
	// looks are those who look into taskmanagers; looked counts them.
	looks  map[string]chan<- *pb.Inspected
	looked int
	// rowLooks are those who look at rows of tasks.
	rowLooks map[string]chan<- *pb.Inspected
	// ctx ends with the loop; prepares run under it.
	ctx    context.Context
	cancel context.CancelFunc
}

// member is a registered taskmanager.
type member struct {
	info *pb.TaskManagerInfo
	// out is drained by the session; closing quit ends it.
	out  chan *pb.ConnectResponse
	quit chan struct{}
	seen time.Time
	// slots[i] is the job that holds slot i, "" when it is free.
	slots []string
}

func newCluster(jm *JobManager) *cluster {
	c := &cluster{
		jm: jm, members: map[string]*member{}, jobs: map[string]*running{}, pulse: serve.Pulse{Timeout: jm.cfg.HeartbeatTimeout},
	}
	c.startedAt = c.even()
	if c.epoch = jm.cfg.LeaderEpoch; c.epoch == 0 {
		c.epoch = c.startedAt
	}
	if jm.leader != nil {
		c.epoch = int64(jm.leader.Epoch()) //nolint:gosec // counts starts
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// even is by the clock that only goes forward: what machines are told. now is the time of day, for showing.
func (c *cluster) even() stream.Time { return c.jm.now().UnixMilli() }

func (c *cluster) now() stream.Time { return c.jm.cfg.Clock.Now().UnixMilli() }

// close ends sessions, watchers and prepares.
func (c *cluster) close() {
	c.cancel()
	for _, m := range c.members {
		close(m.quit)
	}
	for _, r := range c.jobs {
		r.notify()
	}
}

func (m *member) free() int {
	n := 0
	for _, j := range m.slots {
		if j == "" {
			n++
		}
	}
	return n
}

// sortedMembers is by address, so that lists keep their order.
func (c *cluster) sortedMembers() []*member {
	all := make([]*member, 0, len(c.members))
	for _, m := range c.members {
		all = append(all, m)
	}
	sorting.By(all, func(a, b *member) int {
		return cmp.Or(cmp.Compare(a.info.DataAddress, b.info.DataAddress), cmp.Compare(a.info.TaskmanagerId, b.info.TaskmanagerId))
	})
	return all
}

// register takes in a taskmanager. One of the same ID or address is gone: its process was restarted or its connection cut.
func (c *cluster) register(info *pb.TaskManagerInfo) *member {
	for _, m := range c.sortedMembers() {
		if m.info.TaskmanagerId == info.TaskmanagerId || m.info.DataAddress == info.DataAddress {
			c.lose(m, "it registered anew")
		}
	}
	m := &member{
		info: info, out: make(chan *pb.ConnectResponse, sendQueueMax), quit: make(chan struct{}),
		seen: c.jm.now(), slots: make([]string, info.SlotsTotal),
	}
	info.RegisteredAtMs = c.now()
	info.LastHeartbeatMs = info.RegisteredAtMs
	c.members[info.TaskmanagerId] = m
	cfg := &c.jm.cfg
	c.send(m, &pb.ConnectResponse{Message: &pb.ConnectResponse_Accepted{Accepted: &pb.Accepted{
		LeaderEpoch:         c.epoch,
		HeartbeatIntervalMs: cfg.HeartbeatInterval.Milliseconds(),
		HeartbeatTimeoutMs:  cfg.HeartbeatTimeout.Milliseconds(),
		MetricsIntervalMs:   cfg.MetricsInterval.Milliseconds(),
	}}})
	cfg.Log.Info("taskmanager registered", "taskmanager", info.TaskmanagerId, "address", info.DataAddress, "slots", info.SlotsTotal,
		"memory_bytes", info.MemoryBytes, "platform", info.Platform, "version", info.Version)
	c.warnOfLoopback(m)
	c.placeWaiting()
	return m
}

// warnOfLoopback tells when taskmanagers will not reach each other: one of them says 127.0.0.1 and another lives elsewhere.
func (c *cluster) warnOfLoopback(added *member) {
	for _, m := range c.sortedMembers() {
		if isLoopback(m.info.DataAddress) != isLoopback(added.info.DataAddress) {
			local := m
			if isLoopback(added.info.DataAddress) {
				local = added
			}
			c.jm.cfg.Log.Warn("taskmanagers on other machines cannot reach this one: start it with --advertise-host",
				"taskmanager", local.info.TaskmanagerId, "address", local.info.DataAddress)
			return
		}
	}
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// lose removes a taskmanager and fails what it ran. It does nothing when m was replaced or removed before.
func (c *cluster) lose(m *member, reason string) {
	if c.members[m.info.TaskmanagerId] != m {
		return
	}
	delete(c.members, m.info.TaskmanagerId)
	close(m.quit)
	log := c.jm.cfg.Log.Warn
	if m.free() == len(m.slots) {
		log = c.jm.cfg.Log.Info
	}
	log("taskmanager lost", "taskmanager", m.info.TaskmanagerId, "address", m.info.DataAddress, "reason", reason)
	for _, id := range slices.Clone(c.order) {
		if r := c.jobs[id]; r != nil {
			c.apply(r, job.Lost{TaskManager: m.info.TaskmanagerId, Reason: reason})
		}
	}
	c.placeWaiting() // what waits may have to say another number
}

// send queues a message; a taskmanager that does not take its messages is lost.
func (c *cluster) send(m *member, msg *pb.ConnectResponse) {
	select {
	case m.out <- msg:
	default:
		c.jm.post(c.ctx, func(c *cluster) { c.lose(m, "it does not take messages") }) //nolint:errcheck // fails only at the end
	}
}

// tick looks for silence and for what takes too long.
func (c *cluster) tick() {
	now := c.jm.now()
	c.observe()
	stood := c.pulse.Stood(now)
	beat := now.Sub(c.beatAt) >= c.jm.cfg.HeartbeatInterval
	if beat {
		c.beatAt = now
	}
	for _, m := range c.sortedMembers() {
		if stood {
			m.seen = now
		}
		if now.Sub(m.seen) > c.jm.cfg.HeartbeatTimeout {
			c.lose(m, "no heartbeat for "+c.jm.cfg.HeartbeatTimeout.String())
			continue
		}
		if beat {
			c.send(m, &pb.ConnectResponse{Message: &pb.ConnectResponse_Heartbeat{Heartbeat: &pb.Heartbeat{}}})
		}
	}
	for _, id := range slices.Clone(c.order) {
		if r := c.jobs[id]; r != nil && r.machine.Deadline() <= c.even() {
			c.apply(r, job.Tick{})
		}
		if r := c.jobs[id]; r != nil && r.ckpt != nil && r.ckpt.coord.Deadline() <= c.even() {
			c.coordinate(r, checkpoint.Tick{})
		}
	}
}

// placeWaiting tries to place every job that waits for slots, oldest first. A small job may pass a large one that does not fit.
func (c *cluster) placeWaiting() {
	for _, id := range slices.Clone(c.order) {
		if r := c.jobs[id]; r != nil && r.placing {
			c.place(r)
		}
	}
}

// place asks the scheduler for slots and takes them.
func (c *cluster) place(r *running) {
	var tms []schedule.TaskManager
	for id, m := range c.members {
		tms = append(tms, schedule.TaskManager{ID: id, Slots: len(m.slots), Free: m.free()})
	}
	p, err := schedule.Place(r.widths(), tms, c.former(r)...)
	if err != nil {
		reason := err.Error()
		if len(c.members) == 0 {
			reason += ", no taskmanager is registered"
		}
		c.apply(r, job.Short{Reason: reason})
		return
	}
	r.placing = false
	r.slots = make([]slot, len(p.Slots))
	for i, id := range p.Slots {
		m := c.members[id]
		at := slices.Index(m.slots, "")
		m.slots[at] = r.id
		r.slots[i] = slot{taskManager: id, index: at}
	}
	r.tasks = p.Tasks
	where := make([][]string, len(p.Tasks))
	for v, tasks := range p.Tasks {
		for _, s := range tasks {
			where[v] = append(where[v], p.Slots[s])
		}
	}
	c.apply(r, job.Placed{TaskManagers: where})
}

// former is where the slots of the attempt before were. A taskmanager that was started again at the same address takes its place: it may have the same
// data directory.
func (c *cluster) former(r *running) []string {
	ids := make([]string, len(r.slots))
	for i, s := range r.slots {
		ids[i] = s.taskManager
		if c.members[s.taskManager] != nil {
			continue
		}
		for id, m := range c.members {
			if strings.HasPrefix(s.taskManager, m.info.DataAddress+"-") {
				ids[i] = id
			}
		}
	}
	return ids
}

// release gives back the slots of a job that has ended.
func (c *cluster) release(r *running) {
	for _, m := range c.members {
		for i, id := range m.slots {
			if id == r.id {
				m.slots[i] = ""
			}
		}
	}
}
