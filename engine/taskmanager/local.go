package taskmanager

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/task"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

const (
	// localDir is where a job's files are kept, below the job's directory, beside those of its attempts.
	localDir = "local"
	// localIdleMax is how long files are kept of a job that has no tasks here: it may be waiting to begin again.
	localIdleMax = 10 * time.Minute
	// pendingMax is how many checkpoints of a task wait to be complete: more than are in flight.
	pendingMax = 4
)

// localState keeps the files of the last completed checkpoint of the tasks that were here, as links: who begins again here need not download them. It also
// outlives the process, where the data directory does. A file is used for what the checkpoint says it is, by name, size and checksum.
// Files are kept from when they are saved, since a task may be gone before it hears that its checkpoint is complete.
type localState struct {
	jobsDir func() string
	mu      struct {
		sync.Mutex
		jobs map[string]*localJob
	}
}

type localJob struct {
	// tasks are by vertex and index.
	tasks map[string]*localTask
	// idleSince is when there were no tasks here any more, zero while there are.
	idleSince time.Time
}

// localTask has the names of a task's files: those of its last completed checkpoint, and of checkpoints that may yet be complete, by ascending epoch.
type localTask struct {
	complete map[string]bool
	pending  []localPending
}

type localPending struct {
	epoch stream.Epoch
	names map[string]bool
}

func (t *localTask) has(name string) bool {
	return t.complete[name] || slices.ContainsFunc(t.pending, func(p localPending) bool { return p.names[name] })
}

// settle drops what is pending up to an epoch.
func (t *localTask) settle(upTo stream.Epoch) {
	t.pending = slices.DeleteFunc(t.pending, func(p localPending) bool { return p.epoch <= upTo })
}

func newLocalState(jobsDir func() string) *localState {
	l := &localState{jobsDir: jobsDir}
	l.mu.jobs = map[string]*localJob{}
	return l
}

func (l *localState) dir(job string) string { return filepath.Join(l.jobsDir(), job, localDir) }

// open says that a job's tasks are here. Before it nothing is kept.
func (l *localState) open(job string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.jobs[job] == nil {
		l.mu.jobs[job] = &localJob{tasks: map[string]*localTask{}}
	}
	l.mu.jobs[job].idleSince = time.Time{}
}

// load removes what a former process left in the data directory but for the files that may be used again.
func (l *localState) load(now time.Time) error {
	jobs, err := os.ReadDir(l.jobsDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, j := range jobs {
		dir := filepath.Join(l.jobsDir(), j.Name())
		entries, err := os.ReadDir(dir)
		if err != nil { // no directory
			entries = nil
			err = os.RemoveAll(dir)
		}
		for _, e := range entries {
			if e.Name() != localDir {
				err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
			}
		}
		if err != nil {
			return err
		}
		if os.Remove(dir) == nil {
			continue // nothing was left in it
		}
		l.mu.jobs[j.Name()] = &localJob{tasks: map[string]*localTask{}, idleSince: now}
	}
	return nil
}

// hold keeps the files of a task's saved snapshot until its checkpoint is complete or given up.
func (l *localState) hold(job, task string, e stream.Epoch, files []heldFile) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := l.mu.jobs[job]
	if j == nil {
		return nil // forgotten meanwhile
	}
	dir := l.dir(job)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	p := localPending{epoch: e, names: map[string]bool{}}
	for _, f := range files {
		to := filepath.Join(dir, f.Name)
		if _, err := os.Lstat(to); err != nil {
			if err := f.from.Link(f.Name, to); err != nil {
				return err // what was linked goes with the next sweep
			}
		}
		p.names[f.Name] = true
	}
	t := j.tasks[task]
	if t == nil {
		t = &localTask{}
		j.tasks[task] = t
	}
	t.pending = append(t.pending, p)
	if n := len(t.pending) - pendingMax; n > 0 {
		t.settle(t.pending[n-1].epoch)
	}
	return nil
}

// complete makes the files of a task's checkpoint those that are kept of it; of tasks that are not in live nothing is kept any more.
func (l *localState) complete(job, task string, e stream.Epoch, live map[string]bool) error {
	return l.settle(job, func(j *localJob) {
		if t := j.tasks[task]; t != nil {
			for _, p := range t.pending {
				if p.epoch == e {
					t.complete = p.names
				}
			}
			t.settle(e)
		}
		for t := range j.tasks {
			if !live[t] {
				delete(j.tasks, t)
			}
		}
	})
}

// abort lets go of what was held of a task's checkpoints up to an epoch.
func (l *localState) abort(job, task string, upTo stream.Epoch) error {
	return l.settle(job, func(j *localJob) {
		if t := j.tasks[task]; t != nil {
			t.settle(upTo)
		}
	})
}

func (l *localState) settle(job string, change func(*localJob)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := l.mu.jobs[job]
	if j == nil {
		return nil
	}
	change(j)
	err := l.sweepLocked(j, l.dir(job))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was ever held
	}
	return err
}

// sweepLocked removes the files that no task has.
func (l *localState) sweepLocked(j *localJob, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		wanted := false
		for _, t := range j.tasks {
			wanted = wanted || t.has(e.Name())
		}
		if !wanted {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// fetch makes to a link to the file f of the job, if it is here and is what it should be.
func (l *localState) fetch(job string, f checkpoint.File, to string) bool {
	from := filepath.Join(l.dir(job), f.Name)
	if info, err := os.Stat(from); err != nil || info.Size() != f.SizeBytes {
		return false
	}
	// Linked before it is read: nothing takes it away in between.
	if os.Link(from, to) != nil {
		return false
	}
	r, err := os.Open(to)
	if err != nil {
		return false
	}
	defer r.Close() //nolint:errcheck // only read
	h := xxh3.New()
	if _, err := io.Copy(h, r); err != nil || checkpoint.Checksum(h.Sum64()) != f.Checksum {
		_ = os.Remove(to)
		_ = os.Remove(from) // of no use to anybody
		return false
	}
	return true
}

// forget removes all of a job.
func (l *localState) forget(job string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.jobs[job] == nil {
		return nil
	}
	delete(l.mu.jobs, job)
	err := os.RemoveAll(l.dir(job))
	_ = os.Remove(filepath.Dir(l.dir(job))) // stays while an attempt is in it
	return err
}

// idle forgets jobs that have had no tasks here for long.
func (l *localState) idle(now time.Time, live func(job string) bool) (forgotten []string) {
	l.mu.Lock()
	for id, j := range l.mu.jobs {
		switch {
		case live(id):
			j.idleSince = time.Time{}
		case j.idleSince.IsZero():
			j.idleSince = now
		case now.Sub(j.idleSince) > localIdleMax:
			forgotten = append(forgotten, id)
		}
	}
	l.mu.Unlock()
	return forgotten
}

// heldFile is a file of a saved snapshot, under the name that storage has it.
type heldFile struct {
	checkpoint.File
	from state.Linker
}

// holdLocal keeps a saved snapshot's files here.
func (t *taskRun) holdLocal(x *executor, s *task.Snapshot) {
	var files []heldFile
	for _, st := range s.Stores {
		from, ok := st.(state.Linker)
		if !ok {
			continue
		}
		for _, f := range st.Files() {
			files = append(files, heldFile{t.known[f.Name], from})
		}
	}
	t.warnLocal(x, x.tm.local.hold(t.job.key.id, localKey(t.id), s.Epoch, files))
}

// warnLocal tells that something went wrong with what is kept here, which costs a download and no more.
func (t *taskRun) warnLocal(x *executor, err error) {
	if err != nil && t.job.ctx.Err() == nil {
		x.tm.cfg.Log.Warn("state is not kept for a local recovery", "job_id", t.job.key.id, "task", t.task.Name(), "error", err)
	}
}

func localKey(id *pb.TaskID) string { return fmt.Sprintf("%s/%d", id.VertexId, id.Index) }
