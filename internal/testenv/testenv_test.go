//go:build integration

package testenv_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/redis/go-redis/v9"

	"github.com/bramble-stream/bramble/internal/testenv"
)

func mqttClient(t *testing.T, s *testenv.Server, id, user, pass string) (mqtt.Client, error) {
	t.Helper()
	o := mqtt.NewClientOptions().AddBroker(s.URL()).SetClientID(id).SetUsername(user).SetPassword(pass).
		SetCleanSession(false).SetConnectRetry(false).SetAutoReconnect(false).SetConnectTimeout(5 * time.Second)
	if s.CAFile() != "" {
		conf, err := s.ClientTLS()
		if err != nil {
			t.Fatal(err)
		}
		o.SetTLSConfig(conf)
	}
	c := mqtt.NewClient(o)
	tok := c.Connect()
	tok.Wait()
	t.Cleanup(func() { c.Disconnect(0) })
	return c, tok.Error()
}

func TestMosquittoPlain(t *testing.T) {
	s := testenv.Mosquitto(t)
	if _, err := mqttClient(t, s, "a", "", ""); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if _, err := net.Dial("tcp", s.Addr()); err == nil {
		t.Fatal("a killed broker still listens")
	}
	s.Restart()
	if _, err := mqttClient(t, s, "b", "", ""); err != nil {
		t.Fatal(err)
	}
}

func TestMosquittoLogin(t *testing.T) {
	s := testenv.Mosquitto(t, testenv.Login("anna", "secret"))
	if _, err := mqttClient(t, s, "a", "anna", "wrong"); err == nil {
		t.Error("a wrong password was let in")
	}
	if _, err := mqttClient(t, s, "b", "anna", "secret"); err != nil {
		t.Error(err)
	}
}

func TestMosquittoTLS(t *testing.T) {
	for name, opt := range map[string]testenv.Option{"server": testenv.TLS(), "mutual": testenv.ClientCert()} {
		t.Run(name, func(t *testing.T) {
			s := testenv.Mosquitto(t, opt)
			if !strings.HasPrefix(s.URL(), "ssl://") {
				t.Errorf("url %s", s.URL())
			}
			if _, err := mqttClient(t, s, "a", "", ""); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMosquittoPersistent(t *testing.T) {
	port := testenv.FreePort(t)
	s := testenv.Mosquitto(t, testenv.Port(port), testenv.Persistent())
	if s.Port() != port {
		t.Fatalf("port %d, want %d", s.Port(), port)
	}
	c, err := mqttClient(t, s, "sleeper", "", "")
	if err != nil {
		t.Fatal(err)
	}
	wait(t, c.Subscribe("a", 1, nil))
	c.Disconnect(10)
	p, err := mqttClient(t, s, "sender", "", "")
	if err != nil {
		t.Fatal(err)
	}
	wait(t, p.Publish("a", 1, false, "kept"))
	s.Restart()

	got := make(chan string, 1)
	o := mqtt.NewClientOptions().AddBroker(s.URL()).SetClientID("sleeper").SetCleanSession(false).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { got <- string(m.Payload()) })
	again := mqtt.NewClient(o)
	wait(t, again.Connect())
	defer again.Disconnect(0)
	select {
	case m := <-got:
		if m != "kept" {
			t.Errorf("got %q", m)
		}
	case <-time.After(10 * time.Second):
		t.Error("the queued message did not survive the restart")
	}
}

func TestRedis(t *testing.T) {
	for name, c := range map[string]struct {
		opts []testenv.Option
		url  func(*testenv.Server) string
		ok   bool
	}{
		"plain":          {nil, (*testenv.Server).URL, true},
		"password":       {[]testenv.Option{testenv.Login("", "se cret")}, (*testenv.Server).LoginURL, true},
		"user":           {[]testenv.Option{testenv.Login("anna", "secret")}, (*testenv.Server).LoginURL, true},
		"no password":    {[]testenv.Option{testenv.Login("", "secret")}, (*testenv.Server).URL, false},
		"tls":            {[]testenv.Option{testenv.TLS()}, (*testenv.Server).URL, true},
		"tls and client": {[]testenv.Option{testenv.ClientCert()}, (*testenv.Server).URL, true},
		"config line":    {[]testenv.Option{testenv.Config("maxmemory 10mb")}, (*testenv.Server).URL, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := testenv.Redis(t, c.opts...)
			err := redisClient(t, s, c.url(s)).Ping(t.Context()).Err()
			if (err == nil) != c.ok {
				t.Errorf("ping: %v", err)
			}
		})
	}
}

func TestRedisPersistentSurvivesKill(t *testing.T) {
	s := testenv.Redis(t, testenv.Persistent())
	ctx := t.Context()
	if err := redisClient(t, s, s.URL()).Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s.Restart()
	if v, err := redisClient(t, s, s.URL()).Get(ctx, "k").Result(); err != nil || v != "v" {
		t.Errorf("got %q, %v", v, err)
	}
}

func TestSuspendIsSilence(t *testing.T) {
	s := testenv.Redis(t)
	s.Suspend()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, "PING\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(conn).ReadByte(); err == nil {
		t.Error("a suspended server answered")
	}
	s.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := redisClient(t, s, s.URL()).Ping(ctx).Err(); err != nil {
		t.Error(err)
	}
}

func redisClient(t *testing.T, s *testenv.Server, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	if s.CAFile() != "" {
		if o.TLSConfig, err = s.ClientTLS(); err != nil {
			t.Fatal(err)
		}
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func wait(t *testing.T, tok mqtt.Token) {
	t.Helper()
	if !tok.WaitTimeout(10*time.Second) || tok.Error() != nil {
		t.Fatalf("no success within 10 s: %v", tok.Error())
	}
}

func TestProxyCutsAndRefuses(t *testing.T) {
	s := testenv.Redis(t)
	p := testenv.Proxy(t, s.Addr())
	ping := func(conn net.Conn) error {
		if _, err := fmt.Fprint(conn, "PING\r\n"); err != nil {
			return err
		}
		_, err := bufio.NewReader(conn).ReadString('\n')
		return err
	}
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	a := dial()
	if err := ping(a); err != nil {
		t.Fatal(err)
	}
	if p.Open() != 1 {
		t.Errorf("%d connections open, want 1", p.Open())
	}
	p.Cut()
	if ping(a) == nil {
		t.Error("a cut connection answered")
	}
	if err := ping(dial()); err != nil {
		t.Errorf("after the cut: %v", err)
	}
	p.Refuse()
	if ping(dial()) == nil {
		t.Error("a refused connection answered")
	}
	p.Accept()
	if err := ping(dial()); err != nil {
		t.Errorf("after Accept: %v", err)
	}
	p.Stall()
	c := dial()
	answered := make(chan error, 1)
	go func() { answered <- ping(c) }()
	select {
	case err := <-answered:
		t.Errorf("a stalled connection answered: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	p.Flow()
	if err := <-answered; err != nil {
		t.Errorf("after the stall: %v", err)
	}
}
