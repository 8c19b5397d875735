package app

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/zeebo/xxh3"

	"github.com/bramble-stream/bramble/connectors/all"
	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/jobmanager"
	"github.com/bramble-stream/bramble/engine/locate"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/engine/taskmanager"
)

// Default ports and sizes, fixed for users.
const (
	DefaultRPCPort     = 6123
	DefaultHTTPPort    = 8081
	DefaultMetricsPort = 9250
	DefaultDataPort    = 6124
	DefaultMemory      = Bytes(256 << 20)
	// DefaultJobManager is where clients and taskmanagers look.
	DefaultJobManager = "localhost:6123"
)

// JobManagerCommand is the program jobmanager. storage opens checkpoint storage beside directories.
func JobManagerCommand(storage ...blob.Openers) *cobra.Command {
	var (
		cfg     jobmanager.Config
		dataDir string
		logs    LogFlags
	)
	cmd := &cobra.Command{
		Use:   "jobmanager",
		Short: "Accept and coordinate jobs",
		Long: "jobmanager accepts jobs, places their tasks on taskmanagers and watches over both.\n" +
			"Each flag may also be a key of the --config file or an environment variable (--rpc-port is BRAMBLE_RPC_PORT).",
		Args: NoArgs,
	}
	Prepare(cmd)
	fs := flagSet(cmd)
	fs.StringVar(&cfg.BindHost, "bind-host", "0.0.0.0", "address to listen on")
	fs.StringVar(&cfg.AdvertiseHost, "advertise-host", "", "host under which others reach this jobmanager while it leads and they stand by\n(default --bind-host, or the name of the machine)")
	fs.IntVar(&cfg.RPCPort, "rpc-port", DefaultRPCPort, "gRPC port for clients and taskmanagers; 0 picks a free one")
	fs.IntVar(&cfg.HTTPPort, "http-port", DefaultHTTPPort, "HTTP port of the dashboard and the REST API; 0 picks a free one, -1 switches it off")
	fs.IntVar(&cfg.MetricsPort, "metrics-port", DefaultMetricsPort, "HTTP port of /metrics; 0 picks a free one, -1 switches it off")
	fs.StringVar(&dataDir, "data-dir", "", "directory for what outlives a restart: the leader epoch (none by default)")
	fs.StringVar(&cfg.CheckpointDir, "checkpoint-dir", "", "where checkpoints go: file:///… that all taskmanagers share, or s3://bucket/prefix\n(none by default: a job that loses a task fails)")
	fs.BoolVar(&cfg.FlinkNames, "metrics-flink-names", false, "show metrics under Flink's names, too")
	takeHTTP := httpFlags(fs, &cfg.HTTP)
	logs.Add(fs, "info")
	health := addHealth(fs)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *health {
			return checkHealth(cmd.Context(), cfg.BindHost, cfg.MetricsPort)
		}
		log, err := logs.Logger(cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		if err := checkPorts(fs, 0, "rpc-port"); err != nil {
			return err
		}
		if err := checkPorts(fs, serve.Off, "http-port", "metrics-port"); err != nil {
			return err
		}
		if cfg.LeaderEpoch, err = nextEpoch(dataDir); err != nil {
			return err
		}
		takeHTTP()
		cfg.HTTP = withLanguage(cfg.HTTP)
		if cfg.AdvertiseHost == "" {
			cfg.AdvertiseHost = advertised(cfg.BindHost)
		}
		cfg.Place = place()
		cfg.Log, cfg.Plan, cfg.Connectors = log, Planner(nil), all.Connectors()
		cfg.Version, cfg.Clock, cfg.Rand, cfg.Storage = Version(), Clock{}, rand.Reader, merged(storage)
		jm, err := jobmanager.New(cfg)
		if err != nil {
			return err
		}
		go watchClock(cmd.Context(), log)
		return jm.Run(cmd.Context())
	}
	return cmd
}

// advertised is a host under which others may reach one that listens on bindHost.
func advertised(bindHost string) string {
	if ip := net.ParseIP(bindHost); bindHost != "" && (ip == nil || !ip.IsUnspecified()) {
		return bindHost
	}
	if name, err := os.Hostname(); err == nil {
		return name
	}
	return loopback
}

// place names the network in which no two processes listen on one port, as long as it exists: a start of the machine, and one network namespace
// of it. It is "" where the system does not tell.
func place() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	space, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%016x", xxh3.HashString(strings.TrimSpace(string(boot))+" "+space))
}

// checkPorts refuses ports that no system has.
func checkPorts(fs *pflag.FlagSet, least int, flags ...string) error {
	for _, name := range flags {
		if port, err := fs.GetInt(name); err != nil || port < least || port > 65535 {
			return Usagef("--%s %d: want a port from %d to 65535", name, port, least)
		}
	}
	return nil
}

// CheckAddress refuses what cannot be addresses of jobmanagers.
func CheckAddress(list string) error {
	if _, err := locate.Parse(list); err != nil {
		return Usagef("--jobmanager %w, such as %s", err, DefaultJobManager)
	}
	return nil
}

// JobManagerUsage explains --jobmanager.
const JobManagerUsage = "HOST:PORT of the jobmanager; of several, with commas or behind one name, whichever leads"

// nextEpoch counts the starts of the jobmanager in a file, so that a later leader has a higher epoch even when the clock was
// set back, as on a Pi without a battery. Without a directory it returns 0: the jobmanager takes the time.
func nextEpoch(dir string) (int64, error) {
	if dir == "" {
		return 0, nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return 0, fmt.Errorf("--data-dir: %w", err)
	}
	path := filepath.Join(dir, "leader-epoch")
	last := Clock{}.Now().UnixMilli()
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return 0, fmt.Errorf("--data-dir: %w", err)
	}
	if n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); err == nil {
		last = max(last, n)
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, []byte(strconv.FormatInt(last+1, 10)+"\n"), 0o600); err != nil {
		return 0, fmt.Errorf("--data-dir: %w", err)
	}
	return last + 1, os.Rename(tmp, path)
}

// TaskManagerCommand is the program taskmanager. storage is as for the jobmanager.
func TaskManagerCommand(storage ...blob.Openers) *cobra.Command {
	var (
		cfg    taskmanager.Config
		memory = DefaultMemory
		logs   LogFlags
	)
	cmd := &cobra.Command{
		Use:   "taskmanager",
		Short: "Run tasks",
		Long: "taskmanager offers slots to a jobmanager and runs tasks in them. It keeps trying until the jobmanager is there.\n" +
			"Each flag may also be a key of the --config file or an environment variable (--data-port is BRAMBLE_DATA_PORT).",
		Args: NoArgs,
	}
	Prepare(cmd)
	fs := flagSet(cmd)
	fs.StringVar(&cfg.JobManager, "jobmanager", DefaultJobManager, JobManagerUsage)
	fs.StringVar(&cfg.BindHost, "bind-host", "0.0.0.0", "address to listen on")
	fs.IntVar(&cfg.DataPort, "data-port", DefaultDataPort, "gRPC port for data from other taskmanagers; 0 picks a free one")
	fs.StringVar(&cfg.AdvertiseHost, "advertise-host", "", "host under which other taskmanagers reach this one\n(default the local address of the connection to the jobmanager)")
	fs.IntVar(&cfg.Slots, "slots", runtime.NumCPU(), "how many tasks of each vertex of jobs may run here")
	fs.Var(&memory, "memory", "memory to live in: sets Go's limit, and divided among buffers, state and stores")
	fs.StringVar(&cfg.DataDir, "data-dir", "", "directory for state (default a temporary one, removed at the end)")
	fs.IntVar(&cfg.MetricsPort, "metrics-port", DefaultMetricsPort, "HTTP port of /metrics; 0 picks a free one, -1 switches it off")
	fs.BoolVar(&cfg.FlinkNames, "metrics-flink-names", false, "show metrics under Flink's names, too")
	logs.Add(fs, "info")
	health := addHealth(fs)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *health {
			return checkHealth(cmd.Context(), cfg.BindHost, cfg.MetricsPort)
		}
		log, err := logs.Logger(cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		if err := checkPorts(fs, 0, "data-port"); err != nil {
			return err
		}
		if err := checkPorts(fs, serve.Off, "metrics-port"); err != nil {
			return err
		}
		if err := CheckAddress(cfg.JobManager); err != nil {
			return err
		}
		if cfg.Slots < 1 {
			return Usagef("--slots %d: at least 1", cfg.Slots)
		}
		if least := MemoryMin; memory < least {
			return Usagef("--memory %s: at least %s", memory.String(), least.String())
		}
		cfg.MemoryBytes, cfg.Log, cfg.Storage = int64(memory), log, merged(storage)
		SetMemoryLimit(cfg.MemoryBytes)
		tm, err := newTaskManager(cfg, all.Connectors())
		if err != nil {
			return err
		}
		go watchClock(cmd.Context(), log)
		return tm.Run(cmd.Context())
	}
	return cmd
}

// checkWritable refuses a data directory that cannot be written to now, rather than when the first job spills. "" is a temporary one.
func checkWritable(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	f, err := os.CreateTemp(dir, "probe-")
	if err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	_, err = f.WriteString("written to see whether it can be")
	if err := errors.Join(err, f.Close(), os.Remove(f.Name())); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	return nil
}

// merged is all kinds of checkpoint storage in one.
func merged(all []blob.Openers) blob.Openers {
	m := blob.Openers{}
	for _, o := range all {
		maps.Copy(m, o)
	}
	return m
}
