package taskmanager

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

const (
	// localDir is where a job's files are kept, below the job's directory, beside those of its attempts.
	localDir = "local"
	// localIdleMax is how long files are kept of a job that has no tasks here: it may be waiting to begin again.
	localIdleMax = 10 * time.Minute
	// heldMax is how many snapshots of a task wait to be complete: more than are in flight.
	heldMax = 4
)

// localState keeps the files of the last completed checkpoint of the tasks that were here, as links: who begins again here need not download them. It also
// outlives the process, where the data directory does. A file is used for what the checkpoint says it is, by name, size and checksum.
type localState struct {
	jobsDir func() string
	mu      struct {
		sync.Mutex
		jobs map[string]*localJob
	}
}

// localJob has for each task, by vertex and index, the names of its files.
type localJob struct {
	tasks map[string]map[string]bool
	// idleSince is when there were no tasks here any more, zero while there are.
	idleSince time.Time
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
		l.mu.jobs[job] = &localJob{tasks: map[string]map[string]bool{}}
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
		l.mu.jobs[j.Name()] = &localJob{tasks: map[string]map[string]bool{}, idleSince: now}
	}
	return nil
}

// keep makes the files of a task's completed checkpoint those that are kept of it; of tasks that are not in live nothing is kept any more.
func (l *localState) keep(job, task string, h held, live map[string]bool) error {
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
	names := map[string]bool{}
	var failure error
	for _, f := range h.files {
		names[f.Name] = true
		to := filepath.Join(dir, f.Name)
		if _, err := os.Lstat(to); err == nil || failure != nil {
			continue
		}
		failure = f.from.Link(f.Name, to)
	}
	j.tasks[task] = names
	for t := range j.tasks {
		if !live[t] {
			delete(j.tasks, t)
		}
	}
	return errors.Join(failure, l.sweepLocked(j, dir))
}

// sweepLocked removes the files that no task has.
func (l *localState) sweepLocked(j *localJob, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		wanted := false
		for _, names := range j.tasks {
			wanted = wanted || names[e.Name()]
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

// held is a snapshot that has been saved and whose checkpoint may yet be complete.
type held struct {
	epoch stream.Epoch
	files []heldFile
	close func() error
}

type heldFile struct {
	checkpoint.File
	from state.Linker
}

// hold keeps a saved snapshot's files until the checkpoint is complete. Like all of held it runs on the lane of uploads.
func (t *taskRun) hold(x *executor, h held) {
	t.held = append(t.held, h)
	if len(t.held) > heldMax {
		t.letGo(x, t.held[0].epoch)
	}
}

// letGo closes what is held up to an epoch.
func (t *taskRun) letGo(x *executor, upTo stream.Epoch) {
	rest := t.held[:0]
	for _, h := range t.held {
		if h.epoch > upTo {
			rest = append(rest, h)
			continue
		}
		if err := h.close(); err != nil {
			x.tm.cfg.Log.Warn("snapshot not removed", "job_id", t.job.key.id, "task", t.task.Name(), "error", err)
		}
	}
	clear(t.held[len(rest):])
	t.held = rest
}

// keepLocal keeps the files of a checkpoint that is complete.
func (t *taskRun) keepLocal(x *executor, e stream.Epoch, live map[string]bool) {
	for _, h := range t.held {
		if h.epoch != e {
			continue
		}
		if err := x.tm.local.keep(t.job.key.id, localKey(t.id), h, live); err != nil && t.job.ctx.Err() == nil {
			x.tm.cfg.Log.Warn("state is not kept for a local recovery", "job_id", t.job.key.id, "task", t.task.Name(), "error", err)
		}
	}
	t.letGo(x, e)
}

func localKey(id *pb.TaskID) string { return fmt.Sprintf("%s/%d", id.VertexId, id.Index) }
