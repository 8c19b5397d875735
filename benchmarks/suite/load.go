package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"time"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// load is a source of readings that costs next to nothing, so that what is measured is what comes after it. With a rate it makes rows when they
// are due: every row has the time at which it was to be there.
func load() *op.Connector {
	keys := []op.Option{
		{Key: "rows", Kind: op.OptionInt, Default: "0"},
		{Key: "keys", Kind: op.OptionInt, Default: "1000"},
		{Key: "rate", Kind: op.OptionInt, Default: "0"},
		{Key: "per-ms", Kind: op.OptionInt, Default: "20"},
		{Key: "spread", Kind: op.OptionEnum, Enum: []string{"turn", "uniform", "zipf"}, Default: "turn"},
	}
	return &op.Connector{
		Name: "load", Options: keys,
		Bounded: func(t *graph.TableSpec) bool { return number(t, "rows", 0) > 0 },
		Splits: func(_ context.Context, _ *graph.TableSpec, parallelism int) ([]op.Split, error) {
			out := make([]op.Split, parallelism)
			for i := range out {
				out[i].ID = fmt.Sprintf("load-%d-of-%d", i, parallelism)
			}
			return out, nil
		},
		NewSource: func(t *graph.TableSpec) (op.Source, error) {
			return &loadSource{
				schema: t.Schema, rows: number(t, "rows", 0), keys: number(t, "keys", 1000), rate: number(t, "rate", 0), perMS: number(t, "per-ms", 20),
				spread: t.Options["spread"],
			}, nil
		},
	}
}

func number(t *graph.TableSpec, key string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(t.Options[key], 10, 64); err == nil { // the planner has checked it
		return n
	}
	return otherwise
}

// loadSource makes row n of k at its split's turn: split i has the rows i, i+of, ….
type loadSource struct {
	schema                  *vec.Schema
	rows, keys, rate, perMS int64
	spread                  string
	index, of               int64
	done                    int64
	start                   time.Time
	ctx                     *op.Context
	zipf                    *zipf
	timer                   *time.Timer
	names                   *vec.Dict
	none                    bool
}

var _ op.Source = (*loadSource)(nil)

func (s *loadSource) Open(ctx *op.Context, splits []op.Split) error {
	s.ctx, s.none = ctx, len(splits) == 0
	s.timer = time.NewTimer(time.Hour)
	s.timer.Stop()
	s.start = ctx.Clock.Now()
	s.of = 1
	for _, sp := range splits {
		if _, err := fmt.Sscanf(sp.ID, "load-%d-of-%d", &s.index, &s.of); err != nil {
			return err
		}
		if len(sp.Pos) > 0 {
			if err := json.Unmarshal(sp.Pos, &s.done); err != nil {
				return err
			}
		}
	}
	if s.spread == "zipf" {
		s.zipf = newZipf(s.keys)
	}
	for _, f := range s.schema.Fields {
		if f.Name == "sensor" {
			s.names = &vec.Dict{ID: vec.NewDictID(), Offsets: []int32{0}}
			for k := range s.keys {
				s.names.Data = fmt.Appendf(s.names.Data, "sensor-%07d", k)
				s.names.Offsets = append(s.names.Offsets, int32(len(s.names.Data))) //nolint:gosec // at most some millions
			}
		}
	}
	return nil
}

// pacedEvery is how long a paced source waits when nothing is due.
const pacedEvery = time.Millisecond

func (s *loadSource) Poll(ctx context.Context, b *vec.Batch, wait time.Duration) (op.Polled, error) {
	if s.none {
		return op.Polled{Status: op.End}, nil
	}
	n := int64(vec.MaxRows)
	if s.rows > 0 {
		n = min(n, (s.rows-s.index+s.of-1)/s.of-s.done)
		if n <= 0 {
			return op.Polled{Status: op.End, SplitEnded: true}, nil
		}
	}
	if most := n; s.rate > 0 {
		if n = min(n, s.due()); n <= 0 {
			s.pause(ctx, min(wait, pacedEvery))
			if n = min(most, s.due()); n <= 0 {
				return op.Polled{Status: op.Idle}, nil
			}
		}
	}
	s.fill(b, int(n))
	s.done += n
	return op.Polled{Status: op.More}, nil
}

// due is how many rows of this split are due and not made.
func (s *loadSource) due() int64 {
	passed := s.ctx.Clock.Now().Sub(s.start)
	all := int64(passed/time.Second)*s.rate + int64(passed%time.Second)*s.rate/int64(time.Second)
	return (all-s.index+s.of-1)/s.of - s.done
}

func (s *loadSource) pause(ctx context.Context, d time.Duration) {
	s.timer.Reset(d)
	defer s.timer.Stop()
	select {
	case <-s.timer.C:
	case <-ctx.Done():
	}
}

func (s *loadSource) fill(b *vec.Batch, n int) {
	for i, f := range s.schema.Fields {
		c := b.Col(i)
		if f.Name == "sensor" {
			c.SetDict(s.names)
		}
		c.Resize(n)
		switch f.Name {
		case "sensor":
			for r, out := 0, c.Codes(); r < n; r++ {
				out[r] = int32(s.key(s.row(r))) //nolint:gosec // below keys
			}
		case "id":
			for r, out := 0, vec.Values[int64](c); r < n; r++ {
				out[r] = s.key(s.row(r))
			}
		case "ts":
			for r, out := 0, vec.Values[int64](c); r < n; r++ {
				out[r] = s.time(s.row(r))
			}
		case "temp":
			for r, out := 0, vec.Values[float64](c); r < n; r++ {
				out[r] = float64(s.row(r)%970) / 10
			}
		case "hum":
			for r, out := 0, vec.Values[int32](c); r < n; r++ {
				out[r] = int32(s.row(r) * 37 % 100) //nolint:gosec // below 100
			}
		}
	}
	b.SetRows(n)
}

func (s *loadSource) row(r int) int64 { return (s.done+int64(r))*s.of + s.index }

// time is when row n is due, or for rows that are not paced so many a millisecond.
func (s *loadSource) time(n int64) int64 {
	if s.rate > 0 {
		return s.start.UnixMilli() + n/s.rate*1000 + n%s.rate*1000/s.rate
	}
	return baseMS + n/s.perMS
}

const baseMS = 1_700_000_000_000

func (s *loadSource) key(n int64) int64 {
	switch s.spread {
	case "uniform":
		hi, _ := bits.Mul64(mix(uint64(n)), uint64(s.keys)) //nolint:gosec // not negative
		return int64(hi)                                    //nolint:gosec // below keys
	case "zipf":
		return s.zipf.draw(mix(uint64(n))) //nolint:gosec // not negative
	default:
		return n * 7919 % s.keys
	}
}

// mix is the finalizer of splitmix64.
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// zipf draws keys with exponent 0.99, as YCSB does (Gray et al., Quickly generating billion-record synthetic databases, 1994), and scatters them.
type zipf struct {
	n                        int64
	alpha, zetaN, eta, theta float64
}

func newZipf(n int64) *zipf {
	z := &zipf{n: n, theta: 0.99}
	z.alpha = 1 / (1 - z.theta)
	for i := int64(1); i <= n; i++ {
		z.zetaN += 1 / math.Pow(float64(i), z.theta)
	}
	z.eta = (1 - math.Pow(2/float64(n), 1-z.theta)) / (1 - (1+math.Pow(0.5, z.theta))/z.zetaN)
	return z
}

func (z *zipf) draw(r uint64) int64 {
	u := float64(r>>11) / (1 << 53)
	var k int64
	switch uz := u * z.zetaN; {
	case uz < 1:
	case uz < 1+math.Pow(0.5, z.theta):
		k = 1
	default:
		k = int64(float64(z.n) * math.Pow(z.eta*u-z.eta+1, z.alpha))
	}
	return min(k, z.n-1) * 0x9e3779b1 % z.n
}

func (s *loadSource) Snapshot(stream.Epoch) ([]op.Split, error) {
	if s.none {
		return nil, nil
	}
	pos, err := json.Marshal(s.done)
	return []op.Split{{ID: fmt.Sprintf("load-%d-of-%d", s.index, s.of), Pos: pos}}, err
}

func (s *loadSource) Commit(context.Context, stream.Epoch) error { return nil }
func (s *loadSource) Close() error                               { return nil }
