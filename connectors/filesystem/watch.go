package filesystem

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/bramble-stream/bramble/internal/sorting"
)

const (
	hashBytes = 8
	// queueMax bounds how many new files wait in memory; others are found again by the next scan.
	queueMax = 10000
	// doneMax bounds how many files a monitored directory may hold for one task: their hashes are in every checkpoint.
	doneMax = 1 << 20
)

// watch is a task's share of a monitored directory: which files it has read, and which come next.
type watch struct {
	path     string
	of, mine uint64
	interval time.Duration
	// seen are hashes of the files that have been read and were there at the last scan: those that are gone are forgotten.
	seen  map[uint64]struct{}
	queue []file
	next  time.Time
}

func newWatch(path, id string, done []byte, interval time.Duration) (*watch, error) {
	w := &watch{path: path, interval: interval, seen: map[uint64]struct{}{}}
	if _, err := fmt.Sscanf(id, "watch-%d-of-%d", &w.mine, &w.of); err != nil || w.of <= w.mine {
		return nil, fmt.Errorf("filesystem: %q is no split", id)
	}
	for ; len(done) >= hashBytes; done = done[hashBytes:] {
		w.seen[binary.BigEndian.Uint64(done)] = struct{}{}
	}
	return w, nil
}

// done returns the hashes of the files that have been read.
func (w *watch) done() []byte {
	hashes := make([]uint64, 0, len(w.seen))
	for h := range w.seen {
		hashes = append(hashes, h)
	}
	slices.Sort(hashes)
	out := make([]byte, 0, hashBytes*len(hashes))
	for _, h := range hashes {
		out = binary.BigEndian.AppendUint64(out, h)
	}
	return out
}

func (w *watch) finished(path string) { w.seen[xxh3.HashString(path)] = struct{}{} }

// scan lists the directory and queues the new files of this task, the oldest first.
func (w *watch) scan(now time.Time) error {
	w.next = now.Add(w.interval)
	files, err := list(w.path)
	if errors.Is(err, errNothing) {
		return err // keep what has been seen: a share may be away for a while
	} else if err != nil {
		return fmt.Errorf("list %s: %w", w.path, err)
	}
	there := make(map[uint64]struct{}, len(w.seen))
	for _, f := range files {
		h := xxh3.HashString(f.path)
		if h%w.of != w.mine {
			continue
		}
		if _, ok := w.seen[h]; ok {
			there[h] = struct{}{}
		} else {
			w.queue = append(w.queue, f)
		}
	}
	w.seen = there
	sorting.By(w.queue, func(a, b file) int {
		return cmp.Or(cmp.Compare(a.modified, b.modified), strings.Compare(a.path, b.path))
	})
	w.queue = w.queue[:min(len(w.queue), queueMax)]
	return nil
}

// nextWatched opens the next file of a monitored directory, looking for new ones when it is time to.
func (s *source) nextWatched(ctx context.Context, wait time.Duration) (bool, error) {
	sleep := wait
	for i, p := range s.parts {
		w := p.watch
		if p.pos.File != "" { // it was being read at the checkpoint
			return s.openWatched(i)
		}
		now := s.ctx.Clock.Now()
		if len(w.queue) == 0 && !now.Before(w.next) {
			err := w.scan(now)
			s.ctx.Health("files "+w.path, err)
			if len(w.seen) > doneMax {
				return false, fmt.Errorf("%s holds more than %d files that have been read: move them away", w.path, doneMax)
			}
		}
		if len(w.queue) > 0 {
			p.pos.File, p.pos.Offset = w.queue[0].path, 0
			w.queue = w.queue[1:]
			return s.openWatched(i)
		}
		sleep = min(sleep, max(w.next.Sub(now), 0))
	}
	s.timer.Reset(sleep)
	defer s.timer.Stop()
	select {
	case <-s.timer.C:
	case <-ctx.Done():
	}
	return false, nil
}

// openWatched opens the file at the position of split i. One that is gone is counted as bad and left: a directory is for files that
// come and go.
func (s *source) openWatched(i int) (bool, error) {
	s.at = i
	p := s.parts[i]
	err := s.open(p.pos.File, p.pos.Offset)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err == nil, err
	}
	err = s.refuse.Refuse(p.pos.File, nil, err)
	p.watch.finished(p.pos.File)
	p.pos.File, p.pos.Offset = "", 0
	return false, errors.Join(err, s.refuse.Flush())
}
