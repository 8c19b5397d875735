package group

import (
	"bytes"

	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/state/enc"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// changes turns the results before and after a batch into rows with kinds.
type changes struct {
	o     *Op
	batch *vec.Batch
	// emptied are the groups that no rows are left of.
	emptied []int32
	// picks are the rows of the batch that is being made.
	picks []pick
	start []bool
	// Scratch of comparing values.
	a, b []byte
}

// pick is a row to emit: of the results before (row was) or after.
type pick struct {
	kind  vec.RowKind
	group int32
	old   bool
	row   int
}

func (c *changes) open(o *Op) {
	c.o, c.batch = o, vec.NewBatch(o.out)
}

// started returns a cleared entry for each of n groups; whoever sets one clears it again.
func (c *changes) started(n int) []bool {
	for len(c.start) < n {
		c.start = append(c.start, false)
	}
	return c.start
}

// emit emits the changes of the touched groups.
func (c *changes) emit(out op.Output) error {
	o := c.o
	c.emptied, c.picks = c.emptied[:0], c.picks[:0]
	was := 0
	for k, g := range o.touched {
		old := !o.fresh[g]
		empty := o.spec.InputRetracts && vec.Values[int64](o.after[len(o.after)-1])[k] <= 0
		switch {
		case empty:
			c.emptied = append(c.emptied, g)
			if old {
				c.picks = append(c.picks, pick{vec.Delete, g, true, was})
			}
		case !old:
			c.picks = append(c.picks, pick{vec.Insert, g, false, k})
		case o.spec.TTLMS > 0 || !c.same(was, k):
			if o.spec.EmitUpdateBefore {
				c.picks = append(c.picks, pick{vec.UpdateBefore, g, true, was})
			}
			c.picks = append(c.picks, pick{vec.UpdateAfter, g, false, k})
		}
		if old {
			was++
		}
		if len(c.picks) >= vec.MaxRows-1 {
			if err := c.flush(out); err != nil {
				return err
			}
		}
	}
	return c.flush(out)
}

// same reports whether the results at row was of before and row is of after are equal.
func (c *changes) same(was, is int) bool {
	for i := range c.o.spec.Aggs {
		a, b := c.o.before[i], c.o.after[i]
		an, bn := a.IsNull(was), b.IsNull(is)
		switch {
		case an || bn:
			if an != bn {
				return false
			}
		case enc.IsWord(a.Kind()):
			if enc.Word(a, was) != enc.Word(b, is) {
				return false
			}
		default:
			c.a, c.b = enc.AppendValue(c.a[:0], a, was), enc.AppendValue(c.b[:0], b, is)
			if !bytes.Equal(c.a, c.b) {
				return false
			}
		}
	}
	return true
}

// flush emits the picked rows.
func (c *changes) flush(out op.Output) error {
	if len(c.picks) == 0 {
		return nil
	}
	b := c.batch
	b.Reset()
	kinds := b.EnsureKinds(len(c.picks))
	keys := c.o.tab.Table().Keys()
	for i, k := range keys {
		dst := b.Col(i)
		for _, p := range c.picks {
			dst.AppendFrom(k, int(p.group))
		}
	}
	for i := range c.o.spec.Aggs {
		dst, before, after := b.Col(len(keys)+i), c.o.before[i], c.o.after[i]
		for _, p := range c.picks {
			if p.old {
				dst.AppendFrom(before, p.row)
			} else {
				dst.AppendFrom(after, p.row)
			}
		}
	}
	for i, p := range c.picks {
		kinds[i] = p.kind
	}
	b.SetRows(len(c.picks))
	c.picks = c.picks[:0]
	return out.Emit(b)
}

// sweeper says when which key group is searched for expired keys: each about twice in a time to live.
type sweeper struct {
	keys     stream.KeyRange
	at       stream.KeyGroup
	every    int64
	next     stream.Time
	disabled bool
}

func (s *sweeper) open(keys stream.KeyRange, ttlMS int64, now stream.Time) {
	s.next = stream.MaxTime
	s.keys = keys
	n := int64(s.keys.Limit) - int64(s.keys.First)
	if ttlMS <= 0 || n <= 0 {
		s.disabled = true
		return
	}
	s.at = s.keys.First
	s.every = max(ttlMS/(2*n), 100)
	s.next = now + s.every
}

// due returns the key group to search now.
func (s *sweeper) due(now stream.Time) (stream.KeyGroup, bool) {
	if s.disabled || now < s.next && s.next-now <= s.every { // further away: the clock was set back
		return 0, false
	}
	kg := s.at
	if s.at++; s.at >= s.keys.Limit {
		s.at = s.keys.First
	}
	s.next = now + s.every
	return kg, true
}
