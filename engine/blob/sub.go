package blob

import (
	"context"
	"io"
	"strings"
)

// sub is the part of a store below a prefix.
type sub struct {
	in     Store
	prefix string
}

var _ Store = sub{}

// Sub is the part of s whose names begin with dir and a slash, without that.
func Sub(s Store, dir string) (Store, error) {
	if err := CheckName(dir); err != nil {
		return nil, err
	}
	return sub{s, dir + "/"}, nil
}

func (s sub) Put(ctx context.Context, name string, c Content) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return s.in.Put(ctx, s.prefix+name, c)
}

func (s sub) CreateExclusive(ctx context.Context, name string, content []byte) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return s.in.CreateExclusive(ctx, s.prefix+name, content)
}

func (s sub) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	return s.in.Open(ctx, s.prefix+name, offset, length)
}

func (s sub) List(ctx context.Context, prefix string) ([]Info, error) {
	if err := CheckPrefix(prefix); err != nil {
		return nil, err
	}
	infos, err := s.in.List(ctx, s.prefix+prefix)
	for i := range infos {
		infos[i].Name = strings.TrimPrefix(infos[i].Name, s.prefix)
	}
	return infos, err
}

func (s sub) Delete(ctx context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return s.in.Delete(ctx, s.prefix+name)
}
