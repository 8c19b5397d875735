package rest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/status"
)

// The REST of Flink's SQL gateway, versions 1 to 4, for its JDBC driver, its SQL client and their like: sessions, statements, operations, and results in
// pages of rows. A query is a preview that goes on as its rows are fetched.

const (
	// gatewaySessionsMax, gatewayOperationsMax and gatewayKeptMax (bytes) bound what sessions hold; gatewayPageMax and
	// gatewayPageBytesMax bound the rows that wait to be fetched: a query waits, too, then.
	gatewaySessionsMax   = 32
	gatewayOperationsMax = 32
	gatewayKeptMax       = 1 << 20
	gatewayPageMax       = 1000
	gatewayPageBytesMax  = 4 << 20
	// gatewayIdleMax is how long a session is kept that nobody asks for, as in Flink.
	gatewayIdleMax = 10 * time.Minute
)

// gateway holds the sessions.
type gateway struct {
	// patterns are its routes, for the test that looks for them in the OpenAPI document.
	patterns []string
	mu       struct {
		sync.Mutex
		sessions map[string]*gatewaySession
	}
}

type gatewaySession struct {
	// opened are the settings that the session was opened with, properties these with what SET and RESET have said since.
	opened, properties map[string]string
	kept               []string
	keptBytes          int
	operations         map[string]*gatewayOperation
	// reap ends the session when it has been idle.
	reap *time.Timer
}

// gatewayVersions are the prefixes that clients of all versions use.
var gatewayVersions = []string{"", "/v1", "/v2", "/v3", "/v4"}

func (s *Server) routeGateway() {
	handle := func(pattern string, h http.HandlerFunc) {
		method, path, _ := strings.Cut(pattern, " ")
		s.gateway.patterns = append(s.gateway.patterns, pattern)
		for _, version := range gatewayVersions {
			s.mux.HandleFunc(method+" "+version+path, h)
		}
	}
	handle("GET /info", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, object{"productName": "Apache Flink", "version": flinkVersion + s.cfg.Version})
	})
	handle("GET /api_versions", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, object{"versions": []string{"V1", "V2", "V3", "V4"}})
	})
	handle("POST /sessions", s.gatewayOpen)
	handle("GET /sessions/{session}", s.inSession(func(_ *http.Request, g *gatewaySession) (any, error) {
		return object{"properties": RedactConfig(g.properties)}, nil
	}))
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
	handle("POST /sessions/{session}/configure-session", s.gatewayConfigure)
	handle("GET /sessions/{session}/complete-statement", s.gatewayComplete)
	const operation = " /sessions/{session}/operations/{operation}"
	handle("GET"+operation+"/status", s.inOperation(func(_ *http.Request, o *gatewayOperation) (any, error) { return object{"status": o.status()}, nil }))
	handle("POST"+operation+"/cancel", s.inOperation(func(_ *http.Request, o *gatewayOperation) (any, error) {
		o.stop("CANCELED")
		return object{"status": o.status()}, nil
	}))
	handle("DELETE"+operation+"/close", s.gatewayForget)
	handle("GET"+operation+"/result/{token}", s.inOperation(gatewayFetch))
	for _, version := range gatewayVersions {
		for _, path := range []string{"/sessions/", "/workflow/"} {
			s.mux.HandleFunc(version+path, func(w http.ResponseWriter, r *http.Request) {
				fail(w, http.StatusNotFound, r.Method+" "+r.URL.Path+" is not there: a session has statements, operations, configure-session, complete-statement and heartbeat; "+
					"no materialized tables and no scripts of application mode")
			})
		}
	}
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
	g := &gatewaySession{opened: body.Properties, properties: map[string]string{}, operations: map[string]*gatewayOperation{}}
	maps.Copy(g.properties, body.Properties)
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
