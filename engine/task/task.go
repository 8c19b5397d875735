// Package task runs one task: a tree of chained operators behind a gate of input channels or a source, on one goroutine. It builds
// operators through a registry that it is handed, so it knows no operator family and no connector.
package task

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/exchange"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/sample"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Defaults of Config.
const (
	// DefaultBufferTimeout is how long rows may wait for their batch to fill.
	DefaultBufferTimeout = 5 * time.Millisecond
	// DefaultLatencyInterval is the time between two latency markers of a source.
	DefaultLatencyInterval = 5 * time.Second

	// mailMax is how many commands wait for a task before the one who sends another waits too.
	mailMax = 16
)

// Built is what a Builder makes: exactly one of the three.
type Built struct {
	Source   op.Source
	Operator op.Operator
	Sink     op.Sink
}

// Builder makes an operator from its node. ins are the schemas that its inputs carry; none for a source.
type Builder func(n *graph.Node, ins []*vec.Schema) (Built, error)

// Builders has an entry for each kind of operator that may occur.
type Builders map[graph.Kind]Builder

// ConnectFunc opens the channel to another task. It may wait for that one to appear. Send of the channel ends with ctx, and adds
// the time that it waits to blocked.
type ConnectFunc func(ctx context.Context, id exchange.ChannelID, schema *vec.Schema, blocked *exchange.Stopwatch) (exchange.Channel, error)

// Config is what a task is built from. Fields without "optional" are required.
type Config struct {
	JobID string
	Graph *graph.JobGraph
	// Vertex is an index into Graph.Vertices, Index the task's among the vertex's.
	Vertex, Index int
	// Attempt and TaskManager are for messages and TaskInfo; optional.
	Attempt     int
	TaskManager string
	Builders    Builders
	// Splits are what a source reads; with none, it ends at once.
	Splits []op.Split
	// Connect is needed when the vertex has outgoing edges.
	Connect ConnectFunc

	// Optional from here on.

	Clock op.Clock
	// ClockFloor is as in op.Context.
	ClockFloor stream.Time
	Log        *slog.Logger
	Location   *time.Location
	Rand       io.Reader
	// MemoryBytes is how much hot state the task may keep; its operators share it.
	MemoryBytes int64
	// OpenState opens the store of an operator; it is lent to those of tasks with inputs.
	OpenState func(info op.TaskInfo, merge state.MergeFunc) (state.Store, error)
	// OpenStateOn opens a store that begins with the content of a directory of snapshot files, which it may use up. Without it what OpenState
	// opens has to be a state.Importer.
	OpenStateOn func(info op.TaskInfo, merge state.MergeFunc, dir string) (state.Store, error)
	// Cell writes values of the rows that people look at; without it none are shown.
	Cell sample.Cell
	// Restore is what the task goes on from; nil for the very beginning.
	Restore *Restore
	// Checkpointing says that someone takes checkpoints: what sinks have prepared is published when a checkpoint is complete, and a task whose
	// input has ended stays until one that holds its end is.
	Checkpointing bool
	// BufferTimeout and LatencyInterval: 0 means the default, below 0 none (rows are flushed whenever the input pauses).
	BufferTimeout   time.Duration
	LatencyInterval time.Duration
	// The callbacks must not block. OnSnapshot is called on the task's goroutine, the others on any, OnState in order.
	OnState  func(StateChange)
	OnHealth func(Health)
	// OnSnapshot takes over the snapshot: see Snapshot.
	OnSnapshot func(Snapshot)
	// OnEndOfInput says, with Checkpointing, that the task has worked off its input and waits for its last checkpoint. It is called on the
	// task's goroutine.
	OnEndOfInput func()
}

// Task is one parallel instance of a vertex.
type Task struct {
	cfg    Config
	vertex *graph.Vertex
	log    *slog.Logger
	clock  op.Clock
	inputs []taskInput
	gate   *exchange.Gate
	nodes  []*node
	// timers are the nodes that act by processing time.
	timers []*node
	edges  []*edgeOut

	// From here on the task's goroutine only.
	ctx           context.Context
	merger        *exchange.Merger
	aligner       *checkpoint.Aligner
	openInputs    int
	bufferTimeout time.Duration
	// dirty: something may be held back somewhere, since dirtySince. Only tend sets it.
	dirty      bool
	dirtySince time.Time
	nextTimer  stream.Time
	lookedMS   stream.Time // what the clock said when timers were last looked at
	wake       *time.Timer
	// current is the operator that runs, for whoever recovers a panic.
	current    *node
	sourceInfo op.SourceInfo
	// reacher is the source, if it is one.
	reacher     op.Reacher
	pollBatch   *vec.Batch
	idleStreak  uint
	nextLatency time.Time
	// lastEpoch is the newest epoch snapshot here, or restored; uncommitted are prepared parts by epoch, in order.
	lastEpoch   stream.Epoch
	uncommitted []prepared
	ckpt        progress

	mail chan func() error
	done chan struct{} // closed when Run returns

	// From here on read by others.
	reporting sync.Mutex // held while a state is entered and reported
	idle      exchange.Stopwatch
	started   atomic.Pointer[time.Time] // nil before
	ended     atomic.Pointer[time.Time]
	mu        struct {
		sync.Mutex
		state  State
		times  [stateCount]time.Time
		health map[string]Health
	}
}

type taskInput struct {
	id      exchange.ChannelID
	toInput int
	in      *exchange.Input
}

type edgeOut struct {
	index  int
	edge   *graph.Edge
	stats  exchange.Stats
	writer *exchange.Writer
}

type prepared struct {
	node *node
	Committable
}

// New builds a task in state DEPLOYING; its inputs can be connected to from now on. Whoever does not Run it must Close it.
func New(cfg Config) (*Task, error) {
	if cfg.Vertex < 0 || cfg.Vertex >= len(cfg.Graph.Vertices) {
		return nil, fmt.Errorf("build task: vertex %d of %d", cfg.Vertex, len(cfg.Graph.Vertices))
	}
	t := &Task{
		cfg: cfg, vertex: cfg.Graph.Vertices[cfg.Vertex], gate: exchange.NewGate(),
		mail: make(chan func() error, mailMax), done: make(chan struct{}),
	}
	t.defaults()
	t.setState(Created, nil)
	t.setState(Deploying, nil)
	if err := t.build(); err != nil {
		f := t.failure(nil, err)
		t.setState(Failed, f)
		return nil, f
	}
	return t, nil
}

func (t *Task) defaults() {
	c := &t.cfg
	if c.Clock == nil {
		c.Clock = SystemClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Location == nil {
		c.Location = time.UTC
	}
	if c.LatencyInterval == 0 {
		c.LatencyInterval = DefaultLatencyInterval
	}
	switch {
	case c.BufferTimeout == 0:
		t.bufferTimeout = DefaultBufferTimeout
	case c.BufferTimeout > 0:
		t.bufferTimeout = c.BufferTimeout
	}
	t.clock = c.Clock
	t.log = c.Log.With("job_id", c.JobID, "task", t.Name())
	t.nextTimer = stream.MaxTime
	t.mu.health = map[string]Health{}
}

// SystemClock is the machine's clock.
type SystemClock struct{}

var _ op.Clock = SystemClock{}

// Now implements op.Clock.
func (SystemClock) Now() time.Time { return time.Now() }

// Name is "window(sensor) (2/4)", counting from 1 as people do.
func (t *Task) Name() string {
	return fmt.Sprintf("%s (%d/%d)", t.vertex.Name, t.cfg.Index+1, t.vertex.Parallelism)
}

// Input is an input channel of a task, to be connected to.
type Input struct {
	ID exchange.ChannelID
	In *exchange.Input
}

// Inputs lists the task's input channels.
func (t *Task) Inputs() []Input {
	out := make([]Input, len(t.inputs))
	for i, in := range t.inputs {
		out[i] = Input{ID: in.id, In: in.in}
	}
	return out
}

// Outputs lists the channels that Run will open.
func (t *Task) Outputs() []exchange.ChannelID {
	var out []exchange.ChannelID
	for _, e := range t.edges {
		out = append(out, t.channels(e)...)
	}
	return out
}

// channels lists the channels of an edge in the order of the target's tasks.
func (t *Task) channels(e *edgeOut) []exchange.ChannelID {
	if e.edge.Partition == graph.Forward {
		return []exchange.ChannelID{{Edge: e.index, From: t.cfg.Index, To: t.cfg.Index}}
	}
	out := make([]exchange.ChannelID, t.cfg.Graph.Vertices[e.edge.To].Parallelism)
	for to := range out {
		out[to] = exchange.ChannelID{Edge: e.index, From: t.cfg.Index, To: to}
	}
	return out
}

// Close lets go of a task that was never Run: whoever is connected to it fails.
func (t *Task) Close() { t.gate.Close() }

// post hands a command to the task's goroutine.
func (t *Task) post(ctx context.Context, f func() error) error {
	select {
	case t.mail <- f:
		return nil
	case <-t.done:
		return nil // it needs no commands any more
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
