package taskmanager

import (
	"sync"

	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// outbox is what waits to be sent to the jobmanager. Putting never blocks, since tasks put on their own goroutines. It is bounded by
// nature: a task has a handful of states, and of each component's health only the latest is kept.
type outbox struct {
	// ready receives after a put or a wake.
	ready chan struct{}
	mu    struct {
		sync.Mutex
		queue  []*pb.ConnectRequest
		health map[healthKey]*pb.HealthChange
	}
}

type healthKey struct {
	job       jobKey
	vertex    string
	index     int32
	component string
}

func newOutbox() *outbox {
	b := &outbox{ready: make(chan struct{}, 1)}
	b.mu.health = map[healthKey]*pb.HealthChange{}
	return b
}

func (b *outbox) wake() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

func (b *outbox) put(m *pb.ConnectRequest) {
	b.mu.Lock()
	b.mu.queue = append(b.mu.queue, m)
	b.mu.Unlock()
	b.wake()
}

func (b *outbox) putHealth(m *pb.HealthChange) {
	b.mu.Lock()
	b.mu.health[healthKey{jobKey{m.JobId, m.Attempt}, m.Task.GetVertexId(), m.Task.GetIndex(), m.Component}] = m
	b.mu.Unlock()
	b.wake()
}

// take returns all that waits: states in the order in which they were put, then health.
func (b *outbox) take() []*pb.ConnectRequest {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.mu.queue
	b.mu.queue = nil
	for _, h := range b.mu.health {
		all = append(all, &pb.ConnectRequest{Message: &pb.ConnectRequest_Health{Health: h}})
	}
	clear(b.mu.health)
	return all
}
