package mqtt

import (
	"encoding/binary"
	"errors"
)

// MQTT 3.1.1 control packet types, the high four bits of a packet's first byte (section 2.2.1).
const (
	typeConnack  = 2
	typePublish  = 3
	typePubrel   = 6
	typePingreq  = 12
	typePingresp = 13
)

var errLength = errors.New("mqtt: malformed packet length")

// frameLen returns how many bytes the packet at the start of b takes, 0 when b does not yet hold its whole length field.
func frameLen(b []byte) (int64, error) {
	var n int64
	for i := 1; i < len(b) && i <= 4; i++ {
		n |= int64(b[i]&0x7f) << (7 * (i - 1))
		if b[i]&0x80 == 0 {
			return n + int64(i) + 1, nil
		}
		if i == 4 {
			return 0, errLength
		}
	}
	return 0, nil
}

// publish is a decoded PUBLISH packet; its slices alias the packet.
type publish struct {
	topic, payload []byte
	id             uint16
	qos            byte
	retained, dup  bool
}

// parsePublish decodes a whole PUBLISH packet.
func parsePublish(frame []byte) (publish, error) {
	h := frame[0]
	p := publish{qos: h >> 1 & 3, retained: h&1 != 0, dup: h&8 != 0}
	i := 1
	for frame[i]&0x80 != 0 {
		i++
	}
	body := frame[i+1:]
	if p.qos == 3 || len(body) < 2 {
		return p, errors.New("mqtt: malformed PUBLISH")
	}
	n := int(binary.BigEndian.Uint16(body))
	body = body[2:]
	if len(body) < n {
		return p, errors.New("mqtt: PUBLISH is shorter than its topic")
	}
	p.topic, body = body[:n], body[n:]
	if p.qos > 0 {
		if len(body) < 2 {
			return p, errors.New("mqtt: PUBLISH has no packet identifier")
		}
		p.id, body = binary.BigEndian.Uint16(body), body[2:]
	}
	p.payload = body
	return p, nil
}

// appendAck appends an acknowledgement that is nothing but a packet identifier: PUBACK 0x40, PUBREC 0x50, PUBCOMP 0x70.
func appendAck(dst []byte, header byte, id uint16) []byte {
	return append(dst, header, 2, byte(id>>8), byte(id))
}
