package sim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/job"
	"github.com/bramble-stream/bramble/engine/stream"
)

// The job: sources that count, a sum by key, a sink with transactions.
const (
	jobID                   = "job"
	vSource, vSum, vSink    = 0, 1, 2
	sourceTasks, splitCount = 2, 3
	keyGroups, keyCount     = 8, 5
	layersMax               = 4
)

var operators = []string{"source", "sum", "sink"}

func groupOf(key int) stream.KeyGroup {
	return stream.KeyGroupOf(uint64(key)*0x9e3779b97f4a7c15, keyGroups) //nolint:gosec // small
}

// element is what flows between tasks.
type element struct {
	kind    stream.Kind
	id, key int
	text    string // what the sink gets
	barrier stream.Barrier
}

// acc is how often a key has come.
type acc struct{ count, sum int }

// layer is an immutable file of a store.
type layer struct {
	name    string
	content []byte
}

type channel struct {
	queue   []element
	blocked bool
}

// task follows engine/task: what that does at barriers, at the end of input and on commands, without its goroutine.
type task struct {
	w           *world
	x           *exec
	ref         checkpoint.Task
	uniq        string
	aligner     *checkpoint.Aligner
	in          []channel
	open        int
	last        stream.Epoch
	aborted     stream.Epoch
	final       stream.Epoch
	committed   stream.Epoch
	triggered   stream.Barrier
	worked      bool
	done        bool // finished or failed
	sentAt      map[checkpoint.Task]stream.Time
	splits      []checkpoint.Split
	pos         []int
	ended       []checkpoint.Split
	state       map[int]acc
	dirty       map[int]bool
	layers      []layer
	made        int
	known       map[string]checkpoint.File
	buffer      []string
	uncommitted []checkpoint.Committable
	restored    bool // it had come to its end already
	uploads     []snapshot
	uploading   bool
}

type snapshot struct {
	epoch  stream.Epoch
	final  bool
	part   checkpoint.TaskPart
	layers []layer
}

func newTask(x *exec, ref checkpoint.Task) *task {
	w := x.tm.w
	w.seq++
	t := &task{
		w: w, x: x, ref: ref, uniq: fmt.Sprintf("%s-%d-%d-%d", operators[ref.Vertex], ref.Index, x.key.attempt, w.seq),
		sentAt: map[checkpoint.Task]stream.Time{}, state: map[int]acc{}, dirty: map[int]bool{}, known: map[string]checkpoint.File{},
	}
	if ref.Vertex > 0 {
		t.in = make([]channel, x.par[ref.Vertex-1])
	}
	t.open = len(t.in)
	t.aligner = checkpoint.NewAligner(len(t.in))
	if ref.Vertex == vSource {
		for s := ref.Index; s < splitCount; s += sourceTasks {
			t.splits = append(t.splits, checkpoint.Split{ID: strconv.Itoa(s), Pos: []byte("0")})
		}
	}
	return t
}

// restore takes over what a checkpoint holds. read reads a file.
func (t *task) restore(epoch stream.Epoch, a checkpoint.Assignment, read func(checkpoint.File) ([]byte, error)) error {
	t.last, t.restored = epoch, a.Finished
	if t.ref.Vertex == vSource {
		t.splits, t.ended = a.Splits, a.Ended
	}
	if t.w.bug != NoRecommit {
		for _, c := range a.Committables {
			t.w.model.commit(c, "again, restoring")
		}
	}
	whole := len(a.Parts) == 1 && a.Parts[0].Whole && a.Parts[0].Range == a.Range
	for _, p := range a.Parts {
		for _, f := range p.Files {
			b, err := read(f)
			if err != nil {
				return err
			}
			if err := decodeLayer(b, func(key int, v acc) {
				if p.Range.Contains(groupOf(key)) {
					t.state[key] = v
				}
			}); err != nil {
				return err
			}
			if whole {
				t.layers = append(t.layers, layer{f.Name, b})
				t.known[f.Name] = f
			}
		}
	}
	if !whole {
		for key := range t.state {
			t.dirty[key] = true
		}
	}
	return nil
}

func decodeLayer(b []byte, f func(key int, v acc)) error {
	for line := range strings.Lines(string(b)) {
		var key int
		var v acc
		if _, err := fmt.Sscanf(line, "%d %d %d", &key, &v.count, &v.sum); err != nil {
			return fmt.Errorf("layer %q: %w", line, err)
		}
		f(key, v)
	}
	return nil
}

// start begins to work; a source without anything to read comes to its end.
func (t *task) start() {
	if t.ref.Vertex == vSource {
		for _, s := range t.splits {
			n, _ := strconv.Atoi(string(s.Pos))
			t.pos = append(t.pos, n)
		}
		t.emit()
		return
	}
	t.work()
}

func (t *task) gone() bool { return t.x.dead || t.done }

// emit sends a source's next record, and comes again.
func (t *task) emit() {
	if t.gone() || t.worked {
		return
	}
	var left []int
	for i, p := range t.pos {
		if p < t.w.model.records {
			left = append(left, i)
		}
	}
	if len(left) == 0 {
		t.finish()
		return
	}
	i := left[t.w.rng.IntN(len(left))]
	split, _ := strconv.Atoi(t.splits[i].ID)
	id := split*recordsMax + t.pos[i]
	t.pos[i]++
	key := keyOf(id)
	to := stream.TaskOf(groupOf(key), keyGroups, t.x.par[vSum])
	t.send(checkpoint.Task{Vertex: vSum, Index: to}, element{kind: stream.KindBatch, id: id, key: key})
	t.w.after(t.w.between(1, t.w.model.pauseMS), "emit", t.emit)
}

// send puts an element on the connection to a peer, which keeps the order.
func (t *task) send(to checkpoint.Task, e element) {
	at := max(t.sentAt[to], t.w.now+t.w.delay())
	t.sentAt[to] = at
	t.w.after(at-t.w.now, "data", func() {
		if t.x.dead {
			return // in flight, and lost
		}
		peer := t.w.find(t.x.placement[to.Vertex][to.Index], t.x.key, to)
		if peer == nil || t.w.apart(t.x.tm.id, peer.x.tm.id) {
			t.fail("connection to a peer lost")
			return
		}
		peer.in[t.ref.Index].queue = append(peer.in[t.ref.Index].queue, e)
		peer.work()
	})
}

func (t *task) outputs(e element) {
	if t.ref.Vertex == vSink {
		return
	}
	for i := range t.x.par[t.ref.Vertex+1] {
		t.send(checkpoint.Task{Vertex: t.ref.Vertex + 1, Index: i}, e)
	}
}

// work takes what has come, from any channel that is not blocked.
func (t *task) work() {
	for t.x.started && !t.gone() {
		var ready []int
		for i := range t.in {
			if !t.in[i].blocked && len(t.in[i].queue) > 0 {
				ready = append(ready, i)
			}
		}
		if len(ready) == 0 {
			return
		}
		i := ready[t.w.rng.IntN(len(ready))]
		e := t.in[i].queue[0]
		t.in[i].queue = t.in[i].queue[1:]
		t.take(i, e)
	}
}

func (t *task) take(in int, e element) {
	switch e.kind {
	case stream.KindBatch:
		t.process(e)
	case stream.KindBarrier:
		if t.w.bug == NoAlignment {
			t.snapshot(e.barrier)
			return
		}
		s := t.aligner.OnBarrier(in, e.barrier)
		if s.Aborted != 0 {
			t.unblock()
		}
		if s.Block && t.w.bug != ReadPastCut {
			t.in[in].blocked = true
		}
		if s.Snapshot {
			t.snapshot(s.Barrier)
			t.unblock()
		}
	case stream.KindEnd:
		t.open--
		if s := t.aligner.OnEnd(in); s.Snapshot {
			t.snapshot(s.Barrier)
			t.unblock()
		}
		if t.open == 0 {
			t.finish()
		}
	case stream.KindWatermark, stream.KindIdle, stream.KindLatency:
	}
}

func (t *task) process(e element) {
	if t.restored {
		t.w.violate("%v had come to its end at a checkpoint, and gets record %d after it", t.ref, e.id)
	}
	if t.ref.Vertex == vSink {
		t.buffer = append(t.buffer, e.text)
		return
	}
	v := t.state[e.key]
	v.count++
	v.sum += e.id
	t.state[e.key] = v
	t.dirty[e.key] = true
	t.outputs(element{kind: stream.KindBatch, id: e.id, key: e.key, text: fmt.Sprintf("%d %d %d", e.id, e.key, v.count)})
}

func (t *task) unblock() {
	for i := range t.in {
		t.in[i].blocked = false
	}
}

// finish is the end of the input: outputs end, and the last checkpoint publishes.
func (t *task) finish() {
	t.outputs(element{kind: stream.KindEnd})
	t.worked = true
	t.snapshot(t.triggered)
	t.x.sess.up("end of input", func(j *jobmanager) { j.onEndOfInput(t.x.key, t.ref) })
	if t.w.bug == KeepFinalAlone {
		t.complete()
	}
}

func (t *task) trigger(b stream.Barrier) {
	if t.gone() {
		return
	}
	if t.ref.Vertex == vSource || t.worked {
		t.snapshot(b)
	} else if b.Epoch > t.triggered.Epoch {
		t.triggered = b
	}
}

func (t *task) abort(e stream.Epoch) {
	if t.gone() {
		return
	}
	t.aborted = max(t.aborted, e)
	if t.aligner.OnAbort(e).Aborted != 0 {
		t.unblock()
	}
	if t.w.bug == CommitAborted {
		t.publish(e)
	}
	t.work()
}

func (t *task) commit(e stream.Epoch) {
	if t.gone() {
		return
	}
	t.committed = max(t.committed, e)
	t.publish(e)
	if t.final != 0 && t.committed >= t.final {
		t.complete()
	}
}

func (t *task) publish(e stream.Epoch) {
	for len(t.uncommitted) > 0 && t.uncommitted[0].Epoch <= e {
		t.w.model.commit(t.uncommitted[0], t.uniq)
		t.uncommitted = t.uncommitted[1:]
	}
}

func (t *task) complete() {
	t.done = true
	t.x.report(t.ref, job.TaskFinished, nil)
}

func (t *task) fail(why string) {
	if t.gone() {
		return
	}
	t.done = true
	t.w.note("%v on %s fails: %s", t.ref, t.x.tm.id, why)
	t.x.report(t.ref, job.TaskFailed, &job.Failure{Message: why, Task: job.Ref(t.ref), HasTask: true, Secondary: true})
}

// snapshot is the task's part in a checkpoint.
func (t *task) snapshot(b stream.Barrier) {
	if b.Epoch <= t.last || b.Epoch <= t.aborted {
		return
	}
	t.last = b.Epoch
	if !t.worked {
		t.outputs(element{kind: stream.KindBarrier, barrier: b})
	}
	par := t.x.par[t.ref.Vertex]
	s := snapshot{epoch: b.Epoch, final: t.worked, part: checkpoint.TaskPart{
		Operator: operators[t.ref.Vertex], Name: operators[t.ref.Vertex], Parallelism: par, MaxParallelism: keyGroups,
		State: checkpoint.TaskState{Index: t.ref.Index, Range: stream.RangeOf(t.ref.Index, keyGroups, par), Finished: t.worked},
	}}
	switch t.ref.Vertex {
	case vSource:
		s.part.State.Splits = slices.Clone(t.ended)
		for i, sp := range t.splits {
			s.part.State.Splits = append(s.part.State.Splits, checkpoint.Split{
				ID: sp.ID, Pos: []byte(strconv.Itoa(t.pos[i])), Ended: t.pos[i] >= t.w.model.records,
			})
		}
	case vSum:
		t.flush()
		s.layers = slices.Clone(t.layers)
	case vSink:
		if len(t.buffer) > 0 {
			t.uncommitted = append(t.uncommitted, checkpoint.Committable{Epoch: b.Epoch, Data: []byte(strings.Join(t.buffer, "\n"))})
			t.buffer = nil
		}
		s.part.State.Committables = slices.Clone(t.uncommitted)
		if t.w.bug == CommitAtOnce {
			t.publish(b.Epoch)
		}
	}
	if t.worked && t.final == 0 {
		t.final = b.Epoch
	}
	t.uploads = append(t.uploads, s)
	t.upload()
}

// flush writes what is dirty to a new layer, or everything to the only one.
func (t *task) flush() {
	if len(t.dirty) == 0 {
		return
	}
	keys := slices.Sorted(maps.Keys(t.dirty))
	if len(t.layers) >= layersMax || t.w.oneIn(4) {
		keys, t.layers = slices.Sorted(maps.Keys(t.state)), nil
	}
	var b bytes.Buffer
	for _, k := range keys {
		fmt.Fprintf(&b, "%d %d %d\n", k, t.state[k].count, t.state[k].sum)
	}
	t.made++
	t.layers = append(slices.Clone(t.layers), layer{fmt.Sprintf("%s-%d", t.uniq, t.made), b.Bytes()})
	clear(t.dirty)
}

// upload makes the oldest snapshot durable, file by file, once the jobmanager has told of it.
func (t *task) upload() {
	if t.uploading || len(t.uploads) == 0 || t.x.dead || !t.x.told[t.uploads[0].epoch] {
		return
	}
	t.uploading = true
	s := &t.uploads[0]
	if s.epoch <= t.x.aborted {
		t.uploaded(s, "it was given up")
		return
	}
	if t.w.bug == AckEarly {
		part := s.part
		for _, l := range s.layers {
			part.State.Files = append(part.State.Files, t.fileAt(s.epoch, l))
		}
		t.x.ack(t.ref, s.epoch, part, s.final)
	}
	t.uploadNext(s, 0, map[string]checkpoint.File{})
}

// fileAt is where a layer is, or goes to.
func (t *task) fileAt(e stream.Epoch, l layer) checkpoint.File {
	if f, ok := t.known[l.name]; ok {
		return f
	}
	return checkpoint.File{
		Path: fmt.Sprintf("shared/%020d/%s", uint64(e), l.name), Name: l.name, SizeBytes: int64(len(l.content)),
		Checksum: checkpoint.Checksum(xxh3.Hash(l.content)),
	}
}

func (t *task) uploadNext(s *snapshot, i int, used map[string]checkpoint.File) {
	for ; i < len(s.layers); i++ { // what is there already takes no time
		f, ok := t.known[s.layers[i].name]
		if !ok {
			break
		}
		s.part.State.Files = append(s.part.State.Files, f)
		used[f.Name] = f
	}
	t.w.after(t.w.delay()*2, "upload", func() {
		if t.x.dead {
			return
		}
		if i == len(s.layers) {
			t.known = used
			t.uploaded(s, "")
			return
		}
		l := s.layers[i]
		f, err := t.x.store.PutState(context.Background(), s.epoch, l.name, l.name, int64(len(l.content)), func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(l.content)), nil
		})
		if err != nil {
			if t.w.bug == ForgetFiles {
				t.known[l.name] = t.fileAt(s.epoch, l)
			}
			t.uploaded(s, err.Error())
			return
		}
		s.part.State.Files = append(s.part.State.Files, f)
		used[l.name] = f
		t.uploadNext(s, i+1, used)
	})
}

// uploaded tells, and goes on with the next.
func (t *task) uploaded(s *snapshot, failure string) {
	if t.x.dead {
		return
	}
	switch {
	case failure != "":
		t.x.sess.up("decline", func(j *jobmanager) {
			j.onAttempt(t.x.key, checkpoint.Declined{Epoch: s.epoch, Task: t.ref, Reason: failure})
		})
	case t.w.bug != AckEarly:
		t.x.ack(t.ref, s.epoch, s.part, s.final)
	}
	t.uploads, t.uploading = t.uploads[1:], false
	t.upload()
}
