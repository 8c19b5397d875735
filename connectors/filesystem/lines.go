package filesystem

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/bramble-stream/bramble/connectors/format"
)

const (
	// chunkBytes is one read of a file.
	chunkBytes = 256 << 10
	// headBytes of a record that is too long are kept to show it.
	headBytes = 200
)

// errMore says that a record that is too long goes on: call next again.
var errMore = errors.New("filesystem: more to skip")

// lines cuts the records out of an open file.
type lines struct {
	path   string
	f      *os.File
	r      io.Reader
	split  func(data []byte, atEOF bool) (advance int, record []byte)
	info   file
	buf    []byte
	lo, hi int // what is read and not yet taken
	// at is the offset in the (unpacked) file of buf[lo].
	at  int64
	eof bool
	// skipping a record that is too long and began at skipFrom.
	skipping bool
	skipFrom int64
	head     []byte
}

// openLines opens a file and goes to an offset of its unpacked content. buf is memory to reuse.
func openLines(path string, offset int64, split func([]byte, bool) (int, []byte), buf []byte) (*lines, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w; every taskmanager that reads the table needs it under this path", err)
	}
	l := &lines{path: path, f: f, r: f, split: split, at: offset, buf: buf}
	if err := l.start(offset); err != nil {
		_ = f.Close() // it was only read
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return l, nil
}

func (l *lines) start(offset int64) error {
	st, err := l.f.Stat()
	if err != nil {
		return err
	}
	l.info = file{l.path, st.Size(), st.ModTime().UnixMilli()}
	if !strings.HasSuffix(l.path, ".gz") {
		if offset > st.Size() {
			return fmt.Errorf("it has %d bytes, but %d had been read of it: it was replaced or cut", st.Size(), offset)
		}
		_, err := l.f.Seek(offset, io.SeekStart)
		return err
	}
	if l.r, err = gzip.NewReader(l.f); err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, l.r, offset)
	return err
}

func (l *lines) close() error { return l.f.Close() }

// pos is the offset at which reading would go on.
func (l *lines) pos() int64 {
	if l.skipping {
		return l.skipFrom
	}
	return l.at
}

var bom = []byte("\xef\xbb\xbf")

// next returns the next record and its offset; it is valid until the next call. io.EOF ends the file. format.ErrTooLong comes with the
// beginning of a record that was left out, errMore while one is being left out.
func (l *lines) next() (record []byte, offset int64, err error) {
	for {
		if l.skipping {
			return l.skip()
		}
		if l.at == 0 && l.hi-l.lo >= len(bom) && bytes.HasPrefix(l.buf[l.lo:l.hi], bom) {
			l.take(len(bom))
		}
		if data := l.buf[l.lo:l.hi]; len(data) > 0 && (l.at > 0 || l.eof || len(data) >= len(bom)) {
			if n, rec := l.split(data, l.eof); n > 0 {
				offset = l.at
				l.take(n)
				return rec, offset, nil
			}
			if len(data) > format.MaxMessageBytes {
				l.skipping, l.skipFrom, l.head = true, l.at, bytes.Clone(data[:headBytes])
				continue
			}
		}
		if l.eof {
			return nil, l.at, io.EOF
		}
		if err := l.fill(); err != nil {
			return nil, l.at, err
		}
	}
}

func (l *lines) take(n int) {
	l.lo += n
	l.at += int64(n)
}

// skip goes on to the next line end, a chunk a call.
func (l *lines) skip() ([]byte, int64, error) {
	i := bytes.IndexByte(l.buf[l.lo:l.hi], '\n')
	if i < 0 && !l.eof {
		l.take(l.hi - l.lo)
		if err := l.fill(); err != nil {
			return nil, l.skipFrom, err
		}
		return nil, l.skipFrom, errMore
	}
	if i < 0 {
		l.take(l.hi - l.lo)
	} else {
		l.take(i + 1)
	}
	l.skipping = false
	return l.head, l.skipFrom, format.ErrTooLong
}

// fill reads on behind what is there; the buffer doubles when one record fills it.
func (l *lines) fill() error {
	if l.lo > 0 {
		l.hi = copy(l.buf, l.buf[l.lo:l.hi])
		l.lo = 0
	}
	if l.hi == len(l.buf) {
		bigger := make([]byte, min(max(chunkBytes, 2*len(l.buf)), format.MaxMessageBytes+chunkBytes))
		copy(bigger, l.buf)
		l.buf = bigger
	}
	n, err := l.r.Read(l.buf[l.hi:min(len(l.buf), l.hi+chunkBytes)])
	l.hi += n
	if errors.Is(err, io.EOF) {
		l.eof = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s at %d: %w", l.path, l.at, err)
	}
	return nil
}

// back gives the last record back, which began at offset.
func (l *lines) back(offset int64) {
	l.lo -= int(l.at - offset)
	l.at = offset
}
