//go:build integration

package virtual

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

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
	// bugFence: nobody who leads learns that another does.
	bugFence bug = "leaders are not fenced"
)

// bugs are all of them.
var bugs = []bug{bugPosition, bugTwice, bugEager, bugUpload, bugState, bugFence}

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

// blind shows who has created a leader epoch none that comes after, and lets it create what is there.
type blind struct {
	blob.Store
	mine atomic.Pointer[string]
}

const leaderDir = "leader/"

func (b *blind) CreateExclusive(ctx context.Context, name string, content []byte) error {
	err := b.Store.CreateExclusive(ctx, name, content)
	if strings.HasPrefix(name, leaderDir) && !strings.Contains(name, ".") && err == nil {
		b.mine.Store(&name)
	}
	if errors.Is(err, blob.ErrExists) && b.mine.Load() != nil {
		return b.Put(ctx, name, blob.Bytes(content))
	}
	return err
}

func (b *blind) List(ctx context.Context, prefix string) ([]blob.Info, error) {
	infos, err := b.Store.List(ctx, prefix)
	mine := b.mine.Load()
	return slices.DeleteFunc(infos, func(i blob.Info) bool {
		return mine != nil && strings.HasPrefix(i.Name, leaderDir) && !strings.HasPrefix(i.Name, leaderDir+"standby") && i.Name[:min(len(*mine), len(i.Name))] > *mine
	}), err
}

// TestPlantedBugs: what is wrong is found within a few seeds.
func TestPlantedBugs(t *testing.T) {
	const seeds = 60
	for _, b := range bugs {
		t.Run(string(b), func(t *testing.T) {
			t.Parallel()
			for seed := uint64(1); seed <= seeds; seed++ {
				if o := play(t, seed, b); o.err != nil {
					t.Logf("caught at seed %d: %v", seed, o.err)
					return
				}
			}
			t.Errorf("not caught within %d seeds", seeds)
		})
	}
}

// forgetful removes what a store should begin with.
func forgetful(dir string, info op.TaskInfo, memoryBytes int64, merge state.MergeFunc) (state.Store, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	return app.OpenState(dir, info, memoryBytes, merge)
}
