// Package locate finds the jobmanager that leads among those that there may be. It takes no leadership and keeps no connection.
package locate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/bramble-stream/bramble/engine/serve"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

const (
	// candidatesMax bounds how many addresses are asked, those of DNS names included.
	candidatesMax = 16
	// answerMax is how long an answer may take: one that is frozen, or whose machine is off, gives none.
	answerMax = 3 * time.Second
	// othersMax is how long the others may still take once one has said that it leads: of two that do the newer one does.
	othersMax = 300 * time.Millisecond
)

// Refusal is what a jobmanager that does not lead answers. leader is the address of the one that does, "" if that is not known.
func Refusal(leader string) error {
	text := "not the leader; nobody is yet"
	if leader != "" {
		text = "not the leader; the leader is at " + leader
	}
	s, err := status.New(codes.Unavailable, text).WithDetails(wrapperspb.String(leader))
	if err != nil {
		return status.Error(codes.Unavailable, text)
	}
	return s.Err()
}

// Refused says whether an answer is a Refusal: nothing was done, and it may be asked of another. leader may be "".
func Refused(err error) (leader string, yes bool) {
	s, ok := status.FromError(err)
	if !ok || s.Code() != codes.Unavailable {
		return "", false
	}
	for _, d := range s.Details() {
		if v, ok := d.(*wrapperspb.StringValue); ok {
			return v.GetValue(), true
		}
	}
	return "", false
}

// Parse takes a list of HOST:PORT apart at its commas.
func Parse(list string) ([]string, error) {
	var out []string
	for a := range strings.SplitSeq(list, ",") {
		a = strings.TrimSpace(a)
		if _, port, err := net.SplitHostPort(a); err != nil || port == "" {
			return nil, fmt.Errorf("%q: want HOST:PORT", a)
		}
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	if len(out) > candidatesMax {
		return nil, fmt.Errorf("%d addresses: at most %d", len(out), candidatesMax)
	}
	return out, nil
}

// NoLeaderError says that none of those asked leads.
type NoLeaderError struct {
	// Waiting: at least one answered that it stands by, so that there will be a leader soon.
	Waiting bool
	// Answers say why, one for each address.
	Answers []string
}

func (e *NoLeaderError) Error() string { return strings.Join(e.Answers, "; ") }

// Leader finds who leads, by way of the network n. With one address that stands for one machine it is that one, unasked. hint is a further address, "" for
// none.
func Leader(ctx context.Context, n *serve.Network, addresses []string, hint string) (string, error) {
	known := expand(ctx, addresses, net.DefaultResolver.LookupIP)
	if hint != "" && !slices.Contains(known, hint) {
		known = append(known, hint)
	} else if len(known) == 1 {
		return known[0], nil
	}
	found, named, err := ask(ctx, n, known)
	if found != "" || len(named) == 0 || ctx.Err() != nil {
		return found, err
	}
	// Those that stand by have named somebody else.
	if found, _, _ := ask(ctx, n, named); found != "" {
		return found, nil
	}
	return "", err
}

// Several says whether the addresses stand for more than one machine.
func Several(ctx context.Context, addresses []string) bool {
	return len(expand(ctx, addresses, net.DefaultResolver.LookupIP)) > 1
}

// expand replaces a name that stands for several machines by their addresses, as a swarm's tasks.NAME does. lookup is a resolver's LookupIP.
func expand(ctx context.Context, addresses []string, lookup func(ctx context.Context, network, host string) ([]net.IP, error)) []string {
	var out []string
	for _, a := range addresses {
		host, port, err := net.SplitHostPort(a)
		if err != nil || net.ParseIP(host) != nil || host == "localhost" {
			out = append(out, a)
			continue
		}
		limited, cancel := context.WithTimeout(ctx, answerMax)
		ips, err := lookup(limited, "ip", host)
		cancel()
		// IPv4 and IPv6 addresses of one machine are one way each; the dialer knows how to choose.
		v4 := slices.DeleteFunc(slices.Clone(ips), func(ip net.IP) bool { return ip.To4() == nil })
		if len(v4) > 0 {
			ips = v4
		}
		if err != nil || len(ips) < 2 {
			out = append(out, a) // whoever connects will say what is wrong with it
			continue
		}
		for _, ip := range ips {
			out = append(out, net.JoinHostPort(ip.String(), port))
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), candidatesMax)]
}

type answer struct {
	address string
	epoch   int64
	err     error
}

// ask asks all at once. named are addresses that were named and not asked.
func ask(ctx context.Context, n *serve.Network, addresses []string) (leader string, named []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	answers := make(chan answer, len(addresses))
	for _, a := range addresses {
		go func() { answers <- probe(ctx, n, a) }()
	}
	var epoch int64
	no := &NoLeaderError{}
	for range addresses { // each answers, at the latest when ctx ends
		a := <-answers
		if a.err == nil {
			if leader == "" || a.epoch > epoch {
				leader, epoch = a.address, a.epoch
			}
			time.AfterFunc(othersMax, cancel)
			continue
		}
		if other, yes := Refused(a.err); yes {
			no.Waiting = true
			if other != "" && !slices.Contains(addresses, other) && !slices.Contains(named, other) {
				named = append(named, other)
			}
		}
		no.Answers = append(no.Answers, fmt.Sprintf("%s: %s", a.address, reason(a.err)))
	}
	if leader != "" {
		return leader, nil, nil
	}
	slices.Sort(no.Answers)
	return "", named[:min(len(named), candidatesMax)], no
}

// reason is the last, telling part of what gRPC says.
func reason(err error) string {
	text := status.Convert(err).Message()
	if errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded {
		return "no answer"
	}
	for _, mark := range []string{"connect: ", "lookup "} {
		if i := strings.LastIndex(text, mark); i >= 0 {
			return strings.Trim(strings.TrimPrefix(text[i:], "connect: "), `"`)
		}
	}
	return text
}

func probe(ctx context.Context, n *serve.Network, address string) answer {
	conn, err := grpc.NewClient("passthrough:///"+address, n.DialOptions()...)
	if err != nil {
		return answer{address: address, err: err}
	}
	defer conn.Close() //nolint:errcheck // whatever it says, it is over
	resp, err := pb.NewJobServiceClient(conn).GetCluster(ctx, &pb.GetClusterRequest{})
	return answer{address: address, epoch: resp.GetLeaderEpoch(), err: err}
}
