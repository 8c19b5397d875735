package sim

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/stream"
)

// recordsMax bounds the records of a split.
const recordsMax = 1000

// model is what is true, and what of it has been published.
type model struct {
	w *world
	// records has each split, one every pauseMS or less.
	records int
	pauseMS int64
	// published are transactions by epoch; ids and counts the rows in them.
	published map[stream.Epoch]string
	ids       map[int]bool
	// best is the newest checkpoint that completed.
	best *checkpoint.Manifest
	// holders are leaders by epoch.
	holders map[uint64]string
}

func newModel(w *world) model {
	return model{
		w: w, records: 60 + w.rng.IntN(240), pauseMS: w.between(20, 150), published: map[stream.Epoch]string{}, ids: map[int]bool{},
		holders: map[uint64]string{},
	}
}

func keyOf(id int) int { return (id*7 + id/recordsMax) % keyCount }

// leads: an epoch is one leader's.
func (m *model) leads(epoch uint64, who string) {
	if other, ok := m.holders[epoch]; ok {
		m.w.violate("%s and %s both lead as %d", other, who, epoch)
	}
	m.holders[epoch] = who
	m.w.Leaders++
}

// triggers: epochs of a leader ascend, and follow what was complete before. An older one comes again when tasks become roots.
func (m *model) triggers(j *jobmanager, e stream.Epoch) {
	if j.triggered[e] {
		return
	}
	if e <= j.last || m.best != nil && m.best.Leader < j.epoch && e <= m.best.Epoch {
		m.w.violate("%s triggers epoch %d after its %d", j.id, e, j.last)
	}
	j.last, j.triggered[e] = e, true
}

// commit publishes a transaction, once.
func (m *model) commit(c checkpoint.Committable, who string) {
	text := string(c.Data)
	if old, ok := m.published[c.Epoch]; ok {
		if old != text {
			m.w.violate("%s publishes epoch %d with other rows than before: %q, %q", who, c.Epoch, text, old)
		}
		return
	}
	m.published[c.Epoch] = text
	m.w.note("epoch %d is published by %s", c.Epoch, who)
	for line := range strings.SplitSeq(text, "\n") {
		id, err := idOf(line)
		if err != nil || m.ids[id] {
			m.w.violate("%s publishes record %d twice, the second time in epoch %d (%v)", who, id, c.Epoch, err)
			return
		}
		m.ids[id] = true
	}
}

func idOf(line string) (int, error) {
	first, _, _ := strings.Cut(line, " ")
	return strconv.Atoi(first)
}

// completed checks a checkpoint that its leader takes for complete.
func (m *model) completed(j *jobmanager, c *checkpoint.Manifest) {
	m.w.Completed++
	if l := m.w.disk.leader(); l != j.epoch {
		m.w.violate("%s completes epoch %d as leader %d, and %d leads", j.id, c.Epoch, j.epoch, l)
	}
	// One that is late may lack what has been cleaned up since: nobody begins with it, as the next leader has written down what it began with.
	if m.best == nil || c.Newer(m.best) {
		m.checkRestorable(c)
		m.checkCut(c)
		m.best = c
	}
}

// checkRestorable: the manifest is there, and what it lists is, too.
func (m *model) checkRestorable(c *checkpoint.Manifest) {
	d := m.w.disk
	if _, ok := d.objects[fmt.Sprintf("%s/chk-%d/manifest", jobID, uint64(c.Epoch))]; !ok {
		m.w.violate("the manifest of epoch %d of leader %d is gone", c.Epoch, c.Leader)
	}
	c.Files(func(f *checkpoint.File) {
		o, ok := d.objects[jobID+"/"+f.Path]
		if !ok || o.size != f.SizeBytes || o.sum != f.Checksum {
			m.w.violate("epoch %d of leader %d lacks %s (there: %t, %d bytes)", c.Epoch, c.Leader, f.Path, ok, o.size)
		}
	})
}

// checkRestore checks what a leader goes on from: nothing that was published may come again.
func (m *model) checkRestore(j *jobmanager, c *checkpoint.Manifest) {
	if j.dead || m.w.disk.leader() != j.epoch {
		return // of a leader that is none any more
	}
	if c == nil {
		if len(m.ids) > 0 {
			m.w.violate("%s begins anew, though %d records are published", j.id, len(m.ids))
		}
		return
	}
	m.checkRestorable(c)
	m.checkCut(c)
}

// checkCut: every record that the sources have read is published or in what sinks have prepared, and in the sums, once; no other is.
func (m *model) checkCut(c *checkpoint.Manifest) {
	read, counts := map[int]bool{}, map[int]acc{}
	for _, t := range c.Operator("source").Tasks {
		for _, s := range t.Splits {
			split, _ := strconv.Atoi(s.ID)
			pos, _ := strconv.Atoi(string(s.Pos))
			for i := range pos {
				id := split*recordsMax + i
				read[id] = true
				v := counts[keyOf(id)]
				counts[keyOf(id)] = acc{v.count + 1, v.sum + id}
			}
		}
	}
	out := map[int]bool{}
	for id := range m.ids {
		out[id] = true
	}
	for _, t := range c.Operator("sink").Tasks {
		for _, k := range t.Committables {
			if _, ok := m.published[k.Epoch]; ok {
				continue
			}
			for line := range strings.SplitSeq(string(k.Data), "\n") {
				id, _ := idOf(line)
				if out[id] {
					m.w.violate("epoch %d: record %d is there twice", c.Epoch, id)
				}
				out[id] = true
			}
		}
	}
	m.compare(c.Epoch, read, out)
	m.checkSums(c, counts)
}

func (m *model) compare(e stream.Epoch, read, out map[int]bool) {
	var lost, early []int
	for id := range read {
		if !out[id] {
			lost = append(lost, id)
		}
	}
	for id := range out {
		if !read[id] {
			early = append(early, id)
		}
	}
	if len(lost)+len(early) > 0 {
		slices.Sort(lost)
		slices.Sort(early)
		m.w.violate("epoch %d: records %v are read and nowhere, %v will be read again", e, lost, early)
	}
}

func (m *model) checkSums(c *checkpoint.Manifest, want map[int]acc) {
	got := map[int]acc{}
	for _, t := range c.Operator("sum").Tasks {
		if t.Finished {
			return // nobody will look them up
		}
		for _, f := range t.Files {
			b, err := blob.ReadAll(context.Background(), m.w.disk, jobID+"/"+f.Path, f.SizeBytes)
			if err == nil {
				err = decodeLayer(b, func(key int, v acc) {
					if t.Range.Contains(groupOf(key)) {
						got[key] = v
					}
				})
			}
			if err != nil {
				m.w.violate("epoch %d: %v", c.Epoch, err)
			}
		}
	}
	for key := range keyCount {
		if got[key] != want[key] {
			m.w.violate("epoch %d: key %d has %+v, not %+v", c.Epoch, key, got[key], want[key])
		}
	}
}

// checkStep is done after every event.
func (w *world) checkStep() {
	if !w.disk.changed {
		return
	}
	w.disk.changed = false
	if w.model.best != nil {
		w.model.checkRestorable(w.model.best)
	}
	lead := w.disk.leader()
	for _, j := range w.jms {
		if j.alive() && j.coord != nil && j.epoch == lead {
			if c := j.coord.Latest(); c != nil {
				w.model.checkRestorable(c) // whoever completed it
			}
			for _, c := range j.coord.Completed() {
				// The former leader may have been deleting older ones: the manifest first, so that what it lists is there as long as it is.
				_, there := w.disk.objects[fmt.Sprintf("%s/chk-%d/manifest", jobID, c.Epoch)]
				if c.Leader == j.epoch || there {
					w.model.checkRestorable(c)
				}
			}
		}
	}
}

// checkEnd: all is published, and storage has what the retained checkpoints need, and nothing else.
func (w *world) checkEnd() {
	m := &w.model
	all, counts := map[int]bool{}, map[string]bool{}
	for s := range splitCount {
		for i := range m.records {
			all[s*recordsMax+i] = true
		}
	}
	m.compare(m.best.Epoch, all, m.ids)
	for _, text := range m.published {
		for line := range strings.SplitSeq(text, "\n") {
			_, count, _ := strings.Cut(line, " ")
			if counts[count] {
				w.violate("two records were the same one of their key: %q", count)
			}
			counts[count] = true
		}
	}
	used := map[string]bool{}
	for name := range w.disk.objects {
		if !strings.HasSuffix(name, "/manifest") {
			continue
		}
		b, err := blob.ReadAll(context.Background(), w.disk, name, checkpoint.ManifestBytesMax)
		var c *checkpoint.Manifest
		if err == nil {
			c, err = checkpoint.Decode(b)
		}
		if err != nil {
			w.violate("%s stayed: %v", name, err)
			continue
		}
		m.checkRestorable(c)
		c.Files(func(f *checkpoint.File) { used[jobID+"/"+f.Path] = true })
	}
	for name := range w.disk.objects {
		if strings.HasPrefix(name, jobID+"/shared/") && !used[name] {
			w.violate("%s is left over", name)
		}
	}
}

// deleteBelow is what a naive clean-up would do.
func (d *disk) deleteBelow(e stream.Epoch) {
	for name := range d.objects {
		var of uint64
		if _, err := fmt.Sscanf(name, jobID+"/shared/%d/", &of); err == nil && int64(of) < int64(e) { //nolint:gosec // small
			_ = d.Delete(context.Background(), name) // in memory
		}
	}
}
