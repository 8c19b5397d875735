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

// Lead takes the next leader epoch; from then on nobody who led before can complete a checkpoint. nonce must be unique (a UUID).
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
		b, err := json.Marshal(LeaderInfo{next, holder, nonce})
		if err != nil {
			return nil, fmt.Errorf("take leadership: %w", err)
		}
		err = root.CreateExclusive(ctx, leaderName(next), b)
		if errors.Is(err, blob.ErrExists) {
			next++ // it may be a name that somebody used up and died
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("take leadership: %w", err)
		}
		l := &Leader{root, next}
		// One who was slow may have taken a number that was taken, and cleared away, before.
		if err := l.Check(ctx); errors.Is(err, ErrFenced) {
			next++
			continue
		} else if err != nil {
			return nil, fmt.Errorf("take leadership: %w", err)
		}
		for i := 0; i+leadersKept < len(epochs); i++ {
			// That it stays is no harm.
			_ = root.Delete(ctx, leaderName(epochs[i]))
		}
		return l, nil
	}
	return nil, fmt.Errorf("take leadership: overtaken %d times", takeAttemptsMax)
}

func leaderName(epoch uint64) string { return fmt.Sprintf("%s%020d", leaderDir, epoch) }

// leaders lists all epochs, ascending.
func leaders(ctx context.Context, root blob.Store) ([]uint64, error) {
	infos, err := root.List(ctx, leaderDir)
	if err != nil {
		return nil, fmt.Errorf("list leaders: %w", err)
	}
	var out []uint64
	for _, i := range infos {
		if e, err := strconv.ParseUint(strings.TrimPrefix(i.Name, leaderDir), 10, 64); err == nil {
			out = append(out, e)
		}
	}
	return out, nil
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
