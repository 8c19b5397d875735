package watermark

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/op/optest"
	"github.com/bramble-stream/bramble/engine/vec"
)

var schema = optest.Schema("id STRING, ts TIMESTAMP_LTZ")

func column() *expr.Expr { return expr.Column(1, "ts", vec.TypeTimestampLTZ) }

// single is a config for scripts whose watermarks depend on where batches end: one row a batch.
func single() []optest.Config {
	var cs []optest.Config
	for _, c := range optest.Configs() {
		if c.Batch == 1 && c.Restore == optest.NoRestore {
			cs = append(cs, c)
		}
	}
	return cs
}

// eager flushes after each row, so that watermarks show where they are made.
func eager(script string) string {
	control := []string{"wm", "idle", "active", "clock", "barrier", "flush", "split", "endsplit", "end", "#"}
	var b strings.Builder
	for line := range strings.Lines(script) {
		b.WriteString(line)
		if f := strings.Fields(line); len(f) > 0 && !slices.Contains(control, f[0]) {
			b.WriteString("\nflush\n")
		}
	}
	return b.String()
}

func run(t *testing.T, spec graph.WatermarkSpec, c optest.Case) {
	t.Helper()
	spec.TimeCol = 1
	if spec.Expr == nil {
		spec.Expr = column()
	}
	c.In, c.Out = schema, schema
	c.New = func() (op.Operator, error) { return New(spec, schema, schema) }
	if c.Configs == nil {
		c.Configs = single()
	}
	c.Compare = optest.Sequence
	optest.Run(t, c)
}

func TestDefers(t *testing.T) {
	run(t, graph.WatermarkSpec{}, optest.Case{
		Name: "defers",
		Script: `
			a, 1000
			b, 1002
			# ahead of all watermarks so far: they wait
			c, 3000
			flush
			d, 4000
			e, 5000
			# windows that end at 5001 may be closed by 5000
			f, 5001
			g, 4500
			# it goes before the barrier
			h, 6000
			barrier
			i, 7000
			end`,
		Want: `
			a, 1000
			b, 1002
			c, 3000
			wm 3000
			d, 4000
			e, 5000
			wm 5000
			f, 5001
			wm 5001
			g, 4500
			h, 6000
			wm 6000
			i, 7000
			wm max`,
	})
}

// TestDefersNotForEver: an input that never pauses still moves time on.
func TestDefersNotForEver(t *testing.T) {
	var script, want strings.Builder
	for i := range 2*deferMax + 1 {
		fmt.Fprintf(&script, "a, %d\n", i*10)
		fmt.Fprintf(&want, "a, %d\n", i*10)
		if i%deferMax == deferMax-1 {
			fmt.Fprintf(&want, "wm %d\n", i*10)
		}
	}
	run(t, graph.WatermarkSpec{}, optest.Case{Name: "defers not for ever", Script: script.String(), Want: want.String()})
}

// TestExpressions: the highest watermark is found whether or not it is known to be the latest row's.
func TestExpressions(t *testing.T) {
	second := expr.Lit(vec.Type{Kind: vec.IntervalDT}, "1000")
	minus, err := expr.Call("-", column(), second)
	if err != nil {
		t.Fatal(err)
	}
	least, err := expr.Call("LEAST", column(), column())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		e    *expr.Expr
		want string
	}{{minus, "wm 2000"}, {least, "wm 3000"}, {column(), "wm 3000"}} {
		run(t, graph.WatermarkSpec{Expr: c.e}, optest.Case{
			Name: c.e.String(), Configs: []optest.Config{optest.Default()}, Bad: 1,
			Script: `
				a, 1000
				b, 3000
				c, NULL
				d, 2000
				flush
				end`,
			Want: "a, 1000\nb, 3000\nd, 2000\n" + c.want + "\nwm max",
		})
	}
}

func TestAscends(t *testing.T) {
	run(t, graph.WatermarkSpec{}, optest.Case{
		Name: "ascends",
		Script: eager(`
			a, 1000
			b, 3000
			c, 2000
			d, 3000
			e, 3001
			end`),
		Want: `
			a, 1000
			wm 1000
			b, 3000
			wm 3000
			c, 2000
			d, 3000
			e, 3001
			wm 3001
			wm max`,
	})
}

func TestOncePerBatch(t *testing.T) {
	run(t, graph.WatermarkSpec{}, optest.Case{
		Name:    "once a batch",
		Configs: []optest.Config{optest.Default()},
		Script: `
			a, 1000
			b, 3000
			c, 2000
			flush
			d, 4000
			flush
			end`,
		Want: `
			a, 1000
			b, 3000
			c, 2000
			wm 3000
			d, 4000
			wm 4000
			wm max`,
	})
}

func TestRefuses(t *testing.T) {
	run(t, graph.WatermarkSpec{MaxFutureMS: 5000}, optest.Case{
		Name: "refuses", Start: 10_000, Bad: 3, SideTags: []string{"bad"},
		Script: eager(`
			a, 15000
			b, NULL
			c, 15001
			d, 9223372036854775807
			clock 10001
			e, 15001
			end`),
		Want: `
			a, 15000
			wm 15000
			e, 15001
			wm 15001
			wm max`,
		Side: `
			bad: test, time attribute is NULL, aWQ9YiwgdHM9TlVMTA==, 10000
			bad: test, time attribute is too far in the future, aWQ9YywgdHM9MTk3MC0wMS0wMSAwMDowMDoxNS4wMDE=, 10000
			bad: test, time attribute is too far in the future, aWQ9ZCwgdHM9MjkyMjc4OTk0LTA4LTE3IDA3OjEyOjU1LjgwNw==, 10000`,
	})
}

// TestClockFloor: no row is ahead of a clock that is certainly wrong; when it has been set, rows are judged by it again.
func TestClockFloor(t *testing.T) {
	run(t, graph.WatermarkSpec{MaxFutureMS: 5000}, optest.Case{
		Name: "clock floor", Start: 10, ClockFloor: 50_000, Bad: 1,
		Script: eager(`
			a, 60000
			clock 50000
			b, 55001
			c, 55000
			end`),
		Want: `
			a, 60000
			wm 60000
			c, 55000
			wm max`,
	})
}

func TestSplits(t *testing.T) {
	run(t, graph.WatermarkSpec{}, optest.Case{
		Name: "minimum over splits", Splits: 3,
		Script: eager(`
			split 0
			a, 1000
			split 1
			b, 5000
			split 2
			c, 3000
			split 0
			d, 4000
			endsplit 2
			split 0
			e, 9000
			endsplit 1
			end`),
		Want: `
			a, 1000
			b, 5000
			c, 3000
			wm 1000
			d, 4000
			wm 3000
			wm 4000
			e, 9000
			wm 5000
			wm 9000
			wm max`,
	})
}

func TestIdleSplits(t *testing.T) {
	run(t, graph.WatermarkSpec{IdleMS: 1000}, optest.Case{
		Name: "idle splits", Splits: 2,
		Script: eager(`
			split 0
			a, 100
			clock 900
			split 0
			b, 200
			clock 999
			# split 1 has been silent since 0 (the first row): it holds nobody back from 1000 on
			clock 1000
			split 0
			c, 300
			# everything is silent
			clock 2100
			# back, behind what was promised: time does not go back
			split 1
			d, 250
			split 0
			e, 400
			split 1
			f, 350
			end`),
		Want: `
			a, 100
			b, 200
			wm 200
			c, 300
			wm 300
			idle
			active
			d, 250
			e, 400
			f, 350
			wm 350
			wm max`,
	})
}

func TestNoSplits(t *testing.T) {
	run(t, graph.WatermarkSpec{}, optest.Case{
		Name: "no splits", Splits: -1,
		Script: "clock 1\nclock 2\nend",
		Want:   "idle\nwm max",
	})
}

func TestFallback(t *testing.T) {
	run(t, graph.WatermarkSpec{FallbackMS: 2000}, optest.Case{
		Name: "fallback", Start: 100_000,
		Script: eager(`
			# nothing has come yet: nothing waits
			clock 110000
			a, 109000
			clock 111999
			clock 112000
			clock 112400
			b, 112300
			c, 50
			end`),
		Want: `
			a, 109000
			wm 109000
			wm 110000
			wm 110200
			wm 110400
			b, 112300
			wm 112300
			c, 50
			wm max`,
	})
}

func TestFallbackOfOneSplit(t *testing.T) {
	run(t, graph.WatermarkSpec{FallbackMS: 2000, IdleMS: 500}, optest.Case{
		Name: "fallback of one split", Start: 10_000, Splits: 2,
		Script: eager(`
			split 0
			a, 9000
			split 1
			b, 9100
			clock 10500
			clock 11999
			clock 12200
			split 0
			c, 12150
			end`),
		Want: `
			a, 9000
			b, 9100
			wm 9000
			idle
			active
			wm 10000
			wm 10200
			c, 12150
			wm 12150
			wm max`,
	})
}

func TestLocalZone(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	in := optest.Schema("id STRING, ts TIMESTAMP")
	const now = 1_700_000_000_000 // winter: UTC+1
	optest.Run(t, optest.Case{
		Name: "local zone", In: in, Out: in, Start: now, Location: berlin, Configs: single(), Bad: 1,
		New: func() (op.Operator, error) {
			return New(graph.WatermarkSpec{
				TimeCol: 1, Expr: expr.Column(1, "ts", vec.TypeTimestamp), MaxFutureMS: 1000, FallbackMS: 10_000, LocalZone: true,
			}, in, in)
		},
		Script: `
			a, 1700003601000
			b, 1700003601001
			flush
			clock 1700000010000`,
		Want: `
			a, 1700003601000
			wm 1700003601000`,
	})
}

func TestRestoredGoesOn(t *testing.T) {
	var cs []optest.Config
	for _, c := range optest.Configs() {
		if c.Batch == 1 {
			cs = append(cs, c)
		}
	}
	run(t, graph.WatermarkSpec{FallbackMS: 1000}, optest.Case{
		Name: "restored goes on", Configs: cs,
		Script: eager(`
			a, 100
			barrier
			b, 50
			c, 120
			clock 1000
			end`),
		Want: `
			a, 100
			wm 100
			b, 50
			c, 120
			wm 120
			wm max`,
	})
}

func TestNewRefuses(t *testing.T) {
	for _, spec := range []graph.WatermarkSpec{
		{TimeCol: 2, Expr: column()},
		{TimeCol: -1, Expr: column()},
		{TimeCol: 0, Expr: column()},
		{TimeCol: 1},
		{TimeCol: 1, Expr: expr.Column(0, "id", vec.TypeString)},
	} {
		if _, err := New(spec, schema, schema); err == nil {
			t.Errorf("%+v: no error", spec)
		}
	}
}
