package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"time"

	"github.com/bramble-stream/bramble/benchmarks/nexmark"
	"github.com/bramble-stream/bramble/internal/bench"
)

const mib = 1 << 20

// readings is the table that the jobs here read.
const readings = `CREATE TABLE readings (sensor STRING, id BIGINT, ts TIMESTAMP_LTZ(3), temp DOUBLE, hum INT, WATERMARK FOR ts AS ts)
WITH ('connector' = 'load', %s);
`

// overlap looks what it costs when windows overlap: the same rows, windows of 10 s to an hour that each begin every 10 s.
func overlap(ctx context.Context, c *config, out func(string, float64, string, string)) error {
	r, err := cluster(ctx, c, 512*mib, 1)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // all was measured
	overlaps := []int{1, 6, 60, 360}
	best := make([]float64, len(overlaps))
	rows := c.rows(20_000_000)
	for round := range 3 {
		for i, n := range overlaps {
			script := fmt.Sprintf(readings, fmt.Sprintf("'rows' = '%d', 'per-ms' = '200'", rows)) + fmt.Sprintf(`
CREATE TABLE out_rows (sensor STRING, w TIMESTAMP(3), a DOUBLE, c BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO out_rows SELECT sensor, window_end, AVG(temp), COUNT(*) FROM TABLE(HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '%d' SECOND))
GROUP BY sensor, window_start, window_end;`, 10*n)
			m, err := r.Run(ctx, &bench.Phase{File: "overlap.sql", Script: script, Parallelism: 1, Events: rows, Profile: c.profileOf(fmt.Sprintf("overlap-%d-%d", n, round))}, nil, nil, nil)
			if err != nil {
				return err
			}
			if m.Events != rows {
				return fmt.Errorf("%d of %d rows were read", m.Events, rows)
			}
			best[i] = max(best[i], perCPU(m))
		}
	}
	for i, n := range overlaps {
		out(fmt.Sprintf("HOP 10 s, %d windows a row", n), best[i], "Mrows/cpu-s", fmt.Sprintf("loss %.1f %%", 100*(1-best[i]/best[0])))
	}
	return nil
}

// checkpoints runs the same jobs with checkpoints every second and without, in turn.
func checkpoints(ctx context.Context, c *config, out func(string, float64, string, string)) error {
	r, err := cluster(ctx, c, 512*mib, 1)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // all was measured
	for _, j := range []struct {
		name string
		keys int64
		rows int64
		sql  string
	}{
		{"10 s window, 1,000 keys", 1000, 200_000_000, `CREATE TABLE out_rows (id BIGINT, a DOUBLE, c BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO out_rows SELECT id, AVG(temp), COUNT(*) FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY id, window_start, window_end;`},
		{"GROUP BY, 100,000 keys", 100_000, 20_000_000, `CREATE TABLE out_rows (id BIGINT, a DOUBLE, c BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO out_rows SELECT id, AVG(temp), COUNT(*) FROM readings GROUP BY id;`},
	} {
		rows := c.rows(j.rows)
		script := fmt.Sprintf(readings, fmt.Sprintf("'rows' = '%d', 'keys' = '%d', 'per-ms' = '2000'", rows, j.keys)) + j.sql
		var best [2]float64
		var last *bench.Measured
		for i := range 6 {
			ph := &bench.Phase{File: "checkpoint.sql", Script: script, Parallelism: 1, Events: rows}
			if i%2 == 1 {
				ph.Checkpoint = time.Second
				ph.Profile = c.profileOf(fmt.Sprintf("checkpoint-%d-%d", j.keys, i))
			}
			m, err := r.Run(ctx, ph, nil, nil, nil)
			if err != nil {
				return err
			}
			if m.Events != rows || m.Failed > 0 {
				return fmt.Errorf("%d of %d rows were read, %d checkpoints failed", m.Events, rows, m.Failed)
			}
			best[i%2] = max(best[i%2], perCPU(m))
			if i%2 == 1 {
				last = m
			}
		}
		out(j.name+", no checkpoints", best[0], "Mrows/cpu-s", "")
		out(j.name+", every second", best[1], "Mrows/cpu-s",
			fmt.Sprintf("loss %.1f %%, %d of %s and %.1f MB in the last run", 100*(1-best[1]/best[0]), last.Checkpoints, last.CheckpointTime, float64(last.CheckpointBytes)/1e6))
	}
	return nil
}

// latency asks for the slowest results of a window that ends every 20 ms, of 10,000 keys, at half a million events a second, with checkpoints.
func latency(ctx context.Context, c *config, out func(string, float64, string, string)) error {
	r, err := cluster(ctx, c, 512*mib, 2)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // all was measured
	seconds := int64(30)
	if c.short {
		seconds = 2
	}
	for _, x := range []struct {
		rate        int64
		parallelism int
	}{{500_000, 1}, {500_000, 2}, {1_000_000, 2}} {
		if err := latencyAt(ctx, c, r, x.rate, seconds, x.parallelism, out); err != nil {
			return err
		}
	}
	return nil
}

func latencyAt(ctx context.Context, c *config, r *bench.Runner, rate, seconds int64, parallelism int, out func(string, float64, string, string)) error {
	script := fmt.Sprintf(readings, fmt.Sprintf("'rows' = '%d', 'keys' = '10000', 'rate' = '%d'", seconds*rate, rate)) + `
SET 'execution.buffer-timeout' = '1 ms';
CREATE TABLE out_rows (id BIGINT, window_end TIMESTAMP(3), a DOUBLE, c BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO out_rows SELECT id, window_end, AVG(temp), COUNT(*) FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '0.020' SECOND))
GROUP BY id, window_start, window_end;`
	bare := watchTimer(ctx)
	m, err := r.Run(ctx, &bench.Phase{
		File: "latency.sql", Script: script, Parallelism: parallelism, Events: seconds * rate, Rate: rate, DueColumn: "window_end", Checkpoint: 5 * time.Second,
		Profile: c.profileOf(fmt.Sprintf("latency-%d-%d", rate, parallelism)),
	}, nil, nil, nil)
	timer := bare()
	if err != nil {
		return err
	}
	if m.Events != seconds*rate || m.Latency.Count() == 0 {
		return fmt.Errorf("%d events, %d results", m.Events, m.Latency.Count())
	}
	ms := func(q float64) float64 { return float64(m.Latency.Quantile(q)) / 1e6 }
	out(fmt.Sprintf("20 ms window, %d/s, parallelism %d, p99.99", rate, parallelism), ms(0.9999), "ms",
		fmt.Sprintf("a bare timer's %.2f; p50 %.2f, p99 %.2f, p99.9 %.2f, max %.2f ms of %d results; %d checkpoints of %s; %.2f cores", float64(timer.Quantile(0.9999))/1e6, ms(0.5), ms(0.99), ms(0.999),
			float64(m.Latency.Max())/1e6, m.Latency.Count(), m.Checkpoints, m.CheckpointTime, m.CPU.Seconds()/m.Elapsed.Seconds()))
	return nil
}

// watchTimer looks, until the function that it returns is called, how late a goroutine wakes that does nothing but wait for the next millisecond: what the machine does
// to everybody.
func watchTimer(ctx context.Context) func() *bench.Histogram {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan *bench.Histogram)
	go func() {
		h := &bench.Histogram{}
		began := time.Now()
		for due := time.Millisecond; ctx.Err() == nil; due += time.Millisecond {
			time.Sleep(due - time.Since(began))
			h.Add(int64(time.Since(began)-due), 1)
		}
		done <- h
	}()
	return func() *bench.Histogram {
		cancel()
		return <-done
	}
}

// allocs counts what the last three quarters of the events take from the heap.
func allocs(ctx context.Context, c *config, out func(string, float64, string, string)) error {
	r, err := cluster(ctx, c, 512*mib, 2)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // all was measured
	events := c.rows(2_000_000)
	for _, q := range nexmark.Queries() {
		script, err := nexmark.Script(q, events, 100_000, "")
		if err != nil {
			return err
		}
		m, err := r.Run(ctx, &bench.Phase{File: q + ".sql", Script: script, Parallelism: 2, Events: events, Checkpoint: 10 * time.Second, Profile: c.profileOf("allocs-" + q)}, nil, nil, nil)
		var refused *bench.RefusedError
		if errors.As(err, &refused) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
		out(q, m.AllocsPerEvent, "allocs/event", fmt.Sprintf("%.1f bytes an event", m.AllocBytesPerEvent))
	}
	return nil
}

// start looks how long it takes from the start of the program to the first row of a job, with a cluster in the process.
func start(ctx context.Context, c *config, out func(string, float64, string, string)) error {
	path, err := buildBramble(ctx, c)
	if err != nil {
		return err
	}
	script, err := nexmark.Script("q0", 1000, 100_000, "print")
	if err != nil {
		return err
	}
	file := c.dir + "/start.sql"
	if err := writeFile(file, script); err != nil {
		return err
	}
	rounds := 10
	if c.short {
		rounds = 2
	}
	var first, whole []float64
	for range rounds {
		a, b, err := startOnce(ctx, path, file)
		if err != nil {
			return err
		}
		first, whole = append(first, a.Seconds()*1000), append(whole, b.Seconds()*1000)
	}
	slices.Sort(first)
	slices.Sort(whole)
	out("bramble run, to the first row, median", first[rounds/2], "ms", fmt.Sprintf("best %.0f, worst %.0f of %d", first[0], first[rounds-1], rounds))
	out("bramble run, to the end of 1,000 events", whole[rounds/2], "ms", "")
	return nil
}

func startOnce(ctx context.Context, path, file string) (first, whole time.Duration, err error) {
	cmd := exec.CommandContext(ctx, path, "run", file)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	sc := bufio.NewScanner(stdout)
	for sc.Scan() {
		if first == 0 {
			first = time.Since(began)
		}
	}
	if err := cmd.Wait(); err != nil {
		return 0, 0, err
	}
	if first == 0 {
		return 0, 0, errors.New("no row came out")
	}
	return first, time.Since(began), nil
}

// bigState runs a window over more keys than the memory holds.
func bigState(ctx context.Context, c *config, out func(string, float64, string, string)) error {
	rows, keys := c.rows(10_000_000), c.rows(10_000_000)
	for _, j := range []struct {
		spread string
		memory int64
		name   string
		suffix string
	}{
		{"zipf", 64 * mib, "Zipf 0.99, in 64 MiB", ""}, {"uniform", 64 * mib, "uniform, in 64 MiB", ""}, {"zipf", 2048 * mib, "Zipf 0.99, all in memory", ""},
	} {
		r, err := cluster(ctx, c, j.memory, 1)
		if err != nil {
			return err
		}
		script := fmt.Sprintf(readings, fmt.Sprintf("'rows' = '%d', 'keys' = '%d', 'spread' = '%s', 'per-ms' = '20000'", rows, keys, j.spread)) + `
CREATE TABLE out_rows (id BIGINT, a DOUBLE, c BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO out_rows SELECT id, AVG(temp), COUNT(*) AS readings FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY id, window_start, window_end;`
		m, err := r.Run(ctx, &bench.Phase{
			File: "state.sql", Script: script, Parallelism: 1, Events: rows, Sums: true, Checkpoint: 10 * time.Second,
			Profile: c.profileOf("state-" + j.spread),
		}, nil, nil, nil)
		if cerr := r.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
		if got := m.Sums.Columns["c"]; got != rows {
			return fmt.Errorf("%s: the windows count %d of %d rows", j.name, got, rows)
		}
		out(j.name, perCPU(m), "Mrows/cpu-s", fmt.Sprintf("%d rows, %d of %d keys came, %.1f s, peak %d MiB", rows, m.Sums.Rows, keys, m.Elapsed.Seconds(), m.PeakBytes>>20))
	}
	return nil
}
