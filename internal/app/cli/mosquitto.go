package cli

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/internal/app"
)

// DefaultMosquittoMetricsPort is the one that exporters for Mosquitto commonly have.
const DefaultMosquittoMetricsPort = 9234

// brokerStale is after how long without news a broker counts as gone: it tells of itself every 10 s, unless told otherwise.
const brokerStale = 90 * time.Second

// brokerMetric is a topic below $SYS/broker/ with a number, and its name for Prometheus.
type brokerMetric struct {
	topic   string
	desc    *prometheus.Desc
	counter bool
}

func gaugeOf(topic, name, help string) brokerMetric {
	return brokerMetric{topic, prometheus.NewDesc(name, help, nil, nil), false}
}

func counterOf(topic, name, help string) brokerMetric {
	return brokerMetric{topic, prometheus.NewDesc(name, help, nil, nil), true}
}

var brokerUp = prometheus.NewDesc("mosquitto_up", "1: the broker tells of itself.", nil, nil)

var brokerMetrics = []brokerMetric{
	gaugeOf("uptime", "mosquitto_uptime_seconds", "How long the broker has run."),
	gaugeOf("clients/connected", "mosquitto_clients_connected", "Clients that are connected."),
	gaugeOf("clients/disconnected", "mosquitto_clients_disconnected", "Clients that are away and have a session."),
	gaugeOf("clients/total", "mosquitto_clients_total", "Clients that are connected or have a session."),
	gaugeOf("subscriptions/count", "mosquitto_subscriptions", "Subscriptions."),
	gaugeOf("retained messages/count", "mosquitto_retained_messages", "Retained messages."),
	gaugeOf("store/messages/count", "mosquitto_messages_stored", "Messages that are kept: retained, and queued for clients."),
	gaugeOf("store/messages/bytes", "mosquitto_messages_stored_bytes", "Size of the messages that are kept."),
	counterOf("messages/received", "mosquitto_messages_received_total", "Packets of all kinds received."),
	counterOf("messages/sent", "mosquitto_messages_sent_total", "Packets of all kinds sent."),
	counterOf("publish/messages/received", "mosquitto_publish_messages_received_total", "Messages that were published."),
	counterOf("publish/messages/sent", "mosquitto_publish_messages_sent_total", "Messages that were sent on."),
	counterOf("publish/messages/dropped", "mosquitto_publish_messages_dropped_total", "Messages dropped because a client's queue was full."),
	counterOf("bytes/received", "mosquitto_bytes_received_total", "Bytes received."),
	counterOf("bytes/sent", "mosquitto_bytes_sent_total", "Bytes sent."),
}

// brokerStats is what the broker has told last.
type brokerStats struct {
	now func() time.Time
	mu  struct {
		sync.Mutex
		at     time.Time
		values map[string]float64
	}
}

var _ prometheus.Collector = (*brokerStats)(nil)

// note takes a message. Uptime is "123 seconds"; topics that are no number are left alone.
func (b *brokerStats) note(topic string, payload []byte) {
	text, _, _ := strings.Cut(string(payload), " ")
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.values == nil {
		b.mu.values = map[string]float64{}
	}
	topic = strings.TrimPrefix(topic, "$SYS/broker/")
	if topic == "uptime" { // comes every time, the others only when they change
		b.mu.at = b.now()
	}
	for _, m := range brokerMetrics {
		if m.topic == topic {
			b.mu.values[topic] = v
		}
	}
}

// Describe implements prometheus.Collector.
func (*brokerStats) Describe(ch chan<- *prometheus.Desc) {
	ch <- brokerUp
	for _, m := range brokerMetrics {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector. Numbers of a broker that is gone are left out rather than repeated.
func (b *brokerStats) Collect(ch chan<- prometheus.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.at.IsZero() || b.now().Sub(b.mu.at) > brokerStale {
		ch <- prometheus.MustNewConstMetric(brokerUp, prometheus.GaugeValue, 0)
		return
	}
	ch <- prometheus.MustNewConstMetric(brokerUp, prometheus.GaugeValue, 1)
	for _, m := range brokerMetrics {
		kind := prometheus.GaugeValue
		if m.counter {
			kind = prometheus.CounterValue
		}
		// The broker tells what changes: what it has not told is still 0.
		ch <- prometheus.MustNewConstMetric(m.desc, kind, b.mu.values[m.topic])
	}
}

// mosquittoMetrics is an exporter: Mosquitto has no page for Prometheus, but tells of itself on topics.
func (c *cli) mosquittoMetrics() *cobra.Command {
	var (
		broker, user, password string
		port                   int
		logs                   app.LogFlags
	)
	cmd := &cobra.Command{
		Use:   "mosquitto-metrics",
		Short: "Show what Mosquitto tells of itself to Prometheus",
		Long: "mosquitto-metrics subscribes to $SYS of an MQTT broker and serves its numbers as /metrics: clients, messages, bytes, what was dropped.\n" +
			"It runs until it is stopped, and waits for a broker that is away.",
		Args: app.NoArgs,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&broker, "url", "tcp://localhost:1883", "the broker")
	fs.StringVar(&user, "username", "", "user at the broker")
	fs.StringVar(&password, "password", "", "password, best as ${file:/run/secrets/…}")
	fs.IntVar(&port, "metrics-port", DefaultMosquittoMetricsPort, "HTTP port of /metrics; 0 picks a free one")
	logs.Add(fs, "info")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		log, err := logs.Logger(cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		if u, err := url.Parse(broker); err != nil || u.Host == "" {
			return app.Usagef("--url: want tcp://host:1883")
		}
		if password, err = op.ResolveSecret(password); err != nil {
			return fmt.Errorf("--password: %w", err)
		}
		l, err := serve.Listen("", port)
		if err != nil {
			return err
		}
		stats := &brokerStats{now: app.Clock{}.Now}
		o := paho.NewClientOptions().AddBroker(broker).SetUsername(user).SetPassword(password)
		o.SetConnectRetry(true).SetConnectRetryInterval(5 * time.Second).SetMaxReconnectInterval(30 * time.Second)
		o.SetOnConnectHandler(func(client paho.Client) {
			log.Info("connected to mqtt broker")
			client.Subscribe("$SYS/broker/#", 0, func(_ paho.Client, m paho.Message) { stats.note(m.Topic(), m.Payload()) })
		})
		o.SetConnectionLostHandler(func(_ paho.Client, err error) { log.Warn("mqtt broker lost, trying again", "reason", err) })
		client := paho.NewClient(o)
		client.Connect() // goes on trying; its token is done when it has come to something
		defer client.Disconnect(0)
		log.Info("serving metrics of the mqtt broker", "metrics_port", serve.Port(l))
		return serveBroker(cmd.Context(), stats, l)
	}
	return cmd
}

func serveBroker(ctx context.Context, stats *brokerStats, l net.Listener) error {
	var ready atomic.Bool
	ready.Store(true)
	return serve.HTTP(ctx, serve.Pages(&ready, serve.Registry(stats)), l)
}
