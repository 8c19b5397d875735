package redis

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

// answers of Redis, in RESP2 and RESP3, with what follows cut off.
var wholeAnswers = []string{
	"+OK\r\n", "-ERR no\r\n", ":12\r\n", "$-1\r\n", "*-1\r\n", "_\r\n", "$0\r\n\r\n", "$5\r\na\r\nbc\r\n", "*0\r\n", "%0\r\n",
	"*1\r\n*2\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n*2\r\n$3\r\n2-0\r\n*-1\r\n",
	"%1\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n",
}

func TestWholeAnswers(t *testing.T) {
	for _, text := range wholeAnswers {
		for step := 1; step <= len(text); step++ {
			r := reply{left: 1}
			for n := 0; ; {
				n = min(n+step, len(text))
				r.buf = append(r.buf[:0], text[:n]...)
				whole, err := r.whole()
				if err != nil || whole != (n == len(text)) {
					t.Fatalf("%d bytes of %q in steps of %d: whole %t, %v", n, text, step, whole, err)
				}
				if whole {
					break
				}
			}
			if r.at != len(text) {
				t.Fatalf("%q ends at %d", text, r.at)
			}
		}
	}
}

func TestBrokenAnswers(t *testing.T) {
	for _, text := range []string{"\n", "\r\n", "+OK\n", "$x\r\n", "$\r\n", "*999999999999\r\n", "$99999999999999999999\r\n", "%99999999\r\n*99999999\r\n%99999999\r\n"} {
		r := reply{left: 1, buf: []byte(text)}
		if whole, err := r.whole(); whole || !errors.Is(err, errReply) {
			t.Errorf("%q: whole %t, %v", text, whole, err)
		}
	}
}

func FuzzWhole(f *testing.F) {
	for _, text := range wholeAnswers {
		f.Add([]byte(text), 3)
	}
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		all := reply{left: 1, buf: data}
		want, wantErr := all.whole()
		r := reply{left: 1, buf: data[:min(max(cut, 0), len(data))]}
		if whole, err := r.whole(); !whole && err == nil {
			r.buf = data
			if got, err := r.whole(); got != want || (err == nil) != (wantErr == nil) {
				t.Fatalf("in two parts %t, %v; at once %t, %v", got, err, want, wantErr)
			}
		}
		if want {
			_, _ = all.parse(data[:all.at]) // must not panic
		}
	})
}

func TestAppendCommand(t *testing.T) {
	got, err := appendCommand(nil, []any{"XREAD", "COUNT", 1000, "BLOCK", int64(-7), ""})
	if want := "*6\r\n$5\r\nXREAD\r\n$5\r\nCOUNT\r\n$4\r\n1000\r\n$5\r\nBLOCK\r\n$2\r\n-7\r\n$0\r\n\r\n"; err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := appendCommand(nil, []any{1.5}); err == nil {
		t.Error("a float is a word")
	}
}

// TestLink signs in, reads, and connects anew after the server has gone.
func TestLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		serve := func(answers ...string) net.Conn {
			a, b := net.Pipe()
			go func() {
				defer b.Close()
				buf := make([]byte, 4096)
				for _, answer := range answers {
					n, err := b.Read(buf)
					if err != nil {
						return
					}
					asked = append(asked, strings.ReplaceAll(string(buf[:n]), "\r\n", " "))
					if _, err := b.Write([]byte(answer)); err != nil {
						return
					}
				}
			}()
			return a
		}
		conns := []net.Conn{serve("-WRONGPASS no\r\n"), serve("+OK\r\n", "+OK\r\n", "*1\r\n*2\r\n$1\r\ns\r\n*0\r\n"), serve("+OK\r\n", "+OK\r\n")}
		o := &redis.Options{Addr: "host:1", Username: "me", Password: "pw", DB: 3, MaxRetries: -1}
		o.Dialer = func(context.Context, string, string) (net.Conn, error) {
			c := conns[0]
			conns = conns[1:]
			return c, nil
		}
		l := &link{client: redis.NewClient(o)}
		defer l.client.Close()
		defer l.close()
		var r reply
		var re redis.Error
		if err := l.do(t.Context(), &r, []any{"XREAD"}); !errors.As(err, &re) || !strings.HasPrefix(err.Error(), "WRONGPASS") {
			t.Errorf("a wrong password: %v", err)
		}
		found, err := r.do(t.Context(), l, []any{"XREAD"})
		if err != nil || len(found) != 1 || found[0].stream != "s" {
			t.Errorf("%v, %v", found, err)
		}
		if err := l.do(t.Context(), &r, []any{"XREAD"}); err == nil || l.conn != nil {
			t.Errorf("the server has gone: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.do(ctx, &r, []any{"XREAD"}); err == nil {
			t.Error("a server that has gone has answered")
		}
		if want := "*3 $4 AUTH $2 me $2 pw  *2 $6 SELECT $1 3  *1 $5 XREAD "; !strings.Contains(strings.Join(asked, " "), want) {
			t.Errorf("the server was asked %q", asked)
		}
	})
}
