package redis

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// wire writes lines as a server does; '|' separates them.
func wire(text string) []byte { return []byte(strings.ReplaceAll(text, "|", "\r\n") + "\r\n") }

// show renders answers as stream: id name=value ….
func show(answers []answer) string {
	var b strings.Builder
	for _, a := range answers {
		fmt.Fprintf(&b, "%s:", a.stream)
		for _, e := range a.entries {
			fmt.Fprintf(&b, " %s[%s]", e.id, entryText(e.fields))
		}
		b.WriteString("\n")
	}
	return b.String()
}

var replies = []struct{ name, wire, want string }{
	{"RESP3", "%1|$1|s|*2|*2|$3|1-0|*2|$4|data|$3|a=b|*2|$3|1-1|*4|$1|x|$0||$1|y|$1|2", "s: 1-0[data=a=b] 1-1[x= y=2]\n"},
	{"RESP2", "*2|*2|$1|s|*1|*2|$3|1-0|*2|$1|x|$1|1|*2|$2|tt|*1|*2|$3|2-0|*2|$1|x|$1|2", "s: 1-0[x=1]\ntt: 2-0[x=2]\n"},
	{"a value of two lines", "%1|$1|s|*1|*2|$3|1-0|*2|$1|x|$4|a|b", "s: 1-0[x=a\r\nb]\n"},
	{"deleted, RESP3", "%1|$1|s|*1|*2|$3|1-0|_", "s: 1-0[]\n"},
	{"deleted, RESP2", "*1|*2|$1|s|*1|*2|$3|1-0|*-1", "s: 1-0[]\n"},
	{"no entries", "%1|$1|s|*0", "s:\n"},
	{"nothing, RESP3", "_", ""},
	{"nothing, RESP2", "*-1", ""},
}

func TestReply(t *testing.T) {
	var r reply // used again and again
	for _, c := range replies {
		got, err := r.parse(wire(c.wire))
		if err != nil || show(got) != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, show(got), err, c.want)
		}
	}
}

func TestReplyErrors(t *testing.T) {
	var r reply
	for _, text := range []string{"-NOAUTH Authentication required.", "!31|NOAUTH Authentication required."} {
		_, err := r.parse(wire(text))
		if err == nil || !isFatal(err) || !strings.Contains(explain(err).Error(), "NOAUTH Authentication required.: check the options") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := r.parse(wire("-LOADING Redis is loading")); err == nil || isFatal(err) {
		t.Errorf("loading: %v", err)
	}
	for _, text := range []string{
		"", "+OK", ":1", "%1", "%9", "%1|$1|s", "%1|$9|s|*0", "%1|$1|s|*1|*3|$3|1-0|*0", "%1|$1|s|*1|*2|_|*0", "*1|*1|$1|s", "%x", "%1|$1|s|*1|*2|$3|1-0|*2|$1|x|$99999999999|y",
	} {
		if got, err := r.parse(wire(text)); !errors.Is(err, errReply) && err == nil {
			t.Errorf("%q is taken as %q", text, show(got))
		}
	}
}

// FuzzReply: whatever a server sends, nothing breaks.
func FuzzReply(f *testing.F) {
	for _, c := range replies {
		f.Add(wire(c.wire))
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		var r reply
		if got, err := r.parse(b); err == nil {
			show(got)
		}
	})
}

// BenchmarkReply is an answer of 1,000 entries.
func BenchmarkReply(b *testing.B) {
	var w strings.Builder
	w.WriteString("%1|$8|readings|*1000")
	for i := range 1000 {
		fmt.Fprintf(&w, "|*2|$15|17952895791%02d-0|*2|$4|data|$24|{\"sensor\":\"s0001\",\"n\":1}", i%100)
	}
	text := wire(w.String())
	var r reply
	b.ReportAllocs()
	for b.Loop() {
		if got, err := r.parse(text); err != nil || len(got[0].entries) != 1000 {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds()/1e6, "Mrows/s")
}
