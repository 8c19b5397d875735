package demo

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

// Broker is an MQTT broker in this process, on a free loopback port.
type Broker struct {
	server *mochi.Server
	URL    string
}

// StartBroker starts a broker that lets everyone on this machine in.
func StartBroker() (*Broker, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the embedded broker: %w", err)
	}
	s := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := s.AddHook(new(auth.AllowHook), nil); err != nil {
		return nil, fmt.Errorf("start the embedded broker: %w", err)
	}
	if err := s.AddListener(listeners.NewNet("demo", l)); err != nil {
		return nil, fmt.Errorf("start the embedded broker: %w", err)
	}
	if err := s.Serve(); err != nil {
		return nil, fmt.Errorf("start the embedded broker: %w", err)
	}
	return &Broker{s, "tcp://" + l.Addr().String()}, nil
}

// Close stops the broker.
func (b *Broker) Close() error { return b.server.Close() }

const (
	// tick is how often the house is asked for messages.
	tick        = 20 * time.Millisecond
	connectWait = 10 * time.Second
)

// connect returns a connected MQTT client that reconnects by itself.
func connect(ctx context.Context, url, id string, onConnect paho.OnConnectHandler) (paho.Client, error) {
	o := paho.NewClientOptions().AddBroker(url).SetClientID(fmt.Sprintf("bramble-demo-%s-%d", id, time.Now().UnixNano()%1e6)).
		SetConnectTimeout(connectWait).SetAutoReconnect(true).SetOrderMatters(false)
	if onConnect != nil {
		o.SetOnConnectHandler(onConnect)
	}
	c := paho.NewClient(o)
	t := c.Connect()
	select {
	case <-t.Done():
		if t.Error() != nil {
			return nil, fmt.Errorf("connect to the broker %s: %w", url, t.Error())
		}
		return c, nil
	case <-ctx.Done():
		c.Disconnect(0)
		return nil, ctx.Err()
	}
}

// Publish plays the house to the broker until ctx ends. Messages are QoS 0, as cheap sensors send them.
func Publish(ctx context.Context, url string, house *House) error {
	c, err := connect(ctx, url, "house", nil)
	if err != nil {
		return err
	}
	defer c.Disconnect(100)
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			for _, m := range house.Until(now) {
				c.Publish(m.Topic, 0, false, m.Payload)
			}
		case <-ctx.Done():
			return nil
		}
	}
}
