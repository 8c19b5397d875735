package invariants_test

import (
	"errors"
	"testing"

	"github.com/bramble-stream/bramble/internal/invariants"
)

// recovered runs f and returns what it panicked with, nil if it did not.
func recovered(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

func TestAssertfPanicsOnlyWhereEnabled(t *testing.T) {
	if v := recovered(func() { invariants.Assertf(true, "holds") }); v != nil {
		t.Fatalf("a true condition panicked: %v", v)
	}
	v := recovered(func() { invariants.Assertf(false, "epoch %d after %d", 3, 4) })
	if !invariants.Enabled {
		if v != nil {
			t.Fatalf("panicked without the tag: %v", v)
		}
		return
	}
	checkAssertion(t, v, "assertion failed: epoch 3 after 4")
}

func TestFailfAlwaysPanics(t *testing.T) {
	checkAssertion(t, recovered(func() { invariants.Failf("kind %d", 9) }), "assertion failed: kind 9")
}

func checkAssertion(t *testing.T, v any, want string) {
	t.Helper()
	err, ok := v.(error)
	var a *invariants.AssertionError
	if !ok || !errors.As(err, &a) {
		t.Fatalf("panicked with %T %v, want *AssertionError", v, v)
	}
	if a.Error() != want {
		t.Errorf("message %q, want %q", a.Error(), want)
	}
}

func TestAssertfDoesNotAllocate(t *testing.T) {
	n, m := int64(1), int64(2)
	if got := testing.AllocsPerRun(100, func() { invariants.Assertf(n < m, "fixed text") }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
