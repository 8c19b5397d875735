package jobmanager_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/client"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/jobmanager"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/engine/task"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// one is a jobmanager over shared storage.
type one struct {
	*jobmanager.JobManager
	cancel context.CancelFunc
	done   chan error
}

// startOne starts a jobmanager over the storage. Its leases are short.
func startOne(t *testing.T, storage blob.Store, place string) *one {
	t.Helper()
	jm, err := jobmanager.New(jobmanager.Config{
		BindHost: "127.0.0.1", Plan: planFake, Connectors: connectors(), Version: "test", Clock: task.SystemClock{}, Rand: rand.Reader,
		MetricsPort: serve.Off, Log: slog.New(slog.DiscardHandler), CheckpointDir: "test://all", Place: place,
		Storage:       blob.Openers{"test": func(context.Context, *url.URL, blob.Options) (blob.Store, error) { return storage, nil }},
		LeaseInterval: 20 * time.Millisecond, LeaseTimeout: 150 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o := &one{jm, cancel, make(chan error, 1)}
	go func() { o.done <- jm.Run(ctx); close(o.done) }()
	t.Cleanup(func() { cancel(); <-o.done }) //nolint:errcheck // the test has looked, if it wants to
	return o
}

// get returns the code and the text of a page.
func (o *one) get(t *testing.T, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", o.HTTPPort(), path), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return resp.StatusCode, string(b)
}

func (o *one) leads(t *testing.T) {
	t.Helper()
	until(t, "it leads", func() bool { code, _ := o.get(t, "/readyz"); return code == http.StatusOK })
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestStandby(t *testing.T) {
	storage := blob.NewMem()
	first := startOne(t, storage, "")
	first.leads(t)
	second := startOne(t, storage, "")
	until(t, "the second knows who leads", func() bool {
		code, text := second.get(t, "/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(text, "standby: the leader is at "+first.Address())
	})
	if code, _ := second.get(t, "/healthz"); code != http.StatusOK {
		t.Errorf("a standby is not healthy: %d", code)
	}
	if code, text := second.get(t, "/"); code != http.StatusServiceUnavailable || !strings.Contains(text, first.Address()) {
		t.Errorf("its page: %d %s", code, text)
	}
	until(t, "its page leads to the dashboard of the leader", func() bool {
		_, text := second.get(t, "/")
		return strings.Contains(text, fmt.Sprintf(`<a href="http://127.0.0.1:%d/">`, first.HTTPPort()))
	})
	// The standby alone says who leads; a second look at it after the change finds itself.
	for _, addresses := range []string{second.Address(), second.Address() + "," + first.Address()} {
		c, err := client.New(addresses)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := c.Cluster(t.Context()); err != nil || info.LeaderEpoch != 1 {
			t.Errorf("%s: %v, %v", addresses, info, err)
		}
		if addresses != second.Address() {
			first.cancel()
			if err := <-first.done; err != nil {
				t.Error(err)
			}
			if info, err := c.Cluster(t.Context()); err != nil || info.LeaderEpoch != 2 {
				t.Errorf("after the change: %v, %v", info, err)
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	second.leads(t)
}

// TestStandbyTakesOverFromOneThatIsCutOff: the leader's storage fails, and it makes room; the standby leads.
func TestStandbyTakesOverFromOneThatIsCutOff(t *testing.T) {
	storage := blob.NewMem()
	faulty := blob.NewFaulty(storage, blob.Faults{})
	first := startOne(t, faulty, "")
	first.leads(t)
	second := startOne(t, storage, "")
	until(t, "the leader knows of the standby", func() bool {
		infos, err := storage.List(t.Context(), "leader/standby-")
		return err == nil && len(infos) == 1
	})
	until(t, "the lease is renewed", func() bool { return renewedTwice(t, storage) })
	faulty.Set(blob.Faults{Seed: 1, ErrorRate: 1})
	second.leads(t)
	if err := <-first.done; err == nil {
		t.Error("the leader without storage ended without an error")
	}
	if infos, err := storage.List(t.Context(), "leader/standby-"); err != nil || len(infos) != 0 {
		t.Errorf("announcements stayed: %v, %v", infos, err)
	}
}

// renewedTwice waits for a change of the lease.
func renewedTwice(t *testing.T, s blob.Store) bool {
	t.Helper()
	const name = "leader/00000000000000000001.lease"
	before, err := blob.ReadAll(t.Context(), s, name, 1<<16)
	until(t, "the lease changes", func() bool {
		now, err := blob.ReadAll(t.Context(), s, name, 1<<16)
		return err == nil && string(now) != string(before)
	})
	return err == nil
}

// TestLeaderWithoutStandbyBearsAStorageThatFails: nobody would take over.
func TestLeaderWithoutStandbyBearsAStorageThatFails(t *testing.T) {
	faulty := blob.NewFaulty(blob.NewMem(), blob.Faults{})
	only := startOne(t, faulty, "")
	only.leads(t)
	faulty.Set(blob.Faults{Seed: 1, ErrorRate: 1})
	select {
	case err := <-only.done:
		t.Fatalf("it ended: %v", err)
	case <-time.After(time.Second):
	}
	faulty.Set(blob.Faults{})
	if code, _ := only.get(t, "/readyz"); code != http.StatusOK {
		t.Error("it does not lead any more")
	}
}

// denying is storage that fails for names with a part.
type denying struct {
	blob.Store
	part atomic.Pointer[string]
}

func (d *denying) err(name string) error {
	if p := d.part.Load(); p != nil && strings.Contains(name, *p) {
		return fmt.Errorf("%s: %w: input/output error", name, blob.ErrPermanent)
	}
	return nil
}

func (d *denying) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := d.err(name); err != nil {
		return nil, err
	}
	return d.Store.Open(ctx, name, offset, length)
}

func (d *denying) Delete(ctx context.Context, name string) error {
	if err := d.err(name); err != nil {
		return err
	}
	return d.Store.Delete(ctx, name)
}

// submitTo submits a job that waits for slots.
func submitTo(t *testing.T, o *one) (*client.Client, string) {
	t.Helper()
	c, err := client.New(o.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() }) //nolint:errcheck // a test's end
	id, _, err := c.Submit(t.Context(), client.Script{File: "a", Text: script{Source: 1, Sink: 1, Rows: -1, Partition: graph.Rebalance}.text()}, "")
	if err != nil {
		t.Fatal(err)
	}
	return c, id
}

// TestUnreadableJobKeepsNoOtherFromRunning: of four jobs in storage one is damaged, and one cannot be read.
func TestUnreadableJobKeepsNoOtherFromRunning(t *testing.T) {
	storage := &denying{Store: blob.NewMem()}
	first := startOne(t, storage, "")
	first.leads(t)
	var ids []string
	for range 4 {
		_, id := submitTo(t, first)
		ids = append(ids, id)
	}
	first.cancel()
	if err := <-first.done; err != nil {
		t.Fatal(err)
	}
	infos, err := storage.List(t.Context(), "jobs/"+ids[0])
	if err != nil || len(infos) != 1 {
		t.Fatal(infos, err)
	}
	if err := storage.Put(t.Context(), infos[0].Name, blob.Bytes([]byte("BRMBLJOB 1 0\n{}"))); err != nil {
		t.Fatal(err)
	}
	storage.part.Store(new("jobs/" + ids[1]))
	second := startOne(t, storage, "")
	second.leads(t)
	c, err := client.New(second.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, want := range []struct {
		state pb.JobState
		cause string
	}{{failed, "checksum"}, {failed, "input/output error"}, {pb.JobState_JOB_STATE_CREATED, ""}, {pb.JobState_JOB_STATE_CREATED, ""}} {
		var d *pb.JobDetail
		until(t, "the job has its state", func() bool {
			if d, err = c.Job(t.Context(), ids[i]); err != nil {
				t.Fatal(err)
			}
			return d.Summary.State == want.state
		})
		if want.cause != "" && (len(d.Exceptions) == 0 || !strings.Contains(d.Exceptions[0].Message, want.cause)) {
			t.Errorf("job %d: %v", i, d.Exceptions)
		}
	}
	if infos, err := storage.List(t.Context(), "jobs/"); err != nil || len(infos) != 4 {
		t.Errorf("storage has %v, %v", infos, err)
	}
	// What could not be read was a hiccup: the job goes on by itself, and the damaged one stays.
	storage.part.Store(nil)
	until(t, "the job is recovered", func() bool {
		d, err := c.Job(t.Context(), ids[1])
		return err == nil && d.Summary.State == pb.JobState_JOB_STATE_CREATED
	})
	if d, err := c.Job(t.Context(), ids[0]); err != nil || d.Summary.State != failed {
		t.Errorf("the damaged one: %v, %v", d.GetSummary(), err)
	}
}

// refusing is storage that nothing new can be made in.
type refusing struct {
	blob.Store
	with  atomic.Pointer[error]
	asked atomic.Int64
}

func (r *refusing) CreateExclusive(ctx context.Context, name string, content []byte) error {
	r.asked.Add(1)
	if p := r.with.Load(); p != nil {
		return fmt.Errorf("%s: %w", name, *p)
	}
	return r.Store.CreateExclusive(ctx, name, content)
}

// TestFullStorageSpendsNoEpochs: who cannot take the leadership tries again, rarely, and takes the epoch that it would have had.
func TestFullStorageSpendsNoEpochs(t *testing.T) {
	storage := &refusing{Store: blob.NewMem()}
	storage.with.Store(new(blob.ErrFull))
	o := startOne(t, storage, "")
	until(t, "it has tried twice", func() bool { return storage.asked.Load() >= 2 })
	storage.with.Store(nil)
	o.leads(t)
	if n := storage.asked.Load(); n != 3 {
		t.Errorf("it asked %d times within 3 s", n)
	}
	c, err := client.New(o.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if info, err := c.Cluster(t.Context()); err != nil || info.LeaderEpoch != 1 {
		t.Errorf("it leads epoch %v, %v", info.GetLeaderEpoch(), err)
	}
}

// TestReadOnlyStorageEndsAtOnce: its user is to see it, and not a process that seems to run.
func TestReadOnlyStorageEndsAtOnce(t *testing.T) {
	storage := &refusing{Store: blob.NewMem()}
	storage.with.Store(new(fmt.Errorf("%w: %w", blob.ErrPermanent, syscall.EROFS)))
	o := startOne(t, storage, "")
	if err := <-o.done; err == nil || !strings.Contains(err.Error(), "cannot write there") || !errors.Is(err, syscall.EROFS) {
		t.Error(err)
	}
}

// TestCancelAnswersWhenTheJobIsForgotten: what was answered does not come back; where storage cannot forget, the answer says so.
func TestCancelAnswersWhenTheJobIsForgotten(t *testing.T) {
	storage := &denying{Store: blob.NewMem()}
	o := startOne(t, storage, "")
	o.leads(t)
	c, id := submitTo(t, o)
	if _, st, err := c.Cancel(t.Context(), id); err != nil || st != canceled {
		t.Fatal(st, err)
	}
	entries := func() int {
		infos, err := storage.List(t.Context(), "jobs/")
		if err != nil {
			t.Fatal(err)
		}
		return len(infos)
	}
	if n := entries(); n != 0 {
		t.Errorf("%d entries after the answer", n)
	}
	_, id = submitTo(t, o)
	storage.part.Store(new("jobs/"))
	if _, _, err := c.Cancel(t.Context(), id); err == nil || !strings.Contains(err.Error(), "would come back") {
		t.Errorf("storage does not forget, and the answer is %v", err)
	}
	storage.part.Store(nil)
	until(t, "storage forgets the job", func() bool { return entries() == 0 })
}

// TestLeftoversOfEndedJobsGo: tasks of a superseded leader may upload when their job has long been over.
func TestLeftoversOfEndedJobsGo(t *testing.T) {
	storage := blob.NewMem()
	const gone = "0123456789abcdef0123456789abcdef/shared/00000000000000000007/op-1"
	const savepoint = "savepoints/savepoint-1/state/op-1"
	for _, name := range []string{gone, savepoint} {
		if err := storage.Put(t.Context(), name, blob.Bytes([]byte("x"))); err != nil {
			t.Fatal(err)
		}
	}
	o := startOne(t, storage, "")
	o.leads(t)
	until(t, "it is removed", func() bool {
		infos, err := storage.List(t.Context(), "0123")
		return err == nil && len(infos) == 0
	})
	if infos, err := storage.List(t.Context(), "savepoints/"); err != nil || len(infos) != 1 {
		t.Errorf("savepoints: %v, %v", infos, err)
	}
}

// TestLeaderWithoutStandbyWritesNoLease: it wears out no flash for nobody, renews its lease as soon as somebody stands by, and is not taken for dead.
func TestLeaderWithoutStandbyWritesNoLease(t *testing.T) {
	storage := &countingPuts{Store: blob.NewMem()}
	first := startOne(t, storage, "")
	first.leads(t)
	before := int64(-1)
	until(t, "it writes no lease for five intervals", func() bool {
		now := storage.leases.Load()
		still := now == before
		before = now
		if !still {
			return false
		}
		lists := storage.lists.Load()
		until(t, "it looks", func() bool { return storage.lists.Load() >= lists+5 })
		return storage.leases.Load() == now
	})
	second := startOne(t, storage, "")
	until(t, "it renews its lease for the standby", func() bool { return storage.leases.Load() >= before+30 })
	if code, _ := second.get(t, "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("the standby took over from a leader that lives: %d", code)
	}
	if infos, err := storage.List(t.Context(), "leader/00000000000000000002"); err != nil || len(infos) != 0 {
		t.Errorf("a second epoch was taken: %v, %v", infos, err)
	}
}

// countingPuts counts the leases that are written, and the listings.
type countingPuts struct {
	blob.Store
	leases, lists atomic.Int64
}

func (c *countingPuts) Put(ctx context.Context, name string, content blob.Content) error {
	if strings.HasSuffix(name, ".lease") {
		c.leases.Add(1)
	}
	return c.Store.Put(ctx, name, content)
}

func (c *countingPuts) List(ctx context.Context, prefix string) ([]blob.Info, error) {
	c.lists.Add(1)
	return c.Store.List(ctx, prefix)
}
