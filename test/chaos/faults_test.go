//go:build chaos || integration

package chaos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/bramble-stream/bramble/internal/testenv"
)

// kind is a kind of fault; happen does it and says to whom and how.
type kind struct {
	name   string
	happen func() string
}

func (r *chaos) kinds() []kind {
	all := []kind{
		{"kill", r.killOne},
		{"kill", r.killOne},
		{"kill2", r.killTwo},
		{"killjm", r.killJobManager},
		{"killjm", r.killJobManager},
		{"freeze", r.freeze},
		{"freezejm", r.freezeJobManager},
		{"redis", r.restartRedis},
		{"rediskill", r.killRedis},
		{"storage", r.storage},
		{"savepoint", r.savepoint},
		{"rescale", r.rescale},
		{"move", r.move},
	}
	if r.s3 != nil {
		all = append(all, r.apartKinds()...)
	}
	if r.net != nil {
		all = append(all, kind{"part", r.part}, kind{"part", r.part}, kind{"partjm", r.partJobManager}, kind{"partjm", r.partJobManager},
			kind{"link", r.linkDown}, kind{"link", r.linkDown})
	} else {
		all = append(all, kind{"cut", r.cut}, kind{"cutall", r.cutAll}, kind{"stall", r.stall})
	}
	if r.disk != nil && r.disk.bounded {
		all = append(all, kind{"fullstorage", r.fullStorage}, kind{"fulldata", r.fullData})
	}
	if r.mosquitto != nil {
		all = append(all, kind{"mosquitto", r.restartMosquitto}, kind{"mosquitto", r.restartMosquitto})
	}
	return r.choose(all)
}

// choose keeps what -only names.
func (r *chaos) choose(all []kind) []kind {
	if *onlyFlag == "" {
		return all
	}
	var some []kind
	for _, k := range all {
		if strings.Contains(","+*onlyFlag+",", ","+k.name+",") {
			some = append(some, k)
		}
	}
	if len(some) == 0 {
		r.t.Fatalf("-only %s: there is no such kind", *onlyFlag)
	}
	return some
}

func (r *chaos) upTo(d time.Duration) time.Duration { return time.Duration(r.rnd.Int64N(int64(d))) }

func (r *chaos) pick() int { return r.rnd.IntN(len(r.managers)) }

func (r *chaos) killOne() string {
	if len(r.managers) == 0 {
		return " nobody"
	}
	d := r.upTo(3 * time.Second)
	r.later(d, r.addManager)
	return fmt.Sprintf(" %s, a new one in %s", r.kill(r.pick()), d)
}

func (r *chaos) killTwo() string { return r.killOne() + " and" + r.killOne() }

// freeze stops a taskmanager for longer than its heartbeat may be late, and lets it wake up: it finds that it has been given up.
func (r *chaos) freeze() string {
	if len(r.managers) == 0 {
		return " nobody"
	}
	d := 3500*time.Millisecond + r.upTo(3*time.Second)
	m := r.managers[r.pick()]
	m.Signal(syscall.SIGSTOP)
	r.later(d, func() { m.Signal(syscall.SIGCONT) })
	return fmt.Sprintf(" %s for %s", m.name, d)
}

// cut breaks what others send to a taskmanager.
func (r *chaos) cut() string {
	if len(r.managers) == 0 {
		return " nobody"
	}
	m := r.managers[r.pick()]
	m.proxy.Cut()
	return " " + m.name
}

// cutAll breaks all connections for rows for a while.
func (r *chaos) cutAll() string {
	d := r.upTo(2 * time.Second)
	for _, m := range r.managers {
		m.proxy.Refuse()
		r.later(d, m.proxy.Accept)
	}
	return fmt.Sprintf(" for %s", d)
}

// stall lets nothing through to a taskmanager for a while, without a word.
func (r *chaos) stall() string {
	if len(r.managers) == 0 {
		return " nobody"
	}
	d := r.upTo(10 * time.Second)
	m := r.managers[r.pick()]
	m.proxy.Stall()
	r.later(d, m.proxy.Flow)
	return fmt.Sprintf(" %s for %s", m.name, d)
}

func (r *chaos) restartRedis() string { return r.restart(r.redis, r.redis.Stop, r.upTo(2*time.Second)) }

func (r *chaos) killRedis() string { return r.restart(r.redis, r.redis.Kill, r.upTo(2*time.Second)) }

func (r *chaos) restartMosquitto() string {
	return r.restart(r.mosquitto, r.mosquitto.Stop, r.upTo(2*time.Second))
}

// storage takes the directory of the checkpoints away for a while: nothing can be read or written there.
func (r *chaos) storage() string {
	r.t.Helper()
	d := r.upTo(3 * time.Second)
	if r.s3 != nil {
		return r.s3.away(r, d)
	}
	away := r.checkpoints + ".away"
	if err := os.Rename(r.checkpoints, away); err != nil {
		return " is away or empty: " + err.Error()
	}
	// Somebody may make the directory again in between.
	for os.WriteFile(r.checkpoints, nil, 0o600) != nil {
		if err := os.RemoveAll(r.checkpoints); err != nil {
			r.t.Fatal(err)
		}
	}
	r.later(d, func() {
		if err := errors.Join(os.Remove(r.checkpoints), os.Rename(away, r.checkpoints)); err != nil {
			r.t.Fatal(err)
		}
	})
	return fmt.Sprintf(" is away for %s", d)
}

// outcome is the last line of what a command said. It may have failed because of a fault before it, which must do no harm.
func outcome(out string, err error) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err != nil {
		return " in vain: " + lines[len(lines)-1]
	}
	return ": " + lines[len(lines)-1]
}

func (r *chaos) savepoint() string { return outcome(r.during("savepoint", r.id, r.saveDir())) }

func (r *chaos) rescale() string {
	p := strconv.Itoa(1 + r.rnd.IntN(parallelism+1))
	return " to " + p + outcome(r.during("rescale", r.id, "-p", p))
}

// move stops the job with a savepoint and submits it again from there, at any parallelism.
func (r *chaos) move() string {
	p := 1 + r.rnd.IntN(parallelism+1)
	r.await("a jobmanager to lead", func() bool { return r.leader() >= 0 })
	out, err := r.during("stop", r.id, "--savepoint-path", r.saveDir())
	if err != nil {
		return " stop" + outcome(out, err)
	}
	_, path, ok := strings.Cut(out, "Savepoint completed. Path: ")
	if !ok {
		r.t.Fatalf("stop printed %q", out)
	}
	r.await("taskmanagers and a jobmanager to be there", func() bool { return len(r.due) == 0 && r.leader() >= 0 })
	old := r.id
	r.id = r.submitAt(p, "--from-savepoint", strings.TrimSpace(path))
	return fmt.Sprintf(" from %s to %s at %d", old[:8], r.id[:8], p)
}

func (r *chaos) saveDir() string {
	r.saved++
	return filepath.Join(r.logs, "savepoints", strconv.Itoa(r.saved))
}

// restart ends a server and starts it again after a while. The producer waits meanwhile: what it sent has arrived, once.
func (r *chaos) restart(s *testenv.Server, end func(), away time.Duration) string {
	r.broker.mu.Lock()
	defer r.broker.mu.Unlock()
	end()
	r.pause(away)
	s.Restart()
	r.broker.renew = true
	return fmt.Sprintf(", away for %s", away)
}
