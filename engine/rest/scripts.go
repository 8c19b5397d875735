package rest

import (
	"context"
	"net/http"
	"strings"
	"unicode"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// scriptName is what scripts from here are called in errors.
const scriptName = "script.sql"

// options are the settings that are a job's; the others are variables of the script, as with the command line's -D.
func options(settings map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range settings {
		if strings.Contains(k, ".") || k == "restart-strategy" {
			out[k] = v
		}
	}
	return out
}

func (s *Server) submit(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Script                string            `json:"script"`
		Name                  string            `json:"name"`
		Parallelism           int32             `json:"parallelism"`
		FromSavepoint         string            `json:"fromSavepoint"`
		AllowNonRestoredState bool              `json:"allowNonRestoredState"`
		Settings              map[string]string `json:"settings"`
	}
	if !s.read(w, r, &body) {
		return
	}
	if body.Parallelism < 0 {
		fail(w, http.StatusBadRequest, "parallelism: at least 1, or 0 for what the script says")
		return
	}
	text, err := s.substitute(body.Script, body.Settings)
	if err != nil {
		s.failScript(w, err, body.Script, body.Script)
		return
	}
	resp, err := s.cfg.Actions.SubmitJob(r.Context(), &pb.SubmitJobRequest{
		Script:  &pb.Script{Name: scriptName, Text: text, Config: options(body.Settings), Parallelism: body.Parallelism},
		JobName: body.Name, FromSavepoint: body.FromSavepoint, AllowNonRestoredState: body.AllowNonRestoredState,
	})
	if status.Code(err) == codes.InvalidArgument {
		// Statuses carry text only: to know where, the script is planned once more.
		if _, planErr := s.plan(r.Context(), text, body.Settings); planErr != nil {
			s.failScript(w, planErr, body.Script, text)
			return
		}
	}
	if err != nil {
		s.failWith(w, err)
		return
	}
	s.cache.forget()
	answer(w, http.StatusOK, struct {
		JobID    string   `json:"jobId"`
		Warnings []string `json:"warnings"`
	}{resp.JobId, append([]string{}, resp.Warnings...)})
}

func (s *Server) substitute(script string, settings map[string]string) (string, error) {
	if s.cfg.Language.Substitute == nil {
		return script, nil
	}
	return s.cfg.Language.Substitute(script, settings)
}

func (s *Server) plan(ctx context.Context, script string, settings map[string]string) (*ScriptPlan, error) {
	if s.cfg.Language.Plan == nil {
		return nil, status.Error(codes.Unimplemented, "this jobmanager plans no scripts")
	}
	return s.cfg.Language.Plan(ctx, script, options(settings))
}

// failScript answers with what is wrong with a script, and where in what the user wrote.
func (s *Server) failScript(w http.ResponseWriter, err error, written, planned string) {
	f := failure{Errors: []string{RedactText(status.Convert(err).Message())}, Diagnostics: s.diagnose(err, written, planned)}
	if f.Diagnostics != nil {
		f.Errors = strings.Split(f.Errors[0], "\n")
	}
	answer(w, http.StatusBadRequest, f)
}

// diagnose finds the places of an error. planned is written with its variables replaced.
func (s *Server) diagnose(err error, written, planned string) []Diagnostic {
	if s.cfg.Language.Diagnose == nil {
		return nil
	}
	all := s.cfg.Language.Diagnose(err)
	from, to := strings.Split(planned, "\n"), strings.Split(written, "\n")
	for i := range all {
		d := &all[i]
		d.Message = RedactText(d.Message)
		d.Line = min(max(d.Line, 1), len(to))
		if len(from) == len(to) {
			d.Column = columnBefore(from[d.Line-1], to[d.Line-1], d.Column)
		}
		d.Column = max(d.Column, 1)
		if d.EndLine == 0 {
			d.EndLine, d.EndColumn = d.Line, wordEnd(to[d.Line-1], d.Column)
		}
	}
	return all
}

// columnBefore is where a column of a line was before variables in it were replaced: the line's beginning and its end are as they were, and what
// lies between came from the first ${.
func columnBefore(line, before string, column int) int {
	a, b := []rune(line), []rune(before)
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	if same == len(a) && same == len(b) || column <= same {
		return column
	}
	end := 0
	for end < min(len(a), len(b))-same && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	if column > len(a)-end {
		return column + len(b) - len(a)
	}
	return same + 1
}

// wordEnd is the column behind the word, the quoted text or the character that begins at a column of a line.
func wordEnd(line string, column int) int {
	r := []rune(line)
	i := column - 1
	if i >= len(r) {
		return column + 1
	}
	if quote := r[i]; strings.ContainsRune("'`\"", quote) {
		for k := i + 1; k < len(r); k++ {
			if r[k] == quote {
				return k + 2
			}
		}
		return len(r) + 1
	}
	word := func(c rune) bool { return c == '_' || c == '$' || unicode.IsLetter(c) || unicode.IsDigit(c) }
	k := i
	for k < len(r) && word(r[k]) {
		k++
	}
	return max(k, i+1) + 1
}

func (s *Server) validate(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Script   string            `json:"script"`
		Settings map[string]string `json:"settings"`
	}
	if !s.read(w, r, &body) {
		return
	}
	out := struct {
		Diagnostics []Diagnostic `json:"diagnostics"`
		Plan        *ScriptPlan  `json:"plan"`
		Explain     *string      `json:"explain"`
		Warnings    []string     `json:"warnings"`
	}{Diagnostics: []Diagnostic{}, Warnings: []string{}}
	text, err := s.substitute(body.Script, body.Settings)
	if err == nil {
		out.Plan, err = s.plan(r.Context(), text, body.Settings)
	} else {
		text = body.Script
	}
	switch {
	case err == nil:
		out.Explain, out.Warnings = &out.Plan.Explain, append(out.Warnings, out.Plan.Warnings...)
	case status.Code(err) == codes.Unimplemented || status.Code(err) == codes.Unavailable:
		s.failWith(w, err)
		return
	default:
		out.Diagnostics = s.diagnose(err, body.Script, text)
		if len(out.Diagnostics) == 0 { // an error without a place is one all the same
			out.Diagnostics = []Diagnostic{{Line: 1, Column: 1, EndLine: 1, EndColumn: 2, Message: RedactText(err.Error())}}
		}
	}
	answer(w, http.StatusOK, out)
}

func (s *Server) complete(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Script string `json:"script"`
		Line   int    `json:"line"`
		Column int    `json:"column"`
	}
	if !s.read(w, r, &body) {
		return
	}
	if s.cfg.Language.Complete == nil {
		fail(w, http.StatusNotFound, "this jobmanager completes no scripts")
		return
	}
	answer(w, http.StatusOK, s.cfg.Language.Complete(body.Script, body.Line, body.Column))
}

func (s *Server) examples(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, append([]Example{}, s.cfg.Examples...))
}
