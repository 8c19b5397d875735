//go:build chaos || integration

package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const (
	// storageBytes and dataBytes are the sizes of the disks of checkpoint storage and of each taskmanager: some ten times what a run needs.
	storageBytes, dataBytes = 512 << 20, 128 << 20
	filler                  = "filler"
)

// disk is a directory, of bounded size where the test may mount one.
type disk struct {
	dir     string
	bounded bool
	full    bool
}

// newDisk makes a directory on a disk of its own, in memory. Without the right to mount it is a mere directory, and never full.
func newDisk(t *testing.T, dir string, bytes int64) *disk {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d := &disk{dir: dir}
	if os.Geteuid() != 0 {
		return d
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d,mode=700", bytes), "bramble-chaos", dir).CombinedOutput(); err != nil {
		t.Logf("no disk of its own for %s, it is never full: %v: %s", dir, err, out)
		return d
	}
	d.bounded = true
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v: %s", dir, err, out)
		}
	})
	return d
}

// fill leaves no byte on the disk.
func (d *disk) fill() error {
	f, err := os.Create(filepath.Join(d.dir, filler))
	if err != nil {
		return err
	}
	d.full = true
	for size := 1 << 20; size >= 1; size /= 4 {
		chunk := make([]byte, size)
		for err == nil {
			_, err = f.Write(chunk)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return errors.Join(err, f.Close())
		}
		err = nil
	}
	return f.Close()
}

// empty gives the space back.
func (d *disk) empty() error {
	d.full = false
	return os.Remove(filepath.Join(d.dir, filler))
}

// fullFor fills a disk for a while.
func (r *chaos) fullFor(d *disk, whose string) string {
	r.t.Helper()
	switch {
	case !d.bounded:
		return whose + " is no disk of its own"
	case d.full:
		return whose + " is full already"
	}
	long := 500*time.Millisecond + r.upTo(5*time.Second)
	if err := d.fill(); err != nil {
		r.t.Fatal(err)
	}
	r.later(long, func() {
		if err := d.empty(); err != nil {
			r.t.Fatal(err)
		}
	})
	return fmt.Sprintf("%s for %s", whose, long)
}

func (r *chaos) fullStorage() string { return r.fullFor(r.disk, "") }

func (r *chaos) fullData() string {
	if len(r.managers) == 0 {
		return " nobody"
	}
	m := r.managers[r.pick()]
	return r.fullFor(m.disk, " of "+m.name)
}
