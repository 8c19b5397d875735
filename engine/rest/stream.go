package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/grpc/status"
)

const (
	// eventEvery is how often a stream looks whether its document has changed; one that has not is sent after repeatEvery all the same, so
	// that a client knows that the stream lives.
	eventEvery  = time.Second
	repeatEvery = 5 * time.Second
	// retrySeconds is when to come back when there are too many streams.
	retrySeconds = "15"
)

// events writes server-sent events. It is not safe for concurrent use.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	now     func() time.Time
	buf     bytes.Buffer
}

// send writes an event whose data is one line.
func (e *events) send(name string, data []byte) error {
	e.buf.Reset()
	fmt.Fprintf(&e.buf, "event: %s\ndata: ", name)
	e.buf.Write(data)
	e.buf.WriteString("\n\n")
	return e.flush()
}

// comment sends what clients pass over: it shows that the stream lives.
func (e *events) comment(text string) error {
	e.buf.Reset()
	e.buf.WriteString(": " + text + "\n\n")
	return e.flush()
}

func (e *events) flush() error {
	if err := e.control.SetWriteDeadline(e.now().Add(writeMax)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := e.w.Write(e.buf.Bytes()); err != nil {
		return err
	}
	return e.control.Flush()
}

// open begins a stream, or answers that there are too many. close has to be called when it returns true.
func (s *Server) open(w http.ResponseWriter) (e *events, closeStream func(), ok bool) {
	select {
	case s.streams <- struct{}{}:
	default:
		w.Header().Set("Retry-After", retrySeconds)
		fail(w, http.StatusTooManyRequests, fmt.Sprintf("%d event streams are open, which is the maximum", streamsMax))
		return nil, nil, false
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // a proxy that buffers would hold events back
	return &events{w: w, control: http.NewResponseController(w), now: s.cfg.Now}, func() { <-s.streams }, true
}

// stream sends a document whenever it has changed.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, name string, get func(context.Context) ([]byte, error)) {
	ctx := r.Context()
	last, err := get(ctx)
	if err != nil {
		s.failWith(w, err)
		return
	}
	e, done, ok := s.open(w)
	if !ok {
		return
	}
	defer done()
	w.WriteHeader(http.StatusOK)
	if e.send(name, last) != nil {
		return
	}
	tick := time.NewTicker(eventEvery)
	defer tick.Stop()
	sent := s.cfg.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		case <-s.cfg.Context.Done():
			e.end("the jobmanager is stopping")
			return
		}
		data, err := get(ctx)
		if err != nil {
			if ctx.Err() == nil {
				st, _ := status.FromError(err)
				e.end(st.Message())
			}
			return
		}
		now := s.cfg.Now()
		if bytes.Equal(data, last) && now.Sub(sent) < repeatEvery {
			continue
		}
		if e.send(name, data) != nil {
			return
		}
		last, sent = data, now
	}
}

// end says why nothing more comes.
func (e *events) end(reason string) {
	data, err := json.Marshal(map[string]string{"reason": RedactText(reason)})
	if err == nil {
		e.send("end", data) //nolint:errcheck // it is the end
	}
}
