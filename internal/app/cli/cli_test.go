package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/internal/app"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bramble runs a command line.
func bramble(ctx context.Context, args ...string) (out, errOut string, err error) {
	var o, e bytes.Buffer
	cmd := Command(Hooks{})
	cmd.SetOut(&o)
	cmd.SetErr(&e)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(ctx)
	return o.String(), e.String(), err
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "job.sql")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// cluster runs a cluster of two taskmanagers with a slot each, until the test ends, and returns the --jobmanager flag.
func cluster(t *testing.T) string {
	t.Helper()
	c, err := app.NewCluster(app.ClusterConfig{
		TaskManagers: 2, Slots: 1, MemoryBytes: 256 << 20, HTTPPort: serve.Off, MetricsPort: serve.Off, DataDir: t.TempDir(),
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "--jobmanager=" + c.JobManager.Address()
}

const endless = `
CREATE TABLE bids (bid ROW<auction BIGINT>) WITH ('connector' = 'nexmark', 'events.num' = '${EVENTS}', 'first-event.rate' = '100');
CREATE TABLE nowhere (auction BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nowhere SELECT bid.auction FROM bids;
`

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestLifeOfAJob(t *testing.T) {
	jm, ctx := cluster(t), within(t)
	out, errOut, err := bramble(ctx, jm, "submit", file(t, endless), "-p", "2", "--name", "bids", "-D", "EVENTS=0")
	if err != nil {
		t.Fatalf("%v\n%s", err, errOut)
	}
	first, _, _ := strings.Cut(out, "\n")
	id, ok := strings.CutPrefix(first, "Job has been submitted with JobID ")
	if !ok || len(id) != 32 {
		t.Fatalf("submit printed %q", out)
	}
	out, _, err = bramble(ctx, jm, "list", "-o", "json")
	var jobs []struct {
		ID          string `json:"job_id"`
		Name, State string
		Submitted   int64 `json:"submitted_at_ms"`
	}
	if err := errors.Join(err, json.Unmarshal([]byte(out), &jobs)); err != nil {
		t.Fatal(err)
	}
	if len(jobs) != 1 || jobs[0].ID != id || jobs[0].State != "RUNNING" || jobs[0].Name != "bids" || jobs[0].Submitted == 0 {
		t.Fatalf("list printed %s", out)
	}
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"list"}, []string{id, "bids", "RUNNING", "2 of 2 run"}},
		{[]string{"status", id[:5]}, []string{"State      RUNNING", "bids", "1/2", "2/2"}},
		{[]string{"taskmanagers"}, []string{"127.0.0.1:", "SLOTS"}},
		{[]string{"taskmanagers", "-o", "json"}, []string{`"slots_total": 1`, `"slots_free": 0`}},
		{[]string{"cancel", id[:4]}, []string{"Cancelled job " + id + ".\n"}},
		{[]string{"list"}, []string{"No running jobs."}},
		{[]string{"list", "-a"}, []string{id, "CANCELED"}},
		{[]string{"status", id, "-o", "json"}, []string{`"state": "CANCELED"`, `"exceptions": []`}},
	} {
		out, _, err := bramble(ctx, append([]string{jm}, test.args...)...)
		if err != nil {
			t.Errorf("%v: %v", test.args, err)
		}
		for _, want := range test.want {
			if !strings.Contains(out, want) {
				t.Errorf("%v printed no %q:\n%s", test.args, want, out)
			}
		}
	}
	if _, _, err := bramble(ctx, jm, "cancel", id); err == nil || !strings.Contains(err.Error(), "CANCELED") {
		t.Errorf("cancelled twice: %v", err)
	}
}

func TestSubmitWaits(t *testing.T) {
	jm, ctx := cluster(t), within(t)
	out, errOut, err := bramble(ctx, jm, "submit", "--wait", file(t, endless), "-D", "EVENTS=100", "-D", "parallelism.default=2")
	if err != nil || !strings.Contains(out, " is FINISHED after ") {
		t.Fatalf("%v\n%s%s", err, out, errOut)
	}
	// Too wide: it says why it waits, until someone loses patience.
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	_, errOut, err = bramble(short, jm, "submit", file(t, endless), "-D", "EVENTS=100", "-p", "3")
	if err == nil || !strings.Contains(errOut, "waiting: needs 3 slots, 2 available\n") || !strings.Contains(errOut, "the job goes on") {
		t.Fatalf("%v\n%s", err, errOut)
	}
}

func TestRun(t *testing.T) {
	for _, args := range [][]string{nil, {"-p", "3", "--taskmanagers", "2"}} {
		out, errOut, err := bramble(within(t), append([]string{"run", file(t, endless), "-D", "EVENTS=1000"}, args...)...)
		if err != nil || out != "" || errOut != "" {
			t.Errorf("%v: %v\n%s%s", args, err, out, errOut)
		}
	}
	// Ctrl-C ends an endless job cleanly.
	ctx, interrupt := context.WithCancel(t.Context()) // no deadline: gRPC would notice one a moment before ctx does
	defer interrupt()
	time.AfterFunc(300*time.Millisecond, interrupt)
	if _, errOut, err := bramble(ctx, "run", file(t, endless), "-D", "EVENTS=0"); err != nil || errOut != "" {
		t.Errorf("interrupted: %v\n%s", err, errOut)
	}
}

func TestExplainNeedsNoCluster(t *testing.T) {
	out, _, err := bramble(within(t), "explain", file(t, endless), "-D", "EVENTS=1")
	if err != nil || !strings.Contains(out, "== Logical plan ==") || !strings.Contains(out, "== Physical plan ==") {
		t.Fatalf("%v\n%s", err, out)
	}
	out, _, err = bramble(within(t), "explain", file(t, endless), "-D", "EVENTS=1", "-o", "json")
	if err != nil || !json.Valid([]byte(out)) {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestMistakes(t *testing.T) {
	good := file(t, endless)
	for _, test := range []struct {
		args  []string
		usage bool
		want  string
	}{
		{[]string{"lst"}, true, "did you mean `bramble list`?"},
		{[]string{"submit"}, true, "something is missing: bramble submit JOB.sql"},
		{[]string{"list", "x"}, true, `"x" is too much`},
		{[]string{"list", "--rubbish"}, true, "unknown flag: --rubbish"},
		{[]string{"list", "-o", "xml"}, true, "want table or json"},
		{[]string{"explain", good, "-D", "EVENTS"}, true, "want KEY=VALUE"},
		{[]string{"run", good, "-p", "-1", "-D", "EVENTS=1"}, true, "at least 1"},
		{[]string{"explain", good}, false, `job.sql:2:`},
		{[]string{"explain", "nowhere.sql"}, false, "no file nowhere.sql"},
		{[]string{"explain", t.TempDir()}, false, "is a directory"},
		{[]string{"run", file(t, "SELECT nix FROM nowhere")}, false, "job.sql:1:"},
		{[]string{"--jobmanager=127.0.0.1:1", "list"}, false, "no jobmanager at 127.0.0.1:1 (connection refused); start one with `jobmanager`"},
	} {
		_, _, err := bramble(within(t), test.args...)
		var usage *app.UsageError
		if err == nil || errors.As(err, &usage) != test.usage || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v", test.args, err)
		}
	}
}
