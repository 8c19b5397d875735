package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/engine/client"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// remoteNexmark runs a query on a cluster that is there. Its own sink counts nothing: that all events were read is what the sources' counters
// say, and the time is the job's.
func (r *run) remoteNexmark(ctx context.Context, query string, res *Result) error {
	cl, err := client.New(r.JobManager)
	if err != nil {
		return err
	}
	defer cl.Close() //nolint:errcheck // all was said
	first, err := r.remotePhase(ctx, cl, query, VerifiedEvents, "first look", res)
	if err != nil || res.Status != StatusOK {
		return err
	}
	m, err := r.remotePhase(ctx, cl, query, r.enough(perSecond(VerifiedEvents, first.Elapsed)), "with checkpoints", res)
	if err != nil || res.Status != StatusOK {
		return err
	}
	res.speed(m.Events, m.Elapsed, m.CPU)
	res.Rows = m.Rows
	res.Checkpoints, res.CheckpointMS, res.CheckpointBytes = m.Checkpoints, float64(m.CheckpointTime)/1e6, m.CheckpointBytes
	return nil
}

func (r *run) remotePhase(ctx context.Context, cl *client.Client, query string, events int64, what string, res *Result) (*Measured, error) {
	r.progress(what, 0)
	ph, err := r.nexmarkPhase(query, events)
	if err != nil {
		return nil, err
	}
	script := client.Script{File: ph.File, Text: ph.Script, Parallelism: ph.Parallelism, Config: map[string]string{
		"execution.checkpointing.interval": fmt.Sprintf("%d ms", r.Checkpoint.Milliseconds()),
	}}
	before := remoteCPU(ctx, cl)
	id, _, err := cl.Submit(ctx, script, "bench "+query)
	if errors.Is(err, client.ErrInvalid) {
		return nil, &RefusedError{err.Error()}
	}
	if err != nil {
		return nil, err
	}
	var last *pb.WatchJobResponse
	err = cl.Watch(ctx, id, func(u *pb.WatchJobResponse) bool {
		last = u
		return true
	})
	if err != nil {
		if ctx.Err() != nil { // the user's cluster is not left with a job that nobody wants
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
			defer cancel()
			_, _, _ = cl.Cancel(limited, id)
		}
		return nil, err
	}
	if err := outcome(last); err != nil {
		return nil, err
	}
	m := &Measured{Elapsed: time.Duration(last.Summary.EndedAtMs-last.Summary.RunningAtMs) * time.Millisecond}
	if after := remoteCPU(ctx, cl); before > 0 && after > before {
		m.CPU = after - before
	}
	return m, r.remoteCounters(ctx, cl, id, events, m, res)
}

// remoteCounters adds the job's counters and checks that all events were read.
func (r *run) remoteCounters(ctx context.Context, cl *client.Client, id string, events int64, m *Measured, res *Result) error {
	details := Runner{cl: cl}
	if err := details.details(ctx, id, m); err != nil {
		return err
	}
	d, err := cl.Job(ctx, id)
	if err != nil {
		return err
	}
	for _, v := range d.Vertices {
		for _, t := range v.Tasks {
			for _, o := range t.GetMetrics().GetOperators() {
				switch {
				case strings.HasPrefix(o.Name, "Source"):
					m.Events += o.RecordsOut
				case strings.HasPrefix(o.Name, "Sink"):
					m.Rows += o.RecordsIn
				}
			}
		}
	}
	if m.Events != events {
		res.wrong("the sources have read %d of %d events", m.Events, events)
	}
	return nil
}

// metricsMax bounds a page of metrics.
const metricsMax = 16 << 20

// remoteCPU is what all taskmanagers have used, by their pages of metrics; 0 when one does not tell.
func remoteCPU(ctx context.Context, cl *client.Client) time.Duration {
	tms, err := cl.TaskManagers(ctx)
	if err != nil {
		return 0
	}
	var sum time.Duration
	for _, tm := range tms {
		one := processCPU(ctx, tm.MetricsAddress)
		if one == 0 {
			return 0
		}
		sum += one
	}
	return sum
}

// processCPU asks a page of metrics, without the HTTP client that the program has no other use for.
func processCPU(ctx context.Context, address string) time.Duration {
	if address == "" {
		return 0
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return 0
	}
	defer conn.Close() //nolint:errcheck // read to its end
	if conn.SetDeadline(time.Now().Add(d.Timeout)) != nil {
		return 0
	}
	if _, err := fmt.Fprintf(conn, "GET /metrics HTTP/1.0\r\nHost: %s\r\n\r\n", address); err != nil {
		return 0
	}
	for sc := bufio.NewScanner(io.LimitReader(conn, metricsMax)); sc.Scan(); {
		if rest, ok := strings.CutPrefix(sc.Text(), "process_cpu_seconds_total "); ok {
			s, _ := strconv.ParseFloat(strings.TrimSpace(rest), 64) // Prometheus' own format
			return time.Duration(s * float64(time.Second))
		}
	}
	return 0
}
