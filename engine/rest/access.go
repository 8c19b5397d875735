package rest

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Access says who may do what.
type Access struct {
	// Token, unless "", has to be shown for everything but the files of the front end.
	Token string
	// ReadOnly refuses what changes something; Reason says why, and what would allow it.
	ReadOnly bool
	Reason   string
	// Open says that everyone who reaches the port may do everything: worth a line in the log.
	Open bool
	// Strangers says that everyone may look, and that nobody said so: logs, profiles and rows are not for them.
	Strangers bool
}

// tokenLenMin makes a token that cannot be guessed at the rate that logins are answered at.
const tokenLenMin = 8

// LoadToken reads a token from a file, without white space around it. path "" is no token.
func LoadToken(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	switch {
	case token == "":
		return "", fmt.Errorf("token: %s is empty", path)
	case len(token) < tokenLenMin:
		return "", fmt.Errorf("token: %s has fewer than %d characters", path, tokenLenMin)
	case strings.ContainsAny(token, "\r\n"):
		return "", fmt.Errorf("token: %s has more than one line", path)
	}
	return token, nil
}

// Decide is the access to a server that listens at addr. readOnly is what was asked for, nil for nothing: then a server that others than this
// machine reach, without a token, changes nothing.
func Decide(addr net.Addr, token string, readOnly *bool) Access {
	tcp, ok := addr.(*net.TCPAddr)
	local := ok && tcp.IP.IsLoopback()
	a := Access{Token: token}
	switch {
	case readOnly != nil && *readOnly:
		a.ReadOnly, a.Reason = true, "the jobmanager was started with --http-read-only"
	case readOnly == nil && token == "" && !local:
		a.ReadOnly, a.Strangers = true, true
		a.Reason = "without a token nothing is changed over a network: start the jobmanager with --http-token-file FILE, or with --http-read-only=false to let everyone who reaches it"
	default:
		a.Open = token == "" && !local
	}
	return a
}

const (
	cookieName = "bramble_session"
	// sessionMax is how long a login lasts.
	sessionMax = 30 * 24 * time.Hour
	// loginsMax is how many wrong tokens are looked at within loginsWindow.
	loginsMax    = 10
	loginsWindow = time.Minute
)

// logins counts wrong tokens.
type logins struct {
	mu struct {
		sync.Mutex
		since time.Time
		wrong int
	}
}

// allowed reports whether one more token may be looked at.
func (l *logins) allowed(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := now.Sub(l.mu.since); d < 0 || d >= loginsWindow {
		l.mu.since, l.mu.wrong = now, 0
	}
	return l.mu.wrong < loginsMax
}

func (l *logins) failed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.wrong++
}

// public are the routes that need no token; harmless those that change nothing though their method says so.
var (
	public   = []string{"/", "GET /api/v1/session", "POST /api/v1/login", "POST /api/v1/logout"}
	harmless = []string{"POST /api/v1/login", "POST /api/v1/logout", "POST /api/v1/sql/validate", "POST /api/v1/sql/complete"}
)

// errWrongToken says that a token was shown, and is wrong.
var errWrongToken = errors.New("the token is wrong")

// guard is around everything.
func (s *Server) guard(next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.headers(w, r)
		http.NewResponseController(w).SetWriteDeadline(s.cfg.Now().Add(writeMax)) //nolint:errcheck // a recorder has none
		if s.cfg.Access.Token == "" && !localName(r.Host) {
			fail(w, http.StatusForbidden, "a public name ("+r.Host+") is answered only with a token: another site could be behind it. Use the address, or start the jobmanager with --http-token-file")
			return
		}
		_, pattern := s.mux.Handler(r)
		if !slices.Contains(public, pattern) {
			if err := s.authenticated(r); err != nil {
				w.Header().Set("WWW-Authenticate", `Bearer realm="bramble"`)
				fail(w, http.StatusUnauthorized, err.Error())
				return
			}
		}
		if changes(r) {
			if err := crossOrigin.Check(r); err != nil {
				fail(w, http.StatusForbidden, "another site asked for this: "+err.Error())
				return
			}
			if s.cfg.Access.ReadOnly && !slices.Contains(harmless, pattern) {
				fail(w, http.StatusForbidden, "read-only: "+s.cfg.Access.Reason)
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, bodyMax)
		}
		next.ServeHTTP(w, r)
	})
}

func changes(r *http.Request) bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions
}

// headers has browsers be careful.
func (s *Server) headers(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	// Styles may be inline: an editor makes its own. Scripts may not.
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "+
		"connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	if strings.HasPrefix(r.URL.Path, "/api/") {
		h.Set("Cache-Control", "no-store")
	}
}

// authenticated returns nil when no token is needed, or the right one is shown: as a bearer, as the password of any user, or by the cookie of a
// login.
func (s *Server) authenticated(r *http.Request) error {
	token := s.cfg.Access.Token
	if token == "" {
		return nil
	}
	if c, err := r.Cookie(cookieName); err == nil && s.goodCookie(c.Value) {
		return nil
	}
	shown, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		if _, shown, ok = r.BasicAuth(); !ok {
			return errors.New("a token is needed: log in, or send it as a bearer token")
		}
	}
	return s.checkToken(shown)
}

func (s *Server) checkToken(shown string) error {
	if !s.logins.allowed(s.cfg.Now()) {
		return errors.New("too many wrong tokens: wait a minute")
	}
	// Of equal length, so that the time tells nothing.
	a, b := sha256.Sum256([]byte(strings.TrimSpace(shown))), sha256.Sum256([]byte(s.cfg.Access.Token))
	if subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
		s.logins.failed()
		return errWrongToken
	}
	return nil
}

// cookie is good until it expires, at every jobmanager that has the same token: nothing is kept.
func (s *Server) cookie(expires time.Time) string {
	text := strconv.FormatInt(expires.Unix(), 10)
	mac := hmac.New(sha256.New, []byte("bramble session\x00"+s.cfg.Access.Token))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (s *Server) goodCookie(value string) bool {
	text, _, _ := strings.Cut(value, ".")
	unix, err := strconv.ParseInt(text, 10, 64)
	if err != nil || s.cfg.Now().After(time.Unix(unix, 0)) {
		return false
	}
	return hmac.Equal([]byte(value), []byte(s.cookie(time.Unix(unix, 0))))
}

func (s *Server) session(w http.ResponseWriter, r *http.Request) {
	a := s.cfg.Access
	answer(w, http.StatusOK, struct {
		Version        string `json:"version"`
		ReadOnly       bool   `json:"readOnly"`
		ReadOnlyReason string `json:"readOnlyReason"`
		NeedsToken     bool   `json:"needsToken"`
		Authenticated  bool   `json:"authenticated"`
	}{s.cfg.Version, a.ReadOnly, a.Reason, a.Token != "", s.authenticated(r) == nil})
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Token string `json:"token"`
	}
	if !s.read(w, r, &body) {
		return
	}
	if s.cfg.Access.Token != "" {
		if err := s.checkToken(body.Token); err != nil {
			code := http.StatusUnauthorized
			if !errors.Is(err, errWrongToken) {
				code = http.StatusTooManyRequests
			}
			fail(w, code, err.Error())
			return
		}
		s.setCookie(w, r, s.cookie(s.cfg.Now().Add(sessionMax)), int(sessionMax/time.Second))
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	s.setCookie(w, r, "", -1)
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) setCookie(w http.ResponseWriter, r *http.Request, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	})
}

// homeDomains are names that nobody outside can own.
var homeDomains = []string{".local", ".lan", ".home", ".home.arpa", ".internal", ".localdomain", ".localhost", ".fritz.box"}

// localName reports whether a request's host is an address or a name of the local network. A page of another site can make its own name lead
// here, and would then be of the same origin as this server; it cannot do that with these.
func localName(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if net.ParseIP(host) != nil || !strings.Contains(host, ".") {
		return true
	}
	return slices.ContainsFunc(homeDomains, func(d string) bool { return strings.HasSuffix(host, d) })
}
