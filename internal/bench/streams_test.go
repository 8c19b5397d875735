package bench

import (
	"bufio"
	"strings"
	"testing"
	"time"
)

func TestStreamNames(t *testing.T) {
	m := madeStream{count: 10, rate: 3, base: -5}
	if got, err := parseStreamName(streamName(m, 7)); err != nil || got != m {
		t.Errorf("%+v, %v", got, err)
	}
	for _, name := range []string{"", "bench", "bench:1:2:3", "other:1:2:3:4", "bench:-1:0:0:0", "bench:1:x:0:0"} {
		if _, err := parseStreamName(name); err == nil {
			t.Errorf("%q is a name", name)
		}
	}
}

func TestStreamsAnswer(t *testing.T) {
	s := &streamsServer{}
	s.mu.asked = map[string]time.Time{}
	name := streamName(madeStream{count: 3, base: 1000}, 1)
	ask := func(words ...string) string { return string(s.answer(nil, words)) }
	if got := ask("XREVRANGE", name, "+", "-", "COUNT", "1"); !strings.HasPrefix(got, "*1\r\n*2\r\n$3\r\n3-0\r\n*2\r\n$4\r\ndata\r\n$") {
		t.Errorf("the newest entry: %q", got)
	}
	if got := ask("XREAD", "COUNT", "10", "BLOCK", "0", "STREAMS", name, "1-0"); strings.Count(got, `"sensor"`) != 2 || !strings.Contains(got, "\r\n2-0\r\n") ||
		!strings.Contains(got, "\r\n3-0\r\n") {
		t.Errorf("entries behind 1: %q", got)
	}
	if got := ask("xread", "COUNT", "10", "BLOCK", "0", "STREAMS", name, "3-0"); got != "*-1\r\n" {
		t.Errorf("entries behind the last: %q", got)
	}
	for _, bad := range [][]string{nil, {"GET", "x"}, {"XREAD"}, {"XREVRANGE", "x", "+", "-", "COUNT", "1"}, {"XREAD", "COUNT", "x", "BLOCK", "0", "STREAMS", name, "0"}} {
		if got := ask(bad...); !strings.HasPrefix(got, "-ERR ") || strings.Count(got, "\n") != 1 {
			t.Errorf("%q is answered with %q", bad, got)
		}
	}
}

func TestReadCommand(t *testing.T) {
	r := bufio.NewReader(strings.NewReader("*2\r\n$4\r\nPING\r\n$0\r\n\r\n*1\r\n$99999999\r\n"))
	if got, err := readCommand(r); err != nil || len(got) != 2 || got[0] != "PING" || got[1] != "" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := readCommand(r); err == nil {
		t.Error("a word of 99 MB was accepted")
	}
	for _, bad := range []string{"", "PING\r\n", "*-1\r\n", "*1\r\n:3\r\n", "*x\r\n", "*1\r\n$5\r\nab"} {
		if got, err := readCommand(bufio.NewReader(strings.NewReader(bad))); err == nil {
			t.Errorf("%q gave %q", bad, got)
		}
	}
}

func TestExpectation(t *testing.T) {
	e := expect(2)
	if want := (expectation{2, humidity(0) + humidity(1), 0, 0}); humidity(0) < damp && humidity(1) < damp && e != want {
		t.Errorf("%+v, want %+v", e, want)
	}
	e = expect(100_000)
	if share := float64(e.damp) / 100_000; share < 0.48 || share > 0.52 {
		t.Errorf("the filter lets %g through", share)
	}
	j := &streamJobs[1]
	if wrong := j.check(10, sinkSums{Columns: map[string]int64{"readings": 10, "humidity": expect(10).humidity}}); wrong != "" {
		t.Error(wrong)
	}
	if wrong := j.check(10, sinkSums{Columns: map[string]int64{"readings": 9}}); !strings.Contains(wrong, "readings in windows: 9 instead of 10") {
		t.Error(wrong)
	}
}
