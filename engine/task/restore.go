package task

import (
	"errors"
	"fmt"
	"slices"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/engine/stream"
)

// Restore is what a task goes on from; the splits with their positions are Config.Splits.
type Restore struct {
	// Epoch is the checkpoint's; those that follow are above it.
	Epoch stream.Epoch
	// Finished says that all former tasks had worked off their input: what comes at the end of it has been done.
	Finished bool
	// Operators is by operator ID. One that is missing begins anew.
	Operators map[string]OperatorRestore
	// EndedSplits are kept for the snapshots to come.
	EndedSplits []op.Split
}

// OperatorRestore is what a checkpoint holds for an operator in the task.
type OperatorRestore struct {
	// Parts are what op.Snapshotter returned in the former tasks whose key ranges overlap the task's.
	Parts [][]byte
	// Stores are the snapshot files of these tasks. The directories are used up.
	Stores []StorePart
	// Committables are committed before anything is written: some may be published already. Each former one goes to exactly one task.
	Committables []Committable
}

// StorePart is a former task's keyed state.
type StorePart struct {
	// Dir holds the files under the names that the snapshot listed.
	Dir   string
	Range stream.KeyRange
}

// restore hands an operator what it has to go on from. It is open.
func (t *Task) restore(n *node) error {
	if t.cfg.Restore == nil || n.snapshotter == nil {
		return nil
	}
	r := t.cfg.Restore.Operators[n.spec.ID]
	if len(r.Parts) == 0 {
		return nil
	}
	if err := n.snapshotter.Restore(r.Parts); err != nil {
		return n.fail(fmt.Errorf("restore epoch %d: %w", t.cfg.Restore.Epoch, err))
	}
	return nil
}

// recommit publishes what was prepared for the checkpoint: whoever prepared it may have ended before it could.
func (t *Task) recommit() error {
	if t.cfg.Restore == nil {
		return nil
	}
	t.lastEpoch = t.cfg.Restore.Epoch
	for _, n := range t.nodes {
		if n.sink == nil {
			continue
		}
		t.current = n
		for _, c := range t.cfg.Restore.Operators[n.spec.ID].Committables {
			if err := n.sink.Commit(t.ctx, c.Epoch, c.Data); err != nil {
				return n.fail(fmt.Errorf("commit epoch %d again: %w", c.Epoch, err))
			}
		}
	}
	t.current = nil
	return nil
}

// openState opens the operator's own store: two operators of a chain may have the same keys and merge differently.
func (n *node) openState(info op.TaskInfo, merge state.MergeFunc) (state.Store, error) {
	if n.store != nil {
		return n.store, nil
	}
	var parts []StorePart
	if r := n.task.cfg.Restore; r != nil {
		for _, p := range r.Operators[n.spec.ID].Stores {
			if _, ok := overlap(p.Range, info.KeyRange); ok {
				parts = append(parts, p)
			}
		}
	}
	var err error
	if n.store, err = n.task.openOn(info, merge, parts); err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	return n.store, nil
}

// openOn opens a store with what the parts hold of the task's key range. The part that has most of it is opened as it is; the others are
// read and written.
func (t *Task) openOn(info op.TaskInfo, merge state.MergeFunc, parts []StorePart) (s state.Store, err error) {
	c := &t.cfg
	if len(parts) == 0 || c.OpenStateOn == nil {
		s, err = c.OpenState(info, merge)
	} else {
		base := 0
		for i, p := range parts {
			if width(p.Range, info.KeyRange) > width(parts[base].Range, info.KeyRange) {
				base = i
			}
		}
		first := parts[base]
		parts = slices.Delete(slices.Clone(parts), base, base+1)
		if s, err = c.OpenStateOn(info, merge, first.Dir); err == nil && within(first.Range, info.KeyRange) != first.Range {
			err = importer(s, func(i state.Importer) error { return i.Retain(info.KeyRange) })
		}
	}
	for _, p := range parts {
		if err == nil {
			err = importer(s, func(i state.Importer) error { return i.Import(p.Dir, within(p.Range, info.KeyRange)) })
		}
	}
	if err != nil && s != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, err
}

func importer(s state.Store, f func(state.Importer) error) error {
	i, ok := s.(state.Importer)
	if !ok {
		return fmt.Errorf("a %T cannot be restored", s)
	}
	return f(i)
}

// within is the part of r in bounds; overlap reports whether there is one.
func within(r, bounds stream.KeyRange) stream.KeyRange {
	return stream.KeyRange{First: max(r.First, bounds.First), Limit: min(r.Limit, bounds.Limit)}
}

func overlap(a, b stream.KeyRange) (stream.KeyRange, bool) {
	r := within(a, b)
	return r, r.First < r.Limit
}

func width(r, bounds stream.KeyRange) int {
	if r, ok := overlap(r, bounds); ok {
		return int(r.Limit) - int(r.First)
	}
	return 0
}

// FormerTask is what a checkpoint holds of a task.
type FormerTask struct {
	Index, Parallelism int
	// Snapshot is the task's, without Stores; Dirs are the directories with their files instead, by operator ID.
	Snapshot Snapshot
	Dirs     map[string]string
}

// restoreFor works out what task index of the vertex goes on from, and the splits it reads, when the former tasks of the job are given.
// Operators are matched by ID, keyed state by key ranges. At another parallelism the splits that have not ended are dealt out anew. known is
// false when none of the former tasks had the vertex's head: then its splits are whatever there is to read.
func restoreFor(v *graph.Vertex, index, maxParallelism int, epoch stream.Epoch, former []FormerTask) (r *Restore, splits []op.Split, known bool) {
	r = &Restore{Epoch: epoch, Operators: map[string]OperatorRestore{}}
	mine := stream.RangeOf(index, maxParallelism, v.Parallelism)
	for _, n := range v.Ops {
		var o OperatorRestore
		for _, f := range former {
			if f.Index%v.Parallelism == index {
				o.Committables = append(o.Committables, f.Snapshot.Committables[n.ID]...)
			}
			keys := stream.RangeOf(f.Index, maxParallelism, f.Parallelism)
			if _, ok := overlap(keys, mine); !ok {
				continue
			}
			if p, ok := f.Snapshot.States[n.ID]; ok {
				o.Parts = append(o.Parts, p)
			}
			if d, ok := f.Dirs[n.ID]; ok {
				o.Stores = append(o.Stores, StorePart{d, keys})
			}
		}
		r.Operators[n.ID] = o
	}
	splits, known = r.deal(v, index, former)
	r.Finished = finished(v, former)
	return r, splits, known
}

// deal gives task index its splits.
func (r *Restore) deal(v *graph.Vertex, index int, former []FormerTask) (splits []op.Split, known bool) {
	turn := 0
	for _, f := range former {
		all, ok := f.Snapshot.Splits[v.Ops[0].ID]
		known = known || ok
		for _, sp := range all {
			to := f.Index
			if f.Parallelism != v.Parallelism {
				to = turn % v.Parallelism
			}
			if !sp.Ended {
				turn++
			}
			switch {
			case to != index:
			case sp.Ended:
				r.EndedSplits = append(r.EndedSplits, sp.Split)
			default:
				splits = append(splits, sp.Split)
			}
		}
	}
	return splits, known
}

// finished reports whether all former tasks with an operator of the vertex had worked off their input.
func finished(v *graph.Vertex, former []FormerTask) bool {
	found := false
	for _, f := range former {
		for _, n := range v.Ops {
			_, state := f.Snapshot.States[n.ID]
			_, splits := f.Snapshot.Splits[n.ID]
			if !state && !splits {
				continue
			}
			if !f.Snapshot.Final {
				return false
			}
			found = true
		}
	}
	return found
}
