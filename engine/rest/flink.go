package rest

import (
	"net/http"
	"strconv"
	"strings"
)

// Flink's REST, below /v1 and without a prefix: paths, field names and enums are Flink's, so that what was made for it finds its way. Documents
// are maps where their names are what matters.

// object is a JSON object.
type object = map[string]any

// flinkVersion is what tools that ask for a version compare with; ours follows.
const flinkVersion = "1.20-bramble-"

// flinkTaskStates are Flink's, in its order.
var flinkTaskStates = []string{
	"CREATED", "SCHEDULED", "DEPLOYING", "RUNNING", "FINISHED", "CANCELING", "CANCELED", "FAILED", "RECONCILING", "INITIALIZING",
}

// flinkJobStates are Flink's.
var flinkJobStates = []string{
	"INITIALIZING", "CREATED", "RUNNING", "FAILING", "FAILED", "CANCELLING", "CANCELED", "FINISHED", "RESTARTING", "SUSPENDED", "RECONCILING",
}

// jobHandler makes a document of a job. A failure that it has answered itself is a nil document.
type jobHandler func(w http.ResponseWriter, r *http.Request, j *Job) any

// flink adds a route with and without the prefix. pattern is "METHOD /path".
func (s *Server) flink(pattern string, h http.HandlerFunc) {
	method, path, _ := strings.Cut(pattern, " ")
	s.mux.HandleFunc(method+" "+path, h)
	s.mux.HandleFunc(method+" /v1"+path, h)
}

// flinkJob adds a route below a job.
func (s *Server) flinkJob(path string, h jobHandler) {
	s.flink("GET /jobs/{id}"+path, func(w http.ResponseWriter, r *http.Request) {
		j, err := s.job(r.Context(), r.PathValue("id"))
		if err != nil {
			s.failWith(w, err)
			return
		}
		if d := h(w, r, j); d != nil {
			answer(w, http.StatusOK, d)
		}
	})
}

// flinkCluster adds a route for a document of the cluster.
func (s *Server) flinkCluster(path string, h func(w http.ResponseWriter, r *http.Request, c *Cluster) any) {
	s.flink("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		c, err := s.cluster(r.Context())
		if err != nil {
			s.failWith(w, err)
			return
		}
		if d := h(w, r, c); d != nil {
			answer(w, http.StatusOK, d)
		}
	})
}

func (s *Server) routeFlink() {
	s.flinkCluster("/overview", s.flinkOverview)
	s.flinkCluster("/config", s.flinkConfig)
	s.flinkCluster("/jobs", flinkJobs)
	s.flinkCluster("/jobs/overview", s.flinkJobsOverview)
	s.flinkCluster("/jobs/metrics", flinkJobsMetrics)
	s.flinkCluster("/taskmanagers", s.flinkTaskManagers)
	s.flinkCluster("/taskmanagers/metrics", flinkTaskManagersMetrics)
	s.flinkCluster("/taskmanagers/{tm}", s.flinkTaskManager)
	s.flinkCluster("/taskmanagers/{tm}/metrics", flinkTaskManagerMetrics)
	s.flinkCluster("/jobmanager/config", s.flinkJobManagerConfig)
	s.flinkCluster("/jobmanager/metrics", flinkJobManagerMetrics)

	s.flinkJob("", s.flinkJobDetails)
	s.flinkJob("/status", func(_ http.ResponseWriter, _ *http.Request, j *Job) any { return object{"status": j.State} })
	s.flinkJob("/plan", func(_ http.ResponseWriter, _ *http.Request, j *Job) any { return object{"plan": flinkPlan(j)} })
	s.flinkJob("/config", flinkJobConfig)
	s.flinkJob("/jobmanager/config", func(w http.ResponseWriter, r *http.Request, _ *Job) any { return s.flinkJobManagerConfig(w, r, nil) })
	s.flinkJob("/exceptions", flinkExceptions)
	s.flinkJob("/execution-result", flinkResult)
	s.flinkJob("/accumulators", func(http.ResponseWriter, *http.Request, *Job) any {
		return object{"job-accumulators": []any{}, "user-task-accumulators": []any{}, "serialized-user-task-accumulators": object{}}
	})
	s.flinkJob("/metrics", func(_ http.ResponseWriter, r *http.Request, j *Job) any {
		return chosen(r, jobMetrics(&j.JobSummary, j))
	})
	s.flinkJob("/checkpoints", withCheckpoints(s.flinkCheckpoints))
	s.flinkJob("/checkpoints/config", withCheckpoints(flinkCheckpointConfig))
	s.flinkJob("/checkpoints/details/{checkpoint}", withCheckpoints(s.flinkCheckpointDetails))
	s.flinkJob("/checkpoints/details/{checkpoint}/subtasks/{vertex}", withCheckpoints(s.flinkCheckpointSubtasks))
	s.flinkJob("/resource-requirements", flinkRequirements)

	s.flinkJob("/vertices/{vertex}", withVertex(s.flinkVertex))
	s.flinkJob("/vertices/{vertex}/backpressure", withVertex(s.flinkBackpressure))
	s.flinkJob("/vertices/{vertex}/watermarks", withVertex(flinkWatermarks))
	s.flinkJob("/vertices/{vertex}/metrics", withVertex(flinkVertexMetrics))
	s.flinkJob("/vertices/{vertex}/subtasktimes", withVertex(s.flinkSubtaskTimes))
	s.flinkJob("/vertices/{vertex}/taskmanagers", withVertex(s.flinkVertexTaskManagers))
	s.flinkJob("/vertices/{vertex}/accumulators", withVertex(func(_ http.ResponseWriter, _ *http.Request, _ *Job, v *Vertex) any {
		return object{"id": flinkID(v.ID), "user-accumulators": []any{}}
	}))
	s.flinkJob("/vertices/{vertex}/flamegraph", withVertex(s.flinkFlameGraph))
	s.flinkJob("/vertices/{vertex}/subtasks/accumulators", withVertex(flinkSubtasksAccumulators))
	s.flinkJob("/vertices/{vertex}/subtasks/{index}/attempts/{attempt}/accumulators", withVertex(flinkAttemptAccumulators))
	s.flinkJob("/vertices/{vertex}/subtasks/metrics", withVertex(flinkSubtasksMetrics))
	s.flinkJob("/vertices/{vertex}/subtasks/{index}", withVertex(s.flinkSubtask))
	s.flinkJob("/vertices/{vertex}/subtasks/{index}/metrics", withVertex(flinkSubtaskMetrics))
	s.flinkJob("/vertices/{vertex}/subtasks/{index}/attempts/{attempt}", withVertex(s.flinkSubtask))

	s.routeFlinkActions()
	s.routeMissing()
}

// routeMissing answers what Flink has and Bramble does not.
func (s *Server) routeMissing() {
	for _, m := range []struct{ prefix, reason string }{
		{"/jars", "Bramble runs SQL scripts, not JARs: POST /api/v1/jobs submits one"},
		{"/datasets", "Bramble keeps no data sets between jobs"},
		{"/cluster", "the cluster is stopped where it was started, by a signal to its processes"},
		{"/applications", "Bramble has jobs, not applications"},
		{"/jobmanager", "of the jobmanager there are /jobmanager/config, /metrics, /log, /logs and /thread-dump"},
		{"/taskmanagers", "of a taskmanager there are /taskmanagers/ID, and below it /metrics, /log, /logs and /thread-dump"},
		{"/jobs", "Bramble has nothing of this kind about a job"},
		{"/savepoint-disposal", "Bramble has nothing of this kind about savepoints"},
		{"/overview", "ask with GET"},
		{"/config", "ask with GET"},
	} {
		h := func(w http.ResponseWriter, r *http.Request) {
			fail(w, http.StatusNotFound, r.Method+" "+r.URL.Path+" is not there: "+m.reason)
		}
		for _, prefix := range []string{m.prefix, "/v1" + m.prefix} {
			s.mux.HandleFunc(prefix, h)
			s.mux.HandleFunc(prefix+"/", h)
		}
	}
	s.mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "Bramble has no "+r.Method+" "+r.URL.Path)
	})
}

// flinkID is a vertex's ID as Flink has them: 32 digits.
func flinkID(id string) string { return strings.Repeat("0", max(32-len(id), 0)) + id }

// withVertex finds the vertex that a path names, by Flink's ID of it or ours.
func withVertex(h func(http.ResponseWriter, *http.Request, *Job, *Vertex) any) jobHandler {
	return func(w http.ResponseWriter, r *http.Request, j *Job) any {
		id := r.PathValue("vertex")
		for _, v := range j.Vertices {
			if v.ID == id || flinkID(v.ID) == id {
				return h(w, r, j, v)
			}
		}
		fail(w, http.StatusNotFound, "job "+j.ID+" has no vertex "+id)
		return nil
	}
}

func (s *Server) nowMS() int64 { return s.cfg.Now().UnixMilli() }

func (s *Server) flinkOverview(_ http.ResponseWriter, _ *http.Request, c *Cluster) any {
	count := map[string]int{}
	for _, j := range c.Jobs {
		switch j.State {
		case "FINISHED", "CANCELED", "FAILED":
			count[j.State]++
		default:
			count["RUNNING"]++
		}
	}
	return object{
		"taskmanagers": len(c.TaskManagers), "taskmanagers-blocked": 0, "slots-total": c.SlotsTotal, "slots-available": c.SlotsAvailable,
		"slots-free-and-blocked": 0, "jobs-running": count["RUNNING"], "jobs-finished": count["FINISHED"], "jobs-cancelled": count["CANCELED"],
		"jobs-failed": count["FAILED"], "flink-version": flinkVersion + c.Version, "flink-commit": c.Version,
	}
}

func (s *Server) flinkConfig(_ http.ResponseWriter, _ *http.Request, c *Cluster) any {
	zone, offset := s.cfg.Now().Zone()
	return object{
		"refresh-interval": 3000, "timezone-name": zone, "timezone-offset": offset * 1000, "flink-version": flinkVersion + c.Version,
		"flink-revision": c.Version,
		"features": object{
			"web-submit": false, "web-cancel": !s.cfg.Access.ReadOnly, "web-rescale": !s.cfg.Access.ReadOnly, "web-history": false,
		},
	}
}

func flinkJobs(_ http.ResponseWriter, _ *http.Request, c *Cluster) any {
	jobs := []object{}
	for _, j := range c.Jobs {
		jobs = append(jobs, object{"id": j.ID, "status": j.State})
	}
	return object{"jobs": jobs}
}

func (s *Server) flinkJobsOverview(_ http.ResponseWriter, _ *http.Request, c *Cluster) any {
	jobs := []object{}
	for _, j := range c.Jobs {
		tasks := object{"total": j.Tasks.Total}
		for _, state := range flinkTaskStates {
			tasks[strings.ToLower(state)] = j.Tasks.ByState[state]
		}
		jobs = append(jobs, object{
			"jid": j.ID, "name": j.Name, "state": j.State, "start-time": j.StartedAt, "end-time": orMinus1(j.EndedAt), "duration": j.DurationMS,
			"last-modification": j.ChangedAt, "tasks": tasks, "pending-operators": 0, "job-type": "STREAMING",
		})
	}
	return object{"jobs": jobs}
}

func orMinus1(v *int64) int64 {
	if v == nil {
		return -1
	}
	return *v
}

func (s *Server) flinkTaskManagers(_ http.ResponseWriter, _ *http.Request, c *Cluster) any {
	all := []object{}
	for _, m := range c.TaskManagers {
		all = append(all, s.flinkTaskManagerInfo(m))
	}
	return object{"taskmanagers": all}
}

func (s *Server) flinkTaskManagerInfo(m *TaskManager) object {
	var budget int64
	if m.MemoryBudgetBytes != nil {
		budget = *m.MemoryBudgetBytes
	}
	_, port, _ := strings.Cut(m.DataAddress[strings.LastIndex(m.DataAddress, "]")+1:], ":")
	dataPort, err := strconv.Atoi(port)
	if err != nil {
		dataPort = -1
	}
	resource := func(slots int) object {
		part := int64(0)
		if m.Slots > 0 {
			part = budget / int64(m.Slots) * int64(slots) >> 20
		}
		return object{
			"cpuCores": float64(slots), "taskHeapMemory": part, "taskOffHeapMemory": 0, "managedMemory": 0, "networkMemory": 0, "extendedResources": object{},
		}
	}
	return object{
		"id": m.ID, "path": m.DataAddress, "dataPort": dataPort, "jmxPort": -1, "timeSinceLastHeartbeat": m.LastHeartbeatAt,
		"slotsNumber": m.Slots, "freeSlots": m.SlotsFree, "totalResource": resource(m.Slots), "freeResource": resource(m.SlotsFree), "blocked": false,
		"hardware": object{"cpuCores": m.Cores, "physicalMemory": budget, "freeMemory": max(budget-m.MemoryUsedBytes, 0), "managedMemory": 0},
		"memoryConfiguration": object{
			"frameworkHeap": 0, "taskHeap": budget, "frameworkOffHeap": 0, "taskOffHeap": 0, "networkMemory": 0, "managedMemory": 0,
			"jvmMetaspace": 0, "jvmOverhead": 0, "totalFlinkMemory": budget, "totalProcessMemory": budget,
		},
	}
}

// findTaskManager answers itself when it returns nil.
func findTaskManager(w http.ResponseWriter, r *http.Request, c *Cluster) *TaskManager {
	for _, m := range c.TaskManagers {
		if m.ID == r.PathValue("tm") {
			return m
		}
	}
	fail(w, http.StatusNotFound, "no taskmanager "+r.PathValue("tm")+" is registered")
	return nil
}

func (s *Server) flinkTaskManager(w http.ResponseWriter, r *http.Request, c *Cluster) any {
	m := findTaskManager(w, r, c)
	if m == nil {
		return nil
	}
	d := s.flinkTaskManagerInfo(m)
	budget := int64(-1)
	if m.MemoryBudgetBytes != nil {
		budget = *m.MemoryBudgetBytes
	}
	d["allocatedSlots"] = []any{}
	d["metrics"] = object{
		"heapUsed": m.MemoryUsedBytes, "heapCommitted": m.MemoryUsedBytes, "heapMax": budget, "nonHeapUsed": 0, "nonHeapCommitted": 0,
		"nonHeapMax": -1, "directCount": 0, "directUsed": 0, "directMax": 0, "mappedCount": 0, "mappedUsed": 0, "mappedMax": 0,
		"memorySegmentsAvailable": 0, "memorySegmentsTotal": 0, "nettyShuffleMemorySegmentsAvailable": 0, "nettyShuffleMemorySegmentsUsed": 0,
		"nettyShuffleMemorySegmentsTotal": 0, "nettyShuffleMemoryAvailable": 0, "nettyShuffleMemoryUsed": 0, "nettyShuffleMemoryTotal": 0,
		"garbageCollectors": []any{},
	}
	return d
}

func (s *Server) flinkJobManagerConfig(http.ResponseWriter, *http.Request, *Cluster) any {
	all := []object{}
	for _, k := range sortedKeys(s.cfg.Settings) {
		all = append(all, object{"key": k, "value": RedactValue(k, s.cfg.Settings[k])})
	}
	return all
}
