package rest

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bramble-stream/bramble/engine/inspect"
)

// flameSeconds is how long a vertex is looked at, if the client does not say.
const flameSeconds = 2

// flinkFlameGraph is where the tasks of a vertex spend CPU time: a profile of each process that runs some, of their goroutines alone. Flink samples stacks
// at its leisure and says "not yet" at first; here the answer takes as long as the look. A frame's value are milliseconds.
func (s *Server) flinkFlameGraph(w http.ResponseWriter, r *http.Request, j *Job, v *Vertex) any {
	switch kind := strings.ToUpper(r.URL.Query().Get("type")); kind {
	case "", "FULL", "ON_CPU":
	case "OFF_CPU":
		fail(w, http.StatusNotFound, "type OFF_CPU: profiles are of CPU time here; /taskmanagers/ID/thread-dump shows where goroutines wait")
		return nil
	default:
		fail(w, http.StatusBadRequest, "type "+kind+": FULL or ON_CPU is wanted")
		return nil
	}
	labels := map[string]string{inspect.LabelJob: j.ID, inspect.LabelVertex: v.ID}
	if index := r.URL.Query().Get("subtaskindex"); index != "" {
		if n, err := strconv.Atoi(index); err != nil || n < 0 || n >= v.Parallelism {
			fail(w, http.StatusNotFound, "there is no subtask "+index+" of vertex "+flinkID(v.ID))
			return nil
		}
		labels[inspect.LabelTask] = index
	}
	seconds, ok := amount(w, r, "seconds", flameSeconds, inspect.SecondsMax)
	if !ok {
		return nil
	}
	if s.cfg.Access.Strangers {
		fail(w, http.StatusForbidden, "without a token profiles are not shown over a network: start the jobmanager with --http-token-file FILE")
		return nil
	}
	where := map[string]bool{}
	for _, t := range v.Tasks {
		if t.State == "RUNNING" && t.TaskManager != "" && (labels[inspect.LabelTask] == "" || labels[inspect.LabelTask] == strconv.Itoa(t.Index)) {
			where[t.TaskManager] = true
		}
	}
	until := s.cfg.Now().Add(time.Duration(seconds)*time.Second + writeMax)
	http.NewResponseController(w).SetWriteDeadline(until) //nolint:errcheck // a recorder has none
	root, err := s.flames(r.Context(), where, labels, seconds)
	if err != nil {
		s.failWith(w, err)
		return nil
	}
	root.Name = "root"
	return object{"endTimestamp": s.nowMS(), "data": root}
}

// flames looks into several processes at the same time.
func (s *Server) flames(ctx context.Context, where map[string]bool, labels map[string]string, seconds int) (*inspect.Frame, error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	root, failed := &inspect.Frame{Children: []*inspect.Frame{}}, error(nil)
	for tm := range where {
		wg.Go(func() {
			var f *inspect.Frame
			data, err := s.cfg.Views.Inspect(ctx, tm, inspect.Profile, seconds)
			if err == nil {
				f, err = inspect.FlameOf(data, labels)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
				return
			}
			root.Add(f)
		})
	}
	wg.Wait()
	return root, failed
}

// Bramble's tasks have no accumulators.

func flinkSubtasksAccumulators(_ http.ResponseWriter, _ *http.Request, _ *Job, v *Vertex) any {
	subtasks := []object{}
	for _, t := range v.Tasks {
		subtasks = append(subtasks, object{"subtask": t.Index, "attempt": t.Attempt - 1, "endpoint": unassigned(t.TaskManager), "user-accumulators": []any{}})
	}
	return object{"id": flinkID(v.ID), "parallelism": v.Parallelism, "subtasks": subtasks}
}

func flinkAttemptAccumulators(w http.ResponseWriter, r *http.Request, _ *Job, v *Vertex) any {
	t := findTask(w, r, v)
	if t == nil {
		return nil
	}
	return object{"subtask": t.Index, "attempt": t.Attempt - 1, "id": executionID(v.ID, t), "user-accumulators": []any{}}
}

// executionID stands for Flink's ID of an attempt of a task, which Bramble has no like of: vertex, index and attempt make one.
func executionID(vertex string, t *Task) string {
	return flinkID(vertex) + "_" + strconv.Itoa(t.Index) + "_" + strconv.Itoa(t.Attempt-1)
}
