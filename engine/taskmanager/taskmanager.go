// Package taskmanager offers slots to a jobmanager and runs tasks in them: it registers, builds and runs what it is told to, lets tasks of
// other taskmanagers send to its own, and reports states, health and counters. It decides nothing about jobs.
//
// One goroutine a session (the connection to a jobmanager) obeys and sends; each task has its own, and what it says at checkpoints is
// uploaded beside. When the session ends its tasks are cancelled: the jobmanager starts them anew from a checkpoint.
package taskmanager

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/locate"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/sample"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/task"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// OpenStateFunc opens the store of a task in a directory of its own, which may not exist yet. memoryBytes is for its caches.
type OpenStateFunc func(dir string, info op.TaskInfo, memoryBytes int64, merge state.MergeFunc) (state.Store, error)

// Config is what a taskmanager needs. The fields without a stated default are required.
type Config struct {
	// JobManager is HOST:PORT, or several with commas between them, of which one leads.
	JobManager string
	// BindHost is where to listen, "" for everywhere. Port 0 picks a free one; MetricsPort may be serve.Off.
	BindHost              string
	DataPort, MetricsPort int
	// Network is what to listen and connect on (TCP).
	Network *serve.Network
	// AdvertiseHost is where peers reach this taskmanager; "" is the local address of the connection to the jobmanager.
	AdvertiseHost string
	// Slots is how many tasks of each vertex may run here (the number of cores).
	Slots int
	// MemoryBytes is the budget (256 MiB); see BudgetOf. The caller sets Go's limit: it belongs to the process.
	MemoryBytes int64
	// DataDir holds the tasks' state; "" means a temporary directory that is removed at the end.
	DataDir  string
	Builders task.Builders
	// OpenState also opens a directory that holds the files of a snapshot, with that content.
	OpenState OpenStateFunc
	// Storage opens further kinds of checkpoint storage, beside directories.
	Storage blob.Openers
	Version string
	Log     *slog.Logger
	Clock   op.Clock
	// ClockFloor is as in op.Context.
	ClockFloor stream.Time
	Rand       io.Reader
	// FlinkNames adds Flink's metric names.
	FlinkNames bool
	// Uplink is told of the connection to the jobmanager; it may be nil.
	Uplink *Uplink
	// Cell writes values of rows for people to look at; nil shows none.
	Cell sample.Cell
}

// defaultMemoryBytes is what a taskmanager must be able to live in.
const defaultMemoryBytes = 256 << 20

// TaskManager is a taskmanager that listens. Run makes it work.
type TaskManager struct {
	cfg           Config
	jobManagers   []string
	budget        Budget
	dir           string
	data, metrics net.Listener
	net           *network
	// lanes are the goroutines of checkpoints.
	lanes sync.WaitGroup
	// suffix tells apart processes that follow each other at one address.
	suffix string
	// address is where others reach it, as it last registered; "" before.
	address string
	ready   atomic.Bool
	local   *localState
	// restoredLocal and restoredRemote count bytes of state that restarts have found here, and have downloaded.
	restoredLocal, restoredRemote atomic.Int64
	// verifiedBytes is what has been read back of checkpoint storage, damagedFiles how many files there were not what was written.
	verifiedBytes, damagedFiles atomic.Int64
	mu                          struct {
		sync.Mutex
		id    string
		tasks map[*taskRun]struct{}
	}
}

// New opens the listeners and the data directory.
func New(cfg Config) (*TaskManager, error) {
	if cfg.Slots == 0 {
		cfg.Slots = runtime.NumCPU()
	}
	if cfg.MemoryBytes == 0 {
		cfg.MemoryBytes = defaultMemoryBytes
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	var random [3]byte
	if _, err := io.ReadFull(cfg.Rand, random[:]); err != nil {
		return nil, fmt.Errorf("make an ID: %w", err)
	}
	tm := &TaskManager{cfg: cfg, budget: BudgetOf(cfg.MemoryBytes), suffix: hex.EncodeToString(random[:])}
	tm.mu.tasks = map[*taskRun]struct{}{}
	tm.local = newLocalState(tm.jobsDir)
	var err error
	if tm.jobManagers, err = locate.Parse(cfg.JobManager); err != nil {
		return nil, fmt.Errorf("jobmanager address %w", err)
	}
	if tm.data, err = cfg.Network.Listen(cfg.BindHost, cfg.DataPort); err != nil {
		return nil, fmt.Errorf("data: %w (choose another with --data-port; 0 picks a free one)", err)
	}
	if cfg.MetricsPort != serve.Off {
		if tm.metrics, err = cfg.Network.Listen(cfg.BindHost, cfg.MetricsPort); err != nil {
			tm.data.Close() //nolint:errcheck // it was never used
			return nil, fmt.Errorf("metrics: %w (choose another with --metrics-port; 0 picks a free one)", err)
		}
	}
	tm.net = newNetwork(tm)
	return tm, nil
}

// DataPort is where peers send to.
func (tm *TaskManager) DataPort() int { return serve.Port(tm.data) }

// MetricsPort is where the metrics are, 0 for nowhere.
func (tm *TaskManager) MetricsPort() int {
	if tm.metrics == nil {
		return 0
	}
	return serve.Port(tm.metrics)
}

// ID is what the jobmanager knows it by, "" before it has registered for the first time.
func (tm *TaskManager) ID() string {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	return tm.mu.id
}

// Run works until ctx ends; that is not an error. It may be called once.
func (tm *TaskManager) Run(ctx context.Context) (err error) {
	if err := tm.openDir(); err != nil {
		tm.data.Close() //nolint:errcheck // it was never used
		return err
	}
	defer tm.removeDir()
	g, ctx := errgroup.WithContext(ctx)
	tm.cfg.Log.Info("taskmanager started", "version", tm.cfg.Version, "data_port", tm.DataPort(), "metrics_port", tm.MetricsPort(),
		"slots", tm.cfg.Slots, "memory_bytes", tm.cfg.MemoryBytes, "data_dir", tm.dir)
	g.Go(func() error { return tm.net.serve(ctx, tm.data) })
	if tm.metrics != nil {
		g.Go(func() error {
			return serve.HTTP(ctx, serve.Pages(&tm.ready, serve.Registry(tm.Collector())), tm.metrics)
		})
	}
	g.Go(func() error { return tm.register(ctx) })
	err = g.Wait()
	tm.joinLanes()
	tm.cfg.Log.Info("taskmanager stopped")
	return err
}

// openDir makes the data directory, and removes what an earlier process left of its tasks' state, but for files of checkpoints.
func (tm *TaskManager) openDir() error {
	if tm.cfg.DataDir == "" {
		dir, err := os.MkdirTemp("", "bramble-taskmanager-")
		if err != nil {
			return fmt.Errorf("temporary data directory: %w", err)
		}
		tm.dir = dir
		return nil
	}
	tm.dir = tm.cfg.DataDir
	if err := tm.local.load(tm.cfg.Clock.Now()); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if err := os.MkdirAll(tm.dir, 0o750); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}

func (tm *TaskManager) jobsDir() string { return filepath.Join(tm.dir, "jobs") }

func (tm *TaskManager) removeDir() {
	dir := tm.jobsDir()
	if tm.cfg.DataDir == "" {
		dir = tm.dir
	}
	if err := os.RemoveAll(dir); err != nil {
		tm.cfg.Log.Warn("data directory not removed", "dir", dir, "error", err)
	}
}

// info describes the taskmanager at its registration. The ID is fixed by the first one.
func (tm *TaskManager) info(local *net.TCPAddr, jobmanager string) *pb.TaskManagerInfo {
	host := tm.cfg.AdvertiseHost
	if host == "" && local != nil {
		ip := local.IP
		if b := tm.cfg.BindHost; tm.cfg.Network == nil && (b == "" || net.ParseIP(b).IsUnspecified()) {
			ip = reachable(ip, jobmanager, outward)
		}
		host = ip.String()
	}
	if host == "" {
		host = "127.0.0.1"
	}
	address := net.JoinHostPort(host, strconv.Itoa(tm.DataPort()))
	tm.mu.Lock()
	if tm.mu.id == "" {
		tm.mu.id = address + "-" + tm.suffix
	}
	id := tm.mu.id
	tm.mu.Unlock()
	name, _ := os.Hostname() // only for display
	info := &pb.TaskManagerInfo{
		TaskmanagerId: id, DataAddress: address, SlotsTotal: int32(tm.cfg.Slots), MemoryBytes: tm.cfg.MemoryBytes, //nolint:gosec // small
		MemoryUsedBytes: memoryUsed(), Cores: int32(runtime.NumCPU()), Platform: runtime.GOOS + "/" + runtime.GOARCH, //nolint:gosec // small
		Version: tm.cfg.Version, HostName: name,
	}
	now := vitals()
	info.RssBytes, info.TemperatureMillicelsius, info.Goroutines = now.RssBytes, now.TemperatureMillicelsius, now.Goroutines
	if tm.metrics != nil {
		info.MetricsAddress = net.JoinHostPort(host, strconv.Itoa(tm.MetricsPort()))
	}
	return info
}
