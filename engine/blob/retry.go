package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// RetryOptions say how often and when. The zero value is the default.
type RetryOptions struct {
	// Attempts is how often an operation is tried in all: 5.
	Attempts int
	// Pause is before the second attempt, doubling up to PauseMax: 100 ms and 5 s.
	Pause, PauseMax time.Duration
	// Sleep waits for d, or returns the error of the context that ended it.
	Sleep func(ctx context.Context, d time.Duration) error
	// Random in [0, 1) spreads the pauses between half and all of their length, so that many clients do not come back at once. Nil:
	// they are whole.
	Random func() float64
}

// Sleep is RetryOptions.Sleep by the system's clock.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type retry struct {
	in Store
	o  RetryOptions
}

var _ Store = (*retry)(nil)

// Retry repeats what fails in ways that may pass. CreateExclusive then finds out whether an attempt that failed had made the object by
// comparing content: let it be unique to the caller. A reader that breaks goes on where it was, which is right for objects that are
// never replaced, as all of a checkpoint are.
func Retry(in Store, o RetryOptions) Store {
	if o.Attempts <= 0 {
		o.Attempts = 5
	}
	if o.Pause <= 0 {
		o.Pause = 100 * time.Millisecond
	}
	if o.PauseMax <= 0 {
		o.PauseMax = 5 * time.Second
	}
	if o.Sleep == nil {
		o.Sleep = Sleep
	}
	return &retry{in, o}
}

// final reports whether repeating is of no use.
func final(err error) bool {
	for _, e := range []error{ErrNotExist, ErrExists, ErrPermanent, ErrFull, ErrCrashed, fs.ErrPermission, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// do calls try until it succeeds or there is no use. n counts attempts from 0.
func (s *retry) do(ctx context.Context, try func(n int) error) error {
	pause := s.o.Pause
	for n := 0; ; n++ {
		err := try(n)
		if err == nil || final(err) {
			return err
		}
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		if n+1 >= s.o.Attempts {
			return fmt.Errorf("%w (%d attempts)", err, n+1)
		}
		d := pause
		if s.o.Random != nil {
			d = d/2 + time.Duration(s.o.Random()*float64(d/2))
		}
		if s.o.Sleep(ctx, d) != nil {
			return err
		}
		pause = min(2*pause, s.o.PauseMax)
	}
}

func (s *retry) Put(ctx context.Context, name string, c Content) error {
	return s.do(ctx, func(int) error { return s.in.Put(ctx, name, c) })
}

func (s *retry) CreateExclusive(ctx context.Context, name string, content []byte) error {
	return s.do(ctx, func(n int) error {
		err := s.in.CreateExclusive(ctx, name, content)
		if n == 0 || !errors.Is(err, ErrExists) {
			return err
		}
		b, readErr := ReadAll(ctx, s.in, name, int64(len(content)))
		switch {
		case readErr == nil && bytes.Equal(b, content):
			return nil
		case readErr != nil && !final(readErr):
			return readErr
		}
		return err
	})
}

func (s *retry) List(ctx context.Context, prefix string) (infos []Info, err error) {
	err = s.do(ctx, func(int) error {
		infos, err = s.in.List(ctx, prefix)
		return err
	})
	return infos, err
}

func (s *retry) Delete(ctx context.Context, name string) error {
	return s.do(ctx, func(int) error { return s.in.Delete(ctx, name) })
}

func (s *retry) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r := &retryReader{s: s, ctx: ctx, name: name, offset: offset, left: length}
	if err := s.do(ctx, func(int) error { return r.open() }); err != nil {
		return nil, err
	}
	return r, nil
}

// retryReader opens anew when a read fails.
type retryReader struct {
	s      *retry
	ctx    context.Context // of the Open that made it, as the readers below hold it too
	name   string
	offset int64
	left   int64 // below 0: to the end
	r      io.ReadCloser
}

func (r *retryReader) open() (err error) {
	r.r, err = r.s.in.Open(r.ctx, r.name, r.offset, r.left)
	return err
}

func (r *retryReader) Read(p []byte) (n int, err error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	eof := false
	err = r.s.do(r.ctx, func(int) error {
		if r.r == nil {
			if err := r.open(); err != nil {
				return err
			}
		}
		var err error
		n, err = r.r.Read(p)
		r.offset += int64(n)
		if r.left > 0 {
			r.left -= int64(n)
		}
		eof = errors.Is(err, io.EOF)
		if err == nil || eof {
			return nil
		}
		// The error that counts is the read's.
		_ = r.r.Close()
		r.r = nil
		if n > 0 {
			return nil
		}
		return err
	})
	if err == nil && eof {
		err = io.EOF
	}
	return n, err
}

func (r *retryReader) Close() error {
	if r.r == nil {
		return nil
	}
	return r.r.Close()
}
