// Package stream holds the words that everything in the engine shares: time, what flows between tasks,
// checkpoint epochs and key groups. It does no work.
package stream

import (
	"math"

	"github.com/bramble-stream/bramble/engine/vec"
)

// Time is milliseconds since 1970-01-01 UTC: event time, watermarks and processing time alike.
type Time = int64

// MinTime is the watermark before anything is known; MaxTime is the one after the last record.
const (
	MinTime Time = math.MinInt64
	MaxTime Time = math.MaxInt64
)

// Epoch numbers checkpoints of a job, from 1 upwards.
type Epoch uint64

// Kind says what an Element is.
type Kind uint8

// What flows is a closed set; a switch over it has every case.
const (
	// KindBatch carries records.
	KindBatch Kind = iota
	// KindWatermark promises that no record with a time <= Time follows.
	KindWatermark
	// KindIdle says that the input has no records for now and holds back nobody's watermark; the next batch
	// or watermark ends idleness.
	KindIdle
	// KindBarrier separates the records before a checkpoint from those after.
	KindBarrier
	// KindLatency carries the processing time at which a source made it, to measure the way.
	KindLatency
	// KindEnd says that nothing follows.
	KindEnd
)

// Barrier identifies a checkpoint in the stream.
type Barrier struct {
	Epoch Epoch
	// Savepoint asks for a self-contained snapshot; Stop says that the job ends after it.
	Savepoint, Stop bool
	// Drain, with Stop, says that event time ends before the barrier, as at the end of input: what was held for later rows is emitted.
	Drain bool
}

// Element is one thing that flows. Only the field that Kind names is meaningful.
type Element struct {
	Kind Kind
	// Batch is owned by whoever holds the element.
	Batch *vec.Batch
	// Time is a watermark, or the origin time of a latency marker.
	Time    Time
	Barrier Barrier
}

// DefaultMaxParallelism is the number of key groups of a job unless it says otherwise, as in Flink.
const DefaultMaxParallelism = 128

// KeyGroup is the unit in which keyed state moves between tasks.
type KeyGroup uint16

// KeyRange is a half-open range of key groups.
type KeyRange struct{ First, Limit KeyGroup }

// Contains reports whether g lies in the range.
func (r KeyRange) Contains(g KeyGroup) bool { return g >= r.First && g < r.Limit }

// KeyGroupOf returns the key group of a hash made by vec.Hash. It mixes once more (the multiplier is SplitMix64's, Steele 2014): the upper
// half of that hash advances evenly with small integers, so that keys 0 to 49 would all be one task's. It never changes.
func KeyGroupOf(hash uint64, maxParallelism int) KeyGroup {
	hash = (hash ^ hash>>29) * 0xbf58476d1ce4e5b9
	return KeyGroup((hash >> 32) * uint64(maxParallelism) >> 32)
}

// TaskOf returns the index of the task that owns the group when parallelism tasks share maxParallelism groups.
func TaskOf(g KeyGroup, maxParallelism, parallelism int) int {
	return int(g) * parallelism / maxParallelism
}

// RangeOf returns the groups that task index owns: those for which TaskOf returns index.
func RangeOf(index, maxParallelism, parallelism int) KeyRange {
	first := (index*maxParallelism + parallelism - 1) / parallelism
	limit := ((index+1)*maxParallelism + parallelism - 1) / parallelism
	return KeyRange{KeyGroup(first), KeyGroup(limit)}
}
