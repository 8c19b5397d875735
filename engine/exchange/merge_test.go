package exchange

import (
	"fmt"
	"math"
	"strconv"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/bramble-stream/bramble/engine/stream"
)

func TestMerger(t *testing.T) {
	var m *Merger
	datadriven.RunTest(t, "testdata/merge", func(t *testing.T, d *datadriven.TestData) string {
		var in int
		var at string
		var c Change
		if d.Cmd == "new" {
			d.ScanArgs(t, "channels", &in)
			m = NewMerger(in)
			return ""
		}
		d.ScanArgs(t, "in", &in)
		switch d.Cmd {
		case "wm":
			d.ScanArgs(t, "t", &at)
			wm := int64(math.MaxInt64)
			if at != "max" {
				wm, _ = strconv.ParseInt(at, 10, 64)
			}
			c = m.OnWatermark(in, wm)
		case "idle":
			c = m.OnIdle(in)
		case "batch":
			c = m.OnBatch(in)
		case "end":
			c = m.OnEnd(in)
		default:
			t.Fatalf("unknown command %q", d.Cmd)
		}
		s := ""
		if c.IdleChanged && !c.Idle {
			s += "active\n"
		}
		if c.Advanced {
			if c.Watermark == stream.MaxTime {
				s += "watermark max\n"
			} else {
				s += fmt.Sprintf("watermark %d\n", c.Watermark)
			}
		}
		if c.IdleChanged && c.Idle {
			s += "idle\n"
		}
		return s
	})
}

// TestMergerNeverGoesBack: whatever happens, watermarks ascend, none is ahead of the best channel, and the end comes once all ended.
func TestMergerNeverGoesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 4).Draw(t, "channels")
		m := NewMerger(n)
		last, best := stream.MinTime, stream.MinTime
		check := func(c Change) {
			if c.Advanced {
				if c.Watermark <= last || c.Watermark > best {
					t.Fatalf("watermark %d after %d, best %d", c.Watermark, last, best)
				}
				last = c.Watermark
			}
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			ch := rapid.IntRange(0, n-1).Draw(t, "ch")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				check(m.OnIdle(ch))
			case 1:
				check(m.OnBatch(ch))
			default:
				wm := rapid.Int64Range(0, 50).Draw(t, "wm")
				best = max(best, wm)
				check(m.OnWatermark(ch, wm))
			}
		}
		best = stream.MaxTime
		for ch := range n {
			check(m.OnEnd(ch))
			if (last == stream.MaxTime) != (ch == n-1) {
				t.Fatalf("watermark %d after %d of %d ended", last, ch+1, n)
			}
		}
	})
}
