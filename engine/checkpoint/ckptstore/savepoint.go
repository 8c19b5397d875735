package ckptstore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint"
)

// Savepoint is a directory with everything in it: it can be moved and copied, and lives until somebody disposes of it.
type Savepoint struct{ blob blob.Store }

// NewSavepoint returns the savepoint in dir, which is it alone.
func NewSavepoint(dir blob.Store) *Savepoint { return &Savepoint{dir} }

const savepointManifest = "manifest"

// PutState uploads a file. unique tells it from all others of the savepoint. open may be called several times.
func (s *Savepoint) PutState(ctx context.Context, unique, name string, sizeBytes int64, open func() (io.ReadCloser, error)) (checkpoint.File, error) {
	return putState(ctx, s.blob, "state/"+unique, name, sizeBytes, open)
}

// OpenState reads a file like Store.OpenState.
func (s *Savepoint) OpenState(ctx context.Context, f checkpoint.File) (io.ReadCloser, error) {
	return openState(ctx, s.blob, f)
}

// WriteManifest makes the savepoint complete. l must lead before and after.
func (s *Savepoint) WriteManifest(ctx context.Context, l *Leader, m *checkpoint.Manifest) error {
	b, err := checkpoint.Encode(m)
	if err != nil {
		return err
	}
	if err := l.Check(ctx); err != nil {
		return fmt.Errorf("write savepoint: %w", err)
	}
	if err := s.blob.CreateExclusive(ctx, savepointManifest, b); err != nil {
		return fmt.Errorf("write savepoint: %w", err)
	}
	if err := l.Check(ctx); err != nil {
		return fmt.Errorf("after writing the savepoint: %w", err)
	}
	return nil
}

// Load reads the manifest and checks that all files are there.
func (s *Savepoint) Load(ctx context.Context) (*checkpoint.Manifest, error) {
	m, err := load(ctx, s.blob, savepointManifest)
	if err != nil {
		return nil, fmt.Errorf("load savepoint: %w", err)
	}
	infos, err := s.blob.List(ctx, "state/")
	if err != nil {
		return nil, fmt.Errorf("load savepoint: %w", err)
	}
	l := &listing{files: map[string]int64{}}
	for _, i := range infos {
		l.files[i.Name] = i.SizeBytes
	}
	if err := l.complete(m); err != nil {
		return nil, fmt.Errorf("load savepoint: %w", err)
	}
	return m, nil
}

// Dispose deletes the savepoint, the manifest first: files may only be missing once it is gone. Anything else in the
// directory stays. With force it deletes one without a readable manifest, too: what a failed attempt left.
func (s *Savepoint) Dispose(ctx context.Context, force bool) error {
	_, err := load(ctx, s.blob, savepointManifest)
	if err != nil && (!force || !unusable(err)) {
		return fmt.Errorf("dispose of savepoint: %w", err)
	}
	if err := s.blob.Delete(ctx, savepointManifest); err != nil {
		return fmt.Errorf("dispose of savepoint: %w", err)
	}
	infos, err := s.blob.List(ctx, "state/")
	var errs []error
	for _, i := range infos {
		errs = append(errs, s.blob.Delete(ctx, i.Name))
	}
	if err = errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("dispose of savepoint: %w", err)
	}
	return nil
}
