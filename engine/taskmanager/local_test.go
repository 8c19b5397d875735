package taskmanager

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/stream"
)

// shelf is a snapshot's files.
type shelf struct{ dir string }

func (s shelf) Link(name, to string) error { return os.Link(filepath.Join(s.dir, name), to) }

func (s shelf) held(t *testing.T, names ...string) (files []heldFile) {
	t.Helper()
	for _, n := range names {
		if err := os.WriteFile(filepath.Join(s.dir, n), []byte("content of "+n), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, heldFile{fileOf(n), s})
	}
	return files
}

func fileOf(name string) checkpoint.File {
	content := "content of " + name
	return checkpoint.File{Name: name, SizeBytes: int64(len(content)), Checksum: checkpoint.Checksum(xxh3.HashString(content))}
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}

func TestLocalStateKeepsTheLastCheckpoint(t *testing.T) {
	jobs := filepath.Join(t.TempDir(), "jobs")
	l := newLocalState(func() string { return jobs })
	s := shelf{t.TempDir()}
	live := map[string]bool{"v/0": true, "v/1": true}
	epoch := stream.Epoch(0)
	hold := func(task string, names ...string) {
		t.Helper()
		epoch++
		if err := l.hold("j", task, epoch, s.held(t, names...)); err != nil {
			t.Fatal(err)
		}
	}
	keep := func(task string, names ...string) {
		t.Helper()
		hold(task, names...)
		if err := l.complete("j", task, epoch, live); err != nil {
			t.Fatal(err)
		}
	}
	keep("v/0", "early") // no task of the job is here
	l.open("j")
	keep("v/0", "a", "b")
	keep("v/1", "c")
	keep("v/0", "b", "d")
	if got := names(t, l.dir("j")); !slices.Equal(got, []string{"b", "c", "d"}) {
		t.Errorf("kept %v", got)
	}
	live = map[string]bool{"v/0": true}
	keep("v/0", "b", "d")
	if got := names(t, l.dir("j")); !slices.Equal(got, []string{"b", "d"}) {
		t.Errorf("kept %v", got)
	}

	// A checkpoint that may be complete without the task having heard of it is kept beside the last, and goes when it is given up.
	hold("v/0", "d", "e")
	if got := names(t, l.dir("j")); !slices.Equal(got, []string{"b", "d", "e"}) {
		t.Errorf("kept %v", got)
	}
	if err := l.abort("j", "v/0", epoch); err != nil {
		t.Fatal(err)
	}
	if got := names(t, l.dir("j")); !slices.Equal(got, []string{"b", "d"}) {
		t.Errorf("kept %v", got)
	}
	for range pendingMax + 1 { // bounded, whatever is never answered
		hold("v/0", "d", fmt.Sprint("e", epoch))
	}
	if got := len(l.mu.jobs["j"].tasks["v/0"].pending); got != pendingMax {
		t.Errorf("%d checkpoints are held", got)
	}
	keep("v/0", "b", "d")
	if got := names(t, l.dir("j")); !slices.Equal(got, []string{"b", "d"}) {
		t.Errorf("kept %v", got)
	}

	// What is right is used, and what is not goes.
	if !l.fetch("j", fileOf("b"), filepath.Join(t.TempDir(), "b")) {
		t.Error("b is there")
	}
	wrong := fileOf("d")
	wrong.Checksum++
	to := filepath.Join(t.TempDir(), "d")
	if l.fetch("j", wrong, to) || l.fetch("j", fileOf("x"), to) || l.fetch("other", fileOf("b"), to) {
		t.Error("took what is not the file")
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("left the wrong file in place")
	}

	// A process that follows has it, and nothing else.
	if err := os.MkdirAll(filepath.Join(jobs, "j", "3"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(jobs, "k", "1"), 0o750); err != nil {
		t.Fatal(err)
	}
	began := time.Unix(1000, 0)
	l = newLocalState(func() string { return jobs })
	if err := l.load(began); err != nil {
		t.Fatal(err)
	}
	if got := names(t, jobs); !slices.Equal(got, []string{"j"}) || len(names(t, filepath.Join(jobs, "j"))) != 1 {
		t.Errorf("left %v", got)
	}
	if !l.fetch("j", fileOf("b"), filepath.Join(t.TempDir(), "b")) {
		t.Error("b is not there after a restart")
	}
	none := func(string) bool { return false }
	if got := l.idle(began.Add(localIdleMax), none); got != nil {
		t.Errorf("forgot %v too early", got)
	}
	if got := l.idle(began.Add(localIdleMax+1), none); !slices.Equal(got, []string{"j"}) {
		t.Errorf("forgot %v", got)
	}
	if err := l.forget("j"); err != nil {
		t.Fatal(err)
	}
	if got := names(t, jobs); got != nil {
		t.Errorf("left %v", got)
	}
}
