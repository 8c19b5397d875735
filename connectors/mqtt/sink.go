package mqtt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

const (
	// pendingMax and pendingBytes bound what waits for the broker; then Write blocks.
	pendingMax   = 1000
	pendingBytes = 4 << 20
)

// sink publishes a message a row. With QoS 1 and 2 a message is kept until the broker has acknowledged it, over reconnections:
// at least once. With QoS 0 it is handed to a live connection, at most once.
type sink struct {
	table  *graph.TableSpec
	ctx    *op.Context
	enc    format.Encoder
	topic  topicTemplate
	retain bool
	set    *settings
	sess   *session
	refuse *format.Refuser

	pending []message
	bytes   int
	scratch []byte
}

type message struct {
	topic   string
	payload []byte
}

var _ op.Sink = (*sink)(nil)

func newSink(t *graph.TableSpec) (*sink, error) {
	enc, err := format.NewEncoder(t)
	if err != nil {
		return nil, err
	}
	topic, err := parseTopic(t)
	return &sink{table: t, enc: enc, topic: topic, retain: t.Options["retain"] == "true"}, err
}

func (s *sink) Open(ctx *op.Context) error {
	s.ctx = ctx
	s.refuse = format.NewRefuser(ctx, s.table)
	set, err := newSettings(ctx, s.table)
	if err != nil {
		return err
	}
	set.clientID += "-out"
	s.set = set
	s.sess = startSession(ctx, set, nil, nil, 0)
	// A wrong password fails the job at once, not at the first row.
	timer := time.NewTimer(firstAnswerMax)
	defer timer.Stop()
	select {
	case err := <-s.sess.fatal:
		return err
	case <-s.sess.tried:
	case <-timer.C:
	case <-ctx.Ctx.Done():
	}
	return nil
}

// firstAnswerMax is how long Open waits for the broker's first answer.
const firstAnswerMax = time.Second

func (s *sink) Write(ctx context.Context, b *vec.Batch) error {
	sel := b.Sel()
	for k := range b.Len() {
		i := k
		if sel != nil {
			i = sel[k]
		}
		topic, err := s.topic.row(b, i)
		if err != nil {
			if err := s.refuse.Refuse("a row for mqtt", format.RowText(b, i), err); err != nil {
				return err
			}
			continue
		}
		payload, err := s.enc.Encode(s.scratch[:0], b, i)
		if err != nil {
			return err
		}
		s.scratch = payload
		s.pending = append(s.pending, message{topic, append([]byte(nil), payload...)})
		s.bytes += len(payload)
		if len(s.pending) >= pendingMax || s.bytes >= pendingBytes {
			if err := s.Flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// Flush publishes what is pending and waits until the broker has it. While the broker is away it waits: the job's
// back-pressure holds the sources.
func (s *sink) Flush(ctx context.Context) error {
	for len(s.pending) > 0 {
		client, _, changed := s.sess.current()
		if client == nil {
			select {
			case <-changed:
			case err := <-s.sess.fatal:
				return err
			case <-ctx.Done():
				return op.ErrStopped
			}
			continue
		}
		if err := s.publish(ctx, client, changed); err != nil {
			return err
		}
	}
	s.bytes = 0
	return s.refuse.Flush()
}

// publish sends the pending messages and keeps those that were not acknowledged.
func (s *sink) publish(ctx context.Context, client paho.Client, changed <-chan struct{}) error {
	tokens := make([]paho.Token, len(s.pending))
	for i, m := range s.pending {
		tokens[i] = client.Publish(m.topic, s.set.qos, s.retain, m.payload)
	}
	var kept []message
	for i, t := range tokens {
		ok := false
		select {
		case <-t.Done():
			ok = t.Error() == nil
		case <-changed: // the connection is gone; what it did acknowledge counts
			select {
			case <-t.Done():
				ok = t.Error() == nil
			default:
			}
		case <-ctx.Done():
			return op.ErrStopped
		}
		if ok {
			s.ctx.Metrics.BytesOut.Add(int64(len(s.pending[i].payload)))
		} else {
			kept = append(kept, s.pending[i])
		}
	}
	s.pending = append(s.pending[:0], kept...)
	if len(kept) == 0 {
		return nil
	}
	select {
	case <-changed:
	case <-ctx.Done():
		return op.ErrStopped
	}
	return nil
}

// Prepare waits until the broker has everything: MQTT has no transactions, so a checkpoint stands for what has been delivered.
func (s *sink) Prepare(ctx context.Context, _ stream.Epoch) ([]byte, error) {
	return nil, s.Flush(ctx)
}

// Commit has nothing to commit.
func (s *sink) Commit(context.Context, stream.Epoch, []byte) error { return nil }

func (s *sink) Close() error {
	if s.sess != nil {
		s.sess.close()
	}
	return nil
}

// topicTemplate is a topic with {column} in it.
type topicTemplate struct {
	// literal[i] stands before column cols[i]; the last literal stands alone.
	literal []string
	cols    []int
	names   []string
}

func parseTopic(t *graph.TableSpec) (topicTemplate, error) {
	var out topicTemplate
	rest := t.Options["topic"]
	if strings.ContainsAny(rest, "+#") {
		return out, fmt.Errorf("'topic' = '%s': a sink publishes to one topic, without + and #", rest)
	}
	for {
		before, after, ok := strings.Cut(rest, "{")
		out.literal = append(out.literal, before)
		if !ok {
			break
		}
		name, tail, ok := strings.Cut(after, "}")
		if !ok {
			return out, fmt.Errorf("'topic' = '%s': missing }", t.Options["topic"])
		}
		i := t.Schema.Index(name)
		if i < 0 {
			return out, fmt.Errorf("'topic' = '%s': table %s has no column %q", t.Options["topic"], t.Name, name)
		}
		if t.Schema.Fields[i].Type.Kind.IsNested() {
			return out, fmt.Errorf("'topic' = '%s': column %q is %s", t.Options["topic"], name, t.Schema.Fields[i].Type)
		}
		out.cols, out.names = append(out.cols, i), append(out.names, name)
		rest = tail
	}
	if len(out.cols) == 0 && out.literal[0] == "" {
		return out, errors.New("'topic' is empty")
	}
	return out, nil
}

// row returns the topic of a row. What a value holds of /, + and # becomes _ so that it stays one level.
func (t *topicTemplate) row(b *vec.Batch, i int) (string, error) {
	if len(t.cols) == 0 {
		return t.literal[0], nil
	}
	var out []byte
	for k, c := range t.cols {
		out = append(out, t.literal[k]...)
		col := b.Col(c)
		if col.IsNull(i) {
			return "", fmt.Errorf("column %q of the topic is NULL", t.names[k])
		}
		at := len(out)
		out = format.AppendValueText(out, col, i, format.TextStyle{Sep: ' '})
		for j := at; j < len(out); j++ {
			switch out[j] {
			case '/', '+', '#', 0:
				out[j] = '_'
			}
		}
	}
	return string(append(out, t.literal[len(t.cols)]...)), nil
}
