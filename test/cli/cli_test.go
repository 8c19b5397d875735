// Package cli runs the program bramble as a person does, through the text files in testdata: what is typed, what is printed, and the
// exit code. It needs no servers. Run with -update to write what was printed into the files, then read the difference.
package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/internal/app"
	"github.com/bramble-stream/bramble/internal/app/cli"
)

var update = flag.Bool("update", false, "write what was printed into the files")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"bramble":     func() { os.Exit(app.Main(cli.Command(cli.Hooks{Demo: cli.RunDemo}))) },
		"jobmanager":  func() { os.Exit(app.Main(app.JobManagerCommand())) },
		"taskmanager": func() { os.Exit(app.Main(app.TaskManagerCommand())) },
	})
}

func TestCommandLine(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *update,
		Setup: func(e *testscript.Env) error {
			e.Setenv("GORACE", "atexit_sleep_ms=0") // under the race detector every program would end a second later
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "cluster": cluster, "last": last, "json": validJSON, "count": count, "lines": lines, "bytes": writeBytes, "hide": hide,
		},
	})
}

// exits CODE PROGRAM ARG... runs a program, which must end with that code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	code := 0
	var ended *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &ended) {
		code = ended.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// cluster SLOTS runs a jobmanager and two taskmanagers until the script ends, and puts their address into BRAMBLE_JOBMANAGER.
func cluster(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: cluster SLOTS")
	}
	slots, err := strconv.Atoi(args[0])
	ts.Check(err)
	c, err := app.NewCluster(app.ClusterConfig{
		TaskManagers: 2, Slots: slots, MemoryBytes: 256 << 20, HTTPPort: serve.Off, MetricsPort: serve.Off, DataDir: ts.MkAbs("cluster"),
		Log: slog.New(slog.DiscardHandler),
	})
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	ts.Defer(func() {
		cancel()
		ts.Check(<-done)
	})
	ts.Setenv("BRAMBLE_JOBMANAGER", c.JobManager.Address())
}

// last prints the status of the newest job as JSON.
func last(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: last")
	}
	ts.Check(ts.Exec("bramble", "list", "-a", "-o", "json"))
	var jobs []struct {
		ID string `json:"job_id"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &jobs))
	if len(jobs) == 0 {
		ts.Fatalf("no jobs")
	}
	ts.Check(ts.Exec("bramble", "status", jobs[0].ID, "-o", "json"))
}

// validJSON checks that what was printed is one JSON value: an object, or with "json list" an array.
func validJSON(ts *testscript.TestScript, neg bool, args []string) {
	var value any
	dec := json.NewDecoder(bytes.NewReader([]byte(ts.ReadFile("stdout"))))
	if err := dec.Decode(&value); err != nil || dec.More() {
		ts.Fatalf("not one JSON value: %v", err)
	}
	_, list := value.([]any)
	if want := len(args) == 1 && args[0] == "list"; list != want || neg {
		ts.Fatalf("a list: %t, want %t", list, want)
	}
}

// count KEY N adds up a metric over all tasks in the output of `bramble status -o json`.
func count(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: count KEY N")
	}
	var job struct {
		Vertices []struct {
			Tasks []struct{ Metrics map[string]json.RawMessage }
		}
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &job))
	sum := int64(0)
	for _, v := range job.Vertices {
		for _, t := range v.Tasks {
			var n int64
			ts.Check(json.Unmarshal(t.Metrics[args[0]], &n))
			sum += n
		}
	}
	if strconv.FormatInt(sum, 10) != args[1] {
		ts.Fatalf("%s is %d, want %s", args[0], sum, args[1])
	}
}

// lines N FILE LINE appends a line N times.
func lines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: lines N FILE LINE")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	appendTo(ts, args[1], bytes.Repeat([]byte(args[2]+"\n"), n))
}

// writeBytes FILE TEXT appends what a text file cannot hold: TEXT has Go's escapes.
func writeBytes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: bytes FILE TEXT")
	}
	text, err := strconv.Unquote(`"` + strings.ReplaceAll(args[1], `"`, `\"`) + `"`)
	ts.Check(err)
	appendTo(ts, args[0], []byte(text))
}

func appendTo(ts *testscript.TestScript, name string, data []byte) {
	f, err := os.OpenFile(ts.MkAbs(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	ts.Check(err)
	_, err = f.Write(data)
	ts.Check(errors.Join(err, f.Close()))
}

// changing matches what is different in every run: job IDs, and the name that a file sink gives.
var changing = regexp.MustCompile(`[0-9a-f]{32}`)

// hide FROM TO copies a file, or stdout or stderr, with JOBID for every job's ID.
func hide(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hide FROM TO")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), changing.ReplaceAll([]byte(ts.ReadFile(args[0])), []byte("JOBID")), 0o600))
}
