package pebble

import (
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// health is the first error of the local disk that Pebble met where it cannot return it. What was written from then on may be missing.
type health struct{ err atomic.Pointer[error] }

func (h *health) fail(err error) { h.err.CompareAndSwap(nil, &err) }

// failed returns the error, nil while all is well.
func (h *health) failed() error {
	if p := h.err.Load(); p != nil {
		return *p
	}
	return nil
}

// stateFS is the file system as Pebble sees it.
//
// It leaves out fsync: after a power failure state comes from a checkpoint, and on an SD card an fsync costs tens of milliseconds.
//
// And it hides errors of writing: Pebble would end the process for those of its manifest, and repeat a flush for ever, with the task waiting for
// it. From the first one on nothing is written any more and everything seems to succeed, so that all that waits goes on; the store
// looks at health before it believes anything, and fails the task. Errors of reading, and of links and directories, are Pebble's to return.
type stateFS struct {
	vfs.FS
	h *health
}

// stateFile is a file that is written to. A nil File takes everything and keeps nothing.
type stateFile struct {
	vfs.File
	h *health
}

func (f stateFile) Sync() error                { return nil }
func (f stateFile) SyncData() error            { return nil }
func (f stateFile) SyncTo(int64) (bool, error) { return false, nil }

// Write implements vfs.File.
func (f stateFile) Write(p []byte) (int, error) {
	if f.h.failed() == nil {
		if _, err := f.File.Write(p); err != nil {
			f.h.fail(err)
		}
	}
	return len(p), nil
}

// WriteAt implements vfs.File.
func (f stateFile) WriteAt(p []byte, at int64) (int, error) {
	if f.h.failed() == nil {
		if _, err := f.File.WriteAt(p, at); err != nil {
			f.h.fail(err)
		}
	}
	return len(p), nil
}

// Preallocate implements vfs.File. Where there is no room the write says so.
func (f stateFile) Preallocate(offset, length int64) error {
	_ = f.File.Preallocate(offset, length)
	return nil
}

// Close implements vfs.File.
func (f stateFile) Close() error {
	if err := f.File.Close(); err != nil {
		f.h.fail(err)
	}
	return nil
}

// wrap makes a file of a call's result; standIn is in its place when it failed.
func (fs stateFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if err == nil {
		return stateFile{f, fs.h}, nil
	}
	fs.h.fail(err)
	f, memErr := vfs.NewMem().Create("lost", vfs.WriteCategoryUnspecified)
	if memErr != nil {
		return nil, err
	}
	return stateFile{f, fs.h}, nil
}

// Create implements vfs.FS.
func (fs stateFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.wrap(fs.FS.Create(name, c))
}

// OpenReadWrite implements vfs.FS.
func (fs stateFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return fs.wrap(fs.FS.OpenReadWrite(name, c, o...))
}

// OpenDir implements vfs.FS.
func (fs stateFS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return stateFile{f, fs.h}, nil
}

// ReuseForWrite implements vfs.FS.
func (fs stateFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.wrap(fs.FS.ReuseForWrite(from, to, c))
}

// Unwrap implements vfs.FS.
func (fs stateFS) Unwrap() vfs.FS { return fs.FS }

// GetDiskUsage implements vfs.FS: Pebble asks only to report it, and would take an error for one of its own work.
func (fs stateFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{}, vfs.ErrUnsupported
}
