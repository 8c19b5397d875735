package window

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// timing is where an operator's times come from: a column or the clock, converted to local time where windows align to it.
type timing struct {
	col   int
	zone  zone
	clock op.Clock
	// rows lists the physical rows with a time, times their local times, one each.
	rows  []int
	times []int64
}

// checkTiming checks a windowing's time column against the input.
func checkTiming(w graph.Windowing, in *vec.Schema) error {
	if w.TimeCol < 0 {
		return nil
	}
	if w.TimeCol >= in.Len() {
		return fmt.Errorf("%s: time column %d of %d", w.Kind, w.TimeCol, in.Len())
	}
	if f := in.Fields[w.TimeCol]; !f.Type.Kind.IsTimestamp() {
		return fmt.Errorf("%s: time attribute %s is %s, want TIMESTAMP or TIMESTAMP_LTZ", w.Kind, f.Name, f.Type)
	}
	return nil
}

// open prepares for a windowing. Processing time is an instant, so its windows align to local time as those of TIMESTAMP_LTZ do.
func (t *timing) open(w graph.Windowing, ctx *op.Context) {
	t.col, t.clock = w.TimeCol, ctx.Clock
	t.zone = newZone(ctx.Location, w.LTZ || w.TimeCol < 0)
}

// proc reports processing time.
func (t *timing) proc() bool { return t.col < 0 }

// now is the processing time.
func (t *timing) now() stream.Time { return t.clock.Now().UnixMilli() }

// load fills rows and times from the selected rows of b and returns how many rows have no time.
func (t *timing) load(b *vec.Batch) (bad int) {
	t.rows, t.times = t.rows[:0], t.times[:0]
	if t.proc() {
		t.loadNow(b)
		return 0
	}
	col := b.Col(t.col)
	v, valid := vec.Values[int64](col), col.Valid()
	if sel := b.Sel(); sel != nil {
		for _, i := range sel {
			if valid != nil && !valid.Get(i) {
				bad++
				continue
			}
			t.rows, t.times = append(t.rows, i), append(t.times, v[i])
		}
	} else {
		for i, at := range v {
			if valid != nil && !valid.Get(i) {
				bad++
				continue
			}
			t.rows, t.times = append(t.rows, i), append(t.times, at)
		}
	}
	for k, at := range t.times {
		t.times[k] = t.zone.local(at)
	}
	return bad
}

func (t *timing) loadNow(b *vec.Batch) {
	at := t.zone.local(t.now())
	if sel := b.Sel(); sel != nil {
		t.rows = append(t.rows, sel...)
	} else {
		for i := range b.Rows() {
			t.rows = append(t.rows, i)
		}
	}
	for range t.rows {
		t.times = append(t.times, at)
	}
}

// bounds writes the columns window_start, window_end and window_time, one row at a time. Starts and ends are local times.
type bounds struct {
	start, end, rowtime *vec.Col
	zone                *zone
	// lastEnd and lastTime remember a conversion: neighbours mostly have the same window.
	lastEnd, lastTime int64
	warm              bool
}

// newBounds writes to columns at, at+1 and at+2 of b. window_time of kind TIMESTAMP_LTZ becomes an instant.
func newBounds(b *vec.Batch, at int, z *zone) *bounds {
	w := &bounds{start: b.Col(at), end: b.Col(at + 1), rowtime: b.Col(at + 2), zone: z}
	if w.rowtime.Kind() != vec.TimestampLTZ {
		w.zone = &zone{}
	}
	return w
}

func (w *bounds) append(start, end int64) {
	if !w.warm || end != w.lastEnd {
		w.lastEnd, w.lastTime, w.warm = end, w.zone.instant(end-1), true
	}
	vec.AppendValue(w.start, start)
	vec.AppendValue(w.end, end)
	vec.AppendValue(w.rowtime, w.lastTime)
}

// fill makes n rows of one window, in empty columns.
func (w *bounds) fill(start, end int64, n int) {
	last := w.zone.instant(end - 1)
	for i, c := range [3]*vec.Col{w.start, w.end, w.rowtime} {
		c.Resize(n)
		v, is := vec.Values[int64](c), [3]int64{start, end, last}[i]
		for k := range v {
			v[k] = is
		}
	}
}

// checkBounds checks that columns at, at+1 and at+2 of an output schema can take the bounds.
func checkBounds(out *vec.Schema, at int) error {
	if out.Len() != at+3 {
		return fmt.Errorf("window: %d output columns, want %d", out.Len(), at+3)
	}
	for i := at; i < at+3; i++ {
		if k := out.Fields[i].Type.Kind; !k.IsTimestamp() {
			return fmt.Errorf("window: output column %s is %s, want TIMESTAMP", out.Fields[i].Name, k)
		}
	}
	return nil
}
