package jobmanager

import (
	"context"
	"errors"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bramble-stream/bramble/engine/inspect"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

const (
	// looksMax bounds the looks into taskmanagers that are under way.
	looksMax = 16
	// lookMax is how long an answer may take, beyond what was asked for.
	lookMax = 10 * time.Second
)

// Inspect implements rest.Views: a look into the process of a taskmanager, or of this jobmanager, which also a standby allows.
func (v views) Inspect(ctx context.Context, id, what string, amount int) ([]byte, error) {
	limit := lookMax
	if what == inspect.Profile {
		limit += time.Duration(min(max(amount, 1), inspect.SecondsMax)) * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if id == "jobmanager" {
		data, err := inspect.Do(ctx, what, amount)
		if errors.Is(err, inspect.ErrBusy) {
			return nil, status.Error(codes.FailedPrecondition, err.Error())
		}
		return data, err
	}
	answer, look := make(chan *pb.Inspected, 1), ""
	err := v.do(ctx, func(c *cluster) (err error) {
		look, err = c.inspect(id, what, amount, answer)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer v.jm.post(context.WithoutCancel(ctx), func(c *cluster) { delete(c.looks, look) }) //nolint:errcheck // fails only at the end
	select {
	case a := <-answer:
		if a.Error != "" {
			return nil, status.Error(codes.FailedPrecondition, a.Error)
		}
		return a.Data, nil
	case <-ctx.Done():
		return nil, status.Error(codes.Unavailable, "taskmanager "+id+" does not answer")
	case <-v.jm.stopped:
		return nil, status.Error(codes.Unavailable, errStopped.Error())
	}
}

// inspect asks a taskmanager. The answer comes into a channel with room for it.
func (c *cluster) inspect(id, what string, amount int, answer chan<- *pb.Inspected) (look string, err error) {
	m := c.members[id]
	switch {
	case m == nil:
		return "", status.Errorf(codes.NotFound, "no taskmanager %s is registered", id)
	case len(c.looks) >= looksMax:
		return "", status.Errorf(codes.ResourceExhausted, "%d looks into taskmanagers are under way, which is the maximum", looksMax)
	}
	look = c.nextLook()
	if c.looks == nil {
		c.looks = map[string]chan<- *pb.Inspected{}
	}
	c.looks[look] = answer
	c.send(m, &pb.ConnectResponse{Message: &pb.ConnectResponse_Inspect{
		Inspect: &pb.Inspect{Id: look, What: what, Amount: int32(min(amount, 1<<30))}, //nolint:gosec // bounded
	}})
	return look, nil
}

func (c *cluster) nextLook() string {
	c.looked++
	return strconv.Itoa(c.looked)
}

// onInspected passes an answer on, once.
func (c *cluster) onInspected(msg *pb.Inspected) {
	for _, looks := range []map[string]chan<- *pb.Inspected{c.looks, c.rowLooks} {
		if answer := looks[msg.Id]; answer != nil {
			delete(looks, msg.Id)
			answer <- msg
		}
	}
}
