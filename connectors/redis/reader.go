package redis

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// reader asks Redis for entries, on a goroutine of its own: for all streams, or for one consumer of a group.
type reader struct {
	*source
	link *link
	// heard is when the last answer came; see source.
	heard *atomic.Int64
	// split is the index of the consumer's split.
	split int
	// pos[i] is the id after which split i is asked for; last[i] where a bounded one ends.
	pos, last []string
	done      []bool
	consumer  string
	group     []groupStream
	// With checkpoints base begins the names of the split's consumers, attempt numbers this reader's; lanes are how many more it has, adopted is
	// when it last looked for something to adopt.
	base    string
	attempt int64
	lanes   int
	adopted time.Time
}

func (r *reader) run(ctx context.Context) error {
	defer r.link.close()
	if err := persist(ctx, r.ctx, r.server, r.prepare); err != nil {
		return err
	}
	if len(r.consumers) > 0 {
		if err := r.settle(ctx); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		if err := r.adopt(ctx); err != nil {
			return err
		}
		var found []answer
		into := r.unused()
		err := persist(ctx, r.ctx, r.server, func(ctx context.Context) (err error) {
			found, err = r.read(ctx, into)
			return err
		})
		if err != nil {
			return err
		}
		if len(found) == 0 {
			r.reuse(into)
		} else {
			found[len(found)-1].reply = into
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
		r.consumer = consumerName(r.ctx, r.splits[r.split].ID)
		r.group = r.group[:0]
		for _, name := range streams(r.table) {
			err := r.client.XGroupCreateMkStream(ctx, name, r.table.Options["group"], "0").Err()
			if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
				return err
			}
			r.group = append(r.group, groupStream{name: name, last: "0", behind: true})
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
func (r *reader) read(ctx context.Context, into *reply) ([]answer, error) {
	args := []any{"XREAD"}
	var names []string
	var ids []any
	group := r.table.Options["group"] != ""
	if group {
		args = []any{"XREADGROUP", "GROUP", r.table.Options["group"], r.consumer}
		for i := range r.group {
			names = append(names, r.group[i].name)
			ids = append(ids, r.group[i].id())
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
	found, err := into.do(ctx, r.link, append(args, ids...))
	if err != nil {
		r.heard.Store(0)
		for i := range r.group { // an answer may have been lost
			r.group[i].behind = true
		}
		return nil, err
	}
	r.heard.Store(max(int64(r.ctx.Clock.Now().Sub(r.opened)), 1))
	if group {
		return r.groupAnswers(found), nil
	}
	for i := range found {
		r.place(&found[i])
	}
	return found, nil
}

// groupStream is where a consumer is in one stream of its group.
type groupStream struct {
	name string
	// last is the highest id that has been delivered, at first 0.
	last string
	// behind: entries above last may be pending that were delivered to this consumer and got lost on the way, or in a
	// former life. They are read before new ones.
	behind bool
}

// id is what the stream is asked for.
func (g *groupStream) id() string {
	if g.behind {
		return g.last
	}
	return ">"
}

// groupAnswers moves on behind what was delivered. A stream without more pending entries goes on to new ones.
func (r *reader) groupAnswers(found []answer) []answer {
	for i := range r.group {
		g := &r.group[i]
		more := false
		for _, a := range found {
			if a.stream == g.name && len(a.entries) > 0 {
				more = true
				g.last = string(a.entries[len(a.entries)-1].id)
			}
		}
		g.behind = g.behind && more
	}
	for i := range found {
		found[i].split, found[i].consumer, found[i].continues = r.split, r.consumer, i < len(found)-1 || r.behind()
	}
	return found
}

// behind reports whether a stream may have pending entries that the next request brings, which are older than those that have come.
func (r *reader) behind() bool {
	return slices.ContainsFunc(r.group, func(g groupStream) bool { return g.behind })
}

// place finds an answer's split, moves on behind its entries, and cuts a bounded stream at its end.
func (r *reader) place(a *answer) {
	a.split = r.index[a.stream]
	if len(a.entries) == 0 {
		return
	}
	r.pos[a.split] = string(a.entries[len(a.entries)-1].id)
	if !r.bounded() || less(r.pos[a.split], r.last[a.split]) {
		return
	}
	for len(a.entries) > 0 && less(r.last[a.split], string(a.entries[len(a.entries)-1].id)) {
		a.entries = a.entries[:len(a.entries)-1]
	}
	a.end, r.done[a.split] = true, true
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
