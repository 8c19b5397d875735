package jobmanager

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bramble-stream/bramble/engine/job"
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

	flinkTaskManagers   = prometheus.NewDesc("flink_jobmanager_numRegisteredTaskManagers", "Flink's name of bramble_jobmanager_taskmanagers.", nil, nil)
	flinkSlots          = prometheus.NewDesc("flink_jobmanager_taskSlotsTotal", "Flink's name of bramble_jobmanager_slots_total.", nil, nil)
	flinkSlotsAvailable = prometheus.NewDesc("flink_jobmanager_taskSlotsAvailable", "Flink's name of bramble_jobmanager_slots_available.", nil, nil)
	flinkRunningJobs    = prometheus.NewDesc("flink_jobmanager_numRunningJobs", "Jobs that have not ended.", nil, nil)
	flinkUptime         = prometheus.NewDesc("flink_jobmanager_job_uptime", "How long the job has been running, milliseconds.", jobLabels, nil)
	flinkRestarts       = prometheus.NewDesc("flink_jobmanager_job_numRestarts", "Flink's name of bramble_job_restarts_total.", jobLabels, nil)
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
			if k := r.ckpt; k != nil && !s.Ended() {
				count := func(status string, n int64) {
					all = append(all, prometheus.MustNewConstMetric(descCheckpoints, prometheus.CounterValue, float64(n), r.id, r.name(), status))
				}
				count("completed", k.completed)
				count("failed", k.failed)
				count("damaged", int64(len(k.damaged)))
				if k.completed > 0 {
					gauge(descCheckpointDuration, float64(k.last.EndedMS-k.last.TriggeredMS)/1000, r.id, r.name())
					gauge(descCheckpointSize, float64(k.last.SizeBytes), r.id, r.name())
					gauge(descCheckpointLast, float64(m.jm.wall(k.last.EndedMS))/1000, r.id, r.name())
				}
			}
			if !s.Ended() {
				all = append(all, prometheus.MustNewConstMetric(descRestarts, prometheus.CounterValue, float64(r.attempt()-1), r.id, r.name()))
			}
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
