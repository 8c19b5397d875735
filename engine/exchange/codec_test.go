package exchange

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// cut splits a frame into pieces of n bytes, as a network might.
func cut(frame []byte, n int) [][]byte {
	return slices.Collect(slices.Chunk(frame, n))
}

func TestCodecRoundTrip(t *testing.T) {
	rng := newRand(t)
	enc, dec := NewEncoder(wideSchema), NewDecoder(wideSchema)
	dicts := make([]*testDict, 6) // more than slots
	for i := range dicts {
		dicts[i] = newTestDict()
	}
	got := vec.NewBatch(wideSchema)
	for round := range 300 {
		b := vec.NewBatch(wideSchema)
		var d *testDict
		if k := rng.IntN(len(dicts) + 1); k < len(dicts) {
			d = dicts[k]
		}
		fill(b, rng.IntN(100), rng, round%2 == 0, d)
		if rng.IntN(3) == 0 {
			sel := []int{}
			for i := range b.Rows() {
				if rng.IntN(2) == 0 {
					sel = append(sel, i)
				}
			}
			b.SetSel(sel)
		}
		if rng.IntN(2) == 0 {
			for i := range b.EnsureKinds(b.Rows()) {
				b.EnsureKinds(b.Rows())[i] = vec.RowKind(rng.IntN(4))
			}
		}
		el := stream.Element{Kind: stream.KindBatch, Batch: b}
		most := FrameHeaderBytes + enc.SizeMax(el)
		frame, err := enc.Append(BeginFrame(nil), el)
		if err != nil {
			t.Fatal(err)
		}
		if b.Sel() == nil && len(frame) > most {
			t.Fatalf("frame of %d bytes, SizeMax %d", len(frame), most)
		}
		frame, _ = enc.Append(frame, stream.Element{Kind: stream.KindWatermark, Time: int64(round)})
		EndFrame(frame)
		if err := dec.Begin(cut(frame, 1+rng.IntN(200))); err != nil {
			t.Fatal(err)
		}
		got.Reset()
		e, ok, err := dec.Next(func() *vec.Batch { return got })
		if err != nil || !ok {
			t.Fatalf("round %d: ok %v, %v", round, ok, err)
		}
		if want, have := texts(b), texts(e.Batch); !slices.Equal(want, have) {
			t.Fatalf("round %d:\n%q\n%q", round, want, have)
		}
		if d != nil && e.Batch.Len() > 0 && e.Batch.Col(8).Dict() == nil {
			t.Fatal("the dictionary got lost")
		}
		if e, ok, err := dec.Next(nil); err != nil || !ok || e.Time != int64(round) || e.Kind != stream.KindWatermark {
			t.Fatalf("watermark: %+v %v %v", e, ok, err)
		}
		if _, ok, err := dec.Next(nil); ok || err != nil {
			t.Fatalf("after the last element: %v %v", ok, err)
		}
	}
}

func TestCodecKeepsDictionaries(t *testing.T) {
	schema := vec.NewSchema(vec.Field{Name: "dict", Type: vec.TypeString})
	rng := newRand(t)
	enc, dec, d := NewEncoder(schema), NewDecoder(schema), newTestDict()
	for range 1000 {
		d.add("a-rather-long-sensor-name")
	}
	var first, later int
	var kept *vec.Dict
	for i := range 3 {
		b := vec.NewBatch(schema)
		fill(b, 10, rng, false, d)
		frame, err := enc.Append(BeginFrame(nil), stream.Element{Kind: stream.KindBatch, Batch: b})
		if err != nil {
			t.Fatal(err)
		}
		EndFrame(frame)
		if err := dec.Begin([][]byte{frame}); err != nil {
			t.Fatal(err)
		}
		e, _, err := dec.Next(func() *vec.Batch { return vec.NewBatch(schema) })
		if err != nil {
			t.Fatal(err)
		}
		got := e.Batch.Col(0).Dict()
		if i == 0 {
			first, kept = len(frame), got
		} else {
			later = max(later, len(frame))
			if got.ID != kept.ID || got == kept {
				t.Fatal("a grown dictionary keeps its ID and leaves the earlier state alone")
			}
		}
	}
	if later > first/20 {
		t.Errorf("first frame %d bytes, later ones %d: the dictionary was sent again", first, later)
	}
}

func TestCodecSendsLargeDictionariesPlain(t *testing.T) {
	schema := vec.NewSchema(vec.Field{Name: "dict", Type: vec.TypeString})
	enc, dec, d := NewEncoder(schema), NewDecoder(schema), newTestDict()
	for range dictEntriesMax + 1 {
		d.add("x")
	}
	b := vec.NewBatch(schema)
	fill(b, 100, newRand(t), true, d)
	frame, err := enc.Append(BeginFrame(nil), stream.Element{Kind: stream.KindBatch, Batch: b})
	if err != nil {
		t.Fatal(err)
	}
	EndFrame(frame)
	if err := dec.Begin([][]byte{frame}); err != nil {
		t.Fatal(err)
	}
	e, _, err := dec.Next(func() *vec.Batch { return vec.NewBatch(schema) })
	if err != nil {
		t.Fatal(err)
	}
	if e.Batch.Col(0).Dict() != nil || !slices.Equal(texts(b), texts(e.Batch)) {
		t.Fatal("rows differ")
	}
}

func TestCodecControlElements(t *testing.T) {
	schema := vec.NewSchema()
	enc, dec := NewEncoder(schema), NewDecoder(schema)
	want := []stream.Element{
		{Kind: stream.KindWatermark, Time: stream.MinTime},
		{Kind: stream.KindIdle},
		{Kind: stream.KindBarrier, Barrier: stream.Barrier{Epoch: 1 << 40, Savepoint: true}},
		{Kind: stream.KindBarrier, Barrier: stream.Barrier{Epoch: 2, Stop: true}},
		{Kind: stream.KindLatency, Time: 5},
		{Kind: stream.KindEnd},
	}
	frame := BeginFrame(nil)
	for _, e := range want {
		frame, _ = enc.Append(frame, e)
	}
	EndFrame(frame)
	if err := dec.Begin(cut(frame, 3)); err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		e, ok, err := dec.Next(nil)
		if err != nil || !ok || e != w {
			t.Fatalf("%+v, want %+v (%v)", e, w, err)
		}
	}
}

func TestSchemaDigest(t *testing.T) {
	a := vec.NewSchema(vec.Field{Name: "a", Type: vec.TypeInt32})
	b := vec.NewSchema(vec.Field{Name: "a", Type: vec.TypeInt64})
	notNull := vec.TypeInt32
	notNull.NotNull = true
	c := vec.NewSchema(vec.Field{Name: "a", Type: notNull})
	if SchemaDigest(a) == SchemaDigest(b) || SchemaDigest(a) != SchemaDigest(c) {
		t.Fatal("digests do not follow types")
	}
}

// FuzzDecoder feeds two frames to a decoder: it may refuse them, never panic, and never make rows that cannot be read.
func FuzzDecoder(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	enc, d := NewEncoder(wideSchema), newTestDict()
	for i := range 4 {
		b := vec.NewBatch(wideSchema)
		fill(b, 1+3*i, rng, i%2 == 0, d)
		frame, err := enc.Append(BeginFrame(nil), stream.Element{Kind: stream.KindBatch, Batch: b})
		if err != nil {
			f.Fatal(err)
		}
		frame, _ = enc.Append(frame, stream.Element{Kind: stream.KindBarrier, Barrier: stream.Barrier{Epoch: 3}})
		EndFrame(frame)
		f.Add(frame[FrameHeaderBytes:], frame[FrameHeaderBytes:], uint8(i))
	}
	f.Fuzz(func(t *testing.T, one, two []byte, piece uint8) {
		dec := NewDecoder(wideSchema)
		for _, body := range [][]byte{one, two} {
			frame := append(BeginFrame(nil), body...)
			EndFrame(frame)
			if err := dec.Begin(cut(frame, 1+int(piece))); err != nil {
				return
			}
			for {
				e, ok, err := dec.Next(func() *vec.Batch { return vec.NewBatch(wideSchema) })
				if err != nil {
					return
				}
				if !ok {
					break
				}
				if e.Kind == stream.KindBatch {
					again(t, e.Batch)
				}
			}
		}
	})
}

// again encodes what was decoded, and expects the same rows.
func again(t *testing.T, b *vec.Batch) {
	want := texts(b)
	frame, err := NewEncoder(wideSchema).Append(BeginFrame(nil), stream.Element{Kind: stream.KindBatch, Batch: b})
	if err != nil {
		return // children longer than their parents are refused here, not there
	}
	EndFrame(frame)
	dec := NewDecoder(wideSchema)
	if err := dec.Begin([][]byte{frame}); err != nil {
		t.Fatal(err)
	}
	e, _, err := dec.Next(func() *vec.Batch { return vec.NewBatch(wideSchema) })
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(want, texts(e.Batch)) {
		t.Fatal("rows differ")
	}
}

func TestDecoderRefusesOtherVersions(t *testing.T) {
	frame := BeginFrame(nil)
	frame[2]++
	if err := NewDecoder(wideSchema).Begin([][]byte{frame}); err == nil || !bytes.Contains([]byte(err.Error()), []byte("version 2")) {
		t.Fatalf("%v", err)
	}
}
