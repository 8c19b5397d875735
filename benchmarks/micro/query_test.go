package micro

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/state/pebble"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/invariants"
)

const (
	calcTables = `
CREATE TABLE untimed (sensor STRING, ts TIMESTAMP_LTZ(3), temp DOUBLE, hum INT) WITH ('connector' = 'load');
CREATE TABLE o (sensor STRING, fahrenheit DOUBLE, hum INT) WITH ('connector' = 'blackhole');`
	// calcSQL lets half of the rows through; sharedSQL too, and computes a column that its filter has computed; alertSQL lets none through.
	calcSQL   = calcTables + `INSERT INTO o SELECT sensor, temp * 1.8 + 32, hum FROM untimed WHERE hum >= 50;`
	sharedSQL = calcTables + `INSERT INTO o SELECT sensor, temp * 1.8 + 32, hum FROM untimed WHERE temp * 1.8 + 32 > 122;`
	alertSQL  = calcTables + `INSERT INTO o SELECT sensor, temp * 1.8 + 32, hum FROM untimed WHERE hum > 100;`
	windowSQL = `
CREATE TABLE o (sensor STRING, window_start TIMESTAMP(3), average DOUBLE, n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO o SELECT sensor, window_start, AVG(temp), COUNT(*) FROM TABLE(%s) GROUP BY sensor, window_start, window_end;`
	groupSQL = `
CREATE TABLE o (sensor STRING, average DOUBLE, n BIGINT, PRIMARY KEY (sensor) NOT ENFORCED) WITH ('connector' = 'blackhole');
INSERT INTO o SELECT sensor, AVG(temp), COUNT(*) FROM readings GROUP BY sensor;`
)

func tumble(size string) string {
	return fmt.Sprintf(windowSQL, "TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL "+size+")")
}

func hop(slide, size string) string {
	return fmt.Sprintf(windowSQL, fmt.Sprintf("HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL %s, INTERVAL %s)", slide, size))
}

func session(gap string) string {
	return fmt.Sprintf(windowSQL, "SESSION(TABLE readings PARTITION BY sensor, DESCRIPTOR(ts), INTERVAL "+gap+")")
}

// encodings runs f with sensors in a dictionary and as plain strings.
func encodings(b *testing.B, f func(b *testing.B, dict bool)) {
	b.Helper()
	for _, dict := range []bool{true, false} {
		b.Run(map[bool]string{true: "dict", false: "plain"}[dict], func(b *testing.B) { f(b, dict) })
	}
}

// BenchmarkCalc is a filter and a projection.
func BenchmarkCalc(b *testing.B) {
	for _, c := range []struct{ name, query string }{{"half-passes", calcSQL}, {"shared", sharedSQL}, {"none-passes", alertSQL}} {
		b.Run(c.name, func(b *testing.B) { bench(b, newLoad(1000, true), c.query, settings{}) })
	}
}

// BenchmarkTumble averages and counts 1,000 keys in windows of 10 s: watermark, local aggregation, global aggregation.
func BenchmarkTumble(b *testing.B) {
	encodings(b, func(b *testing.B, dict bool) { bench(b, newLoad(1000, dict), tumble("'10' SECOND"), settings{}) })
}

// BenchmarkHop has a slide of 10 s; what windows overlap must cost nothing by row.
func BenchmarkHop(b *testing.B) {
	for _, overlap := range []int{1, 6, 60, 360} {
		b.Run(fmt.Sprintf("overlap-%d", overlap), func(b *testing.B) {
			size := fmt.Sprintf("'%d' SECOND(5)", 10*overlap)
			bench(b, newLoad(1000, true), hop("'10' SECOND", size), settings{})
		})
	}
}

// BenchmarkSession has sessions that go on and on, and the worst case, in which each row is one.
func BenchmarkSession(b *testing.B) {
	b.Run("going-on", func(b *testing.B) { bench(b, newLoad(1000, true), session("'10' SECOND"), settings{}) })
	b.Run("of-one-row", func(b *testing.B) { bench(b, newLoad(1000, true), session("'0.010' SECOND"), settings{}) })
}

// BenchmarkGroup aggregates without windows: a changed key is emitted once a batch.
func BenchmarkGroup(b *testing.B) {
	for _, keys := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprintf("keys-%d", keys), func(b *testing.B) {
			bench(b, newLoad(short(keys), false), groupSQL, settings{memory: 512 << 20, store: onDisk(b)})
		})
	}
}

// short is fewer keys when benchmarks only have to show that they run.
func short(keys int) int {
	if testing.Short() {
		return min(keys, 100_000)
	}
	return keys
}

// BenchmarkSpill has state that does not fit into memory: 1 M keys in 16 MiB, of which each row takes the one that was not seen for longest.
func BenchmarkSpill(b *testing.B) {
	memory := int64(16 << 20)
	if testing.Short() {
		memory = 1 << 20
	}
	for _, c := range []struct{ name, query string }{{"tumble", tumble("'1' HOUR")}, {"group", groupSQL}} {
		b.Run(c.name, func(b *testing.B) {
			bench(b, newLoad(short(1_000_000), false), c.query, settings{memory: memory, store: onDisk(b)})
		})
	}
}

// onDisk opens stores below a directory of the benchmark's, which outlives them.
func onDisk(b *testing.B) func(state.MergeFunc) (state.Store, error) {
	dir, n := b.TempDir(), 0
	return func(m state.MergeFunc) (state.Store, error) {
		n++
		s, err := pebble.Open(pebble.Options{Dir: filepath.Join(dir, fmt.Sprint(n)), Instance: "bench", Merge: m, MemoryBytes: 8 << 20})
		if err == nil {
			b.Cleanup(func() { _ = s.Close() }) // what it holds is not looked at any more
		}
		return s, err
	}
}

// TestSteadyStateDoesNotAllocate: once warm, rows go through these queries without an allocation.
func TestSteadyStateDoesNotAllocate(t *testing.T) {
	if invariants.Enabled {
		t.Skip("checks allocate")
	}
	for _, c := range []struct{ name, query string }{
		{"calc", calcSQL}, {"tumble", tumble("'1' SECOND")}, {"hop", hop("'1' SECOND", "'6' SECOND")}, {"group", groupSQL},
	} {
		for _, dict := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/dict=%v", c.name, dict), func(t *testing.T) {
				ch := newChain(t, newLoad(1000, dict), c.query, settings{})
				// 12 s of event time, in which windows fire too
				for range 12_000 * rowsPerMS / vec.MaxRows {
					ch.step()
				}
				if n := testing.AllocsPerRun(200, ch.step); n != 0 {
					t.Errorf("%v allocations a batch of %d rows", n, vec.MaxRows)
				}
				if ch.links[len(ch.links)-1].rows == 0 {
					t.Error("nothing came out")
				}
			})
		}
	}
}
