package jobmanager

import (
	"math"
	"slices"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/job"
	"github.com/bramble-stream/bramble/engine/rest"
	"github.com/bramble-stream/bramble/engine/stream"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// What the loop makes of successive reports: rates over the last few seconds, and a job's last hour.

const (
	// reportsKept is how many reports rates are taken over: at one a second, the last three seconds. Over one alone they would jump with
	// the batches.
	reportsKept = 4
	// seriesStepMS and seriesPoints are an hour.
	seriesStepMS = 10_000
	seriesPoints = 360
	// seriesJobsMax bounds the jobs that have series, at 13 KB each.
	seriesJobsMax = 200
)

// reports are the latest of a task, oldest first. A report does not change any more once it is here.
type reports struct {
	at      []stream.Time
	metrics []*pb.TaskMetrics
}

// observed is what the counters of a job were lately. It belongs to the loop.
type observed struct {
	// tasks are of the attempt.
	tasks   map[job.Ref]*reports
	attempt int32
	series  series
}

// series are the samples of the last hour, oldest first.
type series struct {
	times  []stream.Time
	values [len(seriesNames)][]float32
	// late, bad and checkpoint are what the counters were at the last sample.
	late, bad  int64
	checkpoint stream.Time
}

// The order of series.values.
const (
	seriesIn = iota
	seriesOut
	seriesBusy
	seriesBlocked
	seriesLag
	seriesLate
	seriesBad
	seriesCheckpoint
)

var seriesNames = [...]string{"recordsIn", "recordsOut", "busy", "backpressured", "watermarkLagMs", "late", "bad", "checkpointMs"}

// report takes in what a task counts, at a time of the even clock. m is not changed any more.
func (r *running) report(ref job.Ref, m *pb.TaskMetrics, now stream.Time) {
	r.metrics[ref.Vertex][ref.Index] = m
	if r.observed.tasks == nil || r.observed.attempt != r.attempt() {
		r.observed.tasks, r.observed.attempt = map[job.Ref]*reports{}, r.attempt()
	}
	t := r.observed.tasks[ref]
	if t == nil {
		t = &reports{}
		r.observed.tasks[ref] = t
	}
	if n := len(t.at); n > 0 && t.at[n-1] >= now {
		t.metrics[n-1] = m // twice within a millisecond
		return
	}
	if len(t.at) == reportsKept {
		t.at, t.metrics = slices.Delete(t.at, 0, 1), slices.Delete(t.metrics, 0, 1)
	}
	t.at, t.metrics = append(t.at, now), append(t.metrics, m)
}

// span is two reports of a task between which rates are taken.
type span struct {
	old, latest *pb.TaskMetrics
	ms          float64
}

// span is that of a task, if it runs and has reported twice.
func (r *running) span(ref job.Ref) (span, bool) {
	t := r.observed.tasks[ref]
	if t == nil || len(t.at) < 2 || r.observed.attempt != r.attempt() || r.machine.State() != job.Running ||
		r.machine.Tasks()[ref.Vertex][ref.Index].State != job.TaskRunning {
		return span{}, false
	}
	last := len(t.at) - 1
	return span{t.metrics[0], t.metrics[last], float64(t.at[last] - t.at[0])}, true
}

// rate is per second of a counter.
func (s span) rate(counter func(*pb.TaskMetrics) int64) float64 {
	return max(float64(counter(s.latest)-counter(s.old))*1000/s.ms, 0)
}

// shares are how a task spent its time.
type shares struct{ busy, blocked, idle float64 }

func (s span) shares() shares {
	busy, blocked, idle := s.latest.BusyNs-s.old.BusyNs, s.latest.BackpressuredNs-s.old.BackpressuredNs, s.latest.IdleNs-s.old.IdleNs
	all := float64(max(busy, 0) + max(blocked, 0) + max(idle, 0))
	if all == 0 {
		return shares{idle: 1}
	}
	return shares{float64(busy) / all, float64(blocked) / all, float64(idle) / all}
}

// ends are the operators of a vertex that a job's own rates are about.
type ends struct{ sources, sinks []int }

// endsOf are the sources and sinks of a vertex, as indexes of its operators.
func endsOf(v *graph.Vertex) ends {
	var e ends
	for i, n := range v.Ops {
		switch n.Kind { //nolint:exhaustive // only the ends count
		case graph.KindSource, graph.KindValues:
			e.sources = append(e.sources, i)
		case graph.KindSink:
			e.sinks = append(e.sinks, i)
		}
	}
	return e
}

// total adds a counter of operators up.
func total(m *pb.TaskMetrics, ops []int, counter func(*pb.OperatorMetrics) int64) int64 {
	var n int64
	for _, i := range ops {
		if i < len(m.Operators) {
			n += counter(m.Operators[i])
		}
	}
	return n
}

// pace is what a job does at present.
type pace struct {
	// known: a task runs that has reported.
	known         bool
	in, out       float64
	busy, blocked float64
	// lag is the greatest of a vertex, -1 when there is none.
	lag       int64
	late, bad int64
}

func (r *running) pace(now stream.Time) pace {
	p := pace{lag: -1}
	for v, vertex := range r.planned.Graph.Vertices {
		e := endsOf(vertex)
		for i, m := range r.metrics[v] {
			if m != nil {
				p.late += m.LateRecords
				p.bad += m.BadRecords
			}
			s, ok := r.span(job.Ref{Vertex: v, Index: i})
			if !ok {
				continue
			}
			p.known = true
			p.in += s.rate(func(m *pb.TaskMetrics) int64 { return total(m, e.sources, (*pb.OperatorMetrics).GetRecordsOut) })
			p.out += s.rate(func(m *pb.TaskMetrics) int64 { return total(m, e.sinks, (*pb.OperatorMetrics).GetRecordsIn) })
			share := s.shares()
			p.busy, p.blocked = max(p.busy, share.busy), max(p.blocked, share.blocked)
		}
		if r.machine.State() == job.Running {
			if lag := lagOf(watermark(lowest(r.metrics[v])), now); lag != nil {
				p.lag = max(p.lag, *lag)
			}
		}
	}
	return p
}

// lowest is the watermark of a vertex: there is none until all its tasks have one.
func lowest(tasks []*pb.TaskMetrics) *int64 {
	var low *int64
	for _, m := range tasks {
		if m == nil || m.WatermarkMs == nil {
			return nil
		}
		if low == nil || *m.WatermarkMs < *low {
			low = m.WatermarkMs
		}
	}
	return low
}

// watermark is what can be shown: the last one, at the end of all input, is beyond time.
func watermark(wm *int64) *int64 {
	if wm == nil || *wm == stream.MaxTime || *wm == stream.MinTime {
		return nil
	}
	return wm
}

func lagOf(wm *int64, now stream.Time) *int64 {
	if wm == nil {
		return nil
	}
	return new(max(now-*wm, 0))
}

// observe samples the jobs that have not ended, every seriesStepMS.
func (c *cluster) observe() {
	now := c.now()
	step := now - now%seriesStepMS
	if step <= c.sampledAt && step > c.sampledAt-seriesStepMS {
		return
	}
	c.sampledAt = step
	for i, id := range c.order {
		switch r := c.jobs[id]; {
		case r.machine.State().Ended():
			r.observed.tasks = nil
		case i >= len(c.order)-seriesJobsMax:
			r.sample(step, now)
		}
	}
}

func (r *running) sample(step, now stream.Time) {
	s, p := &r.observed.series, r.pace(now)
	if n := len(s.times); n > 0 && s.times[n-1] >= step {
		*s = series{late: s.late, bad: s.bad, checkpoint: s.checkpoint} // the clock was set back
	}
	gap := float32(math.NaN())
	var v [len(seriesNames)]float32
	for i := range v {
		v[i] = gap
	}
	if p.known {
		v[seriesIn], v[seriesOut], v[seriesBusy], v[seriesBlocked] = float32(p.in), float32(p.out), float32(p.busy), float32(p.blocked)
		v[seriesLate], v[seriesBad] = float32(since(p.late, s.late)), float32(since(p.bad, s.bad))
		if p.lag >= 0 {
			v[seriesLag] = float32(p.lag)
		}
	}
	s.late, s.bad = p.late, p.bad
	if k := r.ckpt; k != nil && k.completed > 0 && k.last.EndedMS != s.checkpoint {
		v[seriesCheckpoint] = float32(k.last.EndedMS - k.last.TriggeredMS)
		s.checkpoint = k.last.EndedMS
	}
	if len(s.times) == seriesPoints {
		s.times = slices.Delete(s.times, 0, 1)
		for i := range s.values {
			s.values[i] = slices.Delete(s.values[i], 0, 1)
		}
	}
	s.times = append(s.times, step)
	for i := range s.values {
		s.values[i] = append(s.values[i], v[i])
	}
}

// since is how much a counter grew; one that began anew grew from 0.
func since(now, before int64) int64 {
	if now < before {
		return now
	}
	return now - before
}

func (r *running) seriesDocument() *rest.Series {
	s := &r.observed.series
	d := &rest.Series{StepMS: seriesStepMS, Times: slices.Clone(s.times), Values: map[string][]float32{}}
	for i, name := range seriesNames {
		d.Values[name] = slices.Clone(s.values[i])
	}
	return d
}
