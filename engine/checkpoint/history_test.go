package checkpoint

import (
	"slices"
	"testing"

	"github.com/bramble-stream/bramble/engine/stream"
)

// TestHistoryKeepsSavepoints: whoever looks for a savepoint of an hour ago finds it, however many checkpoints came since.
func TestHistoryKeepsSavepoints(t *testing.T) {
	c := NewCoordinator(Config{JobID: "job", Leader: 1}, nil, 0)
	for e := stream.Epoch(1); e <= 40; e++ {
		p := &pending{Record: Record{Epoch: e, Savepoint: e%4 == 0}}
		c.pending = append(c.pending, p)
		status := Completed
		if e == 24 {
			status = Failed
		}
		c.end(p, status, "")
	}
	var got []stream.Epoch
	for _, r := range c.History() {
		got = append(got, r.Epoch)
	}
	// The last ten, and the five savepoints before them; that of 24 failed.
	if want := []stream.Epoch{40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 28, 20, 16, 12, 8}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
