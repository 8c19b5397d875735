package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// reader asks Redis for entries, on a goroutine of its own.
type reader struct {
	*source
	// pos[i] is the id after which split i is asked for; last[i] where a bounded one ends.
	pos, last []string
	done      []bool
	consumer  string
}

func (r *reader) run(ctx context.Context) error {
	if err := persist(ctx, r.ctx, r.server, r.prepare); err != nil {
		return err
	}
	for ctx.Err() == nil {
		var found []answer
		err := persist(ctx, r.ctx, r.server, func(ctx context.Context) (err error) {
			found, err = r.read(ctx)
			return err
		})
		if err != nil {
			return err
		}
		for _, a := range found {
			if !r.send(ctx, a) {
				return nil
			}
		}
		if r.bounded() && r.allDone() {
			return nil
		}
	}
	return nil
}

func (r *reader) bounded() bool { return r.table.Options["scan.bounded.mode"] == "latest-offset" }

func (r *reader) allDone() bool {
	for _, d := range r.done {
		if !d {
			return false
		}
	}
	return true
}

// prepare turns the startup mode into ids, so that no entry can slip between two requests.
func (r *reader) prepare(ctx context.Context) error {
	if r.table.Options["group"] != "" {
		r.consumer = fmt.Sprintf("bramble-%.8s-%d", r.ctx.Task.OperatorID, r.ctx.Task.Index)
		for _, name := range streams(r.table) {
			err := r.client.XGroupCreateMkStream(ctx, name, r.table.Options["group"], "0").Err()
			if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
				return err
			}
		}
		for i := range r.pos {
			r.pos[i] = "0" // first what this consumer had taken and not acknowledged
		}
		return nil
	}
	for i, sp := range r.splits {
		newest, err := r.newest(ctx, sp.ID)
		if err != nil {
			return err
		}
		r.last[i] = newest
		if r.pos[i] != "" {
			continue
		}
		switch startupMode(r.table) {
		case "latest-offset":
			r.pos[i] = newest
		case "specific-id":
			r.pos[i] = r.table.Options["scan.startup.specific-id"]
		default:
			r.pos[i] = "0-0"
		}
	}
	if r.bounded() {
		return r.endEmpty(ctx)
	}
	return nil
}

// endEmpty ends the bounded streams that hold nothing to read.
func (r *reader) endEmpty(ctx context.Context) error {
	for i, sp := range r.splits {
		if !r.done[i] && !less(r.pos[i], r.last[i]) {
			r.done[i] = true
			r.send(ctx, answer{split: i, stream: sp.ID, end: true})
		}
	}
	return nil
}

// newest is the id of the last entry of a stream, 0-0 when it has none.
func (r *reader) newest(ctx context.Context, name string) (string, error) {
	m, err := r.client.XRevRangeN(ctx, name, "+", "-", 1).Result()
	if err != nil {
		return "", err
	}
	if len(m) == 0 {
		return "0-0", nil
	}
	return m[0].ID, nil
}

// read makes one request over all splits that have not ended.
func (r *reader) read(ctx context.Context) ([]answer, error) {
	args := []any{"XREAD"}
	var names []string
	var ids []any
	group := r.table.Options["group"] != ""
	if group {
		args = []any{"XREADGROUP", "GROUP", r.table.Options["group"], r.consumer}
		for _, name := range streams(r.table) {
			names = append(names, name)
			ids = append(ids, r.pos[0])
		}
	}
	for i, sp := range r.splits {
		if !group && !r.done[i] {
			names = append(names, sp.ID)
			ids = append(ids, r.pos[i])
		}
	}
	args = append(args, "COUNT", readCount, "BLOCK", blockFor.Milliseconds(), "STREAMS")
	for _, n := range names {
		args = append(args, n)
	}
	reply, err := r.client.Do(ctx, append(args, ids...)...).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found, err := parseReply(reply)
	if err != nil {
		return nil, err
	}
	if group {
		return r.groupAnswers(found), nil
	}
	for i := range found {
		r.place(&found[i])
	}
	return found, nil
}

// groupAnswers moves on from a consumer's own pending entries to new ones.
func (r *reader) groupAnswers(found []answer) []answer {
	if r.pos[0] == ">" {
		return found
	}
	last, any := r.pos[0], false
	for _, a := range found {
		for _, e := range a.entries {
			any = true
			if less(last, e.id) {
				last = e.id
			}
		}
	}
	// With several streams the highest id would skip pending entries of the others: they are all in one answer, or stay
	// pending for the next start.
	r.pos[0] = last
	if !any {
		r.pos[0] = ">"
	}
	return found
}

// place finds an answer's split, moves on behind its entries, and cuts a bounded stream at its end.
func (r *reader) place(a *answer) {
	a.split = r.index[a.stream]
	if len(a.entries) == 0 {
		return
	}
	r.pos[a.split] = a.entries[len(a.entries)-1].id
	if !r.bounded() || less(r.pos[a.split], r.last[a.split]) {
		return
	}
	for len(a.entries) > 0 && less(r.last[a.split], a.entries[len(a.entries)-1].id) {
		a.entries = a.entries[:len(a.entries)-1]
	}
	a.end, r.done[a.split] = true, true
}

var errReply = errors.New("redis answered XREAD in a form that is not understood")

// parseReply reads the answer to XREAD: in RESP3 a map from stream to entries, in RESP2 pairs of them.
func parseReply(reply any) ([]answer, error) {
	var out []answer
	add := func(name, list any) error {
		s, ok1 := name.(string)
		l, ok2 := list.([]any)
		if !ok1 || !ok2 {
			return errReply
		}
		entries, err := parseEntries(l)
		out = append(out, answer{stream: s, entries: entries})
		return err
	}
	switch v := reply.(type) {
	case map[any]any:
		for name, list := range v {
			if err := add(name, list); err != nil {
				return nil, err
			}
		}
	case []any:
		for _, p := range v {
			pair, ok := p.([]any)
			if !ok || len(pair) != 2 {
				return nil, errReply
			}
			if err := add(pair[0], pair[1]); err != nil {
				return nil, err
			}
		}
	default:
		return nil, errReply
	}
	return out, nil
}

func parseEntries(list []any) ([]entry, error) {
	out := make([]entry, 0, len(list))
	for _, x := range list {
		pair, ok := x.([]any)
		if !ok || len(pair) < 2 {
			return nil, errReply
		}
		id, ok := pair[0].(string)
		if !ok {
			return nil, errReply
		}
		fields, _ := pair[1].([]any) // nil: a pending entry that has been deleted
		out = append(out, entry{id, fields})
	}
	return out, nil
}

// less orders entry ids.
func less(a, b string) bool {
	am, as := idParts(a)
	bm, bs := idParts(b)
	return am < bm || am == bm && as < bs
}

func idParts(id string) (ms, seq uint64) {
	m, s, _ := strings.Cut(id, "-")
	ms, _ = strconv.ParseUint(m, 10, 64) // ids come from Redis or have been checked
	seq, _ = strconv.ParseUint(s, 10, 64)
	return ms, seq
}
