package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"
)

// job keeps a count and a sum for each key, and says each change.
const job = `
CREATE TABLE numbers (k BIGINT, n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '%d',
  'fields.k.min' = '0', 'fields.k.max' = '%d', 'fields.n.min' = '1', 'fields.n.max' = '9');
CREATE TABLE totals (k BIGINT, c BIGINT, s BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'blackhole');
INSERT INTO totals SELECT k, COUNT(*), SUM(n) FROM numbers GROUP BY k;
`

// restartSuite kills one of two taskmanagers and starts it again at once.
func restartSuite(ctx context.Context, c config) ([]result, error) {
	var out []result
	for _, local := range []bool{true, false} {
		var all []time.Duration
		var bytes [2]float64
		for range c.rounds {
			d, b, err := restartOnce(ctx, c, local)
			if err != nil {
				return nil, err
			}
			all, bytes = append(all, d), b
		}
		slices.Sort(all)
		name := map[bool]string{true: "with", false: "without"}[local]
		out = append(out, result{
			"restart: kill -9 to the first new result, " + name + " local recovery", all[len(all)/2].Seconds(), "s", 3,
			fmt.Sprintf("%.2f to %.2f; %.0f MB from here, %.0f MB downloaded", all[0].Seconds(), all[len(all)-1].Seconds(), bytes[0]/1e6, bytes[1]/1e6),
		})
	}
	return out, nil
}

// restartOnce returns how long it took, and the bytes that were restored from local files and from storage.
func restartOnce(ctx context.Context, c config, local bool) (took time.Duration, restored [2]float64, err error) {
	cl, err := startCluster(ctx, c, 2, 1)
	if err != nil {
		return 0, restored, err
	}
	defer cl.stop()
	_, err = cl.submit(ctx, fmt.Sprintf(job, c.keys/4, c.keys-1), "-p", "2", "-D", "execution.checkpointing.interval=2 s",
		"-D", "restart-strategy.type=fixed-delay", "-D", "restart-strategy.fixed-delay.attempts=9", "-D", "restart-strategy.fixed-delay.delay=100 ms",
		"-D", fmt.Sprint("execution.state-recovery.from-local=", local))
	if err != nil {
		return 0, restored, err
	}
	// Nineteen keys of twenty have come after three times as many rows.
	err = await(ctx, "the keys", func() bool { return cl.sum(ctx, "bramble_task_records_out_total", "ource") >= 4*float64(c.keys) })
	if err != nil {
		return 0, restored, err
	}
	n := cl.completed(ctx)
	if err := await(ctx, "checkpoints", func() bool { return cl.completed(ctx) >= n+2 }); err != nil {
		return 0, restored, err
	}
	began := time.Now()
	cl.tms[0].end(syscall.SIGKILL)
	if err := cl.tms[0].start(c, c.dir); err != nil {
		return 0, restored, err
	}
	err = await(ctx, "the restart", func() bool { return read(ctx, cl.metrics, "bramble_job_restarts_total", "") > 0 })
	if err == nil {
		err = await(ctx, "a new result", func() bool {
			// The tasks of the attempt before are not counted any more when there is state that is restored.
			return cl.restored(ctx, "") > 0 && cl.sum(ctx, "bramble_task_records_in_total", "ink") > 0
		})
	}
	return time.Since(began), [2]float64{cl.restored(ctx, "local"), cl.restored(ctx, "remote")}, err
}

func (cl *cluster) restored(ctx context.Context, from string) float64 {
	return cl.sum(ctx, "bramble_restored_bytes_total", from)
}

// overheadSuite measures the rate without and with checkpoints in turn, with few and with many keys: all of them change from one checkpoint to the next.
func overheadSuite(ctx context.Context, c config) (out []result, err error) {
	for _, s := range []struct {
		keys int
		aim  float64
	}{{c.keys / 100, 5}, {c.keys / 10, 0}} {
		var rows, cpus [2]float64
		for round := range c.rounds {
			for k := range 2 {
				with := (k + round) % 2 // now the one first, now the other
				r, cpu, err := rateOnce(ctx, c, s.keys, []string{"0", "1 s"}[with])
				if err != nil {
					return nil, err
				}
				rows[with] += r
				cpus[with] += cpu.Seconds()
			}
		}
		perCPU := [2]float64{rows[0] / cpus[0], rows[1] / cpus[1]}
		seconds := float64(c.rounds) * c.measure.Seconds()
		name := fmt.Sprintf("overhead: checkpoints each second, all of %d keys change, ", s.keys)
		out = append(out,
			result{
				name + "CPU", 100 * (1 - perCPU[1]/perCPU[0]), "%", s.aim,
				fmt.Sprintf("%.2f and %.2f M rows a second of CPU; %.2f us for each key", perCPU[0]/1e6, perCPU[1]/1e6,
					(cpus[1]-rows[1]/perCPU[0])/seconds/float64(s.keys)*1e6),
			},
			result{name + "clock", 100 * (1 - rows[1]/rows[0]), "%", 0, fmt.Sprintf("%.2f and %.2f M rows/s", rows[0]/seconds/1e6, rows[1]/seconds/1e6)})
	}
	return out, nil
}

// rateOnce returns the rows that a job took in while it was measured, and the CPU time of its taskmanager.
func rateOnce(ctx context.Context, c config, keys int, interval string) (rows float64, cpu time.Duration, err error) {
	cl, err := startCluster(ctx, c, 1, 1)
	if err != nil {
		return 0, 0, err
	}
	defer cl.stop()
	if _, err := cl.submit(ctx, fmt.Sprintf(job, 0, keys-1), "-D", "execution.checkpointing.interval="+interval); err != nil {
		return 0, 0, err
	}
	count := func() float64 { return cl.sum(ctx, "bramble_task_records_out_total", "ource") }
	if err := await(ctx, "rows", func() bool { return count() > float64(c.keys) }); err != nil {
		return 0, 0, err
	}
	pause := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	pause(2 * time.Second)
	before, err := cl.tms[0].cpu()
	if err != nil {
		return 0, 0, err
	}
	rows = -count()
	pause(c.measure)
	rows += count()
	after, err := cl.tms[0].cpu()
	if err == nil && !strings.HasPrefix(interval, "0") && cl.completed(ctx) < c.measure.Seconds()/2 {
		err = fmt.Errorf("%g checkpoints in %v, one each second was asked for", cl.completed(ctx), c.measure)
	}
	return rows, after - before, err
}
