package redis

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
)

const (
	// guaranteeOption chooses between writing at once and writing with the checkpoint.
	guaranteeOption = "sink.delivery-guarantee"
	exactlyOnce     = "exactly-once"

	// A chunk is applied by one script, during which the server does nothing else: some milliseconds.
	chunkCommands = 1000
	chunkBytes    = 256 << 10
	// inlineBytes is how much of a transaction is kept in the committable; more waits in Redis.
	inlineBytes = 64 << 10
	// transactionTTL is how long Redis keeps what a job has prepared, and the marker of what it has committed, when nobody comes for it.
	transactionTTL = 30 * 24 * time.Hour
)

// transaction collects the commands of an epoch in chunks. Chunks beyond the first little wait in Redis, in a hash by their number, so that
// writing one again changes nothing.
type transaction struct {
	// prefix begins the keys of this attempt; nonce makes it this attempt's own.
	tag, owner, nonce string
	// chunk is the one being filled, of commands as arrays of strings.
	chunk    []byte
	commands int
	// full are chunks that wait in memory, up to inlineBytes together; stored were spilled before them.
	full      [][]byte
	fullBytes int
	stored    int
	// number names the transaction among this attempt's.
	number int64
	// stale are keys of former attempts' transactions. Those that the last checkpoint holds are committed before this attempt's first.
	stale map[string]struct{}
	first stream.Epoch
}

// committable names what a sink has prepared.
type committable struct {
	// Marker is the key of a hash that says how far transactions have been applied, Number the transaction, ascending for a marker.
	Marker string `json:"marker"`
	Number int64  `json:"number"`
	// Key is a hash with the first Stored chunks, if any; Inline are those after them.
	Key    string   `json:"key,omitempty"`
	Index  string   `json:"index,omitempty"`
	Stored int      `json:"stored,omitempty"`
	Inline [][]byte `json:"inline,omitempty"`
}

// applyScript applies chunk ARGV[2] of transaction ARGV[1] unless the marker KEYS[1] says that it was. The chunk is ARGV[3], or in the hash
// KEYS[2]. With the last chunk (ARGV[4] is 1) the hash goes, and its name in the index KEYS[3]. The marker is written first: a server
// that is out of memory then refuses the whole script, and not its second half.
var applyScript = redis.NewScript(`
local tx, at = tonumber(ARGV[1]), tonumber(ARGV[2])
local old = redis.call('HMGET', KEYS[1], 'tx', 'chunks')
local t, n = tonumber(old[1] or '0') or 0, tonumber(old[2] or '0') or 0
if t > tx or (t == tx and n > at) then return 'done' end
local data = ARGV[3]
if data == '' then data = redis.call('HGET', KEYS[2], ARGV[2]) end
if not data then return 'lost' end
redis.call('HSET', KEYS[1], 'tx', ARGV[1], 'chunks', at + 1)
redis.call('PEXPIRE', KEYS[1], ARGV[5])
local pos, len = 1, #data
while pos <= len do
  local count
  count, pos = struct.unpack('>I4', data, pos)
  local cmd = {}
  for i = 1, count do cmd[i], pos = struct.unpack('>I4c0', data, pos) end
  local r = redis.pcall(unpack(cmd))
  if type(r) == 'table' and r.err then
    redis.call('HSET', KEYS[1], 'tx', t, 'chunks', n)
    return r
  end
end
if ARGV[4] == '1' and KEYS[2] ~= KEYS[1] then
  redis.call('UNLINK', KEYS[2])
  redis.call('SREM', KEYS[3], KEYS[2])
end
return 'applied'`)

var errLost = errors.New("redis has lost what was prepared for a checkpoint: it must keep its data over restarts (appendonly yes). To go on without these rows, set '" +
	guaranteeOption + "' = 'at-least-once'")

var errNoCheckpoints = errors.New("'" + guaranteeOption + "' = 'exactly-once' needs checkpoints: SET 'execution.checkpointing.interval' = '10 s'")

// hashTag is what a Redis Cluster places a key by.
func hashTag(key string) string {
	if _, rest, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
			return tag
		}
	}
	return key
}

// newTransaction begins collecting, nil unless the table asks for it.
func newTransaction(ctx *op.Context, t *graph.TableSpec, key string) (*transaction, error) {
	if t.Options[guaranteeOption] != exactlyOnce {
		return nil, nil //nolint:nilnil // no transactions
	}
	if !ctx.Checkpointing {
		return nil, errNoCheckpoints
	}
	var nonce [8]byte
	if _, err := io.ReadFull(ctx.Rand, nonce[:]); err != nil {
		return nil, err
	}
	return &transaction{
		tag: "bramble:{" + hashTag(key) + "}:", owner: ctx.Task.JobID + ":" + ctx.Task.OperatorID, nonce: strconv.Itoa(ctx.Task.Index) + ":" + hex.EncodeToString(nonce[:]),
		number: 1,
	}, nil
}

// index is the key of a set with the keys of the operator's transactions that wait in Redis.
func (x *transaction) index() string { return x.tag + "open:" + x.owner }

func (x *transaction) marker() string { return x.tag + "done:" + x.owner + ":" + x.nonce }

func (x *transaction) key() string {
	return x.tag + "tx:" + x.owner + ":" + x.nonce + ":" + strconv.FormatInt(x.number, 10)
}

// add appends a command.
func (x *transaction) add(args []any) {
	x.chunk = binary.BigEndian.AppendUint32(x.chunk, uint32(len(args)))
	for _, a := range args {
		at := len(x.chunk)
		x.chunk = append(x.chunk, 0, 0, 0, 0)
		switch v := a.(type) {
		case string:
			x.chunk = append(x.chunk, v...)
		case []byte:
			x.chunk = append(x.chunk, v...)
		case int64:
			x.chunk = strconv.AppendInt(x.chunk, v, 10)
		default:
			x.chunk = fmt.Append(x.chunk, v)
		}
		binary.BigEndian.PutUint32(x.chunk[at:], uint32(len(x.chunk)-at-4))
	}
	if x.commands++; x.commands >= chunkCommands || len(x.chunk) >= chunkBytes {
		x.cut()
	}
}

// cut ends a chunk.
func (x *transaction) cut() {
	if x.commands == 0 {
		return
	}
	x.full = append(x.full, x.chunk)
	x.fullBytes += len(x.chunk)
	x.chunk, x.commands = nil, 0
}

// spill moves full chunks to Redis when they are too many to keep.
func (p *pipeline) spill(ctx context.Context) error {
	x := p.tx
	if x.fullBytes <= inlineBytes {
		return nil
	}
	err := persist(ctx, p.ctx, p.client.Options().Addr, func(ctx context.Context) error {
		_, err := p.client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.SAdd(ctx, x.index(), x.key())
			pipe.PExpire(ctx, x.index(), transactionTTL)
			for i, c := range x.full {
				pipe.HSet(ctx, x.key(), strconv.Itoa(x.stored+i), c)
			}
			pipe.PExpire(ctx, x.key(), transactionTTL)
			return nil
		})
		return err
	})
	if err != nil {
		return err
	}
	x.stored += len(x.full)
	x.full, x.fullBytes = nil, 0
	return nil
}

// Prepare makes what was written since the last one ready to commit; without transactions it has been written.
func (p *pipeline) Prepare(ctx context.Context, epoch stream.Epoch) ([]byte, error) {
	if p.tx == nil {
		return nil, p.Flush(ctx)
	}
	x := p.tx
	x.cut()
	if err := p.spill(ctx); err != nil {
		return nil, err
	}
	if x.first == 0 {
		x.first = epoch
		if err := p.findStale(ctx); err != nil {
			return nil, err
		}
	}
	if x.stored == 0 && len(x.full) == 0 && len(x.stale) == 0 {
		return nil, nil
	}
	c := committable{Marker: x.marker(), Number: x.number, Stored: x.stored, Inline: x.full}
	if x.stored > 0 {
		c.Key, c.Index = x.key(), x.index()
	}
	x.full, x.fullBytes, x.stored = nil, 0, 0
	x.number++
	return json.Marshal(c)
}

// findStale lists what former attempts have left in Redis, of the tasks whose committables this one was given: what the checkpoint
// holds has been committed by now, so when a checkpoint of this attempt is complete the rest belongs to none.
func (p *pipeline) findStale(ctx context.Context) error {
	x, task := p.tx, p.ctx.Task
	var keys []string
	err := persist(ctx, p.ctx, p.client.Options().Addr, func(ctx context.Context) (err error) {
		keys, err = p.client.SMembers(ctx, x.index()).Result()
		return err
	})
	x.stale = map[string]struct{}{}
	own := x.tag + "tx:" + x.owner + ":"
	for _, key := range keys {
		rest, ok := strings.CutPrefix(key, own)
		index, _, _ := strings.Cut(rest, ":")
		n, bad := strconv.Atoi(index)
		if ok && bad == nil && n%max(task.Parallelism, 1) == task.Index && !strings.HasPrefix(rest, x.nonce+":") {
			x.stale[key] = struct{}{}
		}
	}
	return err
}

// Commit applies a transaction, chunk by chunk; what has been applied already is left.
func (p *pipeline) Commit(ctx context.Context, epoch stream.Epoch, prepared []byte) error {
	if len(prepared) == 0 {
		return nil
	}
	var c committable
	if err := json.Unmarshal(prepared, &c); err != nil {
		return fmt.Errorf("redis: commit %.200q: %w", prepared, err)
	}
	total := c.Stored + len(c.Inline)
	for i := range total {
		var chunk []byte
		if i >= c.Stored {
			chunk = c.Inline[i-c.Stored]
		}
		if err := p.apply(ctx, &c, i, chunk, i == total-1); err != nil {
			return err
		}
	}
	if p.tx == nil || p.tx.first == 0 || epoch < p.tx.first {
		return nil
	}
	return p.removeStale(ctx)
}

func (p *pipeline) apply(ctx context.Context, c *committable, at int, chunk []byte, last bool) error {
	keys := []string{c.Marker, c.Marker, c.Marker}
	if c.Key != "" {
		keys = []string{c.Marker, c.Key, c.Index}
	}
	end := "0"
	if last {
		end = "1"
	}
	var came string
	err := persist(ctx, p.ctx, p.client.Options().Addr, func(ctx context.Context) (err error) {
		came, err = applyScript.Run(ctx, p.client, keys, c.Number, at, chunk, end, transactionTTL.Milliseconds()).Text()
		return err
	})
	switch {
	case err != nil:
		return err
	case came == "applied":
		p.ctx.Metrics.BytesOut.Add(int64(len(chunk)))
	case came == "lost" && p.tx != nil:
		return errLost
	case came == "lost":
		p.ctx.Log.Error("rows are lost: redis no longer has what was prepared for a checkpoint", "key", c.Key, "chunk", at)
	}
	return nil
}

func (p *pipeline) removeStale(ctx context.Context) error {
	for key := range p.tx.stale {
		err := persist(ctx, p.ctx, p.client.Options().Addr, func(ctx context.Context) error {
			_, err := p.client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
				pipe.Unlink(ctx, key)
				pipe.SRem(ctx, p.tx.index(), key)
				return nil
			})
			return err
		})
		if err != nil {
			return err
		}
		delete(p.tx.stale, key)
	}
	return nil
}
