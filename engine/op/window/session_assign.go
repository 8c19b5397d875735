package window

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/state/enc"
	"github.com/bramble-stream/bramble/engine/vec"
)

// sessionAssign is the SESSION table function without aggregation: it holds rows back until their session closes, and then emits them with its bounds, in
// the order in which they came.
type sessionAssign struct {
	sessionOp
	held  *heldRows
	batch *vec.Batch
}

var (
	_ op.Operator         = (*sessionAssign)(nil)
	_ op.WatermarkHandler = (*sessionAssign)(nil)
	_ op.Timer            = (*sessionAssign)(nil)
	_ op.Snapshotter      = (*sessionAssign)(nil)
)

func newSessionAssign(spec graph.AssignSpec, in, out *vec.Schema) (op.Operator, error) {
	if err := checkGap(spec.Windowing.GapMS); err != nil {
		return nil, err
	}
	o := &sessionAssign{}
	o.windowing, o.keyAt, o.in, o.out = spec.Windowing, spec.Keys, in, out
	for _, k := range spec.Keys {
		if k < 0 || k >= in.Len() {
			return nil, fmt.Errorf("SESSION: key %d of %d columns", k, in.Len())
		}
		o.keyTypes = append(o.keyTypes, in.Fields[k].Type)
	}
	return o, nil
}

// Open prepares the buffers.
func (o *sessionAssign) Open(ctx *op.Context) error {
	o.held = &heldRows{}
	o.batch = vec.NewBatch(o.out)
	o.open(ctx, o.held)
	o.addRows = o.held.add
	o.emitRipe = o.fire
	return nil
}

// fire emits the rows of sessions.
func (o *sessionAssign) fire(slots []int32, out op.Output) error {
	b, n := o.batch, o.in.Len()
	b.Reset()
	w := newBounds(b, n, &o.timing.zone)
	rows := 0
	emit := func() error {
		if rows == 0 {
			return nil
		}
		b.SetRows(rows)
		err := out.Emit(b)
		b.Reset()
		rows = 0
		return err
	}
	for _, x := range slots {
		for src := o.held.rows[x]; len(src) > 0; {
			kind := vec.RowKind(src[0])
			src = src[1:]
			var err error
			for c := range n {
				if src, err = enc.Decode(src, b.Col(c)); err != nil {
					return err
				}
			}
			if kind != vec.Insert || b.Kinds() != nil {
				b.EnsureKinds(rows + 1)[rows] = kind
			}
			w.append(o.sessions.start[x], o.sessions.end[x])
			if rows++; rows == vec.MaxRows {
				if err := emit(); err != nil {
					return err
				}
			}
		}
	}
	return emit()
}

// heldRows is the payload of the table function: encoded rows, each its kind and then its columns.
type heldRows struct {
	rows  [][]byte
	bytes int64
}

var _ payload = (*heldRows)(nil)

// add appends rows of b to their sessions.
func (h *heldRows) add(b *vec.Batch, rows []int, slots []int32) {
	for k, i := range rows {
		x := slots[k]
		old := cap(h.rows[x])
		r := append(h.rows[x], byte(b.Kind(i)))
		for _, c := range b.Cols() {
			r = enc.Append(r, c, i)
		}
		h.rows[x] = r
		h.bytes += int64(cap(r) - old)
	}
}

func (h *heldRows) resize(n int) {
	for len(h.rows) < n {
		h.rows = append(h.rows, nil)
	}
}

func (h *heldRows) set(x int32, r []byte) {
	h.bytes += int64(cap(r) - cap(h.rows[x]))
	h.rows[x] = r
}

func (h *heldRows) merge(dst, src int32) error {
	h.set(dst, append(h.rows[dst], h.rows[src]...))
	h.set(src, nil)
	return nil
}

func (h *heldRows) clear(x int32) { h.set(x, nil) }

func (h *heldRows) encode(dst []byte, x int32) []byte { return enc.AppendBytes(dst, h.rows[x]) }

func (h *heldRows) decode(src []byte, x int32) ([]byte, error) {
	r, rest, err := enc.Bytes(src)
	if err != nil {
		return nil, err
	}
	h.set(x, append([]byte(nil), r...))
	return rest, nil
}

func (h *heldRows) memBytes() int64 { return h.bytes + 24*int64(cap(h.rows)) }

func (h *heldRows) reset() error {
	h.rows, h.bytes = nil, 0
	return nil
}
