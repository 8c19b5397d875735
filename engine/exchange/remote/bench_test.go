package remote

import (
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/bramble-stream/bramble/engine/exchange"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// BenchmarkLoopback sends batches of 1,024 rows of 32 bytes over TCP and decodes them; both ends share the machine.
func BenchmarkLoopback(b *testing.B) {
	schema := vec.NewSchema(
		vec.Field{Name: "a", Type: vec.TypeInt64}, vec.Field{Name: "b", Type: vec.TypeInt64},
		vec.Field{Name: "c", Type: vec.TypeFloat64}, vec.Field{Name: "d", Type: vec.TypeTimestamp})
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	g := grpc.NewServer(ServerOptions(Options{})...)
	server := NewServer(g, Options{})
	go func() { _ = g.Serve(lis) }()
	defer g.Stop()
	client, err := Dial(lis.Addr().String(), "tm-1", "tm-2", Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	gate := exchange.NewGate()
	if err := server.Register(key, gate.AddInput(schema)); err != nil {
		b.Fatal(err)
	}
	ch, err := client.Open(b.Context(), key, schema, &exchange.Stopwatch{}, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- drain(gate) }()
	src := vec.NewBatch(schema)
	for i := range vec.MaxRows {
		for c := range schema.Len() {
			vec.AppendValue(src.Col(c), int64(i))
		}
	}
	src.SetRows(vec.MaxRows)
	b.SetBytes(exchange.DataBytes(src))
	b.ReportAllocs()
	for b.Loop() {
		batch := ch.NewBatch()
		batch.AppendBatch(src)
		if err := ch.Send(stream.Element{Kind: stream.KindBatch, Batch: batch}); err != nil {
			b.Fatal(err)
		}
	}
	if err := ch.Send(stream.Element{Kind: stream.KindEnd}); err != nil {
		b.Fatal(err)
	}
	if err := ch.Close(); err != nil {
		b.Fatal(err)
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/vec.MaxRows, "ns/row")
}

// drain receives until the end.
func drain(gate *exchange.Gate) error {
	for {
		in, e, ok, err := gate.TryRecv()
		switch {
		case err != nil:
			return err
		case !ok:
			<-gate.Ready()
		case e.Kind == stream.KindEnd:
			return nil
		case e.Batch != nil:
			gate.Release(in, e.Batch)
		}
	}
}
