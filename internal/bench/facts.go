package bench

// facts are those of the Nexmark queries: TestNexmarkFacts checks them, and prints them with -update.
var facts = map[string]queryFacts{
	"q0":  {due: "dateTime", rows: 184000, checksum: "edfdf989b0dc26cc"},
	"q1":  {due: "dateTime", rows: 184000, checksum: "4ba66a1da2e9bb58"},
	"q2":  {rows: 1471, checksum: "c25305bde46b1d22"},
	"q3":  {rows: 1066, checksum: "2736ba2768e63935"},
	"q4":  {rows: 5, checksum: "e162b160cc0ba9a1"},
	"q5":  {rows: 5, checksum: "4e5fa12732b1f3db"},
	"q7":  {rows: 1, checksum: "413287d4b6e0041b"},
	"q8":  {rows: 2021, checksum: "2fac95bb39463294"},
	"q9":  {rows: 11509, checksum: "70756ed92067708e"},
	"q11": {rows: 3908, checksum: "e85848b8b41a8f48"},
	"q12": {bids: "bid_count"},
	"q14": {due: "dateTime", rows: 51870, checksum: "be7859dedfe21e09"},
	"q15": {rows: 1, checksum: "22d2c3da5eca7ee4"},
	"q16": {rows: 10003, checksum: "37493e4593b4574b"},
	"q17": {rows: 11979, checksum: "d323dfd7a1b172c3"},
	"q18": {rows: 57232}, // of bids that are equal in time, the one that comes first is as good as another
	"q19": {rows: 87908}, // the same with bids of a price
	"q20": {rows: 34070, checksum: "1d3eee85392c55e1"},
	"q21": {rows: 175121, checksum: "21a19ecdc85c9515"},
	"q22": {rows: 184000, checksum: "4c426b8fe74cffee"},
}
