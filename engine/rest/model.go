package rest

// The documents of /api/v1. Times are milliseconds since 1970-01-01 UTC, durations milliseconds, ratios from 0 to 1, rates per second. What
// is not known is null. What a Views returns is shared and must not be changed.

// Cluster is everything at a glance.
type Cluster struct {
	Version     string `json:"version"`
	StartedAt   int64  `json:"startedAt"`
	LeaderEpoch int64  `json:"leaderEpoch"`
	// Address is HOST:PORT of the RPC server.
	Address string `json:"address"`
	// CheckpointDir is "" when no checkpoints are taken.
	CheckpointDir  string         `json:"checkpointDir"`
	SlotsTotal     int            `json:"slotsTotal"`
	SlotsAvailable int            `json:"slotsAvailable"`
	TaskManagers   []*TaskManager `json:"taskmanagers"`
	// Jobs has the newest first.
	Jobs []*JobSummary `json:"jobs"`
}

// TaskManager is a registered taskmanager.
type TaskManager struct {
	ID string `json:"id"`
	// Address is the host, DataAddress HOST:PORT of the data server, HostName what the machine calls itself.
	Address            string   `json:"address"`
	DataAddress        string   `json:"dataAddress"`
	MetricsAddress     string   `json:"metricsAddress"`
	HostName           string   `json:"hostName"`
	OS                 string   `json:"os"`
	Arch               string   `json:"arch"`
	Cores              int      `json:"cores"`
	MemoryBudgetBytes  *int64   `json:"memoryBudgetBytes"`
	MemoryUsedBytes    int64    `json:"memoryUsedBytes"`
	RSSBytes           *int64   `json:"rssBytes"`
	TemperatureCelsius *float64 `json:"temperatureCelsius"`
	Slots              int      `json:"slots"`
	SlotsFree          int      `json:"slotsFree"`
	TasksRunning       int      `json:"tasksRunning"`
	RegisteredAt       int64    `json:"registeredAt"`
	LastHeartbeatAt    int64    `json:"lastHeartbeatAt"`
	Version            string   `json:"version"`
	Goroutines         *int     `json:"goroutines"`
}

// TaskCount counts tasks; Finished ones are not running.
type TaskCount struct {
	Running  int `json:"running"`
	Finished int `json:"finished"`
	Total    int `json:"total"`
	// ByState is for Flink's documents.
	ByState map[string]int `json:"-"`
}

// JobSummary is a line of the list of jobs.
type JobSummary struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	State string `json:"state"`
	// WaitingReason is why a job that does not run yet waits, else "".
	WaitingReason string    `json:"waitingReason"`
	StartedAt     int64     `json:"startedAt"`
	EndedAt       *int64    `json:"endedAt"`
	DurationMS    int64     `json:"durationMs"`
	Restarts      int       `json:"restarts"`
	Parallelism   int       `json:"parallelism"`
	Tasks         TaskCount `json:"tasks"`
	// In is what sources emit, Out what sinks take. The ratios are those of the busiest and of the most back-pressured task.
	RecordsInPerSecond  *float64 `json:"recordsInPerSecond"`
	RecordsOutPerSecond *float64 `json:"recordsOutPerSecond"`
	BusyRatio           *float64 `json:"busyRatio"`
	BackpressuredRatio  *float64 `json:"backpressuredRatio"`
	// WatermarkLagMS is the greatest of a vertex.
	WatermarkLagMS    *int64 `json:"watermarkLagMs"`
	Late              int64  `json:"late"`
	Bad               int64  `json:"bad"`
	LastCheckpointAt  *int64 `json:"lastCheckpointAt"`
	CheckpointsFailed *int64 `json:"checkpointsFailed"`
	// ChangedAt is when the present state was entered.
	ChangedAt int64 `json:"changedAt"`
}

// Job is everything about a job.
type Job struct {
	JobSummary
	// Script is the SQL with secrets masked, null when unknown.
	Script *string `json:"script"`
	// Cause is why the job failed, is being started again, or waits.
	Cause    *string  `json:"cause"`
	Warnings []string `json:"warnings"`
	// Config is what SET and -D said, secrets masked; Plan the physical plan as text.
	Config         map[string]string `json:"config"`
	Plan           string            `json:"plan"`
	MaxParallelism int               `json:"maxParallelism"`
	Attempt        int               `json:"attempt"`
	// StateTimes says when a state was last entered.
	StateTimes     map[string]int64 `json:"stateTimes"`
	Health         []Health         `json:"health"`
	Vertices       []*Vertex        `json:"vertices"`
	Edges          []Edge           `json:"edges"`
	Checkpoints    *Checkpoints     `json:"checkpoints"`
	Exceptions     []Exception      `json:"exceptions"`
	RestartHistory []Restart        `json:"restartHistory"`
}

// Health is what an outside system is doing, as one task sees it. Error is "" when all is well.
type Health struct {
	Component string `json:"component"`
	Error     string `json:"error"`
	Since     int64  `json:"since"`
	Vertex    string `json:"vertex"`
	Index     int    `json:"index"`
}

// Flow are the numbers that vertices and tasks share. Ratios and rates are over the last few seconds, null unless something runs.
type Flow struct {
	BusyRatio           *float64 `json:"busyRatio"`
	BackpressuredRatio  *float64 `json:"backpressuredRatio"`
	IdleRatio           *float64 `json:"idleRatio"`
	RecordsIn           int64    `json:"recordsIn"`
	RecordsOut          int64    `json:"recordsOut"`
	RecordsInPerSecond  *float64 `json:"recordsInPerSecond"`
	RecordsOutPerSecond *float64 `json:"recordsOutPerSecond"`
	BytesIn             int64    `json:"bytesIn"`
	BytesOut            int64    `json:"bytesOut"`
	Watermark           *int64   `json:"watermark"`
	WatermarkLagMS      *int64   `json:"watermarkLagMs"`
	Late                int64    `json:"late"`
	Bad                 int64    `json:"bad"`
	StateBytes          int64    `json:"stateBytes"`
	StateKeys           int64    `json:"stateKeys"`
	// BusyMS, BackpressuredMS and IdleMS are how the time since the start was spent; for Flink's documents.
	BusyMS          int64 `json:"-"`
	BackpressuredMS int64 `json:"-"`
	IdleMS          int64 `json:"-"`
}

// Vertex is a chain of operators that runs in Parallelism tasks. Its busy and back-pressured ratios are those of the task with the most, its
// idle ratio that of the task with the least.
type Vertex struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Parallelism int        `json:"parallelism"`
	State       string     `json:"state"`
	Depth       int        `json:"depth"`
	Operators   []Operator `json:"operators"`
	Flow
	Latency         *Latency         `json:"latency"`
	OperatorMetrics []OperatorMetric `json:"operatorMetrics"`
	Tasks           []*Task          `json:"tasks"`
}

// Operator is a step of a vertex.
type Operator struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	SQLLine   *int   `json:"sqlLine"`
	SQLColumn *int   `json:"sqlColumn"`
	SQLText   string `json:"sqlText"`
}

// Latency are quantiles of the time from the source, in milliseconds, over the last few seconds.
type Latency struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// OperatorMetric are the counters of an operator over all tasks.
type OperatorMetric struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	RecordsIn  int64  `json:"recordsIn"`
	RecordsOut int64  `json:"recordsOut"`
	Late       int64  `json:"late"`
	Bad        int64  `json:"bad"`
	StateBytes int64  `json:"stateBytes"`
	StateKeys  int64  `json:"stateKeys"`
}

// Task is one parallel instance of a vertex. Error is why it failed.
type Task struct {
	Index       int     `json:"index"`
	Attempt     int     `json:"attempt"`
	State       string  `json:"state"`
	TaskManager string  `json:"taskmanager"`
	StartedAt   *int64  `json:"startedAt"`
	EndedAt     *int64  `json:"endedAt"`
	Error       *string `json:"error"`
	Flow
	// Operators are the task's share of Vertex.OperatorMetrics; for Flink's documents.
	Operators []OperatorMetric `json:"-"`
}

// Edge connects two vertices. Kind is how rows are dealt out: forward, hash, broadcast or rebalance. Tag is "late" or "bad" for rows routed
// aside.
type Edge struct {
	Source           string   `json:"source"`
	Target           string   `json:"target"`
	Kind             string   `json:"kind"`
	Tag              string   `json:"tag"`
	RecordsPerSecond *float64 `json:"recordsPerSecond"`
}

// Checkpoints are those of a job; null when it takes none.
type Checkpoints struct {
	// Interval is in milliseconds, 0 when none are taken by the clock.
	Interval int64            `json:"interval"`
	Counts   CheckpointCounts `json:"counts"`
	// RestoredID is what the present attempt began with, null for the beginning.
	RestoredID *uint64 `json:"restoredId"`
	// History has the newest first.
	History []*Checkpoint `json:"history"`
	// Config is for Flink's documents.
	Config CheckpointConfig `json:"-"`
}

// CheckpointConfig is how a job takes checkpoints.
type CheckpointConfig struct {
	TimeoutMS, MinPauseMS               int64
	MaxConcurrent, TolerableFailures    int
	Storage, RestoredPath, SavepointDir string
	RestoredAt                          int64
	RestoredSavepoint, Retain           bool
}

// CheckpointCounts counts since the jobmanager started.
type CheckpointCounts struct {
	Completed  int64 `json:"completed"`
	Failed     int64 `json:"failed"`
	InProgress int64 `json:"inProgress"`
	Restored   int64 `json:"restored"`
}

// Checkpoint is one checkpoint or savepoint.
type Checkpoint struct {
	ID uint64 `json:"id"`
	// Kind is checkpoint or savepoint; State completed, failed or in_progress.
	Kind        string `json:"kind"`
	State       string `json:"state"`
	TriggeredAt int64  `json:"triggeredAt"`
	// EndedAt and DurationMS are null while it is in progress.
	EndedAt    *int64 `json:"endedAt"`
	DurationMS *int64 `json:"durationMs"`
	// SizeBytes is all of it, IncrementBytes what had to be written.
	SizeBytes      int64 `json:"sizeBytes"`
	IncrementBytes int64 `json:"incrementBytes"`
	// AlignmentMS is the longest of a task.
	AlignmentMS int64            `json:"alignmentMs"`
	Path        string           `json:"path"`
	Error       *string          `json:"error"`
	TasksTotal  int              `json:"tasksTotal"`
	Tasks       []CheckpointTask `json:"tasks"`
}

// CheckpointTask is one task's part, once it is durable.
type CheckpointTask struct {
	Vertex         string `json:"vertex"`
	Index          int    `json:"index"`
	AlignmentMS    int64  `json:"alignmentMs"`
	SnapshotMS     int64  `json:"snapshotMs"`
	UploadMS       int64  `json:"uploadMs"`
	DurationMS     int64  `json:"durationMs"`
	SizeBytes      int64  `json:"sizeBytes"`
	IncrementBytes int64  `json:"incrementBytes"`
}

// Exception is a failure. Root is the first line of what began it.
type Exception struct {
	At int64 `json:"at"`
	// Task is "name (2/4)", "" when no task is to blame; Vertex and Index name it.
	Task        string `json:"task"`
	Vertex      string `json:"vertex"`
	Index       int    `json:"index"`
	TaskManager string `json:"taskmanager"`
	Operator    string `json:"operator"`
	SQLLine     *int   `json:"sqlLine"`
	SQLColumn   *int   `json:"sqlColumn"`
	Attempt     int    `json:"attempt"`
	Message     string `json:"message"`
	Root        string `json:"root"`
}

// Restart is the end of an attempt that another one followed.
type Restart struct {
	At      int64  `json:"at"`
	Cause   string `json:"cause"`
	Attempt int    `json:"attempt"`
}

// Series is the last hour of a job, an entry a step. NaN is a gap; it becomes null.
type Series struct {
	StepMS int64
	Times  []int64
	Values map[string][]float32
}
