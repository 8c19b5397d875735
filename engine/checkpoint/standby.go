package checkpoint

// Sight is what one who stands by sees of the leadership in storage, read in one go.
type Sight struct {
	// Epoch is the newest leader epoch that was taken, 0: nobody has ever led.
	Epoch uint64
	// Beat counts the renewals of its holder's lease, 0: there is none (yet).
	Beat uint64
	// Released: the holder has given the leadership back. Mine: its holder was an earlier process at this very place, which is gone.
	Released, Mine bool
}

// Standby decides when one who does not lead takes the leadership over. No two machines agree about the time, so it believes no
// timestamp: a lease that has not changed for LapseMS of its own clock, while it looked often, is of a holder that is gone. A mistake does no
// harm beyond a change of leaders: what fences the former one is its epoch.
type Standby struct {
	// LapseMS is for how long a lease has to stand still.
	LapseMS int64
	seen    Sight
	// sinceMS is when it was first seen like this, lastMS when it was looked at last.
	sinceMS, lastMS int64
	// looked: there is something to compare with.
	looked bool
	// next is at least the epoch to try: the ones before are used up.
	next uint64
}

// See takes in what was seen: the reading began at beganMS and ended at endedMS of a clock that only goes forward. It returns the epoch to
// take now, 0 for none.
func (s *Standby) See(beganMS, endedMS int64, now Sight) uint64 {
	// Whoever did not look for a while knows nothing about that while: it was suspended, or storage did not answer.
	blind := s.looked && beganMS-s.lastMS > s.LapseMS/2
	if !s.looked || blind || now != s.seen {
		s.seen, s.sinceMS, s.looked = now, endedMS, true
	}
	s.lastMS = endedMS
	if now.Epoch == 0 || now.Released || now.Mine || beganMS-s.sinceMS >= s.LapseMS {
		return max(now.Epoch+1, s.next)
	}
	return 0
}

// From tells that nothing that was seen before atMS counts: the holder did not know that somebody stands by, and need not have renewed its lease.
func (s *Standby) From(atMS int64) { s.sinceMS = max(s.sinceMS, atMS) }

// Taken tells that the epoch could not be had: somebody was quicker, or died after using it up. It has a lapse to show that it lives.
func (s *Standby) Taken(epoch uint64) {
	s.next, s.looked = max(s.next, epoch+1), false
}
