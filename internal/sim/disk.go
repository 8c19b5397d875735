package sim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/bramble-stream/bramble/engine/blob"
	"github.com/bramble-stream/bramble/engine/checkpoint"
	"github.com/bramble-stream/bramble/engine/stream"
)

// disk is checkpoint storage as it really is, without the faults on the way there.
type disk struct {
	*blob.Mem
	w       *world
	objects map[string]object
	// changed says that there is something to check.
	changed bool
}

type object struct {
	size int64
	sum  checkpoint.Checksum
}

func newDisk(w *world) *disk { return &disk{Mem: blob.NewMem(), w: w, objects: map[string]object{}} }

func (d *disk) keep(name string, b []byte) {
	o := object{int64(len(b)), checkpoint.Checksum(xxh3.Hash(b))}
	if old, ok := d.objects[name]; ok && old != o && !strings.HasSuffix(name, ".lease") {
		d.w.violate("%s is overwritten", name)
	}
	d.objects[name] = o
	d.changed = true
}

func (d *disk) Put(ctx context.Context, name string, c blob.Content) error {
	var b bytes.Buffer
	if err := blob.CopyContent(&b, c); err != nil {
		return err
	}
	if err := d.Mem.Put(ctx, name, blob.Bytes(b.Bytes())); err != nil {
		return err
	}
	d.keep(name, b.Bytes())
	return nil
}

func (d *disk) CreateExclusive(ctx context.Context, name string, b []byte) error {
	if err := d.Mem.CreateExclusive(ctx, name, b); err != nil {
		return err
	}
	d.keep(name, b)
	return nil
}

func (d *disk) Delete(ctx context.Context, name string) error {
	if err := d.Mem.Delete(ctx, name); err != nil {
		return err
	}
	delete(d.objects, name)
	d.changed = true
	return nil
}

// leader is the newest leader epoch.
func (d *disk) leader() uint64 {
	var newest uint64
	for name := range d.objects {
		if rest, ok := strings.CutPrefix(name, "leader/"); ok {
			if e, err := strconv.ParseUint(rest, 10, 64); err == nil {
				newest = max(newest, e)
			}
		}
	}
	return newest
}

// process is what can die, and sees storage its own way.
type process struct {
	w     *world
	id    string
	dead  bool
	epoch uint64 // as a leader
	fault *blob.Faulty
	store blob.Store
	// frozenUntil is when it goes on with what it was doing, and believes what it believed: it was suspended, or its machine was swapping.
	frozenUntil stream.Time
}

// after is world.after for what the process does by itself.
func (p *process) after(ms int64, name string, f func()) {
	p.w.after(ms, name, func() { p.awake(name, f) })
}

// awake has f happen as soon as the process is not frozen, in the order in which things came.
func (p *process) awake(name string, f func()) {
	if p.frozenUntil > p.w.now {
		p.w.after(p.frozenUntil-p.w.now, name, func() { p.awake(name, f) })
		return
	}
	f()
}

// thaw is where a process may have been frozen in the middle of something: before a request goes out, and before its answer is read.
func (p *process) thaw() {
	if d := p.frozenUntil - p.w.now; d > 0 {
		_ = p.w.sleep(context.Background(), time.Duration(d)*time.Millisecond)
	}
}

func (w *world) newProcess(id string) *process {
	p := &process{w: w, id: id}
	p.fault = blob.NewFaulty(&view{w.disk, p}, blob.Faults{})
	p.setFaults()
	p.store = p.fault
	if w.oneIn(2) {
		p.store = blob.Retry(p.fault, blob.RetryOptions{Attempts: 3, Sleep: w.sleep})
	}
	return p
}

func (p *process) setFaults() {
	f := p.w.faults
	p.fault.Set(blob.Faults{
		Seed: p.w.rng.Uint64(), ErrorRate: f.errors, LostAnswerRate: f.lost, ShortReadRate: f.short, DelayRate: f.slow,
		DelayMax: f.slowest, Sleep: p.w.sleep,
	})
}

func (p *process) alive() bool { return !p.dead }

// view is storage as long as the process lives. A request may be on its way when it dies.
type view struct {
	d *disk
	p *process
}

func (v *view) Put(ctx context.Context, name string, c blob.Content) error {
	v.p.thaw()
	defer v.p.thaw()
	if v.p.dead && v.p.w.oneIn(2) {
		return errDead
	}
	return errors.Join(v.d.Put(ctx, name, c), v.gone())
}

func (v *view) CreateExclusive(ctx context.Context, name string, b []byte) error {
	v.p.thaw()
	defer v.p.thaw()
	if v.p.dead {
		switch v.p.w.rng.IntN(3) {
		case 0:
			return errDead
		case 1:
			b = b[:len(b)/2] // as where there are no hard links
		}
	}
	return errors.Join(v.d.CreateExclusive(ctx, name, b), v.gone())
}

func (v *view) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	v.p.thaw()
	defer v.p.thaw()
	if v.p.dead {
		return nil, errDead
	}
	return v.d.Open(ctx, name, offset, length)
}

func (v *view) List(ctx context.Context, prefix string) ([]blob.Info, error) {
	v.p.thaw()
	defer v.p.thaw()
	if v.p.dead {
		return nil, errDead
	}
	infos, err := v.d.List(ctx, prefix)
	if v.p.w.bug == IgnoreLeaders && v.p.epoch > 0 && prefix == "leader/" {
		infos = nil
	}
	return infos, err
}

func (v *view) Delete(ctx context.Context, name string) error {
	v.p.thaw()
	defer v.p.thaw()
	if v.p.dead && v.p.w.oneIn(2) {
		return errDead
	}
	return errors.Join(v.d.Delete(ctx, name), v.gone())
}

func (v *view) gone() error {
	if v.p.dead {
		return errDead
	}
	return nil
}
