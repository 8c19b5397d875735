// Package nexmark is a source of the Nexmark benchmark's events: people, auctions and bids of an auction house, with the
// distributions of the public generator. An event is a function of its number and the seed alone, so that any part of the sequence
// is the same whoever makes it, and however often. It has no sink.
package nexmark

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/civil"
)

// Connector returns the description of 'connector' = 'nexmark'.
func Connector() *op.Connector {
	return &op.Connector{
		Name: "nexmark",
		Options: []op.Option{
			{Key: "events.num", Kind: op.OptionInt, Default: "0", Doc: "how many events there are; 0: they never end"},
			{Key: "first-event.rate", Kind: op.OptionInt, Default: "10000", Doc: "events a second: of event time, and with 'rate.limited' of real time"},
			{Key: "next-event.rate", Kind: op.OptionInt, Doc: "taken so that the benchmark's own DDL runs; the rate is that of 'first-event.rate' throughout"},
			{Key: "rate.limited", Kind: op.OptionBool, Default: "false", Doc: "make events when they are due instead of as fast as they are taken"},
			{Key: "base-time", Default: "2015-07-15 00:00:00", Doc: "event time of the first event: a timestamp (UTC), epoch milliseconds, or 'now' for when the job starts"},
			{Key: "seed", Kind: op.OptionInt, Default: "0", Doc: "another number makes other events"},
			{Key: "person.proportion", Kind: op.OptionInt, Default: "1", Doc: "people in a round of events"},
			{Key: "auction.proportion", Kind: op.OptionInt, Default: "3", Doc: "auctions in a round of events"},
			{Key: "bid.proportion", Kind: op.OptionInt, Default: "46", Doc: "bids in a round of events"},
			{Key: "person.avg-size", Kind: op.OptionMemory, Default: "200b", Doc: "average size of a person; column extra fills it up"},
			{Key: "auction.avg-size", Kind: op.OptionMemory, Default: "500b", Doc: "average size of an auction; column extra fills it up"},
			{Key: "bid.avg-size", Kind: op.OptionMemory, Default: "100b", Doc: "average size of a bid; column extra fills it up"},
			{Key: "bid.hot-ratio.auctions", Kind: op.OptionInt, Default: "2", Doc: "one bid in so many is not for a hot auction"},
			{Key: "bid.hot-ratio.bidders", Kind: op.OptionInt, Default: "4", Doc: "one bid in so many is not by a hot bidder"},
			{Key: "auction.hot-ratio.sellers", Kind: op.OptionInt, Default: "4", Doc: "one auction in so many is not by a hot seller"},
		},
		Check: func(t *graph.TableSpec, asSink bool) error {
			if asSink {
				return fmt.Errorf("connector nexmark has no sink")
			}
			if _, err := newConfig(t); err != nil {
				return err
			}
			return checkSchema(t.Schema)
		},
		Bounded: func(t *graph.TableSpec) bool { c, err := newConfig(t); return err == nil && c.events > 0 },
		Splits:  splits,
		NewSource: func(t *graph.TableSpec) (op.Source, error) {
			if err := checkSchema(t.Schema); err != nil {
				return nil, err
			}
			c, err := newConfig(t)
			return &source{cfg: c, schema: t.Schema}, err
		},
	}
}

// config is a table's options.
type config struct {
	// events is how many there are; 0: no end.
	events int64
	// rate is events a second.
	rate    int64
	limited bool
	// base is the time of event 0, ms since the epoch; now says that it is the start of the job.
	base                    int64
	now                     bool
	seed                    uint64
	people, auctions, bids  int64
	total                   int64
	personSize, auctionSize int64
	bidSize                 int64
	hotAuctions, hotBidders int64
	hotSellers              int64
}

const (
	defaultBase = "2015-07-15 00:00:00"
	// avgSizeMax keeps a batch of events within reason.
	avgSizeMax = 8 << 10
)

func newConfig(t *graph.TableSpec) (*config, error) {
	c := &config{limited: t.Options["rate.limited"] == "true"}
	var failed error
	get := func(key string, otherwise, least int64) int64 {
		v := t.Options[key]
		if v == "" {
			return otherwise
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if (err != nil || n < least) && failed == nil {
			failed = fmt.Errorf("option '%s' = '%s' is no whole number of at least %d", key, v, least)
		}
		return n
	}
	c.events, c.rate = get("events.num", 0, 0), get("first-event.rate", 10000, 1)
	c.seed = uint64(get("seed", 0, -1<<63))
	c.people, c.auctions, c.bids = get("person.proportion", 1, 0), get("auction.proportion", 3, 0), get("bid.proportion", 46, 0)
	c.hotAuctions, c.hotBidders = get("bid.hot-ratio.auctions", 2, 1), get("bid.hot-ratio.bidders", 4, 1)
	c.hotSellers = get("auction.hot-ratio.sellers", 4, 1)
	size := func(key string, otherwise int64) int64 {
		v, ok := t.Options[key]
		if !ok {
			return otherwise
		}
		n, err := format.ParseSize(v)
		if (err != nil || n > avgSizeMax) && failed == nil {
			failed = fmt.Errorf("option '%s' = '%s' is no size of at most %d bytes", key, v, avgSizeMax)
		}
		return n
	}
	c.personSize, c.auctionSize, c.bidSize = size("person.avg-size", 200), size("auction.avg-size", 500), size("bid.avg-size", 100)
	if failed != nil {
		return nil, failed
	}
	c.total = c.people + c.auctions + c.bids
	if c.total == 0 || c.total > 1<<20 {
		return nil, fmt.Errorf("'person.proportion', 'auction.proportion' and 'bid.proportion' add up to %d; at least 1 and at most %d are needed", c.total, 1<<20)
	}
	return c, c.setBase(t.Options["base-time"])
}

func (c *config) setBase(v string) error {
	if v == "" {
		v = defaultBase
	}
	if v == "now" {
		c.now = true
		return nil
	}
	if ms, err := strconv.ParseInt(v, 10, 64); err == nil {
		c.base = ms
		return nil
	}
	ms, _, ok := civil.ParseTimestamp([]byte(v))
	if !ok {
		return fmt.Errorf("option 'base-time' = '%s' is no timestamp; expected something like '%s', epoch milliseconds, or 'now'", v, defaultBase)
	}
	c.base = ms
	return nil
}

// splits deals the rounds of events out to the tasks in turn, so that all advance in event time together.
func splits(_ context.Context, t *graph.TableSpec, parallelism int) ([]op.Split, error) {
	c, err := newConfig(t)
	if err != nil {
		return nil, err
	}
	if c.now {
		c.base = time.Now().UnixMilli()
	}
	out := make([]op.Split, parallelism)
	for i := range out {
		out[i].ID = fmt.Sprintf("events-%d-of-%d", i, parallelism)
		out[i].Pos = position{Base: c.base}.encode()
	}
	return out, nil
}

// columns of a row of the three kinds, by name.
var personFields, auctionFields, bidFields = map[string]vec.Kind{
	"id": vec.Int64, "name": vec.String, "emailAddress": vec.String, "creditCard": vec.String, "city": vec.String, "state": vec.String,
	"dateTime": vec.Timestamp, "extra": vec.String,
}, map[string]vec.Kind{
	"id": vec.Int64, "itemName": vec.String, "description": vec.String, "initialBid": vec.Int64, "reserve": vec.Int64,
	"dateTime": vec.Timestamp, "expires": vec.Timestamp, "seller": vec.Int64, "category": vec.Int64, "extra": vec.String,
}, map[string]vec.Kind{
	"auction": vec.Int64, "bidder": vec.Int64, "price": vec.Int64, "channel": vec.String, "url": vec.String,
	"dateTime": vec.Timestamp, "extra": vec.String,
}

// checkSchema accepts any part of event_type INT, person ROW<…>, auction ROW<…>, bid ROW<…>.
func checkSchema(s *vec.Schema) error {
	for _, f := range s.Fields {
		var fields map[string]vec.Kind
		switch f.Name {
		case "event_type":
			if f.Type.Kind != vec.Int32 {
				return fmt.Errorf("column event_type is %s; nexmark has INT (0 person, 1 auction, 2 bid)", f.Type)
			}
			continue
		case "person":
			fields = personFields
		case "auction":
			fields = auctionFields
		case "bid":
			fields = bidFields
		default:
			return fmt.Errorf("nexmark has no column %q; it has event_type INT and the ROWs person, auction, bid", f.Name)
		}
		if f.Type.Kind != vec.Row {
			return fmt.Errorf("column %s is %s; nexmark has a ROW", f.Name, f.Type)
		}
		for _, g := range f.Type.Fields {
			want, ok := fields[g.Name]
			switch {
			case !ok:
				return fmt.Errorf("nexmark has no field %s.%s", f.Name, g.Name)
			case want != g.Type.Kind && (want != vec.Timestamp || g.Type.Kind != vec.TimestampLTZ):
				return fmt.Errorf("field %s.%s is %s; nexmark has %s", f.Name, g.Name, g.Type, want)
			}
		}
	}
	return nil
}
