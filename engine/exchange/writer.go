package exchange

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Writer is the sending side of an edge in one task: it spreads rows over the channels to the target's tasks. Rows are copied into
// a pending batch for each channel, which goes out when it is full, at Flush, and before everything that is not rows. It belongs to the
// task's goroutine. In steady state it allocates nothing.
type Writer struct {
	partition graph.Partition
	targets   []target
	stats     *Stats
	// turn is the target that the next batch of a rebalance, or the next latency marker, goes to.
	turn, latencyTurn int
	held              bool

	// Of hash partitioning: taskOf maps key groups to targets; the rest is scratch for a batch.
	keys    []int
	taskOf  []uint16
	keyCols []*vec.Col
	hashes  []uint64
	sels    [][]int
	routes  *dictRoutes
}

type target struct {
	ch      Channel
	pending *vec.Batch
}

// WriterConfig says what a Writer is to do.
type WriterConfig struct {
	Partition graph.Partition
	// Keys and MaxParallelism are for graph.Hash. Without keys all rows go to one task: a global aggregation's.
	Keys           []int
	MaxParallelism int
	// Channels lead to the target's tasks in order; exactly one for graph.Forward, to the task of the same index.
	Channels []Channel
	Stats    *Stats
}

// NewWriter returns a writer over open channels, or an error when the graph does not fit.
func NewWriter(c WriterConfig) (*Writer, error) {
	w := &Writer{partition: c.Partition, stats: c.Stats, targets: make([]target, len(c.Channels))}
	for i, ch := range c.Channels {
		w.targets[i].ch = ch
	}
	switch c.Partition {
	case graph.Forward:
		if len(c.Channels) != 1 {
			return nil, fmt.Errorf("a forward edge leads to one task, not to %d", len(c.Channels))
		}
	case graph.Hash:
		if c.MaxParallelism < len(c.Channels) {
			return nil, fmt.Errorf("%d tasks share %d key groups", len(c.Channels), c.MaxParallelism)
		}
		w.keys = c.Keys
		w.keyCols = make([]*vec.Col, len(c.Keys))
		w.taskOf = make([]uint16, c.MaxParallelism)
		for g := range w.taskOf {
			w.taskOf[g] = uint16(stream.TaskOf(stream.KeyGroup(g), c.MaxParallelism, len(c.Channels)))
		}
		w.hashes = make([]uint64, vec.MaxRows)
		w.sels = make([][]int, len(c.Channels))
		w.routes = newDictRoutes(w.taskOf)
	case graph.Rebalance, graph.Broadcast:
	default:
		return nil, fmt.Errorf("unknown partitioning %q", c.Partition)
	}
	if len(c.Channels) == 0 {
		return nil, fmt.Errorf("an edge without channels")
	}
	return w, nil
}

// Emit sends the selected rows of b, which it copies.
func (w *Writer) Emit(b *vec.Batch) error {
	n := b.Len()
	if n == 0 {
		return nil
	}
	w.stats.Records.Add(int64(n))
	w.held = true
	if len(w.targets) == 1 {
		return w.add(0, b, b.Sel())
	}
	switch w.partition {
	case graph.Hash:
		return w.spread(b)
	case graph.Broadcast:
		for t := range w.targets {
			if err := w.add(t, b, b.Sel()); err != nil {
				return err
			}
		}
		return nil
	case graph.Forward, graph.Rebalance:
		t := w.turn
		if w.turn++; w.turn == len(w.targets) {
			w.turn = 0
		}
		return w.add(t, b, b.Sel())
	}
	return nil
}

// spread sends each row to the task that owns its key group.
func (w *Writer) spread(b *vec.Batch) error {
	for t := range w.sels {
		w.sels[t] = w.sels[t][:0]
	}
	if d := w.keyDict(b); d != nil {
		w.routes.route(b.Col(w.keys[0]), b.Sel(), w.sels)
	} else {
		w.route(b)
	}
	for t, rows := range w.sels {
		if len(rows) == 0 {
			continue
		}
		if err := w.add(t, b, rows); err != nil {
			return err
		}
	}
	return nil
}

// keyDict returns the dictionary of the key if that is all there is to it.
func (w *Writer) keyDict(b *vec.Batch) *vec.Dict {
	if len(w.keys) != 1 {
		return nil
	}
	d := b.Col(w.keys[0]).Dict()
	if d == nil || d.Len() > routesMax {
		return nil
	}
	return d
}

// route lists the rows of each task by hashing.
func (w *Writer) route(b *vec.Batch) {
	for i, k := range w.keys {
		w.keyCols[i] = b.Col(k)
	}
	sel, n := b.Sel(), b.Len()
	if n > len(w.hashes) {
		w.hashes = make([]uint64, n)
	}
	hashes := w.hashes[:n]
	vec.Hash(w.keyCols, sel, hashes)
	for j, h := range hashes {
		i := j
		if sel != nil {
			i = sel[j]
		}
		t := w.taskOf[stream.KeyGroupOf(h, len(w.taskOf))]
		w.sels[t] = append(w.sels[t], i)
	}
}

// add copies the rows that sel lists (nil: all) to what is pending for a target, and sends that each time it is full.
func (w *Writer) add(t int, b *vec.Batch, sel []int) error {
	p := w.targets[t].pending
	if p != nil && p.Rows() > 0 && !joins(p, b) {
		if err := w.send(t); err != nil {
			return err
		}
	}
	for {
		if p = w.targets[t].pending; p == nil {
			p = w.targets[t].ch.NewBatch()
			w.targets[t].pending = p
		}
		rows := b.Rows()
		if sel != nil {
			rows = len(sel)
		}
		room := vec.MaxRows - p.Rows()
		if rows <= room {
			p.AppendRows(b, sel)
			if p.Rows() == vec.MaxRows || DataBytes(p) >= vec.TargetBytes {
				return w.send(t)
			}
			return nil
		}
		if sel == nil {
			sel = allRows(rows)
		}
		p.AppendRows(b, sel[:room])
		sel = sel[room:]
		if err := w.send(t); err != nil {
			return err
		}
	}
}

// rowNumbers lists 0, 1, …: the selection of the first rows of any batch within vec.MaxRows.
var rowNumbers = func() (s [vec.MaxRows]int) {
	for i := range s {
		s[i] = i
	}
	return s
}()

func allRows(n int) []int {
	if n <= len(rowNumbers) {
		return rowNumbers[:n]
	}
	s := make([]int, n) // an operator that made more than vec.MaxRows rows
	for i := range s {
		s[i] = i
	}
	return s
}

// joins says whether rows of b can be appended to p with dictionaries kept, and with offsets far from overflow.
func joins(p, b *vec.Batch) bool {
	var big int64
	for i, c := range b.Cols() {
		d, e := p.Col(i).Dict(), c.Dict()
		if (d == nil) != (e == nil) || d != nil && d.ID != e.ID {
			return false
		}
		if c.Kind().IsBinaryLike() || c.Kind().IsNested() {
			big += c.MemSize()
		}
	}
	return big <= vec.TargetBytes || DataBytes(b) <= vec.TargetBytes
}

// send hands the pending batch of a target to its channel.
func (w *Writer) send(t int) error {
	p := w.targets[t].pending
	if p == nil || p.Rows() == 0 {
		return nil
	}
	w.stats.Bytes.Add(DataBytes(p))
	w.targets[t].pending = nil
	return w.targets[t].ch.Send(stream.Element{Kind: stream.KindBatch, Batch: p})
}

// Held reports whether rows or elements may be waiting for Flush.
func (w *Writer) Held() bool { return w.held }

// Flush sends what is pending.
func (w *Writer) Flush() error {
	if !w.held {
		return nil
	}
	w.held = false
	for t := range w.targets {
		if err := w.send(t); err != nil {
			return err
		}
		if err := w.targets[t].ch.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// Watermark, Idle and Barrier go to all targets, after the rows before them.

// Watermark sends a watermark.
func (w *Writer) Watermark(wm stream.Time) error {
	return w.all(stream.Element{Kind: stream.KindWatermark, Time: wm})
}

// Idle says that rows pause; the next batch or watermark ends it.
func (w *Writer) Idle() error { return w.all(stream.Element{Kind: stream.KindIdle}) }

// Barrier sends a barrier, at once.
func (w *Writer) Barrier(b stream.Barrier) error {
	if err := w.all(stream.Element{Kind: stream.KindBarrier, Barrier: b}); err != nil {
		return err
	}
	return w.Flush()
}

// End says that nothing follows, at once.
func (w *Writer) End() error {
	if err := w.all(stream.Element{Kind: stream.KindEnd}); err != nil {
		return err
	}
	return w.Flush()
}

// Latency sends a latency marker to one target in turn: were it sent to all, markers would multiply with each edge.
func (w *Writer) Latency(origin stream.Time) error {
	t := w.latencyTurn
	if w.latencyTurn++; w.latencyTurn == len(w.targets) {
		w.latencyTurn = 0
	}
	if err := w.send(t); err != nil {
		return err
	}
	w.held = true
	return w.targets[t].ch.Send(stream.Element{Kind: stream.KindLatency, Time: origin})
}

func (w *Writer) all(e stream.Element) error {
	w.held = true // a channel may hold elements back
	for t := range w.targets {
		if err := w.send(t); err != nil {
			return err
		}
		if err := w.targets[t].ch.Send(e); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the channels and returns the first error.
func (w *Writer) Close() error {
	var first error
	for t := range w.targets {
		if err := w.targets[t].ch.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
