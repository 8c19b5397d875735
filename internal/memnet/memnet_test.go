package memnet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const (
	a, b = "10.0.0.1", "10.0.0.2"
	way1 = 3 * time.Millisecond
)

// pair makes a connection from a to b.
func pair(t *testing.T, n *Net) (client, server net.Conn) {
	t.Helper()
	l, err := n.Host(b).Listen("", 0)
	if err != nil {
		t.Fatal(err)
	}
	client, err = n.Host(a).Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if client.LocalAddr().String() != server.RemoteAddr().String() || client.RemoteAddr().String() != l.Addr().String() {
		t.Errorf("addresses %v, %v", client.LocalAddr(), client.RemoteAddr())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// TestDeadWayEndsConnections: TCP gives up after a while, on both sides; a way that is open again in time does no harm.
func TestDeadWayEndsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(6, Quality{})
		n.SetLostAfter(10 * time.Second)
		client, server := pair(t, n)
		n.Block(b, a, true)
		time.AfterFunc(9*time.Second, func() { n.Block(b, a, false) })
		mustWrite(t, server, "late")
		if d := took(func() { wantRead(t, client, "late") }); d != 9*time.Second {
			t.Errorf("arrived after %s", d)
		}
		n.Block(b, a, true)
		ends := make(chan error)
		go func() { ends <- readError(server) }()
		if d := took(func() {
			if err := readError(client); !errors.Is(err, syscall.ETIMEDOUT) {
				t.Error(err)
			}
		}); d != 10*time.Second {
			t.Errorf("given up after %s", d)
		}
		if err := <-ends; err == nil {
			t.Error("the other end goes on")
		}
		if _, err := client.Write([]byte("x")); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Error(err)
		}
	})
}

// took says how long f takes.
func took(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

func mustWrite(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if n, err := c.Write([]byte(text)); err != nil || n != len(text) {
		t.Errorf("write: %d, %v", n, err)
	}
}

func wantRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	p := make([]byte, len(want))
	if _, err := io.ReadFull(c, p); err != nil || string(p) != want {
		t.Errorf("read %q, %v, want %q", p, err, want)
	}
}

func readError(c net.Conn) error {
	_, err := c.Read(make([]byte, 1))
	return err
}

func TestDelayAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1, Quality{DelayMin: way1, DelayMax: way1})
		var client, server net.Conn
		if d := took(func() { client, server = pair(t, n) }); d != 2*way1 {
			t.Errorf("to connect took %s", d)
		}
		if d := took(func() { mustWrite(t, client, "hello"); wantRead(t, server, "hello") }); d != way1 {
			t.Errorf("one way took %s", d)
		}
		mustWrite(t, client, "bye")
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		wantRead(t, server, "bye")
		if err := readError(server); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		if err := readError(client); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		mustWrite(t, server, "too late") // as by TCP, the first one does not know
		time.Sleep(way1)
		if _, err := server.Write([]byte("x")); err == nil {
			t.Error("writing to nobody succeeds")
		}
		if err := server.Close(); err != nil || n.Open() != 0 {
			t.Error(err, n.Open())
		}
	})
}

// TestAllArrivesInOrder: megabytes both ways at once, over a way that loses packets, through buffers that are smaller.
func TestAllArrivesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(2, Quality{DelayMax: 20 * time.Millisecond, Loss: 0.1})
		client, server := pair(t, n)
		data := make([]byte, 3<<20)
		rng := rand.New(rand.NewPCG(1, 1))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		type result struct {
			sum [32]byte
			err error
		}
		results := make(chan result, 2)
		for _, c := range []net.Conn{client, server} {
			go func() {
				rng := rand.New(rand.NewPCG(1, 2))
				for rest := data; len(rest) > 0; {
					k := min(len(rest), 1+rng.IntN(100_000))
					if _, err := c.Write(rest[:k]); err != nil {
						t.Error(err)
						return
					}
					rest = rest[k:]
				}
			}()
			go func() {
				var got bytes.Buffer
				_, err := io.CopyN(&got, c, int64(len(data)))
				results <- result{sha256.Sum256(got.Bytes()), err}
			}()
		}
		for range 2 {
			if r := <-results; r.err != nil || r.sum != sha256.Sum256(data) {
				t.Error("other bytes arrived", r.err)
			}
		}
	})
}

func TestFullBufferBlocksAndDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, New(3, Quality{}))
		deadline := time.Now().Add(time.Second)
		if err := client.SetDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		written, err := client.Write(make([]byte, 2*bufferBytes))
		if written != bufferBytes || !errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Equal(deadline) {
			t.Errorf("%d, %v at %s", written, err, time.Now())
		}
		if err := readError(client); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		if err := client.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		go io.Copy(io.Discard, server) //nolint:errcheck // it ends with the connection
		if _, err := client.Write(make([]byte, 4*bufferBytes)); err != nil {
			t.Error(err)
		}
		// A deadline that is set later counts for who waits already.
		done := make(chan error)
		go func() { done <- readError(client) }()
		synctest.Wait()
		if err := client.SetReadDeadline(time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(4, Quality{DelayMin: way1, DelayMax: way1})
		client, server := pair(t, n)
		n.Block(a, b, true)
		mustWrite(t, client, "held")
		mustWrite(t, server, "passes") // the other way is open
		wantRead(t, client, "passes")
		l, err := n.Host(b).Listen("", 7)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if d := took(func() { _, err = n.Host(a).Dial(ctx, b+":7") }); d != time.Minute || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dialling took %s: %v", d, err)
		}
		time.AfterFunc(time.Hour, func() { n.Block(a, b, false) })
		if d := took(func() { wantRead(t, server, "held") }); d != time.Hour {
			t.Errorf("arrived after %s", d)
		}
		if n.Reset(b, a) != 1 {
			t.Error("not one connection was reset")
		}
		for _, c := range []net.Conn{client, server} {
			if err := readError(c); !errors.Is(err, errReset) {
				t.Error(err)
			}
		}
	})
}

func TestEndsOfHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(5, Quality{DelayMin: way1, DelayMax: way1})
		client, server := pair(t, n)
		if _, err := n.Host(a).Dial(t.Context(), b+":9"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Error(err)
		}
		n.Host(b).Kill()
		if err := readError(server); !errors.Is(err, errReset) {
			t.Error(err)
		}
		if d := took(func() { mustReset(t, client) }); d != way1 {
			t.Errorf("the peer heard of it after %s", d)
		}
		// A power cut is silent, until the machine is back.
		client, server = pair(t, n)
		n.Host(b).Unplug()
		mustReset(t, server)
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		mustWrite(t, client, "anybody?")
		time.AfterFunc(time.Hour, n.Host(b).PlugIn)
		if d := took(func() { mustReset(t, client) }); d != time.Hour+way1 {
			t.Errorf("the peer heard of it after %s", d)
		}
		client, _ = pair(t, n)
		mustWrite(t, client, "x")
	})
}

func mustReset(t *testing.T, c net.Conn) {
	t.Helper()
	if err := readError(c); !errors.Is(err, errReset) {
		t.Error(err)
	}
}
