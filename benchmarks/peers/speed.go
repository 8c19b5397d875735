package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// look is what an engine tells about itself.
type look struct {
	events, checkpoints int64
}

// running is an engine with a job.
type running interface {
	// look returns an error when the job or a process has failed.
	look(ctx context.Context) (look, error)
	// events is how many the source has made, for little.
	events(ctx context.Context) (int64, error)
	pids() []int
	stop()
}

// figure is what was measured of one engine and query.
type figure struct {
	// From is the first event that was measured.
	From int64 `json:"from"`
	// Events were taken in Seconds of the clock and CPUSeconds of all cores.
	Events     int64   `json:"events"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
	// PeakMB is of memory, over the whole life of the processes.
	PeakMB float64 `json:"peak_mb"`
	// Checkpoints were completed while it was measured.
	Checkpoints int64 `json:"checkpoints"`
	// Trouble is why there are no figures.
	Trouble string `json:"trouble,omitempty"`
}

// perCore is events a second of CPU time.
func (f figure) perCore() float64 { return float64(f.Events) / f.CPUSeconds }

func (f figure) perSecond() float64 { return float64(f.Events) / f.Seconds }

// comparison is a line of the table.
type comparison struct {
	Query   string `json:"query"`
	Bramble figure `json:"bramble"`
	Flink   figure `json:"flink"`
}

func (c comparison) ok() bool { return c.Bramble.Trouble == "" && c.Flink.Trouble == "" }

func (c comparison) ratio() float64 { return c.Bramble.perCore() / c.Flink.perCore() }

// report is all of a run.
type report struct {
	When        string        `json:"when"`
	Machine     string        `json:"machine"`
	Commit      string        `json:"commit"`
	Cores       string        `json:"cores"`
	Parallelism int           `json:"parallelism"`
	Warm        time.Duration `json:"warm_ns"`
	Measure     time.Duration `json:"measure_ns"`
	Checkpoint  time.Duration `json:"checkpoint_ns"`
	// OurCheckpoint is Bramble's interval.
	OurCheckpoint time.Duration `json:"our_checkpoint_ns"`
	// Least is how long Bramble is measured at least.
	Least       time.Duration `json:"least_ns"`
	Rate        int64         `json:"rate"`
	Rounds      int           `json:"rounds"`
	LoadBefore  string        `json:"load_before"`
	LoadAfter   string        `json:"load_after"`
	Comparisons []comparison  `json:"comparisons"`
}

func speed(ctx context.Context, s *settings) error {
	const defaultRate = 100_000
	if s.rate == 0 {
		s.rate = defaultRate
	}
	if err := s.buildBramble(ctx); err != nil {
		return err
	}
	if err := s.buildFlink(ctx); err != nil {
		return err
	}
	r := &report{
		When: time.Now().UTC().Format("2006-01-02 15:04 UTC"), Machine: machine(), Commit: commit(ctx), Cores: s.cores, Parallelism: s.parallelism,
		Warm: s.warm, Measure: s.measure, Checkpoint: s.checkpoint, OurCheckpoint: s.ourCheckpoint, Least: s.least, Rate: s.rate, Rounds: s.rounds, LoadBefore: load(),
	}
	fmt.Printf("%s\n%-5s %12s %12s %7s\n", r.Machine, "query", "Bramble", "Flink", "ratio")
	for _, q := range s.queries {
		script, err := s.script(q)
		if err != nil {
			return err
		}
		c := comparison{Query: q}
		if why := s.refused(ctx, script); why != "" {
			c.Bramble.Trouble = "not planned: " + why
			r.Comparisons = append(r.Comparisons, c)
			fmt.Printf("%-5s %s\n", q, c.Bramble.Trouble)
			continue
		}
		var ours, theirs []figure
		for range s.rounds {
			f := s.measureOne(ctx, nil, func() (running, error) { return s.startFlink(script) })
			theirs = append(theirs, f)
			ours = append(ours, s.measureOne(ctx, &f, func() (running, error) { return s.startBramble(ctx, script) }))
		}
		if ctx.Err() != nil { // what there is is shown
			break
		}
		c.Bramble, c.Flink = median(ours), median(theirs)
		r.Comparisons = append(r.Comparisons, c)
		if c.ok() {
			fmt.Printf("%-5s %10.0f k %10.0f k %6.1fx\n", q, c.Bramble.perCore()/1e3, c.Flink.perCore()/1e3, c.ratio())
		} else {
			fmt.Printf("%-5s Bramble: %s; Flink: %s\n", q, cmp.Or(c.Bramble.Trouble, "ok"), cmp.Or(c.Flink.Trouble, "ok"))
		}
	}
	r.LoadAfter = load()
	fmt.Printf("\n%s", r.markdown(""))
	if s.out == "" {
		return nil
	}
	return r.write(s.out)
}

// median is the figure in the middle by events per CPU second; any trouble wins.
func median(of []figure) figure {
	for _, f := range of {
		if f.Trouble != "" {
			return f
		}
	}
	slices.SortFunc(of, func(a, b figure) int { return cmp.Compare(a.perCore(), b.perCore()) })
	return of[len(of)/2]
}

// startup bounds how long an engine may take to the first event.
const startup = time.Minute

// measureOne starts an engine, lets it warm up, and measures it. What goes wrong is part of the result.
func (s *settings) measureOne(ctx context.Context, same *figure, begin func() (running, error)) figure {
	f, err := s.tryMeasure(ctx, same, begin)
	if err != nil {
		f.Trouble = strings.ReplaceAll(head(err.Error(), 300), "\n", " ")
	}
	return f
}

// tryMeasure measures for as long as the settings say or, with same, over the events that another one has been measured over: both have the same work and state then. What takes
// no time cannot be measured, so it goes on for a while, with more state than the other one had.
func (s *settings) tryMeasure(ctx context.Context, same *figure, begin func() (running, error)) (figure, error) {
	if same != nil && same.Trouble != "" {
		same = nil
	}
	e, err := begin()
	if err != nil {
		return figure{}, err
	}
	defer e.stop()
	if err := awaitEvents(ctx, e, 1, startup); err != nil {
		return figure{}, err
	}
	if same == nil {
		err = pause(ctx, s.warm)
	} else {
		err = awaitEvents(ctx, e, same.From, patienceFor*s.warm)
	}
	if err != nil {
		return figure{}, err
	}
	before, uBefore, tBefore, err := sample(ctx, e)
	if err != nil {
		return figure{}, err
	}
	if same == nil {
		err = pause(ctx, s.measure)
	} else {
		err = awaitEvents(ctx, e, same.From+same.Events, patienceFor*s.measure)
		if rest := s.least - time.Since(tBefore); err == nil && rest > 0 {
			err = pause(ctx, rest)
		}
	}
	if err != nil {
		return figure{}, err
	}
	after, uAfter, tAfter, err := sample(ctx, e)
	if err != nil {
		return figure{}, err
	}
	f := figure{
		From: before.events, Events: after.events - before.events, Seconds: tAfter.Sub(tBefore).Seconds(), CPUSeconds: (uAfter.cpu - uBefore.cpu).Seconds(),
		PeakMB: float64(uAfter.peakBytes) / 1e6, Checkpoints: after.checkpoints - before.checkpoints,
	}
	if f.Events <= 0 || f.CPUSeconds <= 0 {
		return f, fmt.Errorf("%d events came in %.0f s", f.Events, f.Seconds)
	}
	return f, nil
}

// patienceFor is how many times as long as the other one an engine may take for the same events.
const patienceFor = 6

// countEvery is how often events are counted until there are enough: seldom, for it costs the engine.
const countEvery = 50 * time.Millisecond

// awaitEvents waits for event n, and looks now and then whether the job still runs.
func awaitEvents(ctx context.Context, e running, n int64, patience time.Duration) error {
	looked := time.Now()
	return await(ctx, fmt.Sprintf("event %d", n), patience, countEvery, func() (bool, error) {
		if time.Since(looked) > time.Second {
			looked = time.Now()
			if _, err := e.look(ctx); err != nil {
				return false, err
			}
		}
		made, err := e.events(ctx)
		return made >= n, err
	})
}

func sample(ctx context.Context, e running) (look, usage, time.Time, error) {
	l, err := e.look(ctx)
	if err != nil {
		return l, usage{}, time.Time{}, err
	}
	u, err := usageOf(e.pids()...)
	return l, u, time.Now(), err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func machine() string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				model = strings.TrimSpace(v)
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s/%s, %s", model, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// load is the load average of a minute.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "?"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// geometric is the mean of the ratios of what was compared, and the least of them.
func (r *report) geometric() (mean float64, worst comparison, n int) {
	sum := 0.0
	for _, c := range r.Comparisons {
		if !c.ok() {
			continue
		}
		if n == 0 || c.ratio() < worst.ratio() {
			worst = c
		}
		sum += math.Log(c.ratio())
		n++
	}
	return math.Exp(sum / float64(max(n, 1))), worst, n
}

func (r *report) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // results are public
		return err
	}
	name := "nexmark-" + r.When[:len("2006-01-02")]
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	for file, content := range map[string]string{name + ".json": string(text) + "\n", name + ".md": r.markdown(name + ".svg"), name + ".svg": r.svg()} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil { //nolint:gosec // the same
			return err
		}
	}
	return nil
}
