//go:build integration

package virtual

import (
	"context"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/state"
	"github.com/bramble-stream/bramble/internal/app"
)

// bug is one that is planted, to see that it is found.
type bug string

const (
	noBug bug = ""
	// bugPosition: a source says it has read what it has not.
	bugPosition bug = "position ahead"
	// bugTwice: a sink forgets which transactions there were.
	bugTwice bug = "commit twice"
	// bugEager: a sink publishes what is only prepared.
	bugEager bug = "publish before commit"
	// bugUpload: storage takes files of state for written that it has lost.
	bugUpload bug = "acknowledge before upload"
	// bugState: a store that is opened on the files of a checkpoint begins empty.
	bugState bug = "state not restored"
	// bugLeaders: two can create the same object, so that both lead.
	bugLeaders bug = "create is not exclusive"
)

// careless loses every few files of state.
type careless struct {
	blob.Store
	puts atomic.Int64
}

func (c *careless) Put(ctx context.Context, name string, content blob.Content) error {
	if strings.Contains(name, "/shared/") && c.puts.Add(1)%5 == 0 {
		return blob.CopyContent(io.Discard, content)
	}
	return c.Store.Put(ctx, name, content)
}

// polite lets everybody create.
type polite struct{ blob.Store }

func (p polite) CreateExclusive(ctx context.Context, name string, content []byte) error {
	return p.Put(ctx, name, blob.Bytes(content))
}

// forgetful removes what a store should begin with.
func forgetful(dir string, info op.TaskInfo, memoryBytes int64, merge state.MergeFunc) (state.Store, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	return app.OpenState(dir, info, memoryBytes, merge)
}
