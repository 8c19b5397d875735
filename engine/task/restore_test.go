package task_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/bramble-stream/bramble/engine/exchange"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/task"
	"github.com/bramble-stream/bramble/engine/vec"
)

func TestStateIsRestoredBeforeRows(t *testing.T) {
	w := newWorld()
	g := countJob(1, "{}", "{}", "{}")
	var states []string
	tk, err := task.New(task.Config{
		JobID: "j", Graph: g, Vertex: 1, Builders: w.builders(),
		Restore: &task.Restore{Epoch: 3, Operators: map[string]task.OperatorRestore{"group-id": {Parts: [][]byte{[]byte(`{"5":7}`)}}}},
		OnState: func(c task.StateChange) { states = append(states, c.State.String()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	in := tk.Inputs()[0]
	if in.ID != (exchange.ChannelID{}) {
		t.Errorf("%v", in.ID)
	}
	if ok, err := in.In.TryPut(stream.Element{Kind: stream.KindEnd}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := tk.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.published["sink"]; len(got) != 1 || got[0] != [2]int64{5, 7} {
		t.Errorf("%v", got)
	}
	if want := []string{"CREATED", "DEPLOYING", "INITIALIZING", "RUNNING", "FINISHED"}; !slices.Equal(states, want) {
		t.Errorf("%v", states)
	}
	if at, ok := tk.StateTime(task.Running); !ok || at.IsZero() {
		t.Error("no time of RUNNING")
	}
	if h := tk.Health(); len(h) != 1 || h[0].Component != "fake" {
		t.Errorf("%+v", h)
	}
}

// TestLostInputIsSecondary: an error of a channel is the task's, and no operator is blamed.
func TestLostInputIsSecondary(t *testing.T) {
	w := newWorld()
	tk, err := task.New(task.Config{JobID: "j", Graph: countJob(1, "{}", "{}", "{}"), Vertex: 1, Builders: w.builders()})
	if err != nil {
		t.Fatal(err)
	}
	tk.Inputs()[0].In.Fail(&exchange.PeerError{TaskManager: "tm-3", Err: errors.New("reset by peer")})
	f, ok := errors.AsType[*task.Failure](tk.Run(t.Context()))
	if !ok || !f.Secondary || f.Error() != `task "count (1/1)": connection to taskmanager tm-3 lost: reset by peer` {
		t.Errorf("%v", f)
	}
	if ok, err := tk.Inputs()[0].In.TryPut(stream.Element{Kind: stream.KindEnd}); ok || !errors.Is(err, exchange.ErrClosed) {
		t.Errorf("%v %v", ok, err)
	}
}

// stubborn is an operator that fails to open, and panics when closed.
type stubborn struct{ splitter }

func (*stubborn) Open(*op.Context) error { return errors.New("no key") }
func (*stubborn) Close() error           { panic("closed twice") }

func TestOpenErrorClosesTheRest(t *testing.T) {
	w := newWorld()
	b := w.builders()
	b[graph.KindGroup] = func(*graph.Node, []*vec.Schema) (task.Built, error) {
		return task.Built{Operator: &stubborn{}}, nil
	}
	g := countJob(1, `{"Rows":-1,"Keys":1}`, "{}", "{}")
	err := task.RunLocal(t.Context(), task.LocalConfig{Graph: g, Builders: b, Splits: nSplits(1)})
	if err == nil || err.Error() != `task "count (1/1)", operator "group" at 3:8: open: no key` {
		t.Errorf("%v", err)
	}
	if !slices.Contains(w.notes, "close sink") {
		t.Errorf("%q", w.notes)
	}
}
