package jobmanager

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/job"
	"github.com/bramble-stream/bramble/engine/rest"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/task"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// The loop's state as the HTTP server's documents. These run in the loop, and what they return shares nothing with it that changes.

func (c *cluster) document() *rest.Cluster {
	d := &rest.Cluster{
		Version: c.jm.cfg.Version, StartedAt: c.jm.wall(c.startedAt), LeaderEpoch: c.epoch, CheckpointDir: rest.RedactText(c.jm.cfg.CheckpointDir),
		Address:      net.JoinHostPort(cmp.Or(c.jm.cfg.BindHost, "0.0.0.0"), strconv.Itoa(c.jm.RPCPort())),
		TaskManagers: []*rest.TaskManager{}, Jobs: []*rest.JobSummary{},
	}
	d.SlotsTotal, d.SlotsAvailable = c.slotCounts()
	for _, m := range c.sortedMembers() {
		d.TaskManagers = append(d.TaskManagers, c.taskManagerDocument(m))
	}
	now := c.now()
	for _, id := range slices.Backward(c.order) {
		s := c.jobs[id].summaryDocument(now)
		d.Jobs = append(d.Jobs, &s)
	}
	return d
}

func (c *cluster) taskManagerDocument(m *member) *rest.TaskManager {
	info := c.info(m)
	host, _, err := net.SplitHostPort(info.DataAddress)
	if err != nil {
		host = info.DataAddress
	}
	osName, arch, _ := strings.Cut(info.Platform, "/")
	d := &rest.TaskManager{
		ID: info.TaskmanagerId, Address: host, DataAddress: info.DataAddress, MetricsAddress: info.MetricsAddress, HostName: info.HostName,
		OS: osName, Arch: arch, Cores: int(info.Cores), MemoryBudgetBytes: known(info.MemoryBytes), MemoryUsedBytes: info.MemoryUsedBytes,
		RSSBytes: known(info.RssBytes), Slots: int(info.SlotsTotal), SlotsFree: int(info.SlotsFree), TasksRunning: int(info.TasksRunning),
		RegisteredAt: info.RegisteredAtMs, LastHeartbeatAt: info.LastHeartbeatMs, Version: info.Version,
	}
	if t := info.TemperatureMillicelsius; t != nil {
		d.TemperatureCelsius = new(float64(*t/100) / 10)
	}
	if info.Goroutines > 0 {
		d.Goroutines = new(int(info.Goroutines))
	}
	return d
}

// known is nil for 0.
func known[T int | int64](v T) *T {
	if v == 0 {
		return nil
	}
	return &v
}

func (r *running) summaryDocument(now stream.Time) rest.JobSummary {
	m := r.machine
	s := rest.JobSummary{
		ID: r.id, Name: r.name(), State: m.State().String(), WaitingReason: m.Waiting(), StartedAt: r.submittedAt,
		Restarts: m.Attempt() - 1, ChangedAt: r.wall(m.Since(m.State())), Tasks: rest.TaskCount{ByState: map[string]int{}},
	}
	end := now
	if m.State().Ended() {
		end = r.wall(m.Since(m.State()))
		s.EndedAt = &end
	}
	s.DurationMS = max(end-s.StartedAt, 0)
	for _, v := range r.planned.Graph.Vertices {
		s.Parallelism = max(s.Parallelism, v.Parallelism)
	}
	for _, tasks := range m.Tasks() {
		for _, t := range tasks {
			s.Tasks.Total++
			s.Tasks.ByState[t.State.String()]++
		}
	}
	s.Tasks.Running, s.Tasks.Finished = s.Tasks.ByState[job.TaskRunning.String()], s.Tasks.ByState[job.TaskFinished.String()]
	p := r.pace(now)
	s.Late, s.Bad = p.late, p.bad
	if p.known {
		s.RecordsInPerSecond, s.RecordsOutPerSecond = rest.Rate(p.in), rest.Rate(p.out)
		s.BusyRatio, s.BackpressuredRatio = rest.Ratio(p.busy), rest.Ratio(p.blocked)
	}
	if p.lag >= 0 {
		s.WatermarkLagMS = &p.lag
	}
	if k := r.ckpt; k != nil {
		s.CheckpointsFailed = new(k.failed)
		if k.completed > 0 {
			s.LastCheckpointAt = new(r.wall(k.last.EndedMS))
		}
	}
	return s
}

func (r *running) document(now stream.Time, storage string) *rest.Job {
	g := r.planned.Graph
	d := &rest.Job{
		JobSummary: r.summaryDocument(now), Script: new(rest.RedactScript(r.request.Script)), Cause: r.cause(),
		Warnings: append([]string{}, r.planned.Warnings...), Config: rest.RedactConfig(g.Config), Plan: r.planned.Physical,
		MaxParallelism: maxParallelism(g), Attempt: r.machine.Attempt(), StateTimes: map[string]int64{}, Health: []rest.Health{},
		Vertices: []*rest.Vertex{}, Edges: []rest.Edge{}, Exceptions: []rest.Exception{}, RestartHistory: []rest.Restart{},
	}
	for _, s := range job.States() {
		if at := r.machine.Since(s); at != 0 {
			d.StateTimes[s.String()] = r.wall(at)
		}
	}
	for _, h := range r.sortedHealth() {
		d.Health = append(d.Health, rest.Health{
			Component: rest.RedactText(h.Component), Error: rest.RedactText(h.Error), Since: h.SinceMs, Vertex: h.VertexName, Index: int(h.Task.GetIndex()),
		})
	}
	depths := depthsOf(g)
	for i, v := range g.Vertices {
		d.Vertices = append(d.Vertices, r.vertexDocument(i, v, depths[i], now))
	}
	for _, e := range g.Edges {
		ed := edgeOf(g, e)
		ed.RecordsPerSecond = r.edgeRate(e)
		d.Edges = append(d.Edges, ed)
	}
	d.Checkpoints = r.checkpointsDocument(storage)
	for _, f := range r.machine.Failures() {
		d.Exceptions = append(d.Exceptions, r.exceptionDocument(f))
	}
	for _, f := range r.machine.Past() {
		d.Exceptions = append(d.Exceptions, r.exceptionDocument(f))
		d.RestartHistory = append(d.RestartHistory, rest.Restart{At: r.wall(f.At), Cause: rest.RedactText(f.Message), Attempt: f.Attempt})
	}
	return d
}

// cause is why a job does not run, nil when it does or nothing is to be said.
func (r *running) cause() *string {
	switch s := r.machine.State(); s {
	case job.Failing, job.Failed, job.Restarting:
		if f := r.machine.Failures(); len(f) > 0 {
			return new(rest.RedactText(f[0].Message))
		}
	case job.Initializing, job.Created:
		if w := r.machine.Waiting(); w != "" {
			return &w
		}
	case job.Running, job.Cancelling, job.Canceled, job.Finished, job.Suspended:
	}
	return nil
}

// depthsOf are the lengths of the longest ways from a source.
func depthsOf(g *graph.JobGraph) []int {
	depths := make([]int, len(g.Vertices))
	for to := range g.Vertices { // in topological order
		for _, e := range g.Edges {
			if e.To == to {
				depths[to] = max(depths[to], depths[e.From]+1)
			}
		}
	}
	return depths
}

func operatorsOf(v *graph.Vertex) []rest.Operator {
	all := make([]rest.Operator, len(v.Ops))
	for i, n := range v.Ops {
		all[i] = rest.Operator{
			ID: n.ID, Name: n.Name, Kind: string(n.Kind), SQLLine: known(n.Line), SQLColumn: known(n.Column), SQLText: rest.RedactScript(n.SQL),
		}
	}
	return all
}

func edgeOf(g *graph.JobGraph, e *graph.Edge) rest.Edge {
	return rest.Edge{Source: g.Vertices[e.From].ID, Target: g.Vertices[e.To].ID, Kind: string(e.Partition), Tag: e.Tag}
}

func (r *running) vertexDocument(v int, vertex *graph.Vertex, depth int, now stream.Time) *rest.Vertex {
	d := &rest.Vertex{
		ID: vertex.ID, Name: vertex.Name, Parallelism: vertex.Parallelism, Depth: depth, State: r.vertexState(v).String(),
		Operators: operatorsOf(vertex), OperatorMetrics: []rest.OperatorMetric{}, Tasks: []*rest.Task{},
	}
	for _, n := range vertex.Ops {
		d.OperatorMetrics = append(d.OperatorMetrics, rest.OperatorMetric{ID: n.ID, Name: n.Name})
	}
	errs := map[int]string{}
	for _, f := range slices.Backward(r.machine.Failures()) { // the root cause wins
		if f.HasTask && f.Task.Vertex == v {
			errs[f.Task.Index] = f.Message
		}
	}
	var latency []int64
	for i, t := range r.machine.Tasks()[v] {
		td := &rest.Task{
			Index: i, Attempt: r.machine.Attempt(), State: t.State.String(), TaskManager: t.TaskManager,
			StartedAt: known(r.wall(t.StartedAt)), EndedAt: known(r.wall(t.EndedAt)), Flow: flowOf(r.metrics[v][i], now),
		}
		if msg := errs[i]; msg != "" {
			td.Error = new(rest.RedactText(msg))
		}
		s, ok := r.span(job.Ref{Vertex: v, Index: i})
		if ok {
			paceFlow(&td.Flow, s)
			latency = addLatency(latency, s)
		}
		d.Tasks = append(d.Tasks, td)
		addFlow(&d.Flow, &td.Flow)
		for _, o := range r.metrics[v][i].GetOperators() {
			td.Operators = append(td.Operators, rest.OperatorMetric{
				ID: o.OperatorId, Name: o.Name, RecordsIn: o.RecordsIn, RecordsOut: o.RecordsOut, Late: o.LateRecords, Bad: o.BadRecords,
				StateBytes: o.StateBytes, StateKeys: o.StateKeys,
			})
		}
		addOperators(d.OperatorMetrics, td.Operators)
	}
	d.Watermark = watermark(lowest(r.metrics[v]))
	d.WatermarkLagMS = lagOf(d.Watermark, now)
	d.Latency = quantiles(latency)
	return d
}

// vertexState is that of its tasks together: one that failed or ends counts for all, else the one that is least far.
func (r *running) vertexState(v int) job.TaskState {
	tasks := r.machine.Tasks()[v]
	for _, s := range []job.TaskState{job.TaskFailed, job.TaskCanceling, job.TaskCanceled} {
		if slices.ContainsFunc(tasks, func(t job.Task) bool { return t.State == s }) {
			return s
		}
	}
	least := job.TaskFinished
	for _, t := range tasks {
		least = min(least, t.State)
	}
	return least
}

func flowOf(m *pb.TaskMetrics, now stream.Time) rest.Flow {
	wm := watermark(watermarkOf(m))
	return rest.Flow{
		RecordsIn: m.GetRecordsIn(), RecordsOut: m.GetRecordsOut(), BytesIn: m.GetBytesIn(), BytesOut: m.GetBytesOut(),
		Watermark: wm, WatermarkLagMS: lagOf(wm, now), Late: m.GetLateRecords(), Bad: m.GetBadRecords(),
		StateBytes: m.GetStateBytes(), StateKeys: m.GetStateKeys(),
		BusyMS: m.GetBusyNs() / 1e6, BackpressuredMS: m.GetBackpressuredNs() / 1e6, IdleMS: m.GetIdleNs() / 1e6,
	}
}

func paceFlow(f *rest.Flow, s span) {
	share := s.shares()
	f.BusyRatio, f.BackpressuredRatio, f.IdleRatio = rest.Ratio(share.busy), rest.Ratio(share.blocked), rest.Ratio(share.idle)
	f.RecordsInPerSecond = rest.Rate(s.rate((*pb.TaskMetrics).GetRecordsIn))
	f.RecordsOutPerSecond = rest.Rate(s.rate((*pb.TaskMetrics).GetRecordsOut))
}

// addFlow adds a task to its vertex.
func addFlow(v, t *rest.Flow) {
	v.RecordsIn += t.RecordsIn
	v.RecordsOut += t.RecordsOut
	v.BytesIn += t.BytesIn
	v.BytesOut += t.BytesOut
	v.Late += t.Late
	v.Bad += t.Bad
	v.StateBytes += t.StateBytes
	v.StateKeys += t.StateKeys
	v.BusyMS += t.BusyMS
	v.BackpressuredMS += t.BackpressuredMS
	v.IdleMS += t.IdleMS
	join := func(a, b *float64, f func(a, b float64) float64) *float64 {
		if a == nil || b == nil {
			return cmp.Or(a, b)
		}
		return new(f(*a, *b))
	}
	most := func(a, b float64) float64 { return max(a, b) }
	v.BusyRatio, v.BackpressuredRatio = join(v.BusyRatio, t.BusyRatio, most), join(v.BackpressuredRatio, t.BackpressuredRatio, most)
	v.IdleRatio = join(v.IdleRatio, t.IdleRatio, func(a, b float64) float64 { return min(a, b) })
	plus := func(a, b float64) float64 { return *rest.Rate(a + b) }
	v.RecordsInPerSecond, v.RecordsOutPerSecond = join(v.RecordsInPerSecond, t.RecordsInPerSecond, plus), join(v.RecordsOutPerSecond, t.RecordsOutPerSecond, plus)
}

func addOperators(sum, ops []rest.OperatorMetric) {
	for i, o := range ops[:min(len(ops), len(sum))] {
		sum[i].RecordsIn += o.RecordsIn
		sum[i].RecordsOut += o.RecordsOut
		sum[i].Late += o.Late
		sum[i].Bad += o.Bad
		sum[i].StateBytes += o.StateBytes
		sum[i].StateKeys += o.StateKeys
	}
}

// addLatency adds the markers of a span: of the operators that tell, the one where the chain ends.
func addLatency(sum []int64, s span) []int64 {
	for i, o := range slices.Backward(s.latest.Operators) {
		if len(o.LatencyCounts) != len(task.LatencyBucketsMS)+1 || i >= len(s.old.Operators) {
			continue
		}
		before := s.old.Operators[i].LatencyCounts
		if sum == nil {
			sum = make([]int64, len(o.LatencyCounts))
		}
		for b, n := range o.LatencyCounts {
			if b < len(before) {
				n -= before[b]
			}
			sum[b] += max(n, 0)
		}
		return sum
	}
	return sum
}

// quantiles are interpolated within their buckets; nil when there was no marker.
func quantiles(counts []int64) *rest.Latency {
	var all int64
	for _, n := range counts {
		all += n
	}
	if all == 0 {
		return nil
	}
	at := func(q float64) float64 {
		want := q * float64(all)
		var before, low float64
		for b, n := range counts {
			if b == len(task.LatencyBucketsMS) {
				break // beyond the last bound nothing is known
			}
			high := float64(task.LatencyBucketsMS[b])
			if before+float64(n) >= want && n > 0 {
				return *rest.Rate(low + (high-low)*(want-before)/float64(n))
			}
			before, low = before+float64(n), high
		}
		return low
	}
	return &rest.Latency{P50: at(0.5), P95: at(0.95), P99: at(0.99)}
}

// edgeRate is what the operator that feeds an edge emits.
func (r *running) edgeRate(e *graph.Edge) *float64 {
	counter := (*pb.OperatorMetrics).GetRecordsOut
	switch e.Tag {
	case graph.TagLate:
		counter = (*pb.OperatorMetrics).GetLateRecords
	case graph.TagBad:
		counter = (*pb.OperatorMetrics).GetBadRecords
	}
	var sum float64
	known := false
	for i := range r.metrics[e.From] {
		if s, ok := r.span(job.Ref{Vertex: e.From, Index: i}); ok {
			known = true
			sum += s.rate(func(m *pb.TaskMetrics) int64 { return total(m, []int{e.FromOp}, counter) })
		}
	}
	if !known {
		return nil
	}
	return rest.Rate(sum)
}

func (r *running) exceptionDocument(f job.Failure) rest.Exception {
	message := rest.RedactText(f.Message)
	root, _, _ := strings.Cut(message, "\n")
	d := rest.Exception{
		At: r.wall(f.At), TaskManager: f.TaskManager, Operator: f.Operator, SQLLine: known(f.Line), SQLColumn: known(f.Column), Attempt: f.Attempt,
		Message: message, Root: root,
	}
	if r.hasTask(f) {
		v := r.planned.Graph.Vertices[f.Task.Vertex]
		d.Vertex, d.Index, d.Task = v.ID, f.Task.Index, fmt.Sprintf("%s (%d/%d)", v.Name, f.Task.Index+1, v.Parallelism)
	}
	return d
}

func (r *running) checkpointsDocument(storage string) *rest.Checkpoints {
	k := r.ckpt
	if k == nil {
		return nil
	}
	d := &rest.Checkpoints{
		Interval: k.cfg.IntervalMS, Counts: rest.CheckpointCounts{Completed: k.completed, Failed: k.failed}, History: []*rest.Checkpoint{},
		Config: rest.CheckpointConfig{
			TimeoutMS: cmp.Or(k.cfg.TimeoutMS, checkpoint.DefaultTimeoutMS), MinPauseMS: k.cfg.MinPauseMS, MaxConcurrent: cmp.Or(k.cfg.MaxConcurrent, 1),
			TolerableFailures: k.cfg.TolerableFailures, Storage: rest.RedactText(storage),
			Retain: r.planned.Graph.Config[keyCheckpointing+"externalized-checkpoint-retention"] == "RETAIN_ON_CANCELLATION",
		},
	}
	if k.restore != nil {
		d.Counts.Restored, d.RestoredID = 1, new(uint64(k.restore.epoch))
		d.Config.RestoredPath, d.Config.RestoredSavepoint = k.restore.savepoint, k.restore.savepoint != ""
		d.Config.RestoredAt = r.wall(r.machine.Since(job.Created))
	}
	for _, rec := range k.coord.History() {
		if rec.Status == checkpoint.InProgress {
			d.Counts.InProgress++
		}
		d.History = append(d.History, r.checkpointDocument(rec))
	}
	return d
}

func (r *running) checkpointDocument(rec checkpoint.Record) *rest.Checkpoint {
	d := &rest.Checkpoint{
		ID: uint64(rec.Epoch), Kind: "checkpoint", State: strings.ToLower(string(rec.Status)), TriggeredAt: r.wall(rec.TriggeredMS), EndedAt: known(r.wall(rec.EndedMS)),
		SizeBytes: rec.SizeBytes, IncrementBytes: rec.NewBytes, Path: rest.RedactText(rec.Path), TasksTotal: rec.TaskCount, Tasks: []rest.CheckpointTask{},
	}
	if rec.Savepoint {
		d.Kind = "savepoint"
	}
	if rec.EndedMS != 0 {
		d.DurationMS = new(max(rec.EndedMS-rec.TriggeredMS, 0))
	}
	if rec.Reason != "" {
		d.Error = new(rest.RedactText(rec.Reason))
	}
	for _, t := range rec.Tasks {
		d.AlignmentMS = max(d.AlignmentMS, t.AlignMS)
		if t.Task.Vertex >= len(r.planned.Graph.Vertices) {
			continue // of a plan that was replaced
		}
		d.Tasks = append(d.Tasks, rest.CheckpointTask{
			Vertex: r.planned.Graph.Vertices[t.Task.Vertex].ID, Index: t.Task.Index, AlignmentMS: t.AlignMS, SnapshotMS: t.SnapshotMS,
			UploadMS: t.UploadMS, DurationMS: t.AckMS, SizeBytes: t.SizeBytes, IncrementBytes: t.NewBytes,
		})
	}
	return d
}

// watermarkOf is nil for a task that has not reported.
func watermarkOf(m *pb.TaskMetrics) *int64 {
	if m == nil {
		return nil
	}
	return m.WatermarkMs
}
