// Package invariants states what must hold if the code is right, and stops the program
// when it does not. It does not check input: whatever a user, a file or a peer can cause
// is an error, never an assertion.
//
// Build with the tag "invariants" to check (tests and CI run both ways); without it
// Assertf does nothing and checks behind Enabled are not compiled at all.
package invariants

import "fmt"

// AssertionError is the panic value of a broken invariant. Recovering from it means
// carrying on with state that is known to be wrong; only a task's outermost frame may do
// so, in order to fail the job with the message.
type AssertionError struct{ msg string }

// Error returns the message of the assertion.
func (e *AssertionError) Error() string { return "assertion failed: " + e.msg }

// Failf panics with an AssertionError, in every build. It is for code that can only be
// reached through a bug, such as the end of a switch over a closed set.
func Failf(format string, args ...any) {
	panic(&AssertionError{msg: fmt.Sprintf(format, args...)})
}
