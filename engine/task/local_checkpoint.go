package task

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// LocalCheckpoint says when RunLocal takes checkpoints, one at a time, and where their files go.
type LocalCheckpoint struct {
	// Interval is the time between the beginnings of two; 0 takes none by the clock.
	Interval time.Duration
	// EveryBatches takes one after so many batches of all sources together: where there is one split, always at the same row. 0: none.
	EveryBatches int
	// StopAfter ends the job with its n-th checkpoint, as a savepoint; 0 never.
	StopAfter int
	// Drain has event time end before that savepoint.
	Drain bool
	// Dir takes the files of keyed state. They stay; what RunLocal restores are copies, made there.
	Dir string
	// OnComplete gets each complete checkpoint before any task is told of it. Its error ends the job, as a crash at that moment would.
	OnComplete func(*LocalSnapshot) error
}

// LocalSnapshot is a complete checkpoint of RunLocal.
type LocalSnapshot struct {
	Epoch stream.Epoch
	// Attempt distinguishes the runs of a job that follow one another, by restoring.
	Attempt int
	Dir     string
	Tasks   []FormerTask
}

// attempt numbers this run.
func (l *local) attempt() int {
	if l.cfg.RestoreFrom == nil {
		return 0
	}
	return l.cfg.RestoreFrom.Attempt + 1
}

// restoreOf is what a task goes on from, with copies of the state files, as they are used up.
func (l *local) restoreOf(v *graph.Vertex, index int) (r *Restore, splits []op.Split, known bool, err error) {
	from := l.cfg.RestoreFrom
	if from == nil || len(v.Ops) == 0 {
		return nil, nil, false, nil
	}
	groups := l.cfg.Graph.MaxParallelism
	if groups <= 0 {
		groups = stream.DefaultMaxParallelism
	}
	r, splits, known = restoreFor(v, index, groups, from.Epoch, from.Tasks)
	for _, o := range r.Operators {
		for i := range o.Stores {
			dir, err := os.MkdirTemp(from.Dir, "restore-")
			if err == nil {
				err = os.CopyFS(dir, os.DirFS(o.Stores[i].Dir))
			}
			if err != nil {
				return nil, nil, false, fmt.Errorf("copy state: %w", err)
			}
			o.Stores[i].Dir = dir
		}
	}
	return r, splits, known, nil
}

// localCoordinator takes the checkpoints of a job in this process. Its goroutine saves snapshots and completes checkpoints; a checkpoint may be
// begun on any.
type localCoordinator struct {
	cfg     LocalCheckpoint
	attempt int
	ctx     context.Context
	fail    context.CancelCauseFunc
	tasks   []*Task
	wake    chan struct{}

	inbox struct {
		sync.Mutex
		snapshots []localPart
		ended     int
		closed    bool
	}
	mu struct {
		sync.Mutex
		batches, taken int
		last           stream.Epoch
		// pending is the epoch being taken, 0 for none; want, unless nil, says that another one is to follow.
		pending stream.Epoch
		want    chan struct{} // closed when it begins
		parts   map[*Task]FormerTask
		// finished has the last snapshots of tasks that were told to finish.
		finished map[*Task]FormerTask
	}
}

type localPart struct {
	task *Task
	Snapshot
}

func newLocalCoordinator(c LocalConfig) *localCoordinator {
	l := &localCoordinator{cfg: *c.Checkpoint, wake: make(chan struct{}, 1)}
	l.mu.parts, l.mu.finished = map[*Task]FormerTask{}, map[*Task]FormerTask{}
	if c.RestoreFrom != nil {
		l.mu.last, l.attempt = c.RestoreFrom.Epoch, c.RestoreFrom.Attempt+1
	}
	return l
}

// watch lets the coordinator hear what the task says.
func (l *localCoordinator) watch(cfg *Config, task func() *Task) {
	cfg.OnSnapshot = func(s Snapshot) {
		l.inbox.Lock()
		defer l.inbox.Unlock()
		if l.inbox.closed {
			s.Close() //nolint:errcheck // the job is over
			return
		}
		l.inbox.snapshots = append(l.inbox.snapshots, localPart{task(), s})
		l.ring()
	}
	cfg.OnEndOfInput = func() {
		l.inbox.Lock()
		defer l.inbox.Unlock()
		l.inbox.ended++
		l.ring()
	}
	if l.cfg.EveryBatches > 0 {
		cfg.Builders = maps.Clone(cfg.Builders)
		for kind, build := range cfg.Builders {
			cfg.Builders[kind] = func(n *graph.Node, ins []*vec.Schema) (Built, error) {
				b, err := build(n, ins)
				if b.Source != nil {
					b.Source = &countedSource{b.Source, l}
				}
				return b, err
			}
		}
	}
}

func (l *localCoordinator) ring() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// countedSource counts batches.
type countedSource struct {
	op.Source
	to *localCoordinator
}

// Poll begins a checkpoint on the task's own goroutine, so that it comes right after the batch. When the one before is still on its way,
// sources pause until it is complete.
func (s *countedSource) Poll(ctx context.Context, b *vec.Batch, wait time.Duration) (op.Polled, error) {
	if begun := s.to.awaited(); begun != nil {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-begun:
		case <-timer.C:
		case <-ctx.Done():
			return op.Polled{}, context.Cause(ctx)
		}
		return op.Polled{Status: op.Idle}, nil
	}
	p, err := s.Source.Poll(ctx, b, wait)
	if err == nil && b.Rows() > 0 {
		s.to.batch()
	}
	return p, err
}

// awaited is closed when the checkpoint that sources wait for begins; nil when there is none.
func (l *localCoordinator) awaited() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.want
}

func (l *localCoordinator) batch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.batches++; l.mu.batches%l.cfg.EveryBatches == 0 {
		l.beginLocked()
	}
}

// start runs the coordinator until the function that it returns is called, when all tasks have ended.
func (l *localCoordinator) start(ctx context.Context, fail context.CancelCauseFunc, tasks []*Task) (end func()) {
	l.ctx, l.fail, l.tasks = ctx, fail, tasks
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.run(ctx); err != nil {
			fail(err)
		}
	})
	return func() {
		stop()
		wg.Wait()
		l.inbox.Lock()
		defer l.inbox.Unlock()
		l.inbox.closed = true
		for _, p := range l.inbox.snapshots {
			p.Close() //nolint:errcheck // the job is over
		}
	}
}

func (l *localCoordinator) run(ctx context.Context) error {
	var tick <-chan time.Time
	if l.cfg.Interval > 0 {
		t := time.NewTicker(l.cfg.Interval)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
			l.mu.Lock()
			l.beginLocked()
			l.mu.Unlock()
		case <-l.wake:
			if err := l.hear(); err != nil {
				return err
			}
		}
	}
}

// hear works off the inbox.
func (l *localCoordinator) hear() error {
	for {
		l.inbox.Lock()
		parts, ended := l.inbox.snapshots, l.inbox.ended
		l.inbox.snapshots = nil
		l.inbox.Unlock()
		for _, p := range parts {
			if err := l.take(p); err != nil {
				return err
			}
		}
		if len(parts) > 0 {
			continue
		}
		// All wait for the last checkpoint: none of them needs to wait for the clock.
		l.mu.Lock()
		if ended == len(l.tasks) && l.mu.pending == 0 && len(l.mu.finished) < len(l.tasks) {
			l.beginLocked()
		}
		l.mu.Unlock()
		return nil
	}
}

// beginLocked begins a checkpoint, or has one begun when the present one is complete.
func (l *localCoordinator) beginLocked() {
	if l.mu.pending != 0 {
		if l.mu.want == nil {
			l.mu.want = make(chan struct{})
		}
		return
	}
	if l.mu.want != nil {
		defer close(l.mu.want)
		l.mu.want = nil
	}
	l.mu.last++
	l.mu.taken++
	l.mu.pending = l.mu.last
	stop := l.mu.taken == l.cfg.StopAfter
	clear(l.mu.parts)
	maps.Copy(l.mu.parts, l.mu.finished)
	for _, t := range l.tasks {
		// An error is the context's: the job is over.
		_ = t.Trigger(l.ctx, stream.Barrier{Epoch: l.mu.last, Savepoint: stop, Stop: stop, Drain: stop && l.cfg.Drain})
	}
}

// take saves a task's snapshot, and completes the checkpoint if it was the last.
func (l *localCoordinator) take(p localPart) error {
	saved, err := l.save(p)
	if err = errors.Join(err, p.Close()); err != nil {
		return fmt.Errorf("save epoch %d of %s: %w", p.Epoch, p.task.Name(), err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.Epoch != l.mu.pending {
		return nil
	}
	l.mu.parts[p.task] = saved
	if len(l.mu.parts) < len(l.tasks) {
		return nil
	}
	done := &LocalSnapshot{Epoch: p.Epoch, Attempt: l.attempt, Dir: l.cfg.Dir}
	for _, t := range l.tasks {
		f := l.mu.parts[t]
		done.Tasks = append(done.Tasks, f)
		if f.Snapshot.Final {
			l.mu.finished[t] = f
		}
	}
	l.mu.pending = 0
	if l.cfg.OnComplete != nil {
		if err := l.cfg.OnComplete(done); err != nil {
			return err
		}
	}
	for _, t := range l.tasks {
		_ = t.Commit(l.ctx, p.Epoch) // as above
	}
	if l.mu.want != nil {
		l.beginLocked()
	}
	return nil
}

// save reads the files of a snapshot out.
func (l *localCoordinator) save(p localPart) (FormerTask, error) {
	f := FormerTask{Index: p.task.cfg.Index, Parallelism: p.task.vertex.Parallelism, Snapshot: p.Snapshot, Dirs: map[string]string{}}
	f.Snapshot.Stores = nil
	for id, st := range p.Stores {
		dir := filepath.Join(l.cfg.Dir, fmt.Sprintf("%d-%d", l.attempt, p.Epoch), id+"-"+strconv.Itoa(f.Index))
		f.Dirs[id] = dir
		if err := saveFiles(st, dir); err != nil {
			return f, err
		}
	}
	return f, nil
}

func saveFiles(st state.Snapshot, dir string) error {
	// An attempt that was cut short may have left some there.
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	for _, file := range st.Files() {
		if err := saveFile(st, file.Name, filepath.Join(dir, file.Name)); err != nil {
			return err
		}
	}
	return nil
}

func saveFile(st state.Snapshot, name, path string) (err error) {
	r, err := st.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	w, err := os.Create(path) //nolint:gosec // a name that the store made
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}
