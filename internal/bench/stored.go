package bench

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// stored is a job over a Redis stream being measured: a worker with the cluster, and one that is the server, or fills the user's.
type stored struct {
	*run
	job         *streamJob
	what        string
	engine, srv *worker
	url         string
	next        int
}

// redisStream is the key that is written, and removed, at the user's server.
const redisStream = "bramble-bench"

func (r *run) redis(ctx context.Context, job *streamJob, res *Result) (err error) {
	s := &stored{run: r, job: job, url: r.Redis, what: "start"}
	defer s.close(context.WithoutCancel(ctx))
	if s.engine, err = r.cluster(ctx, &s.what); err != nil {
		return err
	}
	if s.srv, err = startWorker(context.WithoutCancel(ctx), r.Worker, nil); err != nil {
		return err
	}
	if s.url == "" {
		m, err := s.srv.ask(ctx, command{Serve: "redis"}, patience)
		if err != nil {
			return err
		}
		s.url = m.URL
	}
	first, err := s.read(ctx, "first look", madeStream{count: probeCount}, res)
	if err != nil || res.Status != StatusOK {
		return err
	}
	m, err := s.read(ctx, "as fast as it can", madeStream{count: r.enough(perSecond(first.Events, first.Elapsed))}, res)
	if err != nil || res.Status != StatusOK {
		return err
	}
	res.speed(m.Events, m.Elapsed, m.CPU)
	res.Rows, res.PeakBytes, res.AllocsPerEvent = m.Rows, m.PeakBytes, m.AllocsPerEvent
	res.CleanPerSecond = res.EventsPerSecond
	res.ServerCPUNanosPerEvent = float64(m.serverCPU) / float64(max(m.Events, 1))
	res.Checkpoints, res.CheckpointMS, res.CheckpointBytes = m.Checkpoints, float64(m.CheckpointTime)/1e6, m.CheckpointBytes
	if r.Redis != "" { // its stream is filled beforehand: nobody knows when an entry was due
		return nil
	}
	rate := int64(res.EventsPerSecond*latencyShare) / 1000 * 1000
	took := max(r.Duration, 2*time.Second)
	if job.windows > 0 {
		took = s.lead() + watermarkDelay + windowTail
	}
	if rate == 0 {
		return nil
	}
	m, err = s.read(ctx, fmt.Sprintf("latency at %d/s", rate), madeStream{count: int64(float64(rate) * took.Seconds()), rate: rate}, res)
	if err == nil {
		res.latency(&m.Measured, rate)
	}
	return err
}

func (s *stored) close(ctx context.Context) {
	if s.Redis != "" && s.srv != nil && s.next > 0 {
		ctx, cancel := context.WithTimeout(ctx, patience)
		_, _ = s.srv.ask(ctx, command{Fill: &Fill{URL: s.url, Stream: redisStream}}, patience) // what cannot be removed stays
		cancel()
	}
	for _, w := range []*worker{s.engine, s.srv} {
		if w != nil {
			w.stop()
		}
	}
}

// read runs the job over a stream to its end, then checks it.
func (s *stored) read(ctx context.Context, what string, m madeStream, res *Result) (*burst, error) {
	s.what = what
	s.progress(what, 0)
	s.next++
	ph := &Phase{
		File: s.job.name + ".sql", Parallelism: s.Parallelism, Events: m.count, Sums: true, Checkpoint: s.Checkpoint, Profile: s.profile(strconv.Itoa(s.next)),
	}
	now := time.Now().UnixMilli()
	m.base = now
	if m.rate > 0 {
		ph.DueColumn, ph.Delay, ph.ShiftMS = s.job.due, s.job.delay, s.job.shiftMS(now, s.lead())
		m.base = ph.ShiftMS
	}
	name := streamName(m, s.next)
	if s.Redis != "" {
		name = redisStream
		if _, err := s.srv.ask(ctx, command{Fill: &Fill{URL: s.url, Stream: name, Count: m.count, BaseMS: m.base}}, fillPatience); err != nil {
			return nil, err
		}
	}
	ph.Script = fmt.Sprintf(readingsTable, fmt.Sprintf(
		"'connector' = 'redis-stream', 'url' = '%s', 'stream' = '%s', 'format' = 'json', 'json.field' = 'data', 'scan.bounded.mode' = 'latest-offset'", s.url, name)) + s.job.sql
	before, err := s.srv.ask(ctx, command{Usage: true}, patience)
	if err != nil {
		return nil, err
	}
	got, err := s.engine.ask(ctx, command{Phase: ph}, patience)
	if err != nil {
		return nil, err
	}
	after, err := s.srv.ask(ctx, command{Usage: true}, patience)
	if err != nil {
		return nil, err
	}
	b := &burst{Measured: *got.Measured, lost: m.count - got.Measured.Events}
	if s.Redis == "" {
		b.serverCPU = after.CPU - before.CPU
	}
	if b.lost != 0 {
		res.wrong("%d of %d entries were read", b.Events, m.count)
	} else if wrong := s.job.check(m.count, b.Sums); wrong != "" {
		res.wrong("%s", wrong)
	} else if b.Late+b.Bad > 0 {
		res.wrong("%d readings were late, %d refused", b.Late, b.Bad)
	}
	return b, nil
}

// fillPatience bounds the filling of a stream.
const fillPatience = 10 * time.Minute
