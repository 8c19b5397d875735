package taskmanager

import (
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/task"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// labels are on every metric of a task. operator is an operator's name, made unique within its job; for metrics of the whole task
// it is the vertex's. task counts from 0, as Flink's subtask_index.
var labels = []string{"job_id", "job_name", "operator", "task", "taskmanager"}

func desc(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, labels, nil) }

var (
	descRecordsIn     = desc("bramble_task_records_in_total", "Records that the operator has taken in.")
	descRecordsOut    = desc("bramble_task_records_out_total", "Records that the operator has handed on.")
	descBytesIn       = desc("bramble_task_bytes_in_total", "Bytes that the operator has taken in.")
	descBytesOut      = desc("bramble_task_bytes_out_total", "Bytes that the operator has handed on.")
	descBusy          = desc("bramble_task_busy_seconds_total", "Time that the task has worked.")
	descIdle          = desc("bramble_task_idle_seconds_total", "Time that the task has waited for input.")
	descBackpressured = desc("bramble_task_backpressured_seconds_total", "Time that the task has waited for those it sends to.")
	descWatermark     = desc("bramble_task_watermark_seconds", "The operator's event-time watermark, seconds since 1970.")
	descLate          = desc("bramble_task_late_records_total", "Records that came behind the watermark.")
	descBad           = desc("bramble_task_bad_records_total", "Records that could not be understood or were refused.")
	descLatency       = desc("bramble_task_latency_seconds", "Time from a source to the operator, by latency markers.")
	descStateBytes    = desc("bramble_state_bytes", "Size of the operator's state.")
	descVerified      = prometheus.NewDesc("bramble_state_verified_bytes_total", "State in checkpoint storage that was read back to see whether it is still what was written.", []string{"taskmanager"}, nil)
	descDamaged       = prometheus.NewDesc("bramble_state_damaged_files_total", "Files in checkpoint storage that were lost or damaged, and uploaded again.", []string{"taskmanager"}, nil)
	descRestored      = prometheus.NewDesc("bramble_restored_bytes_total", "State that tasks began with: local was still here, remote came from checkpoint storage.", []string{"from", "taskmanager"}, nil)
	descStateKeys     = desc("bramble_state_keys", "Keys in the operator's state.")
)

// flinkLabels are those of Flink's Prometheus reporter that a dashboard groups by.
var flinkLabels = []string{"host", "tm_id", "job_id", "job_name", "task_id", "task_name", "subtask_index"}

func flinkDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("flink_taskmanager_job_task_"+name, help, flinkLabels, nil)
}

var (
	flinkRecordsIn        = flinkDesc("numRecordsIn", "Records in, under Flink's name.")
	flinkRecordsOut       = flinkDesc("numRecordsOut", "Records out, under Flink's name.")
	flinkBytesIn          = flinkDesc("numBytesIn", "Bytes in, under Flink's name.")
	flinkBytesOut         = flinkDesc("numBytesOut", "Bytes out, under Flink's name.")
	flinkRecordsInRate    = flinkDesc("numRecordsInPerSecond", "Records in per second, under Flink's name.")
	flinkRecordsOutRate   = flinkDesc("numRecordsOutPerSecond", "Records out per second, under Flink's name.")
	flinkBytesInRate      = flinkDesc("numBytesInPerSecond", "Bytes in per second, under Flink's name.")
	flinkBytesOutRate     = flinkDesc("numBytesOutPerSecond", "Bytes out per second, under Flink's name.")
	flinkBusyRate         = flinkDesc("busyTimeMsPerSecond", "Milliseconds of work per second, under Flink's name.")
	flinkIdleRate         = flinkDesc("idleTimeMsPerSecond", "Milliseconds without input per second, under Flink's name.")
	flinkBackpressureRate = flinkDesc("backPressuredTimeMsPerSecond", "Milliseconds of back-pressure per second, under Flink's name.")
	flinkWatermark        = flinkDesc("currentOutputWatermark", "The task's watermark in milliseconds, under Flink's name.")
	flinkLate             = flinkDesc("numLateRecordsDropped", "Late records, under Flink's name.")
)

// operatorLabels gives each operator of a job a name of its own: what it is called, with the beginning of its ID where several
// are called the same.
func operatorLabels(g *graph.JobGraph) map[string]string {
	used := map[string]int{}
	for _, v := range g.Vertices {
		used[v.Name]++
		for _, o := range v.Ops {
			if o.Name != v.Name || len(v.Ops) > 1 {
				used[o.Name]++
			}
		}
	}
	labels := map[string]string{}
	for _, v := range g.Vertices {
		for _, o := range v.Ops {
			labels[o.ID] = o.Name
			if used[o.Name] > 1 {
				labels[o.ID] = o.Name + " #" + o.ID[:min(len(o.ID), 6)]
			}
		}
	}
	return labels
}

// metrics is what the jobmanager is told about a task.
func (t *taskRun) metrics() *pb.TaskMetrics {
	r := t.task.Report()
	m := &pb.TaskMetrics{
		RecordsIn: r.RecordsIn, RecordsOut: r.RecordsOut, BytesIn: r.BytesIn, BytesOut: r.BytesOut,
		BusyNs: int64(r.Busy), IdleNs: int64(r.Idle), BackpressuredNs: int64(r.BackPressured), WatermarkMs: known(r.Watermark),
	}
	for i, o := range r.Operators {
		om := &pb.OperatorMetrics{
			OperatorId: o.ID, Name: o.Name,
			RecordsIn: o.Metrics.RecordsIn.Load(), RecordsOut: o.Metrics.RecordsOut.Load(),
			BytesIn: o.Metrics.BytesIn.Load(), BytesOut: o.Metrics.BytesOut.Load(),
			LateRecords: o.Metrics.Late.Load(), BadRecords: o.Metrics.Bad.Load(),
			StateBytes: o.Metrics.StateBytes.Load(), StateKeys: o.Metrics.StateKeys.Load(),
			WatermarkMs: known(o.Metrics.Watermark.Load()),
		}
		if t.tellsLatency(i) {
			om.LatencyCounts, _ = o.Latency.Counts()
		}
		m.LateRecords += om.LateRecords
		m.BadRecords += om.BadRecords
		m.StateBytes += om.StateBytes
		m.StateKeys += om.StateKeys
		m.Operators = append(m.Operators, om)
	}
	return m
}

// tellsLatency is of an operator of the task. Markers pass a chain within the same microseconds: where they enter a task, and where they
// leave the job, says it all.
func (t *taskRun) tellsLatency(op int) bool {
	return op == 0 || t.vertex.Ops[op].Kind == graph.KindSink
}

func known(wm stream.Time) *int64 {
	if wm == stream.MinTime {
		return nil
	}
	return &wm
}

// report is what is sent each interval; nil while nothing runs.
func (x *executor) report() *pb.ConnectRequest {
	msg := &pb.MetricsReport{}
	now := x.tm.cfg.Clock.Now()
	for _, j := range x.jobs {
		if !j.started {
			continue
		}
		for _, t := range j.tasks {
			m := t.metrics()
			t.rates.update(now, m)
			if !t.task.State().Terminal() { // the last numbers went with the state
				msg.Tasks = append(msg.Tasks, &pb.TaskReport{JobId: j.key.id, Attempt: j.key.attempt, Task: t.id, Metrics: m})
			}
		}
	}
	if len(msg.Tasks) == 0 {
		return nil
	}
	return &pb.ConnectRequest{Message: &pb.ConnectRequest_Metrics{Metrics: msg}}
}

// rates are per second, over the last report interval. Flink's dashboards want them ready-made.
type rates struct {
	mu         sync.Mutex
	at         time.Time
	last       *pb.TaskMetrics
	in, out    float64
	bIn, bOut  float64
	busy, idle float64
	blocked    float64
}

func (r *rates) update(now time.Time, m *pb.TaskMetrics) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last != nil {
		if s := now.Sub(r.at).Seconds(); s > 0 {
			rate := func(a, b int64) float64 { return float64(a-b) / s }
			r.in, r.out = rate(m.RecordsIn, r.last.RecordsIn), rate(m.RecordsOut, r.last.RecordsOut)
			r.bIn, r.bOut = rate(m.BytesIn, r.last.BytesIn), rate(m.BytesOut, r.last.BytesOut)
			const ms = float64(time.Millisecond)
			r.busy, r.idle = rate(m.BusyNs, r.last.BusyNs)/ms, rate(m.IdleNs, r.last.IdleNs)/ms
			r.blocked = rate(m.BackpressuredNs, r.last.BackpressuredNs) / ms
		}
	}
	r.at, r.last = now, m
}

func (tm *TaskManager) track(tasks []*taskRun) {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	for _, t := range tasks {
		tm.mu.tasks[t] = struct{}{}
	}
}

func (tm *TaskManager) untrack(tasks []*taskRun) {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	for _, t := range tasks {
		delete(tm.mu.tasks, t)
	}
}

// Collector gives the metrics of the tasks that are here. It describes nothing beforehand, so that several taskmanagers of one process
// may share a registry.
func (tm *TaskManager) Collector() prometheus.Collector { return &collector{tm} }

type collector struct{ tm *TaskManager }

var _ prometheus.Collector = (*collector)(nil)

// Describe implements prometheus.Collector: unchecked.
func (*collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.tm.mu.Lock()
	id := c.tm.mu.id
	tasks := make([]*taskRun, 0, len(c.tm.mu.tasks))
	for t := range c.tm.mu.tasks {
		tasks = append(tasks, t)
	}
	c.tm.mu.Unlock()
	now := c.tm.cfg.Clock.Now()
	host, _, err := net.SplitHostPort(id) // an address, with a suffix behind its port
	if err != nil {
		host = id
	}
	for _, t := range tasks {
		t.collect(ch, id)
		if c.tm.cfg.FlinkNames {
			t.collectFlink(ch, host, id)
			t.collectFlinkOperators(ch, now, host, id)
		}
	}
	for from, n := range map[string]int64{"local": c.tm.restoredLocal.Load(), "remote": c.tm.restoredRemote.Load()} {
		ch <- prometheus.MustNewConstMetric(descRestored, prometheus.CounterValue, float64(n), from, id)
	}
	ch <- prometheus.MustNewConstMetric(descVerified, prometheus.CounterValue, float64(c.tm.verifiedBytes.Load()), id)
	ch <- prometheus.MustNewConstMetric(descDamaged, prometheus.CounterValue, float64(c.tm.damagedFiles.Load()), id)
	if c.tm.cfg.FlinkNames {
		collectFlinkProcess(ch, now, host, id)
	}
}

func (t *taskRun) collect(ch chan<- prometheus.Metric, tm string) {
	r := t.task.Report()
	index := strconv.Itoa(int(t.id.Index))
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, operator string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, t.job.key.id, t.job.name, operator, index, tm)
	}
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	send(descBusy, counter, r.Busy.Seconds(), t.vertexLabel())
	send(descIdle, counter, r.Idle.Seconds(), t.vertexLabel())
	send(descBackpressured, counter, r.BackPressured.Seconds(), t.vertexLabel())
	for i, o := range r.Operators { // in the order of the vertex's
		name, m := t.job.labels[o.ID], o.Metrics
		send(descRecordsIn, counter, float64(m.RecordsIn.Load()), name)
		send(descRecordsOut, counter, float64(m.RecordsOut.Load()), name)
		send(descBytesIn, counter, float64(m.BytesIn.Load()), name)
		send(descBytesOut, counter, float64(m.BytesOut.Load()), name)
		send(descLate, counter, float64(m.Late.Load()), name)
		send(descBad, counter, float64(m.Bad.Load()), name)
		send(descStateBytes, gauge, float64(m.StateBytes.Load()), name)
		send(descStateKeys, gauge, float64(m.StateKeys.Load()), name)
		// The final watermark is beyond time; a graph of it would show nothing else any more.
		if wm := m.Watermark.Load(); wm != stream.MinTime && wm != stream.MaxTime {
			send(descWatermark, gauge, float64(wm)/1000, name)
		}
		if !t.tellsLatency(i) {
			continue
		}
		counts, sumMS := o.Latency.Counts()
		buckets, total := map[float64]uint64{}, uint64(0)
		for i, n := range counts {
			total += uint64(n) //nolint:gosec // counters do not go below 0
			if i < len(task.LatencyBucketsMS) {
				buckets[float64(task.LatencyBucketsMS[i])/1000] = total
			}
		}
		if total > 0 {
			ch <- prometheus.MustNewConstHistogram(descLatency, total, float64(sumMS)/1000, buckets, t.job.key.id, t.job.name, name, index, tm)
		}
	}
}

// vertexLabel is unique in the job.
func (t *taskRun) vertexLabel() string {
	for _, v := range t.job.graph.Vertices {
		if v != t.vertex && v.Name == t.vertex.Name {
			return t.vertex.Name + " #" + t.vertex.ID[:min(len(t.vertex.ID), 6)]
		}
	}
	return t.vertex.Name
}

func (t *taskRun) collectFlink(ch chan<- prometheus.Metric, host, tm string) {
	m := t.metrics()
	send := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, host, tm, t.job.key.id, t.job.name, t.vertex.ID, t.vertex.Name,
			strconv.Itoa(int(t.id.Index)))
	}
	send(flinkRecordsIn, float64(m.RecordsIn))
	send(flinkRecordsOut, float64(m.RecordsOut))
	send(flinkBytesIn, float64(m.BytesIn))
	send(flinkBytesOut, float64(m.BytesOut))
	send(flinkLate, float64(m.LateRecords))
	if m.WatermarkMs != nil {
		send(flinkWatermark, float64(*m.WatermarkMs))
	}
	r := &t.rates
	r.mu.Lock()
	defer r.mu.Unlock()
	send(flinkRecordsInRate, r.in)
	send(flinkRecordsOutRate, r.out)
	send(flinkBytesInRate, r.bIn)
	send(flinkBytesOutRate, r.bOut)
	send(flinkBusyRate, r.busy)
	send(flinkIdleRate, r.idle)
	send(flinkBackpressureRate, r.blocked)
}
