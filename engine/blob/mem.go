package blob

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Mem is a Store in memory, for tests and for clusters within one process that need not outlive it.
type Mem struct {
	mu struct {
		sync.Mutex
		// objects are never modified, only replaced.
		objects map[string][]byte
	}
}

var _ Store = (*Mem)(nil)

// NewMem returns an empty store.
func NewMem() *Mem {
	m := &Mem{}
	m.mu.objects = map[string][]byte{}
	return m
}

// Put implements Store.
func (m *Mem) Put(ctx context.Context, name string, c Content) error {
	if err := check(ctx, name); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := CopyContent(&b, c); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.objects[name] = b.Bytes()
	return nil
}

// CreateExclusive implements Store.
func (m *Mem) CreateExclusive(ctx context.Context, name string, content []byte) error {
	if err := check(ctx, name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.mu.objects[name]; ok {
		return fmt.Errorf("create %s: %w", name, ErrExists)
	}
	m.mu.objects[name] = bytes.Clone(content)
	return nil
}

// Open implements Store.
func (m *Mem) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := checkRange(ctx, name, offset); err != nil {
		return nil, err
	}
	m.mu.Lock()
	b, ok := m.mu.objects[name]
	m.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("open %s: %w", name, ErrNotExist)
	}
	b = b[min(offset, int64(len(b))):]
	if length >= 0 {
		b = b[:min(length, int64(len(b)))]
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// List implements Store.
func (m *Mem) List(ctx context.Context, prefix string) ([]Info, error) {
	if err := CheckPrefix(prefix); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var infos []Info
	for _, name := range slices.Sorted(maps.Keys(m.mu.objects)) {
		if strings.HasPrefix(name, prefix) {
			infos = append(infos, Info{name, int64(len(m.mu.objects[name]))})
		}
	}
	return infos, ctx.Err()
}

// Delete implements Store.
func (m *Mem) Delete(ctx context.Context, name string) error {
	if err := check(ctx, name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.mu.objects, name)
	return nil
}

func check(ctx context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return ctx.Err()
}

func checkRange(ctx context.Context, name string, offset int64) error {
	if offset < 0 {
		return fmt.Errorf("open %s: %w: offset %d", name, ErrPermanent, offset)
	}
	return check(ctx, name)
}
