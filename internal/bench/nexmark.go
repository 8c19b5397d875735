package bench

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/bramble-stream/bramble/benchmarks/nexmark"
)

const (
	// nexmarkRate is events a second of event time: a window of ten seconds has a million, of which 920,000 are bids.
	nexmarkRate = 100_000
	// VerifiedEvents is how many events the check of a query's rows takes.
	VerifiedEvents = 200_000
	// nexmarkRounds is how often the same events run with checkpoints and without, in turn.
	nexmarkRounds = 2
	// latencyShare of the measured rate is what latency is measured at: a system at its limit has none but that of its queues.
	latencyShare = 0.5
	// queryPatience bounds a query beside what its measurements are to take.
	queryPatience = time.Minute
)

// queryFacts are what is known of a query beside its text.
type queryFacts struct {
	// due is the column of the result that has the event time of the row's event; "": the result has none.
	due string
	// bids is the column that must add up to the number of bids: what a query over the processing time gives depends on when it runs.
	bids string
	// rows and checksum are what VerifiedEvents events give; of Bramble with one task, and the same as Flink's where that was compared. There is no checksum where the
	// query leaves it open which of several rows it gives; rows 0: nothing is known.
	rows     int64
	checksum string
}

func (r *run) planNexmark() {
	for _, q := range nexmark.Queries() {
		if len(r.Queries) > 0 && !slices.Contains(r.Queries, q) {
			continue
		}
		do := r.nexmark
		if r.JobManager != "" {
			do = r.remoteNexmark
		}
		r.steps = append(r.steps, step{"nexmark", q, nexmark.About(q), func(ctx context.Context, res *Result) error { return do(ctx, q, res) }})
	}
}

// nexmarkPhase is a query over so many events.
func (r *run) nexmarkPhase(query string, events int64) (*Phase, error) {
	script, err := nexmark.Script(query, events, nexmarkRate, "")
	return &Phase{File: query + ".sql", Script: script, Parallelism: r.Parallelism, Events: events}, err
}

func (r *run) nexmark(ctx context.Context, query string, res *Result) error {
	what := "check"
	limit := queryPatience + 20*r.Duration
	limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("given up after %s", limit))
	defer cancel()
	w, err := r.cluster(limited, &what)
	if err != nil {
		return err
	}
	defer w.stop()
	runPhase := func(name string, ph *Phase) (*Measured, error) {
		what = name
		r.progress(what, 0)
		m, err := w.ask(limited, command{Phase: ph}, patience)
		if limited.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("%s: %w", name, context.Cause(limited))
		}
		return m.Measured, err
	}
	checked, err := r.verify(query, res, runPhase)
	if err != nil || res.Status != StatusOK {
		return err
	}
	events := r.enough(perSecond(checked.Events, checked.Elapsed))
	if err := r.nexmarkSpeed(query, events, res, runPhase); err != nil || res.Status != StatusOK {
		return err
	}
	return r.nexmarkLatency(query, res, runPhase)
}

type runPhase func(name string, ph *Phase) (*Measured, error)

// verify compares the rows of a fixed number of events with what they must be.
func (r *run) verify(query string, res *Result, run runPhase) (*Measured, error) {
	ph, err := r.nexmarkPhase(query, VerifiedEvents)
	if err != nil {
		return nil, err
	}
	ph.Sums = true
	m, err := run("check", ph)
	if err != nil {
		return nil, err
	}
	facts := facts[query]
	res.VerifiedEvents, res.Checksum = m.Events, fmt.Sprintf("%016x", m.Sums.Checksum)
	switch {
	case m.Events != VerifiedEvents:
		res.wrong("%d of %d events were read", m.Events, VerifiedEvents)
	case facts.bids != "":
		res.Checksum = ""
		const bids = VerifiedEvents / 50 * 46
		if got := m.Sums.Columns[facts.bids]; got != bids {
			res.wrong("column %s adds up to %d instead of the %d bids", facts.bids, got, bids)
		}
	case facts.rows > 0 && facts.rows != m.Sums.Rows:
		res.wrong("%d rows instead of %d", m.Sums.Rows, facts.rows)
	case facts.checksum != "" && facts.checksum != res.Checksum:
		res.wrong("%d rows with checksum %s instead of %s", m.Sums.Rows, res.Checksum, facts.checksum)
	case m.Late+m.Bad > 0:
		res.wrong("%d events were late, %d refused", m.Late, m.Bad)
	}
	if facts.rows > 0 && facts.checksum == "" {
		res.Checksum = ""
	}
	return m, nil
}

func (res *Result) wrong(format string, args ...any) {
	res.Status, res.Reason = StatusWrong, fmt.Sprintf(format, args...)
}

// nexmarkSpeed runs the same events with checkpoints and without, in turn.
func (r *run) nexmarkSpeed(query string, events int64, res *Result, run runPhase) error {
	var elapsed, cpu [2]time.Duration
	var rows [2]int64
	for i := range 2 * nexmarkRounds {
		with := i%2 == 0
		ph, err := r.nexmarkPhase(query, events)
		if err != nil {
			return err
		}
		k, name := 0, "without checkpoints"
		if with {
			k, name = 1, "with checkpoints"
			ph.Checkpoint = r.Checkpoint
			ph.Profile = r.profile(strconv.Itoa(i / 2))
		}
		m, err := run(name, ph)
		if err != nil {
			return err
		}
		if i > 0 && m.Sums.Rows != rows[1-k] && facts[query].bids == "" {
			res.wrong("%d rows %s, %d in the other run of the same %d events", m.Sums.Rows, name, rows[1-k], events)
			return nil
		}
		if m.Events != events || m.Failed > 0 {
			res.wrong("%d of %d events were read; %d checkpoints failed", m.Events, events, m.Failed)
			return nil
		}
		rows[k] = m.Sums.Rows
		elapsed[k] += m.Elapsed
		cpu[k] += m.CPU
		res.Rows = m.Rows
		res.PeakBytes = max(res.PeakBytes, m.PeakBytes)
		if with {
			res.Checkpoints += m.Checkpoints
			res.CheckpointMS = max(res.CheckpointMS, float64(m.CheckpointTime)/1e6)
			res.CheckpointBytes = max(res.CheckpointBytes, m.CheckpointBytes)
			res.AllocsPerEvent = m.AllocsPerEvent
		}
	}
	res.speed(nexmarkRounds*events, elapsed[1], cpu[1])
	if cpu[0] > 0 && res.Checkpoints > 0 {
		res.CheckpointCost = float64(cpu[1])/float64(cpu[0]) - 1
	}
	return nil
}

// latencyBaseMS is the event time of the first event when latency is measured: any will do.
const latencyBaseMS = 1_700_000_000_000

// nexmarkLatency makes events when they are due and looks how late their rows come.
func (r *run) nexmarkLatency(query string, res *Result, run runPhase) error {
	due := facts[query].due
	if due == "" {
		return nil
	}
	rate := max(int64(res.EventsPerSecond*latencyShare)/1000*1000, 1000)
	events := int64(float64(rate) * r.Duration.Seconds())
	ph, err := r.nexmarkPhase(query, events)
	if err != nil {
		return err
	}
	ph.Adapt, ph.Rate, ph.BaseMS, ph.DueColumn = "nexmark", rate, latencyBaseMS, due
	ph.Options = map[string]string{"first-event.rate": strconv.FormatInt(rate, 10), "rate.limited": "true", "base-time": strconv.FormatInt(latencyBaseMS, 10)}
	ph.Checkpoint = r.Checkpoint
	m, err := run(fmt.Sprintf("latency at %d/s", rate), ph)
	if err != nil {
		return err
	}
	if m.Events != events {
		res.wrong("%d of %d events were read", m.Events, events)
	}
	res.latency(m, rate)
	return nil
}
