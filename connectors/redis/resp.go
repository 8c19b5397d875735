package redis

import (
	"bytes"
	"context"
	"errors"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// replyKept is how large a reply's memory may be to be used again: a thousand entries of the usual size take a tenth of it.
const replyKept = 4 << 20

// reply is the answer to one XREAD as bytes, and what is in it. The library's own parser makes a value of each string; here they are slices of the answer, valid
// until the reply is used again.
type reply struct {
	buf []byte
	// While the answer is read, at is behind the values that are there, and left how many are to come.
	at, left int
	rest     []byte
	entries  []entry
	fields   [][]byte
}

// serverError is an error that the server answered with.
type serverError string

var _ redis.Error = serverError("")

func (e serverError) Error() string { return string(e) }

// RedisError marks it as the server's, as opposed to one of the connection.
func (serverError) RedisError() {}

var errReply = errors.New("redis answered XREAD in a form that is not understood")

// do sends a command and reads its answer. Nothing is tried again.
func (r *reply) do(ctx context.Context, l *link, args []any) ([]answer, error) {
	if err := l.do(ctx, r, args); err != nil {
		return nil, err
	}
	return r.parse(r.buf)
}

// parse reads the answer to XREAD: in RESP3 a map from stream to entries, in RESP2 pairs of them; nil when there is nothing.
func (r *reply) parse(b []byte) ([]answer, error) {
	r.rest, r.entries, r.fields = b, r.entries[:0], r.fields[:0]
	if len(b) == 0 {
		return nil, errReply
	}
	switch b[0] {
	case '-':
		_, line, err := r.line()
		return nil, errors.Join(err, serverError(line))
	case '!':
		text, _, err := r.text()
		return nil, errors.Join(err, serverError(text))
	}
	pairs := b[0] == '*'
	n, isNull, err := r.list()
	if err != nil || isNull {
		return nil, err
	}
	var out []answer
	for range n {
		if pairs {
			if err := r.pair(); err != nil {
				return nil, err
			}
		}
		a, err := r.stream()
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// stream reads a name and entries.
func (r *reply) stream() (answer, error) {
	name, isNull, err := r.text()
	if err != nil || isNull {
		return answer{}, errors.Join(err, errReply)
	}
	n, _, err := r.list()
	if err != nil {
		return answer{}, err
	}
	from := len(r.entries)
	for range n {
		e, err := r.entry()
		if err != nil {
			return answer{}, err
		}
		r.entries = append(r.entries, e)
	}
	return answer{stream: string(name), entries: r.entries[from:len(r.entries):len(r.entries)]}, nil
}

// entry reads an id and fields, which are null for a pending entry that has been deleted.
func (r *reply) entry() (entry, error) {
	if err := r.pair(); err != nil {
		return entry{}, err
	}
	id, isNull, err := r.text()
	if err != nil || isNull {
		return entry{}, errors.Join(err, errReply)
	}
	n, _, err := r.list()
	if err != nil {
		return entry{}, err
	}
	from := len(r.fields)
	for range n {
		f, _, err := r.text()
		if err != nil {
			return entry{}, err
		}
		r.fields = append(r.fields, f)
	}
	return entry{id, r.fields[from:len(r.fields):len(r.fields)]}, nil
}

// pair reads the head of a list of two.
func (r *reply) pair() error {
	n, isNull, err := r.list()
	if err != nil || isNull || n != 2 {
		return errors.Join(err, errReply)
	}
	return nil
}

// line reads up to the end of a line: what it is of, and the rest.
func (r *reply) line() (kind byte, rest []byte, err error) {
	end := bytes.IndexByte(r.rest, '\n')
	if end < 2 || r.rest[end-1] != '\r' {
		return 0, nil, errReply
	}
	kind, rest = r.rest[0], r.rest[1:end-1]
	r.rest = r.rest[end+1:]
	return kind, rest, nil
}

// head reads a line that holds a length, or says that there is nothing.
func (r *reply) head() (kind byte, n int, isNull bool, err error) {
	kind, line, err := r.line()
	if err != nil || kind == '_' {
		return kind, 0, true, err
	}
	n, ok := length(line)
	if !ok {
		return kind, 0, false, errReply
	}
	return kind, max(n, 0), n < 0, nil
}

// length is strconv.Atoi for what is nearly always one to three digits.
func length(b []byte) (int, bool) {
	if len(b) > 8 || len(b) == 0 || b[0] == '-' {
		n, err := strconv.Atoi(string(b))
		return n, err == nil
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

// list reads the head of a list or a map and returns its number of elements or pairs. There cannot be more than there are bytes left.
func (r *reply) list() (n int, isNull bool, err error) {
	kind, n, isNull, err := r.head()
	if err != nil || isNull {
		return 0, isNull, err
	}
	if kind != '*' && kind != '%' || n > len(r.rest) {
		return 0, false, errReply
	}
	return n, false, nil
}

// text reads a string.
func (r *reply) text() (text []byte, isNull bool, err error) {
	kind, n, isNull, err := r.head()
	if err != nil || isNull {
		return nil, isNull, err
	}
	if kind != '$' && kind != '!' || n > len(r.rest)-2 {
		return nil, false, errReply
	}
	text, r.rest = r.rest[:n:n], r.rest[n+2:]
	return text, false, nil
}
