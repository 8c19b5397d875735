package pebble

import cpebble "github.com/cockroachdb/pebble/v2"

// scheduler lets no compaction begin once something has failed: Pebble begins one that fails anew at once, for ever, and over a damaged table that was all that
// a core did until the task looked, which may be at its next checkpoint. Below it is Pebble's own, without the timer that looks ten times a second whether more may run:
// it is always one.
type scheduler struct {
	*cpebble.ConcurrencyLimitScheduler
	h *health
}

var _ cpebble.CompactionScheduler = scheduler{}

func newScheduler(h *health) scheduler {
	return scheduler{cpebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest(), h}
}

// Register implements cpebble.CompactionScheduler.
func (s scheduler) Register(goroutines int, db cpebble.DBForCompaction) {
	s.ConcurrencyLimitScheduler.Register(goroutines, whileHealthy{db, s.h})
}

// TrySchedule implements cpebble.CompactionScheduler.
func (s scheduler) TrySchedule() (bool, cpebble.CompactionGrantHandle) {
	if s.h.failed() != nil {
		return false, nil
	}
	return s.ConcurrencyLimitScheduler.TrySchedule()
}

// whileHealthy is a database that waits for no compaction once something has failed.
type whileHealthy struct {
	cpebble.DBForCompaction
	h *health
}

// GetWaitingCompaction implements cpebble.DBForCompaction.
func (d whileHealthy) GetWaitingCompaction() (bool, cpebble.WaitingCompaction) {
	if d.h.failed() != nil {
		return false, cpebble.WaitingCompaction{}
	}
	return d.DBForCompaction.GetWaitingCompaction()
}
