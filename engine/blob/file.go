package blob

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/bramble-stream/bramble/internal/sorting"
)

// File is a Store in a directory, which may be on NFS or CIFS.
//
// An object is written to a name of its own that begins with a dot, synced, and renamed; then its directory is synced where that is
// possible. rename replaces atomically on local file systems, NFS and CIFS.
//
// CreateExclusive writes such a file, too, and makes a hard link of the final name to it, which fails if the name is there: atomic
// everywhere, NFS version 2 included, where O_EXCL was not. Where an answer of the server was lost and the repeated request then failed
// (an old trouble of NFS), the two names being one file tells that it was our link. Where there are no hard links (most CIFS shares, FAT), it creates
// the final name with O_EXCL, which CIFS servers and NFS from version 3 on decide atomically, and writes there: other readers may
// see the beginning only, and a crash may leave it so. No locks, no chmod, no mmap.
//
// What other machines have done shows at once: a directory is asked about before it is listed, and before a name in it counts as missing, where clients of NFS
// would trust their memory for a minute.
//
// Files are made with the mode 0666 and directories with 0777, less the umask: several machines may share them.
type File struct {
	dir string
	// link, rename, remove and sleep are the system's, but for tests.
	link, rename func(from, to string) error
	remove       func(name string) error
	sleep        func(ctx context.Context, d time.Duration) error
}

var _ Store = (*File)(nil)

// NewFile returns the store in dir, which is made when first written to.
func NewFile(dir string) (*File, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("%w: storage directory %q is not absolute", ErrPermanent, dir)
	}
	return &File{dir: filepath.Clean(dir), link: os.Link, rename: os.Rename, remove: os.Remove, sleep: Sleep}, nil
}

func (f *File) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

// Put implements Store.
func (f *File) Put(ctx context.Context, name string, c Content) error {
	if err := check(ctx, name); err != nil {
		return err
	}
	final := f.path(name)
	tmp, err := f.writeTemp(filepath.Dir(final), contextContent(ctx, c))
	if err != nil {
		return fmt.Errorf("put %s: %w", name, kindOf(err))
	}
	if err := f.replace(ctx, tmp, final); err != nil {
		return fmt.Errorf("put %s: %w", name, kindOf(errors.Join(err, os.Remove(tmp))))
	}
	return syncDir(filepath.Dir(final))
}

// replaceTries is how often a name is tried that somebody has open, replacePause what comes after the first time, doubled each time: about 1.3 s in all. Clients of
// CIFS keep a file open for 1 s after it was closed (closetimeo).
const (
	replaceTries = 8
	replacePause = 10 * time.Millisecond
)

// replace renames from to final. Servers of CIFS refuse that while anybody has what is there open. Then the old file moves aside, or is deleted, which they refuse
// less often, and if that does not do either it is tried again a little later. The old one may be missing for a moment, and for good if this process ends just there:
// of all objects only a leader's lease is ever replaced, which may be missing.
func (f *File) replace(ctx context.Context, from, final string) error {
	pause := replacePause
	for try := 1; ; try++ {
		err := f.rename(from, final)
		if !isOpen(err) {
			return err
		}
		aside := tempName(filepath.Dir(final))
		moved := f.rename(final, aside) == nil
		if moved || f.remove(final) == nil {
			again := f.rename(from, final)
			if again == nil {
				if moved {
					_ = f.remove(aside) // gone or not, it counts for nothing
				}
				return nil
			}
			if moved {
				again = errors.Join(again, f.rename(aside, final))
			}
			err = errors.Join(err, again)
		}
		if try == replaceTries || f.sleep(ctx, pause) != nil {
			return fmt.Errorf("somebody has it open: %w", err)
		}
		pause *= 2
	}
}

// isOpen reports whether an error is how a share says that somebody has the file open. That this machine may not write there at all shows before: the directory has
// taken a temporary file.
func isOpen(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.ETXTBSY)
}

// CreateExclusive implements Store.
func (f *File) CreateExclusive(ctx context.Context, name string, content []byte) error {
	if err := check(ctx, name); err != nil {
		return err
	}
	final := f.path(name)
	// A short way for what is common; the link decides.
	if _, err := os.Lstat(final); err == nil {
		return fmt.Errorf("create %s: %w", name, ErrExists)
	}
	tmp, err := f.writeTemp(filepath.Dir(final), Bytes(content))
	if err != nil {
		return fmt.Errorf("create %s: %w", name, kindOf(err))
	}
	err = f.link(tmp, final)
	switch {
	case err == nil, sameFile(tmp, final):
		err = nil
	case errors.Is(err, fs.ErrExist):
		err = ErrExists
	default:
		err = createInPlace(final, content)
	}
	// Gone or not, the temporary file counts for nothing.
	_ = os.Remove(tmp)
	if err != nil {
		return fmt.Errorf("create %s: %w", name, kindOf(err))
	}
	return syncDir(filepath.Dir(final))
}

func sameFile(a, b string) bool {
	x, errX := os.Lstat(a)
	y, errY := os.Lstat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// createInPlace is for file systems without hard links.
func createInPlace(final string, content []byte) error {
	w, err := os.OpenFile(final, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return ErrExists
	}
	if err != nil {
		return err
	}
	_, err = w.Write(content)
	if err == nil {
		err = w.Sync()
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return errors.Join(err, os.Remove(final)) // the name is ours: give it back
	}
	return nil
}

// writeTemp makes a synced file with a name of its own in dir.
func (f *File) writeTemp(dir string, c Content) (string, error) {
	w, err := createTemp(dir)
	// Several times, as a Delete elsewhere removes directories that it finds empty.
	for range 10 {
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err = os.MkdirAll(dir, 0o777); err == nil {
			w, err = createTemp(dir)
		}
	}
	if err != nil {
		return "", err
	}
	err = CopyContent(w, c)
	if err == nil {
		err = w.Sync()
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return "", errors.Join(err, os.Remove(w.Name()))
	}
	return w.Name(), nil
}

// tempPrefix begins the names of unfinished files.
const tempPrefix = ".tmp-"

func createTemp(dir string) (*os.File, error) {
	return os.OpenFile(tempName(dir), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

func tempName(dir string) string {
	var id [12]byte
	// 96 bits from the system: no two machines make the same name.
	_, _ = rand.Read(id[:]) // never fails
	return filepath.Join(dir, tempPrefix+hex.EncodeToString(id[:]))
}

// syncDir makes a rename durable. That a file system cannot (CIFS, Windows) is no error: there the server answers for it.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	err = d.Sync()
	if errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("sync directory: %w", kindOf(errors.Join(err, d.Close())))
	}
	_ = d.Close() // opened for reading
	return nil
}

// kindOf adds the sentinel that the error stands for.
func kindOf(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %w", ErrFull, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %w", ErrPermanent, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR): // a file where a directory is named: there is nothing in it
		return fmt.Errorf("%w: %w", ErrNotExist, err)
	}
	return err
}

// Open implements Store.
func (f *File) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := checkRange(ctx, name, offset); err != nil {
		return nil, err
	}
	r, err := os.Open(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		// A client that looked for a name before goes on saying for a while that it is not there: NFS until it asks about the directory, CIFS (1 s) until
		// it lists it.
		refresh(filepath.Dir(f.path(name)))
		_, _ = os.ReadDir(filepath.Dir(f.path(name))) // whether it is there shows in the next line
		r, err = os.Open(f.path(name))
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, kindOf(err))
	}
	// A directory opens, but is no object.
	if st, err := r.Stat(); err != nil || st.IsDir() {
		return nil, fmt.Errorf("open %s: %w", name, errors.Join(ErrNotExist, err, r.Close()))
	}
	if isFresh(ctx) {
		uncache(r, offset, max(length, 0))
	}
	if offset > 0 {
		if _, err := r.Seek(offset, io.SeekStart); err != nil {
			return nil, fmt.Errorf("open %s: %w", name, errors.Join(err, r.Close()))
		}
	}
	if length < 0 {
		return r, nil
	}
	return readCloser{io.LimitReader(r, length), r}, nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

// List implements Store.
func (f *File) List(ctx context.Context, prefix string) ([]Info, error) {
	if err := CheckPrefix(prefix); err != nil {
		return nil, err
	}
	dir, _ := path.Split(prefix)
	infos, err := f.walk(ctx, nil, strings.TrimSuffix(dir, "/"), prefix)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, kindOf(err))
	}
	sorting.By(infos, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return infos, nil
}

// walk appends the objects below dir; what vanishes meanwhile was deleted by somebody.
func (f *File) walk(ctx context.Context, infos []Info, dir, prefix string) ([]Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	refresh(f.path(dir))
	list, err := os.ReadDir(f.path(dir))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return infos, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		name := path.Join(dir, e.Name())
		if e.Name()[0] == '.' || !strings.HasPrefix(name, prefix) && !strings.HasPrefix(prefix, name+"/") {
			continue
		}
		if e.IsDir() {
			if infos, err = f.walk(ctx, infos, name, prefix); err != nil {
				return nil, err
			}
			continue
		}
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, Info{name, st.Size()})
	}
	return infos, nil
}

// Delete implements Store. Directories that have become empty go, too.
func (f *File) Delete(ctx context.Context, name string) error {
	if err := check(ctx, name); err != nil {
		return err
	}
	if err := os.Remove(f.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("delete %s: %w", name, kindOf(err))
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		// Fails when something is in it, which is how it should be. Somebody who made it just now and finds it gone makes it again.
		if gone := os.Remove(f.path(dir)) == nil; !gone {
			break
		}
	}
	return nil
}

// RemoveTemps deletes unfinished files below dir ("" for all) that keep does not want kept, and returns how many: what crashes left behind.
func (f *File) RemoveTemps(ctx context.Context, dir string, keep func(fs.FileInfo) bool) (int, error) {
	n := 0
	err := filepath.WalkDir(f.path(dir), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasPrefix(d.Name(), tempPrefix) {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return errors.Join(err, ctx.Err())
		}
		if st, err := d.Info(); err != nil || keep(st) {
			return nil //nolint:nilerr // it is gone
		}
		n++
		return os.Remove(p)
	})
	if err != nil {
		return n, fmt.Errorf("remove unfinished files: %w", kindOf(err))
	}
	return n, nil
}

// contextContent is c, with reads that fail once ctx has ended.
func contextContent(ctx context.Context, c Content) Content {
	open := c.Open
	c.Open = func() (io.ReadCloser, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}
		return readCloser{contextReader{ctx, r}, r}, nil
	}
	return c
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
