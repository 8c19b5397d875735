package exchange

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"

	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// The encoding of elements. All integers are little-endian; everything begins at a multiple of 8 from the frame's start.
//
//	frame    magic "Br", version u8, zero u8, length u32 of all elements, elements
//	element  kind u8, flags u8, zero u16, length u32 of the body, body
//	body     watermark, latency: time i64; barrier: epoch u64, flags u64; idle, end: empty; batch:
//	batch    rows u32, flags u32 (1: kinds), [a byte a row, padded], columns
//	column   encoding u8 (0 plain, 1 dictionary), validity u8 (0, 1), slot u8, zero u8, length u32 of its bytes (STRING, BYTES),
//	         [validity words], then by kind
//	           fixed width   values, padded
//	           BOOLEAN       words
//	           STRING, BYTES rows+1 offsets u32 from 0, padded; the bytes, padded
//	           ROW           a column for each field
//	           ARRAY, MAP    rows+1 offsets u32 from 0, padded; a column for each child, of as many rows as the last offset says
//	           dictionary    first u32, added u32, length u32 of the added bytes, flags u32 (1: the slot begins anew); the added
//	                         entries' lengths u32, padded; their bytes, padded; codes u32, padded
//
// The schema is agreed when the channel is opened (SchemaDigest). A dictionary is sent once and then only its growth; each top-level
// STRING column has dictSlots of them, so that a few sources with their own dictionaries do not evict each other.
const (
	// CodecVersion is the version of this encoding.
	CodecVersion = 1
	// FrameHeaderBytes is the length of a frame's header.
	FrameHeaderBytes   = 8
	elementHeaderBytes = 8

	dictSlots = 4
	// A dictionary beyond these is sent as plain strings: they bound what a stream makes its receiver keep, to
	// dictSlots * 320 KiB a column.
	dictEntriesMax = 1 << 14
	dictBytesMax   = 1 << 18

	encPlain, encDict = 0, 1

	batchHasKinds      = 1
	dictAnew           = 1
	barrierSavepoint   = 1
	barrierStop        = 2
	barrierDrain       = 4
	barrierFlags       = barrierSavepoint | barrierStop | barrierDrain
	batchHeaderBytes   = 8
	columnHeaderBytes  = 8
	dictHeaderBytes    = 16
	frameMagic0        = 'B'
	frameMagic1        = 'r'
	errCorrupt         = codecError("exchange: corrupt frame")
	errDictionaryState = codecError("exchange: corrupt frame: dictionary out of step")
)

type codecError string

func (e codecError) Error() string { return string(e) }

// SchemaDigest tells schemas apart, so that two ends that disagree refuse each other.
func SchemaDigest(s *vec.Schema) uint64 {
	h := fnv.New64a()
	for _, f := range s.Fields {
		t := f.Type.Nullable()
		_, _ = fmt.Fprintf(h, "%q %s;", f.Name, t)
	}
	return h.Sum64()
}

func pad8(n int) int { return (n + 7) &^ 7 }

func words(n int) int { return (n + 63) >> 6 }

// DataBytes is how many bytes a batch's buffers carry, selected or not, without dictionaries.
func DataBytes(b *vec.Batch) int64 {
	n := int64(len(b.Kinds()))
	for _, c := range b.Cols() {
		n += dataBytes(c)
	}
	return n
}

func dataBytes(c *vec.Col) int64 {
	buf := c.Buffers()
	n := int64(len(buf.Data)) + 4*int64(len(buf.Offsets)) + 8*int64(len(buf.Valid))
	for i := range c.Type().Fields {
		n += dataBytes(c.Kid(i))
	}
	return n
}

// Encoder turns the elements of one channel into frames. It remembers what dictionaries the receiver has.
type Encoder struct {
	schema  *vec.Schema
	dicts   []sentDicts
	compact *vec.Batch
}

// sentDicts are the dictionaries that the receiver keeps for a column.
type sentDicts struct {
	slots [dictSlots]sentDict
	next  int
}

type sentDict struct {
	id   uint64
	used bool
	sent int
}

// NewEncoder returns an encoder for batches of the schema.
func NewEncoder(schema *vec.Schema) *Encoder {
	return &Encoder{schema: schema, dicts: make([]sentDicts, schema.Len()), compact: vec.NewBatch(schema)}
}

// BeginFrame appends the header of a frame to dst, which is empty.
func BeginFrame(dst []byte) []byte {
	return append(dst, frameMagic0, frameMagic1, CodecVersion, 0, 0, 0, 0, 0)
}

// EndFrame completes the header of a frame.
func EndFrame(frame []byte) {
	binary.LittleEndian.PutUint32(frame[4:], uint32(len(frame)-FrameHeaderBytes))
}

// SizeMax is an upper bound of what Append appends for the element, whose batch has no selection.
func (e *Encoder) SizeMax(el stream.Element) int {
	switch el.Kind {
	case stream.KindBatch:
		n := elementHeaderBytes + batchHeaderBytes + pad8(len(el.Batch.Kinds()))
		for i, c := range el.Batch.Cols() {
			n += e.sizeMax(c, i)
		}
		return n
	case stream.KindWatermark, stream.KindLatency:
		return elementHeaderBytes + 8
	case stream.KindBarrier:
		return elementHeaderBytes + 16
	case stream.KindIdle, stream.KindEnd:
		return elementHeaderBytes
	}
	return 0
}

// sizeMax bounds what a column takes; top is its index in the batch, or -1 below another one.
func (e *Encoder) sizeMax(c *vec.Col, top int) int {
	buf := c.Buffers()
	n := columnHeaderBytes + pad8(len(buf.Data)) + pad8(4*len(buf.Offsets)) + 8*len(buf.Valid)
	switch d := c.Dict(); {
	case d == nil:
	case top >= 0 && keeps(d):
		n += dictHeaderBytes + 8
		first := 0
		for _, s := range e.dicts[top].slots {
			if s.used && s.id == d.ID {
				first = min(s.sent, d.Len())
			}
		}
		if d.Len() > first {
			n += pad8(4*(d.Len()-first)) + pad8(int(d.Offsets[d.Len()]-d.Offsets[first]))
		}
	default:
		n = columnHeaderBytes + 8*len(buf.Valid) + pad8(4*(c.Len()+1)) + 8
		for i := range c.Len() {
			if !c.IsNull(i) {
				n += len(c.Bytes(i))
			}
		}
	}
	for i := range c.Type().Fields {
		n += e.sizeMax(c.Kid(i), -1)
	}
	return n
}

// keeps says whether a dictionary is small enough to be kept by the receiver.
func keeps(d *vec.Dict) bool {
	return d.Len() <= dictEntriesMax && dictLen(d) <= dictBytesMax
}

func dictLen(d *vec.Dict) int {
	if d.Len() == 0 {
		return 0
	}
	return int(d.Offsets[d.Len()] - d.Offsets[0])
}

// Append appends the element to a frame. An error means that the batch does not fit the schema, a fault of the operator that made it.
func (e *Encoder) Append(dst []byte, el stream.Element) ([]byte, error) {
	at := len(dst)
	dst = append(dst, byte(el.Kind), 0, 0, 0, 0, 0, 0, 0)
	switch el.Kind {
	case stream.KindBatch:
		var err error
		if dst, err = e.appendBatch(dst, el.Batch); err != nil {
			return nil, err
		}
	case stream.KindWatermark, stream.KindLatency:
		dst = binary.LittleEndian.AppendUint64(dst, uint64(el.Time))
	case stream.KindBarrier:
		var flags uint64
		if el.Barrier.Savepoint {
			flags |= barrierSavepoint
		}
		if el.Barrier.Stop {
			flags |= barrierStop
		}
		if el.Barrier.Drain {
			flags |= barrierDrain
		}
		dst = binary.LittleEndian.AppendUint64(dst, uint64(el.Barrier.Epoch))
		dst = binary.LittleEndian.AppendUint64(dst, flags)
	case stream.KindIdle, stream.KindEnd:
	}
	binary.LittleEndian.PutUint32(dst[at+4:], uint32(len(dst)-at-elementHeaderBytes))
	return dst, nil
}

func (e *Encoder) appendBatch(dst []byte, b *vec.Batch) ([]byte, error) {
	if b.Width() != e.schema.Len() {
		return nil, fmt.Errorf("a batch of %d columns on a channel of %s", b.Width(), e.schema)
	}
	if b.Sel() != nil || !compactCols(b.Cols()) {
		e.compact.Reset()
		e.compact.AppendBatch(b)
		b = e.compact
	}
	n, kinds := b.Rows(), b.Kinds()
	if n > vec.MaxRows || kinds != nil && len(kinds) < n {
		return nil, fmt.Errorf("a batch of %d rows, of at most %d, with %d row kinds", n, vec.MaxRows, len(kinds))
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
	if kinds != nil {
		dst = binary.LittleEndian.AppendUint32(dst, batchHasKinds)
		dst = appendPadded(dst, vec.BytesOf(kinds[:n]))
	} else {
		dst = binary.LittleEndian.AppendUint32(dst, 0)
	}
	for i, c := range b.Cols() {
		if c.Len() != n || c.Kind() != e.schema.Fields[i].Type.Kind {
			return nil, fmt.Errorf("column %q has %d rows of %s in a batch of %d rows on a channel of %s",
				e.schema.Fields[i].Name, c.Len(), c.Kind(), n, e.schema)
		}
		dst = e.appendCol(dst, c, i)
	}
	return dst, nil
}

// compactCols says whether the children of nested columns begin and end where the offsets do.
func compactCols(cols []*vec.Col) bool {
	for _, c := range cols {
		if c.Kind().IsNested() && !compactNested(c) {
			return false
		}
	}
	return true
}

func compactNested(c *vec.Col) bool {
	rows := c.Len()
	if off := c.Buffers().Offsets; off != nil {
		if off[0] != 0 {
			return false
		}
		rows = int(off[len(off)-1])
	}
	for i := range c.Type().Fields {
		kid := c.Kid(i)
		if kid.Len() != rows || kid.Kind().IsNested() && !compactNested(kid) {
			return false
		}
	}
	return true
}

// appendCol appends a column; top is its index in the batch, or -1 below another one.
func (e *Encoder) appendCol(dst []byte, c *vec.Col, top int) []byte {
	n, buf := c.Len(), c.Buffers()
	at := len(dst)
	dst = append(dst, encPlain, 0, 0, 0, 0, 0, 0, 0)
	if buf.Valid != nil {
		dst[at+1] = 1
		dst = append(dst, vec.BytesOf(buf.Valid[:words(n)])...)
	}
	switch k := c.Kind(); {
	case k.IsBinaryLike():
		switch {
		case c.Dict() == nil:
			dst = appendStrings(dst, at, buf)
		case top >= 0 && keeps(c.Dict()):
			dst = e.appendDict(dst, at, c, &e.dicts[top])
		default:
			dst = appendDecoded(dst, at, c)
		}
	case k == vec.Array || k == vec.Map:
		dst = appendPadded(dst, vec.BytesOf(buf.Offsets))
	default:
		dst = appendPadded(dst, buf.Data)
	}
	for i := range c.Type().Fields {
		dst = e.appendCol(dst, c.Kid(i), -1)
	}
	return dst
}

func appendPadded(dst, b []byte) []byte {
	dst = append(dst, b...)
	return append(dst, make([]byte, pad8(len(b))-len(b))...)
}

// appendStrings appends a plain column whose header is at at.
func appendStrings(dst []byte, at int, buf vec.Buffers) []byte {
	first, last := buf.Offsets[0], buf.Offsets[len(buf.Offsets)-1]
	binary.LittleEndian.PutUint32(dst[at+4:], uint32(last-first))
	if first == 0 {
		dst = append(dst, vec.BytesOf(buf.Offsets)...)
	} else {
		for _, o := range buf.Offsets {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(o-first))
		}
	}
	if len(buf.Offsets)%2 != 0 {
		dst = append(dst, 0, 0, 0, 0)
	}
	return appendPadded(dst, buf.Data[first:last])
}

// appendDecoded appends a dictionary-encoded column as a plain one.
func appendDecoded(dst []byte, at int, c *vec.Col) []byte {
	n := c.Len()
	off := len(dst)
	dst = append(dst, make([]byte, pad8(4*(n+1)))...)
	base := len(dst)
	for i := range n {
		if !c.IsNull(i) {
			dst = append(dst, c.Bytes(i)...)
		}
		binary.LittleEndian.PutUint32(dst[off+4*(i+1):], uint32(len(dst)-base))
	}
	size := len(dst) - base
	binary.LittleEndian.PutUint32(dst[at+4:], uint32(size))
	return append(dst, make([]byte, pad8(size)-size)...)
}

// appendDict appends a dictionary-encoded column with what the receiver does not have of its dictionary.
func (e *Encoder) appendDict(dst []byte, at int, c *vec.Col, sent *sentDicts) []byte {
	d := c.Dict()
	slot, anew := sent.slotOf(d.ID), uint32(0)
	s := &sent.slots[slot]
	if !s.used || s.id != d.ID {
		*s, anew = sentDict{id: d.ID, used: true}, dictAnew
	}
	dst[at], dst[at+2] = encDict, byte(slot)
	first := s.sent
	// A batch may hold an older, shorter state of a dictionary than an earlier one did.
	s.sent = max(first, d.Len())
	var size int
	if s.sent > first {
		size = int(d.Offsets[s.sent] - d.Offsets[first])
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(first))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(s.sent-first))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(size))
	dst = binary.LittleEndian.AppendUint32(dst, anew)
	for i := first; i < s.sent; i++ {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(d.Offsets[i+1]-d.Offsets[i]))
	}
	if (s.sent-first)%2 != 0 {
		dst = append(dst, 0, 0, 0, 0)
	}
	if size > 0 {
		dst = appendPadded(dst, d.Data[d.Offsets[first]:d.Offsets[s.sent]])
	}
	return appendPadded(dst, vec.BytesOf(c.Codes()))
}

// slotOf returns the slot of a dictionary, or the one that it is to take.
func (s *sentDicts) slotOf(id uint64) int {
	for i := range s.slots {
		if s.slots[i].used && s.slots[i].id == id {
			return i
		}
	}
	i := s.next
	s.next = (s.next + 1) % dictSlots
	return i
}
