// Package ckptstore keeps checkpoints in a blob.Store: where things are, in which order they are written and removed, and who may. It
// decides nothing about when; that is the coordinator's.
//
// Below the root, which all jobmanagers and taskmanagers of a cluster share:
//
//	leader/<20 digits>                       one for each jobmanager that ever led (the last few)
//	leader/<20 digits>.lease, leader/standby-<id>
//	                                         that the leader lives, and who stands by
//	jobs/<job>/<leader>-<attempt>            what a job that has not ended is planned from
//	<job>/shared/<epoch, 20 digits>/<file>   state files, in the directory of the epoch that uploaded them
//	<job>/chk-<epoch>/manifest               what makes a checkpoint
//	<savepoint>/manifest, <savepoint>/state/<file>
//
// Nothing but a lease is ever overwritten. A manifest is written last and removed first, so that at every moment, crashes included, what a manifest lists
// is there; what no manifest lists is an orphan, which GC removes.
package ckptstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/internal/sorting"
)

// ErrNone says that there is no checkpoint to begin with.
var ErrNone = errors.New("ckptstore: no checkpoint")

// Store is the checkpoints of one job. Its methods may be called by any goroutine.
type Store struct {
	blob blob.Store
	job  string
}

// New returns the store of a job below root.
func New(root blob.Store, jobID string) (*Store, error) {
	b, err := blob.Sub(root, jobID)
	if err != nil || strings.Contains(jobID, "/") {
		return nil, errors.Join(fmt.Errorf("job %q cannot name a directory of checkpoints", jobID), err)
	}
	return &Store{b, jobID}, nil
}

func sharedDir(e stream.Epoch) string { return fmt.Sprintf("shared/%020d/", uint64(e)) }

func manifestName(e stream.Epoch) string { return fmt.Sprintf("chk-%d/manifest", uint64(e)) }

// PutState uploads a file of state for an epoch. unique tells it from all others of the job, those of earlier attempts included:
// operator, task, attempt and the snapshot's name for it. open may be called several times.
func (s *Store) PutState(ctx context.Context, epoch stream.Epoch, unique, name string, sizeBytes int64, open func() (io.ReadCloser, error)) (checkpoint.File, error) {
	return putState(ctx, s.blob, sharedDir(epoch)+unique, name, sizeBytes, open)
}

func putState(ctx context.Context, b blob.Store, path, name string, sizeBytes int64, open func() (io.ReadCloser, error)) (checkpoint.File, error) {
	var h *xxh3.Hasher
	err := b.Put(ctx, path, blob.Content{SizeBytes: sizeBytes, Open: func() (io.ReadCloser, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}
		h = xxh3.New() // anew for each attempt; the last is the one that counts
		return struct {
			io.Reader
			io.Closer
		}{io.TeeReader(io.LimitReader(r, sizeBytes+1), h), r}, nil
	}})
	if err != nil {
		return checkpoint.File{}, fmt.Errorf("upload state: %w", err)
	}
	return checkpoint.File{Path: path, Name: name, SizeBytes: sizeBytes, Checksum: checkpoint.Checksum(h.Sum64())}, nil
}

// OpenState reads a file of a manifest of this job. Its last Read fails with checkpoint.ErrCorrupt unless size and checksum are right.
func (s *Store) OpenState(ctx context.Context, f checkpoint.File) (io.ReadCloser, error) {
	return openState(ctx, s.blob, f)
}

func openState(ctx context.Context, b blob.Store, f checkpoint.File) (io.ReadCloser, error) {
	r, err := b.Open(ctx, f.Path, 0, -1)
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	return &verifier{r: r, f: f, h: xxh3.New()}, nil
}

type verifier struct {
	r io.ReadCloser
	f checkpoint.File
	h *xxh3.Hasher
	n int64
}

func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	_, _ = v.h.Write(p[:n]) // never fails
	v.n += int64(n)
	switch {
	case v.n > v.f.SizeBytes, errors.Is(err, io.EOF) && v.n != v.f.SizeBytes:
		return n, fmt.Errorf("read state %s: %w: %d bytes, not %d", v.f.Path, checkpoint.ErrCorrupt, v.n, v.f.SizeBytes)
	case errors.Is(err, io.EOF) && v.h.Sum64() != uint64(v.f.Checksum):
		return n, fmt.Errorf("read state %s: %w: checksum", v.f.Path, checkpoint.ErrCorrupt)
	}
	return n, err
}

func (v *verifier) Close() error { return v.r.Close() }

// WriteManifest makes m visible, which makes it a checkpoint, and returns its path. l must lead before and after: with ErrFenced a newer
// leader may or may not have seen m, and nothing may be committed.
func (s *Store) WriteManifest(ctx context.Context, l *Leader, m *checkpoint.Manifest) (string, error) {
	b, err := s.encode(l, m)
	if err != nil {
		return "", err
	}
	if err := l.Check(ctx); err != nil {
		return "", fmt.Errorf("write manifest of epoch %d: %w", m.Epoch, err)
	}
	name := manifestName(m.Epoch)
	// Exclusively: an older leader's late epoch of the same number is neither overwritten nor overwrites.
	if err := s.blob.CreateExclusive(ctx, name, b); err != nil {
		return "", fmt.Errorf("write manifest of epoch %d: %w", m.Epoch, err)
	}
	if err := l.Check(ctx); err != nil {
		return "", fmt.Errorf("after writing the manifest of epoch %d: %w", m.Epoch, err)
	}
	return s.job + "/" + name, nil
}

func (s *Store) encode(l *Leader, m *checkpoint.Manifest) ([]byte, error) {
	if m.JobID != s.job || m.Leader != l.Epoch() {
		return nil, fmt.Errorf("write manifest of epoch %d: it is job %s's by leader %d, not %s's by %d", m.Epoch, m.JobID, m.Leader, s.job, l.Epoch())
	}
	return checkpoint.Encode(m)
}

// Skipped is a checkpoint that cannot be used.
type Skipped struct {
	Epoch stream.Epoch
	Err   error
}

// Found is what storage has of a job.
type Found struct {
	// Manifests are the usable ones, the newest first. All their files were there, of the right size, but for LastResort.
	Manifests []*checkpoint.Manifest
	// Skipped are torn, damaged, of an unknown version, or lack files.
	Skipped []Skipped
	// Used is the highest epoch that anything has been written for.
	Used stream.Epoch
	// LastResort says that not one checkpoint was whole, and that Manifests are those that lack files or have some of the wrong size: taskmanagers may still
	// have what is missing. They are in Skipped, too. Nothing is to be cleaned up beside them.
	LastResort bool
}

// Latest is the manifest to restore from, or ErrNone. An error other than that says that there are some, but that none can be used.
func (f *Found) Latest() (*checkpoint.Manifest, error) {
	switch {
	case len(f.Manifests) > 0:
		return f.Manifests[0], nil
	case len(f.Skipped) > 0:
		return nil, fmt.Errorf("no checkpoint is usable, the newest of %d because: %w", len(f.Skipped), f.Skipped[len(f.Skipped)-1].Err)
	}
	return nil, ErrNone
}

// Find reads all manifests. A manifest that cannot be read now, though it may later, is an error: to go back behind it would be wrong.
func (s *Store) Find(ctx context.Context) (*Found, error) {
	l, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	f := &Found{Used: l.used}
	var incomplete []*checkpoint.Manifest
	for _, e := range l.manifests {
		m, err := s.Load(ctx, e)
		if err == nil {
			if err = l.complete(m); err == nil {
				f.Manifests = append(f.Manifests, m)
				continue
			}
			incomplete = append(incomplete, m)
		}
		if !unusable(err) {
			return nil, fmt.Errorf("find checkpoints of job %s: %w", s.job, err)
		}
		f.Skipped = append(f.Skipped, Skipped{e, err})
	}
	if len(f.Manifests) == 0 && len(incomplete) > 0 {
		f.Manifests, f.LastResort = incomplete, true
	}
	sorting.By(f.Manifests, func(a, b *checkpoint.Manifest) int {
		if a.Newer(b) {
			return -1
		}
		return 1 // never equal: epochs differ
	})
	return f, nil
}

// unusable says that reading again is of no use. What has vanished was deleted as needless.
func unusable(err error) bool {
	return errors.Is(err, checkpoint.ErrCorrupt) || errors.Is(err, checkpoint.ErrVersion) || errors.Is(err, blob.ErrNotExist)
}

// Load reads one manifest.
func (s *Store) Load(ctx context.Context, e stream.Epoch) (*checkpoint.Manifest, error) {
	m, err := load(ctx, s.blob, manifestName(e))
	if err != nil {
		return nil, fmt.Errorf("load epoch %d: %w", e, err)
	}
	if m.JobID != s.job || m.Epoch != e {
		return nil, fmt.Errorf("load epoch %d of job %s: %w: it says epoch %d of job %s", e, s.job, checkpoint.ErrCorrupt, m.Epoch, m.JobID)
	}
	return m, nil
}

func load(ctx context.Context, b blob.Store, name string) (*checkpoint.Manifest, error) {
	data, err := blob.ReadAll(ctx, b, name, checkpoint.ManifestBytesMax)
	if err != nil {
		return nil, err
	}
	return checkpoint.Decode(data)
}

// listing is what a job has in storage.
type listing struct {
	manifests []stream.Epoch // ascending
	// files are state files by path; others are objects in chk- directories that are no manifests.
	files map[string]int64
	used  stream.Epoch
}

func (s *Store) list(ctx context.Context) (*listing, error) {
	// Files after manifests: what a manifest lists was there before it, so that none seems to be missing.
	l := &listing{files: map[string]int64{}}
	chk, err := s.blob.List(ctx, "chk-")
	if err != nil {
		return nil, fmt.Errorf("list checkpoints of job %s: %w", s.job, err)
	}
	shared, err := s.blob.List(ctx, "shared/")
	if err != nil {
		return nil, fmt.Errorf("list state of job %s: %w", s.job, err)
	}
	for _, i := range shared {
		if e, ok := fileEpoch(i.Name); ok {
			l.files[i.Name] = i.SizeBytes
			l.used = max(l.used, e)
		}
	}
	for _, i := range chk {
		dir, base, _ := strings.Cut(i.Name, "/")
		e, err := strconv.ParseUint(strings.TrimPrefix(dir, "chk-"), 10, 64)
		if err != nil || base != "manifest" {
			continue // none of ours
		}
		l.manifests = append(l.manifests, stream.Epoch(e))
		l.used = max(l.used, stream.Epoch(e))
	}
	slices.Sort(l.manifests)
	return l, nil
}

// fileEpoch is the epoch that uploaded a file of state.
func fileEpoch(path string) (stream.Epoch, bool) {
	rest, ok := strings.CutPrefix(path, "shared/")
	digits, _, sep := strings.Cut(rest, "/")
	e, err := strconv.ParseUint(digits, 10, 64)
	return stream.Epoch(e), ok && sep && err == nil
}

// complete reports whether all files of m are there.
func (l *listing) complete(m *checkpoint.Manifest) error {
	var err error
	m.Files(func(f *checkpoint.File) {
		size, ok := l.files[f.Path]
		switch {
		case err != nil:
		case !ok:
			err = fmt.Errorf("epoch %d: %w: file %s is missing", m.Epoch, checkpoint.ErrCorrupt, f.Path)
		case size != f.SizeBytes:
			err = fmt.Errorf("epoch %d: %w: file %s has %d bytes, not %d", m.Epoch, checkpoint.ErrCorrupt, f.Path, size, f.SizeBytes)
		}
	})
	return err
}

// Delete does what the coordinator's Delete says: manifests first, then files. l must lead.
func (s *Store) Delete(ctx context.Context, l *Leader, d checkpoint.Delete) error {
	names := make([]string, 0, len(d.Epochs)+len(d.Files))
	for _, e := range d.Epochs {
		names = append(names, manifestName(e))
	}
	for _, path := range d.Files {
		if _, ok := fileEpoch(path); !ok {
			return fmt.Errorf("delete state: %s is no file of state", path)
		}
		names = append(names, path)
	}
	if _, err := s.remove(ctx, l, names); err != nil {
		return fmt.Errorf("delete checkpoints: %w", err)
	}
	return nil
}

// checkEvery is after how many deletions a leader looks whether it still is.
const checkEvery = 16

// remove deletes in order, as long as l leads, and returns how many it has.
func (s *Store) remove(ctx context.Context, l *Leader, names []string) (int, error) {
	for i, name := range names {
		if i%checkEvery == 0 {
			if err := l.Check(ctx); err != nil {
				return i, err
			}
		}
		if err := s.blob.Delete(ctx, name); err != nil {
			return i, err
		}
	}
	return len(names), nil
}

// GC removes what crashes, aborted checkpoints and failed deletions have left behind, and returns the names: files of state that epochs up
// to upTo uploaded and no manifest lists. While tasks run, upTo is the last checkpoint that completed: what it does not list of older
// files is dead. Before they run (after a restart, a change of leaders) it is stream.Epoch(math.MaxUint64), and manifests that
// are torn, damaged or lack files go, too; those of an unknown version stay, with all files. l must lead.
func (s *Store) GC(ctx context.Context, l *Leader, upTo stream.Epoch) ([]string, error) {
	return s.collect(ctx, l, upTo, func(*checkpoint.Manifest) bool { return false })
}

// Clean is GC before an attempt runs, once its base is written down: what was completed late goes, too.
func (s *Store) Clean(ctx context.Context, l *Leader, base checkpoint.Base) ([]string, error) {
	return s.collect(ctx, l, stream.Epoch(math.MaxUint64), func(m *checkpoint.Manifest) bool { return base.Void(l.Epoch(), m) })
}

func (s *Store) collect(ctx context.Context, l *Leader, upTo stream.Epoch, void func(*checkpoint.Manifest) bool) ([]string, error) {
	all, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	var remove []string
	for _, e := range all.manifests {
		m, err := s.Load(ctx, e)
		if err == nil && void(m) {
			remove = append(remove, manifestName(e))
			continue
		}
		if err == nil {
			if err = all.complete(m); err == nil {
				m.Files(func(f *checkpoint.File) { used[f.Path] = true })
				continue
			}
		}
		switch {
		case errors.Is(err, checkpoint.ErrVersion):
			return nil, fmt.Errorf("clean up after job %s: %w", s.job, err)
		case errors.Is(err, blob.ErrNotExist): // deleted meanwhile, its files are not for us to decide about now
			return nil, nil
		case !unusable(err):
			return nil, fmt.Errorf("clean up after job %s: %w", s.job, err)
		case upTo >= all.used:
			remove = append(remove, manifestName(e))
		default:
			if m != nil { // incomplete: what it has may be wanted by somebody who looks into it
				m.Files(func(f *checkpoint.File) { used[f.Path] = true })
			}
		}
	}
	var orphans []string
	for path := range all.files {
		if e, _ := fileEpoch(path); e <= upTo && !used[path] {
			orphans = append(orphans, path)
		}
	}
	slices.Sort(orphans)
	// Manifests first. A leader that has nothing to remove is to know, too, that it leads no more.
	remove = append(remove, orphans...)
	n, err := s.remove(ctx, l, remove)
	if err == nil && n == 0 {
		err = l.Check(ctx)
	}
	if err != nil {
		return remove[:n], fmt.Errorf("clean up after job %s: %w", s.job, err)
	}
	return remove, nil
}

// RemoveAll deletes everything of the job, manifests first: after it has ended, and its checkpoints are not to be kept. l must lead.
func (s *Store) RemoveAll(ctx context.Context, l *Leader) error {
	for _, prefix := range []string{"chk-", ""} {
		infos, err := s.blob.List(ctx, prefix)
		var names []string
		for _, i := range infos {
			names = append(names, i.Name)
		}
		if err == nil {
			_, err = s.remove(ctx, l, names)
		}
		if err != nil {
			return fmt.Errorf("remove checkpoints of job %s: %w", s.job, err)
		}
	}
	return nil
}

// Jobs lists the jobs that have state or checkpoints below root: those whose IDs isJob accepts, as savepoints may be there, too.
func Jobs(ctx context.Context, root blob.Store, isJob func(id string) bool) ([]string, error) {
	infos, err := root.List(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var ids []string
	for _, i := range infos {
		id, rest, _ := strings.Cut(i.Name, "/")
		if (strings.HasPrefix(rest, "shared/") || strings.HasPrefix(rest, "chk-")) && isJob(id) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Without returns f without what came too late for the job of the entry.
func (f *Found) Without(e *Entry) *Found {
	if e.Base == nil {
		return f
	}
	out := *f
	out.Used = max(f.Used, e.Base.Used)
	out.Manifests = slices.DeleteFunc(slices.Clone(f.Manifests), func(m *checkpoint.Manifest) bool { return e.Base.Void(e.Leader, m) })
	return &out
}
