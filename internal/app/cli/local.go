package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/bramble-stream/bramble/engine/client"
	"github.com/bramble-stream/bramble/engine/jobmanager"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/internal/app"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// stopMax is how long Ctrl-C waits for the job of `bramble run` to end.
const stopMax = 10 * time.Second

// planLocally plans in this process, with the connectors that it has.
func planLocally(s client.Script) (*jobmanager.Planned, error) {
	return app.Planner(nil)(jobmanager.PlanRequest{File: s.File, Script: s.Text, Config: s.Config, Parallelism: s.Parallelism})
}

func (c *cli) explain() *cobra.Command {
	var script scriptFlags
	cmd := &cobra.Command{
		Use:   "explain JOB.sql",
		Short: "Show the logical and the physical plan; needs no cluster",
		Args:  app.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := script.load(args[0], cmd.InOrStdin(), c.err)
			if err != nil {
				return err
			}
			p, err := planLocally(s)
			if err != nil {
				return err
			}
			if c.output == "json" {
				return printJSON(c, false, &pb.ExplainResponse{LogicalPlan: p.Logical, PhysicalPlan: p.Physical, Warnings: p.Warnings})
			}
			for _, w := range p.Warnings {
				fmt.Fprintln(c.err, "warning:", w)
			}
			fmt.Fprintf(c.out, "== Logical plan ==\n%s\n== Physical plan ==\n%s", p.Logical, p.Physical)
			return nil
		},
	}
	script.add(cmd)
	return cmd
}

func (c *cli) run() *cobra.Command {
	var (
		script scriptFlags
		logs   app.LogFlags
		memory = app.Bytes(512 << 20)
		cfg    = app.ClusterConfig{RPCPort: 0}
	)
	cmd := &cobra.Command{
		Use:   "run JOB.sql",
		Short: "Run a job on a cluster in this process; ends when its bounded sources end, or with Ctrl-C",
		Args:  app.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := script.load(args[0], cmd.InOrStdin(), c.err)
			if err != nil {
				return err
			}
			if cfg.TaskManagers < 1 {
				return app.Usagef("--taskmanagers %d: at least 1", cfg.TaskManagers)
			}
			p, err := planLocally(s) // to know mistakes and the slots it takes before anything starts
			if err != nil {
				return err
			}
			for _, v := range p.Graph.Vertices {
				cfg.Slots = max(cfg.Slots, (v.Parallelism+cfg.TaskManagers-1)/cfg.TaskManagers)
			}
			if cfg.Log, err = logs.Logger(c.err); err != nil {
				return err
			}
			cfg.Log = slog.New(quiet{cfg.Log.Handler()})
			cfg.MemoryBytes = int64(memory)
			return c.runLocally(cmd.Context(), cfg, s)
		},
	}
	script.add(cmd)
	fs := cmd.Flags()
	fs.IntVar(&cfg.TaskManagers, "taskmanagers", 1, "how many taskmanagers to run in this process")
	fs.Var(&memory, "memory", "memory to live in")
	fs.IntVar(&cfg.HTTPPort, "http-port", serve.Off, "HTTP port of the dashboard; 0 picks a free one, -1 switches it off")
	fs.IntVar(&cfg.MetricsPort, "metrics-port", serve.Off, "HTTP port of /metrics; 0 picks a free one, -1 switches it off")
	fs.StringVar(&cfg.DataDir, "data-dir", "", "directory for state (default a temporary one, removed at the end)")
	logs.Add(fs, "warn")
	return cmd
}

// runLocally runs the job to its end. Ctrl-C cancels it, which is a clean end.
func (c *cli) runLocally(ctx context.Context, cfg app.ClusterConfig, s client.Script) error {
	cluster, err := app.NewCluster(cfg)
	if err != nil {
		return err
	}
	// The cluster outlives ctx: after Ctrl-C it still has a job to cancel.
	clusterCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, clusterCtx := errgroup.WithContext(clusterCtx)
	g.Go(func() error { return cluster.Run(clusterCtx) })
	g.Go(func() error {
		defer stop()
		return c.runJob(ctx, clusterCtx, cluster, s)
	})
	return g.Wait()
}

func (c *cli) runJob(ctx, clusterCtx context.Context, cluster *app.Cluster, s client.Script) error {
	cl, err := client.New(cluster.JobManager.Address())
	if err != nil {
		return err
	}
	defer cl.Close() //nolint:errcheck // all was said
	id, warnings, err := cl.Submit(clusterCtx, s, "")
	if err != nil {
		return err
	}
	for _, w := range warnings {
		fmt.Fprintln(c.err, "warning:", w)
	}
	last, err := follow(ctx, cl, id, c.err, true, true)
	if ctx.Err() != nil {
		limited, cancel := context.WithTimeout(clusterCtx, stopMax)
		defer cancel()
		if _, _, err := cl.Cancel(limited, id); err != nil && !errors.Is(err, client.ErrState) {
			return fmt.Errorf("stop the job: %w", err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if last.Summary.State == pb.JobState_JOB_STATE_FAILED {
		return c.outcome(last, false)
	}
	return nil
}

func (c *cli) demo(demo func(context.Context, DemoOptions) error) *cobra.Command {
	var o DemoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run everything in this process: a broker, sensors of a small house, and a job over them",
		Args:  app.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = c.out
			return demo(cmd.Context(), o)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&o.URL, "url", "", "your own broker, such as tcp://host:1883 (default an embedded one)")
	fs.IntVar(&o.TaskManagers, "taskmanagers", 3, "how many taskmanagers to run in this process")
	fs.IntVar(&o.HTTPPort, "http-port", app.DefaultHTTPPort, "HTTP port of the dashboard; 0 picks a free one, -1 switches it off")
	fs.IntVar(&o.MetricsPort, "metrics-port", app.DefaultMetricsPort, "HTTP port of /metrics; 0 picks a free one, -1 switches it off")
	o.Logs.Add(fs, "error")
	return cmd
}
