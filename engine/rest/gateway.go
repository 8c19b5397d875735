package rest

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// The REST of Flink's SQL gateway, versions 1 to 3, for its JDBC driver and its like: sessions, statements, operations, and results in pages of rows as
// JSON. A query is a preview that goes on as its rows are fetched.

// StatementDoes says what a statement does.
type StatementDoes int

// What statements do: those that are kept precede all that follow.
const (
	StatementKeep StatementDoes = iota
	StatementQuery
	StatementJob
	StatementAnswer
)

// Statement is one of a session. Script is it with what precedes it, Answer the text that is its result.
type Statement struct {
	Does                 StatementDoes
	Text, Script, Answer string
}

const (
	// gatewaySessionsMax, gatewayOperationsMax and gatewayKeptMax (bytes) bound what sessions hold; gatewayPageMax bounds the rows that wait to be
	// fetched: a query waits, too, then.
	gatewaySessionsMax   = 32
	gatewayOperationsMax = 32
	gatewayKeptMax       = 1 << 20
	gatewayPageMax       = 1000
	// gatewayIdleMax is how long a session is kept that nobody asks for, as in Flink.
	gatewayIdleMax = 10 * time.Minute
)

// gateway holds the sessions.
type gateway struct {
	mu struct {
		sync.Mutex
		sessions map[string]*gatewaySession
	}
}

type gatewaySession struct {
	properties map[string]string
	kept       []string
	keptBytes  int
	operations map[string]*gatewayOperation
	// reap ends the session when it has been idle.
	reap *time.Timer
}

// gatewayOperation is a statement that runs or has run.
type gatewayOperation struct {
	cancel context.CancelFunc
	ended  chan struct{}
	mu     struct {
		sync.Mutex
		// wake is closed, and replaced, when there is room for rows again.
		wake    chan struct{}
		columns []gatewayColumn
		kind    string
		query   bool
		jobID   string
		ready   bool
		over    bool
		state   string
		err     error
		// rows wait; page is what token-1 was answered with.
		rows, page []gatewayRow
		token      int64
	}
}

type gatewayRow struct {
	Kind   string            `json:"kind"`
	Fields []json.RawMessage `json:"fields"`
}

type gatewayColumn struct {
	Name        string  `json:"name"`
	LogicalType object  `json:"logicalType"`
	Comment     *string `json:"comment"`
}

func (s *Server) routeGateway() {
	handle := func(pattern string, h http.HandlerFunc) {
		method, path, _ := strings.Cut(pattern, " ")
		for _, version := range []string{"", "/v1", "/v2", "/v3"} {
			s.mux.HandleFunc(method+" "+version+path, h)
		}
	}
	handle("GET /info", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, object{"productName": "Apache Flink", "version": flinkVersion + s.cfg.Version})
	})
	handle("GET /api_versions", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, object{"versions": []string{"V1", "V2", "V3"}})
	})
	handle("POST /sessions", s.gatewayOpen)
	handle("GET /sessions/{session}", s.inSession(func(_ *http.Request, g *gatewaySession) (any, error) { return object{"properties": g.properties}, nil }))
	handle("POST /sessions/{session}/heartbeat", s.inSession(func(*http.Request, *gatewaySession) (any, error) { return object{}, nil }))
	handle("DELETE /sessions/{session}", func(w http.ResponseWriter, r *http.Request) {
		if !s.gatewayClose(r.PathValue("session")) {
			failSession(w, r)
			return
		}
		answer(w, http.StatusOK, object{"status": "CLOSED"})
	})
	handle("POST /sessions/{session}/statements", s.gatewayExecute)
	handle("POST /sessions/{session}/statements/", s.gatewayExecute)
	handle("POST /sessions/{session}/configure-session", s.gatewayExecute)
	const operation = " /sessions/{session}/operations/{operation}"
	handle("GET"+operation+"/status", s.inOperation(func(_ *http.Request, o *gatewayOperation) (any, error) { return object{"status": o.status()}, nil }))
	handle("POST"+operation+"/cancel", s.inOperation(func(_ *http.Request, o *gatewayOperation) (any, error) {
		o.stop("CANCELED")
		return object{"status": o.status()}, nil
	}))
	handle("DELETE"+operation+"/close", s.gatewayForget)
	handle("GET"+operation+"/result/{token}", s.inOperation(gatewayFetch))
}

// uuid makes a handle.
func (s *Server) uuid() (string, error) {
	var b [16]byte
	if err := s.cfg.Random(b[:]); err != nil {
		return "", fmt.Errorf("make a handle: %w", err)
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:], nil
}

func failSession(w http.ResponseWriter, r *http.Request) {
	fail(w, http.StatusNotFound, "there is no session "+r.PathValue("session")+"; it was closed, or idle for too long")
}

func (s *Server) gatewayOpen(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Properties map[string]string `json:"properties"`
	}
	if !s.read(w, r, &body) {
		return
	}
	if s.cfg.Language.Statement == nil || s.cfg.Previews == nil {
		fail(w, http.StatusNotFound, "this jobmanager has no SQL sessions")
		return
	}
	id, err := s.uuid()
	if err != nil {
		s.failWith(w, err)
		return
	}
	g := &gatewaySession{properties: body.Properties, operations: map[string]*gatewayOperation{}}
	if g.properties == nil {
		g.properties = map[string]string{}
	}
	s.gateway.mu.Lock()
	defer s.gateway.mu.Unlock()
	if len(s.gateway.mu.sessions) >= gatewaySessionsMax {
		fail(w, http.StatusTooManyRequests, fmt.Sprintf("%d SQL sessions are open, which is the maximum", gatewaySessionsMax))
		return
	}
	if s.gateway.mu.sessions == nil {
		s.gateway.mu.sessions = map[string]*gatewaySession{}
	}
	g.reap = time.AfterFunc(gatewayIdleMax, func() { s.gatewayClose(id) })
	s.gateway.mu.sessions[id] = g
	answer(w, http.StatusOK, object{"sessionHandle": id})
}

// gatewayClose ends a session and what it runs.
func (s *Server) gatewayClose(id string) bool {
	s.gateway.mu.Lock()
	defer s.gateway.mu.Unlock()
	g := s.gateway.mu.sessions[id]
	if g == nil {
		return false
	}
	delete(s.gateway.mu.sessions, id)
	g.reap.Stop()
	for _, o := range g.operations {
		o.stop("CLOSED")
	}
	return true
}

// inSession answers out of a session, which is thereby not idle. f has the gateway locked.
func (s *Server) inSession(f func(*http.Request, *gatewaySession) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.gateway.mu.Lock()
		g := s.gateway.mu.sessions[r.PathValue("session")]
		if g == nil {
			s.gateway.mu.Unlock()
			failSession(w, r)
			return
		}
		g.reap.Reset(gatewayIdleMax)
		v, err := f(r, g)
		s.gateway.mu.Unlock()
		if err != nil {
			failGateway(w, err)
			return
		}
		answer(w, http.StatusOK, v)
	}
}

func (s *Server) inOperation(f func(*http.Request, *gatewayOperation) (any, error)) http.HandlerFunc {
	return s.inSession(func(r *http.Request, g *gatewaySession) (any, error) {
		o := g.operations[r.PathValue("operation")]
		if o == nil {
			return nil, &gatewayError{http.StatusNotFound, "there is no operation " + r.PathValue("operation")}
		}
		return f(r, o)
	})
}

// gatewayError has an HTTP status.
type gatewayError struct {
	code    int
	message string
}

func (e *gatewayError) Error() string { return e.message }

func failGateway(w http.ResponseWriter, err error) {
	var known *gatewayError
	if errors.As(err, &known) {
		fail(w, known.code, known.message)
		return
	}
	st, _ := status.FromError(err)
	fail(w, http.StatusInternalServerError, st.Message())
}

func (s *Server) gatewayForget(w http.ResponseWriter, r *http.Request) {
	s.inSession(func(r *http.Request, g *gatewaySession) (any, error) {
		id := r.PathValue("operation")
		o := g.operations[id]
		if o == nil {
			return nil, &gatewayError{http.StatusNotFound, "there is no operation " + id}
		}
		o.stop("CLOSED")
		delete(g.operations, id)
		return object{"status": "CLOSED"}, nil
	})(w, r)
}

// gatewayExecute begins a statement. What is wrong with it is the operation's result, as in Flink.
func (s *Server) gatewayExecute(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Statement string            `json:"statement"`
		Config    map[string]string `json:"executionConfig"`
	}
	if !s.read(w, r, &body) {
		return
	}
	id, err := s.uuid()
	if err != nil {
		s.failWith(w, err)
		return
	}
	s.inSession(func(r *http.Request, g *gatewaySession) (any, error) {
		if len(g.operations) >= gatewayOperationsMax {
			return nil, &gatewayError{http.StatusTooManyRequests, fmt.Sprintf("the session has %d operations, which is the maximum: close some", gatewayOperationsMax)}
		}
		st, err := s.cfg.Language.Statement(g.kept, body.Statement)
		configures := strings.HasSuffix(r.URL.Path, "/configure-session")
		if err == nil && configures && st.Does != StatementKeep {
			err = errors.New("a session is configured by statements that run nothing")
		}
		if err == nil && st.Does == StatementKeep {
			if g.keptBytes += len(st.Text); g.keptBytes > gatewayKeptMax {
				g.keptBytes -= len(st.Text)
				return nil, &gatewayError{http.StatusTooManyRequests, fmt.Sprintf("the session's statements have more than %d bytes", gatewayKeptMax)}
			}
			g.kept = append(g.kept, st.Text)
		}
		if configures {
			if err != nil {
				return nil, &gatewayError{http.StatusBadRequest, err.Error()}
			}
			return object{}, nil
		}
		config := options(g.properties)
		maps.Copy(config, options(body.Config))
		g.operations[id] = s.gatewayRun(st, err, config)
		return object{"operationHandle": id}, nil
	})(w, r)
}

// gatewayRun makes an operation of a statement.
func (s *Server) gatewayRun(st Statement, err error, config map[string]string) *gatewayOperation {
	ctx, cancel := context.WithCancel(s.cfg.Context)
	o := &gatewayOperation{cancel: cancel, ended: make(chan struct{})}
	o.mu.wake, o.mu.state = make(chan struct{}), "RUNNING"
	script := &pb.Script{Name: scriptName, Text: st.Script, Config: config}
	s.work.Go(func() {
		defer close(o.ended)
		defer cancel()
		switch {
		case err != nil:
		case st.Does == StatementKeep:
			o.result("SUCCESS", "", "result", "OK")
		case st.Does == StatementAnswer:
			o.result("SUCCESS_WITH_CONTENT", "", "result", st.Answer)
		case st.Does == StatementJob:
			var resp *pb.SubmitJobResponse
			if resp, err = s.cfg.Actions.SubmitJob(ctx, &pb.SubmitJobRequest{Script: script}); err == nil {
				s.cache.forget()
				o.result("SUCCESS_WITH_CONTENT", resp.JobId, "job id", resp.JobId)
			}
		case st.Does == StatementQuery:
			err = s.cfg.Previews.Preview(ctx, &pb.PreviewRequest{Script: script}, func(m *pb.PreviewResponse) error { return o.take(ctx, m) })
		}
		o.end(err)
	})
	return o
}

// gatewayTypes are Flink's type roots by how SQL writes a type.
var gatewayTypes = map[string]string{
	"STRING": "VARCHAR", "VARCHAR": "VARCHAR", "CHAR": "CHAR", "BOOLEAN": "BOOLEAN", "BYTES": "VARBINARY", "VARBINARY": "VARBINARY", "BINARY": "BINARY",
	"DECIMAL": "DECIMAL", "TINYINT": "TINYINT", "SMALLINT": "SMALLINT", "INT": "INTEGER", "BIGINT": "BIGINT", "FLOAT": "FLOAT", "DOUBLE": "DOUBLE", "DATE": "DATE",
	"TIME": "TIME_WITHOUT_TIME_ZONE", "TIMESTAMP": "TIMESTAMP_WITHOUT_TIME_ZONE", "TIMESTAMP_LTZ": "TIMESTAMP_WITH_LOCAL_TIME_ZONE",
}

// gatewayType is a type as Flink's gateway has it; false for those that clients of the gateway would not read from here: nested ones and intervals.
func gatewayType(sql string) (object, bool) {
	text, notNull := strings.CutSuffix(sql, " NOT NULL")
	name, arguments, _ := strings.Cut(strings.TrimSuffix(text, ")"), "(")
	root, ok := gatewayTypes[name]
	if !ok {
		return nil, false
	}
	t := object{"type": root, "nullable": !notNull}
	var numbers []int
	for _, a := range strings.Split(arguments, ",") {
		if n, err := strconv.Atoi(strings.TrimSpace(a)); err == nil {
			numbers = append(numbers, n)
		}
	}
	number := func(i, usual int) int {
		if i < len(numbers) {
			return numbers[i]
		}
		return usual
	}
	const longest = 1<<31 - 1
	switch root {
	case "VARCHAR", "VARBINARY":
		t["length"] = number(0, longest)
	case "CHAR", "BINARY":
		t["length"] = number(0, 1)
	case "DECIMAL":
		t["precision"], t["scale"] = number(0, 10), number(1, 0)
	case "TIME_WITHOUT_TIME_ZONE":
		t["precision"] = number(0, 0)
	case "TIMESTAMP_WITHOUT_TIME_ZONE", "TIMESTAMP_WITH_LOCAL_TIME_ZONE":
		t["precision"] = number(0, 6)
	}
	return t, true
}
