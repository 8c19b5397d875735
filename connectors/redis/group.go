package redis

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/internal/sorting"
)

// ackCount entries are acknowledged at a time: about a millisecond of the server's.
const ackCount = 1000

// ackScript acknowledges a consumer's oldest entries up to an id and returns how many there were. The ids need not be remembered, so the time
// between checkpoints costs no memory.
var ackScript = redis.NewScript(`
local p = redis.call('XPENDING', KEYS[1], ARGV[1], '-', ARGV[2], ARGV[3], ARGV[4])
if #p == 0 then return 0 end
local ids = {}
for i = 1, #p do ids[i] = p[i][1] end
redis.call('XACK', KEYS[1], ARGV[1], unpack(ids))
return #p`)

// claimScript gives what consumer ARGV[2] has pending to consumer ARGV[3], the oldest first, and returns how much there was; when there is
// nothing more the consumer goes.
var claimScript = redis.NewScript(`
local p = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', ARGV[4], ARGV[2])
if #p == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
  return 0
end
local cmd = {'XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0}
for i = 1, #p do cmd[#cmd + 1] = p[i][1] end
cmd[#cmd + 1] = 'JUSTID'
redis.call(unpack(cmd))
return #p`)

// adoptEvery is how often a reader looks for entries that a former attempt, which did not know of its end, has taken since.
const adoptEvery = 2 * time.Second

// consumer is a split of a group with checkpoints. Each attempt at reading it has a name of its own in the group, so that two attempts that
// run at a time by mistake do not share what is pending. Entries of a stream are delivered to a name in the order of their ids, so those that
// are pending up to its position have been taken, and the others have not. Its fields are the task's, but for restored and settled.
type consumer struct {
	// taken is the last id that the task has taken, acked how far entries are acknowledged.
	taken, acked map[reading]string
	// restored is where a complete checkpoint stands: what is pending up to there is acknowledged before anything is read; then it is settled.
	restored map[reading]string
	settled  atomic.Bool
	// closed are the positions of the epochs that are not committed.
	closed []closedEpoch
}

// reading is a stream as a consumer reads it.
type reading struct {
	Consumer string `json:"consumer"`
	Stream   string `json:"stream"`
}

type closedEpoch struct {
	epoch stream.Epoch
	taken map[reading]string
}

// readingAt is an element of a split's position, which is a JSON array.
type readingAt struct {
	reading
	ID string `json:"id"`
}

func newConsumer(sp op.Split) (*consumer, error) {
	c := &consumer{taken: map[reading]string{}, acked: map[reading]string{}, restored: map[reading]string{}}
	if len(sp.Pos) == 0 {
		return c, nil
	}
	var at []readingAt
	if err := json.Unmarshal(sp.Pos, &at); err != nil {
		return nil, fmt.Errorf("redis-stream: split %s has no position but %.200q", sp.ID, sp.Pos)
	}
	for _, r := range at {
		if !validID(r.ID) {
			return nil, fmt.Errorf("redis-stream: split %s has position %.50q in stream %s", sp.ID, r.ID, r.Stream)
		}
		c.restored[r.reading] = r.ID
	}
	return c, nil
}

func (c *consumer) close(epoch stream.Epoch) ([]byte, error) {
	c.closed = append(c.closed, closedEpoch{epoch, maps.Clone(c.taken)})
	at := []readingAt{}
	for r, id := range c.taken {
		at = append(at, readingAt{r, id})
	}
	if !c.settled.Load() {
		for r, id := range c.restored {
			at = append(at, readingAt{r, id})
		}
	}
	sorting.By(at, func(a, b readingAt) int {
		return cmp.Or(strings.Compare(a.Consumer, b.Consumer), strings.Compare(a.Stream, b.Stream))
	})
	return json.Marshal(at)
}

// commit returns what is to be acknowledged now that the epoch is complete.
func (c *consumer) commit(epoch stream.Epoch) map[reading]string {
	var out map[reading]string
	for len(c.closed) > 0 && c.closed[0].epoch <= epoch {
		out = c.closed[0].taken
		c.closed = c.closed[1:]
	}
	for r, id := range out {
		if c.acked[r] == id {
			delete(out, r)
		}
	}
	return out
}

// consumerName is that of a split in a job without checkpoints, and what the names of all attempts begin with in one that has them.
func consumerName(o *op.Context, split string) string {
	return fmt.Sprintf("bramble-%.8s-%s", o.Task.OperatorID, strings.TrimPrefix(split, consumerPrefix))
}

// ackUpTo acknowledges what a consumer has pending of a stream up to an id.
func (s *source) ackUpTo(ctx context.Context, r reading, id string) error {
	for {
		n, err := s.script(ctx, ackScript, r.Stream, s.table.Options["group"], id, ackCount, r.Consumer)
		if err != nil || n < ackCount {
			return err
		}
	}
}

// script runs one on a stream until the server answers. A stream or group that is no more has nothing pending.
func (s *source) script(ctx context.Context, script *redis.Script, name string, args ...any) (n int, err error) {
	err = persist(ctx, s.ctx, s.server, func(ctx context.Context) error {
		var err error
		n, err = script.Run(ctx, s.client, []string{name}, args...).Int()
		if err != nil && strings.HasPrefix(err.Error(), "NOGROUP") {
			return nil
		}
		return err
	})
	return n, err
}

// settle gives the attempt its name, acknowledges what the checkpoint contains, and takes over what else former attempts have pending.
func (r *reader) settle(ctx context.Context) error {
	base := consumerName(r.ctx, r.splits[r.split].ID)
	key := "bramble:{" + hashTag(streams(r.table)[0]) + "}:attempt:" + r.table.Options["group"] + ":" + base
	err := persist(ctx, r.ctx, r.server, func(ctx context.Context) (err error) {
		r.attempt, err = r.client.Incr(ctx, key).Result()
		return err
	})
	if err != nil {
		return err
	}
	r.base = base + "-"
	r.consumer = r.base + strconv.FormatInt(r.attempt, 10)
	c := r.consumers[r.split]
	for at, id := range c.restored {
		if err := r.ackUpTo(ctx, at, id); err != nil {
			return err
		}
	}
	c.settled.Store(true)
	for i := range r.group {
		if _, err := r.claim(ctx, r.group[i].name, r.consumer); err != nil {
			return err
		}
	}
	r.adopted = r.ctx.Clock.Now()
	return nil
}

// claim gives to a consumer what former attempts have pending of a stream, and reports whether there was anything.
func (r *reader) claim(ctx context.Context, name, to string) (found bool, err error) {
	var list []redis.XInfoConsumer
	err = persist(ctx, r.ctx, r.server, func(ctx context.Context) (err error) {
		list, err = r.client.XInfoConsumers(ctx, name, r.table.Options["group"]).Result()
		return err
	})
	if err != nil {
		return false, err
	}
	for _, c := range list {
		if !r.former(c.Name) {
			continue
		}
		for n := 1; n > 0; found = found || n > 0 {
			if n, err = r.script(ctx, claimScript, name, r.table.Options["group"], c.Name, to, ackCount); err != nil {
				return found, err
			}
		}
	}
	return found, nil
}

// former reports whether a consumer is of a former attempt at the split; one without a number is of a time without checkpoints.
func (r *reader) former(name string) bool {
	if name+"-" == r.base {
		return true
	}
	rest, ok := strings.CutPrefix(name, r.base)
	rest, _, _ = strings.Cut(rest, ".")
	n, err := strconv.ParseInt(rest, 10, 64)
	return ok && err == nil && n < r.attempt
}

// adopt reads, now and then, what former attempts have taken since. Such entries may be older than those that were read: they get a
// consumer of their own, in which the order is right.
func (r *reader) adopt(ctx context.Context) error {
	if now := r.ctx.Clock.Now(); r.attempt == 0 || now.Sub(r.adopted) < adoptEvery {
		return nil
	} else {
		r.adopted = now
	}
	for i := range r.group {
		to := r.consumer + "." + strconv.Itoa(r.lanes+1)
		found, err := r.claim(ctx, r.group[i].name, to)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		r.lanes++
		if err := r.drain(ctx, r.group[i].name, to); err != nil {
			return err
		}
	}
	return nil
}

// drain hands on what a consumer has pending of a stream.
func (r *reader) drain(ctx context.Context, name, from string) error {
	for last := "0"; ; {
		into := r.unused()
		var found []answer
		err := persist(ctx, r.ctx, r.server, func(ctx context.Context) (err error) {
			found, err = into.do(ctx, r.link, []any{"XREADGROUP", "GROUP", r.table.Options["group"], from, "COUNT", readCount, "STREAMS", name, last})
			return err
		})
		if err != nil || len(found) == 0 || len(found[0].entries) == 0 {
			r.reuse(into)
			return err
		}
		a := found[0]
		last = string(a.entries[len(a.entries)-1].id)
		a.split, a.consumer, a.reply, a.continues = r.split, from, into, r.behind()
		if !r.send(ctx, a) {
			return nil
		}
	}
}
