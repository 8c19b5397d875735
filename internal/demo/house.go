// Package demo is what `bramble demo` needs around a cluster: a simulated house, an embedded broker and Redis, and a
// view of the results. The job itself is an ordinary one; nothing here is used elsewhere.
package demo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Message is one reading on its way to the broker.
type Message struct {
	Topic   string
	Payload string
}

// sensor is one device of the house.
type sensor struct {
	room, kind string
	every      time.Duration
	base, span float64
	// disorder delays some readings behind others; late is the chance of one that is far behind.
	disorder time.Duration
	late     float64
	// silentAfter: the battery runs out, 0 never. garbage: the firmware is broken.
	silentAfter time.Duration
	garbage     bool
	due         time.Time
}

// House simulates the sensors. It is deterministic for a seed and the times it is asked for.
type House struct {
	sensors []*sensor
	rng     *rand.Rand
	start   time.Time
	held    []heldMessage
	doors   map[string]bool
}

type heldMessage struct {
	at time.Time
	m  Message
}

// NewHouse returns a house whose clock begins at start.
func NewHouse(seed uint64, start time.Time) *House {
	h := &House{rng: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), start: start, doors: map[string]bool{}} //nolint:gosec // a simulation
	const ms = time.Millisecond
	for _, room := range []string{"kitchen", "living", "bedroom", "bath", "attic"} {
		h.add(sensor{room: room, kind: "temperature", every: 200 * ms, base: 21, span: 3, disorder: 400 * ms})
		h.add(sensor{room: room, kind: "humidity", every: 500 * ms, base: 48, span: 9})
	}
	h.add(sensor{room: "sauna", kind: "temperature", every: 250 * ms, base: 29, span: 6, disorder: 400 * ms, late: 0.05})
	h.add(sensor{room: "oven", kind: "power", every: 100 * ms, base: 2100, span: 1400})
	h.add(sensor{room: "washer", kind: "power", every: 100 * ms, base: 900, span: 800, disorder: 200 * ms})
	h.add(sensor{room: "front", kind: "door", every: 1500 * ms})
	h.add(sensor{room: "garage", kind: "door", every: 2500 * ms})
	h.add(sensor{room: "cellar", kind: "temperature", every: 300 * ms, base: 14, span: 1, silentAfter: 20 * time.Second})
	h.add(sensor{room: "shed", kind: "humidity", every: 1200 * ms, base: 61, span: 4, garbage: true})
	return h
}

func (h *House) add(s sensor) {
	s.due = h.start.Add(time.Duration(h.rng.Int64N(int64(s.every))))
	h.sensors = append(h.sensors, &s)
}

// Until returns the messages that are due up to now, in the order in which the network delivers them.
func (h *House) Until(now time.Time) []Message {
	var out []Message
	for _, s := range h.sensors {
		for ; !s.due.After(now); s.due = s.due.Add(s.every) {
			if s.silentAfter > 0 && s.due.Sub(h.start) > s.silentAfter {
				continue
			}
			m, delay := h.reading(s)
			if delay > 0 {
				h.held = append(h.held, heldMessage{s.due.Add(delay), m})
			} else {
				out = append(out, m)
			}
		}
	}
	kept := h.held[:0]
	for _, m := range h.held {
		if m.at.After(now) {
			kept = append(kept, m)
		} else {
			out = append(out, m.m)
		}
	}
	h.held = kept
	return out
}

// reading makes the message of a sensor and how much later than others it arrives.
func (h *House) reading(s *sensor) (Message, time.Duration) {
	topic := "home/" + s.room + "/" + s.kind
	if s.garbage && h.rng.IntN(3) == 0 {
		return Message{topic, `{"sensor":"shed-humidity","value":##,"fw":"0.9-beta`}, 0
	}
	at, delay := s.due, time.Duration(0)
	switch {
	case h.rng.Float64() < s.late:
		at = at.Add(-time.Minute)
	case s.disorder > 0 && h.rng.IntN(4) == 0:
		delay = time.Duration(h.rng.Int64N(int64(s.disorder)))
	}
	return Message{topic, fmt.Sprintf(`{"sensor":"%s-%s","kind":"%s","value":%.2f,"ts":%d}`, s.room, s.kind, s.kind, h.value(s), at.UnixMilli())}, delay
}

func (h *House) value(s *sensor) float64 {
	if s.kind == "door" {
		h.doors[s.room] = h.doors[s.room] != (h.rng.IntN(4) == 0)
		if h.doors[s.room] {
			return 1
		}
		return 0
	}
	wave := math.Sin(float64(s.due.Sub(h.start).Milliseconds()) / 15000 * 2 * math.Pi)
	return s.base + s.span/2*wave + s.span/4*h.rng.NormFloat64()/2
}
