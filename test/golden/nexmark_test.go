package golden

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestNexmarkModel compares what the golden files of Nexmark's joins and rankings say with what plain loops over the same events come to.
func TestNexmarkModel(t *testing.T) {
	for query, model := range map[string]func(*house) []string{
		"q3": q3, "q4": q4, "q5": q5, "q7": q7, "q8": q8, "q9": q9, "q18": q18, "q19": q19, "q20": q20,
	} {
		t.Run(query, func(t *testing.T) {
			script, err := os.ReadFile("testdata/nexmark_" + query + ".sql")
			if err != nil {
				t.Fatal(err)
			}
			golden, err := os.ReadFile("testdata/nexmark_" + query + ".golden")
			if err != nil {
				t.Fatal(err)
			}
			want := model(events(t, string(script)))
			for i, l := range want {
				want[i] = "results: " + l
			}
			slices.Sort(want)
			if got := strings.Split(strings.TrimSuffix(string(golden), "\n"), "\n"); !slices.Equal(got, want) {
				t.Errorf("the golden file differs:\n%s", difference(strings.Join(want, "\n"), strings.Join(got, "\n")))
			}
		})
	}
}

// house is all that happened: rows as text by column.
type house struct{ people, auctions, bids [][]string }

// Columns of the three tables.
const (
	personID, personName, personCity, personState, personTime = 0, 1, 4, 5, 6
	auctionID, auctionTime, auctionExpires, auctionSeller     = 0, 5, 6, 7
	auctionCategory                                           = 8
	bidAuction, bidBidder, bidPrice, bidTime, bidExtra        = 0, 1, 2, 5, 6
)

// events reads the tables that a script declares.
func events(t *testing.T, script string) *house {
	t.Helper()
	prelude, _, ok := strings.Cut(script, "CREATE TABLE results")
	if !ok {
		t.Fatal("the script has no table results")
	}
	text := func(columns ...string) string { return strings.Join(columns, " VARCHAR, ") + " VARCHAR" }
	prelude += `
CREATE TABLE people (` + text("a", "b", "c", "d", "e", "f", "g", "h") + `) WITH ('connector' = 'result');
CREATE TABLE auctions (` + text("a", "b", "c", "d", "e", "f", "g", "h", "i", "j") + `) WITH ('connector' = 'result');
CREATE TABLE bids (` + text("a", "b", "c", "d", "e", "f", "g") + `) WITH ('connector' = 'result');
INSERT INTO people SELECT CAST(id AS VARCHAR), name, ` + "`emailAddress`, `creditCard`, city, state, CAST(`dateTime` AS VARCHAR)" + `, extra FROM person;
INSERT INTO auctions SELECT CAST(id AS VARCHAR), ` + "`itemName`, description, CAST(`initialBid` AS VARCHAR), CAST(reserve AS VARCHAR), CAST(`dateTime` AS VARCHAR)" + `,
  CAST(expires AS VARCHAR), CAST(seller AS VARCHAR), CAST(category AS VARCHAR), extra FROM auction;
INSERT INTO bids SELECT CAST(auction AS VARCHAR), CAST(bidder AS VARCHAR), CAST(price AS VARCHAR), channel, url, CAST(` + "`dateTime`" + ` AS VARCHAR), extra FROM bid;
`
	file := filepath.Join(t.TempDir(), "events.sql")
	if err := os.WriteFile(file, []byte(prelude), 0o600); err != nil {
		t.Fatal(err)
	}
	h := &house{}
	for _, line := range strings.Split(strings.TrimSuffix(run(t, file, variants()[0]), "\n"), "\n") {
		table, row, _ := strings.Cut(line, ": ")
		cells, err := csv.NewReader(strings.NewReader(row)).Read()
		if err != nil {
			t.Fatal(err)
		}
		switch table {
		case "people":
			h.people = append(h.people, cells)
		case "auctions":
			h.auctions = append(h.auctions, cells)
		case "bids":
			h.bids = append(h.bids, cells)
		}
	}
	if len(h.people) == 0 || len(h.auctions) == 0 || len(h.bids) == 0 {
		t.Fatalf("%d people, %d auctions, %d bids", len(h.people), len(h.auctions), len(h.bids))
	}
	return h
}

func num(s string) int64 {
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return v
}

func line(cells ...string) string { return strings.Join(cells, ",") }

// at is milliseconds since the epoch.
func at(s string) int64 {
	v, err := time.Parse("2006-01-02 15:04:05.000", s)
	if err != nil {
		panic(err)
	}
	return v.UnixMilli()
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05.000") }

func q3(h *house) (out []string) {
	for _, a := range h.auctions {
		for _, p := range h.people {
			if a[auctionSeller] == p[personID] && a[auctionCategory] == "10" && slices.Contains([]string{"OR", "ID", "CA"}, p[personState]) {
				out = append(out, line(p[personName], p[personCity], p[personState], a[auctionID]))
			}
		}
	}
	return out
}

// inTime are the bids for an auction while it was open.
func (h *house) inTime(a []string) (out [][]string) {
	for _, b := range h.bids {
		if t := at(b[bidTime]); b[bidAuction] == a[auctionID] && t >= at(a[auctionTime]) && t <= at(a[auctionExpires]) {
			out = append(out, b)
		}
	}
	return out
}

func q4(h *house) (out []string) {
	sum, n := map[string]int64{}, map[string]int64{}
	for _, a := range h.auctions {
		best := int64(-1)
		for _, b := range h.inTime(a) {
			best = max(best, num(b[bidPrice]))
		}
		if best >= 0 {
			sum[a[auctionCategory]] += best
			n[a[auctionCategory]]++
		}
	}
	for c, s := range sum {
		out = append(out, line(c, strconv.FormatInt(s/n[c], 10)))
	}
	return out
}

func q5(h *house) (out []string) {
	windows := map[int64]map[string]int{}
	for _, b := range h.bids {
		t := at(b[bidTime])
		for start := t - t%2000; start > t-10000; start -= 2000 {
			if windows[start] == nil {
				windows[start] = map[string]int{}
			}
			windows[start][b[bidAuction]]++
		}
	}
	for _, w := range windows {
		most := 0
		for _, n := range w {
			most = max(most, n)
		}
		for auction, n := range w {
			if n == most {
				out = append(out, line(auction, strconv.Itoa(n)))
			}
		}
	}
	return out
}

func q7(h *house) (out []string) {
	best := map[int64]int64{}
	for _, b := range h.bids {
		t := at(b[bidTime])
		end := t - t%10000 + 10000
		best[end] = max(best[end], num(b[bidPrice]))
	}
	for _, b := range h.bids {
		for end, price := range best {
			if t := at(b[bidTime]); num(b[bidPrice]) == price && t >= end-10000 && t <= end {
				out = append(out, line(b[bidAuction], b[bidBidder], b[bidPrice], b[bidTime], b[bidExtra]))
			}
		}
	}
	return out
}

func q8(h *house) (out []string) {
	seen := map[string]bool{}
	for _, p := range h.people {
		for _, a := range h.auctions {
			start := at(p[personTime]) / 10000 * 10000
			l := line(p[personID], p[personName], stamp(start))
			if p[personID] == a[auctionSeller] && at(a[auctionTime])/10000*10000 == start && !seen[l] {
				seen[l] = true
				out = append(out, l)
			}
		}
	}
	return out
}

func q9(h *house) (out []string) {
	for _, a := range h.auctions {
		bids := h.inTime(a)
		slices.SortFunc(bids, func(x, y []string) int {
			if d := num(y[bidPrice]) - num(x[bidPrice]); d != 0 {
				return int(d)
			}
			return int(at(x[bidTime]) - at(y[bidTime]))
		})
		if len(bids) > 0 {
			b := bids[0]
			out = append(out, line(append(slices.Clone(a), b[bidAuction], b[bidBidder], b[bidPrice], b[bidTime], b[bidExtra])...))
		}
	}
	return out
}

func q18(h *house) (out []string) {
	last := map[[2]string][]string{}
	for _, b := range h.bids {
		k := [2]string{b[bidBidder], b[bidAuction]}
		if last[k] == nil || at(b[bidTime]) > at(last[k][bidTime]) {
			last[k] = b
		}
	}
	for _, b := range last {
		out = append(out, line(b...))
	}
	return out
}

func q19(h *house) (out []string) {
	of := map[string][][]string{}
	for _, b := range h.bids {
		of[b[bidAuction]] = append(of[b[bidAuction]], b)
	}
	for _, bids := range of {
		slices.SortFunc(bids, func(x, y []string) int { return int(num(y[bidPrice]) - num(x[bidPrice])) })
		for i, b := range bids[:min(len(bids), 10)] {
			out = append(out, line(append(slices.Clone(b), strconv.Itoa(i+1))...))
		}
	}
	return out
}

func q20(h *house) (out []string) {
	for _, b := range h.bids {
		for _, a := range h.auctions {
			if b[bidAuction] == a[auctionID] && a[auctionCategory] == "10" {
				out = append(out, line(append(slices.Clone(b), a[1:]...)...))
			}
		}
	}
	return out
}
