package taskmanager

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	"github.com/bramble-stream/bramble/engine/op"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// Uplink is the way of rows to the jobmanager that the taskmanager belongs to, beside what the session says. Its zero value leads nowhere.
type Uplink struct {
	mu struct {
		sync.Mutex
		conn grpc.ClientConnInterface
	}
}

// set says which connection it is, nil for none. A nil Uplink does nothing.
func (u *Uplink) set(conn grpc.ClientConnInterface) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mu.conn = conn
}

// Collect begins to send the rows of a preview; it ends with ctx.
func (u *Uplink) Collect(ctx context.Context, job string) (*Collecting, error) {
	u.mu.Lock()
	conn := u.mu.conn
	u.mu.Unlock()
	if conn == nil {
		return nil, errSessionOver
	}
	stream, err := pb.NewTaskManagerServiceClient(conn).Collect(ctx)
	if err != nil {
		return nil, err
	}
	return &Collecting{ctx: ctx, job: job, stream: stream}, nil
}

// Collecting sends rows. It is used on one goroutine.
type Collecting struct {
	ctx    context.Context //nolint:containedctx // the stream's life, which is the task's
	job    string
	stream pb.TaskManagerService_CollectClient
}

// Send returns when the rows are on their way; it blocks while those before are not taken.
func (c *Collecting) Send(rows, kinds []byte) error {
	err := c.stream.Send(&pb.CollectRequest{JobId: c.job, RowsJson: bytes.Clone(rows), Kinds: bytes.Clone(kinds)})
	if errors.Is(err, io.EOF) { // why is in the answer
		_, err = c.stream.CloseAndRecv()
	}
	return c.cause(err)
}

// Close returns when the jobmanager has handed all rows on.
func (c *Collecting) Close() error {
	_, err := c.stream.CloseAndRecv()
	return c.cause(err)
}

// cause is op.ErrStopped for what follows from the end of the task.
func (c *Collecting) cause(err error) error {
	if err != nil && c.ctx.Err() != nil {
		return op.ErrStopped
	}
	return err
}
