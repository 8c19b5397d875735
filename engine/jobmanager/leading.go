package jobmanager

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/checkpoint/ckptstore"
	"github.com/bramble-stream/bramble/engine/locate"
	"github.com/bramble-stream/bramble/engine/serve"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// Over one checkpoint storage one jobmanager leads, and shows it by a lease; the others stand by and watch the lease.
const (
	// defaultLeaseInterval is how often a lease is renewed: a listing and a small object. defaultLeaseTimeout is for how long a standby
	// watches it stand still: three renewals may come late, as when a disk of a NAS spins up.
	defaultLeaseInterval = 1500 * time.Millisecond
	defaultLeaseTimeout  = 6 * time.Second
	// standbyEvery is how often a standby looks.
	standbyEvery = time.Second
	// leaseLostFactor times the timeout is after how long without renewal a leader makes room, if somebody stands by: later than that one
	// takes over, so that a storage that is slow for all does not end a leader that nobody follows.
	leaseLostFactor = 2
	// tidyBeats is how often, in renewals, announcements are removed: about every minute.
	tidyBeats = 40
	// quietAfter is after how many renewals in a row that saw nobody stand by a leader goes on looking, but writes a lease at every tidyBeats only: flash
	// wears out. It is far more than what those who stand by need to announce themselves again after a tidying.
	quietAfter = 10
	// takePause and takePauseMax are between attempts to lead that storage does not let happen: a full disk, or one that is read-only now.
	takePause    = time.Second
	takePauseMax = 30 * time.Second
	// releaseMax is how long giving the leadership back may take.
	releaseMax = 2 * time.Second
)

// role is what a jobmanager is at the moment. It is replaced, not changed.
type role struct {
	// leads: jobs are in its hands. Else leader is the address of who leads and page the URL of its dashboard, "" if that is not known.
	leads  bool
	leader string
	page   string
}

// errNotLeader is of a jobmanager that stands by.
var errNotLeader = errors.New("this jobmanager stands by")

// become changes the role, and what health checks of the services say; the process as a whole is well either way.
func (jm *JobManager) become(r role) {
	jm.role.Store(&r)
	state := healthpb.HealthCheckResponse_NOT_SERVING
	if r.leads {
		state = healthpb.HealthCheckResponse_SERVING
	}
	for _, d := range []string{pb.JobService_ServiceDesc.ServiceName, pb.TaskManagerService_ServiceDesc.ServiceName} {
		jm.health.SetServingStatus(d, state)
	}
}

// refusal is nil for a jobmanager that leads.
func (jm *JobManager) refusal() error {
	if r := jm.role.Load(); !r.leads {
		return locate.Refusal(r.leader)
	}
	return nil
}

// forLeader says whether a method is one of a service that only a leader serves.
func forLeader(method string) bool {
	service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	return service == pb.JobService_ServiceDesc.ServiceName || service == pb.TaskManagerService_ServiceDesc.ServiceName
}

// onlyLeading has a standby refuse what is for the leader.
func (jm *JobManager) onlyLeading() []grpc.ServerOption {
	return append(serve.ServerOptions(),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			if err := jm.refusal(); err != nil && forLeader(info.FullMethod) {
				return nil, err
			}
			return handle(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			if err := jm.refusal(); err != nil && forLeader(info.FullMethod) {
				return err
			}
			return handle(srv, stream)
		}),
	)
}

// holder is the address that those who stand by name.
func (jm *JobManager) holder() string {
	return net.JoinHostPort(jm.cfg.AdvertiseHost, strconv.Itoa(jm.RPCPort()))
}

// page is the URL of the dashboard under the name that those who stand by give, "" if there is none.
func (jm *JobManager) page() string {
	if jm.http == nil {
		return ""
	}
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(jm.cfg.AdvertiseHost, strconv.Itoa(jm.HTTPPort())), Path: "/"}
	if jm.secure != nil {
		u.Scheme = "https"
	}
	return u.String()
}

// instance names the place that this process has to itself: as long as it listens on its port, nobody else does there.
func (jm *JobManager) instance() string {
	if jm.cfg.Place == "" {
		return ""
	}
	return jm.cfg.Place + "/" + net.JoinHostPort(jm.cfg.BindHost, strconv.Itoa(jm.RPCPort()))
}

// random16 is a number that nobody else makes, as text.
func (jm *JobManager) random16() (string, error) {
	var nonce [16]byte
	if _, err := io.ReadFull(jm.cfg.Rand, nonce[:]); err != nil {
		return "", fmt.Errorf("make a nonce: %w", err)
	}
	return hex.EncodeToString(nonce[:]), nil
}

// standBy waits until this jobmanager leads. It may take the leadership at once: when nobody has it, or the one who had it is known to be gone.
func (jm *JobManager) standBy(ctx context.Context) error {
	id, err := jm.random16()
	if err != nil {
		return err
	}
	watch := &checkpoint.Standby{LapseMS: jm.cfg.LeaseTimeout.Milliseconds()}
	announced, log, tries := false, standbyLog{jm: jm}, takes{}
	defer func() {
		if announced {
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseMax)
			defer cancel()
			_ = ckptstore.Withdraw(limited, jm.storage, id) // the leader forgets it in a minute
		}
	}()
	tick := time.NewTicker(min(standbyEvery, jm.cfg.LeaseInterval))
	defer tick.Stop()
	for first := true; ; first = false {
		began := jm.now().UnixMilli()
		lease, known, err := ckptstore.Look(ctx, jm.storage, id)
		switch {
		case ctx.Err() != nil:
			return nil // told to stop
		case err != nil && first:
			return fmt.Errorf("checkpoint storage %s: %w", jm.cfg.CheckpointDir, err) // its user should know
		case err != nil:
			log.unreadable(err)
		default:
			epoch := watch.See(began, jm.now().UnixMilli(), jm.sight(lease))
			if epoch != 0 {
				if !tries.due(jm.now()) {
					break
				}
				if taken, err := jm.take(ctx, watch, epoch, lease, &tries); taken || err != nil {
					return err
				}
				break // whoever was quicker will have a lease soon
			}
			jm.become(role{leader: lease.Holder, page: lease.Page})
			log.standing(lease)
			if !known {
				err := ckptstore.Announce(ctx, jm.storage, id)
				if err != nil && ctx.Err() == nil {
					log.untold(err)
				}
				// Nobody renews a lease for those of whom he does not know. That he tidied up is no reason to begin anew.
				if err != nil || !announced {
					watch.From(jm.now().UnixMilli())
				}
				announced = true
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (jm *JobManager) sight(l ckptstore.Lease) checkpoint.Sight {
	return checkpoint.Sight{
		Epoch: l.Epoch, Beat: l.Beat, Released: l.Released, Mine: l.Instance != "" && l.Instance == jm.instance(),
	}
}

// takes are attempts to lead that storage did not let happen.
type takes struct {
	pause time.Duration
	next  time.Time
	// stood: this jobmanager has stood by, so that storage was there when it began.
	stood bool
}

func (t *takes) due(now time.Time) bool { return !now.Before(t.next) }

// failed puts the next attempt off and returns for how long.
func (t *takes) failed(now time.Time) time.Duration {
	t.pause = min(max(2*t.pause, takePause), takePauseMax)
	t.next = now.Add(t.pause)
	return t.pause
}

// take tries to take the epoch. taken is false when somebody else was quicker, or storage did not let it happen: then nobody can tell whose it is, and the same
// epoch is tried again a little later. Whoever has it by then makes it the next one. What is refused for good to one who has just begun is an error.
func (jm *JobManager) take(ctx context.Context, watch *checkpoint.Standby, epoch uint64, former ckptstore.Lease, tries *takes) (taken bool, err error) {
	nonce, err := jm.random16()
	if err != nil {
		return false, err
	}
	leader, err := ckptstore.Take(ctx, jm.storage, epoch, jm.holder(), nonce)
	if errors.Is(err, ckptstore.ErrTaken) {
		watch.Taken(epoch)
		return false, nil
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return false, nil //nolint:nilerr // whoever asked has ended
	case tries.pause == 0 && !tries.stood && errors.Is(err, blob.ErrPermanent):
		return false, fmt.Errorf("checkpoint storage %s: this jobmanager cannot write there: %w", jm.cfg.CheckpointDir, err)
	default:
		pause := tries.failed(jm.now())
		jm.cfg.Log.Warn("leadership not taken: this jobmanager cannot write to checkpoint storage", "checkpoint_dir", jm.cfg.CheckpointDir, "leader_epoch", epoch,
			"error", err, "tries_again_in", pause.String(), "hint", storageHint(err))
		return false, nil
	}
	jm.leader = leader
	jm.become(role{})
	args := []any{"checkpoint_dir", jm.cfg.CheckpointDir, "leader_epoch", epoch}
	if former.Epoch != 0 {
		args = append(args, "former_leader", former.Holder, "released", former.Released)
	}
	jm.cfg.Log.Info("leading", args...)
	return true, nil
}

// storageHint is what a person can do about storage that cannot be written to.
func storageHint(err error) string {
	switch {
	case errors.Is(err, blob.ErrFull):
		return "it is full: make room, it goes on by itself"
	case errors.Is(err, blob.ErrPermanent):
		return "is it mounted read-only (`dmesg`), does it belong to another user, or have its credentials changed? It goes on by itself once it can be written to"
	}
	return "is its server, or the network, down? It goes on by itself when it is back"
}

// standbyLog says who leads, when that changes.
type standbyLog struct {
	jm      *JobManager
	epoch   uint64
	failing bool
	// told is when the latest line of untold was written.
	told time.Time
}

// untoldEvery is how often such a line is written.
const untoldEvery = time.Minute

func (l *standbyLog) standing(lease ckptstore.Lease) {
	if l.failing {
		l.failing = false
		l.jm.cfg.Log.Info("checkpoint storage answers again")
	}
	if l.epoch != lease.Epoch {
		l.epoch = lease.Epoch
		l.jm.cfg.Log.Info("standing by", "leader", lease.Holder, "leader_epoch", lease.Epoch, "takes_over_after", l.jm.cfg.LeaseTimeout.String())
	}
}

// untold writes about an announcement that is tried again each second: once a minute, since storage may be full or read-only for days.
func (l *standbyLog) untold(err error) {
	if now := l.jm.now(); l.told.IsZero() || now.Sub(l.told) >= untoldEvery {
		l.told = now
		l.jm.cfg.Log.Warn("the leader is not told that this jobmanager stands by", "error", err, "hint", storageHint(err))
	}
}

func (l *standbyLog) unreadable(err error) {
	if !l.failing {
		l.failing = true
		l.jm.cfg.Log.Warn("checkpoint storage does not answer: nobody knows who leads", "error", err)
	}
}

// keepLease renews the lease until ctx ends. Its error says that another leads, or that one should.
func (jm *JobManager) keepLease(ctx context.Context) error {
	tick := time.NewTicker(jm.cfg.LeaseInterval)
	defer tick.Stop()
	type renewal struct {
		watched bool
		err     error
	}
	done := make(chan renewal, 1)
	renew := func(beat uint64, quiet bool) {
		// Beside, since storage may hang.
		jm.work.Go(func() {
			limited, cancel := context.WithTimeout(ctx, leaseLostFactor*jm.cfg.LeaseTimeout)
			defer cancel()
			if beat%tidyBeats == 0 {
				jm.leader.Tidy(limited)
			}
			lease := jm.lease(beat)
			lease.Quiet = quiet
			watched, err := jm.leader.Renew(limited, lease)
			done <- renewal{watched, err}
		})
	}
	beat, busy, watched := uint64(1), true, false
	failingSince := jm.now() // the lease counts as renewed as soon as it is
	pulse := serve.Pulse{Timeout: jm.cfg.LeaseTimeout}
	renew(beat, false)
	unseen := 0 // renewals in a row that saw nobody stand by
	for {
		select {
		case r := <-done:
			busy = false
			switch {
			case errors.Is(r.err, ckptstore.ErrFenced):
				return errFenced
			case r.err == nil:
				watched, failingSince = r.watched, time.Time{}
				if unseen++; watched {
					unseen = 0
				}
			case ctx.Err() == nil:
				jm.cfg.Log.Warn("lease not renewed", "error", r.err)
			}
		case <-tick.C:
			now := jm.now()
			if pulse.Stood(now) && !failingSince.IsZero() {
				failingSince = now
			}
			if watched && !failingSince.IsZero() && now.Sub(failingSince) > leaseLostFactor*jm.cfg.LeaseTimeout {
				return fmt.Errorf("the lease could not be renewed for %s, and another jobmanager stands by", now.Sub(failingSince).Round(time.Second))
			}
			if busy {
				continue
			}
			if failingSince.IsZero() {
				failingSince = now
			}
			busy = true
			beat++
			renew(beat, unseen >= quietAfter && beat%tidyBeats != 0)
		case <-ctx.Done():
			return nil
		}
	}
}

func (jm *JobManager) lease(beat uint64) ckptstore.Lease {
	return ckptstore.Lease{Beat: beat, Holder: jm.holder(), Instance: jm.instance(), Page: jm.page()}
}

// release gives the leadership back, so that who stands by need not wait.
func (jm *JobManager) release() {
	if jm.leader == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), releaseMax)
	defer cancel()
	l := jm.lease(1)
	l.Released = true
	if _, err := jm.leader.Renew(ctx, l); err != nil && !errors.Is(err, ckptstore.ErrFenced) {
		jm.cfg.Log.Warn("leadership not given back: who stands by takes it later", "error", err)
	}
}
