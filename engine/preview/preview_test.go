package preview

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
)

func TestDeliverWaitsUntilRowsAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Hub
		s, err := h.Open("a")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- h.Deliver(t.Context(), "a", Rows{JSON: []byte("[[1]]")}) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("delivered to nobody: %v", err)
		default:
		}
		if r := <-s.Rows(); string(r.JSON) != "[[1]]" {
			t.Errorf("got %s", r.JSON)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		// Who leaves releases who waits.
		go func() { done <- h.Deliver(t.Context(), "a", Rows{}) }()
		synctest.Wait()
		s.Close()
		s.Close()
		if err := <-done; !errors.Is(err, ErrGone) {
			t.Errorf("after the reader left: %v, want ErrGone", err)
		}
		if err := h.Deliver(t.Context(), "a", Rows{}); !errors.Is(err, ErrGone) {
			t.Errorf("without a reader: %v, want ErrGone", err)
		}
	})
}

func TestDeliverEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Hub
		s, err := h.Open("a")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		cause := errors.New("cancelled")
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Deliver(ctx, "a", Rows{}) }()
		synctest.Wait()
		cancel(cause)
		if err := <-done; !errors.Is(err, cause) {
			t.Errorf("got %v, want the cause", err)
		}
	})
}

func TestOpenIsBounded(t *testing.T) {
	var h Hub
	var all []*Session
	for i := range sessionsMax {
		s, err := h.Open(strconv.Itoa(i))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if _, err := h.Open("more"); !errors.Is(err, ErrMany) {
		t.Errorf("got %v, want ErrMany", err)
	}
	all[0].Close()
	s, err := h.Open("more")
	if err != nil {
		t.Fatalf("after one has ended: %v", err)
	}
	if _, err := h.Open("1"); err == nil {
		t.Error("one job is looked at twice")
	}
	s.Close()
}
