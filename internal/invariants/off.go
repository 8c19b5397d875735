//go:build !invariants

package invariants

// Enabled says whether this build checks invariants. It is a constant, so that
// `if invariants.Enabled { … }` costs nothing where it is false.
const Enabled = false

// Assertf does nothing in this build; with the tag "invariants" it panics with an
// AssertionError unless cond holds. Its arguments are evaluated in both builds: put
// anything costly, and anything in a loop over rows, behind Enabled.
func Assertf(bool, string, ...any) {}
