package inspect

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

func TestRing(t *testing.T) {
	var r ring
	if got := r.tail(5); len(got) != 0 {
		t.Errorf("nothing: %q", got)
	}
	for i := range 40_000 {
		r.write(fmt.Appendf(nil, "line %d\n", i))
	}
	if got := string(r.tail(2)); got != "line 39998\nline 39999\n" {
		t.Errorf("two lines: %q", got)
	}
	all := string(r.tail(1 << 30))
	if len(all) > logBytesMax || len(all) < logBytesMax-20 || !strings.HasPrefix(all, "line ") {
		t.Errorf("%d bytes, from %q", len(all), all[:20])
	}
	r.write([]byte(strings.Repeat("x", 2*logBytesMax)))
	if got := r.tail(1); len(got) != logBytesMax {
		t.Errorf("a huge line: %d bytes", len(got))
	}
}

func TestWriter(t *testing.T) {
	var to strings.Builder
	if _, err := io.WriteString(Writer(&to), "hello\n"); err != nil || to.String() != "hello\n" {
		t.Errorf("%q, %v", to.String(), err)
	}
	if got, err := Do(t.Context(), Logs, 1); err != nil || string(got) != "hello\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestGoroutines(t *testing.T) {
	got, err := Do(t.Context(), Goroutines, 0)
	if err != nil || !strings.Contains(string(got), "inspect.TestGoroutines(") {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := Do(t.Context(), "secrets", 0); err == nil {
		t.Error("there is something else")
	}
}

// burn works until ctx ends.
func burn(ctx context.Context) (n int) {
	for ctx.Err() == nil {
		for i := range 1000 {
			n += i * i
		}
	}
	return n
}

func find(f *Frame, name string) *Frame {
	if strings.Contains(f.Name, name) {
		return f
	}
	for _, c := range f.Children {
		if found := find(c, name); found != nil {
			return found
		}
	}
	return nil
}

func TestFlame(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() { done <- burn(ctx) }()
	data, err := Do(t.Context(), Profile, 1)
	cancel()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	root, err := Flame(data)
	if err != nil {
		t.Fatal(err)
	}
	if f := find(root, "inspect.burn"); f == nil || f.Value < 50 || f.Value > root.Value || root.Children == nil {
		t.Errorf("no burn in %d ms: %+v", root.Value, f)
	}
	for _, bad := range [][]byte{nil, []byte("no profile"), data[:len(data)/2]} {
		if _, err := Flame(bad); !errors.Is(err, errProfile) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
}

func TestOneProfileAtATime(t *testing.T) {
	profiling.Lock()
	if _, err := Do(t.Context(), Profile, 1); !errors.Is(err, ErrBusy) {
		t.Errorf("a second profile: %v", err)
	}
	profiling.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Do(ctx, Profile, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("for nobody: %v", err)
	}
}

func FuzzFields(f *testing.F) {
	f.Add([]byte{0x12, 0x02, 0x08, 0x01})
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err1 := readSample(data)
		_, err2 := readLocation(data)
		if err1 != nil && !errors.Is(err1, errProfile) || err2 != nil && !errors.Is(err2, errProfile) {
			t.Error(err1, err2)
		}
	})
}

// TestFlameOf: only goroutines with all of the labels count.
func TestFlameOf(t *testing.T) {
	profile := func(labels ...string) []byte {
		table := []string{"", "f"}
		sample := protowire.AppendVarint(protowire.AppendTag(nil, fieldLocationID, protowire.VarintType), 1)
		for _, nanos := range []uint64{1, 5e6} {
			sample = protowire.AppendVarint(protowire.AppendTag(sample, fieldValue, protowire.VarintType), nanos)
		}
		for i := 0; i < len(labels); i += 2 {
			var label []byte
			for f, text := range labels[i : i+2] {
				label = protowire.AppendVarint(protowire.AppendTag(label, protowire.Number(f+1), protowire.VarintType), uint64(len(table)))
				table = append(table, text)
			}
			sample = protowire.AppendBytes(protowire.AppendTag(sample, fieldLabel, protowire.BytesType), label)
		}
		line := protowire.AppendVarint(protowire.AppendTag(nil, fieldID, protowire.VarintType), 1)
		location := protowire.AppendBytes(protowire.AppendTag(slices.Clone(line), fieldLine, protowire.BytesType), line)
		function := protowire.AppendVarint(protowire.AppendTag(slices.Clone(line), fieldName, protowire.VarintType), 1)
		var raw []byte
		for _, part := range []struct {
			field protowire.Number
			data  []byte
		}{{fieldSample, sample}, {fieldLocation, location}, {fieldFunction, function}} {
			raw = protowire.AppendBytes(protowire.AppendTag(raw, part.field, protowire.BytesType), part.data)
		}
		for _, text := range table {
			raw = protowire.AppendString(protowire.AppendTag(raw, fieldString, protowire.BytesType), text)
		}
		var out bytes.Buffer
		zw := gzip.NewWriter(&out)
		if _, err := zw.Write(raw); err != nil || zw.Close() != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	both := map[string]string{LabelJob: "j", LabelVertex: "v"}
	for _, c := range []struct {
		data []byte
		ms   int64
	}{
		{profile(LabelVertex, "v", "other", "x", LabelJob, "j"), 5},
		{profile(LabelVertex, "w", LabelJob, "j"), 0},
		{profile(LabelVertex, "v"), 0},
		{profile(), 0},
	} {
		f, err := FlameOf(c.data, both)
		if err != nil || f.Value != c.ms {
			t.Errorf("%+v, %v, want %d ms", f, err, c.ms)
		}
		all, err := Flame(c.data)
		if err != nil || all.Value != 5 || all.Children[0].Name != "f" {
			t.Errorf("all of it: %+v, %v", all, err)
		}
		all.Add(f)
		if all.Value != 5+c.ms || len(all.Children) != 1 || all.Children[0].Value != 5+c.ms {
			t.Errorf("added: %+v", all)
		}
	}
}
