package exchange

import (
	"sync"

	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/invariants"
)

// keepBytesMax is the largest batch that a pool keeps: one huge row must not pin its memory for ever.
const keepBytesMax = 4 * vec.TargetBytes

// Pool recycles the batches of one channel between its two ends. It is safe for concurrent use.
type Pool struct {
	schema *vec.Schema
	mu     struct {
		sync.Mutex
		free []*vec.Batch
	}
}

// NewPool returns a pool that keeps up to size empty batches.
func NewPool(schema *vec.Schema, size int) *Pool {
	p := &Pool{schema: schema}
	p.mu.free = make([]*vec.Batch, 0, size)
	return p
}

// Get returns an empty batch.
func (p *Pool) Get() *vec.Batch {
	p.mu.Lock()
	if n := len(p.mu.free); n > 0 {
		b := p.mu.free[n-1]
		p.mu.free = p.mu.free[:n-1]
		p.mu.Unlock()
		return b
	}
	p.mu.Unlock()
	return vec.NewBatch(p.schema)
}

// Put takes a batch back; nobody may use it any more.
func (p *Pool) Put(b *vec.Batch) {
	if invariants.Enabled {
		vec.Mangle(b) // whoever kept it sees nonsense
	}
	if b.MemSize() > keepBytesMax {
		return
	}
	b.Reset()
	p.mu.Lock()
	if len(p.mu.free) < cap(p.mu.free) {
		p.mu.free = append(p.mu.free, b)
	}
	p.mu.Unlock()
}
