package rest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// StatementDoes says what a statement does.
type StatementDoes int

// What statements do.
const (
	// StatementKeep precedes all that follow.
	StatementKeep StatementDoes = iota
	// StatementSet and StatementReset are kept and change the session's settings.
	StatementSet
	StatementReset
	// StatementQuery shows rows, StatementJob submits a job.
	StatementQuery
	StatementJob
	// StatementAnswer has its result in the statement, StatementNothing needs none.
	StatementAnswer
	StatementNothing
	// StatementSettings lists the session's settings, StatementShowJobs the jobs, StatementDescribeJob one of them; StatementStopJob ends one.
	StatementSettings
	StatementShowJobs
	StatementDescribeJob
	StatementStopJob
)

// Statement is one of a session. Script is it with what precedes it.
type Statement struct {
	Does         StatementDoes
	Text, Script string
	// Columns and Rows are the result of StatementAnswer: values are text, bool or nil.
	Columns []PreviewColumn
	Rows    [][]any
	// Key and Value are those of SET and RESET; Key is "" for RESET of all.
	Key, Value string
	// Job is the ID, or a unique beginning of it, of DESCRIBE JOB and STOP JOB; the others say WITH SAVEPOINT and WITH DRAIN.
	Job              string
	Savepoint, Drain bool
}

// readStatement reads a statement for a session, which is locked, and takes in what is to be kept.
func (s *Server) readStatement(g *gatewaySession, text string) (Statement, error) {
	st, err := s.cfg.Language.Statement(g.kept, text)
	if err != nil {
		return st, err
	}
	switch st.Does {
	case StatementKeep, StatementSet, StatementReset:
	default:
		return st, nil
	}
	if g.keptBytes += len(st.Text); g.keptBytes > gatewayKeptMax {
		g.keptBytes -= len(st.Text)
		return st, &gatewayError{http.StatusTooManyRequests, fmt.Sprintf("the session's statements have more than %d bytes", gatewayKeptMax)}
	}
	g.kept = append(g.kept, st.Text)
	switch {
	case st.Does == StatementSet:
		g.properties[st.Key] = st.Value
	case st.Does == StatementReset && st.Key == "":
		g.properties = maps.Clone(g.opened)
		if g.properties == nil {
			g.properties = map[string]string{}
		}
	case st.Does == StatementReset:
		delete(g.properties, st.Key)
		if v, ok := g.opened[st.Key]; ok {
			g.properties[st.Key] = v
		}
	}
	return st, nil
}

// gatewayConfig are the settings that scripts of a session are planned with. Clients open sessions with whatever their own files hold: what only Flink knows is
// left out.
func (s *Server) gatewayConfig(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, settings := range all {
		for k, v := range settings {
			if s.cfg.Language.Settings == nil || slices.Contains(s.cfg.Language.Settings, k) {
				out[k] = v
			}
		}
	}
	return options(out)
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
	s.inSession(func(_ *http.Request, g *gatewaySession) (any, error) {
		if len(g.operations) >= gatewayOperationsMax {
			return nil, &gatewayError{http.StatusTooManyRequests, fmt.Sprintf("the session has %d operations, which is the maximum: close some", gatewayOperationsMax)}
		}
		st, err := s.readStatement(g, body.Statement)
		if err == nil && st.Does == StatementSettings {
			st.Does, st.Columns = StatementAnswer, []PreviewColumn{{"key", "STRING"}, {"value", "STRING"}}
			for _, k := range slices.Sorted(maps.Keys(g.properties)) {
				st.Rows = append(st.Rows, []any{k, RedactValue(k, g.properties[k])})
			}
		}
		config := s.gatewayConfig(g.properties, body.Config)
		o := newOperation(s.cfg.Context, config["table.local-time-zone"])
		g.operations[id] = o
		s.work.Go(func() { s.gatewayRun(o, st, err, config) })
		return object{"operationHandle": id}, nil
	})(w, r)
}

// gatewayConfigure runs a statement that changes the session alone, while the client waits.
func (s *Server) gatewayConfigure(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Statement string `json:"statement"`
	}
	if !s.read(w, r, &body) {
		return
	}
	s.inSession(func(_ *http.Request, g *gatewaySession) (any, error) {
		st, err := s.cfg.Language.Statement(g.kept, body.Statement)
		if err == nil {
			switch st.Does {
			case StatementNothing:
				return object{}, nil
			case StatementKeep, StatementSet, StatementReset:
				if _, err = s.readStatement(g, body.Statement); err == nil {
					return object{}, nil
				}
			default:
				err = errors.New("a session is configured by CREATE, DROP, USE, SET and RESET")
			}
		}
		var known *gatewayError
		if !errors.As(err, &known) {
			err = &gatewayError{http.StatusBadRequest, err.Error()}
		}
		return nil, err
	})(w, r)
}

// gatewayComplete answers how a statement may go on at a position, which counts UTF-16 units as Java does: with what may stand in place of the word there.
func (s *Server) gatewayComplete(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Statement string `json:"statement"`
		Position  int    `json:"position"`
	}
	if !s.read(w, r, &body) {
		return
	}
	s.inSession(func(_ *http.Request, g *gatewaySession) (any, error) {
		candidates := []string{}
		if s.cfg.Language.Complete == nil {
			return object{"candidates": candidates}, nil
		}
		at := 0 // in bytes
		for units := 0; at < len(body.Statement) && units < body.Position; {
			r, n := utf8.DecodeRuneInString(body.Statement[at:])
			at += n
			if units++; r > 0xffff {
				units++
			}
		}
		before := strings.Join(append(slices.Clone(g.kept), body.Statement[:at]), "\n;\n")
		line, column := strings.Count(before, "\n")+1, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])+1
		c := s.cfg.Language.Complete(before+body.Statement[at:], line, column)
		for _, i := range c.Items {
			candidates = append(candidates, strings.TrimSpace(i.Insert))
		}
		return object{"candidates": candidates}, nil
	})(w, r)
}

// gatewayRun is the life of an operation.
func (s *Server) gatewayRun(o *gatewayOperation, st Statement, err error, config map[string]string) {
	defer close(o.ended)
	defer o.cancel()
	if err == nil {
		err = s.gatewayDo(o, st, &pb.Script{Name: scriptName, Text: st.Script, Config: config})
	}
	o.end(err)
}

func (s *Server) gatewayDo(o *gatewayOperation, st Statement, script *pb.Script) error {
	switch st.Does {
	case StatementKeep, StatementSet, StatementReset, StatementNothing:
		return o.ok()
	case StatementAnswer:
		return o.result("", st.Columns, st.Rows)
	case StatementQuery:
		return s.cfg.Previews.Preview(o.ctx, &pb.PreviewRequest{Script: script}, o.take)
	case StatementJob:
		resp, err := s.cfg.Actions.SubmitJob(o.ctx, &pb.SubmitJobRequest{Script: script})
		if err != nil {
			return err
		}
		s.cache.forget()
		return o.result(resp.JobId, []PreviewColumn{{"job id", "STRING"}}, [][]any{{resp.JobId}})
	case StatementShowJobs, StatementDescribeJob:
		return s.gatewayJobs(o, st)
	case StatementStopJob:
		return s.gatewayStop(o, st)
	case StatementSettings:
	}
	return fmt.Errorf("a statement of kind %d", st.Does)
}

// JobColumns are those of SHOW JOBS and DESCRIBE JOB.
func JobColumns() []PreviewColumn {
	return []PreviewColumn{{"job id", "STRING"}, {"job name", "STRING"}, {"status", "STRING"}, {"start time", "TIMESTAMP_LTZ(3)"}}
}

// TimestampText is a time as previews write a TIMESTAMP_LTZ(3).
func TimestampText(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05.000Z")
}

func (s *Server) gatewayJobs(o *gatewayOperation, st Statement) error {
	row := func(j *JobSummary) []any { return []any{j.ID, j.Name, j.State, TimestampText(j.StartedAt)} }
	var rows [][]any
	if st.Does == StatementDescribeJob {
		j, err := s.job(o.ctx, st.Job)
		if err != nil {
			return err
		}
		rows = append(rows, row(&j.JobSummary))
	} else {
		c, err := s.cluster(o.ctx)
		if err != nil {
			return err
		}
		for _, j := range c.Jobs {
			rows = append(rows, row(j))
		}
	}
	return o.result("", JobColumns(), rows)
}

// gatewayStop cancels a job, or ends it with a savepoint, and returns when that is done.
func (s *Server) gatewayStop(o *gatewayOperation, st Statement) error {
	j, err := s.job(o.ctx, st.Job)
	if err != nil {
		return err
	}
	defer s.cache.forget()
	if !st.Savepoint {
		if _, err := s.doCancel(o.ctx, j.ID); err != nil {
			return err
		}
		return o.ok()
	}
	path, err := s.doStop(o.ctx, j.ID, "", st.Drain)
	if err != nil {
		return err
	}
	return o.result("", []PreviewColumn{{"savepoint path", "STRING"}}, [][]any{{path}})
}

// newOperation makes one that runs. zone is the session's, "" for UTC.
func newOperation(parent context.Context, zone string) *gatewayOperation {
	o := &gatewayOperation{ended: make(chan struct{})}
	o.ctx, o.cancel = context.WithCancel(parent)
	if zone != "" {
		o.zone, _ = time.LoadLocation(zone) // the planner has looked at it
	}
	o.mu.wake, o.mu.state = make(chan struct{}), "RUNNING"
	return o
}
