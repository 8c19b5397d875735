package taskmanager

import "runtime/metrics"

// Budget is how a taskmanager's memory is divided.
//
//	85 %  Go's soft limit (GOMEMLIMIT): the garbage collector works harder before it is passed
//	      10 %  exchange: batches under way between tasks
//	      35 %  hot state: hash tables of operators, an equal share a slot
//	      20 %  Pebble: block cache and memtables
//	      20 %  the rest: connectors' buffers, decoding, code, stacks
//	15 %  what Go does not count: the binary's pages, the kernel's socket buffers, fragmentation
type Budget struct {
	// LimitBytes is for debug.SetMemoryLimit.
	LimitBytes int64
	// ExchangeBytes, StateBytes and StoreBytes are for all tasks together.
	ExchangeBytes, StateBytes, StoreBytes int64
}

// BudgetOf divides the memory.
func BudgetOf(memoryBytes int64) Budget {
	percent := func(p int64) int64 { return memoryBytes / 100 * p }
	return Budget{LimitBytes: percent(85), ExchangeBytes: percent(10), StateBytes: percent(35), StoreBytes: percent(20)}
}

// memoryUsed is what the Go runtime holds of the system's memory.
func memoryUsed() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	for _, s := range samples {
		if s.Value.Kind() != metrics.KindUint64 {
			return 0
		}
	}
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64()) //nolint:gosec // below 2^63
}
