package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/duration"
)

const (
	// pipelineMax commands, or pipelineBytes, go to Redis in one write.
	pipelineMax   = 500
	pipelineBytes = 1 << 20
)

// pipeline collects commands and sends them together; what fails because Redis is away is sent again as a whole: at least once.
type pipeline struct {
	ctx      *op.Context
	client   *redis.Client
	commands [][]any
	bytes    int
	// tx collects the commands instead, with 'sink.delivery-guarantee' = 'exactly-once'.
	tx *transaction

	// greeted gets what came of the first contact with the server, once; stop ends the attempts.
	greeted chan error
	stop    context.CancelFunc
}

// greetMax is how long Open waits for the server's first answer: a wrong password fails the job at once, not at the first row.
const greetMax = time.Second

// open connects; key is what is written, or the table's name.
func (p *pipeline) open(ctx *op.Context, t *graph.TableSpec, key string) (err error) {
	p.ctx = ctx
	if p.tx, err = newTransaction(ctx, t, key); err != nil {
		return err
	}
	if p.client, err = newClient(t, 2); err != nil {
		return err
	}
	run, cancel := context.WithCancel(ctx.Ctx)
	p.stop, p.greeted = cancel, make(chan error, 1)
	away := make(chan struct{})
	go func() {
		defer close(p.greeted)
		p.greeted <- p.greet(run, away)
	}()
	timer := time.NewTimer(greetMax)
	defer timer.Stop()
	select {
	case err := <-p.greeted:
		if err != nil {
			_ = p.client.Close() // what is wrong was said
			p.client = nil
		}
		return err
	case <-away:
	case <-timer.C:
	case <-ctx.Ctx.Done():
	}
	return nil
}

// greet tries until the server has let us in; away is closed when it did not at the first attempt.
func (p *pipeline) greet(ctx context.Context, away chan<- struct{}) error {
	attempts, server := 0, p.client.Options().Addr
	err := persist(ctx, p.ctx, server, func(ctx context.Context) error {
		if attempts++; attempts == 2 {
			close(away)
		}
		err := p.client.Ping(ctx).Err()
		if err != nil && strings.HasPrefix(err.Error(), "NOPERM") {
			return nil // it knows who we are, and only has no PING for us
		}
		return err
	})
	if err != nil && !errors.Is(err, op.ErrStopped) {
		p.ctx.Health("redis "+server, err)
	}
	return err
}

func (p *pipeline) add(ctx context.Context, size int, args ...any) error {
	if p.tx != nil {
		p.tx.add(args)
		return p.spill(ctx)
	}
	p.commands = append(p.commands, args)
	p.bytes += size
	if len(p.commands) >= pipelineMax || p.bytes >= pipelineBytes {
		return p.Flush(ctx)
	}
	return nil
}

// Flush sends what is pending and waits until Redis has it.
func (p *pipeline) Flush(ctx context.Context) error {
	select {
	case err := <-p.greeted: // nil also when it is closed
		if err != nil {
			return err
		}
	default:
	}
	if len(p.commands) == 0 {
		return nil
	}
	err := persist(ctx, p.ctx, p.client.Options().Addr, func(ctx context.Context) error {
		pipe := p.client.Pipeline()
		for _, c := range p.commands {
			pipe.Do(ctx, c...)
		}
		_, err := pipe.Exec(ctx)
		return err
	})
	if err != nil {
		return err
	}
	p.ctx.Metrics.BytesOut.Add(int64(p.bytes))
	p.commands, p.bytes = p.commands[:0], 0
	return nil
}

func (p *pipeline) Close() error {
	if p.client == nil {
		return nil
	}
	if p.stop != nil {
		p.stop()
		for range p.greeted { // until it is closed
		}
	}
	return p.client.Close()
}

// streamSink adds an entry a row.
type streamSink struct {
	pipeline
	table  *graph.TableSpec
	stream string
	maxlen int64
	enc    format.Encoder // nil: fields
	field  string
	cols   []int
}

var (
	_ op.Sink = (*streamSink)(nil)
	_ op.Sink = (*keySink)(nil)
)

func newStreamSink(t *graph.TableSpec) (*streamSink, error) {
	s := &streamSink{table: t, stream: strings.TrimSpace(t.Options["stream"]), cols: format.Columns(t), field: "data"}
	if f := t.Options["json.field"]; f != "" {
		s.field = f
	}
	if m := t.Options["maxlen"]; m != "" {
		n, err := strconv.ParseInt(m, 10, 64)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("'maxlen' = '%s' is no number of entries", m)
		}
		s.maxlen = n
	}
	if t.Options["format"] != "json" {
		return s, nil
	}
	enc, err := format.NewEncoder(t)
	s.enc = enc
	return s, err
}

func (s *streamSink) Open(ctx *op.Context) error { return s.open(ctx, s.table, s.stream) }

func (s *streamSink) Write(ctx context.Context, b *vec.Batch) error {
	sel := b.Sel()
	for k := range b.Len() {
		i := k
		if sel != nil {
			i = sel[k]
		}
		args := []any{"XADD", s.stream}
		if s.maxlen > 0 {
			args = append(args, "MAXLEN", "~", s.maxlen)
		}
		fields, size, err := s.fields(b, i)
		if err != nil {
			return err
		}
		if err := s.add(ctx, size, append(append(args, "*"), fields...)...); err != nil {
			return err
		}
	}
	return nil
}

func (s *streamSink) fields(b *vec.Batch, i int) (fields []any, size int, err error) {
	if s.enc != nil {
		msg, err := s.enc.Encode(nil, b, i)
		return []any{s.field, msg}, len(msg), err
	}
	for _, c := range s.cols {
		if col := b.Col(c); !col.IsNull(i) {
			text := format.AppendValueText(nil, col, i, format.TextStyle{Sep: ' '})
			fields = append(fields, s.table.Schema.Fields[c].Name, text)
			size += len(text)
		}
	}
	if len(fields) == 0 { // an entry must have a field
		fields = []any{s.table.Schema.Fields[s.cols[0]].Name, ""}
	}
	return fields, size, nil
}

// keySink keeps the latest row of each primary key under a key.
type keySink struct {
	pipeline
	table  *graph.TableSpec
	key    keyPattern
	ttl    time.Duration
	enc    format.Encoder // nil: hash
	cols   []int
	refuse *format.Refuser
}

// keyPattern is text with columns in it: literal[0], column, literal[1], …
type keyPattern struct {
	literal []string
	cols    []int
}

func newKeySink(t *graph.TableSpec) (*keySink, error) {
	s := &keySink{table: t, cols: format.Columns(t)}
	if len(t.PrimaryKey) == 0 {
		return nil, fmt.Errorf("table %s needs a PRIMARY KEY: rows replace each other by it", t.Name)
	}
	var err error
	if s.key, err = parseKey(t); err != nil {
		return nil, err
	}
	if v := t.Options["ttl"]; v != "" {
		if s.ttl, err = duration.Parse(v); err != nil {
			return nil, fmt.Errorf("option 'ttl': %w", err)
		}
	}
	if t.Options["format"] == "json" {
		s.enc, err = format.NewEncoder(t)
		return s, err
	}
	for _, c := range s.cols {
		if t.Schema.Fields[c].Type.Kind.IsNested() {
			return nil, fmt.Errorf("column %s of type %s does not fit a field of a hash; use 'format' = 'json'", t.Schema.Fields[c].Name, t.Schema.Fields[c].Type)
		}
	}
	return s, nil
}

// parseKey reads the pattern; it must hold every column of the primary key, or rows of different keys would replace each other.
func parseKey(t *graph.TableSpec) (keyPattern, error) {
	pattern := t.Options["key"]
	if pattern == "" {
		pattern = t.Name
		for _, c := range t.PrimaryKey {
			pattern += ":{" + t.Schema.Fields[c].Name + "}"
		}
	}
	var k keyPattern
	used := map[int]bool{}
	for rest := pattern; ; {
		before, after, ok := strings.Cut(rest, "{")
		k.literal = append(k.literal, before)
		if !ok {
			break
		}
		name, tail, ok := strings.Cut(after, "}")
		c := t.Schema.Index(name)
		if !ok || c < 0 {
			return k, fmt.Errorf("'key' = '%s': table %s has no column %q", pattern, t.Name, name)
		}
		k.cols = append(k.cols, c)
		used[c] = true
		rest = tail
	}
	for _, c := range t.PrimaryKey {
		if !used[c] {
			return k, fmt.Errorf("'key' = '%s' lacks {%s}, which is in the PRIMARY KEY", pattern, t.Schema.Fields[c].Name)
		}
	}
	return k, nil
}

func (s *keySink) Open(ctx *op.Context) error {
	s.refuse = format.NewRefuser(ctx, s.table)
	return s.open(ctx, s.table, s.table.Name)
}

var errNullKey = errors.New("a column of the key is NULL")

func (s *keySink) Write(ctx context.Context, b *vec.Batch) error {
	sel := b.Sel()
	for k := range b.Len() {
		i := k
		if sel != nil {
			i = sel[k]
		}
		kind := b.Kind(i)
		if kind == vec.UpdateBefore {
			continue
		}
		key, err := s.keyOf(b, i)
		if err != nil {
			if err := s.refuse.Refuse("a row for redis", format.RowText(b, i), err); err != nil {
				return err
			}
			continue
		}
		if kind == vec.Delete {
			err = s.add(ctx, len(key), "DEL", key)
		} else {
			err = s.put(ctx, key, b, i)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *keySink) keyOf(b *vec.Batch, i int) (string, error) {
	var out []byte
	for k, c := range s.key.cols {
		out = append(out, s.key.literal[k]...)
		if b.Col(c).IsNull(i) {
			return "", fmt.Errorf("%w: %s", errNullKey, s.table.Schema.Fields[c].Name)
		}
		out = format.AppendValueText(out, b.Col(c), i, format.TextStyle{Sep: ' '})
	}
	return string(append(out, s.key.literal[len(s.key.cols)]...)), nil
}

// Flush also hands on the rows that were refused.
func (s *keySink) Flush(ctx context.Context) error {
	return errors.Join(s.pipeline.Flush(ctx), s.refuse.Flush())
}

func (s *keySink) put(ctx context.Context, key string, b *vec.Batch, i int) error {
	if s.enc != nil {
		msg, err := s.enc.Encode(nil, b, i)
		if err != nil {
			return err
		}
		args := []any{"SET", key, msg}
		if s.ttl > 0 {
			args = append(args, "PX", s.ttl.Milliseconds())
		}
		return s.add(ctx, len(key)+len(msg), args...)
	}
	set, unset, size := []any{"HSET", key}, []any{"HDEL", key}, len(key)
	for _, c := range s.cols {
		name, col := s.table.Schema.Fields[c].Name, b.Col(c)
		if col.IsNull(i) {
			unset = append(unset, name)
			continue
		}
		text := format.AppendValueText(nil, col, i, format.TextStyle{Sep: ' '})
		set = append(set, name, text)
		size += len(text)
	}
	if err := s.add(ctx, size, set...); err != nil {
		return err
	}
	if len(unset) > 2 {
		if err := s.add(ctx, 0, unset...); err != nil {
			return err
		}
	}
	if s.ttl > 0 {
		return s.add(ctx, 0, "PEXPIRE", key, s.ttl.Milliseconds())
	}
	return nil
}
