package datagen

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// leastPause is how long a source waits at least when no row is due: rows of a fast one are made several at a time.
const leastPause = 5 * time.Millisecond

// position is how far a split is.
type position struct {
	// Done is how many rows of the split have been made.
	Done int64  `json:"done"`
	Seed uint64 `json:"seed"`
}

func (p position) encode() []byte {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // two numbers
	}
	return b
}

// part is a split: rows index, index+of, index+2*of, …
type part struct {
	id        string
	index, of int64
	pos       position
	ended     bool
}

func (p *part) row() int64 { return p.index + p.pos.Done*p.of }

// source makes rows of its splits in turn, that which is behind first.
type source struct {
	*plan
	ctx   *op.Context
	parts []part
	nums  []int64
	seeds []uint64
	timer *time.Timer
	// At start on the clock, row number first was due; the others follow at the rate.
	start time.Time
	first int64
}

var _ op.Source = (*source)(nil)

func (s *source) Open(ctx *op.Context, splits []op.Split) error {
	s.ctx = ctx
	s.timer = time.NewTimer(time.Hour)
	s.timer.Stop()
	for _, sp := range splits {
		p := part{id: sp.ID, pos: position{Seed: s.seed}}
		if _, err := fmt.Sscanf(sp.ID, "rows-%d-of-%d", &p.index, &p.of); err != nil || p.index < 0 || p.of <= p.index {
			return fmt.Errorf("datagen: %q is no split", sp.ID)
		}
		if len(sp.Pos) > 0 {
			if err := json.Unmarshal(sp.Pos, &p.pos); err != nil || p.pos.Done < 0 {
				return fmt.Errorf("datagen: split %s has no position but %q", sp.ID, sp.Pos)
			}
		}
		s.parts = append(s.parts, p)
	}
	s.start = ctx.Clock.Now()
	if i := s.behind(); i >= 0 {
		s.first = s.parts[i].row()
	}
	return nil
}

// behind is the split whose next row is the earliest, -1 when all have ended.
func (s *source) behind() int {
	at, least := -1, int64(0)
	for i := range s.parts {
		if p := &s.parts[i]; !p.ended {
			if n := p.row(); at < 0 || n < least {
				at, least = i, n
			}
		}
	}
	return at
}

// Poll makes up to a batch of rows of one split: those that are due.
func (s *source) Poll(ctx context.Context, b *vec.Batch, wait time.Duration) (op.Polled, error) {
	i := s.behind()
	if i < 0 {
		if s.rows != unbounded {
			return op.Polled{Status: op.End}, nil
		}
		s.pause(ctx, wait) // a task without splits
		return op.Polled{Status: op.Idle}, nil
	}
	p := &s.parts[i]
	limit := s.due()
	var waited time.Duration
	if n := p.row(); n >= limit && n < s.rows {
		waited = s.pause(ctx, min(wait, max(time.Second/time.Duration(s.rate), leastPause)))
		if limit = s.due(); n >= limit {
			return op.Polled{Status: op.Idle, Split: i}, nil
		}
	}
	s.nums, s.seeds = s.nums[:0], s.seeds[:0]
	for n := p.row(); len(s.nums) < s.batchRows() && n < limit && n < s.rows; n = p.row() {
		s.nums = append(s.nums, n)
		s.seeds = append(s.seeds, mix(p.pos.Seed*0xd1342543de82ef95+uint64(n)*golden+golden))
		p.pos.Done++
	}
	p.ended = p.row() >= s.rows
	now := s.now()
	for c, m := range s.columns {
		m.fill(b.Col(c), s.nums, s.seeds, now)
	}
	b.SetRows(len(s.nums))
	out := op.Polled{Status: op.More, Split: i, SplitEnded: p.ended, Waited: waited}
	if s.behind() < 0 {
		out.Status = op.End
	}
	return out, nil
}

func (s *source) now() instant {
	now := s.ctx.Clock.Now()
	at := instant{utc: now.UnixMilli(), local: now.UnixMilli()}
	if s.ctx.Location != nil {
		_, offset := now.In(s.ctx.Location).Zone()
		at.local += int64(offset) * 1000
	}
	return at
}

// batchRows keeps the bytes of a batch of long strings near vec.TargetBytes.
func (s *source) batchRows() int {
	width := int64(1)
	for _, m := range s.columns {
		width += m.width()
	}
	return int(min(max(vec.TargetBytes/width, 1), vec.MaxRows))
}

// due returns the first row that is not due yet.
func (s *source) due() int64 {
	if s.rate == 0 {
		return unbounded
	}
	passed := s.ctx.Clock.Now().Sub(s.start)
	// Whole seconds apart, so that the product stays in range.
	n := int64(passed/time.Second)*s.rate + int64(float64(passed%time.Second)/float64(time.Second)*float64(s.rate))
	return s.first + n + 1
}

func (s *source) pause(ctx context.Context, d time.Duration) time.Duration {
	began := s.ctx.Clock.Now()
	s.timer.Reset(d)
	defer s.timer.Stop()
	select {
	case <-s.timer.C:
	case <-ctx.Done():
	}
	return s.ctx.Clock.Now().Sub(began)
}

// Snapshot returns how many rows of each split have been made.
func (s *source) Snapshot(stream.Epoch) ([]op.Split, error) {
	out := make([]op.Split, len(s.parts))
	for i := range s.parts {
		out[i] = op.Split{ID: s.parts[i].id, Pos: s.parts[i].pos.encode()}
	}
	return out, nil
}

// Commit has nothing to acknowledge.
func (s *source) Commit(context.Context, stream.Epoch) error { return nil }

func (s *source) Close() error { return nil }
