package ckptstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/bramble-stream/bramble/engine/blob"
)

// ErrFenced says that a newer jobmanager leads: stop everything, and write nothing.
var ErrFenced = errors.New("ckptstore: a newer jobmanager leads")

// ErrTaken says that a leader epoch is another's.
var ErrTaken = errors.New("ckptstore: the leader epoch is taken")

const (
	leaderDir = "leader/"
	// leadersKept are how many records of former leaders stay, for people to look at.
	leadersKept = 5
	// takeAttemptsMax bounds how often one who takes over may be overtaken.
	takeAttemptsMax = 100
	leaderBytesMax  = 1 << 16
)

// Leader is the right of one jobmanager to write below a root, until another takes it.
type Leader struct {
	root  blob.Store
	epoch uint64
}

// LeaderInfo says who leads.
type LeaderInfo struct {
	Epoch uint64 `json:"epoch"`
	// Holder is what the leader said of itself: an address, for people and for those who stand by.
	Holder string `json:"holder"`
	// Nonce is different for each attempt to lead, so that a repeated request knows its own.
	Nonce string `json:"nonce"`
}

// Lead takes the next leader epoch, whoever may lead now; from then on nobody who led before can complete a checkpoint. nonce must be unique
// (a UUID). Who has manners stands by first: see Look and Take.
func Lead(ctx context.Context, root blob.Store, holder, nonce string) (*Leader, error) {
	epochs, err := leaders(ctx, root)
	if err != nil {
		return nil, err
	}
	next := uint64(1)
	if len(epochs) > 0 {
		next = epochs[len(epochs)-1] + 1
	}
	for range takeAttemptsMax {
		l, err := Take(ctx, root, next, holder, nonce)
		if errors.Is(err, ErrTaken) {
			next++ // it may be a name that somebody used up and died
			continue
		}
		return l, err
	}
	return nil, fmt.Errorf("take leadership: overtaken %d times", takeAttemptsMax)
}

// Take takes this leader epoch, or returns ErrTaken: somebody else has it, or a newer one. Nobody who led before can complete a checkpoint then.
func Take(ctx context.Context, root blob.Store, epoch uint64, holder, nonce string) (*Leader, error) {
	b, err := json.Marshal(LeaderInfo{epoch, holder, nonce})
	if err != nil {
		return nil, fmt.Errorf("take leadership: %w", err)
	}
	err = root.CreateExclusive(ctx, leaderName(epoch), b)
	if errors.Is(err, blob.ErrExists) {
		return nil, fmt.Errorf("%w: %d", ErrTaken, epoch)
	}
	if err != nil {
		return nil, fmt.Errorf("take leadership: %w", err)
	}
	l := &Leader{root, epoch}
	// One who was slow may have taken a number that was taken, and cleared away, before.
	if err := l.Check(ctx); errors.Is(err, ErrFenced) {
		return nil, fmt.Errorf("%w: %w", ErrTaken, err)
	} else if err != nil {
		return nil, fmt.Errorf("take leadership: %w", err)
	}
	l.tidy(ctx)
	return l, nil
}

// tidy removes old records, former leases, and announcements: whoever still stands by announces himself again. That any stays is no harm.
func (l *Leader) tidy(ctx context.Context) {
	infos, err := l.root.List(ctx, leaderDir)
	if err != nil {
		return
	}
	for _, i := range infos {
		base := strings.TrimPrefix(i.Name, leaderDir)
		e, err := strconv.ParseUint(strings.TrimSuffix(base, leaseSuffix), 10, 64)
		lease := strings.HasSuffix(base, leaseSuffix)
		switch {
		case strings.HasPrefix(base, standbyPrefix),
			err == nil && lease && e < l.epoch,
			err == nil && !lease && e+leadersKept <= l.epoch:
			_ = l.root.Delete(ctx, i.Name)
		}
	}
}

func leaderName(epoch uint64) string { return fmt.Sprintf("%s%020d", leaderDir, epoch) }

// leaders lists all epochs, ascending.
func leaders(ctx context.Context, root blob.Store) ([]uint64, error) {
	infos, err := root.List(ctx, leaderDir)
	if err != nil {
		return nil, fmt.Errorf("list leaders: %w", err)
	}
	return epochsIn(infos), nil
}

func epochsIn(infos []blob.Info) []uint64 {
	var out []uint64
	for _, i := range infos {
		if e, err := strconv.ParseUint(strings.TrimPrefix(i.Name, leaderDir), 10, 64); err == nil {
			out = append(out, e)
		}
	}
	return out
}

// Epoch is the leader epoch, from 1 upwards.
func (l *Leader) Epoch() uint64 { return l.epoch }

// Check returns ErrFenced once another has taken over. Any other error says that nobody knows.
func (l *Leader) Check(ctx context.Context) error {
	epochs, err := leaders(ctx, l.root)
	if err != nil {
		return err
	}
	if n := len(epochs); n > 0 && epochs[n-1] > l.epoch {
		return fmt.Errorf("%w: epoch %d, this is %d", ErrFenced, epochs[n-1], l.epoch)
	}
	return nil
}

// CurrentLeader says who took leadership last; a zero Epoch: nobody ever has. Holder is empty if the record is torn.
func CurrentLeader(ctx context.Context, root blob.Store) (LeaderInfo, error) {
	epochs, err := leaders(ctx, root)
	if err != nil || len(epochs) == 0 {
		return LeaderInfo{}, err
	}
	info := LeaderInfo{Epoch: epochs[len(epochs)-1]}
	b, err := blob.ReadAll(ctx, root, leaderName(info.Epoch), leaderBytesMax)
	if err != nil && !errors.Is(err, blob.ErrNotExist) {
		return info, fmt.Errorf("read leader: %w", err)
	}
	var full LeaderInfo
	if json.Unmarshal(b, &full) == nil && full.Epoch == info.Epoch {
		info = full
	}
	return info, nil
}
