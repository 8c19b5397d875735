package nexmark

import (
	"github.com/bramble-stream/bramble/engine/vec"
)

// rows are the events of a batch: their numbers, what their fields draw from, and their kinds.
type rows struct {
	n     []int64
	seeds []uint64
	kind  []int32
	// of lists the rows of each kind; valid marks them.
	of    [3][]int
	valid [3]vec.Bitmap
}

func (r *rows) reset() {
	r.n, r.seeds, r.kind = r.n[:0], r.seeds[:0], r.kind[:0]
	for k := range r.of {
		r.of[k] = r.of[k][:0]
		if r.valid[k] == nil {
			r.valid[k] = make(vec.Bitmap, vec.MaxRows/64)
		}
		clear(r.valid[k])
	}
}

func (r *rows) add(c *config, n int64) {
	k := bidEvent
	if at := n % c.total; at < c.people {
		k = personEvent
	} else if at < c.people+c.auctions {
		k = auctionEvent
	}
	row := len(r.n)
	r.n, r.seeds, r.kind = append(r.n, n), append(r.seeds, c.eventSeed(n)), append(r.kind, int32(k))
	r.of[k] = append(r.of[k], row)
	r.valid[k].Set(row)
}

// generator fills the columns of a batch, a column at a time, only those that the table has.
type generator struct {
	*config
	*texts
	rows
	scratch []byte
}

func (g *generator) fill(b *vec.Batch) {
	for i, f := range b.Schema().Fields {
		c := b.Col(i)
		switch f.Name {
		case "event_type":
			c.Resize(len(g.n))
			copy(vec.Values[int32](c), g.kind)
		case "person":
			g.row(c, personEvent, g.person)
		case "auction":
			g.row(c, auctionEvent, g.auction)
		case "bid":
			g.row(c, bidEvent, g.bid)
		}
	}
	b.SetRows(len(g.n))
}

// row fills a ROW column: NULL, and so are its fields, where the event is of another kind.
func (g *generator) row(c *vec.Col, kind int, field func(c *vec.Col, name string)) {
	for range g.n {
		c.EndRow()
	}
	g.nulls(c, kind)
	for i, f := range c.Type().Fields {
		field(c.Kid(i), f.Name)
		g.nulls(c.Kid(i), kind)
	}
}

func (g *generator) nulls(c *vec.Col, kind int) {
	v := c.EnsureValid()
	copy(v, g.valid[kind][:len(v)])
}

// longs fills a BIGINT or TIMESTAMP field of the events of a kind.
func (g *generator) longs(c *vec.Col, kind int, value func(n int64, seed uint64) int64) {
	c.Resize(len(g.n))
	out := vec.Values[int64](c)
	clear(out)
	for _, i := range g.of[kind] {
		out[i] = value(g.n[i], g.seeds[i])
	}
}

// codes fills a STRING field from a dictionary.
func (g *generator) codes(c *vec.Col, kind int, d *vec.Dict, code func(seed uint64) int32) {
	c.SetDict(d)
	c.Resize(len(g.n))
	out := c.Codes()
	clear(out)
	for _, i := range g.of[kind] {
		out[i] = code(g.seeds[i])
	}
}

// strings fills a STRING field; rows of other kinds get an empty one.
func (g *generator) strings(c *vec.Col, kind int, value func(seed uint64) []byte) {
	next := 0
	for _, i := range g.of[kind] {
		for ; next < i; next++ {
			c.AppendBytes(nil)
		}
		c.AppendBytes(value(g.seeds[i]))
		next++
	}
	for ; next < len(g.n); next++ {
		c.AppendBytes(nil)
	}
}

func (g *generator) times(c *vec.Col, kind int) {
	g.longs(c, kind, func(n int64, _ uint64) int64 { return g.time(n) })
}

func (g *generator) person(c *vec.Col, name string) {
	const k = personEvent
	switch name {
	case "id":
		g.longs(c, k, func(n int64, _ uint64) int64 { return firstPersonID + g.lastPerson(n) })
	case "name":
		g.codes(c, k, g.names, g.nameOf)
	case "emailAddress":
		g.strings(c, k, g.email)
	case "creditCard":
		g.strings(c, k, g.card)
	case "city":
		g.codes(c, k, g.cities, cityOf)
	case "state":
		g.codes(c, k, g.states, stateOf)
	case "dateTime":
		g.times(c, k)
	case "extra":
		g.strings(c, k, g.personExtra)
	}
}

func (g *generator) nameOf(seed uint64) int32 {
	return int32(below(draw(seed, drawName), int64(g.names.Len())))
}

func cityOf(seed uint64) int32 { return int32(below(draw(seed, drawCity), int64(len(cityNames)))) }

func stateOf(seed uint64) int32 { return int32(below(draw(seed, drawState), int64(len(stateNames)))) }

func (g *generator) email(seed uint64) []byte {
	s := append(g.scratch[:0], g.text(draw(seed, drawEmail), 7)...)
	s = append(s, '@')
	s = append(s, g.text(draw(seed, drawEmailHost), 5)...)
	g.scratch = append(s, ".com"...)
	return g.scratch
}

func (g *generator) card(seed uint64) []byte {
	s, r := g.scratch[:0], draw(seed, drawCard)
	for k := range 4 {
		if k > 0 {
			s = append(s, ' ')
		}
		v := r >> (16 * k) & 0xffff * 10000 >> 16
		s = append(s, byte('0'+v/1000), byte('0'+v/100%10), byte('0'+v/10%10), byte('0'+v%10))
	}
	g.scratch = s
	return s
}

func (g *generator) personExtra(seed uint64) []byte {
	const fixed, cardBytes = 8, 19
	size := fixed + cardBytes + len(g.email(seed)) + len(g.names.Value(g.nameOf(seed))) + len(cityNames[cityOf(seed)]) + len(stateNames[0])
	return g.extra(draw(seed, drawExtra), int64(size), g.personSize)
}

func (g *generator) auction(c *vec.Col, name string) {
	const k = auctionEvent
	switch name {
	case "id":
		g.longs(c, k, func(n int64, _ uint64) int64 { return firstAuctionID + g.lastAuction(n) })
	case "itemName":
		g.strings(c, k, g.item)
	case "description":
		g.strings(c, k, g.description)
	case "initialBid":
		g.longs(c, k, func(_ int64, seed uint64) int64 { return price(draw(seed, drawPrice)) })
	case "reserve":
		g.longs(c, k, func(_ int64, seed uint64) int64 {
			return price(draw(seed, drawPrice)) + price(draw(seed, drawReserve))
		})
	case "dateTime":
		g.times(c, k)
	case "expires":
		g.longs(c, k, g.expires)
	case "seller":
		g.longs(c, k, g.seller)
	case "category":
		g.longs(c, k, func(_ int64, seed uint64) int64 {
			return firstCategoryID + below(draw(seed, drawCategory), categories)
		})
	case "extra":
		g.strings(c, k, g.auctionExtra)
	}
}

func (g *generator) item(seed uint64) []byte { return g.text(draw(seed, drawItem), 20) }

func (g *generator) description(seed uint64) []byte { return g.text(draw(seed, drawDescription), 100) }

func (g *generator) auctionExtra(seed uint64) []byte {
	const fixed = 6 * 8
	size := fixed + len(g.item(seed)) + len(g.description(seed))
	return g.extra(draw(seed, drawExtra), int64(size), g.auctionSize)
}

func (g *generator) bid(c *vec.Col, name string) {
	const k = bidEvent
	switch name {
	case "auction":
		g.longs(c, k, g.bidAuction)
	case "bidder":
		g.longs(c, k, g.bidder)
	case "price":
		g.longs(c, k, func(_ int64, seed uint64) int64 { return price(draw(seed, drawPrice)) })
	case "channel":
		g.codes(c, k, g.channel, channelOf)
	case "url":
		g.codes(c, k, g.url, channelOf)
	case "dateTime":
		g.times(c, k)
	case "extra":
		const fixed = 4 * 8
		g.strings(c, k, func(seed uint64) []byte { return g.extra(draw(seed, drawExtra), fixed, g.bidSize) })
	}
}
