package jobmanager_test

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"github.com/bramble-stream/bramble/engine/blob"
)

// stopping is storage during whose n-th operation the jobmanager is told to stop. From then on operations fail, as those of storage do then, unless
// it is deaf: a file system does not look at contexts.
type stopping struct {
	blob.Store
	deaf bool
	left atomic.Int64
	stop atomic.Pointer[context.CancelFunc]
}

func (s *stopping) step(ctx context.Context) error {
	if s.left.Add(-1) == 0 {
		(*s.stop.Load())()
		<-ctx.Done()
	}
	if ctx.Err() != nil && !s.deaf {
		return fmt.Errorf("storage: %w", context.Cause(ctx))
	}
	return nil
}

func (s *stopping) Put(ctx context.Context, name string, c blob.Content) error {
	if err := s.step(ctx); err != nil {
		return err
	}
	return s.Store.Put(ctx, name, c)
}

func (s *stopping) CreateExclusive(ctx context.Context, name string, content []byte) error {
	if err := s.step(ctx); err != nil {
		return err
	}
	return s.Store.CreateExclusive(ctx, name, content)
}

func (s *stopping) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := s.step(ctx); err != nil {
		return nil, err
	}
	return s.Store.Open(ctx, name, offset, length)
}

func (s *stopping) List(ctx context.Context, prefix string) ([]blob.Info, error) {
	if err := s.step(ctx); err != nil {
		return nil, err
	}
	return s.Store.List(ctx, prefix)
}

// TestStoppedWhileTakingLeadership stops a jobmanager at each of the first operations on its storage, in which there is a job: that is no failure.
func TestStoppedWhileTakingLeadership(t *testing.T) {
	mem := blob.NewMem()
	first := startOne(t, mem, "")
	first.leads(t)
	submitTo(t, first)
	first.cancel()
	if err := <-first.done; err != nil {
		t.Fatal(err)
	}
	const operations = 16
	for _, deaf := range []bool{false, true} {
		for n := range int64(operations) {
			s := &stopping{Store: mem, deaf: deaf}
			s.left.Store(n + 1)
			o := startStopping(t, s)
			if err := <-o.done; err != nil {
				t.Errorf("stopped at operation %d: %v", n+1, err)
			}
		}
	}
}

// startStopping starts a jobmanager whose storage stops it.
func startStopping(t *testing.T, s *stopping) *one {
	t.Helper()
	var o *one
	started := make(chan struct{})
	stop := context.CancelFunc(func() { <-started; o.cancel() })
	s.stop.Store(&stop)
	o = startOne(t, s, "")
	close(started)
	return o
}
