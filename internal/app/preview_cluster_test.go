package app

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/client"
	"github.com/bramble-stream/bramble/engine/serve"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// TestPreviewOfACluster runs previews on a jobmanager and a taskmanager.
func TestPreviewOfACluster(t *testing.T) {
	c, err := NewCluster(ClusterConfig{TaskManagers: 1, Slots: 2, MemoryBytes: 256 << 20, HTTPPort: serve.Off, MetricsPort: serve.Off, DataDir: t.TempDir(), CheckpointDir: "file://" + t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	done := make(chan error, 1)
	clusterCtx, stopCluster := context.WithCancel(ctx)
	go func() { done <- c.Run(clusterCtx) }()
	defer func() {
		stopCluster()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	cl, err := client.New(c.JobManager.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	const endless = "CREATE TABLE e (id INT) WITH ('connector' = 'datagen', 'rows-per-second' = '100000');\n"
	errEnough := errors.New("enough")
	for _, p := range []struct {
		name, script string
		rows         int64
		timeout      time.Duration
		leave        bool
		want, fails  string
	}{
		{"values", "SELECT x FROM (VALUES (1), (2)) AS t(x)", 0, 0, false, "[[1],[2]] finished 2", ""},
		{"first rows", endless + "SELECT 7 FROM e", 3, 0, false, "[[7],[7],[7]] maxRows 3", ""},
		{"time", endless + "SELECT id FROM e WHERE id IS NULL", 0, 300 * time.Millisecond, false, " timeout 0", ""},
		{"leaving", endless + "SELECT id FROM e", 0, 0, true, "", "enough"},
		{"mistake", "SELECT x\nFROM nowhere", 0, 0, false, "", `2:6: table "nowhere" does not exist`},
		{"failure", endless + "SELECT\n CAST(IF(id IS NULL, '1', 'x') AS INT) FROM e", 0, 0, false, "", "3:7: cannot cast 'x' to INT"},
	} {
		got, end := "", ""
		err := cl.Preview(ctx, client.Script{File: "s.sql", Text: p.script, Parallelism: 2}, p.rows, p.timeout, func(m *pb.PreviewResponse) error {
			switch m := m.Message.(type) {
			case *pb.PreviewResponse_Rows:
				got = strings.ReplaceAll(got+string(m.Rows.RowsJson), "]][[", "],[")
				if p.leave {
					return errEnough
				}
			case *pb.PreviewResponse_End:
				end = m.End.Reason + " " + string(rune('0'+m.End.Rows))
			}
			return nil
		})
		if p.fails != "" {
			if err == nil || !strings.Contains(err.Error(), p.fails) {
				t.Errorf("%s: got %v, want %s", p.name, err, p.fails)
			}
		} else if err != nil || got+" "+end != p.want {
			t.Errorf("%s: got %s %s, %v, want %s", p.name, got, end, err, p.want)
		}
		for { // it is forgotten, and has given its slots back
			jobs, err := cl.Jobs(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if len(jobs) == 0 {
				break
			}
			if !pauseFor(ctx, 20*time.Millisecond) {
				t.Fatalf("%s: %v is still there", p.name, jobs)
			}
		}
	}
}

// pauseFor waits, unless ctx ends.
func pauseFor(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
