package micro

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/connectors/all"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/mem"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/task"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/app"
	"github.com/bramble-stream/bramble/sql/plan"
)

// flushEvery is after how many batches a chain is flushed: at 10 M rows/s what comes in within the buffer timeout of a task, 5 ms.
const flushEvery = 50

// connectors has the built-in ones, and "load", which reads l.
func connectors(l *load, rows int64) map[string]*op.Connector {
	c := all.Connectors()
	c["load"] = &op.Connector{
		Name: "load", Bounded: func(*graph.TableSpec) bool { return true },
		NewSource: func(t *graph.TableSpec) (op.Source, error) {
			l.read(t.Schema)
			return &loadSource{l, rows}, nil
		},
		Splits: func(context.Context, *graph.TableSpec, int) ([]op.Split, error) {
			return []op.Split{{ID: "load"}}, nil
		},
	}
	return c
}

// planned plans a query over readings.
func planned(tb testing.TB, conns map[string]*op.Connector, query string, parallelism int) *graph.JobGraph {
	tb.Helper()
	p, err := plan.Plan(readingsSQL+query, plan.Options{File: "bench.sql", Parallelism: parallelism, Connectors: conns})
	if err != nil {
		tb.Fatal(err)
	}
	return p.Graph
}

// chain is the operators of a query between source and sink, calling each other directly, whatever vertices they are in.
type chain struct {
	tb      testing.TB
	load    *load
	links   []*link
	batches int
}

// link is an operator of a chain, and the output of the one before it.
type link struct {
	oper    op.Operator
	next    *link
	wm      stream.Time
	metrics op.Metrics
	rows    int64
}

var _ op.IdleOutput = (*link)(nil)

func (l *link) Emit(b *vec.Batch) error {
	l.rows += int64(b.Len())
	if l.oper == nil {
		return nil
	}
	return l.oper.Process(0, b, l.next)
}

func (l *link) EmitWatermark(wm stream.Time) error {
	l.wm = wm
	if h, ok := l.oper.(op.WatermarkHandler); ok {
		return h.OnWatermark(wm, l.next)
	}
	if l.next == nil {
		return nil
	}
	return l.next.EmitWatermark(wm)
}

func (l *link) EmitIdle(bool) error { return nil }

// settings of a chain.
type settings struct {
	memory int64
	store  func(state.MergeFunc) (state.Store, error)
}

func newChain(tb testing.TB, l *load, query string, s settings) *chain {
	tb.Helper()
	if s.memory == 0 {
		s.memory = 64 << 20
	}
	if s.store == nil {
		s.store = func(m state.MergeFunc) (state.Store, error) { return mem.New(m), nil }
	}
	conns := connectors(l, 0)
	c := &chain{tb: tb, load: l}
	builders := app.Builders(conns)
	var in []*vec.Schema
	for _, v := range planned(tb, conns, query, 1).Vertices {
		for _, n := range v.Ops {
			if n.Kind == graph.KindSource {
				in = []*vec.Schema{n.Out}
				l.read(n.Out)
				continue
			}
			if n.Kind == graph.KindSink {
				continue
			}
			built, err := builders[n.Kind](n, in)
			if err != nil {
				tb.Fatal(err)
			}
			c.links = append(c.links, &link{oper: built.Operator, wm: stream.MinTime})
			in = []*vec.Schema{n.Out}
		}
	}
	c.links = append(c.links, &link{})
	for i, k := range c.links[:len(c.links)-1] {
		k.next = c.links[i+1]
		if err := k.oper.Open(c.context(k, s)); err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = k.oper.Close() }) // nothing is looked at any more
	}
	return c
}

func (c *chain) context(k *link, s settings) *op.Context {
	return &op.Context{
		Ctx: c.tb.Context(), Log: slog.New(slog.DiscardHandler), Metrics: &k.metrics, Clock: task.SystemClock{}, Location: time.UTC,
		MemoryBytes: s.memory, OpenState: s.store, Source: &op.SourceInfo{Splits: 1, Ended: make([]bool, 1)},
		Watermark: func() stream.Time { return k.wm },
		Task:      op.TaskInfo{MaxParallelism: 128, KeyRange: stream.KeyRange{Limit: 128}, OperatorID: "bench"},
	}
}

// step sends the next batch through the chain, and flushes when it is time.
func (c *chain) step() {
	if err := c.links[0].Emit(c.load.next()); err != nil {
		c.tb.Fatal(err)
	}
	if c.batches++; c.batches%flushEvery == 0 {
		for _, k := range c.links {
			if f, ok := k.oper.(op.Flusher); ok {
				if err := f.Flush(k.next); err != nil {
					c.tb.Fatal(err)
				}
			}
		}
	}
}

// bench runs a query over the load.
func bench(b *testing.B, l *load, query string, s settings) {
	b.Helper()
	c := newChain(b, l, query, s)
	for range len(l.batches) { // warm up: tables and buffers have grown
		c.step()
	}
	b.ReportAllocs()
	rows, m := l.rows, start()
	for b.Loop() {
		c.step()
	}
	m.report(b, l.rows-rows)
	if c.links[0].metrics.Bad.Load() > 0 {
		b.Fatal("rows were refused")
	}
}
