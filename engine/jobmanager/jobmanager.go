// Package jobmanager accepts jobs, places their tasks on taskmanagers, and watches over both. It runs no tasks and knows no SQL:
// the planner is given to it.
//
// One goroutine, the loop, owns all state (type cluster). RPC handlers, pages and timers post functions to it. What happens to
// a job is decided by engine/job and engine/schedule; the loop does what they say.
package jobmanager

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint/ckptstore"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/job"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/serve"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// PlanRequest is a script to plan.
type PlanRequest struct {
	// File is the script's name, for error messages. Name is the job's, "" for what the script says.
	File, Script, Name string
	// Config overrides what the script SETs. Parallelism is the default one, 0 for what Config and the script say.
	Config      map[string]string
	Parallelism int
}

// Planned is a job ready to run.
type Planned struct {
	Graph *graph.JobGraph
	// Logical and Physical are plans for people, without secrets.
	Logical, Physical string
	Warnings          []string
}

// Planner turns a script into a job. Its errors are shown to the user as they are. It is called on any goroutine.
type Planner func(PlanRequest) (*Planned, error)

// Config is what a jobmanager needs. The fields without a stated default are required.
type Config struct {
	// BindHost is where to listen, "" for everywhere. Port 0 picks a free one; HTTPPort and MetricsPort may be serve.Off.
	BindHost                       string
	RPCPort, HTTPPort, MetricsPort int
	Plan                           Planner
	// Connectors are asked what there is to read.
	Connectors map[string]*op.Connector
	Version    string
	// LeaderEpoch identifies this run; 0 takes the time.
	LeaderEpoch int64
	Log         *slog.Logger
	Clock       op.Clock
	// Rand makes job IDs.
	Rand io.Reader
	// HeartbeatInterval is how often each side shows that it lives (1 s), HeartbeatTimeout after how long a silence it is lost (3 s).
	HeartbeatInterval, HeartbeatTimeout time.Duration
	// MetricsInterval is how often taskmanagers report counters (1 s).
	MetricsInterval time.Duration
	// Limits of a job's phases (job.DefaultLimits).
	Limits job.Limits
	// HistoryMax is how many ended jobs are remembered (100).
	HistoryMax int
	// CheckpointDir is where checkpoints go, as a URI; "" takes none, and a job that loses a task fails. Storage opens further kinds of
	// locations beside directories.
	CheckpointDir string
	Storage       blob.Openers
	// FlinkNames adds Flink's metric names.
	FlinkNames bool
	HTTP       HTTP
}

const (
	// jobsMax bounds the jobs that have not ended.
	jobsMax = 1000
	// prepareMax is how long listing what there is to read may take.
	prepareMax = time.Minute
	// ticksPerTimeout is how often silence is looked for within the time after which it counts.
	ticksPerTimeout = 12
	// callsQueued is how many posts to the loop may wait; more block their senders.
	callsQueued = 64
)

var errStopped = errors.New("the jobmanager is stopping")

func (c *Config) setDefaults() {
	setDefault(&c.HeartbeatInterval, time.Second)
	setDefault(&c.HeartbeatTimeout, 3*time.Second)
	setDefault(&c.MetricsInterval, time.Second)
	setDefault(&c.HistoryMax, 100)
	setDefault(&c.Limits, job.DefaultLimits)
	setDefault(&c.Log, slog.New(slog.DiscardHandler))
}

func setDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

// JobManager is a jobmanager that listens. Run makes it work.
type JobManager struct {
	cfg                Config
	rpc, http, metrics net.Listener
	calls              chan func(*cluster)
	// stopped is closed when the loop has ended.
	stopped chan struct{}
	// work counts the goroutines that outlive the call that started them: prepares and stream readers.
	work sync.WaitGroup
	// storage and leader are nil without checkpoints; leader is set by Run. fenced receives when another one leads.
	storage blob.Store
	leader  *ckptstore.Leader
	fenced  chan struct{}
	// plans bounds what is planned for pages.
	plans chan struct{}
	// secure is nil without TLS, token "" without one.
	secure *tls.Config
	token  string
	ready  atomic.Bool
}

// New opens the listeners.
func New(cfg Config) (*JobManager, error) {
	cfg.setDefaults()
	jm := &JobManager{cfg: cfg, calls: make(chan func(*cluster), callsQueued), stopped: make(chan struct{}), fenced: make(chan struct{}, 1)}
	jm.plans = make(chan struct{}, plansMax)
	if err := jm.openStorage(); err != nil {
		return nil, err
	}
	if err := jm.prepareHTTP(); err != nil {
		return nil, err
	}
	for _, l := range []struct {
		to   *net.Listener
		host string
		port int
		what string
	}{
		{&jm.rpc, cfg.BindHost, cfg.RPCPort, "rpc"}, {&jm.http, cmp.Or(cfg.HTTP.BindHost, cfg.BindHost), cfg.HTTPPort, "http"},
		{&jm.metrics, cfg.BindHost, cfg.MetricsPort, "metrics"},
	} {
		if l.port == serve.Off {
			continue
		}
		listener, err := serve.Listen(l.host, l.port)
		if err != nil {
			jm.closeListeners()
			return nil, fmt.Errorf("%s: %w (choose another with --%s-port)", l.what, err, l.what)
		}
		*l.to = listener
	}
	return jm, nil
}

func (jm *JobManager) closeListeners() {
	for _, l := range []net.Listener{jm.rpc, jm.http, jm.metrics} {
		if l != nil {
			l.Close() //nolint:errcheck // it was never used
		}
	}
}

// RPCPort, HTTPPort and MetricsPort are where the jobmanager listens, 0 for not at all.
func (jm *JobManager) RPCPort() int { return serve.Port(jm.rpc) }

// HTTPPort is where the dashboard is, 0 for nowhere.
func (jm *JobManager) HTTPPort() int { return portOf(jm.http) }

// MetricsPort is where the metrics are, 0 for nowhere.
func (jm *JobManager) MetricsPort() int { return portOf(jm.metrics) }

func portOf(l net.Listener) int {
	if l == nil {
		return 0
	}
	return serve.Port(l)
}

// leadershipEvery is how often a jobmanager that has nothing to write looks whether it still leads: one listing of a directory.
const leadershipEvery = 2 * time.Second

// watchLeadership ends the jobmanager when another one has taken over, also when it has no checkpoint to complete that would tell it.
func (jm *JobManager) watchLeadership(ctx context.Context) error {
	t := time.NewTicker(leadershipEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
		if err := jm.leader.Check(ctx); errors.Is(err, ckptstore.ErrFenced) {
			jm.abdicate()
			return nil
		}
	}
}

// Address is HOST:PORT of the RPC server, for clients on this machine.
func (jm *JobManager) Address() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(jm.RPCPort()))
}

// Run serves until ctx ends; that is not an error. It may be called once.
func (jm *JobManager) Run(ctx context.Context) error {
	if err := jm.lead(ctx); err != nil {
		jm.closeListeners()
		return err
	}
	c := newCluster(jm)
	if err := jm.recoverJobs(ctx, c); err != nil {
		c.close()
		jm.closeListeners()
		close(jm.stopped)
		jm.work.Wait()
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	server := grpc.NewServer(serve.ServerOptions()...)
	pb.RegisterJobServiceServer(server, &jobService{jm: jm})
	pb.RegisterTaskManagerServiceServer(server, &sessions{jm: jm, ctx: ctx})
	health := serve.AddHealth(server)
	g.Go(func() error { return jm.loop(ctx, c) })
	if jm.leader != nil {
		g.Go(func() error { return jm.watchLeadership(ctx) })
	}
	g.Go(func() error { return serve.GRPC(ctx, server, jm.rpc) })
	if jm.http != nil {
		g.Go(func() error { return jm.serveHTTP(ctx) })
	}
	if jm.metrics != nil {
		g.Go(func() error {
			return serve.HTTP(ctx, serve.Pages(&jm.ready, serve.Registry(jm.Collector())), jm.metrics)
		})
	}
	jm.cfg.Log.Info("jobmanager started", "version", jm.cfg.Version, "rpc_port", jm.RPCPort(), "http_port", jm.HTTPPort(),
		"metrics_port", jm.MetricsPort())
	err := g.Wait()
	health.Shutdown()
	jm.work.Wait()
	jm.cfg.Log.Info("jobmanager stopped")
	return err
}

// loop owns c. Every change of state happens here.
func (jm *JobManager) loop(ctx context.Context, c *cluster) error {
	defer close(jm.stopped)
	defer c.close()
	// Often enough that a silence is noticed soon after the timeout.
	tick := time.NewTicker(max(min(jm.cfg.HeartbeatInterval, jm.cfg.HeartbeatTimeout/ticksPerTimeout), time.Millisecond))
	defer tick.Stop()
	jm.ready.Store(true)
	defer jm.ready.Store(false)
	for {
		select {
		case f := <-jm.calls:
			f(c)
		case <-tick.C:
			c.tick()
		case <-jm.fenced:
			return errors.New("another jobmanager leads: it has the same checkpoint directory")
		case <-ctx.Done():
			return nil
		}
	}
}

// openStorage opens the place of checkpoints, without waiting for it.
func (jm *JobManager) openStorage() error {
	if jm.cfg.CheckpointDir == "" {
		return nil
	}
	s, err := blob.Open(context.Background(), jm.cfg.CheckpointDir, blob.Options{}, jm.cfg.Storage)
	if err != nil {
		return fmt.Errorf("checkpoint storage: %w", err)
	}
	jm.storage = blob.Retry(s, blob.RetryOptions{Random: jm.random})
	return nil
}

// lead takes the leadership over what is in checkpoint storage: whoever had it before can complete no checkpoint any more.
func (jm *JobManager) lead(ctx context.Context) error {
	if jm.storage == nil {
		return nil
	}
	var nonce [16]byte
	if _, err := io.ReadFull(jm.cfg.Rand, nonce[:]); err != nil {
		return fmt.Errorf("make a nonce: %w", err)
	}
	var err error
	if jm.leader, err = ckptstore.Lead(ctx, jm.storage, net.JoinHostPort(jm.cfg.BindHost, strconv.Itoa(jm.RPCPort())), hex.EncodeToString(nonce[:])); err != nil {
		return fmt.Errorf("checkpoint storage %s: %w", jm.cfg.CheckpointDir, err)
	}
	jm.cfg.Log.Info("leading", "checkpoint_dir", jm.cfg.CheckpointDir, "leader_epoch", jm.leader.Epoch())
	return nil
}

// do runs f in the loop and waits for it.
func (jm *JobManager) do(ctx context.Context, f func(*cluster)) error {
	done := make(chan struct{})
	if err := jm.post(ctx, func(c *cluster) { defer close(done); f(c) }); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-jm.stopped:
		return errStopped
	}
}

// post has f run in the loop, some time later.
func (jm *JobManager) post(ctx context.Context, f func(*cluster)) error {
	select {
	case jm.calls <- f:
		return nil
	case <-jm.stopped:
		return errStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
