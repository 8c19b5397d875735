package main

import (
	"context"
	"fmt"
	"math"
	"os/exec"
	"strings"
)

// commit is what is measured, with a mark if the tree has changes.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func cells(f figure) string {
	if f.Trouble != "" || f.Events == 0 {
		return "| | | | | "
	}
	return fmt.Sprintf("| %.0f | %.0f | %.2f | %.0f | %d ", f.perCore()/1e3, f.perSecond()/1e3, f.CPUSeconds/f.Seconds, f.PeakMB, f.Checkpoints)
}

// markdown is the report as a page; plot is the file with the plot beside it, "" for none.
func (r *report) markdown(plot string) string {
	var b strings.Builder
	cores := r.Cores
	if cores == "" {
		cores = "all"
	}
	fmt.Fprintf(&b, "# Nexmark: Bramble and Apache Flink, %s\n\n", r.When)
	fmt.Fprintf(&b, "%s. Commit %s. Load average %s before, %s after.\n\n", r.Machine, r.Commit, r.LoadBefore, r.LoadAfter)
	fmt.Fprintf(&b, "Each engine alone, in turn, on cores %s, parallelism %d. Flink has %s of warm-up and is measured for %s, with checkpoints every %s; Bramble is measured from the same "+
		"event, over the same events, and for %s at least, with checkpoints every %s; %d round(s), the median. ", cores, r.Parallelism, r.Warm, r.Measure, r.Checkpoint, r.Least,
		r.OurCheckpoint, r.Rounds)
	fmt.Fprintf(&b, "The source makes events in the process, as fast as they are taken, %d of them a second of event time; results go to a blackhole. ", r.Rate)
	b.WriteString("M events are those that Flink was measured over, k/CPU s thousands of events a second of CPU time, k/s by the clock, cores the CPU time a second, MB the peak of resident " +
		"memory, ckpt. the checkpoints completed while it was measured.\n\n")
	if mean, worst, n := r.geometric(); n > 0 {
		fmt.Fprintf(&b, "**Geometric mean of the ratios over %d queries: %.1f.** Worst: %s, %.1f.\n\n", n, mean, worst.Query, worst.ratio())
	}
	if plot != "" {
		fmt.Fprintf(&b, "![Ratios by query](%s)\n\n", plot)
	}
	b.WriteString("| query | M events | Bramble k/CPU s | k/s | cores | MB | ckpt. | Flink k/CPU s | k/s | cores | MB | ckpt. | ratio by CPU | by the clock |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	var notes []string
	for _, c := range r.Comparisons {
		fmt.Fprintf(&b, "| %s | %.1f to %.1f %s%s", c.Query, float64(c.Flink.From)/1e6, float64(c.Flink.From+c.Flink.Events)/1e6, cells(c.Bramble), cells(c.Flink))
		if c.ok() {
			fmt.Fprintf(&b, "| **%.1f** | %.1f |\n", c.ratio(), c.Bramble.perSecond()/c.Flink.perSecond())
		} else {
			b.WriteString("| | |\n")
		}
		for who, f := range map[string]figure{"Bramble": c.Bramble, "Flink": c.Flink} {
			if f.Trouble != "" {
				notes = append(notes, fmt.Sprintf("* %s, %s: %s\n", c.Query, who, f.Trouble))
			}
		}
	}
	if len(notes) > 0 {
		fmt.Fprintf(&b, "\n%s", strings.Join(notes, ""))
	}
	return b.String()
}

// The plot: a bar a query on a logarithmic scale from a half to a hundred.
const (
	plotLeft, plotRight, plotTop = 60, 640, 64
	barStep, barHeight           = 22, 14
	leastRatio, mostRatio        = 0.5, 100.0
)

// across is where a ratio is.
func across(ratio float64) float64 {
	at := math.Log(min(max(ratio, leastRatio), mostRatio)/leastRatio) / math.Log(mostRatio/leastRatio)
	return plotLeft + at*(plotRight-plotLeft)
}

// svg is the plot of the ratios.
func (r *report) svg() string {
	var bars strings.Builder
	rows := 0
	for _, c := range r.Comparisons {
		if !c.ok() {
			continue
		}
		y := plotTop + rows*barStep
		one, at := across(1), across(c.ratio())
		fill := "#2e7d32"
		if c.ratio() < 1 {
			fill = "#c62828"
		}
		fmt.Fprintf(&bars, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+
			`<text x="%.1f" y="%d">%.1f</text>`+"\n",
			plotLeft-8, y+barHeight-3, c.Query, min(one, at), y, math.Abs(at-one), barHeight, fill, max(at, one)+5, y+barHeight-3, c.ratio())
		rows++
	}
	bottom := plotTop + rows*barStep
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">`+"\n",
		plotRight+60, bottom+30)
	b.WriteString(`<rect width="100%" height="100%" fill="#ffffff"/>` + "\n")
	mean, _, n := r.geometric()
	fmt.Fprintf(&b, `<text x="10" y="20" font-size="15">Nexmark: how many times Flink's events a second of CPU time</text>`+"\n"+
		`<text x="10" y="38" fill="#555555">%s; geometric mean of %d queries: %.1f</text>`+"\n", r.When, n, mean)
	for _, tick := range []float64{0.5, 1, 2, 3, 5, 10, 20, 50, 100} {
		x := across(tick)
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#cccccc"/><text x="%.1f" y="%d" text-anchor="middle">%g</text>`+"\n",
			x, plotTop-6, x, bottom, x, bottom+16, tick)
	}
	b.WriteString(bars.String())
	b.WriteString("</svg>\n")
	return b.String()
}
