package micro

import (
	"fmt"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/exchange"
	"github.com/bramble-stream/bramble/engine/exchange/remote"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// messages are readings of 1,000 sensors as they come over MQTT, some 95 bytes each.
func messages(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = fmt.Appendf(nil, `{"sensor":"s%04d","ts":%d,"temp":%d.%02d,"hum":%d,"loc":"plant-07/line-03/cell-12/u1"}`,
			i*7919%1000, 1795289579123+int64(i), 15+i%20, i%100, 30+i%40)
	}
	return out
}

// BenchmarkJSON decodes small messages into columns.
func BenchmarkJSON(b *testing.B) {
	d, err := format.NewDecoder(&graph.TableSpec{Name: "readings", Schema: schema, Options: map[string]string{"format": "json"}})
	if err != nil {
		b.Fatal(err)
	}
	batch, msgs := vec.NewBatch(schema), messages(8*vec.MaxRows)
	size := 0
	for _, m := range msgs {
		size += len(m)
	}
	at := 0
	step := func() {
		batch.Reset()
		d.Begin(batch)
		for range vec.MaxRows {
			if _, err := d.Decode(msgs[at%len(msgs)]); err != nil {
				b.Fatal(err)
			}
			at++
		}
		d.Finish()
	}
	for range 16 {
		step()
	}
	b.ReportAllocs()
	b.SetBytes(int64(size / len(msgs) * vec.MaxRows))
	at = 0
	m := start()
	for b.Loop() {
		step()
	}
	m.report(b, int64(at))
}

// BenchmarkExchange hands rows from one goroutine to another, to one task by hash of the sensor: in process, and over gRPC on loopback.
func BenchmarkExchange(b *testing.B) {
	b.Run("in-process", func(b *testing.B) {
		encodings(b, func(b *testing.B, dict bool) {
			gate := exchange.NewGate()
			transfer(b, newLoad(1000, dict), gate, exchange.NewLocal(b.Context(), gate.AddInput(schema), &exchange.Stopwatch{}, time.Now))
		})
	})
	b.Run("loopback", func(b *testing.B) {
		encodings(b, func(b *testing.B, dict bool) {
			gate := exchange.NewGate()
			transfer(b, newLoad(1000, dict), gate, loopback(b, gate))
		})
	})
}

// loopback connects to the gate over gRPC.
func loopback(b *testing.B, gate *exchange.Gate) exchange.Channel {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	g := grpc.NewServer(remote.ServerOptions(remote.Options{})...)
	server := remote.NewServer(g, remote.Options{})
	go func() { _ = g.Serve(listener) }() // until Stop
	b.Cleanup(g.Stop)
	client, err := remote.Dial(listener.Addr().String(), "tm-1", "tm-2", remote.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() }) // all was received
	key := remote.Key{}
	if err := server.Register(key, gate.AddInput(schema)); err != nil {
		b.Fatal(err)
	}
	ch, err := client.Open(b.Context(), key, schema, &exchange.Stopwatch{}, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	return ch
}

func transfer(b *testing.B, l *load, gate *exchange.Gate, ch exchange.Channel) {
	b.Helper()
	w, err := exchange.NewWriter(exchange.WriterConfig{
		Partition: graph.Hash, Keys: []int{colSensor}, MaxParallelism: 128, Channels: []exchange.Channel{ch}, Stats: &exchange.Stats{},
	})
	if err != nil {
		b.Fatal(err)
	}
	l.read(schema)
	received := make(chan int64, 1)
	go func() { received <- receive(gate) }()
	b.ReportAllocs()
	m := start()
	for b.Loop() {
		if err := w.Emit(l.next()); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.End(); err != nil {
		b.Fatal(err)
	}
	if rows := <-received; rows != l.rows {
		b.Fatalf("%d rows came of %d", rows, l.rows)
	}
	m.report(b, l.rows)
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}

// receive counts rows until the end, or until the channel breaks.
func receive(gate *exchange.Gate) (rows int64) {
	for {
		in, e, ok, err := gate.TryRecv()
		switch {
		case err != nil || e.Kind == stream.KindEnd:
			return rows
		case !ok:
			<-gate.Ready()
		case e.Batch != nil:
			rows += int64(e.Batch.Len())
			gate.Release(in, e.Batch)
		}
	}
}
