// Package conformance is the suite that every source and sink passes, against the real system where there is one. It starts no
// servers: a connector's test says how to make records, and how to restart the server and cut the connection.
package conformance

import (
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

const (
	// patience is how long something that has to happen may take: a restarted server, a reconnection.
	patience = 60 * time.Second
	// prompt is how soon a call returns after its context has ended.
	prompt = 5 * time.Second
	// pollWait is the wait that Poll is given.
	pollWait = 20 * time.Millisecond
)

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

// Env is what a connector runs in, and what it did there.
type Env struct {
	*op.Context
	// Cancel ends the task.
	Cancel context.CancelFunc

	mu struct {
		sync.Mutex
		health map[string]error
		// failures counts the reports of trouble.
		failures int
		// bad are the refused records, and why each was.
		bad, reasons []string
	}
}

// NewEnv returns the surroundings of task index of parallelism, with a fresh attempt's context. deadLetters says that somebody takes the
// records that are refused.
func NewEnv(t testing.TB, index, parallelism int, deadLetters bool) *Env {
	t.Helper()
	e := &Env{}
	e.mu.health = map[string]error{}
	ctx, cancel := context.WithCancel(t.Context())
	e.Cancel = cancel
	t.Cleanup(cancel)
	e.Context = &op.Context{
		Ctx: ctx, Log: slog.New(slog.DiscardHandler), Metrics: &op.Metrics{}, Clock: wallClock{}, Rand: rand.Reader, Location: time.UTC,
		Checkpointing: true, MemoryBytes: 64 << 20, Health: e.report,
		Watermark: func() stream.Time { return stream.MinTime },
		Task: op.TaskInfo{
			JobID: "0123456789abcdef", JobName: "conformance", OperatorID: "fedcba9876543210", Operator: "table",
			Index: index, Parallelism: parallelism, MaxParallelism: stream.DefaultMaxParallelism,
		},
	}
	e.Side = func(tag string) op.Output {
		if tag == graph.TagBad && deadLetters {
			return (*badOutput)(e)
		}
		return nil
	}
	return e
}

func (e *Env) report(component string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.health[component] = err
	if err != nil {
		e.mu.failures++
	}
}

// Failures returns how often trouble has been reported.
func (e *Env) Failures() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mu.failures
}

// Healthy reports whether all components that have reported are.
func (e *Env) Healthy() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, err := range e.mu.health {
		if err != nil {
			return false
		}
	}
	return true
}

// Trouble returns what a component that is not healthy says, nil for nothing.
func (e *Env) Trouble() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, err := range e.mu.health {
		if err != nil {
			return err
		}
	}
	return nil
}

// Reported reports whether any component has said how it is.
func (e *Env) Reported() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.mu.health) > 0
}

// Bad returns the refused records, as text.
func (e *Env) Bad() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.mu.bad...)
}

// Reasons returns why the refused records were.
func (e *Env) Reasons() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.mu.reasons...)
}

// badOutput keeps what goes to the dead-letter table.
type badOutput Env

func (o *badOutput) Emit(b *vec.Batch) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range b.Rows() {
		o.mu.bad = append(o.mu.bad, b.Col(2).Str(i))
		o.mu.reasons = append(o.mu.reasons, b.Col(1).Str(i))
	}
	return nil
}

func (o *badOutput) EmitWatermark(stream.Time) error { return nil }

// with returns the table with options changed: keys and values in turn.
func with(t *graph.TableSpec, options ...string) *graph.TableSpec {
	c := *t
	c.Options = maps.Clone(t.Options)
	for i := 0; i+1 < len(options); i += 2 {
		c.Options[options[i]] = options[i+1]
	}
	return &c
}

// RowText is a row as text that two tables with the same values agree in.
func RowText(b *vec.Batch, i int) string {
	var out []byte
	for k, c := range b.Cols() {
		if k > 0 {
			out = append(out, ' ')
		}
		out = format.AppendJSON(out, c, i, format.TextStyle{Sep: ' '})
	}
	return string(out)
}

// joined fails the test if goroutines that were started since have not ended.
func joined(t testing.TB) func() {
	t.Helper()
	before := goleak.IgnoreCurrent()
	return func() {
		t.Helper()
		if err := goleak.Find(before); err != nil {
			t.Errorf("Close does not join its goroutines: %v", err)
		}
	}
}

// within fails the test if do takes longer than most.
func within(t testing.TB, most time.Duration, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		t.Fatalf("%s did not return within %s", what, most)
	}
}
