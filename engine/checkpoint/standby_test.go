package checkpoint_test

import (
	"testing"

	"github.com/bramble-stream/bramble/engine/checkpoint"
)

func TestStandbyWaitsForALeaseThatStandsStill(t *testing.T) {
	type look struct {
		atMS int64
		see  checkpoint.Sight
		want uint64
	}
	for name, looks := range map[string][]look{
		"nobody has ever led": {{0, checkpoint.Sight{}, 1}},
		"a living leader": {
			{0, checkpoint.Sight{Epoch: 3, Beat: 7}, 0},
			{3000, checkpoint.Sight{Epoch: 3, Beat: 8}, 0},
			{6000, checkpoint.Sight{Epoch: 3, Beat: 9}, 0},
			{9000, checkpoint.Sight{Epoch: 3, Beat: 10}, 0},
		},
		"a dead one": {
			{0, checkpoint.Sight{Epoch: 3, Beat: 7}, 0},
			{2000, checkpoint.Sight{Epoch: 3, Beat: 7}, 0},
			{4000, checkpoint.Sight{Epoch: 3, Beat: 7}, 0},
			{5999, checkpoint.Sight{Epoch: 3, Beat: 7}, 0},
			{6000, checkpoint.Sight{Epoch: 3, Beat: 7}, 4},
		},
		"one that died before its first lease": {
			{0, checkpoint.Sight{Epoch: 1}, 0}, {3000, checkpoint.Sight{Epoch: 1}, 0}, {6000, checkpoint.Sight{Epoch: 1}, 2},
		},
		"released":              {{0, checkpoint.Sight{Epoch: 9, Beat: 2, Released: true}, 10}},
		"this one's own former": {{0, checkpoint.Sight{Epoch: 9, Beat: 2, Mine: true}, 10}},
		// A standby that was suspended, or whose storage did not answer, has not seen the lease stand still.
		"blind for long": {
			{0, checkpoint.Sight{Epoch: 3, Beat: 7}, 0},
			{60_000, checkpoint.Sight{Epoch: 3, Beat: 7}, 0},
			{63_000, checkpoint.Sight{Epoch: 3, Beat: 7}, 0},
			{66_000, checkpoint.Sight{Epoch: 3, Beat: 7}, 4},
		},
		"another takes over": {
			{0, checkpoint.Sight{Epoch: 3, Beat: 7}, 0},
			{3000, checkpoint.Sight{Epoch: 3, Beat: 7}, 0},
			{5000, checkpoint.Sight{Epoch: 4}, 0},
			{8000, checkpoint.Sight{Epoch: 4}, 0},
			{11_000, checkpoint.Sight{Epoch: 4}, 5},
		},
	} {
		s := checkpoint.Standby{LapseMS: 6000}
		for _, l := range looks {
			if got := s.See(l.atMS, l.atMS, l.see); got != l.want {
				t.Errorf("%s: at %d ms it takes epoch %d, want %d", name, l.atMS, got, l.want)
			}
		}
	}
}

// TestStandbyGoesPastANameThatIsUsedUp: the epoch that could not be had is not seen, as where a claim on it died half-way.
func TestStandbyGoesPastANameThatIsUsedUp(t *testing.T) {
	s := checkpoint.Standby{LapseMS: 6000}
	if got := s.See(0, 0, checkpoint.Sight{}); got != 1 {
		t.Fatalf("it takes %d", got)
	}
	s.Taken(1)
	if got := s.See(1000, 1000, checkpoint.Sight{}); got != 2 {
		t.Fatalf("then it takes %d", got)
	}
	// A slow reading counts from its end on one side, and to its beginning on the other.
	s.Taken(2)
	for _, at := range []int64{2000, 4000, 6000, 8000, 9000} {
		if got := s.See(at, at+1000, checkpoint.Sight{Epoch: 2, Beat: 1}); got != 0 && at-3000 < 6000 {
			t.Fatalf("at %d it takes %d", at, got)
		} else if at == 9000 && got != 3 {
			t.Fatalf("it does not take over: %d", got)
		}
	}
}

// TestStandbyCountsFromItsAnnouncement: a leader of whom nobody was known to stand by renewed nothing, and lives.
func TestStandbyCountsFromItsAnnouncement(t *testing.T) {
	s, still := checkpoint.Standby{LapseMS: 6000}, checkpoint.Sight{Epoch: 3, Beat: 7}
	if s.See(0, 0, still) != 0 {
		t.Error("it takes over at once")
	}
	s.From(2000)
	for at, want := range map[int64]uint64{4000: 0, 6000: 0, 7999: 0, 8000: 4} {
		at0 := s
		for look := int64(2000); look <= at; look += 1000 {
			at0.See(look, look, still)
		}
		if got := at0.See(at, at, still); got != want {
			t.Errorf("at %d ms it takes epoch %d, want %d", at, got, want)
		}
	}
}
