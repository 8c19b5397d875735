//go:build integration

package virtual

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/internal/memnet"
)

// event is something that the driver does at a time.
type event struct {
	at time.Time
	do func()
}

// driver has faults happen, and undoes them. All that it does happens on one goroutine, but for requests, which may take long.
type driver struct {
	w      *world
	ctx    context.Context //nolint:containedctx // of the run
	events []event
	// counts are of the faults, by kind.
	counts   map[string]int
	requests sync.WaitGroup
}

func (d *driver) after(delay time.Duration, do func()) {
	d.events = append(d.events, event{time.Now().Add(delay), do})
}

// between is a random time.
func (d *driver) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(d.w.rng.Int64N(int64(hi-lo)))
}

// pick is a random machine of those that f takes and that nothing is done to, nil if there is none.
func (d *driver) pick(f func(*node) bool) *node {
	var all []*node
	for _, n := range d.w.nodes {
		if !n.busy && !n.p.dead.Load() && f(n) {
			all = append(all, n)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[d.w.rng.IntN(len(all))]
}

func isTM(n *node) bool  { return !n.isJM }
func isJM(n *node) bool  { return n.isJM }
func anyNode(*node) bool { return true }

// kind is a kind of fault; do returns what it did, "" for nothing.
type kind struct {
	name string
	do   func(*driver) string
}

// kinds are drawn from with equal chances: what is twice in it is more frequent.
var kinds = []kind{
	{"kill a taskmanager", func(d *driver) string { return d.end(d.pick(isTM), false) }},
	{"kill a taskmanager", func(d *driver) string { return d.end(d.pick(isTM), false) }},
	{"cut a taskmanager's power", func(d *driver) string { return d.end(d.pick(isTM), true) }},
	{"kill a jobmanager", func(d *driver) string { return d.end(d.pick(isJM), false) }},
	{"cut a jobmanager's power", func(d *driver) string { return d.end(d.pick(isJM), true) }},
	{"restart in order", (*driver).restart},
	{"isolate", (*driver).isolate},
	{"isolate", (*driver).isolate},
	{"cut off", (*driver).cutOff},
	{"split", (*driver).split},
	{"split", (*driver).split},
	{"part", (*driver).part},
	{"one-way", (*driver).oneWay},
	{"reset", (*driver).reset},
	{"bad network", (*driver).badNetwork},
	{"storage fails", (*driver).storageFails},
	{"storage is slow", (*driver).storageSlow},
	{"storage hangs", (*driver).storageHangs},
	{"rescale", (*driver).rescale},
	{"savepoint", (*driver).savepoint},
}

// end ends a process abruptly, and starts another one later.
func (d *driver) end(n *node, dark bool) string {
	if n == nil {
		return ""
	}
	n.busy = true
	what := n.ip
	keep := ""
	if !n.isJM && d.w.rng.IntN(2) == 0 {
		keep = d.w.newDir()
		what += ", its disk is kept"
	}
	n.p.kill(dark, keep)
	n.keep = keep
	away := d.between(0, 6*time.Second)
	if d.w.rng.IntN(3) == 0 {
		away = 0
	}
	d.after(away, func() { d.startAgain(n) })
	return fmt.Sprint(what, ", back after ", away)
}

func (d *driver) startAgain(n *node) {
	<-n.p.done
	n.busy = false
	d.w.note("%s starts", n.ip)
	if err := n.start(); err != nil {
		d.w.fail("%v", err)
	}
}

// restart ends a process as a service manager does.
func (d *driver) restart() string {
	n := d.pick(anyNode)
	if n == nil {
		return ""
	}
	n.busy = true
	n.p.cancel()
	d.after(d.between(0, time.Second), func() { d.startAgain(n) })
	return n.ip
}

// block blocks ways for a time that is now and then longer than the timeout of heartbeats.
func (d *driver) block(ways ...[2]string) time.Duration {
	took := d.between(100*time.Millisecond, 12*time.Second)
	for _, way := range ways {
		d.w.net.Block(way[0], way[1], true)
	}
	d.after(took, func() {
		for _, way := range ways {
			d.w.net.Block(way[0], way[1], false)
		}
	})
	return took
}

// isolate parts a machine from all others, not from the storage.
func (d *driver) isolate() string {
	n := d.pick(anyNode)
	if n == nil {
		return ""
	}
	return fmt.Sprint(n.ip, " for ", d.part1(n))
}

// cutOff parts a machine from all others and from the storage; of jobmanagers another one takes over if there is one.
func (d *driver) cutOff() string {
	n := d.pick(anyNode)
	if n == nil {
		return ""
	}
	took := d.part1(n)
	d.w.setHang(n.ip, true)
	d.after(took, func() { d.w.setHang(n.ip, false) })
	return fmt.Sprint(n.ip, " for ", took)
}

// split makes two clusters of one, each with a jobmanager, of which one does not reach the storage for longer than a lease lasts, and then does again.
func (d *driver) split() string {
	side := map[*node]bool{}
	var old *node
	jobManagers := 0
	for i, n := range d.w.nodes {
		if n.isJM {
			jobManagers++
			side[n] = i == 0
		} else {
			side[n] = d.w.rng.IntN(2) == 0
		}
	}
	if jobManagers < 2 {
		return ""
	}
	if old = d.w.nodes[0]; d.w.rng.IntN(2) == 0 {
		old = d.w.nodes[1]
	}
	var ways [][2]string
	for a := range side {
		for b := range side {
			if side[a] != side[b] {
				ways = append(ways, [2]string{a.ip, b.ip})
			}
		}
	}
	took := d.block(ways...)
	// The storage is away for the machines of one side.
	hang := d.between(3*time.Second, 9*time.Second)
	var away []string
	for n := range side {
		if side[n] == side[old] {
			away = append(away, n.ip)
			d.w.setHang(n.ip, true)
		}
	}
	slices.Sort(away)
	d.after(hang, func() {
		for _, ip := range away {
			d.w.setHang(ip, false)
		}
	})
	return fmt.Sprint("for ", took, ", and the storage from ", away, " for ", hang)
}

func (d *driver) part1(n *node) time.Duration {
	ways := [][2]string{}
	for _, other := range d.w.nodes {
		if other != n {
			ways = append(ways, [2]string{n.ip, other.ip}, [2]string{other.ip, n.ip})
		}
	}
	return d.block(ways...)
}

// two are two machines.
func (d *driver) two() (a, b *node) {
	a = d.pick(anyNode)
	b = d.pick(func(n *node) bool { return n != a })
	return a, b
}

func (d *driver) part() string {
	a, b := d.two()
	if b == nil {
		return ""
	}
	return fmt.Sprint(a.ip, " and ", b.ip, " for ", d.block([2]string{a.ip, b.ip}, [2]string{b.ip, a.ip}))
}

func (d *driver) oneWay() string {
	a, b := d.two()
	if b == nil {
		return ""
	}
	return fmt.Sprint(a.ip, " to ", b.ip, " for ", d.block([2]string{a.ip, b.ip}))
}

func (d *driver) reset() string {
	a, b := d.two()
	if b == nil || d.w.net.Reset(a.ip, b.ip) == 0 {
		return ""
	}
	return fmt.Sprint(a.ip, " and ", b.ip)
}

func (d *driver) badNetwork() string {
	q := memnet.Quality{DelayMin: time.Millisecond, DelayMax: d.between(10*time.Millisecond, 400*time.Millisecond), Loss: d.w.rng.Float64() / 5}
	d.w.net.SetQuality(q)
	took := d.between(time.Second, 6*time.Second)
	d.after(took, func() { d.w.net.SetQuality(good) })
	return fmt.Sprint(q, " for ", took)
}

func (d *driver) faulty(f blob.Faults) string {
	d.w.setFaults(f)
	took := d.between(200*time.Millisecond, 5*time.Second)
	d.after(took, func() { d.w.setFaults(blob.Faults{}) })
	return fmt.Sprint("for ", took)
}

func (d *driver) storageFails() string {
	return d.faulty(blob.Faults{ErrorRate: d.w.rng.Float64(), LostAnswerRate: d.w.rng.Float64() / 2, ShortReadRate: d.w.rng.Float64() / 4})
}

func (d *driver) storageSlow() string {
	return d.faulty(blob.Faults{DelayRate: 1, DelayMax: d.between(10*time.Millisecond, 2*time.Second)})
}

func (d *driver) storageHangs() string {
	d.w.setHang("", true)
	took := d.between(200*time.Millisecond, 8*time.Second)
	d.after(took, func() { d.w.setHang("", false) })
	return fmt.Sprint("for ", took)
}

// request asks for something, which may fail.
func (d *driver) request(what string, f func(ctx context.Context) error) {
	d.requests.Go(func() {
		ctx, cancel := context.WithTimeout(d.ctx, 20*time.Second)
		defer cancel()
		d.w.note("%s: %v", what, f(ctx))
	})
}

func (d *driver) rescale() string {
	p := 1 + d.w.rng.IntN(splits)
	d.request("rescaled", func(ctx context.Context) error {
		_, err := d.w.cl.Rescale(ctx, d.w.job, p)
		return err
	})
	return strconv.Itoa(p)
}

func (d *driver) savepoint() string {
	d.request("savepoint", func(ctx context.Context) error {
		_, _, err := d.w.cl.Savepoint(ctx, d.w.job, "")
		return err
	})
	return "asked for"
}

// pauseMax is the longest pause between two faults.
const pauseMax = 3 * time.Second

// drive has faults happen for so long, and undoes them all.
func (d *driver) drive(length time.Duration) {
	w := d.w
	end := time.Now().Add(length)
	next := time.Now().Add(d.between(0, pauseMax))
	for {
		over := !next.Before(end)
		if over && len(d.events) == 0 {
			break
		}
		slices.SortStableFunc(d.events, func(a, b event) int { return a.at.Compare(b.at) })
		if len(d.events) > 0 && (over || d.events[0].at.Before(next)) {
			e := d.events[0]
			d.events = d.events[1:]
			time.Sleep(time.Until(e.at))
			e.do()
			continue
		}
		time.Sleep(time.Until(next))
		w.tend()
		k := kinds[w.rng.IntN(len(kinds))]
		if what := k.do(d); what != "" {
			d.counts[k.name]++
			w.note("%s: %s", k.name, what)
		}
		next = next.Add(d.between(0, pauseMax))
	}
	w.note("no more faults")
}
