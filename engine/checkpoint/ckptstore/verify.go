package ckptstore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint"
)

// Sizes lists the files of state that storage has, by path. It is one listing.
func (s *Store) Sizes(ctx context.Context) (map[string]int64, error) {
	l, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	return l.files, nil
}

// verifyBytes is how much VerifyState reads at a time: little enough for a bounded rate to be even, and for no file to be open for long.
const verifyBytes = 256 << 10

// VerifyState reads a file back from the storage itself, and not from what this machine remembers of it. The error is checkpoint.ErrCorrupt if it is not what
// was written, blob.ErrNotExist if it is not there; others say that nobody knows. pace is called after each part with its size and may wait; its error ends it.
func (s *Store) VerifyState(ctx context.Context, f checkpoint.File, pace func(ctx context.Context, n int64) error) error {
	fresh := blob.Fresh(ctx)
	h := xxh3.New()
	for at := int64(0); ; {
		// One byte more than there should be is asked for: a file that has grown is damaged, too.
		n, err := s.digest(fresh, f.Path, at, min(verifyBytes, f.SizeBytes-at+1), h)
		if err != nil {
			return fmt.Errorf("read state back: %w", err)
		}
		at += n
		switch {
		case at > f.SizeBytes, n == 0 && at < f.SizeBytes:
			return fmt.Errorf("read state %s back: %w: %d bytes, not %d", f.Path, checkpoint.ErrCorrupt, at, f.SizeBytes)
		case n == 0 && h.Sum64() != uint64(f.Checksum):
			return fmt.Errorf("read state %s back: %w: checksum", f.Path, checkpoint.ErrCorrupt)
		case n == 0:
			return nil
		}
		if err := pace(ctx, n); err != nil {
			return err
		}
	}
}

func (s *Store) digest(ctx context.Context, path string, at, length int64, h io.Writer) (n int64, err error) {
	r, err := s.blob.Open(ctx, path, at, length)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(h, r)
	return n, errors.Join(err, r.Close())
}
