package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bramble-stream/bramble/engine/exchange"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
	bramblev1 "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// Client is the connection to another taskmanager. It is safe for concurrent use; its channels are not.
type Client struct {
	self, peer string
	conn       *grpc.ClientConn
	options    Options
}

// Dial returns a client of the taskmanager peer at address HOST:PORT; self is this one's name. It connects when the first channel is
// opened, and again after a loss when the next one is.
func Dial(address, self, peer string, o Options) (*Client, error) {
	return dial(address, self, peer, o)
}

func dial(address, self, peer string, o Options, more ...grpc.DialOption) (*Client, error) {
	conn, err := grpc.NewClient(address, append(dialOptions(o), more...)...)
	if err != nil {
		return nil, fmt.Errorf("dial taskmanager %s at %s: %w", peer, address, err)
	}
	return &Client{self: self, peer: peer, conn: conn, options: o}, nil
}

// Close cuts all channels.
func (c *Client) Close() error { return c.conn.Close() }

// Open opens a channel and waits until the receiving task is there. It tries again for Options.ConnectTimeout while the peer cannot
// be reached. Send ends with ctx, and adds the time that it waits to blocked.
func (c *Client) Open(ctx context.Context, key Key, schema *vec.Schema, blocked *exchange.Stopwatch, now func() time.Time) (*Channel, error) {
	ch := &Channel{
		parent: ctx, client: c, key: key, blocked: blocked, now: now, schema: schema,
		enc: exchange.NewEncoder(schema), batch: vec.NewBatch(schema),
	}
	deadline, cancelDeadline := context.WithTimeout(ctx, c.options.connectTimeout()+c.options.registrationTimeout())
	defer cancelDeadline()
	until := now().Add(c.options.connectTimeout())
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := ch.open(deadline)
		if err == nil {
			return ch, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if status.Code(err) != codes.Unavailable || now().Add(wait).After(until) {
			return nil, ch.problem(err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, context.Cause(ctx)
		}
	}
}

// Channel is a channel to a task of another taskmanager.
type Channel struct {
	parent  context.Context
	client  *Client
	key     Key
	blocked *exchange.Stopwatch
	now     func() time.Time
	schema  *vec.Schema
	enc     *exchange.Encoder
	// batch is what the sender fills: encoding copies it, so that there is one.
	batch  *vec.Batch
	stream grpc.BidiStreamingClient[bramblev1.OpenChannelRequest, bramblev1.OpenChannelResponse]
	cancel context.CancelFunc
	// frame is being filled: framePrefixBytes, then a frame; nil when there is nothing.
	frame *[]byte
	out   outFrame
	ended bool
}

var _ exchange.Channel = (*Channel)(nil)

// open tries once.
func (ch *Channel) open(deadline context.Context) error {
	ctx, cancel := context.WithCancel(ch.parent)
	// The stream outlives the deadline of its opening.
	stop := context.AfterFunc(deadline, cancel)
	err := ch.handshake(ctx)
	if !stop() && err == nil {
		err = status.FromContextError(context.DeadlineExceeded).Err()
	}
	if err != nil {
		cancel()
		return err
	}
	ch.cancel = cancel
	return nil
}

func (ch *Channel) handshake(ctx context.Context) error {
	s, err := bramblev1.NewExchangeServiceClient(ch.client.conn).OpenChannel(ctx)
	if err != nil {
		return err
	}
	hello := &bramblev1.ChannelHello{
		JobId: ch.key.JobID, Attempt: int32(ch.key.Attempt), Edge: int32(ch.key.Edge), FromTask: int32(ch.key.From),
		ToTask: int32(ch.key.To), FromTaskmanager: ch.client.self, CodecVersion: exchange.CodecVersion,
		SchemaDigest: exchange.SchemaDigest(ch.schema),
	}
	err = s.Send(&bramblev1.OpenChannelRequest{Message: &bramblev1.OpenChannelRequest_Hello{Hello: hello}})
	if err != nil && !errors.Is(err, io.EOF) { // io.EOF: Recv says why
		return err
	}
	if _, err = s.Recv(); err != nil {
		if errors.Is(err, io.EOF) {
			return status.Error(codes.Internal, "the channel was closed without an answer")
		}
		return err
	}
	ch.stream = s
	return nil
}

// NewBatch implements exchange.Channel.
func (ch *Channel) NewBatch() *vec.Batch { return ch.batch }

// Send implements exchange.Channel.
func (ch *Channel) Send(e stream.Element) error {
	err := ch.put(e)
	if e.Kind == stream.KindBatch {
		e.Batch.Reset()
	}
	return err
}

func (ch *Channel) put(e stream.Element) error {
	if e.Kind == stream.KindBatch {
		// Looked at before SizeMax, which is an int: several wide columns pass 2^31 together.
		if size := exchange.DataBytes(e.Batch); size > frameBytesMax {
			return ch.cut(e.Batch, size)
		}
	}
	size := ch.enc.SizeMax(e)
	if size > frameBytesMax && e.Kind == stream.KindBatch {
		return ch.cut(e.Batch, int64(size))
	}
	if ch.frame != nil && len(*ch.frame)+size > cap(*ch.frame) {
		if err := ch.Flush(); err != nil {
			return err
		}
	}
	if ch.frame == nil {
		ch.frame = frames.Get(max(2*frameBytes, size+framePrefixBytes+exchange.FrameHeaderBytes))
		*ch.frame = append((*ch.frame)[:framePrefixBytes], exchange.BeginFrame(nil)...)
	}
	frame, err := ch.enc.Append(*ch.frame, e)
	if err != nil {
		return err
	}
	*ch.frame = frame
	if e.Kind == stream.KindEnd {
		ch.ended = true
	}
	if len(frame) >= frameBytes {
		return ch.Flush()
	}
	return nil
}

// cut sends a batch that does not fit a frame in two halves.
func (ch *Channel) cut(b *vec.Batch, size int64) error {
	n := b.Len()
	if n <= 1 {
		return fmt.Errorf("a row of %d MiB, of at most %d MiB between taskmanagers", size>>20, frameBytesMax>>20)
	}
	sel := b.Sel()
	if sel == nil {
		sel = make([]int, n)
		for i := range sel {
			sel[i] = i
		}
	}
	for _, half := range [][]int{sel[:n/2], sel[n/2:]} {
		part := vec.NewBatch(ch.schema)
		part.AppendRows(b, half)
		if err := ch.put(stream.Element{Kind: stream.KindBatch, Batch: part}); err != nil {
			return err
		}
	}
	return nil
}

// countAsBlocked is the time from which on sending a frame counts as back-pressure: below it is work.
const countAsBlocked = 200 * time.Microsecond

// Flush implements exchange.Channel.
func (ch *Channel) Flush() error {
	if ch.frame == nil {
		return nil
	}
	frame := ch.frame
	ch.frame = nil
	exchange.EndFrame((*frame)[framePrefixBytes:])
	putPrefix(*frame)
	ch.out.buf = frame
	begin := ch.now()
	err := ch.stream.SendMsg(&ch.out)
	if took := ch.now().Sub(begin); took > countAsBlocked {
		ch.blocked.Add(took)
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) {
		_, err = ch.stream.Recv() // why the stream ended
	}
	return ch.problem(err)
}

// Close implements exchange.Channel.
func (ch *Channel) Close() error {
	defer ch.cancel()
	if !ch.ended {
		return nil
	}
	if err := ch.Flush(); err != nil {
		return err
	}
	if err := ch.stream.CloseSend(); err != nil {
		return ch.problem(err)
	}
	if _, err := ch.stream.Recv(); !errors.Is(err, io.EOF) {
		return ch.problem(err)
	}
	return nil
}

// problem says what a stream's error means to the sending task.
func (ch *Channel) problem(err error) error {
	if ch.parent.Err() != nil {
		return context.Cause(ch.parent)
	}
	switch status.Code(err) { //nolint:exhaustive // all others mean the connection
	case codes.Aborted:
		return exchange.ErrClosed
	case codes.NotFound, codes.FailedPrecondition, codes.AlreadyExists, codes.InvalidArgument:
		return fmt.Errorf("taskmanager %s refuses the channel %s of job %s: %s",
			ch.client.peer, ch.key.ChannelID, ch.key.JobID, status.Convert(err).Message())
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = errors.New("closed by the peer")
	}
	return &exchange.PeerError{TaskManager: ch.client.peer, Err: err}
}
