package task_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/task"
	"github.com/bramble-stream/bramble/engine/vec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// schema is a key and a value; in tests the value is also the event time.
var schema = vec.NewSchema(vec.Field{Name: "k", Type: vec.TypeInt64}, vec.Field{Name: "v", Type: vec.TypeInt64})

// fakeSource emits rows (k = v % Keys, v = 0, 1, …).
type fakeSource struct {
	Rows  int64 // a split; below 0: no end
	Keys  int64
	Batch int   // rows a poll; 0 means vec.MaxRows
	Pause int64 // ms between polls
	Fail  int64 // fails after so many rows; 0 never

	ctx    *op.Context
	splits []op.Split
	at     []int64
	turn   int
	world  *world
}

var _ op.Source = (*fakeSource)(nil)

func (s *fakeSource) Open(ctx *op.Context, splits []op.Split) error {
	s.ctx, s.splits, s.at = ctx, slices.Clone(splits), make([]int64, len(splits))
	for i, sp := range splits {
		if len(sp.Pos) > 0 {
			if _, err := fmt.Sscan(string(sp.Pos), &s.at[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *fakeSource) Poll(ctx context.Context, b *vec.Batch, wait time.Duration) (op.Polled, error) {
	if s.Pause > 0 {
		d := min(time.Duration(s.Pause)*time.Millisecond, wait)
		select {
		case <-ctx.Done():
			return op.Polled{}, context.Cause(ctx)
		case <-time.After(d):
		}
	}
	p := op.Polled{Status: op.More, Split: s.turn}
	n := int64(s.Batch)
	if n == 0 {
		n = vec.MaxRows
	}
	at := s.at[s.turn]
	if s.Fail > 0 && at >= s.Fail {
		return p, errors.New("the sensor is on fire")
	}
	if s.Rows >= 0 {
		n = min(n, s.Rows-at)
	}
	k, v := b.Col(0), b.Col(1)
	k.Resize(int(n))
	v.Resize(int(n))
	ks, vs := vec.Values[int64](k), vec.Values[int64](v)
	for i := range ks {
		vs[i] = at + int64(i)
		ks[i] = vs[i] % s.Keys
	}
	b.SetRows(int(n))
	s.at[s.turn] += n
	s.world.produced.add(n)
	if s.Rows >= 0 {
		p.SplitEnded = s.at[s.turn] >= s.Rows
		p.Status = op.End
		for _, at := range s.at {
			if at < s.Rows {
				p.Status = op.More
			}
		}
	}
	s.turn = (s.turn + 1) % len(s.splits)
	return p, nil
}

func (s *fakeSource) Snapshot(stream.Epoch) ([]op.Split, error) {
	for i := range s.splits {
		s.splits[i].Pos = fmt.Append(nil, s.at[i])
	}
	return s.splits, nil
}

func (s *fakeSource) Commit(_ context.Context, epoch stream.Epoch) error {
	s.world.note("source commit %d", epoch)
	return nil
}
func (s *fakeSource) Close() error { s.world.note("close source"); return nil }

// marker makes watermarks: the largest v seen.
type marker struct{ max int64 }

func (m *marker) Open(*op.Context) error { return nil }
func (m *marker) Process(_ int, b *vec.Batch, out op.Output) error {
	if err := out.Emit(b); err != nil {
		return err
	}

	vs := vec.Values[int64](b.Col(1))
	m.max = max(m.max, vs[len(vs)-1])
	return out.EmitWatermark(m.max)
}

func (m *marker) OnWatermark(wm stream.Time, out op.Output) error {
	if wm == stream.MaxTime {
		return out.EmitWatermark(wm)
	}
	return nil
}
func (m *marker) Close() error { return nil }

// counter counts rows by key and emits (key, count) at the end.
type counter struct {
	PanicAt int64
	// Store keeps the counts in the store instead of in the snapshot.
	Store bool

	ctx    *op.Context
	counts map[int64]int64
	wms    []stream.Time
	world  *world
	out    *vec.Batch
}

var (
	_ op.Operator         = (*counter)(nil)
	_ op.EndHandler       = (*counter)(nil)
	_ op.Snapshotter      = (*counter)(nil)
	_ op.WatermarkHandler = (*counter)(nil)
)

func (c *counter) Open(ctx *op.Context) error {
	c.ctx, c.counts, c.out = ctx, map[int64]int64{}, vec.NewBatch(schema)
	return nil
}

func (c *counter) Process(_ int, b *vec.Batch, _ op.Output) error {
	for i, k := range vec.Values[int64](b.Col(0)) {
		if c.PanicAt > 0 && vec.Values[int64](b.Col(1))[i] == c.PanicAt {
			panic("counted too far")
		}
		var h [1]uint64
		vec.Hash([]*vec.Col{b.Col(0)}, []int{i}, h[:])
		if p := c.ctx.Task.Parallelism; p > 1 && !c.ctx.Task.KeyRange.Contains(stream.KeyGroupOf(h[0], c.ctx.Task.MaxParallelism)) {
			return fmt.Errorf("key %d belongs to another task", k)
		}
		c.counts[k]++
	}
	return nil
}

func (c *counter) OnWatermark(wm stream.Time, out op.Output) error {
	if len(c.wms) > 0 && wm <= c.wms[len(c.wms)-1] {
		return fmt.Errorf("watermark %d after %d", wm, c.wms[len(c.wms)-1])
	}
	c.wms = append(c.wms, wm)
	return out.EmitWatermark(wm)
}

func (c *counter) OnEnd(out op.Output) error {
	if c.ctx.Watermark() != stream.MaxTime {
		return fmt.Errorf("ended at watermark %d", c.ctx.Watermark())
	}
	for k, n := range c.counts {
		c.out.Reset()
		vec.AppendValue(c.out.Col(0), k)
		vec.AppendValue(c.out.Col(1), n)
		c.out.SetRows(1)
		if err := out.Emit(c.out); err != nil {
			return err
		}
	}
	return nil
}

func (c *counter) Snapshot(stream.Epoch) ([]byte, error) {
	if !c.Store {
		return json.Marshal(c.counts)
	}
	st, err := c.ctx.OpenState(nil)
	if err != nil {
		return nil, err
	}
	var w state.Writes
	for k, n := range c.counts {
		w.Add(state.OpSet, fmt.Appendf(binary.BigEndian.AppendUint16(nil, uint16(c.keyGroup(k))), "%d", k), fmt.Append(nil, n))
	}
	return []byte{}, st.Apply(&w)
}

func (c *counter) keyGroup(k int64) stream.KeyGroup {
	var h [1]uint64
	col := vec.NewCol(vec.TypeInt64)
	vec.AppendValue(col, k)
	vec.Hash([]*vec.Col{col}, []int{0}, h[:])
	return stream.KeyGroupOf(h[0], c.ctx.Task.MaxParallelism)
}

func (c *counter) Restore(parts [][]byte) error {
	if !c.Store {
		for _, p := range parts {
			if err := json.Unmarshal(p, &c.counts); err != nil {
				return err
			}
		}
		return nil
	}
	st, err := c.ctx.OpenState(nil)
	if err != nil {
		return err
	}
	it, err := st.Iter(nil, []byte{0xff, 0xff, 0xff})
	if err != nil {
		return err
	}
	for it.Next() {
		var k, n int64
		if _, err := fmt.Sscan(string(it.Key()[2:])+" "+string(it.Value()), &k, &n); err != nil {
			return err
		}
		if !c.ctx.Task.KeyRange.Contains(c.keyGroup(k)) {
			return fmt.Errorf("restored key %d of another task", k)
		}
		c.counts[k] = n
	}
	return errors.Join(it.Err(), it.Close())
}

func (c *counter) Close() error { c.world.note("close counter"); return nil }

// splitter sends every third row aside, as late.
type splitter struct {
	ctx        *op.Context
	main, side *vec.Batch
}

func (s *splitter) Open(ctx *op.Context) error {
	s.ctx, s.main, s.side = ctx, &vec.Batch{}, &vec.Batch{}
	return nil
}

func (s *splitter) Process(_ int, b *vec.Batch, out op.Output) error {
	main, side := []int{}, []int{}
	for i := range b.Rows() {
		if i%3 == 0 {
			side = append(side, i)
		} else {
			main = append(main, i)
		}
	}
	s.main.ViewOf(b)
	s.main.SetSel(main)
	s.side.ViewOf(b)
	s.side.SetSel(side)
	if late := s.ctx.Side(graph.TagLate); late != nil {
		if err := late.Emit(s.side); err != nil {
			return err
		}
	}
	return out.Emit(s.main)
}
func (s *splitter) Close() error { return nil }

// fakeSink collects; it publishes at Commit.
type fakeSink struct {
	Block  bool // Write blocks until the task is cancelled, or world.gate lets it go on
	Name   string
	ctx    *op.Context
	world  *world
	rows   [][2]int64
	writes int
}

var _ op.Sink = (*fakeSink)(nil)

func (s *fakeSink) Open(ctx *op.Context) error {
	s.ctx = ctx
	ctx.Health("fake", nil)
	return nil
}

func (s *fakeSink) Write(ctx context.Context, b *vec.Batch) error {
	if s.Block {
		select {
		case <-s.world.gate:
		case <-ctx.Done():
			return op.ErrStopped
		}
	}
	s.writes++
	sel := b.Sel()
	for j := range b.Len() {
		i := j
		if sel != nil {
			i = sel[j]
		}
		s.rows = append(s.rows, [2]int64{vec.Values[int64](b.Col(0))[i], vec.Values[int64](b.Col(1))[i]})
	}
	s.world.written.add(int64(b.Len()))
	return nil
}
func (s *fakeSink) Flush(context.Context) error { s.world.flushes.add(1); return nil }
func (s *fakeSink) Prepare(_ context.Context, epoch stream.Epoch) ([]byte, error) {
	if len(s.rows) == 0 {
		return nil, nil
	}
	i := s.ctx.Task
	p := fakePart{fmt.Sprint(i.VertexID, "/", i.Index, "/", i.Attempt, "/", epoch), s.rows}
	s.rows = nil
	return json.Marshal(p)
}

func (s *fakeSink) Commit(_ context.Context, epoch stream.Epoch, data []byte) error {
	s.world.note("sink commit %d", epoch)
	var p fakePart
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	if !s.world.committed[s.Name+p.By] {
		s.world.committed[s.Name+p.By] = true
		s.world.published[s.Name] = append(s.world.published[s.Name], p.Rows...)
	}
	return nil
}

// fakePart is a committable; By names whoever prepared it, so that it is published once.
type fakePart struct {
	By   string
	Rows [][2]int64
}

func (s *fakeSink) Close() error { s.world.note("close sink"); return nil }

// count is a counter that a test can wait on.
type count struct {
	mu sync.Mutex
	n  int64
}

func (c *count) add(n int64) {
	c.mu.Lock()
	c.n += n
	c.mu.Unlock()
}

func (c *count) value() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// world is what the fakes of a job share.
type world struct {
	mu                         sync.Mutex
	notes                      []string
	published                  map[string][][2]int64
	committed                  map[string]bool
	produced, written, flushes count
	gate                       chan struct{}
}

func newWorld() *world {
	return &world{published: map[string][][2]int64{}, committed: map[string]bool{}, gate: make(chan struct{})}
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = append(w.notes, fmt.Sprintf(format, args...))
}

func (w *world) builders() task.Builders {
	return task.Builders{
		graph.KindSource: func(n *graph.Node, _ []*vec.Schema) (task.Built, error) {
			s := &fakeSource{world: w}
			return task.Built{Source: s}, json.Unmarshal(n.Spec, s)
		},
		graph.KindWatermark: func(*graph.Node, []*vec.Schema) (task.Built, error) {
			return task.Built{Operator: &marker{}}, nil
		},
		graph.KindGroup: func(n *graph.Node, ins []*vec.Schema) (task.Built, error) {
			if len(ins) != 1 || !ins[0].Equal(schema) {
				return task.Built{}, fmt.Errorf("inputs %v", ins)
			}
			c := &counter{world: w}
			return task.Built{Operator: c}, json.Unmarshal(n.Spec, c)
		},
		graph.KindCalc: func(*graph.Node, []*vec.Schema) (task.Built, error) {
			return task.Built{Operator: &splitter{}}, nil
		},
		graph.KindSink: func(n *graph.Node, _ []*vec.Schema) (task.Built, error) {
			s := &fakeSink{world: w, Name: n.Name}
			return task.Built{Sink: s}, json.Unmarshal(n.Spec, s)
		},
	}
}

func node(kind graph.Kind, in int, spec string) *graph.Node {
	n := &graph.Node{ID: string(kind) + "-id", Name: string(kind), In: in, Kind: kind, Spec: json.RawMessage(spec), Line: 3, Column: 8}
	if kind != graph.KindSink {
		n.Out = schema
	}
	return n
}

// countJob is source, watermark | hash | counter, sink.
func countJob(p int, source, group, sink string) *graph.JobGraph {
	return &graph.JobGraph{
		Name: "count", MaxParallelism: 128,
		Vertices: []*graph.Vertex{
			{ID: "a", Name: "source: fake", Parallelism: p, Ops: []*graph.Node{
				node(graph.KindSource, -1, source), node(graph.KindWatermark, 0, "{}"),
			}},
			{ID: "b", Name: "count", Parallelism: p, Ops: []*graph.Node{
				node(graph.KindGroup, -1, group), node(graph.KindSink, 0, sink),
			}},
		},
		Edges: []*graph.Edge{{From: 0, FromOp: 1, To: 1, Partition: graph.Hash, Keys: []int{0}, Schema: schema}},
	}
}

// nSplits lists n splits.
func nSplits(n int) func(context.Context, *graph.Node, int) ([]op.Split, error) {
	return func(context.Context, *graph.Node, int) ([]op.Split, error) {
		s := make([]op.Split, n)
		for i := range s {
			s[i].ID = fmt.Sprint(i)
		}
		return s, nil
	}
}
