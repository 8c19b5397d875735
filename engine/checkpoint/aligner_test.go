package checkpoint

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/bramble-stream/bramble/engine/stream"
)

func TestAligner(t *testing.T) {
	datadriven.Walk(t, "testdata/aligner", func(t *testing.T, path string) {
		var a *Aligner
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var in, epoch int
			var s Step
			switch d.Cmd {
			case "new":
				d.ScanArgs(t, "inputs", &in)
				a = NewAligner(in)
			case "barrier":
				d.ScanArgs(t, "in", &in)
				d.ScanArgs(t, "epoch", &epoch)
				s = a.OnBarrier(in, stream.Barrier{Epoch: stream.Epoch(epoch)})
			case "end":
				d.ScanArgs(t, "in", &in)
				s = a.OnEnd(in)
			case "abort":
				d.ScanArgs(t, "epoch", &epoch)
				s = a.OnAbort(stream.Epoch(epoch))
			default:
				t.Fatalf("unknown command %q", d.Cmd)
			}
			return stepText(s, in) + "state: " + a.String() + "\n"
		})
	})
}

func stepText(s Step, in int) string {
	var b strings.Builder
	if s.Aborted != 0 {
		fmt.Fprintf(&b, "give up %d, unblock all\n", s.Aborted)
	}
	if s.Block {
		fmt.Fprintf(&b, "block %d\n", in)
	}
	if s.Snapshot {
		fmt.Fprintf(&b, "snapshot %d, forward, unblock all\n", s.Barrier.Epoch)
	}
	return b.String()
}
