package checkpoint

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/bramble-stream/bramble/engine/stream"
)

// TestCoordinator plays transcripts. Tasks are written vertex/index; files are names, each of 10 bytes.
//
//	new interval=.. pause=.. timeout=.. concurrent=.. tolerable=.. retained=.. used=..
//	start tasks=(0/0,0/1,1/0): vertex n feeds vertex n+1
//	ack epoch=.. task=.. files=(a,b)
func TestCoordinator(t *testing.T) {
	datadriven.Walk(t, "testdata/coordinator", func(t *testing.T, path string) {
		s := &script{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return s.run(t, d) })
	})
}

type script struct {
	c   *Coordinator
	now stream.Time
	// par is the parallelism of each vertex.
	par map[int]int
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	if d.HasArg("at") {
		var at int
		d.ScanArgs(t, "at", &at)
		s.now = stream.Time(at)
	}
	if d.Cmd == "new" {
		cfg := Config{JobID: "job", GraphDigest: "g", Leader: 1}
		var used uint64
		for name, to := range map[string]any{
			"interval": &cfg.IntervalMS, "pause": &cfg.MinPauseMS, "timeout": &cfg.TimeoutMS, "concurrent": &cfg.MaxConcurrent,
			"tolerable": &cfg.TolerableFailures, "retained": &cfg.Retained, "used": &used, "leader": &cfg.Leader,
		} {
			if d.HasArg(name) {
				d.ScanArgs(t, name, to)
			}
		}
		var completed []*Manifest
		if s.c != nil && d.HasArg("recover") {
			completed = s.c.Completed()
		}
		s.c = NewCoordinator(cfg, completed, stream.Epoch(used))
		return s.state()
	}
	if d.Cmd == "history" {
		var b strings.Builder
		for _, r := range s.c.History() {
			fmt.Fprintf(&b, "%+v\n", r)
		}
		return b.String()
	}
	return commandsText(s.c.Step(s.now, s.event(t, d))) + s.state()
}

func (s *script) state() string {
	due := "never"
	if at := s.c.Deadline(); at != stream.MaxTime {
		due = fmt.Sprint(at)
	}
	return "state: " + s.c.String() + " due=" + due + "\n"
}

func (s *script) event(t *testing.T, d *datadriven.TestData) Event {
	var epoch uint64
	var task Task
	var reason, id string
	if d.HasArg("epoch") {
		d.ScanArgs(t, "epoch", &epoch)
	}
	if d.HasArg("task") {
		task = parseTask(t, list(d, "task")[0])
	}
	if d.HasArg("reason") {
		d.ScanArgs(t, "reason", &reason)
	}
	if d.HasArg("id") {
		d.ScanArgs(t, "id", &id)
	}
	e := stream.Epoch(epoch)
	switch d.Cmd {
	case "start":
		return s.start(t, d)
	case "stop":
		return Stopped{reason}
	case "restart":
		return Restart{}
	case "tick":
		return Tick{}
	case "request":
		r := Request{ID: id, Savepoint: d.HasArg("savepoint"), Stop: d.HasArg("stop")}
		if r.Savepoint {
			r.Path = "file:///sp/" + id
		}
		return r
	case "ack":
		a := Acked{Epoch: e, Task: task, Parts: s.parts(task, list(d, "files")), Savepoint: d.HasArg("savepoint"), AlignMS: 1, SnapshotMS: 2, UploadMS: 3}
		if d.HasArg("wrong") {
			a.Parts[0].Parallelism++
		}
		return a
	case "decline":
		return Declined{Epoch: e, Task: task, Reason: reason}
	case "finish":
		return Finished{task, s.parts(task, nil)}
	case "written":
		return Written{e, fmt.Sprintf("job/chk-%d/manifest", e)}
	case "write-failed":
		return WriteFailed{e, reason}
	case "deleted":
		var epochs []stream.Epoch
		for _, v := range list(d, "epochs") {
			var n uint64
			fmt.Sscan(v, &n) //nolint:errcheck // shown by the transcript
			epochs = append(epochs, stream.Epoch(n))
		}
		return Deleted{epochs, list(d, "files"), reason}
	case "damaged":
		return Damaged{e}
	case "fence":
		return Fenced{}
	}
	t.Fatalf("unknown command %q", d.Cmd)
	return nil
}

func (s *script) start(t *testing.T, d *datadriven.TestData) Started {
	e := Started{Upstream: map[Task][]Task{}}
	s.par = map[int]int{}
	for _, v := range list(d, "tasks") {
		task := parseTask(t, v)
		for _, up := range e.Tasks {
			if up.Vertex == task.Vertex-1 {
				e.Upstream[task] = append(e.Upstream[task], up)
			}
		}
		e.Tasks = append(e.Tasks, task)
		s.par[task.Vertex]++
	}
	return e
}

func (s *script) parts(task Task, files []string) []TaskPart {
	return testParts(task, s.par[task.Vertex], files)
}

func testParts(task Task, parallelism int, files []string) []TaskPart {
	p := TaskPart{
		Operator: fmt.Sprintf("op%d", task.Vertex), Parallelism: parallelism, MaxParallelism: 8,
		State: TaskState{Index: task.Index, Range: stream.RangeOf(task.Index, 8, parallelism)},
	}
	for _, f := range files {
		p.State.Files = append(p.State.Files, File{Path: f, Name: f, SizeBytes: 10})
	}
	return []TaskPart{p}
}

func list(d *datadriven.TestData, key string) []string {
	for _, a := range d.CmdArgs {
		if a.Key == key {
			return a.Vals
		}
	}
	return nil
}

func parseTask(t *testing.T, v string) (task Task) {
	t.Helper()
	if _, err := fmt.Sscanf(v, "%d/%d", &task.Vertex, &task.Index); err != nil {
		t.Fatalf("task %q: %v", v, err)
	}
	return task
}

func commandsText(cmds []Command) string {
	var b strings.Builder
	for _, c := range cmds {
		switch c := c.(type) {
		case Trigger:
			fmt.Fprintf(&b, "trigger %d at %v", c.Barrier.Epoch, c.Tasks)
			if c.Barrier.Savepoint {
				fmt.Fprintf(&b, " savepoint %s", c.Path)
			}
			if c.Barrier.Stop {
				b.WriteString(" stop")
			}
		case Abort:
			fmt.Fprintf(&b, "abort %d at %v: %s", c.Epoch, c.Tasks, c.Reason)
		case WriteManifest:
			var files []string
			c.Manifest.Files(func(f *File) { files = append(files, f.Path) })
			fmt.Fprintf(&b, "write manifest %d of %d operators, files %v %s", c.Manifest.Epoch, len(c.Manifest.Operators), files, c.Path)
		case Commit:
			fmt.Fprintf(&b, "commit %d at %v savepoint=%t stop=%t", c.Epoch, c.Tasks, c.Savepoint, c.Stop)
		case Delete:
			fmt.Fprintf(&b, "delete epochs %v, files %v", c.Epochs, c.Files)
		case Restore:
			what := "nothing"
			if c.Manifest != nil {
				what = fmt.Sprint("epoch ", c.Manifest.Epoch)
			}
			fmt.Fprintf(&b, "restore %s", what)
		case RequestDone:
			fmt.Fprintf(&b, "request %s done: epoch %d at %s", c.ID, c.Epoch, c.Path)
		case RequestFailed:
			fmt.Fprintf(&b, "request %s failed: %s", c.ID, c.Reason)
		case FailJob:
			fmt.Fprintf(&b, "fail job: %s", c.Reason)
		}
		b.WriteString("\n")
	}
	out := b.String()
	lines := strings.Split(out, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return l == "" }), "\n") + map[bool]string{true: "\n"}[out != ""]
}
