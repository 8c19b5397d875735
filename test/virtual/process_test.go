//go:build integration

// Package virtual runs whole processes, jobmanagers and taskmanagers as they are, over a network and a checkpoint storage in memory, in a bubble of
// testing/synctest: hours pass in seconds, what waits is waited for exactly as long as it should be, and no goroutine outlives its process. What a seed says
// happens to them; what the job writes is compared with a model. internal/sim does the same with the pure parts alone, and exactly the same every
// time; here the scheduler has its say.
package virtual

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/jobmanager"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/engine/task"
	"github.com/bramble-stream/bramble/engine/taskmanager"
	"github.com/bramble-stream/bramble/internal/app"
	"github.com/bramble-stream/bramble/internal/memnet"
	"github.com/bramble-stream/bramble/sql/plan"
)

// process is one run of a jobmanager or a taskmanager, from its start to its end.
type process struct {
	host *memnet.Host
	// dead: nothing that it does has an effect any more.
	dead   atomic.Bool
	cancel context.CancelFunc
	// done is closed when Run has returned err.
	done chan struct{}
	err  error
	// dir is a taskmanager's data directory.
	dir string
}

// reach says whether the process reaches what is outside.
func (p *process) reach(ctx context.Context) error {
	if p.dead.Load() {
		return errGone
	}
	return ctx.Err()
}

func (p *process) network() *serve.Network {
	return &serve.Network{
		ListenOn: func(host string, port int) (net.Listener, error) {
			if p.dead.Load() {
				return nil, errGone
			}
			return p.host.Listen(host, port)
		},
		DialTo: func(ctx context.Context, address string) (net.Conn, error) {
			if p.dead.Load() {
				return nil, errGone
			}
			c, err := p.host.Dial(ctx, address)
			if err == nil && p.dead.Load() {
				err = errors.Join(errGone, c.Close())
			}
			if err != nil {
				return nil, err
			}
			return c, nil
		},
	}
}

// kill ends a process as kill -9 does, or as a power cut does when dark: from here on it has no effect, whatever it tries. What its data directory holds is
// copied to keep, unless that is "". It does not wait for the end.
func (p *process) kill(dark bool, keep string) {
	p.dead.Store(true)
	if dark {
		p.host.Unplug()
	} else {
		p.host.Kill()
	}
	if keep != "" {
		// What vanishes during the copy is not in it.
		_ = os.CopyFS(keep, os.DirFS(p.dir))
	}
	p.cancel()
}

// stop ends it in order.
func (p *process) stop() error {
	p.cancel()
	<-p.done
	return p.err
}

// storage is a process's way to the checkpoint storage.
type storage struct {
	*blob.Faulty
	p *process
	// hangs returns what is closed when the storage answers again, nil while it does.
	hangs func() <-chan struct{}
}

func (s *storage) enter(ctx context.Context) error {
	if err := s.p.reach(ctx); err != nil {
		return errors.Join(err, blob.ErrCrashed)
	}
	if ch := s.hangs(); ch != nil {
		select {
		case <-ch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *storage) Put(ctx context.Context, name string, c blob.Content) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	return s.Faulty.Put(ctx, name, c)
}

func (s *storage) CreateExclusive(ctx context.Context, name string, content []byte) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	return s.Faulty.CreateExclusive(ctx, name, content)
}

func (s *storage) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	return s.Faulty.Open(ctx, name, offset, length)
}

func (s *storage) List(ctx context.Context, prefix string) ([]blob.Info, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	return s.Faulty.List(ctx, prefix)
}

func (s *storage) Delete(ctx context.Context, name string) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	return s.Faulty.Delete(ctx, name)
}

// disk is what all share, behind the ways to it: it lets nothing pass of a process that died on the way.
type disk struct {
	blob.Store
	p *process
}

func (d disk) Put(ctx context.Context, name string, c blob.Content) error {
	if err := d.p.reach(ctx); err != nil {
		return err
	}
	return d.Store.Put(ctx, name, c)
}

func (d disk) CreateExclusive(ctx context.Context, name string, content []byte) error {
	if err := d.p.reach(ctx); err != nil {
		return err
	}
	return d.Store.CreateExclusive(ctx, name, content)
}

func (d disk) Delete(ctx context.Context, name string) error {
	if err := d.p.reach(ctx); err != nil {
		return err
	}
	return d.Store.Delete(ctx, name)
}

// random is a reader of random bytes from a seed. It is safe for concurrent use.
type random struct {
	mu  sync.Mutex
	rng *rand.ChaCha8
}

func newRandom(seed uint64) *random {
	var key [32]byte
	for i := range key {
		key[i] = byte(seed >> (i % 8 * 8))
	}
	return &random{rng: rand.NewChaCha8(key)}
}

func (r *random) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rng.Read(p)
}

// process makes one on a host, which is to be run with run.
func (w *world) process(ip string) (*process, slog.Handler, blob.Openers) {
	p := &process{host: w.net.Host(ip), done: make(chan struct{})}
	p.host.PlugIn()
	log := slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}).WithAttrs([]slog.Attr{slog.String("at", ip)})
	s := &storage{p: p, hangs: func() <-chan struct{} { return w.hanging(ip) }, Faulty: blob.NewFaulty(disk{w.store(), p}, blob.Faults{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Set(w.mu.faults)
	w.mu.storages = append(w.mu.storages, s)
	return p, log, blob.Openers{"sim": func(_ context.Context, u *url.URL, _ blob.Options) (blob.Store, error) {
		if dir := strings.Trim(u.Path, "/"); dir != "" {
			return blob.Sub(s, dir)
		}
		return s, nil
	}}
}

func (p *process) run(f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() {
		defer close(p.done)
		defer cancel()
		p.err = f(ctx)
	}()
}

const (
	rpcPort  = 6123
	dataPort = 6124
	storeURI = "sim://storage"
)

// jobManager starts one.
func (w *world) jobManager(ip string) (*process, error) {
	p, log, openers := w.process(ip)
	cfg := jobmanager.Config{
		BindHost: ip, RPCPort: rpcPort, HTTPPort: serve.Off, MetricsPort: serve.Off, Network: p.network(), Plan: planner(w.outside.connectors(p)),
		Connectors: w.outside.connectors(p), Version: "virtual", Log: slog.New(log), Clock: task.SystemClock{}, Rand: w.rand,
		CheckpointDir: storeURI, Storage: openers,
	}
	if w.tune != nil {
		w.tune(&cfg)
	}
	jm, err := jobmanager.New(cfg)
	if err != nil {
		return nil, err
	}
	p.run(jm.Run)
	return p, nil
}

// taskManager starts one in a data directory, "" for a new one.
func (w *world) taskManager(ip, from string) (*process, error) {
	p, log, openers := w.process(ip)
	p.dir = cmp.Or(from, w.newDir())
	connectors := w.outside.connectors(p)
	tm, err := taskmanager.New(taskmanager.Config{
		JobManager: w.jobManagers, BindHost: ip, DataPort: dataPort, MetricsPort: serve.Off, Network: p.network(), AdvertiseHost: ip, Slots: w.slots,
		MemoryBytes: w.memoryBytes, DataDir: p.dir, Builders: app.Builders(connectors), OpenState: w.openState, Storage: openers, Version: "virtual",
		Log: slog.New(log), Clock: task.SystemClock{}, Rand: w.rand,
	})
	if err != nil {
		return nil, err
	}
	p.run(tm.Run)
	return p, nil
}

func planner(connectors map[string]*op.Connector) jobmanager.Planner {
	return func(req jobmanager.PlanRequest) (*jobmanager.Planned, error) {
		r, err := plan.Plan(req.Script, plan.Options{
			File: req.File, Config: req.Config, Parallelism: req.Parallelism, Name: req.Name, Connectors: connectors,
		})
		if err != nil {
			return nil, err
		}
		return &jobmanager.Planned{Graph: r.Graph, Logical: r.Logical, Physical: r.Physical, Warnings: r.Warnings}, nil
	}
}
