package filesystem

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// source reads files one after another, on the task's goroutine: a disk does not keep it waiting as a network would.
type source struct {
	table  *graph.TableSpec
	ctx    *op.Context
	dec    format.Decoder
	refuse *format.Refuser
	split  func(data []byte, atEOF bool) (advance int, record []byte)
	// blank lines are no records of json: a file may end with one.
	skipBlank bool
	skipLines int64
	monitor   time.Duration
	consts    []constant

	parts []*part
	// cur is the file being read, of part at; nil between files.
	cur     *lines
	at      int
	buf     []byte
	timer   *time.Timer
	pending int64 // lines still to leave out at the beginning of cur
}

// part is a split: a file, or a task's share of a monitored directory.
type part struct {
	id    string
	pos   position
	ended bool
	watch *watch
}

// position is how far a split is.
type position struct {
	// File is what is being read of a monitored directory, "" between files.
	File string `json:"file,omitempty"`
	// Offset is that of the next record, in the unpacked content.
	Offset int64 `json:"offset,omitempty"`
	// Ended says that the file has been read.
	Ended bool `json:"ended,omitempty"`
	// Done are the files of a monitored directory that have been read, as hashes of 8 bytes each.
	Done []byte `json:"done,omitempty"`
}

var _ op.Source = (*source)(nil)

func newSource(t *graph.TableSpec) (*source, error) {
	if _, err := pathOf(t); err != nil {
		return nil, err
	}
	visible, err := forFormat(t)
	if err != nil {
		return nil, err
	}
	s := &source{table: t, skipBlank: t.Options["format"] == "json"}
	if s.dec, err = format.NewDecoder(visible); err != nil {
		return nil, err
	}
	if s.split, err = format.Split(t); err != nil {
		return nil, err
	}
	if s.skipLines, err = skipLines(t); err != nil {
		return nil, err
	}
	if s.monitor, err = monitorInterval(t); err != nil {
		return nil, err
	}
	s.consts, err = newConstants(visible)
	return s, err
}

func (s *source) Open(ctx *op.Context, splits []op.Split) error {
	s.ctx = ctx
	s.refuse = format.NewRefuser(ctx, s.table)
	s.timer = time.NewTimer(time.Hour)
	s.timer.Stop()
	path, err := pathOf(s.table)
	if err != nil {
		return err
	}
	for _, sp := range splits {
		p := &part{id: sp.ID}
		if len(sp.Pos) > 0 {
			if err := json.Unmarshal(sp.Pos, &p.pos); err != nil || p.pos.Offset < 0 || len(p.pos.Done)%hashBytes != 0 {
				return fmt.Errorf("filesystem: split %s has no position but %q", sp.ID, sp.Pos)
			}
		}
		p.ended = p.pos.Ended
		if s.monitor > 0 {
			if p.watch, err = newWatch(path, sp.ID, p.pos.Done, s.monitor); err != nil {
				return err
			}
		}
		s.parts = append(s.parts, p)
	}
	return nil
}

// Poll decodes records of one file.
func (s *source) Poll(ctx context.Context, b *vec.Batch, wait time.Duration) (op.Polled, error) {
	if s.cur == nil {
		found, err := s.next(ctx, wait)
		switch {
		case err != nil:
			return op.Polled{Status: op.Idle}, err
		case !found && s.monitor == 0:
			return op.Polled{Status: op.End}, nil
		case !found:
			return op.Polled{Status: op.Idle, Split: s.at}, nil
		}
	}
	p := s.parts[s.at]
	rows, err := s.decode(b)
	out := op.Polled{Status: op.More, Split: s.at}
	switch {
	case errors.Is(err, errMore):
		err = nil
	case errors.Is(err, io.EOF):
		if err = s.finish(p); err == nil && s.monitor == 0 {
			out.SplitEnded = true
			if s.unread() < 0 {
				out.Status = op.End
			}
		}
	}
	if err == nil {
		err = s.refuse.Flush()
	}
	b.SetRows(rows)
	return out, err
}

// unread is a split that has not ended, -1 for none.
func (s *source) unread() int {
	for i, p := range s.parts {
		if !p.ended {
			return i
		}
	}
	return -1
}

// next opens the next file. In a monitored directory it waits for one.
func (s *source) next(ctx context.Context, wait time.Duration) (bool, error) {
	if s.monitor > 0 {
		return s.nextWatched(ctx, wait)
	}
	i := s.unread()
	if i < 0 {
		return false, nil
	}
	s.at = i
	return true, s.open(s.parts[i].id, s.parts[i].pos.Offset)
}

func (s *source) open(path string, offset int64) error {
	l, err := openLines(path, offset, s.split, s.buf)
	if err != nil {
		return err // a share comes and goes: that is for the restart strategy
	}
	s.cur = l
	s.pending = 0
	if offset == 0 {
		s.pending = s.skipLines
	}
	return s.fillConstants(l.info)
}

// finish closes the file that has been read.
func (s *source) finish(p *part) error {
	err := s.cur.close()
	s.buf, s.cur = s.cur.buf, nil
	if len(s.buf) > 4*chunkBytes {
		s.buf = nil // a long record made it large
	}
	if p.watch != nil {
		p.watch.finished(p.pos.File)
		p.pos.File, p.pos.Offset = "", 0
		return err
	}
	p.ended, p.pos.Ended = true, true
	return err
}

// decode appends rows of the current file until the batch is full (nil), the file ends (io.EOF), or a record that is too long is
// being left out (errMore). A read error may pass.
func (s *source) decode(b *vec.Batch) (rows int, err error) {
	p := s.parts[s.at]
	s.begin(b)
	data := 0
	for {
		record, at, nerr := s.cur.next()
		var n int
		switch {
		case nerr == nil && s.pending > 0:
			s.pending--
		case nerr == nil && s.skipBlank && len(bytes.TrimSpace(record)) == 0:
		case nerr == nil:
			if !format.Room(rows, data, record) {
				s.cur.back(at)
				s.end(b, rows)
				return rows, nil
			}
			data += len(record)
			s.ctx.Metrics.BytesIn.Add(int64(len(record)))
			if n, err = s.dec.Decode(record); err != nil {
				err = s.refuseAt(at, record, err)
			}
		case errors.Is(nerr, format.ErrTooLong):
			err = s.refuseAt(at, record, nerr)
		default: // the end among them
			err = nerr
		}
		rows += n
		for range n {
			s.appendConstants()
		}
		p.pos.Offset = s.cur.pos()
		if err != nil {
			s.end(b, rows)
			return rows, err
		}
	}
}

func (s *source) refuseAt(at int64, record []byte, reason error) error {
	return s.refuse.Refuse(fmt.Sprintf("%s at %d", s.cur.path, at), record, reason)
}

// begin and end bracket the rows of a batch.
func (s *source) begin(b *vec.Batch) {
	s.dec.Begin(b)
	for i := range s.consts {
		s.consts[i].begin(b)
	}
}

func (s *source) end(b *vec.Batch, rows int) {
	s.dec.Finish()
	for i := range s.consts {
		s.consts[i].finish()
	}
	b.SetRows(rows)
}

// Snapshot returns the offsets behind the last record taken of each file.
func (s *source) Snapshot(stream.Epoch) ([]op.Split, error) {
	out := make([]op.Split, len(s.parts))
	for i, p := range s.parts {
		pos := p.pos
		if p.watch != nil {
			pos.Done = p.watch.done()
		}
		text, err := json.Marshal(pos)
		if err != nil {
			return nil, fmt.Errorf("filesystem: position of %s: %w", p.id, err)
		}
		out[i] = op.Split{ID: p.id, Pos: text}
	}
	return out, nil
}

// Commit has nothing to acknowledge: files stay.
func (s *source) Commit(context.Context, stream.Epoch) error { return nil }

func (s *source) Close() error {
	if s.cur == nil {
		return nil
	}
	return s.cur.close()
}
