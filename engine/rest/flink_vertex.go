package rest

import (
	"math"
	"net/http"
	"slices"
	"strconv"
)

func (s *Server) flinkVertex(_ http.ResponseWriter, _ *http.Request, j *Job, v *Vertex) any {
	tasks := []object{}
	for _, t := range v.Tasks {
		tasks = append(tasks, s.flinkAttempt(t))
	}
	return object{
		"id": flinkID(v.ID), "name": v.Name, "parallelism": v.Parallelism, "maxParallelism": j.MaxParallelism, "now": s.nowMS(), "subtasks": tasks,
		"aggregated": flinkAggregated(v.Tasks),
	}
}

// flinkAttempt is a task. Flink counts attempts from 0.
func (s *Server) flinkAttempt(t *Task) object {
	start, end, duration := flinkSpan(t.StartedAt, t.EndedAt, s.nowMS())
	return object{
		"subtask": t.Index, "status": t.State, "attempt": t.Attempt - 1, "endpoint": unassigned(t.TaskManager), "host": unassigned(t.TaskManager),
		"start-time": start, "start_time": start, "end-time": end, "duration": duration, "metrics": flinkIO(&t.Flow),
		"taskmanager-id": unassigned(t.TaskManager), "status-duration": object{t.State: max(duration, 0)}, "other-concurrent-attempts": []any{},
	}
}

func unassigned(tm string) string {
	if tm == "" {
		return "(unassigned)"
	}
	return tm
}

// flinkAggregated are statistics of the tasks' numbers.
func flinkAggregated(tasks []*Task) object {
	metrics := object{}
	for _, m := range []struct {
		name string
		of   func(*Flow) int64
	}{
		{"read-bytes", func(f *Flow) int64 { return f.BytesIn }},
		{"write-bytes", func(f *Flow) int64 { return f.BytesOut }},
		{"read-records", func(f *Flow) int64 { return f.RecordsIn }},
		{"write-records", func(f *Flow) int64 { return f.RecordsOut }},
		{"accumulated-backpressured-time", func(f *Flow) int64 { return f.BackpressuredMS }},
		{"accumulated-idle-time", func(f *Flow) int64 { return f.IdleMS }},
		{"accumulated-busy-time", func(f *Flow) int64 { return f.BusyMS }},
	} {
		var values []int64
		for _, t := range tasks {
			values = append(values, m.of(&t.Flow))
		}
		st := statistics(values)
		metrics[m.name] = object{
			"min": st.min, "max": st.max, "avg": st.avg, "sum": st.sum, "median": int64(st.at(0.5)), "p25": int64(st.at(0.25)),
			"p75": int64(st.at(0.75)), "p95": int64(st.at(0.95)),
		}
	}
	return object{"metrics": metrics, "status-duration": object{}}
}

// stats are of a few numbers; all zero of none.
type stats struct {
	sorted             []int64
	min, max, avg, sum int64
}

func statistics(values []int64) stats {
	if len(values) == 0 {
		return stats{}
	}
	s := stats{sorted: slices.Sorted(slices.Values(values))}
	for _, v := range values {
		s.sum += v
	}
	s.min, s.max, s.avg = s.sorted[0], s.sorted[len(s.sorted)-1], s.sum/int64(len(values))
	return s
}

// at is a quantile: the least number that so large a share does not exceed.
func (s stats) at(q float64) float64 {
	if len(s.sorted) == 0 {
		return 0
	}
	i := int(math.Ceil(q*float64(len(s.sorted)))) - 1
	return float64(s.sorted[min(max(i, 0), len(s.sorted)-1)])
}

func orZero(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}

// flinkLevel is Flink's word for a share of back-pressure.
func flinkLevel(ratio float64) string {
	switch {
	case ratio <= 0.10:
		return "ok"
	case ratio <= 0.5:
		return "low"
	}
	return "high"
}

func (s *Server) flinkBackpressure(_ http.ResponseWriter, _ *http.Request, _ *Job, v *Vertex) any {
	tasks := []object{}
	for _, t := range v.Tasks {
		ratio := orZero(t.BackpressuredRatio)
		tasks = append(tasks, object{
			"subtask": t.Index, "attempt-number": t.Attempt - 1, "backpressure-level": flinkLevel(ratio), "backpressureLevel": flinkLevel(ratio),
			"ratio": ratio, "idleRatio": orZero(t.IdleRatio), "busyRatio": orZero(t.BusyRatio), "other-concurrent-attempts": []any{},
		})
	}
	if v.BackpressuredRatio == nil {
		return object{"status": "deprecated", "backpressure-level": "ok", "backpressureLevel": "ok", "end-timestamp": s.nowMS(), "subtasks": tasks}
	}
	level := flinkLevel(*v.BackpressuredRatio)
	return object{"status": "ok", "backpressure-level": level, "backpressureLevel": level, "end-timestamp": s.nowMS(), "subtasks": tasks}
}

func flinkWatermarks(_ http.ResponseWriter, _ *http.Request, _ *Job, v *Vertex) any {
	all := []object{}
	for _, t := range v.Tasks {
		if t.Watermark != nil {
			all = append(all, object{"id": strconv.Itoa(t.Index) + ".currentInputWatermark", "value": strconv.FormatInt(*t.Watermark, 10)})
		}
	}
	return all
}

func (s *Server) flinkSubtaskTimes(_ http.ResponseWriter, _ *http.Request, _ *Job, v *Vertex) any {
	now := s.nowMS()
	tasks := []object{}
	for _, t := range v.Tasks {
		times := object{}
		for _, state := range flinkTaskStates {
			times[state] = 0
		}
		start, end, duration := flinkSpan(t.StartedAt, t.EndedAt, now)
		if start > 0 {
			times["RUNNING"] = start
		}
		if end > 0 {
			times[t.State] = end
		}
		tasks = append(tasks, object{
			"subtask": t.Index, "host": unassigned(t.TaskManager), "endpoint": unassigned(t.TaskManager), "duration": duration, "timestamps": times,
		})
	}
	return object{"id": flinkID(v.ID), "name": v.Name, "now": now, "subtasks": tasks}
}

func (s *Server) flinkVertexTaskManagers(_ http.ResponseWriter, _ *http.Request, _ *Job, v *Vertex) any {
	now := s.nowMS()
	by := map[string][]*Task{}
	for _, t := range v.Tasks {
		by[unassigned(t.TaskManager)] = append(by[unassigned(t.TaskManager)], t)
	}
	all := []object{}
	for _, tm := range sortedKeys(by) {
		tasks := by[tm]
		var sum Flow
		state := tasks[0].State
		for _, t := range tasks {
			sum.add(&t.Flow)
			if t.State != state {
				state = v.State
			}
		}
		started, ended := vertexSpan(tasks)
		start, end, duration := flinkSpan(started, ended, now)
		all = append(all, object{
			"host": tm, "endpoint": tm, "taskmanager-id": tm, "status": state, "start-time": start, "end-time": end, "duration": duration,
			"metrics": flinkIO(&sum), "status-counts": statesOf(tasks), "aggregated": flinkAggregated(tasks),
		})
	}
	return object{"id": flinkID(v.ID), "name": v.Name, "now": now, "taskmanagers": all}
}

// add adds the counters of another.
func (f *Flow) add(t *Flow) {
	f.RecordsIn += t.RecordsIn
	f.RecordsOut += t.RecordsOut
	f.BytesIn += t.BytesIn
	f.BytesOut += t.BytesOut
	f.BusyMS += t.BusyMS
	f.BackpressuredMS += t.BackpressuredMS
	f.IdleMS += t.IdleMS
}

// findTask answers itself when it returns nil.
func findTask(w http.ResponseWriter, r *http.Request, v *Vertex) *Task {
	i, err := strconv.Atoi(r.PathValue("index"))
	if err != nil || i < 0 || i >= len(v.Tasks) {
		fail(w, http.StatusNotFound, "vertex "+v.ID+" has no subtask "+r.PathValue("index"))
		return nil
	}
	t := v.Tasks[i]
	if a := r.PathValue("attempt"); a != "" && a != strconv.Itoa(t.Attempt-1) {
		fail(w, http.StatusNotFound, "of subtask "+strconv.Itoa(i)+" only the present attempt is known, "+strconv.Itoa(t.Attempt-1))
		return nil
	}
	return t
}

func (s *Server) flinkSubtask(w http.ResponseWriter, r *http.Request, _ *Job, v *Vertex) any {
	t := findTask(w, r, v)
	if t == nil {
		return nil
	}
	return s.flinkAttempt(t)
}
