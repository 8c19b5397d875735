package task

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/bramble-stream/bramble/engine/op"
)

// LatencyBucketsMS are the upper bounds, inclusive, of a Latency's buckets but for the last, which has none.
var LatencyBucketsMS = [...]int64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000}

// Latency is a histogram of the time from a source to an operator, by latency markers.
type Latency struct {
	counts [len(LatencyBucketsMS) + 1]atomic.Int64
	sumMS  atomic.Int64
}

func (l *Latency) observe(ms int64) {
	ms = max(ms, 0) // clocks of machines differ
	i := 0
	for i < len(LatencyBucketsMS) && ms > LatencyBucketsMS[i] {
		i++
	}
	l.counts[i].Add(1)
	l.sumMS.Add(ms)
}

// Counts returns how many markers fell into each bucket (not cumulative; one more than LatencyBucketsMS), and their sum.
func (l *Latency) Counts() (counts []int64, sumMS int64) {
	for i := range l.counts {
		counts = append(counts, l.counts[i].Load())
	}
	return counts, l.sumMS.Load()
}

// OperatorReport is what is known of one operator of a task.
type OperatorReport struct {
	ID, Name string
	// Metrics and Latency are live.
	Metrics *op.Metrics
	Latency *Latency
}

// Report is what is known of a task.
type Report struct {
	State     State
	Operators []OperatorReport
	// RecordsIn and BytesIn came in through the task's head, RecordsOut and BytesOut left it over edges, or through its sinks.
	RecordsIn, BytesIn, RecordsOut, BytesOut int64
	// Watermark is the least that an output has reached, ms since the epoch; stream.MinTime before the first.
	Watermark int64
	// Busy, Idle and BackPressured add up to the time since the task began.
	Busy, Idle, BackPressured time.Duration
}

// Report may be called from any goroutine.
func (t *Task) Report() Report {
	now := t.clock.Now()
	if at := t.ended.Load(); at != nil {
		now = *at
	}
	r := Report{State: t.State()}
	head := t.nodes[0]
	r.RecordsIn, r.BytesIn = head.metrics.RecordsIn.Load(), head.metrics.BytesIn.Load()
	var blocked time.Duration
	for _, e := range t.edges {
		r.RecordsOut += e.stats.Records.Load()
		r.BytesOut += e.stats.Bytes.Load()
		blocked += e.stats.Blocked.Total(now)
	}
	r.Watermark = math.MaxInt64
	ends := false
	for _, n := range t.nodes {
		r.Operators = append(r.Operators, OperatorReport{ID: n.spec.ID, Name: n.spec.Name, Metrics: &n.metrics, Latency: &n.latency})
		if n.sink != nil {
			r.RecordsOut += n.metrics.RecordsOut.Load()
			r.BytesOut += n.metrics.BytesOut.Load()
		}
		if n.sink != nil || len(n.main.edges) > 0 {
			r.Watermark, ends = min(r.Watermark, n.metrics.Watermark.Load()), true
		}
	}
	if !ends {
		r.Watermark = head.metrics.Watermark.Load()
	}
	if at := t.started.Load(); at != nil {
		wall := max(now.Sub(*at), 0)
		r.Idle = min(t.idle.Total(now), wall)
		r.BackPressured = min(blocked, wall-r.Idle)
		r.Busy = wall - r.Idle - r.BackPressured
	}
	return r
}
