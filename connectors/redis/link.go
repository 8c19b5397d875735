package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// link is a connection of a reader's own, for the one command that carries all the load. The library reads an answer value by value, with an allocation for each,
// which is a third of what an entry costs; a link takes it as it comes from the socket. It is for one goroutine, and connects when it is first used.
type link struct {
	client *redis.Client
	conn   net.Conn
	out    []byte
}

const (
	// replyFirst is the room that an answer gets at first: a thousand entries of the usual size take twice that.
	replyFirst = 64 << 10
	// replyMax bounds an answer: a thousand entries of a quarter of a megabyte.
	replyMax = 256 << 20
)

// do sends a command and reads the whole answer into r. After an error the next call connects anew.
func (l *link) do(ctx context.Context, r *reply, args []any) error {
	if err := l.connect(ctx); err != nil {
		return err
	}
	err := l.exchange(ctx, r, args)
	if err != nil {
		l.close()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return err
}

func (l *link) close() {
	if l.conn != nil {
		_ = l.conn.Close() // what was to be read has been, or is lost
		l.conn = nil
	}
}

// connect dials as the library does, with TLS where the address says so, and signs in.
func (l *link) connect(ctx context.Context) error {
	if l.conn != nil {
		return nil
	}
	o := l.client.Options()
	conn, err := o.Dialer(ctx, o.Network, o.Addr)
	if err != nil {
		return err
	}
	l.conn = conn
	if o.Password != "" {
		auth := []any{"AUTH", o.Username, o.Password}
		if o.Username == "" {
			auth = []any{"AUTH", o.Password}
		}
		err = l.ok(ctx, auth)
	}
	if err == nil && o.DB != 0 {
		err = l.ok(ctx, []any{"SELECT", o.DB})
	}
	if err != nil {
		l.close()
	}
	return err
}

// ok sends a command whose answer is an error or of no interest.
func (l *link) ok(ctx context.Context, args []any) error {
	var r reply
	if err := l.exchange(ctx, &r, args); err != nil {
		return err
	}
	if r.buf[0] == '-' {
		return serverError(bytes.TrimRight(r.buf[1:], "\r\n"))
	}
	return nil
}

// exchange does not wait beyond the client's timeouts, nor beyond ctx.
func (l *link) exchange(ctx context.Context, r *reply, args []any) error {
	o := l.client.Options()
	if err := l.conn.SetDeadline(time.Now().Add(max(o.ReadTimeout, o.WriteTimeout))); err != nil {
		return err
	}
	conn := l.conn
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	var err error
	if l.out, err = appendCommand(l.out[:0], args); err != nil {
		return err
	}
	if _, err := l.conn.Write(l.out); err != nil {
		return err
	}
	r.buf, r.at, r.left = r.buf[:0], 0, 1
	for {
		if len(r.buf) == cap(r.buf) {
			if len(r.buf) >= replyMax {
				return fmt.Errorf("an answer of more than %d bytes", replyMax)
			}
			r.buf = slices.Grow(r.buf, max(replyFirst, len(r.buf)))
		}
		n, err := l.conn.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+n]
		if whole, bad := r.whole(); whole || bad != nil {
			return bad
		}
		if err != nil {
			return err
		}
	}
}

// appendCommand writes a command as a list of strings.
func appendCommand(out []byte, args []any) ([]byte, error) {
	head := func(kind byte, n int) { out = append(strconv.AppendInt(append(out, kind), int64(n), 10), "\r\n"...) }
	text := func(s string) {
		head('$', len(s))
		out = append(append(out, s...), "\r\n"...)
	}
	head('*', len(args))
	for _, a := range args {
		switch a := a.(type) {
		case string:
			text(a)
		case int:
			text(strconv.Itoa(a))
		case int64:
			text(strconv.FormatInt(a, 10))
		default:
			return nil, errors.New("a command has a word that is neither text nor a number")
		}
	}
	return out, nil
}

// whole reports whether all of an answer is there, looking only at what has come since the last call. Before the first, at is 0 and left 1.
func (r *reply) whole() (bool, error) {
	for r.left > 0 {
		end := bytes.IndexByte(r.buf[r.at:], '\n')
		if end < 0 {
			return false, nil
		}
		if end < 2 || r.buf[r.at+end-1] != '\r' {
			return false, errReply
		}
		kind, line, next := r.buf[r.at], r.buf[r.at+1:r.at+end-1], r.at+end+1
		n := 0
		switch kind {
		case '$', '!', '=', '*', '~', '>', '%':
			var ok bool
			if n, ok = length(line); !ok || n > replyMax {
				return false, errReply
			}
			n = max(n, -1)
		}
		switch {
		case kind == '$' || kind == '!' || kind == '=':
			if n >= 0 {
				next += n + 2
			}
			if next > len(r.buf) {
				return false, nil
			}
		case kind == '*' || kind == '~' || kind == '>':
			r.left += max(n, 0)
		case kind == '%':
			r.left += 2 * max(n, 0)
		}
		if r.left > replyMax { // every value takes a byte at least
			return false, errReply
		}
		r.at = next
		r.left--
	}
	return true, nil
}
