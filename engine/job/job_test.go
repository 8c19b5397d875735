package job

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/bramble-stream/bramble/engine/stream"
)

// TestTranscripts plays events to a job, one a directive, and shows commands and what became of the job.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var j *Job
		now := stream.Time(1000)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			now += 10
			if d.HasArg("after") {
				var ms int64
				d.ScanArgs(t, "after", &ms)
				now += ms
			}
			if d.Cmd == "new" {
				var parallelism []int
				for _, arg := range d.CmdArgs {
					var p int
					if len(arg.Vals) > 0 {
						continue
					}
					if _, err := fmt.Sscan(arg.Key, &p); err != nil {
						d.Fatalf(t, "%v", err)
					}
					parallelism = append(parallelism, p)
				}
				s, err := ParseStrategy(config(d), d.HasArg("checkpoints"))
				if err != nil {
					return err.Error() + "\n"
				}
				j = New(now, parallelism, Limits{DeployMS: 60_000, CancelMS: 30_000}, s)
				return show(j, nil)
			}
			if d.Cmd == "final" {
				j.Final(strings.TrimSpace(d.Input))
				return show(j, nil)
			}
			return show(j, j.Step(now, event(t, d)))
		})
	})
}

// config reads options, one a line: key=value.
func config(d *datadriven.TestData) map[string]string {
	c := map[string]string{}
	for line := range strings.Lines(d.Input) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			c["restart-strategy."+k] = v
		}
	}
	return c
}

func event(t *testing.T, d *datadriven.TestData) Event {
	failure := func() *Failure {
		var msg string
		if !d.HasArg("failure") {
			return nil
		}
		d.ScanArgs(t, "failure", &msg)
		f := &Failure{Message: msg, Secondary: d.HasArg("secondary")}
		if d.HasArg("task") {
			f.HasTask = true
			d.ScanArgs(t, "task", &f.Task.Vertex, &f.Task.Index)
		}
		return f
	}
	var tm string
	if d.HasArg("tm") {
		d.ScanArgs(t, "tm", &tm)
	}
	switch d.Cmd {
	case "prepared":
		return Prepared{Failure: failure()}
	case "short":
		return Short{Reason: d.Input}
	case "placed":
		var all [][]string
		for _, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
			all = append(all, strings.Fields(line))
		}
		return Placed{all}
	case "deployed":
		return Deployed{tm, failure()}
	case "task":
		var e TaskChanged
		d.ScanArgs(t, "task", &e.Task.Vertex, &e.Task.Index)
		var name string
		d.ScanArgs(t, "is", &name)
		for s, n := range taskStateNames {
			if n == name {
				e.State = TaskState(s)
			}
		}
		e.Failure = failure()
		return e
	case "lost":
		return Lost{tm, "connection closed"}
	case "cancel":
		return Cancel{}
	case "replan":
		return Replan{}
	case "fault":
		return Fault{*failure()}
	case "tick":
		return Tick{}
	}
	d.Fatalf(t, "unknown directive %s", d.Cmd)
	return nil
}

func show(j *Job, cmds []Command) string {
	var b strings.Builder
	for _, c := range cmds {
		fmt.Fprintf(&b, "do %s %v\n", strings.TrimPrefix(fmt.Sprintf("%T", c), "job."), c)
	}
	b.WriteString(j.State().String())
	if w := j.Waiting(); w != "" {
		fmt.Fprintf(&b, " (%s)", w)
	}
	if d := j.Deadline(); d != stream.MaxTime {
		fmt.Fprintf(&b, " until %d", d)
	}
	b.WriteString("\n")
	for v, tasks := range j.Tasks() {
		fmt.Fprintf(&b, "  %d:", v)
		for _, t := range tasks {
			fmt.Fprintf(&b, " %s", t.State)
			if t.TaskManager != "" {
				fmt.Fprintf(&b, "@%s", t.TaskManager)
			}
		}
		b.WriteString("\n")
	}
	if j.Attempt() > 1 {
		fmt.Fprintf(&b, "  attempt %d\n", j.Attempt())
	}
	for _, f := range j.Failures() {
		fmt.Fprintf(&b, "  ! %s", f.Message)
		if f.HasTask {
			fmt.Fprintf(&b, " (%d/%d@%s)", f.Task.Vertex, f.Task.Index, f.TaskManager)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestAnyOrder feeds events in any order: the machine never panics, ends at most once, and a cancelled job whose tasks all end has ended.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		strategy := rapid.SampledFrom([]Strategy{
			{},
			{Kind: FixedDelay, Attempts: 2, DelayMS: 10},
			{Kind: FailureRate, FailuresMax: 1, IntervalMS: 1000},
			{Kind: ExponentialDelay, InitialMS: 1000, MaxMS: 60_000, ResetMS: 100_000, Multiplier: 2, Attempts: -1},
		}).Draw(t, "strategy")
		j := New(0, []int{2, 1}, DefaultLimits, strategy)
		ref := func() Ref { return Ref{0, rapid.IntRange(0, 1).Draw(t, "index")} }
		fail := func() *Failure {
			if rapid.Bool().Draw(t, "ok") {
				return nil
			}
			return &Failure{Message: "x", Secondary: rapid.Bool().Draw(t, "secondary")}
		}
		tm := rapid.SampledFrom([]string{"a", "b"})
		ends, now := 0, stream.Time(0)
		step := func(e Event) {
			now += rapid.Int64Range(0, 40_000).Draw(t, "ms")
			for _, c := range j.Step(now, e) {
				if _, ok := c.(End); ok {
					ends++
				}
			}
			if (ends == 1) != j.State().Ended() || ends > 1 {
				t.Fatalf("%d ends in state %s", ends, j.State())
			}
		}
		for range rapid.IntRange(1, 30).Draw(t, "n") {
			switch rapid.IntRange(0, 8).Draw(t, "event") {
			case 0:
				step(Prepared{})
			case 1:
				step(Short{"no"})
			case 2:
				step(Placed{[][]string{{"a", "b"}, {"a"}}})
			case 3:
				step(Deployed{tm.Draw(t, "tm"), fail()})
			case 4, 5:
				step(TaskChanged{ref(), TaskState(rapid.IntRange(0, int(TaskFailed)).Draw(t, "state")), fail()})
			case 6:
				step(Lost{tm.Draw(t, "tm"), ""})
			case 7:
				step(Tick{})
			case 8:
				step(Replan{})
			}
		}
		step(Cancel{})
		for _, r := range []Ref{{0, 0}, {0, 1}, {1, 0}} {
			step(TaskChanged{Task: r, State: TaskCanceled})
		}
		if !j.State().Ended() {
			t.Fatalf("still %s: %s", j.State(), show(j, nil))
		}
	})
}
