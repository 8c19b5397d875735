package cli

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func values(t *testing.T, b *brokerStats) map[string]float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(b)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		out[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	return out
}

func TestBrokerStats(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	b := &brokerStats{now: func() time.Time { return now }}
	if got := values(t, b); len(got) != 1 || got["mosquitto_up"] != 0 {
		t.Errorf("before the first message: %v", got)
	}
	b.note("$SYS/broker/clients/connected", []byte("3"))
	b.note("$SYS/broker/version", []byte("mosquitto version 2.0.11"))
	b.note("$SYS/broker/publish/messages/dropped", []byte("7"))
	b.note("$SYS/broker/uptime", []byte("61 seconds"))
	got := values(t, b)
	for name, want := range map[string]float64{
		"mosquitto_up": 1, "mosquitto_clients_connected": 3, "mosquitto_publish_messages_dropped_total": 7, "mosquitto_uptime_seconds": 61,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %g, want %g", name, v, want)
		}
	}
	for _, name := range []string{"mosquitto_messages_sent_total", "mosquitto_clients_disconnected"} {
		if v, ok := got[name]; !ok || v != 0 {
			t.Errorf("%s, which has not been told, is %g, %v", name, v, ok)
		}
	}
	now = now.Add(2 * brokerStale)
	if got := values(t, b); len(got) != 1 || got["mosquitto_up"] != 0 {
		t.Errorf("after a long silence: %v", got)
	}
}
