//go:build chaos

package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDamaged pulls the plug of everything, and damages what only the newest checkpoint has. The job goes on from the checkpoint before:
// what has been published since is published again, and nothing is lost.
func TestDamaged(t *testing.T) {
	r := newChaos(t, layout{jobmanagers: 1})
	finish := r.begin(redisSource)
	for i := range *faultsFlag {
		r.recover()
		r.pause(r.upTo(700 * time.Millisecond))
		r.fault(i+1, []kind{{"damage", r.damage}})
	}
	r.end(finish(), true)
	met := 0
	for _, said := range []string{"checkpoint is damaged", "checkpoint cannot be used"} {
		met += r.logged("jobmanager*.log", said)
	}
	if r.logf("damage was met %d times", met); met < r.faults/2 {
		t.Errorf("damage was met %d times, with %d faults", met, r.faults)
	}
}

// logged counts the lines in logs that have some text.
func (r *chaos) logged(pattern, text string) (n int) {
	r.t.Helper()
	paths, err := filepath.Glob(filepath.Join(r.logs, pattern))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			r.t.Fatal(err)
		}
		n += strings.Count(string(data), text)
	}
	return n
}

// manifest is as much of one as the test needs.
type manifest struct {
	Leader, Epoch int64
	Operators     []struct {
		Tasks []struct{ Files []struct{ Path string } }
	}
	path string
}

func (m *manifest) files() map[string]bool {
	all := map[string]bool{}
	for _, o := range m.Operators {
		for _, t := range o.Tasks {
			for _, f := range t.Files {
				all[f.Path] = true
			}
		}
	}
	return all
}

// newest are the job's two newest checkpoints; nil where there are none.
func (r *chaos) newest() (last, before *manifest) {
	paths, err := filepath.Glob(filepath.Join(r.checkpoints, r.id, "chk-*", "manifest"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil || len(data) < headerBytes {
			continue // deleted just now, or damaged before
		}
		m := &manifest{path: path}
		if json.NewDecoder(bytes.NewReader(data[headerBytes:])).Decode(m) != nil {
			continue
		}
		newer := func(o *manifest) bool {
			return o == nil || m.Leader > o.Leader || m.Leader == o.Leader && m.Epoch > o.Epoch
		}
		switch {
		case newer(last):
			last, before = m, last
		case newer(before):
			before = m
		}
	}
	return last, before
}

// headerBytes come before a manifest's JSON.
const headerBytes = 40

// damage spoils a file while nothing runs: whoever had a local copy would go on with that, and the next checkpoints would share the damaged file.
func (r *chaos) damage() string {
	r.t.Helper()
	said := r.killJobManager()
	last, before := r.newest()
	if last == nil || before == nil {
		return said + ", nothing damaged: there are no two checkpoints"
	}
	old := before.files()
	victims := []string{last.path}
	for _, f := range slices.Sorted(maps.Keys(last.files())) {
		if !old[f] {
			victims = append(victims, filepath.Join(r.checkpoints, r.id, f))
		}
	}
	if len(victims) > 1 && r.rnd.IntN(4) > 0 {
		victims = victims[1:]
	}
	victim := victims[r.rnd.IntN(len(victims))]
	how := r.spoil(victim)
	for len(r.managers) > 0 {
		said += ";" + r.killOne()
	}
	return fmt.Sprintf("%s; %s %s", said, strings.TrimPrefix(victim, r.checkpoints), how)
}

// spoil damages a file in one of the ways in which files are.
func (r *chaos) spoil(path string) string {
	r.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	var how string
	switch n := r.rnd.IntN(3); {
	case n == 0 && len(data) > 0:
		data[r.rnd.IntN(len(data))] ^= 0x10
		how = "has a bit flipped"
	case n == 1:
		data, how = data[:len(data)/2], "is torn"
	default:
		if err := os.Remove(path); err != nil {
			r.t.Fatal(err)
		}
		return "is gone"
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		r.t.Fatal(err)
	}
	return how
}
