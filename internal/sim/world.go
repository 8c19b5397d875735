// Package sim plays a whole cluster in one goroutine, from a seed: the product's own state machines (checkpoint coordinator and aligner, job
// lifecycle, placement, checkpoint storage and leadership) with simple tasks, on a network, a disk and clocks that fail in every way they
// may. It is for tests, and simulates neither SQL nor operators, nor what goroutines do to each other.
package sim

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/stream"
)

// Bug is a fault of our own that the simulation has to find.
type Bug string

// The bugs that can be planted.
const (
	NoBug          Bug = ""
	AckEarly       Bug = "acknowledge before the upload ends"
	CommitAborted  Bug = "commit an aborted epoch"
	CommitAtOnce   Bug = "publish at the barrier"
	DeleteByAge    Bug = "delete files by age, referenced or not"
	IgnoreLeaders  Bug = "a leader does not look whether it still is"
	NoAlignment    Bug = "snapshot at the first barrier"
	NoRecommit     Bug = "a restore forgets what was prepared"
	ReuseEpochs    Bug = "a new leader counts epochs from 1"
	ForgetFiles    Bug = "files of a failed upload count as uploaded"
	RestoreOldest  Bug = "restore the oldest checkpoint"
	ReadPastCut    Bug = "records after the barrier are in the snapshot"
	KeepFinalAlone Bug = "a task finishes before its last part is complete"
	WallClock      Bug = "deadlines go by the time of day"
)

// Bugs lists them.
func Bugs() []Bug {
	return []Bug{
		AckEarly, CommitAborted, CommitAtOnce, DeleteByAge, IgnoreLeaders, NoAlignment, NoRecommit, ReuseEpochs, ForgetFiles, RestoreOldest,
		ReadPastCut, KeepFinalAlone, WallClock,
	}
}

const (
	// faultsMS is how long there are faults, endMS when a job that has not ended never will. Virtual milliseconds.
	faultsMS, endMS = 15_000, 400_000
	// eventsMax is a bound for a simulation that runs in circles.
	eventsMax = 400_000
	traceMax  = 50
	// closingMS is more than anything takes that is on its way to storage.
	closingMS = 20_000
	// lapseMS is for how long a standby watches a lease stand still: sometimes less than a slow renewal takes.
	lapseMS = 2000
	// yearMS is by how much clocks are off that nobody has set.
	yearMS = 365 * 24 * 3600 * 1000
	// silenceMS is how long taskmanagers bear that they hear nothing.
	silenceMS = 3000
	// nestMax bounds how many slow storage operations overlap.
	nestMax = 3
)

// Result is what a simulation came to.
type Result struct {
	Seed   uint64
	Events int
	// Completed, Restores, Leaders, Fenced and the others count what happened, to know that faults did happen.
	Completed, Restores, Leaders, Fenced, TakenOver, Faults, Frozen int
	// Hash is of all that happened: equal seeds have equal ones.
	Hash uint64
	// Err is the violation, with the last events; nil for none.
	Err error
}

// Run plays the seed.
func Run(seed uint64, bug Bug) (r Result) {
	w := newWorld(seed, bug)
	defer func() {
		if p := recover(); p != nil {
			w.violate("panic: %v\n%s", p, debug.Stack())
		}
		r = w.Result
		if w.violation != "" {
			r.Err = fmt.Errorf("seed %d: %s\nthe last events:\n  %s", seed, w.violation, strings.Join(w.lastEvents(), "\n  "))
		}
	}()
	w.play()
	return
}

type event struct {
	at   stream.Time
	seq  int
	name string
	f    func()
}

type eventHeap []event

func (h eventHeap) Len() int      { return len(h) }
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}

func (h *eventHeap) Push(x any) { *h = append(*h, x.(event)) }

func (h *eventHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*h = old[:len(old)-1]
	return e
}

type world struct {
	Result
	bug   Bug
	rng   *rand.Rand
	now   stream.Time
	queue eventHeap
	seq   int
	nest  int
	trace [traceMax]string
	// notes counts what is in the trace.
	notes     int
	violation string
	stopped   bool
	calm      bool // no more faults
	// closed: the job has finished, and nobody begins anything any more.
	closed bool

	disk *disk
	jms  []*jobmanager
	tms  []*taskmanager
	// cut are pairs of machines that do not hear each other.
	cut     map[[2]string]bool
	latency int64
	faults  storageFaults
	model   model
	cfg     checkpoint.Config
}

// storageFaults are rates, and how long what is slow takes at most.
type storageFaults struct {
	errors, lost, short, slow float64
	slowest                   time.Duration
}

func newWorld(seed uint64, bug Bug) *world {
	w := &world{
		Result: Result{Seed: seed}, bug: bug, rng: rand.New(rand.NewPCG(seed, 0x73696d)), //nolint:gosec // to be repeatable
		cut: map[[2]string]bool{}, now: 1_000_000,
	}
	w.disk = newDisk(w)
	rates := []float64{0, 0, 0.005, 0.03}
	pick := func() float64 { return rates[w.rng.IntN(len(rates))] }
	w.faults = storageFaults{pick(), pick(), pick(), []float64{0, 0.1, 0.3}[w.rng.IntN(3)], []time.Duration{400 * time.Millisecond, 3 * time.Second}[w.rng.IntN(2)]}
	w.latency = []int64{2, 20, 200}[w.rng.IntN(3)]
	w.cfg = checkpoint.Config{
		JobID: jobID, IntervalMS: 200 + w.rng.Int64N(600), MinPauseMS: w.rng.Int64N(200), TimeoutMS: 1000 + w.rng.Int64N(2000),
		MaxConcurrent: 1 + w.rng.IntN(2), TolerableFailures: []int{-1, 2, 0}[w.rng.IntN(3)], Retained: 1 + w.rng.IntN(3),
	}
	w.model = newModel(w)
	return w
}

func (w *world) play() {
	for i := range 3 {
		w.tms = append(w.tms, newTaskManager(w, fmt.Sprintf("tm%d", i)))
	}
	w.startJobManager()
	w.after(w.between(200, 2000), "fault", w.fault)
	w.after(faultsMS, "calm", w.becomeCalm)
	for !w.stopped && w.violation == "" {
		if len(w.queue) == 0 || w.now > 1_000_000+endMS || w.Events > eventsMax {
			w.violate("the job does not end: %s", w.describe())
			return
		}
		w.step()
	}
	if w.violation == "" {
		w.checkEnd()
	}
}

func (w *world) step() {
	e := heap.Pop(&w.queue).(event)
	w.now = max(w.now, e.at)
	w.Events++
	w.Hash = (w.Hash ^ uint64(w.now)) * 0x100000001b3
	for i := range len(e.name) {
		w.Hash = (w.Hash ^ uint64(e.name[i])) * 0x100000001b3
	}
	e.f()
	w.checkStep()
}

// after has f happen in so many milliseconds.
func (w *world) after(ms int64, name string, f func()) {
	w.seq++
	heap.Push(&w.queue, event{w.now + max(ms, 0), w.seq, name, f})
}

// sleep lets others go on while a storage operation is slow.
func (w *world) sleep(_ context.Context, d time.Duration) error {
	until := w.now + d.Milliseconds()
	if w.nest >= nestMax {
		return nil
	}
	w.nest++
	defer func() { w.nest-- }()
	for len(w.queue) > 0 && w.queue[0].at <= until && w.violation == "" && !w.stopped {
		w.step()
	}
	w.now = max(w.now, until)
	return nil
}

func (w *world) between(low, high int64) int64 { return low + w.rng.Int64N(high-low+1) }
func (w *world) oneIn(n int) bool              { return w.rng.IntN(n) == 0 }

// delay is that of a message.
func (w *world) delay() int64 { return w.rng.Int64N(w.latency) + 1 }

func (w *world) note(format string, args ...any) {
	w.trace[w.notes%traceMax] = fmt.Sprintf("%7d ", w.now-1_000_000) + fmt.Sprintf(format, args...)
	w.notes++
}

func (w *world) lastEvents() []string {
	var out []string
	for i := max(0, w.notes-traceMax); i < w.notes; i++ {
		out = append(out, w.trace[i%traceMax])
	}
	return out
}

func (w *world) violate(format string, args ...any) {
	if w.violation == "" {
		w.violation = fmt.Sprintf(format, args...)
	}
}

func pair(a, b string) [2]string {
	if a > b {
		a, b = b, a
	}
	return [2]string{a, b}
}

func (w *world) apart(a, b string) bool { return w.cut[pair(a, b)] }

// fault does harm, and comes again.
func (w *world) fault() {
	if w.calm {
		return
	}
	w.after(w.between(100, 2500), "fault", w.fault)
	w.Faults++
	tm := w.tms[w.rng.IntN(len(w.tms))]
	jm := w.jms[len(w.jms)-1]
	if lead := w.leading(); lead != nil && w.oneIn(2) {
		jm = lead
	}
	switch w.rng.IntN(10) {
	case 0, 1:
		tm.crash()
	case 2:
		if jm.alive() {
			if w.oneIn(3) {
				jm.stop()
			} else {
				jm.crash("killed")
			}
			w.after(w.between(10, 3000), "start jobmanager", w.startJobManager)
		}
	case 3: // another leads while the old one lives on
		if len(w.jms) < 12 {
			w.note("a second jobmanager is started")
			w.startJobManager()
		}
	case 4:
		w.note("connection of %s cut", tm.id)
		if tm.sess != nil {
			tm.sess.cut()
		}
	case 5:
		w.partition(tm.id, jm.id)
		if tm.sess != nil {
			tm.sess.cut()
		}
	case 6:
		w.partition(tm.id, w.tms[w.rng.IntN(len(w.tms))].id)
	case 7:
		jm.offset += w.between(-20_000, 20_000)
		if w.oneIn(3) {
			jm.offset += w.between(-50, 50) * yearMS
		}
		w.note("clock of %s jumps to %+d ms", jm.id, jm.offset)
	case 8: // one task fails by itself
		tm.failSome()
	case 9:
		w.freeze(jm)
	}
}

// freeze stops a jobmanager for a while: it wakes with what it believed, in the middle of what it did. Taskmanagers leave one that is silent.
func (w *world) freeze(jm *jobmanager) {
	if jm.dead || jm.frozenUntil > w.now {
		return
	}
	ms := w.between(200, 8000)
	jm.frozenUntil = w.now + ms
	w.Frozen++
	w.note("%s is frozen for %d ms", jm.id, ms)
	w.after(silenceMS, "silence", func() {
		for _, t := range w.tms {
			if s := t.sess; s != nil && s.jm == jm && jm.frozenUntil > w.now {
				s.cut()
			}
		}
	})
}

// leading is the one that leads, nil if it is gone.
func (w *world) leading() *jobmanager {
	epoch := w.disk.leader()
	i := slices.IndexFunc(w.jms, func(j *jobmanager) bool { return j.alive() && j.epoch == epoch && epoch > 0 })
	if i < 0 {
		return nil
	}
	return w.jms[i]
}

func (w *world) partition(a, b string) {
	if a == b {
		return
	}
	p := pair(a, b)
	w.cut[p] = true
	w.note("%s and %s are apart", a, b)
	w.after(w.between(100, 5000), "heal", func() { delete(w.cut, p) })
}

func (w *world) becomeCalm() {
	w.note("no more faults")
	w.calm = true
	clear(w.cut)
	w.latency = min(w.latency, 20)
	w.faults = storageFaults{slow: w.faults.slow, slowest: 200 * time.Millisecond}
	for _, j := range w.jms {
		j.calm()
	}
	for _, t := range w.tms {
		t.calm()
	}
	w.startIfNone()
}

func (w *world) describe() string {
	var b strings.Builder
	for _, j := range w.jms {
		if j.alive() && j.coord != nil {
			fmt.Fprintf(&b, "\n%s leads as %d: job %v (%s), %v", j.id, j.epoch, j.job.State(), j.job.Waiting(), j.coord)
		}
	}
	for _, t := range w.tms {
		for _, x := range t.execs {
			for _, k := range x.tasks {
				fmt.Fprintf(&b, "\n%s %v attempt %d: worked=%t last=%d final=%d done=%t %v", t.id, k.ref, x.key.attempt, k.worked, k.last, k.final, k.done, k.aligner)
			}
		}
	}
	return b.String()
}

var errDead = errors.New("sim: the process is dead")
