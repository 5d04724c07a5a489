package exec

import (
	"errors"

	"towpath.dev/towpath/internal/monitor/kql/ir"
)

// Placed is an error with the place in the text of what it is about.
type Placed struct {
	Span ir.Span
	Err  error
}

// Error returns the text of the error.
func (p *Placed) Error() string { return p.Err.Error() }

// Unwrap returns the error.
func (p *Placed) Unwrap() error { return p.Err }

// at gives an error the place of what it is about; what has one keeps it, as the innermost.
func at(x interface{ Where() ir.Span }, err error) error {
	var there *Placed
	if err == nil || errors.As(err, &there) {
		return err
	}
	return &Placed{Span: x.Where(), Err: err}
}
