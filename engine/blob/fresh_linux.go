package blob

import (
	"os"

	"golang.org/x/sys/unix"
)

// refresh has a network file system ask its server about a directory, so that the next listing of it, and the next look for a name, show what other
// machines have done. A client of NFS believes for 30 to 60 s (acdirmin, acdirmax) that a name is not there which it did not find before, and, when mounted
// with nocto, in what it listed before: a leader that was superseded would not notice. Local file systems answer at once.
func refresh(dir string) {
	var st unix.Statx_t
	// Best effort: whether the directory is there, and can be read, the caller finds out.
	_ = unix.Statx(unix.AT_FDCWD, dir, unix.AT_STATX_FORCE_SYNC, unix.STATX_BASIC_STATS, &st)
}

// uncache drops what the page cache has of a range of an open file, as far as it has been written out; length 0 is to the end.
func uncache(f *os.File, offset, length int64) {
	// Best effort: what cannot be dropped is read from memory.
	_ = unix.Fadvise(int(f.Fd()), offset, length, unix.FADV_DONTNEED)
}
