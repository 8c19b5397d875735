package rest

import (
	"cmp"
	"html"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (s *Server) flinkJobDetails(_ http.ResponseWriter, _ *http.Request, j *Job) any {
	now := s.nowMS()
	times, counts := object{}, object{}
	for _, state := range flinkJobStates {
		times[state] = j.StateTimes[state]
	}
	for _, state := range flinkTaskStates {
		counts[state] = 0
	}
	vertices := []object{}
	for _, v := range j.Vertices {
		vertices = append(vertices, flinkJobVertex(j, v, now))
		n, _ := counts[v.State].(int)
		counts[v.State] = n + 1
	}
	return object{
		"jid": j.ID, "name": j.Name, "isStoppable": false, "state": j.State, "job-type": "STREAMING", "start-time": j.StartedAt,
		"end-time": orMinus1(j.EndedAt), "duration": j.DurationMS, "maxParallelism": j.MaxParallelism, "now": now, "timestamps": times,
		"vertices": vertices, "status-counts": counts, "plan": flinkPlan(j), "pending-operators": 0,
	}
}

// span is when something began and ended, as Flink has it: -1 for not yet.
func flinkSpan(started, ended *int64, now int64) (start, end, duration int64) {
	start, end = orMinus1(started), orMinus1(ended)
	switch {
	case start < 0:
		return start, end, -1
	case end < 0:
		return start, end, max(now-start, 0)
	}
	return start, end, max(end-start, 0)
}

// vertexSpan is from the first start to the last end of its tasks.
func vertexSpan(tasks []*Task) (started, ended *int64) {
	open := false
	for _, t := range tasks {
		if t.StartedAt != nil && (started == nil || *t.StartedAt < *started) {
			started = t.StartedAt
		}
		if t.EndedAt == nil {
			open = true
		} else if ended == nil || *t.EndedAt > *ended {
			ended = t.EndedAt
		}
	}
	if open {
		ended = nil
	}
	return started, ended
}

func statesOf(tasks []*Task) object {
	counts := object{}
	for _, state := range flinkTaskStates {
		counts[state] = 0
	}
	for _, t := range tasks {
		n, _ := counts[t.State].(int)
		counts[t.State] = n + 1
	}
	return counts
}

func flinkJobVertex(j *Job, v *Vertex, now int64) object {
	started, ended := vertexSpan(v.Tasks)
	start, end, duration := flinkSpan(started, ended, now)
	return object{
		"id": flinkID(v.ID), "slotSharingGroupId": flinkID(""), "name": v.Name, "maxParallelism": j.MaxParallelism, "parallelism": v.Parallelism,
		"status": v.State, "start-time": start, "end-time": end, "duration": duration, "tasks": statesOf(v.Tasks), "metrics": flinkIO(&v.Flow),
	}
}

func flinkIO(f *Flow) object {
	return object{
		"read-bytes": f.BytesIn, "read-bytes-complete": true, "write-bytes": f.BytesOut, "write-bytes-complete": true,
		"read-records": f.RecordsIn, "read-records-complete": true, "write-records": f.RecordsOut, "write-records-complete": true,
		"accumulated-backpressured-time": f.BackpressuredMS, "accumulated-idle-time": f.IdleMS, "accumulated-busy-time": float64(f.BusyMS),
	}
}

func flinkPlan(j *Job) object {
	nodes := []object{}
	for _, v := range slices.Backward(j.Vertices) { // Flink lists sinks first
		var names []string
		for _, o := range v.Operators {
			names = append(names, html.EscapeString(o.Name))
		}
		node := object{
			"id": flinkID(v.ID), "parallelism": v.Parallelism, "operator": "", "operator_strategy": "",
			"description": strings.Join(names, "<br/>+- "), "optimizer_properties": object{},
		}
		inputs := []object{}
		for _, e := range j.Edges {
			if e.Target == v.ID {
				inputs = append(inputs, object{
					"num": len(inputs), "id": flinkID(e.Source), "ship_strategy": strings.ToUpper(e.Kind), "exchange": "pipelined_bounded",
				})
			}
		}
		if len(inputs) > 0 {
			node["inputs"] = inputs
		}
		nodes = append(nodes, node)
	}
	return object{"jid": j.ID, "name": j.Name, "type": "STREAMING", "nodes": nodes}
}

func flinkJobConfig(_ http.ResponseWriter, _ *http.Request, j *Job) any {
	strategy := cmp.Or(j.Config["restart-strategy.type"], j.Config["restart-strategy"])
	if strategy == "" {
		strategy = "Cluster level default restart strategy"
	}
	return object{
		"jid": j.ID, "name": j.Name,
		"execution-config": object{
			"execution-mode": "PIPELINED", "restart-strategy": strategy, "job-parallelism": j.Parallelism, "object-reuse-mode": true, "user-config": j.Config,
		},
	}
}

func flinkExceptions(_ http.ResponseWriter, r *http.Request, j *Job) any {
	most := 20 // Flink's default
	if n, err := strconv.Atoi(r.URL.Query().Get("maxExceptions")); err == nil && n > 0 {
		most = n
	}
	var root, at any
	if len(j.Exceptions) > 0 {
		root, at = j.Exceptions[0].Message, j.Exceptions[0].At
	}
	shown := j.Exceptions[:min(most, len(j.Exceptions))]
	all, entries := []object{}, []object{}
	for _, e := range shown {
		all = append(all, object{
			"exception": e.Message, "task": e.Task, "location": e.TaskManager, "endpoint": e.TaskManager, "timestamp": e.At, "taskManagerId": e.TaskManager,
		})
		entries = append(entries, object{
			"exceptionName": e.Root, "stacktrace": e.Message, "timestamp": e.At, "taskName": e.Task, "location": e.TaskManager, "endpoint": e.TaskManager,
			"taskManagerId": e.TaskManager, "failureLabels": object{}, "concurrentExceptions": []any{},
		})
	}
	truncated := len(shown) < len(j.Exceptions)
	return object{
		"root-exception": root, "timestamp": at, "all-exceptions": all, "truncated": truncated,
		"exceptionHistory": object{"entries": entries, "truncated": truncated},
	}
}

func flinkResult(_ http.ResponseWriter, _ *http.Request, j *Job) any {
	status := map[string]string{"FINISHED": "SUCCEEDED", "FAILED": "FAILED", "CANCELED": "CANCELED"}[j.State]
	if status == "" {
		return object{"status": object{"id": "IN_PROGRESS"}}
	}
	result := object{"id": j.ID, "application-status": status, "accumulator-results": object{}, "net-runtime": j.DurationMS}
	if j.Cause != nil {
		result["failure-cause"] = flinkThrowable(*j.Cause)
	}
	return object{"status": object{"id": "COMPLETED"}, "job-execution-result": result}
}

// flinkThrowable is an error where Flink has a Java exception.
func flinkThrowable(message string) object {
	first, _, _ := strings.Cut(message, "\n")
	return object{"class": "bramble.Failure", "stack-trace": message, "serialized-throwable": nil, "message": first}
}

func flinkRequirements(_ http.ResponseWriter, _ *http.Request, j *Job) any {
	d := object{}
	for _, v := range j.Vertices {
		d[flinkID(v.ID)] = object{"parallelism": object{"lowerBound": v.Parallelism, "upperBound": v.Parallelism}}
	}
	return d
}
