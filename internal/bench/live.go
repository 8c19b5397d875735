package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

const (
	// probeCount is how many readings find out how fast a stream is.
	probeCount = 100_000
	// stalled is how long nothing may arrive, after all was sent, before the rest counts as lost.
	stalled = 2 * time.Second
	// cleanTries bounds the search for a rate that loses nothing, each cleanStep of the one before.
	cleanTries = 6
	cleanStep  = 0.8
	// closingCount readings, a while later in event time, close the windows: there are as many as topics.
	closingCount = 10
	closingAfter = 5 * time.Minute
	// liveTopic is what is published below.
	liveTopic = "bramble-bench"
)

// live is a job over MQTT being measured: a worker with the cluster, one that publishes, and one with the broker unless the user has one.
type live struct {
	*run
	job              *streamJob
	what             string
	engine, pub, srv *worker
	url              string
	next             int
}

func (r *run) mqtt(ctx context.Context, job *streamJob, res *Result) (err error) {
	l := &live{run: r, job: job, url: r.MQTT, what: "start"}
	defer l.close()
	if l.engine, err = r.cluster(ctx, &l.what); err != nil {
		return err
	}
	if l.pub, err = startWorker(ctx, r.Worker, nil); err != nil {
		return err
	}
	if l.url == "" {
		if l.srv, err = startWorker(ctx, r.Worker, nil); err != nil {
			return err
		}
		m, err := l.srv.ask(ctx, command{Serve: "mqtt"}, patience)
		if err != nil {
			return err
		}
		l.url = m.URL
	}
	first, err := l.burst(ctx, "first look", probeCount, 0, res)
	if err != nil || res.Status != StatusOK {
		return err
	}
	count := r.enough(perSecond(first.Events, first.Elapsed))
	m, err := l.burst(ctx, "as fast as the broker takes it", count, 0, res)
	if err != nil || res.Status != StatusOK {
		return err
	}
	res.speed(m.Events, m.Elapsed, m.CPU)
	res.Rows, res.PeakBytes, res.Lost, res.AllocsPerEvent = m.Rows, m.PeakBytes, m.lost, m.AllocsPerEvent
	res.ServerCPUNanosPerEvent = float64(m.serverCPU) / float64(max(m.Events, 1))
	res.Checkpoints, res.CheckpointMS, res.CheckpointBytes = m.Checkpoints, float64(m.CheckpointTime)/1e6, m.CheckpointBytes
	if err := l.clean(ctx, m, res); err != nil || res.Status != StatusOK {
		return err
	}
	return l.latency(ctx, res)
}

func (l *live) close() {
	for _, w := range []*worker{l.engine, l.pub, l.srv} {
		if w != nil {
			w.stop()
		}
	}
}

// clean looks for the highest rate without loss, from that of the fastest burst downwards.
func (l *live) clean(ctx context.Context, fastest *burst, res *Result) error {
	rate := res.EventsPerSecond
	for try := 0; fastest.lost > 0; try++ {
		if try == cleanTries {
			return nil
		}
		rate *= cleanStep
		b, err := l.burst(ctx, fmt.Sprintf("at %.0f/s", rate), l.enough(rate), int64(rate), res)
		if err != nil || res.Status != StatusOK {
			return err
		}
		fastest = b
	}
	res.CleanPerSecond = rate
	return nil
}

// latency measures at half of the clean rate. Event time begins shortly before a window's end, so that one fires soon.
func (l *live) latency(ctx context.Context, res *Result) error {
	rate := int64(res.CleanPerSecond*latencyShare) / 1000 * 1000
	if rate == 0 {
		return nil
	}
	took := max(l.Duration, 2*time.Second)
	if l.job.windows > 0 {
		took = l.lead() + watermarkDelay + windowTail
	}
	b, err := l.burst(ctx, fmt.Sprintf("latency at %d/s", rate), int64(float64(rate)*took.Seconds()), rate, res)
	if err != nil || res.Status != StatusOK {
		return err
	}
	res.latency(&b.Measured, rate)
	if b.lost > 0 {
		res.LatencySamples, res.P50, res.P99, res.P9999, res.LatencyMax = 0, 0, 0, 0, 0 // nobody knows how late they are
	}
	return nil
}

// windowTail is how long messages go on after the window has to be there.
const windowTail = 500 * time.Millisecond

// lead is how long before the end of a window paced messages begin.
func (r *run) lead() time.Duration { return min(r.Duration, 2*time.Second) }

// shiftMS is event time less the time of day, such that what begins now does so lead before the end of a window.
func (j *streamJob) shiftMS(nowMS int64, lead time.Duration) int64 {
	every := j.every.Milliseconds()
	if every == 0 {
		return 0
	}
	return every - nowMS%every - lead.Milliseconds()
}

// burst is what became of one.
type burst struct {
	Measured
	lost      int64
	serverCPU time.Duration
}

// burst runs the job over so many readings, then checks it. What is wrong goes into res.
func (l *live) burst(ctx context.Context, what string, count, rate int64, res *Result) (*burst, error) {
	l.what = what
	l.progress(what, 0)
	l.next++
	topic := liveTopic + "/" + strconv.FormatInt(time.Now().UnixNano()%1e9, 36) // what is left of an earlier one has another
	ph := &Phase{
		File: l.job.name + ".sql", Parallelism: l.Parallelism, Sums: true, Expected: count, Checkpoint: l.Checkpoint, Profile: l.profile(strconv.Itoa(l.next)),
		Script: fmt.Sprintf(readingsTable, fmt.Sprintf("'connector' = 'mqtt', 'url' = '%s', 'topic' = '%s/#', 'format' = 'json'", l.url, topic)) + l.job.sql,
	}
	base := time.Now().UnixMilli()
	if rate > 0 {
		ph.DueColumn, ph.Delay, ph.ShiftMS = l.job.due, l.job.delay, l.job.shiftMS(base, l.lead())
	}
	before, err := l.serverCPU(ctx)
	if err != nil {
		return nil, err
	}
	if err := l.engine.tell(command{Phase: ph}); err != nil {
		return nil, err
	}
	if err := l.connected(ctx); err != nil {
		return nil, err
	}
	publish := &Publish{URL: l.url, Topic: topic, Count: count, Rate: rate, BaseMS: base, ShiftMS: ph.ShiftMS}
	if err := l.pub.tell(command{Publish: publish}); err != nil {
		return nil, err
	}
	arrived, err := l.await(ctx, count)
	if err != nil {
		return nil, err
	}
	after, err := l.serverCPU(ctx)
	if err != nil {
		return nil, err
	}
	b := &burst{lost: count - arrived, serverCPU: after - before}
	if _, err := l.ask(ctx, command{Mark: true}); err != nil {
		return nil, err
	}
	last := base + count/readingsPerMS
	if rate > 0 {
		last = time.Now().UnixMilli() + ph.ShiftMS
	}
	closing := &Publish{URL: l.url, Topic: topic, First: 0, Count: closingCount, BaseMS: last + closingAfter.Milliseconds()}
	if _, err := l.pub.ask(ctx, command{Publish: closing}, patience); err != nil {
		return nil, err
	}
	if _, err := l.await(ctx, arrived+closingCount); err != nil {
		return nil, err
	}
	m, err := l.finish(ctx)
	if err != nil {
		return nil, err
	}
	b.Measured = *m
	b.verify(l.job, count, res)
	return b, nil
}

// verify checks what came out of the readings and of those that closed the windows, which a filter lets through, too.
func (b *burst) verify(job *streamJob, count int64, res *Result) {
	if b.lost > 0 { // what comes out of the rest is not known beforehand, but nothing may be lost behind the source
		if job.windows > 0 && b.Sums.Columns["readings"] != (count-b.lost)*job.windows {
			res.wrong("%d readings in windows; the source has read %d, each is in %d", b.Sums.Columns["readings"], count-b.lost, job.windows)
		}
		return
	}
	got := b.Sums
	if job.windows == 0 {
		closing := expect(closingCount)
		got.Rows -= closing.damp
		got.Columns["hum"] -= closing.dampHumidity
	}
	if wrong := job.check(count, got); wrong != "" {
		res.wrong("%s", wrong)
	}
	if b.Late+b.Bad > 0 {
		res.wrong("%d readings were late, %d refused", b.Late, b.Bad)
	}
}

func (l *live) serverCPU(ctx context.Context) (time.Duration, error) {
	if l.srv == nil {
		return 0, nil
	}
	m, err := l.srv.ask(ctx, command{Usage: true}, patience)
	return m.CPU, err
}

// connected waits until the source has reached the broker.
func (l *live) connected(ctx context.Context) error {
	for {
		m, err := l.engine.hear(ctx, patience)
		if err != nil || m.Connected {
			return err
		}
		if m.Measured != nil {
			return errors.New("the job ended before it was connected")
		}
	}
}

// await waits until so many events were read, or, after the publisher is done, no more come. It returns how many there are.
func (l *live) await(ctx context.Context, count int64) (int64, error) {
	var last int64
	moved := time.Now()
	for {
		m, err := l.engine.hear(ctx, patience)
		if err != nil {
			return last, err
		}
		if m.Measured != nil {
			return last, errors.New("the job ended by itself")
		}
		if m.Progress != nil && *m.Progress > last {
			last, moved = *m.Progress, time.Now()
		}
		if last >= count {
			return last, nil
		}
		var published <-chan message
		if l.pub != nil {
			published = l.pub.messages
		}
		select {
		case p, ok := <-published:
			if !ok || p.Error != "" {
				return last, fmt.Errorf("the publisher: %s", p.Error)
			}
			moved = time.Now()
		default:
		}
		if time.Since(moved) > stalled {
			return last, nil
		}
	}
}

// ask asks the engine, past its progress.
func (l *live) ask(ctx context.Context, c command) (message, error) {
	return l.engine.ask(ctx, c, patience)
}

// settle is how long rows may be on their way from source to sink when the last has been read.
const settle = 300 * time.Millisecond

// finish stops the job and returns what was measured.
func (l *live) finish(ctx context.Context) (*Measured, error) {
	t := time.NewTimer(settle)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	m, err := l.ask(ctx, command{Stop: true})
	if err == nil && m.Measured == nil {
		err = errors.New("the job was not measured")
	}
	return m.Measured, err
}
