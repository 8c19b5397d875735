// Package remote carries the channels of engine/exchange between taskmanagers, a gRPC stream each over one HTTP/2 connection a
// pair. It decides nothing about placement: whoever wires tasks says where each is.
package remote

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/bramble-stream/bramble/engine/exchange"
	"github.com/bramble-stream/bramble/engine/serve"
)

// What a channel may hold in memory on its way: in the sender its pending batch and a frame being filled, plus 64 KiB in
// gRPC's hands; in the receiver windowBytes not read yet, one frame being decoded, and the gate's queue. That is below 1 MiB with
// batches of 32 KiB. A full window blocks the sender's Send: that is the back-pressure. The connection's window does not depend on what
// is read (grpc-go gives it back on arrival), so a blocked channel does not hold up the others.
const (
	// windowBytes is a stream's HTTP/2 window: at 5 ms round trip still 50 MB/s.
	windowBytes     = 256 << 10
	connWindowBytes = 4 << 20
	// frameBytes is how much is gathered before a frame goes out by itself: frames of 16 to 64 KiB cost least per byte.
	frameBytes = 32 << 10
	// frameBytesMax bounds a frame, so a row: larger batches are cut into several.
	frameBytesMax = 64 << 20
	messageMax    = frameBytesMax + 1<<16
	// ioBufferBytes are gRPC's socket buffers, per connection.
	ioBufferBytes = 128 << 10
	// streamsMax bounds the channels that one peer opens.
	streamsMax = 1 << 14
)

// Key names a channel among all jobs.
type Key struct {
	JobID   string
	Attempt int
	exchange.ChannelID
}

// Options are shared by both ends. The zero value is good for a trusted network.
type Options struct {
	// Credentials are nil for plain text.
	Credentials credentials.TransportCredentials
	// ConnectTimeout bounds the attempts to open a channel, RegistrationTimeout how long a channel that comes early waits for its
	// receiving task. 0: 30 s each.
	ConnectTimeout, RegistrationTimeout time.Duration
	// Dial connects, nil for by TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

func (o Options) connectTimeout() time.Duration {
	if o.ConnectTimeout > 0 {
		return o.ConnectTimeout
	}
	return 30 * time.Second
}

func (o Options) registrationTimeout() time.Duration {
	if o.RegistrationTimeout > 0 {
		return o.RegistrationTimeout
	}
	return 30 * time.Second
}

// ServerOptions are what a *grpc.Server that carries channels is made with. It is to listen by serve.Listen: then a peer that is gone without a word is noticed.
func ServerOptions(o Options) []grpc.ServerOption {
	opts := append(serve.NoKeepalive(),
		grpc.InitialWindowSize(windowBytes), grpc.InitialConnWindowSize(connWindowBytes),
		grpc.ReadBufferSize(ioBufferBytes), grpc.WriteBufferSize(ioBufferBytes),
		grpc.MaxRecvMsgSize(messageMax), grpc.MaxConcurrentStreams(streamsMax),
	)
	if o.Credentials != nil {
		opts = append(opts, grpc.Creds(o.Credentials))
	}
	return opts
}

func dialOptions(o Options) []grpc.DialOption {
	creds := o.Credentials
	if creds == nil {
		creds = insecure.NewCredentials()
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithInitialWindowSize(windowBytes), grpc.WithInitialConnWindowSize(connWindowBytes),
		grpc.WithReadBufferSize(ioBufferBytes), grpc.WithWriteBufferSize(ioBufferBytes),
		grpc.WithDefaultCallOptions(grpc.CallContentSubtype(codecName), grpc.MaxCallSendMsgSize(messageMax)),
	}
	dial := o.Dial
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) { return serve.Dial(ctx, address, 0) }
	}
	return append(opts, grpc.WithContextDialer(dial))
}
