//go:build integration

package virtual

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "play this seed only")
	seedsFlag = flag.Uint64("seeds", 16, "how many seeds to play, from -first on")
	firstFlag = flag.Uint64("first", 1, "the first seed")
	bugFlag   = flag.String("bug", "", "plant this bug")
	logFlag   = flag.String("log", "", "write what all processes log to this file, with -seed")
)

// outcome is what came of a seed.
type outcome struct {
	err    error
	counts map[string]int
	log    string
	// restarts is how often the job was started again, took how much virtual time went by.
	restarts int
	took     time.Duration
}

// play plays a seed. What a goroutine does to the bubble when it does not end, the test dies of.
func play(t *testing.T, seed uint64, b bug) (o outcome) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(seed, dir, splitRows, b)
		d := &driver{w: w, ctx: t.Context(), counts: map[string]int{}}
		w.playOn(d)
		o = outcome{err: w.verdict(), counts: d.counts, log: w.log.String(), took: time.Since(w.outside.began)}
		o.restarts = strings.Count(o.log, "state=RESTARTING")
	})
	return o
}

// playOn is what happens in the bubble.
func (w *world) playOn(d *driver) {
	defer w.stop()
	choose := func(from ...string) string { return from[w.rng.IntN(len(from))] }
	w.slots = 2 + w.rng.IntN(2)
	if w.rng.IntN(2) == 0 {
		w.memoryBytes = 20 << 10
	}
	taskManagers := 2 + w.rng.IntN(3)
	if err := w.start(1+w.rng.IntN(2), taskManagers); err != nil {
		w.fail("%v", err)
		return
	}
	options := settings(
		"execution.checkpointing.interval", choose("300 ms", "500 ms", "1 s"),
		"execution.checkpointing.timeout", choose("2 s", "10 s"),
		"execution.checkpointing.min-pause", choose("0 ms", "200 ms"),
		"execution.checkpointing.max-concurrent-checkpoints", choose("1", "1", "2"),
		"execution.checkpointing.tolerable-failed-checkpoints", choose("0", "3"),
		"restart-strategy.type", "exponential-delay",
		"restart-strategy.exponential-delay.initial-backoff", choose("100 ms", "1 s"),
		"restart-strategy.exponential-delay.max-backoff", "2 s",
		"execution.state-recovery.from-local", choose("true", "false"),
	)
	if err := w.submit(d.ctx, options+script, 1+w.rng.IntN(min(splits, taskManagers*w.slots))); err != nil {
		w.fail("submit: %v", err)
		return
	}
	const length = splitRows / clump * clumpEvery
	if w.rng.IntN(3) > 0 {
		d.drive(length)
	} else {
		d.drive(length / 2)
		w.goOn(d.ctx, options+script, 1+w.rng.IntN(splits))
		d.drive(length / 2)
	}
	w.await(d.ctx)
	d.requests.Wait()
}

// TestSeeds: whatever happens, nothing is lost, nothing comes twice, the job comes to its end, and no goroutine is left.
func TestSeeds(t *testing.T) {
	if *seedFlag != 0 {
		o := play(t, *seedFlag, bug(*bugFlag))
		t.Logf("%v, %d restarts, %s", o.counts, o.restarts, o.took)
		if *logFlag != "" {
			if err := os.WriteFile(*logFlag, []byte(o.log), 0o600); err != nil {
				t.Error(err)
			}
		}
		if o.err != nil {
			t.Fatal(o.err)
		}
		return
	}
	var mu sync.Mutex
	total := outcome{counts: map[string]int{}}
	faults := 0
	t.Run("all", func(t *testing.T) {
		for i := range *seedsFlag {
			seed := *firstFlag + i
			t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
				t.Parallel()
				o := play(t, seed, noBug)
				if o.err != nil {
					t.Errorf("%v\nreplay with: make virtual SEED=%d LOG=file", o.err, seed)
				}
				mu.Lock()
				defer mu.Unlock()
				total.restarts += o.restarts
				total.took += o.took
				for k, n := range o.counts {
					total.counts[k] += n
					faults += n
				}
			})
		}
	})
	for _, k := range slices.Sorted(maps.Keys(total.counts)) {
		t.Logf("%5d times: %s", total.counts[k], k)
	}
	t.Logf("%d seeds from %d on: %s of virtual time, %d faults, %d restarts, on %d processors", *seedsFlag, *firstFlag, total.took.Round(time.Second), faults,
		total.restarts, runtime.GOMAXPROCS(0))
	if *seedsFlag >= 16 && (total.restarts < int(*seedsFlag) || len(total.counts) < len(kinds)/2) {
		t.Error("too little happens for this to be a test")
	}
}
