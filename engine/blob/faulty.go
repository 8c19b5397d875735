package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

// ErrInjected is a fault that Faulty made up and that may pass; ErrCrashed is what everything comes to after its crash.
var (
	ErrInjected = errors.New("blob: injected fault")
	ErrCrashed  = errors.New("blob: injected crash")
)

// Faults are what a Faulty store does wrong. Rates are probabilities from 0 to 1, an operation each.
type Faults struct {
	// Seed makes it repeatable, as far as the order of operations is.
	Seed uint64
	// ErrorRate: the operation fails without effect. LostAnswerRate: a write or delete takes effect and fails all the same.
	ErrorRate, LostAnswerRate float64
	// ShortReadRate: a reader fails after a part. TornRate: a Put fails and leaves a beginning of the object, as storage must not.
	ShortReadRate, TornRate float64
	// DelayRate: the operation begins after up to DelayMax, waited for by Sleep.
	DelayRate float64
	DelayMax  time.Duration
	Sleep     func(ctx context.Context, d time.Duration) error
	// FullAfterBytes: writes that would take the bytes written in all beyond it fail with ErrFull; 0 is no limit.
	FullAfterBytes int64
	// CrashAt is the operation, counted from 1, during which the process dies: whether it has had its effect depends on the seed (a
	// write that did not may have been cut short at any byte: nothing of it is seen). All later ones fail with ErrCrashed. 0 is never.
	CrashAt int64
}

// Faulty is a Store that injects faults into another.
type Faulty struct {
	in Store
	mu struct {
		sync.Mutex
		Faults
		rng     *rand.Rand
		ops     int64
		written int64
	}
}

var _ Store = (*Faulty)(nil)

// NewFaulty puts f before in.
func NewFaulty(in Store, f Faults) *Faulty {
	s := &Faulty{in: in}
	s.Set(f)
	return s
}

// Set replaces the faults. The count of operations and bytes begins anew.
func (s *Faulty) Set(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Sleep == nil {
		f.Sleep = Sleep
	}
	s.mu.Faults, s.mu.ops, s.mu.written = f, 0, 0
	s.mu.rng = rand.New(rand.NewPCG(f.Seed, 0x9e3779b97f4a7c15))
}

// Ops is how many operations there have been.
func (s *Faulty) Ops() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.ops
}

// Crashed says whether CrashAt has been reached.
func (s *Faulty) Crashed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.CrashAt > 0 && s.mu.ops >= s.mu.CrashAt
}

// fate is what an operation is to come to.
type fate struct {
	before, after error
	torn, short   bool
	delay         time.Duration
	sleep         func(context.Context, time.Duration) error
}

// next draws the fate of an operation that writes so many bytes.
func (s *Faulty) next(name string, write bool, bytes int64) fate {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &s.mu
	m.ops++
	hit := func(rate float64) bool { return rate > 0 && m.rng.Float64() < rate }
	f := fate{sleep: m.Sleep}
	if hit(m.DelayRate) {
		f.delay = time.Duration(m.rng.Float64() * float64(m.DelayMax))
	}
	fault := func(kind error) error { return fmt.Errorf("%s: %w", name, kind) }
	switch {
	case m.CrashAt > 0 && m.ops > m.CrashAt:
		f.before = fault(ErrCrashed)
	case m.CrashAt > 0 && m.ops == m.CrashAt:
		if m.rng.IntN(2) == 0 {
			f.before = fault(ErrCrashed)
		}
		f.after = fault(ErrCrashed)
	case m.FullAfterBytes > 0 && bytes > 0 && m.written+bytes > m.FullAfterBytes:
		f.before = fault(ErrFull)
	case hit(m.ErrorRate):
		f.before = fault(ErrInjected)
	case write && hit(m.LostAnswerRate):
		f.after = fault(ErrInjected)
	default:
		f.torn = hit(m.TornRate)
		f.short = hit(m.ShortReadRate)
	}
	if f.before == nil {
		m.written += bytes
	}
	return f
}

// run is an operation with its fate.
func (f fate) run(ctx context.Context, op func() error) error {
	if f.delay > 0 {
		if err := f.sleep(ctx, f.delay); err != nil {
			return err
		}
	}
	if f.before != nil {
		return f.before
	}
	if err := op(); err != nil {
		return err
	}
	return f.after
}

// Put implements Store.
func (s *Faulty) Put(ctx context.Context, name string, c Content) error {
	f := s.next("put "+name, true, c.SizeBytes)
	return f.run(ctx, func() error {
		if !f.torn {
			return s.in.Put(ctx, name, c)
		}
		var b bytes.Buffer
		if err := CopyContent(&b, c); err != nil {
			return err
		}
		return errors.Join(fmt.Errorf("put %s: %w: torn", name, ErrInjected), s.in.Put(ctx, name, Bytes(b.Bytes()[:b.Len()/2])))
	})
}

// CreateExclusive implements Store.
func (s *Faulty) CreateExclusive(ctx context.Context, name string, content []byte) error {
	return s.next("create "+name, true, int64(len(content))).run(ctx, func() error { return s.in.CreateExclusive(ctx, name, content) })
}

// Open implements Store.
func (s *Faulty) Open(ctx context.Context, name string, offset, length int64) (r io.ReadCloser, err error) {
	f := s.next("open "+name, false, 0)
	err = f.run(ctx, func() error {
		r, err = s.in.Open(ctx, name, offset, length)
		return err
	})
	if err != nil {
		if r != nil {
			err = errors.Join(err, r.Close())
		}
		return nil, err
	}
	if f.short {
		return readCloser{&shortReader{r: r, name: name}, r}, nil
	}
	return r, nil
}

// shortReader fails after a first read, of which it gives half.
type shortReader struct {
	r    io.Reader
	name string
	done bool
}

func (r *shortReader) Read(p []byte) (int, error) {
	if r.done {
		return 0, fmt.Errorf("read %s: %w: short", r.name, ErrInjected)
	}
	r.done = true
	return r.r.Read(p[:(len(p)+1)/2])
}

// List implements Store.
func (s *Faulty) List(ctx context.Context, prefix string) (infos []Info, err error) {
	err = s.next("list "+prefix, false, 0).run(ctx, func() error {
		infos, err = s.in.List(ctx, prefix)
		return err
	})
	if err != nil {
		return nil, err
	}
	return infos, nil
}

// Delete implements Store.
func (s *Faulty) Delete(ctx context.Context, name string) error {
	return s.next("delete "+name, true, 0).run(ctx, func() error { return s.in.Delete(ctx, name) })
}
