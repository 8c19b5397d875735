package remote

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// codecName is the content-subtype of the service.
const codecName = "bramble"

// codec is protobuf's wire format, but for frames, which pass through without a copy.
type codec struct{}

var _ encoding.CodecV2 = codec{}

// gRPC's servers find a codec by the content-subtype of a call, in a registry that is only safe to change here.
func init() { encoding.RegisterCodecV2(codec{}) } //nolint:gochecknoinits // see above

// Name implements encoding.CodecV2.
func (codec) Name() string { return codecName }

// outFrame is an OpenChannelRequest with a frame: buf has framePrefixBytes for putPrefix and then the frame. Sending it gives it away.
type outFrame struct{ buf *[]byte }

// inMessage is an OpenChannelRequest as it came. Whoever received it calls free when done.
type inMessage struct{ data mem.BufferSlice }

func (m *inMessage) free() {
	m.data.Free()
	m.data = nil
}

// Marshal implements encoding.CodecV2.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *outFrame:
		return mem.BufferSlice{mem.NewBuffer(m.buf, frames)}, nil
	case proto.Message:
		b, err := proto.Marshal(m)
		if err != nil {
			return nil, err
		}
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	default:
		return nil, fmt.Errorf("bramble codec: cannot marshal %T", v)
	}
}

// Unmarshal implements encoding.CodecV2.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch m := v.(type) {
	case *inMessage:
		data.Ref()
		m.data = data
		return nil
	case proto.Message:
		return proto.Unmarshal(data.Materialize(), m)
	default:
		return fmt.Errorf("bramble codec: cannot unmarshal into %T", v)
	}
}

// framePrefixBytes is the length of what stands before a frame in a message: the field's tag and length as varints of fixed
// width, which protobuf allows, so that the frame is aligned and its length can be filled in at the end.
const framePrefixBytes = 8

// putPrefix makes buf, framePrefixBytes and a frame, an OpenChannelRequest.
func putPrefix(buf []byte) {
	n := uint32(len(buf) - framePrefixBytes)
	buf[0], buf[1], buf[2] = 0x92, 0x80, 0x00 // field 2, length-delimited
	for i := 3; i < 7; i++ {
		buf[i] = byte(n) | 0x80
		n >>= 7
	}
	buf[7] = byte(n)
}

// pieces appends the frame's bytes in a message to dst. It takes any encoding of the field that protobuf does, alone in its message.
func (m *inMessage) pieces(dst [][]byte) ([][]byte, error) {
	var head [16]byte
	n := 0
	for _, b := range m.data {
		n += copy(head[n:], b.ReadOnlyData())
		if n == len(head) {
			break
		}
	}
	tag, t := binary.Uvarint(head[:n])
	if t <= 0 || tag != 0x12 {
		return nil, fmt.Errorf("a message that is no frame")
	}
	size, s := binary.Uvarint(head[t:n])
	skip := t + s
	if s <= 0 || size != uint64(m.data.Len()-skip) {
		return nil, fmt.Errorf("a frame of the wrong length")
	}
	for _, b := range m.data {
		p := b.ReadOnlyData()
		k := min(skip, len(p))
		skip -= k
		if k < len(p) {
			dst = append(dst, p[k:])
		}
	}
	return dst, nil
}

// frames recycles the buffers of frames by powers of two. gRPC's own pools clear what they hand out, a quarter of the cost of a frame.
var frames = &bufferPool{}

const poolShiftMin, poolShiftMax = 12, 22

type bufferPool struct {
	classes [poolShiftMax - poolShiftMin + 1]sync.Pool
}

var _ mem.BufferPool = (*bufferPool)(nil)

// Get implements mem.BufferPool.
func (p *bufferPool) Get(n int) *[]byte {
	shift := max(bits.Len(uint(max(n, 1)-1)), poolShiftMin)
	if shift > poolShiftMax {
		b := make([]byte, n)
		return &b
	}
	if b, ok := p.classes[shift-poolShiftMin].Get().(*[]byte); ok {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n, 1<<shift)
	return &b
}

// Put implements mem.BufferPool.
func (p *bufferPool) Put(b *[]byte) {
	c := cap(*b)
	if c < 1<<poolShiftMin || c > 1<<poolShiftMax || c&(c-1) != 0 {
		return
	}
	p.classes[bits.Len(uint(c))-1-poolShiftMin].Put(b)
}
