// Package rest is the jobmanager's HTTP server: our own API below /api/v1, Flink's REST below /v1 and without a prefix, and who may use them.
// It knows no job's machinery: Views tells what there is, Actions does what is asked, Language reads scripts.
//
// Documents are made at most once a second, however many ask and watch.
package rest

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// Views tells what there is. Its errors are gRPC statuses; documents are shared, and nobody changes them. It may be asked on any goroutine.
type Views interface {
	Cluster(ctx context.Context) (*Cluster, error)
	// Job and Series take a job's full ID or a unique beginning of it.
	Job(ctx context.Context, id string) (*Job, error)
	Series(ctx context.Context, id string) (*Series, error)
	// Inspect looks into the process of a taskmanager, or of the jobmanager, whose ID is "jobmanager"; see package inspect for what, and how much.
	Inspect(ctx context.Context, id, what string, amount int) ([]byte, error)
	// Rejected are the newest records that a job has rejected.
	Rejected(ctx context.Context, job string) (*Rejected, error)
	// Tail hands over a sample of the rows that leave an operator of a vertex, the last one if it is "", until ctx ends, send fails, or there are no more,
	// for a reason. send is called at least every few seconds, also without rows, on one goroutine; what it is given is lent.
	Tail(ctx context.Context, job, vertex, operator string, send func(*TailRows) error) (reason string, err error)
}

// Actions is the part of the jobmanager's gRPC service that changes something. Each call returns when the thing is done.
type Actions interface {
	SubmitJob(context.Context, *pb.SubmitJobRequest) (*pb.SubmitJobResponse, error)
	CancelJob(context.Context, *pb.CancelJobRequest) (*pb.CancelJobResponse, error)
	StopJob(context.Context, *pb.StopJobRequest) (*pb.StopJobResponse, error)
	TriggerSavepoint(context.Context, *pb.TriggerSavepointRequest) (*pb.TriggerSavepointResponse, error)
	RescaleJob(context.Context, *pb.RescaleJobRequest) (*pb.RescaleJobResponse, error)
	DisposeSavepoint(context.Context, *pb.DisposeSavepointRequest) (*pb.DisposeSavepointResponse, error)
	// TriggerCheckpoint takes a checkpoint of a running job now and returns its ID.
	TriggerCheckpoint(ctx context.Context, job string) (id uint64, err error)
}

// Diagnostic is a mistake in a script, at a position that counts from 1, columns in characters. End is behind what is wrong.
type Diagnostic struct {
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	EndLine   int    `json:"endLine"`
	EndColumn int    `json:"endColumn"`
	Message   string `json:"message"`
}

// ScriptPlan is what a script would run.
type ScriptPlan struct {
	Vertices []PlanVertex `json:"vertices"`
	Edges    []Edge       `json:"edges"`
	// Explain is both plans as text, Warnings are the planner's remarks.
	Explain  string   `json:"-"`
	Warnings []string `json:"-"`
}

// PlanVertex is a vertex of a plan.
type PlanVertex struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Parallelism int        `json:"parallelism"`
	Depth       int        `json:"depth"`
	Operators   []Operator `json:"operators"`
}

// Language reads scripts. Each field may be nil: then what needs it is not there.
type Language struct {
	// Substitute replaces ${NAME} by settings.
	Substitute func(script string, settings map[string]string) (string, error)
	// Plan plans a script without running it.
	Plan func(ctx context.Context, script string, settings map[string]string) (*ScriptPlan, error)
	// Complete proposes how a script may go on at a line and column, which count from 1. It is called on any goroutine.
	Complete func(script string, line, column int) Completion
	// Statement says what a statement of a SQL session does; kept are those before it that count for it. It is called on any goroutine.
	Statement func(kept []string, statement string) (Statement, error)
	// Settings are the keys of settings that Plan knows, nil for all.
	Settings []string
	// Diagnose finds the positions in an error of the two; none when it has none. EndLine may be 0.
	Diagnose func(err error) []Diagnostic
}

// Completion are proposals for what begins at From, the likeliest first.
type Completion struct {
	From  Position         `json:"from"`
	Items []CompletionItem `json:"items"`
}

// Position is a place in a script. Both count from 1, columns in characters.
type Position struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

// CompletionItem is a proposal. Kind is keyword, table, column, function, option or connector; Insert replaces what lies between Completion's From
// and the cursor.
type CompletionItem struct {
	Label  string `json:"label"`
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
	Insert string `json:"insert"`
}

// Example is a script to begin with.
type Example struct {
	Name   string `json:"name"`
	Title  string `json:"title"`
	Script string `json:"script"`
}

// Config is what a Server needs. The fields without a stated default are required.
type Config struct {
	// Context ends streams and what was triggered.
	Context  context.Context //nolint:containedctx // the server's life, not a call's
	Views    Views
	Actions  Actions
	Previews Previews
	Language Language
	Examples []Example
	Version  string
	Access   Access
	// Settings are the jobmanager's, for Flink's jobmanager/config.
	Settings map[string]string
	// UI is the front end, nil for a page that lists jobs.
	UI  http.Handler
	Now func() time.Time
	Log *slog.Logger
	// Random makes IDs of triggers.
	Random func([]byte) error
}

const (
	// bodyMax bounds a request's body: a script may have 1 MiB.
	bodyMax = 2 << 20
	// streamsMax bounds the event streams that are open.
	streamsMax = 64
	// readMax is how long a body may take, writeMax how long a client may take to take an answer or an event.
	readMax  = 30 * time.Second
	writeMax = 30 * time.Second
	// askMax is how long a document may take.
	askMax = 5 * time.Second
)

// Server answers HTTP requests.
type Server struct {
	cfg      Config
	cache    cache
	triggers triggers
	logins   logins
	streams  chan struct{}
	gateway  gateway
	// work are the goroutines of triggers.
	work sync.WaitGroup
	mux  *http.ServeMux
	// own lists the patterns of /api/v1, for the test that compares them with the OpenAPI document.
	own []string
}

// New makes a server. Wait for it when its context has ended.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, streams: make(chan struct{}, streamsMax), mux: http.NewServeMux()}
	s.cache.now, s.triggers.now = cfg.Now, cfg.Now
	s.triggers.all = map[string]*trigger{}
	s.routeOwn()
	s.routeInspect()
	s.routePreview()
	s.routeRows()
	s.routeFlink()
	s.routeGateway()
	s.routePage()
	return s
}

// Wait returns when what was triggered has ended.
func (s *Server) Wait() { s.work.Wait() }

// Handler is for all paths but the probes'.
func (s *Server) Handler() http.Handler { return s.guard(s.mux) }

// handle adds a route of our own API.
func (s *Server) handle(pattern string, h http.HandlerFunc) {
	s.own = append(s.own, pattern)
	s.mux.HandleFunc(pattern, h)
}

func (s *Server) routeOwn() {
	s.handle("GET /api/v1/session", s.session)
	s.handle("POST /api/v1/login", s.login)
	s.handle("POST /api/v1/logout", s.logout)
	s.handle("GET /api/v1/cluster", func(w http.ResponseWriter, r *http.Request) { s.document(w, r, s.clusterJSON) })
	s.handle("GET /api/v1/events", func(w http.ResponseWriter, r *http.Request) { s.stream(w, r, "cluster", s.clusterJSON) })
	s.handle("GET /api/v1/jobs/{id}", func(w http.ResponseWriter, r *http.Request) { s.document(w, r, s.jobJSON(r)) })
	s.handle("GET /api/v1/jobs/{id}/events", func(w http.ResponseWriter, r *http.Request) { s.stream(w, r, "job", s.jobJSON(r)) })
	s.handle("GET /api/v1/jobs/{id}/series", func(w http.ResponseWriter, r *http.Request) { s.document(w, r, s.seriesJSON(r)) })
	s.handle("POST /api/v1/jobs", s.submit)
	s.handle("POST /api/v1/jobs/{id}/cancel", s.cancel)
	s.handle("POST /api/v1/jobs/{id}/stop", s.stop)
	s.handle("POST /api/v1/jobs/{id}/savepoints", s.savepoint)
	s.handle("POST /api/v1/jobs/{id}/rescale", s.rescale)
	s.handle("GET /api/v1/jobs/{id}/triggers/{trigger}", s.triggerState)
	s.handle("POST /api/v1/sql/validate", s.validate)
	s.handle("POST /api/v1/sql/complete", s.complete)
	s.handle("GET /api/v1/examples", s.examples)
	s.handle("GET /api/v1/openapi.yaml", s.openAPI)
	s.mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "there is no "+r.Method+" "+r.URL.Path+"; /api/v1/openapi.yaml says what there is")
	})
}

// The keys of cached documents.
func (s *Server) clusterJSON(ctx context.Context) ([]byte, error) {
	return s.cache.encoded(ctx, "cluster", func(ctx context.Context) (any, error) { return s.cfg.Views.Cluster(ctx) })
}

func (s *Server) jobJSON(r *http.Request) func(context.Context) ([]byte, error) {
	id := r.PathValue("id")
	return func(ctx context.Context) ([]byte, error) {
		return s.cache.encoded(ctx, "job "+id, func(ctx context.Context) (any, error) { return s.cfg.Views.Job(ctx, id) })
	}
}

func (s *Server) seriesJSON(r *http.Request) func(context.Context) ([]byte, error) {
	id := r.PathValue("id")
	return func(ctx context.Context) ([]byte, error) {
		return s.cache.encoded(ctx, "series "+id, func(ctx context.Context) (any, error) { return s.cfg.Views.Series(ctx, id) })
	}
}

// cluster and job are the documents themselves, for Flink's.
func (s *Server) cluster(ctx context.Context) (*Cluster, error) {
	v, err := s.cache.value(ctx, "cluster", func(ctx context.Context) (any, error) { return s.cfg.Views.Cluster(ctx) })
	c, _ := v.(*Cluster)
	return c, err
}

func (s *Server) job(ctx context.Context, id string) (*Job, error) {
	v, err := s.cache.value(ctx, "job "+id, func(ctx context.Context) (any, error) { return s.cfg.Views.Job(ctx, id) })
	j, _ := v.(*Job)
	return j, err
}

// document answers with a cached document.
func (s *Server) document(w http.ResponseWriter, r *http.Request, get func(context.Context) ([]byte, error)) {
	data, err := get(r.Context())
	if err != nil {
		s.failWith(w, err)
		return
	}
	writeJSON(w, http.StatusOK, data)
}
