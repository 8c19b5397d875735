package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/bramble-stream/bramble/engine/client"
	"github.com/bramble-stream/bramble/internal/app"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// healthGrace is how long submit looks, once the job runs, whether outside systems answer.
const healthGrace = 500 * time.Millisecond

func (c *cli) submit() *cobra.Command {
	var (
		script scriptFlags
		name   string
		wait   bool
		from   string
		lose   bool
	)
	cmd := &cobra.Command{
		Use:   "submit JOB.sql",
		Short: "Submit a job; returns when it runs, with --wait when it has ended",
		Args:  app.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			// As with a variable that is not set: the job would begin anew, which nobody who writes this wants.
			if cmd.Flags().Changed("from-savepoint") && from == "" {
				return app.Usagef("--from-savepoint is empty: it takes the path that `bramble savepoint` or `bramble stop` has printed")
			}
			s, err := script.load(args[0], cmd.InOrStdin(), c.err)
			if err != nil {
				return err
			}
			return c.connect(func(cl *client.Client) error {
				id, warnings, err := cl.SubmitFrom(cmd.Context(), s, name, from, lose)
				if err != nil {
					return err
				}
				for _, w := range warnings {
					fmt.Fprintln(c.err, "warning:", w)
				}
				if c.output == "table" {
					fmt.Fprintln(c.out, "Job has been submitted with JobID", id)
				}
				last, err := follow(cmd.Context(), cl, id, c.err, wait, false)
				if interrupted(err) {
					fmt.Fprintf(c.err, "no longer waiting; the job goes on: `bramble status %s`, `bramble cancel %s`\n", id[:8], id[:8])
				}
				if err != nil {
					return err
				}
				if c.output == "json" {
					if err := printJSON(c, false, last.Summary); err != nil {
						return err
					}
				}
				return c.outcome(last, wait)
			})
		},
	}
	script.add(cmd)
	cmd.Flags().StringVar(&name, "name", "", "name of the job (default pipeline.name)")
	cmd.Flags().StringVar(&from, "from-savepoint", "", "go on from the savepoint at this path")
	cmd.Flags().BoolVar(&lose, "allow-non-restored-state", false, "leave state of the savepoint behind that no operator takes over")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the job has ended")
	return cmd
}

// follow watches a job until it runs, or with wait until it has ended, and tells what it waits for.
// local says that the job's own cluster is just coming up: slots are on their way, and nobody needs to know.
func follow(ctx context.Context, cl *client.Client, id string, w io.Writer, wait, local bool) (*pb.WatchJobResponse, error) {
	var last *pb.WatchJobResponse
	told := map[string]bool{}
	tell := func(line string) {
		if !told[line] {
			told[line] = true
			fmt.Fprintln(w, line)
		}
	}
	look := func(u *pb.WatchJobResponse) {
		last = u
		if r := u.Summary.WaitingReason; strings.HasPrefix(r, "needs") && !local {
			tell("waiting: " + r)
		}
		for _, h := range u.Health {
			if h.Error != "" {
				tell(fmt.Sprintf("waiting: %s: %s", h.Component, h.Error))
			}
		}
	}
	err := cl.Watch(ctx, id, func(u *pb.WatchJobResponse) bool {
		look(u)
		return wait || u.Summary.State == pb.JobState_JOB_STATE_INITIALIZING || u.Summary.State == pb.JobState_JOB_STATE_CREATED ||
			u.Summary.State == pb.JobState_JOB_STATE_FAILING || u.Summary.State == pb.JobState_JOB_STATE_RESTARTING
	})
	if err != nil || wait || last == nil || ended(last.Summary.State) {
		return last, err
	}
	grace, cancel := context.WithTimeout(ctx, healthGrace)
	defer cancel()
	err = cl.Watch(grace, id, func(u *pb.WatchJobResponse) bool {
		look(u)
		return !ended(u.Summary.State)
	})
	if interrupted(err) && ctx.Err() == nil {
		err = nil
	}
	return last, err
}

// outcome is the exit code of a job that was waited for.
func (c *cli) outcome(last *pb.WatchJobResponse, wait bool) error {
	s := last.Summary
	switch {
	case s.State == pb.JobState_JOB_STATE_FAILED || s.State == pb.JobState_JOB_STATE_FAILING:
		msg := "without saying why"
		if e := last.RootCause; e != nil {
			msg = e.Message
			if where := exceptionPlace(e); where != "" {
				msg += "\n  in " + where
			}
		}
		return fmt.Errorf("job %s failed: %s", s.JobId, msg)
	case wait && c.output == "table":
		fmt.Fprintf(c.out, "Job %s is %s after %s.\n", s.JobId, jobState(s.State), duration(s.EndedAtMs-s.SubmittedAtMs))
	}
	if wait && s.State != pb.JobState_JOB_STATE_FINISHED {
		return &app.SilentError{}
	}
	return nil
}

func (c *cli) list() *cobra.Command {
	var running, all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List jobs that have not ended; -a also those that have",
		Args:  app.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.connect(func(cl *client.Client) error {
				jobs, err := cl.Jobs(cmd.Context())
				if err != nil {
					return err
				}
				shown := jobs[:0]
				for _, j := range jobs {
					if all || (!ended(j.State) && (!running || j.State == pb.JobState_JOB_STATE_RUNNING)) {
						shown = append(shown, j)
					}
				}
				if c.output == "json" {
					return printJSON(c, true, shown...)
				}
				c.printJobs(shown, all)
				return nil
			})
		},
	}
	cmd.Flags().BoolVarP(&running, "running", "r", false, "only those that are RUNNING")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also those that have ended")
	return cmd
}

func (c *cli) printJobs(jobs []*pb.JobSummary, all bool) {
	if len(jobs) == 0 {
		if all {
			fmt.Fprintln(c.out, "No jobs.")
		} else {
			fmt.Fprintln(c.out, "No running jobs.")
		}
		return
	}
	t := c.newTable("JOB ID", "NAME", "STATE", "TASKS", "SUBMITTED", "")
	for _, j := range jobs {
		tasks := fmt.Sprintf("%d of %d run", j.TasksRunning, j.TasksTotal)
		if j.TasksFinished > 0 {
			tasks += fmt.Sprintf(", %d done", j.TasksFinished)
		}
		t.AppendRow(table.Row{j.JobId, j.Name, jobState(j.State), tasks, clock(j.SubmittedAtMs), j.WaitingReason})
	}
	t.Render()
}

func (c *cli) status() *cobra.Command {
	var epoch uint64
	cmd := &cobra.Command{
		Use:   "status JOBID",
		Short: "Show a job: state, tasks, exceptions, checkpoints, outside systems; a unique beginning of the ID does",
		Args:  app.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.connect(func(cl *client.Client) error {
				j, err := cl.Job(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(c, false, j)
				}
				return c.printStatus(j, epoch)
			})
		},
	}
	cmd.Flags().Uint64Var(&epoch, "checkpoint", 0, "show what each task contributed to this checkpoint, by its ID; 0 is the newest that has completed")
	return cmd
}

func (c *cli) printStatus(j *pb.JobDetail, epoch uint64) error {
	s := j.Summary
	fmt.Fprintf(c.out, "Job        %s\nName       %s\nState      %s\n", s.JobId, s.Name, jobState(s.State))
	if s.WaitingReason != "" {
		fmt.Fprintf(c.out, "Waiting    %s\n", s.WaitingReason)
	}
	fmt.Fprintf(c.out, "Submitted  %s\n", clock(s.SubmittedAtMs))
	if s.Restarts > 0 {
		fmt.Fprintf(c.out, "Restarts   %d\n", s.Restarts)
	}
	if s.EndedAtMs != 0 {
		fmt.Fprintf(c.out, "Ended      %s, after %s\n", clock(s.EndedAtMs), duration(s.EndedAtMs-s.SubmittedAtMs))
	}
	if len(j.Exceptions) > 0 {
		fmt.Fprintln(c.out, "\nExceptions, the root cause first")
		for _, e := range j.Exceptions {
			fmt.Fprintf(c.out, "  %s  %s\n", clock(e.AtMs), e.Message)
			if where := exceptionPlace(e); where != "" {
				fmt.Fprintf(c.out, "      %s\n", where)
			}
		}
	}
	if err := c.printCheckpoints(j, epoch); err != nil {
		return err
	}
	if len(j.Health) > 0 {
		fmt.Fprintln(c.out, "\nOutside systems")
		for _, h := range j.Health {
			word := "ok"
			if h.Error != "" {
				word = "waiting since " + clock(h.SinceMs) + ": " + h.Error
			}
			fmt.Fprintf(c.out, "  %s, task %d of %s: %s\n", h.Component, h.Task.GetIndex()+1, shorten(h.VertexName, 40), word)
		}
	}
	fmt.Fprintln(c.out)
	t := c.newTable("VERTEX", "TASK", "STATE", "TASKMANAGER", "IN", "OUT", "LATE", "BAD", "STATE SIZE", "WATERMARK")
	for _, v := range j.Vertices {
		for _, k := range v.Tasks {
			m := k.Metrics
			if m == nil {
				m = &pb.TaskMetrics{}
			}
			t.AppendRow(table.Row{
				shorten(v.Name, 40), fmt.Sprintf("%d/%d", k.Index+1, v.Parallelism), taskState(k.State), k.TaskmanagerId, m.RecordsIn, m.RecordsOut,
				m.LateRecords, m.BadRecords, bytesText(m.StateBytes), watermark(m.WatermarkMs),
			})
		}
	}
	t.Render()
	return nil
}

func exceptionPlace(e *pb.JobException) string {
	var parts []string
	if e.VertexName != "" {
		parts = append(parts, fmt.Sprintf("task %d of %s", e.Index+1, e.VertexName))
	}
	if e.Operator != "" {
		parts = append(parts, "operator "+e.Operator)
	}
	if e.Line != 0 {
		parts = append(parts, fmt.Sprintf("script line %d:%d", e.Line, e.Column))
	}
	if e.TaskmanagerId != "" {
		parts = append(parts, "on "+e.TaskmanagerId)
	}
	if e.Attempt > 1 {
		parts = append(parts, fmt.Sprintf("attempt %d", e.Attempt))
	}
	return strings.Join(parts, ", ")
}

func shorten(s string, runes int) string {
	r := []rune(s)
	if len(r) <= runes {
		return s
	}
	return string(r[:runes-1]) + "…"
}

func (c *cli) cancel() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel JOBID",
		Short: "Stop a job now; a unique beginning of the ID does",
		Args:  app.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.connect(func(cl *client.Client) error {
				id, state, err := cl.Cancel(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(c, false, &pb.CancelJobResponse{JobId: id, State: state})
				}
				fmt.Fprintf(c.out, "Cancelled job %s.\n", id)
				return nil
			})
		},
	}
}

func (c *cli) taskManagers() *cobra.Command {
	return &cobra.Command{
		Use:   "taskmanagers",
		Short: "List the registered taskmanagers",
		Args:  app.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.connect(func(cl *client.Client) error {
				all, err := cl.TaskManagers(cmd.Context())
				if err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(c, true, all...)
				}
				if len(all) == 0 {
					fmt.Fprintln(c.out, "No taskmanagers are registered.")
					return nil
				}
				t := c.newTable("TASKMANAGER", "DATA ADDRESS", "SLOTS", "FREE", "TASKS", "MEMORY", "USED", "CORES", "PLATFORM", "VERSION", "REGISTERED")
				for _, m := range all {
					t.AppendRow(table.Row{
						m.TaskmanagerId, m.DataAddress, m.SlotsTotal, m.SlotsFree, m.TasksRunning, bytesText(m.MemoryBytes),
						bytesText(m.MemoryUsedBytes), m.Cores, m.Platform, m.Version, clock(m.RegisteredAtMs),
					})
				}
				t.Render()
				return nil
			})
		},
	}
}
