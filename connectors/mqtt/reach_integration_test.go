//go:build integration

package mqtt

import (
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/testenv"
)

// TestReaches: a broker that has gone does not count as one that has nothing to say, and a source that waits for it says for how long.
func TestReaches(t *testing.T) {
	srv := testenv.Mosquitto(t)
	spec := sensors(srv.URL())
	s, _, _ := open(t, spec)
	reaches := func(want bool) {
		t.Helper()
		deadline := time.Now().Add(30 * time.Second)
		err := pollUntil(t, s, spec, func() bool {
			return s.(op.Reacher).Reaches(0) == want || time.Now().After(deadline)
		}, ignore)
		if err != nil || s.(op.Reacher).Reaches(0) != want {
			t.Fatalf("error %v; reached: %v", err, !want)
		}
	}
	reaches(true)
	srv.Stop()
	reaches(false)
	srv.Restart()
	reaches(true)

	pub := publisher(t, srv.URL())
	const pause = 100 * time.Millisecond
	sent := make(chan error, 1)
	time.AfterFunc(pause, func() { sent <- send(pub, 0, 0, 1) })
	b := vec.NewBatch(spec.Schema)
	p, err := s.Poll(t.Context(), b, 5*time.Second)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if err != nil || b.Rows() != 1 || p.Waited < pause/2 {
		t.Errorf("%d rows after a wait of %s, want about %s; error %v", b.Rows(), p.Waited, pause, err)
	}
}
