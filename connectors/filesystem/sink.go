package filesystem

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/duration"
)

const (
	// bufferBytes are collected before they are written.
	bufferBytes = 64 << 10
	// openMax files are open at a time, one a partition; the one that was written longest ago is finished for a new one.
	openMax = 64

	// A file is being written under .<name>.inprogress, waits for its checkpoint under .<name>.pending, and appears as <name>.
	inProgress, pending = ".inprogress", ".pending"
)

// sink writes part files. They become visible when the checkpoint that holds them is complete: exactly once.
type sink struct {
	table *graph.TableSpec
	enc   format.Encoder
	dir   string
	ctx   *op.Context
	// name begins all names of this task's files, family those of all tasks of the operator; nextPart numbers them.
	name     string
	family   string
	nextPart int64
	size     int64
	interval time.Duration
	null     string

	// open files by the partition's directory, relative to dir.
	open map[string]*output
	// finished files wait for Prepare.
	finished []committable
	// made: there was no directory before.
	made bool
	// stale are pending files of former attempts. Those that the last checkpoint holds are committed before this attempt's first one.
	stale map[string]struct{}
	// first is the epoch of this attempt's first Prepare, 0 before it.
	first stream.Epoch
	path  []byte
}

// output is a file being written.
type output struct {
	// partition is a directory, the names are of files, all relative to the sink's directory.
	partition            string
	temp, pending, final string
	f                    *os.File
	buf                  []byte
	size                 int64
	opened, written      time.Time
}

// committable names a file that waits to appear; paths are relative to Dir.
type committable struct {
	Temp  string `json:"temp"`
	Final string `json:"final"`
	// Dir is the table's directory, absolute; "" was written by older versions. A job that goes on from a savepoint may have another: what was prepared
	// in the old one appears there, as with Flink.
	Dir string `json:"dir,omitempty"`
}

var _ op.Sink = (*sink)(nil)

func newSink(t *graph.TableSpec) (*sink, error) {
	dir, err := pathOf(t)
	if err != nil {
		return nil, err
	}
	if isPattern(dir) {
		return nil, fmt.Errorf("'path' = '%s' is a pattern; a sink writes to one directory", dir)
	}
	visible, err := forFormat(t)
	if err != nil {
		return nil, err
	}
	s := &sink{table: t, dir: dir, size: 128 << 20, interval: 30 * time.Minute, null: defaultPartition(t), open: map[string]*output{}}
	if s.enc, err = format.NewEncoder(visible); err != nil {
		return nil, err
	}
	if v := t.Options["sink.rolling-policy.file-size"]; v != "" {
		if s.size, err = format.ParseSize(v); err != nil {
			return nil, fmt.Errorf("option 'sink.rolling-policy.file-size': %w", err)
		}
	}
	if v := t.Options["sink.rolling-policy.rollover-interval"]; v != "" {
		if s.interval, err = duration.Parse(v); err != nil {
			return nil, fmt.Errorf("option 'sink.rolling-policy.rollover-interval': %w", err)
		}
	}
	return s, nil
}

// fail says what a failed file operation was for. The job's strategy starts it again: it may succeed later, when there is space, or the share is back.
func (s *sink) fail(err error) error {
	return fmt.Errorf("write table %s: %w", s.table.Name, err)
}

// Open removes what former attempts of this task left unfinished.
func (s *sink) Open(ctx *op.Context) error {
	s.ctx = ctx
	s.name = fmt.Sprintf("part-%.8s-", ctx.Task.JobID)
	if ctx.Task.OperatorID != "" { // a job may write the table in two places
		s.name += fmt.Sprintf("%.8s-", ctx.Task.OperatorID)
	}
	s.family = s.name
	s.name += strconv.Itoa(ctx.Task.Index) + "-"
	if dir, err := filepath.Abs(s.dir); err == nil {
		s.dir = dir
	}
	if _, err := os.Stat(s.dir); err != nil {
		s.made = true
	}
	if err := os.MkdirAll(s.dir, 0o777); err != nil {
		return s.fail(err)
	}
	if err := s.sweep(); err != nil {
		return s.fail(err)
	}
	if ctx.Checkpointing {
		return nil
	}
	for p := range s.stale { // whole files that were about to appear
		final := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(p), "."), pending)
		if err := os.Rename(p, filepath.Join(filepath.Dir(p), final)); err != nil {
			return s.fail(err)
		}
	}
	clear(s.stale)
	return nil
}

// sweep finds the files that are this task's business: in-progress ones are removed, pending ones noted, and numbers go on behind the highest.
func (s *sink) sweep() error {
	s.stale = map[string]struct{}{}
	return filepath.WalkDir(s.dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // another task was faster
		case err != nil:
			return err
		case d.IsDir():
			if p != s.dir && (len(s.table.PartitionKeys) == 0 || !strings.Contains(d.Name(), "=")) {
				return fs.SkipDir
			}
			return nil
		}
		number, suffix, mine := s.parse(d.Name())
		if !mine {
			return nil
		}
		if strings.HasPrefix(strings.TrimPrefix(d.Name(), "."), s.name) {
			s.nextPart = max(s.nextPart, number+1)
		}
		switch suffix {
		case inProgress:
			if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		case pending:
			s.stale[p] = struct{}{}
		}
		return nil
	})
}

// parse takes a file's name apart. Files of tasks that are no more, after a job has been rescaled, are of the task that is given their
// committables: index modulo the parallelism.
func (s *sink) parse(name string) (number int64, suffix string, mine bool) {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(name, "."), s.family)
	if i := strings.IndexByte(rest, '.'); i >= 0 {
		rest, suffix = rest[:i], rest[i:]
	}
	task, part, two := strings.Cut(rest, "-")
	index, err1 := strconv.Atoi(task)
	number, err2 := strconv.ParseInt(part, 10, 64)
	mine = ok && two && err1 == nil && err2 == nil && index >= 0 && index%max(s.ctx.Task.Parallelism, 1) == s.ctx.Task.Index
	return number, suffix, mine
}

func (s *sink) Write(_ context.Context, b *vec.Batch) error {
	now := s.ctx.Clock.Now()
	sel := b.Sel()
	for k := range b.Len() {
		i := k
		if sel != nil {
			i = sel[k]
		}
		o, err := s.output(b, i, now)
		if err != nil {
			return err
		}
		at := len(o.buf)
		if o.buf, err = s.enc.Encode(o.buf, b, i); err != nil {
			return err
		}
		o.buf = append(o.buf, '\n')
		o.size += int64(len(o.buf) - at)
		o.written = now
		if len(o.buf) >= bufferBytes {
			if err := s.flush(o); err != nil {
				return err
			}
		}
		if o.size >= s.size {
			if err := s.roll(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// output is the file that a row goes to.
func (s *sink) output(b *vec.Batch, i int, now time.Time) (*output, error) {
	s.path = s.path[:0]
	for _, k := range s.table.PartitionKeys {
		if len(s.path) > 0 {
			s.path = append(s.path, filepath.Separator)
		}
		s.path = escape(s.path, []byte(s.table.Schema.Fields[k].Name))
		s.path = append(s.path, '=')
		s.path = s.appendValue(s.path, b.Col(k), i)
	}
	if o := s.open[string(s.path)]; o != nil {
		return o, nil
	}
	if len(s.open) >= openMax {
		if err := s.rollOldest(); err != nil {
			return nil, err
		}
	}
	return s.create(string(s.path), now)
}

func (s *sink) appendValue(dst []byte, c *vec.Col, i int) []byte {
	if c.IsNull(i) {
		return append(dst, s.null...)
	}
	text := format.AppendValueText(nil, c, i, format.TextStyle{Sep: ' '})
	if len(text) == 0 {
		return append(dst, s.null...)
	}
	return escape(dst, text)
}

// create opens the next part file of a partition, under a name that no file has.
func (s *sink) create(partition string, now time.Time) (*output, error) {
	if err := os.MkdirAll(filepath.Join(s.dir, partition), 0o777); err != nil {
		return nil, s.fail(err)
	}
	for {
		name := s.name + strconv.FormatInt(s.nextPart, 10)
		s.nextPart++
		o := &output{
			partition: partition, temp: filepath.Join(partition, "."+name+inProgress), pending: filepath.Join(partition, "."+name+pending),
			final: filepath.Join(partition, name), opened: now,
		}
		if s.exists(o.final) || s.exists(o.pending) {
			continue
		}
		f, err := os.OpenFile(s.at(o.temp), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return nil, s.fail(err)
		}
		if s.exists(o.pending) || s.exists(o.final) { // a former attempt that does not know of its end had the name until now
			if err := errors.Join(f.Close(), os.Remove(s.at(o.temp))); err != nil {
				return nil, s.fail(err)
			}
			continue
		}
		o.f = f
		s.open[partition] = o
		return o, nil
	}
}

func (s *sink) at(name string) string { return filepath.Join(s.dir, name) }

func (s *sink) exists(name string) bool {
	_, err := os.Lstat(s.at(name))
	return err == nil
}

func (s *sink) flush(o *output) error {
	if len(o.buf) == 0 {
		return nil
	}
	n, err := o.f.Write(o.buf)
	s.ctx.Metrics.BytesOut.Add(int64(n))
	if err != nil {
		return s.fail(err)
	}
	o.buf = o.buf[:0]
	return nil
}

// roll finishes a file: everything is on the disk. It appears by Commit, or at once when there are no checkpoints to wait for.
func (s *sink) roll(o *output) error {
	delete(s.open, o.partition)
	if err := s.flush(o); err != nil {
		return errors.Join(err, o.f.Close())
	}
	if err := errors.Join(o.f.Sync(), o.f.Close()); err != nil {
		return s.fail(err)
	}
	if err := os.Rename(s.at(o.temp), s.at(o.pending)); err != nil {
		return s.fail(err)
	}
	c := committable{Temp: o.pending, Final: o.final, Dir: s.dir}
	if !s.ctx.Checkpointing {
		return s.publish(c, false)
	}
	s.finished = append(s.finished, c)
	return nil
}

func (s *sink) rollOldest() error {
	var oldest *output
	for _, o := range s.open {
		if oldest == nil || o.written.Before(oldest.written) {
			oldest = o
		}
	}
	return s.roll(oldest)
}

// Flush writes what is buffered, and finishes the files that have been open for long.
func (s *sink) Flush(context.Context) error {
	now := s.ctx.Clock.Now()
	for _, o := range s.open {
		if now.Sub(o.opened) >= s.interval {
			if err := s.roll(o); err != nil {
				return err
			}
		} else if err := s.flush(o); err != nil {
			return err
		}
	}
	return nil
}

// Prepare finishes all files and names those that wait to appear.
func (s *sink) Prepare(_ context.Context, epoch stream.Epoch) ([]byte, error) {
	if s.first == 0 {
		s.first = epoch
	}
	for _, o := range s.open {
		if err := s.roll(o); err != nil {
			return nil, err
		}
	}
	if len(s.finished) == 0 && len(s.stale) == 0 { // with stale files Commit has something to do
		return nil, nil
	}
	out, err := json.Marshal(s.finished)
	s.finished = nil
	return out, err
}

// Commit makes the files appear. Those that have are left alone.
func (s *sink) Commit(_ context.Context, epoch stream.Epoch, prepared []byte) error {
	if len(prepared) == 0 {
		return nil
	}
	var files []committable
	if err := json.Unmarshal(prepared, &files); err != nil {
		return fmt.Errorf("filesystem: commit %.200q: %w", prepared, err)
	}
	restored := s.first == 0 || epoch < s.first
	for _, c := range files {
		if !filepath.IsLocal(c.Temp) || !filepath.IsLocal(c.Final) {
			return fmt.Errorf("filesystem: commit %q as %q: not in the table's directory", c.Temp, c.Final)
		}
		if err := s.publish(c, restored); err != nil {
			return err
		}
	}
	if restored {
		return nil
	}
	// A checkpoint of this attempt is complete, so what the one before it held has been committed: the rest belongs to none.
	for p := range s.stale {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s.fail(err)
		}
	}
	clear(s.stale)
	return nil
}

// publish makes a file appear. restored: it is of the checkpoint that the job goes on from, and may have appeared before.
func (s *sink) publish(c committable, restored bool) error {
	dir := s.dir
	if c.Dir != "" {
		dir = c.Dir
	}
	temp, final := filepath.Join(dir, c.Temp), filepath.Join(dir, c.Final)
	err := os.Rename(temp, final)
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Lstat(final); statErr == nil {
			return nil // it had been committed
		}
		if restored {
			return s.missing(dir, final)
		}
	}
	if err != nil {
		return s.fail(err)
	}
	delete(s.stale, temp)
	s.syncDir(filepath.Dir(final))
	return nil
}

// missing decides about a file that a checkpoint says was to appear and that does not wait any more: it had appeared, and who reads the table may have taken it
// away since. That is so where the directory is; a machine that has none never had the file.
func (s *sink) missing(dir, final string) error {
	if dir == s.dir && s.made {
		_ = os.Remove(dir) // as long as it is empty: the next attempt is to see the same
	} else if _, err := os.Stat(dir); err == nil {
		s.ctx.Log.Warn("a file of the checkpoint that the job goes on from has gone: somebody took it away after it had appeared", "table", s.table.Name, "file", final)
		return nil
	}
	return s.fail(fmt.Errorf("the checkpoint or savepoint that the job goes on from holds %s, and this machine has no directory %s: all taskmanagers have to see the directory that was written to then. "+
		"If its files are not wanted any more, make it, empty", filepath.Base(final), dir))
}

// syncDir makes a rename last over a power cut, where the file system knows how to: a CIFS share refuses.
func (s *sink) syncDir(dir string) {
	d, err := os.Open(dir)
	if err != nil {
		return
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		s.ctx.Log.Debug("directory is not synced", "reason", err.Error())
	}
}

// Close leaves what was not committed: under names with a dot, for the next attempt to remove.
func (s *sink) Close() error {
	var errs []error
	for _, o := range s.open {
		errs = append(errs, o.f.Close())
	}
	clear(s.open)
	return errors.Join(errs...)
}
