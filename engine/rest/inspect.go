package rest

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/bramble-stream/bramble/engine/inspect"
)

const (
	// linesDefault and linesMax are of a log, secondsDefault of a profile.
	linesDefault, linesMax = 500, 100_000
	secondsDefault         = 5
)

func (s *Server) routeInspect() {
	s.handle("GET /api/v1/taskmanagers/{tm}/logs", s.logs)
	s.handle("GET /api/v1/taskmanagers/{tm}/goroutines", s.goroutines)
	s.handle("GET /api/v1/taskmanagers/{tm}/profile", func(w http.ResponseWriter, r *http.Request) {
		if data := s.profile(w, r); data != nil {
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Content-Disposition", `attachment; filename="cpu.pprof"`)
			w.Write(data) //nolint:errcheck // a client that has gone
		}
	})
	s.handle("GET /api/v1/taskmanagers/{tm}/flamegraph", s.flamegraph)

	for _, of := range []struct{ path, id string }{{"/jobmanager", "jobmanager"}, {"/taskmanagers/{tm}", ""}} {
		as := func(h http.HandlerFunc) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if of.id != "" {
					r.SetPathValue("tm", of.id)
				}
				h(w, r)
			}
		}
		s.flink("GET "+of.path+"/log", as(s.logs))
		s.flink("GET "+of.path+"/logs", as(s.flinkLogs))
		s.flink("GET "+of.path+"/logs/{file}", as(s.logs))
		s.flink("GET "+of.path+"/thread-dump", as(s.flinkThreadDump))
	}
}

// amount is a number of the query, within limits; it answers itself when it returns false.
func amount(w http.ResponseWriter, r *http.Request, key string, otherwise, most int) (int, bool) {
	text := r.URL.Query().Get(key)
	if text == "" {
		return otherwise, true
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		fail(w, http.StatusBadRequest, fmt.Sprintf("%s: a number from 1 to %d is wanted", key, most))
		return 0, false
	}
	return n, true
}

// look looks into a process; it answers itself when it returns nil.
func (s *Server) look(w http.ResponseWriter, r *http.Request, what string, n int) []byte {
	if s.cfg.Access.Strangers {
		fail(w, http.StatusForbidden, "without a token logs and profiles are not shown over a network: start the jobmanager with --http-token-file FILE")
		return nil
	}
	data, err := s.cfg.Views.Inspect(r.Context(), r.PathValue("tm"), what, n)
	if err != nil {
		s.failWith(w, err)
		return nil
	}
	if data == nil {
		data = []byte{}
	}
	return data
}

func writeText(w http.ResponseWriter, data []byte) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte(RedactText(string(data)))) //nolint:errcheck // a client that has gone
}

func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	if f := r.PathValue("file"); f != "" && f != logName {
		fail(w, http.StatusNotFound, "there is only "+logName)
		return
	}
	n, ok := amount(w, r, "lines", linesDefault, linesMax)
	if !ok {
		return
	}
	if data := s.look(w, r, inspect.Logs, n); data != nil {
		writeText(w, data)
	}
}

func (s *Server) goroutines(w http.ResponseWriter, r *http.Request) {
	if data := s.look(w, r, inspect.Goroutines, 0); data != nil {
		writeText(w, data)
	}
}

// profile answers itself when it returns nil.
func (s *Server) profile(w http.ResponseWriter, r *http.Request) []byte {
	n, ok := amount(w, r, "seconds", secondsDefault, inspect.SecondsMax)
	if !ok {
		return nil
	}
	until := s.cfg.Now().Add(time.Duration(n)*time.Second + writeMax)
	http.NewResponseController(w).SetWriteDeadline(until) //nolint:errcheck // a recorder has none
	return s.look(w, r, inspect.Profile, n)
}

func (s *Server) flamegraph(w http.ResponseWriter, r *http.Request) {
	data := s.profile(w, r)
	if data == nil {
		return
	}
	root, err := inspect.Flame(data)
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	answer(w, http.StatusOK, root)
}

// logName is what the end of a process's log is called in Flink's lists of files.
const logName = "bramble.log"

func (s *Server) flinkLogs(w http.ResponseWriter, r *http.Request) {
	if data := s.look(w, r, inspect.Logs, linesMax); data != nil {
		answer(w, http.StatusOK, object{"logs": []object{{"name": logName, "size": len(data), "mtime": s.nowMS()}}})
	}
}

func (s *Server) flinkThreadDump(w http.ResponseWriter, r *http.Request) {
	data := s.look(w, r, inspect.Goroutines, 0)
	if data == nil {
		return
	}
	threads := []object{}
	for stack := range bytes.SplitSeq(bytes.TrimSpace(data), []byte("\n\n")) {
		name, _, _ := bytes.Cut(stack, []byte(":\n"))
		threads = append(threads, object{"threadName": string(name), "stringifiedThreadInfo": RedactText(string(stack))})
	}
	answer(w, http.StatusOK, object{"threadInfos": threads})
}
