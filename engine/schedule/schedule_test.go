package schedule

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"
)

// TestPlace reads "place" with lines "tm ID slots free" and "vertex parallelism group".
func TestPlace(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var tms []TaskManager
			var vertices []Vertex
			for _, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
				var tm TaskManager
				var v Vertex
				if _, err := fmt.Sscanf(line, "tm %s %d %d", &tm.ID, &tm.Slots, &tm.Free); err == nil {
					tms = append(tms, tm)
				} else if _, err := fmt.Sscanf(line, "vertex %d %d", &v.Parallelism, &v.Group); err == nil {
					vertices = append(vertices, v)
				} else {
					d.Fatalf(t, "bad line %q", line)
				}
			}
			p, err := Place(vertices, tms)
			if err != nil {
				return err.Error() + "\n"
			}
			var out strings.Builder
			fmt.Fprintf(&out, "slots: %s\n", strings.Join(p.Slots, " "))
			for v, tasks := range p.Tasks {
				fmt.Fprintf(&out, "vertex %d:", v)
				for _, s := range tasks {
					fmt.Fprintf(&out, " %d@%s", s, p.Slots[s])
				}
				out.WriteString("\n")
			}
			return out.String()
		})
	})
}

func TestPlaceKeepsTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tms []TaskManager
		free := 0
		for i := range rapid.IntRange(0, 5).Draw(t, "tms") {
			slots := rapid.IntRange(1, 4).Draw(t, "slots")
			tm := TaskManager{ID: fmt.Sprint("tm", i), Slots: slots, Free: rapid.IntRange(0, slots).Draw(t, "free")}
			tms, free = append(tms, tm), free+tm.Free
		}
		var vertices []Vertex
		for range rapid.IntRange(1, 5).Draw(t, "vertices") {
			vertices = append(vertices, Vertex{rapid.IntRange(1, 8).Draw(t, "p"), rapid.IntRange(0, 2).Draw(t, "group")})
		}
		p, err := Place(vertices, tms)
		if (err != nil) != (Slots(vertices) > free) {
			t.Fatalf("need %d, free %d: %v", Slots(vertices), free, err)
		}
		if err != nil {
			return
		}
		given := map[string]int{}
		for _, id := range p.Slots {
			given[id]++
		}
		for _, tm := range tms {
			if given[tm.ID] > tm.Free {
				t.Fatalf("%s has %d free and gives %d", tm.ID, tm.Free, given[tm.ID])
			}
		}
		for v, tasks := range p.Tasks {
			seen := map[int]bool{}
			for _, s := range tasks {
				if seen[s] {
					t.Fatalf("slot %d holds two tasks of vertex %d", s, v)
				}
				seen[s] = true
			}
			if len(tasks) != vertices[v].Parallelism {
				t.Fatalf("vertex %d has %d tasks placed", v, len(tasks))
			}
		}
	})
}

// TestPlaceNearFormer: tasks go where they were, as far as the spread stays as even as it would be.
func TestPlaceNearFormer(t *testing.T) {
	tms := func(ids ...string) (out []TaskManager) {
		for _, id := range ids {
			out = append(out, TaskManager{ID: id, Slots: 2, Free: 2})
		}
		return out
	}
	for _, c := range []struct {
		tms          []TaskManager
		former, want []string
	}{
		{tms("a", "b"), nil, []string{"a", "b", "a", "b"}},
		{tms("a", "b"), []string{"b", "b", "a", "a"}, []string{"b", "b", "a", "a"}},
		{tms("a", "b", "c"), []string{"c", "b", "a", "b"}, []string{"c", "b", "a", "a"}},
		{tms("a", "d"), []string{"b", "a", "b", "a"}, []string{"d", "a", "d", "a"}},
		{tms("a", "b"), []string{"a"}, []string{"a", "b", "a", "b"}},
		{tms("a", "b"), []string{"x", "b", "b", "b", "b", "b"}, []string{"a", "b", "b", "a"}},
	} {
		p, err := Place([]Vertex{{Parallelism: 4}}, c.tms, c.former...)
		if err != nil || !slices.Equal(p.Slots, c.want) {
			t.Errorf("former %v: %v, %v, want %v", c.former, p.Slots, err, c.want)
		}
	}
}
