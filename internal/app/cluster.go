package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/bramble-stream/bramble/connectors/all"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/jobmanager"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/engine/taskmanager"
)

// MemoryMin is the least that a taskmanager can be given: below it even an idle one has no room.
const MemoryMin = Bytes(64 << 20)

// SetMemoryLimit bounds what the Go runtime of this process holds, if memoryBytes is given.
func SetMemoryLimit(memoryBytes int64) {
	if memoryBytes > 0 {
		debug.SetMemoryLimit(taskmanager.BudgetOf(memoryBytes).LimitBytes)
	}
}

// newTaskManager fills in what every taskmanager of ours shares.
func newTaskManager(cfg taskmanager.Config, connectors map[string]*op.Connector) (*taskmanager.TaskManager, error) {
	cfg.Uplink = &taskmanager.Uplink{}
	cfg.Builders, cfg.OpenState = Builders(withCollect(connectors, cfg.Uplink)), OpenState
	cfg.Version, cfg.Clock, cfg.ClockFloor, cfg.Rand, cfg.Cell = Version(), Clock{}, clockFloor(), rand.Reader, cellText
	return taskmanager.New(cfg)
}

// ClusterConfig says how large a cluster in this process is to be.
type ClusterConfig struct {
	TaskManagers int
	// Slots is for each taskmanager, MemoryBytes for all together.
	Slots       int
	MemoryBytes int64
	// RPCPort, HTTPPort and MetricsPort are the jobmanager's, on loopback: 0 picks a free one, serve.Off switches off.
	// The metrics page has the numbers of the taskmanagers, too.
	RPCPort, HTTPPort, MetricsPort int
	// DataDir "" means a temporary one. CheckpointDir is where checkpoints go, as a URI; "" takes none.
	DataDir, CheckpointDir string
	FlinkNames             bool
	// Preview takes the rows of a bare SELECT; nil prints them.
	Preview *graph.TableSpec
	// Connectors are those that jobs may use; nil means all that are built in.
	Connectors map[string]*op.Connector
	Log        *slog.Logger
}

// Cluster is a jobmanager and taskmanagers in this process. They talk over loopback, as they would between machines.
type Cluster struct {
	JobManager   *jobmanager.JobManager
	TaskManagers []*taskmanager.TaskManager
	metrics      net.Listener
	ready        atomic.Bool
}

// loopback keeps a cluster of one process to this machine.
const loopback = "127.0.0.1"

// NewCluster opens the listeners of all. Run makes it work.
func NewCluster(cfg ClusterConfig) (*Cluster, error) {
	c := &Cluster{}
	connectors := cfg.Connectors
	if connectors == nil {
		connectors = all.Connectors()
	}
	jm, err := jobmanager.New(jobmanager.Config{
		BindHost: loopback, RPCPort: cfg.RPCPort, HTTPPort: cfg.HTTPPort, MetricsPort: serve.Off, FlinkNames: cfg.FlinkNames, CheckpointDir: cfg.CheckpointDir,
		Plan: planner(connectors, cfg.Preview), Connectors: connectors, Version: Version(), Log: cfg.Log, Clock: Clock{}, Rand: rand.Reader,
		HTTP: withLanguage(jobmanager.HTTP{}),
	})
	if err != nil {
		return nil, err
	}
	c.JobManager = jm
	for i := range cfg.TaskManagers {
		tm, err := newTaskManager(taskmanager.Config{
			JobManager: jm.Address(), BindHost: loopback, AdvertiseHost: loopback, MetricsPort: serve.Off, FlinkNames: cfg.FlinkNames,
			Slots: cfg.Slots, MemoryBytes: cfg.MemoryBytes / int64(cfg.TaskManagers), DataDir: subDir(cfg.DataDir, i), Log: cfg.Log,
		}, connectors)
		if err != nil {
			return nil, fmt.Errorf("taskmanager %d: %w", i+1, err)
		}
		c.TaskManagers = append(c.TaskManagers, tm)
	}
	if cfg.MetricsPort != serve.Off {
		if c.metrics, err = serve.Listen(loopback, cfg.MetricsPort); err != nil {
			return nil, err
		}
	}
	SetMemoryLimit(cfg.MemoryBytes)
	return c, nil
}

func subDir(dir string, i int) string {
	if dir == "" {
		return ""
	}
	return dir + "/taskmanager-" + strconv.Itoa(i+1)
}

// MetricsPort is where the metrics of all are, 0 for nowhere.
func (c *Cluster) MetricsPort() int {
	if c.metrics == nil {
		return 0
	}
	return serve.Port(c.metrics)
}

// Run serves until ctx ends; that is not an error.
func (c *Cluster) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.JobManager.Run(ctx) })
	collectors := []prometheus.Collector{c.JobManager.Collector()}
	for _, tm := range c.TaskManagers {
		g.Go(func() error { return tm.Run(ctx) })
		collectors = append(collectors, tm.Collector())
	}
	if c.metrics != nil {
		c.ready.Store(true)
		g.Go(func() error { return serve.HTTP(ctx, serve.Pages(&c.ready, serve.Registry(collectors...)), c.metrics) })
	}
	return g.Wait()
}
