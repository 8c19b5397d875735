package exchange

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// Decoder turns frames of one channel back into elements. Frames come from outside: every length is checked before it is used, and
// before memory is taken for it. After an error the channel is broken.
type Decoder struct {
	schema *vec.Schema
	dicts  [][dictSlots]*vec.Dict
	r      reader
	// lengths is scratch for the lengths of added dictionary entries.
	lengths []uint32
}

// NewDecoder returns a decoder for batches of the schema.
func NewDecoder(schema *vec.Schema) *Decoder {
	return &Decoder{schema: schema, dicts: make([][dictSlots]*vec.Dict, schema.Len())}
}

// reader reads from a sequence of byte slices, as they come from the network, without joining them first.
type reader struct {
	segs [][]byte
	at   int // in segs[0]
	left int
}

func (r *reader) reset(segs [][]byte) {
	r.segs, r.at, r.left = segs, 0, 0
	for _, s := range segs {
		r.left += len(s)
	}
}

// copyTo fills dst; the caller has checked that enough is left.
func (r *reader) copyTo(dst []byte) {
	r.left -= len(dst)
	for len(dst) > 0 {
		n := copy(dst, r.segs[0][r.at:])
		dst = dst[n:]
		if r.at += n; r.at == len(r.segs[0]) {
			r.segs, r.at = r.segs[1:], 0
		}
	}
}

// skip passes over n bytes, of which enough are left.
func (r *reader) skip(n int) {
	r.left -= n
	for n > 0 {
		k := min(n, len(r.segs[0])-r.at)
		n -= k
		if r.at += k; r.at == len(r.segs[0]) {
			r.segs, r.at = r.segs[1:], 0
		}
	}
}

// take fills dst and passes over the padding after it, if all of that is left.
func (r *reader) take(dst []byte) bool {
	p := pad8(len(dst))
	if r.left < p {
		return false
	}
	r.copyTo(dst)
	r.skip(p - len(dst))
	return true
}

// Begin takes the next frame, in pieces that must not change until Next has returned all its elements.
func (d *Decoder) Begin(segs [][]byte) error {
	d.r.reset(segs)
	var h [FrameHeaderBytes]byte
	if d.r.left < len(h) {
		return errCorrupt
	}
	d.r.copyTo(h[:])
	if h[0] != frameMagic0 || h[1] != frameMagic1 {
		return errCorrupt
	}
	if h[2] != CodecVersion {
		return fmt.Errorf("exchange: frame of version %d, this side reads %d: all taskmanagers of a job need the same release", h[2], CodecVersion)
	}
	if n := int64(binary.LittleEndian.Uint32(h[4:])); n != int64(d.r.left) {
		return errCorrupt
	}
	return nil
}

// Next returns the next element of the frame; ok is false when there is none. Batches are made by newBatch (empty, of the schema).
func (d *Decoder) Next(newBatch func() *vec.Batch) (e stream.Element, ok bool, err error) {
	if d.r.left == 0 {
		return e, false, nil
	}
	var h [elementHeaderBytes]byte
	if d.r.left < len(h) {
		return e, false, errCorrupt
	}
	d.r.copyTo(h[:])
	size := int64(binary.LittleEndian.Uint32(h[4:]))
	if size > int64(d.r.left) {
		return e, false, errCorrupt
	}
	rest := d.r.left - int(size)
	e.Kind = stream.Kind(h[0])
	switch e.Kind {
	case stream.KindBatch:
		e.Batch, err = d.batch(newBatch)
	case stream.KindWatermark, stream.KindLatency:
		var b [8]byte
		if d.r.take(b[:]) {
			e.Time = int64(binary.LittleEndian.Uint64(b[:]))
		}
	case stream.KindBarrier:
		var b [16]byte
		if d.r.take(b[:]) {
			flags := binary.LittleEndian.Uint64(b[8:])
			if flags&^barrierFlags != 0 {
				return e, false, errCorrupt
			}
			e.Barrier = stream.Barrier{
				Epoch:     stream.Epoch(binary.LittleEndian.Uint64(b[:])),
				Savepoint: flags&barrierSavepoint != 0, Stop: flags&barrierStop != 0, Drain: flags&barrierDrain != 0,
			}
		}
	case stream.KindIdle, stream.KindEnd:
	default:
		return e, false, errCorrupt
	}
	if err == nil && d.r.left != rest {
		err = errCorrupt
	}
	if err != nil {
		return stream.Element{}, false, err
	}
	return e, true, nil
}

func (d *Decoder) batch(newBatch func() *vec.Batch) (*vec.Batch, error) {
	var h [batchHeaderBytes]byte
	if !d.r.take(h[:]) {
		return nil, errCorrupt
	}
	rows, flags := binary.LittleEndian.Uint32(h[:]), binary.LittleEndian.Uint32(h[4:])
	if rows > vec.MaxRows || flags&^batchHasKinds != 0 {
		return nil, errCorrupt
	}
	n := int(rows)
	b := newBatch()
	if flags&batchHasKinds != 0 {
		if d.r.left < n {
			return nil, errCorrupt
		}
		kinds := b.EnsureKinds(n)
		if !d.r.take(vec.BytesOf(kinds)) {
			return nil, errCorrupt
		}
		for _, k := range kinds {
			if k > vec.Delete {
				return nil, errCorrupt
			}
		}
	}
	for i, c := range b.Cols() {
		if err := d.col(c, n, i); err != nil {
			return nil, err
		}
	}
	b.SetRows(n)
	return b, nil
}

// col decodes a column of n rows; top is its index in the batch, or -1 below another one.
func (d *Decoder) col(c *vec.Col, n, top int) error {
	var h [columnHeaderBytes]byte
	if !d.r.take(h[:]) {
		return errCorrupt
	}
	nullable, size := h[1] == 1, int64(binary.LittleEndian.Uint32(h[4:]))
	if h[0] > encDict || h[1] > 1 || h[0] == encDict && (top < 0 || c.Kind() != vec.String && c.Kind() != vec.Bytes) {
		return errCorrupt
	}
	if size > int64(d.r.left) || nullable && 8*words(n) > d.r.left || !d.fits(c.Kind(), h[0], n) {
		return errCorrupt
	}
	if h[0] == encDict {
		return d.dictCol(c, n, top, int(h[2]), nullable)
	}
	buf := c.Load(n, int(size), nullable, nil)
	if nullable && !d.r.take(vec.BytesOf(buf.Valid)) {
		return errCorrupt
	}
	if buf.Offsets != nil {
		if !d.r.take(vec.BytesOf(buf.Offsets)) || !ascend(buf.Offsets) {
			return errCorrupt
		}
	}
	switch k := c.Kind(); {
	case k.IsBinaryLike():
		if int64(buf.Offsets[n]) != size {
			return errCorrupt
		}
	case k == vec.Array || k == vec.Map:
		n = int(buf.Offsets[n])
	}
	if !d.r.take(buf.Data) {
		return errCorrupt
	}
	for i := range c.Type().Fields {
		if err := d.col(c.Kid(i), n, -1); err != nil {
			return err
		}
	}
	return nil
}

// fits says whether n rows of the kind can be in what is left, so that no memory is taken for a lie.
func (d *Decoder) fits(k vec.Kind, enc byte, n int) bool {
	per := int64(k.Width())
	if k.IsBinaryLike() || enc == encDict || k == vec.Array || k == vec.Map {
		per = 4
	}
	if k == vec.Bool {
		return int64(words(n))*8 <= int64(d.r.left)
	}
	return per*int64(n) <= int64(d.r.left)
}

// ascend says whether offsets begin at 0 and never go back.
func ascend(off []int32) bool {
	last := int32(0)
	ok := off[0] == 0
	for _, o := range off {
		ok = ok && o >= last
		last = o
	}
	return ok
}

func (d *Decoder) dictCol(c *vec.Col, n, top, slot int, nullable bool) error {
	if slot >= dictSlots {
		return errCorrupt
	}
	// The dictionary comes after the validity, and is needed before the column can be loaded.
	var valid vec.Bitmap
	if nullable {
		// Loaded here first: AppendNull and the like are not needed for a column of codes.
		valid = c.Load(n, 0, true, emptyDict).Valid
		if !d.r.take(vec.BytesOf(valid)) {
			return errCorrupt
		}
	} else {
		c.Load(n, 0, false, emptyDict)
	}
	dict, err := d.dict(top, slot)
	if err != nil {
		return err
	}
	c.ExtendDict(dict)
	codes := c.Codes()
	if !d.r.take(vec.BytesOf(codes)) {
		return errCorrupt
	}
	size := uint32(dict.Len())
	for i, code := range codes {
		if uint32(code) < size {
			continue
		}
		if valid == nil || valid.Get(i) {
			return errCorrupt
		}
		codes[i] = 0 // under a NULL anything may stand; a consumer that caches by code must not trip over it
	}
	return nil
}

var emptyDict = &vec.Dict{Offsets: []int32{0}}

// dict reads the growth of a dictionary and returns its present state. Earlier states stay as they are: batches hold them.
func (d *Decoder) dict(top, slot int) (*vec.Dict, error) {
	var h [dictHeaderBytes]byte
	if !d.r.take(h[:]) {
		return nil, errCorrupt
	}
	first, added := binary.LittleEndian.Uint32(h[:]), binary.LittleEndian.Uint32(h[4:])
	size, flags := binary.LittleEndian.Uint32(h[8:]), binary.LittleEndian.Uint32(h[12:])
	if added > dictEntriesMax || size > dictBytesMax || flags&^dictAnew != 0 ||
		int(added)*4 > d.r.left || int(size) > d.r.left {
		return nil, errCorrupt
	}
	old := d.dicts[top][slot]
	if flags == dictAnew {
		old = &vec.Dict{ID: vec.NewDictID(), Offsets: []int32{0}}
		d.dicts[top][slot] = old
	}
	if old == nil || int64(old.Len()) != int64(first) {
		return nil, errDictionaryState
	}
	if added == 0 {
		if size != 0 {
			return nil, errCorrupt
		}
		return old, nil
	}
	if old.Len()+int(added) > dictEntriesMax || len(old.Data)+int(size) > dictBytesMax {
		return nil, errCorrupt
	}
	d.lengths = slices.Grow(d.lengths[:0], int(added))[:added]
	if !d.r.take(vec.BytesOf(d.lengths)) {
		return nil, errCorrupt
	}
	grown := &vec.Dict{ID: old.ID, Offsets: old.Offsets, Data: old.Data}
	at := len(old.Data)
	grown.Data = slices.Grow(grown.Data, int(size))[:at+int(size)]
	if !d.r.take(grown.Data[at:]) {
		return nil, errCorrupt
	}
	end := int64(at)
	for _, n := range d.lengths {
		if end += int64(n); end > int64(len(grown.Data)) {
			return nil, errCorrupt
		}
		grown.Offsets = append(grown.Offsets, int32(end))
	}
	if end != int64(len(grown.Data)) {
		return nil, errCorrupt
	}
	d.dicts[top][slot] = grown
	return grown, nil
}
