package nexmark

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// leastPause is how long a source with a rate waits at least when nothing is due: events of a fast one are made several at a time.
const leastPause = 5 * time.Millisecond

// position is how far a split is.
type position struct {
	// Done is how many events of the split have been made.
	Done int64 `json:"done"`
	// Base is the event time of event 0, ms since the epoch.
	Base int64 `json:"base"`
}

func (p position) encode() []byte {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // two numbers
	}
	return b
}

// part is a split: the rounds index, index+of, index+2*of, … of the sequence.
type part struct {
	id        string
	index, of int64
	pos       position
	ended     bool
}

// event is the number of the split's next event.
func (p *part) event(c *config) int64 {
	round := p.pos.Done/c.total*p.of + p.index
	return round*c.total + p.pos.Done%c.total
}

// source makes events of its splits in turn, that which is behind first.
type source struct {
	cfg    *config
	schema *vec.Schema
	ctx    *op.Context
	parts  []part
	gen    generator
	timer  *time.Timer
	// At start on the clock, event number first was due; the others follow at the rate.
	start time.Time
	first int64
}

var _ op.Source = (*source)(nil)

func (s *source) Open(ctx *op.Context, splits []op.Split) error {
	s.ctx = ctx
	s.timer = time.NewTimer(time.Hour)
	s.timer.Stop()
	for _, sp := range splits {
		p := part{id: sp.ID, pos: position{Base: s.cfg.base}}
		if _, err := fmt.Sscanf(sp.ID, "events-%d-of-%d", &p.index, &p.of); err != nil || p.index < 0 || p.of <= p.index {
			return fmt.Errorf("nexmark: %q is no split", sp.ID)
		}
		if len(sp.Pos) > 0 {
			if err := json.Unmarshal(sp.Pos, &p.pos); err != nil || p.pos.Done < 0 {
				return fmt.Errorf("nexmark: split %s has no position but %q", sp.ID, sp.Pos)
			}
		}
		s.cfg.base = p.pos.Base
		s.parts = append(s.parts, p)
	}
	s.gen = generator{config: s.cfg, texts: newTexts(s.cfg.seed)}
	s.start = ctx.Clock.Now()
	if i := s.behind(); i >= 0 {
		s.first = s.parts[i].event(s.cfg)
	}
	return nil
}

// behind is the split whose next event is the earliest, -1 when all have ended.
func (s *source) behind() int {
	at, least := -1, int64(0)
	for i := range s.parts {
		if p := &s.parts[i]; !p.ended {
			if n := p.event(s.cfg); at < 0 || n < least {
				at, least = i, n
			}
		}
	}
	return at
}

// Poll makes up to a batch of events of one split, with a rate only those that are due.
func (s *source) Poll(ctx context.Context, b *vec.Batch, wait time.Duration) (op.Polled, error) {
	i := s.behind()
	if i < 0 {
		if s.cfg.events > 0 {
			return op.Polled{Status: op.End}, nil
		}
		s.pause(ctx, wait) // a task without splits
		return op.Polled{Status: op.Idle}, nil
	}
	p := &s.parts[i]
	limit, wake := s.due()
	var waited time.Duration
	if p.event(s.cfg) >= limit && !s.over(p) {
		waited = s.pause(ctx, min(wait, max(wake, leastPause)))
		if limit, _ = s.due(); p.event(s.cfg) >= limit {
			return op.Polled{Status: op.Idle, Split: i}, nil
		}
	}
	s.gen.reset()
	for len(s.gen.n) < vec.MaxRows {
		n := p.event(s.cfg)
		if s.over(p) {
			p.ended = true
			break
		}
		if n >= limit {
			break
		}
		s.gen.add(s.cfg, n)
		p.pos.Done++
	}
	s.gen.fill(b)
	out := op.Polled{Status: op.More, Split: i, SplitEnded: p.ended, Waited: waited}
	if s.behind() < 0 {
		out.Status = op.End
	}
	return out, nil
}

// over reports whether a split has no more events.
func (s *source) over(p *part) bool { return s.cfg.events > 0 && p.event(s.cfg) >= s.cfg.events }

const noLimit = 1<<63 - 1

// due returns the first event that is not due yet, and when it will be.
func (s *source) due() (limit int64, wake time.Duration) {
	if !s.cfg.limited {
		return noLimit, 0
	}
	passed := s.ctx.Clock.Now().Sub(s.start)
	// Whole seconds apart, so that the product stays in range.
	n := int64(passed/time.Second)*s.cfg.rate + int64(passed%time.Second)*s.cfg.rate/int64(time.Second)
	return s.first + n + 1, max(time.Second/time.Duration(s.cfg.rate), time.Nanosecond)
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

// Snapshot returns how many events of each split have been made.
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
