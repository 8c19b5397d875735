// Package preview brings the rows of a running query from those who have them to the one who looks. It keeps none: whoever delivers waits until
// they are taken, so that the pace is the reader's. It knows neither jobs nor the network.
package preview

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// sessionsMax bounds the previews that run at a time: each takes slots from jobs.
const sessionsMax = 16

// ErrGone says that nobody looks any more.
var ErrGone = errors.New("preview: nobody looks at these rows any more")

// ErrMany says that too many look already.
var ErrMany = fmt.Errorf("%d previews are running, which is the maximum: end one first", sessionsMax)

// Rows are rows of one task, in order.
type Rows struct {
	// JSON is an array of arrays.
	JSON []byte
	// Kinds has a vec.RowKind a row; it is empty when all are inserts.
	Kinds []byte
}

// Hub knows who looks. Its methods may be called on any goroutine.
type Hub struct {
	mu struct {
		sync.Mutex
		sessions map[string]*Session
	}
}

// Session is somebody who looks at the rows of a job.
type Session struct {
	hub  *Hub
	job  string
	rows chan Rows
	gone chan struct{}
	once sync.Once
}

// Open begins to take the rows of a job. Close has to be called.
func (h *Hub) Open(job string) (*Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.mu.sessions) >= sessionsMax {
		return nil, ErrMany
	}
	if h.mu.sessions[job] != nil {
		return nil, fmt.Errorf("preview: job %s is looked at already", job)
	}
	if h.mu.sessions == nil {
		h.mu.sessions = map[string]*Session{}
	}
	s := &Session{hub: h, job: job, rows: make(chan Rows), gone: make(chan struct{})}
	h.mu.sessions[job] = s
	return s, nil
}

// Deliver hands rows of a job on, which belong to the receiver then. It returns when they have been taken, ErrGone when nobody looks, or when ctx ends.
func (h *Hub) Deliver(ctx context.Context, job string, r Rows) error {
	h.mu.Lock()
	s := h.mu.sessions[job]
	h.mu.Unlock()
	if s == nil {
		return ErrGone
	}
	select {
	case s.rows <- r:
		return nil
	case <-s.gone:
		return ErrGone
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Rows is where they come.
func (s *Session) Rows() <-chan Rows { return s.rows }

// Close ends it; whoever delivers is told. It may be called several times.
func (s *Session) Close() {
	s.once.Do(func() {
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		delete(s.hub.mu.sessions, s.job)
		close(s.gone)
	})
}
