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
	"google.golang.org/grpc/health"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint/ckptstore"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/job"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/preview"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/engine/stream"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// PlanRequest is a script to plan.
type PlanRequest struct {
	// File is the script's name, for error messages. Name is the job's, "" for what the script says.
	File, Script, Name string
	// Config overrides what the script SETs. Parallelism is the default one, 0 for what Config and the script say.
	Config      map[string]string
	Parallelism int
	// Preview asks for the query at the script's end alone, with a sink that collects its rows.
	Preview bool
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
	// Network is what to listen on (TCP).
	Network *serve.Network
	Plan    Planner
	// Connectors are asked what there is to read.
	Connectors map[string]*op.Connector
	Version    string
	// LeaderEpoch identifies this run; 0 takes the time.
	LeaderEpoch int64
	Log         *slog.Logger
	// Clock is the time of day. Steady is the time since any moment, by a clock that nobody sets (the process's own).
	Clock  op.Clock
	Steady func() time.Duration
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
	// AdvertiseHost is what a jobmanager that stands by says where this one is (BindHost).
	AdvertiseHost string
	// Place names the machine, and the network on it, in which no two processes listen on one port, for as long as it runs; "" if that is not known.
	// A jobmanager that starts where the leader was need not wait to see that it is gone.
	Place string
	// LeaseInterval is how often a leader renews its lease (1.5 s), LeaseTimeout for how long one who stands by watches it stand still
	// before taking over (6 s).
	LeaseInterval, LeaseTimeout time.Duration
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
	// offsetLeast is what the time of day has to be set by, in milliseconds, to change what is shown of the past.
	offsetLeast = 500
	// callsQueued is how many posts to the loop may wait; more block their senders.
	callsQueued = 64
)

var (
	errStopped = errors.New("the jobmanager is stopping")
	errFenced  = errors.New("another jobmanager leads: it has the same checkpoint directory")
)

func (c *Config) setDefaults() {
	setDefault(&c.HeartbeatInterval, time.Second)
	setDefault(&c.HeartbeatTimeout, 3*time.Second)
	setDefault(&c.MetricsInterval, time.Second)
	setDefault(&c.LeaseInterval, defaultLeaseInterval)
	setDefault(&c.LeaseTimeout, defaultLeaseTimeout)
	setDefault(&c.AdvertiseHost, c.BindHost)
	if c.Steady == nil {
		began := time.Now()
		c.Steady = func() time.Duration { return time.Since(began) }
	}
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
	// previews are the queries whose rows somebody looks at.
	previews preview.Hub
	// plans bounds what is planned for pages.
	plans chan struct{}
	// secure is nil without TLS, token "" without one.
	secure *tls.Config
	token  string
	// role says whether it leads, health tells it.
	role   atomic.Pointer[role]
	health *health.Server
	// began is the time of day at which Steady was 0, offset what the time of day was set forward since, in milliseconds.
	began  time.Time
	offset atomic.Int64
}

// New opens the listeners.
func New(cfg Config) (*JobManager, error) {
	cfg.setDefaults()
	jm := &JobManager{
		cfg: cfg, calls: make(chan func(*cluster), callsQueued), stopped: make(chan struct{}), fenced: make(chan struct{}, 1),
		began: cfg.Clock.Now().Round(0).Add(-cfg.Steady()),
	}
	jm.role.Store(&role{})
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
		{&jm.rpc, cfg.BindHost, cfg.RPCPort, "rpc"},
		{&jm.http, cmp.Or(cfg.HTTP.BindHost, cfg.BindHost), cfg.HTTPPort, "http"},
		{&jm.metrics, cfg.BindHost, cfg.MetricsPort, "metrics"},
	} {
		if l.port == serve.Off {
			continue
		}
		listener, err := cfg.Network.Listen(l.host, l.port)
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

// Address is HOST:PORT of the RPC server, for clients on this machine.
func (jm *JobManager) Address() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(jm.RPCPort()))
}

// Run serves until ctx ends; that is not an error. It may be called once. A jobmanager that comes second over its checkpoint storage stands by until
// it leads; one that has led and is superseded returns an error.
func (jm *JobManager) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	server := grpc.NewServer(jm.onlyLeading()...)
	pb.RegisterJobServiceServer(server, &jobService{jm: jm})
	pb.RegisterTaskManagerServiceServer(server, &sessions{jm: jm, ctx: ctx})
	jm.health = serve.AddHealth(server)
	jm.become(role{})
	g.Go(func() error { return serve.GRPC(ctx, server, jm.rpc) })
	if jm.http != nil {
		g.Go(func() error { return jm.serveHTTP(ctx) })
	}
	if jm.metrics != nil {
		g.Go(func() error { return serve.HTTP(ctx, jm.probes(serve.Registry(jm.Collector())), jm.metrics) })
	}
	g.Go(func() error { return jm.standByAndLead(ctx) })
	err := g.Wait()
	jm.health.Shutdown()
	jm.work.Wait()
	jm.cfg.Log.Info("jobmanager stopped")
	return err
}

// standByAndLead is what a jobmanager does beside answering.
func (jm *JobManager) standByAndLead(ctx context.Context) error {
	defer close(jm.stopped)
	jm.cfg.Log.Info("jobmanager listens", "version", jm.cfg.Version, "rpc_port", jm.RPCPort(), "http_port", jm.HTTPPort(),
		"metrics_port", jm.MetricsPort())
	if jm.storage == nil {
		return jm.leadJobs(ctx)
	}
	if err := jm.standBy(ctx); err != nil || jm.leader == nil {
		return err
	}
	g, leading := errgroup.WithContext(ctx)
	g.Go(func() error { return jm.keepLease(leading) })
	g.Go(func() error { return jm.leadJobs(leading) })
	err := g.Wait()
	if err == nil {
		jm.release()
	}
	return err
}

// leadJobs takes in the jobs that there are and runs the loop.
func (jm *JobManager) leadJobs(ctx context.Context) error {
	c := newCluster(jm)
	if err := jm.recoverJobs(ctx, c); err != nil {
		c.close()
		if ctx.Err() != nil {
			return nil //nolint:nilerr // told to stop
		}
		return err
	}
	return jm.loop(ctx, c)
}

// loop owns c. Every change of state happens here.
func (jm *JobManager) loop(ctx context.Context, c *cluster) error {
	defer c.close()
	// Often enough that a silence is noticed soon after the timeout.
	tick := time.NewTicker(max(min(jm.cfg.HeartbeatInterval, jm.cfg.HeartbeatTimeout/ticksPerTimeout), time.Millisecond))
	defer tick.Stop()
	jm.become(role{leads: true})
	defer jm.become(role{})
	jm.cfg.Log.Info("jobmanager started", "version", jm.cfg.Version, "rpc_port", jm.RPCPort(), "http_port", jm.HTTPPort(),
		"metrics_port", jm.MetricsPort())
	if jm.storage != nil {
		jm.work.Go(func() { jm.sweep(c.ctx) })
		if lost := c.lostJobs(); len(lost) > 0 {
			jm.work.Go(func() { jm.recoverLater(c.ctx, lost) })
		}
	}
	for {
		select {
		case f := <-jm.calls:
			f(c)
		case <-tick.C:
			c.tick()
		case <-jm.fenced:
			return errFenced
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

// now is the time by a clock that only goes forward, evenly: what deadlines, silences and pauses are measured by. It began as the time of day, and
// differs from that by what the time of day was set to since, which on a machine without a clock of its own may be decades; wall is for showing.
func (jm *JobManager) now() time.Time { return jm.began.Add(jm.cfg.Steady()) }

// wall is the time of day at which something happened by the even clock, as far as is known now; 0 stays 0.
func (jm *JobManager) wall(t stream.Time) stream.Time {
	if t == 0 {
		return 0
	}
	offset := jm.cfg.Clock.Now().UnixMilli() - jm.now().UnixMilli()
	// What was shown once stays so until the clock was really set.
	if old := jm.offset.Load(); offset > old-offsetLeast && offset < old+offsetLeast {
		offset = old
	} else {
		jm.offset.Store(offset)
	}
	return t + offset
}

// do runs f in the loop and waits for it. A jobmanager that stands by has none.
func (jm *JobManager) do(ctx context.Context, f func(*cluster)) error {
	if !jm.role.Load().leads {
		return errNotLeader
	}
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
