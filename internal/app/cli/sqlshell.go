package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/bramble-stream/bramble/internal/app"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

const (
	promptFirst = "bramble> "
	promptMore  = "      -> "
	// historyMax bounds the history, drawEvery is how often a table that changes is drawn, proposalsMax how many proposals are listed.
	historyMax   = 1000
	drawEvery    = 200 * time.Millisecond
	proposalsMax = 24
	// aroundMax is how much of a line is shown with a mistake in it.
	aroundMax = 72
	// shownMax is how many rows of a result stay on the screen.
	shownMax = 50
)

// shell is a dialogue.
type shell struct {
	run    *sqlRun
	keys   *keyboard
	screen *os.File
	term   *term.Terminal
	hist   *history
	// buffer is what was typed of a statement before this line.
	buffer string
	// interrupted says that Ctrl-C ended the line.
	interrupted bool
}

// shell talks until the user has enough.
func (c *cli) shell(ctx context.Context, r *sqlRun, in, out *os.File) error {
	fd := int(in.Fd()) //nolint:gosec // descriptors are small
	before, err := term.MakeRaw(fd)
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	defer term.Restore(fd, before) //nolint:errcheck // nothing is left to be done about it
	sh := &shell{run: r, keys: newKeyboard(in), screen: out, hist: openHistory()}
	sh.term = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{readerFunc(sh.read), out}, promptFirst)
	sh.term.History = sh.hist
	complete := app.Completer()
	sh.term.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) { return sh.complete(complete, line, pos, key) }
	sh.term.SetBracketedPasteMode(true)
	defer sh.term.SetBracketedPasteMode(false)
	r.out, r.err, r.query = sh.term, sh.term, sh.query
	r.clear = func() { io.WriteString(out, ansiClear) } //nolint:errcheck // the next line tells
	fmt.Fprintf(sh.term, "Bramble SQL, %s. Statements end with ; HELP; tells which there are, Tab completes, Ctrl-D leaves.\n", c.jobManager)
	return sh.loop(ctx)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// ctrlC is what is typed in its place: to the end, delete, return.
const ctrlC = "\x05\x15\r"

// read passes keys on to the line editor, which takes Ctrl-C for the end of everything.
func (sh *shell) read(p []byte) (int, error) {
	n, err := sh.keys.Read(p[:max(len(p)-len(ctrlC), 1)])
	for i := range n {
		if p[i] == 3 {
			sh.interrupted = true
			return copy(p, ctrlC), err // what was typed around it goes with it
		}
	}
	return n, err
}

// loop reads statements and runs them.
func (sh *shell) loop(ctx context.Context) error {
	for ctx.Err() == nil {
		if w, h, err := term.GetSize(int(sh.screen.Fd())); err == nil { //nolint:gosec // descriptors are small
			sh.term.SetSize(w, h) //nolint:errcheck // it fails when writing does
		}
		prompt := promptFirst
		if sh.buffer != "" {
			prompt = promptMore
		}
		sh.term.SetPrompt(prompt)
		line, err := sh.term.ReadLine()
		switch {
		case sh.interrupted:
			sh.interrupted, sh.buffer = false, ""
			continue
		case errors.Is(err, io.EOF):
			fmt.Fprintln(sh.term)
			return nil
		case err != nil && !errors.Is(err, term.ErrPasteIndicator):
			return err
		}
		if err := sh.line(ctx, line); err != nil {
			return err
		}
	}
	return nil
}

// line takes in a line, and runs the statements that are whole with it.
func (sh *shell) line(ctx context.Context, line string) error {
	sh.buffer += line + "\n"
	all := splitStatements(sh.buffer)
	if len(all) == 0 {
		sh.buffer = ""
		return nil
	}
	if v := verbOf(all[0].text); len(all) == 1 && (v == verbQuit || v == verbHelp || v == verbClear) {
		all[0].whole = true // nobody types a semicolon there
	}
	if len(sh.buffer) > scriptMax {
		sh.buffer = ""
		fmt.Fprintf(sh.term, "error: a statement may have %d bytes\n", scriptMax)
		return nil
	}
	if !all[len(all)-1].whole {
		return nil
	}
	sh.hist.save(oneLine(sh.buffer))
	sh.buffer = ""
	for _, s := range all {
		err := sh.run.statement(ctx, s.text)
		if errors.Is(err, errQuit) {
			return err
		}
		if err != nil {
			sh.tell(s.text, err)
			break
		}
		if verbOf(s.text) == verbKeep {
			fmt.Fprintln(sh.term, "ok")
		}
	}
	return nil
}

// oneLine is a text without line ends, and without the comments that would take all that follows with them.
func oneLine(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		n, _ := lexeme(text[i:])
		part := text[i : i+n]
		if strings.HasPrefix(part, "--") || strings.TrimSpace(part) == "" {
			if part = " "; strings.HasSuffix(b.String(), " ") {
				part = ""
			}
		}
		b.WriteString(strings.ReplaceAll(part, "\n", " "))
		i += n
	}
	return strings.TrimSpace(b.String())
}

// tell shows an error, and where it is.
func (sh *shell) tell(stmt string, err error) {
	var placed *placedError
	lines := strings.Split(stmt, "\n")
	if errors.As(err, &placed) && placed.line > 0 && placed.line <= len(lines) {
		line := []rune(clean(lines[placed.line-1]))
		at := min(max(placed.column-1, 0), len(line))
		if cut := at - 2*aroundMax/3; cut > 0 && len(line) > aroundMax {
			line, at = line[cut:], at-cut
		}
		fmt.Fprintf(sh.term, "  %s\n  %s^\n", string(line[:min(len(line), aroundMax)]), strings.Repeat(" ", at))
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		fmt.Fprintf(sh.term, "error: %s\n", clean(line))
	}
}

// complete proposes at Tab: one proposal is put in, of several what they have in common, and the rest is listed.
func (sh *shell) complete(propose app.CompleteFunc, line string, pos int, key rune) (string, int, bool) {
	if key != '\t' {
		return "", 0, false
	}
	script, _ := sh.run.session.script("")
	before := script + sh.buffer + line[:pos]
	row := strings.Count(before, "\n") + 1
	column := len([]rune(before[strings.LastIndexByte(before, '\n')+1:])) + 1
	c := propose(before+line[pos:], row, column)
	if len(c.Items) == 0 || c.From.Line != row {
		return line, pos, true
	}
	runes := []rune(line[:pos])
	from := min(max(len(runes)-(column-c.From.Column), 0), len(runes))
	typed := string(runes[from:])
	common, kind := "", c.Items[0].Kind
	var labels []string
	for _, i := range c.Items {
		if strings.HasPrefix(strings.ToLower(i.Insert), strings.ToLower(typed)) {
			if labels == nil {
				common, kind = i.Insert, i.Kind
			}
			common = sharedPrefix(common, i.Insert)
			labels = append(labels, i.Label)
		}
	}
	if labels == nil {
		common, labels = typed, nil
		for _, i := range c.Items {
			labels = append(labels, i.Label)
		}
		if len(c.Items) == 1 {
			common = c.Items[0].Insert
		}
	}
	if len(labels) > 1 && len(common) <= len(typed) {
		more := ""
		if n := len(labels) - proposalsMax; n > 0 {
			labels, more = labels[:proposalsMax], fmt.Sprintf("  … and %d more", n)
		}
		fmt.Fprintf(sh.term, "%s%s\n", strings.Join(labels, "  "), more)
		return line, pos, true
	}
	if len(common) < len(typed) {
		return line, pos, true
	}
	word := kind == "keyword" || kind == "table" || kind == "column"
	if len(labels) == 1 && word && (pos == len(line) || line[pos] != ' ') {
		common += " "
	}
	head := string(runes[:from]) + common
	return head + line[pos:], len(head), true
}

// sharedPrefix is what both begin with, whatever their case; it is written as in a.
func sharedPrefix(a, b string) string {
	n := 0
	for n < min(len(a), len(b)) && a[n]|0x20 == b[n]|0x20 {
		n++
	}
	for n > 0 && n < len(a) && a[n]&0xC0 == 0x80 {
		n--
	}
	return a[:n]
}

// query shows the rows of a SELECT while they come, and leaves the last ones on the screen.
func (sh *shell) query(ctx context.Context, stmt string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	v := &liveView{}
	done := make(chan error, 1)
	go func() { done <- sh.run.preview(ctx, stmt, v.take) }()
	page := &screen{out: sh.screen}
	tick := time.NewTicker(drawEvery)
	defer tick.Stop()
	drawn, stopped := false, false
	leave := func() {
		if drawn {
			io.WriteString(sh.screen, ansiOrdinary) //nolint:errcheck // the next line tells
		}
	}
	for {
		select {
		case err := <-done:
			leave()
			if err != nil && !stopped {
				return err
			}
			v.print(sh.term, stopped)
			return nil
		case b, ok := <-sh.keys.in:
			if !ok || strings.ContainsAny(string(b), "qQ\x03\x04\x1b") {
				stopped = true
				cancel()
			}
		case <-tick.C:
			if !drawn {
				drawn = true
				io.WriteString(sh.screen, ansiAlternate) //nolint:errcheck // the next line tells
			}
			page.size(sh.screen)
			if err := page.draw(v.lines(page.width, page.height)); err != nil {
				cancel()
				return errors.Join(err, <-done)
			}
		}
	}
}

// liveView is what one goroutine receives and another draws.
type liveView struct {
	mu      sync.Mutex
	table   liveTable
	waiting string
	why     string
}

func (v *liveView) take(m *pb.PreviewResponse) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch m := m.Message.(type) {
	case *pb.PreviewResponse_Columns:
		v.table.begin(m.Columns.Columns)
	case *pb.PreviewResponse_Waiting:
		v.waiting = m.Waiting
	case *pb.PreviewResponse_Rows:
		return v.table.apply(m.Rows)
	case *pb.PreviewResponse_End:
		v.why = m.End.Reason
	}
	return nil
}

// print leaves the table where it can be read on.
func (v *liveView) print(to io.Writer, stopped bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if stopped {
		v.why = "stopped"
	}
	if v.table.names != nil {
		printTable(to, &v.table, shownMax, v.why)
	}
}

// lines are a page: the table and, at the bottom, how it goes.
func (v *liveView) lines(width, height int) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	state := "starting"
	var out []string
	if v.table.names != nil {
		room := max(height-3, 1)
		out = v.table.lines(room, width)
		out[0] = ansiBold + out[0]
		state = v.table.sum(min(v.table.live, int64(room)))
	}
	if v.waiting != "" {
		state = "waiting: " + clean(v.waiting)
	}
	for len(out) < height-1 {
		out = append(out, "")
	}
	return append(out[:height-1], ansiReverse+fit(" q ends   "+state, width, false))
}

// history keeps statements, the newest first, and in a file.
type history struct {
	path  string
	lines []string
}

// historyPath is below the user's state directory, "" when there is none.
func historyPath() string {
	dir := os.Getenv("XDG_STATE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "bramble", "sql_history")
}

func openHistory() *history {
	h := &history{path: historyPath()}
	data, err := os.ReadFile(h.path)
	if err != nil {
		return h // the first time
	}
	for _, line := range strings.Split(string(data), "\n") {
		if line != "" {
			h.lines = append(h.lines, line)
		}
	}
	h.lines = h.lines[max(len(h.lines)-historyMax, 0):]
	return h
}

// Add implements term.History: lines are not kept, statements are.
func (h *history) Add(string) {}

// Len implements term.History.
func (h *history) Len() int { return len(h.lines) }

// At implements term.History.
func (h *history) At(i int) string { return h.lines[len(h.lines)-1-i] }

// confidential finds statements that are better not written down.
var confidential = regexp.MustCompile(`(?i)password|passwd|secret|token|credential|://[^/\s:@']*:[^@\s']+@`)

// save keeps a statement. One that may hold a secret stays in this process.
func (h *history) save(stmt string) {
	if n := len(h.lines); stmt == "" || n > 0 && h.lines[n-1] == stmt {
		return
	}
	h.lines = append(h.lines, stmt)
	h.lines = h.lines[max(len(h.lines)-historyMax, 0):]
	if h.path == "" || confidential.MatchString(stmt) || os.MkdirAll(filepath.Dir(h.path), 0o700) != nil {
		return
	}
	var text strings.Builder
	for _, l := range h.lines {
		if !confidential.MatchString(l) {
			text.WriteString(l + "\n")
		}
	}
	os.WriteFile(h.path, []byte(text.String()), 0o600) //nolint:errcheck // a shell without a history is one, too
}
