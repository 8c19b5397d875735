package rest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// failure is an error's body, in Flink's form.
type failure struct {
	Errors      []string     `json:"errors"`
	Diagnostics []Diagnostic `json:"diagnostics,omitempty"`
}

func writeJSON(w http.ResponseWriter, code int, data []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(code)
	w.Write(data) //nolint:errcheck // a client that has gone
}

func answer(w http.ResponseWriter, code int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	writeJSON(w, code, data)
}

func fail(w http.ResponseWriter, code int, message string) {
	answer(w, code, failure{Errors: []string{RedactText(message)}})
}

// failWith answers with what a status says.
func (s *Server) failWith(w http.ResponseWriter, err error) {
	st, _ := status.FromError(err)
	fail(w, httpCode(st.Code()), st.Message())
}

func httpCode(c codes.Code) int {
	switch c { //nolint:exhaustive // what remains is our fault
	case codes.InvalidArgument, codes.OutOfRange:
		return http.StatusBadRequest
	case codes.NotFound:
		return http.StatusNotFound
	case codes.FailedPrecondition, codes.AlreadyExists, codes.Aborted:
		return http.StatusConflict
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Unimplemented:
		return http.StatusNotFound
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// read decodes a JSON body into v; an empty one leaves v as it is. It answers itself when it returns false.
func (s *Server) read(w http.ResponseWriter, r *http.Request, v any) bool {
	// curl says that what it sends is a form, so only what cannot be JSON is refused.
	if t := r.Header.Get("Content-Type"); strings.HasPrefix(t, "multipart/") {
		fail(w, http.StatusUnsupportedMediaType, "the body has to be JSON, it says it is "+t)
		return false
	}
	// Only while the body is read: a deadline that passes later would end a stream.
	control := http.NewResponseController(w)
	control.SetReadDeadline(s.cfg.Now().Add(readMax)) //nolint:errcheck // a recorder has none
	data, err := io.ReadAll(r.Body)
	control.SetReadDeadline(time.Time{}) //nolint:errcheck // a recorder has none
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		fail(w, http.StatusRequestEntityTooLarge, "the body is larger than 2 MiB")
		return false
	case err != nil:
		fail(w, http.StatusBadRequest, "read the body: "+err.Error())
		return false
	case len(data) == 0:
		return true
	}
	if err := json.Unmarshal(data, v); err != nil {
		fail(w, http.StatusBadRequest, "the body is not the JSON that is wanted: "+err.Error())
		return false
	}
	return true
}
