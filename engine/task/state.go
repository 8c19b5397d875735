package task

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/engine/exchange"
	"github.com/bramble-stream/bramble/engine/op"
)

// State is where a task stands; the words are Flink's.
type State uint8

// The states. A task itself begins with Deploying; Created and Scheduled are the scheduler's.
const (
	Created State = iota
	Scheduled
	Deploying
	Initializing
	Running
	Finished
	Canceling
	Canceled
	Failed
	stateCount
)

var stateNames = [stateCount]string{
	"CREATED", "SCHEDULED", "DEPLOYING", "INITIALIZING", "RUNNING", "FINISHED", "CANCELING", "CANCELED", "FAILED",
}

// String is Flink's word.
func (s State) String() string { return stateNames[s] }

// Terminal reports whether nothing follows.
func (s State) Terminal() bool { return s == Finished || s == Canceled || s == Failed }

// StateChange is a task's new state.
type StateChange struct {
	State State
	At    time.Time
	// Failure comes with Failed.
	Failure *Failure
}

// State returns the present state.
func (t *Task) State() State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.state
}

// StateTime returns when the task entered the state; ok is false when it has not.
func (t *Task) StateTime(s State) (at time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.times[s], !t.mu.times[s].IsZero()
}

// setState enters a state, unless the task is in a terminal one, and reports it. Reports come one at a time, in order.
func (t *Task) setState(s State, f *Failure) {
	t.reporting.Lock()
	defer t.reporting.Unlock()
	now := t.clock.Now()
	t.mu.Lock()
	if t.mu.state.Terminal() {
		t.mu.Unlock()
		return
	}
	t.mu.state = s
	t.mu.times[s] = now
	t.mu.Unlock()
	if t.cfg.OnState != nil {
		t.cfg.OnState(StateChange{State: s, At: now, Failure: f})
	}
}

// Failure is why a task ended before its time.
type Failure struct {
	JobID string
	// Task is the task's name with its number, VertexID and Index identify it.
	Task     string
	VertexID string
	Index    int
	// Operator is the operator that failed, OperatorID its ID; empty when it was the task itself.
	Operator, OperatorID string
	// Line and Column are where the operator comes from in the script, 0 when unknown.
	Line, Column int
	// Secondary: it only follows from another task's end.
	Secondary bool
	Err       error
}

// Error is `task "source: sensors (1/3)", operator "filter" at 12:8: cause`.
func (f *Failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "task %q", f.Task)
	if f.Operator != "" {
		fmt.Fprintf(&b, ", operator %q", f.Operator)
	}
	if f.Line > 0 {
		fmt.Fprintf(&b, " at %d:%d", f.Line, f.Column)
	}
	fmt.Fprintf(&b, ": %v", f.Err)
	return b.String()
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// failure wraps err unless it already is a Failure. n is the operator that it came from, nil for none.
func (t *Task) failure(n *node, err error) *Failure {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	f := &Failure{
		JobID: t.cfg.JobID, Task: t.Name(), VertexID: t.vertex.ID, Index: t.cfg.Index, Err: err,
	}
	if _, ok := errors.AsType[*exchange.PeerError](err); ok || errors.Is(err, exchange.ErrClosed) {
		f.Secondary = true
	}
	if n != nil {
		f.Operator, f.OperatorID, f.Line, f.Column = n.spec.Name, n.spec.ID, n.spec.Line, n.spec.Column
	}
	return f
}

// stopped reports whether err is nothing but the task's cancellation.
func (t *Task) stopped(err error) bool {
	return t.ctx.Err() != nil || errors.Is(err, op.ErrStopped)
}

// Health is what an outside system is doing.
type Health struct {
	OperatorID string
	Component  string
	// Err is nil when all is well.
	Err error
	At  time.Time
}

// Health returns the latest report of each component of each operator.
func (t *Task) Health() []Health {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Health
	for _, h := range t.mu.health {
		out = append(out, h)
	}
	return out
}

func (t *Task) reportHealth(n *node, component string, err error) {
	h := Health{OperatorID: n.spec.ID, Component: component, Err: err, At: t.clock.Now()}
	t.mu.Lock()
	old, known := t.mu.health[n.spec.ID+"/"+component]
	t.mu.health[n.spec.ID+"/"+component] = h
	t.mu.Unlock()
	same := known && (old.Err == nil) == (err == nil) && (err == nil || old.Err.Error() == err.Error())
	if t.cfg.OnHealth != nil && !same {
		t.cfg.OnHealth(h)
	}
}
