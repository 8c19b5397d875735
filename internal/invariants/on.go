//go:build invariants

package invariants

// Enabled says whether this build checks invariants. It is a constant, so that
// `if invariants.Enabled { … }` costs nothing where it is false.
const Enabled = true

// Assertf panics with an AssertionError unless cond holds. Give both values that should
// have agreed. Its arguments are evaluated even where it does nothing: put anything
// costly, and anything in a loop over rows, behind Enabled.
func Assertf(cond bool, format string, args ...any) {
	if !cond {
		Failf(format, args...)
	}
}
