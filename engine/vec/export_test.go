package vec

// What the tests of Arrow interop, which are outside the package to be able to import it, take from the tests inside.
var (
	DrawBatchOf = drawBatchOf
	RowsText    = rowsText
	MustEqual   = mustEqual
	Text        = text
)
