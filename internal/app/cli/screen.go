package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// keyboard hands on what is typed. One goroutine reads, for as long as the terminal is open; who wants keys takes them from the channel, one after
// another: the line editor, a table that grows, bramble top.
type keyboard struct {
	in   chan []byte
	rest []byte
}

func newKeyboard(r io.Reader) *keyboard {
	k := &keyboard{in: make(chan []byte)}
	go func() { // ends with its input: a read of a terminal cannot be given up
		defer close(k.in)
		for {
			buf := make([]byte, 256)
			n, err := r.Read(buf)
			if n > 0 {
				k.in <- buf[:n]
			}
			if err != nil {
				return
			}
		}
	}()
	return k
}

// Read implements io.Reader.
func (k *keyboard) Read(p []byte) (int, error) {
	if len(k.rest) == 0 {
		b, ok := <-k.in
		if !ok {
			return 0, io.EOF
		}
		k.rest = b
	}
	n := copy(p, k.rest)
	k.rest = k.rest[n:]
	return n, nil
}

// Control sequences of every terminal of the last decades.
const (
	ansiAlternate  = "\x1b[?1049h\x1b[?25l\x1b[2J"
	ansiOrdinary   = "\x1b[?25h\x1b[?1049l"
	ansiClear      = "\x1b[H\x1b[2J"
	ansiRestOfLine = "\x1b[K"
	ansiBold       = "\x1b[1m"
	ansiReverse    = "\x1b[7m"
	ansiRed        = "\x1b[31m"
	ansiYellow     = "\x1b[33m"
	ansiDim        = "\x1b[2m"
	ansiPlain      = "\x1b[0m"
)

// screen draws whole pages, and sends what has changed: nothing flickers, and little goes over a slow line.
type screen struct {
	out           io.Writer
	last          []string
	width, height int
}

// size takes the terminal's; after a change everything is drawn anew.
func (s *screen) size(f *os.File) {
	w, h, err := term.GetSize(int(f.Fd())) //nolint:gosec // descriptors are small
	if err != nil || w < 1 || h < 1 {
		w, h = 80, 24
	}
	if w != s.width || h != s.height {
		s.width, s.height, s.last = w, h, nil
	}
}

// draw shows lines, which are as wide as the screen at most.
func (s *screen) draw(lines []string) error {
	var b bytes.Buffer
	if s.last == nil {
		b.WriteString(ansiClear)
	}
	lines = lines[:min(len(lines), s.height)]
	for i := range max(len(lines), len(s.last)) {
		var now, before string
		if i < len(lines) {
			now = lines[i]
		}
		if i < len(s.last) {
			before = s.last[i]
		}
		if now != before {
			fmt.Fprintf(&b, "\x1b[%d;1H%s%s%s", i+1, now, ansiPlain, ansiRestOfLine)
		}
	}
	s.last = append(s.last[:0:0], lines...)
	if s.last == nil {
		s.last = []string{}
	}
	_, err := s.out.Write(b.Bytes())
	return err
}
