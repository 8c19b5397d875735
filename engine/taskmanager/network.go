package taskmanager

import (
	"context"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc"

	"github.com/bramble-stream/bramble/engine/exchange"
	"github.com/bramble-stream/bramble/engine/exchange/remote"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/engine/task"
	"github.com/bramble-stream/bramble/engine/vec"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// peers says where the tasks of a job are.
type peers struct {
	graph    *graph.JobGraph
	vertexOf map[string]int
	// at[v][i] is where task i of vertex v runs.
	at [][]*pb.TaskLocation
}

func newPeers(g *graph.JobGraph, locations []*pb.TaskLocation) *peers {
	p := &peers{graph: g, vertexOf: map[string]int{}, at: make([][]*pb.TaskLocation, len(g.Vertices))}
	for i, v := range g.Vertices {
		p.vertexOf[v.ID] = i
		p.at[i] = make([]*pb.TaskLocation, v.Parallelism)
	}
	for _, l := range locations {
		v, ok := p.vertexOf[l.GetTask().GetVertexId()]
		if i := int(l.GetTask().GetIndex()); ok && i >= 0 && i < len(p.at[v]) {
			p.at[v][i] = l
		}
	}
	return p
}

// receiver is where the receiving task of a channel runs.
func (p *peers) receiver(id exchange.ChannelID) (*pb.TaskLocation, error) {
	if id.Edge < 0 || id.Edge >= len(p.graph.Edges) {
		return nil, fmt.Errorf("no %s in the job graph", id)
	}
	to := p.at[p.graph.Edges[id.Edge].To]
	if id.To < 0 || id.To >= len(to) || to[id.To] == nil {
		return nil, fmt.Errorf("the jobmanager did not say where the receiver of %s is", id)
	}
	return to[id.To], nil
}

// network is how tasks of several taskmanagers reach each other: a server for those who send here, a client for each peer.
type network struct {
	tm     *TaskManager
	grpc   *grpc.Server
	server *remote.Server
	mu     struct {
		sync.Mutex
		// clients are by the peer's ID: one that was restarted has another.
		clients map[string]*peerClient
	}
}

// peerClient is a connection to a peer, kept while a job uses it.
type peerClient struct {
	client *remote.Client
	users  map[jobKey]struct{}
}

func newNetwork(tm *TaskManager) *network {
	n := &network{tm: tm, grpc: grpc.NewServer(remote.ServerOptions(remote.Options{})...)}
	n.server = remote.NewServer(n.grpc, remote.Options{})
	n.mu.clients = map[string]*peerClient{}
	return n
}

func (n *network) options() remote.Options {
	var o remote.Options
	if t := n.tm.cfg.Network; t != nil {
		o.Dial = t.DialTo
	}
	return o
}

// serve takes in what peers send, until ctx ends.
func (n *network) serve(ctx context.Context, l net.Listener) error {
	health := serve.AddHealth(n.grpc)
	defer health.Shutdown()
	return serve.GRPC(ctx, n.grpc, l)
}

// offer lets peers send to the job's tasks here.
func (n *network) offer(j *jobRun) error {
	for id, in := range j.inputs {
		if err := n.server.Register(remoteKey(j.key, id), in); err != nil {
			return err
		}
	}
	return nil
}

func remoteKey(k jobKey, id exchange.ChannelID) remote.Key {
	return remote.Key{JobID: k.id, Attempt: int(k.attempt), ChannelID: id}
}

// withdraw refuses channels of the job from now on, and closes connections that only it used.
func (n *network) withdraw(j *jobRun) {
	n.server.Drop(j.key.id, int(j.key.attempt))
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, p := range n.mu.clients {
		delete(p.users, j.key)
		if len(p.users) == 0 {
			p.client.Close() //nolint:errcheck // nobody uses it
			delete(n.mu.clients, id)
		}
	}
}

// dial opens a channel to a task of a peer.
func (n *network) dial(ctx context.Context, k jobKey, id exchange.ChannelID, to *pb.TaskLocation, schema *vec.Schema,
	blocked *exchange.Stopwatch,
) (exchange.Channel, error) {
	n.mu.Lock()
	p := n.mu.clients[to.TaskmanagerId]
	if p == nil {
		client, err := remote.Dial(to.DataAddress, n.tm.ID(), to.TaskmanagerId, n.options())
		if err != nil {
			n.mu.Unlock()
			return nil, err
		}
		p = &peerClient{client: client, users: map[jobKey]struct{}{}}
		n.mu.clients[to.TaskmanagerId] = p
	}
	p.users[k] = struct{}{}
	n.mu.Unlock()
	ch, err := p.client.Open(ctx, remoteKey(k, id), schema, blocked, n.tm.cfg.Clock.Now)
	if err != nil {
		return nil, err // not a nil *remote.Channel in an interface
	}
	return ch, nil
}

// inputsOf are the inputs of a job's tasks here, by channel.
func inputsOf(j *jobRun) map[exchange.ChannelID]*exchange.Input {
	inputs := map[exchange.ChannelID]*exchange.Input{}
	for _, t := range j.tasks {
		for _, in := range t.task.Inputs() {
			inputs[in.ID] = in.In
		}
	}
	return inputs
}

// connectFunc opens channels of a task: within the process when the receiver is here, else over the network.
func (n *network) connectFunc(j *jobRun, p *peers) task.ConnectFunc {
	return func(ctx context.Context, id exchange.ChannelID, schema *vec.Schema, blocked *exchange.Stopwatch) (exchange.Channel, error) {
		to, err := p.receiver(id)
		if err != nil {
			return nil, err
		}
		if to.TaskmanagerId == n.tm.ID() {
			in := j.inputs[id]
			if in == nil {
				return nil, fmt.Errorf("no task here has an input for %s", id)
			}
			return exchange.NewLocal(ctx, in, blocked, n.tm.cfg.Clock.Now), nil
		}
		return n.dial(ctx, j.key, id, to, schema, blocked)
	}
}
