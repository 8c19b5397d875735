package rest

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// metric is a value under Flink's name. Text, unless "", is one that is no number.
type metric struct {
	id    string
	value float64
	text  string
}

func (m metric) String() string {
	if m.text != "" {
		return m.text
	}
	return strconv.FormatFloat(m.value, 'f', -1, 64)
}

// wanted are the names of ?get=, nil for none given.
func wanted(r *http.Request, key string) []string {
	text := r.URL.Query().Get(key)
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// chosen are the metrics that ?get= names; without it the names that there are.
func chosen(r *http.Request, all []metric) []object {
	get := wanted(r, "get")
	out := []object{}
	for _, m := range all {
		switch {
		case get == nil:
			out = append(out, object{"id": m.id})
		case slices.Contains(get, m.id):
			out = append(out, object{"id": m.id, "value": m.String()})
		}
	}
	return out
}

// aggregated are the metrics that ?get= names over several things, by ?agg= (all but skew by default).
func aggregated(r *http.Request, sets [][]metric) []object {
	get, agg := wanted(r, "get"), wanted(r, "agg")
	values := map[string][]float64{}
	var order []string
	for _, set := range sets {
		for _, m := range set {
			if m.text != "" {
				continue
			}
			if values[m.id] == nil {
				order = append(order, m.id)
			}
			values[m.id] = append(values[m.id], m.value)
		}
	}
	out := []object{}
	for _, id := range order {
		switch {
		case get == nil:
			out = append(out, object{"id": id})
		case slices.Contains(get, id):
			out = append(out, aggregate(id, values[id], agg))
		}
	}
	return out
}

func aggregate(id string, values []float64, agg []string) object {
	low, high, sum := values[0], values[0], 0.0
	for _, v := range values {
		low, high, sum = min(low, v), max(high, v), sum+v
	}
	avg := sum / float64(len(values))
	all := map[string]float64{"min": low, "max": high, "avg": avg, "sum": sum, "skew": skew(values, avg)}
	d := object{"id": id}
	if agg == nil {
		agg = []string{"min", "max", "avg", "sum"}
	}
	for _, name := range agg {
		name = strings.ToLower(strings.TrimSpace(name))
		if v, ok := all[name]; ok {
			d[name] = v
		}
	}
	return d
}

// skew is Flink's: how far tasks are from their average together, in percent of the worst case.
func skew(values []float64, avg float64) float64 {
	if len(values) < 2 || avg == 0 {
		return 0
	}
	var off float64
	for _, v := range values {
		off += math.Abs(v - avg)
	}
	worst := 2 * avg * float64(len(values)-1)
	return off / worst * 100
}

// jobMetrics are those of a job; j may be nil, then there are fewer.
func jobMetrics(s *JobSummary, j *Job) []metric {
	uptime := 0.0
	if s.State == "RUNNING" {
		uptime = float64(s.StartedAt + s.DurationMS - s.ChangedAt)
	}
	all := []metric{
		{id: "numRestarts", value: float64(s.Restarts)},
		{id: "fullRestarts", value: float64(s.Restarts)},
		{id: "uptime", value: uptime},
		{id: "runningTime", value: uptime},
		{id: "runningState", value: bit(s.State == "RUNNING")},
		{id: "restartingState", value: bit(s.State == "RESTARTING")},
		{id: "failingState", value: bit(s.State == "FAILING")},
		{id: "cancellingState", value: bit(s.State == "CANCELLING")},
		{id: "downtime", value: 0},
	}
	if j == nil || j.Checkpoints == nil {
		return all
	}
	c := j.Checkpoints
	all = append(all,
		metric{id: "numberOfInProgressCheckpoints", value: float64(c.Counts.InProgress)},
		metric{id: "numberOfCompletedCheckpoints", value: float64(c.Counts.Completed)},
		metric{id: "numberOfFailedCheckpoints", value: float64(c.Counts.Failed)},
		metric{id: "totalNumberOfCheckpoints", value: float64(c.Counts.InProgress + c.Counts.Completed + c.Counts.Failed)})
	for _, k := range c.History {
		if k.State == "completed" && k.Kind == "checkpoint" {
			return append(all,
				metric{id: "lastCheckpointDuration", value: float64(orMinus1(k.DurationMS))},
				metric{id: "lastCheckpointSize", value: float64(k.IncrementBytes)}, metric{id: "lastCheckpointFullSize", value: float64(k.SizeBytes)},
				metric{id: "lastCompletedCheckpointId", value: float64(k.ID)},
				metric{id: "lastCheckpointCompletedTimestamp", value: float64(orMinus1(k.EndedAt))},
				metric{id: "lastCheckpointExternalPath", text: k.Path})
		}
	}
	return all
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// taskMetrics are those of a task.
func taskMetrics(t *Task) []metric {
	f := &t.Flow
	all := []metric{
		{id: "numRecordsIn", value: float64(f.RecordsIn)},
		{id: "numRecordsOut", value: float64(f.RecordsOut)},
		{id: "numBytesIn", value: float64(f.BytesIn)},
		{id: "numBytesOut", value: float64(f.BytesOut)},
		{id: "numRecordsInPerSecond", value: orZero(f.RecordsInPerSecond)},
		{id: "numRecordsOutPerSecond", value: orZero(f.RecordsOutPerSecond)},
		{id: "busyTimeMsPerSecond", value: orZero(f.BusyRatio) * 1000},
		{id: "idleTimeMsPerSecond", value: orZero(f.IdleRatio) * 1000},
		{id: "backPressuredTimeMsPerSecond", value: orZero(f.BackpressuredRatio) * 1000},
		{id: "accumulateBusyTimeMs", value: float64(f.BusyMS)},
		{id: "accumulateIdleTimeMs", value: float64(f.IdleMS)},
		{id: "accumulateBackPressuredTimeMs", value: float64(f.BackpressuredMS)},
		{id: "isBackPressured", text: strconv.FormatBool(orZero(f.BackpressuredRatio) > 0.5)},
		{id: "numLateRecordsDropped", value: float64(f.Late)},
		{id: "numRecordsInErrors", value: float64(f.Bad)},
	}
	if f.Watermark != nil {
		all = append(all, metric{id: "currentInputWatermark", value: float64(*f.Watermark)}, metric{id: "currentOutputWatermark", value: float64(*f.Watermark)})
	}
	for _, o := range t.Operators {
		name := metricName(o.Name) + "."
		all = append(all, metric{id: name + "numRecordsIn", value: float64(o.RecordsIn)}, metric{id: name + "numRecordsOut", value: float64(o.RecordsOut)},
			metric{id: name + "numLateRecordsDropped", value: float64(o.Late)})
	}
	return all
}

// metricName is an operator's name within a metric's, as Flink writes it.
func metricName(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" .,/\\\"<>", r) {
			return '_'
		}
		return r
	}, name)
}

func flinkVertexMetrics(_ http.ResponseWriter, r *http.Request, _ *Job, v *Vertex) any {
	var all []metric
	for _, t := range v.Tasks {
		for _, m := range taskMetrics(t) {
			m.id = fmt.Sprintf("%d.%s", t.Index, m.id)
			all = append(all, m)
		}
	}
	return chosen(r, all)
}

func flinkSubtaskMetrics(w http.ResponseWriter, r *http.Request, _ *Job, v *Vertex) any {
	t := findTask(w, r, v)
	if t == nil {
		return nil
	}
	return chosen(r, taskMetrics(t))
}

func flinkSubtasksMetrics(w http.ResponseWriter, r *http.Request, _ *Job, v *Vertex) any {
	within, err := ranges(r.URL.Query().Get("subtasks"))
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return nil
	}
	var sets [][]metric
	for _, t := range v.Tasks {
		if within(t.Index) {
			sets = append(sets, taskMetrics(t))
		}
	}
	return aggregated(r, sets)
}

// ranges reads "1,3,5-9"; "" is all.
func ranges(text string) (func(int) bool, error) {
	if text == "" {
		return func(int) bool { return true }, nil
	}
	type span struct{ from, to int }
	var spans []span
	for part := range strings.SplitSeq(text, ",") {
		low, high, is := strings.Cut(part, "-")
		if !is {
			high = low
		}
		from, err := strconv.Atoi(low)
		to, err2 := strconv.Atoi(high)
		if err != nil || err2 != nil || from > to {
			return nil, fmt.Errorf("subtasks: %q is not a range such as 1,3,5-9", text)
		}
		spans = append(spans, span{from, to})
	}
	return func(i int) bool {
		return slices.ContainsFunc(spans, func(s span) bool { return s.from <= i && i <= s.to })
	}, nil
}

func flinkJobsMetrics(_ http.ResponseWriter, r *http.Request, c *Cluster) any {
	jobs := wanted(r, "jobs")
	var sets [][]metric
	for _, j := range c.Jobs {
		if jobs == nil || slices.Contains(jobs, j.ID) {
			sets = append(sets, jobMetrics(j, nil))
		}
	}
	return aggregated(r, sets)
}

// processMetrics are those of a taskmanager, under the names of a JVM that dashboards ask for.
func processMetrics(m *TaskManager) []metric {
	all := []metric{
		{id: "Status.JVM.Memory.Heap.Used", value: float64(m.MemoryUsedBytes)}, {id: "Status.JVM.Memory.Heap.Committed", value: float64(m.MemoryUsedBytes)},
	}
	if m.MemoryBudgetBytes != nil {
		all = append(all, metric{id: "Status.JVM.Memory.Heap.Max", value: float64(*m.MemoryBudgetBytes)})
	}
	if m.Goroutines != nil {
		all = append(all, metric{id: "Status.JVM.Threads.Count", value: float64(*m.Goroutines)})
	}
	if m.RSSBytes != nil {
		all = append(all, metric{id: "Status.Process.Memory.Resident", value: float64(*m.RSSBytes)})
	}
	return all
}

func flinkTaskManagerMetrics(w http.ResponseWriter, r *http.Request, c *Cluster) any {
	m := findTaskManager(w, r, c)
	if m == nil {
		return nil
	}
	return chosen(r, processMetrics(m))
}

func flinkTaskManagersMetrics(_ http.ResponseWriter, r *http.Request, c *Cluster) any {
	which := wanted(r, "taskmanagers")
	var sets [][]metric
	for _, m := range c.TaskManagers {
		if which == nil || slices.Contains(which, m.ID) {
			sets = append(sets, processMetrics(m))
		}
	}
	return aggregated(r, sets)
}

func flinkJobManagerMetrics(_ http.ResponseWriter, r *http.Request, c *Cluster) any {
	running := 0
	for _, j := range c.Jobs {
		if j.EndedAt == nil {
			running++
		}
	}
	return chosen(r, []metric{
		{id: "numRegisteredTaskManagers", value: float64(len(c.TaskManagers))},
		{id: "numPendingTaskManagers"},
		{id: "numRunningJobs", value: float64(running)},
		{id: "taskSlotsAvailable", value: float64(c.SlotsAvailable)},
		{id: "taskSlotsTotal", value: float64(c.SlotsTotal)},
	})
}
