package rest

import (
	"context"
	"encoding/json"
	"sync"
	"time"
)

const (
	// freshMax is how old a cached document may be: one that watches once a second gets a new one each time.
	freshMax = 900 * time.Millisecond
	// documentsMax bounds the documents that are kept.
	documentsMax = 64
)

// cache holds the documents that were asked for within the last moment.
type cache struct {
	now func() time.Time
	mu  struct {
		sync.Mutex
		documents map[string]*cached
	}
}

// cached is a document. Its lock is held while it is made, so that it is made once for all who ask meanwhile.
type cached struct {
	mu struct {
		sync.Mutex
		at    time.Time
		value any
		data  []byte
	}
}

func (c *cache) entry(key string) *cached {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.mu.documents[key]; d != nil {
		return d
	}
	if len(c.mu.documents) >= documentsMax || c.mu.documents == nil {
		c.mu.documents = map[string]*cached{} // who asks on has it back in a moment
	}
	d := &cached{}
	c.mu.documents[key] = d
	return d
}

// forget has the next who asks see what has just been done.
func (c *cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.documents = nil
}

// value is a document, made by load unless there is a fresh one. Errors are not kept.
func (c *cache) value(ctx context.Context, key string, load func(context.Context) (any, error)) (any, error) {
	d := c.entry(key)
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.getLocked(ctx, c.now(), load)
}

// encoded is the document as JSON.
func (c *cache) encoded(ctx context.Context, key string, load func(context.Context) (any, error)) ([]byte, error) {
	d := c.entry(key)
	d.mu.Lock()
	defer d.mu.Unlock()
	v, err := d.getLocked(ctx, c.now(), load)
	if err != nil {
		return nil, err
	}
	if d.mu.data == nil {
		d.mu.data, err = json.Marshal(v)
	}
	return d.mu.data, err
}

func (d *cached) getLocked(ctx context.Context, now time.Time, load func(context.Context) (any, error)) (any, error) {
	if age := now.Sub(d.mu.at); d.mu.value != nil && age >= 0 && age < freshMax {
		return d.mu.value, nil
	}
	d.mu.value, d.mu.data = nil, nil
	limited, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	v, err := load(limited)
	if err != nil {
		return nil, err
	}
	d.mu.value, d.mu.at = v, now
	return v, nil
}
