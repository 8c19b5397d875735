package cli

import (
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"

	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// printCheckpoints shows what is known of a job's checkpoints; nothing when it takes none.
func (c *cli) printCheckpoints(k *pb.Checkpoints) {
	if k == nil {
		return
	}
	every := "on request"
	if k.IntervalMs > 0 {
		every = "every " + duration(k.IntervalMs)
	}
	fmt.Fprintf(c.out, "\nCheckpoints, %s: %d completed, %d failed", every, k.Completed, k.Failed)
	if k.RestoredEpoch > 0 {
		fmt.Fprintf(c.out, "; restored from %d", k.RestoredEpoch)
	}
	fmt.Fprintln(c.out)
	if len(k.History) == 0 {
		return
	}
	t := c.newTable("ID", "STATUS", "TRIGGERED", "TOOK", "SIZE", "NEW", "ALIGNED", "TASKS", "")
	for _, p := range k.History {
		took, note := "-", p.Reason
		if p.EndedAtMs != 0 {
			took = duration(p.EndedAtMs - p.TriggeredAtMs)
		}
		if p.Savepoint {
			note = "savepoint " + p.Path + p.Reason
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
}
