package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/client"
	"github.com/bramble-stream/bramble/internal/app"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// printCheckpoints shows what is known of a job's checkpoints, and the parts of the one of an epoch, of the newest that has completed for 0; nothing when the
// job takes none.
func (c *cli) printCheckpoints(j *pb.JobDetail, epoch uint64) error {
	k := j.Checkpoints
	if k == nil {
		return nil
	}
	every := "on request"
	if k.IntervalMs > 0 {
		every = "every " + duration(k.IntervalMs)
	}
	fmt.Fprintf(c.out, "\nCheckpoints, %s: %d completed, %d failed", every, k.Completed, k.Failed)
	if k.RestoredEpoch > 0 {
		fmt.Fprintf(c.out, "; restored from %d", k.RestoredEpoch)
	}
	if k.Damaged > 0 {
		fmt.Fprintf(c.out, "; %d damaged, passed over at a restart", k.Damaged)
	}
	fmt.Fprintln(c.out)
	if len(k.History) == 0 {
		return nil
	}
	t := c.newTable("ID", "STATUS", "TRIGGERED", "TOOK", "SIZE", "NEW", "ALIGNED", "TASKS", "")
	for _, p := range k.History {
		took, note := "-", p.Reason
		if p.EndedAtMs != 0 {
			took = duration(p.EndedAtMs - p.TriggeredAtMs)
		}
		note = strings.ReplaceAll(note, "\n", "; ")
		if p.Savepoint {
			note = strings.TrimSuffix("savepoint "+p.Path+": "+note, ": ")
		}
		var align int64
		for _, k := range p.Tasks {
			align = max(align, k.AlignMs)
		}
		t.AppendRow(table.Row{
			p.Epoch, p.Status, clock(p.TriggeredAtMs), took, bytesText(p.SizeBytes), bytesText(p.NewBytes), duration(align),
			fmt.Sprintf("%d of %d", len(p.Tasks), p.TasksTotal), note,
		})
	}
	t.Render()
	return c.printParts(j, epoch)
}

// printParts shows what the tasks have contributed to a checkpoint.
func (c *cli) printParts(j *pb.JobDetail, epoch uint64) error {
	at := slices.IndexFunc(j.Checkpoints.History, func(p *pb.Checkpoint) bool {
		return p.Epoch == epoch || epoch == 0 && p.Status == string(checkpoint.Completed)
	})
	if at < 0 {
		if epoch == 0 {
			return nil // none has completed yet
		}
		return fmt.Errorf("checkpoint %d is not among those that the jobmanager remembers", epoch)
	}
	p := j.Checkpoints.History[at]
	fmt.Fprintf(c.out, "\nParts of checkpoint %d\n", p.Epoch)
	t := c.newTable("VERTEX", "TASK", "TOOK", "ALIGNED", "SNAPSHOT", "UPLOAD", "SIZE", "NEW")
	for _, v := range j.Vertices {
		for _, k := range p.Tasks {
			if k.Task.GetVertexId() == v.VertexId {
				t.AppendRow(table.Row{
					shorten(v.Name, 40), fmt.Sprintf("%d/%d", k.Task.Index+1, v.Parallelism), duration(k.AckMs), duration(k.AlignMs), duration(k.SnapshotMs), duration(k.UploadMs),
					bytesText(k.SizeBytes), bytesText(k.NewBytes),
				})
			}
		}
	}
	t.Render()
	return nil
}

func (c *cli) savepoint() *cobra.Command {
	var dispose string
	cmd := &cobra.Command{
		Use:   "savepoint JOBID [DIR]",
		Short: "Take a savepoint of a running job; with --dispose PATH delete one",
		Long: "savepoint makes a directory of its own below DIR (by default beside the checkpoints) that holds all state of the job.\n" +
			"DIR is a URI or an absolute path as the jobmanager and the taskmanagers see it. `bramble submit --from-savepoint` goes on from it.",
		Args: func(cmd *cobra.Command, args []string) error {
			if dispose != "" {
				return app.Args(0, 0)(cmd, args)
			}
			return app.Args(1, 2)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.connect(func(cl *client.Client) error {
				if dispose != "" {
					if err := cl.DisposeSavepoint(cmd.Context(), dispose); err != nil {
						return err
					}
					fmt.Fprintf(c.out, "Savepoint %s disposed.\n", dispose)
					return nil
				}
				id, path, err := cl.Savepoint(cmd.Context(), args[0], optional(args, 1))
				if err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(c, false, &pb.TriggerSavepointResponse{JobId: id, Path: path})
				}
				fmt.Fprintf(c.out, "Savepoint completed. Path: %s\n", path)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&dispose, "dispose", "", "delete the savepoint at this path")
	return cmd
}

func optional(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

func (c *cli) stop() *cobra.Command {
	var dir string
	var drain bool
	cmd := &cobra.Command{
		Use:   "stop JOBID",
		Short: "Take a savepoint of a running job and end it there",
		Args:  app.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.connect(func(cl *client.Client) error {
				resp, err := cl.Stop(cmd.Context(), args[0], dir, drain)
				if err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(c, false, resp)
				}
				fmt.Fprintf(c.out, "Savepoint completed. Path: %s\n", resp.Path)
				if resp.State != pb.JobState_JOB_STATE_FINISHED {
					return fmt.Errorf("job %s is %s nevertheless", resp.JobId, jobState(resp.State))
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&dir, "savepoint-path", "", "where to make the savepoint's directory (default beside the checkpoints)")
	cmd.Flags().BoolVar(&drain, "drain", false, "end event time first: all windows fire, and their results are published;\nfor a job that is not to go on, as rows after the savepoint are late")
	return cmd
}

func (c *cli) rescale() *cobra.Command {
	var parallelism int
	cmd := &cobra.Command{
		Use:   "rescale JOBID -p N",
		Short: "Change the parallelism of a running job, keeping its state",
		Args:  app.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("parallelism") {
				return app.Usagef("something is missing: the new parallelism, -p N")
			}
			if parallelism < 1 {
				return app.Usagef("--parallelism %d: at least 1", parallelism)
			}
			return c.connect(func(cl *client.Client) error {
				resp, err := cl.Rescale(cmd.Context(), args[0], parallelism)
				if err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(c, false, resp)
				}
				fmt.Fprintf(c.out, "Job %s is %s at parallelism %d.\n", resp.JobId, jobState(resp.State), parallelism)
				return nil
			})
		},
	}
	cmd.Flags().IntVarP(&parallelism, "parallelism", "p", 0, "the new parallelism")
	return cmd
}
