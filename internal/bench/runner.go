package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bramble-stream/bramble/engine/client"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/internal/app"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// ClusterSize is what a runner's cluster has.
type ClusterSize struct {
	TaskManagers int
	// Slots is for each taskmanager, MemoryBytes for all together.
	Slots       int
	MemoryBytes int64
	// Dir has the state and the checkpoints.
	Dir string
}

// Runner is a cluster in this process that runs phases, one at a time.
type Runner struct {
	size    ClusterSize
	current atomic.Pointer[probe]
	cl      *client.Client
	stop    context.CancelFunc
	group   *errgroup.Group
}

// StartRunner starts a cluster, with further connectors beside the built-in ones. Close ends it.
func StartRunner(ctx context.Context, size ClusterSize, more ...*op.Connector) (*Runner, error) {
	r := &Runner{size: size}
	cluster, err := app.NewCluster(app.ClusterConfig{
		TaskManagers: size.TaskManagers, Slots: size.Slots, MemoryBytes: size.MemoryBytes, HTTPPort: serve.Off, MetricsPort: serve.Off,
		DataDir: size.Dir + "/state", CheckpointDir: "file://" + size.Dir + "/checkpoints", Connectors: connectors(&r.current, more), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	if r.cl, err = client.New(cluster.JobManager.Address()); err != nil {
		return nil, err
	}
	ctx, r.stop = context.WithCancel(ctx)
	r.group, ctx = errgroup.WithContext(ctx)
	r.group.Go(func() error { return cluster.Run(ctx) })
	return r, nil
}

// Close ends the cluster.
func (r *Runner) Close() error {
	r.stop()
	return errors.Join(r.cl.Close(), r.group.Wait())
}

// Mark says that all that is to be measured has been read: what comes after, such as what closes the last windows, is in the sums only. It is
// for phases without an end.
func (r *Runner) Mark() {
	p := r.current.Load()
	if p == nil {
		return
	}
	p.mu.Lock()
	p.mu.end = allocated()
	p.mu.Unlock()
	m := p.result()
	p.mu.Lock()
	p.mu.marked = m
	p.mu.Unlock()
}

// Run runs a phase until its sources end or stop is closed. connected, if not nil, is called when the first source has reached its
// server; progress is told from time to time how many events were read. ErrRefused means that the planner does not take the script.
func (r *Runner) Run(ctx context.Context, ph *Phase, stop <-chan struct{}, connected func(), progress func(events int64)) (*Measured, error) {
	p := newProbe(ph)
	r.current.Store(p)
	debug.FreeOSMemory() // so that the peak is this phase's
	resetPeak()
	profile, err := startProfile(ph.Profile)
	if err != nil {
		return nil, err
	}
	defer profile.stop()
	script := client.Script{File: ph.File, Text: ph.Script, Parallelism: ph.Parallelism, Config: map[string]string{
		"execution.checkpointing.interval": fmt.Sprintf("%d ms", ph.Checkpoint.Milliseconds()),
	}}
	submitted := time.Now()
	var ids []string
	for _, text := range append([]string{ph.Script}, ph.More...) {
		script.Text = text
		id, _, err := r.cl.Submit(ctx, script, "")
		if errors.Is(err, client.ErrInvalid) {
			return nil, &RefusedError{err.Error()}
		}
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	if err := r.follow(ctx, p, ids, stop, connected, progress); err != nil {
		return nil, err
	}
	m := p.result()
	p.mu.Lock()
	if k := p.mu.marked; k != nil {
		m.Events, m.Elapsed, m.CPU, m.PeakBytes = k.Events, k.Elapsed, k.CPU, k.PeakBytes
		m.AllocsPerEvent, m.AllocBytesPerEvent = k.AllocsPerEvent, k.AllocBytesPerEvent
	}
	p.mu.Unlock()
	if out := p.firstOut.Load(); out != 0 {
		m.Startup = time.Unix(0, out).Sub(submitted)
	}
	err = r.details(ctx, ids[0], m)
	if len(ids) > 1 && errors.Is(err, client.ErrNotFound) {
		err = nil // of so many jobs that have ended, the jobmanager has forgotten the first
	}
	return m, err
}

// RefusedError says that the planner does not take a script, and why.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

const lookEvery = 100 * time.Millisecond

// follow waits for the end of the first job, and ends all when they are to stop.
func (r *Runner) follow(ctx context.Context, p *probe, ids []string, stop <-chan struct{}, connected func(), progress func(int64)) error {
	ended := make(chan error, 1)
	var last *pb.WatchJobResponse
	go func() {
		ended <- r.cl.Watch(ctx, ids[0], func(u *pb.WatchJobResponse) bool {
			last = u
			return true
		})
	}()
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	reached := p.connected
	for {
		select {
		case err := <-ended:
			if err != nil {
				return err
			}
			return outcome(last)
		case <-reached:
			reached = nil
			if connected != nil {
				connected()
			}
		case <-t.C:
			if progress != nil {
				progress(p.sourceRows.Load())
			}
		case <-stop:
			stop = nil
			for _, id := range ids {
				if _, _, err := r.cl.Cancel(ctx, id); err != nil && !errors.Is(err, client.ErrState) {
					return err
				}
			}
		}
	}
}

func outcome(last *pb.WatchJobResponse) error {
	if last == nil {
		return errors.New("nothing was heard of the job")
	}
	if last.Summary.State == pb.JobState_JOB_STATE_FAILED {
		if last.RootCause != nil {
			return fmt.Errorf("the job failed: %s", last.RootCause.Message)
		}
		return errors.New("the job failed")
	}
	return nil
}

// details adds what the jobmanager knows.
func (r *Runner) details(ctx context.Context, id string, m *Measured) error {
	d, err := r.cl.Job(ctx, id)
	if err != nil {
		return err
	}
	for _, v := range d.Vertices {
		if v.Totals != nil {
			m.Late, m.Bad = m.Late+v.Totals.LateRecords, m.Bad+v.Totals.BadRecords
		}
	}
	if m.Restarts = d.Summary.GetRestarts(); m.Restarts > 0 && len(d.Exceptions) > 0 {
		m.Cause = d.Exceptions[0].Message
	}
	if d.Checkpoints == nil {
		return nil
	}
	m.Checkpoints, m.Failed = d.Checkpoints.Completed, d.Checkpoints.Failed
	n := int64(0)
	for _, c := range d.Checkpoints.History {
		if c.Status == "COMPLETED" && c.EndedAtMs > 0 {
			m.CheckpointTime += time.Duration(c.EndedAtMs-c.TriggeredAtMs) * time.Millisecond
			m.CheckpointBytes += c.NewBytes
			n++
		}
	}
	if n > 0 {
		m.CheckpointTime /= time.Duration(n)
	}
	return nil
}

// profiles are being written.
type profiles struct {
	cpu  *os.File
	base string
}

func startProfile(base string) (*profiles, error) {
	p := &profiles{base: base}
	if base == "" {
		return p, nil
	}
	f, err := os.Create(base + ".cpu.pprof")
	if err != nil {
		return nil, fmt.Errorf("--profile: %w", err)
	}
	p.cpu = f
	return p, pprof.StartCPUProfile(f)
}

func (p *profiles) stop() {
	if p.cpu == nil {
		return
	}
	pprof.StopCPUProfile()
	_ = p.cpu.Close() // a profile that is cut short says so when it is read
	f, err := os.Create(p.base + ".heap.pprof")
	if err != nil {
		return
	}
	defer f.Close() //nolint:errcheck // the same
	runtime.GC()
	_ = pprof.Lookup("allocs").WriteTo(f, 0)
}
