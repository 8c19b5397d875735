// Package op holds the contracts of operators, sources and sinks, and what the runtime lends them.
// Implementations are in its sub-packages and in connectors; none of them imports another.
package op

import (
	"context"
	"errors"
	"time"

	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// ErrStopped says that the task is being cancelled: not a failure; errors.Is decides. Any other error fails the task, and the job's restart strategy
// says whether it runs again: whether an outside fault passes, nobody can tell.
var ErrStopped = errors.New("op: task is stopping")

// Output takes what an operator emits, on the task's goroutine. Emit lends b until it returns and blocks while the
// way ahead is full; its error means that the task is stopping or failing, and is returned as it is.
type Output interface {
	Emit(b *vec.Batch) error
	EmitWatermark(wm stream.Time) error
}

// IdleOutput is an Output that can say that its rows pause. Every Output that the runtime hands to an operator is one; an operator
// that makes watermarks calls it, found by a type assertion, when all its splits have gone idle, and when one is back.
type IdleOutput interface {
	Output
	EmitIdle(idle bool) error
}

// Operator transforms batches. Open is called once before anything else, Close once at the end, also after an error. All methods
// run on the task's goroutine. Optional capabilities are the interfaces below, resolved once when the chain is built.
type Operator interface {
	Open(ctx *Context) error
	// Process transforms b, which came in on input in (0 for all but joins). b is lent until Process returns and may be seen by
	// others: never modify it (make a view with vec.Batch.ViewOf), Clone what you keep.
	Process(in int, b *vec.Batch, out Output) error
	Close() error
}

// WatermarkHandler is for operators that act when event time advances. It is called with the merged watermark of all inputs,
// strictly ascending, and must pass on the watermark that now holds for its output. Without it the runtime forwards.
type WatermarkHandler interface {
	OnWatermark(wm stream.Time, out Output) error
}

// IdleHandler is told when all inputs have become idle, and when they have stopped being so. Without it nothing happens;
// the runtime forwards idleness by itself either way.
type IdleHandler interface {
	OnIdle(idle bool, out Output) error
}

// Timer is for operators that act by processing time. After every call into the chain the runtime asks NextTimer and calls OnTimer
// at or soon after that time; stream.MaxTime means none. When the clock was set back it calls OnTimer before that time, too: what has been
// made out of the former time may have to be made out anew.
type Timer interface {
	NextTimer() stream.Time
	OnTimer(now stream.Time, out Output) error
}

// Flusher is for operators that hold rows back to gain speed (pre-aggregation, mini-batches). The runtime calls Flush when the input
// pauses or the buffer timeout has passed, before every barrier, and before the end: afterwards nothing is held back.
type Flusher interface {
	Flush(out Output) error
}

// Snapshotter is for operators with state beyond the keyed store; it is called at a barrier after Flush.
type Snapshotter interface {
	// Snapshot returns the operator's own state (small), and writes dirty keyed state to the store.
	Snapshot(epoch stream.Epoch) ([]byte, error)
	// Restore is called after Open with what Snapshot returned for each former task whose key range overlaps this one's.
	Restore(parts [][]byte) error
}

// EndHandler is called once when the input has ended (after the final watermark stream.MaxTime and after Flush).
type EndHandler interface {
	OnEnd(out Output) error
}

// Status is what a Poll came to.
type Status uint8

const (
	// More says that rows were delivered, or may be at once.
	More Status = iota
	// Idle says that nothing has arrived within the wait.
	Idle
	// End says that the source is exhausted; b may still carry rows.
	End
)

// Split is a part of a source that one task reads, with the position to read on from. ID is stable over the life of a job; Pos
// is the connector's own encoding, empty at the very beginning.
type Split struct {
	ID  string `json:"id"`
	Pos []byte `json:"pos,omitempty"`
}

// Polled is the result of a Poll.
type Polled struct {
	Status Status
	// Split is the index (in the order given to Open) of the split that the batch came from: watermarks are kept per split.
	Split int
	// SplitEnded says that this split has no more rows after this batch.
	SplitEnded bool
	// Continues says that older rows of this split may come with the next batches of it, from where these came from: until one that does not continue, no
	// watermark is made of them.
	Continues bool
	// Waited is how long the Poll has waited for rows that it brings: the task was idle then. A source that cannot tell leaves it 0; the whole of a Poll
	// that ends Idle counts anyway.
	Waited time.Duration
}

// Source reads splits. All methods run on the task's goroutine; a source may run goroutines of its own, which Close joins.
type Source interface {
	// Open prepares reading; it must not wait for an outside system that is away: Poll reports Idle (and ctx.Health says why) until it is there.
	Open(ctx *Context, splits []Split) error
	// Poll appends up to vec.MaxRows rows of one split to b (empty, of the source's schema). It returns as soon as it has rows worth
	// handing on and at the latest after wait, or when ctx ends.
	Poll(ctx context.Context, b *vec.Batch, wait time.Duration) (Polled, error)
	// Snapshot returns the splits with the position after the last Poll.
	Snapshot(epoch stream.Epoch) ([]Split, error)
	// Commit says that everything up to the epoch's Snapshot is durable: acknowledge it outside. Idempotent.
	Commit(ctx context.Context, epoch stream.Epoch) error
	Close() error
}

// Reacher is a Source that knows whether it would hear of new rows of a split, were there any: not while the connection is down, nor before an
// outside system that was away has answered. Silence of a split that is not reached says nothing. The runtime asks after every Poll.
type Reacher interface {
	Reaches(split int) bool
}

// Sink writes to the outside in two phases. All methods run on the task's goroutine.
type Sink interface {
	Open(ctx *Context) error
	// Write takes the selected rows of b with their kinds; b is lent until it returns.
	Write(ctx context.Context, b *vec.Batch) error
	// Flush hands on what is buffered; it is called when the input pauses, by buffer timeout, and before Prepare.
	Flush(ctx context.Context) error
	// Prepare makes everything written since the last Prepare ready to commit and returns how to name it, nil for nothing.
	Prepare(ctx context.Context, epoch stream.Epoch) ([]byte, error)
	// Commit makes a prepared part visible. It is idempotent, and may be called by another task after a restore. At the end of a
	// bounded job the runtime calls Flush, Prepare and Commit once for the last part.
	Commit(ctx context.Context, epoch stream.Epoch, committable []byte) error
	Close() error
}
