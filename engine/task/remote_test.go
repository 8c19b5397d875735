package task_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/bramble-stream/bramble/engine/exchange"
	"github.com/bramble-stream/bramble/engine/exchange/remote"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/task"
	"github.com/bramble-stream/bramble/engine/vec"
)

// manager is a taskmanager's data plane: a server, a client to each peer, and its tasks.
type manager struct {
	name    string
	address string
	grpc    *grpc.Server
	server  *remote.Server
	clients map[string]*remote.Client
	local   map[exchange.ChannelID]*exchange.Input
}

// cluster runs a job's tasks in turns on n managers over loopback TCP.
type cluster struct {
	managers []*manager
	tasks    []*task.Task
	at       []*manager
}

func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{}
	for i := range n {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		m := &manager{
			name: fmt.Sprintf("tm-%d", i), address: lis.Addr().String(), grpc: grpc.NewServer(remote.ServerOptions(remote.Options{})...),
			clients: map[string]*remote.Client{}, local: map[exchange.ChannelID]*exchange.Input{},
		}
		m.server = remote.NewServer(m.grpc, remote.Options{})
		go func() { _ = m.grpc.Serve(lis) }()
		c.managers = append(c.managers, m)
	}
	for _, m := range c.managers {
		for _, peer := range c.managers {
			cl, err := remote.Dial(peer.address, m.name, peer.name, remote.Options{})
			if err != nil {
				t.Fatal(err)
			}
			m.clients[peer.name] = cl
		}
	}
	t.Cleanup(func() {
		for _, m := range c.managers {
			for _, cl := range m.clients {
				_ = cl.Close()
			}
			m.grpc.Stop()
		}
	})
	return c
}

// deploy builds all tasks and registers their inputs.
func (c *cluster) deploy(t *testing.T, g *graph.JobGraph, w *world, splits []op.Split) {
	t.Helper()
	where := map[[2]int]*manager{}
	for v, vertex := range g.Vertices {
		for i := range vertex.Parallelism {
			where[[2]int{v, i}] = c.managers[(v+i)%len(c.managers)]
		}
	}
	for v, vertex := range g.Vertices {
		for i := range vertex.Parallelism {
			m := where[[2]int{v, i}]
			cfg := task.Config{
				JobID: "j", Graph: g, Vertex: v, Index: i, Attempt: 1, TaskManager: m.name, Builders: w.builders(),
				Connect: func(ctx context.Context, id exchange.ChannelID, schema *vec.Schema, blocked *exchange.Stopwatch) (exchange.Channel, error) {
					peer := where[[2]int{g.Edges[id.Edge].To, id.To}]
					if peer == m {
						return exchange.NewLocal(ctx, m.local[id], blocked, time.Now), nil
					}
					return m.clients[peer.name].Open(ctx, remote.Key{JobID: "j", Attempt: 1, ChannelID: id}, schema, blocked, time.Now)
				},
			}
			if v == 0 {
				for s := i; s < len(splits); s += vertex.Parallelism {
					cfg.Splits = append(cfg.Splits, splits[s])
				}
			}
			tk, err := task.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			for _, in := range tk.Inputs() {
				m.local[in.ID] = in.In
				if err := m.server.Register(remote.Key{JobID: "j", Attempt: 1, ChannelID: in.ID}, in.In); err != nil {
					t.Fatal(err)
				}
			}
			c.tasks, c.at = append(c.tasks, tk), append(c.at, m)
		}
	}
}

// run runs all tasks; the first failure cancels the others.
func (c *cluster) run(ctx context.Context) []error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	errs := make([]error, len(c.tasks))
	var wg sync.WaitGroup
	for i, tk := range c.tasks {
		wg.Go(func() {
			if errs[i] = tk.Run(ctx); errs[i] != nil {
				cancel(errs[i])
			}
		})
	}
	wg.Wait()
	return errs
}

func TestJobOverTheNetwork(t *testing.T) {
	w := newWorld()
	c := newCluster(t, 3)
	splits, _ := nSplits(3)(t.Context(), nil, 0)
	c.deploy(t, countJob(3, `{"Rows":20000,"Keys":50}`, "{}", "{}"), w, splits)
	if err := errors.Join(c.run(t.Context())...); err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, r := range w.published["sink"] {
		sum += r[1]
	}
	if len(w.published["sink"]) != 50 || sum != 60000 {
		t.Fatalf("%d keys, %d rows", len(w.published["sink"]), sum)
	}
	for _, tk := range c.tasks {
		r := tk.Report()
		if tk.State() != task.Finished || r.RecordsIn == 0 || r.BytesOut == 0 && strings.HasPrefix(tk.Name(), "source") {
			t.Errorf("%s: %+v", tk.Name(), r)
		}
	}
}

func TestLostTaskManagerIsNamed(t *testing.T) {
	w := newWorld()
	c := newCluster(t, 2)
	splits, _ := nSplits(2)(t.Context(), nil, 0)
	c.deploy(t, countJob(2, `{"Rows":-1,"Keys":50,"Batch":100,"Pause":1}`, "{}", "{}"), w, splits)
	go func() {
		for w.produced.value() < 1000 { // until the job is under way
			runtime.Gosched()
		}
		c.managers[1].grpc.Stop()
	}()
	var named bool
	for _, err := range c.run(t.Context()) {
		f, ok := errors.AsType[*task.Failure](err)
		if ok && f.Secondary && strings.Contains(err.Error(), "connection to taskmanager tm-") {
			named = true
		} else if ok {
			t.Errorf("%v", err)
		}
	}
	if !named {
		t.Error("nobody names the lost peer")
	}
}
