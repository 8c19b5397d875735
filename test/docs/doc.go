// Package docs holds tests that keep the documentation true: SQL in it plans, samples in it come out so, options, flags, metrics and
// links in it exist, and what exists is in it.
//
// A fenced block of sql is planned as a whole script. An HTML comment on the line before the fence, with blank lines between or not, says more:
//
//	<!-- prelude: readings -->   testdata/readings.sql comes before it; several names are separated by commas
//	<!-- run -->                 it is also run; the next fenced block without a language is exactly what it prints
//	<!-- refused -->             planning refuses it; the next fenced block without a language is exactly the error
//	<!-- fragment -->            it is not a statement and is left alone
//
// They combine: <!-- prelude: readings; run -->. Paths in scripts are relative to the root of the repository.
package docs
