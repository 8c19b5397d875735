package examples

import "testing"

func TestAll(t *testing.T) {
	all := All()
	if len(all) < 4 || all[0].Name != "sensors" || all[0].Title != "Sensors of a house" {
		t.Fatalf("examples: %+v", all)
	}
	for _, e := range all {
		if e.Name == "" || len(e.Title) < 10 || len(e.Title) > 160 || e.Script == "" {
			t.Errorf("example %q has the title %q and %d bytes", e.Name, e.Title, len(e.Script))
		}
	}
}
