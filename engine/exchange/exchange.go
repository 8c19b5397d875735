// Package exchange carries elements from tasks to inputs of other tasks in the same process: partitioners spread rows over
// bounded channels, a gate reads many of them, a merger combines their watermarks, a codec turns elements into bytes. It knows
// neither operators nor the network (engine/exchange/remote does), and starts no goroutines.
package exchange

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// QueueElements is how many elements wait in a channel before its sender blocks: enough that neither end waits for the other
// at each batch, few enough that a barrier is not stuck behind seconds of data on a Pi.
const QueueElements = 4

// QueueBytes is how many bytes of batches wait in a channel before its sender blocks; a larger batch waits alone. With it a channel
// holds at most 1 MiB, and what its ends have in hand, however wide the rows are.
const QueueBytes = 1 << 20

// ErrClosed says that the receiving task is gone. It follows from that task's own failure, or from its cancellation, and is
// never the root cause of anything.
var ErrClosed = errors.New("exchange: the receiving task is gone")

// PeerError says that the connection to another taskmanager broke, or could not be made. It usually follows from that one's end.
type PeerError struct {
	TaskManager string
	Err         error
}

// Error names the peer.
func (e *PeerError) Error() string {
	return fmt.Sprintf("connection to taskmanager %s lost: %v", e.TaskManager, e.Err)
}

// Unwrap returns the cause.
func (e *PeerError) Unwrap() error { return e.Err }

// ChannelID names a channel within an attempt of a job.
type ChannelID struct {
	// Edge is an index into JobGraph.Edges; From and To are task indexes.
	Edge, From, To int
}

// String is "edge 3, task 0 to task 1".
func (c ChannelID) String() string {
	return fmt.Sprintf("edge %d, task %d to task %d", c.Edge, c.From, c.To)
}

// Channel is the sending end of a channel. It belongs to the sending task's goroutine.
type Channel interface {
	// NewBatch returns an empty batch to be filled and sent.
	NewBatch() *vec.Batch
	// Send takes over the element and its batch, and blocks while the channel is full. An error is final: the task is being
	// cancelled (the context's cause), the receiver is gone (ErrClosed), or the connection is lost.
	Send(e stream.Element) error
	// Flush hands on what Send may have gathered.
	Flush() error
	// Close ends the channel and waits until what was sent has been taken. Without a KindEnd before it, it aborts instead.
	Close() error
}

// Stats are the counters of what a task sends over an edge. Others may read them at any time.
type Stats struct {
	Records, Bytes atomic.Int64
	// Blocked is the time spent waiting for full channels.
	Blocked Stopwatch
}

// Stopwatch adds up spans of time, and counts a span that is still running. One goroutine starts and stops it, others read it. That the clock is set
// does not matter, as long as times have what time.Now gives them.
type Stopwatch struct {
	// sinceNS is when the span began, by even; 0 while none runs.
	sumNS, sinceNS atomic.Int64
}

// beginning is what even counts from: the first time that a stopwatch of this process was told.
var beginning atomic.Pointer[time.Time]

// even is now in ns, by the clock that nobody sets; never 0.
func even(now time.Time) int64 {
	b := beginning.Load()
	if b == nil {
		first := now // apart, or each call would allocate
		beginning.CompareAndSwap(nil, &first)
		b = beginning.Load()
	}
	return int64(now.Sub(*b)) | 1
}

// Start begins a span.
func (s *Stopwatch) Start(now time.Time) { s.sinceNS.Store(even(now)) }

// Stop ends the span.
func (s *Stopwatch) Stop(now time.Time) {
	if since := s.sinceNS.Swap(0); since != 0 {
		s.sumNS.Add(even(now) - since)
	}
}

// Add counts a span that has passed.
func (s *Stopwatch) Add(d time.Duration) { s.sumNS.Add(int64(d)) }

// Total is the sum up to now.
func (s *Stopwatch) Total(now time.Time) time.Duration {
	sum := s.sumNS.Load()
	if since := s.sinceNS.Load(); since != 0 {
		sum += max(even(now)-since, 0)
	}
	return time.Duration(sum)
}
