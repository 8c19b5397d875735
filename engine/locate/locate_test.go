package locate

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bramble-stream/bramble/engine/serve"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a jobmanager that leads as epoch, or stands by and names a leader.
type fake struct {
	pb.UnimplementedJobServiceServer
	epoch  int64
	leader string
}

func (f *fake) GetCluster(context.Context, *pb.GetClusterRequest) (*pb.GetClusterResponse, error) {
	if f.epoch == 0 {
		return nil, Refusal(f.leader)
	}
	return &pb.GetClusterResponse{LeaderEpoch: f.epoch}, nil
}

func serveFake(t *testing.T, f *fake) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(serve.ServerOptions()...)
	pb.RegisterJobServiceServer(s, f)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func TestLeader(t *testing.T) {
	leads, newer := serveFake(t, &fake{epoch: 3}), serveFake(t, &fake{epoch: 4})
	standsBy, names := serveFake(t, &fake{}), serveFake(t, &fake{leader: leads})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		ask  []string
		hint string
		want string
	}{
		{"the only one is not asked", []string{nobody}, "", nobody},
		{"one is gone", []string{nobody, leads}, "", leads},
		{"one stands by", []string{standsBy, leads}, "", leads},
		{"of two the newer", []string{leads, newer, standsBy}, "", newer},
		{"one that is named", []string{nobody, names}, "", leads},
		{"a hint", []string{standsBy}, leads, leads},
	} {
		if got, err := Leader(t.Context(), nil, test.ask, test.hint); got != test.want || err != nil {
			t.Errorf("%s: %q, %v; want %s", test.name, got, err, test.want)
		}
	}
	var no *NoLeaderError
	if _, err := Leader(t.Context(), nil, []string{nobody, standsBy}, ""); !errors.As(err, &no) || !no.Waiting || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%v", err)
	}
	if _, err := Leader(t.Context(), nil, []string{nobody}, nobody+"1"); !errors.As(err, &no) || no.Waiting {
		t.Errorf("%v", err)
	}
}

func TestRefusal(t *testing.T) {
	if leader, yes := Refused(Refusal("a:1")); leader != "a:1" || !yes {
		t.Error(leader, yes)
	}
	if leader, yes := Refused(Refusal("")); leader != "" || !yes {
		t.Error(leader, yes)
	}
	for _, err := range []error{nil, errors.New("no"), status.Error(codes.Unavailable, "not the leader")} {
		if _, yes := Refused(err); yes {
			t.Errorf("%v is a refusal", err)
		}
	}
}

func TestParse(t *testing.T) {
	got, err := Parse("a:1, b:2,a:1,[::1]:3")
	if want := []string{"a:1", "b:2", "[::1]:3"}; !slices.Equal(got, want) || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "a", "a:", "a:1,,b:2", "a:1;b:2"} {
		if got, err := Parse(bad); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
}

func TestNamesOfSeveralMachines(t *testing.T) {
	lookup := func(_ context.Context, _, host string) ([]net.IP, error) {
		ips := map[string][]net.IP{
			"tasks.jobmanager": {net.IPv4(10, 0, 1, 3), net.IPv4(10, 0, 1, 2)},
			"pi1":              {net.IPv4(192, 168, 0, 5), net.ParseIP("fd00::5")},
			"six":              {net.ParseIP("fd00::6"), net.ParseIP("fd00::7")},
		}[host]
		if ips == nil {
			return nil, errors.New("no such host")
		}
		return ips, nil
	}
	for in, want := range map[string][]string{
		"tasks.jobmanager:6123": {"10.0.1.2:6123", "10.0.1.3:6123"},
		"pi1:6123":              {"pi1:6123"}, // one machine, whichever way
		"six:1":                 {"[fd00::6]:1", "[fd00::7]:1"},
		"unknown:1":             {"unknown:1"}, // whoever connects says so
		"localhost:1":           {"localhost:1"},
		"10.0.0.1:1,pi1:2":      {"10.0.0.1:1", "pi1:2"},
	} {
		addresses, err := Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := expand(t.Context(), addresses, lookup); !slices.Equal(got, want) {
			t.Errorf("%s stands for %v, want %v", in, got, want)
		}
	}
}
