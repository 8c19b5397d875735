package checkpoint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/internal/sorting"
)

// Status is what a checkpoint came to.
type Status string

// The statuses, in Flink's words.
const (
	InProgress Status = "IN_PROGRESS"
	Completed  Status = "COMPLETED"
	Failed     Status = "FAILED"
)

// Record is what users see of a checkpoint.
type Record struct {
	Epoch     stream.Epoch `json:"epoch"`
	Savepoint bool         `json:"savepoint,omitempty"`
	Status    Status       `json:"status"`
	// TriggeredMS and EndedMS are times, EndedMS 0 while it is in progress.
	TriggeredMS stream.Time `json:"triggeredMS"`
	EndedMS     stream.Time `json:"endedMS,omitempty"`
	// SizeBytes is all of it, NewBytes what had to be uploaded.
	SizeBytes int64  `json:"sizeBytes"`
	NewBytes  int64  `json:"newBytes"`
	Path      string `json:"path,omitempty"`
	// Reason says why it failed.
	Reason string `json:"reason,omitempty"`
	// Tasks are those that acknowledged, in that order, of TaskCount: tasks that had come to their end by then are in neither.
	TaskCount int          `json:"taskCount"`
	Tasks     []TaskRecord `json:"tasks,omitempty"`
}

// TaskRecord is a task's part of it.
type TaskRecord struct {
	Task Task `json:"task"`
	// AckMS is from the trigger to the acknowledgement; the others are of its parts.
	AckMS      int64 `json:"ackMS"`
	AlignMS    int64 `json:"alignMS"`
	SnapshotMS int64 `json:"snapshotMS"`
	UploadMS   int64 `json:"uploadMS"`
	SizeBytes  int64 `json:"sizeBytes"`
	NewBytes   int64 `json:"newBytes"`
}

// History is the checkpoints in flight, the last that ended, and the last savepoints before those, newest first.
func (c *Coordinator) History() []Record {
	var out []Record
	for _, p := range c.pending {
		r := p.Record
		r.Tasks = slices.Clone(r.Tasks)
		out = append(out, r)
	}
	out = append(slices.Clone(c.history), out...)
	sorting.StableBy(out, func(a, b Record) int { return int(int64(b.Epoch) - int64(a.Epoch)) })
	return out
}

// add notes a task's part.
func (r *Record) add(now stream.Time, e Acked) {
	t := TaskRecord{Task: e.Task, AckMS: now - r.TriggeredMS, AlignMS: e.AlignMS, SnapshotMS: e.SnapshotMS, UploadMS: e.UploadMS}
	for i := range e.Parts {
		t.SizeBytes += e.Parts[i].State.SizeBytes()
		t.NewBytes += e.Parts[i].NewBytes
	}
	r.SizeBytes += t.SizeBytes
	r.NewBytes += t.NewBytes
	r.Tasks = append(r.Tasks, t)
}

// end takes p out of flight and into the history.
func (c *Coordinator) end(p *pending, s Status, reason string) {
	c.pending = slices.DeleteFunc(c.pending, func(q *pending) bool { return q == p })
	p.Status, p.Reason, p.EndedMS = s, reason, c.now
	c.history = append(c.history, p.Record)
	c.forget()
	c.lastEndMS = c.now
}

// forget drops the oldest of the history. Of what is older than the last historyMax the newest savepoints stay: people start jobs from them.
func (c *Coordinator) forget() {
	savepoints := 0
	for i := len(c.history) - historyMax - 1; i >= 0; i-- {
		if r := &c.history[i]; r.Savepoint && r.Status == Completed && savepoints < savepointsMax {
			savepoints++
			continue
		}
		c.history = slices.Delete(c.history, i, i+1)
	}
}

// giveUp ends a checkpoint that does not complete; tell says whether tasks are there to hear it.
func (c *Coordinator) giveUp(p *pending, reason string, tell bool) []Command {
	c.end(p, Failed, reason)
	var cmds []Command
	if tell {
		cmds = append(cmds, Abort{p.Epoch, c.runningTasks(), reason})
	}
	if p.request != nil {
		cmds = append(cmds, RequestFailed{p.request.ID, reason})
		if p.request.Stop {
			c.stopping = false
		}
	}
	return cmds
}

// fail gives up a checkpoint for a reason that counts.
func (c *Coordinator) fail(p *pending, reason string) []Command {
	cmds := c.giveUp(p, reason, c.running && !p.orphaned)
	if p.request != nil || p.orphaned {
		return cmds // who asked is told
	}
	c.failures++
	if c.cfg.TolerableFailures >= 0 && c.failures > c.cfg.TolerableFailures && c.running {
		cmds = append(cmds, FailJob{fmt.Sprintf("%d checkpoints failed in a row, %d are tolerable; the last: %s", c.failures, c.cfg.TolerableFailures, reason)})
		c.failures = 0
	}
	return cmds
}

func (c *Coordinator) written(e Written) []Command {
	p := c.find(e.Epoch)
	if p == nil || !p.writing {
		return nil
	}
	p.Path = e.Path
	c.end(p, Completed, "")
	if last := c.newest(); !p.Savepoint && last != nil && !p.manifest.Newer(last) {
		// Its writing took longer than that of a newer one, which contains it: it is of no use.
		c.doubtful[p.Epoch] = true
		var cmds []Command
		if p.request != nil {
			cmds = append(cmds, RequestDone{ID: p.request.ID, Epoch: last.Epoch})
		}
		return append(cmds, c.sweep()...)
	}
	var cmds []Command
	// What began before is contained in it.
	for _, q := range slices.Clone(c.pending) {
		if q.Epoch >= p.Epoch || q.writing || q.Savepoint || p.Savepoint {
			continue
		}
		if q.request != nil {
			cmds = append(cmds, RequestDone{q.request.ID, p.Epoch, e.Path})
			q.request = nil
		}
		cmds = append(cmds, c.giveUp(q, fmt.Sprintf("epoch %d completed first", p.Epoch), c.running)...)
	}
	// A savepoint is not what a restart begins with, so nothing outside may rely on it: rows that came after the last checkpoint would come
	// again. Only the one that the job stops with commits, and is what it begins with from then on.
	if p.Savepoint && p.barrier.Stop {
		c.final, c.finalPath = p.manifest, e.Path
	}
	contained := c.final != nil && c.final.Newer(p.manifest)
	if c.running && !p.orphaned && !contained && (!p.Savepoint || p.barrier.Stop) {
		c.failures = 0
		cmds = append(cmds, Commit{p.Epoch, c.runningTasks(), p.Savepoint, p.barrier.Stop})
	}
	if p.request != nil {
		cmds = append(cmds, RequestDone{p.request.ID, p.Epoch, e.Path})
	}
	if !p.Savepoint {
		cmds = append(cmds, c.retain(p.manifest)...)
	}
	return cmds
}

// retain adds a completed checkpoint, and deletes what has become needless.
func (c *Coordinator) retain(m *Manifest) []Command {
	c.completed = append(c.completed, m)
	if c.final != nil && m.Newer(c.final) {
		c.final = nil
	}
	for len(c.completed) > c.cfg.Retained {
		c.doubtful[c.completed[0].Epoch] = true
		c.completed = slices.Delete(c.completed, 0, 1)
	}
	return c.sweep()
}

// sweep deletes the manifests that do not count and the files that nothing has or can have.
func (c *Coordinator) sweep() []Command {
	last := c.newest()
	if last == nil {
		return nil
	}
	used := map[string]bool{}
	for _, m := range c.completed {
		m.Files(func(f *File) { used[f.Path] = true })
	}
	// Those of manifests on their way are in checkpoints to come.
	for _, p := range c.pending {
		for _, parts := range p.parts {
			markParts(used, parts)
		}
	}
	d := Delete{Epochs: slices.Sorted(maps.Keys(c.doubtful))}
	for path, ref := range c.lastRef {
		if ref <= last.Epoch && !used[path] {
			d.Files = append(d.Files, path)
		}
	}
	if len(d.Epochs)+len(d.Files) == 0 {
		return nil
	}
	slices.Sort(d.Files)
	return []Command{d}
}

func markParts(used map[string]bool, parts []TaskPart) {
	for i := range parts {
		for _, f := range parts[i].State.Files {
			used[f.Path] = true
		}
	}
}

func (c *Coordinator) writeFailed(e WriteFailed) []Command {
	p := c.find(e.Epoch)
	if p == nil || !p.writing {
		return nil
	}
	if !p.Savepoint {
		c.doubtful[p.Epoch] = true
	}
	return c.fail(p, "write the manifest: "+e.Reason)
}

// deleted forgets what is gone. After a failure the next checkpoint's Delete has it all again.
func (c *Coordinator) deleted(e Deleted) {
	if e.Failure != "" {
		return
	}
	for _, epoch := range e.Epochs {
		delete(c.doubtful, epoch)
	}
	for _, path := range e.Files {
		delete(c.lastRef, path)
	}
}

// damaged gives up a completed checkpoint, unless it is the only one.
func (c *Coordinator) damaged(e stream.Epoch) {
	i := slices.IndexFunc(c.completed, func(m *Manifest) bool { return m.Epoch == e })
	if i < 0 || len(c.completed) == 1 {
		return
	}
	c.completed = slices.Delete(c.completed, i, i+1)
	c.doubtful[e] = true
}

// String describes the state in a few lines, for tests and logs.
func (c *Coordinator) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "next=%d running=%t tasks=%d", c.next, c.running, len(c.tasks))
	for _, p := range c.pending {
		fmt.Fprintf(&b, " pending=%d(%d acks", p.Epoch, len(p.parts))
		if p.writing {
			b.WriteString(", writing")
		}
		b.WriteString(")")
	}
	epochs := []string{}
	for _, m := range c.completed {
		epochs = append(epochs, fmt.Sprint(m.Epoch))
	}
	fmt.Fprintf(&b, " completed=[%s] failures=%d", strings.Join(epochs, " "), c.failures)
	if c.fenced {
		b.WriteString(" fenced")
	}
	return b.String()
}
