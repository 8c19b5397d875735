package ckptstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/internal/sorting"
)

const (
	jobsDir = "jobs/"
	// entryMagic and the checksum of the rest are the first line of an entry.
	entryMagic    = "BRMBLJOB"
	entryVersion  = 1
	entryBytesMax = 64 << 20
)

// Entry is what storage knows of a job that has not ended, beside its checkpoints: enough to plan it again. Secrets are in it as the
// script has them.
type Entry struct {
	JobID string `json:"jobID"`
	// Leader is the leader epoch of the jobmanager that wrote it, Attempt the latest start of the job, from 1.
	Leader  uint64 `json:"leader"`
	Attempt int32  `json:"attempt"`
	// File, Script, Name, Config and Parallelism are what the job is planned from.
	File        string            `json:"file"`
	Script      string            `json:"script"`
	Name        string            `json:"name,omitempty"`
	Config      map[string]string `json:"config,omitempty"`
	Parallelism int               `json:"parallelism,omitempty"`
	// Savepoint is where the job began, "" for nowhere.
	Savepoint string `json:"savepoint,omitempty"`
	// Base is what the attempt goes on from, nil if an older program wrote the entry.
	Base *checkpoint.Base `json:"base,omitempty"`
	// SubmittedMS is the jobmanager's time.
	SubmittedMS int64 `json:"submittedMS"`
}

func entryName(id string, leader uint64, attempt int32) string {
	return fmt.Sprintf("%s%s/%020d-%010d", jobsDir, id, leader, attempt)
}

// WriteEntry has the entry count from now on, and removes those before it. l must lead before and after; e.Leader is set to its epoch.
func WriteEntry(ctx context.Context, root blob.Store, l *Leader, e Entry) error {
	if err := blob.CheckName(e.JobID); err != nil || strings.Contains(e.JobID, "/") {
		return errors.Join(fmt.Errorf("job %q cannot name an entry of the catalogue", e.JobID), err)
	}
	e.Leader = l.Epoch()
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write entry of job %s: %w", e.JobID, err)
	}
	b := seal(entryMagic, entryVersion, body)
	if err := l.Check(ctx); err != nil {
		return fmt.Errorf("write entry of job %s: %w", e.JobID, err)
	}
	name := entryName(e.JobID, e.Leader, e.Attempt)
	if err := root.CreateExclusive(ctx, name, b); errors.Is(err, blob.ErrExists) {
		// The same one, of a write whose answer was lost, will do.
		if old, readErr := blob.ReadAll(ctx, root, name, entryBytesMax); readErr != nil || !bytes.Equal(old, b) {
			return fmt.Errorf("write entry of job %s: %w", e.JobID, errors.Join(err, readErr))
		}
	} else if err != nil {
		return fmt.Errorf("write entry of job %s: %w", e.JobID, err)
	}
	if err := l.Check(ctx); err != nil {
		return fmt.Errorf("after writing the entry of job %s: %w", e.JobID, err)
	}
	infos, err := root.List(ctx, jobsDir+e.JobID+"/")
	for i := 0; err == nil && i < len(infos); i++ {
		if infos[i].Name < name {
			err = root.Delete(ctx, infos[i].Name)
		}
	}
	_ = err // that older ones stay is no harm: they do not count
	return nil
}

// RemoveEntry has the job not come back: it has ended. It comes before the removal of checkpoints, since a job with an entry and
// without checkpoints would begin anew. l must lead.
func RemoveEntry(ctx context.Context, root blob.Store, l *Leader, jobID string) error {
	if err := l.Check(ctx); err != nil {
		return fmt.Errorf("remove entry of job %s: %w", jobID, err)
	}
	infos, err := root.List(ctx, jobsDir+jobID+"/")
	// The newest goes last: one that is older must not count, not even when this is cut short.
	for i := 0; err == nil && i < len(infos); i++ {
		err = root.Delete(ctx, infos[i].Name)
	}
	if err != nil {
		return fmt.Errorf("remove entry of job %s: %w", jobID, err)
	}
	return nil
}

// SkippedEntry is an object of the catalogue that cannot be used, and stays.
type SkippedEntry struct {
	Name, JobID string
	Err         error
}

// Entries are the jobs that have not ended, in the order of their submission. Of a job that has several entries the newest readable one
// counts, unless a newer one cannot be read now, though it may later: then there is none. A job that is skipped keeps no other from being found.
func Entries(ctx context.Context, root blob.Store) ([]Entry, []SkippedEntry, error) {
	infos, err := root.List(ctx, jobsDir)
	if err != nil {
		return nil, nil, fmt.Errorf("list jobs: %w", err)
	}
	var entries []Entry
	var skipped []SkippedEntry
	done := ""
	for _, i := range slices.Backward(infos) { // the newest of each job first
		id, _, ok := strings.Cut(strings.TrimPrefix(i.Name, jobsDir), "/")
		if !ok || id == done {
			continue
		}
		e, err := readEntry(ctx, root, i.Name)
		if ctx.Err() != nil {
			return nil, nil, fmt.Errorf("read jobs: %w", ctx.Err())
		}
		if err != nil {
			skipped = append(skipped, SkippedEntry{i.Name, id, err})
		} else {
			entries = append(entries, e)
		}
		if err == nil || !unusable(err) {
			done = id
		}
	}
	sorting.StableBy(entries, func(a, b Entry) int {
		if a.SubmittedMS != b.SubmittedMS {
			if a.SubmittedMS < b.SubmittedMS {
				return -1
			}
			return 1
		}
		return strings.Compare(a.JobID, b.JobID)
	})
	return entries, skipped, nil
}

func readEntry(ctx context.Context, root blob.Store, name string) (Entry, error) {
	var e Entry
	b, err := blob.ReadAll(ctx, root, name, entryBytesMax)
	if err != nil {
		return e, err
	}
	body, err := unseal(entryMagic, entryVersion, b)
	if err != nil {
		return e, fmt.Errorf("%s: %w", name, err)
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return e, fmt.Errorf("%s: %w: %w", name, checkpoint.ErrCorrupt, err)
	}
	if name != entryName(e.JobID, e.Leader, e.Attempt) || e.Attempt < 1 {
		return e, fmt.Errorf("%s: %w: it says job %s, leader %d, attempt %d", name, checkpoint.ErrCorrupt, e.JobID, e.Leader, e.Attempt)
	}
	return e, nil
}

// seal puts a line with the kind of object, its version and its checksum before a body.
func seal(magic string, version int, body []byte) []byte {
	return append(fmt.Appendf(nil, "%s %d %016x\n", magic, version, xxh3.Hash(body)), body...)
}

// unseal checks that line and returns the body.
func unseal(magic string, version int, b []byte) ([]byte, error) {
	head, body, ok := bytes.Cut(b, []byte("\n"))
	fields := strings.Fields(string(head))
	if !ok || len(fields) < 2 || fields[0] != magic {
		return nil, fmt.Errorf("%w: it does not begin with %s", checkpoint.ErrCorrupt, magic)
	}
	if v, err := strconv.Atoi(fields[1]); err != nil || v != version {
		return nil, fmt.Errorf("%w: %s", checkpoint.ErrVersion, fields[1])
	}
	if len(fields) != 3 || fields[2] != fmt.Sprintf("%016x", xxh3.Hash(body)) {
		return nil, fmt.Errorf("%w: checksum", checkpoint.ErrCorrupt)
	}
	return body, nil
}
