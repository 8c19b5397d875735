package task

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/bramble-stream/bramble/engine/exchange"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/vec"
)

// LocalConfig is a job to run in this process, without a jobmanager. Fields are as in Config; Graph, Builders and, where there are
// sources, Splits are required.
type LocalConfig struct {
	JobID    string
	Graph    *graph.JobGraph
	Builders Builders
	// Splits lists what a source reads.
	Splits          func(ctx context.Context, n *graph.Node, parallelism int) ([]op.Split, error)
	Clock           op.Clock
	Log             *slog.Logger
	Location        *time.Location
	Rand            io.Reader
	MemoryBytes     int64
	OpenState       func(info op.TaskInfo, merge state.MergeFunc) (state.Store, error)
	OpenStateOn     func(info op.TaskInfo, merge state.MergeFunc, dir string) (state.Store, error)
	BufferTimeout   time.Duration
	LatencyInterval time.Duration
	// Checkpoint says when checkpoints are taken; nil: never, unless Checkpointing says that the caller sees to it, with OnStart and OnSnapshot.
	Checkpoint    *LocalCheckpoint
	Checkpointing bool
	// RestoreFrom is a checkpoint of the same job, or of one that shares operators with it, to go on from.
	RestoreFrom *LocalSnapshot
	// The callbacks get the task that they are about. They may be called on several goroutines at once.
	OnState    func(t *Task, c StateChange)
	OnHealth   func(t *Task, h Health)
	OnSnapshot func(t *Task, s Snapshot)
	// OnEndOfInput is only called without Checkpoint.
	OnEndOfInput func(t *Task)
	// OnStart is called with all tasks before they run.
	OnStart func(tasks []*Task)
}

// RunLocal runs a job on channels and waits for its end. It returns nil when all tasks have finished, the root cause, a *Failure, when one
// has failed, and the context's cause when ctx has ended.
func RunLocal(ctx context.Context, c LocalConfig) error {
	l := &local{cfg: c, inputs: map[exchange.ChannelID]*exchange.Input{}}
	if l.cfg.Clock == nil {
		l.cfg.Clock = SystemClock{}
	}
	if c.Checkpoint != nil {
		l.coordinator = newLocalCoordinator(c)
	}
	if err := l.build(ctx); err != nil {
		return err
	}
	if c.OnStart != nil {
		c.OnStart(l.tasks)
	}
	return l.run(ctx)
}

type local struct {
	cfg    LocalConfig
	tasks  []*Task
	inputs map[exchange.ChannelID]*exchange.Input
	// coordinator is nil without checkpoints.
	coordinator *localCoordinator
}

func (l *local) build(ctx context.Context) error {
	for i, v := range l.cfg.Graph.Vertices {
		var listed []op.Split
		for index := range v.Parallelism {
			restore, mine, known, err := l.restoreOf(v, index)
			if err != nil {
				return err
			}
			if !known {
				if index == 0 {
					if listed, err = l.splits(ctx, v); err != nil {
						return err
					}
				}
				for s := index; s < len(listed); s += v.Parallelism {
					mine = append(mine, listed[s])
				}
			}
			t, err := l.newTask(i, index, mine, restore)
			if err != nil {
				return err
			}
			l.tasks = append(l.tasks, t)
			for _, in := range t.Inputs() {
				l.inputs[in.ID] = in.In
			}
		}
	}
	return nil
}

func (l *local) splits(ctx context.Context, v *graph.Vertex) ([]op.Split, error) {
	if len(v.Ops) == 0 || v.Ops[0].Kind != graph.KindSource || l.cfg.Splits == nil {
		return nil, nil
	}
	s, err := l.cfg.Splits(ctx, v.Ops[0], v.Parallelism)
	if err != nil {
		return nil, fmt.Errorf("list the splits of %q: %w", v.Ops[0].Name, err)
	}
	return s, nil
}

func (l *local) newTask(vertex, index int, splits []op.Split, restore *Restore) (*Task, error) {
	c := l.cfg
	var t *Task
	cfg := Config{
		JobID: c.JobID, Graph: c.Graph, Vertex: vertex, Index: index, TaskManager: "local", Builders: c.Builders, Splits: splits,
		Clock: c.Clock, Log: c.Log, Location: c.Location, Rand: c.Rand, MemoryBytes: c.MemoryBytes, OpenState: c.OpenState,
		OpenStateOn: c.OpenStateOn, Restore: restore, Attempt: l.attempt(),
		Checkpointing: c.Checkpointing || c.Checkpoint != nil, BufferTimeout: c.BufferTimeout, LatencyInterval: c.LatencyInterval,
		Connect: l.connect,
	}
	if c.OnState != nil {
		cfg.OnState = func(s StateChange) {
			if t != nil { // not before New has returned
				c.OnState(t, s)
			}
		}
	}
	if c.OnHealth != nil {
		cfg.OnHealth = func(h Health) { c.OnHealth(t, h) }
	}
	switch {
	case l.coordinator != nil:
		l.coordinator.watch(&cfg, func() *Task { return t })
	default:
		if c.OnSnapshot != nil {
			cfg.OnSnapshot = func(s Snapshot) { c.OnSnapshot(t, s) }
		}
		if c.OnEndOfInput != nil {
			cfg.OnEndOfInput = func() { c.OnEndOfInput(t) }
		}
	}
	t, err := New(cfg)
	return t, err
}

func (l *local) connect(ctx context.Context, id exchange.ChannelID, _ *vec.Schema, blocked *exchange.Stopwatch) (exchange.Channel, error) {
	in := l.inputs[id]
	if in == nil {
		return nil, fmt.Errorf("no task has an input for %s", id)
	}
	return exchange.NewLocal(ctx, in, blocked, l.cfg.Clock.Now), nil
}

// run runs all tasks; the first one that fails by itself ends the others.
func (l *local) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if l.coordinator != nil {
		defer l.coordinator.start(ctx, cancel, l.tasks)()
	}
	errs := make([]error, len(l.tasks))
	var wg sync.WaitGroup
	for i, t := range l.tasks {
		wg.Go(func() {
			if errs[i] = t.Run(ctx); errs[i] != nil {
				cancel(errs[i])
			}
		})
	}
	wg.Wait()
	var first error
	for _, err := range errs {
		f, failed := err.(*Failure) //nolint:errorlint // Run returns it as it is
		if failed && !f.Secondary {
			return f
		}
		if first == nil {
			first = err
		}
	}
	return first
}
