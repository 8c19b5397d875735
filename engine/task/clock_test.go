package task_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/task"
	"github.com/bramble-stream/bramble/engine/vec"
)

// setClock is a clock that can be set.
type setClock struct{ by atomic.Int64 }

func (c *setClock) Now() time.Time { return time.Now().Round(0).Add(time.Duration(c.by.Load())) }

// minutely wants to be called every minute, by the clock.
type minutely struct {
	clock op.Clock
	at    stream.Time
	began time.Time
	calls []time.Duration
}

func (m *minutely) Open(ctx *op.Context) error {
	m.clock, m.began = ctx.Clock, time.Now()
	m.at = m.clock.Now().UnixMilli() + 60_000
	return nil
}
func (m *minutely) Process(_ int, b *vec.Batch, out op.Output) error { return out.Emit(b) }
func (m *minutely) Close() error                                     { return nil }
func (m *minutely) NextTimer() stream.Time                           { return m.at }
func (m *minutely) OnTimer(now stream.Time, _ op.Output) error {
	m.calls = append(m.calls, time.Since(m.began))
	m.at = now + 60_000
	return nil
}

// TestTimersWhenTheClockIsSet: a task without input hears within seconds that the clock was set forward by years, and back by an hour. In between it goes by it.
func TestTimersWhenTheClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		b := w.builders()
		m := &minutely{}
		b[graph.KindSource] = func(*graph.Node, []*vec.Schema) (task.Built, error) {
			return task.Built{Source: &silent{&distant{fakeSource: fakeSource{world: w}}}}, nil
		}
		b[graph.KindWatermark] = func(*graph.Node, []*vec.Schema) (task.Built, error) { return task.Built{Operator: &discarded{}}, nil }
		b[graph.KindGroup] = func(*graph.Node, []*vec.Schema) (task.Built, error) { return task.Built{Operator: m}, nil }
		b[graph.KindSink] = func(*graph.Node, []*vec.Schema) (task.Built, error) { return task.Built{Sink: discard{}}, nil }
		clock := &setClock{}
		time.AfterFunc(15*time.Second, func() { clock.by.Store(int64(26 * 365 * 24 * time.Hour)) })
		time.AfterFunc(115*time.Second, func() { clock.by.Add(-int64(time.Hour)) })
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Second)
		defer cancel()
		_ = task.RunLocal(ctx, task.LocalConfig{Graph: countJob(1, "{}", "{}", "{}"), Builders: b, Splits: nSplits(1), LatencyInterval: -1, Clock: clock})
		var at []int
		for _, c := range m.calls {
			at = append(at, int(c.Round(10*time.Second).Seconds()))
		}
		if want := []int{20, 80, 120, 180}; !slices.Equal(at, want) {
			t.Errorf("called at %v (%v), want %v", at, m.calls, want)
		}
	})
}

// discarded passes rows on.
type discarded struct{}

func (*discarded) Open(*op.Context) error                           { return nil }
func (*discarded) Process(_ int, b *vec.Batch, out op.Output) error { return out.Emit(b) }
func (*discarded) Close() error                                     { return nil }
