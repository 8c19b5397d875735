//go:build chaos

package chaos

import (
	"testing"

	"github.com/bramble-stream/bramble/internal/testenv"
)

func TestRedisStreams(t *testing.T) { newChaos(t, layout{jobmanagers: 1}).run(redisSource) }

func TestRedisGroup(t *testing.T) {
	r := newChaos(t, layout{jobmanagers: 1})
	r.delay = groupDelay
	r.run(groupSource)
}

func TestMQTT(t *testing.T) { runMQTT(t, layout{jobmanagers: 1}) }

// TestStandby has a second jobmanager that takes over.
func TestStandby(t *testing.T) { newChaos(t, layout{jobmanagers: 2}).run(redisSource) }

func TestStandbyMQTT(t *testing.T) { runMQTT(t, layout{jobmanagers: 2}) }

// TestNetwork has a machine for each taskmanager, and cuts the lines between them.
func TestNetwork(t *testing.T) { newChaos(t, layout{jobmanagers: 2, network: true}).run(redisSource) }

// TestApart has a machine for each jobmanager too, and storage across the network: who leads may be cut off from it, from the taskmanagers, or from all.
func TestApart(t *testing.T) {
	newChaos(t, layout{jobmanagers: 2, network: true, apart: true}).run(redisSource)
}

func runMQTT(t *testing.T, l layout) {
	t.Helper()
	r := newChaos(t, l)
	// Killed, a broker would lose what it had said to have; ended in good order it must not.
	r.mosquitto = testenv.Mosquitto(t, testenv.Persistent(), testenv.Config("max_queued_messages 0", "max_inflight_messages 0"))
	if err := subscribe(r.mosquitto.URL(), clientID); err != nil {
		t.Fatal(err)
	}
	r.broker = mqttBroker(r.mosquitto.URL())
	r.run(mqttSource, "-D", "MQTT_URL="+r.mosquitto.URL())
}
