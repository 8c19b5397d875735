package bench

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bramble-stream/bramble/connectors/all"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// probe is where a phase is measured: all sources and sinks of the job tell it what passes.
type probe struct {
	phase *Phase
	// sourceRows is what the sources have handed on; the others are of what the sinks took.
	sourceRows atomic.Int64
	sinkRows   atomic.Int64
	// begin is when the first row was asked for, unix ns, 0 before; firstOut when the first one came out.
	begin, firstOut atomic.Int64
	// connected is closed when the sources of all jobs have reached their outside system; reached counts them.
	connected chan struct{}
	reached   atomic.Int64

	mu struct {
		sync.Mutex
		// At the begin, when a quarter had been read, and when the latest row passed.
		cpuBegin, cpuLast time.Duration
		last              time.Time
		warmRows          int64
		warm, end         allocations
		sums              sinkSums
		latency           Histogram
		// marked is what had been measured at Runner.Mark.
		marked *Measured
	}
}

// sinkSums say what came out, whatever the order: changes that take a row back are subtracted.
type sinkSums struct {
	// Rows counts the rows of the result: an update is none.
	Rows int64 `json:"rows"`
	// Checksum adds up the hashes of the rows.
	Checksum uint64 `json:"checksum,string"`
	// Columns adds up each column of whole numbers.
	Columns map[string]int64 `json:"columns,omitempty"`
}

func newProbe(ph *Phase) *probe {
	p := &probe{phase: ph, connected: make(chan struct{})}
	p.mu.sums.Columns = map[string]int64{}
	return p
}

func (p *probe) started(at time.Time) {
	if p.begin.Load() != 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.begin.CompareAndSwap(0, at.UnixNano()) {
		p.mu.cpuBegin = cpuTime()
	}
}

// passed takes down the time: it is called when rows have been worked off.
func (p *probe) passed() {
	now, cpu := time.Now(), cpuTime()
	p.mu.Lock()
	p.mu.last, p.mu.cpuLast = now, cpu
	p.mu.Unlock()
}

// read counts rows of a source.
func (p *probe) read(rows int64) {
	n := p.sourceRows.Add(rows)
	if p.phase.Events == 0 { // a stream that does not end is over when no more comes
		p.passed()
	}
	quarter := max(p.phase.Events, p.phase.Expected) / 4
	if quarter > 0 && n >= quarter && n-rows < quarter {
		p.mu.Lock()
		p.mu.warm, p.mu.warmRows = allocated(), n
		p.mu.Unlock()
	}
}

func (p *probe) sourceEnded() {
	p.mu.Lock()
	p.mu.end = allocated()
	p.mu.Unlock()
	p.passed()
}

// connectors are the built-in ones with the probe that current points to between them and the job. The sink that keeps nothing
// counts, and reads every value where the phase asks for a checksum.
func connectors(current *atomic.Pointer[probe], more []*op.Connector) map[string]*op.Connector {
	out := all.Connectors()
	for _, c := range more {
		out[c.Name] = c
	}
	for name, c := range out {
		if c.NewSource == nil || c.Splits == nil {
			continue
		}
		wrapped := *c
		wrapped.Splits = func(ctx context.Context, t *graph.TableSpec, parallelism int) ([]op.Split, error) {
			return c.Splits(ctx, current.Load().adapt(t), parallelism)
		}
		if c.Bounded != nil {
			wrapped.Bounded = func(t *graph.TableSpec) bool { return c.Bounded(current.Load().adapt(t)) }
		}
		wrapped.NewSource = func(t *graph.TableSpec) (op.Source, error) {
			p := current.Load()
			s, err := c.NewSource(p.adapt(t))
			return &probedSource{Source: s, p: p}, err
		}
		out[name] = &wrapped
	}
	hole := *out["blackhole"]
	hole.Modes = func(*graph.TableSpec) []graph.ChangelogMode {
		return []graph.ChangelogMode{graph.Retract, graph.Append}
	}
	hole.NewSink = func(t *graph.TableSpec) (op.Sink, error) { return newProbedSink(t, current.Load()) }
	out["blackhole"] = &hole
	return out
}

// adapt gives a generator's table the options of the phase; the script stays as it is.
func (p *probe) adapt(t *graph.TableSpec) *graph.TableSpec {
	if p == nil || t.Connector != p.phase.Adapt {
		return t
	}
	c := *t
	c.Options = maps.Clone(t.Options)
	maps.Copy(c.Options, p.phase.Options)
	return &c
}

// probedSource counts what a source hands on.
type probedSource struct {
	op.Source
	p *probe
}

func (s *probedSource) Open(ctx *op.Context, splits []op.Split) error {
	inner := *ctx
	var once sync.Once
	inner.Health = func(component string, err error) {
		if err == nil {
			once.Do(func() {
				if s.p.reached.Add(1) == int64(len(s.p.phase.More)+1) {
					close(s.p.connected)
				}
			})
		}
		ctx.Health(component, err)
	}
	if s.p.phase.Rate > 0 {
		// All tasks count from the same time, that of the first: an event is due at its time, whenever its task came up.
		s.p.started(time.Now())
		inner.Clock = &startClock{start: time.Unix(0, s.p.begin.Load())}
	}
	return s.Source.Open(&inner, splits)
}

// startClock says start once, which is when Open asks, and the time of day after.
type startClock struct {
	start time.Time
	asked bool
}

func (c *startClock) Now() time.Time {
	if !c.asked {
		c.asked = true
		return c.start
	}
	return time.Now()
}

func (s *probedSource) Poll(ctx context.Context, b *vec.Batch, wait time.Duration) (op.Polled, error) {
	var asked time.Time
	if s.p.begin.Load() == 0 {
		asked = time.Now()
	}
	polled, err := s.Source.Poll(ctx, b, wait)
	if n := int64(b.Len()); n > 0 {
		if !asked.IsZero() {
			s.p.started(asked)
		}
		s.p.read(n)
	}
	if polled.Status == op.End {
		s.p.sourceEnded()
	}
	return polled, err
}

// probedSink counts, and forgets.
type probedSink struct {
	p    *probe
	sums sinkSums
	// ints are the columns to add up; due is the one to measure latency by, -1 for none.
	ints    []int
	due     int
	latency Histogram
	hashes  [vec.MaxRows]uint64
	schema  *vec.Schema
}

var _ op.Sink = (*probedSink)(nil)

func newProbedSink(t *graph.TableSpec, p *probe) (*probedSink, error) {
	s := &probedSink{p: p, due: -1, schema: t.Schema, sums: sinkSums{Columns: map[string]int64{}}}
	for i, f := range t.Schema.Fields {
		if k := f.Type.Kind; k == vec.Int64 || k == vec.Int32 {
			s.ints = append(s.ints, i)
		}
		if p.phase.DueColumn != "" && f.Name == p.phase.DueColumn {
			switch f.Type.Kind {
			case vec.Int64, vec.Timestamp, vec.TimestampLTZ:
				s.due = i
			default:
				return nil, fmt.Errorf("column %s is %s, not a time", f.Name, f.Type)
			}
		}
	}
	return s, nil
}

func (s *probedSink) Open(*op.Context) error { return nil }

func (s *probedSink) Write(_ context.Context, b *vec.Batch) error {
	n := b.Len()
	if n == 0 {
		return nil
	}
	now := time.Now()
	s.p.firstOut.CompareAndSwap(0, now.UnixNano())
	s.p.sinkRows.Add(int64(n))
	sel, kinds := b.Sel(), b.Kinds()
	if kinds == nil {
		s.sums.Rows += int64(n)
	} else {
		for j := range n {
			s.sums.Rows += sign(b.Kind(physical(sel, j)))
		}
	}
	if s.p.phase.Sums {
		s.add(b, sel, n)
	}
	if s.due >= 0 {
		s.time(b.Col(s.due), sel, n, now.UnixNano())
	}
	s.p.passed()
	return nil
}

func physical(sel []int, j int) int {
	if sel == nil {
		return j
	}
	return sel[j]
}

// sign is what a row does to the number of rows in the result.
func sign(k vec.RowKind) int64 {
	if k.Retracts() {
		return -1
	}
	return 1
}

// add reads every value of the selected rows.
func (s *probedSink) add(b *vec.Batch, sel []int, n int) {
	vec.Hash(b.Cols(), sel, s.hashes[:n])
	for j, h := range s.hashes[:n] {
		if b.Kind(physical(sel, j)).Retracts() {
			s.sums.Checksum -= h
		} else {
			s.sums.Checksum += h
		}
	}
	for _, i := range s.ints {
		c, sum := b.Col(i), int64(0)
		for j := range n {
			r := physical(sel, j)
			if c.IsNull(r) {
				continue
			}
			if c.Kind() == vec.Int64 {
				sum += sign(b.Kind(r)) * vec.Values[int64](c)[r]
			} else {
				sum += sign(b.Kind(r)) * int64(vec.Values[int32](c)[r])
			}
		}
		s.sums.Columns[s.schema.Fields[i].Name] += sum
	}
}

// time measures from when each row was due: BIGINT is unix microseconds, a timestamp is shifted to the time of day.
func (s *probedSink) time(c *vec.Col, sel []int, n int, nowNS int64) {
	v, unit, shift := vec.Values[int64](c), int64(time.Microsecond), int64(0)
	if c.Kind() != vec.Int64 {
		unit, shift = int64(time.Millisecond), s.p.shiftNS()
	}
	last, same := int64(0), int64(0) // neighbours are mostly due at the same time
	for j := range n {
		r := physical(sel, j)
		if c.IsNull(r) {
			continue
		}
		if v[r] != last && same > 0 {
			s.late(nowNS-last*unit-shift, same)
			same = 0
		}
		last = v[r]
		same++
	}
	if same > 0 {
		s.late(nowNS-last*unit-shift, same)
	}
}

// early is how much before its time a row may come because clocks are read in milliseconds.
const early = 2 * time.Millisecond

// late counts rows. A window that is closed because its input ends comes before its time: that says nothing.
func (s *probedSink) late(ns, rows int64) {
	if ns >= -int64(early) {
		s.latency.Add(ns, rows)
	}
}

// shiftNS is the time of day less the event time, with the delay that is no latency: rows wait that long for stragglers by design.
func (p *probe) shiftNS() int64 {
	base := p.phase.BaseMS * int64(time.Millisecond)
	if base == 0 {
		return int64(p.phase.Delay) - p.phase.ShiftMS*int64(time.Millisecond)
	}
	return p.begin.Load() - base + int64(p.phase.Delay)
}

func (s *probedSink) Flush(context.Context) error { return nil }

func (s *probedSink) Prepare(context.Context, stream.Epoch) ([]byte, error) { return nil, nil }

func (s *probedSink) Commit(context.Context, stream.Epoch, []byte) error { return nil }

// Close hands in what was counted.
func (s *probedSink) Close() error {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	m := &s.p.mu
	m.sums.Rows += s.sums.Rows
	m.sums.Checksum += s.sums.Checksum
	for name, n := range s.sums.Columns {
		m.sums.Columns[name] += n
	}
	m.latency.Merge(&s.latency)
	return nil
}
