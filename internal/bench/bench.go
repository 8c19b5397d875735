// Package bench measures Bramble on the machine it runs on: Nexmark queries, MQTT and Redis jobs, with a cluster of its own in a process of its
// own for each. It checks what comes out, and it compares two reports. It is what `bramble bench` does.
package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/benchmarks/nexmark"
	"github.com/bramble-stream/bramble/internal/app"
)

// Suites are the names that Config.Suites takes, in the order in which they run.
var Suites = []string{"nexmark", "mqtt", "redis"}

// Config says what to measure.
type Config struct {
	Suites []string
	// Queries are those of the Nexmark suite; none means all.
	Queries []string
	// Events is how many each measurement takes; 0: as many as take Duration.
	Events   int64
	Duration time.Duration
	// Parallelism of jobs, TaskManagers and memory of the cluster.
	Parallelism  int
	TaskManagers int
	MemoryBytes  int64
	// Checkpoint is the interval of the checkpoints whose cost is measured.
	Checkpoint time.Duration
	// MQTT and Redis are servers of the user, "" for embedded ones. JobManager is a running cluster, "" for one of our own.
	MQTT, Redis, JobManager string
	// Dir is where state and checkpoints go; Profile where profiles go, "" for none.
	Dir, Profile string
	// Worker is the command that runs RunWorker.
	Worker []string
	// Progress is told what is being done, and how many events of it; it may be nil.
	Progress func(step, steps int, what string, events int64)
	// OnResult is called with each result as it comes; it may be nil.
	OnResult func(Result)
}

// The states of a result.
const (
	StatusOK          = "ok"
	StatusUnsupported = "not supported"
	StatusWrong       = "wrong result"
	StatusFailed      = "failed"
)

// Result is a line of the table. Figures that are not known are 0.
type Result struct {
	Suite string `json:"suite"`
	Name  string `json:"name"`
	About string `json:"about,omitempty"`
	// Status is one of those above, Reason why it is not StatusOK.
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
	// Events were read in Seconds; Rows were written, updates counted as the changes they are.
	Events  int64   `json:"events,omitempty"`
	Rows    int64   `json:"rows,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	// EventsPerSecond is by the clock, EventsPerCoreSecond by the CPU time that the process used on all cores.
	EventsPerSecond     float64 `json:"events_per_s,omitempty"`
	EventsPerCoreSecond float64 `json:"events_per_core_s,omitempty"`
	CPUNanosPerEvent    float64 `json:"cpu_ns_per_event,omitempty"`
	// ServerCPUNanosPerEvent is what the embedded broker or Redis took, apart.
	ServerCPUNanosPerEvent float64 `json:"server_cpu_ns_per_event,omitempty"`
	// Lost events were sent and did not arrive, at EventsPerSecond. CleanPerSecond is the highest rate that was tried and lost none.
	Lost           int64   `json:"lost,omitempty"`
	CleanPerSecond float64 `json:"clean_per_s,omitempty"`
	// Latency is from when an event was due to when its row reached the sink, of LatencySamples rows at LatencyRate events a second.
	P50             float64 `json:"p50_ms,omitempty"`
	P99             float64 `json:"p99_ms,omitempty"`
	P9999           float64 `json:"p9999_ms,omitempty"`
	LatencyMax      float64 `json:"latency_max_ms,omitempty"`
	LatencySamples  int64   `json:"latency_samples,omitempty"`
	LatencyRate     int64   `json:"latency_rate,omitempty"`
	PeakBytes       int64   `json:"peak_bytes,omitempty"`
	AllocsPerEvent  float64 `json:"allocs_per_event"`
	Checkpoints     int64   `json:"checkpoints,omitempty"`
	CheckpointMS    float64 `json:"checkpoint_ms,omitempty"`
	CheckpointBytes int64   `json:"checkpoint_bytes,omitempty"`
	// CheckpointCost is by how much the CPU time an event grew with checkpoints, as a share: 0.02 is 2 %. It is measured when Checkpoints is not 0.
	CheckpointCost float64 `json:"checkpoint_cost"`
	// Checksum is of the rows of VerifiedEvents events, whatever their order.
	Checksum       string `json:"checksum,omitempty"`
	VerifiedEvents int64  `json:"verified_events,omitempty"`
}

// Report is a run.
type Report struct {
	Version     string    `json:"version"`
	Started     time.Time `json:"started"`
	TookSeconds float64   `json:"took_s"`
	Machine     Machine   `json:"machine"`
	// Remote is the cluster that was measured instead of this machine.
	Remote       string   `json:"remote,omitempty"`
	Parallelism  int      `json:"parallelism"`
	TaskManagers int      `json:"taskmanagers"`
	CheckpointMS int64    `json:"checkpoint_interval_ms"`
	Events       int64    `json:"events,omitempty"`
	DurationMS   int64    `json:"duration_ms,omitempty"`
	Results      []Result `json:"results"`
	Interrupted  bool     `json:"interrupted,omitempty"`
}

// Bad reports whether something came out wrong or failed.
func (r *Report) Bad() bool {
	return slices.ContainsFunc(r.Results, func(x Result) bool { return x.Status == StatusWrong || x.Status == StatusFailed })
}

// run is a Run in progress.
type run struct {
	Config
	report *Report
	steps  []step
	at     int
}

// step is one result to be made.
type step struct {
	suite, name, about string
	do                 func(ctx context.Context, r *Result) error
}

// Run measures. When ctx ends before it is done, the report has what there is and says so.
func Run(ctx context.Context, c Config) (*Report, error) {
	dir, err := os.MkdirTemp(c.Dir, "bramble-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	c.Dir = dir
	if c.Profile != "" {
		if err := os.MkdirAll(c.Profile, 0o755); err != nil { //nolint:gosec // nothing secret
			return nil, fmt.Errorf("--profile: %w", err)
		}
	}
	root := os.DirFS("/")
	began := time.Now()
	r := &run{Config: c, report: &Report{
		Version: app.Version(), Started: began.UTC().Truncate(time.Second), Machine: Describe(root, dir), Remote: c.JobManager, Parallelism: c.Parallelism,
		TaskManagers: c.TaskManagers, CheckpointMS: c.Checkpoint.Milliseconds(), Events: c.Events, DurationMS: c.Duration.Milliseconds(),
	}}
	if err := r.plan(); err != nil {
		return nil, err
	}
	for i, s := range r.steps {
		r.at = i
		res := Result{Suite: s.suite, Name: s.name, About: s.about, Status: StatusOK}
		r.progress("", 0)
		err := s.do(ctx, &res)
		if ctx.Err() != nil {
			r.report.Interrupted = true
			break
		}
		var refused *RefusedError
		switch {
		case errors.As(err, &refused):
			res.Status, res.Reason = StatusUnsupported, refused.Reason
		case err != nil:
			res.Status, res.Reason = StatusFailed, err.Error()
		}
		r.report.Results = append(r.report.Results, res)
		if r.OnResult != nil {
			r.OnResult(res)
		}
		r.report.Machine.Look(root)
	}
	r.report.TookSeconds = time.Since(began).Seconds()
	return r.report, nil
}

// Check refuses what there is not.
func (c *Config) Check() error {
	for _, s := range c.Suites {
		if !slices.Contains(Suites, s) {
			return fmt.Errorf("no suite %q; there are %s", s, strings.Join(Suites, ", "))
		}
	}
	all := nexmark.Queries()
	for _, q := range c.Queries {
		if !slices.Contains(all, q) {
			return fmt.Errorf("no Nexmark query %q; there are %s", q, strings.Join(all, ", "))
		}
	}
	return nil
}

// plan lists the steps.
func (r *run) plan() error {
	if err := r.Check(); err != nil {
		return err
	}
	want := func(s string) bool { return len(r.Suites) == 0 || slices.Contains(r.Suites, s) }
	if want("nexmark") {
		r.planNexmark()
	}
	for i := range streamJobs {
		if j := &streamJobs[i]; want("mqtt") {
			r.steps = append(r.steps, step{"mqtt", j.name, j.about, func(ctx context.Context, res *Result) error { return r.mqtt(ctx, j, res) }})
		}
	}
	for i := range streamJobs {
		if j := &streamJobs[i]; want("redis") {
			r.steps = append(r.steps, step{"redis", j.name, j.about, func(ctx context.Context, res *Result) error { return r.redis(ctx, j, res) }})
		}
	}
	return nil
}

func (r *run) progress(what string, events int64) {
	if r.Progress != nil {
		s := r.steps[r.at]
		r.Progress(r.at+1, len(r.steps), strings.TrimSpace(s.suite+" "+s.name+" "+what), events)
	}
}

// cluster starts a worker with a cluster in it.
func (r *run) cluster(ctx context.Context, what *string) (*worker, error) {
	w, err := startWorker(ctx, r.Worker, func(n int64) { r.progress(*what, n) })
	if err != nil {
		return nil, err
	}
	slots := (r.Parallelism + r.TaskManagers - 1) / r.TaskManagers
	_, err = w.ask(ctx, command{Cluster: &ClusterSize{TaskManagers: r.TaskManagers, Slots: slots, MemoryBytes: r.MemoryBytes, Dir: r.Dir}}, patience)
	if err != nil {
		w.stop()
		return nil, err
	}
	return w, nil
}

// patience is how long a worker may say nothing; while a job runs it tells its progress ten times a second.
const patience = time.Minute

// profile is where the profiles of a phase go.
func (r *run) profile(phase string) string {
	if r.Profile == "" {
		return ""
	}
	s := r.steps[r.at]
	return filepath.Join(r.Profile, s.suite+"-"+s.name+"-"+phase)
}

// latency takes over what a phase has measured.
func (res *Result) latency(m *Measured, rate int64) {
	ms := func(q float64) float64 { return float64(m.Latency.Quantile(q)) / 1e6 }
	if res.LatencySamples = m.Latency.Count(); res.LatencySamples > 0 {
		res.P50, res.P99, res.P9999, res.LatencyMax, res.LatencyRate = ms(0.5), ms(0.99), ms(0.9999), float64(m.Latency.Max())/1e6, rate
	}
}

// speed takes over rates.
func (res *Result) speed(events int64, elapsed, cpu time.Duration) {
	res.Events, res.Seconds = events, elapsed.Seconds()
	res.EventsPerSecond, res.EventsPerCoreSecond = perSecond(events, elapsed), perSecond(events, cpu)
	if events > 0 {
		res.CPUNanosPerEvent = float64(cpu) / float64(events)
	}
}

// enough is how many events take the duration at a rate, within reason, in thousands.
func (r *run) enough(perSecond float64) int64 {
	if r.Events > 0 {
		return r.Events
	}
	n := int64(perSecond * r.Duration.Seconds())
	return max(n/1000*1000, 10_000)
}
