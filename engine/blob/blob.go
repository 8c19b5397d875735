// Package blob is durable storage for checkpoints: named objects that are whole or absent. It knows nothing of what is in them,
// needs no locks, chmod or mmap of the file system below, and leaves S3 to its sub-package, so that who does not need it does not link it.
package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Sentinels; errors.Is decides.
var (
	// ErrNotExist says that there is no such object.
	ErrNotExist = errors.New("blob: object does not exist")
	// ErrExists says that CreateExclusive came second.
	ErrExists = errors.New("blob: object exists")
	// ErrFull says that the storage has no room left.
	ErrFull = errors.New("blob: storage is full")
	// ErrPermanent wraps what no repetition mends: a bad name, refused credentials, a bucket that is not there.
	ErrPermanent = errors.New("blob: permanent error")
)

// Store keeps objects. Methods may be called by any goroutine, several at a time. A method that returns an error may have had its
// effect nevertheless, as when the answer of a server is lost; it never has half of it.
type Store interface {
	// Put makes an object of c, replacing one of that name. Readers see the old one or the new one, whole, and when Put has returned
	// the new one survives a power failure of this machine.
	Put(ctx context.Context, name string, c Content) error
	// CreateExclusive makes an object, if there is none of that name, and reports ErrExists if there is. Of any number of callers at
	// most one succeeds. An attempt that died half-way may use up the name: then it exists for CreateExclusive, while Open finds
	// nothing, or (where the file system has no hard links) a beginning of content. So let content carry its own check.
	CreateExclusive(ctx context.Context, name string, content []byte) error
	// Open reads length bytes from offset on, or to the end if length is below 0. A range past the end ends early. The reader fails
	// with an error other than io.EOF when it could not deliver all.
	Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
	// List returns the objects whose names begin with prefix, by name. What is written meanwhile may be in it or not.
	List(ctx context.Context, prefix string) ([]Info, error)
	// Delete removes an object; that there is none is no error.
	Delete(ctx context.Context, name string) error
}

// Info is what a listing says about an object.
type Info struct {
	Name      string
	SizeBytes int64
}

// Content is what an object is to be made of. Open may be called several times, as a write is repeated after an error.
type Content struct {
	// SizeBytes is exactly what Open's reader gives.
	SizeBytes int64
	Open      func() (io.ReadCloser, error)
}

// Bytes is b as content; b is lent until the write has ended.
func Bytes(b []byte) Content {
	return Content{int64(len(b)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}
}

// ReadAll reads a whole object of at most maxBytes.
func ReadAll(ctx context.Context, s Store, name string, maxBytes int64) ([]byte, error) {
	r, err := s.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(b)) > maxBytes {
		return nil, fmt.Errorf("read %s: %w: more than %d bytes", name, ErrPermanent, maxBytes)
	}
	return b, nil
}

// nameBytesMax and elementBytesMax bound names: S3 ends at 1,024 bytes, prefix included, file systems at 255 an element.
const (
	nameBytesMax    = 768
	elementBytesMax = 200
)

// CheckName reports whether name will do on every kind of storage: elements of ASCII letters, digits and ._-+=, separated by single
// slashes, none beginning with a dot (those are the stores' own). Do not rely on case alone to tell names apart: CIFS does not.
func CheckName(name string) error {
	if name == "" || len(name) > nameBytesMax {
		return fmt.Errorf("%w: object name of %d bytes, not 1 to %d", ErrPermanent, len(name), nameBytesMax)
	}
	for e := range strings.SplitSeq(name, "/") {
		if e == "" || e[0] == '.' || e[len(e)-1] == '.' || len(e) > elementBytesMax {
			return fmt.Errorf("%w: object name %q has element %q", ErrPermanent, name, e)
		}
	}
	return checkChars(name)
}

// CheckPrefix allows what some name begins with: List takes it.
func CheckPrefix(prefix string) error {
	if len(prefix) > nameBytesMax || strings.HasPrefix(prefix, "/") || strings.Contains("/"+prefix, "/.") || strings.Contains(prefix, "//") {
		return fmt.Errorf("%w: object prefix %q", ErrPermanent, prefix)
	}
	return checkChars(prefix)
}

func checkChars(s string) error {
	for i := range len(s) {
		c := s[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-+=/", c) >= 0
		if !ok {
			return fmt.Errorf("%w: object name %q has character %q", ErrPermanent, s, c)
		}
	}
	return nil
}

// Hidden reports whether a name has an element that is a store's own, which listings leave out.
func Hidden(name string) bool { return strings.Contains("/"+name, "/.") }

// CopyContent writes c to w and checks its length.
func CopyContent(w io.Writer, c Content) error {
	r, err := c.Open()
	if err != nil {
		return fmt.Errorf("open content: %w", err)
	}
	n, err := io.Copy(w, io.LimitReader(r, c.SizeBytes+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("copy content: %w", err)
	}
	if n != c.SizeBytes {
		return fmt.Errorf("%w: content is not of %d bytes (%d came)", ErrPermanent, c.SizeBytes, n)
	}
	return nil
}
