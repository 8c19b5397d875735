package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"google.golang.org/grpc/status"
)

// TailRows are rows that have left an operator since the event before. Seen counts all that have since the stream began; Sampled says that some of
// them were not shown.
type TailRows struct {
	Columns []PreviewColumn   `json:"columns"`
	Rows    []json.RawMessage `json:"rows"`
	Kinds   []string          `json:"kinds"`
	Seen    int64             `json:"seen"`
	Sampled bool              `json:"sampled"`
}

// Rejected are the newest records that a job has rejected, newest first. The totals count those that are not shown, too.
type Rejected struct {
	Late      []LateRow   `json:"late"`
	Bad       []BadRecord `json:"bad"`
	LateTotal int64       `json:"lateTotal"`
	BadTotal  int64       `json:"badTotal"`
}

// LateRow is a row that came too late: an object by column.
type LateRow struct {
	At       int64           `json:"at"`
	Operator string          `json:"operator"`
	Row      json.RawMessage `json:"row"`
	Reason   string          `json:"reason"`
}

// BadRecord is a record that could not be understood, or was refused: its beginning as text.
type BadRecord struct {
	At       int64  `json:"at"`
	Operator string `json:"operator"`
	Payload  string `json:"payload"`
	Reason   string `json:"reason"`
}

func (s *Server) routeRows() {
	s.handle("GET /api/v1/jobs/{id}/rejected", s.rejected)
	s.handle("GET /api/v1/jobs/{id}/vertices/{vertex}/tail", s.tail)
}

// mayLook reports whether rows may be shown; it answers itself when not.
func (s *Server) mayLook(w http.ResponseWriter) bool {
	if s.cfg.Access.Strangers {
		fail(w, http.StatusForbidden, "without a token rows are not shown over a network: start the jobmanager with --http-token-file FILE")
		return false
	}
	return true
}

func (s *Server) rejected(w http.ResponseWriter, r *http.Request) {
	if !s.mayLook(w) {
		return
	}
	id := r.PathValue("id")
	s.document(w, r, func(ctx context.Context) ([]byte, error) {
		return s.cache.encoded(ctx, "rejected "+id, func(ctx context.Context) (any, error) {
			d, err := s.cfg.Views.Rejected(ctx, id)
			if err == nil {
				d.redact()
			}
			return d, err
		})
	})
}

// redact masks what looks like a secret.
func (d *Rejected) redact() {
	for i := range d.Late {
		d.Late[i].Row, d.Late[i].Reason = redactObject(d.Late[i].Row), RedactText(d.Late[i].Reason)
	}
	for i := range d.Bad {
		d.Bad[i].Payload, d.Bad[i].Reason = RedactPayload(d.Bad[i].Payload), RedactText(d.Bad[i].Reason)
	}
}

// tail streams rows until the client leaves or the job ends.
func (s *Server) tail(w http.ResponseWriter, r *http.Request) {
	if !s.mayLook(w) {
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.cfg.Context, cancel)()
	t := &tailStream{s: s, w: w}
	reason, err := s.cfg.Views.Tail(ctx, r.PathValue("id"), r.PathValue("vertex"), r.URL.Query().Get("operator"), t.send)
	defer t.close()
	switch {
	case t.failed || r.Context().Err() != nil: // nobody is there
		return
	case s.cfg.Context.Err() != nil:
		reason = "the jobmanager is stopping"
	case err != nil && t.events == nil:
		s.failWith(w, err)
		return
	case err != nil:
		st, _ := status.FromError(err)
		reason = st.Message()
	}
	if t.begin() {
		t.events.end(reason)
	}
}

// tailStream becomes a stream with the first rows, or without any, when the operator was found.
type tailStream struct {
	s      *Server
	w      http.ResponseWriter
	events *events
	done   func()
	// failed: it could not be opened, or nobody takes it.
	failed bool
	sentAt time.Time
	seen   int64
}

// begin opens the stream, once.
func (t *tailStream) begin() bool {
	if t.events != nil {
		return true
	}
	e, done, ok := t.s.open(t.w)
	if !ok {
		t.failed = true
		return false
	}
	t.events, t.done = e, done
	t.w.WriteHeader(http.StatusOK)
	return true
}

func (t *tailStream) close() {
	if t.done != nil {
		t.done()
	}
}

// send sends rows, or how many have gone by; now and then, when there is nothing new, that the stream lives.
func (t *tailStream) send(d *TailRows) error {
	first := t.events == nil
	if !t.begin() {
		return errAnswered
	}
	now := t.s.cfg.Now()
	var err error
	switch {
	case len(d.Rows) > 0 || d.Seen != t.seen:
		var data bytes.Buffer
		enc := json.NewEncoder(&data)
		enc.SetEscapeHTML(false)
		if err = enc.Encode(d); err == nil {
			err = t.events.send("rows", bytes.TrimSpace(data.Bytes()))
		}
	case first || now.Sub(t.sentAt) >= previewCommentEach:
		err = t.events.comment("no rows")
	default:
		return nil
	}
	t.sentAt, t.seen, t.failed = now, d.Seen, err != nil
	return err
}
