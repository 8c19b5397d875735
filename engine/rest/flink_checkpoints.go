package rest

import (
	"net/http"
	"strconv"
	"strings"
)

const noCheckpoints = "Checkpointing has not been enabled: the jobmanager was started without --checkpoint-dir"

// withCheckpoints answers for jobs that take none.
func withCheckpoints(h jobHandler) jobHandler {
	return func(w http.ResponseWriter, r *http.Request, j *Job) any {
		if j.Checkpoints == nil {
			fail(w, http.StatusNotFound, noCheckpoints)
			return nil
		}
		return h(w, r, j)
	}
}

// summary is StatsSummaryDto.
func summary(values []int64) object {
	s := statistics(values)
	return object{
		"min": s.min, "max": s.max, "avg": s.avg, "p50": s.at(0.5), "p90": s.at(0.9), "p95": s.at(0.95), "p99": s.at(0.99), "p999": s.at(0.999),
	}
}

func (s *Server) flinkCheckpoints(_ http.ResponseWriter, _ *http.Request, j *Job) any {
	c := j.Checkpoints
	history := []object{}
	latest := object{"completed": nil, "savepoint": nil, "failed": nil, "restored": nil}
	set := func(key string, d object) {
		if latest[key] == nil {
			latest[key] = d
		}
	}
	var sizes, increments, durations []int64
	for _, k := range c.History {
		d := s.flinkCheckpoint(k)
		history = append(history, d)
		switch {
		case k.State == "failed":
			set("failed", d)
		case k.State != "completed":
		case k.Kind == "savepoint":
			set("savepoint", d)
		default:
			set("completed", d)
		}
		if k.State == "completed" {
			sizes, increments = append(sizes, k.SizeBytes), append(increments, k.IncrementBytes)
			durations = append(durations, orMinus1(k.DurationMS))
		}
	}
	if c.RestoredID != nil {
		latest["restored"] = object{
			"id": *c.RestoredID, "restore_timestamp": c.Config.RestoredAt, "is_savepoint": c.Config.RestoredSavepoint, "external_path": c.Config.RestoredPath,
		}
	}
	return object{
		"counts": object{
			"restored": c.Counts.Restored, "total": c.Counts.Completed + c.Counts.Failed + c.Counts.InProgress, "in_progress": c.Counts.InProgress,
			"completed": c.Counts.Completed, "failed": c.Counts.Failed,
		},
		"summary": object{
			"checkpointed_size": summary(increments), "state_size": summary(sizes), "end_to_end_duration": summary(durations),
			"alignment_buffered": summary(nil), "processed_data": summary(nil), "persisted_data": summary(nil),
		},
		"latest": latest, "history": history,
	}
}

// flinkCheckpoint is a checkpoint with its vertices.
func (s *Server) flinkCheckpoint(k *Checkpoint) object {
	kind := "CHECKPOINT"
	if k.Kind == "savepoint" {
		kind = "SAVEPOINT"
	}
	tasks := object{}
	by := map[string][]CheckpointTask{}
	latest := k.TriggeredAt
	for _, t := range k.Tasks {
		by[t.Vertex] = append(by[t.Vertex], t)
		latest = max(latest, k.TriggeredAt+t.DurationMS)
	}
	for v, parts := range by {
		tasks[flinkID(v)] = flinkCheckpointTask(k, parts, len(parts))
	}
	d := object{
		"id": k.ID, "status": strings.ToUpper(k.State), "is_savepoint": k.Kind == "savepoint", "savepointFormat": nil,
		"trigger_timestamp": k.TriggeredAt, "latest_ack_timestamp": latest, "checkpointed_size": k.IncrementBytes, "state_size": k.SizeBytes,
		"end_to_end_duration": s.flinkDuration(k), "alignment_buffered": 0, "processed_data": 0, "persisted_data": 0, "num_subtasks": k.TasksTotal,
		"num_acknowledged_subtasks": len(k.Tasks), "checkpoint_type": kind, "tasks": tasks,
	}
	if kind == "SAVEPOINT" {
		d["savepointFormat"] = "CANONICAL"
	}
	switch k.State {
	case "in_progress":
		d["className"] = "in_progress"
	case "completed":
		d["className"], d["external_path"], d["discarded"] = "completed", k.Path, false
	default:
		d["className"], d["failure_timestamp"] = "failed", orMinus1(k.EndedAt)
		d["failure_message"] = k.Error
	}
	return d
}

// flinkDuration is how long a checkpoint took, or has taken.
func (s *Server) flinkDuration(k *Checkpoint) int64 {
	if k.DurationMS != nil {
		return *k.DurationMS
	}
	return max(s.nowMS()-k.TriggeredAt, 0)
}

// flinkCheckpointTask is a vertex's part of a checkpoint.
func flinkCheckpointTask(k *Checkpoint, parts []CheckpointTask, subtasks int) object {
	var size, increment, duration int64
	for _, t := range parts {
		size, increment, duration = size+t.SizeBytes, increment+t.IncrementBytes, max(duration, t.DurationMS)
	}
	state := strings.ToUpper(k.State)
	if len(parts) >= subtasks {
		state = "COMPLETED"
	}
	return object{
		"id": k.ID, "status": state, "latest_ack_timestamp": k.TriggeredAt + duration, "checkpointed_size": increment, "state_size": size,
		"end_to_end_duration": duration, "alignment_buffered": 0, "processed_data": 0, "persisted_data": 0, "num_subtasks": subtasks,
		"num_acknowledged_subtasks": len(parts),
	}
}

func flinkCheckpointConfig(_ http.ResponseWriter, _ *http.Request, j *Job) any {
	c := j.Checkpoints
	storage := "FileSystemCheckpointStorage"
	return object{
		"mode": "exactly_once", "interval": c.Interval, "timeout": c.Config.TimeoutMS, "min_pause": c.Config.MinPauseMS,
		"max_concurrent": c.Config.MaxConcurrent, "externalization": object{"enabled": true, "delete_on_cancellation": !c.Config.Retain},
		"state_backend": "PebbleStateBackend", "checkpoint_storage": storage, "unaligned_checkpoints": false,
		"tolerable_failed_checkpoints": c.Config.TolerableFailures, "aligned_checkpoint_timeout": 0, "checkpoints_after_tasks_finish": true,
		"state_changelog_enabled": false, "changelog_storage": nil, "changelog_periodic_materialization_interval": 0,
	}
}

// findCheckpoint answers itself when it returns nil.
func findCheckpoint(w http.ResponseWriter, r *http.Request, j *Job) *Checkpoint {
	id, err := strconv.ParseUint(r.PathValue("checkpoint"), 10, 64)
	for _, k := range j.Checkpoints.History {
		if err == nil && k.ID == id {
			return k
		}
	}
	fail(w, http.StatusNotFound, "Could not find checkpointing statistics for checkpoint "+r.PathValue("checkpoint")+".")
	return nil
}

func (s *Server) flinkCheckpointDetails(w http.ResponseWriter, r *http.Request, j *Job) any {
	k := findCheckpoint(w, r, j)
	if k == nil {
		return nil
	}
	d := s.flinkCheckpoint(k)
	tasks := object{}
	for _, v := range j.Vertices {
		tasks[flinkID(v.ID)] = flinkCheckpointTask(k, partsOf(k, v), v.Parallelism)
	}
	d["tasks"] = tasks
	return d
}

func partsOf(k *Checkpoint, v *Vertex) []CheckpointTask {
	var parts []CheckpointTask
	for _, t := range k.Tasks {
		if t.Vertex == v.ID {
			parts = append(parts, t)
		}
	}
	return parts
}

func (s *Server) flinkCheckpointSubtasks(w http.ResponseWriter, r *http.Request, j *Job) any {
	k := findCheckpoint(w, r, j)
	if k == nil {
		return nil
	}
	return withVertex(func(_ http.ResponseWriter, _ *http.Request, _ *Job, v *Vertex) any {
		return flinkCheckpointVertex(k, v)
	})(w, r, j)
}

func flinkCheckpointVertex(k *Checkpoint, v *Vertex) any {
	parts := partsOf(k, v)
	d := flinkCheckpointTask(k, parts, v.Parallelism)
	column := func(of func(CheckpointTask) int64) object {
		var values []int64
		for _, t := range parts {
			values = append(values, of(t))
		}
		return summary(values)
	}
	d["summary"] = object{
		"checkpointed_size":   column(func(t CheckpointTask) int64 { return t.IncrementBytes }),
		"state_size":          column(func(t CheckpointTask) int64 { return t.SizeBytes }),
		"end_to_end_duration": column(func(t CheckpointTask) int64 { return t.DurationMS }),
		"checkpoint_duration": object{
			"sync": column(func(t CheckpointTask) int64 { return t.SnapshotMS }), "async": column(func(t CheckpointTask) int64 { return t.UploadMS }),
		},
		"alignment": object{
			"buffered": summary(nil), "processed": summary(nil), "persisted": summary(nil),
			"duration": column(func(t CheckpointTask) int64 { return t.AlignmentMS }),
		},
		"start_delay": column(startDelay),
	}
	tasks := []object{}
	for i := range v.Parallelism {
		tasks = append(tasks, flinkCheckpointSubtask(k, parts, i))
	}
	d["subtasks"] = tasks
	return d
}

// startDelay is from the trigger until the barrier came.
func startDelay(t CheckpointTask) int64 {
	return max(t.DurationMS-t.AlignmentMS-t.SnapshotMS-t.UploadMS, 0)
}

func flinkCheckpointSubtask(k *Checkpoint, parts []CheckpointTask, index int) object {
	for _, t := range parts {
		if t.Index == index {
			return object{
				"index": index, "status": "completed", "ack_timestamp": k.TriggeredAt + t.DurationMS, "end_to_end_duration": t.DurationMS,
				"checkpointed_size": t.IncrementBytes, "state_size": t.SizeBytes, "checkpoint": object{"sync": t.SnapshotMS, "async": t.UploadMS},
				"alignment":   object{"buffered": 0, "processed": 0, "persisted": 0, "duration": t.AlignmentMS},
				"start_delay": startDelay(t), "unaligned_checkpoint": false, "aborted": false,
			}
		}
	}
	return object{"index": index, "status": "pending_or_failed"}
}
