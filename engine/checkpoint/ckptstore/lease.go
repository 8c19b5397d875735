package ckptstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/bramble-stream/bramble/engine/blob"
)

const (
	// leaseSuffix follows the name of a leader epoch; standbyPrefix begins the names of those who stand by.
	leaseSuffix   = ".lease"
	standbyPrefix = "standby-"
	leaseMagic    = "BRMBLLSE"
	leaseVersion  = 1
	leaseBytesMax = 1 << 16
)

// Lease is how a leader shows that it lives: its Beat rises. It is the only object that is ever replaced, and it fences nobody.
type Lease struct {
	Epoch uint64 `json:"epoch"`
	Beat  uint64 `json:"beat"`
	// Holder is the leader's address. Instance names the place that its process has to itself, "" if that is not known: a later process at
	// this very place knows that the holder is gone.
	Holder   string `json:"holder"`
	Instance string `json:"instance,omitempty"`
	// Page is the URL of the leader's dashboard, "" if it has none.
	Page string `json:"page,omitempty"`
	// Released: the holder has given the leadership back.
	Released bool `json:"released,omitempty"`
	// Quiet has Renew look only, and write nothing, while nobody stands by.
	Quiet bool `json:"-"`
}

func leaseName(epoch uint64) string { return leaderName(epoch) + leaseSuffix }

// Renew writes the next lease, see Lease.Quiet; Epoch is set. ErrFenced says that another leads. watched says that somebody stands by.
func (l *Leader) Renew(ctx context.Context, lease Lease) (watched bool, err error) {
	infos, err := l.root.List(ctx, leaderDir)
	if err != nil {
		return false, fmt.Errorf("renew lease: %w", err)
	}
	if epochs := epochsIn(infos); len(epochs) > 0 && epochs[len(epochs)-1] > l.epoch {
		return false, fmt.Errorf("%w: epoch %d, this is %d", ErrFenced, epochs[len(epochs)-1], l.epoch)
	}
	watched = slices.ContainsFunc(infos, func(i blob.Info) bool { return strings.HasPrefix(i.Name, leaderDir+standbyPrefix) })
	if lease.Quiet && !watched {
		return false, nil
	}
	lease.Epoch = l.epoch
	body, err := json.Marshal(lease)
	if err != nil {
		return watched, fmt.Errorf("renew lease: %w", err)
	}
	if err := l.root.Put(ctx, leaseName(l.epoch), blob.Bytes(seal(leaseMagic, leaseVersion, body))); err != nil {
		return watched, fmt.Errorf("renew lease: %w", err)
	}
	return watched, nil
}

// Tidy removes what former leaders and those who stood by have left; who still does announces himself again.
func (l *Leader) Tidy(ctx context.Context) { l.tidy(ctx) }

// Look reads who leads. A zero Epoch: nobody ever has; a zero Beat: there is no lease that can be read. announced says whether the standby
// of this ID is known to the leader.
func Look(ctx context.Context, root blob.Store, standby string) (lease Lease, announced bool, err error) {
	infos, err := root.List(ctx, leaderDir)
	if err != nil {
		return lease, false, fmt.Errorf("list leaders: %w", err)
	}
	has := func(name string) bool {
		return slices.ContainsFunc(infos, func(i blob.Info) bool { return i.Name == name })
	}
	announced = has(leaderDir + standbyPrefix + standby)
	epochs := epochsIn(infos)
	if len(epochs) == 0 {
		return lease, announced, nil
	}
	epoch := epochs[len(epochs)-1]
	lease.Epoch = epoch
	if !has(leaseName(epoch)) {
		info, err := CurrentLeader(ctx, root)
		if err != nil {
			return lease, announced, err
		}
		if info.Epoch == epoch {
			lease.Holder = info.Holder
		}
		return lease, announced, nil
	}
	b, err := blob.ReadAll(ctx, root, leaseName(epoch), leaseBytesMax)
	if err != nil {
		return lease, announced, fmt.Errorf("read lease: %w", err)
	}
	var read Lease
	if body, err := unseal(leaseMagic, leaseVersion, b); err == nil && json.Unmarshal(body, &read) == nil && read.Epoch == epoch {
		lease = read
	}
	return lease, announced, nil
}

// Announce tells the leader that somebody stands by, so that it makes room when it cannot renew its lease. The ID is of letters and digits.
func Announce(ctx context.Context, root blob.Store, standby string) error {
	if err := root.Put(ctx, leaderDir+standbyPrefix+standby, blob.Bytes(nil)); err != nil {
		return fmt.Errorf("announce a standby: %w", err)
	}
	return nil
}

// Withdraw takes an announcement back.
func Withdraw(ctx context.Context, root blob.Store, standby string) error {
	if err := root.Delete(ctx, leaderDir+standbyPrefix+standby); err != nil {
		return fmt.Errorf("withdraw a standby: %w", err)
	}
	return nil
}
