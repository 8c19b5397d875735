//go:build chaos || integration

package chaos

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/bramble-stream/bramble/internal/testenv"
)

// s3 is checkpoint storage that the network leads to.
type s3 struct {
	// proxy is where the cluster finds it.
	proxy    *testenv.CuttableProxy
	location string
	stalled  bool
}

// newS3 starts a server that is reached at an address of host. What is started from now on knows it by its environment.
func newS3(t *testing.T, host string) *s3 {
	t.Helper()
	const bucket = "bramble"
	server := testenv.S3(t)
	client, err := minio.New(server.Addr(), &minio.Options{Creds: credentials.NewStaticV4(testenv.S3AccessKey, testenv.S3SecretKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	s := &s3{proxy: testenv.ProxyAt(t, fmt.Sprintf("%s:%d", host, testenv.FreePort(t)), server.Addr()), location: "s3://" + bucket + "/checkpoints"}
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://"+s.proxy.Addr())
	t.Setenv("AWS_ACCESS_KEY_ID", testenv.S3AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", testenv.S3SecretKey)
	return s
}

// away has nobody reach the storage for a while: connections are refused, or nothing passes and nobody is told.
func (s *s3) away(r *chaos, d time.Duration) string {
	if s.stalled {
		return " is away already"
	}
	s.stalled = true
	end, how := s.proxy.Accept, "refuses"
	if r.rnd.IntN(2) == 0 {
		s.proxy.Stall()
		end, how = s.proxy.Flow, "stalls"
	} else {
		s.proxy.Refuse()
	}
	r.later(d, func() {
		s.stalled = false
		end()
	})
	return fmt.Sprintf(" %s for %s", how, d)
}

// from is a rule for packets that the storage sends.
func (s *s3) from() []string {
	host, port, _ := strings.Cut(s.proxy.Addr(), ":")
	return []string{"-p", "tcp", "-s", host, "--sport", port}
}

// apartKinds are the faults of a network between jobmanagers and everybody else.
func (r *chaos) apartKinds() []kind {
	return []kind{
		{"jmstorage", r.cutStorage},
		{"jmstorage", r.cutStorage},
		{"jmmanagers", r.cutManagers},
		{"jmmanagers", r.cutManagers},
		{"jmlink", r.unplugJobManager},
		{"jmlink", r.unplugJobManager},
		{"jmpart", r.partJobManagers},
		{"tmstorage", r.cutManagerStorage},
	}
}

// lease is for how long a fault among jobmanagers lasts: shorter than it takes a standby to take over, or longer.
func (r *chaos) lease() time.Duration { return time.Second + r.upTo(19*time.Second) }

// cutStorage cuts a jobmanager off from the storage, and from nobody else. If it leads another one takes over, and it has to believe that.
func (r *chaos) cutStorage() string {
	i := r.pickJobManager()
	if i < 0 {
		return " nobody"
	}
	jm, d := r.jobmanagers[i], r.lease()
	said := fmt.Sprintf(" %s%s for %s", jm.name, r.role(i), d)
	r.later(d, r.net.drop(jm.machine, r.s3.from()...))
	return said
}

// cutManagers cuts a jobmanager off from the taskmanagers. If it leads it goes on leading, of nobody.
func (r *chaos) cutManagers() string {
	i := r.pickJobManager()
	if i < 0 {
		return " nobody"
	}
	jm, d := r.jobmanagers[i], r.lease()
	said := fmt.Sprintf(" %s%s for %s", jm.name, r.role(i), d)
	for _, m := range r.managers {
		r.later(d, r.net.drop(jm.machine, "-s", m.machine.addr))
	}
	return said
}

// unplugJobManager cuts a jobmanager off from everybody.
func (r *chaos) unplugJobManager() string {
	i := r.pickJobManager()
	if i < 0 {
		return " nobody"
	}
	jm, d := r.jobmanagers[i], r.lease()
	said := fmt.Sprintf(" %s%s for %s", jm.name, r.role(i), d)
	r.net.ip("link", "set", jm.machine.link, "down")
	r.later(d, func() { r.net.ip("link", "set", jm.machine.link, "up") })
	return said
}

// partJobManagers cuts jobmanagers off from each other. They agree by the storage alone, so that nothing may come of it.
func (r *chaos) partJobManagers() string {
	a, b, d := r.jobmanagers[0], r.jobmanagers[1], r.lease()
	r.later(d, r.net.drop(a.machine, "-s", b.machine.addr))
	r.later(d, r.net.drop(b.machine, "-s", a.machine.addr))
	return " for " + d.String()
}

// cutManagerStorage cuts a taskmanager off from the storage: it can neither write its part of a checkpoint nor read one.
func (r *chaos) cutManagerStorage() string {
	if len(r.managers) == 0 {
		return " nobody"
	}
	m, d := r.managers[r.pick()], r.upTo(12*time.Second)
	r.later(d, r.net.drop(m.machine, r.s3.from()...))
	return " " + m.name + " for " + strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s"
}
