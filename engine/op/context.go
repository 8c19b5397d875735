package op

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/bramble-stream/bramble/engine/sample"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
)

// Context is what the runtime lends an operator, source or sink from Open to Close.
type Context struct {
	// Ctx ends when the task is cancelled; anything that blocks watches it.
	Ctx     context.Context
	Task    TaskInfo
	Log     *slog.Logger
	Metrics *Metrics
	// Rejected keeps some of what Metrics counts as Late or Bad, for people to look at; it may be nil.
	Rejected *sample.Rejected
	Clock    Clock
	// ClockFloor is a time of day before which Clock is certainly wrong, as on a Pi that has not heard of the time yet; 0 when none is known.
	ClockFloor stream.Time
	Location   *time.Location // table.local-time-zone
	// Rand is a source of randomness, for UUID() and client ids.
	Rand io.Reader
	// MemoryBytes is how much hot state the operator may keep before it writes to its store.
	MemoryBytes int64
	// OpenState opens the operator's store in the task (once; later calls return the same), with the merge function for OpMerge, or nil.
	// It is nil for operators outside keyed vertices.
	OpenState func(merge state.MergeFunc) (state.Store, error)
	// Side returns the output for rows routed aside under the tag ("late", "bad"), or nil when nobody takes them.
	Side func(tag string) Output
	// Source tells where the batch being processed came from; only operators chained to a source may read it.
	Source *SourceInfo
	// Watermark returns the current merged input watermark, stream.MinTime when there is none yet.
	Watermark func() stream.Time
	// Health reports what an outside system is doing ("connected", or an error while it is waited for); the latest one
	// per component is shown by status. nil error: healthy.
	Health func(component string, err error)
	// Checkpointing reports whether the job takes checkpoints: when false, sources acknowledge at once and sinks publish at Flush.
	Checkpointing bool
}

// Clock is the only way operators learn the time of day.
type Clock interface {
	Now() time.Time
}

// TaskInfo identifies a task: one parallel instance of a vertex.
type TaskInfo struct {
	JobID, JobName string
	VertexID       string
	VertexName     string
	// OperatorID is stable over edits of the job that keep the operator; it names its state.
	OperatorID string
	Operator   string
	Attempt    int
	// Index is in [0, Parallelism).
	Index, Parallelism int
	MaxParallelism     int
	KeyRange           stream.KeyRange
	TaskManager        string
}

// SourceInfo is kept by the runtime between polls.
type SourceInfo struct {
	// Splits is how many splits the task has, Split the one that the current batch came from.
	Splits, Split int
	// Ended[i] says that split i has no more rows.
	Ended []bool
	// Continues[i] says that rows came of split i whose order is known only with the next ones: see Polled.
	Continues []bool
	// Listened is for how long the task has asked for rows: a clock that stands still while its process is stopped, or while what is behind the source
	// takes nothing. What a split has not brought in this time was not there.
	Listened time.Duration
	// Away[i] is when split i could not be heard; nil if the source cannot tell.
	Away []Away
}

// Away is what is known of the times at which the connection of a split was down.
type Away struct {
	// For adds them up since the split's last row, Until is when the last of them ended, or now; both in the time of SourceInfo.Listened.
	For, Until time.Duration
}

// Metrics are the counters of one operator in one task. Fields are atomics so that the metrics page reads them at any time.
type Metrics struct {
	RecordsIn, RecordsOut atomic.Int64
	BytesIn, BytesOut     atomic.Int64
	// Late counts records behind the watermark, Bad those that could not be understood or were refused; neither is in RecordsOut.
	Late, Bad             atomic.Int64
	StateBytes, StateKeys atomic.Int64
	// Watermark is the last one emitted, ms since the epoch.
	Watermark atomic.Int64
}
