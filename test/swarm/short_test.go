//go:build swarm

package swarm

import (
	"bytes"
	"context"
	"net/http"
	"net/http/cookiejar"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// TestShort is what a swarm of one node shows within some minutes: the stack starts, a job runs in it, the dashboard's port wants the token,
// and killing a container loses nothing.
func TestShort(t *testing.T) {
	begin := time.Now()
	s := newStack(t, 1)
	s.label(map[string][]string{"pi1": {"jobmanager", "taskmanager", "broker", "observability"}})
	passwords := s.secrets()
	s.deploy("latest")
	s.up()
	rdb := redis.NewClient(&redis.Options{Addr: s.address("redis", 6379), Password: passwords["bramble_redis_password"]})
	defer rdb.Close()
	job := s.submit()
	h := openHouse(t, s.address("mosquitto", 1883), passwords["bramble_mqtt_password"])
	h.subscribed(rdb)
	h.begin()
	s.goesOn(rdb, "the job as deployed")
	s.protected(job, passwords["bramble_http_token"])
	s.seenByPrometheus()
	s.killTaskManager()
	s.goesOn(rdb, "a taskmanager's container killed")
	h.complete(rdb)
	s.stop(job)
	t.Logf("%.0f s in all", time.Since(begin).Seconds())
}

// protected asks the published port for things, with and without the token.
func (s *stack) protected(job, token string) {
	s.t.Helper()
	for _, c := range []struct {
		method, path, token string
		want                int
	}{
		{http.MethodGet, "/", "", http.StatusOK}, // the page that asks for the token
		{http.MethodGet, "/api/v1/cluster", "", http.StatusUnauthorized},
		{http.MethodPost, "/api/v1/jobs/" + job + "/savepoints", "", http.StatusUnauthorized},
		{http.MethodPost, "/api/v1/jobs/" + job + "/savepoints", "wrong" + token, http.StatusUnauthorized},
		{http.MethodGet, "/api/v1/cluster", token, http.StatusOK},
		{http.MethodPost, "/api/v1/jobs/" + job + "/savepoints", token, http.StatusAccepted},
	} {
		if code := s.http(&http.Client{}, c.method, c.path, c.token, "{}"); code != c.want {
			s.t.Errorf("%s %s with token %q: %d, want %d", c.method, c.path, c.token, code, c.want)
		}
	}
	// As the dashboard does it: once, and then by a cookie.
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	login := s.http(browser, http.MethodPost, "/api/v1/login", "", `{"token": "`+token+`"}`)
	if after := s.http(browser, http.MethodPost, "/api/v1/jobs/"+job+"/savepoints", "", "{}"); login != http.StatusNoContent || after != http.StatusAccepted {
		s.t.Errorf("login: %d, then a savepoint: %d", login, after)
	}
}

// http asks the jobmanager's published port and returns the code, 0 when nobody answers.
func (s *stack) http(c *http.Client, method, path, token, body string) int {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.address("jobmanager", 8081)+path, bytes.NewBufferString(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		s.t.Logf("%s %s: %v", method, path, err)
		return 0
	}
	_ = resp.Body.Close() // the code says it
	return resp.StatusCode
}
