package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/bramble-stream/bramble/internal/bench"
)

func writeFile(path, text string) error { return os.WriteFile(path, []byte(text), 0o600) }

// manyJobs runs 300 small jobs on one topic, each for itself, then as the INSERTs of one job.
func manyJobs(ctx context.Context, c *config, out func(string, float64, string, string)) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	jobs, seconds := 300, int64(8)
	if c.short {
		jobs, seconds = 20, 1
	}
	for _, j := range []struct {
		shared bool
		rate   int64
	}{{false, 500}, {true, 500}, {true, 20_000}} {
		name := fmt.Sprintf("%d jobs, %d messages/s", jobs, j.rate)
		if j.shared {
			name = fmt.Sprintf("%d INSERTs of one job, %d messages/s", jobs, j.rate)
		}
		cfg := bench.Config{
			TaskManagers: 1, MemoryBytes: 1024 * mib, Checkpoint: 10 * time.Second, Dir: c.dir, MQTT: c.url, Worker: []string{self, "worker"},
			Profile: c.profileOf(fmt.Sprintf("manyjobs-%t-%d", j.shared, j.rate)),
		}
		m, err := bench.ManyJobs(ctx, cfg, jobs, j.shared, j.rate, j.rate*seconds)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		cores := m.CPU.Seconds() / m.Elapsed.Seconds()
		out(name, cores, "cores", fmt.Sprintf("%.2f us a message and job, %d evaluations/s, peak %d MiB, all results counted",
			m.CPU.Seconds()*1e6/float64(j.rate*seconds)/float64(jobs), j.rate*int64(jobs), m.PeakBytes>>20))
	}
	return nil
}

// socket reads MQTT messages straight from a socket, without a broker: what the engine itself takes for one, from the socket to the sink.
func socket(ctx context.Context, c *config, out func(string, float64, string, string)) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	count := c.rows(10_000_000)
	for _, job := range []string{"filter", "tumble", "hop"} {
		m, err := bench.Flood(ctx, bench.Config{
			TaskManagers: 1, Parallelism: 1, MemoryBytes: 256 * mib, Checkpoint: 10 * time.Second, Dir: c.dir, Worker: []string{self, "worker"}, Profile: c.profileOf("socket-" + job),
		}, job, count)
		if err != nil {
			return fmt.Errorf("%s: %w", job, err)
		}
		out("MQTT packets from a socket, "+job, float64(m.CPU)/float64(m.Events), "ns of CPU",
			fmt.Sprintf("%.2f M messages/s, %.2f M/s a core, %.4f allocs a message, peak %d MiB, all counted", float64(m.Events)/m.Elapsed.Seconds()/1e6, perCPU(m), m.AllocsPerEvent, m.PeakBytes>>20))
	}
	return nil
}
