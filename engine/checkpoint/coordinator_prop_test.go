package checkpoint

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/bramble-stream/bramble/engine/stream"
)

// world is storage, tasks and a coordinator. What it says to the coordinator may come late, twice or not at all.
type world struct {
	t    *rapid.T
	cfg  Config
	c    *Coordinator
	now  stream.Time
	used stream.Epoch
	// files and manifests are in storage.
	files     map[string]bool
	manifests map[stream.Epoch]*Manifest
	uploaded  map[string]bool
	// live are the files of each running task's store; dead ones never come back.
	live     map[Task][]string
	finished map[Task]bool
	attempt  int
	running  bool
	restart  *Restore
	inFlight map[stream.Epoch]map[Task]bool // acknowledged
	// mail are events on their way, in no order.
	mail []Event
	made int
	// committed is the newest epoch that tasks were told to commit.
	committed stream.Epoch
}

var propTasks = []Task{{0, 0}, {0, 1}, {1, 0}}

func (w *world) parallelism(task Task) int { return 2 - task.Vertex }

func (w *world) step(e Event) {
	due := w.c.Deadline()
	cmds := w.c.Step(w.now, e)
	if len(w.c.pending) > w.c.cfg.MaxConcurrent {
		w.t.Fatalf("%d in flight", len(w.c.pending))
	}
	if due > w.now && w.c.Deadline() <= w.now {
		w.t.Fatalf("due at %d, which is over at %d", w.c.Deadline(), w.now)
	}
	for _, c := range cmds {
		w.do(c)
	}
}

func (w *world) do(c Command) {
	switch c := c.(type) {
	case Trigger:
		if _, again := w.inFlight[c.Barrier.Epoch]; again {
			break // to tasks that have become roots
		}
		if c.Barrier.Epoch <= w.used {
			w.t.Fatalf("epoch %d after %d", c.Barrier.Epoch, w.used)
		}
		w.used, w.inFlight[c.Barrier.Epoch] = c.Barrier.Epoch, map[Task]bool{}
	case Abort:
		delete(w.inFlight, c.Epoch)
	case WriteManifest:
		w.write(c.Manifest)
	case Commit:
		if m := w.manifests[c.Epoch]; m == nil {
			w.t.Fatalf("commit of epoch %d, which is not in storage", c.Epoch)
		}
		if c.Epoch <= w.committed || w.c.Latest().Epoch != c.Epoch {
			w.t.Fatalf("commit of epoch %d after %d, though a restart begins with %d", c.Epoch, w.committed, w.c.Latest().Epoch)
		}
		w.committed = max(w.committed, c.Epoch)
	case Delete:
		w.remove(c)
	case Restore:
		if w.restart != nil || w.running {
			w.t.Fatal("restore of what runs")
		}
		w.restart = &c
	case RequestDone, RequestFailed, FailJob:
	}
}

// write checks that all have acknowledged, and writes or fails, or writes and says that it failed.
func (w *world) write(m *Manifest) {
	for _, task := range propTasks {
		if !w.finished[task] && !w.inFlight[m.Epoch][task] {
			w.t.Fatalf("epoch %d completes without %v", m.Epoch, task)
		}
	}
	if err := m.Validate(); err != nil {
		w.t.Fatal(err)
	}
	fails := oneIn(w.t, 8, "manifest fails")
	if !fails || oneIn(w.t, 2, "but is there") {
		w.manifests[m.Epoch] = m
	}
	if !fails {
		w.mail = append(w.mail, Written{Epoch: m.Epoch})
	} else {
		w.mail = append(w.mail, WriteFailed{m.Epoch, "lost"})
	}
}

// remove may die after any step.
func (w *world) remove(d Delete) {
	n := len(d.Epochs) + len(d.Files)
	done := n
	if oneIn(w.t, 4, "delete fails") {
		done = rapid.IntRange(0, n).Draw(w.t, "deleted")
	}
	for i := range done {
		if i < len(d.Epochs) {
			delete(w.manifests, d.Epochs[i])
		} else {
			delete(w.files, d.Files[i-len(d.Epochs)])
		}
		w.check()
	}
	answer := Deleted{Epochs: d.Epochs, Files: d.Files}
	if done < n {
		answer.Failure = "died"
	}
	w.mail = append(w.mail, answer)
}

// check: every checkpoint in storage can be restored, and so can what the next attempt would begin with.
func (w *world) check() {
	for _, e := range slices.Sorted(maps.Keys(w.manifests)) {
		w.manifests[e].Files(func(f *File) {
			if !w.files[f.Path] {
				w.t.Fatalf("epoch %d lists %s, which was deleted", e, f.Path)
			}
		})
	}
	if m := w.c.Latest(); m != nil && w.manifests[m.Epoch] == nil {
		w.t.Fatalf("epoch %d would be restored, but is not in storage", m.Epoch)
	}
}

// snapshot changes a task's files and acknowledges.
func (w *world) snapshot(task Task, e stream.Epoch) {
	files := slices.DeleteFunc(slices.Clone(w.live[task]), func(string) bool { return oneIn(w.t, 4, "compacted") })
	for range rapid.IntRange(0, 2).Draw(w.t, "new files") {
		w.made++
		name := fmt.Sprintf("%d-%v-%d", e, task, w.made)
		files = append(files, name)
	}
	w.live[task] = files
	savepoint := false
	if p := w.c.find(e); p != nil {
		savepoint = p.Savepoint
	}
	a := Acked{Epoch: e, Task: task, Savepoint: savepoint}
	if savepoint {
		w.files[fmt.Sprintf("sp-%d-%v", e, task)] = true
		a.Parts = testParts(task, w.parallelism(task), []string{fmt.Sprintf("sp-%d-%v", e, task)})
	} else {
		a.Parts = testParts(task, w.parallelism(task), files)
		for _, f := range files {
			// What was uploaded once is not again.
			if w.uploaded[f] && !w.files[f] {
				w.t.Fatalf("%v has %s at epoch %d, which was deleted", task, f, e)
			}
			w.files[f], w.uploaded[f] = true, true
		}
	}
	w.inFlight[e][task] = true
	w.mail = append(w.mail, a)
	if oneIn(w.t, 10, "twice") {
		w.mail = append(w.mail, a)
	}
}

func (w *world) start() {
	w.attempt++
	w.running, w.finished = true, map[Task]bool{}
	w.live = map[Task][]string{}
	if m := w.restart.Manifest; m != nil {
		for _, o := range m.Operators {
			for _, s := range o.Tasks {
				task := Task{int(o.ID[2] - '0'), s.Index}
				for _, f := range s.Files {
					if m.Savepoint {
						continue // copied under new names
					}
					w.live[task] = append(w.live[task], f.Path)
				}
			}
		}
	}
	w.restart = nil
	up := map[Task][]Task{{1, 0}: {{0, 0}, {0, 1}}}
	w.step(Started{propTasks, up})
}

func TestCoordinatorRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, files: map[string]bool{}, uploaded: map[string]bool{}, manifests: map[stream.Epoch]*Manifest{}, inFlight: map[stream.Epoch]map[Task]bool{}}
		w.cfg = Config{
			JobID: "j", Leader: 1, IntervalMS: 10, MinPauseMS: rapid.Int64Range(0, 5).Draw(t, "pause"), TimeoutMS: 20,
			MaxConcurrent: rapid.IntRange(1, 3).Draw(t, "concurrent"), TolerableFailures: -1, Retained: rapid.IntRange(1, 3).Draw(t, "retained"),
		}
		w.c = NewCoordinator(w.cfg, nil, 0)
		w.step(Restart{})
		w.start()
		// What goes well comes more often than what does not, or nothing would ever complete.
		actions := map[string]func(*rapid.T){
			"tick": func(*rapid.T) {
				w.now += rapid.Int64Range(0, 12).Draw(t, "ms")
				w.step(Tick{})
			},
			"snapshot": w.randomSnapshot,
			"deliver":  w.deliver,
			"finish":   w.finish,
			"request": func(*rapid.T) {
				w.step(Request{ID: "r", Savepoint: rapid.Bool().Draw(t, "savepoint"), Stop: oneIn(t, 10, "stop")})
			},
			"fail": func(*rapid.T) {
				if w.running && oneIn(t, 4, "fails") {
					w.running = false
					w.step(Stopped{"fault"})
					w.step(Restart{})
				}
			},
			"start": func(*rapid.T) {
				if w.restart != nil {
					w.start()
				}
			},
			"new leader": w.newLeader,
		}
		names := []string{
			"tick", "tick", "snapshot", "snapshot", "snapshot", "deliver", "deliver", "deliver", "deliver", "deliver", "deliver",
			"finish", "request", "fail", "start", "start", "new leader",
		}
		for range 200 {
			actions[rapid.SampledFrom(names).Draw(t, "action")](t)
			w.check()
		}
	})
}

// oneIn is true once in n times; rapid's numbers prefer small ones.
func oneIn(t *rapid.T, n int, label string) bool {
	of := make([]bool, n)
	of[n-1] = true
	return rapid.SampledFrom(of).Draw(t, label)
}

func (w *world) randomSnapshot(t *rapid.T) {
	for _, e := range slices.Sorted(maps.Keys(w.inFlight)) {
		for _, task := range propTasks {
			// In the order of epochs, as barriers come.
			if w.running && !w.finished[task] && !w.inFlight[e][task] && w.c.find(e) != nil && !oneIn(t, 4, "not yet") {
				later := false
				for other, acks := range w.inFlight {
					later = later || other > e && acks[task]
				}
				if !later {
					if oneIn(t, 20, "declines") {
						w.mail = append(w.mail, Declined{Epoch: e, Task: task, Reason: "no"})
					} else {
						w.snapshot(task, e)
					}
				}
			}
		}
	}
}

func (w *world) deliver(t *rapid.T) {
	if len(w.mail) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.mail)-1).Draw(t, "mail")
	e := w.mail[i]
	w.mail = slices.Delete(w.mail, i, i+1)
	w.step(e)
}

func (w *world) finish(t *rapid.T) {
	task := rapid.SampledFrom(propTasks).Draw(t, "task")
	if w.running && !w.finished[task] && oneIn(t, 30, "ends") && (task.Vertex == 0 || w.finished[Task{0, 0}] && w.finished[Task{0, 1}]) {
		w.finished[task] = true
		w.step(Finished{task, testParts(task, w.parallelism(task), nil)})
	}
}

// newLeader begins anew with what is in storage.
func (w *world) newLeader(t *rapid.T) {
	if !oneIn(t, 8, "takes over") {
		return
	}
	var completed []*Manifest
	for _, m := range w.manifests {
		if !m.Savepoint {
			completed = append(completed, m)
		}
	}
	w.cfg.Leader++
	w.mail, w.restart, w.running, w.committed = nil, nil, false, 0
	w.inFlight = map[stream.Epoch]map[Task]bool{}
	w.c = NewCoordinator(w.cfg, completed, w.used)
	w.step(Restart{})
	w.start()
}
