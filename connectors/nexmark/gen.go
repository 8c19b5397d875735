package nexmark

import (
	"bytes"
	"math/bits"
	"strconv"

	"github.com/bramble-stream/bramble/engine/vec"
)

// What the public generator fixes.
const (
	firstPersonID, firstAuctionID, firstCategoryID = 1000, 1000, 10
	// lead is how many people and auctions that do not exist yet may be referred to.
	lead           = 10
	activePeople   = 1000
	inFlight       = 100
	hotEvery       = 100 // of the last so many people or auctions, one is hot
	categories     = 5
	channels       = 10000
	hotChannels    = 4
	shortestString = 3
)

// The kinds of event, as in column event_type.
const (
	personEvent = iota
	auctionEvent
	bidEvent
)

// Fields that draw random numbers; each has numbers of its own, so that a table with fewer columns has the same values.
const (
	drawName = iota + 1
	drawEmail
	drawEmailHost
	drawCard
	drawCity
	drawState
	drawExtra
	drawItem
	drawDescription
	drawPrice
	drawReserve
	drawExpires
	drawHot
	drawCold
	drawCategory
	drawHotBidder
	drawColdBidder
	drawChannel
)

// mix is the finalizer of splitmix64: a bijection whose output looks random.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

const golden = 0x9e3779b97f4a7c15

// eventSeed is what all draws of event n come from.
func (c *config) eventSeed(n int64) uint64 {
	return mix(c.seed*0xd1342543de82ef95 + uint64(n)*golden + golden)
}

// draw returns 64 random bits for a field of an event.
func draw(seed uint64, field uint64) uint64 { return mix(seed + field*golden) }

// below maps random bits to [0, n).
func below(r uint64, n int64) int64 {
	hi, _ := bits.Mul64(r, uint64(n))
	return int64(hi)
}

// time is the event time of event n in ms. The product stays in range for 9e15 events.
func (c *config) time(n int64) int64 { return c.base + n*1000/c.rate }

// lastPerson and lastAuction are the newest person and auction, from 0, when event n is made.
func (c *config) lastPerson(n int64) int64 {
	round, at := n/c.total, n%c.total
	return max(round*c.people+min(at, c.people-1), 0)
}

func (c *config) lastAuction(n int64) int64 {
	round, at := n/c.total, n%c.total
	at -= c.people
	if at < 0 {
		round, at = round-1, c.auctions-1
	}
	return max(round*c.auctions+min(at, c.auctions-1), 0)
}

// anyPerson is one of those active when event n is made, or soon after.
func (c *config) anyPerson(n int64, r uint64) int64 {
	people := c.lastPerson(n) + 1
	active := min(people, activePeople)
	return people - active + below(r, active+lead)
}

func (c *config) anyAuction(n int64, r uint64) int64 {
	last := c.lastAuction(n)
	first := max(last-inFlight, 0)
	return first + below(r, last-first+1+lead)
}

func (c *config) seller(n int64, seed uint64) int64 {
	if below(draw(seed, drawHot), c.hotSellers) > 0 {
		return firstPersonID + c.lastPerson(n)/hotEvery*hotEvery
	}
	return firstPersonID + c.anyPerson(n, draw(seed, drawCold))
}

func (c *config) bidAuction(n int64, seed uint64) int64 {
	if below(draw(seed, drawHot), c.hotAuctions) > 0 {
		return firstAuctionID + c.lastAuction(n)/hotEvery*hotEvery
	}
	return firstAuctionID + c.anyAuction(n, draw(seed, drawCold))
}

// bidder picks hot bidders so that they are not the hot sellers.
func (c *config) bidder(n int64, seed uint64) int64 {
	if below(draw(seed, drawHotBidder), c.hotBidders) > 0 {
		return firstPersonID + c.lastPerson(n)/hotEvery*hotEvery + 1
	}
	return firstPersonID + c.anyPerson(n, draw(seed, drawColdBidder))
}

// expires is after as long as inFlight auctions take to appear, on average.
func (c *config) expires(n int64, seed uint64) int64 {
	now := c.time(n)
	horizon := c.time(n+inFlight*c.total/max(c.auctions, 1)) - now
	return now + 1 + below(draw(seed, drawExpires), max(2*horizon, 1))
}

// powers are 10^(6x) in two steps: the high and the low ten bits of x. Multiplied up from 10^(6/2^10) and 10^(6/2^20), and rounded at each step, they are the same
// numbers on every architecture and in every language: math.Pow and fused multiplication are not.
var powerHigh, powerLow = powers(1.0135831333340657), powers(1.0000131755843844)

func powers(step float64) *[1 << 10]float64 {
	t := [1 << 10]float64{1}
	for i := 1; i < len(t); i++ {
		t[i] = float64(t[i-1] * step)
	}
	return &t
}

// price is 10^(6x) * 100 for x uniform in [0, 1), in cents.
func price(r uint64) int64 {
	cents := float64(float64(powerHigh[r>>54]*powerLow[r>>44&(1<<10-1)]) * 100)
	return int64(cents + 0.5)
}

// bufferBytes of random text serve all strings: a value is a piece of it. It fits the second cache of a Pi.
const bufferBytes = 64 << 10

// texts is what strings are made of; it depends on the seed only.
type texts struct {
	// letters are a to z; words have a space in place of one in thirteen.
	letters, words                      []byte
	names, cities, states, channel, url *vec.Dict
}

func newTexts(seed uint64) *texts {
	t := &texts{letters: make([]byte, bufferBytes), words: make([]byte, bufferBytes)}
	for i := range t.letters {
		t.letters[i] = byte('a' + below(mix(seed+uint64(2*i)*golden), 26))
		if t.words[i] = t.letters[i]; below(mix(seed+uint64(2*i+1)*golden), 13) == 0 {
			t.words[i] = ' '
		}
	}
	var names []string
	for _, first := range firstNames {
		for _, last := range lastNames {
			names = append(names, first+" "+last)
		}
	}
	t.names, t.cities, t.states = dictOf(names), dictOf(cityNames), dictOf(stateNames)
	t.makeChannels(seed)
	return t
}

var (
	stateNames   = []string{"AZ", "CA", "ID", "OR", "WA", "WY"}
	cityNames    = []string{"Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"}
	firstNames   = []string{"Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"}
	lastNames    = []string{"Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"}
	channelNames = [hotChannels]string{"Google", "Facebook", "Baidu", "Apple"}
)

// makeChannels makes the hot channels and the others, with a url each; nine in ten of the others carry a channel_id.
func (t *texts) makeChannels(seed uint64) {
	names, urls := make([]string, 0, hotChannels+channels), make([]string, 0, hotChannels+channels)
	for _, n := range channelNames {
		names, urls = append(names, n), append(urls, t.baseURL(mix(seed+uint64(len(urls)))))
	}
	for i := range channels {
		r := mix(seed + golden*uint64(i+1000))
		url := t.baseURL(r)
		if below(mix(r), 10) > 0 {
			id := int64(int32(bits.Reverse32(uint32(i))))
			url += "&channel_id=" + strconv.FormatInt(max(id, -id), 10)
		}
		names, urls = append(names, "channel-"+strconv.Itoa(i)), append(urls, url)
	}
	t.channel, t.url = dictOf(names), dictOf(urls)
}

func (t *texts) baseURL(r uint64) string {
	url := []byte("https://www.nexmark.com/")
	for k := range uint64(3) {
		url = append(url, bytes.ReplaceAll(t.text(draw(r, k), 5), []byte(" "), []byte("_"))...)
		url = append(url, '/')
	}
	return string(url) + "item.htm?query=1"
}

func dictOf(values []string) *vec.Dict {
	d := &vec.Dict{ID: vec.NewDictID(), Offsets: []int32{0}}
	for _, v := range values {
		d.Data = append(d.Data, v...)
		d.Offsets = append(d.Offsets, int32(len(d.Data)))
	}
	return d
}

// text is a piece of words of 3 to most-1 bytes, less the spaces at its ends. It aliases the buffer.
func (t *texts) text(r uint64, most int64) []byte {
	n := shortestString + below(r<<32, most-shortestString)
	at := below(r, bufferBytes-most)
	s := t.words[at : at+n]
	for len(s) > 0 && s[0] == ' ' {
		s = s[1:]
	}
	for len(s) > 0 && s[len(s)-1] == ' ' {
		s = s[:len(s)-1]
	}
	return s
}

// extra is letters that bring a record of size bytes to avg, give or take a fifth of what is missing.
func (t *texts) extra(r uint64, size, avg int64) []byte {
	missing := avg - size
	if missing <= 0 {
		return nil
	}
	delta := (missing*2 + 5) / 10
	n := missing - delta + below(r<<32, 2*delta)
	at := below(r, bufferBytes-n)
	return t.letters[at : at+n]
}

// channelOf picks a hot channel for every other bid.
func channelOf(seed uint64) int32 {
	r := draw(seed, drawChannel)
	if r&1 == 0 {
		return int32(below(r, hotChannels))
	}
	return int32(hotChannels + below(r, channels))
}
