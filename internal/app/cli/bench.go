package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bramble-stream/bramble/internal/app"
	"github.com/bramble-stream/bramble/internal/bench"
)

// benchWorker is the command under which the program starts itself again; people have no use for it.
const benchWorker = "worker"

func (c *cli) bench() *cobra.Command {
	var (
		cfg    bench.Config
		memory = app.Bytes(512 << 20)
	)
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure this machine, or a cluster: Nexmark, MQTT, Redis",
		Long: "bench runs jobs on a cluster of its own, with the servers that it needs, and prints what they give and what they take; nothing has to be\n" +
			"installed. With --jobmanager the Nexmark queries run on that cluster instead. docs/benchmarks.md says how to read the table.",
		Args: app.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.MemoryBytes = int64(memory)
			if cmd.Flags().Changed("jobmanager") {
				cfg.JobManager = c.jobManager
			}
			if err := checkBench(&cfg); err != nil {
				return err
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			cfg.Worker = []string{self, cmd.Name(), benchWorker}
			return c.runBench(cmd.Context(), cfg)
		},
	}
	fs := cmd.Flags()
	fs.StringSliceVar(&cfg.Suites, "suite", nil, "what to measure: "+strings.Join(bench.Suites, ", ")+" (default all)")
	fs.StringSliceVar(&cfg.Queries, "queries", nil, "Nexmark queries, such as q0,q5 (default all)")
	fs.Int64Var(&cfg.Events, "events", 0, "events of each measurement (default as many as take --duration)")
	fs.DurationVar(&cfg.Duration, "duration", 2*time.Second, "how long each measurement takes, about")
	fs.IntVarP(&cfg.Parallelism, "parallelism", "p", 0, "parallelism of the jobs (default the number of cores)")
	fs.IntVar(&cfg.TaskManagers, "taskmanagers", 1, "how many taskmanagers the cluster has, in one process")
	fs.Var(&memory, "memory", "memory of the cluster")
	fs.DurationVar(&cfg.Checkpoint, "checkpoint-interval", time.Second, "interval of the checkpoints, whose cost is measured")
	fs.StringVar(&cfg.MQTT, "url", "", "your own MQTT broker, such as mqtt://host:1883 (default an embedded one)")
	fs.StringVar(&cfg.Redis, "redis", "", "your own Redis, such as redis://host:6379; key bramble-bench is written and removed (default an embedded one)")
	fs.StringVar(&cfg.Dir, "data-dir", "", "where state and checkpoints go, in a directory that is removed at the end (default that of temporary files)")
	fs.StringVar(&cfg.Profile, "profile", "", "write CPU and allocation profiles into this directory, for go tool pprof")
	cmd.AddCommand(c.benchCompare(), benchWorkerCommand())
	return cmd
}

// checkBench fills in defaults and refuses what makes no sense.
func checkBench(cfg *bench.Config) error {
	if len(cfg.Suites) == 1 && cfg.Suites[0] == "all" {
		cfg.Suites = nil
	}
	if len(cfg.Queries) > 0 && len(cfg.Suites) == 0 {
		cfg.Suites = []string{"nexmark"}
	}
	if cfg.JobManager != "" {
		if err := app.CheckAddress(cfg.JobManager); err != nil {
			return err
		}
		if len(cfg.Suites) == 0 {
			cfg.Suites = []string{"nexmark"}
		}
		if len(cfg.Suites) != 1 || cfg.Suites[0] != "nexmark" {
			return app.Usagef("--jobmanager goes with --suite nexmark: the other suites count at a sink of their own")
		}
	}
	if cfg.Parallelism == 0 {
		cfg.Parallelism = runtime.NumCPU()
	}
	switch {
	case cfg.Parallelism < 1:
		return app.Usagef("--parallelism %d: at least 1", cfg.Parallelism)
	case cfg.TaskManagers < 1:
		return app.Usagef("--taskmanagers %d: at least 1", cfg.TaskManagers)
	case cfg.Events < 0:
		return app.Usagef("--events %d: at least 1", cfg.Events)
	case cfg.Duration < 10*time.Millisecond || cfg.Duration > time.Hour:
		return app.Usagef("--duration %s: from 10ms to 1h", cfg.Duration)
	case cfg.Checkpoint < 10*time.Millisecond:
		return app.Usagef("--checkpoint-interval %s: at least 10ms", cfg.Checkpoint)
	}
	if err := cfg.Check(); err != nil {
		return &app.UsageError{Err: err}
	}
	return nil
}

func (c *cli) runBench(ctx context.Context, cfg bench.Config) error {
	line := &progressLine{f: os.Stderr, on: term.IsTerminal(int(os.Stderr.Fd()))}
	cfg.Progress = line.show
	report, err := bench.Run(ctx, cfg)
	line.clear()
	if err != nil {
		return err
	}
	if c.output == "json" {
		err = c.benchJSON(report)
	} else {
		c.printBench(report)
	}
	if err == nil && (report.Interrupted || report.Bad()) {
		return &app.SilentError{}
	}
	return err
}

func (c *cli) benchJSON(v any) error {
	enc := json.NewEncoder(c.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// progressLine is one line of a terminal that is written over and over.
type progressLine struct {
	f    *os.File
	on   bool
	last time.Time
	what string
}

// progressEvery is how often a count is shown anew.
const progressEvery = 200 * time.Millisecond

func (p *progressLine) show(step, steps int, what string, events int64) {
	if !p.on || what == p.what && time.Since(p.last) < progressEvery {
		return
	}
	p.last, p.what = time.Now(), what
	line := fmt.Sprintf("[%d/%d] %s", step, steps, what)
	if events > 0 {
		line += fmt.Sprintf(", %s events", countText(float64(events)))
	}
	if width, _, err := term.GetSize(int(p.f.Fd())); err == nil && width > 1 && len(line) >= width {
		line = line[:width-1]
	}
	fmt.Fprintf(p.f, "\r%s\x1b[K", line)
}

func (p *progressLine) clear() {
	if p.on {
		fmt.Fprint(p.f, "\r\x1b[K")
	}
}

func (c *cli) printBench(r *bench.Report) {
	c.benchHead(r)
	t := c.newTable("", "EVENTS/S", "PER CORE", "CPU/EVENT", "P50", "P99", "P99.99", "PEAK RSS", "CHECKPOINTS", "ALLOCS", "")
	t.SetColumnConfigs(rightAligned(2, 10))
	for i := range r.Results {
		x := &r.Results[i]
		name := x.Suite + " " + x.Name
		if x.Status != bench.StatusOK {
			t.AppendRow(table.Row{name, "-", "-", "-", "-", "-", "-", "-", "-", "-", x.Status})
			continue
		}
		t.AppendRow(table.Row{
			name, countText(x.EventsPerSecond), countText(x.EventsPerCoreSecond), nanosText(x.CPUNanosPerEvent), msText(x.P50, x), msText(x.P99, x), msText(x.P9999, x),
			sizeText(x.PeakBytes), checkpointText(x), allocsText(x), remark(x),
		})
	}
	if len(r.Results) > 0 {
		t.Render()
		fmt.Fprintln(c.out)
	}
	for i := range r.Results {
		if x := &r.Results[i]; x.Status != bench.StatusOK {
			fmt.Fprintf(c.out, "%s %s, %s: %s\n", x.Suite, x.Name, x.Status, firstLine(x.Reason))
		}
	}
	for _, line := range benchNotes(r) {
		fmt.Fprintln(c.out, line)
	}
	if r.Interrupted {
		fmt.Fprintln(c.out, "Interrupted: what was not measured is missing.")
	}
}

func (c *cli) benchHead(r *bench.Report) {
	fmt.Fprintf(c.out, "Bramble %s, %s\n", r.Version, r.Started.Format("2006-01-02 15:04 MST"))
	if r.Remote != "" {
		fmt.Fprintf(c.out, "The cluster at %s, measured from:\n", r.Remote)
	}
	for _, line := range r.Machine.Lines() {
		fmt.Fprintln(c.out, line)
	}
	fmt.Fprintf(c.out, "Parallelism %d, %d taskmanager(s), checkpoints every %s.\n\n", r.Parallelism, r.TaskManagers, time.Duration(r.CheckpointMS)*time.Millisecond)
}

func benchNotes(r *bench.Report) []string {
	suites := map[string]bool{}
	for _, x := range r.Results {
		suites[x.Suite] = x.Status == bench.StatusOK || suites[x.Suite]
	}
	var out []string
	if suites["nexmark"] && r.Remote == "" {
		out = append(out, "nexmark: the generator runs inside, its work is in the figures. CHECKPOINTS is by how much they raise CPU/EVENT; some percent are noise.")
	}
	if suites["mqtt"] || suites["redis"] {
		out = append(out, "mqtt, redis: publisher and server are processes of their own on this machine; CPU/EVENT is the engine's alone.")
	}
	if len(suites) > 0 && r.Remote == "" {
		out = append(out, "Latency is from when an event was due to its row at the sink, at half of EVENTS/S; of windows, beyond their end and the watermark's delay.")
	}
	return out
}

// rightAligned are columns from first to last, which hold figures.
func rightAligned(first, last int) []table.ColumnConfig {
	var out []table.ColumnConfig
	for i := first; i <= last; i++ {
		out = append(out, table.ColumnConfig{Number: i, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	return out
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// countText is a number with three digits: 1.23 M.
func countText(n float64) string {
	switch {
	case n <= 0:
		return "-"
	case n < 1e3:
		return fmt.Sprintf("%.0f", n)
	case n < 1e6:
		return digits(n/1e3) + " k"
	default:
		return digits(n/1e6) + " M"
	}
}

func digits(n float64) string {
	switch {
	case n < 10:
		return fmt.Sprintf("%.2f", n)
	case n < 100:
		return fmt.Sprintf("%.1f", n)
	default:
		return fmt.Sprintf("%.0f", n)
	}
}

func nanosText(n float64) string {
	switch {
	case n <= 0:
		return "-"
	case n < 1000:
		return digits(n) + " ns"
	default:
		return digits(n/1000) + " us"
	}
}

func msText(ms float64, x *bench.Result) string {
	if x.LatencySamples == 0 {
		return "-"
	}
	return digits(ms) + " ms"
}

func sizeText(n int64) string {
	if n <= 0 {
		return "-"
	}
	return bytesText(n)
}

func checkpointText(x *bench.Result) string {
	if x.Checkpoints == 0 || x.CheckpointCost == 0 {
		return "-"
	}
	return fmt.Sprintf("%+.1f %%", 100*x.CheckpointCost)
}

func allocsText(x *bench.Result) string {
	if x.PeakBytes == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", x.AllocsPerEvent)
}

// remark is what does not fit a column.
func remark(x *bench.Result) string {
	var out []string
	if x.ServerCPUNanosPerEvent > 0 {
		out = append(out, "server "+nanosText(x.ServerCPUNanosPerEvent)+"/event")
	}
	switch {
	case x.Lost > 0 && x.CleanPerSecond > 0:
		out = append(out, fmt.Sprintf("lost %d at that rate, none at %s/s", x.Lost, countText(x.CleanPerSecond)))
	case x.Lost > 0:
		out = append(out, fmt.Sprintf("lost %d", x.Lost))
	case x.Suite == "mqtt":
		out = append(out, "none lost")
	}
	return strings.Join(out, "; ")
}

func (c *cli) benchCompare() *cobra.Command {
	return &cobra.Command{
		Use:   "compare A.json B.json",
		Short: "Lay two reports of `bramble bench -o json` side by side; ratios are B's by A's",
		Args:  app.Args(2, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			a, err := bench.Load(args[0])
			if err != nil {
				return err
			}
			b, err := bench.Load(args[1])
			if err != nil {
				return err
			}
			if c.output == "json" {
				return c.benchJSON(bench.Compare(a, b))
			}
			c.printCompare(a, b)
			return nil
		},
	}
}

func (c *cli) printCompare(a, b *bench.Report) {
	for i, r := range []*bench.Report{a, b} {
		fmt.Fprintf(c.out, "%c: Bramble %s, %s\n", 'A'+i, r.Version, strings.Join(r.Machine.Lines(), "\n   "))
	}
	fmt.Fprintln(c.out)
	t := c.newTable("", "A PER CORE", "B PER CORE", "B/A", "EVENTS/S", "CPU/EVENT", "P99", "P99.99", "PEAK RSS", "")
	t.SetColumnConfigs(rightAligned(2, 9))
	pairs := bench.Compare(a, b)
	for _, p := range pairs {
		x := p.Ratios()
		t.AppendRow(table.Row{
			p.Suite + " " + p.Name, perCore(p.A), perCore(p.B), ratioText(x.PerCore), ratioText(x.Events), ratioText(x.CPU), ratioText(x.P99), ratioText(x.P9999), ratioText(x.Memory),
			compareRemark(p),
		})
	}
	t.Render()
	if mean, n := bench.GeometricMean(pairs, func(r bench.Ratios) float64 { return r.PerCore }); n > 0 {
		fmt.Fprintf(c.out, "\nEvents per core second, geometric mean over %d: B has %.2f times A's.\n", n, mean)
	}
}

func perCore(r *bench.Result) string {
	switch {
	case r == nil:
		return "not run"
	case r.Status != bench.StatusOK:
		return r.Status
	}
	return countText(r.EventsPerCoreSecond)
}

func ratioText(x float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2fx", x)
}

func compareRemark(p *bench.Pair) string {
	if p.Different() {
		return "DIFFERENT ROWS"
	}
	return ""
}

func benchWorkerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    benchWorker,
		Short:  "What bench starts",
		Hidden: true,
		Args:   app.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return bench.RunWorker(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}
