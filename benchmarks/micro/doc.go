// Package micro measures parts of the engine one by one, on rows that are columns already unless it says otherwise. It holds benchmarks only, and a test that the
// paths which are meant not to allocate do not. See benchmarks/README.md.
package micro
