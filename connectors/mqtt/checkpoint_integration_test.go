//go:build integration

package mqtt

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/connectors/conformance"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/internal/testenv"
)

// logged collects log lines.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), part)
}

// TestTheBrokersLimitIsNamed: beyond the limit, 20 for Mosquitto by itself, messages come when a checkpoint is complete. It is said once.
func TestTheBrokersLimitIsNamed(t *testing.T) {
	srv := testenv.Mosquitto(t)
	spec := sensors(srv.URL())
	s, err := newSource(spec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, h := opContext(t)
	var log logged
	ctx.Checkpointing, ctx.Log = true, slog.New(slog.NewTextHandler(&log, nil))
	if err := s.Open(ctx, []op.Split{{ID: "session-0"}}); err != nil {
		t.Fatal(err)
	}
	if log.count("clean-session") != 1 {
		t.Error("nothing is said about a session that the broker does not keep")
	}
	if err := pollUntil(t, s, spec, connected(h), ignore); err != nil {
		t.Fatal(err)
	}
	pub := publisher(t, srv.URL())
	seen := 0
	poll := func(d time.Duration) {
		t.Helper()
		end := time.Now().Add(d)
		if err := pollUntil(t, s, spec, func() bool { return time.Now().After(end) }, func(int64, string) { seen++ }); err != nil {
			t.Fatal(err)
		}
	}
	const rounds = 8
	for i := range rounds {
		publishN(t, pub, 1, 50*i, 50*i+50)
		poll(3 * stallQuiet)
		if _, err := s.Snapshot(stream.Epoch(i + 1)); err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(t.Context(), stream.Epoch(i+1)); err != nil {
			t.Fatal(err)
		}
		poll(stallQuiet)
	}
	if seen != 50*rounds {
		t.Errorf("%d messages came, not %d", seen, 50*rounds)
	}
	if log.count("max_inflight_messages") != 1 {
		t.Errorf("the limit is named %d times", log.count("max_inflight_messages"))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestASessionOutlivesItsTask: two tasks had a session each; one task takes over both, with what the broker has queued.
func TestASessionOutlivesItsTask(t *testing.T) {
	srv := testenv.Mosquitto(t, unlimited)
	spec := sensors(srv.URL(), "client-id", "me", "clean-session", "false", "shared-group", "g")
	at, err := splits(t.Context(), spec, 2)
	if err != nil {
		t.Fatal(err)
	}
	pub := publisher(t, srv.URL())
	first := conformance.OpenCheckpointed(t, Connector(), spec, at[:1])
	second := conformance.OpenCheckpointed(t, Connector(), spec, at[1:])
	first.Connected()
	second.Connected()
	publishN(t, pub, 1, 0, 100)
	seen := map[int64]int{}
	for _, r := range []*conformance.Reader{first, second} {
		for _, row := range r.Rows(1) { // perhaps not all of them
			seen[row.N]++
		}
	}
	var restored []op.Split
	for _, r := range []*conformance.Reader{first, second} {
		part, err := r.Source.Snapshot(1)
		if err != nil {
			t.Fatal(err)
		}
		restored = append(restored, part...)
		r.Env.Cancel()
		r.Close()
	}
	publishN(t, pub, 1, 100, 200)
	both := conformance.OpenCheckpointed(t, Connector(), spec, restored)
	defer both.Close()
	from := map[string]bool{}
	_, err = both.Until(func(rows []conformance.Row) bool {
		if len(rows)+len(seen) < 200 {
			return false
		}
		for _, row := range rows {
			seen[row.N]++
			from[row.Split] = true
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range int64(200) {
		if seen[n] != 1 {
			t.Errorf("message %d came %d times", n, seen[n])
		}
	}
	if len(from) != 2 {
		t.Errorf("rows came from the sessions %v", from)
	}
}
