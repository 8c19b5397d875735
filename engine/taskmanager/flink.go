package taskmanager

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/task"
)

// What has no counterpart of its own under Bramble's names: the process in Flink's terms, operators, and latency as quantiles.
// docs/flink-metrics.md compares the names.

var flinkProcessLabels = []string{"host", "tm_id"}

func flinkProcessDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, flinkProcessLabels, nil)
}

var (
	flinkCPULoad       = flinkProcessDesc("flink_taskmanager_Status_JVM_CPU_Load", "Share of the machine's cores that the process takes.")
	flinkCPUTime       = flinkProcessDesc("flink_taskmanager_Status_JVM_CPU_Time", "CPU time of the process, nanoseconds.")
	flinkHeapUsed      = flinkProcessDesc("flink_taskmanager_Status_JVM_Memory_Heap_Used", "Objects of Go's heap, bytes.")
	flinkHeapCommitted = flinkProcessDesc("flink_taskmanager_Status_JVM_Memory_Heap_Committed", "What Go's heap holds of the system's memory, bytes.")
	flinkHeapMax       = flinkProcessDesc("flink_taskmanager_Status_JVM_Memory_Heap_Max", "Go's memory limit, bytes; -1 without one.")
	flinkNonHeap       = flinkProcessDesc("flink_taskmanager_Status_JVM_Memory_NonHeap_Used", "Stacks and Go's own memory, bytes.")
	flinkThreads       = flinkProcessDesc("flink_taskmanager_Status_JVM_Threads_Count", "Goroutines.")
	flinkGCCount       = flinkProcessDesc("flink_taskmanager_Status_JVM_GarbageCollector_All_Count", "Garbage collections.")
	flinkGCTime        = flinkProcessDesc("flink_taskmanager_Status_JVM_GarbageCollector_All_Time", "Time stopped for them, milliseconds.")
)

var flinkOperatorLabels = append(append([]string(nil), flinkLabels...), "operator_id", "operator_name")

func flinkOperatorDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, flinkOperatorLabels, nil)
}

var (
	flinkOpIn        = flinkOperatorDesc("flink_taskmanager_job_task_operator_numRecordsIn", "Records in, under Flink's name.")
	flinkOpOut       = flinkOperatorDesc("flink_taskmanager_job_task_operator_numRecordsOut", "Records out, under Flink's name.")
	flinkOpWatermark = flinkOperatorDesc("flink_taskmanager_job_task_operator_currentOutputWatermark", "The operator's watermark in milliseconds, under Flink's name.")
	flinkOpLate      = flinkOperatorDesc("flink_taskmanager_job_task_operator_numLateRecordsDropped", "Late records, under Flink's name.")

	flinkLatency = prometheus.NewDesc("flink_taskmanager_job_latency_source_id_operator_id_operator_subtask_index_latency",
		"Milliseconds from a source to the operator, by latency markers of the last minutes.",
		[]string{"host", "tm_id", "job_id", "job_name", "source_id", "operator_id", "operator_subtask_index"}, nil)
)

// meter measures the process, once for all collectors of it.
var meter serve.RuntimeMeter

// collectFlinkProcess tells of the process.
func collectFlinkProcess(ch chan<- prometheus.Metric, now time.Time, host, tm string) {
	r := meter.Read(now)
	for _, m := range []struct {
		d *prometheus.Desc
		v float64
	}{
		{flinkCPULoad, r.CPULoad},
		{flinkCPUTime, float64(r.CPUTime)},
		{flinkHeapUsed, float64(r.HeapUsed)},
		{flinkHeapCommitted, float64(r.HeapCommitted)},
		{flinkHeapMax, float64(r.HeapMax)},
		{flinkNonHeap, float64(r.NonHeapUsed)},
		{flinkThreads, float64(r.Threads)},
		{flinkGCCount, float64(r.Collections)},
		{flinkGCTime, float64(r.CollectionTime.Milliseconds())},
	} {
		ch <- prometheus.MustNewConstMetric(m.d, prometheus.GaugeValue, m.v, host, tm)
	}
}

// collectFlinkOperators tells of each operator of the task.
func (t *taskRun) collectFlinkOperators(ch chan<- prometheus.Metric, now time.Time, host, tm string) {
	index := strconv.Itoa(int(t.id.Index))
	sources := sourceID(t.job.graph)
	for i, o := range t.task.Report().Operators {
		send := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, host, tm, t.job.key.id, t.job.name, t.vertex.ID, t.vertex.Name, index, o.ID, o.Name)
		}
		send(flinkOpIn, float64(o.Metrics.RecordsIn.Load()))
		send(flinkOpOut, float64(o.Metrics.RecordsOut.Load()))
		send(flinkOpLate, float64(o.Metrics.Late.Load()))
		if wm := o.Metrics.Watermark.Load(); wm != stream.MinTime && wm != stream.MaxTime {
			send(flinkOpWatermark, float64(wm))
		}
		if !t.tellsLatency(i) {
			continue
		}
		counts, sumMS := o.Latency.Counts()
		recent, total := t.latencies.recent(i, now, counts)
		if total > 0 {
			ch <- prometheus.MustNewConstSummary(flinkLatency, uint64(total), float64(sumMS), quantiles(recent), //nolint:gosec // counters do not go below 0
				host, tm, t.job.key.id, t.job.name, sources, o.ID, index)
		}
	}
}

// sourceID is the operator that markers come from. Bramble does not tell those of several sources apart.
func sourceID(g *graph.JobGraph) string {
	id := ""
	for _, v := range g.Vertices {
		for _, o := range v.Ops {
			if o.Kind != graph.KindSource {
				continue
			}
			if id != "" {
				return "all"
			}
			id = o.ID
		}
	}
	return id
}

// latencyWindow is how long a marker counts at least; up to twice as long.
const latencyWindow = time.Minute

// latencies remember what the counters of each operator were some time ago: quantiles over a whole life would hardly move any more.
type latencies struct {
	mu   sync.Mutex
	byOp map[int]*latencyMarks
}

type latencyMarks struct {
	at         time.Time
	old, newer []int64
}

// recent returns the counts of the last minutes, and how many there were ever.
func (l *latencies) recent(op int, now time.Time, counts []int64) (recent []int64, total int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byOp == nil {
		l.byOp = map[int]*latencyMarks{}
	}
	m := l.byOp[op]
	if m == nil {
		m = &latencyMarks{at: now, old: make([]int64, len(counts)), newer: make([]int64, len(counts))}
		l.byOp[op] = m
	}
	if d := now.Sub(m.at); d >= latencyWindow || d < 0 {
		m.at, m.old, m.newer = now, m.newer, append([]int64(nil), counts...)
	}
	recent = make([]int64, len(counts))
	for i, n := range counts {
		recent[i] = n - m.old[i]
		total += n
	}
	return recent, total
}

// quantiles are those of Flink's reporter, in milliseconds: within a bucket markers count as spread evenly.
func quantiles(counts []int64) map[float64]float64 {
	total := int64(0)
	for _, n := range counts {
		total += n
	}
	out := map[float64]float64{}
	for _, q := range []float64{0.5, 0.75, 0.95, 0.98, 0.99, 0.999} {
		if total == 0 {
			out[q] = 0 // what Flink shows before the first marker
			continue
		}
		rank, below, low := q*float64(total), 0.0, 0.0
		for i, n := range counts {
			if i == len(task.LatencyBucketsMS) { // the last one has no end
				out[q] = low
				break
			}
			high := float64(task.LatencyBucketsMS[i])
			if n > 0 && below+float64(n) >= rank {
				out[q] = low + (high-low)*(rank-below)/float64(n)
				break
			}
			below, low = below+float64(n), high
		}
	}
	return out
}
