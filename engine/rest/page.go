package rest

import (
	_ "embed"
	"fmt"
	"html"
	"net/http"
	"strings"
)

//go:embed openapi.yaml
var openAPIDocument []byte

func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml; charset=utf-8")
	w.Write(openAPIDocument) //nolint:errcheck // a client that has gone
}

// routePage serves the front end, or where there is none a page for any browser.
func (s *Server) routePage() {
	if s.cfg.UI != nil {
		s.mux.Handle("/", s.cfg.UI)
		return
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			fail(w, http.StatusNotFound, "there is no "+r.URL.Path)
			return
		}
		s.page(w, r)
	})
}

func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	if err := s.authenticated(r); err != nil {
		w.Header().Set("WWW-Authenticate", `Basic realm="bramble"`)
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	c, err := s.cluster(r.Context())
	if err != nil {
		s.failWith(w, err)
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="5"><title>Bramble</title><style>
body{font:16px system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color-scheme:light dark}
table{border-collapse:collapse;width:100%%}td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #8884}code{font-size:90%%}
</style></head><body><h1>Bramble %s</h1><p>%d taskmanagers, %d slots, %d free.</p><h2>Jobs</h2>`,
		html.EscapeString(c.Version), len(c.TaskManagers), c.SlotsTotal, c.SlotsAvailable)
	if len(c.Jobs) == 0 {
		b.WriteString("<p>None yet: <code>bramble submit job.sql</code> submits one.</p>")
	} else {
		b.WriteString("<table><tr><th>Job</th><th>ID</th><th>State</th><th></th></tr>")
		for _, j := range c.Jobs {
			fmt.Fprintf(&b, "<tr><td>%s</td><td><code>%s</code></td><td>%s</td><td>%s</td></tr>",
				html.EscapeString(j.Name), html.EscapeString(j.ID), j.State, html.EscapeString(j.WaitingReason))
		}
		b.WriteString("</table>")
	}
	b.WriteString("<h2>Taskmanagers</h2><table><tr><th>Address</th><th>Slots</th><th>Free</th><th>Platform</th></tr>")
	for _, m := range c.TaskManagers {
		fmt.Fprintf(&b, "<tr><td>%s</td><td>%d</td><td>%d</td><td>%s</td></tr>",
			html.EscapeString(m.DataAddress), m.Slots, m.SlotsFree, html.EscapeString(m.OS+"/"+m.Arch))
	}
	b.WriteString(`</table><p>More with <code>bramble status JOBID</code>, <code>bramble list</code>, <code>bramble taskmanagers</code>.</p></body></html>`)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, b.String())
}
