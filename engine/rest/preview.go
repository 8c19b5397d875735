package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// Previews runs queries for who looks at their rows.
type Previews interface {
	// Preview hands over columns, rows and the end of the query at the end of a script. It returns when it has ended, ctx has, or send failed; send is
	// called on one goroutine, and while it blocks the query waits.
	Preview(ctx context.Context, req *pb.PreviewRequest, send func(*pb.PreviewResponse) error) error
}

const (
	previewRowsMax     = 1000
	previewRowsUsual   = 100
	previewTimeoutMax  = time.Minute
	previewTimeUsual   = 10 * time.Second
	previewCommentEach = 15 * time.Second
)

// PreviewColumn is a column of a preview; Type is as SQL writes it.
type PreviewColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

func (s *Server) routePreview() { s.handle("POST /api/v1/sql/preview", s.preview) }

func (s *Server) preview(w http.ResponseWriter, r *http.Request) {
	body := struct {
		Script    string            `json:"script"`
		MaxRows   int64             `json:"maxRows"`
		TimeoutMS int64             `json:"timeoutMs"`
		Settings  map[string]string `json:"settings"`
	}{MaxRows: previewRowsUsual, TimeoutMS: previewTimeUsual.Milliseconds()}
	if !s.read(w, r, &body) {
		return
	}
	switch {
	case s.cfg.Previews == nil:
		fail(w, http.StatusNotFound, "this jobmanager runs no previews")
		return
	case body.MaxRows < 1 || body.MaxRows > previewRowsMax:
		fail(w, http.StatusBadRequest, fmt.Sprintf("maxRows: 1 to %d", previewRowsMax))
		return
	case body.TimeoutMS < 1 || body.TimeoutMS > previewTimeoutMax.Milliseconds():
		fail(w, http.StatusBadRequest, fmt.Sprintf("timeoutMs: 1 to %d", previewTimeoutMax.Milliseconds()))
		return
	}
	text, err := s.substitute(body.Script, body.Settings)
	if err != nil {
		s.failScript(w, err, body.Script, body.Script)
		return
	}
	p := &previewStream{s: s, w: w}
	defer p.close()
	req := &pb.PreviewRequest{
		Script: &pb.Script{Name: scriptName, Text: text, Config: options(body.Settings)}, RowsMax: body.MaxRows, TimeoutMs: body.TimeoutMS,
	}
	err = s.cfg.Previews.Preview(r.Context(), req, p.send)
	if err == nil || r.Context().Err() != nil || errors.Is(err, errAnswered) {
		return
	}
	if p.begun() {
		p.fail(err, s.placed(err, body.Script, text))
		return
	}
	if status.Code(err) == codes.InvalidArgument {
		s.failScript(w, err, body.Script, text)
		return
	}
	s.failWith(w, err)
}

// placed are the places of an error: those of a script's mistakes, or that of the operator that failed.
func (s *Server) placed(err error, written, planned string) []Diagnostic {
	var at interface{ Place() (line, column int) }
	if !errors.As(err, &at) {
		return s.diagnose(err, written, planned)
	}
	line, column := at.Place()
	lines := strings.Split(written, "\n")
	if line < 1 || line > len(lines) {
		return nil
	}
	st, _ := status.FromError(err)
	return []Diagnostic{{Line: line, Column: max(column, 1), EndLine: line, EndColumn: wordEnd(lines[line-1], max(column, 1)), Message: RedactText(st.Message())}}
}

// errAnswered ends a preview whose request was answered otherwise.
var errAnswered = errors.New("rest: the request was answered already")

// previewStream is the answer to a preview: it becomes a stream with the first message, so that what is wrong before has a status of its own.
type previewStream struct {
	s  *Server
	w  http.ResponseWriter
	mu struct {
		sync.Mutex
		events *events
	}
	done    func()
	stop    chan struct{}
	stopped sync.WaitGroup
}

func (p *previewStream) begun() bool { return p.done != nil }

// send passes a message on as an event.
func (p *previewStream) send(m *pb.PreviewResponse) error {
	if !p.begun() {
		e, done, ok := p.s.open(p.w)
		if !ok {
			return errAnswered
		}
		p.w.WriteHeader(http.StatusOK)
		p.mu.events, p.done, p.stop = e, done, make(chan struct{})
		p.stopped.Go(p.comments)
	}
	name, v := previewEvent(m)
	return p.event(name, v)
}

// previewEvent is a message as the front end has it.
func previewEvent(m *pb.PreviewResponse) (name string, v any) {
	switch m := m.Message.(type) {
	case *pb.PreviewResponse_Columns:
		columns := []PreviewColumn{}
		for _, c := range m.Columns.Columns {
			columns = append(columns, PreviewColumn{c.Name, c.Type})
		}
		return "columns", columns
	case *pb.PreviewResponse_Rows:
		rows := struct {
			Rows  json.RawMessage `json:"rows"`
			Kinds []string        `json:"kinds"`
		}{m.Rows.RowsJson, make([]string, 0, len(m.Rows.Kinds))}
		for _, k := range m.Rows.Kinds {
			rows.Kinds = append(rows.Kinds, KindName(k))
		}
		return "rows", rows
	case *pb.PreviewResponse_Waiting:
		return "waiting", map[string]string{"reason": RedactText(m.Waiting)}
	case *pb.PreviewResponse_End:
		return "end", struct {
			Reason string `json:"reason"`
			Rows   int64  `json:"rows"`
		}{m.End.Reason, m.End.Rows}
	}
	return "unknown", nil
}

// KindName is the name of a kind of row: +I, -U, +U or -D.
func KindName(kind byte) string { return [...]string{"+I", "-U", "+U", "-D"}[kind&3] }

func (p *previewStream) event(name string, v any) error {
	var data bytes.Buffer
	enc := json.NewEncoder(&data)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.events.send(name, bytes.TrimSpace(data.Bytes()))
}

func (p *previewStream) fail(err error, places []Diagnostic) {
	st, _ := status.FromError(err)
	p.event("error", failure{Errors: []string{RedactText(st.Message())}, Diagnostics: places}) //nolint:errcheck // it is the end
}

// comments keep proxies from ending a stream that is silent.
func (p *previewStream) comments() {
	tick := time.NewTicker(previewCommentEach)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.mu.Lock()
			p.mu.events.buf.Reset()
			p.mu.events.buf.WriteString(": still running\n\n")
			p.mu.events.flush() //nolint:errcheck // the next event fails, too
			p.mu.Unlock()
		case <-p.stop:
			return
		}
	}
}

func (p *previewStream) close() {
	if p.begun() {
		close(p.stop)
		p.stopped.Wait()
		p.done()
	}
}
