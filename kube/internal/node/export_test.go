package node

// MountsBelow, WriteFiles and Acquire give the tests what only this package uses.
var (
	MountsBelow = mountsBelow
	WriteFiles  = writeFiles
	Acquire     = acquire
)
