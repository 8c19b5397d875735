package taskmanager

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// TestWhoWaitsForAListingEndsWithTheJob: storage does not answer one task; the others do not wait beyond the end of their job.
func TestWhoWaitsForAListingEndsWithTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPresent()
		answer := make(chan struct{})
		asked := 0
		hangs := func(context.Context) (map[string]int64, error) {
			asked++
			<-answer
			return map[string]int64{"a": 1}, nil
		}
		type result struct {
			sizes map[string]int64
			err   error
		}
		first, second := make(chan result), make(chan result)
		go func() { sizes, err := p.list(t.Context(), hangs); first <- result{sizes, err} }()
		synctest.Wait()
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { sizes, err := p.list(ctx, hangs); second <- result{sizes, err} }()
		synctest.Wait() // a mutex would not let it return
		over := errors.New("over")
		cancel(over)
		if r := <-second; !errors.Is(r.err, over) {
			t.Errorf("%v, %v", r.sizes, r.err)
		}
		close(answer)
		if r := <-first; r.err != nil || r.sizes["a"] != 1 {
			t.Errorf("%v, %v", r.sizes, r.err)
		}
		if sizes, err := p.list(t.Context(), hangs); err != nil || sizes["a"] != 1 || asked != 1 {
			t.Errorf("%v, %v, asked %d times", sizes, err, asked)
		}
	})
}
