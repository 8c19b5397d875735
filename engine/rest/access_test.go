package rest

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestDecide(t *testing.T) {
	local, anywhere := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.TCPAddr{IP: net.IPv6zero}
	for _, c := range []struct {
		addr           net.Addr
		token          string
		readOnly       *bool
		wantRO, wantOK bool
	}{
		{local, "", nil, false, false},
		{local, "", new(true), true, false},
		{anywhere, "", nil, true, false},
		{anywhere, "", new(false), false, true},
		{anywhere, "secret-token", nil, false, false},
		{anywhere, "secret-token", new(true), true, false},
	} {
		a := Decide(c.addr, c.token, c.readOnly)
		if a.ReadOnly != c.wantRO || a.Open != c.wantOK || a.ReadOnly == (a.Reason == "") {
			t.Errorf("%v, token %q, read-only %v: %+v", c.addr, c.token, c.readOnly, a)
		}
	}
}

func TestLoadToken(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{"long-enough\n": "long-enough", "short": "", "": "", "two\nlines-of-text": ""} {
		path := filepath.Join(dir, "token")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := LoadToken(path); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if _, err := LoadToken(filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there")
	}
	if got, err := LoadToken(""); got != "" || err != nil {
		t.Error("no file", got, err)
	}
}

func TestReadOnly(t *testing.T) {
	s, f := newFake(t, Access{ReadOnly: true, Reason: "because"})
	for _, request := range []string{
		"POST /api/v1/jobs", "POST /api/v1/jobs/" + jobID + "/cancel", "POST /api/v1/jobs/" + jobID + "/rescale", "PATCH /jobs/" + jobID, "POST /v1/jobs/" + jobID + "/stop",
		"PUT /jobs/" + jobID + "/resource-requirements", "POST /savepoint-disposal", "DELETE /jobs/" + jobID,
	} {
		method, path, _ := strings.Cut(request, " ")
		if w := call(t, s, method, path, "{}"); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "because") {
			t.Errorf("%s: %d %s", request, w.Code, w.Body)
		}
	}
	if v := get(t, s, "/api/v1/session"); v["readOnly"] != true || v["readOnlyReason"] != "because" || v["authenticated"] != true {
		t.Errorf("session: %v", v)
	}
	get(t, s, "/api/v1/cluster")
	if len(f.calls()) > 0 {
		t.Errorf("done: %q", f.calls())
	}
}

func TestToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newFake(t, Access{Token: "secret-token"})
		for _, c := range []struct {
			path   string
			header string
			code   int
		}{
			{"/api/v1/cluster", "X: y", 401},
			{"/jobs", "X: y", 401},
			{"/api/v1/openapi.yaml", "X: y", 401},
			{"/", "X: y", 401},
			{"/api/v1/session", "X: y", 200},
			{"/api/v1/cluster", "Authorization: Bearer secret-token", 200},
			{"/v1/jobs", "Authorization: Basic YW55b25lOnNlY3JldC10b2tlbg==", 200},
			{"/", "Authorization: Basic YW55b25lOnNlY3JldC10b2tlbg==", 200},
			{"/api/v1/cluster", "Authorization: Bearer secret-tokem", 401},
			{"/api/v1/cluster", "Cookie: bramble_session=99999999999.xx", 401},
			{"/api/v1/cluster", "Host: bramble.example.com", 401},
		} {
			if w := call(t, s, "GET", c.path, "", c.header); w.Code != c.code {
				t.Errorf("GET %s with %s: %d %s", c.path, c.header, w.Code, w.Body)
			}
		}
		if w := call(t, s, "POST", "/api/v1/login", `{"token":"wrong-token"}`); w.Code != 401 || len(w.Result().Cookies()) > 0 {
			t.Errorf("a wrong login: %d", w.Code)
		}
		w := call(t, s, "POST", "/api/v1/login", `{"token":"secret-token"}`)
		cookies := w.Result().Cookies()
		if w.Code != 204 || len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || strings.Contains(cookies[0].Value, "secret") {
			t.Fatalf("login: %d %v", w.Code, cookies)
		}
		cookie := "Cookie: " + cookieName + "=" + cookies[0].Value
		if w := call(t, s, "GET", "/api/v1/cluster", "", cookie); w.Code != 200 {
			t.Errorf("with the cookie: %d", w.Code)
		}
		later := "Cookie: " + cookieName + "=9" + cookies[0].Value
		if w := call(t, s, "GET", "/api/v1/cluster", "", later); w.Code != 401 {
			t.Errorf("with a cookie that lasts longer: %d", w.Code)
		}
		time.Sleep(sessionMax + time.Second)
		if w := call(t, s, "GET", "/api/v1/cluster", "", cookie); w.Code != 401 {
			t.Errorf("with a cookie of last month: %d", w.Code)
		}
		w = call(t, s, "POST", "/api/v1/logout", "")
		if c := w.Result().Cookies(); w.Code != 204 || len(c) != 1 || c[0].MaxAge >= 0 {
			t.Errorf("logout: %d %v", w.Code, c)
		}
	})
}

func TestGuessingIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newFake(t, Access{Token: "secret-token"})
		for range loginsMax {
			call(t, s, "POST", "/api/v1/login", `{"token":"guess"}`)
		}
		if w := call(t, s, "POST", "/api/v1/login", `{"token":"secret-token"}`); w.Code != http.StatusTooManyRequests {
			t.Errorf("after %d guesses: %d", loginsMax, w.Code)
		}
		time.Sleep(loginsWindow)
		if w := call(t, s, "POST", "/api/v1/login", `{"token":"secret-token"}`); w.Code != 204 {
			t.Errorf("a minute later: %d", w.Code)
		}
	})
}

func TestOtherSites(t *testing.T) {
	s, f := newFake(t, Access{})
	path := "/api/v1/jobs/" + jobID + "/cancel"
	for header, code := range map[string]int{
		"Sec-Fetch-Site: cross-site": 403, "Sec-Fetch-Site: same-site": 403, "Origin: http://evil.example": 403, "Origin: http://pi:8081": 202,
		"Sec-Fetch-Site: same-origin": 202, "X: no-browser": 202, "Host: evil.example.com": 403, "Host: pi.local:8081": 202, "Host: [::1]:8081": 202,
	} {
		if w := call(t, s, "POST", path, "", header); w.Code != code {
			t.Errorf("%s: %d %s", header, w.Code, w.Body)
		}
	}
	s.Wait()
	if n := len(f.calls()); n != 5 {
		t.Errorf("%d were let through", n)
	}
	for header, code := range map[string]int{"Host: evil.example.com": 403, "Host: 192.168.1.7:8081": 200, "Host: raspberrypi": 200} {
		if w := call(t, s, "GET", "/api/v1/cluster", "", header); w.Code != code {
			t.Errorf("GET, %s: %d", header, w.Code)
		}
	}
}

func TestHeaders(t *testing.T) {
	s, _ := newFake(t, Access{})
	for _, path := range []string{"/", "/api/v1/cluster", "/jobs", "/nothing"} {
		h := call(t, s, "GET", path, "").Header()
		if h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") ||
			!strings.Contains(h.Get("Content-Security-Policy"), "script-src 'self';") || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("GET %s: %v", path, h)
		}
	}
}

// TestNoSecrets asks for everything and looks for what must not be seen.
func TestNoSecrets(t *testing.T) {
	s, _ := newFake(t, Access{Token: "secret-token"})
	for _, path := range []string{
		"/api/v1/session", "/api/v1/cluster", "/api/v1/jobs/" + jobID, "/jobmanager/config", "/jobs/" + jobID + "/config", "/config", "/",
	} {
		body := call(t, s, "GET", path, "", "Authorization: Bearer secret-token").Body.String()
		for _, secret := range []string{"secret-token", "hush"} {
			if strings.Contains(body, secret) {
				t.Errorf("GET %s tells %q", path, secret)
			}
		}
	}
}

func TestUI(t *testing.T) {
	s, f := newFake(t, Access{Token: "secret-token"})
	cfg := s.cfg
	cfg.UI = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("front end")) }) //nolint:errcheck // a recorder
	s = New(cfg)
	for path, code := range map[string]int{"/": 200, "/assets/x.js": 200, "/api/v1/cluster": 401, "/jobs": 401, "/v1/nothing": 401, "/api/x": 401} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://pi"+path, nil))
		if w.Code != code {
			t.Errorf("GET %s: %d", path, w.Code)
		}
	}
	if f.asked != 0 {
		t.Errorf("%d documents were made for nobody", f.asked)
	}
}
