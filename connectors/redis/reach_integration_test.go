//go:build integration

package redis

import (
	"strings"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/connectors/conformance"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/testenv"
)

// poll polls once, for half a second.
func poll(t *testing.T, r *conformance.Reader) (op.Polled, []int64) {
	t.Helper()
	b := vec.NewBatch(numbers)
	p, err := r.Source.Poll(t.Context(), b, 500*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	return p, vec.Values[int64](b.Col(0))[:b.Rows()]
}

// reaches polls until a split is reached, or is not.
func reaches(t *testing.T, r *conformance.Reader, split int, want bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); r.Source.(op.Reacher).Reaches(split) != want; {
		if time.Now().After(deadline) {
			t.Fatalf("for 20s the split has Reaches() = %v", !want)
		}
		if _, rows := poll(t, r); len(rows) > 0 {
			t.Fatalf("rows %v", rows)
		}
	}
}

// TestReaches: a server that has gone does not count as one that has nothing to say.
func TestReaches(t *testing.T) {
	for _, group := range []string{"", "g"} {
		srv := testenv.Redis(t, testenv.Persistent())
		spec := table(srv.URL(), numbers)
		if group != "" {
			spec.Options["group"] = group
		}
		r := conformance.Open(t, Streams(), spec, nil)
		reaches(t, r, 0, true)
		srv.Stop()
		reaches(t, r, 0, false)
		srv.Restart()
		reaches(t, r, 0, true)
		srv.Suspend()
		reaches(t, r, 0, false)
		srv.Resume()
		reaches(t, r, 0, true)
		r.Close()
	}
}

// TestWaitingIsSaid: a source that waits for rows is not busy.
func TestWaitingIsSaid(t *testing.T) {
	srv := testenv.Redis(t)
	c := client(t, srv)
	r := conformance.Open(t, Streams(), table(srv.URL(), numbers), nil)
	defer r.Close()
	reaches(t, r, 0, true)
	const pause = 100 * time.Millisecond
	added := make(chan struct{})
	time.AfterFunc(pause, func() {
		defer close(added)
		add(t, c, "readings", false, 0, 10)
	})
	p, rows := poll(t, r)
	<-added
	if len(rows) == 0 || p.Waited < pause/2 {
		t.Errorf("%d rows after a wait of %s, want about %s", len(rows), p.Waited, pause)
	}
}

// TestAnAnswerIsOneMoment: rows of several streams in one answer come one stream after another, so that those of the second are older than the last ones of the
// first. No watermark may be made in between.
func TestAnAnswerIsOneMoment(t *testing.T) {
	srv := testenv.Redis(t)
	c := client(t, srv)
	const n = 1500 // more than an answer holds
	streams := []string{"a", "b", "c"}
	for i, name := range streams {
		add(t, c, name, false, i*n, (i+1)*n)
	}
	r := conformance.Open(t, Streams(), table(srv.URL(), numbers, "stream", strings.Join(streams, ";"), "group", "g"), nil)
	defer r.Close()
	var got int
	var turns []bool
	for got < len(streams)*n {
		p, rows := poll(t, r)
		if got += len(rows); p.Status != op.Idle {
			turns = append(turns, p.Continues)
		}
	}
	// The first request asks for what is pending, of each stream, and then there are two answers of three streams.
	ends := 0
	for _, continues := range turns {
		if !continues {
			ends++
		}
	}
	if ends > 3 || turns[len(turns)-1] {
		t.Errorf("%d batches, of which these continue: %v", len(turns), turns)
	}
}
