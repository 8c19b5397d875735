package client

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// Preview runs the query at the end of a script and calls f with what comes of it, until it has ended, f fails or ctx ends. rowsMax and timeout are 0 for
// no limit. While f does not return the query waits.
func (c *Client) Preview(ctx context.Context, s Script, rowsMax int64, timeout time.Duration, f func(*pb.PreviewResponse) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type opened struct {
		stream pb.JobService_PreviewClient
		first  *pb.PreviewResponse
	}
	o, err := call(ctx, c, false, func(jobs pb.JobServiceClient) (opened, error) {
		stream, err := jobs.Preview(ctx, &pb.PreviewRequest{Script: s.message(), RowsMax: rowsMax, TimeoutMs: timeout.Milliseconds()})
		if err != nil {
			return opened{}, err
		}
		first, err := stream.Recv()
		return opened{stream, first}, err
	})
	for m := o.first; err == nil; m, err = o.stream.Recv() {
		if err := f(m); err != nil {
			return err
		}
	}
	var known *Error
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case status.Code(err) == codes.Aborted: // it is about the query
		return &Error{nil, status.Convert(err).Message()}
	}
	return wrap(ctx, strings.Join(c.addresses, ","), err)
}

// Observe returns the document of the HTTP API about a job, or about the cluster when id is "".
func (c *Client) Observe(ctx context.Context, id string) ([]byte, error) {
	resp, err := call(ctx, c, true, func(jobs pb.JobServiceClient) (*pb.ObserveResponse, error) {
		return jobs.Observe(ctx, &pb.ObserveRequest{JobId: id})
	})
	if err != nil {
		return nil, err
	}
	return resp.DocumentJson, nil
}
