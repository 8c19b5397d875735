package sim

import (
	"flag"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "play this seed only")
	seedsFlag = flag.Uint64("seeds", 0, "how many seeds to play, from -first on (0: 200, 50 with -short)")
	firstFlag = flag.Uint64("first", 1, "the first seed")
	bugFlag   = flag.String("bug", "", "plant this bug, with -seed")
)

// TestSeeds: whatever fails, nothing is lost and nothing comes twice.
func TestSeeds(t *testing.T) {
	if *seedFlag != 0 {
		r := Run(*seedFlag, Bug(*bugFlag))
		t.Logf("%+v", r)
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		return
	}
	n := *seedsFlag
	if n == 0 {
		n = 200
		if testing.Short() {
			n = 50
		}
	}
	var total Result
	var mu sync.Mutex
	failed := 0
	each(*firstFlag, n, func(seed uint64) bool {
		r := Run(seed, NoBug)
		mu.Lock()
		defer mu.Unlock()
		total.Events += r.Events
		total.Completed += r.Completed
		total.Restores += r.Restores
		total.Leaders += r.Leaders
		total.Fenced += r.Fenced
		total.TakenOver += r.TakenOver
		total.Faults += r.Faults
		total.Frozen += r.Frozen
		if r.Err != nil {
			failed++
			t.Errorf("%v\nreplay with: go test ./internal/sim -run TestSeeds -seed=%d", r.Err, seed)
		}
		return failed < 3
	})
	t.Logf("%d seeds: %d events, %d checkpoints, %d restores, %d leaders, %d of them fenced, %d that took over, %d faults, %d of them freezes",
		n, total.Events, total.Completed, total.Restores, total.Leaders, total.Fenced, total.TakenOver, total.Faults, total.Frozen)
	if failed == 0 && (total.Completed < int(n) || total.Restores < int(n) || total.Fenced == 0 || total.TakenOver < int(n) || total.Frozen < int(n)/4) {
		t.Error("too little happens for this to be a test")
	}
}

// each calls f for seeds on all processors until it returns false.
func each(first, n uint64, f func(seed uint64) bool) {
	var next atomic.Uint64
	var stop atomic.Bool
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for !stop.Load() {
				i := next.Add(1) - 1
				if i >= n {
					return
				}
				if !f(first + i) {
					stop.Store(true)
				}
			}
		})
	}
	all.Wait()
}

// TestReplay: a seed plays the same every time.
func TestReplay(t *testing.T) {
	for seed := range uint64(10) {
		a, b := Run(seed, NoBug), Run(seed, NoBug)
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("seed %d: %+v, then %+v", seed, a, b)
		}
	}
}

// TestPlantedBugs: what is wrong is found within 1,000 seeds.
func TestPlantedBugs(t *testing.T) {
	for _, bug := range Bugs() {
		t.Run(string(bug), func(t *testing.T) {
			for seed := uint64(1); seed <= 1000; seed++ {
				if r := Run(seed, bug); r.Err != nil {
					t.Logf("caught at seed %d", seed)
					return
				}
			}
			t.Error("not caught within 1,000 seeds")
		})
	}
}
