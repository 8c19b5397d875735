// Package agg holds aggregate functions as columnar accumulators: one dense array entry a group. It knows no keys, windows or state stores.
package agg

import (
	"strconv"
	"strings"

	"github.com/bramble-stream/bramble/engine/vec"
)

// Spec is one aggregate call, as data: it travels in the job graph.
type Spec struct {
	// Func is the upper-case SQL name: COUNT, SUM, AVG, MIN, MAX, FIRST_VALUE, LAST_VALUE, STDDEV_POP, STDDEV_SAMP, VAR_POP, VAR_SAMP, LISTAGG.
	Func string `json:"fn"`
	// Args are input columns; empty for COUNT(*).
	Args []int `json:"args,omitempty"`
	// ArgTypes are the types of Args.
	ArgTypes []vec.Type `json:"argTypes,omitempty"`
	Distinct bool       `json:"distinct,omitempty"`
	// Filter is a BOOLEAN input column that must be TRUE for a row to count, or -1.
	Filter int `json:"filter"`
	// Separator is LISTAGG's, as it is: the planner fills in the comma of a call without one.
	Separator string `json:"sep,omitempty"`
	// Type is the result's type.
	Type vec.Type `json:"type"`
	// Name is the output column's name.
	Name string `json:"name"`
}

// String prints the call, as plans show it.
func (s Spec) String() string {
	var b strings.Builder
	b.WriteString(s.Func + "(")
	if s.Distinct {
		b.WriteString("DISTINCT ")
	}
	if len(s.Args) == 0 {
		b.WriteString("*")
	}
	for i, a := range s.Args {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("$" + itoa(a))
	}
	b.WriteString(")")
	if s.Filter >= 0 {
		b.WriteString(" FILTER $" + itoa(s.Filter))
	}
	return b.String()
}

func itoa(i int) string { return strconv.Itoa(i) }
