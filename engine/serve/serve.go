// Package serve holds what every Bramble server shares: listening, gRPC settings, health, and the pages for probes and Prometheus.
// It knows nothing of jobs.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
)

const (
	// MessageBytesMax bounds a message of the control plane. A job graph is the largest: thousands of operators fit.
	MessageBytesMax = 16 << 20
	// connectMax is how long one attempt to connect may take: a machine that is off answers nothing at all.
	connectMax = 5 * time.Second
	// shutdownMax is how long an HTTP request may take on once its server is stopping.
	shutdownMax = time.Second
	// headerMax bounds how long a client may take to send its headers.
	headerMax = 10 * time.Second
	// Off as a port says not to listen at all.
	Off = -1
)

// Network is what listeners and connections are opened on: TCP where it is nil, or one in memory. Its addresses are HOST:PORT, and those of its listeners
// and connections *net.TCPAddr, as of TCP.
type Network struct {
	ListenOn func(host string, port int) (net.Listener, error)
	DialTo   func(ctx context.Context, address string) (net.Conn, error)
}

// Listen is like the function.
func (n *Network) Listen(host string, port int) (net.Listener, error) {
	if n == nil {
		return Listen(host, port)
	}
	return n.ListenOn(host, port)
}

// Dial connects; a nil Network does so within limit.
func (n *Network) Dial(ctx context.Context, address string, limit time.Duration) (net.Conn, error) {
	if n == nil {
		return Dial(ctx, address, limit)
	}
	return n.DialTo(ctx, address)
}

// DialOptions are the function's, by way of the network.
func (n *Network) DialOptions() []grpc.DialOption {
	if n == nil {
		return DialOptions()
	}
	return append(DialOptions(), grpc.WithContextDialer(n.DialTo))
}

// Port returns the port that l listens on.
func Port(l net.Listener) int {
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

// NoKeepalive leaves it to the connections of Listen whether a client is still there. Clients of former versions, which ping, are let be.
func NoKeepalive() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: math.MaxInt64}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	}
}

// ServerOptions are the settings of our gRPC servers.
func ServerOptions() []grpc.ServerOption {
	return append(NoKeepalive(), grpc.MaxRecvMsgSize(MessageBytesMax), grpc.MaxSendMsgSize(MessageBytesMax))
}

// DialOptions are the settings of our gRPC clients.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MessageBytesMax), grpc.MaxCallSendMsgSize(MessageBytesMax)),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return Dial(ctx, address, 0) }),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: connectMax}),
	}
}

// AddHealth registers the health service, answering SERVING for everything, and reflection. Register all services before.
func AddHealth(s *grpc.Server) *health.Server {
	h := health.NewServer()
	for name := range s.GetServiceInfo() {
		h.SetServingStatus(name, healthpb.HealthCheckResponse_SERVING)
	}
	healthpb.RegisterHealthServer(s, h)
	reflection.Register(s)
	return h
}

// GRPC serves until ctx ends, then cuts what is still connected.
func GRPC(ctx context.Context, s *grpc.Server, l net.Listener) error {
	stop := context.AfterFunc(ctx, s.Stop)
	defer stop()
	if err := s.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) && ctx.Err() == nil {
		return fmt.Errorf("serve gRPC on %s: %w", l.Addr(), err)
	}
	return nil
}

// HTTP serves until ctx ends; requests under way get a moment to end.
func HTTP(ctx context.Context, h http.Handler, l net.Listener) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: headerMax}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownMax)
		defer cancel()
		if s.Shutdown(limited) != nil {
			s.Close() //nolint:errcheck // nothing is left to be done about it
		}
	})
	err := s.Serve(l)
	if !stop() {
		<-done
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
	}
	return nil
}

// Registry returns a registry with the Go and process collectors and the given ones.
func Registry(cs ...prometheus.Collector) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.MustRegister(cs...)
	return r
}

// Pages are /healthz (the process lives), /readyz (ready says so), and /metrics when there is a registry. The caller may add its own.
func Pages(ready *atomic.Bool, r *prometheus.Registry) *http.ServeMux {
	return PagesOf(func() error {
		if !ready.Load() {
			return errors.New("not ready")
		}
		return nil
	}, r)
}

// PagesOf are Pages of a process that says why it is not ready.
func PagesOf(ready func() error, r *prometheus.Registry) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	if r != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{Registry: r}))
	}
	return mux
}

// Guard calls f and turns a panic into an error, with the stack in the log: a bug in what a job brings along, such as a planner
// or a connector, must not end a process that runs other jobs.
func Guard(log *slog.Logger, what string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			log.Error("panic", "in", what, "panic", v, "stack", string(debug.Stack()))
			err = fmt.Errorf("a bug in %s: %v", what, v)
		}
	}()
	return f()
}
