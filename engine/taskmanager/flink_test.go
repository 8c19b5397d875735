package taskmanager

import (
	"math"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/task"
)

func TestQuantilesOfBuckets(t *testing.T) {
	counts := make([]int64, len(task.LatencyBucketsMS)+1)
	if q := quantiles(counts); q[0.5] != 0 {
		t.Errorf("of nothing: %v", q)
	}
	counts[3] = 100 // 5 to 10 ms
	if q := quantiles(counts); q[0.5] != 7.5 || q[0.99] != 9.95 {
		t.Errorf("all in 5 to 10 ms: %v", q)
	}
	counts[0] = 100 // 0 to 1 ms
	if q := quantiles(counts); q[0.5] != 1 || math.Abs(q[0.75]-7.5) > 1e-9 {
		t.Errorf("half in 0 to 1 ms: %v", q)
	}
	counts[len(counts)-1] = 1000 // beyond the last bound
	if last := float64(task.LatencyBucketsMS[len(task.LatencyBucketsMS)-1]); quantiles(counts)[0.99] != last {
		t.Errorf("beyond the last bound: %v", quantiles(counts))
	}
}

func TestLatenciesForget(t *testing.T) {
	var l latencies
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		after  time.Duration
		ever   int64
		recent int64
	}{
		{0, 100, 100},
		{latencyWindow / 2, 150, 150},
		{latencyWindow, 200, 200},
		{latencyWindow * 2, 250, 50},
		{latencyWindow * 3, 260, 10},
		{-time.Hour, 270, 10}, // the clock was set back
	} {
		recent, total := l.recent(0, now.Add(step.after), []int64{step.ever, 0})
		if total != step.ever || recent[0] != step.recent {
			t.Errorf("after %v: %d of %d recent, want %d", step.after, recent[0], total, step.recent)
		}
	}
}
