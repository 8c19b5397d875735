package ckptstore_test

import (
	"errors"
	"testing"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint/ckptstore"
)

func TestLeaseIsSeenByThoseWhoStandBy(t *testing.T) {
	file, err := blob.NewFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, root := range map[string]blob.Store{"memory": blob.NewMem(), "file": file} {
		ctx := t.Context()
		look := func(want ckptstore.Lease, wantKnown bool) {
			t.Helper()
			got, known, err := ckptstore.Look(ctx, root, "b1")
			if err != nil || got != want || known != wantKnown {
				t.Errorf("%s: it sees %+v (known: %t), %v; want %+v", name, got, known, err, want)
			}
		}
		look(ckptstore.Lease{}, false)
		first, err := ckptstore.Take(ctx, root, 1, "a:1", "n1")
		if err != nil {
			t.Fatal(err)
		}
		look(ckptstore.Lease{Epoch: 1, Holder: "a:1"}, false)
		renew := func(l *ckptstore.Leader, beat uint64, released, wantWatched bool) {
			t.Helper()
			watched, err := l.Renew(ctx, ckptstore.Lease{Beat: beat, Holder: "a:1", Instance: "here", Released: released})
			if err != nil || watched != wantWatched {
				t.Errorf("%s: watched: %t, %v", name, watched, err)
			}
		}
		renew(first, 1, false, false)
		look(ckptstore.Lease{Epoch: 1, Beat: 1, Holder: "a:1", Instance: "here"}, false)
		quiet := ckptstore.Lease{Beat: 9, Holder: "a:1", Instance: "here", Quiet: true}
		if watched, err := first.Renew(ctx, quiet); err != nil || watched {
			t.Errorf("%s: watched: %t, %v", name, watched, err)
		}
		look(ckptstore.Lease{Epoch: 1, Beat: 1, Holder: "a:1", Instance: "here"}, false) // nothing is written for nobody
		if err := ckptstore.Announce(ctx, root, "b1"); err != nil {
			t.Fatal(err)
		}
		if watched, err := first.Renew(ctx, quiet); err != nil || !watched {
			t.Errorf("%s: watched: %t, %v", name, watched, err)
		}
		look(ckptstore.Lease{Epoch: 1, Beat: 9, Holder: "a:1", Instance: "here"}, true)
		renew(first, 2, true, true)
		look(ckptstore.Lease{Epoch: 1, Beat: 2, Holder: "a:1", Instance: "here", Released: true}, true)
		first.Tidy(ctx)
		renew(first, 3, false, false)
		if err := ckptstore.Withdraw(ctx, root, "b1"); err != nil { // there is none: no error
			t.Fatal(err)
		}
		if _, err := ckptstore.Take(ctx, root, 1, "b:1", "n2"); !errors.Is(err, ckptstore.ErrTaken) {
			t.Errorf("%s: epoch 1 is taken twice: %v", name, err)
		}
		if _, err := ckptstore.Take(ctx, root, 2, "b:1", "n2"); err != nil {
			t.Fatal(err)
		}
		if _, err := first.Renew(ctx, ckptstore.Lease{Beat: 4}); !errors.Is(err, ckptstore.ErrFenced) {
			t.Errorf("%s: the former leader renews its lease: %v", name, err)
		}
		look(ckptstore.Lease{Epoch: 2, Holder: "b:1"}, false)
		infos, err := root.List(ctx, "leader/")
		if err != nil || len(infos) != 2 {
			t.Errorf("%s: there is %v, %v", name, infos, err)
		}
		// A lease that is torn is none, and no error.
		if err := root.Put(ctx, "leader/00000000000000000002.lease", blob.Bytes([]byte("BRMBLLSE 1 00"))); err != nil {
			t.Fatal(err)
		}
		look(ckptstore.Lease{Epoch: 2}, false)
	}
}
