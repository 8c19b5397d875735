package jobmanager

import (
	"fmt"
	"html"
	"net/http"
	"slices"
	"strings"

	"github.com/bramble-stream/bramble/engine/serve"
)

// pages are the probes and a page that says what there is and how to ask for more.
func (jm *JobManager) pages() http.Handler {
	mux := serve.Pages(&jm.ready, nil)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, req *http.Request) {
		var b strings.Builder
		if err := jm.do(req.Context(), func(c *cluster) { c.writePage(&b) }); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, b.String())
	})
	return mux
}

func (c *cluster) writePage(b *strings.Builder) {
	total, free := c.slotCounts()
	fmt.Fprintf(b, `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="5"><title>Bramble</title><style>
body{font:16px system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color-scheme:light dark}
table{border-collapse:collapse;width:100%%}td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #8884}code{font-size:90%%}
</style></head><body><h1>Bramble %s</h1><p>%d taskmanagers, %d slots, %d free.</p>`,
		html.EscapeString(c.jm.cfg.Version), len(c.members), total, free)
	b.WriteString("<h2>Jobs</h2>")
	if len(c.order) == 0 {
		b.WriteString("<p>None yet: <code>bramble submit job.sql</code> submits one.</p>")
	} else {
		b.WriteString("<table><tr><th>Job</th><th>ID</th><th>State</th><th></th></tr>")
		for _, id := range slices.Backward(c.order) {
			r := c.jobs[id]
			note := r.machine.Waiting()
			if f := r.machine.Failures(); len(f) > 0 {
				note = f[0].Message
			}
			fmt.Fprintf(b, "<tr><td>%s</td><td><code>%s</code></td><td>%s</td><td>%s</td></tr>",
				html.EscapeString(r.name()), r.id, r.machine.State(), html.EscapeString(note))
		}
		b.WriteString("</table>")
	}
	b.WriteString("<h2>Taskmanagers</h2><table><tr><th>Address</th><th>Slots</th><th>Free</th><th>Platform</th></tr>")
	for _, m := range c.sortedMembers() {
		fmt.Fprintf(b, "<tr><td>%s</td><td>%d</td><td>%d</td><td>%s</td></tr>",
			html.EscapeString(m.info.DataAddress), len(m.slots), m.free(), html.EscapeString(m.info.Platform))
	}
	b.WriteString(`</table><p>More with <code>bramble status JOBID</code>, <code>bramble list</code>, <code>bramble taskmanagers</code>.</p></body></html>`)
}
