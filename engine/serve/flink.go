package serve

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// Runtime is this process in the terms of Flink's Status.JVM metrics, whose names dashboards made for Flink use.
type Runtime struct {
	// CPULoad is the share of the machine's cores taken since the last look, 0 to 1; CPUTime is all of it.
	CPULoad float64
	CPUTime time.Duration
	// HeapUsed are objects, HeapCommitted what the heap holds of the system's memory, HeapMax Go's limit, bytes; it is -1 without one, as in Flink.
	HeapUsed, HeapCommitted, HeapMax int64
	// NonHeapUsed are stacks and what the runtime keeps for itself, bytes.
	NonHeapUsed int64
	// Threads are goroutines, which are what a thread is in Java.
	Threads int
	// Collections is how often the garbage was collected, CollectionTime how long the world was stopped for it.
	Collections    int64
	CollectionTime time.Duration
}

// RuntimeMeter measures the process. It is safe for concurrent use.
type RuntimeMeter struct {
	mu struct {
		sync.Mutex
		at   time.Time
		cpu  time.Duration
		load float64
	}
}

// loadLeast is the shortest time that a load is measured over: two scrapes at once do not disturb each other.
const loadLeast = time.Second

// Read measures now.
func (m *RuntimeMeter) Read(now time.Time) Runtime {
	r := Runtime{CPUTime: cpuTime(), Threads: runtime.NumGoroutine(), HeapMax: -1}
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		r.HeapMax = limit
	}
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	r.Collections, r.CollectionTime = gc.NumGC, gc.PauseTotal
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/total:bytes"},
	}
	metrics.Read(samples)
	var v [6]int64
	for i, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			v[i] = int64(s.Value.Uint64()) //nolint:gosec // memory of a process
		}
	}
	r.HeapUsed, r.HeapCommitted = v[0], v[0]+v[1]+v[2]
	r.NonHeapUsed = v[5] - v[4] - r.HeapCommitted
	r.CPULoad = m.load(now, r.CPUTime)
	return r
}

// load is the share of the machine since the last look, or as then if that was a moment ago. At first it is 0.
func (m *RuntimeMeter) load(now time.Time, cpu time.Duration) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := now.Sub(m.mu.at)
	if !m.mu.at.IsZero() && d < loadLeast && d >= 0 {
		return m.mu.load
	}
	if !m.mu.at.IsZero() && d > 0 {
		m.mu.load = min(1, max(0, (cpu-m.mu.cpu).Seconds()/d.Seconds()/float64(m.cores())))
	}
	m.mu.at, m.mu.cpu = now, cpu
	return m.mu.load
}

func (*RuntimeMeter) cores() int { return runtime.NumCPU() }
