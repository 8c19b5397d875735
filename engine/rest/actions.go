package rest

import (
	"context"
	"encoding/hex"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

const (
	// triggersMax bounds what is under way, triggersKept what is remembered, for triggersAge.
	triggersMax  = 32
	triggersKept = 256
	triggersAge  = time.Hour
)

// States of a trigger.
const (
	triggerRuns = "in_progress"
	triggerDone = "completed"
	triggerErr  = "failed"
)

// trigger is something that was asked for and takes its time.
type trigger struct {
	State     string  `json:"state"`
	Path      *string `json:"path"`
	Error     *string `json:"error"`
	StartedAt int64   `json:"startedAt"`
	EndedAt   *int64  `json:"endedAt"`
	// job is what it is about, kind what was asked for.
	job, kind string
}

type triggers struct {
	now func() time.Time
	mu  sync.Mutex
	// all is guarded by mu, order has the keys, oldest first.
	all     map[string]*trigger
	order   []string
	running int
}

// begin takes in a trigger; its error, a status, says that too many are under way, or that the ID is another's.
func (t *triggers) begin(id, job, kind string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running >= triggersMax {
		return status.Errorf(codes.ResourceExhausted, "%d actions are under way, which is the maximum", triggersMax)
	}
	if t.all[id] != nil {
		return status.Errorf(codes.AlreadyExists, "trigger %s is of something else", id)
	}
	now := t.now()
	keep := t.order[:0]
	over := len(t.order) + 1 - triggersKept
	for _, id := range t.order {
		old := t.all[id]
		if old.State != triggerRuns && (over > 0 || now.UnixMilli()-*old.EndedAt > triggersAge.Milliseconds()) {
			over--
			delete(t.all, id)
			continue
		}
		keep = append(keep, id)
	}
	t.order = append(keep, id)
	t.all[id] = &trigger{State: triggerRuns, StartedAt: now.UnixMilli(), job: job, kind: kind}
	t.running++
	return nil
}

func (t *triggers) end(id, path string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.all[id]
	t.running--
	e.State, e.EndedAt = triggerDone, new(t.now().UnixMilli())
	if path != "" {
		e.Path = new(RedactText(path))
	}
	if err != nil {
		e.State, e.Error = triggerErr, new(RedactText(status.Convert(err).Message()))
	}
}

// find returns a copy, nil for one that is not known for that job and kind; kind "" is any.
func (t *triggers) find(id, job, kind string) *trigger {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.all[id]
	if e == nil || e.job != job || kind != "" && e.kind != kind {
		return nil
	}
	found := *e
	return &found
}

// start has f run, outside the request, and returns the trigger's ID. f returns the path of what it made, if it made something.
func (s *Server) start(job, kind string, f func(context.Context) (string, error)) (string, error) {
	return s.startAs("", job, kind, f)
}

// startAs is start with an ID that the client chose, "" for one that it did not.
func (s *Server) startAs(id, job, kind string, f func(context.Context) (string, error)) (string, error) {
	if id == "" {
		var raw [16]byte
		if err := s.cfg.Random(raw[:]); err != nil {
			return "", status.Errorf(codes.Internal, "make a trigger ID: %v", err)
		}
		id = hex.EncodeToString(raw[:])
	}
	if err := s.triggers.begin(id, job, kind); err != nil {
		return "", err
	}
	s.work.Go(func() {
		path, err := f(s.cfg.Context)
		s.triggers.end(id, path, err)
		s.cache.forget()
	})
	s.cache.forget()
	return id, nil
}

// begin answers with a trigger for the job that the path names.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, kind string, f func(ctx context.Context, id string) (string, error)) {
	j, err := s.job(r.Context(), r.PathValue("id"))
	if err != nil {
		s.failWith(w, err)
		return
	}
	id, err := s.start(j.ID, kind, func(ctx context.Context) (string, error) { return f(ctx, j.ID) })
	if err != nil {
		s.failWith(w, err)
		return
	}
	answer(w, http.StatusAccepted, map[string]string{"triggerId": id})
}

// Kinds of triggers.
const (
	kindCancel     = "cancel"
	kindStop       = "stop"
	kindSavepoint  = "savepoint"
	kindRescale    = "rescale"
	kindCheckpoint = "checkpoint"
	kindDispose    = "dispose"
)

func (s *Server) cancel(w http.ResponseWriter, r *http.Request) {
	s.begin(w, r, kindCancel, s.doCancel)
}

func (s *Server) doCancel(ctx context.Context, id string) (string, error) {
	_, err := s.cfg.Actions.CancelJob(ctx, &pb.CancelJobRequest{JobId: id})
	return "", err
}

func (s *Server) stop(w http.ResponseWriter, r *http.Request) {
	var body struct {
		SavepointPath string `json:"savepointPath"`
		Drain         bool   `json:"drain"`
	}
	if !s.read(w, r, &body) {
		return
	}
	s.begin(w, r, kindStop, func(ctx context.Context, id string) (string, error) {
		return s.doStop(ctx, id, body.SavepointPath, body.Drain)
	})
}

func (s *Server) doStop(ctx context.Context, id, dir string, drain bool) (string, error) {
	resp, err := s.cfg.Actions.StopJob(ctx, &pb.StopJobRequest{JobId: id, Directory: dir, Drain: drain})
	return resp.GetPath(), err
}

func (s *Server) savepoint(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Path string `json:"path"`
	}
	if s.read(w, r, &body) {
		s.begin(w, r, kindSavepoint, func(ctx context.Context, id string) (string, error) { return s.doSavepoint(ctx, id, body.Path) })
	}
}

func (s *Server) doSavepoint(ctx context.Context, id, dir string) (string, error) {
	resp, err := s.cfg.Actions.TriggerSavepoint(ctx, &pb.TriggerSavepointRequest{JobId: id, Directory: dir})
	return resp.GetPath(), err
}

func (s *Server) rescale(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Parallelism int32 `json:"parallelism"`
	}
	if !s.read(w, r, &body) {
		return
	}
	if body.Parallelism < 1 {
		fail(w, http.StatusBadRequest, "parallelism: at least 1 is wanted")
		return
	}
	s.begin(w, r, kindRescale, func(ctx context.Context, id string) (string, error) { return s.doRescale(ctx, id, body.Parallelism) })
}

func (s *Server) doRescale(ctx context.Context, id string, parallelism int32) (string, error) {
	_, err := s.cfg.Actions.RescaleJob(ctx, &pb.RescaleJobRequest{JobId: id, Parallelism: parallelism})
	return "", err
}

func (s *Server) triggerState(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if j, err := s.job(r.Context(), id); err == nil {
		id = j.ID // it may have been forgotten since, and then has to be named in full
	}
	t := s.triggers.find(r.PathValue("trigger"), id, "")
	if t == nil {
		fail(w, http.StatusNotFound, "no such trigger of job "+id+"; they are known for an hour")
		return
	}
	answer(w, http.StatusOK, t)
}
