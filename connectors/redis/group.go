package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
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

// consumer is a split of a group: an identity in the group, whichever task has it. Entries of a stream are delivered to it in the order of
// their ids, so those that are pending up to the position have been taken, and the others have not.
type consumer struct {
	// taken is the last id that the task has taken of each stream.
	taken map[string]string
	// restored is where a complete checkpoint stands: what is pending up to there is acknowledged before anything is read.
	restored map[string]string
	// closed are the positions of the epochs that are not committed.
	closed []closedEpoch
	// acked is how far entries are acknowledged.
	acked map[string]string
}

type closedEpoch struct {
	epoch stream.Epoch
	taken map[string]string
}

// newConsumer reads the position of a split: a JSON object of stream and id.
func newConsumer(sp op.Split) (*consumer, error) {
	c := &consumer{taken: map[string]string{}}
	if len(sp.Pos) > 0 {
		if err := json.Unmarshal(sp.Pos, &c.taken); err != nil {
			return nil, fmt.Errorf("redis-stream: split %s has no position but %.200q", sp.ID, sp.Pos)
		}
		for name, id := range c.taken {
			if !validID(id) {
				return nil, fmt.Errorf("redis-stream: split %s has position %.50q in stream %s", sp.ID, id, name)
			}
		}
	}
	c.restored, c.acked = maps.Clone(c.taken), maps.Clone(c.taken)
	return c, nil
}

func (c *consumer) close(epoch stream.Epoch) ([]byte, error) {
	c.closed = append(c.closed, closedEpoch{epoch, maps.Clone(c.taken)})
	return json.Marshal(c.taken)
}

// commit returns what is to be acknowledged now that the epoch is complete, by stream.
func (c *consumer) commit(epoch stream.Epoch) map[string]string {
	var out map[string]string
	for len(c.closed) > 0 && c.closed[0].epoch <= epoch {
		out = c.closed[0].taken
		c.closed = c.closed[1:]
	}
	for name, id := range out {
		if c.acked[name] == id {
			delete(out, name)
		}
	}
	return out
}

// consumerName is that of a split.
func consumerName(o *op.Context, split string) string {
	return fmt.Sprintf("bramble-%.8s-%s", o.Task.OperatorID, strings.TrimPrefix(split, consumerPrefix))
}

// ackUpTo acknowledges what a consumer has pending of a stream up to an id.
func (s *source) ackUpTo(ctx context.Context, split, name, id string) error {
	for {
		var n int
		err := persist(ctx, s.ctx, s.server, func(ctx context.Context) (err error) {
			n, err = ackScript.Run(ctx, s.client, []string{name}, s.table.Options["group"], id, ackCount, consumerName(s.ctx, split)).Int()
			return err
		})
		if err != nil || n < ackCount {
			return err
		}
	}
}
