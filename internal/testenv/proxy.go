package testenv

import (
	"io"
	"net"
	"sync"
	"testing"
)

// CuttableProxy passes TCP connections on to a server until the test cuts them: what a
// client sees when the network fails while the server goes on, with its sessions and
// everything it has in flight. Its methods may be called from any goroutine.
type CuttableProxy struct {
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu struct {
		sync.Mutex
		refusing bool
		// stalled is closed when bytes may pass again; nil: they do.
		stalled chan struct{}
		// conns are both ends of what is being passed on.
		conns map[net.Conn]struct{}
	}
}

// Proxy starts a proxy to addr (host:port, such as Server.Addr), which ends with the test.
func Proxy(t testing.TB, addr string) *CuttableProxy {
	t.Helper()
	return ProxyAt(t, "127.0.0.1:0", addr)
}

// ProxyAt is Proxy on an address of the caller's choice, for clients that are told the port by the server.
func ProxyAt(t testing.TB, listen, addr string) *CuttableProxy {
	t.Helper()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	p := &CuttableProxy{target: addr, listener: l}
	p.mu.conns = map[net.Conn]struct{}{}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close() // fails only if it is closed already
		p.Refuse()
		p.Flow()
		p.wg.Wait()
	})
	return p
}

// Addr returns the host:port that clients connect to.
func (p *CuttableProxy) Addr() string { return p.listener.Addr().String() }

// Cut closes every connection, without a farewell from either side. New ones are served.
func (p *CuttableProxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutLocked()
}

// Refuse cuts every connection, and each new one at once, until Accept.
func (p *CuttableProxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.refusing = true
	p.cutLocked()
}

// Accept undoes Refuse.
func (p *CuttableProxy) Accept() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.refusing = false
}

// Stall holds back every byte, in both directions, and tells nobody: what peers see of a network that has lost its way. Connections stay. Flow
// undoes it.
func (p *CuttableProxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.stalled == nil {
		p.mu.stalled = make(chan struct{})
	}
}

// Flow undoes Stall.
func (p *CuttableProxy) Flow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.stalled != nil {
		close(p.mu.stalled)
		p.mu.stalled = nil
	}
}

// gate writes when nothing is stalled.
type gate struct {
	p *CuttableProxy
	w io.Writer
}

func (g gate) Write(b []byte) (int, error) {
	g.p.mu.Lock()
	stalled := g.p.mu.stalled
	g.p.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
	return g.w.Write(b)
}

// Open returns how many clients are connected through the proxy.
func (p *CuttableProxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.mu.conns) / 2
}

func (p *CuttableProxy) cutLocked() {
	for c := range p.mu.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, and what is buffered is lost, as on a real cut
		}
		_ = c.Close() // fails only if the peer was faster
		delete(p.mu.conns, c)
	}
}

func (p *CuttableProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // the test is over
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

func (p *CuttableProxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close() // the server is away, which is what its client is to see
		return
	}
	if !p.enter(client, server) {
		return
	}
	var both sync.WaitGroup
	pass := func(dst, src net.Conn) {
		_, _ = io.Copy(gate{p, dst}, src) // ends when either side does, or by a cut
		p.leave(dst, src)
	}
	both.Go(func() { pass(server, client) })
	both.Go(func() { pass(client, server) })
	both.Wait()
}

// enter registers a pair, or closes it if the proxy refuses.
func (p *CuttableProxy) enter(pair ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range pair {
		p.mu.conns[c] = struct{}{}
	}
	if p.mu.refusing {
		p.cutLocked()
		return false
	}
	return true
}

func (p *CuttableProxy) leave(pair ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range pair {
		_ = c.Close() // the other direction may have closed it
		delete(p.mu.conns, c)
	}
}
