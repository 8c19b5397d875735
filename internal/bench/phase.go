package bench

import (
	"time"
)

// Phase is one job of a case, as a worker runs it.
type Phase struct {
	File, Script string
	// More are scripts of jobs that run beside it, as long as it does. They are counted together.
	More        []string
	Parallelism int
	// Events is how many the sources have; 0: the job runs until it is stopped. Expected is how many are to come then, to know when it is warm.
	Events, Expected int64
	// Adapt names a connector whose tables get Options over those of the script.
	Adapt   string
	Options map[string]string
	// Rate is events a second of a generator that makes them when they are due, 0 for as fast as they are taken. BaseMS is the event time of the
	// first, so that the sink can tell when a row was due; where others make the events, ShiftMS is event time less the time of day.
	Rate, BaseMS, ShiftMS int64
	// DueColumn of the sink says when a row was due; "" measures no latency. Delay is how much later it may be by design.
	DueColumn string
	Delay     time.Duration
	// Sums: the sink reads and adds up everything.
	Sums bool
	// Checkpoint is the interval, 0 for none.
	Checkpoint time.Duration
	// Profile is where to write profiles: a path without its end, "" for nowhere.
	Profile string
}

// Measured is what a worker found.
type Measured struct {
	// Events were read, Rows written, changes counted one by one; Sums are of the result.
	Events int64    `json:"events"`
	Rows   int64    `json:"rows"`
	Sums   sinkSums `json:"sums"`
	// Elapsed is from the first event asked for to the last row, CPU what the process used in it.
	Elapsed time.Duration `json:"elapsed_ns"`
	CPU     time.Duration `json:"cpu_ns"`
	// Startup is from handing in the job to the first row at the sink.
	Startup   time.Duration `json:"startup_ns"`
	PeakBytes int64         `json:"peak_bytes"`
	Latency   Histogram     `json:"latency"`
	// AllocsPerEvent and AllocBytesPerEvent are of the last three quarters of the events.
	AllocsPerEvent     float64 `json:"allocs_per_event"`
	AllocBytesPerEvent float64 `json:"alloc_bytes_per_event"`
	Late               int64   `json:"late"`
	Bad                int64   `json:"bad"`
	// Restarts is how often the job was started again, after Cause: its events are read, and its rows written, anew then.
	Restarts int32  `json:"restarts,omitempty"`
	Cause    string `json:"cause,omitempty"`
	// Checkpoints completed; Failed did not. CheckpointTime is the mean from trigger to the end, CheckpointBytes what was written.
	Checkpoints     int64         `json:"checkpoints"`
	Failed          int64         `json:"checkpoints_failed"`
	CheckpointTime  time.Duration `json:"checkpoint_ns"`
	CheckpointBytes int64         `json:"checkpoint_bytes"`
}

// perSecond is a rate, 0 for one that is unknown.
func perSecond(n int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

// result derives it from the counters.
func (p *probe) result() *Measured {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := &Measured{
		Events: p.sourceRows.Load(), Rows: p.sinkRows.Load(), Sums: p.mu.sums, PeakBytes: peakBytes(), Latency: p.mu.latency,
	}
	if begin := p.begin.Load(); begin != 0 && !p.mu.last.IsZero() {
		m.Elapsed, m.CPU = p.mu.last.Sub(time.Unix(0, begin)), p.mu.cpuLast-p.mu.cpuBegin
	}
	if rows := m.Events - p.mu.warmRows; p.mu.warmRows > 0 && rows > 0 && p.mu.end.Objects > 0 {
		m.AllocsPerEvent = float64(p.mu.end.Objects-p.mu.warm.Objects) / float64(rows)
		m.AllocBytesPerEvent = float64(p.mu.end.Bytes-p.mu.warm.Bytes) / float64(rows)
	}
	return m
}
