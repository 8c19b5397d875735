package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bramble-stream/bramble/engine/exchange"
	"github.com/bramble-stream/bramble/engine/stream"
	bramblev1 "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// Server takes channels from other taskmanagers and feeds them into the gates of this one's tasks. It is safe for concurrent use.
type Server struct {
	bramblev1.UnimplementedExchangeServiceServer
	options Options
	mu      struct {
		sync.Mutex
		inputs map[Key]*registration
		// over has the last attempt of each job that is over; order its keys, oldest first, of at most overMax.
		over  map[string]int
		order []string
	}
}

// overMax is how many ended jobs are remembered: enough for stragglers.
const overMax = 1024

// registration is an input, or the place where channels wait for it.
type registration struct {
	ready   chan struct{} // closed when the rest is valid
	input   *exchange.Input
	opened  bool // a channel has it
	waiting int
	err     error // the attempt is over
}

var _ bramblev1.ExchangeServiceServer = (*Server)(nil)

// NewServer returns a server registered on g, which was made with ServerOptions.
func NewServer(g grpc.ServiceRegistrar, o Options) *Server {
	s := &Server{options: o}
	s.mu.inputs = map[Key]*registration{}
	s.mu.over = map[string]int{}
	bramblev1.RegisterExchangeServiceServer(g, s)
	return s
}

// Register lets the channel be opened. It is an error when it is known already, or when its attempt is over.
func (s *Server) Register(key Key, in *exchange.Input) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.mu.over[key.JobID]; ok && key.Attempt <= last {
		return fmt.Errorf("attempt %d of job %s is over", key.Attempt, key.JobID)
	}
	r := s.mu.inputs[key]
	if r == nil {
		r = &registration{ready: make(chan struct{})}
		s.mu.inputs[key] = r
	}
	if r.input != nil {
		return fmt.Errorf("%s of job %s is registered already", key.ChannelID, key.JobID)
	}
	r.input = in
	close(r.ready)
	return nil
}

// Drop forgets the channels of a job's attempts up to this one, and refuses them from now on. Open ones end with their tasks.
func (s *Server) Drop(jobID string, attempt int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.mu.over[jobID]
	if !ok {
		s.mu.order = append(s.mu.order, jobID)
		if len(s.mu.order) > overMax {
			delete(s.mu.over, s.mu.order[0])
			s.mu.order = s.mu.order[1:]
		}
	}
	if !ok || attempt > last {
		s.mu.over[jobID] = attempt
	}
	for k, r := range s.mu.inputs {
		if k.JobID != jobID || k.Attempt > attempt {
			continue
		}
		if r.input == nil {
			r.err = staleError(k)
			close(r.ready)
		}
		delete(s.mu.inputs, k)
	}
}

func staleError(k Key) error {
	return status.Errorf(codes.FailedPrecondition, "attempt %d of the job is over", k.Attempt)
}

// find waits for the channel's input, and takes it.
func (s *Server) find(ctx context.Context, key Key) (*exchange.Input, error) {
	s.mu.Lock()
	if last, ok := s.mu.over[key.JobID]; ok && key.Attempt <= last {
		s.mu.Unlock()
		return nil, staleError(key)
	}
	r := s.mu.inputs[key]
	if r == nil {
		r = &registration{ready: make(chan struct{})}
		s.mu.inputs[key] = r
	}
	r.waiting++
	s.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, s.options.registrationTimeout())
	defer cancel()
	select {
	case <-r.ready:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.waiting--
	switch {
	case r.err != nil:
		return nil, r.err
	case r.input == nil:
		if r.waiting == 0 && s.mu.inputs[key] == r {
			delete(s.mu.inputs, key)
		}
		return nil, status.Errorf(codes.NotFound, "the receiving task has not been deployed within %v", s.options.registrationTimeout())
	case r.opened:
		return nil, status.Error(codes.AlreadyExists, "the channel is open already")
	}
	r.opened = true
	return r.input, nil
}

// OpenChannel implements the service.
func (s *Server) OpenChannel(g grpc.BidiStreamingServer[bramblev1.OpenChannelRequest, bramblev1.OpenChannelResponse]) error {
	first, err := g.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello == nil {
		return status.Error(codes.InvalidArgument, "a channel begins with a hello")
	}
	if hello.GetCodecVersion() != exchange.CodecVersion {
		return status.Errorf(codes.FailedPrecondition, "frames of version %d, this taskmanager reads %d: all need the same release",
			hello.GetCodecVersion(), exchange.CodecVersion)
	}
	key := Key{
		JobID: hello.GetJobId(), Attempt: int(hello.GetAttempt()),
		ChannelID: exchange.ChannelID{Edge: int(hello.GetEdge()), From: int(hello.GetFromTask()), To: int(hello.GetToTask())},
	}
	in, err := s.find(g.Context(), key)
	if err != nil {
		return err
	}
	if hello.GetSchemaDigest() != exchange.SchemaDigest(in.Schema()) {
		return status.Errorf(codes.FailedPrecondition, "the sender's schema is not %s", in.Schema())
	}
	if err = g.Send(&bramblev1.OpenChannelResponse{}); err == nil {
		err = receive(g, in)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, exchange.ErrClosed):
		return status.Error(codes.Aborted, "the receiving task has ended")
	}
	if g.Context().Err() != nil {
		err = fmt.Errorf("%s: %w", key.ChannelID, err)
	}
	in.Fail(&exchange.PeerError{TaskManager: hello.GetFromTaskmanager(), Err: err})
	return status.Error(codes.Internal, err.Error())
}

// receive puts the elements of a channel into the input until its end.
func receive(g grpc.ServerStream, in *exchange.Input) error {
	ctx := g.Context()
	dec := exchange.NewDecoder(in.Schema())
	newBatch := in.NewBatch
	var m inMessage
	var pieces [][]byte
	for {
		if err := g.RecvMsg(&m); err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the sender left before the end of its data")
			}
			return err
		}
		ended, err := func() (bool, error) {
			defer m.free()
			var err error
			if pieces, err = m.pieces(pieces[:0]); err != nil {
				return false, err
			}
			if err := dec.Begin(pieces); err != nil {
				return false, err
			}
			for {
				e, ok, err := dec.Next(newBatch)
				if !ok || err != nil {
					return false, err
				}
				if err := in.Put(ctx, e); err != nil {
					return false, err
				}
				if e.Kind == stream.KindEnd {
					return true, nil
				}
			}
		}()
		if ended || err != nil {
			return err
		}
	}
}
