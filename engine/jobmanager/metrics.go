package jobmanager

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bramble-stream/bramble/engine/job"
	"github.com/bramble-stream/bramble/engine/serve"
)

// scrapeMax is how long a scrape waits for the loop.
const scrapeMax = 2 * time.Second

var jobLabels = []string{"job_id", "job_name"}

var (
	descLeading        = prometheus.NewDesc("bramble_jobmanager_leading", "1 for the jobmanager that leads, 0 for one that stands by.", nil, nil)
	descTaskManagers   = prometheus.NewDesc("bramble_jobmanager_taskmanagers", "Registered taskmanagers.", nil, nil)
	descSlots          = prometheus.NewDesc("bramble_jobmanager_slots_total", "Slots of all taskmanagers.", nil, nil)
	descSlotsAvailable = prometheus.NewDesc("bramble_jobmanager_slots_available", "Slots that no job holds.", nil, nil)
	descJobs           = prometheus.NewDesc("bramble_jobmanager_jobs", "Jobs by state; ended ones as far as they are remembered.", []string{"state"}, nil)
	descUptime         = prometheus.NewDesc("bramble_job_uptime_seconds", "How long the job has been running.", jobLabels, nil)
	descRestarts       = prometheus.NewDesc("bramble_job_restarts_total", "How often the job was started again after a failure.", jobLabels, nil)
	descCheckpoints    = prometheus.NewDesc("bramble_checkpoints_total", "Checkpoints that have completed, that have failed, and that had completed and were found damaged at a restart.", append(jobLabels, "status"), nil)

	descCheckpointDuration = prometheus.NewDesc("bramble_checkpoint_duration_seconds", "How long the latest completed checkpoint took.", jobLabels, nil)
	descCheckpointSize     = prometheus.NewDesc("bramble_checkpoint_size_bytes", "The size of the latest completed checkpoint.", jobLabels, nil)
	descCheckpointLast     = prometheus.NewDesc("bramble_checkpoint_last_completed_timestamp_seconds", "When the latest completed checkpoint ended.", jobLabels, nil)

	flinkTaskManagers       = prometheus.NewDesc("flink_jobmanager_numRegisteredTaskManagers", "Flink's name of bramble_jobmanager_taskmanagers.", nil, nil)
	flinkSlots              = prometheus.NewDesc("flink_jobmanager_taskSlotsTotal", "Flink's name of bramble_jobmanager_slots_total.", nil, nil)
	flinkSlotsAvailable     = prometheus.NewDesc("flink_jobmanager_taskSlotsAvailable", "Flink's name of bramble_jobmanager_slots_available.", nil, nil)
	flinkRunningJobs        = prometheus.NewDesc("flink_jobmanager_numRunningJobs", "Jobs that have not ended.", nil, nil)
	flinkUptime             = prometheus.NewDesc("flink_jobmanager_job_uptime", "How long the job has been running, milliseconds.", jobLabels, nil)
	flinkCheckpointDuration = prometheus.NewDesc("flink_jobmanager_job_lastCheckpointDuration", "How long the latest completed checkpoint took, milliseconds.", jobLabels, nil)
	flinkCheckpointSize     = prometheus.NewDesc("flink_jobmanager_job_lastCheckpointSize", "Flink's name of bramble_checkpoint_size_bytes.", jobLabels, nil)
	flinkCheckpointFullSize = prometheus.NewDesc("flink_jobmanager_job_lastCheckpointFullSize", "Flink's name of bramble_checkpoint_size_bytes.", jobLabels, nil)
	flinkCheckpointsDone    = prometheus.NewDesc("flink_jobmanager_job_numberOfCompletedCheckpoints", "Checkpoints that have completed.", jobLabels, nil)
	flinkCheckpointsFailed  = prometheus.NewDesc("flink_jobmanager_job_numberOfFailedCheckpoints", "Checkpoints that have failed.", jobLabels, nil)
	flinkCheckpointsAll     = prometheus.NewDesc("flink_jobmanager_job_totalNumberOfCheckpoints", "Checkpoints that have completed or failed.", jobLabels, nil)

	flinkCPULoad  = prometheus.NewDesc("flink_jobmanager_Status_JVM_CPU_Load", "Share of the machine's cores that the process takes.", nil, nil)
	flinkHeapUsed = prometheus.NewDesc("flink_jobmanager_Status_JVM_Memory_Heap_Used", "Objects of Go's heap, bytes.", nil, nil)
	flinkHeapMax  = prometheus.NewDesc("flink_jobmanager_Status_JVM_Memory_Heap_Max", "Go's memory limit, bytes; -1 without one.", nil, nil)
	flinkThreads  = prometheus.NewDesc("flink_jobmanager_Status_JVM_Threads_Count", "Goroutines.", nil, nil)
	flinkGCCount  = prometheus.NewDesc("flink_jobmanager_Status_JVM_GarbageCollector_All_Count", "Garbage collections.", nil, nil)
	flinkGCTime   = prometheus.NewDesc("flink_jobmanager_Status_JVM_GarbageCollector_All_Time", "Time stopped for them, milliseconds.", nil, nil)

	flinkRestarts = prometheus.NewDesc("flink_jobmanager_job_numRestarts", "Flink's name of bramble_job_restarts_total.", jobLabels, nil)
)

// collector asks the loop at each scrape.
type collector struct{ jm *JobManager }

var _ prometheus.Collector = (*collector)(nil)

// Collector gives the jobmanager's metrics.
func (jm *JobManager) Collector() prometheus.Collector { return &collector{jm: jm} }

// Describe implements prometheus.Collector.
func (*collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descLeading, descTaskManagers, descSlots, descSlotsAvailable, descJobs, descUptime, descRestarts, descCheckpoints,
		descCheckpointDuration, descCheckpointSize, descCheckpointLast,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. While the loop does not answer there are no numbers, rather than wrong ones.
func (m *collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeMax)
	defer cancel()
	var all []prometheus.Metric
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		all = append(all, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...))
	}
	err := m.jm.do(ctx, func(c *cluster) {
		total, free := c.slotCounts()
		byState, live := map[job.State]int{}, 0
		for _, r := range c.jobs {
			s := r.machine.State()
			byState[s]++
			if !s.Ended() {
				live++
			}
			if k := r.ckpt; k != nil {
				count := func(status string, n int64) {
					all = append(all, prometheus.MustNewConstMetric(descCheckpoints, prometheus.CounterValue, float64(n), r.id, r.name(), status))
				}
				count("completed", k.completed)
				count("failed", k.failed)
				count("damaged", int64(len(k.damaged)))
				if k.completed > 0 && !s.Ended() {
					gauge(descCheckpointDuration, float64(k.last.EndedMS-k.last.TriggeredMS)/1000, r.id, r.name())
					gauge(descCheckpointSize, float64(k.last.SizeBytes), r.id, r.name())
					gauge(descCheckpointLast, float64(m.jm.wall(k.last.EndedMS))/1000, r.id, r.name())
				}
				if m.jm.cfg.FlinkNames && !s.Ended() {
					flinkCheckpoints(r, k, gauge)
				}
			}
			// What has been counted stays for as long as the job is remembered, HistoryMax of those that have ended: a rate over the last minutes
			// has to see what came last.
			all = append(all, prometheus.MustNewConstMetric(descRestarts, prometheus.CounterValue, float64(max(r.attempt()-1, 0)), r.id, r.name()))
			if s == job.Running {
				ms := float64(c.even() - r.machine.Since(job.Running))
				gauge(descUptime, ms/1000, r.id, r.name())
				if m.jm.cfg.FlinkNames {
					gauge(flinkUptime, ms, r.id, r.name())
					gauge(flinkRestarts, float64(r.attempt()-1), r.id, r.name())
				}
			}
		}
		gauge(descTaskManagers, float64(len(c.members)))
		gauge(descSlots, float64(total))
		gauge(descSlotsAvailable, float64(free))
		for _, s := range job.States() {
			gauge(descJobs, float64(byState[s]), s.String())
		}
		if m.jm.cfg.FlinkNames {
			gauge(flinkTaskManagers, float64(len(c.members)))
			gauge(flinkSlots, float64(total))
			gauge(flinkSlotsAvailable, float64(free))
			gauge(flinkRunningJobs, float64(live))
			flinkProcess(c.now(), gauge)
		}
	})
	if err != nil {
		if !m.jm.role.Load().leads {
			ch <- prometheus.MustNewConstMetric(descLeading, prometheus.GaugeValue, 0)
		}
		return
	}
	gauge(descLeading, 1)
	for _, metric := range all {
		ch <- metric
	}
}

// meter measures the process, once for all collectors of it.
var meter serve.RuntimeMeter

// flinkProcess tells of the process in the terms of a JVM.
func flinkProcess(nowMS int64, gauge func(*prometheus.Desc, float64, ...string)) {
	r := meter.Read(time.UnixMilli(nowMS))
	gauge(flinkCPULoad, r.CPULoad)
	gauge(flinkHeapUsed, float64(r.HeapUsed))
	gauge(flinkHeapMax, float64(r.HeapMax))
	gauge(flinkThreads, float64(r.Threads))
	gauge(flinkGCCount, float64(r.Collections))
	gauge(flinkGCTime, float64(r.CollectionTime.Milliseconds()))
}

// flinkCheckpoints tells of a job's checkpoints under Flink's names.
func flinkCheckpoints(r *running, k *checkpoints, gauge func(*prometheus.Desc, float64, ...string)) {
	gauge(flinkCheckpointsDone, float64(k.completed), r.id, r.name())
	gauge(flinkCheckpointsFailed, float64(k.failed), r.id, r.name())
	gauge(flinkCheckpointsAll, float64(k.completed+k.failed), r.id, r.name())
	if k.completed > 0 {
		gauge(flinkCheckpointDuration, float64(k.last.EndedMS-k.last.TriggeredMS), r.id, r.name())
		gauge(flinkCheckpointSize, float64(k.last.SizeBytes), r.id, r.name())
		gauge(flinkCheckpointFullSize, float64(k.last.SizeBytes), r.id, r.name())
	}
}
