package exchange

import (
	"context"
	"sync"
	"time"

	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Gate is the receiving side of a task: its input channels, each a bounded queue. The receiver's methods belong to the task's
// goroutine; those of Input to the channel's one sender.
type Gate struct {
	inputs []*Input
	// next is where the round over the inputs goes on, so that none starves.
	next  int
	ready chan struct{}
	done  chan struct{}
	mu    struct {
		sync.Mutex
		closed bool
		err    error
	}
}

// NewGate returns a gate with no inputs.
func NewGate() *Gate {
	return &Gate{ready: make(chan struct{}, 1), done: make(chan struct{})}
}

// AddInput adds a channel for batches of the schema; all are added before the first is used.
func (g *Gate) AddInput(schema *vec.Schema) *Input {
	in := &Input{
		gate: g, schema: schema, space: make(chan struct{}, 1),
		// What is queued, what the receiver works on, and what the sender fills.
		pool: NewPool(schema, QueueElements+2),
	}
	g.inputs = append(g.inputs, in)
	return in
}

// Len is the number of inputs.
func (g *Gate) Len() int { return len(g.inputs) }

// Ready receives after something has come that TryRecv may return. It may fire for nothing.
func (g *Gate) Ready() <-chan struct{} { return g.ready }

// TryRecv returns the next element of an input that is not blocked, in turns. The receiver owns its batch until Release.
// ok is false when there is none. An error, from Input.Fail, comes before what is still queued: the job fails anyway.
func (g *Gate) TryRecv() (in int, e stream.Element, ok bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.err != nil {
		return 0, stream.Element{}, false, g.mu.err
	}
	for range g.inputs {
		i := g.next
		if g.next++; g.next == len(g.inputs) {
			g.next = 0
		}
		q := g.inputs[i]
		if q.n == 0 || q.blocked {
			continue
		}
		e = q.popLocked()
		return i, e, true, nil
	}
	return 0, stream.Element{}, false, nil
}

// Release gives back the batch of an element of the input.
func (g *Gate) Release(in int, b *vec.Batch) { g.inputs[in].pool.Put(b) }

// Block stops reading an input; its sender soon blocks.
func (g *Gate) Block(in int) {
	g.mu.Lock()
	g.inputs[in].blocked = true
	g.mu.Unlock()
}

// UnblockAll reads all inputs again.
func (g *Gate) UnblockAll() {
	g.mu.Lock()
	for _, in := range g.inputs {
		in.blocked = false
	}
	g.mu.Unlock()
	g.signal()
}

// Close lets every sender fail with ErrClosed, now and later. It may be called from any goroutine, repeatedly.
func (g *Gate) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.mu.closed {
		g.mu.closed = true
		close(g.done)
	}
}

func (g *Gate) signal() {
	select {
	case g.ready <- struct{}{}:
	default:
	}
}

// Input is the queue of one channel, seen from its sender.
type Input struct {
	gate   *Gate
	schema *vec.Schema
	pool   *Pool
	// space receives after an element was taken from a queue whose sender waits.
	space chan struct{}
	// Held by gate.mu: a ring of n elements from head with bytes in their batches, whether the sender found no room, and whether
	// the receiver leaves the queue alone.
	ring    [QueueElements]stream.Element
	sizes   [QueueElements]int64
	head, n int
	bytes   int64
	waiting bool
	blocked bool
}

// Schema is what flows.
func (in *Input) Schema() *vec.Schema { return in.schema }

// NewBatch returns an empty batch of the channel's pool.
func (in *Input) NewBatch() *vec.Batch { return in.pool.Get() }

// Recycle gives back a batch that was not put.
func (in *Input) Recycle(b *vec.Batch) { in.pool.Put(b) }

// TryPut queues the element, or reports that the queue is full.
func (in *Input) TryPut(e stream.Element) (ok bool, err error) {
	g := in.gate
	var size int64
	if e.Kind == stream.KindBatch {
		size = DataBytes(e.Batch)
	}
	g.mu.Lock()
	if g.mu.closed {
		g.mu.Unlock()
		return false, ErrClosed
	}
	if e.Kind == stream.KindWatermark && in.n > 0 {
		// A watermark right behind another one says all that both do; sources send one a batch.
		if last := &in.ring[(in.head+in.n-1)%QueueElements]; last.Kind == stream.KindWatermark {
			last.Time = max(last.Time, e.Time)
			g.mu.Unlock()
			return true, nil
		}
	}
	if in.n == QueueElements || in.n > 0 && in.bytes+size > QueueBytes {
		in.waiting = true
		g.mu.Unlock()
		return false, nil
	}
	i := (in.head + in.n) % QueueElements
	in.ring[i], in.sizes[i] = e, size
	in.bytes += size
	in.n++
	wake := !in.blocked
	g.mu.Unlock()
	if wake {
		g.signal()
	}
	return true, nil
}

// Put queues the element and blocks while the queue is full. It returns the context's cause when that ends first.
func (in *Input) Put(ctx context.Context, e stream.Element) error {
	for {
		ok, err := in.TryPut(e)
		if ok || err != nil {
			return err
		}
		select {
		case <-in.space:
		case <-in.gate.done:
			return ErrClosed
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Fail makes the receiver's next TryRecv return err: the channel is broken. The first error of a gate stays.
func (in *Input) Fail(err error) {
	g := in.gate
	g.mu.Lock()
	if g.mu.err == nil {
		g.mu.err = err
	}
	g.mu.Unlock()
	g.signal()
}

func (in *Input) popLocked() stream.Element {
	e := in.ring[in.head]
	in.ring[in.head] = stream.Element{}
	in.bytes -= in.sizes[in.head]
	in.head = (in.head + 1) % QueueElements
	in.n--
	if in.waiting {
		in.waiting = false
		select {
		case in.space <- struct{}{}:
		default:
		}
	}
	return e
}

// Local is a channel to a task of the same process.
type Local struct {
	ctx     context.Context
	in      *Input
	blocked *Stopwatch
	now     func() time.Time
}

var _ Channel = (*Local)(nil)

// NewLocal returns a channel into the input. Its Send ends with ctx and adds the time it waits to blocked.
func NewLocal(ctx context.Context, in *Input, blocked *Stopwatch, now func() time.Time) *Local {
	return &Local{ctx: ctx, in: in, blocked: blocked, now: now}
}

// NewBatch implements Channel.
func (l *Local) NewBatch() *vec.Batch { return l.in.NewBatch() }

// Send implements Channel.
func (l *Local) Send(e stream.Element) error {
	ok, err := l.in.TryPut(e)
	if ok || err != nil {
		return err
	}
	l.blocked.Start(l.now())
	err = l.in.Put(l.ctx, e)
	l.blocked.Stop(l.now())
	return err
}

// Flush implements Channel: nothing is held back.
func (l *Local) Flush() error { return nil }

// Close implements Channel.
func (l *Local) Close() error { return nil }
