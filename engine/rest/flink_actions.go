package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

func (s *Server) routeFlinkActions() {
	s.flink("PATCH /jobs/{id}", s.flinkCancel)
	s.flink("GET /jobs/{id}/yarn-cancel", s.flinkGone)
	s.flink("GET /jobs/{id}/yarn-stop", s.flinkGone)
	s.flink("POST /jobs/{id}/savepoints", s.flinkSavepoint)
	s.flink("GET /jobs/{id}/savepoints/{trigger}", func(w http.ResponseWriter, r *http.Request) {
		s.flinkTrigger(w, r, r.PathValue("id"), kindSavepoint, kindStop)
	})
	s.flink("POST /jobs/{id}/checkpoints", s.flinkTakeCheckpoint)
	s.flink("GET /jobs/{id}/checkpoints/{trigger}", func(w http.ResponseWriter, r *http.Request) {
		s.flinkTrigger(w, r, r.PathValue("id"), kindCheckpoint)
	})
	s.flink("POST /jobs/{id}/stop", s.flinkStop)
	s.flink("PATCH /jobs/{id}/rescaling", s.flinkRescale)
	s.flink("GET /jobs/{id}/rescaling/{trigger}", func(w http.ResponseWriter, r *http.Request) {
		s.flinkTrigger(w, r, r.PathValue("id"), kindRescale)
	})
	s.flink("PUT /jobs/{id}/resource-requirements", s.flinkRequire)
	s.flink("POST /savepoint-disposal", s.flinkDispose)
	s.flink("GET /savepoint-disposal/{trigger}", func(w http.ResponseWriter, r *http.Request) { s.flinkTrigger(w, r, "", kindDispose) })
}

// flinkGone answers for actions by GET, which any page could ask for.
func (s *Server) flinkGone(w http.ResponseWriter, _ *http.Request) {
	fail(w, http.StatusNotFound, "Bramble changes nothing on a GET: PATCH /jobs/ID?mode=cancel, or POST /jobs/ID/stop")
}

// flinkBegin starts what was asked for, under the ID that the client chose, if it did, and answers with it.
func (s *Server) flinkBegin(w http.ResponseWriter, job, kind, trigger string, code int, f func(context.Context) (string, error)) {
	if trigger != "" {
		if !triggerID.MatchString(trigger) {
			fail(w, http.StatusBadRequest, "triggerId: 32 hexadecimal digits are wanted")
			return
		}
		if s.triggers.find(trigger, job, kind) != nil { // asked for twice, as a client does that got no answer
			answer(w, code, object{"request-id": trigger})
			return
		}
	}
	id, err := s.startAs(trigger, job, kind, f)
	if err != nil {
		s.failWith(w, err)
		return
	}
	answer(w, code, object{"request-id": id})
}

var triggerID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// flinkOf finds the job that a path names; it answers itself when it returns nil.
func (s *Server) flinkOf(w http.ResponseWriter, r *http.Request) *Job {
	j, err := s.job(r.Context(), r.PathValue("id"))
	if err != nil {
		s.failWith(w, err)
		return nil
	}
	return j
}

func (s *Server) flinkCancel(w http.ResponseWriter, r *http.Request) {
	if mode := r.URL.Query().Get("mode"); mode != "" && !strings.EqualFold(mode, "cancel") {
		fail(w, http.StatusBadRequest, "mode "+mode+" is not there: cancel, or POST /jobs/ID/stop for a stop with a savepoint")
		return
	}
	j := s.flinkOf(w, r)
	if j == nil {
		return
	}
	if j.EndedAt != nil {
		fail(w, http.StatusConflict, "job "+j.ID+" has ended already: "+j.State)
		return
	}
	if _, err := s.start(j.ID, kindCancel, func(ctx context.Context) (string, error) { return s.doCancel(ctx, j.ID) }); err != nil {
		s.failWith(w, err)
		return
	}
	answer(w, http.StatusAccepted, object{})
}

func (s *Server) flinkSavepoint(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Directory string `json:"target-directory"`
		Cancel    bool   `json:"cancel-job"`
		Trigger   string `json:"triggerId"`
		Format    string `json:"formatType"`
	}
	if !s.read(w, r, &body) {
		return
	}
	j := s.flinkOf(w, r)
	if j == nil {
		return
	}
	s.flinkBegin(w, j.ID, kindSavepoint, body.Trigger, http.StatusAccepted, func(ctx context.Context) (string, error) {
		if body.Cancel {
			return s.doStop(ctx, j.ID, body.Directory, false)
		}
		return s.doSavepoint(ctx, j.ID, body.Directory)
	})
}

// flinkTakeCheckpoint takes a checkpoint now. Its ID is kept where triggers have a path.
func (s *Server) flinkTakeCheckpoint(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Type    string `json:"checkpointType"`
		Trigger string `json:"triggerId"`
	}
	if !s.read(w, r, &body) {
		return
	}
	switch strings.ToUpper(body.Type) {
	case "", "CONFIGURED", "INCREMENTAL":
	case "FULL":
		fail(w, http.StatusBadRequest, "checkpointType FULL: checkpoints are incremental here; POST /jobs/ID/savepoints for one that stands alone")
		return
	default:
		fail(w, http.StatusBadRequest, "checkpointType "+body.Type+": CONFIGURED or INCREMENTAL is wanted")
		return
	}
	j := s.flinkOf(w, r)
	if j == nil {
		return
	}
	if j.Checkpoints == nil {
		fail(w, http.StatusConflict, noCheckpoints)
		return
	}
	s.flinkBegin(w, j.ID, kindCheckpoint, body.Trigger, http.StatusAccepted, func(ctx context.Context) (string, error) {
		id, err := s.cfg.Actions.TriggerCheckpoint(ctx, j.ID)
		if err != nil {
			return "", err
		}
		return strconv.FormatUint(id, 10), nil
	})
}

func (s *Server) flinkStop(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Directory string `json:"targetDirectory"`
		Drain     bool   `json:"drain"`
		Trigger   string `json:"triggerId"`
		Format    string `json:"formatType"`
	}
	if !s.read(w, r, &body) {
		return
	}
	if j := s.flinkOf(w, r); j != nil {
		s.flinkBegin(w, j.ID, kindStop, body.Trigger, http.StatusAccepted, func(ctx context.Context) (string, error) {
			return s.doStop(ctx, j.ID, body.Directory, body.Drain)
		})
	}
}

func (s *Server) flinkRescale(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.URL.Query().Get("parallelism"), 10, 32)
	if err != nil || n < 1 {
		fail(w, http.StatusBadRequest, "parallelism: a number from 1 on is wanted")
		return
	}
	if j := s.flinkOf(w, r); j != nil {
		s.flinkBegin(w, j.ID, kindRescale, "", http.StatusOK, func(ctx context.Context) (string, error) { return s.doRescale(ctx, j.ID, int32(n)) })
	}
}

// flinkRequire rescales a job. Bramble has one parallelism for a job: the greatest that is asked for.
func (s *Server) flinkRequire(w http.ResponseWriter, r *http.Request) {
	var body map[string]struct {
		Parallelism struct {
			LowerBound int32 `json:"lowerBound"`
			UpperBound int32 `json:"upperBound"`
		} `json:"parallelism"`
	}
	if !s.read(w, r, &body) {
		return
	}
	j := s.flinkOf(w, r)
	if j == nil {
		return
	}
	var want int32
	for _, v := range j.Vertices {
		b, ok := body[flinkID(v.ID)]
		if !ok {
			b, ok = body[v.ID]
		}
		p := b.Parallelism
		if !ok || p.UpperBound < 1 || p.LowerBound > p.UpperBound {
			fail(w, http.StatusBadRequest, "vertex "+flinkID(v.ID)+": lowerBound and upperBound of its parallelism are wanted, from 1 on")
			return
		}
		want = max(want, p.UpperBound)
	}
	if int(want) == j.Parallelism {
		answer(w, http.StatusOK, object{})
		return
	}
	if _, err := s.start(j.ID, kindRescale, func(ctx context.Context) (string, error) { return s.doRescale(ctx, j.ID, want) }); err != nil {
		s.failWith(w, err)
		return
	}
	answer(w, http.StatusOK, object{})
}

func (s *Server) flinkDispose(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Path string `json:"savepoint-path"`
	}
	if !s.read(w, r, &body) {
		return
	}
	if body.Path == "" {
		fail(w, http.StatusBadRequest, "savepoint-path is wanted")
		return
	}
	s.flinkBegin(w, "", kindDispose, "", http.StatusOK, func(ctx context.Context) (string, error) {
		_, err := s.cfg.Actions.DisposeSavepoint(ctx, &pb.DisposeSavepointRequest{Path: body.Path})
		return "", err
	})
}

// flinkTrigger answers how far something is that was asked for.
func (s *Server) flinkTrigger(w http.ResponseWriter, r *http.Request, job string, kinds ...string) {
	if job != "" {
		if j, err := s.job(r.Context(), job); err == nil {
			job = j.ID
		}
	}
	var t *trigger
	for _, kind := range kinds {
		if t == nil {
			t = s.triggers.find(r.PathValue("trigger"), job, kind)
		}
	}
	if t == nil {
		fail(w, http.StatusNotFound, "Operation not found under key "+r.PathValue("trigger")+"; operations are known for an hour")
		return
	}
	if t.State == triggerRuns {
		answer(w, http.StatusOK, object{"status": object{"id": "IN_PROGRESS"}, "operation": nil})
		return
	}
	operation := object{}
	switch {
	case t.Path == nil:
	case t.kind == kindCheckpoint:
		operation["checkpointId"] = json.RawMessage(*t.Path)
	default:
		operation["location"] = *t.Path
	}
	if t.Error != nil {
		operation["failure-cause"] = flinkThrowable(*t.Error)
	}
	answer(w, http.StatusOK, object{"status": object{"id": "COMPLETED"}, "operation": operation})
}
